"""Folded light curves as the network reads them: phase bins in integers of 8 bits.

Two numbers a bin: how far its mean magnitude lies from that of the curve, in units of the curve's scatter, and how far
that mean is to be trusted. The second one is 0 for a bin without points, whose first one is interpolated, and falls
with the error of the mean over the scatter: it holds the gaps and the noise at once. The errors are the stated ones,
or larger in proportion if neighbouring bins differ by more. Integers, because sums of their products are exact in any
order: an engine of integers and one of floats then agree in every sign.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from cbminer.classifier.classes import Scalar
from cbminer.columns import FloatArray

__all__ = ["BinnedCurves", "amplitude_logarithm", "bin_curves", "observed_again", "scalar_inputs"]

# Units of one scatter, and of full trust.
_UNITS_A_SCATTER = 16.0
_FULL_TRUST = 127.0
# No point counts as better than that, in magnitudes: a stated error near zero would be the only one of its bin.
_LEAST_ERROR = 0.003
_SMALLEST_AMPLITUDE = 1e-3
# Bins whose differences tell the noise, and a standard deviation in units of the median size of a normal deviate.
_FEWEST_FOR_NOISE = 8
_SIGMA_OF_MEDIAN = 1.4826
# Errors of bins beyond that many times the median one count as no measurement.
_WORST_ERROR = 6.0
# Centre and spread that bring each scalar to about one.
_SCALING: dict[Scalar, tuple[float, float]] = {
    "log_amplitude": (-0.8, 0.4),
    "log_period": (0.3, 0.5),
    "VI0": (-0.1, 0.3),
}


@dataclass(frozen=True)
class BinnedCurves:
    """Folded light curves of n stars in bins.

    Attributes
    ----------
    inputs : `~numpy.ndarray`
        int8, shape (n, 2, bins): magnitudes below the mean of the curve, positive where it is faint, in sixteenths of
        its scatter; trust from 0 to 127.
    error : `~numpy.ndarray`
        Error of the mean of each bin in the unit of the first number, infinite for an empty one; float32, shape
        (n, bins).
    amplitude : `~numpy.ndarray`
        Peak-to-peak range in magnitudes of a sine wave that varies as much as the curve does beyond its noise,
        shape (n,); NaN for a star without a curve.
    filled : `~numpy.ndarray`
        Share of the bins that hold a point, shape (n,); 0 for a star without a curve.
    """

    inputs: npt.NDArray[np.int8]
    error: npt.NDArray[np.float32]
    amplitude: FloatArray
    filled: FloatArray

    def __len__(self) -> int:
        """Count the stars."""
        return len(self.inputs)


def bin_curves(
    phase: npt.ArrayLike, mag: npt.ArrayLike, mag_err: npt.ArrayLike, offsets: npt.ArrayLike, *, n_bins: int = 128
) -> BinnedCurves:
    """Bin folded light curves.

    Parameters
    ----------
    phase : array_like
        Phases of all points, of any cycle. Points without a phase, a magnitude or a positive error are left out.
    mag, mag_err : array_like
        Magnitudes and their errors.
    offsets : array_like of int
        Star i has the points ``offsets[i]:offsets[i + 1]``, shape (n + 1,).
    n_bins : int, optional
        Bins of a cycle.

    Returns
    -------
    BinnedCurves
        The binned curves. A star without points, or whose points are all alike, has zeros.

    Raises
    ------
    ValueError
        If the arrays do not fit together.
    """
    arrays = [np.ascontiguousarray(item, dtype=np.float64) for item in (phase, mag, mag_err)]
    ends = np.ascontiguousarray(offsets, dtype=np.int64)
    total = len(arrays[0])
    fits = ends.ndim == 1 and len(ends) > 0 and ends[0] == 0 and ends[-1] == total and (np.diff(ends) >= 0).all()
    if not fits or any(item.shape != (total,) for item in arrays):
        msg = "phases, magnitudes and errors must be of one length, and offsets rise from 0 to it"
        raise ValueError(msg)
    n = len(ends) - 1
    inputs = np.zeros((n, 2, n_bins), dtype=np.int8)
    error = np.full((n, n_bins), np.inf, dtype=np.float32)
    amplitude, filled = np.full(n, np.nan), np.zeros(n)
    _bin_all(arrays[0], arrays[1], arrays[2], ends, inputs, error, amplitude, filled)
    return BinnedCurves(inputs, error, amplitude, filled)


@numba.njit(cache=True, nogil=True)
def _bin_all(phase, mag, mag_err, offsets, inputs, error, amplitude, filled):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    n_bins = inputs.shape[2]
    weight, mean = np.empty(n_bins), np.empty(n_bins)
    for star in range(len(offsets) - 1):
        weight[:] = 0.0
        mean[:] = 0.0
        reference = np.nan
        for k in range(offsets[star], offsets[star + 1]):
            if not (np.isfinite(phase[k]) and np.isfinite(mag[k]) and mag_err[k] > 0.0 and mag_err[k] < np.inf):
                continue
            inverse = 1.0 / max(mag_err[k], _LEAST_ERROR) ** 2
            if inverse == 0.0:
                continue
            if np.isnan(reference):
                reference = mag[k]
            cycle = phase[k] - np.floor(phase[k])
            place = min(int(cycle * n_bins), n_bins - 1)
            weight[place] += inverse
            # Near zero, sums of magnitudes lose nothing.
            mean[place] += inverse * (mag[k] - reference)
        if np.isnan(reference):
            continue
        count = 0
        for place in range(n_bins):
            if weight[place] > 0.0:
                count += 1
                mean[place] /= weight[place]
        filled[star] = count / n_bins
        _drop_worthless(weight)
        _rescale_errors(mean, weight)
        _interpolate_empty(mean, weight)
        _scale(mean, weight, star, inputs, error, amplitude)


@numba.njit(cache=True, nogil=True)
def _drop_worthless(weight):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Empty the bins whose error is many times the usual one: neighbours tell more of them than they do."""
    places = np.flatnonzero(weight)
    worst = _WORST_ERROR**2 * np.median(1.0 / weight[places])
    for place in places:
        if 1.0 / weight[place] > worst:
            weight[place] = 0.0


@numba.njit(cache=True, nogil=True)
def _rescale_errors(mean, weight):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Raise the errors of the means to what bins differ by from the line between their neighbours, if that is more.

    Over a smooth and well covered curve these differences are noise alone, and eclipses are few of them: their median
    tells how large the errors are. Stated ones are often too small, and another survey's by another factor. Bins far
    apart on a steep curve add what it bends between them: errors of sparse curves of high signal are overestimated.
    """
    places = np.flatnonzero(weight)
    n, n_bins = len(places), len(weight)
    if n < _FEWEST_FOR_NOISE:
        return
    sizes = np.empty(n)
    for k in range(n):
        before, here, after = places[k - 1], places[k], places[(k + 1) % n]
        to_before, to_after = (here - before) % n_bins, (after - here) % n_bins
        share = to_before / (to_before + to_after)
        difference = mean[here] - (1.0 - share) * mean[before] - share * mean[after]
        variance = 1.0 / weight[here] + (1.0 - share) ** 2 / weight[before] + share**2 / weight[after]
        sizes[k] = abs(difference) / np.sqrt(variance)
    factor = max(1.0, _SIGMA_OF_MEDIAN * np.median(sizes))
    weight[places] /= factor**2


@numba.njit(cache=True, nogil=True)
def _interpolate_empty(mean, weight):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Fill bins without points along a straight line between their filled neighbours, around the cycle."""
    n_bins = len(mean)
    first = 0
    while weight[first] == 0.0:
        first += 1
    last = first
    for step in range(1, n_bins + 1):
        place = (first + step) % n_bins
        if weight[place] > 0.0:
            gap = (place - last) % n_bins
            if gap == 0:
                gap = n_bins
            for inside in range(1, gap):
                share = inside / gap
                mean[(last + inside) % n_bins] = (1.0 - share) * mean[last] + share * mean[place]
            last = place


@numba.njit(cache=True, nogil=True)
def _scale(mean, weight, star, inputs, error, amplitude):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Write the bins of a star in units of its scatter."""
    n_bins = len(mean)
    centre = mean.mean()
    variance, noise, count = 0.0, 0.0, 0
    for place in range(n_bins):
        variance += (mean[place] - centre) ** 2 / n_bins
        if weight[place] > 0.0:
            noise += 1.0 / weight[place]
            count += 1
    amplitude[star] = 2.0 * np.sqrt(2.0 * max(variance - noise / count, 0.0))
    scatter = np.sqrt(variance)
    if not scatter > 1e-9:
        return
    for place in range(n_bins):
        value = np.rint(_UNITS_A_SCATTER * (mean[place] - centre) / scatter)
        inputs[star, 0, place] = np.int8(min(max(value, -127.0), 127.0))
        if weight[place] > 0.0:
            relative = 1.0 / (weight[place] * variance)
            inputs[star, 1, place] = np.int8(np.rint(_FULL_TRUST / (1.0 + relative)))
            error[star, place] = np.float32(_UNITS_A_SCATTER * np.sqrt(relative))


def scalar_inputs(names: tuple[Scalar, ...], values: Mapping[Scalar, npt.ArrayLike], n: int) -> npt.NDArray[np.float32]:
    """Bring the numbers beside the curves to the form that a network takes.

    Parameters
    ----------
    names : tuple of str
        Numbers that the network takes.
    values : dict
        Numbers of n stars by name: ``log_amplitude`` as `amplitude_logarithm` has it, ``log_period`` as the decimal
        logarithm of days, ``VI0`` in magnitudes. NaN where unknown; a name that is absent is unknown for all.
    n : int
        Number of stars.

    Returns
    -------
    `~numpy.ndarray`
        Scaled numbers, 0 where unknown, and after them whether each is known, shape (n, 2 m).
    """
    result = np.zeros((n, 2 * len(names)), dtype=np.float32)
    for place, name in enumerate(names):
        column = np.asarray(values.get(name, np.full(n, np.nan)), dtype=float)
        known = np.isfinite(column)
        centre, spread = _SCALING[name]
        result[known, place] = ((column[known] - centre) / spread).astype(np.float32)
        result[known, len(names) + place] = 1.0
    return result


def observed_again(binned: BinnedCurves, noise: npt.NDArray[np.float64]) -> npt.NDArray[np.int8]:
    """Add noise of the curves' own size to them, as if they were observed again.

    Parameters
    ----------
    binned : BinnedCurves
        The curves.
    noise : `~numpy.ndarray`
        Normal deviates, one a bin and the same for every star, so that a star's copy depends on no other star; shape
        (bins,).

    Returns
    -------
    `~numpy.ndarray`
        int8, shape (n, 2, bins). Bins without points follow their neighbours, from which they were interpolated.
    """
    copy = binned.inputs.copy()
    _add_noise(copy, binned.error.astype(np.float64), noise)
    return copy


@numba.njit(cache=True, nogil=True)
def _add_noise(inputs, error, noise):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    n_bins = len(noise)
    added, known = np.empty(n_bins), np.empty(n_bins)
    for star in range(len(inputs)):
        some = False
        for place in range(n_bins):
            filled = error[star, place] < np.inf
            known[place] = 1.0 if filled else 0.0
            added[place] = error[star, place] * noise[place] if filled else 0.0
            some = some or filled
        if not some:
            continue
        _interpolate_empty(added, known)
        for place in range(n_bins):
            value = np.rint(inputs[star, 0, place] + added[place])
            inputs[star, 0, place] = np.int8(min(max(value, -127.0), 127.0))


def amplitude_logarithm(amplitude: FloatArray) -> FloatArray:
    """Decimal logarithm of amplitudes, no less than that of a millimagnitude.

    Parameters
    ----------
    amplitude : `~numpy.ndarray`
        Amplitudes in magnitudes; NaN where unknown.

    Returns
    -------
    `~numpy.ndarray`
        The logarithms.
    """
    return np.asarray(np.log10(np.maximum(amplitude, _SMALLEST_AMPLITUDE)))
