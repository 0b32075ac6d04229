"""Shape of folded light curves: Fourier coefficients and W, eclipses and maxima, and the morphology parameter c."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from cbminer.columns import FloatArray
from cbminer.lightcurves.folding import widest_phase_gap
from cbminer.lightcurves.harmonics import evaluate_harmonics, fit_harmonics
from cbminer.morphology.eclipses import FIGURES, curve_figures, temperature_ratio
from cbminer.morphology.embedding import embedding_model
from cbminer.morphology.fourier import FourierSettings, HarmonicFits, fourier_figures, harmonic_minima
from cbminer.morphology.matching import BinnedCurves, bin_curves
from cbminer.morphology.parameter import measure_c
from cbminer.morphology.spline import SplineFits, evaluate_splines, fit_splines, spline_basis
from cbminer.quantities import SettingsModel
from cbminer.survey.packed import PackedLightCurves

__all__ = ["LightCurveShapes", "ShapeSettings", "measure_shapes", "shape_model"]

_MAG_PER_LN = 2.5 / np.log(10.0)
# Stars whose draws are in memory at a time.
_BATCH = 128
# A fit of fewer effective terms is flat; and the width in cycles of an eclipse that it may have missed.
_FLAT, _NARROW = 6.0, 0.02
# Effective wavelength of Cousins I in um (Bessell 2005, ARA&A 43, 293).
_WAVELENGTH_I = 0.798


class ShapeSettings(SettingsModel):
    """What the shape of a light curve is turned into."""

    teff: float = Field(
        default=25000.0,
        gt=3000,
        le=60000,
        description="K, temperature of the hotter star behind temperature_ratio; it matters little for hot stars",
    )
    c: Literal["published", "measured"] = Field(
        default="published",
        description="published: c of [morphology_table] where it has the star, else the measured c; measured: "
        "always this",
    )
    calibration_stars: int = Field(
        default=30, ge=10, description="with as many stars that have both, measured c is brought to the published scale"
    )


@dataclass(frozen=True)
class LightCurveShapes:
    """Shapes of many light curves; NaN where a star has none.

    Attributes
    ----------
    n_points, n_harmonics : `~numpy.ndarray`
        Points fitted and order of the harmonic fit, 0 for a star that was not fitted; int64.
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
    eclipse_width1, eclipse_width2 : `~numpy.ndarray`
        Full widths at half depth of both minima in cycles.
    contact_angle1, contact_angle2 : `~numpy.ndarray`
        Phase angles from the middle of each minimum to first contact in degrees, from straight flanks.
    temperature_ratio : `~numpy.ndarray`
        Ratio of the cooler to the hotter temperature that the depths imply.
    a1, a2, a4, W, asymmetry : `~numpy.ndarray`
        Cosine coefficients of the flux over its maximum; a4 - a2 (0.125 - a2); root of the sum of the squared sine
        coefficients over the absolute value of a2.
    c : `~numpy.ndarray`
        Morphology parameter of the light curve.
    c_distance : `~numpy.ndarray`
        Root mean square distance of the normalised curve from the nearest training curve of c, noise taken off.
    phase_zero, e_phase_zero : `~numpy.ndarray`
        Phase of the deeper minimum in the phases that were given, and its standard error.
    reference_mag, maximum : `~numpy.ndarray`
        Median magnitude of the star, and the flux at maximum over that of this magnitude.
    splines : SplineFits
        The smooth curves that depths and c are taken from, without their covariance.

    Every measured quantity ``x`` comes with its standard error ``e_x``: of coefficients from the covariance of the
    harmonic fit scaled by the reduced chi-square where that is above 1, of all others from draws of the posterior of
    the smooth curve.
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
    eclipse_width1: FloatArray
    e_eclipse_width1: FloatArray
    eclipse_width2: FloatArray
    e_eclipse_width2: FloatArray
    contact_angle1: FloatArray
    e_contact_angle1: FloatArray
    contact_angle2: FloatArray
    e_contact_angle2: FloatArray
    temperature_ratio: FloatArray
    e_temperature_ratio: FloatArray
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
    c: FloatArray
    e_c: FloatArray
    c_distance: FloatArray
    phase_zero: FloatArray
    e_phase_zero: FloatArray
    maximum: FloatArray
    reference_mag: FloatArray
    splines: SplineFits


def measure_shapes(
    curves: PackedLightCurves, phase: FloatArray, *, fourier: FourierSettings, shape: ShapeSettings | None = None
) -> LightCurveShapes:
    """Fit folded light curves and measure their shapes.

    Parameters
    ----------
    curves : PackedLightCurves
        Cleaned light curves of n stars.
    phase : `~numpy.ndarray`
        Phase of every point; NaN for a star without a period.
    fourier : FourierSettings
        Orders and requirements.
    shape : ShapeSettings, optional
        Constants of what is derived.

    Returns
    -------
    LightCurveShapes
        A shape a star; NaN for stars with too few points or too wide a gap in phase.
    """
    n_stars = len(curves)
    reference = _reference_magnitudes(curves)
    star = np.repeat(np.arange(n_stars), np.diff(curves.offsets))
    mag_err = curves.mag_err.astype(np.float64)
    flux = 10.0 ** (-0.4 * (curves.mag.astype(np.float64) - reference[star]))
    gap = widest_phase_gap(phase, curves.offsets)
    order_max = _highest_orders(np.diff(curves.offsets), gap, fourier)
    order, coefficients, covariance, chi2 = fit_harmonics(
        phase, flux, flux * mag_err / _MAG_PER_LN, curves.offsets, fourier.order_min, order_max
    )
    fitted = np.flatnonzero(order > 0)
    scale = np.maximum(1.0, chi2 / np.maximum(np.diff(curves.offsets) - 2 * order - 1, 1))
    fits = HarmonicFits(order[fitted], coefficients[fitted], (covariance * scale[:, None, None])[fitted])
    minima = harmonic_minima(fits)
    # The error of a point over the flux of the fit there: over its own flux, points that noise makes faint would
    # count for more.
    expected = evaluate_harmonics(phase, curves.offsets, order, coefficients)
    flux_err = np.where(expected > 0.2 * flux, expected, flux) * mag_err / _MAG_PER_LN
    starts = _scatter_to(fitted, minima.primary, n_stars), _scatter_to(fitted, minima.separation, n_stars)
    smooth = _smooth_curves(curves, phase, flux, flux_err, starts, reference, shape or ShapeSettings())
    columns, phase_zero, residual = smooth.columns, smooth.phase_zero, smooth.residual
    fourier_columns = fourier_figures(fits, minima, phase_zero[fitted])
    columns |= {name: _scatter_to(fitted, data, n_stars) for name, data in fourier_columns.items()}
    scatter = _root_mean_square(residual, star, n_stars)
    noise = _root_mean_square(mag_err, star, n_stars)
    known = ~np.isnan(columns["depth1"])
    scatter[~known] = np.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        depth = np.where(columns["depth1"] > 0, columns["depth1"], np.nan)
        excess = np.sqrt(np.maximum(scatter**2 - noise**2, 0.0)) / depth
    return LightCurveShapes(
        n_points=np.diff(curves.offsets),
        n_harmonics=np.where(known, order, 0),
        phase_gap=gap,
        scatter=scatter,
        noise=noise,
        excess_scatter=excess,
        phase_zero=phase_zero,
        maximum=smooth.maximum,
        reference_mag=reference,
        splines=smooth.splines,
        **{name: np.where(known, data, np.nan) for name, data in columns.items()},
    )


def shape_model(shapes: LightCurveShapes, index: int, phase: FloatArray) -> FloatArray:
    """Magnitudes of the smooth curve of a star.

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
        Magnitudes; NaN for a star without a shape.
    """
    splines = shapes.splines
    if splines.stretch[index] < 0 or np.isnan(shapes.phase_zero[index]):
        return np.full(np.shape(phase), np.nan)
    relative = np.asarray(phase, dtype=np.float64) + shapes.phase_zero[index] - splines.centre[index]
    basis = spline_basis(relative, splines.secondary[index], splines.stretch[index])
    magnitudes: FloatArray = shapes.reference_mag[index] - 2.5 * np.log10(basis @ splines.coefficients[index])
    return magnitudes


class _SmoothCurves(NamedTuple):
    """What the smooth curves of all stars give."""

    columns: dict[str, FloatArray]
    phase_zero: FloatArray
    maximum: FloatArray
    residual: FloatArray
    splines: SplineFits


def _smooth_curves(
    curves: PackedLightCurves,
    phase: FloatArray,
    flux: FloatArray,
    flux_err: FloatArray,
    starts: tuple[FloatArray, FloatArray],
    reference: FloatArray,
    shape: ShapeSettings,
) -> _SmoothCurves:
    """Fit and measure the smooth curves, a few stars at a time: their draws and covariances are large."""
    parts = []
    for first in range(0, max(len(curves), 1), _BATCH):
        stars = slice(first, min(first + _BATCH, len(curves)))
        points = slice(int(curves.offsets[stars.start]), int(curves.offsets[stars.stop]))
        batch = _Batch(
            phase[points],
            curves.mag[points],
            curves.mag_err[points],
            flux[points],
            flux_err[points],
            curves.offsets[stars.start : stars.stop + 1] - curves.offsets[stars.start],
            starts[0][stars],
            starts[1][stars],
            reference[stars],
        )
        parts.append(_measure_batch(batch, shape))
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    splines = SplineFits(*(np.concatenate(items) for items in zip(*(part.splines for part in parts), strict=True)))
    return _SmoothCurves(
        columns,
        np.concatenate([part.phase_zero for part in parts]),
        np.concatenate([part.maximum for part in parts]),
        np.concatenate([part.residual for part in parts]),
        splines,
    )


class _Batch(NamedTuple):
    """Points of a few stars, and where their fits begin."""

    phase: FloatArray
    mag: npt.NDArray[np.float32]
    mag_err: npt.NDArray[np.float32]
    flux: FloatArray
    flux_err: FloatArray
    offsets: npt.NDArray[np.int64]
    centre: FloatArray
    secondary: FloatArray
    reference: FloatArray


def _measure_batch(batch: _Batch, shape: ShapeSettings) -> _SmoothCurves:
    fits = fit_splines(batch.phase, batch.flux, batch.flux_err, batch.offsets, batch.centre, batch.secondary)
    figures = curve_figures(fits)
    columns = {}
    for number, name in enumerate(FIGURES):
        columns[name], columns[f"e_{name}"] = figures.value[:, number], figures.error[:, number]
    columns["temperature_ratio"], columns["e_temperature_ratio"] = temperature_ratio(
        columns.pop("depth_ratio"), columns.pop("e_depth_ratio"), teff=shape.teff, wavelength=_WAVELENGTH_I
    )
    # The place along the grid; the phase itself is figures.phase_zero.
    columns.pop("phase_zero")
    model = evaluate_splines(fits, batch.phase, batch.offsets)
    with np.errstate(invalid="ignore", divide="ignore"):
        residual = -2.5 * np.log10(batch.flux / np.where(model > 0, model, np.nan))
    _widen_flat(columns, fits, residual, batch.offsets)
    binned = bin_curves(
        batch.phase,
        batch.mag,
        batch.mag_err,
        batch.offsets,
        figures.phase_zero,
        batch.reference,
        residual,
        fits.variance,
    )
    placed = measure_c(figures, BinnedCurves(*binned), columns["depth1"], model=embedding_model())
    columns |= {"c": placed.c, "e_c": placed.e_c, "c_distance": placed.distance}
    without_factor = fits._replace(factor=np.empty((len(fits.stretch), 0, 0)))
    return _SmoothCurves(columns, figures.phase_zero, figures.maximum, residual, without_factor)


def _widen_flat(
    columns: dict[str, FloatArray], fits: SplineFits, residual: FloatArray, offsets: npt.NDArray[np.int64]
) -> None:
    """Give the depths of a flat fit the error of an eclipse that it may have missed.

    A fit without structure is too sure of itself: an eclipse narrower than its bends, and as deep as the mean of the
    points in it can be told from the rest, would not show.
    """
    n_points = np.diff(offsets)
    star = np.repeat(np.arange(len(n_points)), n_points)
    noise = _root_mean_square(residual, star, len(n_points))
    missed = noise / np.sqrt(np.maximum(n_points * _NARROW, 1.0))
    flat = fits.freedom < _FLAT
    for name in ("e_depth1", "e_depth2", "e_depth_difference"):
        columns[name] = np.where(flat, np.hypot(columns[name], missed), columns[name])


def _reference_magnitudes(curves: PackedLightCurves) -> FloatArray:
    return np.array(
        [
            np.median(curves.mag[curves.points_of(i)]) if curves.offsets[i + 1] > curves.offsets[i] else np.nan
            for i in range(len(curves))
        ],
        dtype=np.float64,
    )


def _highest_orders(
    n_points: npt.NDArray[np.int64], gap: FloatArray, fourier: FourierSettings
) -> npt.NDArray[np.int64]:
    """Highest order that the points of each star carry; 0 where it cannot be fitted at all."""
    by_points = ((n_points / fourier.points_per_term - 1) / 2).astype(np.int64)
    order = np.clip(by_points, fourier.order_min, fourier.order_max)
    usable = (n_points >= fourier.min_points) & (gap <= fourier.max_phase_gap)
    return np.where(usable, order, 0)


def _root_mean_square(data: FloatArray, star: npt.NDArray[np.int64], n_stars: int) -> FloatArray:
    count = np.bincount(star, minlength=n_stars)
    total = np.bincount(star, weights=data**2, minlength=n_stars)
    mean_square = np.divide(total, count, out=np.full(n_stars, np.nan), where=count > 0)
    root: FloatArray = np.sqrt(mean_square)
    return root


def _scatter_to(index: npt.NDArray[np.int64], data: FloatArray, n_stars: int) -> FloatArray:
    full = np.full(n_stars, np.nan)
    full[index] = data
    return full
