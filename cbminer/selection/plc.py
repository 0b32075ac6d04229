"""The period-luminosity-colour relation of massive contact binaries, M_V = a log10(P / d) + b (V-I)_0 + c.

Three sources of its coefficients: the user (for instance those of Pawlak 2016, MNRAS 457, 4323), a relation
derived from main-sequence models of contact pairs, or a robust fit to the contact stars of the survey itself.
"""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator
from scipy.optimize import minimize

from cbminer.columns import FloatArray
from cbminer.errors import RelationError
from cbminer.quantities import Magnitudes, SettingsModel

__all__ = [
    "DERIVED",
    "PLCMode",
    "PLCRelation",
    "PLCSettings",
    "PLCStars",
    "Residuals",
    "fit_relation",
    "relation_residuals",
]

PLCMode = Literal["derived", "coefficients", "refit"]
# 3 sigma of a bivariate normal distribution: chi-square of two degrees of freedom at 0.9973.
_CLIP = 11.83
_CLIP_ROUNDS = 20


class PLCSettings(SettingsModel):
    """Coefficients of the relation, and how wide the band about it is."""

    mode: PLCMode = Field(
        default="derived",
        description="derived: from models; coefficients: a, b, c below; refit: fitted to the type C stars at hand",
    )
    a: float | None = Field(default=None, description="mag a decade of period; for mode = coefficients")
    b: float | None = Field(default=None, description="mag a mag of (V-I)_0; for mode = coefficients")
    c: float | None = Field(default=None, description="mag; for mode = coefficients")
    intrinsic_scatter: Magnitudes = Field(
        default=0.33,
        ge=0,
        description="scatter about the relation without errors: that of 18 known massive contact binaries about the "
        "derived one; a refit measures its own",
    )
    n_sigma: float = Field(
        default=3.0, gt=0, description="half width of the band in units of a star's error and the scatter together"
    )
    refit_min_stars: int = Field(default=20, ge=10, description="stars that a refit needs")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.mode == "coefficients" and None in {self.a, self.b, self.c}:
            msg = 'mode = "coefficients" needs a, b and c'
            raise ValueError(msg)
        return self


@dataclass(frozen=True)
class PLCRelation:
    """A relation and where its coefficients come from.

    Attributes
    ----------
    a, b, c : float
        Coefficients, in mag a decade of period, mag a mag, and mag.
    intrinsic_scatter : float
        Scatter about the relation without errors, mag.
    mode : {"derived", "coefficients", "refit"}
        Source of the coefficients.
    n_stars, n_clipped : int
        Stars that a fit used and left out; 0 for another mode.
    e_a, e_b, e_c : float
        Errors of the coefficients of a fit; 0 for another mode.
    """

    a: float
    b: float
    c: float
    intrinsic_scatter: float
    mode: PLCMode
    n_stars: int = 0
    n_clipped: int = 0
    e_a: float = 0.0
    e_b: float = 0.0
    e_c: float = 0.0


# Contact pairs on the main sequence, weighted by the initial mass function: equal masses of 4 to 30 Msun filling
# their Roche lobes, temperatures and radii of LMC models. Geometry alone gives a = -10/3.
DERIVED = PLCRelation(a=-3.61, b=11.65, c=-0.05, intrinsic_scatter=0.33, mode="derived")


@dataclass(frozen=True)
class Residuals:
    """Distances of stars from a relation.

    Attributes
    ----------
    residual : `~numpy.ndarray`
        M_V minus the relation, mag; positive for stars fainter than it. NaN where unknown.
    error : `~numpy.ndarray`
        Error of the residual from those of M_V and (V-I)_0 and their covariance, mag.
    significance : `~numpy.ndarray`
        Residual over its error and the intrinsic scatter together.
    """

    residual: FloatArray
    error: FloatArray
    significance: FloatArray


@dataclass(frozen=True)
class PLCStars:
    """What the relation needs to know of stars; arrays of shape (n,), NaN where unknown.

    Attributes
    ----------
    log_period : `~numpy.ndarray`
        log10 of the period in days.
    M_V, VI0 : `~numpy.ndarray`
        Absolute magnitude and intrinsic colour, mag.
    e_M_V, e_VI0 : `~numpy.ndarray`
        Their errors, mag.
    covariance : `~numpy.ndarray`
        Their covariance, mag^2.
    """

    log_period: FloatArray
    M_V: FloatArray
    e_M_V: FloatArray
    VI0: FloatArray
    e_VI0: FloatArray
    covariance: FloatArray

    def where(self, mask: npt.NDArray[np.bool_]) -> "PLCStars":
        """Keep some of the stars.

        Parameters
        ----------
        mask : `~numpy.ndarray`
            Stars to keep.

        Returns
        -------
        PLCStars
            Those stars.
        """
        return PLCStars(
            self.log_period[mask],
            self.M_V[mask],
            self.e_M_V[mask],
            self.VI0[mask],
            self.e_VI0[mask],
            self.covariance[mask],
        )


def relation_residuals(stars: PLCStars, relation: PLCRelation) -> Residuals:
    """Distances of stars from a relation, with errors.

    Parameters
    ----------
    stars : PLCStars
        Periods, magnitudes, colours and errors.
    relation : PLCRelation
        The relation.

    Returns
    -------
    Residuals
        Residuals, their errors and their significance.

    Notes
    -----
    The error of M_V - b (V-I)_0 is e_MV^2 - 2 b cov + b^2 e_VI0^2: reddening and V move magnitude and colour
    together, which a sum of squares alone would miss.
    """
    expected = relation.a * stars.log_period + relation.b * stars.VI0 + relation.c
    residual = stars.M_V - expected
    variance = stars.e_M_V**2 - 2.0 * relation.b * stars.covariance + (relation.b * stars.e_VI0) ** 2
    total = np.sqrt(variance + relation.intrinsic_scatter**2)
    return Residuals(residual, np.sqrt(variance), residual / total)


def fit_relation(stars: PLCStars, *, min_stars: int = 20) -> PLCRelation:
    """Fit the relation to contact stars with errors in magnitude and colour.

    Parameters
    ----------
    stars : PLCStars
        Contact stars of type O and B; those with an unknown number are left out.
    min_stars : int, optional
        Stars that the fit needs.

    Returns
    -------
    PLCRelation
        The relation with mode "refit".

    Raises
    ------
    RelationError
        If there are fewer stars, or the fit does not converge.

    Notes
    -----
    Maximum likelihood of a structural model (Kelly 2007, ApJ 665, 1489, with one Gaussian): the true colour is
    normal about a line in log P with a scatter of its own, M_V is the relation plus an intrinsic scatter, and both
    are observed with correlated errors. A fit of M_V on the observed colour would be diluted by the errors of the
    colour, which are as large as its spread. Stars beyond 3 sigma in the plane of both residuals are left out, and
    the fit is repeated until none changes.
    """
    known = ~np.isnan(stars.M_V + stars.VI0 + stars.log_period + stars.covariance)
    sample = stars.where(known)
    n_all = len(sample.M_V)
    if n_all < min_stars:
        msg = (
            f"the refit of the period-luminosity-colour relation needs {min_stars} type C stars in the main-sequence "
            f'box, found {n_all}: use mode = "derived" or "coefficients" under [selection.plc]'
        )
        raise RelationError(msg)
    used = np.ones(n_all, dtype=bool)
    parameters = _start(sample)
    for _ in range(_CLIP_ROUNDS):
        parameters = _maximise(sample.where(used), parameters)
        keep = _mahalanobis(sample, parameters) <= _CLIP
        if np.array_equal(keep, used):
            break
        used = keep
    errors = _standard_errors(sample.where(used), parameters)
    a, b, c, scatter = parameters[0], parameters[1], parameters[2], np.exp(parameters[3])
    n_used = int(np.count_nonzero(used))
    e_a, e_b, e_c = (float(error) for error in errors[:3])
    return PLCRelation(float(a), float(b), float(c), float(scatter), "refit", n_used, n_all - n_used, e_a, e_b, e_c)


def _start(stars: PLCStars) -> FloatArray:
    colour_slope, colour_zero = np.polyfit(stars.log_period, stars.VI0, 1)
    residual = stars.M_V - DERIVED.a * stars.log_period - DERIVED.b * stars.VI0
    return np.array([DERIVED.a, DERIVED.b, np.median(residual), np.log(0.3), colour_zero, colour_slope, np.log(0.05)])


def _moments(stars: PLCStars, parameters: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Residuals of colour and magnitude, shape (2, n), and their covariance as three numbers a star."""
    a, b, c, log_scatter, colour_zero, colour_slope, log_spread = parameters
    spread, scatter = np.exp(2.0 * log_spread), np.exp(2.0 * log_scatter)
    colour = colour_zero + colour_slope * stars.log_period
    residual = np.stack([stars.VI0 - colour, stars.M_V - (a * stars.log_period + b * colour + c)])
    covariance = np.stack(
        [
            spread + stars.e_VI0**2,
            b * spread + stars.covariance,
            b**2 * spread + scatter + stars.e_M_V**2,
        ]
    )
    determinant = covariance[0] * covariance[2] - covariance[1] ** 2
    return residual, covariance, determinant


def _mahalanobis(stars: PLCStars, parameters: FloatArray) -> FloatArray:
    residual, covariance, determinant = _moments(stars, parameters)
    squared: FloatArray = (
        covariance[2] * residual[0] ** 2
        - 2.0 * covariance[1] * residual[0] * residual[1]
        + covariance[0] * residual[1] ** 2
    ) / determinant
    return squared


def _minus_log_likelihood(parameters: FloatArray, stars: PLCStars) -> float:
    _, _, determinant = _moments(stars, parameters)
    return float(0.5 * np.sum(_mahalanobis(stars, parameters) + np.log(determinant)))


def _maximise(stars: PLCStars, start: FloatArray) -> FloatArray:
    rough = minimize(
        _minus_log_likelihood,
        start,
        args=(stars,),
        method="Nelder-Mead",
        options={"maxiter": 20000, "maxfev": 20000, "xatol": 1e-6, "fatol": 1e-8, "adaptive": True},
    )
    if not rough.success or not np.all(np.isfinite(rough.x)):
        msg = (
            f"the refit of the period-luminosity-colour relation does not converge on {len(stars.M_V)} stars: "
            'use mode = "derived" or "coefficients" under [selection.plc]'
        )
        raise RelationError(msg)
    best: FloatArray = rough.x
    return best


def _standard_errors(stars: PLCStars, parameters: FloatArray) -> FloatArray:
    """Errors from the curvature of the likelihood by central differences."""
    n_parameters = len(parameters)
    step = 1e-3 * np.maximum(np.abs(parameters), 0.1)
    hessian = np.empty((n_parameters, n_parameters))
    for i in range(n_parameters):
        for j in range(n_parameters):
            total = 0.0
            for sign_i, sign_j in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
                moved = parameters.copy()
                moved[i] += sign_i * step[i]
                moved[j] += sign_j * step[j]
                total += sign_i * sign_j * _minus_log_likelihood(moved, stars)
            hessian[i, j] = total / (4.0 * step[i] * step[j])
    variance = np.diag(np.linalg.pinv(hessian))
    return np.sqrt(np.maximum(variance, 0.0))
