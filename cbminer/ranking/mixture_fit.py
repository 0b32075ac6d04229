"""The expectation maximisation that finds the shares and places of the kinds of stars, block by block of the survey."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from cbminer.array_blocks import ArrayBlocks
from cbminer.columns import FloatArray
from cbminer.engine import Call, Engine, in_order, open_engine
from cbminer.ranking.hypotheses import HYPOTHESES
from cbminer.ranking.mixture import PREDICTED, MixtureSettings, StarEvidence, SurveyMixture
from cbminer.ranking.place import PlaceGrid, SurveyDensity
from cbminer.ranking.place_kernel import share_out

__all__ = ["fit_mixture"]

# Stars that count beforehand for each hypothesis, and for each half of how far contact and near contact follow theory.
_SHARE_STARS = 1.0
_THEORY_STARS = 2.5
# Stars that the library's division of a hypothesis into kinds counts for, beside those of the survey.
_BEFOREHAND = 5.0
_MOST_STEPS = 200
_CONVERGED = 3e-4
_WITHIN_CONVERGED = 1e-2


def fit_mixture(
    stars: Iterable[StarEvidence], *, settings: MixtureSettings, errors: FloatArray, jobs: int = 1
) -> tuple[SurveyMixture, ArrayBlocks]:
    """Find shares and places of the kinds of stars in a survey.

    Parameters
    ----------
    stars : iterable of StarEvidence
        All stars of the survey in blocks, one at least; those without a light curve do not count. It is gone through
        again at every step.
    settings : MixtureSettings
        What is learned.
    errors : `~numpy.ndarray`
        Typical errors of log P, M_V and (V-I)_0, shape (3,).
    jobs : int, optional
        Threads that smooth the densities. The result does not depend on it.

    Returns
    -------
    mixture : SurveyMixture
        Shares and places.
    weights : ArrayBlocks
        By block: weights with which its stars are themselves part of the densities, as `SurveyMixture.log_place` takes
        them to leave each star out of its own; shape (n, hypotheses + 1).
    """
    with open_engine("threads", jobs=jobs) as threads:
        return _Fit(stars, settings, errors, threads).run()


@dataclass
class _Sums:
    """What a step adds up over the stars.

    Attributes
    ----------
    n_stars : int
        Stars with a light curve.
    of_hypothesis, located, theory : `~numpy.ndarray`
        Responsibilities, those of stars whose place is known, and the part of these that falls to the population.
    of_kind : `~numpy.ndarray`
        The same by kind of star.
    content : `~numpy.ndarray`
        Stars by bin of place, of every hypothesis and last of all; shape (hypotheses + 1, *bins).
    total : `~numpy.ndarray`
        Their sums.
    """

    n_stars: int
    of_hypothesis: FloatArray
    located: FloatArray
    theory: FloatArray
    of_kind: FloatArray
    content: FloatArray
    total: FloatArray

    @classmethod
    def nothing(cls, n_kinds: int, grid: PlaceGrid | None) -> "_Sums":
        n = len(HYPOTHESES)
        shape = (0, 0, 0) if grid is None else grid.shape
        return cls(
            0, np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n_kinds), np.zeros((n + 1, *shape)), np.zeros(n + 1)
        )


class _Fit:
    """One expectation maximisation."""

    def __init__(
        self, stars: Iterable[StarEvidence], settings: MixtureSettings, errors: FloatArray, threads: Engine
    ) -> None:
        self.stars, self.settings, self.threads = stars, settings, threads
        first = next(iter(stars))
        self.hypothesis, self.beforehand = first.curve.hypothesis, first.curve.within
        # Without a population contact and near contact lie where the survey has them, as the other kinds do.
        self.predicted = PREDICTED if first.population.known else ()
        self.numbers = np.array([first.population.number.get(HYPOTHESES[k], 0.0) for k in PREDICTED])
        self.grid = self._grid(errors)
        self.weights = ArrayBlocks()

    def _grid(self, errors: FloatArray) -> PlaceGrid | None:
        places = np.concatenate([block.place[_located(block)] for block in self.stars])
        return None if len(places) < 2 * len(HYPOTHESES) else PlaceGrid.over(places, errors)

    def run(self) -> tuple[SurveyMixture, ArrayBlocks]:
        mixture = self._maximise(self._start(), self.beforehand)
        for number in range(1, _MOST_STEPS + 1):
            before = mixture
            sums = self._expect(before)
            mixture = self._maximise(sums, self._within(sums))
            shares, parts = mixture.share - before.share, mixture.as_predicted - before.as_predicted
            settled = bool(max(np.abs(shares).max(), np.abs(parts).max()) < _CONVERGED)
            settled &= bool(np.abs(mixture.within - before.within).max() < _WITHIN_CONVERGED)
            mixture = replace(mixture, steps=number, converged=settled)
            if settled:
                break
        return mixture, self.weights

    def _start(self) -> _Sums:
        """Responsibilities of the light curves alone, half of them as the population has it."""
        sums = _Sums.nothing(len(self.beforehand), self.grid)
        for number, block in enumerate(self.stars):
            counted = block.has_curve
            responsibility = np.zeros((len(block.place), len(HYPOTHESES)))
            responsibility[counted] = np.exp(block.curve.by_hypothesis()[counted])
            from_theory = np.zeros_like(responsibility)
            for k in self.predicted:
                from_theory[:, k] = responsibility[:, k] * (0.5 if self.settings.learn_places else 1.0)
            self._add(sums, number, block, responsibility, from_theory)
        return sums

    def _expect(self, mixture: SurveyMixture) -> _Sums:
        """Responsibilities by a mixture, added up; the weights of the stars in the densities are replaced by them."""
        sums = _Sums.nothing(len(self.beforehand), self.grid)
        calls = (Call(self._share_stars, (mixture, *block)) for block in enumerate(self.stars))
        # Added up in the order of the blocks, whoever is done first.
        for number, (block, responsibility, from_theory, of_kind) in enumerate(in_order(self.threads, calls)):
            self._add(sums, number, block, responsibility, from_theory)
            sums.of_kind += of_kind
        return sums

    def _share_stars(
        self, mixture: SurveyMixture, number: int, block: StarEvidence
    ) -> tuple[StarEvidence, FloatArray, FloatArray, FloatArray]:
        """Responsibilities of the stars of a block, the part that falls to the population, and sums by kind of star."""
        counted = block.has_curve
        log_place = mixture.log_place(block, weight=self.weights[number])
        responsibility = mixture.posterior(block, log_place) * counted[:, None]
        from_theory = _from_theory(mixture, block, responsibility, log_place)
        of_kinds = block.curve.of_kinds(responsibility, mixture.within)
        return block, responsibility, from_theory, of_kinds[counted].sum(axis=0)

    def _add(
        self, sums: _Sums, number: int, block: StarEvidence, responsibility: FloatArray, from_theory: FloatArray
    ) -> None:
        located = _located(block)
        sums.n_stars += int(block.has_curve.sum())
        sums.of_hypothesis += responsibility.sum(axis=0)
        sums.located += responsibility[located].sum(axis=0)
        sums.theory += from_theory[located].sum(axis=0)
        weight = np.zeros((len(block.place), len(HYPOTHESES) + 1))
        weight[located, :-1] = (responsibility - from_theory)[located]
        weight[located, -1] = 1.0
        sums.total += weight.sum(axis=0)
        self.weights[number] = weight
        if self.grid is not None:
            bins = self.grid.bins(block.place[located])
            for content, of_kind in zip(sums.content, weight[located].T, strict=True):
                share_out(content, bins, of_kind)

    def _maximise(self, sums: _Sums, within: FloatArray) -> SurveyMixture:
        """Shares and densities of given responsibilities."""
        predicted = np.zeros(len(HYPOTHESES))
        for k in self.predicted:
            learned = (sums.theory[k] + _THEORY_STARS) / (sums.located[k] + 2.0 * _THEORY_STARS)
            predicted[k] = learned if self.settings.learn_places else 1.0
        densities = tuple(self._densities(sums))
        share = self._shares(sums.of_hypothesis)
        return SurveyMixture(
            self.grid, share, within, predicted, densities, steps=0, converged=False, stars=sums.n_stars
        )

    def _densities(self, sums: _Sums) -> Iterator[SurveyDensity]:
        if self.grid is not None:
            smooth = partial(SurveyDensity.of_content, self.grid)
            calls = (
                Call(smooth, (content, float(total))) for content, total in zip(sums.content, sums.total, strict=True)
            )
            yield from in_order(self.threads, calls)

    def _within(self, sums: _Sums) -> FloatArray:
        """Shares of the kinds in their hypotheses, each kind with a part of a star as the library has it beforehand."""
        counts = sums.of_kind + _BEFOREHAND * self.beforehand
        of_hypothesis = np.bincount(self.hypothesis, weights=counts, minlength=len(HYPOTHESES))
        share: FloatArray = counts / of_hypothesis[self.hypothesis]
        return share

    def _shares(self, of_hypothesis: FloatArray) -> FloatArray:
        """Shares of the kinds, with those stars of contact and near contact that the prior counts for."""
        counts = of_hypothesis + _SHARE_STARS
        if self.numbers.sum() > 0:
            ratio = self.numbers / self.numbers.sum()
            both = counts[list(PREDICTED)].sum()
            if self.settings.learn_shares:
                extra = self.settings.population_stars
                counts[list(PREDICTED)] = both * (counts[list(PREDICTED)] + extra * ratio) / max(both + extra, 1e-9)
            else:
                counts[list(PREDICTED)] = both * ratio
        share: FloatArray = counts / counts.sum()
        return share


def _located(block: StarEvidence) -> npt.NDArray[np.bool_]:
    """Stars that count for the densities."""
    return block.has_curve & block.has_place


def _from_theory(
    mixture: SurveyMixture, block: StarEvidence, responsibility: FloatArray, log_place: FloatArray
) -> FloatArray:
    """Part of each responsibility that falls to the population's density."""
    part = np.zeros_like(responsibility)
    located = _located(block)
    for k in PREDICTED:
        density = np.nan_to_num(block.population.density[HYPOTHESES[k]])
        share = mixture.as_predicted[k] * density / np.exp(log_place[:, k])
        part[:, k] = responsibility[:, k] * np.where(located, np.clip(share, 0.0, 1.0), 0.0)
    return part
