"""The way of the data, from an archive to judged stars. The only module that knows the order of the stages."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from astropy.table import MaskedColumn, QTable, vstack

from cbminer.catalogue.schema import conform, round_columns, spec_of
from cbminer.classifier.prediction import classifier_model
from cbminer.columns import float_column, label_column, values
from cbminer.errors import InputFormatError
from cbminer.flags import Flag
from cbminer.measurement import FittedChunk, MeasuredStars, StarTask, measure_stars, read_and_fit
from cbminer.monitor import Monitor
from cbminer.morphology.calibration import CCalibration, calibrate_c
from cbminer.morphology.published import VIZIER, MorphologyTable, morphology_by_star, read_morphology_table
from cbminer.morphology.shape import ShapeSettings
from cbminer.photometry.distance import distance_moduli
from cbminer.photometry.magnitudes import add_intrinsic_photometry
from cbminer.photometry.reddening import ReddeningMap, read_reddening_map, reddening_of
from cbminer.provenance import InputFile, hash_files, hash_group
from cbminer.selection.cutflow import judge, judge_catalogue, ranks, tabulate_cutflow
from cbminer.selection.cuts import plc_residuals, spectral_labels
from cbminer.selection.plc import PLCRelation
from cbminer.selection.plc_table import all_relations, resolve_relation, tabulate_residuals
from cbminer.settings import CloudSettings, Settings
from cbminer.survey.archive import Archive, open_archive
from cbminer.survey.mock import MOCK_PREFIX, MockCloud, build_mock_archive
from cbminer.survey.offline import NoNetwork
from cbminer.survey.ogle import CATALOGUE_FILES, CatalogueReading
from cbminer.survey.store import LightCurveStore
from cbminer.survey.textfile import SetAside
from cbminer.survey.vizier import Vizier

__all__ = ["CloudSelection", "Galaxy", "Selection", "candidate_curves", "open_survey", "open_vizier", "run_selection"]

Galaxy = Literal["LMC", "SMC"]


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
    notes: list[str] = field(default_factory=list)
    inputs: list[InputFile] = field(default_factory=list)


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
    measured = [_measure_cloud(archive, galaxy, survey, settings, tables, jobs, monitor) for galaxy in galaxies]
    # One scale of c for all Clouds.
    calibration, notes = _calibration(measured, settings.shape)
    clouds = [_judge_cloud(cloud, archive, settings, calibration) for cloud in measured]
    name = "mock" if any("mock" in label_column(cloud.stars, "survey") for cloud in clouds) else survey
    if tables.morphology is not None:
        _check_match(tables.morphology, clouds, settings)
    stars = _rank_together(clouds)
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
    jobs: int,
    monitor: Monitor,
) -> _MeasuredCloud:
    reading, files = _catalogue(archive, galaxy, settings, tables.catalogue, monitor)
    survey = _true_survey(archive, galaxy, reading, survey)
    stars = _photometry(reading.stars, survey, settings, settings.cloud[galaxy], tables.dust)
    stars = _with_relation(stars, resolve_relation(stars, settings.selection))
    wanted = _wanted(archive, stars, settings)
    store = archive.light_curves(galaxy, label_column(stars, "id")[wanted].tolist(), monitor=monitor)
    measured = _measure(store, galaxy, stars[wanted], settings, jobs, monitor)
    stars = _with_published_c(_with_shapes(stars, wanted, measured), tables.morphology)
    return _MeasuredCloud(galaxy, survey, stars, reading, files, store, measured, wanted)


def _judge_cloud(
    cloud: _MeasuredCloud, archive: Archive, settings: Settings, calibration: CCalibration | None
) -> CloudSelection:
    stars = _with_c(cloud.stars, calibration, settings.shape)
    # Again, since light curves may have changed periods.
    relation = resolve_relation(stars, settings.selection)
    stars = judge(_with_relation(stars, relation), settings.selection)
    spare = set(archive.light_curve_stars(cloud.galaxy)) - set(label_column(stars, "id"))
    counts = cloud.reading.counts | cloud.measured.counts | {"light curves without a row": len(spare)}
    return CloudSelection(
        galaxy=cloud.galaxy,
        stars=conform(stars),
        cutflow=tabulate_cutflow(stars, settings.selection),
        residuals=tabulate_residuals(stars, all_relations(stars, settings.selection), settings.selection),
        relation=relation,
        set_aside=cloud.reading.set_aside + cloud.measured.set_aside + _spare_curves(spare),
        counts=counts,
        release=cloud.reading.release if cloud.survey != "mock" else "simulated",
        light_curves=cloud.store,
        notes=_notes(archive, cloud.galaxy, cloud.reading, cloud.store, cloud.survey),
        inputs=_inputs(cloud.files, cloud.galaxy, cloud.store, label_column(stars, "id")[cloud.wanted]),
    )


def _photometry(
    stars: QTable, survey: str, settings: Settings, cloud: CloudSettings, dust: ReddeningMap | None
) -> QTable:
    """Distance, reddening, absolute magnitude, colour and label of every star."""
    result = stars.copy()
    result["survey"] = np.full(len(stars), survey)
    ra, dec = values(stars, "RAJ2000", "deg"), values(stars, "DEJ2000", "deg")
    distance = distance_moduli(ra, dec, settings=cloud.distance)
    reddening = reddening_of(ra, dec, mean=cloud.reddening, dust=dust, star_scatter=settings.reddening.star_scatter)
    result["distance_modulus"] = float_column(distance.modulus, "mag")
    result["e_distance_modulus"] = float_column(distance.error, "mag")
    result["E_VI"] = float_column(reddening.E_VI, "mag")
    result["e_E_VI"] = float_column(reddening.error, "mag")
    result["E_VI_err_minus"] = float_column(reddening.lower, "mag")
    result["E_VI_err_plus"] = float_column(reddening.upper, "mag")
    result = round_columns(add_intrinsic_photometry(result, settings.extinction))
    with np.errstate(invalid="ignore"):
        bright = values(result, "I_mag", "mag") < settings.survey.saturation_I
    saturation = np.where(bright, int(Flag.SATURATION_RISK), 0)
    result["flags"] = np.asarray(stars["flags"]) | reddening.flags | saturation
    labels = spectral_labels(result, settings.selection.main_sequence)
    result["spectral_label"] = MaskedColumn(labels, mask=labels == "")
    return result


def _with_relation(stars: QTable, relation: PLCRelation) -> QTable:
    result = stars.copy()
    residuals = plc_residuals(stars, relation)
    result["plc_residual"] = float_column(residuals.residual, "mag")
    result["e_plc_residual"] = float_column(residuals.error, "mag")
    result["plc_significance"] = float_column(residuals.significance)
    return round_columns(result)


def _wanted(archive: Archive, stars: QTable, settings: Settings) -> npt.NDArray[np.bool_]:
    """Stars whose light curves are read."""
    measure = settings.lightcurves.measure
    everyone = measure == "all" or (measure == "auto" and archive.is_local)
    return np.ones(len(stars), dtype=bool) if everyone else judge_catalogue(stars, settings.selection)


def _measure(
    store: LightCurveStore, galaxy: str, stars: QTable, settings: Settings, jobs: int, monitor: Monitor
) -> MeasuredStars:
    tasks = _tasks(stars)
    with monitor.step(f"measuring {galaxy} light curves", len(tasks)) as advance:
        return measure_stars(
            store,
            tasks,
            settings=settings.measurement,
            chunk=settings.lightcurves.chunk,
            jobs=jobs,
            strict=settings.survey.strict,
            advance=advance,
        )


def _tasks(stars: QTable) -> list[StarTask]:
    # Of judged stars too the survey's period is where the judgement begins, so that it ends in the same.
    listed = "period_survey" if "period_survey" in stars.colnames else "period"
    columns = (values(stars, name, unit) for name, unit in ((listed, "d"), ("T0", "d"), ("VI0", "mag")))
    return [
        StarTask(str(name), float(period), float(epoch), float(colour))
        for name, period, epoch, colour in zip(stars["id"], *columns, strict=True)
    ]


def _inputs(
    tables: Sequence[Path], galaxy: str, store: LightCurveStore, stars: npt.NDArray[np.str_]
) -> list[InputFile]:
    """Catalogue files, and the text files that the light curves came from, by their hashes."""
    files = [hash_files(f"{galaxy} {path.name}", [path]) for path in tables]
    sources = ((star, store.source(str(star))) for star in stars)
    curves = [(f"{star}.dat", source.size, source.sha256) for star, source in sources if source is not None]
    return [*files, hash_group(f"{galaxy} phot/I", curves)] if curves else files


# Measured quantities whose columns have another name: the catalogue's c may be a published one, and formats without
# upper and lower case would not tell p_not_eclipsing from P_not_eclipsing, the probability of a class.
_COLUMN_OF = {"c": "c_measured", "e_c": "e_c_measured", "p_not_eclipsing": "p_other"}


def _with_shapes(stars: QTable, wanted: npt.NDArray[np.bool_], measured: MeasuredStars) -> QTable:
    result = stars.copy()
    result["period_survey"] = result["period"]
    for name, data in measured.shapes.items():
        full = values(stars, "period", "d").copy() if name == "period" else np.full(len(stars), np.nan)
        full[wanted] = np.where(np.isnan(data), full[wanted], data)
        if name.startswith("n_"):
            known = full >= 0
            result[name] = MaskedColumn(np.where(known, full, 0).astype(np.int64), mask=~known)
        else:
            column = _COLUMN_OF.get(name, name)
            result[column] = float_column(full, spec_of(column).unit)
    for name, words in measured.labels.items():
        every = np.full(len(stars), "", dtype=object)
        every[wanted] = words
        result[name] = MaskedColumn(every.astype(str), mask=every == "")
    flags = np.where(wanted, 0, int(Flag.LIGHT_CURVE_NOT_READ))
    flags[wanted] = measured.flags
    result["flags"] = np.asarray(stars["flags"]) | flags
    return result


def _with_published_c(stars: QTable, table: MorphologyTable | None) -> QTable:
    result = stars.copy()
    unknown = np.full(len(stars), np.nan)
    published = unknown if table is None else table.look_up(label_column(stars, "id"))
    result["c_published"] = float_column(published)
    for name in ("c_measured", "e_c_measured"):
        if name not in result.colnames:
            result[name] = float_column(unknown)
    return result


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


def _with_c(stars: QTable, calibration: CCalibration | None, shape: ShapeSettings) -> QTable:
    """Choose the c of every star: the published one, or the measured one on the published scale."""
    result = stars.copy()
    published, c, e_c = (values(stars, name) for name in ("c_published", "c_measured", "e_c_measured"))
    if calibration is not None:
        c, e_c = calibration.apply(c, e_c)
    replaced = ~np.isnan(published) & (shape.c == "published")
    result["c"] = float_column(np.where(replaced, published, c))
    result["e_c"] = float_column(np.where(replaced, np.nan, e_c))
    result["flags"] = np.asarray(stars["flags"]) | np.where(replaced, int(Flag.C_PUBLISHED), 0)
    return result


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


def _rank_together(clouds: Sequence[CloudSelection]) -> QTable:
    """Stack the Clouds and rank the candidates of all of them in one list."""
    stars = vstack([cloud.stars for cloud in clouds], metadata_conflicts="silent")
    stars["rank"] = ranks(stars)
    return conform(stars)


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
                read_and_fit(cloud.light_curves, _tasks(mine), settings=settings.measurement),
            )
