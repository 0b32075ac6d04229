"""Writing the catalogue of a survey in all formats, against the writers of astropy.

Usage: python benchmarks/catalogue.py [--stars 48605] [--judged FILE] [--seed 20261201] [--folder DIR]

The stars are those of a judged.ecsv of `cbminer select`, repeated under other names; without one, every column of the
schema is drawn at random, a fifth of the values unknown. This package writes them block by block in ECSV, FITS, VOTable
and machine-readable table; astropy writes one table that holds them all, in a process of its own for each format. Its
writer of machine-readable tables takes no columns of truth values and is left out. Time is that of the processor,
without what it takes to make the stars; memory is the most that the process holds, libraries included. The rows of both
in ECSV are compared byte by byte.
"""

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from astropy.table import MaskedColumn, QTable, Table, vstack

from cbminer.catalogue.schema import COLUMNS, conform
from cbminer.catalogue.writers import FORMATS, CatalogueTitle, plain_table, write_catalogue
from cbminer.columns import float_column, text_column
from cbminer.star_blocks import STARS_A_BLOCK, StarBlocks

TITLE = CatalogueTitle("Stars of a benchmark", "mock", "simulated", "benchmark")
UNKNOWN = 0.2
ASTROPY = {"ecsv": "ascii.ecsv", "fits": "fits", "vot": "votable"}


def drawn(n_stars: int, seed: int) -> QTable:
    """Draw every column of the schema at random."""
    rng = np.random.default_rng(seed)
    stars = QTable()
    for spec in COLUMNS:
        if spec.kind == "float":
            size = 10.0 ** rng.integers(0, 3)
            numbers = rng.normal(0.0, size, n_stars)
            stars[spec.name] = float_column(np.where(rng.random(n_stars) < UNKNOWN, np.nan, numbers), spec.unit)
        elif spec.kind == "text":
            texts = rng.choice(["", "C", "confirmed", "LMC505.22.1034", "equal depths: unequal minima"], n_stars)
            stars[spec.name] = text_column(texts.tolist())
        elif spec.kind == "integer":
            stars[spec.name] = rng.integers(0, 1000, n_stars)
        else:
            stars[spec.name] = rng.random(n_stars) < 0.5
    return stars


def repeated(given: argparse.Namespace) -> StarBlocks:
    """Repeat stars under other names, block by block."""
    few = QTable.read(given.judged, format="ascii.ecsv") if given.judged else drawn(STARS_A_BLOCK, given.seed)
    times = -(-STARS_A_BLOCK // len(few))
    many = vstack([few] * times, metadata_conflicts="silent")[:STARS_A_BLOCK]
    blocks = StarBlocks()
    for first in range(0, given.stars, STARS_A_BLOCK):
        block = many[: given.stars - first]
        block["id"] = text_column(f"MOCK-LMC-ECL-{first + row + 1:06d}" for row in range(len(block)))
        blocks.append(conform(block))
    return blocks


def write_blocks(given: argparse.Namespace, folder: Path) -> tuple[float, float]:
    """Write with this package; seconds and MB."""
    return measured(partial(write_catalogue, repeated(given), folder, "own", title=TITLE))


def write_table(given: argparse.Namespace, folder: Path, suffix: str) -> tuple[float, float]:
    """Write one format with astropy; seconds and MB."""
    table = repeated(given).read()
    path = folder / f"astropy.{suffix}"

    def write() -> None:
        plain = plain_table(table)
        plain.meta = dict(TITLE.lines) if suffix == "ecsv" else {}
        if suffix == "fits":
            filled = {name: c.filled("") if c.dtype.kind == "U" else c for name, c in plain.items()}
            plain = Table({name: MaskedColumn(column, unit=column.unit) for name, column in filled.items()})
        plain.write(path, format=ASTROPY[suffix])

    return measured(write)


def measured(write: Callable[[], object]) -> tuple[float, float]:
    begin = time.process_time()
    write()
    return time.process_time() - begin, memory()


def memory() -> float:
    """Most memory that this process has held so far, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def in_a_process(work: Callable[..., tuple[float, float]], *arguments: object) -> tuple[float, float]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def rows(path: Path) -> bytes:
    """Rows of a file in ECSV."""
    data = path.read_bytes()
    return data[data.index(b"\nid ") :]


def compare(given: argparse.Namespace, folder: Path) -> None:
    print(f"{'':<36}{'CPU s':>9}{'memory/MB':>12}{'file/MB':>9}")
    total, most = 0.0, 0.0
    for suffix in ASTROPY:
        seconds, peak = in_a_process(write_table, given, folder, suffix)
        total, most = total + seconds, max(most, peak)
        size = (folder / f"astropy.{suffix}").stat().st_size / 1e6
        print(f"{f'astropy, {suffix}':<36}{seconds:>9.2f}{peak:>12.0f}{size:>9.1f}", flush=True)
    seconds, peak = in_a_process(write_blocks, given, folder)
    size = sum((folder / f"own.{suffix}").stat().st_size for suffix in FORMATS) / 1e6
    print(f"{'cbminer, ' + ', '.join(FORMATS):<36}{seconds:>9.2f}{peak:>12.0f}{size:>9.1f}")
    print(f"\nastropy's three formats over cbminer's four: {total / seconds:.1f} times the time, ", end="")
    print(f"{most / peak:.1f} times the memory")
    same = rows(folder / "own.ecsv") == rows(folder / "astropy.ecsv")
    print(f"rows of the ECSV: {'the same bytes' if same else 'NOT THE SAME'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=48605)
    parser.add_argument("--judged", type=Path, help="judged.ecsv of a run; drawn stars by default")
    parser.add_argument("--seed", type=int, default=20261201)
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder of the system by default")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{given.stars:,} stars, {given.judged or f'drawn with seed {given.seed}'}\n")
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        compare(given, Path(folder))


if __name__ == "__main__":
    main()
