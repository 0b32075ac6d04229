"""Measured c brought to the scale of published values of the same stars by a rising function."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from cbminer.columns import FloatArray

__all__ = ["CCalibration", "calibrate_c"]

_NODES = 20


@dataclass(frozen=True)
class CCalibration:
    """A rising function from measured to published c.

    Attributes
    ----------
    measured, published : `~numpy.ndarray`
        Its nodes; linear between them, and shifted by the difference at the ends beyond.
    n_stars : int
        Stars that it was fitted to.
    offset, scatter : float
        Median of published less measured c before, and robust scatter after the calibration beyond the errors.
    correlation : float
        Spearman correlation of both.
    """

    measured: FloatArray
    published: FloatArray
    n_stars: int
    offset: float
    scatter: float
    correlation: float

    def apply(self, c: FloatArray, e_c: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Calibrate.

        Parameters
        ----------
        c, e_c : `~numpy.ndarray`
            Measured c and its error.

        Returns
        -------
        c, e_c : `~numpy.ndarray`
            The same on the published scale; the error stretched by the local slope, with the scatter of the
            calibration added in quadrature.
        """
        low, high = self.measured[0], self.measured[-1]
        inside = np.interp(c, self.measured, self.published)
        beyond = np.where(c < low, c - low, np.where(c > high, c - high, 0.0))
        width = np.maximum(e_c, 0.01)
        slope = (
            np.interp(c + width, self.measured, self.published) - np.interp(c - width, self.measured, self.published)
        ) / (2.0 * width)
        slope = np.where(beyond == 0, slope, 1.0)
        return np.clip(inside + beyond, 0.0, 1.1), np.hypot(slope * e_c, self.scatter)


def calibrate_c(
    measured: FloatArray, e_measured: FloatArray, published: FloatArray, *, least_stars: int
) -> CCalibration | None:
    """Fit a rising function to stars with both values.

    Parameters
    ----------
    measured, e_measured, published : `~numpy.ndarray`
        Measured c, its error and published c of the same stars, NaN where unknown, shape (n,).
    least_stars : int
        Stars with both values that a fit needs.

    Returns
    -------
    CCalibration or None
        The function; None with fewer stars, or if the two do not rise together.
    """
    both = np.isfinite(measured) & np.isfinite(published)
    if np.count_nonzero(both) < least_stars:
        return None
    from scipy.stats import spearmanr

    order = np.argsort(measured[both], kind="stable")
    x, y = measured[both][order], published[both][order]
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    correlation = float(spearmanr(x, y).statistic)
    if not correlation > 0:
        return None
    groups = np.array_split(np.arange(len(x)), min(_NODES, max(2, len(x) // 10)))
    nodes = np.array([np.median(x[group]) for group in groups])
    # Medians, so that a star that was taken for another one does not pull; risen to order by pooling.
    levels = isotonic_regression([np.median(y[group]) for group in groups], weights=[len(g) for g in groups]).x
    nodes, first = np.unique(nodes, return_index=True)
    levels = np.asarray(levels)[first]
    residual = y - np.interp(x, nodes, levels)
    scatter = float(1.4826 * np.median(np.abs(residual - np.median(residual))))
    # Errors of measurement are in the residuals already; what is left beside them is that of the scales.
    noise = float(np.median(np.nan_to_num(e_measured[both])))
    beside = float(np.sqrt(max(scatter**2 - noise**2, 0.0)))
    return CCalibration(nodes, levels, len(x), float(np.median(y - x)), beside, correlation)
