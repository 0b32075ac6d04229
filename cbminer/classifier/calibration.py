"""Probabilities that mean what they say: temperature and bias of the logits, and how far off they are.

The logits are divided by one temperature and shifted by a number a class before the softmax (Guo et al. 2017, ICML,
1321), fitted on examples of stars that the network was neither trained nor judged on.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from cbminer.columns import FloatArray

__all__ = [
    "Calibration",
    "CalibrationError",
    "calibrated",
    "calibration_error",
    "drawn_groups",
    "fit_calibration",
    "with_prior",
]


class Calibration(NamedTuple):
    """How logits become probabilities: ``softmax(logits / temperature + bias)``.

    Attributes
    ----------
    temperature : float
        Above 1 for a network that was too sure.
    bias : `~numpy.ndarray`
        Shape (classes,), with a mean of 0.
    """

    temperature: float
    bias: FloatArray


class CalibrationError(NamedTuple):
    """Expected calibration error with its interval.

    Attributes
    ----------
    value : float
        Mean over the examples of the distance between confidence and accuracy in their bin.
    low, high : float
        Central interval of it.
    confidence, accuracy, examples : `~numpy.ndarray`
        Mean confidence, accuracy and number of examples of every bin that is not empty.
    """

    value: float
    low: float
    high: float
    confidence: FloatArray
    accuracy: FloatArray
    examples: FloatArray


def fit_calibration(logits: FloatArray, label: npt.NDArray[np.int64]) -> Calibration:
    """Fit temperature and bias by maximum likelihood.

    Parameters
    ----------
    logits : `~numpy.ndarray`
        Shape (n, classes).
    label : `~numpy.ndarray` of int
        True classes, shape (n,).

    Returns
    -------
    Calibration
        The fit.

    Raises
    ------
    ValueError
        If there is nothing to fit to.
    """
    if not len(label):
        msg = "no examples to calibrate on"
        raise ValueError(msg)
    rows = np.arange(len(label))

    def loss(parameters: FloatArray) -> float:
        scaled = logits * np.exp(-parameters[0]) + parameters[1:]
        # A weak pull to zero: only differences of the biases count.
        return float(-log_softmax(scaled, axis=1)[rows, label].mean() + 1e-4 * np.sum(parameters[1:] ** 2))

    best = minimize(loss, np.zeros(1 + logits.shape[1]), method="BFGS").x
    return Calibration(float(np.exp(best[0])), np.asarray(best[1:] - best[1:].mean()))


def calibrated(logits: FloatArray, calibration: Calibration) -> FloatArray:
    """Turn logits into probabilities.

    Parameters
    ----------
    logits : `~numpy.ndarray`
        Shape (n, classes).
    calibration : Calibration
        Temperature and bias.

    Returns
    -------
    `~numpy.ndarray`
        Probabilities, shape (n, classes).
    """
    return np.asarray(softmax(np.asarray(logits, dtype=float) / calibration.temperature + calibration.bias, axis=1))


def with_prior(probability: FloatArray, weights: npt.ArrayLike) -> FloatArray:
    """Bring probabilities for equally frequent classes to other frequencies, by Bayes' theorem.

    Parameters
    ----------
    probability : `~numpy.ndarray`
        Probabilities where all classes are equally frequent, shape (..., classes).
    weights : array_like
        Relative frequencies, shape (classes,).

    Returns
    -------
    `~numpy.ndarray`
        Probabilities, same shape; NaN where they are unknown.
    """
    weighted = probability * np.asarray(weights, dtype=float)
    return np.asarray(weighted / weighted.sum(axis=-1, keepdims=True))


def calibration_error(
    probability: FloatArray,
    label: npt.NDArray[np.int64],
    *,
    groups: npt.NDArray[np.int64] | None = None,
    bins: int = 15,
    draws: int = 200,
    seed: int = 0,
) -> CalibrationError:
    """Measure how far the largest probabilities are from how often they are right.

    Parameters
    ----------
    probability : `~numpy.ndarray`
        Shape (n, classes).
    label : `~numpy.ndarray` of int
        True classes, shape (n,).
    groups : `~numpy.ndarray` of int, optional
        Group of each example, such as the star that it is an observation of, shape (n,): what the bootstrap draws.
        Each example by itself by default.
    bins : int, optional
        Bins of equal width in confidence.
    draws : int, optional
        Bootstrap draws of the interval; 0 for none.
    seed : int, optional
        Their seed.

    Returns
    -------
    CalibrationError
        The error with an interval of 95 %. The error is a sum of sizes, so that chance alone makes it larger, by about
        the root of (bins / n); the interval is freed of that by reflecting the bootstrap about the error.
    """
    confidence = probability.max(axis=1)
    right = (probability.argmax(axis=1) == label).astype(float)
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    member = np.arange(len(label)) if groups is None else np.unique(groups, return_inverse=True)[1]
    n_groups = int(member.max(initial=-1)) + 1
    cells = np.zeros((n_groups, bins))
    np.add.at(cells, (member, place), confidence - right)
    sizes = np.bincount(member, minlength=n_groups).astype(float)
    value = float(np.abs(cells.sum(axis=0)).sum() / sizes.sum())
    low = high = np.nan
    if draws:
        weights = drawn_groups(n_groups, draws, np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(3,))))
        drawn = np.abs(weights @ cells).sum(axis=1) / (weights @ sizes)
        most, least = np.quantile(drawn, [0.975, 0.025])
        low, high = max(0.0, 2.0 * value - float(most)), max(value, 2.0 * value - float(least))
    count = np.bincount(place, minlength=bins)
    some = count > 0
    means = [np.bincount(place, item, minlength=bins)[some] / count[some] for item in (confidence, right)]
    return CalibrationError(value, low, high, means[0], means[1], count[some].astype(float))


def drawn_groups(n_groups: int, draws: int, rng: np.random.Generator) -> FloatArray:
    """Draw groups with replacement.

    Parameters
    ----------
    n_groups : int
        Groups that there are, and that are drawn each time.
    draws : int
        How often.
    rng : `~numpy.random.Generator`
        Source of randomness.

    Returns
    -------
    `~numpy.ndarray`
        How often each group is in each draw, shape (draws, n_groups).
    """
    return rng.multinomial(n_groups, np.full(n_groups, 1.0 / n_groups), size=draws).astype(float)
