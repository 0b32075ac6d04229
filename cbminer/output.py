"""The output folder of a run: written beside its place, moved there when it is complete."""

import glob
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from cbminer.errors import OutputError
from cbminer.provenance import PROVENANCE_FILE

__all__ = ["check_output_folder", "output_folder"]


def check_output_folder(path: Path, *, overwrite: bool) -> None:
    """Refuse a place for the output before any work is done.

    Parameters
    ----------
    path : `~pathlib.Path`
        Place of the output folder.
    overwrite : bool
        Whether the output of an earlier run may be replaced.

    Raises
    ------
    OutputError
        If something is there that may not be replaced.
    """
    if path.is_file() or path.is_symlink():
        msg = f"{path} is a file: choose another folder with --out"
        raise OutputError(msg)
    if not path.exists() or not any(path.iterdir()):
        return
    if not (path / PROVENANCE_FILE).exists():
        msg = (
            f"{path} is not empty and not the output of cbminer, so it is left alone: choose another folder with --out"
        )
        raise OutputError(msg)
    if not overwrite:
        msg = f"{path} holds the output of a run: replace it with --overwrite, or choose another folder with --out"
        raise OutputError(msg)


@contextmanager
def output_folder(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Offer a temporary folder that becomes the output folder when the block ends without an error.

    Parameters
    ----------
    path : `~pathlib.Path`
        Place of the output folder.
    overwrite : bool
        Whether the output of an earlier run may be replaced.

    Yields
    ------
    `~pathlib.Path`
        Folder to write into. Whatever was at `path` stays whole until the end.

    Raises
    ------
    OutputError
        If the folder cannot be made or may not be replaced.
    """
    check_output_folder(path, overwrite=overwrite)
    _remove_abandoned(path)
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}.partial"
    # Held for as long as the process lives: what a free lock stands for was left by one that was killed.
    lock = FileLock(_lock_of(temporary))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        temporary.mkdir()
    except OSError as error:
        lock.release()
        msg = f"{path} cannot be written ({error.strerror}): choose another folder with --out"
        raise OutputError(msg) from error
    try:
        yield temporary
        _move_into_place(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        lock.release()
        _lock_of(temporary).unlink(missing_ok=True)


def _lock_of(temporary: Path) -> Path:
    return temporary.with_name(f"{temporary.name}.lock")


def _remove_abandoned(path: Path) -> None:
    """Remove what processes that were killed had written towards the same output folder."""
    for held in path.parent.glob(f".{glob.escape(path.name)}.*.partial.lock"):
        with suppress(OSError, Timeout), FileLock(held, blocking=False):
            shutil.rmtree(held.with_suffix(""), ignore_errors=True)
            held.unlink(missing_ok=True)


def _move_into_place(temporary: Path, path: Path) -> None:
    if not path.exists():
        temporary.rename(path)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
    path.rename(old / path.name)
    try:
        temporary.rename(path)
    except BaseException:
        (old / path.name).rename(path)
        raise
    finally:
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
