"""Tables of light curves over the parameters of a model, and smooth interpolation between their curves."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from cbminer.columns import FloatArray

__all__ = ["CurveTable", "TableAxis"]

# Nodes that share in an interpolation along an axis: a cubic through the four around a place.
_STENCIL = 4


@dataclass(frozen=True)
class TableAxis:
    """Evenly spaced nodes of one parameter.

    Attributes
    ----------
    first, last : float
        The outermost nodes.
    n : int
        Number of nodes, 2 or more.
    """

    first: float
    last: float
    n: int

    @property
    def nodes(self) -> FloatArray:
        """The nodes, shape (n,)."""
        return np.linspace(self.first, self.last, self.n)


@dataclass(frozen=True)
class CurveTable:
    """Fluxes over a grid of parameters.

    Attributes
    ----------
    axes : tuple of TableAxis
        Parameters, the last one the fastest.
    flux : `~numpy.ndarray`
        Curves in the order of the grid, float32, shape (nodes, values of a curve).
    """

    axes: tuple[TableAxis, ...]
    flux: npt.NDArray[np.float32]

    def at(self, places: FloatArray) -> FloatArray:
        """Interpolate curves, by a cubic along each axis.

        Parameters
        ----------
        places : `~numpy.ndarray`
            Parameters, shape (m, axes); one beyond the outermost node counts as on it.

        Returns
        -------
        `~numpy.ndarray`
            Curves, shape (m, values of a curve).
        """
        counts = np.array([axis.n for axis in self.axes], dtype=np.int64)
        first = np.array([axis.first for axis in self.axes])
        step = np.array([(axis.last - axis.first) / (axis.n - 1) for axis in self.axes])
        scaled = np.clip((places - first) / step, 0.0, counts - 1.0)
        result = np.zeros((len(places), self.flux.shape[1]))
        _interpolate(result, np.ascontiguousarray(scaled), counts, self.flux)
        return result


@njit(cache=True, nogil=True)
def _interpolate(
    result: FloatArray, scaled: FloatArray, counts: npt.NDArray[np.int64], flux: npt.NDArray[np.float32]
) -> None:
    n_axes = len(counts)
    start = np.empty(n_axes, dtype=np.int64)
    used = np.empty(n_axes, dtype=np.int64)
    weight = np.empty((n_axes, _STENCIL))
    digit = np.empty(n_axes, dtype=np.int64)
    for k in range(len(scaled)):
        for axis in range(n_axes):
            used[axis] = min(_STENCIL, counts[axis])
            lowest = int(np.floor(scaled[k, axis])) - (used[axis] - 1) // 2
            start[axis] = min(max(lowest, 0), counts[axis] - used[axis])
            _lagrange(weight[axis], scaled[k, axis] - start[axis], used[axis])
        digit[:] = 0
        while True:
            row = 0
            share = 1.0
            for axis in range(n_axes):
                row = row * counts[axis] + start[axis] + digit[axis]
                share *= weight[axis, digit[axis]]
            if share != 0.0:
                for value in range(flux.shape[1]):
                    result[k, value] += share * flux[row, value]
            last = n_axes - 1
            while last >= 0:
                digit[last] += 1
                if digit[last] < used[last]:
                    break
                digit[last] = 0
                last -= 1
            if last < 0:
                break


@njit(cache=True)
def _lagrange(weight: FloatArray, x: float, n: int) -> None:
    """Weights of the nodes 0 to n - 1 in the polynomial through them, at x."""
    for i in range(n):
        product = 1.0
        for j in range(n):
            if j != i:
                product *= (x - j) / (i - j)
        weight[i] = product
