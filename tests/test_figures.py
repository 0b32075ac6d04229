"""Figures: axes the right way up, units on labels, empty cases, equal files for equal figures."""

import numpy as np
import pytest
from astropy.table import QTable, vstack
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.collections import PathCollection

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
from cbminer.report.visible_points import VisiblePoints
from cbminer.selection.cutflow import SelectionSettings

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
    yield period_histogram(stars, SelectionSettings())


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


def shown_in(figure):
    """What a figure says in words, and the numbers that it draws."""
    for axes in figure.axes:
        legend = axes.get_legend()
        if legend is not None:
            yield [legend.get_title().get_text(), *(text.get_text() for text in legend.get_texts())]
        yield [axes.get_title(), *axes.get_xlim(), *axes.get_ylim()]
        yield from (np.asarray(points.get_offsets()).tolist() for points in axes.collections if points.get_label())
        yield [bar.get_height() for bar in axes.patches if hasattr(bar, "get_height")]
        yield from (line.get_xydata().tolist() for line in axes.lines)


@pytest.mark.parametrize("size", [1, 7, 120])
def test_figures_do_not_depend_on_the_blocks(size):
    some = judged(100, selected=False)
    chosen = judged(20)
    chosen["period"][3] = chosen["M_V"][5] = chosen["e_M_V"][6] = np.ma.masked
    unknown = judged(4, selected=False, unknown=True)
    stars = vstack([some[:50], chosen, unknown, some[50:]], metadata_conflicts="silent")
    # No block at the end is full, and one has no star at all.
    blocks = [stars[first : first + size] for first in range(0, len(stars), size)]
    blocks.insert(1, stars[:0])
    for whole, parts in zip(draw_all(stars), draw_all(blocks), strict=True):
        for one, other in zip(shown_in(whole), shown_in(parts), strict=True):
            np.testing.assert_array_equal(one, other)


def test_no_star_is_missing_from_a_legend():
    stars = judged(4000, selected=False)
    # All in one cell, but for one beyond the axes.
    stars["VI0"], stars["M_V"] = float_column(np.full(4000, -0.2), "mag"), float_column(np.full(4000, -3.0), "mag")
    stars["VI0"][7] = 5.0 * stars["VI0"].unit
    axes = colour_magnitude_diagram([stars[:2500], stars[2500:]], REGION).axes[0]
    legend = axes.get_legend()
    assert legend.get_title().get_text() == "1 stars beyond the axes"
    assert "survey type C (4,000)" in [text.get_text() for text in legend.get_texts()]
    assert sum(len(points.get_offsets()) for points in axes.collections if isinstance(points, PathCollection)) == 1


coordinates = st.one_of(st.floats(-1.5, 2.5), st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1.0]))


@settings(deadline=None)
@given(st.lists(st.tuples(coordinates, coordinates), max_size=60), st.lists(st.integers(0, 60), max_size=5))
def test_every_cell_with_a_star_has_a_point_whatever_the_blocks(places, cuts):
    places = np.array(places).reshape(-1, 2)
    whole, parts = (VisiblePoints((0.0, 1.0), (0.0, 2.0), (4, 3)) for _ in range(2))
    whole.add(*places.T)
    for block in np.split(places, sorted(min(cut, len(places)) for cut in cuts)):
        parts.add(*block.T)
    np.testing.assert_array_equal(whole.drawn, parts.drawn)
    known = places[~np.isnan(places).any(axis=1)]
    inside = known[((known > 0.0) & (known < [1.0, 2.0])).all(axis=1)]
    assert whole.n_known == parts.n_known == len(known)
    assert whole.n_beyond == parts.n_beyond == len(known) - len(inside)
    drawn = np.stack(whole.drawn, axis=1)
    cells = [{tuple(cell) for cell in np.floor(points * [4, 1.5])} for points in (inside, drawn)]
    assert cells[0] <= cells[1]
    assert len(cells[1]) == len(drawn) <= 6 * 5
