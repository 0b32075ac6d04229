"""Weighted harmonic fits of folded light curves, with the order chosen by the data."""

import numba
import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray
from cbminer.lightcurves.circle import harmonic_series, unit_circle

__all__ = ["HARMONICS_MAX", "evaluate_harmonics", "fit_harmonics", "harmonic_basis"]

# Highest order that the kernel has room for; the order of a fit is a setting below it.
HARMONICS_MAX = 10
_N_TERMS = 2 * HARMONICS_MAX + 1


def harmonic_basis(phase: FloatArray, derivative: int = 0) -> FloatArray:
    """Basis functions 1, cos, sin, cos 2, sin 2 ... of the phase, or a derivative of them by the phase.

    Parameters
    ----------
    phase : `~numpy.ndarray`
        Phases in cycles, any shape.
    derivative : {0, 1, 2}, optional
        Order of the derivative.

    Returns
    -------
    `~numpy.ndarray`
        Shape of the phases and one more axis of 2 * HARMONICS_MAX + 1 terms.
    """
    order = np.arange(1, HARMONICS_MAX + 1)
    angle = 2.0 * np.pi * np.asarray(phase)[..., None] * order
    # Each derivative turns the functions by a quarter of a cycle and multiplies them by 2 pi k.
    turned = angle + derivative * np.pi / 2
    factor = (2.0 * np.pi * order) ** derivative
    basis = np.empty((*np.shape(phase), _N_TERMS))
    basis[..., 0] = 1.0 if derivative == 0 else 0.0
    basis[..., 1::2] = factor * np.cos(turned)
    basis[..., 2::2] = factor * np.sin(turned)
    return basis


@numba.njit(cache=True, nogil=True)
def fit_harmonics(
    phase: FloatArray,
    flux: FloatArray,
    flux_err: FloatArray,
    offsets: npt.NDArray[np.int64],
    order_min: int,
    order_max: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], FloatArray, FloatArray, FloatArray]:
    """Fit every star with the order between two limits that has the lowest BIC.

    Parameters
    ----------
    phase, flux, flux_err : `~numpy.ndarray`
        Points of all stars.
    offsets : `~numpy.ndarray`
        Where each star begins, shape (n + 1,).
    order_min : int
        Lowest order.
    order_max : `~numpy.ndarray`
        Highest order of each star, shape (n,); below `order_min` the star is not fitted.

    Returns
    -------
    order : `~numpy.ndarray`
        Order chosen, 0 for a star that was not fitted.
    coefficients : `~numpy.ndarray`
        Coefficients of the basis, zero above the order, shape (n, 21).
    covariance : `~numpy.ndarray`
        Their covariance from the stated errors, shape (n, 21, 21).
    chi2 : `~numpy.ndarray`
        Sum of the squared residuals over their errors, shape (n,).

    Notes
    -----
    One Householder factorisation of the largest design matrix serves all orders, since the columns of a lower
    order come first. BIC = N ln(chi2 / N) + k ln N, which does not depend on a common factor in the errors.
    """
    n_stars = len(offsets) - 1
    order = np.zeros(n_stars, dtype=np.int64)
    coefficients = np.zeros((n_stars, 21))
    covariance = np.zeros((n_stars, 21, 21))
    chi2 = np.zeros(n_stars)
    for star in range(n_stars):
        highest = order_max[star]
        if highest < order_min:
            continue
        points = slice(offsets[star], offsets[star + 1])
        matrix, data = _design(phase[points], flux[points], flux_err[points], highest)
        _householder(matrix, data)
        order[star], chi2[star] = _lowest_bic(data, order_min, highest)
        _solve(matrix, data, 2 * order[star] + 1, coefficients[star], covariance[star])
    return order, coefficients, covariance, chi2


@numba.njit(cache=True, nogil=True)
def evaluate_harmonics(
    phase: FloatArray, offsets: npt.NDArray[np.int64], order: npt.NDArray[np.int64], coefficients: FloatArray
) -> FloatArray:
    """Values of harmonic series at the points of their stars.

    Parameters
    ----------
    phase : `~numpy.ndarray`
        Phases of all points.
    offsets : `~numpy.ndarray`
        Where each star begins, shape (n + 1,).
    order : `~numpy.ndarray`
        Order of each star, shape (n,).
    coefficients : `~numpy.ndarray`
        Coefficients of the basis, shape (n, 21).

    Returns
    -------
    `~numpy.ndarray`
        A value a point.
    """
    value = np.zeros(len(phase))
    for star in range(len(offsets) - 1):
        points, terms = slice(offsets[star], offsets[star + 1]), order[star]
        series = np.zeros((2, terms + 2))
        series[0, 0] = coefficients[star, 0]
        for k in range(1, terms + 1):
            series[0, k], series[1, k] = coefficients[star, 2 * k - 1], coefficients[star, 2 * k]
        value[points], _ = harmonic_series(unit_circle(phase[points]), series, terms)
    return value


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _design(phase: FloatArray, flux: FloatArray, flux_err: FloatArray, order: int) -> tuple[FloatArray, FloatArray]:
    # Column after column, so that the reflections below run along memory.
    matrix = np.empty((2 * order + 1, len(phase)))
    circle = unit_circle(phase)
    cosine, sine = circle[0], circle[1]
    matrix[0] = 1.0 / flux_err
    for k in range(1, order + 1):
        c, s = matrix[2 * k - 1], matrix[2 * k]
        if k == 1:
            c[:], s[:] = cosine * matrix[0], sine * matrix[0]
            continue
        # Turned by one step from the harmonic before.
        before_c, before_s = matrix[2 * k - 3], matrix[2 * k - 2]
        for i in range(len(c)):
            c[i] = before_c[i] * cosine[i] - before_s[i] * sine[i]
            s[i] = before_s[i] * cosine[i] + before_c[i] * sine[i]
    return matrix, flux * matrix[0]


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _householder(matrix: FloatArray, data: FloatArray) -> None:
    """Reduce the matrix (stored by columns) to triangular form in place, and turn the data with it."""
    n_columns = len(matrix)
    for k in range(n_columns):
        column = matrix[k, k:]
        norm = np.sum(column**2)
        diagonal = -np.copysign(np.sqrt(norm), column[0])
        if diagonal == 0.0:
            continue
        vector = column.copy()
        vector[0] -= diagonal
        scale = 2.0 / np.sum(vector**2)
        for j in range(k, n_columns):
            _reflect(matrix[j, k:], vector, scale)
        _reflect(data[k:], vector, scale)


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _reflect(column: FloatArray, vector: FloatArray, scale: float) -> None:
    projection = 0.0
    for i in range(len(vector)):
        projection += vector[i] * column[i]
    projection *= scale
    for i in range(len(vector)):
        column[i] -= projection * vector[i]


@numba.njit(cache=True, nogil=True)
def _lowest_bic(data: FloatArray, order_min: int, order_max: int) -> tuple[int, float]:
    n_points = len(data)
    best_order, best_chi2, best_bic = 0, 0.0, np.inf
    for order in range(order_min, order_max + 1):
        n_terms = 2 * order + 1
        chi2 = np.sum(data[n_terms:] ** 2)
        bic = n_points * np.log(max(chi2, 1e-300) / n_points) + n_terms * np.log(n_points)
        if bic < best_bic:
            best_order, best_chi2, best_bic = order, chi2, bic
    return best_order, best_chi2


@numba.njit(cache=True, nogil=True)
def _solve(
    matrix: FloatArray,
    data: FloatArray,
    n_terms: int,
    coefficients: FloatArray,
    covariance: FloatArray,
) -> None:
    """Solve the triangular system of the first terms; the covariance is the inverse of R^T R."""
    inverse = np.zeros((n_terms, n_terms))
    for column in range(n_terms):
        for row in range(column, -1, -1):
            total = 1.0 if row == column else 0.0
            for k in range(row + 1, column + 1):
                total -= matrix[k, row] * inverse[k, column]
            inverse[row, column] = total / matrix[row, row]
    for row in range(n_terms):
        for k in range(row, n_terms):
            coefficients[row] += inverse[row, k] * data[k]
        for other in range(n_terms):
            for k in range(max(row, other), n_terms):
                covariance[row, other] += inverse[row, k] * inverse[other, k]
