"""Ephemerides of stars: phases and times of minimum for any time, with errors that grow from the epoch on."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.table import QTable

from cbminer.columns import FloatArray, label_column, values
from cbminer.followup.clock import Directions, bjd_of_hjd
from cbminer.followup.settings import EphemerisSettings

__all__ = ["Ephemerides", "ephemerides_of"]

_DAYS_A_YEAR = 365.25


@dataclass(frozen=True)
class Ephemerides:
    """Linear ephemerides of n stars, phase 0 at the deeper minimum; arrays of shape (n,).

    Attributes
    ----------
    id : `~numpy.ndarray`
        Identifiers.
    directions : Directions
        Towards the stars.
    T0_HJD, e_T0 : `~numpy.ndarray`
        Epoch as the survey counts it, heliocentric, and its error in days; NaN where no epoch is known.
    T0_BJD : `~numpy.ndarray`
        The same epoch, barycentric, TDB.
    period, e_period : `~numpy.ndarray`
        Days.
    fitted : `~numpy.ndarray`
        Whether the epoch was fitted to the light curve; else it is the catalogue's.
    e_T0_assumed, e_period_assumed : `~numpy.ndarray`
        Whether an error is assumed.
    relative_period_change : float
        Change of the period over the period, per day, that may go unnoticed.

    Notes
    -----
    The epoch lies in the middle of the light curve, so that its error and that of the period are uncorrelated and add
    in squares. That of the catalogue does not, and its error is an assumption anyway.
    """

    id: npt.NDArray[np.str_]
    directions: Directions
    T0_HJD: FloatArray
    e_T0: FloatArray
    T0_BJD: FloatArray
    period: FloatArray
    e_period: FloatArray
    fitted: npt.NDArray[np.bool_]
    e_T0_assumed: npt.NDArray[np.bool_]
    e_period_assumed: npt.NDArray[np.bool_]
    relative_period_change: float = 0.0

    def __len__(self) -> int:
        return len(self.id)

    def __getitem__(self, chosen: Any) -> "Ephemerides":
        """Ephemerides of some stars, by their places; a star may be named more than once."""
        return Ephemerides(
            id=self.id[chosen],
            directions=self.directions[chosen],
            T0_HJD=self.T0_HJD[chosen],
            e_T0=self.e_T0[chosen],
            T0_BJD=self.T0_BJD[chosen],
            period=self.period[chosen],
            e_period=self.e_period[chosen],
            fitted=self.fitted[chosen],
            e_T0_assumed=self.e_T0_assumed[chosen],
            e_period_assumed=self.e_period_assumed[chosen],
            relative_period_change=self.relative_period_change,
        )

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Whether each star has an epoch and a period."""
        return np.asarray(np.isfinite(self.T0_BJD + self.period))

    def cycles(self, bjd: npt.ArrayLike) -> FloatArray:
        """Cycles since the epoch.

        Parameters
        ----------
        bjd : array_like
            BJD, TDB, of a shape that goes with (n,).

        Returns
        -------
        `~numpy.ndarray`
            Cycles, with their fraction.
        """
        return np.asarray((np.asarray(bjd, dtype=float) - self.T0_BJD) / self.period)

    def phase(self, bjd: npt.ArrayLike) -> FloatArray:
        """Phases.

        Parameters
        ----------
        bjd : array_like
            As in `cycles`.

        Returns
        -------
        `~numpy.ndarray`
            0 to below 1, 0 at the deeper minimum.
        """
        phase = np.asarray(np.mod(self.cycles(bjd), 1.0))
        # A little less than a whole cycle may be rounded to one.
        return np.where(phase >= 1.0, 0.0, phase)

    def time_of(self, phase: npt.ArrayLike, *, near: npt.ArrayLike) -> FloatArray:
        """Find the time of a phase that is nearest to another time.

        Parameters
        ----------
        phase : array_like
            Phases; 0 for the deeper minimum.
        near : array_like
            BJD, TDB.

        Returns
        -------
        `~numpy.ndarray`
            BJD, TDB.
        """
        wanted = np.asarray(phase, dtype=float)
        cycle = np.round(self.cycles(near) - wanted)
        return np.asarray(self.T0_BJD + self.period * (cycle + wanted))

    def error(self, bjd: npt.ArrayLike) -> FloatArray:
        """Give the standard errors of predicted times.

        Parameters
        ----------
        bjd : array_like
            As in `cycles`.

        Returns
        -------
        `~numpy.ndarray`
            Days: the root of e_T0^2 + (E e_period)^2 + (r t^2 / 2)^2, E cycles and t days from the epoch, with the
            relative change r of the period.
        """
        cycles = self.cycles(bjd)
        # The period grows by r P t in a time t: minima come later by the integral of that over the cycles.
        bent = 0.5 * self.relative_period_change * (cycles * self.period) ** 2
        return np.asarray(np.sqrt(self.e_T0**2 + (cycles * self.e_period) ** 2 + bent**2))

    def phase_error(self, bjd: npt.ArrayLike) -> FloatArray:
        """Give the standard errors of phases.

        Parameters
        ----------
        bjd : array_like
            As in `cycles`.

        Returns
        -------
        `~numpy.ndarray`
            Cycles.
        """
        return self.error(bjd) / self.period


def ephemerides_of(stars: QTable, *, settings: EphemerisSettings) -> Ephemerides:
    """Take the ephemerides of judged stars.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Rows of judged.fits: columns id, RAJ2000, DEJ2000, period, T0_fit with their errors, and T0.
    settings : EphemerisSettings
        Time scale, and errors to assume.

    Returns
    -------
    Ephemerides
        In the order of the stars. The period is the adopted one; the fitted epoch goes before the catalogue's. Errors
        are those of the run times the factor of the settings.
    """
    directions = Directions(values(stars, "RAJ2000", "deg"), values(stars, "DEJ2000", "deg"))
    period, e_period = values(stars, "period", "d"), values(stars, "e_period", "d")
    own, e_own, listed = (values(stars, name, "d") for name in ("T0_fit", "e_T0_fit", "T0"))
    fitted = np.isfinite(own)
    epoch = np.where(fitted, own, listed)
    e_epoch = np.where(fitted, settings.error_factor * e_own, np.nan)
    e_period = settings.error_factor * e_period
    no_e_epoch = ~np.isfinite(e_epoch) & np.isfinite(epoch)
    no_e_period = ~np.isfinite(e_period) & np.isfinite(period)
    return Ephemerides(
        id=label_column(stars, "id"),
        directions=directions,
        T0_HJD=epoch,
        e_T0=np.where(no_e_epoch, settings.assumed_e_T0, e_epoch),
        T0_BJD=bjd_of_hjd(epoch, directions, scale=settings.time_scale),
        period=period,
        e_period=np.where(no_e_period, settings.assumed_relative_e_period * period, e_period),
        fitted=fitted,
        e_T0_assumed=no_e_epoch,
        e_period_assumed=no_e_period,
        relative_period_change=settings.assumed_relative_period_change / _DAYS_A_YEAR,
    )
