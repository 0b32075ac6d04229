"""What the binaries of a labelled library are drawn from: masses, radii, temperatures and orbits by kind.

Priors are flat or nearly so in what a light curve can tell (mass ratio, fill-out, radii, inclination), so that a
classifier that is trained on them learns shapes; how frequent a shape is belongs to the populations.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from cbminer.columns import FloatArray
from cbminer.quantities import SettingsModel
from cbminer.synthetic.geometry import (
    fillout_factor,
    lobe_filling,
    potential_in_frame_2,
    sum_of_radii,
    volume_radius,
)
from cbminer.synthetic.main_sequence import (
    COOLING,
    LARGEST_GROWTH,
    orbital_period,
    salpeter_masses,
    zams_radius,
    zams_teff,
)
from cbminer.synthetic.systems import BinarySystems

__all__ = ["BINARY_KINDS", "BinaryDraw", "BinaryKind", "BinaryPriors", "draw_binaries"]

BinaryKind = Literal["contact", "near_contact", "semi_detached", "detached", "ellipsoidal"]
BINARY_KINDS: tuple[BinaryKind, ...] = ("contact", "near_contact", "semi_detached", "detached", "ellipsoidal")

# Fill-outs and lobes a little within their ends: the surface at the end is not smooth.
_FILLOUTS = (0.0, 0.99)


class BinaryPriors(SettingsModel):
    """Ranges of the binaries of a library."""

    least_mass: float = Field(
        default=3.0, ge=2.0, le=100.0, description="mass of star 1 in solar masses at least; the stars are hot ones"
    )
    most_mass: float = Field(default=60.0, ge=2.0, le=100.0, description="the same at most; Salpeter's law between")
    least_mass_ratio: float = Field(
        default=0.3, ge=0.05, le=1, description="mass of star 2 over that of star 1 at least; flat from there to 1"
    )
    near_contact_from: float = Field(
        default=0.9,
        ge=0.7,
        lt=1,
        description="both R / R_L at least that large, and below 1, make a pair near contact; the usual limit",
    )
    semi_detached_from: float = Field(
        default=0.4,
        gt=0,
        lt=0.9,
        description="least R / R_L of the star of a semi-detached pair that does not fill its lobe; assumed",
    )
    one_law: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="share of contact binaries with one law of gravity darkening over the whole envelope; assumed",
    )
    contact_teff_scatter: float = Field(
        default=0.04,
        ge=0,
        lt=0.3,
        description="scatter of T2 / T1 about 1 in the other contact binaries: about that of the known massive ones",
    )
    teff_scatter: float = Field(
        default=0.04,
        ge=0,
        lt=0.3,
        description="scatter of T2 / T1 about the square root of the mass ratio in pairs on the main sequence; assumed",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.least_mass >= self.most_mass:
            msg = "least_mass is not below most_mass: exchange them, or raise most_mass"
            raise ValueError(msg)
        return self


@dataclass(frozen=True, kw_only=True)
class BinaryDraw:
    """Binaries of one kind with all that is true of them; arrays of shape (n,).

    Attributes
    ----------
    systems : BinarySystems
        What the light-curve engine takes.
    mass_1, mass_2, radius_1, radius_2, separation : `~numpy.ndarray`
        In solar masses and radii; radii are those of spheres of equal volume.
    period : `~numpy.ndarray`
        Orbital period in days.
    fillout_factor : `~numpy.ndarray`
        Fill-out, NaN for pairs that are not in contact.
    lobe_filling_1, lobe_filling_2 : `~numpy.ndarray`
        R / R_L of both stars.
    """

    systems: BinarySystems
    mass_1: FloatArray
    mass_2: FloatArray
    radius_1: FloatArray
    radius_2: FloatArray
    separation: FloatArray
    period: FloatArray
    fillout_factor: FloatArray
    lobe_filling_1: FloatArray
    lobe_filling_2: FloatArray


def draw_binaries(kind: BinaryKind, n: int, *, priors: BinaryPriors, rng: np.random.Generator) -> BinaryDraw:
    """Draw binaries of one kind.

    Contact binaries have a flat fill-out. Near contact both stars fill between 0.9 and 1 of their lobes. In a
    semi-detached pair star 2, evolved and cooler, fills its lobe and star 1 from 0.4 to 0.9. Of detached pairs one
    star at least fills less than 0.9. Ellipsoidal variables are pairs near contact or detached, with 0.6 of the lobe
    filled at least, and seen so far from the side that nothing is eclipsed. Inclinations are isotropic, of
    ellipsoidal variables among those that are left.

    Parameters
    ----------
    kind : {"contact", "near_contact", "semi_detached", "detached", "ellipsoidal"}
        The kind.
    n : int
        Number of binaries.
    priors : BinaryPriors
        Ranges.
    rng : `~numpy.random.Generator`
        Source of randomness.

    Returns
    -------
    BinaryDraw
        The binaries.
    """
    q = rng.uniform(priors.least_mass_ratio, 1.0, n)
    mass = salpeter_masses(priors.least_mass, priors.most_mass, size=n, rng=rng)
    growth = rng.uniform(1.0, LARGEST_GROWTH, n)
    radius, teff = zams_radius(mass) * growth, zams_teff(mass) * growth**COOLING
    inclination = np.degrees(np.arccos(rng.random(n)))
    systems = _DRAWERS[kind](q, inclination, teff, priors, rng)
    return _with_sizes(systems, mass, radius)


_Drawer = Callable[[FloatArray, FloatArray, FloatArray, BinaryPriors, np.random.Generator], BinarySystems]


def _contact(
    q: FloatArray, inclination: FloatArray, teff: FloatArray, priors: BinaryPriors, rng: np.random.Generator
) -> BinarySystems:
    ratio = np.clip(1.0 + priors.contact_teff_scatter * rng.normal(size=len(q)), 0.6, 1.4)
    return BinarySystems.contact(
        q,
        inclination,
        fillout_factor=rng.uniform(*_FILLOUTS, len(q)),
        teff_1=teff,
        teff_2=np.where(rng.random(len(q)) < priors.one_law, np.nan, ratio * teff),
    )


def _near_contact(
    q: FloatArray, inclination: FloatArray, teff: FloatArray, priors: BinaryPriors, rng: np.random.Generator
) -> BinarySystems:
    fillings = rng.uniform(priors.near_contact_from, 1.0, (2, len(q)))
    return _main_sequence(q, inclination, teff, fillings, priors, rng)


def _semi_detached(
    q: FloatArray, inclination: FloatArray, teff: FloatArray, priors: BinaryPriors, rng: np.random.Generator
) -> BinarySystems:
    return BinarySystems.detached(
        q,
        inclination,
        lobe_filling_1=rng.uniform(priors.semi_detached_from, priors.near_contact_from, len(q)),
        lobe_filling_2=1.0,
        teff_1=teff,
        teff_2=teff * rng.uniform(0.45, 0.95, len(q)),
    )


def _detached(
    q: FloatArray, inclination: FloatArray, teff: FloatArray, priors: BinaryPriors, rng: np.random.Generator
) -> BinarySystems:
    fillings = rng.uniform(0.2, 1.0, (2, len(q)))
    while (close := (fillings >= priors.near_contact_from).all(axis=0)).any():
        fillings[:, close] = rng.uniform(0.2, 1.0, (2, int(close.sum())))
    return _main_sequence(q, inclination, teff, fillings, priors, rng)


def _ellipsoidal(
    q: FloatArray, _inclination: FloatArray, teff: FloatArray, priors: BinaryPriors, rng: np.random.Generator
) -> BinarySystems:
    fillings = rng.uniform(0.6, 1.0, (2, len(q)))
    seen_from_above = _main_sequence(q, np.zeros(len(q)), teff, fillings, priors, rng)
    touching = np.minimum(sum_of_radii(seen_from_above.potential_1, seen_from_above.potential_2, q), 1.0)
    inclination = np.degrees(np.arccos(rng.uniform(touching, 1.0)))
    return seen_from_above.at_inclination(inclination)


_DRAWERS: dict[BinaryKind, _Drawer] = {
    "contact": _contact,
    "near_contact": _near_contact,
    "semi_detached": _semi_detached,
    "detached": _detached,
    "ellipsoidal": _ellipsoidal,
}


def _main_sequence(
    q: FloatArray,
    inclination: FloatArray,
    teff: FloatArray,
    fillings: FloatArray,
    priors: BinaryPriors,
    rng: np.random.Generator,
) -> BinarySystems:
    """Make pairs whose temperatures follow their masses: T goes about with the root of the mass of B stars."""
    ratio = np.sqrt(q) * np.exp(priors.teff_scatter * rng.normal(size=len(q)))
    return BinarySystems.detached(
        q, inclination, lobe_filling_1=fillings[0], lobe_filling_2=fillings[1], teff_1=teff, teff_2=ratio * teff
    )


def _with_sizes(systems: BinarySystems, mass: FloatArray, radius: FloatArray) -> BinaryDraw:
    """Scale systems so that star 1 has its radius, and work out all that follows."""
    q = systems.mass_ratio
    relative_1 = volume_radius(systems.potential_1, q)
    own_2 = potential_in_frame_2(systems.potential_2, q)
    relative_2 = volume_radius(own_2, 1.0 / q)
    separation = radius / relative_1
    fillout = fillout_factor(systems.potential_1, q)
    return BinaryDraw(
        systems=systems,
        mass_1=mass,
        mass_2=q * mass,
        radius_1=radius,
        radius_2=relative_2 * separation,
        separation=separation,
        period=orbital_period(separation, (1.0 + q) * mass),
        fillout_factor=np.where(systems.is_contact, fillout, np.nan),
        lobe_filling_1=lobe_filling(systems.potential_1, q),
        lobe_filling_2=lobe_filling(own_2, 1.0 / q),
    )
