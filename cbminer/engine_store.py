"""The store of light curves as a worker sees it, which may be a process on another machine."""

import os
import socket
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from cbminer.errors import ArchiveError
from cbminer.survey.store import INDEX_FILE, LightCurveStore

__all__ = ["process_name", "store_on_worker"]


# The two Clouds, each of which a process opens once.
@lru_cache(maxsize=2)
def store_on_worker(folder: Path, digest: str) -> LightCurveStore:
    """Open a store where light curves are measured, and make sure that it is the one that is meant.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder of the store.
    digest : str
        `~cbminer.survey.store.LightCurveStore.index_digest` where the run was started.

    Returns
    -------
    LightCurveStore
        The store; opened once in a process.

    Raises
    ------
    ArchiveError
        If there is no store, or another one.
    """
    store = LightCurveStore(folder)
    found = store.index_digest
    if found != digest:
        what = f"{folder / INDEX_FILE} is another one than" if found else f"there is no {folder / INDEX_FILE}, unlike"
        msg = (
            f"{process_name()}: {what} where the run was started: give workers the same folder by a shared file "
            f"system (--cache), run again if the cache has changed meanwhile, or run without --engine dask"
        )
        raise ArchiveError(msg)
    return store


def process_name() -> str:
    """Name this process so that its user finds it.

    Returns
    -------
    str
        Host and process, and the address where it is a worker of Dask.
    """
    name = f"process {os.getpid()} on {socket.gethostname()}"
    with suppress(ImportError, ValueError):
        from distributed import get_worker

        return f"worker {get_worker().address} ({name})"
    return name
