"""Limb darkening: one law and its coefficients, given or looked up by effective temperature."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from cbminer.columns import FloatArray
from cbminer.errors import SettingsError

__all__ = ["LAWS", "LimbDarkening", "LimbDarkeningLaw", "LimbDarkeningTable"]

LimbDarkeningLaw = Literal["linear", "square-root", "logarithmic"]

# The number by which the compiled kernels know a law.
LAWS: tuple[LimbDarkeningLaw, ...] = ("linear", "square-root", "logarithmic")

_COSINES = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class LimbDarkening:
    """A law with the same coefficients for both stars of all systems.

    With mu the cosine of the angle between the line of sight and the normal, the intensity over that along
    the normal is ``1 - x (1 - mu)`` for the linear law, ``1 - x (1 - mu) - y (1 - sqrt(mu))`` for the
    square-root law (Diaz-Cordoves and Gimenez 1992, A&A 259, 227) and ``1 - x (1 - mu) - y mu ln(mu)`` for
    the logarithmic one (Klinglesmith and Sobieski 1970, AJ 75, 175).

    Attributes
    ----------
    law : {"linear", "square-root", "logarithmic"}
        The law.
    coefficients : tuple of float
        x, or x and y; y counts as zero where it is not given.
    """

    law: LimbDarkeningLaw = "linear"
    coefficients: tuple[float, ...] = (0.3,)

    def __post_init__(self) -> None:
        """Refuse laws that are not known, and intensities below zero or more than twice that of the middle."""
        _check_law(self.law, len(self.coefficients))
        x, y = self.pair
        if not _is_possible(self.law, x, y):
            msg = (
                f"limb darkening {self.law} with {list(self.coefficients)}: the coefficients must be finite, and the "
                f"intensity nowhere on the disc below 0 or above twice that of its middle"
            )
            raise SettingsError(msg)

    @property
    def pair(self) -> tuple[float, float]:
        """The coefficients x and y; y is zero where it is not given."""
        x, y = (*self.coefficients, 0.0)[:2]
        return float(x), float(y)

    def at(self, teff: FloatArray) -> FloatArray:
        """Coefficients of stars.

        Parameters
        ----------
        teff : `~numpy.ndarray`
            Effective temperatures in K, of any shape.

        Returns
        -------
        `~numpy.ndarray`
            x and y along a last axis of length 2.
        """
        return np.broadcast_to(np.array(self.pair), (*np.shape(teff), 2))


@dataclass(frozen=True)
class LimbDarkeningTable:
    """A law whose coefficients depend on the effective temperature, linear between the entries.

    Attributes
    ----------
    law : {"linear", "square-root", "logarithmic"}
        The law; see `LimbDarkening`.
    teff : tuple of float
        Effective temperatures in K, increasing.
    x, y : tuple of float
        Coefficients at these temperatures; y may be empty for the linear law.
    """

    law: LimbDarkeningLaw
    teff: tuple[float, ...]
    x: tuple[float, ...]
    y: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse tables that cannot be interpolated or hold an impossible pair of coefficients."""
        second = self.y or (0.0,) * len(self.teff)
        _check_law(self.law, 2 if self.y else 1)
        if not len(self.teff) == len(self.x) == len(second) > 0 or not (np.diff(self.teff) > 0).all():
            msg = "limb-darkening table: give one x, and one y or none, for each of the increasing temperatures"
            raise SettingsError(msg)
        for teff, x, y in zip(self.teff, self.x, second, strict=True):
            if not (np.isfinite(teff) and _is_possible(self.law, x, y)):
                msg = f"limb-darkening table: the entry at {teff:g} K is not finite or gives an impossible intensity"
                raise SettingsError(msg)

    def at(self, teff: FloatArray) -> FloatArray:
        """Coefficients of stars; the nearest entry serves beyond the ends.

        Parameters
        ----------
        teff : `~numpy.ndarray`
            Effective temperatures in K, of any shape.

        Returns
        -------
        `~numpy.ndarray`
            x and y along a last axis of length 2.
        """
        second = self.y or (0.0,) * len(self.teff)
        return np.stack([np.interp(teff, self.teff, self.x), np.interp(teff, self.teff, second)], axis=-1)


def _check_law(law: str, n_coefficients: int) -> None:
    if law not in LAWS:
        msg = f"limb darkening: there is no law {law!r}; give one of {', '.join(LAWS)}"
        raise SettingsError(msg)
    allowed = (1,) if law == "linear" else (1, 2)
    if n_coefficients not in allowed:
        msg = f"limb darkening: the {law} law takes {' or '.join(map(str, allowed))} coefficients, not {n_coefficients}"
        raise SettingsError(msg)


def _is_possible(law: str, x: float, y: float) -> bool:
    """Tell whether the intensity stays between 0 and twice that of the middle of the disc."""
    if not np.isfinite([x, y]).all():
        return False
    if law == "logarithmic":
        second = _COSINES * np.log(np.maximum(_COSINES, 1e-300))
    else:
        second = 1.0 - np.sqrt(_COSINES) if law == "square-root" else np.zeros_like(_COSINES)
    intensity = 1.0 - x * (1.0 - _COSINES) - y * second
    return bool(intensity.min() >= -1e-9 and intensity.max() <= 2.0)
