"""Published values of the morphology parameter c, from a table that the user gives."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from astropy.table import Table
from pydantic import Field

from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError
from cbminer.quantities import SettingsModel
from cbminer.tables import find_column, number_column, read_user_table

__all__ = ["VIZIER", "MorphologyTable", "MorphologyTableSettings", "morphology_by_star", "read_morphology_table"]

# Stands in the settings for the table of Bodi & Hajdu (2021), asked for at VizieR.
VIZIER = "vizier"

_WHAT = "morphology table"
_ID_NAMES = ("id", "name", "star", "ogle", "ogle_id", "object", "starid", "ogleid")
_C_NAMES = ("c", "morph", "morphology", "morph_c")
# The scale of Matijevic et al. 2012 runs from 0 to 1; the mapping of Bodi & Hajdu reaches 1.02.
_C_RANGE = (0.0, 1.1)


class MorphologyTableSettings(SettingsModel):
    """A table of published c."""

    table: str | None = Field(
        default=None,
        description="table with a star and its c a row; vizier: J/ApJS/255/1, fetched from VizieR; unset: c unknown",
    )
    id_column: str | None = Field(default=None, description="column of the star; unset: found by name")
    c_column: str | None = Field(default=None, description="column of c; unset: found by name")


@dataclass(frozen=True)
class MorphologyTable:
    """Values of c by star.

    Attributes
    ----------
    c : dict of str to float
        c of each star.
    n_duplicates : int
        Rows of a star that had one already; the first counts.
    n_out_of_range : int
        Rows whose c is not on the scale; they count as unknown.
    """

    c: dict[str, float]
    n_duplicates: int
    n_out_of_range: int

    def look_up(self, stars: npt.NDArray[np.str_]) -> FloatArray:
        """C of stars, NaN where the table has none.

        Parameters
        ----------
        stars : `~numpy.ndarray`
            Identifiers, shape (n,).

        Returns
        -------
        `~numpy.ndarray`
            c, shape (n,).
        """
        return np.array([self.c.get(str(star), np.nan) for star in stars], dtype=float)


def read_morphology_table(settings: MorphologyTableSettings) -> MorphologyTable:
    """Read the table that the settings name.

    Parameters
    ----------
    settings : MorphologyTableSettings
        Path and columns.

    Returns
    -------
    MorphologyTable
        c by star.

    Raises
    ------
    InputFormatError
        If the file is no table, or a column is missing.
    """
    path = Path(settings.table or "").expanduser()
    table = read_user_table(path, what=_WHAT)
    stars = find_column(table, _ID_NAMES, chosen=settings.id_column)
    value = find_column(table, _C_NAMES, chosen=settings.c_column)
    for found, name, setting in ((stars, "a star's name", "id_column"), (value, "c", "c_column")):
        if found is None:
            msg = (
                f"{_WHAT} {path} has no column for {name}; its columns are {', '.join(table.colnames)}. "
                f"Name the right one with {setting} under [morphology_table]"
            )
            raise InputFormatError(msg)
    return morphology_by_star(table, star=str(stars), value=str(value))


def morphology_by_star(table: Table, *, star: str = "id", value: str = "c") -> MorphologyTable:
    """Take the values of c out of a table.

    Parameters
    ----------
    table : `~astropy.table.Table`
        A row a star.
    star, value : str, optional
        Columns of the star and of c.

    Returns
    -------
    MorphologyTable
        c by star.
    """
    names = [str(name).strip() for name in np.ma.filled(table[star].astype(str), "")]
    data = number_column(table, value)
    c: dict[str, float] = {}
    duplicates = out_of_range = 0
    for name, number in zip(names, data, strict=True):
        if name in c:
            duplicates += 1
        elif not np.isnan(number) and not _C_RANGE[0] <= number <= _C_RANGE[1]:
            out_of_range += 1
        else:
            c[name] = float(number)
    return MorphologyTable(c, duplicates, out_of_range)
