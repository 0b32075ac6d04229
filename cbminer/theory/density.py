"""Density of a population in period, magnitude and colour, convolved with the errors of each star that asks for it."""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from scipy.special import ndtr, ndtri

from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError, SettingsError
from cbminer.theory.binning import share_in_bins, split_at_edges
from cbminer.theory.credible import CredibleLevels, ErrorMatrix, asked_stars
from cbminer.theory.density_kernel import least_distances, sum_near
from cbminer.theory.population_settings import CountSettings, DensitySettings
from cbminer.theory.population_steps import PhasePieces, why_no_density

__all__ = ["AXES", "AxisName", "DensityPlane", "PopulationDensity"]

AxisName = Literal["log_P", "M_V", "VI0"]
AXES: tuple[AxisName, AxisName, AxisName] = ("log_P", "M_V", "VI0")
# Bins a standard deviation along each axis. Sharing a place between two bins adds a sixth of a squared bin to the
# variance on average, and so does interpolation between slices of log P: both are taken off that of the kernel.
_BINS_A_SIGMA = (4.0, 2.0, 2.0)
_SHARED = 1.0 / 6.0
_PADDING_SIGMAS = 5.0
_MOST_BINS = 40_000_000
# Models so far beyond the limits of magnitude, in mag, can still be observed within: 5 standard deviations of 0.4.
_MARGIN = 2.0
# Errors count so many times in distances: with 2, 97 % of the members of the population are at 0, with 1 some 85 %.
_HULL_SIGMAS = 2.0
# Bins along each side of a block of models, of which most are never looked into.
_BLOCK = 6


@dataclass(frozen=True)
class DensityPlane:
    """Density in two of the three axes, its integral 1.

    Attributes
    ----------
    x, y : str
        Names of the axes.
    x_edges, y_edges : `~numpy.ndarray`
        Edges of the bins, shapes (n + 1,) and (m + 1,).
    density : `~numpy.ndarray`
        Share of the population per unit of both axes, shape (n, m).
    """

    x: AxisName
    y: AxisName
    x_edges: FloatArray
    y_edges: FloatArray
    density: FloatArray


@dataclass(frozen=True)
class PopulationDensity:
    """Density of one phase of a population in (log P, M_V, (V-I)_0).

    Attributes
    ----------
    number : float
        Systems in this phase, and within the limits if there are any: what the density is a share of.
    unknown_share : float
        Share, of these and of those whose place is unknown, of the latter: a model lacks a period or magnitude.
    edges : tuple of `~numpy.ndarray`
        Edges of the bins along log P in days, M_V and (V-I)_0 in mag.
    content : `~numpy.ndarray`
        Share of the systems in each bin, before any smoothing; the sum is 1.
    around : `~numpy.ndarray`
        The same with the systems beyond the limits of magnitude, which errors may move within: where there are any, the
        sum exceeds 1.
    limits : tuple of float or None
        Brightest and faintest M_V of the sample in mag.
    settings : DensitySettings
        Smoothing.
    seed : int
        Seed of the draws behind credible levels.
    """

    number: float
    unknown_share: float
    edges: tuple[FloatArray, FloatArray, FloatArray]
    content: FloatArray
    around: FloatArray
    limits: tuple[float, float] | None
    settings: DensitySettings
    seed: int = 0

    @classmethod
    def of_pieces(
        cls,
        pieces: PhasePieces,
        weight: FloatArray,
        *,
        settings: DensitySettings,
        limits: CountSettings | None = None,
        seed: int = 0,
    ) -> Self:
        """Lay out the density of pieces of tracks.

        Parameters
        ----------
        pieces : PhasePieces
            Pieces of one phase.
        weight : `~numpy.ndarray`
            Systems that each piece stands for: its duration times the pairs born a year; shape (n,).
        settings : DensitySettings
            Smoothing.
        limits : CountSettings, optional
            Limits of magnitude and period of the sample that is compared with it; none by default.
        seed : int, optional
            Seed of the draws behind credible levels.

        Returns
        -------
        PopulationDensity
            The density.

        Raises
        ------
        InputFormatError
            If there is nothing to lay out: see `why_no_density`.
        SettingsError
            If the smoothing is so fine that the bins do not fit in memory.
        """
        reason = why_no_density(pieces, weight, limits)
        if reason is not None:
            raise InputFormatError(reason)
        start, end = (np.column_stack([ends[name] for name in AXES]) for ends in (pieces.start, pieces.end))
        # A piece whose beginning has no magnitude stands for its time at its end.
        start = np.where(np.isfinite(start).all(axis=1, keepdims=True), start, end)
        near = (pieces.known if limits is None else pieces.near(limits, _MARGIN)) & (weight > 0)
        counted = near if limits is None else near & pieces.within(limits)
        both = np.concatenate([start[near], end[near]])
        sigmas = _sigmas(settings)
        log_p, m_v, vi0 = (_edges(both[:, axis], sigmas[axis], _BINS_A_SIGMA[axis]) for axis in range(3))
        edges = (log_p, m_v, vi0)
        n_bins = (len(log_p) - 1) * (len(m_v) - 1) * (len(vi0) - 1)
        if n_bins > _MOST_BINS:
            msg = f"the density would need {n_bins:,} bins: raise the smoothing under [population.density]"
            raise SettingsError(msg)
        content, beyond = (
            share_in_bins(*split_at_edges(start[part], end[part], weight[part], edges=edges), edges=edges)
            for part in (counted, near & ~counted)
        )
        around = (content + beyond) / content.sum()
        number, unknown = float(weight[counted].sum()), float(np.nansum(weight[~pieces.known]))
        magnitudes = None if limits is None else (limits.M_V_bright, limits.M_V_faint)
        return cls(
            number, unknown / (number + unknown), edges, content / content.sum(), around, magnitudes, settings, seed
        )

    def at(
        self,
        log_P: npt.ArrayLike,
        M_V: npt.ArrayLike,
        VI0: npt.ArrayLike,
        *,
        e_M_V: npt.ArrayLike = 0.0,
        e_VI0: npt.ArrayLike = 0.0,
        cov_M_V_VI0: npt.ArrayLike = 0.0,
    ) -> FloatArray:
        """Density at stars, convolved with the errors of each: the likelihood of what is observed.

        Parameters
        ----------
        log_P : array_like
            Logarithms of periods in days, taken to be exact.
        M_V, VI0 : array_like
            Absolute magnitudes and intrinsic colours in mag.
        e_M_V, e_VI0 : array_like, optional
            Their errors in mag.
        cov_M_V_VI0 : array_like, optional
            Their covariance in mag2.

        Returns
        -------
        `~numpy.ndarray`
            Share of the population a dex of period, mag of M_V and mag of (V-I)_0; NaN where something is unknown or
            masked, 0 beyond 5 standard deviations of all models. Its integral over all three axes is 1: over what is
            observed within the limits of magnitude, if there are any, for then the sample is that.

        Raises
        ------
        InputFormatError
            If an error is negative.

        Notes
        -----
        A sum over bins within 5 standard deviations of the star, linear between slices of log P, with the variance that
        the bins add taken off that of the kernel. It is the sum of normal curves over the tracks themselves to 1 % of
        the highest density.
        """
        stars, errors, shape = asked_stars(log_P, M_V, VI0, e_M_V, e_VI0, cov_M_V_VI0)
        return self._at(stars, errors).reshape(shape)

    def _at(self, stars: FloatArray, errors: ErrorMatrix) -> FloatArray:
        widths, origins = self._widths, np.array([edges[0] for edges in self.edges])
        _, h_m, h_c = _sigmas(self.settings)
        variance_m = errors.e_M_V**2 + h_m**2 - _SHARED * widths[1] ** 2
        variance_c = errors.e_VI0**2 + h_c**2 - _SHARED * widths[2] ** 2
        slope = errors.covariance / variance_m
        spread_m = np.sqrt(variance_m)
        spread_c = np.sqrt(variance_c - slope**2 * variance_m)
        sums = sum_near(
            self._smooth,
            (stars - origins) / widths,
            np.column_stack([spread_m / widths[1], spread_c / widths[2]]),
            slope * widths[1] / widths[2],
        )
        density: FloatArray = sums / (2.0 * np.pi * spread_m * spread_c * widths[0])
        return density / self._observed_within(spread_m)

    def _observed_within(self, spread: FloatArray) -> FloatArray:
        """Systems that are observed within the limits over those that lie within, by the spread of M_V."""
        known = spread[np.isfinite(spread)]
        if self.limits is None or len(known) == 0:
            return np.ones(len(spread))
        nodes = np.unique(np.linspace(known.min(), known.max(), 129))
        bright, faint = self.limits
        by_magnitude, middle = self.around.sum(axis=(0, 2)), (self.edges[1][1:] + self.edges[1][:-1]) / 2.0
        within = (ndtr((faint - middle) / nodes[:, None]) - ndtr((bright - middle) / nodes[:, None])) @ by_magnitude
        return np.asarray(np.interp(spread, nodes, within))

    @cached_property
    def _widths(self) -> FloatArray:
        return np.array([edges[1] - edges[0] for edges in self.edges])

    @cached_property
    def _smooth(self) -> FloatArray:
        """Content, with what errors move to within the limits, smoothed along log P."""
        sigma = np.sqrt(_BINS_A_SIGMA[0] ** 2 - 2.0 * _SHARED)
        smooth: FloatArray = gaussian_filter1d(self.around, sigma, axis=0, mode="constant", truncate=_PADDING_SIGMAS)
        return smooth

    def credible_level(
        self,
        log_P: npt.ArrayLike,
        M_V: npt.ArrayLike,
        VI0: npt.ArrayLike,
        *,
        e_M_V: npt.ArrayLike = 0.0,
        e_VI0: npt.ArrayLike = 0.0,
        cov_M_V_VI0: npt.ArrayLike = 0.0,
    ) -> FloatArray:
        """Share of the population, seen with the errors of the star, that lies at a higher density than the star.

        Parameters
        ----------
        log_P, M_V, VI0, e_M_V, e_VI0, cov_M_V_VI0 : array_like
            As in `at`.

        Returns
        -------
        `~numpy.ndarray`
            0 at the peak and 1 where no model is; a star is inside of the contour that holds 90 % of the population if
            it is 0.9 at most. NaN where something is unknown.

        Notes
        -----
        The population is drawn and observed with errors on a mesh about those of the stars, and the level is linear
        between its nodes in the logarithm of the density. Levels of members of the population are spread evenly between
        0 and 1, to 0.01: of those observed within the limits of magnitude, if there are any.
        """
        stars, errors, shape = asked_stars(log_P, M_V, VI0, e_M_V, e_VI0, cov_M_V_VI0)
        return self._levels.of(self._at(stars, errors), errors).reshape(shape)

    @cached_property
    def _levels(self) -> CredibleLevels:
        share, places = 1.0 / float(self.around.sum()), partial(self._places, self.around)
        return CredibleLevels(places, self._in_limits, self._at, self.settings.draws, share, self.seed)

    def _in_limits(self, stars: FloatArray) -> npt.NDArray[np.bool_]:
        bright, faint = self.limits or (-np.inf, np.inf)
        return np.asarray((stars[:, 1] >= bright) & (stars[:, 1] <= faint))

    def draw(self, n: int, *, seed: int) -> FloatArray:
        """Draw systems of the population, smoothed as the density is.

        Parameters
        ----------
        n : int
            Number of systems.
        seed : int
            Seed.

        Returns
        -------
        `~numpy.ndarray`
            log P, M_V and (V-I)_0, shape (n, 3).
        """
        return self._places(self.content, np.random.default_rng(np.random.SeedSequence([seed, 1])).random((n, 4)))

    def _places(self, content: FloatArray, uniform: FloatArray) -> FloatArray:
        """Systems in bins for four numbers each, evenly spread between 0 and 1."""
        cumulative = np.cumsum(content.ravel())
        chosen = np.searchsorted(cumulative, uniform[:, 0] * cumulative[-1], side="right")
        corner = np.column_stack(np.unravel_index(chosen, content.shape))
        origins = np.array([edges[0] for edges in self.edges])
        spread = np.sqrt(np.array(_sigmas(self.settings)) ** 2 - _SHARED * self._widths**2)
        drawn: FloatArray = origins + (corner + 0.5) * self._widths + spread * ndtri(uniform[:, 1:])
        return drawn

    def distance(
        self,
        log_P: npt.ArrayLike,
        M_V: npt.ArrayLike,
        VI0: npt.ArrayLike,
        *,
        e_M_V: npt.ArrayLike = 0.0,
        e_VI0: npt.ArrayLike = 0.0,
        cov_M_V_VI0: npt.ArrayLike = 0.0,
    ) -> FloatArray:
        """Distance of stars to the hull of the models of this phase.

        Parameters
        ----------
        log_P, M_V, VI0, e_M_V, e_VI0, cov_M_V_VI0 : array_like
            As in `at`.

        Returns
        -------
        `~numpy.ndarray`
            0 within one unit of a model, else the distance beyond that in units; NaN where something is unknown. The
            unit is the reach (`DensitySettings`), and twice the errors of the star added to it in quadrature, with
            their covariance.

        Raises
        ------
        InputFormatError
            If an error is negative.

        Notes
        -----
        The hull is the union of ellipsoids about all models, not a convex one: the population is bent, and a convex
        hull would hold much that no model is near to.
        """
        stars, errors, shape = asked_stars(log_P, M_V, VI0, e_M_V, e_VI0, cov_M_V_VI0)
        reach = self.settings
        variance_m = (_HULL_SIGMAS * errors.e_M_V) ** 2 + reach.reach_M_V**2
        slope = _HULL_SIGMAS**2 * errors.covariance / variance_m
        spread_c = np.sqrt((_HULL_SIGMAS * errors.e_VI0) ** 2 + reach.reach_VI0**2 - slope**2 * variance_m)
        spreads = np.column_stack([np.full(len(stars), reach.reach_log_P), np.sqrt(variance_m), spread_c])
        return np.maximum(least_distances(self._models, self._blocks, stars, spreads, slope) - 1.0, 0.0).reshape(shape)

    @cached_property
    def _models(self) -> FloatArray:
        """Middles of the bins that hold models, block by block."""
        occupied = np.argwhere(self.content)
        order = np.argsort(self._block_of(occupied), kind="stable")
        middles = [(edges[1:] + edges[:-1]) / 2.0 for edges in self.edges]
        return np.column_stack([middle[index] for middle, index in zip(middles, occupied[order].T, strict=True)])

    @cached_property
    def _blocks(self) -> npt.NDArray[np.int64]:
        """Where the blocks of `_models` begin, and where the last one ends."""
        counts = np.unique(self._block_of(np.argwhere(self.content)), return_counts=True)[1]
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    def _block_of(self, bins: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Give the number of the block of each bin."""
        shape = [length // _BLOCK + 1 for length in self.content.shape]
        return np.asarray(np.ravel_multi_index(tuple((bins // _BLOCK).T), shape), dtype=np.int64)

    def plane(self, x: AxisName, y: AxisName, *, e_M_V: float = 0.0, e_VI0: float = 0.0) -> DensityPlane:
        """Density in two of the three axes, for a figure.

        Parameters
        ----------
        x, y : {"log_P", "M_V", "VI0"}
            The axes.
        e_M_V, e_VI0 : float, optional
            Errors in mag of the stars that are compared with it.

        Returns
        -------
        DensityPlane
            The smoothed density.
        """
        errors = {"log_P": 0.0, "M_V": e_M_V, "VI0": e_VI0}
        chosen = [AXES.index(name) for name in (x, y)]
        sigmas = [float(np.hypot(_sigmas(self.settings)[axis], errors[AXES[axis]])) for axis in chosen]
        left = ({0, 1, 2} - set(chosen)).pop()
        content = self.content.sum(axis=left)
        if chosen[0] > chosen[1]:
            content = content.T
        widths = self._widths[chosen]
        padding = [int(np.ceil(_PADDING_SIGMAS * sigma / width)) for sigma, width in zip(sigmas, widths, strict=True)]
        padded = np.pad(content, [(number, number) for number in padding])
        smooth = gaussian_filter(padded, [sigma / width for sigma, width in zip(sigmas, widths, strict=True)])
        edges = [
            self.edges[axis][0] + width * (np.arange(length + 1) - number)
            for axis, width, length, number in zip(chosen, widths, padded.shape, padding, strict=True)
        ]
        return DensityPlane(x, y, edges[0], edges[1], np.asarray(smooth / np.prod(widths), dtype=np.float64))


def _sigmas(settings: DensitySettings) -> tuple[float, float, float]:
    return settings.smoothing_log_P, settings.smoothing_M_V, settings.smoothing_VI0


def _edges(places: FloatArray, sigma: float, bins_a_sigma: float) -> FloatArray:
    """Edges of bins around all places, with room for what smoothing moves out."""
    width = sigma / bins_a_sigma
    low = float(places.min()) - _PADDING_SIGMAS * sigma
    n_bins = int(np.ceil((float(places.max()) + _PADDING_SIGMAS * sigma - low) / width)) + 1
    edges: FloatArray = low + width * np.arange(n_bins + 1, dtype=np.float64)
    return edges
