"""Points of a light curve that are no measurements of the star, each dropped for one counted reason."""

from dataclasses import dataclass
from enum import IntEnum

import numba
import numpy as np
import numpy.typing as npt
from pydantic import Field

from cbminer.columns import FloatArray
from cbminer.lightcurves.folding import sort_by_phase
from cbminer.quantities import Magnitudes, SettingsModel
from cbminer.survey.packed import PackedLightCurves

__all__ = ["CleanedLightCurves", "CleaningSettings", "Reason", "clean"]


class Reason(IntEnum):
    """Why a point was dropped; KEPT if it was not."""

    KEPT = 0
    NOT_FINITE = 1
    BAD_ERROR = 2
    LARGE_ERROR = 3
    DUPLICATE_EPOCH = 4
    BRIGHT_OUTLIER = 5
    FAINT_OUTLIER = 6


class CleaningSettings(SettingsModel):
    """Limits beyond which a point is dropped."""

    max_mag_err: Magnitudes = Field(default=0.5, gt=0, description="largest error of a point")
    bright_sigma: float = Field(
        default=5.0, gt=0, description="a point this many sigma brighter than its neighbours in phase is dropped"
    )
    faint_sigma: float = Field(
        default=10.0,
        gt=0,
        description="the same for fainter points; wider, so that eclipses stay (Bodi & Hajdu 2021)",
    )


@dataclass(frozen=True)
class CleanedLightCurves:
    """Light curves after the cleaning.

    Attributes
    ----------
    curves : PackedLightCurves
        The points that were kept.
    phase : `~numpy.ndarray`
        Their phases.
    reasons : `~numpy.ndarray`
        Number of points a star and `Reason`, int64, shape (n, len(Reason)); a row sums to the points of the star.
    """

    curves: PackedLightCurves
    phase: FloatArray
    reasons: npt.NDArray[np.int64]


def clean(curves: PackedLightCurves, phase: FloatArray, *, settings: CleaningSettings) -> CleanedLightCurves:
    """Drop points that are no measurements of the star.

    Parameters
    ----------
    curves : PackedLightCurves
        Light curves.
    phase : `~numpy.ndarray`
        Phase of every point; NaN for stars that cannot be folded, whose outliers are not sought.
    settings : CleaningSettings
        Limits.

    Returns
    -------
    CleanedLightCurves
        The points kept and the count of every reason.
    """
    reason = _static_reasons(curves, settings)
    _mark_duplicates(curves.time, curves.offsets, reason)
    good = reason == Reason.KEPT
    kept = curves.subset(good)
    kept_phase = phase[good]
    outliers = _isolated(
        kept.mag.astype(np.float64),
        kept.mag_err.astype(np.float64),
        sort_by_phase(kept_phase, kept.offsets),
        kept.offsets,
        settings.bright_sigma,
        settings.faint_sigma,
    )
    outliers[np.isnan(kept_phase)] = Reason.KEPT
    reason[good] = outliers
    final = reason == Reason.KEPT
    return CleanedLightCurves(curves.subset(final), phase[final], _count(reason, curves.offsets))


def _static_reasons(curves: PackedLightCurves, settings: CleaningSettings) -> npt.NDArray[np.int64]:
    reason = np.full(len(curves.time), int(Reason.KEPT), dtype=np.int64)
    reason[curves.mag_err > settings.max_mag_err] = Reason.LARGE_ERROR
    reason[~(curves.mag_err > 0)] = Reason.BAD_ERROR
    finite = np.isfinite(curves.time) & np.isfinite(curves.mag) & np.isfinite(curves.mag_err)
    reason[~finite] = Reason.NOT_FINITE
    return reason


@numba.njit(cache=True, nogil=True)
def _mark_duplicates(time: FloatArray, offsets: npt.NDArray[np.int64], reason: npt.NDArray[np.int64]) -> None:
    """Mark all but the first good point of an epoch."""
    for star in range(len(offsets) - 1):
        first, last = offsets[star], offsets[star + 1]
        order = first + np.argsort(time[first:last], kind="mergesort")
        previous = -1
        for point in order:
            if reason[point] != 0:
                continue
            if previous >= 0 and time[point] == time[previous]:
                reason[point] = 4
            else:
                previous = point


@numba.njit(cache=True, nogil=True)
def _isolated(
    mag: FloatArray,
    mag_err: FloatArray,
    order: npt.NDArray[np.int64],
    offsets: npt.NDArray[np.int64],
    bright_sigma: float,
    faint_sigma: float,
) -> npt.NDArray[np.int64]:
    """Mark points far from the median of the five nearest in phase, themselves included.

    Inside an eclipse the neighbours are faint too, so an eclipse with three points or more keeps them.
    """
    reason = np.zeros(len(mag), dtype=np.int64)
    window = np.empty(5)
    for star in range(len(offsets) - 1):
        first, n_points = offsets[star], offsets[star + 1] - offsets[star]
        if n_points < 5:
            continue
        residual = np.empty(n_points)
        for i in range(n_points):
            for k in range(5):
                window[k] = mag[order[first + (i + k - 2) % n_points]]
            residual[i] = mag[order[first + i]] - np.median(window)
        scatter = 1.4826 * np.median(np.abs(residual))
        for i in range(n_points):
            point = order[first + i]
            sigma = max(scatter, mag_err[point])
            if residual[i] < -bright_sigma * sigma:
                reason[point] = 5
            elif residual[i] > faint_sigma * sigma:
                reason[point] = 6
    return reason


def _count(reason: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    star = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    counts = np.zeros((len(offsets) - 1, len(Reason)), dtype=np.int64)
    np.add.at(counts, (star, reason), 1)
    return counts
