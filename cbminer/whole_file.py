"""Files that appear whole or not at all: written beside their place, moved there when they are complete."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cbminer.errors import OutputError

__all__ = ["written_whole"]


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Offer a file beside the place, which is moved there when the block ends without an error.

    Parameters
    ----------
    path : `~pathlib.Path`
        Place of the file; its folder is made if it is not there.

    Yields
    ------
    `~pathlib.Path`
        File to write. Whatever was at `path` stays whole until the end.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
        os.close(number)
    except OSError as error:
        msg = f"{path} cannot be written ({error.strerror}): choose another place with --out"
        raise OutputError(msg) from error
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp keeps others out; a product is for its readers.
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        msg = f"{path} cannot be written ({error.strerror}): make room, or choose another place with --out"
        raise OutputError(msg) from error
    finally:
        temporary.unlink(missing_ok=True)
