"""A star of a catalogue, whatever it was read from: its fields, what they may hold, and the table made of them."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.table import QTable

from cbminer.columns import float_column, text_column
from cbminer.flags import Flag
from cbminer.survey.textfile import BadLineError

__all__ = [
    "DEPTH_RANGE",
    "HJD_RANGE",
    "MAGNITUDE_RANGE",
    "MISSING_TOKENS",
    "PARAMETER_NAMES",
    "STAR_TYPES",
    "Identity",
    "Parameters",
    "checked_epoch",
    "declination",
    "full_hjd",
    "known_label",
    "right_ascension",
    "star_table",
    "table_of_columns",
    "within",
]

STAR_TYPES = ("C", "NC", "ELL", "CV")

_RA = re.compile(r"^(\d{2}):(\d{2}):(\d{2}(?:\.\d*)?)$")
_DEC = re.compile(r"^([+-])(\d{2}):(\d{2}):(\d{2}(?:\.\d*)?)$")
MISSING_TOKENS = {"", "-", "--", "nan", "NaN"}
MAGNITUDE_RANGE = (0.0, 30.0)
# A depth may be zero, unlike a magnitude.
DEPTH_RANGE = (-1e-6, 9.0)
# Julian dates 2440000 to 2480000 are the years 1968 to 2078: every epoch of the survey, no mistaken zero point.
HJD_RANGE = (2440000.0, 2480000.0)
_HJD_OFFSET = 2450000.0
_OFFSET_BELOW = 1e6


@dataclass(frozen=True)
class Identity:
    """Who a star is: name, type, position in degrees and cross-identifications, empty where there is none."""

    star: str
    kind: str
    ra: float
    dec: float
    ogle4_id: str = ""
    ogle3_id: str = ""
    ogle2_id: str = ""
    other_id: str = ""


@dataclass(frozen=True)
class Parameters:
    """What the catalogue says of a star, in mag and days; NaN where it says nothing."""

    star: str
    I_mag: float
    V_mag: float
    period: float
    T0: float
    depth1: float
    depth2: float


PARAMETER_NAMES = tuple(item.name for item in fields(Parameters))[1:]


def full_hjd(time: Any) -> Any:
    """Bring heliocentric Julian dates with or without the 2450000 offset to full dates.

    Parameters
    ----------
    time : float or array_like
        Dates in days; values below one million lack the offset.

    Returns
    -------
    float or `~numpy.ndarray`
        Full heliocentric Julian dates.
    """
    return np.where(np.asarray(time) < _OFFSET_BELOW, np.add(time, _HJD_OFFSET), time)[()]


def known_label(text: str) -> str:
    """Strip a text, and turn the signs of a missing value into nothing.

    Parameters
    ----------
    text : str
        Text of a field.

    Returns
    -------
    str
        The text; empty if unknown.
    """
    stripped = text.strip()
    return "" if stripped in MISSING_TOKENS else stripped


def right_ascension(text: str) -> float:
    """Read a right ascension.

    Parameters
    ----------
    text : str
        Hours, minutes and seconds with colons.

    Returns
    -------
    float
        Degrees.

    Raises
    ------
    BadLineError
        If it is none.
    """
    match = _RA.match(text)
    if match is None or int(match[1]) > 23 or int(match[2]) > 59 or float(match[3]) >= 60:
        msg = f"bytes 25-35: expected a right ascension HH:MM:SS.ss, found {text!r}"
        raise BadLineError(msg)
    return 15.0 * (int(match[1]) + int(match[2]) / 60 + float(match[3]) / 3600)


def declination(text: str) -> float:
    """Read a declination.

    Parameters
    ----------
    text : str
        Sign, degrees, minutes and seconds with colons.

    Returns
    -------
    float
        Degrees.

    Raises
    ------
    BadLineError
        If it is none.
    """
    match = _DEC.match(text)
    degrees = (
        int(match[2]) + int(match[3]) / 60 + float(match[4]) / 3600
        if match and int(match[3]) < 60 and float(match[4]) < 60
        else math.inf
    )
    if match is None or degrees > 90:
        msg = f"bytes 37-47: expected a declination sDD:MM:SS.s, found {text!r}"
        raise BadLineError(msg)
    return -degrees if match[1] == "-" else degrees


def within(value: float, limits: tuple[float, float]) -> float:
    """Turn magic numbers such as 99.999 and -9.999 into NaN.

    Parameters
    ----------
    value : float
        A value.
    limits : tuple of float
        Between these it is one.

    Returns
    -------
    float
        The value or NaN.
    """
    return value if limits[0] < value < limits[1] else math.nan


def checked_epoch(value: float) -> float:
    """Bring an epoch to a full heliocentric Julian date.

    Parameters
    ----------
    value : float
        Date in days, with or without the 2450000 offset; zero and less mean unknown.

    Returns
    -------
    float
        The date, NaN if unknown.

    Raises
    ------
    BadLineError
        If it is in no year of the survey.
    """
    if math.isnan(value) or value <= 0:
        return math.nan
    epoch = float(full_hjd(value))
    if not HJD_RANGE[0] <= epoch <= HJD_RANGE[1]:
        msg = f"bytes 49-60: expected an epoch as HJD or HJD-2450000, found {value:.5f}"
        raise BadLineError(msg)
    return epoch


def star_table(
    identities: Sequence[Identity], parameters: Mapping[str, Parameters], remarks: Mapping[str, str], galaxy: str
) -> QTable:
    """Make the table of stars that every stage starts from.

    Parameters
    ----------
    identities : sequence of Identity
        The stars.
    parameters : mapping of str to Parameters
        What the catalogue says, by star; a star may be missing.
    remarks : mapping of str to str
        Remarks by star.
    galaxy : {"LMC", "SMC"}
        The Cloud.

    Returns
    -------
    `~astropy.table.QTable`
        A row a star, in the order of the identities; unknown values masked, and flagged where a stage needs them.
    """
    nothing = Parameters("", *([math.nan] * 6))
    rows = [parameters.get(identity.star, nothing) for identity in identities]
    columns: dict[str, Any] = {
        item.name: [getattr(identity, item.name) for identity in identities] for item in fields(Identity)
    }
    columns |= {name: np.array([getattr(row, name) for row in rows], dtype=float) for name in PARAMETER_NAMES}
    columns["remark"] = [remarks.get(identity.star, "") for identity in identities]
    has_row = np.array([bool(row.star) for row in rows], dtype=bool)
    return table_of_columns(columns, has_row, galaxy)


def table_of_columns(columns: Mapping[str, Any], has_row: npt.NDArray[np.bool_], galaxy: str) -> QTable:
    """Make a table of stars out of columns.

    Parameters
    ----------
    columns : mapping of str to sequence
        The fields of `Identity`, those of `Parameters` as arrays of floats, and remarks, n of each.
    has_row : `~numpy.ndarray`
        Whether the catalogue has parameters of a star, shape (n,).
    galaxy : {"LMC", "SMC"}
        The Cloud.

    Returns
    -------
    `~astropy.table.QTable`
        As `star_table`.
    """
    stars = QTable(meta={"galaxy": galaxy})
    stars["id"] = text_column(columns["star"])
    stars["galaxy"] = text_column([galaxy] * len(has_row))
    stars["type"] = text_column(columns["kind"])
    stars["RAJ2000"] = u.Quantity(columns["ra"], u.deg)
    stars["DEJ2000"] = u.Quantity(columns["dec"], u.deg)
    for name in ("ogle4_id", "ogle3_id", "ogle2_id", "other_id"):
        stars[name] = text_column(columns[name])
    stars["period"] = float_column(columns["period"], "d")
    stars["T0"] = float_column(columns["T0"], "d")
    stars["I_mag"] = float_column(columns["I_mag"], "mag")
    stars["V_mag"] = float_column(columns["V_mag"], "mag")
    stars["depth1_survey"] = float_column(columns["depth1"], "mag")
    stars["depth2_survey"] = float_column(columns["depth2"], "mag")
    stars["remark"] = text_column(columns["remark"])
    stars["flags"] = _flags(columns, has_row)
    return stars


def _flags(columns: Mapping[str, Any], has_row: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    flags = np.where(has_row, 0, int(Flag.NO_CATALOGUE_ROW)).astype(np.int64)
    for name, flag in (("V_mag", Flag.NO_V), ("I_mag", Flag.NO_I), ("period", Flag.NO_PERIOD), ("T0", Flag.NO_EPOCH)):
        flags[np.isnan(columns[name])] |= int(flag)
    return flags
