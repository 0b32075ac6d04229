"""The index of a store: the parts that count, and the place of every light curve in them.

It is Parquet behind a mark and its own SHA-256; it holds a check sum of every piece of a part, so that nothing that
has changed on the disk is ever read as light curves. The check sums that Parquet has of its own leave out the headers,
where a changed byte can make other numbers.
"""

import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cbminer.errors import ArchiveError

__all__ = [
    "INDEX_FILE",
    "INDEX_SCHEMA",
    "Band",
    "Index",
    "PartFile",
    "damaged",
    "index_bytes",
    "numbers",
    "one_chunk",
    "opened_index",
    "read_index",
    "reopened_index",
]

Band = Literal["I", "V"]
FORMAT = 1
INDEX_FILE = "index"
_MARK = b"cbminer store index\n"
_DIGEST = hashlib.sha256().digest_size
_HEAD = len(_MARK) + _DIGEST
# What is looked up of a few stars is read by groups of so many.
_ROWS_PER_GROUP = 8192
INDEX_SCHEMA = pa.schema(
    [
        ("star", pa.string()),
        ("band", pa.string()),
        ("part", pa.int32()),
        ("row", pa.int32()),
        ("n_points", pa.int32()),
        ("size", pa.int64()),
        ("sha256", pa.string()),
        ("changed", pa.int64()),
    ]
)


@dataclass(frozen=True)
class PartFile:
    """A part that counts.

    Attributes
    ----------
    name : str
        Name of the file.
    size : int
        Its bytes.
    sha256 : str
        Hash of all of them.
    rows, group_rows : int
        Light curves, and light curves of a row group but the last.
    bounds : tuple of int
        Where its row groups begin, the place where the last one ends, and the end of the file.
    checks : tuple of int
        CRC-32 of each row group, and of the rest of the file behind them.
    """

    name: str
    size: int
    sha256: str
    rows: int
    group_rows: int
    bounds: tuple[int, ...]
    checks: tuple[int, ...]

    @property
    def n_groups(self) -> int:
        """Number of row groups."""
        return len(self.checks) - 1


@dataclass(frozen=True)
class Index:
    """Parts that count, and the place of every light curve in them."""

    parts: tuple[PartFile, ...]
    table: pa.Table


def damaged(path: Path, reason: str) -> ArchiveError:
    """Make the error of a file of a store that is not what was written.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    reason : str
        What is wrong with it.

    Returns
    -------
    ArchiveError
        With the remedy.
    """
    return ArchiveError(f"{path} is missing or damaged ({reason}): mend it with: cbminer cache repair")


def read_index(folder: Path) -> Index:
    """Read the index of a store.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder of the store; without an index it is empty.

    Returns
    -------
    Index
        The index.

    Raises
    ------
    ArchiveError
        If the index is damaged, or of a newer version of cbminer.
    """
    with opened_index(folder) as opened:
        if opened is None:
            return Index((), INDEX_SCHEMA.empty_table())
        file, parts, _ = opened
        return Index(parts, file.read(use_threads=False))


@contextmanager
def opened_index(folder: Path) -> Iterator[tuple[pq.ParquetFile, tuple[PartFile, ...], bytes] | None]:
    """Open the index of a store for the length of a block, every byte of it checked.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder of the store.

    Yields
    ------
    (`pyarrow.parquet.ParquetFile`, tuple of PartFile, bytes) or None
        The table, the parts, and the hash of the index; None if there is no index.

    Raises
    ------
    ArchiveError
        If the index is damaged, or of a newer version of cbminer.
    """
    path = folder / INDEX_FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        yield None
        return
    except OSError as error:
        raise damaged(path, error.strerror or str(error)) from error
    digest = content[len(_MARK) : _HEAD]
    if not content.startswith(_MARK) or hashlib.sha256(memoryview(content)[_HEAD:]).digest() != digest:
        raise damaged(path, "its bytes have changed")
    try:
        # Unlike read_table, this does not import what reads whole folders, which takes longer than everything else.
        with pq.ParquetFile(pa.BufferReader(memoryview(content)[_HEAD:])) as file:
            yield file, _parts_of(path, file.schema_arrow.metadata[b"cbminer"]), digest
    except (pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise damaged(path, "it is no index") from error


def _parts_of(path: Path, metadata: bytes) -> tuple[PartFile, ...]:
    about = json.loads(metadata)
    if about["format"] > FORMAT:
        msg = f"{path} was written by a newer version of cbminer: update this one, or choose another --cache"
        raise ArchiveError(msg)
    return tuple(
        PartFile(**part | {"bounds": tuple(part["bounds"]), "checks": tuple(part["checks"])}) for part in about["parts"]
    )


@contextmanager
def reopened_index(folder: Path, digest: bytes) -> Iterator[pq.ParquetFile | None]:
    """Open an index again that was checked before, without reading all of it.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder of the store.
    digest : bytes
        Hash of the index as it was.

    Yields
    ------
    `pyarrow.parquet.ParquetFile` or None
        The table; None if the index is another one by now.

    Raises
    ------
    ArchiveError
        If the index is missing or damaged.
    """
    path = folder / INDEX_FILE
    try:
        with path.open("rb") as stream:
            if stream.read(_HEAD) != _MARK + digest:
                yield None
                return
            with pq.ParquetFile(_Behind(stream, _HEAD), page_checksum_verification=True) as file:
                yield file
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, str(error)) from error


class _Behind(io.RawIOBase):
    """What stands in a file behind its head, as a file of its own."""

    def __init__(self, stream: BinaryIO, head: int) -> None:
        self._stream = stream
        self._head = head
        self.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._stream.seek(offset + (self._head if whence == io.SEEK_SET else 0), whence) - self._head

    def tell(self) -> int:
        return self._stream.tell() - self._head

    def readinto(self, buffer: Any) -> int:
        return self._stream.readinto(buffer)  # type: ignore[attr-defined,no-any-return]


def index_bytes(index: Index) -> bytes:
    """Make the content of the index file.

    Parameters
    ----------
    index : Index
        The index.

    Returns
    -------
    bytes
        What `read_index` reads.
    """
    about = json.dumps({"format": FORMAT, "parts": [asdict(part) for part in index.parts]}, sort_keys=True)
    sink = pa.BufferOutputStream()
    # Neighbours in the sky are neighbours in the catalogue, and are looked up together.
    order = pc.sort_indices(index.table, sort_keys=[("band", "ascending"), ("star", "ascending")])
    table = index.table.take(order).replace_schema_metadata({b"cbminer": about.encode()})
    pq.write_table(
        table,
        sink,
        row_group_size=_ROWS_PER_GROUP,
        compression="zstd",
        use_dictionary=["band"],
        write_page_checksum=True,
    )
    content: bytes = sink.getvalue().to_pybytes()
    return _MARK + hashlib.sha256(content).digest() + content


def numbers(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any]:
    """View a column of numbers, none of them null, as an array.

    Parameters
    ----------
    column : `pyarrow.Array` or `pyarrow.ChunkedArray`
        The column.

    Returns
    -------
    `~numpy.ndarray`
        Its numbers. Arrow's own to_numpy imports pandas where that is installed, which takes longer than a read.
    """
    array: npt.NDArray[Any] = np.from_dlpack(one_chunk(column))
    return array


def one_chunk(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Bring a column into one piece.

    Parameters
    ----------
    column : `pyarrow.Array` or `pyarrow.ChunkedArray`
        The column.

    Returns
    -------
    `pyarrow.Array`
        The same.
    """
    if isinstance(column, pa.Array):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
