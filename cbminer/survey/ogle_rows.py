"""Rows of OGLE's catalogue of eclipsing and ellipsoidal binaries: the byte layouts of ident.dat, ecl.dat and ell.dat.

The layouts are those of the README files of ``OCVS/lmc/ecl`` and ``OCVS/smc/ecl`` (Pawlak et al. 2016, AcA 66,
421; Glowacki et al. 2025). Bytes are counted from 1 and both ends are included.

Lines as OGLE writes them are read many at a time. All others are read one by one, which finds what is wrong with them.
"""

import itertools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cbminer.columns import FloatArray
from cbminer.survey.stars import (
    DEPTH_RANGE,
    HJD_RANGE,
    MAGNITUDE_RANGE,
    MISSING_TOKENS,
    PARAMETER_NAMES,
    STAR_TYPES,
    Identity,
    Parameters,
    checked_epoch,
    declination,
    full_hjd,
    known_label,
    right_ascension,
    within,
)
from cbminer.survey.textfile import BadLineError

__all__ = ["IDENTITY_SCHEMA", "PARAMETER_SCHEMA", "ParsedRows", "identity_rows", "parameter_rows"]

IDENTITY_SCHEMA = pa.schema(
    [(item.name, pa.float64() if item.type is float else pa.string()) for item in fields(Identity)]
)
PARAMETER_SCHEMA = pa.schema(
    [(item.name, pa.float64() if item.type is float else pa.string()) for item in fields(Parameters)]
)
_STAR = re.compile(r"^[A-Z0-9]+-(LMC|SMC)-[A-Z0-9]+-\d+$")

# A line of ident.dat in printable letters, with blanks between its columns.
_IDENTITY = r"^[ -~]{18}  [ -~]{3} [ -~]{11} [ -~]{11}(?:$|  [ -~]*$)"
_FIELDS = {"star": (0, 18), "kind": (20, 23), "ra": (24, 35), "dec": (36, 47)}
_CROSS = {"ogle4_id": (49, 65), "ogle3_id": (66, 81), "ogle2_id": (82, 97), "other_id": (98, 150)}
_RA = r"^(?P<whole>[01][0-9]|2[0-3]):(?P<minutes>[0-5][0-9]):(?P<seconds>[0-5][0-9](?:\.[0-9]{1,9})?)$"
_DEC = r"^[+-](?P<whole>[0-8][0-9]):(?P<minutes>[0-5][0-9]):(?P<seconds>[0-5][0-9](?:\.[0-9]{1,9})?)$"
# Seven words are unambiguous whatever their bytes.
_NUMBER = r"-|-?[0-9]{1,15}(?:\.[0-9]{1,15})?"
_NUMBERS = "".join(rf" +(?P<{name}>{_NUMBER})" for name in PARAMETER_NAMES)
_PARAMETERS = rf"^ *(?P<star>[ -~]+?){_NUMBERS}$"


@dataclass(frozen=True)
class ParsedRows:
    """What became of some lines.

    Attributes
    ----------
    places : `~numpy.ndarray`
        Places of the lines that could be parsed, in ascending order, shape (n,).
    table : `pyarrow.Table`
        Their rows.
    faults : dict of int to BadLineError
        By place: why a line could not be parsed.
    """

    places: npt.NDArray[np.int64]
    table: pa.Table
    faults: dict[int, BadLineError]


def identity_rows(texts: Sequence[str], galaxy: str) -> ParsedRows:
    """Parse lines of ident.dat by their bytes or, where a release shifted its columns, by their words.

    Parameters
    ----------
    texts : sequence of str
        The lines.
    galaxy : {"LMC", "SMC"}
        Galaxy that every star must belong to.

    Returns
    -------
    ParsedRows
        A row a star, as `IDENTITY_SCHEMA` has it; angles in degrees.
    """
    return _parsed(texts, galaxy, _plain_identities, _parse_identity, IDENTITY_SCHEMA)


def parameter_rows(texts: Sequence[str], galaxy: str) -> ParsedRows:
    """Parse lines of ecl.dat or ell.dat.

    Parameters
    ----------
    texts : sequence of str
        The lines.
    galaxy : {"LMC", "SMC"}
        Galaxy that every star must belong to.

    Returns
    -------
    ParsedRows
        A row a star, as `PARAMETER_SCHEMA` has it; NaN where the catalogue says nothing.
    """
    return _parsed(texts, galaxy, _plain_parameters, _parse_parameters, PARAMETER_SCHEMA)


def _parsed(
    texts: Sequence[str],
    galaxy: str,
    parse_plain: Callable[[pa.Array, str], tuple[npt.NDArray[np.bool_], pa.Table]],
    parse_one: Callable[[str, str], Identity | Parameters],
    schema: pa.Schema,
) -> ParsedRows:
    is_plain, table = parse_plain(pa.array(texts, pa.string()), galaxy)
    places = np.flatnonzero(is_plain)
    rows: list[Identity | Parameters] = []
    faults: dict[int, BadLineError] = {}
    others = np.flatnonzero(~is_plain).tolist()
    for place in others:
        try:
            rows.append(parse_one(texts[place], galaxy))
        except BadLineError as error:
            faults[place] = error
    if rows:
        read = [place for place in others if place not in faults]
        places = np.concatenate([places, np.array(read, dtype=np.int64)])
        more = {name: pa.array([getattr(row, name) for row in rows], schema.field(name).type) for name in schema.names}
        order = np.argsort(places)
        places, table = places[order], pa.concat_tables([table, pa.table(more)]).take(pa.array(order)).combine_chunks()
    return ParsedRows(places, table, faults)


def _plain_identities(lines: pa.Array, galaxy: str) -> tuple[npt.NDArray[np.bool_], pa.Table]:
    """Parse lines of ident.dat that need no closer look, and tell which they are."""
    columns = {name: _cut(lines, *ends) for name, ends in _FIELDS.items()}
    ra, dec = pc.extract_regex(columns["ra"], _RA), pc.extract_regex(columns["dec"], _DEC)
    is_plain = _all_true(
        pc.match_substring_regex(lines, _IDENTITY),
        _is_star(columns["star"], galaxy),
        pc.is_in(columns["kind"], pa.array(STAR_TYPES)),
        ra.is_valid(),
        dec.is_valid(),
    )
    lines, ra, dec = (column.filter(is_plain) for column in (lines, ra, dec))
    columns = {name: column.filter(is_plain) for name, column in columns.items()}
    south = np.asarray(pc.starts_with(columns["dec"], "-"), dtype=bool)
    columns["ra"], columns["dec"] = 15.0 * _whole_and_parts(ra), np.where(south, -1.0, 1.0) * _whole_and_parts(dec)
    missing = pa.array(sorted(MISSING_TOKENS))
    for name, ends in _CROSS.items():
        label = _cut(lines, *ends)
        columns[name] = pc.if_else(pc.is_in(label, missing), "", label)
    return np.asarray(is_plain, dtype=bool), pa.table(columns, schema=IDENTITY_SCHEMA)


def _cut(lines: pa.Array, first: int, last: int) -> pa.Array:
    return pc.ascii_trim(pc.utf8_slice_codeunits(lines, first, last), " ")


def _whole_and_parts(angle: pa.Array) -> FloatArray:
    """Hours or degrees of an angle without its sign."""
    whole, minutes, seconds = (_floats(pc.struct_field(angle, name)) for name in ("whole", "minutes", "seconds"))
    return np.asarray(whole + minutes / 60 + seconds / 3600)


def _plain_parameters(lines: pa.Array, galaxy: str) -> tuple[npt.NDArray[np.bool_], pa.Table]:
    """Parse lines of ecl.dat or ell.dat that need no closer look, and tell which they are."""
    fields = pc.extract_regex(lines, _PARAMETERS)
    star = pc.struct_field(fields, "star")
    is_plain = _all_true(_is_star(star, galaxy))
    star, fields = star.filter(is_plain), fields.filter(is_plain)
    numbers = {name: _floats(pc.struct_field(fields, name)) for name in PARAMETER_NAMES}
    epoch = np.where(numbers["T0"] > 0, full_hjd(numbers["T0"]), np.nan)
    is_epoch = np.isnan(epoch) | ((epoch >= HJD_RANGE[0]) & (epoch <= HJD_RANGE[1]))
    limits = {"I_mag": MAGNITUDE_RANGE, "V_mag": MAGNITUDE_RANGE, "period": (0.0, math.inf)}
    limits |= {"depth1": DEPTH_RANGE, "depth2": DEPTH_RANGE}
    for name, (low, high) in limits.items():
        numbers[name] = np.where((numbers[name] > low) & (numbers[name] < high), numbers[name], np.nan)
    table = pa.table({"star": star, **(numbers | {"T0": epoch})}, schema=PARAMETER_SCHEMA)
    plain = np.asarray(is_plain, dtype=bool)
    plain[plain] = is_epoch
    return plain, table.filter(pa.array(is_epoch))


def _is_star(star: pa.Array, galaxy: str) -> pa.Array:
    return pc.match_substring_regex(star, rf"^[A-Z0-9]+-{galaxy}-[A-Z0-9]+-[0-9]+$")


def _all_true(*conditions: pa.Array) -> pa.Array:
    """Tell where all conditions are true; what is null is not."""
    both = conditions[0]
    for condition in conditions[1:]:
        both = pc.and_kleene(both, condition)
    return pc.fill_null(both, False)


def _floats(words: pa.Array) -> FloatArray:
    """Turn words into numbers, a dash into NaN."""
    known = pc.if_else(pc.equal(words, "-"), pa.scalar(None, pa.string()), words)
    return np.asarray(pc.fill_null(pc.cast(known, pa.float64()), math.nan))


def _parse_identity(text: str, galaxy: str) -> Identity:
    """Parse a row of ident.dat by its bytes or, where a release shifted its columns, by its words."""
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


def _parse_parameters(text: str, galaxy: str) -> Parameters:
    """Parse a row of ecl.dat or ell.dat.

    Seven words are unambiguous whatever their bytes. With fewer, a blank field stands for a missing value and only
    the bytes can tell which.
    """
    words = text.split()
    if len(words) != 1 + len(_PARAMETER_FIELDS):
        words = _fields_by_bytes(text)
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
