"""The packed network against the same sums in numpy and against the network in torch, its files and its costs."""

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbminer.classifier.classes import CLASSES
from cbminer.classifier.packed import PackedNetwork
from cbminer.classifier.packed_kernels import late_logits, run_tiny
from cbminer.classifier.packed_layers import (
    PackedBlock,
    PackedHead,
    PackedResidual,
    PackedStem,
    pack_signs,
    sign_limits,
    unpack_signs,
)
from cbminer.errors import InputFormatError, SettingsError

STANDARD = {"channels": (64, 64, 64, 128, 128), "pools": (False, True, True, False), "stride": 2}
TINY = {"variant": "tiny", "channels": (64, 64, 64, 64), "pools": (True, False, False), "stride": 4}


def numbers(rng, n, size, coarse):
    """Numbers of a channel; coarse ones are such that sums of them are often exactly zero."""
    if coarse:
        return (rng.integers(-3, 4, n) * np.float32(0.25 * size)).astype(np.float32)
    return (rng.normal(size=n) * size).astype(np.float32)


def make_network(
    rng, *, variant="standard", channels, pools, stride, n_bins=128, kernel=5, stem_kernel=9, m=1, rank=0, coarse=False
):
    """A network of random weights."""
    scale = 2.0**-6 if coarse else 1e-3
    stem = PackedStem(
        rng.integers(-127, 128, (channels[0], 2, stem_kernel)).astype(np.int8),
        numbers(rng, channels[0], scale, coarse),
        numbers(rng, channels[0], 1.0, coarse),
        stride,
    )
    blocks = []
    for c_in, c_out, pool in zip(channels, channels[1:], pools, strict=False):
        around = None
        if variant == "standard":
            around = PackedResidual(numbers(rng, c_in, 1.0, coarse), *(numbers(rng, c_out, 0.5, coarse) for _ in "123"))
        signs = rng.choice([-1, 1], size=(c_out, c_in, kernel))
        scales = numbers(rng, c_out, 1.0 if coarse else 1.0 / np.sqrt(c_in * kernel), coarse)
        scales[rng.random(c_out) < 0.1] = 0.0
        # Even multiples of the scale: of the sums, every second integer.
        shift = scales * 2 * rng.integers(-8, 9, c_out) if coarse else rng.normal(size=c_out)
        blocks.append(PackedBlock(pack_signs(signs), scales, shift.astype(np.float32), pool, around))
    late = {}
    if m:
        late |= {"hidden_weights": numbers(rng, (8, 2 * m), 1, False), "hidden_bias": numbers(rng, 8, 1, False)}
        late |= {"out_weights": numbers(rng, (5, 8), 1, False)}
    if rank:
        late |= {
            "side_down": numbers(rng, (rank, channels[0]), 0.2, False),
            "side_up": numbers(rng, (5, rank), 1, False),
        }
    head = PackedHead(numbers(rng, (5, channels[-1]), 0.1, False), numbers(rng, 5, 1, False), **late)
    calibration = numbers(rng, 5, 0.2, False)
    names = ("log_amplitude", "log_period")[:m]
    return PackedNetwork(variant, stem, tuple(blocks), head, CLASSES, n_bins, names, "test 1", 1.25, calibration)


def curves_for(network, n, rng):
    return rng.integers(-127, 128, (n, 2, network.n_bins)).astype(np.int8)


def rolled(x, weights, stride=1):
    """Circular convolution of integers, by turning the curve under every tap."""
    kernel, total = weights.shape[2], 0
    for k in range(kernel):
        turned = np.roll(x.astype(np.int64), kernel // 2 - k, axis=2)
        total = total + np.einsum("oc,ncl->nol", weights[:, :, k].astype(np.int64), turned)
    return total[:, :, ::stride]


def reference(network, inputs, scalars=None):
    """Sums and logits, operation by operation."""
    column = lambda array: array[:, None]  # noqa: E731
    sums = [rolled(inputs, network.stem.weights, network.stem.stride)]
    h = sums[0].astype(np.float32) * column(network.stem.scale) + column(network.stem.shift)
    stem = h.mean(axis=-1)
    for block in network.blocks:
        around = block.residual
        signs = np.where((h if around is None else h + column(around.threshold)) >= 0, 1, -1)
        sums.append(rolled(signs, unpack_signs(block.weights)))
        y = sums[-1].astype(np.float32) * column(block.scale) + column(block.shift)
        if around is None:
            h = np.maximum(y[..., 0::2], y[..., 1::2]) if block.pool else y
            continue
        y = y + np.concatenate([h] * (block.c_out // block.c_in), axis=1)
        y = y + column(around.before)
        y = np.where(y >= 0, y, y * column(around.slope)) + column(around.after)
        h = (y[..., 0::2] + y[..., 1::2]) * np.float32(0.5) if block.pool else y
    assert h.dtype == np.float32
    head = network.head
    logits = h.mean(axis=-1) @ head.weights.T + head.bias
    if scalars is not None:
        hidden = np.maximum(scalars @ head.hidden_weights.T + head.hidden_bias, 0)
        logits = logits + hidden @ head.out_weights.T
    if head.side_up.size:
        logits = logits + stem @ head.side_down.T @ head.side_up.T
    return sums, logits


def assert_same(network, inputs, scalars=None):
    sums, logits = reference(network, inputs, scalars)
    found = network.accumulators(inputs)
    assert len(found) == len(sums)
    for ours, theirs in zip(found, sums, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    ours = network.logits(inputs, scalars)
    assert ours.dtype == np.float32
    assert np.abs(ours - logits).max() < 1e-4 * max(1.0, np.abs(logits).max())


@st.composite
def topologies(draw):
    variant = draw(st.sampled_from(["standard", "tiny"]))
    stride = draw(st.sampled_from([2, 4]))
    n_blocks = draw(st.integers(1, 3))
    channels = [64]
    for _ in range(n_blocks):
        channels.append(max(channels[-1], draw(st.sampled_from([64, 128]))))
    if variant == "tiny" and draw(st.booleans()):
        channels[0] = 128
    pools = tuple(draw(st.booleans()) for _ in range(n_blocks))
    step = stride * 2 ** sum(pools)
    n_bins = step * draw(st.integers(-(-16 // step), max(256 // step // draw(st.sampled_from([1, 8])), -(-16 // step))))
    return {
        "variant": variant,
        "channels": tuple(channels),
        "pools": pools,
        "stride": stride,
        "n_bins": n_bins,
        "kernel": draw(st.sampled_from([3, 5, 7])),
        "stem_kernel": draw(st.sampled_from([3, 9, 31])),
        "m": draw(st.integers(0, 2)),
        "rank": draw(st.sampled_from([0, 1, 3])),
        "coarse": draw(st.booleans()),
    }


@settings(max_examples=40, deadline=None)
@given(topology=topologies(), n=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
def test_same_as_numpy(topology, n, seed):
    rng = np.random.default_rng(seed)
    network = make_network(rng, **topology)
    scalars = rng.normal(size=(n, 2 * topology["m"])).astype(np.float32) if topology["m"] else None
    assert_same(network, curves_for(network, n, rng), scalars)


@pytest.mark.parametrize("topology", [STANDARD, TINY, {**STANDARD, "n_bins": 256}])
def test_default_networks_are_the_same_as_in_numpy(topology):
    rng = np.random.default_rng(11)
    network = make_network(rng, **topology)
    assert_same(network, curves_for(network, 17, rng), rng.normal(size=(17, 2)).astype(np.float32))


def test_extreme_curves():
    rng = np.random.default_rng(2)
    network = make_network(rng, **STANDARD)
    extremes = np.array([-128, 127, 0], dtype=np.int8)[:, None, None] * np.ones((1, 2, 128), dtype=np.int8)
    assert_same(network, extremes)
    assert network.logits(np.empty((0, 2, 128), dtype=np.int8)).shape == (0, 5)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_terms=st.sampled_from([192, 320, 896]))
def test_limits_are_where_the_rounded_sign_changes(seed, n_terms):
    rng = np.random.default_rng(seed)
    # Exact zeros, lines that no sum reaches, underflow and overflow, constant lines and both zeros.
    scale = np.concatenate([rng.normal(size=40), rng.integers(-3, 4, 40) * 0.1, [0.0, -0.0, 0.0, 1e-45, -3e38, 3e38]])
    shift = np.concatenate([rng.normal(size=40) * 100, -scale[40:80] * rng.integers(-99, 99, 40), [0.0, 0.0, -1.0]])
    shift = np.concatenate([shift, [-1e-44, 3e38, -3e38]]).astype(np.float32)
    scale = scale.astype(np.float32)
    limits, reverse = sign_limits(scale, shift, n_terms)
    sums = np.arange(-n_terms, n_terms + 1)
    with np.errstate(over="ignore"):
        expected = sums.astype(np.float32) * scale[:, None] + shift[:, None] >= 0
    np.testing.assert_array_equal((sums >= limits[:, None]) != reverse[:, None], expected)


def test_pack_signs_by_hand():
    signs = -np.ones((1, 64, 3), dtype=int)
    signs[0, 0, 0] = signs[0, 63, 1] = 1
    assert pack_signs(signs).tolist() == [[[1], [1 << 63], [0]]]
    rng = np.random.default_rng(1)
    signs = rng.choice([-1, 1], size=(5, 128, 7))
    np.testing.assert_array_equal(unpack_signs(pack_signs(signs)), signs)
    with pytest.raises(ValueError, match="one bit"):
        pack_signs(np.zeros((1, 64, 3)))
    with pytest.raises(ValueError, match="multiples of 64"):
        pack_signs(np.ones((1, 32, 3)))


@pytest.mark.parametrize("topology", [STANDARD, TINY, {**TINY, "rank": 2, "m": 0}])
def test_files(tmp_path, topology):
    rng = np.random.default_rng(3)
    network = make_network(rng, **topology)
    network.save(tmp_path / "net.npz")
    read = PackedNetwork.load(tmp_path / "net.npz")
    assert read.digest() == network.digest()
    inputs = curves_for(network, 3, rng)
    np.testing.assert_array_equal(read.logits(inputs), network.logits(inputs))
    about = json.loads((tmp_path / "net.json").read_text())
    assert about["sha256"] == network.digest()
    assert about["classes"] == list(CLASSES)
    assert (about["variant"], about["version"]) == (network.variant, "test 1")
    assert read.scalars == network.scalars
    assert read.temperature == 1.25
    np.testing.assert_array_equal(read.calibration, network.calibration)


def changed(network):
    """Networks that differ from one in a single array or number."""
    for name, array, _, _ in network._layout():
        if not array.size:
            continue
        other = array.copy()
        other.flat[-1] = 1 if other.flat[-1] != 1 else 2
        part, _, item = name.partition(".")
        if not item:
            yield dataclasses.replace(network, **{name: other})
        elif part.startswith("block"):
            place = int(part.removeprefix("block"))
            block = network.blocks[place]
            if hasattr(block, item):
                block = dataclasses.replace(block, **{item: other})
            else:
                block = dataclasses.replace(block, residual=dataclasses.replace(block.residual, **{item: other}))
            yield dataclasses.replace(network, blocks=(*network.blocks[:place], block, *network.blocks[place + 1 :]))
        else:
            yield dataclasses.replace(network, **{part: dataclasses.replace(getattr(network, part), **{item: other})})
    yield dataclasses.replace(network, temperature=2.0)
    yield dataclasses.replace(network, version="test 2")
    yield dataclasses.replace(network, classes=("another", *CLASSES[1:]))


@pytest.mark.parametrize("topology", [{**STANDARD, "rank": 1}, TINY])
def test_digest_tells_every_change(topology):
    network = make_network(np.random.default_rng(4), **topology)
    digests = {item.digest() for item in changed(network)}
    assert network.digest() not in digests
    assert len(digests) == sum(array.size > 0 for _, array, _, _ in network._layout()) + 3


def test_damaged_files(tmp_path):
    network = make_network(np.random.default_rng(5), **TINY)
    path, about = tmp_path / "net.npz", tmp_path / "net.json"
    with pytest.raises(InputFormatError, match="reinstall"):
        PackedNetwork.load(path)
    network.save(path)
    whole, text = path.read_bytes(), about.read_text()
    for damaged in (whole[:-200], b"", whole[:400] + bytes(64) + whole[464:]):
        path.write_bytes(damaged)
        with pytest.raises(InputFormatError, match=r"net\.npz cannot be read.*reinstall"):
            PackedNetwork.load(path)
    path.write_bytes(whole)
    for wrong in ("", "[]", "{}", text.replace('"format": 1', '"format": 2'), text.replace('"tiny"', '"standard"')):
        about.write_text(wrong)
        with pytest.raises(InputFormatError, match="cannot be read"):
            PackedNetwork.load(path)
    for wrong in (text.replace("1.25", "1.5"), text.replace(network.digest(), "0" * 64)):
        about.write_text(wrong)
        with pytest.raises(InputFormatError, match="not the one"):
            PackedNetwork.load(path)


def with_stem(network, **changes):
    return dataclasses.replace(network, stem=dataclasses.replace(network.stem, **changes))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda net: with_stem(net, stride=3), "do not divide"),
        (lambda net: with_stem(net, scale=np.full(64, np.nan, dtype=np.float32)), "not finite"),
        (lambda net: with_stem(net, shift=net.stem.shift.astype(float)), "float64"),
        (lambda net: with_stem(net, weights=net.stem.weights[:, :, :4]), "odd"),
        (lambda net: with_stem(net, weights=net.stem.weights[:, :1]), "stem.weights"),
        (lambda net: dataclasses.replace(net, temperature=0.0), "temperature"),
        (lambda net: dataclasses.replace(net, blocks=()), "blocks"),
        (lambda net: dataclasses.replace(net, variant="tiny"), "tiny"),
        (lambda net: dataclasses.replace(net, blocks=net.blocks[1:]), None),
        (lambda net: dataclasses.replace(net, blocks=net.blocks[3:]), "block0.weights"),
        (lambda net: dataclasses.replace(net, n_bins=120), "odd number"),
        (lambda net: dataclasses.replace(net, classes=CLASSES[:3]), "head"),
        (lambda net: dataclasses.replace(net, scalars=()), "hidden"),
    ],
)
def test_what_does_not_fit_together(change, message):
    network = make_network(np.random.default_rng(6), **{**STANDARD, "pools": (False, True, True, True)})
    if message is None:
        change(network)
        return
    with pytest.raises(ValueError, match=message):
        change(network)


def test_inputs_and_scalars_are_checked():
    network = make_network(np.random.default_rng(7), **TINY)
    with pytest.raises(ValueError, match="give int8"):
        network.logits(np.zeros((1, 2, 128)))
    with pytest.raises(ValueError, match=r"\(n, 2, 128\)"):
        network.logits(np.zeros((1, 2, 64), dtype=np.int8))
    with pytest.raises(ValueError, match="log_amplitude"):
        network.logits(np.zeros((2, 2, 128), dtype=np.int8), np.zeros((1, 2)))
    sliced = np.zeros((3, 2, 256), dtype=np.int8)[:, :, ::2]
    assert network.logits(sliced).shape == (3, 5)


def test_arrays_that_cannot_be_written_need_no_other_kernels():
    rng = np.random.default_rng(13)
    network = make_network(rng, **TINY)
    inputs, scalars = curves_for(network, 2, rng), np.ones((2, 2), dtype=np.float32)
    expected = network.logits(inputs, scalars)
    compiled = len(run_tiny.signatures), len(late_logits.signatures)
    inputs.flags.writeable = scalars.flags.writeable = False
    np.testing.assert_array_equal(network.logits(inputs, scalars), expected)
    np.testing.assert_array_equal(network.logits(inputs, scalars.tolist()), expected)
    assert (len(run_tiny.signatures), len(late_logits.signatures)) == compiled


def test_probabilities():
    network = make_network(np.random.default_rng(8), **TINY)
    logits = network.logits(curves_for(network, 4, np.random.default_rng(1)))
    weight = np.exp(logits.astype(float) / 1.25 + network.calibration)
    np.testing.assert_allclose(network.probabilities(logits), weight / weight.sum(axis=1, keepdims=True), rtol=1e-12)
    assert np.isfinite(network.probabilities(1e4 * logits)).all()


def test_costs_by_hand():
    stem, one, two, three, four, head = make_network(np.random.default_rng(9), **STANDARD).layer_summary()
    assert stem[:6] == ("stem", 2, 64, 64, 9, 0)
    assert stem.integer_operations == 64 * 64 * 2 * 9
    assert (stem.weight_bytes, stem.float_weight_bytes, stem.constant_bytes) == (1152, 4608, 512)
    assert one[:6] == ("block 1", 64, 64, 64, 5, 64 * 64 * 64 * 5)
    assert (one.weight_bytes, one.float_weight_bytes) == (2560, 81920)
    # Scale, shift, and the threshold, two shifts and slope.
    assert one.constant_bytes == 6 * 64 * 4
    assert one.float_operations == 64 * 64 * (2 + 6)
    assert two.float_operations == 64 * 64 * (2 + 6 + 1)
    assert three[:6] == ("block 3", 64, 128, 32, 5, 32 * 128 * 64 * 5)
    assert four[:6] == ("block 4", 128, 128, 16, 5, 16 * 128 * 128 * 5)
    assert four.weight_bytes == 128 * 128 * 5 // 8
    assert head.weight_bytes == 4 * (5 * 128 + 8 * 2 + 5 * 8)
    tiny = make_network(np.random.default_rng(9), **TINY).layer_summary()
    assert [row.binary_operations for row in tiny] == [0, 655360, 327680, 327680, 0]
    assert [row.float_operations for row in tiny[1:4]] == [2048, 1024, 2048]
    assert tiny[1].constant_bytes == 512


@pytest.mark.parametrize("topology", [STANDARD, TINY])
def test_chunks_on_threads_give_the_same(topology):
    rng = np.random.default_rng(10)
    network = make_network(rng, **{**topology, "rank": 2})
    inputs, scalars = curves_for(network, 60, rng), rng.normal(size=(60, 2)).astype(np.float32)
    whole = network.logits(inputs, scalars)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda k: network.logits(inputs[k : k + 7], scalars[k : k + 7]), range(0, 60, 7)))
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.fixture(scope="module")
def torch():
    module = pytest.importorskip("torch")
    module.set_num_threads(1)
    return module


def trained(torch, seed=0, **chosen):
    """A network in torch whose normalisations have seen something."""
    from cbminer.classifier.network import LightCurveNetwork, NetworkSettings

    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = LightCurveNetwork(NetworkSettings(**chosen))
    with torch.no_grad():
        for name, values in network.state_dict().items():
            if name.endswith("running_var"):
                values.uniform_(0.5, 400.0, generator=generator)
            elif name.endswith(
                ("running_mean", "norm.weight", "norm.bias", "threshold", "before", "after", "up.weight")
            ):
                values.normal_(generator=generator)
            elif name.endswith("slope"):
                values.uniform_(-0.5, 1.0, generator=generator)
    return network.eval()


SMALL = {"channels": (64, 64, 128), "pools": (True, False)}


@pytest.mark.parametrize("method", ["ste", "approx_sign", "reste", "biper", "irnet", "statistics", "centred"])
@pytest.mark.parametrize(
    "chosen",
    [
        SMALL,
        {**SMALL, "variant": "tiny", "stem_stride": 4, "scalars": ()},
        {"side_rank": 2, "scalars": ("log_amplitude", "VI0"), "n_bins": 256},
        {"variant": "tiny", "stem_stride": 4, "channels": (64, 64, 64, 64), "pools": (True, False, True)},
    ],
)
def test_same_as_torch(torch, method, chosen):
    from cbminer.classifier.export import pack_network

    network = trained(torch, method=method, **chosen)
    network.advance(1.0)
    packed = pack_network(network, version="7", temperature=1.5, calibration=np.arange(5))
    assert (packed.version, packed.temperature, packed.calibration.tolist()) == ("7", 1.5, [0, 1, 2, 3, 4])
    rng = np.random.default_rng(12)
    inputs = curves_for(packed, 12, rng)
    scalars = rng.normal(size=(12, 2 * len(packed.scalars))).astype(np.float32) if packed.scalars else None
    with torch.inference_mode():
        curves = torch.from_numpy(inputs).float()
        expected = network(curves, None if scalars is None else torch.from_numpy(scalars)).numpy()
        sums = network.accumulators(curves)
    for ours, theirs in zip(packed.accumulators(inputs), sums, strict=True):
        np.testing.assert_array_equal(ours, theirs.numpy())
    ours = packed.logits(inputs, scalars)
    np.testing.assert_array_equal(ours.argmax(axis=1), expected.argmax(axis=1))
    assert np.abs(ours - expected).max() < 1e-4 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("variant", ["standard", "tiny"])
def test_ten_thousand_curves_of_the_shipped_topologies(torch, variant):
    from cbminer.classifier.export import pack_network
    from cbminer.classifier.recipe import NetworkSettings

    shipped = NetworkSettings() if variant == "standard" else NetworkSettings.tiny()
    network = trained(torch, **shipped.model_dump())
    packed = pack_network(network)
    rng = np.random.default_rng(77)
    for _ in range(20):
        inputs = curves_for(packed, 500, rng)
        scalars = rng.normal(size=(500, 2)).astype(np.float32)
        with torch.inference_mode():
            curves = torch.from_numpy(inputs).float()
            expected = network(curves, torch.from_numpy(scalars)).numpy()
            sums = network.accumulators(curves)
        for ours, theirs in zip(packed.accumulators(inputs), sums, strict=True):
            assert (ours == theirs.numpy()).all()
        ours = packed.logits(inputs, scalars)
        assert (ours.argmax(axis=1) == expected.argmax(axis=1)).all()
        assert np.abs(ours - expected).max() < 1e-4


@pytest.mark.parametrize(
    ("method", "message"), [("float", "float twin"), ("ternary", "three values"), ("biper", "sine")]
)
def test_what_has_no_one_bit_weights(torch, method, message):
    from cbminer.classifier.export import pack_network

    with pytest.raises(SettingsError, match=message):
        pack_network(trained(torch, method=method, **SMALL))
