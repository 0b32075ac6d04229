"""Reading the light curves of a survey from the store, against reading the same as text files.

Usage: python benchmarks/store.py [--stars 48605] [--points 600] [--sample 2000] [--repeat 3] [--folder DIR]

Makes light curves of simulated contact binaries at OGLE's cadence, as text files and as phot.tar.gz in a temporary
folder (1.1 GB for all stars), takes them into a store, and reads them. The store is read whole, in chunks of 1,000
stars. Of the text files a sample is read with each reader that a user would pick, and its time scaled to all stars.
Every way of reading has a process of its own, and all files are in the memory of the system when it begins. What the
text readers find is compared with what the store holds.

numpy, astropy and this package's own parser are always there; pandas comes with ``pip install pandas``, and is left
out where it is missing.
"""

import argparse
import importlib
import importlib.metadata
import importlib.util
import multiprocessing
import os
import platform
import resource
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cbminer.survey.photometry_file import read_light_curve
from cbminer.survey.store import LightCurveStore
from cbminer.survey.store_writer import SourceFile, StoreWriter
from cbminer.survey.tarball import CurveMember, read_tarball
from cbminer.synthetic.cadence import observe, observing_times
from cbminer.synthetic.shapes import RocheShape, roche_shapes
from cbminer.synthetic.systems import BinarySystems

SEED = 20261124
CHUNK = 1000
SEASONS = 12
BULK = "phot.tar.gz"
N_SHAPES = 500


def contact_shapes(rng: np.random.Generator) -> list[RocheShape]:
    """Shapes of contact binaries, which the stars share."""
    return roche_shapes(
        BinarySystems.contact(
            rng.uniform(0.4, 1.0, N_SHAPES),
            rng.uniform(40.0, 86.0, N_SHAPES),
            fillout_factor=rng.uniform(0.01, 1.0, N_SHAPES),
            teff_1=25000.0,
        )
    )


def light_curve(shape: RocheShape, rng: np.random.Generator, n_points: int) -> bytes:
    """One light curve as OGLE writes it."""
    visits = observing_times("LMC", SEASONS, rng)
    times = np.sort(rng.choice(visits, min(n_points, len(visits)), replace=False))
    cycles = (times - times[0]) / rng.uniform(0.3, 3.0)
    points = observe(times, rng.uniform(14.5, 20.0) + shape.relative_magnitude(cycles, "I"), outliers=0.005, rng=rng)
    numbers = np.column_stack([points.time, points.mag, points.mag_err]).ravel().tolist()
    return (("%13.5f %6.3f %5.3f\n" * len(times)) % tuple(numbers)).encode("ascii")


def make_files(root: Path, n_stars: int, n_points: int) -> None:
    rng = np.random.default_rng(SEED)
    shapes = contact_shapes(rng)
    folder = root / "phot" / "I"
    folder.mkdir(parents=True)
    for number in range(n_stars):
        path = folder / f"OGLE-LMC-ECL-{number + 1:05d}.dat"
        path.write_bytes(light_curve(shapes[number % N_SHAPES], rng, round(rng.normal(n_points, n_points / 10))))
    with tarfile.open(root / BULK, "w:gz", compresslevel=6) as tar:
        for path in text_files(root):
            tar.add(path, arcname=f"phot/I/{path.name}")


def text_files(root: Path) -> list[Path]:
    return sorted((root / "phot" / "I").iterdir())


@dataclass(frozen=True)
class Measured:
    """The best time of several, what was found, and memory of the process in MB before and at most."""

    seconds: float
    found: Any
    before: float
    peak: float


def measure(work: Callable[..., Any], *arguments: Any, repeat: int = 1) -> Measured:
    """Time some work in a process of its own, when the system has nothing more to write."""
    if hasattr(os, "sync"):
        os.sync()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, work, arguments, repeat).result()


def _measured(work: Callable[..., Any], arguments: tuple[Any, ...], repeat: int) -> Measured:
    before, seconds, found = memory(), [], None
    for _ in range(repeat):
        begin = time.perf_counter()
        found = work(*arguments)
        seconds.append(time.perf_counter() - begin)
    return Measured(min(seconds), found, before, memory())


def memory() -> float:
    """Most memory that this process has held so far, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def build_from_files(root: Path, store: Path) -> None:
    with StoreWriter(store) as writer:
        for path in text_files(root):
            writer.add(SourceFile(path.stem, "I", path.read_bytes()))


def build_from_tarball(root: Path, store: Path) -> None:
    with StoreWriter(store) as writer:
        for member in read_tarball(root / BULK):
            if isinstance(member, CurveMember):
                writer.add(SourceFile(member.star, member.band, member.data))


def open_store(folder: Path) -> int:
    return len(LightCurveStore(folder))


def read_one(folder: Path) -> int:
    """Open the store and read one star, as a command does that looks at one."""
    store = LightCurveStore(folder)
    return len(store.read([f"OGLE-LMC-ECL-{len(store) // 2:05d}"]).curves.time)


def read_store(folder: Path, threads: int) -> tuple[int, float]:
    store = LightCurveStore(folder)
    stars = store.stars()
    chunks = [stars[first : first + CHUNK] for first in range(0, len(stars), CHUNK)]

    def read(chunk: list[str]) -> tuple[int, float]:
        curves = store.read(chunk).curves
        return len(curves.time), float(curves.mag.sum(dtype=float))

    if threads == 1:
        found = [read(chunk) for chunk in chunks]
    else:
        with ThreadPoolExecutor(threads) as pool:
            found = list(pool.map(read, chunks))
    return sum(points for points, _ in found), sum(total for _, total in found)


def read_scattered(folder: Path) -> int:
    """Read a thousand stars that lie all over the store."""
    store = LightCurveStore(folder)
    stars = np.random.default_rng(SEED).choice(store.stars(), min(CHUNK, len(store)), replace=False)
    return len(store.read(stars.tolist()).curves.time)


def sum_of(folder: Path, stars: list[str]) -> tuple[int, float]:
    curves = LightCurveStore(folder).read(stars).curves
    return len(curves.time), float(curves.mag.sum(dtype=float))


def read_texts(paths: list[Path], reader: str) -> tuple[int, float]:
    read = READERS[reader]()
    points, total = 0, 0.0
    for path in paths:
        mag = read(path)
        points += len(mag)
        total += float(mag.astype(np.float32).sum(dtype=float))
    return points, total


def _numpy() -> Callable[[Path], Any]:
    return lambda path: np.loadtxt(path)[:, 1]


def _pandas() -> Callable[[Path], Any]:
    read = importlib.import_module("pandas").read_csv
    return lambda path: read(path, sep=r"\s+", header=None, names=["time", "mag", "mag_err"])["mag"].to_numpy()


def _astropy() -> Callable[[Path], Any]:
    read = importlib.import_module("astropy.io.ascii").read
    return lambda path: read(path, format="fast_no_header", delimiter=" ", guess=False)["col2"].data


def _own() -> Callable[[Path], Any]:
    return lambda path: read_light_curve(path).mag


READERS: dict[str, Callable[[], Callable[[Path], Any]]] = {
    "numpy.loadtxt": _numpy,
    "pandas.read_csv": _pandas,
    "astropy.io.ascii, fast reader": _astropy,
    "cbminer's reader of text": _own,
}


def machine() -> str:
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text(encoding="utf-8").splitlines() if cpu.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), platform.processor())
    found = [name for name in ("cbminer", "numpy", "pandas", "astropy", "pyarrow") if importlib.util.find_spec(name)]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in found)
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


def gain_of_threads(threads: int) -> float:
    """Tell how much faster threads compute than one does: cores of a virtual machine may share one of the real ones."""
    data = bytes(1 << 24)

    def seconds(workers: int) -> float:
        begin = time.perf_counter()
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(zlib.crc32, [data] * 8 * threads))
        return time.perf_counter() - begin

    return min(seconds(1) for _ in range(3)) / min(seconds(threads) for _ in range(3))


def sizes(root: Path, store: Path) -> Iterator[str]:
    text = sum(path.stat().st_size for path in text_files(root))
    packed = (root / BULK).stat().st_size
    kept = sum(path.stat().st_size for path in store.iterdir())
    yield f"{'size':<36}{'MB':>9}{'of text':>9}"
    for name, size in (("text files", text), (BULK, packed), ("store", kept)):
        yield f"{name:<36}{size / 1e6:>9.1f}{size / text:>9.3f}"


def compare(root: Path, given: argparse.Namespace) -> Iterator[str]:
    store = root / "store"
    text = sum(path.stat().st_size for path in text_files(root)) / 1e6
    yield f"{'by a new process':<36}{'s':>9}{'MB/s':>9}{'memory/MB':>12}"
    for name, build in (("build from phot.tar.gz", build_from_tarball), ("build from text files", build_from_files)):
        done = measure(build, root, store if build is build_from_files else root / "other")
        yield f"{name:<36}{done.seconds:>9.2f}{text / done.seconds:>9.0f}{done.peak:>12.0f}"
    for name, work in ONCE.items():
        yield f"{name:<36}{min(measure(work, store).seconds for _ in range(given.repeat)):>9.3f}"
    done = measure(read_scattered, store, repeat=given.repeat)
    yield f"{'1,000 stars from all over the store':<36}{done.seconds:>9.2f}{'':>9}{done.peak:>12.0f}"
    yield ""
    yield f"{'all light curves':<36}{'s':>9}{'MB/s':>9}{'memory/MB':>12}{'ratio':>8}"
    whole = None
    for threads in sorted({1, os.cpu_count() or 1}):
        done = measure(read_store, store, threads, repeat=given.repeat)
        whole = whole or done
        yield line(f"store, {threads} thread{'s' * (threads > 1)}", text, done, done.seconds, whole.seconds)
    yield from compare_texts(root, store, text, whole.seconds, given)
    yield f"memory of a process before it reads: {whole.before:.0f} MB; points: {whole.found[0]:,}"
    cores = os.cpu_count() or 1
    yield f"{cores} threads compute {gain_of_threads(cores):.2f} times as fast on this machine as one does"


ONCE = {"open the store": open_store, "open the store and read one star": read_one}


def compare_texts(root: Path, store: Path, text: float, whole: float, given: argparse.Namespace) -> Iterator[str]:
    paths = text_files(root)
    sample = paths[:: max(1, len(paths) // given.sample)]
    wanted = sum_of(store, [path.stem for path in sample])
    for name in READERS:
        if name.startswith("pandas") and not importlib.util.find_spec("pandas"):
            yield f"{name}: pandas is not installed (pip install pandas)"
            continue
        done = measure(read_texts, sample, name, repeat=given.repeat)
        if done.found[0] != wanted[0] or abs(done.found[1] - wanted[1]) > 1e-9 * wanted[1]:
            msg = f"{name} found {done.found}, the store holds {wanted}"
            raise RuntimeError(msg)
        yield line(f"{name} *", text, done, done.seconds * len(paths) / len(sample), whole)
    yield f"* {len(sample):,} of {len(paths):,} files read, one after the other; the time is scaled to all of them"


def line(name: str, text: float, done: Measured, seconds: float, whole: float) -> str:
    return f"{name:<36}{seconds:>9.2f}{text / seconds:>9.0f}{done.peak:>12.0f}{seconds / whole:>8.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=48605)
    parser.add_argument("--points", type=int, default=600, help="points of a light curve, on average")
    parser.add_argument("--sample", type=int, default=2000, help="text files that each reader reads")
    parser.add_argument("--repeat", type=int, default=3, help="times that each way is tried; the best one counts")
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder of the system by default")
    given = parser.parse_args()
    print(machine())
    print(f"{given.stars:,} stars of about {given.points} points, seed {SEED}, best of {given.repeat}; MB/s of text\n")
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        root = Path(folder)
        make_files(root, given.stars, given.points)
        for text in compare(root, given):
            print(text, flush=True)
        print()
        for text in sizes(root, root / "store"):
            print(text)


if __name__ == "__main__":
    main()
