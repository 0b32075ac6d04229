"""OGLE's collection of eclipsing and ellipsoidal binaries: the byte layouts of its catalogue.

The layouts are those of the README files of ``OCVS/lmc/ecl`` and ``OCVS/smc/ecl`` (Pawlak et al. 2016, AcA 66,
421; Glowacki et al. 2025). Bytes are counted from 1 and both ends are included.
"""

import itertools
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from astropy.table import QTable

from cbminer.errors import InputFormatError
from cbminer.survey.stars import (
    DEPTH_RANGE,
    MAGNITUDE_RANGE,
    MISSING_TOKENS,
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
from cbminer.survey.textfile import (
    BadLineError,
    Line,
    ParsedLines,
    SetAside,
    TextFile,
    parse_lines,
    read_text_file,
)

__all__ = [
    "CATALOGUE_FILES",
    "REQUIRED_FILES",
    "CatalogueReading",
    "read_catalogue",
    "recognise_release",
]

CATALOGUE_FILES = ("ident.dat", "ecl.dat", "ell.dat", "remarks.txt")
REQUIRED_FILES = ("ident.dat", "ecl.dat")
_STAR = re.compile(r"^[A-Z0-9]+-(LMC|SMC)-[A-Z0-9]+-\d+$")
# Numbers of stars by which a release is known: (galaxy, stars) -> name.
_RELEASES = {
    ("LMC", 40204): "OGLE-IV, Pawlak et al. 2016",
    ("SMC", 8401): "OGLE-IV, Pawlak et al. 2016",
    ("LMC", 26121): "OGLE-III, Graczyk et al. 2011",
    ("SMC", 6138): "OGLE-III, Pawlak et al. 2013",
}
_LATEST = "OGLE-IV, later than Pawlak et al. 2016 (Glowacki et al. 2025 or after)"
_UNKNOWN_RELEASE = "not recognised"


@dataclass(frozen=True)
class CatalogueReading:
    """A catalogue as it was read, and everything that did not make it into the table.

    Attributes
    ----------
    stars : `~astropy.table.QTable`
        A row a star of ident.dat.
    set_aside : list of SetAside
        Lines that were kept out, with the reason.
    counts : dict of str to int
        Lines, stars and what was set aside, by file and reason.
    release : str
        Release of the survey, recognised by its number of stars.
    """

    stars: QTable
    set_aside: list[SetAside]
    counts: dict[str, int]
    release: str


@dataclass
class _Ledger:
    """Counts and lines set aside, gathered while the files are read."""

    counts: dict[str, int] = field(default_factory=dict)
    set_aside: list[SetAside] = field(default_factory=list)

    def add(self, items: Iterable[SetAside], count: str) -> None:
        kept = list(items)
        self.counts[count] = self.counts.get(count, 0) + len(kept)
        self.set_aside.extend(kept)


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
    """
    ledger = _Ledger()
    identities = _read_identities(folder / "ident.dat", galaxy, ledger, strict=strict)
    parameters = _read_parameters(folder, galaxy, ledger, strict=strict)
    remarks = _read_remarks(folder / "remarks.txt", identities, ledger)
    orphans = [star for star in parameters if star not in identities]
    ledger.add(
        (
            SetAside("ecl.dat, ell.dat", 0, star, "expected a row of the star in ident.dat, found none", "")
            for star in orphans
        ),
        "parameter rows without a row in ident.dat",
    )
    missing = sum(star not in parameters for star in identities)
    ledger.counts["stars of ident.dat without a row in ecl.dat or ell.dat"] = missing
    ledger.counts["stars"] = len(identities)
    stars = star_table(list(identities.values()), parameters, remarks, galaxy)
    release = recognise_release(galaxy, len(identities))
    return CatalogueReading(stars, ledger.set_aside, ledger.counts, release)


def _read_identities(path: Path, galaxy: str, ledger: _Ledger, *, strict: bool) -> dict[str, Identity]:
    file = _open(path)
    _refuse_empty(file)
    parsed = parse_lines(file, lambda line: _parse_identity(line, galaxy), layout="OGLE's ident.dat", strict=strict)
    stars = [identity.star for identity in parsed.rows]
    return _without_duplicates(path.name, file, parsed, stars, ledger)


def _read_parameters(folder: Path, galaxy: str, ledger: _Ledger, *, strict: bool) -> dict[str, Parameters]:
    """Read ecl.dat and ell.dat; a star in both keeps its row of ecl.dat."""
    merged: dict[str, Parameters] = {}
    for name in ("ecl.dat", "ell.dat"):
        path = folder / name
        if name not in REQUIRED_FILES and not path.exists():
            ledger.counts[f"{name} missing"] = 1
            continue
        file = _open(path)
        if name in REQUIRED_FILES:
            _refuse_empty(file)
        parsed = parse_lines(file, lambda line: _parse_parameters(line, galaxy), layout=f"OGLE's {name}", strict=strict)
        rows = _without_duplicates(name, file, parsed, [row.star for row in parsed.rows], ledger)
        twice = [
            SetAside(name, 0, star, "expected the star in one of ecl.dat and ell.dat, found it in both", "")
            for star in rows
            if star in merged
        ]
        ledger.add(twice, "stars in both ecl.dat and ell.dat")
        merged = rows | merged
    return merged


def _read_remarks(path: Path, identities: dict[str, Identity], ledger: _Ledger) -> dict[str, str]:
    """Read the remarks; the file is free text with names in it, so nothing in it is an error."""
    if not path.exists():
        ledger.counts["remarks.txt missing"] = 1
        return {}
    remarks: dict[str, str] = {}
    unmatched = 0
    for line in read_text_file(path, encoding_errors="replace").lines:
        star, _, text = line.text.strip().partition(" ")
        if star in identities and text.strip():
            remarks[star] = f"{remarks[star]}; {text.strip()}" if star in remarks else text.strip()
        else:
            unmatched += 1
    ledger.counts["remarks.txt: remarks"] = len(remarks)
    ledger.counts["remarks.txt: lines without a star of ident.dat"] = unmatched
    return remarks


def _open(path: Path) -> TextFile:
    if not path.exists():
        msg = f"{path} is missing: the folder must hold OGLE's {' and '.join(REQUIRED_FILES)}"
        raise InputFormatError(msg)
    return read_text_file(path)


def _refuse_empty(file: TextFile) -> None:
    if not file.lines and not file.undecoded:
        msg = f"{file.path} is empty: expected a row a star; fetch it again"
        raise InputFormatError(msg)


def _without_duplicates(
    name: str, file: TextFile, parsed: ParsedLines[Any], stars: list[str], ledger: _Ledger
) -> dict[str, Any]:
    """Key rows by star, the first of several rows kept, and enter the file into the ledger."""
    rows: dict[str, Any] = {}
    first: dict[str, Line] = {}
    duplicates: list[SetAside] = []
    for line, row, star in zip(parsed.lines, parsed.rows, stars, strict=True):
        if star not in rows:
            rows[star], first[star] = row, line
            continue
        same = "the same" if line.text == first[star].text else "another"
        reason = f"expected one row a star, found {same} row on line {first[star].number} already"
        duplicates.append(SetAside(name, line.number, star, reason, line.text))
    ledger.counts[f"{name}: lines"] = len(file.lines) + len(file.undecoded)
    ledger.add(parsed.set_aside, f"{name}: malformed lines")
    ledger.add(duplicates, f"{name}: duplicate rows")
    ledger.counts[f"{name}: rows"] = len(rows)
    return rows


def _parse_identity(line: Line, galaxy: str) -> Identity:
    """Parse a row of ident.dat by its bytes or, where a release shifted its columns, by its words."""
    text = line.text
    try:
        # A shifted row would lose a digit of its star to the next column.
        if (text[18:20] + text[23:24] + text[35:36] + text[47:49]).strip():
            msg = "expected 4 columns at their bytes, found words across them"
            raise BadLineError(msg)
        head = [text[0:18].strip(), text[20:23].strip(), text[24:35].strip(), text[36:47].strip()]
        identity = _identity(head, galaxy)
    except BadLineError as error:
        words = text.split(maxsplit=4)
        if len(words) < 4:
            raise
        try:
            identity = _identity(words[:4], galaxy)
        except BadLineError:
            raise error from None
        other = words[4].strip() if len(words) > 4 else ""
        return Identity(identity.star, identity.kind, identity.ra, identity.dec, other_id=other)
    cross = [known_label(text[first:last]) for first, last in ((49, 65), (66, 81), (82, 97), (98, 150))]
    return Identity(identity.star, identity.kind, identity.ra, identity.dec, *cross)


def _identity(words: list[str], galaxy: str) -> Identity:
    star, kind, ra, dec = words
    _check_star(star, galaxy)
    if kind not in STAR_TYPES:
        msg = f"bytes 21-23: expected a type out of {', '.join(STAR_TYPES)}, found {kind!r}"
        raise BadLineError(msg)
    return Identity(star, kind, right_ascension(ra), declination(dec))


def _check_star(star: str, galaxy: str) -> None:
    match = _STAR.match(star)
    if match is None:
        msg = f"bytes 1-18: expected a star such as OGLE-{galaxy}-ECL-00001, found {star!r}"
        raise BadLineError(msg)
    if match.group(1) != galaxy:
        msg = f"bytes 1-18: expected a star of the {galaxy}, found {star!r}"
        raise BadLineError(msg)


@dataclass(frozen=True)
class _Number:
    """A numeric field of ecl.dat: its bytes and its meaning."""

    first: int
    last: int
    expected: str


_PARAMETER_FIELDS = (
    _Number(21, 26, "an I magnitude"),
    _Number(28, 33, "a V magnitude"),
    _Number(35, 46, "a period in days"),
    _Number(49, 60, "an epoch of minimum"),
    _Number(62, 67, "a depth of the primary eclipse"),
    _Number(69, 73, "a depth of the secondary eclipse"),
)


def _parse_parameters(line: Line, galaxy: str) -> Parameters:
    """Parse a row of ecl.dat or ell.dat.

    Seven words are unambiguous whatever their bytes. With fewer, a blank field stands for a missing value and only
    the bytes can tell which.
    """
    words = line.text.split()
    if len(words) != 1 + len(_PARAMETER_FIELDS):
        words = _fields_by_bytes(line.text)
    _check_star(words[0], galaxy)
    i_mag, v_mag, period, epoch, depth1, depth2 = (
        _number(word, spec) for word, spec in zip(words[1:], _PARAMETER_FIELDS, strict=True)
    )
    return Parameters(
        words[0],
        within(i_mag, MAGNITUDE_RANGE),
        within(v_mag, MAGNITUDE_RANGE),
        within(period, (0.0, math.inf)),
        checked_epoch(epoch),
        within(depth1, DEPTH_RANGE),
        within(depth2, DEPTH_RANGE),
    )


def _fields_by_bytes(text: str) -> list[str]:
    covered = [(0, 18), *((spec.first - 1, spec.last) for spec in _PARAMETER_FIELDS)]
    between = "".join(text[end:start] for (_, end), (start, _) in itertools.pairwise(covered))
    end = covered[-1][1]
    if between.strip() or text[end:].strip():
        msg = f"expected 7 columns at their bytes, found {len(text.split())} words at others"
        raise BadLineError(msg)
    inside = any(start < len(text) < stop for start, stop in covered)
    if inside or len(text) < _PARAMETER_FIELDS[2].last:
        msg = f"expected 7 columns up to byte {end}, found the line cut off at byte {len(text)}"
        raise BadLineError(msg)
    return [text[start:stop].strip() for start, stop in covered]


def _number(word: str, spec: _Number) -> float:
    if word in MISSING_TOKENS:
        return math.nan
    try:
        value = float(word)
    except ValueError:
        value = math.inf
    if math.isinf(value):
        msg = f"bytes {spec.first}-{spec.last}: expected {spec.expected} or -, found {word!r}"
        raise BadLineError(msg)
    return value
