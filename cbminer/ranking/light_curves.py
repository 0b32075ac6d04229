"""What a light curve says of each hypothesis: the network's probabilities and the likelihood of the shape, together.

Both look at the same points, so that their product would count these twice. They are brought together by weights that
were fitted, by maximum likelihood, to simulated stars observed and measured as those of a survey are (a logistic
regression, which would give each the weight 1 if they were independent): `grids/ranking/build.py`.
"""

import json
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp, softmax

from cbminer.classifier.classes import CLASSES
from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError
from cbminer.ranking.hypotheses import HYPOTHESES, NETWORK_CLASS
from cbminer.ranking.kind_kernel import divide_between_kinds, log_sums_of_kinds
from cbminer.resources import grid_path

__all__ = ["CurveEvidence", "LightCurveEvidence", "LightCurveWeights", "light_curve_evidence", "log_network"]

_FILE = "ranking/light_curves.json"
# A network that is surer than this of what a star is not has not seen enough stars to be so.
_LEAST_PROBABILITY = 1e-4
_CLASS_OF = [CLASSES.index(NETWORK_CLASS[name]) for name in HYPOTHESES]


@dataclass(frozen=True)
class CurveEvidence:
    """What the light curves of n stars say of every kind of star.

    Attributes
    ----------
    log_kind : `~numpy.ndarray`
        Natural logarithms of likelihoods up to a number a star, shape (n, kinds); NaN for a star without a light curve.
    hypothesis : `~numpy.ndarray`
        Place in `HYPOTHESES` of each kind, shape (kinds,).
    within : `~numpy.ndarray`
        Share of each kind in its hypothesis beforehand, shape (kinds,).
    """

    log_kind: FloatArray
    hypothesis: npt.NDArray[np.int64]
    within: FloatArray

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Stars whose light curve says something, shape (n,)."""
        return np.asarray(np.isfinite(self.log_kind).all(axis=1))

    def by_hypothesis(self, within: FloatArray | None = None) -> FloatArray:
        """Likelihoods under the hypotheses.

        Parameters
        ----------
        within : `~numpy.ndarray`, optional
            Share of each kind in its hypothesis, shape (kinds,); that beforehand by default.

        Returns
        -------
        `~numpy.ndarray`
            Natural logarithms up to a number a star, so that their exponentials add up to 1; shape (n, hypotheses).
        """
        log_within = np.log(self.within if within is None else within)
        return log_sums_of_kinds(self.log_kind, log_within, self.hypothesis, len(HYPOTHESES))

    def of_kinds(self, of_hypothesis: FloatArray, within: FloatArray) -> FloatArray:
        """Divide what falls to each hypothesis between its kinds.

        Parameters
        ----------
        of_hypothesis : `~numpy.ndarray`
            What falls to the hypotheses, shape (n, hypotheses).
        within : `~numpy.ndarray`
            Share of each kind in its hypothesis, shape (kinds,).

        Returns
        -------
        `~numpy.ndarray`
            What falls to the kinds, in proportion to share and likelihood, shape (n, kinds).
        """
        return divide_between_kinds(self.log_kind, np.log(within), self.hypothesis, of_hypothesis)


@dataclass(frozen=True)
class LightCurveWeights:
    """Weights of the two parts and a constant of each hypothesis.

    Attributes
    ----------
    network, shape : float
        Weights of the logarithms of the network's probability and of the likelihood of the shape.
    constant : `~numpy.ndarray`
        Constants, shape (hypotheses,), their mean 0.
    """

    network: float
    shape: float
    constant: FloatArray

    @classmethod
    def fit(
        cls,
        log_network: FloatArray,
        log_kind: FloatArray,
        truth: npt.NDArray[np.int64],
        *,
        hypothesis: npt.NDArray[np.int64],
        within: FloatArray,
    ) -> Self:
        """Fit them to stars of known nature.

        Parameters
        ----------
        log_network : `~numpy.ndarray`
            Logarithms of the network's probabilities, shape (n, hypotheses); zeros if they are to have no weight.
        log_kind : `~numpy.ndarray`
            Logarithms of the likelihoods of the shape, shape (n, kinds); zeros if they are to have no weight.
        truth : `~numpy.ndarray`
            Places in `HYPOTHESES`, shape (n,). All hypotheses count alike, however many stars are of each.
        hypothesis, within : `~numpy.ndarray`
            Place in `HYPOTHESES` of each kind, and its share in it, shape (kinds,).

        Returns
        -------
        LightCurveWeights
            The weights.
        """
        counts = np.bincount(truth, minlength=len(HYPOTHESES))
        share = 1.0 / np.maximum(counts, 1)[truth] / np.count_nonzero(counts)
        kinds = [np.flatnonzero(hypothesis == k) for k in range(len(HYPOTHESES))]

        def loss(parameters: FloatArray) -> tuple[float, FloatArray]:
            weighted = parameters[1] * log_kind + np.log(within)
            shape = np.column_stack([logsumexp(weighted[:, mine], axis=1) for mine in kinds])
            by_weight = np.column_stack(
                [(softmax(weighted[:, mine], axis=1) * log_kind[:, mine]).sum(axis=1) for mine in kinds]
            )
            logits = parameters[0] * log_network + shape + parameters[2:]
            off = softmax(logits, axis=1)
            value = -float(share @ np.take_along_axis(log_softmax(logits, axis=1), truth[:, None], axis=1)[:, 0])
            off[np.arange(len(truth)), truth] -= 1.0
            off *= share[:, None]
            slopes = [float((off * log_network).sum()), float((off * by_weight).sum()), *off.sum(axis=0)]
            return value, np.array(slopes)

        start = np.concatenate([[0.5, 0.5], np.zeros(len(HYPOTHESES))])
        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * 2 + [(None, None)] * 6)
        network, shape = (float(found.x[k]) if part.any() else 0.0 for k, part in enumerate((log_network, log_kind)))
        return cls(network, shape, found.x[2:] - found.x[2:].mean())

    def combine(self, log_network: FloatArray, log_shape: FloatArray, hypothesis: npt.NDArray[np.int64]) -> FloatArray:
        """Weigh both parts.

        Parameters
        ----------
        log_network, log_shape : `~numpy.ndarray`
            Logarithms of both parts for every kind of star, shape (n, kinds).
        hypothesis : `~numpy.ndarray`
            Place in `HYPOTHESES` of each kind, shape (kinds,).

        Returns
        -------
        `~numpy.ndarray`
            Logarithms of likelihoods, up to a number a star, shape (n, kinds).
        """
        result: FloatArray = self.network * log_network + self.shape * log_shape + self.constant[hypothesis]
        return result

    def as_dict(self) -> dict[str, Any]:
        """Give them for JSON.

        Returns
        -------
        dict
            Numbers and names.
        """
        constants = {name: round(float(value), 4) for name, value in zip(HYPOTHESES, self.constant, strict=True)}
        return {"network": round(self.network, 4), "shape": round(self.shape, 4), "constant": constants}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Self:
        """Take them from JSON.

        Parameters
        ----------
        stored : dict
            What `as_dict` gave.

        Returns
        -------
        LightCurveWeights
            The weights.
        """
        constant = np.array([stored["constant"][name] for name in HYPOTHESES])
        return cls(float(stored["network"]), float(stored["shape"]), constant)


@dataclass(frozen=True)
class LightCurveEvidence:
    """Weights by what is known of a star.

    Attributes
    ----------
    both, network_only, shape_only : LightCurveWeights
        For stars with both parts, and with one of them.
    """

    both: LightCurveWeights
    network_only: LightCurveWeights
    shape_only: LightCurveWeights

    @classmethod
    def fit(
        cls,
        probability: npt.ArrayLike,
        log_kind: npt.ArrayLike,
        truth: npt.NDArray[np.int64],
        *,
        hypothesis: npt.NDArray[np.int64],
        within: FloatArray,
    ) -> Self:
        """Fit all weights to stars of known nature.

        Parameters
        ----------
        probability : array_like
            Probabilities of the network's classes, all of them equally frequent beforehand; shape (n, classes).
        log_kind : array_like
            Logarithms of likelihoods of the shape, shape (n, kinds).
        truth : `~numpy.ndarray`
            Places in `HYPOTHESES`, shape (n,).
        hypothesis, within : `~numpy.ndarray`
            Place in `HYPOTHESES` of each kind, and its share in it, shape (kinds,).

        Returns
        -------
        LightCurveEvidence
            The weights; stars that lack a part count for the fit of the other one alone.
        """
        network, shape = log_network(probability), np.asarray(log_kind, dtype=float)
        has_network, has_shape = np.isfinite(network).all(axis=1), np.isfinite(shape).all(axis=1)
        fits = []
        for known, parts in (
            (has_network & has_shape, (network, shape)),
            (has_network, (network, np.zeros_like(shape))),
            (has_shape, (np.zeros_like(network), shape)),
        ):
            first, second = (part[known] for part in parts)
            fits.append(LightCurveWeights.fit(first, second, truth[known], hypothesis=hypothesis, within=within))
        return cls(*fits)

    def weigh(
        self, probability: npt.ArrayLike, log_shape: npt.ArrayLike, *, hypothesis: npt.ArrayLike, within: npt.ArrayLike
    ) -> CurveEvidence:
        """Weigh both parts for every kind of star.

        Parameters
        ----------
        probability : array_like
            Probabilities of the network's classes, all of them equally frequent beforehand; shape (n, classes).
        log_shape : array_like
            Logarithms of likelihoods of the shape, shape (n, kinds).
        hypothesis : array_like of int
            Place in `HYPOTHESES` of each kind, shape (kinds,).
        within : array_like
            Share of each kind in its hypothesis beforehand, shape (kinds,).

        Returns
        -------
        CurveEvidence
            The likelihoods; NaN for a star of which neither part is known.
        """
        parent = np.asarray(hypothesis, dtype=np.int64)
        network, shape = log_network(probability)[:, parent], np.asarray(log_shape, dtype=float)
        has_network, has_shape = np.isfinite(network).all(axis=1), np.isfinite(shape).all(axis=1)
        zeros = np.zeros_like(shape)
        result = np.full_like(shape, np.nan)
        for known, weights, parts in (
            (has_network & has_shape, self.both, (network, shape)),
            (has_network & ~has_shape, self.network_only, (network, zeros)),
            (has_shape & ~has_network, self.shape_only, (zeros, shape)),
        ):
            result[known] = log_softmax(weights.combine(parts[0][known], parts[1][known], parent), axis=1)
        return CurveEvidence(result, parent, np.asarray(within, dtype=float))

    def as_dict(self) -> dict[str, Any]:
        """Give the weights for JSON.

        Returns
        -------
        dict
            Weights by what is known.
        """
        return {name: getattr(self, name).as_dict() for name in ("both", "network_only", "shape_only")}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Self:
        """Take the weights from JSON.

        Parameters
        ----------
        stored : dict
            What `as_dict` gave.

        Returns
        -------
        LightCurveEvidence
            The weights.
        """
        names = ("both", "network_only", "shape_only")
        both, network_only, shape_only = (LightCurveWeights.from_dict(stored[name]) for name in names)
        return cls(both, network_only, shape_only)


def log_network(probability: npt.ArrayLike) -> FloatArray:
    """Take logarithms of the probabilities of the class that each hypothesis falls under.

    Parameters
    ----------
    probability : array_like
        Probabilities of the network's classes, shape (n, classes).

    Returns
    -------
    `~numpy.ndarray`
        Natural logarithms, those of less than 1e-4 held there, shape (n, hypotheses); NaN where unknown.
    """
    given = np.asarray(probability, dtype=float)[:, _CLASS_OF]
    result: FloatArray = np.log(np.maximum(given, _LEAST_PROBABILITY))
    return np.where(np.isnan(given), np.nan, result)


@cache
def light_curve_evidence() -> LightCurveEvidence:
    """Read the weights of the package; once in a process.

    Returns
    -------
    LightCurveEvidence
        The weights.

    Raises
    ------
    InputFormatError
        If the file is damaged.
    """
    path = grid_path(_FILE)
    try:
        return LightCurveEvidence.from_dict(json.loads(path.read_text(encoding="utf-8"))["weights"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{path} is damaged ({error!r}): install cbminer again"
        raise InputFormatError(msg) from error
