"""The network: a 1-D convolutional one over phase, with weights and activations of one bit, and its float twin.

A folded light curve comes in as integers of 8 bits (`~cbminer.classifier.binning`). The stem has weights of 8 bits, the
head is real; between them every convolution is binary. Phase is periodic, so that all padding is circular: no
position is special, and there is no zero that one bit could not hold.

The *standard* variant has a real shortcut around every binary convolution (Liu et al. 2018, ECCV, 747), learned
thresholds before the signs and shifted PReLUs after the sums (Liu et al. 2020, ECCV, 143). In the *tiny* variant
convolution, batch normalisation and sign follow one another with nothing between, so that they fold into one integer
threshold a channel.

What a trained network computes is written operation by operation with one rounding each, and folded constants are
rounded once from double precision: the packed engine does the same, and agrees to the last bit of every sign.
"""

from itertools import pairwise
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from cbminer.classifier.binarizers import LowRankResidual, make_binarizers
from cbminer.classifier.classes import CLASSES
from cbminer.classifier.recipe import FLOAT, NetworkSettings

__all__ = [
    "FLOAT",
    "Affine",
    "BinaryConvolution",
    "Block",
    "LightCurveNetwork",
    "NetworkSettings",
    "Stem",
    "TinyBlock",
    "signs_of",
]

_INPUT_CHANNELS = 2
# Largest magnitude of the stem's integers.
_LARGEST = 127


class Affine(NamedTuple):
    """What batch normalisation and the scales of binary weights come to: ``scale * x + shift`` a channel.

    Attributes
    ----------
    scale, shift : `~torch.Tensor`
        Float32, shape (channels,).
    """

    scale: Tensor
    shift: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Apply to (n, channels, positions): a product and a sum, each rounded, as the packed engine does."""
        return x * self.scale[:, None] + self.shift[:, None]


def signs_of(x: Tensor) -> Tensor:
    """Signs of numbers, +1 for zero.

    Parameters
    ----------
    x : `~torch.Tensor`
        Numbers.

    Returns
    -------
    `~torch.Tensor`
        -1 and +1 of the same shape.
    """
    return torch.where(x >= 0, 1.0, -1.0)


def _wrapped(x: Tensor, kernel: int) -> Tensor:
    """Pad by the other end of the cycle, so that a convolution keeps the positions."""
    return functional.pad(x, (kernel // 2, kernel // 2), mode="circular")


def _folded(norm: nn.BatchNorm1d, scale: Tensor) -> Affine:
    """Fold a normalisation of ``scale * x`` in double precision; rounded once."""
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:  # pragma: no cover - BatchNorm1d tracks them unless told not to
        msg = "a normalisation without running statistics"
        raise ValueError(msg)
    factor = norm.weight.double() / torch.sqrt(variance.double() + norm.eps)
    shift = norm.bias.double() - mean.double() * factor
    return Affine((factor * scale.double()).float().detach(), shift.float().detach())


class _Rounded(torch.autograd.Function):
    """Round to integers; the gradient passes."""

    @staticmethod
    def forward(_ctx: object, x: Tensor) -> Tensor:
        return torch.round(x)

    @staticmethod
    def backward(_ctx: object, *grads: Tensor) -> Tensor:
        return grads[0]


class Stem(nn.Module):
    """First convolution, from bins to positions; weights of 8 bits, or real ones in the float twin.

    Parameters
    ----------
    settings : NetworkSettings
        Topology.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.kernel, self.stride = settings.stem_kernel, settings.stem_stride
        self.real = settings.method == FLOAT
        self.weight = nn.Parameter(torch.empty(settings.channels[0], _INPUT_CHANNELS, self.kernel))
        nn.init.kaiming_normal_(self.weight)
        self.norm = nn.BatchNorm1d(settings.channels[0])

    def step(self) -> Tensor:
        """Value of one unit of the integer weights.

        Returns
        -------
        `~torch.Tensor`
            Shape (channels,).
        """
        return (self.weight.detach().abs().amax(dim=(1, 2)) / _LARGEST).clamp_min(1e-12)

    def integers(self) -> Tensor:
        """Weights as integers of 8 bits.

        Returns
        -------
        `~torch.Tensor`
            Whole numbers from -127 to 127 as float32, shape (channels, 2, kernel).
        """
        return torch.round(self.weight.detach() / self.step()[:, None, None])

    def accumulate(self, inputs: Tensor) -> Tensor:
        """Sum up the integer convolution.

        Parameters
        ----------
        inputs : `~torch.Tensor`
            Integers as float32, shape (n, 2, bins).

        Returns
        -------
        `~torch.Tensor`
            Whole numbers, shape (n, channels, positions).
        """
        return self._convolve(inputs, self.integers())

    def affine(self) -> Affine:
        """Give what follows the sums.

        Returns
        -------
        Affine
            Step of the weights and normalisation.
        """
        return _folded(self.norm, self.step())

    def _convolve(self, inputs: Tensor, weight: Tensor) -> Tensor:
        return functional.conv1d(_wrapped(inputs, self.kernel), weight, stride=self.stride)

    def forward(self, inputs: Tensor) -> Tensor:
        """Go from bins to positions."""
        if self.real:
            return self._normalised(self._convolve(inputs, self.weight))
        if not self.training:
            return self.affine()(self.accumulate(inputs))
        step = self.step()[:, None, None]
        rounded: Tensor = _Rounded.apply(self.weight / step)  # type: ignore[no-untyped-call]
        return self._normalised(self._convolve(inputs, rounded * step))

    def _normalised(self, x: Tensor) -> Tensor:
        result: Tensor = self.norm(x)
        return result


class BinaryConvolution(nn.Module):
    """A convolution whose weights and inputs are signs, with its normalisation; or the real one of the twin.

    Parameters
    ----------
    c_in, c_out : int
        Channels.
    kernel : int
        Positions that it sees.
    method : str
        Estimator of the gradients, or `FLOAT`.
    """

    def __init__(self, c_in: int, c_out: int, *, kernel: int, method: str) -> None:
        super().__init__()
        self.kernel = kernel
        self.real = method == FLOAT
        self.weight = nn.Parameter(torch.empty(c_out, c_in, kernel))
        nn.init.kaiming_normal_(self.weight)
        self.norm = nn.BatchNorm1d(c_out)
        if not self.real:
            self.binary_weights, self.binary_inputs = make_binarizers(method, c_out)

    def accumulate(self, signs: Tensor) -> Tensor:
        """Sum up products of signs: whole numbers, shape (n, c_out, positions)."""
        return functional.conv1d(_wrapped(signs, self.kernel), self.binary_weights.signs(self.weight))

    def affine(self) -> Affine:
        """Give what follows the sums: scales of weights and of inputs, and normalisation."""
        scale = self.binary_weights.scale(self.weight).double().flatten() * self.binary_inputs.scale().double()
        return _folded(self.norm, scale)

    def trained(self, x: Tensor) -> Tensor:
        """Convolve while training, or in the twin."""
        signs, weights = (x, self.weight) if self.real else (self.binary_inputs(x), self.binary_weights(self.weight))
        result: Tensor = self.norm(functional.conv1d(_wrapped(signs, self.kernel), weights))
        return result


class Block(nn.Module):
    """A binary convolution with a shortcut around it, a threshold before and a shifted PReLU after.

    Parameters
    ----------
    c_in, c_out : int
        Channels; the shortcut repeats its channels where they grow.
    kernel : int
        Positions that the convolution sees.
    method : str
        Estimator of the gradients, or `FLOAT`.
    pool : bool
        Whether pairs of positions are averaged at the end.
    """

    def __init__(self, c_in: int, c_out: int, *, kernel: int, method: str, pool: bool) -> None:
        super().__init__()
        self.convolution = BinaryConvolution(c_in, c_out, kernel=kernel, method=method)
        self.copies, self.pool = c_out // c_in, pool
        self.threshold = nn.Parameter(torch.zeros(c_in))
        self.before = nn.Parameter(torch.zeros(c_out))
        self.slope = nn.Parameter(torch.full((c_out,), 0.25))
        self.after = nn.Parameter(torch.zeros(c_out))

    def accumulate(self, x: Tensor) -> Tensor:
        """Sum up the binary convolution.

        Parameters
        ----------
        x : `~torch.Tensor`
            Residual stream, shape (n, c_in, positions).

        Returns
        -------
        `~torch.Tensor`
            Whole numbers, shape (n, c_out, positions).
        """
        return self.convolution.accumulate(signs_of(x + self.threshold[:, None]))

    def forward(self, x: Tensor) -> Tensor:
        """Go through the block."""
        if self.training or self.convolution.real:
            y = self.convolution.trained(x if self.convolution.real else x + self.threshold[:, None])
        else:
            y = self.convolution.affine()(self.accumulate(x))
        y = y + (x if self.copies == 1 else torch.cat([x] * self.copies, dim=1))
        y = y + self.before[:, None]
        y = torch.where(y >= 0, y, y * self.slope[:, None])
        y = y + self.after[:, None]
        return (y[..., 0::2] + y[..., 1::2]) * 0.5 if self.pool else y


class TinyBlock(nn.Module):
    """A binary convolution and its normalisation, and the larger of each pair of positions where it pools.

    Parameters
    ----------
    c_in, c_out, kernel, method, pool
        As in `Block`.
    """

    def __init__(self, c_in: int, c_out: int, *, kernel: int, method: str, pool: bool) -> None:
        super().__init__()
        self.convolution = BinaryConvolution(c_in, c_out, kernel=kernel, method=method)
        self.pool = pool

    def accumulate(self, x: Tensor) -> Tensor:
        """Sum up the binary convolution; see `Block.accumulate`."""
        return self.convolution.accumulate(signs_of(x))

    def forward(self, x: Tensor) -> Tensor:
        """Go through the block; the sign is taken by the next one."""
        if self.convolution.real:
            y = self.convolution.trained(functional.relu(x))
        elif self.training:
            y = self.convolution.trained(x)
        else:
            y = self.convolution.affine()(self.accumulate(x))
        return torch.maximum(y[..., 0::2], y[..., 1::2]) if self.pool else y


class LightCurveNetwork(nn.Module):
    """Network from folded light curves to one number a class.

    Parameters
    ----------
    settings : NetworkSettings
        Topology.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        self.stem = Stem(settings)
        kind = Block if settings.variant == "standard" else TinyBlock
        self.blocks = nn.ModuleList(
            kind(c_in, c_out, kernel=settings.kernel, method=settings.method, pool=pool)
            for (c_in, c_out), pool in zip(pairwise(settings.channels), settings.pools, strict=True)
        )
        self.head = nn.Linear(settings.channels[-1], len(CLASSES))
        n_scalars = 2 * len(settings.scalars)
        self.scalar_hidden = nn.Linear(n_scalars, settings.scalar_hidden) if n_scalars else None
        self.scalar_out = nn.Linear(settings.scalar_hidden, len(CLASSES), bias=False) if n_scalars else None
        rank = settings.side_rank
        self.side = LowRankResidual(settings.channels[0], len(CLASSES), rank) if rank else None

    def forward(self, inputs: Tensor, scalars: Tensor | None = None) -> Tensor:
        """Compute one number a class; a softmax makes probabilities of them.

        Parameters
        ----------
        inputs : `~torch.Tensor`
            Folded curves: whole numbers as float32, shape (n, 2, bins).
        scalars : `~torch.Tensor`, optional
            Numbers of the late branch and after them their presence, 1 or 0, shape (n, 2 m). Without it, the branch
            is off.

        Returns
        -------
        `~torch.Tensor`
            Logits, shape (n, classes).
        """
        x = self.stem(inputs)
        side = None if self.side is None else self.side(x.mean(dim=-1))
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(x.mean(dim=-1))
        if scalars is not None and self.scalar_hidden is not None and self.scalar_out is not None:
            logits = logits + self.scalar_out(functional.relu(self.scalar_hidden(scalars)))
        return logits if side is None else logits + side

    @torch.no_grad()
    def accumulators(self, inputs: Tensor) -> list[Tensor]:
        """Sum up all integer convolutions, as the trained network computes them.

        Parameters
        ----------
        inputs : `~torch.Tensor`
            Folded curves, shape (n, 2, bins).

        Returns
        -------
        list of `~torch.Tensor`
            Integers of the stem and of every block, shape (n, channels, positions).
        """
        sums = [self.stem.accumulate(inputs)]
        x = self.stem(inputs)
        for block in self.blocks:
            sums.append(cast("Block | TinyBlock", block).accumulate(x))
            x = block(x)
        return [item.to(torch.int64) for item in sums]

    def binary_convolutions(self) -> list[BinaryConvolution]:
        """Binary convolutions in their order; none in the float twin.

        Returns
        -------
        list of BinaryConvolution
            One a block.
        """
        convolutions = [cast("Block | TinyBlock", block).convolution for block in self.blocks]
        return [item for item in convolutions if not item.real]

    def advance(self, progress: float) -> None:
        """Tell the estimators how far the training has come.

        Parameters
        ----------
        progress : float
            From 0 to 1.
        """
        for convolution in self.binary_convolutions():
            convolution.binary_weights.advance(progress)
            convolution.binary_inputs.advance(progress)

    def regulariser(self) -> Tensor:
        """Add up what the estimators add to the loss.

        Returns
        -------
        `~torch.Tensor`
            Their sum.
        """
        terms = [item.binary_weights.regulariser(item.weight) for item in self.binary_convolutions()]
        return torch.stack(terms).sum() if terms else torch.zeros(())
