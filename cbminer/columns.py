"""Columns in and out of astropy tables: masked or NaN outside, NaN inside the arithmetic."""

import unicodedata
from collections.abc import Iterable
from typing import Any

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.table import MaskedColumn, QTable
from astropy.utils.masked import Masked

__all__ = ["FloatArray", "ascii_form", "float_column", "label_column", "text_column", "values"]

FloatArray = npt.NDArray[np.float64]


def values(table: QTable, name: str, unit: str = "") -> FloatArray:
    """Values of a column as plain floats, unknown ones as NaN.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        Any table with that column; a column without unit is taken to be in `unit`.
    name : str
        Column name.
    unit : str, optional
        Unit of the result; dimensionless by default.

    Returns
    -------
    `~numpy.ndarray`
        1-D float64 array, a copy.
    """
    column = table[name]
    mask = np.zeros(len(column), dtype=bool) | getattr(column, "mask", False)
    data: Any = getattr(column, "unmasked", column)
    if isinstance(data, u.Quantity):
        plain = data.to_value(unit)
    else:
        plain = data.data if isinstance(data, MaskedColumn) else np.asarray(data)
    return np.where(mask, np.nan, np.ma.getdata(plain).astype(float))


def float_column(data: npt.ArrayLike, unit: str = "") -> Any:
    """Make a column from floats in which NaN means unknown.

    Parameters
    ----------
    data : array_like
        1-D floats.
    unit : str, optional
        Unit; without one the result is a masked column.

    Returns
    -------
    `~astropy.utils.masked.Masked` Quantity or `~astropy.table.MaskedColumn`
        The values with NaN masked.
    """
    array = np.array(data, dtype=float)
    mask = np.isnan(array)
    if unit:
        return Masked(u.Quantity(array, unit), mask=mask)
    return MaskedColumn(array, mask=mask)


def text_column(items: Iterable[str]) -> MaskedColumn:
    """Make a column of text in which an empty string means unknown.

    Parameters
    ----------
    items : iterable of str
        The texts.

    Returns
    -------
    `~astropy.table.MaskedColumn`
        The texts with empty ones masked.
    """
    data = np.array(list(items), dtype=str)
    return MaskedColumn(data, mask=data == "")


def label_column(table: QTable, name: str) -> npt.NDArray[np.str_]:
    """Text column as a plain array of strings, masked entries empty.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        Any table with that column.
    name : str
        Column name.

    Returns
    -------
    `~numpy.ndarray`
        1-D array of str.
    """
    column = table[name]
    filled = column.filled("") if hasattr(column, "filled") else column
    return np.asarray(filled, dtype=str)


def ascii_form(name: str) -> str:
    """Write a text as FITS can hold it.

    Parameters
    ----------
    name : str
        Any text.

    Returns
    -------
    str
        Printable ASCII: accents go, other letters become ``?``.
    """
    if name.isascii() and name.isprintable():
        return name
    letters = (letter for letter in unicodedata.normalize("NFKD", name) if not unicodedata.combining(letter))
    return "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in letters)
