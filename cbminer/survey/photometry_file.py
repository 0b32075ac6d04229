"""Light-curve files of OGLE: three columns, time, magnitude and error of the magnitude."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numba
import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError
from cbminer.survey.stars import HJD_RANGE, full_hjd
from cbminer.survey.textfile import BadLineError, Line, SetAside, parse_lines, split_text

__all__ = ["LightCurve", "parse_light_curve", "read_light_curve"]

_N_COLUMNS = 3
_LAYOUT = "an OGLE light curve (time, magnitude, error)"
# What a number may look like where every line gets a closer look: float() alone would also take 1_000.
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|-|[-+]?(?:nan|inf|infinity)", re.ASCII | re.IGNORECASE)
# Whole numbers of 15 digits and these powers of ten are exact, so that one division gives the double that is nearest.
_POWERS = np.array([float(10**power) for power in range(16)])
# Magnitudes outside these are magic numbers such as 99.999; a plausible error is below one magnitude or so.
_MAGNITUDE_RANGE = (0.0, 50.0)


@dataclass(frozen=True)
class LightCurve:
    """Points of one star in one band, as the file lists them.

    Attributes
    ----------
    time : `~numpy.ndarray`
        Full heliocentric Julian dates in days, float64, shape (n,).
    mag, mag_err : `~numpy.ndarray`
        Magnitudes and their errors, float32, shape (n,).
    n_missing : int
        Points without a magnitude (magic numbers), left out.
    set_aside : list of SetAside
        Malformed lines, left out.
    """

    time: FloatArray
    mag: npt.NDArray[np.float32]
    mag_err: npt.NDArray[np.float32]
    n_missing: int = 0
    set_aside: list[SetAside] = field(default_factory=list)

    def __len__(self) -> int:
        """Count the points."""
        return len(self.time)


def read_light_curve(path: Path, *, strict: bool = False) -> LightCurve:
    """Read one light curve.

    Parameters
    ----------
    path : `~pathlib.Path`
        File with three blank-separated columns; times with or without the 2450000 offset.
    strict : bool, optional
        Whether a malformed line is an error instead of being set aside.

    Returns
    -------
    LightCurve
        Its points in the order of the file.

    Raises
    ------
    InputFormatError
        If the file is missing, empty or no light curve, or, with `strict`, has a malformed line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise InputFormatError(msg) from error
    return parse_light_curve(path, data, strict=strict)


def parse_light_curve(path: Path, data: bytes, *, strict: bool = False) -> LightCurve:
    """Parse the bytes of one light curve.

    Parameters
    ----------
    path : `~pathlib.Path`
        Name of the file, for messages.
    data : bytes
        Its content.
    strict : bool, optional
        Whether a malformed line is an error instead of being set aside.

    Returns
    -------
    LightCurve
        Its points in the order of the file.

    Raises
    ------
    InputFormatError
        If it is empty or no light curve, or, with `strict`, has a malformed line.
    """
    points = _parse_at_once(data)
    if points is not None:
        return _light_curve(points, [])
    file = split_text(path, data)
    if not file.lines and not file.undecoded:
        msg = f"{path} is empty: expected a point a line; fetch it again"
        raise InputFormatError(msg)
    parsed = parse_lines(file, _parse_point, layout=_LAYOUT, strict=strict)
    points = np.array(parsed.rows, dtype=float).reshape(-1, _N_COLUMNS)
    return _light_curve(points, parsed.set_aside)


def _parse_at_once(data: bytes) -> FloatArray | None:
    """Parse a clean file in one go; None where any line needs a closer look."""
    points = np.empty((data.count(b"\n"), _N_COLUMNS))
    if not len(points) or not _read_plain_numbers(np.frombuffer(data, dtype=np.uint8), _POWERS, points):
        return None
    points[:, 0] = times = full_hjd(points[:, 0])
    in_range = times.min() >= HJD_RANGE[0] and times.max() <= HJD_RANGE[1]
    return points if in_range else None


@numba.njit(cache=True, nogil=True)
def _read_plain_numbers(text: npt.NDArray[np.uint8], powers: FloatArray, points: FloatArray) -> bool:
    """Read three plain numbers a line, as -12.345; False at anything else, be it good or bad."""
    place = 0
    for row in range(points.shape[0]):
        for column in range(points.shape[1]):
            start, place = place, _after_blanks(text, place)
            if column > 0 and place == start:
                return False
            points[row, column], place = _plain_number(text, place, powers)
            if place < 0:
                return False
        place = _after_blanks(text, place)
        if place < len(text) and text[place] == 13:
            place += 1
        if place >= len(text) or text[place] != 10:
            return False
        place += 1
    return place == len(text)


@numba.njit(cache=True, nogil=True)
def _after_blanks(text: npt.NDArray[np.uint8], place: int) -> int:
    while place < len(text) and (text[place] == 32 or text[place] == 9):
        place += 1
    return place


@numba.njit(cache=True, nogil=True)
def _after_digits(text: npt.NDArray[np.uint8], place: int, number: int) -> tuple[int, int]:
    """Append digits to a number; too many to be held are counted all the same."""
    while place < len(text) and 48 <= text[place] <= 57:
        number = 10 * number + (text[place] - 48)
        place += 1
    return number, place


@numba.njit(cache=True, nogil=True)
def _plain_number(text: npt.NDArray[np.uint8], place: int, powers: FloatArray) -> tuple[float, int]:
    """Read a number and the place behind it, which is -1 if it is not plain."""
    sign = 1.0
    if place < len(text) and (text[place] == 43 or text[place] == 45):
        sign = 44.0 - text[place]
        place += 1
    number, end = _after_digits(text, place, 0)
    digits, decimals = end - place, 0
    if digits and end < len(text) and text[end] == 46:
        place = end + 1
        number, end = _after_digits(text, place, number)
        decimals = end - place
    if digits == 0 or digits + decimals >= len(powers):
        return 0.0, -1
    return sign * (number / powers[decimals]), end


def _parse_point(line: Line) -> tuple[float, float, float]:
    words = line.text.split()
    if len(words) != _N_COLUMNS:
        msg = f"expected 3 numbers (time, magnitude, error), found {len(words)} words"
        raise BadLineError(msg)
    if not all(map(_NUMBER.fullmatch, words)):
        msg = f"expected 3 numbers (time, magnitude, error), found {line.text[:40]!r}"
        raise BadLineError(msg)
    given, mag, mag_err = (float("nan" if word == "-" else word) for word in words)
    time = float(full_hjd(given))
    if not HJD_RANGE[0] <= time <= HJD_RANGE[1]:
        msg = f"expected a time as HJD or HJD-2450000, found {words[0]}"
        raise BadLineError(msg)
    return time, mag, mag_err


def _light_curve(points: FloatArray, set_aside: list[SetAside]) -> LightCurve:
    known = (points[:, 1] > _MAGNITUDE_RANGE[0]) & (points[:, 1] < _MAGNITUDE_RANGE[1])
    n_missing = len(points) - int(np.count_nonzero(known))
    if n_missing:
        points = points[known]
    time = points[:, 0].copy()
    # An error that float32 cannot hold is as good as infinite.
    with np.errstate(over="ignore"):
        mag, mag_err = points[:, 1].astype(np.float32), points[:, 2].astype(np.float32)
    return LightCurve(time, mag, mag_err, n_missing, set_aside)
