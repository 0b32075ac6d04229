"""A run compared with a published list."""

import json

import numpy as np
import pytest
import typer
from astropy.table import MaskedColumn, QTable, Table
from conftest import ROOT
from judged_runs import judged, random_table, table_of, write_run
from scipy.stats import beta

from cbminer.cli import main
from cbminer.cli_report import report as command
from cbminer.columns import label_column, values
from cbminer.completeness.rejudging import read_judged_run
from cbminer.errors import InputFormatError, OutputError
from cbminer.flags import Flag
from cbminer.report import against_products, products
from cbminer.report.against import COMMON, NOT_COUNTED, ONLY_HERE, ONLY_THERE, compare_with_list
from cbminer.report.against_products import comparison_lines
from cbminer.report.against_settings import AgainstSettings
from cbminer.report.published_list import match_published, read_published
from cbminer.selection.cutflow import SelectionSettings, tabulate_cutflow

assert ROOT.is_dir()

CUTS = SelectionSettings()
SETTINGS = AgainstSettings()
RANDOM = random_table(120)
# Columns of hours to seconds and of degrees to seconds.
PARTS = [f"{angle}{part}" for angle, parts in (("RA", "hms"), ("DE", "dms")) for part in parts]
HEADER = ",".join(PARTS)


def run_command(*arguments):
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command)
    return app(args=[str(argument) for argument in arguments], standalone_mode=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = write_run(tmp_path_factory.mktemp("runs") / "run", RANDOM)
    return read_judged_run(folder)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Ten LMC stars: six candidates, then too faint, too long a period, no light curve, too low c."""
    c = np.array([0.85] * 9 + [0.5])
    M_V = np.array([-3.0, -4.0, -2.0, -2.5, -5.0, -1.5, -0.5, -3.0, -3.0, -3.0])
    period = np.array([1.0] * 7 + [4.0] + [1.0] * 2)
    stars = table_of(10, M_V=M_V, period=period, c=c)
    for name in ("depth1", "depth2", "depth_difference", "e_depth1", "W", "asymmetry", "phase_secondary"):
        stars[name].mask[8] = True
    stars["flags"][8] = int(Flag.NO_LIGHT_CURVE)
    stars = judged(stars, CUTS)
    assert np.asarray(stars["selected"]).tolist() == [True] * 6 + [False] * 4
    return read_judged_run(write_run(tmp_path_factory.mktemp("runs") / "small", stars, galaxies=("LMC",)))


def listed(tmp_path, text, *, name="list.csv", **options):
    path = tmp_path / name
    path.write_text(text)
    return read_published(path, **options)


def compare(run, tmp_path, text, **options):
    return compare_with_list(run, listed(tmp_path, text, **options), settings=SETTINGS)


def groups(comparison):
    table = comparison.table
    names = [str(a or b) for a, b in zip(label_column(table, "id"), label_column(table, "listed_id"), strict=True)]
    return dict(zip(names, label_column(table, "group"), strict=True))


def test_a_list_in_any_format_gives_the_same(run, tmp_path):
    own = Table({"star": np.asarray(RANDOM["id"], dtype=str)[::3], "P": values(RANDOM, "period", "d")[::3]})
    own["P"].unit = "d"
    own["RAJ2000"], own["DEJ2000"] = (values(RANDOM, name, "deg")[::3] for name in ("RAJ2000", "DEJ2000"))
    found = []
    for suffix, form in (
        ("ecsv", "ascii.ecsv"), ("csv", "ascii.csv"), ("fits", "fits"), ("vot", "votable"), ("txt", "ascii.commented_header"),
        ("tsv", "ascii.tab"), ("mrt", "ascii.mrt"), ("dat", "ascii.fixed_width"),
    ):  # fmt: skip
        path = tmp_path / f"list.{suffix}"
        own.write(path, format=form)
        published = read_published(path)
        assert published.name == "list"
        found.append(compare_with_list(run, published, settings=SETTINGS))
    for other in found[1:]:
        assert groups(other) == groups(found[0])
        assert other.published.columns == {"id": "star", "period": "P", "position": "RAJ2000, DEJ2000"}
        assert other.periods == {"agree": 40, "listed half": 0, "listed twice": 0, "other": 0}
    # The catalogues that a run writes are lists, too.
    whole = [compare_with_list(run, read_published(run.folder / f"judged.{form}"), settings=SETTINGS) for form in
             ("ecsv", "fits", "vot", "mrt")]  # fmt: skip
    for comparison in whole:
        assert ONLY_HERE not in groups(comparison).values()
        assert list(groups(comparison).values()).count(COMMON) == np.asarray(RANDOM["selected"]).sum()


@pytest.mark.parametrize(
    "name",
    [
        "OGLE-LMC-ECL-00003",
        "ogle-lmc-ecl-00003",
        "OGLE LMC ECL 00003",
        "OGLE_LMC_ECL_3",
        "LMC-ECL-00003",
        " OGLE-LMC-ECL-3",
    ],
)
def test_an_identifier_may_be_written_in_many_ways(small, tmp_path, name):
    comparison = compare(small, tmp_path, f"id\n{name}\n")
    assert groups(comparison)["OGLE-LMC-ECL-00003"] == COMMON


def test_identifiers_of_earlier_phases_count_where_one_star_has_them(small, tmp_path):
    stars = small.stars.copy()
    stars["ogle3_id"] = MaskedColumn([f"LMC100.1.{k // 2}" if k < 4 else f"LMC100.1.{k}" for k in range(10)])
    published = listed(tmp_path, "object\nLMC100.1.5\nlmc100.1.0\n")
    matches = match_published(published, stars, radius=1.0)
    assert matches.row.tolist() == [5, -1]
    assert matches.by[0] == "ogle3_id"


def test_stars_without_an_identifier_are_found_by_position(small, tmp_path):
    text = "name,ra,dec\n,80.0,-69.00001\nEB 7,80.010002,-69.0\n,80.02,-69.001\n,,\n"
    comparison = compare(small, tmp_path, text)
    table = comparison.table
    assert label_column(table, "id")[:2].tolist() == ["OGLE-LMC-ECL-00001", "OGLE-LMC-ECL-00002"]
    assert label_column(table, "matched_by")[:2].tolist() == ["position", "position"]
    assert values(table, "separation", "arcsec")[0] == pytest.approx(0.036, rel=1e-3)
    assert label_column(table, "reason")[2:4].tolist() == [
        "not in the survey's catalogue", "no identifier and no position",
    ]  # fmt: skip
    assert label_column(table, "group")[3] == NOT_COUNTED
    wide = compare_with_list(small, comparison.published, settings=AgainstSettings(match_radius="5 arcsec"))
    assert label_column(wide.table, "id")[2] == "OGLE-LMC-ECL-00003"


def test_positions_may_be_sexagesimal(small, tmp_path):
    # The second star: 80.01 degrees are 5 h 20 min 2.4 s.
    first = listed(tmp_path, "ra,dec\n05:20:02.4,-69:00:00.0\n", name="a.csv")
    parts = [f"RA{part}" for part in "hms"] + ["DE-"] + [f"DE{part}" for part in "dms"]
    Table(rows=[(5, 20, 2.4, "-", 69, 0, 0.0)], names=parts).write(tmp_path / "b.csv")
    for published in (first, read_published(tmp_path / "b.csv")):
        assert match_published(published, small.stars, radius=1.0).row.tolist() == [1]


def test_entries_that_cannot_count_are_named(small, tmp_path):
    text = 'id\nOGLE-LMC-ECL-00001\nogle-lmc-ecl-1\nOGLE-SMC-ECL-00001\n""\nOGLE-LMC-ECL-99999\nOGLE-LMC-ECL-99999\n'
    Table({"file": ["ecl.dat"], "line": [7], "star": ["OGLE-LMC-ECL-99999"], "reason": ["no number"]}).write(
        small.folder / "set_aside.ecsv", overwrite=True
    )
    comparison = compare(small, tmp_path, text)
    (small.folder / "set_aside.ecsv").unlink()
    table = comparison.table[:6]
    assert label_column(table, "group").tolist() == [
        COMMON, NOT_COUNTED, NOT_COUNTED, NOT_COUNTED, ONLY_THERE, NOT_COUNTED,
    ]  # fmt: skip
    reasons = label_column(table, "reason")
    assert reasons[1] == "duplicate of entry 1"
    assert reasons[2] == "in the SMC, which this run did not judge"
    assert reasons[3] == "no identifier and no position"
    assert reasons[4] == "set aside when the archive was read: ecl.dat, line 7: no number"
    assert reasons[5] == "duplicate of entry 5"
    text = "\n".join(comparison_lines(comparison))
    assert "note: 2 entries are not counted: duplicate" in text
    assert "may rest on another release" in text
    assert comparison.scores["n_there"][0] == 2


def test_every_lost_star_has_the_cut_and_the_numbers_that_decided(small, tmp_path):
    names = [f"OGLE-LMC-ECL-{k:05d}" for k in range(7, 11)]
    comparison = compare(small, tmp_path, "id\n" + "\n".join(names) + "\n")
    reasons = dict(zip(label_column(comparison.table, "id"), label_column(comparison.table, "reason"), strict=True))
    assert reasons[names[0]] == "main sequence: M_V = -0.5 mag, limit <= -1 mag, outside by 0.5 mag"
    assert reasons[names[1]] == "period: period = 4 d, limit < 3 d, outside by 1 d"
    assert reasons[names[2]].startswith("equal depths: no light curve in the archive; depth1/e_depth1 is not known")
    assert reasons[names[3]] == "morphology c: c = 0.5, limit >= 0.7, outside by 0.2"
    also = dict(zip(label_column(comparison.table, "id"), label_column(comparison.table, "also_fails"), strict=True))
    assert also[names[2]] == "smooth shape"
    assert also[names[3]] == ""
    here = comparison.table[label_column(comparison.table, "group") == ONLY_HERE]
    assert np.asarray(here["rank"]).tolist() == [1, 2, 3, 4, 5, 6]


def test_the_cutflow_counts_all_stars_and_those_of_the_list(run, small, tmp_path):
    chosen = np.asarray(RANDOM["id"], dtype=str)[::2]
    comparison = compare(run, tmp_path, "id\n" + "\n".join(chosen) + "\n")
    flow = comparison.cutflow[comparison.cutflow["galaxy"] == "all"]
    expected = tabulate_cutflow(RANDOM, CUTS)
    np.testing.assert_array_equal(np.asarray(flow["n_all"])[2:], expected["n_out"])
    np.testing.assert_array_equal(np.asarray(flow["n_listed"])[2:], tabulate_cutflow(RANDOM[::2], CUTS)["n_out"])
    np.testing.assert_array_equal(
        np.asarray(flow["n_listed_fail"])[2:], [
            int((~cut.keeps(cut.apply(RANDOM)))[::2].sum()) for cut in CUTS.cuts
        ],
    )  # fmt: skip
    both = comparison.cutflow[comparison.cutflow["galaxy"] != "all"]
    parts = [both["n_listed"][both["galaxy"] == name] for name in ("LMC", "SMC")]
    np.testing.assert_array_equal(parts[0] + parts[1], flow["n_listed"])
    steps = compare(small, tmp_path, "id\nOGLE-LMC-ECL-00007\nOGLE-LMC-ECL-00010\nOGLE-LMC-ECL-00077\n").cutflow
    lmc = steps[steps["galaxy"] == "LMC"]
    assert np.asarray(lmc["n_listed"]).tolist() == [3, 2, 2, 2, 1, 1, 1, 1, 1, 0]
    assert steps["n_all"].mask[0]


def test_scores_are_those_by_hand(small, tmp_path):
    # Four of six candidates are in a list of eight, one of them unknown.
    names = [f"OGLE-LMC-ECL-{k:05d}" for k in (1, 2, 3, 4, 7, 8, 9, 99)]
    scores = compare(small, tmp_path, "id\n" + "\n".join(names) + "\n").scores
    row = scores[(scores["set"] == "sample") & (scores["galaxy"] == "all")][0]
    assert [row[name] for name in ("n_here", "n_there", "n_there_in_catalogue", "n_common")] == [6, 8, 7, 4]
    assert row["precision"] == pytest.approx(4 / 6)
    assert row["recall"] == pytest.approx(4 / 8)
    assert row["F1"] == pytest.approx(2 * (4 / 6) * (1 / 2) / (4 / 6 + 1 / 2))
    for name in ("precision", "recall", "F1"):
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
    # Jeffreys' interval of 4 of 8 is symmetric and that of 68 %.
    assert row["recall_low"] + row["recall_high"] == pytest.approx(1.0)
    assert row["recall_high"] == pytest.approx(beta(4.5, 4.5).ppf(0.84135), abs=1e-4)


def test_the_bona_fide_set_and_the_ranking_are_scored_at_one_size(small, tmp_path):
    stars = small.stars.copy()
    stars["bona_fide"] = [True, True, False, False, True, False] + [False] * 4
    stars["contact_rank"] = MaskedColumn([1, 5, 2, 3, 4, 6, 7, 0, 0, 0])
    stars["post_contact"] = np.linspace(0.9, 0.0, 10)
    folder = write_run(tmp_path / "ranked", stars, galaxies=("LMC",))
    ranked = read_judged_run(folder)
    comparison = compare(ranked, tmp_path, "id\nOGLE-LMC-ECL-1\nOGLE-LMC-ECL-3\nOGLE-LMC-ECL-4\nOGLE-LMC-ECL-7\n")
    scores = comparison.scores[comparison.scores["galaxy"] == "all"]
    common = dict(zip(scores["set"], scores["n_common"], strict=True))
    assert common == {"sample": 3, "bona fide set": 1, "first 3 by contact_rank": 3, "first 4 by contact_rank": 3}
    here = comparison.table[label_column(comparison.table, "group") == ONLY_HERE]
    np.testing.assert_allclose(values(here, "post_contact"), [0.8, 0.5, 0.4])
    assert "only here, by rank (post_contact)" in "\n".join(comparison_lines(comparison))


def test_an_empty_sample_and_a_list_of_strangers_have_no_scores_of_nothing(tmp_path):
    stars = table_of(3, M_V=0.5)
    run = read_judged_run(write_run(tmp_path / "none", stars, galaxies=("LMC",)))
    comparison = compare(run, tmp_path, "star\nHD 1\nHD 2\n")
    row = comparison.scores[0]
    assert np.ma.is_masked(row["precision"])
    assert row["recall"] == 0.0
    text = "\n".join(comparison_lines(comparison))
    assert "no listed star was found (identifiers from column star)" in text
    assert "not known" in text


def test_periods_are_compared(small, tmp_path):
    text = "id,P\nOGLE-LMC-ECL-1,1.0001\nOGLE-LMC-ECL-2,0.5\nOGLE-LMC-ECL-3,2.0\nOGLE-LMC-ECL-4,1.3\nOGLE-LMC-ECL-5,\n"
    comparison = compare(small, tmp_path, text)
    assert comparison.periods == {"agree": 1, "listed half": 1, "listed twice": 1, "other": 1}
    assert values(comparison.table, "period_listed", "d")[1] == 0.5


def test_a_column_that_holds_no_numbers_is_told_of_and_left_out(small, tmp_path):
    comparison = compare(small, tmp_path, "id,P,c\nOGLE-LMC-ECL-1,long,0.8\n")
    assert "period_listed" not in comparison.table.colnames
    assert values(comparison.table, "c_listed")[0] == 0.8
    assert any("not compared: column P" in note for note in comparison.notes)


def test_a_list_without_stars_is_refused(small, tmp_path):
    with pytest.raises(InputFormatError, match=r"no column for identifiers or positions.*--id-column"):
        listed(tmp_path, "mass,radius\n1,2\n")
    with pytest.raises(InputFormatError, match="no column system; its columns are id"):
        listed(tmp_path, "id\nOGLE-LMC-ECL-1\n", id_column="system")
    with pytest.raises(InputFormatError, match="is not there"):
        read_published(tmp_path / "nothing.csv")
    assert listed(tmp_path, "mine\nOGLE-LMC-ECL-1\n", id_column="mine", name="mine").name == "mine"


def test_positions_far_from_those_listed_are_told_of(small, tmp_path):
    comparison = compare(small, tmp_path, "id,ra,dec\nOGLE-LMC-ECL-1,80.1,-69.0\nOGLE-LMC-ECL-2,80.01,-69.0\n")
    assert any("1 stars found by identifier lie more than 5 arcsec" in note for note in comparison.notes)


def test_the_command_writes_tables_a_figure_and_a_summary(small, tmp_path, capsys):
    path = tmp_path / "our list.csv"
    path.write_text("id\nOGLE-LMC-ECL-1\nOGLE-LMC-ECL-7\n")
    run_command("--run", small.folder, "--against", path, "--name", "Our 2020 list")
    said = capsys.readouterr().out
    place = small.folder / "against-Our-2020-list"
    assert f"written to {place}" in said
    assert "common 1, only there 1, only here 5" in said
    table = QTable.read(place / "against.ecsv")
    assert table["group"].tolist() == [COMMON, ONLY_THERE] + [ONLY_HERE] * 5
    assert (place / "against.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in place.iterdir()} >= {"against_cutflow.ecsv", "against_scores.ecsv", "summary.txt"}
    provenance = json.loads((place / "provenance.json").read_text())
    assert [item["name"] for item in provenance["inputs"]] == ["judged.fits", "our list.csv"]
    with pytest.raises(OutputError, match="--overwrite"):
        run_command("--run", small.folder, "--against", path, "--name", "Our 2020 list")
    run_command("--run", small.folder, "--against", path, "--out", tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "against.ecsv").exists()


def test_the_command_names_a_run_that_is_not_there(tmp_path, capsys):
    assert main(["report", "--run", str(tmp_path / "none")]) == 1
    assert "there is no run" in capsys.readouterr().err


def test_a_mock_run_is_compared_with_its_truth(mock_archive, tmp_path, capsys, monkeypatch):
    # The figures of the run are not looked at, and take most of its time.
    monkeypatch.setattr(products, "_write_figures", lambda *_: None)
    folder = tmp_path / "run"
    assert main(["select", "--galaxy", "SMC", "--archive", str(mock_archive), "--out", str(folder)]) == 0
    capsys.readouterr()
    run = read_judged_run(folder)
    truth = Table.read(mock_archive / "truth.ecsv")
    truth = truth[(truth["kind"] == "contact") & (truth["galaxy"] == "SMC")]
    truth["id", "period", "RAJ2000", "DEJ2000"].write(tmp_path / "truth.csv")
    comparison = compare_with_list(run, read_published(tmp_path / "truth.csv"), settings=SETTINGS)
    selected = np.asarray(run.stars["selected"])
    true = np.isin(label_column(run.stars, "id"), np.asarray(truth["id"], dtype=str))
    row = comparison.scores[(comparison.scores["set"] == "sample") & (comparison.scores["galaxy"] == "SMC")][0]
    assert row["n_common"] == (selected & true).sum() > 0
    assert row["precision"] == pytest.approx((selected & true).sum() / selected.sum())
    assert row["recall"] == pytest.approx((selected & true).sum() / len(truth))
    lost = comparison.table[label_column(comparison.table, "group") == ONLY_THERE]
    # The reason is that for which the run itself rejected the star.
    rejected = dict(zip(label_column(run.stars, "id"), label_column(run.stars, "rejected_by"), strict=True))
    for line in lost:
        assert line["reason"].split(":")[0] == rejected[line["id"]].split(":")[0]
    assert "SIMULATED STARS" in next(iter(comparison_lines(comparison)))


def test_the_sign_of_a_declination_in_three_columns(tmp_path):
    """The sign stands before the degrees where it has no column of its own, also before those of -0."""
    path = tmp_path / "list.csv"
    path.write_text(f"{HEADER}\n5,20,0.0,-69,10,11.5\n5,20,0.0,12,30,0.0\n")
    found = read_published(path)
    assert found.dec == pytest.approx([-(69 + 10 / 60 + 11.5 / 3600), 12.5])
    assert not found.notes
    # Real numbers and texts keep the sign of 0.
    for degrees in ("-0.0", '"-00 "'):
        path = tmp_path / "list.ecsv"
        kinds = ["float64"] * 3 + ["string" if '"' in degrees else "float64"] + ["float64"] * 2
        columns = [f"# - {{name: {name}, datatype: {kind}}}" for name, kind in zip(PARTS, kinds, strict=True)]
        text = ["# %ECSV 1.0", "# ---", "# datatype:", *columns, " ".join(PARTS), f"5 20 0 {degrees} 10 0"]
        path.write_text("\n".join(text) + "\n")
        assert read_published(path).dec == pytest.approx([-10 / 60])
        assert not read_published(path).notes


def test_a_sign_of_a_declination_may_have_a_column_or_stand_in_both(tmp_path):
    text = f"{HEADER},DE-\n5,20,0,69,10,0,-\n5,20,0,0,30,0,+\n5,20,0,0,30,0,-\n5,20,0,-69,0,0,\n"
    found = listed(tmp_path, text)
    assert found.dec == pytest.approx([-69 - 1 / 6, 0.5, -0.5, -69])
    assert not found.notes


def test_a_minus_that_whole_numbers_cannot_keep_is_told_of(tmp_path):
    found = listed(tmp_path, f"{HEADER}\n5,20,0.0,-00,10,0.0\n5,20,0.0,-69,30,0.0\n")
    assert found.dec == pytest.approx([10 / 60, -69.5])
    assert found.notes == ["1 entries have 0 degrees of declination without a sign, taken as north of the equator"]


def test_impossible_positions_are_counted_and_no_traceback(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("name,ra,dec\nfoo,80.0,-95.0\nbar,80.0,-69.0\nbaz,80.0,nan\nqux,inf,-69.0\n")
    found = read_published(path)
    assert np.isnan(found.dec).tolist() == [True, False, True, True]
    assert any("3 entries have no position" in note for note in found.notes)
    matches = match_published(found, RANDOM, radius=1.0)
    assert (matches.by == "position").tolist() == [False, True, False, False]
    # A pattern that is not known.
    found = listed(tmp_path, 'ra,dec\n05h20m00s,-69d00m00s\n05h20m00s,"-69 and a bit"\n')
    assert found.dec == pytest.approx([-69.0, np.nan], nan_ok=True)
    assert found.notes == ["1 entries have no position that can be read"]


def test_the_comparison_goes_by_the_settings_of_the_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(against_products, "save_figure", lambda *_, **__: [])
    own = AgainstSettings(match_radius="40 arcsec")
    run = write_run(tmp_path / "run", table_of(2), galaxies=("LMC",), against=own)
    path, file = tmp_path / "list.csv", tmp_path / "my.toml"
    path.write_text("ra,dec\n80.0,-69.005\n")
    run_command("--run", run, "--against", path)
    assert "common 1, only there 0" in capsys.readouterr().out
    # A file changes what it names.
    file.write_text("[against]\nperiod_tolerance = 0.01\n")
    run_command("--run", run, "--against", path, "--settings", file, "--overwrite")
    assert "common 1, only there 0" in capsys.readouterr().out
    file.write_text('[against]\nmatch_radius = "1 arcsec"\n')
    run_command("--run", run, "--against", path, "--settings", file, "--overwrite")
    assert "common 0, only there 1" in capsys.readouterr().out
