"""Light curves of the archive turned into shapes, chunk by chunk, so that memory does not grow with the survey."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError
from cbminer.flags import Flag
from cbminer.lightcurves.cleaning import CleanedLightCurves, CleaningSettings, Reason, clean
from cbminer.lightcurves.folding import fold
from cbminer.morphology.fourier import FourierSettings, LightCurveShapes, measure_shapes
from cbminer.survey.store import LightCurveStore, StoredCurves
from cbminer.survey.textfile import SetAside

__all__ = ["MeasuredStars", "StarTask", "measure_stars", "read_and_fit"]

Advance = Callable[[int], None]


@dataclass(frozen=True)
class StarTask:
    """A star whose light curve is to be measured.

    Attributes
    ----------
    star : str
        Identifier.
    period, epoch : float
        Period and epoch of phase 0 in days; NaN where unknown.
    """

    star: str
    period: float
    epoch: float


@dataclass(frozen=True)
class FittedChunk:
    """Cleaned light curves of some stars and their shapes."""

    cleaned: CleanedLightCurves
    shapes: LightCurveShapes
    flags: npt.NDArray[np.int64]
    set_aside: list[SetAside]


@dataclass(frozen=True)
class MeasuredStars:
    """Shapes of stars and what became of their light curves.

    Attributes
    ----------
    shapes : dict of str to `~numpy.ndarray`
        Measured quantities by the name of the catalogue's column, shape (n,).
    flags : `~numpy.ndarray`
        Bits of `~cbminer.flags.Flag` about the light curves, shape (n,).
    set_aside : list of SetAside
        Lines and files that were kept out.
    counts : dict of str to int
        Light curves and points by what became of them.
    """

    shapes: dict[str, FloatArray]
    flags: npt.NDArray[np.int64]
    set_aside: list[SetAside]
    counts: dict[str, int]


def measure_stars(
    store: LightCurveStore,
    tasks: Sequence[StarTask],
    *,
    cleaning: CleaningSettings,
    fourier: FourierSettings,
    chunk: int,
    jobs: int = 1,
    strict: bool = False,
    advance: Advance | None = None,
) -> MeasuredStars:
    """Read, clean, fold and fit the light curves of stars.

    Parameters
    ----------
    store : LightCurveStore
        Where the light curves are.
    tasks : sequence of StarTask
        The stars.
    cleaning, fourier : CleaningSettings, FourierSettings
        How to clean and to fit.
    chunk : int
        Light curves in memory at a time and job.
    jobs : int, optional
        Threads.
    strict : bool, optional
        Whether a malformed line or an unreadable file is an error.
    advance : callable, optional
        Called with the number of stars done since the last call.

    Returns
    -------
    MeasuredStars
        The shapes in the order of the tasks, whatever the number of threads.

    Raises
    ------
    InputFormatError
        If `strict` and a light curve is malformed.
    """
    chunks = [tasks[first : first + chunk] for first in range(0, len(tasks), chunk)]

    def work(part: Sequence[StarTask]) -> MeasuredStars:
        measured = _summarise(read_and_fit(store, part, cleaning=cleaning, fourier=fourier, strict=strict), part)
        if advance is not None:
            advance(len(part))
        return measured

    if jobs <= 1 or len(chunks) <= 1:
        return _join([work(part) for part in chunks])
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(work, part) for part in chunks]
        try:
            return _join([future.result() for future in futures])
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def read_and_fit(
    store: LightCurveStore,
    tasks: Sequence[StarTask],
    *,
    cleaning: CleaningSettings,
    fourier: FourierSettings,
    strict: bool = False,
) -> FittedChunk:
    """Read, clean, fold and fit a few light curves, keeping their points.

    Parameters
    ----------
    store : LightCurveStore
        Where the light curves are.
    tasks : sequence of StarTask
        The stars.
    cleaning, fourier : CleaningSettings, FourierSettings
        How to clean and to fit.
    strict : bool, optional
        Whether a malformed line or an unreadable file is an error.

    Returns
    -------
    FittedChunk
        Points, phases, fits and flags in the order of the tasks.

    Raises
    ------
    InputFormatError
        If `strict` and a light curve is malformed.
    """
    stored = store.read([task.star for task in tasks])
    if strict:
        _refuse_malformed(stored)
    packed = stored.curves
    flags = _reading_flags(stored)
    period = np.array([task.period for task in tasks], dtype=float)
    epoch = np.array([task.epoch for task in tasks], dtype=float)
    # Any epoch will do: the fit finds the minimum. A fixed one serves stars without their own.
    phase = fold(packed.time, packed.offsets, period, np.where(np.isnan(epoch), 2450000.0, epoch))
    cleaned = clean(packed, phase, settings=cleaning)
    shapes = measure_shapes(cleaned.curves, cleaned.phase, settings=fourier)
    return FittedChunk(cleaned, shapes, flags | _shape_flags(shapes, flags, fourier), _set_aside(stored))


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


def _shape_flags(
    shapes: LightCurveShapes, flags: npt.NDArray[np.int64], fourier: FourierSettings
) -> npt.NDArray[np.int64]:
    has_curve = (flags & (Flag.NO_LIGHT_CURVE | Flag.LIGHT_CURVE_UNREADABLE)) == 0
    few = shapes.n_points < fourier.min_points
    gap = ~few & (shapes.phase_gap > fourier.max_phase_gap)
    limited = (shapes.n_harmonics > 0) & (shapes.n_points < fourier.points_per_term * (2 * fourier.order_max + 1))
    found = np.zeros(len(flags), dtype=np.int64)
    for mask, flag in (
        (few, Flag.TOO_FEW_POINTS),
        (gap, Flag.PHASE_GAP),
        (limited, Flag.FEW_POINTS),
    ):
        found |= np.where(mask & has_curve, int(flag), 0)
    return found


_MEASURED = (
    [item.name for item in fields(LightCurveShapes) if item.name.startswith("e_")]
    + [item.name.removeprefix("e_") for item in fields(LightCurveShapes) if item.name.startswith("e_")]
    + ["phase_gap", "scatter", "noise", "excess_scatter"]
)


def _summarise(chunk: FittedChunk, tasks: Sequence[StarTask]) -> MeasuredStars:
    shapes = {name: getattr(chunk.shapes, name) for name in _MEASURED}
    read = (chunk.flags & (Flag.NO_LIGHT_CURVE | Flag.LIGHT_CURVE_UNREADABLE)) == 0
    fitted = chunk.shapes.n_harmonics > 0
    for name in ("phase_gap", "noise"):
        shapes[name] = np.where(chunk.shapes.n_points > 0, shapes[name], np.nan)
    reasons = chunk.cleaned.reasons
    shapes["n_points"] = np.where(read, reasons[:, Reason.KEPT], -1).astype(float)
    shapes["n_rejected"] = np.where(read, reasons[:, 1:].sum(axis=1), -1).astype(float)
    shapes["n_harmonics"] = np.where(fitted, chunk.shapes.n_harmonics, -1).astype(float)
    counts = {
        "light curves wanted": len(tasks),
        "light curves read": int(read.sum()),
        "light curves missing": int(((chunk.flags & Flag.NO_LIGHT_CURVE) != 0).sum()),
        "light curves unreadable": int(((chunk.flags & Flag.LIGHT_CURVE_UNREADABLE) != 0).sum()),
        "light curves fitted": int(fitted.sum()),
    }
    counts |= {f"points: {reason.name.lower().replace('_', ' ')}": int(reasons[:, reason].sum()) for reason in Reason}
    return MeasuredStars(shapes, chunk.flags, chunk.set_aside, counts)


def _join(parts: Sequence[MeasuredStars]) -> MeasuredStars:
    if not parts:
        names = [*_MEASURED, "n_points", "n_rejected", "n_harmonics"]
        return MeasuredStars({name: np.empty(0) for name in names}, np.empty(0, dtype=np.int64), [], {})
    shapes = {name: np.concatenate([part.shapes[name] for part in parts]) for name in parts[0].shapes}
    flags = np.concatenate([part.flags for part in parts])
    set_aside = [item for part in parts for item in part.set_aside]
    counts = {name: sum(part.counts[name] for part in parts) for name in parts[0].counts}
    return MeasuredStars(shapes, flags, set_aside, counts)
