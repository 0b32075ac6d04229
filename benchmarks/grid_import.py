"""Import of MESA runs against mesa_reader, and the query of a population's density.

Usage: python benchmarks/grid_import.py RUNS [--n N] [--jobs N] [--stars N]

RUNS is a folder of real MESA runs, such as those that Fabry et al. (2022, 2025) publish; as many copies of them as are
asked for (200 histories by default) are made in a folder that is removed afterwards. Import reads, checks, hashes,
matches the rows of the three histories, and writes the grid; mesa_reader (pip install mesa_reader) only reads them, in
one process. Both read the same files, which are in the memory of the system, in the same run. Then the density of the
shipped grid's contact population of the LMC is asked for stars with errors of their own.
"""

import argparse
import io
import json
import platform
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from cbminer.resources import grid_path
from cbminer.theory.grid import read_grid
from cbminer.theory.grid_import import import_runs
from cbminer.theory.mesa_folders import find_runs
from cbminer.theory.mesa_run import history_files
from cbminer.theory.phases import Phase
from cbminer.theory.population import make_population

RESULTS = Path(__file__).parent / "results" / "grid_import.json"


def binary_runs(root):
    """Runs of the folder that can be imported, with their histories."""
    with tempfile.TemporaryDirectory() as work:
        skipped = {item.run for item in import_runs(root, Path(work) / "grid", jobs=1).skipped}
    return {name: list(history_files(root / name).values()) for name in find_runs(root) if name not in skipped}


def copy_runs(root, runs, place, n_histories):
    """Copy runs in turn until there are so many histories; return their number and bytes."""
    count = size = number = 0
    names = list(runs)
    while count < n_histories:
        name = names[number % len(names)]
        shutil.copytree(root / name, place / f"{number:04d}")
        count += len(runs[name])
        size += sum(path.stat().st_size for path in runs[name])
        number += 1
    return number, count, size


def read_with_mesa_reader(place):
    """Read every history as mesa_reader does, and touch a column."""
    import mesa_reader

    rows = 0
    for path in sorted(place.rglob("*history.data")):
        rows += len(mesa_reader.MesaData(str(path)).model_number)
    return rows


def timed(work):
    """Result and seconds of a call."""
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def compare(given):
    """Import and read the same copies."""
    runs = binary_runs(given.runs)
    with tempfile.TemporaryDirectory(prefix="cbminer-grid-import-") as work:
        place = Path(work) / "runs"
        n_runs, n_histories, size = copy_runs(given.runs, runs, place, given.n)
        # Both find the files in memory.
        for path in place.rglob("*history.data"):
            path.read_bytes()
        found = {"runs": n_runs, "histories": n_histories, "bytes": size, "jobs": given.jobs}
        for jobs in sorted({1, given.jobs}):
            report, found[f"import_{jobs}"] = timed(
                lambda jobs=jobs: import_runs(place, Path(work) / f"grid{jobs}", jobs=jobs, strict=True)
            )
        found["steps"] = report.n_steps
        grid = Path(work) / f"grid{given.jobs}"
        found["grid_bytes"] = sum(path.stat().st_size for path in grid.iterdir())
        again, found["again"] = timed(lambda: import_runs(place, grid, jobs=given.jobs))
        if again.n_read:
            sys.exit(f"{again.n_read} runs were read again although nothing had changed")
        _, found["mesa_reader"] = timed(lambda: read_with_mesa_reader(place))
    return found


def ask_density(n_stars):
    """Seconds to open the shipped grid, to make its density, and to ask it for stars of different errors."""
    grid, opening = timed(lambda: read_grid(grid_path("roche-sse/lmc/runs.parquet").parent))
    density, making = timed(lambda: make_population(grid, "LMC").density(Phase.CONTACT))
    rng = np.random.default_rng(1)
    stars = density.draw(n_stars, seed=1).T
    errors = {"e_M_V": rng.uniform(0.05, 0.3, n_stars), "e_VI0": rng.uniform(0.02, 0.1, n_stars)}
    # The first call compiles.
    density.at(*(column[:10] for column in stars), **{name: error[:10] for name, error in errors.items()})
    found, asking = timed(lambda: density.at(*stars, **errors))
    if not np.all(np.isfinite(found)):
        sys.exit("the density is unknown at some of the stars")
    return {"stars": n_stars, "opening": opening, "making": making, "asking": asking}


def report(kept):
    """Lines of the table."""
    size = kept["bytes"] / 1e6
    yield f"{kept['made']}, {kept['machine']}"
    yield f"{kept['histories']} histories of {kept['runs']} runs, {size:.0f} MB, {kept['steps']} steps"
    yield f"{'':<44}{'s':>8}{'MB/s':>8}{'ratio':>8}"
    peer = kept["mesa_reader"]
    rows = {"mesa_reader, reading alone, one process": peer}
    rows |= {f"import, {jobs} process(es)": kept[f"import_{jobs}"] for jobs in sorted({1, kept["jobs"]})}
    rows["import again, nothing new"] = kept["again"]
    for name, seconds in rows.items():
        yield f"{name:<44}{seconds:>8.1f}{size / seconds:>8.1f}{peer / seconds:>8.1f}"
    yield f"grid: {kept['grid_bytes'] / 1e6:.1f} MB"
    asked = kept["density"]
    yield f"shipped grid: opened in {asked['opening']:.2f} s, its contact density made in {asked['making']:.2f} s"
    yield f"density of {asked['stars']:,} stars with errors of their own: {asked['asking']:.2f} s"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--stars", type=int, default=50000)
    given = parser.parse_args()
    found = compare(given)
    found["density"] = ask_density(given.stars)
    found |= {"made": datetime.now(UTC).date().isoformat()}
    found["machine"] = f"{platform.machine()}, Python {platform.python_version()}"
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    text = io.StringIO()
    for line in report(found):
        print(line)
        print(line, file=text)
    RESULTS.with_suffix(".txt").write_text(text.getvalue())


if __name__ == "__main__":
    sys.exit(main())
