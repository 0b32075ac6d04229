"""A file on its way: bytes in a .part file, and beside it what the server said about the whole.

Whatever ends the process, the next one finds either no part, or a part whose bytes up to a known place are good. The
place is moved on only after the bytes before it are on disk, and their hash is noted with it.
"""

import errno
import hashlib
import json
import os
import shutil
import threading
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from cbminer.errors import ArchiveError
from cbminer.survey.transport import Remote

__all__ = ["Part", "fsync_folder", "refuse_full_disk", "sha256_of", "write_whole"]

# Bytes that may be lost if the process is killed: a megabyte, or this share of a large file.
_STEP = 1 << 20
_SHARE = 64
_BLOCK = 1 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT}


def sha256_of(path: Path) -> str:
    """Hash a file.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.

    Returns
    -------
    str
        SHA-256 as hexadecimal digits.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fsync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can.

    Parameters
    ----------
    folder : `~pathlib.Path`
        The folder.
    """
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def refuse_full_disk(error: OSError, path: Path) -> ArchiveError:
    """Make the error of a file that cannot be written.

    Parameters
    ----------
    error : OSError
        What the system says.
    path : `~pathlib.Path`
        The file.

    Returns
    -------
    ArchiveError
        With a remedy.
    """
    if error.errno in _FULL:
        return ArchiveError(
            f"the disk of {path.parent} is full: free some space, or choose another folder with --cache, and call "
            "again; what has come so far is kept"
        )
    return ArchiveError(f"{path} cannot be written ({error.strerror or error}): choose another folder with --cache")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file; its folder is made.
    data : bytes
        Its content.

    Raises
    ------
    ArchiveError
        If it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise refuse_full_disk(error, path) from error
        raise
    fsync_folder(path.parent)


class Part:
    """A file on its way.

    Parameters
    ----------
    path : `~pathlib.Path`
        Where the bytes gather.

    Attributes
    ----------
    path : `~pathlib.Path`
        Where the bytes gather.
    size : int
        Bytes that are good.
    remote : Remote or None
        What the server said about the whole file when they came.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.remote: Remote | None = None
        self._note = path.with_name(path.name + ".json")
        self._stream: BinaryIO | None = None
        self._on_disk = 0
        # Of the first `_hashed` bytes; an earlier process noted what it should be.
        self._hash, self._hashed = hashlib.sha256(), 0
        self._noted_hash = ""
        self._find()

    def _find(self) -> None:
        """Take up what an earlier process left; anything doubtful is no use."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            size, sha256, remote = note["size"], note["sha256"], Remote(**note["remote"])
            if _is_sound(size, sha256, remote) and size <= self.path.stat().st_size:
                self.size, self.remote, self._noted_hash = size, remote, sha256
                self._on_disk = size
        except (OSError, ValueError, KeyError, TypeError):
            return

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes so far as hexadecimal digits."""
        if self._hashed != self.size:
            self._hash_again(self.size)
        return self._hash.hexdigest()

    def _hash_again(self, size: int) -> None:
        """Hash the first bytes of the file."""
        self._hash, self._hashed = hashlib.sha256(), 0
        if not size:
            return
        with self.path.open("rb") as stream:
            while self._hashed < size and (block := stream.read(min(_BLOCK, size - self._hashed))):
                self._hash.update(block)
                self._hashed += len(block)

    def verify(self) -> None:
        """Hash what an earlier process left, and take no account of it if it is not what was noted."""
        try:
            is_good = not self.size or self.sha256 == self._noted_hash
        except OSError:
            is_good = False
        if not is_good:
            self._reset()

    def _reset(self) -> None:
        self.size, self.remote, self._on_disk = 0, None, 0
        self._hash, self._hashed = hashlib.sha256(), 0

    def begin(self, remote: Remote, *, offset: int) -> None:
        """Get ready for bytes from a place on.

        Parameters
        ----------
        remote : Remote
            What the server says about the whole file.
        offset : int
            Place of the first byte: at most the size so far, or 0 to start over.

        Raises
        ------
        ArchiveError
            If the disk has no room for the rest, or the file cannot be written.
        """
        try:
            if self._hashed != offset:
                self._hash_again(offset)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.size, self.remote, self._on_disk = offset, remote, offset
            # At no moment does a note speak of bytes that are not there.
            if offset:
                self._write_note()
            else:
                self._note.unlink(missing_ok=True)
            self._stream = self.path.open("r+b" if offset else "wb")
            self._stream.truncate(offset)
            self._stream.seek(offset)
            needed = 0 if remote.size is None else remote.size - offset
            if needed > shutil.disk_usage(self.path.parent).free:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise refuse_full_disk(error, self.path) from error

    def write(self, chunk: bytes) -> None:
        """Add bytes.

        Parameters
        ----------
        chunk : bytes
            The next bytes.

        Raises
        ------
        ArchiveError
            If they cannot be written.
        """
        if self._stream is None:
            msg = "begin comes before write"
            raise RuntimeError(msg)
        try:
            self._stream.write(chunk)
        except OSError as error:
            raise refuse_full_disk(error, self.path) from error
        self._hash.update(chunk)
        self.size += len(chunk)
        self._hashed = self.size
        if self.size - self._on_disk >= max(_STEP, self.size // _SHARE):
            self.settle()

    def settle(self) -> None:
        """Bring the bytes to the disk and note how many they are.

        Raises
        ------
        ArchiveError
            If they cannot be written.
        """
        if self._stream is None or self.size == self._on_disk:
            return
        try:
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            # What was asked to be written may not be there: only what was noted before counts.
            self.size = self._on_disk
            raise refuse_full_disk(error, self.path) from error
        self._on_disk = self.size
        self._write_note()

    def _write_note(self) -> None:
        remote = asdict(self.remote) if self.remote is not None else {}
        self._noted_hash = self.sha256
        note = json.dumps({"size": self._on_disk, "sha256": self._noted_hash, "remote": remote})
        temporary = self._note.with_name(self._note.name + ".tmp")
        try:
            temporary.write_text(note, encoding="utf-8")
            temporary.replace(self._note)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise refuse_full_disk(error, self._note) from error

    def close(self) -> None:
        """Let go of the file, keeping what has come."""
        try:
            # The last bytes of an interrupted transfer are worth keeping, but not worth an error of their own.
            with suppress(ArchiveError):
                self.settle()
        finally:
            stream, self._stream = self._stream, None
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    def discard(self) -> None:
        """Drop what has come."""
        stream, self._stream = self._stream, None
        if stream is not None:
            with suppress(OSError):
                stream.close()
        self._note.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
        self._reset()

    def move_to(self, target: Path) -> None:
        """Give the whole file its name.

        Parameters
        ----------
        target : `~pathlib.Path`
            The name; what is there is replaced.

        Raises
        ------
        ArchiveError
            If it cannot be written.
        """
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            # The manifest vouches for the whole file; without the note first, no note is left behind.
            self._note.unlink(missing_ok=True)
            self.path.replace(target)
        except OSError as error:
            raise refuse_full_disk(error, target) from error
        fsync_folder(target.parent)


def _is_sound(size: Any, sha256: Any, remote: Remote) -> bool:
    """Tell whether a note holds what a note should hold: the file may have been damaged."""
    sizes = [size] if remote.size is None else [size, remote.size]
    texts = [sha256, remote.etag, remote.modified]
    return (
        all(type(number) is int and number >= 0 for number in sizes)
        and all(isinstance(text, str) for text in texts)
        and isinstance(remote.ranges, bool)
    )
