"""Engines: calls are made lazily and read in order, errors end them, and what cannot be had is said."""

import os
import pickle
import subprocess
import sys
import threading
import time

import engine_calls
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbminer import engine_worker
from cbminer.engine import Call, in_order, open_engine
from cbminer.engine_store import store_on_worker
from cbminer.engine_worker import differences, make_call, versions_here
from cbminer.errors import ArchiveError, SettingsError
from cbminer.survey.store import LightCurveStore
from cbminer.survey.store_writer import SourceFile, StoreWriter


class CountingEngine:
    """Counts the calls that are neither read nor cancelled."""

    def __init__(self, window):
        self.window = window
        self.open = self.most = self.cancelled = 0

    def submit(self, function, *arguments, about=""):
        self.open += 1
        self.most = max(self.most, self.open)
        return CountedCall(self, function, arguments)


class CountedCall:
    def __init__(self, engine, function, arguments):
        self.engine, self.function, self.arguments = engine, function, arguments

    def result(self):
        self.engine.open -= 1
        return self.function(*self.arguments)

    def cancel(self):
        self.engine.open -= 1
        self.engine.cancelled += 1


@given(window=st.integers(1, 5), n_calls=st.integers(0, 12), read=st.integers(0, 12))
def test_calls_are_pulled_as_they_are_read_and_the_rest_is_cancelled(window, n_calls, read):
    engine, pulled = CountingEngine(window), []

    def calls():
        for number in range(n_calls):
            pulled.append(number)
            yield Call(int, (number,))

    results = in_order(engine, calls())
    found = [number for number, _ in zip(results, range(read), strict=False)]
    assert found == list(range(min(read, n_calls)))
    assert engine.most <= window
    # zip asks the results first, and so reads one more than it gives.
    assert len(pulled) <= read + window
    results.close()
    assert engine.open == 0
    assert engine.cancelled <= window - 1


@pytest.mark.parametrize("jobs", [1, 3])
def test_threads_give_results_in_the_order_of_the_calls(jobs):
    with open_engine("threads", jobs=jobs) as engine:
        found = list(in_order(engine, (Call(engine_calls.slow_cube, (number,)) for number in range(20))))
    assert found == [(number**3, os.getpid()) for number in range(20)]


def test_one_job_is_done_in_the_calling_thread():
    with open_engine("threads", jobs=1) as engine:
        assert engine.submit(threading.get_ident).result() == threading.get_ident()
    with open_engine("threads", jobs=2) as engine:
        assert engine.submit(threading.get_ident).result() != threading.get_ident()


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_in_a_call_leaves_the_rest_undone(jobs, tmp_path):
    calls = (Call(engine_calls.note, (tmp_path, number, 3)) for number in range(100))
    with (
        pytest.raises(TimeoutError, match="call 3 went wrong"),
        open_engine("threads", jobs=jobs) as engine,
    ):
        list(in_order(engine, calls))
    assert len(list(tmp_path.iterdir())) <= 4 + engine.window


def test_ctrl_c_leaves_undone_what_waits(tmp_path):
    gate = threading.Event()
    pending = []

    def release():
        while not pending[-1].cancelled():
            time.sleep(0.01)
        gate.set()

    def interrupted():
        with open_engine("threads", jobs=2) as engine:
            pending.extend(engine.submit(gate.wait) for _ in range(2))
            pending.extend(engine.submit(engine_calls.note, tmp_path, number, None) for number in range(20))
            threading.Thread(target=release).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert gate.wait(10)
    assert list(tmp_path.iterdir()) == []


def test_threads_have_no_scheduler():
    with (
        pytest.raises(SettingsError, match="tcp://host:8786 is of no use to threads"),
        open_engine("threads", jobs=1, scheduler="tcp://host:8786"),
    ):
        pass


@pytest.mark.parametrize("package", ["dask", "distributed"])
def test_without_dask_the_extra_is_named(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "cbminer.engine_dask", raising=False)
    with (
        pytest.raises(SettingsError, match=rf'needs {package}: pip install "cbminer\[scale\]"'),
        open_engine("dask", jobs=2),
    ):
        pass


def test_a_worker_keeps_the_algebra_to_one_thread():
    code = """
import pickle, engine_calls
from cbminer.engine_worker import make_call, versions_here
print(engine_calls.algebra_threads(), make_call(pickle.dumps((engine_calls.algebra_threads, ())), versions_here()))
"""
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "2", "PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    before, during = map(int, said.stdout.split())
    assert before == min(2, os.cpu_count())
    assert during == 1


def test_other_versions_are_named():
    content = pickle.dumps((engine_calls.cube, (2,)))
    assert make_call(content, versions_here()) == (8, os.getpid())
    assert {"python", "cbminer", "numpy", "numba"} < set(versions_here())
    assert differences(versions_here(), versions_here()) == ""
    other = versions_here() | {"numpy": "1.0", "cbminer": "0.0"}
    here = versions_here()
    said = f"cbminer {here['cbminer']} instead of 0.0, numpy {np.__version__} instead of 1.0"
    assert differences(other, here) == said
    assert differences({"numba": "1"}, {}) == "numba none instead of 1"


def test_changed_code_is_another_version(tmp_path, monkeypatch):
    monkeypatch.setattr(engine_worker, "__file__", str(tmp_path / "engine_worker.py"))
    (tmp_path / "a.py").write_text("x = 1\n")
    before = engine_worker._digest_of_code()
    assert engine_worker._digest_of_code() == before
    (tmp_path / "a.py").write_text("x = 2\n")
    assert engine_worker._digest_of_code() != before


def write_store(folder, stars):
    with StoreWriter(folder) as writer:
        for star in stars:
            writer.add(SourceFile(star, "I", b"5000.1 17.0 0.01\n"))


def test_a_store_is_opened_once_and_only_the_one_that_is_meant(tmp_path):
    folder = tmp_path / "store"
    assert LightCurveStore(folder).index_digest == ""
    assert len(store_on_worker(folder, "")) == 0
    write_store(folder, ["OGLE-LMC-ECL-00001"])
    digest = LightCurveStore(folder).index_digest
    store = store_on_worker(folder, digest)
    assert len(store) == 1
    assert store_on_worker(folder, digest) is store
    write_store(folder, ["OGLE-LMC-ECL-00002"])
    assert len(store_on_worker(folder, LightCurveStore(folder).index_digest)) == 2
    with pytest.raises(ArchiveError, match=rf"process {os.getpid()} on .*{folder}/index is another one than where"):
        store_on_worker(folder, "0" * 64)
    with pytest.raises(ArchiveError, match=f"there is no {tmp_path}/elsewhere/index, unlike where .*shared file"):
        store_on_worker(tmp_path / "elsewhere", digest)
