"""Measured c on the scale of published values: a rising function, its error, and when there is none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cbminer.morphology.calibration import CCalibration, calibrate_c


def scale(c):
    return 0.1 + 0.7 * c + 0.15 * c**2


def stars(n=400, *, scatter=0.01, seed=1, law=scale):
    rng = np.random.default_rng(seed)
    measured = rng.uniform(0.1, 0.95, n)
    return measured, law(measured) + scatter * rng.normal(size=n)


def test_a_rising_scale_is_recovered():
    measured, published = stars()
    found = calibrate_c(measured, 0.0 * measured, published, least_stars=30)
    c = np.linspace(0.15, 0.9, 50)
    calibrated, error = found.apply(c, np.full(50, 0.02))
    assert calibrated == pytest.approx(scale(c), abs=0.012)
    assert found.n_stars == 400
    assert found.scatter == pytest.approx(0.01, rel=0.35)
    assert found.correlation > 0.99
    assert found.offset == pytest.approx(np.median(published - measured), abs=1e-12)
    assert np.all(error > 0.01)


def test_a_step_in_the_scale_stays_rising_and_outliers_do_not_pull():
    measured, published = stars(law=lambda c: np.where(c < 0.5, 0.3 + 0.2 * c, 0.7 + 0.2 * c))
    wrong = np.random.default_rng(2).random(400) < 0.1
    published[wrong] = 0.05
    found = calibrate_c(measured, 0.0 * measured, published, least_stars=30)
    assert np.all(np.diff(found.published) >= 0)
    c = np.array([0.2, 0.35, 0.65, 0.85])
    assert found.apply(c, np.full(4, 0.01))[0] == pytest.approx(np.where(c < 0.5, 0.3, 0.7) + 0.2 * c, abs=0.02)


def test_fewer_stars_than_asked_give_none_and_unknown_values_do_not_count():
    measured, published = stars(40)
    assert calibrate_c(measured, 0.0 * measured, published, least_stars=41) is None
    assert calibrate_c(measured, 0.0 * measured, published, least_stars=40).n_stars == 40
    measured[:5], published[3:10] = np.nan, np.nan
    assert calibrate_c(measured, 0.0 * measured, published, least_stars=31) is None
    known = calibrate_c(measured, 0.0 * measured, published, least_stars=30)
    assert known.n_stars == 30
    same = calibrate_c(measured[10:], 0.0 * measured[10:], published[10:], least_stars=30)
    np.testing.assert_array_equal(known.published, same.published)
    assert calibrate_c(np.full(50, np.nan), np.zeros(50), np.full(50, 0.5), least_stars=10) is None


def test_values_that_fall_as_the_others_rise_give_none():
    measured, published = stars(100)
    assert calibrate_c(measured, 0.0 * measured, 1.0 - published, least_stars=30) is None


def test_errors_are_stretched_by_the_slope():
    half = CCalibration(np.linspace(0, 1, 11), 0.25 + 0.5 * np.linspace(0, 1, 11), 100, 0.0, 0.0, 1.0)
    c, error = half.apply(np.array([0.4, 0.6]), np.array([0.02, 0.1]))
    assert c == pytest.approx([0.45, 0.55])
    assert error == pytest.approx([0.01, 0.05])
    rough = CCalibration(half.measured, half.published, 100, 0.0, 0.03, 1.0)
    assert rough.apply(np.array([0.4]), np.array([0.08]))[1] == pytest.approx([0.05])
    # Beyond the nodes the scale goes on as it ends, and errors stay as they are.
    short = CCalibration(np.array([0.4, 0.6]), np.array([0.5, 0.6]), 100, 0.0, 0.0, 1.0)
    c, error = short.apply(np.array([0.2, 0.7]), np.array([0.03, 0.03]))
    assert c == pytest.approx([0.3, 0.7])
    assert error == pytest.approx([0.03, 0.03])


def test_unknown_c_stays_unknown():
    measured, published = stars()
    found = calibrate_c(measured, 0.0 * measured, published, least_stars=30)
    c, error = found.apply(np.array([np.nan, 0.5]), np.array([np.nan, 0.02]))
    assert list(np.isnan(c)) == [True, False]
    assert np.isnan(error[0])


@hypothesis_settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(12, 120),
    st.floats(0, 0.5),
    st.lists(st.floats(-0.2, 1.3), min_size=2, max_size=40),
)
def test_calibrated_c_never_falls_where_measured_c_rises(seed, n, scatter, c):
    measured, published = stars(n, scatter=scatter, seed=seed)
    found = calibrate_c(measured, 0.0 * measured, published, least_stars=10)
    if found is None:
        return
    rising = np.sort(c)
    calibrated, error = found.apply(rising, np.full(len(rising), 0.02))
    assert np.all(np.diff(calibrated) >= -1e-12)
    assert np.all((calibrated >= 0) & (calibrated <= 1.1))
    assert np.all(np.isfinite(error) & (error >= found.scatter))


def test_constant_values_are_no_scale():
    measured = np.linspace(0.1, 0.9, 40)
    assert calibrate_c(measured, 0.01 * np.ones(40), np.full(40, 0.7), least_stars=30) is None


def test_errors_of_measurement_do_not_count_twice():
    rng = np.random.default_rng(4)
    true = rng.uniform(0.1, 0.9, 2000)
    measured = true + 0.02 * rng.normal(size=2000)
    found = calibrate_c(measured, np.full(2000, 0.02), true, least_stars=30)
    assert found.scatter < 0.01
