"""The smooth curve through a folded light curve: it follows narrow eclipses, does not ring, and knows its error."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cbminer.lightcurves.harmonics import evaluate_harmonics, fit_harmonics
from cbminer.morphology.spline import (
    N_KNOTS,
    STRETCHES,
    evaluate_splines,
    fit_splines,
    spline_basis,
    spline_places,
)

NOISE = 0.005
DENSE = np.arange(2000) / 2000


def offset(phase):
    return (phase + 0.5) % 1.0 - 0.5


def cosine(phase):
    return 0.8 - 0.1 * np.cos(4 * np.pi * phase)


def contact(phase):
    return 0.8 - 0.12 * np.cos(4 * np.pi * phase) - 0.02 * np.cos(8 * np.pi * phase) - 0.01 * np.cos(2 * np.pi * phase)


def boxes(phase):
    """Flat light with a deep and a shallow eclipse of straight, steep flanks, 0.025 and 0.04 cycles wide."""

    def eclipse(at):
        return np.clip((0.02 - np.abs(offset(phase - at))) / 0.0075, 0.0, 1.0)

    return 1.0 - 0.4 * eclipse(0.0) - 0.25 * eclipse(0.5)


def dips(phase):
    return (
        1.0 - 0.4 * np.exp(-0.5 * (offset(phase) / 0.01) ** 2) - 0.2 * np.exp(-0.5 * (offset(phase - 0.45) / 0.01) ** 2)
    )


def observe(shapes, *, n_points=500, noise=NOISE, seed=1):
    """Fluxes of stars at random phases."""
    rng = np.random.default_rng(seed)
    phase = rng.random((len(shapes), n_points))
    flux = np.array([shape(row) for shape, row in zip(shapes, phase, strict=True)])
    flux = flux + rng.normal(0, noise, flux.shape)
    offsets = n_points * np.arange(len(shapes) + 1)
    return phase.ravel(), flux.ravel(), np.full(flux.size, noise), offsets


def fit(points, *, centre=0.0, secondary=0.5):
    n_stars = len(points[3]) - 1
    return fit_splines(*points, np.full(n_stars, centre), np.full(n_stars, secondary))


def curve_of(fits, star=0, phase=DENSE):
    one = type(fits)(*(item[star : star + 1] for item in fits))
    return evaluate_splines(one, phase, np.array([0, len(phase)]))


def sigma_of(fits, star=0, phase=DENSE):
    basis = spline_basis(phase - fits.centre[star], fits.secondary[star], fits.stretch[star])
    return np.sqrt(np.sum((basis @ fits.factor[star]) ** 2, axis=1))


def test_a_cosine_is_recovered_within_its_error_and_more_stiffly_where_noise_is_larger():
    freedom = []
    for noise in (0.005, 0.02, 0.08):
        fits = fit(observe([cosine] * 5, noise=noise))
        for star in range(5):
            difference = curve_of(fits, star) - cosine(DENSE)
            assert np.max(np.abs(difference)) < 4.5 * np.median(sigma_of(fits, star))
            assert np.sqrt(np.mean(difference**2)) < 1.6 * np.median(sigma_of(fits, star))
            assert np.sqrt(np.mean(difference**2)) < 0.3 * noise
        freedom.append(fits.freedom.max())
    assert freedom[0] > freedom[1] > freedom[2]
    assert freedom[2] < 16


def test_the_curve_is_periodic_and_smooth_across_phase_zero_and_across_its_knots():
    points = observe([dips, contact])
    fits = fit(points)
    for star in range(2):
        phase = np.array([0.0, 0.1, 0.45, 0.9999])
        for turns in (-2, -1, 1, 3):
            assert curve_of(fits, star, phase + turns) == pytest.approx(curve_of(fits, star, phase), abs=1e-10)
        # Seams of the phase itself, and of the distributions that stretch it, half a cycle from either minimum.
        step = 1e-5
        slope = np.max(np.abs(np.gradient(curve_of(fits, star), DENSE)))
        bend = np.max(np.abs(np.gradient(np.gradient(curve_of(fits, star), DENSE), DENSE)))
        for seam in (0.0, 0.5, fits.centre[star] + 0.5, fits.centre[star] + fits.secondary[star] + 0.5, 0.25):
            low2, low, here, high, high2 = curve_of(fits, star, seam + step * np.array([-2, -1, 0, 1, 2]))
            assert abs((high - here) - (here - low)) / step < 1e-2 * slope
            left, right = (here - 2 * low + low2) / step**2, (high2 - 2 * high + here) / step**2
            assert abs(left - right) < 0.05 * bend


def test_narrow_eclipses_neither_ring_nor_lose_their_depth_where_harmonics_do():
    points = observe([boxes] * 4, n_points=1000)
    fits = fit(points)
    order, coefficients, *_ = fit_harmonics(*points, 10, np.full(4, 10))
    outside = (np.abs(offset(DENSE)) > 0.03) & (np.abs(offset(DENSE - 0.5)) > 0.03)
    bottom = (np.abs(offset(DENSE)) < 0.006) | (np.abs(offset(DENSE - 0.5)) < 0.006)
    for star in range(4):
        curve = curve_of(fits, star)
        harmonics = evaluate_harmonics(
            DENSE, np.array([0, len(DENSE)]), order[star : star + 1], coefficients[star : star + 1]
        )
        ringing, of_harmonics = (np.max(np.abs(each[outside] - 1.0)) for each in (curve, harmonics))
        assert of_harmonics > 0.04
        assert ringing < 3.5 * NOISE
        assert np.max(np.abs(curve[bottom] - boxes(DENSE[bottom]))) < 0.03
        assert curve.max() < 1.0 + 3 * NOISE


def test_a_lone_outlier_makes_no_spike():
    for shape in (contact, dips):
        points = observe([shape] * 10)
        clean = fit(points)
        phase, flux, flux_err, offsets = (item.copy() for item in points)
        for star in range(10):
            # One point between eclipses and far below, each star at another phase.
            place = offsets[star] + np.argmin(np.abs(phase[offsets[star] : offsets[star + 1]] - (0.12 + 0.02 * star)))
            flux[place] -= 0.3
        spoiled = fit((phase, flux, flux_err, offsets))
        for star in range(10):
            change = curve_of(spoiled, star) - curve_of(clean, star)
            assert np.max(np.abs(change)) < 1.5 * NOISE, (shape.__name__, star)


def test_the_stretch_follows_narrow_eclipses_and_leaves_broad_ones():
    fits = fit(observe([cosine, contact, dips, boxes]))
    assert np.all(STRETCHES[fits.stretch[:2]] >= 0)
    assert np.all(STRETCHES[fits.stretch[2:]] > 0)
    assert np.all(STRETCHES[fits.stretch[2:]] <= 0.06)
    assert np.all(fits.freedom[2:] > fits.freedom[:2].max())


@pytest.mark.parametrize("wrong", [-0.2, -0.07, 0.1, 0.2])
def test_narrow_eclipses_are_found_from_a_wrong_start(wrong):
    points = observe([dips] * 4, seed=4)
    fits = fit(points, centre=wrong % 1.0, secondary=0.5)
    for star in range(4):
        assert abs(offset(fits.centre[star])) < 0.01
        assert curve_of(fits, star, np.array([0.0]))[0] == pytest.approx(0.6, abs=0.02)
        assert curve_of(fits, star, np.array([0.45]))[0] == pytest.approx(0.8, abs=0.02)


@hypothesis_settings(deadline=None, max_examples=15)
@given(st.floats(0, 1))
def test_the_zero_of_the_phase_does_not_matter(shift):
    phase, flux, flux_err, offsets = observe([contact, dips], seed=2)
    still = fit((phase, flux, flux_err, offsets))
    moved = fit(((phase + shift) % 1.0, flux, flux_err, offsets), centre=shift % 1.0)
    for star in range(2):
        assert curve_of(moved, star, DENSE + shift) == pytest.approx(curve_of(still, star), abs=0.3 * NOISE)
    assert curve_of(moved, 0, DENSE + shift) == pytest.approx(curve_of(still, 0), abs=1e-6)


@pytest.mark.parametrize("shape", [cosine, contact, dips, boxes])
def test_the_posterior_covers_the_truth(shape):
    """70 to 73 per cent with the points of a survey; curves smoother than the prior expects get a wider one with few."""
    phase = np.arange(100) / 100
    for n_points, most in ((600, 0.74), (300, 0.80)):
        fits = fit(observe([shape] * 120, n_points=n_points, noise=0.01, seed=5))
        inside = [np.abs(curve_of(fits, k, phase) - shape(phase)) < sigma_of(fits, k, phase) for k in range(120)]
        assert 0.62 < np.mean(inside) < most


def test_posterior_and_terms_are_those_of_the_normal_equations():
    """Noise within two sigma, so that no point counts less: the fit is linear algebra that numpy can repeat."""
    rng = np.random.default_rng(3)
    phase = rng.random(400)
    flux = contact(phase) + rng.uniform(-1.7 * NOISE, 1.7 * NOISE, 400)
    fits = fit((phase, flux, np.full(400, NOISE), np.array([0, 400])))
    basis = spline_basis(phase - fits.centre[0], fits.secondary[0], fits.stretch[0])
    covariance = fits.factor[0] @ fits.factor[0].T / fits.variance[0]
    weighted = basis.T / NOISE**2
    mean = flux.mean()
    assert fits.coefficients[0] == pytest.approx(mean + covariance @ weighted @ (flux - mean), abs=1e-6)
    assert fits.freedom[0] == pytest.approx(np.trace(covariance @ weighted @ basis), rel=1e-6)
    assert 1 < fits.freedom[0] < N_KNOTS


def test_understated_errors_widen_the_posterior():
    phase, flux, flux_err, offsets = observe([contact] * 8, noise=0.02)
    honest, bold = fit((phase, flux, flux_err, offsets)), fit((phase, flux, flux_err / 4, offsets))
    assert np.all(bold.variance > 8)
    assert np.all(honest.variance >= 1)
    ratio = [np.median(sigma_of(bold, star) / sigma_of(honest, star)) for star in range(8)]
    assert np.median(ratio) == pytest.approx(1.0, abs=0.15)


def test_effective_terms_lie_between_one_and_the_knots():
    constant = observe([lambda x: 1.0 + 0 * x] * 10)
    fits = fit((*constant[:3], constant[3]))
    assert np.all((fits.freedom > 0.99) & (fits.freedom < N_KNOTS))
    assert np.median(fits.freedom) < 4
    wild = fit(observe([lambda x: 1.0 + 0.3 * np.sin(40 * np.pi * x)], n_points=2000))
    assert 35 < wild.freedom[0] < N_KNOTS


def test_a_star_without_a_centre_has_no_fit_and_leaves_its_neighbours_alone():
    points = observe([contact, contact, dips])
    whole = fit(points)
    centre = np.array([0.0, np.nan, 0.0])
    fits = fit_splines(*points, centre, np.full(3, 0.5))
    assert list(fits.stretch >= 0) == [True, False, True]
    assert np.isnan(fits.variance[1])
    assert np.isnan(fits.freedom[1])
    flux = evaluate_splines(fits, points[0], points[3])
    assert np.isnan(flux[500:1000]).all()
    np.testing.assert_array_equal(flux[:500], evaluate_splines(whole, points[0], points[3])[:500])
    np.testing.assert_array_equal(fits.coefficients[2], whole.coefficients[2])


def test_a_fit_does_not_depend_on_the_stars_beside_it():
    points = observe([contact, dips, cosine, boxes])
    together = fit(points)
    for star in range(4):
        part = slice(500 * star, 500 * (star + 1))
        alone = fit((points[0][part], points[1][part], points[2][part], np.array([0, 500])))
        for name, one, many in zip(together._fields, alone, together, strict=True):
            np.testing.assert_array_equal(one[0], many[star], err_msg=name)


def test_values_are_those_of_the_basis():
    points = observe([contact, dips])
    fits = fit(points)
    for star in range(2):
        relative = DENSE - fits.centre[star]
        basis = spline_basis(relative, fits.secondary[star], fits.stretch[star])
        assert curve_of(fits, star) == pytest.approx(basis @ fits.coefficients[star], abs=1e-12)
        first, weight = spline_places(relative, fits.secondary[star], fits.stretch[star])
        for k in range(4):
            np.testing.assert_array_equal(basis[np.arange(len(DENSE)), (first + k) % N_KNOTS], weight[:, k])


@pytest.mark.parametrize("stretch", range(len(STRETCHES)))
def test_the_basis_shares_unity_and_crowds_about_both_minima(stretch):
    basis = spline_basis(DENSE, 0.42, stretch)
    assert basis.sum(axis=1) == pytest.approx(1.0, abs=1e-12)
    assert np.all(basis >= 0)
    # The first of the four functions that are not zero counts the knots that lie before a phase.
    first, _ = spline_places(np.array([-0.03, 0.03, 0.39, 0.45]), 0.42, stretch)
    about_primary, about_secondary = (first[1] - first[0]) % N_KNOTS, (first[3] - first[2]) % N_KNOTS
    if stretch == 0:
        assert max(about_primary, about_secondary) <= 4
    elif STRETCHES[stretch] <= 0.03:
        assert min(about_primary, about_secondary) > 7
