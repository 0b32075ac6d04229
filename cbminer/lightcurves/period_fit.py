"""Kernels of the harmonic models of the period check: nested periods, their BIC, and the frequency.

All models live in one series in ``theta = pi (t - t0) / P``, the fold of twice the listed period P: harmonics that are
multiples of 8, 4, 2 and 1 repeat after P/4, P/2, P and 2P. The columns are ordered so that each period contains the
shorter ones, and one Cholesky factorisation gives the residuals of all of them. The matrix of the normal equations
needs only the sums of ``w cos(m theta)`` and ``w sin(m theta)``.
"""

import numba
import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray
from cbminer.lightcurves.circle import harmonic_series, sums_with, trigonometric_sums, unit_circle
from cbminer.lightcurves.normal_equations import factor_normal, series_of, solve_model, turn_vector

__all__ = [
    "ORDER_MAX",
    "ORDER_USUAL",
    "STEPS",
    "best_of_grid",
    "deviance",
    "frequency_variance",
    "model_columns",
    "model_table",
    "refine_frequency",
]

# Harmonics of 2P a cycle of P/4, P/2, P and 2P.
STEPS = (8, 4, 2, 1)
# Highest harmonics of 2P that are tried; 40 are 20 of P and follow eclipses of a fortieth of the cycle. The last ones
# only for curves that ask for more than 40, since they cost the most.
_ORDERS = (1, 2, 4, 6, 8, 12, 16, 24, 40, 80)
ORDER_USUAL, ORDER_MAX = 40, 80
# Cycles in whole numbers.
_TURN = 2.0**53


@numba.njit(cache=True, nogil=True)
def model_columns(order: int, most: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Harmonics in the order of the columns after the constant, a cosine and a sine each, and their level."""
    harmonic = np.empty(order, dtype=np.int64)
    level = np.empty(order, dtype=np.int64)
    n = 0
    for place in range(4):
        step = STEPS[place]
        # What differs between two cycles needs no more than the usual harmonics; these columns are the most.
        for m in range(step, (order if place < 3 else min(order, ORDER_USUAL)) + 1, step):
            if (place > 0 and m % (2 * step) == 0) or n >= most:
                continue
            harmonic[n], level[n] = m, place
            n += 1
    return harmonic[:n], level[:n]


@numba.njit(cache=True, nogil=True)
def deviance(chi2: float, n_points: int, least_scale: float) -> float:
    """Minus twice the log of the likelihood, errors rescaled by the best common factor above a least one."""
    variance = max(chi2 / n_points, least_scale**2)
    return float(n_points * np.log(variance) + chi2 / variance - n_points)


@numba.njit(cache=True, nogil=True)
def model_table(
    sums: FloatArray,
    total: float,
    n_points: int,
    ridge: float,
    least_scale: float,
    orders: tuple[int, int],
    table: FloatArray,
) -> None:
    """Improve a table of the lowest BIC of each period by models with harmonics above a first and up to a second order.

    The rows of the table are the periods; its columns are the BIC, the order, the number of harmonics, and, in the row
    of 2P, the significance of what differs between the two cycles, by the residuals that remain.
    """
    most = max((n_points // 3 - 1) // 2, 1)
    for order in _ORDERS:
        if not orders[0] < order <= orders[1]:
            continue
        harmonic, level = model_columns(order, most)
        _, turned = factor_normal(sums, harmonic, ridge)
        chi2 = whole = total - turned[0] ** 2
        n_odd = 0
        for k in range(len(harmonic)):
            if level[k] == 3:
                whole = chi2 if n_odd == 0 else whole
                n_odd += 2
            chi2 = max(chi2 - turned[2 * k + 1] ** 2 - turned[2 * k + 2] ** 2, 1e-9)
            value = deviance(chi2, n_points, least_scale) + (2 * k + 3) * np.log(n_points)
            if value < table[level[k], 0]:
                row = table[level[k]]
                row[0], row[1], row[2] = value, order, k + 1
                if n_odd:
                    variance = max(chi2 / max(n_points - 2 * k - 3, 1), least_scale**2)
                    table[3, 3] = ((whole - chi2) / variance - n_odd) / np.sqrt(2.0 * n_odd)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def best_of_grid(
    time: FloatArray, mag: FloatArray, weight: FloatArray, frequency: float, reach: float, n_side: int
) -> int:
    """Step from the listed frequency whose fold in bins of phase has the largest variance between bins."""
    n, n_steps = len(time), 2 * n_side + 1
    n_bins = min(max(n // 6, 8), 32)
    bins = np.zeros((n_steps, n_bins, 2))
    for i in range(n):
        # Phases as whole numbers of 2^-53 cycles that run over; of a bin, 32 bits are enough.
        cycles, change = time[i] * (frequency - reach), time[i] * reach / n_side
        phase = np.uint64((cycles - np.floor(cycles)) * _TURN) << np.uint64(11)
        step_phase = np.uint64((change - np.floor(change)) * _TURN) << np.uint64(11)
        weighted = weight[i] * mag[i]
        for step in range(n_steps):
            bin_of = ((phase >> np.uint64(32)) * np.uint64(n_bins)) >> np.uint64(32)
            bins[step, bin_of, 0] += weighted
            bins[step, bin_of, 1] += weight[i]
            phase += step_phase
    best, largest = 0, -1.0
    for step in range(n_steps):
        power = 0.0
        for place in range(n_bins):
            if bins[step, place, 1] > 0.0:
                power += bins[step, place, 0] ** 2 / bins[step, place, 1]
        if power > largest:
            best, largest = step - n_side, power
    return best


@numba.njit(cache=True, nogil=True)
def _common_step(harmonic: npt.NDArray[np.int64]) -> int:
    """Largest of the steps that all harmonics are multiples of: they are harmonics of a shorter period."""
    for step in STEPS:
        if not np.any(harmonic % step):
            return step
    return 1


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fit_slope(
    points: tuple[FloatArray, FloatArray, FloatArray], rate: float, harmonic: npt.NDArray[np.int64], ridge: float
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Fit a series of harmonics of a frequency.

    Returns the circle that its phases lie on, the factor of the normal matrix, the values of the model, their
    derivatives by the frequency, and the part of these that the coefficients can imitate, turned by the factor.
    """
    time, mag, weight = points
    order = int(np.max(harmonic))
    circle = unit_circle(rate * time)
    upper, turned = factor_normal(trigonometric_sums(circle, mag, weight, order), harmonic, ridge)
    n_terms = len(turned)
    model, slope = harmonic_series(circle, series_of(solve_model(upper, turned, n_terms), harmonic, order), order)
    slope *= 2.0 * np.pi * time
    crossed = sums_with(circle, weight * slope, order)
    products = np.empty(n_terms)
    products[0] = crossed[0, 0]
    for k in range(len(harmonic)):
        products[2 * k + 1], products[2 * k + 2] = crossed[0, harmonic[k]], crossed[1, harmonic[k]]
    return circle, upper, model, slope, turn_vector(upper, products, n_terms)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _improve(
    points: tuple[FloatArray, FloatArray, FloatArray], rate: float, harmonic: npt.NDArray[np.int64], ridge: float
) -> tuple[float, float]:
    """Gauss-Newton step in frequency with all coefficients free: the step, and its variance from the weights."""
    _, mag, weight = points
    _, _, model, slope, imitated = _fit_slope(points, rate, harmonic, ridge)
    # Part of the slope that no coefficients can imitate.
    information = np.sum(weight * slope**2) - np.sum(imitated**2)
    if information <= 0.0:
        return 0.0, np.inf
    return np.sum(weight * slope * (mag - model)) / information, 1.0 / information


@numba.njit(cache=True, nogil=True, error_model="numpy")
def frequency_variance(
    points: tuple[FloatArray, FloatArray, FloatArray], frequency: float, harmonic: npt.NDArray[np.int64], ridge: float
) -> float:
    """Variance of the frequency: from the errors, scaled by the reduced chi-square, or from the residuals themselves.

    The larger of the two counts. The second (Huber's sandwich) grows where the residuals are large just on the slopes
    of eclipses that the harmonics round off.
    """
    _, mag, weight = points
    n, step = len(weight), _common_step(harmonic)
    own_harmonic = harmonic // step
    order = int(np.max(own_harmonic))
    circle, upper, model, slope, imitated = _fit_slope(points, 0.5 * step * frequency, own_harmonic, ridge)
    n_terms = len(imitated)
    series = series_of(solve_model(upper, imitated, n_terms), own_harmonic, order)
    own = slope - harmonic_series(circle, series, order)[0]
    information = np.sum(weight * own**2)
    if information <= 0.0:
        return np.inf
    squares = weight * (mag - model) ** 2
    spare = max(n - n_terms - 1, 1)
    scaled = max(np.sum(squares) / spare, 1.0)
    sandwich = np.sum(squares * weight * own**2) / information * n / spare
    return float(max(scaled, sandwich) / information / (0.5 * step) ** 2)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def refine_frequency(
    points: tuple[FloatArray, FloatArray, FloatArray],
    frequency: float,
    harmonic: npt.NDArray[np.int64],
    ridge: float,
    longest: float,
) -> float:
    """Gauss-Newton steps in frequency, none longer than a limit."""
    factor = 0.5 * _common_step(harmonic)
    own_harmonic = harmonic // _common_step(harmonic)
    for _ in range(6):
        step, variance = _improve(points, factor * frequency, own_harmonic, ridge)
        step = min(max(step / factor, -longest), longest)
        frequency += step
        # Steps shrink quadratically: after one of a fifth of the error, the next changes nothing.
        if (factor * step) ** 2 < 0.04 * variance:
            break
    return frequency
