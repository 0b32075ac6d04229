"""Compiled visibility: how much of a cell the observer sees past a star in front of it."""

import math

from numba import njit

from cbminer.columns import FloatArray
from cbminer.synthetic.equipotential import bend, gradient, potential
from cbminer.synthetic.lobe import EDGE_1, EDGE_2

__all__ = ["visible_share"]

_MOST_STEPS = 40
# The potential is flat where it is highest: an error of the place enters squared.
_TOLERANCE = 1e-5
_N_SCAN = 16
_LARGEST_CHANGE = 0.25


@njit(cache=True)
def visible_share(
    cell: FloatArray,
    place: tuple[float, float, float],
    mirror: tuple[float, float],
    sight: tuple[float, float, float],
    stretch: tuple[float, float],
    omega: float,
    q: float,
    scale: float,
) -> float:
    """Share of a cell that is seen past the equipotential nearest to its line of sight.

    Where the potential on the line has its maximum, its excess over that of the surface and its derivatives across
    the line give the distance of the line from the horizon on the sky, and the curvature of the horizon. The cell is
    taken as a parallelogram, and its mean distance from the curved horizon as that from a straight one.

    Parameters
    ----------
    cell : `~numpy.ndarray`
        Row of the table of cells.
    place : tuple of float
        Middle of the cell, or of the part of it that is asked about.
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
    scale : float
        Size of the part over that of the cell, along each edge.

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
    # Towards the inside of the star in front, and along its horizon.
    inward = (gx / steepness, gy / steepness, gz / steepness)
    along = (
        sight[1] * inward[2] - sight[2] * inward[1],
        sight[2] * inward[0] - sight[0] * inward[2],
        sight[0] * inward[1] - sight[1] * inward[0],
    )
    edge_1 = (scale * cell[EDGE_1], scale * mirror[0] * cell[EDGE_1 + 1], scale * mirror[1] * cell[EDGE_1 + 2])
    edge_2 = (scale * cell[EDGE_2], scale * mirror[0] * cell[EDGE_2 + 1], scale * mirror[1] * cell[EDGE_2 + 2])
    extent_1, extent_2 = abs(_dot(edge_1, inward)), abs(_dot(edge_2, inward))
    excess = potential(x, y, z, q) - omega
    depth = excess / steepness
    if abs(depth) < extent_1 + extent_2:
        depth = _curved_depth((x, y, z), sight, inward, along, (excess, steepness), q, edge_1, edge_2)
    return _share_outside(depth, extent_1, extent_2)


@njit(cache=True)
def _dot(v: tuple[float, float, float], w: tuple[float, float, float]) -> float:
    return v[0] * w[0] + v[1] * w[1] + v[2] * w[2]


@njit(cache=True)
def _curved_depth(
    point: tuple[float, float, float],
    sight: tuple[float, float, float],
    inward: tuple[float, float, float],
    along: tuple[float, float, float],
    slope: tuple[float, float],
    q: float,
    edge_1: tuple[float, float, float],
    edge_2: tuple[float, float, float],
) -> float:
    """Mean distance of a cell from the horizon, to second order, positive inside.

    On the sky the potential is its maximum along the line of sight: its second derivatives there are those across the
    line less what the shift of the maximum takes away.
    """
    excess, steepness = slope
    back = bend(point, sight, sight, q)
    if back >= 0.0:
        return excess / steepness
    across = bend(point, inward, inward, q) - bend(point, inward, sight, q) ** 2 / back
    curved = bend(point, along, along, q) - bend(point, along, sight, q) ** 2 / back
    depth = excess / steepness
    # Where a horizon ends at the neck the derivatives run off: corrections stay small against what they correct.
    depth *= 1.0 + min(max(0.5 * across * depth / steepness, -_LARGEST_CHANGE), _LARGEST_CHANGE)
    # A horizon that bends away from the cell's tangent hides less: the mean square along it times half the curvature.
    width = (_dot(edge_1, along) ** 2 + _dot(edge_2, along) ** 2) / 12.0
    limit = _LARGEST_CHANGE * math.sqrt(width)
    return depth + min(max(0.5 * width * curved / steepness, -limit), limit)


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
