"""Distance moduli of the stars of a Cloud, at one distance or on an inclined disc."""

from dataclasses import dataclass
from typing import Literal, Self

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from pydantic import Field, model_validator

from cbminer.columns import FloatArray
from cbminer.quantities import Degrees, Magnitudes, SettingsModel

__all__ = ["DiscPlane", "DistanceModuli", "DistanceSettings", "distance_moduli"]


class DiscPlane(SettingsModel):
    """An inclined plane through the centre of a galaxy."""

    ra: Degrees = Field(description="right ascension of the centre")
    dec: Degrees = Field(description="declination of the centre")
    inclination: Degrees = Field(description="inclination of the plane; 0 is face on")
    position_angle: Degrees = Field(description="position angle of the line of nodes, from north over east")


class DistanceSettings(SettingsModel):
    """Distance of a Cloud."""

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


def _relative_distance(ra: FloatArray, dec: FloatArray, plane: DiscPlane) -> FloatArray:
    centre = SkyCoord(plane.ra, plane.dec, unit="deg")
    stars = SkyCoord(ra, dec, unit="deg")
    rho = centre.separation(stars).to_value(u.rad)
    phi = centre.position_angle(stars).to_value(u.rad)
    inclination, nodes = np.radians(plane.inclination), np.radians(plane.position_angle)
    tilt = np.sin(inclination) * np.sin(rho) * np.sin(phi - nodes)
    relative: FloatArray = np.cos(inclination) / (np.cos(inclination) * np.cos(rho) - tilt)
    return relative
