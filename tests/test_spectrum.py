"""Spectra with several harmonics, and the sums that fits and spectra share, against plain arithmetic and nifty-ls."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbminer.lightcurves.circle import harmonic_series, sums_with, trigonometric_sums, unit_circle
from cbminer.lightcurves.normal_equations import factor_normal, series_of, solve_model, turn_vector
from cbminer.lightcurves.spectrum import FrequencyGrid, harmonic_power

ORDERS = (1, 2, 3, 4, 7, 40)


def observed(n=60, *, seed=1, baseline=90.0):
    """Times that crowd about midnight, and magnitudes of a star with a period of 1.7 d."""
    rng = np.random.default_rng(seed)
    time = 2455000.0 + np.floor(rng.uniform(0, baseline, n)) + rng.normal(0, 0.1, n)
    error = rng.uniform(0.01, 0.05, n)
    mag = 16 + 0.2 * np.cos(2 * np.pi * time / 1.7) + 0.1 * np.cos(4 * np.pi * time / 1.7 + 1) + rng.normal(0, error)
    return time, mag, error**-2.0


def explained(time, mag, weight, frequency, harmonics):
    """Share of the variance that least squares explain."""
    angle = 2 * np.pi * frequency * (time - time.mean())[:, None] * np.arange(1, harmonics + 1)
    root = np.sqrt(weight)
    design = np.hstack([np.ones((len(time), 1)), np.cos(angle), np.sin(angle)]) * root[:, None]
    deviation = root * (mag - np.average(mag, weights=weight))
    left = deviation - design @ np.linalg.lstsq(design, deviation, rcond=None)[0]
    return 1 - np.sum(left**2) / np.sum(deviation**2)


@pytest.mark.parametrize("harmonics", [1, 2, 3])
@pytest.mark.parametrize("n_frequencies", [3, 4, 257, 2050])
def test_power_is_that_of_least_squares(harmonics, n_frequencies):
    time, mag, weight = observed()
    grid = FrequencyGrid(0.05, 3.1 / n_frequencies, n_frequencies)
    power = harmonic_power(time, mag, weight, grid=grid, harmonics=harmonics)
    assert power.shape == (n_frequencies,)
    some = np.unique(np.linspace(0, n_frequencies - 1, 40).astype(int))
    expected = [explained(time, mag, weight, grid.frequencies()[k], harmonics) for k in some]
    assert power[some] == pytest.approx(expected, abs=2e-6)


def test_power_is_that_of_nifty_ls():
    nifty_ls = pytest.importorskip("nifty_ls")
    time, mag, weight = observed(300, baseline=900.0)
    grid = FrequencyGrid(0.01, 0.0002, 20000)
    power = harmonic_power(time, mag, weight, grid=grid, harmonics=2)
    reference = nifty_ls.lombscargle(
        time - time.mean(),
        mag,
        weight**-0.5,
        fmin=grid.lowest,
        fmax=float(grid.frequencies()[-1]),
        Nf=grid.n_frequencies,
        nterms=2,
        backend="finufft_chi2",
        nthreads=1,
    ).power
    assert power == pytest.approx(np.asarray(reference), abs=1e-6)
    assert grid.frequencies()[np.argmax(power)] == pytest.approx(1 / 1.7, abs=2e-4)


def test_frequencies_that_the_sampling_cannot_tell_from_a_constant_have_no_power():
    time = 2455000.0 + np.arange(80.0)
    mag = 16 + 0.1 * np.cos(2 * np.pi * time / 7.3)
    power = harmonic_power(time, mag, np.full(80, 1e4), grid=FrequencyGrid(1.0, 1.0, 3), harmonics=2)
    assert power == pytest.approx(np.zeros(3), abs=1e-3)


def test_power_depends_on_the_zero_point_neither_of_time_nor_of_magnitudes():
    time, mag, weight = observed()
    grid = FrequencyGrid(0.05, 0.001, 3000)
    power = harmonic_power(time, mag, weight, grid=grid, harmonics=2)
    shifted = harmonic_power(time - 2455000.0, mag - 16.0, weight, grid=grid, harmonics=2)
    assert shifted == pytest.approx(power, abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=20))
def test_points_lie_on_the_circle_at_their_phases(cycles):
    cosine, sine = unit_circle(np.array(cycles))
    angle = 2 * np.pi * (np.array(cycles) - np.round(cycles))
    assert cosine == pytest.approx(np.cos(angle), abs=3e-15)
    assert sine == pytest.approx(np.sin(angle), abs=3e-15)


@pytest.mark.parametrize("order", ORDERS)
def test_sums_are_those_of_all_harmonics(order):
    rng = np.random.default_rng(order)
    cycles, mag, weight = rng.uniform(-50, 50, 101), rng.normal(size=101), rng.uniform(1, 2, 101)
    angle = 2 * np.pi * cycles * np.arange(2 * order + 1)[:, None]
    sums = trigonometric_sums(unit_circle(cycles), mag, weight, order)
    assert sums[0, : 2 * order + 1] == pytest.approx(np.cos(angle) @ weight, abs=1e-9)
    assert sums[1, : 2 * order + 1] == pytest.approx(np.sin(angle) @ weight, abs=1e-9)
    assert sums[2, : order + 1] == pytest.approx(np.cos(angle[: order + 1]) @ (weight * mag), abs=1e-9)
    assert sums[3, : order + 1] == pytest.approx(np.sin(angle[: order + 1]) @ (weight * mag), abs=1e-9)
    crossed = sums_with(unit_circle(cycles), mag, order)
    assert crossed[0] == pytest.approx(np.cos(angle[: order + 1]) @ mag, abs=1e-9)
    assert crossed[1] == pytest.approx(np.sin(angle[: order + 1]) @ mag, abs=1e-9)


@pytest.mark.parametrize("order", ORDERS)
def test_series_have_their_values_and_slopes(order):
    rng = np.random.default_rng(order)
    cycles, harmonic = rng.uniform(-2, 2, 37), np.arange(1, order + 1)
    coefficients = rng.normal(size=2 * order + 1)
    angle = 2 * np.pi * cycles[:, None] * harmonic
    by_cosine, by_sine = coefficients[1::2], coefficients[2::2]
    model, slope = harmonic_series(unit_circle(cycles), series_of(coefficients, harmonic, order), order)
    assert model == pytest.approx(coefficients[0] + np.cos(angle) @ by_cosine + np.sin(angle) @ by_sine, abs=1e-10)
    expected = np.cos(angle) @ (harmonic * by_sine) - np.sin(angle) @ (harmonic * by_cosine)
    assert slope == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("harmonic", [[1], [2, 1], [4, 2, 6, 1, 3, 5], [8, 16, 4, 12, 2, 6, 10, 1, 3]])
def test_factor_solves_the_normal_equations(harmonic):
    rng = np.random.default_rng(3)
    cycles, mag, weight = rng.uniform(0, 1, 90), rng.normal(size=90), rng.uniform(1, 2, 90)
    angle = 2 * np.pi * cycles[:, None] * np.array(harmonic)
    design = np.ones((90, 2 * len(harmonic) + 1))
    design[:, 1::2], design[:, 2::2] = np.cos(angle), np.sin(angle)
    ridge = 0.3 * np.eye(design.shape[1])
    ridge[0, 0] = 0.0
    matrix, data = design.T @ (weight[:, None] * design) + ridge, design.T @ (weight * mag)
    sums = trigonometric_sums(unit_circle(cycles), mag, weight, max(harmonic))
    upper, turned = factor_normal(sums, np.array(harmonic), 0.3)
    n_terms = len(turned)
    triangle = np.triu(upper[:, :n_terms])
    assert triangle.T @ triangle == pytest.approx(matrix, abs=1e-9)
    assert solve_model(upper, turned, n_terms) == pytest.approx(np.linalg.solve(matrix, data), abs=1e-10)
    vector = rng.normal(size=n_terms)
    solution = turn_vector(upper, vector, n_terms)
    assert solution @ solution == pytest.approx(vector @ np.linalg.solve(matrix, vector))
