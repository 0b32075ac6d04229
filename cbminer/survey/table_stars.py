"""What tables say of stars, gathered into the catalogue that every stage starts from."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import astropy.units as u
import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
from astropy.table import QTable

from cbminer.columns import FloatArray, ascii_form, float_column, text_column
from cbminer.errors import InputFormatError
from cbminer.flags import Flag
from cbminer.star_blocks import STARS_A_BLOCK
from cbminer.survey.intake import galaxy_of_star
from cbminer.survey.stars import DEPTH_RANGE, MAGNITUDE_RANGE, STAR_TYPES
from cbminer.survey.table_columns import find_star_columns, numbers, text
from cbminer.survey.table_identifiers import identifiers, star_of_file, star_order
from cbminer.survey.table_periods import checked_epochs, checked_periods
from cbminer.survey.table_reading import Batch, Source, open_source
from cbminer.survey.table_settings import TableLayout

__all__ = ["TableStars"]

# Columns of the catalogue and their units by what a table holds.
_NUMBERS = {
    "ra": ("RAJ2000", "deg"), "dec": ("DEJ2000", "deg"), "period": ("period", "d"), "epoch": ("T0", "d"),
    "I": ("I_mag", "mag"), "V": ("V_mag", "mag"), "depth1": ("depth1_survey", "mag"),
    "depth2": ("depth2_survey", "mag"),
}  # fmt: skip
# These are columns of the catalogue only where a table has them.
_EXTRA_NUMBERS = {
    "e_I": ("e_I_mag", "mag"), "e_V": ("e_V_mag", "mag"), "parallax": ("parallax", "mas"),
    "e_parallax": ("e_parallax", "mas"), "distance_modulus": ("distance_modulus_given", "mag"),
    "e_distance_modulus": ("e_distance_modulus_given", "mag"), "E_VI": ("E_VI_given", "mag"),
    "e_E_VI": ("e_E_VI_given", "mag"), "M_V": ("M_V_given", "mag"), "e_M_V": ("e_M_V_given", "mag"),
    "VI0": ("VI0_given", "mag"), "e_VI0": ("e_VI0_given", "mag"),
}  # fmt: skip
# Numbers outside of these are not those of any star, but magic ones.
_ABSOLUTE_RANGE, _COLOUR_RANGE = (-20.0, 30.0), (-5.0, 10.0)
_LIMITS = {
    "ra": (0.0, 360.0), "dec": (-90.0, 90.0), "I": MAGNITUDE_RANGE, "V": MAGNITUDE_RANGE, "depth1": DEPTH_RANGE,
    "depth2": DEPTH_RANGE, "distance_modulus": (-10.0, 50.0), "E_VI": (-2.0, 50.0), "M_V": _ABSOLUTE_RANGE,
    "VI0": _COLOUR_RANGE,
}  # fmt: skip
_TEXTS = ("galaxy", "type", "remark")
# Taken where a table has them under these names.
_OTHER_NAMES = ("ogle4_id", "ogle3_id", "ogle2_id", "other_id")
# What the rows of one star may differ by, in the unit of the column; any other number by a millionth of itself.
_SPREAD = {"ra": 0.01, "dec": 0.01, "epoch": 1e-3}
_RELATIVE_SPREAD = 1e-6
_WHAT = "table of stars"
_NO_GALAXY = ""


class TableStars:
    """Stars of tables, whatever the order of their rows and however they are divided into files.

    Parameters
    ----------
    layout : TableLayout
        What the columns are called.
    one_row : bool
        Whether a star has one row; otherwise all of its rows must say the same of it.
    """

    def __init__(self, layout: TableLayout, *, one_row: bool) -> None:
        self.layout = layout
        self.counts: Counter[str] = Counter()
        self._one_row = one_row
        self._stars: list[str] = []
        self._codes: dict[str, int] = {}
        self._low: dict[str, FloatArray] = {}
        self._high: dict[str, FloatArray] = {}
        self._texts: dict[str, list[str]] = {}

    def add_table(self, path: Path) -> None:
        """Read a table.

        Parameters
        ----------
        path : `~pathlib.Path`
            The table.

        Raises
        ------
        InputFormatError
            If it is no table, lacks a column, a column does not hold what it should, or rows contradict each other.
        """
        source = open_source(path, what=_WHAT)
        columns = find_star_columns(source.names, self.layout, path=path)
        columns |= {name: name for name in _OTHER_NAMES if name in source.names}
        scales = {role: _scale(source, columns[role], unit) for role, (_, unit) in _found(columns)}
        file_star = "" if "id" in columns else star_of_file(path)
        # A table without an identifier is a star: any column tells how many rows it has.
        wanted = list(dict.fromkeys(columns.values())) or source.names[:1]
        for batch in source.batches(wanted):
            self.counts["rows"] += len(batch.rows)
            self.counts["malformed lines"] += batch.malformed
            rows, code = self._rows_of_stars(batch, columns, file_star, path)
            for role, scale in scales.items():
                self._learn(role, code, self._checked(batch, columns[role], role, scale)[rows], path)
            for role in (*_TEXTS, *_OTHER_NAMES):
                if role in columns:
                    self._learn_text(role, code, batch, columns[role], rows, path)

    def _checked(self, batch: Batch, name: str, role: str, scale: float) -> FloatArray:
        """Numbers of a column, NaN where they are none that the role can have, which are counted."""
        found = numbers(batch, name) * scale
        found = np.where(np.isfinite(found), found, np.nan)
        if role in {"period", "epoch"}:
            # Catalogues write 0 or a negative number for what is not known.
            found = np.where(found > 0, found, np.nan)
            check = checked_periods if role == "period" else checked_epochs
            return check(found, batch.rows, where=batch.file, column=name)
        if role not in _LIMITS:
            return np.where(found >= 0, found, np.nan) if role.startswith("e_") else found
        low, high = _LIMITS[role]
        outside = (found < low) | (found > high)
        if role in {"I", "V"}:
            # Unlike other numbers, a magnitude at its limits is a magic one too.
            outside |= (found == low) | (found == high)
        self.counts[f"rows with {name} outside of {low:g} to {high:g}"] += int(outside.sum())
        return np.where(outside, np.nan, found)

    def _rows_of_stars(
        self, batch: Batch, columns: dict[str, str], file_star: str, path: Path
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Rows that name a star, and the number of that star."""
        if "id" not in columns:
            return np.arange(len(batch.rows)), np.full(len(batch.rows), self._code(file_star), dtype=np.int64)
        known = len(self._stars)
        coded = identifiers(batch, columns["id"], unknown=self.layout.unknown_ids)
        places = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
        rows = np.flatnonzero(places >= 0)
        self.counts["rows without an identifier"] += len(places) - len(rows)
        of_entry = np.array([self._code(star) for star in coded.dictionary.to_pylist()] or [0], dtype=np.int64)
        code = of_entry[places[rows]]
        if self._one_row:
            again = np.flatnonzero((code < known) | (np.bincount(code, minlength=1)[code] > 1))
            if len(again):
                msg = (
                    f"{_WHAT} {path}, row {batch.rows[rows[again[-1]]]}: star {self._stars[code[again[-1]]]} has "
                    f"another row: leave one row a star"
                )
                raise InputFormatError(msg)
        return rows, code

    def _code(self, star: str) -> int:
        code = self._codes.setdefault(star, len(self._stars))
        if code == len(self._stars):
            self._stars.append(star)
        return code

    def _learn(self, role: str, code: npt.NDArray[np.int64], data: FloatArray, path: Path) -> None:
        """Keep the least value of every star, and refuse rows that differ by more than the last digits."""
        for kept in (self._low, self._high):
            kept[role] = _longer(kept.get(role, np.empty(0)), len(self._stars))
        np.fmin.at(self._low[role], code, data)
        np.fmax.at(self._high[role], code, data)
        low, high = self._low[role][code], self._high[role][code]
        apart = high - low
        if role == "ra":
            apart = np.where(apart > 180.0, 360.0 - apart, apart)
        most = _SPREAD.get(role, _RELATIVE_SPREAD * np.abs(low))
        wrong = np.flatnonzero(apart > most)
        if len(wrong):
            place = wrong[0]
            values = f"{low[place]:.8g} and {high[place]:.8g}"
            self._refuse_contradiction(int(code[place]), role, values, path)

    def _learn_text(
        self, role: str, code: npt.NDArray[np.int64], batch: Batch, name: str, rows: npt.NDArray[np.int64], path: Path
    ) -> None:
        kept = self._texts.setdefault(role, [])
        kept += [""] * (len(self._stars) - len(kept))
        labels = pc.dictionary_encode(text(batch, name).take(rows))
        words = [word.upper() if role in {"galaxy", "type"} else word for word in labels.dictionary.to_pylist()]
        place = pc.fill_null(labels.indices, -1).to_numpy(zero_copy_only=False)
        pairs = np.unique((code * len(words) + place)[place >= 0]).tolist()
        for star, word in (divmod(pair, len(words)) for pair in pairs):
            if kept[star] and kept[star] != words[word]:
                self._refuse_contradiction(star, role, f"{kept[star]} and {words[word]}", path)
            kept[star] = words[word]

    def _refuse_contradiction(self, code: int, role: str, found: str, path: Path) -> None:
        msg = (
            f"{_WHAT} {path}: rows of star {self._stars[code]} differ in their {role} ({found}): name a column under "
            f"id_column that tells stars apart"
        )
        raise InputFormatError(msg)

    def galaxies(self) -> list[str]:
        """Tell the galaxy of every star.

        Returns
        -------
        list of str
            As the tables say or, where they do not, as names such as ``OGLE-LMC-ECL-00001`` do; empty if unknown.
        """
        said = self._texts.get("galaxy", [])
        said = said + [""] * (len(self._stars) - len(said))
        return [name or galaxy_of_star(star) for name, star in zip(said, self._stars, strict=True)]

    def blocks(self, galaxy: str) -> Iterator[QTable]:
        """Give the stars of a galaxy, and those of which no galaxy is known, in the order of identifiers.

        Parameters
        ----------
        galaxy : str
            The galaxy.

        Yields
        ------
        `~astropy.table.QTable`
            As `cbminer.survey.stars.star_table` makes it, and what else the tables say of distances and colours.

        Raises
        ------
        InputFormatError
            If two stars would have one name in FITS, or nothing is known of the brightness or the type of stars.
        """
        self._refuse_one_name()
        self._refuse_no_magnitudes()
        self._refuse_no_types()
        galaxies = self.galaxies()
        order = star_order(self._stars)
        mine = np.array([galaxies[code] in (galaxy, _NO_GALAXY) for code in order], dtype=bool)
        order = order[mine]
        self.counts["stars"] = len(order)
        self.counts["stars of other galaxies"] = len(mine) - len(order)
        for first in range(0, len(order), STARS_A_BLOCK):
            yield self._block(order[first : first + STARS_A_BLOCK], galaxy)

    def _block(self, codes: npt.NDArray[np.int64], galaxy: str) -> QTable:
        stars = QTable(meta={"galaxy": galaxy})
        stars["id"] = text_column(self._stars[code] for code in codes)
        stars["galaxy"] = text_column([galaxy] * len(codes))
        kinds = [kind or self.layout.type for kind in self._words("type", codes)]
        self.counts["stars of another type than " + ", ".join(STAR_TYPES)] += sum(
            bool(kind) and kind not in STAR_TYPES for kind in kinds
        )
        stars["type"] = text_column(kind if kind in STAR_TYPES else "" for kind in kinds)
        for role, (name, unit) in _NUMBERS.items():
            stars[name] = float_column(self._values(role, codes), unit)
        for name in (*_OTHER_NAMES, "remark"):
            stars[name] = text_column(self._words(name, codes))
        stars["flags"] = self._flags(codes)
        for role, (name, unit) in _EXTRA_NUMBERS.items():
            if role in self._low:
                stars[name] = float_column(self._values(role, codes), unit)
        return stars

    def _values(self, role: str, codes: npt.NDArray[np.int64]) -> FloatArray:
        return _longer(self._low.get(role, np.empty(0)), len(self._stars))[codes]

    def _words(self, role: str, codes: npt.NDArray[np.int64]) -> list[str]:
        known = self._texts.get(role, [])
        return [known[code] if code < len(known) else "" for code in codes]

    def _flags(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        flags = np.zeros(len(codes), dtype=np.int64)
        for role, flag in (("V", Flag.NO_V), ("I", Flag.NO_I), ("period", Flag.NO_PERIOD), ("epoch", Flag.NO_EPOCH)):
            flags |= np.where(np.isnan(self._values(role, codes)), int(flag), 0)
        return flags

    def _refuse_one_name(self) -> None:
        seen: dict[str, str] = {}
        for star in self._stars if not all(map(str.isascii, self._stars)) else ():
            other = seen.setdefault(ascii_form(star), star)
            if other != star:
                msg = (
                    f"{_WHAT}: the stars {star} and {other} would have one name in FITS, which has no accents: write "
                    f"identifiers in ASCII"
                )
                raise InputFormatError(msg)

    def _refuse_no_magnitudes(self) -> None:
        """Refuse stars whose brightness nobody tells; points in I and V leave it unknown, but may serve for shapes."""
        layout = self.layout
        known = {"I", "V"} <= set(self._low) or {"M_V", "VI0"} <= set(self._low)
        if not known and not ("I" in layout.bands and "V" in layout.bands_second):
            msg = (
                "the tables say nothing of the brightness of stars: name the columns of I and V at maximum light under "
                "[table] (I_column, V_column), or those of M_V and (V-I)_0 (M_V_column, VI0_column)"
            )
            raise InputFormatError(msg)

    def _refuse_no_types(self) -> None:
        if not self.layout.type and "type" not in self._texts:
            msg = (
                "the tables say nothing of the type of stars, which the cut `type` asks for: name type_column, or set "
                'type = "C" for all, under [table]'
            )
            raise InputFormatError(msg)


def _found(columns: dict[str, str]) -> list[tuple[str, tuple[str, str]]]:
    return [(role, about) for role, about in (_NUMBERS | _EXTRA_NUMBERS).items() if role in columns]


def _longer(data: FloatArray, length: int) -> FloatArray:
    """Make room for stars that are new; twice as much as needed, so that it is seldom done."""
    return data if len(data) >= length else np.concatenate([data, np.full(2 * length - len(data), np.nan)])


def _scale(source: Source, name: str, unit: str) -> float:
    """Factor that brings a column to its unit, if the file states one."""
    stated = source.unit(name)
    try:
        return float(u.Unit(stated or unit).to(unit))
    except (ValueError, u.UnitConversionError) as error:
        msg = f"{_WHAT} {source.path}: column {name} has the unit {stated}: give it in {unit}"
        raise InputFormatError(msg) from error
