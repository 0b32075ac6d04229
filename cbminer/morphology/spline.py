"""A smooth periodic curve through a folded light curve that hardly rings beside narrow eclipses.

A harmonic series of low order overshoots where a narrow eclipse begins. Here the flux is a periodic cubic spline
with a penalty on its roughness (Eilers & Marx 1996, Statistical Science 11, 89), uniform in a phase that is stretched
about both minima. Stretch and smoothness are those of highest restricted likelihood (Wood 2011, J. R. Stat. Soc. B 73,
3), so that a contact binary gets a stiff curve and a detached one a curve that bends in its eclipses alone.
"""

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray
from cbminer.lightcurves.circle import unit_circle

__all__ = ["N_KNOTS", "STRETCHES", "SplineFits", "evaluate_splines", "fit_splines", "spline_basis", "spline_places"]

# Knots a cycle. With the narrowest stretch they stand 0.002 cycles apart at the bottom of an eclipse.
N_KNOTS = 48
# Half widths in cycles of the stretched intervals about both minima; 0 leaves the phase as it is.
STRETCHES = np.array([0.0, 0.12, 0.06, 0.03, 0.015, 0.0075])
# Knots in each stretched interval over those of the rest of the cycle.
_SHARE = 1.0
# Logarithms of the penalty over the mean weight of a knot.
_PENALTIES = 10.0 ** np.linspace(-2.5, 5.0, 16)
# A finer penalty improves the criterion by less than this.
_COARSE = 8.0
# A dip of the fit must hold this many points below this share of its depth, most of all points there: a spline that is
# stretched enough goes through any single point.
_SUPPORT = 4
_SUPPORT_LEVEL = 0.3
_SUPPORT_SHARE = 0.6
# Points farther from the fit than this many sigma count less, with the square of their distance.
_ROBUST = 3.0
_ROBUST_ROUNDS = 3
# Window in which narrow dips are sought, cycles, and the significance that makes one.
_WINDOW = 0.02
_DIP_SIGMA = 5.0
# Beside the place where the tangent has no bounds.
_LEAST_COSINE = 1e-20
# A fit is done again where its minima lie farther from those assumed than this share of the stretch.
_RECENTRE = 0.3


class SplineFits(NamedTuple):
    """Splines of n stars.

    Attributes
    ----------
    stretch : `~numpy.ndarray`
        Place in `STRETCHES` of each star, -1 for a star without a fit; int64.
    centre, secondary : `~numpy.ndarray`
        Phases about which the phase is stretched, the second relative to the first.
    coefficients : `~numpy.ndarray`
        Coefficients of the basis, shape (n, N_KNOTS).
    factor : `~numpy.ndarray`
        Matrices whose product with their transpose is the covariance of the coefficients, shape
        (n, N_KNOTS, N_KNOTS): with standard normal numbers they give draws from the posterior.
    variance : `~numpy.ndarray`
        Variance of the residuals over that of the stated errors, 1 at least; the factors hold it.
    freedom : `~numpy.ndarray`
        Effective number of terms of each fit.
    """

    stretch: npt.NDArray[np.int64]
    centre: FloatArray
    secondary: FloatArray
    coefficients: FloatArray
    factor: FloatArray
    variance: FloatArray
    freedom: FloatArray


@numba.njit(cache=True, nogil=True)
def _stretched(phase: float, secondary: float, width: float) -> float:
    """Stretched phase in [0, 1): the distribution of a uniform and two wrapped Cauchy densities."""
    if width == 0.0:
        return phase % 1.0
    rho = np.exp(-2.0 * np.pi * width)
    slope = (1.0 + rho) / (1.0 - rho)
    total = phase + _SHARE * (_cauchy(phase, slope) + _cauchy(phase - secondary, slope))
    return (total / (1.0 + 2.0 * _SHARE)) % 1.0


@numba.njit(cache=True, nogil=True)
def _cauchy(phase: float, slope: float) -> float:
    """Cumulative wrapped Cauchy distribution about 0, for any real phase."""
    turns = np.floor(phase + 0.5)
    return float(turns + np.arctan(slope * np.tan(np.pi * (phase - turns))) / np.pi)


@numba.njit(cache=True, nogil=True)
def _weights(place: float) -> tuple[int, float, float, float, float]:
    """First of the four splines that are not zero at a stretched phase, and their values."""
    scaled = place * N_KNOTS
    first = int(np.floor(scaled))
    t = scaled - first
    u = 1.0 - t
    return (
        first % N_KNOTS,
        u * u * u / 6.0,
        (3.0 * t * t * t - 6.0 * t * t + 4.0) / 6.0,
        (3.0 * u * u * u - 6.0 * u * u + 4.0) / 6.0,
        t * t * t / 6.0,
    )


@numba.njit(cache=True, nogil=True)
def spline_places(phase: FloatArray, secondary: float, stretch: int) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """First of the four basis functions that are not zero at each phase, and the values of the four.

    Parameters
    ----------
    phase : `~numpy.ndarray`
        Phases from the centre of the fit, shape (k,).
    secondary : float
        Phase of the other minimum, from the centre too.
    stretch : int
        Place in `STRETCHES`.

    Returns
    -------
    first : `~numpy.ndarray`
        Places of the first functions, shape (k,).
    weight : `~numpy.ndarray`
        Values, shape (k, 4).
    """
    first, weight = np.empty(len(phase), dtype=np.int64), np.empty((len(phase), 4))
    for i in range(len(phase)):
        place, w0, w1, w2, w3 = _weights(_stretched(phase[i], secondary, STRETCHES[stretch]))
        first[i] = place
        weight[i, 0], weight[i, 1], weight[i, 2], weight[i, 3] = w0, w1, w2, w3
    return first, weight


def spline_basis(phase: FloatArray, secondary: float, stretch: int) -> FloatArray:
    """Values of all basis functions; see `spline_places` for the parameters.

    Parameters
    ----------
    phase, secondary, stretch
        As there.

    Returns
    -------
    `~numpy.ndarray`
        Shape (k, N_KNOTS).
    """
    first, weight = spline_places(phase, secondary, stretch)
    basis = np.zeros((len(phase), N_KNOTS))
    np.put_along_axis(basis, (first[:, None] + np.arange(4)) % N_KNOTS, weight, axis=1)
    return basis


@numba.njit(cache=True, nogil=True)
def fit_splines(
    phase: FloatArray,
    flux: FloatArray,
    flux_err: FloatArray,
    offsets: npt.NDArray[np.int64],
    centre: FloatArray,
    secondary: FloatArray,
) -> SplineFits:
    """Fit every star that has a phase of its deeper minimum.

    Parameters
    ----------
    phase, flux, flux_err : `~numpy.ndarray`
        Points of all stars.
    offsets : `~numpy.ndarray`
        Where each star begins, shape (n + 1,).
    centre, secondary : `~numpy.ndarray`
        About where the deeper minimum is, and the other one from there, in cycles; NaN for a star that is not to be
        fitted. Shape (n,).

    Returns
    -------
    SplineFits
        The fits.
    """
    n_stars = len(offsets) - 1
    stretch = np.full(n_stars, -1, dtype=np.int64)
    coefficients = np.zeros((n_stars, N_KNOTS))
    factor = np.zeros((n_stars, N_KNOTS, N_KNOTS))
    variance, freedom = np.full(n_stars, np.nan), np.full(n_stars, np.nan)
    found_centre, found_secondary = centre.copy(), secondary.copy()
    for star in range(n_stars):
        if np.isnan(centre[star]):
            continue
        points = slice(offsets[star], offsets[star + 1])
        about, other = _begin(phase[points], flux[points], flux_err[points], centre[star], secondary[star])
        stretches = (0, len(STRETCHES) - 1)
        for _attempt in range(3):
            relative = phase[points] - about
            chosen = _fit(relative, flux[points], flux_err[points], other, stretches, coefficients[star], factor[star])
            stretch[star], variance[star], freedom[star] = chosen
            found_centre[star], found_secondary[star] = about, other
            at, at_other = _minima(coefficients[star], other, stretch[star])
            width = STRETCHES[stretch[star]]
            if width == 0.0 or max(abs(at), abs(at_other - other)) <= _RECENTRE * width:
                break
            about, other = (about + at) % 1.0, at_other - at
            stretches = _about(stretch[star])
    return SplineFits(stretch, found_centre, found_secondary, coefficients, factor, variance, freedom)


@numba.njit(cache=True, nogil=True)
def evaluate_splines(fits: SplineFits, phase: FloatArray, offsets: npt.NDArray[np.int64]) -> FloatArray:
    """Flux of the fits at the phases of the points.

    Parameters
    ----------
    fits : SplineFits
        Fits of n stars.
    phase : `~numpy.ndarray`
        Phases of all points.
    offsets : `~numpy.ndarray`
        Where each star begins, shape (n + 1,).

    Returns
    -------
    `~numpy.ndarray`
        Flux at every point, NaN for the points of stars without a fit.
    """
    flux = np.full(len(phase), np.nan)
    for star in range(len(offsets) - 1):
        if fits.stretch[star] < 0:
            continue
        points = slice(offsets[star], offsets[star + 1])
        shared = _tangents(phase[points] - fits.centre[star], fits.secondary[star])
        flux[points] = _values(fits.coefficients[star], _places(shared, fits.stretch[star]))
    return flux


@numba.njit(cache=True, nogil=True)
def _begin(
    phase: FloatArray, flux: FloatArray, flux_err: FloatArray, centre: float, secondary: float
) -> tuple[float, float]:
    """Choose where the stretch begins: at the minima of the harmonics, or at a narrow dip that these have missed."""
    dip, depth = _deepest_dip(phase, flux, flux_err, 0.0, -1.0)
    away = abs((dip - centre + 0.5) % 1.0 - 0.5)
    if depth < _DIP_SIGMA or away < _WINDOW:
        return centre, secondary
    second, second_depth = _deepest_dip(phase, flux, flux_err, dip, 0.1)
    beside = (second - dip) % 1.0 if second_depth > _DIP_SIGMA else 0.5
    weight = 1.0 / flux_err**2
    everything = (0, len(STRETCHES) - 1)
    coefficients, factor = np.empty(N_KNOTS), np.empty((N_KNOTS, N_KNOTS))
    relative = phase - centre
    shared = _tangents(relative, secondary)
    as_given = _search(shared, relative, flux, weight, secondary, everything, coefficients, factor)
    relative = phase - dip
    shared = _tangents(relative, beside)
    at_dip = _search(shared, relative, flux, weight, beside, everything, coefficients, factor)
    return (dip, beside) if at_dip[3] < as_given[3] else (centre, secondary)


@numba.njit(cache=True, nogil=True)
def _deepest_dip(
    phase: FloatArray, flux: FloatArray, flux_err: FloatArray, excluded: float, reach: float
) -> tuple[float, float]:
    """Middle of the window whose mean flux is lowest in sigma, outside of an excluded interval; and by how much."""
    n_bins = 200
    across = round(_WINDOW * n_bins)
    weight, product = np.zeros(n_bins), np.zeros(n_bins)
    for i in range(len(phase)):
        place = int((phase[i] % 1.0) * n_bins) % n_bins
        weight[place] += 1.0 / flux_err[i] ** 2
        product[place] += flux[i] / flux_err[i] ** 2
    mean = product.sum() / weight.sum()
    middle, depth = 0.0, 0.0
    for first in range(n_bins):
        at = ((first + 0.5 * across) / n_bins) % 1.0
        if abs((at - excluded + 0.5) % 1.0 - 0.5) < reach:
            continue
        total, low = 0.0, 0.0
        for step in range(across):
            total += weight[(first + step) % n_bins]
            low += product[(first + step) % n_bins]
        if total > 0.0 and (mean * total - low) / np.sqrt(total) > depth:
            middle, depth = at, (mean * total - low) / np.sqrt(total)
    return middle, depth


@numba.njit(cache=True, nogil=True)
def _value(coefficients: FloatArray, phase: float, secondary: float, width: float) -> float:
    first, w0, w1, w2, w3 = _weights(_stretched(phase, secondary, width))
    return float(
        w0 * coefficients[first]
        + w1 * coefficients[(first + 1) % N_KNOTS]
        + w2 * coefficients[(first + 2) % N_KNOTS]
        + w3 * coefficients[(first + 3) % N_KNOTS]
    )


@numba.njit(cache=True, nogil=True)
def _minima(coefficients: FloatArray, secondary: float, stretch: int) -> tuple[float, float]:
    """Phases of the lowest points within 0.05 of the minima that were assumed."""
    found = np.zeros(2)
    for which in range(2):
        middle = secondary * which
        lowest = np.inf
        for step in range(-50, 51):
            at = middle + 0.001 * step
            value = _value(coefficients, at, secondary, STRETCHES[stretch])
            if value < lowest:
                lowest, found[which] = value, at
    return found[0], found[1]


@numba.njit(cache=True, nogil=True)
def _fit(
    phase: FloatArray,
    flux: FloatArray,
    flux_err: FloatArray,
    secondary: float,
    stretches: tuple[int, int],
    coefficients: FloatArray,
    factor: FloatArray,
) -> tuple[int, float, float]:
    """Fit one star, with less weight for points that are far off."""
    weight = 1.0 / flux_err**2
    shared = _tangents(phase, secondary)
    chosen, variance, freedom, _ = _search(shared, phase, flux, weight, secondary, stretches, coefficients, factor)
    for _round in range(_ROBUST_ROUNDS):
        if not _reweigh(_values(coefficients, _places(shared, chosen)), flux, flux_err, weight):
            break
        same = (chosen, chosen)
        chosen, variance, freedom, _ = _search(shared, phase, flux, weight, secondary, same, coefficients, factor)
    return chosen, variance, freedom


@numba.njit(cache=True, nogil=True)
def _about(stretch: int) -> tuple[int, int]:
    """Lowest and highest stretch to try when one is about right."""
    return max(stretch - 1, 0), min(stretch + 1, len(STRETCHES) - 1)


@numba.njit(cache=True, nogil=True)
def _reweigh(model: FloatArray, flux: FloatArray, flux_err: FloatArray, weight: FloatArray) -> bool:
    """Set the weights by the residuals; tell whether one has changed much."""
    residual = (flux - model) / flux_err
    sigma = max(1.4826 * np.median(np.abs(residual)), 1.0)
    changed = False
    for i in range(len(model)):
        far = abs(residual[i]) / (_ROBUST * sigma)
        share = 1.0 if far <= 1.0 else 1.0 / far**2
        new = share / flux_err[i] ** 2
        if abs(new - weight[i]) > 0.3 * max(new, weight[i]):
            changed = True
        weight[i] = new
    return changed


@numba.njit(cache=True, nogil=True)
def _search(
    shared: FloatArray,
    phase: FloatArray,
    flux: FloatArray,
    weight: FloatArray,
    secondary: float,
    stretches: tuple[int, int],
    coefficients: FloatArray,
    factor: FloatArray,
) -> tuple[int, float, float, float]:
    """Fit one star with the stretch and the penalty of highest restricted likelihood whose dips hold points."""
    mean = np.sum(weight * flux) / np.sum(weight)
    n_stretches = len(STRETCHES)
    matrices, data = np.empty((n_stretches, N_KNOTS, N_KNOTS)), np.empty((n_stretches, N_KNOTS))
    squares = np.empty(n_stretches)
    lowest, highest = stretches
    for stretch in range(lowest, highest + 1):
        squares[stretch] = _normal_equations(shared, flux, weight, mean, stretch, matrices[stretch], data[stretch])
    # The penalty over the mean weight, so that it means the same for every star.
    unit = np.sum(weight) / N_KNOTS
    criteria, penalties = _scan_penalties(matrices, data, squares, stretches, unit, len(phase))
    lower, solution = np.zeros((N_KNOTS, N_KNOTS)), np.empty(N_KNOTS)
    chosen = 0
    for chosen in np.argsort(criteria):
        if criteria[chosen] == np.inf:
            continue
        _factorise(matrices[chosen], penalties[chosen], lower)
        _forward(lower, data[chosen], solution)
        _backward(lower, solution, coefficients)
        coefficients += mean
        if chosen == lowest or _supported(phase, flux, secondary, chosen, coefficients):
            break
    _inverse_transposed(lower, factor)
    variance = max((squares[chosen] - np.sum(solution**2)) / (len(phase) - 1), 1.0)
    freedom = _effective_terms(matrices[chosen], factor)
    factor *= np.sqrt(variance)
    return chosen, variance, freedom, criteria[chosen]


@numba.njit(cache=True, nogil=True)
def _scan_penalties(
    matrices: FloatArray,
    data: FloatArray,
    squares: FloatArray,
    stretches: tuple[int, int],
    unit: float,
    n_points: int,
) -> tuple[FloatArray, FloatArray]:
    """Find the criterion of every stretch at its best penalty, and this penalty; infinity where it was not tried."""
    lower, solution = np.zeros((N_KNOTS, N_KNOTS)), np.empty(N_KNOTS)
    n_stretches = len(STRETCHES)
    criteria, penalties = np.full(n_stretches, np.inf), np.zeros(n_stretches)
    best = np.full(n_stretches, len(_PENALTIES))
    # Every third penalty first, then those about the best, if the stretch may still become the best one.
    for turn in range(2):
        limit = np.min(criteria) + _COARSE
        for stretch in range(stretches[0], stretches[1] + 1):
            if turn == 1 and criteria[stretch] > limit:
                continue
            middle, square = best[stretch], squares[stretch]
            for k in range(1 if turn == 0 else max(middle - 2, 0), min(middle + 3, len(_PENALTIES))):
                if (k - 1) % 3 != 0 if turn == 0 else k == middle:
                    continue
                penalty = _PENALTIES[k] * unit
                determinant = _factorise(matrices[stretch], penalty, lower)
                _forward(lower, data[stretch], solution)
                residual = max(square - np.sum(solution**2), 1e-12 * square)
                criterion = (n_points - 1) * np.log(residual) + determinant - (N_KNOTS - 1) * np.log(penalty)
                if criterion < criteria[stretch]:
                    criteria[stretch], penalties[stretch], best[stretch] = criterion, penalty, k
    return criteria, penalties


@numba.njit(cache=True, nogil=True)
def _supported(phase: FloatArray, flux: FloatArray, secondary: float, stretch: int, coefficients: FloatArray) -> bool:
    """Whether both dips of a fit hold enough points."""
    width = STRETCHES[stretch]
    minima = _minima(coefficients, secondary, stretch)
    for which in range(2):
        bottom = minima[which]
        lowest = _value(coefficients, bottom, secondary, width)
        highest = lowest
        for step in range(-30, 31):
            highest = max(highest, _value(coefficients, bottom + 0.1 * step * width, secondary, width))
        middle = highest - _SUPPORT_LEVEL * (highest - lowest)
        reach = np.zeros(2)
        for side in range(2):
            sign = 1.0 - 2.0 * side
            for step in range(1, 61):
                reach[side] = 0.05 * step * width
                if _value(coefficients, bottom + sign * reach[side], secondary, width) > middle:
                    break
        inside, below = 0, 0
        for i in range(len(phase)):
            offset = (phase[i] - bottom + 0.5) % 1.0 - 0.5
            if -reach[1] <= offset <= reach[0]:
                inside += 1
                if flux[i] < middle:
                    below += 1
        if below < _SUPPORT or below < _SUPPORT_SHARE * inside:
            return False
    return True


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _tangents(phase: FloatArray, secondary: float) -> FloatArray:
    """Work out what all stretches of a phase share: phases about 0, and the tangents about both minima."""
    # A row each, so that the loops over the points run along memory.
    shared = np.empty((4, len(phase)))
    shared[0] = phase - np.floor(phase + 0.5)
    shared[2] = np.floor(shared[0] - secondary + 0.5)
    for row, angle in ((1, shared[0]), (3, shared[0] - secondary - shared[2])):
        circle = unit_circle(0.5 * angle)
        # Within half a turn the cosine is not negative but by rounding.
        shared[row] = circle[1] / np.maximum(circle[0], _LEAST_COSINE)
    return shared


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _arctangents(tangent: FloatArray, slope: float, turns: FloatArray) -> None:
    """Add the arctangents, over pi, of tangents times a slope to a number of turns.

    One loop without calls, so that several points are done at a time: a Taylor series below the tangent of pi / 8.
    """
    limit = np.sqrt(2.0) - 1.0
    for i in range(len(tangent)):
        whole = slope * abs(tangent[i])
        small = min(whole, 1.0 / max(whole, 1.0))
        beyond = small > limit
        x = (small - 1.0) / (small + 1.0) if beyond else small
        z = x * x
        series = 1.0 / 33.0 - z * (1.0 / 35.0 - z * (1.0 / 37.0 - z * (1.0 / 39.0 - z / 41.0)))
        series = 1.0 / 23.0 - z * (1.0 / 25.0 - z * (1.0 / 27.0 - z * (1.0 / 29.0 - z * (1.0 / 31.0 - z * series))))
        series = 1.0 / 13.0 - z * (1.0 / 15.0 - z * (1.0 / 17.0 - z * (1.0 / 19.0 - z * (1.0 / 21.0 - z * series))))
        series = 1.0 / 5.0 - z * (1.0 / 7.0 - z * (1.0 / 9.0 - z * (1.0 / 11.0 - z * series)))
        angle = x * (1.0 - z * (1.0 / 3.0 - z * series)) / np.pi + (0.25 if beyond else 0.0)
        angle = 0.5 - angle if whole > 1.0 else angle
        turns[i] += angle if tangent[i] > 0.0 else -angle


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _places(shared: FloatArray, stretch: int) -> FloatArray:
    """Stretched phases of all points, not brought to one cycle."""
    width = STRETCHES[stretch]
    place: FloatArray = shared[0].copy()
    if width == 0.0:
        return place
    rho = np.exp(-2.0 * np.pi * width)
    slope = (1.0 + rho) / (1.0 - rho)
    turned = shared[2].copy()
    _arctangents(shared[1], slope, turned)
    _arctangents(shared[3], slope, turned)
    stretched: FloatArray = (place + _SHARE * turned) / (1.0 + 2.0 * _SHARE)
    return stretched


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _values(coefficients: FloatArray, place: FloatArray) -> FloatArray:
    """Flux of a fit at stretched phases."""
    around = np.empty(N_KNOTS + 3)
    around[:N_KNOTS] = coefficients
    around[N_KNOTS:] = coefficients[:3]
    flux = np.empty(len(place))
    for i in range(len(place)):
        first, w0, w1, w2, w3 = _weights(place[i] - np.floor(place[i]))
        flux[i] = w0 * around[first] + w1 * around[first + 1] + w2 * around[first + 2] + w3 * around[first + 3]
    return flux


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _normal_equations(
    shared: FloatArray,
    flux: FloatArray,
    weight: FloatArray,
    mean: float,
    stretch: int,
    matrix: FloatArray,
    data: FloatArray,
) -> float:
    """Fill in the weighted products of the basis with itself and with the data; return the square of the data."""
    place = _places(shared, stretch)
    # Four bands from the diagonal on with the data as a fifth, and three rows more, which are folded back to the first.
    band = np.zeros((N_KNOTS + 3, 5))
    square = _sum_bands(place, flux - mean, weight, band)
    matrix[:] = 0.0
    data[:] = 0.0
    for row in range(N_KNOTS + 3):
        data[row % N_KNOTS] += band[row, 4]
        for step in range(4):
            column = (row + step) % N_KNOTS
            matrix[row % N_KNOTS, column] += band[row, step]
            if step > 0:
                matrix[column, row % N_KNOTS] += band[row, step]
    return square


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _sum_bands(place: FloatArray, deviation: FloatArray, weight: FloatArray, band: FloatArray) -> float:
    """Fill in the bands of the normal equations; return the weighted square of the deviations."""
    square = 0.0
    for i in range(len(place)):
        first, v0, v1, v2, v3 = _weights(place[i] - np.floor(place[i]))
        square += weight[i] * deviation[i] ** 2
        w0, w1, w2, w3 = weight[i] * v0, weight[i] * v1, weight[i] * v2, weight[i] * v3
        a, b, c, d = band[first], band[first + 1], band[first + 2], band[first + 3]
        a[0], a[1], a[2], a[3] = a[0] + w0 * v0, a[1] + w0 * v1, a[2] + w0 * v2, a[3] + w0 * v3
        b[0], b[1], b[2] = b[0] + w1 * v1, b[1] + w1 * v2, b[2] + w1 * v3
        c[0], c[1] = c[0] + w2 * v2, c[1] + w2 * v3
        d[0] += w3 * v3
        a[4], b[4] = a[4] + w0 * deviation[i], b[4] + w1 * deviation[i]
        c[4], d[4] = c[4] + w2 * deviation[i], d[4] + w3 * deviation[i]
    return square


@numba.njit(cache=True, nogil=True)
def _factorise(matrix: FloatArray, penalty: float, lower: FloatArray) -> float:
    """Cholesky factor of matrix + penalty D'D, D the second differences around the cycle; log of the determinant.

    The matrix is banded but for its corners, so that the factor is banded but for its last three rows.
    """
    border = N_KNOTS - 3
    logarithm = 0.0
    for column in range(N_KNOTS):
        start = 0 if column >= border else max(0, column - 3)
        total = matrix[column, column] + penalty * 6.0
        for k in range(start, column):
            total -= lower[column, k] ** 2
        diagonal = np.sqrt(max(total, 1e-300))
        lower[column, column] = diagonal
        logarithm += np.log(diagonal)
        for row in range(column + 1, min(column + 4, N_KNOTS)):
            lower[row, column] = _eliminated(matrix, penalty, lower, row, column, start) / diagonal
        for row in range(max(column + 4, border), N_KNOTS):
            lower[row, column] = _eliminated(matrix, penalty, lower, row, column, start) / diagonal
    return 2.0 * logarithm


@numba.njit(cache=True, nogil=True)
def _eliminated(matrix: FloatArray, penalty: float, lower: FloatArray, row: int, column: int, start: int) -> float:
    total = matrix[row, column] + penalty * _roughness(row - column)
    for k in range(start, column):
        total -= lower[row, k] * lower[column, k]
    return float(total)


@numba.njit(cache=True, nogil=True)
def _roughness(distance: int) -> float:
    """Element of D'D off its diagonal of 6, by the distance around the cycle."""
    around = min(distance, N_KNOTS - distance)
    if around == 1:
        return -4.0
    return 1.0 if around == 2 else 0.0


@numba.njit(cache=True, nogil=True)
def _forward(lower: FloatArray, data: FloatArray, solution: FloatArray) -> None:
    for row in range(N_KNOTS):
        start = 0 if row >= N_KNOTS - 3 else max(0, row - 3)
        total = data[row]
        for k in range(start, row):
            total -= lower[row, k] * solution[k]
        solution[row] = total / lower[row, row]


@numba.njit(cache=True, nogil=True)
def _backward(lower: FloatArray, data: FloatArray, solution: FloatArray) -> None:
    for row in range(N_KNOTS - 1, -1, -1):
        total = data[row]
        for k in range(row + 1, min(row + 4, N_KNOTS)):
            total -= lower[k, row] * solution[k]
        for k in range(max(row + 4, N_KNOTS - 3), N_KNOTS):
            total -= lower[k, row] * solution[k]
        solution[row] = total / lower[row, row]


@numba.njit(cache=True, nogil=True)
def _inverse_transposed(lower: FloatArray, inverse: FloatArray) -> None:
    """Inverse of the transposed factor, upper triangular."""
    inverse[:] = 0.0
    for column in range(N_KNOTS):
        # Column of the inverse of the factor, kept as a row of its transpose.
        inverse[column, column] = 1.0 / lower[column, column]
        for row in range(column + 1, N_KNOTS):
            start = column if row >= N_KNOTS - 3 else max(column, row - 3)
            total = 0.0
            for k in range(start, row):
                total -= lower[row, k] * inverse[column, k]
            inverse[column, row] = total / lower[row, row]


@numba.njit(cache=True, nogil=True)
def _effective_terms(matrix: FloatArray, factor: FloatArray) -> float:
    """Trace of the covariance (for unit variance) times the products of the basis."""
    trace = 0.0
    for row in range(N_KNOTS):
        for step in range(-3, 4):
            column = (row + step) % N_KNOTS
            covariance = 0.0
            for k in range(max(row, column), N_KNOTS):
                covariance += factor[row, k] * factor[column, k]
            trace += covariance * matrix[row, column]
    return trace
