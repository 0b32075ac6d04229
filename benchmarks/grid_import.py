"""Import of MESA runs against mesa_reader, and the query of a population's density.

Usage: python benchmarks/grid_import.py RUNS [--n N] [--jobs N] [--grid GRID] [--stars N] [--check]

RUNS is a folder of real MESA runs (https://github.com/matthiasfabry); as many copies of them as are asked for (200
histories by default) are made in a folder that is removed afterwards. Import reads, checks, hashes, matches the rows
of the three histories, and writes the grid; mesa_reader (pip install mesa_reader) only reads them, in one process.
Both read the same files, which are in the memory of the system, in the same run. Then the density of the embedded
grid's contact population is asked for stars with errors of their own. --check imports ten histories and compares with
the kept counts of steps, without times.
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

from cbminer.theory.grid_import import find_runs, import_runs
from cbminer.theory.mesa_run import history_files

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
        assert again.n_read == 0
        _, found["mesa_reader"] = timed(lambda: read_with_mesa_reader(place))
    return found


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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    found = compare(given)
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
