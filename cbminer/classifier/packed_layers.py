"""Layers of a packed network: their numbers, signs in words of 64 bits, and the thresholds that signs fold into.

Words hold 64 channels of one position and output, the lowest bit the first channel, 1 for +1. All channels are
multiples of 64, so that no word has a tail.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cbminer.classifier.packed_kernels import WORD

__all__ = [
    "LayerSummary",
    "PackedBlock",
    "PackedHead",
    "PackedResidual",
    "PackedStem",
    "pack_signs",
    "sign_limits",
    "unpack_signs",
]

_Floats = npt.NDArray[np.float32]
_Words = npt.NDArray[np.uint64]
_Integers = npt.NDArray[np.int32]


def _none(*shape: int) -> _Floats:
    return np.zeros(shape, dtype=np.float32)


@dataclass(frozen=True)
class PackedStem:
    """First convolution, of 8 bits.

    Attributes
    ----------
    weights : `~numpy.ndarray`
        Int8, shape (channels, 2, kernel).
    scale, shift : `~numpy.ndarray`
        What follows the sums, float32, shape (channels,).
    stride : int
        Bins from one position to the next.
    """

    weights: npt.NDArray[np.int8]
    scale: _Floats
    shift: _Floats
    stride: int


@dataclass(frozen=True)
class PackedResidual:
    """What a block of the standard variant has around its convolution; all float32.

    Attributes
    ----------
    threshold : `~numpy.ndarray`
        Added to the stream before its signs are taken, shape (channels in,).
    before, slope, after : `~numpy.ndarray`
        Shift, slope for negative numbers, and shift of the PReLU, shape (channels out,).
    """

    threshold: _Floats
    before: _Floats
    slope: _Floats
    after: _Floats


@dataclass(frozen=True)
class PackedBlock:
    """A binary convolution and what follows.

    Attributes
    ----------
    weights : `~numpy.ndarray`
        Signs, `pack_signs`, uint64, shape (channels out, kernel, channels in / 64).
    scale, shift : `~numpy.ndarray`
        What follows the sums, float32, shape (channels out,).
    pool : bool
        Whether pairs of positions become one, their mean in the standard variant and the larger in the tiny one.
    residual : PackedResidual or None
        None in the tiny variant.
    """

    weights: _Words
    scale: _Floats
    shift: _Floats
    pool: bool
    residual: PackedResidual | None = None

    @property
    def c_in(self) -> int:
        """Channels that come in."""
        return int(WORD * self.weights.shape[2])

    @property
    def c_out(self) -> int:
        """Channels that go out."""
        return int(self.weights.shape[0])

    @property
    def kernel(self) -> int:
        """Positions that the convolution sees."""
        return int(self.weights.shape[1])


@dataclass(frozen=True)
class PackedHead:
    """From means over positions to logits; all float32.

    Attributes
    ----------
    weights, bias : `~numpy.ndarray`
        Shapes (classes, channels) and (classes,).
    hidden_weights, hidden_bias, out_weights : `~numpy.ndarray`
        Branch of the scalars, shapes (hidden, 2 m), (hidden,) and (classes, hidden); empty without scalars.
    side_down, side_up : `~numpy.ndarray`
        Path from the mean of the stem, shapes (rank, channels of the stem) and (classes, rank); empty without it.
    """

    weights: _Floats
    bias: _Floats
    hidden_weights: _Floats = field(default_factory=lambda: _none(0, 0))
    hidden_bias: _Floats = field(default_factory=lambda: _none(0))
    out_weights: _Floats = field(default_factory=lambda: _none(0, 0))
    side_down: _Floats = field(default_factory=lambda: _none(0, 0))
    side_up: _Floats = field(default_factory=lambda: _none(0, 0))


class LayerSummary(NamedTuple):
    """What a layer costs, for one curve.

    Attributes
    ----------
    name : str
        ``stem``, ``block 1`` and so on, ``head``.
    c_in, c_out, positions, kernel : int
        Channels, positions that the layer computes (before a pool), and its kernel.
    binary_operations : int
        Products of signs, each with its sum.
    integer_operations : int
        Products of 8-bit integers, each with its sum.
    float_operations : int
        Operations in float32: sums, products and comparisons; in the head products, each with its sum.
    weight_bytes, float_weight_bytes : int
        Size of the weights as they are, and as float32.
    constant_bytes : int
        Size of the other numbers of the layer, float32.
    """

    name: str
    c_in: int
    c_out: int
    positions: int
    kernel: int
    binary_operations: int
    integer_operations: int
    float_operations: int
    weight_bytes: int
    float_weight_bytes: int
    constant_bytes: int


def pack_signs(signs: npt.ArrayLike) -> _Words:
    """Pack the weights of a binary convolution.

    Parameters
    ----------
    signs : array_like
        -1 and +1, shape (channels out, channels in, kernel), channels in a multiple of 64.

    Returns
    -------
    `~numpy.ndarray`
        Uint64, shape (channels out, kernel, channels in / 64).

    Raises
    ------
    ValueError
        If a number is neither -1 nor +1, or channels do not fill words.
    """
    values = np.asarray(signs)
    if values.ndim != 3 or values.shape[1] % WORD:
        msg = f"signs of shape {values.shape}: give (channels out, channels in, kernel), multiples of {WORD} in"
        raise ValueError(msg)
    if not np.isin(values, (-1, 1)).all():
        msg = "weights that are neither -1 nor +1 do not fit into one bit: binarize them first"
        raise ValueError(msg)
    bits = np.packbits(values.transpose(0, 2, 1) > 0, axis=2, bitorder="little")
    return np.ascontiguousarray(bits).view("<u8").astype(np.uint64)


def unpack_signs(words: _Words) -> npt.NDArray[np.int8]:
    """Undo `pack_signs`.

    Parameters
    ----------
    words : `~numpy.ndarray`
        Uint64, shape (channels out, kernel, channels in / 64).

    Returns
    -------
    `~numpy.ndarray`
        -1 and +1, int8, shape (channels out, channels in, kernel).
    """
    bits = np.unpackbits(np.ascontiguousarray(words.astype("<u8")).view(np.uint8), axis=2, bitorder="little")
    return np.ascontiguousarray((2 * bits.astype(np.int8) - 1).transpose(0, 2, 1))


def sign_limits(scale: _Floats, shift: _Floats, n_terms: int) -> tuple[_Integers, npt.NDArray[np.bool_]]:
    """Fold normalisation and sign into an integer a channel.

    The sign of ``scale * sum + shift`` is +1 where ``(sum >= limit) != reverse``. As product and sum are rounded, the
    limit is not where the exact line is zero: all sums are tried, with the same roundings. Rounding keeps the order, so
    that each channel changes its sign once at most.

    Parameters
    ----------
    scale, shift : `~numpy.ndarray`
        Float32, shape (channels,), finite.
    n_terms : int
        Products of signs in a sum, the largest that it can be.

    Returns
    -------
    limits : `~numpy.ndarray`
        Int32, shape (channels,).
    reverse : `~numpy.ndarray`
        Whether the sign is that of a falling line, shape (channels,).
    """
    sums = np.arange(-n_terms, n_terms + 1, dtype=np.int32)
    with np.errstate(over="ignore", under="ignore"):
        value = sums.astype(np.float32) * scale[:, None]
        value += shift[:, None]
    positive = np.count_nonzero(value >= 0, axis=1)
    reverse = scale < 0
    limits = np.where(reverse, positive - n_terms, n_terms + 1 - positive)
    return limits.astype(np.int32), np.asarray(reverse)
