"""The command morph: one light curve from a file or an archive, what it writes, says and refuses."""

import json

import numpy as np
import pytest
from astropy.table import QTable, Table

from cbminer.cli import main

PERIOD, EPOCH = 0.8, 2455500.123


def contact(cycles):
    return (
        0.3 + 0.25 * np.cos(4 * np.pi * cycles) + 0.05 * np.cos(8 * np.pi * cycles) + 0.03 * np.cos(2 * np.pi * cycles)
    )


def write_curve(path, *, n_points=400, noise=0.008, seed=1, less=0.0, more=()):
    rng = np.random.default_rng(seed)
    time = np.sort(2455000 + rng.uniform(0, 1500, n_points))
    mag = 16.0 + contact((time - EPOCH) / PERIOD) + rng.normal(0, noise, n_points)
    lines = [f"{t - less:.5f} {m:.3f} {noise:.3f}" for t, m in zip(time, mag, strict=True)]
    path.write_text("\n".join([*lines, *more]) + "\n")
    return path


@pytest.fixture
def curve(tmp_path):
    return write_curve(tmp_path / "star.dat")


def morph(*arguments):
    return main(["morph", *(str(item) for item in arguments)])


def shape_of(folder):
    """Numbers and words of the table's one row by their column; NaN where a number is unknown."""
    table = Table.read(folder / "shape.ecsv")
    assert len(table) == 1
    return {
        name: float(np.ma.filled(np.ma.asarray(table[name][0], dtype=float), np.nan))
        if table[name].dtype.kind in "fi"
        else str(table[name][0])
        for name in table.colnames
    }


def test_a_file_is_measured_with_its_period_and_epoch(curve, tmp_path, capsys):
    out = tmp_path / "out"
    assert morph(curve, "--period", PERIOD, "--epoch", EPOCH, "--out", out) == 0
    said = capsys.readouterr().out
    assert "star: 400 points kept" in said
    assert "listed period 0.8 d: the listed period is that of an eclipsing binary" in said
    assert said.rstrip().endswith(f"written to {out}")
    assert {path.name for path in out.iterdir()} == {"shape.ecsv", "shape.png", "shape.pdf", "provenance.json"}
    assert (out / "shape.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "shape.pdf").read_bytes().startswith(b"%PDF")
    row = shape_of(out)
    assert row["id"] == "star"
    assert row["survey"] == "file"
    assert row["period_source"] == "refined"
    assert row["period_verdict"] == "confirmed"
    assert row["period"] == pytest.approx(PERIOD, rel=1e-5)
    assert row["period_survey"] == PERIOD
    depths = contact(np.array([0.0, 0.5])) - contact(np.linspace(0, 1, 2001)).min()
    assert row["depth1"] == pytest.approx(depths[0], abs=0.01)
    assert row["depth2"] == pytest.approx(depths[1], abs=0.01)
    cycles = (row["T0_fit"] - EPOCH) / PERIOD
    assert abs(cycles - np.round(cycles)) < 0.01
    assert 0.65 < row["c"] < 0.9
    assert 0 < row["e_c"] < 0.05
    assert row["n_points"] == 400
    # What is printed is what is written.
    line = next(line for line in said.splitlines() if line.startswith("depth1 "))
    assert f"{row['depth1']:.4f}" in line
    assert "+-" in line
    assert "mag" in line


def test_every_column_of_the_table_has_its_unit_and_description(curve, tmp_path):
    assert morph(curve, "--period", PERIOD, "--out", tmp_path / "out") == 0
    table = QTable.read(tmp_path / "out" / "shape.ecsv")
    units = {
        "period": "d",
        "e_period": "d",
        "T0_fit": "d",
        "depth1": "mag",
        "e_depth1": "mag",
        "oconnell": "mag",
        "scatter": "mag",
        "contact_angle1": "deg",
        "W": "",
        "c": "",
        "temperature_ratio": "",
        "P_contact": "",
        "e_P_contact": "",
    }
    for name, unit in units.items():
        assert str(table[name].unit or "") == unit, name
        assert table[name].info.description, name
    for name in table.colnames:
        if name.startswith("e_"):
            assert name.removeprefix("e_") in table.colnames


def test_provenance_names_the_file_its_hash_and_the_settings(curve, tmp_path):
    assert morph(curve, "--period", PERIOD, "--out", tmp_path / "out") == 0
    content = json.loads((tmp_path / "out" / "provenance.json").read_text(), parse_constant=pytest.fail)
    assert content["survey"] == "file"
    assert content["inputs"][0]["name"] == "star.dat"
    assert len(content["inputs"][0]["sha256"]) == 64
    assert content["counts"]["star"]["light curves fitted"] == 1
    assert "morph" in content["command"] or content["command"].startswith("cbminer")


def test_a_file_without_a_period_is_searched(curve, tmp_path, capsys):
    settings = tmp_path / "s.toml"
    settings.write_text('[period_search]\nperiod_min = "0.3 d"\nperiod_max = "10 d"\n')
    assert morph(curve, "--settings", settings, "--out", tmp_path / "out") == 0
    row = shape_of(tmp_path / "out")
    assert row["period_source"] == "search"
    assert row["period"] == pytest.approx(PERIOD, rel=1e-4)
    said = capsys.readouterr().out
    assert "listed period" not in said
    assert "found period 0.8" in said
    assert "false-alarm probability" in said
    assert row["variability"] == "eclipsing"
    assert 0.65 < row["c"] < 0.9


def test_half_a_period_is_doubled_unless_it_is_to_be_kept(curve, tmp_path, capsys):
    for more, source, period in (([], "double", PERIOD), (["--keep-period"], "survey", PERIOD / 2)):
        out = tmp_path / source
        assert morph(curve, "--period", PERIOD / 2, "--out", out, *more) == 0
        row = shape_of(out)
        assert row["period_source"] == source
        assert row["period"] == pytest.approx(period, rel=1e-5)
        assert row["period_verdict"] == "double"
        assert "the period of the binary is twice the listed one" in capsys.readouterr().out
    # Folded with half the period, there is one minimum a cycle.
    assert shape_of(tmp_path / "survey")["depth2"] < 0.2


def test_times_and_epochs_may_lack_their_millions(tmp_path, capsys):
    rows = []
    for less in (0.0, 2450000.0):
        path = write_curve(tmp_path / "star.dat", less=less)
        out = tmp_path / f"out{less:.0f}"
        assert morph(path, "--period", PERIOD, "--epoch", EPOCH - less, "--out", out) == 0
        rows.append(shape_of(out))
    assert str(rows[0]) == str(rows[1])


@pytest.mark.parametrize(
    ("choice", "epoch", "zero"),
    [("minimum", EPOCH + 0.1, 0.0), ("maximum", EPOCH + 0.1, 0.25), ("catalogue", EPOCH + 0.1, 0.125)],
)
def test_phase_zero_of_the_figure_is_what_was_asked_for(curve, tmp_path, monkeypatch, choice, epoch, zero):
    """Phase 0 of the drawn points, in cycles after the deeper minimum."""
    seen = {}
    from cbminer.report import shape_figure as module

    real = module._points

    def watch(axes, phase, value, error):
        seen.setdefault("mag", value[np.argsort(np.abs((phase + 0.5) % 1.0 - 0.5))[:5]])
        real(axes, phase, value, error)

    monkeypatch.setattr(module, "_points", watch)
    out = tmp_path / "out"
    assert morph(curve, "--period", PERIOD, "--epoch", epoch, "--phase-zero", choice, "--out", out) == 0
    offsets = (zero, 1 - zero) if choice == "maximum" else (zero,)
    assert min(abs(np.median(seen["mag"]) - 16.0 - contact(at)) for at in offsets) < 0.02
    assert json.loads((out / "provenance.json").read_text())["settings"]["lightcurves"]["phase_zero"] == choice


def test_a_bad_line_is_set_aside_and_said_or_ends_the_work(tmp_path, capsys):
    path = write_curve(tmp_path / "star.dat", more=["2455100.5 sixteen 0.01"])
    assert morph(path, "--period", PERIOD, "--out", tmp_path / "a") == 0
    said = capsys.readouterr().out
    assert "set aside: " in said
    assert "line 401" in said
    assert "sixteen" in said
    assert "flag: " in said
    assert morph(path, "--period", PERIOD, "--strict", "--out", tmp_path / "b") == 1
    error = capsys.readouterr().err
    assert "star.dat" in error
    assert "401" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "absent.dat"), (b"", "is empty"), (b"\n\n", "absent.dat"), (b"no light curve\n" * 60, "absent.dat")],
)
def test_files_that_are_no_light_curves_are_refused_by_name_and_leave_nothing(tmp_path, capsys, content, said):
    path = tmp_path / "absent.dat"
    if content is not None:
        path.write_bytes(content)
    out = tmp_path / "out"
    assert morph(path, "--period", PERIOD, "--out", out) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("cbminer: error: ")
    assert error.count("\n") == 1
    assert not out.exists()
    assert [item.name for item in tmp_path.iterdir() if item.name.startswith(".")] == []


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf"])
@pytest.mark.parametrize("option", ["--period", "--epoch"])
def test_impossible_periods_and_epochs_are_refused_by_name(curve, tmp_path, capsys, option, value):
    assert morph(curve, f"{option}={value}", "--out", tmp_path / "out") == 2
    assert option in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_epoch_for_a_star_of_an_archive_is_a_wrong_request(mock_archive, mock_star, tmp_path, capsys):
    out = tmp_path / "out"
    assert morph(mock_star[0], "--archive", mock_archive, "--epoch", EPOCH, "--out", out) == 2
    assert "--epoch" in capsys.readouterr().err
    assert not out.exists()


def test_numbers_that_are_none_and_unknown_choices_are_wrong_requests(curve, tmp_path, capsys):
    assert morph(curve, "--period", "abc", "--out", tmp_path / "out") == 2
    assert "--period" in capsys.readouterr().err
    assert morph(curve, "--phase-zero", "middle", "--out", tmp_path / "out") == 2
    assert "--phase-zero" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_output_of_an_earlier_call_is_replaced_only_when_asked(curve, tmp_path, capsys):
    out = tmp_path / "out"
    assert morph(curve, "--period", PERIOD, "--out", out) == 0
    before = (out / "provenance.json").read_bytes()
    assert morph(curve, "--period", PERIOD / 2, "--out", out) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert (out / "provenance.json").read_bytes() == before
    assert morph(curve, "--period", PERIOD / 2, "--out", out, "--overwrite") == 0
    assert shape_of(out)["period_survey"] == PERIOD / 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    assert morph(curve, "--period", PERIOD, "--out", tmp_path / "mine", "--overwrite") == 1
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"


def test_without_out_the_folder_is_named_after_the_star(curve, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert morph("star.dat", "--period", PERIOD) == 0
    assert (tmp_path / "cbminer-morph-star" / "shape.ecsv").is_file()
    assert "written to cbminer-morph-star" in capsys.readouterr().out


def test_a_curve_of_few_points_has_no_shape_and_says_why(tmp_path, capsys):
    path = write_curve(tmp_path / "star.dat", n_points=20)
    assert morph(path, "--period", PERIOD, "--out", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "flag: " in said
    assert "depth1" not in said
    assert np.isnan(shape_of(tmp_path / "out")["c"])
    assert (tmp_path / "out" / "shape.png").is_file()


@pytest.fixture(scope="module")
def mock_star(mock_archive):
    """An LMC star of the mock survey with a light curve, and its catalogue period."""
    path = min(mock_archive.glob("lmc/ecl/phot/I/*.dat"))
    rows = [line.split() for line in (mock_archive / "lmc" / "ecl" / "ecl.dat").read_text().splitlines()]
    return path.stem, float(next(row for row in rows if row[0] == path.stem)[3])


def test_a_star_of_an_archive_has_the_period_of_its_catalogue(mock_archive, mock_star, tmp_path, capsys):
    star, period = mock_star
    out = tmp_path / "out"
    assert morph(star.lower(), "--archive", mock_archive, "--out", out) == 0
    said = capsys.readouterr().out
    assert f"{star}  SIMULATED, NOT OBSERVED" in said
    assert f"listed period {period:.7g} d" in said
    row = shape_of(out)
    assert row["id"] == star
    assert row["survey"] == "mock"
    assert row["period_survey"] == period
    assert b"mock" in (out / "shape.ecsv").read_bytes()
    content = json.loads((out / "provenance.json").read_text())
    assert content["survey"] == "mock"
    assert content["inputs"][0]["name"] == "LMC phot/I"
    other = tmp_path / "other"
    assert morph(star, "--archive", mock_archive, "--period", 1.234, "--keep-period", "--out", other) == 0
    assert shape_of(other)["period"] == 1.234


def test_a_file_of_an_archive_and_its_star_have_the_same_shape(mock_archive, mock_star, tmp_path):
    star, period = mock_star
    path = mock_archive / "lmc" / "ecl" / "phot" / "I" / f"{star}.dat"
    for out, more in ((tmp_path / "star", [star]), (tmp_path / "file", [path])):
        assert morph(*more, "--archive", mock_archive, "--period", period, "--out", out) == 0
    one, two = (Table.read(tmp_path / name / "shape.ecsv") for name in ("star", "file"))
    assert two["survey"][0] == "mock"
    assert one["depth1"][0] == pytest.approx(two["depth1"][0], abs=0.002)
    assert one["c"][0] == pytest.approx(two["c"][0], abs=0.02)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("MOCK-LMC-ECL-99999", "is not in the catalogue of"),
        ("NOBODY", "the name tells no Cloud"),
        ("no/such/file", "no/such/file"),
    ],
)
def test_unknown_stars_are_refused_by_name_and_leave_nothing(mock_archive, tmp_path, capsys, target, said):
    out = tmp_path / "out"
    assert morph(target, "--archive", mock_archive, "--out", out) == 1
    error = capsys.readouterr().err
    assert said in error
    assert target in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_an_impossible_period_of_a_star_is_refused_as_that_of_a_file(mock_archive, mock_star, tmp_path, capsys):
    for value in ("0", "-1", "nan"):
        out = tmp_path / f"out{value}"
        assert morph(mock_star[0], "--archive", mock_archive, f"--period={value}", "--out", out) == 2
        assert "--period" in capsys.readouterr().err
        assert not out.exists()


def test_a_star_without_a_light_curve_is_said(shared_data, tmp_path, capsys):
    folder = shared_data / "ocvs" / "lmc" / "ecl"
    observed = {path.stem for path in (folder / "phot" / "I").glob("*.dat")}
    listed = [line.split()[0] for line in (folder / "ecl.dat").read_text().splitlines()]
    absent = next(star for star in listed if star not in observed)
    assert morph(absent, "--archive", shared_data / "ocvs", "--out", tmp_path / "out") == 1
    assert absent in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_real_star_is_measured(shared_data, tmp_path, capsys):
    star = min((shared_data / "ocvs" / "lmc" / "ecl" / "phot" / "I").glob("*.dat")).stem
    out = tmp_path / "out"
    assert morph(star, "--archive", shared_data / "ocvs", "--out", out) == 0
    said = capsys.readouterr().out
    assert f"{star}: " in said
    assert "SIMULATED" not in said
    row = shape_of(out)
    assert row["survey"] == "ogle"
    assert row["depth1"] > 0.05
    assert 0 < row["c"] < 1
