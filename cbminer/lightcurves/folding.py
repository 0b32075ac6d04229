"""Phases of light curves."""

import numba
import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray

__all__ = ["fold", "sort_by_phase", "widest_phase_gap"]


@numba.njit(cache=True, nogil=True)
def fold(time: FloatArray, offsets: npt.NDArray[np.int64], period: FloatArray, epoch: FloatArray) -> FloatArray:
    """Fold packed light curves.

    Parameters
    ----------
    time : `~numpy.ndarray`
        Times in days of all points.
    offsets : `~numpy.ndarray`
        Where each star begins, shape (n + 1,).
    period, epoch : `~numpy.ndarray`
        Period and epoch of phase 0 in days, shape (n,).

    Returns
    -------
    `~numpy.ndarray`
        Phases in [0, 1) of all points; NaN for a star without a period above 0 or an epoch.
    """
    phase = np.empty_like(time)
    for star in range(len(offsets) - 1):
        if not period[star] > 0.0:
            phase[offsets[star] : offsets[star + 1]] = np.nan
            continue
        for point in range(offsets[star], offsets[star + 1]):
            cycles = (time[point] - epoch[star]) / period[star]
            phase[point] = (cycles - np.floor(cycles)) % 1.0
    return phase


@numba.njit(cache=True, nogil=True)
def sort_by_phase(phase: FloatArray, offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Order of the points of every star by phase.

    Parameters
    ----------
    phase : `~numpy.ndarray`
        Phases of all points.
    offsets : `~numpy.ndarray`
        Where each star begins, shape (n + 1,).

    Returns
    -------
    `~numpy.ndarray`
        Indices into the flat arrays, star after star.
    """
    order = np.empty(len(phase), dtype=np.int64)
    for star in range(len(offsets) - 1):
        first, last = offsets[star], offsets[star + 1]
        # Merge sort is stable, so equal phases keep the order of time.
        order[first:last] = first + np.argsort(phase[first:last], kind="mergesort")
    return order


@numba.njit(cache=True, nogil=True)
def widest_phase_gap(phase: FloatArray, offsets: npt.NDArray[np.int64]) -> FloatArray:
    """Widest interval of phase without a point, across phase 0 too.

    Parameters
    ----------
    phase : `~numpy.ndarray`
        Phases of all points.
    offsets : `~numpy.ndarray`
        Where each star begins, shape (n + 1,).

    Returns
    -------
    `~numpy.ndarray`
        Gaps in cycles, shape (n,); 1 for a star with one point or none.
    """
    gaps = np.ones(len(offsets) - 1)
    for star in range(len(offsets) - 1):
        ordered = np.sort(phase[offsets[star] : offsets[star + 1]])
        if len(ordered) == 0:
            continue
        widest = ordered[0] + 1.0 - ordered[-1]
        for i in range(1, len(ordered)):
            widest = max(widest, ordered[i] - ordered[i - 1])
        gaps[star] = widest
    return gaps
