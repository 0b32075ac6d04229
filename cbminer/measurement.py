"""Light curves of the archive turned into shapes, chunk by chunk, so that memory does not grow with the survey."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError
from cbminer.flags import Flag
from cbminer.lightcurves.cleaning import CleanedLightCurves, CleaningSettings, Reason, clean
from cbminer.lightcurves.folding import fold
from cbminer.morphology.fourier import FourierSettings, LightCurveShapes, measure_shapes
from cbminer.survey.packed import pack_light_curves
from cbminer.survey.photometry_file import LightCurve, read_light_curve
from cbminer.survey.textfile import SetAside

__all__ = ["MeasuredStars", "StarTask", "measure_stars", "read_and_fit"]

Advance = Callable[[int], None]
_NO_POINTS = LightCurve(np.empty(0), np.empty(0, dtype=np.float32), np.empty(0, dtype=np.float32))


@dataclass(frozen=True)
class StarTask:
    """A star whose light curve is to be measured.

    Attributes
    ----------
    star : str
        Identifier.
    path : `~pathlib.Path` or None
        Its light curve; None where the archive has none.
    period, epoch : float
        Period and epoch of phase 0 in days; NaN where unknown.
    """

    star: str
    path: Path | None
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
        measured = _summarise(read_and_fit(part, cleaning=cleaning, fourier=fourier, strict=strict), part)
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
    tasks: Sequence[StarTask], *, cleaning: CleaningSettings, fourier: FourierSettings, strict: bool = False
) -> FittedChunk:
    """Read, clean, fold and fit a few light curves, keeping their points.

    Parameters
    ----------
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
    curves: list[LightCurve] = []
    flags = np.zeros(len(tasks), dtype=np.int64)
    set_aside: list[SetAside] = []
    for index, task in enumerate(tasks):
        curve, flag, bad = _read(task, strict=strict)
        curves.append(curve)
        flags[index] = flag
        set_aside.extend(bad)
    packed = pack_light_curves([task.star for task in tasks], curves)
    period = np.array([task.period for task in tasks], dtype=float)
    epoch = np.array([task.epoch for task in tasks], dtype=float)
    # Any epoch will do: the fit finds the minimum. A fixed one serves stars without their own.
    phase = fold(packed.time, packed.offsets, period, np.where(np.isnan(epoch), 2450000.0, epoch))
    cleaned = clean(packed, phase, settings=cleaning)
    shapes = measure_shapes(cleaned.curves, cleaned.phase, settings=fourier)
    return FittedChunk(cleaned, shapes, flags | _shape_flags(shapes, flags, fourier), set_aside)


def _read(task: StarTask, *, strict: bool) -> tuple[LightCurve, Flag, list[SetAside]]:
    if task.path is None:
        return _NO_POINTS, Flag.NO_LIGHT_CURVE, []
    name = f"phot/I/{task.path.name}"
    try:
        curve = read_light_curve(task.path, strict=strict)
    except InputFormatError as error:
        if strict:
            raise
        unreadable = SetAside(name, 0, task.star, str(error).replace(str(task.path), name), "")
        return _NO_POINTS, Flag.LIGHT_CURVE_UNREADABLE, [unreadable]
    damaged = Flag.LIGHT_CURVE_DAMAGED if curve.set_aside else Flag(0)
    bad = [SetAside(name, item.line, task.star, item.reason, item.text) for item in curve.set_aside]
    return curve, damaged, bad


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
