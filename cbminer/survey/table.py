"""Light curves of any survey, from tables in which a row is a point or a star, in blocks that fit into memory."""

import math
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.table import QTable, vstack

from cbminer.columns import FloatArray, ascii_form, float_column, text_column
from cbminer.errors import InputFormatError, OutputError
from cbminer.survey.packed import PackedLightCurves
from cbminer.survey.table_bands import band_of_most, medians, points_of_bands
from cbminer.survey.table_columns import find_columns
from cbminer.survey.table_identifiers import star_of_file, star_order
from cbminer.survey.table_points import KEPT, POINT, STAR_COLUMNS, BatchPoints, points_of_batch
from cbminer.survey.table_reading import open_source
from cbminer.survey.table_settings import TableLayout, TableSettings, table_layout
from cbminer.survey.table_times import heliocentric_correction, to_utc

__all__ = ["TableBlock", "TablePoints", "collect_points", "read_light_curve_table", "star_order"]

_BUCKETS = 256
# What the rows of one star may differ by, in the unit of the column; a period by this share of itself.
_SPREAD = {"ra": 0.01, "dec": 0.01, "period": 1e-6, "epoch": 1e-3}
_UNITS = {"RAJ2000": "deg", "DEJ2000": "deg", "period": "d", "T0": "d", "mag_median": "mag", "mag_median_second": "mag"}


@dataclass(frozen=True)
class TableBlock:
    """Some stars of a table.

    Attributes
    ----------
    curves : PackedLightCurves
        Their light curves, each in one band and in the order of time; heliocentric, UTC.
    stars : `~astropy.table.QTable`
        A row a star, in the same order: ``id``, ``RAJ2000``, ``DEJ2000`` [deg], ``period`` and ``T0`` [d] of the
        table, ``band``, ``mag_median``, ``band_second``, ``mag_median_second`` [mag]; masked where unknown.
    second : PackedLightCurves or None
        Light curves of the same stars in the second band, where a star without one has no points; None if not asked.
    """

    curves: PackedLightCurves
    stars: QTable
    second: PackedLightCurves | None = None


@dataclass
class TablePoints:
    """Points of tables, sorted by star as far as memory asks for it.

    Attributes
    ----------
    layout : TableLayout
        How the tables were understood.
    reasons : `~collections.Counter`
        Rows by what became of them, ``kept`` for points.
    unfiltered : list of str
        Columns of quality that a table did not have, and need not.
    """

    layout: TableLayout
    folder: Path
    reasons: Counter[str] = field(default_factory=Counter)
    unfiltered: list[str] = field(default_factory=list)
    _stars: list[str] = field(default_factory=list)
    _codes: dict[str, int] = field(default_factory=dict)
    _in_ascii: dict[str, str] = field(default_factory=dict)
    _buckets: list[int] = field(default_factory=list)
    _low: dict[str, FloatArray] = field(default_factory=dict)
    _high: dict[str, FloatArray] = field(default_factory=dict)
    _parts: list[npt.NDArray[Any]] = field(default_factory=list)
    _in_memory: int = 0
    _spilled: bool = False
    # By star: whether it has a point in a band to measure, and whether in a band for a colour.
    _has: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 2), dtype=bool))

    @property
    def n_stars(self) -> int:
        """Stars with a point in a band to measure."""
        return int(self._has[:, 0].sum())

    @property
    def n_second_only(self) -> int:
        """Stars with points in none but the bands for a colour, which are not measured."""
        return int((self._has[:, 1] & ~self._has[:, 0]).sum())

    @property
    def n_without(self) -> int:
        """Stars of the tables of which no point was kept."""
        return len(self._stars) - self.n_stars - self.n_second_only

    def add_table(self, path: Path) -> None:
        """Read a table.

        Parameters
        ----------
        path : `~pathlib.Path`
            The table.

        Raises
        ------
        InputFormatError
            If it is no table, lacks a column, or a column does not hold what it should.
        """
        source = open_source(path)
        columns = find_columns(source.names, self.layout, path=path)
        self.unfiltered += [name for name in columns.absent if name not in self.unfiltered]
        file_star = "" if "id" in columns.names else star_of_file(path)
        for batch in source.batches(columns.wanted):
            self._add(points_of_batch(batch, columns, self.layout, file_star=file_star), path)

    def _add(self, found: BatchPoints, path: Path) -> None:
        self.reasons += found.reasons
        code_of = np.array([self._code(place, found, path) for place in range(len(found.stars))] or [0], dtype=np.int32)
        self._grow()
        points = found.points.copy()
        points["star"] = code_of[points["star"]]
        self._has[points["star"], (points["band"] >= len(self.layout.bands)).astype(int)] = True
        rows = found.star >= 0
        for role, data in found.about.items():
            self._learn(role, code_of[found.star[rows]], data[rows], path)
        self._parts.append(points)
        self._in_memory += len(points)
        if self._in_memory > self.layout.points_in_memory:
            self._spill()

    def _code(self, place: int, found: BatchPoints, path: Path) -> int:
        star = found.stars[place]
        code = self._codes.setdefault(star, len(self._stars))
        if code == len(self._stars):
            other = self._in_ascii.setdefault(ascii_form(star), star)
            if other != star:
                row = found.rows[np.flatnonzero(found.star == place)[0]]
                msg = (
                    f"table of light curves {path}, row {row}: the stars {star} and {other} would have one name in "
                    f"FITS, which has no accents: write identifiers in ASCII"
                )
                raise InputFormatError(msg)
            self._stars.append(star)
            self._buckets.append(zlib.crc32(star.encode()) % _BUCKETS)
        return code

    def _grow(self) -> None:
        """Make room for stars that are new; twice as much as needed, so that it is seldom done."""
        if len(self._has) >= len(self._stars):
            return
        more = 2 * len(self._stars) - len(self._has)
        self._has = np.concatenate([self._has, np.zeros((more, 2), dtype=bool)])
        for store in (self._low, self._high):
            for role in STAR_COLUMNS:
                store[role] = np.concatenate([store.get(role, np.empty(0)), np.full(more, np.nan)])

    def _learn(self, role: str, star: npt.NDArray[np.int32], data: FloatArray, path: Path) -> None:
        """Keep the least value that rows state of their star, and refuse rows that contradict each other."""
        np.fmin.at(self._low[role], star, data)
        np.fmax.at(self._high[role], star, data)
        low, high = self._low[role][star], self._high[role][star]
        scale = np.abs(low) if role == "period" else 1.0
        spread = np.where(high - low > 180.0, 360.0 - (high - low), high - low) if role == "ra" else high - low
        with np.errstate(invalid="ignore"):
            apart = np.flatnonzero(spread > _SPREAD[role] * scale)
        if len(apart):
            place = int(star[apart[0]])
            msg = (
                f"table of light curves {path}: rows of star {self._stars[place]} differ in their {role} "
                f"({low[apart[0]]:.8g} and {high[apart[0]]:.8g}): name a column under id_column that tells stars apart"
            )
            raise InputFormatError(msg)

    def place_stars(self, positions: Mapping[str, tuple[float, float]]) -> None:
        """Tell where stars are, for times at the Earth; it counts before what the tables of points say.

        Parameters
        ----------
        positions : mapping of str to (float, float)
            Right ascensions and declinations in degrees, by star.
        """
        self._grow()
        for code, star in enumerate(self._stars):
            if star in positions:
                self._low["ra"][code], self._low["dec"][code] = positions[star]

    def _spill(self) -> None:
        """Move what is in memory into files, a star always into the same one whatever the order of the rows."""
        points = np.concatenate([np.empty(0, dtype=POINT), *self._parts])
        bucket = np.array(self._buckets, dtype=np.int64)[points["star"]]
        order = np.argsort(bucket, kind="stable")
        edges = np.searchsorted(bucket[order], np.arange(_BUCKETS + 1))
        try:
            for number in range(_BUCKETS):
                part = points[order[edges[number] : edges[number + 1]]]
                if len(part):
                    with (self.folder / f"{number:03d}.points").open("ab") as stream:
                        part.tofile(stream)
        except OSError as error:
            msg = (
                f"points cannot wait in {self.folder} ({error}): free space there, set the environment variable TMPDIR "
                f"to another folder, or raise points_in_memory under [table] above {self.layout.points_in_memory:,}"
            )
            raise OutputError(msg) from error
        self._parts, self._in_memory, self._spilled = [], 0, True

    def blocks(self) -> Iterator[TableBlock]:
        """Give the stars with points in a band to measure, block by block; within one in the order of identifiers.

        Yields
        ------
        TableBlock
            Stars with all of their points.

        Raises
        ------
        OutputError
            If there is no room for points that wait outside of memory.
        """
        parts: Iterator[npt.NDArray[Any]]
        if self._spilled:
            self._spill()
            parts = (np.fromfile(path, dtype=POINT) for path in sorted(self.folder.glob("*.points")))
        else:
            parts = iter([np.concatenate([np.empty(0, dtype=POINT), *self._parts])])
        for part in parts:
            points = part[self._has[part["star"], 0]]
            if len(points):
                yield self._block(points)

    def _block(self, points: npt.NDArray[Any]) -> TableBlock:
        codes, star = np.unique(points["star"], return_inverse=True)
        names = [self._stars[code] for code in codes]
        place = np.argsort(star_order(names))
        points = points.copy()
        points["star"] = place[star]
        codes = codes[np.argsort(place)]
        points["time"] = self._heliocentric(points["time"], codes[points["star"]])
        # All of a point decides its place, so that equal tables in another order are equal.
        points = points[np.lexsort((points["mag_err"], points["mag"], points["time"], points["band"], points["star"]))]
        return self._in_one_band(points, codes)

    def _heliocentric(self, time: FloatArray, code: npt.NDArray[Any]) -> FloatArray:
        utc = to_utc(time, scale=self.layout.time_scale)
        if self.layout.time_at != "earth":
            return utc
        correction = heliocentric_correction(utc, self._low["ra"][code], self._low["dec"][code])
        return utc + np.nan_to_num(correction)

    def _in_one_band(self, points: npt.NDArray[Any], codes: npt.NDArray[Any]) -> TableBlock:
        """Keep of every star the band with most points, and of the second ones likewise."""
        names = (*self.layout.bands, *self.layout.bands_second)
        first = len(self.layout.bands)
        counts = points_of_bands(points, len(codes), len(names), max_mag_err=self.layout.max_mag_err)
        chosen, second = band_of_most(counts[:, :first]), band_of_most(counts[:, first:])
        kept = points[points["band"] == chosen[points["star"]]]
        others = points[(points["band"] == first + second[points["star"]]) & (second >= 0)[points["star"]]]
        stars = tuple(self._stars[code] for code in codes)
        return TableBlock(
            _packed(kept, stars),
            self._table(codes, [names[:first], names[first:]], [chosen, second], [kept, others]),
            _packed(others, stars),
        )

    def _table(
        self,
        codes: npt.NDArray[Any],
        names: Sequence[Sequence[str]],
        bands: Sequence[npt.NDArray[np.int64]],
        points: Sequence[npt.NDArray[Any]],
    ) -> QTable:
        """Tell what is known of stars, and of their points in both bands."""
        stars = QTable({"id": [self._stars[code] for code in codes]})
        known = {role: self._low[role][codes] for role in STAR_COLUMNS}
        middle = [medians(part, len(codes)) for part in points]
        for name, data in (
            ("RAJ2000", known["ra"]), ("DEJ2000", known["dec"]), ("period", known["period"]), ("T0", known["epoch"]),
            ("mag_median", middle[0]), ("mag_median_second", middle[1]),
        ):  # fmt: skip
            stars[name] = float_column(data, _UNITS[name])
        for name, labels, chosen in zip(("band", "band_second"), names, bands, strict=True):
            stars[name] = text_column(labels[band] if band >= 0 else "" for band in chosen)
        return stars


def _packed(points: npt.NDArray[Any], stars: tuple[str, ...]) -> PackedLightCurves:
    """Pack points that are in the order of their stars."""
    offsets = np.searchsorted(points["star"], np.arange(len(stars) + 1)).astype(np.int64)
    return PackedLightCurves(stars, offsets, points["time"].copy(), points["mag"].copy(), points["mag_err"].copy())


@contextmanager
def collect_points(
    paths: Sequence[Path], *, settings: TableSettings, max_mag_err: float = math.inf
) -> Iterator[TablePoints]:
    """Read tables, and keep their points until the block ends.

    Parameters
    ----------
    paths : sequence of `~pathlib.Path`
        Tables of one layout; a star may be in several.
    settings : TableSettings
        Their layout.
    max_mag_err : float, optional
        Largest error of a point, mag: larger ones, as upper limits have, neither choose a band nor count in medians.

    Yields
    ------
    TablePoints
        The points. Memory is bounded by `points_in_memory`; what is more waits in a temporary folder.

    Raises
    ------
    SettingsError
        If the layout is incomplete.
    InputFormatError
        If a table is not as the layout says, or no point of all is left.
    OutputError
        If there is no room for points that wait outside of memory.
    """
    layout = table_layout(settings, max_mag_err=max_mag_err)
    with tempfile.TemporaryDirectory(prefix="cbminer-table-") as folder:
        found = TablePoints(layout, Path(folder))
        for path in paths:
            found.add_table(path)
        _refuse_nothing_left(found, paths)
        yield found


def _refuse_nothing_left(found: TablePoints, paths: Sequence[Path]) -> None:
    if found.n_stars:
        return
    files, bands = ", ".join(str(path) for path in paths), ", ".join(found.layout.bands)
    why = ", ".join(f"{count:,} {name}" for name, count in found.reasons.most_common())
    msg = f"no point of {files} is left ({why or 'no rows'}): check bands, quality and columns under [table]"
    if found.reasons[KEPT]:
        others = ", ".join(found.layout.bands_second)
        msg = f"no point of {files} in bands {bands}, but {found.reasons[KEPT]:,} in {others}: choose --band"
    raise InputFormatError(msg)


def read_light_curve_table(
    paths: Sequence[Path], *, settings: TableSettings, max_mag_err: float = math.inf
) -> TableBlock:
    """Read tables of light curves as a whole.

    Parameters
    ----------
    paths : sequence of `~pathlib.Path`
        Tables of one layout.
    settings : TableSettings
        Their layout.
    max_mag_err : float, optional
        Largest error of a point, mag: larger ones, as upper limits have, neither choose a band nor count in medians.

    Returns
    -------
    TableBlock
        All stars with points, in the order of their identifiers.

    Raises
    ------
    SettingsError
        If the layout is incomplete.
    InputFormatError
        If a table is not as the layout says, or no point of all is left.
    """
    with collect_points(paths, settings=settings, max_mag_err=max_mag_err) as points:
        blocks = list(points.blocks())
    stars = vstack([block.stars for block in blocks], metadata_conflicts="silent")
    order = star_order([str(star) for star in stars["id"]])
    curves = _joined([block.curves for block in blocks])
    return TableBlock(curves.stars_at(order), stars[order])


def _joined(parts: Sequence[PackedLightCurves]) -> PackedLightCurves:
    lengths = np.concatenate([np.diff(part.offsets) for part in parts])
    return PackedLightCurves(
        tuple(star for part in parts for star in part.stars),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("time", "mag", "mag_err")),
    )
