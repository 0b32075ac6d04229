"""Absolute magnitudes and intrinsic colours with their correlated errors."""

from typing import Self

import numpy as np
import numpy.typing as npt
from astropy.table import QTable
from pydantic import Field, model_validator

from cbminer.columns import FloatArray, float_column, values
from cbminer.flags import Flag
from cbminer.photometry.stated import stated
from cbminer.quantities import Magnitudes, SettingsModel

__all__ = ["ExtinctionSettings", "add_intrinsic_photometry", "put_given_photometry"]


class ExtinctionSettings(SettingsModel):
    """Extinction a unit of E(V-I), and the errors of the survey's magnitudes."""

    A_I_per_E_VI: float = Field(
        default=1.5, gt=0, description="A_I / E(V-I); Skowron et al. 2021 for dust in front of the stars"
    )
    A_V_per_E_VI: float = Field(default=2.5, gt=0, description="A_V / E(V-I); must be A_I / E(V-I) + 1")
    e_I_mag: Magnitudes = Field(
        default=0.02, ge=0, description="error of I at maximum light, which OGLE does not list; assumed"
    )
    e_V_mag: Magnitudes = Field(
        default=0.035, ge=0, description="error of V at maximum light, which OGLE does not list; assumed"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if abs(self.A_V_per_E_VI - self.A_I_per_E_VI - 1.0) > 1e-6:
            msg = "A_V_per_E_VI - A_I_per_E_VI must be 1, since A_V - A_I = E(V-I)"
            raise ValueError(msg)
        return self


def add_intrinsic_photometry(stars: QTable, settings: ExtinctionSettings) -> QTable:
    """Add M_V, M_I and (V-I)_0 with their errors and their covariance.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Columns I_mag, V_mag, E_VI, e_E_VI, distance_modulus, e_distance_modulus in mag; e_I_mag and e_V_mag hold where
        there are any.
    settings : ExtinctionSettings
        Extinction and errors of the survey's magnitudes.

    Returns
    -------
    `~astropy.table.QTable`
        A copy with e_I_mag, e_V_mag, M_V, M_I, VI0, their errors, and cov_M_V_VI0. The magnitudes are at maximum
        light, as those of the survey are.

    Notes
    -----
    M_V = V - A_V - mu and (V-I)_0 = V - I - E(V-I), with A_V proportional to E(V-I). The error of V and that of the
    reddening move both, so their covariance is e_V^2 + (A_V/E) e_E^2.

    Where a map gives E(V-I) with unequal errors, e_E is their root mean square (`Reddening.error` of
    `cbminer.photometry.reddening`) and the errors here are symmetric: unequal errors cannot be added in quadrature
    side by side (Barlow 2003, arXiv:physics/0306138), and what follows, the covariance and the likelihood of the
    period-luminosity-colour relation, is that of normal errors. Both sides are kept beside E(V-I): a reddening higher
    by E_VI_err_plus makes M_V brighter by A_V/E times that and (V-I)_0 bluer by it.
    """
    result = stars.copy()
    i_mag, v_mag = values(stars, "I_mag", "mag"), values(stars, "V_mag", "mag")
    reddening, e_reddening = values(stars, "E_VI", "mag"), values(stars, "e_E_VI", "mag")
    modulus, e_modulus = (
        values(stars, "distance_modulus", "mag"),
        values(stars, "e_distance_modulus", "mag"),
    )
    e_i = np.where(np.isnan(i_mag), np.nan, _errors_of(stars, "e_I_mag", settings.e_I_mag))
    e_v = np.where(np.isnan(v_mag), np.nan, _errors_of(stars, "e_V_mag", settings.e_V_mag))
    a_v, a_i = settings.A_V_per_E_VI, settings.A_I_per_E_VI
    columns = {
        "e_I_mag": e_i,
        "e_V_mag": e_v,
        "M_V": v_mag - a_v * reddening - modulus,
        "e_M_V": np.sqrt(e_v**2 + (a_v * e_reddening) ** 2 + e_modulus**2),
        "M_I": i_mag - a_i * reddening - modulus,
        "e_M_I": np.sqrt(e_i**2 + (a_i * e_reddening) ** 2 + e_modulus**2),
        "VI0": v_mag - i_mag - reddening,
        "e_VI0": np.sqrt(e_v**2 + e_i**2 + e_reddening**2),
    }
    for name, data in columns.items():
        result[name] = float_column(data, "mag")
    covariance = np.where(np.isnan(i_mag + modulus), np.nan, e_v**2 + a_v * e_reddening**2)
    result["cov_M_V_VI0"] = float_column(covariance, "mag2")
    return result


def _errors_of(stars: QTable, name: str, assumed: float) -> FloatArray:
    """Errors that the table has, and the assumed one of stars that have none."""
    if name not in stars.colnames:
        return np.full(len(stars), assumed)
    own = values(stars, name, "mag")
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(own) & (own >= 0), own, assumed)


def put_given_photometry(stars: QTable) -> npt.NDArray[np.int64]:
    """Put M_V and (V-I)_0 that the table of stars gives in the place of those that follow from its magnitudes.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Stars of `add_intrinsic_photometry`, changed in place; columns M_V_given and VI0_given [mag] with their errors,
        if there are any.

    Returns
    -------
    `~numpy.ndarray`
        `~cbminer.flags.Flag` GIVEN_PHOTOMETRY for stars of which one of both was given, int64, shape (n,).

    Raises
    ------
    InputFormatError
        If one of both is given without a column of its errors.

    Notes
    -----
    The covariance of a magnitude and a colour is not known if one of both is given, and set to 0. If errors of V or of
    the reddening are in both it is positive in truth. The slope of the period-luminosity-colour relation with colour
    is positive too, so that 0 makes the error of a distance from the relation larger than it is.
    """
    given = np.zeros(len(stars), dtype=bool)
    for name in ("M_V", "VI0"):
        own = stated(stars, f"{name}_given", "mag")
        if own is None:
            continue
        known = np.isfinite(own.value)
        given |= known
        stars[name] = float_column(np.where(known, own.value, values(stars, name, "mag")), "mag")
        stars[f"e_{name}"] = float_column(np.where(known, own.error, values(stars, f"e_{name}", "mag")), "mag")
    if given.any():
        both = np.isfinite(values(stars, "M_V", "mag") + values(stars, "VI0", "mag"))
        unrelated = np.where(both, 0.0, np.nan)
        covariance = np.where(given, unrelated, values(stars, "cov_M_V_VI0", "mag2"))
        stars["cov_M_V_VI0"] = float_column(covariance, "mag2")
    return np.where(given, int(Flag.GIVEN_PHOTOMETRY), 0).astype(np.int64)
