"""Contact and near-contact models fitted to the light curves of a star: posteriors, evidence and the best of both."""

import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from cbminer.columns import FloatArray
from cbminer.ranking.fit_data import StarCurves
from cbminer.ranking.fit_likelihood import CurveLikelihood, StarLikelihood
from cbminer.ranking.fit_model import CONTACT, NEAR_CONTACT, Hypothesis
from cbminer.ranking.fit_results import HypothesisFit, StarFit
from cbminer.ranking.fit_sampling import Posterior, sample_posterior, star_seed
from cbminer.ranking.fit_settings import FitPriors, FitSettings
from cbminer.ranking.fit_tables import TEFF_NODES, FitTables, fit_engine, half_phases
from cbminer.theory.colours import DWARF_COLOURS

__all__ = ["TeffEstimate", "estimate_teff", "fit_star"]

_MAG_PER_E_FOLD = 2.5 / np.log(10.0)
# Posterior samples from which the search for the least chi-square starts, the best of all.
_STARTS = 3
_EDGE = 1e-6
# Besides its parameters, a model has a phase of the minimum and a zero point a band.
_PHASE = 1


class TeffEstimate(NamedTuple):
    """Temperature of star 1.

    Attributes
    ----------
    teff : float
        In K.
    e_ln_teff : float
        Error of its natural logarithm.
    """

    teff: float
    e_ln_teff: float


def estimate_teff(vi0: float, e_vi0: float, *, priors: FitPriors) -> TeffEstimate:
    """Temperature of star 1 by the colour of the pair, as far as that tells.

    Parameters
    ----------
    vi0, e_vi0 : float
        Intrinsic colour (V-I)_0 and its error in mag; NaN if unknown.
    priors : FitPriors
        Temperature without a colour, and its scatter.

    Returns
    -------
    TeffEstimate
        Temperature, 12 to 40 kK: mean and scatter of its logarithm over the colour's error and the prior. Colours of
        hot stars hardly change, so that of an O star says little; but neither do light curves depend on it.
    """
    grid = np.geomspace(TEFF_NODES[0], TEFF_NODES[-1], 200)
    weight = np.exp(-0.5 * (np.log(grid / priors.teff) / priors.teff_scatter) ** 2)
    if np.isfinite(vi0) and np.isfinite(e_vi0) and e_vi0 > 0:
        deviation = (vi0 - DWARF_COLOURS.at(grid)) / e_vi0
        # A colour that no star has is that of the nearest one.
        weight *= np.exp(-0.5 * (deviation**2 - np.min(deviation**2)))
    mean = float(np.average(np.log(grid), weights=weight))
    scatter = float(np.sqrt(np.average((np.log(grid) - mean) ** 2, weights=weight)))
    return TeffEstimate(float(np.exp(mean)), scatter)


def fit_star(
    curves: StarCurves, *, tables: FitTables, teff_1: TeffEstimate | None = None, seed: int, settings: FitSettings
) -> StarFit:
    """Fit both models to a star.

    Parameters
    ----------
    curves : StarCurves
        Its light curves, made ready by `prepare_curves`.
    tables : FitTables
        Light curves of the models.
    teff_1 : TeffEstimate, optional
        Temperature of the more massive star, such as `estimate_teff` gives; that of the priors by default.
    seed : int
        Seed of the run; the star's own follows from it and its name.
    settings : FitSettings
        Priors and effort.

    Returns
    -------
    StarFit
        The fits; the same seed gives the same.

    Raises
    ------
    SettingsError
        If the sampler is not installed.
    """
    start = time.process_time()
    unknown = float("nan")
    teff, e_ln_teff = estimate_teff(unknown, unknown, priors=settings.priors) if teff_1 is None else teff_1
    data = CurveLikelihood(curves, half_phases(settings.tables), settings.priors.phase_error)
    contact, near = (
        _Fitter(
            StarLikelihood(hypothesis, tables.at_teff(hypothesis, teff, e_ln_teff=e_ln_teff), data, settings.priors),
            teff,
            settings,
            star_seed(seed, curves.star, purpose=number),
        ).fit()
        for number, hypothesis in enumerate((CONTACT, NEAR_CONTACT))
    )
    return StarFit(curves.star, curves, teff, contact, near, time.process_time() - start)


@dataclass(frozen=True)
class _Fitter:
    """One model, one star."""

    likelihood: StarLikelihood
    teff_1: float
    settings: FitSettings
    seed: int

    @property
    def hypothesis(self) -> Hypothesis:
        return self.likelihood.hypothesis

    def fit(self) -> HypothesisFit:
        posterior = sample_posterior(
            self.likelihood,
            len(self.hypothesis.parameters),
            live_points=self.settings.live_points,
            samples=self.settings.samples,
            seed=self.seed,
        )
        samples = self.likelihood.parameters(posterior.cube)
        by_way = self.likelihood.both_ways(samples)
        correction, e_correction, table_error = self._against_engine(samples)
        best, flux, chi2, way = self._best(posterior)
        curves = self.likelihood.curve_likelihood.curves
        # The error of the model is no parameter of the least chi-square.
        n_free = len(self.hypothesis.parameters) - 1 + _PHASE + len(curves.bands)
        return HypothesisFit(
            name=self.hypothesis.name,
            samples=samples,
            ln_Z=posterior.ln_Z + correction,
            e_ln_Z=float(np.hypot(posterior.e_ln_Z, e_correction)),
            best=best,
            chi2=chi2,
            dof=curves.n_bins - n_free,
            bic=float((n_free + 1) * np.log(curves.n_bins) - 2.0 * posterior.log_likelihood.max()),
            swapped=float(np.mean(1.0 / (1.0 + np.exp(np.clip(by_way[:, 0] - by_way[:, 1], -700, 700))))),
            best_swapped=bool(way),
            best_flux=flux,
            table_error=table_error,
            n_calls=posterior.n_calls,
        )

    def _engine_flux(self, parameters: FloatArray) -> FloatArray:
        engine = fit_engine(self.settings.tables)
        systems = self.hypothesis.systems(parameters, teff_1=self.teff_1)
        return engine.light_curves(systems, half_phases(self.settings.tables))

    def _against_engine(self, samples: FloatArray) -> tuple[float, float, float]:
        """Tell what the engine's own curves change in ln Z, the error of that, and the rms error of the tables in mag.

        The evidence of the engine over that of the tables is the mean ratio of their likelihoods over the posterior of
        the tables.
        """
        few = samples[: self.settings.checked]
        exact, (tabled, _) = self._engine_flux(few), self.likelihood.flux(few)
        difference = _MAG_PER_E_FOLD * np.log(tabled / exact)
        difference -= difference.mean(axis=2, keepdims=True)
        change = _log_sum(self.likelihood.both_ways(few, exact)) - _log_sum(self.likelihood.both_ways(few, tabled))
        ratio = np.exp(change - change.max())
        correction = float(np.log(ratio.mean()) + change.max())
        error = float(ratio.std() / ratio.mean() / np.sqrt(len(few)))
        return correction, error, float(np.sqrt((difference[:, 0] ** 2).mean()))

    def _best(self, posterior: Posterior) -> tuple[FloatArray, FloatArray, float, int]:
        """Parameters of least chi-square, their curve and chi-square by the engine, and the star behind at phase 0."""
        order = np.argsort(posterior.log_likelihood)[::-1][:_STARTS]
        found = [
            minimize(self._chi_square, posterior.cube[k, :-1], method="Nelder-Mead", options={"maxfev": 1500})
            for k in order
        ]
        cube = min(found, key=lambda item: float(item.fun)).x
        best = self._at(cube)
        flux = self._engine_flux(best)
        chi2 = self.likelihood.chi_square(best, flux)[0]
        best[:, -1] = 0.0
        return best[0], flux[0], float(chi2.min()), int(np.argmin(chi2))

    def _at(self, cube: FloatArray) -> FloatArray:
        """Parameters at a place of the unit cube without the last axis, places beyond it brought back."""
        inside = np.clip(np.append(cube, 0.0), _EDGE, 1.0 - _EDGE)
        return self.likelihood.parameters(inside[np.newaxis])

    def _chi_square(self, cube: FloatArray) -> float:
        parameters = self._at(cube)
        outside = float(np.abs(cube - np.clip(cube, _EDGE, 1.0 - _EDGE)).sum())
        return float(self.likelihood.chi_square(parameters).min()) + 1e6 * outside


def _log_sum(by_way: FloatArray) -> FloatArray:
    return np.asarray(np.logaddexp.reduce(by_way, axis=1))
