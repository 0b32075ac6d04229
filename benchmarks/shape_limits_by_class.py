"""Share of labelled stars that each shape limit passes, by class, and the curves of labels that look wrong.

Usage: python benchmarks/shape_limits_by_class.py RUN LABELS [FIGURE]

RUN is the output folder of ``cbminer select`` on the stars, LABELS a CSV table with the columns name and ogle2_class.
FIGURE, if given, is a picture of the stars that pass although they are not labelled EW.
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from astropy.table import QTable

from cbminer.cli_cache import cache_folder
from cbminer.columns import values
from cbminer.measurement import StarTask, read_and_fit
from cbminer.morphology.shape import shape_model
from cbminer.provenance import read_provenance
from cbminer.report.figures import FoldedCurve, atlas_pages, save_figure
from cbminer.selection.cutflow import SelectionSettings
from cbminer.settings import settings_from_mapping
from cbminer.survey.archive import open_archive

CLASSES = ("EA", "EB", "EW")


def limits(stars: QTable, selection: SelectionSettings) -> Iterator[tuple[str, np.ndarray]]:
    """Yield every shape condition and the two cuts together."""
    together = np.ones(len(stars), dtype=bool)
    for cut in (selection.equal_depths, selection.smooth_shape):
        verdict = cut.apply(stars)
        for condition in verdict.conditions:
            yield condition.quantity, condition.passed
        yield cut.name, verdict.passed
        together &= verdict.passed
    yield "both cuts", together


def main() -> None:
    run, labels = Path(sys.argv[1]), Path(sys.argv[2])
    provenance = read_provenance(run)
    settings = settings_from_mapping(provenance.settings)
    with labels.open() as stream:
        kinds = {row["name"]: row["ogle2_class"] for row in csv.DictReader(stream)}
    judged = QTable.read(run / "judged.fits")
    stars = judged[[str(name) in kinds for name in judged["id"]]]
    kind = np.array([kinds[str(name)] for name in stars["id"]])
    print(f"{'limit':<26}" + "".join(f"{f'{name} ({np.sum(kind == name)})':>12}" for name in CLASSES))
    passed = np.zeros(len(stars), dtype=bool)
    for name, passed in limits(stars, settings.selection):
        print(f"{name:<26}" + "".join(f"{np.mean(passed[kind == label]):>12.3f}" for label in CLASSES))
    difference = np.abs(values(stars, "depth_difference", "mag")) / values(stars, "depth1", "mag")
    for title, data in (("median |d1-d2|/d1", difference), ("median W", values(stars, "W"))):
        print(f"{title:<26}" + "".join(f"{np.median(data[kind == label]):>12.3f}" for label in CLASSES))
    odd = stars[passed & (kind != "EW")]
    print("pass without being EW:", ", ".join(f"{name} ({kinds[str(name)]})" for name in odd["id"]) or "none")
    if len(sys.argv) > 3 and len(odd):
        names = [str(name) for name in odd["id"]]
        store = open_archive(provenance.archive, cache=cache_folder(None)).light_curves("LMC", names)
        tasks = [StarTask(str(row["id"]), row["period_survey"].value, np.nan) for row in odd]
        fitted = read_and_fit(store, tasks, settings=settings.measurement)
        page = next(iter(atlas_pages(list(_curves(odd, fitted, kinds)), survey=provenance.survey)))
        save_figure(page, Path(sys.argv[3]).with_suffix(""), formats=("png",))


def _curves(odd, fitted, kinds) -> Iterator[FoldedCurve]:
    grid = np.linspace(-0.25, 1.25, 301)
    for index, row in enumerate(odd):
        points = fitted.cleaned.curves.points_of(index)
        phase = (fitted.cleaned.phase[points] - fitted.shapes.phase_zero[index]) % 1.0
        curves = fitted.cleaned.curves
        label = f"labelled {kinds[str(row['id'])]}, W = {row['W']:.3f}"
        model = shape_model(fitted.shapes, index, grid)
        yield FoldedCurve(str(row["id"]), (label,), phase, curves.mag[points], curves.mag_err[points], grid, model)


if __name__ == "__main__":
    main()
