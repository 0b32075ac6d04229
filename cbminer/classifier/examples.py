"""Examples to learn from: light curves without noise, observed anew each time that they are drawn."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cbminer.classifier.binning import BinnedCurves, amplitude_logarithm, bin_curves, scalar_inputs
from cbminer.classifier.classes import CLASSES, Scalar
from cbminer.classifier.recipe import ObservationSettings
from cbminer.classifier.templates import (
    N_PHASES,
    Templates,
    cool_contacts,
    detached_spheres,
    single_stars,
    wrong_periods,
)
from cbminer.columns import FloatArray

__all__ = ["ObservedCurves", "complete_templates", "draw_balanced", "observe_templates"]

_CONTACT, _DETACHED, _NOT_ECLIPSING = (CLASSES.index(name) for name in ("contact", "detached", "not_eclipsing"))


@dataclass(frozen=True)
class ObservedCurves:
    """Observed curves with what is true of them; arrays of n examples.

    Attributes
    ----------
    curves : BinnedCurves
        What the network reads.
    label : `~numpy.ndarray`
        Places in `CLASSES`.
    template : `~numpy.ndarray`
        Places of the curves without noise.
    scalars : `~numpy.ndarray`
        Numbers beside the curves, shape (n, 2 m).
    error : `~numpy.ndarray`
        True error of a point in magnitudes.
    n_points : `~numpy.ndarray`
        Points of each curve.
    """

    curves: BinnedCurves
    label: npt.NDArray[np.int64]
    template: npt.NDArray[np.int64]
    scalars: npt.NDArray[np.float32]
    error: FloatArray
    n_points: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Count the examples."""
        return len(self.label)


def complete_templates(library: Templates, *, seed: int) -> Templates:
    """Add to the curves of a library what it lacks.

    Parameters
    ----------
    library : Templates
        Curves of a library.
    seed : int
        Seed of what is drawn.

    Returns
    -------
    Templates
        With as many detached pairs of spheres as it has detached ones, and in units of its contact binaries a third of
        cool ones, as many single stars, and half as many pairs at wrong periods.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(7,)))
    counts = np.bincount(library.label, minlength=len(CLASSES))
    pairs = library.at(np.flatnonzero(library.label != _NOT_ECLIPSING))
    parts = [
        library,
        detached_spheres(int(counts[_DETACHED]), rng),
        cool_contacts(int(counts[_CONTACT]) // 3, rng),
        single_stars(int(counts[_CONTACT]), rng),
    ]
    if len(pairs):
        parts.append(wrong_periods(pairs, int(counts[_CONTACT]) // 2, rng))
    return Templates.join([part for part in parts if len(part)])


def draw_balanced(templates: Templates, n: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw curves so that all classes are equally frequent.

    Parameters
    ----------
    templates : Templates
        Curves.
    n : int
        How many to draw.
    rng : `~numpy.random.Generator`
        Source of randomness.

    Returns
    -------
    `~numpy.ndarray`
        Places in the curves, shape (n,).
    """
    members = [np.flatnonzero(templates.label == number) for number in range(len(CLASSES))]
    present = np.array([number for number, places in enumerate(members) if len(places)])
    wanted = rng.permutation(present[np.arange(n) % len(present)])
    return np.array([members[number][rng.integers(len(members[number]))] for number in wanted], dtype=np.int64)


def observe_templates(
    templates: Templates,
    places: npt.NDArray[np.int64],
    *,
    settings: ObservationSettings,
    rng: np.random.Generator,
    scalars: tuple[Scalar, ...] = (),
    n_bins: int = 128,
    error: FloatArray | None = None,
    n_points: npt.NDArray[np.int64] | None = None,
    scalar_loss: float = 0.0,
) -> ObservedCurves:
    """Observe curves once.

    Parameters
    ----------
    templates : Templates
        Curves without noise.
    places : `~numpy.ndarray`
        Which of them, shape (n,).
    settings : ObservationSettings
        How they are observed.
    rng : `~numpy.random.Generator`
        Source of randomness.
    scalars : tuple of str, optional
        Numbers that the network takes beside the curve.
    n_bins : int, optional
        Bins of a cycle.
    error, n_points : `~numpy.ndarray`, optional
        Errors of points in magnitudes and numbers of points, shape (n,), in place of drawn ones.
    scalar_loss : float, optional
        Share of the numbers beside the curve that are hidden.

    Returns
    -------
    ObservedCurves
        The observed curves, each at a random phase.
    """
    n = len(places)
    curve = templates.mag[places, rng.integers(0, 2, n)].astype(float)
    curve = _with_third_light(curve, settings, rng)
    binary = templates.label[places] != _NOT_ECLIPSING
    curve = _with_asymmetry(curve, binary, settings, rng)
    scatter = np.hypot(templates.scatter[places], _restlessness(curve, binary, settings, rng))
    drawn = _draw_errors(np.hypot(np.ptp(curve, axis=1), 3.0 * scatter), settings, rng)
    sigma = drawn if error is None else error
    counts = _draw_counts(n, settings, rng) if n_points is None else n_points
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    star = np.repeat(np.arange(n), counts)
    phase = _phases(star, n, settings, rng)
    mag = _interpolated(curve, star, phase)
    stated = sigma * np.exp(settings.stated_scatter * rng.normal(size=n))
    mag += rng.normal(size=len(star)) * np.hypot(sigma, scatter)[star]
    _add_outliers(mag, sigma, star, settings, rng)
    shifted = phase + rng.random(n)[star]
    binned = bin_curves(shifted, mag, stated[star], offsets, n_bins=n_bins)
    beside = _scalars(scalars, binned, templates, places, scalar_loss, rng)
    return ObservedCurves(binned, templates.label[places], places, beside, sigma, counts)


def _with_third_light(curve: FloatArray, settings: ObservationSettings, rng: np.random.Generator) -> FloatArray:
    share = rng.uniform(0.0, settings.most_third_light, len(curve)) * (rng.random(len(curve)) < settings.third_light)
    flux = 10.0 ** (-0.4 * curve)
    return np.asarray(-2.5 * np.log10((1.0 - share[:, None]) * flux + share[:, None]))


def _with_asymmetry(
    curve: FloatArray, binary: npt.NDArray[np.bool_], settings: ObservationSettings, rng: np.random.Generator
) -> FloatArray:
    """Make one maximum brighter than the other."""
    has = binary & (rng.random(len(curve)) < settings.asymmetric)
    # A difference beyond a fifth of the range is another kind of star.
    most = np.minimum(settings.most_asymmetry, 0.2 * np.ptp(curve, axis=1))
    half = 0.5 * rng.uniform(-1.0, 1.0, len(curve)) * most * has
    return np.asarray(curve + half[:, None] * np.sin(2.0 * np.pi * np.arange(N_PHASES) / N_PHASES))


def _restlessness(
    curve: FloatArray, binary: npt.NDArray[np.bool_], settings: ObservationSettings, rng: np.random.Generator
) -> FloatArray:
    """Draw scatter of pairs beyond the errors: spots, blends of another variable, trends of the zero point."""
    has = binary & (rng.random(len(curve)) < settings.restless)
    return np.asarray(has * rng.uniform(0.0, settings.most_restlessness, len(curve)) * np.ptp(curve, axis=1))


def _draw_errors(height: FloatArray, settings: ObservationSettings, rng: np.random.Generator) -> FloatArray:
    most = np.clip(settings.error_over_amplitude * height, settings.least_error, settings.most_error)
    # What does not vary at all was found by chance, at any error.
    most = np.where(height > 0, most, settings.most_error)
    return np.asarray(settings.least_error * (most / settings.least_error) ** rng.random(len(height)))


def _draw_counts(n: int, settings: ObservationSettings, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    ratio = settings.most_points / settings.fewest_points
    return np.asarray(np.rint(settings.fewest_points * ratio ** rng.random(n)), dtype=np.int64)


def _phases(star: npt.NDArray[np.int64], n: int, settings: ObservationSettings, rng: np.random.Generator) -> FloatArray:
    """Draw phases evenly, but for a gap in some curves."""
    width = rng.uniform(0.0, settings.widest_gap, n) * (rng.random(n) < settings.gaps)
    begin = rng.random(n)
    return np.asarray(np.mod(begin[star] + rng.random(len(star)) * (1.0 - width[star]), 1.0))


def _interpolated(curve: FloatArray, star: npt.NDArray[np.int64], phase: FloatArray) -> FloatArray:
    place = phase * N_PHASES
    before = np.minimum(place.astype(np.int64), N_PHASES - 1)
    share = place - before
    return np.asarray((1.0 - share) * curve[star, before] + share * curve[star, (before + 1) % N_PHASES])


def _add_outliers(
    mag: FloatArray,
    sigma: FloatArray,
    star: npt.NDArray[np.int64],
    settings: ObservationSettings,
    rng: np.random.Generator,
) -> None:
    share = rng.uniform(0.0, settings.outliers, len(sigma)) if settings.outliers else np.zeros(len(sigma))
    out = np.flatnonzero(rng.random(len(mag)) < share[star])
    mag[out] += sigma[star[out]] * rng.choice((-1.0, 1.0), len(out)) * rng.uniform(3.0, 10.0, len(out))


def _scalars(
    names: tuple[Scalar, ...],
    binned: BinnedCurves,
    templates: Templates,
    places: npt.NDArray[np.int64],
    loss: float,
    rng: np.random.Generator,
) -> npt.NDArray[np.float32]:
    values: dict[Scalar, npt.ArrayLike] = {
        "log_amplitude": amplitude_logarithm(binned.amplitude),
        "log_period": np.log10(templates.period[places]),
        "VI0": templates.VI0[places],
    }
    hidden = {
        name: np.where(rng.random(len(places)) < loss, np.nan, np.asarray(column)) for name, column in values.items()
    }
    return scalar_inputs(names, hidden, len(places))
