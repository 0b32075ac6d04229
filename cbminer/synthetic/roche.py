"""The batch light-curve engine: fluxes of Roche-lobe binaries over phase, for circular synchronous orbits.

Each star is a mesh of cells on its equipotential (`cbminer.synthetic.lobe`). The temperature of a cell follows
from its gravity, and from the light of the companion that it sends back (`cbminer.synthetic.reflection`); its
intensity from its temperature in the passband and from limb darkening. A cell counts by the share of it that
is seen past the star in front (`cbminer.synthetic.eclipse`): shares, not all or nothing, make curves smooth
and meshes small.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from numba import njit

from cbminer.columns import FloatArray
from cbminer.errors import SettingsError
from cbminer.synthetic.limb_darkening import LAWS, LimbDarkening, LimbDarkeningTable
from cbminer.synthetic.lobe import (
    AREA,
    BEND,
    NORMAL,
    PATCH_SIDE,
    REACH,
    make_surface,
)
from cbminer.synthetic.passbands import Passband, standard_passband
from cbminer.synthetic.radiation import (
    CONTACT,
    MASS_RATIO,
    POTENTIAL,
    Optics,
    fourth_powers,
)
from cbminer.synthetic.reflection import law_of
from cbminer.synthetic.sight import Obstacle, View, lit_pair, mean_cosine, seen_share, surface_mesh, view_at
from cbminer.synthetic.systems import BinarySystems

__all__ = ["RocheEngine", "half_temperatures"]

_FEWEST_BANDS, _MOST_BANDS = 6, 240
# Systems that a thread takes at a time.
_CHUNK = 16
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
        darkening, optics = self.darkening(systems), self.optics()

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

    def optics(self) -> Optics:
        """Bring the tables of all bands into arrays of one shape, for the kernels.

        Returns
        -------
        Optics
            Intensities and laws of limb darkening.
        """
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

    def darkening(self, systems: BinarySystems) -> FloatArray:
        """Look up the coefficients of limb darkening.

        Parameters
        ----------
        systems : BinarySystems
            The n binaries.

        Returns
        -------
        `~numpy.ndarray`
            Bolometric ones last, shape (n, bands + 1, 2 stars, 2).
        """
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
        cells_1, _ = surface_mesh(n_belts, make_surface(system[POTENTIAL], system[MASS_RATIO], contact, False))
        cells_2, _ = surface_mesh(n_belts, make_surface(system[POTENTIAL + 1], system[MASS_RATIO], contact, True))
        fourth_1, fourth_2 = fourth_powers(cells_1, cells_2, system)
        result[k, 0] = ((fourth_1 * cells_1[:, AREA]).sum() / cells_1[:, AREA].sum()) ** 0.25
        result[k, 1] = ((fourth_2 * cells_2[:, AREA]).sum() / cells_2[:, AREA].sum()) ** 0.25
    return result


@njit(nogil=True, cache=True)
def _fill_light_curves(
    flux: FloatArray, systems: FloatArray, phases: FloatArray, darkening: FloatArray, n_belts: int, optics: Optics
) -> None:
    """Fill in the fluxes of some systems; threads share out the systems, which know nothing of each other."""
    for k in range(len(systems)):
        system = systems[k]
        pair = lit_pair(system, darkening[k, -1], n_belts, optics)
        dark_1, dark_2 = darkening[k, :, 0], darkening[k, :, 1]
        flux[k] = 0.0
        for p in range(len(phases)):
            view = view_at(system, phases[p])
            _add_star(flux[k, :, p], pair.cells_1, pair.light_1, dark_1, optics.laws, pair.star_1, pair.star_2, view)
            _add_star(flux[k, :, p], pair.cells_2, pair.light_2, dark_2, optics.laws, pair.star_2, pair.star_1, view)


@njit(cache=True)
def _add_star(
    flux: FloatArray,
    cells: FloatArray,
    light: FloatArray,
    darkening: FloatArray,
    laws: npt.NDArray[np.int64],
    own: Obstacle,
    other: Obstacle,
    view: View,
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
                mu = mean_cosine(cell, sy, sz, mu, view)
                if mu <= 0.0:
                    continue
            share = seen_share(cell, sy, sz, own, other, view)
            if share > 0.0:
                for band in range(len(laws)):
                    law = law_of(mu, darkening[band, 0], darkening[band, 1], laws[band])
                    flux[band] += share * mu * law * light[row, band]
