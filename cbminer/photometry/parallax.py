"""Distance moduli of parallaxes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import Field

from cbminer.columns import FloatArray
from cbminer.quantities import Arcseconds, SettingsModel

__all__ = ["ParallaxModuli", "ParallaxSettings", "parallax_moduli"]

_MAG_A_RELATIVE_ERROR = 5.0 / np.log(10.0)
_MAS = 1e3


class ParallaxSettings(SettingsModel):
    """Which parallaxes give a distance, and what is added to them."""

    zero_point: Arcseconds = Field(
        default=0.0,
        description='added to every parallax, such as "0.017 mas": the zero point of Gaia DR3 is -0.017 mas in the '
        "mean, and depends on magnitude, colour and place (Lindegren et al. 2021, A&A 649, A4)",
    )
    e_zero_point: Arcseconds = Field(
        default=0.0, ge=0, description="its error, added in quadrature to that of every parallax"
    )
    relative_error_max: float = Field(
        default=0.2,
        gt=0,
        lt=1,
        description="largest error over parallax from which a distance follows; a choice: beyond 0.2 the inverse "
        "parallax is no good measure of distance (Bailer-Jones 2015)",
    )


@dataclass(frozen=True)
class ParallaxModuli:
    """Distance moduli of parallaxes.

    Attributes
    ----------
    modulus, error : `~numpy.ndarray`
        True distance moduli and their errors in mag, shape (n,); NaN where no distance follows.
    poor : `~numpy.ndarray`
        Whether there is a parallax, but none that a distance follows from: too uncertain, or not above zero; bool,
        shape (n,).
    """

    modulus: FloatArray
    error: FloatArray
    poor: npt.NDArray[np.bool_]


def parallax_moduli(parallax: FloatArray, error: FloatArray, *, settings: ParallaxSettings) -> ParallaxModuli:
    """Distance moduli of parallaxes that are good enough.

    Parameters
    ----------
    parallax, error : `~numpy.ndarray`
        Parallaxes and their errors in mas, shape (n,); NaN where unknown.
    settings : ParallaxSettings
        Zero point, and what is good enough.

    Returns
    -------
    ParallaxModuli
        mu = 10 - 5 log10(parallax / mas), with the error 5 / ln 10 times the relative error of the parallax.

    Notes
    -----
    The inverse of a parallax is an estimate of the distance only where the relative error f is small (Bailer-Jones
    2015, PASP 127, 994). The modulus of a normally scattered parallax is skewed to large values, and too large by
    1.09 f^2 mag in the mean: by 0.04 mag at f = 0.2, where its error is 0.43 mag. Of the stars with a given parallax,
    more are farther than it says than nearer, as there is more room behind (Lutz & Kelker 1973, PASP 85, 573). To
    correct for that takes a prior, which says where in the Galaxy the stars of the survey are. That is not known here,
    and where a parallax is poor the prior would be the answer: so none is applied. Distances that rest on one (for
    instance those of Bailer-Jones et al. 2021, AJ 161, 147) can be given as a column of distance moduli.
    """
    shifted = parallax + _MAS * settings.zero_point
    total = np.hypot(error, _MAS * settings.e_zero_point)
    with np.errstate(invalid="ignore"):
        good = (shifted > 0) & (total <= settings.relative_error_max * shifted)
    safe = np.where(good, shifted, 1.0)
    modulus = np.where(good, 10.0 - 5.0 * np.log10(safe), np.nan)
    e_modulus = np.where(good, _MAG_A_RELATIVE_ERROR * total / safe, np.nan)
    return ParallaxModuli(modulus, e_modulus, np.isfinite(shifted) & ~good)
