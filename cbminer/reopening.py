"""A finished run, opened again: it judges stars that it has not seen, and finds the odds of its own once more."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable, vstack

from cbminer.catalogue.schema import conform
from cbminer.columns import label_column
from cbminer.flags import Flag
from cbminer.judged import read_judged
from cbminer.measurement import fit_curves, single_threaded_algebra, summarise
from cbminer.monitor import Monitor
from cbminer.morphology.calibration import CCalibration
from cbminer.photometry.reddening import ReddeningMap, read_reddening_map
from cbminer.pipeline import GALAXIES, Galaxy
from cbminer.provenance import read_provenance
from cbminer.ranking.odds import Ranker
from cbminer.selection.cutflow import judge
from cbminer.selection.plc import PLCRelation
from cbminer.settings import Settings, settings_from_mapping
from cbminer.steps import (
    add_photometry,
    add_published_c,
    add_relation,
    add_shapes,
    choose_c,
    cloud_population,
    fit_ranker,
    rank_candidates,
    star_tasks,
)
from cbminer.survey.archive import Archive, open_archive
from cbminer.survey.packed import PackedLightCurves

__all__ = ["ReopenedRun", "RunContext", "judge_new_stars", "rank_stars", "run_contexts"]


@dataclass(frozen=True)
class RunContext:
    """What of a finished run decides about stars that it has not seen.

    Attributes
    ----------
    galaxy : {"LMC", "SMC"}
        The Cloud.
    stars : `~astropy.table.QTable`
        Judged stars of that Cloud.
    settings : Settings
        Settings of the run.
    relation : PLCRelation
        Period-luminosity-colour relation in force.
    calibration : CCalibration or None
        What brought measured c to published values.
    dust : ReddeningMap or None
        Map of the reddening.
    ranker : Ranker
        What gave the stars their odds.
    """

    galaxy: Galaxy
    stars: QTable
    settings: Settings
    relation: PLCRelation
    calibration: CCalibration | None
    dust: ReddeningMap | None
    ranker: Ranker


@dataclass(frozen=True)
class ReopenedRun:
    """A finished run with its archive.

    Attributes
    ----------
    archive : Archive
        Where its light curves are.
    survey : str
        Survey; "mock" for simulated stars.
    settings : Settings
        Settings of the run.
    clouds : dict of str to RunContext
        What decides, by Cloud.
    """

    archive: Archive
    survey: str
    settings: Settings
    clouds: dict[Galaxy, RunContext]


def run_contexts(run: Path, *, cache: Path, monitor: Monitor | None = None) -> ReopenedRun:
    """Open a finished run again.

    Parameters
    ----------
    run : `~pathlib.Path`
        Output folder of the run.
    cache : `~pathlib.Path`
        Folder in which files of a server are kept.
    monitor : Monitor, optional
        Told of the progress.

    Returns
    -------
    ReopenedRun
        Archive, settings, and what decides about new stars, as they were in the run: shares and places of the kinds of
        stars are found from the same stars again.

    Raises
    ------
    UnknownStarError
        If there is no such folder.
    OutputError
        If it is not the output of a run of this version.
    """
    provenance = read_provenance(run)
    chosen = settings_from_mapping(provenance.settings)
    judged = conform(read_judged(run))
    archive = open_archive(
        provenance.archive,
        cache=cache,
        fetching=chosen.fetch,
        offline=chosen.survey.offline,
        table=chosen.table,
        max_mag_err=chosen.cleaning.max_mag_err,
    )
    dust = read_reddening_map(chosen.reddening) if chosen.reddening.map else None
    calibration = _recorded_calibration(provenance.c_calibration)
    clouds: dict[Galaxy, RunContext] = {}
    for galaxy in GALAXIES:
        if galaxy in provenance.galaxies:
            stars = judged[label_column(judged, "galaxy") == galaxy]
            with (monitor or Monitor()).step(f"population of the {galaxy}", None):
                ranker, ranked = fit_ranker(stars, cloud_population(galaxy, chosen), chosen)
            relation = PLCRelation(**provenance.relations[galaxy])
            clouds[galaxy] = RunContext(galaxy, conform(ranked), chosen, relation, calibration, dust, ranker)
    return ReopenedRun(archive, provenance.survey, chosen, clouds)


def _recorded_calibration(record: dict[str, Any] | None) -> CCalibration | None:
    if record is None:
        return None
    nodes = {name: np.array(record[name], dtype=float) for name in ("measured", "published")}
    return CCalibration(**(record | nodes))


def judge_new_stars(stars: QTable, curves: PackedLightCurves, *, context: RunContext) -> QTable:
    """Judge stars that were not in a run just as it judged its own.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Stars as a catalogue has them (`~cbminer.survey.stars.star_table`), with the column survey.
    curves : PackedLightCurves
        Their light curves in I, in the same order; one without points counts as missing.
    context : RunContext
        What decides.

    Returns
    -------
    `~astropy.table.QTable`
        The stars in the schema, judged and with their odds. They have no rank.
    """
    settings = context.settings
    survey = str(label_column(stars, "survey")[0]) if len(stars) else "mock"
    table = add_photometry(stars, survey, settings, settings.cloud[context.galaxy], context.dust)
    tasks = star_tasks(table)
    with single_threaded_algebra():
        fitted = fit_curves(curves, tasks, settings=settings.measurement)
    empty = np.diff(curves.offsets) == 0
    fitted = replace(fitted, flags=np.where(empty, int(Flag.NO_LIGHT_CURVE), fitted.flags))
    measured = summarise(fitted, tasks, classifier=settings.classifier)
    table = add_published_c(add_shapes(table, np.ones(len(table), dtype=bool), measured), None)
    table = choose_c(table, context.calibration, settings.shape)
    judged = judge(add_relation(table, context.relation), settings.selection)
    return conform(context.ranker.apply(conform(judged)))


def rank_stars(stars: QTable, settings: Settings) -> tuple[QTable, dict[Galaxy, Ranker]]:
    """Find the odds of judged stars once more, and rank them.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Judged stars of all Clouds of a run.
    settings : Settings
        Population, ranking and cuts.

    Returns
    -------
    stars : `~astropy.table.QTable`
        The stars with their odds and ranks.
    rankers : dict of str to Ranker
        What gave the odds, by Cloud.
    """
    names = label_column(stars, "galaxy")
    rankers: dict[Galaxy, Ranker] = {}
    parts = []
    for galaxy in GALAXIES:
        if (names == galaxy).any():
            rankers[galaxy], ranked = fit_ranker(stars[names == galaxy], cloud_population(galaxy, settings), settings)
            parts.append(conform(ranked))
    everyone = vstack(parts, metadata_conflicts="silent") if parts else conform(stars)
    return rank_candidates(everyone, settings), rankers
