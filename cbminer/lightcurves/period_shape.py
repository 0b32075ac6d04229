"""Kernels of the period check that measure the shape of one cycle: minima, narrowness, symmetry."""

import math

import numba
import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray
from cbminer.lightcurves.normal_equations import factor_normal, solve_model, turn_vector
from cbminer.lightcurves.period_fit import STEPS, model_columns

__all__ = ["measure_shape"]

_N_GRID = 100
# Cells of phase in which narrow minima are sought.
_N_CELLS = 200


@numba.njit(cache=True, nogil=True)
def _curve(coefficients: FloatArray, harmonic: npt.NDArray[np.int64], step: int, phase: float) -> FloatArray:
    """Model, its slope and its curvature by phase of the period of this step."""
    value, slope, curvature = coefficients[0], 0.0, 0.0
    for k in range(len(harmonic)):
        rate = 2.0 * np.pi * (harmonic[k] // step)
        c, s = np.cos(rate * phase), np.sin(rate * phase)
        a, b = coefficients[2 * k + 1], coefficients[2 * k + 2]
        value += a * c + b * s
        slope += rate * (b * c - a * s)
        curvature -= rate**2 * (a * c + b * s)
    return np.array([value, slope, curvature])


@numba.njit(cache=True, nogil=True)
def _sampled(coefficients: FloatArray, harmonic: npt.NDArray[np.int64], step: int) -> FloatArray:
    """Model over one cycle."""
    curve = np.full(_N_GRID, coefficients[0])
    for k in range(len(harmonic)):
        angle = 2.0 * np.pi * (harmonic[k] // step) / _N_GRID
        cos_1, sin_1 = np.cos(angle), np.sin(angle)
        c, s = coefficients[2 * k + 1], coefficients[2 * k + 2]
        for i in range(_N_GRID):
            curve[i] += c
            c, s = c * cos_1 + s * sin_1, s * cos_1 - c * sin_1
    return curve


@numba.njit(cache=True, nogil=True)
def _extremum(
    coefficients: FloatArray,
    harmonic: npt.NDArray[np.int64],
    upper: FloatArray,
    step: int,
    start: float,
) -> tuple[float, float]:
    """Phase of an extremum near a start, and its variance in units of the error scale."""
    phase = start
    for _ in range(6):
        _, slope, curvature = _curve(coefficients, harmonic, step, phase)
        move = -slope / curvature if curvature != 0.0 else 0.0
        phase += min(max(move, -0.3 / _N_GRID), 0.3 / _N_GRID)
    _, _, curvature = _curve(coefficients, harmonic, step, phase)
    gradient = np.zeros(len(coefficients))
    for k in range(len(harmonic)):
        rate = 2.0 * np.pi * (harmonic[k] // step)
        gradient[2 * k + 1] = -rate * np.sin(rate * phase)
        gradient[2 * k + 2] = rate * np.cos(rate * phase)
    solution = turn_vector(upper, gradient, len(gradient))
    return phase, np.sum(solution**2) / max(curvature**2, 1e-30)


@numba.njit(cache=True, nogil=True)
def _second_minimum(curve: FloatArray) -> float:
    """Depth of the second most prominent minimum below the lower of the maxima beside it, over the range."""
    n = len(curve)
    deepest = np.argmax(curve)
    largest = 0.0
    for i in range(n):
        place = (deepest + i) % n
        if i == 0 or curve[place] < curve[place - 1] or curve[place] < curve[(place + 1) % n]:
            continue
        left = right = curve[place]
        for j in range(1, n):
            at = curve[place - j]
            if at > curve[place]:
                break
            left = min(left, at)
        for j in range(1, n):
            at = curve[(place + j) % n]
            if at > curve[place]:
                break
            right = min(right, at)
        largest = max(largest, curve[place] - max(left, right))
    return largest / max(np.max(curve) - np.min(curve), 1e-12)


@numba.njit(cache=True, nogil=True)
def _window(cumulative: FloatArray, first: int, last: int) -> float:
    """Sum over cells from the first up to but without the last; the cycle goes on at its end."""
    n = len(cumulative) - 1
    turns = cumulative[n]
    return float((cumulative[last % n] + (last // n) * turns) - (cumulative[first % n] + (first // n) * turns))


@numba.njit(cache=True, nogil=True)
def _second_dip(
    phase: FloatArray, mag: FloatArray, weight: FloatArray, minimum: float, width: float, dip_sigma: float
) -> tuple[float, float]:
    """Sigma by which a second narrow minimum passes its limit, and its depth over that of the first.

    Means in windows as wide as the first minimum are compared with those beside them, which follow tides and do not
    ring as harmonics do. Half a cycle away the limit is lower: there was no search.
    """
    cells = np.zeros((3, _N_CELLS + 1))
    faintest, its_weight = np.full(_N_CELLS, -np.inf), np.zeros(_N_CELLS)
    for i in range(len(phase)):
        away = phase[i] - minimum
        place = min(int((away - np.floor(away)) * _N_CELLS), _N_CELLS - 1)
        cells[0, place + 1] += weight[i] * mag[i]
        cells[1, place + 1] += weight[i]
        cells[2, place + 1] += 1.0
        if mag[i] > faintest[place]:
            faintest[place], its_weight[place] = mag[i], weight[i]
    for place in range(_N_CELLS):
        cells[:, place + 1] += cells[:, place]
    scale = _scatter(phase, mag, weight)
    half = max(int(0.5 * width * _N_CELLS), 3)
    first = _contrast(cells, faintest, its_weight, 0, half)[1]
    sigma, depth = np.full(_N_CELLS, np.nan), np.zeros(_N_CELLS)
    for place in range(4 * half, _N_CELLS - 4 * half, max(half // 2, 1)):
        sigma[place], depth[place] = _contrast(cells, faintest, its_weight, place, half)
    best, best_depth = -dip_sigma, 0.0
    for place in range(_N_CELLS):
        opposite = abs(place - _N_CELLS // 2) <= half
        beyond = sigma[place] / scale - (dip_sigma - 1.5 if opposite else dip_sigma)
        if beyond > best:
            best, best_depth = beyond, depth[place]
    return best, min(best_depth / max(first, 1e-12), 1.0)


@numba.njit(cache=True, nogil=True)
def _scatter(phase: FloatArray, mag: FloatArray, weight: FloatArray) -> float:
    """Scatter of neighbours in phase over that of their errors, at least 1; the median does not see eclipses."""
    order = np.argsort(phase - np.floor(phase))
    difference = np.empty(len(order) - 1)
    for i in range(len(order) - 1):
        first, second = order[i], order[i + 1]
        variance = 1.0 / weight[first] + 1.0 / weight[second]
        difference[i] = abs(mag[first] - mag[second]) / np.sqrt(variance)
    return max(1.4826 * np.median(difference), 1.0)


@numba.njit(cache=True, nogil=True)
def _contrast(
    cells: FloatArray, faintest: FloatArray, its_weight: FloatArray, place: int, half: int
) -> tuple[float, float]:
    """Mean of a window minus that of the windows beside it: over its error, and itself.

    The faintest point of the window does not count: one outlier makes no eclipse.
    """
    first, last = place - half + _N_CELLS, place + half + _N_CELLS
    left = _window(cells[1], first - 2 * half, first - half // 2)
    right = _window(cells[1], last + half // 2, last + 2 * half)
    if _window(cells[2], first, last) < 4 or left <= 0.0 or right <= 0.0:
        return np.nan, 0.0
    out = first % _N_CELLS
    for cell in range(first, last):
        if faintest[cell % _N_CELLS] > faintest[out]:
            out = cell % _N_CELLS
    weight = _window(cells[1], first, last) - its_weight[out]
    mean = (_window(cells[0], first, last) - its_weight[out] * faintest[out]) / weight
    at_left = _window(cells[0], first - 2 * half, first - half // 2) / left
    at_right = _window(cells[0], last + half // 2, last + 2 * half) / right
    depth = mean - 0.5 * (at_left + at_right)
    return depth / np.sqrt(1.0 / weight + 0.25 / left + 0.25 / right), depth


@numba.njit(cache=True, nogil=True)
def _axis(sine: FloatArray, cosine: FloatArray, variance: FloatArray, axis: float) -> float:
    """Misfit of the sine terms about an axis."""
    misfit = 0.0
    c_1, s_1 = np.cos(2.0 * np.pi * axis), np.sin(2.0 * np.pi * axis)
    c, s = c_1, s_1
    for k in range(len(sine)):
        about = sine[k] * c - cosine[k] * s
        misfit += about**2 / variance[k]
        c, s = c * c_1 - s * s_1, s * c_1 + c * s_1
    return misfit


@numba.njit(cache=True, nogil=True)
def _symmetry(
    cosine: FloatArray,
    sine: FloatArray,
    variance: FloatArray,
    tolerance: FloatArray,
    asymmetry: float,
) -> FloatArray:
    """Sine terms about the best axis: their relative size, significance, and log likelihood under both kinds of star.

    Relative to the size of all harmonics, the sine term of harmonic k is normal with the tolerance (that of the first
    one is the O'Connell effect) in a binary, and with ``asymmetry (2 / k)^2`` in a pulsator.
    """
    n = len(cosine)
    size = np.sqrt(np.sum(cosine**2 + sine**2))
    relative = variance / size**2
    width_binary, width_pulsator = np.empty(n), np.empty(n)
    for k in range(n):
        width_binary[k] = tolerance[0] if k == 0 else tolerance[1] * (2.0 / (k + 1)) ** 2
        width_pulsator[k] = width_binary[k] if k == 0 else asymmetry * (2.0 / (k + 1)) ** 2
    spread = relative + width_binary**2
    best, least = 0.0, np.inf
    relative_sine, relative_cosine = sine / size, cosine / size
    for i in range(_N_GRID):
        # Half a cycle is enough: an axis through a minimum is one through the maximum, too.
        misfit = _axis(relative_sine, relative_cosine, spread, 0.5 * i / _N_GRID)
        if misfit < least:
            best, least = 0.5 * i / _N_GRID, misfit
    reach = 0.25 / _N_GRID
    for _ in range(8):
        for trial in (best - reach, best + reach):
            misfit = _axis(relative_sine, relative_cosine, spread, trial)
            if misfit < least:
                best, least = trial, misfit
        reach *= 0.5
    result = np.zeros(4)
    for k in range(n):
        angle = 2.0 * np.pi * (k + 1) * best
        about = (sine[k] * np.cos(angle) - cosine[k] * np.sin(angle)) / size
        if k > 0:
            result[0] += about**2
            result[1] += about**2 / relative[k]
        wide = relative[k] + width_pulsator[k] ** 2
        result[2] -= 0.5 * (about**2 / spread[k] + np.log(spread[k]))
        result[3] -= 0.5 * (about**2 / wide + np.log(wide))
    result[0] = np.sqrt(result[0])
    n_terms = max(n - 1, 1)
    result[1] = (result[1] - n_terms) / np.sqrt(2.0 * n_terms)
    return result


@numba.njit(cache=True, nogil=True)
def _log_tail(sigma: float) -> float:
    """Log of the normal distribution function."""
    if sigma > -20.0:
        return math.log(0.5 * math.erfc(-sigma / math.sqrt(2.0)))
    return -0.5 * sigma**2 - math.log(-sigma * math.sqrt(2.0 * math.pi))


@numba.njit(cache=True, nogil=True)
def _odds_of_two(second: float, error: float, least: float) -> float:
    """Log odds that a second minimum is real: its depth is anything from a least one on, or nothing but noise."""
    within = 0.5 * (
        math.erf((1.0 - second) / error / math.sqrt(2.0)) - math.erf((least - second) / error / math.sqrt(2.0))
    )
    # A prominence cannot be negative: the noise is a normal distribution folded at zero.
    none = -0.5 * (second / error) ** 2 + math.log(2.0 / (error * math.sqrt(2.0 * math.pi)))
    return math.log(max(within, 1e-300) / (1.0 - least)) - none


@numba.njit(cache=True, nogil=True)
def measure_shape(  # noqa: PLR0917 - numba takes no keyword-only arguments from kernels
    place: int,
    points: FloatArray,
    frequency: float,
    sums: FloatArray,
    choice: npt.NDArray[np.int64],
    ridge: float,
    limits: FloatArray,
    scale: float,
    level_row: FloatArray,
    row: FloatArray,
) -> None:
    """Measure the shape of the cycle of one of the periods; for the best one, the phase of its minimum too."""
    step = STEPS[place]
    harmonic, _ = model_columns(choice[0], choice[1])
    upper, turned = factor_normal(sums, harmonic, ridge)
    coefficients = solve_model(upper, turned, len(turned))
    curve = _sampled(coefficients, harmonic, step)
    bottom, top = np.max(curve), np.min(curve)
    amplitude = bottom - top
    noise = np.sqrt(len(turned) * scale / sums[0, 0])
    faint = np.sum(curve > 0.5 * (bottom + top)) / _N_GRID
    n_low = 6
    cosine, sine, variance = np.zeros(n_low), np.zeros(n_low), np.full(n_low, 2.0 * scale / sums[0, 0])
    for k in range(len(harmonic)):
        j = harmonic[k] // step
        if j <= n_low:
            cosine[j - 1], sine[j - 1] = coefficients[2 * k + 1], coefficients[2 * k + 2]
            unit = np.zeros(len(turned))
            unit[2 * k + 1] = 1.0
            variance[j - 1] = scale * np.sum(turn_vector(upper, unit, len(turned)) ** 2)
    n_used = 2
    for j in range(2, n_low):
        if cosine[j] != 0.0:
            n_used = j + 1
    minimum = np.argmax(curve) / _N_GRID
    second = _second_minimum(curve)
    odds = _odds_of_two(second, np.hypot(noise / max(amplitude, 1e-12), 0.02), limits[2])
    if faint < limits[3]:
        phase = frequency * points[0] * (0.5 * step)
        dip, depth = _second_dip(phase, points[1], points[2], minimum, faint, limits[4])
        if depth < 0.03:
            dip, depth = -limits[4], 0.0
        # The odds of a normal tail. Harmonics ring beside minima this narrow; windows do not.
        odds_of_dip = _log_tail(dip) - _log_tail(-dip)
        if faint < 0.6 * limits[3] or odds_of_dip > odds:
            odds, second = odds_of_dip, depth
    level_row[1] = odds
    level_row[2] = second
    level_row[3] = faint
    level_row[4] = 0.5 * noise / max(amplitude, 1e-12)
    # In a binary, a cycle with one minimum is the mean of two halves of an orbit: it has no two maxima that could
    # differ, and other asymmetries of the halves, which are independent, average out.
    of_mean = limits[1] / np.sqrt(2.0)
    tolerance = np.array([limits[0], limits[1]]) if odds > 0.0 else np.array([of_mean, of_mean])
    level_row[5:9] = _symmetry(cosine[:n_used], sine[:n_used], variance[:n_used], tolerance, limits[5])
    if row[6] != place:
        return
    row[7], row[8] = _extremum(coefficients, harmonic, upper, step, minimum)
    row[8], row[9] = np.sqrt(row[8] * scale), amplitude
