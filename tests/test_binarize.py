"""The estimators of one bit: their steps and gradients against published tables and against formulas in numpy."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from cbminer.classifier import binarization_error as be  # noqa: E402 - torch is an extra
from cbminer.classifier import binarize as bz  # noqa: E402
from cbminer.classifier import binarizers as bm  # noqa: E402

POINTS = [0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.2, 1.5, 1.6]
# Gradients at these points with an upstream gradient of 1.
TABLE = {
    "ste": (bz.clipped_sign, [1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0]),
    "approx": (bz.approx_sign, [2, 1.9, 1.8, 1.6, 1.4, 1, 0.5, 0, 0, 0, 0]),
    "reste 1": (lambda x: bz.reste_sign(x, 1), [1] * 10 + [0]),
    "reste 2": (
        lambda x: bz.reste_sign(x, 2),
        [3.16228, 3.16228, 3.16228, 1.11803, 0.91287, 0.70711, 0.57735, 0.5, 0.45644, 0.40825, 0],
    ),
    "reste 3": (
        lambda x: bz.reste_sign(x, 3),
        [4.64159, 4.64159, 4.64159, 0.97467, 0.74381, 0.52913, 0.40380, 0.33333, 0.29518, 0.25438, 0],
    ),
    "decay 0.1": (
        lambda x: bz.decay_sign(x, 10, 0.1),
        [1, 0.99998, 0.99990, 0.99960, 0.99910, 0.99750, 0.99440, 0.99007, 0.98574, 0.97783, 0.97483],
    ),
    "decay 3": (
        lambda x: bz.decay_sign(x, 1, 3),
        [3, 2.93350, 2.74541, 2.13473, 1.46075, 0.54212, 0.13039, 0.02960, 0.00895, 0.00148, 0.00081],
    ),
}
# Weight, sine, sign of the sine, gradient of both, at a frequency of 20.
WAVES = [
    (0.01, 0.19867, 1, 19.60133),
    (0.05, 0.84147, 1, 10.80605),
    (0.07, 0.98545, 1, 3.39934),
    (0.08, 0.99957, 1, -0.58399),
    (0.1, 0.90930, 1, -8.32294),
    (0.15, 0.14112, 1, -19.79985),
    (0.16, -0.05837, -1, -19.96589),
    (0.2, -0.75680, -1, -13.07287),
    (0.3, -0.27942, -1, 19.20341),
    (-0.1, -0.90930, -1, -8.32294),
]
# Printed with five decimals, or to a relative error of 1e-5.
PRINTED = {"rtol": 1e-5, "atol": 5.1e-6}

numbers = st.floats(-3, 3, width=32)
lists = st.lists(numbers, min_size=1, max_size=30)


def step_and_gradient(function, values, upstream=None):
    x = torch.tensor(np.asarray(values, dtype=np.float32), requires_grad=True)
    y = function(x)
    y.backward(torch.ones_like(y) if upstream is None else torch.tensor(upstream, dtype=y.dtype))
    return y.detach().numpy(), x.grad.numpy()


def made(method, c_out=4, progress=0.0):
    torch.manual_seed(5)
    weights, activations = bm.make_binarizers(method, c_out)
    weights.advance(progress)
    activations.advance(progress)
    return weights, activations


def latent(shape=(4, 3, 5), seed=1, scale=0.1):
    return torch.tensor(np.random.default_rng(seed).normal(0.02, scale, shape).astype(np.float32), requires_grad=True)


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("side", [1, -1])
def test_gradients_are_those_of_the_table(name, side):
    function, expected = TABLE[name]
    values = side * np.array(POINTS, dtype=np.float32)
    step, gradient = step_and_gradient(function, values)
    np.testing.assert_allclose(gradient, expected, **PRINTED)
    np.testing.assert_array_equal(step, np.where(values >= 0, 1, -1))


def test_waves_are_those_of_the_table():
    w, sine, square, gradient = np.array(WAVES).T
    step, slope = step_and_gradient(lambda x: bz.biper_wave(x, 20), w)
    np.testing.assert_allclose(step, sine, **PRINTED)
    np.testing.assert_allclose(slope, gradient, **PRINTED)
    step, slope = step_and_gradient(lambda x: bz.biper_square(x, 20), w)
    np.testing.assert_array_equal(step, square)
    np.testing.assert_allclose(slope, gradient, **PRINTED)


def test_a_square_wave_is_nowhere_clipped():
    w = np.linspace(-4, 4, 201, dtype=np.float32)
    step, slope = step_and_gradient(lambda x: bz.biper_square(x, 7), w)
    np.testing.assert_array_equal(step, np.where(np.sin(7 * w.astype(np.float64)) >= 0, 1, -1))
    np.testing.assert_allclose(slope, 7 * np.cos(7 * w.astype(np.float64)), atol=2e-5)


@settings(deadline=None)
@given(lists, st.floats(1, 5))
def test_reste_follows_its_root(values, power):
    size = np.abs(np.array(values, dtype=np.float32)).astype(np.float64)
    far = np.maximum(size, 1e-30)
    expected = np.where(size <= np.float32(0.1), 0.1 ** (1 / power) / 0.1, far ** (1 / power - 1) / power)
    expected[size > 1.5] = 0
    _, gradient = step_and_gradient(lambda x: bz.reste_sign(x, power), values)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)


def test_bounds_of_reste_can_be_set():
    _, gradient = step_and_gradient(
        lambda x: bz.reste_sign(x, 2, threshold=0.5, inner=0.25), [0, 0.25, 0.36, 0.5, 0.51]
    )
    np.testing.assert_allclose(gradient, [2, 2, 0.5 / 0.6, 0.5 / math.sqrt(0.5), 0], rtol=1e-6)


@settings(deadline=None)
@given(lists, st.floats(0.05, 10), st.floats(0.5, 10))
def test_decay_follows_the_derivative_of_its_tanh(values, t, k):
    x = np.array(values, dtype=np.float32).astype(np.float64)
    _, gradient = step_and_gradient(lambda v: bz.decay_sign(v, k, t), values)
    np.testing.assert_allclose(gradient, k * t / np.cosh(t * x) ** 2, rtol=1e-5, atol=1e-5 * k * t)


@settings(deadline=None)
@given(lists)
def test_the_upstream_gradient_multiplies(values):
    upstream = np.linspace(-2, 3, len(values))
    for function, _ in TABLE.values():
        _, once = step_and_gradient(function, values)
        _, scaled = step_and_gradient(function, values, upstream)
        np.testing.assert_allclose(scaled, once * upstream, rtol=1e-5, atol=1e-6)


@settings(deadline=None)
@given(lists)
def test_signs_are_one_of_two_for_both_zeros(values):
    values = [*values, 0.0, -0.0]
    signs = bz.hard_sign(torch.tensor(values))
    np.testing.assert_array_equal(signs.numpy(), [1 if value >= 0 else -1 for value in values])
    for function, _ in TABLE.values():
        assert torch.equal(function(torch.tensor(values)), signs)


def test_the_type_of_the_numbers_stays():
    x = torch.zeros(3, 2, dtype=torch.float64)
    alpha = torch.ones((), dtype=torch.float64)
    one = [function for function, _ in TABLE.values()]
    one += [bz.hard_sign, bz.statistics_binary, bz.statistics_ternary, bz.centred_binary, bz.standardised]
    one += [
        lambda v: bz.biper_square(v, 20),
        lambda v: bz.elastic_sign(v, alpha),
        lambda v: bz.elastic_unsigned(v, alpha),
    ]
    assert {function(x).dtype for function in one} == {torch.float64}


def test_zero_is_positive_in_every_method():
    assert bz.biper_square(torch.zeros(2), 20).tolist() == [1, 1]
    assert bz.elastic_sign(torch.zeros(2), torch.tensor(0.5)).tolist() == [0.5, 0.5]
    row = torch.tensor([[0.0, 1.0, -3.0]])
    assert bz.statistics_binary(row)[0].tolist() == pytest.approx([4 / 3, 4 / 3, -4 / 3])
    assert bz.centred_binary(torch.tensor([[1.0, 2.0, 3.0]]))[0].tolist() == [-2, 2, 2]
    for method in set(bm.METHODS) - {"ternary"}:
        weights, activations = made(method)
        assert torch.equal(weights.signs(torch.zeros(4, 3, 5)), torch.ones(4, 3, 5))
        activations.eval()
        assert torch.equal(activations(torch.zeros(2, 3, 5)), activations.scale().expand(2, 3, 5))
    weights, _ = made("ternary")
    assert torch.equal(weights.signs(torch.zeros(4, 3, 5)), torch.zeros(4, 3, 5))


def test_statistics_by_hand():
    w = [[0.1, -0.3, 0.8], [-1.0, 2.0, 3.0]]
    upstream = [[1.0, 2.0, -3.0], [0.5, 0.0, 4.0]]
    step, gradient = step_and_gradient(bz.statistics_binary, w, upstream)
    np.testing.assert_allclose(step, [[0.4, -0.4, 0.4], [-2, 2, 2]], rtol=1e-6)
    np.testing.assert_array_equal(gradient, upstream)
    step, gradient = step_and_gradient(bz.statistics_ternary, w, upstream)
    # Thresholds of two thirds of the mean sizes, 0.267 and 1.333.
    np.testing.assert_allclose(step, [[0, -1.6 / 3, 1.6 / 3], [0, 8 / 3, 8 / 3]], rtol=1e-6)
    np.testing.assert_array_equal(gradient, upstream)


def test_a_ternary_weight_at_the_threshold_is_zero():
    # Mean size 1.5, s = 2, threshold 1.
    assert bz.statistics_ternary(torch.tensor([[1.0, -1.0, 1.0, 3.0]]))[0].tolist() == [0, 0, 0, 2]


@settings(deadline=None)
@given(st.lists(numbers, min_size=6, max_size=6).filter(lambda v: max(map(abs, v)) > 1e-3))
def test_ternary_weights_are_those_beyond_two_thirds_of_the_mean_size(values):
    w = np.array(values, dtype=np.float32).astype(np.float64).reshape(1, 6)
    threshold = 2 / 3 * np.abs(w).mean()
    clear = np.abs(np.abs(w) - threshold) > 1e-5 * threshold
    expected = np.where(np.abs(w) > threshold, np.sign(w), 0) * 2 * threshold
    step, _ = step_and_gradient(bz.statistics_ternary, w)
    np.testing.assert_allclose(step[clear], expected[clear], rtol=1e-5)


def test_centred_weights_by_hand():
    w = [[0.0, 1.0, 2.0], [-1.0, 4.0, 6.0]]
    upstream = [[1.0, 2.0, -3.0], [0.5, 0.0, 4.0]]
    step, gradient = step_and_gradient(bz.centred_binary, w, upstream)
    # The mean is 2 and the mean size 7/3.
    np.testing.assert_allclose(step, 7 / 3 * np.array([[-1, -1, 1], [-1, 1, 1]]), rtol=1e-6)
    np.testing.assert_array_equal(gradient, upstream)
    step, _ = step_and_gradient(lambda x: bz.centred_binary(x, row_wise=True), w)
    np.testing.assert_allclose(step, [[-1, -1, 1], [-11 / 3, 11 / 3, 11 / 3]], rtol=1e-6)


def test_elastic_signs_by_hand():
    alpha = torch.tensor(0.5, requires_grad=True)
    upstream = [1.0, 2.0, -4.0, 0.5]
    step, gradient = step_and_gradient(lambda x: bz.elastic_sign(x, alpha), [-0.2, 0.5, 0.6, 0.0], upstream)
    np.testing.assert_array_equal(step, [-0.5, 0.5, 0.5, 0.5])
    np.testing.assert_array_equal(gradient, [1, 2, 0, 0.5])
    # The signed sum of the upstream gradients is -2.5, over the root of 4 elements.
    assert float(alpha.grad) == pytest.approx(-1.25)


def test_elastic_levels_by_hand():
    alpha = torch.tensor([2.0], requires_grad=True)
    upstream = [1.0, 1.0, 2.0, 3.0, 5.0, 7.0, 11.0, 13.0, 17.0]
    x = [-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 9.0, 1.1]
    step, gradient = step_and_gradient(lambda v: bz.elastic_unsigned(v, alpha), x, upstream)
    np.testing.assert_array_equal(step, [0, 0, 0, 0, 2, 2, 2, 2, 2])
    np.testing.assert_array_equal(gradient, [0, 1, 2, 3, 5, 7, 0, 0, 17])
    # Ratios of 0.25, 0.5 (rounds to 0), 0.75 and 0.55 between, and three at 1 or beyond.
    expected = (2 * -0.25 + 3 * -0.5 + 5 * 0.25 + 17 * 0.45 + 7 + 11 + 13) / 3
    assert alpha.grad.shape == (1,)
    assert float(alpha.grad) == pytest.approx(expected, rel=1e-6)


def test_steps_below_zero_count_as_the_least():
    alpha = torch.tensor(-0.3, requires_grad=True)
    step, gradient = step_and_gradient(lambda x: bz.elastic_sign(x, alpha), [-1.0, 1.0, 1e-6], [1.0, 2.0, 3.0])
    np.testing.assert_allclose(step, [-1e-5, 1e-5, 1e-5])
    np.testing.assert_array_equal(gradient, [0, 0, 3])
    assert float(alpha.grad) == pytest.approx(4 / math.sqrt(3))
    assert bz.elastic_unsigned(torch.tensor(1.0), alpha).item() == pytest.approx(1e-5)


@settings(deadline=None)
@given(lists, st.floats(0.1, 2))
def test_elastic_gradients_follow_learned_step_sizes(values, step):
    x = np.array(values, dtype=np.float32).astype(np.float64)
    step = float(np.float32(step))
    upstream = np.cos(np.arange(len(x)))
    alpha = torch.tensor(step, requires_grad=True)
    step_and_gradient(lambda v: bz.elastic_sign(v, alpha), values, upstream)
    signed = np.sum(upstream * np.where(x >= 0, 1, -1)) / math.sqrt(len(x))
    assert float(alpha.grad) == pytest.approx(signed, rel=1e-4, abs=1e-5)


def test_standardised_weights():
    w = latent()
    z = bz.standardised(w).detach().numpy().reshape(4, -1)
    np.testing.assert_allclose(z.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(z.std(axis=1, ddof=1), 1, rtol=1e-6)
    flat = torch.full((2, 3, 5), 0.3, requires_grad=True)
    bz.standardised(flat).sum().backward()
    assert torch.isfinite(flat.grad).all()


def test_the_power_of_reste_runs_along_a_cosine():
    shares = [0, 0.1, 0.25, 0.5, 0.75, 0.9, 1]
    expected = [1, 1.0246, 1.1522, 1.5858, 2.2346, 2.6871, 3]
    assert [bz.reste_power(share) for share in shares] == pytest.approx(expected, abs=5e-5)
    assert bz.reste_power(0.5, end=5) == pytest.approx(1 + 4 * (1 - math.sqrt(0.5)))


def test_the_decay_runs_evenly_in_the_logarithm():
    assert bz.decay_schedule(0) == pytest.approx((10, 0.1))
    assert bz.decay_schedule(0.25) == pytest.approx((math.sqrt(10), 1 / math.sqrt(10)))
    assert bz.decay_schedule(0.5) == pytest.approx((1, 1))
    assert bz.decay_schedule(1) == pytest.approx((1, 10))
    assert bz.decay_schedule(0.5, lowest=1e-3, highest=10) == pytest.approx((10, 0.1))


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0, 1))
def test_schedules_only_rise(a, b):
    first, last = min(a, b), max(a, b)
    assert 1 <= bz.reste_power(first) <= bz.reste_power(last) <= 3
    assert bz.decay_schedule(first)[1] <= bz.decay_schedule(last)[1]
    assert bz.decay_schedule(first)[0] >= bz.decay_schedule(last)[0] >= 1


@pytest.mark.parametrize("progress", [-0.01, 1.01, math.nan])
def test_progress_is_a_share(progress):
    weights, activations = made("reste")
    for advance in (bz.reste_power, bz.decay_schedule, weights.advance, activations.advance):
        with pytest.raises(ValueError, match="a share from 0 to 1"):
            advance(progress)


@pytest.mark.parametrize(
    ("power", "error", "instability"),
    [(1, 2.608, 0), (1.5, 2.178, 0.121), (2, 1.898, 0.335), (3, 1.566, 0.781), (5, 1.257, 1.486)],
)
def test_reste_trades_error_for_stability(power, error, instability):
    # In single precision the middle point is 3e-8 and the points beside it are just above 0.1: the figures need both.
    w = torch.linspace(-1.2, 1.2, 25, requires_grad=True)
    bz.reste_sign(w, power).sum().backward()
    assert be.reste_error([w], power) == pytest.approx(error, abs=6e-4)
    assert be.gradient_instability([w.grad]) == pytest.approx(instability, abs=6e-4)
    assert be.gradient_instability([w.grad, -w.grad]) == pytest.approx(2 * instability, abs=1.2e-3)


def test_errors_in_numpy():
    layers = [latent(seed=seed) for seed in (1, 2)]
    arrays = [w.detach().numpy().astype(np.float64).ravel() for w in layers]
    root = sum(np.sqrt(np.sum((np.sign(w) * np.abs(w) ** (1 / 3) - np.sign(w)) ** 2)) for w in arrays)
    assert be.reste_error(layers, 3) == pytest.approx(root, rel=1e-5)
    wave = sum(np.mean(np.abs(np.sin(20 * w) - np.sign(np.sin(20 * w)))) for w in arrays)
    assert be.biper_error(layers, 20) == pytest.approx(wave, rel=1e-5)


@pytest.mark.parametrize(
    ("beta", "expected"),
    [
        (0.1, (0.0990, 0.0094, 0.490, 0.8212, 0.9010)),
        (0.5, (0.4015, 0.0888, 0.355, 0.4470, 0.5985)),
        (1, (0.5452, 0.1028, 0.257, 0.3097, 0.4548)),
        (2, (0.6100, 0.0986, 0.209, 0.2507, 0.3901)),
        (5, (0.6321, 0.0955, 0.193, 0.2308, 0.3679)),
        (math.inf, (2 / math.pi, 0.5 - 4 / math.pi**2, 1 - 8 / math.pi**2, 1.5 - 4 / math.pi, 1 - 2 / math.pi)),
    ],
)
def test_laplace_errors_are_those_of_the_table(beta, expected):
    # To a unit of the last digit: two of the printed ones are not rounded to the nearest.
    errors = be.biper_error_laplace(beta)
    assert errors[:2] + errors[3:] == pytest.approx(expected[:2] + expected[3:], abs=1e-4)
    assert errors.relative == pytest.approx(expected[2], abs=1e-3)


@pytest.mark.parametrize("beta", [0.02, 0.1, 0.5, 0.956, 2, 5, 300])
def test_laplace_errors_agree_with_integrals(beta):
    # Both sides of the distribution, and all half periods of the sine, fold into one half period.
    x, weight = np.polynomial.legendre.leggauss(400)
    x = (x + 1) * np.pi / 2
    density = weight * np.pi / 2 * np.exp(-x / beta) / (beta * -np.expm1(-np.pi / beta))
    assert np.sum(density) == pytest.approx(1, rel=1e-10)
    size, square = np.sum(density * np.sin(x)), np.sum(density * np.sin(x) ** 2)
    expected = (size, square - size**2, 1 - size**2 / square, 1 - 2 * size + square, 1 - size)
    assert be.biper_error_laplace(beta) == pytest.approx(expected, abs=1e-10)


def test_the_absolute_square_error_has_a_maximum():
    assert be.biper_error_laplace(0.956).best_scale == pytest.approx(0.10283, abs=5e-6)
    assert be.biper_error_laplace(0.956).best_scale > be.biper_error_laplace(0.94).best_scale
    assert be.biper_error_laplace(0.956).best_scale > be.biper_error_laplace(0.97).best_scale


@settings(deadline=None)
@given(st.floats(0.01, 1e3), st.floats(1.01, 3))
def test_a_higher_frequency_lowers_the_relative_and_the_absolute_error(beta, factor):
    low, high = be.biper_error_laplace(beta), be.biper_error_laplace(beta * factor)
    assert high.relative <= low.relative + 1e-12 <= 0.5 + 1e-9
    assert high.absolute <= low.absolute + 1e-12


@pytest.mark.parametrize("beta", [0.1, 0.7, 1.6, 4])
def test_laplace_errors_agree_with_random_weights(beta):
    frequency, count = 20.0, 200_000
    w = np.random.default_rng(7).laplace(0, beta / frequency, count)
    sine = np.sin(frequency * w)
    size = np.abs(sine).mean()
    square = np.sign(sine)
    measured = (
        size,
        np.mean((sine - size * square) ** 2),
        np.mean((sine - size * square) ** 2) / np.mean(sine**2),
        np.mean((sine - square) ** 2),
        np.mean(np.abs(sine - square)),
    )
    errors = be.biper_error_laplace(beta)
    assert measured == pytest.approx(errors, abs=5e-3)
    assert be.biper_error([torch.tensor(w)], frequency) == pytest.approx(errors.absolute, abs=5e-3)
    layer = bm.BiPerWeights(100, frequency)
    figures = layer.diagnostics(torch.tensor(w).reshape(100, 40, 50))
    assert figures["relative_error"] == pytest.approx(errors.relative, abs=5e-3)
    assert figures["quantisation_error"] == pytest.approx(errors.absolute, abs=5e-3)


@pytest.mark.parametrize("beta", [0, -1, math.nan])
def test_laplace_needs_a_scale(beta):
    with pytest.raises(ValueError, match="above 0"):
        be.biper_error_laplace(beta)


def test_a_low_rank_path_starts_at_zero():
    path = bm.LowRankResidual(8, 5, 2)
    x = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(path(x), torch.zeros(3, 5))
    path(x).sum().backward()
    assert path.up.weight.grad.abs().min() > 0
    assert sum(p.numel() for p in path.parameters()) == 2 * (8 + 5)
    with torch.no_grad():
        path.up.weight.fill_(1)
    assert np.linalg.matrix_rank(path(torch.eye(8)).detach().numpy()) == 1


@pytest.mark.parametrize("method", bm.METHODS)
@pytest.mark.parametrize("progress", [0.7, 1.0])
def test_inference_gives_the_weights_of_training(method, progress):
    weights, activations = made(method, progress=progress)
    w = latent()
    before = w.detach().clone()
    signs, scale = weights.signs(w), weights.scale(w)
    assert torch.equal(weights(w), signs * scale)
    assert scale.shape == (4, 1, 1)
    assert not signs.requires_grad
    assert not scale.requires_grad
    assert set(signs.unique().tolist()) == ({-1, 0, 1} if method == "ternary" else {-1, 1})
    assert torch.equal(w, before)
    x = latent((6, 3, 9), seed=3, scale=1)
    for mode in (True, False):
        activations.train(mode)
        assert torch.equal(activations(x), bz.hard_sign(x) * activations.scale())
    assert activations.scale().shape == ()
    assert not activations.scale().requires_grad


@pytest.mark.parametrize("method", bm.METHODS)
def test_every_method_gives_finite_gradients(method):
    for progress in (0.0, 0.5, 1.0):
        weights, activations = made(method, progress=progress)
        w, x = latent(), latent((6, 3, 9), seed=3, scale=1)
        loss = torch.nn.functional.conv1d(activations(x), weights(w)).pow(2).mean() + weights.regulariser(w)
        loss.backward()
        for tensor in (w, x, *weights.parameters(), *activations.parameters()):
            assert torch.isfinite(tensor.grad).all()
            assert tensor.grad.abs().sum() > 0


@pytest.mark.parametrize("method", bm.METHODS)
def test_the_state_restores_everything(method):
    weights, activations = made(method, progress=0.75)
    w, x = latent(), latent((6, 3, 9), seed=3, scale=1)
    activations(x)
    again = bm.make_binarizers(method, 4)
    again[0].load_state_dict(weights.state_dict())
    again[1].load_state_dict(activations.state_dict())
    assert float(again[0].progress) == float(again[1].progress) == 0.75
    gradients = []
    for first, second in ((weights, activations), again):
        leaf, image = w.detach().requires_grad_(), x.detach().requires_grad_()
        # Another batch: the steps are no longer set from it.
        torch.nn.functional.conv1d(second(2 * image), first(leaf)).pow(2).sum().backward()
        gradients.append((leaf.grad, image.grad))
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    assert torch.equal(weights.scale(w), again[0].scale(w))
    assert torch.equal(activations.scale(), again[1].scale())


def test_straight_through_weights_have_a_detached_scale_per_channel():
    for method in ("ste", "approx_sign"):
        weights, _ = made(method)
        w = latent(scale=0.8)
        upstream = latent(seed=9).detach()
        weights(w).backward(upstream)
        array = w.detach().numpy()
        scale = np.abs(array).mean(axis=(1, 2), keepdims=True)
        expected = upstream.numpy() * scale * (np.abs(array) <= 1)
        assert (expected == 0).any()
        np.testing.assert_allclose(w.grad.numpy(), expected, rtol=1e-5)


def test_the_gradient_goes_through_the_scale_of_reste():
    weights, activations = made("reste", progress=0.5)
    w = latent(scale=0.8)
    upstream = latent(seed=9).detach()
    weights(w).backward(upstream)
    array, g = w.detach().numpy().astype(np.float64), upstream.numpy().astype(np.float64)
    power = 3 - 2 * math.cos(math.pi / 4)
    size = np.abs(array)
    slope = np.where(size <= 0.1, 0.1 ** (1 / power - 1), size ** (1 / power - 1) / power) * (size <= 1.5)
    expected = g * slope * size.mean() + np.sign(array) / array.size * np.sum(g * np.sign(array))
    np.testing.assert_allclose(w.grad.numpy(), expected, rtol=1e-4, atol=1e-7)
    x = torch.tensor([[[0.4, 1.6]]], requires_grad=True)
    activations(x).sum().backward()
    assert x.grad.flatten().tolist() == pytest.approx([0.4 ** (1 / power - 1) / power, 0], rel=1e-5)
    assert weights.diagnostics(w)["estimating_error"] == pytest.approx(be.reste_error([w], 3))


def test_biper_changes_its_stage():
    weights, _ = made("biper")
    w = latent()
    sine = torch.sin(20 * w.detach())
    assert torch.allclose(weights(w), sine * weights.alpha)
    assert weights.regulariser(w).item() == pytest.approx(0.037 * float((sine**2).mean()), rel=1e-5)
    weights.advance(0.599)
    assert not weights.in_second_stage
    weights.advance(0.6)
    assert weights.in_second_stage
    assert weights.regulariser(w).item() == pytest.approx(0.0468 * float((sine**2).mean()), rel=1e-5)
    upstream = latent(seed=9).detach()
    weights(w).backward(upstream)
    expected = upstream * weights.alpha.detach() * 20 * torch.cos(20 * w.detach())
    assert torch.allclose(w.grad, expected, rtol=1e-5, atol=1e-6)
    signs = torch.where(sine >= 0, 1.0, -1.0)
    assert torch.allclose(weights.alpha.grad, (upstream * signs).sum(dim=(1, 2), keepdim=True), rtol=1e-5)


def test_the_regulariser_of_biper_has_its_gradient():
    weights, _ = made("biper")
    w = latent()
    weights.regulariser(w).backward()
    array = w.detach().numpy().astype(np.float64)
    # The derivative of (1 - cos(2 f w)) / 2 is f sin(2 f w).
    expected = 0.037 * 20 * np.sin(40 * array) / array.size
    np.testing.assert_allclose(w.grad.numpy(), expected, rtol=1e-4, atol=1e-7)


def test_scales_of_biper_begin_between_zero_and_one():
    torch.manual_seed(3)
    scales = bm.BiPerWeights(1000).alpha.detach()
    torch.manual_seed(3)
    assert torch.equal(scales, torch.rand(1000, 1, 1))
    assert 0 <= scales.min() < 0.01
    assert 0.99 < scales.max() < 1


def test_biper_divides_activations_while_it_trains():
    _, activations = made("biper")
    x = latent((5, 3, 8), seed=4, scale=2)
    upstream = latent((5, 3, 8), seed=5).detach()
    array = x.detach().numpy().astype(np.float64)
    activations.eval()
    activations(x).backward(upstream)
    np.testing.assert_allclose(x.grad, upstream.numpy() * np.maximum(0, 2 - 2 * np.abs(array)), rtol=1e-5)
    x.grad = None
    activations.train()
    activations(x).backward(upstream)
    # Through the deviation as well: the derivative of v_i / sqrt(var + eps), var over n - 1.
    flat = array.reshape(5, -1)
    deviation = np.sqrt(flat.var(axis=1, ddof=1, keepdims=True) + 1e-5)
    local = upstream.numpy().reshape(5, -1) * np.maximum(0, 2 - 2 * np.abs(flat / deviation))
    pull = np.sum(local * flat, axis=1, keepdims=True) * (flat - flat.mean(axis=1, keepdims=True))
    expected = local / deviation - pull / ((flat.shape[1] - 1) * deviation**3)
    np.testing.assert_allclose(x.grad.reshape(5, -1), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(bz.sample_std(x).detach().flatten(), deviation.ravel(), rtol=1e-5)


def test_irnet_has_signs_of_standardised_weights_and_powers_of_two():
    weights, activations = made("irnet", progress=0.25)
    w = latent()
    array = w.detach().numpy().astype(np.float64).reshape(4, -1)
    z = (array - array.mean(axis=1, keepdims=True)) / array.std(axis=1, ddof=1, keepdims=True)
    np.testing.assert_array_equal(weights.signs(w).reshape(4, -1), np.where(z >= 0, 1, -1))
    scale = 2 ** np.round(np.log2(np.abs(z).mean(axis=1)))
    np.testing.assert_array_equal(weights.scale(w).flatten(), scale)
    weights(w).backward(torch.ones_like(w))
    t = 10**-0.5
    local = scale[:, None] * np.cosh(t * z) ** -2.0
    spread = array.std(axis=1, ddof=1, keepdims=True)
    pull = np.sum(local * z, axis=1, keepdims=True) * z / (array.shape[1] - 1)
    expected = (local - local.mean(axis=1, keepdims=True) - pull) / spread
    np.testing.assert_allclose(w.grad.reshape(4, -1), expected, rtol=1e-3, atol=1e-4)
    x = torch.full((1, 1, 1), 0.7, requires_grad=True)
    activations(x).sum().backward()
    assert float(x.grad) == pytest.approx(math.cosh(0.7 * t) ** -2, rel=1e-5)


def test_elastic_steps_begin_with_the_first_batch_of_the_training():
    _, activations = made("statistics")
    x = latent((6, 3, 9), seed=3, scale=1)
    activations.eval()
    activations(x)
    assert float(activations.scale()) == 1
    activations.train()
    activations(x)
    expected = 2 * x.abs().mean().item()
    assert float(activations.scale()) == pytest.approx(expected)
    activations(10 * x)
    assert float(activations.scale()) == pytest.approx(expected)


def test_centred_layers_can_have_scales_by_row():
    w = latent()
    layer = bm.CentredWeights(row_wise=True)
    assert torch.equal(layer(w), layer.signs(w) * layer.scale(w))
    assert len(layer.scale(w).unique()) == 4
    assert torch.equal(layer.signs(w), bm.CentredWeights().signs(w))


@settings(deadline=None)
@given(st.lists(numbers, min_size=8, max_size=8))
def test_the_relative_error_is_that_of_the_best_factor(values):
    w = torch.tensor(values, dtype=torch.float64).reshape(2, 2, 2)
    for method in ("ste", "ternary", "centred"):
        weights, _ = made(method, c_out=2)
        figure = weights.diagnostics(w)["relative_error"]
        source = w.numpy() - (w.numpy().mean() if method == "centred" else 0)
        signs = weights.signs(w).numpy()
        assert -1e-9 <= figure <= 1
        if np.abs(source).max() > 1e-3:
            factor = np.sum(source * signs) / np.sum(signs**2)
            assert figure == pytest.approx(np.sum((source - factor * signs) ** 2) / np.sum(source**2), abs=1e-9)


def test_methods_without_a_regulariser_have_zero():
    for method in set(bm.METHODS) - {"biper"}:
        weights, _ = made(method)
        assert weights.regulariser(latent()).item() == 0


def test_an_unknown_method_is_named():
    with pytest.raises(ValueError, match=r"'xnor'.*ste, approx_sign"):
        bm.make_binarizers("xnor", 4)
    assert all(method.summary for method in bm.METHODS.values())
