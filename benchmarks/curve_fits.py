"""Which smooth curve comes closest to a noisy light curve: harmonics, a polynomial chain, a Gaussian process, splines.

Usage: python benchmarks/curve_fits.py [--n 150] [--threads 2] [--save]
       python benchmarks/curve_fits.py --measured
       python benchmarks/curve_fits.py --check | --markdown

All fits get the same injected curves of benchmarks/morphology_injection.py, after the cleaning, at maximum I = 15, 17
and 19:

harmonics         harmonic series of flux of order 4 to 10, by BIC
chain             polynomial chain through magnitudes after Prsa et al. (2008, ApJ 687, 542), as Bodi & Hajdu (2021) use
                  it: polynomials of order 2 or 4 between four knots, continuous at them, knots displaced at random as
                  long as the fit improves, from three sets of knots, one of them found from the data; the BIC of the
                  harmonics decides
gaussian process  periodic Gaussian process through flux with white noise beyond the errors, by likelihood
spline            the package's penalised spline without its stretch of phase
stretched         the package's penalised spline
measured          depths and c as the package gives them: the last one less the bias of a maximum over noise

Depths are those of each curve at its lowest points about the true minima below its highest point, the rms is that of
the magnitudes scaled to run from 0 to 1, c is that of the curve folded about its deeper minimum. Ringing is how far a
curve of a detached pair rises above the true maximum. "far" is the share of curves with an error of c above 0.05.
Times are CPU time of one star.

`--save` writes results/curve_fits.json and .txt; `--measured` measures once more what the package gives, and keeps the
saved figures of all fits, which do not depend on how c is measured; `--check` fits the first stars again and compares;
`--markdown` prints the table of docs/morphology.md from the saved results.
"""

import argparse
import json
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numba
import numpy as np
from morphology_injection import (
    CLASSES,
    GRID,
    SEED,
    Injected,
    classes,
    inject,
    observe,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, ExpSineSquared, WhiteKernel

from cbminer.lightcurves.cleaning import CleaningSettings, clean
from cbminer.lightcurves.folding import fold
from cbminer.lightcurves.harmonics import evaluate_harmonics, fit_harmonics
from cbminer.morphology.eclipses import _lowest, _measure_curve, _normalise
from cbminer.morphology.embedding import embed, embedding_model
from cbminer.morphology.fourier import FourierSettings, HarmonicFits, harmonic_minima
from cbminer.morphology.shape import measure_shapes
from cbminer.morphology.spline import (
    _ROBUST_ROUNDS,
    N_KNOTS,
    STRETCHES,
    _reweigh,
    _search,
    fit_splines,
    spline_basis,
)

N_DRAWN = 1500
N_STARS = 150
MAGNITUDES = (15.0, 17.0, 19.0)
RESULTS = Path(__file__).parent / "results"
MAG_PER_LN = 2.5 / np.log(10.0)
FAR = 0.05
N_CHECKED = 10
# Half width of the search for a minimum, in points of the grid.
REACH = 40
LOWEST_FLUX = 1e-3
ORDERS = (2, 4)
TRIES = 4000
MOST_TERMS = 16
KNOTS = np.array([[-0.4, -0.1, 0.1, 0.4], [-0.49, -0.01, 0.01, 0.49]])
# Scale of a displacement of knots in cycles, and the least distance between two.
STEP, LEAST_SPACING = 0.03, 0.005


class Points:
    """Cleaned points of a star in phase, as flux over that of the median magnitude, and about where its minima are."""

    def __init__(self, phase: np.ndarray, mag: np.ndarray, mag_err: np.ndarray) -> None:
        self.phase = phase
        self.offsets = np.array([0, len(phase)])
        self.mag = mag.astype(float) - np.median(mag)
        self.flux = 10.0 ** (-0.4 * self.mag)
        self.mag_err = mag_err.astype(float)
        self.order, self.coefficients, covariance, _ = fit_harmonics(
            phase, self.flux, self.flux * self.mag_err / MAG_PER_LN, self.offsets, 4, np.array([10])
        )
        minima = harmonic_minima(HarmonicFits(self.order, self.coefficients, covariance))
        self.centre, self.secondary = minima.primary, minima.separation
        expected = evaluate_harmonics(phase, self.offsets, self.order, self.coefficients)
        self.flux_err = np.where(expected > 0.2 * self.flux, expected, self.flux) * self.mag_err / MAG_PER_LN


Fit = Callable[[Points, np.ndarray], np.ndarray]


def harmonics(points: Points, phase: np.ndarray) -> np.ndarray:
    """The harmonic series that every fit of the package starts from, made anew so that it can be timed."""
    order, coefficients, _, _ = fit_harmonics(
        points.phase, points.flux, points.flux * points.mag_err / MAG_PER_LN, points.offsets, 4, np.array([10])
    )
    return evaluate_harmonics(phase, np.array([0, len(phase)]), order, coefficients)


def stretched(points: Points, phase: np.ndarray) -> np.ndarray:
    fits = fit_splines(points.phase, points.flux, points.flux_err, points.offsets, points.centre, points.secondary)
    return spline_basis(phase - fits.centre[0], fits.secondary[0], fits.stretch[0]) @ fits.coefficients[0]


def spline(points: Points, phase: np.ndarray) -> np.ndarray:
    """The same kernels as `stretched`, held to the phase as it is."""
    relative, secondary = points.phase - points.centre[0], float(points.secondary[0])
    coefficients, factor = np.zeros(N_KNOTS), np.zeros((N_KNOTS, N_KNOTS))
    weight = 1.0 / points.flux_err**2
    for _ in range(_ROBUST_ROUNDS + 1):
        _search(relative, points.flux, weight, secondary, (0, 0), coefficients, factor)
        if not _reweigh(relative, points.flux, points.flux_err, secondary, 0, coefficients, weight):
            break
    return spline_basis(phase - points.centre[0], secondary, 0) @ coefficients


def gaussian_process(points: Points, phase: np.ndarray) -> np.ndarray:
    mean, deviation = points.flux.mean(), points.flux.std()
    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * ExpSineSquared(
        0.5, 1.0, length_scale_bounds=(0.02, 20.0), periodicity_bounds="fixed"
    ) + WhiteKernel(1e-2, (1e-6, 1.0))
    process = GaussianProcessRegressor(kernel, alpha=(points.flux_err / deviation) ** 2)
    with warnings.catch_warnings():
        # A parameter at its bound, as the white noise is where the errors suffice.
        warnings.simplefilter("ignore", ConvergenceWarning)
        process.fit(points.phase[:, None], (points.flux - mean) / deviation)
    return mean + deviation * process.predict(phase[:, None])


def chain(points: Points, phase: np.ndarray) -> np.ndarray:
    """The polynomial chain of the lowest BIC among both orders and all sets of knots."""
    relative = (points.phase - points.centre[0] + 0.5) % 1.0 - 0.5
    where = (phase - points.centre[0] + 0.5) % 1.0 - 0.5
    weight = 1.0 / points.mag_err**2
    best = (np.inf, np.empty(0))
    for knots in (*KNOTS, knots_of_data(points)):
        for order in ORDERS:
            # The same numbers for every star: a result does not depend on the stars before it.
            chi2, placed, terms = displace(relative, points.mag, weight, knots, order, TRIES, SEED)
            n, k = len(relative), 4 * order + 4
            bic = n * np.log(chi2 / n) + k * np.log(n)
            if bic < best[0]:
                best = (bic, evaluate_chain(where, placed, order, terms))
    # As in the source: no value may lie above the highest point.
    mag = np.maximum(best[1], points.mag.min())
    return np.asarray(10.0 ** (-0.4 * mag))


def knots_of_data(points: Points) -> np.ndarray:
    """Knots where the harmonic series crosses the middle of both minima."""
    grid = GRID - 0.5
    flux = evaluate_harmonics(grid + points.centre[0], np.array([0, len(grid)]), points.order, points.coefficients)
    knots = []
    for middle in (0.0, points.secondary[0] - (points.secondary[0] > 0.5)):
        bottom = int(np.argmin(np.abs((grid - middle + 0.5) % 1.0 - 0.5)))
        half = 0.5 * (flux[bottom] + flux.max())
        for way in (-1, 1):
            step = next((s for s in range(1, 250) if flux[(bottom + way * s) % len(flux)] >= half), 125)
            knots.append((middle + way * step / len(grid) + 0.5) % 1.0 - 0.5)
    knots = np.sort(knots)
    spacing = np.diff(np.append(knots, knots[0] + 1.0))
    return knots if spacing.min() > LEAST_SPACING else KNOTS[0]


@numba.njit(cache=True)
def interval(phase: float, knots: np.ndarray) -> tuple[int, float]:
    """Interval between knots of a phase in [-0.5, 0.5), and the place in it from 0 to 1."""
    n = len(knots)
    for k in range(n - 1):
        if knots[k] <= phase < knots[k + 1]:
            return k, (phase - knots[k]) / (knots[k + 1] - knots[k])
    width = knots[0] + 1.0 - knots[n - 1]
    offset = phase - knots[n - 1] if phase >= knots[n - 1] else phase + 1.0 - knots[n - 1]
    return n - 1, offset / width


@numba.njit(cache=True)
def chain_terms(phase: float, knots: np.ndarray, order: int, place: np.ndarray, value: np.ndarray) -> None:
    """Values at both knots, and powers of the place times its distance from the end: continuous whatever their size."""
    n = len(knots)
    k, t = interval(phase, knots)
    place[0], value[0] = k, 1.0 - t
    place[1], value[1] = (k + 1) % n, t
    bubble = t * (1.0 - t)
    for power in range(order - 1):
        place[2 + power], value[2 + power] = n + k * (order - 1) + power, bubble
        bubble *= t - 0.5


@numba.njit(cache=True)
def fit_chain(
    phase: np.ndarray, mag: np.ndarray, weight: np.ndarray, knots: np.ndarray, order: int, terms: np.ndarray
) -> float:
    """Fit by least squares; return the sum of the squared residuals over their errors."""
    n_terms = len(knots) * order
    matrix, data = np.zeros((n_terms, n_terms)), np.zeros(n_terms)
    place, value = np.empty(order + 1, dtype=np.int64), np.empty(order + 1)
    square = 0.0
    for i in range(len(phase)):
        chain_terms(phase[i], knots, order, place, value)
        square += weight[i] * mag[i] ** 2
        for a in range(order + 1):
            data[place[a]] += weight[i] * mag[i] * value[a]
            for b in range(a + 1):
                matrix[max(place[a], place[b]), min(place[a], place[b])] += weight[i] * value[a] * value[b]
    return square - solve(matrix, data, terms)


@numba.njit(cache=True)
def solve(matrix: np.ndarray, data: np.ndarray, terms: np.ndarray) -> float:
    """Solve the normal equations by Cholesky's way; return by how much the fit lowers the sum of squares.

    The ridge is felt only where an interval holds too few points.
    """
    n_terms = len(data)
    trace, explained = 0.0, 0.0
    for row in range(n_terms):
        trace += matrix[row, row]
    for column in range(n_terms):
        total = matrix[column, column] + 1e-10 * trace / n_terms
        for k in range(column):
            total -= matrix[column, k] ** 2
        matrix[column, column] = np.sqrt(max(total, 1e-300))
        for row in range(column + 1, n_terms):
            total = matrix[row, column]
            for k in range(column):
                total -= matrix[row, k] * matrix[column, k]
            matrix[row, column] = total / matrix[column, column]
    for row in range(n_terms):
        total = data[row]
        for k in range(row):
            total -= matrix[row, k] * terms[k]
        terms[row] = total / matrix[row, row]
        explained += terms[row] ** 2
    for row in range(n_terms - 1, -1, -1):
        total = terms[row]
        for k in range(row + 1, n_terms):
            total -= matrix[k, row] * terms[k]
        terms[row] = total / matrix[row, row]
    return explained


@numba.njit(cache=True)
def displace(
    phase: np.ndarray, mag: np.ndarray, weight: np.ndarray, start: np.ndarray, order: int, tries: int, seed: int
) -> tuple[float, np.ndarray, np.ndarray]:
    """Displace knots at random, and keep a displacement that brings the curve closer to the points."""
    np.random.seed(seed)  # noqa: NPY002 - numba has no other generator
    knots, best_terms, terms = start.copy(), np.zeros(MOST_TERMS), np.zeros(MOST_TERMS)
    best = fit_chain(phase, mag, weight, knots, order, best_terms)
    for attempt in range(tries):
        # Large steps first, small ones at the end.
        scale = STEP * (1.0 - 0.95 * attempt / tries)
        trial = np.empty(len(knots))
        for k in range(len(knots)):
            trial[k] = (knots[k] + scale * np.random.normal() + 0.5) % 1.0 - 0.5  # noqa: NPY002
        trial = np.sort(trial)
        spacing = trial[0] + 1.0 - trial[-1]
        for k in range(len(knots) - 1):
            spacing = min(spacing, trial[k + 1] - trial[k])
        if spacing < LEAST_SPACING:
            continue
        found = fit_chain(phase, mag, weight, trial, order, terms)
        if found < best:
            best, knots = found, trial
            best_terms[:] = terms
    return best, knots, best_terms


@numba.njit(cache=True)
def evaluate_chain(phase: np.ndarray, knots: np.ndarray, order: int, terms: np.ndarray) -> np.ndarray:
    """Magnitudes of a chain at phases in [-0.5, 0.5)."""
    place, value = np.empty(order + 1, dtype=np.int64), np.empty(order + 1)
    mag = np.zeros(len(phase))
    for i in range(len(phase)):
        chain_terms(phase[i], knots, order, place, value)
        for a in range(order + 1):
            mag[i] += terms[place[a]] * value[a]
    return mag


FITS: dict[str, Fit] = {
    "harmonics": harmonics,
    "chain": chain,
    "gaussian process": gaussian_process,
    "spline": spline,
    "stretched": stretched,
}

# All but the slow one.
CHECKED = tuple(name for name in FITS if name != "gaussian process")


def judge(flux: np.ndarray, true: np.ndarray, c: float) -> dict[str, float]:
    """Compare a curve over the maximum of the true one with it, both on the grid with phase 0 at the deeper minimum."""
    flux = np.maximum(flux, LOWEST_FLUX)
    first, second = (_lowest(flux, bottom, REACH) for bottom in (0, 500))
    top, figures = flux.max(), np.full(10, np.nan)
    primary = first if flux[first] <= flux[second] else second
    start = _measure_curve(flux, primary, second if primary == first else first, figures)
    half = np.empty(501, dtype=np.float32)
    _normalise(flux, start, half)
    placed = embed(half[None, None], np.zeros(1), model=embedding_model()).c[0]
    return {
        "rms": float(np.sqrt(np.mean((scaled(flux) - scaled(true)) ** 2))),
        "depth1": float(2.5 * np.log10(top / flux[first]) + 2.5 * np.log10(true[0])),
        "depth2": float(2.5 * np.log10(top / flux[second]) + 2.5 * np.log10(true[500])),
        "c": float(placed - c),
        "above": float(2.5 * np.log10(top)),
    }


def scaled(flux: np.ndarray) -> np.ndarray:
    mag = np.log(flux)
    return np.asarray((mag - mag.min()) / (mag.max() - mag.min()))


def run_star(
    injected: Injected, star: int, mag: float, *, fits: Sequence[str] = tuple(FITS)
) -> dict[str, dict[str, float]]:
    """Fits of a star, and what the package measures; nothing for a star that cannot be measured."""
    curves, sky = observe(injected, np.array([star]), mag)
    cleaned = clean(curves, fold(curves.time, curves.offsets, sky.period, sky.folded_from), settings=CleaningSettings())
    shape = measure_shapes(cleaned.curves, cleaned.phase, fourier=FourierSettings())
    if np.isnan(shape.c[0]):
        return {}
    points = Points(cleaned.phase, cleaned.curves.mag, cleaned.curves.mag_err)
    true, zero = injected.flux[star], (sky.epoch[0] - sky.folded_from[0]) / sky.period[0]
    # Median magnitude of the star over its maximum.
    unit = 10.0 ** (0.4 * (mag - np.median(cleaned.curves.mag.astype(float))))
    results = {}
    for name in fits:
        begin = time.thread_time()
        flux = FITS[name](points, (GRID + zero) % 1.0)
        spent = time.thread_time() - begin
        results[name] = judge(flux / unit, true, float(injected.c[star])) | {"seconds": spent}
    from_deeper = (shape.phase_zero[0] - zero) % 1.0
    exchanged = abs(from_deeper - 0.5) < 0.25
    depths = [2.5 * np.log10(1.0 / true[at]) for at in ((500, 0) if exchanged else (0, 500))]
    errors = [float(shape.depth1[0] - depths[0]), float(shape.depth2[0] - depths[1])]
    results["measured"] = {
        "depth1": errors[1 if exchanged else 0],
        "depth2": errors[0 if exchanged else 1],
        "c": float(shape.c[0] - injected.c[star]),
    }
    return results


def run(
    injected: Injected, stars: int, threads: int, *, fits: Sequence[str] = tuple(FITS)
) -> dict[float, list[dict[str, dict[str, float]]]]:
    """Fits of all stars by magnitude."""
    with ThreadPoolExecutor(threads) as pool:
        return {
            mag: list(pool.map(lambda k, mag=mag: run_star(injected, k, mag, fits=fits), range(stars)))
            for mag in MAGNITUDES
        }


def row(found: list[dict[str, float]], detached: list[dict[str, float]]) -> dict[str, float]:
    """Figures of one fit over stars, and of its ringing over the detached ones."""

    def of(name: str, stars: list[dict[str, float]] = found) -> np.ndarray:
        return np.array([star.get(name, np.nan) for star in stars])

    def scatter(name: str) -> float:
        return float(1.4826 * np.median(np.abs(of(name) - np.median(of(name)))))

    ringing = of("above", detached)
    return {
        "stars": len(found),
        "rms": float(np.median(of("rms"))),
        "rms90": float(np.quantile(of("rms"), 0.9)),
        **{f"{d}_bias": float(np.median(of(d))) for d in ("depth1", "depth2")},
        **{f"{d}_scatter": scatter(d) for d in ("depth1", "depth2")},
        **{f"{d}_rms": float(np.sqrt(np.mean(of(d) ** 2))) for d in ("depth1", "depth2")},
        "c_bias": float(np.median(of("c"))),
        "c_error": float(np.median(np.abs(of("c")))),
        "c_far": float(100.0 * np.mean(np.abs(of("c")) > FAR)),
        "ringing": float(np.median(ringing)) if len(ringing) else np.nan,
        "ringing90": float(np.quantile(ringing, 0.9)) if len(ringing) else np.nan,
        "milliseconds": float(1e3 * np.median(of("seconds"))),
    }


def summary(injected: Injected, results: dict[float, list[dict[str, dict[str, float]]]]) -> dict[str, Any]:
    """Figures by class of the sum of radii, magnitude and fit."""
    radii = injected.radii[: max(len(found) for found in results.values())]
    detached = radii < CLASSES["detached"][1]
    table: dict[str, Any] = {}
    for sample, inside in classes(radii).items():
        table[sample] = {}
        for mag, found in results.items():
            table[sample][f"{mag:g}"] = {}
            for name in (*FITS, "measured"):
                known = [k for k in np.flatnonzero(inside) if name in found[k]]
                if known:
                    table[sample][f"{mag:g}"][name] = row(
                        [found[k][name] for k in known], [found[k][name] for k in known if detached[k]]
                    )
    return table


def tables(table: dict[str, Any]) -> Iterator[str]:
    """Print the figures."""
    for sample, by_mag in table.items():
        yield f"\n{sample}"
        yield (
            f"{'':20}{'':>4}{'':>6}{'rms of curve/1e-3':>18}{'d1 in mmag':>25}{'d2 in mmag':>25}"
            f"{'c in 1e-3':>16}{'far':>7}{'ringing/mmag':>15}{'ms':>9}"
        )
        yield (
            f"{'fit':20}{'I':>4}{'stars':>6}{'median':>10}{'90 %':>8}"
            + f"{'bias':>9}{'scatter':>8}{'rms':>8}" * 2
            + f"{'bias':>8}{'error':>8}{'%':>7}{'median':>8}{'90 %':>7}{'median':>9}"
        )
        for mag, rows in by_mag.items():
            for name, found in rows.items():
                yield line(name, mag, found)


def line(name: str, mag: str, found: dict[str, float]) -> str:
    depths = "".join(
        f"{1e3 * found[f'{d}_bias']:>9.2f}{1e3 * found[f'{d}_scatter']:>8.2f}{1e3 * found[f'{d}_rms']:>8.1f}"
        for d in ("depth1", "depth2")
    )
    text = (
        f"{name:20}{mag:>4}{found['stars']:>6}{1e3 * found['rms']:>10.2f}{1e3 * found['rms90']:>8.1f}{depths}"
        f"{1e3 * found['c_bias']:>8.2f}{1e3 * found['c_error']:>8.2f}{found['c_far']:>7.1f}"
        f"{1e3 * found['ringing']:>8.2f}{1e3 * found['ringing90']:>7.1f}{found['milliseconds']:>9.2f}"
    )
    return text.replace("nan", "  -")


def conclusion(table: dict[str, Any]) -> Iterator[str]:
    """Name the fit with the lowest figure of each kind, and the others as multiples of it."""
    yield "\nlowest figures, and those of the other fits over them"
    kinds = {
        "rms": "median rms of the curve",
        "depth1_rms": "rms of d1",
        "depth2_rms": "rms of d2",
        "c_error": "median error of c",
        "ringing": "median ringing",
    }
    for sample in ("all", *CLASSES):
        for key, what in kinds.items():
            if key == "ringing" and sample != "detached":
                continue
            for mag, rows in table[sample].items():
                figures = {name: found[key] for name, found in rows.items() if name in FITS}
                ordered = sorted(figures, key=figures.__getitem__)
                others = ", ".join(f"{name} {figures[name] / figures[ordered[0]]:.2f}" for name in ordered[1:])
                yield f"{sample}, {what}, I = {mag}: {ordered[0]}; {others}"


def check() -> int:
    """Fit the first stars again, without the slow fit; 1 if they differ from the committed ones."""
    wanted = json.loads((RESULTS / "curve_fits.json").read_text(encoding="utf-8"))
    if wanted["model"] != embedding_model().digest():
        print("DIFFERENT: the results belong to another model of c; run with --save")
        return 1
    injected = inject(N_DRAWN, os.cpu_count() or 1)
    differing = 0
    for mag in MAGNITUDES:
        for star, was in enumerate(wanted["first"][f"{mag:g}"]):
            now = without_times(run_star(injected, star, mag, fits=CHECKED))
            for name, figures in now.items():
                for key, value in figures.items():
                    if abs(value - was[name][key]) > 1e-3 * abs(was[name][key]) + 1e-5:
                        differing += 1
                        print(f"DIFFERENT: star {star} at I = {mag:g}: {name} {key} was {was[name][key]}, is {value}")
    print(f"{len(MAGNITUDES) * N_CHECKED} curves fitted again, {differing} numbers differ")
    return int(differing > 0)


def without_times(star: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {
        name: {key: float(f"{value:.6g}") for key, value in figures.items() if key != "seconds"}
        for name, figures in star.items()
    }


def measured_again(threads: int) -> dict[str, Any]:
    """Exchange what the package measures in the saved results."""
    saved: dict[str, Any] = json.loads((RESULTS / "curve_fits.json").read_text(encoding="utf-8"))
    injected = inject(N_DRAWN, threads)
    results = run(injected, saved["stars"], threads, fits=())
    for sample, by_mag in summary(injected, results).items():
        for mag, rows in by_mag.items():
            saved["summary"][sample][mag] |= rows
    for mag, found in results.items():
        for was, now in zip(saved["first"][f"{mag:g}"], found[:N_CHECKED], strict=True):
            was.update(without_times(now))
    return saved | {"model": embedding_model().digest()}


def markdown(table: dict[str, Any]) -> Iterator[str]:
    """Print the table of the documentation."""
    columns = [(sample, mag) for sample in ("detached", "contact") for mag in table["all"]]
    for key, what in (("rms", "curve, 0.001"), ("depth1_rms", "depth 1, mmag"), ("c_error", "c, 0.001")):
        yield f"| {what} | " + " | ".join(f"{sample}, I = {mag}" for sample, mag in columns) + " |"
        yield "|---" * (len(columns) + 1) + "|"
        for name in (*FITS, "measured"):
            cells = [1e3 * table[sample][mag][name][key] for sample, mag in columns]
            if cells[0] == cells[0]:
                yield f"| {name} | " + " | ".join(f"{value:.1f}" for value in cells) + " |"
        yield ""


def fitted(n: int, threads: int) -> dict[str, Any]:
    """Run it all."""
    injected = inject(N_DRAWN, threads)
    # Everything is compiled before it is timed.
    run_star(injected, 0, MAGNITUDES[0])
    results = run(injected, n, threads)
    return {
        "seed": SEED,
        "stars": n,
        "model": embedding_model().digest(),
        "summary": summary(injected, results),
        "first": {f"{mag:g}": [without_times(star) for star in found[:N_CHECKED]] for mag, found in results.items()},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=N_STARS)
    parser.add_argument("--threads", type=int, default=2)
    for option in ("--save", "--measured", "--check", "--markdown"):
        parser.add_argument(option, action="store_true")
    options = parser.parse_args()
    if options.check:
        return check()
    if options.markdown:
        saved = json.loads((RESULTS / "curve_fits.json").read_text(encoding="utf-8"))
        print("\n".join(markdown(saved["summary"])))
        return 0
    result = measured_again(options.threads) if options.measured else fitted(options.n, options.threads)
    lines = [
        (
            f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} processors, Python "
            f"{platform.python_version()}, numpy {np.__version__}; seed {SEED}, model of c {result['model'][:16]}"
        ),
        f"stretches of the phase: {', '.join(f'{width:g}' for width in STRETCHES)}",
        *tables(result["summary"]),
        *conclusion(result["summary"]),
    ]
    print("\n".join(lines))
    if options.save or options.measured:
        (RESULTS / "curve_fits.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        (RESULTS / "curve_fits.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
