"""Shapes of light curves: magnitudes below maximum light by cycle and band, without noise.

The seam is `LightCurveShape`: everything else asks a shape only for magnitudes below maximum light. Binaries on
circular orbits have the curves of the Roche engine (`RocheShape`); eccentric ones, which it does not compute, two
spheres (`EclipsingShape`); single stars have waves.
"""

from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import Protocol

import numpy as np
from scipy.interpolate import Akima1DInterpolator

from cbminer.columns import FloatArray
from cbminer.synthetic.cadence import Band
from cbminer.synthetic.limb_darkening import LimbDarkeningTable
from cbminer.synthetic.passbands import standard_passband
from cbminer.synthetic.roche import RocheEngine
from cbminer.synthetic.systems import BinarySystems

__all__ = [
    "EclipsingShape",
    "LightCurveShape",
    "RocheShape",
    "SawtoothShape",
    "ShapeFigures",
    "WavesShape",
    "measure_shape",
    "roche_shape",
    "roche_shapes",
]

_ONE_CYCLE = np.linspace(0.0, 1.0, 401)
# Irregular stars show their range only over many cycles; the step is no fraction of a cycle.
_MANY_CYCLES = np.linspace(0.0, 97.3, 301)

_WAVELENGTH = {"I": 0.80, "V": 0.55}
_SECOND_RADIATION = 14387.77
_N_RINGS = 4
# Share of the light of one star that its companion returns in the optical: most of it leaves in the
# ultraviolet.
_OPTICAL_ALBEDO = 0.3

# Resolution of the engine: errors of its curves of a few millimagnitudes, below those of the survey's points.
_N_BANDS = 24
# Nodes of half a cycle, four times as dense at the conjunctions, where eclipses begin and end, as on the whole.
_WAY = np.linspace(0.0, 1.0, 81)
_HALF_CYCLE = 0.5 * (_WAY - 0.75 * np.sin(2 * np.pi * _WAY) / (2 * np.pi))
# Linear coefficients of limb darkening: those of the published comparison curves for hot stars, and round numbers
# assumed for stars of solar type and cooler.
_LIMB_TEFF = (6500.0, 10000.0)
_LIMB = {"I": (0.50, 0.30), "V": (0.65, 0.30)}


class LightCurveShape(Protocol):
    """A light curve without noise."""

    def relative_magnitude(self, cycles: FloatArray, band: Band) -> FloatArray:
        """Magnitudes below maximum light.

        Parameters
        ----------
        cycles : `~numpy.ndarray`
            Periods since an epoch, not folded, so that a shape may change from cycle to cycle.
        band : {"I", "V"}
            Photometric band.

        Returns
        -------
        `~numpy.ndarray`
            Magnitudes, zero at maximum and positive below it.
        """


@dataclass(frozen=True)
class EclipsingShape:
    """Two limb-darkened spheres on an orbit, with ellipsoidal and reflection terms added.

    Cycle 0 is the conjunction at which star 2 is in front. The ellipsoidal term is the first one of Morris
    and Naftilan (1993, ApJ 419, 344), ``0.15 (15 + u) (1 + g) / (3 - u) q (R / d)^3 sin^2 i``.

    Attributes
    ----------
    radius_1, radius_2 : float
        Radii in semi-major axes.
    teff_1, teff_2 : float
        Effective temperatures in K.
    mass_ratio : float
        Mass of star 2 over that of star 1.
    inclination : float
        Inclination in radians.
    eccentricity, periastron : float
        Eccentricity, and argument of periastron in radians.
    limb_darkening, gravity_darkening : float
        Linear coefficient u, and gravity-darkening exponent g of both stars.
    """

    radius_1: float
    radius_2: float
    teff_1: float
    teff_2: float
    mass_ratio: float
    inclination: float
    eccentricity: float = 0.0
    periastron: float = 0.0
    limb_darkening: float = 0.3
    gravity_darkening: float = 0.5

    def relative_magnitude(self, cycles: FloatArray, band: Band) -> FloatArray:
        """Magnitudes below maximum light; see `LightCurveShape`."""
        return _magnitudes(self.flux(cycles, band), _brightest(self, band))

    def flux(self, cycles: FloatArray, band: Band) -> FloatArray:
        """Flux in units of that of the two spheres without eclipses and tides.

        Parameters
        ----------
        cycles : `~numpy.ndarray`
            Periods since conjunction.
        band : {"I", "V"}
            Photometric band.

        Returns
        -------
        `~numpy.ndarray`
            The flux.
        """
        angle, distance = _orbit(cycles, self.eccentricity, self.periastron)
        share_1 = self._light_share(band)
        share_2 = 1.0 - share_1
        sin_i = np.sin(self.inclination)
        projected = distance * np.sqrt(np.clip(1.0 - (sin_i * np.cos(angle)) ** 2, 0.0, None))
        front_2 = np.cos(angle) > 0
        hidden_1 = _hidden_share(projected, self.radius_1, self.radius_2, self.limb_darkening)
        hidden_2 = _hidden_share(projected, self.radius_2, self.radius_1, self.limb_darkening)
        eclipsed = np.where(front_2, share_1 * hidden_1, share_2 * hidden_2)
        tides = share_1 * self.mass_ratio * self.radius_1**3 + share_2 * self.radius_2**3 / self.mass_ratio
        ellipsoidal = self._tidal_factor() * tides * sin_i**2 * np.cos(2 * angle) / distance**3
        heated = share_1 * self.radius_2**2 - share_2 * self.radius_1**2
        reflected = _OPTICAL_ALBEDO * heated * sin_i * np.cos(angle) / distance**2
        return np.asarray(1.0 - eclipsed - ellipsoidal - reflected)

    def _light_share(self, band: Band) -> float:
        light_1 = self.radius_1**2 * _surface_brightness(self.teff_1, band)
        light_2 = self.radius_2**2 * _surface_brightness(self.teff_2, band)
        return light_1 / (light_1 + light_2)

    def _tidal_factor(self) -> float:
        limb, gravity = self.limb_darkening, self.gravity_darkening
        return 0.15 * (15.0 + limb) * (1.0 + gravity) / (3.0 - limb)


@dataclass(frozen=True, eq=False)
class RocheShape:
    """A curve of the Roche engine, interpolated smoothly between the phases at which it was computed.

    Cycle 0 is the conjunction at which star 2 is in front. The curve is periodic, and symmetric about the
    conjunctions.

    Attributes
    ----------
    phases : `~numpy.ndarray`
        Phases, increasing from 0 to 0.5, shape (n,).
    flux_I, flux_V : `~numpy.ndarray`
        Fluxes in both bands, in any unit, shape (n,).
    """

    phases: FloatArray
    flux_I: FloatArray
    flux_V: FloatArray

    def relative_magnitude(self, cycles: FloatArray, band: Band) -> FloatArray:
        """Magnitudes below maximum light; see `LightCurveShape`."""
        brightest = self.flux_V.max() if band == "V" else self.flux_I.max()
        return _magnitudes(self.flux(cycles, band), float(brightest))

    def flux(self, cycles: FloatArray, band: Band) -> FloatArray:
        """Flux in the unit of `flux_I` and `flux_V`.

        Parameters
        ----------
        cycles : `~numpy.ndarray`
            Periods since conjunction.
        band : {"I", "V"}
            Photometric band.

        Returns
        -------
        `~numpy.ndarray`
            The flux.
        """
        fluxes = self._curves(np.abs(cycles - np.round(cycles)))
        return np.asarray(fluxes[..., 1 if band == "V" else 0])

    @cached_property
    def _curves(self) -> Akima1DInterpolator:
        """Both curves by Akima's cubics, which do not swing where an eclipse begins."""
        flux = np.stack([self.flux_I, self.flux_V], axis=1)
        # Three mirrored nodes on each side, as many as a cubic hears of, make the curves flat at the conjunctions.
        phases = np.concatenate([-self.phases[3:0:-1], self.phases, 1.0 - self.phases[-2:-5:-1]])
        return Akima1DInterpolator(phases, np.concatenate([flux[3:0:-1], flux, flux[-2:-5:-1]]))


def roche_shape(systems: BinarySystems) -> RocheShape:
    """Compute the shape of one binary.

    Parameters
    ----------
    systems : BinarySystems
        A batch of one.

    Returns
    -------
    RocheShape
        Its shape; see `roche_shapes`.

    Raises
    ------
    ValueError
        If the batch holds more or less than one system.
    """
    (shape,) = roche_shapes(systems)
    return shape


def roche_shapes(systems: BinarySystems) -> list[RocheShape]:
    """Compute the shapes of binaries on circular orbits with the Roche engine.

    Parameters
    ----------
    systems : BinarySystems
        The binaries.

    Returns
    -------
    list of RocheShape
        A shape a system, in I and V with black bodies. Limb darkening is linear, with 0.30 for stars hotter than
        10,000 K, and with assumed coefficients of 0.50 in I and 0.65 in V for those cooler than 6500 K.
    """
    curves = _engine().light_curves(systems, _HALF_CYCLE)
    return [RocheShape(_HALF_CYCLE, flux_I, flux_V) for flux_I, flux_V in curves]


@cache
def _engine() -> RocheEngine:
    """Make the engine; one thread, since a survey is drawn star by star."""
    bands = [
        standard_passband(name).darkened_by(LimbDarkeningTable("linear", _LIMB_TEFF, _LIMB[name]))
        for name in ("I", "V")
    ]
    return RocheEngine(passbands=bands, n_bands=_N_BANDS, threads=1)


@dataclass(frozen=True)
class SawtoothShape:
    """A pulsation listed at twice its period: a quick rise and a slow decline, twice a cycle.

    Attributes
    ----------
    amplitude : float
        Peak-to-peak range in I in magnitudes.
    rise : float
        Share of the pulsation that the rise takes.
    colour_ratio : float
        Range in V over that in I.
    """

    amplitude: float
    rise: float
    colour_ratio: float

    def relative_magnitude(self, cycles: FloatArray, band: Band) -> FloatArray:
        """Magnitudes below maximum light; see `LightCurveShape`."""
        phase = np.mod(2.0 * cycles, 1.0)
        angle = np.where(phase < self.rise, phase / self.rise, (1.0 - phase) / (1.0 - self.rise))
        amplitude = self.amplitude * (self.colour_ratio if band == "V" else 1.0)
        return np.asarray(0.5 * amplitude * (1.0 + np.cos(np.pi * angle)))


@dataclass(frozen=True)
class WavesShape:
    """A sum of waves.

    Waves of nearly one frequency beat, as changing spots do; slow ones wander, as Be stars do.

    Attributes
    ----------
    frequencies : tuple of float
        Waves a listed period.
    amplitudes : tuple of float
        Peak-to-peak ranges in magnitudes.
    phases : tuple of float
        Phases of maximum light, 0 to 1.
    """

    frequencies: tuple[float, ...]
    amplitudes: tuple[float, ...]
    phases: tuple[float, ...]

    def relative_magnitude(self, cycles: FloatArray, band: Band) -> FloatArray:  # noqa: ARG002
        """Magnitudes below maximum light; see `LightCurveShape`."""
        angles = 2 * np.pi * (np.multiply.outer(np.asarray(cycles), self.frequencies) - np.array(self.phases))
        return np.asarray((0.5 * np.array(self.amplitudes) * (1.0 - np.cos(angles))).sum(axis=-1))


@dataclass(frozen=True)
class ShapeFigures:
    """What the catalogue lists of a shape.

    Attributes
    ----------
    amplitude : float
        Peak-to-peak range in I in magnitudes, over many cycles.
    primary_cycle : float
        Cycle of the deepest minimum, 0 to 1.
    depth1, depth2 : float
        Depths of the minima in I below maximum light in magnitudes.
    """

    amplitude: float
    primary_cycle: float
    depth1: float
    depth2: float


_PERIODIC = (EclipsingShape, RocheShape, SawtoothShape)


def measure_shape(shape: LightCurveShape) -> ShapeFigures:
    """Measure amplitude, epoch of the deepest minimum and depths of a shape in I.

    Parameters
    ----------
    shape : LightCurveShape
        Any shape.

    Returns
    -------
    ShapeFigures
        Its figures. The minima of the engine are at the conjunctions; otherwise the second one is the faintest
        point between a quarter and three quarters of a cycle after the first.
    """
    # Other shapes may change from cycle to cycle.
    cycle = shape.relative_magnitude(_ONE_CYCLE, "I")[:-1]
    longer = cycle if isinstance(shape, _PERIODIC) else shape.relative_magnitude(_MANY_CYCLES, "I")
    first, second = _minima(shape, cycle)
    brightest = min(float(cycle.min()), float(longer.min()))
    faintest = max(float(cycle.max()), float(longer.max()))
    return ShapeFigures(
        amplitude=faintest - brightest,
        primary_cycle=float(_ONE_CYCLE[first]),
        depth1=float(cycle[first] - cycle.min()),
        depth2=float(cycle[second] - cycle.min()),
    )


def _minima(shape: LightCurveShape, cycle: FloatArray) -> tuple[int, int]:
    """Find the places of the deepest minimum and of the one about half a cycle from it."""
    if isinstance(shape, RocheShape):
        # They are at the conjunctions, even where the mesh makes ripples at the bottom of a total eclipse.
        half = len(cycle) // 2
        return (0, half) if cycle[0] >= cycle[half] else (half, 0)
    first, quarter = int(np.argmax(cycle)), len(cycle) // 4
    later = first + quarter + int(np.argmax(np.roll(cycle, -first)[quarter : 3 * quarter + 1]))
    return first, later % len(cycle)


def _magnitudes(flux: FloatArray, brightest: float) -> FloatArray:
    return np.asarray(-2.5 * np.log10(np.maximum(flux, 1e-3) / brightest))


# One star at a time is drawn, measured and observed.
@lru_cache(maxsize=8)
def _brightest(shape: EclipsingShape, band: Band) -> float:
    return float(shape.flux(_ONE_CYCLE, band).max())


def _orbit(cycles: FloatArray, eccentricity: float, periastron: float) -> tuple[FloatArray, FloatArray]:
    """Angle from conjunction in radians and distance in semi-major axes, by Kepler's equation."""
    if eccentricity == 0.0:
        return 2 * np.pi * cycles, np.ones_like(cycles)
    factor = np.sqrt((1 + eccentricity) / (1 - eccentricity))
    at_conjunction = np.pi / 2 - periastron
    anomaly = 2 * np.arctan(np.tan(at_conjunction / 2) / factor)
    mean = anomaly - eccentricity * np.sin(anomaly) + 2 * np.pi * cycles
    eccentric = mean + eccentricity * np.sin(mean)
    # Newton steps double the digits from two on; orbits here have eccentricities of 0.4 at most.
    for _ in range(4):
        step = eccentric - eccentricity * np.sin(eccentric) - mean
        eccentric = eccentric - step / (1 - eccentricity * np.cos(eccentric))
    # The half-angle formula folds true anomalies into one turn, which cosines do not mind.
    true = 2 * np.arctan2(factor * np.sin(eccentric / 2), np.cos(eccentric / 2))
    return true - at_conjunction, 1 - eccentricity * np.cos(eccentric)


def _surface_brightness(teff: float, band: Band) -> float:
    return float(1.0 / np.expm1(_SECOND_RADIATION / (_WAVELENGTH[band] * teff)))


def _hidden_share(separation: FloatArray, radius: float, occulter: float, limb: float) -> FloatArray:
    """Share of a limb-darkened disc that a dark disc hides: a pile of a few uniform discs stands for it."""
    edges = radius * np.sqrt(np.arange(1, _N_RINGS + 1) / _N_RINGS)
    middle = np.sqrt((np.arange(_N_RINGS) + 0.5) / _N_RINGS)
    intensity = 1.0 - limb * (1.0 - np.sqrt(1.0 - middle**2))
    added = intensity - np.append(intensity[1:], 0.0)
    hidden = np.zeros_like(separation)
    touching = separation < radius + occulter
    areas = _overlap(separation[touching, np.newaxis], edges, occulter)
    hidden[touching] = areas @ added / (np.pi * (added * edges**2).sum())
    return hidden


def _overlap(separation: FloatArray, radius: FloatArray, other: float) -> FloatArray:
    """Area that two circles share."""
    d = np.maximum(separation, 1e-9)
    angle = np.arccos(np.clip((d**2 + radius**2 - other**2) / (2 * d * radius), -1.0, 1.0))
    other_angle = np.arccos(np.clip((d**2 + other**2 - radius**2) / (2 * d * other), -1.0, 1.0))
    kite = (-d + radius + other) * (d + radius - other) * (d - radius + other) * (d + radius + other)
    area = radius**2 * angle + other**2 * other_angle - 0.5 * np.sqrt(np.maximum(kite, 0.0))
    return np.asarray(area)
