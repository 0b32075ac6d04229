"""Archives on a loopback server: what is fetched, kept and refused."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from conftest import ecl_line, ident_line

from cbminer.cli import main
from cbminer.errors import ArchiveError
from cbminer.survey.archive import LocalArchive, RemoteArchive, open_archive


class Server:
    """A server of files held in memory, which remembers what it was asked."""

    def __init__(self):
        self.files, self.asked, self.status, self.agents = {}, [], {}, set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                outer.agents.add(self.headers["User-Agent"])
                data = outer.files.get(self.path)
                status = outer.status.get(self.path, 200 if data is not None else 404)
                self.send_response(status)
                body = data if status == 200 else b"no"
                # A length beyond the body is a connection that breaks off.
                self.send_header("Content-Length", str(len(body) + outer.status.get("break", 0)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/OCVS/"

    def close(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server():
    running = Server()
    yield running
    running.close()


def fill(server, mock_archive):
    for path in (mock_archive / "lmc" / "ecl").rglob("*.dat"):
        server.files[f"/OCVS/lmc/ecl/{path.relative_to(mock_archive / 'lmc' / 'ecl')}"] = path.read_bytes()


def test_select_fetches_only_what_the_catalogue_cuts_leave(server, mock_archive, tmp_path, capsys):
    fill(server, mock_archive)
    options = ["--archive", server.url, "--cache", str(tmp_path / "cache")]
    assert main(["select", "--galaxy", "LMC", *options, "--out", str(tmp_path / "a")]) == 0
    curves = [path for path in server.asked if "/phot/" in path]
    assert 0 < len(curves) < 100
    assert len(set(curves)) == len(curves)
    assert all(agent.startswith("cbminer/") for agent in server.agents)
    summary = capsys.readouterr().out
    server.asked.clear()
    assert main(["select", "--galaxy", "LMC", *options, "--out", str(tmp_path / "b")]) == 0
    asked_again = [path for path in server.asked if path in server.files]
    assert asked_again == []
    assert capsys.readouterr().out.splitlines()[:-1] == summary.splitlines()[:-1]
    # The same stars are chosen when every light curve is at hand.
    local = mock_archive
    assert main(["select", "--galaxy", "LMC", "--archive", str(local), "--out", str(tmp_path / "c")]) == 0
    from astropy.table import Table

    chosen = [Table.read(tmp_path / name / "candidates.ecsv", format="ascii.ecsv") for name in ("a", "c")]
    assert list(chosen[0]["id"]) == list(chosen[1]["id"])


def test_broken_connection_leaves_no_file(server, tmp_path):
    server.files["/OCVS/lmc/ecl/ident.dat"] = ident_line().encode()
    server.status["break"] = 100
    archive = RemoteArchive(server.url, tmp_path)
    with pytest.raises(ArchiveError, match=r"cannot be reached"):
        archive.catalogue_folder("LMC")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(("status", "message"), [(404, "has no lmc/ecl/ident.dat"), (503, "answered 503")])
def test_refusal_of_the_server_is_named(server, tmp_path, status, message):
    server.status["/OCVS/lmc/ecl/ident.dat"] = status
    with pytest.raises(ArchiveError, match=message):
        RemoteArchive(server.url, tmp_path).catalogue_folder("LMC")


def test_light_curve_that_the_server_lacks_is_absent(server, tmp_path):
    server.files["/OCVS/lmc/ecl/ident.dat"] = ident_line().encode()
    server.files["/OCVS/lmc/ecl/ecl.dat"] = ecl_line().encode()
    archive = RemoteArchive(server.url, tmp_path)
    archive.catalogue_folder("LMC")
    archive.prepare_light_curves("LMC", ["OGLE-LMC-ECL-00001"])
    assert archive.light_curve_path("LMC", "OGLE-LMC-ECL-00001") is None


def test_local_folder_is_found_at_every_level(mock_archive):
    for folder in (mock_archive, mock_archive / "lmc", mock_archive / "lmc" / "ecl"):
        archive = open_archive(str(folder), cache=mock_archive)
        assert isinstance(archive, LocalArchive)
        assert archive.catalogue_folder("LMC") == mock_archive / "lmc" / "ecl"
        assert archive.is_mock("LMC")


def test_folder_without_a_catalogue_is_named(tmp_path):
    with pytest.raises(ArchiveError, match=r"holds no lmc/ecl/ident.dat"):
        LocalArchive(tmp_path).catalogue_folder("LMC")
    with pytest.raises(ArchiveError, match="is not a folder"):
        LocalArchive(tmp_path / "nowhere").catalogue_folder("LMC")
