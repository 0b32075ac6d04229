"""Counts of a sample corrected for what it misses and what it should not hold, beside the population's prediction."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from astropy.table import QTable

from cbminer.columns import FloatArray, float_column, label_column, values
from cbminer.completeness.rates import samples_of
from cbminer.completeness.settings import InjectionSettings
from cbminer.completeness.survey_field import generator
from cbminer.completeness.systems import KINDS, SystemLaws
from cbminer.completeness.weights import PHASES, population_weights
from cbminer.theory.expected_numbers import expected_numbers
from cbminer.theory.population import Population

__all__ = [
    "CorrectedNumber",
    "Passing",
    "PredictedNumbers",
    "corrected_number",
    "passing",
    "predicted_numbers",
    "tabulate_numbers",
    "weigh",
]

Mask = npt.NDArray[np.bool_]
Percentiles = tuple[float, float, float]

_PERCENTILES = (16, 50, 84)


@dataclass(frozen=True)
class Passing:
    """Share of a population that ends in a sample.

    Attributes
    ----------
    share, error : float
        Systems in the sample over those that are seen and within the limits; NaN if there is none. What errors bring
        into the limits counts, so that it may exceed 1.
    n_effective : float
        Number of binaries of equal weight that would tell as much.
    """

    share: float
    error: float
    n_effective: float


@dataclass(frozen=True)
class CorrectedNumber:
    """A count corrected for completeness and contamination.

    Attributes
    ----------
    number : tuple of float
        16, 50 and 84 % of the draws of the number of contact binaries behind the count.
    contamination : tuple of float
        The same of the share of pairs near contact in the sample.
    """

    number: Percentiles
    contamination: Percentiles


def passing(weight: FloatArray, *, counted: Mask, sample: Mask) -> Passing:
    """Share of a population that ends in a sample, from weighted binaries.

    Parameters
    ----------
    weight : `~numpy.ndarray`
        Weights, shape (n,).
    counted : `~numpy.ndarray`
        Whether each binary is one of those that the population counts: seen, and within its limits.
    sample : `~numpy.ndarray`
        Whether it is in the sample.

    Returns
    -------
    Passing
        The share.

    Notes
    -----
    A ratio of two weighted sums; its error to first order from the scatter of their terms, and no less than that of
    Jeffreys' interval for as many binaries of equal weight: where all or none of them pass, there is no scatter.
    """
    total = float(weight[counted].sum())
    if not total > 0:
        return Passing(np.nan, np.nan, 0.0)
    share = float(weight[sample].sum()) / total
    error = float(np.sqrt(((weight * (sample - share * counted)) ** 2).sum())) / total
    n_effective = total**2 / float((weight[counted] ** 2).sum())
    return Passing(share, max(error, _least_error(share, n_effective)), n_effective)


def _least_error(share: float, n_effective: float) -> float:
    passed = share * n_effective + 0.5
    if share > 1.0:
        return float(np.sqrt(passed)) / n_effective
    lost = (1.0 - share) * n_effective + 0.5
    both = passed + lost
    return float(np.sqrt(passed * lost / (both + 1.0))) / both


def corrected_number(
    n_observed: int,
    contact: Passing,
    near_contact: Passing,
    *,
    predicted: "PredictedNumbers",
    rng: np.random.Generator,
    draws: int,
) -> CorrectedNumber:
    """Correct a count.

    Parameters
    ----------
    n_observed : int
        Stars of the sample.
    contact, near_contact : Passing
        What ends in the sample of both populations.
    predicted : PredictedNumbers
        Systems near contact over those in contact in the population.
    rng : `~numpy.random.Generator`
        Source of randomness.
    draws : int
        Number of draws.

    Returns
    -------
    CorrectedNumber
        Percentiles; NaN where a share is unknown, infinite where no contact binary passes.

    Notes
    -----
    In this model the sample holds contact and near-contact pairs alone: nothing is taken off for any other kind. The
    expected count is gamma distributed as Jeffreys has it for Poisson's law, and so are the shares that pass, with
    their means and errors; the ratio is lognormal.
    """
    counts = rng.gamma(n_observed + 0.5, size=draws)
    pass_c, pass_n = (_drawn_shares(item, rng, draws) for item in (contact, near_contact))
    near = predicted.ratio * 10.0 ** (predicted.e_log_ratio * rng.normal(size=draws)) * pass_n
    with np.errstate(divide="ignore", invalid="ignore"):
        foreign = near / (near + pass_c)
        number = counts / (near + pass_c)
    return CorrectedNumber(_percentiles(number), _percentiles(foreign))


def _drawn_shares(item: Passing, rng: np.random.Generator, draws: int) -> FloatArray:
    if not item.error > 0:
        return np.full(draws, item.share)
    # Of a share of 0 only the error is known: half a binary, as Jeffreys has it.
    shape = max((item.share / item.error) ** 2, 0.5)
    mean = item.share if item.share > 0 else item.error
    drawn: FloatArray = mean * rng.gamma(shape, size=draws) / shape
    return drawn


def _percentiles(drawn: FloatArray) -> Percentiles:
    # A draw in which nothing passes says nothing of what the sample is made of.
    known = drawn[~np.isnan(drawn)]
    low, middle, high = (
        np.percentile(known, _PERCENTILES, method="inverted_cdf").tolist() if len(known) else [np.nan] * 3
    )
    return low, middle, high


@dataclass(frozen=True)
class PredictedNumbers:
    """Systems that a population predicts, seen and within its limits.

    Attributes
    ----------
    contact, near_contact : float
        Numbers for the settings as they are.
    contact_percentiles : tuple of float
        16, 50 and 84 % of the number in contact over the uncertain settings and models.
    e_log_ratio : float
        Error of the logarithm of near contact over contact in dex.
    """

    contact: float
    near_contact: float
    contact_percentiles: Percentiles
    e_log_ratio: float

    @property
    def ratio(self) -> float:
        """Systems near contact over those in contact."""
        return self.near_contact / self.contact if self.contact > 0 else np.nan


def predicted_numbers(population: Population, *, seed: int) -> PredictedNumbers:
    """Take what is needed of the expected numbers of a population.

    Parameters
    ----------
    population : Population
        The population.
    seed : int
        Seed of the draws of its uncertain settings.

    Returns
    -------
    PredictedNumbers
        The numbers.

    Notes
    -----
    The star-formation rate is common to both phases and does not move their ratio; the other errors of both are taken
    to be independent, which they are not wholly, so that the error of the ratio is on the safe side.
    """
    table = expected_numbers(population, seed=seed)
    rows = {str(row["phase"]): row for row in table[label_column(table, "sample") == "counted"]}
    rate = population.settings.star_formation.e_log_rate
    variances = []
    for kind in KINDS:
        low, high = (max(float(rows[kind][f"number_{p}"]), np.finfo(float).tiny) for p in (16, 84))
        variances.append(max((np.log10(high / low) / 2.0) ** 2 - rate**2, 0.0))
    contact = rows["contact"]
    return PredictedNumbers(
        float(contact["number"]),
        float(rows["near_contact"]["number"]),
        (float(contact["number_16"]), float(contact["number_50"]), float(contact["number_84"])),
        float(np.sqrt(sum(variances))),
    )


def weigh(injected: QTable, *, populations: Mapping[str, Population], laws: Mapping[str, SystemLaws]) -> QTable:
    """Give injected stars the weights that make them stand for the population of their Cloud.

    Parameters
    ----------
    injected : `~astropy.table.QTable`
        Injected stars.
    populations : mapping of str to Population
        Populations by Cloud.
    laws : mapping of str to SystemLaws
        What the binaries were drawn from, by Cloud.

    Returns
    -------
    `~astropy.table.QTable`
        A copy with the column weight, 0 where a population has no system of the kind; its metadata hold, by Cloud and
        kind, the share of the population in the range of the magnitudes where no binary was drawn.
    """
    weighed, uncovered = np.zeros(len(injected)), {}
    for galaxy, population in populations.items():
        for kind in KINDS:
            mine = _rows_of(injected, galaxy, kind)
            if not mine.any() or population.why_no_density(PHASES[kind]) is not None:
                continue
            columns = (("true_period", "d"), ("true_M_V", "mag"), ("mass_ratio", ""))
            truth = {name: values(injected[mine], name, unit) for name, unit in columns}
            found = population_weights(truth, kind, population=population, laws=laws[galaxy])
            weighed[mine] = found.weight
            uncovered[f"{galaxy} {kind}"] = round(found.uncovered, 4)
    result = injected.copy()
    result["weight"] = float_column(weighed)
    result["weight"].info.description = "share of the population over the share drawn, in its cell of log P, M_V and q"
    result.meta["uncovered"] = uncovered
    return result


def _rows_of(injected: QTable, galaxy: str, kind: str) -> Mask:
    return np.asarray((label_column(injected, "galaxy") == galaxy) & (label_column(injected, "kind") == kind))


def tabulate_numbers(
    injected: QTable,
    observed: QTable,
    *,
    populations: Mapping[str, Population],
    injection: InjectionSettings,
    seed: int,
) -> QTable:
    """Tabulate the counts of a run, corrected, beside those that populations predict.

    Parameters
    ----------
    injected : `~astropy.table.QTable`
        Injected stars with their weights; see `weigh`.
    observed : `~astropy.table.QTable`
        Judged stars of the run.
    populations : mapping of str to Population
        Populations by Cloud.
    injection : InjectionSettings
        Least probability, and number of draws.
    seed : int
        Seed of the draws.

    Returns
    -------
    `~astropy.table.QTable`
        A row a Cloud and sample.
    """
    least = injection.least_probability
    rows: list[tuple[str | float, ...]] = []
    for galaxy, population in populations.items():
        predicted = predicted_numbers(population, seed=seed)
        limits, seen = population.settings.counts, label_column(observed, "galaxy") == galaxy
        inside, outside = (samples_of(stars, least_probability=least, limits=limits) for stars in (injected, observed))
        for place, name in enumerate(name for name in inside if name in outside):
            mine = {kind: _rows_of(injected, galaxy, kind) for kind in KINDS}
            contact, near = (_passing_of(injected[rows], inside[name][rows], population) for rows in mine.values())
            of_counted = inside[name] & _counted(injected, population)
            complete = _passing_of(injected[mine["contact"]], of_counted[mine["contact"]], population)
            n_observed, rng = int((outside[name] & seen).sum()), generator(seed, galaxy, place, purpose=3)
            corrected = corrected_number(n_observed, contact, near, predicted=predicted, rng=rng, draws=injection.draws)
            rows.append((galaxy, name, n_observed, *_row(complete, contact, near, corrected, predicted)))
    return _numbers_table(rows)


def _passing_of(stars: QTable, sample: Mask, population: Population) -> Passing:
    return passing(values(stars, "weight"), counted=_counted(stars, population), sample=sample)


def _counted(stars: QTable, population: Population) -> Mask:
    """Tell those that the population counts: deep enough, and within its limits as they truly are."""
    limits, depth = population.settings.counts, population.settings.detection.least_depth
    m_v = values(stars, "true_M_V", "mag")
    counted = (m_v >= limits.M_V_bright) & (m_v <= limits.M_V_faint)
    counted &= values(stars, "true_period", "d") < limits.period_max
    if depth is not None:
        counted &= values(stars, "true_depth1", "mag") >= depth
    return np.asarray(counted)


def _row(
    complete: Passing, contact: Passing, near: Passing, corrected: CorrectedNumber, predicted: PredictedNumbers
) -> tuple[float, ...]:
    in_sample = predicted.contact * contact.share + predicted.near_contact * near.share
    return (
        complete.share, complete.error, contact.share - complete.share, contact.error, contact.n_effective,
        near.share, near.error, near.n_effective,
        *corrected.contamination, *corrected.number, predicted.contact, *predicted.contact_percentiles, in_sample,
    )  # fmt: skip


_NUMBERS = {
    "galaxy": "Cloud",
    "sample": "as in completeness.ecsv",
    "n_observed": "stars of the run in the sample",
    "completeness": "share in the sample of the contact binaries that the population counts: seen, within its limits",
    "e_completeness": "its error, from the number of injected stars",
    "scattered_in": "contact binaries in the sample that the population does not count, over those it does: errors "
    "bring them in, or their minima are shallower than it asks for",
    "e_passing": "error of the sum of both, by which counts are corrected",
    "n_effective": "injected stars of equal weight that would tell as much",
    "near_contact": "pairs near contact in the sample over those that the population counts",
    "e_near_contact": "its error",
    "n_effective_near": "injected stars of equal weight that would tell as much",
    "contamination_16": "share of pairs near contact in the sample that both populations make, 16 % of the draws",
    "contamination_50": "the same, 50 %",
    "contamination_84": "the same, 84 %",
    "corrected_16": "contact binaries behind the observed count: less the contamination, over what passes, 16 %",
    "corrected_50": "the same, 50 %",
    "corrected_84": "the same, 84 %",
    "predicted": "contact binaries that the population counts, for its settings as they are",
    "predicted_16": "16 % of the draws of its uncertain settings and models",
    "predicted_50": "50 %",
    "predicted_84": "84 %",
    "predicted_in_sample": "contact and near-contact pairs of the population that end in the sample",
}


def _numbers_table(rows: list[tuple[str | float, ...]]) -> QTable:
    table = QTable()
    for (name, meaning), column in zip(_NUMBERS.items(), zip(*rows, strict=True), strict=True):
        data = np.array(column)
        table[name] = float_column(data) if data.dtype.kind == "f" else data
        table[name].info.description = meaning
        if data.dtype.kind == "f":
            table[name].info.format = ".4g"
    return table
