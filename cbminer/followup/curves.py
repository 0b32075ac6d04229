"""Velocity curves of a star in contact and near contact, and where in the orbit they differ most."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cbminer.columns import FloatArray
from cbminer.followup.draws import BinaryDraws, Configuration
from cbminer.followup.proximity import light_weighted_velocities
from cbminer.followup.velocities import CONFIGURATIONS, StarVelocities, relative_velocity
from cbminer.synthetic.passbands import standard_passband
from cbminer.synthetic.systems import BinarySystems

__all__ = ["Difference", "StarCurves", "largest_difference", "velocity_curves"]

# Half of the orbit: the other half mirrors it.
_PHASES = np.linspace(0.0, 0.5, 101)
# A star that shows less of its light than this has no line to measure.
_LEAST_LIGHT = 0.3
_TEFF_ROUNDING = 1.001


@dataclass(frozen=True)
class StarCurves:
    """Velocity curves of a star in one configuration, of the medians of its draws.

    Attributes
    ----------
    phase : `~numpy.ndarray`
        Phases from 0, the deeper minimum, to a half; shape (k,).
    point, weighted : `~numpy.ndarray`
        Velocities of the more and the less massive star about their barycentre in km/s, positive away from the
        observer: of point masses, and weighted by light in V; shape (2, k).
    light : `~numpy.ndarray`
        Light of each star over the most that it shows, shape (2, k).
    turned : bool
        Whether the less massive star is behind at phase 0; else the more massive one is.
    """

    phase: FloatArray
    point: FloatArray
    weighted: FloatArray
    light: FloatArray
    turned: bool = False

    def turn(self) -> "StarCurves":
        """Give the curves of the same binary with the other star behind at phase 0."""
        # Half an orbit later: the curves are odd about phase 0 and a half, and the light is even.
        return StarCurves(
            self.phase, -self.point[:, ::-1], -self.weighted[:, ::-1], self.light[:, ::-1], not self.turned
        )


@dataclass(frozen=True)
class Difference:
    """Where the curves of two configurations differ most.

    Attributes
    ----------
    phase : float
        Phase, between 0 and a half.
    velocity : float
        Difference there of the star that differs more, in km/s.
    """

    phase: float
    velocity: float


def velocity_curves(velocities: StarVelocities, *, period: float) -> dict[Configuration, StarCurves]:
    """Compute the velocity curves of the medians of draws.

    Parameters
    ----------
    velocities : mapping of {"contact", "near_contact"} to ExpectedVelocities
        What is expected of the star.
    period : float
        Days.

    Returns
    -------
    dict of {"contact", "near_contact"} to StarCurves
        Curves of the same configurations; the star behind at phase 0 is the one that a fit says, else the more massive.
    """
    found: dict[Configuration, StarCurves] = {}
    for configuration in CONFIGURATIONS:
        if configuration not in velocities:
            continue
        draws = velocities[configuration].draws
        unit = float(np.median(relative_velocity(draws.total_mass, period)))
        curves = light_weighted_velocities(_median_system(draws, configuration), _PHASES)
        one = StarCurves(_PHASES, unit * curves.point[0], unit * curves.weighted[0], curves.light[0])
        found[configuration] = one.turn() if velocities[configuration].turned else one
    return found


def largest_difference(curves: Mapping[Configuration, StarCurves]) -> Difference | None:
    """Find where light-weighted velocities in contact and near contact differ most.

    Parameters
    ----------
    curves : mapping of {"contact", "near_contact"} to StarCurves
        Curves of one star.

    Returns
    -------
    Difference or None
        None unless there are both. Phases at which less than 0.3 of the light of a star is seen do not count for it.
        Curves near contact are turned so that the same star is behind at phase 0 as in contact.
    """
    if len(curves) < len(CONFIGURATIONS):
        return None
    first, second = curves["contact"], curves["near_contact"]
    if second.turned != first.turned:
        second = second.turn()
    seen = np.minimum(first.light, second.light) >= _LEAST_LIGHT
    of_either = np.where(seen, np.abs(first.weighted - second.weighted), 0.0).max(axis=0)
    place = int(of_either.argmax())
    return Difference(float(_PHASES[place]), float(of_either[place]))


def _median_system(draws: BinaryDraws, configuration: Configuration) -> BinarySystems:
    q, inclination, filling = (float(np.median(getattr(draws, n))) for n in ("mass_ratio", "inclination", "filling"))
    lowest, highest = standard_passband("V").teff_range
    limits = lowest * _TEFF_ROUNDING, highest / _TEFF_ROUNDING
    teff_1, teff_2 = (float(np.clip(np.median(teff), *limits)) for teff in (draws.teff_1, draws.teff_2))
    if configuration == "contact":
        fillout = float(np.clip(filling, 0.01, 0.99))
        return BinarySystems.contact(q, inclination, fillout_factor=fillout, teff_1=teff_1, teff_2=teff_2)
    size = float(np.clip(filling, 0.5, 1.0))
    return BinarySystems.detached(
        q, inclination, lobe_filling_1=size, lobe_filling_2=size, teff_1=teff_1, teff_2=teff_2
    )
