"""From the trained network to the packed one that is shipped."""

from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cbminer.classifier.binarizers import BiPerWeights, TernaryWeights
from cbminer.classifier.classes import CLASSES
from cbminer.classifier.network import FLOAT, Affine, Block, LightCurveNetwork, TinyBlock
from cbminer.classifier.packed import PackedNetwork
from cbminer.classifier.packed_layers import PackedBlock, PackedHead, PackedResidual, PackedStem, pack_signs
from cbminer.errors import SettingsError

__all__ = ["pack_network"]

_Floats = npt.NDArray[np.float32]


def pack_network(
    network: LightCurveNetwork,
    *,
    version: str = "",
    temperature: float = 1.0,
    calibration: npt.ArrayLike | None = None,
) -> PackedNetwork:
    """Pack a trained network.

    Constants are those that the network computes with in evaluation, rounded by it and not again.

    Parameters
    ----------
    network : LightCurveNetwork
        The network.
    version : str
        Version to store.
    temperature : float
        Divides the logits before they become probabilities.
    calibration : array_like, optional
        Then added, shape (classes,); zeros by default.

    Returns
    -------
    PackedNetwork
        Its integers and constants.

    Raises
    ------
    SettingsError
        If weights are not of one bit: the float twin, ternary ones, or BiPer before its second stage.
    """
    settings = network.settings
    if settings.method == FLOAT:
        msg = "the float twin has no weights of one bit to pack: choose a method that binarizes"
        raise SettingsError(msg)
    with torch.no_grad():
        stem = _stem(network)
        blocks = tuple(_block(cast("Block | TinyBlock", block)) for block in network.blocks)
        head = _head(network)
    biases = np.zeros(len(CLASSES)) if calibration is None else np.asarray(calibration)
    return PackedNetwork(
        variant=settings.variant,
        stem=stem,
        blocks=blocks,
        head=head,
        classes=CLASSES,
        n_bins=settings.n_bins,
        scalars=settings.scalars,
        version=version,
        temperature=float(temperature),
        calibration=biases.astype(np.float32),
    )


def _array(tensor: Tensor) -> _Floats:
    # A copy: the network may be trained further.
    return np.array(tensor.detach().cpu().numpy(), dtype=np.float32)


def _pair(affine: Affine) -> tuple[_Floats, _Floats]:
    return _array(affine.scale), _array(affine.shift)


def _stem(network: LightCurveNetwork) -> PackedStem:
    stem = network.stem
    return PackedStem(_array(stem.integers()).astype(np.int8), *_pair(stem.affine()), stride=stem.stride)


def _block(block: Block | TinyBlock) -> PackedBlock:
    """Pack a block of either variant."""
    convolution = block.convolution
    binarizer = convolution.binary_weights
    if isinstance(binarizer, TernaryWeights):
        msg = "ternary weights have three values, a bit has two: train with a method whose weights are binary"
        raise SettingsError(msg)
    if isinstance(binarizer, BiPerWeights) and not binarizer.in_second_stage:
        msg = "the weights of BiPer are a sine until its second stage: train on, then pack"
        raise SettingsError(msg)
    signs = pack_signs(_array(binarizer.signs(convolution.weight)))
    residual = None
    if isinstance(block, Block):
        numbers = (block.threshold, block.before, block.slope, block.after)
        residual = PackedResidual(*map(_array, numbers))
    return PackedBlock(signs, *_pair(convolution.affine()), pool=block.pool, residual=residual)


def _head(network: LightCurveNetwork) -> PackedHead:
    """Pack what comes after the means over positions."""
    parts = {}
    if network.scalar_hidden is not None and network.scalar_out is not None:
        parts["hidden_weights"] = _array(network.scalar_hidden.weight)
        parts["hidden_bias"] = _array(network.scalar_hidden.bias)
        parts["out_weights"] = _array(network.scalar_out.weight)
    if network.side is not None:
        parts["side_down"] = _array(network.side.down.weight)
        parts["side_up"] = _array(network.side.up.weight)
    return PackedHead(_array(network.head.weight), _array(network.head.bias), **parts)
