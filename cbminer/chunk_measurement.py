"""The light curves of a survey measured chunk by chunk, by whatever engine, so that memory does not grow with it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from cbminer.engine import Call, Engine, in_order, open_engine
from cbminer.kept_measurements import KeptMeasurements, keep_measured, read_measured
from cbminer.measurement import (
    MeasuredStars,
    MeasurementSettings,
    StarTask,
    join_measured,
    read_and_fit,
    single_threaded_algebra,
    summarise,
)
from cbminer.survey.store import LightCurveStore

__all__ = ["divide", "measure_chunks", "measure_groups", "measure_stars"]

Advance = Callable[[int], None]


def measure_chunk(
    store: LightCurveStore,
    tasks: Sequence[StarTask],
    settings: MeasurementSettings,
    strict: bool,  # noqa: FBT001 - engines hand arguments on by position
    kept: Path | None,
) -> MeasuredStars:
    """Read, clean, fold, fit and classify the light curves of a chunk, unless that was done and kept.

    Parameters
    ----------
    store : LightCurveStore
        Where the light curves are.
    tasks : sequence of StarTask
        The stars.
    settings : MeasurementSettings
        How to clean, to fold, to fit and to classify.
    strict : bool
        Whether a malformed line or an unreadable file is an error.
    kept : `~pathlib.Path` or None
        Where the chunk is kept.

    Returns
    -------
    MeasuredStars
        What was measured.

    Raises
    ------
    InputFormatError
        If `strict` and a light curve is malformed.
    """
    found = None if kept is None else read_measured(kept)
    if found is not None:
        return found
    fitted = read_and_fit(store, tasks, settings=settings, strict=strict)
    measured = summarise(fitted, tasks, classifier=settings.classifier)
    # At once and where it was measured: a run that is killed loses no chunk that was done.
    if kept is not None:
        keep_measured(kept, measured)
    return measured


def measure_chunks(
    store: LightCurveStore,
    chunks: Iterable[Sequence[StarTask]],
    *,
    settings: MeasurementSettings,
    engine: Engine,
    strict: bool = False,
    kept: KeptMeasurements | None = None,
) -> Iterator[MeasuredStars]:
    """Measure chunks of stars.

    Parameters
    ----------
    store : LightCurveStore
        Where the light curves are.
    chunks : iterable of sequences of StarTask
        The stars; they are asked for as the engine has room.
    settings : MeasurementSettings
        How to clean, to fold, to fit and to classify.
    engine : Engine
        What does the work.
    strict : bool, optional
        Whether a malformed line or an unreadable file is an error.
    kept : KeptMeasurements, optional
        Where measured chunks are kept, and those of an earlier run are found.

    Yields
    ------
    MeasuredStars
        What was measured of each chunk, in their order, whatever the engine.

    Raises
    ------
    InputFormatError
        If `strict` and a light curve is malformed.
    """
    place = None if kept is None else kept.places(store, settings=settings, strict=strict)

    def call(chunk: Sequence[StarTask]) -> Call[MeasuredStars]:
        if not chunk:
            return Call(join_measured, ((),))
        arguments = (store, tuple(chunk), settings, strict, None if place is None else place(chunk))
        return Call(measure_chunk, arguments, f"stars {chunk[0].star} .. {chunk[-1].star}")

    # The work is shared by chunks: threads of the linear algebra beside them would only stand in each other's way.
    with single_threaded_algebra():
        yield from in_order(engine, map(call, chunks))


def measure_groups(
    groups: Iterable[Sequence[StarTask]],
    *,
    chunk: int,
    measure: Callable[[Iterable[Sequence[StarTask]]], Iterator[MeasuredStars]],
    advance: Advance | None = None,
) -> Iterator[MeasuredStars]:
    """Measure groups of stars that are larger than chunks, without a pause between one group and the next.

    Parameters
    ----------
    groups : iterable of sequences of StarTask
        The groups; a group may be empty. They are asked for as there is room for their chunks.
    chunk : int
        Stars of a chunk.
    measure : callable
        Measures chunks.
    advance : callable, optional
        Called with the number of stars done since the last call.

    Yields
    ------
    MeasuredStars
        What was measured of each group, in their order.
    """
    missing: deque[int] = deque()

    def chunks() -> Iterator[Sequence[StarTask]]:
        for group in groups:
            # A group without stars takes its turn: else many of them would be asked for at once.
            parts = divide(group, chunk) or [()]
            missing.append(len(parts))
            yield from parts

    gathered: list[MeasuredStars] = []
    for measured in measure(chunks()):
        gathered.append(measured)
        if advance is not None:
            advance(len(measured.flags))
        if len(gathered) == missing[0]:
            missing.popleft()
            yield join_measured(gathered)
            gathered = []


def divide(tasks: Sequence[StarTask], chunk: int) -> list[Sequence[StarTask]]:
    """Divide stars into chunks.

    Parameters
    ----------
    tasks : sequence of StarTask
        The stars.
    chunk : int
        Stars of a chunk; the last one may have fewer.

    Returns
    -------
    list of sequences of StarTask
        The chunks.
    """
    return [tasks[first : first + chunk] for first in range(0, len(tasks), chunk)]


def measure_stars(
    store: LightCurveStore,
    tasks: Sequence[StarTask],
    *,
    settings: MeasurementSettings,
    chunk: int,
    jobs: int = 1,
    strict: bool = False,
    kept: KeptMeasurements | None = None,
) -> MeasuredStars:
    """Measure the light curves of stars that fit into memory, with threads.

    Parameters
    ----------
    store : LightCurveStore
        Where the light curves are.
    tasks : sequence of StarTask
        The stars.
    settings : MeasurementSettings
        How to clean, to fold, to fit and to classify.
    chunk : int
        Light curves in memory at a time and job.
    jobs : int, optional
        Threads.
    strict : bool, optional
        Whether a malformed line or an unreadable file is an error.
    kept : KeptMeasurements, optional
        Where measured chunks are kept.

    Returns
    -------
    MeasuredStars
        The shapes in the order of the tasks, whatever the number of threads.

    Raises
    ------
    InputFormatError
        If `strict` and a light curve is malformed.
    """
    with open_engine("threads", jobs=jobs) as threads:
        parts = divide(tasks, chunk)
        return join_measured(
            list(measure_chunks(store, parts, settings=settings, engine=threads, strict=strict, kept=kept))
        )
