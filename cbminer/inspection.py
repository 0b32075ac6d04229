"""What ``cbminer morph`` does: one light curve, from a file or an archive, measured, tabulated and drawn."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.table import QTable
from matplotlib.figure import Figure

from cbminer.catalogue.schema import spec_of
from cbminer.classifier.classes import CLASSES
from cbminer.classifier.prediction import classifier_model
from cbminer.columns import float_column, label_column, values
from cbminer.errors import SettingsError, UnknownStarError
from cbminer.flags import FLAG_MEANINGS, Flag, decode_flags
from cbminer.lightcurves.cleaning import Reason
from cbminer.lightcurves.periods import explain_verdict
from cbminer.measurement import FittedChunk, MeasuredStars, StarTask, fit_curves, read_and_fit, summarise
from cbminer.provenance import InputFile, Provenance, hash_files, hash_group, write_provenance
from cbminer.report.classes import class_line, classifier_record, classifier_title
from cbminer.report.figures import save_figure
from cbminer.report.shape_figure import shape_figure
from cbminer.settings import Settings
from cbminer.survey.archive import Archive, TableArchive
from cbminer.survey.mock import MOCK_PREFIX
from cbminer.survey.packed import pack_light_curves
from cbminer.survey.photometry_file import read_light_curve

__all__ = ["InspectedStar", "describe_star", "inspect_file", "inspect_star", "write_inspection"]

# Columns in the order in which a person reads them.
_QUANTITIES = (
    "period", "T0_fit", "depth1", "depth2", "depth_difference", "phase_secondary", "oconnell", "eclipse_width1",
    "eclipse_width2", "contact_angle1", "contact_angle2", "temperature_ratio", "a1", "a2", "a4", "W", "asymmetry", "c",
)  # fmt: skip
_PROBABILITIES = tuple(f"P_{name}" for name in CLASSES)
_BARE = ("scatter", "noise", "phase_gap", "c_distance")
_WORDS = ("period_source", "period_verdict", "period_alias", "variability", "light_curve_class", "classifier_version")


@dataclass(frozen=True)
class InspectedStar:
    """One measured light curve.

    Attributes
    ----------
    star : str
        Identifier, or name of the file.
    survey : str
        Survey; "mock" for simulated stars, "file" for a file.
    task : StarTask
        Listed period and epoch.
    fitted : FittedChunk
        Points, periods and shape, a chunk of one.
    measured : MeasuredStars
        The numbers that a catalogue would hold.
    classifier : str
        Name and version of the network that classified it.
    inputs : list of InputFile
        Files that were read.
    """

    star: str
    survey: str
    task: StarTask
    fitted: FittedChunk
    measured: MeasuredStars
    classifier: str
    inputs: list[InputFile]


def inspect_file(
    path: Path, *, period: float | None, epoch: float | None, settings: Settings, strict: bool = False
) -> InspectedStar:
    """Measure a light-curve file.

    Parameters
    ----------
    path : `~pathlib.Path`
        Three columns: time as HJD or HJD - 2450000, magnitude and error.
    period : float or None
        Period in days; searched for if None.
    epoch : float or None
        Epoch of phase 0 in days.
    settings : Settings
        How to clean, to fold and to fit.
    strict : bool, optional
        Whether a malformed line is an error.

    Returns
    -------
    InspectedStar
        The star.

    Raises
    ------
    InputFormatError
        If the file is missing, empty or no light curve.
    SettingsError
        If the period or the epoch is no number that makes sense, or there is no such classifier.
    """
    _check_days("--period", period)
    _check_days("--epoch", epoch)
    title = _classifier_title(settings)
    curve = read_light_curve(path, strict=strict)
    full_epoch = np.nan if epoch is None else epoch + (2450000.0 if epoch < 1e6 else 0.0)
    task = StarTask(path.stem, np.nan if period is None else period, full_epoch)
    fitted = fit_curves(pack_light_curves([task.star], [curve]), [task], settings=settings.measurement)
    if curve.set_aside:
        flags = fitted.flags | int(Flag.LIGHT_CURVE_DAMAGED)
        fitted = replace(fitted, flags=flags, set_aside=curve.set_aside)
    survey = "mock" if task.star.startswith(MOCK_PREFIX) else "file"
    fitted = replace(fitted, n_missing=curve.n_missing)
    measured = summarise(fitted, [task], classifier=settings.classifier)
    return InspectedStar(task.star, survey, task, fitted, measured, title, [hash_files(path.name, [path])])


def inspect_star(archive: Archive, star: str, *, period: float | None, settings: Settings) -> InspectedStar:
    """Measure a star of an archive.

    Parameters
    ----------
    archive : Archive
        Where catalogue and light curves are.
    star : str
        Identifier; it names the Cloud, as OGLE-LMC-ECL-00001 does.
    period : float or None
        Period in days in place of the catalogue's.
    settings : Settings
        How to clean, to fold and to fit.

    Returns
    -------
    InspectedStar
        The star.

    Raises
    ------
    UnknownStarError
        If no Cloud is named, or the star is not in its catalogue or has no light curve.
    SettingsError
        If the period is no number that makes sense, or there is no such classifier.
    """
    _check_days("--period", period)
    title = _classifier_title(settings)
    name = star.strip().upper()
    galaxy = next((cloud for cloud in ("LMC", "SMC") if f"-{cloud}-" in name), None)
    if galaxy is None:
        msg = f"{star}: there is no such file, and the name tells no Cloud as OGLE-LMC-ECL-00001 does"
        raise UnknownStarError(msg)
    archive.catalogue_folder(galaxy)
    stars = archive.catalogue(galaxy).stars
    found = np.flatnonzero(np.char.upper(label_column(stars, "id")) == name)
    if len(found) == 0:
        msg = f"{star} is not in the catalogue of {archive.place(galaxy)}: check the number"
        raise UnknownStarError(msg)
    row = stars[found[:1]]
    name = str(row["id"][0])
    listed, epoch = (float(values(row, column, "d")[0]) for column in ("period", "T0"))
    task = StarTask(name, listed if period is None else period, epoch)
    store = archive.light_curves(galaxy, [name])
    fitted = read_and_fit(store, [task], settings=settings.measurement, strict=settings.survey.strict)
    absent = int(fitted.flags[0]) & (Flag.NO_LIGHT_CURVE | Flag.LIGHT_CURVE_UNREADABLE)
    if absent:
        why = "; ".join(FLAG_MEANINGS[flag] for flag in Flag if absent & flag)
        msg = f"{name}: {why} {archive.place(galaxy)}"
        raise UnknownStarError(msg)
    source = store.source(name)
    inputs = [] if source is None else [hash_group(f"{galaxy} phot/I", [(f"{name}.dat", source.size, source.sha256)])]
    observed = archive.survey if isinstance(archive, TableArchive) else "ogle"
    survey = "mock" if archive.is_mock(galaxy) else observed
    measured = summarise(fitted, [task], classifier=settings.classifier)
    return InspectedStar(name, survey, task, fitted, measured, title, inputs)


def _classifier_title(settings: Settings) -> str:
    """Name the network; it is read for this, so that one that cannot be had is said before anything is fetched."""
    model = settings.classifier.model
    return classifier_title(model, classifier_model(model).version)


def _check_days(name: str, value: float | None) -> None:
    if value is not None and not (np.isfinite(value) and value > 0):
        msg = f"{name} {value:g}: it must be a finite number of days above 0"
        raise SettingsError(msg)


def describe_star(inspected: InspectedStar) -> Iterator[str]:
    """Lines that say what was measured.

    Parameters
    ----------
    inspected : InspectedStar
        A star.

    Yields
    ------
    str
        Lines of text.
    """
    fitted = inspected.fitted
    counts = fitted.cleaned.reasons[0]
    dropped = ", ".join(
        f"{counts[reason]} {reason.name.lower().replace('_', ' ')}" for reason in Reason if reason and counts[reason]
    )
    if fitted.n_missing:
        dropped = f"{dropped}, " if dropped else ""
        dropped += f"{fitted.n_missing} without a magnitude"
    simulated = "  SIMULATED, NOT OBSERVED" if inspected.survey == "mock" else ""
    yield f"{inspected.star}{simulated}: {counts[Reason.KEPT]} points kept{', dropped: ' + dropped if dropped else ''}"
    if np.isfinite(inspected.task.period):
        yield f"listed period {inspected.task.period:.7g} d: {explain_verdict(fitted.periods.listed, 0)}"
    if 0 in fitted.periods.found:
        found = fitted.periods.found[0]
        alias = f", perhaps an alias by {found.alias}" if found.alias else ""
        chance = f"false-alarm probability {found.false_alarm:.1g}{alias}"
        yield f"found period {fitted.periods.period[0]:.7g} d ({chance}): {found.reason}"
    for item in fitted.set_aside:
        yield f"set aside: {item.file}, line {item.line}: {item.reason}"
    yield ""
    table = inspection_table(inspected)
    for name in (*_QUANTITIES, *_BARE):
        yield from _line(table, name)
    classes, label = fitted.classes, str(inspected.measured.labels["light_curve_class"][0])
    yield class_line(label, classes.probability[0], classes.e_probability[0], title=inspected.classifier)
    flags = decode_flags(int(fitted.flags[0]))
    if flags:
        yield ""
        yield from (f"flag: {FLAG_MEANINGS[Flag[name]]}" for name in flags)


def _line(table: QTable, name: str) -> Iterator[str]:
    spec = spec_of("c_measured" if name == "c" else name)
    value = float(values(table, name, spec.unit)[0])
    if np.isnan(value):
        return
    error = float(values(table, f"e_{name}", spec.unit)[0]) if f"e_{name}" in table.colnames else np.nan
    number = f"{value:.{spec.decimals}f}" + ("" if np.isnan(error) else f" +- {error:.{spec.decimals}f}")
    yield f"{name:<18} {number:<32} {spec.unit:<4} {spec.description}"


def inspection_table(inspected: InspectedStar) -> QTable:
    """Table of one row with all that was measured.

    Parameters
    ----------
    inspected : InspectedStar
        A star.

    Returns
    -------
    `~astropy.table.QTable`
        Names, units and descriptions of the catalogue; c is the measured one.
    """
    shapes = inspected.measured.shapes
    table = QTable({"id": [inspected.star], "survey": [inspected.survey]})
    table["period_survey"] = float_column(np.array([inspected.task.period]), "d")
    for name in _WORDS:
        table[name] = inspected.measured.labels[name]
    paired = (*_QUANTITIES, *_PROBABILITIES)
    for name in (*(each for item in paired for each in (item, f"e_{item}")), *_BARE):
        spec = spec_of(name.replace("c", "c_measured") if name in {"c", "e_c"} else name)
        table[name] = float_column(np.round(shapes[name], spec.decimals), spec.unit)
        table[name].info.description = spec.description
    for name in ("n_points", "n_rejected", "n_harmonics"):
        table[name] = shapes[name].astype(np.int64)
    table["flags"] = inspected.fitted.flags
    return table


def write_inspection(folder: Path, inspected: InspectedStar, *, settings: Settings, command: str) -> Figure:
    """Write table, figure and provenance.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Existing, empty folder.
    inspected : InspectedStar
        A star.
    settings : Settings
        Settings that were used.
    command : str
        Command, for the provenance.

    Returns
    -------
    `~matplotlib.figure.Figure`
        The figure.
    """
    inspection_table(inspected).write(folder / "shape.ecsv", format="ascii.ecsv")
    figure = shape_figure(
        inspected.fitted,
        0,
        title=inspected.star,
        survey=inspected.survey,
        phase_zero=settings.lightcurves.phase_zero,
        epoch=inspected.task.epoch,
    )
    save_figure(figure, folder / "shape")
    write_provenance(
        folder,
        Provenance(
            command=command,
            survey=inspected.survey,
            archive=settings.survey.archive if inspected.survey != "file" else "",
            galaxies=[],
            releases={},
            settings=settings.model_dump(mode="json"),
            seed=settings.seed,
            relations={},
            counts={inspected.star: inspected.measured.counts},
            inputs=inspected.inputs,
            classifier=classifier_record(settings.classifier),
        ),
    )
    return figure
