"""The other minimum of a light curve, wherever in the cycle it lies."""

import numba
import numpy as np

from cbminer.columns import FloatArray

__all__ = ["second_minimum"]

# Distance in cycles from the deeper minimum that the other one keeps: eccentric orbits bring them close.
_NEAREST = 0.1


@numba.njit(cache=True, nogil=True)
def second_minimum(curve: FloatArray, primary: int) -> int:
    """Find the most prominent minimum other than the lowest point.

    Parameters
    ----------
    curve : `~numpy.ndarray`
        Flux at evenly spaced phases of one cycle, shape (k,).
    primary : int
        Place of the lowest point.

    Returns
    -------
    int
        Place of the local minimum that lies lowest below the lower of the two maxima that part it from the lowest
        point, a tenth of the cycle away at least; -1 if there is none.
    """
    n = len(curve)
    before, after = np.empty(n), np.empty(n)
    highest = -np.inf
    for step in range(n):
        highest = max(highest, curve[(primary + step) % n])
        before[step] = highest
    highest = -np.inf
    for step in range(n - 1, -1, -1):
        highest = max(highest, curve[(primary + step) % n])
        after[step] = highest
    best, place = 0.0, -1
    closest = int(_NEAREST * n)
    for step in range(closest, n - closest):
        here = curve[(primary + step) % n]
        if here > curve[(primary + step - 1) % n] or here > curve[(primary + step + 1) % n]:
            continue
        prominence = min(before[step], after[step]) - here
        if prominence > best:
            best, place = prominence, (primary + step) % n
    return place
