"""What goes into a fit, and the likelihood, against sums done by hand and by brute force."""

import numpy as np
import pytest
from fit_tables import SMALL, observed, true_flux
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid
from scipy.stats import norm

from cbminer.errors import InputFormatError
from cbminer.ranking.fit_data import FoldedPoints, prepare_curves
from cbminer.ranking.fit_likelihood import CurveLikelihood
from cbminer.ranking.fit_model import CONTACT, HYPOTHESES, NEAR_CONTACT
from cbminer.ranking.fit_settings import FitPriors
from cbminer.ranking.fit_table import CurveTable, TableAxis
from cbminer.ranking.fit_tables import half_phases
from cbminer.ranking.fitting import estimate_teff

PRIORS = FitPriors()
TRUTH = (0.9, 75.0, 0.4, 0.98, 0.0, 0.001)
PHASES = half_phases(SMALL.tables)


def half(flux):
    """Phases of a table out of a curve of 400 phases, over the flux at phase 0.25."""
    return flux[:, np.round(PHASES * 400).astype(int)] / flux[:, 100:101]


@settings(deadline=None)
@given(st.lists(st.floats(-2, 2), min_size=4, max_size=4), st.floats(0, 1), st.floats(0, 1))
def test_cubics_are_interpolated_exactly(coefficients, x, y):
    axes = (TableAxis(-1.0, 2.0, 7), TableAxis(0.5, 1.5, 3))
    grid = np.stack([item.ravel() for item in np.meshgrid(*(axis.nodes for axis in axes), indexing="ij")], axis=1)

    def function(at):
        return np.polyval(coefficients, at[:, 0]) * (1.0 + at[:, 1] - 0.5 * at[:, 1] ** 2)

    table = CurveTable(axes, np.column_stack([function(grid), np.ones(len(grid))]).astype(np.float32))
    at = np.array([[-1.0 + 3.0 * x, 0.5 + y]])
    assert np.allclose(table.at(at)[0], [function(at)[0], 1.0], atol=1e-4)


def test_places_beyond_the_table_count_as_on_its_edge():
    table = CurveTable((TableAxis(0.0, 1.0, 5),), np.arange(5, dtype=np.float32)[:, np.newaxis])
    assert np.allclose(table.at(np.array([[-3.0], [7.0], [0.5]]))[:, 0], [0.0, 4.0, 2.0])


@pytest.mark.parametrize("model", HYPOTHESES)
def test_priors(model):
    rng = np.random.default_rng(3)
    drawn = model.from_unit_cube(rng.random((20000, len(model.parameters))), PRIORS)
    columns = dict(zip(model.parameters, drawn.T, strict=True))
    assert columns["mass_ratio"].mean() == pytest.approx(0.6, abs=0.01)
    cosine = np.cos(np.radians(columns["inclination"]))
    assert cosine.mean() == pytest.approx(np.cos(np.radians(20.0)) / 2, abs=0.01)
    assert (columns["third_light"] > 0.02).mean() == pytest.approx(0.2, abs=0.01)
    assert columns["third_light"].max() <= 0.5
    expected = 1.0 if model is CONTACT else np.sqrt(columns["mass_ratio"])
    relative = columns["teff_ratio"] / expected
    assert relative.mean() == pytest.approx(1.0, abs=0.002)
    assert relative.std() == pytest.approx(0.04, abs=0.002)
    # A node of the table is made of the parameters that lead there.
    there = model.parameters_at(model.places(drawn))
    assert np.allclose(there[:, :-2], drawn[:, :-2])


def test_errors_follow_the_scatter_and_outliers_go():
    rng = np.random.default_rng(8)
    phase = rng.random(2000)
    mag = 16.0 + 0.2 * np.cos(4 * np.pi * phase) + 0.02 * rng.normal(size=2000)
    mag[:10] += 0.5
    found = prepare_curves("star", {"I": FoldedPoints(phase, mag, np.full(2000, 0.01))}, settings=SMALL.data)
    band = found.bands["I"]
    assert band.error_scale == pytest.approx(2.0, rel=0.05)
    assert band.n_clipped == 10
    assert 1.0 / np.sqrt((band.mag_err**-2.0).sum()) == pytest.approx(0.02 / np.sqrt(1990), rel=0.05)


def test_axis_of_symmetry_is_found():
    found = observed(CONTACT, TRUTH, shift=0.017, noise=0.0)
    assert found.phase_shift == pytest.approx(0.017, abs=2e-4)


def test_too_few_points():
    few = FoldedPoints(np.linspace(0, 0.9, 30), np.full(30, 16.0), np.full(30, 0.01))
    with pytest.raises(InputFormatError, match=r"star: 30 points in I, a fit needs 60"):
        prepare_curves("star", {"I": few}, settings=SMALL.data)
    with pytest.raises(InputFormatError, match="0 points in I"):
        prepare_curves("star", {"V": few}, settings=SMALL.data)
    assert list(observed(CONTACT, TRUTH, n=(400, 10)).bands) == ["I"]


def test_chi_square_of_the_truth_is_that_of_noise():
    flux = half(true_flux(CONTACT, TRUTH))[np.newaxis]
    found = []
    for seed in range(20):
        curves = observed(CONTACT, TRUTH, seed=seed)
        data = CurveLikelihood(curves, PHASES, 0.003)
        found.append((data.chi_square(flux, np.zeros(1))[0, 0] - (curves.n_bins - 3)) / np.sqrt(2 * curves.n_bins))
    assert np.mean(found) == pytest.approx(0.0, abs=0.6)
    assert 0.4 < np.std(found) < 2.0


def test_shifts_are_integrated_out():
    """The closed form against sums over zero points and phases."""
    data = CurveLikelihood(observed(CONTACT, TRUTH, n=(400, 10), shift=0.001), PHASES, 0.003)
    flux = half(true_flux(CONTACT, TRUTH))[np.newaxis]
    ours = data.log_likelihood(flux, np.zeros(1), np.full(1, 0.002))[0, 0]
    band = data.curves.bands["I"]
    match = data._matches(flux, np.zeros(1), np.full(1, 0.002), 0, None)["I"]
    error = np.sqrt(match.variance[0])
    zeros, shifts = 16.0 + np.linspace(-0.02, 0.02, 401), np.linspace(-0.006, 0.006, 201)
    logs = (
        np.array(
            [
                [norm.logpdf(match.residual[0] - zero - shift * match.slope[0], 0.0, error).sum() for zero in zeros]
                for shift in shifts
            ]
        )
        + norm.logpdf(shifts, 0.0, 0.003)[:, np.newaxis]
    )
    peak = logs.max()
    brute = peak + np.log(trapezoid(trapezoid(np.exp(logs - peak), zeros, axis=1), shifts))
    assert ours == pytest.approx(brute, abs=0.05)
    assert len(band.phase) == 50


def test_an_unknown_temperature_is_integrated_out():
    """The closed form against a sum over temperatures, and a curve of another temperature than the assumed one."""
    assumed, hotter = (half(true_flux(CONTACT, TRUTH, teff_1=teff))[np.newaxis] for teff in (25000.0, 30000.0))
    by_teff = hotter - assumed
    data = CurveLikelihood(observed(CONTACT, TRUTH, n=(600, 10), error=0.001, teff_1=16000.0), PHASES, 0.003)
    none, error = np.zeros(1), np.full(1, 1e-4)
    ours = data.log_likelihood(assumed, none, error, by_teff=by_teff)[0, 0]
    steps = np.linspace(-7.0, 3.0, 801)
    # Linear in magnitudes as the closed form is, not in flux.
    shifted = assumed * np.exp(steps[:, None, None] * by_teff / assumed)
    logs = data.log_likelihood(shifted, np.zeros(801), np.full(801, 1e-4))[:, 0] + norm.logpdf(steps)
    brute = logs.max() + np.log(trapezoid(np.exp(logs - logs.max()), steps))
    assert ours == pytest.approx(brute, abs=0.3)
    chi2 = [
        data.chi_square(curve, none, by_teff=change)[0, 0] for curve, change in ((assumed, None), (assumed, by_teff))
    ]
    assert chi2[1] < chi2[0] - 10


def test_slope_is_that_of_a_curve_that_comes_later():
    data = CurveLikelihood(observed(CONTACT, TRUTH), PHASES, 0.003)
    flux = half(true_flux(CONTACT, TRUTH))[np.newaxis]
    band = data.curves.bands["I"]
    match = data._matches(flux, np.zeros(1), np.zeros(1), 0, None)["I"]
    step = 1e-4
    value = data._operators(band.phase)[0]
    later = data._operators(band.phase - step)[0]
    expected = -2.5 * np.log10((flux[0, 0] @ later) / (flux[0, 0] @ value)) / step
    assert np.allclose(match.slope[0], expected, atol=0.02 * np.abs(expected).max())


def test_half_a_cycle_exchanges_the_stars():
    curves = observed(NEAR_CONTACT, (0.7, 80.0, 0.98, 0.95, 0.84, 0.0, 0.001))
    later = observed(NEAR_CONTACT, (0.7, 80.0, 0.98, 0.95, 0.84, 0.0, 0.001), shift=0.5)
    flux = half(true_flux(NEAR_CONTACT, (0.7, 80.0, 0.98, 0.95, 0.84, 0.0, 0.001)))[np.newaxis]
    first, second = (
        CurveLikelihood(item, PHASES, 0.003).log_likelihood(flux, np.zeros(1), np.full(1, 0.002))[0]
        for item in (curves, later)
    )
    assert first[0] > first[1] + 10
    assert second[1] > second[0] + 10


def test_third_light_dilutes():
    truth = (0.9, 75.0, 0.4, 0.98, 0.3, 0.001)
    data = CurveLikelihood(observed(CONTACT, truth), PHASES, 0.003)
    flux = half(true_flux(CONTACT, (*truth[:4], 0.0, 0.001)))[np.newaxis].repeat(3, axis=0)
    chi2 = data.chi_square(flux, np.array([0.0, 0.3, 0.45]))[:, 0]
    assert chi2[1] < 1.5 * data.curves.n_bins < min(chi2[0], chi2[2])


def test_model_passes_through_the_points():
    curves = observed(CONTACT, TRUTH, noise=0.0, shift=0.3)
    shifted = observed(CONTACT, TRUTH, noise=0.0)
    flux = half(true_flux(CONTACT, TRUTH))
    data = CurveLikelihood(shifted, PHASES, 0.003)
    phase, magnitude = data.model(flux, 0.0, 0)["V"]
    band = shifted.bands["V"]
    assert np.abs(np.interp(band.phase, phase, magnitude) - band.mag).max() < 0.005
    # A minimum that is nowhere near phase 0 is no axis of symmetry, and is not fitted well.
    wrong = CurveLikelihood(curves, PHASES, 0.003).chi_square(flux[np.newaxis], np.zeros(1)).min()
    assert wrong > 100 * curves.n_bins


def test_temperature_by_colour():
    assert estimate_teff(np.nan, 0.05, priors=PRIORS).teff == pytest.approx(24000, rel=0.05)
    blue, red = (estimate_teff(colour, 0.02, priors=PRIORS).teff for colour in (-0.33, -0.15))
    assert blue > 27000
    assert red < 17500
    # A colour that no star has is that of the nearest one, not an error.
    assert np.isfinite(estimate_teff(3.0, 0.02, priors=PRIORS)).all()
    # A better colour makes a better temperature, and none at all leaves the prior's scatter.
    errors = [estimate_teff(-0.15, error, priors=PRIORS).e_ln_teff for error in (0.01, 0.05, np.nan)]
    assert errors[0] < errors[1] < errors[2]
