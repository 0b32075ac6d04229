"""What ``cbminer measure`` does: light curves of a table measured as ``select`` measures those of OGLE."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable, vstack

from cbminer.catalogue.schema import COLUMNS, ColumnSpec, round_columns, spec_of
from cbminer.classifier.prediction import classifier_model
from cbminer.columns import float_column, text_column, values
from cbminer.engine import Call, Engine, in_order, open_engine
from cbminer.flags import Flag
from cbminer.measurement import FittedChunk, MeasuredStars, StarTask, fit_curves, single_threaded_algebra, summarise
from cbminer.monitor import Monitor
from cbminer.morphology.shape import shape_model
from cbminer.provenance import InputFile, hash_files
from cbminer.report.classes import probabilities_text
from cbminer.report.figures import FoldedCurve
from cbminer.report.shape_figure import phase_offset
from cbminer.settings import Settings
from cbminer.survey.table import TableBlock, TablePoints, collect_points, star_order
from cbminer.survey.table_periods import ListedPeriods, read_periods
from cbminer.survey.table_settings import TableLayout, TableSettings

__all__ = ["MeasuredTable", "ShownCurve", "measure_table"]

_MODEL_PHASE = np.linspace(-0.25, 1.25, 301)
_OWN = {
    "band": "Band that was measured, as the table names it",
    "mag_median": "Median magnitude in the band",
    "band_second": "Second band, whose median magnitude is told beside it",
    "mag_median_second": "Median magnitude in the second band",
}
_ROUNDED = ("mag_median", "mag_median_second")


@dataclass(frozen=True)
class ShownCurve:
    """A light curve for the atlas, and what decides whether it is shown: contact first."""

    P_contact: float
    band: str
    curve: FoldedCurve


@dataclass(frozen=True)
class MeasuredTable:
    """What became of the light curves of tables.

    Attributes
    ----------
    stars : `~astropy.table.QTable`
        A row a star in the order of identifiers: columns of the catalogue that a light curve alone can fill, ``band``,
        ``mag_median`` and the same of a second band.
    shown : list of ShownCurve
        Light curves of the most probable contact binaries.
    layout : TableLayout
        How the tables were understood.
    counts : dict of str to int
        Rows, stars, points, periods and classes.
    notes : list of str
        Sentences on what is missing.
    inputs : list of InputFile
        Files that were read.
    """

    stars: QTable
    shown: list[ShownCurve]
    layout: TableLayout
    counts: dict[str, int]
    notes: list[str]
    inputs: list[InputFile]


# Table, curves for the atlas and counts of a chunk.
_Measured = tuple[QTable, list[ShownCurve], Counter[str]]


def measure_table(
    paths: Sequence[Path],
    *,
    settings: Settings,
    periods: Path | None = None,
    jobs: int = 1,
    engine: Engine | None = None,
    monitor: Monitor | None = None,
) -> MeasuredTable:
    """Measure the light curves of tables.

    Parameters
    ----------
    paths : sequence of `~pathlib.Path`
        Tables of one layout, which ``[table]`` describes.
    settings : Settings
        Settings; besides ``[table]`` those of all that is done to a light curve.
    periods : `~pathlib.Path`, optional
        Table of periods [d] by star, perhaps with epochs [HJD]; they count before those of the tables. Stars without
        a period are searched for one.
    jobs : int, optional
        Threads, where no engine is given.
    engine : Engine, optional
        Who measures.
    monitor : Monitor, optional
        Where progress is told.

    Returns
    -------
    MeasuredTable
        The measured stars. Neither the order of the rows nor the engine changes them.

    Raises
    ------
    SettingsError
        If the layout is incomplete, or there is no such classifier.
    InputFormatError
        If a table is not as the layout says, or holds no points to measure.
    OutputError
        If there is no room for points that wait outside of memory.
    EngineError
        If workers were lost.
    """
    monitor = monitor or Monitor()
    classifier_model(settings.classifier.model)
    listed = ListedPeriods({}, {}) if periods is None else read_periods(periods)
    limit = settings.measurement.cleaning.max_mag_err
    with (
        collect_points(paths, settings=settings.table, max_mag_err=limit) as points,
        single_threaded_algebra(),
        nullcontext(engine) if engine else open_engine("threads", jobs=jobs) as chosen,
    ):
        parts: list[QTable] = []
        shown: list[ShownCurve] = []
        counts: Counter[str] = Counter()
        with monitor.step("measuring light curves", points.n_stars) as advance:
            for table, curves, found in in_order(chosen, _calls(points, listed, settings)):
                parts.append(table)
                counts += found
                shown = _best([*shown, *curves], settings.report.atlas_max)
                advance(len(table))
        stars = vstack(parts, metadata_conflicts="silent")
        stars = stars[star_order([str(star) for star in stars["id"]])]
        return MeasuredTable(
            stars=stars,
            shown=shown,
            layout=points.layout,
            counts=_all_counts(points, counts),
            notes=[*_notes_on_times(settings.table), *_notes(points, stars, listed)],
            inputs=[hash_files(path.name, [path]) for path in (*paths, *([periods] if periods else []))],
        )


def _calls(points: TablePoints, listed: ListedPeriods, settings: Settings) -> Iterator[Call[_Measured]]:
    for block in points.blocks():
        for chunk in _chunks(_with_periods(block, listed), settings.lightcurves.chunk):
            stars = chunk.curves.stars
            yield Call(_measure, (chunk, settings, points.layout.survey), f"stars {stars[0]} .. {stars[-1]}")


def _with_periods(block: TableBlock, listed: ListedPeriods) -> TableBlock:
    stars = block.stars.copy()
    for name, found in (("period", listed.periods), ("T0", listed.epochs)):
        given = np.array([found.get(star, np.nan) for star in block.curves.stars])
        own = values(stars, name, "d")
        stars[name] = float_column(np.where(np.isnan(given), own, given), "d")
    return TableBlock(block.curves, stars)


def _chunks(block: TableBlock, size: int) -> Iterator[TableBlock]:
    for first in range(0, len(block.curves), size):
        places = np.arange(first, min(first + size, len(block.curves)))
        yield TableBlock(block.curves.stars_at(places), block.stars[places])


def _measure(chunk: TableBlock, settings: Settings, survey: str) -> _Measured:
    period, epoch = (values(chunk.stars, name, "d") for name in ("period", "T0"))
    tasks = [StarTask(*item) for item in zip(chunk.curves.stars, period.tolist(), epoch.tolist(), strict=True)]
    fitted = fit_curves(chunk.curves, tasks, settings=settings.measurement)
    measured = summarise(fitted, tasks, classifier=settings.classifier)
    table = _table(chunk.stars, measured, period, survey=survey)
    return table, _curves(fitted, chunk.stars, settings), Counter(measured.counts)


def _table(stars: QTable, measured: MeasuredStars, listed: Any, *, survey: str) -> QTable:
    """Columns of the catalogue that a light curve alone can fill, and the band and magnitude of the table."""
    found: dict[str, Any] = {**measured.shapes, **measured.labels}
    found |= {"RAJ2000": values(stars, "RAJ2000", "deg"), "DEJ2000": values(stars, "DEJ2000", "deg")}
    found |= {"period_survey": listed, "T0": values(stars, "T0", "d"), "id": list(stars["id"])}
    found["survey"] = [survey] * len(stars)
    found["p_other"] = found.pop("p_not_eclipsing")
    missing = np.where(np.isnan(measured.shapes["period"]), int(Flag.NO_PERIOD), 0)
    found["flags"] = measured.flags | missing
    table = QTable()
    for spec in COLUMNS:
        if spec.name in found:
            table[spec.name] = _column(found[spec.name], spec)
    table = round_columns(table)
    for name in table.colnames:
        # Of this catalogue no cut is made: its c is the measured one.
        spec = spec_of({"c": "c_measured", "e_c": "e_c_measured"}.get(name, name))
        table[name].info.description = spec.description.replace("the I light curve", "the light curve")
        table[name].info.format = spec.format or None
    for name, description in _OWN.items():
        table[name] = float_column(np.round(values(stars, name, "mag"), 4), "mag") if name in _ROUNDED else stars[name]
        table[name].info.description = description
    return table


def _column(data: Any, spec: ColumnSpec) -> Any:
    if spec.kind == "float":
        return float_column(data, spec.unit)
    return text_column(data) if spec.kind == "text" else np.asarray(data).astype(np.int64)


def _curves(fitted: FittedChunk, stars: QTable, settings: Settings) -> list[ShownCurve]:
    """Fold the curves of a chunk that may come into the atlas."""
    chance = fitted.classes.probability[:, 0]
    best = np.argsort(-np.nan_to_num(chance, nan=-1.0), kind="stable")[: settings.report.atlas_max]
    return [
        ShownCurve(float(chance[index]), str(stars["band"][index]), _folded(fitted, stars, int(index), settings))
        for index in best
        if fitted.shapes.n_harmonics[index] > 0 and np.isfinite(chance[index])
    ]


def _folded(fitted: FittedChunk, stars: QTable, index: int, settings: Settings) -> FoldedCurve:
    curves, shapes = fitted.cleaned.curves, fitted.shapes
    points = curves.points_of(index)
    has_epoch = bool(np.isfinite(values(stars, "T0", "d")[index]))
    zero = phase_offset(fitted, index, phase_zero=settings.lightcurves.phase_zero, has_epoch=has_epoch)
    band = f"{stars['band'][index]}  " if stars["band"][index] != "-" else ""
    lines = (
        f"{band}P = {fitted.periods.period[index]:.5f} d",
        f"W = {shapes.W[index]:.3f}  c = {shapes.c[index]:.2f}",
        probabilities_text(fitted.classes.probability[index], fitted.classes.e_probability[index], sign="±", most=2),
    )
    return FoldedCurve(
        curves.stars[index],
        lines,
        (fitted.cleaned.phase[points] - zero) % 1.0,
        curves.mag[points],
        curves.mag_err[points],
        _MODEL_PHASE,
        shape_model(shapes, index, _MODEL_PHASE + zero - shapes.phase_zero[index]),
    )


def _best(curves: list[ShownCurve], most: int) -> list[ShownCurve]:
    return sorted(curves, key=lambda item: (-item.P_contact, item.curve.star))[:most]


def _all_counts(points: TablePoints, measured: Counter[str]) -> dict[str, int]:
    counts = {f"rows: {name}": count for name, count in sorted(points.reasons.items())}
    counts |= {"stars with points": points.n_stars, "stars without": points.n_without}
    counts |= {"stars of the second band only": points.n_second_only}
    return counts | dict(measured)


def _notes_on_times(table: TableSettings) -> Iterator[str]:
    if table.time_at is None and not table.preset:
        yield "times are taken as heliocentric, as time_at is not set: sun, barycentre or earth"


def _notes(points: TablePoints, stars: QTable, listed: ListedPeriods) -> Iterator[str]:
    for name in points.unfiltered:
        yield f"no column {name}: points are not filtered by it"
    if points.layout.time_at == "earth":
        lacking = int(np.isnan(values(stars, "RAJ2000", "deg")).sum())
        if lacking:
            yield (
                f"{lacking:,} stars have no coordinates: their times are those at the Earth, up to 8.3 minutes off, "
                f"which blurs periods below half a day (set ra_column and dec_column)"
            )
    if points.n_second_only:
        bands = ", ".join(points.layout.bands_second)
        yield f"{points.n_second_only:,} stars have points in {bands} only and are not measured: choose them by --band"
    strangers = set(listed.periods) - {str(star) for star in stars["id"]}
    if strangers:
        yield f"{len(strangers):,} stars of the table of periods have no light curve, such as {min(strangers)}"
