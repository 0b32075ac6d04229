"""Quantiles, fractions and contours of what is counted in bins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray

__all__ = [
    "PeriodMassRatioMap",
    "binned_fraction",
    "binned_mean",
    "binned_quantiles",
    "contour_levels",
]


def binned_quantiles(edges: npt.ArrayLike, content: npt.ArrayLike, shares: npt.ArrayLike) -> FloatArray:
    """Quantiles of what is counted in bins.

    Parameters
    ----------
    edges : array_like
        Rising edges of the bins, shape (n + 1,).
    content : array_like
        Content of the bins in any unit, shape (n,).
    shares : array_like
        Shares of the content, 0 to 1.

    Returns
    -------
    `~numpy.ndarray`
        Values below which these shares lie, the content spread evenly within each bin; NaN if there is none.
    """
    edge, cumulative = np.asarray(edges, dtype=float), _cumulative(content)
    wanted = np.asarray(shares, dtype=float)
    if not cumulative[-1] > 0:
        return np.full(wanted.shape, np.nan)
    quantiles: FloatArray = np.interp(wanted * cumulative[-1], cumulative, edge)
    return quantiles


def binned_fraction(
    edges: npt.ArrayLike,
    content: npt.ArrayLike,
    low: float = -np.inf,
    high: float = np.inf,
    *,
    whole_bins: bool = False,
) -> float:
    """Fraction of what is counted in bins between two values.

    Parameters
    ----------
    edges : array_like
        Rising edges of the bins, shape (n + 1,).
    content : array_like
        Content of the bins in any unit, shape (n,).
    low, high : float, optional
        The values; from the lowest and to the highest by default.
    whole_bins : bool, optional
        Whether a bin counts as a whole if its middle is within the values, and not at all if it is not. Otherwise the
        content is spread evenly within each bin.

    Returns
    -------
    float
        Fraction of the content; NaN if there is none.
    """
    edge, amount = np.asarray(edges, dtype=float), np.asarray(content, dtype=float)
    total = float(amount.sum())
    if not total > 0:
        return float("nan")
    if whole_bins:
        middle = (edge[1:] + edge[:-1]) / 2.0
        return float(amount[(middle >= low) & (middle < high)].sum() / total)
    ends = np.interp([low, high], edge, _cumulative(amount))
    return float((ends[1] - ends[0]) / total)


def binned_mean(edges: npt.ArrayLike, content: npt.ArrayLike) -> float:
    """Mean of what is counted in bins, each at its middle.

    Parameters
    ----------
    edges : array_like
        Rising edges of the bins, shape (n + 1,).
    content : array_like
        Content of the bins in any unit, shape (n,).

    Returns
    -------
    float
        The mean; NaN if there is no content.
    """
    edge, amount = np.asarray(edges, dtype=float), np.asarray(content, dtype=float)
    total = float(amount.sum())
    return float((amount * (edge[1:] + edge[:-1]) / 2.0).sum() / total) if total > 0 else float("nan")


def contour_levels(content: npt.ArrayLike, shares: Sequence[float]) -> FloatArray:
    """Levels of the smallest regions that hold given shares: highest-density regions.

    Parameters
    ----------
    content : array_like
        Density on bins of equal size, any shape.
    shares : sequence of float
        Shares, such as 0.68, 0.90 and 0.95.

    Returns
    -------
    `~numpy.ndarray`
        For each share the density of the least dense bin that is needed; NaN if all is 0.
    """
    ordered = np.sort(np.ravel(np.asarray(content, dtype=float)))[::-1]
    cumulative = np.cumsum(ordered)
    if not (len(cumulative) and cumulative[-1] > 0):
        return np.full(len(shares), np.nan)
    needed = np.searchsorted(cumulative, np.asarray(shares) * cumulative[-1] * (1.0 - 1e-12))
    levels: FloatArray = ordered[np.minimum(needed, len(ordered) - 1)]
    return levels


def _cumulative(content: npt.ArrayLike) -> FloatArray:
    total: FloatArray = np.concatenate([[0.0], np.cumsum(np.asarray(content, dtype=float))])
    return total


@dataclass(frozen=True)
class PeriodMassRatioMap:
    """Systems, or any number in proportion to them, in bins of period and observed mass ratio.

    Attributes
    ----------
    period_edges : `~numpy.ndarray`
        Rising edges in days, shape (n + 1,).
    mass_ratio_edges : `~numpy.ndarray`
        Rising edges of min(q, 1/q), shape (m + 1,).
    content : `~numpy.ndarray`
        Content of the bins, shape (n, m).
    """

    period_edges: FloatArray
    mass_ratio_edges: FloatArray
    content: FloatArray

    @classmethod
    def of_density(
        cls, density: npt.ArrayLike, *, period_edges: npt.ArrayLike, mass_ratio_edges: npt.ArrayLike
    ) -> Self:
        """Make the map from a density a day and unit of mass ratio, as the published tables of Fabry et al. (2025) are.

        Parameters
        ----------
        density : array_like
            Density in the bins, shape (n, m).
        period_edges, mass_ratio_edges : array_like
            Rising edges, shapes (n + 1,) and (m + 1,).

        Returns
        -------
        PeriodMassRatioMap
            The map.
        """
        periods, ratios = np.asarray(period_edges, dtype=float), np.asarray(mass_ratio_edges, dtype=float)
        return cls(periods, ratios, np.asarray(density, dtype=float) * np.diff(periods)[:, None] * np.diff(ratios))

    @property
    def of_period(self) -> FloatArray:
        """Content by period, shape (n,)."""
        total: FloatArray = self.content.sum(axis=1)
        return total

    @property
    def of_mass_ratio(self) -> FloatArray:
        """Content by mass ratio, shape (m,)."""
        total: FloatArray = self.content.sum(axis=0)
        return total

    def period_quantiles(self, shares: npt.ArrayLike) -> FloatArray:
        """Quantiles of the period.

        Parameters
        ----------
        shares : array_like
            Shares of the content.

        Returns
        -------
        `~numpy.ndarray`
            Days.
        """
        return binned_quantiles(self.period_edges, self.of_period, shares)

    def summary(
        self,
        *,
        mass_ratios: Sequence[float] = (0.95, 0.9, 0.8),
        periods: Sequence[float] = (1.0, 2.0, 3.0),
        shares: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95),
        whole_bins: bool = False,
    ) -> Mapping[str, float]:
        """Say in numbers where the content lies.

        Parameters
        ----------
        mass_ratios : sequence of float, optional
            Least mass ratios of which the fractions are given.
        periods : sequence of float, optional
            Longest periods in days of which the fractions are given.
        shares : sequence of float, optional
            Shares of which the periods are given.
        whole_bins : bool, optional
            Whether the fractions in mass ratio are those of whole bins, as in `binned_fraction`.

        Returns
        -------
        mapping of str to float
            Keys such as "mean q", "q >= 0.95", "P < 1" and "P 5 %".
        """
        found = {"mean q": binned_mean(self.mass_ratio_edges, self.of_mass_ratio)}
        for least in mass_ratios:
            found[f"q >= {least:g}"] = binned_fraction(
                self.mass_ratio_edges, self.of_mass_ratio, least, whole_bins=whole_bins
            )
        for share, period in zip(shares, self.period_quantiles(shares), strict=True):
            found[f"P {100 * share:g} %"] = float(period)
        for longest in periods:
            found[f"P < {longest:g}"] = binned_fraction(self.period_edges, self.of_period, high=longest)
        return found
