"""The command synth: what it writes, says and refuses."""

import json
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.table import QTable

from cbminer import synthesis
from cbminer.cli import main
from cbminer.errors import ArchiveError
from cbminer.synthetic import phoebe_passbands

CONTACT = ["synth", "curve", "-q", "0.8", "-i", "75", "--fillout", "0.3", "--bands-of-cells", "12", "--phases", "40"]


def test_a_curve_is_a_table_a_figure_and_a_provenance(tmp_path, capsys):
    out = tmp_path / "curve"
    assert main([*CONTACT, "--no-phoebe", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "contact: q 0.800, i 75.00 deg, fill-out 0.300" in said
    table = QTable.read(out / "curve.ecsv")
    assert table.colnames == ["phase", "flux_I", "mag_I", "flux_V", "mag_V"]
    assert table["mag_I"].unit == "mag"
    assert table["flux_I"][10] == pytest.approx(1.0)
    assert f"I: {table['mag_I'][0].value:.4f} mag at phase 0" in said
    assert table.meta["fillout_factor"] == pytest.approx(0.3)
    assert table.meta["survey"] == "mock"
    assert table.meta["n_bands"] == 12
    assert table.meta["limb_darkening"]["I"] == {"law": "linear", "coefficients": [0.3]}
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")
    # One law over the envelope leaves teff_2 unknown, which strict JSON cannot say with NaN.
    provenance = json.loads((out / "provenance.json").read_text(), parse_constant=pytest.fail)
    assert provenance["survey"] == "mock"
    assert provenance["settings"]["teff_2"] is None


def test_third_light_and_reflection_reach_the_curve(tmp_path):
    tables = []
    for k, more in enumerate(([], ["--third-light", "0.5"], ["--no-reflection"])):
        assert main([*CONTACT, "--no-phoebe", "--out", str(tmp_path / str(k)), *more]) == 0
        tables.append(QTable.read(tmp_path / str(k) / "curve.ecsv"))
    assert tables[1]["flux_I"] == pytest.approx(0.5 + 0.5 * tables[0]["flux_I"])
    assert np.abs(tables[2]["flux_I"] - tables[0]["flux_I"]).max() > 1e-4


def test_without_phoebe_the_curve_comes_alone_and_asking_for_it_names_the_extra(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(phoebe_passbands.importlib.util, "find_spec", lambda _name: None)
    assert main([*CONTACT, "--out", str(tmp_path / "a")]) == 0
    assert "PHOEBE" not in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "phoebe", None)
    assert main([*CONTACT, "--phoebe", "--out", str(tmp_path / "b")]) == 2
    assert 'pip install "cbminer[phoebe]"' in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_a_phoebe_that_fails_costs_the_curve_only_whoever_asked_for_it(tmp_path, capsys, monkeypatch):
    def fail(*_, **__):
        msg = "PHOEBE made no curve of this system: Mesh failed"
        raise ArchiveError(msg)

    monkeypatch.setattr(synthesis, "compare_with_phoebe", fail)
    monkeypatch.setattr(phoebe_passbands.importlib.util, "find_spec", lambda _name: True)
    assert main([*CONTACT, "--out", str(tmp_path / "a")]) == 0
    assert "without PHOEBE's curve" in capsys.readouterr().out
    assert (tmp_path / "a" / "curve.ecsv").exists()
    assert main([*CONTACT, "--phoebe", "--out", str(tmp_path / "b")]) == 1
    assert "Mesh failed" in capsys.readouterr().err


@pytest.mark.skipif(not phoebe_passbands.phoebe_is_installed(), reason="PHOEBE is not installed")
def test_phoebe_makes_the_same_curve(tmp_path, capsys):
    out = tmp_path / "curve"
    # With one law over the envelope, as without --teff-2.
    command = [*CONTACT, "--bands-of-cells", "36", "--triangles", "1000", "--out", str(out)]
    command[command.index("40")] = "20"
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "PHOEBE" in said
    table = QTable.read(out / "curve.ecsv")
    difference = -2.5 * np.log10(table["flux_I"] / table["phoebe_flux_I"])
    assert np.abs(difference).max() < 0.01
    assert np.ptp(difference) > 0
    assert table.meta["phoebe_triangles"] == 1000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-i", "95", "--fillout", "0.2"], "inclination: 95"),
        (["-i", "80", "--fillout", "1.2"], "fillout_factor: 1.2"),
        (["-i", "80", "--lobe-filling", "1.2"], "lobe_filling_1: 1.2"),
        (["-i", "80"], "--fillout"),
        (["-i", "80", "--fillout", "0.2", "--lobe-filling", "0.9"], "--fillout"),
        (["-i", "80", "--lobe-filling-1", "0.9"], "--lobe-filling-2"),
        (["-i", "80", "--fillout", "0.2", "--phases", "30"], "phases: 30"),
        (["-i", "80", "--lobe-filling", "0.9", "--lobe-filling-1", "0"], "lobe_filling_1: 0"),
        (["-i", "80", "--fillout", "0.2", "--teff-2", "nan"], "--teff-2"),
        (["-i", "80", "--fillout", "0.2", "--third-light", "1"], "third_light: 1"),
        (["-i", "80", "--fillout", "0.2", "--limb-darkening-I", "3"], "limb darkening"),
    ],
)
def test_impossible_requests_are_refused_by_name_and_leave_nothing(tmp_path, capsys, arguments, said):
    out = tmp_path / "curve"
    assert main(["synth", "curve", "-q", "0.8", "--no-phoebe", "--out", str(out), *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_an_old_curve_is_not_replaced_unasked(tmp_path, capsys):
    out = tmp_path / "curve"
    assert main([*CONTACT, "--no-phoebe", "--out", str(out)]) == 0
    assert main([*CONTACT, "--no-phoebe", "--out", str(out)]) != 0
    assert "--overwrite" in capsys.readouterr().err
    assert main([*CONTACT, "--no-phoebe", "--out", str(out), "--overwrite"]) == 0


def test_a_library_is_written_and_announced(tmp_path, capsys):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[library]\nphases = 20\nn_bands = 9\n")
    out = tmp_path / "l.parquet"
    command = ["synth", "library", "--n", "30", "--seed", "1", "--settings", str(recipe), "--out", str(out)]
    assert main(command) == 0
    assert "30 simulated light curves" in capsys.readouterr().out
    assert pq.read_metadata(out).num_rows == 30
    assert main(command) != 0
    assert "--overwrite" in capsys.readouterr().err
    assert main([*command, "--observed", "smc", "--overwrite"]) == 0
    assert "mag_I" in pq.read_schema(out).names


def test_epochs_are_lent_only_to_observed_rows(tmp_path, capsys, mock_archive):
    out = tmp_path / "l.parquet"
    command = ["synth", "library", "--n", "5", "--out", str(out), "--cadence-of", str(mock_archive)]
    assert main(command) == 2
    assert "--observed" in capsys.readouterr().err
    absent = [*command[:-1], str(tmp_path / "absent"), "--observed", "LMC"]
    assert main(absent) == 2
    assert "--cadence-of" in capsys.readouterr().err
    assert main([*command, "--observed", "LMC", "--cache", str(tmp_path / "cache")]) == 0
    assert "epochs of" in capsys.readouterr().out
