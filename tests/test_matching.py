"""C of noisy light curves: training curves weighted by their likelihood, and c and its error end to end."""

import numpy as np
import pytest

from cbminer.morphology.embedding import N_BINS, embed, embedding_model
from cbminer.morphology.fourier import FourierSettings
from cbminer.morphology.matching import BinnedCurves, bin_curves, match_training_curves
from cbminer.morphology.shape import measure_shapes
from cbminer.morphology.training import normalised_half_curves
from cbminer.survey.packed import pack_light_curves
from cbminer.survey.photometry_file import LightCurve
from cbminer.synthetic.passbands import standard_passband
from cbminer.synthetic.radii import RadiiSettings, draw_by_radii
from cbminer.synthetic.roche import RocheEngine
from cbminer.synthetic.systems import BinarySystems

PHASES = np.arange(501) / 1000.0


def light_curves(systems):
    engine = RocheEngine(passbands=(standard_passband("I"),), n_bands=24, threads=1)
    return engine.light_curves(systems, PHASES)[:, 0]


def c_without_noise(half):
    return embed(
        normalised_half_curves(half)[:, None].astype(np.float32), np.zeros(len(half)), model=embedding_model()
    ).c


def observe(half, *, n_points=600, noise=0.01, seed=1):
    """Folded light curves at random phases, their deeper minimum anywhere."""
    rng = np.random.default_rng(seed)
    phase, curves = [], []
    for flux in half:
        at = rng.random(n_points)
        mag = 16.0 - 2.5 * np.log10(np.interp(np.abs((at - rng.random() + 0.5) % 1.0 - 0.5), PHASES, flux))
        mag = mag + rng.normal(0, noise, n_points)
        phase.append(at)
        curves.append(LightCurve(2455000.0 + at, mag.astype(np.float32), np.full(n_points, noise, dtype=np.float32)))
    return pack_light_curves([str(k) for k in range(len(curves))], curves), np.concatenate(phase)


def measure(half, **options):
    return measure_shapes(*observe(half, **options), fourier=FourierSettings())


def bins_of(curves, *, amplitude, error):
    """Bins of training curves with an amplitude in mag, and an error each."""
    weight = np.full((len(curves), N_BINS), error**-2)
    return BinnedCurves(weight, weight * amplitude * embedding_model().binned[:, curves].T)


@pytest.fixture(scope="module")
def chosen():
    return np.random.default_rng(12).choice(len(embedding_model().training), 150, replace=False)


def test_bins_without_noise_have_the_c_of_their_training_curve(chosen):
    model = embedding_model()
    matched = match_training_curves(bins_of(chosen, amplitude=0.4, error=1e-5), np.full(len(chosen), 0.4), model=model)
    difference = np.abs(matched[0] - model.training_c[chosen])
    assert np.quantile(difference, 0.9) < 0.02
    assert np.median(difference) < 0.01


def test_zero_point_and_amplitude_are_free_and_only_the_size_of_the_errors_counts(chosen):
    model = embedding_model()
    binned = bins_of(chosen, amplitude=0.4, error=0.002)
    amplitude = np.full(len(chosen), 0.4)
    c = match_training_curves(binned, amplitude, model=model)[0]
    shifted = BinnedCurves(binned.weight, binned.product + 0.7 * binned.weight)
    assert match_training_curves(shifted, amplitude, model=model)[0] == pytest.approx(c, abs=1e-6)
    twice = BinnedCurves(binned.weight / 4, binned.product / 2)
    assert match_training_curves(twice, 2 * amplitude, model=model)[0] == pytest.approx(c, abs=1e-6)


def test_more_noise_means_a_larger_error_of_c(chosen):
    errors = [
        match_training_curves(
            bins_of(chosen, amplitude=0.4, error=error), np.full(len(chosen), 0.4), model=embedding_model()
        )[1]
        for error in (0.001, 0.01, 0.03, 0.1)
    ]
    medians = [np.median(each) for each in errors]
    assert np.all(np.diff(medians) > 0)
    assert medians[0] < 0.02
    assert medians[3] > 0.05
    assert np.mean(errors[3] > errors[1]) > 0.98


def test_curves_turned_upside_down_match_none_better_than_a_constant(chosen):
    """The amplitude is at least 0: likelihoods are then all alike and c is that of nobody."""
    model = embedding_model()
    binned = bins_of(chosen[:1], amplitude=-0.4, error=0.005)
    matched = match_training_curves(binned, np.array([0.4]), model=model)
    whole = match_training_curves(BinnedCurves(binned.weight, 0.0 * binned.product), np.array([0.4]), model=model)
    assert 0.4 < whole[0][0] < 0.8
    assert whole[1][0] > 0.2
    assert matched[1][0] > 0.02


def test_a_star_without_points_has_no_c_and_leaves_its_neighbours_alone(chosen):
    model = embedding_model()
    binned = bins_of(chosen[:3], amplitude=0.3, error=0.01)
    amplitude = np.full(3, 0.3)
    whole = match_training_curves(binned, amplitude, model=model)
    binned.weight[1], binned.product[1] = 0.0, 0.0
    matched = match_training_curves(binned, amplitude, model=model)
    for few, many in zip(matched[:2], whole[:2], strict=True):
        assert list(np.isnan(few)) == [False, True, False]
        assert few[[0, 2]] == pytest.approx(many[[0, 2]], abs=1e-12)
    # Bins without points, as gaps in phase make them, are left out.
    binned.weight[0, 20:40], binned.product[0, 20:40] = 0.0, 0.0
    gappy = match_training_curves(binned, amplitude, model=model)
    assert gappy[0][0] == pytest.approx(whole[0][0], abs=0.05)


def test_bins_hold_both_sides_of_the_minimum_and_less_of_what_is_far_off():
    phase = np.array([0.297, 0.203, 0.75, 0.25, 0.2501])
    mag = np.array([16.1, 16.3, 15.9, 16.5, 17.5], dtype=np.float32)
    error = np.full(5, 0.02, dtype=np.float32)
    residual = np.array([0.0, 0.0, 0.0, 0.0, 0.6])
    weight, product = bin_curves(
        phase, mag, error, np.array([0, 5]), np.array([0.25]), np.array([16.0]), residual, np.array([1.0])
    )
    full = 1 / np.float64(error[0]) ** 2
    # 0.047 cycles either side of the minimum share a bin; half a cycle is the last one.
    assert weight[0, 9] == pytest.approx(2 * full)
    assert product[0, 9] == pytest.approx(-full * 0.4, rel=1e-4)
    assert weight[0, -1] == pytest.approx(full)
    assert product[0, -1] == pytest.approx(full * 0.1, rel=1e-4)
    # Ten times beyond three sigma: a hundredth of the weight.
    assert weight[0, 0] == pytest.approx(full * 1.01, rel=1e-3)
    assert np.count_nonzero(weight) == 3
    scaled, _ = bin_curves(
        phase, mag, error, np.array([0, 5]), np.array([0.25]), np.array([16.0]), 0 * residual, np.array([4.0])
    )
    assert scaled[0, 9] == pytest.approx(full / 2)
    none, _ = bin_curves(
        phase, mag, error, np.array([0, 5]), np.array([np.nan]), np.array([16.0]), residual, np.array([1.0])
    )
    assert not none.any()


@pytest.fixture(scope="module")
def pairs():
    """Light curves of eclipsing pairs, and their c."""
    drawn = draw_by_radii(180, settings=RadiiSettings(most_impact=0.85), rng=np.random.default_rng(31))
    half = light_curves(drawn.systems)
    return half, c_without_noise(half)


@pytest.mark.parametrize("noise", [0.01, 0.03])
def test_the_error_of_c_covers_the_truth(pairs, noise):
    """0.75 +- 0.01 of the stars are within their error, a little more than are due, from 3 to 50 mmag of noise."""
    half, true = pairs
    inside, pulls = [], []
    for seed in (1, 2):
        shapes = measure(half, noise=noise, seed=seed)
        assert np.mean(np.isfinite(shapes.c)) > 0.98
        pull = (shapes.c - true) / shapes.e_c
        pulls.append(pull[np.isfinite(pull)])
    inside = np.abs(np.concatenate(pulls)) < 1
    assert 0.66 < np.mean(inside) < 0.83
    assert abs(np.median(np.concatenate(pulls))) < 0.4
    assert np.median(shapes.e_c) < 0.08


def test_c_of_pairs_agrees_with_that_without_noise(pairs):
    half, true = pairs
    c = measure(half, noise=0.005).c
    assert np.median(np.abs(c - true)) < 0.012
    assert np.quantile(np.abs(c - true), 0.95) < 0.08


def test_c_of_a_star_hardly_changes_from_one_observation_to_the_next():
    contact = BinarySystems.contact([0.8], [75], fillout_factor=[0.3], teff_1=30000.0)
    others = BinarySystems.detached(
        [0.5, 0.9],
        [80, 86],
        lobe_filling_1=[0.7, 0.5],
        lobe_filling_2=[1.0, 0.5],
        teff_1=[25000.0, 25000.0],
        teff_2=[18000.0, 22000.0],
    )
    half = np.concatenate([light_curves(contact), light_curves(others)])
    c = measure(np.repeat(half, 40, axis=0), noise=0.005, n_points=500).c.reshape(3, 40)
    assert np.all(c.std(axis=1) < 0.02)
    assert np.all(np.diff(c.mean(axis=1)) < -0.05)
    assert 0.7 < c[0].mean() < 0.8
    assert 0.5 < c[1].mean() < 0.7
    assert c[2].mean() < 0.5


def test_c_depends_neither_on_the_stars_beside_nor_on_the_zero_of_the_phase(pairs):
    curves, phase = observe(pairs[0][:6], noise=0.01)
    together = measure_shapes(curves, phase, fourier=FourierSettings())
    for star in (0, 3, 5):
        alone = measure_shapes(
            curves.stars_at(np.array([star])), phase[curves.points_of(star)], fourier=FourierSettings()
        )
        assert alone.c[0] == pytest.approx(together.c[star], abs=1e-6)
        assert alone.e_c[0] == pytest.approx(together.e_c[star], abs=1e-6)
    moved = measure_shapes(curves, (phase + 0.37) % 1.0, fourier=FourierSettings())
    assert moved.c == pytest.approx(together.c, abs=0.02)
