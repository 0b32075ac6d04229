"""Many light curves in a few flat arrays, which kernels read without copying."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray
from cbminer.survey.photometry_file import LightCurve

__all__ = ["PackedLightCurves", "pack_light_curves"]


@dataclass(frozen=True)
class PackedLightCurves:
    """Light curves of stars, one after the other.

    Attributes
    ----------
    stars : tuple of str
        Identifiers, length n.
    offsets : `~numpy.ndarray`
        Star i has the points ``offsets[i]:offsets[i + 1]``; int64, shape (n + 1,).
    time : `~numpy.ndarray`
        Heliocentric Julian dates in days, float64.
    mag, mag_err : `~numpy.ndarray`
        Magnitudes and errors, float32.
    """

    stars: tuple[str, ...]
    offsets: npt.NDArray[np.int64]
    time: FloatArray
    mag: npt.NDArray[np.float32]
    mag_err: npt.NDArray[np.float32]

    def __len__(self) -> int:
        """Count the stars."""
        return len(self.stars)

    def points_of(self, index: int) -> slice:
        """Slice of the points of a star.

        Parameters
        ----------
        index : int
            Place of the star.

        Returns
        -------
        slice
            Its points in the flat arrays.
        """
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))

    def stars_at(self, places: npt.NDArray[np.int64]) -> "PackedLightCurves":
        """Take some stars with all of their points.

        Parameters
        ----------
        places : `~numpy.ndarray`
            Places of the stars.

        Returns
        -------
        PackedLightCurves
            Those stars, in the order of the places.
        """
        slices = [self.points_of(int(place)) for place in places]
        offsets = np.concatenate(([0], np.cumsum([item.stop - item.start for item in slices]))).astype(np.int64)
        points = np.concatenate([np.empty(0, dtype=np.int64), *(np.arange(item.start, item.stop) for item in slices)])
        stars = tuple(self.stars[int(place)] for place in places)
        return PackedLightCurves(stars, offsets, self.time[points], self.mag[points], self.mag_err[points])

    def subset(self, keep: npt.NDArray[np.bool_]) -> "PackedLightCurves":
        """Keep some points of every star.

        Parameters
        ----------
        keep : `~numpy.ndarray`
            Mask over all points.

        Returns
        -------
        PackedLightCurves
            The same stars with the points that are kept.
        """
        kept_before = np.concatenate(([0], np.cumsum(keep)))
        offsets = kept_before[self.offsets].astype(np.int64)
        return PackedLightCurves(self.stars, offsets, self.time[keep], self.mag[keep], self.mag_err[keep])


def pack_light_curves(stars: Sequence[str], curves: Sequence[LightCurve]) -> PackedLightCurves:
    """Pack light curves.

    Parameters
    ----------
    stars : sequence of str
        Identifiers.
    curves : sequence of LightCurve
        Their light curves, in the same order; a curve may be empty.

    Returns
    -------
    PackedLightCurves
        The packed curves.
    """
    lengths = [len(curve) for curve in curves]
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    empty64, empty32 = np.empty(0, dtype=np.float64), np.empty(0, dtype=np.float32)
    return PackedLightCurves(
        tuple(stars),
        offsets,
        np.concatenate([empty64, *(curve.time for curve in curves)]),
        np.concatenate([empty32, *(curve.mag for curve in curves)]),
        np.concatenate([empty32, *(curve.mag_err for curve in curves)]),
    )
