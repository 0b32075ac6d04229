"""Velocity curves weighted by light: what distortion, eclipses and heating make of the curves of two point masses.

The surfaces, their light and what is hidden are those of the light-curve engine. Every part of a surface moves with the
orbit, since both stars rotate with it: its velocity is the angular velocity times its distance from the axis through
the barycentre.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from cbminer.columns import FloatArray
from cbminer.synthetic.lobe import BEND, NORMAL, PATCH_SIDE, PLACE, REACH
from cbminer.synthetic.passbands import standard_passband
from cbminer.synthetic.radiation import (
    Optics,
)
from cbminer.synthetic.reflection import law_of
from cbminer.synthetic.roche import RocheEngine
from cbminer.synthetic.sight import Obstacle, View, lit_pair, mean_cosine, seen_share, view_at
from cbminer.synthetic.systems import BinarySystems

__all__ = ["VelocityCurves", "light_weighted_velocities"]

_BANDS = 24
_LOG_G = 4.0


@dataclass(frozen=True)
class VelocityCurves:
    """Radial velocities of both stars of n systems, in units of the relative velocity of their orbit.

    Attributes
    ----------
    phase : `~numpy.ndarray`
        Phases, star 1 behind at 0; shape (k,).
    point : `~numpy.ndarray`
        Of point masses, shape (n, 2, k); positive away from the observer.
    weighted : `~numpy.ndarray`
        Means over the visible surfaces, weighted by their light in V; NaN where a star is wholly hidden.
    light : `~numpy.ndarray`
        Light of each star over the most that it shows at these phases, shape (n, 2, k).
    """

    phase: FloatArray
    point: FloatArray
    weighted: FloatArray
    light: FloatArray


def light_weighted_velocities(systems: BinarySystems, phases: npt.ArrayLike) -> VelocityCurves:
    """Compute velocity curves.

    Parameters
    ----------
    systems : BinarySystems
        The n binaries.
    phases : array_like
        Phases, shape (k,).

    Returns
    -------
    VelocityCurves
        The curves.

    Notes
    -----
    The mean over a line profile is what a fit of a symmetric profile measures where the profile is narrow; of broad and
    blended lines it measures something between this and the velocity of the point mass.
    """
    phase = np.asarray(phases, dtype=float)
    engine = RocheEngine(passbands=(standard_passband("V"),), n_bands=_BANDS, log_g=_LOG_G, threads=1)
    columns = np.column_stack([systems.as_columns(), np.full(len(systems), _LOG_G)])
    sums = np.zeros((len(systems), 2, 2, len(phase)))
    # The tables of the engine itself, so that light curves and velocities are of one physics.
    darkening, optics = engine.darkening(systems), engine.optics()
    _fill_velocities(sums, columns, phase, darkening, _BANDS // PATCH_SIDE, optics)
    q = systems.mass_ratio[:, np.newaxis]
    along = np.sin(np.radians(systems.inclination))[:, np.newaxis] * np.sin(2.0 * np.pi * phase)
    point = np.stack([-q / (1.0 + q) * along, along / (1.0 + q)], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        weighted = np.where(sums[:, :, 0] > 0.0, sums[:, :, 1] / sums[:, :, 0], np.nan)
    light = sums[:, :, 0] / sums[:, :, 0].max(axis=-1, keepdims=True)
    return VelocityCurves(phase, point, weighted, light)


@njit(nogil=True, cache=True)
def _fill_velocities(
    sums: FloatArray, systems: FloatArray, phases: FloatArray, darkening: FloatArray, n_belts: int, optics: Optics
) -> None:
    """Fill in light and light times velocity of each star; the steps are those of the light curves."""
    for k in range(len(systems)):
        system = systems[k]
        pair = lit_pair(system, darkening[k, -1], n_belts, optics)
        laws = (darkening[k, 0, 0], darkening[k, 0, 1])
        for p in range(len(phases)):
            view, law = view_at(system, phases[p]), optics.laws[0]
            _add_velocity(sums[k, 0, :, p], pair.cells_1, pair.light_1, laws[0], law, pair.star_1, pair.star_2, view)
            _add_velocity(sums[k, 1, :, p], pair.cells_2, pair.light_2, laws[1], law, pair.star_2, pair.star_1, view)


@njit(cache=True)
def _add_velocity(
    sums: FloatArray,
    cells: FloatArray,
    light: FloatArray,
    darkening: FloatArray,
    law: int,
    own: Obstacle,
    other: Obstacle,
    view: View,
) -> None:
    """Add light, and light times velocity away from the observer, of one star at one phase."""
    barycentre = view.q / (1.0 + view.q)
    for row in range(len(cells)):
        cell = cells[row]
        along = cell[NORMAL] * view.nx
        for image in range(4):
            sy = 1.0 if image % 2 == 0 else -1.0
            sz = 1.0 if image < 2 else -1.0
            mu = along + sy * cell[NORMAL + 1] * view.ny + sz * cell[NORMAL + 2] * view.nz
            if mu < cell[REACH] * cell[BEND]:
                mu = mean_cosine(cell, sy, sz, mu, view)
                if mu <= 0.0:
                    continue
            share = seen_share(cell, sy, sz, own, other, view)
            if share > 0.0:
                seen = share * mu * law_of(mu, darkening[0], darkening[1], law) * light[row, 0]
                sums[0] += seen
                sums[1] += seen * ((cell[PLACE] - barycentre) * view.ny - sy * cell[PLACE + 1] * view.nx)
