"""Phase bins against the same sums in numpy: what leaves them alone, what noise and gaps do, and what is refused."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cbminer.classifier.binning import BinnedCurves, amplitude_logarithm, bin_curves, observed_again, scalar_inputs

LEAST_ERROR = 0.003
GRAIN = 2.0**-20
seeds = st.integers(0, 2**32 - 1)


def one(phase, mag, mag_err, n_bins=128):
    phase = np.asarray(phase, dtype=float)
    mag_err = np.broadcast_to(np.asarray(mag_err, dtype=float), phase.shape)
    return bin_curves(phase, mag, mag_err, [0, len(phase)], n_bins=n_bins)


def sine(n_points, *, amplitude=0.2, noise=0.02, seed=0, stated=None):
    """Evenly sampled phases in no order; the amplitude is from peak to peak."""
    rng = np.random.default_rng(seed)
    phase = rng.permutation((np.arange(n_points) + 0.5) / n_points)
    mag = 16 + 0.5 * amplitude * np.cos(2 * np.pi * phase) + noise * rng.normal(size=n_points)
    return phase, mag, np.full(n_points, noise if stated is None else stated)


def reference(phase, mag, mag_err, n_bins):
    """Both numbers of every bin before they are rounded, errors, amplitude and filled share of one star."""
    use = np.isfinite(phase) & np.isfinite(mag) & np.isfinite(mag_err) & (mag_err > 0)
    place = np.floor(np.mod(phase[use], 1.0) * n_bins).astype(int)
    inverse = 1 / np.maximum(mag_err[use], LEAST_ERROR) ** 2
    filled = np.unique(place)
    weight = np.array([inverse[place == b].sum() for b in filled])
    mean = np.array([np.average(mag[use][place == b], weights=inverse[place == b]) for b in filled])
    share = len(filled) / n_bins
    # Bins that are worth nothing beside the others.
    worth = 1 / weight <= 36 * np.median(1 / weight)
    filled, weight, mean = filled[worth], weight[worth], mean[worth]
    if len(filled) >= 8:
        misses = []
        for k, here in enumerate(filled):
            one, other = (k - 1) % len(filled), (k + 1) % len(filled)
            ends = [filled[one] - n_bins * (k == 0), filled[other] + n_bins * (other == 0)]
            parts = np.array([ends[1] - here, here - ends[0]]) / (ends[1] - ends[0])
            expected = np.sqrt(1 / weight[k] + parts[0] ** 2 / weight[one] + parts[1] ** 2 / weight[other])
            misses.append(abs(mean[k] - np.interp(here, ends, mean[[one, other]])) / expected)
        weight = weight / max(1.0, 1.4826 * np.median(misses)) ** 2
    curve = np.interp(np.arange(n_bins), filled, mean, period=n_bins)
    scatter = curve.std()
    trust, error = np.zeros(n_bins), np.full(n_bins, np.inf)
    error[filled] = 16 / np.sqrt(weight) / scatter
    trust[filled] = 127 / (1 + (error[filled] / 16) ** 2)
    amplitude = np.sqrt(8 * max(scatter**2 - np.mean(1 / weight), 0))
    return 16 * (curve - curve.mean()) / scatter, trust, error, amplitude, share


@settings(max_examples=60, deadline=None)
@given(seed=seeds, n_points=st.integers(3, 600), n_bins=st.sampled_from([16, 128, 256]), gap=st.floats(0, 0.9))
def test_bins_are_those_of_the_formula(seed, n_points, n_bins, gap):
    rng = np.random.default_rng(seed)
    phase = rng.uniform(-5, 5) + rng.uniform(0, 1 - gap, n_points)
    mag = 15 + 0.3 * np.cos(4 * np.pi * phase) + rng.normal(0, 0.05, n_points)
    mag_err = np.exp(rng.normal(np.log(0.01), 1.0, n_points))
    found = one(phase, mag, mag_err, n_bins)
    # Points in one bin alone make a constant curve.
    assume(np.count_nonzero(np.isfinite(found.error)) > 1)
    shape, trust, error, amplitude, filled = reference(phase, mag, mag_err, n_bins)
    assert found.inputs.dtype == np.int8
    assert found.inputs.shape == (1, 2, n_bins)
    # Rounded to the next integer, and kept within what 8 bits hold.
    assert np.abs(found.inputs[0, 0] - np.clip(shape, -127, 127)).max() <= 0.5 + 1e-6
    assert np.abs(found.inputs[0, 1] - trust).max() <= 0.5 + 1e-6
    np.testing.assert_allclose(found.error[0], error, rtol=1e-5)
    assert found.amplitude[0] == pytest.approx(amplitude, rel=1e-6, abs=1e-9)
    assert found.filled[0] == filled


def grained(seed, n_points):
    """Points whose sums and differences are exact in floating point."""
    rng = np.random.default_rng(seed)
    phase = rng.integers(0, 2**20, n_points) * GRAIN
    mag = 16 + np.round(rng.normal(0, 0.3, n_points) / GRAIN) * GRAIN
    return phase, mag, rng.uniform(0.004, 0.05, n_points)


@settings(max_examples=60, deadline=None)
@given(seed=seeds, n_points=st.integers(2, 400), bins=st.integers(-300, 300), n_bins=st.sampled_from([128, 256]))
def test_another_epoch_rolls_the_bins_and_nothing_else(seed, n_points, bins, n_bins):
    phase, mag, mag_err = grained(seed, n_points)
    before = one(phase, mag, mag_err, n_bins)
    after = one(phase + bins / n_bins, mag, mag_err, n_bins)
    np.testing.assert_array_equal(after.inputs, np.roll(before.inputs, bins, axis=-1))
    np.testing.assert_allclose(after.error, np.roll(before.error, bins, axis=-1), rtol=1e-6)
    assert after.amplitude[0] == pytest.approx(before.amplitude[0], rel=1e-9, abs=1e-9)
    assert after.filled[0] == before.filled[0]


@settings(max_examples=40, deadline=None)
@given(seed=seeds, n_points=st.integers(2, 400), constant=st.integers(-40, 40), power=st.integers(0, 6))
def test_neither_zero_point_nor_unit_of_magnitudes_matters(seed, n_points, constant, power):
    phase, mag, mag_err = grained(seed, n_points)
    before = one(phase, mag, mag_err)
    after = one(phase, 2.0**power * (mag - 16) + constant, 2.0**power * mag_err)
    np.testing.assert_array_equal(after.inputs, before.inputs)
    np.testing.assert_allclose(after.error, before.error, rtol=1e-6)
    assert after.amplitude[0] == pytest.approx(2.0**power * before.amplitude[0], rel=1e-9, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(seed=seeds, constant=st.floats(-30, 30), factor=st.floats(0.8, 40))
def test_rounding_changes_a_bin_by_one_unit_at_most(seed, constant, factor):
    phase, mag, mag_err = grained(seed, 300)
    before, after = one(phase, mag, mag_err), one(phase, factor * mag + constant, factor * mag_err)
    difference = np.abs(after.inputs.astype(int) - before.inputs)
    assert difference.max() <= 1
    assert np.count_nonzero(difference) <= 2


@settings(max_examples=30, deadline=None)
@given(seed=seeds, n_points=st.integers(1, 100))
def test_the_order_of_points_and_cycles_do_not_matter(seed, n_points):
    rng = np.random.default_rng(seed)
    phase, mag, mag_err = grained(seed, n_points)
    order = rng.permutation(n_points)
    before = one(phase, mag, mag_err)
    after = one((phase + rng.integers(-9, 9, n_points))[order], mag[order], mag_err[order])
    assert np.abs(before.inputs.astype(int) - after.inputs).max() <= 1


def test_positive_is_faint():
    found = one((np.arange(128) + 0.5) / 128, 16 + 0.3 * (np.arange(128) < 10), np.full(128, 0.01))
    assert (found.inputs[0, 0, :10] > 16).all()
    assert (found.inputs[0, 0, 10:] < 0).all()


def test_empty_bins_lie_on_a_line_around_the_cycle_and_are_not_trusted():
    # Filled are 3, 67 and 99: one gap goes over phase 0.
    mag = np.array([16.0, 16.32, 16.64])
    found = one(np.array([3.5, 67.5, 99.5]) / 128, mag, 0.02)
    line = np.interp(np.arange(128), [3, 67, 99, 131], [16.0, 16.32, 16.64, 16.0])
    line[:3] = np.interp([128, 129, 130], [99, 131], [16.64, 16.0])
    np.testing.assert_array_equal(found.inputs[0, 0], np.rint(16 * (line - line.mean()) / line.std()))
    empty = np.setdiff1d(np.arange(128), [3, 67, 99])
    assert (found.inputs[0, 1, empty] == 0).all()
    assert (found.inputs[0, 1, [3, 67, 99]] > 100).all()
    assert np.isinf(found.error[0, empty]).all()
    assert np.isfinite(found.error[0, [3, 67, 99]]).all()
    assert found.filled[0] == 3 / 128


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (place, value)
        for place in range(3)
        for value in (np.nan, np.inf, -np.inf, 0.0, -0.01)
        if place == 2 or not np.isfinite(value)
    ],
)
def test_points_without_a_phase_a_magnitude_or_a_positive_error_are_left_out(place, value):
    good = sine(300, seed=3)
    spoilt = [np.insert(column, [0, 100, 300], column[7] + 0.3) for column in good]
    spoilt[place][[0, 101, 302]] = value
    found, expected = one(*spoilt), one(*good)
    np.testing.assert_array_equal(found.inputs, expected.inputs)
    np.testing.assert_array_equal(found.error, expected.error)
    assert (found.amplitude, found.filled) == (expected.amplitude, expected.filled)


def test_a_star_without_points_has_nothing_and_leaves_its_neighbours_alone():
    first, last = sine(200, seed=1), sine(90, seed=2)
    dead = (np.array([0.1, np.nan]), np.array([np.nan, 16.0]), np.array([0.01, 0.01]))
    columns = [np.concatenate(parts) for parts in zip(first, dead, last, strict=True)]
    found = bin_curves(*columns, [0, 200, 200, 202, 292])
    assert len(found) == 4
    for star in (1, 2):
        assert not found.inputs[star].any()
        assert np.isinf(found.error[star]).all()
        assert np.isnan(found.amplitude[star])
        assert found.filled[star] == 0
    for star, curve in ((0, first), (3, last)):
        alone = one(*curve)
        np.testing.assert_array_equal(found.inputs[star], alone.inputs[0])
        np.testing.assert_array_equal(found.error[star], alone.error[0])
        assert found.amplitude[star] == alone.amplitude[0]
    assert len(bin_curves([], [], [], [0])) == 0


@pytest.mark.parametrize("n_points", [1, 2, 500])
def test_a_constant_curve_has_zeros_and_no_amplitude(n_points):
    found = one(np.arange(n_points) / n_points, np.full(n_points, 17.123), 0.01)
    assert not found.inputs.any()
    assert np.isinf(found.error).all()
    assert found.amplitude[0] == 0
    assert found.filled[0] == min(n_points, 128) / 128


def test_extremes_stay_in_eight_bits():
    mag = np.full(256, 16.0)
    for sign in (-1, 1):
        mag[5] = 16 + sign
        found = one((np.arange(256) + 0.5) / 256, mag, 0.01, 256)
        # One bin alone would be at 16 times the root of 255.
        assert found.inputs[0, 0, 5] == sign * 127
        assert (found.inputs[0, 0, np.arange(256) != 5] == -sign).all()
        assert found.inputs[0, 1].min() >= 0


def test_no_point_counts_as_better_than_the_least_error():
    phase, mag, _ = sine(300)
    tiny, least = one(phase, mag, 1e-9), one(phase, mag, LEAST_ERROR)
    np.testing.assert_array_equal(tiny.inputs, least.inputs)


def test_a_bin_that_is_worth_nothing_is_as_an_empty_one():
    phase, mag, mag_err = sine(256, noise=0.01)
    place = np.floor(phase * 128).astype(int)
    for factor, left in ((5.0, True), (7.0, False)):
        errors = np.where(place == 9, factor * mag_err, mag_err)
        found = one(phase, np.where(place == 9, 25.0, mag), errors)
        assert np.isfinite(found.error[0, 9]) == left
        assert (found.inputs[0, 1, 9] > 0) == left
        assert found.filled[0] == 1
        if not left:
            without = one(*(column[place != 9] for column in (phase, mag, mag_err)))
            np.testing.assert_array_equal(found.inputs, without.inputs)
    # An error beyond what can be squared is no measurement at all.
    hopeless = one(np.append(phase, 0.5), np.append(mag, 30.0), np.append(mag_err, 1e200))
    np.testing.assert_array_equal(hopeless.inputs, one(phase, mag, mag_err).inputs)
    assert one([0.5], [16.0], 1e200).filled[0] == 0


@pytest.mark.parametrize("n_points", [20, 60])
def test_a_straight_line_across_gaps_is_no_noise(n_points):
    # Points on a saw tooth, exactly; whatever the distances between them, errors stay as they are stated.
    rng = np.random.default_rng(n_points)
    place = np.sort(rng.choice(128, n_points, replace=False))
    found = one((place + 0.5) / 128, 16 + 0.01 * np.abs(place - 64), 0.02)
    curve = np.interp(np.arange(128), place, 0.01 * np.abs(place - 64), period=128)
    np.testing.assert_allclose(found.error[0, place], 16 * 0.02 / curve.std(), rtol=1e-5)


@pytest.mark.parametrize("factor", [3.0, 10.0])
@pytest.mark.parametrize("noise", [0.04, 0.15])
def test_errors_stated_too_small_are_raised_to_the_true_ones(factor, noise):
    ratios, trusts = [], []
    for seed in range(30):
        phase, mag, _ = sine(640, noise=noise, seed=seed)
        wrong = one(phase, mag, noise / factor)
        scatter = np.std([mag[np.floor(phase * 128) == place].mean() for place in range(128)])
        # Five points a bin.
        relative = noise**2 / 5 / scatter**2
        ratios.append(wrong.error[0].mean() / (16 * np.sqrt(relative)))
        trusts.append(wrong.inputs[0, 1].mean() - 127 / (1 + relative))
    # A median over 128 bins tells an error to a sixth or so.
    assert np.mean(ratios) == pytest.approx(1, abs=0.07)
    assert np.std(ratios) < 0.2
    assert np.abs(np.mean(trusts)) < 6


@settings(max_examples=40, deadline=None)
@given(seed=seeds, factor=st.floats(0.05, 20), n_points=st.integers(8, 800))
def test_errors_never_shrink(seed, factor, n_points):
    phase, mag, mag_err = sine(n_points, noise=0.03, seed=seed % 2**31, stated=0.03 * factor)
    found = one(phase, mag, mag_err)
    place = np.floor(phase * 128).astype(int)
    per_bin = np.bincount(place, minlength=128)
    means = np.bincount(place, mag, minlength=128)[per_bin > 0] / per_bin[per_bin > 0]
    scatter = np.interp(np.arange(128), np.flatnonzero(per_bin), means, period=128).std()
    stated = 16 * max(0.03 * factor, LEAST_ERROR) / np.sqrt(per_bin[per_bin > 0]) / scatter
    assert (found.error[0][per_bin > 0] >= stated * (1 - 1e-5)).all()
    if factor >= 4 and n_points >= 200:
        # Far too large already: they are taken as they are.
        np.testing.assert_allclose(found.error[0][per_bin > 0], stated, rtol=1e-5)


@pytest.mark.parametrize(("amplitude", "noise"), [(0.3, 0.004), (0.1, 0.02), (0.05, 0.05)])
def test_amplitude_of_a_noisy_sine_is_that_of_the_sine(amplitude, noise):
    found = [one(*sine(512, amplitude=amplitude, noise=noise, seed=seed)).amplitude[0] for seed in range(40)]
    assert np.median(found) == pytest.approx(amplitude, rel=0.1)
    # The noise of the bins, half of that of a point, would add to it in squares.
    naive = np.hypot(amplitude, np.sqrt(8) * noise / 2)
    assert np.median(found) < naive or noise < 0.1 * amplitude


def test_noise_alone_has_little_amplitude():
    found = [one(*sine(512, amplitude=0, noise=0.05, seed=seed)).amplitude[0] for seed in range(40)]
    assert np.median(found) < 0.5 * np.sqrt(8) * 0.05 / 2


@pytest.mark.parametrize("offsets", [[], [0], [1, 3], [0, 2], [0, 4], [0, 2, 1, 3], [[0, 3]], [-1, 3]], ids=str)
def test_offsets_that_do_not_fit_are_refused(offsets):
    with pytest.raises(ValueError, match="offsets rise from 0"):
        bin_curves([0.1, 0.2, 0.3], [16, 16, 16], [0.1, 0.1, 0.1], offsets)


@pytest.mark.parametrize("short", [0, 1, 2])
def test_columns_of_unequal_length_are_refused(short):
    columns = [np.full(3, 0.5) for _ in range(3)]
    columns[short] = columns[short][:2]
    with pytest.raises(ValueError, match="of one length"):
        bin_curves(*columns, [0, 3])


def test_curves_observed_again_have_noise_of_their_own_size():
    n = 3000
    rng = np.random.default_rng(6)
    inputs = np.zeros((2, 2, 128), dtype=np.int8)
    inputs[0, 0], inputs[:, 1] = rng.integers(-40, 40, 128), 100
    error = np.full((2, 128), np.inf, dtype=np.float32)
    error[0] = rng.uniform(1, 20, 128)
    curves = BinnedCurves(inputs, error, np.full(2, 0.3), np.array([1.0, 0.0]))
    copies = np.stack([observed_again(curves, rng.normal(size=128)) for _ in range(n)])
    assert copies.dtype == np.int8
    np.testing.assert_allclose(copies[:, 0, 0].mean(axis=0), inputs[0, 0], atol=5 * 20 / np.sqrt(n))
    np.testing.assert_allclose(copies[:, 0, 0].std(axis=0), error[0], rtol=0.12)
    # Trust stays, and a star without errors too.
    assert (copies[:, :, 1] == 100).all()
    assert not copies[:, 1, 0].any()
    assert (curves.inputs == inputs).all()


def test_bins_between_points_follow_their_neighbours_when_observed_again():
    inputs = np.zeros((1, 2, 128), dtype=np.int8)
    error = np.full((1, 128), np.inf, dtype=np.float32)
    error[0, [10, 90]] = 5.0, 10.0
    noise = np.zeros(128)
    noise[[10, 11, 90]] = 4.0, 9.0, -2.0
    found = observed_again(BinnedCurves(inputs, error, np.ones(1), np.ones(1)), noise)
    expected = np.interp(np.arange(128), [10, 90], [20.0, -20.0], period=128)
    assert np.abs(found[0, 0] - expected).max() <= 0.5
    noise[:] = 100
    assert (observed_again(BinnedCurves(inputs, error, np.ones(1), np.ones(1)), noise)[0, 0] == 127).all()


def test_numbers_beside_the_curve_are_scaled_and_say_whether_they_are_known():
    values = {
        "log_amplitude": [-0.8, np.nan, -0.4],
        "VI0": np.array([np.inf, 0.2, -0.4]),
        "log_period": [9.0, 9.0, 9.0],
    }
    found = scalar_inputs(("VI0", "log_amplitude"), values, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0, 0, 0, 1], [1, 0, 1, 0], [-1, 1, 1, 1]], atol=1e-6)


def test_numbers_that_are_absent_are_unknown_for_all():
    found = scalar_inputs(("log_period", "VI0"), {"log_period": np.zeros(2)}, 2)
    np.testing.assert_allclose(found, [[-0.6, 0, 1, 0]] * 2, atol=1e-6)
    assert scalar_inputs((), {}, 4).shape == (4, 0)
    assert scalar_inputs(("VI0",), {}, 0).shape == (0, 2)


def test_amplitudes_below_a_millimagnitude_have_its_logarithm():
    found = amplitude_logarithm(np.array([0.1, 0.0, 1e-9, np.nan, 1.0]))
    np.testing.assert_allclose(found, [-1, -3, -3, np.nan, 0], atol=1e-12)
