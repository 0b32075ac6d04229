"""Fourier coefficients of folded light curves, Rucinski's contact criterion W, and the asymmetry.

All coefficients are those of the flux over its maximum with phase 0 at the deeper minimum, the convention of
Rucinski's work on contact binaries (e.g. 1997, AJ 113, 407).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import Field

from cbminer.columns import FloatArray
from cbminer.lightcurves.harmonics import HARMONICS_MAX, harmonic_basis
from cbminer.morphology.minima import second_minimum
from cbminer.quantities import SettingsModel

__all__ = ["FourierSettings", "HarmonicFits", "Minima", "fourier_figures", "harmonic_minima"]

_GRID = np.arange(1000) / 1000.0
_REFINEMENTS = 4


class FourierSettings(SettingsModel):
    """Orders of the harmonic fit, and what a light curve must have to be fitted."""

    order_min: int = Field(default=4, ge=4, le=HARMONICS_MAX, description="lowest order of the harmonic fit")
    order_max: int = Field(default=10, ge=4, le=HARMONICS_MAX, description="highest order of the harmonic fit")
    min_points: int = Field(default=40, ge=20, description="with fewer points a star has no shape and stays undecided")
    points_per_term: float = Field(
        default=3.0, ge=1.5, description="points that each term of the fit asks for; limits the order"
    )
    max_phase_gap: float = Field(
        default=0.10, gt=0, lt=0.5, description="with a wider gap in phase a star has no shape"
    )


@dataclass(frozen=True)
class HarmonicFits:
    """Harmonic fits of n stars.

    Attributes
    ----------
    order : `~numpy.ndarray`
        Order of each fit, int64.
    coefficients : `~numpy.ndarray`
        Coefficients of `~cbminer.lightcurves.harmonics.harmonic_basis`, shape (n, 21).
    covariance : `~numpy.ndarray`
        Their covariance, shape (n, 21, 21).
    """

    order: npt.NDArray[np.int64]
    coefficients: FloatArray
    covariance: FloatArray


@dataclass(frozen=True)
class _Extremum:
    """An extremum of every fit: its phase, its flux, and the gradient of the flux by the coefficients."""

    phase: FloatArray
    flux: FloatArray
    flux_gradient: FloatArray


@dataclass(frozen=True)
class Minima:
    """Where the minima of harmonic fits lie.

    Attributes
    ----------
    primary : `~numpy.ndarray`
        Phase of the deeper minimum in the phases that were given.
    separation : `~numpy.ndarray`
        Phase of the other minimum from there.
    """

    primary: FloatArray
    separation: FloatArray


def harmonic_minima(fits: HarmonicFits) -> Minima:
    """Find the two minima of harmonic fits.

    Parameters
    ----------
    fits : HarmonicFits
        The fits.

    Returns
    -------
    Minima
        Phases of the minima.
    """
    curve = fits.coefficients @ harmonic_basis(_GRID).T
    primary = _extremum(fits, _GRID[np.argmin(curve, axis=1)])
    lowest = np.argmin(curve, axis=1)
    places = np.array([second_minimum(row, int(place)) for row, place in zip(curve, lowest, strict=True)], dtype=int)
    secondary = _extremum(fits, np.where(places >= 0, places, (lowest + len(_GRID) // 2) % len(_GRID)) / len(_GRID))
    return Minima(primary.phase % 1.0, (secondary.phase - primary.phase) % 1.0)


def fourier_figures(fits: HarmonicFits, minima: Minima, phase_zero: FloatArray) -> dict[str, FloatArray]:
    """Coefficients, W and asymmetry of harmonic fits, with their standard errors.

    Parameters
    ----------
    fits : HarmonicFits
        The fits.
    minima : Minima
        Their minima.
    phase_zero : `~numpy.ndarray`
        About where the deeper minimum is; of the two minima of the fit, the nearer one becomes phase 0.

    Returns
    -------
    dict of str to `~numpy.ndarray`
        a1, a2, a4, W = a4 - a2 (0.125 - a2) and asymmetry, and the same with ``e_`` before.
    """
    curve = fits.coefficients @ harmonic_basis(_GRID).T
    highest = _extremum(fits, _GRID[np.argmax(curve, axis=1)])
    distance = np.abs((phase_zero - minima.primary + 0.5) % 1.0 - 0.5)
    other = np.abs((phase_zero - minima.primary - minima.separation + 0.5) % 1.0 - 0.5)
    zero = np.where(distance <= other, minima.primary, minima.primary + minima.separation)
    return _coefficient_figures(fits, zero, highest)


def _extremum(fits: HarmonicFits, start: FloatArray) -> _Extremum:
    """Refine extrema of the grid by Newton steps, kept within one step of the grid."""
    phase = start.copy()
    for _ in range(_REFINEMENTS):
        slope = np.einsum("ij,ij->i", harmonic_basis(phase, 1), fits.coefficients)
        curvature = np.einsum("ij,ij->i", harmonic_basis(phase, 2), fits.coefficients)
        step = np.divide(slope, curvature, out=np.zeros_like(slope), where=curvature != 0)
        phase = np.clip(phase - step, start - 1.0 / len(_GRID), start + 1.0 / len(_GRID))
    basis = harmonic_basis(phase)
    basis = basis * (np.arange(basis.shape[1]) <= 2 * fits.order[:, None])
    return _Extremum(phase, np.einsum("ij,ij->i", basis, fits.coefficients), basis)


def _error(fits: HarmonicFits, gradient: FloatArray) -> FloatArray:
    variance = np.einsum("ni,nij,nj->n", gradient, fits.covariance, gradient)
    error: FloatArray = np.sqrt(np.maximum(variance, 0.0))
    return error


def _coefficient_figures(fits: HarmonicFits, phase_zero: FloatArray, highest: _Extremum) -> dict[str, FloatArray]:
    """Coefficients with phase 0 at the deeper minimum, over the maximum, and what is built from them."""
    order = np.arange(1, HARMONICS_MAX + 1)
    cosine = np.cos(2.0 * np.pi * order * phase_zero[:, None]) / highest.flux[:, None]
    sine = np.sin(2.0 * np.pi * order * phase_zero[:, None]) / highest.flux[:, None]
    even, odd = fits.coefficients[:, 1::2], fits.coefficients[:, 2::2]
    a, b = even * cosine + odd * sine, odd * cosine - even * sine
    a_gradient = _turned_gradient(fits, cosine, sine) - a[:, :, None] * _relative(highest)
    b_gradient = _turned_gradient(fits, -sine, cosine) - b[:, :, None] * _relative(highest)
    a2, a4 = a[:, 1], a[:, 3]
    figures = {f"a{k}": a[:, k - 1] for k in (1, 2, 4)}
    figures |= {f"e_a{k}": _error(fits, a_gradient[:, k - 1]) for k in (1, 2, 4)}
    figures["W"] = a4 - a2 * (0.125 - a2)
    w_gradient = a_gradient[:, 3] - (0.125 - 2.0 * a2)[:, None] * a_gradient[:, 1]
    figures["e_W"] = _error(fits, w_gradient)
    figures["asymmetry"] = np.sqrt(np.sum(b**2, axis=1)) / np.abs(a2)
    b_variance = np.einsum("nki,nij,nkj->n", b_gradient, fits.covariance, b_gradient)
    figures["e_asymmetry"] = np.sqrt(np.maximum(b_variance, 0.0)) / np.abs(a2)
    return figures


def _turned_gradient(fits: HarmonicFits, of_cosine: FloatArray, of_sine: FloatArray) -> FloatArray:
    """Gradient of a turned coefficient of each order by the coefficients of the fit, shape (n, orders, 21)."""
    n_stars, n_orders = of_cosine.shape
    gradient = np.zeros((n_stars, n_orders, 2 * n_orders + 1))
    index = np.arange(n_orders)
    gradient[:, index, 2 * index + 1] = of_cosine
    gradient[:, index, 2 * index + 2] = of_sine
    used = index[None, :] < fits.order[:, None]
    return gradient * used[:, :, None]


def _relative(highest: _Extremum) -> FloatArray:
    return (highest.flux_gradient / highest.flux[:, None])[:, None, :]
