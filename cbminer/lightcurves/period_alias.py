"""Aliases: frequencies that differ from the true one by a frequency of the sampling."""

import numpy as np

from cbminer.columns import FloatArray
from cbminer.lightcurves.period_kernels import judge_trials
from cbminer.survey.packed import PackedLightCurves

__all__ = ["SAMPLING_FREQUENCIES", "better_aliases", "name_alias", "nearest_sampling"]

# Frequencies of the sampling in cycles a day: nights, seasons and bright Moons.
SAMPLING_FREQUENCIES = {
    "1 c/d": 1.0,
    "1 c/sidereal d": 1.002738,
    "2 c/d": 2.0,
    "2 c/sidereal d": 2.005476,
    "3 c/d": 3.0,
    "1 c/yr": 1.0 / 365.25,
    "1 c/month": 1.0 / 29.530589,
}
# Those that leave much of a signal coherent.
_STRONGEST = ("1 c/d", "1 c/sidereal d", "2 c/d", "2 c/sidereal d", "1 c/yr")


def better_aliases(
    curves: PackedLightCurves, frequency: FloatArray, delta_bic: FloatArray, *, limits: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Try the aliases of frequencies of cycles.

    Parameters
    ----------
    curves : PackedLightCurves
        Light curves of n stars.
    frequency : `~numpy.ndarray`
        Frequencies of their cycles in cycles a day, shape (n,); NaN leaves a star out.
    delta_bic : `~numpy.ndarray`
        How much lower the BIC of their models is than that of a constant star.
    limits : `~numpy.ndarray`
        Numbers of the settings for the kernels.

    Returns
    -------
    period : `~numpy.ndarray`
        Period in days of the best alias; NaN for a star that was left out.
    gain : `~numpy.ndarray`
        How much lower its BIC is than that of the given frequency; -inf for a star that was left out.
    """
    period, gain = np.full(len(curves), np.nan), np.full(len(curves), -np.inf)
    chosen = np.flatnonzero(np.isfinite(frequency))
    if not len(chosen):
        return period, gain
    keep = np.repeat(np.isin(np.arange(len(curves)), chosen), np.diff(curves.offsets))
    few = curves.subset(keep)
    offsets = np.concatenate([[0], np.cumsum(np.diff(curves.offsets)[chosen])]).astype(np.int64)
    for name in _STRONGEST:
        for sign in (-1.0, 1.0):
            trial = 1.0 / np.abs(frequency[chosen] + sign * SAMPLING_FREQUENCIES[name])
            # A period that runs off is none.
            found, of_trial = judge_trials(few.time, few.mag, few.mag_err, offsets, trial, limits)
            lower = of_trial - delta_bic[chosen]
            better = lower > gain[chosen]
            period[chosen[better]] = 1.0 / found[better]
            gain[chosen[better]] = lower[better]
    return period, gain


def name_alias(frequency: float, stronger: FloatArray, *, resolution: float) -> str:
    """Name the frequency of the sampling that lies between a frequency and a stronger one.

    Parameters
    ----------
    frequency : float
        Frequency in cycles a day.
    stronger : `~numpy.ndarray`
        Frequencies of stronger peaks in cycles a day.
    resolution : float
        Difference in cycles a day that cannot be told from none, about one over the baseline.

    Returns
    -------
    str
        Such as "1 c/d", also for the difference of twice the frequencies, since the spectrum of a binary peaks at
        either; empty if there is none.
    """
    for other in stronger:
        for own_factor in (1.0, 2.0):
            for factor in (1.0, 2.0):
                own, its = own_factor * frequency, factor * other
                if abs(own - its) < resolution:
                    continue
                name = nearest_sampling(abs(own - its), resolution=resolution)
                name = name or nearest_sampling(own + its, resolution=resolution)
                if name:
                    return name
    return ""


def nearest_sampling(frequency: float, *, resolution: float) -> str:
    """Name the frequency of the sampling at a frequency.

    Parameters
    ----------
    frequency : float
        Frequency in cycles a day.
    resolution : float
        Difference in cycles a day that cannot be told from none.

    Returns
    -------
    str
        A key of `SAMPLING_FREQUENCIES`, or nothing.
    """
    distance, name = min((abs(frequency - value), name) for name, value in SAMPLING_FREQUENCIES.items())
    return name if distance < resolution else ""
