"""Time spent in bins: each piece of a track is split over the bins that it crosses."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray

__all__ = ["share_in_bins", "split_at_edges", "time_in_bins"]


def split_at_edges(
    start: FloatArray, end: FloatArray, duration: FloatArray, *, edges: Sequence[FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """Cut straight pieces of tracks where they cross the edges of bins.

    Parameters
    ----------
    start, end : `~numpy.ndarray`
        Ends of the pieces, shape (n, number of axes).
    duration : `~numpy.ndarray`
        Time, or weighted time, that each piece takes at a constant pace; shape (n,).
    edges : sequence of `~numpy.ndarray`
        Rising edges of the bins, one array an axis.

    Returns
    -------
    places : `~numpy.ndarray`
        Middle of each part, shape (m, number of axes).
    times : `~numpy.ndarray`
        Its time, shape (m,). Pieces with an unknown end and those that take no time are left out.
    """
    known = np.isfinite(start + end).all(axis=1) & (duration > 0)
    start, end, duration = start[known], end[known], duration[known]
    piece, cut = _cuts(start, end, edges)
    next_cut = np.append(cut[1:], 1.0)[: len(cut)]
    next_cut[np.flatnonzero(np.diff(piece))] = 1.0
    places = start[piece] + (cut + next_cut)[:, None] / 2.0 * (end - start)[piece]
    return places, duration[piece] * (next_cut - cut)


def time_in_bins(
    start: FloatArray, end: FloatArray, duration: FloatArray, *, edges: Sequence[FloatArray]
) -> FloatArray:
    """Add up the time that straight pieces of tracks spend in the bins of a grid.

    Parameters
    ----------
    start, end : `~numpy.ndarray`
        Ends of the pieces, shape (n, number of axes).
    duration : `~numpy.ndarray`
        Time, or weighted time, that each piece takes at a constant pace; shape (n,).
    edges : sequence of `~numpy.ndarray`
        Rising edges of the bins, one array an axis. A bin holds its lower edge, and the last one its upper edge too.

    Returns
    -------
    `~numpy.ndarray`
        Time in each bin; what lies outside of all bins, or is unknown, is left out.

    Notes
    -----
    The split is exact: a piece is cut where it crosses an edge. With weighted times this is the density of Fabry et
    al. (2025, A&A 695, A109) times the area of the bins.
    """
    shape = tuple(len(axis) - 1 for axis in edges)
    places, times = split_at_edges(start, end, duration, edges=edges)
    bins = np.column_stack([_bin_of(places[:, axis], edges[axis]) for axis in range(len(edges))])
    inside = ((bins >= 0) & (bins < np.array(shape))).all(axis=1)
    flat = np.ravel_multi_index(tuple(bins[inside].T), shape)
    total = np.bincount(flat, weights=times[inside], minlength=int(np.prod(shape))).astype(np.float64)
    return total.reshape(shape)


def share_in_bins(places: FloatArray, times: FloatArray, *, edges: Sequence[FloatArray]) -> FloatArray:
    """Add times up in bins, each shared between the bins whose middles are next to its place: so their mean is kept.

    Parameters
    ----------
    places : `~numpy.ndarray`
        Places half a bin or more within the outermost edges, shape (n, number of axes).
    times : `~numpy.ndarray`
        Their times, shape (n,).
    edges : sequence of `~numpy.ndarray`
        Even edges of the bins, one array an axis.

    Returns
    -------
    `~numpy.ndarray`
        Time in each bin.
    """
    shape = tuple(len(axis) - 1 for axis in edges)
    scaled = np.column_stack([(places[:, i] - axis[0]) / (axis[1] - axis[0]) - 0.5 for i, axis in enumerate(edges)])
    lower = np.floor(scaled).astype(np.int64)
    share = scaled - lower
    content = np.zeros(int(np.prod(shape)))
    for corner in product((0, 1), repeat=len(shape)):
        weight = times * np.prod(np.where(corner, share, 1.0 - share), axis=1)
        flat = np.ravel_multi_index(tuple((lower + corner).T), shape)
        content += np.bincount(flat, weights=weight, minlength=len(content))
    return content.reshape(shape)


def _bin_of(place: FloatArray, edges: FloatArray) -> npt.NDArray[np.int64]:
    index = np.searchsorted(edges, place, side="right") - 1
    return np.where(place == edges[-1], len(edges) - 2, index).astype(np.int64)


def _cuts(start: FloatArray, end: FloatArray, edges: Sequence[FloatArray]) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Where parts begin: at 0, and wherever an edge is crossed; sorted by piece and by place on it."""
    pieces = [np.arange(len(start), dtype=np.int64)]
    cuts = [np.zeros(len(start))]
    for axis, axis_edges in enumerate(edges):
        low, high = np.minimum(start, end)[:, axis], np.maximum(start, end)[:, axis]
        first = np.searchsorted(axis_edges, low, side="right")
        last = np.searchsorted(axis_edges, high, side="left")
        count = np.maximum(last - first, 0)
        piece = np.repeat(np.arange(len(start), dtype=np.int64), count)
        number = np.arange(len(piece)) - np.repeat(np.cumsum(count) - count, count)
        crossed = axis_edges[np.repeat(first, count) + number]
        pieces.append(piece)
        cuts.append((crossed - start[piece, axis]) / (end[piece, axis] - start[piece, axis]))
    piece, cut = np.concatenate(pieces), np.concatenate(cuts)
    order = np.lexsort((cut, piece))
    return piece[order], cut[order]
