"""Spectra of light curves with several harmonics at each frequency.

The sums over the points at all frequencies are Fourier transforms of a grid of time on which the points are spread as
normal curves, whose own transform is divided out (Greengard & Lee 2004, SIAM Review 46, 443). nifty-ls (Garrison et al.
2024) made this way of computing spectra popular; here everything that a star needs stays in the cache.
"""

from typing import NamedTuple

import numpy as np
from scipy.fft import ifft, next_fast_len

from cbminer.columns import FloatArray
from cbminer.lightcurves.circle import unit_circle
from cbminer.lightcurves.spectrum_kernels import REACH, harmonic_gain, spread_points, spreading_weights

__all__ = ["FrequencyGrid", "harmonic_power"]

# Cells of time over frequencies. With it and the reach, transforms are right to 5e-8 of the sum of the weights.
_FINER = 1.25
# The frequencies are taken in so many combs, one after the other, whose transforms are short.
_COMBS = 4


class FrequencyGrid(NamedTuple):
    """Evenly spaced frequencies.

    Attributes
    ----------
    lowest, spacing : float
        First frequency and the difference between two of them, in cycles a day.
    n_frequencies : int
        How many there are.
    """

    lowest: float
    spacing: float
    n_frequencies: int

    def frequencies(self) -> FloatArray:
        """List them.

        Returns
        -------
        `~numpy.ndarray`
            Frequencies in cycles a day, shape (n_frequencies,).
        """
        return np.asarray(self.lowest + self.spacing * np.arange(self.n_frequencies), dtype=np.float64)


def harmonic_power(
    time: FloatArray, mag: FloatArray, weight: FloatArray, *, grid: FrequencyGrid, harmonics: int
) -> FloatArray:
    """Share of the weighted variance that a constant and some harmonics of each frequency explain.

    Parameters
    ----------
    time, mag, weight : `~numpy.ndarray`
        Times in days, magnitudes, and weights, shape (n,).
    grid : FrequencyGrid
        The frequencies.
    harmonics : int
        Number of harmonics.

    Returns
    -------
    `~numpy.ndarray`
        Shares from 0 to 1, shape (grid.n_frequencies,).
    """
    total = np.sum(weight)
    deviation = mag - np.sum(weight * mag) / total
    weighted = weight * deviation
    since = time - np.min(time)
    power = np.empty(grid.n_frequencies)
    n_cells = next_fast_len(max(int(np.ceil(_FINER * (grid.n_frequencies / _COMBS + 1))), 2 * REACH + 1))
    # The width for which what is cut off and what comes in from other frequencies are alike.
    width = np.sqrt(REACH / (2.0 * np.pi * (1.0 - 0.5 / _FINER)))
    times = np.arange(1, 2 * harmonics + 1)
    places = [multiple * since * (_COMBS * grid.spacing * n_cells) for multiple in times]
    spreads = [spreading_weights(place, width) for place in places]
    transforms = np.empty((3 * harmonics, n_cells), dtype=np.complex128)
    most = -(-grid.n_frequencies // _COMBS)
    below = most // 2
    factor = np.exp(2.0 * (np.pi * width / n_cells * (np.arange(most) - below)) ** 2) / (width * np.sqrt(2.0 * np.pi))
    for comb in range(min(_COMBS, grid.n_frequencies)):
        gain = np.empty(len(range(comb, grid.n_frequencies, _COMBS)))
        middle = grid.lowest + grid.spacing * (comb + _COMBS * below)
        for k, multiple in enumerate(times):
            circle = unit_circle(multiple * middle * since)
            spread_points(places[k], spreads[k], weight * circle[0], weight * circle[1], transforms[k])
            if k < harmonics:
                place = transforms[2 * harmonics + k]
                spread_points(places[k], spreads[k], weighted * circle[0], weighted * circle[1], place)
        sums = ifft(transforms, axis=1, norm="forward", overwrite_x=True)
        harmonic_gain(sums, total, factor, below, gain)
        power[comb::_COMBS] = gain
    power /= np.sum(weighted * deviation)
    return power
