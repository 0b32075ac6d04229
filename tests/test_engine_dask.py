"""Workers of Dask, as processes over TCP: the same results as threads, whatever is lost, and clear errors."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import engine_calls
import numpy as np
import pytest

from cbminer import engine_worker
from cbminer.cli import main
from cbminer.engine import Call, EngineError, in_order, open_engine
from cbminer.errors import ArchiveError, SettingsError
from cbminer.survey.store import LightCurveStore

distributed = pytest.importorskip("distributed", reason='Dask is not installed: pip install "cbminer[scale]"')
engine_dask = pytest.importorskip("cbminer.engine_dask")

PRODUCTS = ("measured.ecsv", "measured.fits", "summary.txt", "settings.toml", "atlas_01.png")


@pytest.fixture(scope="module")
def engine():
    """Two workers on this machine."""
    with open_engine("dask", jobs=2) as opened:
        yield opened


@pytest.fixture
def scheduler(engine):
    """Its scheduler, as that of a cluster of the user."""
    return engine.client.scheduler.address


@pytest.fixture
def impatient(monkeypatch):
    for name, seconds in (("CONNECT_WAIT", 1.0), ("WORKER_WAIT", 0.5), ("LOOK_EVERY", 0.2)):
        monkeypatch.setattr(engine_dask, name, seconds)


def cluster_of_threads(n_workers):
    """Start a small cluster that can be ended at once."""
    return distributed.LocalCluster(
        n_workers=n_workers,
        threads_per_worker=1,
        processes=False,
        protocol="tcp://",
        host="127.0.0.1",
        memory_limit=None,
        scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
    )


def refused(match, *, error=SettingsError, scheduler=None):
    with pytest.raises(error, match=match), open_engine("dask", jobs=1, scheduler=scheduler):
        pass


def test_results_are_those_of_threads_and_come_from_other_processes(engine):
    calls = [Call(engine_calls.spectrum, (number,)) for number in range(30)]
    with open_engine("threads", jobs=2) as threads:
        wanted = list(in_order(threads, calls))
    for (one, about), (other, told) in zip(in_order(engine, calls), wanted, strict=True):
        np.testing.assert_array_equal(one, other)
        assert about == told
    found = list(in_order(engine, [Call(engine_calls.slow_cube, (number,)) for number in range(30)]))
    assert [cube for cube, _ in found] == [number**3 for number in range(30)]
    processes = {process for _, process in found}
    assert len(processes) == 2
    assert os.getpid() not in processes
    assert engine.window == 4


def test_a_worker_that_is_killed_costs_no_result(engine):
    found = []
    for number, process in in_order(engine, (Call(engine_calls.slow_cube, (number,)) for number in range(60))):
        found.append((number, process))
        if len(found) == 10:
            os.kill(process, signal.SIGKILL)
    assert [number for number, _ in found] == [number**3 for number in range(60)]


def test_a_chunk_that_ends_every_worker_is_named(engine):
    calls = [Call(engine_calls.end_worker, (0,), "stars A .. B")]
    with pytest.raises(EngineError, match=r"chunk of stars A \.\. B ended 3 workers, .*make chunks smaller"):
        list(in_order(engine, calls))
    assert engine.submit(engine_calls.cube, 2).result()[0] == 8


def test_an_error_in_a_call_comes_through_and_the_rest_is_left_undone(engine, tmp_path):
    calls = (Call(engine_calls.note, (tmp_path, number, 3)) for number in range(100))
    with pytest.raises(TimeoutError, match="call 3 went wrong"):
        list(in_order(engine, calls))
    # Whatever was not taken back would come before this.
    engine.submit(engine_calls.cube, 2).result()
    assert len(list(tmp_path.iterdir())) <= 4 + engine.window


def test_a_cluster_forgets_the_calls_of_an_engine_that_was_left_by_an_error(engine, scheduler, tmp_path):
    gate = tmp_path / "gate"

    def interrupted():
        with open_engine("dask", jobs=2, scheduler=scheduler) as second:
            pending = [second.submit(engine_calls.wait_for_file, gate) for _ in range(2)]
            pending += [second.submit(engine_calls.note, tmp_path, number, None) for number in range(20)]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    gate.touch()
    list(in_order(engine, [Call(engine_calls.cube, (number,)) for number in range(10)]))
    assert list(tmp_path.iterdir()) == [gate]


@pytest.fixture
def another_numpy(monkeypatch):
    """Let this process, in which the scheduler is too, think that it has another numpy than the workers."""
    versions = engine_worker.versions_here() | {"numpy": "1.0"}
    monkeypatch.setattr(engine_worker, "_versions", lambda: versions)


def test_other_versions_are_refused_before_the_run_and_when_a_worker_joins(engine, scheduler, another_numpy):
    wanted = rf"worker tcp://\S+ has numpy {np.__version__} instead of 1\.0"
    refused(wanted, scheduler=scheduler)
    # The same worker, had it joined after the run began.
    late = engine_dask.DaskEngine(engine.client, "the cluster")
    with pytest.raises(SettingsError, match=wanted):
        late.submit(engine_calls.cube, 2).result()


def test_a_worker_that_does_not_see_the_store_is_named(engine, tmp_path):
    assert engine.submit(engine_calls.curves_in_store, tmp_path, LightCurveStore(tmp_path).index_digest).result() == 0
    with pytest.raises(ArchiveError, match=rf"worker tcp://\S+ \(process .*there is no {tmp_path}/index, unlike"):
        engine.submit(engine_calls.curves_in_store, tmp_path, "0" * 64).result()


def test_a_scheduler_that_is_none_is_refused(impatient, tmp_path):
    refused("no scheduler of Dask answers at tcp://127.0.0.1:9 .*leave --scheduler out", scheduler="tcp://127.0.0.1:9")
    refused("here is neither a scheduler file nor an address", scheduler="here")
    for content in ("{", "[]", "{}", '{"address": ['):
        (tmp_path / "s.json").write_text(content)
        refused(f"{tmp_path}/s.json is no scheduler file", scheduler=str(tmp_path / "s.json"))


def test_a_scheduler_file_will_do(scheduler, tmp_path):
    (tmp_path / "s.json").write_text(json.dumps({"address": scheduler}))
    with open_engine("dask", jobs=1, scheduler=str(tmp_path / "s.json")) as second:
        assert second.submit(engine_calls.cube, 2).result()[0] == 8


def test_a_cluster_without_workers_is_waited_for_and_then_refused(impatient):
    with cluster_of_threads(0) as cluster:
        refused("has had no workers for 0.5 s: start some", error=EngineError, scheduler=cluster.scheduler_address)


def test_workers_that_all_go_and_a_scheduler_that_goes_end_the_run(impatient):
    with cluster_of_threads(1) as cluster, open_engine("dask", jobs=1, scheduler=cluster.scheduler_address) as engine:
        results = in_order(engine, (Call(engine_calls.slow_cube, (number,)) for number in range(1000)))
        assert next(results)[0] == 0
        cluster.scale(0)
        with pytest.raises(EngineError, match="has had no workers"):
            list(results)
        pending = engine.submit(engine_calls.cube, 2)
        cluster.close()
        with pytest.raises(EngineError, match="was lost"):
            pending.result()


def write_table(path, *, n_stars, n_points):
    """Sinusoids of several periods in the shape of ZTF; without a table of periods they are searched."""
    rng = np.random.default_rng(8)
    lines = ["oid,hjd,mag,magerr,catflags,filtercode"]
    for star in range(1, n_stars + 1):
        time_ = np.round(2458200 + rng.uniform(0, 300, n_points), 5)
        mag = 15 + 0.3 * np.cos(4 * np.pi * time_ / (0.5 + 0.1 * star)) + rng.normal(0, 0.01, n_points)
        lines += [f"{star},{t:.5f},{m:.4f},0.01,0,zr" for t, m in zip(time_, mag, strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_measure_writes_the_same_bytes_by_either_engine(scheduler, tmp_path, capsys):
    table = write_table(tmp_path / "t.csv", n_stars=9, n_points=80)
    (tmp_path / "p.csv").write_text("id,P\n" + "".join(f"{star},{0.5 + 0.1 * star}\n" for star in range(1, 10)))
    (tmp_path / "s.toml").write_text("[lightcurves]\nchunk = 2\n")
    given = ["measure", str(table), "--preset", "ztf", "--periods", str(tmp_path / "p.csv")]
    given += ["--settings", str(tmp_path / "s.toml")]
    for name, engine in (("threads", []), ("dask", ["--engine", "dask", "--scheduler", scheduler])):
        assert main([*given, *engine, "--out", str(tmp_path / name)]) == 0
    for product in PRODUCTS:
        assert (tmp_path / "dask" / product).read_bytes() == (tmp_path / "threads" / product).read_bytes(), product
    capsys.readouterr()
    assert main([*given, "--scheduler", scheduler, "--out", str(tmp_path / "out")]) == 2
    assert "of no use to threads" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def children(process):
    """Processes that a process has started, by their command lines."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == process:
                found[int(path.name)] = (path / "cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def is_deaf(process):
    """Whether a process ignores interrupts, as workers do from the moment on at which they can be given calls."""
    lines = (Path("/proc") / str(process) / "status").read_text().splitlines()
    mask = next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn"))
    return bool(mask >> (signal.SIGINT - 1) & 1)


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("it never came to this")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="processes are not to be seen in /proc")
def test_ctrl_c_leaves_no_process_and_nothing_half_written(tmp_path):
    table = write_table(tmp_path / "t.csv", n_stars=400, n_points=150)
    temporary, out = tmp_path / "tmp", tmp_path / "out"
    temporary.mkdir()
    (tmp_path / "s.toml").write_text("[lightcurves]\nchunk = 2\n")
    given = ["measure", table, "--preset", "ztf", "--settings", tmp_path / "s.toml", "--out", out]
    command = [sys.executable, "-m", "cbminer", *map(str, given), "--engine", "dask", "--jobs", "2"]
    running = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True, env=os.environ | {"TMPDIR": str(temporary)}
    )

    def workers():
        return [process for process, command in children(running.pid).items() if "spawn_main" in command]

    wait_for(lambda: len(workers()) == 2 and all(map(is_deaf, workers())))
    time.sleep(0.5)
    started = children(running.pid)
    # As a terminal does: to all of them.
    os.killpg(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert said == "cbminer: interrupted; nothing was left half-written; files that were fetched are kept\n"
    wait_for(lambda: not [process for process in started if (Path("/proc") / str(process) / "exe").exists()], 10)
    assert not out.exists()
    assert list(temporary.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"t.csv", "s.toml", "tmp"}
