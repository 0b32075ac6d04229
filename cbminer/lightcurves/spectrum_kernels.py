"""Kernels of the spectrum: points spread on a grid, and the gain of harmonics from their sums."""

import numba
import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray

__all__ = ["REACH", "harmonic_gain", "spread_points", "spreading_weights"]

_ComplexArray = npt.NDArray[np.complex128]

# Cells on either side over which a point is spread.
REACH = 16
# Frequencies that are solved at a time, one beside the other.
_BLOCK = 256
# A column that those before it imitate but for this share of its square tells nothing.
_LEAST_OWN = 1e-7


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def spreading_weights(place: FloatArray, width: float) -> FloatArray:
    """Weigh the cells about places on a grid by normal curves.

    Parameters
    ----------
    place : `~numpy.ndarray`
        Places in cells, shape (n,).
    width : float
        Standard deviation in cells.

    Returns
    -------
    `~numpy.ndarray`
        Weights of the cells from `REACH` before to `REACH` behind the cell of each place, shape (n, 2 REACH + 1).
    """
    n_cells = 2 * REACH + 1
    by_cell = np.exp(-0.5 * ((np.arange(n_cells) - REACH) / width) ** 2)
    weights = np.empty((len(place), n_cells))
    for i in range(len(place)):
        rest = place[i] - np.floor(place[i])
        # The product of a curve about the cell, and of a power that goes on from cell to cell.
        value = np.exp(-(0.5 * rest + REACH) * rest / width**2)
        ratio = np.exp(rest / width**2)
        row = weights[i]
        for k in range(n_cells):
            row[k] = value * by_cell[k]
            value *= ratio
    return weights


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def spread_points(
    place: FloatArray, weights: FloatArray, cosine: FloatArray, sine: FloatArray, grid: _ComplexArray
) -> None:
    """Spread complex numbers over a grid that goes around.

    Parameters
    ----------
    place : `~numpy.ndarray`
        Places in cells, shape (n,).
    weights : `~numpy.ndarray`
        Weights of the cells about them, as of `spreading_weights`.
    cosine, sine : `~numpy.ndarray`
        Real and imaginary parts, shape (n,).
    grid : `~numpy.ndarray`
        Filled in, shape (cells,); with 2 REACH + 1 cells at least.
    """
    n_cells = len(grid)
    # Beyond both ends of the grid, so that the inner loop need not go around.
    longer = np.zeros((n_cells + 2 * REACH + 1, 2))
    for i in range(len(place)):
        first = int(np.floor(place[i])) % n_cells
        part, row = longer[first : first + 2 * REACH + 1], weights[i]
        a, b = cosine[i], sine[i]
        for k in range(len(row)):
            part[k, 0] += a * row[k]
            part[k, 1] += b * row[k]
    for cell in range(n_cells):
        grid[cell] = complex(longer[cell + REACH, 0], longer[cell + REACH, 1])
    for k in range(REACH):
        grid[n_cells - REACH + k] += complex(longer[k, 0], longer[k, 1])
    for k in range(REACH + 1):
        grid[k] += complex(longer[n_cells + REACH + k, 0], longer[n_cells + REACH + k, 1])


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _fill_entry(sums: FloatArray, row: int, column: int, work: FloatArray) -> None:
    """Fill in the weighted sum of the product of two basis functions, or of one and the data, at every frequency."""
    harmonics = (sums.shape[1] - 1) // 3
    j, k = (row + 1) // 2, (column + 1) // 2
    is_sin, other_is_sin = row > 0 and row % 2 == 0, column > 0 and column % 2 == 0
    if column == 2 * harmonics + 1:
        data = sums[1 if is_sin else 0, 2 * harmonics + j]
        for i in range(len(work)):
            work[i] = data[i] if j else 0.0
        return
    odd = is_sin != other_is_sin
    high, low = sums[1 if odd else 0, j + k], sums[1 if odd else 0, abs(j - k)]
    sign = -1.0 if is_sin and other_is_sin else 1.0
    by_low = 0.5
    if odd:
        # The sine of the difference, that of the cosine's harmonic taken from that of the sine's.
        by_low = 0.5 if (j if is_sin else k) > (k if is_sin else j) else -0.5
    for i in range(len(work)):
        work[i] = 0.5 * sign * high[i] + by_low * low[i]


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _solve_block(sums: FloatArray, gain: FloatArray) -> None:
    """Fill in the gains in chi-square of all harmonics and a constant by Cholesky's way, many frequencies at a time."""
    harmonics = (sums.shape[1] - 1) // 3
    n, n_frequencies = 2 * harmonics + 1, sums.shape[2]
    upper = np.empty((n, n + 1, n_frequencies))
    work, scale = np.empty(n_frequencies), np.empty(n_frequencies)
    gain[:] = 0.0
    for row in range(n):
        for column in range(row, n + 1):
            _fill_entry(sums, row, column, work)
            if column == row:
                least = work * _LEAST_OWN
            for above in range(row):
                first, second = upper[above, row], upper[above, column]
                for i in range(n_frequencies):
                    work[i] -= first[i] * second[i]
            if column == row:
                for i in range(n_frequencies):
                    scale[i] = 1.0 / np.sqrt(work[i]) if work[i] > least[i] else 0.0
            own = upper[row, column]
            for i in range(n_frequencies):
                own[i] = work[i] * scale[i]
        for i in range(n_frequencies):
            gain[i] += upper[row, n, i] ** 2


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def harmonic_gain(
    transforms: _ComplexArray, weight_sum: float, factor: FloatArray, below: int, gain: FloatArray
) -> None:
    """Gain in chi-square of harmonic series over a constant, at every frequency.

    Parameters
    ----------
    transforms : `~numpy.ndarray`
        Transforms of the weights at 1 to twice as many times each frequency as there are harmonics, and those of the
        weighted data at 1 to as many times, shape (3 harmonics, cells): those at frequency q in cell q - below, counted
        from the end where that is negative.
    weight_sum : float
        Sum of the weights; that of the weighted data is 0.
    factor : `~numpy.ndarray`
        Factors of the transforms at each frequency, shape (n,) or longer.
    below : int
        Frequencies below the middle one.
    gain : `~numpy.ndarray`
        Filled in, shape (n,).
    """
    harmonics = len(transforms) // 3
    first, n = 0, len(gain)
    while first < n:
        # Frequencies below the middle one are at the end of the transforms; a block lies on one side.
        last = min(first + _BLOCK, n if first >= below else below)
        cell = first - below if first >= below else first - below + transforms.shape[1]
        sums = np.zeros((2, 3 * harmonics + 1, last - first))
        sums[0, 0] = weight_sum
        its_factor = factor[first:last]
        for row in range(3 * harmonics):
            part, real, imaginary = transforms[row, cell:], sums[0, row + 1], sums[1, row + 1]
            for k in range(len(its_factor)):
                real[k], imaginary[k] = its_factor[k] * part[k].real, its_factor[k] * part[k].imag
        _solve_block(sums, gain[first:last])
        first = last
