"""`cbminer select` on simulated surveys of 1,000 to 200,000 stars: time, memory, where they go, and a peer.

Usage: python benchmarks/full_survey.py [--stars N ...] [--jobs N ...] [--engine threads|dask] [--cache DIR]
                                        [--peer] [--write]
       python benchmarks/full_survey.py --check | --markdown

Surveys of both Clouds are made by benchmarks/repeated_survey.py, read and taken into the store, none of which is timed;
in DIR they are found again. 48,605 stars are as many as OGLE-IV lists, with some 30 million points in I, and take ten
minutes to be made; 200,000 stars are these four times under other names. Then `cbminer select --galaxy both` runs in a
process of its own, held to as many cores as it has workers: from the start of Python to the end of the report page,
ranking included, fits excluded. A short run before lets numba compile what is not compiled yet. No run finds anything
that an earlier one has measured. Runs with different numbers of workers must write the same catalogues.

--peer also runs benchmarks/straightforward.py on the smallest of the surveys; it needs pandas and scikit-learn (pip
install pandas scikit-learn). --engine dask needs pip install "cbminer[scale]". The memory of all processes together is
sampled ten times a second, with pages that they share counted for each. --write keeps the results in
results/full_survey.json, beside those of other sizes that were had on the same machine, and puts the tables into
benchmarks/README.md. --check runs the smallest survey of the kept results once more and compares what is selected;
--markdown prints the kept tables.
"""

import argparse
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from full_survey_table import RESULTS, fill_in, keep, tables
from repeated_survey import make_survey, take_in

HERE = Path(__file__).parent
STARS = (1000, 10000, 48605, 200000)
WARM_UP = 60
INTERVAL = 0.1
CATALOGUES = ("judged.ecsv", "candidates.ecsv")


def tree_memory(process):
    """Resident memory in MB of a process and of all that it has started; pages that they share count for each."""
    total, waiting = 0, [process]
    while waiting:
        place = Path("/proc") / str(waiting.pop())
        try:
            total += int((place / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            waiting += [
                child for task in (place / "task").iterdir() for child in (task / "children").read_text().split()
            ]
        except (OSError, IndexError):
            # Ended in the meantime.
            continue
    return total / 1e6


def run_command(command, log):
    """Run a command to its end; seconds of the clock and of the processors, and memory of all its processes."""
    before, begin, together = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter(), 0.0
    with log.open("w") as output:
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)  # noqa: S603 - our own scripts
        while child.poll() is None:
            together = max(together, tree_memory(child.pid))
            time.sleep(INTERVAL)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    if child.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with {child.returncode}:\n{log.read_text()[-2000:]}")
    cpu = sum(getattr(after, name) - getattr(before, name) for name in ("ru_utime", "ru_stime"))
    return {"wall": wall, "cpu": cpu, "together": together}


def run_select(archive, cache, jobs, engine=None):
    """Run the selection once, and tell what it cost and what it found."""
    shutil.rmtree(cache / "unfinished", ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="cbminer-full-survey-") as work:
        out, report = Path(work) / "run", Path(work) / "report.json"
        options = ["--galaxy", "both", "--archive", archive, "--cache", cache, "--out", out, "--jobs", str(jobs)]
        options += ["--engine", engine] if engine else []
        script = [sys.executable, HERE / "measured_select.py", report, str(jobs)]
        found = run_command([*script, *options], Path(work) / "log") | json.loads(report.read_text())
        counts = json.loads((out / "provenance.json").read_text())["counts"]
        hashes = [hashlib.sha256((out / name).read_bytes()).hexdigest() for name in CATALOGUES]
    found["candidates"] = {galaxy: counts[galaxy]["candidates"] for galaxy in counts}
    return found | {"jobs": jobs, "engine": engine or "threads", "catalogues": hashes}


def run_peer(archive, workers):
    """Run the straightforward script once."""
    with tempfile.TemporaryDirectory(prefix="cbminer-full-survey-") as work:
        log = Path(work) / "log"
        script = [sys.executable, HERE / "straightforward.py", archive, Path(work) / "out"]
        found = run_command([*script, "--workers", str(workers)], log)
        return found | json.loads(log.read_text().splitlines()[-1]) | {"jobs": workers}


def measure_survey(n_stars, given, cache):
    """Make a survey and run the selection with each number of workers."""
    archive = make_survey(n_stars, cache)
    begin = time.perf_counter()
    survey, runs = {"stars": n_stars, "curves": take_in(archive, cache)}, []
    print(f"{n_stars:,} stars: brought to the store in {time.perf_counter() - begin:.1f} s, which is not counted")
    for jobs in given.jobs:
        found = run_select(archive, cache, jobs, given.engine) | {"stars": n_stars}
        print(f"{n_stars:,} stars, {jobs} worker(s): {found['wall']:.1f} s, {found['peak']:.0f} MB", flush=True)
        runs.append(found)
    if len({tuple(run["catalogues"]) for run in runs}) > 1:
        sys.exit(f"catalogues of {n_stars:,} stars differ with the number of workers")
    return survey, runs


def warm_up(cache):
    """Have all kernels compiled and kept."""
    archive = make_survey(WARM_UP, cache)
    take_in(archive, cache)
    run_select(archive, cache, 1)


def check(cache):
    """Select from the smallest of the kept surveys again; what is found must be what was found."""
    kept = json.loads(RESULTS.read_text())
    first = min(kept["runs"], key=lambda run: run["stars"])
    archive = make_survey(first["stars"], cache)
    take_in(archive, cache)
    found = run_select(archive, cache, os.cpu_count() or 1)["candidates"]
    if found != first["candidates"]:
        sys.exit(f"{first['stars']:,} stars: {found} candidates, {first['candidates']} in {RESULTS}")
    print(f"{first['stars']:,} stars: {found} candidates, as kept")


def measure(given, cache):
    """Run all that is asked for."""
    from store import machine

    if not given.cold:
        warm_up(cache)
    found = {"machine": machine(), "surveys": [], "runs": []}
    made = {"made": datetime.now(UTC).date().isoformat()}
    for n_stars in sorted(given.stars):
        survey, runs = measure_survey(n_stars, given, cache)
        found["surveys"].append(survey)
        found["runs"] += [run | made for run in runs]
    if given.peer:
        n_stars = min(given.stars)
        archive = make_survey(n_stars, cache)
        found["peer"] = [run_peer(archive, jobs) | made | {"stars": n_stars} for jobs in given.jobs]
    return found


def parsed():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stars", type=int, nargs="+", default=list(STARS))
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--engine", choices=["threads", "dask"])
    parser.add_argument("--cache", type=Path, help="where surveys and stores are kept; a temporary folder by default")
    parser.add_argument("--peer", action="store_true", help="also run benchmarks/straightforward.py")
    parser.add_argument("--cold", action="store_true", help="without the short run that lets numba compile")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--markdown", action="store_true")
    return parser.parse_args()


def main():
    given = parsed()
    if given.markdown:
        print("\n".join(tables(json.loads(RESULTS.read_text()))))
        return
    with tempfile.TemporaryDirectory(prefix="cbminer-full-survey-") as work:
        cache = given.cache.resolve() if given.cache else Path(work)
        if given.check:
            check(cache)
            return
        found = measure(given, cache)
    print("\n".join(tables(found)))
    if given.write:
        keep(found)
        fill_in()


if __name__ == "__main__":
    main()
