"""The table of c from VizieR: columns found at run time, stars of the Clouds, and settings."""

import io
import subprocess
import sys

import astropy.units as u
import pytest
from astropy.io.votable import parse
from pydantic import ValidationError
from tap_server import Field
from vizier_tables import MORPHOLOGY, STARS, C, make_settings, morphology

from cbminer.errors import ArchiveError
from cbminer.survey.vizier import Vizier, VizierSettings

pytest_plugins = ("tap_fixtures",)


def test_morphology_table_has_the_stars_of_the_clouds_and_their_c(server, vizier):
    server.tables[MORPHOLOGY] = morphology()
    table = vizier.morphology_table()
    assert list(table["id"]) == [STARS[0], STARS[2], STARS[4], STARS[3]]
    # As the service has it: 0.7 in single precision is less than the threshold 0.7.
    assert table["c"].filled(-1).tolist() == [0.7, -1, 0.99, 0.85]
    assert table["c"].mask.tolist() == [False, True, False, False]
    assert table["period"].tolist() == [0.9, 2.5, 40.0, 3.25]
    assert table["period"].unit == u.d
    assert "Bodi" in table.meta["citation"]
    # The service filters: the many stars of the bulge stay where they are.
    rows = [query for query in server.queries() if query.startswith('SELECT "Star"')]
    assert len(rows) == 2
    assert all("LIKE '%LMC-ECL-%'" in query or "LIKE '%SMC-ECL-%'" in query for query in rows)
    assert vizier.morphology_table(["SMC"])["id"].tolist() == [STARS[3]]


@pytest.mark.parametrize("quotes", [False, True])
@pytest.mark.parametrize(
    ("star", "c", "about"),
    [
        ("OGLE", "Morph", {}),
        ("Name", "morphology", {}),
        ("OGLE-ID", "c(morph)", {"description": "Morphology parameter, c"}),
        ("ID", "par", {"ucd": "src.morph.param"}),
        ("[SUK]", "q1", {"description": "Detachedness of the pair"}),
    ],
)
def test_other_names_of_the_columns(server, vizier, star, c, about, quotes):
    server.quotes_in_schema = quotes
    server.tables["J/ApJS/255/10/table2"] = morphology()
    columns = morphology(star, c, **about)
    if star == "[SUK]":
        columns[1].ucd = "meta.id;meta.main"
    server.tables[MORPHOLOGY] = columns
    table = vizier.morphology_table(["LMC"])
    assert table["c"].filled(-1).tolist() == [0.7, -1, 0.99]
    assert table.meta["columns"] == {
        f"{MORPHOLOGY}, {role}": name for role, name in {"star": star, "c": c, "period": "Per"}.items()
    }


def test_names_of_stars_are_brought_to_the_form_of_ogle(server, vizier):
    columns = morphology()
    columns[1].data = ["LMC-ECL-1", "BLG-ECL-000001", "OGLE LMC-ECL-00002", "SMC-ECL-00001", "xLMC-ECL-9x"]
    server.tables[MORPHOLOGY] = columns
    assert vizier.morphology_table(["LMC"])["id"].tolist() == ["OGLE-LMC-ECL-00001", "OGLE-LMC-ECL-00002"]


def test_stars_in_two_tables_and_twice(server, vizier):
    server.tables["J/ApJS/255/1/a"] = [Field("Star", "str", [STARS[0], STARS[0]]), Field("c", "f8", [0.5, 0.6])]
    server.tables["J/ApJS/255/1/b"] = [Field("Star", "str", [STARS[0], STARS[2]]), Field("c", "f8", [0.9, 0.8])]
    server.tables["J/ApJS/255/1/refs"] = [Field("Ref", "str", ["x"])]
    table = vizier.morphology_table(["LMC"])
    assert dict(zip(table["id"], table["c"], strict=True)) == {STARS[0]: 0.5, STARS[2]: 0.8}
    assert table.colnames == ["id", "c"]


def test_no_fitting_column_says_what_there_is(server, vizier):
    server.tables[MORPHOLOGY] = morphology(c="Q")
    server.tables["J/ApJS/255/1/refs"] = [Field("Ref", "str", ["x"])]
    with pytest.raises(ArchiveError) as caught:
        vizier.morphology_table()
    message = str(caught.value)
    assert f"{MORPHOLOGY} (recno, Star, Bad, Per, Q)" in message
    assert "J/ApJS/255/1/refs (Ref)" in message
    assert "[vizier.morphology_columns]" in message
    assert "--morph TABLE" in message


@pytest.mark.parametrize("by", ["ucd", "description"])
def test_two_columns_that_could_be_c_are_none(server, vizier, by):
    about = {"ucd": "src.morph.param"} if by == "ucd" else {"description": "morphology"}
    server.tables[MORPHOLOGY] = [*morphology(c="Q", **about), Field("R", "f4", C, **about)]
    with pytest.raises(ArchiveError, match="no column for the morphology parameter c"):
        vizier.morphology_table()


def test_settings_name_the_columns(server, tmp_path):
    server.tables[MORPHOLOGY] = [*morphology("Weird", "odd"), Field("c", "f8", [0.1] * 5)]
    chosen = make_settings(server, morphology_columns={"star": "weird", "c": "odd"})
    with Vizier(tmp_path, settings=chosen) as vizier:
        assert vizier.morphology_table(["SMC"])["c"].tolist() == [0.85]
    wrong = make_settings(server, morphology_columns={"c": "nonsense"})
    with Vizier(tmp_path, settings=wrong) as vizier, pytest.raises(ArchiveError, match="named nonsense"):
        vizier.morphology_table(["SMC"])


def test_a_column_of_c_without_numbers(server, tmp_path):
    server.tables[MORPHOLOGY] = morphology()
    with (
        Vizier(tmp_path, settings=make_settings(server, morphology_columns={"c": "Bad"})) as vizier,
        pytest.raises(ArchiveError, match=r"column Bad .* does not hold numbers"),
    ):
        vizier.morphology_table(["SMC"])


def test_a_cloud_without_stars_is_an_error_with_a_sample(server, vizier):
    columns = morphology()
    columns[1].data = [f"OGLE-BLG-ECL-{number:06d}" for number in range(5)]
    server.tables[MORPHOLOGY] = columns
    with pytest.raises(ArchiveError, match=r"no star of the LMC .* begins with OGLE-BLG-ECL-000000, OGLE-BLG"):
        vizier.morphology_table(["LMC"])


@pytest.mark.parametrize("serialization", ["tabledata", "binary", "binary2"])
def test_sixty_thousand_rows_come_whole(server, vizier, serialization):
    number = 60000
    server.serialization = serialization
    server.tables[MORPHOLOGY] = [
        Field("Star", "str", [f"OGLE-LMC-ECL-{row:05d}" for row in range(number)]),
        Field("c", "f4", [row / number for row in range(number)]),
    ]
    table = vizier.morphology_table(["LMC"])
    assert len(table) == number
    assert table["id"][-1] == "OGLE-LMC-ECL-59999"
    assert table["c"][-1] == pytest.approx(59999 / number, abs=1e-6)
    # A number of rows is always asked for: services have small ones of their own.
    assert all(int(asked.maxrec) > 0 for asked in server.asked)


def test_settings_of_matches_take_units(server):
    chosen = make_settings(server, radius_gaia="0.5 arcsec", radius_simbad="1 arcmin")
    assert chosen.radius_gaia == pytest.approx(0.5)
    assert chosen.radius_simbad == pytest.approx(60.0)
    assert VizierSettings.model_validate(chosen.model_dump(mode="json")) == chosen
    with pytest.raises(ValidationError, match="has no unit"):
        make_settings(server, radius_gaia=1.0)
    with pytest.raises(ValidationError, match="tap_url"):
        make_settings(server, tap_url="vizier")
    with pytest.raises(ValidationError, match="radius_gaia"):
        make_settings(server, radius_gaia="2 arcmin")


def test_import_loads_no_pyvo_and_asks_for_nothing():
    code = "import sys, cbminer.survey.vizier; print([name for name in ('pyvo', 'requests') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_table_is_what_the_option_for_a_table_by_hand_reads(server, vizier, tmp_path):
    from cbminer.morphology.published import MorphologyTableSettings, read_morphology_table

    server.tables[MORPHOLOGY] = morphology()
    path = tmp_path / "c.ecsv"
    vizier.morphology_table().write(path, format="ascii.ecsv")
    read = read_morphology_table(MorphologyTableSettings(table=str(path)))
    assert read.c[STARS[0]] == 0.7
    assert parse(io.BytesIO(vizier.used[0].read_bytes()), verify="ignore").resources
