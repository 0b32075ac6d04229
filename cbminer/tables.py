"""Tables that a user gives: read in any usual format, with their columns found by name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io.registry import IORegistryError
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
}


def is_fits(path: Path) -> bool:
    """Tell by its name whether a file is a FITS file.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.

    Returns
    -------
    bool
        True for .fits, .fit and their gzipped forms.
    """
    return path.name.lower().removesuffix(".gz").endswith((".fits", ".fit"))


def read_user_table(path: Path, *, what: str) -> Table:
    """Read a table in ECSV, CSV, VOTable, FITS or plain text with a header line.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    what : str
        What the table is for, named in messages.

    Returns
    -------
    `~astropy.table.Table`
        The table, with at least one row.

    Raises
    ------
    InputFormatError
        If the file is missing, is no table, or has no rows.
    """
    if not path.is_file():
        msg = f"{what} {path} is not there: check the path"
        raise InputFormatError(msg)
    suffix = path.with_suffix("").suffix.lower() if path.suffix.lower() == ".gz" else path.suffix.lower()
    try:
        table: Table = Table.read(path, format=_FORMATS.get(suffix, "ascii"))
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


def find_column(table: Table, names: Sequence[str], *, chosen: str | None = None) -> str | None:
    """Find a column by the name that the user chose, or by the names in use for such a column.

    Parameters
    ----------
    table : `~astropy.table.Table`
        The table.
    names : sequence of str
        Names in use, compared without regard to case.
    chosen : str, optional
        Name that a setting gives; then only this one counts.

    Returns
    -------
    str or None
        Name of the column, or None if there is none.
    """
    if chosen is not None:
        return chosen if chosen in table.colnames else None
    by_lower = {name.lower(): name for name in reversed(table.colnames)}
    return next((by_lower[name.lower()] for name in names if name.lower() in by_lower), None)


def number_column(table: Table, name: str, *, unit: str = "") -> Any:
    """Values of a numeric column as floats, in a unit if the column has one, unknown ones as NaN.

    Parameters
    ----------
    table : `~astropy.table.Table`
        The table.
    name : str
        Column name.
    unit : str, optional
        Unit to convert to where the column has a unit.

    Returns
    -------
    `~numpy.ndarray`
        1-D float array.

    Raises
    ------
    InputFormatError
        If the column does not hold numbers.
    """
    column = table[name]
    try:
        data: Any = np.ma.filled(np.ma.asarray(column, dtype=float), np.nan)
        if unit and column.unit is not None:
            data = data * column.unit.to(unit)
    except (TypeError, ValueError, AttributeError) as error:
        msg = f"column {name} of the table does not hold numbers in {unit or 'a usable form'}: {error}"
        raise InputFormatError(msg) from error
    return data
