"""The period that a light curve is folded with: the listed one refined, half or twice of it, or one that was found."""

from dataclasses import dataclass, fields
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from cbminer.columns import FloatArray
from cbminer.lightcurves.period_search import PeriodSearchSettings, search_periods
from cbminer.lightcurves.periods import PeriodJudgements, PeriodSettings, PeriodVerdict, explain_verdict, judge_periods
from cbminer.quantities import SettingsModel
from cbminer.survey.packed import PackedLightCurves

__all__ = [
    "SOURCES",
    "AdoptedPeriods",
    "AdoptionSettings",
    "FoundPeriod",
    "adopt_periods",
    "judgement_columns",
    "variability",
]

# Where an adopted period comes from; empty for a star without one.
SOURCES = ("", "survey", "refined", "half", "double", "search")
_NONE, _SURVEY, _REFINED, _HALF, _DOUBLE, _SEARCH = range(6)


class AdoptionSettings(SettingsModel):
    """When a period of the light curve replaces the listed one."""

    use: Literal["light_curve", "survey"] = Field(
        default="light_curve",
        description="light_curve: the refined period, or half or twice of it by the verdict; survey: always the listed",
    )
    least_probability: float = Field(
        default=0.9, ge=0.5, le=1, description="half or twice the listed period is adopted from this probability on"
    )
    search: bool = Field(
        default=True, description="whether stars whose period is missing or refuted are searched for one, 0.01 s a star"
    )


class FoundPeriod(NamedTuple):
    """What a search says of the period that it found.

    Attributes
    ----------
    alias : str
        Frequency of the sampling that the period may be an alias by; empty for none.
    false_alarm : float
        Probability that noise has a peak as high.
    reason : str
        Why it is the period of an eclipsing binary, or not.
    """

    alias: str
    false_alarm: float
    reason: str


@dataclass(frozen=True)
class AdoptedPeriods:
    """Periods of n stars.

    Attributes
    ----------
    period, e_period : `~numpy.ndarray`
        Adopted period and its error in days; NaN where there is none, or no error.
    source : `~numpy.ndarray`
        Place in `SOURCES`, int64.
    listed : PeriodJudgements
        What the light curves say of the listed periods.
    epoch, e_epoch : `~numpy.ndarray`
        Time of phase zero near the middle of the data, and its error, in days.
    verdict : `~numpy.ndarray`
        `PeriodVerdict` on the period that was searched, where one was found, and on the listed one elsewhere.
    ambiguous : `~numpy.ndarray`
        In the same way, whether the light curve alone cannot tell the period from half or twice of it.
    found : dict of int to FoundPeriod
        What a search says of its period, by the place of the star.
    """

    period: FloatArray
    e_period: FloatArray
    source: npt.NDArray[np.int64]
    listed: PeriodJudgements
    epoch: FloatArray
    e_epoch: FloatArray
    verdict: npt.NDArray[np.int64]
    ambiguous: npt.NDArray[np.bool_]
    found: dict[int, FoundPeriod]


def adopt_periods(
    curves: PackedLightCurves,
    period: FloatArray,
    *,
    settings: AdoptionSettings,
    periods: PeriodSettings,
    search: PeriodSearchSettings,
) -> AdoptedPeriods:
    """Judge listed periods, search for those that are missing or refuted, and choose.

    Parameters
    ----------
    curves : PackedLightCurves
        Light curves of n stars.
    period : `~numpy.ndarray`
        Listed periods in days, NaN where missing.
    settings : AdoptionSettings
        When to leave the listed period.
    periods : PeriodSettings
        How periods are judged.
    search : PeriodSearchSettings
        How they are searched for.

    Returns
    -------
    AdoptedPeriods
        A period a star.
    """
    listed = judge_periods(curves, period, settings=periods)
    usable = np.isfinite(period) & (period > 0)
    adopted = np.where(usable, period, np.nan)
    error = np.full(len(period), np.nan)
    source = np.where(usable, _SURVEY, _NONE)
    if settings.use == "light_curve":
        for verdict, factor, name in _factors(listed, settings):
            adopted = np.where(verdict, listed.period * factor, adopted)
            error = np.where(verdict, listed.e_period * factor, error)
            source = np.where(verdict, name, source)
    result = AdoptedPeriods(
        adopted,
        error,
        source.astype(np.int64),
        listed,
        listed.epoch.copy(),
        listed.e_epoch.copy(),
        listed.verdict.copy(),
        listed.ambiguous.copy(),
        {},
    )
    lost = (~usable | (listed.verdict == PeriodVerdict.REFUTED)) & (np.diff(curves.offsets) >= search.min_points)
    if settings.use == "light_curve" and settings.search and lost.any():
        _fill_from_search(curves, np.flatnonzero(lost), search, periods, result)
    return result


def _factors(listed: PeriodJudgements, settings: AdoptionSettings) -> list[tuple[npt.NDArray[np.bool_], float, int]]:
    """Stars whose period is refined, halved and doubled."""
    sure = settings.least_probability
    half = (listed.verdict == PeriodVerdict.HALF) & (listed.p_half >= sure)
    double = (listed.verdict == PeriodVerdict.DOUBLE) & (listed.p_double >= sure)
    return [(listed.moved & ~half & ~double, 1.0, _REFINED), (half, 0.5, _HALF), (double, 2.0, _DOUBLE)]


def _fill_from_search(
    curves: PackedLightCurves,
    stars: npt.NDArray[np.int64],
    search: PeriodSearchSettings,
    periods: PeriodSettings,
    adopted: AdoptedPeriods,
) -> None:
    """Search some stars, and write what is found in the place of what was listed."""
    found = search_periods(curves.stars_at(stars), settings=search, period_settings=periods)
    new = np.flatnonzero(np.isfinite(found.period))
    for column, part in (
        (adopted.period, found.period),
        (adopted.e_period, found.e_period),
        (adopted.source, np.full(len(stars), _SEARCH)),
        (adopted.epoch, found.judgements.epoch),
        (adopted.e_epoch, found.judgements.e_epoch),
        (adopted.verdict, found.judgements.verdict),
        (adopted.ambiguous, found.judgements.ambiguous),
    ):
        column[stars[new]] = part[new]
    for place in new:
        adopted.found[int(stars[place])] = FoundPeriod(
            found.alias[place],
            float(found.false_alarm[place]),
            explain_verdict(found.judgements, int(place)).replace("listed ", ""),
        )


def variability(adopted: AdoptedPeriods) -> npt.NDArray[np.str_]:
    """Say what each star varies as, folded with its adopted period.

    Parameters
    ----------
    adopted : AdoptedPeriods
        Periods.

    Returns
    -------
    `~numpy.ndarray`
        "eclipsing", "other" for pulsators and the like, "none" where nothing repeats, "undecided".
    """
    words = np.array(["undecided", "eclipsing", "eclipsing", "eclipsing", "other", "none"])
    return np.asarray(words[adopted.verdict])


def judgement_columns(adopted: AdoptedPeriods) -> dict[str, FloatArray]:
    """Probabilities of the verdicts on the listed periods by their name.

    Parameters
    ----------
    adopted : AdoptedPeriods
        Periods.

    Returns
    -------
    dict of str to `~numpy.ndarray`
        p_confirmed, p_half, p_double, p_not_eclipsing, p_refuted; NaN for stars without a verdict.
    """
    known = adopted.listed.verdict != PeriodVerdict.UNDECIDED
    names = [item.name for item in fields(PeriodJudgements) if item.name.startswith("p_")]
    return {name: np.where(known, getattr(adopted.listed, name), np.nan) for name in names}
