"""Passbands: normal intensity by temperature and gravity, and the limb darkening that goes with it."""

from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from scipy.integrate import trapezoid

from cbminer.columns import FloatArray
from cbminer.errors import SettingsError
from cbminer.synthetic.limb_darkening import LimbDarkening, LimbDarkeningTable

__all__ = ["BESSELL", "Passband", "TransmissionCurve", "standard_passband"]

_SECOND_RADIATION = 14387.769
_LOG_TEFF = np.linspace(np.log(1000.0), np.log(200000.0), 1201)


@dataclass(frozen=True)
class TransmissionCurve:
    """Response of a photometric system.

    Attributes
    ----------
    wavelength : tuple of float
        Wavelengths in micrometres, increasing.
    transmission : tuple of float
        Response to energy, in any unit.
    """

    wavelength: tuple[float, ...]
    transmission: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse curves through which nothing comes, or that are in another unit."""
        wavelength, transmission = np.asarray(self.wavelength, float), np.asarray(self.transmission, float)
        if wavelength.shape != transmission.shape or len(wavelength) < 2 or not (np.diff(wavelength) > 0).all():
            msg = "transmission curve: give two increasing wavelengths or more, and one transmission for each"
            raise SettingsError(msg)
        if not 0.01 <= wavelength[0] <= wavelength[-1] <= 30.0:
            msg = (
                f"transmission curve: wavelengths from {wavelength[0]:g} to {wavelength[-1]:g}; they must be in "
                f"micrometres, between 0.01 and 30"
            )
            raise SettingsError(msg)
        if not ((transmission >= 0).all() and np.isfinite(transmission).all() and transmission.max() > 0):
            msg = "transmission curve: the transmissions must be finite, none below 0, and one at least above it"
            raise SettingsError(msg)


def _every_ten_nanometres(first: float, transmission: tuple[float, ...]) -> TransmissionCurve:
    wavelength = tuple(round(first + 0.01 * k, 3) for k in range(len(transmission)))
    return TransmissionCurve(wavelength, transmission)


# Bessell (1990, PASP 102, 1181), tables for the Johnson-Cousins system.
_V = "0 .030 .163 .458 .780 .967 1 .973 .898 .792 .684 .574 .461 .359 .270 .197 .135 .081 .045 .025 .017 .013 .009 0"
_I = "0 .024 .232 .555 .785 .910 .965 .985 .990 .995 1 1 .990 .980 .950 .910 .860 .750 .560 .330 .150 .030 0"
BESSELL = {
    "V": _every_ten_nanometres(0.47, tuple(map(float, _V.split()))),
    "I": _every_ten_nanometres(0.70, tuple(map(float, _I.split()))),
}


@dataclass(frozen=True, eq=False)
class Passband:
    """Normal intensities in one band, as the logarithm over a grid that is even in the logarithm of Teff.

    Attributes
    ----------
    name : str
        Name of the band.
    log_teff : `~numpy.ndarray`
        Natural logarithms of temperatures in K, evenly spaced, shape (m,).
    log_g : `~numpy.ndarray`
        Logarithms of gravity in cm/s2, increasing, shape (k,); one entry where gravity does not matter.
    log_intensity : `~numpy.ndarray`
        Natural logarithms of the normal intensity in any unit, shape (m, k).
    limb_darkening : LimbDarkening or LimbDarkeningTable
        Limb darkening in this band.
    """

    name: str
    log_teff: FloatArray
    log_g: FloatArray
    log_intensity: FloatArray
    limb_darkening: LimbDarkening | LimbDarkeningTable

    @classmethod
    def blackbody(
        cls, name: str, *, wavelength: float, limb_darkening: LimbDarkening | LimbDarkeningTable | None = None
    ) -> Self:
        """Make a band in which stars are black bodies at one wavelength.

        Parameters
        ----------
        name : str
            Name of the band.
        wavelength : float
            Effective wavelength in micrometres.
        limb_darkening : LimbDarkening or LimbDarkeningTable, optional
            Limb darkening, linear with 0.3 by default.

        Returns
        -------
        Passband
            The band.

        Raises
        ------
        SettingsError
            If the wavelength is not positive.
        """
        if not 0.01 <= wavelength <= 1000.0:
            msg = f"wavelength: {wavelength:g} micrometres; it must lie between 0.01 and 1000"
            raise SettingsError(msg)
        log_intensity = -np.log(np.expm1(_SECOND_RADIATION / (wavelength * np.exp(_LOG_TEFF))))
        return cls(name, _LOG_TEFF, np.zeros(1), log_intensity[:, np.newaxis], limb_darkening or LimbDarkening())

    @classmethod
    def blackbody_through(
        cls,
        name: str,
        curve: TransmissionCurve,
        *,
        limb_darkening: LimbDarkening | LimbDarkeningTable | None = None,
    ) -> Self:
        """Make a band in which stars are black bodies, integrated over a curve of transmission.

        Parameters
        ----------
        name : str
            Name of the band.
        curve : TransmissionCurve
            Response of the band.
        limb_darkening : LimbDarkening or LimbDarkeningTable, optional
            Limb darkening, linear with 0.3 by default.

        Returns
        -------
        Passband
            The band.
        """
        nodes = np.linspace(curve.wavelength[0], curve.wavelength[-1], 401)
        response = np.interp(nodes, curve.wavelength, curve.transmission) * nodes**-5.0
        temperatures = np.exp(_LOG_TEFF)[:, np.newaxis]
        planck = 1.0 / np.expm1(_SECOND_RADIATION / (nodes * temperatures))
        log_intensity = np.log(trapezoid(planck * response, nodes, axis=1))
        return cls(name, _LOG_TEFF, np.zeros(1), log_intensity[:, np.newaxis], limb_darkening or LimbDarkening())

    @classmethod
    def tabulated(
        cls,
        name: str,
        *,
        teff: npt.ArrayLike,
        log_g: npt.ArrayLike,
        intensity: npt.ArrayLike,
        limb_darkening: LimbDarkening | LimbDarkeningTable | None = None,
    ) -> Self:
        """Make a band from a table of intensities, such as those of model atmospheres.

        Parameters
        ----------
        name : str
            Name of the band.
        teff : array_like
            Effective temperatures in K, increasing, shape (m,).
        log_g : array_like
            Logarithms of gravity in cm/s2, increasing, shape (k,).
        intensity : array_like
            Normal intensities in any unit, shape (m, k), positive.
        limb_darkening : LimbDarkening or LimbDarkeningTable, optional
            Limb darkening, linear with 0.3 by default.

        Returns
        -------
        Passband
            The band. Stars whose mean temperature is outside of the table are refused; parts of a star that are
            get an intensity whose logarithm goes on linearly with that of the temperature. Beyond the last
            gravity that one counts.

        Raises
        ------
        SettingsError
            If the table has the wrong shape, is not ordered or holds an intensity that is not positive.
        """
        temperatures, gravities = np.asarray(teff, dtype=float), np.atleast_1d(np.asarray(log_g, dtype=float))
        table = np.asarray(intensity, dtype=float)
        if table.shape != (len(temperatures), len(gravities)) or len(temperatures) < 2:
            msg = f"intensity: shape {table.shape}; it must be (temperatures, gravities) with two temperatures or more"
            raise SettingsError(msg)
        finite = np.isfinite(temperatures).all() and np.isfinite(gravities).all()
        if not (
            finite and (np.diff(temperatures) > 0).all() and (np.diff(gravities) > 0).all() and temperatures[0] > 0
        ):
            msg = "teff and log_g of a table of intensities must be finite and increase, from above 0 K on"
            raise SettingsError(msg)
        if not (np.isfinite(table) & (table > 0)).all():
            row, column = np.argwhere(~(np.isfinite(table) & (table > 0)))[0]
            msg = (
                f"intensity: {table[row, column]:g} at {temperatures[row]:g} K, log g {gravities[column]:g}; "
                f"it must be a finite number above 0"
            )
            raise SettingsError(msg)
        even = np.linspace(np.log(temperatures[0]), np.log(temperatures[-1]), 601)
        columns = [np.interp(even, np.log(temperatures), np.log(column)) for column in table.T]
        return cls(name, even, gravities, np.stack(columns, axis=1), limb_darkening or LimbDarkening())

    @property
    def teff_range(self) -> tuple[float, float]:
        """Lowest and highest temperature of the table in K."""
        return float(np.exp(self.log_teff[0])), float(np.exp(self.log_teff[-1]))

    def darkened_by(self, limb_darkening: LimbDarkening | LimbDarkeningTable) -> Self:
        """Make the same band with another limb darkening.

        Parameters
        ----------
        limb_darkening : LimbDarkening or LimbDarkeningTable
            The limb darkening.

        Returns
        -------
        Passband
            The band.
        """
        return replace(self, limb_darkening=limb_darkening)


def standard_passband(name: Literal["V", "I"]) -> Passband:
    """Johnson V or Cousins I with black bodies and a linear limb darkening of hot stars.

    Parameters
    ----------
    name : {"V", "I"}
        The band.

    Returns
    -------
    Passband
        The band, with the response of Bessell (1990) and a coefficient of 0.30 in both bands, that of the
        published comparison curves.

    Raises
    ------
    SettingsError
        If it is another one.
    """
    if name not in BESSELL:
        msg = f"passband: there is no standard one called {name!r}; give {' or '.join(BESSELL)}"
        raise SettingsError(msg)
    return Passband.blackbody_through(name, BESSELL[name])
