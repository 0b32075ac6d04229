"""Synthetic light curves: the Roche engine, its judge PHOEBE, cadence and noise, and labelled libraries."""

from contextlib import suppress
from pathlib import Path

_KERNELS = ("eclipse", "equipotential", "geometry", "lobe", "radiation", "reflection", "roche")


def _discard_stale_kernels(folder: Path) -> None:
    """Throw compiled kernels away that are older than any of their sources.

    numba looks only at the file of a function for changes, not at those of the functions that it compiled into it: in
    a checkout, an engine would go on with the arithmetic of yesterday.
    """
    with suppress(OSError):
        newest = max((folder / f"{name}.py").stat().st_mtime_ns for name in _KERNELS)
        for name in _KERNELS:
            for index in (folder / "__pycache__").glob(f"{name}.*.nbi"):
                if index.stat().st_mtime_ns < newest:
                    index.unlink()


_discard_stale_kernels(Path(__file__).parent)
