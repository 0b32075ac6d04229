"""Which share of a population lies at a higher density than a star, for stars of different errors."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri
from scipy.stats import qmc

from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError
from cbminer.theory.atmospheres import plain_numbers

__all__ = ["CredibleLevels", "ErrorMatrix", "asked_stars"]

# Nodes of the mesh of errors: a third of an e-fold of both errors, a fifth of the correlation.
_STEP_LOG_ERROR, _STEP_CORRELATION = 1.0 / 3.0, 0.2
# Below this an error is as good as none beside any smoothing.
_LEAST_ERROR = 1e-3
# However few of the members are in the sample, no more than this are drawn for each.
_LEAST_IN_SAMPLE = 1.0 / 32.0
# Stands for none at all, which has no logarithm.
_LEAST_DENSITY = 1e-300


class ErrorMatrix(NamedTuple):
    """Errors of stars in magnitude and colour.

    Attributes
    ----------
    e_M_V, e_VI0 : `~numpy.ndarray`
        Errors in mag, shape (n,).
    cov_M_V_VI0 : `~numpy.ndarray`
        Their covariance in mag2, shape (n,).
    """

    e_M_V: FloatArray
    e_VI0: FloatArray
    cov_M_V_VI0: FloatArray

    @property
    def covariance(self) -> FloatArray:
        """Covariances; one beyond what its errors allow is that of a full correlation."""
        most = self.e_M_V * self.e_VI0
        allowed: FloatArray = np.clip(self.cov_M_V_VI0, -most, most)
        return allowed


def asked_stars(*given: npt.ArrayLike) -> tuple[FloatArray, ErrorMatrix, tuple[int, ...]]:
    """Put what is asked of a density into arrays.

    Parameters
    ----------
    *given : array_like
        log P, M_V and (V-I)_0, the errors of the latter two and their covariance; shapes that broadcast.

    Returns
    -------
    stars : `~numpy.ndarray`
        log P, M_V and (V-I)_0, shape (n, 3); NaN where unknown or masked.
    errors : ErrorMatrix
        Their errors, likewise.
    shape : tuple of int
        Shape of what was given.

    Raises
    ------
    InputFormatError
        If an error is negative.
    """
    arrays = np.broadcast_arrays(*map(plain_numbers, given))
    for name, array in zip(("e_M_V", "e_VI0"), arrays[3:5], strict=True):
        if (array < 0).any():
            msg = f"{name} goes down to {np.nanmin(array):g}: give errors of 0 or more, NaN where they are unknown"
            raise InputFormatError(msg)
    stars = np.column_stack([array.ravel() for array in arrays[:3]])
    return stars, ErrorMatrix(*(array.ravel() for array in arrays[3:])), arrays[0].shape


@dataclass(frozen=True)
class CredibleLevels:
    """Credible levels of one density.

    Attributes
    ----------
    places : callable
        Members of the population for numbers between 0 and 1, shape (n, 4) to (n, 3).
    counts : callable
        Whether members that are observed at a place are in the sample at all, shape (n, 3) to (n,).
    density : callable
        Density at stars of given errors.
    draws : int
        Members that are drawn, rounded up to a power of 2.
    in_sample : float
        Share of the members that is about to be in the sample: the more are drawn.
    seed : int
        Seed of the draws.
    """

    places: Callable[[FloatArray], FloatArray]
    counts: Callable[[FloatArray], npt.NDArray[np.bool_]]
    density: Callable[[FloatArray, ErrorMatrix], FloatArray]
    draws: int
    in_sample: float
    seed: int
    _tables: dict[tuple[int, ...], FloatArray] = field(default_factory=dict, repr=False)

    def of(self, density: FloatArray, errors: ErrorMatrix) -> FloatArray:
        """Credible level of stars.

        Parameters
        ----------
        density : `~numpy.ndarray`
            Density at each star, with its own errors; shape (n,).
        errors : ErrorMatrix
            Their errors.

        Returns
        -------
        `~numpy.ndarray`
            Share of the population at a higher density, shape (n,); NaN where the density is NaN.
        """
        level = np.full(len(density), np.nan)
        known = np.flatnonzero(np.isfinite(density))
        if len(known) == 0:
            return level
        corners, shares = _corners(_mesh_place(errors)[known])
        # One number a node: to sort numbers is far faster than to sort rows.
        spans = np.ptp(corners.reshape(-1, 3), axis=0) + 1
        origin = corners.reshape(-1, 3).min(axis=0)
        keys = np.ravel_multi_index(tuple((corners.reshape(-1, 3) - origin).T), tuple(spans))
        occurring, of_corner = np.unique(keys, return_inverse=True)
        nodes = np.column_stack(np.unravel_index(occurring, tuple(spans))) + origin
        tables = np.array([self._table(int(node[0]), int(node[1]), int(node[2])) for node in nodes])
        level[known] = 1.0 - _rank(tables, of_corner.reshape(shares.shape), shares, _logarithm(density[known]))
        return level

    @cached_property
    def _uniform(self) -> FloatArray:
        """Sobol's sequence: more even than random numbers, and so are the levels."""
        n_points = self.draws / max(self.in_sample, _LEAST_IN_SAMPLE)
        points: FloatArray = qmc.Sobol(6, seed=self.seed).random_base2(int(np.ceil(np.log2(n_points))))
        # The logarithm of 0 is of no use to a normal distribution.
        return np.clip(points, 1e-9, 1.0 - 1e-9)

    def _table(self, *node: int) -> FloatArray:
        if node not in self._tables:
            self._tables[node] = self._observed(node)
        return self._tables[node]

    def _observed(self, node: tuple[int, ...]) -> FloatArray:
        """Sorted logarithms of the densities of the members, observed with the errors of a node."""
        e_m_v, e_vi0 = (_LEAST_ERROR * np.exp(_STEP_LOG_ERROR * place) for place in node[:2])
        correlation = float(np.clip(_STEP_CORRELATION * node[2], -1.0, 1.0))
        uniform = self._uniform
        observed = self.places(uniform[:, :4])
        first, second = ndtri(uniform[:, 4:]).T
        observed[:, 1] += e_m_v * first
        observed[:, 2] += e_vi0 * (correlation * first + np.sqrt(1.0 - correlation**2) * second)
        sample = observed[self.counts(observed)]
        ones = np.ones(len(sample))
        all_errors = ErrorMatrix(e_m_v * ones, e_vi0 * ones, correlation * e_m_v * e_vi0 * ones)
        ranked = np.sort(_logarithm(self.density(sample, all_errors)))
        # How many members there are in a sample depends on the errors; the tables are of one length.
        shares = (np.arange(self.draws) + 0.5) / self.draws
        table: FloatArray = np.interp(shares * len(ranked) - 0.5, np.arange(len(ranked)), ranked)
        return table


def _mesh_place(errors: ErrorMatrix) -> FloatArray:
    """Places of the errors on the mesh, whose nodes are whole numbers."""
    e_m_v, e_vi0 = (np.maximum(error, _LEAST_ERROR) for error in errors[:2])
    correlation = np.clip(errors.cov_M_V_VI0 / (e_m_v * e_vi0), -1.0, 1.0)
    return np.column_stack(
        [
            np.log(e_m_v / _LEAST_ERROR) / _STEP_LOG_ERROR,
            np.log(e_vi0 / _LEAST_ERROR) / _STEP_LOG_ERROR,
            correlation / _STEP_CORRELATION,
        ]
    )


def _corners(place: FloatArray) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Nodes around places on the mesh, shape (n, 8, 3), and the share of each, shape (n, 8)."""
    lower = np.floor(place).astype(np.int64)
    beyond = place - lower
    steps = np.array(list(product((0, 1), repeat=3)))
    shares = np.prod(np.where(steps, beyond[:, None, :], 1.0 - beyond[:, None, :]), axis=2)
    # A node of no share need not be worked out: the lower one stands in for it.
    corners = np.where((shares > 0)[:, :, None], lower[:, None, :] + steps, lower[:, None, :])
    return corners, shares


def _rank(tables: FloatArray, node: npt.NDArray[np.int64], shares: FloatArray, log_density: FloatArray) -> FloatArray:
    """Share of the members at a lower density: where a table between those of the nodes reaches it, by bisection."""
    n_members = tables.shape[1]
    low, high = np.zeros(len(log_density), dtype=np.int64), np.full(len(log_density), n_members, dtype=np.int64)
    while (open_ := low < high).any():
        middle = np.where(open_, (low + high) // 2, 0)
        entry = (tables[node, middle[:, None]] * shares).sum(axis=1)
        below = open_ & (entry < log_density)
        low = np.where(below, middle + 1, low)
        high = np.where(open_ & ~below, middle, high)
    rank: FloatArray = low / n_members
    return rank


def _logarithm(density: FloatArray) -> FloatArray:
    logarithm: FloatArray = np.log(np.maximum(density, _LEAST_DENSITY))
    return logarithm
