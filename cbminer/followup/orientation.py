"""Orientation of the Earth without a network: the tables that astropy ships, and what holds beyond their end."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from warnings import catch_warnings, filterwarnings

import numpy as np
from astropy.utils import iers

__all__ = ["OrientationTable", "orientation_table", "shipped_orientation"]

_MJD = 2400000.5
# The sky turns by this, and UT1 - UTC is kept below 0.9 s.
_ARCSEC_A_SECOND = 15.0
_LARGEST = 0.9 * _ARCSEC_A_SECOND


@dataclass(frozen=True)
class OrientationTable:
    """What the shipped table of UT1 - UTC covers.

    Attributes
    ----------
    first, last : float
        Julian dates of its first day, and of its last, which is predicted.
    last_ut1_utc : float
        UT1 - UTC on it in s.
    """

    first: float
    last: float
    last_ut1_utc: float

    def statement(self, begin: float, end: float) -> str:
        """Say what is assumed of the rotation of the Earth.

        Parameters
        ----------
        begin, end : float
            Julian dates of the first and of the last night.

        Returns
        -------
        str
            One sentence.
        """
        table = "the IERS table shipped with astropy-iers-data"
        if self.first <= begin and end <= self.last:
            return f"UT1 - UTC is that of {table}, measured or predicted"
        if begin < self.first:
            return f"UT1 - UTC before {table} is not known: altitudes may be off by some {_LARGEST:.0f} arcsec"
        years = (end - self.last) / 365.25
        # UT1 - UTC went down by a leap second a year in the 1970s, and stood still in the 2020s.
        return (
            f"UT1 - UTC beyond {table} is held at its last value, {self.last_ut1_utc:+.2f} s, for {years:.1f} years: "
            f"altitudes may be off by {_ARCSEC_A_SECOND * max(years, 0.1):.0f} arcsec if it changes by 1 s a year; no "
            "leap second is foreseen"
        )


@lru_cache(maxsize=1)
def _table() -> iers.IERS_A:
    return iers.IERS_A.open(iers.IERS_A_FILE)


def orientation_table() -> OrientationTable:
    """Say what the shipped table covers.

    Returns
    -------
    OrientationTable
        Its begin and its end.
    """
    table = _table()
    day = np.asarray(table["MJD"].value, dtype=float)
    difference = np.asarray(table["UT1_UTC"].to_value("s"), dtype=float)
    last = int(np.flatnonzero(np.isfinite(difference))[-1])
    return OrientationTable(float(day[0]) + _MJD, float(day[last]) + _MJD, float(difference[last]))


@contextmanager
def shipped_orientation() -> Iterator[None]:
    """Use the shipped table within a block, without asking a server and without warning beyond its end.

    Yields
    ------
    None
        What was configured before holds again after the block.
    """
    with (
        iers.conf.set_temp("auto_download", False),
        iers.conf.set_temp("iers_degraded_accuracy", "ignore"),
        iers.earth_orientation_table.set(_table()),
        catch_warnings(),
    ):
        filterwarnings("ignore", message="Tried to get polar motions for times")
        filterwarnings("ignore", message=".*dubious year.*")
        yield
