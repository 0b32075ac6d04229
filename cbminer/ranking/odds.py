"""Posterior probabilities and odds of stars, what each evidence adds to them, and the bona fide set."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from astropy.table import MaskedColumn, QTable, vstack

from cbminer.blocks import columns_of
from cbminer.classifier.prediction import ClassPrior
from cbminer.columns import FloatArray, float_column, label_column, values
from cbminer.engine import Call, in_order, open_engine
from cbminer.flags import Flag
from cbminer.ranking.evidence import PopulationDensities, gather_evidence, place_errors
from cbminer.ranking.evidence_blocks import EvidenceBlocks
from cbminer.ranking.hypotheses import HYPOTHESES
from cbminer.ranking.mixture import StarEvidence, SurveyMixture
from cbminer.ranking.mixture_fit import fit_mixture
from cbminer.ranking.settings import RankingSettings
from cbminer.ranking.shape_library import shape_library
from cbminer.star_blocks import STARS_A_BLOCK

__all__ = ["Ranker", "contact_ranks", "is_degenerate"]

_CONTACT, _NEAR = HYPOTHESES.index("contact"), HYPOTHESES.index("near_contact")
# Kinds whose light curves are as round as those of contact binaries.
_RIVALS = [_NEAR, HYPOTHESES.index("ellipsoidal")]
# Light curves from which on stars without one get odds, by what the others are.
_FEWEST_CURVES = 50
_FLAGS = Flag.DEGENERATE | Flag.OUTSIDE_POPULATION | Flag.NO_PLACE_EVIDENCE | Flag.NO_CURVE_EVIDENCE


@dataclass(frozen=True)
class Ranker:
    """All that turns the numbers of a star into odds.

    Attributes
    ----------
    settings : RankingSettings
        What counts.
    prior : ClassPrior
        Frequencies that the network's probabilities hold already.
    population : PopulationDensities
        Where theory has contact and near-contact pairs.
    mixture : SurveyMixture
        Shares and places of the kinds of stars in the survey.
    """

    settings: RankingSettings
    prior: ClassPrior
    population: PopulationDensities
    mixture: SurveyMixture

    @classmethod
    def fit(
        cls, stars: QTable, population: PopulationDensities, *, settings: RankingSettings, prior: ClassPrior
    ) -> tuple[Self, QTable]:
        """Learn from the stars of a survey how frequent each kind is and where it lies, and rank them.

        Parameters
        ----------
        stars : `~astropy.table.QTable`
            Judged stars of one Cloud in the schema.
        population : PopulationDensities
            Where theory has contact and near-contact pairs.
        settings : RankingSettings
            What counts.
        prior : ClassPrior
            Frequencies that the network's probabilities hold already.

        Returns
        -------
        ranker : Ranker
            For new stars of the same survey.
        stars : `~astropy.table.QTable`
            A copy with the columns of the ranking.
        """
        # The same blocks as those of a run, so that a finished run that is opened again has the same odds.
        first_rows = range(0, max(len(stars), 1), STARS_A_BLOCK)
        blocks = [stars[first : first + STARS_A_BLOCK] for first in first_rows]
        ranker, ranked = cls.fit_blocks(blocks, population, settings=settings, prior=prior)
        return ranker, vstack(list(ranked), metadata_conflicts="silent")

    @classmethod
    def fit_blocks(
        cls,
        blocks: Iterable[QTable],
        population: PopulationDensities,
        *,
        settings: RankingSettings,
        prior: ClassPrior,
        jobs: int = 1,
    ) -> tuple[Self, Iterator[QTable]]:
        """Learn from the stars of a survey, block by block.

        Parameters
        ----------
        blocks : iterable of `~astropy.table.QTable`
            Judged stars of one Cloud in the schema, in blocks of `~cbminer.star_blocks.STARS_A_BLOCK`, one at least; it
            is gone through again and again.
        population : PopulationDensities
            Where theory has contact and near-contact pairs.
        settings : RankingSettings
            What counts.
        prior : ClassPrior
            Frequencies that the network's probabilities hold already.
        jobs : int, optional
            Threads.

        Returns
        -------
        ranker : Ranker
            For new stars of the same survey.
        ranked : iterator of `~astropy.table.QTable`
            Copies of the blocks with the columns of the ranking, made as they are asked for.
        """
        gather = partial(gather_evidence, population=population, curve=settings.curve, prior=prior)
        with open_engine("threads", jobs=jobs) as threads:
            evidence = EvidenceBlocks(in_order(threads, (Call(gather, (block,)) for block in blocks)))
        errors = _typical_errors(blocks)
        mixture, weights = fit_mixture(evidence, settings=settings.mixture, errors=errors, jobs=jobs)
        ranker = cls(settings, prior, population, mixture)
        return ranker, ranker._ranked(blocks, evidence, weights, jobs)

    def _ranked(
        self, blocks: Iterable[QTable], evidence: Iterable[StarEvidence], weights: Iterable[FloatArray], jobs: int
    ) -> Iterator[QTable]:
        def rank(stars: QTable, known: StarEvidence, weight: FloatArray) -> QTable:
            return self._with_columns(stars, known, self.mixture.log_place(known, weight=weight))

        with open_engine("threads", jobs=jobs) as threads:
            calls = (Call(rank, block) for block in zip(blocks, evidence, weights, strict=True))
            yield from in_order(threads, calls)

    def apply(self, stars: QTable) -> QTable:
        """Rank stars that the survey's shares and places were not found from.

        Parameters
        ----------
        stars : `~astropy.table.QTable`
            Judged stars in the schema.

        Returns
        -------
        `~astropy.table.QTable`
            A copy with the columns of the ranking.
        """
        evidence = gather_evidence(stars, self.population, curve=self.settings.curve, prior=self.prior)
        return self._with_columns(stars, evidence, self.mixture.log_place(evidence))

    def record(self) -> dict[str, Any]:
        """Say in numbers what the odds rest on.

        Returns
        -------
        dict
            Ready for JSON.
        """
        mixture = self.mixture
        named = {
            "share": mixture.share,
            "as_predicted": mixture.as_predicted,
        }
        found = {
            key: {name: round(float(value), 5) for name, value in zip(HYPOTHESES, data, strict=True)}
            for key, data in named.items()
        }
        predicted = {name: round(density.number, 1) for name, density in self.population.everywhere.items()}
        counted = {name: round(density.number, 1) for name, density in self.population.counted.items()}
        kinds = shape_library().kinds
        within = {kind: round(float(share), 4) for kind, share in zip(kinds, mixture.within, strict=True)}
        return found | {
            "within": within,
            "stars": mixture.stars,
            "steps": mixture.steps,
            "converged": mixture.converged,
            "predicted_numbers": predicted,
            "predicted_numbers_within_limits": counted,
        }

    def _with_columns(self, stars: QTable, evidence: StarEvidence, log_place: FloatArray) -> QTable:
        posterior = self.mixture.posterior(evidence, log_place)
        # From a few light curves nobody knows what the other stars of the survey are.
        enough = self.mixture.stars >= _FEWEST_CURVES
        something = evidence.has_curve | (evidence.has_period & enough)
        posterior[~something] = np.nan
        result = stars.copy()
        for k, name in enumerate(HYPOTHESES):
            result[f"post_{name}"] = float_column(posterior[:, k])
        for column, data in self._odds(stars, evidence, log_place).items():
            result[column] = float_column(np.where(something, data, np.nan))
        level, distance = self.population.contact_level(stars), self.population.hull_distance(stars)
        result["contact_level"], result["hull_distance"] = float_column(level), float_column(distance)
        with np.errstate(invalid="ignore"):
            inside = level <= self.settings.contour
        result["bona_fide"] = MaskedColumn(np.asarray(stars["selected"], dtype=bool) & inside)
        degenerate = is_degenerate(
            self.mixture.log_curve(evidence),
            values(stars, "depth1", "mag"),
            factor=self.settings.degenerate_factor,
            depth=self.settings.degenerate_depth,
        )
        result["flags"] = _with_flags(stars, evidence, distance, degenerate)
        return result

    def _odds(self, stars: QTable, evidence: StarEvidence, log_place: FloatArray) -> dict[str, FloatArray]:
        """Natural logarithms of the odds of contact against near contact, and their parts."""
        share = np.log(np.maximum(self.mixture.share, 1e-12))
        prior = np.full(len(stars), share[_CONTACT] - share[_NEAR])
        place = log_place[:, _CONTACT] - log_place[:, _NEAR]
        log_curve = self.mixture.log_curve(evidence)
        curve = np.where(evidence.has_curve, log_curve[:, _CONTACT] - log_curve[:, _NEAR], 0.0)
        density, number = evidence.population.density, evidence.population.number
        with np.errstate(invalid="ignore", divide="ignore"):
            theory = np.log(number["contact"] * density["contact"]) - np.log(
                number["near_contact"] * density["near_contact"]
            )
        return {
            "ln_odds": prior + place + curve,
            "ln_odds_prior": prior,
            "ln_odds_place": place,
            "ln_odds_curve": curve,
            "ln_odds_population": np.where(np.isfinite(theory), theory, np.nan),
        }


def _typical_errors(blocks: Iterable[QTable]) -> FloatArray:
    names = ("e_M_V", "e_VI0")
    columns = [[values(block, name, "mag") for name in names] for block in columns_of(blocks, names)]
    return place_errors(QTable({name: np.concatenate([c[k] for c in columns]) for k, name in enumerate(names)}))


def is_degenerate(log_curve: FloatArray, depth1: FloatArray, *, factor: float, depth: float) -> npt.NDArray[np.bool_]:
    """Tell whose light curves cannot decide between contact and what is as round.

    Parameters
    ----------
    log_curve : `~numpy.ndarray`
        Logarithms of the likelihoods of light curves, shape (n, hypotheses).
    depth1 : `~numpy.ndarray`
        Depths of the deeper minima in mag, shape (n,).
    factor : float
        Ratio of likelihoods from which on one is decided for.
    depth : float
        Depth in mag below which nothing is decided.

    Returns
    -------
    `~numpy.ndarray`
        Stars whose light curve may well be that of contact, near contact or a close pair without eclipses - nothing
        else is more probable by the factor -, but whose minima are shallower than that depth, or for which the
        likelihoods of contact and of the better of the two others differ by less than the factor; bool, shape (n,).
    """
    rivals = log_curve[:, _RIVALS].max(axis=1)
    others = np.delete(log_curve, [_CONTACT, *_RIVALS], axis=1).max(axis=1)
    with np.errstate(invalid="ignore"):
        undecided = (np.abs(log_curve[:, _CONTACT] - rivals) < np.log(factor)) | (depth1 < depth)
        best = np.maximum(log_curve[:, _CONTACT], rivals)
        return np.asarray(undecided & (best >= others - np.log(factor)))


def contact_ranks(stars: QTable, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Places by the probability of contact.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Columns id, post_contact and ln_odds.
    chosen : `~numpy.ndarray`
        Stars that get a place, bool, shape (n,); those without a probability come last.

    Returns
    -------
    `~numpy.ndarray`
        1 for the most probable one, 0 for stars that are not chosen; equal probabilities are told apart by the odds
        against near contact, and those by name. int64, shape (n,).
    """
    places = np.flatnonzero(chosen)
    probability, odds = (
        np.nan_to_num(values(stars, name), nan=-np.inf)[places] for name in ("post_contact", "ln_odds")
    )
    order = places[np.lexsort((label_column(stars, "id")[places], -odds, -probability))]
    rank = np.zeros(len(stars), dtype=np.int64)
    rank[order] = np.arange(1, len(order) + 1)
    return rank


def _with_flags(
    stars: QTable, evidence: StarEvidence, distance: FloatArray, degenerate: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    flags = np.asarray(stars["flags"], dtype=np.int64) & ~int(_FLAGS)
    with np.errstate(invalid="ignore"):
        outside = distance > 0
    for mask, flag in (
        (degenerate, Flag.DEGENERATE),
        (outside, Flag.OUTSIDE_POPULATION),
        (~evidence.has_place, Flag.NO_PLACE_EVIDENCE),
        (~evidence.has_curve, Flag.NO_CURVE_EVIDENCE),
    ):
        flags |= np.where(mask, int(flag), 0)
    return flags
