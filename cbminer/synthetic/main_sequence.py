"""Main-sequence stars and their orbits: radii, temperatures, masses by Salpeter's law, and Kepler's third law.

All functions take numbers or arrays, in solar units, and give arrays of the broadcast shape.
"""

import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray
from cbminer.theory.roche_lobe import KEPLER_DAYS, orbital_period
from cbminer.theory.roche_lobe import separation as orbital_separation

__all__ = [
    "COOLING",
    "LARGEST_GROWTH",
    "evolved",
    "orbital_period",
    "orbital_separation",
    "salpeter_masses",
    "zams_radius",
    "zams_teff",
]

# At the end of the main sequence a star is this much larger than at its beginning, and its temperature falls with
# this power of the radius: rough numbers for 5 to 30 solar masses, whose luminosity about doubles.
LARGEST_GROWTH = 1.8
COOLING = -0.25

# Exponent of the number of stars above a mass (Salpeter 1955, ApJ 121, 161).
_SALPETER = 1.35

# Zero-age main sequence of the LMC by the period at which two twins touch: mass, that period, Teff; good to 10 per
# cent. Radii follow from Kepler's law with R = 0.3789 a, Eggleton's lobe, with which the periods were made. Outside 5
# to 30 solar masses the last logarithmic slopes go on.
_ZAMS_MASS = np.array([5.0, 8.0, 10.0, 12.3, 15.0, 20.0, 30.0])
_ZAMS_TOUCHING_PERIOD = np.array([0.60, 0.71, 0.78, 0.83, 0.90, 0.99, 1.16])
_ZAMS_TEFF = np.array([18.2e3, 23.4e3, 26.3e3, 28.8e3, 32.0e3, 36.3e3, 40.7e3])
_TWIN_LOBE = 0.3789
_LOG_MASS = np.log(_ZAMS_MASS)
_LOG_RADIUS = np.log(_TWIN_LOBE * (2 * _ZAMS_MASS * (_ZAMS_TOUCHING_PERIOD / KEPLER_DAYS) ** 2) ** (1 / 3))
_LOG_TEFF = np.log(_ZAMS_TEFF)


def zams_radius(mass: npt.ArrayLike) -> FloatArray:
    """Radius on the zero-age main sequence of the LMC.

    Parameters
    ----------
    mass : array_like
        Masses in solar masses, above 0; meant for 3 to 60.

    Returns
    -------
    `~numpy.ndarray`
        Radii in solar radii.
    """
    return _at_mass(mass, _LOG_RADIUS)


def zams_teff(mass: npt.ArrayLike) -> FloatArray:
    """Effective temperature on the zero-age main sequence of the LMC.

    Parameters
    ----------
    mass : array_like
        Masses in solar masses, above 0; meant for 3 to 60.

    Returns
    -------
    `~numpy.ndarray`
        Effective temperatures in K.
    """
    return _at_mass(mass, _LOG_TEFF)


def evolved(radius: npt.ArrayLike, teff: npt.ArrayLike, *, growth: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Age a star on the main sequence: it grows and cools.

    Parameters
    ----------
    radius : array_like
        Radii at its beginning in any unit.
    teff : array_like
        Effective temperatures there in K.
    growth : array_like
        Radii over those at the beginning, 1 to `LARGEST_GROWTH`.

    Returns
    -------
    radius : `~numpy.ndarray`
        Radii in the same unit.
    teff : `~numpy.ndarray`
        Effective temperatures in K, which fall with the power `COOLING` of the growth.
    """
    larger = np.asarray(growth, dtype=float)
    return np.asarray(np.asarray(radius) * larger), np.asarray(np.asarray(teff) * larger**COOLING)


def salpeter_masses(
    lowest: float, highest: float, *, size: int | tuple[int, ...] | None = None, rng: np.random.Generator
) -> FloatArray:
    """Draw masses by the law of Salpeter (1955, ApJ 121, 161).

    Parameters
    ----------
    lowest, highest : float
        Range of masses, in any unit.
    size : int or tuple of int, optional
        How many, or the shape of the array; a single one without axes by default.
    rng : `~numpy.random.Generator`
        Source of randomness.

    Returns
    -------
    `~numpy.ndarray`
        Masses in the same unit; their number above a mass goes with its power -1.35.
    """
    many, few = lowest**-_SALPETER, highest**-_SALPETER
    return np.asarray((many - rng.random(size) * (many - few)) ** (-1.0 / _SALPETER))


def _at_mass(mass: npt.ArrayLike, logs: FloatArray) -> FloatArray:
    """Interpolate between the entries of the main sequence, and go on with its end slopes."""
    log_mass = np.log(mass)
    place = np.searchsorted(_LOG_MASS[1:-1], log_mass) + 1
    slope = (logs[place] - logs[place - 1]) / (_LOG_MASS[place] - _LOG_MASS[place - 1])
    return np.asarray(np.exp(logs[place - 1] + slope * (log_mass - _LOG_MASS[place - 1])))
