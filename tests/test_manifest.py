"""The manifest: what it keeps, how it is shared, and what becomes of one that is damaged."""

import os
import re
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest

from cbminer.errors import ArchiveError
from cbminer.survey import manifest as module
from cbminer.survey.manifest import Entry, Manifest
from cbminer.survey.transport import Remote

ENTRY = Entry(
    "lmc/ecl/ident.dat",
    "https://ogle.example/lmc/ecl/ident.dat",
    5,
    "ab" * 32,
    '"tag"',
    "Mon",
    "2026-01-01T00:00:00+00:00",
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "manifest.sqlite"


@pytest.fixture
def manifest(path):
    with Manifest(path) as manifest:
        yield manifest


def names(manifest, **options):
    return [entry.name for entry in manifest.entries(**options)]


def test_entries_are_kept(path):
    with Manifest(path) as manifest:
        manifest.put(ENTRY)
    with Manifest(path) as manifest:
        assert manifest.get(ENTRY.name) == ENTRY
        assert manifest.get("nowhere") is None
        assert ENTRY.remote == Remote(5, '"tag"', "Mon")


def test_entry_without_a_time_gets_the_present_one(manifest):
    manifest.put(Entry("a", "url"))
    assert abs(datetime.now(UTC) - datetime.fromisoformat(manifest.get("a").fetched)) < timedelta(hours=1)


def test_entry_is_replaced_and_struck_out(manifest):
    manifest.put(ENTRY, Entry("b", "url"))
    manifest.put(Entry(ENTRY.name, "url", state="absent"))
    assert manifest.get(ENTRY.name).state == "absent"
    manifest.forget(ENTRY.name, "nowhere")
    assert names(manifest) == ["b"]


def test_listing(manifest):
    states = {"lmc/b": "file", "lmc/a": "stored", "smc/a": "absent", "LMC/a": "file", "l%c/a": "file", "l_c/a": "file"}
    manifest.put(*[Entry(name, "url", state=state) for name, state in states.items()])
    assert names(manifest) == sorted(states)
    assert names(manifest, under="lmc/") == ["lmc/a", "lmc/b"]
    assert names(manifest, under="l%c") == ["l%c/a"]
    assert names(manifest, under="l_c") == ["l_c/a"]
    assert names(manifest, state="file", under="lmc/") == ["lmc/b"]
    assert names(manifest, state="absent") == ["smc/a"]
    # Entries may be changed while they are listed.
    for entry in manifest.entries():
        manifest.forget(entry.name)
    assert names(manifest) == []


def test_facts(path):
    with Manifest(path) as manifest:
        assert manifest.fact("asked") == ""
        manifest.state_fact("asked", "yesterday")
        manifest.state_fact("asked", "today")
    with Manifest(path) as manifest:
        assert manifest.fact("asked") == "today"
        manifest.state_fact("asked", "")
        assert manifest.fact("asked") == ""


def test_several_entries_come_all_or_none(manifest):
    manifest.put(ENTRY)
    with pytest.raises(ArchiveError, match=r"manifest.sqlite cannot be used \(NOT NULL"):
        manifest.put(Entry("a", "url"), Entry("b", None))
    assert names(manifest) == [ENTRY.name]


def test_ctrl_c_in_the_middle_of_a_change(manifest):
    def change():
        with manifest._using() as connection:
            connection.execute("DELETE FROM files")
            raise KeyboardInterrupt

    manifest.put(ENTRY)
    with pytest.raises(KeyboardInterrupt):
        change()
    assert manifest.get(ENTRY.name) == ENTRY
    manifest.put(Entry("b", "url"))


def test_no_write_ahead_log(manifest):
    """Which network file systems do not bear."""
    assert manifest._connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_use_after_closing_is_a_mistake_of_the_program(path):
    manifest = Manifest(path)
    manifest.close()
    manifest.close()
    with pytest.raises(sqlite3.ProgrammingError):
        manifest.get("a")


def test_threads_share_a_manifest(manifest):
    def work(number):
        for place in range(20):
            manifest.put(Entry(f"{number}/{place}", "url"))
            assert manifest.get(f"{number}/{place}") is not None

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names(manifest)) == 120


SHARE = """
import os, sys
from pathlib import Path
from cbminer.survey.manifest import Entry, Manifest

path, begin = Path(sys.argv[1]), os.pipe()
children = []
for number in range(6):
    child = os.fork()
    if not child:
        os.close(begin[1])
        # All begin when the parent lets go.
        os.read(begin[0], 1)
        try:
            for place in range(5):
                with Manifest(path) as manifest:
                    manifest.put(Entry(f"{number}/{place}", "url"))
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
        os._exit(1)
    children.append(child)
os.close(begin[1])
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("is_damaged", [False, True])
def test_processes_share_a_manifest(path, is_damaged):
    """Also if it is damaged when all of them open it: it is put aside once."""
    path.parent.mkdir()
    if is_damaged:
        path.write_bytes(b"rubbish" * 1000)
    done = subprocess.run([sys.executable, "-c", SHARE, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with Manifest(path) as manifest:
        assert len(names(manifest)) == 30
    if is_damaged:
        assert path.with_suffix(".damaged").read_bytes() == b"rubbish" * 1000


# Damage


def rubbish(path):
    path.write_bytes(b"rubbish" * 1000)


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


def rot(path):
    with path.open("r+b") as stream:
        stream.seek(path.stat().st_size // 2)
        stream.write(b"\xff" * 8192)


def other_table(path):
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE files (name TEXT, colour TEXT)")
    connection.commit()
    connection.close()


@pytest.mark.parametrize("damage", [rubbish, cut, rot, other_table])
def test_damaged_manifest_is_put_aside_and_begun_anew(path, damage):
    with Manifest(path) as manifest:
        manifest.put(*[Entry(f"{number:04d}", "url", sha256="ab" * 32) for number in range(2000)])
    damage(path)
    before = path.read_bytes()
    with Manifest(path) as manifest:
        assert names(manifest) == []
        manifest.put(ENTRY)
    with Manifest(path) as manifest:
        assert names(manifest) == [ENTRY.name]
    kept = path.with_suffix(".damaged").read_bytes()
    # A table may have been added to one that is an SQLite file after all.
    assert kept == before or damage is other_table


def test_journal_of_a_damaged_manifest_is_not_played_back(path):
    with Manifest(path) as manifest:
        manifest.put(*[Entry(f"{number:04d}", "url", sha256="ab" * 32) for number in range(2000)])
    journal = path.with_name(path.name + "-journal")
    # As if the process had ended in the middle of a large change, which SQLite undoes with the journal.
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in ("PRAGMA cache_size = 1", "BEGIN", "UPDATE files SET url = 'other'"):
        connection.execute(statement)
    left = journal.read_bytes()
    connection.execute("ROLLBACK")
    connection.close()
    assert len(left) > 10_000
    rubbish(path)
    journal.write_bytes(left)
    with Manifest(path) as manifest:
        assert names(manifest) == []
        manifest.put(ENTRY)
    assert not journal.exists()


def test_manifest_that_another_process_mended_meanwhile_is_left_alone(path, monkeypatch):
    class Lock:
        """By the time it is held, the other process is done."""

        def __init__(self, _path):
            pass

        def __enter__(self):
            path.unlink()
            monkeypatch.undo()
            with Manifest(path) as manifest:
                manifest.put(ENTRY)

        def __exit__(self, *_):
            pass

    path.parent.mkdir()
    rubbish(path)
    monkeypatch.setattr(module, "FileLock", Lock)
    with Manifest(path) as manifest:
        assert names(manifest) == [ENTRY.name]
    assert not path.with_suffix(".damaged").exists()


def test_empty_file_is_a_new_manifest(path):
    path.parent.mkdir()
    path.touch()
    with Manifest(path) as manifest:
        assert names(manifest) == []
    assert not path.with_suffix(".damaged").exists()


def test_damage_that_shows_later_is_named(path):
    with Manifest(path) as manifest:
        manifest.put(*[Entry(f"{number:04d}", "url", sha256="ab" * 32) for number in range(2000)])
        with path.open("r+b") as stream:
            stream.write(b"\xff" * path.stat().st_size)
        with pytest.raises(ArchiveError, match=r"manifest.sqlite is damaged \(.*\): call again, and it is begun anew"):
            names(manifest)
    with Manifest(path) as manifest:
        assert names(manifest) == []


# Other troubles


def test_manifest_that_another_process_holds(path, monkeypatch):
    monkeypatch.setattr(module, "_BUSY_SECONDS", 0.01)
    with Manifest(path) as manifest:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(
            ArchiveError, match=r"manifest.sqlite is in use by another process: wait until it has finished"
        ):
            manifest.put(ENTRY)
        with pytest.raises(ArchiveError, match="is in use by another process"):
            Manifest(path)
        other.execute("COMMIT")
        other.close()
        manifest.put(ENTRY)
        assert names(manifest) == [ENTRY.name]


def test_full_disk(manifest):
    manifest._connection.execute("PRAGMA max_page_count = 8")
    with pytest.raises(ArchiveError, match=re.escape(f"the disk of {manifest.path.parent} is full: free some space")):
        manifest.put(*[Entry(f"{number:04d}", "url", sha256="ab" * 32) for number in range(2000)])
    assert names(manifest) == []


def test_place_that_cannot_be_opened(path):
    path.mkdir(parents=True)
    with pytest.raises(ArchiveError, match=r"manifest.sqlite cannot be used \(unable to open database file\): choose"):
        Manifest(path)


def test_place_that_cannot_be_made(path):
    path.parent.write_text("a file where a folder should be")
    with pytest.raises(ArchiveError, match=r"manifest.sqlite cannot be written \(File exists\): choose another folder"):
        Manifest(path)
