"""What the head of a catalogue must say before the first star: how many stars, and how wide the columns are."""

from collections.abc import Iterable

import numpy as np
from astropy.table import QTable, Table

from cbminer.catalogue.cells import ColumnCells, block_cells, one_line
from cbminer.catalogue.plain import plain_table
from cbminer.catalogue.schema import COLUMNS, conform

__all__ = ["CatalogueLayout", "lay_out"]


class CatalogueLayout:
    """Number of stars and widths of columns, of all blocks together.

    Attributes
    ----------
    n_stars : int
        Stars of the catalogue.
    letters : dict of str to int
        Letters of the longest text of each text column, at least one.
    bytes : dict of str to int
        Bytes of the widest cell of every column in one line of ASCII. A column without values still takes some, so
        that no two columns share one.
    incomplete : set of str
        Columns of which a cell is blank.
    """

    def __init__(self) -> None:
        self.n_stars = 0
        self.letters = {spec.name: 1 for spec in COLUMNS if spec.kind == "text"}
        self.bytes = {spec.name: spec.decimals + 2 if spec.kind == "float" else 1 for spec in COLUMNS}
        self.incomplete: set[str] = set()

    def add(self, block: list[ColumnCells]) -> None:
        """Make room for a block of stars.

        Parameters
        ----------
        block : list of ColumnCells
            Of `cbminer.catalogue.cells.block_cells`.
        """
        self.n_stars += len(block[0].data)
        for column in block:
            name, longest = column.spec.name, column.longest_texts()
            if column.spec.kind == "text":
                self.letters[name] = max([self.letters[name], *map(len, longest)])
                longest = {one_line(text) for text in longest}
            self.bytes[name] = max([self.bytes[name], *map(len, longest)])
            if not column.known.all() or "" in longest:
                self.incomplete.add(name)

    def head(self, n_stars: int = 0) -> Table:
        """Make a table that is written with the same head as the catalogue.

        Parameters
        ----------
        n_stars : int, optional
            Its stars, of which nothing is known.

        Returns
        -------
        `~astropy.table.Table`
            Every column of the schema.
        """
        texts = {name: np.zeros(n_stars, dtype=f"U{letters}") for name, letters in self.letters.items()}
        return plain_table(conform(QTable(texts)))


def lay_out(blocks: Iterable[QTable]) -> CatalogueLayout:
    """Measure a catalogue.

    Parameters
    ----------
    blocks : iterable of `~astropy.table.QTable`
        Its stars in the schema, block by block.

    Returns
    -------
    CatalogueLayout
        What its head must say.
    """
    layout = CatalogueLayout()
    for block in blocks:
        layout.add(block_cells(block))
    return layout
