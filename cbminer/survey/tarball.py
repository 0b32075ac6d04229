"""An archive, or all light curves of it, in one tar file, read as a stream: nothing is ever unpacked to disk.

Names in the file decide nothing but what a member is. A file with a path that leads out of its folder, a link, or
more bytes than it should have, is refused as a whole. So is one that ends before its end: the tar format marks it.

The standard library reads single headers here, but does not walk from one to the next: its walk takes a damaged header
for the end of the file, and holds whatever a header announces in memory.
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
from cbminer.survey.ogle import CATALOGUE_FILES
from cbminer.survey.store import Band

__all__ = ["CurveMember", "TableMember", "TarLimits", "read_tarball"]

_LIGHT_CURVE = re.compile(r"(?:[^/]+/)*([IV])/([A-Za-z0-9]+(?:-[A-Za-z0-9]+)*-\d+)\.dat", re.ASCII)
_TABLE = re.compile(rf"((?:[^/]+/)*)({'|'.join(map(re.escape, CATALOGUE_FILES))})")
_UNSAFE = re.compile(r"^/|^[A-Za-z]:|(?:^|/)\.\.(?:/|$)|[\\\x00-\x1f\x7f]")
_FILES = {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE}
_LONG_NAMES = {tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}
_RECORDS = {tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.XGLTYPE}
# Long names and the like, which are held in memory: a name has a few thousand bytes at most.
_LONGEST_EXTRA = 1_000_000
# Zeros that fill up the last record of a tape.
_LONGEST_END = 1 << 26
_BLOCK = 512
_STEP = 1 << 18
_TOO_MUCH = "it unpacks to more than it may hold"
_OTHER_KINDS = (
    (b"BZh", "is packed with bzip2: pack it with gzip"),
    (b"\xfd7zXZ", "is packed with xz: pack it with gzip"),
    (b"PK\x03\x04", "is a zip file: pack it with tar and gzip"),
    (b"\x1f\x8b", "is packed with gzip twice: unpack it once"),
    (b"<", "is a web page, which the server sent in its place: fetch it again"),
)


@dataclass(frozen=True)
class TarLimits:
    """How much a file of light curves may hold.

    Attributes
    ----------
    member_bytes : int
        Bytes of one light curve.
    table_bytes : int
        Bytes of one catalogue file.
    total_bytes : int
        Bytes of all members.
    members : int
        Number of members.
    """

    member_bytes: int = 16_000_000
    table_bytes: int = 500_000_000
    total_bytes: int = 20_000_000_000
    members: int = 2_000_000


@dataclass(frozen=True)
class CurveMember:
    """A light curve of the file.

    Attributes
    ----------
    star, band : str
        Star and band, from the name.
    data : bytes
        Content.
    """

    star: str
    band: Band
    data: bytes


@dataclass(frozen=True)
class TableMember:
    """A catalogue file.

    Attributes
    ----------
    folder : str
        Folder in the file, empty or ending in a slash.
    name : str
        Name without the folder, for instance ``ident.dat``.
    data : bytes
        Content.
    """

    folder: str
    name: str
    data: bytes


class _UnsafeError(Exception):
    """The file holds what no archive of light curves holds."""


class _DamagedError(Exception):
    """The file is not what was written."""


class _OtherKindError(Exception):
    """The file is something else."""


def read_tarball(
    path: Path, *, limits: TarLimits | None = None, advance: Callable[[int], None] | None = None
) -> Iterator[CurveMember | TableMember]:
    """Read the light curves and the catalogue files of a tar file, packed with gzip or not.

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
    CurveMember or TableMember
        Members in the order of the file, one in memory at a time. Others, such as a README, are passed over, and so is
        a member that comes again with the same content.

    Raises
    ------
    ArchiveError
        If the file is damaged, cut off, or holds what it should not, or nothing of use. What was yielded before must
        then not be used.
    """
    try:
        with path.open("rb") as packed:
            limits = limits or TarLimits()
            yield from _members(_Stream(packed, limits.total_bytes, advance), limits)
    except _OtherKindError as error:
        msg = f"{path} {error}"
        raise ArchiveError(msg) from error
    except _UnsafeError as error:
        msg = f"{path} is refused: {error}. Nothing of it was used"
        raise ArchiveError(msg) from error
    except (_DamagedError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        msg = f"{path} is damaged, cut off or no tar file ({error}): fetch it again. Nothing of it was used"
        raise ArchiveError(msg) from error
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}"
        raise ArchiveError(msg) from error


class _Stream:
    """The unpacked bytes of a tar file. It gives no more than it may, and tells how far the packed file was read."""

    def __init__(self, packed: BinaryIO, limit: int, advance: Callable[[int], None] | None) -> None:
        is_packed = packed.read(2) == b"\x1f\x8b"
        packed.seek(0)
        self._packed = packed
        self._stream = cast("BinaryIO", gzip.GzipFile(fileobj=packed)) if is_packed else packed
        self._limit = limit
        self._advance = advance
        self._told = 0
        self.place = 0

    def read(self, size: int) -> bytes:
        """Read some bytes; fewer only at the end."""
        data = self._stream.read(size)
        self.place += len(data)
        if self.place > self._limit:
            raise _UnsafeError(_TOO_MUCH)
        if self._advance is not None:
            told, self._told = self._told, self._packed.tell()
            self._advance(self._told - told)
        return data

    def take(self, size: int) -> bytes:
        """Read so many bytes."""
        data = self.read(size)
        if len(data) < size:
            msg = f"it ends in the middle, after {self.place} bytes" if self.place else "it is empty"
            raise _DamagedError(msg)
        return data

    def skip(self, size: int) -> None:
        """Pass over so many bytes."""
        while size > 0:
            size -= len(self.take(min(size, _STEP)))


def _members(stream: _Stream, limits: TarLimits) -> Iterator[CurveMember | TableMember]:
    seen: dict[str, int] = {}
    for number, header in enumerate(_headers(stream)):
        _refuse_unsafe(header)
        size = header.size if header.type in _FILES else 0
        if number >= limits.members or stream.place + size > limits.total_bytes:
            raise _UnsafeError(_TOO_MUCH)
        match = _match(header)
        if match is None:
            stream.skip(_padded(size))
            continue
        if size > (limits.member_bytes if match.re is _LIGHT_CURVE else limits.table_bytes):
            msg = f"{header.name!r} has {size} bytes, more than it may have"
            raise _UnsafeError(msg)
        data = stream.take(size)
        stream.skip(_padded(size) - size)
        if _is_new(seen, "/".join(match.groups()), data):
            yield _member(match, data)
    _read_to_end(stream)
    if not seen:
        msg = "holds no light curves (I/STAR.dat, V/STAR.dat) and no catalogue files: check that it is the right file"
        raise _OtherKindError(msg)


def _match(header: tarfile.TarInfo) -> re.Match[str] | None:
    """Tell light curves and catalogue files by their names."""
    if header.type not in _FILES:
        return None
    name = "/".join(word for word in header.name.split("/") if word not in {"", "."})
    return _LIGHT_CURVE.fullmatch(name) or _TABLE.fullmatch(name)


def _is_new(seen: dict[str, int], name: str, data: bytes) -> bool:
    """Tell whether a member comes for the first time. It may come again, but not with another content."""
    is_new, check = name not in seen, zlib.crc32(data)
    if seen.setdefault(name, check) != check:
        msg = f"it holds {name!r} twice, with different content"
        raise _UnsafeError(msg)
    return is_new


def _member(match: re.Match[str], data: bytes) -> CurveMember | TableMember:
    if match.re is _LIGHT_CURVE:
        return CurveMember(match[2], "I" if match[1] == "I" else "V", data)
    return TableMember(match[1], match[2], data)


def _refuse_unsafe(header: tarfile.TarInfo) -> None:
    if _UNSAFE.search(header.name):
        msg = f"it holds {header.name[:200]!r}, a path that leads out of its folder or is no path"
        raise _UnsafeError(msg)
    if header.type not in _FILES | {tarfile.DIRTYPE}:
        msg = f"it holds {header.name[:200]!r}, which is neither a plain file nor a folder"
        raise _UnsafeError(msg)


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _headers(stream: _Stream) -> Iterator[tarfile.TarInfo]:
    """Yield the headers of members, with their full names, up to the mark of the end: a block of zeros.

    The content of a member stands behind its header; who asks for the next header has read it.
    """
    extra: dict[str, bytes] = {}
    while (block := stream.take(_BLOCK)).strip(b"\0"):
        header = _header(block, is_first=stream.place == _BLOCK)
        if header.type in _LONG_NAMES | _RECORDS:
            extra |= _extra(stream, header)
            continue
        if "path" in extra:
            header.name = extra["path"].decode("utf-8", "surrogateescape")
        if "size" in extra:
            header.size = int(extra["size"])
        extra = {}
        yield header
    if extra:
        msg = "it ends behind the name of a member"
        raise _DamagedError(msg)


def _header(block: bytes, *, is_first: bool) -> tarfile.TarInfo:
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        for start, what in _OTHER_KINDS if is_first else ():
            if block.lstrip().startswith(start):
                raise _OtherKindError(what) from error
        raise _DamagedError(str(error)) from error
    if header.size < 0:
        msg = f"a member has {header.size} bytes"
        raise _DamagedError(msg)
    return header


def _extra(stream: _Stream, header: tarfile.TarInfo) -> dict[str, bytes]:
    """Read what does not fit into the header of the next member: its name, and with large files its size."""
    if header.size > _LONGEST_EXTRA:
        msg = f"it holds a name of {header.size} bytes"
        raise _UnsafeError(msg)
    data = stream.take(_padded(header.size))[: header.size]
    if header.type == tarfile.GNUTYPE_LONGLINK:
        return {}
    if header.type == tarfile.GNUTYPE_LONGNAME:
        return {"path": data.partition(b"\0")[0]}
    found = {key: value for key, value in _records(data) if key in {"path", "size"} or key.startswith("GNU.sparse.")}
    if header.type == tarfile.XGLTYPE and found:
        msg = f"it sets the {min(found)} of all members"
        raise _UnsafeError(msg)
    if found.keys() - {"path", "size"}:
        msg = "it holds a file with gaps"
        raise _UnsafeError(msg)
    if not re.fullmatch(rb"\d{1,18}", found.get("size", b"0")):
        msg = "the size of a member is no number"
        raise _DamagedError(msg)
    return found


def _records(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield names and values of records, each as its own length, a blank, name=value and a line end."""
    place = 0
    while place < len(data):
        length, blank, _ = data[place : place + 8].partition(b" ")
        end = place + int(length) if blank and length.isdigit() else place
        key, equals, value = data[place + len(length) + 1 : end - 1].partition(b"=")
        if end > len(data) or not equals or data[end - 1 : end] != b"\n":
            msg = "the name of a member is damaged"
            raise _DamagedError(msg)
        yield key.decode("utf-8", "replace"), value
        place = end


def _read_to_end(stream: _Stream) -> None:
    """Read on behind the mark of the end; nothing but zeros may follow. The check sum of gzip stands behind them."""
    start = stream.place
    while data := stream.read(_STEP):
        if data.strip(b"\0"):
            msg = "something follows the mark of its end"
            raise _DamagedError(msg)
        if stream.place - start > _LONGEST_END:
            msg = "it goes on behind the mark of its end"
            raise _UnsafeError(msg)
