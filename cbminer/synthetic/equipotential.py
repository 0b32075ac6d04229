"""Compiled arithmetic of one Roche equipotential: potential, gradient, radii, critical points, the neck.

All lengths are in separations. Coordinates have their origin in a star, the x axis through its companion at
x = 1 and the z axis along that of the rotation; q is the mass of the companion over that of the star.
"""

import math

import numpy as np
from numba import njit

__all__ = [
    "bend",
    "critical_potentials",
    "gradient",
    "lobe_volume",
    "neck_plane",
    "neck_radius",
    "outer_point",
    "potential",
    "saddle_point",
    "surface_radius",
]

_TOLERANCE = 1e-13
_MOST_STEPS = 60
# Gauss-Legendre nodes in polar angle and midpoints in a quarter turn: volumes to 1e-7 of the lobe's, and to
# 1e-5 where it is about to reach L1.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(32)
_N_AZIMUTH = 8


@njit(cache=True)
def potential(x: float, y: float, z: float, q: float) -> float:
    """Evaluate the modified Kopal potential (Kopal 1959, Close Binary Systems): circular and synchronous.

    Parameters
    ----------
    x, y, z : float
        Position.
    q : float
        Mass ratio.

    Returns
    -------
    float
        ``1 / r1 + q (1 / r2 - x) + (1 + q) / 2 (x^2 + y^2)``.
    """
    r1 = math.sqrt(x * x + y * y + z * z)
    r2 = math.sqrt((x - 1.0) * (x - 1.0) + y * y + z * z)
    return 1.0 / r1 + q * (1.0 / r2 - x) + 0.5 * (1.0 + q) * (x * x + y * y)


@njit(cache=True)
def gradient(x: float, y: float, z: float, q: float) -> tuple[float, float, float]:
    """Gradient of the potential; it points inwards.

    Parameters
    ----------
    x, y, z : float
        Position.
    q : float
        Mass ratio.

    Returns
    -------
    tuple of float
        Its three components.
    """
    s1 = x * x + y * y + z * z
    s2 = (x - 1.0) * (x - 1.0) + y * y + z * z
    c1 = 1.0 / (s1 * math.sqrt(s1))
    c2 = q / (s2 * math.sqrt(s2))
    spin = 1.0 + q
    return (
        -x * c1 - (x - 1.0) * c2 - q + spin * x,
        -y * c1 - y * c2 + spin * y,
        -z * c1 - z * c2,
    )


@njit(cache=True)
def bend(
    point: tuple[float, float, float], v: tuple[float, float, float], w: tuple[float, float, float], q: float
) -> float:
    """Second derivative of the potential along two directions.

    Parameters
    ----------
    point : tuple of float
        Position.
    v, w : tuple of float
        Directions; the same one twice for the usual second derivative.
    q : float
        Mass ratio.

    Returns
    -------
    float
        ``v H w`` with the matrix H of the second derivatives.
    """
    x, y, z = point
    s1 = x * x + y * y + z * z
    s2 = s1 - 2.0 * x + 1.0
    c1 = 1.0 / (s1 * math.sqrt(s1))
    c2 = q / (s2 * math.sqrt(s2))
    v1 = x * v[0] + y * v[1] + z * v[2]
    w1 = x * w[0] + y * w[1] + z * w[2]
    product = v[0] * w[0] + v[1] * w[1] + v[2] * w[2]
    tides = c1 * (3.0 * v1 * w1 / s1 - product) + c2 * (3.0 * (v1 - v[0]) * (w1 - w[0]) / s2 - product)
    return tides + (1.0 + q) * (v[0] * w[0] + v[1] * w[1])


@njit(cache=True)
def _slope_on_axis(x: float, q: float) -> tuple[float, float]:
    """First and second derivative of the potential along the x axis."""
    left, right = abs(x), abs(x - 1.0)
    first = -x / left**3 - q * (x - 1.0) / right**3 - q + (1.0 + q) * x
    second = 2.0 / left**3 + 2.0 * q / right**3 + (1.0 + q)
    return first, second


@njit(cache=True)
def _critical_point(low: float, high: float, q: float) -> float:
    """Find the root of the slope, which rises, between two places on the axis."""
    x = 0.5 * (low + high)
    for _ in range(200):
        first, second = _slope_on_axis(x, q)
        if first > 0.0:
            high = x
        else:
            low = x
        step = x - first / second
        new = step if low < step < high else 0.5 * (low + high)
        if abs(new - x) < 1e-15 * (1.0 + abs(x)):
            return new
        x = new
    return x


@njit(cache=True)
def saddle_point(q: float) -> float:
    """Place of L1 on the x axis.

    Parameters
    ----------
    q : float
        Mass ratio.

    Returns
    -------
    float
        x between 0 and 1.
    """
    return _critical_point(0.0, 1.0, q)


@njit(cache=True)
def outer_point(q: float, behind_companion: bool) -> float:  # noqa: FBT001
    """Place of the point of balance outside of both stars: L2 behind the lighter one, L3 behind the other.

    Parameters
    ----------
    q : float
        Mass ratio.
    behind_companion : bool
        Which of the two.

    Returns
    -------
    float
        x above 1, or below 0.
    """
    if behind_companion:
        return _critical_point(1.0, 3.0, q)
    return _critical_point(-2.0, 0.0, q)


@njit(cache=True)
def critical_potentials(q: float) -> tuple[float, float, float]:
    """Potentials of L1, L2 and L3.

    Parameters
    ----------
    q : float
        Mass ratio.

    Returns
    -------
    tuple of float
        The potentials in the frame of the star, L1's the highest and L3's the lowest.
    """
    inner = potential(saddle_point(q), 0.0, 0.0, q)
    far = potential(outer_point(q, True), 0.0, 0.0, q)
    near = potential(outer_point(q, False), 0.0, 0.0, q)
    return inner, max(far, near), min(far, near)


@njit(cache=True)
def surface_radius(nx: float, ny: float, omega: float, q: float) -> float:
    """Distance of an equipotential from the star in one direction.

    The potential falls and is convex along a ray out to the surface, so that Newton's steps from inside
    never overshoot.

    Parameters
    ----------
    nx, ny : float
        First components of the unit vector of the direction; the third one does not matter.
    omega : float
        Potential of the surface.
    q : float
        Mass ratio.

    Returns
    -------
    float
        The distance.
    """
    # On this sphere the potential is too high: all other terms of it together are not below zero by more.
    r = 1.0 / (omega + q)
    spin = 0.5 * (1.0 + q) * (nx * nx + ny * ny)
    for _ in range(_MOST_STEPS):
        s2 = r * r - 2.0 * r * nx + 1.0
        inverse = 1.0 / math.sqrt(s2)
        value = 1.0 / r + q * (inverse - r * nx) + spin * r * r - omega
        slope = -1.0 / (r * r) - q * ((r - nx) * inverse**3 + nx) + 2.0 * spin * r
        if slope >= 0.0:
            break
        step = -value / slope
        r += step
        if abs(step) < _TOLERANCE:
            break
    return r


@njit(cache=True)
def neck_plane(omega: float, q: float) -> float:
    """Place of the narrowest cross-section of a contact surface in the x-z plane, where PHOEBE divides it.

    Parameters
    ----------
    omega : float
        Potential of the surface, below that of L1.
    q : float
        Mass ratio.

    Returns
    -------
    float
        x of the plane.
    """
    x = saddle_point(q)
    for _ in range(_MOST_STEPS):
        z = neck_radius(x, 0.0, omega, q)
        # At this height, the x at which the potential has no slope along x.
        s1 = x * x + z * z
        s2 = (x - 1.0) * (x - 1.0) + z * z
        c1 = s1**-1.5
        c2 = q * s2**-1.5
        first = -x * c1 - (x - 1.0) * c2 - q + (1.0 + q) * x
        second = -c1 - c2 + 3.0 * (x * x * c1 / s1 + (x - 1.0) * (x - 1.0) * c2 / s2) + 1.0 + q
        step = -first / second if second > 0.0 else 0.0
        x += step
        if abs(step) < 1e-12:
            break
    return x


@njit(cache=True)
def neck_radius(x: float, cos_azimuth: float, omega: float, q: float) -> float:
    """Distance of the surface from the x axis in a plane across it.

    Parameters
    ----------
    x : float
        Place of the plane.
    cos_azimuth : float
        Cosine of the direction in the plane, from the y axis on.
    omega : float
        Potential of the surface, not above the one on the axis.
    q : float
        Mass ratio.

    Returns
    -------
    float
        The distance.
    """
    # Convex and falling in the square of the distance: Newton's steps from the axis never overshoot.
    square = 0.0
    spin = 0.5 * (1.0 + q)
    for _ in range(_MOST_STEPS):
        s1 = x * x + square
        s2 = (x - 1.0) * (x - 1.0) + square
        r1, r2 = math.sqrt(s1), math.sqrt(s2)
        value = 1.0 / r1 + q * (1.0 / r2 - x) + spin * (x * x + square * cos_azimuth**2) - omega
        slope = -0.5 / (s1 * r1) - 0.5 * q / (s2 * r2) + spin * cos_azimuth**2
        if slope >= 0.0:
            break
        step = -value / slope
        square += step
        if abs(step) < 1e-15:
            break
    return math.sqrt(max(square, 0.0))


@njit(cache=True)
def lobe_volume(omega: float, q: float, contact: bool) -> tuple[float, float]:  # noqa: FBT001
    """Volume within the surface of a star, up to the neck in a contact binary.

    Parameters
    ----------
    omega : float
        Potential of the surface.
    q : float
        Mass ratio.
    contact : bool
        Whether the surface goes on beyond the neck.

    Returns
    -------
    tuple of float
        The volume, and its derivative by the potential with the plane of the neck held fixed.
    """
    volume, derivative = 0.0, 0.0
    plane = neck_plane(omega, q) if contact else 0.0
    for k in range(_N_AZIMUTH):
        azimuth = 0.5 * math.pi * (k + 0.5) / _N_AZIMUTH
        cos_a, sin_a = math.cos(azimuth), math.sin(azimuth)
        opening = 0.0
        if contact:
            rim = neck_radius(plane, cos_a, omega, q)
            opening = math.atan2(rim, plane)
            volume += plane * rim * rim / 6.0
        half = 0.5 * (math.pi - opening)
        for node, weight in zip(_NODES, _WEIGHTS):  # noqa: B905
            polar = opening + half * (1.0 + node)
            sin_p = math.sin(polar)
            nx, ny, nz = math.cos(polar), sin_p * cos_a, sin_p * sin_a
            r = surface_radius(nx, ny, omega, q)
            gx, gy, gz = gradient(r * nx, r * ny, r * nz, q)
            area = half * weight * sin_p
            volume += area * r**3 / 3.0
            derivative += area * r * r / min(gx * nx + gy * ny + gz * nz, -1e-3)
    turn = 2.0 * math.pi / _N_AZIMUTH
    return volume * turn, derivative * turn
