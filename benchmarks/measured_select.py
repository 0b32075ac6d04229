"""One run of `cbminer select`, with what it costs by step and by part of the package. full_survey.py starts it.

Usage: python benchmarks/measured_select.py REPORT.json CORES SELECT-OPTION ...

The command is the real one, called in this process; the process is held to so many cores. Steps are those that the
command shows on a terminal. Parts are sampled: ten times a second it is noted in which part of the package each thread
is, with the time since the last look; threads that wait for others are left out. The memory is the most that this
process has held, all libraries and files that it has mapped included.
"""

import json
import os
import sys
import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path

INTERVAL = 0.1
# The innermost call of a thread that matches names its part; the first that fits counts.
PARTS = {
    "_frozen_importlib": "importing libraries",
    "importlib": "importing libraries",
    "cbminer.survey.store": "reading light curves",
    "cbminer.survey.packed": "reading light curves",
    "cbminer.survey.local": "looking for new files",
    "cbminer.survey.intake": "looking for new files",
    "cbminer.survey": "reading the catalogue",
    "cbminer.lightcurves.cleaning": "cleaning and folding",
    "cbminer.lightcurves.folding": "cleaning and folding",
    "cbminer.lightcurves.adoption": "periods",
    "cbminer.lightcurves.period": "periods",
    "cbminer.morphology.embedding": "c",
    "cbminer.morphology": "shapes",
    "cbminer.classifier": "classes",
    "cbminer.photometry": "photometry and cuts",
    "cbminer.selection": "photometry and cuts",
    "cbminer.theory": "population and odds",
    "cbminer.ranking": "population and odds",
    "cbminer.kept_measurements": "keeping what is measured",
    "cbminer.star_blocks": "tables of stars",
    "cbminer.catalogue": "writing catalogues",
    "cbminer.report": "figures and page",
    "cbminer.provenance": "hashing inputs",
}
OTHER = "other"
WAITING = ("threading", "concurrent.futures", "queue", "selectors")


def part_of(frame):
    """Part of the package that a thread is in; None if it waits, or has nothing to do with the command."""
    if frame.f_globals.get("__name__", "").startswith(WAITING):
        return None
    within = False
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        for start, part in PARTS.items():
            if module.startswith(start):
                return part
        within = within or module.startswith("cbminer")
        frame = frame.f_back
    return OTHER if within else None


class PartSampler(threading.Thread):
    """A thread that notes what the others do."""

    def __init__(self):
        super().__init__(daemon=True)
        self.seconds = defaultdict(float)
        self.ended = threading.Event()

    def run(self):
        last = time.perf_counter()
        while not self.ended.wait(INTERVAL):
            now = time.perf_counter()
            for thread, frame in sys._current_frames().items():  # noqa: SLF001 - the way that Python documents
                part = None if thread == self.ident else part_of(frame)
                if part is not None:
                    self.seconds[part] += now - last
            last = now


@contextmanager
def noted_steps():
    """Note how long each step of the command takes, by what it says of itself."""
    from cbminer.terminal import TerminalMonitor

    seconds, shown = defaultdict(float), TerminalMonitor.step

    @contextmanager
    def step(self, description, total):
        begin = time.perf_counter()
        try:
            with shown(self, description, total) as advance:
                yield advance
        finally:
            seconds[description] += time.perf_counter() - begin

    TerminalMonitor.step = step
    try:
        yield seconds
    finally:
        TerminalMonitor.step = shown


def memory():
    """Most memory that this process has held, in MB."""
    status = Path("/proc/self/status")
    if status.exists():
        # Unlike ru_maxrss it does not count what the process that started this one held.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def main():
    if len(sys.argv) < 4 or "--help" in sys.argv:
        print(__doc__)
        return 0 if "--help" in sys.argv else 2
    begin = time.perf_counter()
    report, cores = Path(sys.argv[1]), int(sys.argv[2])
    if hasattr(os, "sched_setaffinity"):
        # Before any library counts the cores.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    sampler = PartSampler()
    sampler.start()
    from cbminer.cli import main as cbminer

    with noted_steps() as steps:
        status = cbminer(["select", *sys.argv[3:]])
    whole = time.perf_counter() - begin
    sampler.ended.set()
    sampler.join()
    steps["between the steps"] = whole - sum(steps.values())
    report.write_text(json.dumps({"steps": steps, "parts": sampler.seconds, "peak": memory()}))
    return status


if __name__ == "__main__":
    sys.exit(main())
