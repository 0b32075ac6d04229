"""Shapes of light curves: magnitudes below maximum light by cycle and band, without noise.

The seam is `LightCurveShape`. Everything else asks a shape only for magnitudes below maximum light, so that a
physical light-curve engine can take the place of the simple shapes here.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.polynomial import chebyshev

from cbminer.columns import FloatArray
from cbminer.synthetic.cadence import Band

__all__ = [
    "EclipsingShape",
    "FourierShape",
    "LightCurveShape",
    "SawtoothShape",
    "ShapeFigures",
    "WavesShape",
    "contact_shape",
    "measure_shape",
    "near_contact_shape",
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


class LightCurveShape(Protocol):
    """A light curve without noise: what a physical engine replaces."""

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


def measure_shape(shape: LightCurveShape) -> ShapeFigures:
    """Measure amplitude, epoch of the deepest minimum and depths of a shape in I.

    Parameters
    ----------
    shape : LightCurveShape
        Any shape.

    Returns
    -------
    ShapeFigures
        Its figures. The second minimum is the faintest point between a quarter and three quarters of a
        cycle after the first.
    """
    cycle = shape.relative_magnitude(_ONE_CYCLE, "I")[:-1]
    longer = shape.relative_magnitude(_MANY_CYCLES, "I")
    first = int(np.argmax(cycle))
    centred = np.roll(cycle, -first)
    quarter = len(cycle) // 4
    brightest = min(float(cycle.min()), float(longer.min()))
    faintest = max(float(cycle.max()), float(longer.max()))
    return ShapeFigures(
        amplitude=faintest - brightest,
        primary_cycle=float(_ONE_CYCLE[first]),
        depth1=float(cycle[first] - cycle.min()),
        depth2=float(centred[quarter : 3 * quarter + 1].max() - cycle.min()),
    )


def _magnitudes(flux: FloatArray, brightest: float) -> FloatArray:
    return np.asarray(-2.5 * np.log10(np.maximum(flux, 1e-3) / brightest))


# One star at a time is drawn, measured and observed.
@lru_cache(maxsize=8)
def _brightest(shape: "EclipsingShape | FourierShape", band: Band) -> float:
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
    for _ in range(6):
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


# Series of cosines that stand for contact and near-contact pairs until an engine does. Above, only `_brightest`
# names them.

# Fits to figures of PHOEBE 2.5.4 curves (hot stars, Johnson V, gravity darkening and albedo 1): S is one
# minus the mean flux of the two minima, D half the difference of these fluxes, a1, a2, a4 the cosine
# coefficients of the flux over its maximum. Each is a sum of coefficient[c][b][k] * (1 - q)^c * x^b *
# s^power[k] with s = sin^2 i; x is the fill-out of contact pairs and 10 (1 - R / R_L) of detached ones,
# whose T2/T1 = sqrt(q). Below the lowest inclination computed (30 and 40 deg) the fit is held to amplitudes
# that scale with s. Root mean square of the curves built here against the computed ones, and the largest
# difference:
#   contact, 66 curves:      d1 0.013 (0.052) mag, d2 0.011 (0.052) mag, W 0.0007 (0.0022)
#   near contact, 54 curves: d1 0.013 (0.031) mag, d2 0.012 (0.031) mag, W 0.0014 (0.0033)
_POWERS = np.array([1, 2, 4, 8, 16])
_ZERO = [[0.0] * 5] * 2
_CONTACT = {
    "S": [
        [[0.2577, -0.2347, 0.5698, -0.3675, 0.3546], [0.1791, -0.0428, 0.1653, -0.3117, 0.0947]],
        [[-0.1859, 0.6810, -1.3774, 1.6384, -1.0677], [-0.1384, 0.1468, -0.2181, 0.1243, 0.1248]],
    ],
    "D": [_ZERO, [[-0.0375, 0.0802, -0.0551, -0.0121, 0.0235], [0.0493, -0.1073, 0.1683, -0.1217, 0.0345]]],
    "a1": [_ZERO, [[0.0383, -0.0743, 0.0498, -0.0074, -0.0003], [-0.0436, 0.0870, -0.1113, 0.0687, -0.0231]]],
    "a2": [
        [[-0.1073, 0.0331, -0.1167, 0.0124, -0.0494], [-0.0842, -0.0117, -0.0148, 0.0732, -0.0221]],
        [[0.0174, -0.0577, 0.1861, -0.2664, 0.1891], [0.0789, -0.0745, 0.0488, 0.0299, -0.0778]],
    ],
    "a4": [
        [[-0.0117, 0.0477, -0.1086, 0.0477, -0.0525], [0.0032, -0.0157, 0.0292, 0.0216, -0.0084]],
        [[0.0350, -0.1265, 0.2201, -0.2390, 0.1545], [-0.0220, 0.0665, -0.0859, 0.0611, -0.0479]],
    ],
}
_NEAR_CONTACT = {
    "S": [
        [[0.2661, -0.4478, 1.0104, -0.7314, 0.4819], [-0.0554, 0.0351, -0.1543, 0.1721, -0.0235]],
        [[-0.2630, 0.8949, -1.5688, 1.6904, -1.0409], [0.0603, -0.1891, 0.1732, 0.0186, -0.0622]],
    ],
    "D": [_ZERO, [[0.0655, -0.0799, 0.1936, -0.1057, 0.1096], [-0.0001, -0.0274, 0.0137, 0.0147, 0.0081]]],
    "a1": [_ZERO, [[-0.0526, 0.0353, -0.0658, 0.0113, -0.0207], [0.0054, 0.0030, 0.0060, -0.0075, -0.0048]]],
    "a2": [
        [[-0.1110, 0.1244, -0.2795, 0.1110, -0.0721], [0.0372, -0.0566, 0.1422, -0.1273, 0.0309]],
        [[0.0727, -0.1900, 0.2579, -0.1960, 0.1065], [-0.0674, 0.2440, -0.3438, 0.2150, -0.0513]],
    ],
    "a4": [
        [[-0.0127, 0.0674, -0.1728, 0.0900, -0.0573], [-0.0008, -0.0035, 0.0360, -0.0482, 0.0075]],
        [[0.0087, -0.0375, 0.0711, -0.0476, 0.0349], [0.0096, -0.0384, 0.0900, -0.1255, 0.0664]],
    ],
}
_CONTACT_Q = (0.4, 1.0)
_NEAR_CONTACT_Q = (0.5, 1.0)
_NEAR_CONTACT_LOBE = (0.8, 1.0)


@dataclass(frozen=True)
class FourierShape:
    """A cosine series of the flux, the same in all bands.

    Attributes
    ----------
    cosine : tuple of float
        Coefficients from order 0 on; the flux is scaled to a maximum of one.
    """

    cosine: tuple[float, ...]

    def relative_magnitude(self, cycles: FloatArray, band: Band) -> FloatArray:
        """Magnitudes below maximum light; see `LightCurveShape`."""
        return _magnitudes(self.flux(cycles, band), _brightest(self, band))

    def flux(self, cycles: FloatArray, band: Band) -> FloatArray:  # noqa: ARG002
        """Flux in arbitrary units.

        Parameters
        ----------
        cycles : `~numpy.ndarray`
            Periods since the epoch.
        band : {"I", "V"}
            Photometric band.

        Returns
        -------
        `~numpy.ndarray`
            The flux.
        """
        # cos(k x) is the Chebyshev polynomial of order k in cos x.
        return np.asarray(chebyshev.chebval(np.cos(2 * np.pi * cycles), self.cosine))


def contact_shape(mass_ratio: float, fillout: float, inclination: float) -> FourierShape:
    """Shape of a contact binary of one temperature.

    Parameters
    ----------
    mass_ratio : float
        Mass ratio up to one; values below 0.4 are treated as 0.4.
    fillout : float
        Fill-out, 0 at the inner and 1 at the outer critical surface.
    inclination : float
        Inclination in radians.

    Returns
    -------
    FourierShape
        The shape, its deeper minimum near cycle 0.
    """
    q = float(np.clip(mass_ratio, *_CONTACT_Q))
    return _fitted_shape(_CONTACT, q, float(np.clip(fillout, 0.0, 1.0)), inclination)


def near_contact_shape(mass_ratio: float, lobe_filling: float, inclination: float) -> FourierShape:
    """Shape of two detached stars close to their Roche lobes, with T2/T1 the square root of the mass ratio.

    Parameters
    ----------
    mass_ratio : float
        Mass ratio up to one; values below 0.5 are treated as 0.5.
    lobe_filling : float
        Radius of both stars over their Roche lobes, 0.8 to 1.
    inclination : float
        Inclination in radians.

    Returns
    -------
    FourierShape
        The shape, its deeper minimum at cycle 0.
    """
    q = float(np.clip(mass_ratio, *_NEAR_CONTACT_Q))
    lobe = float(np.clip(lobe_filling, *_NEAR_CONTACT_LOBE))
    return _fitted_shape(_NEAR_CONTACT, q, 10.0 * (1.0 - lobe), inclination)


def _fitted_shape(
    fit: dict[str, list[list[list[float]]]], mass_ratio: float, x: float, inclination: float
) -> FourierShape:
    """Build the cosine series: a0, a3, a6 follow from the fluxes at the two minima and at quadrature."""
    powers = (np.sin(inclination) ** 2) ** _POWERS
    basis = np.multiply.outer(np.multiply.outer([1.0, 1.0 - mass_ratio], [1.0, x]), powers)
    value = {name: float((np.array(coefficients) * basis).sum()) for name, coefficients in fit.items()}
    a3 = -value["D"] - value["a1"]
    a0 = 1.0 - 0.5 * value["S"] - value["a4"]
    a6 = -0.5 * value["S"] - value["a2"]
    return FourierShape((a0, value["a1"], value["a2"], a3, value["a4"], 0.0, a6))
