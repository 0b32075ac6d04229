"""Which share of all inclinations is seen as a variable, by the depth of the minima that a survey finds."""

import numpy as np
import numpy.typing as npt
from scipy.interpolate import RegularGridInterpolator

from cbminer.columns import FloatArray
from cbminer.theory.roche_lobe import l2_radius_ratio

__all__ = ["contact_share_seen", "fillout_of_radius", "near_contact_share_seen"]

# cos i below which the deeper minimum in I is at least so deep, for orbits at random the share that is seen: made with
# the package's engine at its defaults, T1 = 25,000 K. Rows: mass ratios; within each: states; columns: depths.
_DEPTHS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
_MASS_RATIOS = (0.3, 0.5, 0.7, 1.0)
_FILLOUTS = (0.05, 0.5, 0.95)
_CONTACT = np.array([
    [[0.861, 0.708, 0.603, 0.522, 0.392, 0.274, 0.000],
     [0.897, 0.787, 0.683, 0.597, 0.454, 0.332, 0.205],
     [0.911, 0.821, 0.740, 0.663, 0.527, 0.409, 0.299]],
    [[0.875, 0.737, 0.631, 0.551, 0.428, 0.328, 0.240],
     [0.908, 0.815, 0.722, 0.641, 0.503, 0.390, 0.295],
     [0.921, 0.846, 0.776, 0.708, 0.582, 0.472, 0.375]],
    [[0.879, 0.749, 0.642, 0.563, 0.441, 0.345, 0.263],
     [0.912, 0.826, 0.740, 0.660, 0.525, 0.413, 0.320],
     [0.926, 0.857, 0.791, 0.727, 0.607, 0.501, 0.406]],
    [[0.880, 0.754, 0.648, 0.568, 0.447, 0.350, 0.270],
     [0.914, 0.832, 0.750, 0.673, 0.537, 0.426, 0.333],
     [0.930, 0.865, 0.802, 0.741, 0.626, 0.521, 0.427]],
])  # fmt: skip
_LOBE_FILLINGS = (0.9, 0.95, 0.99)
_NEAR_CONTACT = np.array([
    [[0.763, 0.591, 0.512, 0.450, 0.346, 0.255, 0.000],
     [0.820, 0.648, 0.559, 0.491, 0.378, 0.281, 0.000],
     [0.858, 0.706, 0.607, 0.531, 0.410, 0.308, 0.188]],
    [[0.778, 0.600, 0.525, 0.466, 0.371, 0.294, 0.226],
     [0.830, 0.660, 0.574, 0.508, 0.405, 0.321, 0.249],
     [0.866, 0.720, 0.624, 0.551, 0.438, 0.348, 0.271]],
    [[0.773, 0.598, 0.523, 0.464, 0.370, 0.294, 0.229],
     [0.827, 0.659, 0.573, 0.508, 0.405, 0.322, 0.252],
     [0.864, 0.719, 0.623, 0.551, 0.439, 0.350, 0.275]],
    [[0.751, 0.586, 0.509, 0.449, 0.353, 0.274, 0.205],
     [0.814, 0.646, 0.559, 0.493, 0.387, 0.302, 0.229],
     [0.856, 0.708, 0.611, 0.537, 0.422, 0.330, 0.253]],
])  # fmt: skip

# Growth of the less massive star from its Roche radius to L2, and the fill-out there, of the engine at q = 0.7.
_GROWTHS = (0.0, 0.044, 0.211, 0.435, 0.685, 0.921, 1.0)
_FILLOUTS_OF_GROWTH = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


def fillout_of_radius(radius_ratio: npt.ArrayLike, mass_ratio: npt.ArrayLike) -> FloatArray:
    """Fill-out of a contact binary from the size of its less massive star.

    Parameters
    ----------
    radius_ratio : array_like
        Radius of the less massive star over its Roche radius.
    mass_ratio : array_like
        Mass ratio; one above 1 counts as its inverse.

    Returns
    -------
    `~numpy.ndarray`
        Fill-out, 0 at L1 and 1 at L2 or beyond.

    Notes
    -----
    Interpolated in the part of the way from the Roche radius to that of L2 (`l2_radius_ratio`), for which the engine's
    fill-outs differ by less than 0.02 between mass ratios of 0.3 and 1.
    """
    growth = (np.asarray(radius_ratio, dtype=float) - 1.0) / (l2_radius_ratio(mass_ratio) - 1.0)
    fillout: FloatArray = np.interp(growth, _GROWTHS, _FILLOUTS_OF_GROWTH)
    return fillout


def contact_share_seen(fillout: npt.ArrayLike, mass_ratio: npt.ArrayLike, *, least_depth: float) -> FloatArray:
    """Share of contact binaries whose inclination makes a minimum deep enough.

    Parameters
    ----------
    fillout : array_like
        Fill-out.
    mass_ratio : array_like
        Mass ratio; one above 1 counts as its inverse.
    least_depth : float
        Depth of the deeper minimum in I in mag, 0.05 to 0.5.

    Returns
    -------
    `~numpy.ndarray`
        cos i of the least inclination, which is the share of orbits at random.

    Notes
    -----
    Linear between light curves of the package's engine with T2 = T1; held constant outside of q = 0.3 to 1 and
    fill-outs of 0.05 to 0.95.
    """
    return _interpolated(_CONTACT, _FILLOUTS, fillout, mass_ratio, least_depth)


def near_contact_share_seen(filling: npt.ArrayLike, mass_ratio: npt.ArrayLike, *, least_depth: float) -> FloatArray:
    """Share of pairs near contact whose inclination makes a minimum deep enough.

    Parameters
    ----------
    filling : array_like
        Mean radius over Roche radius of the two stars.
    mass_ratio : array_like
        Mass ratio; one above 1 counts as its inverse.
    least_depth : float
        Depth of the deeper minimum in I in mag, 0.05 to 0.5.

    Returns
    -------
    `~numpy.ndarray`
        cos i of the least inclination, which is the share of orbits at random.

    Notes
    -----
    Linear between light curves of the package's engine with equal fillings and T2 = T1 sqrt(q), which holds for B stars
    of the main sequence; held constant outside of q = 0.3 to 1 and fillings of 0.9 to 0.99.
    """
    return _interpolated(_NEAR_CONTACT, _LOBE_FILLINGS, filling, mass_ratio, least_depth)


def _interpolated(
    table: FloatArray, states: tuple[float, ...], state: npt.ArrayLike, mass_ratio: npt.ArrayLike, depth: float
) -> FloatArray:
    q = np.asarray(mass_ratio, dtype=float)
    q = np.clip(np.minimum(q, 1.0 / q), _MASS_RATIOS[0], _MASS_RATIOS[-1])
    held = np.clip(np.asarray(state, dtype=float), states[0], states[-1])
    at_depth = RegularGridInterpolator((_MASS_RATIOS, states, _DEPTHS), table)
    share: FloatArray = at_depth(np.stack(np.broadcast_arrays(q, held, depth), axis=-1))
    return share
