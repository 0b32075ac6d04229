"""Times of other surveys brought to heliocentric Julian dates in UTC, without any table from a server."""

import warnings

import astropy.units as u
import numpy as np
from astropy.constants import c as speed_of_light
from astropy.coordinates import get_body_barycentric
from astropy.time import Time
from scipy.interpolate import CubicSpline

from cbminer.columns import FloatArray
from cbminer.survey.table_settings import TimeScale

__all__ = ["heliocentric_correction", "to_utc"]

# Days between the nodes of the Earth's path: a cubic spline through them is good to some nanoseconds of light.
_STEP = 0.5
_AU_IN_DAYS = float((u.au / speed_of_light).to_value("d"))


def to_utc(time: FloatArray, *, scale: TimeScale) -> FloatArray:
    """Bring Julian dates to UTC.

    Parameters
    ----------
    time : `~numpy.ndarray`
        Julian dates in days.
    scale : {"utc", "tai", "tt", "tdb", "tcb"}
        Their scale.

    Returns
    -------
    `~numpy.ndarray`
        Julian dates in UTC.
    """
    if scale == "utc" or len(time) == 0:
        return time
    whole = np.floor(time)
    with warnings.catch_warnings():
        # Leap seconds of the years to come are not known yet: so be it.
        warnings.filterwarnings("ignore", message=".*dubious year")
        moment = Time(whole, time - whole, format="jd", scale=scale).utc
    jd: FloatArray = np.asarray(moment.jd1 + moment.jd2, dtype=np.float64)
    return jd


def heliocentric_correction(time: FloatArray, ra: FloatArray, dec: FloatArray) -> FloatArray:
    """Time of light between the Earth and the Sun, to be added to Julian dates at the Earth.

    Parameters
    ----------
    time : `~numpy.ndarray`
        Julian dates in days, shape (n,).
    ra, dec : `~numpy.ndarray`
        Directions in degrees, ICRS, shape (n,).

    Returns
    -------
    `~numpy.ndarray`
        Days, shape (n,), within +-0.0058; NaN where the direction is not known.

    Notes
    -----
    The centre of the Earth stands for the observatory, 21 ms of light at most.
    """
    if len(time) == 0:
        return np.empty(0)
    nodes = np.arange(time.min() - 2 * _STEP, time.max() + 3 * _STEP, _STEP)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*dubious year")
        moment = Time(nodes, format="jd", scale="utc")
        path = get_body_barycentric("earth", moment, ephemeris="builtin") - get_body_barycentric(
            "sun", moment, ephemeris="builtin"
        )
    earth = CubicSpline(nodes, path.xyz.to_value("au").T)(time)
    a, d = np.radians(ra), np.radians(dec)
    towards = np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)
    correction: FloatArray = np.sum(earth * towards, axis=-1) * _AU_IN_DAYS
    return correction
