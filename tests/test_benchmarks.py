"""The scripts under benchmarks/: they say what they do, and what their page says is what they found."""

import importlib
import importlib.util
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ecl_line, ident_line

from cbminer.survey.mock import is_mock_folder
from cbminer.survey.ogle import read_catalogue

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
SCRIPTS = sorted(BENCHMARKS.glob("*.py"))
README = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
# What a script may need beyond the package.
EXTRAS = {
    "dask",
    "distributed",
    "light_curve",
    "lsdb",
    "nautilus",
    "onnxruntime",
    "pandas",
    "phoebe",
    "sklearn",
    "torch",
}


@pytest.fixture
def benchmark(monkeypatch):
    """Import a script by its name, and the scripts that it imports."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield importlib.import_module
    # Their names are too plain to be left behind.
    for name in set(sys.modules) - before:
        if (BENCHMARKS / f"{name}.py").exists():
            del sys.modules[name]


def state_of_files():
    paths = [path for path in BENCHMARKS.rglob("*.*") if "__pycache__" not in path.parts]
    return {path: path.stat().st_mtime_ns for path in paths}


def exit_status_of(script, name):
    """Run or import a script; a library that is none of the package's own, and missing, skips the test."""
    try:
        runpy.run_path(str(script), run_name=name)
    except SystemExit as stop:
        return stop.code or 0
    except ModuleNotFoundError as error:
        if error.name.partition(".")[0] not in EXTRAS:
            raise
        pytest.skip(f"{error.name} is not installed")
    return 0


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_says_what_it_does_and_does_nothing_else(script, benchmark, monkeypatch, tmp_path, capsys):
    # Those without options take words by their place, and are only imported.
    answers = re.search("argparse|--help", script.read_text(encoding="utf-8")) is not None
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    before = state_of_files()
    assert exit_status_of(script, "__main__" if answers else "benchmark") == 0
    assert (f"{script.name} " in capsys.readouterr().out) == answers
    assert not list(tmp_path.iterdir())
    assert state_of_files() == before


def test_the_page_names_every_script_and_nothing_that_is_not_there():
    named = set(re.findall(r"[\w-]+(?:/[\w-]+)+\.(?:py|json|txt|md|ecsv)", README))
    assert named >= {f"benchmarks/{script.name}" for script in SCRIPTS}
    missing = {name for name in named if not (ROOT / name).exists()}
    # Until the first results are kept.
    assert missing <= {"benchmarks/results/full_survey.json"}


def test_the_tables_of_the_page_are_those_of_the_results(benchmark):
    table = benchmark("full_survey_table")
    assert README.split(table.BEGIN)[1].split(table.END)[0] == f"\n{table.block()}\n"


def a_run(stars, jobs, seconds, *, peak=900.0, engine="threads"):
    return {
        "stars": stars,
        "jobs": jobs,
        "engine": engine,
        "wall": seconds,
        "cpu": seconds,
        "peak": peak,
        "together": peak,
        "parts": {"shapes": 0.75 * seconds, "c": 0.25 * seconds, "never": 0.0},
        "steps": {"all": seconds},
        "candidates": {"LMC": stars // 10, "SMC": 1},
        "made": "2026-01-01",
    }


def some_results(machine="one"):
    sizes = (1000, 10000, 48605, 200000)
    runs = [a_run(stars, jobs, (5.0 + 0.002 * stars) / jobs) for stars in sizes for jobs in (1, 2)]
    surveys = [{"stars": stars, "curves": {"I": {"curves": stars, "points": 600 * stars}}} for stars in sizes]
    spent = {"learning": 10.0, "reading text files": 2.0, "periods": 20.0}
    peer = [{"stars": 1000, "jobs": jobs, "wall": 10.0 + 40.0 / jobs, "seconds": spent} for jobs in (1, 2)]
    return {"machine": machine, "runs": runs, "surveys": surveys, "peer": peer}


def test_the_line_through_the_times_is_found(benchmark):
    table = benchmark("full_survey_table")
    runs = [run for run in some_results()["runs"] if run["jobs"] == 1]
    offset, slope, off = table.fitted_line(runs, "wall")
    np.testing.assert_allclose([offset, slope], [5.0, 0.002])
    assert off < 1e-9
    steep = [a_run(stars, 1, 1e-6 * stars**1.5) for stars in (10000, 40000, 160000)]
    assert table.exponent([*steep, a_run(100, 1, 1000.0)]) == pytest.approx(1.5)
    assert table.exponent(steep[:1]) is None


def test_the_tables_tell_times_shares_and_ratios(benchmark):
    text = "\n".join(benchmark("full_survey_table").tables(some_results()))
    assert "| 48,605 | 29.2 | 1 | 102.2 | 102.2 | 2.10 | 900 | 900 | 4,861 |" in text
    assert "- Workers: 1. Time: 5.0 s and 2.00 s every thousand stars, to 0 % at worst" in text
    assert "| shapes | 76.7 | 38.3 | 75 % |" in text
    assert "never" not in text
    # 40 s of the script for 1,000 stars, and 2 s a thousand of the selection.
    assert "| straightforward script, all but its learning | 40.0 | 20.0 | 20.0 | 20.0 |" in text
    assert "| `select`, the whole run | 7.00 | 3.50 | 3.50 | 3.50 |" in text


def test_results_of_one_machine_are_kept_together(benchmark, monkeypatch, tmp_path):
    table = benchmark("full_survey_table")
    monkeypatch.setattr(table, "RESULTS", tmp_path / "results.json")
    table.keep(some_results())
    table.keep({"machine": "one", "surveys": [], "runs": [a_run(1000, 1, 3.0), a_run(1000, 1, 4.0, engine="dask")]})
    kept = json.loads((tmp_path / "results.json").read_text())
    assert len(kept["runs"]) == 9
    assert [run["wall"] for run in kept["runs"] if run["stars"] == 1000] == [4.0, 3.0, 3.5]
    assert len(kept["peer"]) == 2
    table.keep({"machine": "another", "surveys": [], "runs": [a_run(1000, 1, 3.0)]})
    kept = json.loads((tmp_path / "results.json").read_text())
    assert len(kept["runs"]) == 1
    assert "peer" not in kept


def small_mock(folder):
    """Three stars a Cloud, of which the second has no light curve in V and the third none at all."""
    for galaxy in ("LMC", "SMC"):
        place = folder / galaxy.lower() / "ecl"
        stars = [f"MOCK-{galaxy}-ECL-{number:05d}" for number in (1, 2, 3)]
        for band, with_curve in (("I", stars[:2]), ("V", stars[:1])):
            (place / "phot" / band).mkdir(parents=True)
            for star in with_curve:
                (place / "phot" / band / f"{star}.dat").write_text(f"2455500.5 {15 + len(band)}.000 0.010\n")
        (place / "ident.dat").write_text("".join(f"{ident_line(star)}\n" for star in stars))
        rows = [f"{ecl_line(star, i=f'{15 + number}.000')}\n" for number, star in enumerate(stars)]
        (place / "ecl.dat").write_text("".join(rows[:2]))
        (place / "ell.dat").write_text(rows[2])
        (place / "remarks.txt").write_text(f"{stars[0]}  possible blend\n")
        (place / "MOCK.txt").write_text("simulated\n")
    (folder / "MOCK.txt").write_text("simulated\n")
    return folder


def test_a_survey_repeats_another_under_other_names(benchmark, tmp_path):
    repeated, mock = benchmark("repeated_survey"), small_mock(tmp_path / "mock")
    folder = repeated.repeat_survey(mock, tmp_path / "repeated", {"LMC": 8, "SMC": 4})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mock", "repeated"]
    found = read_catalogue(folder / "lmc" / "ecl", "LMC")
    numbers = ("ECL-00001", "ECL-00002", "ECL-00003", "E01-00001", "E01-00002", "E01-00003", "E02-00001", "E02-00002")
    assert list(found.stars["id"]) == [f"MOCK-LMC-{number}" for number in numbers]
    assert found.stars["I_mag"].value.tolist() == [15.0, 16.0, 17.0, 15.0, 16.0, 17.0, 15.0, 16.0]
    assert [bool(remark) for remark in found.stars["remark"]] == [True, False, False, True, False, False, True, False]
    assert not found.set_aside
    assert len(read_catalogue(folder / "smc" / "ecl", "SMC").stars) == 4
    links = list((folder / "lmc/ecl/phot/I").iterdir())
    assert {path.name for path in links} == {f"MOCK-LMC-{number}.dat" for number in numbers if number[-1] != "3"}
    for path in links:
        assert path.samefile(mock / "lmc/ecl/phot/I" / re.sub(r"-E\d\d-", "-ECL-", path.name))
    assert len(list((folder / "smc/ecl/phot/V").iterdir())) == 2
    assert is_mock_folder(folder / "smc" / "ecl")


def test_stars_are_shared_out_as_in_the_survey(benchmark):
    repeated = benchmark("repeated_survey")
    assert repeated.shared_out(48605) == {"LMC": 40204, "SMC": 8401}
    for n_stars in (7, 1000, 200000):
        assert sum(repeated.shared_out(n_stars).values()) == n_stars


def in_modules(*names):
    """Frame of the innermost of functions of so many modules, the outermost first."""
    call = sys._getframe
    for name in reversed(names):
        space = {"__name__": name, "call": call}
        exec("def function():\n    return call()", space)  # noqa: S102 - a function of another module
        call = space["function"]
    return call()


@pytest.mark.parametrize(
    ("modules", "part"),
    [
        (["cbminer.measurement", "cbminer.morphology.shape", "cbminer.lightcurves.harmonics"], "shapes"),
        (["cbminer.morphology.shape", "cbminer.morphology.embedding", "numpy.linalg"], "c"),
        (["cbminer.measurement", "cbminer.lightcurves.period_search"], "periods"),
        (["cbminer.survey.archive", "cbminer.survey.store"], "reading light curves"),
        (["cbminer.cli", "importlib", "pandas"], "importing libraries"),
        (["cbminer.pipeline", "threading"], None),
        (["cbminer.cli", "json"], "other"),
    ],
)
def test_a_thread_is_in_the_innermost_part_that_is_named(benchmark, modules, part):
    assert benchmark("measured_select").part_of(in_modules(*modules)) == part


@pytest.mark.skipif(
    not (importlib.util.find_spec("pandas") and importlib.util.find_spec("sklearn")),
    reason="needs pandas, scikit-learn",
)
def test_the_benchmark_and_its_peer_run(tmp_path):
    script = [sys.executable, str(BENCHMARKS / "full_survey.py"), "--stars", "40", "--jobs", "1", "--cold", "--peer"]
    done = subprocess.run([*script, "--cache", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    tables = done.stdout
    assert re.search(
        r"^\| 40 \| 0\.0 \| 1 \| [\d.]+ \| [\d.]+ \| [\d.]+ \| \d{3,} \| \d{3,} \| \d+ \|$", tables, re.MULTILINE
    )
    assert "| writing catalogues and figures |" in tables
    assert re.search(r"^\| straightforward script, all but its learning \| [\d.]+ \|  \|$", tables, re.MULTILINE)
    assert not (tmp_path / "unfinished").exists()
