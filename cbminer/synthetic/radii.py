"""Eclipsing pairs spread evenly over the sum of their relative radii, which orders light curves by their detachment."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from cbminer.columns import FloatArray
from cbminer.errors import SettingsError
from cbminer.quantities import SettingsModel
from cbminer.synthetic.geometry import eggleton_lobe_radius, sum_of_radii
from cbminer.synthetic.main_sequence import COOLING, LARGEST_GROWTH, salpeter_masses, zams_teff
from cbminer.synthetic.priors import BinaryKind, BinaryPriors, draw_binaries
from cbminer.synthetic.systems import BinarySystems

__all__ = ["EclipsingPairs", "RadiiSettings", "draw_by_radii"]

_BINS = 36
# Pairs of each kind that are drawn for one that is kept: enough to fill every bin of the sum of radii.
_POOL: tuple[tuple[BinaryKind, float], ...] = (("contact", 3.0), ("near_contact", 1.5), ("semi_detached", 1.5))
_POOL_DETACHED = 5.0
_MOST_POOLS = 12
_RADIUS_EXPONENT, _RADIUS_SCATTER = 0.7, 0.25


class RadiiSettings(SettingsModel):
    """Ranges of the pairs."""

    least_sum: float = Field(default=0.08, gt=0, lt=1, description="sum of the radii over the separation at least")
    most_sum: float = Field(default=1.0, gt=0, le=1.0, description="the same at most; contact begins near 0.76")
    least_mass_ratio: float = Field(default=0.15, ge=0.05, le=1, description="mass ratio at least; flat up to 1")
    most_impact: float = Field(
        default=0.95, gt=0, le=1, description="cos i over the sum of radii at most; eclipses vanish near 1"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.least_sum >= self.most_sum:
            msg = "least_sum is not below most_sum: exchange them, or raise most_sum"
            raise ValueError(msg)
        return self


@dataclass(frozen=True)
class EclipsingPairs:
    """Pairs and what orders them.

    Attributes
    ----------
    systems : BinarySystems
        The n pairs.
    sum_of_radii : `~numpy.ndarray`
        Radii of spheres of equal volume over the separation, added, shape (n,).
    """

    systems: BinarySystems
    sum_of_radii: FloatArray


def draw_by_radii(n: int, *, settings: RadiiSettings, rng: np.random.Generator) -> EclipsingPairs:
    """Draw eclipsing pairs evenly in the sum of their relative radii.

    Contact, near contact, semi-detached and detached pairs of the library's priors, detached ones with smaller stars
    too, at inclinations that are isotropic among those with eclipses.

    Parameters
    ----------
    n : int
        Number of pairs.
    settings : RadiiSettings
        Ranges.
    rng : `~numpy.random.Generator`
        Source of randomness.

    Returns
    -------
    EclipsingPairs
        The pairs, in random order.

    Raises
    ------
    SettingsError
        If the pairs of the priors do not fill the range.
    """
    pool, total = _pool(n, settings, rng)
    edges = np.linspace(settings.least_sum, settings.most_sum, _BINS + 1)
    for _more in range(_MOST_POOLS):
        bins = np.digitize(total, edges) - 1
        if len(np.unique(bins[(bins >= 0) & (bins < _BINS)])) == _BINS:
            break
        further, further_total = _pool(n, settings, rng)
        pool, total = _joined([pool, further]), np.concatenate([total, further_total])
    else:
        wanted_range = f"{settings.least_sum:g} to {settings.most_sum:g}"
        msg = f"no pairs fill the range of the sum of radii from {wanted_range}: widen it"
        raise SettingsError(msg)
    chosen: list[int] = []
    for number, wanted in enumerate(_shares(n)):
        members = np.flatnonzero(bins == number)
        chosen += rng.choice(members, wanted, replace=len(members) < wanted).tolist()
    order = rng.permutation(np.array(chosen, dtype=np.int64))
    cosine = rng.uniform(0.0, settings.most_impact, len(order)) * np.minimum(total[order], 1.0)
    return EclipsingPairs(pool[order].at_inclination(np.degrees(np.arccos(cosine))), total[order])


def _pool(n: int, settings: RadiiSettings, rng: np.random.Generator) -> tuple[BinarySystems, FloatArray]:
    """Draw pairs to choose from, and their sums of radii."""
    priors = BinaryPriors(least_mass_ratio=settings.least_mass_ratio)
    pools = [draw_binaries(kind, _size(n, share), priors=priors, rng=rng).systems for kind, share in _POOL]
    pool = _joined([*pools, _detached(_size(n, _POOL_DETACHED), settings, priors, rng)])
    return pool, sum_of_radii(pool.potential_1, pool.potential_2, pool.mass_ratio)


def _size(n: int, share: float) -> int:
    return max(10 * _BINS, int(n * share))


def _shares(n: int) -> list[int]:
    """Pairs a bin: n in all."""
    return [n // _BINS + (1 if number < n % _BINS else 0) for number in range(_BINS)]


def _detached(n: int, settings: RadiiSettings, priors: BinaryPriors, rng: np.random.Generator) -> BinarySystems:
    """Detached pairs on the main sequence, down to small stars on wide orbits.

    Radii go with the mass to the power of 0.7, with a scatter as stars grow at their own pace. Independent radii would
    put tiny companions beside stars that fill their lobes, whose curves are those of ellipsoidal variables.
    """
    mass_ratio = rng.uniform(settings.least_mass_ratio, 1.0, n)
    radius_ratio = mass_ratio**_RADIUS_EXPONENT * np.exp(_RADIUS_SCATTER * rng.normal(size=n))
    lobe_1, lobe_2 = eggleton_lobe_radius(mass_ratio), eggleton_lobe_radius(1.0 / mass_ratio)
    filling = rng.uniform(0.08, 0.98, n)
    fillings = np.clip([filling, filling * radius_ratio * lobe_1 / lobe_2], 0.05, 0.98)
    mass = salpeter_masses(priors.least_mass, priors.most_mass, size=n, rng=rng)
    teff = zams_teff(mass) * rng.uniform(1.0, LARGEST_GROWTH, n) ** COOLING
    ratio = np.sqrt(mass_ratio) * np.exp(priors.teff_scatter * rng.normal(size=n))
    return BinarySystems.detached(
        mass_ratio,
        90.0,
        lobe_filling_1=fillings[0],
        lobe_filling_2=fillings[1],
        teff_1=teff,
        teff_2=ratio * teff,
    )


def _joined(parts: list[BinarySystems]) -> BinarySystems:
    columns = {
        item.name: np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(BinarySystems)
    }
    return BinarySystems(**columns)
