"""How far binary weights are from the real ones behind them, and how evenly gradients are spread, while training."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from cbminer.classifier.binarize import biper_wave

__all__ = [
    "LaplaceError",
    "biper_error",
    "biper_error_laplace",
    "gradient_instability",
    "reste_error",
]


@torch.no_grad()
def reste_error(weights: Iterable[Tensor], power: float) -> float:
    """Estimating error of ReSTE: how far the root is from the sign, summed over layers (Wu et al. 2023).

    Parameters
    ----------
    weights : iterable of `~torch.Tensor`
        Latent weights of the layers.
    power : float
        o of the root sign(w) abs(w)^(1/o).

    Returns
    -------
    float
        Sum of the Euclidean norms of sign(w) abs(w)^(1/o) - sign(w).
    """
    # Both have the sign of w, so that only their sizes differ; a weight of 0 is off by 1.
    return sum(float(torch.linalg.vector_norm(w.abs() ** (1.0 / power) - 1.0)) for w in weights)


@torch.no_grad()
def gradient_instability(grads: Iterable[Tensor]) -> float:
    """Instability of ReSTE: sample variance of the sizes of the gradients, summed over layers (Wu et al. 2023).

    Parameters
    ----------
    grads : iterable of `~torch.Tensor`
        Gradients of the weights of the layers, of two or more elements each.

    Returns
    -------
    float
        The sum.
    """
    return sum(float(grad.abs().var()) for grad in grads)


@torch.no_grad()
def biper_error(weights: Iterable[Tensor], frequency: float) -> float:
    """Quantisation error of BiPer: mean distance of sine and square wave, summed over layers (its compute_QE.py).

    Parameters
    ----------
    weights : iterable of `~torch.Tensor`
        Latent weights of the layers.
    frequency : float
        f.

    Returns
    -------
    float
        Sum of mean(abs(sin(f w) - sign(sin(f w)))).
    """
    return sum(float((1.0 - biper_wave(w, frequency).abs()).mean()) for w in weights)


class LaplaceError(NamedTuple):
    """Quantisation errors of BiPer's wave for weights that follow Laplace's distribution.

    Attributes
    ----------
    mean_size : float
        Mean of abs(sin(f w)), and the scale of the square wave that is best.
    best_scale : float
        Mean square error with that scale.
    relative : float
        The same over the mean square of the sine.
    unit_scale : float
        Mean square error with the scale 1.
    absolute : float
        Mean absolute error with the scale 1; `biper_error` of one layer.
    """

    mean_size: float
    best_scale: float
    relative: float
    unit_scale: float
    absolute: float


def biper_error_laplace(beta: float) -> LaplaceError:
    """Quantisation errors of sin(f w) for weights of Laplace's distribution of mean 0 and scale b, in closed form.

    With beta = f b: E abs(sin) = beta coth(pi / (2 beta)) / (1 + beta^2), and E sin^2 = 2 beta^2 / (1 + 4 beta^2).

    Parameters
    ----------
    beta : float
        Above 0; infinity gives the limit.

    Returns
    -------
    LaplaceError
        The errors.

    Raises
    ------
    ValueError
        If beta is not above 0.
    """
    if not beta > 0.0:
        msg = f"beta = f b is above 0, not {beta}"
        raise ValueError(msg)
    # In u = 1 / beta the formulas hold at infinity too, where u coth(pi u / 2) is 2 / pi.
    u = 1.0 / beta
    mean_size = (u / math.tanh(0.5 * math.pi * u) if u > 0.0 else 2.0 / math.pi) / (1.0 + u * u)
    mean_square = 2.0 / (4.0 + u * u)
    return LaplaceError(
        mean_size=mean_size,
        best_scale=mean_square - mean_size**2,
        relative=1.0 - mean_size**2 / mean_square,
        unit_scale=1.0 - 2.0 * mean_size + mean_square,
        absolute=1.0 - mean_size,
    )
