"""Velocity curves weighted by light: what distortion, eclipses and heating make of the curves of two point masses.

The surfaces, their light and what is hidden are those of the light-curve engine. Every part of a surface moves with the
orbit, since both stars rotate with it: its velocity is the angular velocity times its distance from the axis through
the barycentre.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from cbminer.columns import FloatArray
from cbminer.synthetic.equipotential import surface_radius
from cbminer.synthetic.lobe import AREA, BEND, GRAVITY, NORMAL, PATCH_SIDE, PLACE, REACH, make_surface
from cbminer.synthetic.passbands import standard_passband
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
from cbminer.synthetic.reflection import law_of
from cbminer.synthetic.roche import RocheEngine, _mean_cosine, _mesh, _Obstacle, _seen_share, _View
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
    darkening, optics = engine._darkening(systems), engine._optics()  # noqa: SLF001
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
        q, contact = system[MASS_RATIO], system[CONTACT] > 0.5
        surface_1 = make_surface(system[POTENTIAL], q, contact, False)
        surface_2 = make_surface(system[POTENTIAL + 1], q, contact, True)
        cells_1, reach_1 = _mesh(n_belts, surface_1)
        cells_2, reach_2 = _mesh(n_belts, surface_2)
        fourth_1, fourth_2 = fourth_powers(cells_1, cells_2, system)
        reference = (cells_1[:, AREA] * cells_1[:, GRAVITY]).sum() / cells_1[:, AREA].sum()
        if optics.reflection:
            heat((cells_1, cells_2), (fourth_1, fourth_2), system, darkening[k, -1], optics.bolometric_law)
        light_1 = emitted_light(cells_1, fourth_1, (reference, system[LOG_G]), optics)
        light_2 = emitted_light(cells_2, fourth_2, (reference, system[LOG_G]), optics)
        pole_1 = surface_radius(0.0, 0.0, surface_1.omega, surface_1.q)
        pole_2 = surface_radius(0.0, 0.0, surface_2.omega, surface_2.q)
        star_1 = _Obstacle(0.0, system[POTENTIAL], pole_1, reach_1)
        star_2 = _Obstacle(1.0, system[POTENTIAL + 1], pole_2, reach_2)
        laws = (darkening[k, 0, 0], darkening[k, 0, 1])
        tilt = math.radians(system[INCLINATION])
        for p in range(len(phases)):
            angle = 2.0 * math.pi * phases[p]
            view = _View(math.sin(tilt) * math.cos(angle), math.sin(tilt) * math.sin(angle), math.cos(tilt), q, contact)
            _add_velocity(sums[k, 0, :, p], cells_1, light_1, laws[0], optics.laws[0], star_1, star_2, view)
            _add_velocity(sums[k, 1, :, p], cells_2, light_2, laws[1], optics.laws[0], star_2, star_1, view)


@njit(cache=True)
def _add_velocity(
    sums: FloatArray,
    cells: FloatArray,
    light: FloatArray,
    darkening: FloatArray,
    law: int,
    own: _Obstacle,
    other: _Obstacle,
    view: _View,
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
                mu = _mean_cosine(cell, sy, sz, mu, view)
                if mu <= 0.0:
                    continue
            share = _seen_share(cell, sy, sz, own, other, view)
            if share > 0.0:
                seen = share * mu * law_of(mu, darkening[0], darkening[1], law) * light[row, 0]
                sums[0] += seen
                sums[1] += seen * ((cell[PLACE] - barycentre) * view.ny - sy * cell[PLACE + 1] * view.nx)
