"""Reddening E(V-I) of the stars: the mean of a Cloud, or a map that the user gives."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.utils.exceptions import AstropyUserWarning
from astropy.wcs import WCS, FITSFixedWarning
from pydantic import Field

from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError, SettingsError
from cbminer.flags import Flag
from cbminer.quantities import Degrees, Magnitudes, SettingsModel
from cbminer.tables import find_column, is_fits, number_column, read_user_table

__all__ = [
    "ImageMap",
    "MeanReddening",
    "Reddening",
    "ReddeningMap",
    "ReddeningSettings",
    "TableMap",
    "read_reddening_map",
    "reddening_of",
]

_WHAT = "reddening map"
_RA_NAMES = ("ra", "raj2000", "ra_j2000", "_raj2000", "radeg", "ra_deg")
_DEC_NAMES = ("dec", "dej2000", "dec_j2000", "decj2000", "_dej2000", "dedeg", "de", "dec_deg")
_VALUE_NAMES = {
    "E(V-I)": ("E(V-I)", "E_VI", "EVI", "E_V_I", "e_v-i"),
    "E(B-V)": ("E(B-V)", "E_BV", "EBV", "E_B_V", "e_b-v"),
}
_ERROR_NAMES = ("e_E(V-I)", "e_E_VI", "e_E(B-V)", "e_E_BV", "err", "error", "sigma")


class MeanReddening(SettingsModel):
    """Mean reddening of a Cloud and its scatter from star to star."""

    E_VI: Magnitudes = Field(ge=0, description="mean E(V-I)")
    scatter: Magnitudes = Field(ge=0, description="scatter of E(V-I), taken as the error of every star")


class ReddeningSettings(SettingsModel):
    """A reddening map to use instead of the mean."""

    map: str | None = Field(default=None, description="table of cells or FITS image; unset: the mean of the Cloud")
    quantity: Literal["E(V-I)", "E(B-V)"] | None = Field(
        default=None, description="what the map holds; unset: told by the column name, E(V-I) for an image"
    )
    E_VI_per_E_BV: float | None = Field(
        default=None, gt=0, description="E(V-I)/E(B-V), needed for a map of E(B-V); 1.24 to 1.38 are in use"
    )
    ra_column: str | None = Field(default=None, description="column of the right ascension; unset: found by name")
    dec_column: str | None = Field(default=None, description="column of the declination; unset: found by name")
    value_column: str | None = Field(default=None, description="column of the reddening; unset: found by name")
    error_column: str | None = Field(default=None, description="column of its error; unset: found by name, if any")
    max_separation: Degrees = Field(
        default=0.35, gt=0, description="farther than this from every cell a star is outside of the map"
    )


@dataclass(frozen=True)
class Reddening:
    """Reddening of stars.

    Attributes
    ----------
    E_VI, error : `~numpy.ndarray`
        E(V-I) and its error in mag, shape (n,); NaN outside of a map.
    flags : `~numpy.ndarray`
        Bits of `~cbminer.flags.Flag` that tell where a substitute was used, shape (n,).
    """

    E_VI: FloatArray
    error: FloatArray
    flags: npt.NDArray[np.int64]


class ReddeningMap(Protocol):
    """A map that answers for positions."""

    def at(self, ra: FloatArray, dec: FloatArray) -> tuple[FloatArray, FloatArray]:
        """E(V-I) and its error at positions in degrees; NaN where the map does not tell."""


@dataclass(frozen=True)
class TableMap:
    """Cells of a map, each with a position; a star takes the value of the nearest cell.

    Attributes
    ----------
    ra, dec : `~numpy.ndarray`
        Centres of the cells in degrees.
    E_VI, error : `~numpy.ndarray`
        E(V-I) and its error in mag; NaN where the map gives no error.
    max_separation : float
        Reach of a cell in degrees.
    """

    ra: FloatArray
    dec: FloatArray
    E_VI: FloatArray
    error: FloatArray
    max_separation: float

    def at(self, ra: FloatArray, dec: FloatArray) -> tuple[FloatArray, FloatArray]:
        """E(V-I) and its error at positions.

        Parameters
        ----------
        ra, dec : `~numpy.ndarray`
            Positions in degrees, ICRS.

        Returns
        -------
        E_VI, error : `~numpy.ndarray`
            In mag, NaN where the map does not tell.
        """
        cells = SkyCoord(self.ra, self.dec, unit="deg")
        index, separation, _ = SkyCoord(ra, dec, unit="deg").match_to_catalog_sky(cells)
        inside = separation.deg <= self.max_separation
        return np.where(inside, self.E_VI[index], np.nan), np.where(inside, self.error[index], np.nan)


@dataclass(frozen=True)
class ImageMap:
    """An image of E(V-I) with celestial coordinates; a star takes the value of its pixel.

    Attributes
    ----------
    wcs : `~astropy.wcs.WCS`
        Celestial coordinates of the image.
    E_VI : `~numpy.ndarray`
        Image in mag, 2-D.
    """

    wcs: Any
    E_VI: FloatArray

    def at(self, ra: FloatArray, dec: FloatArray) -> tuple[FloatArray, FloatArray]:
        """E(V-I) at positions; an image has no errors.

        Parameters
        ----------
        ra, dec : `~numpy.ndarray`
            Positions in degrees, ICRS.

        Returns
        -------
        E_VI, error : `~numpy.ndarray`
            In mag, NaN outside of the image and for every error.
        """
        x, y = self.wcs.world_to_pixel(SkyCoord(ra, dec, unit="deg"))
        height, width = self.E_VI.shape
        inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
        column = np.where(inside, np.rint(x), 0).astype(int).clip(0, width - 1)
        row = np.where(inside, np.rint(y), 0).astype(int).clip(0, height - 1)
        return np.where(inside, self.E_VI[row, column], np.nan), np.full(len(ra), np.nan)


def read_reddening_map(settings: ReddeningSettings) -> TableMap | ImageMap:
    """Read the map that the settings name.

    Parameters
    ----------
    settings : ReddeningSettings
        Path and columns of the map.

    Returns
    -------
    TableMap or ImageMap
        The map, converted to E(V-I).

    Raises
    ------
    InputFormatError
        If the file is no such map.
    SettingsError
        If the map holds E(B-V) and the settings do not say how to convert it.
    """
    path = Path(settings.map or "").expanduser()
    if is_fits(path):
        image = _read_image(path)
        if image is not None:
            factor = _conversion(settings.quantity or "E(V-I)", settings, path)
            return ImageMap(image.wcs, image.E_VI * factor)
    return _read_cells(path, settings)


def _read_image(path: Path) -> ImageMap | None:
    """Read the first image with celestial coordinates; None if the file holds a table."""
    try:
        with fits.open(path) as hdus:
            for hdu in hdus:
                if hdu.is_image and hdu.data is not None and hdu.data.ndim == 2:
                    wcs = _celestial(hdu.header)
                    if wcs.has_celestial:
                        return ImageMap(wcs, np.asarray(hdu.data, dtype=float))
            if any(isinstance(hdu, fits.BinTableHDU) for hdu in hdus):
                return None
    except OSError as error:
        msg = f"{_WHAT} {path} cannot be read as FITS: {error}"
        raise InputFormatError(msg) from error
    msg = f"{_WHAT} {path} has neither a 2-D image with celestial coordinates nor a table"
    raise InputFormatError(msg)


def _celestial(header: Any) -> Any:
    import warnings

    with warnings.catch_warnings():
        # A header that astropy repairs, such as an old date keyword, is still a map.
        warnings.simplefilter("ignore", FITSFixedWarning)
        warnings.simplefilter("ignore", AstropyUserWarning)
        return WCS(header)


def _read_cells(path: Path, settings: ReddeningSettings) -> TableMap:
    table = read_user_table(path, what=_WHAT)
    ra = _required(table, _RA_NAMES, settings.ra_column, "ra_column", path)
    dec = _required(table, _DEC_NAMES, settings.dec_column, "dec_column", path)
    value, quantity = _value_column(table, settings, path)
    factor = _conversion(quantity, settings, path)
    error = find_column(table, _ERROR_NAMES, chosen=settings.error_column)
    data = number_column(table, value, unit="mag") * factor
    errors = number_column(table, error, unit="mag") * factor if error else np.full(len(table), np.nan)
    positions = number_column(table, ra, unit="deg"), number_column(table, dec, unit="deg")
    good = np.isfinite(data) & np.isfinite(positions[0]) & np.isfinite(positions[1])
    if not good.any():
        msg = f"{_WHAT} {path} has no cell with a position and a value"
        raise InputFormatError(msg)
    return TableMap(positions[0][good], positions[1][good], data[good], errors[good], settings.max_separation)


def _required(table: Table, names: tuple[str, ...], chosen: str | None, setting: str, path: Path) -> str:
    found = find_column(table, names, chosen=chosen)
    if found is None:
        wanted = chosen or " or ".join(names[:3])
        msg = (
            f"{_WHAT} {path} has no column {wanted}; its columns are {', '.join(table.colnames)}. "
            f"Name the right one with {setting} under [reddening]"
        )
        raise InputFormatError(msg)
    return found


def _value_column(table: Table, settings: ReddeningSettings, path: Path) -> tuple[str, str]:
    if settings.value_column is not None:
        name = _required(table, (), settings.value_column, "value_column", path)
        return name, settings.quantity or "E(V-I)"
    for quantity, names in _VALUE_NAMES.items():
        found = find_column(table, names)
        if found is not None and settings.quantity in {None, quantity}:
            return found, quantity
    return _required(table, _VALUE_NAMES["E(V-I)"], None, "value_column", path), "E(V-I)"


def _conversion(quantity: str, settings: ReddeningSettings, path: Path) -> float:
    if quantity == "E(V-I)":
        return 1.0
    if settings.E_VI_per_E_BV is None:
        msg = f"{_WHAT} {path} holds E(B-V): set E_VI_per_E_BV under [reddening] (1.24 to 1.38 are in use)"
        raise SettingsError(msg)
    return settings.E_VI_per_E_BV


def reddening_of(
    ra: FloatArray, dec: FloatArray, *, mean: MeanReddening, dust: ReddeningMap | None = None
) -> Reddening:
    """Reddening at positions: of the map where it tells, else the mean of the Cloud, flagged.

    Parameters
    ----------
    ra, dec : `~numpy.ndarray`
        Positions in degrees, ICRS, shape (n,).
    mean : MeanReddening
        Mean and scatter of the Cloud.
    dust : ReddeningMap, optional
        A map.

    Returns
    -------
    Reddening
        E(V-I), its error and the flags. A map without errors takes the scatter of the Cloud as error, since a map
        gives the mean along the line of sight and hot stars scatter about it.
    """
    n_stars = len(ra)
    value, error = np.full(n_stars, np.nan), np.full(n_stars, np.nan)
    if dust is not None:
        value, error = dust.at(ra, dec)
    untold = np.isnan(value)
    flags = np.where(untold, int(Flag.MEAN_REDDENING), 0)
    if dust is not None:
        flags |= np.where(untold, int(Flag.OUTSIDE_REDDENING_MAP), 0)
    return Reddening(
        np.where(untold, mean.E_VI, value),
        np.where(np.isnan(error), mean.scatter, error),
        flags.astype(np.int64),
    )
