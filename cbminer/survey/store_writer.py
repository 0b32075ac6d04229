"""Writing to the store: light curves are parsed once, written as parts, and appear all at once with a new index."""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cbminer.errors import ArchiveError, InputFormatError
from cbminer.survey.part import fsync_folder, refuse_full_disk, sha256_of
from cbminer.survey.photometry_file import LightCurve, parse_light_curve
from cbminer.survey.store import (
    BAD_LINE,
    FORMAT,
    INDEX_FILE,
    INDEX_SCHEMA,
    PART_SCHEMA,
    ROWS_PER_GROUP,
    Band,
    Index,
    PartFile,
    read_index,
)

__all__ = ["SourceFile", "StoreWriter"]

# A part is what is written at once: about 40 MB of numbers.
_ROWS_PER_PART = 4096


@dataclass(frozen=True)
class SourceFile:
    """The text file that a light curve came from.

    Attributes
    ----------
    star, band : str
        Whose it is.
    data : bytes
        Its content.
    changed : int
        Time of its last change in ns, where it stays in a folder of the user; 0 otherwise.
    """

    star: str
    band: Band
    data: bytes
    changed: int = 0


@dataclass(frozen=True)
class _Row:
    """A light curve that is to be written."""

    star: str
    band: Band
    curve: LightCurve
    unreadable: str | None
    size: int
    sha256: str
    changed: int


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
        self._rows: list[_Row] = []
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
        """
        key = (source.star, source.band)
        if key in self._seen:
            msg = f"two light curves of {source.star} in {source.band}: expected one a star and band"
            raise ArchiveError(msg)
        self._seen.add(key)
        self._rows.append(_parse(source))
        if len(self._rows) >= _ROWS_PER_PART:
            self._write_part()

    def drop(self, curves: Iterable[tuple[str, Band]]) -> None:
        """Take light curves out of the store.

        Parameters
        ----------
        curves : iterable of (str, str)
            Stars and bands.
        """
        self._dropped.update(curves)

    def _write_part(self) -> None:
        if not self._rows:
            return
        number = len(self._parts)
        table = _part_table(self._rows)
        temporary = self.folder / f".part.{os.getpid()}.tmp"
        _write_parquet(temporary, table, _ENCODING)
        digest = sha256_of(temporary)
        final = self.folder / f"part-{digest[:24]}.parquet"
        size = temporary.stat().st_size
        temporary.replace(final)
        self._parts.append(PartFile(final.name, size, digest, len(self._rows)))
        self._new.append(_index_table(self._rows, number))
        self._rows.clear()

    def _commit(self) -> None:
        self._write_part()
        index = self._merged()
        if index is None:
            return
        about = json.dumps({"format": FORMAT, "parts": [asdict(part) for part in index.parts]}, sort_keys=True)
        table = index.table.replace_schema_metadata({b"cbminer": about.encode()})
        temporary = self.folder / f".{INDEX_FILE}.{os.getpid()}.tmp"
        fsync_folder(self.folder)
        _write_parquet(temporary, table, {})
        temporary.replace(self.folder / INDEX_FILE)
        fsync_folder(self.folder)
        self._sweep(index)

    def _merged(self) -> Index | None:
        """Old light curves that stay, and the new ones; None if nothing changes."""
        if not self._parts and not self._dropped:
            return None
        gone = self._dropped | self._seen
        old = self._old.table
        keys = zip(old["star"].to_pylist(), old["band"].to_pylist(), strict=True)
        kept = old.filter(pa.array([key not in gone for key in keys], pa.bool_()))
        first = len(self._old.parts)
        tables = [kept.replace_schema_metadata(None)]
        for number, table in enumerate(self._new):
            shifted = pa.array(np.full(table.num_rows, first + number, dtype=np.int32))
            tables.append(table.set_column(INDEX_SCHEMA.get_field_index("part"), "part", shifted))
        return _without_empty_parts((*self._old.parts, *self._parts), pa.concat_tables(tables))

    def _sweep(self, index: Index) -> None:
        """Remove parts that the index does not name, and temporary files."""
        named = {part.name for part in index.parts}
        for path in self.folder.iterdir():
            leftover = path.name.startswith(".") and path.name.endswith(".tmp")
            if leftover or (path.name.startswith("part-") and path.name not in named):
                path.unlink(missing_ok=True)


# Bytes of equal weight side by side pack better: times ascend and magnitudes vary little.
_ENCODING = dict.fromkeys(("time.list.element", "mag.list.element", "mag_err.list.element"), "BYTE_STREAM_SPLIT")


def _write_parquet(path: Path, table: pa.Table, encoding: dict[str, str]) -> None:
    """Write a file and bring it to the disk."""
    try:
        with path.open("wb") as stream:
            pq.write_table(
                table,
                stream,
                row_group_size=ROWS_PER_GROUP if encoding else None,
                compression="zstd",
                use_dictionary=False if encoding else ["band"],
                column_encoding=encoding or None,
                write_page_checksum=True,
            )
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise refuse_full_disk(error, path) from error


def _parse(source: SourceFile) -> _Row:
    name = Path("phot") / source.band / f"{source.star}.dat"
    digest = hashlib.sha256(source.data).hexdigest()
    try:
        curve, unreadable = parse_light_curve(name, source.data), None
    except InputFormatError as error:
        nothing = np.empty(0, dtype=np.float32)
        curve, unreadable = LightCurve(np.empty(0), nothing, nothing), str(error)
    return _Row(source.star, source.band, curve, unreadable, len(source.data), digest, source.changed)


def _part_table(rows: Sequence[_Row]) -> pa.Table:
    curves = [row.curve for row in rows]
    offsets = pa.array(np.concatenate(([0], np.cumsum([len(curve) for curve in curves]))).astype(np.int32))
    columns = [pa.array([row.star for row in rows]), pa.array([row.band for row in rows])]
    for name in ("time", "mag", "mag_err"):
        values = np.concatenate([getattr(curve, name) for curve in curves])
        columns.append(pa.ListArray.from_arrays(offsets, pa.array(values)))
    bad = [
        [{"line": item.line, "reason": item.reason, "text": item.text} for item in curve.set_aside] or None
        for curve in curves
    ]
    columns.append(pa.array([curve.n_missing for curve in curves], pa.int32()))
    columns.append(pa.array([row.unreadable for row in rows], pa.string()))
    columns.append(pa.array(bad, pa.list_(BAD_LINE)))
    return pa.table(columns, schema=PART_SCHEMA)


def _index_table(rows: Sequence[_Row], part: int) -> pa.Table:
    columns = {
        "star": [row.star for row in rows],
        "band": [row.band for row in rows],
        "part": [part] * len(rows),
        "row": list(range(len(rows))),
        "n_points": [len(row.curve) for row in rows],
        "size": [row.size for row in rows],
        "sha256": [row.sha256 for row in rows],
        "changed": [row.changed for row in rows],
    }
    return pa.table(columns, schema=INDEX_SCHEMA)


def _without_empty_parts(parts: tuple[PartFile, ...], table: pa.Table) -> Index:
    """Drop parts that no row of the index points to any more."""
    numbers = table["part"].to_numpy()
    used = np.unique(numbers)
    renumbered = pa.array(np.searchsorted(used, numbers).astype(np.int32))
    table = table.set_column(INDEX_SCHEMA.get_field_index("part"), "part", renumbered)
    return Index(tuple(parts[number] for number in used), table)
