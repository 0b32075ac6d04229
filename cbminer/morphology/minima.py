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
    # From the lowest point on, and once around to it again.
    turned = np.empty(n + 1)
    turned[: n - primary], turned[n - primary : n], turned[n] = curve[primary:], curve[:primary], curve[primary]
    after = np.empty(n)
    highest = -np.inf
    for step in range(n - 1, -1, -1):
        highest = max(highest, turned[step])
        after[step] = highest
    best, place = 0.0, -1
    closest = int(_NEAREST * n)
    highest = np.max(turned[: closest + 1])
    for step in range(closest, n - closest):
        here = turned[step]
        highest = max(highest, here)
        if here > turned[step - 1] or here > turned[step + 1]:
            continue
        prominence = min(highest, after[step]) - here
        if prominence > best:
            best, place = prominence, (primary + step) % n
    return place
