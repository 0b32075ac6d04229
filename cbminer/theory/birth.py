"""What is born: integrals of the laws of initial masses, mass ratios and periods."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray
from cbminer.theory.population_settings import InitialMassLaw, MassRatioLaw, PeriodLaw

__all__ = ["BirthLaws"]


def _power_integral(low: FloatArray, high: FloatArray, exponent: float) -> FloatArray:
    """Integral of x^exponent from low to high."""
    if abs(exponent + 1.0) < 1e-9:
        logarithm: FloatArray = np.log(high / low)
        return logarithm
    power = exponent + 1.0
    integral: FloatArray = (high**power - low**power) / power
    return integral


@dataclass(frozen=True)
class BirthLaws:
    """Laws of what is born.

    Attributes
    ----------
    masses : InitialMassLaw
        Masses of primaries.
    mass_ratios : MassRatioLaw
        Mass ratios.
    periods : PeriodLaw
        Periods.
    """

    masses: InitialMassLaw
    mass_ratios: MassRatioLaw
    periods: PeriodLaw

    def primaries(self, low: npt.ArrayLike, high: npt.ArrayLike) -> FloatArray:
        """Primaries between two masses, for each solar mass formed.

        Parameters
        ----------
        low, high : array_like
            Masses in solar masses; what lies outside of the law counts nothing.

        Returns
        -------
        `~numpy.ndarray`
            Number per solar mass.

        Notes
        -----
        The law is normalised to INT M phi dM = 1 between its ends, companions not counted.
        """
        number: FloatArray = self._mass_integral(low, high, 0.0) / self._mass_formed
        return number

    @property
    def _mass_formed(self) -> float:
        return float(self._mass_integral(self.masses.least, self.masses.most, 1.0))

    def _mass_integral(self, low: npt.ArrayLike, high: npt.ArrayLike, moment: float) -> FloatArray:
        """Integral of M^moment times the law, which is 1 at the break."""
        law = self.masses
        total = np.zeros(np.broadcast(low, high).shape)
        for start, end, slope in (
            (law.least, law.break_mass, law.slope_below),
            (law.break_mass, law.most, law.slope),
        ):
            part_low, part_high = np.clip(low, start, end), np.clip(high, start, end)
            total = total + law.break_mass**slope * _power_integral(part_low, part_high, moment - slope)
        return total

    def mass_ratio_share(self, low: npt.ArrayLike, high: npt.ArrayLike) -> FloatArray:
        """Share of the pairs with mass ratios between two values.

        Parameters
        ----------
        low, high : array_like
            Mass ratios.

        Returns
        -------
        `~numpy.ndarray`
            Share of all pairs.
        """
        law = self.mass_ratios
        ends = np.asarray(law.least), np.asarray(1.0)
        part = _power_integral(np.clip(low, *ends), np.clip(high, *ends), law.slope)
        share: FloatArray = part / _power_integral(*ends, law.slope)
        return share

    def mass_ratio_density(self, mass_ratio: npt.ArrayLike) -> FloatArray:
        """Density of mass ratios.

        Parameters
        ----------
        mass_ratio : array_like
            Mass ratios.

        Returns
        -------
        `~numpy.ndarray`
            Share of all pairs a unit of q, 0 outside of the law.
        """
        law, q = self.mass_ratios, np.asarray(mass_ratio, dtype=float)
        whole = _power_integral(np.asarray(law.least), np.asarray(1.0), law.slope)
        # Where q is outside of the law its power is of no use, and may not exist.
        inside = (q >= law.least) & (q <= 1.0)
        density: FloatArray = np.where(inside, np.where(inside, q, 1.0) ** law.slope / whole, 0.0)
        return density

    @property
    def mean_mass_ratio(self) -> float:
        """Mean mass ratio of all pairs."""
        law = self.mass_ratios
        low, high = np.asarray(law.least), np.asarray(1.0)
        return float(_power_integral(low, high, law.slope + 1.0) / _power_integral(low, high, law.slope))

    def period_share(self, low: npt.ArrayLike, high: npt.ArrayLike) -> FloatArray:
        """Pairs with periods between two values, over those within the law proper.

        Parameters
        ----------
        low, high : array_like
            Logarithms of periods in days.

        Returns
        -------
        `~numpy.ndarray`
            Share; over the whole range it exceeds 1 by the extension to short periods.
        """
        law = self.periods
        proper = _power_integral(np.asarray(law.least), np.asarray(law.most), law.slope)
        within = _power_integral(np.clip(low, law.least, law.most), np.clip(high, law.least, law.most), law.slope)
        below = np.clip(high, law.extended_to, law.least) - np.clip(low, law.extended_to, law.least)
        share: FloatArray = (within + below * law.least**law.slope) / proper
        return share

    @property
    def all_periods(self) -> float:
        """Pairs of all periods over those within the law proper: 1 and what the extension adds."""
        return float(self.period_share(self.periods.extended_to, self.periods.most))

    @property
    def without_extension(self) -> "BirthLaws":
        """The same laws without pairs below the least period of the law proper."""
        periods = self.periods.model_copy(update={"extended_to": self.periods.least})
        return BirthLaws(self.masses, self.mass_ratios, periods)

    def period_density(self, log_period: npt.ArrayLike) -> FloatArray:
        """Density of periods.

        Parameters
        ----------
        log_period : array_like
            Logarithms of periods in days.

        Returns
        -------
        `~numpy.ndarray`
            Share a dex, 0 outside of the law and its extension.
        """
        law, x = self.periods, np.asarray(log_period, dtype=float)
        proper = _power_integral(np.asarray(law.least), np.asarray(law.most), law.slope)
        inside = (x >= law.extended_to) & (x <= law.most)
        density: FloatArray = np.where(inside, np.maximum(x, law.least) ** law.slope / proper, 0.0)
        return density

    def primary_density(self, mass: npt.ArrayLike) -> FloatArray:
        """Density of the masses of primaries, for each solar mass formed.

        Parameters
        ----------
        mass : array_like
            Masses in solar masses.

        Returns
        -------
        `~numpy.ndarray`
            Number per solar mass of primary and per solar mass formed, 0 outside of the law.
        """
        law, m = self.masses, np.asarray(mass, dtype=float)
        slope = np.where(m < law.break_mass, law.slope_below, law.slope)
        inside = (m >= law.least) & (m <= law.most)
        density: FloatArray = np.where(inside, (m / law.break_mass) ** -slope / self._mass_formed, 0.0)
        return density
