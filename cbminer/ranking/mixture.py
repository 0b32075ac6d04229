"""How many stars of each kind a survey holds and where they lie, found together from the survey itself.

The survey is a mixture: star j has the likelihood ``sum_k share_k place_k(x_j) curve_k(j)`` with the place x in log P,
M_V and (V-I)_0. What its light curve says of each kind of star is given, and each hypothesis is a mixture of kinds. The
shares and the densities are those that make the survey most probable (expectation maximisation; Dempster, Laird & Rubin
1977, JRSS B 39, 1; for shares alone, Saerens et al. 2002, Neural Computation 14, 21). The density of contact and of
near-contact pairs is partly that of the theoretical population: how large a part, the survey decides too. The predicted
numbers of both enter as a prior.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import Field

from cbminer.columns import FloatArray
from cbminer.quantities import SettingsModel
from cbminer.ranking.hypotheses import HYPOTHESES, Hypothesis
from cbminer.ranking.light_curves import CurveEvidence
from cbminer.ranking.place import PlaceGrid, SurveyDensity

__all__ = ["PREDICTED", "MixtureSettings", "PopulationPlaces", "StarEvidence", "SurveyMixture"]

_CONTACT, _NEAR = HYPOTHESES.index("contact"), HYPOTHESES.index("near_contact")
# Hypotheses of which theory has a density.
PREDICTED = (_CONTACT, _NEAR)
# Share of every density that is that of all stars together: where a kind has no star, its density says little, and one
# that rests on few stars says little anywhere. So many stars count for as much as the survey as a whole.
_OF_ALL = 0.05
_OF_ALL_STARS = 5.0
# A density in all three axes below which no place is told from another: one star in a million a bin of the survey.
_LEAST_SHARE = 1e-6


class MixtureSettings(SettingsModel):
    """How the shares and places of the kinds of stars are found."""

    learn_shares: bool = Field(
        default=True,
        description="whether the survey itself says how frequent each kind is; else the population's numbers give the "
        "shares of contact and near contact, and the survey only those of the other kinds",
    )
    learn_places: bool = Field(
        default=True,
        description="whether contact and near-contact pairs may lie elsewhere than the population has them; else its "
        "density alone holds for them",
    )
    population_stars: float = Field(
        default=20.0,
        ge=0,
        description="stars that the predicted ratio of contact to near-contact numbers counts for, beside those of the "
        "survey; assumed",
    )


@dataclass(frozen=True)
class PopulationPlaces:
    """What theory says of stars, for contact and near-contact pairs.

    Attributes
    ----------
    density, in_period : mapping
        Density at each star in (log P, M_V, VI0), convolved with its errors, and in log P alone; shape (n,), NaN where
        unknown.
    number : mapping
        Pairs that are seen, by hypothesis.
    """

    density: Mapping[Hypothesis, FloatArray]
    in_period: Mapping[Hypothesis, FloatArray]
    number: Mapping[Hypothesis, float]

    @property
    def known(self) -> bool:
        """Whether theory says anything."""
        return sum(self.number.values()) > 0


@dataclass(frozen=True)
class StarEvidence:
    """All that is known of n stars.

    Attributes
    ----------
    place : `~numpy.ndarray`
        log P, M_V and (V-I)_0, shape (n, 3); NaN where unknown.
    curve : CurveEvidence
        What the light curves say.
    population : PopulationPlaces
        What theory says.
    """

    place: FloatArray
    curve: CurveEvidence
    population: PopulationPlaces

    @property
    def has_place(self) -> npt.NDArray[np.bool_]:
        """Stars of which period, magnitude and colour are known."""
        return np.asarray(np.isfinite(self.place).all(axis=1))

    @property
    def has_period(self) -> npt.NDArray[np.bool_]:
        """Stars of which the period is known."""
        return np.asarray(np.isfinite(self.place[:, 0]))

    @property
    def has_curve(self) -> npt.NDArray[np.bool_]:
        """Stars whose light curve says something."""
        return self.curve.known


@dataclass(frozen=True)
class SurveyMixture:
    """Shares and places of the kinds of stars in one survey.

    Attributes
    ----------
    grid : PlaceGrid or None
        Bins of places; None for a survey of which no place is known.
    share : `~numpy.ndarray`
        Share of each hypothesis, shape (hypotheses,).
    within : `~numpy.ndarray`
        Share of each kind of star in its hypothesis, shape (kinds,).
    as_predicted : `~numpy.ndarray`
        Part of each hypothesis that lies as the population has it, shape (hypotheses,).
    densities : tuple of SurveyDensity
        Densities of the rest by hypothesis, and last of all stars.
    steps : int
        Steps that were made.
    converged : bool
        Whether the last of them changed nothing any more.
    stars : int
        Stars with light curves that they were found from.
    """

    grid: PlaceGrid | None
    share: FloatArray
    within: FloatArray
    as_predicted: FloatArray
    densities: tuple[SurveyDensity, ...]
    steps: int
    converged: bool
    stars: int

    def log_place(self, stars: StarEvidence, *, weight: FloatArray | None = None) -> FloatArray:
        """Density at stars under each hypothesis.

        Parameters
        ----------
        stars : StarEvidence
            The stars.
        weight : `~numpy.ndarray`, optional
            Weights with which the stars are themselves part of the densities, shape (n, hypotheses + 1); none for stars
            that are new.

        Returns
        -------
        `~numpy.ndarray`
            Natural logarithms, shape (n, hypotheses): in log P, M_V and (V-I)_0 where all are known, in log P where it
            alone is, and 0 where nothing is.
        """
        result = np.zeros((len(stars.place), len(HYPOTHESES)))
        if self.grid is None:
            return result
        own = np.zeros((len(stars.place), len(HYPOTHESES) + 1)) if weight is None else weight
        everywhere = stars.has_place
        period_only = stars.has_period & ~everywhere
        for chosen, dimensions in ((everywhere, 3), (period_only, 1)):
            if chosen.any():
                result[chosen] = self._log_density(stars, chosen, own[chosen], dimensions)
        return result

    def _log_density(
        self, stars: StarEvidence, chosen: npt.NDArray[np.bool_], own: FloatArray, dimensions: int
    ) -> FloatArray:
        grid = self.grid
        assert grid is not None  # noqa: S101 - asked of surveys with places only
        bins = grid.bins(np.where(np.isfinite(stars.place[chosen]), stars.place[chosen], grid.origin))
        found = [
            density.at(bins, less=own[:, k]) if dimensions == 3 else density.at_period(bins[:, 0], less=own[:, k])
            for k, density in enumerate(self.densities)
        ]
        of_all = found.pop()
        least = _LEAST_SHARE / float(np.prod(grid.step[:dimensions]))
        log_density = np.empty((len(bins), len(HYPOTHESES)))
        for k, name in enumerate(HYPOTHESES):
            rests_on = np.maximum(self.densities[k].total - own[:, k], 0.0)
            common = np.maximum(_OF_ALL, _OF_ALL_STARS / (_OF_ALL_STARS + rests_on))
            rest = (1.0 - common) * found[k] + common * of_all
            if k in PREDICTED:
                places = stars.population.density if dimensions == 3 else stars.population.in_period
                predicted = np.nan_to_num(places[name][chosen])
                rest = self.as_predicted[k] * predicted + (1.0 - self.as_predicted[k]) * rest
            log_density[:, k] = np.log(rest + least)
        return log_density

    def log_curve(self, stars: StarEvidence) -> FloatArray:
        """Likelihood of the light curves, each hypothesis being made of its kinds as the survey has them.

        Parameters
        ----------
        stars : StarEvidence
            The stars.

        Returns
        -------
        `~numpy.ndarray`
            Natural logarithms up to a number a star, shape (n, hypotheses); NaN without a light curve.
        """
        return stars.curve.by_hypothesis(self.within)

    def log_joint(self, stars: StarEvidence, log_place: FloatArray) -> FloatArray:
        """Joint probability of a star and each hypothesis.

        Parameters
        ----------
        stars : StarEvidence
            The stars.
        log_place : `~numpy.ndarray`
            Of `log_place`.

        Returns
        -------
        `~numpy.ndarray`
            Natural logarithms, shape (n, hypotheses).
        """
        curve = np.where(stars.has_curve[:, None], self.log_curve(stars), 0.0)
        result: FloatArray = np.log(np.maximum(self.share, 1e-12)) + log_place + curve
        return result

    def posterior(self, stars: StarEvidence, log_place: FloatArray) -> FloatArray:
        """Probability of each hypothesis for stars.

        Parameters
        ----------
        stars : StarEvidence
            The stars.
        log_place : `~numpy.ndarray`
            Of `log_place`.

        Returns
        -------
        `~numpy.ndarray`
            Probabilities, which add up to 1; shape (n, hypotheses).
        """
        joint = self.log_joint(stars, log_place)
        joint -= joint.max(axis=1, keepdims=True)
        probability: FloatArray = np.exp(joint)
        probability /= probability.sum(axis=1, keepdims=True)
        return probability
