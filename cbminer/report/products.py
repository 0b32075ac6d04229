"""Every file of an output folder."""

from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable, Row, Table, vstack

from cbminer.catalogue.writers import CatalogueTitle, write_catalogue
from cbminer.columns import label_column, values
from cbminer.measurement import FittedChunk
from cbminer.morphology.calibration import CCalibration
from cbminer.morphology.published import VIZIER
from cbminer.morphology.shape import shape_model
from cbminer.pipeline import Selection, candidate_curves
from cbminer.provenance import InputFile, Provenance, hash_files, write_provenance
from cbminer.ranking.fit_data import BANDS
from cbminer.report.classes import classifier_record, probabilities_text
from cbminer.report.counting import count_labels
from cbminer.report.figure_saving import SaveFigure, figures_saved
from cbminer.report.figures import (
    FoldedCurve,
    atlas_pages,
    colour_magnitude_diagram,
    cutflow_diagram,
    period_histogram,
    period_luminosity_diagram,
)
from cbminer.report.page.data import gather_report, shown_densities
from cbminer.report.page.diagrams import main_sequence_region, relation_band
from cbminer.report.page.page import PAGE_FILE, write_page
from cbminer.report.ranking import compare_choices
from cbminer.report.ranking_figure import ranking_figure
from cbminer.report.shape_figure import phase_offset
from cbminer.settings import settings_to_toml
from cbminer.survey.archive import Archive, is_url
from cbminer.survey.store import LightCurveStore
from cbminer.survey.textfile import SetAside
from cbminer.theory.density import PopulationDensity

__all__ = ["SET_ASIDE_FILE", "cutflow_of_run", "write_products", "write_run_page"]

SET_ASIDE_FILE = "set_aside.ecsv"
# There are some ten figures: more processes would start in vain.
_FIGURE_PROCESSES = 3
_MODEL_PHASE = np.linspace(-0.25, 1.25, 301)


def write_products(folder: Path, selection: Selection, *, command: str, page: bool = True, jobs: int = 1) -> None:
    """Write the catalogues, the tables, the figures, the provenance and the page of a run.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder, which must exist.
    selection : Selection
        The run.
    command : str
        The command that made it.
    page : bool, optional
        Whether to write the page; else `write_run_page` may do it later.
    jobs : int, optional
        Processes, this one among them, which writes the catalogues while others save the figures.
    """
    with figures_saved(min(jobs - 1, _FIGURE_PROCESSES)) as save:
        _write_figures(folder / "figures", selection, save)
        _write_tables(folder, selection)
    (folder / "settings.toml").write_text(settings_to_toml(selection.settings), encoding="utf-8")
    write_provenance(folder, _provenance(selection, command))
    if page:
        write_run_page(folder, selection)


def _write_tables(folder: Path, selection: Selection) -> None:
    _write_catalogues(folder, selection)
    cutflow_of_run(selection).write(folder / "cutflow.ecsv", format="ascii.ecsv")
    compare_choices(selection.blocks).write(folder / "choices.ecsv", format="ascii.ecsv")
    residuals = _stacked(selection, "residuals")
    residuals.write(folder / "plc_residuals.ecsv", format="ascii.ecsv")
    _set_aside_table(selection).write(folder / SET_ASIDE_FILE, format="ascii.ecsv")


def write_run_page(folder: Path, selection: Selection) -> None:
    """Write the page of a run whose other products are written.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder of the products.
    selection : Selection
        The run.
    """
    candidates = selection.ranked.first(selection.settings.report.sheets_max)
    galaxies = label_column(candidates, "galaxy")
    stores: dict[str, LightCurveStore] = {}
    for cloud in selection.clouds:
        mine = label_column(candidates, "id")[galaxies == cloud.galaxy].tolist()
        # Of a server only what has been fetched is shown: V for a page is not worth asking for.
        local = selection.archive.is_local and bool(mine)
        stores[cloud.galaxy] = (
            selection.archive.light_curves(cloud.galaxy, mine, bands=BANDS) if local else cloud.light_curves
        )
    populations: dict[str, dict[str, PopulationDensity]] = {
        cloud.galaxy: shown_densities(cloud.ranker.population) for cloud in selection.clouds
    }
    write_page(folder / PAGE_FILE, gather_report(folder, stores=stores, populations=populations))


def cutflow_of_run(selection: Selection) -> QTable:
    """Cut-flow of every Cloud in one table.

    Parameters
    ----------
    selection : Selection
        The run.

    Returns
    -------
    `~astropy.table.QTable`
        Rows as `cbminer.selection.cutflow.tabulate_cutflow` makes them, with the Cloud in front.
    """
    return _stacked(selection, "cutflow")


def _stacked(selection: Selection, name: str) -> QTable:
    parts = []
    for cloud in selection.clouds:
        part = getattr(cloud, name).copy()
        part.add_column(np.full(len(part), cloud.galaxy), name="galaxy", index=0)
        parts.append(part)
    return vstack(parts, metadata_conflicts="silent")


def _write_catalogues(folder: Path, selection: Selection) -> None:
    galaxies = " and ".join(cloud.galaxy for cloud in selection.clouds)
    source = "; ".join(f"{cloud.galaxy}: {cloud.release}" for cloud in selection.clouds)
    for stem, stars, what in (
        ("candidates", selection.ranked, "Candidate massive contact binaries"),
        ("judged", selection.blocks, "All stars judged in the search for massive contact binaries"),
    ):
        title = CatalogueTitle(f"{what} of the {galaxies}", selection.survey, source, version("cbminer"))
        write_catalogue(stars, folder, stem, title=title)


def _set_aside_table(selection: Selection) -> Table:
    items: list[tuple[str, SetAside]] = [(cloud.galaxy, item) for cloud in selection.clouds for item in cloud.set_aside]
    names = ("galaxy", "file", "line", "star", "reason", "text")
    rows = [(galaxy, *asdict(item).values()) for galaxy, item in items]
    return Table(rows=rows, names=names) if rows else Table(names=names, dtype=("U3", "U9", "i8", "U9", "U9", "U9"))


def _provenance(selection: Selection, command: str) -> Provenance:
    clouds = selection.clouds
    inputs: list[InputFile] = [item for cloud in clouds for item in cloud.inputs]
    for path, name in (
        (selection.settings.reddening.map, "reddening map"),
        (selection.settings.morphology_table.table, "morphology table"),
    ):
        if path is not None and path != VIZIER:
            inputs.append(hash_files(name, [Path(path).expanduser()]))
    inputs += [hash_files(f"VizieR {path.name}", [path]) for path in selection.tables]
    n_selected = count_labels(selection.ranked, "galaxy")
    return Provenance(
        command=command,
        survey=selection.survey,
        archive=_place_of(selection.archive),
        galaxies=[cloud.galaxy for cloud in clouds],
        releases={cloud.galaxy: cloud.release for cloud in clouds},
        settings=selection.settings.model_dump(mode="json"),
        seed=selection.settings.seed,
        relations={cloud.galaxy: asdict(cloud.relation) for cloud in clouds},
        counts={cloud.galaxy: cloud.counts | {"candidates": n_selected[cloud.galaxy]} for cloud in clouds},
        inputs=inputs,
        ranking={cloud.galaxy: cloud.ranker.record() for cloud in selection.clouds},
        c_calibration=None if selection.calibration is None else _calibration_record(selection.calibration),
        classifier=classifier_record(selection.settings.classifier),
    )


def _place_of(archive: Archive) -> str:
    """Say where an archive is, so that it is found from any folder."""
    return archive.location if is_url(archive.location) else str(Path(archive.location).resolve())


def _calibration_record(calibration: CCalibration) -> dict[str, Any]:
    record = asdict(calibration)
    return record | {name: np.round(record[name], 4).tolist() for name in ("measured", "published")}


def _write_figures(folder: Path, selection: Selection, save: SaveFigure) -> None:
    folder.mkdir()
    cuts = selection.settings.selection
    region = main_sequence_region(cuts)
    save(colour_magnitude_diagram(selection.blocks, region), folder / "colour_magnitude")
    save(period_histogram(selection.blocks, cuts), folder / "period_histogram")
    for cloud in selection.clouds:
        band = relation_band(cloud.blocks, cloud.relation, cuts)
        save(period_luminosity_diagram(cloud.blocks, band), folder / f"period_luminosity_{cloud.galaxy}")
        odds = ranking_figure(
            cloud.blocks,
            cloud.ranker.population.counted.get("contact"),
            galaxy=cloud.galaxy,
            contour=selection.settings.ranking.contour,
        )
        save(odds, folder / f"odds_{cloud.galaxy}")
        save(cutflow_diagram(cloud.cutflow, survey=selection.survey), folder / f"cutflow_{cloud.galaxy}")
    for page, atlas in enumerate(atlas_pages(_folded_curves(selection), survey=selection.survey), start=1):
        save(atlas, folder / f"atlas_{page:02d}", formats=("png",))


def _folded_curves(selection: Selection) -> Sequence[FoldedCurve]:
    folded = {}
    phase_zero = selection.settings.lightcurves.phase_zero
    for candidates, fitted in candidate_curves(selection):
        epochs = values(candidates, "T0", "d")
        for index, row in enumerate(candidates):
            zero = phase_offset(fitted, index, phase_zero=phase_zero, has_epoch=bool(np.isfinite(epochs[index])))
            folded[int(row["rank"])] = _folded_curve(row, fitted, index, zero)
    return [folded[rank] for rank in sorted(folded)]


def _folded_curve(row: Row, fitted: FittedChunk, index: int, zero: float) -> FoldedCurve:
    curves, shapes = fitted.cleaned.curves, fitted.shapes
    points = curves.points_of(index)
    lines = (
        f"{row['galaxy']}  P = {row['period'].to_value('d'):.4f} d",
        f"M_V = {row['M_V'].to_value('mag'):.2f}  W = {row['W']:.3f}  c = {row['c']:.2f}",
        probabilities_text(fitted.classes.probability[index], fitted.classes.e_probability[index], sign="±", most=2),
    )
    return FoldedCurve(
        str(row["id"]),
        lines,
        (fitted.cleaned.phase[points] - zero) % 1.0,
        curves.mag[points],
        curves.mag_err[points],
        _MODEL_PHASE,
        shape_model(shapes, index, _MODEL_PHASE + zero - shapes.phase_zero[index]),
    )
