"""Classes by a packed network: probabilities, their errors, priors, and what other stars do not change."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbminer.classifier.binning import amplitude_logarithm, bin_curves, scalar_inputs
from cbminer.classifier.calibration import Calibration, calibrated
from cbminer.classifier.classes import CLASSES
from cbminer.classifier.packed import PackedNetwork
from cbminer.classifier.packed_layers import PackedBlock, PackedHead, PackedResidual, PackedStem, pack_signs
from cbminer.classifier.prediction import (
    ClassifierSettings,
    ClassPrior,
    ClassProbabilities,
    classifier_model,
    classify,
    classify_binned,
    model_path,
)
from cbminer.errors import InputFormatError, OutputError, SettingsError

EQUAL = ClassifierSettings()
WITHOUT = ClassifierSettings(draws=0)


def random_network(*, variant="tiny", scalars=(), classes=CLASSES, seed=24):
    """A network that learned nothing, but does not say the same of every curve of `draw_stars`."""
    rng = np.random.default_rng(seed)

    def numbers(*shape, size=1.0):
        return (rng.normal(size=shape) * size).astype(np.float32)

    stem = PackedStem(rng.integers(-9, 10, (64, 2, 9)).astype(np.int8), numbers(64, size=0.01), numbers(64), 4)
    signs = rng.choice([-1, 1], size=(64, 64, 5))
    around = None
    if variant == "standard":
        around = PackedResidual(*(numbers(64, size=0.3) for _ in range(4)))
    block = PackedBlock(pack_signs(signs), numbers(64, size=0.05), numbers(64), True, around)
    head = PackedHead(numbers(len(classes), 64, size=0.3), np.zeros(len(classes), dtype=np.float32))
    nothing = np.zeros(len(classes), dtype=np.float32)
    network = PackedNetwork(variant, stem, (block,), head, classes, 128, (), "of the dice", 1.0, nothing)
    logits = network.logits(bin_curves(*draw_stars(300, seed=9)).inputs)
    # All classes are about equally frequent, and few probabilities are near 0 or 1.
    scale = 1.0 / logits.std(axis=0)
    head = PackedHead(head.weights * scale[:, None], -logits.mean(axis=0) * scale)
    if scalars:
        late = {"hidden_weights": numbers(8, 2 * len(scalars)), "hidden_bias": numbers(8)}
        head = dataclasses.replace(head, **late, out_weights=numbers(len(classes), 8, size=0.2))
    calibration = numbers(len(classes), size=0.1)
    return dataclasses.replace(network, head=head, scalars=scalars, temperature=0.8, calibration=calibration)


@pytest.fixture(scope="module")
def network():
    return random_network(scalars=("log_amplitude",))


@pytest.fixture(scope="module", params=["standard", "tiny"])
def either(request):
    return random_network(variant=request.param, scalars=("log_amplitude",))


def draw_stars(n, *, seed=0, noise=None, n_points=None):
    """Points of stars with two waves a cycle of many shapes."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(40, 300, n) if n_points is None else np.full(n, n_points)
    offsets = np.concatenate(([0], np.cumsum(counts)))
    star = np.repeat(np.arange(n), counts)
    phase = rng.random(len(star))
    one, two, begin = rng.uniform(0, 0.3, n), rng.uniform(0, 0.3, n), rng.random(n)
    mag = 16 + two[star] * np.cos(4 * np.pi * (phase + begin[star])) + one[star] * np.cos(2 * np.pi * phase)
    error = np.full(len(star), 0.01 if noise is None else noise)
    return phase, mag + error * rng.normal(size=len(star)), error, offsets


def points_of(stars, place):
    phase, mag, error, offsets = stars
    some = slice(offsets[place], offsets[place + 1])
    return phase[some], mag[some], error[some], [0, some.stop - some.start]


def same(one, other):
    np.testing.assert_array_equal(one.probability, other.probability)
    np.testing.assert_array_equal(one.e_probability, other.e_probability)


def test_probabilities_are_those_of_the_network(either):
    stars = draw_stars(60)
    found = classify(*stars, model=either)
    assert len(found) == 60
    assert found.probability.shape == found.e_probability.shape == (60, 5)
    np.testing.assert_allclose(found.probability.sum(axis=1), 1, rtol=1e-12)
    assert (found.probability >= 0).all()
    binned = bin_curves(*stars, n_bins=128)
    beside = scalar_inputs(("log_amplitude",), {"log_amplitude": amplitude_logarithm(binned.amplitude)}, 60)
    logits = either.logits(binned.inputs, beside)
    expected = calibrated(logits, Calibration(either.temperature, either.calibration))
    np.testing.assert_allclose(found.probability, expected, rtol=1e-6)
    # Or this file would test nothing.
    assert len(set(expected.argmax(axis=1))) >= 3
    assert found.known.all()


def test_stars_without_points_have_no_probabilities_and_change_no_others(network):
    phase, mag, error, offsets = draw_stars(6)
    mag = mag.copy()
    mag[offsets[2] : offsets[3]] = np.nan
    holed = np.concatenate((offsets[:4], offsets[3:]))
    found = classify(phase, mag, error, holed, model=network)
    assert len(found) == 7
    assert found.known.tolist() == [True, True, False, False, True, True, True]
    assert np.isnan(found.probability[2:4]).all()
    assert np.isnan(found.e_probability[2:4]).all()
    whole = classify(phase, mag, error, offsets, model=network)
    np.testing.assert_array_equal(np.delete(found.probability, 3, axis=0), whole.probability)
    np.testing.assert_array_equal(np.delete(found.e_probability, 3, axis=0), whole.e_probability)
    none = classify([], [], [], [0], model=network)
    assert len(none) == 0
    assert none.labels(0.5).tolist() == []


def test_a_star_alone_is_classified_as_in_company(either):
    stars = draw_stars(40, seed=1)
    together = classify(*stars, model=either)
    for place in range(0, 40, 7):
        alone = classify(*points_of(stars, place), model=either)
        np.testing.assert_array_equal(alone.probability[0], together.probability[place])
        np.testing.assert_array_equal(alone.e_probability[0], together.e_probability[place])


def test_the_same_stars_have_the_same_probabilities_again(network):
    stars = draw_stars(10)
    state = np.random.get_state()[1].tolist()  # noqa: NPY002 - the caller's
    same(classify(*stars, model=network), classify(*stars, model=network))
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002


@settings(max_examples=15, deadline=None)
@given(turns=st.integers(-9, 9), constant=st.integers(-8, 8))
def test_cycle_and_zero_point_do_not_matter(turns, constant):
    network = random_network(scalars=("log_amplitude",))
    phase, mag, error, offsets = draw_stars(5)
    phase, mag = np.round(phase * 2**20) / 2**20, np.round(mag * 2**20) / 2**20
    same(
        classify(phase, mag, error, offsets, model=network),
        classify(phase + turns, mag + constant, error, offsets, model=network),
    )


def test_a_turn_by_the_step_of_the_stem_and_pool_matters_not(either):
    phase, mag, error, offsets = draw_stars(20)
    phase = np.round(phase * 2**20) / 2**20
    before = classify(phase, mag, error, offsets, model=either, settings=WITHOUT).probability
    # Eight bins are a whole position after a stride of four and a pool of two.
    after = classify(phase + 8 / 128, mag, error, offsets, model=either, settings=WITHOUT).probability
    np.testing.assert_allclose(after, before, atol=1e-4)


def test_errors_grow_with_noise_and_shrink_with_points(network):
    draws = ClassifierSettings(draws=40)

    def spread(noise, n_points):
        stars = draw_stars(80, noise=noise, n_points=n_points)
        return classify(*stars, model=network, settings=draws).e_probability.mean()

    quiet, loud, louder = (spread(noise, 1500) for noise in (0.003, 0.05, 0.2))
    assert quiet < loud < louder
    assert louder > 2 * quiet
    assert spread(0.05, 8000) < loud < spread(0.05, 300)


def test_errors_are_what_other_noise_would_change(network):
    # Many stars of one shape and of noise of their own, all beginning at the same phase.
    rng = np.random.default_rng(3)
    n, n_points = 300, 384
    phase = np.tile((np.arange(n_points) + 0.5) / n_points, n)
    mag = 16 + 0.1 * np.cos(4 * np.pi * phase) + 0.04 * np.cos(2 * np.pi * phase) + 0.05 * rng.normal(size=len(phase))
    offsets = n_points * np.arange(n + 1)
    found = classify(
        phase, mag, np.full(len(phase), 0.05), offsets, model=network, settings=ClassifierSettings(draws=40)
    )
    true = found.probability.std(axis=0)
    stated = found.e_probability.mean(axis=0)
    assert true.max() > 0.01
    np.testing.assert_allclose(stated, true, rtol=0.6, atol=0.005)


def test_copies_have_noise_of_the_size_of_the_errors_of_the_bins(either):
    binned = bin_curves(*draw_stars(60, noise=0.01, n_points=1500), n_bins=128)

    def spread(factor):
        noisy = dataclasses.replace(binned, error=np.float32(factor) * binned.error)
        found = classify_binned(noisy, {}, model=either, settings=ClassifierSettings(draws=20))
        # The probabilities themselves are of the curve as it is.
        np.testing.assert_array_equal(found.probability, at_rest)
        return np.median(found.e_probability.max(axis=1))

    at_rest = classify_binned(binned, {}, model=either, settings=WITHOUT).probability
    # Without noise there are still the other phases.
    none, own, large = spread(0), spread(1), spread(30)
    assert none < own < large
    assert large > 3 * none


def test_without_copies_there_are_no_errors(network):
    stars = draw_stars(4)
    found = classify(*stars, model=network, settings=WITHOUT)
    assert np.isnan(found.e_probability).all()
    assert found.known.all()
    np.testing.assert_array_equal(found.probability, classify(*stars, model=network).probability)
    two = classify(*stars, model=network, settings=ClassifierSettings(draws=2))
    assert np.isfinite(two.e_probability).all()
    with pytest.raises(ValueError, match="one draw has no spread"):
        ClassifierSettings(draws=1)


def test_a_curve_that_does_not_vary_is_none(network):
    phase, mag, error, _ = draw_stars(1)
    for n_points, constant in ((len(phase), True), (1, False)):
        curve = np.full(n_points, 16.0) if constant else mag[:n_points]
        found = classify(phase[:n_points], curve, error[:n_points], [0, n_points], model=network)
        assert not found.known.any()
        assert np.isnan(found.probability).all()
        assert np.isnan(found.e_probability).all()
        assert found.labels(0.0).tolist() == [""]
    assert classify(phase, mag, error, [0, len(phase)], model=network).known.all()


def test_binned_curves_are_left_as_they_are(network):
    binned = bin_curves(*draw_stars(5), n_bins=128)
    before = dataclasses.replace(binned, **{name: value.copy() for name, value in vars(binned).items()})
    classify_binned(binned, {}, model=network, settings=EQUAL)
    for name, value in vars(before).items():
        np.testing.assert_array_equal(getattr(binned, name), value)


@settings(max_examples=25, deadline=None)
@given(weights=st.lists(st.floats(0.01, 100), min_size=5, max_size=5))
def test_a_prior_changes_the_odds_by_its_own(weights):
    network = random_network()
    stars = draw_stars(12)
    prior = ClassPrior(**dict(zip(CLASSES, weights, strict=True)))
    np.testing.assert_array_equal(prior.weights(), weights)
    equal = classify(*stars, model=network, settings=WITHOUT).probability
    found = classify(*stars, model=network, settings=ClassifierSettings(draws=0, prior=prior)).probability
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)
    for one in range(5):
        odds, before = found[:, one] / found[:, 0], equal[:, one] / equal[:, 0]
        np.testing.assert_allclose(odds, before * weights[one] / weights[0], rtol=1e-9)


def test_errors_are_of_the_probabilities_with_the_prior(network):
    stars = draw_stars(30, noise=0.1)
    sure = ClassPrior(contact=1e9)
    found = classify(*stars, model=network, settings=ClassifierSettings(prior=sure))
    assert (found.probability[:, 0] > 0.999).all()
    assert (found.e_probability < 1e-3).all()
    assert classify(*stars, model=network).e_probability.max() > 0.01


def test_frequencies_are_positive():
    with pytest.raises(ValueError, match="greater than 0"):
        ClassPrior(contact=0)
    with pytest.raises(ValueError, match="contacts"):
        ClassPrior(contacts=1)


def test_labels_name_the_largest_probability_if_it_reaches_the_limit():
    rows = [[0.5, 0.2, 0.1, 0.1, 0.1], [0.1, 0.1, 0.49, 0.2, 0.12], [np.nan] * 5, [0, 0, 0, 0, 1]]
    found = ClassProbabilities(np.array(rows), np.zeros((4, 5)))
    assert found.labels(0.5).tolist() == ["contact", "undecided", "", "not_eclipsing"]
    assert found.labels(0.0).tolist() == ["contact", "detached", "", "not_eclipsing"]
    assert found.labels(1.0).tolist() == ["undecided", "undecided", "", "not_eclipsing"]
    assert found.known.tolist() == [True, True, False, True]
    nothing = ClassProbabilities(np.empty((0, 5)), np.empty((0, 5)))
    assert nothing.labels(0.5).shape == (0,)


def test_columns_are_named_after_the_classes():
    found = ClassProbabilities(np.arange(10.0).reshape(2, 5), 100 + np.arange(10.0).reshape(2, 5))
    columns = found.columns()
    assert list(columns)[:4] == ["P_contact", "e_P_contact", "P_near_contact", "e_P_near_contact"]
    assert len(columns) == 10
    for place, name in enumerate(CLASSES):
        np.testing.assert_array_equal(columns[f"P_{name}"], [place, 5 + place])
        np.testing.assert_array_equal(columns[f"e_P_{name}"], [100 + place, 105 + place])


def test_numbers_are_used_by_networks_that_take_them_and_by_no_others():
    stars = draw_stars(8)
    period, VI0 = np.linspace(0.3, 3, 8), np.linspace(-0.3, 0.3, 8)
    plain, full = random_network(), random_network(scalars=("log_period", "VI0"))
    same(classify(*stars, model=plain), classify(*stars, model=plain, period=period, VI0=VI0))
    both = classify(*stars, model=full, period=period, VI0=VI0).probability
    beside = scalar_inputs(("log_period", "VI0"), {"log_period": np.log10(period), "VI0": VI0}, 8)
    logits = full.logits(bin_curves(*stars, n_bins=128).inputs, beside)
    np.testing.assert_allclose(both, full.probabilities(logits), rtol=1e-9)
    for given_numbers in ({}, {"period": period}, {"VI0": VI0}):
        other = classify(*stars, model=full, **given_numbers).probability
        assert np.abs(other - both).max(axis=1).min() > 1e-4


def test_numbers_that_are_unknown_are_as_if_they_were_not_given():
    stars = draw_stars(4)
    model = random_network(scalars=("log_period", "VI0"))
    without = classify(*stars, model=model)
    # A period of nothing has no logarithm.
    found = classify(*stars, model=model, period=[np.nan, 0.0, -1.0, np.inf], VI0=np.full(4, np.nan))
    same(found, without)
    some = classify(*stars, model=model, period=[np.nan, 1.0, np.nan, np.nan])
    moved = np.abs(some.probability - without.probability).max(axis=1) > 1e-6
    assert moved.tolist() == [False, True, False, False]


def test_a_network_of_other_bins_gets_as_many(network):
    wide = dataclasses.replace(network, n_bins=256)
    stars = draw_stars(5)
    np.testing.assert_allclose(classify(*stars, model=wide).probability.sum(axis=1), 1)
    assert (classify(*stars, model=wide).probability != classify(*stars, model=network).probability).any()


# Where networks are.


def test_a_network_of_ones_own_is_taken_by_its_path(network, tmp_path, monkeypatch):
    path = tmp_path / "own.npz"
    network.save(path)
    assert model_path(str(path)) == path
    assert classifier_model(str(path)).digest() == network.digest()
    assert classifier_model(str(path)) is classifier_model(str(path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert model_path("~/own.npz") == path
    monkeypatch.chdir(tmp_path)
    assert classifier_model("own.npz").version == "of the dice"


def test_an_unknown_network_is_refused(tmp_path):
    for name in ("nothing", str(tmp_path / "absent.npz"), str(tmp_path), ""):
        with pytest.raises(SettingsError, match=r"choose standard or tiny, or name the \.npz file of a training"):
            model_path(name)
    with pytest.raises(SettingsError, match="no network nothing"):
        classifier_model("nothing")


def test_a_network_of_other_classes_is_refused(tmp_path):
    path = tmp_path / "other.npz"
    random_network(classes=("contact", "other")).save(path)
    with pytest.raises(SettingsError, match="tells contact, other apart, not contact, near_contact"):
        classifier_model(str(path))


def test_a_damaged_network_is_refused(network, tmp_path):
    path = tmp_path / "own.npz"
    network.save(path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputFormatError, match=r"own\.npz cannot be read"):
        classifier_model(str(path))


def test_settings_have_sensible_bounds():
    for wrong in ({"draws": -1}, {"least_probability": 1.5}, {"model": None}, {"priors": {}}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            ClassifierSettings(**wrong)


@pytest.mark.parametrize("weight", [0.0, -1.0, np.inf, np.nan])
def test_a_prior_without_meaning_is_refused(weight):
    with pytest.raises(ValueError, match="contact"):
        ClassPrior(contact=weight)


def test_saving_where_nothing_can_be_written_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        classifier_model("tiny").save(tmp_path / "file" / "tiny.npz")
    (tmp_path / "tiny.json").mkdir()
    with pytest.raises(OutputError, match=r"tiny.json cannot be written"):
        classifier_model("tiny").save(tmp_path / "tiny.npz")
    assert not list(tmp_path.glob(".*partial"))
