"""The judged stars of a finished run."""

import difflib
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.table import MaskedColumn, QTable

from cbminer.catalogue.schema import spec_of
from cbminer.columns import float_column, label_column, text_column, values
from cbminer.errors import OutputError, UnknownStarError
from cbminer.star_blocks import STARS_A_BLOCK

__all__ = ["JUDGED_FILE", "JudgedBlocks", "choose_stars", "judged_blocks", "read_judged", "star_rows"]

JUDGED_FILE = "judged.fits"
# Formats of FITS that a column of the file may have: a text, or one number or truth value a star.
_FORMAT = re.compile(r"\d*A|1?[LIJKED]")
_DAMAGED = (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError)


class JudgedBlocks:
    """Every star of a run, read from its file block by block and as often as it is gone through.

    Nothing of the file stays in memory: of a file that is mapped, every page that was read would.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    stars_a_block : int, optional
        Stars of a block; the last one has those that are left.

    Raises
    ------
    OutputError
        If it cannot be read.
    """

    def __init__(self, path: Path, *, stars_a_block: int = STARS_A_BLOCK) -> None:
        self.path, self.stars_a_block = path, stars_a_block
        try:
            # What a header that is cut off warns of ends in an error below, which says more.
            with path.open("rb") as file, warnings.catch_warnings(action="ignore"), fits.open(file) as opened:
                table = opened[1]
                self._columns: dict[str, fits.Column] = {column.name: column for column in table.columns}
                self._row = table.columns.dtype.newbyteorder(">")
                self._begin, self._n_stars = int(table.fileinfo()["datLoc"]), int(table.header["NAXIS2"])
        except _DAMAGED as error:
            raise _unreadable(path) from error
        for column in self._columns.values():
            if not _FORMAT.fullmatch(column.format) or column.bzero or column.bscale or column.dim:
                raise _unreadable(path)

    def __len__(self) -> int:
        """Count the stars."""
        return self._n_stars

    def __iter__(self) -> Iterator[QTable]:
        """Read the stars, block by block, with the columns that the file has."""
        return self.columns(list(self._columns))

    def columns(self, names: Sequence[str]) -> Iterator[QTable]:
        """Read some columns of the stars, block by block.

        Parameters
        ----------
        names : sequence of str
            Columns of the schema or of the file. One that an earlier version did not write is wholly masked.

        Yields
        ------
        `~astropy.table.QTable`
            These columns of a block; one block without stars if there are none.
        """
        for first in range(0, max(self._n_stars, 1), self.stars_a_block):
            yield self._table(self._raw(first), names)

    def rows(self, places: npt.NDArray[np.int64]) -> QTable:
        """Read some stars.

        Parameters
        ----------
        places : `~numpy.ndarray`
            Their places in the file, counted from 0, in whatever order.

        Returns
        -------
        `~astropy.table.QTable`
            The stars in this order, with the columns that the file has.
        """
        found = np.empty(len(places), dtype=self._row)
        block = places // self.stars_a_block
        for number in np.unique(block):
            mine = block == number
            first = int(number) * self.stars_a_block
            found[mine] = self._raw(first)[places[mine] - first]
        return self._table(found, list(self._columns))

    def _raw(self, first: int) -> npt.NDArray[Any]:
        count = min(self.stars_a_block, self._n_stars - first)
        try:
            rows = np.fromfile(self.path, self._row, count=count, offset=self._begin + first * self._row.itemsize)
        except OSError as error:
            raise _unreadable(self.path) from error
        if len(rows) < count:
            raise _unreadable(self.path)
        return rows

    def _table(self, rows: npt.NDArray[Any], names: Sequence[str]) -> QTable:
        try:
            columns = {
                name: _column(rows[name], self._columns[name]) if name in self._columns else _absent(name, len(rows))
                for name in names
            }
        except ValueError as error:
            raise _unreadable(self.path) from error
        return QTable(columns, copy=False)


def _column(stored: npt.NDArray[Any], column: fits.Column) -> Any:
    code = column.format[-1]
    if code == "A":
        return text_column(np.char.rstrip(np.char.decode(stored, "ascii")))
    if code == "L":
        return stored == ord("T")
    if code in "ED":
        return float_column(stored, column.unit or "")
    return MaskedColumn(stored.astype(np.int64), mask=stored == column.null if column.null is not None else False)


def _absent(name: str, n_stars: int) -> Any:
    """Make the column that `cbminer.catalogue.schema.conform` gives a table without it."""
    spec = spec_of(name)
    if spec.kind == "float":
        return float_column(np.full(n_stars, np.nan), spec.unit)
    if spec.kind == "text":
        return text_column([""] * n_stars)
    return MaskedColumn(np.zeros(n_stars, dtype=np.int64 if spec.kind == "integer" else bool), mask=True)


def _unreadable(path: Path) -> OutputError:
    return OutputError(f"{path} cannot be read: run the selection again with --overwrite")


def judged_blocks(run: Path) -> JudgedBlocks:
    """Read every star of a run, block by block.

    Parameters
    ----------
    run : `~pathlib.Path`
        Output folder of the run.

    Returns
    -------
    JudgedBlocks
        The table judged.fits.

    Raises
    ------
    OutputError
        If it cannot be read.
    """
    return JudgedBlocks(run / JUDGED_FILE)


def read_judged(run: Path) -> QTable:
    """Read every star of a run at once.

    Parameters
    ----------
    run : `~pathlib.Path`
        Output folder of the run.

    Returns
    -------
    `~astropy.table.QTable`
        The table judged.fits.

    Raises
    ------
    OutputError
        If it cannot be read.
    """
    path = run / JUDGED_FILE
    try:
        return QTable.read(path, format="fits")
    except (OSError, ValueError) as error:
        raise _unreadable(path) from error


def star_rows(judged: JudgedBlocks, names: Sequence[str], *, run: Path) -> npt.NDArray[np.int64]:
    """Find stars by name.

    Parameters
    ----------
    judged : JudgedBlocks
        Judged stars of a run.
    names : sequence of str
        Identifiers, in whatever case.
    run : `~pathlib.Path`
        Folder of the run, for messages.

    Returns
    -------
    `~numpy.ndarray`
        Their places, in the order of the names; a star that is named twice is there once.

    Raises
    ------
    UnknownStarError
        If a name is not in the run.
    """
    wanted = list(dict.fromkeys(name.strip().upper() for name in names))
    found: dict[str, int] = {}
    first = 0
    for block in judged.columns(["id"]):
        known = np.char.upper(label_column(block, "id"))
        for row in np.flatnonzero(np.isin(known, wanted)):
            found.setdefault(str(known[row]), first + int(row))
        first += len(block)
    for name in names:
        if name.strip().upper() not in found:
            known = np.concatenate([np.char.upper(label_column(block, "id")) for block in judged.columns(["id"])])
            raise _unknown(name, known.tolist(), run)
    return np.array([found[name] for name in wanted], dtype=np.int64)


def _unknown(star: str, known: Sequence[str], run: Path) -> UnknownStarError:
    near = difflib.get_close_matches(star.strip().upper(), known, n=3)
    hint = f"; the nearest names are {', '.join(near)}" if near else ""
    return UnknownStarError(f"{star} is not in the run {run}{hint}")


def choose_stars(judged: QTable, names: Sequence[str], *, run: Path, best: int) -> QTable:
    """Choose stars by name, or the best.

    Parameters
    ----------
    judged : `~astropy.table.QTable`
        Judged stars of a run.
    names : sequence of str
        Identifiers, in whatever case; none for the best candidates.
    run : `~pathlib.Path`
        Folder of the run, for messages.
    best : int
        How many candidates at most.

    Returns
    -------
    `~astropy.table.QTable`
        Their rows, in the order of the ranks or of the names.

    Raises
    ------
    UnknownStarError
        If a name is not in the run.
    OutputError
        If no star has a rank, and none is named.
    """
    if not names:
        rank = values(judged, "rank")
        ranked = np.flatnonzero(rank > 0)
        if not len(ranked):
            msg = f"no star of {run} has a rank: name the stars that you mean"
            raise OutputError(msg)
        return judged[ranked[np.argsort(rank[ranked], kind="stable")][:best]]
    known = {str(name): row for row, name in reversed(list(enumerate(np.char.upper(label_column(judged, "id")))))}
    rows = []
    for star in names:
        name = star.strip().upper()
        if name not in known:
            raise _unknown(star, list(known), run)
        rows.append(known[name])
    return judged[list(dict.fromkeys(rows))]
