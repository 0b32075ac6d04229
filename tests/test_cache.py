"""The cache as its commands show it: what would come, what is there, what is damaged, and how it is mended."""

import io
import shutil
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from servers import FOREVER, Fault, FtpServer, HttpServer

from cbminer.cli import main
from cbminer.errors import ArchiveError
from cbminer.survey.archive import LocalArchive, RemoteArchive, open_archive
from cbminer.survey.cache import ArchiveCache, find_caches
from cbminer.survey.download import FetchSettings

QUICK = FetchSettings(attempts=2, backoff="1 ms", timeout="2 s")


def contents(folder, under="lmc"):
    """Names and bytes of an archive's files, as a server holds them; without the marks of a mock survey."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted((folder / under).rglob("*"))
        if path.is_file() and path.suffix in {".dat", ".txt"} and path.name != "MOCK.txt"
    }


def as_ogle(files):
    """The same archive with the names that observed stars have, to stand for a server's."""
    return {name.replace("MOCK-", "OGLE-"): data.replace(b"MOCK-", b"OGLE-") for name, data in files.items()}


def tarball(files, *, cut="lmc/ecl/", mode="w:gz"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name.removeprefix(cut))
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 0x10
    path.write_bytes(bytes(data))


@pytest.fixture(scope="module")
def files(mock_archive):
    return as_ogle(contents(mock_archive))


@pytest.fixture
def server(files):
    with HttpServer(files) as running:
        yield running


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def options(server, cache):
    return ["--archive", server.url, "--cache", str(cache)]


def fetch(server, cache, *more):
    return main(["fetch", "--galaxy", "LMC", *options(server, cache), *more])


def stored(server, cache):
    return ArchiveCache.for_server(cache, server.url).store("LMC")


def n_curves(files):
    return sum("/phot/" in name for name in files)


def test_dry_run_says_what_would_come_and_fetches_nothing(server, files, cache, capsys):
    assert fetch(server, cache, "--dry-run", "--what", "catalogue") == 0
    lines = capsys.readouterr().out.splitlines()
    sizes = {name: len(files[f"lmc/ecl/{name}"]) for name in ("ident.dat", "ecl.dat", "ell.dat", "remarks.txt")}
    assert [line.split()[0] for line in lines[:-1]] == [f"lmc/ecl/{name}" for name in sizes]
    assert f"({sum(sizes.values()):,} bytes)" in lines[-1]
    assert sum(server.served.values()) == 0
    server.files["lmc/ecl/phot.tar.gz"] = bytes(12345)
    assert fetch(server, cache, "--dry-run") == 0
    assert f"({sum(sizes.values()) + 12345:,} bytes)" in capsys.readouterr().out
    assert sum(server.served.values()) == 0
    assert not list(cache.rglob("*.dat"))


def test_dry_run_counts_single_files_once_the_catalogue_is_there(server, files, cache, capsys):
    assert fetch(server, cache, "--dry-run") == 0
    assert "come one by one" in capsys.readouterr().out
    assert fetch(server, cache, "--what", "catalogue") == 0
    capsys.readouterr()
    assert fetch(server, cache, "--dry-run") == 0
    total = sum(len(data) for name, data in files.items() if "/phot/" in name)
    out = capsys.readouterr().out
    assert f"({total:,} bytes)" in out
    assert "more files" in out
    assert "in the cache" in out


def test_fetch_brings_everything_once(server, files, cache, capsys):
    assert fetch(server, cache) == 0
    out = capsys.readouterr().out
    assert "catalogue: 150 stars" in out
    store = stored(server, cache)
    assert len(store) == n_curves(files)
    # Files that were taken into the store are not kept beside it.
    assert not list(cache.rglob("OGLE-*.dat"))
    assert all(server.served[name] == len(data) for name, data in files.items())
    assert all(agent.startswith("cbminer/") for agent in server.agents)
    server.forget()
    assert fetch(server, cache) == 0
    assert not server.requests
    assert capsys.readouterr().out == out


def test_many_light_curves_come_in_one_file(server, files, cache):
    curves = {name: data for name, data in files.items() if "/phot/" in name}
    for name in curves:
        del server.files[name]
    server.files["lmc/ecl/phot.tar.gz"] = tarball(curves)
    archive = open_archive(server.url, cache=cache, fetching=QUICK.model_copy(update={"bulk_above": 20}))
    stars = [str(star) for star in archive.catalogue("LMC").stars["id"]]
    store = archive.light_curves("LMC", stars)
    assert len(store) == len(curves)
    assert not list(cache.rglob("*.tar.gz"))
    server.forget()
    # The file held all there is: stars without a light curve are not asked for.
    assert len(archive.light_curves("LMC", stars, bands=("I", "V"))) == len(curves)
    assert not server.requests


def test_a_star_that_the_server_lacks_is_asked_for_once(server, files, cache):
    archive = open_archive(server.url, cache=cache, fetching=QUICK)
    name = "lmc/ecl/phot/I/OGLE-LMC-ECL-99999.dat"
    for _ in range(2):
        assert archive.light_curves("LMC", ["OGLE-LMC-ECL-99999"]).source("OGLE-LMC-ECL-99999") is None
    assert server.requests[name] == 1


def test_a_star_without_points_does_not_stop_the_others(server, files, cache):
    name = next(name for name in files if "/phot/I/" in name)
    star = name.rpartition("/")[2].removesuffix(".dat")
    server.files[name] = b""
    assert fetch(server, cache) == 0
    assert stored(server, cache).source(star).n_points == 0
    assert "is empty" in stored(server, cache).read([star]).unreadable[0]
    assert len(stored(server, cache)) == n_curves(files)


@pytest.mark.parametrize("way", ["single", "bulk"])
def test_fetched_light_curves_are_those_of_the_folder(files, mock_archive, cache, tmp_path, way):
    served = dict(files)
    if way == "bulk":
        served["lmc/ecl/phot.tar.gz"] = tarball({name: data for name, data in files.items() if "/phot/" in name})
    with HttpServer(served) as server:
        archive = open_archive(server.url, cache=cache, fetching=FetchSettings(bulk_above=0 if way == "bulk" else 999))
        stars = [str(star) for star in archive.catalogue("LMC").stars["id"]]
        fetched = archive.light_curves("LMC", stars).read(stars).curves
    local = open_archive(str(mock_archive), cache=tmp_path / "local")
    names = [star.replace("OGLE-", "MOCK-") for star in stars]
    taken = local.light_curves("LMC", names).read(names).curves
    for name in ("offsets", "time", "mag", "mag_err"):
        np.testing.assert_array_equal(getattr(fetched, name), getattr(taken, name))


def test_ftp_gives_the_same_store(server, files, cache, tmp_path):
    assert fetch(server, cache) == 0
    with FtpServer(files) as ftp:
        assert fetch(ftp, tmp_path / "ftp") == 0
        assert stored(ftp, tmp_path / "ftp").digest() == stored(server, cache).digest()


def test_verify_names_a_flipped_byte_and_repair_fetches_only_that_file(server, files, cache, capsys):
    assert fetch(server, cache, "--what", "catalogue") == 0
    assert main(["cache", "verify", "--cache", str(cache)]) == 0
    (ident,) = cache.rglob("ident.dat")
    flip(ident, 200)
    capsys.readouterr()
    assert main(["cache", "verify", "--cache", str(cache)]) == 1
    out = capsys.readouterr().out
    assert str(ident) in out
    assert "have changed since it came" in out
    # Nothing reads it as whole.
    assert fetch(server, cache, "--what", "catalogue") == 1
    assert "cache repair" in capsys.readouterr().err
    server.forget()
    assert main(["cache", "repair", "--cache", str(cache)]) == 0
    assert "lmc/ecl/ident.dat: fetched again" in capsys.readouterr().out
    assert dict(server.served) == {"lmc/ecl/ident.dat": len(files["lmc/ecl/ident.dat"])}
    assert main(["cache", "verify", "--cache", str(cache)]) == 0
    assert ident.read_bytes() == files["lmc/ecl/ident.dat"]
    assert main(["cache", "repair", "--cache", str(cache)]) == 0
    assert "nothing is damaged" in capsys.readouterr().out


def test_damaged_light_curves_are_named_and_only_they_are_fetched_again(server, files, cache, capsys, tmp_path):
    settings = tmp_path / "settings.toml"
    settings.write_text("[fetch]\nbatch = 60\n")
    assert fetch(server, cache, "--settings", str(settings)) == 0
    digest = stored(server, cache).digest()
    part = min(cache.rglob("part-*.parquet"))
    flip(part, part.stat().st_size // 2)
    capsys.readouterr()
    assert main(["cache", "verify", "--cache", str(cache)]) == 1
    assert f"{part}: missing or changed; it holds" in capsys.readouterr().out
    assert main(["select", "--galaxy", "LMC", *options(server, cache), "--out", str(tmp_path / "run")]) == 1
    assert "cbminer cache repair" in capsys.readouterr().err
    server.forget()
    assert main(["cache", "repair", "--cache", str(cache)]) == 0
    assert 0 < sum(map(bool, server.served.values())) <= 60
    assert main(["cache", "verify", "--cache", str(cache)]) == 0
    assert stored(server, cache).digest() == digest


def test_lost_index_is_made_anew_from_the_parts(server, cache, capsys):
    assert fetch(server, cache) == 0
    digest = stored(server, cache).digest()
    (index,) = cache.rglob("store/index")
    index.write_bytes(index.read_bytes()[:-40])
    assert main(["cache", "verify", "--cache", str(cache)]) == 1
    server.forget()
    assert main(["cache", "repair", "--cache", str(cache)]) == 0
    assert sum(server.served.values()) == 0
    assert stored(server, cache).digest() == digest


def test_repair_without_the_server_keeps_what_is_whole(server, cache, capsys):
    assert fetch(server, cache, "--what", "catalogue") == 0
    (ident,) = cache.rglob("ident.dat")
    (ecl,) = cache.rglob("ecl.dat")
    ident.unlink()
    whole = ecl.read_bytes()
    server.fail("lmc/ecl/ident.dat", Fault(status=403), times=FOREVER)
    assert main(["cache", "repair", "--cache", str(cache)]) == 1
    assert "answered 403" in capsys.readouterr().err
    assert ecl.read_bytes() == whole
    assert main(["cache", "verify", "--cache", str(cache)]) == 1


def test_info_counts_what_is_kept_and_clear_removes_it(server, cache, capsys):
    assert fetch(server, cache) == 0
    other = cache / "mine.txt"
    other.write_text("not cbminer's")
    for section in ("fits", "completeness", "unfinished"):
        (cache / section).mkdir()
        (cache / section / "kept.npz").write_bytes(b"x" * 1000)
    capsys.readouterr()
    assert main(["cache", "info", "--cache", str(cache)]) == 0
    out = capsys.readouterr().out
    store = stored(server, cache)
    assert server.url in out
    assert "unfinished\n  1.0 kB" in out
    assert f"4 files, {len(store.stars('I')):,} light curves in I, {len(store.stars('V')):,} light curves in V" in out
    assert main(["cache", "clear", "--yes", *options(server, cache)]) == 0
    assert find_caches(cache) == []
    assert main(["cache", "clear", "--yes", "--cache", str(cache)]) == 0
    assert [path.name for path in cache.iterdir()] == ["mine.txt"]


def test_clear_asks_first(server, cache, monkeypatch):
    assert fetch(server, cache, "--what", "catalogue") == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert main(["cache", "clear", "--cache", str(cache)]) == 1
    assert len(list(cache.rglob("ident.dat"))) == 1


def test_nothing_is_cleared_while_another_process_is_at_work(server, cache):
    assert fetch(server, cache, "--what", "catalogue") == 0
    with find_caches(cache)[0].locked():
        command = [sys.executable, "-m", "cbminer", "cache", "clear", "--yes", "--cache", str(cache)]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert "another cbminer is at work" in answer.stderr
    assert len(list(cache.rglob("ident.dat"))) == 1


@pytest.mark.parametrize("form", ["folder", "ecl folder", "tar.gz", "tar", "phot.tar.gz beside the tables"])
def test_a_copy_made_by_hand_serves_like_a_fetched_one(server, files, cache, tmp_path, capsys, form):
    copy = write_copy(files, tmp_path / "copy", form)
    assert main(["cache", "import", str(copy), *options(server, cache)]) == 0
    out = capsys.readouterr().out
    assert "lmc/ecl/ident.dat: taken in" in out
    assert f"LMC: {n_curves(files):,} light curves taken in" in out
    assert main(["cache", "verify", "--cache", str(cache)]) == 0
    assert fetch(server, tmp_path / "fetched") == 0
    assert stored(server, cache).digest() == stored(server, tmp_path / "fetched").digest()
    for place in (cache, tmp_path / "fetched"):
        (kept,) = find_caches(place)
        assert (kept.folder("LMC") / "ident.dat").read_bytes() == files["lmc/ecl/ident.dat"]


def test_a_run_on_a_copy_needs_no_network_and_gives_the_same_bytes(server, files, cache, tmp_path):
    copy = write_copy(files, tmp_path / "copy", "tar.gz")
    assert main(["cache", "import", str(copy), *options(server, cache)]) == 0
    assert fetch(server, tmp_path / "fetched") == 0
    server.close_port()
    runs = [tmp_path / "a", tmp_path / "b"]
    for place, where in zip(runs, (cache, tmp_path / "fetched"), strict=True):
        assert main(["select", "--galaxy", "LMC", *options(server, where), "--offline", "--out", str(place)]) == 0
    server.open_port()
    assert (runs[0] / "judged.ecsv").read_bytes() == (runs[1] / "judged.ecsv").read_bytes()


def write_copy(files, place, form):
    place.mkdir()
    if form.startswith("tar"):
        path = place / f"copy.{form}"
        path.write_bytes(tarball(files, cut="", mode="w:gz" if form == "tar.gz" else "w"))
        return path
    whole = form == "phot.tar.gz beside the tables"
    for name, data in files.items():
        if not (whole and "/phot/" in name):
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    if whole:
        curves = {name: data for name, data in files.items() if "/phot/" in name}
        (place / "lmc/ecl/phot.tar.gz").write_bytes(tarball(curves))
    return place / "lmc" / "ecl" if form == "ecl folder" else place


def test_import_refuses_what_is_no_copy(server, files, cache, mock_archive, tmp_path, capsys):
    def message(path):
        assert main(["cache", "import", str(path), *options(server, cache)]) == 1
        return capsys.readouterr().err

    assert "is not there" in message(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "nothing was taken in" in message(tmp_path / "empty")
    assert "holds simulated stars" in message(mock_archive)
    page = tmp_path / "page.tar.gz"
    page.write_bytes(b"<html>not found</html>")
    assert "page.tar.gz" in message(page)
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(tarball(files)[:-100])
    assert "cut.tar.gz is damaged" in message(cut)
    bad = write_copy(files, tmp_path / "bad", "folder")
    ecl = bad / "lmc" / "ecl" / "ecl.dat"
    ecl.write_bytes(ecl.read_bytes()[:-20])
    assert f"{ecl} is not taken in: it ends in the middle of a line" in message(bad)
    assert len(stored(server, cache)) == 0


def test_offline_never_asks_and_says_what_is_missing(server, cache, tmp_path, capsys):
    run = ["select", "--galaxy", "LMC", *options(server, cache), "--offline"]
    assert main([*run, "--out", str(tmp_path / "a")]) == 1
    assert "leave out --offline" in capsys.readouterr().err
    assert fetch(server, cache, "--what", "catalogue") == 0
    server.forget()
    capsys.readouterr()
    assert main([*run, "--out", str(tmp_path / "b")]) == 0
    assert "no light curve" in capsys.readouterr().out
    assert not server.requests


def test_page_in_place_of_a_table_is_refused_and_leaves_nothing(server, cache, capsys):
    server.files["lmc/ecl/ecl.dat"] = b"<html><body>Down for maintenance</body></html>\n"
    archive = RemoteArchive(server.url, ArchiveCache.for_server(cache, server.url), settings=QUICK)
    with pytest.raises(ArchiveError, match=r"lmc/ecl/ecl.dat cannot be fetched: .*sent a file that is a web page"):
        archive.catalogue("LMC")
    assert not list(cache.rglob("ecl.dat"))


def test_unsafe_or_damaged_tarball_leaves_the_old_store_and_is_fetched_anew(server, files, cache):
    curves = {name: data for name, data in files.items() if "/phot/" in name}
    good = tarball(curves)
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 0xFF
    archive = open_archive(server.url, cache=cache, fetching=QUICK.model_copy(update={"bulk_above": 0}))
    stars = [str(star) for star in archive.catalogue("LMC").stars["id"]]
    for data, message in (
        (bytes(bad), "damaged"),
        (tarball({"../../evil.dat": b"1 2 3\n"}), "leads out of its folder"),
        (tarball({"/etc/evil.dat": b"1 2 3\n"}), "leads out of its folder"),
    ):
        server.files["lmc/ecl/phot.tar.gz"] = data
        with pytest.raises(ArchiveError, match=message):
            archive.light_curves("LMC", stars)
        assert len(archive.cache.store("LMC")) == 0
        assert not list(cache.rglob("*.tar.gz"))
        assert not list(cache.rglob("evil*"))
    server.files["lmc/ecl/phot.tar.gz"] = good
    assert len(archive.light_curves("LMC", stars)) == len(curves)


def test_bomb_is_refused(server, files, cache):
    curves = {"phot/I/OGLE-LMC-ECL-00001.dat": bytes(30_000_000)}
    server.files["lmc/ecl/phot.tar.gz"] = tarball(curves)
    small = QUICK.model_copy(update={"bulk_above": 0, "largest_bulk": 1.0, "largest_light_curve": 100.0})
    archive = open_archive(server.url, cache=cache, fetching=small)
    with pytest.raises(ArchiveError, match=r"is refused: .*more than it may hold"):
        archive.light_curves("LMC", ["OGLE-LMC-ECL-00001"])
    assert len(archive.cache.store("LMC")) == 0


def test_store_of_a_folder_follows_its_files(mock_archive, tmp_path):
    folder = shutil.copytree(mock_archive, tmp_path / "archive")
    archive = open_archive(str(folder), cache=tmp_path / "cache")
    phot = folder / "lmc" / "ecl" / "phot" / "I"
    names = sorted(path.stem for path in phot.glob("*.dat"))
    before = archive.light_curves("LMC", names)
    parts = set((tmp_path / "cache").rglob("part-*.parquet"))
    assert len(before) == len(names)
    # Nothing has changed: nothing is written.
    archive.light_curves("LMC", names)
    assert set((tmp_path / "cache").rglob("part-*.parquet")) == parts
    changed, gone = phot / f"{names[0]}.dat", phot / f"{names[1]}.dat"
    changed.write_text("2455000.12345 16.123 0.010\n")
    gone.unlink()
    after = archive.light_curves("LMC", names)
    assert len(after) == len(names) - 1
    assert after.source(names[0]).n_points == 1
    assert after.source(names[1]) is None
    assert after.source(names[2]) == before.source(names[2])


def test_folder_with_a_tarball_in_place_of_files(mock_archive, tmp_path):
    folder = shutil.copytree(mock_archive, tmp_path / "archive")
    ecl = folder / "lmc" / "ecl"
    plain = open_archive(str(mock_archive), cache=tmp_path / "plain")
    names = [str(star) for star in plain.catalogue("LMC").stars["id"]]
    curves = {name: data for name, data in contents(folder).items() if "/phot/" in name}
    shutil.rmtree(ecl / "phot")
    (ecl / "phot.tar.gz").write_bytes(tarball(curves))
    archive = open_archive(str(folder), cache=tmp_path / "cache")
    assert isinstance(archive, LocalArchive)
    taken = archive.light_curves("LMC", names)
    assert taken.stars("I") == plain.light_curves("LMC", names).stars("I")
    assert archive.light_curve_stars("LMC") == plain.light_curve_stars("LMC")


def test_repair_of_the_store_of_a_folder(mock_archive, tmp_path, capsys):
    cache = tmp_path / "cache"
    archive = open_archive(str(mock_archive), cache=cache)
    names = archive.light_curve_stars("LMC")
    digest = archive.light_curves("LMC", names).digest()
    (part,) = cache.rglob("part-*.parquet")
    flip(part, part.stat().st_size // 3)
    assert main(["cache", "verify", "--cache", str(cache)]) == 1
    assert main(["cache", "repair", "--cache", str(cache)]) == 0
    assert "light curves stored again" in capsys.readouterr().out
    assert main(["cache", "verify", "--cache", str(cache)]) == 0
    assert archive.cache.store("LMC").digest() == digest


def test_a_catalogue_is_parsed_once_and_again_when_it_changes(mock_archive, tmp_path, monkeypatch):
    folder = shutil.copytree(mock_archive, tmp_path / "archive")
    archive = open_archive(str(folder), cache=tmp_path / "cache")
    first = archive.catalogue("LMC")
    calls = []
    from cbminer.survey import cache as module

    parse = module.read_catalogue
    monkeypatch.setattr(module, "read_catalogue", lambda *args, **kwargs: calls.append(1) or parse(*args, **kwargs))
    again = archive.catalogue("LMC")
    assert not calls
    assert again.counts == first.counts
    assert again.set_aside == first.set_aside
    for name in first.stars.colnames:
        one, other = first.stars[name], again.stars[name]
        assert type(one) is type(other)
        assert str(getattr(one, "value", one).tolist()) == str(getattr(other, "value", other).tolist())
    ident = folder / "lmc" / "ecl" / "ident.dat"
    ident.write_bytes(b"".join(ident.read_bytes().splitlines(keepends=True)[:-1]))
    n_stars = first.n_stars - 1
    assert len(archive.catalogue("LMC").stars) == n_stars
    # What was read before is not mixed with what is there now.
    with pytest.raises(ArchiveError, match=r"catalogue\.parquet was changed or removed while it was in use"):
        first.ids()
    (stored_table,) = (tmp_path / "cache").rglob("catalogue.parquet")
    opened = archive.catalogue("LMC")
    flip(stored_table, stored_table.stat().st_size // 2)
    assert len(archive.catalogue("LMC").stars) == n_stars
    stored_table.write_bytes(b"")
    with pytest.raises(ArchiveError, match="was changed or removed while it was in use"):
        list(opened.blocks)
    assert len(archive.catalogue("LMC").stars) == n_stars


def test_fetch_from_a_folder_is_refused(mock_archive, cache, capsys):
    assert main(["fetch", "--galaxy", "LMC", "--archive", str(mock_archive), "--cache", str(cache)]) == 2
    assert "there is nothing to fetch" in capsys.readouterr().err


def test_unwritable_cache_is_named(server, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert fetch(server, tmp_path / "file" / "cache") == 1
    assert "choose another folder with --cache" in capsys.readouterr().err
