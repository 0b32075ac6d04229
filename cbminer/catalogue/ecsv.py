"""A catalogue in ECSV, written block by block."""

import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cbminer.catalogue.cells import ColumnCells, each_distinct
from cbminer.catalogue.layout import CatalogueLayout
from cbminer.catalogue.title import CatalogueTitle

__all__ = ["ecsv_file"]

_NEEDS_QUOTES = re.compile('[ "\r\n]')


@contextmanager
def ecsv_file(
    path: Path, layout: CatalogueLayout, title: CatalogueTitle
) -> Iterator[Callable[[list[ColumnCells]], None]]:
    """Open a catalogue in ECSV.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    layout : CatalogueLayout
        Of all blocks that will be written.
    title : CatalogueTitle
        What the catalogue says of itself.

    Yields
    ------
    callable
        Writes a block of stars.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(_head(layout, title))

        def write(block: list[ColumnCells]) -> None:
            rows = zip(*map(_cells, block), strict=True)
            file.writelines(" ".join(row) + "\n" for row in rows)

        yield write


def _head(layout: CatalogueLayout, title: CatalogueTitle) -> str:
    table = layout.head()
    table.meta = dict(title.lines)
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    return text.getvalue().replace(os.linesep, "\n")


def _cells(column: ColumnCells) -> list[str]:
    if column.spec.kind == "text":
        return each_distinct(column.texts, _quoted)
    # The shortest text that gives the number back: floats are rounded to the decimals of the schema already.
    return [str(value) if known else '""' for value, known in zip(column.data.tolist(), column.known, strict=True)]


def _quoted(text: str) -> str:
    # As astropy does: blanks at the ends go, and an empty cell is quoted so that the row keeps its columns.
    text = text.strip(" \t")
    if text and not _NEEDS_QUOTES.search(text):
        return text
    return '"' + text.replace('"', '""') + '"'
