"""Writing to the store: light curves are parsed once, written as parts, and appear all at once with a new index."""

import os
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cbminer.errors import ArchiveError
from cbminer.survey.part import fsync_folder, refuse_full_disk, sha256_of, write_whole
from cbminer.survey.photometry_file import LightCurve
from cbminer.survey.store import (
    INDEX_FILE,
    INDEX_SCHEMA,
    Band,
    Index,
    PartFile,
    PartReader,
    describe_part,
    index_bytes,
    numbers,
    read_index,
)
from cbminer.survey.store_rows import SourceFile, StoreRow, part_table, row_of_file, row_of_points

__all__ = ["SourceFile", "StoreWriter", "rebuild_index"]

# A part is what is in memory and written at once: about 40 MB of numbers, and at most one light curve above 64 MB.
_ROWS_PER_PART = 4096
_POINTS_PER_PART = 1 << 22
# A row group is what is read at least: about 2 MB of numbers, and never more than the part.
_ROWS_PER_GROUP = 256


class StoreWriter:
    """Adds light curves to a store, all or none: used as a context manager, which commits at its end.

    Only one writer may be at work on a folder; the lock of the cache sees to that.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder of the store; it is made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._old = read_index(folder)
        self._rows: list[StoreRow] = []
        self._n_points = 0
        self._parts: list[PartFile] = []
        self._new: list[pa.Table] = []
        self._dropped: set[tuple[str, str]] = set()
        self._seen: set[tuple[str, str]] = set()

    def __enter__(self) -> Self:
        """Sweep away what an earlier writer left."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._sweep(self._old)
        except OSError as error:
            raise refuse_full_disk(error, self.folder / INDEX_FILE) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Commit, unless an error ends the block."""
        if kind is None:
            self._commit()
        else:
            self._rows.clear()
            self._sweep(self._old)

    def add(self, source: SourceFile) -> None:
        """Add a light curve; one of the same star and band is replaced.

        Parameters
        ----------
        source : SourceFile
            Its text file. One that cannot be read is stored as such, with the reason.

        Raises
        ------
        ArchiveError
            If this writer was given a light curve of the star and band before, or the disk is full.

        Notes
        -----
        Whether the same bytes are in the store already is not looked at: compare with
        `cbminer.survey.store.LightCurveStore.source` before, where that is likely.
        """
        self._add(row_of_file(source))

    def add_points(self, star: str, band: Band, curve: LightCurve, *, changed: int) -> None:
        """Add a light curve that came as numbers; one of the same star and band is replaced.

        Parameters
        ----------
        star : str
            Identifier of the star.
        band : {"I", "V"}
            The band.
        curve : LightCurve
            Its points. Their bytes stand for a text file, of which a light curve of a table has none.
        changed : int
            What tells the intake that it came with from others, as `drop_others` does.

        Raises
        ------
        ArchiveError
            If this writer was given a light curve of the star and band before, or the disk is full.
        """
        self._add(row_of_points(star, band, curve, changed=changed))

    def _add(self, row: StoreRow) -> None:
        key = (row.star, row.band)
        if key in self._seen:
            msg = f"two light curves of {row.star} in {row.band}: expected one a star and band"
            raise ArchiveError(msg)
        self._seen.add(key)
        self._rows.append(row)
        self._n_points += len(row.curve) + len(row.curve.set_aside)
        if len(self._rows) >= _ROWS_PER_PART or self._n_points >= _POINTS_PER_PART:
            self._write_part()

    def drop(self, curves: Iterable[tuple[str, Band]]) -> None:
        """Take light curves out of the store.

        Parameters
        ----------
        curves : iterable of (str, str)
            Stars and bands.
        """
        self._dropped.update(curves)

    def drop_others(self, changed: int) -> None:
        """Take light curves out of the store that did not come with an intake.

        Parameters
        ----------
        changed : int
            What tells the intake from others.
        """
        others = self._old.table.filter(pc.not_equal(self._old.table["changed"], changed))
        self._dropped.update(key for key in _keys(others) if key not in self._seen)

    def _write_part(self) -> None:
        if not self._rows:
            return
        # Stars that come in any order are read faster if those of a part are in order.
        self._add_part(part_table(sorted(self._rows, key=lambda row: (row.band, row.star))))
        self._rows.clear()
        self._n_points = 0

    def _add_part(self, table: pa.Table) -> None:
        temporary = self.folder / f".part.{os.getpid()}.tmp"
        try:
            with temporary.open("wb") as stream:
                pq.write_table(table, stream, row_group_size=_ROWS_PER_GROUP, **_PACKING)
                stream.flush()
                os.fsync(stream.fileno())
            part = describe_part(temporary)
            part = replace(part, name=f"{_part_stem(part.sha256)}.parquet")
            temporary.replace(self.folder / part.name)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise refuse_full_disk(error, temporary) from error
        self._new.append(index_rows(table, len(self._parts)))
        self._parts.append(part)

    def keep_sound(self, part: str) -> list[tuple[str, Band]]:
        """Save what is whole of a damaged part, by copying it to a new one.

        Parameters
        ----------
        part : str
            Name of the part.

        Returns
        -------
        list of (str, str)
            Stars and bands of the light curves that are lost; they stay where they are in the index.
        """
        number = next(number for number, item in enumerate(self._old.parts) if item.name == part)
        rows = self._old.table.filter(pc.equal(self._old.table["part"], number))
        # A row that was replaced lives on in another part.
        mine = dict.fromkeys(key for key in _keys(rows) if key not in self._seen)
        reader = PartReader(self.folder, self._old.parts[number])
        tables = [_only(reader.group(group), mine) for group in reader.sound_groups()]
        if sum(table.num_rows for table in tables):
            table = pa.concat_tables(tables)
            self._add_part(table)
            self._seen.update(_keys(table))
        return [key for key in mine if key not in self._seen]

    def _commit(self) -> None:
        self._write_part()
        index = self._merged()
        if index is None:
            return
        fsync_folder(self.folder)
        write_whole(self.folder / INDEX_FILE, index_bytes(index))
        self._sweep(index)

    def _merged(self) -> Index | None:
        """Old light curves that stay, and the new ones; None if nothing changes."""
        if not self._parts and not self._dropped:
            return None
        gone = self._dropped | self._seen
        old = self._old.table
        kept = old.filter(pa.array([key not in gone for key in _keys(old)], pa.bool_()))
        first = len(self._old.parts)
        tables = [kept.replace_schema_metadata(None)]
        for number, table in enumerate(self._new):
            shifted = pa.array(np.full(table.num_rows, first + number, dtype=np.int32))
            tables.append(table.set_column(INDEX_SCHEMA.get_field_index("part"), "part", shifted))
        return _without_empty_parts((*self._old.parts, *self._parts), pa.concat_tables(tables))

    def _sweep(self, index: Index) -> None:
        """Remove parts that the index does not name, and temporary files."""
        named = {part.name for part in index.parts}
        # What cannot be removed now, because it is being read, is swept by the next writer.
        with suppress(OSError):
            for path in self.folder.iterdir():
                leftover = path.name.startswith(".") and path.name.endswith(".tmp")
                if leftover or (path.name.startswith("part-") and path.name not in named):
                    with suppress(OSError):
                        path.unlink()


# Of times, which ascend, bytes of equal weight pack better side by side. Magnitudes and errors have three decimals, so
# there are few of each in a row group: a table of them, and where each point stands in it, is smaller and read faster.
_PACKING: dict[str, Any] = {
    "compression": "zstd",
    "use_dictionary": ["mag.list.element", "mag_err.list.element"],
    "column_encoding": {"time.list.element": "BYTE_STREAM_SPLIT"},
    "write_page_checksum": True,
}


def _keys(rows: pa.Table) -> list[tuple[str, Band]]:
    """Stars and bands."""
    return list(zip(rows["star"].to_pylist(), rows["band"].to_pylist(), strict=True))


def _only(rows: pa.Table, wanted: Collection[tuple[str, Band]]) -> pa.Table:
    return rows.filter(pa.array([key in wanted for key in _keys(rows)], pa.bool_()))


# What the index is made of.
_INDEXED = ["star", "band", "time", "size", "sha256", "changed"]


def index_rows(table: pa.Table, part: int) -> pa.Table:
    """Make the rows of the index for a part.

    Parameters
    ----------
    table : `pyarrow.Table`
        Content of the part.
    part : int
        Its number.

    Returns
    -------
    `pyarrow.Table`
        A row a light curve.
    """
    n_rows = table.num_rows
    columns = {name: table[name] for name in ("star", "band", "size", "sha256", "changed")}
    columns["part"] = pa.array(np.full(n_rows, part, dtype=np.int32))
    columns["row"] = pa.array(np.arange(n_rows, dtype=np.int32))
    columns["n_points"] = pc.cast(pc.list_value_length(table["time"]), pa.int32())
    return pa.table([columns[name] for name in INDEX_SCHEMA.names], schema=INDEX_SCHEMA)


def rebuild_index(folder: Path) -> tuple[int, int]:
    """Make the index of a store anew from its parts. The caller holds the lock of the cache.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder of the store.

    Returns
    -------
    n_curves, n_lost : int
        Light curves that are in the index now, and damaged parts that are left out of it.

    Notes
    -----
    The name of a part tells its hash. Where two parts hold the same light curve, the younger part counts.
    """
    path = folder / INDEX_FILE
    try:
        found = sorted(folder.glob("part-*.parquet"), key=lambda part: part.stat().st_mtime_ns)
    except OSError as error:
        raise refuse_full_disk(error, path) from error
    parts: list[PartFile] = []
    tables = [INDEX_SCHEMA.empty_table()]
    for place in found:
        rows = _rows_of_sound_part(place, len(parts))
        if rows is not None:
            parts.append(describe_part(place))
            tables.append(rows)
    table = pa.concat_tables(tables)
    last = {key: row for row, key in enumerate(_keys(table))}
    table = table.take(pa.array(sorted(last.values()), pa.int64()))
    write_whole(path, index_bytes(_without_empty_parts(tuple(parts), table)))
    return table.num_rows, len(found) - len(parts)


def _rows_of_sound_part(path: Path, number: int) -> pa.Table | None:
    """Make the rows of the index for a part; None if it is not what was written."""
    try:
        if path.stem != _part_stem(sha256_of(path)):
            return None
        return index_rows(pq.ParquetFile(path).read(_INDEXED), number)
    except (OSError, pa.ArrowException, KeyError):
        return None


def _part_stem(sha256: str) -> str:
    # The hash is the name: the same light curves make the same part, and a part tells whether it is whole.
    return f"part-{sha256[:24]}"


def _without_empty_parts(parts: tuple[PartFile, ...], table: pa.Table) -> Index:
    """Drop parts that no row of the index points to any more."""
    part = numbers(table["part"])
    used = np.unique(part)
    renumbered = pa.array(np.searchsorted(used, part).astype(np.int32))
    table = table.set_column(INDEX_SCHEMA.get_field_index("part"), "part", renumbered)
    return Index(tuple(parts[number] for number in used), table)
