"""Magnitudes and colour of unresolved pairs of hot stars, from what evolution models say of each star."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from cbminer.columns import FloatArray
from cbminer.quantities import SettingsModel
from cbminer.synthetic.passbands import BESSELL, Passband
from cbminer.theory.atmospheres import AtmosphereTable, StarColours, plain_numbers, read_atmospheres
from cbminer.theory.colours import DWARF_COLOURS, bolometric_correction_v

__all__ = [
    "ColourSettings",
    "ColourSource",
    "PairColours",
    "Photosphere",
    "log_gravity",
    "pair_colours",
    "star_colours",
]

ColourSource = Literal["kurucz", "pecaut-mamajek", "blackbody"]

# IAU 2015 resolutions B2 and B3: M_bol of the Sun, and log10 of its gravity in cm/s2.
_M_BOL_SUN = 4.74
_LOG_G_SUN = 4.438
# The range in which both the relations of BC_V and the dwarf sequence hold, K.
_DWARF_RANGE = (15000.0, float(DWARF_COLOURS.teff[-1]))
# Down to here stars cooler than all atmospheres count, as companions that add little light.
# CODATA 2018: 2 h c^2 in W m2 and the constant of Stefan & Boltzmann in W m-2 K-4; one over micrometres to the fifth.
_LOG_COOLEST = np.log10(5000.0)
_FIRST_RADIATION, _STEFAN_BOLTZMANN, _PER_MICRON_5 = 1.191042972e-16, 5.670374419e-8, 1e30


class ColourSettings(SettingsModel):
    """Where magnitudes and colours of models come from."""

    source: ColourSource = Field(
        default="kurucz",
        description="kurucz: model atmospheres (Castelli & Kurucz 2004 in V, Kurucz 1993 in V-I), by gravity and "
        "abundance; pecaut-mamajek: observed dwarf sequence (2013, ApJS 208, 9), from which the relation of mode = "
        "derived comes, with BC_V of Lanz & Hubeny (2007) and Martins et al. (2005); blackbody: for comparison. The "
        "sequence is bluer than the atmospheres by 0.02 mag at 15 kK, 0.045 at 25 kK and 0.08 from 33 kK on",
    )


@dataclass(frozen=True)
class Photosphere:
    """The surface of a star, as evolution models tell it.

    Attributes
    ----------
    log_L : float or `~numpy.ndarray`
        log10 of the luminosity in solar ones.
    log_Teff : float or `~numpy.ndarray`
        log10 of the effective temperature in K.
    log_g : float or `~numpy.ndarray`
        log10 of the gravity in cm/s2.
    """

    log_L: npt.ArrayLike
    log_Teff: npt.ArrayLike
    log_g: npt.ArrayLike

    @classmethod
    def of_size(
        cls, log_L: npt.ArrayLike, log_Teff: npt.ArrayLike, *, mass: npt.ArrayLike, radius: npt.ArrayLike
    ) -> Self:
        """Make it with the gravity of a mass and a radius.

        Parameters
        ----------
        log_L : array_like
            log10 of the luminosity in solar ones.
        log_Teff : array_like
            log10 of the effective temperature in K.
        mass : array_like
            In solar masses.
        radius : array_like
            In solar radii.

        Returns
        -------
        Photosphere
            The surface.
        """
        return cls(log_L, log_Teff, log_gravity(mass, radius))


@dataclass(frozen=True)
class PairColours:
    """Magnitudes and colour of two stars that are seen as one.

    Attributes
    ----------
    M_V, M_I : float or `~numpy.ndarray`
        Absolute magnitudes, mag; NaN where a star is too hot or too cool for all models, or unknown.
    VI0 : float or `~numpy.ndarray`
        Intrinsic colour (V-I)_0, mag.
    e_M_V, e_M_I, e_VI0 : float or `~numpy.ndarray`
        Errors in mag. They are systematic, the same for like stars, and do not average out.
    outside : bool or `~numpy.ndarray`
        Whether either star is beyond the models, so that the nearest one stands for it or nothing does.
    """

    M_V: FloatArray
    M_I: FloatArray
    VI0: FloatArray
    e_M_V: FloatArray
    e_M_I: FloatArray
    e_VI0: FloatArray
    outside: npt.NDArray[np.bool_]


def log_gravity(mass: npt.ArrayLike, radius: npt.ArrayLike) -> FloatArray:
    """Surface gravity of a sphere.

    Parameters
    ----------
    mass : array_like
        In solar masses.
    radius : array_like
        In solar radii.

    Returns
    -------
    `~numpy.ndarray`
        log10 of the gravity in cm/s2, 4.438 for the Sun.
    """
    gravity: FloatArray = _LOG_G_SUN + np.log10(plain_numbers(mass)) - 2.0 * np.log10(plain_numbers(radius))
    return gravity


def star_colours(
    log_Teff: npt.ArrayLike,
    log_g: npt.ArrayLike,
    *,
    Z: float,
    settings: ColourSettings | None = None,
    table: AtmosphereTable | None = None,
) -> StarColours:
    """Bolometric correction and colour of single stars from a source.

    Parameters
    ----------
    log_Teff : array_like
        log10 of effective temperatures in K.
    log_g : array_like
        log10 of gravities in cm/s2; of the sources, kurucz alone depends on it.
    Z : float
        Metallicity as mass fraction; as for the gravity.
    settings : ColourSettings, optional
        The source; model atmospheres by default.
    table : AtmosphereTable, optional
        Model atmospheres, the shipped ones by default.

    Returns
    -------
    StarColours
        Values with errors. Those of the dwarf sequence have the errors of the atmospheres at their gravity, which are
        the distance of the two; those of black bodies have their own distance from the atmospheres in them. A star
        cooler than the atmospheres, down to 5 kK, is flagged and has what the coolest ones have at its gravity and what
        a black body changes from there, with its change of colour as an error of both on top; the dwarf sequence has no
        such stars.

    Raises
    ------
    SettingsError
        If the abundance is beyond the atmospheres.
    """
    source = (settings or ColourSettings()).source
    atmospheres = table or read_atmospheres()
    log_Teff, log_g = np.broadcast_arrays(plain_numbers(log_Teff), plain_numbers(log_g))
    models = atmospheres.at(log_Teff, log_g, Z=Z)
    if source != "pecaut-mamajek":
        models = _with_cool_stars(models, log_Teff, log_g, atmospheres=atmospheres, Z=Z)
    if source == "kurucz":
        return models
    known = np.isfinite(models.BC_V)
    log_teff = np.where(known, log_Teff, atmospheres.log_teff[0])
    teff = 10.0**log_teff
    if source == "pecaut-mamajek":
        inside = (teff >= _DWARF_RANGE[0]) & (teff <= _DWARF_RANGE[1])
        own = bolometric_correction_v(teff), DWARF_COLOURS.at(teff)
        errors = models.e_BC_V, models.e_VI0
        outside = np.where(known, ~inside, models.outside)
    else:
        own = _blackbody(log_teff, atmospheres)
        errors = np.hypot(models.e_BC_V, own[0] - models.BC_V), np.hypot(models.e_VI0, own[1] - models.VI0)
        outside = models.outside & ~known
    BC_V, VI0 = (np.where(known, value, np.nan) for value in own)
    return StarColours(BC_V, VI0, *errors, outside)


def _with_cool_stars(
    models: StarColours, log_Teff: FloatArray, log_g: FloatArray, *, atmospheres: AtmosphereTable, Z: float
) -> StarColours:
    """Fill stars in that are cooler than the atmospheres, by the change of black bodies from the coolest ones on."""
    edge = atmospheres.log_teff[0]
    cool = (log_Teff >= _LOG_COOLEST) & (log_Teff < edge) & np.isnan(models.BC_V) & np.isfinite(log_g)
    if not cool.any():
        return models
    coolest = atmospheres.at(edge, np.where(cool, log_g, atmospheres.log_g[-1]), Z=Z)
    at_edge = _blackbody(np.asarray(edge), atmospheres)
    change = [own - of_edge for own, of_edge in zip(_blackbody(log_Teff, atmospheres), at_edge, strict=True)]
    return StarColours(
        np.where(cool, coolest.BC_V + change[0], models.BC_V),
        np.where(cool, coolest.VI0 + change[1], models.VI0),
        # The change of the colour grows all the way, that of the correction does not.
        np.where(cool, np.hypot(coolest.e_BC_V, change[1]), models.e_BC_V),
        np.where(cool, np.hypot(coolest.e_VI0, change[1]), models.e_VI0),
        models.outside,
    )


def _blackbody(log_teff: FloatArray, atmospheres: AtmosphereTable) -> tuple[FloatArray, FloatArray]:
    """BC_V and (V-I)_0 of black bodies in the zero points of the atmospheres."""
    log_v, log_i = (np.interp(log_teff, *_planck(band)) for band in ("V", "I"))
    zero_v, zero_vi = atmospheres.zero_points
    log_bolometric = np.log10(_STEFAN_BOLTZMANN) + 4.0 * log_teff
    return zero_v + 2.5 * (log_v - log_bolometric), zero_vi - 2.5 * (log_v - log_i)


@lru_cache(maxsize=2)
def _planck(band: str) -> tuple[FloatArray, FloatArray]:
    """log10 of temperatures in K, and of the mean flux of black bodies in W/m3 through a band of Bessell (1990)."""
    curve = BESSELL[band]
    through = Passband.blackbody_through(band, curve)
    width = np.trapezoid(curve.transmission, curve.wavelength)
    scale = np.log10(np.pi * _FIRST_RADIATION * _PER_MICRON_5 / width)
    return through.log_teff / np.log(10.0), through.log_intensity[:, 0] / np.log(10.0) + scale


def pair_colours(
    star_1: Photosphere,
    star_2: Photosphere,
    *,
    Z: float,
    settings: ColourSettings | None = None,
    table: AtmosphereTable | None = None,
) -> PairColours:
    """Absolute magnitudes and colour of the unresolved sum of two stars.

    Parameters
    ----------
    star_1, star_2 : Photosphere
        The stars, of shapes that broadcast.
    Z : float
        Metallicity as mass fraction.
    settings : ColourSettings, optional
        Where the colours come from; model atmospheres by default.
    table : AtmosphereTable, optional
        Model atmospheres, the shipped ones by default.

    Returns
    -------
    PairColours
        Magnitudes and colour of two spheres, neither of which hides the other: see `cbminer.theory.distortion` for
        what the shape of close pairs changes in it.

    Raises
    ------
    SettingsError
        If the abundance is beyond the atmospheres.

    Notes
    -----
    M_V = 4.74 - 2.5 log L - BC_V of each star (IAU 2015 resolution B2). Errors of the stars of a pair are taken to be
    one error, so that they add up in proportion to the light.
    """
    lights = [_light(star, Z=Z, settings=settings, table=table) for star in (star_1, star_2)]
    flux_v, flux_i = (np.add(lights[0][band], lights[1][band]) for band in (0, 1))
    e_M_V = sum(light[0] * light[2] for light in lights) / flux_v
    e_M_I = sum(light[1] * np.hypot(light[2], light[3]) for light in lights) / flux_i
    e_VI0 = sum(light[1] * light[3] for light in lights) / flux_i
    M_V, M_I = -2.5 * np.log10(flux_v), -2.5 * np.log10(flux_i)
    outside = np.logical_or(lights[0][4], lights[1][4])
    return PairColours(M_V, M_I, M_V - M_I, e_M_V, e_M_I, e_VI0, outside)


def _light(
    star: Photosphere, *, Z: float, settings: ColourSettings | None, table: AtmosphereTable | None
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """Fluxes in V and I in units of magnitude 0, errors of BC_V and (V-I)_0, and whether the star is outside."""
    colours = star_colours(star.log_Teff, star.log_g, Z=Z, settings=settings, table=table)
    M_V = _M_BOL_SUN - 2.5 * plain_numbers(star.log_L) - colours.BC_V
    flux_v, flux_i = 10.0 ** (-0.4 * M_V), 10.0 ** (-0.4 * (M_V - colours.VI0))
    return flux_v, flux_i, colours.e_BC_V, colours.e_VI0, colours.outside
