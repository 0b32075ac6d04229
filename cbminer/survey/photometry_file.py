"""Light-curve files of OGLE: three columns, time, magnitude and error of the magnitude."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError
from cbminer.survey.ogle import full_hjd
from cbminer.survey.textfile import BadLineError, Line, SetAside, parse_lines, split_text

__all__ = ["LightCurve", "parse_light_curve", "read_light_curve"]

_N_COLUMNS = 3
_LAYOUT = "an OGLE light curve (time, magnitude, error)"
# Three plain numbers a line and a line end after the last: nothing that could be misread. Possessive, so that a file
# of another kind is refused in one pass.
_NUMBER = rb"[ \t]*+[-+]?\d++(?:\.\d*+)?"
_CLEAN = re.compile(rb"(?:" + _NUMBER + rb"[ \t]" + _NUMBER + rb"[ \t]" + _NUMBER + rb"[ \t]*+\r?\n)++")
_HJD_RANGE = (2440000.0, 2480000.0)
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
    """Parse a clean file in one call; None where any line needs a closer look."""
    if _CLEAN.fullmatch(data) is None:
        return None
    points = np.fromstring(data.decode("ascii"), sep=" ").reshape(-1, _N_COLUMNS)
    times = full_hjd(points[:, 0])
    in_range = np.all((times >= _HJD_RANGE[0]) & (times <= _HJD_RANGE[1]))
    return points if in_range else None


def _parse_point(line: Line) -> tuple[float, float, float]:
    words = line.text.split()
    if len(words) != _N_COLUMNS:
        msg = f"expected 3 numbers (time, magnitude, error), found {len(words)} words"
        raise BadLineError(msg)
    try:
        time, mag, mag_err = (float("nan" if word == "-" else word) for word in words)
    except ValueError:
        msg = f"expected 3 numbers (time, magnitude, error), found {line.text[:40]!r}"
        raise BadLineError(msg) from None
    if not _HJD_RANGE[0] <= full_hjd(time) <= _HJD_RANGE[1]:
        msg = f"expected a time as HJD or HJD-2450000, found {words[0]}"
        raise BadLineError(msg)
    return time, mag, mag_err


def _light_curve(points: FloatArray, set_aside: list[SetAside]) -> LightCurve:
    known = (points[:, 1] > _MAGNITUDE_RANGE[0]) & (points[:, 1] < _MAGNITUDE_RANGE[1])
    return LightCurve(
        np.asarray(full_hjd(points[known, 0]), dtype=float),
        points[known, 1].astype(np.float32),
        points[known, 2].astype(np.float32),
        int(np.count_nonzero(~known)),
        set_aside,
    )
