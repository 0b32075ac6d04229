"""Import of MESA runs: folders of any layout into one grid, in parallel, going on where an earlier import stopped."""

import hashlib
import multiprocessing
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from cbminer.errors import InputFormatError, OutputError
from cbminer.monitor import Monitor
from cbminer.theory.grid import (
    RUN_COLUMNS,
    STEP_COLUMNS,
    EvolutionGrid,
    check_grid_place,
    is_grid,
    read_grid,
    write_grid,
    write_grid_parts,
)
from cbminer.theory.mesa_run import MesaRun, hash_run, history_files, read_run

__all__ = ["ImportReport", "SkippedRun", "find_runs", "import_runs"]

# Runs that a process reads before it writes them down: what an interruption loses at most, times the processes.
_CHUNK = 16
# Folders of a run that hold no runs of their own.
_INNER = ("LOGS", "photos", "png", "profiles", "src", "make", "plotting")


@dataclass(frozen=True)
class SkippedRun:
    """A run that could not be read.

    Attributes
    ----------
    run : str
        Its folder, below that of the grid.
    reason : str
        What is wrong with it.
    """

    run: str
    reason: str


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
    place: Path


@dataclass(frozen=True)
class _Done:
    n_read: int
    n_bytes: int
    known: list[str]
    skipped: list[SkippedRun]
    n_all: int


def find_runs(root: Path) -> list[str]:
    """Find the runs below a folder.

    Parameters
    ----------
    root : `~pathlib.Path`
        Folder of runs, in any layout; it may be a run itself.

    Returns
    -------
    list of str
        Names of the runs, sorted: their folders below `root`. A folder with an inlist but no history is among them,
        and one that is empty.

    Raises
    ------
    InputFormatError
        If there is no such folder, or no run in it.
    """
    if not root.is_dir():
        msg = f"{root} is no folder: give the one that holds the runs"
        raise InputFormatError(msg)
    found = []
    for place, folders, files in os.walk(root):
        folder = Path(place)
        is_run = bool(history_files(folder)) or any(name.startswith("inlist") for name in files)
        inner = [name for name in folders if name.startswith(_INNER)]
        # A grid's own folder may hold an inlist that its runs share.
        if is_run and (history_files(folder) or len(inner) == len(folders)):
            found.append(folder.relative_to(root).as_posix())
            folders.clear()
        elif not folders and not files:
            found.append(folder.relative_to(root).as_posix())
        folders[:] = sorted(name for name in folders if name not in inner)
    if not found:
        msg = f"{root} holds no run of MESA: none of its folders has a binary_history.data or LOGS1/history.data"
        raise InputFormatError(msg)
    return sorted(found)


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
    check_grid_place(out)
    names = find_runs(root)
    state = out.parent / f".{out.name}.importing"
    places = _known_places(out, state, Z)
    report = ImportReport()
    try:
        state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{state} cannot be made ({error.strerror}): choose another place with --out"
        raise OutputError(msg) from error
    kept = set()
    chunks = _chunks(root, names, places, state)
    with (monitor or Monitor()).step("reading runs", len(names)) as advance:
        for done in _work_off(chunks, jobs or os.cpu_count() or 1):
            report.n_read += done.n_read
            report.n_bytes += done.n_bytes
            report.skipped += done.skipped
            kept.update(done.known)
            advance(done.n_all)
            if strict and done.skipped:
                msg = f"{done.skipped[0].run}: {done.skipped[0].reason}"
                raise InputFormatError(msg)
    report.skipped.sort(key=lambda item: item.run)
    skipped = {item.run for item in report.skipped}
    if len(skipped) == len(names):
        first = report.skipped[0]
        msg = f"none of the {len(names)} runs of {root} can be read; the first, {first.run}: {first.reason}"
        raise InputFormatError(msg)
    _gather(root, out, state, names=[name for name in names if name not in skipped], Z=Z, report=report)
    shutil.rmtree(state, ignore_errors=True)
    return report


def _known_places(out: Path, state: Path, Z: float | None) -> dict[str, tuple[Path, str]]:
    """Find the runs that are known, with the grid that each stands in and its hash: the later places hold the newer."""
    places = {}
    parts = sorted(path for path in state.glob("part-*") if is_grid(path)) if state.is_dir() else []
    for place in ([out] if is_grid(out) else []) + sorted(parts, key=lambda path: path.stat().st_mtime):
        grid = read_grid(place)
        # A finished grid has the metallicity of its import where its runs do not say one.
        if place == out and grid.about.get("metallicity_where_unsaid") != Z:
            continue
        for name, digest in zip(grid.runs["run"], grid.runs["sha256"], strict=True):
            places[str(name)] = (place, str(digest))
    return places


def _chunks(root: Path, names: Sequence[str], places: dict[str, tuple[Path, str]], state: Path) -> list[_Chunk]:
    chunks = []
    for start in range(0, len(names), _CHUNK):
        part = [(name, places[name][1] if name in places else "") for name in names[start : start + _CHUNK]]
        # Named by what it holds, so that another import of the same runs writes it over.
        digest = hashlib.sha256("\n".join(name for name, _ in part).encode()).hexdigest()
        chunks.append(_Chunk(root, part, state / f"part-{digest[:16]}"))
    return chunks


def _work_off(chunks: Sequence[_Chunk], jobs: int) -> Iterator[_Done]:
    if jobs == 1 or len(chunks) == 1:
        yield from map(_read_chunk, chunks)
        return
    pool = ProcessPoolExecutor(min(jobs, len(chunks)), mp_context=multiprocessing.get_context("spawn"))
    try:
        futures: list[Future[_Done]] = [pool.submit(_read_chunk, chunk) for chunk in chunks]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        msg = "a process that read runs was ended from outside, perhaps for want of memory: go on with fewer --jobs"
        raise InputFormatError(msg) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


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
    if runs:
        write_grid(_as_grid(runs), chunk.place)
    n_bytes = sum(run.n_bytes for _, run in runs)
    return _Done(len(runs), n_bytes, known, skipped, len(chunk.names))


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


def _gather(root: Path, out: Path, state: Path, *, names: Sequence[str], Z: float | None, report: ImportReport) -> None:
    """Put the parts together, run by run in the order of their names, a part at a time in memory."""
    places = {name: place for name, (place, _) in _known_places(out, state, Z).items()}
    about = {
        "kind": "mesa",
        "source": str(root),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "cbminer": version("cbminer"),
        "metallicity_where_unsaid": Z,
        "skipped": [{"run": item.run, "reason": item.reason} for item in report.skipped],
    }
    report.n_runs = len(names)

    def count(grid: EvolutionGrid) -> EvolutionGrid:
        report.n_steps += len(grid.steps)
        return grid

    pieces = ((place, list(group)) for place, group in groupby(names, key=places.__getitem__))
    write_grid_parts((count(_with_metallicity(_only(place, group), Z)) for place, group in pieces), out, about=about)


def _only(place: Path, names: Iterable[str]) -> EvolutionGrid:
    """Take some runs of a grid."""
    grid = read_grid(place)
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
