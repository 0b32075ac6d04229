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


@dataclass(frozen=True)
class OrientationTable:
    """What the shipped table of UT1 - UTC covers.

    Attributes
    ----------
    last : float
        Julian date of its last day, predicted.
    last_ut1_utc : float
        UT1 - UTC on it in s.
    """

    last: float
    last_ut1_utc: float

    def statement(self, end: float) -> str:
        """Say what is assumed of the rotation of the Earth.

        Parameters
        ----------
        end : float
            Julian date of the last night.

        Returns
        -------
        str
            One sentence.
        """
        if end <= self.last:
            return "UT1 - UTC is that of the IERS table shipped with astropy-iers-data, measured or predicted"
        return (
            f"UT1 - UTC beyond the IERS table shipped with astropy-iers-data is held at its last value, "
            f"{self.last_ut1_utc:+.2f} s: altitudes are right to some 10 arcsec; no leap second is foreseen"
        )


@lru_cache(maxsize=1)
def _table() -> iers.IERS_A:
    return iers.IERS_A.open(iers.IERS_A_FILE)


def orientation_table() -> OrientationTable:
    """Say what the shipped table covers.

    Returns
    -------
    OrientationTable
        Its end.
    """
    table = _table()
    day = np.asarray(table["MJD"].value, dtype=float)
    difference = np.asarray(table["UT1_UTC"].to_value("s"), dtype=float)
    last = int(np.flatnonzero(np.isfinite(difference))[-1])
    return OrientationTable(float(day[last]) + _MJD, float(difference[last]))


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
