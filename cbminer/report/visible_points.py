"""Points of a scatter diagram, no finer than a reader can see, so that their number does not grow with the survey."""

import numpy as np

from cbminer.columns import FloatArray

__all__ = ["VisiblePoints"]


class VisiblePoints:
    """Points with known coordinates; of those that share a cell the first one is drawn.

    Parameters
    ----------
    x, y : tuple of float
        Lower and upper limits of the axes. Points beyond them are counted, but not kept.
    cells : tuple of int
        Cells along x and y, not larger than a third of a marker.

    Attributes
    ----------
    n_known, n_beyond : int
        Points that were added, and those of them beyond the axes.
    """

    def __init__(self, x: tuple[float, float], y: tuple[float, float], cells: tuple[int, int]) -> None:
        self._limits, self._cells = np.array([x, y]), np.array(cells)
        # Half of a marker is seen of a point just beyond an edge: a ring of cells about the axes.
        self._taken = np.zeros((cells[0] + 2) * (cells[1] + 2), dtype=bool)
        self._kept: list[FloatArray] = []
        self.n_known = self.n_beyond = 0

    def add(self, x: FloatArray, y: FloatArray) -> None:
        """Add the points of a block.

        Parameters
        ----------
        x, y : `~numpy.ndarray`
            Coordinates, NaN where unknown, shape (n,).
        """
        places = np.stack([x, y], axis=1)
        places = places[~np.isnan(places).any(axis=1)]
        low, high = self._limits.T
        self.n_known += len(places)
        self.n_beyond += int(np.count_nonzero(~((places > low) & (places < high)).all(axis=1)))
        steps = np.floor((places - low) / (high - low) * self._cells) + 1
        near = ((steps >= 0) & (steps <= self._cells + 1)).all(axis=1)
        places, steps = places[near], steps[near].astype(np.int64)
        cell, first = np.unique(steps[:, 0] * (self._cells[1] + 2) + steps[:, 1], return_index=True)
        new = ~self._taken[cell]
        self._taken[cell[new]] = True
        self._kept.append(places[np.sort(first[new])])

    @property
    def drawn(self) -> tuple[FloatArray, FloatArray]:
        """Coordinates of the points that are drawn, in the order in which they came."""
        places = np.concatenate([np.empty((0, 2)), *self._kept])
        return places[:, 0], places[:, 1]
