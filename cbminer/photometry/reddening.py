"""Reddening E(V-I) of stars: of the table of stars, of a map, and of the mean of a Cloud as the last resort."""

from dataclasses import dataclass
from typing import Literal, Protocol, Self

import numpy as np
import numpy.typing as npt
from astropy.table import QTable
from pydantic import Field, model_validator

from cbminer.columns import FloatArray, values
from cbminer.errors import SettingsError
from cbminer.flags import Flag
from cbminer.photometry.stated import stated
from cbminer.quantities import Degrees, Magnitudes, SettingsModel

__all__ = [
    "MapSample",
    "MeanReddening",
    "Reddening",
    "ReddeningMap",
    "ReddeningSettings",
    "read_reddening_map",
    "reddening_of",
    "star_reddening",
]

_COLUMN = "name, or number from 1 on"


class MeanReddening(SettingsModel):
    """Mean reddening of a Cloud and its scatter from star to star."""

    E_VI: Magnitudes = Field(ge=0, description="mean E(V-I)")
    scatter: Magnitudes = Field(ge=0, description="scatter of E(V-I), taken as the error of every star")


class ReddeningSettings(SettingsModel):
    """A reddening map to use instead of the mean, and how to read it."""

    map: str | None = Field(
        default=None,
        description="table of cells, FITS image or HEALPix table; unset: the mean of the galaxy, if any",
    )
    quantity: Literal["E(V-I)", "E(B-V)"] | None = Field(
        default=None, description="what the map holds; unset: told by the name of the column or image"
    )
    E_VI_per_E_BV: float | None = Field(
        default=None, gt=0, description="E(V-I)/E(B-V), needed for a map of E(B-V); 1.24 to 1.38 are in use"
    )
    star_scatter: Magnitudes | None = Field(
        default=None,
        ge=0,
        description="scatter of the stars about the map, added in quadrature to its errors; unset: none is added, and "
        "a map without errors takes the scatter of the Cloud",
    )
    interpolation: Literal["nearest", "bilinear"] = Field(
        default="nearest", description="bilinear is for FITS images and HEALPix only"
    )
    ra_column: str | int | None = Field(
        default=None, description=f"column of the right ascension ({_COLUMN}); unset: found by name"
    )
    dec_column: str | int | None = Field(
        default=None, description=f"column of the declination ({_COLUMN}); unset: found by name"
    )
    value_column: str | int | None = Field(
        default=None, description=f"column of the reddening ({_COLUMN}); unset: found by name"
    )
    error_column: str | int | None = Field(
        default=None, description=f"column of its error ({_COLUMN}); unset: found by name, if any"
    )
    lower_error_column: str | int | None = Field(
        default=None, description="column of the error to lower values; with upper_error_column"
    )
    upper_error_column: str | int | None = Field(
        default=None, description="column of the error to higher values; with lower_error_column"
    )
    size_column: str | int | None = Field(
        default=None, description="column of the width of a square cell; unset: found by name, if any"
    )
    size_unit: Literal["arcmin", "arcsec", "deg"] = Field(
        default="arcmin", description="unit of the width where the table does not tell it"
    )
    max_separation: Degrees = Field(
        default=0.35, gt=0, description="farther than this from every cell of unknown width a star is outside"
    )
    hdu: str | int | None = Field(
        default=None, description="part of a FITS file (name, or number from 0 on); unset: its only map"
    )
    error_hdu: str | int | None = Field(
        default=None, description="image of the errors in the same FITS file; unset: found by name, if any"
    )
    coordinates: Literal["equatorial", "galactic"] | None = Field(
        default=None, description="coordinates of a HEALPix map whose header does not tell them"
    )

    @model_validator(mode="after")
    def _errors_agree(self) -> Self:
        sides = (self.lower_error_column, self.upper_error_column)
        if (sides[0] is None) != (sides[1] is None):
            msg = "lower_error_column and upper_error_column go together: give both or neither"
            raise ValueError(msg)
        if self.error_column is not None and sides[0] is not None:
            msg = "give error_column, or lower_error_column and upper_error_column, not all three"
            raise ValueError(msg)
        return self


@dataclass(frozen=True)
class MapSample:
    """What a map says at positions.

    Attributes
    ----------
    E_VI : `~numpy.ndarray`
        E(V-I) in mag, shape (n,); NaN outside of the map and where its cell holds no value.
    lower, upper : `~numpy.ndarray`
        Errors to lower and to higher values in mag, shape (n,), not negative; NaN where the map gives none.
    inside : `~numpy.ndarray`
        Whether a position lies in the map, shape (n,).
    """

    E_VI: FloatArray
    lower: FloatArray
    upper: FloatArray
    inside: npt.NDArray[np.bool_]


class ReddeningMap(Protocol):
    """A map that answers for positions."""

    def at(self, ra: FloatArray, dec: FloatArray) -> MapSample:
        """E(V-I) and its errors at positions in degrees, ICRS, shape (n,)."""


@dataclass(frozen=True)
class Reddening:
    """Reddening of stars.

    Attributes
    ----------
    E_VI : `~numpy.ndarray`
        E(V-I) in mag, shape (n,); NaN where unknown, which no star of a galaxy with a mean is.
    lower, upper : `~numpy.ndarray`
        Errors of E(V-I) to lower and to higher values in mag, shape (n,); NaN where unknown.
    flags : `~numpy.ndarray`
        Bits of `~cbminer.flags.Flag` that tell where a substitute was used or nothing is known, shape (n,).
    """

    E_VI: FloatArray
    lower: FloatArray
    upper: FloatArray
    flags: npt.NDArray[np.int64]

    @property
    def error(self) -> FloatArray:
        """Root mean square of the two errors, mag, shape (n,).

        Notes
        -----
        It is the one number that enters sums of variances. If the true value has the same chance to lie below and
        above the one given, each side being half of a normal distribution, the mean square deviation from the value
        given is (lower^2 + upper^2) / 2. In the terms of Barlow (2003, arXiv:physics/0306138), of such a
        distribution with sigma = (upper + lower) / 2 and alpha = (upper - lower) / 2, it is the variance
        sigma^2 + alpha^2 (1 - 2/pi) and the square of the bias, alpha^2 2/pi. The deviation from the value given
        counts, not that from the mean, since the value is used as it is. For equal errors it is that error.
        """
        result: FloatArray = np.sqrt(0.5 * (self.lower**2 + self.upper**2))
        return result


def read_reddening_map(settings: ReddeningSettings) -> ReddeningMap:
    """Read the map that the settings name; `cbminer.photometry.reddening_map` tells of the formats.

    Parameters
    ----------
    settings : ReddeningSettings
        Path and columns of the map.

    Returns
    -------
    ReddeningMap
        The map, which answers in E(V-I).

    Raises
    ------
    InputFormatError
        If the file is no such map.
    SettingsError
        If it holds E(B-V) and the settings do not say how to convert it, or if they do not say what it holds.
    """
    # The readers need the settings of this module; and a run without a map is spared their libraries.
    from cbminer.photometry.reddening_map import read_map

    return read_map(settings)


def reddening_of(
    ra: FloatArray,
    dec: FloatArray,
    *,
    mean: MeanReddening | None,
    dust: ReddeningMap | None = None,
    star_scatter: float | None = None,
) -> Reddening:
    """Reddening at positions: of the map where it tells, else the mean of the galaxy, else unknown; both flagged.

    Parameters
    ----------
    ra, dec : `~numpy.ndarray`
        Positions in degrees, ICRS, shape (n,).
    mean : MeanReddening or None
        Mean and scatter of the galaxy, if it has any.
    dust : ReddeningMap, optional
        A map.
    star_scatter : float, optional
        Scatter of the stars about the map in mag, added in quadrature to its errors on both sides.

    Returns
    -------
    Reddening
        E(V-I), its errors and the flags.

    Raises
    ------
    SettingsError
        If the map has no errors, and there is nothing to take in their place.

    Notes
    -----
    A map gives the mean along the line of sight, about which hot stars scatter. A map without errors takes
    `star_scatter` as its error or, without that, the scatter of the Cloud. A map with errors keeps them alone unless
    `star_scatter` is given: how far O and B stars scatter about a given map is not a published number, and some maps
    have part of it in their errors. Negative values, which maps have where the reddening is near zero, are kept and
    flagged: to clip them would redden the stars of clear fields on average.
    """
    sample = _sample(ra, dec, dust)
    untold = np.isnan(sample.E_VI)
    flags = np.where(untold, int(Flag.NO_REDDENING if mean is None else Flag.MEAN_REDDENING), 0)
    if dust is not None:
        flags |= np.where(sample.inside, 0, int(Flag.OUTSIDE_REDDENING_MAP))
        flags |= np.where(untold & sample.inside, int(Flag.BLANK_REDDENING), 0)
        flags |= np.where(sample.E_VI < 0, int(Flag.NEGATIVE_REDDENING), 0)
    common, scatter = (np.nan, np.nan) if mean is None else (mean.E_VI, mean.scatter)
    lower, upper = _errors(sample, untold, scatter, star_scatter)
    if np.isnan(lower[~untold]).any():
        msg = (
            "the reddening map has no errors at some stars, and these have no mean scatter: set star_scatter under "
            "[reddening]"
        )
        raise SettingsError(msg)
    return Reddening(np.where(untold, common, sample.E_VI), lower, upper, flags.astype(np.int64))


def _sample(ra: FloatArray, dec: FloatArray, dust: ReddeningMap | None) -> MapSample:
    """Ask a map; a star whose position is not known is outside of it."""
    placed = np.isfinite(ra) & np.isfinite(dec)
    if dust is not None and placed.all():
        return dust.at(ra, dec)
    stack, inside = np.full((3, len(ra)), np.nan), np.zeros(len(ra), dtype=bool)
    if dust is not None:
        part = dust.at(ra[placed], dec[placed])
        stack[:, placed], inside[placed] = (part.E_VI, part.lower, part.upper), part.inside
    return MapSample(stack[0], stack[1], stack[2], inside)


def star_reddening(
    stars: QTable, *, mean: MeanReddening | None, dust: ReddeningMap | None = None, star_scatter: float | None = None
) -> Reddening:
    """Reddening of stars: what the table gives for the star, else as `reddening_of` has it for its position.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Stars of a catalogue: RAJ2000 and DEJ2000 and, if there is any, E_VI_given [mag] with its error.
    mean : MeanReddening or None
        Mean and scatter of the galaxy, if it has any.
    dust : ReddeningMap, optional
        A map.
    star_scatter : float, optional
        As in `reddening_of`; it is the error too of values of the table that have none, and without it the scatter of
        the galaxy is. Errors that the table has are not made larger.

    Returns
    -------
    Reddening
        E(V-I), its errors and the flags.

    Raises
    ------
    InputFormatError
        If the table has reddenings without a column of their errors, and there is nothing to take in their place.
    SettingsError
        As `reddening_of` raises it.
    """
    ra, dec = values(stars, "RAJ2000", "deg"), values(stars, "DEJ2000", "deg")
    found = reddening_of(ra, dec, mean=mean, dust=dust, star_scatter=star_scatter)
    unstated = star_scatter if star_scatter is not None or mean is None else mean.scatter
    own = stated(stars, "E_VI_given", "mag", error=unstated)
    if own is None:
        return found
    known = np.isfinite(own.value)
    with np.errstate(invalid="ignore"):
        negative = np.where(own.value < 0, int(Flag.NEGATIVE_REDDENING), 0)
    return Reddening(
        np.where(known, own.value, found.E_VI),
        np.where(known, own.error, found.lower),
        np.where(known, own.error, found.upper),
        np.where(known, negative, found.flags).astype(np.int64),
    )


def _errors(
    sample: MapSample, untold: npt.NDArray[np.bool_], cloud_scatter: float, star_scatter: float | None
) -> tuple[FloatArray, FloatArray]:
    """Errors to both sides; a side that the map leaves open takes the other's, if it has one."""
    unstated = cloud_scatter if star_scatter is None else star_scatter
    sides = []
    for side, other in ((sample.lower, sample.upper), (sample.upper, sample.lower)):
        stated = np.where(np.isnan(side), other, side)
        total = np.where(np.isnan(stated), unstated, np.hypot(stated, star_scatter or 0.0))
        sides.append(np.where(untold, cloud_scatter, total))
    return sides[0], sides[1]
