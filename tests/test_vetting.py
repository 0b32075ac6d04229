"""Vetting sheets for print."""

import re
import zlib
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from judged_runs import table_of
from matplotlib.colors import to_hex
from test_page import gathered, make_run, synthetic_curves

from cbminer.cli import main
from cbminer.columns import float_column
from cbminer.errors import OutputError
from cbminer.flags import Flag
from cbminer.ranking.hypotheses import HYPOTHESES
from cbminer.report.vetting import check_sheets_place, sheet_figure, sheet_figures, write_sheets


def with_odds(stars):
    """Odds as a ranking would give them."""
    result = stars.copy()
    for name, value in {
        "ln_odds": 1.2,
        "ln_odds_prior": 0.5,
        "ln_odds_place": -1.3,
        "ln_odds_curve": 2.0,
        "ln_odds_population": -0.4,
    }.items():
        result[name] = float_column(np.full(len(stars), value))
    for k, name in enumerate(HYPOTHESES):
        result[f"post_{name}"] = float_column(np.full(len(stars), 0.7 if k == 0 else 0.06))
    return result


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    stars = table_of(3, off=[0.0, 0.2, 40.0], M_V=[-3.0, -2.0, -4.0])
    found = gathered(make_run(tmp_path_factory.mktemp("run") / "run", stars), stars=[str(name) for name in stars["id"]])
    found = replace(found, stars=with_odds(found.stars))
    curves = synthetic_curves(found.listed, n=(200, 30))
    first, second, third = curves
    without_v = replace(
        curves[second],
        points={"I": curves[second].points["I"]},
        models=curves[second].models[2:],
        zero="epoch of the catalogue",
    )
    del curves[third]
    return replace(found, curves={first: curves[first], second: without_v})


def texts(figure):
    """All that is written in a figure and its parts."""
    found = [item.get_text() for part in (figure, *figure.subfigs) for item in part.texts]
    for axes in figure.axes:
        found += [item.get_text() for item in axes.texts]
        found += [axes.get_xlabel(), axes.get_ylabel()]
    if figure._suptitle is not None:
        found.append(figure._suptitle.get_text())
    return "\n".join(found)


def test_a_sheet_shows_both_bands_and_what_decided(report):
    figure = sheet_figure(report, 0)
    text = texts(figure)
    for words in (
        "OGLE-LMC-ECL-00001", "candidate, rank 1", "I [mag]", "V [mag]", "less contact\nmodel [mag]", "200 points",
        "+2.00", "-1.30", "0.7000", "period: passes", "W = 0.0200", "no flags", "phase (0: deeper minimum)",
    ):  # fmt: skip
        assert words in text
    assert "SIMULATED" not in text
    magnitudes = [axes for axes in figure.axes if axes.get_ylabel() in {"I [mag]", "V [mag]", "$M_V$ [mag]"}]
    assert len(magnitudes) == 4
    assert all(axes.get_ylim()[0] > axes.get_ylim()[1] for axes in magnitudes)


def test_odds_are_bars_of_their_length(report):
    widths = [
        patch.get_width()
        for axes in sheet_figure(report, 0).axes
        if axes.get_xlabel().startswith("ln odds")
        for patch in axes.patches
    ]
    assert widths == pytest.approx([0.5, -1.3, 2.0, 1.2, -0.4])


def test_what_is_missing_is_said(report):
    second, third = texts(sheet_figure(report, 1)), texts(sheet_figure(report, 2))
    assert "no light curve in V at hand" in second
    assert "residual [mag]" in second
    assert "epoch of the catalogue" in second
    assert "at hand" in third
    assert "out by period-luminosity-colour" in third
    assert "period-luminosity-colour: fails" in third


def test_a_star_without_odds_or_place(tmp_path):
    stars = table_of(1, V_mag=np.nan)
    found = gathered(make_run(tmp_path / "run", stars), stars=[str(stars["id"][0])])
    text = texts(sheet_figure(found, 0))
    assert "odds are not known: the run has not ranked the star" in text
    assert text.count("place of the star not known") == 3


def test_simulated_stars_say_so(tmp_path):
    stars = table_of(1)
    stars["survey"] = "mock"
    text = texts(sheet_figure(gathered(make_run(tmp_path / "run", stars, survey="mock")), 0))
    assert "SIMULATED, not observed" in text


def test_signs_of_mathematics_are_text(tmp_path):
    stars = table_of(1)
    stars["id"] = ["OGLE$_{x$^{"]
    found = gathered(make_run(tmp_path / "run", stars))
    (file,) = write_sheets(tmp_path / "sheets", found, "png")
    assert file.name == "OGLE-_-x-.png"
    assert file.read_bytes().startswith(b"\x89PNG")


def test_a_pdf_has_a_page_a_star_and_no_date(report, tmp_path):
    path = tmp_path / "vetting.pdf"
    assert write_sheets(path, report, "pdf") == [path]
    content = path.read_bytes()
    assert len(re.findall(rb"/Type /Page\b(?!s)", content)) == 3
    assert b"CreationDate" not in content
    assert [item.name for item in tmp_path.iterdir()] == ["vetting.pdf"]
    streams = re.findall(rb"stream\r?\n(.*?)endstream", content, flags=re.DOTALL)
    assert any(_inflates(stream) for stream in streams)


def _inflates(stream):
    try:
        return bool(zlib.decompress(stream))
    except zlib.error:
        return False


def test_an_interrupted_pdf_leaves_nothing(report, tmp_path, monkeypatch):
    def interrupted(report):
        yield next(sheet_figures(report))
        raise KeyboardInterrupt

    monkeypatch.setattr("cbminer.report.vetting.sheet_figures", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_sheets(tmp_path / "vetting.pdf", report, "pdf")
    assert list(tmp_path.iterdir()) == []


def test_interrupted_pictures_leave_what_was_there(report, tmp_path, monkeypatch):
    def interrupted(report):
        yield next(sheet_figures(report))
        raise KeyboardInterrupt

    earlier = write_sheets(tmp_path / "kept", report, "png")
    content = [path.read_bytes() for path in earlier]
    monkeypatch.setattr("cbminer.report.vetting.sheet_figures", interrupted)
    for name in ("new", "kept"):
        with pytest.raises(KeyboardInterrupt):
            write_sheets(tmp_path / name, report, "png")
    assert [item.name for item in tmp_path.iterdir()] == ["kept"]
    assert [path.read_bytes() for path in earlier] == content
    assert sorted((tmp_path / "kept").iterdir()) == sorted(earlier)


def test_sheets_of_an_earlier_report_give_way_and_nothing_else(report, tmp_path):
    folder = tmp_path / "sheets"
    first = write_sheets(folder, report, "png")
    for name, content in (("notes.txt", b"mine"), ("mine.png", b"\x89PNG mine")):
        (folder / name).write_bytes(content)
    left = replace(report, stars=report.stars[1:], n_listed=1)
    assert write_sheets(folder, left, "png") == first[1:2]
    assert {item.name for item in folder.iterdir()} == {first[1].name, "notes.txt", "mine.png"}
    assert (folder / "mine.png").read_bytes() == b"\x89PNG mine"
    assert [item.name for item in tmp_path.iterdir()] == ["sheets"]


def test_a_curve_without_any_line_has_phases(report):
    name = str(report.stars["id"][0])
    bare = replace(report, curves={name: replace(report.curves[name], models=())})
    figure = sheet_figure(bare, 0)
    figure.draw_without_rendering()
    tops = [axes for axes in figure.axes if axes.get_ylabel() in {"I [mag]", "V [mag]"}]
    for axes in tops:
        assert axes.get_xlabel() == "phase (0: deeper minimum)"
        assert [label.get_text() for label in axes.get_xticklabels()][1] == "0.00"
        assert all(tick.label1.get_visible() for tick in axes.xaxis.get_major_ticks())


def test_labels_do_not_overlap_and_everything_is_on_the_page(report):
    stars = report.stars.copy()
    # As many flags as can be set.
    stars["flags"] = sum(int(flag) for flag in list(Flag)[:20])
    figure = sheet_figure(replace(report, stars=stars), 0)
    figure.draw_without_rendering()
    page = figure.bbox
    (numbers,) = [axes for axes in figure.axes if any("flags: " in item.get_text() for item in axes.texts)]
    for item in numbers.texts:
        box = item.get_window_extent()
        assert box.y0 >= page.y0
        assert box.x1 <= page.x1
    (left, right) = (item.get_window_extent() for item in numbers.texts)
    assert left.x1 < right.x0
    for axes in figure.axes:
        if axes.get_xlabel().startswith(("ln odds", "probability")):
            heights = sorted(
                (item.get_window_extent().y0, item.get_window_extent().y1) for item in axes.get_yticklabels()
            )
            assert all(upper <= lower for (_, upper), (lower, _) in pairwise(heights))


def test_what_the_odds_lack_is_said(report):
    stars = report.stars.copy()
    stars["flags"] = int(Flag.NO_CURVE_EVIDENCE | Flag.NO_PLACE_EVIDENCE)
    stars["ln_odds_curve"], stars["ln_odds_place"] = float_column(np.zeros(3)), float_column(np.zeros(3))
    text = texts(sheet_figure(replace(report, stars=stars), 0))
    assert "no light curve\n" in text
    assert "no place\n" in text
    assert "+0.00" not in text


def test_colours_and_lines_of_a_sheet(report):
    figure = sheet_figure(report, 0)
    colours = {
        patch.get_width(): to_hex(patch.get_facecolor()).upper()
        for axes in figure.axes
        if axes.get_xlabel().startswith("ln odds")
        for patch in axes.patches
    }
    assert {colours[value] for value in colours if value > 0} == {"#0072B2"}
    assert {colours[value] for value in colours if value < 0} == {"#D55E00"}
    (relation,) = [axes for axes in figure.axes if "(V-I)_0$" in axes.get_ylabel() and "M_V" in axes.get_ylabel()]
    line = next(item for item in relation.lines if len(item.get_xdata()) == 2)
    assert np.interp(0.0, line.get_xdata(), line.get_ydata()) == pytest.approx(-0.05)
    assert relation.get_ylim()[0] > relation.get_ylim()[1]


def test_places_that_are_taken_are_refused(tmp_path):
    (tmp_path / "sheets").mkdir()
    check_sheets_place(tmp_path / "sheets", "png", overwrite=False)
    (tmp_path / "sheets" / "a.png").write_text("mine")
    (tmp_path / "a.pdf").write_text("mine")
    for path, kind in ((tmp_path / "sheets", "png"), (tmp_path / "a.pdf", "pdf")):
        with pytest.raises(OutputError, match="there already"):
            check_sheets_place(path, kind, overwrite=False)
        check_sheets_place(path, kind, overwrite=True)
    with pytest.raises(OutputError, match="is a folder"):
        check_sheets_place(tmp_path, "pdf", overwrite=True)
    with pytest.raises(OutputError, match="is a file"):
        check_sheets_place(tmp_path / "a.pdf", "png", overwrite=True)


def test_a_run_without_candidates_has_no_sheets(tmp_path):
    found = gathered(make_run(tmp_path / "run", table_of(3, off=30.0)))
    with pytest.raises(OutputError, match="no star passes every cut"):
        write_sheets(tmp_path / "vetting.pdf", found, "pdf")


def test_the_command_writes_sheets_of_named_stars(tmp_path, capsys):
    run = make_run(tmp_path / "run", table_of(3, off=[0.0, 0.0, 30.0]), galaxies=("LMC",))
    words = ["report", "--run", str(run), "--star", "ogle-lmc-ecl-00003", "--sheets", "png"]
    assert main([*words, "--cache", str(tmp_path / "cache")]) == 0
    assert [path.name for path in (run / "vetting").iterdir()] == ["OGLE-LMC-ECL-00003.png"]
    assert "no longer at hand" in capsys.readouterr().out
    assert main(words) == 1
    assert "--overwrite" in capsys.readouterr().err
