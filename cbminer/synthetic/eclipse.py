"""Compiled visibility: how much of a cell the observer sees past a star in front of it."""

import math

from numba import njit

from cbminer.columns import FloatArray
from cbminer.synthetic.equipotential import gradient, potential
from cbminer.synthetic.lobe import EDGE_1, EDGE_2

__all__ = ["visible_share"]

_MOST_STEPS = 40
# The potential is flat where it is highest: an error of the place enters squared.
_TOLERANCE = 1e-5
_N_SCAN = 16


@njit(cache=True)
def visible_share(
    cell: FloatArray,
    place: tuple[float, float, float],
    mirror: tuple[float, float],
    sight: tuple[float, float, float],
    stretch: tuple[float, float],
    omega: float,
    q: float,
) -> float:
    """Share of a cell that is seen past the equipotential nearest to its line of sight.

    Where the potential on the line has its maximum, how far this lies above or below that of the surface,
    over the gradient, which is across the line there, is the distance of the line from the horizon on the
    sky. The horizon is taken as straight across the cell, and the cell as a parallelogram.

    Parameters
    ----------
    cell : `~numpy.ndarray`
        Row of the table of cells.
    place : tuple of float
        Middle of the cell.
    mirror : tuple of float
        Signs of y and z of this mirror image of the cell.
    sight : tuple of float
        Unit vector towards the observer.
    stretch : tuple of float
        Middle, as a distance from the cell, and half length of the part of the line to search.
    omega : float
        Potential of the surface in front, in the frame of star 1.
    q : float
        Mass of star 2 over that of star 1.

    Returns
    -------
    float
        Between 0, hidden, and 1, seen.
    """
    t = _highest_point(place, sight, stretch[0], stretch[1], q)
    if t <= 0.0:
        return 1.0
    x, y, z = place[0] + t * sight[0], place[1] + t * sight[1], place[2] + t * sight[2]
    gx, gy, gz = gradient(x, y, z, q)
    steepness = math.sqrt(gx * gx + gy * gy + gz * gz)
    depth = (potential(x, y, z, q) - omega) / steepness
    sy, sz = mirror
    extent_1 = abs(cell[EDGE_1] * gx + sy * cell[EDGE_1 + 1] * gy + sz * cell[EDGE_1 + 2] * gz) / steepness
    extent_2 = abs(cell[EDGE_2] * gx + sy * cell[EDGE_2 + 1] * gy + sz * cell[EDGE_2 + 2] * gz) / steepness
    return _share_outside(depth, extent_1, extent_2)


@njit(cache=True)
def _highest_point(
    place: tuple[float, float, float], sight: tuple[float, float, float], middle: float, half: float, q: float
) -> float:
    """Distance along a line at which the potential has a maximum within a stretch; 0 if it only falls."""
    t = middle
    for _ in range(_MOST_STEPS):
        first, second = _slopes(place, sight, t, q)
        if second >= 0.0:
            return _scanned(place, sight, middle, half, q)
        step = -first / second
        t += step
        if t <= 0.0:
            return 0.0
        if abs(t - middle) > half:
            return _scanned(place, sight, middle, half, q)
        if abs(step) < _TOLERANCE:
            break
    return t


@njit(cache=True)
def _scanned(
    place: tuple[float, float, float], sight: tuple[float, float, float], middle: float, half: float, q: float
) -> float:
    """Look for the highest maximum in steps: near the outer critical points lines are no simple hills."""
    start = max(middle - half, 0.0)
    step = (middle + half - start) / _N_SCAN
    found, highest = 0.0, 0.0
    left = _slopes(place, sight, start, q)[0]
    for k in range(_N_SCAN):
        right = _slopes(place, sight, start + (k + 1) * step, q)[0]
        if left > 0.0 >= right:
            t = _bisected(place, sight, start + k * step, start + (k + 1) * step, q)
            value = potential(place[0] + t * sight[0], place[1] + t * sight[1], place[2] + t * sight[2], q)
            if value > highest:
                found, highest = t, value
        left = right
    return found


@njit(cache=True)
def _bisected(
    place: tuple[float, float, float], sight: tuple[float, float, float], low: float, high: float, q: float
) -> float:
    while high - low > _TOLERANCE:
        middle = 0.5 * (low + high)
        if _slopes(place, sight, middle, q)[0] > 0.0:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


@njit(cache=True)
def _slopes(
    place: tuple[float, float, float], sight: tuple[float, float, float], t: float, q: float
) -> tuple[float, float]:
    """First and second derivative of the potential along a line."""
    nx, ny, nz = sight
    x, y, z = place[0] + t * nx, place[1] + t * ny, place[2] + t * nz
    s1 = x * x + y * y + z * z
    along_1 = x * nx + y * ny + z * nz
    s2 = s1 - 2.0 * x + 1.0
    along_2 = along_1 - nx
    c1 = 1.0 / (s1 * math.sqrt(s1))
    c2 = q / (s2 * math.sqrt(s2))
    spin = 1.0 + q
    first = -c1 * along_1 - c2 * along_2 - q * nx + spin * (x * nx + y * ny)
    second = c1 * (3.0 * along_1 * along_1 / s1 - 1.0) + c2 * (3.0 * along_2 * along_2 / s2 - 1.0)
    return first, second + spin * (nx * nx + ny * ny)


@njit(cache=True)
def _share_outside(depth: float, extent_1: float, extent_2: float) -> float:
    """Share of a parallelogram outside of a straight edge that its middle has crossed by `depth`."""
    longer, shorter = max(extent_1, extent_2), min(extent_1, extent_2)
    reach = 0.5 * (longer + shorter)
    if depth >= reach:
        return 0.0
    if depth <= -reach:
        return 1.0
    if abs(depth) <= 0.5 * (longer - shorter):
        return 0.5 - depth / longer
    corner = (reach - abs(depth)) ** 2 / (2.0 * longer * shorter)
    return corner if depth > 0.0 else 1.0 - corner
