"""The command line on whole archives: products, errors, and nothing left half-written."""

import csv
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits, votable
from astropy.table import Table
from conftest import ecl_line, ident_line

from cbminer.catalogue.schema import conform
from cbminer.catalogue.writers import CatalogueTitle, write_catalogue
from cbminer.cli import main
from cbminer.cli_run import command_line
from cbminer.columns import values
from cbminer.judged import read_judged
from cbminer.report import products

PRODUCTS = [f"{stem}.{suffix}" for stem in ("candidates", "judged") for suffix in ("ecsv", "fits", "vot", "mrt")]
FORMATS = {"ecsv": "ascii.ecsv", "fits": "fits", "vot": "votable", "mrt": "ascii.mrt"}


@pytest.fixture(scope="module")
def run(mock_archive, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    assert main(["select", "--galaxy", "both", "--archive", str(mock_archive), "--out", str(out), "--jobs", "1"]) == 0
    return out


def test_all_products_are_there(run):
    names = {path.name for path in run.iterdir()}
    assert {
        *PRODUCTS,
        "cutflow.ecsv",
        "plc_residuals.ecsv",
        "set_aside.ecsv",
        "settings.toml",
        "provenance.json",
        "figures",
    } <= names
    figures = {path.stem for path in (run / "figures").glob("*.png")}
    assert {
        "colour_magnitude",
        "period_luminosity_LMC",
        "period_luminosity_SMC",
        "cutflow_LMC",
        "period_histogram",
        "atlas_01",
    } <= figures


def test_every_format_holds_the_same_numbers(run):
    for stem in ("candidates", "judged"):
        tables = {suffix: Table.read(run / f"{stem}.{suffix}", format=name) for suffix, name in FORMATS.items()}
        reference = tables["ecsv"]
        for suffix, table in tables.items():
            assert len(table) == len(reference) > 0, suffix
            assert table.colnames == reference.colnames, suffix
            for name in reference.colnames:
                if reference[name].dtype.kind == "f":
                    expected, found = (
                        np.ma.filled(np.ma.asarray(t[name], dtype=float), np.nan) for t in (reference, table)
                    )
                    np.testing.assert_array_equal(found, expected, err_msg=f"{suffix} {name}")
                    assert str(table[name].unit) == str(reference[name].unit), (suffix, name)
                elif reference[name].dtype.kind in "ib":
                    assert [int(x) for x in np.ma.filled(table[name], 0)] == [
                        int(x) for x in np.ma.filled(reference[name], 0)
                    ]
                else:
                    texts = [["" if np.ma.is_masked(x) else str(x) for x in t[name]] for t in (reference, table)]
                    assert texts[0] == texts[1], (suffix, name)


def test_votable_is_valid_and_described(run):
    document = votable.parse(run / "judged.vot", verify="exception")
    assert document.version == "1.4"
    table = document.get_first_table()
    assert all(field.ucd and field.description for field in table.fields)
    assert [system.refposition for system in document.resources[0].time_systems] == ["HELIOCENTER"]
    assert [system.system for system in document.resources[0].coordinate_systems] == ["ICRS"]


def test_a_remark_in_any_script_is_written_in_every_format(run, tmp_path):
    stars = conform(read_judged(run))[:3]
    stars["remark"] = ["Szyma\u0144ski, \u0394P < 0", "plain", ""]
    write_catalogue(conform(stars), tmp_path, "stars", title=CatalogueTitle("Stars", "mock", "simulated", "0"))
    for suffix, layout in (("fits", "fits"), ("ecsv", "ascii.ecsv"), ("mrt", "ascii.mrt"), ("vot", "votable")):
        assert Table.read(tmp_path / f"stars.{suffix}", format=layout)["remark"][0] == "Szymanski, ?P < 0"


def test_checksums_of_fits_are_those_of_what_is_written(run):
    for name in ("judged.fits", "candidates.fits"):
        with fits.open(run / name, checksum=True) as hdus:
            assert [(hdu.verify_checksum(), hdu.verify_datasum()) for hdu in hdus] == [(1, 1), (1, 1)]


def test_fits_passes_fitsverify(run):
    try:
        done = subprocess.run(
            ["fitsverify", "-q", str(run / "judged.fits"), str(run / "candidates.fits")],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("fitsverify is not installed")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("verification OK") == 2, done.stdout


def test_every_product_of_simulated_stars_says_so(run):
    for name in PRODUCTS:
        assert b"mock" in (run / name).read_bytes(), name
    assert json.loads((run / "provenance.json").read_text())["survey"] == "mock"
    assert set(Table.read(run / "judged.ecsv", format="ascii.ecsv")["survey"]) == {"mock"}


def test_candidates_are_the_selected_stars_in_the_order_of_their_rank(run):
    judged, candidates = (Table.read(run / f"{stem}.ecsv", format="ascii.ecsv") for stem in ("judged", "candidates"))
    assert list(candidates["rank"]) == list(range(1, len(candidates) + 1))
    assert set(candidates["id"]) == set(judged["id"][np.asarray(judged["selected"])])
    assert len(judged) == 210
    cutflow = Table.read(run / "cutflow.ecsv", format="ascii.ecsv")
    last = cutflow[cutflow["cut"] == "morphology c"]
    assert sum(last["n_out"]) == len(candidates)


def test_provenance_names_inputs_settings_and_relation(run):
    content = json.loads((run / "provenance.json").read_text())
    names = {item["name"] for item in content["inputs"]}
    assert {"LMC ident.dat", "LMC ecl.dat", "LMC phot/I", "SMC ident.dat"} <= names
    assert all(len(item["sha256"]) == 64 for item in content["inputs"])
    assert content["relations"]["LMC"]["mode"] == "derived"
    assert content["settings"]["selection"]["period"]["period_max"] == "3 d"
    assert content["counts"]["LMC"]["stars"] == 150
    assert content["classifier"]["model"] == content["settings"]["classifier"]["model"] == "standard"
    assert len(content["classifier"]["sha256"]) == 64


def test_a_page_that_cannot_be_written_takes_nothing_with_it(mock_archive, tmp_path, capsys, monkeypatch):
    def fail(*_):
        msg = "no room for the page"
        raise OSError(msg)

    monkeypatch.setattr(products, "write_run_page", fail)
    monkeypatch.setattr(products, "_write_figures", lambda *_: None)
    monkeypatch.chdir(mock_archive.parent)
    assert main(["select", "--galaxy", "SMC", "--archive", mock_archive.name, "--out", str(tmp_path / "run")]) == 0
    told = capsys.readouterr().err
    assert "report.html could not be written (no room for the page)" in told
    assert f"cbminer report --run {tmp_path / 'run'}" in told
    assert len(read_judged(tmp_path / "run"))
    # It was given from where it lies, and is found from anywhere.
    assert json.loads((tmp_path / "run" / "provenance.json").read_text())["archive"] == str(mock_archive.resolve())


def test_the_command_is_kept_without_passwords(monkeypatch):
    monkeypatch.setattr("sys.argv", ["cbminer", "select", "--archive", "https://me:secret@ogle.example/a b/"])
    assert command_line() == "cbminer select --archive 'https://ogle.example/a b/'"


def test_number_of_jobs_does_not_change_a_byte(mock_archive, run, tmp_path):
    settings = tmp_path / "small.toml"
    settings.write_text("[lightcurves]\nchunk = 20\n")
    out = tmp_path / "two"
    options = ["--out", str(out), "--jobs", "2", "--settings", str(settings)]
    assert main(["select", "--galaxy", "both", "--archive", str(mock_archive), *options]) == 0
    for name in PRODUCTS:
        assert (out / name).read_bytes() == (run / name).read_bytes(), name


def test_explain_gives_every_number_and_its_distance_from_the_limit(run, capsys):
    judged = Table.read(run / "judged.ecsv", format="ascii.ecsv")
    chosen = str(judged["id"][np.asarray(judged["selected"])][0])
    assert main(["explain", chosen.lower(), "--run", str(run)]) == 0
    text = capsys.readouterr().out
    assert "candidate, rank" in text
    for word in (
        "type: passes",
        "main sequence: passes",
        "equal depths: passes",
        "inside by",
        "morphology c: passes",
        "simulated star",
        "class: ",
    ):
        assert word in text
    out_star = judged[~np.asarray(judged["selected"])][0]
    assert main(["explain", str(out_star["id"]), "--run", str(run)]) == 0
    assert f"out by {out_star['rejected_by']}" in capsys.readouterr().out


def test_explain_of_an_unknown_star_names_the_nearest(run, capsys):
    assert main(["explain", "MOCK-LMC-ECL-0000", "--run", str(run)]) == 1
    assert "the nearest names are MOCK-LMC-ECL-0" in capsys.readouterr().err


def test_explain_of_a_star_that_was_set_aside(write_archive, tmp_path, capsys):
    folder = write_archive(
        [ident_line(), ident_line("OGLE-LMC-ECL-00002"), "OGLE-LMC-ECL-00003  ZZ  05:20:00.00 -69:30:00.0"],
        [ecl_line()],
    )
    assert main(["select", "--galaxy", "LMC", "--archive", str(folder), "--out", str(tmp_path / "r")]) == 0
    capsys.readouterr()
    assert main(["explain", "OGLE-LMC-ECL-00003", "--run", str(tmp_path / "r")]) == 0
    assert (
        "ident.dat, line 3: bytes 21-23: expected a type out of C, NC, ELL, CV, found 'ZZ'" in capsys.readouterr().out
    )


def test_missing_phot_folder_is_said_and_stars_stay_undecided(write_archive, tmp_path, capsys):
    folder = write_archive([ident_line()], [ecl_line(i="15.000", v="14.900")])
    assert main(["select", "--galaxy", "LMC", "--archive", str(folder), "--out", str(tmp_path / "r")]) == 0
    text = capsys.readouterr().out
    assert f"no light curves: none are in {folder / 'phot' / 'I'}," in text
    assert "0 candidates" in text


def test_existing_output_is_kept_without_overwrite_and_after_a_failure(mock_archive, tmp_path, capsys):
    out = tmp_path / "run"
    command = ["select", "--galaxy", "SMC", "--archive", str(mock_archive), "--out", str(out)]
    assert main(command) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert main(command) == 1
    assert "replace it with --overwrite" in capsys.readouterr().err
    (broken := tmp_path / "broken").mkdir()
    assert main(["select", "--galaxy", "SMC", "--archive", str(broken), "--out", str(out), "--overwrite"]) == 1
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before
    assert main([*command, "--overwrite"]) == 0
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_folder_of_somebody_else_is_never_overwritten(mock_archive, tmp_path, capsys):
    (home := tmp_path / "home").mkdir()
    (home / "thesis.tex").write_text("years of work")
    assert main(["select", "--galaxy", "SMC", "--archive", str(mock_archive), "--out", str(home), "--overwrite"]) == 1
    assert "not the output of cbminer" in capsys.readouterr().err
    assert (home / "thesis.tex").read_text() == "years of work"


def test_unwritable_output_folder_is_said_before_the_work(mock_archive, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert (
        main(["select", "--galaxy", "SMC", "--archive", str(mock_archive), "--out", str(tmp_path / "file" / "out")])
        == 1
    )
    assert "cannot be written" in capsys.readouterr().err


def test_interrupt_leaves_nothing(mock_archive, tmp_path, monkeypatch, capsys):
    def interrupt(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("cbminer.report.products._write_figures", interrupt)
    assert main(["select", "--galaxy", "SMC", "--archive", str(mock_archive), "--out", str(tmp_path / "run")]) == 130
    assert list(tmp_path.iterdir()) == []
    assert "nothing was left half-written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[selection.period]\nperiod_maximum = 3\n",
            "line 2: selection.period.period_maximum: unknown key; known here: name, on_undecided, period_max",
        ),
        (
            'seed = 1\n[selection.period]\nperiod_max = "3 pc"\n',
            "line 3: selection.period.period_max: '3 pc' cannot be converted to d",
        ),
        (
            "[selection.period]\nperiod_max = 3\n",
            "line 2: selection.period.period_max: 3 has no unit: write it as a string with a unit",
        ),
        ("[selection.plc]\nmode = 'coefficients'\n", "needs a, b and c"),
        ("[cloud.LMC.distance]\nmodulus = '18 mag'\n", "line 2: cloud.LMC.distance.modulus: unknown key"),
        ("seed = \n", "is not valid TOML"),
    ],
)
def test_wrong_settings_are_named_with_file_line_and_remedy(tmp_path, capsys, text, message):
    (path := tmp_path / "my.toml").write_text(text)
    assert main(["select", "--galaxy", "LMC", "--settings", str(path)]) == 2
    error = capsys.readouterr().err
    assert str(path) in error
    assert message.replace("known here: name, ", "known here: ") in error
    assert error.count("\n") == 1


def test_settings_are_written_and_read_back(tmp_path, capsys):
    path = tmp_path / "all.toml"
    assert main(["settings", "write", str(path)]) == 0
    capsys.readouterr()
    assert main(["settings", "show"]) == 0
    shown = capsys.readouterr().out
    assert shown == path.read_text()
    assert main(["settings", "show", "--settings", str(path)]) == 0
    assert capsys.readouterr().out == shown
    assert main(["settings", "write", str(path)]) == 2


def test_usage_errors_and_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("cbminer ")
    assert main(["select", "--galaxy", "M31"]) == 2
    assert main(["select", "--galaxy", "LMC", "--survey", "mock", "--archive", "x"]) == 2
    assert "leave out --archive" in capsys.readouterr().err


def test_unreachable_archive_names_the_two_ways_out(tmp_path, capsys):
    out = tmp_path / "run"
    url = "http://127.0.0.1:9/OCVS/"
    assert (
        main(["select", "--galaxy", "LMC", "--archive", url, "--cache", str(tmp_path / "cache"), "--out", str(out)])
        == 1
    )
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    for word in (url, "cannot be reached", "--archive PATH", "--survey mock"):
        assert word in error
    assert not out.exists()


def test_published_c_decides_where_a_table_gives_it(mock_archive, run, tmp_path, capsys):
    candidates = Table.read(run / "candidates.ecsv", format="ascii.ecsv")
    first, second = (str(star) for star in candidates["id"][:2])
    (table := tmp_path / "c.csv").write_text(f"ID,morph\n{first},0.55\n{second},0.85\n{second},0.10\n")
    out = tmp_path / "out"
    assert (
        main(["select", "--galaxy", "both", "--archive", str(mock_archive), "--morph", str(table), "--out", str(out)])
        == 0
    )
    judged = Table.read(out / "judged.ecsv", format="ascii.ecsv")
    judged.add_index("id")
    assert judged.loc[first]["rejected_by"] == "morphology c: c too low"
    assert bool(judged.loc[second]["selected"])
    capsys.readouterr()
    table.write_text("ID,morph\nnobody,0.5\n")
    assert (
        main(
            [
                "select",
                "--galaxy",
                "LMC",
                "--archive",
                str(mock_archive),
                "--morph",
                str(table),
                "--out",
                str(tmp_path / "x"),
            ]
        )
        == 1
    )
    assert "has no star of this catalogue" in capsys.readouterr().err


def test_real_archive_classes(shared_data, tmp_path):
    """Equal depths and smoothness on stars with human labels: no EA, few EB, many EW."""
    out = tmp_path / "run"
    assert main(["select", "--galaxy", "LMC", "--archive", str(shared_data / "ocvs"), "--out", str(out)]) == 0
    judged = Table.read(out / "judged.ecsv", format="ascii.ecsv")
    assert len(judged) == 490
    assert json.loads((out / "provenance.json").read_text())["counts"]["LMC"]["light curves read"] == 189
    with (shared_data / "ocvs_labels.csv").open() as stream:
        classes = {row["name"]: row["ogle2_class"] for row in csv.DictReader(stream)}
    shape_bits = (1 << 5) | (1 << 6)
    passed = {
        str(row["id"]): (row["failed"] & shape_bits) == 0 and (row["undecided"] & shape_bits) == 0 for row in judged
    }
    rate = {
        kind: np.mean([passed[star] for star, label in classes.items() if label == kind]) for kind in ("EA", "EB", "EW")
    }
    assert rate["EA"] == 0
    assert rate["EB"] <= 0.10
    assert rate["EW"] >= 0.25
    assert np.isfinite(values(judged, "W")).sum() == 189


def test_python_entry_points_are_importable():
    import cbminer

    for name in cbminer.__all__:
        assert getattr(cbminer, name) is not None
    assert Path(cbminer.__file__).name == "__init__.py"
