"""The output folder of a run: written beside its place, moved there when it is complete."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
        # mkdtemp keeps others out; a product is for its readers.
        temporary.chmod(0o755)
    except OSError as error:
        msg = f"{path} cannot be written ({error.strerror}): choose another folder with --out"
        raise OutputError(msg) from error
    try:
        yield temporary
        _move_into_place(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


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
