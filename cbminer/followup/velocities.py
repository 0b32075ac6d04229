"""Expected velocities of both stars, in contact and near contact: semi-amplitudes and their intervals."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.constants import GM_sun

from cbminer.columns import FloatArray
from cbminer.followup.draws import BinaryDraws, Configuration, ModelPool, StarPlace
from cbminer.followup.settings import VelocitySettings
from cbminer.ranking.fit_results import HypothesisFit, StarFit

__all__ = [
    "CONFIGURATIONS",
    "ExpectedVelocities",
    "StarVelocities",
    "expect_velocities",
    "relative_velocity",
    "semi_amplitudes",
]

CONFIGURATIONS: tuple[Configuration, Configuration] = ("contact", "near_contact")
_QUANTILES = (0.16, 0.5, 0.84)
_GM_SUN = GM_sun.to_value(u.km**3 / u.s**2)
_SECONDS = 86400.0


def relative_velocity(total_mass: npt.ArrayLike, period: npt.ArrayLike) -> FloatArray:
    """Velocity of one star about the other on a circular orbit.

    Parameters
    ----------
    total_mass : array_like
        Solar masses.
    period : array_like
        Days.

    Returns
    -------
    `~numpy.ndarray`
        km/s: (2 pi G M / P)^(1/3), from Kepler's third law and v = 2 pi a / P.
    """
    seconds = np.asarray(period, dtype=float) * _SECONDS
    return np.asarray(np.cbrt(2.0 * np.pi * _GM_SUN * np.asarray(total_mass, dtype=float) / seconds))


def semi_amplitudes(
    total_mass: npt.ArrayLike, period: npt.ArrayLike, *, mass_ratio: npt.ArrayLike, inclination: npt.ArrayLike
) -> FloatArray:
    """Semi-amplitudes of the radial velocities of two point masses on a circular orbit.

    Parameters
    ----------
    total_mass : array_like
        Solar masses.
    period : array_like
        Days.
    mass_ratio : array_like
        Mass of star 2 over that of star 1.
    inclination : array_like
        Degrees.

    Returns
    -------
    `~numpy.ndarray`
        km/s, of star 1 and of star 2, shape (2, ...): parts q / (1 + q) and 1 / (1 + q) of the relative velocity times
        sin i.
    """
    q = np.asarray(mass_ratio, dtype=float)
    whole = relative_velocity(total_mass, period) * np.sin(np.radians(np.asarray(inclination, dtype=float)))
    return np.stack(np.broadcast_arrays(whole * q / (1.0 + q), whole / (1.0 + q)))


@dataclass(frozen=True)
class ExpectedVelocities:
    """What is expected of a star in one configuration.

    Attributes
    ----------
    configuration : {"contact", "near_contact"}
        Which.
    draws : BinaryDraws
        Masses, mass ratios and inclinations that it rests on.
    K : `~numpy.ndarray`
        Semi-amplitudes of the more and the less massive star in km/s, shape (2, n).
    mass_source : str
        Where masses come from, and where mass ratio and inclination do.
    p_less_massive_behind : float
        Probability by the fit that the less massive star is behind at phase 0, the deeper minimum; NaN without a fit.
    """

    configuration: Configuration
    draws: BinaryDraws
    K: FloatArray
    mass_source: str
    p_less_massive_behind: float = np.nan

    @property
    def turned(self) -> bool:
        """Whether the less massive star is rather the one behind at phase 0; without a fit it is not taken to be."""
        return self.p_less_massive_behind > 0.5

    def interval(self, name: str) -> FloatArray:
        """Quantiles of a quantity.

        Parameters
        ----------
        name : str
            K1, K2, total_mass, mass_ratio or inclination.

        Returns
        -------
        `~numpy.ndarray`
            16, 50 and 84 per cent, shape (3,).
        """
        data = self.K[int(name[1]) - 1] if name in {"K1", "K2"} else getattr(self.draws, name)
        return np.asarray(np.quantile(data, _QUANTILES))


StarVelocities = Mapping[Configuration, ExpectedVelocities]


def expect_velocities(
    place: StarPlace,
    pools: Mapping[Configuration, ModelPool],
    *,
    seed: np.random.SeedSequence,
    settings: VelocitySettings,
    fit: StarFit | None = None,
) -> StarVelocities:
    """Work out what velocities to expect of a star.

    Parameters
    ----------
    place : StarPlace
        What is measured of it.
    pools : mapping of {"contact", "near_contact"} to ModelPool
        Models of its galaxy; none of a configuration without models.
    seed : `~numpy.random.SeedSequence`
        Seed of the draws.
    settings : VelocitySettings
        Widths and numbers.
    fit : StarFit, optional
        Fit of its light curve.

    Returns
    -------
    mapping of {"contact", "near_contact"} to ExpectedVelocities
        What is expected; a configuration of which no model is near is missing.

    Notes
    -----
    Photometry gives no masses: they are those of the models near the star. Mass ratio and inclination are those of the
    fit, if there is one; else they are the models' and what the depth of the minima says of both.
    """
    found: dict[Configuration, ExpectedVelocities] = {}
    for configuration, child in zip(CONFIGURATIONS, seed.spawn(len(CONFIGURATIONS)), strict=True):
        rng = np.random.default_rng(child)
        draws = None if configuration not in pools else pools[configuration].draw(place, rng=rng, settings=settings)
        if draws is None:
            continue
        source, behind = "models near it; depth of minima", np.nan
        if fit is not None:
            model = fit.contact if configuration == "contact" else fit.near_contact
            draws = _with_fit(draws, model, rng)
            source, behind = "models near it; fit", model.swapped
        K = semi_amplitudes(
            draws.total_mass, 10.0**place.log_P, mass_ratio=draws.mass_ratio, inclination=draws.inclination
        )
        found[configuration] = ExpectedVelocities(configuration, draws, K, source, behind)
    return found


def _with_fit(draws: BinaryDraws, fit: HypothesisFit, rng: np.random.Generator) -> BinaryDraws:
    """Put mass ratio, inclination, size and temperature ratio of a fit in place of those of models."""
    samples = fit.samples[rng.choice(len(fit.samples), len(draws.total_mass))]
    names = fit.hypothesis.parameters
    column = {name: samples[:, place] for place, name in enumerate(names)}
    filling = (
        column["fillout_factor"]
        if fit.name == "contact"
        else 0.5 * (column["lobe_filling_1"] + column["lobe_filling_2"])
    )
    return replace(
        draws,
        mass_ratio=column["mass_ratio"],
        inclination=column["inclination"],
        filling=filling,
        teff_2=draws.teff_1 * column["teff_ratio"],
    )
