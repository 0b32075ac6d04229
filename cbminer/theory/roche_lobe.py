"""Roche radii and where a star overflows through the outer Lagrangian point, as functions of the mass ratio."""

import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray

__all__ = ["KEPLER_DAYS", "l2_radius_ratio", "orbital_period", "roche_radius", "separation"]

# Kepler's third law in solar masses, solar radii and days, of the nominal radius in m and mass parameter in m3/s2 of
# the Sun (IAU 2015 resolution B3).
KEPLER_DAYS = 2 * np.pi * np.sqrt(6.957e8**3 / 1.3271244e20) / 86400.0


def roche_radius(mass_ratio: npt.ArrayLike) -> FloatArray:
    """Radius of the sphere with the volume of a Roche lobe, over the separation.

    Parameters
    ----------
    mass_ratio : array_like
        Mass of the star in the lobe over that of its companion.

    Returns
    -------
    `~numpy.ndarray`
        R_L / a.

    Notes
    -----
    Eggleton (1983, ApJ 268, 368), good to 1 %.
    """
    cube_root = np.cbrt(np.asarray(mass_ratio, dtype=float))
    radius: FloatArray = 0.49 * cube_root**2 / (0.6 * cube_root**2 + np.log1p(cube_root))
    return radius


def l2_radius_ratio(mass_ratio: npt.ArrayLike) -> FloatArray:
    """Radius over Roche radius from which the less massive star of a contact binary overflows at L2.

    Parameters
    ----------
    mass_ratio : array_like
        Mass ratio; one above 1 counts as its inverse.

    Returns
    -------
    `~numpy.ndarray`
        R / R_L.

    Notes
    -----
    1 + 0.29858997 arctan(1.83530121 q^0.39661426), q <= 1, of the inlists of Menon et al. (2021, MNRAS 507, 5013).
    """
    q = np.asarray(mass_ratio, dtype=float)
    q = np.minimum(q, 1 / q)
    ratio: FloatArray = 1 + 0.29858997 * np.arctan(1.83530121 * q**0.39661426)
    return ratio


def orbital_period(separation: npt.ArrayLike, total_mass: npt.ArrayLike) -> FloatArray:
    """Orbital period by Kepler's third law.

    Parameters
    ----------
    separation : array_like
        Semi-major axis in solar radii.
    total_mass : array_like
        Sum of the masses in solar masses.

    Returns
    -------
    `~numpy.ndarray`
        Period in days.
    """
    period: FloatArray = KEPLER_DAYS * np.sqrt(np.asarray(separation, dtype=float) ** 3 / np.asarray(total_mass))
    return period


def separation(period: npt.ArrayLike, total_mass: npt.ArrayLike) -> FloatArray:
    """Semi-major axis by Kepler's third law.

    Parameters
    ----------
    period : array_like
        Orbital period in days.
    total_mass : array_like
        Sum of the masses in solar masses.

    Returns
    -------
    `~numpy.ndarray`
        Semi-major axis in solar radii.
    """
    axis: FloatArray = np.cbrt((np.asarray(period, dtype=float) / KEPLER_DAYS) ** 2 * np.asarray(total_mass))
    return axis
