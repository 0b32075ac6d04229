"""Phases of binary evolution: which one each time step is in, how long each lasts, and what the pair is like in it."""

from enum import IntEnum

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.table import QTable
from pydantic import Field

from cbminer.columns import FloatArray, float_column, text_column
from cbminer.quantities import SettingsModel
from cbminer.theory.grid import EvolutionGrid
from cbminer.theory.roche_lobe import l2_radius_ratio

__all__ = ["Phase", "PhaseSettings", "phase_table", "phases_of", "step_durations", "step_is_thermal", "step_phases"]

# G M_sun^2 / (R_sun L_sun), and the 10 % of the mass that burns 0.7 % of its rest energy, M_sun c^2 / L_sun: in years.
_KELVIN_HELMHOLTZ = 3.14e7
_NUCLEAR = 1.0e10
# Codes write -99 for the logarithm of nothing.
_NO_TRANSFER = -90.0
# Where the rate is unknown there is none if both stars are this far within their lobes.
_FAR_FROM_LOBE = 0.01


class Phase(IntEnum):
    """Configuration of a pair at a time step."""

    DETACHED = 0
    NEAR_CONTACT = 1
    SEMI_DETACHED = 2
    CONTACT = 3
    L2_OVERFLOW = 4


class PhaseSettings(SettingsModel):
    """Limits between phases."""

    near_contact: float = Field(
        default=0.9,
        gt=0,
        lt=1,
        description="both stars at least this part of their Roche radius, and not both filling it, is near contact",
    )
    fills_lobe: float = Field(
        default=1e-3,
        ge=0,
        lt=0.1,
        description="a star that is smaller than its Roche radius by this part of it at most still fills it where the "
        "pair is semi-detached: codes hold a donor at its lobe within a tolerance, mostly from below. Contact begins "
        "at the Roche radius, as in the published models",
    )
    equal_teff: float = Field(
        default=0.99, gt=0, le=1, description="temperatures whose ratio is at least this count as equal"
    )

    @property
    def names(self) -> list[str]:
        """Names of the phases in the order of their values."""
        return [phase.name.lower().replace("_", " ") for phase in Phase]


def step_durations(grid: EvolutionGrid) -> FloatArray:
    """Time that each step stands for: the one since the step before, as the codes count it.

    Parameters
    ----------
    grid : EvolutionGrid
        Models.

    Returns
    -------
    `~numpy.ndarray`
        Years, shape (number of steps,); the first step of a run stands for its own age if that is that of a model
        which starts there, and so for nothing.
    """
    age = grid.arrays()["age"]
    durations = np.diff(age, prepend=age[:1])
    durations[grid.offsets[:-1][np.diff(grid.offsets) > 0]] = 0.0
    return durations


def phases_of(
    overflow_1: FloatArray, overflow_2: FloatArray, mass_ratio: FloatArray, *, settings: PhaseSettings | None = None
) -> npt.NDArray[np.int8]:
    """Phase of pairs by the overflow of their stars.

    Parameters
    ----------
    overflow_1, overflow_2 : `~numpy.ndarray`
        Radii over Roche radii, less one; shape (n,).
    mass_ratio : `~numpy.ndarray`
        Mass of star 2 over that of star 1; shape (n,).
    settings : PhaseSettings, optional
        Limits.

    Returns
    -------
    `~numpy.ndarray`
        Values of `Phase` as int8, shape (n,); -1 where a number is unknown.
    """
    limits = settings or PhaseSettings()
    lighter = np.where(mass_ratio <= 1, overflow_2, overflow_1)
    smaller, larger = np.minimum(overflow_1, overflow_2), np.maximum(overflow_1, overflow_2)
    phase = np.full(len(mass_ratio), Phase.DETACHED, dtype=np.int8)
    phase[larger >= -limits.fills_lobe] = Phase.SEMI_DETACHED
    phase[1 + smaller >= limits.near_contact] = Phase.NEAR_CONTACT
    phase[smaller >= 0] = Phase.CONTACT
    phase[(smaller >= 0) & (lighter > l2_radius_ratio(mass_ratio) - 1)] = Phase.L2_OVERFLOW
    phase[~np.isfinite(mass_ratio + lighter + smaller)] = -1
    return phase


def step_phases(grid: EvolutionGrid, *, settings: PhaseSettings | None = None) -> npt.NDArray[np.int8]:
    """Phase of each time step.

    Parameters
    ----------
    grid : EvolutionGrid
        Models.
    settings : PhaseSettings, optional
        Limits.

    Returns
    -------
    `~numpy.ndarray`
        Values of `Phase` as int8, shape (number of steps,); -1 where a radius or mass is unknown.
    """
    steps = grid.arrays()
    return phases_of(steps["overflow_1"], steps["overflow_2"], steps["M2"] / steps["M1"], settings=settings)


def step_is_thermal(grid: EvolutionGrid) -> FloatArray:
    """Whether mass flows on a thermal or on a nuclear timescale at each time step.

    Parameters
    ----------
    grid : EvolutionGrid
        Models.

    Returns
    -------
    `~numpy.ndarray`
        1 for thermal, 0 for nuclear or no transfer, NaN where the rate or what the timescales need is unknown; shape
        (number of steps,).

    Notes
    -----
    The time in which the donor, the star that overflows most, would lose its mass is compared with the geometric mean
    of its Kelvin-Helmholtz time G M^2 / (R L) and its nuclear time 10^10 yr (M / L), in solar units: the two lie two to
    three orders of magnitude apart, so that the verdict hardly depends on where between them the limit lies.
    """
    steps = grid.arrays()
    first = steps["overflow_1"] >= steps["overflow_2"]
    mass, radius, log_l = (np.where(first, steps[f"{name}1"], steps[f"{name}2"]) for name in ("M", "R", "log_L"))
    luminosity = 10.0**log_l
    with np.errstate(divide="ignore", invalid="ignore"):
        limit = np.sqrt(_KELVIN_HELMHOLTZ * mass**2 / (radius * luminosity) * _NUCLEAR * mass / luminosity)
    time = mass / 10.0 ** steps["log_transfer_rate"]
    thermal = np.where(np.isfinite(limit), (time < limit).astype(float), np.nan)
    # Without transfer there is nothing to judge.
    none = (steps["log_transfer_rate"] < _NO_TRANSFER) | (
        np.isnan(steps["log_transfer_rate"]) & (np.fmax(steps["overflow_1"], steps["overflow_2"]) < -_FAR_FROM_LOBE)
    )
    return np.where(none, 0.0, np.where(np.isnan(time), np.nan, thermal))


def phase_table(grid: EvolutionGrid, *, settings: PhaseSettings | None = None) -> QTable:
    """Tell how long each phase of each run lasts, and what the pair is like in it.

    Parameters
    ----------
    grid : EvolutionGrid
        Models.
    settings : PhaseSettings, optional
        Limits.

    Returns
    -------
    `~astropy.table.QTable`
        A row a run and phase that occurs in it, in the order of runs and phases:

        - ``run``, ``phase``: row of the run in `grid.runs`, and name of the phase;
        - ``begin``, ``end``, ``duration``: ages at its first and last step, and its time, all intervals together;
        - ``thermal``: part of the duration with transfer on a thermal timescale, masked where unknown;
        - ``mass_ratio``, ``teff_ratio``, ``radius_ratio_1``, ``radius_ratio_2``, ``period``: means over the time,
          ratios of masses and temperatures as the smaller over the larger, radii over those of the Roche lobes;
        - ``equal_teff``: part of the duration with equal temperatures.

        Means are over the steps in which a quantity is known, and masked where it never is; over a phase of no
        duration they are those of its steps.
    """
    limits = settings or PhaseSettings()
    steps, phase, time = grid.arrays(), step_phases(grid, settings=limits), step_durations(grid)
    known = np.flatnonzero(phase >= 0)
    n_phases = len(Phase)
    cells, cell = np.unique(grid.run_of_step()[known] * n_phases + phase[known], return_inverse=True)
    duration = np.bincount(cell, time[known], len(cells))
    # Steps of a phase without duration count alike.
    weights = np.where(duration[cell] > 0, time[known], 1.0)
    q, teff = steps["M2"] / steps["M1"], 10.0 ** (steps["log_Teff2"] - steps["log_Teff1"])
    teff_ratio = np.minimum(teff, 1 / teff)

    def mean(column: FloatArray) -> FloatArray:
        """Mean over the steps in which it is known."""
        value = column[known]
        weight = np.where(np.isfinite(value), weights, 0.0)
        total = np.bincount(cell, weight * np.nan_to_num(value, nan=0.0, posinf=0.0, neginf=0.0), len(cells))
        with np.errstate(invalid="ignore"):
            result: FloatArray = total / np.bincount(cell, weight, len(cells))
        return result

    age = steps["age"][known]
    begin, end = np.full(len(cells), np.inf), np.full(len(cells), -np.inf)
    np.minimum.at(begin, cell, age)
    np.maximum.at(end, cell, age)
    equal = np.where(np.isnan(teff_ratio), np.nan, (teff_ratio >= limits.equal_teff).astype(float))
    return QTable(
        {
            "run": cells // n_phases,
            "phase": text_column([limits.names[number] for number in cells % n_phases]),
            "begin": begin * u.yr,
            "end": end * u.yr,
            "duration": duration * u.yr,
            "thermal": float_column(mean(step_is_thermal(grid))),
            "mass_ratio": float_column(mean(np.minimum(q, 1 / q))),
            "teff_ratio": float_column(mean(teff_ratio)),
            "equal_teff": float_column(mean(equal)),
            "radius_ratio_1": float_column(mean(1 + steps["overflow_1"])),
            "radius_ratio_2": float_column(mean(1 + steps["overflow_2"])),
            "period": float_column(mean(steps["period"]), "d"),
        }
    )
