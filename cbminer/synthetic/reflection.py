"""Compiled mutual irradiation of the two stars, on patches of a few cells."""

import math

import numpy as np
from numba import njit

from cbminer.columns import FloatArray
from cbminer.synthetic.equipotential import potential
from cbminer.synthetic.lobe import AREA, NORMAL, PLACE

__all__ = ["reflected_flux"]

_N_SCATTERINGS = 12
_CONVERGED = 1e-6


@njit(cache=True)
def reflected_flux(
    patches: FloatArray,
    n_first: int,
    emitted: FloatArray,
    albedo: FloatArray,
    limb: tuple[FloatArray, int],
    omega: float,
    q: float,
    contact: bool,  # noqa: FBT001
) -> FloatArray:
    """Flux that patches send back of what they receive, after all scatterings.

    The scheme is that of Horvat et al. (2019, ApJS 240, 36): the stars' own light leaves a patch by their law
    of limb darkening, and what is sent back by that of Lambert.

    Parameters
    ----------
    patches : `~numpy.ndarray`
        Place, normal and area of the patches of a quarter of each star, those of star 1 first, shape (m, 7).
    n_first : int
        Number of patches of star 1.
    emitted : `~numpy.ndarray`
        Bolometric flux of the patches' own, shape (m,).
    albedo : `~numpy.ndarray`
        Share that is sent back, for each star.
    limb : tuple
        Bolometric coefficients of limb darkening, shape (2, 2), and number of the law.
    omega, q : float
        Potential of a contact surface, and mass ratio.
    contact : bool
        Whether parts of one surface see each other.

    Returns
    -------
    `~numpy.ndarray`
        Flux sent back, shape (m,).
    """
    n = len(patches)
    darkening, law = limb
    received = np.zeros(n)
    exchange = np.zeros((n, n))
    centre = 1.0 / np.array([_mean_law(darkening[0], law), _mean_law(darkening[1], law)])
    for i in range(n):
        for j in range(n):
            if not contact and (i < n_first) == (j < n_first):
                continue
            own, other = 0.0, 0.0
            star = 0 if j < n_first else 1
            for image in range(4):
                sy = 1.0 if image % 2 == 0 else -1.0
                sz = 1.0 if image < 2 else -1.0
                kernel, cosine = _transfer(patches[i], patches[j], sy, sz, omega, q, contact)
                if kernel > 0.0:
                    other += kernel
                    own += kernel * law_of(cosine, darkening[star, 0], darkening[star, 1], law) * centre[star]
            exchange[i, j] = other
            received[i] += own * emitted[j]
    share = np.empty(n)
    share[:n_first] = albedo[0]
    share[n_first:] = albedo[1]
    first = share * received
    total = first.copy()
    for _ in range(_N_SCATTERINGS):
        new = first + share * (exchange @ total)
        change = np.abs(new - total).max()
        total = new
        if change < _CONVERGED * emitted.max():
            break
    return total


@njit(cache=True)
def _transfer(
    receiver: FloatArray,
    source: FloatArray,
    sy: float,
    sz: float,
    omega: float,
    q: float,
    contact: bool,  # noqa: FBT001
) -> tuple[float, float]:
    """Share of the flux of a Lambertian source that falls on a receiver, and the cosine at the source."""
    dx = source[PLACE] - receiver[PLACE]
    dy = sy * source[PLACE + 1] - receiver[PLACE + 1]
    dz = sz * source[PLACE + 2] - receiver[PLACE + 2]
    s2 = dx * dx + dy * dy + dz * dz
    if s2 == 0.0:
        return 0.0, 0.0
    distance = math.sqrt(s2)
    at_receiver = (receiver[NORMAL] * dx + receiver[NORMAL + 1] * dy + receiver[NORMAL + 2] * dz) / distance
    if at_receiver <= 0.0:
        return 0.0, 0.0
    at_source = -(source[NORMAL] * dx + sy * source[NORMAL + 1] * dy + sz * source[NORMAL + 2] * dz) / distance
    if at_source <= 0.0 or (contact and _is_inside(receiver, dx, dy, dz, omega, q)):
        return 0.0, 0.0
    return at_receiver * at_source * source[AREA] / (math.pi * s2), at_source


@njit(cache=True)
def _is_inside(receiver: FloatArray, dx: float, dy: float, dz: float, omega: float, q: float) -> bool:
    """Tell whether a line between two patches runs through the common envelope."""
    for step in range(1, 4):
        t = 0.25 * step
        x = receiver[PLACE] + t * dx
        y = receiver[PLACE + 1] + t * dy
        z = receiver[PLACE + 2] + t * dz
        if potential(x, y, z, q) > omega:
            return True
    return False


@njit(cache=True)
def law_of(mu: float, x: float, y: float, law: int) -> float:
    """Intensity over that along the normal; see `cbminer.synthetic.limb_darkening`.

    Parameters
    ----------
    mu : float
        Cosine of the angle from the normal.
    x, y : float
        Coefficients.
    law : int
        Number of the law.

    Returns
    -------
    float
        The intensity.
    """
    value = 1.0 - x * (1.0 - mu)
    if law == 1:
        value -= y * (1.0 - math.sqrt(mu))
    elif law == 2 and mu > 0.0:
        value -= y * mu * math.log(mu)
    return value


@njit(cache=True)
def _mean_law(coefficients: FloatArray, law: int) -> float:
    """Flux of a surface over pi times its normal intensity."""
    x: float = coefficients[0]
    y: float = coefficients[1]
    mean = 1.0 - x / 3.0
    if law == 1:
        mean -= 0.2 * y
    elif law == 2:
        mean += 2.0 * y / 9.0
    return mean
