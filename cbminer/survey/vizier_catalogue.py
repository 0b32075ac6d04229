"""OGLE's catalogue of eclipsing binaries out of VizieR's tables, as `cbminer.survey.ogle` makes it of OGLE's files.

VizieR may hold the catalogue in one table or in several, for instance with positions or remarks of their own. A value
that several tables give for a star is taken from the table that knows most.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from astropy.table import Table

from cbminer.errors import InputFormatError
from cbminer.survey.ogle import CatalogueReading
from cbminer.survey.stars import (
    DEPTH_RANGE,
    MAGNITUDE_RANGE,
    STAR_TYPES,
    Identity,
    Parameters,
    checked_epoch,
    declination,
    known_label,
    right_ascension,
    star_table,
    within,
)
from cbminer.survey.textfile import BadLineError, SetAside
from cbminer.survey.vizier_columns import Column, Role, text_values

__all__ = ["CATALOGUE_ROLES", "NEEDED_ROLES", "STAR_ROLE", "FetchedTable", "read_tables", "star_name"]

STAR_ROLE = Role(
    "star",
    ("Star", "OGLE", "OGLE-ID", "OGLEID", "ID", "Name", "Object", "StarID", "Obj", "Source"),
    ("meta.id;meta.main", "id_main", "meta.id"),
    r"\bOGLE\b.*\b(ident|name|designation)|\b(ident|name|designation).*\bOGLE\b",
    is_text=True,
)
CATALOGUE_ROLES = (
    STAR_ROLE,
    Role("type", ("Type", "SType", "Subtype", "Class", "VarType", "Cl"), ("src.class",), r"\btype\b", is_text=True),
    Role(
        "ra",
        ("RAJ2000", "RA_ICRS", "RAICRS", "RAdeg", "_RAJ2000", "_RA", "RA"),
        ("pos.eq.ra;meta.main", "pos_eq_ra_main", "pos.eq.ra"),
        r"right ascension",
    ),
    Role(
        "dec",
        ("DEJ2000", "DECJ2000", "DE_ICRS", "DEICRS", "DEdeg", "_DEJ2000", "_DE", "Dec", "DE"),
        ("pos.eq.dec;meta.main", "pos_eq_dec_main", "pos.eq.dec"),
        r"declination",
    ),
    Role(
        "I_mag",
        ("Imag", "I", "ImagMax", "Imax", "<Imag>", "I_mag", "mag_I"),
        ("phot.mag;em.opt.i", "phot_mag_i"),
        r"\bI[- ](band )?magnitude",
    ),
    Role(
        "V_mag",
        ("Vmag", "V", "VmagMax", "Vmax", "<Vmag>", "V_mag", "mag_V"),
        ("phot.mag;em.opt.v", "phot_mag_v"),
        r"\bV[- ](band )?magnitude",
    ),
    Role("period", ("Per", "Period", "P", "Porb"), ("time.period", "time_period"), r"\bperiod\b"),
    Role(
        "T0",
        ("T0", "HJD0", "Epoch", "HJD", "Ep", "Tmin", "MinI", "T0I", "TI", "HJDmin"),
        ("time.epoch", "time_epoch"),
        r"\b(epoch|time|date)\b.*\bmin",
    ),
    Role(
        "depth1",
        ("depth1", "DepI", "DepthI", "d1", "Dmin1", "DminI", "dI", "Amp1", "AmpI", "D(I)", "Imin1", "Dp", "MinIdepth"),
        (),
        r"\bdepth\b.*\bprimary|\bprimary\b.*\bdepth",
    ),
    Role(
        "depth2",
        ("depth2", "DepII", "DepthII", "d2", "Dmin2", "DminII", "dII", "Amp2", "AmpII", "D(II)", "Imin2", "Ds"),
        (),
        r"\bdepth\b.*\bsecondary|\bsecondary\b.*\bdepth",
    ),
    Role(
        "ogle4_id", ("OGLE-IV", "OGLE4", "OGLE4ID", "OIV", "ID-IV"), (), r"OGLE-IV\b.*\b(ident|name|id)", is_text=True
    ),
    Role("ogle3_id", ("OGLE-III", "OGLE3", "OGLE3ID", "OIII"), (), r"OGLE-III\b.*\b(ident|name|id)", is_text=True),
    Role("ogle2_id", ("OGLE-II", "OGLE2", "OGLE2ID", "OII"), (), r"OGLE-II\b.*\b(ident|name|id)", is_text=True),
    Role(
        "other_id",
        ("Other", "OName", "OtherName", "Names", "AName", "VSX"),
        (),
        r"\bother (desig|name|id)",
        is_text=True,
    ),
    Role("remark", ("Remark", "Remarks", "Rem", "Note", "Notes", "Com", "Text"), ("meta.note",), "", is_text=True),
)
NEEDED_ROLES = {
    "star": "the star's name",
    "type": "its type",
    "ra": "its right ascension",
    "dec": "its declination",
    "I_mag": "its I magnitude",
    "V_mag": "its V magnitude",
    "period": "its period",
    "T0": "its epoch of minimum",
}

_NAME = re.compile(r"\b(LMC|SMC)-(ECL|ELL)-(\d+)$", re.IGNORECASE)
_SEXAGESIMAL = re.compile(r"^([+-]?\d{1,2})[\s:hd°]+(\d{1,2})[\s:m']+(\d{1,2}(?:\.\d*)?)[\s\"s]*$")
_MODIFIED = re.compile(r"\bMJD\b|2400000\.5")
# Full dates are millions of days, dates less 2450000 thousands, and dates less 2400000 lie in between.
_REDUCED = (20000.0, 100000.0)
_REDUCED_BY = 2400000.0
_WRONG_TABLE = 0.5
_SHOWN = 60


@dataclass(frozen=True)
class FetchedTable:
    """Rows of one table of the catalogue.

    Attributes
    ----------
    name : str
        Name of the table.
    columns : mapping of str to Column
        Column of each role, in the order of the columns of `rows`.
    rows : `~astropy.table.Table`
        The rows.
    """

    name: str
    columns: Mapping[str, Column]
    rows: Table


@dataclass
class _Star:
    """What the tables say of a star, and where it was first found."""

    table: str
    row: int
    said: dict[str, str]


@dataclass
class _Gathered:
    stars: dict[str, _Star] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    set_aside: list[SetAside] = field(default_factory=list)


def star_name(text: str) -> str:
    """Bring a star's name to the form that OGLE's files have.

    Parameters
    ----------
    text : str
        Name, for instance ``OGLE-LMC-ECL-00001`` or ``LMC-ECL-1``.

    Returns
    -------
    str
        Name such as ``OGLE-LMC-ECL-00001``; empty if the text names no star of the Clouds.
    """
    match = _NAME.search(text)
    return f"OGLE-{match[1].upper()}-{match[2].upper()}-{int(match[3]):05d}" if match else ""


def read_tables(
    tables: Sequence[FetchedTable], galaxy: str, *, catalogue: str, release: str, strict: bool = False
) -> CatalogueReading:
    """Make the star table of the rows of VizieR's tables.

    Parameters
    ----------
    tables : sequence of FetchedTable
        Tables, the one that knows most first.
    galaxy : {"LMC", "SMC"}
        Galaxy that every star must belong to.
    catalogue : str
        Name of the catalogue, for messages.
    release : str
        Release of the survey.
    strict : bool, optional
        Whether the first malformed row is an error instead of being set aside.

    Returns
    -------
    CatalogueReading
        The stars and what was set aside.

    Raises
    ------
    InputFormatError
        If most rows are malformed or, with `strict`, any.
    """
    gathered = _Gathered()
    for table in tables:
        _gather(table, galaxy, gathered)
    identities: list[Identity] = []
    parameters: dict[str, Parameters] = {}
    remarks: dict[str, str] = {}
    for name, star in gathered.stars.items():
        try:
            identities.append(_identity(name, star.said))
        except BadLineError as error:
            _put_aside(gathered, star, name, error)
            continue
        if "remark" in star.said:
            remarks[name] = star.said["remark"]
        try:
            row = _parameters(name, star.said)
        except BadLineError as error:
            _put_aside(gathered, star, name, error)
            continue
        if row is not None:
            parameters[name] = row
    _refuse_wrong_table(gathered, catalogue, strict=strict)
    _count(gathered, identities, parameters, catalogue)
    stars = star_table(identities, parameters, remarks, galaxy)
    return CatalogueReading([stars], gathered.set_aside, gathered.counts, release)


def _gather(table: FetchedTable, galaxy: str, gathered: _Gathered) -> None:
    """Add what a table says; what an earlier table said of a star stays."""
    values = {
        role: _column_values(table, number, role, column) for number, (role, column) in enumerate(table.columns.items())
    }
    seen: set[str] = set()
    duplicates = 0
    for row, text in enumerate(values["star"], start=1):
        name = star_name(text)
        if not name.startswith(f"OGLE-{galaxy}-"):
            reason = f"expected a star of the {galaxy} such as OGLE-{galaxy}-ECL-00001, found {text!r}"
            gathered.set_aside.append(SetAside(table.name, row, text, reason, text[:_SHOWN]))
            continue
        if name in seen:
            duplicates += 1
            continue
        seen.add(name)
        star = gathered.stars.setdefault(name, _Star(table.name, row, {}))
        for role, column in values.items():
            if role != "star" and known_label(column[row - 1]):
                star.said.setdefault(role, column[row - 1])
    gathered.counts[f"{table.name}: rows"] = len(values["star"])
    gathered.counts[f"{table.name}: duplicate rows"] = duplicates


def _column_values(table: FetchedTable, number: int, role: str, column: Column) -> list[str]:
    """Values of a column as the star table wants them; texts stay texts until a star is made of them."""
    texts = text_values(table.rows.columns[number])
    if role == "T0":
        return [_full_date(text, column) for text in texts]
    return texts


def _full_date(text: str, column: Column) -> str:
    """Bring a date less 2400000 to the full date; the other kinds are told apart by OGLE's own reader."""
    try:
        value = float(text)
    except ValueError:
        return text
    if not _REDUCED[0] < value < _REDUCED[1]:
        return text
    half = 0.5 if _MODIFIED.search(f"{column.name} {column.unit} {column.description}") else 0.0
    return repr(value + _REDUCED_BY + half)


def _identity(name: str, said: Mapping[str, str]) -> Identity:
    kind = said.get("type", "").upper()
    if not kind and "-ELL-" in name:
        kind = "ELL"
    if kind not in STAR_TYPES:
        msg = f"expected a type out of {', '.join(STAR_TYPES)}, found {kind!r}"
        raise BadLineError(msg)
    ra, dec = (_angle(said.get(role, ""), role) for role in ("ra", "dec"))
    labels = {role: said.get(role, "") for role in ("ogle4_id", "ogle3_id", "ogle2_id", "other_id")}
    return Identity(name, kind, ra, dec, **labels)


def _angle(text: str, role: str) -> float:
    """Degrees of a position in degrees, or in hours or degrees with minutes and seconds."""
    try:
        match = _SEXAGESIMAL.match(text)
        if match is None:
            degrees = float(text)
        elif role == "ra":
            degrees = right_ascension(_colons(match))
        else:
            sign = "-" if match[1].startswith("-") else "+"
            degrees = declination(sign + _colons(match))
    except ValueError:
        degrees = math.nan
    low, high = (0.0, 360.0) if role == "ra" else (-90.0, 90.0)
    if not low <= degrees <= high:
        meaning = "a right ascension" if role == "ra" else "a declination"
        msg = f"expected {meaning} in degrees or sexagesimal, found {text!r}"
        raise BadLineError(msg)
    return degrees


def _colons(match: re.Match[str]) -> str:
    """Write a sexagesimal number the way that OGLE's own reader expects it."""
    whole, point, fraction = match[3].partition(".")
    return ":".join((match[1].lstrip("+-").zfill(2), match[2].zfill(2), whole.zfill(2) + point + fraction))


def _parameters(name: str, said: Mapping[str, str]) -> Parameters | None:
    """Parameters of a star; None if the tables say none of them."""
    numbers = {
        role: _number(said.get(role, ""), role) for role in ("I_mag", "V_mag", "period", "T0", "depth1", "depth2")
    }
    if all(math.isnan(value) for value in numbers.values()):
        return None
    return Parameters(
        name,
        within(numbers["I_mag"], MAGNITUDE_RANGE),
        within(numbers["V_mag"], MAGNITUDE_RANGE),
        within(numbers["period"], (0.0, math.inf)),
        _epoch(numbers["T0"]),
        within(numbers["depth1"], DEPTH_RANGE),
        within(numbers["depth2"], DEPTH_RANGE),
    )


def _number(text: str, role: str) -> float:
    if not known_label(text):
        return math.nan
    try:
        return float(text)
    except ValueError:
        msg = f"expected a number for {role}, found {text!r}"
        raise BadLineError(msg) from None


def _epoch(value: float) -> float:
    try:
        return checked_epoch(value)
    except BadLineError:
        msg = f"expected an epoch as HJD, HJD-2450000 or HJD-2400000, found {value:.5f}"
        raise BadLineError(msg) from None


def _put_aside(gathered: _Gathered, star: _Star, name: str, error: BadLineError) -> None:
    text = ", ".join(f"{role}={value}" for role, value in star.said.items())
    gathered.set_aside.append(SetAside(star.table, star.row, name, str(error), text[:_SHOWN]))


def _refuse_wrong_table(gathered: _Gathered, catalogue: str, *, strict: bool) -> None:
    bad = gathered.set_aside
    if not bad or not (strict or len(bad) > _WRONG_TABLE * max(len(gathered.stars), 1)):
        return
    first = bad[0]
    msg = (
        f"VizieR {catalogue}: {len(bad)} rows are malformed; {first.file}, row {first.line}: {first.reason}. "
        "Name the columns under [vizier.ogle_columns], or give OGLE's own files with --archive PATH"
    )
    raise InputFormatError(msg)


def _count(
    gathered: _Gathered, identities: Sequence[Identity], parameters: Mapping[str, Parameters], catalogue: str
) -> None:
    gathered.counts[f"VizieR {catalogue}: malformed rows"] = len(gathered.set_aside)
    gathered.counts[f"stars of VizieR {catalogue} without parameters"] = len(identities) - len(parameters)
    gathered.counts["stars"] = len(identities)
