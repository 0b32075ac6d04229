"""Modules of a binary convolution: how its weights and its inputs become binary, by method.

`make_binarizers` gives both modules of one of `METHODS`; the functions behind them are in
`~cbminer.classifier.binarize`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from cbminer.classifier.binarization_error import biper_error, reste_error
from cbminer.classifier.binarize import (
    LEAST_STEP,
    approx_sign,
    biper_square,
    biper_wave,
    centred_binary,
    checked_progress,
    clipped_sign,
    decay_schedule,
    decay_sign,
    elastic_sign,
    hard_sign,
    reste_power,
    reste_sign,
    row_mean,
    sample_std,
    standardised,
    statistics_binary,
    statistics_ternary,
    ternary_signs,
    ternary_step,
)

__all__ = [
    "METHODS",
    "ActivationBinarizer",
    "ApproxSignActivations",
    "BiPerWeights",
    "CentredWeights",
    "ClippedActivations",
    "ClippedWeights",
    "DecayActivations",
    "ElasticActivations",
    "IRNetWeights",
    "LowRankResidual",
    "Method",
    "ReSTEActivations",
    "ReSTEWeights",
    "StatisticsWeights",
    "TernaryWeights",
    "WeightBinarizer",
    "make_binarizers",
]


class LowRankResidual(nn.Module):
    """Float path of low rank beside a binary layer, that makes up for what binarisation loses (after BiPFT).

    BiPFT estimates the lost products of queries and keys with linear maps of rank 1. Here the path is a map of a given
    rank, added to the output of the binary layer. It starts at zero.

    Parameters
    ----------
    n_in, n_out : int
        Lengths of input and output.
    rank : int
        Length between.
    """

    def __init__(self, n_in: int, n_out: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(n_in, rank, bias=False)
        self.up = nn.Linear(rank, n_out, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Estimate what the binary layer misses.

        Parameters
        ----------
        x : `~torch.Tensor`
            Shape (..., n_in).

        Returns
        -------
        `~torch.Tensor`
            Shape (..., n_out).
        """
        return cast("Tensor", self.up(self.down(x)))


class _Scheduled(nn.Module):
    """A module that knows how far the training is; the position is part of its state."""

    progress: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("progress", torch.zeros(()))

    def advance(self, progress: float) -> None:
        """Move to a point of the training.

        Parameters
        ----------
        progress : float
            Share of the training that is done.

        Raises
        ------
        ValueError
            If it is not from 0 to 1.
        """
        self.progress.fill_(checked_progress(progress))


class WeightBinarizer(_Scheduled, ABC):
    """How the latent weights of a convolution become binary ones; one module a layer."""

    @abstractmethod
    def forward(self, weights: Tensor) -> Tensor:
        """Give what the convolution multiplies with in training.

        Parameters
        ----------
        weights : `~torch.Tensor`
            Latent weights, shape (Co, Ci, K).

        Returns
        -------
        `~torch.Tensor`
            Binary weights times their scale, same shape.
        """

    @abstractmethod
    def _scale(self, weights: Tensor) -> Tensor:
        """Scale of the binary weights, in a shape that spreads to (Co, 1, 1)."""

    def _source(self, weights: Tensor) -> Tensor:
        """Real numbers whose signs the binary weights are."""
        return weights

    def _signs(self, source: Tensor) -> Tensor:
        return hard_sign(source)

    @torch.no_grad()
    def signs(self, weights: Tensor) -> Tensor:
        """Give the binary weights of inference.

        Parameters
        ----------
        weights : `~torch.Tensor`
            Latent weights, shape (Co, Ci, K).

        Returns
        -------
        `~torch.Tensor`
            -1 or +1, and 0 if the method is ternary; detached, same shape.
        """
        return self._signs(self._source(weights))

    @torch.no_grad()
    def scale(self, weights: Tensor) -> Tensor:
        """Give the factors of the binary weights of inference.

        Parameters
        ----------
        weights : `~torch.Tensor`
            Latent weights, shape (Co, Ci, K).

        Returns
        -------
        `~torch.Tensor`
            One factor per output channel, detached, shape (Co, 1, 1).
        """
        return self._scale(weights).expand(len(weights), 1, 1).clone()

    def regulariser(self, weights: Tensor) -> Tensor:
        """Give what this layer adds to the loss.

        Parameters
        ----------
        weights : `~torch.Tensor`
            Latent weights, shape (Co, Ci, K).

        Returns
        -------
        `~torch.Tensor`
            A scalar; 0 unless the method has a regulariser.
        """
        return weights.new_zeros(())

    @torch.no_grad()
    def diagnostics(self, weights: Tensor) -> dict[str, float]:
        """Measure the binarisation of this layer.

        Parameters
        ----------
        weights : `~torch.Tensor`
            Latent weights, shape (Co, Ci, K).

        Returns
        -------
        dict of str to float
            ``relative_error`` is the share of the square of the real numbers that their signs miss when multiplied by
            the best factor of the layer; methods add their own figures.
        """
        source = self._source(weights)
        signs = self._signs(source)
        matched = torch.sum(source * signs) ** 2
        total = torch.sum(source**2) * torch.sum(signs**2)
        return {"relative_error": 1.0 - float(matched / total) if total > 0 else 1.0}


class ClippedWeights(WeightBinarizer):
    """Signs with the clipped gradient, times the mean size of each output channel, through which no gradient goes."""

    def forward(self, weights: Tensor) -> Tensor:
        """Give what the convolution multiplies with in training; see `WeightBinarizer.forward`."""
        return clipped_sign(weights) * self._scale(weights).detach()

    def _scale(self, weights: Tensor) -> Tensor:
        return row_mean(weights.abs())


class ReSTEWeights(WeightBinarizer):
    """Signs with the gradient of `reste_sign`, times one mean size for the layer, through which the gradient goes too.

    Parameters
    ----------
    end : float
        Power at the end of the training.
    """

    def __init__(self, end: float = 3.0) -> None:
        super().__init__()
        self.end = end

    def forward(self, weights: Tensor) -> Tensor:
        """Give what the convolution multiplies with in training; see `WeightBinarizer.forward`."""
        return reste_sign(weights, reste_power(float(self.progress), self.end)) * self._scale(weights)

    def _scale(self, weights: Tensor) -> Tensor:
        return weights.abs().mean()

    def diagnostics(self, weights: Tensor) -> dict[str, float]:
        """Measure the binarisation of this layer; see `WeightBinarizer.diagnostics`.

        Parameters
        ----------
        weights : `~torch.Tensor`
            Latent weights, shape (Co, Ci, K).

        Returns
        -------
        dict of str to float
            Adds ``estimating_error``, `reste_error` with the power of the end, as the authors measure it.
        """
        return {**super().diagnostics(weights), "estimating_error": reste_error([weights], self.end)}


class BiPerWeights(WeightBinarizer):
    """BiPer: a sine of the weights in the first stage, its sign in the second, and a learned scale per output channel.

    Parameters
    ----------
    c_out : int
        Output channels.
    frequency : float
        Frequency of the wave.
    first_stage : float
        Share of the training that the first stage takes.
    tau : tuple of float
        Weight of the regulariser tau mean(sin(f w)^2) in both stages.
    """

    def __init__(
        self,
        c_out: int,
        frequency: float = 20.0,
        first_stage: float = 0.6,
        tau: tuple[float, float] = (0.037, 0.0468),
    ) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.rand(c_out, 1, 1))
        self.frequency = frequency
        self.first_stage = first_stage
        self.tau = tau

    @property
    def in_second_stage(self) -> bool:
        """Whether the weights are binary by now."""
        # A comparison of tensors: the share of the first stage is rounded to the precision of the progress.
        return bool(self.progress >= self.first_stage)

    def forward(self, weights: Tensor) -> Tensor:
        """Give what the convolution multiplies with in training; see `WeightBinarizer.forward`.

        Parameters
        ----------
        weights : `~torch.Tensor`
            Latent weights, shape (Co, Ci, K).

        Returns
        -------
        `~torch.Tensor`
            In the first stage the sine, which is not binary, times the scale; same shape.
        """
        wave = biper_square if self.in_second_stage else biper_wave
        return wave(weights, self.frequency) * self.alpha

    def _scale(self, weights: Tensor) -> Tensor:  # noqa: ARG002 - learned, not measured
        return self.alpha

    def _source(self, weights: Tensor) -> Tensor:
        return biper_wave(weights, self.frequency)

    def regulariser(self, weights: Tensor) -> Tensor:
        """Give tau mean(sin(f w)^2), which draws the weights to the flips of the square wave.

        Parameters
        ----------
        weights : `~torch.Tensor`
            Latent weights, shape (Co, Ci, K).

        Returns
        -------
        `~torch.Tensor`
            A scalar.
        """
        return self.tau[int(self.in_second_stage)] * torch.mean(biper_wave(weights, self.frequency) ** 2)

    def diagnostics(self, weights: Tensor) -> dict[str, float]:
        """Measure the binarisation of this layer; see `WeightBinarizer.diagnostics`.

        Parameters
        ----------
        weights : `~torch.Tensor`
            Latent weights, shape (Co, Ci, K).

        Returns
        -------
        dict of str to float
            Adds ``quantisation_error``, `biper_error`; the relative error is that of the sine.
        """
        return {**super().diagnostics(weights), "quantisation_error": biper_error([weights], self.frequency)}


class IRNetWeights(WeightBinarizer):
    """IR-Net: signs of standardised weights with the gradient of `decay_sign`, times a power of 2 per output channel.

    The gradient goes through the standardisation, not through the scale 2^round(log2(mean(abs))).

    Parameters
    ----------
    lowest, highest : float
        Sharpness at the beginning and at the end of the training.
    """

    def __init__(self, lowest: float = 0.1, highest: float = 10.0) -> None:
        super().__init__()
        self.lowest = lowest
        self.highest = highest

    def forward(self, weights: Tensor) -> Tensor:
        """Give what the convolution multiplies with in training; see `WeightBinarizer.forward`."""
        k, t = decay_schedule(float(self.progress), self.lowest, self.highest)
        return decay_sign(standardised(weights), k, t) * self._scale(weights).detach()

    def _scale(self, weights: Tensor) -> Tensor:
        return torch.exp2(torch.round(torch.log2(row_mean(standardised(weights).abs()))))

    def _source(self, weights: Tensor) -> Tensor:
        return standardised(weights)


class StatisticsWeights(WeightBinarizer):
    """`statistics_binary`: signs times the mean size of each output channel."""

    def forward(self, weights: Tensor) -> Tensor:
        """Give what the convolution multiplies with in training; see `WeightBinarizer.forward`."""
        return statistics_binary(weights)

    def _scale(self, weights: Tensor) -> Tensor:
        return row_mean(weights.abs())


class TernaryWeights(WeightBinarizer):
    """`statistics_ternary`: -1, 0 or +1 times 4/3 of the mean size of each output channel."""

    def forward(self, weights: Tensor) -> Tensor:
        """Give what the convolution multiplies with in training; see `WeightBinarizer.forward`."""
        return statistics_ternary(weights)

    def _scale(self, weights: Tensor) -> Tensor:
        return ternary_step(weights)

    def _signs(self, source: Tensor) -> Tensor:
        return ternary_signs(source)


class CentredWeights(WeightBinarizer):
    """`centred_binary`: signs of the offsets from the mean weight, times the mean size.

    Parameters
    ----------
    row_wise : bool
        Whether the mean size is that of the output channel instead of the layer.
    """

    def __init__(self, *, row_wise: bool = False) -> None:
        super().__init__()
        self.row_wise = row_wise

    def forward(self, weights: Tensor) -> Tensor:
        """Give what the convolution multiplies with in training; see `WeightBinarizer.forward`."""
        return centred_binary(weights, self.row_wise)

    def _scale(self, weights: Tensor) -> Tensor:
        return row_mean(weights.abs()) if self.row_wise else weights.abs().mean()

    def _source(self, weights: Tensor) -> Tensor:
        return weights - weights.mean()


class ActivationBinarizer(_Scheduled, ABC):
    """How the input of a convolution becomes binary; one module a layer."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Binarise activations.

        Parameters
        ----------
        x : `~torch.Tensor`
            Real activations, shape (N, C, L).

        Returns
        -------
        `~torch.Tensor`
            -1 or +1 times the scale, same shape.
        """

    def scale(self) -> Tensor:
        """Give the factor of the signs.

        Returns
        -------
        `~torch.Tensor`
            Detached, no dimension; 1 unless the method learns it.
        """
        return torch.ones_like(self.progress)


class ClippedActivations(ActivationBinarizer):
    """Signs with the clipped gradient, `clipped_sign`."""

    def forward(self, x: Tensor) -> Tensor:
        """Binarise activations; see `ActivationBinarizer.forward`."""
        return clipped_sign(x)


class ApproxSignActivations(ActivationBinarizer):
    """Signs with the gradient of `approx_sign`.

    Parameters
    ----------
    divide : bool
        Whether each sample is divided by its standard deviation in training, as in BiPer. The signs stay the same;
        the window of the gradient follows the sample.
    """

    def __init__(self, *, divide: bool = False) -> None:
        super().__init__()
        self.divide = divide

    def forward(self, x: Tensor) -> Tensor:
        """Binarise activations; see `ActivationBinarizer.forward`."""
        return approx_sign(x / sample_std(x) if self.divide and self.training else x)


class ReSTEActivations(ActivationBinarizer):
    """Signs with the gradient of `reste_sign`.

    Parameters
    ----------
    end : float
        Power at the end of the training.
    """

    def __init__(self, end: float = 3.0) -> None:
        super().__init__()
        self.end = end

    def forward(self, x: Tensor) -> Tensor:
        """Binarise activations; see `ActivationBinarizer.forward`."""
        return reste_sign(x, reste_power(float(self.progress), self.end))


class DecayActivations(ActivationBinarizer):
    """Signs with the gradient of `decay_sign`, as in IR-Net.

    Parameters
    ----------
    lowest, highest : float
        Sharpness at the beginning and at the end of the training.
    """

    def __init__(self, lowest: float = 0.1, highest: float = 10.0) -> None:
        super().__init__()
        self.lowest = lowest
        self.highest = highest

    def forward(self, x: Tensor) -> Tensor:
        """Binarise activations; see `ActivationBinarizer.forward`."""
        return decay_sign(x, *decay_schedule(float(self.progress), self.lowest, self.highest))


class ElasticActivations(ActivationBinarizer):
    """Signs times a learned step, `elastic_sign`; the first batch of the training sets it to 2 mean(abs(x))."""

    initialised: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(()))
        self.register_buffer("initialised", torch.zeros((), dtype=torch.bool))

    def forward(self, x: Tensor) -> Tensor:
        """Binarise activations; see `ActivationBinarizer.forward`."""
        if self.training and not self.initialised:
            with torch.no_grad():
                self.alpha.copy_(2.0 * x.abs().mean())
                self.initialised.fill_(True)
        return elastic_sign(x, self.alpha)

    def scale(self) -> Tensor:
        """Give the learned step; see `ActivationBinarizer.scale`.

        Returns
        -------
        `~torch.Tensor`
            Detached, no dimension.
        """
        return self.alpha.detach().clamp_min(LEAST_STEP)


class Method(NamedTuple):
    """A way of binarising.

    Attributes
    ----------
    weights : callable
        Makes the module of the weights from the number of output channels.
    activations : callable
        Makes the module of the activations.
    summary : str
        What it is, in a few words.
    """

    weights: Callable[[int], WeightBinarizer]
    activations: Callable[[], ActivationBinarizer]
    summary: str


METHODS: dict[str, Method] = {
    "ste": Method(lambda _: ClippedWeights(), ClippedActivations, "clipped straight-through estimator"),
    "approx_sign": Method(lambda _: ClippedWeights(), ApproxSignActivations, "Bi-Real"),
    "reste": Method(lambda _: ReSTEWeights(), ReSTEActivations, "ReSTE, power from 1 to 3"),
    "biper": Method(BiPerWeights, lambda: ApproxSignActivations(divide=True), "BiPer, sine and then square wave"),
    "irnet": Method(lambda _: IRNetWeights(), DecayActivations, "IR-Net, standardised weights"),
    "statistics": Method(lambda _: StatisticsWeights(), ElasticActivations, "mean sizes and elastic activations"),
    "ternary": Method(lambda _: TernaryWeights(), ElasticActivations, "ternary weights and elastic activations"),
    "centred": Method(lambda _: CentredWeights(), ElasticActivations, "BiPFT, centred weights and elastic activations"),
}


def make_binarizers(method: str, c_out: int) -> tuple[WeightBinarizer, ActivationBinarizer]:
    """Make both modules of a binary convolution.

    Parameters
    ----------
    method : str
        A key of `METHODS`.
    c_out : int
        Output channels of the convolution.

    Returns
    -------
    weights : WeightBinarizer
        Module of its weights.
    activations : ActivationBinarizer
        Module of its input.

    Raises
    ------
    ValueError
        If there is no such method.
    """
    if method not in METHODS:
        msg = f"no way of binarising is called {method!r}: choose one of {', '.join(METHODS)}"
        raise ValueError(msg)
    chosen = METHODS[method]
    return chosen.weights(c_out), chosen.activations()
