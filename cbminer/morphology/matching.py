"""Training curves weighted by the likelihood of the photometry: c of noisy light curves.

The smooth curve of a noisy star is stiffer than the star's own: contacts of shallow eclipses are rounded off, and the
place of the curve among the training curves shifts. Physical curves need no smoothing. Here every training curve is
scaled to the points, and c is the mean over the training curves with their likelihoods as weights.
"""

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray
from cbminer.morphology.embedding import N_BINS, POINT_WEIGHTS, Embedding

__all__ = ["BinnedCurves", "MatchedCurves", "bin_curves", "match_training_curves", "rescale_halves"]

# Distance of a curve from the nearest training curve over the amplitude, to begin with; and, in distances between
# neighbouring training curves, so well can one of them match at best.
_SPACING = 0.031
_NEIGHBOURLY = 2.3
# Power of the prior weights that make the training curves even in c.
_EVEN = 1.0
_LEAST_AMPLITUDE = 0.005
# Logarithm of a share of the likelihood that is nothing beside the others.
_NEGLIGIBLE = 60.0
# How far noise may have put scale and zero point of a normalised curve.
_SCALES, _SHIFTS = (0.75, 1.35), (-0.15, 0.15)


class MatchedCurves(NamedTuple):
    """Means over the training curves of n stars.

    Attributes
    ----------
    c, e_c : `~numpy.ndarray`
        Mean morphology parameter and its standard deviation, shape (n,); NaN for a star without points.
    half : `~numpy.ndarray`
        Mean normalised half curve, shape (n, 501).
    """

    c: FloatArray
    e_c: FloatArray
    half: FloatArray


class BinnedCurves(NamedTuple):
    """Light curves of n stars in bins of half a cycle about the deeper minimum, both sides together.

    Attributes
    ----------
    weight, product : `~numpy.ndarray`
        Sums of the weights of the points of each bin, and of the weights times the magnitudes below the reference,
        shape (n, N_BINS).
    """

    weight: FloatArray
    product: FloatArray


@numba.njit(cache=True, nogil=True)
def bin_curves(
    phase: FloatArray,
    mag: npt.NDArray[np.float32],
    mag_err: npt.NDArray[np.float32],
    offsets: npt.NDArray[np.int64],
    phase_zero: FloatArray,
    reference: FloatArray,
    residual: FloatArray,
    variance: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Bin light curves.

    Parameters
    ----------
    phase, mag, mag_err : `~numpy.ndarray`
        Points of all stars.
    offsets : `~numpy.ndarray`
        Where each star begins, shape (n + 1,).
    phase_zero, reference, variance : `~numpy.ndarray`
        Phase of the deeper minimum (NaN leaves a star out), reference magnitude, and the variance of the residuals
        over that of the stated errors; shape (n,).
    residual : `~numpy.ndarray`
        Residuals of the points about the smooth curve in mag: points that are far off count less.

    Returns
    -------
    weight, product : `~numpy.ndarray`
        As in `BinnedCurves`.
    """
    n_stars = len(offsets) - 1
    weight, product = np.zeros((n_stars, N_BINS)), np.zeros((n_stars, N_BINS))
    for star in range(n_stars):
        if np.isnan(phase_zero[star]):
            continue
        for i in range(offsets[star], offsets[star + 1]):
            distance = abs((phase[i] - phase_zero[star] + 0.5) % 1.0 - 0.5)
            place = min(int(distance * 2 * N_BINS), N_BINS - 1)
            error = float(mag_err[i]) * np.sqrt(variance[star])
            far = abs(residual[i]) / (3.0 * error)
            share = 1.0 if not far > 1.0 else 1.0 / far**2
            weight[star, place] += share / error**2
            product[star, place] -= share / error**2 * (float(mag[i]) - reference[star])
    return weight, product


def match_training_curves(binned: BinnedCurves, amplitude: FloatArray, *, model: Embedding) -> MatchedCurves:
    """Mean and spread of c over the training curves, weighted by their likelihoods.

    Parameters
    ----------
    binned : BinnedCurves
        Light curves of n stars.
    amplitude : `~numpy.ndarray`
        Their amplitudes in mag, shape (n,).
    model : Embedding
        The training curves.

    Returns
    -------
    MatchedCurves
        Means over the training curves.

    Notes
    -----
    Magnitudes are fitted with a zero point and an amplitude of at least 0 for every training curve. To the variance of
    each bin, that of the distance between training curves is added: without it, the nearest of them would take all.
    """
    known = binned.weight.sum(axis=1) > 0
    likelihood = _likelihoods(binned, _SPACING * np.maximum(amplitude, _LEAST_AMPLITUDE), model)
    # Training curves stand closer where they differ less, as near the cosine: again with the distance found there.
    spacing = _NEIGHBOURLY * likelihood @ model.spacing
    likelihood = _likelihoods(binned, spacing * np.maximum(amplitude, _LEAST_AMPLITUDE), model)
    c = likelihood @ model.training_c
    spread = np.sqrt(np.maximum(likelihood @ model.training_c**2 - c**2, 0.0))
    mean_curve = (likelihood @ model.training @ model.basis + model.mean) / POINT_WEIGHTS
    return MatchedCurves(np.where(known, c, np.nan), np.where(known, spread, np.nan), mean_curve)


def _likelihoods(binned: BinnedCurves, spacing: FloatArray, model: Embedding) -> FloatArray:
    """Weights of the training curves for each star, shape (n, M), with an error of each bin that they share."""
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(binned.weight > 0, binned.product / binned.weight, 0.0)
        weight = np.where(binned.weight > 0, 1.0 / (1.0 / binned.weight + spacing[:, None] ** 2), 0.0)
    total = weight.sum(axis=1)
    total = np.where(total > 0, total, 1.0)
    mean -= (weight * mean).sum(axis=1, keepdims=True) / total[:, None]
    likelihood = (weight * mean) @ model.binned
    _normalise_likelihoods(likelihood, weight @ model.binned, weight @ model.binned_squares, total, model.evenness)
    return likelihood


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _normalise_likelihoods(
    covariance: FloatArray, of_curve: FloatArray, of_squares: FloatArray, total: FloatArray, evenness: FloatArray
) -> None:
    """Turn covariances of points and training curves into likelihoods in place, with those of the curves themselves."""
    for star in range(len(covariance)):
        row, curve, squares, whole = covariance[star], of_curve[star], of_squares[star], total[star]
        highest = -np.inf
        for i in range(len(row)):
            variance = max(squares[i] - curve[i] ** 2 / whole, 1e-12 * whole)
            # Half of the improvement of chi-square over a constant star.
            row[i] = 0.5 * max(row[i], 0.0) ** 2 / variance + _EVEN * evenness[i]
            highest = max(highest, row[i])
        summed = 0.0
        for i in range(len(row)):
            # What is less than the rounding of the sum is none.
            row[i] = np.exp(row[i] - highest) if row[i] > highest - _NEGLIGIBLE else 0.0
            summed += row[i]
        for i in range(len(row)):
            row[i] /= summed


def rescale_halves(half: npt.NDArray[np.float32], matched: FloatArray) -> npt.NDArray[np.float32]:
    """Scale normalised curves so that they agree best with the mean of the training curves that match.

    The highest point of a noisy curve is too high, so that scaled by its extremes it comes out too low everywhere else,
    and less detached than it is.

    Parameters
    ----------
    half : `~numpy.ndarray`
        Normalised half curves of n stars, shape (n, curves, 501).
    matched : `~numpy.ndarray`
        Mean training curve of each star, shape (n, 501).

    Returns
    -------
    `~numpy.ndarray`
        The curves with another zero point and scale, each at most so much as noise may ask for.
    """
    rescaled = np.empty_like(half)
    _rescale(half, matched, POINT_WEIGHTS**2, rescaled)
    return rescaled


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _rescale(
    half: npt.NDArray[np.float32], matched: FloatArray, weight: FloatArray, rescaled: npt.NDArray[np.float32]
) -> None:
    """Fill in the curves, each brought to the matched one of its star by a straight line."""
    for star in range(len(half)):
        y = matched[star]
        mean_y = np.sum(weight * y)
        for curve in range(half.shape[1]):
            x, result = half[star, curve], rescaled[star, curve]
            mean_x = product = square = 0.0
            for i in range(len(x)):
                value = float(x[i])
                mean_x += weight[i] * value
                product += weight[i] * value * y[i]
                square += weight[i] * value * value
            variance = max(square - mean_x**2, 1e-12)
            scale = min(max((product - mean_x * mean_y) / variance, _SCALES[0]), _SCALES[1])
            shift = min(max(mean_y - scale * mean_x, _SHIFTS[0]), _SHIFTS[1])
            for i in range(len(x)):
                result[i] = np.float32(scale * float(x[i]) + shift)
