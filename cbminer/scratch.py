"""Folders for what waits on disk while a run goes on."""

import secrets
import shutil
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from cbminer.errors import OutputError

__all__ = ["Scratch", "lost_scratch"]

_PREFIX = "cbminer-scratch-"


class Scratch:
    """A folder where the environment variable TMPDIR points, which goes when the object does.

    What a killed process has left there is removed by the next one: its lock is free.

    Raises
    ------
    OutputError
        If no folder can be made.
    """

    def __init__(self) -> None:
        place = Path(tempfile.gettempdir())
        try:
            _sweep(place)
            name = f"{_PREFIX}{secrets.token_hex(8)}"
            # The lock is there before the folder, so that nobody finds a folder without an owner.
            lock = FileLock(place / f"{name}.lock", thread_local=False)
            lock.acquire(timeout=0)
            self.folder = place / name
            self.folder.mkdir(mode=0o700)
        except (OSError, Timeout) as error:
            msg = f"nothing can wait in {place} ({error}): set the environment variable TMPDIR to another folder"
            raise OutputError(msg) from error
        self._end = weakref.finalize(self, _remove, self.folder, lock)


def lost_scratch(path: Path, error: OSError) -> OutputError:
    """Say that what waited on disk is gone.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    error : OSError
        What came of reading it.

    Returns
    -------
    OutputError
        The error to raise.
    """
    msg = (
        f"{path} was removed while it was needed ({error}): set the environment variable TMPDIR to a folder that is "
        "not cleaned, and run again"
    )
    return OutputError(msg)


def _sweep(place: Path) -> None:
    for path in sorted(place.glob(f"{_PREFIX}*.lock")):
        with suppress(OSError, Timeout):
            lock = FileLock(path, thread_local=False)
            lock.acquire(timeout=0)
            _remove(path.with_suffix(""), lock)


def _remove(folder: Path, lock: FileLock) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        Path(lock.lock_file).unlink()
    lock.release()
