"""A process that fetches is killed at random moments: the next one ends with the same store and asks for nothing twice."""

import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tarfile
import time
from contextlib import closing, suppress

import numpy as np
import pytest
from servers import HttpServer

from cbminer.settings import load_settings
from cbminer.survey.cache import ArchiveCache, find_caches
from cbminer.survey.mock import MockCloud, build_mock_archive
from cbminer.survey.part import sha256_of

N_STARS = 2000
# Twenty-five in all; a run that fetches one by one takes longer.
KILLS = {"bulk": 20, "single": 5}

# Imports once, and runs every command in a process of its own, so that a kill hits the work and not the imports.
RUNNER = """
import json, os, sys
from cbminer.cli import main
import cbminer.fetching, cbminer.survey.remote
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os._exit(main(json.loads(line)))
    print(child, flush=True)
    _, status = os.waitpid(child, 0)
    print(status, flush=True)
"""


class Runner:
    """Runs commands of cbminer in processes that can be killed."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-c", RUNNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, *arguments):
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def wait(self):
        return os.waitstatus_to_exitcode(int(self._process.stdout.readline()))

    def run(self, *arguments):
        self.start(*arguments)
        return self.wait()

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


@pytest.fixture(scope="module")
def runner():
    running = Runner()
    yield running
    running.close()


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A mock LMC of 2,000 stars as a server would hold it: names and bytes."""
    settings = load_settings()
    cloud = MockCloud("LMC", N_STARS, 18.477, 0.0, 0.100, 0.043)
    folder = build_mock_archive(tmp_path_factory.mktemp("mock") / "archive", [cloud], settings=settings.mock, seed=5)
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def packed(files):
    """All light curves in one file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
        for name, data in files.items():
            if "/phot/" in name:
                info = tarfile.TarInfo(name.removeprefix("lmc/ecl/"))
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def served(files, way):
    """Files of a server that has all light curves in one file, or only one by one and in I."""
    catalogue = {name: data for name, data in files.items() if "/phot/" not in name}
    if way == "bulk":
        return catalogue | {"lmc/ecl/phot.tar.gz": packed(files)}
    return catalogue | {name: data for name, data in files.items() if "/phot/I/" in name}


def verified(cache):
    """Files that the manifest vouches for, as it stands on the disk."""
    names = set()
    for path in cache.glob("servers/*/manifest.sqlite"):
        with closing(sqlite3.connect(path)) as connection:
            if connection.execute("SELECT name FROM sqlite_master WHERE name = 'files'").fetchone():
                names |= {row[0] for row in connection.execute("SELECT name FROM files WHERE state != 'absent'")}
    return names


def came_in_part(cache, whole):
    """Bytes that need not come again of files which did not come whole. One is asked for again, to see what follows."""
    notes = cache.glob("servers/*/incoming/**/*.part.json")
    names = {str(path).partition("/incoming/")[2].removesuffix(".part.json"): path for path in notes}
    sizes = [json.loads(path.read_text())["size"] for name, path in names.items() if name not in whole]
    return sum(max(0, size - 1) for size in sizes)


def outcome(cache):
    """What a fetch leaves: the light curves, the catalogue files, and nothing on its way."""
    (kept,) = find_caches(cache)
    assert [path for path in kept.incoming.rglob("*") if path.is_file()] == []
    assert list(kept.damages()) == []
    store = kept.store("LMC")
    tables = {path.name: sha256_of(path) for path in kept.folder("LMC").glob("*.*at")}
    curves = store.read(store.stars("I")).curves
    return store.digest(), tables, curves.time.tobytes(), curves.mag.tobytes()


@pytest.mark.parametrize("way", ["bulk", "single"])
def test_fetching_survives_kills_at_random_moments(runner, archive, tmp_path, way):
    settings = tmp_path / "settings.toml"
    # Small steps, so that a kill falls between any two of them.
    settings.write_text("[fetch]\nbatch = 200\n" + ("" if way == "bulk" else "bulk_above = 99999\n"))
    files = served(archive, way)
    size = sum(map(len, files.values()))
    moments = np.random.default_rng(20261124)
    with HttpServer(files) as server:

        def command(cache):
            where = ["--archive", server.url, "--cache", str(cache), "--settings", str(settings)]
            return ["fetch", "--galaxy", "LMC", *where]

        begin = time.monotonic()
        assert runner.run(*command(tmp_path / "undisturbed")) == 0
        duration = time.monotonic() - begin
        wanted = outcome(tmp_path / "undisturbed")
        used = {name for name in files if server.served[name]}
        killed = 0
        for number in range(4 * KILLS[way]):
            if killed == KILLS[way]:
                break
            cache = tmp_path / f"killed-{number}"
            server.forget()
            child = runner.start(*command(cache))
            time.sleep(moments.uniform(0.0, duration))
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            status = runner.wait()
            assert status in {0, -signal.SIGKILL}
            # One that had finished before was not killed, but must stand the test all the same.
            killed += status != 0
            before, first = verified(cache), sum(server.served.values())
            partly = came_in_part(cache, before)
            server.forget()
            assert runner.run(*command(cache)) == 0
            assert outcome(cache) == wanted
            # Nothing that had come whole is asked for again, and of what had come in part only the rest is.
            assert not before & {name for name, count in server.served.items() if count}
            rest = sum(len(files[name]) for name in used - before) - partly
            assert sum(server.served.values()) <= rest
            assert first <= size
        assert killed == KILLS[way]


def test_two_processes_fetch_into_one_cache_and_agree(runner, archive, tmp_path):
    files = served(archive, "bulk")
    with HttpServer(files) as server:
        command = ["fetch", "--galaxy", "LMC", "--archive", server.url, "--cache", str(tmp_path / "cache")]
        code = "import sys; from cbminer.cli import main; sys.exit(main(sys.argv[1:]))"
        both = [
            subprocess.Popen([sys.executable, "-c", code, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for _ in range(2)
        ]
        answers = [process.communicate() for process in both]
        assert [process.returncode for process in both] == [0, 0], answers
        assert answers[0][0] == answers[1][0]
        # Each byte is served once: the second process waits and finds everything there.
        assert dict(server.served) == {name: len(files[name]) for name in server.served}
    assert len(ArchiveCache.for_server(tmp_path / "cache", server.url).store("LMC")) > N_STARS
    assert len(outcome(tmp_path / "cache")[0]) == 64
