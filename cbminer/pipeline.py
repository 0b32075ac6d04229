"""The way of the data, from an archive to judged stars. The only module that knows the order of the stages."""

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from astropy.table import QTable

from cbminer.candidate_blocks import CandidateBlocks
from cbminer.catalogue.schema import conform
from cbminer.chunk_measurement import measure_chunks, measure_groups
from cbminer.classifier.prediction import classifier_model
from cbminer.columns import FloatArray, label_column, values
from cbminer.engine import Engine, open_engine
from cbminer.errors import InputFormatError, SettingsError
from cbminer.flags import Flag
from cbminer.galaxies import GALAXIES, Galaxy
from cbminer.kept_measurements import KeptMeasurements
from cbminer.measurement import FittedChunk, MeasuredStars, StarTask, read_and_fit
from cbminer.monitor import Monitor
from cbminer.morphology.calibration import CCalibration, calibrate_c
from cbminer.morphology.published import VIZIER, MorphologyTable, morphology_by_star, read_morphology_table
from cbminer.morphology.shape import ShapeSettings
from cbminer.photometry.cloud_settings import common_distance, mean_reddening
from cbminer.photometry.reddening import ReddeningMap, read_reddening_map
from cbminer.provenance import InputFile, hash_files, hash_group
from cbminer.ranking.evidence import PopulationDensities
from cbminer.ranking.odds import Ranker
from cbminer.ranks import rank_blocks
from cbminer.selection.cutflow import CutflowCounts, judge, judge_catalogue
from cbminer.selection.plc import PLCRelation
from cbminer.selection.plc_table import RelationSample, all_relations, resolve_relation, tabulate_residuals
from cbminer.settings import Settings
from cbminer.star_blocks import ChainedBlocks, MappedBlocks, StarBlocks, stack_blocks
from cbminer.steps import (
    add_photometry,
    add_published_c,
    add_relation,
    add_shapes,
    choose_c,
    cloud_population,
    galaxy_notes,
    star_tasks,
)
from cbminer.survey.archive import Archive, TableArchive, open_archive
from cbminer.survey.mock import MOCK_PREFIX, MockCloud, build_mock_archive
from cbminer.survey.offline import NoNetwork
from cbminer.survey.ogle import CATALOGUE_FILES, CatalogueReading
from cbminer.survey.star_names import StarNames, star_names
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


@dataclass(frozen=True)
class CloudSelection:
    """Judged stars of one Cloud.

    Attributes
    ----------
    galaxy : {"LMC", "SMC"}
        The Cloud.
    blocks : StarBlocks
        Every star of the catalogue in the schema, judged and ranked, in tables that fit into memory.
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
    blocks: StarBlocks
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
    def stars(self) -> QTable:
        """All stars in one table, which takes the memory of all of them."""
        return conform(self.blocks.read())


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
        The Clouds of the run. Candidates are ranked over all of them.
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
    settings: Settings
    tables: list[Path] = field(default_factory=list)
    calibration: CCalibration | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def blocks(self) -> Iterable[QTable]:
        """Judged stars of all Clouds in tables that fit into memory, to be gone through more than once."""
        return ChainedBlocks([cloud.blocks for cloud in self.clouds])

    @property
    def stars(self) -> QTable:
        """Judged stars of all Clouds in one table, which takes the memory of all of them."""
        return conform(stack_blocks(self.blocks))

    @cached_property
    def ranked(self) -> CandidateBlocks:
        """Candidates of all Clouds in the order of their rank, in tables that fit into memory."""
        return CandidateBlocks(self.blocks)

    @property
    def candidates(self) -> QTable:
        """Candidates of all Clouds in the order of their rank, which takes the memory of all of them."""
        return self.ranked.first(len(self.ranked))


@dataclass(frozen=True)
class _Run:
    """What is the same for all Clouds."""

    archive: Archive
    survey: str
    settings: Settings
    tables: "_Tables"
    kept: KeptMeasurements | None
    jobs: int
    monitor: Monitor


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
            settings.survey.archive,
            cache=cache,
            fetching=settings.fetch,
            offline=settings.survey.offline,
            table=settings.table,
            max_mag_err=settings.cleaning.max_mag_err,
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
    if galaxy == "MW":
        msg = f"there is no simulated survey of the {galaxy}: leave out --survey mock"
        raise SettingsError(msg)
    distance, reddening = common_distance(settings.cloud, galaxy), mean_reddening(settings.cloud, galaxy)
    return MockCloud(
        name=galaxy,
        n_stars=settings.mock.n_lmc if galaxy == "LMC" else settings.mock.n_smc,
        distance_modulus=distance.distance_modulus,
        depth_scatter=distance.depth,
        mean_E_VI=reddening.E_VI,
        scatter_E_VI=reddening.scatter,
    )


def run_selection(
    archive: Archive,
    galaxies: Sequence[Galaxy],
    *,
    settings: Settings,
    survey: str = "ogle",
    vizier: Vizier | None = None,
    kept: KeptMeasurements | None = None,
    engine: Engine | None = None,
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
    engine : Engine, optional
        What measures light curves; threads by default. The result does not depend on it.
    jobs : int, optional
        Threads. The result does not depend on it.
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
    run = _Run(archive, survey, settings, tables, kept, jobs, monitor)
    with ExitStack() as stack:
        workers = engine or stack.enter_context(open_engine("threads", jobs=jobs))
        measured = [_measure_cloud(run, galaxy, workers) for galaxy in galaxies]
    if tables.morphology is not None:
        _check_match(tables.morphology, measured, settings)
    # One scale of c for all Clouds.
    calibration, notes = _calibration(measured, settings.shape)
    judged = []
    for cloud in measured:
        with monitor.step(f"judging and ranking the {cloud.galaxy}", None):
            judged.append(_judge_cloud(run, cloud, calibration, populations[cloud.galaxy]))
    name = "mock" if any(cloud.survey == "mock" for cloud in measured) else measured[0].survey
    return Selection(name, archive, _with_ranks(judged, settings), settings, used, calibration, notes)


def _morphology_table(settings: Settings, galaxies: Sequence[Galaxy], vizier: Vizier | None) -> MorphologyTable | None:
    table = settings.morphology_table.table
    if table == VIZIER and vizier is not None:
        return morphology_by_star(vizier.morphology_table(galaxies))
    return read_morphology_table(settings.morphology_table) if table else None


def _catalogue(run: _Run, galaxy: Galaxy) -> tuple[CatalogueReading, list[Path]]:
    """Stars of a Cloud, and the files that they were read from."""
    strict, vizier = run.settings.survey.strict, run.tables.catalogue
    if vizier is not None:
        before = set(vizier.used)
        reading = vizier.catalogue(galaxy, strict=strict)
        return reading, [path for path in vizier.used if path not in before]
    folder = run.archive.catalogue_folder(galaxy, monitor=run.monitor)
    with run.monitor.step(f"reading the {galaxy} catalogue", None):
        reading = run.archive.catalogue(galaxy, strict=strict)
    if isinstance(run.archive, TableArchive):
        return reading, run.archive.catalogue_files()
    return reading, [folder / name for name in CATALOGUE_FILES if (folder / name).exists()]


def _true_survey(run: _Run, galaxy: Galaxy, reading: CatalogueReading) -> str:
    """Name the survey; simulated stars never pass for observed ones."""
    ids = reading.ids()
    simulated = np.char.startswith(ids, MOCK_PREFIX.encode())
    if run.archive.is_mock(galaxy) or (len(simulated) and simulated.all()):
        return "mock"
    if simulated.any():
        star = ids[simulated][0].decode()
        place = run.archive.place(galaxy)
        msg = f"{place} mixes simulated stars, such as {star}, with observed ones: keep them apart"
        raise InputFormatError(msg)
    return run.archive.survey if isinstance(run.archive, TableArchive) else run.survey


@dataclass
class _MeasuredCloud:
    """A Cloud whose light curves are measured, and whose stars are not judged yet.

    Attributes
    ----------
    galaxy, survey : str
        The Cloud, and the true name of the survey.
    reading : CatalogueReading
        The catalogue.
    files : list of `~pathlib.Path`
        What it was read from.
    store : LightCurveStore
        The light curves.
    blocks : StarBlocks
        Stars with photometry and shapes.
    set_aside : list of SetAside
        Lines and files of light curves that were kept out.
    counts : `~collections.Counter`
        Light curves and points by what became of them.
    c_of_both : list of `~numpy.ndarray`
        Measured c, its error and published c of stars that have both, by block, shape (3, n).
    n_published : int
        Stars with a published c.
    """

    galaxy: Galaxy
    survey: str
    reading: CatalogueReading
    files: list[Path]
    store: LightCurveStore
    blocks: StarBlocks = field(default_factory=StarBlocks)
    set_aside: list[SetAside] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    c_of_both: list[FloatArray] = field(default_factory=list)
    n_published: int = 0

    def add(self, stars: QTable, measured: MeasuredStars) -> None:
        """Take in a block with its shapes."""
        self.blocks.append(stars)
        self.set_aside += measured.set_aside
        self.counts.update(measured.counts)
        both = np.array([values(stars, name) for name in ("c_measured", "e_c_measured", "c_published")])
        self.n_published += int(np.count_nonzero(np.isfinite(both[2])))
        self.c_of_both.append(both[:, np.isfinite(both[0]) & np.isfinite(both[2])])


def _measure_cloud(run: _Run, galaxy: Galaxy, engine: Engine) -> _MeasuredCloud:
    settings = run.settings
    reading, files = _catalogue(run, galaxy)
    survey = _true_survey(run, galaxy, reading)
    photometry = partial(
        add_photometry, survey=survey, settings=settings, cloud=settings.cloud[galaxy], dust=run.tables.dust
    )
    relation = resolve_relation(MappedBlocks(reading.blocks, photometry), settings.selection)

    def prepare(block: QTable) -> tuple[QTable, npt.NDArray[np.bool_]]:
        stars = add_relation(photometry(block), relation)
        return stars, _wanted(run.archive, stars, settings)

    names = star_names(_wanted_stars(run.archive, reading, prepare, settings))
    store = run.archive.light_curves(galaxy, names, monitor=run.monitor)
    cloud = _MeasuredCloud(galaxy, survey, reading, files, store)
    measured = _measured_blocks(run, galaxy, engine, store, map(prepare, reading.blocks), len(names))
    for stars, wanted, shapes in measured:
        cloud.add(add_published_c(add_shapes(stars, wanted, shapes), run.tables.morphology), shapes)
    return cloud


def _wanted_stars(
    archive: Archive,
    reading: CatalogueReading,
    prepare: Callable[[QTable], tuple[QTable, npt.NDArray[np.bool_]]],
    settings: Settings,
) -> Iterable[str] | StarNames:
    """Name the stars whose light curves are read."""
    if _everyone(archive, settings):
        return reading.ids()
    return (
        star for stars, wanted in map(prepare, reading.blocks) for star in label_column(stars, "id")[wanted].tolist()
    )


def _measured_blocks(
    run: _Run,
    galaxy: Galaxy,
    engine: Engine,
    store: LightCurveStore,
    prepared: Iterable[tuple[QTable, npt.NDArray[np.bool_]]],
    n_stars: int,
) -> Iterator[tuple[QTable, npt.NDArray[np.bool_], MeasuredStars]]:
    """Measure the stars of blocks; while the last chunks of a block are measured, the next block is prepared."""
    settings, waiting = run.settings, deque[tuple[QTable, npt.NDArray[np.bool_]]]()

    def tasks() -> Iterator[list[StarTask]]:
        for stars, wanted in prepared:
            waiting.append((stars, wanted))
            yield star_tasks(stars[wanted])

    measure = partial(
        measure_chunks,
        store,
        settings=settings.measurement,
        engine=engine,
        strict=settings.survey.strict,
        kept=run.kept,
    )
    with run.monitor.step(f"measuring {galaxy} light curves", n_stars) as advance:
        for measured in measure_groups(tasks(), chunk=settings.lightcurves.chunk, measure=measure, advance=advance):
            yield (*waiting.popleft(), measured)


def _judge_cloud(
    run: _Run, cloud: _MeasuredCloud, calibration: CCalibration | None, population: PopulationDensities
) -> CloudSelection:
    settings, galaxy = run.settings, cloud.galaxy
    # Again, since light curves may have changed periods.
    relation = resolve_relation(cloud.blocks, settings.selection)
    judged, cutflow, sample = StarBlocks(), CutflowCounts(settings.selection), RelationSample(settings.selection)
    for block in cloud.blocks:
        stars = add_relation(choose_c(block, calibration, settings.shape), relation)
        cutflow.add(stars)
        sample.add(stars)
        judged.append(conform(judge(stars, settings.selection)))
    spare = run.archive.spare_light_curves(galaxy, cloud.reading.ids())
    counts = cloud.reading.counts | cloud.counts | {"light curves without a row": len(spare)}
    if isinstance(run.archive, TableArchive):
        counts |= {f"table {name}": count for name, count in run.archive.point_counts(galaxy).items()}
    ranker, ranked = Ranker.fit_blocks(
        judged,
        population,
        settings=settings.ranking,
        prior=settings.classifier.prior,
        jobs=run.jobs,
    )
    blocks = StarBlocks()
    for block in ranked:
        blocks.append(conform(block))
    return CloudSelection(
        galaxy=galaxy,
        blocks=blocks,
        cutflow=cutflow.table(),
        residuals=tabulate_residuals(sample, all_relations(sample, settings.selection), settings.selection),
        relation=relation,
        set_aside=cloud.reading.set_aside + cloud.set_aside + _spare_curves(spare),
        counts=counts,
        release=cloud.reading.release if cloud.survey != "mock" else "simulated",
        light_curves=cloud.store,
        ranker=ranker,
        notes=_notes(run.archive, galaxy, cloud.reading, cloud.store, cloud.survey)
        + galaxy_notes(galaxy, next(iter(cloud.reading.blocks)).colnames, settings),
        inputs=list(_inputs(cloud)),
    )


def _inputs(cloud: _MeasuredCloud) -> Iterator[InputFile]:
    """Catalogue files, and the text files that the light curves came from, by their hashes."""
    for path in cloud.files:
        yield hash_files(f"{cloud.galaxy} {path.name}", [path])
    curves = hash_group(f"{cloud.galaxy} phot/I", _curves_read(cloud))
    if curves.n_files:
        yield curves


def _curves_read(cloud: _MeasuredCloud) -> Iterator[tuple[str, int, str]]:
    for block in cloud.blocks.columns(["id", "flags"]):
        read = (np.asarray(block["flags"]) & int(Flag.LIGHT_CURVE_NOT_READ)) == 0
        names = label_column(block, "id")[read].tolist()
        for star, source in zip(names, cloud.store.sources(names), strict=True):
            if source is not None:
                yield f"{star}.dat", source.size, source.sha256


def _with_ranks(clouds: Sequence[CloudSelection], settings: Settings) -> list[CloudSelection]:
    """Rank the stars of all Clouds in one list."""
    ranked = rank_blocks([cloud.blocks for cloud in clouds], settings)
    return [replace(cloud, blocks=blocks) for cloud, blocks in zip(clouds, ranked, strict=True)]


def _wanted(archive: Archive, stars: QTable, settings: Settings) -> npt.NDArray[np.bool_]:
    """Stars whose light curves are read."""
    everyone = _everyone(archive, settings)
    return np.ones(len(stars), dtype=bool) if everyone else judge_catalogue(stars, settings.selection)


def _everyone(archive: Archive, settings: Settings) -> bool:
    measure = settings.lightcurves.measure
    return measure == "all" or (measure == "auto" and archive.is_local)


def _calibration(clouds: Sequence[_MeasuredCloud], shape: ShapeSettings) -> tuple[CCalibration | None, list[str]]:
    """Fit measured c to published c over all Clouds, and say what came of it."""
    measured, error, published = np.concatenate([part for cloud in clouds for part in cloud.c_of_both], axis=1)
    n_both = len(measured)
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


def _spare_curves(stars: Iterable[str]) -> list[SetAside]:
    reason = "expected a row of the star in ident.dat, found none"
    return [SetAside(f"phot/I/{star}.dat", 0, star, reason, "") for star in stars]


def _notes(archive: Archive, galaxy: str, reading: CatalogueReading, store: LightCurveStore, survey: str) -> list[str]:
    notes = []
    place = archive.place(galaxy)
    if not len(store.names("I")):
        where = place if isinstance(archive, TableArchive) else f"{place}/phot/I"
        notes.append(f"no light curves: none are in {where}, so the shape of every star stays undecided")
    absent = [name for name in ("ell.dat", "remarks.txt") if reading.counts.get(f"{name} missing")]
    notes += [f"{place}/{name} is missing: read without it" for name in absent]
    if reading.release == "not recognised" and survey != "mock":
        notes.append(
            f"release not recognised by its {reading.counts['stars']} stars: "
            "counts cannot be compared with published ones"
        )
    return notes


def _check_match(table: MorphologyTable, clouds: Sequence[_MeasuredCloud], settings: Settings) -> None:
    if not any(cloud.n_published for cloud in clouds):
        example = next(iter(table.c), "none")
        msg = (
            f"morphology table {settings.morphology_table.table} has no star of this catalogue "
            f"(its first is {example}): name the column of the stars with id_column under [morphology_table]"
        )
        raise InputFormatError(msg)
    for cloud in clouds:
        cloud.counts["stars with a published c"] = cloud.n_published
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
    candidates = selection.ranked.first(selection.settings.report.atlas_max)
    settings = selection.settings
    for cloud in selection.clouds:
        mine = candidates[label_column(candidates, "galaxy") == cloud.galaxy]
        if len(mine):
            yield (
                mine,
                read_and_fit(cloud.light_curves, star_tasks(mine), settings=settings.measurement),
            )
