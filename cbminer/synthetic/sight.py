"""What of the surfaces of a binary is seen: cells of both stars, their light, and what is hidden from the observer."""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from cbminer.columns import FloatArray
from cbminer.synthetic.eclipse import visible_share
from cbminer.synthetic.equipotential import surface_radius
from cbminer.synthetic.lobe import (
    AREA,
    BEND,
    EDGE_1,
    EDGE_2,
    GRAVITY,
    N_COLUMNS,
    PATCH_SIDE,
    PLACE,
    REACH,
    Surface,
    fill_lobe,
    lay_bands,
    make_surface,
)
from cbminer.synthetic.radiation import (
    CONTACT,
    INCLINATION,
    LOG_G,
    MASS_RATIO,
    POTENTIAL,
    Optics,
    emitted_light,
    fourth_powers,
    heat,
)

__all__ = ["LitPair", "Obstacle", "View", "lit_pair", "mean_cosine", "seen_share", "surface_mesh", "view_at"]

# Reach of a cell over the polar radius of the star in front above which it is looked at in parts, and their number
# along an edge at most: stars down to a hundredth of their companion are followed.
_LARGEST_CELL = 0.3
_MOST_PARTS = 32


class Obstacle(NamedTuple):
    """A star in the way: a sphere of the radius `pole` about `x` lies within it, and one of `reach` around it.

    It holds no arrays: to count the references to these for each ray would double the time.
    """

    x: float
    omega: float
    pole: float
    reach: float


class View(NamedTuple):
    """Unit vector towards the observer, and what all rays meet."""

    nx: float
    ny: float
    nz: float
    q: float
    contact: bool


class LitPair(NamedTuple):
    """Cells of both stars, the light that each gives off in every band, and both as what stands in the way."""

    cells_1: FloatArray
    cells_2: FloatArray
    light_1: FloatArray
    light_2: FloatArray
    star_1: Obstacle
    star_2: Obstacle


@njit(cache=True)
def lit_pair(system: FloatArray, bolometric: FloatArray, n_belts: int, optics: Optics) -> LitPair:
    """Make the surfaces of a binary and their light.

    Parameters
    ----------
    system : `~numpy.ndarray`
        Columns of a system (`~cbminer.synthetic.systems.BinarySystems.as_columns`) and log g.
    bolometric : `~numpy.ndarray`
        Bolometric coefficients of limb darkening, shape (2 stars, 2).
    n_belts : int
        Resolution: belts of patches of a star.
    optics : Optics
        Intensities and laws.

    Returns
    -------
    LitPair
        The surfaces.
    """
    q, contact = system[MASS_RATIO], system[CONTACT] > 0.5
    surface_1 = make_surface(system[POTENTIAL], q, contact, False)
    surface_2 = make_surface(system[POTENTIAL + 1], q, contact, True)
    cells_1, reach_1 = surface_mesh(n_belts, surface_1)
    cells_2, reach_2 = surface_mesh(n_belts, surface_2)
    fourth_1, fourth_2 = fourth_powers(cells_1, cells_2, system)
    reference = (cells_1[:, AREA] * cells_1[:, GRAVITY]).sum() / cells_1[:, AREA].sum()
    if optics.reflection:
        heat((cells_1, cells_2), (fourth_1, fourth_2), system, bolometric, optics.bolometric_law)
    light_1 = emitted_light(cells_1, fourth_1, (reference, system[LOG_G]), optics)
    light_2 = emitted_light(cells_2, fourth_2, (reference, system[LOG_G]), optics)
    pole_1 = surface_radius(0.0, 0.0, surface_1.omega, surface_1.q)
    pole_2 = surface_radius(0.0, 0.0, surface_2.omega, surface_2.q)
    star_1 = Obstacle(0.0, system[POTENTIAL], pole_1, reach_1)
    star_2 = Obstacle(1.0, system[POTENTIAL + 1], pole_2, reach_2)
    return LitPair(cells_1, cells_2, light_1, light_2, star_1, star_2)


@njit(cache=True)
def view_at(system: FloatArray, phase: float) -> View:
    """Find where the observer is.

    Parameters
    ----------
    system : `~numpy.ndarray`
        As in `lit_pair`.
    phase : float
        Phase; star 1 is behind at 0.

    Returns
    -------
    View
        Towards the observer.
    """
    tilt, angle = math.radians(system[INCLINATION]), 2.0 * math.pi * phase
    contact = system[CONTACT] > 0.5
    return View(
        math.sin(tilt) * math.cos(angle),
        math.sin(tilt) * math.sin(angle),
        math.cos(tilt),
        system[MASS_RATIO],
        contact,
    )


@njit(cache=True)
def surface_mesh(n_belts: int, surface: Surface) -> tuple[FloatArray, float]:
    """Make the cells of a quarter of a star.

    Parameters
    ----------
    n_belts : int
        Resolution: belts of patches of a star.
    surface : Surface
        The star.

    Returns
    -------
    cells : `~numpy.ndarray`
        Columns as in `cbminer.synthetic.lobe`, shape (m, columns).
    reach : float
        How far the star reaches from its centre.
    """
    edges, n_patches = lay_bands(n_belts, surface)
    cells = np.empty((PATCH_SIDE * PATCH_SIDE * n_patches.sum(), N_COLUMNS))
    reach = fill_lobe(cells, edges, n_patches, surface)
    return cells, reach


@njit(cache=True)
def mean_cosine(cell: FloatArray, sy: float, sz: float, mu: float, view: View) -> float:
    """Mean cosine over the part of a cell that faces the observer, times this part.

    Parameters
    ----------
    cell : `~numpy.ndarray`
        Columns of a cell.
    sy, sz : float
        Signs of y and z of the mirror image of the cell that is meant.
    mu : float
        Cosine at the middle of the cell.
    view : View
        Towards the observer.

    Returns
    -------
    float
        The mean, 0 for a cell that looks away.

    Notes
    -----
    Without it, the limb of a star seen along the line of centres, where it runs along the bands, would come out
    wrong by up to half a band.
    """
    rise_1 = cell[EDGE_1] * view.nx + sy * cell[EDGE_1 + 1] * view.ny + sz * cell[EDGE_1 + 2] * view.nz
    rise_2 = cell[EDGE_2] * view.nx + sy * cell[EDGE_2 + 1] * view.ny + sz * cell[EDGE_2 + 2] * view.nz
    half = 0.5 * cell[BEND] * max(abs(rise_1), abs(rise_2))
    if mu >= half:
        return mu
    return 0.25 * (mu + half) ** 2 / half if mu > -half else 0.0


@njit(cache=True)
def _share_past(
    cell: FloatArray, place: tuple[float, float, float], mirror: tuple[float, float], other: Obstacle, view: View
) -> float:
    """Share of a cell that is seen past another star; in parts where the star is not much larger than the cell."""
    sight = (view.nx, view.ny, view.nz)
    parts: int = min(math.ceil(cell[REACH] / (_LARGEST_CELL * other.pole)), _MOST_PARTS)
    total = 0.0
    for i in range(parts):
        for k in range(parts):
            u, v = (i + 0.5) / parts - 0.5, (k + 0.5) / parts - 0.5
            x = place[0] + u * cell[EDGE_1] + v * cell[EDGE_2]
            y = place[1] + mirror[0] * (u * cell[EDGE_1 + 1] + v * cell[EDGE_2 + 1])
            z = place[2] + mirror[1] * (u * cell[EDGE_1 + 2] + v * cell[EDGE_2 + 2])
            ahead = (other.x - x) * view.nx - y * view.ny - z * view.nz
            miss = (other.x - x) ** 2 + y * y + z * z - ahead * ahead
            far = (other.reach + cell[REACH] / parts) ** 2
            if ahead <= 0.0 or miss >= far:
                total += 1.0
                continue
            if miss < max(other.pole - cell[REACH] / parts, 0.0) ** 2:
                continue
            stretch = (ahead, math.sqrt(far - miss))
            total += visible_share(cell, (x, y, z), mirror, sight, stretch, other.omega, view.q, 1.0 / parts)
    return total / (parts * parts)


@njit(cache=True)
def seen_share(cell: FloatArray, sy: float, sz: float, own: Obstacle, other: Obstacle, view: View) -> float:
    """Share of a cell that is seen past the other star and, in a contact binary, past the star's own bulge.

    Parameters
    ----------
    cell : `~numpy.ndarray`
        Columns of a cell.
    sy, sz : float
        Signs of y and z of the mirror image of the cell that is meant.
    own, other : Obstacle
        The star of the cell, and its companion.
    view : View
        Towards the observer.

    Returns
    -------
    float
        Between 0 and 1.
    """
    x, y, z = cell[PLACE], sy * cell[PLACE + 1], sz * cell[PLACE + 2]
    sight = (view.nx, view.ny, view.nz)
    across = y * view.ny + z * view.nz
    share = 1.0
    ahead = (other.x - x) * view.nx - across
    if ahead > 0.0:
        miss = (other.x - x) ** 2 + y * y + z * z - ahead * ahead
        # Whether the whole cell is hidden by the other star, or clear of it, whatever the shape of this.
        if miss < max(other.pole - cell[REACH], 0.0) ** 2:
            return 0.0
        far = (other.reach + cell[REACH]) ** 2
        if miss < far:
            share = _share_past(cell, (x, y, z), (sy, sz), other, view)
    if view.contact and share > 0.0:
        own_ahead = (own.x - x) * view.nx - across
        if own_ahead > 0.0:
            # The cell is as far from the closest approach as what lies beyond can be.
            stretch = (own_ahead, own_ahead)
            share = min(share, visible_share(cell, (x, y, z), (sy, sz), sight, stretch, own.omega, view.q, 1.0))
    return share
