"""Kernel of the density of a survey: the weight of every star shared out between the bins around it."""

import numba
import numpy as np

from cbminer.columns import FloatArray

__all__ = ["share_out"]


@numba.njit(cache=True, nogil=True)
def share_out(content: FloatArray, bins: FloatArray, weight: FloatArray) -> None:
    """Share the weight of every star between the eight bins around it, in proportion to how near they are.

    Parameters
    ----------
    content : `~numpy.ndarray`
        Content of the bins, two or more along each axis, to which the stars are added.
    bins : `~numpy.ndarray`
        Places in units of bins, 0 in the middle of the first, within the grid; shape (n, 3).
    weight : `~numpy.ndarray`
        Weights, shape (n,).
    """
    shape = content.shape
    lower = np.empty(3, dtype=np.int64)
    beyond = np.empty(3)
    for k in range(len(bins)):
        for axis in range(3):
            lower[axis] = min(int(bins[k, axis]), shape[axis] - 2)
            beyond[axis] = bins[k, axis] - lower[axis]
        for i in range(2):
            along_0 = weight[k] * (beyond[0] if i else 1.0 - beyond[0])
            for j in range(2):
                along_1 = along_0 * (beyond[1] if j else 1.0 - beyond[1])
                content[lower[0] + i, lower[1] + j, lower[2]] += along_1 * (1.0 - beyond[2])
                content[lower[0] + i, lower[1] + j, lower[2] + 1] += along_1 * beyond[2]
