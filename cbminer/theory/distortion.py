"""What the shape of close pairs does to their magnitude at maximum light."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.interpolate import RegularGridInterpolator

from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError
from cbminer.resources import grid_path
from cbminer.theory.atmospheres import check_shipped, read_table
from cbminer.theory.roche_lobe import l2_radius_ratio

__all__ = ["Distortion", "distortion_correction"]

_TABLE = "colours/distortion.ecsv"
_AXES = ("mass_ratio", "filling", "inclination")
_QUANTITIES = ("V_at_maximum", "VI_at_maximum")
# Between 18 and 36 kK, and of black bodies and Kurucz atmospheres, the change differs by up to 0.007 mag in V and 0.005
# mag in (V-I).
_ERRORS = (0.01, 0.005)


@dataclass(frozen=True)
class Distortion:
    """Change of magnitude and colour from two spheres to the real shapes.

    Attributes
    ----------
    M_V, VI0 : float or `~numpy.ndarray`
        To be added to the magnitude and colour of the spheres, mag: both are negative, brighter and bluer.
    e_M_V, e_VI0 : float
        Errors in mag.
    outside : bool or `~numpy.ndarray`
        Whether the pair is beyond the table, whose nearest entry stands for it.
    """

    M_V: FloatArray
    VI0: FloatArray
    e_M_V: float
    e_VI0: float
    outside: npt.NDArray[np.bool_]


def distortion_correction(
    inclination: npt.ArrayLike, lobe_filling: npt.ArrayLike, *, mass_ratio: npt.ArrayLike
) -> Distortion:
    """Change of magnitude at maximum light from two spheres to stars on their equipotentials.

    Parameters
    ----------
    inclination : array_like
        Inclination of the orbit in degrees, 0 to 90.
    lobe_filling : array_like
        R / R_L: in contact that of the less massive star, else the mean of both.
    mass_ratio : array_like
        Mass ratio; one above 1 counts as its inverse.

    Returns
    -------
    Distortion
        Of the shape to which the arguments broadcast, NaN where one of them is. Mass ratios below 0.1 and fillings
        beyond L2 are flagged and have the change of the limit.

    Notes
    -----
    From the Roche engine of `cbminer.synthetic` (``grids/colours/build.py``): both stars fill the same part of their
    lobes, or share an envelope, with the luminosities and volumes of the spheres and one temperature, 25 kK; gravity
    darkening of von Zeipel (1924, MNRAS 84, 665), limb darkening, mutual heating of albedo 1. OGLE's magnitudes are
    those at maximum light.
    """
    given = (np.asarray(numbers, dtype=float) for numbers in (inclination, lobe_filling, mass_ratio))
    tilt, filling, q = np.broadcast_arrays(*given)
    ratio = np.minimum(q, 1.0 / q)
    depth = np.where(filling > 1.0, 1.0 + (filling - 1.0) / (l2_radius_ratio(ratio) - 1.0), filling)
    places = np.stack([ratio, depth, tilt], axis=-1)
    change = []
    for table in _tables():
        limits = np.array([[axis[0], axis[-1]] for axis in table.grid])
        inside = np.clip(places, limits[:, 0], limits[:, 1])
        change.append(table(inside).reshape(tilt.shape)[()])
    outside = (places[..., 0] < limits[0, 0]) | (places[..., 1] > 2.0)
    return Distortion(change[0], change[1], *_ERRORS, outside)


@lru_cache(maxsize=1)
def _tables() -> tuple[RegularGridInterpolator, ...]:
    """Tables of the change in V and in (V-I)."""
    path = grid_path(_TABLE)
    check_shipped(path, "distortion")
    table = read_table(path)
    axes = [np.unique(table[name]) for name in _AXES]
    shape = tuple(map(len, axes))
    if len(table) != np.prod(shape):
        msg = f"{path} is not complete: install cbminer again"
        raise InputFormatError(msg)
    table.sort(list(_AXES))
    # Stars that are points have no shape.
    axes[1] = np.concatenate([[0.0], axes[1]])
    values = [np.pad(np.reshape(table[name], shape), ((0, 0), (1, 0), (0, 0))) for name in _QUANTITIES]
    return tuple(RegularGridInterpolator(axes, value, bounds_error=False) for value in values)
