"""Comma-separated target lists: written whole, and read line by line with the number of each line."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError
from cbminer.followup.target_formats.schema import Cell, Row, TableSchema, check_names, checked_rows

__all__ = ["comma_separated", "number_cells", "read_comma_separated", "read_lines"]


def comma_separated(
    schema: TableSchema,
    rows: Sequence[Mapping[str, str]],
    *,
    path: Path,
    comments: Sequence[str] = (),
    header_mark: str = "",
) -> str:
    """Text of a list, after a check of every row.

    Parameters
    ----------
    schema : TableSchema
        Rules; columns that no row has are left out.
    rows : sequence of mapping
        Cells by column.
    path : `~pathlib.Path`
        Place of the file, for messages.
    comments : sequence of str, optional
        Lines above the header, without their mark.
    header_mark : str, optional
        What stands before the first name of the header.

    Returns
    -------
    str
        The text.

    Raises
    ------
    InputFormatError
        If a row breaks the rules of the format.
    """
    for _ in checked_rows(schema, (Row(f"row {i}", row) for i, row in enumerate(rows, start=1)), path=path):
        pass
    names = [rule.name for rule in schema.column if rule.present or any(rule.name in row for row in rows)]
    text = io.StringIO()
    for comment in comments:
        text.write(f"# {comment}\n")
    text.write(header_mark)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([row.get(name, "") for name in names] for row in rows)
    return text.getvalue()


def read_comma_separated(
    schema: TableSchema, path: Path, *, comments: bool, header_mark: str = ""
) -> list[dict[str, Cell]]:
    """Read a list and check it.

    Parameters
    ----------
    schema : TableSchema
        Rules.
    path : `~pathlib.Path`
        File.
    comments : bool
        Whether lines that begin with ``#`` are comments, and empty lines nothing.
    header_mark : str, optional
        What stands before the first name of the header.

    Returns
    -------
    list of dict
        Values by column, a row a star.

    Raises
    ------
    InputFormatError
        If the file cannot be read or breaks the rules; the message names the line and the column.
    """
    lines = iter(_split(path, comments=comments, header_mark=header_mark))
    _, names = next(lines, (0, []))
    names = [name.strip() for name in names]
    check_names(schema, names, path=path)
    return list(checked_rows(schema, _rows(lines, names, path), path=path))


def _rows(lines: Iterator[tuple[int, list[str]]], names: Sequence[str], path: Path) -> Iterator[Row]:
    for number, cells in lines:
        if len(cells) != len(names):
            msg = f"{path}, line {number}: {len(cells)} cells stand under {len(names)} columns: add or remove commas"
            raise InputFormatError(msg)
        yield Row(f"line {number}", dict(zip(names, (cell.strip() for cell in cells), strict=True)))


def _split(path: Path, *, comments: bool, header_mark: str) -> Iterator[tuple[int, list[str]]]:
    header = True
    for number, line in enumerate(read_lines(path), start=1):
        text = line
        if header and header_mark and line.startswith(header_mark):
            text = line.removeprefix(header_mark)
        elif comments and (not line.strip() or line.lstrip().startswith("#")):
            continue
        header = False
        try:
            yield number, next(csv.reader([text], strict=True), [])
        except csv.Error as error:
            msg = f"{path}, line {number}: it is no comma-separated line ({error}): close its quotes"
            raise InputFormatError(msg) from error


def read_lines(path: Path) -> list[str]:
    """Read the lines of a text.

    Parameters
    ----------
    path : `~pathlib.Path`
        File.

    Returns
    -------
    list of str
        Its lines.

    Raises
    ------
    InputFormatError
        If it cannot be read or is no UTF-8 text.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        msg = f"{path} cannot be read ({error.strerror}): name a target list"
        raise InputFormatError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path} is no UTF-8 text: name a target list of that format"
        raise InputFormatError(msg) from error
    return text.split("\n")[:-1] if text.endswith("\n") else text.split("\n")


def number_cells(rows: Sequence[Mapping[str, Cell]], name: str) -> FloatArray:
    """Values of a column of numbers.

    Parameters
    ----------
    rows : sequence of mapping
        Values by column, as a reader gives them.
    name : str
        The column.

    Returns
    -------
    `~numpy.ndarray`
        1-D float64 array, NaN where a row has no value.
    """
    cells = (row.get(name) for row in rows)
    return np.array([np.nan if cell is None else float(cell) for cell in cells], dtype=float)
