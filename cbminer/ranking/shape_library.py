"""Likelihood of a measured shape for each kind of star, from light curves of the Roche engine.

The library holds the depth of the deeper minimum, the difference of the depths, W and c of light curves without noise,
measured as those of stars are. Inclinations are isotropic among what varies, mass ratios, fill-outs and radii flat, and
a part of the curves is diluted by third light: what is not known of a star is marginalised by summing over the library.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError
from cbminer.ranking.hypotheses import HYPOTHESES
from cbminer.ranking.shape_kernel import sum_near_shapes
from cbminer.resources import grid_path

__all__ = ["SHAPE_COLUMNS", "ShapeLibrary", "shape_library"]

SHAPE_COLUMNS = ("depth1", "depth_difference", "W", "c")
_FILE = "ranking/shapes.npz"
# Smoothing of the library, added to the errors of a star in quadrature: about the distance between neighbouring curves,
# for depths in proportion to the deeper one.
_SMOOTHING = (0.004, 0.003, 0.0012, 0.010)
_RELATIVE_SMOOTHING = (0.05, 0.02, 0.0, 0.0)
# A shape that no curve of the library comes near to says nothing: a hundredth of the stars may lie anywhere in a box of
# depths to 1 mag, differences to 0.5 mag, W from -0.1 to 0.05 and c from 0.2 to 1.
_ANYWHERE = 0.01 / (1.0 * 0.5 * 0.15 * 0.8)


@dataclass(frozen=True)
class ShapeLibrary:
    """Shapes of light curves without noise.

    Attributes
    ----------
    shapes : `~numpy.ndarray`
        Columns of `SHAPE_COLUMNS`, depths in mag, by kind and within it by depth1; shape (m, 4).
    kinds : tuple of str
        Kinds of stars: the hypotheses divided, so that a survey can say how much of each part it holds.
    hypothesis : `~numpy.ndarray`
        Place in `HYPOTHESES` of each kind, int64, shape (kinds,).
    offsets : `~numpy.ndarray`
        Kind k has the rows ``offsets[k]:offsets[k + 1]``; int64, shape (kinds + 1,).
    """

    shapes: FloatArray
    kinds: tuple[str, ...]
    hypothesis: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]

    @classmethod
    def of(cls, shapes: npt.ArrayLike, hypothesis: npt.ArrayLike, kind: npt.ArrayLike) -> Self:
        """Sort shapes into a library.

        Parameters
        ----------
        shapes : array_like
            Columns of `SHAPE_COLUMNS`, shape (m, 4); rows with NaN are left out.
        hypothesis : array_like of int
            Places in `HYPOTHESES`, shape (m,).
        kind : array_like of str
            Kinds within the hypotheses, shape (m,).

        Returns
        -------
        ShapeLibrary
            The library.
        """
        table, place, words = np.asarray(shapes, dtype=float), np.asarray(hypothesis), np.asarray(kind, dtype=str)
        known = np.isfinite(table).all(axis=1)
        table, place, words = table[known], place[known], words[known]
        both = sorted(set(zip(place.tolist(), words.tolist(), strict=True)))
        number = {pair: k for k, pair in enumerate(both)}
        of_kind = np.array([number[pair] for pair in zip(place.tolist(), words.tolist(), strict=True)], dtype=np.int64)
        order = np.lexsort((table[:, 0], of_kind))
        counts = np.bincount(of_kind, minlength=len(both))
        return cls(
            np.ascontiguousarray(table[order]),
            tuple(word for _, word in both),
            np.array([parent for parent, _ in both], dtype=np.int64),
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a library.

        Parameters
        ----------
        path : `~pathlib.Path`
            File of `save`.

        Returns
        -------
        ShapeLibrary
            The library.

        Raises
        ------
        InputFormatError
            If the file is damaged or of other hypotheses.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                names, kinds, parents = stored["hypotheses"], stored["kinds"], stored["hypothesis"]
                shapes, offsets = stored["shapes"].astype(float), stored["offsets"]
        except (OSError, ValueError, KeyError) as error:
            msg = f"{path} is no library of shapes ({error}): install cbminer again, or run grids/ranking/build.py"
            raise InputFormatError(msg) from error
        whole = len(offsets) == len(kinds) + 1 == len(parents) + 1 and offsets[-1] == len(shapes)
        if tuple(names) != HYPOTHESES or not whole:
            msg = f"{path} is of another version: install cbminer again, or run grids/ranking/build.py"
            raise InputFormatError(msg)
        words = tuple(str(kind) for kind in kinds)
        return cls(np.ascontiguousarray(shapes), words, parents.astype(np.int64), offsets.astype(np.int64))

    def save(self, path: Path) -> None:
        """Write the library.

        Parameters
        ----------
        path : `~pathlib.Path`
            The file.
        """
        np.savez_compressed(
            path,
            shapes=self.shapes.astype(np.float32),
            kinds=np.array(self.kinds),
            hypothesis=self.hypothesis,
            offsets=self.offsets,
            hypotheses=np.array(HYPOTHESES),
        )

    def __len__(self) -> int:
        """Count the curves."""
        return len(self.shapes)

    @property
    def within(self) -> FloatArray:
        """Share of each kind in its hypothesis, as the library has it, shape (kinds,)."""
        counts = np.diff(self.offsets).astype(float)
        of_hypothesis = np.bincount(self.hypothesis, weights=counts, minlength=len(HYPOTHESES))
        share: FloatArray = counts / of_hypothesis[self.hypothesis]
        return share

    def log_likelihood(self, shapes: npt.ArrayLike, errors: npt.ArrayLike) -> FloatArray:
        """Likelihood of measured shapes of each kind.

        Parameters
        ----------
        shapes : array_like
            Columns of `SHAPE_COLUMNS` of the stars, shape (n, 4); NaN where unknown.
        errors : array_like
            Their errors, shape (n, 4).

        Returns
        -------
        `~numpy.ndarray`
            Natural logarithms of densities in the four columns, shape (n, kinds); NaN for a star of which something is
            unknown.

        Notes
        -----
        The mean over the curves of a kind of a normal curve about each, as wide as the errors of the star and the
        smoothing of the library together. Errors count as independent: those of depth1 and of the difference are not
        quite. A star that is like no curve has the same likelihood, that of anything at all, for every kind.
        """
        stars = np.ascontiguousarray(shapes, dtype=float)
        smoothing = np.asarray(_SMOOTHING) + np.asarray(_RELATIVE_SMOOTHING) * np.abs(stars[:, :1])
        spreads = np.hypot(np.asarray(errors, dtype=float), smoothing)
        columns = [
            sum_near_shapes(self.shapes, int(self.offsets[k]), int(self.offsets[k + 1]), stars, spreads)
            for k in range(len(self.kinds))
        ]
        return np.asarray(np.log(np.column_stack(columns) + _ANYWHERE))


@cache
def shape_library() -> ShapeLibrary:
    """Read the library of the package; once in a process.

    Returns
    -------
    ShapeLibrary
        The library.
    """
    return ShapeLibrary.load(grid_path(_FILE))
