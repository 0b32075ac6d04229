"""Time and memory of cleaning, periods, shapes and c for a whole survey, and ratios to what a user would take instead.

Usage: python benchmarks/morphology.py [--stars N] [--jobs N] [--peers N] [--output FILE]

Makes N simulated light curves of about 600 points with OGLE's cadence and noise, in batches that are not timed, and
measures them as `cbminer select` does. Beside it, on some of the same curves and in the same run: the LLE transform of
scikit-learn, the feature extraction of the light-curve package (``pip install light-curve``, which nothing else needs),
and a period search by nifty-ls with two harmonics.
"""

import argparse
import json
import os
import platform
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np

from cbminer.lightcurves.adoption import AdoptionSettings, adopt_periods
from cbminer.lightcurves.cleaning import CleaningSettings, clean
from cbminer.lightcurves.folding import fold
from cbminer.lightcurves.period_search import PeriodSearchSettings, spectrum
from cbminer.lightcurves.periods import PeriodSettings, PeriodVerdict, judge_periods
from cbminer.measurement import MeasurementSettings, StarTask, fit_curves, single_threaded_algebra
from cbminer.morphology.embedding import embed, embedding_model
from cbminer.morphology.fourier import FourierSettings
from cbminer.morphology.shape import measure_shapes
from cbminer.survey.packed import PackedLightCurves
from cbminer.synthetic.cadence import observe, seasonal_cadence
from cbminer.synthetic.passbands import standard_passband
from cbminer.synthetic.radii import RadiiSettings, draw_by_radii
from cbminer.synthetic.roche import RocheEngine
from cbminer.synthetic.sampling import SamplingSettings

RESULTS = Path(__file__).parent / "results" / "morphology.json"
N_STARS = 48_605
BATCH = 4_000
CHUNK = 250
N_SHAPES = 720
N_PEERS = 400
# Points and seasons of a star, and the depth that an eclipse of a catalogue has at least.
POINTS, SEASONS = 600, 7
LEAST_DEPTH = 0.08
# Share of stars whose listed period is none of the star's, so that they are searched for one.
WRONG_PERIODS = 0.002
TARGET_SECONDS, TARGET_BYTES = 120.0, 2e9


def shapes_of_curves(rng):
    """Magnitudes below maximum of eclipsing pairs on a grid of 1000 phases, deep enough for a catalogue."""
    pairs = draw_by_radii(N_SHAPES, settings=RadiiSettings(), rng=rng)
    engine = RocheEngine(passbands=(standard_passband("I"),), n_bands=24)
    half = engine.light_curves(pairs.systems, np.arange(501) / 1000.0)[:, 0]
    flux = np.concatenate([half, half[:, -2:0:-1]], axis=1)
    below = -2.5 * np.log10(flux / flux.max(axis=1, keepdims=True))
    return below[below.max(axis=1) > LEAST_DEPTH]


def batch(shapes, n, rng):
    """Packed light curves of n stars, their true and their listed periods."""
    sampling = SamplingSettings(seasons=SEASONS)
    cadences = [seasonal_cadence("LMC", sampling, rng=rng, n_points=POINTS).time_I for _ in range(40)]
    period = 10.0 ** rng.uniform(np.log10(0.3), 1.0, n)
    times, mags, errors = [], [], []
    for star in range(n):
        date = cadences[rng.integers(len(cadences))]
        phase = date / period[star] % 1.0
        shape = shapes[rng.integers(len(shapes))]
        below = np.interp(phase * 1000.0, np.arange(1001), np.append(shape, shape[0]))
        brightest = rng.uniform(15.0, 19.0)
        seen = observe(
            date,
            brightest + below,
            outliers=sampling.outliers,
            rng=rng,
            error_scale=sampling.error_scale,
            error_floor=sampling.error_floor,
        )
        times.append(seen.time)
        mags.append(seen.mag)
        errors.append(seen.mag_err)
    offsets = np.concatenate([[0], np.cumsum([len(item) for item in times])]).astype(np.int64)
    curves = PackedLightCurves(
        tuple(f"MOCK-{k}" for k in range(n)),
        offsets,
        np.concatenate(times),
        np.concatenate(mags).astype(np.float32),
        np.concatenate(errors).astype(np.float32),
    )
    listed = period * (1.0 + 1e-6 * period * rng.normal(size=n))
    wrong = rng.random(n) < WRONG_PERIODS
    return curves, np.where(wrong, 0.7345 * listed, listed)


def measure(curves, listed, jobs):
    """Measure a batch with threads; return what was measured of every star."""
    chunks = [np.arange(first, min(first + CHUNK, len(curves))) for first in range(0, len(curves), CHUNK)]

    def work(places):
        tasks = [StarTask(curves.stars[k], listed[k], np.nan) for k in places]
        fitted = fit_curves(curves.stars_at(places), tasks, settings=MeasurementSettings())
        return np.isfinite(fitted.shapes.c), fitted.periods.listed.verdict

    with single_threaded_algebra(), ThreadPoolExecutor(jobs) as pool:
        parts = list(pool.map(work, chunks))
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def stages(curves, listed):
    """Milliseconds a star of each stage, one thread."""
    times = {}

    def timed(name, call):
        start = time.perf_counter()
        result = call()
        times[name] = 1e3 * (time.perf_counter() - start) / len(curves)
        return result

    epoch = np.full(len(curves), 2450000.0)
    phase = timed("fold", lambda: fold(curves.time, curves.offsets, listed, epoch))
    cleaned = timed("clean", lambda: clean(curves, phase, settings=CleaningSettings()))
    timed("period: verdict and refinement", lambda: judge_periods(cleaned.curves, listed, settings=PeriodSettings()))
    timed("shape and c", lambda: measure_shapes(cleaned.curves, cleaned.phase, fourier=FourierSettings()))
    return times, cleaned


def peers(cleaned, listed):
    """Milliseconds a star of the peers and of our own parts on the same curves, one thread."""
    import light_curve
    from sklearn.manifold import LocallyLinearEmbedding

    curves, times = cleaned.curves, {}
    n = len(curves)
    rng = np.random.default_rng(1)
    model = embedding_model()
    training = (model.training @ model.basis + model.mean).astype(np.float64)
    full = np.concatenate([training[:, :0:-1], training[:, :-1]], axis=1)
    lle = LocallyLinearEmbedding(n_neighbors=int(model.neighbours[0]), n_components=3, random_state=0)
    lle.fit(full[rng.choice(len(full), 1500, replace=False)])
    # The transform's own cost: neighbours among all training curves, as ours.
    lle.nbrs_.fit(full)
    lle.embedding_ = np.resize(lle.embedding_, (len(full), 3))
    new = full[rng.choice(len(full), n)] + 0.002 * rng.normal(size=(n, 1000))
    half = new[:, None, 499:].astype(np.float32)
    half = np.concatenate([half, new[:, None, :1].astype(np.float32)], axis=2)[:, :, :501]

    def timed(name, call):
        call()
        start = time.perf_counter()
        call()
        times[name] = 1e3 * (time.perf_counter() - start) / n

    timed("scikit-learn LLE transform, one step", lambda: lle.transform(new))
    timed("our transform, both steps", lambda: embed(half, np.zeros(n), model=model))
    plain = light_curve.Extractor(
        light_curve.Amplitude(),
        light_curve.BeyondNStd(1.0),
        light_curve.Cusum(),
        light_curve.EtaE(),
        light_curve.InterPercentileRange(0.25),
        light_curve.Kurtosis(),
        light_curve.LinearFit(),
        light_curve.MedianAbsoluteDeviation(),
        light_curve.OtsuSplit(),
        light_curve.Skew(),
        light_curve.StandardDeviation(),
        light_curve.StetsonK(),
    )
    with_period = light_curve.Extractor(plain, light_curve.Periodogram(peaks=3, max_freq_factor=2.0))
    stars = []
    for k in range(n):
        points = curves.points_of(k)
        order = np.argsort(curves.time[points])
        stars.append(
            tuple(data[points][order].astype(np.float64) for data in (curves.time, curves.mag, curves.mag_err))
        )
    stars = [(t + 1e-7 * np.arange(len(t)), m, e) for t, m, e in stars]
    timed("light-curve, 12 features", lambda: [plain(t, m, e**-2, sorted=True) for t, m, e in stars])
    timed("light-curve, with periodogram", lambda: [with_period(t, m, e**-2, sorted=True) for t, m, e in stars])
    few = stars[: max(20, n // 10)]
    start = time.perf_counter()
    for t, m, e in few:
        spectrum(t, m, e, settings=PeriodSearchSettings())
    times["nifty-ls, two harmonics"] = 1e3 * (time.perf_counter() - start) / len(few)
    timed("our periods", lambda: judge_periods(curves, listed, settings=PeriodSettings()))
    phase = cleaned.phase
    timed("our shapes and c", lambda: measure_shapes(curves, phase, fourier=FourierSettings()))
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stars", type=int, default=N_STARS)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--peers", type=int, default=N_PEERS)
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    rng = np.random.default_rng(np.random.SeedSequence(48605))
    shapes = shapes_of_curves(rng)
    curves, listed = batch(shapes, max(given.peers, 100), rng)
    # The kernels are compiled once; later runs take them from numba's cache.
    measure(curves, listed, 1)
    adopt_periods(
        curves.stars_at(np.arange(2)),
        np.full(2, np.nan),
        settings=AdoptionSettings(),
        periods=PeriodSettings(),
        search=PeriodSearchSettings(),
    )
    with single_threaded_algebra():
        stage_times, cleaned = stages(curves, listed)
        peer_times = peers(cleaned, listed)
    seconds, n_points, n_c, searched = 0.0, 0, 0, 0
    for first in range(0, given.stars, BATCH):
        curves, listed = batch(shapes, min(BATCH, given.stars - first), rng)
        start = time.perf_counter()
        known, verdict = measure(curves, listed, given.jobs)
        seconds += time.perf_counter() - start
        n_points += len(curves.time)
        n_c += int(known.sum())
        searched += int((verdict == PeriodVerdict.REFUTED).sum())
        print(f"{first + len(curves):>7,} stars  {seconds:7.1f} s", file=sys.stderr)
    memory = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = {
        "stars": given.stars,
        "points_per_star": n_points / given.stars,
        "jobs": given.jobs,
        "seconds": seconds,
        "peak_memory_bytes": memory,
        "with_c": n_c,
        "searched": searched,
        "stages_ms": stage_times,
        "peers_ms": peer_times,
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "versions": {name: version(name) for name in ("scikit-learn", "light-curve", "nifty-ls", "numba", "numpy")},
    }
    for line in report(result):
        print(line)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(result, indent=2) + "\n")
    given.output.with_suffix(".txt").write_text("\n".join(report(result)) + "\n")


def report(result):
    """Lines of the result."""
    peer = result["peers_ms"]
    scale = N_STARS / result["stars"]
    yield (
        f"{result['stars']:,} stars of {result['points_per_star']:.0f} points, {result['jobs']} threads: "
        f"{result['seconds']:.1f} s, peak memory {result['peak_memory_bytes'] / 1e9:.2f} GB; "
        f"{result['with_c']:,} with c, {result['searched']:,} searched for a period"
    )
    fast = result["seconds"] * scale < TARGET_SECONDS and result["peak_memory_bytes"] < TARGET_BYTES
    yield f"target: {N_STARS:,} stars in under {TARGET_SECONDS:.0f} s and 2 GB: {'pass' if fast else 'FAIL'}"
    for name, value in result["stages_ms"].items():
        yield f"  {name:<40}{value:8.3f} ms a star, one thread"
    for theirs, ours in (
        ("scikit-learn LLE transform, one step", "our transform, both steps"),
        ("light-curve, 12 features", "our shapes and c"),
        ("light-curve, with periodogram", "our shapes and c"),
        ("nifty-ls, two harmonics", "our periods"),
    ):
        yield f"  {theirs:<38}{peer[theirs]:9.3f} ms, {ours} {peer[ours]:.3f} ms: {peer[theirs] / peer[ours]:.2f} x"
    yield f"  {result['machine']}; " + ", ".join(f"{name} {number}" for name, number in result["versions"].items())


if __name__ == "__main__":
    main()
