"""Kernels of the period check: the measurement of a star, and of many."""

import numba
import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray
from cbminer.lightcurves.circle import harmonic_series, trigonometric_sums, unit_circle
from cbminer.lightcurves.normal_equations import factor_normal, series_of, solve_model
from cbminer.lightcurves.period_fit import (
    ORDER_MAX,
    ORDER_USUAL,
    STEPS,
    best_of_grid,
    deviance,
    frequency_variance,
    model_columns,
    model_table,
    refine_frequency,
)
from cbminer.lightcurves.period_shape import measure_shape

__all__ = ["FIGURES", "LEVELS", "LEVEL_FIGURES", "judge_trials", "measure_stars"]

# Periods that a curve can have, in units of the listed one.
LEVELS = (0.25, 0.5, 1.0, 2.0)

# Columns of the result: figures of a star, then one block of figures for each of the four periods.
FIGURES = (
    "n_used",
    "frequency",
    "e_frequency",
    "at_edge",
    "incoherent",
    "bic_constant",
    "level",
    "phase_minimum",
    "e_phase_minimum",
    "amplitude",
    "odd_sigma",
    "mean_time",
    "n_harmonics",
    "reduced_chi2",
)
LEVEL_FIGURES = (
    "bic",
    "two_minima",
    "depth_ratio",
    "faint_share",
    "e_faint_share",
    "asymmetry",
    "asymmetry_sigma",
    "symmetric",
    "asymmetric",
)
_N_STAR = 14
_N_LEVEL = 9


@numba.njit(cache=True, nogil=True)
def _usable(time: FloatArray, mag: FloatArray, mag_err: FloatArray, error_floor: float) -> tuple[FloatArray, float]:
    """Good points, as rows of times from their mean, magnitudes from the weighted mean, and weights; the mean time."""
    good = np.flatnonzero(np.isfinite(time) & np.isfinite(mag) & (mag_err > 0.0) & np.isfinite(mag_err))
    points = np.empty((3, len(good)))
    if len(good) == 0:
        return points, np.nan
    middle = float(np.mean(time[good]))
    points[0] = time[good] - middle
    points[2] = 1.0 / (mag_err[good] ** 2 + error_floor**2)
    points[1] = mag[good] - np.sum(points[2] * mag[good]) / np.sum(points[2])
    return points, middle


@numba.njit(cache=True, nogil=True)
def _outliers(
    points: FloatArray,
    frequency: float,
    sums: FloatArray,
    harmonic: npt.NDArray[np.int64],
    ridge: float,
    step: int,
) -> npt.NDArray[np.bool_]:
    """Points off the model and off their neighbours in phase, by five times the scatter and a third of the range.

    None if they are many. An eclipse that the harmonics round off stays if it has three points, and so does one that a
    wrong period scatters over all phases.
    """
    time, mag, weight = points
    n = len(time)
    upper, turned = factor_normal(sums, harmonic, ridge)
    highest = int(np.max(harmonic))
    series = series_of(solve_model(upper, turned, len(turned)), harmonic, highest)
    model, _ = harmonic_series(unit_circle(0.5 * frequency * time), series, highest)
    off = np.abs(mag - model)
    sigma = off * np.sqrt(weight)
    reach = 0.35 * (np.max(model) - np.min(model))
    # The scatter raises this limit or leaves it, so that most curves need no median.
    outlying: npt.NDArray[np.bool_] = (sigma > 5.0) & (off > reach)
    if not outlying.any():
        return outlying
    outlying &= sigma > 5.0 * max(1.4826 * np.median(sigma), 1.0)
    if not outlying.any():
        return outlying
    cycles = 0.5 * step * frequency * time
    order = np.argsort(cycles - np.floor(cycles))
    near = np.empty(5)
    for i in range(n):
        place = order[i]
        if outlying[place]:
            for k in range(5):
                near[k] = mag[order[(i + k - 2) % n]]
            outlying[place] = abs(mag[place] - np.median(near)) > reach
    if np.sum(outlying) > 0.03 * n:
        outlying[:] = False
    return outlying


@numba.njit(cache=True, nogil=True)
def _highest_order(n_points: int) -> int:
    """Highest harmonic of 2P that the points carry, a column in three of them."""
    return min(max((n_points // 3 - 1) // 2, 2) * 2, ORDER_MAX)


@numba.njit(cache=True, nogil=True)
def _settle(
    points: FloatArray, frequency: float, baseline: float, ridge: float, least_scale: float
) -> tuple[FloatArray, float, FloatArray, FloatArray]:
    """Alternate between the choice of a model and its frequency, and leave outliers out.

    Returns the points kept, the frequency, the table of models and the sums that they were made from.
    """
    n = points.shape[1]
    orders = (0, min(_highest_order(n), ORDER_USUAL))
    table = np.full((4, 4), np.inf)
    for attempt in range(3):
        time, mag, weight = points
        sums = trigonometric_sums(unit_circle(0.5 * frequency * time), mag, weight, orders[1])
        if orders[0] == 0:
            table[:] = np.inf
        model_table(sums, np.sum(weight * mag**2), n, ridge, least_scale, orders, table)
        place = int(np.argmin(table[:, 0]))
        order = int(table[place, 1])
        harmonic, _ = model_columns(order, int(table[place, 2]))
        before = frequency
        frequency = refine_frequency((time, mag, weight), frequency, harmonic, ridge, 0.05 / baseline)
        if attempt == 0:
            good = ~_outliers(points, frequency, sums, harmonic, ridge, STEPS[place])
            if not good.all():
                points = points[:, good]
                n = points.shape[1]
                orders = (0, min(_highest_order(n), ORDER_USUAL))
                continue
        # Models are compared at the best frequency, and narrow minima with all harmonics that the points carry.
        if order == ORDER_USUAL and _highest_order(n) > ORDER_USUAL:
            orders = (ORDER_USUAL, _highest_order(n))
        elif abs(frequency - before) * baseline < 0.2 / order:
            break
        else:
            orders = (0, orders[1])
    return points, frequency, table, sums


@numba.njit(cache=True, nogil=True)
def _can_be_measured(points: FloatArray, period: float, limits: FloatArray) -> bool:
    """Whether the points are enough, and cover two cycles of a period that is one."""
    if points.shape[1] < limits[10] or not (period > 0.0 and np.isfinite(period)):
        return False
    if np.max(points[0]) - np.min(points[0]) < 2.0 * period:
        return False
    varies: bool = np.sum(points[2] * points[1] ** 2) > 0.0
    return varies


@numba.njit(cache=True, nogil=True)
def _best_models(
    points: FloatArray, period: float, limits: FloatArray
) -> tuple[FloatArray, float, FloatArray, FloatArray, float, float]:
    """Find the frequency near a listed period whose models are best, and these models.

    Returns what `_settle` returns, the ridge, and 1.0 if the frequency runs off.
    """
    time, mag, weight = points
    n, listed, baseline = len(time), 1.0 / period, np.max(time) - np.min(time)
    reach, n_side = limits[6] / baseline, _steps_aside(limits)
    ridge = 0.25 * np.sum(weight) / np.sum(weight * mag**2)
    step = best_of_grid(time, mag, weight, listed, reach, n_side)
    start, _ = model_columns(8, max((n // 4 - 1) // 2, 2))
    frequency = refine_frequency((time, mag, weight), listed + reach * step / n_side, start, ridge, 0.1 / baseline)
    points, frequency, table, sums = _settle(points, frequency, baseline, ridge, limits[8])
    at_edge = 1.0 if abs(frequency - listed) >= reach * (1.0 - 0.5 / n_side) else 0.0
    return points, frequency, table, sums, ridge, at_edge


@numba.njit(cache=True, nogil=True)
def _steps_aside(limits: FloatArray) -> int:
    """Count the steps of the grid of frequencies on either side of the listed one."""
    return int(np.ceil(40 * limits[6]))


@numba.njit(cache=True, nogil=True)
def _constant_bic(total: float, n_points: int, limits: FloatArray) -> float:
    """BIC of a constant star of this chi-square: the best of all steps of the grid fits noise better than one would."""
    least = deviance(total, n_points, limits[8]) + np.log(n_points)
    return float(least - 2.0 * np.log(2.0 * _steps_aside(limits) + 1.0))


@numba.njit(cache=True, nogil=True)
def _measure(points: FloatArray, period: float, limits: FloatArray, row: FloatArray, level_rows: FloatArray) -> None:
    """Measure one star; see `measure_stars`."""
    points, frequency, table, sums, ridge, at_edge = _best_models(points, period, limits)
    place = int(np.argmin(table[:, 0]))
    harmonic, _ = model_columns(int(table[place, 1]), int(table[place, 2]))
    _, turned = factor_normal(sums, harmonic, ridge)
    n, n_terms = points.shape[1], len(turned)
    total = np.sum(points[2] * points[1] ** 2) - turned[0] ** 2
    chi2 = max(total - np.sum(turned[1:] ** 2), 1e-9)
    variance = frequency_variance((points[0], points[1], points[2]), frequency, harmonic, ridge)
    scale = max(chi2 / max(n - n_terms - 1, 1), 1.0)
    noise = n * limits[9] ** 2
    row[0], row[1], row[2] = n, frequency, np.sqrt(variance)
    row[3] = at_edge
    row[4] = max(chi2 - noise, 0.0) / (total - noise) if total > noise else 0.0
    row[5] = _constant_bic(total, n, limits)
    row[6], row[10], row[12], row[13] = place, table[3, 3], len(harmonic), chi2 / max(n - n_terms, 1)
    for other in range(4):
        level_rows[other, 0] = table[other, 0]
        # Others have no weight worth their shape.
        if table[other, 0] < table[place, 0] + 20.0:
            choice = table[other, 1:3].astype(np.int64)
            measure_shape(other, points, frequency, sums, choice, ridge, limits, scale, level_rows[other], row)


@numba.njit(cache=True, nogil=True)
def measure_stars(
    time: FloatArray,
    mag: npt.NDArray[np.float32],
    mag_err: npt.NDArray[np.float32],
    offsets: npt.NDArray[np.int64],
    period: FloatArray,
    limits: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Measure the period and the shape of the cycle of every star.

    Parameters
    ----------
    time, mag, mag_err : `~numpy.ndarray`
        Points of all stars.
    offsets : `~numpy.ndarray`
        Where each star begins, shape (n + 1,).
    period : `~numpy.ndarray`
        Listed periods in days, shape (n,).
    limits : `~numpy.ndarray`
        Numbers of the settings, in the order of `cbminer.lightcurves.periods`.

    Returns
    -------
    figures : `~numpy.ndarray`
        `FIGURES` of every star, NaN where it was not measured, shape (n, 14).
    level_figures : `~numpy.ndarray`
        `LEVEL_FIGURES` of every star and period of `LEVELS`, NaN for a period that is out of the question,
        shape (n, 4, 9).
    """
    n_stars = len(offsets) - 1
    figures = np.full((n_stars, _N_STAR), np.nan)
    level_figures = np.full((n_stars, 4, _N_LEVEL), np.nan)
    for star in range(n_stars):
        of_star = slice(offsets[star], offsets[star + 1])
        points, figures[star, 11] = _usable(
            time[of_star], mag[of_star].astype(np.float64), mag_err[of_star].astype(np.float64), limits[7]
        )
        figures[star, 0] = points.shape[1]
        if _can_be_measured(points, period[star], limits):
            _measure(points, period[star], limits, figures[star], level_figures[star])
    return figures, level_figures


@numba.njit(cache=True, nogil=True)
def judge_trials(
    time: FloatArray,
    mag: npt.NDArray[np.float32],
    mag_err: npt.NDArray[np.float32],
    offsets: npt.NDArray[np.int64],
    period: FloatArray,
    limits: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Find how good the best model near another period is, which takes less than to measure what it looks like.

    Parameters
    ----------
    time, mag, mag_err, offsets, period, limits
        As for `measure_stars`.

    Returns
    -------
    frequency : `~numpy.ndarray`
        Refined frequencies in cycles a day, shape (n,); NaN where a star cannot be measured.
    gain : `~numpy.ndarray`
        How much lower the BIC is than that of a constant star, shape (n,); -inf where it cannot be measured or the
        frequency runs off.
    """
    n_stars = len(offsets) - 1
    frequency, gain = np.full(n_stars, np.nan), np.full(n_stars, -np.inf)
    for star in range(n_stars):
        of_star = slice(offsets[star], offsets[star + 1])
        points, _ = _usable(
            time[of_star], mag[of_star].astype(np.float64), mag_err[of_star].astype(np.float64), limits[7]
        )
        if not _can_be_measured(points, period[star], limits):
            continue
        points, frequency[star], table, sums, _, at_edge = _best_models(points, period[star], limits)
        if at_edge == 0.0:
            total = np.sum(points[2] * points[1] ** 2) - sums[2, 0] ** 2 / sums[0, 0]
            gain[star] = _constant_bic(total, points.shape[1], limits) - np.min(table[:, 0])
    return frequency, gain
