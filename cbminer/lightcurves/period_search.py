"""Periods of stars whose listed one is missing or wrong, and whether a period is an alias of the sampling.

A spectrum of two harmonics or more finds periods of cycles; `cbminer.lightcurves.periods` then says which of them, of
half and of twice them is that of an eclipsing binary.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.special import betainc

from cbminer.columns import FloatArray
from cbminer.lightcurves.period_alias import name_alias, nearest_sampling
from cbminer.lightcurves.periods import PeriodJudgements, PeriodSettings, PeriodVerdict, judge_periods
from cbminer.lightcurves.spectrum import FrequencyGrid, harmonic_power
from cbminer.quantities import Days, SettingsModel
from cbminer.survey.packed import PackedLightCurves

__all__ = ["PeriodSearch", "PeriodSearchSettings", "Spectrum", "search_periods", "spectrum"]

_NONE = ""


class PeriodSearchSettings(SettingsModel):
    """Range and resolution of the search."""

    period_min: Days = Field(default=0.2, gt=0, description="shortest period; contact binaries end at 0.22 d")
    period_max: Days = Field(default=200.0, gt=0, description="longest period")
    harmonics: int = Field(
        default=2, ge=2, le=6, description="harmonics of the spectrum; two follow a binary with two minima"
    )
    oversampling: float = Field(
        default=5.0, ge=2, description="steps of frequency in one over the baseline; harmonics need as many times more"
    )
    candidates: int = Field(default=8, ge=1, description="peaks of the spectrum that are tried")
    min_points: int = Field(default=40, ge=20, description="with fewer points a star is not searched")
    max_false_alarm: float = Field(
        default=1e-3, gt=0, lt=1, description="a peak that noise beats more often than this gives no period"
    )
    window_power: float = Field(
        default=0.3,
        gt=0,
        lt=1,
        description="power of the spectral window from which a peak may be that of the sampling",
    )


class Spectrum(NamedTuple):
    """Spectrum of a star.

    Attributes
    ----------
    frequency : `~numpy.ndarray`
        Frequencies in cycles a day, increasing evenly.
    power : `~numpy.ndarray`
        Share of the weighted variance that the harmonics explain.
    """

    frequency: FloatArray
    power: FloatArray


@dataclass(frozen=True)
class PeriodSearch:
    """Periods that were found; arrays of shape (n,).

    Attributes
    ----------
    period, e_period : `~numpy.ndarray`
        Period of the binary, or of the cycle of another variable, and its standard error in days; NaN if none.
    judgements : PeriodJudgements
        What the light curves say of these periods; stars without one are undecided.
    peak_period : `~numpy.ndarray`
        Period of the highest peak of the spectrum in days.
    power : `~numpy.ndarray`
        Share of the variance that the harmonics of the highest peak explain.
    false_alarm : `~numpy.ndarray`
        Probability that white noise has a peak as high, over all independent frequencies.
    detection : `~numpy.ndarray`
        Height of the peak above the mean spectrum over the scatter of the spectrum.
    alias : tuple of str
        Which frequency of the sampling lies between the period and a stronger peak, such as "1 c/d", or is itself the
        period, such as "window: 1 c/d"; empty for neither.
    """

    period: FloatArray
    e_period: FloatArray
    judgements: PeriodJudgements
    peak_period: FloatArray
    power: FloatArray
    false_alarm: FloatArray
    detection: FloatArray
    alias: tuple[str, ...]

    def __len__(self) -> int:
        """Count the stars."""
        return len(self.period)


class _Star(NamedTuple):
    time: FloatArray
    mag: FloatArray
    mag_err: FloatArray


class _Found(NamedTuple):
    period: float
    peak_period: float
    power: float
    false_alarm: float
    detection: float
    alias: str


_NOTHING = _Found(np.nan, np.nan, np.nan, np.nan, np.nan, _NONE)


def search_periods(
    curves: PackedLightCurves,
    *,
    settings: PeriodSearchSettings,
    period_settings: PeriodSettings | None = None,
) -> PeriodSearch:
    """Search for periods without a listed one, star by star.

    Parameters
    ----------
    curves : PackedLightCurves
        Light curves of n stars; points that are not finite are left out.
    settings : PeriodSearchSettings
        Range and resolution.
    period_settings : PeriodSettings, optional
        Settings of the judgement; the priors of P, half and twice of it are made equal for candidates.

    Returns
    -------
    PeriodSearch
        A period a star, if there is one. It does not depend on the other stars.

    Notes
    -----
    The false-alarm probability is that of the F test for one frequency, taken to the power of the number of independent
    frequencies, baseline times range; see e.g. Baluev (2008, MNRAS 385, 1279) on its limits.
    """
    base = period_settings if period_settings is not None else PeriodSettings()
    found = [_search_star(curves, index, settings, base) for index in range(len(curves))]
    columns = [np.array([getattr(star, name) for star in found], dtype=np.float64) for name in _Found._fields[:-1]]
    period, peak_period, power, false_alarm, detection = columns
    judgements = judge_periods(curves, period, settings=_without_listed(base))
    return PeriodSearch(
        period=np.where(np.isfinite(period), judgements.period, np.nan),
        e_period=judgements.e_period,
        judgements=judgements,
        peak_period=peak_period,
        power=power,
        false_alarm=false_alarm,
        detection=detection,
        alias=tuple(star.alias for star in found),
    )


def spectrum(time: FloatArray, mag: FloatArray, mag_err: FloatArray, *, settings: PeriodSearchSettings) -> Spectrum:
    """Spectrum of a light curve with several harmonics.

    Parameters
    ----------
    time : `~numpy.ndarray`
        Times in days, shape (n,).
    mag, mag_err : `~numpy.ndarray`
        Magnitudes and errors.
    settings : PeriodSearchSettings
        Range and resolution.

    Returns
    -------
    Spectrum
        Generalised Lomb-Scargle spectrum with harmonics (Palmer 2009, ApJ 695, 496).
    """
    lowest, highest = 1.0 / settings.period_max, 1.0 / settings.period_min
    n_steps = int((highest - lowest) * np.ptp(time) * settings.oversampling) + 2
    grid = FrequencyGrid(lowest, (highest - lowest) / (n_steps - 1), n_steps)
    power = harmonic_power(time, mag, mag_err**-2.0, grid=grid, harmonics=settings.harmonics)
    return Spectrum(grid.frequencies(), power)


def _search_star(curves: PackedLightCurves, index: int, settings: PeriodSearchSettings, base: PeriodSettings) -> _Found:
    star = _points(curves, index, base)
    n_points = len(star.time)
    if n_points < settings.min_points or not np.ptp(star.time) > 2.0 * settings.period_min or np.ptp(star.mag) == 0.0:
        return _NOTHING
    seen = spectrum(*star, settings=settings)
    resolution = 1.0 / np.ptp(star.time)
    peaks = _peaks(seen, settings.candidates, resolution)
    power = float(seen.power[peaks[0]])
    false_alarm = _false_alarm(power, n_points, seen, settings.harmonics, resolution)
    found = _Found(
        np.nan,
        float(1.0 / seen.frequency[peaks[0]]),
        power,
        false_alarm,
        float((power - np.mean(seen.power)) / np.std(seen.power)),
        _NONE,
    )
    if false_alarm > settings.max_false_alarm:
        return found
    candidates = seen.frequency[peaks]
    period, place = _choose(curves, index, 1.0 / candidates, base)
    if place < 0:
        return found
    chosen = float(candidates[place])
    alias = name_alias(chosen, candidates[:place], resolution=resolution)
    return found._replace(period=period, alias=alias or _of_window(star, 1.0 / period, resolution, settings))


def _points(curves: PackedLightCurves, index: int, base: PeriodSettings) -> _Star:
    """Good points in the order of time, in double precision."""
    points = curves.points_of(index)
    time = curves.time[points]
    mag, mag_err = (data[points].astype(np.float64) for data in (curves.mag, curves.mag_err))
    good = np.flatnonzero(np.isfinite(time) & np.isfinite(mag) & np.isfinite(mag_err) & (mag_err > 0))
    good = good[np.argsort(time[good], kind="stable")]
    return _Star(time[good], mag[good], np.hypot(mag_err[good], base.error_floor))


def _peaks(seen: Spectrum, count: int, resolution: float) -> npt.NDArray[np.int64]:
    """Highest local maxima, apart by more than the resolution; the highest first."""
    padded = np.concatenate([[-np.inf], seen.power, [-np.inf]])
    local = np.flatnonzero((padded[1:-1] >= padded[:-2]) & (padded[1:-1] > padded[2:]))
    most = 40 * count
    if len(local) > most:
        # Of a hundred thousand maxima only the highest are put in order, and all that are as high as the last of them.
        least = np.partition(seen.power[local], len(local) - most)[len(local) - most]
        local = local[seen.power[local] >= least]
    local = local[np.argsort(-seen.power[local], kind="stable")][:most]
    chosen: list[int] = []
    for place in local:
        if all(abs(seen.frequency[place] - seen.frequency[other]) > 1.5 * resolution for other in chosen):
            chosen.append(int(place))
        if len(chosen) == count:
            break
    return np.array(chosen or [int(np.argmax(seen.power))], dtype=np.int64)


def _false_alarm(power: float, n_points: int, seen: Spectrum, harmonics: int, resolution: float) -> float:
    freedom = 0.5 * (n_points - 2 * harmonics - 1)
    of_one = float(betainc(freedom, harmonics, float(np.clip(1.0 - power, 0.0, 1.0))))
    n_independent = float(seen.frequency[-1] - seen.frequency[0]) / resolution
    return float(-np.expm1(n_independent * np.log1p(-min(of_one, 1.0 - 1e-12))))


def _choose(curves: PackedLightCurves, index: int, periods: FloatArray, base: PeriodSettings) -> tuple[float, int]:
    """Period with the best model among the candidates, half and twice of them by the verdict, and its place; or -1."""
    equal = _without_listed(base)
    copies = _copies(curves, index, len(periods))
    first = judge_periods(copies, periods, settings=equal)
    # Another variable has the period of its cycle.
    moved = np.where(np.isfinite(first.eclipsing_period), first.eclipsing_period, first.period * first.cycle)
    gain = np.where(first.verdict >= PeriodVerdict.CONFIRMED, first.delta_bic, -np.inf)
    gain[first.verdict == PeriodVerdict.REFUTED] = -np.inf
    place = int(np.argmax(gain))
    if not np.isfinite(gain[place]):
        return np.nan, -1
    return float(moved[place]), place


def _without_listed(base: PeriodSettings) -> PeriodSettings:
    """Make the priors of P, half and twice of it equal: a search has no listed period, and has seen the aliases."""
    equal = (base.prior_confirmed + base.prior_half + base.prior_double) / 3.0
    changed = {"prior_confirmed": equal, "prior_half": equal, "prior_double": equal, "alias_incoherent": 1.0}
    return base.model_copy(update=changed)


def _copies(curves: PackedLightCurves, index: int, count: int) -> PackedLightCurves:
    points = curves.points_of(index)
    n_points = points.stop - points.start
    return PackedLightCurves(
        (curves.stars[index],) * count,
        n_points * np.arange(count + 1, dtype=np.int64),
        np.tile(curves.time[points], count),
        np.tile(curves.mag[points], count),
        np.tile(curves.mag_err[points], count),
    )


def _of_window(star: _Star, frequency: float, resolution: float, settings: PeriodSearchSettings) -> str:
    """Name a peak of the spectral window at a frequency or at twice it."""
    for trial in (frequency, 2.0 * frequency):
        power = float(np.abs(np.mean(np.exp(2j * np.pi * trial * (star.time - star.time[0])))) ** 2)
        name = nearest_sampling(trial, resolution=resolution)
        if name or power > settings.window_power:
            return f"window: {name or f'{trial:.4g} c/d'}"
    return _NONE
