"""Shapes of injected light curves against the true ones: bias, scatter, stated errors and their coverage.

Usage: python benchmarks/morphology_injection.py [--n 1500] [--threads 2] [--save]
       python benchmarks/morphology_injection.py --check | --markdown

Eclipsing pairs of the Roche engine, even in the sum of their relative radii and none of them a training curve of c,
are put on the cadence of OGLE-IV with noise, outliers and understated errors (`SamplingSettings` as they come) at
maximum I = 15 to 19, folded with the true period and a random epoch, cleaned and measured as the pipeline does it.
The truth is the same figure of the curve without noise: depths, widths, contacts and the O'Connell effect of its 1000
points by the same definitions, W by integration, c of its normalised form.

Which of two minima counts as the first is left to the measurement: the truth is taken with the true minimum first that
lies nearer to the measured one, so that the true difference of depths is negative where noise has exchanged them.
c is always compared with that of the curve whose deeper minimum comes first.

`--save` writes results/morphology_injection.json and .txt; `--check` measures the first stars again and compares them
with the committed ones; `--markdown` prints the tables of docs/morphology.md from these.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.stats import spearmanr

from cbminer.lightcurves.cleaning import CleaningSettings, clean
from cbminer.lightcurves.folding import fold
from cbminer.morphology.eclipses import FIGURES, _measure_curve, temperature_ratio
from cbminer.morphology.embedding import embed, embedding_model
from cbminer.morphology.fourier import FourierSettings
from cbminer.morphology.shape import ShapeSettings, measure_shapes
from cbminer.morphology.training import normalised_half_curves
from cbminer.survey.packed import PackedLightCurves, pack_light_curves
from cbminer.survey.photometry_file import LightCurve
from cbminer.synthetic.cadence import sample_light_curve, seasonal_cadence
from cbminer.synthetic.passbands import standard_passband
from cbminer.synthetic.radii import RadiiSettings, draw_by_radii
from cbminer.synthetic.roche import RocheEngine
from cbminer.synthetic.sampling import SamplingSettings

SEED = 20261127
N_STARS = 1500
MAGNITUDES = (15.0, 16.0, 17.0, 18.0, 19.0)
PERIODS = (0.5, 5.0)
EPOCH = 2455000.0
PHASES = np.arange(501) / 1000.0
GRID = np.arange(1000) / 1000.0
RESULTS = Path(__file__).parent / "results"
N_CHECKED = 24
# Wavelength and temperature behind the ratio of temperatures: those of the package's defaults.
WAVELENGTH, TEFF = 0.798, ShapeSettings().teff
# Name, unit and factor to it.
QUANTITIES = {
    "depth1": ("mmag", 1e3),
    "depth2": ("mmag", 1e3),
    "depth_difference": ("mmag", 1e3),
    "W": ("1e-3", 1e3),
    "c": ("1e-3", 1e3),
    "phase_secondary": ("1e-3", 1e3),
    "oconnell": ("mmag", 1e3),
    "eclipse_width1": ("1e-3", 1e3),
    "eclipse_width2": ("1e-3", 1e3),
    "contact_angle1": ("deg", 1.0),
    "contact_angle2": ("deg", 1.0),
    "temperature_ratio": ("1e-3", 1e3),
}
CLASSES = {"detached": (0.0, 0.55), "semi-detached": (0.55, 0.757), "contact": (0.757, 2.0)}
JUDGED = ("depth1", "depth2", "W", "c")
COVERAGE, COVERAGE_WITHIN = 68.0, 5.0
RANK_CLEAN, RANK_NOISY, RANK_MAG, MOST_CERTAIN_IMPACT = 0.97, 0.93, 18.0, 0.9
COSINE, COSINE_WITHIN = 0.98, 0.01
REPEATED_STARS, REPEATED_DRAWS, REPEATED_MAG, MOST_SCATTER = 60, 30, 16.0, 0.02


@dataclass(frozen=True)
class Injected:
    """Pairs and their curves without noise.

    Attributes
    ----------
    radii, impact : ndarray
        Sum of the relative radii, and cos i over it.
    flux : ndarray
        Flux over its maximum at `GRID`, phase 0 at the deeper minimum, shape (n, 1000).
    figures : ndarray
        Figures in the order of `FIGURES` with the deeper minimum first, and with the other one first, shape (2, n, 10).
    W, c : ndarray
        True W and c.
    """

    radii: np.ndarray
    impact: np.ndarray
    flux: np.ndarray
    figures: np.ndarray
    W: np.ndarray
    c: np.ndarray


def inject(n: int, threads: int) -> Injected:
    """Draw pairs and work out what is true of them."""
    rng = np.random.default_rng(np.random.SeedSequence(SEED))
    pairs = draw_by_radii(n, settings=RadiiSettings(), rng=rng)
    engine = RocheEngine(passbands=(standard_passband("I"),), threads=threads)
    half = engine.light_curves(pairs.systems, PHASES)[:, 0]
    half = np.where((half[:, -1] < half[:, 0])[:, None], half[:, ::-1], half)
    flux = np.concatenate([half, half[:, 499:0:-1]], axis=1)
    flux /= flux.max(axis=1, keepdims=True)
    figures = np.full((2, n, len(FIGURES)), np.nan)
    for star in range(n):
        # The lowest point about either conjunction, as of a fit: a flat bottom has its lowest anywhere.
        first = int(np.argmin(flux[star]))
        other = (first + 300 + int(np.argmin(np.roll(flux[star], -first - 300)[:400]))) % 1000
        _measure_curve(flux[star], first, other, figures[0, star])
        _measure_curve(flux[star], other, first, figures[1, star])
    a2, a4 = (2.0 * np.mean(flux * np.cos(2.0 * np.pi * k * GRID), axis=1) for k in (2, 4))
    embedded = embed(normalised_half_curves(half)[:, None].astype(np.float32), np.zeros(n), model=embedding_model())
    impact = np.cos(np.radians(pairs.systems.inclination)) / pairs.sum_of_radii
    return Injected(pairs.sum_of_radii, impact, flux, figures, a4 - a2 * (0.125 - a2), embedded.c)


@dataclass(frozen=True)
class Sky:
    """Where and when injected stars are seen: period, epoch of their deeper minimum, and the epoch for the folding."""

    period: np.ndarray
    epoch: np.ndarray
    folded_from: np.ndarray


def observe(injected: Injected, stars: np.ndarray, mag: float, *, draws: int = 1) -> tuple[PackedLightCurves, Sky]:
    """Observe stars, each so many times at the same dates; what becomes of a star does not depend on the others."""
    settings = SamplingSettings()
    curves, ephemeris = [], []
    for star in stars:
        rng = np.random.default_rng(np.random.SeedSequence((SEED, int(star))))
        period = float(np.exp(rng.uniform(*np.log(PERIODS))))
        epoch = EPOCH + period * rng.random()
        cadence = seasonal_cadence("LMC" if rng.random() < 0.5 else "SMC", settings, rng=rng)
        folded_from = EPOCH + period * rng.random()
        below = PchipInterpolator(
            np.arange(-20, 1021) / 1000.0,
            -2.5 * np.log10(np.take(injected.flux[star], np.arange(-20, 1021), mode="wrap")),
        )
        for draw in range(draws):
            seen = sample_light_curve(
                lambda cycles, _band, below=below: below(cycles % 1.0),
                cadence,
                brightest={"I": mag},
                period=period,
                epoch=epoch,
                settings=settings,
                rng=np.random.default_rng(np.random.SeedSequence((SEED, int(star), int(10 * mag), draw))),
            )["I"]
            curves.append(LightCurve(seen.time, seen.mag.astype(np.float32), seen.mag_err.astype(np.float32)))
            ephemeris.append((period, epoch, folded_from))
    packed = pack_light_curves([str(number) for number in range(len(curves))], curves)
    return packed, Sky(*np.array(ephemeris).T)


def measure(curves: PackedLightCurves, sky: Sky) -> dict[str, np.ndarray]:
    """Clean and measure as the pipeline does it with a known period."""
    cleaned = clean(curves, fold(curves.time, curves.offsets, sky.period, sky.folded_from), settings=CleaningSettings())
    shapes = measure_shapes(cleaned.curves, cleaned.phase, fourier=FourierSettings(), shape=ShapeSettings())
    names = [name for quantity in QUANTITIES for name in (quantity, f"e_{quantity}")]
    names += ["phase_zero", "n_points", "c_distance"]
    measured = {name: np.asarray(getattr(shapes, name), dtype=float) for name in names}
    return measured | {"stretch": shapes.splines.stretch.astype(float), "freedom": shapes.splines.freedom}


def truth(injected: Injected, stars: np.ndarray, measured: dict[str, np.ndarray], sky: Sky) -> dict[str, np.ndarray]:
    """What is true of measured stars, with the true minimum first that the measurement has first."""
    from_deeper = (measured["phase_zero"] - (sky.epoch - sky.folded_from) / sky.period) % 1.0
    exchanged = np.abs(from_deeper - 0.5) < 0.25
    figures = np.where(exchanged[:, None], injected.figures[1, stars], injected.figures[0, stars])
    true = {name: figures[:, number] for number, name in enumerate(FIGURES)}
    true["temperature_ratio"], _ = temperature_ratio(
        true.pop("depth_ratio"), np.zeros(len(stars)), teff=TEFF, wavelength=WAVELENGTH
    )
    return true | {"W": injected.W[stars], "c": injected.c[stars], "exchanged": exchanged.astype(float)}


@dataclass(frozen=True)
class Measured:
    """Measured stars at one magnitude, and what is true of them."""

    measured: dict[str, np.ndarray]
    true: dict[str, np.ndarray]
    seconds: float


def run(injected: Injected, stars: np.ndarray, mag: float, threads: int) -> Measured:
    """Observe and measure stars at a magnitude, in parts on several threads."""
    parts = np.array_split(stars, max(1, len(stars) // 125))

    def one(part: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], float]:
        curves, sky = observe(injected, part, mag)
        start = time.perf_counter()
        measured = measure(curves, sky)
        spent = time.perf_counter() - start
        return measured, truth(injected, part, measured, sky), spent

    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(one, parts))
    joined = [{name: np.concatenate([part[k][name] for part in found]) for name in found[0][k]} for k in (0, 1)]
    return Measured(*joined, sum(part[2] for part in found))


def statistics(found: Measured, name: str, inside: np.ndarray) -> dict[str, float]:
    """Bias, scatter, stated error, coverage and pull of a quantity for some stars."""
    difference = found.measured[name] - found.true[name]
    error = found.measured[f"e_{name}"]
    known = inside & np.isfinite(difference) & np.isfinite(error)
    if not known.any():
        return {"stars": 0}
    difference, error = difference[known], error[known]
    middle = float(np.median(difference))
    pull = difference / np.maximum(error, 1e-12)
    return {
        "stars": int(known.sum()),
        "bias": middle,
        "scatter": float(1.4826 * np.median(np.abs(difference - middle))),
        "error": float(np.median(error)),
        "coverage": float(100.0 * np.mean(np.abs(difference) < error)),
        "coverage2": float(100.0 * np.mean(np.abs(difference) < 2.0 * error)),
        "pull_mean": float(np.mean(np.clip(pull, -10.0, 10.0))),
        "pull_deviation": float(np.std(np.clip(pull, -10.0, 10.0))),
    }


def classes(radii: np.ndarray) -> dict[str, np.ndarray]:
    every = {"all": np.ones(len(radii), dtype=bool)}
    return every | {name: (radii >= low) & (radii < high) for name, (low, high) in CLASSES.items()}


def summary(injected: Injected, stars: np.ndarray, results: dict[float, Measured]) -> dict[str, Any]:
    """All statistics by quantity, class and magnitude."""
    members = classes(injected.radii[stars])
    return {
        name: {
            group: {f"{mag:g}": statistics(found, name, inside) for mag, found in results.items()}
            for group, inside in members.items()
        }
        for name in QUANTITIES
    }


def ranks(injected: Injected, stars: np.ndarray, c: np.ndarray) -> dict[str, float]:
    """Rank correlation of c with the sum of radii, of all and of those whose eclipses do not merely graze."""
    radii, known = injected.radii[stars], np.isfinite(c)
    certain = known & (injected.impact[stars] < MOST_CERTAIN_IMPACT)
    return {
        "all": float(spearmanr(c[known], radii[known]).statistic),
        "certain": float(spearmanr(c[certain], radii[certain]).statistic),
    }


def repeated(injected: Injected, n: int, threads: int) -> np.ndarray:
    """Standard deviation of c of stars over draws of the noise."""

    def one(star: int) -> float:
        curves, sky = observe(injected, np.array([star]), REPEATED_MAG, draws=REPEATED_DRAWS)
        return float(np.nanstd(measure(curves, sky)["c"]))

    with ThreadPoolExecutor(threads) as pool:
        return np.array(list(pool.map(one, range(n))))


def pure_cosine() -> float:
    half = (0.5 - 0.5 * np.cos(4.0 * np.pi * PHASES))[None, None].astype(np.float32)
    return float(embed(half, np.zeros(1), model=embedding_model()).c[0])


def rows_of_first(found: Measured, n: int) -> list[dict[str, float | None]]:
    """What was measured of the first stars, for `--check`."""
    names = [*QUANTITIES, *(f"e_{name}" for name in QUANTITIES)]
    return [
        {
            name: float(f"{found.measured[name][k]:.6g}") if np.isfinite(found.measured[name][k]) else None
            for name in names
        }
        for k in range(n)
    ]


def everything(n: int, threads: int) -> dict[str, Any]:
    """Run it all."""
    injected, stars = inject(n, threads), np.arange(n)
    results = {mag: run(injected, stars, mag, threads) for mag in MAGNITUDES}
    scatter = repeated(injected, min(REPEATED_STARS, n), threads)
    points = results[MAGNITUDES[0]].measured["n_points"]
    return {
        "seed": SEED,
        "stars": n,
        "model": embedding_model().digest(),
        "points": [float(q) for q in np.percentile(points, [5, 50, 95])],
        "unmeasured": {f"{mag:g}": int(np.isnan(found.measured["c"]).sum()) for mag, found in results.items()},
        "exchanged": {f"{mag:g}": int(np.sum(found.true["exchanged"])) for mag, found in results.items()},
        "milliseconds_a_star": {f"{mag:g}": 1e3 * found.seconds / n for mag, found in results.items()},
        "summary": summary(injected, stars, results),
        "ranks": {"noise-free": ranks(injected, stars, injected.c)}
        | {f"{mag:g}": ranks(injected, stars, found.measured["c"]) for mag, found in results.items()},
        "cosine": pure_cosine(),
        "repeated": [float(np.median(scatter)), float(np.quantile(scatter, 0.9))],
        "first": {f"{mag:g}": rows_of_first(found, min(N_CHECKED, n)) for mag, found in results.items()},
    }


def tables(result: dict[str, Any]) -> Iterator[str]:
    """Print the statistics."""
    low, middle, high = result["points"]
    yield (
        f"{result['stars']} stars, {low:.0f} / {middle:.0f} / {high:.0f} points after cleaning (5, 50, 95 %), "
        f"model of c {result['model'][:16]}"
    )
    yield "without a shape (a gap in phase): " + ", ".join(f"I = {m}: {k}" for m, k in result["unmeasured"].items())
    yield "minima exchanged by noise: " + ", ".join(f"I = {m}: {k}" for m, k in result["exchanged"].items())
    for name, groups in result["summary"].items():
        yield f"\n{name} in {QUANTITIES[name][0]}"
        yield (
            f"{'':16}{'I':>4}{'stars':>7}{'bias':>10}{'scatter':>10}{'error':>10}{'within 1':>10}{'within 2':>10}"
            f"{'pull':>8}{'+-':>6}"
        )
        factor = QUANTITIES[name][1]
        for group, by_mag in groups.items():
            for mag, row in by_mag.items():
                if not row["stars"]:
                    continue
                yield (
                    f"{group:16}{mag:>4}{row['stars']:>7}"
                    + "".join(f"{factor * row[key]:>10.3f}" for key in ("bias", "scatter", "error"))
                    + f"{row['coverage']:>9.1f}%{row['coverage2']:>9.1f}%"
                    + f"{row['pull_mean']:>8.2f}{row['pull_deviation']:>6.2f}"
                )


def verdict(passed: bool) -> str:  # noqa: FBT001
    return "pass" if passed else "FAIL"


def targets(result: dict[str, Any]) -> Iterator[str]:
    """Judge the results by what was asked of them."""
    yield ""
    for name in JUDGED:
        cover = {mag: row["coverage"] for mag, row in result["summary"][name]["all"].items()}
        passed = all(abs(value - COVERAGE) <= COVERAGE_WITHIN for value in cover.values())
        shown = " ".join(f"{value:.1f}" for value in cover.values())
        wanted = f"{COVERAGE:.0f} +- {COVERAGE_WITHIN:.0f} %"
        yield f"{verdict(passed)}  coverage of {name}, {wanted} at I = 15 to 19: {shown}"
    for where, least in (("noise-free", RANK_CLEAN), (f"{RANK_MAG:g}", RANK_NOISY)):
        label = where if where == "noise-free" else f"I = {where}"
        for group, what in (("all", "all"), ("certain", f"cos i < {MOST_CERTAIN_IMPACT} (r1 + r2)")):
            found = result["ranks"][where][group]
            yield f"{verdict(found > least)}  rank of c by r1 + r2, {label}, {what}, > {least}: {found:.4f}"
    passed = abs(result["cosine"] - COSINE) <= COSINE_WITHIN
    yield f"{verdict(passed)}  c of a pure cosine, {COSINE} +- {COSINE_WITHIN}: {result['cosine']:.4f}"
    median, most = result["repeated"]
    yield (
        f"{verdict(median < MOST_SCATTER)}  scatter of c over {REPEATED_DRAWS} draws of the noise at I = "
        f"{REPEATED_MAG:g}, median of {REPEATED_STARS} stars, < {MOST_SCATTER}: {median:.4f}; "
        f"90th percentile {most:.4f}"
    )


def markdown(result: dict[str, Any]) -> Iterator[str]:
    """Print the tables of the documentation: bias, scatter, coverage."""
    magnitudes = [f"{mag:g}" for mag in MAGNITUDES]
    yield "| | unit | " + " | ".join(f"I = {mag}" for mag in magnitudes) + " |"
    yield "|---" * (len(magnitudes) + 2) + "|"
    for name in QUANTITIES:
        cells = [cell(name, result["summary"][name]["all"][mag]) for mag in magnitudes]
        yield f"| `{name}` | {QUANTITIES[name][0]} | " + " | ".join(cells) + " |"
    yield ""
    yield "| I = 17 | unit | " + " | ".join(CLASSES) + " |"
    yield "|---" * (len(CLASSES) + 2) + "|"
    for name in (*JUDGED[:2], "depth_difference", *JUDGED[2:]):
        cells = [cell(name, result["summary"][name][group]["17"]) for group in CLASSES]
        yield f"| `{name}` | {QUANTITIES[name][0]} | " + " | ".join(cells) + " |"


def cell(name: str, found: dict[str, float]) -> str:
    factor = QUANTITIES[name][1]
    digits = 2 if name == "W" or name.startswith(("contact", "phase")) else 1
    return f"{factor * found['bias']:+.{digits}f}, {factor * found['scatter']:.{digits}f}, {found['coverage']:.0f} %"


def check(threads: int) -> int:
    """Measure the first stars again; 1 if they differ from the committed ones."""
    wanted = json.loads((RESULTS / "morphology_injection.json").read_text(encoding="utf-8"))
    if wanted["model"] != embedding_model().digest():
        print("DIFFERENT: the results belong to another model of c; run with --save")
        return 1
    injected, stars = inject(wanted["stars"], threads), np.arange(N_CHECKED)
    differing = 0
    for mag in MAGNITUDES:
        found = rows_of_first(run(injected, stars, mag, threads), N_CHECKED)
        for star, (was, now) in enumerate(zip(wanted["first"][f"{mag:g}"], found, strict=True)):
            for name, value in was.items():
                if not same(value, now[name]):
                    differing += 1
                    print(f"DIFFERENT: star {star} at I = {mag:g}: {name} was {value}, is {now[name]}")
    print(f"{len(MAGNITUDES) * N_CHECKED} curves measured again, {differing} numbers differ")
    return int(differing > 0)


def same(was: float | None, now: float | None) -> bool:
    """Equal but for rounding, which differs between machines."""
    if was is None or now is None:
        return was is now
    return abs(was - now) <= 1e-3 * abs(was) + 1e-6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=N_STARS)
    parser.add_argument("--threads", type=int, default=2)
    for option in ("--save", "--check", "--markdown"):
        parser.add_argument(option, action="store_true")
    options = parser.parse_args()
    if options.check:
        return check(options.threads)
    if options.markdown:
        saved = json.loads((RESULTS / "morphology_injection.json").read_text(encoding="utf-8"))
        print("\n".join(markdown(saved)))
        return 0
    result = everything(options.n, options.threads)
    lines = [
        (
            f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} processors, Python "
            f"{platform.python_version()}, numpy {np.__version__}; seed {SEED}"
        ),
        *tables(result),
        *targets(result),
    ]
    print("\n".join(lines))
    if options.save:
        text = json.dumps(result, indent=1)
        (RESULTS / "morphology_injection.json").write_text(text + "\n", encoding="utf-8")
        (RESULTS / "morphology_injection.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
