"""Tables of VizieR and SIMBAD from a TAP service on this machine."""

import hashlib
import io
import json
import socket
import subprocess
import sys

import astropy.units as u
import httpx
import numpy as np
import pytest
from astropy.io.votable import conf, parse
from astropy.table import Table
from conftest import ecl_line, ident_line
from pydantic import ValidationError
from tap_server import Fault, Field, TapServer, error_votable, read_form

from cbminer.columns import label_column, values
from cbminer.errors import ArchiveError, InputFormatError
from cbminer.flags import Flag
from cbminer.monitor import Monitor
from cbminer.survey.ogle import read_catalogue
from cbminer.survey.tap import read_votable
from cbminer.survey.vizier import Vizier, VizierSettings

MORPHOLOGY = "J/ApJS/255/1/table2"
OGLE = "J/AcA/66/421/ecl"
STARS = ["OGLE-LMC-ECL-00001", "OGLE-BLG-ECL-000001", "OGLE-LMC-ECL-00002", "OGLE-SMC-ECL-00001", "OGLE-LMC-ELL-00007"]
C = [0.7, 0.2, None, 0.85, 0.99]
PERIODS = [0.9, 1.1, 2.5, 3.25, 40.0]


@pytest.fixture
def server():
    running = TapServer()
    yield running
    running.close()


@pytest.fixture
def settings(server):
    return make_settings(server)


def make_settings(server, **more):
    quick = {"timeout": "5 s", "backoff": "0.01 s", "attempts": 2}
    return VizierSettings(**{"tap_url": server.url, "simbad_url": server.url, **quick, **more})


@pytest.fixture
def vizier(settings, tmp_path):
    with Vizier(tmp_path / "vizier", settings=settings) as opened:
        yield opened


def morphology(star="Star", c="c", **about):
    return [
        Field("recno", "i4", list(range(1, 6))),
        Field(star, "str", list(STARS)),
        Field("Bad", "str", ["05 20 00.0"] * 5),
        Field("Per", "f8", list(PERIODS), unit="d", ucd="time.period"),
        Field(c, "f4", list(C), **about),
    ]


def ogle(**replaced):
    columns = {
        "star": Field("Star", "str", ["OGLE-LMC-ECL-00001", "OGLE-LMC-ECL-00002", "OGLE-SMC-ECL-00001"]),
        "type": Field("Type", "str", ["C", "NC", "C"]),
        "ra": Field("RAJ2000", "f8", [80.0, 80.125, 13.0], unit="deg", ucd="pos.eq.ra;meta.main"),
        "dec": Field("DEJ2000", "f8", [-69.5, -69.25, -72.75], unit="deg", ucd="pos.eq.dec;meta.main"),
        "I_mag": Field("Imag", "f4", [16.123, 17.456, 18.0], unit="mag"),
        "V_mag": Field("Vmag", "f4", [15.987, 17.5, 18.1], unit="mag"),
        "period": Field("Per", "f8", [0.9123456, 2.5, 1.0], unit="d"),
        "T0": Field("T0", "f8", [2457000.1234, 2457001.5, 2457002.0], unit="d"),
        "depth1": Field("DepI", "f4", [0.4, 0.3, 0.2], unit="mag"),
        "depth2": Field("DepII", "f4", [0.35, 0.0, 0.1], unit="mag"),
    }
    return [column for column in {**columns, **replaced}.values() if column is not None]


# The table of c


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


# What goes wrong

HTML = b"<!DOCTYPE html><html><body>Down for <b>maintenance</b></body></html>"
FAULTS = {
    "web page": (Fault(body=HTML, kind="text/html"), "sent a web page instead of a table"),
    "error page": (Fault(status=500, body=HTML, kind="text/html"), "answered 500"),
    "not found": (Fault(status=404, body=HTML, kind="text/html"), "answered 404"),
    "wrong query": (Fault(status=400, body=error_votable("no <such> column")), "rejects the query .*no <such> column"),
    "error said in a 200": (Fault(body=error_votable("out of memory")), "rejects the query .*out of memory"),
    "long error": (Fault(body=error_votable("word " * 5000)), r"word word \.\.\."),
    "empty": (Fault(), "sent an empty answer"),
    "another kind": (Fault(body=b"a,b\n1,2\n", kind="text/csv"), "sent text/csv instead of a VOTable"),
    "another XML": (Fault(body=b"<?xml version='1.0'?><a/>"), "sent text/xml instead of a VOTable"),
    "broken off": (Fault(cut=700), "broke off the connection|cannot be reached"),
    "cut quietly": (Fault(cut=700, cut_quietly=True), "cut off or cannot be read"),
    "no table": (Fault(body=b"<VOTABLE version='1.3'></VOTABLE>"), "cut off or cannot be read"),
    "busy": (Fault(status=503, headers={"Retry-After": "3600"}), "answered 503 .*Try again in 3600 s"),
    "elsewhere": (Fault(status=302, headers={"Location": "http://example.org/tap"}), "redirects to http://example.org"),
    "in a circle": (Fault(status=307, headers={"Location": "sync"}), "redirects in a circle"),
}


@pytest.mark.parametrize("stage", ["columns", "count", "rows"])
@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_one_clear_line(server, vizier, name, stage):
    fault, expected = FAULTS[name]
    server.tables[MORPHOLOGY] = morphology()
    answers = {"columns": 0, "count": 1, "rows": 2}[stage]
    if answers:
        vizier.morphology_table(["SMC"])  # its columns are kept, so that the next request is the count of another Cloud
        server.asked.clear()
    good = [Fault(cut=10**6, cut_quietly=True)] * max(answers - 1, 0)
    server.faults = [*good, *[fault] * 20]
    with pytest.raises(ArchiveError, match=expected) as caught:
        vizier.morphology_table(["LMC"])
    message = str(caught.value)
    assert server.url in message
    assert {"columns": "the columns of J/ApJS/255/1", "count": "the stars of the LMC", "rows": "the stars of the LMC"}[
        stage
    ] in message
    assert "give a table of c by hand with --morph TABLE" in message
    assert "\n" not in message
    assert len(message) < 700


def test_a_stall_ends_at_the_time_out(server, tmp_path):
    server.faults = [Fault(stall=1.0)] * 2
    with (
        Vizier(tmp_path, settings=make_settings(server, timeout="0.1 s")) as vizier,
        pytest.raises(
            ArchiveError, match=r"did not answer in time .*the columns of .*Try again later, or give a table"
        ),
    ):
        vizier.morphology_table()


def test_nobody_there(tmp_path, server):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/tap"
        with (
            Vizier(tmp_path, settings=make_settings(server, tap_url=url)) as vizier,
            pytest.raises(ArchiveError, match=f"{url} cannot be reached .*refused"),
        ):
            vizier.morphology_table()


def test_no_such_catalogue_is_an_error_and_is_not_remembered(server, vizier, tmp_path):
    with pytest.raises(ArchiveError, match="has no table of J/ApJS/255/1: check the name in the settings, or give"):
        vizier.morphology_table()
    assert list(tmp_path.rglob("*.*")) == []
    server.tables[MORPHOLOGY] = morphology()
    assert len(vizier.morphology_table()) == 4


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=503, headers={"Retry-After": "0"}),
        Fault(status=429),
        Fault(status=500, body=HTML),
        Fault(body=HTML),
        Fault(cut=500),
        Fault(status=400, body=error_votable("2 unresolved identifiers")),
    ],
)
def test_another_try_mends_a_passing_fault(server, vizier, fault):
    server.tables[MORPHOLOGY] = morphology()
    server.faults = [fault]
    assert len(vizier.morphology_table(["LMC"])) == 3


def test_tries_are_counted(server, tmp_path):
    server.faults = [Fault(status=503)] * 20
    with Vizier(tmp_path, settings=make_settings(server, attempts=3)) as vizier, pytest.raises(ArchiveError):
        vizier.morphology_table()
    assert len(server.asked) == 3
    # A query that is wrong is wrong again; one more try is for machines that are out of step.
    server.faults = [Fault(status=400, body=error_votable("wrong"))] * 20
    server.asked.clear()
    with Vizier(tmp_path, settings=make_settings(server, attempts=5)) as vizier, pytest.raises(ArchiveError):
        vizier.morphology_table()
    assert len(server.asked) == 2
    server.faults = [Fault(status=403)] * 20
    server.asked.clear()
    with Vizier(tmp_path, settings=make_settings(server, attempts=5)) as vizier, pytest.raises(ArchiveError):
        vizier.morphology_table()
    assert len(server.asked) == 1


def test_waits_double_and_retry_after_is_heeded(server, tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr("time.sleep", waits.append)
    server.faults = [Fault(status=503), Fault(status=503), Fault(status=503, headers={"Retry-After": "7"})]
    server.tables[MORPHOLOGY] = morphology()
    with Vizier(tmp_path, settings=make_settings(server, attempts=4, backoff="1 s")) as vizier:
        assert len(vizier.morphology_table(["LMC"])) == 3
    first, second, asked = [wait for wait in waits if wait > 0]
    assert 0.75 <= first <= 1.25
    assert 1.5 <= second <= 2.5
    assert asked == 7.0


def test_requests_to_a_public_service_are_paced(server, tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr("time.sleep", waits.append)
    server.tables[MORPHOLOGY] = morphology()

    def answer(request):
        status, content = server.answer(*read_form(request.headers["Content-Type"], request.content))
        return httpx.Response(status, content=content)

    chosen = make_settings(server, tap_url="https://me:secret@tap.example/tap", requests_per_second=0.5)
    with Vizier(tmp_path, settings=chosen, transport=httpx.MockTransport(answer)) as vizier:
        vizier.morphology_table(["LMC"])
        server.tables.clear()
        with pytest.raises(ArchiveError, match=r"https://tap\.example/tap rejects the query"):
            vizier.morphology_table(["SMC"])
    paced = [wait for wait in waits if wait > 1]
    assert len(paced) >= 3
    assert all(wait <= 2.0 * len(paced) for wait in paced)
    notes = "".join(path.read_text() for path in tmp_path.glob("*.json"))
    assert "https://tap.example/tap" in notes
    assert "secret" not in notes


def test_a_redirect_on_the_host_is_followed(server, vizier):
    server.tables[MORPHOLOGY] = morphology()
    server.faults = [Fault(status=307, headers={"Location": "/tap/sync"})]
    assert len(vizier.morphology_table(["LMC"])) == 3


def test_rows_left_out_are_an_error(server, vizier, tmp_path):
    server.tables[MORPHOLOGY] = morphology()
    vizier.morphology_table(["SMC"])
    kept = sorted(tmp_path.rglob("*"))
    server.limit = 2
    with pytest.raises(ArchiveError, match="cut the table off after 2 rows when asked for the stars of the LMC"):
        vizier.morphology_table(["LMC"])
    server.limit = 10**9
    server.lost_rows = 2
    with pytest.raises(ArchiveError, match="gave 2 of 3 rows"):
        vizier.morphology_table(["LMC"])
    server.lost_rows, server.lost_columns = 0, 1
    with pytest.raises(ArchiveError, match="gave 2 columns instead of 3"):
        vizier.morphology_table(["LMC"])
    assert sorted(tmp_path.rglob("*")) == kept


def test_an_answer_without_end_is_refused(server, tmp_path):
    server.tables[MORPHOLOGY] = morphology()
    with (
        Vizier(tmp_path, settings=make_settings(server, largest_answer="0.0005 Mbyte")) as vizier,
        pytest.raises(ArchiveError, match=r"sent more than 0.0005 MB"),
    ):
        vizier.morphology_table()


def test_what_is_amiss_with_the_standard_is_not_the_users_affair():
    # Whatever the user's own settings of astropy are.
    content = (
        b'<?xml version="1.0"?><VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        b'<COOSYS ID="J2000" system="eq_FK5"/><RESOURCE type="results"><TABLE><FIELD name="RAJ2000" datatype="char" '
        b'arraysize="*" unit="&quot;h:m:s&quot;" ucd="POS EQ"/><DATA><TABLEDATA><TR><TD>05 20 00</TD></TR>'
        b"</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
    )
    with conf.set_temp("verify", "exception"):
        assert read_votable(content)["RAJ2000"].tolist() == ["05 20 00"]


# The cache


def test_a_kept_table_needs_no_request(server, settings, tmp_path):
    server.tables[MORPHOLOGY] = morphology()
    with Vizier(tmp_path, settings=settings) as vizier:
        first = vizier.morphology_table()
    server.asked.clear()
    with Vizier(tmp_path, settings=settings) as vizier:
        second = vizier.morphology_table()
        used = vizier.used
    assert server.asked == []
    assert second["c"].tolist() == first["c"].tolist()
    assert second.meta == first.meta
    assert sorted(used) == sorted(tmp_path.glob("*.vot"))
    assert len(used) == 3


def test_the_note_says_where_a_table_came_from(server, settings, tmp_path):
    server.tables[MORPHOLOGY] = morphology()
    with Vizier(tmp_path, settings=settings) as vizier:
        vizier.morphology_table(["LMC"])
    (path,) = tmp_path.glob("J_ApJS_255_1_table2-LMC-*.vot")
    note = json.loads(path.with_suffix(".json").read_text())
    assert note["service"] == server.url
    assert note["query"] in server.queries()
    assert note["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert note["rows"] == 3 == len(Table.read(path, format="votable"))
    assert note["columns"] == {"star": "Star", "c": "c", "period": "Per"}
    assert "Bodi" in note["citation"]
    assert note["fetched"].endswith("+00:00")


@pytest.mark.parametrize("damage", ["table", "note", "no note", "no table", "another query"])
def test_a_damaged_table_is_asked_for_again(server, settings, tmp_path, damage):
    server.tables[MORPHOLOGY] = morphology()
    with Vizier(tmp_path, settings=settings) as vizier:
        vizier.morphology_table(["LMC"])
    (path,) = tmp_path.glob("J_ApJS*LMC*.vot")
    note = path.with_suffix(".json")
    good = path.read_bytes()
    if damage == "table":
        path.write_bytes(good.replace(b"0.7", b"0.1"))
    elif damage == "note":
        note.write_text("{")
    elif damage == "another query":
        note.write_text(json.dumps(json.loads(note.read_text()) | {"query": "SELECT"}))
    else:
        (note if damage == "no note" else path).unlink()
    server.asked.clear()
    with Vizier(tmp_path, settings=settings) as vizier:
        assert vizier.morphology_table(["LMC"])["c"][0] == 0.7
    assert len(server.asked) == 2
    assert path.read_bytes() == good


def test_refresh_asks_once_again(server, settings, tmp_path):
    server.tables[MORPHOLOGY] = morphology()
    with Vizier(tmp_path, settings=settings) as vizier:
        vizier.morphology_table(["LMC"])
    server.tables[MORPHOLOGY][4].data[0] = 0.75
    with Vizier(tmp_path, settings=settings) as vizier:
        assert vizier.morphology_table(["LMC"])["c"][0] == 0.7
    server.asked.clear()
    with Vizier(tmp_path, settings=settings, refresh=True) as vizier:
        assert vizier.morphology_table(["LMC"])["c"][0] == 0.75
        assert vizier.morphology_table(["LMC"])["c"][0] == 0.75
    assert len(server.asked) == 3
    # A service that is down does not take what is kept.
    server.faults = [Fault(status=403)] * 9
    with Vizier(tmp_path, settings=settings, refresh=True) as vizier, pytest.raises(ArchiveError):
        vizier.morphology_table(["LMC"])
    with Vizier(tmp_path, settings=settings) as vizier:
        assert vizier.morphology_table(["LMC"])["c"][0] == 0.75


def test_a_cache_that_cannot_be_written(server, settings, tmp_path):
    server.tables[MORPHOLOGY] = morphology()
    (tmp_path / "file").write_text("")
    with (
        Vizier(tmp_path / "file" / "vizier", settings=settings) as vizier,
        pytest.raises(ArchiveError, match=r"cannot be written .*--cache"),
    ):
        vizier.morphology_table()


def test_requests_name_the_package_and_the_monitor_is_told(server, settings, tmp_path):
    told = []

    class Listening(Monitor):
        def tell(self, message):
            told.append(message)

    server.tables[MORPHOLOGY] = morphology()
    with Vizier(tmp_path, settings=settings, monitor=Listening()) as vizier:
        vizier.morphology_table(["LMC"])
    assert {asked.agent.split("/")[0] for asked in server.asked} == {"cbminer"}
    assert told == [
        f"asking {server.url} for {what}"
        for what in ("the columns of J/ApJS/255/1", f"the stars of the LMC in {MORPHOLOGY}")
    ]


# OGLE's catalogue


def write_ogle_files(write_archive, star_rows):
    ident = [ident_line(star, kind, ra, dec) for star, kind, ra, dec, *_ in star_rows]
    ecl = [ecl_line(star, *rest) for star, _, _, _, *rest in star_rows]
    return read_catalogue(write_archive(ident, ecl), "LMC").stars


STAR_ROWS = [
    (
        "OGLE-LMC-ECL-00001",
        "C",
        "05:20:00.00",
        "-69:30:00.0",
        "16.123",
        "15.987",
        "0.9123456",
        "2457000.1234",
        "0.400",
        "0.350",
    ),
    (
        "OGLE-LMC-ECL-00002",
        "NC",
        "05:20:30.25",
        "-69:15:07.5",
        "17.456",
        "99.999",
        "2.5000000",
        "2457001.5000",
        "0.300",
        "0.000",
    ),
    (
        "OGLE-LMC-ECL-00003",
        "ELL",
        "04:59:59.99",
        "-68:00:00.1",
        "18.000",
        "18.100",
        "1.0000000",
        "2457002.0000",
        "-",
        "-",
    ),
    (
        "OGLE-LMC-ECL-00004",
        "CV",
        "05:00:00.00",
        "-70:59:59.9",
        "99.999",
        "-9.999",
        "0.5000000",
        "2457003.2500",
        "9.999",
        "0.1",
    ),
]


def number(text):
    return None if text == "-" else float(text)


def served(star_rows, position):
    stars, kinds, ra, dec, *numbers = zip(*star_rows, strict=True)
    columns = ogle()
    columns[0].data, columns[1].data = list(stars), list(kinds)
    if position == "degrees":
        from astropy.coordinates import Angle

        columns[2].data = [float(Angle(text, u.hourangle).deg) for text in ra]
        columns[3].data = [float(Angle(text, u.deg).deg) for text in dec]
    else:
        blank = " " if position == "blanks" else ":"
        columns[2] = Field("RAJ2000", "str", [text.replace(":", blank) for text in ra], unit='"h:m:s"')
        columns[3] = Field("DEJ2000", "str", [text.replace(":", blank) for text in dec], unit='"d:m:s"')
    for column, texts in zip(columns[4:], numbers, strict=True):
        column.data = [number(text) for text in texts]
    return columns


@pytest.mark.parametrize("position", ["degrees", "blanks", "colons"])
def test_catalogue_is_the_one_of_ogles_files(server, vizier, write_archive, position):
    server.tables[OGLE] = served(STAR_ROWS, position)
    reading = vizier.catalogue("LMC")
    expected = write_ogle_files(write_archive, STAR_ROWS)
    assert reading.stars.colnames == expected.colnames
    assert reading.stars.meta == expected.meta
    for name in expected.colnames:
        ours, theirs = reading.stars[name], expected[name]
        assert type(ours) is type(theirs)
        assert getattr(ours, "unit", None) == getattr(theirs, "unit", None)
        assert np.array_equal(getattr(ours, "mask", False), getattr(theirs, "mask", False))
        if ours.dtype.kind == "f":
            unit = str(ours.unit or "")
            tolerance = 1e-12 if name in {"RAJ2000", "DEJ2000"} else 0
            np.testing.assert_allclose(values(reading.stars, name, unit), values(expected, name, unit), rtol=tolerance)
        elif ours.dtype.kind == "U":
            assert label_column(reading.stars, name).tolist() == label_column(expected, name).tolist()
        else:
            assert ours.tolist() == theirs.tolist()
    assert reading.set_aside == []
    assert reading.counts[f"{OGLE}: rows"] == reading.counts["stars"] == 4


def test_catalogue_of_one_cloud_and_its_release(server, vizier):
    server.tables[OGLE] = ogle()
    reading = vizier.catalogue("SMC")
    assert reading.stars["id"].tolist() == ["OGLE-SMC-ECL-00001"]
    assert reading.stars["galaxy"].tolist() == ["SMC"]
    assert reading.release == (
        "OGLE-IV, Pawlak et al. 2016 (VizieR J/AcA/66/421, 1 stars, not the number of that release)"
    )


def test_catalogue_with_the_number_of_stars_of_the_release(server, vizier):
    rows = 8401
    columns = ogle()
    columns[0].data = [f"OGLE-SMC-ECL-{row:05d}" for row in range(rows)]
    for column in columns[1:]:
        column.data = [column.data[2]] * rows
    server.tables[OGLE] = columns
    assert vizier.catalogue("SMC").release == "OGLE-IV, Pawlak et al. 2016 (VizieR J/AcA/66/421, 8401 stars)"


@pytest.mark.parametrize(
    ("data", "about", "expected"),
    [
        ([7000.1234], {}, 2457000.1234),
        ([2457000.1234], {}, 2457000.1234),
        ([57000.1234], {"description": "HJD-2400000"}, 2457000.1234),
        ([56999.6234], {"unit": "MJD"}, 2457000.1234),
        ([56999.6234], {"description": "Time of minimum, HJD-2400000.5"}, 2457000.1234),
    ],
)
def test_epochs_of_any_zero_point(server, vizier, data, about, expected):
    columns = [Field(column.name, column.kind, column.data[:1], unit=column.unit) for column in ogle()]
    columns[7] = Field("T0", "f8", data, **about)
    server.tables[OGLE] = columns
    assert values(vizier.catalogue("LMC").stars, "T0", "d")[0] == pytest.approx(expected, abs=1e-8)


def test_missing_values_are_masked_and_flagged(server, vizier):
    server.tables[OGLE] = ogle(
        V_mag=Field("Vmag", "f4", [None, 99.999, 1.0]),
        period=Field("Per", "f8", [None, 0.0, 1.0]),
        T0=Field("T0", "f8", [None, 0.0, 1.0]),
        I_mag=Field("Imag", "str", ["-", "17.5", "1"]),
    )
    stars = vizier.catalogue("LMC").stars
    assert stars["V_mag"].mask.tolist() == [True, True]
    assert stars["period"].mask.tolist() == [True, True]
    assert stars["T0"].mask.tolist() == [True, True]
    assert values(stars, "I_mag", "mag").tolist()[1] == 17.5
    missing = Flag.NO_V | Flag.NO_PERIOD | Flag.NO_EPOCH
    assert stars["flags"].tolist() == [missing | Flag.NO_I, missing]


def test_catalogue_in_several_tables(server, vizier):
    whole = {column.name: column for column in ogle()}
    whole["Star"].data[1] = "OGLE-LMC-ELL-00002"
    names = ["Star", "Imag", "Vmag", "Per", "T0", "DepI", "DepII"]
    server.tables["J/AcA/66/421/ecl"] = [whole[name] for name in names]
    server.tables["J/AcA/66/421/ident"] = [
        Field("OGLE", "str", ["OGLE-LMC-ECL-00001", "OGLE-LMC-ELL-00002", "OGLE-LMC-ECL-00009"]),
        Field("Type", "str", ["NC", "", "C"]),
        *(Field(name, "f8", [1.0, 2.0, 3.0]) for name in ("RAJ2000", "DEJ2000")),
        Field("OGLE-IV", "str", ["LMC501.1.1", "", "-"]),
    ]
    server.tables["J/AcA/66/421/rem"] = [Field("Star", "str", ["OGLE-LMC-ECL-00001"]), Field("Rem", "str", ["odd"])]
    # It knows less than the first, so that its magnitude does not count.
    server.tables["J/AcA/66/421/aux"] = [Field("Star", "str", ["OGLE-LMC-ECL-00001"]), Field("Imag", "f4", [9.0])]
    server.tables["J/AcA/66/421/refs"] = [Field("Ref", "str", ["x"])]
    stars = vizier.catalogue("LMC").stars
    assert stars["id"].tolist() == ["OGLE-LMC-ECL-00001", "OGLE-LMC-ELL-00002", "OGLE-LMC-ECL-00009"]
    assert stars["type"].tolist() == ["NC", "ELL", "C"]
    assert stars["RAJ2000"].value.tolist() == [1.0, 2.0, 3.0]
    assert stars["ogle4_id"].tolist() == ["LMC501.1.1", None, None]
    assert stars["remark"].tolist() == ["odd", None, None]
    assert values(stars, "I_mag", "mag")[0] == 16.123
    assert stars["flags"].tolist() == [
        0,
        0,
        Flag.NO_CATALOGUE_ROW | Flag.NO_V | Flag.NO_I | Flag.NO_PERIOD | Flag.NO_EPOCH,
    ]


def test_malformed_rows_are_set_aside(server, vizier):
    rows = [list(row) for row in STAR_ROWS]
    rows[1][1] = "RR"
    columns = served(rows, "colons")
    columns[2].data[2] = "25:00:00.00"
    columns[7].data[3] = 1e9
    columns[0].data.append("OGLE-LMC-ECL-00001")
    for column in columns[1:]:
        column.data.append(column.data[0])
    for _ in range(4):
        for column in columns:
            column.data.append(column.data[0])
        columns[0].data[-1] = f"OGLE-LMC-ECL-{len(columns[0].data):05d}"
    server.tables[OGLE] = columns
    reading = vizier.catalogue("LMC")
    assert [aside.reason for aside in reading.set_aside] == [
        "expected a type out of C, NC, ELL, CV, found 'RR'",
        "expected a right ascension in degrees or sexagesimal, found '25:00:00.00'",
        "expected an epoch as HJD, HJD-2450000 or HJD-2400000, found 1000000000.00000",
    ]
    assert [(aside.file, aside.line, aside.star) for aside in reading.set_aside] == [
        (OGLE, row, f"OGLE-LMC-ECL-0000{row}") for row in (2, 3, 4)
    ]
    # A star whose parameters are of no use is still a star.
    assert reading.stars["id"].tolist()[:2] == ["OGLE-LMC-ECL-00001", "OGLE-LMC-ECL-00004"]
    assert reading.stars["flags"][1] & Flag.NO_CATALOGUE_ROW
    assert reading.counts[f"{OGLE}: duplicate rows"] == 1
    assert reading.counts["VizieR J/AcA/66/421: malformed rows"] == 3
    with pytest.raises(InputFormatError, match=f"{OGLE}, row 2: expected a type"):
        vizier.catalogue("LMC", strict=True)


def test_a_catalogue_of_nothing_but_malformed_rows_is_an_error(server, vizier):
    server.tables[OGLE] = ogle(ra=Field("RAJ2000", "f8", [999.0] * 3))
    with pytest.raises(
        InputFormatError, match=r"2 rows are malformed; .*\[vizier.ogle_columns\], or give OGLE's own files"
    ):
        vizier.catalogue("LMC")


def test_a_column_that_is_needed_but_missing(server, vizier, tmp_path):
    server.tables[OGLE] = ogle(V_mag=None, T0=Field("When", "f8", [7000.0] * 3))
    with pytest.raises(ArchiveError) as caught:
        vizier.catalogue("LMC")
    message = str(caught.value)
    assert "no column for its V magnitude or its epoch of minimum" in message
    assert f"{OGLE} (Star, Type, RAJ2000, DEJ2000, Imag, Per, When, DepI, DepII)" in message
    assert "V_mag under [vizier.ogle_columns]" in message
    # The settings may say that there is no such column, and name another.
    chosen = make_settings(server, ogle_columns={"V_mag": "", "T0": "When"})
    with Vizier(tmp_path, settings=chosen) as told:
        stars = told.catalogue("LMC").stars
    assert stars["V_mag"].mask.all()
    assert values(stars, "T0", "d").tolist() == [2457000.0] * 2


# Matches by position

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


# Settings


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


def test_a_smaller_radius_finds_less(server, tmp_path, star_table):
    server.tables["basic"] = simbad_objects()
    with Vizier(tmp_path, settings=make_settings(server, radius_simbad="1 arcsec")) as vizier:
        assert vizier.simbad_objects(star_table)["id"].tolist() == ["a", "b"]


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
