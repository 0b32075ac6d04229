"""What Gaia and SIMBAD know at the positions of stars.

Positions go to the service as a table or, if it takes none, as circles in the query. Either way the service only
chooses objects near any of the stars: which object belongs to which star, and how far apart they are, is worked out
here, the same for both ways.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.coordinates import SkyCoord, search_around_sky
from astropy.table import MaskedColumn, QTable, Table, vstack

from cbminer.columns import FloatArray, float_column, label_column, text_column, values
from cbminer.errors import InputFormatError
from cbminer.monitor import Monitor
from cbminer.survey.tap import QueryRejectedError, TruncatedError
from cbminer.survey.tap_tables import Question, TapTables
from cbminer.survey.transport import Refusal
from cbminer.survey.vizier_columns import (
    Column,
    Role,
    TableColumns,
    discover,
    find_roles,
    number_values,
    refuse_columns,
    select,
    text_values,
)
from cbminer.survey.vizier_settings import VizierSettings

__all__ = ["Matcher"]

_REMEDY = "go on without the match"
# More circles than this make a query that services choke on.
_CIRCLES = 100
# Objects a star at most: far more than lie within a few seconds of arc.
_PER_STAR = 50
_DIGITS = 7
_ARCSECONDS = 3600.0
_CITE_GAIA = (
    "Gaia Collaboration (Vallenari et al.) 2023, A&A 674, A1; Mowlavi et al. 2023, A&A 674, A16; VizieR I/358. "
    "This research has made use of the VizieR catalogue access tool, CDS, Strasbourg, France "
    "(DOI 10.26093/cds/vizier; Ochsenbein et al. 2000, A&AS 143, 23)"
)
_CITE_SIMBAD = (
    "This research has made use of the SIMBAD database, CDS, Strasbourg Astronomical Observatory, France "
    "(Wenger et al. 2000, A&AS 143, 9)"
)
_SOURCE = Role("source", ("Source", "source_id", "GaiaDR3", "DR3Name"), ("meta.id;meta.main",))
_POSITION = (
    Role("ra", ("RA_ICRS", "RAICRS", "RAdeg", "ra", "RAJ2000"), ("pos.eq.ra;meta.main",), is_text=False),
    Role("dec", ("DE_ICRS", "DEICRS", "DEdeg", "dec", "DEJ2000"), ("pos.eq.dec;meta.main",), is_text=False),
)
_BINARY = (
    Role("frequency", ("Freq", "frequency"), (), r"\bfrequency of\b.*\bbinar", is_text=False),
    Role("rank", ("Rank", "global_ranking", "GlobRank"), (), r"\bglobal\b.*\brank", is_text=False),
    Role("model", ("ModelType", "model_type", "Model"), (), r"\btype of\b.*\bmodel"),
)

_Positions = tuple[npt.NDArray[np.str_], FloatArray, FloatArray]


@dataclass(frozen=True)
class _Target:
    """What is matched with the stars.

    The select list begins with the identifier and the position.
    """

    tables: TapTables
    select: tuple[str, ...]
    table: str
    radius: float
    what: str
    name: str
    citation: str
    joins: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)

    def contains(self, ra: str, dec: str) -> str:
        """Condition that an object lies in a circle."""
        _, object_ra, object_dec = self.select[:3]
        radius = f"{self.radius / _ARCSECONDS:.8f}"
        return f"1=CONTAINS(POINT('ICRS', {object_ra}, {object_dec}), CIRCLE('ICRS', {ra}, {dec}, {radius}))"

    def with_table(self) -> str:
        """Query that takes the positions from a table sent along."""
        condition = self.contains("stars.cb_ra", "stars.cb_dec")
        return select(self.select, f"TAP_UPLOAD.stars AS stars JOIN {self.table} ON {condition}{self.joins}")

    def with_circles(self, ra: FloatArray, dec: FloatArray) -> str:
        """Query that has the positions in it."""
        circles = " OR ".join(
            self.contains(f"{x:.{_DIGITS}f}", f"{y:.{_DIGITS}f}") for x, y in zip(ra, dec, strict=True)
        )
        return select(self.select, f"{self.table}{self.joins}", circles)


class Matcher:
    """Matches stars with the objects of VizieR and SIMBAD.

    Parameters
    ----------
    vizier, simbad : TapTables
        The services.
    settings : VizierSettings
        Tables, columns and radii.
    monitor : Monitor, optional
        Told of another way that is taken.
    """

    def __init__(
        self, vizier: TapTables, simbad: TapTables, settings: VizierSettings, *, monitor: Monitor | None = None
    ) -> None:
        self._vizier = vizier
        self._simbad = simbad
        self._settings = settings
        self._monitor = monitor or Monitor()
        self._takes_tables = dict.fromkeys((vizier.service.url, simbad.service.url), settings.upload)

    def gaia(self, stars: Table) -> QTable:
        """Match stars with the eclipsing binaries of Gaia DR3.

        Parameters
        ----------
        stars : `~astropy.table.Table`
            Stars with ``id``, ``RAJ2000`` and ``DEJ2000``.

        Returns
        -------
        `~astropy.table.QTable`
            A row a match.
        """
        positions = _positions(stars)
        target = self._gaia_target()
        star, separation, rank, rows = self._matches(target, positions)
        frequency = _numbers(rows, target, "frequency")
        matches = _head(star, separation, rank)
        matches["source_id"] = np.array([int(text) for text in text_values(rows.columns[0])], dtype=np.int64)
        matches["RA_ICRS"] = u.Quantity(number_values(rows.columns[1]), u.deg)
        matches["DE_ICRS"] = u.Quantity(number_values(rows.columns[2]), u.deg)
        matches["frequency"] = float_column(frequency, "1/d")
        with np.errstate(divide="ignore"):
            matches["period"] = float_column(np.where(frequency > 0, 1.0 / frequency, np.nan), "d")
        matches["global_ranking"] = float_column(_numbers(rows, target, "rank"))
        matches["model_type"] = text_column(_texts(rows, target, "model"))
        matches.meta |= {"service": target.tables.service.url, "citation": _CITE_GAIA}
        return matches

    def simbad(self, stars: Table) -> QTable:
        """Match stars with the objects of SIMBAD.

        Parameters
        ----------
        stars : `~astropy.table.Table`
            Stars with ``id``, ``RAJ2000`` and ``DEJ2000``.

        Returns
        -------
        `~astropy.table.QTable`
            A row a match.
        """
        names = ("main_id", "ra", "dec", "otype", "sp_type", "nbref")
        target = _Target(
            self._simbad,
            tuple(f"basic.{name}" for name in names),
            "basic",
            self._settings.radius_simbad,
            "SIMBAD's objects at the stars",
            "simbad",
            _CITE_SIMBAD,
            columns={name: name for name in names},
        )
        star, separation, rank, rows = self._matches(target, _positions(stars))
        matches = _head(star, separation, rank)
        matches["main_id"] = text_column(" ".join(text.split()) for text in text_values(rows.columns[0]))
        matches["otype"] = text_column(_texts(rows, target, "otype"))
        matches["sp_type"] = text_column(_texts(rows, target, "sp_type"))
        count = _numbers(rows, target, "nbref")
        matches["n_references"] = MaskedColumn(np.nan_to_num(count).astype(np.int64), mask=np.isnan(count))
        matches["RA_ICRS"] = u.Quantity(number_values(rows.columns[1]), u.deg)
        matches["DE_ICRS"] = u.Quantity(number_values(rows.columns[2]), u.deg)
        matches.meta |= {"service": target.tables.service.url, "citation": _CITE_SIMBAD}
        return matches

    def _gaia_target(self) -> _Target:
        """Find Gaia's columns: positions of the binaries themselves or, if they have none, of the sources."""
        binaries, roles = self._gaia_roles(self._settings.gaia_binaries, (_SOURCE, *_BINARY), ("source", "frequency"))
        where, position = binaries, find_roles(binaries, _POSITION, self._settings.gaia_columns.model_dump())
        joins = ""
        if len(position) < len(_POSITION):
            where, position = self._gaia_roles(
                self._settings.gaia_sources, (_SOURCE, *_POSITION), ("source", "ra", "dec")
            )
            joins = (
                f" JOIN {binaries.adql} ON "
                f"{binaries.adql}.{roles['source'].adql} = {where.adql}.{position['source'].adql}"
            )
        chosen: dict[str, str] = {
            "source": f"{binaries.adql}.{roles['source'].adql}",
        }
        chosen |= {role: f"{where.adql}.{position[role].adql}" for role in ("ra", "dec")}
        known = [role for role in ("frequency", "rank", "model") if role in roles]
        chosen |= {role: f"{binaries.adql}.{roles[role].adql}" for role in known}
        return _Target(
            self._vizier,
            tuple(chosen.values()),
            where.adql,
            self._settings.radius_gaia,
            "Gaia's eclipsing binaries at the stars",
            "gaia",
            _CITE_GAIA,
            joins,
            chosen,
        )

    def _gaia_roles(
        self, name: str, roles: tuple[Role, ...], needed: tuple[str, ...]
    ) -> tuple[TableColumns, dict[str, Column]]:
        chosen = self._settings.gaia_columns.model_dump()
        tables = discover(self._vizier, name, remedy=_REMEDY)
        table = tables[0]
        found = find_roles(table, roles, chosen)
        missing = {role: f"the {role}" for role in needed if role not in found}
        if missing:
            raise refuse_columns(name, [table], missing, section="vizier.gaia_columns", chosen=chosen, remedy=_REMEDY)
        return table, found

    def _matches(
        self, target: _Target, stars: _Positions
    ) -> tuple[npt.NDArray[np.str_], FloatArray, npt.NDArray[np.int64], Table]:
        """Pairs of stars and objects, by star and nearest first: names, separations, ranks, and the objects' rows."""
        names, ra, dec = stars
        objects = self._objects(target, ra, dec)
        star, row, separation = _pairs(ra, dec, objects, target.radius)
        order = np.lexsort((separation, star))
        star, row, separation = star[order], row[order], separation[order]
        first = np.searchsorted(star, star)
        rank = np.arange(len(star)) - first + 1
        return names[star], separation, rank, objects[row]

    def _objects(self, target: _Target, ra: FloatArray, dec: FloatArray) -> Table:
        """Objects near any of the positions, each once."""
        parts: list[Table] = []
        begin = 0
        while begin < len(ra):
            batch = slice(begin, begin + self._batch(target))
            part = self._ask(target, ra[batch], dec[batch])
            if part is not None:
                begin = batch.stop
                parts.append(part)
        return _each_once(parts, len(target.select))

    def _batch(self, target: _Target) -> int:
        by_table = self._takes_tables[target.tables.service.url]
        return self._settings.batch if by_table else min(self._settings.batch, _CIRCLES)

    def _ask(self, target: _Target, ra: FloatArray, dec: FloatArray) -> Table | None:
        """Ask for the objects of a batch; None if it has to be asked for in another way."""
        url = target.tables.service.url
        if not self._takes_tables[url]:
            return target.tables.ask(self._question(target, target.with_circles(ra, dec), len(ra)))
        table = Table({"cb_ra": np.round(ra, _DIGITS), "cb_dec": np.round(dec, _DIGITS)})
        question = self._question(target, target.with_table(), len(ra), table)
        with target.tables.explained(question):
            try:
                return target.tables.try_to_ask(question)
            except TruncatedError:
                raise
            except (QueryRejectedError, Refusal) as refusal:
                self._monitor.tell(f"{url} takes no table of positions ({refusal}); they are sent in the query instead")
        self._takes_tables[url] = False
        return None

    def _question(self, target: _Target, adql: str, stars: int, positions: Table | None = None) -> Question:
        way_out = "make batch or the radius smaller" + ("" if positions is None else ", or set upload = false,")
        return Question(
            adql=adql,
            what=f"{target.what} ({stars} positions)",
            remedy=f"{way_out} under [vizier], or {_REMEDY}",
            name=target.name,
            maxrec=max(1000, _PER_STAR * stars),
            width=len(target.select),
            positions=positions,
            columns=target.columns,
            citation=target.citation,
        )


def _positions(stars: Table) -> _Positions:
    """Names and positions of the stars that have a position."""
    missing = [name for name in ("id", "RAJ2000", "DEJ2000") if name not in stars.colnames]
    if missing:
        msg = (
            f"table of stars has no column {' or '.join(missing)}; it has {', '.join(stars.colnames)}. "
            "A match needs id, RAJ2000 and DEJ2000 in degrees"
        )
        raise InputFormatError(msg)
    names, ra, dec = label_column(stars, "id"), values(stars, "RAJ2000", "deg"), values(stars, "DEJ2000", "deg")
    known = np.isfinite(ra) & np.isfinite(dec)
    return names[known], ra[known], dec[known]


def _each_once(parts: Sequence[Table], width: int) -> Table:
    """Join the objects of all batches; one near several stars comes more than once."""
    filled = [part for part in parts if len(part)]
    if not filled:
        return Table({str(number): np.zeros(0) for number in range(width)})
    joined = vstack(filled, metadata_conflicts="silent")
    _, first = np.unique(np.array(text_values(joined.columns[0])), return_index=True)
    objects = joined[np.sort(first)]
    here = np.isfinite(number_values(objects.columns[1])) & np.isfinite(number_values(objects.columns[2]))
    return objects[here]


def _pairs(
    ra: FloatArray, dec: FloatArray, objects: Table, radius: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], FloatArray]:
    """Pairs of a star and an object within the radius: their indices, and their separations in seconds of arc."""
    if not len(objects) or not len(ra):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0)
    stars = SkyCoord(ra, dec, unit="deg")
    there = SkyCoord(number_values(objects.columns[1]), number_values(objects.columns[2]), unit="deg")
    star, row, separation, _ = search_around_sky(stars, there, radius * u.arcsec)
    return star, row, separation.to_value(u.arcsec)


def _head(star: npt.NDArray[np.str_], separation: FloatArray, rank: npt.NDArray[np.int64]) -> QTable:
    matches = QTable()
    matches["id"] = text_column(star)
    matches["rank"] = rank
    matches["separation"] = u.Quantity(separation, u.arcsec)
    return matches


def _numbers(rows: Table, target: _Target, role: str) -> FloatArray:
    if role not in target.columns:
        return np.full(len(rows), np.nan)
    return number_values(rows.columns[list(target.columns).index(role)])


def _texts(rows: Table, target: _Target, role: str) -> list[str]:
    if role not in target.columns:
        return [""] * len(rows)
    return text_values(rows.columns[list(target.columns).index(role)])
