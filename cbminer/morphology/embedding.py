"""The morphology parameter c: where a light curve lies on the way from detached pairs to pure sine waves.

Locally linear embedding (Roweis & Saul 2000, Science 290, 2323) in the three steps of Bodi & Hajdu (2021, ApJS 255, 1):
a curve of 1000 points, scaled to run from 0 to 1, is placed among training curves in three dimensions, from there in
two, and the angle in that plane is c on the scale of Matijevic et al. (2012, AJ 143, 123). The training curves are
physical ones of the Roche engine. While they are embedded, curves count as neighbours that are alike and come from
pairs of like sums of relative radii (the supervision of de Ridder et al. 2003, LNCS 2714, 333): without it, the
inclination would be the longest axis of the plane. A new curve is placed by its shape alone.
"""

import hashlib
import json
import zipfile
import zlib
from dataclasses import dataclass, fields
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import numba
import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError
from cbminer.resources import grid_path

__all__ = ["EMBEDDING_FILE", "N_BINS", "POINT_WEIGHTS", "EmbeddedCurves", "Embedding", "embed", "embedding_model"]

# Among the grids of the package.
EMBEDDING_FILE = "morphology/embedding.npz"

# Training curves near the fit among which the neighbours of its draws are sought: 1000-D, and in the next step 3-D.
_NEARBY = 64
_NEARBY_3D = 160
# Bins of half a cycle in which light curves are compared with the training curves.
N_BINS = 100
_Indices = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Embedding:
    """A trained embedding; arrays of M training curves.

    Attributes
    ----------
    mean, basis : `~numpy.ndarray`
        Mean half curve, shape (501,), and principal components, shape (m, 501), of the training curves; both for half
        curves whose points are weighted so that the square of a difference is the mean square over a cycle.
    training : `~numpy.ndarray`
        Training curves in the components, float32, shape (M, m).
    label : `~numpy.ndarray`
        Their sums of relative radii, extended beyond contact to the pure cosine at 1.45.
    spatial, planar : `~numpy.ndarray`
        Their places in three and in two dimensions, shape (M, 3) and (M, 2).
    centre : `~numpy.ndarray`
        Point of the plane about which the angle is measured, shape (2,).
    angle_nodes, c_nodes : `~numpy.ndarray`
        Angles in degrees, increasing, and their c.
    direction : `~numpy.ndarray`
        Angle in degrees at which the count begins, and +1 or -1 for its sense, shape (2,).
    neighbours : `~numpy.ndarray`
        Neighbours of the first and of the second step, int64, shape (2,).
    regularisation : `~numpy.ndarray`
        Ridge of the weights of both steps over the trace of the local covariance, shape (2,).
    reach : `~numpy.ndarray`
        Distance, root mean square over the cycle, beyond which a curve is unlike every training curve, shape (1,).
    """

    mean: FloatArray
    basis: FloatArray
    training: npt.NDArray[np.float32]
    label: FloatArray
    spatial: FloatArray
    planar: FloatArray
    centre: FloatArray
    angle_nodes: FloatArray
    c_nodes: FloatArray
    direction: FloatArray
    neighbours: _Indices
    regularisation: FloatArray
    reach: FloatArray

    def digest(self) -> str:
        """Hash of all arrays.

        Returns
        -------
        str
            SHA-256 in hexadecimal.
        """
        total = hashlib.sha256()
        for item in fields(self):
            array = np.ascontiguousarray(getattr(self, item.name))
            total.update(f"{item.name} {array.dtype.str} {array.shape}\n".encode())
            total.update(array.tobytes())
        return total.hexdigest()

    def save(self, path: Path) -> None:
        """Write the model, and beside it a JSON file with its hash.

        Parameters
        ----------
        path : `~pathlib.Path`
            File, ending in ``.npz``.
        """
        np.savez_compressed(path, **{item.name: getattr(self, item.name) for item in fields(self)})
        path.with_suffix(".json").write_text(
            json.dumps({"sha256": self.digest(), "training_curves": len(self.training)}, indent=2) + "\n",
            encoding="utf-8",
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a model that `save` wrote.

        Parameters
        ----------
        path : `~pathlib.Path`
            The file.

        Returns
        -------
        Embedding
            The model.

        Raises
        ------
        InputFormatError
            If a file is missing or damaged, or the arrays are not those of the hash.
        """
        try:
            with np.load(path, allow_pickle=False) as archive:
                model = cls(**{item.name: archive[item.name] for item in fields(cls)})
            expected = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["sha256"]
        except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
            msg = f"morphology model {path} cannot be read ({error}): reinstall cbminer, or build the model again"
            raise InputFormatError(msg) from error
        if model.digest() != expected:
            msg = f"morphology model {path} is not the one that its JSON file describes: reinstall cbminer"
            raise InputFormatError(msg)
        return model

    @cached_property
    def binned(self) -> FloatArray:
        """Training curves averaged over the bins of half a cycle, shape (N_BINS, M)."""
        half = (self.training.astype(np.float64) @ self.basis + self.mean) / POINT_WEIGHTS
        place = np.minimum(np.arange(501) * N_BINS // 500, N_BINS - 1)
        total = np.zeros((N_BINS, len(half)))
        np.add.at(total, place, half.T)
        return np.asarray(total / np.bincount(place, minlength=N_BINS)[:, None])

    @cached_property
    def binned_squares(self) -> FloatArray:
        """Squares of the same."""
        return np.asarray(self.binned**2)

    @cached_property
    def training_c(self) -> FloatArray:
        """Morphology parameter of the training curves, shape (M,)."""
        return self.c_of_plane(self.planar)

    @cached_property
    def spacing(self) -> FloatArray:
        """Root mean square distance of each training curve from its third nearest, shape (M,)."""
        distance, _ = cKDTree(self.training).query(self.training, k=4)
        return np.asarray(distance[:, 3])

    @cached_property
    def evenness(self) -> FloatArray:
        """Logarithm of one over the density of the training curves in c: prior weights that are flat in c."""
        counts, edges = np.histogram(self.training_c, bins=25, range=(0.0, 1.0))
        density = np.interp(self.training_c, 0.5 * (edges[1:] + edges[:-1]), np.maximum(counts, 1))
        return np.asarray(-np.log(density))

    def components(self, half: npt.ArrayLike) -> FloatArray:
        """Components of normalised half curves.

        Parameters
        ----------
        half : array_like
            Magnitudes from 0 to 1 at the 501 phases from 0 to 0.5, shape (..., 501).

        Returns
        -------
        `~numpy.ndarray`
            Shape (..., m).
        """
        # Weights and mean are taken to the other side of the product: there are many curves.
        weighted = (POINT_WEIGHTS * self.basis).T
        return np.asarray(np.asarray(half, dtype=np.float64) @ weighted - self.basis @ self.mean)

    def c_of_plane(self, planar: FloatArray) -> FloatArray:
        """Morphology parameter of places in the plane.

        Parameters
        ----------
        planar : `~numpy.ndarray`
            Shape (..., 2).

        Returns
        -------
        `~numpy.ndarray`
            c, shape (...).
        """
        return np.asarray(np.interp(self.angles(planar), self.angle_nodes, self.c_nodes))

    def angles(self, planar: FloatArray) -> FloatArray:
        """Angles of places in the plane in degrees, counted from the open side of the training curves.

        Parameters
        ----------
        planar : `~numpy.ndarray`
            Shape (..., 2).

        Returns
        -------
        `~numpy.ndarray`
            Angles in [0, 360), shape (...).
        """
        offset = planar - self.centre
        angle = np.degrees(np.arctan2(offset[..., 1], offset[..., 0]))
        return np.asarray((self.direction[1] * (angle - self.direction[0])) % 360.0)


def _point_weights() -> FloatArray:
    """Roots of the shares of the points of a half curve in a cycle of 1000: its ends stand once, the others twice."""
    weight = np.full(501, 2.0)
    weight[[0, -1]] = 1.0
    return np.sqrt(weight / 1000.0)


# Scale of a half curve in which the square of a difference is the mean square over a cycle.
POINT_WEIGHTS = _point_weights()


class EmbeddedCurves(NamedTuple):
    """Places of n curves.

    Attributes
    ----------
    c, e_c : `~numpy.ndarray`
        Morphology parameter and its standard error from the draws; NaN where a curve is not finite.
    distance : `~numpy.ndarray`
        Root mean square distance from the nearest training curve, less what the noise makes.
    planar : `~numpy.ndarray`
        Places in the plane, shape (n, 2).
    """

    c: FloatArray
    e_c: FloatArray
    distance: FloatArray
    planar: FloatArray


@cache
def embedding_model() -> Embedding:
    """Load the embedding that the package ships, once.

    Returns
    -------
    Embedding
        The model.
    """
    return Embedding.load(grid_path(EMBEDDING_FILE))


def embed(half: npt.NDArray[np.float32], oddness: FloatArray, *, model: Embedding) -> EmbeddedCurves:
    """Place curves among the training curves.

    Parameters
    ----------
    half : `~numpy.ndarray`
        Normalised half curves, of each star the fit first and its draws after it, shape (n, draws + 1, 501). Without
        draws there is no error.
    oddness : `~numpy.ndarray`
        Root mean square of half the difference of both sides of each curve, shape (n,).
    model : Embedding
        The training curves.

    Returns
    -------
    EmbeddedCurves
        c and its error.
    """
    components = model.components(half)
    planar, nearest = _place(
        components.astype(np.float32),
        model.training,
        model.spatial,
        model.planar,
        model.neighbours,
        model.regularisation,
    )
    c = model.c_of_plane(planar)
    spread = c[:, 1:]
    error = np.sqrt(np.mean((spread - spread.mean(axis=1, keepdims=True)) ** 2, axis=1)) if half.shape[1] > 1 else None
    whole = half[:, 0].astype(np.float64) * POINT_WEIGHTS - model.mean
    outside = np.sum(whole**2, axis=1) - np.sum(components[:, 0] ** 2, axis=1)
    noise = np.zeros(len(half))
    if half.shape[1] > 1:
        noise = _spread_of_draws(half, POINT_WEIGHTS**2)
    square = nearest**2 + np.maximum(outside, 0.0) + oddness**2 - 2.0 * noise
    finite = np.isfinite(half[:, 0]).all(axis=1) & np.isfinite(oddness)
    return EmbeddedCurves(
        np.where(finite, c[:, 0], np.nan),
        np.where(finite, error, np.nan) if error is not None else np.full(len(half), np.nan),
        np.where(finite, np.sqrt(np.maximum(square, 0.0)), np.nan),
        planar[:, 0],
    )


@numba.njit(cache=True, nogil=True, fastmath=True)
def _spread_of_draws(half: npt.NDArray[np.float32], weight: FloatArray) -> FloatArray:
    """Mean square distance of the draws of each star from its fit."""
    n_stars, n_curves, n_points = half.shape
    spread = np.zeros(n_stars)
    for star in range(n_stars):
        fit = half[star, 0]
        for curve in range(1, n_curves):
            draw = half[star, curve]
            for i in range(n_points):
                spread[star] += weight[i] * float(draw[i] - fit[i]) ** 2
        spread[star] /= n_curves - 1
    return spread


@numba.njit(cache=True, nogil=True)
def _place(
    components: npt.NDArray[np.float32],
    training: npt.NDArray[np.float32],
    spatial: FloatArray,
    planar: FloatArray,
    neighbours: _Indices,
    regularisation: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Both steps for every curve of every star; the places in the plane, and how far the nearest curve is."""
    n_stars, n_curves, _ = components.shape
    places = np.full((n_stars, n_curves, 2), np.nan)
    nearest = np.full(n_stars, np.nan)
    everyone = np.arange(len(training))
    distance = np.empty(len(training), dtype=np.float32)
    for star in range(n_stars):
        nearby = everyone
        nearby_3d = everyone
        for curve in range(n_curves):
            point = components[star, curve]
            if not np.isfinite(point).all():
                continue
            count = _NEARBY if curve == 0 else neighbours[0]
            found = _nearest(point, training, nearby, count, distance)
            if curve == 0:
                nearest[star] = np.sqrt(_square_distance(point, training[found[0]]))
                nearby = found
            chosen = found[: neighbours[0]]
            place_3d = _weighted(training, chosen, point, regularisation[0], spatial)
            count = _NEARBY_3D if curve == 0 else neighbours[1]
            found = _nearest(place_3d, spatial, nearby_3d, count, distance)
            if curve == 0:
                nearby_3d = found
            chosen = found[: neighbours[1]]
            places[star, curve] = _weighted(spatial, chosen, place_3d, regularisation[1], planar)
    return places, nearest


@numba.njit(cache=True, nogil=True, fastmath=True)
def _square_distance(a: _Floats, b: _Floats) -> Any:
    # In the precision of the arguments: single precision is twice as fast.
    total = a[0] * 0
    for i in range(len(a)):
        total += (a[i] - b[i]) ** 2
    return total


@numba.njit(cache=True, nogil=True)
def _nearest(
    point: _Floats, training: _Floats, among: _Indices, count: int, distance: npt.NDArray[np.float32]
) -> _Indices:
    """Find the nearest of some training curves, the nearest one first."""
    count = min(count, len(among))
    found = np.empty(count, dtype=np.int64)
    filled = 0
    for index in among:
        far = np.float32(_square_distance(point, training[index]))
        distance[index] = far
        if filled == count and far >= distance[found[count - 1]]:
            continue
        place = filled if filled < count else count - 1
        while place > 0 and distance[found[place - 1]] > far:
            found[place] = found[place - 1]
            place -= 1
        found[place] = index
        if filled < count:
            filled += 1
    return found


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _weighted(
    training: _Floats, chosen: _Indices, point: _Floats, regularisation: float, target: FloatArray
) -> FloatArray:
    """Place of a point: the sum of its neighbours' places with the weights that best rebuild it from them."""
    k, size = len(chosen), len(point)
    offset = np.empty((k, size))
    for a in range(k):
        for i in range(size):
            offset[a, i] = training[chosen[a], i] - point[i]
    gram = np.empty((k, k))
    trace = 0.0
    for a in range(k):
        for b in range(a + 1):
            gram[a, b] = _product(offset[a], offset[b])
        trace += gram[a, a]
    ridge = regularisation * trace if trace > 0 else regularisation
    weights = _solve_for_ones(gram, ridge)
    weights /= weights.sum()
    place = np.zeros(target.shape[1])
    for a in range(k):
        for i in range(target.shape[1]):
            place[i] += weights[a] * target[chosen[a], i]
    return place


@numba.njit(cache=True, nogil=True, fastmath=True)
def _product(a: FloatArray, b: FloatArray) -> float:
    total = 0.0
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _solve_for_ones(gram: FloatArray, ridge: float) -> FloatArray:
    """Solve (gram + ridge) x = 1 by Cholesky's way; the lower triangle of gram is overwritten."""
    k = len(gram)
    x = np.ones(k)
    for column in range(k):
        for row in range(column, k):
            total = gram[row, column] + (ridge if row == column else 0.0)
            for i in range(column):
                total -= gram[row, i] * gram[column, i]
            gram[row, column] = np.sqrt(max(total, 1e-300)) if row == column else total / gram[column, column]
    for row in range(k):
        for i in range(row):
            x[row] -= gram[row, i] * x[i]
        x[row] /= gram[row, row]
    for row in range(k - 1, -1, -1):
        for i in range(row + 1, k):
            x[row] -= gram[i, row] * x[i]
        x[row] /= gram[row, row]
    return x
