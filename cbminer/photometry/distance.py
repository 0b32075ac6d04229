"""Distance moduli of stars: of the table of stars, of parallaxes, or of a Cloud at one distance or on a disc."""

from dataclasses import dataclass
from typing import Literal, Self

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.coordinates import SkyCoord
from astropy.table import QTable
from pydantic import Field, model_validator

from cbminer.columns import FloatArray, values
from cbminer.flags import Flag
from cbminer.photometry.parallax import ParallaxSettings, parallax_moduli
from cbminer.photometry.stated import stated
from cbminer.quantities import Degrees, Magnitudes, SettingsModel

__all__ = ["DiscPlane", "DistanceModuli", "DistanceSettings", "StarDistances", "distance_moduli", "star_distances"]


class DiscPlane(SettingsModel):
    """An inclined plane through the centre of a galaxy."""

    ra: Degrees = Field(description="right ascension of the centre")
    dec: Degrees = Field(description="declination of the centre")
    inclination: Degrees = Field(description="inclination of the plane; 0 is face on")
    position_angle: Degrees = Field(description="position angle of the line of nodes, from north over east")


class DistanceSettings(SettingsModel):
    """Distance that the stars of a galaxy have in common."""

    distance_modulus: Magnitudes = Field(description="true distance modulus of the centre")
    e_distance_modulus: Magnitudes = Field(description="its error, the same for all stars")
    depth: Magnitudes = Field(description="scatter of the distance modulus along the line of sight")
    geometry: Literal["point", "plane"] = Field(
        default="point", description="all stars at the distance of the centre, or on the plane"
    )
    plane: DiscPlane | None = Field(default=None, description="the plane, needed for geometry = plane")

    @model_validator(mode="after")
    def _plane_is_there(self) -> Self:
        if self.geometry == "plane" and self.plane is None:
            msg = 'geometry = "plane" needs the table [plane] with ra, dec, inclination and position_angle'
            raise ValueError(msg)
        return self


@dataclass(frozen=True)
class DistanceModuli:
    """Distance moduli of stars.

    Attributes
    ----------
    modulus : `~numpy.ndarray`
        True distance moduli in mag, shape (n,).
    error : `~numpy.ndarray`
        Their errors in mag: the error of the Cloud's distance and the scatter along the line of sight.
    """

    modulus: FloatArray
    error: FloatArray


def distance_moduli(ra: FloatArray, dec: FloatArray, *, settings: DistanceSettings) -> DistanceModuli:
    """Distance moduli at positions in a Cloud.

    Parameters
    ----------
    ra, dec : `~numpy.ndarray`
        Positions in degrees, ICRS, shape (n,).
    settings : DistanceSettings
        Distance of the Cloud.

    Returns
    -------
    DistanceModuli
        A modulus and an error a star.

    Notes
    -----
    Of a plane through the centre at distance D0, inclined by i with its line of nodes at position angle Theta,
    a star at angular distance rho and position angle phi from the centre lies at
    D / D0 = cos i / (cos i cos rho - sin i sin rho sin(phi - Theta))
    (van der Marel & Cioni 2001, AJ 122, 1807, equation 8).
    """
    modulus = np.full(len(ra), settings.distance_modulus)
    if settings.geometry == "plane" and settings.plane is not None:
        modulus = modulus + 5.0 * np.log10(_relative_distance(ra, dec, settings.plane))
    error = np.full(len(ra), np.hypot(settings.e_distance_modulus, settings.depth))
    return DistanceModuli(modulus, error)


@dataclass(frozen=True)
class StarDistances:
    """Distances of stars, each of the best source that there is.

    Attributes
    ----------
    modulus, error : `~numpy.ndarray`
        True distance moduli and their errors in mag, shape (n,); NaN where unknown.
    flags : `~numpy.ndarray`
        Bits of `~cbminer.flags.Flag` that tell where a distance is unknown, and why; shape (n,).
    """

    modulus: FloatArray
    error: FloatArray
    flags: npt.NDArray[np.int64]


def star_distances(stars: QTable, *, common: DistanceSettings | None, parallax: ParallaxSettings) -> StarDistances:
    """Distances of stars: the modulus that the table gives, else that of the parallax, else that of the galaxy.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Stars of a catalogue: RAJ2000 and DEJ2000 and, if there are any, distance_modulus_given [mag] and parallax [mas]
        with their errors.
    common : DistanceSettings or None
        Distance that the stars of the galaxy have in common, if they have one.
    parallax : ParallaxSettings
        Which parallaxes give a distance.

    Returns
    -------
    StarDistances
        A modulus and an error a star.

    Raises
    ------
    InputFormatError
        If the table has moduli or parallaxes without a column of their errors.
    """
    modulus, error = np.full((2, len(stars)), np.nan)
    if common is not None:
        ra, dec = values(stars, "RAJ2000", "deg"), values(stars, "DEJ2000", "deg")
        at_once = distance_moduli(ra, dec, settings=common)
        modulus, error = at_once.modulus, at_once.error
    poor = np.zeros(len(stars), dtype=bool)
    measured = stated(stars, "parallax", "mas")
    if measured is not None:
        found = parallax_moduli(measured.value, measured.error, settings=parallax)
        known, poor = np.isfinite(found.modulus), found.poor
        modulus, error = np.where(known, found.modulus, modulus), np.where(known, found.error, error)
    own = stated(stars, "distance_modulus_given", "mag")
    if own is not None:
        known = np.isfinite(own.value)
        modulus, error = np.where(known, own.value, modulus), np.where(known, own.error, error)
    unknown = ~np.isfinite(modulus)
    flags = np.where(unknown, int(Flag.NO_DISTANCE), 0) | np.where(unknown & poor, int(Flag.POOR_PARALLAX), 0)
    return StarDistances(modulus, error, flags.astype(np.int64))


def _relative_distance(ra: FloatArray, dec: FloatArray, plane: DiscPlane) -> FloatArray:
    centre = SkyCoord(plane.ra, plane.dec, unit="deg")
    stars = SkyCoord(ra, dec, unit="deg")
    rho = centre.separation(stars).to_value(u.rad)
    phi = centre.position_angle(stars).to_value(u.rad)
    inclination, nodes = np.radians(plane.inclination), np.radians(plane.position_angle)
    tilt = np.sin(inclination) * np.sin(rho) * np.sin(phi - nodes)
    relative: FloatArray = np.cos(inclination) / (np.cos(inclination) * np.cos(rho) - tilt)
    return relative
