"""Estimators of the binarized network against its float twin: same curves, same examples, several seeds.

Usage: python benchmarks/classifier_estimators.py LIBRARY [--seeds N] [--epochs N] [--examples N] [--jobs N]
                                                  [--runs NAME ...] [--table]

LIBRARY is a file of `cbminer synth library`. Every run trains a network, calibrates it and judges it on the same
held-out examples; finished runs are kept in results/classifier_estimators.json and not repeated. Runs of other lengths
stand in a table of their own. --table prints the tables of the kept runs alone. A run of 100,000 examples takes two
minutes.
"""

import argparse
import io
import json
import platform
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from scipy import stats

RESULTS = Path(__file__).parent / "results" / "classifier_estimators.json"
# Runs by name: variant, estimator, whether it learns from the float twin of its seed and rate, rank of the side path,
# and the largest learning rate.
RUNS = {
    "float": ("standard", "float", False, 0, 3e-3),
    "float, rate 0.01": ("standard", "float", False, 0, 1e-2),
    "ste": ("standard", "ste", False, 0, 3e-3),
    "approx_sign": ("standard", "approx_sign", False, 0, 3e-3),
    "reste": ("standard", "reste", False, 0, 3e-3),
    "reste, rate 0.01": ("standard", "reste", False, 0, 1e-2),
    "biper": ("standard", "biper", False, 0, 3e-3),
    "biper, rate 0.01": ("standard", "biper", False, 0, 1e-2),
    "approx_sign, rate 0.01": ("standard", "approx_sign", False, 0, 1e-2),
    "irnet": ("standard", "irnet", False, 0, 3e-3),
    "statistics": ("standard", "statistics", False, 0, 3e-3),
    "ternary": ("standard", "ternary", False, 0, 3e-3),
    "centred": ("standard", "centred", False, 0, 3e-3),
    "reste + side path": ("standard", "reste", False, 4, 3e-3),
    "reste + teacher": ("standard", "reste", True, 0, 3e-3),
    "reste + teacher, rate 0.01": ("standard", "reste", True, 0, 1e-2),
    "reste + side path, rate 0.01": ("standard", "reste", False, 4, 1e-2),
    "approx_sign + teacher": ("standard", "approx_sign", True, 0, 3e-3),
    "tiny reste + teacher": ("tiny", "reste", True, 0, 3e-3),
}
# The float twin of a rate: whom runs of this rate learn from, and what they are compared with.
TWINS = {3e-3: "float", 1e-2: "float, rate 0.01"}
# Examples on which every network is judged.
N_TEST = 30000


def train_one(library, name, seed, epochs, examples, folder):
    """Train and judge one network in a process of one thread."""
    import torch

    from cbminer.classifier.building import divide_library
    from cbminer.classifier.calibration import Calibration, calibrated, calibration_error, fit_calibration
    from cbminer.classifier.evaluation import evaluate
    from cbminer.classifier.examples import draw_balanced, observe_templates
    from cbminer.classifier.network import LightCurveNetwork
    from cbminer.classifier.recipe import NetworkSettings, TrainingSettings
    from cbminer.classifier.training import network_logits, train_network

    torch.set_num_threads(1)
    variant, method, taught, rank, rate = RUNS[name]
    division = divide_library(library, seed=0)
    base = NetworkSettings() if variant == "standard" else NetworkSettings.tiny()
    network = base.model_copy(update={"method": method, "side_rank": rank})
    training = TrainingSettings(epochs=epochs, examples=examples, seed=seed, learning_rate=rate)
    twin = folder / f"float-{rate:g}-{epochs}-{examples}-{seed}.pt"
    teacher = None
    if taught:
        teacher = LightCurveNetwork(NetworkSettings().twin())
        teacher.load_state_dict(torch.load(twin, weights_only=True))
    start = time.perf_counter()
    trained, reports = train_network(division.training, network, settings=training, teacher=teacher)
    seconds = time.perf_counter() - start
    if name == TWINS[rate]:
        torch.save(trained.state_dict(), twin)

    def observed(templates, key, n):
        rng = np.random.default_rng(np.random.SeedSequence(99, spawn_key=(key,)))
        places = draw_balanced(templates, n, rng)
        return observe_templates(
            templates, places, settings=training.observation, rng=rng, scalars=network.scalars, n_bins=network.n_bins
        )

    fitted = observed(division.calibration, 0, 10000)
    calibration = fit_calibration(network_logits(trained, fitted.curves.inputs, fitted.scalars), fitted.label)
    test = observed(division.test, 1, N_TEST)
    logits = network_logits(trained, test.curves.inputs, test.scalars)
    judged = evaluate(calibrated(logits, calibration), test.label, draws=0)
    plain = calibrated(logits, Calibration(1.0, np.zeros(logits.shape[1])))
    return {
        "run": name,
        "seed": seed,
        "epochs": epochs,
        "examples": examples,
        "macro_f1": judged.macro_f1.value,
        "accuracy": judged.accuracy.value,
        "f1": [item.value for item in judged.f1],
        "calibration_error": calibration_error(plain, test.label, draws=0).value,
        "calibrated_error": judged.calibration.value,
        "temperature": calibration.temperature,
        "diagnostics": reports[-1].diagnostics,
        "seconds": seconds,
    }


def interval(values):
    """Mean and half the 95 % interval by Student's t; not a number where there are too few runs."""
    values = np.asarray(values)
    if not len(values):
        return np.nan, np.nan
    if len(values) == 1:
        return float(values[0]), np.nan
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(half)


def with_error(value, half):
    """A mean and its interval; one run has none, and without a twin to compare with there is no mean."""
    if not np.isfinite(value):
        return 18 * " "
    return f"{value:>10.2f}" + (f" ± {half:4.2f} " if np.isfinite(half) else 8 * " ")


def report(kept):
    """Lines of the tables, one a length of training."""
    yield f"{kept['made']}, {kept['machine']}; library {kept['library']}"
    yield f"judged on {N_TEST} examples of held-out curves"
    for length in sorted({(run["epochs"], run["examples"]) for run in kept["runs"]}):
        yield ""
        yield f"{length[0]} epochs of {length[1]} examples"
        yield from table([run for run in kept["runs"] if (run["epochs"], run["examples"]) == length])


def table(kept):
    """Lines of the runs of one length."""
    heads = f"{'run':<30}{'seeds':>6}{'macro-F1 %':>18}{'loss to float':>18}{'to float, 0.01':>18}{'cal. error':>12}"
    yield heads + f"{'calibrated':>12}{'s a run':>9}"
    twins = {(run["run"], run["seed"]): run["macro_f1"] for run in kept if run["run"] in TWINS.values()}
    for name in RUNS:
        runs = [run for run in kept if run["run"] == name]
        if not runs:
            continue
        pairs = [interval([100 * run["macro_f1"] for run in runs])]
        # Seed by seed: the same curves and noise, and the same first weights but for BiPer's.
        for twin in TWINS.values():
            paired = [run for run in runs if (twin, run["seed"]) in twins]
            pairs.append(interval([100 * (twins[twin, run["seed"]] - run["macro_f1"]) for run in paired]))
        before = np.mean([run["calibration_error"] for run in runs])
        after = np.mean([run["calibrated_error"] for run in runs])
        seconds = np.mean([run["seconds"] for run in runs])
        figures = "".join(with_error(*pair) for pair in pairs)
        yield f"{name:<30}{len(runs):>6}{figures}{before:>12.4f}{after:>12.4f}{seconds:>9.0f}"
    yield "diagnostics of the last epoch, means over the seeds"
    for name in RUNS:
        runs = [run["diagnostics"] for run in kept if run["run"] == name]
        if runs and runs[0]:
            means = ", ".join(f"{key.replace('_', ' ')} {np.mean([run[key] for run in runs]):.4g}" for key in runs[0])
            yield f"  {name:<30}{means}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path, nargs="?")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--examples", type=int, default=12800)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--state", type=Path, default=Path("classifier-estimators"), help="folder of the teachers")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"runs": []}
    if not given.table:
        if given.library is None:
            parser.error("name a library, or print the table with --table")
        run_all(given, kept)
    text = io.StringIO()
    for line in report(kept):
        print(line)
        print(line, file=text)
    RESULTS.with_suffix(".txt").write_text(text.getvalue())


def run_all(given, kept):
    """Train what is not kept yet: the float twins first, since others learn from them."""
    import pyarrow.parquet as pq

    given.state.mkdir(parents=True, exist_ok=True)
    recipe = json.loads(pq.read_schema(given.library).metadata[b"cbminer"])
    library = f"of {recipe['rows']} rows, seed {recipe['seed']}"
    if kept.get("library", library) != library:
        sys.exit(f"{RESULTS} holds runs on another library ({kept['library']}): move it away first")
    kept["library"] = library
    kept["machine"] = f"{platform.machine()}, Python {platform.python_version()}"
    length = (given.epochs, given.examples)
    done = {(run["run"], run["seed"]) for run in kept["runs"] if (run["epochs"], run["examples"]) == length}
    twins = [name for name in given.runs if name in TWINS.values()]
    for names in (twins, [name for name in given.runs if name not in twins]):
        todo = [(name, seed) for seed in range(given.seeds) for name in names if (name, seed) not in done]
        with ProcessPoolExecutor(given.jobs) as pool:
            futures = [
                pool.submit(train_one, given.library, name, seed, given.epochs, given.examples, given.state)
                for name, seed in todo
            ]
            for future in as_completed(futures):
                run = future.result()
                kept["runs"].append(run)
                kept["made"] = datetime.now(UTC).date().isoformat()
                kept["runs"].sort(key=lambda item: (item["epochs"], list(RUNS).index(item["run"]), item["seed"]))
                RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
                print(f"{run['run']}, seed {run['seed']}: {run['macro_f1']:.4f}, {run['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
