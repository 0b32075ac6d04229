"""Probabilities that mean what they say, and figures of a classifier by hand and by scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from cbminer.classifier.calibration import (
    Calibration,
    calibrated,
    calibration_error,
    drawn_groups,
    fit_calibration,
    with_prior,
)
from cbminer.classifier.evaluation import SURVEY_MIX, area_under_curve, evaluate, precision_in_mix, share_interval

metrics = pytest.importorskip("sklearn.metrics")

seeds = st.integers(0, 2**32 - 1)


def draw_labels(probability, rng):
    """Classes drawn with given probabilities."""
    cumulative = probability.cumsum(axis=1)
    return np.minimum((rng.random((len(probability), 1)) > cumulative).sum(axis=1), probability.shape[1] - 1)


def honest(n, rng, size=2.0):
    """Logits, probabilities and classes that are as frequent as the probabilities say."""
    logits = rng.normal(0, size, (n, 5))
    probability = softmax(logits, axis=1)
    return logits, probability, draw_labels(probability, rng)


# Temperature and bias.


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_a_known_temperature_and_bias_are_found(temperature):
    rng = np.random.default_rng(1)
    true, _, label = honest(30000, rng)
    bias = np.array([0.5, -0.3, 0.2, 0.0, -0.4])
    found = fit_calibration(temperature * (true - bias), label)
    assert found.temperature == pytest.approx(temperature, rel=0.03)
    np.testing.assert_allclose(found.bias, bias, atol=0.06)
    assert found.bias.mean() == pytest.approx(0, abs=1e-12)


def test_calibration_makes_an_overconfident_network_honest():
    rng = np.random.default_rng(2)
    true, probability, label = honest(20000, rng)
    logits = 3.0 * true
    raw = calibration_error(softmax(logits, axis=1), label, draws=0).value
    fitted = calibrated(logits, fit_calibration(logits[:10000], label[:10000]))
    assert raw > 0.1
    assert calibration_error(fitted[10000:], label[10000:], draws=0).value < 0.02
    np.testing.assert_allclose(fitted, probability, atol=0.05)


def test_what_is_calibrated_is_the_softmax_of_the_scaled_logits():
    logits = np.array([[1.0, 2.0, 3.0], [1000.0, 0.0, -1000.0]])
    found = calibrated(logits, Calibration(2.0, np.array([0.1, 0.0, -0.1])))
    expected = np.exp([0.6, 1.0, 1.4]) / np.exp([0.6, 1.0, 1.4]).sum()
    np.testing.assert_allclose(found, [expected, [1, 0, 0]], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(calibrated(logits.astype(np.float32), Calibration(2.0, np.zeros(3))).sum(axis=1), 1)


def test_nothing_to_calibrate_on_is_an_error():
    with pytest.raises(ValueError, match="no examples"):
        fit_calibration(np.empty((0, 5)), np.empty(0, dtype=np.int64))


@settings(max_examples=40, deadline=None)
@given(seed=seeds, weights=st.lists(st.floats(1e-3, 1e3), min_size=4, max_size=4))
def test_a_prior_is_brought_in_by_the_theorem_of_bayes(seed, weights):
    rng = np.random.default_rng(seed)
    likelihood = rng.random((20, 4)) + 1e-3
    equal = likelihood / likelihood.sum(axis=1, keepdims=True)
    prior = np.array(weights) / sum(weights)
    joint = likelihood * prior
    found = with_prior(equal, weights)
    np.testing.assert_allclose(found, joint / joint.sum(axis=1, keepdims=True), rtol=1e-9)
    # Only ratios of the frequencies matter, and equal ones change nothing.
    np.testing.assert_allclose(with_prior(equal, 7.0 * np.array(weights)), found, rtol=1e-9)
    np.testing.assert_allclose(with_prior(equal, np.full(4, 3.0)), equal, rtol=1e-9)
    # One after the other is both at once.
    np.testing.assert_allclose(with_prior(with_prior(equal, weights), 1 / np.array(weights)), equal, rtol=1e-9)


def test_a_prior_leaves_unknown_probabilities_unknown():
    found = with_prior(np.array([[np.nan] * 3, [0.2, 0.3, 0.5]]), [1, 2, 1])
    assert np.isnan(found[0]).all()
    np.testing.assert_allclose(found[1], np.array([0.2, 0.6, 0.5]) / 1.3)


# Expected calibration error.


def test_honest_probabilities_have_no_calibration_error():
    _, probability, label = honest(60000, np.random.default_rng(3))
    found = calibration_error(probability, label)
    assert found.value < 0.008
    np.testing.assert_allclose(found.confidence, found.accuracy, atol=0.06)
    assert found.examples.sum() == 60000


def test_overconfidence_is_measured():
    # Sure by 0.9, right in 600 of 1000.
    probability = np.tile([0.9, 0.025, 0.025, 0.025, 0.025], (1000, 1))
    label = np.repeat([0, 1], [600, 400])
    found = calibration_error(probability, label)
    assert found.value == pytest.approx(0.3, abs=1e-12)
    # The interval of a share of 0.6 of 1000.
    half = 1.96 * np.sqrt(0.6 * 0.4 / 1000)
    assert found.low == pytest.approx(0.3 - half, abs=0.006)
    assert found.high == pytest.approx(0.3 + half, abs=0.006)
    assert (found.confidence, found.accuracy, found.examples) == (pytest.approx([0.9]), pytest.approx([0.6]), [1000])


def test_errors_of_opposite_sign_do_not_cancel():
    # Bins of confidence 0.9 (half right) and 0.5 (all right), as many of each.
    probability = np.array([[0.9, 0.1, 0, 0, 0]] * 10 + [[0.5, 0.2, 0.1, 0.1, 0.1]] * 10)
    label = np.array([0, 1] * 5 + [0] * 10)
    assert calibration_error(probability, label, draws=0).value == pytest.approx(0.5 * 0.4 + 0.5 * 0.5)


def test_certainty_falls_into_the_last_bin():
    found = calibration_error(np.eye(5)[[0, 1, 2]], np.array([0, 1, 2]), draws=5)
    assert found.value == found.low == found.high == 0
    assert found.confidence.tolist() == [1]


def test_the_interval_of_the_calibration_error_is_around_it():
    # Also where probabilities are honest, and the error is all chance: a bootstrap has that chance twice.
    for seed in range(40):
        _, probability, label = honest(3000, np.random.default_rng(seed))
        found = calibration_error(probability, label, draws=100)
        assert 0 <= found.low <= found.value <= found.high, seed


@pytest.mark.parametrize("factor", [1.05, 1.15, 1.5])
def test_the_interval_of_the_calibration_error_holds_the_truth(factor):
    def too_sure(n, seed):
        _, probability, label = honest(n, np.random.default_rng(seed))
        return softmax(factor * np.log(probability), axis=1), label

    truth = calibration_error(*too_sure(200000, 999), draws=0).value
    held = []
    for seed in range(60):
        found = calibration_error(*too_sure(3000, seed), draws=100)
        held.append(found.low <= truth <= found.high)
    assert np.mean(held) > 0.75


def test_without_draws_there_is_no_interval():
    _, probability, label = honest(50, np.random.default_rng(7))
    found = calibration_error(probability, label, draws=0)
    assert np.isnan([found.low, found.high]).all()
    assert calibration_error(probability, label).low == calibration_error(probability, label).low
    assert calibration_error(probability, label, seed=1).low != calibration_error(probability, label).low


# Figures of a classifier.

# True classes down, chosen ones to the right.
CONFUSION = np.array([[8, 1, 0, 1, 0], [2, 5, 1, 0, 2], [0, 0, 20, 0, 0], [3, 0, 0, 2, 0], [1, 0, 4, 0, 15]])


def of_confusion(confusion, sure=0.8):
    """Probabilities and classes with a given confusion matrix."""
    label, chosen = np.nonzero(confusion)
    counts = confusion[label, chosen]
    probability = np.full((counts.sum(), 5), (1 - sure) / 4)
    probability[np.arange(counts.sum()), np.repeat(chosen, counts)] = sure
    return probability, np.repeat(label, counts)


def values(intervals):
    return np.array([item.value for item in intervals])


def test_figures_are_those_counted_by_hand():
    judged = evaluate(*of_confusion(CONFUSION))
    assert judged.n == 65
    np.testing.assert_array_equal(judged.confusion, CONFUSION)
    assert judged.accuracy.value == pytest.approx(50 / 65)
    recall = np.array([8 / 10, 5 / 10, 20 / 20, 2 / 5, 15 / 20])
    precision = np.array([8 / 14, 5 / 6, 20 / 25, 2 / 3, 15 / 17])
    np.testing.assert_allclose(values(judged.recall), recall)
    np.testing.assert_allclose(values(judged.precision), precision)
    np.testing.assert_allclose(values(judged.f1), 2 * recall * precision / (recall + precision))
    assert judged.macro_f1.value == pytest.approx((2 * recall * precision / (recall + precision)).mean())
    # 10 % contact, 6 % near contact, 25 % detached, 9 % ellipsoidal, 50 % not eclipsing.
    assert judged.mix_precision[0].value == pytest.approx(
        0.1 * 0.8 / (0.1 * 0.8 + 0.06 * 0.2 + 0.25 * 0 + 0.09 * 0.6 + 0.5 * 0.05)
    )
    assert judged.mix_precision[2].value == pytest.approx(0.25 / (0.25 + 0.06 * 0.1 + 0.5 * 0.2))
    assert judged.calibration.value == pytest.approx(0.8 - 50 / 65)
    assert sum(SURVEY_MIX) == pytest.approx(1)


def test_precision_in_a_mix_is_the_formula():
    # The field of the notes: contact binaries among 3 % semi-detached, 6 % detached, 2 % ellipsoidal, 79 % others.
    found = precision_in_mix(1.0, [0.37, 0.0, 0.95, 0.66], [0.03, 0.06, 0.02, 0.79], 0.10)
    assert found == pytest.approx(0.1 / (0.1 + 0.03 * 0.37 + 0.02 * 0.95 + 0.79 * 0.66))
    assert 0.14 < found < 0.16
    assert precision_in_mix(0.5, [0.0], [0.9], 0.1) == 1
    assert np.isnan(precision_in_mix(0.0, [0.0], [0.9], 0.1))
    judged = evaluate(*of_confusion(CONFUSION), mix=SURVEY_MIX)
    rates = CONFUSION / CONFUSION.sum(axis=1, keepdims=True)
    for one in range(5):
        others = np.arange(5) != one
        expected = precision_in_mix(rates[one, one], rates[others, one], np.array(SURVEY_MIX)[others], SURVEY_MIX[one])
        assert judged.mix_precision[one].value == pytest.approx(expected)


@settings(max_examples=40, deadline=None)
@given(seed=seeds, n=st.integers(1, 120), present=st.sets(st.integers(0, 4), min_size=1), skill=st.floats(0, 5))
def test_figures_agree_with_scikit_learn(seed, n, present, skill):
    rng = np.random.default_rng(seed)
    label = rng.choice(sorted(present), n)
    there = np.unique(label)
    probability = softmax(rng.normal(size=(n, 5)) + skill * np.eye(5)[label], axis=1)
    chosen = probability.argmax(axis=1)
    judged = evaluate(probability, label, draws=3)
    np.testing.assert_array_equal(judged.confusion, metrics.confusion_matrix(label, chosen, labels=range(5)))
    assert judged.accuracy.value == pytest.approx(metrics.accuracy_score(label, chosen))
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        label, chosen, labels=range(5), zero_division=np.nan
    )
    absent, unchosen = ~np.isin(range(5), there), ~np.isin(range(5), chosen)
    np.testing.assert_allclose(values(judged.recall), np.where(absent, np.nan, recall))
    np.testing.assert_allclose(values(judged.precision), np.where(unchosen, np.nan, precision))
    f1 = metrics.f1_score(label, chosen, labels=range(5), average=None, zero_division=0)
    np.testing.assert_allclose(values(judged.f1), np.where(absent, np.nan, f1))
    assert judged.macro_f1.value == pytest.approx(
        metrics.f1_score(label, chosen, labels=there, average="macro", zero_division=0)
    )
    for one in range(5):
        for other in range(5):
            pair = np.isin(label, (one, other))
            if one == other or absent[one] or absent[other]:
                assert np.isnan(judged.separation[one, other])
                continue
            score = np.log(probability[pair, one]) - np.log(probability[pair, other])
            expected = metrics.roc_auc_score(label[pair] == one, score)
            assert judged.separation[one, other] == pytest.approx(expected, abs=1e-12)


def test_classes_that_are_absent_count_for_nothing():
    confusion = CONFUSION.copy()
    confusion[[1, 3]] = 0
    judged = evaluate(*of_confusion(confusion))
    for figures in (judged.recall, judged.f1):
        assert np.isnan([figures[k] for k in (1, 3)]).all()
    assert judged.macro_f1.value == pytest.approx(np.mean([judged.f1[k].value for k in (0, 2, 4)]))
    # The mix goes over what is there.
    assert judged.mix_precision[0].value == pytest.approx(0.1 * 0.8 / (0.1 * 0.8 + 0.5 * 0.05))
    alone = evaluate(np.tile([0.6, 0.1, 0.1, 0.1, 0.1], (5, 1)), np.zeros(5, dtype=np.int64))
    assert alone.accuracy == alone.macro_f1 == (1, 1, 1)
    assert np.isnan(alone.separation).all()


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(ValueError, match="finite probabilities"):
        evaluate(np.empty((0, 5)), np.empty(0, dtype=np.int64))
    probability, label = of_confusion(CONFUSION)
    probability[3, 2] = np.nan
    with pytest.raises(ValueError, match="finite probabilities"):
        evaluate(probability, label)


def test_area_under_the_curve_counts_ties_by_half():
    assert area_under_curve([3, 4], [1, 2]) == 1
    assert area_under_curve([1, 2], [3, 4]) == 0
    assert area_under_curve([1, 1], [1]) == 0.5
    # Of six pairs three are won, two are ties.
    assert area_under_curve([2, 3], [2, 3, 1]) == pytest.approx((3 + 0.5 * 2) / 6)
    assert np.isnan(area_under_curve([], [1]))
    assert np.isnan(area_under_curve([1], []))


@settings(max_examples=40, deadline=None)
@given(
    one=st.lists(st.integers(-3, 3), min_size=1, max_size=30),
    other=st.lists(st.integers(-3, 3), min_size=1, max_size=30),
)
def test_area_under_the_curve_is_that_of_scikit_learn(one, other):
    truth = np.repeat([1, 0], [len(one), len(other)])
    assert area_under_curve(one, other) == pytest.approx(metrics.roc_auc_score(truth, one + other), abs=1e-12)


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(8)
    rates = 0.05 + 0.75 * np.eye(5)
    rates[3] = [0.3, 0.1, 0.0, 0.5, 0.1]
    rates[4] = [0.05, 0.05, 0.1, 0.1, 0.7]
    np.testing.assert_allclose(rates.sum(axis=1), 1)
    share = np.array([0.3, 0.2, 0.2, 0.1, 0.2])
    joint = share[:, None] * rates
    right = np.diagonal(joint)
    recall, precision = np.diagonal(rates), right / joint.sum(axis=0)
    mix = np.array(SURVEY_MIX)
    truth = {
        "accuracy": right.sum(),
        "macro_f1": np.mean(2 * right / (share + joint.sum(axis=0))),
        "recall": recall,
        "precision": precision,
        "mix_precision": mix * recall / (mix @ rates),
    }
    held = {name: [] for name in truth}
    for trial in range(150):
        confusion = rng.multinomial(600, joint.ravel()).reshape(5, 5)
        judged = evaluate(*of_confusion(confusion), draws=200, seed=trial)
        for name, value in truth.items():
            ends = np.reshape(getattr(judged, name), (-1, 3))
            held[name] += list((ends[:, 1] <= value) & (value <= ends[:, 2]))
    for name, hits in held.items():
        assert 0.88 < np.mean(hits) < 0.99, name


def test_intervals_are_around_the_figures_and_narrow_with_examples():
    small, large = (evaluate(*of_confusion(factor * CONFUSION)) for factor in (1, 100))
    for judged in (small, large):
        for item in (judged.accuracy, judged.macro_f1, *judged.recall, *judged.precision, *judged.f1):
            assert item.low <= item.value <= item.high
    assert np.ptp(large.accuracy[1:]) == pytest.approx(0.1 * np.ptp(small.accuracy[1:]), rel=0.3)


# Several observations of a star.


def test_a_share_has_the_interval_of_wilson():
    # Newcombe 1998, Statistics in Medicine 17, 857, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    for hits, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        found = share_interval(np.arange(n) < hits)
        assert found.value == hits / n
        np.testing.assert_allclose(found[1:], [low, high], atol=1e-4)
    assert np.isnan(share_interval(np.empty(0, dtype=bool))).all()
    assert np.isnan(share_interval(np.empty(0, dtype=bool), groups=np.empty(0, dtype=np.int64))).all()


def test_observations_of_one_star_count_as_one_for_the_intervals():
    rng = np.random.default_rng(11)
    _, probability, label = honest(300, rng)
    many = np.repeat(np.arange(300), 9)
    single = evaluate(probability, label, draws=400)
    pretended = evaluate(probability[many], label[many], draws=400)
    honestly = evaluate(probability[many], label[many], groups=7 * many - 5, draws=400)
    for name in ("accuracy", "macro_f1"):
        one, nine, grouped = (getattr(item, name) for item in (single, pretended, honestly))
        assert one.value == pytest.approx(nine.value)
        assert grouped.value == pytest.approx(nine.value)
        assert nine.high - nine.low == pytest.approx((one.high - one.low) / 3, rel=0.2)
        assert grouped.high - grouped.low == pytest.approx(one.high - one.low, rel=0.2)
    np.testing.assert_array_equal(honestly.confusion, 9 * single.confusion)
    assert np.ptp(honestly.calibration[1:3]) == pytest.approx(np.ptp(single.calibration[1:3]), rel=0.3)
    right = probability.argmax(axis=1) == label
    shares = [share_interval(right), share_interval(right[many]), share_interval(right[many], groups=many)]
    widths = [item.high - item.low for item in shares]
    assert widths[1] == pytest.approx(widths[0] / 3, rel=0.1)
    assert widths[2] == pytest.approx(widths[0], rel=0.2)


def test_groups_are_drawn_with_replacement():
    drawn = drawn_groups(50, 400, np.random.default_rng(12))
    assert drawn.shape == (400, 50)
    assert (drawn.sum(axis=1) == 50).all()
    np.testing.assert_allclose(drawn.mean(axis=0), 1, atol=0.25)
    # A group is missed in about one draw of e.
    assert (drawn == 0).mean() == pytest.approx(np.exp(-1), abs=0.02)
