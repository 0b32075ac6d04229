"""Where the stars of a survey lie in period, magnitude and colour, each counted by a weight: a smooth density."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d, map_coordinates

from cbminer.columns import FloatArray
from cbminer.ranking.place_kernel import share_out

__all__ = ["PlaceGrid", "SurveyDensity"]

_BINS_A_SIGMA = 2.0
# Sharing a star between bins and interpolating between them add a sixth of a squared bin each to the variance.
_FILTER = float(np.sqrt(_BINS_A_SIGMA**2 - 1.0 / 3.0))
_PADDING_SIGMAS = 4.0


def _peak() -> tuple[float, float]:
    """Work out what the smoothing leaves of a star in its own bin, and in the next one."""
    alone = np.zeros(41)
    alone[20] = 1.0
    smooth = gaussian_filter1d(alone, _FILTER, mode="constant", truncate=_PADDING_SIGMAS)
    return float(smooth[20]), float(smooth[21])


_PEAK = _peak()
# However far outliers lie, the bins fit in memory: beyond this many bandwidths from the median a place is held there.
_FARTHEST = 40.0
# Half of the width between the 16th and the 84th percentile is the standard deviation of a normal distribution.
_CENTRAL = (16.0, 84.0)


@dataclass(frozen=True)
class PlaceGrid:
    """Bins over log P, M_V and (V-I)_0, and the smoothing in units of them.

    Attributes
    ----------
    origin, step : `~numpy.ndarray`
        Middle of the first bin and width of the bins along each axis, shape (3,).
    shape : tuple of int
        Number of bins.
    """

    origin: FloatArray
    step: FloatArray
    shape: tuple[int, int, int]

    @classmethod
    def over(cls, places: FloatArray, errors: FloatArray) -> Self:
        """Lay bins over the stars of a survey.

        Parameters
        ----------
        places : `~numpy.ndarray`
            log P, M_V and (V-I)_0 of n stars, shape (n, 3), all known.
        errors : `~numpy.ndarray`
            Typical error along each axis, below which nothing need be resolved; shape (3,).

        Returns
        -------
        PlaceGrid
            Bins of half a bandwidth, which is that of Scott (1992) for three dimensions, from the central 68 % of the
            stars.
        """
        low, high = np.percentile(places, _CENTRAL, axis=0)
        bandwidth = np.maximum(0.5 * (high - low) * len(places) ** (-1.0 / 7.0), np.maximum(errors, 1e-3))
        middle = np.median(places, axis=0)
        held = np.clip(places, middle - _FARTHEST * bandwidth, middle + _FARTHEST * bandwidth)
        step = bandwidth / _BINS_A_SIGMA
        origin = held.min(axis=0) - _PADDING_SIGMAS * bandwidth
        n_0, n_1, n_2 = (int(n) for n in np.ceil((held.max(axis=0) + _PADDING_SIGMAS * bandwidth - origin) / step) + 1)
        return cls(origin, step, (n_0, n_1, n_2))

    def own(self, bins: FloatArray) -> FloatArray:
        """Density that stars of weight 1 have at their own places.

        Parameters
        ----------
        bins : `~numpy.ndarray`
            Places in units of bins along some of the axes, the first one first; shape (n, axes).

        Returns
        -------
        `~numpy.ndarray`
            What the sharing between bins, the smoothing and the interpolation leave of one star; shape (n,).
        """
        n_axes = bins.shape[1]
        lower = np.minimum(bins.astype(np.int64), np.array(self.shape[:n_axes]) - 2)
        beyond = bins - lower
        same, next_one = _PEAK
        along = (beyond**2 + (1.0 - beyond) ** 2) * same + 2.0 * beyond * (1.0 - beyond) * next_one
        result: FloatArray = np.prod(along / self.step[:n_axes], axis=1)
        return result

    def bins(self, places: FloatArray) -> FloatArray:
        """Places in units of bins, held within the grid.

        Parameters
        ----------
        places : `~numpy.ndarray`
            log P, M_V and (V-I)_0, shape (n, 3).

        Returns
        -------
        `~numpy.ndarray`
            0 in the middle of the first bin, shape (n, 3).
        """
        inside: FloatArray = np.clip((places - self.origin) / self.step, 0.0, np.array(self.shape) - 1.0)
        return inside


@dataclass(frozen=True)
class SurveyDensity:
    """Density of weighted stars.

    Attributes
    ----------
    grid : PlaceGrid
        The bins.
    total : float
        Sum of the weights.
    in_all, in_period : `~numpy.ndarray`
        Density times the total in all three axes, shape of the grid, and in log P alone.
    """

    grid: PlaceGrid
    total: float
    in_all: FloatArray
    in_period: FloatArray

    @classmethod
    def of(cls, grid: PlaceGrid, bins: FloatArray, weight: FloatArray) -> Self:
        """Smooth the stars.

        Parameters
        ----------
        grid : PlaceGrid
            The bins.
        bins : `~numpy.ndarray`
            Places of the stars in units of bins, shape (n, 3).
        weight : `~numpy.ndarray`
            Their weights, shape (n,).

        Returns
        -------
        SurveyDensity
            The density.
        """
        content = np.zeros(grid.shape)
        share_out(content, bins, weight)
        return cls.of_content(grid, content, float(weight.sum()))

    @classmethod
    def of_content(cls, grid: PlaceGrid, content: FloatArray, total: float) -> Self:
        """Smooth stars that are shared out between bins already.

        Parameters
        ----------
        grid : PlaceGrid
            The bins.
        content : `~numpy.ndarray`
            Content of the bins, shape of the grid.
        total : float
            Sum of the weights.

        Returns
        -------
        SurveyDensity
            The density.
        """
        smooth = gaussian_filter(content, _FILTER, mode="constant", truncate=_PADDING_SIGMAS)
        along = gaussian_filter1d(content.sum(axis=(1, 2)), _FILTER, mode="constant", truncate=_PADDING_SIGMAS)
        return cls(grid, total, smooth / float(np.prod(grid.step)), along / float(grid.step[0]))

    def at(self, bins: FloatArray, *, less: FloatArray | float = 0.0) -> FloatArray:
        """Density at stars.

        Parameters
        ----------
        bins : `~numpy.ndarray`
            Places in units of bins, shape (n, 3).
        less : `~numpy.ndarray` or float, optional
            Weight with which each star is itself among those that were smoothed, and which does not count for it.

        Returns
        -------
        `~numpy.ndarray`
            Density, shape (n,).
        """
        found = map_coordinates(self.in_all, bins.T, order=1, mode="nearest") - less * self.grid.own(bins)
        result: FloatArray = np.maximum(found, 0.0) / np.maximum(self.total - less, 1e-9)
        return result

    def at_period(self, bins: FloatArray, *, less: FloatArray | float = 0.0) -> FloatArray:
        """Density in log P alone.

        Parameters
        ----------
        bins : `~numpy.ndarray`
            Places along log P in units of bins, shape (n,).
        less : `~numpy.ndarray` or float, optional
            As in `at`.

        Returns
        -------
        `~numpy.ndarray`
            Density, shape (n,).
        """
        own = self.grid.own(bins[:, np.newaxis])
        found = np.interp(bins, np.arange(len(self.in_period)), self.in_period) - less * own
        result: FloatArray = np.maximum(found, 0.0) / np.maximum(self.total - less, 1e-9)
        return result
