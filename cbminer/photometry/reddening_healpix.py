"""Maps of reddening as HEALPix tables: of the whole sky, of a run of pixels, or of listed pixels."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy_healpix import HEALPix

from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError, SettingsError
from cbminer.photometry.reddening import MapSample, ReddeningSettings
from cbminer.photometry.reddening_layers import Layers, conversion, sample_of, value_columns
from cbminer.tables import find_column

__all__ = ["HealpixMap", "healpix_of_table", "is_healpix"]

_PIXEL_NAMES = ("PIXEL", "PIX", "IPIX", "HPXINDEX", "HEALPIX", "HPX", "INDEX")
_FRAMES: dict[str, Literal["icrs", "galactic"]] = {
    **dict.fromkeys(("C", "Q", "EQUATORIAL", "CELESTIAL", "ICRS", "J2000", "FK5"), "icrs"),
    **dict.fromkeys(("G", "GALACTIC"), "galactic"),
}
_CHUNK = 200_000


@dataclass(frozen=True)
class HealpixMap:
    """A HEALPix map of reddening.

    Attributes
    ----------
    nside : int
        Resolution: a base pixel has nside^2 pixels.
    order : {"ring", "nested"}
        Order of the pixels.
    frame : {"icrs", "galactic"}
        Coordinates of the map.
    layers : Layers
        Reddening and errors, of shape (rows, pixels a row) as they stand in the table.
    pixels : `~numpy.ndarray` or None
        Numbers of the pixels that the map holds, in the order of the table; None for a run of them.
    first : int
        Number of the first pixel of a run.
    bilinear : bool
        Whether to interpolate between the four nearest pixels; else a star takes the value of its pixel.

    Notes
    -----
    Only the pixels of the stars are taken out of the table, so that a file of the whole sky need not be held in memory.
    """

    nside: int
    order: Literal["ring", "nested"]
    frame: Literal["icrs", "galactic"]
    layers: Layers
    pixels: npt.NDArray[np.int64] | None = None
    first: int = 0
    bilinear: bool = False

    def at(self, ra: FloatArray, dec: FloatArray) -> MapSample:
        """Reddening at positions.

        Parameters
        ----------
        ra, dec : `~numpy.ndarray`
            Positions in degrees, ICRS, shape (n,).

        Returns
        -------
        MapSample
            The reddening, shape (n,). A pixel without a value gives NaN also where its neighbours have one.
        """
        stack, inside = np.full((3, len(ra)), np.nan), np.zeros(len(ra), dtype=bool)
        placed = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
        for start in range(0, len(placed), _CHUNK):
            part = placed[start : start + _CHUNK]
            stack[:, part], inside[part] = self._look_up(ra[part], dec[part])
        return sample_of(stack, inside)

    def _look_up(self, ra: FloatArray, dec: FloatArray) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        stars = SkyCoord(ra, dec, unit="deg").transform_to(self.frame).spherical
        grid = HEALPix(nside=self.nside, order=self.order)
        place, inside = self._places(grid.lonlat_to_healpix(stars.lon, stars.lat))
        stack = np.where(inside, self.layers.take(self._index(place)), np.nan)
        if self.bilinear:
            near, weights = grid.bilinear_interpolation_weights(stars.lon, stars.lat)
            places, there = self._places(near)
            blended = self.layers.blend(self._index(places), np.where(there, weights, 0.0))
            stack = np.where(np.isnan(stack[0]), np.nan, blended)
        return stack, inside

    def _places(self, numbers: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Places of pixels in the table and whether they are there; 0 for those that are not."""
        if self.pixels is None:
            place = np.asarray(numbers) - self.first
            inside = (place >= 0) & (place < self.layers.value.size)
            return np.where(inside, place, 0), inside
        found = np.searchsorted(self.pixels, numbers, sorter=self._sorted).clip(0, len(self.pixels) - 1)
        place = self._sorted[found]
        inside = self.pixels[place] == numbers
        return np.where(inside, place, 0), inside

    @cached_property
    def _sorted(self) -> npt.NDArray[np.int64]:
        return np.argsort(np.asarray(self.pixels), kind="stable")

    def _index(self, place: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        width = self.layers.value.shape[1]
        return place // width, place % width


def is_healpix(hdu: Any) -> bool:
    """Tell whether a table of a FITS file is a HEALPix map.

    Parameters
    ----------
    hdu : `~astropy.io.fits.BinTableHDU`
        The table.

    Returns
    -------
    bool
        True with PIXTYPE = HEALPIX, or with both NSIDE and ORDERING in its header.
    """
    header = hdu.header
    named = str(header.get("PIXTYPE", "")).strip().upper() == "HEALPIX"
    return isinstance(hdu, fits.BinTableHDU) and (named or ("NSIDE" in header and "ORDERING" in header))


def healpix_of_table(hdu: Any, settings: ReddeningSettings, where: str) -> HealpixMap:
    """Make a map of a HEALPix table.

    Parameters
    ----------
    hdu : `~astropy.io.fits.BinTableHDU`
        The table.
    settings : ReddeningSettings
        Columns, and what the map holds.
    where : str
        Name of the map in messages.

    Returns
    -------
    HealpixMap
        The map in E(V-I).

    Raises
    ------
    InputFormatError
        If the header lacks a keyword or has a wrong one, or a column is missing.
    SettingsError
        If neither the header nor the settings tell the coordinates, or what the map holds.

    Notes
    -----
    Keywords as in "The HEALPix Primer" and the FITS convention of its software: ORDERING, NSIDE, INDXSCHM (IMPLICIT
    or EXPLICIT), FIRSTPIX and COORDSYS.
    """
    columns = Table(names=hdu.columns.names)
    names = value_columns(columns, settings, where)
    factor = conversion(names.quantity, settings, where)
    layers = Layers(_rows(hdu, names.value), _rows(hdu, names.lower), _rows(hdu, names.upper), factor)
    order = _order(hdu.header, where)
    pixels = _pixels(hdu, columns, where)
    first = 0 if pixels is not None else int(hdu.header.get("FIRSTPIX", 0))
    nside = _nside(hdu.header, order, layers.value.size, pixels, first, where)
    bilinear = settings.interpolation == "bilinear"
    return HealpixMap(nside, order, _frame(hdu.header, settings, where), layers, pixels, first, bilinear)


def _rows(hdu: Any, name: str | None) -> Any:
    """Column as (rows, pixels a row); HEALPix software puts 1024 pixels in a row."""
    if name is None:
        return None
    data = np.asarray(hdu.data[name])
    return data.reshape(len(data), -1)


def _pixels(hdu: Any, columns: Table, where: str) -> npt.NDArray[np.int64] | None:
    """Numbers of the pixels of an explicit map, None for an implicit one."""
    if str(hdu.header.get("INDXSCHM", "IMPLICIT")).strip().upper() != "EXPLICIT":
        return None
    name = find_column(columns, _PIXEL_NAMES)
    if name is None:
        msg = f"{where} has INDXSCHM = EXPLICIT but no column PIXEL; its columns are {', '.join(columns.colnames)}"
        raise InputFormatError(msg)
    return np.asarray(hdu.data[name]).reshape(-1).astype(np.int64)


def _order(header: Any, where: str) -> Literal["ring", "nested"]:
    text = str(header.get("ORDERING", "missing")).strip().upper()
    if text in {"RING", "NESTED", "NEST"}:
        return "ring" if text == "RING" else "nested"
    msg = f"{where} has ORDERING = {text} in its header, where RING or NESTED is expected: rewrite it as one of them"
    raise InputFormatError(msg)


def _frame(header: Any, settings: ReddeningSettings, where: str) -> Literal["icrs", "galactic"]:
    if settings.coordinates is not None:
        return "icrs" if settings.coordinates == "equatorial" else "galactic"
    text = str(header.get("COORDSYS", "missing")).strip().upper()
    if text in _FRAMES:
        return _FRAMES[text]
    msg = (
        f"{where} has COORDSYS = {text} in its header, where C (equatorial) or G (galactic) is expected: "
        "set coordinates under [reddening] if you know them"
    )
    raise SettingsError(msg)


def _nside(header: Any, order: str, n_values: int, pixels: npt.NDArray[np.int64] | None, first: int, where: str) -> int:
    """Resolution by the header or, of a whole sky, by the number of pixels; checked against order and numbers."""
    stated = header.get("NSIDE")
    if stated is None and pixels is None and first == 0:
        stated = round((n_values / 12.0) ** 0.5)
    nside = int(stated) if isinstance(stated, int) and not isinstance(stated, bool) else 0
    if nside < 1 or (order == "nested" and nside & (nside - 1)):
        wanted = "a power of 2" if order == "nested" else "a whole number from 1 on"
        msg = f"{where} has NSIDE = {stated} in its header: with ORDERING = {order.upper()} it must be {wanted}"
        raise InputFormatError(msg)
    n_sky = 12 * nside**2
    partial = pixels is not None or "FIRSTPIX" in header
    last = first + n_values - 1 if pixels is None else int(pixels.max())
    lowest = first if pixels is None else int(pixels.min())
    if lowest < 0 or last >= n_sky or (not partial and n_values != n_sky):
        msg = f"{where} has {n_values} pixels, the last being {last}, but NSIDE = {stated} has {n_sky} on the whole sky"
        raise InputFormatError(msg)
    return nside
