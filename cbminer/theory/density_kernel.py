"""Kernel of the density of a population: a sum over the bins near a star, with the star's own errors."""

import numba
import numpy as np

from cbminer.columns import FloatArray

__all__ = ["sum_near"]

# Beyond this many standard deviations a bin adds less than 4e-6 of what the nearest one does.
_REACH = 5.0


@numba.njit(cache=True, nogil=True)
def _window(place: float, half_width: float, n_bins: int) -> tuple[int, int]:
    """First bin and one past the last whose middles lie within a distance of a place, all in bins."""
    first = max(int(np.ceil(place - half_width - 0.5)), 0)
    last = min(int(np.floor(place + half_width - 0.5)) + 1, n_bins)
    return first, last


@numba.njit(cache=True, nogil=True)
def _row(slices: FloatArray, share: float, place: float, spread: float) -> float:
    """Sum a row of two neighbouring slices under a normal curve; place and spread in bins."""
    first, last = _window(place, _REACH * spread, slices.shape[1])
    if first >= last:
        return 0.0
    # exp(-x^2/2) on even steps is a product of products: no exponential in the loop.
    step = 1.0 / spread
    x = (first + 0.5 - place) * step
    value, factor, change = np.exp(-0.5 * x * x), np.exp(-x * step - 0.5 * step * step), np.exp(-step * step)
    total = 0.0
    for i in range(first, last):
        total += value * ((1.0 - share) * slices[0, i] + share * slices[1, i])
        value *= factor
        factor *= change
    return total


@numba.njit(cache=True, nogil=True)
def sum_near(content: FloatArray, places: FloatArray, spreads: FloatArray, tilts: FloatArray) -> FloatArray:
    """Sum bins under normal curves, linear between slices of the first axis.

    Parameters
    ----------
    content : `~numpy.ndarray`
        Content of the bins, shape (n_0, n_1, n_2), with empty slices at both ends of the first axis.
    places : `~numpy.ndarray`
        Places in units of bins, 0 at the lower edge of the first; shape (n, 3).
    spreads : `~numpy.ndarray`
        Standard deviation along axis 1, and along axis 2 at a given place on axis 1, in bins; shape (n, 2).
    tilts : `~numpy.ndarray`
        Bins of axis 2 by which the middle of the normal curve moves with each bin of axis 1; shape (n,).

    Returns
    -------
    `~numpy.ndarray`
        Sums, not divided by the normal curves' integral; NaN where a place is NaN; shape (n,).
    """
    n_0, n_1, _ = content.shape
    sums = np.zeros(len(places))
    for k in range(len(places)):
        if np.isnan(places[k, 0] + places[k, 1] + places[k, 2] + spreads[k, 0] + spreads[k, 1] + tilts[k]):
            sums[k] = np.nan
            continue
        if not 0.5 <= places[k, 0] < n_0 - 0.5:
            continue
        lower = int(np.floor(places[k, 0] - 0.5))
        share = places[k, 0] - 0.5 - lower
        first, last = _window(places[k, 1], _REACH * spreads[k, 0], n_1)
        for j in range(first, last):
            away = j + 0.5 - places[k, 1]
            height = np.exp(-0.5 * (away / spreads[k, 0]) ** 2)
            middle = places[k, 2] + tilts[k] * away
            sums[k] += height * _row(content[lower : lower + 2, j, :], share, middle, spreads[k, 1])
    return sums
