"""Where every light curve of a store is, in little memory: some thirty bytes a light curve.

What is asked of few stars at a time - sizes, times and hashes of their text files - stays on disk, in the index.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cbminer.errors import ArchiveError
from cbminer.survey.star_names import StarNames, find_names, names_of_column
from cbminer.survey.store_index import INDEX_SCHEMA, Band, PartFile, numbers, opened_index, reopened_index

__all__ = ["BandPlaces", "StorePlaces"]

_BANDS: tuple[Band, ...] = ("I", "V")
_NUMBERS = ("part", "row", "n_points")
_ROWS_AT_ONCE = 1 << 13

IntArray = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class BandPlaces:
    """Places of the light curves of a band, in the order of their stars.

    Attributes
    ----------
    names : `~numpy.ndarray`
        Stars in ascending order, shape (n,).
    part, row : `~numpy.ndarray`
        Number of the part, and row in it, shape (n,).
    n_points : `~numpy.ndarray`
        Points of each light curve, shape (n,).
    index_row : `~numpy.ndarray`
        Row of the index, shape (n,).
    """

    names: StarNames
    part: IntArray
    row: IntArray
    n_points: IntArray
    index_row: IntArray

    def find(self, wanted: StarNames) -> npt.NDArray[np.int64]:
        """Find stars.

        Parameters
        ----------
        wanted : `~numpy.ndarray`
            Stars, shape (m,).

        Returns
        -------
        `~numpy.ndarray`
            Their places, -1 where there is no light curve, shape (m,).
        """
        return find_names(self.names, wanted)


class StorePlaces:
    """Places of the light curves of a store as its index has them at the moment.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder of the store; without an index it is empty.

    Attributes
    ----------
    parts : tuple of PartFile
        Parts that count.
    bands : dict of str to BandPlaces
        Places by band.
    digest : bytes
        SHA-256 of the index; empty without one.

    Raises
    ------
    ArchiveError
        If the index is damaged, or of a newer version of cbminer.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parts: tuple[PartFile, ...] = ()
        self.digest = b""
        pieces: dict[Band, list[dict[str, Any]]] = {band: [] for band in _BANDS}
        with opened_index(folder) as opened:
            if opened is not None:
                file, self.parts, self.digest = opened
                _read_places(file, pieces)
        self.bands = {band: _joined(pieces.pop(band)) for band in _BANDS}

    def details(self, band: Band, places: npt.NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
        """Look up what the index says of light curves.

        Parameters
        ----------
        band : {"I", "V"}
            The band.
        places : `~numpy.ndarray`
            Places of the light curves, shape (n,).
        columns : sequence of str
            Columns of the index.

        Returns
        -------
        `pyarrow.Table`
            A row a place, in their order.

        Raises
        ------
        ArchiveError
            If the index is damaged, or another process has replaced one of the light curves.
        """
        if not len(places):
            return INDEX_SCHEMA.empty_table().select(list(columns))
        with reopened_index(self.folder, self.digest) as file:
            if file is not None:
                return _rows_at(file, self.bands[band].index_row[places], columns)
        return self._details_of_successor(band, places, columns)

    def _details_of_successor(self, band: Band, places: npt.NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
        """Look up light curves in a newer index, where each must still be in the same place: parts never change."""
        now, mine = StorePlaces(self.folder), self.bands[band]
        theirs = now.bands[band]
        found = theirs.find(mine.names[places])
        if (found < 0).any() or not (
            np.array_equal(theirs.row[found], mine.row[places])
            and np.array_equal(now.part_names[theirs.part[found]], self.part_names[mine.part[places]])
        ):
            msg = f"{self.folder} was changed by another process while it was read: run the command again"
            raise ArchiveError(msg)
        return now.details(band, found, columns)

    @property
    def part_names(self) -> npt.NDArray[np.str_]:
        """Names of the parts."""
        return np.array([part.name for part in self.parts], dtype=str)


def _read_places(file: pq.ParquetFile, pieces: dict[Band, list[dict[str, Any]]]) -> None:
    first = 0
    for batch in file.iter_batches(_ROWS_AT_ONCE, columns=["star", "band", *_NUMBERS], use_threads=False):
        in_i = np.asarray(pc.equal(batch["band"], "I"), dtype=bool)
        names = names_of_column(batch["star"])
        columns = {name: numbers(batch[name]) for name in _NUMBERS}
        columns["index_row"] = np.arange(first, first + batch.num_rows, dtype=np.int32)
        for band, mine in zip(_BANDS, (in_i, ~in_i), strict=True):
            pieces[band].append({"names": names[mine]} | {name: data[mine] for name, data in columns.items()})
        first += batch.num_rows


def _joined(pieces: list[dict[str, Any]]) -> BandPlaces:
    names: StarNames = np.concatenate([piece.pop("names") for piece in pieces] or [np.empty(0, dtype="S1")])
    order = None if (names[1:] > names[:-1]).all() else np.argsort(names, kind="stable")
    columns = {}
    for name in (*_NUMBERS, "index_row"):
        data = np.concatenate([piece.pop(name) for piece in pieces] or [np.empty(0, dtype=np.int32)])
        narrow = data.astype(np.min_scalar_type(int(data.max(initial=0))))
        columns[name] = narrow if order is None else narrow[order]
    return BandPlaces(names if order is None else names[order], **columns)


def _rows_at(file: pq.ParquetFile, rows: IntArray, columns: Sequence[str]) -> pa.Table:
    """Read some rows of an index, group by group."""
    wanted, where = np.unique(rows, return_inverse=True)
    tables, first = [], 0
    for number in range(file.num_row_groups):
        n_rows = file.metadata.row_group(number).num_rows
        start, end = np.searchsorted(wanted, [first, first + n_rows])
        if start < end:
            group = file.read_row_group(number, columns=list(columns), use_threads=False)
            tables.append(group.take(pa.array(wanted[start:end] - first)))
        first += n_rows
    return pa.concat_tables(tables).take(pa.array(where))
