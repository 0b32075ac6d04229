"""Light curves turned into shapes, classes and periods, a chunk of stars at a time."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from cbminer.catalogue.schema import spec_of
from cbminer.classifier.classes import CLASSES
from cbminer.classifier.prediction import ClassifierSettings, ClassProbabilities, classifier_model, classify
from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError
from cbminer.flags import Flag
from cbminer.lightcurves.adoption import (
    SOURCES,
    AdoptedPeriods,
    AdoptionSettings,
    adopt_periods,
    judgement_columns,
    variability,
)
from cbminer.lightcurves.cleaning import CleanedLightCurves, CleaningSettings, Reason, clean
from cbminer.lightcurves.folding import fold
from cbminer.lightcurves.period_search import PeriodSearchSettings
from cbminer.lightcurves.periods import PeriodSettings, PeriodVerdict
from cbminer.morphology.embedding import embedding_model
from cbminer.morphology.fourier import FourierSettings
from cbminer.morphology.shape import LightCurveShapes, ShapeSettings, measure_shapes
from cbminer.survey.packed import PackedLightCurves
from cbminer.survey.store import LightCurveStore, StoredCurves
from cbminer.survey.textfile import SetAside

__all__ = [
    "FittedChunk",
    "MeasuredStars",
    "MeasurementSettings",
    "StarTask",
    "fit_curves",
    "join_measured",
    "read_and_fit",
    "single_threaded_algebra",
    "summarise",
]

# Epoch of phase 0 of stars without their own: any will do, the fit finds the minimum.
_ANY_EPOCH = 2450000.0


@dataclass(frozen=True)
class MeasurementSettings:
    """Settings of all that is done to a light curve."""

    cleaning: CleaningSettings = field(default_factory=CleaningSettings)
    period_choice: AdoptionSettings = field(default_factory=AdoptionSettings)
    periods: PeriodSettings = field(default_factory=PeriodSettings)
    period_search: PeriodSearchSettings = field(default_factory=PeriodSearchSettings)
    fourier: FourierSettings = field(default_factory=FourierSettings)
    shape: ShapeSettings = field(default_factory=ShapeSettings)
    classifier: ClassifierSettings = field(default_factory=ClassifierSettings)


@dataclass(frozen=True)
class StarTask:
    """A star whose light curve is to be measured.

    Attributes
    ----------
    star : str
        Identifier.
    period, epoch : float
        Period and epoch of phase 0 in days; NaN where unknown.
    VI0 : float
        Dereddened colour in mag, for a classifier that takes it; NaN where unknown.
    """

    star: str
    period: float
    epoch: float
    VI0: float = np.nan


@dataclass(frozen=True)
class FittedChunk:
    """Cleaned light curves of some stars, their periods, their shapes and their classes."""

    cleaned: CleanedLightCurves
    periods: AdoptedPeriods
    shapes: LightCurveShapes
    classes: ClassProbabilities
    flags: npt.NDArray[np.int64]
    set_aside: list[SetAside]
    # Points of a file without a magnitude, which are no points of the curve.
    n_missing: int = 0


@dataclass(frozen=True)
class MeasuredStars:
    """Shapes of stars and what became of their light curves.

    Attributes
    ----------
    shapes : dict of str to `~numpy.ndarray`
        Measured quantities by the name of the catalogue's column, shape (n,).
    labels : dict of str to `~numpy.ndarray`
        Words in the same way, empty where there is none.
    flags : `~numpy.ndarray`
        Bits of `~cbminer.flags.Flag` about the light curves, shape (n,).
    set_aside : list of SetAside
        Lines and files that were kept out.
    counts : dict of str to int
        Light curves and points by what became of them.
    """

    shapes: dict[str, FloatArray]
    labels: dict[str, npt.NDArray[np.str_]]
    flags: npt.NDArray[np.int64]
    set_aside: list[SetAside]
    counts: dict[str, int]


def single_threaded_algebra() -> AbstractContextManager[Any]:
    """Keep numpy's linear algebra to one thread, for as long as threads share the stars.

    Returns
    -------
    context manager
        To be entered once, around the threads.
    """
    limits: AbstractContextManager[Any] = threadpool_limits(limits=1, user_api="blas")
    return limits


def read_and_fit(
    store: LightCurveStore,
    tasks: Sequence[StarTask],
    *,
    settings: MeasurementSettings,
    strict: bool = False,
) -> FittedChunk:
    """Read, clean, fold, fit and classify a few light curves, keeping their points.

    Parameters
    ----------
    store : LightCurveStore
        Where the light curves are.
    tasks : sequence of StarTask
        The stars.
    settings : MeasurementSettings
        How to clean, to fold, to fit and to classify.
    strict : bool, optional
        Whether a malformed line or an unreadable file is an error.

    Returns
    -------
    FittedChunk
        Points, phases, fits, classes and flags in the order of the tasks.

    Raises
    ------
    InputFormatError
        If `strict` and a light curve is malformed.
    """
    stored = store.read([task.star for task in tasks])
    if strict:
        _refuse_malformed(stored)
    fitted = fit_curves(stored.curves, tasks, settings=settings)
    flags = _reading_flags(stored)
    known = (flags & (Flag.NO_LIGHT_CURVE | Flag.LIGHT_CURVE_UNREADABLE)) == 0
    return replace(fitted, flags=flags | np.where(known, fitted.flags, 0), set_aside=_set_aside(stored))


def fit_curves(curves: PackedLightCurves, tasks: Sequence[StarTask], *, settings: MeasurementSettings) -> FittedChunk:
    """Clean, fold, fit and classify light curves.

    Parameters
    ----------
    curves : PackedLightCurves
        The light curves.
    tasks : sequence of StarTask
        Periods and epochs of the same stars.
    settings : MeasurementSettings
        How to clean, to fold, to fit and to classify.

    Returns
    -------
    FittedChunk
        Points, phases, fits, classes and flags in the order of the tasks.

    Raises
    ------
    SettingsError
        If there is no such classifier.
    """
    period = np.array([task.period for task in tasks], dtype=float)
    epoch = np.array([task.epoch for task in tasks], dtype=float)
    epoch = np.where(np.isnan(epoch), _ANY_EPOCH, epoch)
    cleaned = clean(curves, fold(curves.time, curves.offsets, period, epoch), settings=settings.cleaning)
    adopted = adopt_periods(
        cleaned.curves,
        period,
        settings=settings.period_choice,
        periods=settings.periods,
        search=settings.period_search,
    )
    # Outliers are those beside their neighbours in phase, so that another period asks for another look.
    cleaned = clean(curves, fold(curves.time, curves.offsets, adopted.period, epoch), settings=settings.cleaning)
    shapes = measure_shapes(cleaned.curves, cleaned.phase, fourier=settings.fourier, shape=settings.shape)
    adopted = _with_epochs(adopted, shapes, cleaned.curves, epoch)
    classes = _classes(cleaned, adopted, shapes, tasks, settings.classifier)
    return FittedChunk(cleaned, adopted, shapes, classes, _fit_flags(shapes, adopted, settings.fourier), [])


def _classes(
    cleaned: CleanedLightCurves,
    adopted: AdoptedPeriods,
    shapes: LightCurveShapes,
    tasks: Sequence[StarTask],
    settings: ClassifierSettings,
) -> ClassProbabilities:
    """Probabilities of the classes, as the catalogue rounds them: what is published is what names the class."""
    curves = cleaned.curves
    found = classify(
        cleaned.phase,
        curves.mag,
        curves.mag_err,
        curves.offsets,
        model=classifier_model(settings.model),
        settings=settings,
        period=adopted.period,
        VI0=[task.VI0 for task in tasks],
    )
    # Too few points for a shape are too few for a class.
    fitted = (shapes.n_harmonics > 0)[:, np.newaxis]
    rounded = (np.round(data, spec_of("P_contact").decimals) for data in (found.probability, found.e_probability))
    return ClassProbabilities(*(np.where(fitted, data, np.nan) for data in rounded))


def _reading_flags(stored: StoredCurves) -> npt.NDArray[np.int64]:
    flags = np.where(stored.found, 0, int(Flag.NO_LIGHT_CURVE)).astype(np.int64)
    flags[list(stored.unreadable)] |= int(Flag.LIGHT_CURVE_UNREADABLE)
    flags[list(stored.set_aside)] |= int(Flag.LIGHT_CURVE_DAMAGED)
    return flags


def _set_aside(stored: StoredCurves) -> list[SetAside]:
    """Files and lines that were left out, in the order of the stars."""
    items: list[SetAside] = []
    for index in sorted({*stored.unreadable, *stored.set_aside}):
        star = stored.curves.stars[index]
        if index in stored.unreadable:
            items.append(SetAside(f"phot/I/{star}.dat", 0, star, stored.unreadable[index], ""))
        items += stored.set_aside.get(index, [])
    return items


def _refuse_malformed(stored: StoredCurves) -> None:
    for item in _set_aside(stored):
        place = f"{item.file}, line {item.line}: {item.reason}" if item.line else item.reason
        msg = f"{place}. Mend it, or read without --strict to set it aside"
        raise InputFormatError(msg)


def _with_epochs(
    adopted: AdoptedPeriods, shapes: LightCurveShapes, curves: PackedLightCurves, epoch: FloatArray
) -> AdoptedPeriods:
    """Take the epoch of the minimum that the shape calls the deeper one, nearest to the mean of the times."""
    counts = np.diff(curves.offsets)
    star = np.repeat(np.arange(len(counts)), counts)
    mean = np.bincount(star, weights=curves.time, minlength=len(counts)) / np.maximum(counts, 1)
    cycles = (mean - epoch) / adopted.period
    minimum = epoch + (shapes.phase_zero + np.round(cycles - shapes.phase_zero)) * adopted.period
    known = np.isfinite(minimum) & (shapes.n_harmonics > 0)
    return replace(
        adopted,
        epoch=np.where(known, minimum, adopted.epoch),
        e_epoch=np.where(known, shapes.e_phase_zero * adopted.period, adopted.e_epoch),
    )


def _fit_flags(shapes: LightCurveShapes, adopted: AdoptedPeriods, fourier: FourierSettings) -> npt.NDArray[np.int64]:
    few = shapes.n_points < fourier.min_points
    doubted = ~np.isin(adopted.listed.verdict, (PeriodVerdict.CONFIRMED, PeriodVerdict.UNDECIDED))
    unlike = np.nan_to_num(shapes.c_distance) > embedding_model().reach[0]
    limited = (shapes.n_harmonics > 0) & (shapes.n_points < fourier.points_per_term * (2 * fourier.order_max + 1))
    flags = np.zeros(len(few), dtype=np.int64)
    for mask, flag in (
        (few, Flag.TOO_FEW_POINTS),
        (~few & (shapes.phase_gap > fourier.max_phase_gap), Flag.PHASE_GAP),
        (limited, Flag.FEW_POINTS),
        (doubted, Flag.PERIOD_DOUBTED),
        (adopted.source > SOURCES.index("refined"), Flag.PERIOD_REPLACED),
        (adopted.ambiguous, Flag.PERIOD_AMBIGUOUS),
        (unlike, Flag.C_EXTRAPOLATED),
    ):
        flags |= np.where(mask, int(flag), 0)
    return flags


def _aliases(adopted: AdoptedPeriods) -> npt.NDArray[np.str_]:
    names = [adopted.found[place].alias if place in adopted.found else "" for place in range(len(adopted.period))]
    return np.array(names, dtype=str)


_MEASURED = (
    [item.name for item in fields(LightCurveShapes) if item.name.startswith("e_") and item.name != "e_phase_zero"]
    + [
        item.name.removeprefix("e_")
        for item in fields(LightCurveShapes)
        if item.name.startswith("e_") and item.name != "e_phase_zero"
    ]
    + ["phase_gap", "scatter", "noise", "excess_scatter", "c_distance"]
)


def summarise(chunk: FittedChunk, tasks: Sequence[StarTask], *, classifier: ClassifierSettings) -> MeasuredStars:
    """Turn fits into columns and counts.

    Parameters
    ----------
    chunk : FittedChunk
        Fits.
    tasks : sequence of StarTask
        Their stars.
    classifier : ClassifierSettings
        How they were classified.

    Returns
    -------
    MeasuredStars
        What a catalogue holds of them.
    """
    shapes = {name: getattr(chunk.shapes, name) for name in _MEASURED}
    read = (chunk.flags & (Flag.NO_LIGHT_CURVE | Flag.LIGHT_CURVE_UNREADABLE)) == 0
    fitted = chunk.shapes.n_harmonics > 0
    for name in ("phase_gap", "noise"):
        shapes[name] = np.where(chunk.shapes.n_points > 0, shapes[name], np.nan)
    reasons = chunk.cleaned.reasons
    shapes["n_points"] = np.where(read, reasons[:, Reason.KEPT], -1).astype(float)
    shapes["n_rejected"] = np.where(read, reasons[:, 1:].sum(axis=1), -1).astype(float)
    shapes["n_harmonics"] = np.where(fitted, chunk.shapes.n_harmonics, -1).astype(float)
    adopted = chunk.periods
    shapes |= {name: np.where(read, data, np.nan) for name, data in judgement_columns(adopted).items()}
    shapes |= {
        "period": adopted.period,
        "e_period": adopted.e_period,
        "T0_fit": adopted.epoch,
        "e_T0_fit": adopted.e_epoch,
    }
    shapes |= chunk.classes.columns()
    verdicts = np.array([item.name.lower() for item in PeriodVerdict])[adopted.listed.verdict]
    labels = {
        "period_verdict": np.where(read, verdicts, ""),
        "period_source": np.array(SOURCES)[adopted.source],
        "period_alias": _aliases(adopted),
        "variability": np.where(read, variability(adopted), ""),
    }
    labels |= _class_labels(chunk.classes, classifier)
    counts = {
        "light curves wanted": len(tasks),
        "light curves read": int(read.sum()),
        "light curves missing": int(((chunk.flags & Flag.NO_LIGHT_CURVE) != 0).sum()),
        "light curves unreadable": int(((chunk.flags & Flag.LIGHT_CURVE_UNREADABLE) != 0).sum()),
        "light curves fitted": int(fitted.sum()),
    }
    counts |= {f"points: {reason.name.lower().replace('_', ' ')}": int(reasons[:, reason].sum()) for reason in Reason}
    counts |= {
        f"periods: {item.name.lower().replace('_', ' ')}": int((verdicts[read] == item.name.lower()).sum())
        for item in PeriodVerdict
    }
    counts["periods: replaced"] = int(((chunk.flags & Flag.PERIOD_REPLACED) != 0).sum())
    counts |= {
        f"classes: {name.replace('_', ' ')}": int((labels["light_curve_class"] == name).sum())
        for name in (*CLASSES, "undecided")
    }
    return MeasuredStars(shapes, labels, chunk.flags, chunk.set_aside, counts)


def _class_labels(classes: ClassProbabilities, settings: ClassifierSettings) -> dict[str, npt.NDArray[np.str_]]:
    version = classifier_model(settings.model).version
    return {
        "light_curve_class": classes.labels(settings.least_probability),
        "classifier_version": np.where(classes.known, version, ""),
    }


def join_measured(parts: Sequence[MeasuredStars]) -> MeasuredStars:
    """Put what was measured of chunks one behind another.

    Parameters
    ----------
    parts : sequence of MeasuredStars
        The chunks; there may be none.

    Returns
    -------
    MeasuredStars
        The stars of all of them.
    """
    if not parts:
        names = [*_MEASURED, "n_points", "n_rejected", "n_harmonics", "period"]
        return MeasuredStars({name: np.empty(0) for name in names}, {}, np.empty(0, dtype=np.int64), [], {})
    shapes = {name: np.concatenate([part.shapes[name] for part in parts]) for name in parts[0].shapes}
    labels = {name: np.concatenate([part.labels[name] for part in parts]) for name in parts[0].labels}
    flags = np.concatenate([part.flags for part in parts])
    set_aside = [item for part in parts for item in part.set_aside]
    counts = {name: sum(part.counts[name] for part in parts) for name in parts[0].counts}
    return MeasuredStars(shapes, labels, flags, set_aside, counts)
