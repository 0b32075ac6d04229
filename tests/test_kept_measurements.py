"""A selection that is killed goes on where it was: the same products, and nothing measured twice."""

import filecmp
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from cbminer import chunk_measurement, kept_measurements
from cbminer.chunk_measurement import measure_stars
from cbminer.kept_measurements import KeptMeasurements
from cbminer.measurement import StarTask
from cbminer.settings import load_settings
from cbminer.survey.archive import open_archive
from cbminer.survey.mock import MockCloud, build_mock_archive

KILLS = 10
CHUNK = 5


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    settings = load_settings()
    cloud = MockCloud("LMC", 100, 18.477, 0.0, 0.100, 0.043)
    return build_mock_archive(tmp_path_factory.mktemp("archive") / "mock", [cloud], settings=settings.mock, seed=5)


@pytest.fixture(scope="module")
def store(archive, tmp_path_factory):
    opened = open_archive(str(archive), cache=tmp_path_factory.mktemp("cache"))
    return opened.light_curves("LMC", opened.light_curve_stars("LMC"))


def measure(store, kept, *, settings=None, period=1.0, strict=False):
    stars = store.stars("I")[: 4 * CHUNK]
    chosen = load_settings().measurement if settings is None else settings
    tasks = [StarTask(star, period, np.nan) for star in stars]
    return measure_stars(store, tasks, settings=chosen, chunk=CHUNK, jobs=2, strict=strict, kept=kept)


@pytest.fixture
def measured_chunks(monkeypatch):
    """Chunks that are measured and not found."""
    chunks, fit = [], chunk_measurement.read_and_fit

    def counted(store, tasks, **options):
        chunks.append(tasks)
        return fit(store, tasks, **options)

    monkeypatch.setattr(chunk_measurement, "read_and_fit", counted)
    return chunks


def equal(one, other):
    assert one.counts == other.counts
    assert one.set_aside == other.set_aside
    np.testing.assert_array_equal(one.flags, other.flags)
    for first, second in ((one.shapes, other.shapes), (one.labels, other.labels)):
        assert list(first) == list(second)
        for name, data in first.items():
            assert data.dtype.kind == second[name].dtype.kind
            np.testing.assert_array_equal(data, second[name])


def test_what_is_kept_is_what_was_measured_to_the_last_bit(store, tmp_path, measured_chunks):
    again = KeptMeasurements(tmp_path / "kept")
    measured = measure(store, KeptMeasurements(tmp_path / "kept"))
    assert len(measured_chunks) == 4
    equal(measured, measure(store, again))
    assert len(measured_chunks) == 4
    again.clear()
    assert not (tmp_path / "kept").exists()


def test_what_is_not_the_same_is_measured_again(store, tmp_path, monkeypatch, measured_chunks):
    measure(store, KeptMeasurements(tmp_path))
    settings = load_settings().measurement
    other = replace(settings, cleaning=settings.cleaning.model_copy(update={"error_scale": 1.5}))
    for changed in ({"settings": other}, {"period": 1.1}, {"strict": True}):
        measured_chunks.clear()
        measure(store, KeptMeasurements(tmp_path), **changed)
        assert len(measured_chunks) == 4, changed
    measured_chunks.clear()
    monkeypatch.setattr(kept_measurements, "versions_here", lambda: {"numpy": "another"})
    measure(store, KeptMeasurements(tmp_path))
    assert len(measured_chunks) == 4


def test_a_damaged_chunk_is_measured_again(store, tmp_path, measured_chunks):
    measured = measure(store, KeptMeasurements(tmp_path))
    cut, empty, flipped, *_ = sorted(tmp_path.glob("*.npz"))
    cut.write_bytes(cut.read_bytes()[:-100])
    empty.write_bytes(b"")
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 1
    flipped.write_bytes(content)
    measured_chunks.clear()
    equal(measured, measure(store, KeptMeasurements(tmp_path)))
    assert len(measured_chunks) == 3


def test_a_folder_that_cannot_be_written_keeps_nothing_and_stops_nothing(store, tmp_path):
    measured = measure(store, KeptMeasurements(tmp_path / "kept"))
    (tmp_path / "file").write_text("")
    kept = KeptMeasurements(tmp_path / "file" / "kept")
    equal(measured, measure(store, kept))
    kept.clear()


def test_chunks_of_other_runs_stay_until_they_are_old(store, tmp_path):
    (mine := KeptMeasurements(tmp_path)).folder.mkdir(exist_ok=True)
    measure(store, mine)
    young, old = tmp_path / "young.npz", tmp_path / "old.npz"
    young.write_bytes(b"x")
    old.write_bytes(b"x")
    os.utime(old, (time.time() - 30 * 86400,) * 2)
    mine.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["young.npz"]


# Imports once, and runs every command in a process of its own, so that a kill hits the work and not the imports. It tells
# each chunk that is measured.
RUNNER = """
import json, os, sys
import cbminer.chunk_measurement, cbminer.pipeline, cbminer.report.products
from cbminer.cli import main
cbminer.report.products._write_figures = lambda *_: None
fit = cbminer.chunk_measurement.read_and_fit
log = sys.argv[1]
def counted(store, tasks, **options):
    fitted = fit(store, tasks, **options)
    with open(log, "a") as file:
        file.write(tasks[0].star + "\\n")
    return fitted
cbminer.chunk_measurement.read_and_fit = counted
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        os._exit(main(json.loads(line)))
    print(child, flush=True)
    _, status = os.waitpid(child, 0)
    print(status, flush=True)
"""


class Runner:
    def __init__(self, log):
        self._process = subprocess.Popen(
            [sys.executable, "-c", RUNNER, str(log)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, command):
        self._process.stdin.write(json.dumps([str(word) for word in command]) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def wait(self):
        return os.waitstatus_to_exitcode(int(self._process.stdout.readline()))

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def test_a_selection_killed_ten_times_ends_with_the_same_products(archive, tmp_path):
    settings = tmp_path / "small.toml"
    settings.write_text(f"[lightcurves]\nchunk = {CHUNK}\n[report]\natlas_max = 0\n")
    log = tmp_path / "measured.txt"
    command = ["select", "--galaxy", "LMC", "--archive", archive, "--settings", settings, "--jobs", "1"]
    runner = Runner(log)
    try:
        runner.start([*command, "--out", tmp_path / "whole", "--cache", tmp_path / "cache-1"])
        assert runner.wait() == 0
        chunks = log.read_text().split()
        assert len(chunks) == len(set(chunks)) == 20
        log.write_text("")
        chance = np.random.default_rng(7)
        broken = [*command, "--out", tmp_path / "broken", "--cache", tmp_path / "cache-2"]
        # Before and between chunks, and the last time while the products are written.
        for wanted in [*chance.integers(0, len(chunks) - 2, KILLS - 1), len(chunks)]:
            child = runner.start(broken)
            while len(set(log.read_text().split())) < wanted:
                time.sleep(0.01)
            time.sleep(chance.uniform(0.0, 0.1))
            os.kill(child, signal.SIGKILL)
            assert runner.wait() == -signal.SIGKILL
        runner.start([*broken, "--overwrite"])
        assert runner.wait() == 0
    finally:
        runner.close()
    again = log.read_text().split()
    # A kill may hit between the end of a chunk and its place on disk: it costs that chunk, and no other.
    assert set(again) == set(chunks)
    assert len(again) <= len(chunks) + KILLS
    compared = filecmp.dircmp(tmp_path / "whole", tmp_path / "broken")
    assert not compared.left_only
    assert not compared.right_only
    names = [name for name in compared.common_files if name not in {"provenance.json", "report.html"}]
    assert filecmp.cmpfiles(tmp_path / "whole", tmp_path / "broken", names, shallow=False)[1:] == ([], [])
    assert not (tmp_path / "cache-2" / "unfinished").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
