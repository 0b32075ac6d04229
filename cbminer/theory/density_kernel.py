"""Kernels of the density of a population: a sum over bins, and the nearest model, with each star's own errors."""

import numba
import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray

__all__ = ["least_distances", "sum_near"]

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


@numba.njit(cache=True, nogil=True)
def _beyond(low: float, high: float) -> float:
    """Distance of 0 from an interval."""
    return max(low, -high, 0.0)


@numba.njit(cache=True, nogil=True)
def _nearest_in_block(corners: FloatArray, place: FloatArray, spread: FloatArray, tilt: float) -> float:
    """Squared distance from a place below which no model of a block of bins can be."""
    along = _beyond(corners[0, 0] - place[0], corners[1, 0] - place[0]) / spread[0]
    low, high = corners[0, 1] - place[1], corners[1, 1] - place[1]
    down = _beyond(low, high) / spread[1]
    moved = min(-tilt * low, -tilt * high), max(-tilt * low, -tilt * high)
    across = _beyond(corners[0, 2] - place[2] + moved[0], corners[1, 2] - place[2] + moved[1]) / spread[2]
    squared: float = along * along + down * down + across * across
    return squared


@numba.njit(cache=True, nogil=True)
def _least_in_block(models: FloatArray, place: FloatArray, spread: FloatArray, tilt: float) -> float:
    """Squared distance from a place to the nearest of some models."""
    best = np.inf
    for i in range(len(models)):
        down = models[i, 1] - place[1]
        along = (models[i, 0] - place[0]) / spread[0]
        across = (models[i, 2] - place[2] - tilt * down) / spread[2]
        best = min(best, along * along + (down / spread[1]) ** 2 + across * across)
    return best


@numba.njit(cache=True, nogil=True)
def least_distances(
    models: FloatArray,
    offsets: npt.NDArray[np.int64],
    places: FloatArray,
    spreads: FloatArray,
    tilts: FloatArray,
) -> FloatArray:
    """Distance from each place to the nearest model, each with a measure of its own.

    Parameters
    ----------
    models : `~numpy.ndarray`
        Models, those of a block of bins together; shape (m, 3).
    offsets : `~numpy.ndarray`
        Where the blocks begin, and where the last one ends; shape (blocks + 1,).
    places : `~numpy.ndarray`
        Places, shape (n, 3).
    spreads : `~numpy.ndarray`
        Unit of distance along axes 0 and 1, and along axis 2 at a given place on axis 1; shape (n, 3).
    tilts : `~numpy.ndarray`
        Change of axis 2 with axis 1 that costs nothing; shape (n,).

    Returns
    -------
    `~numpy.ndarray`
        Distances; NaN where a place, a unit or a tilt is NaN; shape (n,).
    """
    n_blocks = len(offsets) - 1
    corners = np.empty((n_blocks, 2, 3))
    for block in range(n_blocks):
        for axis in range(3):
            inside = models[offsets[block] : offsets[block + 1], axis]
            corners[block, 0, axis], corners[block, 1, axis] = inside.min(), inside.max()
    distances = np.full(len(places), np.nan)
    bounds = np.empty(n_blocks)
    for k in range(len(places)):
        place, spread, tilt = places[k], spreads[k], tilts[k]
        if np.isnan(place.sum() + spread.sum() + tilt):
            continue
        for block in range(n_blocks):
            bounds[block] = _nearest_in_block(corners[block], place, spread, tilt)
        # The most promising block first, and then only those that may hold something nearer.
        first = np.argmin(bounds)
        best = _least_in_block(models[offsets[first] : offsets[first + 1]], place, spread, tilt)
        for block in range(n_blocks):
            if bounds[block] < best and block != first:
                inside = models[offsets[block] : offsets[block + 1]]
                best = min(best, _least_in_block(inside, place, spread, tilt))
        distances[k] = np.sqrt(best)
    return distances
