"""Whether probabilities mean what they say: reliability in bins."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from cbminer.columns import FloatArray

__all__ = ["Reliability", "clopper_pearson_interval", "reliability"]


class Reliability(NamedTuple):
    """Stated probabilities against what came true, in bins.

    Attributes
    ----------
    stated, observed : `~numpy.ndarray`
        Mean probability of the stars of each bin, and the share of them that it came true for; shape (bins,), NaN for
        an empty bin.
    low, high : `~numpy.ndarray`
        Interval of the observed share by the number of stars, shape (bins,).
    stars : `~numpy.ndarray`
        Stars of each bin, int64, shape (bins,).
    expected_error : float
        Expected calibration error: mean over the stars of the distance of stated from observed in their bin.
    """

    stated: FloatArray
    observed: FloatArray
    low: FloatArray
    high: FloatArray
    stars: npt.NDArray[np.int64]
    expected_error: float


def clopper_pearson_interval(successes: npt.ArrayLike, trials: npt.ArrayLike, *, level: float = 0.6827) -> FloatArray:
    """Interval of a share (Clopper & Pearson 1934, Biometrika 26, 404).

    Parameters
    ----------
    successes, trials : array_like
        Numbers, shape (n,).
    level : float, optional
        Central probability.

    Returns
    -------
    `~numpy.ndarray`
        Lower and upper end, shape (2, n); 0 and 1 without trials.
    """
    k, n = np.asarray(successes, dtype=float), np.asarray(trials, dtype=float)
    tail = (1.0 - level) / 2.0
    with np.errstate(invalid="ignore"):
        low = np.where(k > 0, beta.ppf(tail, k, n - k + 1.0), 0.0)
        high = np.where(k < n, beta.ppf(1.0 - tail, k + 1.0, n - k), 1.0)
    return np.stack([low, high])


def reliability(
    probability: npt.ArrayLike, came_true: npt.ArrayLike, *, bins: int = 10, level: float = 0.6827
) -> Reliability:
    """Compare probabilities with what came true.

    Parameters
    ----------
    probability : array_like
        Probabilities, shape (n,); NaN are left out.
    came_true : array_like of bool
        Whether it came true, shape (n,).
    bins : int, optional
        Bins of equal width from 0 to 1.
    level : float, optional
        Central probability of the intervals of the observed shares.

    Returns
    -------
    Reliability
        The comparison.
    """
    stated, truth = np.asarray(probability, dtype=float), np.asarray(came_true, dtype=bool)
    known = np.isfinite(stated)
    stated, truth = stated[known], truth[known]
    place = np.clip((stated * bins).astype(int), 0, bins - 1)
    stars = np.bincount(place, minlength=bins)
    sums, true_ones = (np.bincount(place, weights=data, minlength=bins) for data in (stated, truth.astype(float)))
    with np.errstate(invalid="ignore"):
        mean, share = sums / stars, true_ones / stars
    low, high = clopper_pearson_interval(true_ones, stars, level=level)
    error = float(np.nansum(np.abs(mean - share) * stars) / max(stars.sum(), 1))
    return Reliability(mean, share, low, high, stars, error)
