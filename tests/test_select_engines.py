"""`select` gives the same bytes whatever measures the light curves, in whatever chunks, and whoever is lost on the way."""

import filecmp
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

import cbminer.cli
import cbminer.report.products
from cbminer.cli import main
from cbminer.monitor import Monitor

# What tells how a run was made is another file for another way of making it.
OF_THE_RUN = {"provenance.json", "report.html", "settings.toml"}


@pytest.fixture(scope="module", autouse=True)
def _without_figures():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cbminer.report.products, "_write_figures", lambda *_: None)
        yield


def select(archive, folder, *options, chunk=5):
    settings = folder.with_suffix(".toml")
    settings.write_text(f"[lightcurves]\nchunk = {chunk}\n[report]\natlas_max = 0\n")
    command = ["select", "--galaxy", "both", "--archive", archive, "--settings", settings, "--out", folder]
    cache = folder.with_name(f"{folder.name}-cache")
    assert main([str(word) for word in [*command, "--cache", cache, *options]]) == 0
    return folder


@pytest.fixture(scope="module")
def one_by_one(mock_archive, tmp_path_factory):
    """A run in one thread."""
    return select(mock_archive, tmp_path_factory.mktemp("runs") / "one", "--jobs", 1)


def assert_same_bytes(run, other):
    names = {path.name for path in run.iterdir() if path.is_file()}
    assert names == {path.name for path in other.iterdir() if path.is_file()}
    assert {"judged.ecsv", "judged.fits", "judged.vot", "judged.mrt", "candidates.ecsv"} <= names
    assert filecmp.cmpfiles(run, other, names - OF_THE_RUN, shallow=False)[1:] == ([], [])


@pytest.mark.parametrize(("jobs", "chunk"), [(3, 5), (2, 64), (1, 1000)])
def test_threads_and_chunks_change_no_byte(one_by_one, mock_archive, tmp_path, jobs, chunk):
    assert_same_bytes(one_by_one, select(mock_archive, tmp_path / "run", "--jobs", jobs, chunk=chunk))


def test_blocks_change_no_byte(one_by_one, mock_archive, tmp_path, monkeypatch):
    """Sums over stars are rounded otherwise in other blocks, but not as far as the decimals of the catalogue."""
    monkeypatch.setattr("cbminer.survey.textfile.LINES_A_BLOCK", 40)
    assert_same_bytes(one_by_one, select(mock_archive, tmp_path / "run", "--jobs", 2))


class Killer(Monitor):
    """Ends a worker of Dask when some light curves are measured."""

    killed: list[int] = []  # noqa: RUF012 - one a process

    @contextmanager
    def step(self, description, total):
        done = 0

        def advance(n):
            nonlocal done
            done += n
            if description == "measuring LMC light curves" and done >= 30 and not self.killed:
                workers = [child for child in own_processes() if "spawn_main" in " ".join(child.cmdline())]
                assert len(workers) == 2
                self.killed.append(workers[0].pid)
                os.kill(workers[0].pid, signal.SIGKILL)

        yield advance


def own_processes():
    psutil = pytest.importorskip("psutil")
    return psutil.Process().children(recursive=True)


@pytest.mark.parametrize("lose_one", [False, True], ids=["whole", "a worker killed"])
def test_workers_of_dask_change_no_byte(one_by_one, mock_archive, tmp_path, monkeypatch, lose_one):
    pytest.importorskip("distributed", reason='Dask is not installed: pip install "cbminer[scale]"')
    monkeypatch.setattr(Killer, "killed", [])
    if lose_one:
        monkeypatch.setattr(cbminer.cli, "TerminalMonitor", Killer)
    run = select(mock_archive, tmp_path / "run", "--engine", "dask", "--jobs", 2)
    assert bool(Killer.killed) == lose_one
    assert_same_bytes(one_by_one, run)
    # Neither workers nor what they wait with is left.
    assert not [child for child in own_processes() if "spawn_main" in " ".join(child.cmdline())]


def test_a_scheduler_is_of_no_use_to_threads(mock_archive, tmp_path, capsys):
    command = ["select", "--galaxy", "LMC", "--archive", mock_archive, "--out", tmp_path / "run"]
    assert main([str(word) for word in [*command, "--scheduler", "tcp://localhost:8786"]]) != 0
    assert "of no use to threads" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_batch_system_that_ends_the_run_leaves_nothing_behind(mock_archive, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-c", "import sys; from cbminer.cli import main; sys.exit(main())", "select"]
    options = ["--galaxy", "both", "--archive", mock_archive, "--out", tmp_path / "run", "--cache", tmp_path / "cache"]
    environment = os.environ | {"TMPDIR": str(scratch)}
    process = subprocess.Popen([*command, *map(str, options)], env=environment, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not any(scratch.glob("*/*.arrow")):
        time.sleep(0.05)
    process.terminate()
    _, told = process.communicate()
    assert process.returncode == 143
    assert "nothing was left half-written" in told
    assert list(scratch.iterdir()) == []
    assert not (tmp_path / "run").exists()
