"""Time and size of the packed network, and ratios to what one would run instead, on one thread.

Usage: python benchmarks/classifier.py [--seconds S] [--stars N] [--jobs N] [--output FILE]

Runs, on the same observed curves and turn by turn: the packed network; torch with the float twin of the same topology
(eager, and scripted or traced and frozen); torch with the network of one bit itself; onnxruntime with the float twin in
float32 and in 8-bit integers, static with calibration by real curves, and dynamic (``pip install onnx onnxruntime``,
which nothing else needs). Every figure is the best of many turns. Where there is AVX-512, the packed network is also
timed with code for AVX2 alone, in a process of its own; the others have no such switch. Weights of the packed network
are the shipped ones where there are any, else random; those of the twin are random: no runtime's time depends on them.
At the end as many stars as OGLE's Clouds have are folded, binned and classified, on two threads.
"""

import argparse
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from cbminer.classifier.examples import observe_templates
from cbminer.classifier.export import pack_network
from cbminer.classifier.network import LightCurveNetwork
from cbminer.classifier.packed import PackedNetwork
from cbminer.classifier.packed_layers import unpack_signs
from cbminer.classifier.prediction import ClassifierSettings, classify
from cbminer.classifier.recipe import NetworkSettings, ObservationSettings
from cbminer.classifier.templates import Templates, detached_spheres, single_stars
from cbminer.lightcurves.folding import fold

RESULTS = Path(__file__).parent / "results" / "classifier.json"
SHIPPED = Path(__file__).parents[1] / "grids" / "classifier"
BATCHES = (1, 64, 1024)
# Stars of OGLE's Clouds, their points on average, and how many are made and given to a thread at a time.
N_STARS, SURVEY_POINTS, SURVEY_BATCH, SURVEY_CHUNK = 48_605, 600, 4_000, 250
N_CALIBRATION = 256
TOPOLOGIES = {
    "standard": NetworkSettings(),
    "tiny": NetworkSettings(
        variant="tiny", stem_stride=4, channels=(64, 64, 64, 64), pools=(True, False, False), scalars=("log_amplitude",)
    ),
}
PACKED, PACKED_AVX2 = "packed", "packed, code for AVX2"
# What numba is told so that it writes code for processors without AVX-512.
AVX2 = {"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": "+avx2,+fma,+bmi,+bmi2,+popcnt"}
INT8_STATIC, INT8_CONVOLUTIONS, INT8_DYNAMIC = "ort int8", "ort int8, convolutions only", "ort int8, dynamic"
# Groups of runtimes whose fastest one counts, and the ratio that the packed network is to reach.
TARGETS = {
    "torch eager float32": (("torch float32, eager",), 5.0),
    "best float32 runtime": (("torch float32, frozen", "ort float32, wrap", "ort float32, concat"), 3.0),
    "best onnxruntime int8": ((INT8_STATIC, INT8_CONVOLUTIONS, INT8_DYNAMIC), 1.5),
}


def observed_curves(scalars, n_bins, n, rng):
    """Binned curves and numbers beside them, of pairs and single stars with noise and gaps."""
    templates = Templates.join([detached_spheres(200, rng), single_stars(200, rng)])
    settings = ObservationSettings()
    places = rng.integers(0, len(templates), n)
    seen = observe_templates(templates, places, settings=settings, rng=rng, scalars=scalars, n_bins=n_bins)
    return np.ascontiguousarray(seen.curves.inputs), np.ascontiguousarray(seen.scalars)


def with_statistics(network, inputs):
    """Let the normalisations see the curves, as a training would."""
    with torch.no_grad():
        network.train()
        for _ in range(20):
            network(torch.from_numpy(inputs).float())
    return network.eval()


def restored(packed, settings):
    """The network of one bit in torch with the weights of a packed one; its folded constants come out the same."""
    network = LightCurveNetwork(settings.model_copy(update={"method": "ste"})).eval()

    def put(parameter, array):
        parameter.data = torch.from_numpy(np.array(array, dtype=np.float32))

    def put_affine(norm, part):
        norm.eps = 0.0
        put(norm.weight, part.scale)
        put(norm.bias, part.shift)

    # Integers as they are: their step would not be 1 where the largest of a channel is not 127.
    weights = torch.from_numpy(packed.stem.weights.astype(np.float32))
    network.stem.integers, network.stem.step = (lambda: weights), (lambda: torch.ones(len(weights)))
    put_affine(network.stem.norm, packed.stem)
    for block, ours in zip(network.blocks, packed.blocks, strict=True):
        put(block.convolution.weight, unpack_signs(ours.weights))
        put_affine(block.convolution.norm, ours)
        if ours.residual is not None:
            for name in ("threshold", "before", "slope", "after"):
                put(getattr(block, name), getattr(ours.residual, name))
    put(network.head.weight, packed.head.weights)
    put(network.head.bias, packed.head.bias)
    if network.scalar_hidden is not None:
        put(network.scalar_hidden.weight, packed.head.hidden_weights)
        put(network.scalar_hidden.bias, packed.head.hidden_bias)
        put(network.scalar_out.weight, packed.head.out_weights)
    if network.side is not None:
        put(network.side.down.weight, packed.head.side_down)
        put(network.side.up.weight, packed.head.side_up)
    return network


def networks(name, inputs):
    """The packed network, itself in torch, its float twin, and whose weights they are."""
    settings, path = TOPOLOGIES[name], SHIPPED / f"{name}.npz"
    if path.is_file():
        packed = PackedNetwork.load(path)
        channels = (packed.stem.weights.shape[0], *(block.c_out for block in packed.blocks))
        settings = NetworkSettings(
            variant=packed.variant,
            n_bins=packed.n_bins,
            stem_kernel=packed.stem.weights.shape[2],
            stem_stride=packed.stem.stride,
            channels=channels,
            pools=tuple(block.pool for block in packed.blocks),
            kernel=packed.blocks[0].kernel,
            scalars=packed.scalars,
            scalar_hidden=max(1, packed.head.hidden_bias.size),
            side_rank=len(packed.head.side_down),
        )
        binary, weights = restored(packed, settings), f"shipped, version {packed.version}"
    else:
        binary = with_statistics(LightCurveNetwork(settings), inputs)
        packed, weights = pack_network(binary), "random"
    return packed, binary, with_statistics(LightCurveNetwork(settings.twin()), inputs), weights


class Graph:
    """An ONNX graph of the float twin, normalisations folded into the convolutions before them."""

    def __init__(self, network, padding):
        from onnx import TensorProto, helper

        self.helper, self.nodes, self.constants, self.padding = helper, [], [], padding
        settings = network.settings
        n_scalars = 2 * len(settings.scalars)
        result = self.body(network, n_scalars)
        given = [helper.make_tensor_value_info("curves", TensorProto.FLOAT, ["n", 2, settings.n_bins])]
        if n_scalars:
            given.append(helper.make_tensor_value_info("scalars", TensorProto.FLOAT, ["n", n_scalars]))
        logits = helper.make_tensor_value_info(result, TensorProto.FLOAT, ["n", network.head.out_features])
        graph = helper.make_graph(self.nodes, "twin", given, [logits], self.constants)
        self.model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)

    def constant(self, values, kind=np.float32):
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        array = values.detach().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array, dtype=kind), name))
        return name

    def node(self, kind, *inputs, **attributes):
        name = f"t{len(self.nodes)}"
        self.nodes.append(self.helper.make_node(kind, list(inputs), [name], name=f"{kind}{name}", **attributes))
        return name

    def wrapped(self, x, pad):
        if self.padding == "wrap":
            return self.node("Pad", x, self.constant([0, 0, pad, 0, 0, pad], np.int64), mode="wrap")
        ends = [self.constant([value], np.int64) for value in (-pad, 0, pad, np.iinfo(np.int64).max, 2)]
        last = self.node("Slice", x, ends[0], ends[3], ends[4])
        first = self.node("Slice", x, ends[1], ends[2], ends[4])
        return self.node("Concat", last, x, first, axis=2)

    def convolution(self, x, weight, norm, kernel, stride=1, extra=None):
        factor = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach()
        bias = norm.bias - norm.running_mean * factor + (0.0 if extra is None else extra)
        padded = self.wrapped(x, kernel // 2)
        folded = self.constant(weight * factor[:, None, None])
        return self.node("Conv", padded, folded, self.constant(bias), strides=[stride], kernel_shape=[kernel])

    def block(self, x, block, variant):
        layer = block.convolution
        if variant == "tiny":
            x = self.convolution(self.node("Relu", x), layer.weight, layer.norm, layer.kernel)
            return self.node("MaxPool", x, kernel_shape=[2], strides=[2]) if block.pool else x
        y = self.convolution(x, layer.weight, layer.norm, layer.kernel, extra=block.before)
        shortcut = x if block.copies == 1 else self.node("Concat", *([x] * block.copies), axis=1)
        y = self.node("PRelu", self.node("Add", y, shortcut), self.constant(block.slope[:, None]))
        y = self.node("Add", y, self.constant(block.after[:, None]))
        return self.node("AveragePool", y, kernel_shape=[2], strides=[2]) if block.pool else y

    def mean(self, x):
        return self.node("Flatten", self.node("GlobalAveragePool", x))

    def product(self, x, layer):
        weights = self.constant(layer.weight)
        return self.node("Gemm", x, weights, *([] if layer.bias is None else [self.constant(layer.bias)]), transB=1)

    def body(self, network, n_scalars):
        stem = network.stem
        x = first = self.convolution("curves", stem.weight, stem.norm, stem.kernel, stem.stride)
        for block in network.blocks:
            x = self.block(x, block, network.settings.variant)
        logits = self.product(self.mean(x), network.head)
        if n_scalars:
            hidden = self.node("Relu", self.product("scalars", network.scalar_hidden))
            logits = self.node("Add", logits, self.product(hidden, network.scalar_out))
        if network.side is not None:
            beside = self.product(self.product(self.mean(first), network.side.down), network.side.up)
            logits = self.node("Add", logits, beside)
        return logits


def fed(inputs, scalars):
    """What onnxruntime is given."""
    return {"curves": inputs.astype(np.float32)} | ({"scalars": scalars} if scalars.shape[1] else {})


def quantised(path, folder, calibration):
    """Files of the graph in integers of 8 bits, by the way they were made."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self):
            inputs, scalars = calibration
            self.rows = iter(fed(inputs[k : k + 64], scalars[k : k + 64]) for k in range(0, len(inputs), 64))

        def get_next(self):
            return next(self.rows, None)

    files = {INT8_STATIC: None, INT8_CONVOLUTIONS: ["Conv"]}
    for name, kinds in files.items():
        files[name] = folder / f"static{len(kinds or ())}.onnx"
        quantize_static(
            path,
            files[name],
            Reader(),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=kinds,
        )
    files[INT8_DYNAMIC] = folder / "dynamic.onnx"
    quantize_dynamic(path, files[INT8_DYNAMIC], per_channel=True, weight_type=QuantType.QInt8)
    return files


def session(path):
    """Give a call of a graph on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    runner = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda given: runner.run(None, given)[0]


def frozen(network, given):
    """The network scripted, or traced where it cannot be, frozen and warm; and which of both it is."""
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        try:
            call, how = torch.jit.script(network), "scripted"
        except Exception:  # noqa: BLE001 - the compiler of torch raises many kinds
            call, how = torch.jit.trace(network, given), "traced"
        call = torch.jit.optimize_for_inference(torch.jit.freeze(call))
        for _ in range(5):
            call(*given)
    return call, how


def runtimes(packed, binary, twin, curves, folder):
    """Calls without arguments for a batch size, by name, and what else is to be told of them."""
    inputs, scalars = curves
    float_file, concat_file = folder / "wrap.onnx", folder / "concat.onnx"
    float_file.write_bytes(Graph(twin, "wrap").model.SerializeToString())
    concat_file.write_bytes(Graph(twin, "concat").model.SerializeToString())
    files = {"ort float32, wrap": float_file, "ort float32, concat": concat_file}
    files |= quantised(concat_file, folder, (inputs[-N_CALIBRATION:], scalars[-N_CALIBRATION:]))
    sessions = {name: session(path) for name, path in files.items()}
    told = {"bytes": {name: path.stat().st_size for name, path in files.items()}}

    def for_batch(n):
        given = fed(inputs[:n], scalars[:n])
        tensors = tuple(torch.from_numpy(array) for array in given.values())
        call, told["frozen"] = frozen(twin, tensors)
        beside = scalars[:n] if scalars.shape[1] else None
        calls = {
            PACKED: lambda: packed.logits(inputs[:n], beside),
            "torch one bit, eager": lambda: binary(*tensors).numpy(),
            "torch float32, eager": lambda: twin(*tensors).numpy(),
            "torch float32, frozen": lambda: call(*tensors).numpy(),
        }
        return calls | {name: (lambda run=run: run(given)) for name, run in sessions.items()}

    return for_batch, told


def fastest(calls, seconds):
    """Least seconds of each call; they take turns, so that all of them see the same machine."""
    best = {}
    with torch.inference_mode():
        for name, call in calls.items():
            call()
            best[name] = np.inf
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for name, call in calls.items():
                turn = time.perf_counter() + seconds / 200
                while True:
                    start = time.perf_counter()
                    call()
                    now = time.perf_counter()
                    best[name] = min(best[name], now - start)
                    if now > turn:
                        break
    return best


def packed_times(folder, seconds):
    """Seconds of the packed network of a folder for each batch size."""
    packed = PackedNetwork.load(folder / "packed.npz")
    with np.load(folder / "curves.npz") as archive:
        inputs, scalars = archive["inputs"], archive["scalars"]
    beside = scalars if scalars.shape[1] else None
    times = {}
    for n in BATCHES:
        some = None if beside is None else beside[:n]
        call = {PACKED: lambda n=n, some=some: packed.logits(inputs[:n], some)}
        times[n] = fastest(call, seconds)[PACKED]
    return times


def packed_times_with_avx2(packed, curves, folder, seconds):
    """The same from a process whose compiler knows of AVX2 alone."""
    packed.save(folder / "packed.npz")
    np.savez(folder / "curves.npz", inputs=curves[0], scalars=curves[1])
    command = [sys.executable, __file__, "--seconds", str(seconds), "--packed-only", str(folder)]
    # Other code is another entry of the cache; it stays out of the user's.
    environment = os.environ | AVX2 | {"NUMBA_CACHE_DIR": str(folder / "cache")}
    told = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)  # noqa: S603 - ourselves
    return {int(n): value for n, value in json.loads(told.stdout).items()}


def differences(calls):
    """Largest difference of each runtime's logits from those of torch, and the share of equal classes."""
    with torch.inference_mode():
        logits = {name: call() for name, call in calls.items()}
    result = {}
    for name, found in logits.items():
        expected = logits[
            "torch one bit, eager" if name in (PACKED, "torch one bit, eager") else "torch float32, eager"
        ]
        same = np.mean(found.argmax(axis=1) == expected.argmax(axis=1))
        result[name] = {"largest": float(np.abs(found - expected).max()), "same_class": float(same)}
    return result


def measure(name, seconds, stars, jobs, rng):
    """Everything of one variant."""
    settings = TOPOLOGIES[name]
    curves = observed_curves(settings.scalars, settings.n_bins, max(BATCHES) + N_CALIBRATION, rng)
    packed, binary, twin, weights = networks(name, curves[0])
    result = {"weights": weights, "layers": [row._asdict() for row in packed.layer_summary()]}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for_batch, told = runtimes(packed, binary, twin, curves, folder)
        result["microseconds"] = {}
        for n in BATCHES:
            calls = for_batch(n)
            best = fastest(calls, seconds)
            result["microseconds"][n] = {key: 1e6 * value / n for key, value in best.items()}
        result["differences"] = differences(calls)
        if "avx512f" in machine():
            for n, value in packed_times_with_avx2(packed, curves, folder, min(seconds, 3.0)).items():
                result["microseconds"][n][PACKED_AVX2] = 1e6 * value / n
        packed.save(folder / "packed.npz")
        told["bytes"]["packed, file"] = (folder / "packed.npz").stat().st_size
    rows = result["layers"]
    told["bytes"]["packed, numbers"] = sum(row["weight_bytes"] + row["constant_bytes"] for row in rows)
    told["bytes"]["the same in float32"] = sum(row["float_weight_bytes"] + row["constant_bytes"] for row in rows)
    compressed = io.BytesIO()
    np.savez_compressed(compressed, **{key: value.numpy() for key, value in twin.state_dict().items()})
    told["bytes"]["float twin, file"] = compressed.tell()
    result["survey"] = survey_times(packed, stars, jobs, rng)
    return result | told


def survey_batch(templates, n, rng):
    """Times, magnitudes, errors, offsets and periods of a batch of stars; the curves of the templates with noise."""
    counts = rng.integers(SURVEY_POINTS // 2, SURVEY_POINTS * 3 // 2, n)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    star = np.repeat(np.arange(n), counts)
    period = 10.0 ** rng.uniform(np.log10(0.3), 1.0, n)
    date = rng.uniform(0.0, 2900.0, len(star))
    curve = templates.mag[rng.integers(0, len(templates), n), 0]
    place = (date / period[star] % 1.0 * curve.shape[1]).astype(np.int64)
    error = rng.uniform(0.005, 0.03, n)[star]
    mag = 17.0 + curve[star, place] + error * rng.normal(size=len(star))
    return date, mag.astype(np.float32), error.astype(np.float32), offsets, period


def survey_times(packed, stars, jobs, rng):
    """Seconds for folding, binning and classifying as many stars as a survey has, without and with errors."""
    templates = Templates.join([detached_spheres(200, rng), single_stars(200, rng)])
    seconds = dict.fromkeys(("fold", "fold, bin and classify", "the same with errors"), 0.0)

    def part(batch, first, kind):
        date, mag, error, offsets, period = batch
        here = slice(first, min(first + SURVEY_CHUNK, len(period)))
        bounds = offsets[here.start : here.stop + 1]
        points = slice(bounds[0], bounds[-1])
        epoch = np.zeros(len(period[here]))
        phase = fold(date[points], bounds - bounds[0], period[here], epoch)
        if kind == "fold":
            return
        settings = ClassifierSettings() if kind == "the same with errors" else ClassifierSettings(draws=0)
        of_points = (phase, mag[points], error[points], bounds - bounds[0])
        classify(*of_points, model=packed, settings=settings, period=period[here])

    part(survey_batch(templates, 2, rng), 0, "the same with errors")
    with ThreadPoolExecutor(jobs) as pool:
        for done in range(0, stars, SURVEY_BATCH):
            batch = survey_batch(templates, min(SURVEY_BATCH, stars - done), rng)
            for kind in seconds:
                start = time.perf_counter()
                firsts = range(0, len(batch[-1]), SURVEY_CHUNK)
                list(pool.map(lambda first, batch=batch, kind=kind: part(batch, first, kind), firsts))
                seconds[kind] += time.perf_counter() - start
    return {"stars": stars, "points_per_star": SURVEY_POINTS, "jobs": jobs, "seconds": seconds}


def report(result):
    """Lines of the result."""
    yield f"{result['date']}; {result['machine']}"
    yield ", ".join(f"{name} {number}" for name, number in result["versions"].items()) + "; one thread"
    for name, found in result["variants"].items():
        yield ""
        yield f"{name}, weights: {found['weights']}"
        yield from report_layers(found["layers"])
        yield from report_times(found)
        sizes = found["bytes"]
        ratio = sizes["the same in float32"] / sizes["packed, numbers"]
        yield f"  size in bytes ({ratio:.1f} x smaller than float32):"
        yield from (f"    {key:<32}{value:>10,}" for key, value in sizes.items())
        survey = found["survey"]
        yield f"  {survey['stars']:,} stars of {survey['points_per_star']} points, {survey['jobs']} threads:"
        yield from (f"    {key:<32}{value:>10.2f} s" for key, value in survey["seconds"].items())


def report_layers(rows):
    """Lines of a table of layers."""
    yield "  layer    channels  positions kernel  1-bit products  8-bit products  float32 ops   weights  as float32"
    for row in rows:
        yield (
            f"  {row['name']:<9}{row['c_in']:>3} > {row['c_out']:<3}{row['positions']:>9}{row['kernel']:>7}"
            f"{row['binary_operations']:>16,}{row['integer_operations']:>16,}{row['float_operations']:>13,}"
            f"{row['weight_bytes']:>10,}{row['float_weight_bytes']:>12,}"
        )


def report_times(found):
    """Lines of times, of ratios, and of what was aimed at."""
    times = {int(n): best for n, best in found["microseconds"].items()}
    yield f"  microseconds a curve (ratio to packed); torch float32 is {found['frozen']}, then frozen"
    yield f"    {'batch':<30}" + "".join(f"{n:>18,}" for n in times) + "   largest difference from torch"
    for name in times[BATCHES[0]]:
        cells = "".join(f"{best[name]:>9.2f} ({best[name] / best[PACKED]:5.2f})" for best in times.values())
        off = found["differences"].get(name)
        told = "" if off is None else f"   {off['largest']:.1e}, same class {100 * off['same_class']:.1f} %"
        yield f"    {name:<30}{cells}{told}"
    yield f"    {'curves a second, packed':<30}" + "".join(f"{1e6 / best[PACKED]:>18,.0f}" for best in times.values())
    for name, (group, target) in TARGETS.items():
        ratios = [min(best[key] for key in group) / best[PACKED] for best in times.values()]
        verdict = "pass" if min(ratios) >= target else "FAIL"
        cells = "".join(f"{ratio:>16.1f} x" for ratio in ratios)
        yield f"    {name:<30}{cells}   target {target} x: {verdict}"


def machine():
    """Processor, cores and the vector extensions that matter."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0].replace("\t", "")
        parts = dict(line.split(":", 1) for line in first.splitlines() if ":" in line)
        flags = set(parts["flags"].split())
        model = parts["model name"].strip()
    except (OSError, KeyError):
        flags, model = set(), platform.processor()
    wanted = [name for name in ("avx2", "avx512f", "avx512_vpopcntdq", "avx512_vnni", "avx_vnni") if name in flags]
    python = platform.python_version()
    return f"{model} ({', '.join(wanted)}), {os.cpu_count()} cores, {platform.machine()}, Python {python}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="time for each variant and batch size")
    parser.add_argument("--stars", type=int, default=N_STARS, help="stars of the survey that is classified")
    parser.add_argument("--jobs", type=int, default=2, help="threads for it")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--packed-only", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.packed_only is not None:
        print(json.dumps(packed_times(given.packed_only, given.seconds)))
        return
    torch.set_num_threads(1)
    torch.manual_seed(48605)
    rng = np.random.default_rng(np.random.SeedSequence(48605))
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": {name: version(name) for name in ("torch", "onnx", "onnxruntime", "numba", "numpy")},
        "variants": {name: measure(name, given.seconds, given.stars, given.jobs, rng) for name in TOPOLOGIES},
    }
    lines = list(report(result))
    print("\n".join(lines))
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(result, indent=2) + "\n")
    given.output.with_suffix(".txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
