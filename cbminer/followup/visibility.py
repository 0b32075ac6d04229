"""Nights at a site: darkness, the Moon, and the altitude of stars, as smooth functions of time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.coordinates import AltAz, SkyCoord, get_body
from astropy.time import Time
from scipy.interpolate import CubicSpline

from cbminer.columns import FloatArray
from cbminer.errors import SettingsError
from cbminer.followup.clock import Directions
from cbminer.followup.orientation import shipped_orientation
from cbminer.followup.settings import ObservingSettings
from cbminer.followup.sites import Site

__all__ = ["Interval", "Nights", "intersect", "observe_nights", "star_altitudes", "times_above", "unite"]

Interval = tuple[float, float]
# Altitudes turn by 5 deg in 20 minutes: a cubic spline through such steps is good to 0.1 arcsec.
_STEPS = 73
# Julian date of midnight of the day before the first of the calendar of Python's dates.
_JD_OF_DAY_0 = 1721424.5
_MOST_NIGHTS = 400


@dataclass(frozen=True)
class Nights:
    """Nights at a site, each from noon to noon of local mean time, sampled at k equal steps.

    Attributes
    ----------
    site : Site
        Where.
    dates : tuple of str
        Local date of each evening, n of them.
    midnight : `~numpy.ndarray`
        Julian dates of local mean midnight, UTC, shape (n,).
    offset : `~numpy.ndarray`
        Days from midnight of each step, shape (k,).
    sun_altitude, moon_altitude : `~numpy.ndarray`
        Degrees, true and of the centre, shape (n, k).
    moon : `~numpy.ndarray`
        Unit vectors towards the Moon from the site, shape (n, k, 3).
    moon_illumination : `~numpy.ndarray`
        Lit share of its disc at midnight, shape (n,).
    settings : ObservingSettings
        Limits.
    """

    site: Site
    dates: tuple[str, ...]
    midnight: FloatArray
    offset: FloatArray
    sun_altitude: FloatArray
    moon_altitude: FloatArray
    moon: FloatArray
    moon_illumination: FloatArray
    settings: ObservingSettings

    def __len__(self) -> int:
        return len(self.dates)

    def dark(self, night: int) -> list[Interval]:
        """Say when it is dark.

        Parameters
        ----------
        night : int
            Which night.

        Returns
        -------
        list of (float, float)
            Intervals in days from midnight: mostly one; none where the Sun stays up.
        """
        return times_above(self.offset, self.settings.sun_altitude - self.sun_altitude[night])

    def moon_down(self, night: int) -> list[Interval]:
        """Say when the Moon is below the horizon.

        Parameters
        ----------
        night : int
            Which night.

        Returns
        -------
        list of (float, float)
            Intervals in days from midnight.
        """
        return times_above(self.offset, -self.moon_altitude[night])

    def moon_separation(self, directions: Directions) -> FloatArray:
        """Angles between stars and the Moon.

        Parameters
        ----------
        directions : Directions
            Towards m stars.

        Returns
        -------
        `~numpy.ndarray`
            Degrees, shape (m, n, k).
        """
        cosine = np.einsum("nki,mi->mnk", self.moon, directions.vectors)
        return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def observe_nights(site: Site, first: date, n_nights: int, *, settings: ObservingSettings) -> Nights:
    """Work out darkness and the Moon of nights.

    Parameters
    ----------
    site : Site
        Where.
    first : `~datetime.date`
        Local date of the first evening.
    n_nights : int
        Number of nights, 400 at most.
    settings : ObservingSettings
        Limits.

    Returns
    -------
    Nights
        The nights.

    Raises
    ------
    SettingsError
        If there is no night, or too many.
    """
    if not 1 <= n_nights <= _MOST_NIGHTS:
        msg = f"--nights: {n_nights}; it must lie between 1 and {_MOST_NIGHTS}"
        raise SettingsError(msg)
    offset = np.linspace(-0.5, 0.5, _STEPS)
    before = first.toordinal() + _JD_OF_DAY_0 + 1.0 - site.longitude / 360.0
    midnight = before + np.arange(n_nights, dtype=np.float64)
    with shipped_orientation():
        time = Time((midnight[:, np.newaxis] + offset).ravel(), format="jd", scale="utc")
        frame = AltAz(obstime=time, location=site.location)
        sun = get_body("sun", time, site.location)
        moon = get_body("moon", time, site.location)
        shape = (n_nights, _STEPS)
        altitudes = [body.transform_to(frame).alt.to_value(u.deg).reshape(shape) for body in (sun, moon)]
        middle = _STEPS // 2
        illumination = _illumination(sun, moon).reshape(shape)[:, middle]
        unit = moon.cartesian.xyz / moon.cartesian.norm()
    dates = tuple((first + timedelta(days=number)).isoformat() for number in range(n_nights))
    vectors = np.moveaxis(unit.to_value(u.one), 0, -1).reshape(*shape, 3)
    return Nights(site, dates, midnight, offset, altitudes[0], altitudes[1], vectors, illumination, settings)


def _illumination(sun: SkyCoord, moon: SkyCoord) -> FloatArray:
    """Lit share of the Moon's disc, (1 + cos i) / 2 of the angle i at the Moon between Sun and observer (Meeus, 48)."""
    to_observer = -moon.cartesian.xyz.to_value(u.au)
    to_sun = (sun.cartesian - moon.cartesian).xyz.to_value(u.au)
    cosine = (to_observer * to_sun).sum(axis=0) / np.sqrt((to_observer**2).sum(axis=0) * (to_sun**2).sum(axis=0))
    return np.asarray(0.5 * (1.0 + cosine))


def star_altitudes(nights: Nights, ra: npt.ArrayLike, dec: npt.ArrayLike) -> FloatArray:
    """Work out true altitudes of stars, without refraction.

    Parameters
    ----------
    nights : Nights
        The nights.
    ra, dec : array_like
        ICRS coordinates in degrees, shape (m,).

    Returns
    -------
    `~numpy.ndarray`
        Degrees, shape (m, n nights, k steps).
    """
    with shipped_orientation():
        time = Time((nights.midnight[:, np.newaxis] + nights.offset).ravel(), format="jd", scale="utc")
        frame = AltAz(obstime=time, location=nights.site.location)
        stars = SkyCoord(np.asarray(ra, dtype=float)[:, np.newaxis] * u.deg, np.asarray(dec)[:, np.newaxis] * u.deg)
        altitude = stars.transform_to(frame).alt.to_value(u.deg)
    return np.asarray(altitude.reshape(len(altitude), len(nights), _STEPS))


def times_above(offset: FloatArray, margin: FloatArray) -> list[Interval]:
    """Find when a smooth function is above zero.

    Parameters
    ----------
    offset : `~numpy.ndarray`
        Rising times, shape (k,).
    margin : `~numpy.ndarray`
        Values at these, shape (k,).

    Returns
    -------
    list of (float, float)
        Intervals, in order, within the times.
    """
    if (margin > 0.0).all():
        return [(float(offset[0]), float(offset[-1]))]
    spline = CubicSpline(offset, margin)
    edges = np.unique(np.concatenate([offset[:1], spline.roots(extrapolate=False), offset[-1:]]))
    up = spline(0.5 * (edges[1:] + edges[:-1])) > 0.0
    found: list[Interval] = []
    for low, high, above in zip(edges[:-1].tolist(), edges[1:].tolist(), up, strict=True):
        if not above:
            continue
        if found and found[-1][1] == low:
            found[-1] = (found[-1][0], high)
        else:
            found.append((low, high))
    return found


def intersect(first: list[Interval], second: list[Interval]) -> list[Interval]:
    """Find what two lists of intervals have in common.

    Parameters
    ----------
    first, second : list of (float, float)
        Intervals in order, none overlapping another of its list.

    Returns
    -------
    list of (float, float)
        Common intervals, in order.
    """
    return list(_common(first, second))


def _common(first: list[Interval], second: list[Interval]) -> Iterator[Interval]:
    for low, high in first:
        for start, end in second:
            if max(low, start) < min(high, end):
                yield max(low, start), min(high, end)


def unite(first: list[Interval], second: list[Interval]) -> list[Interval]:
    """Find what lies in one of two lists of intervals or in both.

    Parameters
    ----------
    first, second : list of (float, float)
        Intervals.

    Returns
    -------
    list of (float, float)
        Intervals that neither overlap nor touch, in order.
    """
    found: list[Interval] = []
    for low, high in sorted([*first, *second]):
        if found and low <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return found
