"""Systems of every kind that a survey of eclipsing binaries lists: masses, radii, temperatures, orbits and light.

Primary masses follow Salpeter's power law and inclinations are isotropic. Whether a system would be in a
catalogue is decided elsewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from cbminer.columns import FloatArray
from cbminer.synthetic.geometry import lobe_radius, potential_in_frame_2, potential_of_fillout, volume_radius
from cbminer.synthetic.main_sequence import (
    COOLING,
    LARGEST_GROWTH,
    evolved,
    orbital_period,
    orbital_separation,
    salpeter_masses,
    zams_radius,
    zams_teff,
)
from cbminer.synthetic.shapes import EclipsingShape, LightCurveShape, SawtoothShape, WavesShape, roche_shape
from cbminer.synthetic.systems import BinarySystems
from cbminer.theory.colours import pair_photometry

__all__ = ["KINDS", "DrawnSystem", "draw_system"]

_MASS_RANGE = (3.0, 60.0)
# At the deepest the less massive star exceeds its Roche lobe by about a fifth.
_FILLOUTS = (0.01, 0.7)

# Envelopes of cooler stars are convective, those of hotter ones radiative: gravity darkening (Lucy 1967, ZA 65, 89;
# von Zeipel 1924, MNRAS 84, 665) and albedo (Rucinski 1969, AcA 19, 245).
_CONVECTIVE_BELOW = 7200.0
_CONVECTIVE, _RADIATIVE = (0.32, 0.5), (1.0, 1.0)

# (V-I)_0 of cool stars: round numbers of the dwarf sequence, good enough for stars that are there to be
# rejected.
_COOL_TEFF = np.array([3600.0, 4000.0, 4500.0, 5000.0, 5800.0, 7000.0, 8500.0, 10000.0])
_COOL_VI0 = np.array([2.00, 1.55, 1.15, 0.96, 0.70, 0.42, 0.15, 0.0])
_GIANT_BC_I = 0.5
_SUN_MBOL = 4.74
_SUN_TEFF = 5772.0

_LONGEST_PERIOD = 100.0
_CIRCULAR_BELOW = 3.0
# Shares inside a kind: W UMa stars of the Galaxy, red giants, hot magnetic stars.
_LATE_CONTACTS = 0.1
_RED_ELLIPSOIDALS = 0.5
_HOT_SPOTTED = 0.4


@dataclass(frozen=True)
class DrawnSystem:
    """A system as drawn: its light at maximum and all that makes its light curve. What is meaningless is NaN.

    Attributes
    ----------
    period : float
        Period of the shape in days: what a catalogue lists.
    M_I, VI0 : float
        Absolute magnitude and colour at maximum light; that of a pair of spheres for hot binaries.
    given_shape : LightCurveShape, optional
        The light curve of what the Roche engine does not compute: single stars and eccentric orbits.
    true_period : float
        Orbital, pulsation or rotation period in days.
    mass_1, mass_2, radius_1, radius_2 : float
        Masses and radii in solar units; radii of Roche lobes and of stars are those of spheres of equal volume.
    teff_1, teff_2 : float
        Effective temperatures in K; the mean one of the whole envelope, twice, in contact.
    separation : float
        Semi-major axis in solar radii.
    mass_ratio : float
        Mass of star 2 over that of star 1.
    lobe_filling_1, lobe_filling_2 : float
        Radius of each star over its Roche lobe; for eccentric orbits, over that at the mean distance.
    fillout : float
        Fill-out factor of a contact binary, 0 to 1.
    inclination : float
        Inclination in radians.
    eccentricity, periastron : float
        Eccentricity, and argument of periastron in radians.
    foreground : bool
        Whether it is a star of the Galaxy.
    """

    period: float
    M_I: float
    VI0: float
    given_shape: LightCurveShape | None = None
    true_period: float = np.nan
    mass_1: float = np.nan
    mass_2: float = np.nan
    radius_1: float = np.nan
    radius_2: float = np.nan
    teff_1: float = np.nan
    teff_2: float = np.nan
    separation: float = np.nan
    mass_ratio: float = np.nan
    lobe_filling_1: float = np.nan
    lobe_filling_2: float = np.nan
    fillout: float = np.nan
    inclination: float = np.nan
    eccentricity: float = np.nan
    periastron: float = np.nan
    foreground: bool = False

    @property
    def shape(self) -> LightCurveShape:
        """The light curve; one of the Roche engine is computed each time that it is asked for."""
        return self.given_shape or roche_shape(self.binary)

    @property
    def binary(self) -> BinarySystems:
        """A binary on a circular orbit as the Roche engine takes it, a batch of one."""
        (gravity_1, albedo_1), (gravity_2, albedo_2) = _envelope(self.teff_1), _envelope(self.teff_2)
        inclination = np.degrees(self.inclination)
        if np.isfinite(self.fillout):
            return BinarySystems.contact(
                self.mass_ratio,
                inclination,
                fillout_factor=self.fillout,
                teff_1=self.teff_1,
                gravity_darkening=gravity_1,
                albedo=albedo_1,
            )
        systems = BinarySystems.detached(
            self.mass_ratio,
            inclination,
            # A star that fills its lobe may exceed it by rounding.
            lobe_filling_1=min(self.lobe_filling_1, 1.0),
            lobe_filling_2=min(self.lobe_filling_2, 1.0),
            teff_1=self.teff_1,
            teff_2=self.teff_2,
            gravity_darkening=gravity_1,
            albedo=albedo_1,
        )
        if (gravity_2, albedo_2) == (gravity_1, albedo_1):
            return systems
        return replace(systems, gravity_darkening_2=np.array([gravity_2]), albedo_2=np.array([albedo_2]))


def draw_system(kind: str, rng: np.random.Generator) -> DrawnSystem:
    """Draw a system of one kind.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    rng : `~numpy.random.Generator`
        Source of randomness.

    Returns
    -------
    DrawnSystem
        The system.
    """
    return _DRAWERS[kind](rng)


_Two = tuple[float, float]


@dataclass(frozen=True)
class _Pair:
    masses: _Two
    radii: _Two
    teffs: _Two

    @property
    def total_mass(self) -> float:
        """Sum of the masses."""
        return sum(self.masses)

    @property
    def mass_ratio(self) -> float:
        """Mass of star 2 over that of star 1."""
        return self.masses[1] / self.masses[0]

    @cached_property
    def lobes(self) -> _Two:
        """Roche lobes of both stars in separations."""
        return _lobes(self.mass_ratio)


@dataclass(frozen=True)
class _Orbit:
    separation: float
    inclination: float
    eccentricity: float = 0.0
    periastron: float = np.nan


def _draw_contact(rng: np.random.Generator) -> DrawnSystem:
    if rng.random() < _LATE_CONTACTS:
        return _draw_late_contact(rng)
    mass, q, growth = _primary_mass(rng), 1.0 - 0.65 * rng.beta(1.0, 1.8), _growth(rng)
    fillout, inclination = float(rng.uniform(*_FILLOUTS)), _inclination(rng)
    sizes = _contact_sizes(fillout, q)
    radius_1 = float(zams_radius(mass)) * growth
    separation = radius_1 / sizes[0]
    radii = (radius_1, sizes[1] * separation)
    # The whole surface has one temperature: that of the light which the two stars would radiate alone.
    power = float(sum(zams_radius(m) ** 2 * zams_teff(m) ** 4 for m in (mass, q * mass)))
    teff = (power * growth ** (2 + 4 * COOLING) / sum(radius**2 for radius in radii)) ** 0.25
    pair = _Pair((mass, q * mass), radii, (teff, teff))
    return replace(_binary(pair, _Orbit(separation, inclination)), fillout=fillout)


def _draw_late_contact(rng: np.random.Generator) -> DrawnSystem:
    """Draw a contact binary of late type in the Galaxy, by the relation of Rucinski (1994, PASP 106, 462)."""
    q, fillout, inclination = float(rng.uniform(0.4, 1.0)), float(rng.uniform(0.05, 0.6)), _inclination(rng)
    period = float(rng.uniform(0.25, 0.6))
    # Short periods are red; the line and its scatter are rough.
    colour = float(1.45 - 1.6 * period + rng.normal(0.0, 0.07))
    v_mag = float(-4.43 * np.log10(period) + 3.63 * colour - 0.31)
    teff = _cool_teff(colour)
    sizes, lobes = _contact_sizes(fillout, q), _lobes(q)
    return DrawnSystem(
        period,
        v_mag - colour,
        colour,
        true_period=period,
        teff_1=teff,
        teff_2=teff,
        mass_ratio=q,
        lobe_filling_1=sizes[0] / lobes[0],
        lobe_filling_2=sizes[1] / lobes[1],
        fillout=fillout,
        inclination=inclination,
        eccentricity=0.0,
        foreground=True,
    )


def _draw_near_contact(rng: np.random.Generator) -> DrawnSystem:
    mass, q, filling = _primary_mass(rng), float(rng.uniform(0.5, 1.0)), float(rng.uniform(0.85, 1.0))
    radius_1, teff_1 = _star(mass, _growth(rng))
    lobes = _lobes(q)
    separation = radius_1 / (filling * lobes[0])
    radii = (radius_1, filling * lobes[1] * separation)
    pair = _Pair((mass, q * mass), radii, (teff_1, teff_1 * float(np.sqrt(q))))
    return _binary(pair, _Orbit(separation, _inclination(rng)))


def _draw_semi_detached(rng: np.random.Generator) -> DrawnSystem:
    """Draw a main-sequence star with an evolved, cooler and less massive one that fills its lobe."""
    mass, q = _primary_mass(rng), float(rng.uniform(0.2, 0.6))
    radius_1, teff_1 = _star(mass, _growth(rng))
    lobes = _lobes(q)
    separation = radius_1 / (0.8 * lobes[0]) * 10.0 ** float(rng.uniform(0.0, 0.5))
    radii = (radius_1, lobes[1] * separation)
    pair = _Pair((mass, q * mass), radii, (teff_1, teff_1 * float(rng.uniform(0.5, 0.85))))
    return _binary(pair, _Orbit(separation, _inclination(rng)))


def _draw_detached(rng: np.random.Generator) -> DrawnSystem:
    """Draw a main-sequence pair; periods are flat in the logarithm, and orbits beyond 3 d are eccentric."""
    pair = _main_sequence_pair(rng)
    shortest = float(orbital_period(_closest(pair, 0.8), pair.total_mass))
    period = shortest * (_LONGEST_PERIOD / shortest) ** rng.random()
    separation = float(orbital_separation(period, pair.total_mass))
    if period <= _CIRCULAR_BELOW:
        return _binary(pair, _Orbit(separation, _inclination(rng)))
    eccentricity = float(rng.uniform(0.0, min(0.4, 1.0 - sum(pair.radii) / (0.75 * separation))))
    periastron = float(rng.uniform(0.0, 2 * np.pi))
    return _eccentric(pair, _Orbit(separation, _inclination(rng), eccentricity, periastron))


def _draw_ellipsoidal(rng: np.random.Generator) -> DrawnSystem:
    if rng.random() < _RED_ELLIPSOIDALS:
        return _draw_red_ellipsoidal(rng)
    pair = _main_sequence_pair(rng)
    separation = _closest(pair, float(rng.uniform(0.75, 0.95)))
    return _binary(pair, _Orbit(separation, _uneclipsed(pair.radii, separation, rng)))


def _draw_red_ellipsoidal(rng: np.random.Generator) -> DrawnSystem:
    """Draw a red giant that nearly fills its lobe beside a star too small to be seen."""
    masses = (float(rng.uniform(0.9, 2.0)), float(rng.uniform(0.6, 1.5)))
    period = float(30.0 * (500.0 / 30.0) ** rng.random())
    separation = float(orbital_separation(period, sum(masses)))
    lobes = _lobes(masses[1] / masses[0])
    radius = float(rng.uniform(0.75, 1.0)) * lobes[0] * separation
    # A rough giant branch: 4900 K at 15 solar radii, cooler by 900 K at ten times that.
    teff = float(4900.0 - 900.0 * np.clip(np.log10(radius / 15.0), 0.0, 1.3) + rng.normal(0.0, 80.0))
    pair = _Pair(masses, (radius, 1.0), (teff, _SUN_TEFF))
    system = _binary(pair, _Orbit(separation, _uneclipsed(pair.radii, separation, rng)))
    bolometric = _SUN_MBOL - 5.0 * np.log10(radius) - 10.0 * np.log10(teff / _SUN_TEFF)
    return replace(system, M_I=float(bolometric - _GIANT_BC_I), VI0=_cool_colour(teff))


def _draw_pulsator(rng: np.random.Generator) -> DrawnSystem:
    """Draw a hot pulsator, an RR Lyrae star or a Cepheid; the light of the latter two is rough."""
    family = rng.choice(3, p=[0.5, 0.25, 0.25])
    if family == 0:
        pulsation = float(0.15 * 10.0 ** rng.random())
        shape = SawtoothShape(float(rng.uniform(0.03, 0.15)), float(rng.uniform(0.3, 0.48)), 1.1)
        return _single_star(shape, (2 * pulsation, pulsation), rng)
    if family == 1:
        shape = SawtoothShape(float(rng.uniform(0.2, 0.6)), float(rng.uniform(0.15, 0.3)), 1.5)
        pulsation = float(rng.uniform(0.4, 0.75))
        i_mag, colour = rng.normal(0.15, 0.12), rng.normal(0.5, 0.06)
    else:
        shape = SawtoothShape(float(rng.uniform(0.15, 0.5)), float(rng.uniform(0.2, 0.35)), 1.6)
        pulsation = float(10.0 ** rng.random())
        i_mag, colour = rng.normal(-2.0 - 2.95 * np.log10(pulsation), 0.15), rng.normal(0.62, 0.07)
    return DrawnSystem(2 * pulsation, float(i_mag), float(colour), shape, true_period=pulsation)


def _draw_spotted(rng: np.random.Generator) -> DrawnSystem:
    """Draw two waves, each beating with a neighbour: the curve changes over months and has no symmetry."""
    period = float(0.5 * 40.0 ** rng.random())
    drift = period / rng.uniform(80.0, 600.0, size=2)
    shape = WavesShape(
        (1.0, 1.0 + drift[0], 2.0, 2.0 + drift[1]),
        tuple(rng.uniform(0.005, 0.05, size=4)),
        tuple(rng.random(4)),
    )
    if rng.random() < _HOT_SPOTTED:
        return _single_star(shape, (period, period), rng)
    teff = float(rng.uniform(3800.0, 9500.0))
    # Foreground stars from late to A type, a rough main sequence and up to two magnitudes above it.
    i_mag = 6.2 - 0.75 * (teff - 3800.0) / 1000.0 - rng.uniform(0.0, 2.0)
    return DrawnSystem(
        period, float(i_mag), _cool_colour(teff), shape, true_period=period, teff_1=teff, foreground=True
    )


def _draw_be_like(rng: np.random.Generator) -> DrawnSystem:
    """Draw a hot star that wanders over weeks to years, with a small wave at the period that is listed."""
    period = float(0.4 * 100.0 ** rng.random())
    slow = period / (20.0 * (1500.0 / 20.0) ** rng.random(5))
    shape = WavesShape(
        (1.0, 2.0, *slow),
        (float(rng.uniform(0.01, 0.04)), float(rng.uniform(0.0, 0.02)), *rng.uniform(0.01, 0.12, size=5)),
        tuple(rng.random(7)),
    )
    star = _single_star(shape, (period, np.nan), rng)
    # The disc adds red light.
    disc = float(rng.uniform(0.0, 0.2))
    return replace(star, M_I=star.M_I - disc, VI0=star.VI0 + disc)


def _binary(pair: _Pair, orbit: _Orbit) -> DrawnSystem:
    """Put a binary together: period by Kepler's law, light from both stars as hot spheres."""
    period = float(orbital_period(orbit.separation, pair.total_mass))
    light = pair_photometry(pair.radii[0], pair.teffs[0], pair.radii[1], pair.teffs[1])
    return DrawnSystem(
        period,
        float(light.M_I),
        float(light.VI0),
        true_period=period,
        mass_1=pair.masses[0],
        mass_2=pair.masses[1],
        radius_1=pair.radii[0],
        radius_2=pair.radii[1],
        teff_1=pair.teffs[0],
        teff_2=pair.teffs[1],
        separation=orbit.separation,
        mass_ratio=pair.mass_ratio,
        lobe_filling_1=pair.radii[0] / (pair.lobes[0] * orbit.separation),
        lobe_filling_2=pair.radii[1] / (pair.lobes[1] * orbit.separation),
        inclination=orbit.inclination,
        eccentricity=orbit.eccentricity,
        periastron=orbit.periastron,
    )


def _eccentric(pair: _Pair, orbit: _Orbit) -> DrawnSystem:
    """Put a wide binary of two nearly round stars together."""
    shape = EclipsingShape(
        radius_1=pair.radii[0] / orbit.separation,
        radius_2=pair.radii[1] / orbit.separation,
        teff_1=pair.teffs[0],
        teff_2=pair.teffs[1],
        mass_ratio=pair.mass_ratio,
        inclination=orbit.inclination,
        eccentricity=orbit.eccentricity,
        periastron=orbit.periastron,
    )
    return replace(_binary(pair, orbit), given_shape=shape)


def _single_star(shape: LightCurveShape, periods: _Two, rng: np.random.Generator) -> DrawnSystem:
    """Make a single hot star of the main sequence, with its listed and its true period."""
    mass = _primary_mass(rng)
    radius, teff = _star(mass, _growth(rng))
    # A pair of twins is twice as bright as one of them and has its colour.
    twins = pair_photometry(radius, teff, radius, teff)
    i_mag = float(twins.M_I) + 2.5 * np.log10(2.0)
    return DrawnSystem(
        periods[0],
        i_mag,
        float(twins.VI0),
        shape,
        true_period=periods[1],
        mass_1=mass,
        radius_1=radius,
        teff_1=teff,
    )


def _main_sequence_pair(rng: np.random.Generator) -> _Pair:
    """Draw two stars of one age that know nothing of each other."""
    mass, q, growth = _primary_mass(rng), float(rng.uniform(0.3, 1.0)), _growth(rng)
    stars = (_star(mass, growth), _star(q * mass, 1.0 + (growth - 1.0) * q**2))
    return _Pair((mass, q * mass), (stars[0][0], stars[1][0]), (stars[0][1], stars[1][1]))


def _primary_mass(rng: np.random.Generator) -> float:
    return float(salpeter_masses(*_MASS_RANGE, rng=rng))


def _growth(rng: np.random.Generator) -> float:
    return float(rng.uniform(1.0, LARGEST_GROWTH))


def _star(mass: float, growth: float) -> _Two:
    """Radius and temperature of a star that has left the beginning of the main sequence."""
    radius, teff = evolved(zams_radius(mass), zams_teff(mass), growth=growth)
    return float(radius), float(teff)


def _inclination(rng: np.random.Generator) -> float:
    return float(np.arccos(rng.random()))


def _uneclipsed(radii: _Two, separation: float, rng: np.random.Generator) -> float:
    """Isotropic inclination without eclipses."""
    return float(np.arccos(rng.uniform(min(1.0, sum(radii) / separation), 1.0)))


def _envelope(teff: float) -> _Two:
    """Gravity darkening and albedo."""
    return _CONVECTIVE if teff < _CONVECTIVE_BELOW else _RADIATIVE


def _cool_colour(teff: float) -> float:
    return float(np.interp(teff, _COOL_TEFF, _COOL_VI0))


def _cool_teff(colour: float) -> float:
    return float(np.interp(colour, _COOL_VI0[::-1], _COOL_TEFF[::-1]))


def _closest(pair: _Pair, filling: float) -> float:
    """Separation at which the larger of two stars, as lobes go, fills this much of its lobe."""
    return max(radius / (filling * lobe) for radius, lobe in zip(pair.radii, pair.lobes, strict=True))


def _lobes(mass_ratio: float) -> _Two:
    """Radii of the Roche lobes of both stars in separations."""
    return _two(lobe_radius(np.array([mass_ratio, 1.0 / mass_ratio])))


def _contact_sizes(fillout: float, mass_ratio: float) -> _Two:
    """Radii of both stars of a contact binary in separations."""
    potential = potential_of_fillout(fillout, mass_ratio)
    potentials = np.array([potential, potential_in_frame_2(potential, mass_ratio)])
    return _two(volume_radius(potentials, np.array([mass_ratio, 1.0 / mass_ratio])))


def _two(numbers: FloatArray) -> _Two:
    return float(numbers[0]), float(numbers[1])


_DRAWERS: dict[str, Callable[[np.random.Generator], DrawnSystem]] = {
    "contact": _draw_contact,
    "near_contact": _draw_near_contact,
    "semi_detached": _draw_semi_detached,
    "detached": _draw_detached,
    "ellipsoidal": _draw_ellipsoidal,
    "pulsator_double_period": _draw_pulsator,
    "spotted": _draw_spotted,
    "be_like": _draw_be_like,
}

KINDS = tuple(_DRAWERS)
