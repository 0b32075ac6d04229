"""The command grid: what it imports, tells, draws, builds and plans, and what it refuses."""

import re
import shutil

import numpy as np
import pytest
from matplotlib.image import imread

from cbminer.cli import main
from cbminer.report.grid_summary import find_run, grid_lines, run_lines
from cbminer.theory.grid import EvolutionGrid, read_grid, write_grid
from cbminer.theory.phases import Phase, step_phases

PLAN = ["grid", "plan", "--masses", "20:40:10", "--mass-ratios", "0.6,1", "--periods", "0.6:2:3log"]
# R / R_L at overflow of L2 for equal masses, by the formula of Menon et al. (2021).
AT_L2 = 0.32


def some_grid():
    """Two runs: twins that come from detached to L2 in 4 Myr, and a pair of unknown temperatures that never meets."""
    overflow = np.array([-0.3, -0.05, 0.0, 0.2, AT_L2 + 0.01])
    n = len(overflow)
    steps = {
        "age": [0, 1e6, 2e6, 3e6, 4e6, 0, 5e6],
        "M1": [*[20.0] * n, 10.0, 10.0],
        "M2": [*[20.0] * n, 6.0, 6.0],
        "period": [*np.linspace(1.2, 1.0, n), 6.0, 6.0],
        "R1": [*(1 + overflow) * 6, 4.0, 5.0],
        "R2": [*(1 + overflow) * 6, 3.0, 3.2],
        "overflow_1": [*overflow, -0.7, -0.6],
        "overflow_2": [*overflow, -0.7, -0.65],
        "log_L1": [*np.linspace(4.6, 4.7, n), np.nan, np.nan],
        "log_L2": [*np.linspace(4.6, 4.7, n), np.nan, np.nan],
        "log_Teff1": [*np.linspace(4.54, 4.5, n), np.nan, np.nan],
        "log_Teff2": [*np.linspace(4.54, 4.5, n), np.nan, np.nan],
        "log_transfer_rate": [np.nan] * (n + 2),
    }
    runs = {
        "run": ["m20.000_q1.000_p1.2000", "m10.000_q0.600_p6.0000"],
        "M1_initial": [20.0, 10.0],
        "M2_initial": [20.0, 6.0],
        "period_initial": [1.2, 6.0],
        "Z": [0.0047, np.nan],
        "end": ["L2 overflow", "no interaction on the main sequence"],
        "n_steps": [n, 2],
        "age_end": [4e6, 5e6],
        "code": ["a code", "a code"],
        "note": ["", "odd in its way"],
    }
    return EvolutionGrid.of(runs, steps, about={"kind": "test", "source": "somewhere", "skipped": [1, 2]})


@pytest.fixture(scope="module")
def grid_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grids") / "grid"
    write_grid(some_grid(), folder)
    return folder


def test_info_tells_provenance_ranges_ends_and_phases(grid_folder, capsys):
    assert main(["grid", "info", str(grid_folder)]) == 0
    said = capsys.readouterr().out
    assert "2 runs, 7 time steps" in said
    assert "source: somewhere" in said
    assert "skipped: 2" in said
    assert "2 by a code" in said
    assert re.search(r"M1 \+ M2 +16 to 40 solMass \(2 values\)", said)
    assert re.search(r"q +0\.6 to 1 \(2 values\)", said)
    assert re.search(r"period +1\.2 to 6 d \(2 values\)", said)
    assert re.search(r"Z +0\.0047, unknown of 1 runs", said)
    assert re.search(r"L2 overflow +1\n", said)
    # A step stands for the time since the one before: 5 Myr detached, 1 near contact, 2 in contact, 1 beyond L2.
    times = dict(re.findall(r"^  ([A-Za-z0-9 ]+?) +([\d.]+) Myr", said, flags=re.MULTILINE))
    assert times == {"detached": "5.000", "near contact": "1.000", "contact": "2.000", "L2 overflow": "1.000"}
    assert "55.6 %" in said


def test_show_tells_the_phases_of_a_run(grid_folder, capsys):
    assert main(["grid", "show", str(grid_folder), "m20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "m20.000_q1.000_p1.2000"
    assert "20 + 20 solMass, q 1, period 1.2 d, Z 0.0047" in lines[1]
    contact = next(line for line in lines if line.startswith("contact")).split()
    # From, to and for how long; transfer of unknown rate; means over the two steps of equal time.
    assert contact[1:4] == ["2.0000", "3.0000", "2.0000"]
    assert contact[5:] == ["1.000", "1.000", "1.100", "1.100", "1.0750"]
    assert lines[-1].split() == ["all", "4.0000"]


def test_what_is_unknown_of_a_run_is_said(grid_folder, capsys):
    assert main(["grid", "show", str(grid_folder), "m10.000_q0.600_p6.0000"]) == 0
    said = capsys.readouterr().out
    assert "Z unknown" in said
    assert "odd in its way" in said
    row = next(line for line in said.splitlines() if line.startswith("detached")).split()
    # The temperature ratio.
    assert row[6] == "-"


def test_show_draws_the_run_that_it_tells(grid_folder, tmp_path, capsys):
    # The second one has no temperatures to draw.
    for name, run in (("twins.png", "m20"), ("unknown.pdf", "m10")):
        assert main(["grid", "show", str(grid_folder), run, "--out", str(tmp_path / name)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["twins.png", "unknown.pdf"]
    assert (tmp_path / "unknown.pdf").read_bytes().startswith(b"%PDF")
    pixels = imread(tmp_path / "twins.png")[..., :3]
    # The pale blue of the time in contact and the line of star 2 are there.
    for colour, at_least in (("D7EBF7", 10_000), ("D55E00", 300)):
        rgb = np.array([int(colour[k : k + 2], 16) for k in (0, 2, 4)]) / 255
        assert (np.abs(pixels - rgb).max(axis=-1) < 0.01).sum() > at_least
    assert main(["grid", "show", str(grid_folder), "m20", "--out", str(tmp_path / "twins.png")]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["grid", "show", str(grid_folder), "m20", "--out", str(tmp_path / "twins.jpg")]) == 2
    assert ".png or .pdf" in capsys.readouterr().err


def test_runs_are_found_by_what_only_one_name_has(grid_folder, capsys):
    grid = some_grid()
    assert find_run(grid, "q0.600") == 1
    assert main(["grid", "show", str(grid_folder), "000_q"]) == 2
    assert "2 runs have 000_q in their names" in capsys.readouterr().err
    assert main(["grid", "show", str(grid_folder), "m20.000_q1.000_p1.3000"]) == 2
    assert "it has m20.000_q1.000_p1.2000" in capsys.readouterr().err


def test_no_grid_is_no_grid(tmp_path, capsys):
    assert main(["grid", "info", str(tmp_path)]) == 1
    assert "is no grid" in capsys.readouterr().err


def test_steps_of_unknown_phase_are_counted():
    grid = some_grid()
    grid.steps["overflow_1"][1] = np.nan
    grid.steps["overflow_1"].mask[1] = True
    assert (step_phases(grid) == -1).sum() == 1
    assert any("1 time steps of unknown phase" in line for line in grid_lines(grid))
    assert any("1 time steps of unknown phase" in line for line in run_lines(grid, 0))
    assert not any("unknown phase" in line for line in run_lines(grid, 1))


def test_import_names_what_it_skips_and_reads_nothing_twice(shared_data, tmp_path, capsys):
    root, out = tmp_path / "runs", tmp_path / "grid"
    case = shared_data / "mesa" / "fabry2024" / "cases" / "24.0" / "1.15" / "0.7" / "ET"
    shutil.copytree(case, root / "et")
    (root / "broken").mkdir(parents=True)
    (root / "broken" / "binary_history.data").write_text("nothing\n")
    command = ["grid", "import", str(root), "--out", str(out), "--jobs", "1"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "1 runs, 621 time steps" in said
    assert "MB/s" in said
    assert "skipped 1:\n  broken: " in said
    assert main(command) == 0
    assert "read 0 runs" in capsys.readouterr().out
    assert main([*command, "--strict"]) == 1
    assert "broken" in capsys.readouterr().err
    assert main(["grid", "show", str(out), "et"]) == 0
    said = capsys.readouterr().out
    # 2.72 Myr in contact, from 0.18 to 2.90 Myr, and 97 % of equal masses, as the published table has it.
    contact = next(line for line in said.splitlines() if line.startswith("contact")).split()
    assert [float(word) for word in contact[1:4]] == pytest.approx([0.18, 2.90, 2.72], abs=0.005)
    assert float(contact[5]) == pytest.approx(0.969, abs=0.001)


def test_the_metallicity_of_an_import_is_asked_of_the_user(shared_data, tmp_path):
    root = tmp_path / "runs"
    (root / "twin").mkdir(parents=True)
    case = shared_data / "mesa" / "fabry2022" / "models" / "overcontact" / "newBCtidal"
    shutil.copy(case / "binary_history.data", root / "twin")
    assert main(["grid", "import", str(root), "--out", str(tmp_path / "grid"), "--jobs", "1", "--Z", "0.0071"]) == 0
    assert float(read_grid(tmp_path / "grid").runs["Z"][0]) == pytest.approx(0.0071)


def test_a_dry_run_counts_and_writes_nothing(tmp_path, capsys):
    out = tmp_path / "plan"
    assert main([*PLAN, "--out", str(out), "--dry-run", "--galaxy", "smc"]) == 0
    said = capsys.readouterr().out
    assert "3 masses x 2 mass ratios x 3 periods = 18 runs at Z 0.0021 in 18 tasks" in said
    assert "star 1 of 10 solMass to 25 solMass" in said
    assert not out.exists()


def test_a_plan_is_made_and_says_what_comes_next(tmp_path, capsys):
    out = tmp_path / "plan"
    command = [*PLAN, "--out", str(out), "--mass-is", "primary", "--max-jobs", "5", "--mesa-dir", "/opt/mesa"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert f"cbminer grid import {out / 'runs'} --out GRID" in said
    assert len(list((out / "runs").iterdir())) == 18
    assert (out / "runs" / "m20.000_q0.600_p0.6000" / "inlist").is_file()
    script = (out / "run_array.sh").read_text()
    assert "--array=1-18%5\n" in script
    assert "export MESA_DIR='/opt/mesa'" in script
    assert main(command) == 1
    assert "left alone" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--masses", "x"], "--masses: x is no number"),
        (["--mass-ratios", "0.5,1.5"], "mass ratio 1.5"),
        (["--periods", "2:1:0.1"], "--periods 2:1:0.1"),
        (["--Z", "0.004"], "--helium"),
        (["--Z", "0.5", "--helium", "0.25"], "--Z 0.5"),
        (["--mesa-dir", "/it's"], "--mesa-dir"),
    ],
)
def test_impossible_plans_are_refused_by_name_and_leave_nothing(tmp_path, capsys, more, said):
    out = tmp_path / "plan"
    assert main([*PLAN, "--out", str(out), *more]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_a_grid_is_built_of_chosen_values(tmp_path, capsys):
    out = tmp_path / "grid"
    command = ["grid", "build", "--galaxy", "LMC", "--out", str(out), "--masses", "30", "--mass-ratios", "1"]
    assert main([*command, "--periods", "0.9,7"]) == 0
    assert "2 runs" in capsys.readouterr().out
    grid = read_grid(out)
    assert grid.runs["M1_initial"].to_value("solMass").tolist() == pytest.approx([15, 15])
    assert np.asarray(grid.runs["Z"]).tolist() == pytest.approx([0.0047, 0.0047])
    # Twins of 15 solar masses in 0.9 d come into contact; in 7 d they are far apart for most of their lives.
    phases = [step_phases(grid)[grid.offsets[k] : grid.offsets[k + 1]] for k in range(2)]
    assert (phases[0] == Phase.CONTACT).any()
    assert phases[1][0] == Phase.DETACHED
    assert main(["grid", "build", "--out", str(out), "--mass-is", "primary", "--periods", "1"]) == 2
    assert main(["grid", "build", "--out", str(out), "--mass-is", "primary"]) == 2
    assert main(["grid", "build", "--out", str(out), "--masses", ""]) == 2
    assert "--masses" in capsys.readouterr().err
    assert main([*command, "--radius-scale", "-1"]) == 2
    assert "--radius-scale -1" in capsys.readouterr().err
