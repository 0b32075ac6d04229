"""Kernel of the likelihood of shapes: a sum over a library of shapes under each star's own errors."""

import numba
import numpy as np

from cbminer.columns import FloatArray

__all__ = ["sum_near_shapes"]

# Beyond this many standard deviations a curve adds less than 4e-5 of what the nearest one does.
_REACH = 4.5


@numba.njit(cache=True, nogil=True)
def sum_near_shapes(shapes: FloatArray, first: int, last: int, stars: FloatArray, spreads: FloatArray) -> FloatArray:
    """Mean density of normal curves about the shapes of a library, at stars.

    Parameters
    ----------
    shapes : `~numpy.ndarray`
        Shapes, sorted along their first column between `first` and `last`; shape (m, 4).
    first, last : int
        Rows of the library that count.
    stars : `~numpy.ndarray`
        Shapes of the stars, shape (n, 4).
    spreads : `~numpy.ndarray`
        Standard deviations of the normal curves at each star, shape (n, 4).

    Returns
    -------
    `~numpy.ndarray`
        Densities, shape (n,); NaN where a shape or a spread is NaN.
    """
    sums = np.zeros(len(stars))
    column = shapes[first:last, 0]
    constant = (2.0 * np.pi) ** 2
    for k in range(len(stars)):
        d, difference, w, c = stars[k]
        s_d, s_difference, s_w, s_c = spreads[k]
        if np.isnan(d + difference + w + c + s_d + s_difference + s_w + s_c):
            sums[k] = np.nan
            continue
        low = first + np.searchsorted(column, d - _REACH * s_d)
        high = first + np.searchsorted(column, d + _REACH * s_d)
        total = 0.0
        for j in range(low, high):
            away = ((shapes[j, 2] - w) / s_w) ** 2
            if away > _REACH * _REACH:
                continue
            away += ((shapes[j, 3] - c) / s_c) ** 2 + ((shapes[j, 1] - difference) / s_difference) ** 2
            if away > _REACH * _REACH:
                continue
            away += ((shapes[j, 0] - d) / s_d) ** 2
            total += np.exp(-0.5 * away)
        sums[k] = total / (constant * s_d * s_difference * s_w * s_c * max(last - first, 1))
    return sums
