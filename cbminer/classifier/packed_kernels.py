"""Kernels of the packed network: one-bit convolutions by exclusive or and population count, and what stands between.

A sum of n products of signs is n - 2 popcount(a xor w), where a and w hold a bit a channel, 1 for +1. The numbers of
all channels of one position stand side by side, so that what is done to all channels runs on vectors. These parts are
written as LLVM's vectors of 64 channels, and LLVM finds the instructions of the processor at hand: a population count
of whole vectors where there is one (AVX-512), table look-ups where there is not (AVX2). The rest is plain loops.

Products and sums are rounded one by one, without fused or reordered operations: the signs must be those that the
trained network has. Only the stem fuses them: its numbers are whole and small, so that nothing is rounded there.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

__all__ = ["LANES", "STEM_LANES", "WORD", "late_logits", "run_standard", "run_tiny"]

# Channels of a word, and outputs whose sums are kept in registers together by a binary convolution and by the stem.
WORD = 64
LANES = 16
STEM_LANES = 64

_Floats = npt.NDArray[np.float32]
_Integers = npt.NDArray[np.int32]
_Bytes = npt.NDArray[np.int8]
_Words = npt.NDArray[np.uint64]
_Sizes = npt.NDArray[np.int64]
_Code = tuple[Any, Callable[..., Any]]

_I32, _I64, _F32 = ir.IntType(32), ir.IntType(64), ir.FloatType()
_ROW = ir.VectorType(_F32, WORD)
# These two have no types of their own.
_structure: Any = make_array
_declaration: Any = cgutils.get_or_insert_function


def _vector_code(function: Callable[..., _Code]) -> Any:
    """Decorate what writes LLVM's code for a call; kernels call it without its first argument."""
    return intrinsic(function)


def _pointer(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    """Give the first element of an array."""
    return _structure(kind)(context, builder, array).data


def _splat(builder: Any, value: Any, vector: Any) -> Any:
    """Repeat a number in all lanes."""
    nothing = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(nothing, value, ir.Constant(_I32, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(_I32, vector.count), [0] * vector.count))


def _load(builder: Any, pointer: Any, place: Any, vector: Any) -> Any:
    """Read a vector that begins at any element."""
    value = builder.load(builder.bitcast(builder.gep(pointer, [place]), vector.as_pointer()))
    value.align = vector.element.width // 8 if isinstance(vector.element, ir.IntType) else 4
    return value


def _store(builder: Any, value: Any, pointer: Any, place: Any) -> None:
    """Write a vector that begins at any element of four bytes."""
    builder.store(value, builder.bitcast(builder.gep(pointer, [place]), value.type.as_pointer())).align = 4


def _function(builder: Any, name: str, vector: Any, n_arguments: int) -> Any:
    """Declare an LLVM function of vectors."""
    element = f"i{vector.element.width}" if isinstance(vector.element, ir.IntType) else "f32"
    kind = ir.FunctionType(vector, [vector] * n_arguments)
    full_name = f"llvm.{name}.v{vector.count}{element}"
    return _declaration(builder.module, kind, full_name)


def _summed(builder: Any, count: Any, zero: Any, step: Callable[[Any, Any], Any]) -> Any:
    """Loop at least once, and give what the steps added up to in registers."""
    before = builder.block
    body, after = builder.append_basic_block("summing"), builder.append_basic_block("summed")
    builder.branch(body)
    builder.position_at_end(body)
    place, total = builder.phi(_I64), builder.phi(zero.type)
    place.add_incoming(ir.Constant(_I64, 0), before)
    total.add_incoming(zero, before)
    new = step(place, total)
    following = builder.add(place, ir.Constant(_I64, 1))
    place.add_incoming(following, body)
    total.add_incoming(new, body)
    builder.cbranch(builder.icmp_unsigned("<", following, count), body, after)
    builder.position_at_end(after)
    return new


def _constant(builder: Any, constants: Any, row: int, place: Any, first: Any, width: Any) -> Any:
    """Constants of 64 channels: so many rows of a width after the first."""
    start = builder.add(first, builder.mul(width, ir.Constant(_I64, row)))
    return _load(builder, constants, builder.add(start, place), _ROW)


def _affine(builder: Any, sums: Any, constants: Any, place: Any, first: Any, width: Any) -> Any:
    """Scale and shift 64 sums, whole numbers or float32."""
    if sums.type.pointee == _F32:
        value = _load(builder, sums, place, _ROW)
    else:
        value = builder.sitofp(_load(builder, sums, place, ir.VectorType(_I32, WORD)), _ROW)
    scale, shift = (_constant(builder, constants, k, place, first, width) for k in (0, 1))
    return builder.fadd(builder.fmul(value, scale), shift)


@_vector_code
def _binary_sums(
    _context: Any, words: Any, first: Any, n_words: Any, weights: Any, offset: Any, n_out: Any, sums: Any
) -> _Code:
    """Sum up all outputs at one position: products of n_words words of signs with the weights from an offset on."""
    signature = types.void(words, first, n_words, weights, offset, n_out, sums)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        n_words, n_out = args[2], args[5]
        counts, narrow = ir.VectorType(_I64, LANES), ir.VectorType(_I32, LANES)
        window = builder.gep(_pointer(context, builder, kinds[0], args[0]), [args[1]])
        weights = builder.gep(_pointer(context, builder, kinds[3], args[3]), [args[4]])
        sums = _pointer(context, builder, kinds[6], args[6])
        popcount = _function(builder, "ctpop", counts, 1)
        n_bits = _splat(builder, builder.trunc(builder.mul(n_words, ir.Constant(_I64, WORD)), _I32), narrow)
        with cgutils.for_range(builder, builder.udiv(n_out, ir.Constant(_I64, LANES))) as tile:
            of_tile = builder.mul(builder.mul(tile.index, n_words), ir.Constant(_I64, LANES))

            def step(place: Any, total: Any, of_tile: Any = of_tile) -> Any:
                at = builder.add(of_tile, builder.mul(place, ir.Constant(_I64, LANES)))
                word = _splat(builder, builder.load(builder.gep(window, [place])), counts)
                differing = builder.xor(_load(builder, weights, at, counts), word)
                return builder.add(total, builder.call(popcount, [differing]))

            differing = builder.trunc(_summed(builder, n_words, ir.Constant(counts, [0] * LANES), step), narrow)
            result = builder.sub(n_bits, builder.add(differing, differing))
            _store(builder, result, sums, builder.mul(tile.index, ir.Constant(_I64, LANES)))
        return context.get_dummy_value()

    return signature, generate


@_vector_code
def _stem_sums(_context: Any, inputs: Any, first: Any, n_taps: Any, weights: Any, n_out: Any, sums: Any) -> _Code:
    """Sum up all outputs of the stem at one position, as float32: whole numbers, which it holds exactly."""
    signature = types.void(inputs, first, n_taps, weights, n_out, sums)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        n_taps, n_out = args[2], args[4]
        vector = ir.VectorType(_F32, STEM_LANES)
        window = builder.gep(_pointer(context, builder, kinds[0], args[0]), [args[1]])
        weights = _pointer(context, builder, kinds[3], args[3])
        sums = _pointer(context, builder, kinds[5], args[5])
        multiply_add = _function(builder, "fmuladd", vector, 3)
        with cgutils.for_range(builder, builder.udiv(n_out, ir.Constant(_I64, STEM_LANES))) as tile:
            of_tile = builder.mul(builder.mul(tile.index, n_taps), ir.Constant(_I64, STEM_LANES))

            def step(place: Any, total: Any, of_tile: Any = of_tile) -> Any:
                at = builder.add(of_tile, builder.mul(place, ir.Constant(_I64, STEM_LANES)))
                value = _splat(builder, builder.load(builder.gep(window, [place])), vector)
                return builder.call(multiply_add, [_load(builder, weights, at, vector), value, total])

            total = _summed(builder, n_taps, ir.Constant(vector, [0.0] * STEM_LANES), step)
            _store(builder, total, sums, builder.mul(tile.index, ir.Constant(_I64, STEM_LANES)))
        return context.get_dummy_value()

    return signature, generate


@_vector_code
def _normalised(
    _context: Any, sums: Any, place: Any, constants: Any, row: Any, width: Any, result: Any, at: Any
) -> _Code:
    """Scale and shift, the rows of constants from one on, 64 sums from a place on."""
    signature = types.void(sums, place, constants, row, width, result, at)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        sums, constants, result = (_pointer(context, builder, signature.args[k], args[k]) for k in (0, 2, 5))
        _store(builder, _affine(builder, sums, constants, args[1], args[3], args[4]), result, args[6])
        return context.get_dummy_value()

    return signature, generate


@_vector_code
def _activated(  # noqa: PLR0917 - numba takes no keyword-only arguments from kernels
    _context: Any, sums: Any, place: Any, constants: Any, row: Any, width: Any, old: Any, old_at: Any, new: Any, at: Any
) -> _Code:
    """Normalise 64 sums, add the shortcut and apply the shifted PReLU; constants as in `run_standard`."""
    signature = types.void(sums, place, constants, row, width, old, old_at, new, at)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        sums, constants, old, new = (_pointer(context, builder, signature.args[k], args[k]) for k in (0, 2, 5, 7))
        value = _affine(builder, sums, constants, args[1], args[3], args[4])
        before, slope, after = (_constant(builder, constants, k, args[1], args[3], args[4]) for k in (2, 3, 4))
        value = builder.fadd(value, _load(builder, old, args[6], _ROW))
        value = builder.fadd(value, before)
        positive = builder.fcmp_ordered(">=", value, ir.Constant(_ROW, [0.0] * WORD))
        value = builder.select(positive, value, builder.fmul(value, slope))
        _store(builder, builder.fadd(value, after), new, args[8])
        return context.get_dummy_value()

    return signature, generate


@_vector_code
def _averaged(_context: Any, first: Any, place: Any, second: Any, beside: Any, result: Any, at: Any) -> _Code:
    """Means of two times 64 numbers."""
    signature = types.void(first, place, second, beside, result, at)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        first, second, result = (_pointer(context, builder, signature.args[k], args[k]) for k in (0, 2, 4))
        total = builder.fadd(_load(builder, first, args[1], _ROW), _load(builder, second, args[3], _ROW))
        _store(builder, builder.fmul(total, ir.Constant(_ROW, [0.5] * WORD)), result, args[5])
        return context.get_dummy_value()

    return signature, generate


@_vector_code
def _raised(_context: Any, values: Any, place: Any, others: Any, beside: Any) -> _Code:
    """Put the larger of each of two times 64 numbers into the first."""
    signature = types.void(values, place, others, beside)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values, others = (_pointer(context, builder, signature.args[k], args[k]) for k in (0, 2))
        value, other = _load(builder, values, args[1], _ROW), _load(builder, others, args[3], _ROW)
        larger = builder.select(builder.fcmp_ordered(">", other, value), other, value)
        _store(builder, larger, values, args[1])
        return context.get_dummy_value()

    return signature, generate


@_vector_code
def _added(_context: Any, total: Any, at: Any, values: Any, place: Any) -> _Code:
    """Add 64 numbers to others."""
    signature = types.void(total, at, values, place)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        total, values = (_pointer(context, builder, signature.args[k], args[k]) for k in (0, 2))
        value = builder.fadd(_load(builder, total, args[1], _ROW), _load(builder, values, args[3], _ROW))
        _store(builder, value, total, args[1])
        return context.get_dummy_value()

    return signature, generate


@_vector_code
def _copied(_context: Any, values: Any, place: Any, target: Any, at: Any) -> _Code:
    """Copy 64 numbers."""
    signature = types.void(values, place, target, at)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values, target = (_pointer(context, builder, signature.args[k], args[k]) for k in (0, 2))
        _store(builder, _load(builder, values, args[1], _ROW), target, args[3])
        return context.get_dummy_value()

    return signature, generate


@_vector_code
def _signs(_context: Any, values: Any, place: Any, constants: Any, row: Any) -> _Code:
    """Word of the signs of 64 values with thresholds added; the lowest bit is the first channel, 1 for >= 0."""
    signature = types.uint64(values, place, constants, row)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values, constants = (_pointer(context, builder, signature.args[k], args[k]) for k in (0, 2))
        value = _load(builder, values, args[1], _ROW)
        threshold = _load(builder, constants, args[3], _ROW)
        bits = builder.fcmp_ordered(">=", builder.fadd(value, threshold), ir.Constant(_ROW, [0.0] * WORD))
        return builder.bitcast(bits, _I64)

    return signature, generate


@_vector_code
def _reached(_context: Any, sums: Any, place: Any, limits: Any, at: Any) -> _Code:
    """Word that tells which of 64 integers are at least their limits."""
    signature = types.uint64(sums, place, limits, at)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        sums, limits = (_pointer(context, builder, signature.args[k], args[k]) for k in (0, 2))
        vector = ir.VectorType(_I32, WORD)
        value, limit = _load(builder, sums, args[1], vector), _load(builder, limits, args[3], vector)
        return builder.bitcast(builder.icmp_signed(">=", value, limit), _I64)

    return signature, generate


@_vector_code
def _dot(_context: Any, matrix: Any, place: Any, vector: Any, at: Any, size: Any) -> _Code:
    """Sum of products of numbers, a multiple of 16 of them, in an order that is always the same."""
    signature = types.float32(matrix, place, vector, at, size)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        matrix, vector = (_pointer(context, builder, signature.args[k], args[k]) for k in (0, 2))
        lanes = ir.VectorType(_F32, LANES)

        def step(place: Any, total: Any) -> Any:
            offset = builder.mul(place, ir.Constant(_I64, LANES))
            left = _load(builder, matrix, builder.add(args[1], offset), lanes)
            right = _load(builder, vector, builder.add(args[3], offset), lanes)
            return builder.fadd(total, builder.fmul(left, right))

        count = builder.udiv(args[4], ir.Constant(_I64, LANES))
        total = _summed(builder, count, ir.Constant(lanes, [0.0] * LANES), step)
        half = LANES // 2
        while half:
            order = ir.Constant(ir.VectorType(_I32, LANES), [(k + half) % LANES for k in range(LANES)])
            total = builder.fadd(total, builder.shuffle_vector(total, total, order))
            half //= 2
        return builder.extract_element(total, ir.Constant(_I32, 0))

    return signature, generate


@numba.njit(cache=True, nogil=True)
def _buffer(size: int) -> _Floats:
    """Numbers that begin at a cache line: vectors of 64 bytes would otherwise lie across two."""
    whole = np.empty(size + 16, dtype=np.float32)
    first = (64 - whole.ctypes.data % 64) % 64 // 4
    return whole[first : first + size]


@numba.njit(cache=True, nogil=True)
def _fill_window(inputs: _Bytes, first: int, n_bins: int, pad: int, window: _Floats) -> None:
    """Bins of a curve with both channels of a bin side by side, and the ends of the cycle repeated."""
    for place in range(n_bins):
        window[2 * (pad + place)] = np.float32(inputs[first + place])
        window[2 * (pad + place) + 1] = np.float32(inputs[first + n_bins + place])
    for place in range(pad):
        before, after = pad + (place - pad) % n_bins, pad + place % n_bins
        last = pad + n_bins + place
        for channel in range(2):
            window[2 * place + channel] = window[2 * before + channel]
            window[2 * last + channel] = window[2 * after + channel]


@numba.njit(cache=True, nogil=True)
def _wrap(words: _Words, positions: int, n_words: int, pad: int) -> None:
    """Repeat the ends of the cycle before the first and after the last position."""
    for place in range(pad):
        before, after = pad + (place - pad) % positions, pad + place % positions
        last = pad + positions + place
        for word in range(n_words):
            words[place * n_words + word] = words[before * n_words + word]
            words[last * n_words + word] = words[after * n_words + word]


@numba.njit(cache=True, nogil=True)
def _keep(sums: _Integers, channels: int, place: int, kept: _Integers) -> None:
    """Copy the sums of a position for whoever wants to see them."""
    for channel in range(channels):
        kept[place + channel] = sums[channel]


@numba.njit(cache=True, nogil=True)
def _divide(mean: _Floats, first: int, channels: int, count: int) -> None:
    """Make a mean of a sum."""
    for channel in range(channels):
        mean[first + channel] /= np.float32(count)


@numba.njit(cache=True, nogil=True)
def _run_stem(  # noqa: PLR0917 - numba takes no keyword-only arguments from kernels
    window: _Floats,
    sizes: _Sizes,
    stem_weights: _Floats,
    constants: _Floats,
    stream: _Floats,
    words: _Words,
    pad: int,
    raw: _Floats,
    mean: _Floats,
    kept: _Integers,
) -> None:
    """From bins to the real stream of the first positions, its signs and its mean."""
    channels, kernel, stride, positions, copies = sizes[0, 1], sizes[0, 2], sizes[0, 3], sizes[0, 5], sizes[0, 6]
    n_words, widest = channels // WORD, sizes[0, 7]
    mean[:] = np.float32(0.0)
    for place in range(positions):
        _stem_sums(window, 2 * stride * place, 2 * kernel, stem_weights, channels, raw)
        first = place * channels * copies
        for word in range(n_words):
            channel = word * WORD
            _normalised(raw, channel, constants, 0, widest, stream, first + channel)
            _added(mean, channel, stream, first + channel)
            words[(pad + place) * n_words + word] = _signs(stream, first + channel, constants, 5 * widest + channel)
            for copy in range(1, copies):
                _copied(stream, first + channel, stream, first + copy * channels + channel)
        if len(kept) > 0:
            for channel in range(channels):
                kept[place * channels + channel] = np.int32(raw[channel])
    _divide(mean, 0, channels, positions)
    _wrap(words, positions, n_words, pad)


@numba.njit(cache=True, nogil=True)
def _run_block(  # noqa: PLR0917 - numba takes no keyword-only arguments from kernels
    sizes: _Sizes,
    block: int,
    weights: _Words,
    constants: _Floats,
    streams: tuple[_Floats, _Floats],
    words: _Words,
    new_words: _Words,
    next_pad: int,
    sums: _Integers,
    row: _Floats,
    kept: _Integers,
) -> None:
    """One block of the standard variant; the new stream may be the old one if it is not wider."""
    channels, kernel, pool, positions, copies = (
        sizes[block, 1],
        sizes[block, 2],
        sizes[block, 3],
        sizes[block, 5],
        sizes[block, 6],
    )
    widest = sizes[block, 7]
    in_words, out_words, first_row = sizes[block, 0] // WORD, channels // WORD, 6 * widest * block
    old, new = streams
    for place in range(positions):
        _binary_sums(words, place * in_words, kernel * in_words, weights, sizes[block, 4], channels, sums)
        if len(kept) > 0:
            _keep(sums, channels, place * channels, kept)
        after = place // 2 if pool else place
        for word in range(out_words):
            channel = word * WORD
            before, to = place * channels + channel, after * channels * copies + channel
            if not pool:
                _activated(sums, channel, constants, first_row, widest, old, before, new, to)
            elif place % 2 == 0:
                _activated(sums, channel, constants, first_row, widest, old, before, row, channel)
                continue
            else:
                _activated(sums, channel, constants, first_row, widest, old, before, row, widest + channel)
                _averaged(row, channel, row, widest + channel, new, to)
            threshold = first_row + 5 * widest + channel
            new_words[(next_pad + after) * out_words + word] = _signs(new, to, constants, threshold)
            for copy in range(1, copies):
                _copied(new, to, new, to + copy * channels)
    _wrap(new_words, positions // 2 if pool else positions, out_words, next_pad)


@numba.njit(cache=True, nogil=True)
def run_standard(
    inputs: _Bytes,
    sizes: _Sizes,
    stem_weights: _Floats,
    weights: _Words,
    constants: _Floats,
    kept: _Integers,
) -> tuple[_Floats, _Floats]:
    """Run the standard variant up to the mean over positions.

    Parameters
    ----------
    inputs : `~numpy.ndarray`
        Folded curves, int8, shape (n, 2, bins).
    sizes : `~numpy.ndarray`
        A row for the stem, then one a block: channels in and out, kernel, stride of the stem or whether the block
        pools, place of the weights, positions (after the stem, before the pool of the block), how often the next
        shortcut repeats the channels, and the most channels of all.
    stem_weights : `~numpy.ndarray`
        Weights of the stem in tiles of `STEM_LANES` outputs, of a tile all taps, of a tap both inputs.
    weights : `~numpy.ndarray`
        Words of all blocks in tiles of `LANES` outputs, of a tile all words in the order of positions and channels.
    constants : `~numpy.ndarray`
        A row of the most channels each, of every layer: scale, shift, shift before the PReLU, slope, shift after it,
        and threshold of the signs that follow.
    kept : `~numpy.ndarray`
        Where to put all sums of all curves, or empty, shape (n, sums) or (n, 0).

    Returns
    -------
    features, stem_means : `~numpy.ndarray`
        Means of the last and of the first stream, shape (n, channels).
    """
    n_curves, _, n_bins = inputs.shape
    n_blocks, longest, widest = len(sizes) - 1, sizes[0, 5], sizes[0, 7]
    n_features = sizes[n_blocks, 1]
    features = np.zeros((n_curves, n_features), dtype=np.float32)
    stem_means = np.empty((n_curves, sizes[0, 1]), dtype=np.float32)
    flat, mean = inputs.ravel(), features.ravel()
    stem_pad, pad = sizes[0, 2] // 2, np.max(sizes[:, 2]) // 2
    window = _buffer(2 * (n_bins + 2 * stem_pad))
    streams = (_buffer(longest * widest), _buffer(longest * widest))
    row, sums = _buffer(2 * widest), _buffer(widest).view(np.int32)
    words = np.empty((2, (longest + 2 * pad) * widest // WORD), dtype=np.uint64)
    for curve in range(n_curves):
        _fill_window(flat, 2 * n_bins * curve, n_bins, stem_pad, window)
        old, other = streams
        first_pad = sizes[1, 2] // 2
        _run_stem(window, sizes, stem_weights, constants, old, words[0], first_pad, row, stem_means[curve], kept[curve])
        done = sizes[0, 1] * longest
        for block in range(1, n_blocks + 1):
            # In place where it can be: the stream stays in the cache of the first level.
            new = other if sizes[block, 6] > 1 else old
            next_pad = sizes[block + 1, 2] // 2 if block < n_blocks else 0
            after, before = words[block % 2], words[(block + 1) % 2]
            of_block = kept[curve, done:]
            _run_block(sizes, block, weights, constants, (old, new), before, after, next_pad, sums, row, of_block)
            done += sizes[block, 1] * sizes[block, 5]
            if sizes[block, 6] > 1:
                old, other = new, old
        positions = sizes[n_blocks, 5] // 2 if sizes[n_blocks, 3] else sizes[n_blocks, 5]
        for place in range(positions):
            for channel in range(0, n_features, WORD):
                _added(mean, curve * n_features + channel, old, place * n_features + channel)
        _divide(mean, curve * n_features, n_features, positions)
    return features, stem_means


@numba.njit(cache=True, nogil=True)
def _run_tiny_block(  # noqa: PLR0917 - numba takes no keyword-only arguments from kernels
    sizes: _Sizes,
    block: int,
    weights: _Words,
    limits: _Integers,
    reversed_signs: _Words,
    words: _Words,
    new_words: _Words,
    next_pad: int,
    sums: _Integers,
    kept: _Integers,
) -> None:
    """One block of the tiny variant but the last: from bits to bits."""
    channels, kernel, pool, positions = sizes[block, 1], sizes[block, 2], sizes[block, 3], sizes[block, 5]
    widest = sizes[block, 7]
    in_words, out_words = sizes[block, 0] // WORD, channels // WORD
    for place in range(positions):
        _binary_sums(words, place * in_words, kernel * in_words, weights, sizes[block, 4], channels, sums)
        if len(kept) > 0:
            _keep(sums, channels, place * channels, kept)
        at = (next_pad + (place // 2 if pool else place)) * out_words
        for word in range(out_words):
            bits = _reached(sums, word * WORD, limits, (block - 1) * widest + word * WORD)
            bits ^= reversed_signs[block - 1, word]
            # The larger of two numbers is at least zero where one of them is.
            new_words[at + word] = new_words[at + word] | bits if pool and place % 2 else bits
    _wrap(new_words, positions // 2 if pool else positions, out_words, next_pad)


@numba.njit(cache=True, nogil=True)
def _run_last(
    sizes: _Sizes,
    weights: _Words,
    constants: _Floats,
    words: _Words,
    sums: _Integers,
    row: _Floats,
    mean: _Floats,
    kept: _Integers,
) -> None:
    """Last block of the tiny variant: from bits to the mean of real numbers."""
    block = len(sizes) - 1
    channels, kernel, pool, positions = sizes[block, 1], sizes[block, 2], sizes[block, 3], sizes[block, 5]
    in_words, widest = sizes[block, 0] // WORD, sizes[block, 7]
    first_row = 6 * widest * block
    for place in range(positions):
        _binary_sums(words, place * in_words, kernel * in_words, weights, sizes[block, 4], channels, sums)
        if len(kept) > 0:
            _keep(sums, channels, place * channels, kept)
        waits = pool and place % 2 == 0
        for channel in range(0, channels, WORD):
            to = channel + widest if waits else channel
            _normalised(sums, channel, constants, first_row, widest, row, to)
            if waits:
                continue
            if pool:
                _raised(row, channel, row, widest + channel)
            _added(mean, channel, row, channel)
    _divide(mean, 0, channels, positions // 2 if pool else positions)


@numba.njit(cache=True, nogil=True)
def run_tiny(
    inputs: _Bytes,
    sizes: _Sizes,
    stem_weights: _Floats,
    weights: _Words,
    constants: _Floats,
    limits: _Integers,
    reversed_signs: _Words,
    kept: _Integers,
) -> tuple[_Floats, _Floats]:
    """Run the tiny variant up to the mean over positions.

    Parameters
    ----------
    inputs, sizes, stem_weights, weights, constants, kept
        As for `run_standard`.
    limits : `~numpy.ndarray`
        Least sums whose sign is +1, or -1 where signs are reversed, a row of the most channels for every block.
    reversed_signs : `~numpy.ndarray`
        Bits of the channels whose signs are reversed, shape (blocks, most words).

    Returns
    -------
    features, stem_means : `~numpy.ndarray`
        Means of the last numbers and of the first stream, shape (n, channels).
    """
    n_curves, _, n_bins = inputs.shape
    n_blocks, longest, widest = len(sizes) - 1, sizes[0, 5], sizes[0, 7]
    features = np.zeros((n_curves, sizes[n_blocks, 1]), dtype=np.float32)
    stem_means = np.empty((n_curves, sizes[0, 1]), dtype=np.float32)
    flat = inputs.ravel()
    stem_pad, pad = sizes[0, 2] // 2, np.max(sizes[:, 2]) // 2
    window, stream = _buffer(2 * (n_bins + 2 * stem_pad)), _buffer(longest * sizes[0, 1])
    row, sums = _buffer(2 * widest), _buffer(widest).view(np.int32)
    words = np.empty((2, (longest + 2 * pad) * widest // WORD), dtype=np.uint64)
    for curve in range(n_curves):
        _fill_window(flat, 2 * n_bins * curve, n_bins, stem_pad, window)
        first_pad = sizes[1, 2] // 2
        _run_stem(
            window, sizes, stem_weights, constants, stream, words[0], first_pad, row, stem_means[curve], kept[curve]
        )
        done = sizes[0, 1] * longest
        for block in range(1, n_blocks):
            after, before = words[block % 2], words[(block + 1) % 2]
            next_pad, of_block = sizes[block + 1, 2] // 2, kept[curve, done:]
            _run_tiny_block(sizes, block, weights, limits, reversed_signs, before, after, next_pad, sums, of_block)
            done += sizes[block, 1] * sizes[block, 5]
        last = words[(n_blocks + 1) % 2]
        _run_last(sizes, weights, constants, last, sums, row, features[curve], kept[curve, done:])
    return features, stem_means


@numba.njit(cache=True, nogil=True)
def _product(matrix: _Floats, vector: _Floats, result: _Floats) -> None:
    """Add the product of a matrix and a vector to a result."""
    n_columns = matrix.shape[1]
    whole = n_columns // LANES * LANES
    flat = matrix.ravel()
    for row in range(matrix.shape[0]):
        total = result[row]
        if whole > 0:
            total += _dot(flat, row * n_columns, vector, 0, whole)
        for column in range(whole, n_columns):
            total += matrix[row, column] * vector[column]
        result[row] = total


@numba.njit(cache=True, nogil=True)
def late_logits(
    features: _Floats,
    stem_means: _Floats,
    scalars: _Floats,
    head: tuple[_Floats, _Floats],
    branch: tuple[_Floats, _Floats, _Floats],
    side: tuple[_Floats, _Floats],
) -> _Floats:
    """Go from the means to one number a class.

    Parameters
    ----------
    features, stem_means : `~numpy.ndarray`
        What `run_standard` or `run_tiny` gave.
    scalars : `~numpy.ndarray`
        Numbers beside the curves and their presence, shape (n, 2 m), or (n, 0) to leave the branch out.
    head : tuple of `~numpy.ndarray`
        Weights, shape (classes, channels), and bias.
    branch : tuple of `~numpy.ndarray`
        Weights and bias of the hidden units of the scalars, shapes (hidden, 2 m) and (hidden,), and weights of the
        output, shape (classes, hidden).
    side : tuple of `~numpy.ndarray`
        Weights of the path beside, shapes (rank, channels of the stem) and (classes, rank); the rank may be 0.

    Returns
    -------
    `~numpy.ndarray`
        Logits, float32, shape (n, classes).
    """
    logits = np.empty((len(features), len(head[1])), dtype=np.float32)
    hidden = np.empty(len(branch[1]), dtype=np.float32)
    between = np.empty(len(side[0]), dtype=np.float32)
    for curve in range(len(features)):
        logits[curve] = head[1]
        _product(head[0], features[curve], logits[curve])
        if scalars.shape[1] > 0:
            hidden[:] = branch[1]
            _product(branch[0], scalars[curve], hidden)
            for unit in range(len(hidden)):
                hidden[unit] = max(hidden[unit], np.float32(0.0))
            _product(branch[2], hidden, logits[curve])
        if len(between) > 0:
            between[:] = np.float32(0.0)
            _product(side[0], stem_means[curve], between)
            _product(side[1], between, logits[curve])
    return logits
