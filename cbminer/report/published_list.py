"""A published list of stars, read from a table of any usual format and found among the stars of a run."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.coordinates import SkyCoord, match_coordinates_sky
from astropy.table import QTable, Table

from cbminer.columns import FloatArray, label_column, values
from cbminer.errors import InputFormatError
from cbminer.report.against_settings import AgainstSettings
from cbminer.tables import find_column, number_column, read_user_table

__all__ = ["AgainstSettings", "Matches", "PublishedList", "match_published", "read_published"]

_WHAT = "published list"
_ID_NAMES = (
    *("id", "ID", "name", "star", "ogle", "ogle_id", "OGLE ID", "OGLE-ID", "object", "starid", "ogleid", "target"),
    *("system", "identifier", "source_id", "designation"),
)
_RA_NAMES = ("RAJ2000", "ra", "RAdeg", "_RA", "_RAJ2000", "RA_ICRS", "RA_deg", "alpha", "right_ascension")
_DEC_NAMES = ("DEJ2000", "dec", "DEdeg", "_DE", "_DEJ2000", "DE_ICRS", "Dec_deg", "DECJ2000", "delta", "declination")
# Hours, minutes and seconds in columns of their own, as tables of journals and of CDS have them.
_SEXAGESIMAL = tuple(tuple(f"{angle}{part}" for part in parts) for angle, parts in (("RA", "hms"), ("DE", "dms")))
_SIGN_NAMES = ("DE-", "DE_sign")
_IN_PARTS = "RAh to DEs"
# Numbers that are compared where the list has them, by the column of the run: unit and names in use.
_NUMBERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "period": ("d", ("period", "P", "Per", "Porb", "P_orb", "orbital_period")),
    "M_V": ("mag", ("M_V", "MV", "VMAG", "M_Vmag")),
    "VI0": ("mag", ("VI0", "(V-I)0", "(V-I)_0", "V-I_0", "V_I_0")),
    "I_mag": ("mag", ("I_mag", "Imag", "I")),
    "V_mag": ("mag", ("V_mag", "Vmag", "V")),
    "c": ("", ("c", "morph", "morphology", "morph_c")),
}
_ALIASES = ("ogle4_id", "ogle3_id", "ogle2_id", "other_id")
_MISSING = {"", "-", "--", "---", "NAN", "NONE", "NULL", "N/A"}


@dataclass(frozen=True)
class PublishedList:
    """A list of stars that somebody published.

    Attributes
    ----------
    name : str
        What it is called.
    path : `~pathlib.Path`
        File.
    ids : `~numpy.ndarray`
        Identifiers as they stand there, empty where missing, shape (n,).
    ra, dec : `~numpy.ndarray`
        Positions in degrees, NaN where missing, shape (n,).
    numbers : dict of str to `~numpy.ndarray`
        Numbers that the run has too, by the name of its column; NaN where missing, shape (n,).
    columns : dict of str to str
        Columns of the file by what they were taken for.
    notes : list of str
        What could not be read.
    """

    name: str
    path: Path
    ids: npt.NDArray[np.str_]
    ra: FloatArray
    dec: FloatArray
    numbers: dict[str, FloatArray]
    columns: dict[str, str]
    notes: list[str]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Matches:
    """Stars of a list found among those of a run; arrays of shape (n,), a value an entry of the list.

    Attributes
    ----------
    row : `~numpy.ndarray`
        Row of the star in the run, -1 for one that is not there.
    by : `~numpy.ndarray`
        "id", "position", or the column of another survey's identifier; empty for a star that is not there.
    separation : `~numpy.ndarray`
        Distance of both positions in arcsec, NaN where one is missing.
    duplicate_of : `~numpy.ndarray`
        Earlier entry of the same star, -1 for none.
    n_ambiguous : int
        Entries found by position with another star of the run within the radius.
    """

    row: npt.NDArray[np.int64]
    by: npt.NDArray[np.str_]
    separation: FloatArray
    duplicate_of: npt.NDArray[np.int64]
    n_ambiguous: int


def read_published(path: Path, *, name: str | None = None, id_column: str | None = None) -> PublishedList:
    """Read a published list.

    Parameters
    ----------
    path : `~pathlib.Path`
        ECSV, CSV, VOTable, FITS, machine-readable or plain text table.
    name : str, optional
        What to call it; by default the file's name without its suffix.
    id_column : str, optional
        Column of the identifiers; by default it is found by its name.

    Returns
    -------
    PublishedList
        Identifiers, positions, and numbers that can be compared.

    Raises
    ------
    InputFormatError
        If the file is no table, has no rows, lacks the column named, or has neither identifiers nor positions.
    """
    table = read_user_table(path, what=_WHAT)
    found = find_column(table, _ID_NAMES, chosen=id_column)
    if id_column is not None and found is None:
        msg = f"{_WHAT} {path} has no column {id_column}; its columns are {', '.join(table.colnames)}"
        raise InputFormatError(msg)
    ra, dec, where = _positions(table)
    if found is None and where is None:
        msg = (
            f"{_WHAT} {path} has no column for identifiers or positions; its columns are "
            f"{', '.join(table.colnames)}. Name that of the identifiers with --id-column"
        )
        raise InputFormatError(msg)
    columns = ({"id": found} if found else {}) | ({"position": where} if where else {})
    impossible = ~(np.isfinite(ra) & (np.abs(dec) <= 90.0))
    ra, dec = (np.where(impossible, np.nan, angle) for angle in (ra, dec))
    numbers, notes = {}, []
    if where and impossible.any():
        notes.append(f"{int(impossible.sum())} entries have no position that can be read")
    if unsigned := _count_unsigned(table, where):
        notes.append(f"{unsigned} entries have 0 degrees of declination without a sign, taken as north of the equator")
    for quantity, (unit, names) in _NUMBERS.items():
        column = find_column(table, names)
        if column is None or column == found:
            continue
        try:
            numbers[quantity] = number_column(table, column, unit=unit, where=f"{_WHAT} {path}")
            columns[quantity] = column
        except InputFormatError as error:
            notes.append(f"not compared: {error}")
    ids = _texts(table[found]) if found else np.full(len(table), "", dtype="<U1")
    return PublishedList(name or path.name.split(".")[0], path, ids, ra, dec, numbers, columns, notes)


def _texts(column: Any) -> npt.NDArray[np.str_]:
    filled = np.ma.filled(np.ma.asarray(column).astype(str), "")
    plain = [str(text).strip() for text in filled]
    return np.array(["" if text.upper() in _MISSING else text for text in plain], dtype=str)


def _positions(table: Table) -> tuple[FloatArray, FloatArray, str | None]:
    """Positions in degrees, and the columns that they come from."""
    parts = [[find_column(table, (name,)) for name in names] for names in _SEXAGESIMAL]
    ra, dec = find_column(table, _RA_NAMES), find_column(table, _DEC_NAMES)
    if ra is not None and dec is not None:
        return _angles(table[ra], hours=True), _angles(table[dec], hours=False), f"{ra}, {dec}"
    if all(part is not None for half in parts for part in half):
        hours, degrees = (_joined(table, [str(part) for part in half]) for half in parts)
        south = _south(table, str(parts[1][0]))
        return 15.0 * hours, np.where(south, -1.0, 1.0) * degrees, _IN_PARTS
    unknown = np.full(len(table), np.nan)
    return unknown, unknown, None


def _south(table: Table, degrees: str) -> npt.NDArray[np.bool_]:
    """Where a minus stands in the column of the sign, or before the degrees, also where these are -0."""
    sign = find_column(table, _SIGN_NAMES)
    columns = [table[name] for name in (sign, degrees) if name is not None]
    texts = [np.ma.filled(np.ma.asarray(column).astype(str), "") for column in columns]
    south: npt.NDArray[np.bool_] = np.any(
        [[str(text).strip().startswith("-") for text in part] for part in texts], axis=0
    )
    return south


def _count_unsigned(table: Table, where: str | None) -> int:
    """Entries with 0 degrees of declination in a column of whole numbers, which keeps no minus, and none beside it."""
    degrees = find_column(table, _SEXAGESIMAL[1][:1])
    if where != _IN_PARTS or degrees is None or find_column(table, _SIGN_NAMES) is not None:
        return 0
    column = np.ma.asarray(table[degrees])
    return int(np.ma.filled(column == 0, fill_value=False).sum()) if column.dtype.kind in "iu" else 0


def _joined(table: Table, names: Sequence[str]) -> FloatArray:
    first, minutes, seconds = (number_column(table, name) for name in names)
    joined: FloatArray = np.abs(first) + minutes / 60.0 + seconds / 3600.0
    return joined


def _angles(column: Any, *, hours: bool) -> FloatArray:
    """Angles in degrees: numbers in their unit, in degrees without one, or texts such as 05:20:01.2."""
    if np.ma.asarray(column).dtype.kind in "fiu":
        numbers: FloatArray = np.ma.filled(np.ma.asarray(column, dtype=float), np.nan)
        unit = getattr(column, "unit", None)
        return numbers * float(u.Unit(unit).to("deg")) if unit else numbers
    return np.array([_angle(text, hours=hours) for text in _texts(column)], dtype=float)


def _angle(text: str, *, hours: bool) -> float:
    match = re.fullmatch(r"([+-]?)\s*(\d+)[:hd\s]+(\d+)[:m'\s]+([\d.]+)[s\"]?", text)
    if match is None:
        try:
            return float(text)
        except ValueError:
            return float("nan")
    sign, whole, minutes, seconds = match.groups()
    size = int(whole) + int(minutes) / 60.0 + float(seconds) / 3600.0
    return (-size if sign == "-" else size) * (15.0 if hours else 1.0)


def match_published(published: PublishedList, stars: QTable, *, radius: float) -> Matches:
    """Find the stars of a list among those of a run: by identifier, and by position where that fails.

    Parameters
    ----------
    published : PublishedList
        The list.
    stars : `~astropy.table.QTable`
        Judged stars.
    radius : float
        Largest distance of a star that is found by its position, arcsec.

    Returns
    -------
    Matches
        A row of the run, or none, an entry.

    Notes
    -----
    Upper and lower case, blanks, underscores, leading zeros of the number and the prefix OGLE make no difference to an
    identifier. Those of earlier phases of OGLE count too, where one star alone has them.
    """
    rows, by = _by_identifier(published.ids, stars)
    ra, dec = values(stars, "RAJ2000", "deg"), values(stars, "DEJ2000", "deg")
    placed = np.isfinite(published.ra + published.dec)
    on_sky = np.flatnonzero(np.isfinite(ra + dec))
    searched = np.flatnonzero(placed & (rows < 0))
    n_ambiguous = 0
    if len(searched) and len(on_sky):
        catalogue = SkyCoord(ra[on_sky], dec[on_sky], unit="deg")
        wanted = SkyCoord(published.ra[searched], published.dec[searched], unit="deg")
        nearest, separation, _ = match_coordinates_sky(wanted, catalogue)
        near = separation.to_value(u.arcsec) <= radius
        rows[searched[near]], by[searched[near]] = on_sky[nearest[near]], "position"
        if len(on_sky) > 1:
            _, second, _ = match_coordinates_sky(wanted, catalogue, nthneighbor=2)
            n_ambiguous = int((second.to_value(u.arcsec)[near] <= radius).sum())
    separation = np.full(len(published), np.nan)
    both = np.flatnonzero(placed & (rows >= 0))
    here = SkyCoord(ra[rows[both]], dec[rows[both]], unit="deg")
    there = SkyCoord(published.ra[both], published.dec[both], unit="deg")
    separation[both] = here.separation(there).to_value(u.arcsec)
    return Matches(rows, by, separation, _duplicates(published.ids, rows), n_ambiguous)


def _key(text: str) -> str:
    """Write an identifier in one way: upper case, hyphens, no leading zeros, no OGLE in front."""
    plain = re.sub(r"[\s_]+", "-", text.strip().upper())
    plain = re.sub(r"(?<=-)0+(?=\d+$)", "", plain)
    return plain.removeprefix("OGLE-")


def _by_identifier(ids: npt.NDArray[np.str_], stars: QTable) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    known: dict[str, tuple[int, str]] = {}
    for column in reversed(("id", *(name for name in _ALIASES if name in stars.colnames))):
        texts = label_column(stars, column)
        keys = [_key(text) for text in texts]
        counts = dict(zip(*np.unique(keys, return_counts=True), strict=True))
        known |= {key: (row, column) for row, key in enumerate(keys) if key and counts[key] == 1}
    rows, by = np.full(len(ids), -1, dtype=np.int64), np.full(len(ids), "", dtype="<U12")
    for entry, text in enumerate(ids):
        if text and _key(text) in known:
            rows[entry], by[entry] = known[_key(text)]
    return rows, by


def _duplicates(ids: npt.NDArray[np.str_], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    first: dict[str, int] = {}
    duplicate_of = np.full(len(ids), -1, dtype=np.int64)
    for entry, (text, row) in enumerate(zip(ids, rows, strict=True)):
        key = f"row {row}" if row >= 0 else _key(text)
        if not key:
            continue
        if key in first:
            duplicate_of[entry] = first[key]
        else:
            first[key] = entry
    return duplicate_of
