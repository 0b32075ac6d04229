"""The store of light curves as a worker sees it, which may be a process on another machine."""

import os
import socket
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from cbminer.errors import ArchiveError
from cbminer.survey.part import sha256_of
from cbminer.survey.store import INDEX_FILE, LightCurveStore

__all__ = ["index_digest", "process_name", "store_on_worker"]


def index_digest(folder: Path) -> str:
    """Hash the index of a store, which names all that is in it.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder of the store.

    Returns
    -------
    str
        SHA-256; empty where there is no index.
    """
    with suppress(FileNotFoundError, NotADirectoryError):
        return sha256_of(folder / INDEX_FILE)
    return ""


# The two Clouds, each of which a process opens once.
@lru_cache(maxsize=2)
def store_on_worker(folder: Path, digest: str) -> LightCurveStore:
    """Open a store where light curves are measured, and make sure that it is the one that is meant.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder of the store.
    digest : str
        `index_digest` of the store where the run was started.

    Returns
    -------
    LightCurveStore
        The store; opened once in a process.

    Raises
    ------
    ArchiveError
        If there is no store, or another one.
    """
    # A change between the two is seen, as the hash is taken after the store was opened.
    store = LightCurveStore(folder)
    found = index_digest(folder)
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
