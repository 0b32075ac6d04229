"""What `select` asks of an archive, be it a folder or a server."""

import pytest
from astropy.table import Table
from servers import HttpServer, closed_port

from cbminer.cli import main
from cbminer.errors import ArchiveError, SettingsError
from cbminer.survey.archive import LocalArchive, is_url, open_archive


def served(mock_archive):
    return {
        str(path.relative_to(mock_archive)): path.read_bytes()
        for path in (mock_archive / "lmc" / "ecl").rglob("*.*")
        if path.suffix in {".dat", ".txt"} and path.name != "MOCK.txt"
    }


def test_select_fetches_only_what_the_catalogue_cuts_leave(mock_archive, tmp_path, capsys):
    files = served(mock_archive)
    with HttpServer(files) as server:
        options = ["--archive", server.url, "--cache", str(tmp_path / "cache")]
        assert main(["select", "--galaxy", "LMC", *options, "--out", str(tmp_path / "a")]) == 0
        curves = [name for name in server.requests if "/phot/" in name]
        assert 0 < len(curves) < 100
        assert all("/phot/I/" in name for name in curves)
        assert all(server.served[name] == len(files.get(name, b"")) for name in curves)
        summary = capsys.readouterr().out
        server.forget()
        assert main(["select", "--galaxy", "LMC", *options, "--out", str(tmp_path / "b")]) == 0
        assert not server.requests
    assert capsys.readouterr().out.splitlines()[:-1] == summary.splitlines()[:-1]
    # The same stars are chosen when every light curve is at hand; their order may be another, since the odds learn from
    # the light curves that there are.
    assert main(["select", "--galaxy", "LMC", "--archive", str(mock_archive), "--out", str(tmp_path / "c")]) == 0
    chosen = [Table.read(tmp_path / name / "candidates.ecsv", format="ascii.ecsv") for name in ("a", "c")]
    assert sorted(chosen[0]["id"]) == sorted(chosen[1]["id"])
    # A server that gives simulated stars does not make them observed ones.
    assert set(chosen[0]["survey"]) == {"mock"}


def test_local_folder_is_found_at_every_level(mock_archive, tmp_path):
    for folder in (mock_archive, mock_archive / "lmc", mock_archive / "lmc" / "ecl"):
        archive = open_archive(str(folder), cache=tmp_path)
        assert isinstance(archive, LocalArchive)
        assert archive.catalogue_folder("LMC") == mock_archive / "lmc" / "ecl"
        assert archive.is_mock("LMC")


def test_folder_without_a_catalogue_is_named(tmp_path):
    (tmp_path / "archive").mkdir()
    with pytest.raises(ArchiveError, match=r"holds no lmc/ecl/ident.dat"):
        open_archive(str(tmp_path / "archive"), cache=tmp_path).catalogue_folder("LMC")
    with pytest.raises(ArchiveError, match="is not a folder"):
        open_archive(str(tmp_path / "nowhere"), cache=tmp_path).catalogue_folder("LMC")


def test_server_without_the_catalogue_is_asked_again_next_time(mock_archive, tmp_path):
    files = served(mock_archive)
    ident = files.pop("lmc/ecl/ident.dat")
    with HttpServer(files) as server:
        archive = open_archive(server.url, cache=tmp_path)
        with pytest.raises(ArchiveError, match=r"has no lmc/ecl/ident.dat: check the address"):
            archive.catalogue("LMC")
        server.files["lmc/ecl/ident.dat"] = ident
        assert len(archive.catalogue("LMC").stars) == 150


def test_addresses_are_told_from_folders(tmp_path):
    assert all(map(is_url, ("http://a/", "https://a/b", "ftp://a/")))
    assert not any(map(is_url, ("a/b", "/a", "C:/a", str(tmp_path))))


@pytest.mark.parametrize("location", ["http://", "https:///path", "gopher://host/", "://"])
def test_addresses_that_are_none_are_refused(location, tmp_path):
    with pytest.raises(SettingsError, match=r"cannot be asked: give a folder, or an address such as https://"):
        open_archive(location, cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_refused_connection_names_the_ways_out(tmp_path, capsys):
    url = f"http://127.0.0.1:{closed_port()}/"
    settings = tmp_path / "settings.toml"
    settings.write_text('[fetch]\nattempts = 2\nbackoff = "1 ms"\n')
    options = ["--archive", url, "--cache", str(tmp_path / "cache"), "--settings", str(settings)]
    assert main(["fetch", "--galaxy", "LMC", *options]) == 1
    error = capsys.readouterr().err
    for word in (url, "cannot be reached", "--archive PATH", "--survey mock"):
        assert word in error
    assert not list((tmp_path / "cache").rglob("*.dat"))
