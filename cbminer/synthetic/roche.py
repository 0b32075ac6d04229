"""The batch light-curve engine: fluxes of Roche-lobe binaries over phase, for circular synchronous orbits.

Each star is a mesh of cells on its equipotential (`cbminer.synthetic.lobe`). The temperature of a cell follows
from its gravity, and from the light of the companion that it sends back (`cbminer.synthetic.reflection`); its
intensity from its temperature in the passband and from limb darkening. A cell counts by the share of it that
is seen past the star in front (`cbminer.synthetic.eclipse`): shares, not all or nothing, make curves smooth
and meshes small.
"""

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from cbminer.columns import FloatArray
from cbminer.errors import SettingsError
from cbminer.synthetic.eclipse import visible_share
from cbminer.synthetic.equipotential import surface_radius
from cbminer.synthetic.limb_darkening import LAWS, LimbDarkening, LimbDarkeningTable
from cbminer.synthetic.lobe import (
    AREA,
    BEND,
    EDGE_1,
    EDGE_2,
    GRAVITY,
    N_COLUMNS,
    NORMAL,
    PATCH_SIDE,
    PLACE,
    REACH,
    Surface,
    fill_lobe,
    lay_bands,
    make_surface,
)
from cbminer.synthetic.passbands import Passband, standard_passband
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
from cbminer.synthetic.systems import BinarySystems

__all__ = ["RocheEngine", "half_temperatures"]

_FEWEST_BANDS, _MOST_BANDS = 6, 240
# Systems that a thread takes at a time.
_CHUNK = 16
# Reach of a cell over the polar radius of the star in front above which it is looked at in parts, and their number
# along an edge at most: stars down to a hundredth of their companion are followed.
_LARGEST_CELL = 0.3
_MOST_PARTS = 32
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class RocheEngine:
    """Physics and resolution of the light curves; `light_curves` computes them.

    Attributes
    ----------
    passbands : sequence of Passband
        Bands, I and V with black bodies by default.
    bolometric_limb_darkening : LimbDarkening or LimbDarkeningTable
        Limb darkening of the light that stars throw on each other.
    reflection : bool
        Whether stars heat each other.
    n_bands : int
        Bands of cells from the back of a star to its front, a multiple of 3 from 6 to 240. The errors of a
        curve fall with its square: see the notes.
    log_g : array_like
        Logarithm of the mean gravity of star 1 in cm/s2, one number or one for each system: matters where a
        passband depends on gravity.
    threads : int
        Threads that share the systems; as many as processors by default. They do not change the result.

    Notes
    -----
    The error of a curve falls with the square of the number of bands. Against a mesh of 144 bands, the root mean
    square of pairs in contact or near it is about 0.2 mmag with 36 bands and 0.4 mmag with 24, at worst twice that;
    minima are off by up to 1 and 3 mmag (``benchmarks/roche_vs_phoebe.py``). Eclipses by a companion of less
    than a tenth of the radius of its star are right to some 5 per cent of their depth.
    """

    passbands: Sequence[Passband] = (standard_passband("I"), standard_passband("V"))
    bolometric_limb_darkening: LimbDarkening | LimbDarkeningTable = field(default_factory=LimbDarkening)
    reflection: bool = True
    n_bands: int = 36
    log_g: npt.ArrayLike = 4.0
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)

    def __post_init__(self) -> None:
        """Refuse what cannot be computed."""
        if not self.passbands:
            msg = "passbands: give at least one"
            raise SettingsError(msg)
        if not _FEWEST_BANDS <= self.n_bands <= _MOST_BANDS or self.n_bands % PATCH_SIDE:
            msg = (
                f"n_bands: {self.n_bands}; it must be a multiple of {PATCH_SIDE} from {_FEWEST_BANDS} to {_MOST_BANDS}"
            )
            raise SettingsError(msg)
        if not np.isfinite(np.asarray(self.log_g, dtype=float)).all():
            msg = "log_g: it must be finite"
            raise SettingsError(msg)
        if self.threads < 1:
            msg = f"threads: {self.threads}; it must be 1 or more"
            raise SettingsError(msg)

    def light_curves(
        self,
        systems: BinarySystems,
        phases: npt.ArrayLike,
        *,
        third_light: npt.ArrayLike = 0.0,
        normalised: bool = True,
    ) -> FloatArray:
        """Compute light curves.

        Parameters
        ----------
        systems : BinarySystems
            The n binaries.
        phases : array_like
            Phases, 0 where star 1 is eclipsed; any real numbers, shape (k,). Curves are symmetric about the
            conjunctions, so that phases which mirror each other cost nothing more.
        third_light : array_like, optional
            Share of the light at phase 0.25 that comes from other stars, 0 to below 1; a number, shape (n,)
            or (n, bands).
        normalised : bool, optional
            Whether fluxes are over the total one at phase 0.25, as by default, or in units of the normal
            intensity of the passband times the square of the separation.

        Returns
        -------
        `~numpy.ndarray`
            Fluxes, shape (n, bands, k).

        Raises
        ------
        SettingsError
            If a phase is not finite, a third light out of range, or a star hotter or cooler than the table of a
            passband.
        """
        folded = _folded(phases)
        distinct, place = np.unique(np.append(folded, 0.25), return_inverse=True)
        blend = _checked_third_light(third_light, len(systems), len(self.passbands))
        self._check_temperatures(systems)
        flux = self._fluxes(systems, distinct)
        quadrature = flux[:, :, place[-1], np.newaxis]
        blended = blend[:, :, np.newaxis]
        total = flux[:, :, place[:-1]] + quadrature * blended / (1.0 - blended)
        return np.asarray(total * (1.0 - blended) / quadrature if normalised else total)

    def _check_temperatures(self, systems: BinarySystems) -> None:
        for number, teff in ((1, systems.teff_1), (2, _second_teff(systems))):
            for band in self.passbands:
                lowest, highest = band.teff_range
                outside = (teff < lowest * (1.0 - _ROUNDING)) | (teff > highest * (1.0 + _ROUNDING))
                if outside.any():
                    k = int(np.argmax(outside))
                    msg = (
                        f"teff_{number}: {teff[k]:g} K for system {k}; the table of passband {band.name} goes from "
                        f"{lowest:g} to {highest:g} K"
                    )
                    raise SettingsError(msg)

    def _fluxes(self, systems: BinarySystems, phases: FloatArray) -> FloatArray:
        """Compute the fluxes of the two stars alone at phases between 0 and a half."""
        flux = np.empty((len(systems), len(self.passbands), len(phases)))
        columns = np.column_stack([systems.as_columns(), _per_system("log_g", self.log_g, len(systems))])
        darkening, optics = self._darkening(systems), self._optics()

        def fill(part: slice) -> None:
            _fill_light_curves(
                flux[part], columns[part], phases, darkening[part], int(self.n_bands) // PATCH_SIDE, optics
            )

        size = max(1, min(_CHUNK, -(-len(systems) // (4 * self.threads))))
        parts = [slice(start, start + size) for start in range(0, len(systems), size)]
        if self.threads == 1 or len(parts) == 1:
            for part in parts:
                fill(part)
            return flux
        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(fill, parts))
        return flux

    def _optics(self) -> Optics:
        """Bring the tables of all bands into arrays of one shape."""
        n_teff = max(len(band.log_teff) for band in self.passbands)
        n_grav = max(len(band.log_g) for band in self.passbands)
        axes = np.zeros((len(self.passbands), 4))
        gravities = np.zeros((len(self.passbands), n_grav))
        tables = np.zeros((len(self.passbands), n_teff, n_grav))
        for k, band in enumerate(self.passbands):
            shape = band.log_intensity.shape
            axes[k] = band.log_teff[0], band.log_teff[1] - band.log_teff[0], shape[0], shape[1]
            gravities[k, : shape[1]] = band.log_g
            tables[k, : shape[0], : shape[1]] = band.log_intensity
        laws = np.array([LAWS.index(band.limb_darkening.law) for band in self.passbands])
        return Optics(axes, gravities, tables, laws, LAWS.index(self.bolometric_limb_darkening.law), self.reflection)

    def _darkening(self, systems: BinarySystems) -> FloatArray:
        """Look up the coefficients of limb darkening, bolometric ones last, shape (n, bands + 1, 2 stars, 2)."""
        teffs = np.stack([systems.teff_1, _second_teff(systems)], axis=-1)
        laws = [*(band.limb_darkening for band in self.passbands), self.bolometric_limb_darkening]
        return np.stack([law.at(teffs) for law in laws], axis=1)


def _folded(phases: npt.ArrayLike) -> FloatArray:
    """Fold phases at the conjunctions, and make those equal that differ by rounding only."""
    given = np.asarray(phases, dtype=float)
    if given.ndim != 1 or not len(given) or not np.isfinite(given).all():
        msg = "phases: give a one-dimensional array of finite numbers, at least one"
        raise SettingsError(msg)
    return np.asarray(np.round(np.abs(given - np.round(given)), 12))


def _second_teff(systems: BinarySystems) -> FloatArray:
    """Temperatures of star 2; with one law over the envelope, those of star 1."""
    return np.where(np.isnan(systems.teff_2), systems.teff_1, systems.teff_2)


def _per_system(name: str, given: npt.ArrayLike, n_systems: int) -> FloatArray:
    number = np.asarray(given, dtype=float)
    if number.shape not in {(), (n_systems,)}:
        msg = f"{name}: shape {number.shape}; give one number, or one for each of the {n_systems} systems"
        raise SettingsError(msg)
    return np.broadcast_to(number, (n_systems,))


def _checked_third_light(third_light: npt.ArrayLike, n_systems: int, n_bands: int) -> FloatArray:
    blend = np.asarray(third_light, dtype=float)
    if blend.shape == (n_systems,):
        blend = blend[:, np.newaxis]
    if blend.ndim not in {0, 2} or any(
        have not in {1, want} for have, want in zip(blend.shape, (n_systems, n_bands), strict=False)
    ):
        msg = (
            f"third_light: shape {blend.shape}; give one number, one for each of the {n_systems} systems, or one for "
            f"each system and each of the {n_bands} bands"
        )
        raise SettingsError(msg)
    if not ((blend >= 0.0) & (blend < 1.0)).all():
        wrong = blend[~((blend >= 0.0) & (blend < 1.0))].flat[0]
        msg = f"third_light: {wrong:g}; it must be 0 or more and below 1"
        raise SettingsError(msg)
    return np.broadcast_to(blend, (n_systems, n_bands))


def half_temperatures(systems: BinarySystems, *, n_bands: int = 60) -> FloatArray:
    """Mean effective temperatures of both stars, also where there is one law over a common envelope.

    Parameters
    ----------
    systems : BinarySystems
        The n binaries.
    n_bands : int, optional
        Resolution, as in `RocheEngine`.

    Returns
    -------
    `~numpy.ndarray`
        In K, weighted by area, shape (n, 2). Given to the same systems, they make the same surface.
    """
    result = np.stack([systems.teff_1, systems.teff_2], axis=-1)
    one_law = np.isnan(systems.teff_2)
    if one_law.any():
        result[one_law] = _half_temperatures(systems[one_law].as_columns(), n_bands // PATCH_SIDE)
    return result


@njit(nogil=True, cache=True)
def _half_temperatures(systems: FloatArray, n_belts: int) -> FloatArray:
    result = np.empty((len(systems), 2))
    for k in range(len(systems)):
        system = systems[k]
        contact = system[CONTACT] > 0.5
        cells_1, _ = _mesh(n_belts, make_surface(system[POTENTIAL], system[MASS_RATIO], contact, False))
        cells_2, _ = _mesh(n_belts, make_surface(system[POTENTIAL + 1], system[MASS_RATIO], contact, True))
        fourth_1, fourth_2 = fourth_powers(cells_1, cells_2, system)
        result[k, 0] = ((fourth_1 * cells_1[:, AREA]).sum() / cells_1[:, AREA].sum()) ** 0.25
        result[k, 1] = ((fourth_2 * cells_2[:, AREA]).sum() / cells_2[:, AREA].sum()) ** 0.25
    return result


class _Obstacle(NamedTuple):
    """A star in the way: a sphere of the radius `pole` about `x` lies within it, and one of `reach` around it.

    It holds no arrays: to count the references to these for each ray would double the time.
    """

    x: float
    omega: float
    pole: float
    reach: float


class _View(NamedTuple):
    """Unit vector towards the observer, and what all rays meet."""

    nx: float
    ny: float
    nz: float
    q: float
    contact: bool


@njit(nogil=True, cache=True)
def _fill_light_curves(
    flux: FloatArray, systems: FloatArray, phases: FloatArray, darkening: FloatArray, n_belts: int, optics: Optics
) -> None:
    """Fill in the fluxes of some systems; threads share out the systems, which know nothing of each other."""
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
        dark_1, dark_2 = darkening[k, :, 0], darkening[k, :, 1]
        tilt = math.radians(system[INCLINATION])
        flux[k] = 0.0
        for p in range(len(phases)):
            angle = 2.0 * math.pi * phases[p]
            view = _View(math.sin(tilt) * math.cos(angle), math.sin(tilt) * math.sin(angle), math.cos(tilt), q, contact)
            _add_star(flux[k, :, p], cells_1, light_1, dark_1, optics.laws, star_1, star_2, view)
            _add_star(flux[k, :, p], cells_2, light_2, dark_2, optics.laws, star_2, star_1, view)


@njit(cache=True)
def _mesh(n_belts: int, surface: Surface) -> tuple[FloatArray, float]:
    """Make the cells of a quarter of a star; return with them how far it reaches from its centre."""
    edges, n_patches = lay_bands(n_belts, surface)
    cells = np.empty((PATCH_SIDE * PATCH_SIDE * n_patches.sum(), N_COLUMNS))
    reach = fill_lobe(cells, edges, n_patches, surface)
    return cells, reach


@njit(cache=True)
def _add_star(
    flux: FloatArray,
    cells: FloatArray,
    light: FloatArray,
    darkening: FloatArray,
    laws: npt.NDArray[np.int64],
    own: _Obstacle,
    other: _Obstacle,
    view: _View,
) -> None:
    """Add the light of one star at one phase in all bands."""
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
                for band in range(len(laws)):
                    law = law_of(mu, darkening[band, 0], darkening[band, 1], laws[band])
                    flux[band] += share * mu * law * light[row, band]


@njit(cache=True)
def _mean_cosine(cell: FloatArray, sy: float, sz: float, mu: float, view: _View) -> float:
    """Mean cosine over the part of a cell that faces the observer, times this part; the middle has `mu`.

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
    cell: FloatArray, place: tuple[float, float, float], mirror: tuple[float, float], other: _Obstacle, view: _View
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
def _seen_share(cell: FloatArray, sy: float, sz: float, own: _Obstacle, other: _Obstacle, view: _View) -> float:
    """Share of a cell that is seen past the other star and, in a contact binary, past the star's own bulge."""
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
