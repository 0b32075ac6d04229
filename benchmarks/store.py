"""Reading the light curves of a survey from the store, against reading the same as text files.

Usage: python benchmarks/store.py [--stars 48605] [--points 600] [--sample 2000] [--folder DIR]

Makes light curves of an OGLE-like cadence in a temporary folder, takes them into a store, and reads them: the store
whole, in chunks of 1,000 stars; the text files a sample of them, drawn evenly, with each reader that a user would
pick. Prints seconds for all stars (those of the sample scaled up, and said so), ratios to the store, and sizes.

numpy is always there, astropy too; pandas comes with `pip install pandas` and is left out where it is missing.
"""

import argparse
import gzip
import importlib
import importlib.metadata
import io
import os
import platform
import resource
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from astropy.io import ascii as astropy_ascii

from cbminer.survey.photometry_file import read_light_curve
from cbminer.survey.store import LightCurveStore
from cbminer.survey.store_writer import SourceFile, StoreWriter

SEED = 20261124
CHUNK = 1000


def light_curve(generator: np.random.Generator, n_points: int) -> bytes:
    """One light curve as OGLE writes it: seasons of eight months, a night every two days or so."""
    nights = np.sort(generator.choice(5 * 365, size=n_points, replace=False))
    time_of_night = generator.uniform(0.5, 0.9, n_points)
    base, error = generator.uniform(14, 20), generator.uniform(0.004, 0.08)
    magnitude = base + 0.3 * np.cos(2 * np.pi * nights / 0.77) + generator.normal(0, error, n_points)
    errors = error * generator.uniform(0.8, 1.4, n_points)
    rows = zip(2455260.0 + nights + time_of_night, magnitude, errors, strict=True)
    return b"".join(b"%13.5f %6.3f %5.3f\n" % row for row in rows)


def make_files(folder: Path, n_stars: int, n_points: int) -> list[Path]:
    """Write the light curves, if an earlier call did not."""
    generator = np.random.default_rng(SEED)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(n_stars):
        path = folder / f"OGLE-LMC-ECL-{number + 1:05d}.dat"
        path.write_bytes(light_curve(generator, int(generator.normal(n_points, n_points / 10))))
        paths.append(path)
    return paths


def build(folder: Path, paths: Iterable[Path]) -> None:
    with StoreWriter(folder) as writer:
        for path in paths:
            writer.add(SourceFile(path.stem, "I", path.read_bytes()))


def read_store(folder: Path) -> int:
    store = LightCurveStore(folder)
    stars = store.stars()
    chunks = (stars[first : first + CHUNK] for first in range(0, len(stars), CHUNK))
    return sum(len(store.read(chunk).curves.time) for chunk in chunks)


def read_each(paths: Iterable[Path], read: Callable[[Path], int]) -> int:
    return sum(read(path) for path in paths)


def text_readers() -> dict[str, Callable[[Path], int]]:
    """Ways to read one text file, each giving the number of its points."""
    readers: dict[str, Callable[[Path], int]] = {
        "numpy.loadtxt": lambda path: len(np.loadtxt(path)),
        "astropy.io.ascii, fast reader": lambda path: len(
            astropy_ascii.read(path, format="fast_no_header", delimiter=" ", guess=False)
        ),
        "cbminer's parser of text": lambda path: len(read_light_curve(path)),
    }
    try:
        pandas = importlib.import_module("pandas")
    except ImportError:
        print("pandas is not installed: left out")
    else:
        readers["pandas.read_csv"] = lambda path: len(pandas.read_csv(path, sep=r"\s+", header=None, engine="c"))
    return readers


def timed(work: Callable[[], int]) -> tuple[float, int]:
    begin = time.perf_counter()
    count = work()
    return time.perf_counter() - begin, count


def packed_size(paths: Iterable[Path]) -> int:
    """Bytes of the files in one tar file packed with gzip, as the survey's server offers them."""
    counter = io.BytesIO()
    total = 0
    with (
        gzip.GzipFile(fileobj=counter, mode="wb", compresslevel=6) as stream,
        tarfile.open(fileobj=stream, mode="w|") as tar,
    ):
        for path in paths:
            tar.add(path, arcname=f"phot/I/{path.name}")
            total += counter.tell()
            counter.seek(0)
            counter.truncate()
    return total + counter.tell()


def machine() -> str:
    model = next((line.split(":")[1].strip() for line in _lines(Path("/proc/cpuinfo")) if "model name" in line), "")
    names = ("cbminer", "numpy", "astropy", "pandas", "pyarrow")
    versions = []
    for name in names:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return f"{model or platform.processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, " + ", ".join(
        versions
    )


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def compare(root: Path, n_stars: int, n_points: int, n_sample: int) -> None:
    paths = make_files(root / "text", n_stars, n_points)
    text = sum(path.stat().st_size for path in paths)
    store = root / "store"
    seconds, _ = timed(lambda: build(store, paths) or 0)
    print(f"build the store          {seconds:9.2f} s   once")
    seconds, _ = timed(lambda: len(LightCurveStore(store)))
    print(f"open it                  {1000 * seconds:9.2f} ms")
    whole, points = min(timed(lambda: read_store(store)) for _ in range(3))
    print(f"read {n_stars:,} light curves, {points:,} points\n")
    print(f"{'way':<32}{'all stars / s':>14}{'ratio':>9}")
    print(f"{'store, opened and read whole':<32}{whole:>14.2f}{1.0:>9.1f}")
    sample = paths[:: max(1, n_stars // n_sample)]
    for name, read in text_readers().items():
        read(sample[0])
        seconds = min(timed(lambda read=read: read_each(sample, read))[0] for _ in range(2)) * n_stars / len(sample)
        print(f"{name:<32}{seconds:>14.2f}{seconds / whole:>9.1f}")
    print(f"(text: {len(sample):,} files read, their time scaled to {n_stars:,})\n")
    packed = packed_size(paths)
    size = LightCurveStore(store).size + (store / "index").stat().st_size
    print(f"text {text / 1e6:.1f} MB, tar.gz {packed / 1e6:.1f} MB ({packed / text:.3f}), ", end="")
    print(f"store {size / 1e6:.1f} MB ({size / text:.3f} of the text)")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=48605)
    parser.add_argument("--points", type=int, default=600)
    parser.add_argument("--sample", type=int, default=2000, help="text files that each reader reads")
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary folder")
    given = parser.parse_args()
    print(machine())
    print(f"{given.stars:,} stars, about {given.points} points each, seed {SEED}; times are the best of several\n")
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        compare(Path(folder), given.stars, given.points, given.sample)


if __name__ == "__main__":
    main()
