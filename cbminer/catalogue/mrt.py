"""Machine-readable tables in the format of the AAS journals.

astropy reads this format but its writer (8.0) gives columns without any value no width, so that all columns after
them are read from the wrong bytes. Columns without values are common here, so the table is written from the schema.
"""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from astropy.table import Table

from cbminer.catalogue.schema import COLUMNS, ColumnSpec

__all__ = ["machine_readable_table"]

_WIDTH = 80
_RULE = "-" * _WIDTH
_DOUBLE_RULE = "=" * _WIDTH


@dataclass(frozen=True)
class _Field:
    """A column as text: its cells, padded to one width."""

    spec: ColumnSpec
    cells: list[str]
    width: int
    has_null: bool

    @property
    def format(self) -> str:
        letter = {"text": "A", "integer": "I", "boolean": "I", "float": "F"}[self.spec.kind]
        return f"{letter}{self.width}" + (f".{self.spec.decimals}" if letter == "F" else "")


def machine_readable_table(table: Table, *, title: str, authors: str, subject: str) -> str:
    """Write a table of the schema as a machine-readable table.

    Parameters
    ----------
    table : `~astropy.table.Table`
        Table with every column of the schema, floats rounded to its decimals.
    title, authors, subject : str
        Lines of the heading.

    Returns
    -------
    str
        The file.
    """
    fields = [_field(table, spec) for spec in COLUMNS]
    lines = [
        f"Title: {_one_line(title)}",
        f"Authors: {_one_line(authors)}",
        f"Table: {_one_line(subject)}",
        _DOUBLE_RULE,
        "Byte-by-byte Description of file: table.dat",
        _RULE,
        " Bytes   Format Units  Label              Explanations",
        _RULE,
        *_byte_by_byte(fields),
        _RULE,
        "Note: a blank field is an unknown value.",
        _RULE,
    ]
    rows = (" ".join(cells) for cells in zip(*(field.cells for field in fields), strict=True))
    return "\n".join([*lines, *rows]) + "\n"


def _field(table: Table, spec: ColumnSpec) -> _Field:
    column = table[spec.name]
    mask = np.ma.getmaskarray(column)
    texts = ["" if masked else _cell(value, spec) for value, masked in zip(column, mask, strict=True)]
    # A column without values still takes a byte, so that no two columns share one.
    width = max([len(text) for text in texts] + [spec.decimals + 2 if spec.kind == "float" else 1])
    aligned = [text.ljust(width) if spec.kind == "text" else text.rjust(width) for text in texts]
    return _Field(spec, aligned, width, any(not text for text in texts))


def _cell(value: object, spec: ColumnSpec) -> str:
    if spec.kind == "text":
        # The format knows bytes, not characters: anything else than ASCII would shift the columns after it.
        return _one_line(str(value)).encode("ascii", "replace").decode("ascii")
    if spec.kind == "float":
        return f"{float(str(value)):{spec.format}}"
    return str(int(value))  # type: ignore[call-overload]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _byte_by_byte(fields: list[_Field]) -> Iterator[str]:
    first = 1
    for field in fields:
        last = first + field.width - 1
        place = f"{first:4d}-{last:4d}" if field.width > 1 else f"     {last:4d}"
        unit = field.spec.unit or "---"
        head = f"{place} {field.format:<6s} {unit:<6s} {field.spec.name:<18s} "
        explanation = f"{'? ' if field.has_null else ''}{field.spec.description}"
        wrapped = _wrap(explanation, _WIDTH - len(head))
        yield head + wrapped[0]
        yield from (" " * len(head) + line for line in wrapped[1:])
        first = last + 2


def _wrap(text: str, width: int) -> list[str]:
    """Wrap a text so that no line but the first begins with a digit, which readers take for the next column."""
    for narrower in range(width, width // 2, -1):
        lines = textwrap.wrap(text, narrower)
        if not any(line[0].isdigit() for line in lines[1:]):
            return lines
    return [text]
