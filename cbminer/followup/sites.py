"""Sites of telescopes: where they are, how large the mirror is, and which altitudes they reach."""

import re
from dataclasses import dataclass

import astropy.units as u
from astropy.coordinates import EarthLocation

from cbminer.errors import SettingsError

__all__ = ["SITES", "Site", "find_site"]


@dataclass(frozen=True)
class Site:
    """A telescope on a mountain.

    Attributes
    ----------
    name : str
        Short name, as in the names of files.
    label : str
        Name in words.
    latitude, longitude, height : float
        Geodetic coordinates in degrees, positive to the north and east, and height in m.
    diameter : float or None
        Diameter of the mirror in m, if it is known.
    altitude_min, altitude_max : float
        Altitudes in degrees that the telescope reaches.
    """

    name: str
    label: str
    latitude: float
    longitude: float
    height: float
    diameter: float | None = None
    altitude_min: float = 0.0
    altitude_max: float = 90.0

    @property
    def location(self) -> EarthLocation:
        """Place on the Earth."""
        return EarthLocation.from_geodetic(
            self.longitude * u.deg, self.latitude * u.deg, self.height * u.m, ellipsoid="WGS84"
        )


# Coordinates: file coordinates/sites.json of github.com/astropy/astropy-data. SALT's mirror is fixed at 37 deg from the
# zenith and its tracker reaches 6 deg to either side (salt.ac.za, observing constraints); its tracks end earlier at
# some hour angles, which is not modelled. Diameters: 8.2 m of a Unit Telescope, 6.5 m of a Magellan telescope, 8.1 m of
# Gemini; of SALT's 11 m a pupil of about 9.2 m is used.
SITES: tuple[Site, ...] = (
    Site("paranal", "Paranal, VLT", -24.62743941, -70.40498688, 2669.0, 8.2),
    Site("las-campanas", "Las Campanas, Magellan", -29.00333333, -70.70166667, 2282.0, 6.5),
    Site("salt", "Sutherland, SALT", -32.375823, 20.810808, 1798.0, 9.2, 47.0, 59.0),
    Site("gemini-south", "Cerro Pachon, Gemini South", -30.24074167, -70.73668333, 2750.0, 8.1),
)
_NUMBER = r"\s*([-+]?\d+(?:\.\d*)?)\s*"
_COORDINATES = re.compile(f"{_NUMBER},{_NUMBER},{_NUMBER}")


def find_site(text: str) -> Site:
    """Find a site by its name, or make one of coordinates.

    Parameters
    ----------
    text : str
        Name, or latitude and longitude in degrees and height in m: ``-29.26,-70.73,2400``.

    Returns
    -------
    Site
        The site.

    Raises
    ------
    SettingsError
        If it is neither, or the coordinates are not on the Earth.
    """
    wanted = re.sub(r"[\s_]+", "-", text.strip().lower())
    for site in SITES:
        if site.name == wanted:
            return site
    found = _COORDINATES.fullmatch(text)
    if found is None:
        known = ", ".join(site.name for site in SITES)
        msg = f"site {text!r} is not known: name one of {known}, or give LATITUDE,LONGITUDE,HEIGHT in degrees and m"
        raise SettingsError(msg)
    latitude, longitude, height = (float(number) for number in found.groups())
    if not (abs(latitude) <= 90.0 and abs(longitude) <= 360.0 and -500.0 <= height <= 9000.0):
        msg = f"site {text!r}: latitude must be within 90 deg, longitude within 360 deg, height within -500 to 9000 m"
        raise SettingsError(msg)
    longitude = (longitude + 180.0) % 360.0 - 180.0
    name = f"lat{latitude:+.6g}-lon{longitude:+.6g}"
    label = f"latitude {latitude:g}, longitude {longitude:g}, {height:g} m"
    return Site(name, label, latitude, longitude, height)
