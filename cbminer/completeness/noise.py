"""How a survey measures its stars: errors, scatter and outliers, taken from its own light curves."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from astropy.table import QTable
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

from cbminer.columns import FloatArray, label_column, values
from cbminer.errors import ArchiveError
from cbminer.lightcurves.cleaning import CleaningSettings
from cbminer.lightcurves.folding import fold
from cbminer.lightcurves.periods import PeriodVerdict
from cbminer.measurement import MeasurementSettings, StarTask, fit_curves
from cbminer.morphology.shape import shape_model
from cbminer.survey.packed import PackedLightCurves
from cbminer.synthetic.cadence import rescaled_error

__all__ = ["Donors", "ErrorRelation", "SurveyNoise", "measure_errors", "measure_noise", "outlier_deviations"]

# Points of a bin of magnitude at least, and bins at most.
_POINTS_A_BIN, _MOST_BINS = 400, 24
_SHARES = np.linspace(0.0, 1.0, 65)
# Light curves whose fit leaves nothing but noise: those of close pairs. If they are fewer, those of all stars.
_SMOOTH = ("contact", "near_contact", "ellipsoidal")
_FEWEST_DONORS, _FEWEST_POINTS = 30, 50
_NEIGHBOURS = 20
# OGLE's files have magnitudes and errors to a thousandth.
_DECIMALS = 3
_SMALLEST_ERROR = 0.001


@dataclass(frozen=True)
class ErrorRelation:
    """Stated errors of points by their magnitude.

    Attributes
    ----------
    magnitude : `~numpy.ndarray`
        Median magnitudes of the bins, rising, shape (k,).
    log_error : `~numpy.ndarray`
        Quantiles of the natural logarithm of the errors in mag, evenly spaced in their share, shape (k, 65).
    star_share : float
        Share of the scatter at a magnitude that is the same for all points of a star.
    """

    magnitude: FloatArray
    log_error: FloatArray
    star_share: float

    def draw(self, mag: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Draw the stated errors of the points of one star.

        Parameters
        ----------
        mag : `~numpy.ndarray`
            Magnitudes, shape (n,).
        rng : `~numpy.random.Generator`
            Source of randomness.

        Returns
        -------
        `~numpy.ndarray`
            Errors in mag, shape (n,). Beyond the magnitudes of the survey they are those of its brightest or faintest
            points.
        """
        of_star, of_points = rng.normal(), rng.normal(size=len(mag))
        normal = np.sqrt(self.star_share) * of_star + np.sqrt(1.0 - self.star_share) * of_points
        return np.exp(self._at(mag, ndtr(normal)))

    def _at(self, mag: FloatArray, share: FloatArray) -> FloatArray:
        """Quantiles, linear in magnitude and share."""
        place = np.interp(mag, self.magnitude, np.arange(len(self.magnitude), dtype=float))
        column = share * (len(_SHARES) - 1)
        row_0, column_0 = place.astype(np.int64), np.minimum(column.astype(np.int64), len(_SHARES) - 2)
        row_1 = np.minimum(row_0 + 1, len(self.magnitude) - 1)
        down, along = place - row_0, column - column_0
        upper, lower = (
            (1.0 - along) * self.log_error[row, column_0] + along * self.log_error[row, column_0 + 1]
            for row in (row_0, row_1)
        )
        return np.asarray((1.0 - down) * upper + down * lower)


@dataclass(frozen=True)
class Donors:
    """Stars of the survey that lend their scatter and their share of outliers; arrays of shape (d,).

    Attributes
    ----------
    I_mag : `~numpy.ndarray`
        Magnitudes in I, rising.
    scale : `~numpy.ndarray`
        Scatter about the fit over the errors.
    outliers : `~numpy.ndarray`
        Share of points that the cleaning rejected.
    """

    I_mag: FloatArray
    scale: FloatArray
    outliers: FloatArray

    @classmethod
    def of(cls, stars: QTable) -> "Donors":
        """Take those that there are in a run.

        Parameters
        ----------
        stars : `~astropy.table.QTable`
            Judged stars.

        Returns
        -------
        Donors
            Stars whose light curves are those of close pairs of a confirmed period, which the fit describes to the
            noise; of all stars if these are fewer than 30.

        Raises
        ------
        ArchiveError
            If no star has a light curve that was fitted.
        """
        i_mag, scatter, noise = (
            values(stars, "I_mag", "mag"),
            values(stars, "scatter", "mag"),
            values(stars, "noise", "mag"),
        )
        kept, rejected = values(stars, "n_points"), values(stars, "n_rejected")
        fitted = np.isfinite(i_mag) & (scatter > 0) & (noise > 0) & (kept >= _FEWEST_POINTS)
        smooth = fitted & np.isin(label_column(stars, "light_curve_class"), _SMOOTH)
        # Spots and the like, which add to the scatter, hardly keep a period for years.
        smooth &= label_column(stars, "period_verdict") == PeriodVerdict.CONFIRMED.name.lower()
        places = np.flatnonzero(smooth if smooth.sum() >= _FEWEST_DONORS else fitted)
        if len(places) == 0:
            msg = "no star of the run has a fitted light curve to measure the noise from: select with light curves"
            raise ArchiveError(msg)
        places = places[np.argsort(i_mag[places], kind="stable")]
        return cls(i_mag[places], (scatter / noise)[places], (rejected / (kept + rejected))[places])

    def draw(self, I_mag: float, rng: np.random.Generator) -> tuple[float, float]:
        """Draw a donor of about a magnitude.

        Parameters
        ----------
        I_mag : float
            Magnitude in I.
        rng : `~numpy.random.Generator`
            Source of randomness.

        Returns
        -------
        scale, outliers : float
            Of one of the 20 donors about that magnitude.
        """
        n_near = min(_NEIGHBOURS, len(self.I_mag))
        first = int(np.clip(np.searchsorted(self.I_mag, I_mag) - n_near // 2, 0, len(self.I_mag) - n_near))
        place = first + int(rng.integers(n_near))
        return float(self.scale[place]), float(self.outliers[place])


@dataclass(frozen=True)
class SurveyNoise:
    """Noise of a survey in I.

    Attributes
    ----------
    errors : ErrorRelation
        Stated errors by magnitude.
    donors : Donors
        Scatter over errors, and shares of outliers.
    deviations : `~numpy.ndarray`
        How far points that the cleaning rejected lie off the fit, in mag, fainter is positive; may be none.
    cleaning : CleaningSettings
        Rescaling of the errors that the scatter is measured in.
    """

    errors: ErrorRelation
    donors: Donors
    deviations: FloatArray
    cleaning: CleaningSettings

    def observe(self, mag: FloatArray, I_mag: float, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Measure the points of one star.

        Parameters
        ----------
        mag : `~numpy.ndarray`
            Magnitudes without noise, shape (n,).
        I_mag : float
            Magnitude in I at maximum light, by which donors are found.
        rng : `~numpy.random.Generator`
            Source of randomness.

        Returns
        -------
        mag, mag_err : `~numpy.ndarray`
            What the survey's file would state, to a thousandth.
        """
        scale, outliers = self.donors.draw(I_mag, rng)
        stated = np.maximum(np.round(self.errors.draw(mag, rng), _DECIMALS), _SMALLEST_ERROR)
        error = rescaled_error(stated, scale=self.cleaning.error_scale, floor=self.cleaning.error_floor)
        noisy = mag + scale * error * rng.normal(size=len(mag))
        off = rng.random(len(mag)) < outliers
        if len(self.deviations):
            noisy[off] = mag[off] + rng.choice(self.deviations, size=int(off.sum()))
        return np.round(noisy, _DECIMALS), stated


def measure_noise(
    stars: QTable, curves: PackedLightCurves, tasks: Sequence[StarTask], *, settings: MeasurementSettings
) -> SurveyNoise:
    """Measure the noise of a survey.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Judged stars: the donors are among them.
    curves : PackedLightCurves
        Some light curves of the survey in I, as they are in the files.
    tasks : sequence of StarTask
        The stars of these, with listed periods.
    settings : MeasurementSettings
        How light curves are cleaned and fitted.

    Returns
    -------
    SurveyNoise
        The noise.

    Raises
    ------
    ArchiveError
        If there are too few points, or no fitted light curve.
    """
    return SurveyNoise(
        measure_errors(curves),
        Donors.of(stars),
        outlier_deviations(curves, tasks, settings=settings),
        settings.cleaning,
    )


def measure_errors(curves: PackedLightCurves) -> ErrorRelation:
    """Measure the relation of stated errors with magnitude.

    Parameters
    ----------
    curves : PackedLightCurves
        Light curves.

    Returns
    -------
    ErrorRelation
        Quantiles in bins of magnitude of equal numbers of points. The part of the scatter that is the star's own is
        that of the mean of its points beyond what their number explains.

    Raises
    ------
    ArchiveError
        If there are fewer than 400 points.
    """
    mag, error = curves.mag.astype(float), curves.mag_err.astype(float)
    star = np.repeat(np.arange(len(curves)), np.diff(curves.offsets))
    good = np.isfinite(mag) & np.isfinite(error) & (error > 0)
    mag, error, star = mag[good], error[good], star[good]
    if len(mag) < _POINTS_A_BIN:
        msg = f"errors cannot be measured from {len(mag)} points of light curves: inject into a survey with more"
        raise ArchiveError(msg)
    n_bins = min(len(mag) // _POINTS_A_BIN, _MOST_BINS)
    parts = np.array_split(np.argsort(mag, kind="stable"), n_bins)
    centre = np.array([np.median(mag[part]) for part in parts])
    quantiles = np.array([np.quantile(np.log(error[part]), _SHARES) for part in parts])
    score = np.empty(len(mag))
    for part in parts:
        score[part] = ndtri((rankdata(error[part]) - 0.5) / len(part))
    keep = np.flatnonzero(np.diff(centre, prepend=-np.inf) > 0)
    return ErrorRelation(centre[keep], quantiles[keep], _star_share(score, star))


def _star_share(score: FloatArray, star: npt.NDArray[np.int64]) -> float:
    """Share of the variance between stars: one-way analysis of variance."""
    counts = np.bincount(star)
    present = counts >= 2
    sums, squares = np.bincount(star, weights=score), np.bincount(star, weights=score**2)
    n = counts[present]
    if len(n) < 2:
        return 0.0
    mean = sums[present] / n
    inner = (squares[present] - n * mean**2).sum() / max(int((n - 1).sum()), 1)
    between = float(np.var(mean, ddof=1) - inner * (1.0 / n).mean())
    total = max(between, 0.0) + inner
    return float(max(between, 0.0) / total) if total > 0 else 0.0


def outlier_deviations(
    curves: PackedLightCurves, tasks: Sequence[StarTask], *, settings: MeasurementSettings
) -> FloatArray:
    """Measure how far off the points lie that the cleaning rejects.

    Parameters
    ----------
    curves : PackedLightCurves
        Light curves, their points in any order.
    tasks : sequence of StarTask
        Their stars.
    settings : MeasurementSettings
        How light curves are cleaned and fitted.

    Returns
    -------
    `~numpy.ndarray`
        Magnitude less that of the fit, sorted; stars without a fit give none.
    """
    fitted = fit_curves(curves, tasks, settings=settings)
    epoch = np.array([task.epoch for task in tasks])
    cycles = fold(curves.time, curves.offsets, fitted.periods.period, epoch)
    found = []
    for place in range(len(curves)):
        points, kept = curves.points_of(place), fitted.cleaned.curves.points_of(place)
        rejected = ~np.isin(curves.time[points], fitted.cleaned.curves.time[kept])
        if not rejected.any() or not np.isfinite(epoch[place]):
            continue
        phase = cycles[points][rejected] - fitted.shapes.phase_zero[place]
        found.append(curves.mag[points][rejected] - shape_model(fitted.shapes, place, phase))
    deviations = np.concatenate([np.empty(0), *found])
    return np.sort(deviations[np.isfinite(deviations)])
