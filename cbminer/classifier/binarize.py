"""Weights and activations of one bit: the rules that make them, their gradients and schedules.

The sign function has no useful gradient, so each method pairs it with a made one: the straight-through estimators of
Courbariaux et al. (2016, arXiv:1602.02830) and Liu et al. (2018, Bi-Real, arXiv:1808.00278), ReSTE of Wu et al. (2023,
arXiv:2308.06689), the error decay estimator of Qin et al. (2020, IR-Net, arXiv:1909.10788), the periodic function of
Vargas et al. (2024, BiPer, arXiv:2404.01278), the statistics and the elastic steps of Liu et al. (2023,
arXiv:2306.01841), and the centred weights of Xing et al. (2024, BiPFT, arXiv:2312.08937). The modules of a
method that a binary convolution is built from are in `~cbminer.classifier.binarizers`.

The sign of 0 is +1 everywhere, in training as in the packed network, where a bit has no third state.
"""

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

__all__ = [
    "LEAST_STEP",
    "approx_sign",
    "biper_square",
    "biper_wave",
    "centred_binary",
    "checked_progress",
    "clipped_sign",
    "decay_schedule",
    "decay_sign",
    "elastic_sign",
    "elastic_unsigned",
    "hard_sign",
    "reste_power",
    "reste_sign",
    "row_mean",
    "sample_std",
    "standardised",
    "statistics_binary",
    "statistics_ternary",
    "ternary_signs",
    "ternary_step",
]

# The least step of elastic activations and of ternary weights: training may drive a step to 0 or below.
LEAST_STEP = 1e-5
# Added to variances before they divide, as in BiPer.
_LEAST_VARIANCE = 1e-5
_LEAST_STD = 1e-12

_Map = Callable[[Tensor], Tensor]


def hard_sign(x: Tensor) -> Tensor:
    """Sign with +1 at 0, without a gradient of its own.

    Parameters
    ----------
    x : `~torch.Tensor`
        Any shape.

    Returns
    -------
    `~torch.Tensor`
        -1 or +1 in the type of x, same shape.
    """
    return 2.0 * (x >= 0).to(x.dtype) - 1.0


class _Estimator(torch.autograd.Function):
    """A step function of x going forward, and a slope that is not its own going back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: _Map, slope: _Map) -> Tensor:
        ctx.save_for_backward(x)
        ctx.slope = slope
        return step(x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        return grad_outputs[0] * ctx.slope(x), None, None


def _estimator(x: Tensor, step: _Map, slope: _Map) -> Tensor:
    return cast("Tensor", _Estimator.apply(x, step, slope))  # type: ignore[no-untyped-call]


def _within(x: Tensor, bound: float | Tensor) -> Tensor:
    """1 where the size of x is at most the bound, else 0."""
    return (x.abs() <= bound).to(x.dtype)


def clipped_sign(x: Tensor) -> Tensor:
    """Sign with the clipped straight-through gradient: 1 where abs(x) <= 1, else 0 (Courbariaux et al. 2016).

    Parameters
    ----------
    x : `~torch.Tensor`
        Any shape.

    Returns
    -------
    `~torch.Tensor`
        -1 or +1, same shape.
    """
    return _estimator(x, hard_sign, lambda v: _within(v, 1.0))


def approx_sign(x: Tensor) -> Tensor:
    """Sign with the gradient max(0, 2 - 2 abs(x)) of Bi-Real, that BiPer takes for activations too.

    Parameters
    ----------
    x : `~torch.Tensor`
        Any shape.

    Returns
    -------
    `~torch.Tensor`
        -1 or +1, same shape.
    """
    return _estimator(x, hard_sign, lambda v: (2.0 - 2.0 * v.abs()).clamp_min(0.0))


def reste_sign(x: Tensor, power: float, *, threshold: float = 1.5, inner: float = 0.1) -> Tensor:
    """Sign with the gradient of the root sign(x) abs(x)^(1/o) (Wu et al. 2023, equations 8 and 10).

    The gradient is abs(x)^((1 - o)/o) / o; at abs(x) <= inner, where that grows without bound, it is the slope of the
    secant, inner^(1/o) / inner; beyond the threshold it is 0.

    Parameters
    ----------
    x : `~torch.Tensor`
        Any shape.
    power : float
        o, at least 1; at 1 the gradient is 1 within the threshold.
    threshold, inner : float
        Where the gradient ends, and where the secant ends; both ends included.

    Returns
    -------
    `~torch.Tensor`
        -1 or +1, same shape.
    """
    exponent = (1.0 - power) / power

    def slope(v: Tensor) -> Tensor:
        # Sizes below the inner bound are raised to it: a power of 0 would be infinite where it is not used.
        root = v.abs().clamp_min(inner) ** exponent / power
        return torch.where(v.abs() <= inner, inner**exponent, root) * _within(v, threshold)

    return _estimator(x, hard_sign, slope)


def decay_sign(x: Tensor, k: float, t: float) -> Tensor:
    """Sign with the gradient k t (1 - tanh(t x)^2) of IR-Net's error decay estimator.

    Parameters
    ----------
    x : `~torch.Tensor`
        Any shape.
    k, t : float
        Height and sharpness, as `decay_schedule` gives them.

    Returns
    -------
    `~torch.Tensor`
        -1 or +1, same shape.
    """
    return _estimator(x, hard_sign, lambda v: k * t * (1.0 - torch.tanh(t * v) ** 2))


def biper_wave(w: Tensor, frequency: float) -> Tensor:
    """Sine wave of the weights, sin(f w), that BiPer trains in its first stage; its gradient is f cos(f w).

    Parameters
    ----------
    w : `~torch.Tensor`
        Any shape.
    frequency : float
        f.

    Returns
    -------
    `~torch.Tensor`
        Between -1 and 1, same shape.
    """
    return torch.sin(frequency * w)


def biper_square(w: Tensor, frequency: float) -> Tensor:
    """Square wave of the weights, sign(sin(f w)), of BiPer's second stage, with the gradient f cos(f w).

    The gradient is that of the sine: it changes its sign within a period, and is nowhere clipped.

    Parameters
    ----------
    w : `~torch.Tensor`
        Any shape.
    frequency : float
        f.

    Returns
    -------
    `~torch.Tensor`
        -1 or +1, same shape.
    """
    return _estimator(biper_wave(w, frequency), hard_sign, torch.ones_like)


def row_mean(w: Tensor) -> Tensor:
    """Average over all dimensions but the first, which are kept with length 1.

    Parameters
    ----------
    w : `~torch.Tensor`
        Weights, an output unit a row, shape (Co, ...).

    Returns
    -------
    `~torch.Tensor`
        Shape (Co, 1, ...).
    """
    return w.mean(dim=tuple(range(1, w.ndim)), keepdim=True)


def statistics_binary(w: Tensor) -> Tensor:
    """Mean size of each row times the sign; the gradient passes unchanged (Liu et al. 2023).

    Parameters
    ----------
    w : `~torch.Tensor`
        Weights, an output unit a row, shape (Co, ...) of at least two dimensions.

    Returns
    -------
    `~torch.Tensor`
        mean(abs(w)) sign(w), same shape.
    """
    return _estimator(w, lambda v: hard_sign(v) * row_mean(v.abs()), torch.ones_like)


def ternary_step(w: Tensor) -> Tensor:
    """Give four thirds of the mean size of each row: weights beyond half of it are kept (Liu et al. 2023).

    Parameters
    ----------
    w : `~torch.Tensor`
        Weights, an output unit a row, shape (Co, ...).

    Returns
    -------
    `~torch.Tensor`
        Shape (Co, 1, ...).
    """
    return (4.0 / 3.0) * row_mean(w.abs())


def ternary_signs(w: Tensor) -> Tensor:
    """Give -1, 0 or +1 by how many steps of its row a weight is away from 0.

    Parameters
    ----------
    w : `~torch.Tensor`
        Weights, an output unit a row, shape (Co, ...).

    Returns
    -------
    `~torch.Tensor`
        Same shape.
    """
    # The bound lets a row of zeros stay one, and no other row reaches so low.
    return torch.round(torch.clamp(w / ternary_step(w).clamp_min(torch.finfo(w.dtype).tiny), -1.0, 1.0))


def statistics_ternary(w: Tensor) -> Tensor:
    """Weights of -s, 0 and s with s = 4/3 of the row's mean size; the gradient passes unchanged (Liu et al. 2023).

    The formula is s round(clamp(w / s, -1, 1)). Halves round to even, so that a weight of exactly s/2 becomes 0.

    Parameters
    ----------
    w : `~torch.Tensor`
        Weights, an output unit a row, shape (Co, ...) of at least two dimensions.

    Returns
    -------
    `~torch.Tensor`
        Same shape.
    """
    return _estimator(w, lambda v: ternary_signs(v) * ternary_step(v), torch.ones_like)


def centred_binary(w: Tensor, row_wise: bool = False) -> Tensor:  # noqa: FBT001, FBT002 - the one choice there is
    """Mean size of the weights times the sign of their offset from their mean (Xing et al. 2024).

    The gradient passes unchanged.

    Parameters
    ----------
    w : `~torch.Tensor`
        Weights, an output unit a row, shape (Co, ...) of at least two dimensions.
    row_wise : bool
        Whether the mean size is that of the row instead of all weights. The mean that the weights are compared with is
        that of all weights in both cases, as in the authors' code.

    Returns
    -------
    `~torch.Tensor`
        mean(abs(w)) sign(w - mean(w)), same shape.
    """
    mean_size: _Map = row_mean if row_wise else torch.mean
    return _estimator(w, lambda v: hard_sign(v - v.mean()) * mean_size(v.abs()), torch.ones_like)


class _ElasticSign(torch.autograd.Function):
    """See `elastic_sign`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor) -> Tensor:
        step = alpha.clamp_min(LEAST_STEP)
        ctx.save_for_backward(x, step)
        return hard_sign(x) * step

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        x, step = ctx.saved_tensors
        grad = grad_outputs[0]
        grad_alpha = torch.sum(grad * hard_sign(x)) / math.sqrt(x.numel())
        return grad * _within(x, step), grad_alpha.reshape(step.shape)


class _ElasticUnsigned(torch.autograd.Function):
    """See `elastic_unsigned`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor) -> Tensor:
        step = alpha.clamp_min(LEAST_STEP)
        ctx.save_for_backward(x, step)
        return torch.round(x / step).clamp(0.0, 1.0) * step

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        x, step = ctx.saved_tensors
        grad = grad_outputs[0]
        ratio = x / step
        slope = torch.where(ratio >= 1.0, 1.0, torch.where(ratio <= 0.0, 0.0, torch.round(ratio) - ratio))
        grad_alpha = torch.sum(grad * slope) / math.sqrt(x.numel())
        inside = ((ratio >= 0.0) & (ratio <= 1.0)).to(grad.dtype)
        return grad * inside, grad_alpha.reshape(step.shape)


def elastic_sign(x: Tensor, alpha: Tensor) -> Tensor:
    """Learned step times the sign of x, with the gradients of learned step sizes (Esser et al. 2020, Liu et al. 2023).

    With the gradient g of the result, that of x is g where abs(x) <= alpha, else 0, and that of alpha is the sum of
    g sign(x) over the root of the number of elements times Qp, where the highest level Qp is 1.

    Parameters
    ----------
    x : `~torch.Tensor`
        Any shape.
    alpha : `~torch.Tensor`
        The step, one element; 1e-5 stands for lower ones.

    Returns
    -------
    `~torch.Tensor`
        -alpha or +alpha, same shape as x.
    """
    return cast("Tensor", _ElasticSign.apply(x, alpha))  # type: ignore[no-untyped-call]


def elastic_unsigned(x: Tensor, alpha: Tensor) -> Tensor:
    """Learned step times 0 or 1, alpha clamp(round(x / alpha), 0, 1), with the gradients of learned step sizes.

    For activations that are not negative. With the gradient g of the result, that of x is g where 0 <= x <= alpha, else
    0. That of alpha is the sum of g times 0 where x / alpha <= 0, 1 where x / alpha >= 1, and round(x / alpha) -
    x / alpha between, over the root of the number of elements times Qp, where the highest level Qp is 1. Halves round
    to even: x = alpha / 2 becomes 0.

    Parameters
    ----------
    x : `~torch.Tensor`
        Any shape.
    alpha : `~torch.Tensor`
        The step, one element; 1e-5 stands for lower ones.

    Returns
    -------
    `~torch.Tensor`
        0 or alpha, same shape as x.
    """
    return cast("Tensor", _ElasticUnsigned.apply(x, alpha))  # type: ignore[no-untyped-call]


def standardised(w: Tensor) -> Tensor:
    """Weights of each row less their mean, over their standard deviation (IR-Net).

    Parameters
    ----------
    w : `~torch.Tensor`
        Weights, an output unit a row, shape (Co, ...) of at least two dimensions.

    Returns
    -------
    `~torch.Tensor`
        Same shape; zeros in a row of equal weights.
    """
    centred = w - row_mean(w)
    std = centred.std(dim=tuple(range(1, w.ndim)), keepdim=True)
    return centred / std.clamp_min(_LEAST_STD)


def sample_std(x: Tensor) -> Tensor:
    """Measure the standard deviation of each sample, sqrt(variance + 1e-5), by which BiPer divides in training.

    Parameters
    ----------
    x : `~torch.Tensor`
        Activations, shape (N, ...).

    Returns
    -------
    `~torch.Tensor`
        Shape (N, 1, ...), of as many dimensions.
    """
    return torch.sqrt(x.var(dim=tuple(range(1, x.ndim)), keepdim=True) + _LEAST_VARIANCE)


def checked_progress(progress: float) -> float:
    """Check a share of the training.

    Parameters
    ----------
    progress : float
        The share.

    Returns
    -------
    float
        The same.

    Raises
    ------
    ValueError
        If it is not from 0 to 1.
    """
    if not 0.0 <= progress <= 1.0:
        msg = f"progress of training is a share from 0 to 1, not {progress}"
        raise ValueError(msg)
    return progress


def reste_power(progress: float, end: float = 3.0) -> float:
    """Power o of ReSTE, 1 + (end - 1) (1 - cos(pi/2 progress)): from the plain estimator to its final root.

    Parameters
    ----------
    progress : float
        Share of the training that is done.
    end : float
        o at the end.

    Returns
    -------
    float
        o.

    Raises
    ------
    ValueError
        If the progress is not from 0 to 1.
    """
    return 1.0 + (end - 1.0) * (1.0 - math.cos(0.5 * math.pi * checked_progress(progress)))


def decay_schedule(progress: float, lowest: float = 0.1, highest: float = 10.0) -> tuple[float, float]:
    """Height and sharpness of IR-Net's gradient: t runs evenly in its logarithm, and k = max(1/t, 1).

    Parameters
    ----------
    progress : float
        Share of the training that is done.
    lowest, highest : float
        t at the beginning and at the end.

    Returns
    -------
    k, t : float
        Height and sharpness.

    Raises
    ------
    ValueError
        If the progress is not from 0 to 1.
    """
    t = lowest * (highest / lowest) ** checked_progress(progress)
    return max(1.0 / t, 1.0), t
