"""The trained network as it is shipped: one-bit weights in words of 64 bits, run without the framework that trained it.

A network is integers and constants folded once (`~cbminer.classifier.network`): the stem's weights of 8 bits, the signs
of the binary convolutions, a few numbers a channel, and the head. `PackedNetwork.logits` computes what the trained
network computes in evaluation, operation by operation, so that every sum of a convolution is the same integer and
every sign the same sign. In the tiny variant, normalisation and sign of a channel become one integer: the least sum
whose normalised value is not negative, found among all sums that there can be with the arithmetic of the network.

Words hold 64 channels of one position and output, the lowest bit the first channel, 1 for +1. All channels are
multiples of 64, so that no word has a tail.
"""

import hashlib
import json
import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, TypeVar

import numpy as np
import numpy.typing as npt

from cbminer.classifier.packed_kernels import LANES, STEM_LANES, WORD, late_logits, run_standard, run_tiny
from cbminer.classifier.packed_layers import (
    LayerSummary,
    PackedBlock,
    PackedHead,
    PackedResidual,
    PackedStem,
    sign_limits,
)
from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError
from cbminer.whole_file import written_whole

__all__ = ["PackedNetwork"]

Variant = Literal["standard", "tiny"]
_Floats = npt.NDArray[np.float32]
_Words = npt.NDArray[np.uint64]
_Integers = npt.NDArray[np.int32]
_Arrays = Mapping[str, npt.NDArray[Any]]
_Number = TypeVar("_Number", np.float32, np.int8)

_FORMAT = 1
_INPUT_CHANNELS = 2
# float32 holds whole numbers up to 2^24: the stem's sums stay below with kernels up to this.
_LONGEST_KERNEL = 255


def _ready(array: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
    """Make sure that an array lies as the kernels are compiled for: in one piece, and writeable as most arrays are."""
    return array if array.flags.carray else np.require(array, requirements=("C", "A", "W"))


class _Prepared(NamedTuple):
    """Arrays as the kernels take them."""

    sizes: npt.NDArray[np.int64]
    stem_weights: _Floats
    weights: _Words
    constants: _Floats
    limits: _Integers
    reversed_signs: _Words
    head: tuple[_Floats, _Floats]
    branch: tuple[_Floats, _Floats, _Floats]
    side: tuple[_Floats, _Floats]


def _aligned(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Copy to where a cache line begins: vectors of 64 bytes would otherwise lie across two."""
    whole = np.empty(array.nbytes + 64, dtype=np.uint8)
    first = -whole.ctypes.data % 64
    copy = whole[first : first + array.nbytes].view(array.dtype)
    copy[:] = array.ravel()
    return copy


def _in_tiles(array: npt.NDArray[Any], lanes: int) -> npt.NDArray[Any]:
    """From (outputs, terms) to tiles of outputs, of a tile all terms, of a term the outputs side by side."""
    outputs, terms = array.shape
    return array.reshape(outputs // lanes, lanes, terms).transpose(0, 2, 1).ravel()


@dataclass(frozen=True)
class PackedNetwork:
    """A trained network of one-bit weights and activations.

    Attributes
    ----------
    variant : {'standard', 'tiny'}
        With a real stream and shortcuts, or with signs alone between the blocks.
    stem : PackedStem
        First convolution.
    blocks : tuple of PackedBlock
        Binary convolutions.
    head : PackedHead
        From means over positions to logits.
    classes : tuple of str
        Names of the classes.
    n_bins : int
        Phase bins of a folded curve.
    scalars : tuple of str
        Names of the numbers beside the curve.
    version : str
        Version of the trained network.
    temperature : float
        Divides the logits in `probabilities`.
    calibration : `~numpy.ndarray`
        Then added to the logits there, float32, shape (classes,).

    Raises
    ------
    ValueError
        If arrays do not fit together, or numbers are not finite.
    """

    variant: Variant
    stem: PackedStem
    blocks: tuple[PackedBlock, ...]
    head: PackedHead
    classes: tuple[str, ...]
    n_bins: int
    scalars: tuple[str, ...]
    version: str
    temperature: float
    calibration: _Floats

    def __post_init__(self) -> None:
        """Check that everything fits together."""
        if self.variant not in ("standard", "tiny") or not self.blocks:
            msg = f"variant {self.variant!r} with {len(self.blocks)} blocks: give standard or tiny, and blocks"
            raise ValueError(msg)
        for name, array, kind, shape in self._layout():
            if array.dtype != kind or array.shape != shape:
                msg = f"{name} is {array.dtype} of shape {array.shape}, not {np.dtype(kind)} of shape {shape}"
                raise ValueError(msg)
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                msg = f"{name} has numbers that are not finite"
                raise ValueError(msg)
        self._check_topology()

    def _check_topology(self) -> None:
        """Check what shapes do not tell."""
        channels = [self.stem.weights.shape[0], *(block.c_out for block in self.blocks)]
        if any(count % WORD or count == 0 for count in channels):
            msg = f"channels {channels} do not fill words: give multiples of {WORD}"
            raise ValueError(msg)
        if self.variant == "standard" and any(after % before for before, after in pairwise(channels)):
            msg = f"channels {channels}: a shortcut repeats its channels, so each must be a multiple of the one before"
            raise ValueError(msg)
        kernels = [self.stem.weights.shape[2], *(block.kernel for block in self.blocks)]
        if any(kernel % 2 == 0 or kernel > _LONGEST_KERNEL for kernel in kernels):
            msg = f"kernels {kernels}: give odd ones up to {_LONGEST_KERNEL}"
            raise ValueError(msg)
        if self.stem.stride < 1 or self.n_bins < 1 or self.n_bins % self.stem.stride:
            msg = f"{self.n_bins} bins do not divide into steps of {self.stem.stride}"
            raise ValueError(msg)
        if any(block.pool and positions % 2 for block, positions in zip(self.blocks, self._positions(), strict=True)):
            msg = "a block pools an odd number of positions"
            raise ValueError(msg)
        if not (math.isfinite(self.temperature) and self.temperature > 0.0):
            msg = f"temperature {self.temperature} is not a positive number"
            raise ValueError(msg)

    def _positions(self) -> list[int]:
        """Positions that each block computes."""
        positions = [self.n_bins // self.stem.stride]
        for block in self.blocks:
            positions.append(positions[-1] // 2 if block.pool else positions[-1])
        return positions[:-1]

    def _layout(self) -> Iterator[tuple[str, npt.NDArray[Any], type, tuple[int, ...]]]:
        """All arrays by name, with the type and the shape that they must have."""
        real, n_classes, channels = np.float32, len(self.classes), self.stem.scale.size
        kernel = self.stem.weights.shape[-1] if self.stem.weights.ndim else 0
        yield "stem.weights", self.stem.weights, np.int8, (channels, _INPUT_CHANNELS, kernel)
        yield "stem.scale", self.stem.scale, real, (channels,)
        yield "stem.shift", self.stem.shift, real, (channels,)
        for place, block in enumerate(self.blocks):
            c_out, name = block.scale.size, f"block{place}"
            kernel = block.weights.shape[1] if block.weights.ndim > 1 else 0
            yield f"{name}.weights", block.weights, np.uint64, (c_out, kernel, channels // WORD)
            yield f"{name}.scale", block.scale, real, (c_out,)
            yield f"{name}.shift", block.shift, real, (c_out,)
            if (block.residual is None) == (self.variant == "standard"):
                msg = f"{name} is not a block of the {self.variant} variant"
                raise ValueError(msg)
            if block.residual is not None:
                yield f"{name}.threshold", block.residual.threshold, real, (channels,)
                for item in ("before", "slope", "after"):
                    yield f"{name}.{item}", getattr(block.residual, item), real, (c_out,)
            channels = c_out
        yield "head.weights", self.head.weights, real, (n_classes, channels)
        yield "head.bias", self.head.bias, real, (n_classes,)
        n_scalars = 2 * len(self.scalars)
        hidden = self.head.hidden_bias.size if n_scalars else 0
        yield "head.hidden_weights", self.head.hidden_weights, real, (hidden, n_scalars)
        yield "head.hidden_bias", self.head.hidden_bias, real, (hidden,)
        yield "head.out_weights", self.head.out_weights, real, (n_classes if hidden else 0, hidden)
        rank = self.head.side_down.shape[0] if self.head.side_down.ndim else 0
        yield "head.side_down", self.head.side_down, real, (rank, self.stem.scale.size if rank else 0)
        yield "head.side_up", self.head.side_up, real, (n_classes if rank else 0, rank)
        yield "calibration", self.calibration, real, (n_classes,)

    def _metadata(self) -> dict[str, Any]:
        """Everything that is not an array."""
        return {
            "format": _FORMAT,
            "variant": self.variant,
            "version": self.version,
            "classes": list(self.classes),
            "n_bins": self.n_bins,
            "scalars": list(self.scalars),
            "stride": self.stem.stride,
            "pools": [block.pool for block in self.blocks],
            "temperature": self.temperature,
        }

    def digest(self) -> str:
        """Hash of all arrays and of the metadata.

        Returns
        -------
        str
            SHA-256 in hexadecimal.
        """
        total = hashlib.sha256(json.dumps(self._metadata(), sort_keys=True).encode())
        for name, array, _, _ in self._layout():
            stored = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            total.update(f"\n{name} {stored.dtype.str} {stored.shape}\n".encode())
            total.update(stored.tobytes())
        return total.hexdigest()

    def save(self, path: Path) -> None:
        """Write the network, and beside it a JSON file with its hash and what it is.

        Parameters
        ----------
        path : `~pathlib.Path`
            File, ending in ``.npz``.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        arrays: dict[str, Any] = {name: array for name, array, _, _ in self._layout()}
        about = json.dumps({"sha256": self.digest(), **self._metadata()}, indent=2) + "\n"
        # Both are complete before either takes its place.
        with written_whole(path.with_suffix(".json")) as described, written_whole(path) as packed:
            with packed.open("wb") as file:
                np.savez_compressed(file, **arrays)
            described.write_text(about, encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a network that `save` wrote.

        Parameters
        ----------
        path : `~pathlib.Path`
            The file.

        Returns
        -------
        PackedNetwork
            The network.

        Raises
        ------
        InputFormatError
            If a file is missing or damaged, or they do not belong together.
        """
        try:
            about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            # Opened here: numpy leaves a damaged file open.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            if about["format"] != _FORMAT:
                msg = f"format {about['format']} is not {_FORMAT}"
                raise ValueError(msg)
            network = cls._assembled(about, arrays)
            expected = about["sha256"]
        except (
            AttributeError,
            EOFError,
            IndexError,
            KeyError,
            MemoryError,
            OSError,
            OverflowError,
            # Of zip archives that are encrypted or packed in another way, and of JSON without an end.
            RuntimeError,
            TypeError,
            ValueError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            msg = f"classifier {path} cannot be read ({error}): reinstall cbminer, or pack the network again"
            raise InputFormatError(msg) from error
        if network.digest() != expected:
            msg = f"classifier {path} is not the one that its JSON file describes: reinstall cbminer, or pack it again"
            raise InputFormatError(msg)
        return network

    @classmethod
    def _assembled(cls, about: Mapping[str, Any], arrays: _Arrays) -> Self:
        """Put a network together from what its two files hold."""
        standard = about["variant"] == "standard"

        def parts(kind: type, prefix: str, names: tuple[str, ...] = ()) -> dict[str, Any]:
            chosen = names or tuple(item.name for item in fields(kind) if f"{prefix}.{item.name}" in arrays)
            return {name: arrays[f"{prefix}.{name}"] for name in chosen}

        blocks = tuple(
            PackedBlock(
                **parts(PackedBlock, f"block{place}", ("weights", "scale", "shift")),
                pool=bool(pool),
                residual=PackedResidual(**parts(PackedResidual, f"block{place}")) if standard else None,
            )
            for place, pool in enumerate(about["pools"])
        )
        return cls(
            variant=about["variant"],
            stem=PackedStem(**parts(PackedStem, "stem", ("weights", "scale", "shift")), stride=int(about["stride"])),
            blocks=blocks,
            head=PackedHead(**parts(PackedHead, "head")),
            classes=tuple(map(str, about["classes"])),
            n_bins=int(about["n_bins"]),
            scalars=tuple(map(str, about["scalars"])),
            version=str(about["version"]),
            temperature=float(about["temperature"]),
            calibration=arrays["calibration"],
        )

    def logits(self, inputs: npt.NDArray[np.int8], scalars: npt.ArrayLike | None = None) -> _Floats:
        """Compute one number a class for every curve, not calibrated.

        It runs on one thread without holding the interpreter: give chunks of curves to threads to use more.

        Parameters
        ----------
        inputs : `~numpy.ndarray`
            Folded curves, int8, shape (n, 2, bins).
        scalars : array_like, optional
            Numbers beside the curves and after them their presence, 1 or 0, shape (n, 2 m). Without them, their branch
            is left out.

        Returns
        -------
        `~numpy.ndarray`
            Logits, float32, shape (n, classes).

        Raises
        ------
        ValueError
            If inputs or scalars have another type or shape.
        """
        curves = self._checked(inputs)
        ready = self._prepared
        features, stem_means = self._run(curves, np.empty((len(curves), 0), dtype=np.int32))
        return np.asarray(
            late_logits(
                features, stem_means, self._checked_scalars(scalars, len(curves)), ready.head, ready.branch, ready.side
            )
        )

    def probabilities(self, logits: npt.ArrayLike) -> FloatArray:
        """Calibrated probabilities of logits.

        Parameters
        ----------
        logits : array_like
            Shape (..., classes).

        Returns
        -------
        `~numpy.ndarray`
            Shape (..., classes), sums of 1.
        """
        tempered = np.asarray(logits, dtype=np.float64) / self.temperature + self.calibration
        weight = np.exp(tempered - tempered.max(axis=-1, keepdims=True))
        return np.asarray(weight / weight.sum(axis=-1, keepdims=True))

    def accumulators(self, inputs: npt.NDArray[np.int8]) -> list[_Integers]:
        """Give the sums of all integer convolutions, as the kernels that make the logits compute them.

        Parameters
        ----------
        inputs : `~numpy.ndarray`
            Folded curves, int8, shape (n, 2, bins).

        Returns
        -------
        list of `~numpy.ndarray`
            Int32, of the stem and of every block, shape (n, channels, positions).
        """
        curves = self._checked(inputs)
        positions = self._positions()
        shapes = [(positions[0], self.stem.scale.size)]
        shapes += [(count, block.c_out) for count, block in zip(positions, self.blocks, strict=True)]
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        kept = np.empty((len(curves), ends[-1]), dtype=np.int32)
        self._run(curves, kept)
        parts = np.split(kept, ends[:-1], axis=1)
        return [part.reshape(len(curves), *shape).transpose(0, 2, 1) for part, shape in zip(parts, shapes, strict=True)]

    def layer_summary(self) -> list[LayerSummary]:
        """Cost of every layer for one curve.

        Returns
        -------
        list of LayerSummary
            Of the stem, the blocks and the head.
        """
        positions = self._positions()
        rows = [self._stem_summary(positions[0])]
        for place, (block, count) in enumerate(zip(self.blocks, positions, strict=True), start=1):
            rows.append(self._block_summary(f"block {place}", block, count, last=place == len(self.blocks)))
        last = positions[-1] // 2 if self.blocks[-1].pool else positions[-1]
        head = self.head
        matrices = (head.weights, head.hidden_weights, head.out_weights, head.side_down, head.side_up)
        n_weights = sum(matrix.size for matrix in matrices)
        n_means = last * head.weights.shape[1] + (positions[0] * self.stem.scale.size if head.side_up.size else 0)
        constants = head.bias.nbytes + head.hidden_bias.nbytes
        rows.append(
            LayerSummary(
                *("head", head.weights.shape[1], len(self.classes), 1, 1),
                *(0, 0, n_weights + n_means),
                *(4 * n_weights, 4 * n_weights, constants),
            )
        )
        return rows

    def _stem_summary(self, positions: int) -> LayerSummary:
        weights = self.stem.weights
        channels, c_in, kernel = weights.shape
        return LayerSummary(
            *("stem", c_in, channels, positions, kernel),
            *(0, positions * weights.size, 2 * positions * channels),
            *(weights.nbytes, 4 * weights.size, self.stem.scale.nbytes + self.stem.shift.nbytes),
        )

    def _block_summary(self, name: str, block: PackedBlock, positions: int, *, last: bool) -> LayerSummary:
        n_signs, n_out = block.c_out * block.c_in * block.kernel, positions * block.c_out
        n_constants = 2 * block.c_out
        if block.residual is not None:
            # The threshold and sign of what comes in; scale, shift, shortcut and three steps of the PReLU; mean.
            floats = 2 * positions * block.c_in + 6 * n_out + (n_out if block.pool else 0)
            n_constants += block.c_in + 3 * block.c_out
        elif last:
            floats = 2 * n_out + (n_out // 2 if block.pool else 0)
        else:
            # A comparison of integers of 32 bits.
            floats = n_out
        return LayerSummary(
            *(name, block.c_in, block.c_out, positions, block.kernel),
            *(positions * n_signs, 0, floats),
            *(block.weights.nbytes, 4 * n_signs, 4 * n_constants),
        )

    def _run(self, curves: npt.NDArray[np.int8], kept: _Integers) -> tuple[_Floats, _Floats]:
        """Means of the last and of the first stream."""
        ready = self._prepared
        common = (curves, ready.sizes, ready.stem_weights, ready.weights, ready.constants)
        if self.variant == "standard":
            features, stem_means = run_standard(*common, kept)
        else:
            features, stem_means = run_tiny(*common, ready.limits, ready.reversed_signs, kept)
        return features, stem_means

    def _checked(self, inputs: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        curves = np.asarray(inputs)
        if curves.dtype != np.int8 or curves.ndim != 3 or curves.shape[1:] != (_INPUT_CHANNELS, self.n_bins):
            msg = (
                f"folded curves are {curves.dtype} of shape {curves.shape}: give int8 of shape "
                f"(n, {_INPUT_CHANNELS}, {self.n_bins})"
            )
            raise ValueError(msg)
        return _ready(curves)

    def _checked_scalars(self, scalars: npt.ArrayLike | None, n_curves: int) -> _Floats:
        if scalars is None or not self.scalars:
            return np.empty((n_curves, 0), dtype=np.float32)
        values = _ready(np.asarray(scalars, dtype=np.float32))
        if values.shape != (n_curves, 2 * len(self.scalars)):
            msg = (
                f"scalars of shape {values.shape} for {n_curves} curves: give {', '.join(self.scalars)} "
                f"and after them whether each is present, shape (n, {2 * len(self.scalars)})"
            )
            raise ValueError(msg)
        return values

    @cached_property
    def _prepared(self) -> _Prepared:
        """Everything in the order in which the kernels read it."""
        taps = self.stem.weights.transpose(0, 2, 1).reshape(self.stem.scale.size, -1).astype(np.float32)
        tiles = [_in_tiles(block.weights.reshape(block.c_out, -1), LANES) for block in self.blocks]
        widest = max(self.stem.scale.size, *(block.c_out for block in self.blocks))
        limits = np.zeros((len(self.blocks), widest), dtype=np.int32)
        reverse = np.zeros((len(self.blocks), widest), dtype=bool)
        if self.variant == "tiny":
            for place, block in enumerate(self.blocks):
                found = sign_limits(block.scale, block.shift, block.c_in * block.kernel)
                limits[place, : block.c_out], reverse[place, : block.c_out] = found
        head = self.head
        return _Prepared(
            self._sizes(tiles),
            _aligned(_in_tiles(taps, STEM_LANES)),
            _aligned(np.concatenate(tiles)),
            _aligned(self._constants(widest)),
            _aligned(limits),
            np.packbits(reverse, axis=1, bitorder="little").view("<u8").astype(np.uint64),
            (_ready(head.weights), _ready(head.bias)),
            (_ready(head.hidden_weights), _ready(head.hidden_bias), _ready(head.out_weights)),
            (_ready(head.side_down), _ready(head.side_up)),
        )

    def _sizes(self, tiles: list[npt.NDArray[Any]]) -> npt.NDArray[np.int64]:
        """Sizes of every layer; see `~cbminer.classifier.packed_kernels.run_standard`."""
        positions = self._positions()
        channels, c_in, kernel = self.stem.weights.shape
        rows = [[c_in, channels, kernel, self.stem.stride, 0, positions[0]]]
        offset = 0
        for block, tile, count in zip(self.blocks, tiles, positions, strict=True):
            rows.append([block.c_in, block.c_out, block.kernel, int(block.pool), offset, count])
            offset += tile.size
        # Behind the last block there is no shortcut, and in the tiny variant there is none at all.
        follows = [row[1] for row in rows[1:]] + [rows[-1][1]]
        copies = [
            after // row[1] if self.variant == "standard" else 1 for row, after in zip(rows, follows, strict=True)
        ]
        widest = max(row[1] for row in rows)
        return np.array([[*row, count, widest] for row, count in zip(rows, copies, strict=True)], dtype=np.int64)

    def _constants(self, widest: int) -> _Floats:
        """Numbers of the channels of every layer, with the threshold of the signs that follow it."""
        constants = np.zeros((len(self.blocks) + 1, 6, widest), dtype=np.float32)
        constants[0, :2, : self.stem.scale.size] = self.stem.scale, self.stem.shift
        for place, block in enumerate(self.blocks, start=1):
            constants[place, :2, : block.c_out] = block.scale, block.shift
            if block.residual is not None:
                around = block.residual
                constants[place, 2:5, : block.c_out] = around.before, around.slope, around.after
                constants[place - 1, 5, : block.c_in] = around.threshold
        return constants
