"""Import of MESA runs: folders of any layout into one grid, in parallel, going on where an earlier import stopped."""

import multiprocessing
import os
import shutil
import signal
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from cbminer.errors import InputFormatError, OutputError
from cbminer.monitor import Monitor
from cbminer.theory.grid import (
    RUN_COLUMNS,
    STEP_COLUMNS,
    EvolutionGrid,
    check_grid_place,
    is_grid,
    read_grid,
    read_runs,
    write_grid,
    write_grid_parts,
)
from cbminer.theory.mesa_folders import SkippedRun, search_runs
from cbminer.theory.mesa_run import MesaRun, hash_run, history_files, read_run

__all__ = ["ImportReport", "import_runs"]

# Runs that a process reads before it writes them down: what an interruption loses at most, times the processes.
_CHUNK = 16
# Histories of this many bytes are read in the time in which other processes start.
_WORTH_PROCESSES = 2e7


@dataclass
class ImportReport:
    """What an import did.

    Attributes
    ----------
    n_runs, n_steps : int
        Runs and time steps of the grid.
    n_read : int
        Runs that were read; the others were known, by their hash, from an earlier import.
    n_bytes : int
        Size of the histories that were read.
    skipped : list of SkippedRun
        Runs that could not be read, by name.
    """

    n_runs: int = 0
    n_steps: int = 0
    n_read: int = 0
    n_bytes: int = 0
    skipped: list[SkippedRun] = field(default_factory=list)


@dataclass(frozen=True)
class _Chunk:
    root: Path
    # Names of runs, with the hash by which they are known already.
    names: Sequence[tuple[str, str]]
    state: Path


@dataclass(frozen=True)
class _Done:
    place: Path
    read: list[str]
    known: list[str]
    skipped: list[SkippedRun]
    n_bytes: int


def import_runs(
    root: Path,
    out: Path,
    *,
    jobs: int | None = None,
    strict: bool = False,
    Z: float | None = None,
    monitor: Monitor | None = None,
) -> ImportReport:
    """Import MESA runs into a grid.

    Parameters
    ----------
    root : `~pathlib.Path`
        Folder of runs.
    out : `~pathlib.Path`
        Folder of the grid. One that is there already is brought up to date: only runs that are new or have changed
        are read.
    jobs : int, optional
        Processes; as many as there are processors by default.
    strict : bool, optional
        Whether a run that cannot be read ends the import.
    Z : float, optional
        Metallicity of runs that do not say theirs.
    monitor : Monitor, optional
        What is told of the progress.

    Returns
    -------
    ImportReport
        Counts, and the runs that were skipped.

    Raises
    ------
    InputFormatError
        If there is no run, none can be read, or, if `strict`, one of them cannot be.
    OutputError
        If the grid cannot be written.
    """
    out = out.resolve()
    check_grid_place(out)
    names, closed = search_runs(root)
    try:
        state = out.parent / f".{out.name}.importing"
        state.mkdir(parents=True, exist_ok=True)
        with FileLock(state / "lock", timeout=0):
            return _import(root, out, state, names, closed, jobs=jobs, strict=strict, Z=Z, monitor=monitor or Monitor())
    except Timeout as error:
        msg = f"another import into {out} is at work: wait for it, or choose another place with --out"
        raise OutputError(msg) from error
    except OSError as error:
        msg = f"{out} cannot be made ({error.strerror}): choose another place with --out"
        raise OutputError(msg) from error


def _import(
    root: Path,
    out: Path,
    state: Path,
    names: Sequence[str],
    closed: Sequence[SkippedRun],
    *,
    jobs: int | None,
    strict: bool,
    Z: float | None,
    monitor: Monitor,
) -> ImportReport:
    known = _known_runs(out, state, Z)
    report = ImportReport(skipped=list(closed))
    places: dict[str, Path] = {}
    chunks = [
        _Chunk(
            root, [(name, known[name].sha256 if name in known else "") for name in names[start : start + _CHUNK]], state
        )
        for start in range(0, len(names), _CHUNK)
    ]
    with monitor.step("reading runs", len(names)) as advance:
        for done in _work_off(chunks, jobs or os.cpu_count() or 1):
            report.n_read += len(done.read)
            report.n_bytes += done.n_bytes
            report.skipped += done.skipped
            places |= dict.fromkeys(done.read, done.place) | {name: known[name].place for name in done.known}
            advance(len(done.read) + len(done.known) + len(done.skipped))
            if strict and done.skipped:
                msg = f"{done.skipped[0].run}: {done.skipped[0].reason}"
                raise InputFormatError(msg)
    report.skipped.sort(key=lambda item: item.run)
    if strict and report.skipped:
        msg = f"{report.skipped[0].run}: {report.skipped[0].reason}"
        raise InputFormatError(msg)
    if not places:
        first = report.skipped[0]
        msg = f"none of the {len(report.skipped)} runs of {root} can be read; the first, {first.run}: {first.reason}"
        raise InputFormatError(msg)
    _gather(root, out, places, Z=Z, report=report)
    shutil.rmtree(state, ignore_errors=True)
    return report


@dataclass(frozen=True)
class _Known:
    """Where a run stands that was read before, and the hash of its files then."""

    place: Path
    sha256: str


def _known_runs(out: Path, state: Path, Z: float | None) -> dict[str, _Known]:
    """Find what is known of an earlier import: in the grid itself, and in the parts of one that was interrupted."""
    known: dict[str, _Known] = {}
    parts = sorted((path for path in state.iterdir() if is_grid(path)), key=lambda path: path.stat().st_mtime)
    for place in ([out] if is_grid(out) else []) + parts:
        runs, about = read_runs(place)
        # A finished grid has the metallicity of its import where its runs do not say one.
        if place == out and about.get("metallicity_where_unsaid") != Z:
            continue
        known |= {name: _Known(place, digest) for name, digest in zip(runs["run"], runs["sha256"], strict=True)}
    return known


def _work_off(chunks: Sequence[_Chunk], jobs: int) -> Iterator[_Done]:
    if jobs == 1 or len(chunks) == 1 or _bytes_to_read(chunks) < _WORTH_PROCESSES:
        yield from map(_read_chunk, chunks)
        return
    pool = ProcessPoolExecutor(min(jobs, len(chunks)), mp_context=multiprocessing.get_context("spawn"))
    try:
        # Ctrl-C goes to all processes of a terminal: these leave it to their parent, from their beginning on.
        with _interruptions_ignored():
            futures: list[Future[_Done]] = [pool.submit(_read_chunk, chunk) for chunk in chunks]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        msg = "a process that read runs was ended from outside, perhaps for want of memory: go on with fewer --jobs"
        raise InputFormatError(msg) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _bytes_to_read(chunks: Sequence[_Chunk]) -> float:
    """Size of the histories of runs that are not known, until it is clear that they are many."""
    total = 0.0
    for chunk in chunks:
        for name, digest in chunk.names:
            if not digest:
                total += sum(path.stat().st_size for path in history_files(chunk.root / name).values())
        if total > _WORTH_PROCESSES:
            break
    return total


@contextmanager
def _interruptions_ignored() -> Iterator[None]:
    """Let processes that start now ignore Ctrl-C. Only the main thread can say so; no other gets it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


def _read_chunk(chunk: _Chunk) -> _Done:
    """Read some runs and write them down as a part of the grid."""
    runs: list[tuple[str, MesaRun]] = []
    known, skipped = [], []
    for name, digest in chunk.names:
        try:
            if digest and hash_run(chunk.root / name) == digest:
                known.append(name)
            else:
                runs.append((name, read_run(chunk.root / name)))
        except InputFormatError as error:
            skipped.append(SkippedRun(name, str(error).replace(f"{chunk.root}{os.sep}", "")))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one run, the others are read
            skipped.append(SkippedRun(name, f"{name} cannot be read ({type(error).__name__}: {error})"))
    # No part is ever written over: what an earlier import has read stays known.
    place = chunk.state / uuid.uuid4().hex
    if runs:
        write_grid(_as_grid(runs), place)
    return _Done(place, [name for name, _ in runs], known, skipped, sum(run.n_bytes for _, run in runs))


def _as_grid(runs: Sequence[tuple[str, MesaRun]]) -> EvolutionGrid:
    rows: dict[str, list[Any]] = {name: [] for name in RUN_COLUMNS}
    for name, run in runs:
        row = {
            "run": name,
            "M1_initial": run.M1_initial,
            "M2_initial": run.M2_initial,
            "period_initial": run.period_initial,
            "Z": run.Z,
            "end": run.end.value,
            "n_steps": len(run.steps["age"]),
            "age_end": run.steps["age"][-1],
            "code": run.code,
            "note": run.note,
            "sha256": run.sha256,
        }
        for column, value in row.items():
            rows[column].append(value)
    steps = {name: np.concatenate([run.steps[name] for _, run in runs]) for name in STEP_COLUMNS}
    return EvolutionGrid.of(rows, steps)


def _gather(root: Path, out: Path, places: dict[str, Path], *, Z: float | None, report: ImportReport) -> None:
    """Put the parts together, run by run in the order of their names, with few parts in memory at a time."""
    about = {
        "kind": "mesa",
        "source": str(root),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "cbminer": version("cbminer"),
        "metallicity_where_unsaid": Z,
        "skipped": [{"run": item.run, "reason": item.reason} for item in report.skipped],
    }
    report.n_runs = len(places)
    # Runs that are new lie between those of the grid that is brought up to date.
    opened = lru_cache(maxsize=4)(read_grid)

    def pieces() -> Iterator[EvolutionGrid]:
        for place, group in groupby(sorted(places), key=places.__getitem__):
            piece = _with_metallicity(_only(opened(place), group), Z)
            report.n_steps += len(piece.steps)
            yield piece

    write_grid_parts(pieces(), out, about=about)


def _only(grid: EvolutionGrid, names: Iterable[str]) -> EvolutionGrid:
    """Take some runs of a grid."""
    rows = {str(name): row for row, name in enumerate(grid.runs["run"])}
    chosen = np.array([rows[name] for name in names])
    steps = np.concatenate([np.arange(grid.offsets[row], grid.offsets[row + 1]) for row in chosen])
    n_steps = np.diff(grid.offsets)[chosen]
    return EvolutionGrid(
        grid.runs[chosen], grid.steps[steps], np.concatenate([[0], np.cumsum(n_steps)]).astype(np.int64), grid.about
    )


def _with_metallicity(grid: EvolutionGrid, Z: float | None) -> EvolutionGrid:
    if Z is not None:
        unsaid = np.ma.getmaskarray(grid.runs["Z"])
        grid.runs["Z"][unsaid] = Z
    return grid
