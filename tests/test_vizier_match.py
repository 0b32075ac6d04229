"""Matches by position with Gaia and SIMBAD; the service really reads the positions and matches them."""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table
from tap_server import Fault, Field
from vizier_tables import make_settings

from cbminer.columns import values
from cbminer.errors import ArchiveError, InputFormatError
from cbminer.survey.vizier import Vizier

pytest_plugins = ("tap_fixtures",)

POSITIONS = {
    "a": (80.0, -69.5),
    "b": (80.001, -69.5),
    "c": (13.0, -72.75),
    "d": (359.9999, -10.0),
    "far": (200.0, 40.0),
}
SECOND = 1 / 3600


@pytest.fixture
def star_table():
    ra, dec = zip(*POSITIONS.values(), strict=True)
    return Table({"id": [*POSITIONS, "nowhere"], "RAJ2000": [*ra, np.nan], "DEJ2000": [*dec, np.nan]})


def gaia_sources():
    """Two sources at a, one at c that is no binary, one of d beyond the meridian, and one off by too much."""
    return [
        Field("Source", "i8", [4650000000000000001, 4650000000000000002, 3, 4, 5]),
        Field("RA_ICRS", "f8", [80.0, 80.0, 13.0, 0.00005, 80.0], unit="deg"),
        Field("DE_ICRS", "f8", [-69.5 + 0.8 * SECOND, -69.5 - 0.3 * SECOND, -72.75, -10.0, -69.5 + 1.2 * SECOND]),
        Field("RUWE", "f4", [1.0] * 5),
    ]


def gaia_binaries():
    return [
        Field("Source", "i8", [4650000000000000002, 4650000000000000001, 4, 5]),
        Field("Rank", "f4", [0.75, 0.5, None, 0.1]),
        Field("Freq", "f8", [2.0, 0.5, 4.0, 1.0], unit="d-1"),
        Field("ModelType", "str", ["TWOGAUSSIANS", "ONEGAUSSIAN", "", "x"]),
    ]


def check_gaia(matches):
    assert matches["id"].tolist() == ["a", "a", "d"]
    assert matches["rank"].tolist() == [1, 2, 1]
    assert matches["source_id"].tolist() == [4650000000000000002, 4650000000000000001, 4]
    np.testing.assert_allclose(
        matches["separation"].to_value(u.arcsec), [0.3, 0.8, 0.15e-3 * 3600 * np.cos(np.radians(10))], atol=1e-3
    )
    assert matches["period"].unit == u.d
    assert values(matches, "period", "d").tolist() == [0.5, 2.0, 0.25]
    assert matches["global_ranking"].tolist() == [0.75, 0.5, None]
    assert matches["model_type"].tolist() == ["TWOGAUSSIANS", "ONEGAUSSIAN", None]


@pytest.mark.parametrize("quotes", [False, True])
def test_gaia_matches_through_the_sources(server, vizier, star_table, quotes):
    server.quotes_in_schema = quotes
    server.tables |= {"I/355/gaiadr3": gaia_sources(), "I/358/veb": gaia_binaries(), "CI/358/veb": gaia_binaries()[1:]}
    check_gaia(vizier.gaia_binaries(star_table))
    asked = server.asked[-1]
    assert asked.query.count("JOIN") == 2
    # Only positions leave this machine, and only those that there are.
    assert asked.upload.colnames == ["cb_ra", "cb_dec"]
    assert len(asked.upload) == 5


def test_gaia_binaries_with_positions_of_their_own(server, vizier, star_table):
    positions = gaia_sources()
    order = [1, 0, 3, 4]
    server.tables["I/358/veb"] = [
        *gaia_binaries(),
        *(Field(column.name, "f8", [column.data[row] for row in order]) for column in positions[1:3]),
    ]
    check_gaia(vizier.gaia_binaries(star_table))
    assert all("I/355/gaiadr3" not in query for query in server.queries())


@pytest.mark.parametrize("upload", [True, False])
def test_positions_as_circles_in_the_query(server, tmp_path, star_table, upload):
    server.takes_tables = False
    server.tables |= {"I/355/gaiadr3": gaia_sources(), "I/358/veb": gaia_binaries()}
    with Vizier(tmp_path, settings=make_settings(server, upload=upload, batch=2)) as vizier:
        check_gaia(vizier.gaia_binaries(star_table))
    circles = [query.count("CIRCLE") for query in server.queries() if "CIRCLE" in query and "UPLOAD" not in query]
    assert circles == [2, 2, 1]
    assert any("UPLOAD" in query for query in server.queries()) is upload


def simbad_objects():
    return [
        Field("main_id", "str", ["OGLE  LMC-ECL-1", "[M2002] LMC 7"]),
        Field("ra", "f8", [80.0005, 13.0]),
        Field("dec", "f8", [-69.5, -72.75 + 1.5 * SECOND]),
        Field("otype", "str", ["EB*", "*"]),
        Field("sp_type", "str", ["O6V+O7V", ""]),
        Field("nbref", "i4", [12, None]),
    ]


def test_simbad_matches(server, vizier, star_table):
    server.tables["basic"] = simbad_objects()
    matches = vizier.simbad_objects(star_table)
    # One object may be near two stars.
    assert matches["id"].tolist() == ["a", "b", "c"]
    assert matches["main_id"].tolist() == ["OGLE LMC-ECL-1", "OGLE LMC-ECL-1", "[M2002] LMC 7"]
    assert matches["otype"].tolist() == ["EB*", "EB*", "*"]
    assert matches["sp_type"].tolist() == ["O6V+O7V", "O6V+O7V", None]
    assert matches["n_references"].tolist() == [12, 12, None]
    assert matches["separation"].to_value(u.arcsec)[2] == pytest.approx(1.5, abs=1e-3)
    assert "SIMBAD" in matches.meta["citation"]


def test_a_match_is_kept_with_its_positions(server, settings, tmp_path, star_table):
    server.tables["basic"] = simbad_objects()
    with Vizier(tmp_path, settings=settings) as vizier:
        first = vizier.simbad_objects(star_table)
        assert len(server.asked) == 1
        assert vizier.simbad_objects(star_table)["main_id"].tolist() == first["main_id"].tolist()
        assert len(server.asked) == 1
        star_table["DEJ2000"][2] = -72.0
        assert len(vizier.simbad_objects(star_table)) == 2
        assert len(server.asked) == 2
        # The answer to the first positions is still there.
        star_table["DEJ2000"][2] = POSITIONS["c"][1]
        assert len(vizier.simbad_objects(star_table)) == 3
        assert len(server.asked) == 2


def test_batches_and_an_empty_answer(server, tmp_path, star_table):
    server.tables["basic"] = simbad_objects()
    with Vizier(tmp_path, settings=make_settings(server, batch=2)) as vizier:
        assert vizier.simbad_objects(star_table)["id"].tolist() == ["a", "b", "c"]
        assert [len(asked.upload) for asked in server.asked] == [2, 2, 1]
        nothing = vizier.simbad_objects(star_table[4:])
        assert len(nothing) == 0
        assert nothing.colnames == vizier.simbad_objects(star_table).colnames
        assert len(vizier.simbad_objects(star_table[5:])) == 0


def test_too_many_objects_are_an_error(server, vizier, star_table):
    server.tables["basic"] = [Field(column.name, column.kind, column.data[:1] * 2000) for column in simbad_objects()]
    with pytest.raises(ArchiveError, match=r"cut the table off after 1000 rows .*make batch or the radius smaller"):
        vizier.simbad_objects(star_table)
    assert len(server.asked) == 1


def test_a_match_that_fails_names_the_service_and_the_way_out(server, vizier, star_table):
    server.faults = [Fault(status=503)] * 9
    with pytest.raises(ArchiveError, match=r"answered 503 .*SIMBAD's objects at the stars .*go on without the match"):
        vizier.simbad_objects(star_table)
    server.faults = []
    server.tables["I/358/veb"] = gaia_binaries()[:2]
    with pytest.raises(ArchiveError, match=r"no column for the frequency .*\[vizier.gaia_columns\]"):
        vizier.gaia_binaries(star_table)
    with pytest.raises(InputFormatError, match="no column RAJ2000 or DEJ2000; it has id"):
        vizier.gaia_binaries(star_table[["id"]])


def test_a_smaller_radius_finds_less(server, tmp_path, star_table):
    server.tables["basic"] = simbad_objects()
    with Vizier(tmp_path, settings=make_settings(server, radius_simbad="1 arcsec")) as vizier:
        assert vizier.simbad_objects(star_table)["id"].tolist() == ["a", "b"]
