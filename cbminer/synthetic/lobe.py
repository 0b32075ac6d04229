"""Compiled mesh of one star: cells in bands around the line of centres, a quarter of them kept.

The surface is symmetric about the orbital plane and about the plane through the line of centres and the axis
of the orbit: of each cell there are four mirror images. Cells are grouped into patches, a few bands high
and as many cells wide, on which the coarser arithmetic of reflection is done.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from cbminer.columns import FloatArray
from cbminer.synthetic.equipotential import bend, gradient, neck_plane, neck_radius, surface_radius

__all__ = [
    "AREA",
    "BEND",
    "EDGE_1",
    "EDGE_2",
    "GRAVITY",
    "NORMAL",
    "N_COLUMNS",
    "PATCH_SIDE",
    "PLACE",
    "REACH",
    "Surface",
    "fill_lobe",
    "lay_bands",
    "make_surface",
]

# Columns of the table of cells; vectors take three.
PLACE = 0
NORMAL = 3
AREA = 6
GRAVITY = 7
EDGE_1 = 8
EDGE_2 = 11
# How far a cell reaches from its middle at most.
REACH = 14
# Inverse of the distance from the centre of the star: about the curvature.
BEND = 15
N_COLUMNS = 16

# Cells along a side of a patch: the cost of reflection goes with the fourth power of the number of patches
# across a star, and the light curves hardly change with it.
PATCH_SIDE = 3
_N_PROFILE = 161


class Surface(NamedTuple):
    """Equipotential of one star in its own frame.

    Attributes
    ----------
    omega : float
        Potential.
    q : float
        Mass of the companion over that of the star.
    contact : bool
        Whether the star ends at the neck.
    plane, opening : float
        Place of the neck on the x axis, and its half width as an angle at the centre of the star; 0 without
        contact.
    second : bool
        Whether it is star 2, whose frame is turned half around the axis of the orbit.
    """

    omega: float
    q: float
    contact: bool
    plane: float
    opening: float
    second: bool


@njit(cache=True)
def make_surface(omega: float, q: float, contact: bool, second: bool) -> Surface:  # noqa: FBT001
    """Make the surface of a star.

    Parameters
    ----------
    omega : float
        Potential in the frame of star 1.
    q : float
        Mass of star 2 over that of star 1.
    contact : bool
        Whether the star ends at the neck.
    second : bool
        Whether it is star 2.

    Returns
    -------
    Surface
        The surface, in the frame of the star itself.
    """
    if second:
        omega, q = omega / q + 0.5 * (q - 1.0) / q, 1.0 / q
    plane = neck_plane(omega, q) if contact else 0.0
    opening = math.atan2(neck_radius(plane, 0.0, omega, q), plane) if contact else 0.0
    return Surface(omega, q, contact, plane, opening, second)


@njit(cache=True)
def lay_bands(n_belts: int, surface: Surface) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Divide a star into bands of equal height along its profile in the x-z plane.

    Bands of equal polar angle would be long where the neck runs nearly along the rays from the centre.

    Parameters
    ----------
    n_belts : int
        Belts of patches from the back of the star to its front, each `PATCH_SIDE` bands high.
    surface : Surface
        The equipotential.

    Returns
    -------
    edges : `~numpy.ndarray`
        Limits of the bands from the back to the front, as parts of the way from the front in polar angle:
        1 at the back, 0 at the front or the rim of the neck.
    n_patches : `~numpy.ndarray`
        Patches in a quarter turn of each belt, so that cells are about as wide as high.
    """
    way, length, distance = _profile(surface)
    n_bands = PATCH_SIDE * n_belts
    height = length[-1] / n_bands
    edges = np.interp(height * np.arange(n_bands, -1, -1), length, way)
    middles = np.interp(PATCH_SIDE * height * (np.arange(n_belts, 0, -1) - 0.5), length, distance)
    n_patches = np.empty(n_belts, dtype=np.int64)
    for belt in range(n_belts):
        n_patches[belt] = max(1, round(0.5 * math.pi * middles[belt] / (PATCH_SIDE * height)))
    return edges, n_patches


@njit(cache=True)
def _profile(surface: Surface) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Follow the profile in the x-z plane from the front: part of the way in angle, length, height over the axis."""
    way = np.linspace(0.0, 1.0, _N_PROFILE) ** 2
    length, distance = np.zeros(_N_PROFILE), np.zeros(_N_PROFILE)
    before_x, before_z = 0.0, 0.0
    for k in range(_N_PROFILE):
        polar = surface.opening + (math.pi - surface.opening) * way[k]
        r = surface_radius(math.cos(polar), 0.0, surface.omega, surface.q)
        x, z = r * math.cos(polar), r * math.sin(polar)
        if k > 0:
            length[k] = length[k - 1] + math.sqrt((x - before_x) ** 2 + (z - before_z) ** 2)
        distance[k] = z
        before_x, before_z = x, z
    return way, length, distance


@njit(cache=True)
def fill_lobe(cells: FloatArray, edges: FloatArray, n_patches: npt.NDArray[np.int64], surface: Surface) -> float:
    """Fill in the cells of a quarter of a star, in the frame of star 1.

    Parameters
    ----------
    cells : `~numpy.ndarray`
        Shape (`PATCH_SIDE` squared times the patches, `N_COLUMNS`), filled; the cells of a patch follow one
        another.
    edges, n_patches : `~numpy.ndarray`
        The bands and patches of `lay_bands`.
    surface : Surface
        The equipotential.

    Returns
    -------
    float
        Distance from the centre of the star that no part of its surface exceeds.
    """
    scale = 1.0 / surface.q if surface.second else 1.0
    side = PATCH_SIDE
    largest = 0.0
    row = 0
    for belt in range(len(n_patches)):
        span = 0.5 * math.pi / (side * n_patches[belt])
        for patch in range(n_patches[belt]):
            for member in range(side * side):
                band = side * belt + member // side
                azimuth = span * (side * patch + member % side + 0.5)
                radius = _fill_cell(cells[row], edges[band], edges[band + 1], azimuth, span, surface)
                cells[row, GRAVITY] *= scale
                if surface.second:
                    _turn(cells[row])
                largest = max(largest, radius)
                row += 1
    return largest


@njit(cache=True)
def _turn(cell: FloatArray) -> None:
    """Turn a cell of star 2 from its own frame to that of star 1, half around the axis of the orbit.

    The mirror images take care of the y axis.
    """
    cell[PLACE] = 1.0 - cell[PLACE]
    cell[NORMAL] = -cell[NORMAL]
    cell[EDGE_1] = -cell[EDGE_1]
    cell[EDGE_2] = -cell[EDGE_2]


@njit(cache=True)
def _fill_cell(cell: FloatArray, back: float, front: float, azimuth: float, span: float, surface: Surface) -> float:
    """Fill in one cell; return how far it reaches from the centre of the star."""
    omega, q = surface.omega, surface.q
    cos_a, sin_a = math.cos(azimuth), math.sin(azimuth)
    opening = 0.0
    if surface.contact:
        opening = math.atan2(neck_radius(surface.plane, cos_a, omega, q), surface.plane)
    height = (math.pi - opening) * (back - front)
    upper, lower = opening + (math.pi - opening) * back, opening + (math.pi - opening) * front
    low, high = math.cos(upper), math.cos(lower)
    # The mean angle by area: where an edge crosses a ring of cells it hides the right part of them on average.
    polar = (math.sin(upper) - upper * low - math.sin(lower) + lower * high) / (high - low)
    cos_p, sin_p = math.cos(polar), math.sin(polar)
    ux, uy, uz = cos_p, sin_p * cos_a, sin_p * sin_a
    r = surface_radius(ux, uy, omega, q)
    gx, gy, gz = gradient(r * ux, r * uy, r * uz, q)
    gravity = math.sqrt(gx * gx + gy * gy + gz * gz)
    radial = gx * ux + gy * uy + gz * uz
    # Unit vectors towards larger polar angle and azimuth.
    px, py, pz = -sin_p, cos_p * cos_a, cos_p * sin_a
    ay, az = -sin_a, cos_a
    rise_p = -r * (gx * px + gy * py + gz * pz) / radial
    rise_a = -r * (gy * ay + gz * az) / radial
    width = span * sin_p
    _fill_area(cell, 0.5 * (high + low), 0.5 * (high - low), azimuth, span, surface)
    cell[GRAVITY] = gravity
    edge_1 = (rise_p * ux + r * px) * height, (rise_p * uy + r * py) * height, (rise_p * uz + r * pz) * height
    edge_2 = rise_a * ux * width, (rise_a * uy + r * ay) * width, (rise_a * uz + r * az) * width
    # On the sky a cell that bulges lies on average nearer to the middle of the disc than the middle of the cell: by a
    # 24th of the square of an edge times its curvature across the slope of the surface, by an 8th down the slope.
    point = (r * ux, r * uy, r * uz)
    sunk = (bend(point, edge_1, edge_1, q) + bend(point, edge_2, edge_2, q)) / (12.0 * gravity * gravity)
    for axis in range(3):
        cell[EDGE_1 + axis], cell[EDGE_2 + axis] = edge_1[axis], edge_2[axis]
    cell[PLACE], cell[PLACE + 1], cell[PLACE + 2] = point[0] - sunk * gx, point[1] - sunk * gy, point[2] - sunk * gz
    slant = math.sqrt(rise_p * rise_p + r * r) * height + math.sqrt(rise_a * rise_a + r * r) * width
    cell[REACH] = 0.5 * slant
    cell[BEND] = 1.0 / r
    half_size: float = cell[REACH]
    return r + half_size


@njit(cache=True)
def _fill_area(cell: FloatArray, middle: float, half: float, azimuth: float, span: float, surface: Surface) -> None:
    """Fill in area and mean normal of a cell, the sum of its elements as vectors over the sum of their sizes.

    What a cell shows is its vector of area: with the normal of its middle alone, a star would seem larger from the
    side than along the line of centres. Gauss's two points serve in the cosine of the polar angle; around the line of
    centres surfaces are nearly round, so that the arc's mean takes the place of more points.
    """
    cos_a, sin_a = math.cos(azimuth), math.sin(azimuth)
    area, along, across_y, across_z = 0.0, 0.0, 0.0, 0.0
    for side in (-1.0, 1.0):
        cos_p = middle + side * half / math.sqrt(3.0)
        sin_p = math.sqrt(1.0 - cos_p * cos_p)
        ux, uy, uz = cos_p, sin_p * cos_a, sin_p * sin_a
        r = surface_radius(ux, uy, surface.omega, surface.q)
        gx, gy, gz = gradient(r * ux, r * uy, r * uz, surface.q)
        element = r * r * half * span / abs(gx * ux + gy * uy + gz * uz)
        area += element * math.sqrt(gx * gx + gy * gy + gz * gz)
        along -= element * gx
        across_y -= element * gy
        across_z -= element * gz
    arc = math.sin(0.5 * span) / (0.5 * span)
    cell[AREA] = area
    cell[NORMAL] = along / area
    cell[NORMAL + 1] = across_y * arc / area
    cell[NORMAL + 2] = across_z * arc / area
