"""The light curves of a Cloud in one file, phot.tar.gz, read as a stream: nothing is ever unpacked to disk.

Names in the file decide nothing but which star and band a member is, and a file with a name that a light curve
cannot have, a link, or more bytes than it should have, is refused as a whole.
"""

import gzip
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from cbminer.errors import ArchiveError

__all__ = ["Member", "TarLimits", "read_tarball"]

_LIGHT_CURVE = re.compile(r"^(?:\./)?(?:[\w.-]+/)*?(?:phot/)?([IV])/([A-Za-z0-9]+(?:-[A-Za-z0-9]+)*-\d+)\.dat$")
_UNSAFE = re.compile(r"^/|^[A-Za-z]:|(?:^|[/\\])\.\.(?:[/\\]|$)")


@dataclass(frozen=True)
class TarLimits:
    """How much a file of light curves may hold.

    Attributes
    ----------
    member_bytes : int
        Bytes of one light curve.
    total_bytes : int
        Bytes of all members.
    """

    member_bytes: int = 16_000_000
    total_bytes: int = 20_000_000_000


@dataclass(frozen=True)
class Member:
    """One light curve of the file.

    Attributes
    ----------
    star, band : str
        Star and band, from the name.
    data : bytes
        Content.
    """

    star: str
    band: str
    data: bytes


class _Counted:
    """A stream that refuses to give more than it may, and tells how far the packed file was read."""

    def __init__(self, stream: gzip.GzipFile, limit: int, packed: BinaryIO, advance: Callable[[int], None]) -> None:
        self._stream = stream
        self._left = limit
        self._packed = packed
        self._place = 0
        self._advance = advance

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            msg = "it unpacks to more than it may hold"
            raise _UnsafeError(msg)
        place = self._packed.tell()
        self._advance(place - self._place)
        self._place = place
        return data


class _UnsafeError(Exception):
    """The file holds what no file of light curves holds."""


def read_tarball(
    path: Path, *, limits: TarLimits | None = None, advance: Callable[[int], None] | None = None
) -> Iterator[Member]:
    """Read the light curves of a tar file, packed with gzip or not.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    limits : TarLimits, optional
        How much it may hold.
    advance : callable, optional
        Called with the bytes of the file read since the last call.

    Yields
    ------
    Member
        Light curves in the order of the file. Other members, such as a README, are passed over.

    Raises
    ------
    ArchiveError
        If the file is damaged, cut off, or holds what it should not. What was yielded before must then not be used.
    """
    limits = limits or TarLimits()
    try:
        with path.open("rb") as packed:
            is_packed = packed.read(2) == b"\x1f\x8b"
            packed.seek(0)
            stream = cast("gzip.GzipFile", gzip.GzipFile(fileobj=packed) if is_packed else packed)
            counted = _Counted(stream, limits.total_bytes, packed, advance or (lambda _done: None))
            with tarfile.open(fileobj=cast("BinaryIO", counted), mode="r|") as tar:
                yield from _members(tar, limits)
            # The check sum of gzip stands at its very end.
            while counted.read(1 << 20):
                pass
    except _UnsafeError as error:
        msg = f"{path} is refused: {error}. Nothing of it was used"
        raise ArchiveError(msg) from error
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        msg = f"{path} is damaged or cut off ({error}): fetch it again. Nothing of it was used"
        raise ArchiveError(msg) from error
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}"
        raise ArchiveError(msg) from error


def _members(tar: tarfile.TarFile, limits: TarLimits) -> Iterator[Member]:
    for info in tar:
        _refuse_unsafe(info, limits)
        match = _LIGHT_CURVE.match(info.name)
        if not info.isfile() or match is None:
            continue
        content = tar.extractfile(info)
        data = content.read() if content is not None else b""
        if len(data) != info.size:
            msg = f"{info.name} ends after {len(data)} of {info.size} bytes"
            raise tarfile.ReadError(msg)
        yield Member(match[2], match[1], data)


def _refuse_unsafe(info: tarfile.TarInfo, limits: TarLimits) -> None:
    if _UNSAFE.search(info.name):
        msg = f"it holds {info.name!r}, a path that leads out of its folder"
        raise _UnsafeError(msg)
    if not (info.isfile() or info.isdir()):
        msg = f"it holds {info.name!r}, which is neither a file nor a folder"
        raise _UnsafeError(msg)
    if info.size > limits.member_bytes and _LIGHT_CURVE.match(info.name):
        msg = f"{info.name!r} has {info.size} bytes, more than a light curve may have"
        raise _UnsafeError(msg)
