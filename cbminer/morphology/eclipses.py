"""Minima and maxima of the smooth curve through a light curve: depths, widths, contacts, the O'Connell effect.

Every figure is taken from the fit and from draws of its posterior. Their spread is the standard error, and their mean
shows the bias of a maximum over noisy points, which is taken off.
"""

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray
from cbminer.morphology.minima import second_minimum
from cbminer.morphology.spline import N_KNOTS, SplineFits, spline_places

__all__ = ["FIGURES", "N_DRAWS", "N_HALF", "CurveFigures", "curve_figures", "temperature_ratio"]

# Draws of the posterior, in pairs of opposite sign, so that their mean is off by what is curved alone.
N_DRAWS = 20
# Points of a normalised half curve from the deeper minimum to half a cycle later: 1000 a cycle (Bodi & Hajdu 2021).
N_HALF = 501
_N_GRID = 1000
_GRID = np.arange(_N_GRID) / _N_GRID - 0.5

FIGURES = (
    "depth1",
    "depth2",
    "depth_difference",
    "phase_secondary",
    "oconnell",
    "eclipse_width1",
    "eclipse_width2",
    "contact_angle1",
    "contact_angle2",
    "depth_ratio",
    "phase_zero",
)
# Figures that a light curve has only if its other minimum is seen, and the significance of one that is.
_OF_BOTH_MINIMA = np.array(
    [FIGURES.index(name) for name in ("phase_secondary", "oconnell", "eclipse_width2", "contact_angle2", "depth_ratio")]
)
_DEPTH2, _PHASE_ZERO = FIGURES.index("depth2"), FIGURES.index("phase_zero")
_ANGLES = np.array([FIGURES.index(name) for name in ("contact_angle1", "contact_angle2")])
_SEEN, _HALF_TURN = 3.0, 180.0
_N_FIGURES = len(FIGURES)
_LOWEST_FLUX = 1e-3
# Share of the bias among the draws that the fit itself has: between 1 for dense and 0.5 for noisy curves, measured on
# injected ones.
_BIAS = 0.75
# Widths and contacts also feel where the knots lie, which the posterior does not know: measured on injected curves.
_INFLATION = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.25, 1.25, 1.25, 1.25, 1.0, 1.0])
# Share of the depth between which the flank of an eclipse is taken as straight.
_FLANK = (0.3, 0.7)
# Reach of the search for an extremum of a draw about that of the fit, in points of the grid.
_REACH = 40

# Constants of Planck's law: h c / k in K um (CODATA 2018).
_HC_OVER_K = 14387.768775


class CurveFigures(NamedTuple):
    """Figures of n fits.

    Attributes
    ----------
    value, error : `~numpy.ndarray`
        Figures in the order of `FIGURES` and their standard errors, shape (n, len(FIGURES)); magnitudes, cycles,
        degrees for the contact angles; phase_zero is counted along the grid here. NaN where a star has no fit or a
        minimum is no minimum.
    phase_zero, maximum : `~numpy.ndarray`
        Phase of the deeper minimum in the phases of the fit, and the flux at maximum.
    half : `~numpy.ndarray`
        Magnitudes from 0 at the faintest to 1 at the brightest point, the mean of both sides of the deeper minimum,
        of the fit and of each draw; float32, shape (n, N_DRAWS + 1, N_HALF).
    oddness : `~numpy.ndarray`
        Root mean square of half the difference of both sides, shape (n,).
    """

    value: FloatArray
    error: FloatArray
    phase_zero: FloatArray
    maximum: FloatArray
    half: npt.NDArray[np.float32]
    oddness: FloatArray


def curve_figures(fits: SplineFits) -> CurveFigures:
    """Measure fits.

    Parameters
    ----------
    fits : SplineFits
        Fits of n stars.

    Returns
    -------
    CurveFigures
        Their figures.
    """
    figures, linear, lone, phase_zero, maximum, half, oddness = _measure(
        fits.stretch, fits.centre, fits.secondary, fits.coefficients, fits.factor
    )
    fit, draws = figures[:, 0], figures[:, 1:]
    # A draw whose minimum lies across the end of the grid is no cycle away.
    offset = draws[:, :, _PHASE_ZERO] - fit[:, None, _PHASE_ZERO]
    draws[:, :, _PHASE_ZERO] = fit[:, None, _PHASE_ZERO] + (offset + 0.5) % 1.0 - 0.5
    known = np.isfinite(draws).all(axis=1) & np.isfinite(fit)
    mean = np.where(known, np.where(np.isfinite(draws), draws, 0.0).mean(axis=1), np.nan)
    spread = np.where(np.isfinite(draws), draws, 0.0) - np.where(known, mean, 0.0)[:, None]
    # Pairs of opposite draws: each pair is one independent look at the spread, with no degree lost to the mean.
    error = np.where(known, np.sqrt(np.mean(spread**2, axis=1)), np.nan)
    # Draws are rougher than the fit, so that the bias among them is larger than that of the fit itself.
    value = np.where(known, fit - _BIAS * (mean - fit), np.nan)
    error *= _INFLATION
    # Differences of magnitudes have their errors from the covariance itself.
    error = np.where(np.isnan(linear) | ~known, error, linear)
    with np.errstate(invalid="ignore"):
        unseen = lone | ~(value[:, _DEPTH2] > _SEEN * error[:, _DEPTH2])
        value[:, _ANGLES] = np.where(value[:, _ANGLES] < _HALF_TURN, value[:, _ANGLES], np.nan)
    value[np.ix_(unseen, _OF_BOTH_MINIMA)] = np.nan
    error[np.isnan(value)] = np.nan
    return CurveFigures(value, error, phase_zero, maximum, half, oddness)


@numba.njit(cache=True, nogil=True)
def _measure(
    stretch: npt.NDArray[np.int64],
    centre: FloatArray,
    secondary: FloatArray,
    coefficients: FloatArray,
    factor: FloatArray,
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_], FloatArray, FloatArray, npt.NDArray[np.float32], FloatArray]:
    n_stars = len(stretch)
    n_draws = N_DRAWS
    figures = np.full((n_stars, n_draws + 1, _N_FIGURES), np.nan)
    linear = np.full((n_stars, _N_FIGURES), np.nan)
    lone = np.zeros(n_stars, dtype=np.bool_)
    normal = np.empty((n_draws, N_KNOTS))
    phase_zero, maximum = np.full(n_stars, np.nan), np.full(n_stars, np.nan)
    half = np.zeros((n_stars, n_draws + 1, 501), dtype=np.float32)
    oddness = np.full(n_stars, np.nan)
    curve, drawn = np.empty(_N_GRID), np.empty(N_KNOTS)
    for star in range(n_stars):
        if stretch[star] < 0:
            continue
        first, weight = spline_places(_GRID, secondary[star], stretch[star])
        _evaluate(first, weight, coefficients[star], curve)
        primary = int(np.argmin(curve))
        if curve[primary] <= _LOWEST_FLUX:
            # A fit whose flux touches zero describes no star.
            continue
        other = second_minimum(curve, primary)
        if other < 0:
            # Without a minimum of its own, the other depth is that of the opposite phase, and nothing else is known.
            lone[star] = True
            other = (primary + _N_GRID // 2) % _N_GRID
        start = _measure_curve(curve, primary, other, figures[star, 0])
        phase_zero[star] = (centre[star] + start / _N_GRID - 0.5) % 1.0
        maximum[star] = np.max(curve)
        oddness[star] = _normalise(curve, start, half[star, 0])
        _linear_errors(curve, primary, other, first, weight, factor[star], linear[star])
        _fill_normal(coefficients[star], normal)
        for draw in range(n_draws):
            _draw(coefficients[star], factor[star], normal[draw], drawn)
            _evaluate(first, weight, drawn, curve)
            at, at_other = _lowest(curve, primary, _REACH), _lowest(curve, other, _REACH)
            start = _measure_curve(curve, at, at_other, figures[star, draw + 1])
            _normalise(curve, start, half[star, draw + 1])
    return figures, linear, lone, phase_zero, maximum, half, oddness


@numba.njit(cache=True, nogil=True, fastmath=True)
def _draw(coefficients: FloatArray, factor: FloatArray, normal: FloatArray, drawn: FloatArray) -> None:
    """Fill in coefficients drawn from the posterior, whose factor is an upper triangle."""
    for row in range(N_KNOTS):
        factors, numbers = factor[row, row:], normal[row:]
        total = coefficients[row]
        for k in range(len(factors)):
            total += factors[k] * numbers[k]
        drawn[row] = total


@numba.njit(cache=True, nogil=True)
def _fill_normal(coefficients: FloatArray, normal: FloatArray) -> None:
    """Fill in standard normal numbers in pairs of opposite sign, from a seed that the star's own fit gives.

    The result of a star must depend neither on the stars beside it nor on numbers that all stars share: those would
    make the same error of their spread for every star. The generator is splitmix64 (Steele et al. 2014, OOPSLA).
    """
    state = np.uint64(0x9E3779B97F4A7C15)
    for value in coefficients:
        whole = np.uint64(np.int64(value * 1e6))
        state = _mixed(state ^ whole)
    half = len(normal) // 2
    for row in range(half):
        for column in range(0, normal.shape[1], 2):
            state += np.uint64(0x9E3779B97F4A7C15)
            one = (float(_mixed(state) >> np.uint64(11)) + 0.5) / 9007199254740992.0
            state += np.uint64(0x9E3779B97F4A7C15)
            other = (float(_mixed(state) >> np.uint64(11)) + 0.5) / 9007199254740992.0
            radius, angle = np.sqrt(-2.0 * np.log(one)), 2.0 * np.pi * other
            normal[row, column], normal[row, column + 1] = radius * np.cos(angle), radius * np.sin(angle)
        normal[row + half] = -normal[row]


@numba.njit(cache=True, nogil=True)
def _mixed(state: np.uint64) -> np.uint64:
    z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@numba.njit(cache=True, nogil=True)
def _linear_errors(
    curve: FloatArray,
    primary: int,
    other: int,
    first: npt.NDArray[np.int64],
    weight: FloatArray,
    factor: FloatArray,
    errors: FloatArray,
) -> None:
    """Fill in the errors of depths and of the O'Connell effect: differences of magnitudes at two points of the grid."""
    n = len(curve)
    separation = (other - primary) % n
    following, preceding = primary, other
    at = primary
    for step in range(n):
        if step < separation:
            if curve[at] > curve[following]:
                following = at
        elif curve[at] > curve[preceding]:
            preceding = at
        at = at + 1 if at + 1 < n else 0
    top = following if curve[following] >= curve[preceding] else preceding
    errors[0] = _error_between(curve, primary, top, first, weight, factor)
    errors[1] = _error_between(curve, other, top, first, weight, factor)
    errors[2] = _error_between(curve, primary, other, first, weight, factor)
    errors[4] = _error_between(curve, preceding, following, first, weight, factor)


@numba.njit(cache=True, nogil=True)
def _error_between(
    curve: FloatArray, a: int, b: int, first: npt.NDArray[np.int64], weight: FloatArray, factor: FloatArray
) -> float:
    """Error of the difference of the magnitudes of a curve at two points."""
    gradient = np.zeros(N_KNOTS)
    for k in range(4):
        gradient[(first[a] + k) % N_KNOTS] += weight[a, k] / curve[a]
        gradient[(first[b] + k) % N_KNOTS] -= weight[b, k] / curve[b]
    projected = np.zeros(N_KNOTS)
    for row in range(N_KNOTS):
        # Only eight at most are not zero.
        if gradient[row] != 0.0:
            for column in range(row, N_KNOTS):
                projected[column] += factor[row, column] * gradient[row]
    return float(2.5 / np.log(10.0) * np.sqrt(np.sum(projected**2)))


@numba.njit(cache=True, nogil=True)
def _evaluate(first: npt.NDArray[np.int64], weight: FloatArray, coefficients: FloatArray, curve: FloatArray) -> None:
    around = np.empty(N_KNOTS + 3)
    around[:N_KNOTS] = coefficients
    around[N_KNOTS:] = coefficients[:3]
    for i in range(len(curve)):
        k = first[i]
        total = (
            weight[i, 0] * around[k]
            + weight[i, 1] * around[k + 1]
            + weight[i, 2] * around[k + 2]
            + weight[i, 3] * around[k + 3]
        )
        curve[i] = max(total, _LOWEST_FLUX)


@numba.njit(cache=True, nogil=True)
def _lowest(curve: FloatArray, about: int, reach: int) -> int:
    """Place of the lowest point within a reach."""
    n = len(curve)
    best, place = np.inf, about % n
    at = (about - reach) % n
    for _ in range(2 * reach + 1):
        if curve[at] < best:
            best, place = curve[at], at
        at = at + 1 if at + 1 < n else 0
    return place


@numba.njit(cache=True, nogil=True)
def _measure_curve(curve: FloatArray, primary: int, other: int, figures: FloatArray) -> float:
    """Fill in the figures of one curve; return the place of the middle of the deeper minimum on the grid."""
    n = len(curve)
    separation = (other - primary) % n
    following, preceding = 0.0, 0.0
    at_following, at_preceding = primary, primary
    at = primary
    for step in range(n):
        here = curve[at]
        if step < separation:
            if here > following:
                following, at_following = here, step
        elif here > preceding:
            preceding, at_preceding = here, step
        # A remainder costs more than the rest of the loop.
        at = at + 1 if at + 1 < n else 0
    top = max(following, preceding)
    figures[0] = 2.5 * np.log10(top / curve[primary])
    figures[1] = 2.5 * np.log10(top / curve[other])
    figures[2] = figures[0] - figures[1]
    figures[4] = 2.5 * np.log10(preceding / following)
    figures[9] = (top - curve[other]) / (top - curve[primary]) if top > curve[primary] else np.nan
    middle_1 = _eclipse(curve, primary, at_following, n - at_preceding, following, preceding, figures[5:9], 0)
    middle_2 = _eclipse(
        curve, other, at_preceding - separation, separation - at_following, preceding, following, figures[5:9], 1
    )
    figures[3] = ((middle_2 - middle_1) / n) % 1.0
    figures[10] = middle_1 / n
    return middle_1


@numba.njit(cache=True, nogil=True)
def _eclipse(
    curve: FloatArray,
    bottom: int,
    ahead: int,
    behind: int,
    top_ahead: float,
    top_behind: float,
    widths: FloatArray,
    which: int,
) -> float:
    """Width at half depth and contact angle of one minimum; return its middle, half way between both flanks.

    A contact is where the straight line through the flank reaches the maximum on its side.
    """
    n = len(curve)
    low = curve[bottom]
    crossing = np.empty((2, 3))
    for side in range(2):
        reach, top, way = (ahead, top_ahead, 1) if side == 0 else (behind, top_behind, -1)
        for k in range(3):
            share = 0.5 if k == 1 else _FLANK[k // 2]
            level = low + share * (top - low)
            crossing[side, k] = np.nan
            before, at = low, bottom
            for step in range(1, reach + 1):
                at += way
                at = at - n if at >= n else (at + n if at < 0 else at)
                here = curve[at]
                if here >= level:
                    crossing[side, k] = step - 1 + (level - before) / (here - before) if here > before else step
                    break
                before = here
    width = crossing[0, 1] + crossing[1, 1]
    if np.isnan(width):
        return float(bottom)
    widths[which] = width / n
    contact = 0.0
    for side in range(2):
        run = crossing[side, 2] - crossing[side, 0]
        contact += crossing[side, 2] + run * (1.0 - _FLANK[1]) / (_FLANK[1] - _FLANK[0])
    widths[2 + which] = 0.5 * contact / n * 360.0
    return float(bottom + 0.5 * (crossing[0, 1] - crossing[1, 1]))


@numba.njit(cache=True, nogil=True)
def _normalise(curve: FloatArray, start: float, half: npt.NDArray[np.float32]) -> float:
    """Fold a curve about a place of the grid in magnitudes, 0 at the faintest and 1 at the brightest point."""
    n = len(curve)
    faintest, brightest = np.log(np.min(curve)), np.log(np.max(curve))
    reach = max(brightest - faintest, 1e-12)
    whole = int(np.floor(start))
    rest = start - whole
    odd = 0.0
    ahead = behind = whole % n
    for i in range(len(half)):
        beyond = ahead + 1 if ahead + 1 < n else 0
        before = behind + 1 if behind + 1 < n else 0
        one = (1.0 - rest) * curve[ahead] + rest * curve[beyond]
        other = (1.0 - rest) * curve[behind] + rest * curve[before]
        # The mean of both sides as flux: a logarithm less, and the same to first order.
        mean = 0.5 * (one + other)
        half[i] = (np.log(mean) - faintest) / reach
        odd += (0.5 * (one - other) / mean) ** 2
        ahead, behind = beyond, behind - 1 if behind > 0 else n - 1
    return float(np.sqrt(odd / len(half)) / reach)


def temperature_ratio(
    depth_ratio: FloatArray, e_depth_ratio: FloatArray, *, teff: float, wavelength: float
) -> tuple[FloatArray, FloatArray]:
    """Ratio of the cooler to the hotter temperature that the depths of both eclipses imply.

    On a circular orbit both eclipses hide areas of equal size, so that the light lost is in proportion to the surface
    brightness, taken as that of black bodies at one wavelength.

    Parameters
    ----------
    depth_ratio, e_depth_ratio : `~numpy.ndarray`
        Light lost in the shallower eclipse over that lost in the deeper one, and its error.
    teff : float
        Temperature of the hotter star in K. In the Rayleigh-Jeans limit the ratio does not depend on it.
    wavelength : float
        Effective wavelength of the band in um.

    Returns
    -------
    ratio, error : `~numpy.ndarray`
        Ratio of the temperatures and its error.
    """
    hot = _HC_OVER_K / (wavelength * teff)
    with np.errstate(invalid="ignore", divide="ignore"):
        positive = np.where(depth_ratio > 0, depth_ratio, np.nan)
        inside = 1.0 + np.expm1(hot) / positive
        cool = np.log(inside)
        ratio = hot / cool
        # d(ratio)/d(depth_ratio) = hot / cool^2 * (inside - 1) / (inside * depth_ratio)
        slope = hot / cool**2 * (inside - 1.0) / (inside * positive)
    return ratio, slope * e_depth_ratio
