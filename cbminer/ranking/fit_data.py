"""Points of a folded light curve made ready for a fit: true scatter, no outliers, and one mean a bin of phase."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError
from cbminer.ranking.fit_settings import FitDataSettings

__all__ = ["BANDS", "BinnedBand", "FoldedPoints", "StarCurves", "prepare_curves"]

BANDS: tuple[Literal["I", "V"], ...] = ("I", "V")

# Minima are sought this far from phase 0, in steps; cycles.
_SHIFTS = np.linspace(-0.05, 0.05, 101)
# Ratio of the standard deviation of a normal distribution to its median absolute deviation.
_SIGMA_PER_MAD = 1.4826
# Points that one harmonic of a series takes at least.
_POINTS_PER_HARMONIC = 5
# Stated errors are not taken to be larger than the true ones by more: a few points may scatter little by chance.
_LEAST_SCALE = 0.7


@dataclass(frozen=True)
class FoldedPoints:
    """Points of one band.

    Attributes
    ----------
    phase : `~numpy.ndarray`
        Phases in cycles, 0 at the deeper minimum, shape (n,).
    mag, mag_err : `~numpy.ndarray`
        Magnitudes and their errors.
    """

    phase: FloatArray
    mag: FloatArray
    mag_err: FloatArray

    def __len__(self) -> int:
        """Count the points."""
        return len(self.phase)

    def at(self, chosen: npt.NDArray[np.bool_]) -> "FoldedPoints":
        """Take some points.

        Parameters
        ----------
        chosen : `~numpy.ndarray`
            Mask.

        Returns
        -------
        FoldedPoints
            Those points.
        """
        return FoldedPoints(self.phase[chosen], self.mag[chosen], self.mag_err[chosen])


@dataclass(frozen=True)
class BinnedBand:
    """Means of the points of one band in bins of phase.

    Attributes
    ----------
    phase, mag, mag_err : `~numpy.ndarray`
        Mean phase, magnitude and its error of every bin that has points, shape (k,).
    error_scale : float
        Scatter of the points in units of their stated errors, by which the errors here are scaled.
    n_points, n_clipped : int
        Points in the bins, and points that were left out as outliers.
    """

    phase: FloatArray
    mag: FloatArray
    mag_err: FloatArray
    error_scale: float
    n_points: int
    n_clipped: int


@dataclass(frozen=True)
class StarCurves:
    """Light curves of a star as they are fitted.

    Attributes
    ----------
    star : str
        Identifier.
    bands : dict of str to BinnedBand
        I and, where there are enough points, V; the phases count from the axis of symmetry near the deeper minimum.
    phase_shift : float
        Phase of that axis in the phases that were given, cycles.
    """

    star: str
    bands: dict[str, BinnedBand]
    phase_shift: float

    @property
    def n_bins(self) -> int:
        """Number of means in all bands."""
        return sum(len(band.phase) for band in self.bands.values())


def prepare_curves(star: str, points: Mapping[str, FoldedPoints], *, settings: FitDataSettings) -> StarCurves:
    """Make the points of a star ready for a fit.

    Parameters
    ----------
    star : str
        Identifier, named in messages.
    points : mapping of str to FoldedPoints
        Cleaned points in I and, if there are any, in V.
    settings : FitDataSettings
        Least numbers of points, bins and clipping.

    Returns
    -------
    StarCurves
        Means in bins of phase about the axis of symmetry.

    Raises
    ------
    InputFormatError
        If there are too few points in I.

    Notes
    -----
    Errors are multiplied by the scatter about a free Fourier series over the stated error, but by no less than 0.7;
    OGLE's stated errors are mostly too small. Outliers beyond `clip_sigma` of the scatter go.
    """
    least = {"I": settings.least_points_I, "V": settings.least_points_V}
    n_points = len(points["I"]) if "I" in points else 0
    if n_points < least["I"]:
        msg = f"{star}: {n_points} points in I, a fit needs {least['I']} (least_points_I under [fit.data])"
        raise InputFormatError(msg)
    used = {band: points[band] for band in BANDS if band in points and len(points[band]) >= least[band]}
    kept = {band: _without_outliers(item, settings) for band, item in used.items()}
    shift = _axis_of_symmetry([item for item, _ in kept.values()], settings.harmonics)
    bands: dict[str, BinnedBand] = {
        band: _binned(item, scale, shift, len(used[band]) - len(item), settings) for band, (item, scale) in kept.items()
    }
    return StarCurves(star, bands, shift)


def _without_outliers(points: FoldedPoints, settings: FitDataSettings) -> tuple[FoldedPoints, float]:
    """Points without outliers, and their scatter in units of the stated errors."""
    deviation, n_terms = _deviations(points, settings.harmonics)
    scale = _SIGMA_PER_MAD * float(np.median(np.abs(deviation)))
    good = np.abs(deviation) <= settings.clip_sigma * max(scale, 1.0)
    kept = points.at(good)
    deviation, n_terms = _deviations(kept, settings.harmonics)
    return kept, float(np.sqrt((deviation**2).sum() / max(len(kept) - n_terms, 1)))


def _deviations(points: FoldedPoints, harmonics: int) -> tuple[FloatArray, int]:
    """Deviations from a free Fourier series over the stated errors, and the number of its terms."""
    order = _order(len(points), harmonics)
    design = np.column_stack([_cosines(points.phase, order), _sines(points.phase, order)])
    return _residuals(design, points), design.shape[1]


def _order(n_points: int, harmonics: int) -> int:
    """Order of a series for so many points: even, since two alike minima make even harmonics the strong ones."""
    return 2 * max(min(harmonics, n_points // _POINTS_PER_HARMONIC) // 2, 1)


def _residuals(design: FloatArray, points: FoldedPoints) -> FloatArray:
    weighted = design / points.mag_err[:, np.newaxis]
    solution = np.linalg.lstsq(weighted, points.mag / points.mag_err, rcond=None)[0]
    return np.asarray(points.mag / points.mag_err - weighted @ solution)


def _cosines(phase: FloatArray, order: int) -> FloatArray:
    return np.asarray(np.cos(2.0 * np.pi * phase[:, np.newaxis] * np.arange(order + 1)))


def _sines(phase: FloatArray, order: int) -> FloatArray:
    return np.asarray(np.sin(2.0 * np.pi * phase[:, np.newaxis] * np.arange(1, order + 1)))


def _axis_of_symmetry(bands: list[FoldedPoints], harmonics: int) -> float:
    """Phase near 0 about which the curves are best symmetric."""
    chi2 = np.zeros(len(_SHIFTS))
    for k, shift in enumerate(_SHIFTS):
        for points in bands:
            order = _order(len(points), harmonics)
            chi2[k] += (_residuals(_cosines(points.phase - shift, order), points) ** 2).sum()
    best = min(max(int(np.argmin(chi2)), 1), len(_SHIFTS) - 2)
    left, middle, right = chi2[best - 1 : best + 2]
    curvature = left - 2.0 * middle + right
    step = _SHIFTS[1] - _SHIFTS[0]
    offset = 0.5 * (left - right) / curvature if curvature > 0 else 0.0
    return float(_SHIFTS[best] + np.clip(offset, -1.0, 1.0) * step)


def _binned(points: FoldedPoints, scale: float, shift: float, n_clipped: int, settings: FitDataSettings) -> BinnedBand:
    phase = (points.phase - shift) % 1.0
    place = np.minimum((phase * settings.phase_bins).astype(np.int64), settings.phase_bins - 1)
    weight = 1.0 / (points.mag_err * max(scale, _LEAST_SCALE)) ** 2
    total = np.bincount(place, weights=weight, minlength=settings.phase_bins)
    filled = total > 0

    def mean(quantity: FloatArray) -> FloatArray:
        sums = np.bincount(place, weights=weight * quantity, minlength=settings.phase_bins)
        return np.asarray(sums[filled] / total[filled])

    return BinnedBand(mean(phase), mean(points.mag), 1.0 / np.sqrt(total[filled]), scale, len(points), n_clipped)
