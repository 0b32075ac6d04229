"""Points of a light curve that are no measurements of the star, each dropped for one counted reason.

Errors are rescaled here too: whatever comes later sees only the rescaled ones.
"""

from dataclasses import dataclass, replace
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

_BRIGHT, _FAINT = -1, 1
# Points on either side whose median is the level there.
_SIDE = 3
# Points on either side among which company is sought, the share of a deviation that makes company, and the largest
# group of outliers.
_REACH = 6
_LIKE = 0.3
_LARGEST_GROUP = 2
# Share of the residuals that also has to fit the scatter, and what it is of a normal distribution in sigma.
_MOST = 0.9
_MOST_SIGMA = 1.645
_MEDIAN_TO_SIGMA = 1.4826


class Reason(IntEnum):
    """Why a point was dropped; KEPT if it was not."""

    KEPT = 0
    NOT_FINITE = 1
    BAD_ERROR = 2
    LARGE_ERROR = 3
    DUPLICATE_EPOCH = 4
    BRIGHT_OUTLIER = 5
    FAINT_OUTLIER = 6
    LARGE_ERROR_OF_STAR = 7


# The kernels take plain numbers.
_KEPT = int(Reason.KEPT)
_DUPLICATE_EPOCH = int(Reason.DUPLICATE_EPOCH)
_BRIGHT_OUTLIER = int(Reason.BRIGHT_OUTLIER)
_FAINT_OUTLIER = int(Reason.FAINT_OUTLIER)
_LARGE_ERROR_OF_STAR = int(Reason.LARGE_ERROR_OF_STAR)


class CleaningSettings(SettingsModel):
    """Limits beyond which a point is dropped, and the true errors of those that stay."""

    max_mag_err: Magnitudes = Field(default=0.5, gt=0, description="largest stated error of a point")
    max_error_ratio: float | None = Field(
        default=None,
        gt=1,
        description="largest stated error of a point over the median one of its star, times the flux that a fainter "
        "point lacks, so that eclipses stay; no limit where unset, since errors are weights of the fit anyway",
    )
    error_scale: float = Field(
        default=1.0,
        gt=0,
        allow_inf_nan=False,
        description="gamma in sqrt((gamma sigma)^2 + eps^2), the error taken for a point of stated error sigma (form: "
        "Skowron J. et al. 2016, AcA 66, 1); about 1 to 1.7 from field to field of OGLE-IV, 1 leaves errors alone",
    )
    error_floor: Magnitudes = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="eps in the same; about 0.003 to 0.005 mag from field to field of OGLE-IV",
    )
    bright_sigma: float = Field(
        default=5.0,
        gt=0,
        description="a point this many sigma brighter than its neighbours in phase on both sides is dropped "
        "(Bodi & Hajdu 2021, ApJS 255, 1)",
    )
    faint_sigma: float = Field(
        default=10.0,
        gt=0,
        description="the same for fainter points; wider, so that eclipses stay (Bodi & Hajdu 2021, ApJS 255, 1)",
    )
    narrowest_eclipse: float = Field(
        default=0.01,
        ge=0,
        lt=1,
        description="cycles; faint points stay unless points less than this apart, one on either side, contradict "
        "them. Two stars of (R1 + R2)/a = 0.03 eclipse for this long, such as of type B on the main sequence with "
        "P = 100 d; 0 keeps all faint points",
    )
    max_faint_share: float = Field(
        default=0.03,
        ge=0,
        le=1,
        description="a star of whose points a larger share are faint outliers keeps these: so many are eclipses, "
        "folded with a wrong period; assumed",
    )


@dataclass(frozen=True)
class CleanedLightCurves:
    """Light curves after the cleaning.

    Attributes
    ----------
    curves : PackedLightCurves
        The points that were kept, with rescaled errors.
    phase : `~numpy.ndarray`
        Their phases.
    reasons : `~numpy.ndarray`
        Number of points a star and `Reason`, int64, shape (n, len(Reason)); a row sums to the points of the star.
    """

    curves: PackedLightCurves
    phase: FloatArray
    reasons: npt.NDArray[np.int64]


def clean(curves: PackedLightCurves, phase: FloatArray, *, settings: CleaningSettings) -> CleanedLightCurves:
    """Drop points that are no measurements of the star, and rescale the errors of the others.

    Parameters
    ----------
    curves : PackedLightCurves
        Light curves of n stars with k points in all, in any order of time.
    phase : `~numpy.ndarray`
        Phase of every point in cycles, shape (k,); NaN for stars that cannot be folded, whose outliers are not
        sought.
    settings : CleaningSettings
        Limits, and the rescaling of errors.

    Returns
    -------
    CleanedLightCurves
        The points kept, in their order, and the count of every reason. What becomes of a star does not depend on
        the others.

    Notes
    -----
    A point has the first reason that applies, in this order: a number that is not finite; an error that is not
    positive; a stated error above the limit, then above that of the star; an epoch that another point has with a
    smaller stated error, or an equal one earlier in the file; an outlier.

    The limits act on the errors as they are stated, so that a rescaling drops no points by itself. Errors are then
    rescaled to ``sqrt((error_scale sigma)^2 + error_floor^2)`` (Skowron J. et al. 2016, AcA 66, 1), and outliers
    judged by these.

    Outliers are sought in phase, again and again until none is left. The level about a point is the brighter, for
    faint points the fainter, of the medians of the three neighbours on either side: on the slope of an eclipse
    points lie between the two. A sigma is the error of the point or the scatter of the star, whichever is larger; the
    scatter is that of the inner half or the inner nine tenths of the residuals, so that the outbursts of a variable
    star count as scatter. An outlier stands alone or has one like it beside it; three of a kind are real. A faint
    one is also contradicted: points at the level on its two sides are closer together than an eclipse can be short.
    For a pair, they have to be twice as close. Where points are too sparse to tell an eclipse with one or two of them
    from outliers, they stay, and so do all faint ones of a star that has too many.

    Cleaned curves stay as they are when cleaned again, unless errors are rescaled or `max_error_ratio` is set: the
    first would be done twice, and the second refers to the median of other points.
    """
    reason = _static_reasons(curves, settings)
    if settings.max_error_ratio is not None:
        _mark_large_of_star(curves.mag, curves.mag_err, curves.offsets, settings.max_error_ratio, reason)
    _mark_duplicates(curves.time, curves.mag_err, curves.offsets, reason)
    good = reason == Reason.KEPT
    kept, kept_phase = _rescaled(curves.subset(good), settings), phase[good]
    limits = (settings.bright_sigma, settings.faint_sigma, settings.narrowest_eclipse, settings.max_faint_share)
    order = sort_by_phase(kept_phase, kept.offsets)
    outliers = _outliers(kept_phase, kept.mag, kept.mag_err, order, kept.offsets, limits)
    reason[good] = outliers
    final = outliers == Reason.KEPT
    return CleanedLightCurves(kept.subset(final), kept_phase[final], _count(reason, curves.offsets))


def _static_reasons(curves: PackedLightCurves, settings: CleaningSettings) -> npt.NDArray[np.int64]:
    reason = np.full(len(curves.time), int(Reason.KEPT), dtype=np.int64)
    reason[curves.mag_err > settings.max_mag_err] = Reason.LARGE_ERROR
    reason[~(curves.mag_err > 0)] = Reason.BAD_ERROR
    finite = np.isfinite(curves.time) & np.isfinite(curves.mag) & np.isfinite(curves.mag_err)
    reason[~finite] = Reason.NOT_FINITE
    return reason


def _rescaled(curves: PackedLightCurves, settings: CleaningSettings) -> PackedLightCurves:
    if settings.error_scale == 1.0 and settings.error_floor == 0.0:
        return curves
    error = np.hypot(settings.error_scale * curves.mag_err.astype(np.float64), settings.error_floor)
    return replace(curves, mag_err=error.astype(np.float32))


@numba.njit(cache=True, nogil=True)
def _mark_large_of_star(
    mag: npt.NDArray[np.float32],
    mag_err: npt.NDArray[np.float32],
    offsets: npt.NDArray[np.int64],
    max_ratio: float,
    reason: npt.NDArray[np.int64],
) -> None:
    """Mark good points whose error is too large for their star and their magnitude.

    Where the sky outshines the star, as at worst, the error in magnitudes goes with the inverse of the flux.
    """
    for star in range(len(offsets) - 1):
        good = offsets[star] + np.flatnonzero(reason[offsets[star] : offsets[star + 1]] == _KEPT)
        if len(good) == 0:
            continue
        median_mag, median_err = np.median(mag[good]), np.median(mag_err[good])
        for point in good:
            dimming = 10.0 ** (0.4 * max(0.0, mag[point] - median_mag))
            if mag_err[point] > max_ratio * median_err * dimming:
                reason[point] = _LARGE_ERROR_OF_STAR


@numba.njit(cache=True, nogil=True)
def _mark_duplicates(
    time: FloatArray,
    mag_err: npt.NDArray[np.float32],
    offsets: npt.NDArray[np.int64],
    reason: npt.NDArray[np.int64],
) -> None:
    """Mark all good points of an epoch but the one with the smallest error, the first of equal ones."""
    for star in range(len(offsets) - 1):
        first = offsets[star]
        own = time[first : offsets[star + 1]]
        # The usual case needs no sorting.
        if np.all(own[1:] > own[:-1]):
            continue
        order = first + np.argsort(own, kind="mergesort")
        best = -1
        for point in order:
            if reason[point] != _KEPT:
                continue
            if best < 0 or time[point] != time[best]:
                best = point
            elif mag_err[point] < mag_err[best]:
                reason[best] = _DUPLICATE_EPOCH
                best = point
            else:
                reason[point] = _DUPLICATE_EPOCH


@numba.njit(cache=True, nogil=True)
def _outliers(
    phase: FloatArray,
    mag: npt.NDArray[np.float32],
    mag_err: npt.NDArray[np.float32],
    order: npt.NDArray[np.int64],
    offsets: npt.NDArray[np.int64],
    limits: tuple[float, float, float, float],
) -> npt.NDArray[np.int64]:
    """Reason of every point: KEPT, or one of the outliers."""
    reason = np.zeros(len(mag), dtype=np.int64)
    bright_sigma, faint_sigma, narrowest, most_faint = limits
    for star in range(len(offsets) - 1):
        points = order[offsets[star] : offsets[star + 1]]
        points = points[np.isfinite(phase[points])]
        x, y, error = phase[points], mag[points].astype(np.float64), mag_err[points].astype(np.float64)
        found = _search(x, y, error, (bright_sigma, faint_sigma, narrowest))
        if np.count_nonzero(found == _FAINT_OUTLIER) > most_faint * len(points):
            found = _search(x, y, error, (bright_sigma, np.inf, narrowest))
        reason[points] = found
    return reason


@numba.njit(cache=True, nogil=True)
def _search(
    x: FloatArray, y: FloatArray, error: FloatArray, limits: tuple[float, float, float]
) -> npt.NDArray[np.int64]:
    """Search the points of a star in the order of phase, those that remain again and again."""
    found = np.zeros(len(x), dtype=np.int64)
    left = np.arange(len(x))
    while len(left) > 2 * _REACH:
        found[left] = _search_once(x[left], y[left], error[left], limits)
        remaining = left[found[left] == _KEPT]
        if len(remaining) == len(left):
            break
        left = remaining
    return found


@numba.njit(cache=True, nogil=True)
def _search_once(
    x: FloatArray, y: FloatArray, error: FloatArray, limits: tuple[float, float, float]
) -> npt.NDArray[np.int64]:
    n = len(x)
    # The cycle goes on at both ends, so that no neighbour needs a remainder.
    around = np.concatenate((y[n - _SIDE :], y, y[:_SIDE]))
    medians = np.empty(n + _SIDE + 1)
    for i in range(n + _SIDE + 1):
        a, b, c = around[i], around[i + 1], around[i + 2]
        medians[i] = max(min(a, b), min(max(a, b), c))
    before, after = medians[:n], medians[_SIDE + 1 :]
    scatter = _scatter(y - 0.5 * (before + after))
    found = np.zeros(n, dtype=np.int64)
    for i in range(n):
        sigma = max(scatter, error[i])
        bright, faint = min(before[i], after[i]), max(before[i], after[i])
        if bright - y[i] > limits[0] * sigma and _stands_out(x, y, i, _BRIGHT, limits[2]):
            found[i] = _BRIGHT_OUTLIER
        elif y[i] - faint > limits[1] * sigma and _stands_out(x, y, i, _FAINT, limits[2]):
            found[i] = _FAINT_OUTLIER
    return found


@numba.njit(cache=True, nogil=True)
def _scatter(residual: FloatArray) -> float:
    ordered = np.sort(np.abs(residual))
    n = len(ordered)
    scatter: float = max(_MEDIAN_TO_SIGMA * ordered[n // 2], ordered[int(_MOST * n)] / _MOST_SIGMA)
    return scatter


@numba.njit(cache=True, nogil=True)
def _stands_out(x: FloatArray, y: FloatArray, i: int, side: int, narrowest: float) -> bool:
    """Tell whether a point has no company, and if it is faint, whether the points about it contradict it.

    Company are the points that follow on it and deviate like it, and all those within the narrowest eclipse: with a
    wrong period, points in and out of an eclipse come at the same phase.
    """
    n = len(y)
    level = _opposite_level(y, i, side)
    group, gap = 1, 0.0
    for way in (-1, 1):
        unbroken = True
        for step in range(1, _REACH + 1):
            k = (i + way * step) % n
            distance = (way * (x[k] - x[i])) % 1.0
            like = side * (y[k] - level) > _LIKE * side * (y[i] - level)
            if like and (unbroken or distance < narrowest):
                group += 1
            elif unbroken:
                unbroken = False
                gap += distance
            elif distance >= narrowest:
                break
    return group <= _LARGEST_GROUP and (side == _BRIGHT or gap * group < narrowest)


@numba.njit(cache=True, nogil=True)
def _opposite_level(y: FloatArray, i: int, side: int) -> float:
    """Level that a point deviates from: a quarter of its neighbours are farther from it.

    With most of an eclipse among the neighbours, it is still that out of eclipse.
    """
    neighbours = np.empty(2 * _REACH)
    for step in range(1, _REACH + 1):
        neighbours[2 * step - 2] = side * y[(i - step) % len(y)]
        neighbours[2 * step - 1] = side * y[(i + step) % len(y)]
    level: float = side * np.sort(neighbours)[_REACH // 2]
    return level


def _count(reason: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    n_stars = len(offsets) - 1
    star = np.repeat(np.arange(n_stars), np.diff(offsets))
    counts = np.bincount(star * len(Reason) + reason, minlength=n_stars * len(Reason))
    return counts.reshape(n_stars, len(Reason)).astype(np.int64)
