"""The two models that are fitted, contact and near contact: parameters, priors, and the binaries they stand for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtr, ndtri

from cbminer.columns import FloatArray
from cbminer.ranking.fit_settings import FitPriors, FitSettings
from cbminer.ranking.fit_table import TableAxis
from cbminer.synthetic.systems import BinarySystems

__all__ = ["CONTACT", "HYPOTHESES", "NEAR_CONTACT", "Hypothesis", "HypothesisName"]

HypothesisName = Literal["contact", "near_contact"]

# T2 / T1 over its expectation is followed to this many times its scatter.
_TEFF_REACH = 4.0
# A quadratic in T2 / T1 leaves 0.1 mmag.
_TEFF_NODES = 3
_MASS_RATIO, _INCLINATION = 0, 1


@dataclass(frozen=True)
class Hypothesis:
    """A model with its parameters.

    Star 1 is the more massive one, so that the mass ratio is at most 1; which star is behind at phase 0 is left open
    and both cases are added up with equal weights.

    Attributes
    ----------
    name : {"contact", "near_contact"}
        The model.
    parameters : tuple of str
        Mass ratio, inclination in degrees, fill-out or R / R_L of both stars, T2 / T1, third light, and the error of
        the model in a bin of phase in magnitudes.
    """

    name: HypothesisName
    parameters: tuple[str, ...]
    _sizes: Callable[[FitPriors], tuple[float, float]]
    _nodes: Callable[[FitSettings], int]
    _teff_scatter: Callable[[FitPriors], float]

    @property
    def n_sizes(self) -> int:
        """Number of parameters that say how large the stars are."""
        return len(self.parameters) - 5

    def from_unit_cube(self, cube: FloatArray, priors: FitPriors) -> FloatArray:
        """Turn evenly distributed numbers into parameters that follow the priors.

        Parameters
        ----------
        cube : `~numpy.ndarray`
            Numbers from 0 to 1, shape (n, parameters).
        priors : FitPriors
            The priors.

        Returns
        -------
        `~numpy.ndarray`
            Parameters, shape (n, parameters).
        """
        result = np.empty_like(cube)
        result[:, 0] = priors.least_mass_ratio + (1.0 - priors.least_mass_ratio) * cube[:, 0]
        result[:, 1] = np.degrees(np.arccos(np.cos(np.radians(priors.least_inclination)) * cube[:, 1]))
        low, high = self._sizes(priors)
        sizes = slice(2, 2 + self.n_sizes)
        result[:, sizes] = low + (high - low) * cube[:, sizes]
        tail = float(ndtr(-_TEFF_REACH))
        scatter = self._teff_scatter(priors)
        result[:, -3] = self._expected_teff_ratio(result) * (
            1.0 + scatter * ndtri(tail + (1.0 - 2.0 * tail) * cube[:, -3])
        )
        result[:, -2] = _third_light(cube[:, -2], priors)
        least, most = priors.model_error_least, priors.model_error_most
        result[:, -1] = least * (most / least) ** cube[:, -1]
        return result

    def axes(self, settings: FitSettings) -> tuple[TableAxis, ...]:
        """Axes of the table of light curves of this model.

        Parameters
        ----------
        settings : FitSettings
            Priors, and numbers of nodes.

        Returns
        -------
        tuple of TableAxis
            ln q, cos i, sizes, and T2 / T1 over its expectation.
        """
        priors, tables = settings.priors, settings.tables
        reach = _TEFF_REACH * self._teff_scatter(priors)
        size = TableAxis(*self._sizes(priors), self._nodes(settings))
        return (
            TableAxis(float(np.log(priors.least_mass_ratio)), 0.0, tables.mass_ratios),
            TableAxis(0.0, float(np.cos(np.radians(priors.least_inclination))), tables.inclinations),
            *(size for _ in range(self.n_sizes)),
            TableAxis(1.0 - reach, 1.0 + reach, _TEFF_NODES),
        )

    def places(self, parameters: FloatArray) -> FloatArray:
        """Places of models in the table.

        Parameters
        ----------
        parameters : `~numpy.ndarray`
            Parameters, shape (n, parameters).

        Returns
        -------
        `~numpy.ndarray`
            Shape (n, axes).
        """
        return np.column_stack(
            [
                np.log(parameters[:, _MASS_RATIO]),
                np.cos(np.radians(parameters[:, _INCLINATION])),
                parameters[:, 2 : 2 + self.n_sizes],
                parameters[:, -3] / self._expected_teff_ratio(parameters),
            ]
        )

    def parameters_at(self, places: FloatArray) -> FloatArray:
        """Parameters of models at places in the table, without third light and model error.

        Parameters
        ----------
        places : `~numpy.ndarray`
            Shape (n, axes).

        Returns
        -------
        `~numpy.ndarray`
            Shape (n, parameters).
        """
        mass_ratio = np.minimum(np.exp(places[:, 0]), 1.0)
        inclination = np.degrees(np.arccos(np.clip(places[:, 1], 0.0, 1.0)))
        zeros = np.zeros((len(places), 2))
        result = np.column_stack([mass_ratio, inclination, places[:, 2:], zeros])
        result[:, -3] *= self._expected_teff_ratio(result)
        return result

    def systems(self, parameters: FloatArray, *, teff_1: float) -> BinarySystems:
        """Binaries that parameters stand for.

        Parameters
        ----------
        parameters : `~numpy.ndarray`
            Shape (n, parameters).
        teff_1 : float
            Temperature of star 1 in K.

        Returns
        -------
        BinarySystems
            The binaries; star 1, the more massive one, is behind at phase 0.
        """
        q, inclination = parameters[:, _MASS_RATIO], parameters[:, _INCLINATION]
        teff_2 = teff_1 * parameters[:, -3]
        if self.name == "contact":
            return BinarySystems.contact(q, inclination, fillout_factor=parameters[:, 2], teff_1=teff_1, teff_2=teff_2)
        return BinarySystems.detached(
            q,
            inclination,
            lobe_filling_1=parameters[:, 2],
            lobe_filling_2=parameters[:, 3],
            teff_1=teff_1,
            teff_2=teff_2,
        )

    def _expected_teff_ratio(self, parameters: FloatArray) -> FloatArray:
        """One in contact; near contact the root of the mass ratio, as of B stars on the main sequence."""
        q = parameters[:, _MASS_RATIO]
        return np.ones(len(q)) if self.name == "contact" else np.asarray(np.sqrt(q))


def _third_light(share: FloatArray, priors: FitPriors) -> FloatArray:
    """Quantiles of third light: hardly any in most stars, a flat tail in the others."""
    knots = (0.0, 1.0 - priors.blended, 1.0)
    return np.asarray(np.interp(share, knots, (0.0, priors.third_light_least, priors.third_light_most)))


CONTACT = Hypothesis(
    "contact",
    ("mass_ratio", "inclination", "fillout_factor", "teff_ratio", "third_light", "model_error"),
    lambda priors: (0.0, priors.largest_fillout),
    lambda settings: settings.tables.fillouts,
    lambda priors: priors.contact_teff_scatter,
)
NEAR_CONTACT = Hypothesis(
    "near_contact",
    ("mass_ratio", "inclination", "lobe_filling_1", "lobe_filling_2", "teff_ratio", "third_light", "model_error"),
    lambda priors: (priors.near_contact_from, 1.0),
    lambda settings: settings.tables.lobe_fillings,
    lambda priors: priors.near_contact_teff_scatter,
)
HYPOTHESES = (CONTACT, NEAR_CONTACT)
