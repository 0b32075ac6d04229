"""Compiled radiation of the cells: temperatures by gravity and reflection, intensities by passband."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from cbminer.columns import FloatArray
from cbminer.synthetic.lobe import AREA, GRAVITY, NORMAL, PATCH_SIDE, PLACE
from cbminer.synthetic.reflection import reflected_flux

__all__ = [
    "CONTACT",
    "INCLINATION",
    "LOG_G",
    "MASS_RATIO",
    "POTENTIAL",
    "Optics",
    "emitted_light",
    "fourth_powers",
    "heat",
]

# Columns of `BinarySystems.as_columns`, in which what there is of each star takes two, and one more of the engine.
MASS_RATIO, INCLINATION, POTENTIAL, TEFF, GRAVITY_DARKENING, ALBEDO, CONTACT, LOG_G = 0, 1, 2, 4, 6, 8, 10, 11


class Optics(NamedTuple):
    """What turns temperatures into light, the same for all systems.

    Attributes
    ----------
    axes : `~numpy.ndarray`
        Start and step of the natural logarithm of Teff, and number of temperatures and gravities, of the
        table of each passband, shape (bands, 4).
    gravities : `~numpy.ndarray`
        Logarithms of gravity of the tables, shape (bands, k).
    tables : `~numpy.ndarray`
        Natural logarithms of the normal intensities, shape (bands, m, k).
    laws : `~numpy.ndarray`
        Number of the law of limb darkening of each band.
    bolometric_law : int
        Number of the bolometric law of limb darkening.
    reflection : bool
        Whether stars heat each other.
    """

    axes: FloatArray
    gravities: FloatArray
    tables: FloatArray
    laws: npt.NDArray[np.int64]
    bolometric_law: int
    reflection: bool


@njit(cache=True)
def fourth_powers(cells_1: FloatArray, cells_2: FloatArray, system: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Fourth powers of the local temperatures by gravity darkening.

    Parameters
    ----------
    cells_1, cells_2 : `~numpy.ndarray`
        Tables of cells of the two stars.
    system : `~numpy.ndarray`
        Row of `BinarySystems.as_columns`.

    Returns
    -------
    tuple of `~numpy.ndarray`
        For the cells of both stars, in K to the fourth. Their means by area are those of the effective
        temperatures; without a second one, one mean serves for the whole surface.
    """
    power_1 = cells_1[:, GRAVITY] ** system[GRAVITY_DARKENING]
    power_2 = cells_2[:, GRAVITY] ** system[GRAVITY_DARKENING + 1]
    area_1, area_2 = cells_1[:, AREA], cells_2[:, AREA]
    sum_1, sum_2 = (area_1 * power_1).sum(), (area_2 * power_2).sum()
    fourth_1, fourth_2 = system[TEFF] ** 4, system[TEFF + 1] ** 4
    if math.isnan(fourth_2):
        scale = fourth_1 * (area_1.sum() + area_2.sum()) / (sum_1 + sum_2)
        return power_1 * scale, power_2 * scale
    return power_1 * (fourth_1 * area_1.sum() / sum_1), power_2 * (fourth_2 * area_2.sum() / sum_2)


@njit(cache=True)
def heat(
    cells: tuple[FloatArray, FloatArray],
    fourth: tuple[FloatArray, FloatArray],
    system: FloatArray,
    darkening: FloatArray,
    law: int,
) -> None:
    """Raise the fourth powers of the temperatures by the light of the companion that is sent back.

    Parameters
    ----------
    cells : tuple of `~numpy.ndarray`
        Tables of cells of the two stars.
    fourth : tuple of `~numpy.ndarray`
        Fourth powers of the temperatures, changed in place.
    system : `~numpy.ndarray`
        Row of `BinarySystems.as_columns`.
    darkening : `~numpy.ndarray`
        Bolometric coefficients of limb darkening of both stars, shape (2, 2).
    law : int
        Number of their law.
    """
    cells_1, cells_2 = cells
    fourth_1, fourth_2 = fourth
    members = PATCH_SIDE * PATCH_SIDE
    n_1, n_2 = len(cells_1) // members, len(cells_2) // members
    patches = np.empty((n_1 + n_2, 7))
    emitted = np.empty(n_1 + n_2)
    for patch in range(n_1):
        part = slice(patch * members, (patch + 1) * members)
        emitted[patch] = _merge(patches[patch], cells_1[part], fourth_1[part])
    for patch in range(n_2):
        part = slice(patch * members, (patch + 1) * members)
        emitted[n_1 + patch] = _merge(patches[n_1 + patch], cells_2[part], fourth_2[part])
    back = reflected_flux(
        patches,
        n_1,
        emitted,
        system[ALBEDO : ALBEDO + 2],
        (darkening, law),
        system[POTENTIAL],
        system[MASS_RATIO],
        system[CONTACT] > 0.5,
    )
    gain = 1.0 + back / emitted
    for row in range(len(cells_1)):
        fourth_1[row] *= gain[row // members]
    for row in range(len(cells_2)):
        fourth_2[row] *= gain[n_1 + row // members]


@njit(cache=True)
def _merge(patch: FloatArray, cells: FloatArray, fourth: FloatArray) -> float:
    """Make one patch of its cells; return their mean flux."""
    patch[:] = 0.0
    flux = 0.0
    for row in range(len(cells)):
        area: float = cells[row, AREA]
        for column in range(6):
            patch[column] += area * cells[row, PLACE + column]
        patch[6] += area
        flux += area * fourth[row]
    length = math.sqrt(patch[NORMAL] ** 2 + patch[NORMAL + 1] ** 2 + patch[NORMAL + 2] ** 2)
    for column in range(3):
        patch[column] /= patch[6]
        patch[NORMAL + column] /= length
    total: float = patch[6]
    return flux / total


@njit(cache=True)
def emitted_light(cells: FloatArray, fourth: FloatArray, gravity: tuple[float, float], optics: Optics) -> FloatArray:
    """Light that cells send along their normals.

    Parameters
    ----------
    cells : `~numpy.ndarray`
        Table of cells.
    fourth : `~numpy.ndarray`
        Fourth powers of their temperatures.
    gravity : tuple of float
        A gradient of the potential, and the logarithm of the gravity in cm/s2 that it stands for.
    optics : Optics
        Tables of intensity.

    Returns
    -------
    `~numpy.ndarray`
        Normal intensities times areas, shape (cells, bands), linear in the logarithms of the tables.
    """
    result = np.empty((len(cells), len(optics.axes)))
    for row in range(len(cells)):
        log_teff = 0.25 * math.log(fourth[row])
        local = gravity[1] + math.log10(cells[row, GRAVITY] / gravity[0])
        for band in range(len(optics.axes)):
            axis, table = optics.axes[band], optics.tables[band]
            position = (log_teff - axis[0]) / axis[1]
            low = min(max(int(position), 0), int(axis[2]) - 2)
            part = position - low
            left, share = _gravity_place(optics.gravities[band], int(axis[3]), local)
            value = (1.0 - part) * table[low, left] + part * table[low + 1, left]
            if share > 0.0:
                upper = (1.0 - part) * table[low, left + 1] + part * table[low + 1, left + 1]
                value += share * (upper - value)
            result[row, band] = math.exp(value) * cells[row, AREA]
    return result


@njit(cache=True)
def _gravity_place(gravities: FloatArray, n: int, local: float) -> tuple[int, float]:
    """Entry below a gravity and how far the gravity lies towards the next."""
    if n == 1 or local <= gravities[0]:
        return 0, 0.0
    left = 0
    while left < n - 2 and gravities[left + 1] < local:
        left += 1
    return left, min((local - gravities[left]) / (gravities[left + 1] - gravities[left]), 1.0)
