"""Clocks: heliocentric dates of a survey, barycentric dates of ephemerides, and UTC at the telescope.

A heliocentric date is the time at which light would pass the Sun, a barycentric one the time at which it would pass the
barycentre of the solar system. Both are counted here for an observer in the centre of the Earth: one on its surface is
off by 21 ms at most.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal
from warnings import catch_warnings, filterwarnings

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.constants import c
from astropy.coordinates import get_body_barycentric
from astropy.time import Time

from cbminer.columns import FloatArray

__all__ = ["Directions", "bjd_of_hjd", "bjd_of_utc", "calendar", "far_future", "hjd_of_utc", "light_time", "utc_of_bjd"]

TimeScale = Literal["utc", "tdb"]
# The light time changes by 1e-4 of the time at most: each step gains four digits.
_STEPS = 3


class Directions:
    """Unit vectors towards stars.

    Parameters
    ----------
    ra, dec : array_like
        ICRS coordinates in degrees, of one shape.
    """

    def __init__(self, ra: npt.ArrayLike, dec: npt.ArrayLike) -> None:
        alpha, delta = np.radians(np.asarray(ra, dtype=float)), np.radians(np.asarray(dec, dtype=float))
        self.vectors = np.stack([np.cos(delta) * np.cos(alpha), np.cos(delta) * np.sin(alpha), np.sin(delta)], axis=-1)

    def __getitem__(self, chosen: Any) -> "Directions":
        """Directions at some places."""
        part = Directions.__new__(Directions)
        part.vectors = self.vectors[chosen]
        return part


@contextmanager
def far_future() -> Iterator[None]:
    """Keep astropy from warning of years for which no leap seconds are announced.

    Yields
    ------
    None
        Within the block UTC goes on without further leap seconds.
    """
    with catch_warnings():
        filterwarnings("ignore", message=".*dubious year.*")
        yield


def light_time(time: Time, directions: Directions, *, to: Literal["sun", "barycentre"]) -> FloatArray:
    """Time by which light of a star passes the Sun or the barycentre later than the Earth.

    Parameters
    ----------
    time : `~astropy.time.Time`
        Times at the centre of the Earth; their shape goes with that of the directions.
    directions : Directions
        Towards the stars.
    to : {"sun", "barycentre"}
        Where the light passes.

    Returns
    -------
    `~numpy.ndarray`
        Days; negative where the Earth is farther from the star than the Sun.

    Notes
    -----
    The star counts as infinitely far. Places are those of the analytic ephemeris that comes with ERFA (routine epv00,
    good to some 10 km), which needs no file.
    """
    with far_future():
        earth = get_body_barycentric("earth", time, ephemeris="builtin").xyz
        if to == "sun":
            earth = earth - get_body_barycentric("sun", time, ephemeris="builtin").xyz
    along = np.sum(np.moveaxis(earth.to_value(u.m), 0, -1) * directions.vectors, axis=-1)
    return np.asarray(along / c.to_value(u.m / u.d))


def bjd_of_utc(utc: npt.ArrayLike, directions: Directions) -> FloatArray:
    """Take UTC at the Earth to barycentric Julian dates.

    Parameters
    ----------
    utc : array_like
        Julian dates, UTC.
    directions : Directions
        Towards the stars.

    Returns
    -------
    `~numpy.ndarray`
        BJD, TDB.
    """
    time = _time(utc, "utc")
    with far_future():
        tdb = time.tdb.jd
    return np.asarray(tdb + light_time(time, directions, to="barycentre"))


def utc_of_bjd(bjd: npt.ArrayLike, directions: Directions) -> FloatArray:
    """Take barycentric Julian dates to UTC at the Earth; the inverse of `bjd_of_utc`.

    Parameters
    ----------
    bjd : array_like
        BJD, TDB.
    directions : Directions
        Towards the stars.

    Returns
    -------
    `~numpy.ndarray`
        Julian dates, UTC.
    """
    given = np.asarray(bjd, dtype=float)
    return _at_earth(given, directions, scale="tdb", to="barycentre")


def hjd_of_utc(utc: npt.ArrayLike, directions: Directions, *, scale: TimeScale = "utc") -> FloatArray:
    """Take UTC at the Earth to heliocentric Julian dates.

    Parameters
    ----------
    utc : array_like
        Julian dates, UTC.
    directions : Directions
        Towards the stars.
    scale : {"utc", "tdb"}, optional
        Time scale of the result.

    Returns
    -------
    `~numpy.ndarray`
        HJD.
    """
    time = _time(utc, "utc")
    with far_future():
        counted = getattr(time, scale).jd
    return np.asarray(counted + light_time(time, directions, to="sun"))


def bjd_of_hjd(hjd: npt.ArrayLike, directions: Directions, *, scale: TimeScale = "utc") -> FloatArray:
    """Take heliocentric Julian dates to barycentric ones.

    Parameters
    ----------
    hjd : array_like
        HJD.
    directions : Directions
        Towards the stars.
    scale : {"utc", "tdb"}, optional
        Time scale of the heliocentric dates.

    Returns
    -------
    `~numpy.ndarray`
        BJD, TDB; NaN where a date is unknown.
    """
    given = np.asarray(hjd, dtype=float)
    known = np.isfinite(given)
    result = np.full(given.shape, np.nan)
    if known.any():
        utc = _at_earth(given[known], directions[known], scale=scale, to="sun")
        result[known] = bjd_of_utc(utc, directions[known])
    return result


def calendar(utc: npt.ArrayLike, *, to: Literal["second", "minute", "date"] = "second") -> list[str]:
    """Write Julian dates as calendar dates.

    Parameters
    ----------
    utc : array_like
        Julian dates, UTC, shape (n,).
    to : {"second", "minute", "date"}, optional
        Precision, to which times are rounded; a date is cut off.

    Returns
    -------
    list of str
        Such as 2027-01-01T03:12:45; empty where a date is unknown.
    """
    given = np.asarray(utc, dtype=float)
    known = np.isfinite(given)
    steps = {"second": 86400.0, "minute": 1440.0, "date": 1.0}[to]
    length = {"second": 19, "minute": 16, "date": 10}[to]
    # Half a second is added, so that cutting off rounds; a day has 86400 of them but for leap seconds.
    shifted = np.where(known, given, 2451545.0) + (0.0 if to == "date" else 0.5 / steps)
    with far_future():
        texts = Time(shifted, format="jd", scale="utc").isot
    return [str(text)[:length] if there else "" for text, there in zip(np.atleast_1d(texts), known, strict=True)]


def _time(jd: npt.ArrayLike, scale: TimeScale) -> Time:
    with far_future():
        return Time(np.asarray(jd, dtype=float), format="jd", scale=scale)


def _at_earth(
    given: FloatArray, directions: Directions, *, scale: TimeScale, to: Literal["sun", "barycentre"]
) -> FloatArray:
    """Find the UTC at the Earth of light that passes elsewhere at a time."""
    here = given
    for _ in range(_STEPS):
        here = given - light_time(_time(here, scale), directions, to=to)
    with far_future():
        return np.asarray(_time(here, scale).utc.jd)
