"""A catalogue as VOTable 1.4, written block by block."""

import html
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from astropy.io.votable import from_table
from astropy.io.votable import tree as votable_tree

from cbminer.catalogue.cells import ColumnCells, each_distinct
from cbminer.catalogue.layout import CatalogueLayout
from cbminer.catalogue.schema import COLUMNS
from cbminer.catalogue.title import CatalogueTitle

__all__ = ["votable_file"]

_ROW, _END_OF_ROW = "     <TR>\n", "     </TR>\n"
_CELL, _END_OF_CELL = "      <TD>", "</TD>\n"


@contextmanager
def votable_file(
    path: Path, layout: CatalogueLayout, title: CatalogueTitle
) -> Iterator[Callable[[list[ColumnCells]], None]]:
    """Open a catalogue as VOTable.

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
    head, tail = _head_and_tail(layout, title)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(head)

        def write(block: list[ColumnCells]) -> None:
            between = _END_OF_CELL + _CELL
            for row in zip(*map(_cells, block), strict=True):
                text = _CELL + between.join(row) + _END_OF_CELL
                # No text holds a tag: its angle brackets are escaped.
                file.write(_ROW + text.replace("<TD></TD>", "<TD/>") + _END_OF_ROW)

        yield write
        file.write(tail)


def _head_and_tail(layout: CatalogueLayout, title: CatalogueTitle) -> tuple[str, str]:
    """Write what stands before and after the rows: a catalogue with one star, without it."""
    document = from_table(layout.head(min(layout.n_stars, 1)), table_id="catalogue")
    document.version = "1.4"
    document.description = title.title
    resource = document.resources[0]
    standard = {"version_1_4_or_later": True, "version": "1.4"}
    resource.coordinate_systems.append(votable_tree.CooSys(ID="icrs", system="ICRS", epoch="J2000.0"))
    resource.time_systems.append(
        votable_tree.TimeSys(ID="hjd", timeorigin=0.0, timescale="UTC", refposition="HELIOCENTER", config=standard)
    )
    for name, text in title.lines:
        resource.infos.append(votable_tree.Info(name=name, value=text))
    _describe(resource.tables[0].fields)
    written = io.BytesIO()
    document.to_xml(written, tabledata_format="tabledata")
    head, _, row_and_tail = written.getvalue().decode("utf-8").partition(_ROW)
    return head, row_and_tail.partition(_END_OF_ROW)[2]


def _describe(fields: list[votable_tree.Field]) -> None:
    references = {"RAJ2000": "icrs", "DEJ2000": "icrs", "T0": "hjd"}
    for field, spec in zip(fields, COLUMNS, strict=True):
        field.ucd = spec.ucd
        field.description = spec.description
        if spec.name in references:
            field.ref = references[spec.name]
        if spec.kind == "float":
            field.precision = str(spec.decimals)


def _cells(column: ColumnCells) -> list[str]:
    if column.spec.kind == "text":
        return each_distinct(column.texts, lambda text: html.escape(text, quote=False))
    if column.spec.kind == "float" and np.isinf(column.data).any():
        return [text.replace("-inf", "-InF").replace("inf", "+InF") for text in column.texts]
    return column.texts
