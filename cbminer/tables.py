"""Tables that a user gives: read in any usual format, with their columns found by name or by number."""

import gzip
import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import ascii as text_tables
from astropy.io.registry import IORegistryError
from astropy.io.votable.exceptions import VOWarning
from astropy.table import Table

from cbminer.errors import InputFormatError

__all__ = ["find_column", "is_fits", "number_column", "read_user_table"]

_FORMATS = {
    ".ecsv": "ascii.ecsv",
    ".csv": "ascii.csv",
    ".vot": "votable",
    ".votable": "votable",
    ".xml": "votable",
    ".fits": "fits",
    ".fit": "fits",
    ".fts": "fits",
}
_HEAD_LINES = 200
_SEPARATORS = "\t;|,"
_INNER = "\x1f"
_BLANKS = ("", "-", "--", "---", "null", "NULL", "Null")
_NO_UNIT = {"", "-", "--", "---", "none"}
_UNITS = {"deg", "mag", "arcmin", "arcsec", "hourangle", "h", "d", "h:m:s", "d:m:s", "hh:mm:ss", "dd:mm:ss", "pix"}


def is_fits(path: Path) -> bool:
    """Tell by its name whether a file is a FITS file.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.

    Returns
    -------
    bool
        True for .fits, .fit, .fts and their compressed forms .gz and .fz.
    """
    return path.name.lower().removesuffix(".gz").removesuffix(".fz").endswith((".fits", ".fit", ".fts"))


def read_user_table(path: Path, *, what: str) -> Table:
    """Read a table in ECSV, CSV, VOTable, FITS or plain text.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    what : str
        What the table is for, named in messages.

    Returns
    -------
    `~astropy.table.Table`
        The table, with at least one row. The columns of a text without a header are called col1, col2 and so on.

    Raises
    ------
    InputFormatError
        If the file is missing, is a web page, is no table, or has no rows.

    Notes
    -----
    Plain text is parted by blanks, tabs, semicolons, bars or commas. Its names stand in the first line, or in a
    line of comment (``#``) that has as many words as there are columns. A line of units and a line of dashes below
    the names, which VizieR writes, are understood. Anything else is left to the guess of `astropy.io.ascii`.
    """
    if not path.is_file():
        msg = f"{what} {path} is not there: check the path"
        raise InputFormatError(msg)
    suffix = path.with_suffix("").suffix.lower() if path.suffix.lower() == ".gz" else path.suffix.lower()
    try:
        with warnings.catch_warnings():
            # A file that strays from its standard in a way that astropy mends is still a table.
            warnings.simplefilter("ignore", VOWarning)
            warnings.simplefilter("ignore", u.UnitsWarning)
            table: Table = Table.read(path, format=_FORMATS[suffix]) if suffix in _FORMATS else _read_text(path, what)
    except (OSError, ValueError, TypeError, IndexError, KeyError, IORegistryError) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        msg = (
            f"{what} {path} cannot be read as a table ({first_line}): "
            "give ECSV, CSV, VOTable, FITS or text with a header"
        )
        raise InputFormatError(msg) from error
    if len(table) == 0:
        msg = f"{what} {path} has no rows"
        raise InputFormatError(msg)
    return table


def find_column(table: Table, names: Sequence[str], *, chosen: str | int | None = None) -> str | None:
    """Find a column by what the user chose, or by the names in use for such a column.

    Parameters
    ----------
    table : `~astropy.table.Table`
        The table.
    names : sequence of str
        Names in use, in order of preference. A name in the same case counts before one in another case, since
        catalogues tell lower from upper errors by it (``e_`` and ``E_``). Units in square brackets are ignored.
    chosen : str or int, optional
        Name, or number from 1 on, that a setting gives; then only this one counts.

    Returns
    -------
    str or None
        Name of the column, or None if there is none.
    """
    columns: list[str] = table.colnames
    if isinstance(chosen, int):
        return columns[chosen - 1] if 1 <= chosen <= len(columns) else None
    if chosen is not None:
        return chosen if chosen in columns else None
    plain = {re.sub(r"\[.*?\]", "", column).strip(): column for column in reversed(columns)}
    lower = {name.lower(): column for name, column in plain.items()}
    same_case = next((plain[name] for name in names if name in plain), None)
    return same_case or next((lower[name.lower()] for name in names if name.lower() in lower), None)


def number_column(table: Table, name: str, *, unit: str = "", where: str = "the table") -> Any:
    """Values of a numeric column as floats, in a unit if the column has one, unknown ones as NaN.

    Parameters
    ----------
    table : `~astropy.table.Table`
        The table.
    name : str
        Column name.
    unit : str, optional
        Unit to convert to where the column has a unit.
    where : str, optional
        Name of the table in messages.

    Returns
    -------
    `~numpy.ndarray`
        1-D float array.

    Raises
    ------
    InputFormatError
        If the column does not hold numbers, or holds them in a unit that cannot be converted.
    """
    column = table[name]
    try:
        data: Any = np.ma.filled(np.ma.asarray(column, dtype=float), np.nan)
        if unit and column.unit is not None:
            data = data * column.unit.to(unit)
    except (TypeError, ValueError, AttributeError) as error:
        reason = _first_fault(column) or str(error)
        msg = f"column {name} of {where} does not hold numbers in {unit or 'a usable form'}: {reason}"
        raise InputFormatError(msg) from error
    if data.ndim != 1:
        msg = f"column {name} of {where} holds {data.shape[1]} numbers a row: expected one"
        raise InputFormatError(msg)
    return data


def _first_fault(column: Any) -> str:
    """Row and text of the first entry that is no number; empty if all are numbers."""
    mask = np.ma.getmaskarray(column)
    for row, (entry, masked) in enumerate(zip(column, mask, strict=True), start=1):
        if not masked and np.ndim(entry) == 0 and not _is_number(str(entry)):
            return f"row {row} has {str(entry)!r}"
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class _Layout:
    """How a text is laid out: its names and units, what parts its fields, and where its rows begin."""

    names: list[str]
    units: list[str]
    separator: str
    skip: int


def _read_text(path: Path, what: str) -> Table:
    opener: Any = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rt", encoding="utf-8", errors="replace") as file:
        text = file.read()
    head = [line.rstrip("\n") for line in islice(io.StringIO(text), _HEAD_LINES)]
    if any(re.match(r"\s*<(!doctype\s+)?html", line, flags=re.IGNORECASE) for line in head[:20]):
        msg = f"{what} {path} is a web page, not a table: save the table that the page shows or links to as text"
        raise InputFormatError(msg)
    layout = _layout(head)
    if layout is None:
        return Table.read(path, format="ascii")
    # The reader takes blanks off the ends of a line, and with them tabs that enclose empty fields.
    separator = _INNER if layout.separator == "\t" else layout.separator
    table = text_tables.read(
        text.replace("\t", _INNER) if layout.separator == "\t" else text,
        format="no_header",
        guess=False,
        delimiter=separator,
        data_start=layout.skip,
        names=layout.names,
        fill_values=[(blank, "0") for blank in _BLANKS],
    )
    for name, written in zip(layout.names, layout.units, strict=True):
        plain = written.strip("[]()")
        unit = None if plain.lower() in _NO_UNIT else u.Unit(plain, parse_strict="silent")
        if unit is not None and not isinstance(unit, u.UnrecognizedUnit):
            table[name].unit = unit
    return table


def _layout(head: list[str]) -> _Layout | None:
    """Layout of a text of which the first lines are given; None if it is not a plain one."""
    rows = [line for line in head if line.strip() and not line.lstrip().startswith("#")]
    if not rows:
        return None
    separator = next((mark for mark in _SEPARATORS if all(mark in row for row in rows)), " ")
    fields = [_fields(row, separator) for row in rows]
    skip = next((i for i, row in enumerate(fields) if any(_is_number(field) for field in row)), len(fields))
    if skip == len(fields) or any(len(row) != len(fields[skip]) for row in fields):
        return None
    comments = [_fields(line.lstrip(" #"), separator) for line in head if line.lstrip().startswith("#")]
    above = fields[:skip] or [words for words in comments if len(words) == len(fields[skip])]
    above = [words for words in above if not all(re.fullmatch(r"-*", word) for word in words)]
    units = next((words for words in above if _are_units(words)), [""] * len(fields[skip]))
    headers = [words for words in above if not _are_units(words) and not any(map(_is_number, words))]
    if skip and not headers:
        return None
    # Of a file's own lines the first is the header; of its comments the one next to the numbers.
    names = (headers[0] if skip else headers[-1]) if headers else [f"col{i + 1}" for i in range(len(fields[skip]))]
    return _Layout(_distinct(names), units, separator, skip)


def _fields(line: str, separator: str) -> list[str]:
    if separator == " ":
        return line.split()
    return [field.strip() for field in line.split(separator)]


def _are_units(words: list[str]) -> bool:
    """Tell whether the words of a line are units: in brackets all of them, or known ones."""
    if all(re.fullmatch(r"[\[(].*[\])]", word) for word in words):
        return True
    plain = {word.strip("\"'").lower() for word in words} - _NO_UNIT
    return bool(plain) and plain <= _UNITS


def _distinct(names: list[str]) -> list[str]:
    """Names without repeats: a later one of the same name gets its number."""
    return [name if names.index(name) == i else f"{name}_{i + 1}" for i, name in enumerate(names)]
