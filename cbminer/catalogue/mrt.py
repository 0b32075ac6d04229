"""Machine-readable tables in the format of the AAS journals, written block by block.

astropy reads this format but its writer (8.0) gives columns without any value no width, so that all columns after
them are read from the wrong bytes. Columns without values are common here, so the table is written from the schema.
"""

import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cbminer.catalogue.cells import ColumnCells, each_distinct, one_line
from cbminer.catalogue.layout import CatalogueLayout
from cbminer.catalogue.schema import COLUMNS, ColumnSpec
from cbminer.catalogue.title import CatalogueTitle

__all__ = ["mrt_file"]

_WIDTH = 80
_RULE = "-" * _WIDTH
_DOUBLE_RULE = "=" * _WIDTH
_LETTERS = {"text": "A", "integer": "I", "boolean": "I", "float": "F"}


@contextmanager
def mrt_file(
    path: Path, layout: CatalogueLayout, title: CatalogueTitle
) -> Iterator[Callable[[list[ColumnCells]], None]]:
    """Open a catalogue as machine-readable table.

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
    row = " ".join(f"%{'-' if spec.kind == 'text' else ''}{layout.bytes[spec.name]}s" for spec in COLUMNS) + "\n"
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(_head(layout, title))

        def write(block: list[ColumnCells]) -> None:
            file.writelines(row % cells for cells in zip(*map(_cells, block), strict=True))

        yield write


def _cells(column: ColumnCells) -> list[str]:
    return each_distinct(column.texts, one_line) if column.spec.kind == "text" else column.texts


def _head(layout: CatalogueLayout, title: CatalogueTitle) -> str:
    lines = [
        f"Title: {_joined(title.title)}",
        f"Authors: {_joined(f'cbminer {title.version}')}",
        f"Table: {_joined(f'{title.title}; survey {title.survey}, {title.source}')}",
        _DOUBLE_RULE,
        "Byte-by-byte Description of file: table.dat",
        _RULE,
        " Bytes   Format Units  Label              Explanations",
        _RULE,
        *_byte_by_byte(layout),
        _RULE,
        "Note: a blank field is an unknown value.",
        _RULE,
    ]
    return "\n".join(lines) + "\n"


def _joined(text: str) -> str:
    return " ".join(text.split())


def _byte_by_byte(layout: CatalogueLayout) -> Iterator[str]:
    first = 1
    for spec in COLUMNS:
        width = layout.bytes[spec.name]
        last = first + width - 1
        place = f"{first:4d}-{last:4d}" if width > 1 else f"     {last:4d}"
        head = f"{place} {_format(spec, width):<6s} {spec.unit or '---':<6s} {spec.name:<18s} "
        explanation = f"{'? ' if spec.name in layout.incomplete else ''}{spec.description}"
        wrapped = _wrap(explanation, _WIDTH - len(head))
        yield head + wrapped[0]
        yield from (" " * len(head) + line for line in wrapped[1:])
        first = last + 2


def _format(spec: ColumnSpec, width: int) -> str:
    return f"{_LETTERS[spec.kind]}{width}" + (f".{spec.decimals}" if spec.kind == "float" else "")


def _wrap(text: str, width: int) -> list[str]:
    """Wrap a text so that no line but the first begins with a digit, which readers take for the next column."""
    for narrower in range(width, width // 2, -1):
        lines = textwrap.wrap(text, narrower)
        if not any(line[0].isdigit() for line in lines[1:]):
            return lines
    return [text]
