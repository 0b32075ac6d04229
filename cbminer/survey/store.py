"""The store: the light curves of a Cloud in Parquet, one row a star and band, written once and opened in milliseconds.

A store is a folder with parts, which never change, and one index, which names the parts that count and the place of
every light curve in them. A change writes new parts and then replaces the index in one step: whatever ends the
process, the old store or the new one is there. Parts that no index names are swept away by the next change.

Parts are plain Parquet.
"""

import hashlib
import itertools
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from cbminer.errors import ArchiveError
from cbminer.survey.packed import PackedLightCurves
from cbminer.survey.part import sha256_of
from cbminer.survey.star_names import StarNames, Stars, name_list, star_names
from cbminer.survey.store_index import (
    INDEX_FILE,
    INDEX_SCHEMA,
    Band,
    Index,
    PartFile,
    damaged,
    index_bytes,
    numbers,
    one_chunk,
    read_index,
)
from cbminer.survey.store_places import BandPlaces, StorePlaces
from cbminer.survey.textfile import SetAside

__all__ = [
    "INDEX_FILE",
    "INDEX_SCHEMA",
    "Band",
    "Index",
    "LightCurveStore",
    "PartFile",
    "PartReader",
    "StoredCurves",
    "StoredFile",
    "describe_part",
    "index_bytes",
    "numbers",
    "read_index",
]

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
        self._index = StorePlaces(folder)
        self._parts = [PartReader(folder, part) for part in self._index.parts]
        self._last: tuple[int, int, pa.Table] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Send a store to another process as its place, where it is opened once and must be the same."""
        from cbminer.engine_store import store_on_worker

        return store_on_worker, (self.folder.resolve(), self.index_digest)

    @property
    def index_digest(self) -> str:
        """SHA-256 of the index as it was opened, which names all that is in the store; empty without one."""
        return self._index.digest.hex()

    def __len__(self) -> int:
        """Count the light curves."""
        return sum(len(places.names) for places in self._index.bands.values())

    def names(self, band: Band = "I") -> StarNames:
        """List the stars with a light curve in a band, in little memory.

        Parameters
        ----------
        band : {"I", "V"}, optional
            The band.

        Returns
        -------
        `~numpy.ndarray`
            Identifiers as bytes (dtype S), sorted.
        """
        return self._index.bands[band].names

    def stars(self, band: Band = "I") -> list[str]:
        """List the stars with a light curve in a band.

        Parameters
        ----------
        band : {"I", "V"}, optional
            The band.

        Returns
        -------
        list of str
            Identifiers, sorted.
        """
        return name_list(self.names(band))

    def has(self, stars: Stars, band: Band = "I") -> npt.NDArray[np.bool_]:
        """Tell which stars have a light curve.

        Parameters
        ----------
        stars : iterable of str, or `~numpy.ndarray` of bytes
            Identifiers.
        band : {"I", "V"}, optional
            The band.

        Returns
        -------
        `~numpy.ndarray`
            Whether the store has it, shape (n,).
        """
        return self._index.bands[band].find(star_names(stars)) >= 0

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

        Notes
        -----
        Of many stars `sources` tells the same in one go.
        """
        return self.sources([star], band)[0]

    def sources(self, stars: Stars, band: Band = "I") -> list[StoredFile | None]:
        """Look up the text files that light curves came from.

        Parameters
        ----------
        stars : iterable of str, or `~numpy.ndarray` of bytes
            Identifiers. What is known of each takes half a kilobyte: ask for some thousand at a time.
        band : {"I", "V"}, optional
            The band.

        Returns
        -------
        list of (StoredFile or None)
            What is known of each; None if the store does not have the light curve.

        Raises
        ------
        ArchiveError
            If another process has replaced one of the light curves since the store was opened.
        """
        mine = self._index.bands[band]
        places = mine.find(star_names(stars))
        known = places[places >= 0]
        table = self._index.details(band, known, ["size", "sha256", "changed"])
        columns: dict[str, list[Any]] = {
            name: getattr(mine, name)[known].tolist() for name in ("n_points", "part", "row")
        }
        columns |= {name: table[name].to_pylist() for name in table.column_names}
        files = (StoredFile(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True))
        return [next(files) if place >= 0 else None for place in places.tolist()]

    def states(self, stars: Stars, band: Band = "I") -> npt.NDArray[np.int64]:
        """Tell the state in which the text files of light curves were read.

        Parameters
        ----------
        stars : iterable of str, or `~numpy.ndarray` of bytes
            Identifiers.
        band : {"I", "V"}, optional
            The band.

        Returns
        -------
        `~numpy.ndarray`
            Bytes, and time of the last change in ns or 0 where there was no such file; -1 and 0 where the store does
            not have the light curve. Shape (n, 2).
        """
        places = self._index.bands[band].find(star_names(stars))
        found = places >= 0
        table = self._index.details(band, places[found], ["size", "changed"])
        result = np.full((len(places), 2), (-1, 0), dtype=np.int64)
        result[found, 0], result[found, 1] = numbers(table["size"]), numbers(table["changed"])
        return result

    def curves(self) -> list[tuple[str, Band]]:
        """List all light curves.

        Returns
        -------
        list of (str, str)
            Stars and bands.
        """
        return [(star, band) for band in self._index.bands for star in self.stars(band)]

    def curves_without_file(self) -> Iterator[tuple[str, Band]]:
        """List the light curves that came in a tarball, or from a server.

        Yields
        ------
        (str, str)
            Stars and bands of those that were not read from a file of their own in a folder of the user.
        """
        for band in self._index.bands:
            names = self.names(band)
            for name in names[self.states(names, band)[:, 1] == 0].tolist():
                yield name.decode(), band

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
        return bool(self.states([star], band)[0, 1])

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
        mine = self._index.bands[band]
        places = mine.find(star_names(stars))
        found = places >= 0
        lengths = np.zeros(len(places), dtype=np.int64)
        lengths[found] = mine.n_points[places[found]]
        stored = StoredCurves(_room_for(tuple(stars), lengths), found)
        for rows, wanted in self._blocks(mine, places):
            _fill(stored, wanted, rows, band)
        return stored

    def _blocks(self, band: BandPlaces, places: npt.NDArray[np.int64]) -> Iterator[tuple[pa.Table, "_Wanted"]]:
        """Read the row groups that hold some light curves, each once, and tell which of their rows are wanted.

        One row group is in memory at a time, and the rows that are wanted of it are copied: so the memory that a read
        takes is that of its result, however its stars are scattered over the store.
        """
        wanted = np.flatnonzero(places >= 0)
        part, row = (column[places[wanted]].astype(np.int32) for column in (band.part, band.row))
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
        wanted = np.flatnonzero(np.isin(self._index.part_names, list(parts)))
        return [
            (name.decode(), band)
            for band, places in self._index.bands.items()
            for name in places.names[np.isin(places.part, wanted)].tolist()
        ]

    def digest(self) -> str:
        """Hash what is stored, whatever the parts and the order in which it came.

        Returns
        -------
        str
            SHA-256 over stars, bands and hashes of the text files.
        """
        lines: list[str] = []
        for band, places in self._index.bands.items():
            table = self._index.details(band, np.arange(len(places.names)), ["sha256"])
            hashes = table["sha256"].to_pylist()
            lines += (f"{star} {band} {sha256}" for star, sha256 in zip(self.stars(band), hashes, strict=True))
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


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
            raise damaged(self.path, error.strerror or str(error)) from error
        if size != self.part.size:
            raise damaged(self.path, f"it has {size} bytes, should have {self.part.size}")
        if found != self.part.checks[piece]:
            raise damaged(self.path, "its bytes have changed")

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
            raise damaged(self.path, str(error)) from error

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
        lists = one_chunk(rows[name])
        offsets, values = numbers(lists.offsets), numbers(lists.values)
        points: npt.NDArray[Any] = getattr(curves, name)
        for source, target in wanted.runs():
            ours = slice(curves.offsets[target.start], curves.offsets[target.stop])
            points[ours] = values[offsets[source.start] : offsets[source.stop]]
    for place, reason in _known(rows["unreadable"], wanted):
        stored.unreadable[place] = reason
    for place, bad in _known(rows["set_aside"], wanted):
        stored.set_aside[place] = _bad_lines(curves.stars[place], band, bad)


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
