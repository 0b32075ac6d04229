"""What must never happen to a cache: losing light curves without a word, or taking in what is not whole."""

import errno
import os
import shutil

import pytest
from servers import FOREVER, Fault, HttpServer
from test_cache import QUICK, as_ogle, contents, fetch, flip, options, stored, tarball

from cbminer.cli import main
from cbminer.errors import ArchiveError, InputFormatError
from cbminer.settings import load_settings
from cbminer.survey.archive import open_archive
from cbminer.survey.cache import find_caches
from cbminer.survey.part import Part


@pytest.fixture(scope="module")
def files(mock_archive):
    return as_ogle(contents(mock_archive))


@pytest.fixture(scope="module")
def bulk_files(files):
    """The same archive on a server that has all light curves in one file, and no other."""
    curves = {name: data for name, data in files.items() if "/phot/" in name}
    tables = {name: data for name, data in files.items() if "/phot/" not in name}
    return tables | {"lmc/ecl/phot.tar.gz": tarball(curves)}


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def n_curves(files):
    return sum("/phot/" in name for name in files)


def run(*words):
    return main(["cache", *map(str, words)])


def test_few_light_curves_of_a_server_that_has_them_in_one_file_only(files, bulk_files, cache):
    with HttpServer(bulk_files) as server:
        archive = open_archive(server.url, cache=cache, fetching=QUICK.model_copy(update={"bulk_above": 1000}))
        stars = [str(star) for star in archive.catalogue("LMC").stars["id"]][:5]
        store = archive.light_curves("LMC", stars)
        assert len(store) == n_curves(files)
        server.forget()
        archive.light_curves("LMC", stars)
        assert not server.requests


def test_a_server_without_any_light_curve_is_believed(files, cache):
    with HttpServer({name: data for name, data in files.items() if "/phot/" not in name}) as server:
        archive = open_archive(server.url, cache=cache, fetching=QUICK)
        stars = [str(star) for star in archive.catalogue("LMC").stars["id"]][:5]
        assert len(archive.light_curves("LMC", stars)) == 0
        server.forget()
        assert len(archive.light_curves("LMC", stars)) == 0
        assert not server.requests


def test_repair_of_light_curves_that_came_in_one_file(files, bulk_files, cache, capsys):
    with HttpServer(bulk_files) as server:
        assert fetch(server, cache) == 0
        digest = stored(server, cache).digest()
        part = min(cache.rglob("part-*.parquet"))
        flip(part, part.stat().st_size // 2)
        assert run("repair", "--cache", cache) == 0
        assert "not on the server any more" not in capsys.readouterr().out
        assert stored(server, cache).digest() == digest
        assert run("verify", "--cache", cache) == 0


def test_index_and_part_lost_together_are_fetched_again(files, bulk_files, cache):
    with HttpServer(bulk_files) as server:
        assert fetch(server, cache) == 0
        digest = stored(server, cache).digest()
        store = next(cache.rglob("index")).parent
        (store / "index").unlink()
        min(store.glob("part-*.parquet")).unlink()
        assert run("verify", "--cache", cache) == 1
        assert run("repair", "--cache", cache) == 0
        assert fetch(server, cache) == 0
        assert stored(server, cache).digest() == digest


def test_repair_mends_what_it_can_when_the_server_is_gone(files, cache, capsys):
    with HttpServer(files) as server:
        assert fetch(server, cache) == 0
        digest = stored(server, cache).digest()
        next(cache.rglob("store/index")).unlink()
        flip(next(cache.rglob("ident.dat")), 50)
        server.fail("lmc/ecl/ident.dat", Fault(status=403), times=FOREVER)
        assert run("repair", "--cache", cache) == 1
        captured = capsys.readouterr()
        assert "index made anew" in captured.out
        assert "ident.dat cannot be fetched" in captured.err
        assert stored(server, cache).digest() == digest


def test_needed_file_that_was_absent_is_asked_for_again_even_after_a_kill(files, cache):
    with HttpServer(files) as server:
        archive = open_archive(server.url, cache=cache, fetching=QUICK)
        ident = server.files.pop("lmc/ecl/ident.dat")
        with pytest.raises(ArchiveError, match=r"has no lmc/ecl/ident\.dat"):
            archive.catalogue("LMC")
        from cbminer.survey.manifest import Entry

        # What a process leaves that is killed before it could say so.
        with archive.cache.manifest() as manifest:
            manifest.put(Entry("lmc/ecl/ident.dat", "http://x", state="absent"))
        server.files["lmc/ecl/ident.dat"] = ident
        assert len(archive.catalogue("LMC").stars) == 150


def test_absent_files_are_asked_for_again_on_demand(files, cache):
    some = next(name for name in files if "/phot/I/" in name)
    with HttpServer(files) as server:
        data = server.files.pop(some)
        assert fetch(server, cache) == 0
        before = len(stored(server, cache))
        server.files[some] = data
        assert fetch(server, cache) == 0
        assert len(stored(server, cache)) == before
        assert fetch(server, cache, "--ask-again") == 0
        assert len(stored(server, cache)) == before + 1


def test_light_curve_above_the_limit_is_refused(files, cache):
    name = next(name for name in files if "/phot/I/" in name)
    star = name.rpartition("/")[2].removesuffix(".dat")
    with HttpServer(files | {name: files[name] * 400}) as server:
        small = QUICK.model_copy(update={"largest_light_curve": 0.1})
        with pytest.raises(ArchiveError, match=f"{star}.dat cannot be fetched"):
            open_archive(server.url, cache=cache, fetching=small).light_curves("LMC", [star])


def test_offline_uses_what_came_before_an_interruption(files, cache):
    with HttpServer(files) as server:
        archive = open_archive(server.url, cache=cache, fetching=QUICK)
        stars = [str(star) for star in archive.catalogue("LMC").stars["id"]][:3]
        names = [f"lmc/ecl/phot/I/{star}.dat" for star in stars]
        with archive._fetching() as (fetcher, _):
            fetcher.fetch_many([(name, archive.cache.root / name) for name in names if name in files])
        server.forget()
        offline = open_archive(server.url, cache=cache, offline=True)
        assert len(offline.light_curves("LMC", stars)) == sum(name in files for name in names) > 0
        assert not server.requests


def test_password_is_neither_shown_nor_kept(files, cache, capsys):
    with HttpServer(files) as server:
        url = server.url.replace("://", "://me:secret@")
        for more in (["--dry-run"], ["--what", "catalogue"]):
            assert main(["fetch", "--galaxy", "LMC", "--archive", url, "--cache", str(cache), *more]) == 0
        assert run("info", "--cache", cache) == 0
        captured = capsys.readouterr()
        assert "secret" not in captured.out + captured.err
        assert not [path for path in cache.rglob("*") if path.is_file() and b"secret" in path.read_bytes()]


def test_cache_with_a_damaged_note_can_be_cleared(files, cache):
    with HttpServer(files) as server:
        assert fetch(server, cache, "--what", "catalogue") == 0
    next(cache.rglob("about.json")).write_text("{")
    assert run("info", "--cache", cache) == 1
    assert run("clear", "--yes", "--cache", cache) == 0
    assert not list(cache.rglob("*.dat"))


def test_cache_that_is_a_file_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for command in ("info", "verify", "repair"):
        assert run(command, "--cache", tmp_path / "file") == 2
        assert "is a file: choose another folder" in capsys.readouterr().err


# Copies made by hand


def write(files, folder):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def test_a_tarball_of_a_few_stars_is_not_taken_for_all(files, cache, tmp_path):
    some = dict([item for item in files.items() if "/phot/I/" in item[0]][:4])
    path = tmp_path / "phot.tar.gz"
    path.write_bytes(tarball(some))
    with HttpServer(files) as server:
        assert run("import", path, *options(server, cache)) == 0
        assert len(stored(server, cache)) == 4
        assert fetch(server, cache) == 0
        assert len(stored(server, cache)) == n_curves(files)
        assert all(server.served[name] == 0 for name in some)


@pytest.mark.parametrize("form", ["folder", "tarball"])
def test_broken_light_curves_are_passed_over_with_a_sentence(files, cache, tmp_path, capsys, form):
    names = [name for name in files if "/phot/I/" in name][:3]
    some = {names[0]: files[names[0]], names[1]: files[names[1]][:-4], names[2]: b"<html>gone</html>\n"}
    copy = write(some, tmp_path / "copy")
    if form == "tarball":
        copy = tmp_path / "copy.tar.gz"
        copy.write_bytes(tarball(some, cut=""))
    with HttpServer(files) as server:
        assert run("import", copy, *options(server, cache)) == 0
        out = capsys.readouterr().out
        assert "LMC: 1 light curves taken in" in out
        assert "2 light curves passed over" in out
        assert "ends in the middle of a line" in out
        assert "is a web page" in out
        # They are still to be had.
        assert fetch(server, cache) == 0
        assert len(stored(server, cache)) == n_curves(files)


def test_catalogues_of_other_stars_are_passed_over(files, cache, tmp_path):
    tables = {name: data for name, data in files.items() if "/phot/" not in name}
    cepheids = tables["lmc/ecl/ident.dat"].replace(b"-ECL-", b"-CEP-").replace(b"-ELL-", b"-CEP-")
    with HttpServer(files) as server:
        copy = write(tables | {"lmc/cep/ident.dat": cepheids}, tmp_path / "copy")
        assert run("import", copy, *options(server, cache)) == 0
        (kept,) = find_caches(cache)
        assert (kept.folder("LMC") / "ident.dat").read_bytes() == files["lmc/ecl/ident.dat"]


def test_two_catalogues_in_one_copy_are_refused(files, cache, tmp_path, capsys):
    tables = {name: data for name, data in files.items() if "/phot/" not in name}
    copy = write(tables, tmp_path / "copy")
    write({name: b"".join(data.splitlines(True)[:-1]) for name, data in tables.items()}, copy / "old")
    with HttpServer(files) as server:
        assert run("import", copy, *options(server, cache)) == 1
    assert "import one copy at a time" in capsys.readouterr().err


def test_tables_of_another_release_do_not_stay_beside_a_new_one(files, cache, tmp_path):
    new = {name: data for name, data in files.items() if name in {"lmc/ecl/ident.dat", "lmc/ecl/ecl.dat"}}
    with HttpServer(files) as server:
        assert fetch(server, cache, "--what", "catalogue") == 0
        assert list(cache.rglob("remarks.txt"))
        assert run("import", write(new, tmp_path / "copy"), *options(server, cache)) == 0
        assert not list(cache.rglob("remarks.txt"))
        assert run("verify", "--cache", cache) == 0


def test_import_on_a_full_disk_leaves_the_old_catalogue(files, cache, tmp_path, monkeypatch):
    tables = {name: data for name, data in files.items() if "/phot/" not in name}
    with HttpServer(files) as server:
        assert fetch(server, cache, "--what", "catalogue") == 0
        other = write({name: data + data.splitlines(True)[0] for name, data in tables.items()}, tmp_path / "copy")

        def full(*_args):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(Part, "write", full)
            assert run("import", other, *options(server, cache)) == 1
        assert run("verify", "--cache", cache) == 0
        (kept,) = find_caches(cache)
        assert (kept.folder("LMC") / "ident.dat").read_bytes() == files["lmc/ecl/ident.dat"]


def test_simulated_stars_among_observed_ones_are_refused(files, cache, tmp_path, capsys):
    lines = files["lmc/ecl/ident.dat"].splitlines(keepends=True)
    lines[5] = lines[5].replace(b"OGLE-", b"MOCK-")
    mixed = write(files | {"lmc/ecl/ident.dat": b"".join(lines)}, tmp_path / "copy")
    with HttpServer(files) as server:
        assert run("import", mixed, *options(server, cache)) == 1
        assert "holds simulated stars" in capsys.readouterr().err
    command = ["select", "--galaxy", "LMC", "--archive", str(mixed), "--cache", str(cache)]
    assert main([*command, "--out", str(tmp_path / "run")]) == 1
    assert "mixes simulated stars" in capsys.readouterr().err
    from cbminer.pipeline import open_survey, run_selection

    settings = load_settings()
    settings = settings.model_copy(update={"survey": settings.survey.model_copy(update={"archive": str(mixed)})})
    with pytest.raises(InputFormatError, match="mixes simulated stars"):
        run_selection(open_survey("ogle", ["LMC"], settings=settings, cache=cache), ["LMC"], settings=settings)


# Folders of the user


def local(folder, cache):
    archive = open_archive(str(folder), cache=cache)
    names = [str(star) for star in archive.catalogue("LMC").stars["id"]]
    return archive, names


def test_file_that_goes_is_found_in_the_tarball_beside_it(files, cache, tmp_path):
    folder = write(files, tmp_path / "archive")
    curves = {name: data for name, data in files.items() if "/phot/I/" in name}
    (folder / "lmc/ecl/phot.tar.gz").write_bytes(tarball(curves))
    archive, names = local(folder, cache)
    assert len(archive.light_curves("LMC", names)) == len(curves)
    (folder / next(iter(curves))).unlink()
    assert len(archive.light_curves("LMC", names)) == len(curves)


def test_store_follows_the_tarball_of_a_folder(files, cache, tmp_path):
    folder = write({name: data for name, data in files.items() if "/phot/" not in name}, tmp_path / "archive")
    curves = {name: data for name, data in files.items() if "/phot/I/" in name}
    bulk = folder / "lmc/ecl/phot.tar.gz"
    bulk.write_bytes(tarball(curves))
    archive, names = local(folder, cache)
    assert len(archive.light_curves("LMC", names)) == len(curves)
    bulk.write_bytes(tarball(dict(list(curves.items())[:10])))
    assert len(archive.light_curves("LMC", names)) == 10
    bulk.unlink()
    (folder / "lmc/ecl/phot").mkdir()
    assert len(archive.light_curves("LMC", names)) == 0


def test_files_without_a_time_are_followed_too(files, cache, tmp_path):
    folder = write(files, tmp_path / "archive")
    paths = list((folder / "lmc/ecl/phot/I").iterdir())
    for path in paths:
        os.utime(path, ns=(0, 0))
    archive, names = local(folder, cache)
    assert len(archive.light_curves("LMC", names)) == len(paths)
    shutil.rmtree(folder / "lmc/ecl/phot/I")
    assert len(archive.light_curves("LMC", names)) == 0


def test_what_cannot_be_read_in_a_folder_is_set_aside_and_stops_nothing(files, cache, tmp_path):
    folder = write(files, tmp_path / "archive")
    paths = sorted((folder / "lmc/ecl/phot/I").iterdir())
    for path, make in zip(paths, (lambda p: p.symlink_to("nowhere"), os.mkfifo, os.mkdir), strict=False):
        path.unlink()
        make(path)
    archive, names = local(folder, cache)
    store = archive.light_curves("LMC", names)
    stars = [path.stem for path in paths[:3]]
    reasons = store.read(stars).unreadable
    for place, word in enumerate(("No such file", "is no plain file", "Is a directory")):
        assert word in reasons[place]
    assert len(store) == len(paths)
    paths[0].unlink()
    paths[0].write_bytes(files[f"lmc/ecl/phot/I/{paths[0].name}"])
    assert archive.light_curves("LMC", names).source(stars[0]).n_points > 0


def test_repair_of_a_folder_that_is_gone_keeps_what_is_left(files, cache, tmp_path, capsys):
    folder = write(files, tmp_path / "archive")
    archive, names = local(folder, cache)
    whole = len(archive.light_curves("LMC", names))
    part = min(cache.rglob("part-*.parquet"))
    flip(part, part.stat().st_size // 2)
    folder.rename(tmp_path / "moved")
    assert run("repair", "--cache", cache) == 1
    assert "is not a folder" in capsys.readouterr().err
    assert len(archive.cache.store("LMC")) == whole
    (tmp_path / "moved").rename(folder)
    assert run("repair", "--cache", cache) == 0
    assert run("verify", "--cache", cache) == 0
    assert len(archive.light_curves("LMC", names)) == whole
