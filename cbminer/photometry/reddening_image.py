"""Maps of reddening as FITS images with celestial coordinates."""

import re
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.utils.exceptions import AstropyUserWarning
from astropy.wcs import WCS, FITSFixedWarning

from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError, SettingsError
from cbminer.photometry.reddening import MapSample, ReddeningSettings
from cbminer.photometry.reddening_layers import Layers, conversion, part_of, quantity_named, sample_of

__all__ = ["ImageMap", "celestial_images", "image_of", "is_error_name"]

_ERROR_NAME = re.compile(r"ERR|SIGMA|STD_?DEV|UNCERT|^E_E")
_CHUNK = 200_000


@dataclass(frozen=True)
class ImageMap:
    """An image of reddening.

    Attributes
    ----------
    wcs : `~astropy.wcs.WCS`
        Celestial coordinates of the image, in any frame that astropy knows.
    layers : Layers
        Reddening and errors, 2-D.
    bilinear : bool
        Whether to interpolate between the pixels; else a star takes the value of its pixel.
    """

    wcs: Any
    layers: Layers
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
            The reddening, shape (n,). A blank pixel gives NaN also where its neighbours hold values, so that
            interpolation does not widen the map.
        """
        x, y = (np.full(len(ra), np.nan) for _ in range(2))
        placed = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
        for start in range(0, len(placed), _CHUNK):
            part = placed[start : start + _CHUNK]
            x[part], y[part] = self.wcs.world_to_pixel(SkyCoord(ra[part], dec[part], unit="deg"))
        height, width = self.layers.value.shape
        inside = (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)
        x, y = np.where(inside, x, 0.0), np.where(inside, y, 0.0)
        column = np.floor(x + 0.5).astype(np.int64).clip(0, width - 1)
        row = np.floor(y + 0.5).astype(np.int64).clip(0, height - 1)
        stack = self.layers.take((row, column))
        if self.bilinear:
            stack = np.where(np.isnan(stack[0]), np.nan, self._interpolate(x, y))
        return sample_of(stack, inside)

    def _interpolate(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Mean of the four pixels about each position, weighted by nearness; the outermost pixels go on outwards."""
        height, width = self.layers.value.shape
        left, low = np.floor(x), np.floor(y)
        right_share, high_share = x - left, y - low
        columns = np.stack([left, left + 1, left, left + 1]).astype(np.int64).clip(0, width - 1)
        rows = np.stack([low, low, low + 1, low + 1]).astype(np.int64).clip(0, height - 1)
        weights = np.stack(
            [
                (1 - right_share) * (1 - high_share),
                right_share * (1 - high_share),
                (1 - right_share) * high_share,
                right_share * high_share,
            ]
        )
        return self.layers.blend((rows, columns), weights)


def celestial_images(hdus: Any) -> list[int]:
    """Numbers of the images of a FITS file that have celestial coordinates.

    Parameters
    ----------
    hdus : `~astropy.io.fits.HDUList`
        The file.

    Returns
    -------
    list of int
        From 0 on.
    """
    return [
        index
        for index, hdu in enumerate(hdus)
        if hdu.is_image and len(hdu.shape) >= 2 and _coordinates(hdu.header).has_celestial
    ]


def is_error_name(name: str) -> bool:
    """Tell by its name whether an image holds errors.

    Parameters
    ----------
    name : str
        Name of the part of the FITS file.

    Returns
    -------
    bool
        True for names such as ERR, ERROR, SIGMA, E_EBV.
    """
    return _ERROR_NAME.search(name.upper()) is not None


def image_of(hdus: Any, index: int, settings: ReddeningSettings, where: str) -> ImageMap:
    """Make a map of an image, and of the image of its errors if there is one.

    Parameters
    ----------
    hdus : `~astropy.io.fits.HDUList`
        The file.
    index : int
        Number of the image.
    settings : ReddeningSettings
        What the map holds, and where its errors are.
    where : str
        Name of the map in messages.

    Returns
    -------
    ImageMap
        The map in E(V-I).

    Raises
    ------
    InputFormatError
        If the image has no celestial coordinates or is a cube, or the image of the errors has another shape.
    SettingsError
        If nothing tells whether it holds E(V-I) or E(B-V), or how to convert it.
    """
    hdu = hdus[index]
    wcs = _coordinates(hdu.header)
    if not wcs.has_celestial:
        msg = f"{where}, part {index} {hdu.name}, has no celestial coordinates (CTYPE1 and CTYPE2 of its header)"
        raise InputFormatError(msg)
    value = _plane(hdu, index, where)
    factor = conversion(_quantity(hdu, settings, where), settings, where)
    error = _error_plane(hdus, index, settings, where)
    if error is not None and error.shape != value.shape:
        msg = (
            f"{where} has an image of {_shape(value)} pixels but one of {_shape(error)} for its errors: "
            "choose another with error_hdu under [reddening]"
        )
        raise InputFormatError(msg)
    return ImageMap(wcs.celestial, Layers(value, error, error, factor), settings.interpolation == "bilinear")


def _quantity(hdu: Any, settings: ReddeningSettings, where: str) -> str:
    """Tell what the image holds, by the setting or by a name in its header."""
    if settings.quantity is not None:
        return settings.quantity
    told = [quantity_named(str(hdu.header.get(key, ""))) for key in ("EXTNAME", "BTYPE", "BUNIT")]
    for quantity in told:
        if quantity is not None:
            return quantity
    msg = f'{where} does not tell what its image holds: set quantity = "E(V-I)" or "E(B-V)" under [reddening]'
    raise SettingsError(msg)


def _error_plane(hdus: Any, index: int, settings: ReddeningSettings, where: str) -> Any:
    if settings.error_hdu is not None:
        chosen = part_of(hdus, settings.error_hdu, "error_hdu", where)
        return _plane(hdus[chosen], chosen, where)
    named = (i for i, hdu in enumerate(hdus) if i != index and hdu.is_image and hdu.shape and is_error_name(hdu.name))
    found = next(named, None)
    return None if found is None else _plane(hdus[found], found, where)


def _plane(hdu: Any, index: int, where: str) -> Any:
    """Return the data of an image with two axes; further axes may have one pixel."""
    shape = getattr(hdu, "shape", ())
    if not hdu.is_image or len(shape) < 2:
        msg = f"{where}, part {index} {hdu.name}, is no image with two axes: choose another part under [reddening]"
        raise InputFormatError(msg)
    if any(length != 1 for length in shape[:-2]):
        axes = " x ".join(str(length) for length in reversed(shape))
        msg = f"{where}, part {index} {hdu.name}, is a cube of {axes} pixels: give the plane to use as a 2-D image"
        raise InputFormatError(msg)
    return np.asarray(hdu.data).reshape(shape[-2:])


def _shape(image: Any) -> str:
    return f"{image.shape[1]} x {image.shape[0]}"


def _coordinates(header: Any) -> Any:
    with warnings.catch_warnings():
        # A header that astropy repairs, such as an old date keyword, is still a map.
        warnings.simplefilter("ignore", FITSFixedWarning)
        warnings.simplefilter("ignore", AstropyUserWarning)
        return WCS(header)
