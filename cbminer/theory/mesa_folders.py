"""Folders of MESA runs: which of those below a folder are runs, whatever the layout."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from cbminer.errors import InputFormatError
from cbminer.theory.mesa_run import history_files

__all__ = ["SkippedRun", "find_runs", "search_runs"]

# Folders of a run that hold no runs of their own.
_INNER = re.compile(r"LOGS.*|photos\d*|png\d*|src|make")


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


def find_runs(root: Path) -> list[str]:
    """Find the runs below a folder.

    Parameters
    ----------
    root : `~pathlib.Path`
        Folder of runs, in any layout; it may be a run itself. Links to folders are followed.

    Returns
    -------
    list of str
        Names of the runs, sorted: their folders below `root`. A folder with an inlist but no history is among them if
        no run lies below it, and one that is empty.

    Raises
    ------
    InputFormatError
        If there is no such folder, or no run in it.
    """
    names, _ = search_runs(root)
    return names


def search_runs(root: Path) -> tuple[list[str], list[SkippedRun]]:
    """Find the runs below a folder, and the folders that cannot be looked into.

    Parameters
    ----------
    root : `~pathlib.Path`
        Folder of runs.

    Returns
    -------
    names : list of str
        As of `find_runs`.
    closed : list of SkippedRun
        Folders that may not be read, with the reason.

    Raises
    ------
    InputFormatError
        If there is no such folder, or neither a run nor a closed folder in it.
    """
    if not root.is_dir():
        msg = f"{root} is no folder: give the one that holds the runs"
        raise InputFormatError(msg)
    runs: set[str] = set()
    started: set[str] = set()
    closed: list[SkippedRun] = []
    seen: set[tuple[int, int]] = set()

    def refuse(error: OSError) -> None:
        name = os.path.relpath(error.filename, root)
        closed.append(SkippedRun(name, f"{name} cannot be looked into ({error.strerror})"))

    for place, folders, files in os.walk(root, followlinks=True, onerror=refuse):
        folder, name = Path(place), Path(os.path.relpath(place, root)).as_posix()
        at = folder.stat()
        if (at.st_dev, at.st_ino) in seen:
            folders.clear()
            continue
        seen.add((at.st_dev, at.st_ino))
        is_run = bool(history_files(folder))
        if is_run:
            runs.add(name)
        elif not (folders or files) or any(item.startswith("inlist") for item in files):
            started.add(name)
        inner = [item for item in folders if _INNER.fullmatch(item) and (is_run or name in started)]
        folders[:] = sorted(item for item in folders if item not in inner)
    above = {ancestor.as_posix() for name in runs | started for ancestor in Path(name).parents if name != "."}
    empty_inside = {name for name in started if any(item.as_posix() in runs for item in Path(name).parents)}
    found = runs | (started - above - empty_inside)
    if not found and not closed:
        msg = f"{root} holds no run of MESA: none of its folders has a binary_history.data or LOGS1/history.data"
        raise InputFormatError(msg)
    return sorted(found), closed
