"""The way of the data, from an archive to judged stars. The only module that knows the order of the stages."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from astropy.table import QTable, vstack

from cbminer.catalogue.schema import conform
from cbminer.classifier.prediction import classifier_model
from cbminer.columns import label_column, values
from cbminer.errors import InputFormatError
from cbminer.kept_measurements import KeptMeasurements
from cbminer.measurement import (
    FittedChunk,
    MeasuredStars,
    measure_stars,
    read_and_fit,
)
from cbminer.monitor import Monitor
from cbminer.morphology.calibration import CCalibration, calibrate_c
from cbminer.morphology.published import VIZIER, MorphologyTable, morphology_by_star, read_morphology_table
from cbminer.morphology.shape import ShapeSettings
from cbminer.photometry.reddening import ReddeningMap, read_reddening_map
from cbminer.provenance import InputFile, hash_files, hash_group
from cbminer.ranking.evidence import PopulationDensities
from cbminer.ranking.odds import Ranker
from cbminer.selection.cutflow import judge, judge_catalogue, tabulate_cutflow
from cbminer.selection.plc import PLCRelation
from cbminer.selection.plc_table import all_relations, resolve_relation, tabulate_residuals
from cbminer.settings import Settings
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
from cbminer.survey.mock import MOCK_PREFIX, MockCloud, build_mock_archive
from cbminer.survey.offline import NoNetwork
from cbminer.survey.ogle import CATALOGUE_FILES, CatalogueReading
from cbminer.survey.store import LightCurveStore
from cbminer.survey.textfile import SetAside
from cbminer.survey.vizier import Vizier

__all__ = [
    "GALAXIES",
    "CloudSelection",
    "Galaxy",
    "Selection",
    "candidate_curves",
    "open_survey",
    "open_vizier",
    "run_selection",
]

Galaxy = Literal["LMC", "SMC"]
GALAXIES: tuple[Galaxy, ...] = ("LMC", "SMC")


@dataclass(frozen=True)
class CloudSelection:
    """Judged stars of one Cloud.

    Attributes
    ----------
    galaxy : {"LMC", "SMC"}
        The Cloud.
    stars : `~astropy.table.QTable`
        Every star of the catalogue in the schema, judged.
    cutflow, residuals : `~astropy.table.QTable`
        Counts of every cut, and residuals about the period-luminosity-colour relation.
    relation : PLCRelation
        Relation in force.
    set_aside : list of SetAside
        Lines and files that were kept out.
    counts : dict of str to int
        Lines, stars and light curves.
    release : str
        Release of the survey's catalogue.
    notes : list of str
        What a reader of the result should know.
    light_curves : LightCurveStore
        Where the light curves are.
    ranker : Ranker
        What gave the stars their odds.
    inputs : list of InputFile
        Files that were read.
    """

    galaxy: Galaxy
    stars: QTable
    cutflow: QTable
    residuals: QTable
    relation: PLCRelation
    set_aside: list[SetAside]
    counts: dict[str, int]
    release: str
    light_curves: LightCurveStore
    ranker: Ranker
    notes: list[str] = field(default_factory=list)
    inputs: list[InputFile] = field(default_factory=list)

    @property
    def blocks(self) -> Sequence[QTable]:
        """Judged stars in tables that fit into memory, to be gone through more than once."""
        return [self.stars]


@dataclass(frozen=True)
class Selection:
    """Judged stars of a run.

    Attributes
    ----------
    survey : str
        Name of the survey in every product; "mock" for simulated stars.
    archive : Archive
        Where the stars came from.
    clouds : list of CloudSelection
        The Clouds of the run.
    stars : `~astropy.table.QTable`
        Judged stars of all Clouds; candidates are ranked over all of them.
    settings : Settings
        Resolved settings.
    tables : list of `~pathlib.Path`
        Tables of VizieR that were used for all Clouds.
    calibration : CCalibration or None
        How measured c was brought to the scale of published values, if there were enough of them.
    notes : list of str
        What a reader should know of all Clouds together.
    """

    survey: str
    archive: Archive
    clouds: list[CloudSelection]
    stars: QTable
    settings: Settings
    tables: list[Path] = field(default_factory=list)
    calibration: CCalibration | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def blocks(self) -> Sequence[QTable]:
        """Judged stars in tables that fit into memory, to be gone through more than once."""
        return [self.stars]

    @property
    def candidates(self) -> QTable:
        """Candidates of all Clouds in the order of their rank."""
        chosen = self.stars[np.asarray(self.stars["selected"])]
        return chosen[np.argsort(np.asarray(chosen["rank"]), kind="stable")]


@dataclass(frozen=True)
class _Tables:
    """Tables that the user gives or names, read once for all Clouds."""

    dust: ReddeningMap | None
    morphology: MorphologyTable | None
    catalogue: Vizier | None


def open_survey(
    survey: Literal["ogle", "mock"],
    galaxies: Sequence[Galaxy],
    *,
    settings: Settings,
    cache: Path,
    monitor: Monitor | None = None,
) -> Archive:
    """Open the archive of a survey, making it first if it is the mock.

    Parameters
    ----------
    survey : {"ogle", "mock"}
        The survey.
    galaxies : sequence of str
        Clouds that are needed.
    settings : Settings
        Settings; the archive's place among them.
    cache : `~pathlib.Path`
        Folder in which files of a server and mock archives are kept.
    monitor : Monitor, optional
        Told of the progress.

    Returns
    -------
    Archive
        The archive.
    """
    if survey == "ogle":
        return open_archive(
            settings.survey.archive, cache=cache, fetching=settings.fetch, offline=settings.survey.offline
        )
    clouds = [_mock_cloud(galaxy, settings) for galaxy in galaxies]
    recipe = repr((settings.seed, settings.mock, clouds)).encode()
    folder = cache / "mock" / hashlib.sha256(recipe).hexdigest()[:16]
    with (monitor or Monitor()).step("making the mock survey", None):
        built = build_mock_archive(folder, clouds, settings=settings.mock, seed=settings.seed)
    return open_archive(str(built), cache=cache)


def open_vizier(settings: Settings, *, cache: Path, refresh: bool = False, monitor: Monitor | None = None) -> Vizier:
    """Get ready to ask VizieR and SIMBAD; nothing is asked for yet.

    Parameters
    ----------
    settings : Settings
        Services and columns; whether a server may be asked.
    cache : `~pathlib.Path`
        Folder in which tables are kept.
    refresh : bool, optional
        Whether to ask again for what an earlier run kept.
    monitor : Monitor, optional
        Told of what is asked for.

    Returns
    -------
    Vizier
        The tables; close it after use.
    """
    transport = NoNetwork() if settings.survey.offline else None
    return Vizier(cache / "vizier", settings=settings.vizier, refresh=refresh, monitor=monitor, transport=transport)


def _mock_cloud(galaxy: Galaxy, settings: Settings) -> MockCloud:
    cloud = settings.cloud[galaxy]
    return MockCloud(
        name=galaxy,
        n_stars=settings.mock.n_lmc if galaxy == "LMC" else settings.mock.n_smc,
        distance_modulus=cloud.distance.distance_modulus,
        depth_scatter=cloud.distance.depth,
        mean_E_VI=cloud.reddening.E_VI,
        scatter_E_VI=cloud.reddening.scatter,
    )


def run_selection(
    archive: Archive,
    galaxies: Sequence[Galaxy],
    *,
    settings: Settings,
    survey: str = "ogle",
    vizier: Vizier | None = None,
    kept: KeptMeasurements | None = None,
    jobs: int = 1,
    monitor: Monitor | None = None,
) -> Selection:
    """Judge every star of an archive.

    Parameters
    ----------
    archive : Archive
        Where the stars come from.
    galaxies : sequence of str
        Clouds to judge.
    settings : Settings
        Settings of every stage.
    survey : str, optional
        Name of the survey; an archive that is marked as simulated overrides it.
    vizier : Vizier, optional
        Where the tables of VizieR come from, if the settings ask for any.
    kept : KeptMeasurements, optional
        Where measured light curves are kept until the run is complete, and those of an earlier call are found.
    jobs : int, optional
        Threads that measure light curves. The result does not depend on it.
    monitor : Monitor, optional
        Told of the progress.

    Returns
    -------
    Selection
        The judged stars.

    Raises
    ------
    CbminerError
        If an input is missing or malformed, or a relation cannot be fitted.
    """
    monitor = monitor or Monitor()
    # Read here, so that a classifier that cannot be had ends the run before hours of light curves.
    classifier_model(settings.classifier.model)
    morphology = _morphology_table(settings, galaxies, vizier)
    used = list(vizier.used) if vizier is not None else []
    tables = _Tables(
        read_reddening_map(settings.reddening) if settings.reddening.map else None,
        morphology,
        vizier if settings.survey.catalogue == "vizier" else None,
    )
    # For the same reason the models behind the odds are read first.
    with monitor.step("population of contact binaries", None):
        populations = {galaxy: cloud_population(galaxy, settings) for galaxy in galaxies}
    measured = [_measure_cloud(archive, galaxy, survey, settings, tables, kept, jobs, monitor) for galaxy in galaxies]
    # One scale of c for all Clouds.
    calibration, notes = _calibration(measured, settings.shape)
    clouds = [_judge_cloud(cloud, archive, settings, calibration, populations[cloud.galaxy]) for cloud in measured]
    name = "mock" if any("mock" in label_column(cloud.stars, "survey") for cloud in clouds) else survey
    if tables.morphology is not None:
        _check_match(tables.morphology, clouds, settings)
    stars = rank_candidates(vstack([cloud.stars for cloud in clouds], metadata_conflicts="silent"), settings)
    return Selection(name, archive, clouds, stars, settings, used, calibration, notes)


def _morphology_table(settings: Settings, galaxies: Sequence[Galaxy], vizier: Vizier | None) -> MorphologyTable | None:
    table = settings.morphology_table.table
    if table == VIZIER and vizier is not None:
        return morphology_by_star(vizier.morphology_table(galaxies))
    return read_morphology_table(settings.morphology_table) if table else None


def _catalogue(
    archive: Archive, galaxy: Galaxy, settings: Settings, vizier: Vizier | None, monitor: Monitor
) -> tuple[CatalogueReading, list[Path]]:
    """Stars of a Cloud, and the files that they were read from."""
    if vizier is not None:
        before = set(vizier.used)
        reading = vizier.catalogue(galaxy, strict=settings.survey.strict)
        return reading, [path for path in vizier.used if path not in before]
    folder = archive.catalogue_folder(galaxy, monitor=monitor)
    with monitor.step(f"reading the {galaxy} catalogue", None):
        reading = archive.catalogue(galaxy, strict=settings.survey.strict)
    return reading, [folder / name for name in CATALOGUE_FILES if (folder / name).exists()]


def _true_survey(archive: Archive, galaxy: Galaxy, reading: CatalogueReading, survey: str) -> str:
    """Name the survey; simulated stars never pass for observed ones."""
    simulated = np.char.startswith(label_column(reading.stars, "id"), MOCK_PREFIX)
    if archive.is_mock(galaxy) or (len(simulated) and simulated.all()):
        return "mock"
    if simulated.any():
        star = label_column(reading.stars, "id")[simulated][0]
        msg = f"{archive.place(galaxy)} mixes simulated stars, such as {star}, with observed ones: keep them apart"
        raise InputFormatError(msg)
    return survey


@dataclass(frozen=True)
class _MeasuredCloud:
    """A Cloud whose light curves are measured, and whose stars are not judged yet."""

    galaxy: Galaxy
    survey: str
    stars: QTable
    reading: CatalogueReading
    files: list[Path]
    store: LightCurveStore
    measured: MeasuredStars
    wanted: npt.NDArray[np.bool_]


def _measure_cloud(
    archive: Archive,
    galaxy: Galaxy,
    survey: str,
    settings: Settings,
    tables: _Tables,
    kept: KeptMeasurements | None,
    jobs: int,
    monitor: Monitor,
) -> _MeasuredCloud:
    reading, files = _catalogue(archive, galaxy, settings, tables.catalogue, monitor)
    survey = _true_survey(archive, galaxy, reading, survey)
    stars = add_photometry(reading.stars, survey, settings, settings.cloud[galaxy], tables.dust)
    stars = add_relation(stars, resolve_relation(stars, settings.selection))
    wanted = _wanted(archive, stars, settings)
    store = archive.light_curves(galaxy, label_column(stars, "id")[wanted].tolist(), monitor=monitor)
    measured = _measure(store, galaxy, stars[wanted], settings, kept, jobs, monitor)
    stars = add_published_c(add_shapes(stars, wanted, measured), tables.morphology)
    return _MeasuredCloud(galaxy, survey, stars, reading, files, store, measured, wanted)


def _judge_cloud(
    cloud: _MeasuredCloud,
    archive: Archive,
    settings: Settings,
    calibration: CCalibration | None,
    population: PopulationDensities,
) -> CloudSelection:
    stars = choose_c(cloud.stars, calibration, settings.shape)
    # Again, since light curves may have changed periods.
    relation = resolve_relation(stars, settings.selection)
    stars = judge(add_relation(stars, relation), settings.selection)
    spare = set(archive.light_curve_stars(cloud.galaxy)) - set(label_column(stars, "id"))
    counts = cloud.reading.counts | cloud.measured.counts | {"light curves without a row": len(spare)}
    ranker, ranked = fit_ranker(conform(stars), population, settings)
    return CloudSelection(
        galaxy=cloud.galaxy,
        stars=conform(ranked),
        cutflow=tabulate_cutflow(stars, settings.selection),
        residuals=tabulate_residuals(stars, all_relations(stars, settings.selection), settings.selection),
        relation=relation,
        set_aside=cloud.reading.set_aside + cloud.measured.set_aside + _spare_curves(spare),
        counts=counts,
        release=cloud.reading.release if cloud.survey != "mock" else "simulated",
        light_curves=cloud.store,
        ranker=ranker,
        notes=_notes(archive, cloud.galaxy, cloud.reading, cloud.store, cloud.survey),
        inputs=_inputs(cloud.files, cloud.galaxy, cloud.store, label_column(stars, "id")[cloud.wanted]),
    )


def _wanted(archive: Archive, stars: QTable, settings: Settings) -> npt.NDArray[np.bool_]:
    """Stars whose light curves are read."""
    measure = settings.lightcurves.measure
    everyone = measure == "all" or (measure == "auto" and archive.is_local)
    return np.ones(len(stars), dtype=bool) if everyone else judge_catalogue(stars, settings.selection)


def _measure(
    store: LightCurveStore,
    galaxy: str,
    stars: QTable,
    settings: Settings,
    kept: KeptMeasurements | None,
    jobs: int,
    monitor: Monitor,
) -> MeasuredStars:
    tasks, strict = star_tasks(stars), settings.survey.strict
    keep = None if kept is None else kept.keeper(store, settings=settings.measurement, strict=strict)
    with monitor.step(f"measuring {galaxy} light curves", len(tasks)) as advance:
        return measure_stars(
            store,
            tasks,
            settings=settings.measurement,
            chunk=settings.lightcurves.chunk,
            jobs=jobs,
            strict=strict,
            keep=keep,
            advance=advance,
        )


def _inputs(
    tables: Sequence[Path], galaxy: str, store: LightCurveStore, stars: npt.NDArray[np.str_]
) -> list[InputFile]:
    """Catalogue files, and the text files that the light curves came from, by their hashes."""
    files = [hash_files(f"{galaxy} {path.name}", [path]) for path in tables]
    sources = ((star, store.source(str(star))) for star in stars)
    curves = [(f"{star}.dat", source.size, source.sha256) for star, source in sources if source is not None]
    return [*files, hash_group(f"{galaxy} phot/I", curves)] if curves else files


def _calibration(clouds: Sequence[_MeasuredCloud], shape: ShapeSettings) -> tuple[CCalibration | None, list[str]]:
    """Fit measured c to published c over all Clouds, and say what came of it."""
    names = ("c_measured", "e_c_measured", "c_published")
    measured, error, published = (np.concatenate([values(cloud.stars, name) for cloud in clouds]) for name in names)
    n_both = int(np.count_nonzero(np.isfinite(measured) & np.isfinite(published)))
    if n_both < shape.calibration_stars:
        return None, []
    fitted = calibrate_c(measured, error, published, least_stars=shape.calibration_stars)
    if fitted is None:
        return None, [f"c of {n_both} stars is both published and measured, but the two do not rise together"]
    note = (
        f"c of {fitted.n_stars} stars is both published and measured: Spearman correlation {fitted.correlation:.3f}, "
        f"published less measured {fitted.offset:+.3f} in the median; measured c is brought to the published scale, "
        f"with a scatter of {fitted.scatter:.3f}"
    )
    return fitted, [note]


def _spare_curves(stars: set[str]) -> list[SetAside]:
    reason = "expected a row of the star in ident.dat, found none"
    return [SetAside(f"phot/I/{star}.dat", 0, star, reason, "") for star in sorted(stars)]


def _notes(archive: Archive, galaxy: str, reading: CatalogueReading, store: LightCurveStore, survey: str) -> list[str]:
    notes = []
    place = archive.place(galaxy)
    if not store.stars("I"):
        notes.append(f"no light curves: none are in {place}/phot/I, so the shape of every star stays undecided")
    absent = [name for name in ("ell.dat", "remarks.txt") if reading.counts.get(f"{name} missing")]
    notes += [f"{place}/{name} is missing: read without it" for name in absent]
    if reading.release == "not recognised" and survey != "mock":
        notes.append(
            f"release not recognised by its {reading.counts['stars']} stars: "
            "counts cannot be compared with published ones"
        )
    return notes


def _check_match(table: MorphologyTable, clouds: Sequence[CloudSelection], settings: Settings) -> None:
    matched = sum(int((~np.isnan(values(cloud.stars, "c_published"))).sum()) for cloud in clouds)
    if matched == 0:
        example = next(iter(table.c), "none")
        msg = (
            f"morphology table {settings.morphology_table.table} has no star of this catalogue "
            f"(its first is {example}): name the column of the stars with id_column under [morphology_table]"
        )
        raise InputFormatError(msg)
    for cloud in clouds:
        cloud.counts["stars with a published c"] = int((~np.isnan(values(cloud.stars, "c_published"))).sum())
        cloud.counts["morphology table: duplicate rows"] = table.n_duplicates
        cloud.counts["morphology table: values out of range"] = table.n_out_of_range


def candidate_curves(selection: Selection) -> Iterator[tuple[QTable, FittedChunk]]:
    """Read the light curves of the candidates again, with their fits.

    Parameters
    ----------
    selection : Selection
        A run.

    Yields
    ------
    candidates : `~astropy.table.QTable`
        Those of the first candidates by rank, as many as the atlas shows, that are in one Cloud.
    fitted : FittedChunk
        Their points, phases and fits in the same order.
    """
    candidates = selection.candidates[: selection.settings.report.atlas_max]
    settings = selection.settings
    for cloud in selection.clouds:
        mine = candidates[label_column(candidates, "galaxy") == cloud.galaxy]
        if len(mine):
            yield (
                mine,
                read_and_fit(cloud.light_curves, star_tasks(mine), settings=settings.measurement),
            )
