"""Making a labelled library of light curves with the Roche engine: time, peak memory, size.

Usage: python benchmarks/library.py [--n 100000] [--phases 200] [--threads 2] [--check]

Draws a library of binaries and of what is mistaken for them, in I and V, into a temporary folder, and prints what it
cost. Memory is that of this process at its peak, after the first chunk of 1,000 rows and at the end: what a chunk
needs, and not what the library needs. ``--check`` only compares the first rows with the figures in results/library.txt,
in seconds: rows of one seed do not change unless the generator's version does.
"""

import argparse
import os
import platform
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numba
import numpy as np

from cbminer.synthetic.library import GENERATOR_VERSION, KINDS, LibrarySettings, draw_chunk, write_library

SEED = 20261124
RESULTS = Path(__file__).parent / "results" / "library.txt"
N_SHOWN = 8


def peak_memory() -> float:
    """Peak of the resident memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def first_rows(settings: LibrarySettings) -> list[str]:
    """Label, period and depths of the first rows, to see that they stay the same."""
    chunk = draw_chunk(0, settings=settings, seed=SEED, threads=os.cpu_count() or 1)
    return [
        f"row {row} {KINDS[chunk.kinds[row]]:14s} P {chunk.truth['period'][row]:.5f} d  depths in I "
        f"{chunk.truth['depth1_I'][row]:.4f} {chunk.truth['depth2_I'][row]:.4f}  W {chunk.truth['W'][row]:+.4f}"
        for row in range(N_SHOWN)
    ]


def check(settings: LibrarySettings) -> int:
    """Compare the first rows with the committed ones; 1 if they differ."""
    wanted = [line for line in RESULTS.read_text().splitlines() if line.startswith("row ")]
    found = first_rows(settings)
    for was, now in zip(wanted, found, strict=True):
        print("same     " if was == now else "DIFFERENT", now)
    return int(wanted != found)


def measure(n: int, settings: LibrarySettings, threads: int) -> list[str]:
    """Make a library and say what it cost."""
    peaks: list[float] = []
    draw_chunk(0, settings=settings.model_copy(update={"n_bands": 6}), seed=SEED)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "library.parquet"
        start, cpu = time.perf_counter(), time.process_time()
        write_library(
            path,
            n,
            settings=settings,
            seed=SEED,
            threads=threads,
            progress=lambda _rows: peaks.append(peak_memory()),
        )
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        size = path.stat().st_size
    return [
        f"{n:,} curves of {settings.phases} phases in I and V, {settings.n_bands} bands of cells, {threads} threads",
        (
            f"{wall:.1f} s ({wall / 60:.1f} min) of wall clock, {cpu:.1f} s of CPU time: {n / wall:.0f} curves/s, "
            f"{1e3 * cpu / n:.2f} ms of CPU time a curve"
        ),
        f"peak memory {peaks[0]:.0f} MB after the first chunk, {peaks[-1]:.0f} MB at the end; file {size / 1e6:.0f} MB",
    ]


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--phases", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    settings = LibrarySettings(phases=options.phases)
    if options.check:
        return check(settings)
    lines = [
        (
            f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} processors, Python "
            f"{platform.python_version()}, numpy {np.__version__}, numba {numba.__version__}"
        ),
        f"generator {GENERATOR_VERSION}, seed {SEED}",
        *measure(options.n, settings, options.threads),
        *first_rows(settings),
    ]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
