"""Simple models of close binaries on the main sequence: single-star tracks, Roche lobes, and mass that passes between.

What they take from detailed models, and what they leave out, stands in docs/embedded_grid.md.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from cbminer.columns import FloatArray
from cbminer.errors import SettingsError
from cbminer.quantities import SettingsModel
from cbminer.theory import pair_kernel
from cbminer.theory.grid import EndReason, EvolutionGrid
from cbminer.theory.phases import phases_of
from cbminer.theory.tracks import SingleStarTracks

__all__ = ["EvolutionSettings", "GridAxes", "evolve_grid", "evolve_pairs"]

_TEFF_SUN = 5772.0
# The logarithm of no transfer, as MESA writes it.
_NO_TRANSFER = -99.0
_MOST_STEPS = 20000
_N_INITIAL = 3
_ROUNDING = 1e-9
# Digits that are kept of masses, radii and periods: far more than the models are good for.
_DIGITS = 4
# Steps of fast transfer are short beside the age.
_AGE_DIGITS = 7
# Roche-lobe filling from which a detached pair is written out in fine steps.
_FINE_FROM = 0.85
_FINE = 20.0
# Pairs that stay apart need this many times fewer steps.
_FEWER = 3


class EvolutionSettings(SettingsModel):
    """Physics and accuracy of the models."""

    thermal_response: float = Field(
        default=0.035,
        ge=1e-3,
        le=1,
        description=(
            "relative change of a star's radius for each of its own masses that it gains in a thermal time"
            " G M^2 / (R L); to first order a star that gains mass swells by it, and one that loses mass shrinks."
            " Set by the highest transfer rate, 2.9e-4 solar masses a year, of the 24 + 16.8 solar-mass model at"
            " P = 1.15 d of Fabry et al. (2025, A&A 695, A109)"
        ),
    )
    gyration: float = Field(
        default=0.078,
        ge=0,
        le=0.4,
        description=(
            "moment of inertia over M R R_ZAMS, of stars that turn with the orbit; 0 keeps the angular momentum of the"
            " orbit alone. From J_spin of the same model, in which I / (M R^2) falls from 0.078 to 0.060 as 1 / R does"
        ),
    )
    energy_transfer: bool = Field(
        default=True,
        description=(
            "in contact both stars have one effective temperature, that of their joint luminosity from their joint"
            " surface; otherwise each keeps its own luminosity"
        ),
    )
    radius_scale: float = Field(
        default=1.0,
        ge=0.5,
        le=2,
        description=(
            "factor of all radii; EVtwin's are smaller by 2 to 3 % on the zero-age main sequence and by 11 % at their"
            " largest"
        ),
    )
    lifetime_scale: float = Field(
        default=1.0, ge=0.5, le=2, description="factor of all lifetimes; EVtwin's are shorter by 7 % at 8 solar masses"
    )
    time_step: float = Field(
        default=0.005, gt=0, le=0.1, description="largest step, as a fraction of the shorter main-sequence lifetime"
    )
    mass_step: float = Field(
        default=0.01, gt=0, le=0.1, description="most mass that passes in a step, as a fraction of the donor's"
    )
    overflow_step: float = Field(
        default=0.01, gt=0, le=0.1, description="largest change of radius over Roche radius in a step"
    )
    steps_of_a_run: int = Field(
        default=28,
        ge=10,
        description="about as many steps are kept of a run in which mass passes, most of them near and in contact",
    )


class GridAxes(SettingsModel):
    """Initial values of a grid, spaced evenly in log total mass, log period and the root of one less the mass ratio.

    Twins stay alike and meet at any period, while pairs a little less alike do not: mass ratios are densest at 1.
    """

    total_mass_from: float = Field(default=6.0, gt=0, description="least total mass, solar masses")
    total_mass_to: float = Field(default=80.0, gt=0, description="largest total mass, solar masses")
    n_masses: int = Field(default=16, ge=2, description="total masses")
    mass_ratio_from: float = Field(default=0.5, gt=0, le=1, description="least mass ratio; the largest is 1")
    n_mass_ratios: int = Field(default=13, ge=2, description="mass ratios")
    period_from: float = Field(default=0.4, gt=0, description="shortest period, d")
    period_to: float = Field(default=8.0, gt=0, description="longest period, d")
    n_periods: int = Field(default=28, ge=2, description="periods")

    def pairs(self) -> FloatArray:
        """List the initial values of all runs.

        Returns
        -------
        `~numpy.ndarray`
            Mass of the heavier and of the lighter star (solar masses) and period (d), shape (n, 3).
        """
        axes = np.meshgrid(self.total_masses(), self.mass_ratios(), self.periods(), indexing="ij")
        total, q, period = (axis.ravel() for axis in axes)
        return np.column_stack([total / (1 + q), total * q / (1 + q), period])

    def total_masses(self) -> FloatArray:
        """List the total masses.

        Returns
        -------
        `~numpy.ndarray`
            Solar masses, shape (n_masses,).
        """
        return np.geomspace(self.total_mass_from, self.total_mass_to, self.n_masses)

    def mass_ratios(self) -> FloatArray:
        """List the mass ratios.

        Returns
        -------
        `~numpy.ndarray`
            Ascending to 1, shape (n_mass_ratios,).
        """
        ratios: FloatArray = 1.0 - (1.0 - self.mass_ratio_from) * np.linspace(1.0, 0.0, self.n_mass_ratios) ** 2
        return ratios

    def periods(self) -> FloatArray:
        """List the periods.

        Returns
        -------
        `~numpy.ndarray`
            Days, shape (n_periods,).
        """
        return np.geomspace(self.period_from, self.period_to, self.n_periods)


# By how much EVtwin, a code that solves the equations of stellar structure, differs from SSE at 8 solar masses and the
# metallicities of the Clouds.
_UNCERTAINTY = {
    "radius_zams": "2 to 3 %",
    "radius_max": "11 %",
    "lifetime": "7 %",
    "basis": "EVtwin less than SSE at 8 solar masses, Z = 0.0021 and 0.0047",
}


# The same as relative errors, for the uncertainty of populations. Contact begins near zero age, where radii differ by
# 3 %, and ends well before the largest radius, where they differ by 11 %: between the two, nearer to the first.
_MODEL_ERRORS = {"radius": 0.05, "lifetime": 0.07}


class _Run(NamedTuple):
    """Steps of one run and how it ended."""

    steps: FloatArray
    end: EndReason
    note: str


_ENDS = {
    pair_kernel.AGED: (EndReason.END_OF_MAIN_SEQUENCE, ""),
    pair_kernel.L2: (EndReason.L2_OVERFLOW, ""),
    pair_kernel.ROCHE_AT_ZAMS: (EndReason.ROCHE_OVERFLOW_AT_ZAMS, ""),
    pair_kernel.OFF_TRACKS: (EndReason.FAILED, "a mass left those of the single-star tracks"),
    pair_kernel.UNBOUND: (EndReason.UNSTABLE_ORBIT, "no synchronous orbit has the angular momentum of the pair"),
    pair_kernel.STUCK: (EndReason.FAILED, "mass would have to pass at once"),
    pair_kernel.FULL_BUFFER: (EndReason.FAILED, f"more than {_MOST_STEPS} steps"),
}


def evolve_grid(
    tracks: SingleStarTracks, axes: GridAxes | None = None, *, settings: EvolutionSettings | None = None
) -> EvolutionGrid:
    """Compute models at all combinations of total mass, mass ratio and period.

    Parameters
    ----------
    tracks : SingleStarTracks
        Single stars of one metallicity.
    axes : GridAxes, optional
        Initial values.
    settings : EvolutionSettings, optional
        Physics and accuracy.

    Returns
    -------
    EvolutionGrid
        The models; see `evolve_pairs`.

    Raises
    ------
    SettingsError
        If a mass is outside of the tracks.
    """
    axes = axes or GridAxes()
    grid = evolve_pairs(tracks, axes.pairs(), settings=settings)
    grid.about["axes"] = axes.model_dump(mode="json")
    return grid


def evolve_pairs(
    tracks: SingleStarTracks, initial: npt.ArrayLike, *, settings: EvolutionSettings | None = None
) -> EvolutionGrid:
    """Compute models of given pairs.

    Parameters
    ----------
    tracks : SingleStarTracks
        Single stars of one metallicity.
    initial : array_like
        Mass of the heavier and of the lighter star (solar masses) and period (d), shape (n, 3).
    settings : EvolutionSettings, optional
        Physics and accuracy.

    Returns
    -------
    EvolutionGrid
        The models, with numbers rounded to four digits.

    Raises
    ------
    SettingsError
        If there is no pair, a number is impossible, or a mass is outside of the tracks.

    Notes
    -----
    Circular orbits of stars that turn with them; mass and angular momentum are kept, and there is no wind. Stars age
    along single-star tracks. One that gains mass takes fresh hydrogen into its core, which lowers its fraction of the
    main sequence by its old over its new mass (Tout et al. 1997, MNRAS 291, 732; Hurley, Tout & Pols 2002, MNRAS 329,
    897); mass that it had lost before gives it back only what its core had left behind, burnt as far as it was then.

    Mass passes at the rate that keeps the donor within its Roche lobe (Eggleton 1983, ApJ 268, 368) or, in contact,
    both stars on one equipotential, for which the overflow of star 2 is (M2/M1)^-0.52 times that of star 1 (Marchant et
    al. 2016, A&A 588, A50). Radii respond to that rate to first order, which sets how fast mass passes. A run ends when
    a star leaves the main sequence, or with overflow of the lighter star through L2 (`roche_lobe.l2_radius_ratio`).
    """
    settings = settings or EvolutionSettings()
    pairs = np.asarray(initial, dtype=float)
    _check(tracks, pairs)
    runs = [_evolve(tracks, pair, settings) for pair in pairs]
    columns = _columns(np.concatenate([run.steps for run in runs]), settings)
    return EvolutionGrid.of(_run_table(tracks, pairs, runs), columns, about=_about(tracks, settings))


def _check(tracks: SingleStarTracks, pairs: FloatArray) -> None:
    if pairs.ndim != 2 or pairs.shape[1] != _N_INITIAL or not len(pairs):
        msg = f"initial values of shape {pairs.shape}: give a row of mass, mass and period for each of one pair or more"
        raise SettingsError(msg)
    heavy, light, period = pairs.T
    low, high = 10.0 ** tracks.log_mass[[0, -1]]
    problems = {
        "its period must be above 0": ~(np.isfinite(period) & (period > 0)),
        "the heavier star comes first": ~(light <= heavy),
        f"the tracks have masses of {low:.4g} to {high:.4g} solar ones": ~(
            (light >= low * (1 - _ROUNDING)) & (heavy <= high * (1 + _ROUNDING))
        ),
    }
    for problem, wrong in problems.items():
        if wrong.any():
            m_1, m_2, days = pairs[int(np.argmax(wrong))]
            msg = f"pair of {m_1:.6g} and {m_2:.6g} solar masses, {days:.6g} d: {problem}"
            raise SettingsError(msg)


def _evolve(tracks: SingleStarTracks, pair: FloatArray, settings: EvolutionSettings) -> _Run:
    spacing = (tracks.log_mass[-1] - tracks.log_mass[0]) / (len(tracks.log_mass) - 1)
    tables = (
        np.array([tracks.log_mass[0], spacing]),
        tracks.log_radius,
        tracks.log_luminosity,
        tracks.log_lifetime,
    )
    physics = np.array(
        [settings.thermal_response, settings.gyration, settings.radius_scale, settings.lifetime_scale], dtype=float
    )
    accuracy = np.array([settings.time_step, settings.mass_step, settings.overflow_step])
    record = np.empty((_MOST_STEPS, pair_kernel.N_RECORDED))
    n, code = pair_kernel.march(tables, physics, accuracy, np.ascontiguousarray(pair), record)
    end, note = _ENDS[code]
    steps = record[:n]
    # Before anything is asked of them: a donor that is kept at its lobe is at it, and not a hair below.
    # In the precision of a stored grid, so that phases are the same there.
    steps[:, 6:8] = np.float32(np.round(steps[:, 6:8], 4) + 0.0)
    if end is EndReason.L2_OVERFLOW and n == 1:
        end = EndReason.L2_OVERFLOW_AT_ZAMS
    if end is EndReason.END_OF_MAIN_SEQUENCE and np.all(steps[:, 6:8] < 0):
        end = EndReason.NO_INTERACTION
    kept = settings.steps_of_a_run
    return _Run(_thinned(steps, kept // _FEWER if end is EndReason.NO_INTERACTION else kept), end, note)


def _thinned(steps: FloatArray, n: int) -> FloatArray:
    """Keep about n steps, evenly along the change of age, overflow and mass, most of them at nearly full lobes.

    The last step of each phase and the first of the next are kept, so that no phase grows or shrinks by this.
    """
    if len(steps) <= n:
        return steps
    overflow = steps[:, 6:8]
    change = np.abs(np.diff(overflow, axis=0)).sum(axis=1) + np.abs(np.diff(np.log(steps[:, 1:3]), axis=0)).sum(axis=1)
    change += np.diff(steps[:, 0]) / steps[-1, 0]
    change[overflow.min(axis=1)[1:] < _FINE_FROM - 1.0] /= _FINE
    way = np.concatenate([[0.0], np.cumsum(change)])
    kept = np.searchsorted(way, np.linspace(0.0, way[-1], n)).tolist()
    edges = np.flatnonzero(np.diff(phases_of(overflow[:, 0], overflow[:, 1], steps[:, 2] / steps[:, 1])))
    chosen: FloatArray = steps[np.unique([*kept, *edges, *(edges + 1), 0, len(steps) - 1])]
    return chosen


def _run_table(tracks: SingleStarTracks, pairs: FloatArray, runs: Sequence[_Run]) -> dict[str, Any]:
    n = len(runs)
    return {
        "run": _names(pairs),
        "M1_initial": pairs[:, 0],
        "M2_initial": pairs[:, 1],
        "period_initial": pairs[:, 2],
        "Z": np.full(n, tracks.Z),
        "end": [run.end for run in runs],
        "n_steps": [len(run.steps) for run in runs],
        "age_end": [run.steps[-1, 0] for run in runs],
        "code": [f"cbminer on {tracks.about['code']}"] * n,
        "note": [run.note for run in runs],
    }


def _names(pairs: FloatArray) -> list[str]:
    """Name runs by their initial values, with as many digits as tell them apart."""
    names: list[str] = []
    for digits in range(_DIGITS, 18):
        names = [f"{m_1:.{digits}g}+{m_2:.{digits}g}, {period:.{digits}g} d" for m_1, m_2, period in pairs]
        if len(set(names)) == len(names):
            break
    return names


def _columns(steps: FloatArray, settings: EvolutionSettings) -> dict[str, FloatArray]:
    """Columns of the steps; both stars of a pair in contact have one temperature where energy passes."""
    age, m_1, m_2, period, r_1, r_2, over_1, over_2, l_1, l_2, rate = steps.T[:11]
    teff_1, teff_2 = (_TEFF_SUN * (lum / r**2) ** 0.25 for lum, r in ((l_1, r_1), (l_2, r_2)))
    if settings.energy_transfer:
        contact = (over_1 >= 0) & (over_2 >= 0)
        joint = _TEFF_SUN * ((l_1 + l_2) / (r_1**2 + r_2**2)) ** 0.25
        teff_1, teff_2 = np.where(contact, joint, teff_1), np.where(contact, joint, teff_2)
        l_1, l_2 = (r**2 * (teff / _TEFF_SUN) ** 4 for r, teff in ((r_1, teff_1), (r_2, teff_2)))
    log_rate = np.log10(np.where(rate > 0, rate, 10.0**_NO_TRANSFER))
    columns = {
        "age": age,
        "M1": m_1,
        "M2": m_2,
        "period": period,
        "R1": r_1,
        "R2": r_2,
        "overflow_1": over_1,
        "overflow_2": over_2,
        "log_L1": np.log10(l_1),
        "log_L2": np.log10(l_2),
        "log_Teff1": np.log10(teff_1),
        "log_Teff2": np.log10(teff_2),
        "log_transfer_rate": log_rate,
    }
    return {name: _rounded(column, name) for name, column in columns.items()}


def _rounded(column: FloatArray, name: str) -> FloatArray:
    if name.startswith("overflow"):
        return column
    if name.startswith("log_"):
        return np.round(column, 4 if "Teff" in name else 3)
    digits = _AGE_DIGITS if name == "age" else _DIGITS
    with np.errstate(divide="ignore"):
        exponent = np.where(column > 0, np.floor(np.log10(np.abs(column))), 0.0)
    unit = 10.0 ** (exponent - digits + 1)
    rounded: FloatArray = np.round(column / unit) * unit
    return rounded


def _about(tracks: SingleStarTracks, settings: EvolutionSettings) -> dict[str, Any]:
    return {
        "source": "cbminer.theory.binary_evolution",
        "tracks": {**tracks.about, "Z": tracks.Z},
        "settings": settings.model_dump(mode="json"),
        "uncertainty": dict(_UNCERTAINTY),
        "model_errors": dict(_MODEL_ERRORS),
    }
