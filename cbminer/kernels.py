"""Upkeep of the compiled kernels that numba keeps beside their sources."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

__all__ = ["discard_stale_kernels"]


def discard_stale_kernels(folder: Path, names: Iterable[str]) -> None:
    """Throw compiled kernels away that are older than any of their sources.

    numba looks only at the file of a function for changes, not at those of the functions that it compiled into it: in
    a checkout, an engine would go on with the arithmetic of yesterday.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder of the modules.
    names : iterable of str
        Modules whose kernels call each other.
    """
    modules = tuple(names)
    with suppress(OSError):
        newest = max((folder / f"{name}.py").stat().st_mtime_ns for name in modules)
        for name in modules:
            for index in (folder / "__pycache__").glob(f"{name}.*.nbi"):
                if index.stat().st_mtime_ns < newest:
                    index.unlink()
