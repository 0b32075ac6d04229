"""Least exposures: the photons that a spectrograph must count, of the magnitude and the mirror alone."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray
from cbminer.followup.settings import ExposureSettings
from cbminer.followup.sites import Site

__all__ = ["Exposures", "least_exposures", "photon_rate"]

# Flux of Vega, of V = 0.03, at 5556 Angstrom: 3.44e-9 erg / (s cm2 A) (Hayes 1985, IAU Symp. 111, 225; not checked at
# the source), over the energy of a photon there, 3.575e-12 erg. Of V = 0, in photons / (s cm2 A):
_FLUX_V0 = 3.44e-9 * 10.0 ** (0.4 * 0.03) / 3.575e-12
_WAVELENGTH = 5500.0
_SECONDS = 86400.0


@dataclass(frozen=True)
class Exposures:
    """Least exposures of n stars.

    Attributes
    ----------
    seconds : `~numpy.ndarray`
        Exposure in s, no longer than the part of the period that the settings allow; NaN where the magnitude, the
        period or the mirror is unknown; shape (n,).
    signal_to_noise : `~numpy.ndarray`
        What it reaches.
    too_faint : `~numpy.ndarray`
        Whether what is wanted would take longer than that part of the period.
    """

    seconds: FloatArray
    signal_to_noise: FloatArray
    too_faint: npt.NDArray[np.bool_]


def photon_rate(V_mag: npt.ArrayLike, *, diameter: float, settings: ExposureSettings) -> FloatArray:
    """Photons a second that are counted in a resolution element at 5500 Angstrom.

    Parameters
    ----------
    V_mag : array_like
        V magnitudes.
    diameter : float
        Diameter of the mirror in m.
    settings : ExposureSettings
        Resolving power and efficiency.

    Returns
    -------
    `~numpy.ndarray`
        1 / s.
    """
    area = np.pi * (50.0 * diameter) ** 2
    width = _WAVELENGTH / settings.resolving_power
    flux = _FLUX_V0 * 10.0 ** (-0.4 * np.asarray(V_mag, dtype=float))
    return np.asarray(flux * area * width * settings.efficiency)


def least_exposures(V_mag: FloatArray, period: FloatArray, *, site: Site, settings: ExposureSettings) -> Exposures:
    """Work out exposures from the noise of photons: signal to noise is the root of their number.

    Parameters
    ----------
    V_mag : `~numpy.ndarray`
        V magnitudes, shape (n,).
    period : `~numpy.ndarray`
        Periods in days.
    site : Site
        Where; its mirror counts unless the settings give another.
    settings : ExposureSettings
        What is wanted, and the spectrograph.

    Returns
    -------
    Exposures
        The exposures.
    """
    diameter = settings.diameter if settings.diameter is not None else site.diameter
    if diameter is None:
        unknown = np.full(len(V_mag), np.nan)
        return Exposures(unknown, unknown, np.zeros(len(V_mag), dtype=bool))
    rate = photon_rate(V_mag, diameter=diameter, settings=settings)
    wanted = settings.signal_to_noise**2 / rate
    longest = settings.most_of_period * period * _SECONDS
    with np.errstate(invalid="ignore"):
        seconds = np.where(np.isfinite(longest), np.minimum(wanted, longest), np.nan)
        too_faint = wanted > longest
    return Exposures(seconds, np.sqrt(rate * seconds), too_faint)
