"""Light curves without noise that the training draws from: those of a synthetic library, and what a library lacks.

A library holds pairs on circular orbits, and what a survey lists among them by mistake. A classifier also meets
eccentric pairs, cool ones, pulsating stars at their own period, stars that hardly vary, and pairs folded at a wrong
period.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from cbminer.classifier.classes import CLASS_OF_KIND, CLASSES, classes_of_kinds
from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError
from cbminer.synthetic.cadence import Band
from cbminer.synthetic.limb_darkening import LimbDarkening
from cbminer.synthetic.passbands import standard_passband
from cbminer.synthetic.roche import RocheEngine
from cbminer.synthetic.shapes import EclipsingShape
from cbminer.synthetic.systems import BinarySystems

__all__ = [
    "N_PHASES",
    "Templates",
    "cool_contacts",
    "curve_templates",
    "detached_spheres",
    "library_templates",
    "single_stars",
    "wrong_periods",
]

N_PHASES = 256
_GRID = np.arange(N_PHASES) / N_PHASES
_NUMBERS = ("period", "VI0", "inclination", "scatter_I", "radius_1", "radius_2", "separation")
_NEEDED = ("kind", *_NUMBERS, "flux_I", "flux_V")
# Linear limb darkening of cool stars: round numbers.
_COOL_LIMB: tuple[tuple[Band, float], ...] = (("I", 0.50), ("V", 0.65))
_Magnitudes = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Templates:
    """Light curves without noise of n stars.

    Attributes
    ----------
    mag : `~numpy.ndarray`
        Magnitudes below maximum light in I and in V at evenly spaced phases, float32, shape (n, 2, N_PHASES).
    label : `~numpy.ndarray`
        Places in `CLASSES`, shape (n,).
    kind : `~numpy.ndarray`
        What each is, in words, shape (n,).
    scatter : `~numpy.ndarray`
        Root mean square of what changes from cycle to cycle, in magnitudes, shape (n,).
    period, VI0, inclination : `~numpy.ndarray`
        Period in days, colour in magnitudes and inclination in degrees; NaN where there is none, shape (n,).
    """

    mag: _Magnitudes
    label: npt.NDArray[np.int64]
    kind: npt.NDArray[np.str_]
    scatter: FloatArray
    period: FloatArray
    VI0: FloatArray
    inclination: FloatArray

    def __len__(self) -> int:
        """Count the curves."""
        return len(self.label)

    def at(self, places: npt.NDArray[np.intp]) -> Self:
        """Take some of the curves.

        Parameters
        ----------
        places : `~numpy.ndarray`
            Their places.

        Returns
        -------
        Templates
            They alone.
        """
        return type(self)(*(getattr(self, name)[places] for name in self.__dataclass_fields__))

    @classmethod
    def join(cls, parts: list[Self]) -> Self:
        """Put sets of curves one after the other.

        Parameters
        ----------
        parts : list of Templates
            The sets.

        Returns
        -------
        Templates
            All of them.
        """
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))


def library_templates(path: Path) -> Templates:
    """Read the curves of a synthetic library.

    Parameters
    ----------
    path : `~pathlib.Path`
        Parquet file of ``cbminer synth library``.

    Returns
    -------
    Templates
        Its curves.

    Raises
    ------
    InputFormatError
        If the file is missing, damaged or no library.
    """
    try:
        table = pq.read_table(path, columns=list(_NEEDED))
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        msg = f"{path} is no synthetic library that can be read ({reason}): make one with cbminer synth library"
        raise InputFormatError(msg) from error
    if json.loads((table.schema.metadata or {}).get(b"cbminer", b"{}")).get("simulated") is not True or not len(table):
        msg = f"{path} is no synthetic library with curves: make one with cbminer synth library"
        raise InputFormatError(msg)
    kinds = np.array(table["kind"].to_pylist(), dtype=str)
    unknown = sorted(set(kinds) - set(CLASS_OF_KIND))
    if unknown:
        msg = f"{path}, column kind: {unknown[0]} is not a kind of this version: make the library again"
        raise InputFormatError(msg)
    flux = np.stack([_flux(table[f"flux_{band}"], path) for band in ("I", "V")], axis=1)
    columns = {name: table[name].to_numpy().astype(float) for name in _NUMBERS}
    return curve_templates(kinds, flux, columns)


def curve_templates(
    kinds: npt.NDArray[np.str_], flux: npt.NDArray[np.floating[Any]], columns: Mapping[str, FloatArray]
) -> Templates:
    """Make templates of rows of a library.

    Parameters
    ----------
    kinds : `~numpy.ndarray` of str
        Kinds of the stars, shape (n,).
    flux : `~numpy.ndarray`
        Flux in I and V at evenly spaced phases, in any unit, shape (n, 2, phases).
    columns : mapping
        Columns of truth by name: period, colour, inclination, radii, separation and scatter, shape (n,) each.

    Returns
    -------
    Templates
        The curves. A pair out of contact that is seen without eclipses is an ellipsoidal variable.
    """
    return Templates(
        mag=_magnitudes(flux),
        label=_labels(kinds, columns),
        kind=kinds,
        scatter=np.nan_to_num(columns["scatter_I"]),
        period=columns["period"],
        VI0=columns["VI0"],
        inclination=columns["inclination"],
    )


def _labels(kinds: npt.NDArray[np.str_], columns: Mapping[str, FloatArray]) -> npt.NDArray[np.int64]:
    label = classes_of_kinds(kinds)
    radii = (columns["radius_1"] + columns["radius_2"]) / columns["separation"]
    with np.errstate(invalid="ignore"):
        uneclipsed = np.cos(np.radians(columns["inclination"])) >= radii
    apart = (label == CLASSES.index("near_contact")) | (label == CLASSES.index("detached"))
    return np.where(apart & uneclipsed, CLASSES.index("ellipsoidal"), label)


def _flux(column: pa.ChunkedArray, path: Path) -> FloatArray:
    flux = np.concatenate([chunk.flatten().to_numpy() for chunk in column.chunks]).reshape(len(column), -1)
    if not (np.isfinite(flux) & (flux > 0)).all():
        msg = f"{path} holds fluxes that are no positive numbers: make the library again"
        raise InputFormatError(msg)
    return flux.astype(float)


def _magnitudes(flux: npt.NDArray[np.floating[Any]]) -> _Magnitudes:
    """Magnitudes at `N_PHASES` phases from fluxes at others, evenly spaced."""
    n = flux.shape[-1]
    place = _GRID * n
    before = place.astype(int)
    share = place - before
    resampled = (1.0 - share) * flux[..., before] + share * flux[..., (before + 1) % n]
    return np.asarray(-2.5 * np.log10(resampled / resampled.max(axis=-1, keepdims=True)), dtype=np.float32)


def detached_spheres(n: int, rng: np.random.Generator) -> Templates:
    """Draw detached pairs beyond those of a library: eccentric ones, and ones whose stars have evolved apart.

    Parameters
    ----------
    n : int
        How many.
    rng : `~numpy.random.Generator`
        Source of randomness.

    Returns
    -------
    Templates
        Two spheres each with eclipses deeper than 0.05 mag in I, their temperatures without a relation to their
        masses; ranges are round numbers.
    """
    curves: list[FloatArray] = []
    inclination: list[float] = []
    while len(curves) < n:
        shape = _draw_spheres(rng)
        curve = np.stack([shape.relative_magnitude(_GRID, "I"), shape.relative_magnitude(_GRID, "V")])
        curve -= curve.min(axis=-1, keepdims=True)
        if curve[0].max() > 0.05:
            curves.append(curve)
            inclination.append(float(np.degrees(shape.inclination)))
    return replace(_of_class("detached", "spheres", curves), inclination=np.array(inclination))


def _draw_spheres(rng: np.random.Generator) -> EclipsingShape:
    eccentricity = float(rng.uniform(0.0, 0.5)) if rng.random() < 0.5 else 0.0
    largest = 0.2 if eccentricity else 0.32
    radii = rng.uniform(0.03, largest) * np.array([1.0, rng.uniform(0.3, 1.0)])
    # Not so near at periastron that the stars would touch.
    radii *= min(1.0, 0.6 * (1.0 - eccentricity) / radii.sum())
    teff = 8000.0 * 4.0 ** rng.random()
    return EclipsingShape(
        radius_1=float(radii[0]),
        radius_2=float(radii[1]),
        teff_1=float(teff),
        teff_2=float(teff * rng.uniform(0.4, 1.05)),
        mass_ratio=float(rng.uniform(0.3, 1.0)),
        inclination=float(np.arccos(rng.uniform(0.0, 0.9) * radii.sum() / (1.0 - eccentricity**2))),
        eccentricity=eccentricity,
        periastron=float(rng.uniform(0.0, 2.0 * np.pi)),
    )


def cool_contacts(n: int, rng: np.random.Generator) -> Templates:
    """Draw contact binaries of solar type: the foreground of any survey, and most of the labelled ones there are.

    Parameters
    ----------
    n : int
        How many.
    rng : `~numpy.random.Generator`
        Source of randomness.

    Returns
    -------
    Templates
        Curves of the Roche engine with convective envelopes (gravity darkening 0.32, albedo 0.5) and mass ratios
        down to 0.08, with eclipses; ranges are round numbers.
    """
    teff = rng.uniform(4500.0, 7000.0, n)
    systems = BinarySystems.contact(
        rng.uniform(0.08, 1.0, n),
        np.degrees(np.arccos(rng.uniform(0.0, 0.75, n))),
        fillout_factor=rng.uniform(0.0, 0.8, n),
        teff_1=teff,
        teff_2=np.clip(1.0 + 0.04 * rng.normal(size=n), 0.85, 1.1) * teff,
        gravity_darkening=0.32,
        albedo=0.5,
    )
    bands = [standard_passband(name).darkened_by(LimbDarkening("linear", (value,))) for name, value in _COOL_LIMB]
    flux = RocheEngine(passbands=bands, n_bands=24).light_curves(systems, np.arange(N_PHASES) / N_PHASES)
    part = _of_class("contact", "cool contact", list(_magnitudes(flux)))
    return replace(part, inclination=np.asarray(systems.inclination, dtype=float))


def single_stars(n: int, rng: np.random.Generator) -> Templates:
    """Draw stars that are no pairs: pulsators at their period and at twice of it, waves, and hardly anything.

    Parameters
    ----------
    n : int
        How many.
    rng : `~numpy.random.Generator`
        Source of randomness.

    Returns
    -------
    Templates
        Their curves; ranges are round numbers.
    """
    drawn = [_SINGLE[rng.choice(len(_SINGLE), p=_SINGLE_WEIGHTS)](rng) for _ in range(n)]
    part = _of_class("not_eclipsing", "", [curve for curve, _, _ in drawn])
    return replace(
        part,
        kind=np.array([kind for _, _, kind in drawn], dtype=str),
        scatter=np.array([scatter for _, scatter, _ in drawn]),
    )


_Drawn = tuple[FloatArray, float, str]


def _in_both_bands(curve: FloatArray, ratio: float) -> FloatArray:
    """Magnitudes below maximum in I, and in V with a range that is larger by a ratio."""
    below = curve - curve.min()
    return np.stack([below, ratio * below])


def _pulsation(rng: np.random.Generator, phase: FloatArray, *, roundest: float) -> FloatArray:
    """Draw a quick rise and a slow decline, maxima narrower than minima, over a whole number of pulsations."""
    rise = rng.uniform(0.08, roundest)
    phase = np.mod(phase, 1.0)
    angle = np.where(phase < rise, 1.0 - phase / rise, (phase - rise) / (1.0 - rise))
    height = (0.5 + 0.5 * np.cos(np.pi * angle)) ** rng.uniform(0.7, 2.0)
    # A bump on the descent, as many Cepheids and RR Lyrae stars have.
    bump = rng.uniform(0.0, 0.15) * np.cos(2 * np.pi * (rng.integers(2, 5) * phase + rng.random()))
    return np.asarray(-_amplitude(rng) * (height + bump))


def _amplitude(rng: np.random.Generator) -> float:
    return float(0.03 * 130.0 ** rng.random())


def _pulsator(rng: np.random.Generator) -> _Drawn:
    curve = _pulsation(rng, _GRID, roundest=0.5)
    # Modulation, a second mode or an error of the period leave scatter that goes with the amplitude.
    scatter = float(np.ptp(curve) * rng.uniform(0.0, 0.25) * (rng.random() < 0.5))
    return _in_both_bands(curve, rng.uniform(1.3, 1.8)), scatter, "pulsator"


def _doubled_pulsator(rng: np.random.Generator) -> _Drawn:
    curve = _pulsation(rng, 2.0 * _GRID, roundest=0.46)
    scatter = float(np.ptp(curve) * rng.uniform(0.0, 0.2) * (rng.random() < 0.5))
    return _in_both_bands(curve, rng.uniform(1.3, 1.8)), scatter, "pulsator at twice its period"


def _wave(rng: np.random.Generator) -> _Drawn:
    amplitude = 0.01 * 30.0 ** rng.random()
    second = rng.uniform(0.0, 0.3) * np.cos(2 * np.pi * (2.0 * _GRID + rng.random()))
    curve = amplitude * (0.5 * np.cos(2 * np.pi * _GRID) + second)
    return _in_both_bands(curve, rng.uniform(0.9, 1.3)), float(amplitude * rng.uniform(0.0, 0.8)), "wave"


def _irregular(rng: np.random.Generator) -> _Drawn:
    scatter = 0.01 * 20.0 ** rng.random()
    curve = np.zeros_like(_GRID)
    for order in range(1, 5):
        curve += (
            rng.normal() * scatter * rng.uniform(0.0, 1.0) / order * np.cos(2 * np.pi * (order * _GRID + rng.random()))
        )
    return _in_both_bands(curve, 1.0), float(scatter), "irregular"


def _constant(_rng: np.random.Generator) -> _Drawn:
    return np.zeros((2, N_PHASES)), 0.0, "constant"


_SINGLE = (_pulsator, _doubled_pulsator, _wave, _irregular, _constant)
_SINGLE_WEIGHTS = (0.4, 0.15, 0.2, 0.2, 0.05)


def wrong_periods(pairs: Templates, n: int, rng: np.random.Generator) -> Templates:
    """Fold pairs at wrong periods: at half of it, at twice of it, or at one that has nothing to do with it.

    Parameters
    ----------
    pairs : Templates
        Pairs at their periods. Detached ones are not halved: with equal minima they look like pairs at their period
        whose secondary minimum is not seen.
    n : int
        How many.
    rng : `~numpy.random.Generator`
        Source of randomness.

    Returns
    -------
    Templates
        Their curves, of the class of what does not eclipse. What two cycles leave beside their mean is scatter.
    """
    detached = CLASSES.index("detached")
    chosen = pairs.at(rng.choice(len(pairs), n))
    fold = rng.choice(3, n, p=(0.4, 0.4, 0.2))
    fold = np.where((fold == 0) & (chosen.label == detached), 1, fold)
    mag, scatter = np.empty_like(chosen.mag), chosen.scatter.copy()
    for place in range(n):
        mag[place], more = _misfold(chosen.mag[place], int(fold[place]), rng)
        scatter[place] = np.hypot(scatter[place], more)
    words = np.array(["pair at half its period", "pair at twice its period", "pair at an unrelated period"])
    factor = np.array([0.5, 2.0, np.nan])[fold]
    unknown = np.full(n, np.nan)
    label = np.full(n, CLASSES.index("not_eclipsing"))
    return Templates(mag, label, words[fold], scatter, chosen.period * factor, chosen.VI0, unknown)


def _misfold(curve: _Magnitudes, fold: int, rng: np.random.Generator) -> tuple[_Magnitudes, float]:
    if fold == 0:
        # The largest half difference stands for the scatter, which is not even over the phases.
        halves = curve.reshape(2, 2, N_PHASES // 2)
        mean = halves.mean(axis=1)
        return np.repeat(mean, 2, axis=-1), float(0.5 * np.ptp(halves[0], axis=0).max())
    if fold == 1:
        return np.concatenate([curve[:, ::2], curve[:, ::2]], axis=-1), 0.0
    # Phases without a relation: every magnitude of the curve at any phase, and some structure by chance.
    scatter = float(curve[0].std())
    chance = scatter * rng.uniform(0.0, 0.4) * np.cos(2 * np.pi * (_GRID + rng.random()))
    return np.asarray(np.stack([chance, chance]) - chance.min(), dtype=np.float32), scatter


def _of_class(name: str, kind: str, curves: Sequence[npt.NDArray[Any]]) -> Templates:
    n = len(curves)
    unknown = np.full(n, np.nan)
    label = np.full(n, [item == name for item in CLASSES].index(True))
    return Templates(
        np.array(curves, dtype=np.float32).reshape(n, 2, N_PHASES),
        label,
        np.full(n, kind),
        np.zeros(n),
        unknown,
        unknown.copy(),
        unknown.copy(),
    )
