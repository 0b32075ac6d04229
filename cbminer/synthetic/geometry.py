"""Roche geometry: critical points, volumes of lobes, and the ways to say how large a star is.

Lengths are in separations. A star is at the origin of its own frame and `mass_ratio` is the mass of its
companion over its own; `potential_in_frame_2` takes a potential from the frame of star 1 to that of star 2.
All functions take arrays that broadcast against each other.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from cbminer.columns import FloatArray
from cbminer.errors import SettingsError
from cbminer.synthetic import equipotential as roche

__all__ = [
    "LagrangePoints",
    "eggleton_lobe_radius",
    "fillout_factor",
    "lagrange_points",
    "lobe_filling",
    "lobe_radius",
    "potential_in_frame_1",
    "potential_in_frame_2",
    "potential_of_fillout",
    "potential_of_lobe_filling",
    "potential_of_volume_radius",
    "sum_of_radii",
    "volume_radius",
]

_SPHERE = 4.0 * math.pi / 3.0
# Volumes at L1 are known to this relative accuracy; a star that exceeds its lobe by less fills it.
_SLACK = 1e-9
_ROUNDING = 1e-12
# Beyond these the potential is that of one star alone.
_MASS_RATIOS = (1e-6, 1e6)


@dataclass(frozen=True)
class LagrangePoints:
    """The three points of balance on the line of the stars.

    Attributes
    ----------
    x_1, x_2, x_3 : `~numpy.ndarray`
        Places on the x axis: L1 between the stars, L2 behind the less massive one, L3 behind the other.
    potential_1, potential_2, potential_3 : `~numpy.ndarray`
        Potentials there. A surface beyond L1's is common to both stars and one beyond L2's is open.
    """

    x_1: FloatArray
    x_2: FloatArray
    x_3: FloatArray
    potential_1: FloatArray
    potential_2: FloatArray
    potential_3: FloatArray


def lagrange_points(mass_ratio: npt.ArrayLike) -> LagrangePoints:
    """Find the points of balance on the line of the stars.

    Parameters
    ----------
    mass_ratio : array_like
        Mass of the companion over that of the star at the origin.

    Returns
    -------
    LagrangePoints
        Places and potentials in the frame of that star.

    Raises
    ------
    SettingsError
        If a mass ratio is not a positive number.
    """
    q = _checked_mass_ratio(mass_ratio)
    inner, far, near, at_inner, at_far, at_near = _axis_points(q.ravel()).reshape(6, *q.shape)
    lighter = q <= 1.0
    return LagrangePoints(
        x_1=inner,
        x_2=np.where(lighter, far, near),
        x_3=np.where(lighter, near, far),
        potential_1=at_inner,
        potential_2=np.where(lighter, at_far, at_near),
        potential_3=np.where(lighter, at_near, at_far),
    )


def potential_in_frame_2(potential: npt.ArrayLike, mass_ratio: npt.ArrayLike) -> FloatArray:
    """Take a potential from the frame of star 1 to that of star 2 (Wilson 1979, ApJ 234, 1054).

    Parameters
    ----------
    potential : array_like
        Potential in the frame of star 1.
    mass_ratio : array_like
        Mass of star 2 over that of star 1.

    Returns
    -------
    `~numpy.ndarray`
        The potential of the same surface where star 2 is the origin.
    """
    q = np.asarray(mass_ratio, dtype=float)
    return np.asarray(np.asarray(potential) / q + 0.5 * (q - 1.0) / q)


def potential_in_frame_1(potential: npt.ArrayLike, mass_ratio: npt.ArrayLike) -> FloatArray:
    """Take a potential from the frame of star 2 to that of star 1, the way back of `potential_in_frame_2`.

    Parameters
    ----------
    potential : array_like
        Potential in the frame of star 2.
    mass_ratio : array_like
        Mass of star 2 over that of star 1.

    Returns
    -------
    `~numpy.ndarray`
        The potential of the same surface where star 1 is the origin.
    """
    q = np.asarray(mass_ratio, dtype=float)
    return np.asarray(np.asarray(potential) * q - 0.5 * (q - 1.0))


def potential_of_fillout(fillout: npt.ArrayLike, mass_ratio: npt.ArrayLike) -> FloatArray:
    """Potential of a contact surface.

    Parameters
    ----------
    fillout : array_like
        Fill-out factor, 0 at the surface through L1 and 1 at the one through L2.
    mass_ratio : array_like
        Mass of the companion over that of the star at the origin.

    Returns
    -------
    `~numpy.ndarray`
        The potential.

    Raises
    ------
    SettingsError
        If a fill-out is not between 0 and 1, or a mass ratio is not positive.
    """
    _check_range("fillout_factor", fillout, 0.0, 1.0)
    points = lagrange_points(mass_ratio)
    return np.asarray(points.potential_1 - np.asarray(fillout) * (points.potential_1 - points.potential_2))


def fillout_factor(potential: npt.ArrayLike, mass_ratio: npt.ArrayLike) -> FloatArray:
    """Fill-out factor of a surface: ``(W_L1 - W) / (W_L1 - W_L2)``, negative for detached stars.

    Parameters
    ----------
    potential : array_like
        Potential W of the surface.
    mass_ratio : array_like
        Mass of the companion over that of the star at the origin.

    Returns
    -------
    `~numpy.ndarray`
        The fill-out factor.
    """
    points = lagrange_points(mass_ratio)
    return np.asarray((points.potential_1 - np.asarray(potential)) / (points.potential_1 - points.potential_2))


def volume_radius(potential: npt.ArrayLike, mass_ratio: npt.ArrayLike) -> FloatArray:
    """Radius of the sphere that has the volume of a star.

    Parameters
    ----------
    potential : array_like
        Potential of its surface; below that of L1 the star ends at the narrowest place of the neck.
    mass_ratio : array_like
        Mass of the companion over that of the star.

    Returns
    -------
    `~numpy.ndarray`
        The radius.

    Raises
    ------
    SettingsError
        If a surface lies beyond L2's.
    """
    q = _checked_mass_ratio(mass_ratio)
    points = lagrange_points(q)
    if not (np.asarray(potential) >= points.potential_2 * (1.0 - _SLACK)).all():
        outer = np.max(points.potential_2)
        msg = f"potential: {np.min(potential):g} is no number or lies beyond L2, whose potential is {outer:g}"
        raise SettingsError(msg)
    return _volume_radius(np.maximum(potential, points.potential_2), q)


def lobe_radius(mass_ratio: npt.ArrayLike) -> FloatArray:
    """Radius of the sphere that has the volume of the Roche lobe of a star, by integration.

    Parameters
    ----------
    mass_ratio : array_like
        Mass of the companion over that of the star.

    Returns
    -------
    `~numpy.ndarray`
        The radius, 0.37986 for equal masses.
    """
    q = _checked_mass_ratio(mass_ratio)
    return _volume_radius(lagrange_points(q).potential_1, q)


def eggleton_lobe_radius(mass_ratio: npt.ArrayLike) -> FloatArray:
    """Radius of the Roche lobe of a star by the fit of Eggleton (1983, ApJ 268, 368), good to 1 per cent.

    Parameters
    ----------
    mass_ratio : array_like
        Mass of the companion over that of the star.

    Returns
    -------
    `~numpy.ndarray`
        The radius.
    """
    third = _checked_mass_ratio(mass_ratio) ** (-1.0 / 3.0)
    return np.asarray(0.49 * third**2 / (0.6 * third**2 + np.log1p(third)))


def lobe_filling(potential: npt.ArrayLike, mass_ratio: npt.ArrayLike) -> FloatArray:
    """Radius of a star over that of its Roche lobe, both of equal volume.

    Parameters
    ----------
    potential : array_like
        Potential of its surface.
    mass_ratio : array_like
        Mass of the companion over that of the star.

    Returns
    -------
    `~numpy.ndarray`
        R / R_L: 1 at L1, above 1 in contact.
    """
    return np.asarray(volume_radius(potential, mass_ratio) / lobe_radius(mass_ratio))


def potential_of_lobe_filling(filling: npt.ArrayLike, mass_ratio: npt.ArrayLike) -> FloatArray:
    """Potential of a star that fills a given part of its lobe; the inverse of `lobe_filling`.

    Parameters
    ----------
    filling : array_like
        Radius over that of the lobe, positive; up to about 1.3, where contact binaries reach L2.
    mass_ratio : array_like
        Mass of the companion over that of the star.

    Returns
    -------
    `~numpy.ndarray`
        The potential in the frame of the star.

    Raises
    ------
    SettingsError
        If a star is not of positive size or reaches beyond L2.
    """
    return potential_of_volume_radius(np.asarray(filling) * lobe_radius(mass_ratio), mass_ratio)


def potential_of_volume_radius(radius: npt.ArrayLike, mass_ratio: npt.ArrayLike) -> FloatArray:
    """Potential of a star with a given volume; the inverse of `volume_radius`.

    Parameters
    ----------
    radius : array_like
        Radius of the sphere of that volume.
    mass_ratio : array_like
        Mass of the companion over that of the star.

    Returns
    -------
    `~numpy.ndarray`
        The potential in the frame of the star.

    Raises
    ------
    SettingsError
        If a radius is not positive or the star reaches beyond L2.
    """
    q = _checked_mass_ratio(mass_ratio)
    largest = _volume_radius(lagrange_points(q).potential_2, q)
    wrong = ~((np.asarray(radius) > 0.0) & (np.asarray(radius) <= largest * (1.0 + _SLACK)))
    if wrong.any():
        first = np.broadcast_to(radius, wrong.shape)[wrong].flat[0]
        msg = f"radius: {first:g} separations; a star must be larger than 0 and end within L2's surface"
        raise SettingsError(msg)
    size, ratio = np.broadcast_arrays(np.minimum(radius, largest), q)
    return np.asarray(_potentials_of_radii(size.ravel(), ratio.ravel()).reshape(size.shape))


def sum_of_radii(potential_1: npt.ArrayLike, potential_2: npt.ArrayLike, mass_ratio: npt.ArrayLike) -> FloatArray:
    """Sum of the relative radii of the two stars of a system.

    Parameters
    ----------
    potential_1, potential_2 : array_like
        Potentials of the surfaces, both in the frame of star 1.
    mass_ratio : array_like
        Mass of star 2 over that of star 1.

    Returns
    -------
    `~numpy.ndarray`
        (R1 + R2) / a.
    """
    q = _checked_mass_ratio(mass_ratio)
    second = volume_radius(potential_in_frame_2(potential_2, q), 1.0 / q)
    return np.asarray(volume_radius(potential_1, q) + second)


def _checked_mass_ratio(mass_ratio: npt.ArrayLike) -> FloatArray:
    q = np.asarray(mass_ratio, dtype=float)
    inside = (q >= _MASS_RATIOS[0]) & (q <= _MASS_RATIOS[1])
    if not inside.all():
        msg = f"mass_ratio: {q[~inside].flat[0]:g}; it must be a finite number above 0, from {_MASS_RATIOS[0]:g} to "
        raise SettingsError(msg + f"{_MASS_RATIOS[1]:g}")
    return q


def _check_range(name: str, given: npt.ArrayLike, lowest: float, highest: float) -> None:
    number = np.asarray(given, dtype=float)
    inside = (number >= lowest) & (number <= highest)
    if not inside.all():
        msg = f"{name}: {number[~inside].flat[0]:g}; it must lie between {lowest:g} and {highest:g}"
        raise SettingsError(msg)


def _volume_radius(potential: npt.ArrayLike, mass_ratio: npt.ArrayLike) -> FloatArray:
    omega, q = np.broadcast_arrays(np.asarray(potential, dtype=float), np.asarray(mass_ratio, dtype=float))
    return np.asarray(_volume_radii(omega.ravel(), q.ravel()).reshape(omega.shape))


@njit(cache=True, nogil=True)
def _axis_points(mass_ratio: FloatArray) -> FloatArray:
    """Places of L1, of the point behind the companion and of the one behind the star, and their potentials."""
    result = np.empty((6, len(mass_ratio)))
    for k in range(len(mass_ratio)):
        q = mass_ratio[k]
        result[0, k] = roche.saddle_point(q)
        result[1, k] = roche.outer_point(q, True)
        result[2, k] = roche.outer_point(q, False)
        for point in range(3):
            result[3 + point, k] = roche.potential(result[point, k], 0.0, 0.0, q)
    return result


@njit(cache=True, nogil=True)
def _volume_radii(potential: FloatArray, mass_ratio: FloatArray) -> FloatArray:
    result = np.empty(len(potential))
    for k in range(len(potential)):
        contact = potential[k] < roche.critical_potentials(mass_ratio[k])[0] * (1.0 - _ROUNDING)
        result[k] = (roche.lobe_volume(potential[k], mass_ratio[k], contact)[0] / _SPHERE) ** (1.0 / 3.0)
    return result


@njit(cache=True, nogil=True)
def _potentials_of_radii(radius: FloatArray, mass_ratio: FloatArray) -> FloatArray:
    result = np.empty(len(radius))
    for k in range(len(radius)):
        result[k] = _potential_of_radius(radius[k], mass_ratio[k])
    return result


@njit(cache=True)
def _potential_of_radius(radius: float, q: float) -> float:
    """Invert the volume: its cube root is nearly the inverse of the potential, so few steps suffice."""
    inner, outer, _ = roche.critical_potentials(q)
    at_inner = (roche.lobe_volume(inner, q, False)[0] / _SPHERE) ** (1.0 / 3.0)
    contact = radius > at_inner
    low, high = (outer, inner) if contact else (inner, 1.0 / radius + 2.0 * q + 2.0 + inner)
    omega = 0.5 * (low + high) if contact else max(inner, 1.0 / radius + q)
    for _ in range(100):
        volume, derivative = roche.lobe_volume(omega, q, contact)
        found = (volume / _SPHERE) ** (1.0 / 3.0)
        if found > radius:
            low = omega
        else:
            high = omega
        # d(1/r)/dW = -V' / (3 V r)
        slope = -derivative / (3.0 * volume * found)
        new = omega + (1.0 / radius - 1.0 / found) / slope
        if not low < new < high:
            new = 0.5 * (low + high)
        if abs(new - omega) < 1e-12 * omega:
            break
        omega = new
    return omega
