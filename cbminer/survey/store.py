"""The store: the light curves of a Cloud in Parquet, one row a star and band, written once and opened in milliseconds.

A store is a folder with parts, which never change, and one index, which names the parts that count and the place of
every light curve in them. A change writes new parts and then replaces the index in one step: whatever ends the
process, the old store or the new one is there. Parts that no index names are swept away by the next change.

Parts are plain Parquet. The index is Parquet behind a mark and its own SHA-256; it holds a check sum of every piece of
a part, so that nothing that has changed on the disk is ever read as light curves. The check sums that Parquet has of
its own leave out the headers, where a changed byte can make other numbers.
"""

import hashlib
import itertools
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from cbminer.errors import ArchiveError
from cbminer.survey.packed import PackedLightCurves
from cbminer.survey.part import sha256_of
from cbminer.survey.textfile import SetAside

__all__ = ["Band", "LightCurveStore", "StoredCurves", "StoredFile"]

Band = Literal["I", "V"]
FORMAT = 1
INDEX_FILE = "index"
_MARK = b"cbminer store index\n"
_DIGEST = hashlib.sha256().digest_size
_BLOCK = 1 << 17

# What a light curve is made of; the other columns are for who reads the parts without the index.
_READ = ["time", "mag", "mag_err", "unreadable", "set_aside"]


def _points(name: str, kind: pa.DataType) -> pa.Field:
    # Lists and numbers that are never null are read faster by a fifth.
    return pa.field(name, pa.list_(pa.field("element", kind, nullable=False)), nullable=False)


BAD_LINE = pa.struct([("line", pa.int32()), ("reason", pa.string()), ("text", pa.string())])
PART_SCHEMA = pa.schema(
    [
        ("star", pa.string()),
        ("band", pa.string()),
        _points("time", pa.float64()),
        _points("mag", pa.float32()),
        _points("mag_err", pa.float32()),
        ("size", pa.int64()),
        ("sha256", pa.string()),
        ("changed", pa.int64()),
        ("n_missing", pa.int32()),
        ("unreadable", pa.string()),
        ("set_aside", pa.list_(BAD_LINE)),
    ]
)
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
class StoredFile:
    """What the store knows of the text file of a light curve."""

    n_points: int
    size: int
    sha256: str
    changed: int
    part: int
    row: int


@dataclass(frozen=True)
class StoredCurves:
    """Light curves out of a store.

    Attributes
    ----------
    curves : PackedLightCurves
        The points, in the order that was asked for; a star without a light curve has none.
    found : `~numpy.ndarray`
        Whether the store has a light curve of the star, shape (n,).
    unreadable : dict of int to str
        By place: why a light curve could not be read.
    set_aside : dict of int to list of SetAside
        By place: malformed lines that were left out.
    """

    curves: PackedLightCurves
    found: npt.NDArray[np.bool_]
    unreadable: dict[int, str] = field(default_factory=dict)
    set_aside: dict[int, list[SetAside]] = field(default_factory=dict)


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


class LightCurveStore:
    """A store as it is at the moment it is opened; later changes by others do not show.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder of the store; one that is not there is an empty store.

    Raises
    ------
    ArchiveError
        If the index is damaged, or of a newer version of cbminer.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._index = read_index(folder)
        self._parts = [PartReader(folder, part) for part in self._index.parts]
        self._last: tuple[int, int, pa.Table] | None = None

    def __len__(self) -> int:
        """Count the light curves."""
        return int(self._index.table.num_rows)

    @cached_property
    def _places(self) -> dict[str, dict[str, int]]:
        """Rows of the index by band and star."""
        places: dict[str, dict[str, int]] = {"I": {}, "V": {}}
        stars, bands = self._index.table["star"].to_pylist(), self._index.table["band"].to_pylist()
        for row, (star, band) in enumerate(zip(stars, bands, strict=True)):
            places[band][star] = row
        return places

    @cached_property
    def _columns(self) -> dict[str, npt.NDArray[Any]]:
        names = ("part", "row", "n_points", "size", "changed")
        return {name: numbers(self._index.table[name]) for name in names}

    def stars(self, band: Band = "I") -> list[str]:
        """Stars with a light curve in a band.

        Parameters
        ----------
        band : {"I", "V"}, optional
            The band.

        Returns
        -------
        list of str
            Identifiers, sorted.
        """
        return sorted(self._places[band])

    def source(self, star: str, band: Band = "I") -> StoredFile | None:
        """Look up the text file that a light curve came from.

        Parameters
        ----------
        star : str
            Identifier of the star.
        band : {"I", "V"}, optional
            The band.

        Returns
        -------
        StoredFile or None
            What is known of it; None if the store does not have the light curve.
        """
        place = self._places[band].get(star)
        if place is None:
            return None
        columns = self._columns
        known = {name: int(columns[name][place]) for name in ("n_points", "size", "changed", "part", "row")}
        return StoredFile(sha256=self._index.table["sha256"][place].as_py(), **known)

    def curves(self) -> list[tuple[str, Band]]:
        """List all light curves.

        Returns
        -------
        list of (str, str)
            Stars and bands.
        """
        table = self._index.table
        return list(zip(table["star"].to_pylist(), table["band"].to_pylist(), strict=True))

    def is_of_file(self, star: str, band: Band) -> bool:
        """Tell whether a light curve was read from a file of its own in a folder of the user.

        Parameters
        ----------
        star : str
            Identifier of the star.
        band : {"I", "V"}
            The band.

        Returns
        -------
        bool
            False if it came in a tarball or from a server, or is not here.
        """
        source = self.source(star, band)
        return source is not None and source.changed != 0

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(part.size for part in self._index.parts)

    def read(self, stars: Sequence[str], *, band: Band = "I") -> StoredCurves:
        """Read light curves.

        Parameters
        ----------
        stars : sequence of str
            Identifiers, in any order.
        band : {"I", "V"}, optional
            The band.

        Returns
        -------
        StoredCurves
            Their light curves in the same order.

        Raises
        ------
        ArchiveError
            If a part is missing or damaged.
        """
        known = self._places[band]
        places = np.array([known.get(star, -1) for star in stars], dtype=np.int64)
        found = places >= 0
        lengths = np.where(found, self._columns["n_points"][places], 0) if len(self) else np.zeros(len(stars), int)
        stored = StoredCurves(_room_for(tuple(stars), lengths), found)
        for rows, wanted in self._blocks(places):
            _fill(stored, wanted, rows, band)
        return stored

    def _blocks(self, places: npt.NDArray[np.int64]) -> Iterator[tuple[pa.Table, "_Wanted"]]:
        """Read the row groups that hold some rows of the index, each once, and tell which of their rows are wanted.

        One row group is in memory at a time, and the rows that are wanted of it are copied: so the memory that a read
        takes is that of its result, however its stars are scattered over the store.
        """
        wanted = np.flatnonzero(places >= 0)
        part, row = self._columns["part"][places[wanted]], self._columns["row"][places[wanted]]
        order = np.lexsort((row, part))
        wanted, part, row = wanted[order], part[order], row[order]
        group_rows = np.array([item.group_rows for item in self._index.parts], dtype=np.int32)[part]
        group = row // group_rows
        first = np.flatnonzero(np.diff(part, prepend=-1) | np.diff(group, prepend=-1))
        for start, end in itertools.pairwise((*first.tolist(), len(wanted))):
            rows = row[start:end] - group[start] * group_rows[start]
            yield self._group(int(part[start]), int(group[start])), _Wanted(rows, wanted[start:end])

    def _group(self, number: int, group: int) -> pa.Table:
        # Stars are mostly asked for in the order in which they are stored: a read begins where the last one ended.
        last = self._last
        if last is not None and last[:2] == (number, group):
            return last[2]
        try:
            table = self._parts[number].group(group, _READ)
        except ArchiveError:
            self._refuse_if_changed(self._parts[number].part.name)
            raise
        self._last = (number, group, table)
        return table

    def _refuse_if_changed(self, part: str) -> None:
        """Tell a part that another process has replaced from one that is lost."""
        if part not in {item.name for item in read_index(self.folder).parts}:
            msg = f"{self.folder} was changed by another process while it was read: run the command again"
            raise ArchiveError(msg)

    def damaged_parts(self) -> list[str]:
        """Hash every part and name those that are not what was written.

        Returns
        -------
        list of str
            Names of the parts that are missing or damaged.
        """
        return [reader.part.name for reader in self._parts if not reader.is_whole()]

    def curves_of(self, parts: Iterable[str]) -> list[tuple[str, Band]]:
        """List the light curves in some parts.

        Parameters
        ----------
        parts : iterable of str
            Names of parts.

        Returns
        -------
        list of (str, str)
            Stars and bands.
        """
        names = set(parts)
        places = [place for place, part in enumerate(self._index.parts) if part.name in names]
        mine = self._index.table.filter(pa.array(np.isin(self._columns["part"], places)))
        return list(zip(mine["star"].to_pylist(), mine["band"].to_pylist(), strict=True))

    def digest(self) -> str:
        """Hash what is stored, whatever the parts and the order in which it came.

        Returns
        -------
        str
            SHA-256 over stars, bands and hashes of the text files.
        """
        columns = (self._index.table[name].to_pylist() for name in ("star", "band", "sha256"))
        lines = sorted(" ".join(row) for row in zip(*columns, strict=True))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _damaged(path: Path, reason: str) -> ArchiveError:
    return ArchiveError(f"{path} is missing or damaged ({reason}): mend it with: cbminer cache repair")


@dataclass(frozen=True)
class _Wanted:
    """Rows of a row group, in ascending order, and the places of their stars in the request."""

    rows: npt.NDArray[np.int32]
    places: npt.NDArray[np.int64]

    def runs(self) -> Iterator[tuple[slice, slice]]:
        """Yield neighbours that stay neighbours, as a slice of the rows and one of the places."""
        breaks = np.flatnonzero((np.diff(self.rows) != 1) | (np.diff(self.places) != 1)) + 1
        for start, end in itertools.pairwise((0, *breaks.tolist(), len(self.rows))):
            row, place, length = int(self.rows[start]), int(self.places[start]), end - start
            yield slice(row, row + length), slice(place, place + length)


class PartReader:
    """Reads one part. Bytes are checked before anything is made of them.

    The file is not mapped: a mapped file ends the process where a disk fails or a file server goes away.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder of the store.
    part : PartFile
        The part.
    """

    def __init__(self, folder: Path, part: PartFile) -> None:
        self.path = folder / part.name
        self.part = part

    @cached_property
    def _about(self) -> pq.FileMetaData:
        self._check(self.part.n_groups)
        return pq.read_metadata(self.path)

    def _check(self, piece: int) -> None:
        """Check the bytes of a row group, or of the rest behind them."""
        first, last = self.part.bounds[piece : piece + 2]
        found = 0
        try:
            with self.path.open("rb") as stream:
                size = os.fstat(stream.fileno()).st_size
                stream.seek(first)
                while first < last and (block := stream.read(min(_BLOCK, last - first))):
                    found = zlib.crc32(block, found)
                    first += len(block)
        except OSError as error:
            raise _damaged(self.path, error.strerror or str(error)) from error
        if size != self.part.size:
            raise _damaged(self.path, f"it has {size} bytes, should have {self.part.size}")
        if found != self.part.checks[piece]:
            raise _damaged(self.path, "its bytes have changed")

    def group(self, number: int, columns: list[str] | None = None) -> pa.Table:
        """Read a row group.

        Parameters
        ----------
        number : int
            Its number.
        columns : list of str, optional
            Columns; all by default.

        Returns
        -------
        `pyarrow.Table`
            Its light curves.

        Raises
        ------
        ArchiveError
            If the part is missing, or the row group or what describes it is damaged.
        """
        self._check(number)
        try:
            with pq.ParquetFile(self.path, metadata=self._about) as file:
                return file.read_row_group(number, columns=columns, use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise _damaged(self.path, str(error)) from error

    def sound_groups(self) -> list[int]:
        """List the row groups that are what was written.

        Returns
        -------
        list of int
            Their numbers; none if the part is missing, or what describes them is damaged.
        """
        if not self._is_sound(self.part.n_groups):
            return []
        return [number for number in range(self.part.n_groups) if self._is_sound(number)]

    def _is_sound(self, number: int) -> bool:
        try:
            self._check(number)
        except ArchiveError:
            return False
        return True

    def is_whole(self) -> bool:
        """Hash the part.

        Returns
        -------
        bool
            Whether it is there and every byte is what was written.
        """
        try:
            return self.path.stat().st_size == self.part.size and sha256_of(self.path) == self.part.sha256
        except OSError:
            return False


def describe_part(path: Path) -> PartFile:
    """Describe a part by what it holds now.

    Parameters
    ----------
    path : `~pathlib.Path`
        The part.

    Returns
    -------
    PartFile
        Its sizes and hashes.
    """
    data = pa.py_buffer(path.read_bytes())
    about = pq.read_metadata(pa.BufferReader(data))
    groups = [about.row_group(number) for number in range(about.num_row_groups)]
    starts = [min(map(_start_of_column, _columns_of(group))) for group in groups]
    # What stands before the first group belongs to it.
    bounds = (0, *starts[1:], max(map(_end_of_column, _columns_of(groups[-1]))), data.size)
    checks = tuple(zlib.crc32(data[first:last]) for first, last in itertools.pairwise(bounds))
    digest = hashlib.sha256(data).hexdigest()
    return PartFile(path.name, data.size, digest, about.num_rows, groups[0].num_rows, bounds, checks)


def _columns_of(group: Any) -> Iterator[Any]:
    return (group.column(number) for number in range(group.num_columns))


def _start_of_column(column: Any) -> int:
    return int(column.dictionary_page_offset or column.data_page_offset)


def _end_of_column(column: Any) -> int:
    return _start_of_column(column) + int(column.total_compressed_size)


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
    path = folder / INDEX_FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Index((), INDEX_SCHEMA.empty_table())
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error
    head = len(_MARK) + _DIGEST
    if not content.startswith(_MARK) or hashlib.sha256(content[head:]).digest() != content[len(_MARK) : head]:
        raise _damaged(path, "its bytes have changed")
    try:
        return _index_of(path, memoryview(content)[head:])
    except (pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, "it is no index") from error


def _index_of(path: Path, content: memoryview) -> Index:
    # Unlike read_table, this does not import what reads whole folders, which takes longer than everything else here.
    table = pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)
    about = json.loads(table.schema.metadata[b"cbminer"])
    if about["format"] > FORMAT:
        msg = f"{path} was written by a newer version of cbminer: update this one, or choose another --cache"
        raise ArchiveError(msg)
    parts = (
        PartFile(**part | {"bounds": tuple(part["bounds"]), "checks": tuple(part["checks"])}) for part in about["parts"]
    )
    return Index(tuple(parts), table)


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
    table = index.table.replace_schema_metadata({b"cbminer": about.encode()})
    pq.write_table(table, sink, compression="zstd", use_dictionary=["band"])
    content: bytes = sink.getvalue().to_pybytes()
    return _MARK + hashlib.sha256(content).digest() + content


def _room_for(stars: tuple[str, ...], lengths: npt.NDArray[np.int64]) -> PackedLightCurves:
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    time, mag, mag_err = (_room(int(offsets[-1]), kind) for kind in (np.float64, np.float32, np.float32))
    return PackedLightCurves(stars, offsets, time, mag, mag_err)


def _room(n_points: int, kind: type[np.floating]) -> npt.NDArray[Any]:
    """Make an empty array in memory that Arrow uses again: a third of the time of a read goes into fresh pages."""
    size = n_points * np.dtype(kind).itemsize
    return np.frombuffer(pa.allocate_buffer(size), dtype=kind) if size else np.empty(0, dtype=kind)


def _fill(stored: StoredCurves, wanted: _Wanted, rows: pa.Table, band: Band) -> None:
    """Copy the light curves that are wanted of a row group to their places."""
    curves = stored.curves
    for name in ("time", "mag", "mag_err"):
        lists = _one_chunk(rows[name])
        offsets, values = numbers(lists.offsets), numbers(lists.values)
        points: npt.NDArray[Any] = getattr(curves, name)
        for source, target in wanted.runs():
            ours = slice(curves.offsets[target.start], curves.offsets[target.stop])
            points[ours] = values[offsets[source.start] : offsets[source.stop]]
    for place, reason in _known(rows["unreadable"], wanted):
        stored.unreadable[place] = reason
    for place, bad in _known(rows["set_aside"], wanted):
        stored.set_aside[place] = _bad_lines(curves.stars[place], band, bad)


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
    array: npt.NDArray[Any] = np.from_dlpack(_one_chunk(column))
    return array


def _one_chunk(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(column, pa.Array):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _known(column: pa.ChunkedArray, wanted: _Wanted) -> Iterator[tuple[int, Any]]:
    """Places at which a column that is mostly null holds something."""
    if column.null_count == len(column):
        return
    for row, place in zip(wanted.rows.tolist(), wanted.places.tolist(), strict=True):
        value = column[row].as_py()
        if value is not None:
            yield place, value


def _bad_lines(star: str, band: Band, bad: list[dict[str, Any]]) -> list[SetAside]:
    name = f"phot/{band}/{star}.dat"
    return [SetAside(name, item["line"], star, item["reason"], item["text"]) for item in bad]
