"""What the maps of reddening have in common: their columns, their values and errors, and their conversion to E(V-I)."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.table import Table

from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError, SettingsError
from cbminer.photometry.reddening import MapSample, ReddeningSettings
from cbminer.tables import find_column

__all__ = [
    "WHAT",
    "ColumnNames",
    "Layers",
    "chosen_column",
    "conversion",
    "is_known",
    "missing_column",
    "part_of",
    "quantity_named",
    "sample_of",
    "value_columns",
]

WHAT = "reddening map"
# OGLE writes 9.999 and 99.999 for what is unknown, HEALPix -1.6375e30; no line of sight through the Clouds comes near,
# and no OB star is seen through those of the Galactic plane that do.
_UNKNOWN_FROM = 9.99
# VizieR writes E(V-I) as E_V-I_ in VOTable and FITS.
_VALUE_NAMES = {
    "E(V-I)": ("E(V-I)", "E_V-I_", "E_VI", "EVI", "E_V_I", "E_V-I", "EV-I", "E(V-I)_mean", "reddening_vi"),
    "E(B-V)": ("E(B-V)", "E_B-V_", "E_BV", "EBV", "E_B_V", "E_B-V", "EB-V", "reddening_bv"),
}
_LOWER_NAMES = (
    *("-sigma1", "sigma1", "-sigma_1", "sigma_1", "-sig1", "sig1", "-s1", "s1", "-sigma", "sigma-", "sigma_minus"),
    *("e_E(V-I)", "e_E_V-I_", "e_E_VI", "E_VI_err_minus", "e_E(B-V)", "e_E_B-V_", "e_E_BV"),
    *("err_minus", "err_lower", "err_low", "error_lower", "lower_error", "-err", "err-"),
)
_UPPER_NAMES = (
    *("+sigma2", "sigma2", "+sigma_2", "sigma_2", "+sig2", "sig2", "+s2", "s2", "+sigma", "sigma+", "sigma_plus"),
    *("E_E(V-I)", "E_E_V-I_", "E_E_VI", "E_VI_err_plus", "E_E(B-V)", "E_E_B-V_", "E_E_BV"),
    *("err_plus", "err_upper", "err_up", "error_upper", "upper_error", "+err", "err+"),
)
_ERROR_NAMES = (
    *("e_E(V-I)", "e_E_V-I_", "e_E_VI", "e_EVI", "e_E(B-V)", "e_E_B-V_", "e_E_BV", "e_EBV"),
    *("EBV_ERROR", "EBV_ERR", "EVI_ERROR", "EVI_ERR", "err", "error", "sigma", "stddev", "e_value"),
)


@dataclass(frozen=True)
class ColumnNames:
    """Names of the columns of a map.

    Attributes
    ----------
    value : str
        Column of the reddening.
    lower, upper : str or None
        Columns of the errors to both sides, one and the same for symmetric errors; None without errors.
    quantity : str
        What the map holds, "E(V-I)" or "E(B-V)".
    """

    value: str
    lower: str | None
    upper: str | None
    quantity: str


@dataclass(frozen=True)
class Layers:
    """Values and errors of the cells of a map, as they stand in the file.

    Attributes
    ----------
    value : `~numpy.ndarray`
        Reddening of the cells, of any shape.
    lower, upper : `~numpy.ndarray` or None
        Errors to both sides, of the same shape; None without errors.
    factor : float
        What turns the numbers into E(V-I).
    """

    value: Any
    lower: Any
    upper: Any
    factor: float

    def take(self, index: tuple[npt.NDArray[np.int64], ...]) -> FloatArray:
        """Reddening and errors of some cells.

        Parameters
        ----------
        index : tuple of `~numpy.ndarray`
            Indices of the cells along every axis, all of one shape.

        Returns
        -------
        `~numpy.ndarray`
            E(V-I), lower and upper error in mag along the first axis, and NaN for what is unknown.
        """
        taken = [np.asarray(self.value[index], dtype=float)]
        for side in (self.lower, self.upper):
            error = np.full(taken[0].shape, np.nan) if side is None else np.asarray(side[index], dtype=float)
            taken.append(np.where(error >= 0, error, np.nan))
        stack = np.stack(taken)
        result: FloatArray = np.where(is_known(stack), stack, np.nan) * self.factor
        return result

    def blend(self, index: tuple[npt.NDArray[np.int64], ...], weights: FloatArray) -> FloatArray:
        """Weighted mean of cells, of those that hold a value.

        Parameters
        ----------
        index : tuple of `~numpy.ndarray`
            Indices of the cells along every axis, of shape (k, n): k neighbours of n positions.
        weights : `~numpy.ndarray`
            Their weights, shape (k, n).

        Returns
        -------
        `~numpy.ndarray`
            E(V-I), lower and upper error in mag, shape (3, n). Errors are averaged like the values, as if neighbours
            erred together: maps are smoothed, so that a smaller error would claim too much.
        """
        stack = self.take(index)
        share = np.where(np.isnan(stack), 0.0, weights)
        total = share.sum(axis=1)
        mean = (share * np.nan_to_num(stack)).sum(axis=1) / np.where(total > 0, total, np.nan)
        result: FloatArray = mean
        return result


def is_known(numbers: Any) -> npt.NDArray[np.bool_]:
    """Tell which numbers of a map are reddenings or errors, and no signs of missing ones.

    Parameters
    ----------
    numbers : array_like
        Numbers of the file in mag.

    Returns
    -------
    `~numpy.ndarray`
        False for NaN and for numbers of 9.99 and more, positive or negative.
    """
    known: npt.NDArray[np.bool_] = np.abs(numbers) < _UNKNOWN_FROM
    return known


def sample_of(stack: FloatArray, inside: npt.NDArray[np.bool_]) -> MapSample:
    """Sample of a map from its numbers.

    Parameters
    ----------
    stack : `~numpy.ndarray`
        E(V-I), lower and upper error in mag, shape (3, n).
    inside : `~numpy.ndarray`
        Whether a position lies in the map, shape (n,); outside, the numbers count as unknown.

    Returns
    -------
    MapSample
        The sample.
    """
    value, lower, upper = np.where(inside, stack, np.nan)
    return MapSample(value, lower, upper, inside)


def value_columns(table: Table, settings: ReddeningSettings, where: str) -> ColumnNames:
    """Find the columns of the reddening and its errors.

    Parameters
    ----------
    table : `~astropy.table.Table`
        The table; only its column names count.
    settings : ReddeningSettings
        Columns that the user chose.
    where : str
        Name of the map in messages.

    Returns
    -------
    ColumnNames
        The names.

    Raises
    ------
    InputFormatError
        If a column is missing.
    SettingsError
        If nothing tells whether the map holds E(V-I) or E(B-V).
    """
    value = _value_column(table, settings, where)
    quantity = settings.quantity or quantity_named(value)
    if quantity is None:
        msg = f"{where} does not tell what its column {value} holds: set quantity under [reddening]"
        raise SettingsError(msg)
    lower = chosen_column(table, _LOWER_NAMES, settings.lower_error_column, "lower_error_column", where)
    upper = chosen_column(table, _UPPER_NAMES, settings.upper_error_column, "upper_error_column", where)
    if settings.error_column is not None or lower is None or upper is None:
        # One column of errors. A lone e_ is symmetric; only with its E_ it is the lower one of two.
        lower = upper = chosen_column(table, _ERROR_NAMES, settings.error_column, "error_column", where)
    return ColumnNames(value, lower, upper, quantity)


def chosen_column(
    table: Table, names: tuple[str, ...], chosen: str | int | None, setting: str, where: str
) -> str | None:
    """Find the column that the user chose, or one of the names in use.

    Parameters
    ----------
    table : `~astropy.table.Table`
        The table.
    names : tuple of str
        Names in use for such a column.
    chosen : str, int or None
        Value of the setting.
    setting : str
        Name of the setting.
    where : str
        Name of the map in messages.

    Returns
    -------
    str or None
        Name of the column; None if nothing was chosen and no name in use is there.

    Raises
    ------
    InputFormatError
        If the user chose a column that is not there.
    """
    found = find_column(table, names, chosen=chosen)
    if found is None and chosen is not None:
        raise missing_column(table, str(chosen), setting, where)
    return found


def missing_column(table: Table, wanted: str, setting: str, where: str) -> InputFormatError:
    """Error about a column that is not there.

    Parameters
    ----------
    table : `~astropy.table.Table`
        The table.
    wanted : str
        What was looked for.
    setting : str
        Setting that names the column.
    where : str
        Name of the map.

    Returns
    -------
    InputFormatError
        To be raised.
    """
    return InputFormatError(
        f"{where} has no column {wanted}; its columns are {', '.join(table.colnames)}. "
        f"Name the right one, or its number from 1 on, with {setting} under [reddening]"
    )


def _value_column(table: Table, settings: ReddeningSettings, where: str) -> str:
    if settings.value_column is not None:
        return str(chosen_column(table, (), settings.value_column, "value_column", where))
    for quantity, names in _VALUE_NAMES.items():
        found = find_column(table, names) if settings.quantity in {None, quantity} else None
        if found is not None:
            return found
    raise missing_column(table, settings.quantity or "E(V-I) or E(B-V)", "value_column", where)


def quantity_named(name: str) -> str | None:
    """Tell from a name whether it is one of E(V-I) or of E(B-V).

    Parameters
    ----------
    name : str
        Name of a column or an image.

    Returns
    -------
    str or None
        "E(V-I)", "E(B-V)", or None if the name does not tell.
    """
    plain = re.sub(r"\[.*?\]|\bmag\b", "", name).strip().lower()
    for quantity, names in _VALUE_NAMES.items():
        if plain in {known.lower() for known in names}:
            return quantity
    return None


def conversion(quantity: str, settings: ReddeningSettings, where: str) -> float:
    """Factor from what a map holds to E(V-I).

    Parameters
    ----------
    quantity : str
        "E(V-I)" or "E(B-V)".
    settings : ReddeningSettings
        Settings with the ratio of both.
    where : str
        Name of the map in messages.

    Returns
    -------
    float
        The factor.

    Raises
    ------
    SettingsError
        If the ratio is needed and not given.
    """
    if quantity == "E(V-I)":
        return 1.0
    if settings.E_VI_per_E_BV is None:
        msg = f"{where} holds E(B-V): set E_VI_per_E_BV under [reddening] (1.24 to 1.38 are in use)"
        raise SettingsError(msg)
    return settings.E_VI_per_E_BV


def part_of(hdus: Any, chosen: str | int, setting: str, where: str) -> int:
    """Find the part of a FITS file that a setting names.

    Parameters
    ----------
    hdus : `~astropy.io.fits.HDUList`
        The file.
    chosen : str or int
        Name, or number from 0 on.
    setting : str
        Name of the setting.
    where : str
        Name of the map in messages.

    Returns
    -------
    int
        The number.

    Raises
    ------
    InputFormatError
        If there is no such part.
    """
    names = [str(hdu.name).upper() for hdu in hdus]
    number = names.index(chosen.upper()) if isinstance(chosen, str) and chosen.upper() in names else chosen
    if isinstance(number, int) and 0 <= number < len(names):
        return number
    listed = ", ".join(f"{index} {name}" for index, name in enumerate(names))
    msg = f"{where} has no part {chosen}; its parts are {listed}. Set {setting} under [reddening]"
    raise InputFormatError(msg)
