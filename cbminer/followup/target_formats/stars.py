"""The stars of a target list, plain: what is unknown is NaN, and who is left out has a reason."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from astropy.table import QTable

from cbminer.columns import float_column, label_column, text_column, values
from cbminer.errors import InputFormatError

__all__ = ["SIMULATED", "LeftOut", "TargetStar", "star_table", "target_stars"]

SIMULATED = "SIMULATED stars, not observations"

_NEEDED = ("id", "galaxy", "survey", "rank", "RAJ2000", "DEJ2000")
_UNITS = {
    "RAJ2000": "deg",
    "DEJ2000": "deg",
    "V_mag": "mag",
    "I_mag": "mag",
    "depth1": "mag",
    "E_VI": "mag",
    "period": "d",
    "T0_HJD_UTC": "d",
    "exposure": "s",
}
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", flags=re.ASCII)


@dataclass(frozen=True)
class LeftOut:
    """A star, or a window of one, that is not in a list.

    Attributes
    ----------
    id : str
        The star.
    format : str
        The list.
    reason : str
        Why.
    """

    id: str
    format: str
    reason: str


@dataclass(frozen=True)
class TargetStar:
    """One star to be observed; NaN where unknown.

    Attributes
    ----------
    id, galaxy, survey : str
        Identifier, Cloud, and survey; "mock" for a simulated star.
    rank : int
        Rank among the candidates, from 1; 0 where it has none.
    RAJ2000, DEJ2000 : float
        Position in degrees.
    V_mag, I_mag : float
        Magnitudes at maximum light.
    depth1 : float
        Depth of the deeper minimum in I, in magnitudes.
    E_VI : float
        Reddening E(V-I) in magnitudes.
    period : float
        Orbital period in days.
    T0_HJD_UTC : float
        Time of the deeper minimum, heliocentric Julian date on UTC.
    exposure : float
        Exposure time in seconds.
    no_windows : str
        Why it can have no windows, such as a lost ephemeris; empty where it can.
    """

    id: str
    galaxy: str
    survey: str
    rank: int
    RAJ2000: float
    DEJ2000: float
    V_mag: float
    I_mag: float
    depth1: float
    E_VI: float
    period: float
    T0_HJD_UTC: float
    exposure: float
    no_windows: str = ""

    @property
    def simulated(self) -> bool:
        """Whether the star was made up."""
        return self.survey == "mock"

    @property
    def comment(self) -> str:
        """What an observer should know of it, one line without commas."""
        parts = ["SIMULATED star; not an observation"] if self.simulated else []
        parts.append(f"rank {self.rank}" if self.rank > 0 else "no rank")
        parts.extend(
            f"{name} = {number:.3f} at maximum" if np.isfinite(number) else f"{name} unknown"
            for name, number in (("V", self.V_mag), ("I", self.I_mag))
        )
        parts.append(f"P = {self.period:.7f} d" if np.isfinite(self.period) else "P unknown")
        known = np.isfinite(self.T0_HJD_UTC)
        parts.append(f"minimum at HJD(UTC) {self.T0_HJD_UTC:.5f}" if known else "time of minimum unknown")
        return "; ".join(parts)


def target_stars(targets: QTable) -> list[TargetStar]:
    """Take the stars out of a table.

    Parameters
    ----------
    targets : `~astropy.table.QTable`
        Columns id, galaxy, survey, rank, RAJ2000 and DEJ2000; V_mag, I_mag, depth1, E_VI, period, T0_HJD_UTC and
        exposure where they are known, and no_windows. Any of the latter may be masked.

    Returns
    -------
    list of TargetStar
        In the order of the table.

    Raises
    ------
    InputFormatError
        If a column is missing, a star has no position or a name that lists cannot hold, or two share a name.
    """
    missing = [name for name in _NEEDED if name not in targets.colnames]
    if missing:
        msg = f"the table of targets has no column {', '.join(missing)}: take the ephemerides of cbminer follow-up"
        raise InputFormatError(msg)
    n = len(targets)
    numbers = {
        name: values(targets, name, unit) if name in targets.colnames else np.full(n, np.nan)
        for name, unit in _UNITS.items()
    }
    texts = [label_column(targets, name).tolist() for name in ("id", "galaxy", "survey")]
    against = label_column(targets, "no_windows").tolist() if "no_windows" in targets.colnames else [""] * n
    ranks = np.nan_to_num(values(targets, "rank")).astype(int).tolist()
    stars = [
        TargetStar(
            name,
            galaxy,
            survey,
            ranks[i],
            no_windows=against[i],
            **{key: float(column[i]) for key, column in numbers.items()},
        )
        for i, (name, galaxy, survey) in enumerate(zip(*texts, strict=True))
    ]
    _refuse_strange(stars)
    return stars


def _refuse_strange(stars: Sequence[TargetStar]) -> None:
    seen: set[str] = set()
    for star in stars:
        if not _ID.fullmatch(star.id):
            msg = f"the name {star.id!r} cannot stand in a target list: use letters, digits and - _ . + alone"
            raise InputFormatError(msg)
        # Some tools take upper and lower case for the same.
        if star.id.upper() in seen:
            msg = f"two targets are called {star.id}: leave one of them out"
            raise InputFormatError(msg)
        seen.add(star.id.upper())
        if not (0 <= star.RAJ2000 <= 360 and -90 <= star.DEJ2000 <= 90):
            msg = f"{star.id} has no position (RAJ2000 {star.RAJ2000}, DEJ2000 {star.DEJ2000}): leave it out"
            raise InputFormatError(msg)


def star_table(texts: Mapping[str, Sequence[str]], numbers: Mapping[str, npt.ArrayLike]) -> QTable:
    """Make the table that a reader gives back.

    Parameters
    ----------
    texts : mapping of str to sequence of str
        Columns of text; empty entries are masked.
    numbers : mapping of str to array_like
        Columns of numbers in the units of the targets; NaN is masked.

    Returns
    -------
    `~astropy.table.QTable`
        The table.
    """
    table = QTable()
    for name, items in texts.items():
        table[name] = text_column(items)
    for name, data in numbers.items():
        table[name] = float_column(data, _UNITS.get(name, ""))
    return table
