"""Colours and magnitudes of main-sequence O and B stars, alone and as unresolved pairs."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray

__all__ = [
    "DWARF_COLOURS",
    "ColourSequence",
    "PairPhotometry",
    "bolometric_correction_v",
    "pair_photometry",
]

# IAU 2015 resolution B2 and B3.
_M_BOL_SUN = 4.74
_TEFF_SUN = 5772.0
_O_STARS_FROM = 30000.0


@dataclass(frozen=True)
class ColourSequence:
    """Intrinsic colour of main-sequence stars as a function of effective temperature.

    Attributes
    ----------
    teff : `~numpy.ndarray`
        Effective temperatures in K, ascending, shape (n,).
    VI0 : `~numpy.ndarray`
        Intrinsic colours (V-I)_0 in mag, shape (n,).
    """

    teff: FloatArray
    VI0: FloatArray

    def at(self, teff: npt.ArrayLike) -> FloatArray:
        """Colour at temperatures, linear in log Teff and constant outside of the sequence.

        Parameters
        ----------
        teff : array_like
            Effective temperatures in K.

        Returns
        -------
        `~numpy.ndarray`
            (V-I)_0 in mag.
        """
        colour: FloatArray = np.interp(np.log10(teff), np.log10(self.teff), self.VI0)
        return colour


# B9V, B5V, B2V, B0V and O9V of the dwarf sequence of Pecaut & Mamajek (2013, ApJS 208, 9, with its updates), which
# gives no (V-I) for hotter stars; in the Rayleigh-Jeans regime the colour hardly changes any more.
DWARF_COLOURS = ColourSequence(
    teff=np.array([10700.0, 15700.0, 20600.0, 31500.0, 32500.0]),
    VI0=np.array([-0.061, -0.165, -0.230, -0.355, -0.369]),
)


@dataclass(frozen=True)
class PairPhotometry:
    """Magnitudes and colour of two stars that are seen as one.

    Attributes
    ----------
    M_V, M_I : float or `~numpy.ndarray`
        Absolute magnitudes, mag.
    VI0 : float or `~numpy.ndarray`
        Intrinsic colour (V-I)_0, mag.
    """

    M_V: FloatArray
    M_I: FloatArray
    VI0: FloatArray


def bolometric_correction_v(teff: npt.ArrayLike) -> FloatArray:
    """Bolometric correction in V of hot main-sequence stars.

    Parameters
    ----------
    teff : array_like
        Effective temperatures in K.

    Returns
    -------
    `~numpy.ndarray`
        BC_V in mag.

    Notes
    -----
    27.58 - 6.80 log Teff above 30 kK (Martins et al. 2005, A&A 436, 1049), else 21.00 - 5.34 log Teff (Lanz & Hubeny
    2007, ApJS 169, 83). The two meet with a step of 0.04 mag.
    """
    log_teff = np.log10(teff)
    hot = np.asarray(teff) > _O_STARS_FROM
    correction: FloatArray = np.where(hot, 27.58 - 6.80 * log_teff, 21.00 - 5.34 * log_teff)
    return correction[()]


def pair_photometry(
    radius_1: npt.ArrayLike,
    teff_1: npt.ArrayLike,
    radius_2: npt.ArrayLike,
    teff_2: npt.ArrayLike,
    *,
    colours: ColourSequence = DWARF_COLOURS,
) -> PairPhotometry:
    """Absolute magnitudes and colour of the unresolved sum of two stars.

    Parameters
    ----------
    radius_1, radius_2 : array_like
        Radii in solar radii.
    teff_1, teff_2 : array_like
        Effective temperatures in K.
    colours : ColourSequence, optional
        Colours of single stars.

    Returns
    -------
    PairPhotometry
        Magnitudes and colour of the pair.
    """
    flux_v = np.zeros(np.broadcast(radius_1, teff_1, radius_2, teff_2).shape)
    flux_i = flux_v.copy()
    for radius, teff in ((radius_1, teff_1), (radius_2, teff_2)):
        m_v = _absolute_v(np.asarray(radius, dtype=float), np.asarray(teff, dtype=float))
        flux_v = flux_v + 10.0 ** (-0.4 * m_v)
        flux_i = flux_i + 10.0 ** (-0.4 * (m_v - colours.at(teff)))
    m_v, m_i = -2.5 * np.log10(flux_v), -2.5 * np.log10(flux_i)
    return PairPhotometry(m_v, m_i, m_v - m_i)


def _absolute_v(radius: FloatArray, teff: FloatArray) -> FloatArray:
    luminosity = radius**2 * (teff / _TEFF_SUN) ** 4
    magnitude: FloatArray = _M_BOL_SUN - 2.5 * np.log10(luminosity) - bolometric_correction_v(teff)
    return magnitude
