"""A TAP service that fails in every way, and the tables that are kept of it."""

import hashlib
import json
import socket

import httpx
import pytest
from astropy.io.votable import conf
from astropy.table import Table
from tap_server import Fault, error_votable, read_form
from vizier_tables import MORPHOLOGY, make_settings, morphology

from cbminer.errors import ArchiveError
from cbminer.monitor import Monitor
from cbminer.survey.tap import read_votable
from cbminer.survey.vizier import Vizier

pytest_plugins = ("tap_fixtures",)

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
