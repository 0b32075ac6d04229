"""Shape of a folded light curve from its harmonic fit: depths of the minima, Fourier coefficients, W.

All coefficients are those of the flux over its maximum with phase 0 at the deeper minimum, the convention of
Rucinski's work on contact binaries (e.g. 1997, AJ 113, 407).
"""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
from pydantic import Field

from cbminer.columns import FloatArray
from cbminer.lightcurves.folding import widest_phase_gap
from cbminer.morphology.harmonics import HARMONICS_MAX, fit_harmonics, harmonic_basis
from cbminer.quantities import SettingsModel
from cbminer.survey.packed import PackedLightCurves

__all__ = ["FourierSettings", "LightCurveShapes", "measure_shapes", "shape_model"]

_MAG_PER_LN = 2.5 / np.log(10.0)
_GRID = np.arange(1000) / 1000.0
_REFINEMENTS = 4
# Window about phase 0.5 in which the other minimum is sought.
_SECONDARY = (0.3, 0.7)
# Half width in phase of the bottom of a minimum, points it must have, and significance of a correction there.
_BOTTOM = 0.06
_BOTTOM_POINTS = 15
_BOTTOM_SIGMA = 3.0


class FourierSettings(SettingsModel):
    """Orders of the harmonic fit, and what a light curve must have to be fitted."""

    order_min: int = Field(default=4, ge=4, le=HARMONICS_MAX, description="lowest order of the harmonic fit")
    order_max: int = Field(default=10, ge=4, le=HARMONICS_MAX, description="highest order of the harmonic fit")
    min_points: int = Field(default=40, ge=20, description="with fewer points a star has no shape and stays undecided")
    points_per_term: float = Field(
        default=3.0, ge=1.5, description="points that each term of the fit asks for; limits the order"
    )
    max_phase_gap: float = Field(
        default=0.10, gt=0, lt=0.5, description="with a wider gap in phase a star has no shape"
    )


@dataclass(frozen=True)
class LightCurveShapes:
    """Shapes of many light curves; NaN where a star has none.

    Attributes
    ----------
    n_points, n_harmonics : `~numpy.ndarray`
        Points fitted and order of the fit, 0 for a star that was not fitted; int64.
    phase_gap : `~numpy.ndarray`
        Widest gap in phase, cycles.
    scatter, noise, excess_scatter : `~numpy.ndarray`
        Root mean square of the residuals and of the stated errors in mag; what the first has beyond the second over
        depth1.
    depth1, depth2, depth_difference : `~numpy.ndarray`
        Depths below maximum light of the deeper and the other minimum, and their difference, in mag.
    phase_secondary : `~numpy.ndarray`
        Phase of the other minimum.
    oconnell : `~numpy.ndarray`
        Magnitude of the maximum that follows the deeper minimum, minus that of the other maximum.
    a1, a2, a4 : `~numpy.ndarray`
        Cosine coefficients of the flux over its maximum.
    W : `~numpy.ndarray`
        a4 - a2 (0.125 - a2).
    asymmetry : `~numpy.ndarray`
        Root of the sum of the squared sine coefficients over the absolute value of a2.
    phase_zero : `~numpy.ndarray`
        Phase of the deeper minimum in the phases that were given.
    coefficients, maximum : `~numpy.ndarray`
        Coefficients of the fit in the phases that were given, shape (n, 21), and its maximum; flux over that of the
        reference magnitude.
    reference_mag : `~numpy.ndarray`
        Median magnitude of the star.

    Every measured quantity ``x`` comes with its standard error ``e_x``, from the covariance of the fit scaled by the
    reduced chi-square where that is above 1.
    """

    n_points: npt.NDArray[np.int64]
    n_harmonics: npt.NDArray[np.int64]
    phase_gap: FloatArray
    scatter: FloatArray
    noise: FloatArray
    excess_scatter: FloatArray
    depth1: FloatArray
    e_depth1: FloatArray
    depth2: FloatArray
    e_depth2: FloatArray
    depth_difference: FloatArray
    e_depth_difference: FloatArray
    phase_secondary: FloatArray
    e_phase_secondary: FloatArray
    oconnell: FloatArray
    e_oconnell: FloatArray
    a1: FloatArray
    e_a1: FloatArray
    a2: FloatArray
    e_a2: FloatArray
    a4: FloatArray
    e_a4: FloatArray
    W: FloatArray
    e_W: FloatArray
    asymmetry: FloatArray
    e_asymmetry: FloatArray
    phase_zero: FloatArray
    coefficients: FloatArray
    maximum: FloatArray
    reference_mag: FloatArray


@dataclass(frozen=True)
class _Fits:
    """Fits of the stars that have one."""

    order: npt.NDArray[np.int64]
    coefficients: FloatArray
    covariance: FloatArray


@dataclass(frozen=True)
class _Extremum:
    """An extremum of every fit: its phase, its flux, and the gradients of both by the coefficients."""

    phase: FloatArray
    flux: FloatArray
    flux_gradient: FloatArray
    phase_gradient: FloatArray


def measure_shapes(curves: PackedLightCurves, phase: FloatArray, *, settings: FourierSettings) -> LightCurveShapes:
    """Fit folded light curves and measure their shapes.

    Parameters
    ----------
    curves : PackedLightCurves
        Cleaned light curves of n stars.
    phase : `~numpy.ndarray`
        Phase of every point; NaN for a star without a period.
    settings : FourierSettings
        Orders and requirements.

    Returns
    -------
    LightCurveShapes
        A shape a star; NaN for stars with too few points or too wide a gap in phase.
    """
    reference = _reference_magnitudes(curves)
    star = np.repeat(np.arange(len(curves)), np.diff(curves.offsets))
    flux = 10.0 ** (-0.4 * (curves.mag.astype(np.float64) - reference[star]))
    flux_err = flux * curves.mag_err.astype(np.float64) / _MAG_PER_LN
    gap = widest_phase_gap(phase, curves.offsets)
    n_points = np.diff(curves.offsets)
    order_max = _highest_orders(n_points, gap, settings)
    order, coefficients, covariance, chi2 = fit_harmonics(
        phase, flux, flux_err, curves.offsets, settings.order_min, order_max
    )
    model = np.einsum("ij,ij->i", harmonic_basis(phase), coefficients[star])
    scatter = _root_mean_square(_residual_mag(flux, model), star, len(curves))
    noise = _root_mean_square(curves.mag_err.astype(np.float64), star, len(curves))
    # A fit whose flux touches zero describes no star.
    fitted = np.flatnonzero((order > 0) & (_lowest_flux(coefficients) > 0))
    scale = np.maximum(1.0, chi2 / np.maximum(n_points - 2 * order - 1, 1))
    fits = _Fits(order[fitted], coefficients[fitted], (covariance * scale[:, None, None])[fitted])
    figures = _figures(fits)
    columns = {name: _scatter_to(fitted, data, len(curves)) for name, data in figures.items()}
    residual = _residual_mag(flux, model)
    for index in fitted:
        points = curves.points_of(int(index))
        errors = curves.mag_err[points].astype(np.float64)
        _sharpen(columns, int(index), phase[points], residual[points], errors)
    unfitted = np.setdiff1d(np.arange(len(curves)), fitted)
    scatter[unfitted] = np.nan
    order[unfitted] = 0
    excess = np.sqrt(np.maximum(scatter**2 - noise**2, 0.0)) / columns["depth1"]
    return LightCurveShapes(
        n_points=n_points,
        n_harmonics=order,
        phase_gap=gap,
        scatter=scatter,
        noise=noise,
        excess_scatter=excess,
        coefficients=coefficients,
        reference_mag=reference,
        **columns,
    )


def shape_model(shapes: LightCurveShapes, index: int, phase: FloatArray) -> FloatArray:
    """Magnitudes of the fit of a star.

    Parameters
    ----------
    shapes : LightCurveShapes
        Shapes of the stars.
    index : int
        Place of the star.
    phase : `~numpy.ndarray`
        Phases, 0 at the deeper minimum.

    Returns
    -------
    `~numpy.ndarray`
        Magnitudes.
    """
    flux = harmonic_basis(phase + shapes.phase_zero[index]) @ shapes.coefficients[index]
    magnitudes: FloatArray = shapes.reference_mag[index] - 2.5 * np.log10(flux)
    return magnitudes


def _reference_magnitudes(curves: PackedLightCurves) -> FloatArray:
    return np.array(
        [
            np.median(curves.mag[curves.points_of(i)]) if curves.offsets[i + 1] > curves.offsets[i] else np.nan
            for i in range(len(curves))
        ],
        dtype=np.float64,
    )


def _highest_orders(
    n_points: npt.NDArray[np.int64], gap: FloatArray, settings: FourierSettings
) -> npt.NDArray[np.int64]:
    """Highest order that the points of each star carry; 0 where it cannot be fitted at all."""
    by_points = ((n_points / settings.points_per_term - 1) / 2).astype(np.int64)
    order = np.clip(by_points, settings.order_min, settings.order_max)
    usable = (n_points >= settings.min_points) & (gap <= settings.max_phase_gap)
    return np.where(usable, order, 0)


def _residual_mag(flux: FloatArray, model: FloatArray) -> FloatArray:
    return -2.5 * np.log10(flux / np.where(model > 0, model, np.nan))


def _root_mean_square(data: FloatArray, star: npt.NDArray[np.int64], n_stars: int) -> FloatArray:
    count = np.bincount(star, minlength=n_stars)
    total = np.bincount(star, weights=data**2, minlength=n_stars)
    mean_square = np.divide(total, count, out=np.full(n_stars, np.nan), where=count > 0)
    root: FloatArray = np.sqrt(mean_square)
    return root


def _lowest_flux(coefficients: FloatArray) -> FloatArray:
    lowest: FloatArray = np.min(coefficients @ harmonic_basis(_GRID).T, axis=1, initial=np.inf)
    return lowest


def _sharpen(
    columns: dict[str, FloatArray], star: int, phase: FloatArray, residual: FloatArray, error: FloatArray
) -> None:
    """Correct the depths of one star where its minima are sharper or flatter than the harmonics can follow."""
    centres = columns["phase_zero"][star] + np.array([0.0, columns["phase_secondary"][star]])
    excess = [_local_excess(phase - centre, residual, error) for centre in centres]
    for name, (correction, e_correction) in zip(("depth1", "depth2"), excess, strict=True):
        columns[name][star] += correction
        columns[f"e_{name}"][star] = np.hypot(columns[f"e_{name}"][star], e_correction)
    columns["depth_difference"][star] += excess[0][0] - excess[1][0]
    both = np.hypot(excess[0][1], excess[1][1])
    columns["e_depth_difference"][star] = np.hypot(columns["e_depth_difference"][star], both)


def _local_excess(offset: FloatArray, residual: FloatArray, error: FloatArray) -> tuple[float, float]:
    """Residual at the bottom of a minimum and its error, zero where it is within 3 sigma of zero.

    Of a parabola in the distance from the minimum, with a cusp like that of a central eclipse, and one in its square,
    flat like a total eclipse, the better fit counts.
    """
    distance = np.abs((offset + 0.5) % 1.0 - 0.5)
    near = (distance < _BOTTOM) & np.isfinite(residual)
    if np.count_nonzero(near) < _BOTTOM_POINTS:
        return 0.0, 0.0
    x, data = distance[near] / _BOTTOM, residual[near] / error[near]
    fits = [_intercept(np.stack([np.ones_like(x), x**k, x ** (2 * k)]) / error[near], data) for k in (1, 2)]
    excess, e_excess, _ = min(fits, key=lambda fit: fit[2])
    return (excess, e_excess) if abs(excess) > _BOTTOM_SIGMA * e_excess else (0.0, 0.0)


def _intercept(design: FloatArray, data: FloatArray) -> tuple[float, float, float]:
    """First coefficient of a linear fit, its error, and chi-square."""
    covariance = np.linalg.pinv(design @ design.T)
    solution = covariance @ (design @ data)
    chi2 = float(np.sum((data - solution @ design) ** 2))
    reduced = chi2 / (len(data) - len(design))
    return float(solution[0]), float(np.sqrt(covariance[0, 0] * max(1.0, reduced))), chi2


def _scatter_to(index: npt.NDArray[np.int64], data: FloatArray, n_stars: int) -> FloatArray:
    full = np.full(n_stars, np.nan)
    full[index] = data
    return full


def _figures(fits: _Fits) -> dict[str, FloatArray]:
    """Measure every fit. Keys are fields of `LightCurveShapes`."""
    curve = fits.coefficients @ harmonic_basis(_GRID).T
    primary = _extremum(fits, _GRID[np.argmin(curve, axis=1)])
    since = (_GRID[None, :] - primary.phase[:, None]) % 1.0
    secondary = _extremum(fits, _argmin_where(curve, (since > _SECONDARY[0]) & (since < _SECONDARY[1])))
    separation = (secondary.phase - primary.phase) % 1.0
    first = _extremum(fits, _argmin_where(-curve, since < separation[:, None]))
    second = _extremum(fits, _argmin_where(-curve, since >= separation[:, None]))
    highest = _choose(first.flux >= second.flux, first, second)
    figures = _magnitude_differences(fits, primary, secondary, (first, second, highest))
    figures |= _coefficient_figures(fits, primary.phase, highest)
    figures["phase_zero"] = primary.phase % 1.0
    figures["maximum"] = highest.flux
    figures["phase_secondary"] = separation
    figures["e_phase_secondary"] = _error(fits, secondary.phase_gradient - primary.phase_gradient)
    return figures


def _argmin_where(curve: FloatArray, where: npt.NDArray[np.bool_]) -> FloatArray:
    phases: FloatArray = _GRID[np.argmin(np.where(where, curve, np.inf), axis=1)]
    return phases


def _extremum(fits: _Fits, start: FloatArray) -> _Extremum:
    """Refine extrema of the grid by Newton steps, kept within one step of the grid."""
    phase = start.copy()
    for _ in range(_REFINEMENTS):
        slope = np.einsum("ij,ij->i", harmonic_basis(phase, 1), fits.coefficients)
        curvature = np.einsum("ij,ij->i", harmonic_basis(phase, 2), fits.coefficients)
        step = np.divide(slope, curvature, out=np.zeros_like(slope), where=curvature != 0)
        phase = np.clip(phase - step, start - 1.0 / len(_GRID), start + 1.0 / len(_GRID))
    basis, slopes = harmonic_basis(phase), harmonic_basis(phase, 1)
    curvature = np.einsum("ij,ij->i", harmonic_basis(phase, 2), fits.coefficients)
    used = np.arange(basis.shape[1]) <= 2 * fits.order[:, None]
    basis, slopes = basis * used, slopes * used
    safe = np.where(curvature == 0, np.nan, curvature)
    flux = np.einsum("ij,ij->i", basis, fits.coefficients)
    return _Extremum(phase, flux, basis, -slopes / safe[:, None])


def _choose(condition: npt.NDArray[np.bool_], one: _Extremum, other: _Extremum) -> _Extremum:
    chosen = []
    for item in fields(_Extremum):
        a, b = getattr(one, item.name), getattr(other, item.name)
        chosen.append(np.where(condition if a.ndim == 1 else condition[:, None], a, b))
    return _Extremum(*chosen)


def _error(fits: _Fits, gradient: FloatArray) -> FloatArray:
    variance = np.einsum("ni,nij,nj->n", gradient, fits.covariance, gradient)
    error: FloatArray = np.sqrt(np.maximum(variance, 0.0))
    return error


def _magnitude_differences(
    fits: _Fits,
    primary: _Extremum,
    secondary: _Extremum,
    maxima: tuple[_Extremum, _Extremum, _Extremum],
) -> dict[str, FloatArray]:
    first, second, highest = maxima
    pairs = {
        "depth1": (primary, highest),
        "depth2": (secondary, highest),
        "depth_difference": (primary, secondary),
        "oconnell": (first, second),
    }
    figures: dict[str, FloatArray] = {}
    for name, (faint, bright) in pairs.items():
        gradient = _MAG_PER_LN * (
            bright.flux_gradient / bright.flux[:, None] - faint.flux_gradient / faint.flux[:, None]
        )
        figures[name] = -2.5 * np.log10(faint.flux / bright.flux)
        figures[f"e_{name}"] = _error(fits, gradient)
    return figures


def _coefficient_figures(fits: _Fits, phase_zero: FloatArray, highest: _Extremum) -> dict[str, FloatArray]:
    """Coefficients with phase 0 at the deeper minimum, over the maximum, and what is built from them."""
    order = np.arange(1, HARMONICS_MAX + 1)
    cosine = np.cos(2.0 * np.pi * order * phase_zero[:, None]) / highest.flux[:, None]
    sine = np.sin(2.0 * np.pi * order * phase_zero[:, None]) / highest.flux[:, None]
    even, odd = fits.coefficients[:, 1::2], fits.coefficients[:, 2::2]
    a, b = even * cosine + odd * sine, odd * cosine - even * sine
    a_gradient = _turned_gradient(fits, cosine, sine) - a[:, :, None] * _relative(highest)
    b_gradient = _turned_gradient(fits, -sine, cosine) - b[:, :, None] * _relative(highest)
    a2, a4 = a[:, 1], a[:, 3]
    figures = {f"a{k}": a[:, k - 1] for k in (1, 2, 4)}
    figures |= {f"e_a{k}": _error(fits, a_gradient[:, k - 1]) for k in (1, 2, 4)}
    figures["W"] = a4 - a2 * (0.125 - a2)
    w_gradient = a_gradient[:, 3] - (0.125 - 2.0 * a2)[:, None] * a_gradient[:, 1]
    figures["e_W"] = _error(fits, w_gradient)
    figures["asymmetry"] = np.sqrt(np.sum(b**2, axis=1)) / np.abs(a2)
    b_variance = np.einsum("nki,nij,nkj->n", b_gradient, fits.covariance, b_gradient)
    figures["e_asymmetry"] = np.sqrt(np.maximum(b_variance, 0.0)) / np.abs(a2)
    return figures


def _turned_gradient(fits: _Fits, of_cosine: FloatArray, of_sine: FloatArray) -> FloatArray:
    """Gradient of a turned coefficient of each order by the coefficients of the fit, shape (n, orders, 21)."""
    n_stars, n_orders = of_cosine.shape
    gradient = np.zeros((n_stars, n_orders, 2 * n_orders + 1))
    index = np.arange(n_orders)
    gradient[:, index, 2 * index + 1] = of_cosine
    gradient[:, index, 2 * index + 2] = of_sine
    used = index[None, :] < fits.order[:, None]
    return gradient * used[:, :, None]


def _relative(highest: _Extremum) -> FloatArray:
    return (highest.flux_gradient / highest.flux[:, None])[:, None, :]
