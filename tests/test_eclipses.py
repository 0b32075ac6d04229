"""Depths, widths, contacts and maxima of smooth curves: analytic curves, errors with coverage, Planck's law."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cbminer.morphology.eclipses import (
    FIGURES,
    N_DRAWS,
    N_HALF,
    _fill_normal,
    curve_figures,
    temperature_ratio,
)
from cbminer.morphology.fourier import FourierSettings
from cbminer.morphology.shape import measure_shapes
from cbminer.morphology.spline import N_KNOTS, fit_splines
from cbminer.survey.packed import pack_light_curves
from cbminer.survey.photometry_file import LightCurve
from cbminer.synthetic.passbands import standard_passband
from cbminer.synthetic.radii import RadiiSettings, draw_by_radii
from cbminer.synthetic.roche import RocheEngine

FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))
COLUMN = {name: number for number, name in enumerate(FIGURES)}


def offset(phase):
    return (phase + 0.5) % 1.0 - 0.5


def gaussians(depth1, depth2, *, width1=0.02, width2=0.02, other=0.5):
    """Flat light with two Gaussian eclipses: losses of flux, standard deviations in cycles, phase of the second."""
    return lambda phase: (
        1.0
        - depth1 * np.exp(-0.5 * (offset(phase) / width1) ** 2)
        - depth2 * np.exp(-0.5 * (offset(phase - other) / width2) ** 2)
    )


def waves(a1=0.02, a2=0.12, a4=0.02, b1=0.0):
    """A contact binary; b1 makes the light after the deeper minimum less than before it."""
    return lambda phase: (
        0.8
        - a1 * np.cos(2 * np.pi * phase)
        - a2 * np.cos(4 * np.pi * phase)
        - a4 * np.cos(8 * np.pi * phase)
        - b1 * np.sin(2 * np.pi * phase)
    )


def observe(shapes, *, n_points=600, noise=1e-4, seed=1):
    rng = np.random.default_rng(seed)
    phase = rng.random((len(shapes), n_points))
    flux = np.array([shape(row) for shape, row in zip(shapes, phase, strict=True)])
    flux = flux + rng.normal(0, noise, flux.shape)
    return phase.ravel(), flux.ravel(), np.full(flux.size, noise), n_points * np.arange(len(shapes) + 1)


def fit(points, *, secondary=0.5):
    n_stars = len(points[3]) - 1
    return fit_splines(*points, np.zeros(n_stars), np.full(n_stars, secondary))


def measure(shapes, *, secondary=0.5, **options):
    return curve_figures(fit(observe(shapes, **options), secondary=secondary))


def truth_of(shape):
    """Depths, their difference and the O'Connell effect of a curve whose minima are at phases 0 and 0.5, in mag."""
    phase = np.arange(100000) / 100000
    mag = -2.5 * np.log10(shape(phase))
    first, second = phase < 0.5, phase >= 0.5
    other = mag[(phase > 0.3) & (phase < 0.7)].max()
    return {
        "depth1": mag.max() - mag.min(),
        "depth2": other - mag.min(),
        "depth_difference": mag.max() - other,
        "oconnell": mag[first].min() - mag[second].min(),
    }


@pytest.mark.parametrize(
    ("depth1", "depth2", "width1", "width2", "other"),
    [
        (0.4, 0.2, 0.02, 0.02, 0.5),
        (0.3, 0.25, 0.03, 0.03, 0.45),
        (0.5, 0.1, 0.015, 0.03, 0.6),
        (0.2, 0.1, 0.05, 0.04, 0.5),
        # Orbits of large eccentricity.
        (0.4, 0.3, 0.015, 0.02, 0.25),
        (0.4, 0.3, 0.02, 0.015, 0.8),
    ],
)
def test_figures_of_two_gaussian_eclipses(depth1, depth2, width1, width2, other):
    shape = gaussians(depth1, depth2, width1=width1, width2=width2, other=other)
    figures = measure([shape] * 2, n_points=2000, secondary=other)
    for star in range(2):
        value = dict(zip(FIGURES, figures.value[star], strict=True))
        mags = [-2.5 * np.log10(1.0 - depth) for depth in (depth1, depth2)]
        assert value["depth1"] == pytest.approx(mags[0], abs=0.004)
        assert value["depth2"] == pytest.approx(mags[1], abs=0.004)
        assert value["depth_difference"] == pytest.approx(mags[0] - mags[1], abs=0.004)
        assert value["depth_ratio"] == pytest.approx(depth2 / depth1, abs=0.01)
        assert value["phase_secondary"] == pytest.approx(other, abs=0.001)
        assert value["oconnell"] == pytest.approx(0.0, abs=0.003)
        assert value["eclipse_width1"] == pytest.approx(FWHM * width1, rel=0.02)
        assert value["eclipse_width2"] == pytest.approx(FWHM * width2, rel=0.02)
        # A straight line through the flank at three and seven tenths of the loss reaches full light at 2.082 sigma.
        assert value["contact_angle1"] == pytest.approx(360 * 2.0822 * width1, rel=0.03)
        assert value["contact_angle2"] == pytest.approx(360 * 2.0822 * width2, rel=0.03)
        assert abs(offset(figures.phase_zero[star])) < 0.001
        assert figures.maximum[star] == pytest.approx(1.0, abs=0.003)


@pytest.mark.parametrize("other", [0.12, 0.25, 0.45, 0.8])
def test_eclipses_of_eccentric_orbits_are_found_wherever_they_are(other):
    shape = gaussians(0.4, 0.3, width1=0.015, width2=0.02, other=other)
    phase, flux, flux_err, offsets = observe([shape] * 3, noise=0.005)
    mag, mag_err = 16.0 - 2.5 * np.log10(flux), flux_err / flux
    parts = [slice(*offsets[k : k + 2]) for k in range(3)]
    curves = [
        LightCurve(2455000.0 + phase[part], mag[part].astype(np.float32), mag_err[part].astype(np.float32))
        for part in parts
    ]
    shapes = measure_shapes(pack_light_curves(["a", "b", "c"], curves), (phase + 0.3) % 1.0, fourier=FourierSettings())
    assert shapes.phase_secondary == pytest.approx(other, abs=0.004)
    assert shapes.phase_zero == pytest.approx(0.3, abs=0.004)
    assert shapes.depth1 == pytest.approx(-2.5 * np.log10(0.6), abs=0.03)
    assert shapes.depth2 == pytest.approx(-2.5 * np.log10(0.7), abs=0.03)


def test_what_needs_a_second_minimum_is_unknown_where_there_is_none():
    figures = measure([gaussians(0.4, 0.0), gaussians(0.4, 0.004)] * 10, n_points=400, noise=0.01)
    for name in ("phase_secondary", "oconnell", "eclipse_width2", "contact_angle2", "depth_ratio"):
        assert np.mean(np.isnan(figures.value[:, COLUMN[name]])) > 0.9, name
    np.testing.assert_array_equal(np.isnan(figures.value), np.isnan(figures.error))
    known = figures.value[:, COLUMN["depth1"]]
    assert np.median(known) == pytest.approx(-2.5 * np.log10(0.6), abs=0.02)
    assert np.isfinite(figures.value[:, [COLUMN["depth2"], COLUMN["eclipse_width1"]]]).all()
    assert np.all(figures.value[:, COLUMN["depth2"]] < 0.05)


def test_half_curves_run_from_the_faintest_to_the_brightest_point():
    shape = waves()
    figures = measure([shape, gaussians(0.4, 0.2)], n_points=2000)
    assert figures.half.shape == (2, N_DRAWS + 1, N_HALF)
    phase = np.arange(N_HALF) / 1000
    mag = np.log(shape(phase))
    assert figures.half[0, 0] == pytest.approx((mag - mag.min()) / (mag.max() - mag.min()), abs=0.005)
    assert figures.half.min() > -0.01
    assert figures.half.max() < 1.01
    assert figures.oddness[0] < 0.01
    odd = measure([waves(b1=0.04)], n_points=2000)
    assert odd.oddness[0] > 0.03


@pytest.mark.parametrize("effect", [0.02, -0.02])
def test_oconnell_is_positive_where_the_maximum_after_the_deeper_minimum_is_the_fainter_one(effect):
    shape = waves(a1=0.04, b1=effect)
    figures = measure([shape], n_points=2000)
    assert abs(offset(figures.phase_zero[0])) < 0.03
    value = figures.value[0, COLUMN["oconnell"]]
    assert np.sign(value) == np.sign(effect)
    assert value == pytest.approx(truth_of(shape)["oconnell"], abs=0.002)


@pytest.mark.parametrize(
    ("shape", "noise"),
    [
        (waves(a1=0.03), 0.01),
        (waves(a1=0.03, b1=0.015), 0.01),
        (waves(a1=0.05), 0.03),
        (gaussians(0.4, 0.2, width1=0.04, width2=0.04), 0.01),
    ],
)
def test_errors_of_analytic_curves_are_honest(shape, noise):
    """Smooth as they are, these are a little better known than stated: 0.66 to 0.78 are within the error."""
    figures = measure([shape] * 400, n_points=500, noise=noise, seed=8)
    # A binary with an O'Connell effect has its minima a little beside phases 0 and 0.5: the truth is that of the curve.
    for name, true in truth_of(shape).items():
        pull = (figures.value[:, COLUMN[name]] - true) / figures.error[:, COLUMN[name]]
        assert 0.62 < np.mean(np.abs(pull) < 1) < 0.82, name
        assert abs(np.mean(pull)) < 0.4, name


@pytest.fixture(scope="module")
def pairs():
    """Half light curves of eclipsing pairs."""
    drawn = draw_by_radii(180, settings=RadiiSettings(most_impact=0.85), rng=np.random.default_rng(77))
    engine = RocheEngine(passbands=(standard_passband("I"),), n_bands=24, threads=1)
    return engine.light_curves(drawn.systems, np.arange(501) / 1000.0)[:, 0]


@pytest.mark.parametrize("noise", [0.01, 0.03])
def test_errors_cover_the_truth_of_eclipsing_pairs(pairs, noise):
    """Measured: 0.68 to 0.72 of the depths are within their error; differences, from equal curves, 0.72 to 0.75."""
    flux = np.tile(pairs / pairs.max(axis=1, keepdims=True), (2, 1))

    def shape_of(half):
        return lambda phase: np.interp(np.abs(offset(phase)), np.arange(501) / 1000.0, half)

    figures = measure([shape_of(half) for half in flux], n_points=600, noise=noise, seed=21)
    # Noise decides which of two like minima is the first; the truth follows.
    turned = np.abs(offset(figures.phase_zero)) > 0.25
    at, other = (2.5 * np.log10(flux.max(axis=1) / flux[:, place]) for place in (0, -1))
    first, second = np.where(turned, other, at), np.where(turned, at, other)
    true = {"depth1": first, "depth2": second, "depth_difference": first - second, "oconnell": 0.0}
    for name, expected in true.items():
        value, error = figures.value[:, COLUMN[name]], figures.error[:, COLUMN[name]]
        pull = ((value - expected) / error)[np.isfinite(value)]
        # Only stars whose other minimum is seen have an O'Connell effect.
        assert len(pull) > (250 if name == "oconnell" else 350)
        assert 0.62 < np.mean(np.abs(pull) < 1) < (0.74 if name in {"depth1", "depth2"} else 0.80), name
        assert abs(np.median(pull)) < 0.4, name


def test_errors_of_widths_contacts_and_phases_follow_their_scatter():
    """Errors are 0.9 to 1.5 times the scatter: a reserve for knots that lie badly."""
    figures = measure([gaussians(0.4, 0.25, width1=0.04, width2=0.04)] * 200, n_points=500, noise=0.01, seed=9)
    names = ("phase_secondary", "eclipse_width1", "eclipse_width2", "contact_angle1", "contact_angle2", "depth_ratio")
    for name in names:
        value, error = figures.value[:, COLUMN[name]], figures.error[:, COLUMN[name]]
        assert 0.6 < np.std(value) / np.median(error) < 1.2, name


def test_errors_grow_with_the_noise():
    errors = [np.median(measure([waves()] * 20, noise=noise).error, axis=0) for noise in (0.005, 0.02)]
    for name in ("depth1", "depth2", "depth_difference", "oconnell", "eclipse_width1"):
        assert 2 < errors[1][COLUMN[name]] / errors[0][COLUMN[name]] < 5, name


def test_a_star_without_a_fit_and_one_whose_flux_touches_zero_have_no_figures():
    points = observe([waves(), waves(), gaussians(1.2, 0.2, width1=0.05)], noise=0.005)
    fits = fit_splines(*points, np.array([0.0, np.nan, 0.0]), np.full(3, 0.5))
    figures = curve_figures(fits)
    assert np.isfinite(figures.value[0]).all()
    for star in (1, 2):
        assert np.isnan(figures.value[star]).all()
        assert np.isnan(figures.error[star]).all()
        assert np.isnan(figures.phase_zero[star])


def test_figures_depend_neither_on_the_stars_beside_nor_on_threads():
    fits = fit(observe([waves(), gaussians(0.4, 0.2), waves(a1=0.04), gaussians(0.3, 0.25, other=0.45)], noise=0.01))
    together = curve_figures(fits)

    def alone(star):
        return curve_figures(type(fits)(*(item[star : star + 1] for item in fits)))

    with ThreadPoolExecutor(4) as pool:
        apart = list(pool.map(alone, [3, 1, 0, 2]))
    for star, one in zip([3, 1, 0, 2], apart, strict=True):
        for name, few, many in zip(one._fields, one, together, strict=True):
            np.testing.assert_array_equal(few[0], many[star], err_msg=name)


def test_draws_are_standard_normal_in_opposite_pairs_and_differ_between_stars():
    rng = np.random.default_rng(1)
    draws = np.empty((300, N_DRAWS, N_KNOTS))
    for star in range(300):
        _fill_normal(rng.normal(0.8, 0.1, N_KNOTS), draws[star])
    half = N_DRAWS // 2
    np.testing.assert_array_equal(draws[:, half:], -draws[:, :half])
    fresh = draws[:, :half].ravel()
    # 144,000 numbers: their mean is known to 0.0026, variance to 0.0037, and kurtosis to 0.013.
    assert abs(fresh.mean()) < 0.011
    assert fresh.var() == pytest.approx(1.0, abs=0.015)
    assert np.mean(fresh**4) == pytest.approx(3.0, abs=0.12)
    assert np.mean(np.abs(fresh) < 1) == pytest.approx(0.6827, abs=0.005)
    flat = draws[:, :half].reshape(300, -1)
    correlation = np.corrcoef(flat)[np.triu_indices(300, 1)]
    assert np.std(correlation) == pytest.approx(1 / np.sqrt(flat.shape[1]), rel=0.1)
    assert np.max(np.abs(correlation)) < 6 / np.sqrt(flat.shape[1])
    # Nor do the rows of a star repeat, or the two numbers that are made at once go together.
    columns = draws[:, :half].reshape(-1, N_KNOTS)
    assert np.max(np.abs(np.corrcoef(columns.T) - np.eye(N_KNOTS))) < 6 / np.sqrt(len(columns))
    again = np.empty((N_DRAWS, N_KNOTS))
    same = np.random.default_rng(1).normal(0.8, 0.1, N_KNOTS)
    _fill_normal(same, again)
    np.testing.assert_array_equal(again, draws[0])


# Ratio of the temperatures and of the light lost in both eclipses at 0.80 um, hotter star of 25,000 K: SCIENCE 8.3.
PLANCK = [(0.99, 0.986), (0.97, 0.958), (0.95, 0.930), (0.90, 0.860), (0.80, 0.722)]


def test_temperature_ratio_inverts_plancks_law():
    wanted, lost = np.array(PLANCK).T
    ratio, _ = temperature_ratio(lost, np.full(len(lost), 0.01), teff=25000.0, wavelength=0.80)
    # The table has three decimals of the light lost.
    assert ratio == pytest.approx(wanted, abs=6e-4)
    x = 14387.768775 / (0.80 * 25000.0)
    exact = np.expm1(x) / np.expm1(x / wanted)
    ratio, error = temperature_ratio(exact, np.full(len(lost), 0.01), teff=25000.0, wavelength=0.80)
    assert ratio == pytest.approx(wanted, rel=1e-12)
    step = 1e-6
    higher, _ = temperature_ratio(exact + step, error, teff=25000.0, wavelength=0.80)
    lower, _ = temperature_ratio(exact - step, error, teff=25000.0, wavelength=0.80)
    assert error == pytest.approx(0.01 * (higher - lower) / (2 * step), rel=1e-6)


def test_temperature_ratio_of_equal_depths_is_one_and_of_none_unknown():
    ratio, error = temperature_ratio(np.array([1.0, 0.0, -0.1, np.nan]), np.full(4, 0.05), teff=30000.0, wavelength=0.8)
    assert ratio[0] == pytest.approx(1.0)
    assert np.isnan(ratio[1:]).all()
    assert np.isnan(error[1:]).all()
    # For hot stars the ratio hardly depends on the temperature.
    warm, hot = (temperature_ratio(np.array([0.9]), np.array([0.01]), teff=t, wavelength=0.8)[0] for t in (2e4, 4e4))
    assert abs(warm - hot)[0] < 0.02
