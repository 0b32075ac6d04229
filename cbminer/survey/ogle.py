"""OGLE's collection of eclipsing and ellipsoidal binaries: its catalogue files, joined by star.

The files are read some thousand lines at a time, and of their stars only what joins them stays in memory: the stars
themselves wait on disk.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from astropy.table import QTable, vstack

from cbminer.columns import FloatArray, label_column
from cbminer.errors import OutputError
from cbminer.star_blocks import StarBlocks
from cbminer.survey.ogle_files import REQUIRED_FILES, Ledger, StarRows, read_rows
from cbminer.survey.ogle_rows import IDENTITY_SCHEMA, identity_rows, parameter_rows
from cbminer.survey.star_names import StarNames, name_list, names_of_column, star_names
from cbminer.survey.stars import PARAMETER_NAMES, table_of_columns
from cbminer.survey.textfile import SetAside, read_line_blocks

__all__ = [
    "CATALOGUE_FILES",
    "REQUIRED_FILES",
    "CatalogueReading",
    "ColumnBlocks",
    "read_catalogue",
    "recognise_release",
]

CATALOGUE_FILES = ("ident.dat", "ecl.dat", "ell.dat", "remarks.txt")
# Numbers of stars by which a release is known: (galaxy, stars) -> name.
_RELEASES = {
    ("LMC", 40204): "OGLE-IV, Pawlak et al. 2016",
    ("SMC", 8401): "OGLE-IV, Pawlak et al. 2016",
    ("LMC", 26121): "OGLE-III, Graczyk et al. 2011",
    ("SMC", 6138): "OGLE-III, Pawlak et al. 2013",
}
_LATEST = "OGLE-IV, later than Pawlak et al. 2016 (Glowacki et al. 2025 or after)"
_UNKNOWN_RELEASE = "not recognised"


class ColumnBlocks(Protocol):
    """Tables of stars that can be gone through more than once, whole or some columns of them."""

    def __iter__(self) -> Iterator[QTable]:
        """Read the stars, block by block."""

    def columns(self, names: Sequence[str]) -> Iterator[QTable]:
        """Read some columns, block by block."""


@dataclass(frozen=True)
class CatalogueReading:
    """A catalogue as it was read, and everything that did not make it into the table.

    Attributes
    ----------
    blocks : ColumnBlocks or list of `~astropy.table.QTable`
        A row a star, in tables that fit into memory.
    set_aside : list of SetAside
        Lines that were kept out, with the reason.
    counts : dict of str to int
        Lines, stars and what was set aside, by file and reason.
    release : str
        Release of the survey, recognised by its number of stars.
    """

    blocks: ColumnBlocks | list[QTable]
    set_aside: list[SetAside]
    counts: dict[str, int]
    release: str

    @property
    def stars(self) -> QTable:
        """All stars in one table, which takes about a kilobyte a star."""
        blocks = list(self.blocks)
        return vstack(blocks) if len(blocks) > 1 else blocks[0]

    @property
    def n_stars(self) -> int:
        """Number of stars."""
        return self.counts["stars"]

    def ids(self) -> StarNames:
        """List the identifiers of all stars.

        Returns
        -------
        `~numpy.ndarray`
            UTF-8 as bytes (dtype S), shape (n,).
        """
        blocks = self.blocks if isinstance(self.blocks, list) else self.blocks.columns(["id"])
        return np.concatenate([star_names(label_column(block, "id").tolist()) for block in blocks])


def recognise_release(galaxy: str, n_stars: int) -> str:
    """Name the release of the catalogue by its number of stars, where that is known.

    Parameters
    ----------
    galaxy : {"LMC", "SMC"}
        Galaxy of the catalogue.
    n_stars : int
        Rows of ident.dat.

    Returns
    -------
    str
        Name of the release, or ``"not recognised"``.
    """
    known = _RELEASES.get((galaxy, n_stars))
    if known:
        return known
    newest_counted = max(count for (name, count) in _RELEASES if name == galaxy)
    return _LATEST if n_stars > newest_counted else _UNKNOWN_RELEASE


def read_catalogue(folder: Path, galaxy: str, *, strict: bool = False) -> CatalogueReading:
    """Read ident.dat, ecl.dat, ell.dat and remarks.txt of one Cloud and join them by star.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder with the files; ell.dat and remarks.txt may be absent.
    galaxy : {"LMC", "SMC"}
        Galaxy that every star must belong to.
    strict : bool, optional
        Whether the first malformed line is an error instead of being set aside.

    Returns
    -------
    CatalogueReading
        The stars and what was set aside.

    Raises
    ------
    InputFormatError
        If a file is missing, empty, of another layout, or, with `strict`, has a malformed line.
    OutputError
        If there is no room for the stars on disk.
    """
    ledger = Ledger()
    try:
        with tempfile.TemporaryFile(prefix="cbminer-catalogue-") as spool:
            identities = _read_identities(folder / "ident.dat", galaxy, spool, ledger, strict=strict)
            parameters = _read_parameters(folder, galaxy, ledger, strict=strict)
            remarks = _read_remarks(folder / "remarks.txt", identities, ledger)
            _compare(identities, parameters, ledger)
            blocks = StarBlocks()
            for block in _joined(spool, identities, parameters, remarks, galaxy):
                blocks.append(block)
    except OSError as error:
        msg = (
            f"stars cannot wait in {tempfile.gettempdir()} ({error}): free space there, or set the environment "
            "variable TMPDIR to another folder"
        )
        raise OutputError(msg) from error
    ledger.counts["stars"] = len(identities.rows)
    release = recognise_release(galaxy, len(identities.rows))
    return CatalogueReading(blocks, ledger.set_aside, ledger.counts, release)


def _read_identities(path: Path, galaxy: str, spool: IO[bytes], ledger: Ledger, *, strict: bool) -> StarRows:
    """Read ident.dat; its rows go to the spool, since together they are too large for the memory."""
    with pa.ipc.new_stream(spool, IDENTITY_SCHEMA) as waiting:
        return read_rows(path, partial(identity_rows, galaxy=galaxy), waiting.write_table, ledger, strict=strict)


@dataclass(frozen=True)
class _FileParameters:
    """What ecl.dat or ell.dat says: its stars, and the numbers of its rows, each of shape (n,)."""

    stars: StarRows
    numbers: dict[str, FloatArray]


def _read_parameters(folder: Path, galaxy: str, ledger: Ledger, *, strict: bool) -> list[_FileParameters]:
    """Read ecl.dat and ell.dat; a star in both keeps its row of ecl.dat, which comes first."""
    found: list[_FileParameters] = []
    for name in ("ecl.dat", "ell.dat"):
        path = folder / name
        if name not in REQUIRED_FILES and not path.exists():
            ledger.counts[f"{name} missing"] = 1
            continue
        waiting = _Numbers()
        stars = read_rows(path, partial(parameter_rows, galaxy=galaxy), waiting.append, ledger, strict=strict)
        both = [stars.in_file_order(earlier.stars.find(stars.names) >= 0) for earlier in found]
        reason = "expected the star in one of ecl.dat and ell.dat, found it in both"
        ledger.add(
            (SetAside(name, 0, star, reason, "") for names in both for star in name_list(names)),
            "stars in both ecl.dat and ell.dat",
        )
        found.append(_FileParameters(stars, waiting.joined()))
    return found


class _Numbers:
    """Columns of numbers that grow block by block."""

    def __init__(self) -> None:
        self._pieces: dict[str, list[FloatArray]] = {name: [] for name in PARAMETER_NAMES}

    def append(self, table: pa.Table) -> None:
        for name, pieces in self._pieces.items():
            pieces.append(table[name].to_numpy())

    def joined(self) -> dict[str, FloatArray]:
        """Join the pieces column by column, so that only one is in memory twice."""
        return {name: np.concatenate(self._pieces.pop(name)) for name in PARAMETER_NAMES}


@dataclass(frozen=True)
class _Remarks:
    """Remarks, and the row of ident.dat of each, in ascending order."""

    rows: npt.NDArray[np.int32]
    texts: pa.Array

    def of_rows(self, first: int, n_rows: int) -> list[str]:
        """Remarks of neighbouring rows; several of a star in one."""
        start, end = np.searchsorted(self.rows, [first, first + n_rows])
        remarks = [""] * n_rows
        for row, text in zip(self.rows[start:end].tolist(), self.texts[start:end].to_pylist(), strict=True):
            before = remarks[row - first]
            remarks[row - first] = f"{before}; {text}" if before else text
        return remarks


def _read_remarks(path: Path, identities: StarRows, ledger: Ledger) -> _Remarks:
    """Read the remarks; the file is free text with names in it, so nothing in it is an error."""
    rows: list[npt.NDArray[np.int32]] = [np.empty(0, dtype=np.int32)]
    texts: list[pa.Array] = [pa.array([], pa.string())]
    if not path.exists():
        ledger.counts["remarks.txt missing"] = 1
        return _Remarks(rows[0], texts[0])
    unmatched = 0
    for block in read_line_blocks(path, encoding_errors="replace"):
        words = [text.strip().partition(" ") for text in block.texts]
        # A word that is longer than every star is none, and is not to make the others as long.
        longest = identities.names.itemsize
        found = identities.find(star_names(star if len(star) <= longest else "" for star, _, _ in words))
        remarks = [text.strip() if row >= 0 else "" for (_, _, text), row in zip(words, found.tolist(), strict=True)]
        kept = [place for place, remark in enumerate(remarks) if remark]
        unmatched += len(words) - len(kept)
        rows.append(found[kept])
        texts.append(pa.array([remarks[place] for place in kept], pa.string()))
    of_stars = np.concatenate(rows)
    order = np.argsort(of_stars, kind="stable")
    ledger.counts["remarks.txt: remarks"] = len(np.unique(of_stars))
    ledger.counts["remarks.txt: lines without a star of ident.dat"] = unmatched
    return _Remarks(of_stars[order], pa.concat_arrays(texts).take(pa.array(order)))


def _compare(identities: StarRows, parameters: Sequence[_FileParameters], ledger: Ledger) -> None:
    """Enter stars that are in ident.dat alone, or not in it, into the ledger."""
    orphans: list[str] = []
    has_row = np.zeros(len(identities.names), dtype=bool)
    later: list[StarRows] = []
    for file in reversed(parameters):
        is_orphan = identities.find(file.stars.names) < 0
        for stars in later:
            is_orphan &= stars.find(file.stars.names) < 0
        orphans += name_list(file.stars.in_file_order(is_orphan))
        has_row |= file.stars.find(identities.names) >= 0
        later.append(file.stars)
    reason = "expected a row of the star in ident.dat, found none"
    ledger.add(
        (SetAside("ecl.dat, ell.dat", 0, star, reason, "") for star in orphans),
        "parameter rows without a row in ident.dat",
    )
    ledger.counts["stars of ident.dat without a row in ecl.dat or ell.dat"] = int(np.count_nonzero(~has_row))


def _joined(
    spool: IO[bytes], identities: StarRows, parameters: Sequence[_FileParameters], remarks: _Remarks, galaxy: str
) -> Iterator[QTable]:
    """Join the stars of the spool with what else is known of them."""
    counts = np.zeros(identities.n_rows, dtype=bool)
    counts[identities.rows] = True
    spool.seek(0)
    first = 0
    with pa.ipc.open_stream(spool) as waiting:
        for batch in waiting:
            mine = counts[first : first + batch.num_rows]
            texts = np.array(remarks.of_rows(first, batch.num_rows), dtype=object)
            first += batch.num_rows
            if not mine.any():
                continue
            rows = batch.filter(pa.array(mine))
            columns: dict[str, Any] = {name: rows[name].to_pylist() for name in IDENTITY_SCHEMA.names}
            numbers, has_row = _numbers_of(names_of_column(rows["star"]), parameters)
            yield table_of_columns(columns | numbers | {"remark": texts[mine]}, has_row, galaxy)


def _numbers_of(
    stars: StarNames, parameters: Sequence[_FileParameters]
) -> tuple[dict[str, FloatArray], npt.NDArray[np.bool_]]:
    """Look the parameters of stars up, those of the first file that has them, and tell which have any."""
    numbers = {name: np.full(len(stars), np.nan) for name in PARAMETER_NAMES}
    has_row = np.zeros(len(stars), dtype=bool)
    for file in parameters:
        rows = file.stars.find(stars)
        here = (rows >= 0) & ~has_row
        for name, values in file.numbers.items():
            numbers[name][here] = values[rows[here]]
        has_row |= here
    return numbers, has_row
