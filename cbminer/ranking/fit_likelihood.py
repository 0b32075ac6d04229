"""Likelihood of a model for the light curves of one star; zero points, phase and temperature drop out."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline

from cbminer.columns import FloatArray
from cbminer.ranking.fit_data import BANDS, StarCurves
from cbminer.ranking.fit_model import Hypothesis
from cbminer.ranking.fit_settings import FitPriors
from cbminer.ranking.fit_table import CurveTable

__all__ = ["CurveLikelihood", "StarLikelihood"]

_MAG_PER_E_FOLD = 2.5 / np.log(10.0)
_LN_TWO_PI = float(np.log(2.0 * np.pi))


class _Match(NamedTuple):
    """How curves match the data in one band and with one star behind at phase 0; arrays of shape (m, bins)."""

    residual: FloatArray
    slope: FloatArray
    by_teff: FloatArray
    variance: FloatArray


@dataclass(frozen=True)
class CurveLikelihood:
    """Likelihood of given curves for the data of a star.

    Attributes
    ----------
    curves : StarCurves
        The data.
    phases : `~numpy.ndarray`
        Phases of model curves, from 0 to a half.
    phase_error : float
        Error of the phase of the minimum in cycles.
    """

    curves: StarCurves
    phases: FloatArray
    phase_error: float

    def log_likelihood(
        self,
        flux: FloatArray,
        third_light: FloatArray,
        model_error: FloatArray,
        *,
        by_teff: FloatArray | None = None,
    ) -> FloatArray:
        """Logarithm of the likelihood with either star behind at phase 0.

        Parameters
        ----------
        flux : `~numpy.ndarray`
            Curves in I and V over their fluxes at phase 0.25, shape (m, 2, phases).
        third_light : `~numpy.ndarray`
            Share of third light at phase 0.25, the same in all bands, shape (m,).
        model_error : `~numpy.ndarray`
            Error of the model in a bin of phase, mag, shape (m,).
        by_teff : `~numpy.ndarray`, optional
            What one error of the temperature changes in the curves, shape (m, 2, phases); nothing by default.

        Returns
        -------
        `~numpy.ndarray`
            Shape (m, 2): with star 1 behind at phase 0, and with star 2.

        Notes
        -----
        The magnitudes are normal about the curve, shifted in magnitude by a zero point a band and in phase by a little,
        and changed by a temperature that is not quite the one assumed. All of these are linear and are integrated out:
        zero points with a flat prior, phase and temperature with normal ones.
        """
        return np.stack([self._one_way(flux, third_light, model_error, way, by_teff) for way in (0, 1)], axis=1)

    def chi_square(self, flux: FloatArray, third_light: FloatArray, *, by_teff: FloatArray | None = None) -> FloatArray:
        """Chi-square at the best zero points, phase and temperature, without an error of the model.

        Parameters
        ----------
        flux, third_light, by_teff : `~numpy.ndarray`
            As in `log_likelihood`.

        Returns
        -------
        `~numpy.ndarray`
            Shape (m, 2), as there; phase and temperature count with their priors.
        """
        none = np.zeros(len(flux))
        return np.stack([self._sums(flux, third_light, none, way, by_teff)[0] for way in (0, 1)], axis=1)

    def model(self, flux: FloatArray, third_light: float, way: int) -> dict[str, tuple[FloatArray, FloatArray]]:
        """One curve shifted to the data.

        Parameters
        ----------
        flux : `~numpy.ndarray`
            Curve, shape (2, phases).
        third_light : float
            Share of third light.
        way : int
            0 with star 1 behind at phase 0, 1 with star 2.

        Returns
        -------
        dict
            By band: phases from 0 to 1, and the apparent magnitudes there.
        """
        matches = self._matches(flux[np.newaxis], np.array([third_light]), np.zeros(1), way, None)
        shift = float(self._phase_shift(matches)[0])
        fine = np.linspace(0.0, 1.0, 401)
        found: dict[str, tuple[FloatArray, FloatArray]] = {}
        for number, band in enumerate(BANDS):
            if band not in self.curves.bands:
                continue
            match = matches[band]
            weight = 1.0 / match.variance[0]
            zero = float(np.average(match.residual[0] - shift * match.slope[0], weights=weight))
            value, _ = self._operators(fine - shift + 0.5 * way)
            diluted = third_light + (1.0 - third_light) * (flux[number] @ value)
            found[band] = (fine, zero - 2.5 * np.log10(diluted))
        return found

    def _one_way(
        self,
        flux: FloatArray,
        third_light: FloatArray,
        model_error: FloatArray,
        way: int,
        by_teff: FloatArray | None,
    ) -> FloatArray:
        chi2, logs = self._sums(flux, third_light, model_error, way, by_teff)
        return np.asarray(-0.5 * (chi2 + logs))

    def _sums(
        self,
        flux: FloatArray,
        third_light: FloatArray,
        model_error: FloatArray,
        way: int,
        by_teff: FloatArray | None,
    ) -> tuple[FloatArray, FloatArray]:
        """Chi-square with zero points, phase and temperature at their best, and the logarithms that go with it."""
        chi2, logs = np.zeros(len(flux)), np.zeros(len(flux))
        # Phase first, temperature second: what they have in common with the data, and with each other.
        data, both = np.zeros((2, len(flux))), np.zeros((2, 2, len(flux)))
        for match in self._matches(flux, third_light, model_error, way, by_teff).values():
            weight = 1.0 / match.variance
            total = weight.sum(axis=1, keepdims=True)
            residual, *slopes = (
                item - (weight * item).sum(axis=1, keepdims=True) / total
                for item in (match.residual, match.slope, match.by_teff)
            )
            chi2 += (weight * residual**2).sum(axis=1)
            logs += np.log(match.variance).sum(axis=1) + np.log(total[:, 0]) + (weight.shape[1] - 1) * _LN_TWO_PI
            for k, one in enumerate(slopes):
                data[k] += (weight * residual * one).sum(axis=1)
                for other in range(2):
                    both[k, other] += (weight * one * slopes[other]).sum(axis=1)
        prior = self.phase_error**-2.0
        phase, teff, mixed = both[0, 0] + prior, both[1, 1] + 1.0, both[0, 1]
        determinant = phase * teff - mixed**2
        explained = (teff * data[0] ** 2 - 2.0 * mixed * data[0] * data[1] + phase * data[1] ** 2) / determinant
        return chi2 - explained, logs + np.log(determinant / prior)

    def _phase_shift(self, matches: dict[str, _Match]) -> FloatArray:
        top, bottom = 0.0, self.phase_error**-2.0
        for match in matches.values():
            weight = 1.0 / match.variance
            mean = (weight * match.slope).sum(axis=1, keepdims=True) / weight.sum(axis=1, keepdims=True)
            slope = match.slope - mean
            top, bottom = top + (weight * slope * match.residual).sum(axis=1), bottom + (weight * slope**2).sum(axis=1)
        return np.asarray(top / bottom)

    def _matches(
        self,
        flux: FloatArray,
        third_light: FloatArray,
        model_error: FloatArray,
        way: int,
        by_teff: FloatArray | None,
    ) -> dict[str, _Match]:
        blend = third_light[:, np.newaxis]
        found: dict[str, _Match] = {}
        for number, band in enumerate(BANDS):
            if band not in self.curves.bands:
                continue
            data = self.curves.bands[band]
            value, derivative = self._at_data[band][way]
            diluted = blend + (1.0 - blend) * (flux[:, number] @ value)
            model = -_MAG_PER_E_FOLD * np.log(diluted)
            # A star that comes later by some phase is the curve less its slope times that.
            slope = _MAG_PER_E_FOLD * (1.0 - blend) * (flux[:, number] @ derivative) / diluted
            change = np.zeros_like(model)
            if by_teff is not None:
                change = -_MAG_PER_E_FOLD * (1.0 - blend) * (by_teff[:, number] @ value) / diluted
            variance = data.mag_err**2 + model_error[:, np.newaxis] ** 2
            found[band] = _Match(data.mag - model, slope, change, variance)
        return found

    @cached_property
    def _at_data(self) -> dict[str, list[tuple[FloatArray, FloatArray]]]:
        return {
            band: [self._operators(data.phase + 0.5 * way) for way in (0, 1)]
            for band, data in self.curves.bands.items()
        }

    def _operators(self, phase: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Matrices that take a curve to its values and slopes at phases: cubic splines are linear in the curve."""
        unit = np.eye(len(self.phases))
        around = np.concatenate([self.phases, 1.0 - self.phases[-2::-1]])
        spline = CubicSpline(around, np.concatenate([unit, unit[-2::-1]]), bc_type="periodic")
        folded = phase % 1.0
        return spline(folded).T, spline(folded, 1).T


@dataclass(frozen=True)
class StarLikelihood:
    """Likelihood of the parameters of one model.

    Attributes
    ----------
    hypothesis : Hypothesis
        The model.
    table : CurveTable
        Its light curves, each followed by what one error of the temperature changes in it, if that is not known.
    curve_likelihood : CurveLikelihood
        The data.
    priors : FitPriors
        The priors.
    """

    hypothesis: Hypothesis
    table: CurveTable
    curve_likelihood: CurveLikelihood
    priors: FitPriors

    def parameters(self, cube: FloatArray) -> FloatArray:
        """Parameters that numbers from 0 to 1 stand for, shape (m, parameters)."""
        return self.hypothesis.from_unit_cube(cube, self.priors)

    def flux(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray | None]:
        """Curves out of the table and what one error of the temperature changes in them, shape (m, 2, phases) each."""
        n_phases = len(self.curve_likelihood.phases)
        found = self.table.at(self.hypothesis.places(parameters)).reshape(len(parameters), -1, 2, n_phases)
        return found[:, 0], found[:, 1] if found.shape[1] > 1 else None

    def both_ways(self, parameters: FloatArray, flux: FloatArray | None = None) -> FloatArray:
        """Log likelihood with either star behind at phase 0, shape (m, 2); curves of the table unless given."""
        curves, by_teff = self.flux(parameters)
        return self.curve_likelihood.log_likelihood(
            curves if flux is None else flux, parameters[:, -2], parameters[:, -1], by_teff=by_teff
        )

    def chi_square(self, parameters: FloatArray, flux: FloatArray | None = None) -> FloatArray:
        """Chi-square with either star behind at phase 0, shape (m, 2); curves of the table unless given."""
        curves, by_teff = self.flux(parameters)
        return self.curve_likelihood.chi_square(curves if flux is None else flux, parameters[:, -2], by_teff=by_teff)

    def __call__(self, cube: FloatArray) -> FloatArray:
        """Log likelihood of places in the unit cube, whichever star is behind at phase 0; shape (m,)."""
        return np.asarray(np.logaddexp.reduce(self.both_ways(self.parameters(cube)), axis=1) - np.log(2.0))
