"""How good a classifier is, always over all classes and with explicit look-alikes.

A score of two classes against each other says little: whatever has two smooth waves a cycle would be called contact.
So every figure here is of the choice among all classes, with intervals by bootstrap, and precision is also given for
the mix of stars that a survey would have.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from cbminer.classifier.calibration import CalibrationError, calibration_error, drawn_groups
from cbminer.classifier.classes import CLASSES
from cbminer.columns import FloatArray

__all__ = ["SURVEY_MIX", "Evaluation", "Interval", "area_under_curve", "evaluate", "precision_in_mix", "share_interval"]

# A mix of stars as a survey's search for eclipsing binaries may have it before look-alikes are removed; an assumption.
SURVEY_MIX = (0.10, 0.06, 0.25, 0.09, 0.50)

_N_CLASSES = len(CLASSES)
_Labels = npt.NDArray[np.int64]


class Interval(NamedTuple):
    """A figure and its central interval of 95 %.

    Attributes
    ----------
    value, low, high : float
        The figure and the ends of the interval; NaN where there is nothing to count.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Evaluation:
    """Figures of a classifier over a set of examples.

    Attributes
    ----------
    n : int
        Examples.
    confusion : `~numpy.ndarray`
        Examples by true and by chosen class, shape (classes, classes).
    accuracy, macro_f1 : Interval
        Share in their class, and mean over the classes that are there of F1, the harmonic mean of precision and recall.
    recall, precision, f1, mix_precision : list of Interval
        By class; the last one in the mix of a survey.
    separation : `~numpy.ndarray`
        Area under the curve of each true class (row) against each other one by the ratio of their probabilities, shape
        (classes, classes); NaN on the diagonal and where a class is absent.
    calibration : CalibrationError
        Of the probabilities.
    """

    n: int
    confusion: _Labels
    accuracy: Interval
    macro_f1: Interval
    recall: list[Interval]
    precision: list[Interval]
    f1: list[Interval]
    mix_precision: list[Interval]
    separation: FloatArray
    calibration: CalibrationError


def evaluate(
    probability: FloatArray,
    label: _Labels,
    *,
    groups: _Labels | None = None,
    mix: npt.ArrayLike = SURVEY_MIX,
    draws: int = 200,
    seed: int = 0,
) -> Evaluation:
    """Judge probabilities by the true classes.

    Parameters
    ----------
    probability : `~numpy.ndarray`
        Shape (n, classes).
    label : `~numpy.ndarray` of int
        True classes, shape (n,).
    groups : `~numpy.ndarray` of int, optional
        Group of each example, such as the star that it is an observation of, shape (n,): what the bootstrap draws.
        Each example by itself by default.
    mix : array_like, optional
        Relative frequencies of the classes in a survey.
    draws : int, optional
        Bootstrap draws of the intervals.
    seed : int, optional
        Their seed.

    Returns
    -------
    Evaluation
        The figures.

    Raises
    ------
    ValueError
        If there are no examples, or probabilities are not finite.
    """
    if not len(label) or not np.isfinite(probability).all():
        msg = "examples with finite probabilities are needed"
        raise ValueError(msg)
    confusion, drawn = _tables(label * _N_CLASSES + probability.argmax(axis=1), groups, draws, seed)
    tables = np.concatenate([confusion[None], drawn]).reshape(-1, _N_CLASSES, _N_CLASSES).astype(float)
    figures = _figures(tables, np.asarray(mix, dtype=float))
    return Evaluation(
        n=len(label),
        confusion=confusion.reshape(_N_CLASSES, _N_CLASSES),
        accuracy=_interval(figures.accuracy),
        macro_f1=_interval(figures.macro_f1),
        recall=[_interval(column) for column in figures.recall.T],
        precision=[_interval(column) for column in figures.precision.T],
        f1=[_interval(column) for column in figures.f1.T],
        mix_precision=[_interval(column) for column in figures.mix_precision.T],
        separation=_separation(probability, label),
        calibration=calibration_error(probability, label, groups=groups, draws=draws, seed=seed),
    )


def _tables(cell: _Labels, groups: _Labels | None, draws: int, seed: int) -> tuple[_Labels, npt.NDArray[np.number]]:
    """Count the cells of the confusion matrix, and those of bootstrap draws."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(4,)))
    n_cells = _N_CLASSES**2
    confusion = np.bincount(cell, minlength=n_cells)
    if groups is None:
        # The cells say all that the figures need: drawing their counts is drawing examples.
        return confusion, rng.multinomial(len(cell), confusion / len(cell), size=draws)
    member = np.unique(groups, return_inverse=True)[1]
    n_groups = int(member.max()) + 1
    by_group = np.bincount(member * n_cells + cell, minlength=n_groups * n_cells).reshape(n_groups, n_cells)
    return confusion, drawn_groups(n_groups, draws, rng) @ by_group


def share_interval(
    hit: npt.NDArray[np.bool_], *, groups: _Labels | None = None, draws: int = 200, seed: int = 0
) -> Interval:
    """Share of examples for which something holds.

    Parameters
    ----------
    hit : `~numpy.ndarray` of bool
        Whether it holds, shape (n,).
    groups : `~numpy.ndarray` of int, optional
        As in `evaluate`.
    draws : int, optional
        Bootstrap draws of the interval.
    seed : int, optional
        Their seed.

    Returns
    -------
    Interval
        The share; by Wilson's formula if every example stands by itself, else by bootstrap over the groups.
    """
    n = len(hit)
    if n == 0:
        return Interval(np.nan, np.nan, np.nan)
    share = float(hit.mean())
    if groups is None:
        z = 1.96
        centre, half = share + z**2 / (2 * n), z * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
        low, high = (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)
        # Rounding leaves them beside 0 and 1 where the share is.
        return Interval(share, max(0.0, float(low)), min(1.0, float(high)))
    member = np.unique(groups, return_inverse=True)[1]
    sizes, hits = np.bincount(member).astype(float), np.bincount(member, hit.astype(float))
    weights = drawn_groups(len(sizes), draws, np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(5,))))
    low, high = np.quantile((weights @ hits) / (weights @ sizes), [0.025, 0.975])
    return Interval(share, float(low), float(high))


class _Figures(NamedTuple):
    accuracy: FloatArray
    macro_f1: FloatArray
    recall: FloatArray
    precision: FloatArray
    f1: FloatArray
    mix_precision: FloatArray


def _figures(tables: FloatArray, mix: FloatArray) -> _Figures:
    """Figures of confusion matrices, shape (n, classes, classes)."""
    right = np.diagonal(tables, axis1=1, axis2=2)
    true, chosen = tables.sum(axis=2), tables.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall, precision = right / true, right / chosen
        f1 = np.where(true > 0, 2.0 * right / (true + chosen), np.nan)
        rates = tables / true[:, :, None]
        # Classes without examples have no rate; the mix goes over the others.
        weighted = np.nansum(mix[:, None] * rates, axis=1)
        mix_precision = mix * recall / weighted
    return _Figures(
        right.sum(axis=1) / tables.sum(axis=(1, 2)),
        # A class that no draw holds counts for nothing.
        np.nansum(f1, axis=1) / np.maximum((true > 0).sum(axis=1), 1),
        recall,
        precision,
        f1,
        mix_precision,
    )


def _interval(values: FloatArray) -> Interval:
    drawn = values[1:][np.isfinite(values[1:])]
    low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (np.nan, np.nan)
    return Interval(float(values[0]), float(low), float(high))


def _separation(probability: FloatArray, label: _Labels) -> FloatArray:
    logs = np.log(np.maximum(probability, 1e-12))
    result = np.full((_N_CLASSES, _N_CLASSES), np.nan)
    for one in range(_N_CLASSES):
        for other in range(_N_CLASSES):
            positive, negative = label == one, label == other
            if one != other and positive.any() and negative.any():
                ratio = logs[:, one] - logs[:, other]
                result[one, other] = area_under_curve(ratio[positive], ratio[negative])
    return result


def area_under_curve(positive: npt.ArrayLike, negative: npt.ArrayLike) -> float:
    """Probability that a score of one set is above one of another; ties count by half.

    Parameters
    ----------
    positive, negative : array_like
        Scores of both sets.

    Returns
    -------
    float
        Area under the receiver's curve; NaN if a set is empty.
    """
    one, other = np.asarray(positive, dtype=float), np.asarray(negative, dtype=float)
    if not len(one) or not len(other):
        return float("nan")
    ranks = rankdata(np.concatenate([one, other]))[: len(one)]
    return float((ranks.sum() - len(one) * (len(one) + 1) / 2) / (len(one) * len(other)))


def precision_in_mix(recall: float, false_positive_rates: npt.ArrayLike, shares: npt.ArrayLike, share: float) -> float:
    """Precision where contaminants have given shares.

    Parameters
    ----------
    recall : float
        Share of the wanted stars that are found.
    false_positive_rates : array_like
        Share of each contaminant that is taken for them.
    shares : array_like
        Share of each contaminant among all stars.
    share : float
        Share of the wanted stars.

    Returns
    -------
    float
        Share of wanted stars among those that are found.
    """
    found = share * recall
    false = float(np.sum(np.asarray(shares, dtype=float) * np.asarray(false_positive_rates, dtype=float)))
    return found / (found + false) if found + false > 0 else float("nan")
