"""Draws of masses, mass ratios and inclinations of a star: from models near it and the depth of its minima."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray
from cbminer.followup.settings import VelocitySettings
from cbminer.theory.detection import contact_share_seen, fillout_of_radius, near_contact_share_seen
from cbminer.theory.phases import Phase
from cbminer.theory.population import Population

__all__ = ["BinaryDraws", "Configuration", "ModelPool", "StarPlace", "model_pool"]

Configuration = Literal["contact", "near_contact"]
_PHASES: dict[Configuration, Phase] = {"contact": Phase.CONTACT, "near_contact": Phase.NEAR_CONTACT}
# Depths for which the inclinations of models are known (`cbminer.theory.detection`).
_DEPTHS = np.array([0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5])
_WIDENED = (1.0, 2.0, 4.0)


@dataclass(frozen=True)
class StarPlace:
    """What is measured of a star.

    Attributes
    ----------
    log_P, M_V, VI0 : float
        Logarithm of the period in days, absolute magnitude and intrinsic colour.
    e_M_V, e_VI0, cov_M_V_VI0 : float
        Errors and covariance in mag and mag2.
    depth, e_depth : float
        Depth of the deeper minimum in I and its error in mag; NaN if unknown.
    """

    log_P: float
    M_V: float
    VI0: float
    e_M_V: float
    e_VI0: float
    cov_M_V_VI0: float
    depth: float
    e_depth: float

    @property
    def known(self) -> bool:
        """Whether models can be sought near it."""
        return bool(np.isfinite([self.log_P, self.M_V, self.VI0, self.e_M_V, self.e_VI0]).all())


@dataclass(frozen=True)
class BinaryDraws:
    """Draws of a binary; arrays of shape (n,).

    Attributes
    ----------
    total_mass : `~numpy.ndarray`
        Solar masses.
    mass_ratio : `~numpy.ndarray`
        Less over more massive star.
    inclination : `~numpy.ndarray`
        Degrees.
    filling : `~numpy.ndarray`
        Fill-out in contact; else the mean radius over Roche radius.
    teff_1, teff_2 : `~numpy.ndarray`
        Temperatures of the more and the less massive star in K.
    n_effective : float
        Models of equal weight that the masses rest on.
    widened : float
        Factor by which the search for models was widened.
    """

    total_mass: FloatArray
    mass_ratio: FloatArray
    inclination: FloatArray
    filling: FloatArray
    teff_1: FloatArray
    teff_2: FloatArray
    n_effective: float
    widened: float = 1.0


@dataclass(frozen=True)
class ModelPool:
    """Models of one configuration in a Cloud; arrays of shape (m,).

    Attributes
    ----------
    configuration : {"contact", "near_contact"}
        Which.
    log_P, M_V, VI0 : `~numpy.ndarray`
        Where they lie.
    total_mass, mass_ratio, filling, teff_1, teff_2 : `~numpy.ndarray`
        As in `BinaryDraws`.
    weight : `~numpy.ndarray`
        Systems that each stands for.
    cosine : `~numpy.ndarray`
        Cosine of the inclination at which the deeper minimum has each of seven depths, shape (m, 7).
    """

    configuration: Configuration
    log_P: FloatArray
    M_V: FloatArray
    VI0: FloatArray
    total_mass: FloatArray
    mass_ratio: FloatArray
    filling: FloatArray
    teff_1: FloatArray
    teff_2: FloatArray
    weight: FloatArray
    cosine: FloatArray = field(repr=False)

    def draw(self, place: StarPlace, *, rng: np.random.Generator, settings: VelocitySettings) -> BinaryDraws | None:
        """Draw binaries that a star may be.

        Parameters
        ----------
        place : StarPlace
            The star.
        rng : `~numpy.random.Generator`
            Source of chance.
        settings : VelocitySettings
            Widths and numbers.

        Returns
        -------
        BinaryDraws or None
            The draws; None where the star's place is unknown or no model is near.

        Notes
        -----
        A model counts by the systems it stands for, and by how well it meets period, magnitude and colour. Orbits are
        isotropic: cosines of inclinations are flat, and count by how well the depth of the minima at them meets the
        one observed. Models that cannot be so deep so drop out.
        """
        if not place.known:
            return None
        chosen, n_effective, widened = self._near(place, rng, settings)
        if chosen is None:
            return None
        cosine = (np.arange(settings.draws) + rng.random(settings.draws)) / settings.draws
        cosine = rng.permutation(cosine)
        if np.isfinite(place.depth):
            error = np.hypot(np.nan_to_num(place.e_depth), settings.depth_error)
            depth = _depth_at(self.cosine[chosen], cosine)
            misfit = ((depth - place.depth) / error) ** 2
            weight = np.exp(-0.5 * (misfit - misfit.min()))
            kept = rng.choice(settings.draws, settings.draws, p=weight / weight.sum())
            chosen, cosine = chosen[kept], cosine[kept]
        return BinaryDraws(
            total_mass=self.total_mass[chosen] * np.exp(settings.mass_smoothing * rng.standard_normal(len(chosen))),
            mass_ratio=self.mass_ratio[chosen],
            inclination=np.degrees(np.arccos(cosine)),
            filling=self.filling[chosen],
            teff_1=self.teff_1[chosen],
            teff_2=self.teff_2[chosen],
            n_effective=n_effective,
            widened=widened,
        )

    def _near(
        self, place: StarPlace, rng: np.random.Generator, settings: VelocitySettings
    ) -> tuple[npt.NDArray[np.int64] | None, float, float]:
        """Choose models by weight; with them their effective number, and how far the search was widened."""
        best: tuple[FloatArray, float, float] | None = None
        for widened in _WIDENED:
            misfit = self._misfit(place, settings, widened)
            if not len(misfit) or misfit.min() > settings.largest_distance**2:
                continue
            weight = self.weight * np.exp(-0.5 * misfit)
            n_effective = float(weight.sum() ** 2 / (weight**2).sum())
            best = (weight, n_effective, widened)
            if n_effective >= settings.least_models:
                break
        if best is None:
            return None, 0.0, _WIDENED[-1]
        weight, n_effective, widened = best
        return rng.choice(len(weight), settings.draws, p=weight / weight.sum()), n_effective, widened

    def _misfit(self, place: StarPlace, settings: VelocitySettings, widened: float) -> FloatArray:
        """Squared distances in standard deviations."""
        in_m = place.e_M_V**2 + settings.model_scatter_M_V**2
        in_colour = place.e_VI0**2 + settings.model_scatter_VI0**2
        covariance = np.array([[in_m, place.cov_M_V_VI0], [place.cov_M_V_VI0, in_colour]])
        off = np.stack([self.M_V - place.M_V, self.VI0 - place.VI0])
        photometric = np.einsum("im,ij,jm->m", off, np.linalg.inv(covariance), off)
        along = ((self.log_P - place.log_P) / settings.log_period_width) ** 2
        return np.asarray((photometric + along) / widened**2)


def model_pool(population: Population, configuration: Configuration) -> ModelPool:
    """Gather the models of a configuration.

    Parameters
    ----------
    population : Population
        The population of a Cloud.
    configuration : {"contact", "near_contact"}
        Which.

    Returns
    -------
    ModelPool
        Models that take time and have a place in period, magnitude and colour.
    """
    steps, models = population.steps, population.grid.arrays()
    there = (steps.phase == _PHASES[configuration]) & (steps.duration > 0)
    there &= np.isfinite(steps.log_P + steps.M_V + steps.VI0)
    weight = population.births[steps.run] * steps.duration
    rows = np.flatnonzero(there & (weight > 0))
    m_1, m_2 = models["M1"][rows], models["M2"][rows]
    second = m_2 > m_1
    mass_ratio = np.minimum(m_1, m_2) / np.maximum(m_1, m_2)
    teffs = [10.0 ** models[f"log_Teff{star}"][rows] for star in (1, 2)]
    radii = [1.0 + models[f"overflow_{star}"][rows] for star in (1, 2)]
    if configuration == "contact":
        filling = fillout_of_radius(np.where(second, radii[0], radii[1]), mass_ratio)
        seen = [contact_share_seen(filling, mass_ratio, least_depth=depth) for depth in _DEPTHS]
    else:
        filling = 0.5 * (radii[0] + radii[1])
        seen = [near_contact_share_seen(filling, mass_ratio, least_depth=depth) for depth in _DEPTHS]
    return ModelPool(
        configuration,
        steps.log_P[rows],
        steps.M_V[rows],
        steps.VI0[rows],
        m_1 + m_2,
        mass_ratio,
        filling,
        np.where(second, teffs[1], teffs[0]),
        np.where(second, teffs[0], teffs[1]),
        weight[rows],
        np.stack(seen, axis=1).reshape(len(rows), len(_DEPTHS)),
    )


def _depth_at(cosine_of_depth: FloatArray, cosine: FloatArray) -> FloatArray:
    """Depth of the deeper minimum at inclinations; linear in cos i between, and beyond, those that are known.

    From the shallowest depth it falls to none at a pole-on orbit, and beyond the deepest it goes on as it rose.
    """
    n = len(cosine)
    # Rising cosines: the depths fall along them. Where a model is never so deep, the table holds a cosine of 0.
    known = np.concatenate([cosine_of_depth[:, ::-1], np.ones((n, 1))], axis=1)
    depth = np.broadcast_to(np.concatenate([_DEPTHS[::-1], [0.0]]), known.shape)
    right = np.clip((known < cosine[:, np.newaxis]).sum(axis=1), 1, known.shape[1] - 1)
    rows = np.arange(n)
    low, high = known[rows, right - 1], known[rows, right]
    slope = (depth[rows, right] - depth[rows, right - 1]) / np.maximum(high - low, 1e-6)
    return np.asarray(np.maximum(depth[rows, right - 1] + slope * (cosine - low), 0.0))
