"""Tables of VizieR and SIMBAD in the commands that use them."""

import json

import numpy as np
import pytest
from astropy.table import Table
from tap_server import Field, TapServer
from test_cache import as_ogle, contents

from cbminer.cli import main
from cbminer.columns import label_column, values
from cbminer.survey.ogle import read_catalogue

OGLE = "J/AcA/66/421/ecl"
MORPHOLOGY = "J/ApJS/255/1/table1"


@pytest.fixture
def server():
    running = TapServer()
    yield running
    running.close()


@pytest.fixture
def settings(server, tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text(f'[vizier]\ntap_url = "{server.url}"\nsimbad_url = "{server.url}"\nattempts = 1\ntimeout = "5 s"\n')
    return path


@pytest.fixture(scope="module")
def archive(mock_archive, tmp_path_factory):
    """The mock LMC with the names of observed stars, to stand for OGLE's files."""
    folder = tmp_path_factory.mktemp("ogle")
    for name, data in as_ogle(contents(mock_archive)).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def stars(archive):
    return read_catalogue(archive / "lmc" / "ecl", "LMC").stars


def numbers(table, name, unit):
    return [None if np.isnan(value) else float(value) for value in values(table, name, unit)]


def serve_catalogue(server, stars):
    server.tables[OGLE] = [
        Field("Star", "str", label_column(stars, "id").tolist()),
        Field("Type", "str", label_column(stars, "type").tolist()),
        Field("RAJ2000", "f8", numbers(stars, "RAJ2000", "deg"), unit="deg", ucd="pos.eq.ra;meta.main"),
        Field("DEJ2000", "f8", numbers(stars, "DEJ2000", "deg"), unit="deg", ucd="pos.eq.dec;meta.main"),
        Field("Imag", "f8", numbers(stars, "I_mag", "mag"), unit="mag"),
        Field("Vmag", "f8", numbers(stars, "V_mag", "mag"), unit="mag"),
        Field("Per", "f8", numbers(stars, "period", "d"), unit="d"),
        Field("T0", "f8", numbers(stars, "T0", "d"), unit="d"),
    ]


def serve_morphology(server, stars):
    c = np.linspace(0.5, 0.95, len(stars)).tolist()
    server.tables[MORPHOLOGY] = [Field("OGLE", "str", label_column(stars, "id").tolist()), Field("c", "f8", c)]
    return dict(zip(label_column(stars, "id").tolist(), c, strict=True))


def test_catalogue_and_c_of_vizier_judge_as_the_files_do(server, settings, archive, stars, tmp_path, capsys):
    serve_catalogue(server, stars)
    c = serve_morphology(server, stars)
    table = tmp_path / "c.csv"
    Table({"id": list(c), "c": list(c.values())}).write(table, format="ascii.csv")
    common = ["select", "--galaxy", "LMC", "--archive", str(archive), "--settings", str(settings)]
    common += ["--cache", str(tmp_path / "cache")]
    by_hand = [*common, "--morph", str(table), "--out", str(tmp_path / "a")]
    from_vizier = [*common, "--catalogue", "vizier", "--morph", "vizier", "--out", str(tmp_path / "b")]
    assert main(by_hand) == 0
    assert not server.asked
    capsys.readouterr()
    assert main(from_vizier) == 0
    assert "VizieR J/AcA/66/421" in capsys.readouterr().out
    one, other = (Table.read(tmp_path / name / "judged.ecsv", format="ascii.ecsv") for name in "ab")
    for name in ("id", "type", "period", "M_V", "VI0", "W", "c", "selected", "rejected_by"):
        assert one[name].tolist() == other[name].tolist(), name
    inputs = {item["name"] for item in json.loads((tmp_path / "b" / "provenance.json").read_text())["inputs"]}
    assert sum("J_AcA_66_421" in name or "J-AcA-66-421" in name for name in inputs) >= 1, inputs
    assert sum("255" in name for name in inputs) >= 1
    # What was fetched is kept: no request, and no need for one.
    n_asked = len(server.asked)
    server.close()
    assert main([*from_vizier[:-1], str(tmp_path / "c"), "--offline"]) == 0
    assert len(server.asked) == n_asked


def test_offline_without_the_tables_is_refused(server, settings, archive, tmp_path, capsys):
    options = ["--archive", str(archive), "--settings", str(settings), "--cache", str(tmp_path / "cache")]
    out = ["--out", str(tmp_path / "run")]
    assert main(["select", "--galaxy", "LMC", *options, "--morph", "vizier", "--offline", *out]) == 1
    error = capsys.readouterr().err
    assert "leave out --offline" in error
    assert error.count("cbminer: error") == 1
    assert not server.asked
    assert not (tmp_path / "run").exists()


def test_cross_match_writes_tables_beside_the_candidates(server, settings, archive, tmp_path, capsys):
    run = tmp_path / "run"
    options = ["--settings", str(settings), "--cache", str(tmp_path / "cache")]
    assert main(["select", "--galaxy", "LMC", "--archive", str(archive), *options, "--out", str(run)]) == 0
    first = Table.read(run / "candidates.ecsv", format="ascii.ecsv")[0]
    server.tables |= {
        "I/355/gaiadr3": [
            Field("Source", "i8", [4650000000000000001]),
            Field("RA_ICRS", "f8", [float(first["RAJ2000"])], unit="deg"),
            Field("DE_ICRS", "f8", [float(first["DEJ2000"])], unit="deg"),
        ],
        "I/358/veb": [
            Field("Source", "i8", [4650000000000000001]),
            Field("Freq", "f8", [2.0], unit="d-1"),
            Field("Rank", "f8", [0.5]),
            Field("ModelType", "str", ["TWOGAUSSIANS"]),
        ],
        "basic": [
            Field("main_id", "str", ["far away"]),
            Field("ra", "f8", [13.0]),
            Field("dec", "f8", [-72.0]),
            Field("otype", "str", ["EB*"]),
            Field("sp_type", "str", ["B1V"]),
            Field("nbref", "i4", [3]),
        ],
    }
    capsys.readouterr()
    assert main(["cross-match", "--run", str(run), *options]) == 0
    out = capsys.readouterr().out
    assert "Gaia DR3 eclipsing binaries: 1 of" in out
    assert "SIMBAD: 0 of" in out
    gaia = Table.read(run / "cross_match_gaia.ecsv", format="ascii.ecsv")
    assert gaia["id"].tolist() == [str(first["id"])]
    assert gaia["source_id"].tolist() == [4650000000000000001]
    assert len(Table.read(run / "cross_match_simbad.ecsv", format="ascii.ecsv")) == 0
    # The run is still one that is known and may be replaced.
    assert main(["explain", str(first["id"]), "--run", str(run)]) == 0


def test_cross_match_of_no_run_is_refused(server, settings, tmp_path, capsys):
    assert main(["cross-match", "--run", str(tmp_path), "--settings", str(settings)]) == 1
    assert "name the output folder of a run with --run" in capsys.readouterr().err
