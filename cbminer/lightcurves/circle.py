"""Kernels of the sines and cosines of a folded light curve, and of sums over its points."""

import numba
import numpy as np

from cbminer.columns import FloatArray

__all__ = ["harmonic_series", "sums_with", "trigonometric_sums", "unit_circle"]


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def unit_circle(cycles: FloatArray) -> FloatArray:
    """Cosines and sines of phases in cycles, as two rows, to the precision of the phases.

    One loop without calls, so that several points are done at a time: Taylor series within half a turn.
    """
    circle = np.empty((2, len(cycles)))
    cosine, sine = circle[0], circle[1]
    for i in range(len(cycles)):
        half_turns = np.floor(2.0 * cycles[i] + 0.5)
        sign = 1.0 - 2.0 * (half_turns - 2.0 * np.floor(0.5 * half_turns))
        x = 2.0 * np.pi * (cycles[i] - 0.5 * half_turns)
        z = x * x
        c = 1.0 - z / 240.0 * (1.0 - z / 306.0 * (1.0 - z / 380.0 * (1.0 - z / 462.0)))
        c = 1.0 - z / 90.0 * (1.0 - z / 132.0 * (1.0 - z / 182.0 * c))
        c = 1.0 - z / 2.0 * (1.0 - z / 12.0 * (1.0 - z / 30.0 * (1.0 - z / 56.0 * c)))
        s = 1.0 - z / 210.0 * (1.0 - z / 272.0 * (1.0 - z / 342.0 * (1.0 - z / 420.0 * (1.0 - z / 506.0))))
        s = 1.0 - z / 72.0 * (1.0 - z / 110.0 * (1.0 - z / 156.0 * s))
        s = 1.0 - z / 6.0 * (1.0 - z / 20.0 * (1.0 - z / 42.0 * s))
        cosine[i], sine[i] = sign * c, sign * x * s
    return circle


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def trigonometric_sums(circle: FloatArray, mag: FloatArray, weight: FloatArray, order: int) -> FloatArray:
    """Sum w cos and w sin up to twice the order, and w y cos and w y sin up to the order: four rows.

    Beyond what is asked for there may be a few columns more.
    """
    n = len(weight)
    cosine, sine = circle[0], circle[1]
    sums = np.zeros((4, 2 * order + 4))
    wc, ws = weight.copy(), np.zeros(n)
    sums[0, 0], sums[2, 0] = np.sum(weight), np.sum(weight * mag)
    # Turned by one step, not computed anew: 80 turns lose two digits of sixteen. Three turns in a pass save two thirds
    # of the reading and writing.
    m = 1
    while m <= order:
        c0 = c1 = c2 = s0 = s1 = s2 = 0.0
        yc0 = yc1 = yc2 = ys0 = ys1 = ys2 = 0.0
        for i in range(n):
            p, q, y = cosine[i], sine[i], mag[i]
            c, s = wc[i] * p - ws[i] * q, ws[i] * p + wc[i] * q
            c0, s0, yc0, ys0 = c0 + c, s0 + s, yc0 + c * y, ys0 + s * y
            c, s = c * p - s * q, s * p + c * q
            c1, s1, yc1, ys1 = c1 + c, s1 + s, yc1 + c * y, ys1 + s * y
            c, s = c * p - s * q, s * p + c * q
            c2, s2, yc2, ys2 = c2 + c, s2 + s, yc2 + c * y, ys2 + s * y
            wc[i], ws[i] = c, s
        sums[0, m], sums[1, m], sums[2, m], sums[3, m] = c0, s0, yc0, ys0
        sums[0, m + 1], sums[1, m + 1], sums[2, m + 1], sums[3, m + 1] = c1, s1, yc1, ys1
        sums[0, m + 2], sums[1, m + 2], sums[2, m + 2], sums[3, m + 2] = c2, s2, yc2, ys2
        m += 3
    _go_on(circle, wc, ws, m, sums[:, : 2 * order + 1])
    return sums


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _go_on(circle: FloatArray, wc: FloatArray, ws: FloatArray, first: int, sums: FloatArray) -> None:
    """Fill in the sums from a first harmonic on, turning what the points of the last one have."""
    cosine, sine = circle[0], circle[1]
    for m in range(first, sums.shape[1], 2):
        c0 = c1 = s0 = s1 = 0.0
        for i in range(len(wc)):
            p, q = cosine[i], sine[i]
            c, s = wc[i] * p - ws[i] * q, ws[i] * p + wc[i] * q
            c0, s0 = c0 + c, s0 + s
            c, s = c * p - s * q, s * p + c * q
            c1, s1 = c1 + c, s1 + s
            wc[i], ws[i] = c, s
        sums[0, m], sums[1, m] = c0, s0
        if m + 1 < sums.shape[1]:
            sums[0, m + 1], sums[1, m + 1] = c1, s1


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def sums_with(circle: FloatArray, data: FloatArray, order: int) -> FloatArray:
    """Sum data times cos and data times sin up to the order: two rows."""
    sums = np.zeros((2, order + 1))
    sums[0, 0] = np.sum(data)
    _go_on(circle, data.copy(), np.zeros(len(data)), 1, sums)
    return sums


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def harmonic_series(circle: FloatArray, coefficients: FloatArray, order: int) -> tuple[FloatArray, FloatArray]:
    """Values of a series of harmonics, and its derivatives by the angle of the first one.

    The coefficients are those of the cosine and the sine of each harmonic, two rows from the constant on, with a column
    more than the order.
    """
    n = circle.shape[1]
    cosine, sine = circle[0], circle[1]
    model, slope = np.full(n, coefficients[0, 0]), np.zeros(n)
    c_of, s_of = np.ones(n), np.zeros(n)
    for m in range(1, order + 1, 2):
        a0, b0, a1, b1 = coefficients[0, m], coefficients[1, m], coefficients[0, m + 1], coefficients[1, m + 1]
        for i in range(n):
            p, q = cosine[i], sine[i]
            c, s = c_of[i] * p - s_of[i] * q, s_of[i] * p + c_of[i] * q
            value, change = a0 * c + b0 * s, m * (b0 * c - a0 * s)
            c, s = c * p - s * q, s * p + c * q
            model[i] += value + a1 * c + b1 * s
            slope[i] += change + (m + 1) * (b1 * c - a1 * s)
            c_of[i], s_of[i] = c, s
    return model, slope
