"""Expected numbers of systems in a Cloud, with what chance and the uncertain settings and models do to them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from astropy.table import QTable

from cbminer.columns import FloatArray, float_column
from cbminer.errors import InputFormatError
from cbminer.theory.birth import BirthLaws
from cbminer.theory.phases import Phase
from cbminer.theory.population import Population, births_a_mass, companions_a_primary
from cbminer.theory.population_settings import PopulationSettings
from cbminer.theory.population_stars import CLOUD_METALLICITIES

__all__ = ["SAMPLES", "ModelErrors", "expected_numbers"]

SAMPLES: Mapping[str, str] = {
    "all": "all systems of the phase",
    "seen": "those whose inclination makes a minimum deep enough",
    "counted": "those of them within the limits of magnitude and period",
}
_PHASES = (Phase.CONTACT, Phase.NEAR_CONTACT)
_PERCENTILES = (16.0, 50.0, 84.0)
# Periods go with the 1.5th power of the radii at which stars touch: Kepler's third law.
_DEX_OF_PERIOD = 1.5 / np.log(10.0)


@dataclass(frozen=True)
class ModelErrors:
    """Relative errors of the models themselves, as a grid states them.

    Attributes
    ----------
    radius : float
        Of stellar radii.
    lifetime : float
        Of the time that models last.
    stated : bool
        Whether the grid states them; both count as 0 where it does not.
    """

    radius: float
    lifetime: float
    stated: bool

    @classmethod
    def of(cls, about: Mapping[str, Any]) -> Self:
        """Read the errors from what a grid says about itself.

        Parameters
        ----------
        about : mapping
            The grid's `about`; its entry "model_errors" holds "radius" and "lifetime" as relative errors.

        Returns
        -------
        ModelErrors
            The errors.

        Raises
        ------
        InputFormatError
            If the entry is there but holds no such numbers, or one that is not from 0 to below 1.
        """
        entry = about.get("model_errors")
        if entry is None:
            return cls(0.0, 0.0, stated=False)
        try:
            errors = cls(float(entry["radius"]), float(entry["lifetime"]), stated=True)
        except (KeyError, TypeError, ValueError) as error:
            msg = 'the entry "model_errors" of the grid lacks the numbers "radius" and "lifetime": make the grid again'
            raise InputFormatError(msg) from error
        for name, number in (("radius", errors.radius), ("lifetime", errors.lifetime)):
            if not 0.0 <= number < 1.0:
                msg = (
                    f'"{name}" in the entry "model_errors" of the grid is {number:g}; it must be a relative error from '
                    "0 to below 1: make the grid again"
                )
                raise InputFormatError(msg)
        return errors


def expected_numbers(population: Population, *, seed: int = 0) -> QTable:
    """Tabulate how many systems in contact and near contact there are, all of them and within the limits of a sample.

    Parameters
    ----------
    population : Population
        The population.
    seed : int, optional
        Seed of the draws.

    Returns
    -------
    `~astropy.table.QTable`
        A row a phase and sample of `SAMPLES`, and a row a sample for both phases together. `number` is for the settings
        as they are; `number_16`, `number_50`, `number_84` are percentiles over the uncertain settings and models, and
        `count_16`, `count_50`, `count_84` those of a count, with Poisson's scatter on top.

    Raises
    ------
    InputFormatError
        If the grid states its errors in a form that cannot be read.

    Notes
    -----
    Drawn are: the exponents of the three laws and the star-formation rate (normal, the latter in its logarithm), the
    binary fraction and the shortest period of births (flat), and the grid's own errors, if it states them: a lifetime
    error moves all numbers, a radius error all periods, since a pair of stars larger by s is the same pair at a period
    longer by s^1.5.

    `extrapolated` is the share of `number` that is born at periods shorter than those for which the law was measured.
    """
    rows = [(phase.name.lower(), sample, years) for phase in _PHASES for sample, years in _years(population, phase)]
    for sample in SAMPLES:
        parts = [years for _, name, years in rows if name == sample]
        rows.append(("together", sample, np.sum(parts, axis=0)))
    years = np.column_stack([row[2] for row in rows])
    errors = ModelErrors.of(population.grid.about)
    numbers = np.array([births @ years for births in _drawn_births(population, errors, seed)])
    rng = np.random.default_rng(np.random.SeedSequence([seed, 4]))
    # Chance moves independent counts, not their sum again: so all together is the sum of the phases' counts.
    counts = rng.poisson(numbers[:, : -len(SAMPLES)])
    together = counts.reshape(len(counts), len(_PHASES), len(SAMPLES)).sum(axis=1)
    columns: dict[str, Any] = {"phase": [row[0] for row in rows], "sample": [row[1] for row in rows]}
    columns["number"] = float_column(population.births @ years)
    columns["extrapolated"] = float_column(_extrapolated(population, years))
    for name, drawn in (("number", numbers), ("count", np.hstack([counts, together]))):
        for percentile, values in zip(_PERCENTILES, np.percentile(drawn, _PERCENTILES, axis=0), strict=True):
            columns[f"{name}_{percentile:.0f}"] = float_column(values)
    return _described(QTable(columns), population, errors)


def _described(table: QTable, population: Population, errors: ModelErrors) -> QTable:
    table["phase"].info.description = "phase of evolution; together: both"
    table["sample"].info.description = "; ".join(f"{name}: {what}" for name, what in SAMPLES.items())
    table["number"].info.description = "expected number for the settings as they are"
    shortest = 10.0**population.settings.periods.least
    table["extrapolated"].info.description = f"share of number born at periods below {shortest:.3g} d: an extrapolation"
    for percentile in _PERCENTILES:
        table[
            f"number_{percentile:.0f}"
        ].info.description = f"{percentile:.0f} % of the draws of uncertain settings and models lie below it"
        table[
            f"count_{percentile:.0f}"
        ].info.description = f"the same of a count, which Poisson's law scatters: {percentile:.0f} %"
    table.meta = {
        "galaxy": population.galaxy,
        "Z": population.metallicity,
        "Z_of_the_Cloud": CLOUD_METALLICITIES.get(population.galaxy),
        "metallicity_differs": population.metallicity_differs,
        "star_formation_rate": population.star_formation_rate,
        "companions_a_primary": round(companions_a_primary(population.settings, population.laws), 6),
        "cells": population.cells.description,
        "shares_of_cells": {name: round(share, 6) for name, share in population.shares_of_cells().items()},
        "model_errors": {"radius": errors.radius, "lifetime": errors.lifetime, "stated": errors.stated},
        "unknown": {
            phase.name.lower(): {cause: round(share, 6) for cause, share in population.unknown_shares(phase).items()}
            for phase in _PHASES
        },
        "no_density": {phase.name.lower(): why for phase in _PHASES if (why := population.why_no_density(phase))},
        "draws": population.settings.counts.draws,
    }
    return table


def _extrapolated(population: Population, years: FloatArray) -> FloatArray:
    """Share of each number that is born below the least period of the law proper; NaN where there is none."""
    every, proper = (
        np.where(population.counted, population.cells.weights(laws), 0.0) @ years
        for laws in (population.laws, population.laws.without_extension)
    )
    share: FloatArray = np.full(len(every), np.nan)
    np.divide(every - proper, every, out=share, where=every > 0)
    return share


def _years(population: Population, phase: Phase) -> Iterator[tuple[str, FloatArray]]:
    """Years that each run spends in a phase, by sample."""
    pieces = population.steps.pieces(phase)
    within = pieces.within(population.settings.counts)
    seen = pieces.duration * pieces.seen
    for sample, time in (("all", pieces.duration), ("seen", seen), ("counted", seen * within)):
        yield sample, np.bincount(pieces.run, weights=time, minlength=len(population.grid)).astype(np.float64)


def _drawn_births(population: Population, errors: ModelErrors, seed: int) -> Iterator[FloatArray]:
    """Pairs born a year for each run, times the factor of their lifetimes, for each draw."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 3]))
    settings = population.settings
    formed = settings.star_formation
    for _ in range(settings.counts.draws):
        mass, ratio, period, rate, lifetime, radius = rng.normal(size=6)
        fraction = rng.uniform(formed.least_binary_fraction, formed.most_binary_fraction)
        shortest = rng.uniform(settings.periods.least_extended_to, settings.periods.most_extended_to)
        laws = _moved_laws(settings, mass, ratio, period, shortest=shortest)
        moved = settings.model_copy(update={"star_formation": formed.model_copy(update={"binary_fraction": fraction})})
        weights = population.cells.weights(laws, period_shift=_period_shift(errors.radius * radius))
        yearly = births_a_mass(moved, laws) * population.star_formation_rate * 10.0 ** (formed.e_log_rate * rate)
        yield np.where(population.counted, weights, 0.0) * yearly * np.exp(errors.lifetime * lifetime)


def _period_shift(radius_change: float) -> float:
    """Dex by which pairs touch at longer periods if their stars are larger by a relative change of the radius."""
    return float(_DEX_OF_PERIOD) * radius_change


def _moved_laws(
    settings: PopulationSettings, mass: float, ratio: float, period: float, *, shortest: float
) -> BirthLaws:
    """Laws whose exponents are off by so many of their errors, with periods from another shortest one on."""
    masses, ratios, periods = settings.masses, settings.mass_ratios, settings.periods
    return BirthLaws(
        masses.model_copy(update={"slope": masses.slope + masses.e_slope * mass}),
        ratios.model_copy(update={"slope": ratios.slope + ratios.e_slope * ratio}),
        periods.model_copy(update={"slope": periods.slope + periods.e_slope * period, "extended_to": shortest}),
    )
