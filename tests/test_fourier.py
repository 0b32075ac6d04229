"""Shapes of light curves: the figures of PHOEBE, errors with coverage, and hard cases."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.interpolate import PchipInterpolator
from scipy.optimize import least_squares

from cbminer.lightcurves.folding import fold
from cbminer.morphology.fourier import FourierSettings
from cbminer.morphology.shape import measure_shapes, shape_model
from cbminer.survey.packed import pack_light_curves
from cbminer.survey.photometry_file import LightCurve

PERIOD = 0.8


def observe(shapes, *, n_points=500, noise=0.005, seed=1):
    """Sample magnitudes below maximum, as functions of phase, at random times."""
    rng = np.random.default_rng(seed)
    curves = []
    for shape in shapes:
        time = np.sort(2455000 + rng.uniform(0, 2000, n_points))
        mag = 16.0 + shape((time - 2455000.3) / PERIOD % 1) + rng.normal(0, noise, n_points)
        curves.append(LightCurve(time, mag.astype(np.float32), np.full(n_points, noise, dtype=np.float32)))
    return pack_light_curves([str(i) for i in range(len(curves))], curves)


def measure(curves):
    n_stars = len(curves)
    phase = fold(curves.time, curves.offsets, np.full(n_stars, PERIOD), np.full(n_stars, 2455000.0))
    return measure_shapes(curves, phase, fourier=FourierSettings())


def shape_of_figures(figures):
    """A smooth curve with given a1, a2, a4 and depths: the free terms a0, a3, a5, a6, a8 are fitted to the rest."""

    def flux(free, phase):
        a0, a3, a5, a6, a8 = free
        terms = {1: figures["a1"], 2: figures["a2"], 3: a3, 4: figures["a4"], 5: a5, 6: a6, 8: a8}
        return a0 + sum(a * np.cos(2 * np.pi * k * phase) for k, a in terms.items())

    grid = np.linspace(0, 1, 401)

    def misfit(free):
        curve = flux(free, grid)
        return [
            *(20 * (flux(free, np.array([0.0, 0.5])) - 10 ** (-0.4 * np.array([figures["d1"], figures["d2"]])))),
            20 * (curve.max() - 1.0),
            *(0.1 * np.asarray(free[1:])),
        ]

    free = least_squares(misfit, [0.8, 0, 0, 0, 0]).x
    return lambda phase: -2.5 * np.log10(flux(free, phase) / flux(free, grid).max())


def test_figures_of_phoebe_reproduce(shared_data):
    curves = json.loads((shared_data / "phoebe_ew_grid_dev.json").read_text())["curves"]
    wanted = [shape_of_figures(figures) for figures in curves.values()]
    dense = np.linspace(0, 1, 4001)
    truth = []
    for shape in wanted:
        # The figures of the curve that is sampled, by direct integration: those of the file, whatever the terms
        # that the file does not give.
        flux = 10 ** (-0.4 * shape(dense))
        a2, a4 = (2 * np.mean(flux[:-1] * np.cos(2 * np.pi * k * dense[:-1])) for k in (2, 4))
        truth.append((shape(np.array([0.0]))[0], shape(np.array([0.5]))[0], a4 - a2 * (0.125 - a2)))
    truth = np.array(truth)
    listed = np.array([(f["d1"], f["d2"], f["W"]) for f in curves.values()])
    assert np.max(np.abs(truth[:, 2] - listed[:, 2])) < 1e-5
    assert np.max(np.abs(truth[:, :2] - listed[:, :2])) < 1e-4
    shapes = measure(observe(wanted))
    # Which of two equal minima is the deeper one is left to the noise.
    ordered = np.sort(listed[:, :2], axis=1)[:, ::-1]
    assert np.max(np.abs(shapes.depth1 - ordered[:, 0])) < 0.01
    assert np.max(np.abs(shapes.depth2 - ordered[:, 1])) < 0.01
    assert np.max(np.abs(shapes.W - listed[:, 2])) < 0.002


def test_cosine_is_measured_exactly():
    shapes = measure(observe([lambda x: -2.5 * np.log10((0.9 - 0.1 * np.cos(4 * np.pi * x)) / 1.0)], noise=1e-4))
    assert shapes.a2[0] == pytest.approx(-0.1, abs=1e-4)
    assert shapes.a4[0] == pytest.approx(0.0, abs=1e-4)
    assert shapes.depth1[0] == pytest.approx(-2.5 * np.log10(0.8), abs=2e-4)
    assert shapes.W[0] == pytest.approx(0.1 * 0.225, abs=1e-4)
    assert shapes.phase_secondary[0] == pytest.approx(0.5, abs=1e-3)
    assert shapes.asymmetry[0] < 0.003


def unequal(x):
    return 0.3 + 0.2 * np.cos(4 * np.pi * x) + 0.05 * np.cos(2 * np.pi * x)


@hypothesis_settings(deadline=None, max_examples=20)
@given(st.floats(0, 1))
def test_epoch_does_not_matter(shift):
    shapes = measure(observe([lambda x: unequal(x + shift)], noise=1e-4))
    assert shapes.depth_difference[0] == pytest.approx(0.1, abs=5e-4)
    offset = (shapes.phase_zero[0] + shift - 0.3 / PERIOD + 0.5) % 1 - 0.5
    assert abs(offset) < 2e-3
    model = shape_model(shapes, 0, np.array([0.0]))
    assert model[0] == pytest.approx(16.55, abs=2e-3)


def test_errors_have_the_coverage_that_they_state():
    shapes = measure(observe([unequal] * 400, n_points=200, noise=0.01))
    pull = (shapes.depth_difference - 0.1) / shapes.e_depth_difference
    assert 0.85 < np.std(pull) < 1.15
    assert abs(np.mean(pull)) < 0.25
    w_pull = (shapes.W - np.mean(shapes.W)) / shapes.e_W
    assert 0.85 < np.std(w_pull) < 1.15


def test_understated_errors_are_scaled_up():
    curves = observe([unequal] * 50, n_points=300, noise=0.02)
    optimistic = type(curves)(curves.stars, curves.offsets, curves.time, curves.mag, curves.mag_err / 4)
    ratio = measure(optimistic).e_depth1 / measure(curves).e_depth1
    assert np.median(ratio) == pytest.approx(1.0, abs=0.1)


def test_half_period_shows_as_unequal_minima():
    shapes = measure(observe([lambda x: 0.2 + 0.2 * np.cos(2 * np.pi * x)]))
    assert shapes.depth1[0] == pytest.approx(0.4, abs=0.01)
    assert shapes.depth2[0] < 0.2


def test_sparse_or_gappy_curves_have_no_shape():
    sparse = observe([unequal], n_points=30)
    assert np.isnan(measure(sparse).depth1[0])
    full = observe([unequal])
    phase = fold(full.time, full.offsets, np.array([PERIOD]), np.array([2455000.0]))
    gappy = full.subset((phase < 0.4) | (phase > 0.6))
    shapes = measure(gappy)
    assert np.isnan(shapes.depth1[0])
    assert shapes.phase_gap[0] > 0.19


def test_empty_curve_and_missing_period_have_no_shape():
    empty = pack_light_curves(["x"], [LightCurve(np.empty(0), np.empty(0, np.float32), np.empty(0, np.float32))])
    assert np.isnan(measure(empty).depth1[0])
    curves = observe([unequal])
    phase = fold(curves.time, curves.offsets, np.array([np.nan]), np.array([2455000.0]))
    shapes = measure_shapes(curves, phase, fourier=FourierSettings())
    assert np.isnan(shapes.W[0])


def shape_of_fluxes(fluxes):
    mag = -2.5 * np.log10(np.asarray(fluxes) / np.max(fluxes))
    phases = np.arange(-20, 121) / 100
    return PchipInterpolator(phases, np.concatenate([mag[80:], mag, mag[:21]]))


def test_sharp_and_flat_minima_of_phoebe_are_measured():
    """Central and total eclipses have more harmonics than the fit; their depths are known to 0.02 mag, W to 0.002."""
    curves = json.loads((Path(__file__).parent / "data" / "phoebe_curves.json").read_text())["curves"]
    wanted = [shape_of_fluxes(fluxes) for fluxes in curves.values()]
    shapes = measure(observe(wanted))
    dense = np.arange(8000) / 8000
    for index, shape in enumerate(wanted):
        flux = 10 ** (-0.4 * shape(dense))
        a2, a4 = (2 * np.mean(flux * np.cos(2 * np.pi * k * dense)) for k in (2, 4))
        depths = sorted([float(shape(0.0)), float(shape(0.5))], reverse=True)
        assert shapes.depth1[index] == pytest.approx(depths[0], abs=0.02)
        assert shapes.depth2[index] == pytest.approx(depths[1], abs=0.02)
        assert shapes.W[index] == pytest.approx(a4 - a2 * (0.125 - a2), abs=0.002)
