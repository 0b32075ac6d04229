"""Comparison of a sample of stars with a population: where its members lie, and how many of each phase it holds.

Everything here takes the errors of each star as they are. A star is compared with what the population would look like
if it were observed with the errors of that very star, so that stars of different errors need no common smoothing.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from astropy.table import QTable
from scipy.stats import kstest

from cbminer.columns import FloatArray, float_column, values
from cbminer.errors import InputFormatError
from cbminer.theory.density import AXES, PopulationDensity
from cbminer.theory.population_settings import CountSettings

__all__ = [
    "PlaceRanks",
    "PlacedSample",
    "UniformityTest",
    "anderson_darling",
    "draw_observed",
    "place_ranks",
    "tabulate_ranks",
]

# Of the systems that are drawn, at least so many must be within the limits.
_FEWEST_DRAWS = 20
_MOST_TRIALS = 200
# No p value of a simulated null below one over this number, and one more.
_NULL_SAMPLES = 4000
_AT_A_TIME = 1_000_000
_TESTS = {
    "ks": "largest difference of the cumulative distributions",
    "p_ks": "its p value",
    "ad": "Anderson-Darling statistic A squared",
    "p_ad": "its p value, not below 1 in 4,001",
}


@dataclass(frozen=True)
class PlacedSample:
    """Stars whose period, magnitude and colour are known.

    Attributes
    ----------
    log_P, M_V, VI0 : `~numpy.ndarray`
        Logarithm of the period in days, absolute magnitude and intrinsic colour in mag, shape (n,).
    e_M_V, e_VI0, cov_M_V_VI0 : `~numpy.ndarray`
        Errors in mag and their covariance in mag2, shape (n,).
    """

    log_P: FloatArray
    M_V: FloatArray
    VI0: FloatArray
    e_M_V: FloatArray
    e_VI0: FloatArray
    cov_M_V_VI0: FloatArray

    @classmethod
    def of_stars(cls, stars: QTable, *, limits: CountSettings) -> Self:
        """Take the stars of a catalogue that are comparable with a population.

        Parameters
        ----------
        stars : `~astropy.table.QTable`
            Columns period, M_V, VI0, e_M_V, e_VI0 and cov_M_V_VI0.
        limits : CountSettings
            Limits of magnitude and period, those of the population.

        Returns
        -------
        PlacedSample
            Those of which all is known, no error negative, and that lie within the limits, in the order of the table.
        """
        period = values(stars, "period", "d")
        with np.errstate(invalid="ignore", divide="ignore"):
            log_period = np.where(period > 0, np.log10(period), np.nan)
        names = (("M_V", "mag"), ("VI0", "mag"), ("e_M_V", "mag"), ("e_VI0", "mag"), ("cov_M_V_VI0", "mag2"))
        columns = np.column_stack([log_period, *(values(stars, name, unit) for name, unit in names)])
        known = columns[np.isfinite(columns).all(axis=1) & (np.minimum(*columns[:, 3:5].T) >= 0)]
        return cls(*known[_within(known[:, :3], limits)].T)

    def __len__(self) -> int:
        return len(self.log_P)

    @property
    def places(self) -> FloatArray:
        """Log P, M_V and (V-I)_0, shape (n, 3)."""
        return np.column_stack([self.log_P, self.M_V, self.VI0])

    def density(self, population: PopulationDensity) -> FloatArray:
        """Density of a population at the stars, convolved with the errors of each.

        Parameters
        ----------
        population : PopulationDensity
            The density.

        Returns
        -------
        `~numpy.ndarray`
            A dex and mag2, shape (n,).
        """
        errors = {"e_M_V": self.e_M_V, "e_VI0": self.e_VI0, "cov_M_V_VI0": self.cov_M_V_VI0}
        return population.at(self.log_P, self.M_V, self.VI0, **errors)


def _scattered(
    true: FloatArray, star: npt.NDArray[np.int64], sample: PlacedSample, rng: np.random.Generator
) -> FloatArray:
    """Observe systems with the errors of stars of a sample."""
    normal = rng.normal(size=(len(true), 2))
    e_m, e_c = sample.e_M_V[star], sample.e_VI0[star]
    both = e_m * e_c
    correlation = np.divide(sample.cov_M_V_VI0[star], both, out=np.zeros(len(true)), where=both > 0)
    correlation = np.clip(correlation, -1.0, 1.0)
    seen = true.copy()
    seen[:, 1] += e_m * normal[:, 0]
    seen[:, 2] += e_c * (correlation * normal[:, 0] + np.sqrt(1.0 - correlation**2) * normal[:, 1])
    return seen


def _with_errors_of(places: FloatArray, star: npt.NDArray[np.int64], sample: PlacedSample) -> PlacedSample:
    log_p, m_v, vi0 = places.T
    return PlacedSample(log_p, m_v, vi0, sample.e_M_V[star], sample.e_VI0[star], sample.cov_M_V_VI0[star])


def _within(places: FloatArray, limits: CountSettings) -> npt.NDArray[np.bool_]:
    bright, faint = limits.M_V_bright, limits.M_V_faint
    inside = (places[:, 1] >= bright) & (places[:, 1] <= faint) & (places[:, 0] < np.log10(limits.period_max))
    return np.asarray(inside)


def _refuse_unknown(sample: PlacedSample) -> None:
    """Refuse stars of which something is not known: ranks and densities would be numbers without a meaning."""
    errors = np.column_stack([sample.e_M_V, sample.e_VI0])
    known = np.isfinite(np.column_stack([sample.places, errors, sample.cov_M_V_VI0])).all(axis=1)
    wrong = np.flatnonzero(~(known & (errors >= 0).all(axis=1)))
    if len(wrong):
        msg = (
            f"{len(wrong)} stars of the sample, such as number {wrong[0] + 1}, have a place or an error that is not "
            "finite, or a negative error: PlacedSample.of_stars leaves such stars out"
        )
        raise InputFormatError(msg)


def draw_observed(
    population: PopulationDensity, errors_of: PlacedSample, *, limits: CountSettings, n: int, seed: int
) -> PlacedSample:
    """Draw stars of a population, observed with the errors of a sample.

    Parameters
    ----------
    population : PopulationDensity
        Density of all systems, also of those beyond the limits: from there errors bring stars into a sample.
    errors_of : PlacedSample
        Sample whose errors the stars get, at random.
    limits : CountSettings
        Limits that the observed magnitude and the period must keep.
    n : int
        Number of stars.
    seed : int
        Seed.

    Returns
    -------
    PlacedSample
        Stars that truly come from the population: the null hypothesis of every comparison.

    Raises
    ------
    InputFormatError
        If there are no errors or some that are not known, `n` is negative, or hardly any system of the population
        lies within the limits.
    """
    _refuse_unknown(errors_of)
    if n < 0 or not len(errors_of):
        msg = f"cannot draw {n} stars with the errors of {len(errors_of)}: give 0 or more, and a sample that has stars"
        raise InputFormatError(msg)
    found: list[FloatArray] = []
    chosen: list[npt.NDArray[np.int64]] = []
    have = 0
    for trial in range(_MOST_TRIALS):
        sequence = np.random.SeedSequence([seed, 7, trial])
        rng = np.random.default_rng(sequence)
        star = rng.integers(len(errors_of), size=max(4 * n, 64))
        true = population.draw(len(star), seed=int(sequence.generate_state(1)[0]))
        seen = _scattered(true, star, errors_of, rng)
        inside = _within(seen, limits)
        found.append(seen[inside])
        chosen.append(star[inside])
        have += int(inside.sum())
        if have >= n:
            places, star = np.concatenate(found)[:n], np.concatenate(chosen)[:n]
            return _with_errors_of(places, star, errors_of)
    msg = "hardly any system of the population lies within the limits: widen those under [population.counts]"
    raise InputFormatError(msg)


@dataclass(frozen=True)
class PlaceRanks:
    """Ranks of stars among systems of a population that are observed with the same errors.

    Attributes
    ----------
    log_P, M_V, VI0 : `~numpy.ndarray`
        Share of the population at smaller values, shape (n,).
    density : `~numpy.ndarray`
        Share of the population where the density is lower, in all three axes together, shape (n,).

    Notes
    -----
    If the stars are drawn from the population, each of the four is spread evenly between 0 and 1, whatever the errors:
    the probability integral transform.
    """

    log_P: FloatArray
    M_V: FloatArray
    VI0: FloatArray
    density: FloatArray


def place_ranks(
    population: PopulationDensity, sample: PlacedSample, *, limits: CountSettings, draws: int = 1000, seed: int = 0
) -> PlaceRanks:
    """Rank stars among systems of a population.

    Parameters
    ----------
    population : PopulationDensity
        Density of all systems, also of those beyond the limits.
    sample : PlacedSample
        The stars, within the limits.
    limits : CountSettings
        Limits that the sample keeps.
    draws : int, optional
        Systems drawn for each star, of which those count that are observed within the limits.
    seed : int, optional
        Seed.

    Returns
    -------
    PlaceRanks
        The ranks.

    Raises
    ------
    InputFormatError
        If a star is beyond the limits or not wholly known, `draws` is below 1, or hardly any system of the
        population lies within the limits.

    Notes
    -----
    Every star has draws of its own, and equal ranks are told apart at random: under the null hypothesis the ranks are
    even and independent for any number of draws, and no error of a simulation has to be allowed for.

    Independent they are only if the errors of the stars are. An error that all stars share, such as that of the
    distance or of a mean reddening, moves all of them one way, and p values then come out too small. Rank the sample
    again with M_V and VI0 moved by that error, up and down: what does not outlast this is no difference.
    """
    _refuse_unknown(sample)
    beyond = np.flatnonzero(~_within(sample.places, limits))
    if len(beyond):
        msg = (
            f"{len(beyond)} stars, such as number {beyond[0] + 1}, are beyond the limits of [population.counts] within "
            "which systems are drawn: PlacedSample.of_stars leaves such stars out"
        )
        raise InputFormatError(msg)
    if draws < 1:
        msg = f"{draws} systems are to be drawn for each star: at least {_FEWEST_DRAWS} within the limits are needed"
        raise InputFormatError(msg)
    size = max(_AT_A_TIME // draws, 1)
    parts = [slice(first, first + size) for first in range(0, len(sample), size)]
    ranks = [
        _ranks_of(population, _part(sample, part), limits, draws, np.random.SeedSequence([seed, 8, number]))
        for number, part in enumerate(parts)
    ]
    return PlaceRanks(*(np.concatenate(ranks).T if ranks else np.empty((4, 0))))


def _part(sample: PlacedSample, part: slice) -> PlacedSample:
    return _with_errors_of(sample.places[part], np.arange(len(sample))[part], sample)


def _ranks_of(
    population: PopulationDensity,
    sample: PlacedSample,
    limits: CountSettings,
    draws: int,
    seed: np.random.SeedSequence,
) -> FloatArray:
    rng = np.random.default_rng(seed)
    star = np.repeat(np.arange(len(sample)), draws)
    seen = _scattered(population.draw(len(star), seed=int(seed.generate_state(1)[0])), star, sample, rng)
    inside = _within(seen, limits)
    seen, star = seen[inside], star[inside]
    counts = np.bincount(star, minlength=len(sample))
    if counts.min() < _FEWEST_DRAWS:
        msg = (
            f"of {draws} systems only {counts.min()} are observed within the limits: raise the number of draws, or "
            "widen the limits under [population.counts]"
        )
        raise InputFormatError(msg)
    drawn = _with_errors_of(seen, star, sample)
    theirs = np.column_stack([seen, drawn.density(population)])
    own = np.column_stack([sample.places, sample.density(population)])
    below, equal = (
        np.column_stack([np.bincount(star[mask], minlength=len(sample)) for mask in masks.T])
        for masks in (theirs < own[star], theirs == own[star])
    )
    # A star is one more of its draws; among equals its place is drawn.
    ranks: FloatArray = (below + (equal + 1) * rng.random(own.shape)) / (counts[:, np.newaxis] + 1.0)
    return ranks


@dataclass(frozen=True)
class UniformityTest:
    """A test of whether numbers are spread evenly between 0 and 1.

    Attributes
    ----------
    statistic : float
        The statistic.
    p_value : float
        Probability of a larger one for even numbers.
    """

    statistic: float
    p_value: float


def anderson_darling(uniform: npt.ArrayLike, *, seed: int = 0) -> UniformityTest:
    """Test whether numbers are spread evenly between 0 and 1.

    Parameters
    ----------
    uniform : array_like
        Independent numbers, shape (n,).
    seed : int, optional
        Seed of the simulated null distribution.

    Returns
    -------
    UniformityTest
        A squared of Anderson & Darling (1952, Ann. Math. Stat. 23, 193), which weighs the ends more than the largest
        difference of Kolmogorov and Smirnov does, and the share of 4,000 even samples of the same size with a larger
        one, the sample itself counted among them: never below 1 in 4,001.

    Raises
    ------
    InputFormatError
        If there are no numbers, or one of them is not between 0 and 1.
    """
    own = np.sort(np.asarray(uniform, dtype=float).ravel())
    if not (len(own) and np.all((own >= 0) & (own <= 1))):
        msg = "the Anderson-Darling test takes one number or more, all of them between 0 and 1 and none unknown"
        raise InputFormatError(msg)
    statistic = float(_a_squared(own[np.newaxis])[0])
    rng = np.random.default_rng(np.random.SeedSequence([seed, 9]))
    size = max(1, _AT_A_TIME // len(own))
    larger = 0
    for first in range(0, _NULL_SAMPLES, size):
        rows = min(size, _NULL_SAMPLES - first)
        larger += int((_a_squared(np.sort(rng.random((rows, len(own))), axis=1)) >= statistic).sum())
    return UniformityTest(statistic, (larger + 1.0) / (_NULL_SAMPLES + 1.0))


def _a_squared(ordered: FloatArray) -> FloatArray:
    n = ordered.shape[1]
    weight = 2.0 * np.arange(1, n + 1) - 1.0
    tiny = np.finfo(float).tiny
    low, high = np.maximum(ordered, tiny), np.maximum(1.0 - ordered[:, ::-1], tiny)
    found: FloatArray = -n - (weight * (np.log(low) + np.log(high))).sum(axis=1) / n
    return found


def tabulate_ranks(ranks: PlaceRanks, *, seed: int = 0) -> QTable:
    """Test whether a sample is drawn from the population among which it was ranked.

    Parameters
    ----------
    ranks : PlaceRanks
        The ranks.
    seed : int, optional
        Seed of the simulated null distribution.

    Returns
    -------
    `~astropy.table.QTable`
        A row for each axis, and one for the density in all three together: Kolmogorov and Smirnov's largest difference
        and Anderson and Darling's statistic with their p values.

    Raises
    ------
    InputFormatError
        If there are no stars.

    Notes
    -----
    p values hold for a population that was fixed beforehand. If its settings were fitted to the same stars, or the
    stars chosen by the population, they are no probabilities any more.
    """
    names = (*AXES, "density")
    if not len(ranks.log_P):
        msg = "no star to compare with the population: the sample is empty within the limits"
        raise InputFormatError(msg)
    rows = []
    for name in names:
        rank = getattr(ranks, name)
        largest, weighed = kstest(rank, "uniform"), anderson_darling(rank, seed=seed)
        rows.append((float(largest.statistic), float(largest.pvalue), weighed.statistic, weighed.p_value))
    table = QTable({"axis": list(names), "n": np.full(len(names), len(ranks.log_P))})
    for (name, meaning), column in zip(_TESTS.items(), zip(*rows, strict=True), strict=True):
        table[name] = float_column(column)
        table[name].info.description = meaning
        table[name].info.format = ".3g"
    return table
