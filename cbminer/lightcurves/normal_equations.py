"""Kernels of the normal equations of harmonic series, from the sums over single harmonics alone.

The product of two harmonics is half the sum of two others, so that the matrix needs only the sums of ``w cos(m theta)``
and ``w sin(m theta)``. Its factor is stored as an upper triangle, whose rows lie along memory.
"""

import numba
import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray

__all__ = ["factor_normal", "series_of", "solve_model", "turn_vector"]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fill_row(sums: FloatArray, harmonic: npt.NDArray[np.int64], row: int, work: FloatArray) -> None:
    """Fill in the weighted sums of the products of one basis function with itself and those after it, and the data."""
    n = 2 * len(harmonic) + 1
    if row == 0:
        work[0] = sums[0, 0]
        for k in range(len(harmonic)):
            work[2 * k + 1], work[2 * k + 2] = sums[0, harmonic[k]], sums[1, harmonic[k]]
        work[n] = sums[2, 0]
        return
    j = harmonic[(row - 1) // 2]
    is_sin = row % 2 == 0
    for k in range((row - 1) // 2, len(harmonic)):
        low, high = abs(j - harmonic[k]), j + harmonic[k]
        # The sine of a difference changes its sign with it.
        sign = 1.0 if j > harmonic[k] else -1.0
        if is_sin:
            work[2 * k + 1] = 0.5 * (sums[1, high] + sign * sums[1, low])
            work[2 * k + 2] = 0.5 * (sums[0, low] - sums[0, high])
        else:
            work[2 * k + 1] = 0.5 * (sums[0, low] + sums[0, high])
            work[2 * k + 2] = 0.5 * (sums[1, high] - sign * sums[1, low])
    work[n] = sums[3 if is_sin else 2, j]


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _eliminate(upper: FloatArray, row: int, work: FloatArray) -> None:
    """Take the rows above from what is right of the diagonal in a row, four at a time."""
    n = len(work)
    done = row - row % 4
    for k in range(0, done, 4):
        a, b, c, d = upper[k, row], upper[k + 1, row], upper[k + 2, row], upper[k + 3, row]
        first, second, third, fourth = upper[k, row:], upper[k + 1, row:], upper[k + 2, row:], upper[k + 3, row:]
        for i in range(n):
            work[i] -= a * first[i] + b * second[i] + c * third[i] + d * fourth[i]
    for k in range(done, row):
        a, first = upper[k, row], upper[k, row:]
        for i in range(n):
            work[i] -= a * first[i]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def factor_normal(sums: FloatArray, harmonic: npt.NDArray[np.int64], ridge: float) -> tuple[FloatArray, FloatArray]:
    """Cholesky factor of the normal matrix and the data turned by it; squares of the latter are gains in chi-square.

    The ridge is a normal prior on every harmonic, as wide as the data scatter, which no true coefficient exceeds: it
    keeps the fit from swinging in gaps of phase. Below its diagonal the factor holds nothing.
    """
    n = 2 * len(harmonic) + 1
    # The data are one column more.
    upper = np.empty((n, n + 1))
    work = np.empty(n + 1)
    for row in range(n):
        _fill_row(sums, harmonic, row, work)
        work[row] += ridge if row else 0.0
        _eliminate(upper, row, work[row:])
        scale = 1.0 / np.sqrt(max(work[row], 1e-12 * sums[0, 0]))
        upper[row, row] = 1.0 / scale
        for column in range(row + 1, n + 1):
            upper[row, column] = scale * work[column]
    return upper, upper[:, n].copy()


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def solve_model(upper: FloatArray, turned: FloatArray, n: int) -> FloatArray:
    """Coefficients of the first n columns."""
    coefficients = np.empty(n)
    for row in range(n - 1, -1, -1):
        total = turned[row]
        factors, known = upper[row, row + 1 : n], coefficients[row + 1 : n]
        for i in range(len(known)):
            total -= factors[i] * known[i]
        coefficients[row] = total / upper[row, row]
    return coefficients


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def turn_vector(upper: FloatArray, vector: FloatArray, n: int) -> FloatArray:
    """Solve the transposed triangle; the squared length is the variance of a linear combination of coefficients."""
    solution = vector[:n].copy()
    for row in range(n):
        value = solution[row] / upper[row, row]
        solution[row] = value
        # Before the first element that is not zero there is nothing to do.
        if value != 0.0:
            factors, rest = upper[row, row + 1 : n], solution[row + 1 : n]
            for i in range(len(rest)):
                rest[i] -= value * factors[i]
    return solution


@numba.njit(cache=True, nogil=True, error_model="numpy")
def series_of(coefficients: FloatArray, harmonic: npt.NDArray[np.int64], order: int) -> FloatArray:
    """Coefficients of columns in the order of the harmonics: rows of cosines and sines, zero where there is none."""
    series = np.zeros((2, order + 2))
    series[0, 0] = coefficients[0]
    for k in range(len(harmonic)):
        series[0, harmonic[k]] = coefficients[2 * k + 1]
        series[1, harmonic[k]] = coefficients[2 * k + 2]
    return series
