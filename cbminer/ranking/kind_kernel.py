"""Kernels of the light-curve evidence: likelihoods of kinds of stars added up to those of hypotheses, and divided."""

import numba
import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray

__all__ = ["divide_between_kinds", "log_sums_of_kinds"]


@numba.njit(cache=True, nogil=True)
def log_sums_of_kinds(
    log_kind: FloatArray, log_within: FloatArray, hypothesis: npt.NDArray[np.int64], n_hypotheses: int
) -> FloatArray:
    """Logarithms of the likelihoods of hypotheses, so that their exponentials add up to 1.

    Parameters
    ----------
    log_kind : `~numpy.ndarray`
        Logarithms of the likelihoods of kinds, shape (n, kinds).
    log_within : `~numpy.ndarray`
        Logarithms of the shares of the kinds in their hypotheses, shape (kinds,).
    hypothesis : `~numpy.ndarray`
        Hypothesis of each kind, shape (kinds,).
    n_hypotheses : int
        Number of hypotheses.

    Returns
    -------
    `~numpy.ndarray`
        Logarithms, shape (n, hypotheses); NaN for a star with a NaN.
    """
    result = np.empty((len(log_kind), n_hypotheses))
    for k in range(len(log_kind)):
        highest = -np.inf
        for j in range(len(hypothesis)):
            highest = max(highest, log_kind[k, j] + log_within[j])
        sums = np.zeros(n_hypotheses)
        for j in range(len(hypothesis)):
            sums[hypothesis[j]] += np.exp(log_kind[k, j] + log_within[j] - highest)
        total = 0.0
        for i in range(n_hypotheses):
            total += sums[i]
        for i in range(n_hypotheses):
            result[k, i] = np.log(sums[i] / total)
    return result


@numba.njit(cache=True, nogil=True)
def divide_between_kinds(
    log_kind: FloatArray,
    log_within: FloatArray,
    hypothesis: npt.NDArray[np.int64],
    of_hypothesis: FloatArray,
) -> FloatArray:
    """Divide what falls to each hypothesis between its kinds, in proportion to share and likelihood.

    Parameters
    ----------
    log_kind, log_within, hypothesis : `~numpy.ndarray`
        As for `log_sums_of_kinds`.
    of_hypothesis : `~numpy.ndarray`
        What falls to the hypotheses, shape (n, hypotheses).

    Returns
    -------
    `~numpy.ndarray`
        What falls to the kinds, shape (n, kinds); NaN for a star with a NaN.
    """
    n_hypotheses = of_hypothesis.shape[1]
    parts = np.empty(log_kind.shape)
    highest, total = np.empty(n_hypotheses), np.empty(n_hypotheses)
    for k in range(len(log_kind)):
        highest[:] = -np.inf
        total[:] = 0.0
        for j in range(len(hypothesis)):
            highest[hypothesis[j]] = max(highest[hypothesis[j]], log_kind[k, j] + log_within[j])
        for j in range(len(hypothesis)):
            parts[k, j] = np.exp(log_kind[k, j] + log_within[j] - highest[hypothesis[j]])
            total[hypothesis[j]] += parts[k, j]
        for j in range(len(hypothesis)):
            parts[k, j] *= of_hypothesis[k, hypothesis[j]] / total[hypothesis[j]]
    return parts
