"""What a fit of a star found: posteriors, evidence and best models of both hypotheses, and their columns."""

from dataclasses import dataclass

import numpy as np

from cbminer.columns import FloatArray
from cbminer.ranking.fit_data import StarCurves
from cbminer.ranking.fit_model import HYPOTHESES, Hypothesis, HypothesisName

__all__ = ["HypothesisFit", "StarFit", "fit_columns", "fit_record"]

_QUANTILES = (0.16, 0.5, 0.84)


@dataclass(frozen=True)
class HypothesisFit:
    """One model fitted to one star.

    Attributes
    ----------
    name : {"contact", "near_contact"}
        The model.
    samples : `~numpy.ndarray`
        Posterior samples of equal weight, parameters in the order of the model, shape (n, parameters).
    ln_Z, e_ln_Z : float
        Logarithm of the evidence, the error of the tables undone, and its error.
    best : `~numpy.ndarray`
        Parameters of least chi-square, shape (parameters,); their model error is 0.
    chi2 : float
        Chi-square of the best model, computed by the engine, over the bins of phase, without a model error.
    dof : int
        Bins less free parameters, zero points and the phase among these.
    bic : float
        Bayesian information criterion of the best likelihood, model error included.
    swapped : float
        Probability that the less massive star is behind at phase 0.
    best_swapped : bool
        Whether it is in the best model.
    best_flux : `~numpy.ndarray`
        Curve of the best model by the engine in I and V from phase 0 to a half, over its flux at phase 0.25.
    table_error : float
        Root mean square in mag by which curves of the tables are off those of the engine, over posterior samples.
    n_calls : int
        Light curves that were compared with the data.
    """

    name: HypothesisName
    samples: FloatArray
    ln_Z: float
    e_ln_Z: float
    best: FloatArray
    chi2: float
    dof: int
    bic: float
    swapped: float
    best_swapped: bool
    best_flux: FloatArray
    table_error: float
    n_calls: int

    @property
    def hypothesis(self) -> Hypothesis:
        """The model."""
        return next(item for item in HYPOTHESES if item.name == self.name)

    def interval(self, parameter: str) -> FloatArray:
        """Quantiles of a parameter.

        Parameters
        ----------
        parameter : str
            Its name.

        Returns
        -------
        `~numpy.ndarray`
            16, 50 and 84 per cent, shape (3,).
        """
        return np.quantile(self.samples[:, self.hypothesis.parameters.index(parameter)], _QUANTILES)


@dataclass(frozen=True)
class StarFit:
    """Both models fitted to one star.

    Attributes
    ----------
    star : str
        Identifier.
    curves : StarCurves
        The data as they were fitted.
    teff_1 : float
        Temperature of star 1 that was assumed, in K.
    contact, near_contact : HypothesisFit
        The fits.
    seconds : float
        CPU time in s.
    """

    star: str
    curves: StarCurves
    teff_1: float
    contact: HypothesisFit
    near_contact: HypothesisFit
    seconds: float

    @property
    def fits(self) -> tuple[HypothesisFit, HypothesisFit]:
        """Both fits."""
        return self.contact, self.near_contact

    @property
    def ln_bayes_contact(self) -> float:
        """Logarithm of the evidence of contact over that near contact."""
        return self.contact.ln_Z - self.near_contact.ln_Z

    @property
    def e_ln_bayes_contact(self) -> float:
        """Its error, statistical and of the tables."""
        return float(np.hypot(self.contact.e_ln_Z, self.near_contact.e_ln_Z))


# Prefix of the columns of a model.
_PREFIX: dict[HypothesisName, str] = {"contact": "contact", "near_contact": "near"}
_PARAMETERS: dict[str, tuple[str, str]] = {
    "mass_ratio": ("", "less over more massive star"),
    "inclination": ("deg", "inclination"),
    "fillout_factor": ("", "fill-out: 0 at L1, 1 at L2"),
    "lobe_filling_1": ("", "R / R_L of the more massive star"),
    "lobe_filling_2": ("", "R / R_L of the less massive star"),
    "teff_ratio": ("", "temperature of the less over the more massive star"),
    "third_light": ("", "third light over all light at phase 0.25"),
    "model_error": ("mag", "error of the model in a bin of phase"),
}
_NUMBERS: dict[str, tuple[str, str]] = {
    "ln_Z": ("", "logarithm of the evidence"),
    "e_ln_Z": ("", "its error"),
    "chi2": ("", "least chi-square over the bins of phase, without a model error"),
    "dof": ("", "degrees of freedom of it"),
    "bic": ("", "Bayesian information criterion"),
    "swapped": ("", "probability that the less massive star is behind at phase 0"),
    "table_error": ("mag", "rms of the tables of curves about the engine"),
}


def fit_columns() -> dict[str, tuple[str, str]]:
    """Columns of the table of fits.

    Returns
    -------
    dict
        Unit and meaning by name, in the order of `fit_record`.
    """
    columns = {
        "ln_bayes_contact": ("", "logarithm of the evidence of contact over that near contact"),
        "e_ln_bayes_contact": ("", "its error, statistical and of the tables"),
        "teff_1": ("K", "temperature of the more massive star that was assumed"),
        "phase_shift": ("", "phase of the axis of symmetry in the adopted ephemeris"),
        "n_bins": ("", "bins of phase that were fitted, both bands"),
        "n_points_I": ("", "points in I in these"),
        "n_points_V": ("", "points in V in these; 0 where V was not fitted"),
        "error_scale_I": ("", "scatter of the points in I over their stated errors"),
        "seconds": ("s", "CPU time of the fit"),
    }
    for item in HYPOTHESES:
        prefix = _PREFIX[item.name]
        for name in item.parameters:
            unit, meaning = _PARAMETERS[name]
            columns[f"{prefix}_{name}"] = (unit, f"{meaning}; median of the posterior, {item.name} model")
            columns[f"{prefix}_{name}_p16"] = (unit, "16 per cent quantile of it")
            columns[f"{prefix}_{name}_p84"] = (unit, "84 per cent quantile of it")
            columns[f"{prefix}_{name}_best"] = (unit, "the same of least chi-square")
        for name, (unit, meaning) in _NUMBERS.items():
            columns[f"{prefix}_{name}"] = (unit, f"{meaning}, {item.name} model")
    return columns


def fit_record(fit: StarFit) -> dict[str, float]:
    """Numbers of a fit by column.

    Parameters
    ----------
    fit : StarFit
        The fit.

    Returns
    -------
    dict
        All columns of `fit_columns`.
    """
    bands = fit.curves.bands
    record: dict[str, float] = {
        "ln_bayes_contact": fit.ln_bayes_contact,
        "e_ln_bayes_contact": fit.e_ln_bayes_contact,
        "teff_1": fit.teff_1,
        "phase_shift": fit.curves.phase_shift,
        "n_bins": fit.curves.n_bins,
        "n_points_I": bands["I"].n_points,
        "n_points_V": bands["V"].n_points if "V" in bands else 0,
        "error_scale_I": bands["I"].error_scale,
        "seconds": fit.seconds,
    }
    for item in fit.fits:
        prefix = _PREFIX[item.name]
        for k, name in enumerate(item.hypothesis.parameters):
            low, median, high = item.interval(name)
            record[f"{prefix}_{name}"] = float(median)
            record[f"{prefix}_{name}_p16"] = float(low)
            record[f"{prefix}_{name}_p84"] = float(high)
            record[f"{prefix}_{name}_best"] = float(item.best[k])
        for name in _NUMBERS:
            record[f"{prefix}_{name}"] = float(getattr(item, name))
    return record
