"""Figures: axes the right way up, units on labels, empty cases, equal files for equal figures."""

import numpy as np
import pytest
from astropy.table import QTable

from cbminer.catalogue.schema import conform
from cbminer.columns import float_column
from cbminer.report.figures import (
    FoldedCurve,
    MainSequenceRegion,
    RelationBand,
    atlas_pages,
    colour_magnitude_diagram,
    cutflow_diagram,
    period_histogram,
    period_luminosity_diagram,
    save_figure,
)

REGION = MainSequenceRegion(-0.05, 0.0, -6.5, -1.0, -3.7)
BAND = RelationBand(-3.61, 11.65, -0.05, 2.0, "derived")


def judged(n, *, selected=True, unknown=False):
    rng = np.random.default_rng(1)
    empty = np.full(n, np.nan)
    table = QTable(
        {"id": [f"S{i}" for i in range(n)], "galaxy": ["LMC"] * n, "type": ["C"] * n, "survey": ["mock"] * n}
    )
    columns = {
        "period": rng.lognormal(0, 0.4, n),
        "M_V": rng.uniform(-6, -1, n),
        "VI0": rng.normal(-0.2, 0.06, n),
        "e_M_V": np.full(n, 0.1),
        "e_VI0": np.full(n, 0.06),
        "plc_residual": rng.normal(0, 0.6, n),
    }
    for name, data in columns.items():
        table[name] = float_column(empty if unknown else data, "d" if name == "period" else "mag")
    table["spectral_label"] = ["B"] * n
    table["selected"] = np.full(n, selected)
    return conform(table)


def draw_all(stars):
    yield colour_magnitude_diagram(stars, REGION)
    yield period_luminosity_diagram(stars, BAND)
    yield period_histogram(stars, in_box=np.ones(len(stars), dtype=bool), period_max=3.0)


def test_magnitudes_are_upside_down_and_labels_have_units():
    figures = list(draw_all(judged(40)))
    for figure in figures[:2]:
        axes = figure.axes[0]
        assert axes.get_ylim()[0] > axes.get_ylim()[1]
        assert "mag" in axes.get_ylabel()
    assert "mag" in figures[0].axes[0].get_xlabel()
    assert r"\mathrm{d}" in figures[2].axes[0].get_xlabel()
    box = figures[0].axes[0].patches[0]
    assert box.get_y() == -6.5
    assert box.get_y() + box.get_height() == -1.0
    assert box.get_x() + box.get_width() == pytest.approx(-0.05)


@pytest.mark.parametrize(
    ("n", "options"), [(0, {}), (1, {}), (5, {"selected": False}), (5, {"unknown": True, "selected": False})]
)
def test_empty_and_unknown_tables_are_drawn(tmp_path, n, options):
    for index, figure in enumerate(draw_all(judged(n, **options))):
        save_figure(figure, tmp_path / f"f{index}", formats=("png",))


def test_figures_of_simulated_stars_say_so():
    cutflow = QTable({"cut": ["type"], "n_in": [10], "n_out": [7], "n_failed": [2], "n_undecided": [1]})
    for figure in [*draw_all(judged(5)), cutflow_diagram(cutflow, survey="mock")]:
        assert "simulated" in figure.get_supxlabel()


def test_cut_flow_shows_its_counts():
    cutflow = QTable(
        {
            "cut": ["type", "data"],
            "n_in": [48605, 48000],
            "n_out": [48000, 0],
            "n_failed": [605, 0],
            "n_undecided": [0, 48000],
        }
    )
    texts = {text.get_text() for text in cutflow_diagram(cutflow, survey="ogle").axes[0].texts}
    assert texts == {"48,605", "48,000  (605 fail)", "0  (0 fail, 48,000 unknown)"}


def test_atlas_has_24_curves_a_page(tmp_path):
    phase = np.linspace(0, 1, 50)
    mag = 16 + 0.2 * np.cos(4 * np.pi * phase)
    curve = FoldedCurve("S1", ("LMC",), phase, mag, np.full(50, 0.01), phase, mag)
    pages = list(atlas_pages([curve] * 25, survey="ogle"))
    assert [len(page.axes) for page in pages] == [24, 1]
    assert all(axes.get_ylim()[0] > axes.get_ylim()[1] for axes in pages[0].axes)
    assert list(atlas_pages([], survey="ogle")) == []


def test_equal_figures_are_equal_files_and_a_whole_survey_stays_small(tmp_path):
    stars = judged(48605, selected=False)
    paths = [save_figure(colour_magnitude_diagram(stars, REGION), tmp_path / name) for name in ("a", "b")]
    for one, other in zip(*paths, strict=True):
        assert one.read_bytes() == other.read_bytes()
        assert one.stat().st_size < 1_000_000
