"""An archive, or all light curves of it, in one tar file, read as a stream: nothing is ever unpacked to disk.

Names in the file decide nothing but what a member is. A file with a path that leads out of its folder, a link, or
more bytes than it should have, is refused as a whole. So is one that ends before its end: the tar format marks it.
"""

import gzip
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self, cast

from cbminer.errors import ArchiveError
from cbminer.survey.ogle import CATALOGUE_FILES
from cbminer.survey.store import Band

__all__ = ["CurveMember", "TableMember", "TarLimits", "read_tarball"]

_LIGHT_CURVE = re.compile(r"(?:[^/]+/)*([IV])/([A-Za-z0-9]+(?:-[A-Za-z0-9]+)*-\d+)\.dat", re.ASCII)
_TABLE = re.compile(rf"((?:[^/]+/)*)({'|'.join(map(re.escape, CATALOGUE_FILES))})")
_UNSAFE = re.compile(r"^[/\\]|^[A-Za-z]:|(?:^|[/\\])\.\.(?:[/\\]|$)|[\x00-\x1f\x7f]")
# Headers that carry a long name, and nothing longer: tarfile holds them in memory whatever they announce.
_NAME_HEADERS = {
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
}
_LONGEST_NAME_HEADER = 1 << 16
_BLOCK = 512


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
    """

    member_bytes: int = 16_000_000
    table_bytes: int = 500_000_000
    total_bytes: int = 20_000_000_000


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


class _Header(tarfile.TarInfo):
    """A header of the file, checked as it is read.

    tarfile takes a header that is cut off or damaged for the end of the file, unless it is the first one.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Read a header.

        Parameters
        ----------
        buf : bytes
            Its 512 bytes.
        encoding, errors : str
            How names are decoded.

        Returns
        -------
        `tarfile.TarInfo`
            The header.
        """
        if len(buf) == _BLOCK and not bytes(buf).strip(b"\0"):
            # The mark of the end; what is raised here is for tarfile.
            return super().frombuf(buf, encoding, errors)
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            what = str(error) if len(buf) == _BLOCK else "it ends before the mark of its end"
            raise _DamagedError(what) from error
        if header.type in _NAME_HEADERS and header.size > _LONGEST_NAME_HEADER:
            msg = f"it holds a name of {header.size} bytes"
            raise _UnsafeError(msg)
        return header


class _Counted:
    """A stream that refuses to give more than it may, and tells how far the packed file was read."""

    def __init__(self, stream: BinaryIO, limit: int, packed: BinaryIO, advance: Callable[[int], None]) -> None:
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

    def read_to_end(self) -> None:
        """Read on after the mark of the end; nothing but zeros may follow. The check sum of gzip stands behind them."""
        while data := self.read(1 << 20):
            if data.strip(b"\0"):
                msg = "something follows the mark of its end"
                raise _DamagedError(msg)


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
        Members in the order of the file, one in memory at a time. Others, such as a README, are passed over.

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
            stream = cast("BinaryIO", gzip.GzipFile(fileobj=packed)) if is_packed else packed
            counted = _Counted(stream, limits.total_bytes, packed, advance or (lambda _done: None))
            with tarfile.open(fileobj=cast("BinaryIO", counted), mode="r|", tarinfo=_Header) as tar:
                yield from _members(tar, limits)
            counted.read_to_end()
    except _UnsafeError as error:
        msg = f"{path} is refused: {error}. Nothing of it was used"
        raise ArchiveError(msg) from error
    except (_DamagedError, tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        msg = f"{path} is damaged, cut off or no tar file ({error}): fetch it again. Nothing of it was used"
        raise ArchiveError(msg) from error
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}"
        raise ArchiveError(msg) from error


def _members(tar: tarfile.TarFile, limits: TarLimits) -> Iterator[CurveMember | TableMember]:
    for header in tar:
        _refuse_unsafe(header)
        name = header.name.removeprefix("./")
        curve, table = _LIGHT_CURVE.fullmatch(name), _TABLE.fullmatch(name)
        if not header.isfile() or not (curve or table):
            continue
        data = _content(tar, header, limits)
        if curve:
            yield CurveMember(curve[2], "I" if curve[1] == "I" else "V", data)
        elif table:
            yield TableMember(table[1], table[2], data)


def _content(tar: tarfile.TarFile, header: tarfile.TarInfo, limits: TarLimits) -> bytes:
    largest = limits.table_bytes if _TABLE.fullmatch(header.name) else limits.member_bytes
    if header.size > largest:
        msg = f"{header.name!r} has {header.size} bytes, more than it may have"
        raise _UnsafeError(msg)
    content = tar.extractfile(header)
    data = content.read() if content is not None else b""
    if len(data) != header.size:
        msg = f"{header.name} ends after {len(data)} of {header.size} bytes"
        raise _DamagedError(msg)
    return data


def _refuse_unsafe(header: tarfile.TarInfo) -> None:
    if _UNSAFE.search(header.name):
        msg = f"it holds {header.name!r}, a path that leads out of its folder or is no path"
        raise _UnsafeError(msg)
    if header.issparse() or not (header.isfile() or header.isdir()):
        msg = f"it holds {header.name!r}, which is neither a file nor a folder"
        raise _UnsafeError(msg)
