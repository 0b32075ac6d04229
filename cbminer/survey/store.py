"""The store: the light curves of a Cloud in Parquet, one row a star and band, written once and opened in milliseconds.

A store is a folder with parts, which never change, and one index, which names the parts that count and the place of
every light curve in them. A change writes new parts and then replaces the index in one step: whatever ends the
process, the old store or the new one is there. Parts that no index names are swept away by the next change.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
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
INDEX_FILE = "index.parquet"
# A row group is what is read at least: about 2 MB of numbers.
ROWS_PER_GROUP = 256

BAD_LINE = pa.struct([("line", pa.int32()), ("reason", pa.string()), ("text", pa.string())])
PART_SCHEMA = pa.schema(
    [
        ("star", pa.string()),
        ("band", pa.string()),
        ("time", pa.list_(pa.float64())),
        ("mag", pa.list_(pa.float32())),
        ("mag_err", pa.list_(pa.float32())),
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
    """A part that counts: its name, bytes, hash and number of light curves."""

    name: str
    size: int
    sha256: str
    rows: int


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
        return {name: self._index.table[name].to_numpy() for name in names}

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
        numbers = {name: int(columns[name][place]) for name in ("n_points", "size", "changed", "part", "row")}
        return StoredFile(sha256=self._index.table["sha256"][place].as_py(), **numbers)

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
        places = np.array([self._places[band].get(star, -1) for star in stars], dtype=np.int64)
        found = places >= 0
        rows = self._rows(places[found])
        return _unpack(tuple(stars), found, rows, band)

    def _rows(self, places: npt.NDArray[np.int64]) -> pa.Table:
        """Rows of the parts in the order of their places in the index."""
        part, row = self._columns["part"][places], self._columns["row"][places]
        tables, order = [], []
        for number in np.unique(part):
            mine = np.flatnonzero(part == number)
            tables.append(self._rows_of_part(int(number), row[mine]))
            order.append(mine)
        if not tables:
            return PART_SCHEMA.empty_table()
        joined = pa.concat_tables(tables)
        gathered = np.concatenate(order)
        if np.all(gathered[1:] > gathered[:-1]):
            return joined
        return joined.take(pa.array(np.argsort(gathered)))

    def _rows_of_part(self, number: int, rows: npt.NDArray[np.int32]) -> pa.Table:
        path = self.folder / self._index.parts[number].name
        groups = np.unique(rows // ROWS_PER_GROUP)
        try:
            with pq.ParquetFile(path, memory_map=True) as file:
                table = file.read_row_groups(groups.tolist(), use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise _damaged(path, error) from error
        # Where a row of the part stands among the row groups that were read.
        place = np.searchsorted(groups, rows // ROWS_PER_GROUP) * ROWS_PER_GROUP + rows % ROWS_PER_GROUP
        if len(place) == table.num_rows and np.array_equal(place, np.arange(len(place))):
            return table
        return table.take(pa.array(place))

    def damaged_parts(self) -> list[str]:
        """Hash every part and name those that are not what was written.

        Returns
        -------
        list of str
            Names of the parts that are missing or damaged.
        """
        bad = []
        for part in self._index.parts:
            path = self.folder / part.name
            if not path.exists() or path.stat().st_size != part.size or sha256_of(path) != part.sha256:
                bad.append(part.name)
        return bad

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
        numbers = [number for number, part in enumerate(self._index.parts) if part.name in names]
        mine = self._index.table.filter(pa.array(np.isin(self._columns["part"], numbers)))
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


def _damaged(path: Path, error: Exception) -> ArchiveError:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return ArchiveError(f"{path} is missing or damaged ({first}): mend it with: cbminer cache repair")


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
    if not path.exists():
        return Index((), INDEX_SCHEMA.empty_table())
    try:
        table = pq.read_table(path, memory_map=False)
        about = json.loads(table.schema.metadata[b"cbminer"])
        if about["format"] > FORMAT:
            msg = f"{path} was written by a newer version of cbminer: update this one, or choose another --cache"
            raise ArchiveError(msg)
        return Index(tuple(PartFile(**part) for part in about["parts"]), table)
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error


def _unpack(stars: tuple[str, ...], found: npt.NDArray[np.bool_], rows: pa.Table, band: Band) -> StoredCurves:
    rows = rows.combine_chunks()
    lengths = np.zeros(len(stars), dtype=np.int64)
    time, mag, mag_err = (_flat(rows, name) for name in ("time", "mag", "mag_err"))
    if rows.num_rows:
        lengths[found] = rows["time"].chunk(0).value_lengths().to_numpy(zero_copy_only=False)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    places = np.flatnonzero(found)
    return StoredCurves(
        PackedLightCurves(stars, offsets, time, mag, mag_err),
        found,
        {int(places[row]): reason for row, reason in _known(rows, "unreadable")},
        {int(places[row]): _bad_lines(stars[places[row]], band, bad) for row, bad in _known(rows, "set_aside")},
    )


def _flat(rows: pa.Table, name: str) -> npt.NDArray[Any]:
    """Values of a list column in one array, without a copy where Arrow allows it."""
    if rows.num_rows == 0:
        return np.empty(0, dtype=PART_SCHEMA.field(name).type.value_type.to_pandas_dtype())
    flat: npt.NDArray[Any] = rows[name].chunk(0).flatten().to_numpy(zero_copy_only=False)
    return flat


def _known(rows: pa.Table, name: str) -> Iterator[tuple[int, Any]]:
    """Rows in which a column that is mostly null holds something."""
    if rows.num_rows == 0:
        return
    column = rows[name].chunk(0)
    for row in np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False)):
        yield int(row), column[int(row)].as_py()


def _bad_lines(star: str, band: Band, bad: list[dict[str, Any]]) -> list[SetAside]:
    name = f"phot/{band}/{star}.dat"
    return [SetAside(name, item["line"], star, item["reason"], item["text"]) for item in bad]
