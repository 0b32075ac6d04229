"""What a table of stars says of its stars itself: values with their errors, for some stars or for all."""

from dataclasses import dataclass

import numpy as np
from astropy.table import QTable

from cbminer.columns import FloatArray, values
from cbminer.errors import InputFormatError

__all__ = ["Stated", "stated"]


@dataclass(frozen=True)
class Stated:
    """Values that a table states.

    Attributes
    ----------
    value, error : `~numpy.ndarray`
        Values and errors, shape (n,); NaN where unknown.
    """

    value: FloatArray
    error: FloatArray


def stated(stars: QTable, name: str, unit: str, *, error: float | None = None) -> Stated | None:
    """Values of a column and of its errors.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Stars of a catalogue; the errors are in a column of the same name after ``e_``.
    name : str
        Name of the column.
    unit : str
        Unit of the result.
    error : float, optional
        Error of values that have none of their own. Without it they do not count: a number of unknown error cannot be
        weighed.

    Returns
    -------
    Stated or None
        Values that can be used, each with its error; None of a table without that column.

    Raises
    ------
    InputFormatError
        If there is no column of errors, and no error to take in its place.
    """
    if name not in stars.colnames:
        return None
    value = values(stars, name, unit)
    if f"e_{name}" in stars.colnames:
        own = values(stars, f"e_{name}", unit)
        with np.errstate(invalid="ignore"):
            own = np.where(np.isfinite(own) & (own >= 0), own, np.nan)
    elif error is None:
        msg = f"the table of stars has the column {name}, but not e_{name}: name the column of its errors under [table]"
        raise InputFormatError(msg)
    else:
        own = np.full(len(stars), np.nan)
    if error is not None:
        own = np.where(np.isnan(own), error, own)
    known = np.isfinite(value) & np.isfinite(own)
    return Stated(np.where(known, value, np.nan), np.where(known, own, np.nan))
