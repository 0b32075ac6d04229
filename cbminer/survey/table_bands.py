"""Of a star with points in several bands, the one that is measured, and how bright the star is in it."""

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray

__all__ = ["band_of_most", "medians", "points_of_bands"]


def points_of_bands(points: npt.NDArray[Any], n_stars: int, n_bands: int, *, max_mag_err: float) -> FloatArray:
    """Count the points of every star in every band.

    Parameters
    ----------
    points : `~numpy.ndarray`
        Points of type `~cbminer.survey.table_points.POINT`, with places of stars and bands.
    n_stars, n_bands : int
        Stars and bands.
    max_mag_err : float
        Largest error of a point that counts, mag.

    Returns
    -------
    `~numpy.ndarray`
        Shape (n_stars, n_bands). One point with a good error counts for more than all without.
    """
    good = (points["mag_err"] > 0) & (points["mag_err"] <= max_mag_err)
    weights = 1.0 + good * float(len(points))
    place = points["star"].astype(np.int64) * n_bands + points["band"]
    counts = np.bincount(place, weights=weights, minlength=n_stars * n_bands)
    return counts.reshape(n_stars, n_bands).astype(np.float64)


def band_of_most(counts: FloatArray) -> npt.NDArray[np.int64]:
    """Find the band with most points.

    Parameters
    ----------
    counts : `~numpy.ndarray`
        Points of every star in every band, shape (n_stars, n_bands).

    Returns
    -------
    `~numpy.ndarray`
        Place of the band, the first of equals, shape (n_stars,); -1 for a star without points.
    """
    if counts.shape[1] == 0:
        return np.full(len(counts), -1)
    most = np.argmax(counts, axis=1)
    return np.where(counts[np.arange(len(counts)), most] > 0, most, -1)


def medians(points: npt.NDArray[Any], n_stars: int) -> FloatArray:
    """Take the median magnitude of every star.

    Parameters
    ----------
    points : `~numpy.ndarray`
        Points of type `~cbminer.survey.table_points.POINT`, in the order of their stars.
    n_stars : int
        Stars.

    Returns
    -------
    `~numpy.ndarray`
        Magnitudes, NaN for a star without points, shape (n_stars,).
    """
    edges = np.searchsorted(points["star"], np.arange(n_stars + 1))
    return np.array(
        [np.median(points["mag"][low:high]) if high > low else np.nan for low, high in pairwise(edges)],
        dtype=np.float64,
    )
