"""When and how well a star is observed: cadences, stated errors, noise, outliers, blends and errors of an ephemeris.

`sample_light_curve` puts a light curve without noise on a cadence. Everything random takes a generator, and the same
generator gives the same numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray
from cbminer.errors import ArchiveError, SettingsError
from cbminer.synthetic.sampling import SamplingSettings

__all__ = [
    "Band",
    "Cadence",
    "Ephemeris",
    "EpochSource",
    "Observations",
    "RelativeMagnitude",
    "TemplateCadences",
    "TemplateFault",
    "dilute",
    "draw_third_light",
    "observe",
    "observing_times",
    "perturbed_ephemeris",
    "photometric_error",
    "rescaled_error",
    "sample_light_curve",
    "seasonal_cadence",
    "template_cadences",
]

Band = Literal["I", "V"]

# Magnitudes below maximum light, from cycles that are not folded and a band: the method of every light-curve shape.
RelativeMagnitude = Callable[[FloatArray, Band], FloatArray]

_BANDS: tuple[Band, ...] = ("I", "V")
# Midnight culmination of the Clouds in their first full OGLE-IV season (December and October 2010).
_CULMINATION = {"LMC": 2455541.0, "SMC": 2455475.0}
_SEASON_DAYS = 250.0
_YEAR_DAYS = 365.25
_MIDNIGHT_AT_LAS_CAMPANAS = 0.70
_CLEAR_NIGHTS = 0.8

# A visit takes its exposure in V some minutes before the one in I; in days.
_V_BEFORE_I = (0.002, 0.01)
# A short light curve has V points in proportion to one of this many points in I, and this many at least.
_USUAL_POINTS = 500
_FEWEST_V_OF_SHORT = 5

# Magnitude and typical stated error of a point: the OGLE-IV noise model of the project's science notes.
_NOISE_MAGS = np.array([16.0, 17.5, 18.5, 19.7, 20.5])
_NOISE_ERRORS = np.array([0.005, 0.010, 0.020, 0.050, 0.100])
_NIGHT_SCATTER = 0.2
_OUTLIER_MAG = 0.25
# Smallest and largest error that is stated. OGLE corrects errors below the first in another way than larger ones.
_STATED_RANGE = (0.003, 0.999)
# Magnitudes an e-fold of flux.
_MAG_PER_E_FOLD = 2.5 / np.log(10.0)


@dataclass(frozen=True)
class Cadence:
    """Dates at which one field is observed.

    Attributes
    ----------
    time_I, time_V : `~numpy.ndarray`
        Full heliocentric Julian dates in days, increasing; those in V may be none.
    star : str
        Star whose real dates these are; empty for generated ones.
    """

    time_I: FloatArray
    time_V: FloatArray
    star: str = ""

    def times(self, band: Band) -> FloatArray:
        """Dates in one band.

        Parameters
        ----------
        band : {"I", "V"}
            The band.

        Returns
        -------
        `~numpy.ndarray`
            Full heliocentric Julian dates in days.
        """
        return self.time_I if band == "I" else self.time_V


class EpochSource(Protocol):
    """Light curves that lend their dates: the packed ones of a survey, or anything with the same attributes.

    Attributes
    ----------
    stars : sequence of str
        Identifiers, length n.
    offsets : `~numpy.ndarray`
        Star i has the dates ``time[offsets[i]:offsets[i + 1]]``; shape (n + 1,).
    time : `~numpy.ndarray`
        Full heliocentric Julian dates in days.
    """

    @property
    def stars(self) -> Sequence[str]: ...  # noqa: D102

    @property
    def offsets(self) -> npt.NDArray[np.int64]: ...  # noqa: D102

    @property
    def time(self) -> FloatArray: ...  # noqa: D102


class TemplateFault(StrEnum):
    """Why the dates of a real star make no cadence; the first that applies."""

    NOT_FINITE = "dates that are not finite"
    UNSORTED = "dates that do not increase"
    FEW_I = "too few points in I"
    FEW_V = "too few points in V"


@dataclass(frozen=True)
class TemplateCadences:
    """Cadences of real stars.

    Attributes
    ----------
    cadences : tuple of Cadence
        One a usable star, in the order of the light curves in I; at least one.
    set_aside : dict
        Number of stars left out, by `TemplateFault`; faults of no star are absent.
    """

    cadences: tuple[Cadence, ...]
    set_aside: dict[TemplateFault, int]

    def __len__(self) -> int:
        """Count the cadences."""
        return len(self.cadences)

    def draw(self, rng: np.random.Generator) -> Cadence:
        """Draw the cadence of a random star.

        Parameters
        ----------
        rng : `~numpy.random.Generator`
            Source of randomness.

        Returns
        -------
        Cadence
            Its real dates.
        """
        return self.cadences[int(rng.integers(len(self.cadences)))]


class Ephemeris(NamedTuple):
    """When a star is at which phase.

    Attributes
    ----------
    period : float
        Period in days.
    epoch : float
        Full heliocentric Julian date of phase 0.
    """

    period: float
    epoch: float


@dataclass(frozen=True)
class Observations:
    """Points of a light curve.

    Attributes
    ----------
    time : `~numpy.ndarray`
        Full heliocentric Julian dates in days.
    mag, mag_err : `~numpy.ndarray`
        Magnitudes and their stated errors.
    """

    time: FloatArray
    mag: FloatArray
    mag_err: FloatArray


def photometric_error(mag: FloatArray) -> FloatArray:
    """Typical stated error of one point at a magnitude, in I or in V.

    Parameters
    ----------
    mag : `~numpy.ndarray`
        Magnitudes.

    Returns
    -------
    `~numpy.ndarray`
        Errors in magnitudes: 0.005 to 16, 0.01 at 17.5, 0.02 at 18.5, 0.05 at 19.7, 0.1 at 20.5,
        logarithmic between and growing on at the last rate.
    """
    logs = np.log(_NOISE_ERRORS)
    slope = (logs[-1] - logs[-2]) / (_NOISE_MAGS[-1] - _NOISE_MAGS[-2])
    beyond = np.clip(np.asarray(mag) - _NOISE_MAGS[-1], 0.0, None)
    return np.asarray(np.exp(np.interp(mag, _NOISE_MAGS, logs) + slope * beyond))


def rescaled_error(stated: FloatArray, *, scale: float, floor: float) -> FloatArray:
    """Work out the true errors of points from the stated ones.

    Parameters
    ----------
    stated : `~numpy.ndarray`
        Stated errors in magnitudes.
    scale : float
        Factor on the stated errors.
    floor : float
        Error in magnitudes that is added in quadrature.

    Returns
    -------
    `~numpy.ndarray`
        ``sqrt((scale stated)^2 + floor^2)`` in magnitudes, the form of Skowron J. et al. (2016, AcA 66, 1) for
        stated errors above 0.003.
    """
    return np.asarray(np.hypot(scale * stated, floor))


def observing_times(galaxy: str, n_seasons: int, rng: np.random.Generator) -> FloatArray:
    """Draw the times at which one field is observed.

    Seasons of eight months, a visit every one to three nights as fits the field, a fifth of the nights lost
    to weather, and later hours of the night at the beginning of a season than at its end.

    Parameters
    ----------
    galaxy : {"LMC", "SMC"}
        The Cloud.
    n_seasons : int
        Number of seasons from 2010 on.
    rng : `~numpy.random.Generator`
        Source of randomness.

    Returns
    -------
    `~numpy.ndarray`
        Full Julian dates in increasing order.
    """
    laziness = rng.uniform(0.3, 0.8)
    steps = 1 + rng.binomial(2, laziness, size=(n_seasons, int(_SEASON_DAYS)))
    nights = np.cumsum(steps, axis=1) - rng.integers(0, 3, size=(n_seasons, 1))
    visited = (nights < _SEASON_DAYS) & (rng.random(nights.shape) < _CLEAR_NIGHTS)
    from_culmination = nights - _SEASON_DAYS / 2
    hour = np.clip(-0.32 * from_culmination / _SEASON_DAYS + rng.normal(0, 0.05, nights.shape), -0.2, 0.2)
    culmination = _CULMINATION[galaxy] + _YEAR_DAYS * np.arange(n_seasons)[:, np.newaxis]
    times = np.floor(culmination) + from_culmination + _MIDNIGHT_AT_LAS_CAMPANAS + hour
    return np.sort(times[visited])


def seasonal_cadence(
    galaxy: str, settings: SamplingSettings, *, rng: np.random.Generator, n_points: int | None = None
) -> Cadence:
    """Draw a cadence as OGLE-IV has it.

    Parameters
    ----------
    galaxy : {"LMC", "SMC"}
        The Cloud.
    settings : SamplingSettings
        Number of seasons and of points in V.
    rng : `~numpy.random.Generator`
        Source of randomness.
    n_points : int, optional
        Points in I of a light curve that lost most of them; all by default.

    Returns
    -------
    Cadence
        Dates in I as `observing_times` has them, and in V some minutes before some of these; of a short light
        curve a number in proportion.
    """
    in_i = observing_times(galaxy, settings.seasons, rng)
    n_v = min(int(rng.integers(settings.fewest_V, settings.most_V + 1)), len(in_i))
    if n_points is not None:
        in_i = np.sort(rng.choice(in_i, min(n_points, len(in_i)), replace=False))
        n_v = max(n_v * len(in_i) // _USUAL_POINTS, min(n_v, _FEWEST_V_OF_SHORT))
    in_v = np.sort(rng.choice(in_i, min(n_v, len(in_i)), replace=False)) - rng.uniform(*_V_BEFORE_I)
    return Cadence(in_i, in_v)


def template_cadences(in_I: EpochSource, in_V: EpochSource, *, settings: SamplingSettings) -> TemplateCadences:
    """Take cadences from real light curves.

    Parameters
    ----------
    in_I, in_V : EpochSource
        Light curves in I and in V. Stars are matched by name; one without a curve in V has no points there.
    settings : SamplingSettings
        Points that a star needs in either band.

    Returns
    -------
    TemplateCadences
        The dates as they are, and the number of stars that could not be used.

    Raises
    ------
    ArchiveError
        If no star can be used.
    """
    places = {star: place for place, star in enumerate(in_V.stars)}
    cadences: list[Cadence] = []
    set_aside: dict[TemplateFault, int] = {}
    for place, star in enumerate(in_I.stars):
        cadence = Cadence(_dates(in_I, place), _dates(in_V, places.get(star)), star)
        fault = _template_fault(cadence, settings)
        if fault is None:
            cadences.append(cadence)
        else:
            set_aside[fault] = set_aside.get(fault, 0) + 1
    if not cadences:
        faults = ", ".join(f"{fault}: {count}" for fault, count in set_aside.items()) or "there is none"
        msg = (
            f"no light curve can lend its dates to a cadence ({faults}): give others, or lower template_fewest_I "
            f"({settings.template_fewest_I}) and template_fewest_V ({settings.template_fewest_V})"
        )
        raise ArchiveError(msg)
    return TemplateCadences(tuple(cadences), set_aside)


def observe(
    time: FloatArray,
    mag: FloatArray,
    *,
    outliers: float,
    rng: np.random.Generator,
    error_scale: float = 1.0,
    error_floor: float = 0.0,
) -> Observations:
    """Add noise, stated errors and a few outliers to magnitudes.

    Parameters
    ----------
    time, mag : `~numpy.ndarray`
        Dates and magnitudes without noise, shape (n,).
    outliers : float
        Share of points that are far off.
    rng : `~numpy.random.Generator`
        Source of randomness.
    error_scale, error_floor : float, optional
        The points scatter by `rescaled_error` of the stated errors with this scale and floor in magnitudes; as
        stated by default.

    Returns
    -------
    Observations
        The points, in the order of `time`.
    """
    # Good and bad nights: the stated error follows them, so that it is right on average.
    error = photometric_error(mag) * np.exp(rng.normal(0.0, _NIGHT_SCATTER, len(mag)))
    noisy = mag + rescaled_error(error, scale=error_scale, floor=error_floor) * rng.normal(size=len(mag))
    off = rng.random(len(mag)) < outliers
    noisy[off] += rng.normal(0.0, _OUTLIER_MAG, int(off.sum()))
    return Observations(time, noisy, np.clip(error, *_STATED_RANGE))


def dilute(magnitude_below_max: FloatArray, third_light: float) -> FloatArray:
    """Blend a light curve with constant light of other stars.

    Parameters
    ----------
    magnitude_below_max : `~numpy.ndarray`
        Magnitudes below maximum light of the star alone.
    third_light : float
        Share of the light at maximum that is not the star's, from 0 and below 1.

    Returns
    -------
    `~numpy.ndarray`
        Magnitudes below maximum light of the blend. Depths in flux shrink by ``1 - third_light``; maximum light is
        brighter than that of the star alone by ``-2.5 log10(1 - third_light)``, which the caller adds where needed.

    Raises
    ------
    SettingsError
        If the third light is out of its range.
    """
    if not 0.0 <= third_light < 1.0:
        msg = f"third_light: {third_light:g}; it must be the share of all light at maximum, from 0 and below 1"
        raise SettingsError(msg)
    # The flux over that at maximum, minus one: exact for the smallest variations.
    variation = np.expm1(-np.asarray(magnitude_below_max) / _MAG_PER_E_FOLD)
    return np.asarray(-_MAG_PER_E_FOLD * np.log1p((1.0 - third_light) * variation))


def draw_third_light(settings: SamplingSettings, rng: np.random.Generator) -> dict[Band, float]:
    """Draw the third light of a star.

    Parameters
    ----------
    settings : SamplingSettings
        How often there is some, how much, and of which colours.
    rng : `~numpy.random.Generator`
        Source of randomness.

    Returns
    -------
    dict
        Share of the light at maximum by band; zeros for a star without third light. Light that is redder than the
        star has a smaller share in V than in I.
    """
    # All numbers are drawn for every star, so that a share of blends changes no other star.
    chance, in_i = rng.random(), float(rng.uniform(settings.third_light_least, settings.third_light_most))
    redder = float(rng.normal(0.0, settings.blend_colour_scatter))
    if chance >= settings.blended:
        return {"I": 0.0, "V": 0.0}
    over_star_in_v = in_i / (1.0 - in_i) * 10.0 ** (-0.4 * redder)
    return {"I": in_i, "V": over_star_in_v / (1.0 + over_star_in_v)}


def perturbed_ephemeris(
    period: float, epoch: float, *, settings: SamplingSettings, rng: np.random.Generator
) -> Ephemeris:
    """Draw what a catalogue would list for a true ephemeris.

    Parameters
    ----------
    period : float
        True period in days.
    epoch : float
        True epoch, full heliocentric Julian date.
    settings : SamplingSettings
        Errors of periods and epochs.
    rng : `~numpy.random.Generator`
        Source of randomness.

    Returns
    -------
    Ephemeris
        Period and epoch with normal errors.

    Raises
    ------
    SettingsError
        If the period is not above 0.
    """
    _check_period(period)
    of_period, of_epoch = rng.normal(size=2)
    # What the seasons fix is the phase at their ends: the relative error of a period grows with the period.
    listed = period * (1.0 + settings.period_error * period * float(of_period))
    return Ephemeris(listed, epoch + period * settings.epoch_error * float(of_epoch))


def sample_light_curve(
    relative_magnitude: RelativeMagnitude,
    cadence: Cadence,
    *,
    brightest: Mapping[Band, float],
    period: float,
    epoch: float,
    settings: SamplingSettings,
    rng: np.random.Generator,
    third_light: Mapping[Band, float] | None = None,
) -> dict[Band, Observations]:
    """Observe a light curve: its shape on the dates of a cadence, blended and with noise.

    Parameters
    ----------
    relative_magnitude : callable
        Magnitudes below maximum light from cycles that are not folded and a band, such as the method of this name
        of a `~cbminer.synthetic.shapes.LightCurveShape`.
    cadence : Cadence
        Dates in either band.
    brightest : mapping of str to float
        Apparent magnitude at maximum light by band, third light included. Bands that it lacks are not observed.
    period : float
        True period in days.
    epoch : float
        Full heliocentric Julian date of cycle 0.
    settings : SamplingSettings
        Rescaling of the stated errors, and share of outliers.
    rng : `~numpy.random.Generator`
        Source of randomness; I is drawn before V.
    third_light : mapping of str to float, optional
        Share of third light at maximum by band; none by default.

    Returns
    -------
    dict
        `Observations` by band.

    Raises
    ------
    SettingsError
        If the period is not above 0, a magnitude not finite, or a third light out of its range.
    """
    _check_period(period)
    observed: dict[Band, Observations] = {}
    for band in _BANDS:
        if band not in brightest:
            continue
        if not np.isfinite(brightest[band]):
            msg = f"brightest: {brightest[band]} in {band}; it must be finite: leave out a band without magnitude"
            raise SettingsError(msg)
        time = cadence.times(band)
        below_max = relative_magnitude((time - epoch) / period, band)
        if third_light is not None:
            below_max = dilute(below_max, third_light.get(band, 0.0))
        observed[band] = observe(
            time,
            brightest[band] + below_max,
            outliers=settings.outliers,
            rng=rng,
            error_scale=settings.error_scale,
            error_floor=settings.error_floor,
        )
    return observed


def _dates(source: EpochSource, place: int | None) -> FloatArray:
    """Dates of a star; none for a star that is not there."""
    if place is None:
        return np.empty(0)
    return source.time[int(source.offsets[place]) : int(source.offsets[place + 1])]


def _template_fault(cadence: Cadence, settings: SamplingSettings) -> TemplateFault | None:
    both = (cadence.time_I, cadence.time_V)
    if not all(np.isfinite(time).all() for time in both):
        return TemplateFault.NOT_FINITE
    if not all((np.diff(time) > 0).all() for time in both):
        return TemplateFault.UNSORTED
    if len(cadence.time_I) < settings.template_fewest_I:
        return TemplateFault.FEW_I
    return TemplateFault.FEW_V if len(cadence.time_V) < settings.template_fewest_V else None


def _check_period(period: float) -> None:
    if not (np.isfinite(period) and period > 0):
        msg = f"period: {period:g}; it must be a finite number of days above 0"
        raise SettingsError(msg)
