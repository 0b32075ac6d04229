"""Density of a population in period, magnitude and colour, convolved with the errors of each star that asks for it."""

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from scipy.spatial import cKDTree
from scipy.special import ndtri

from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError, SettingsError
from cbminer.theory.binning import split_at_edges
from cbminer.theory.credible import CredibleLevels, ErrorMatrix
from cbminer.theory.density_kernel import sum_near
from cbminer.theory.population_settings import DensitySettings
from cbminer.theory.population_steps import PhasePieces

__all__ = ["AXES", "AxisName", "DensityPlane", "PopulationDensity"]

AxisName = Literal["log_P", "M_V", "VI0"]
AXES: tuple[AxisName, AxisName, AxisName] = ("log_P", "M_V", "VI0")
# Bins a standard deviation along each axis. Sharing a place between two bins adds a sixth of a squared bin to the
# variance on average, and so does interpolation between slices of log P: both are taken off that of the kernel.
_BINS_A_SIGMA = (4.0, 2.0, 2.0)
_SHARED = 1.0 / 6.0
_PADDING_SIGMAS = 5.0
_MOST_BINS = 40_000_000


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
        Systems in this phase, what the density is a share of.
    unknown_share : float
        Share of the systems whose place is unknown since a model lacks a radius or temperature; they are left out.
    edges : tuple of `~numpy.ndarray`
        Edges of the bins along log P in days, M_V and (V-I)_0 in mag.
    content : `~numpy.ndarray`
        Share of the systems in each bin, before any smoothing; the sum is 1.
    settings : DensitySettings
        Smoothing.
    seed : int
        Seed of the draws behind credible levels.
    """

    number: float
    unknown_share: float
    edges: tuple[FloatArray, FloatArray, FloatArray]
    content: FloatArray
    settings: DensitySettings
    seed: int = 0

    @classmethod
    def of_pieces(cls, pieces: PhasePieces, weight: FloatArray, *, settings: DensitySettings, seed: int = 0) -> Self:
        """Lay out the density of pieces of tracks.

        Parameters
        ----------
        pieces : PhasePieces
            Pieces of one phase.
        weight : `~numpy.ndarray`
            Systems that each piece stands for: its duration times the pairs born a year; shape (n,).
        settings : DensitySettings
            Smoothing.
        seed : int, optional
            Seed of the draws behind credible levels.

        Returns
        -------
        PopulationDensity
            The density.

        Raises
        ------
        InputFormatError
            If no model is in this phase, or none has a magnitude.
        SettingsError
            If the smoothing is so fine that the bins do not fit in memory.
        """
        start, end = (np.column_stack([ends[name] for name in AXES]) for ends in (pieces.start, pieces.end))
        # A piece whose beginning has no magnitude stands for its time at its end.
        start = np.where(np.isfinite(start).all(axis=1, keepdims=True), start, end)
        known = np.isfinite(end).all(axis=1) & (weight > 0)
        if not known.any():
            msg = "no model of the grid is in this phase with a known period, radius and temperature of both stars"
            raise InputFormatError(msg)
        both = np.concatenate([start[known], end[known]])
        sigmas = _sigmas(settings)
        log_p, m_v, vi0 = (_edges(both[:, axis], sigmas[axis], _BINS_A_SIGMA[axis]) for axis in range(3))
        edges = (log_p, m_v, vi0)
        n_bins = (len(log_p) - 1) * (len(m_v) - 1) * (len(vi0) - 1)
        if n_bins > _MOST_BINS:
            msg = f"the density would need {n_bins:,} bins: raise the smoothing under [population.density]"
            raise SettingsError(msg)
        content = _shared(*split_at_edges(start[known], end[known], weight[known], edges=edges), edges)
        total = float(np.nansum(weight))
        unknown = 1.0 - float(weight[known].sum()) / total
        return cls(total, unknown, edges, content / content.sum(), settings, seed)

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
            Share of the population a dex of period, mag of M_V and mag of (V-I)_0; NaN where something is unknown, 0
            beyond 5 standard deviations of all models. Its integral over all three axes is 1.

        Notes
        -----
        A sum over bins within 5 standard deviations of the star, linear between slices of log P, with the variance that
        the bins add taken off that of the kernel. It is the sum of normal curves over the tracks themselves to 1 % of
        the highest density.
        """
        log_p, m_v, vi0, e_m_v, e_vi0, cov = np.broadcast_arrays(
            *(np.asarray(item, dtype=float) for item in (log_P, M_V, VI0, e_M_V, e_VI0, cov_M_V_VI0))
        )
        errors = ErrorMatrix(e_m_v.ravel(), e_vi0.ravel(), cov.ravel())
        found = self._at(np.column_stack([log_p.ravel(), m_v.ravel(), vi0.ravel()]), errors)
        density: FloatArray = found.reshape(log_p.shape)
        return density

    def _at(self, stars: FloatArray, errors: ErrorMatrix) -> FloatArray:
        widths, origins = self._widths, np.array([edges[0] for edges in self.edges])
        _, h_m, h_c = _sigmas(self.settings)
        variance_m = errors.e_M_V**2 + h_m**2 - _SHARED * widths[1] ** 2
        variance_c = errors.e_VI0**2 + h_c**2 - _SHARED * widths[2] ** 2
        # A covariance beyond what its errors allow is none.
        most = errors.e_M_V * errors.e_VI0
        slope = np.clip(errors.cov_M_V_VI0, -most, most) / variance_m
        spread_m = np.sqrt(variance_m)
        spread_c = np.sqrt(variance_c - slope**2 * variance_m)
        sums = sum_near(
            self._smooth,
            (stars - origins) / widths,
            np.column_stack([spread_m / widths[1], spread_c / widths[2]]),
            slope * widths[1] / widths[2],
        )
        density: FloatArray = sums / (2.0 * np.pi * spread_m * spread_c * widths[0])
        return density

    @cached_property
    def _widths(self) -> FloatArray:
        return np.array([edges[1] - edges[0] for edges in self.edges])

    @cached_property
    def _smooth(self) -> FloatArray:
        """Content smoothed along log P."""
        sigma = np.sqrt(_BINS_A_SIGMA[0] ** 2 - 2.0 * _SHARED)
        smooth: FloatArray = gaussian_filter1d(self.content, sigma, axis=0, mode="constant", truncate=_PADDING_SIGMAS)
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
        0 and 1, to 0.01.
        """
        given = [np.asarray(item, dtype=float) for item in (log_P, M_V, VI0, e_M_V, e_VI0, cov_M_V_VI0)]
        arrays = np.broadcast_arrays(*given)
        errors = ErrorMatrix(*(array.ravel() for array in arrays[3:]))
        density = self._at(np.column_stack([array.ravel() for array in arrays[:3]]), errors)
        level: FloatArray = self._levels.of(density, errors).reshape(arrays[0].shape)
        return level

    @cached_property
    def _levels(self) -> CredibleLevels:
        return CredibleLevels(self._places, self._at, self.settings.draws, self.seed)

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
        return self._places(np.random.default_rng(np.random.SeedSequence([seed, 1])).random((n, 4)))

    def _places(self, uniform: FloatArray) -> FloatArray:
        """Systems of the population for four numbers each, evenly spread between 0 and 1."""
        cumulative = np.cumsum(self.content.ravel())
        chosen = np.searchsorted(cumulative, uniform[:, 0] * cumulative[-1], side="right")
        corner = np.column_stack(np.unravel_index(chosen, self.content.shape))
        origins = np.array([edges[0] for edges in self.edges])
        spread = np.sqrt(np.array(_sigmas(self.settings)) ** 2 - _SHARED * self._widths**2)
        drawn: FloatArray = origins + (corner + 0.5) * self._widths + spread * ndtri(uniform[:, 1:])
        return drawn

    def distance(self, log_P: npt.ArrayLike, M_V: npt.ArrayLike, VI0: npt.ArrayLike) -> FloatArray:
        """Distance of stars to the hull of the models of this phase.

        Parameters
        ----------
        log_P, M_V, VI0 : array_like
            Logarithms of periods in days, magnitudes and colours in mag.

        Returns
        -------
        `~numpy.ndarray`
            0 within one reach of a model (`DensitySettings`), else the distance beyond that in reaches; NaN where
            something is unknown.

        Notes
        -----
        The hull is the union of ellipsoids about all models, not a convex one: the population is bent, and a convex
        hull would hold much that no model is near to.
        """
        stars = np.broadcast_arrays(*(np.asarray(item, dtype=float) for item in (log_P, M_V, VI0)))
        scaled = np.column_stack([item.ravel() for item in stars]) / self._reaches
        distance = np.full(len(scaled), np.nan)
        known = np.isfinite(scaled).all(axis=1)
        if known.any():
            distance[known] = np.maximum(self._models.query(scaled[known])[0] - 1.0, 0.0)
        return distance.reshape(stars[0].shape)

    @cached_property
    def _reaches(self) -> FloatArray:
        return np.array([self.settings.reach_log_P, self.settings.reach_M_V, self.settings.reach_VI0])

    @cached_property
    def _models(self) -> cKDTree:
        occupied = np.nonzero(self.content)
        middles = [(edges[1:] + edges[:-1]) / 2.0 for edges in self.edges]
        places = np.column_stack([middle[index] for middle, index in zip(middles, occupied, strict=True)])
        return cKDTree(places / self._reaches)

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


def _shared(places: FloatArray, times: FloatArray, edges: tuple[FloatArray, ...]) -> FloatArray:
    """Add times up in bins, each shared between the bins whose middles are next to its place: so their mean is kept."""
    shape = tuple(len(axis) - 1 for axis in edges)
    scaled = np.column_stack([(places[:, i] - axis[0]) / (axis[1] - axis[0]) - 0.5 for i, axis in enumerate(edges)])
    lower = np.floor(scaled).astype(np.int64)
    share = scaled - lower
    content = np.zeros(int(np.prod(shape)))
    for corner in product((0, 1), repeat=len(shape)):
        weight = times * np.prod(np.where(corner, share, 1.0 - share), axis=1)
        flat = np.ravel_multi_index(tuple((lower + corner).T), shape)
        content += np.bincount(flat, weights=weight, minlength=len(content))
    return content.reshape(shape)
