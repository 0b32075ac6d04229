"""Phases of binary evolution: which one each time step is in, how long each lasts, and what the pair is like in it."""

from enum import IntEnum

import numpy as np
import numpy.typing as npt
from pydantic import Field

from cbminer.columns import FloatArray
from cbminer.quantities import SettingsModel
from cbminer.theory.grid import EvolutionGrid
from cbminer.theory.roche_lobe import l2_radius_ratio

__all__ = ["Phase", "PhaseSettings", "step_durations", "step_phases"]


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
    limit = (settings or PhaseSettings()).near_contact
    steps = grid.arrays()
    over_1, over_2, q = steps["overflow_1"], steps["overflow_2"], steps["M2"] / steps["M1"]
    lighter = np.where(q <= 1, over_2, over_1)
    smaller, larger = np.minimum(over_1, over_2), np.maximum(over_1, over_2)
    phase = np.full(len(q), Phase.DETACHED, dtype=np.int8)
    phase[larger >= 0] = Phase.SEMI_DETACHED
    phase[smaller >= limit - 1] = Phase.NEAR_CONTACT
    phase[smaller >= 0] = Phase.CONTACT
    phase[(smaller >= 0) & (lighter > l2_radius_ratio(q) - 1)] = Phase.L2_OVERFLOW
    phase[~np.isfinite(lighter + smaller)] = -1
    return phase
