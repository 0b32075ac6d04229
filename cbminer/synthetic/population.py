"""Systems of every kind that a survey of eclipsing binaries lists: masses, radii, temperatures, orbits and light.

Primary masses follow Salpeter's power law and inclinations are isotropic. Whether a system would be in a
catalogue is decided elsewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from cbminer.columns import FloatArray
from cbminer.synthetic.shapes import (
    EclipsingShape,
    LightCurveShape,
    SawtoothShape,
    WavesShape,
    contact_shape,
    near_contact_shape,
)
from cbminer.theory.colours import pair_photometry

__all__ = ["KINDS", "DrawnSystem", "draw_system"]

# Zero-age main sequence of the LMC by the period at which two twins touch: mass, that period, Teff. Radii
# follow from Kepler's law with R = 0.3789 a. Outside 5 to 30 solar masses the last logarithmic slopes go
# on.
_ZAMS_MASS = np.array([5.0, 8.0, 10.0, 12.3, 15.0, 20.0, 30.0])
_ZAMS_TOUCHING_PERIOD = np.array([0.60, 0.71, 0.78, 0.83, 0.90, 0.99, 1.16])
_ZAMS_TEFF = np.array([18.2e3, 23.4e3, 26.3e3, 28.8e3, 32.0e3, 36.3e3, 40.7e3])
_TWIN_LOBE = 0.3789
# Period in days = _KEPLER sqrt(a^3 / M), in solar radii and masses.
_KEPLER = 0.11594
_LOG_MASS = np.log(_ZAMS_MASS)
_LOG_RADIUS = np.log(_TWIN_LOBE * (2 * _ZAMS_MASS * (_ZAMS_TOUCHING_PERIOD / _KEPLER) ** 2) ** (1 / 3))
_LOG_TEFF = np.log(_ZAMS_TEFF)

_MASS_RANGE = (3.0, 60.0)
_SALPETER = 1.35
# At the end of the main sequence a star is this much larger than at its beginning, and its temperature has
# fallen with this power of the radius.
_LARGEST_GROWTH = 1.8
_COOLING = -0.25

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
    """A system as drawn: its light at maximum and its shape. What is meaningless for it is NaN.

    Attributes
    ----------
    shape : LightCurveShape
        The light curve.
    period : float
        Period of the shape in days: what a catalogue lists.
    M_I, VI0 : float
        Absolute magnitude and colour at maximum light; that of a pair of spheres for hot binaries.
    true_period : float
        Orbital, pulsation or rotation period in days.
    mass_1, mass_2, radius_1, radius_2 : float
        Masses and radii in solar units.
    teff_1, teff_2 : float
        Effective temperatures in K.
    separation : float
        Semi-major axis in solar radii.
    fillout : float
        Fill-out of a contact binary, 0 to 1.
    inclination : float
        Inclination in radians.
    eccentricity : float
        Eccentricity.
    foreground : bool
        Whether it is a star of the Galaxy.
    """

    shape: LightCurveShape
    period: float
    M_I: float
    VI0: float
    true_period: float = np.nan
    mass_1: float = np.nan
    mass_2: float = np.nan
    radius_1: float = np.nan
    radius_2: float = np.nan
    teff_1: float = np.nan
    teff_2: float = np.nan
    separation: float = np.nan
    fillout: float = np.nan
    inclination: float = np.nan
    eccentricity: float = np.nan
    foreground: bool = False

    @property
    def mass_ratio(self) -> float:
        """Mass of star 2 over that of star 1."""
        return self.mass_2 / self.mass_1

    @property
    def lobe_filling_1(self) -> float:
        """Radius of star 1 over its Roche lobe."""
        return self.radius_1 / (_roche_lobe(1.0 / self.mass_ratio) * self.separation)

    @property
    def lobe_filling_2(self) -> float:
        """Radius of star 2 over its Roche lobe."""
        return self.radius_2 / (_roche_lobe(self.mass_ratio) * self.separation)


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
    def mass_ratio(self) -> float:
        """Mass of star 2 over that of star 1."""
        return self.masses[1] / self.masses[0]


@dataclass(frozen=True)
class _Orbit:
    separation: float
    inclination: float
    eccentricity: float = 0.0
    periastron: float = 0.0


def _draw_contact(rng: np.random.Generator) -> DrawnSystem:
    if rng.random() < _LATE_CONTACTS:
        return _draw_late_contact(rng)
    mass, q, growth = _primary_mass(rng), 1.0 - 0.65 * rng.beta(1.0, 1.8), _growth(rng)
    filling, inclination = rng.uniform(1.0, 1.2), _inclination(rng)
    radius_1 = _zams_radius(mass) * growth
    separation = radius_1 / (filling * _roche_lobe(1.0 / q))
    radius_2 = filling * _roche_lobe(q) * separation
    # The whole surface has one temperature: that of the light which the two stars would radiate alone.
    power = sum(_zams_radius(m) ** 2 * _zams_teff(m) ** 4 for m in (mass, q * mass))
    teff = float((power * growth ** (2 + 4 * _COOLING) / (radius_1**2 + radius_2**2)) ** 0.25)
    fillout = (filling - 1.0) / _outer_lobe_excess(q)
    pair = _Pair((mass, q * mass), (radius_1, radius_2), (teff, teff))
    shape = contact_shape(q, fillout, inclination)
    return _binary(shape, pair, _Orbit(separation, inclination), fillout=fillout)


def _draw_late_contact(rng: np.random.Generator) -> DrawnSystem:
    """Draw a contact binary of late type in the Galaxy, by the relation of Rucinski (1994, PASP 106, 462)."""
    q, fillout, inclination = rng.uniform(0.4, 1.0), rng.uniform(0.05, 0.6), _inclination(rng)
    period = float(rng.uniform(0.25, 0.6))
    # Short periods are red; the line and its scatter are rough.
    colour = float(1.45 - 1.6 * period + rng.normal(0.0, 0.07))
    v_mag = float(-4.43 * np.log10(period) + 3.63 * colour - 0.31)
    return DrawnSystem(
        contact_shape(q, fillout, inclination),
        period,
        v_mag - colour,
        colour,
        true_period=period,
        fillout=float(fillout),
        inclination=inclination,
        eccentricity=0.0,
        foreground=True,
    )


def _draw_near_contact(rng: np.random.Generator) -> DrawnSystem:
    mass, q, growth = _primary_mass(rng), float(rng.uniform(0.5, 1.0)), _growth(rng)
    filling, inclination = float(rng.uniform(0.85, 1.0)), _inclination(rng)
    radius_1, teff_1 = _zams_radius(mass) * growth, _zams_teff(mass) * growth**_COOLING
    separation = radius_1 / (filling * _roche_lobe(1.0 / q))
    radius_2, teff_2 = filling * _roche_lobe(q) * separation, teff_1 * float(np.sqrt(q))
    pair = _Pair((mass, q * mass), (radius_1, radius_2), (teff_1, teff_2))
    return _binary(near_contact_shape(q, filling, inclination), pair, _Orbit(separation, inclination))


def _draw_semi_detached(rng: np.random.Generator) -> DrawnSystem:
    """Draw a main-sequence star with an evolved, cooler and less massive one that fills its lobe."""
    mass, q, growth = _primary_mass(rng), float(rng.uniform(0.2, 0.6)), _growth(rng)
    radius_1, teff_1 = _zams_radius(mass) * growth, _zams_teff(mass) * growth**_COOLING
    closest = radius_1 / (0.8 * _roche_lobe(1.0 / q))
    separation = closest * 10.0 ** float(rng.uniform(0.0, 0.5))
    radius_2, teff_2 = _roche_lobe(q) * separation, teff_1 * float(rng.uniform(0.5, 0.85))
    pair = _Pair((mass, q * mass), (radius_1, radius_2), (teff_1, teff_2))
    return _spheres(pair, _Orbit(separation, _inclination(rng)))


def _draw_detached(rng: np.random.Generator) -> DrawnSystem:
    """Draw a main-sequence pair; periods are flat in the logarithm, and orbits beyond 3 d are eccentric."""
    pair = _main_sequence_pair(rng)
    shortest = _period(_closest(pair, 0.8), sum(pair.masses))
    period = shortest * (_LONGEST_PERIOD / shortest) ** rng.random()
    separation = _separation(period, sum(pair.masses))
    eccentricity = 0.0
    if period > _CIRCULAR_BELOW:
        eccentricity = float(rng.uniform(0.0, min(0.4, 1.0 - sum(pair.radii) / (0.75 * separation))))
    periastron = float(rng.uniform(0.0, 2 * np.pi))
    return _spheres(pair, _Orbit(separation, _inclination(rng), eccentricity, periastron))


def _draw_ellipsoidal(rng: np.random.Generator) -> DrawnSystem:
    if rng.random() < _RED_ELLIPSOIDALS:
        return _draw_red_ellipsoidal(rng)
    pair = _main_sequence_pair(rng)
    separation = _closest(pair, float(rng.uniform(0.75, 0.95)))
    inclination = _uneclipsed(pair.radii, separation, rng)
    return _spheres(pair, _Orbit(separation, inclination))


def _draw_red_ellipsoidal(rng: np.random.Generator) -> DrawnSystem:
    """Draw a red giant that nearly fills its lobe beside a star too small to be seen."""
    masses = (float(rng.uniform(0.9, 2.0)), float(rng.uniform(0.6, 1.5)))
    period = float(30.0 * (500.0 / 30.0) ** rng.random())
    separation = _separation(period, sum(masses))
    radius = float(rng.uniform(0.75, 1.0)) * _roche_lobe(masses[0] / masses[1]) * separation
    # A rough giant branch: 4900 K at 15 solar radii, cooler by 900 K at ten times that.
    teff = float(4900.0 - 900.0 * np.clip(np.log10(radius / 15.0), 0.0, 1.3) + rng.normal(0.0, 80.0))
    inclination = _uneclipsed((radius, 1.0), separation, rng)
    shape = EclipsingShape(
        radius_1=radius / separation,
        radius_2=1.0 / separation,
        teff_1=teff,
        teff_2=_SUN_TEFF,
        mass_ratio=masses[1] / masses[0],
        inclination=inclination,
        limb_darkening=0.6,
        gravity_darkening=0.32,
    )
    bolometric = _SUN_MBOL - 5.0 * np.log10(radius) - 10.0 * np.log10(teff / _SUN_TEFF)
    return DrawnSystem(
        shape,
        period,
        float(bolometric - _GIANT_BC_I),
        _cool_colour(teff),
        true_period=period,
        mass_1=masses[0],
        mass_2=masses[1],
        radius_1=radius,
        radius_2=1.0,
        teff_1=teff,
        teff_2=_SUN_TEFF,
        separation=separation,
        inclination=inclination,
        eccentricity=0.0,
    )


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
    return DrawnSystem(shape, 2 * pulsation, float(i_mag), float(colour), true_period=pulsation)


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
        shape, period, float(i_mag), _cool_colour(teff), true_period=period, teff_1=teff, foreground=True
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


def _binary(shape: LightCurveShape, pair: _Pair, orbit: _Orbit, *, fillout: float = np.nan) -> DrawnSystem:
    """Put a hot binary together: period by Kepler's law, light from both stars."""
    period = _period(orbit.separation, sum(pair.masses))
    light = pair_photometry(pair.radii[0], pair.teffs[0], pair.radii[1], pair.teffs[1])
    return DrawnSystem(
        shape,
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
        fillout=fillout,
        inclination=orbit.inclination,
        eccentricity=orbit.eccentricity,
    )


def _spheres(pair: _Pair, orbit: _Orbit) -> DrawnSystem:
    """Put a binary of two nearly round stars together."""
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
    return _binary(shape, pair, orbit)


def _single_star(shape: LightCurveShape, periods: _Two, rng: np.random.Generator) -> DrawnSystem:
    """Make a single hot star of the main sequence, with its listed and its true period."""
    mass, growth = _primary_mass(rng), _growth(rng)
    radius, teff = _zams_radius(mass) * growth, _zams_teff(mass) * growth**_COOLING
    # A pair of twins is twice as bright as one of them and has its colour.
    twins = pair_photometry(radius, teff, radius, teff)
    i_mag = float(twins.M_I) + 2.5 * np.log10(2.0)
    return DrawnSystem(
        shape,
        periods[0],
        i_mag,
        float(twins.VI0),
        true_period=periods[1],
        mass_1=mass,
        radius_1=radius,
        teff_1=teff,
    )


def _main_sequence_pair(rng: np.random.Generator) -> _Pair:
    """Draw two stars of one age that know nothing of each other."""
    mass, q, growth = _primary_mass(rng), rng.uniform(0.3, 1.0), _growth(rng)
    growth_2 = 1.0 + (growth - 1.0) * q**2
    radii = (_zams_radius(mass) * growth, _zams_radius(q * mass) * growth_2)
    teffs = (_zams_teff(mass) * growth**_COOLING, _zams_teff(q * mass) * growth_2**_COOLING)
    return _Pair((mass, q * mass), radii, teffs)


def _primary_mass(rng: np.random.Generator) -> float:
    lowest, highest = (mass**-_SALPETER for mass in _MASS_RANGE)
    return float((lowest - rng.random() * (lowest - highest)) ** (-1.0 / _SALPETER))


def _growth(rng: np.random.Generator) -> float:
    return float(rng.uniform(1.0, _LARGEST_GROWTH))


def _inclination(rng: np.random.Generator) -> float:
    return float(np.arccos(rng.random()))


def _uneclipsed(radii: _Two, separation: float, rng: np.random.Generator) -> float:
    """Isotropic inclination without eclipses."""
    return float(np.arccos(rng.uniform(min(1.0, sum(radii) / separation), 1.0)))


def _zams_radius(mass: float) -> float:
    return float(np.exp(_interpolate(np.log(mass), _LOG_RADIUS)))


def _zams_teff(mass: float) -> float:
    return float(np.exp(_interpolate(np.log(mass), _LOG_TEFF)))


def _interpolate(log_mass: float, logs: FloatArray) -> float:
    """Interpolate between the entries of the main sequence, and go on with its end slopes."""
    position = int(np.clip(np.searchsorted(_LOG_MASS, log_mass), 1, len(_LOG_MASS) - 1))
    slope = (logs[position] - logs[position - 1]) / (_LOG_MASS[position] - _LOG_MASS[position - 1])
    return float(logs[position - 1] + slope * (log_mass - _LOG_MASS[position - 1]))


def _cool_colour(teff: float) -> float:
    return float(np.interp(teff, _COOL_TEFF, _COOL_VI0))


def _period(separation: float, total_mass: float) -> float:
    return float(_KEPLER * np.sqrt(separation**3 / total_mass))


def _separation(period: float, total_mass: float) -> float:
    return float((total_mass * (period / _KEPLER) ** 2) ** (1 / 3))


def _closest(pair: _Pair, filling: float) -> float:
    """Separation at which the larger of two stars, as lobes go, fills this much of its lobe."""
    lobes = (_roche_lobe(1.0 / pair.mass_ratio), _roche_lobe(pair.mass_ratio))
    return max(radius / (filling * lobe) for radius, lobe in zip(pair.radii, lobes, strict=True))


def _roche_lobe(mass_ratio: float) -> float:
    """Roche lobe of a star in separations by Eggleton (1983, ApJ 268, 368); its mass over its companion's."""
    third = mass_ratio ** (1 / 3)
    return float(0.49 * third**2 / (0.6 * third**2 + np.log1p(third)))


def _outer_lobe_excess(mass_ratio: float) -> float:
    """R / R_L - 1 of the less massive star at the outer critical surface (Menon et al. 2021)."""
    return float(0.29858997 * np.arctan(1.83530121 * mass_ratio**0.39661426))


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
