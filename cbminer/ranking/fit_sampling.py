"""Posterior and evidence of a model by nested sampling with nautilus. It needs ``cbminer[fit]``."""

import hashlib
import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cbminer.columns import FloatArray
from cbminer.errors import SettingsError

__all__ = ["Posterior", "load_extra", "sample_posterior", "star_seed"]

# One small network is enough for a posterior of one hump, and by far the most of the time goes into networks: with the
# four of a hundred and fifty neurons that nautilus has by default a fit takes four times as long, and ln Z is the same.
_NETWORKS = 1
_NETWORK = {
    "hidden_layer_sizes": (40, 20),
    "alpha": 0,
    "learning_rate_init": 1e-2,
    "max_iter": 60,
    "tol": 1e-3,
    "n_iter_no_change": 5,
}
_MOST_CALLS = 400_000


@dataclass(frozen=True)
class Posterior:
    """What a nested sampler found.

    Attributes
    ----------
    cube : `~numpy.ndarray`
        Samples of equal weight in the unit cube, shape (samples, parameters).
    log_likelihood : `~numpy.ndarray`
        Their likelihoods, shape (samples,).
    ln_Z, e_ln_Z : float
        Logarithm of the evidence and its statistical error.
    n_calls : int
        Light curves that were compared with the data.
    """

    cube: FloatArray
    log_likelihood: FloatArray
    ln_Z: float
    e_ln_Z: float
    n_calls: int


def load_extra(name: str) -> Any:
    """Import a package of the extra ``[fit]``.

    Parameters
    ----------
    name : str
        Name of the package.

    Returns
    -------
    module
        The package.

    Raises
    ------
    SettingsError
        If it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        msg = f'{error.name} is not installed: pip install "cbminer[fit]"'
        raise SettingsError(msg) from error


def star_seed(seed: int, star: str, *, purpose: int = 0) -> int:
    """Seed for one star, whatever the others are.

    Parameters
    ----------
    seed : int
        Seed of the run.
    star : str
        Identifier.
    purpose : int, optional
        Number of what it is used for.

    Returns
    -------
    int
        A seed below 2**32.
    """
    name = int.from_bytes(hashlib.sha256(star.encode()).digest()[:4], "little")
    return int(np.random.SeedSequence(seed, spawn_key=(name, purpose)).generate_state(1)[0])


def sample_posterior(
    log_likelihood: Callable[[FloatArray], FloatArray], n_parameters: int, *, live_points: int, samples: int, seed: int
) -> Posterior:
    """Sample a posterior under a flat prior in the unit cube.

    Parameters
    ----------
    log_likelihood : callable
        Log likelihoods, shape (m,), of places in the unit cube, shape (m, parameters).
    n_parameters : int
        Number of parameters.
    live_points : int
        Live points of the sampler.
    samples : int
        Effective samples at least, and samples of equal weight that are returned.
    seed : int
        Seed.

    Returns
    -------
    Posterior
        Samples and evidence; the same seed gives the same.

    Raises
    ------
    SettingsError
        If nautilus is not installed.
    """
    nautilus = load_extra("nautilus")
    sampler = nautilus.Sampler(
        _unchanged,
        log_likelihood,
        n_dim=n_parameters,
        n_live=live_points,
        n_networks=_NETWORKS,
        neural_network_kwargs=_NETWORK,
        vectorized=True,
        pass_dict=False,
        seed=seed,
    )
    with warnings.catch_warnings():
        # A network that has not converged costs a few calls more, and nothing else.
        warnings.simplefilter("ignore")
        sampler.run(n_eff=samples, n_like_max=_MOST_CALLS, verbose=False)
    cube, log_weight, log_l = sampler.posterior()
    chosen = _equal_weights(np.exp(log_weight - np.max(log_weight)), samples, np.random.default_rng(seed))
    # The error of the evidence by the effective number of samples (Lange 2023, MNRAS 525, 3181).
    error = 1.0 / np.sqrt(max(float(sampler.n_eff), 1.0))
    return Posterior(cube[chosen], log_l[chosen], float(sampler.log_z), error, int(sampler.n_like))


def _unchanged(cube: FloatArray) -> FloatArray:
    return cube


def _equal_weights(weight: FloatArray, n: int, rng: np.random.Generator) -> Any:
    """Places of samples of equal weight: evenly spaced in the cumulative weight, in random order."""
    cumulative = np.cumsum(weight) / weight.sum()
    places = np.searchsorted(cumulative, (np.arange(n) + rng.random()) / n)
    return rng.permutation(np.minimum(places, len(weight) - 1))
