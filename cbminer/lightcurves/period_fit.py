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

__all__ = [
    "ORDER_MAX",
    "ORDER_USUAL",
    "STEPS",
    "best_of_grid",
    "deviance",
    "factor_normal",
    "frequency_variance",
    "model_columns",
    "model_table",
    "model_values",
    "refine_frequency",
    "solve_model",
    "trigonometric_sums",
    "turn_vector",
]

# Harmonics of 2P a cycle of P/4, P/2, P and 2P.
STEPS = (8, 4, 2, 1)
# Highest harmonics of 2P that are tried; 40 are 20 of P and follow eclipses of a fortieth of the cycle. The last ones
# only for curves that ask for more than 40, since they cost the most.
_ORDERS = (1, 2, 4, 6, 8, 12, 16, 24, 40, 80)
ORDER_USUAL, ORDER_MAX = 40, 80


@numba.njit(cache=True, nogil=True, fastmath=True)
def trigonometric_sums(theta: FloatArray, mag: FloatArray, weight: FloatArray, order: int) -> FloatArray:
    """Sum w cos and w sin up to twice the order, and w y cos and w y sin up to the order: four rows."""
    n = len(theta)
    sums = np.zeros((4, 2 * order + 1))
    cos_1, sin_1 = np.cos(theta), np.sin(theta)
    wc, ws = weight.copy(), np.zeros(n)
    sums[0, 0] = np.sum(weight)
    sums[2, 0] = np.sum(weight * mag)
    for m in range(1, 2 * order + 1):
        total_c = total_s = data_c = data_s = 0.0
        # Turned by one step, not computed anew: 80 turns lose two digits of sixteen.
        if m <= order:
            for i in range(n):
                c = wc[i] * cos_1[i] - ws[i] * sin_1[i]
                s = ws[i] * cos_1[i] + wc[i] * sin_1[i]
                wc[i], ws[i] = c, s
                total_c += c
                total_s += s
                data_c += c * mag[i]
                data_s += s * mag[i]
        else:
            for i in range(n):
                c = wc[i] * cos_1[i] - ws[i] * sin_1[i]
                s = ws[i] * cos_1[i] + wc[i] * sin_1[i]
                wc[i], ws[i] = c, s
                total_c += c
                total_s += s
        sums[0, m], sums[1, m], sums[2, m], sums[3, m] = total_c, total_s, data_c, data_s
    return sums


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
def _product(sums: FloatArray, first: tuple[int, bool], second: tuple[int, bool]) -> float:
    """Weighted sum of the product of two basis functions (harmonic, whether a sine), from the sums over single ones."""
    (j, is_sin_j), (k, is_sin_k) = first, second
    low, high = abs(j - k), j + k
    if is_sin_j == is_sin_k:
        sign = -1.0 if is_sin_j else 1.0
        return float(0.5 * (sums[0, low] + sign * sums[0, high]))
    sin_of, cos_of = (j, k) if is_sin_j else (k, j)
    return float(0.5 * (sums[1, high] + (sums[1, low] if sin_of > cos_of else -sums[1, low])))


@numba.njit(cache=True, nogil=True, fastmath=True)
def _dot(first: FloatArray, second: FloatArray, n: int) -> float:
    total = 0.0
    for i in range(n):
        total += first[i] * second[i]
    return total


@numba.njit(cache=True, nogil=True)
def factor_normal(sums: FloatArray, harmonic: npt.NDArray[np.int64], ridge: float) -> tuple[FloatArray, FloatArray]:
    """Cholesky factor of the normal matrix and the data turned by it; squares of the latter are gains in chi-square.

    The ridge is a normal prior on every harmonic, as wide as the data scatter, which no true coefficient exceeds: it
    keeps the fit from swinging in gaps of phase.
    """
    n = 2 * len(harmonic) + 1
    lower = np.zeros((n, n))
    turned = np.empty(n)
    for row in range(n):
        j = 0 if row == 0 else harmonic[(row - 1) // 2]
        sin_j = row > 0 and row % 2 == 0
        for column in range(row):
            k = 0 if column == 0 else harmonic[(column - 1) // 2]
            value = _product(sums, (j, sin_j), (k, column > 0 and column % 2 == 0))
            lower[row, column] = (value - _dot(lower[row], lower[column], column)) / lower[column, column]
        square = _product(sums, (j, sin_j), (j, sin_j)) + (ridge if row else 0.0)
        square -= _dot(lower[row], lower[row], row)
        lower[row, row] = np.sqrt(max(square, 1e-12 * sums[0, 0]))
        turned[row] = (sums[3 if sin_j else 2, j] - _dot(lower[row], turned, row)) / lower[row, row]
    return lower, turned


@numba.njit(cache=True, nogil=True)
def solve_model(lower: FloatArray, turned: FloatArray, n: int) -> FloatArray:
    """Coefficients of the first n columns."""
    coefficients = turned[:n].copy()
    for row in range(n - 1, -1, -1):
        coefficients[row] /= lower[row, row]
        for k in range(row):
            coefficients[k] -= lower[row, k] * coefficients[row]
    return coefficients


@numba.njit(cache=True, nogil=True)
def turn_vector(lower: FloatArray, vector: FloatArray, n: int) -> FloatArray:
    """Solve the lower triangle; the squared length is the variance of a linear combination of coefficients."""
    solution = np.empty(n)
    for row in range(n):
        solution[row] = (vector[row] - _dot(lower[row], solution, row)) / lower[row, row]
    return solution


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


@numba.njit(cache=True, nogil=True)
def best_of_grid(
    time: FloatArray, mag: FloatArray, weight: FloatArray, frequency: float, reach: float, n_side: int
) -> int:
    """Step from the listed frequency whose fold in bins of phase has the largest variance between bins."""
    n = len(time)
    n_bins = min(max(n // 6, 8), 32)
    best, largest = 0, -1.0
    for step in range(-n_side, n_side + 1):
        trial = frequency + reach * step / n_side
        flux, norm = np.zeros(n_bins), np.zeros(n_bins)
        for i in range(n):
            phase = time[i] * trial
            place = int((phase - np.floor(phase)) * n_bins)
            place = place if place < n_bins else 0
            flux[place] += weight[i] * mag[i]
            norm[place] += weight[i]
        power = 0.0
        for place in range(n_bins):
            if norm[place] > 0.0:
                power += flux[place] ** 2 / norm[place]
        if power > largest:
            best, largest = step, power
    return best


@numba.njit(cache=True, nogil=True, fastmath=True)
def model_values(
    theta: FloatArray, harmonic: npt.NDArray[np.int64], coefficients: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Values of a model and its derivatives by theta."""
    n, order = len(theta), int(np.max(harmonic))
    by_cos, by_sin = np.zeros(order + 1), np.zeros(order + 1)
    for k in range(len(harmonic)):
        by_cos[harmonic[k]] = coefficients[2 * k + 1]
        by_sin[harmonic[k]] = coefficients[2 * k + 2]
    slope, model = np.zeros(n), np.full(n, coefficients[0])
    cos_1, sin_1 = np.cos(theta), np.sin(theta)
    c, s = np.ones(n), np.zeros(n)
    for m in range(1, order + 1):
        a, b = by_cos[m], by_sin[m]
        for i in range(n):
            turned_c = c[i] * cos_1[i] - s[i] * sin_1[i]
            s[i] = s[i] * cos_1[i] + c[i] * sin_1[i]
            c[i] = turned_c
            model[i] += a * c[i] + b * s[i]
            slope[i] += m * (b * c[i] - a * s[i])
    return model, slope


@numba.njit(cache=True, nogil=True, fastmath=True)
def _products_with(theta: FloatArray, data: FloatArray, harmonic: npt.NDArray[np.int64]) -> FloatArray:
    """Sum data times every column."""
    n, order = len(theta), int(np.max(harmonic))
    cos_1, sin_1 = np.cos(theta), np.sin(theta)
    c, s = np.ones(n), np.zeros(n)
    crossed = np.zeros((2, order + 1))
    for m in range(order + 1):
        total_c = total_s = 0.0
        for i in range(n):
            total_c += data[i] * c[i]
            total_s += data[i] * s[i]
            turned_c = c[i] * cos_1[i] - s[i] * sin_1[i]
            s[i] = s[i] * cos_1[i] + c[i] * sin_1[i]
            c[i] = turned_c
        crossed[0, m], crossed[1, m] = total_c, total_s
    products = np.empty(2 * len(harmonic) + 1)
    products[0] = crossed[0, 0]
    for k in range(len(harmonic)):
        products[2 * k + 1] = crossed[0, harmonic[k]]
        products[2 * k + 2] = crossed[1, harmonic[k]]
    return products


@numba.njit(cache=True, nogil=True)
def _improve(
    time: FloatArray,
    mag: FloatArray,
    weight: FloatArray,
    frequency: float,
    harmonic: npt.NDArray[np.int64],
    ridge: float,
) -> tuple[float, float]:
    """Gauss-Newton step in frequency with all coefficients free: the step, and its variance from the weights."""
    theta = np.pi * frequency * time
    sums = trigonometric_sums(theta, mag, weight, int(np.max(harmonic)))
    lower, turned = factor_normal(sums, harmonic, ridge)
    model, slope = model_values(theta, harmonic, solve_model(lower, turned, len(turned)))
    slope *= np.pi * time
    # Part of the slope that no coefficients can imitate.
    imitated = turn_vector(lower, _products_with(theta, weight * slope, harmonic), len(turned))
    information = np.sum(weight * slope**2) - np.sum(imitated**2)
    if information <= 0.0:
        return 0.0, np.inf
    return np.sum(weight * slope * (mag - model)) / information, 1.0 / information


@numba.njit(cache=True, nogil=True)
def frequency_variance(
    time: FloatArray,
    mag: FloatArray,
    weight: FloatArray,
    frequency: float,
    harmonic: npt.NDArray[np.int64],
    ridge: float,
) -> float:
    """Variance of the frequency: from the errors, scaled by the reduced chi-square, or from the residuals themselves.

    The larger of the two counts. The second (Huber's sandwich) grows where the residuals are large just on the slopes
    of eclipses that the harmonics round off.
    """
    n = len(time)
    theta = np.pi * frequency * time
    sums = trigonometric_sums(theta, mag, weight, int(np.max(harmonic)))
    lower, turned = factor_normal(sums, harmonic, ridge)
    n_terms = len(turned)
    model, slope = model_values(theta, harmonic, solve_model(lower, turned, n_terms))
    slope *= np.pi * time
    imitated = turn_vector(lower, _products_with(theta, weight * slope, harmonic), n_terms)
    own = slope - model_values(theta, harmonic, solve_model(lower, imitated, n_terms))[0]
    information = np.sum(weight * own**2)
    if information <= 0.0:
        return np.inf
    squares = weight * (mag - model) ** 2
    spare = max(n - n_terms - 1, 1)
    scaled = max(np.sum(squares) / spare, 1.0)
    sandwich = np.sum(squares * weight * own**2) / information * n / spare
    return float(max(scaled, sandwich) / information)


@numba.njit(cache=True, nogil=True)
def refine_frequency(
    time: FloatArray,
    mag: FloatArray,
    weight: FloatArray,
    frequency: float,
    harmonic: npt.NDArray[np.int64],
    ridge: float,
    longest: float,
) -> float:
    """Gauss-Newton steps in frequency, none longer than a limit."""
    for _ in range(6):
        step, variance = _improve(time, mag, weight, frequency, harmonic, ridge)
        step = min(max(step, -longest), longest)
        frequency += step
        # Steps shrink quadratically: after one of a fifth of the error, the next changes nothing.
        if step**2 < 0.04 * variance:
            break
    return frequency
