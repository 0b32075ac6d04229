"""Import of MESA runs into a grid: any layout, broken runs, going on after an interruption, changes."""

import json
import os
import shutil
import signal

import numpy as np
import pytest
from filelock import FileLock
from mesa_files import binary_columns, history_text, star_columns, write_good_run, write_run

from cbminer.errors import InputFormatError, OutputError
from cbminer.theory import grid_import
from cbminer.theory.grid import RUN_COLUMNS, STEP_COLUMNS, EvolutionGrid, read_grid, write_grid
from cbminer.theory.grid_import import import_runs
from cbminer.theory.mesa_folders import find_runs


@pytest.fixture
def runs(tmp_path):
    """Three good runs in three layouts."""
    root = tmp_path / "runs"
    for name in ("a", "deep/m12/q0.8", "z.run"):
        write_good_run(root / name)
    return root


def same(left, right):
    assert list(left.runs["run"]) == list(right.runs["run"])
    for name, column in left.arrays().items():
        np.testing.assert_array_equal(column, right.arrays()[name])


def test_runs_of_any_layout(runs, tmp_path):
    (runs / "deep" / "inlist_common").write_text("&controls\n/\n")
    (runs / "z.run" / "photos").mkdir()
    assert find_runs(runs) == ["a", "deep/m12/q0.8", "z.run"]
    assert find_runs(runs / "a") == ["."]
    report = import_runs(runs, tmp_path / "grid", jobs=1)
    assert (report.n_runs, report.n_read, report.n_steps, report.skipped) == (3, 3, 24, [])
    grid = read_grid(tmp_path / "grid")
    assert list(grid.runs["run"]) == ["a", "deep/m12/q0.8", "z.run"]
    assert grid.offsets.tolist() == [0, 8, 16, 24]
    assert grid.about["source"] == str(runs)
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "grid"}


def test_units_and_unknown_values(runs, tmp_path):
    write_run(runs / "half", binary=binary_columns(), stars={1: star_columns()})
    import_runs(runs, tmp_path / "grid", jobs=1)
    grid = read_grid(tmp_path / "grid")
    for table, columns in ((grid.runs, RUN_COLUMNS), (grid.steps, STEP_COLUMNS)):
        for name, column in columns.items():
            assert str(table[name].unit or "") == column.unit, name
            assert table[name].info.description == column.description
    assert grid.steps["log_L2"].mask.tolist() == [False] * 16 + [True] * 8 + [False] * 8
    # Ages are kept to the year.
    np.testing.assert_array_equal(grid.of_run(1)["age"].to_value("yr"), 1e5 * np.arange(8))


BROKEN = {
    "truncated": (history_text(binary_columns())[:-30], r"truncated/binary_history.data, line 14"),
    "header": ("\n".join(history_text(binary_columns()).splitlines()[:6]), "a header without models"),
    "nan": (history_text(binary_columns(star_1_mass=["12"] * 7 + ["NaN"])), "star_1_mass of model 8 is nan"),
    "backwards": (history_text(binary_columns(age=[0, 3, 2, 4, 5, 6, 7, 8.0])), "the age of model 3 is below"),
}


@pytest.mark.parametrize("jobs", [1, 2])
def test_broken_runs_are_named_and_skipped(runs, tmp_path, jobs, monkeypatch):
    monkeypatch.setattr(grid_import, "_CHUNK", 3)
    monkeypatch.setattr(grid_import, "_WORTH_PROCESSES", 0)
    for name, (text, _) in BROKEN.items():
        write_run(runs / name, binary=text)
    (runs / "empty").mkdir()
    (runs / "planned").mkdir()
    (runs / "planned" / "inlist").write_text("&binary_controls\n m1 = 12\n/\n")
    report = import_runs(runs, tmp_path / "grid", jobs=jobs)
    assert report.n_runs == 3
    reasons = {item.run: item.reason for item in report.skipped}
    assert list(reasons) == sorted([*BROKEN, "empty", "planned"])
    for name, (_, reason) in BROKEN.items():
        assert reason in reasons[name]
    for name in ("empty", "planned"):
        assert "has this run been started" in reasons[name]
    grid = read_grid(tmp_path / "grid")
    assert [item["run"] for item in grid.about["skipped"]] == list(reasons)


def test_strict_stops_and_the_next_import_goes_on(runs, tmp_path):
    write_run(runs / "broken", binary="")
    with pytest.raises(InputFormatError, match=r"^broken: broken/binary_history\.data: 0 lines"):
        import_runs(runs, tmp_path / "grid", jobs=1, strict=True)
    assert not (tmp_path / "grid").exists()
    shutil.rmtree(runs / "broken")
    # The three that were read are not read again.
    report = import_runs(runs, tmp_path / "grid", jobs=1, strict=True)
    assert (report.n_runs, report.n_read) == (3, 0)
    assert not (tmp_path / ".grid.importing").exists()


def test_repaired_and_grown_runs_of_a_part(runs, tmp_path, monkeypatch):
    """Runs whose part was written before, with some of them new: while a cluster still computes."""
    write_run(runs / "m", binary="")
    with pytest.raises(InputFormatError, match=r"^m: "):
        import_runs(runs, tmp_path / "grid", jobs=1, strict=True)
    write_good_run(runs / "m", n=6)
    report = import_runs(runs, tmp_path / "grid", jobs=1, strict=True)
    assert (report.n_runs, report.n_read) == (4, 1)
    # Interrupted before the parts are put together; then one grows.
    monkeypatch.setattr(grid_import, "_gather", None)
    shutil.rmtree(tmp_path / "grid")
    with pytest.raises(TypeError):
        import_runs(runs, tmp_path / "grid", jobs=1)
    monkeypatch.undo()
    for n in (9, 10):
        write_good_run(runs / "m", n=n)
        report = import_runs(runs, tmp_path / "grid", jobs=1)
        assert (report.n_runs, report.n_read, report.n_steps) == (4, 1, 24 + n)


def test_interrupted_import_goes_on(runs, tmp_path, monkeypatch):
    whole = tmp_path / "whole"
    import_runs(runs, whole, jobs=1)
    monkeypatch.setattr(grid_import, "_CHUNK", 1)
    right, calls = grid_import._read_chunk, []

    def interrupted(chunk):
        calls.append(chunk)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return right(chunk)

    monkeypatch.setattr(grid_import, "_read_chunk", interrupted)
    with pytest.raises(KeyboardInterrupt):
        import_runs(runs, tmp_path / "grid", jobs=1)
    assert not (tmp_path / "grid").exists()
    monkeypatch.setattr(grid_import, "_read_chunk", right)
    report = import_runs(runs, tmp_path / "grid", jobs=1)
    assert (report.n_runs, report.n_read) == (3, 1)
    same(read_grid(tmp_path / "grid"), read_grid(whole))


def test_what_is_new_or_changed_is_read_and_no_more(runs, tmp_path):
    import_runs(runs, tmp_path / "grid", jobs=1)
    write_good_run(runs / "new", n=5)
    write_run(runs / "a", binary=binary_columns(period_days=np.full(8, 1.25)), stars={1: star_columns()})
    shutil.rmtree(runs / "z.run")
    report = import_runs(runs, tmp_path / "grid", jobs=1)
    assert (report.n_runs, report.n_read, report.n_steps) == (3, 2, 21)
    grid = read_grid(tmp_path / "grid")
    assert list(grid.runs["run"]) == ["a", "deep/m12/q0.8", "new"]
    assert grid.runs["period_initial"].to_value("d").tolist() == [1.25, 1.0, 1.0]


def test_processes_give_the_same_grid(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(grid_import, "_CHUNK", 1)
    monkeypatch.setattr(grid_import, "_WORTH_PROCESSES", 0)
    handler = signal.getsignal(signal.SIGINT)
    import_runs(runs, tmp_path / "one", jobs=1)
    import_runs(runs, tmp_path / "two", jobs=2)
    same(read_grid(tmp_path / "one"), read_grid(tmp_path / "two"))
    assert signal.getsignal(signal.SIGINT) is handler


def test_metallicity_that_runs_do_not_say(runs, tmp_path):
    (runs / "a" / "inlist").write_text("&kap\n Zbase = 0.002\n/\n")
    import_runs(runs, tmp_path / "grid", jobs=1)
    assert read_grid(tmp_path / "grid").runs["Z"].mask.tolist() == [False, True, True]
    import_runs(runs, tmp_path / "grid", jobs=1, Z=0.0047)
    np.testing.assert_allclose(read_grid(tmp_path / "grid").runs["Z"], [0.002, 0.0047, 0.0047], rtol=1e-6)
    import_runs(runs, tmp_path / "grid", jobs=1, Z=0.0142)
    np.testing.assert_allclose(read_grid(tmp_path / "grid").runs["Z"], [0.002, 0.0142, 0.0142], rtol=1e-6)


def test_one_run_of_any_fault_leaves_the_others(runs, tmp_path, monkeypatch):
    right = grid_import.read_run

    def fails(folder):
        if folder.name == "a":
            raise ZeroDivisionError("division")
        return right(folder)

    monkeypatch.setattr(grid_import, "read_run", fails)
    report = import_runs(runs, tmp_path / "grid", jobs=1)
    assert report.n_runs == 2
    assert [item.reason for item in report.skipped] == ["a cannot be read (ZeroDivisionError: division)"]


def test_links_and_names_of_folders(tmp_path):
    root = tmp_path / "runs"
    for name in ("make_grid/m20", "src_m30", "profiles_on/m1", "plotting", "LOGS_m20", "png", "photos"):
        write_good_run(root / name)
    write_good_run(tmp_path / "elsewhere" / "m9")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "again").symlink_to(root)
    assert find_runs(root) == sorted(
        ["LOGS_m20", "linked/m9", "make_grid/m20", "photos", "plotting", "png", "profiles_on/m1", "src_m30"]
    )
    # A stray history above does not hide the runs below, but for those whose folders are called as a run's own are.
    (root / "binary_history.data").write_text(history_text(binary_columns()))
    assert find_runs(root) == [".", "linked/m9", "make_grid/m20", "plotting", "profiles_on/m1", "src_m30"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look into every folder")
def test_a_folder_that_may_not_be_read(runs, tmp_path):
    (runs / "deep").chmod(0)
    try:
        report = import_runs(runs, tmp_path / "grid", jobs=1)
    finally:
        (runs / "deep").chmod(0o755)
    assert [item.reason for item in report.skipped] == ["deep cannot be looked into (Permission denied)"]


def test_folders_that_cannot_be_looked_into_are_named(runs, tmp_path, monkeypatch):
    def walk(top, **how):
        how["onerror"](PermissionError(13, "Permission denied", str(top / "deep")))
        yield from ((str(top / name), [], ["binary_history.data"]) for name in ("a", "z.run"))

    monkeypatch.setattr("cbminer.theory.mesa_folders.os.walk", walk)
    report = import_runs(runs, tmp_path / "grid", jobs=1)
    assert report.n_runs == 2
    assert [item.reason for item in report.skipped] == ["deep cannot be looked into (Permission denied)"]


def test_two_imports_at_once(runs, tmp_path):
    state = tmp_path / ".grid.importing"
    state.mkdir()
    with FileLock(state / "lock"), pytest.raises(OutputError, match=r"another import into .*grid is at work"):
        import_runs(runs, tmp_path / "grid", jobs=1)
    assert import_runs(runs, tmp_path / "grid", jobs=1).n_runs == 3
    assert not state.exists()


def test_other_files_beside_a_grid_stay(runs, tmp_path):
    import_runs(runs, tmp_path / "grid", jobs=1)
    (tmp_path / "grid" / "run.png").write_bytes(b"figure")
    with pytest.raises(OutputError, match=r"grid holds run\.png beside the grid"):
        import_runs(runs, tmp_path / "grid", jobs=1)
    assert (tmp_path / "grid" / "run.png").read_bytes() == b"figure"


def test_the_old_grid_comes_back(runs, tmp_path, monkeypatch):
    """If the new one cannot be moved into its place."""
    import_runs(runs, tmp_path / "grid", jobs=1)
    before = {path.name: path.read_bytes() for path in (tmp_path / "grid").iterdir()}
    grid = read_grid(tmp_path / "grid")
    right = type(tmp_path).replace

    def replace(self, target):
        if self.name == "grid" and self.parent != tmp_path:
            raise OSError(5, "Input/output error")
        return right(self, target)

    monkeypatch.setattr(type(tmp_path), "replace", replace)
    with pytest.raises(OutputError, match="Input/output error"):
        write_grid(grid, tmp_path / "grid")
    assert {path.name: path.read_bytes() for path in (tmp_path / "grid").iterdir()} == before


def test_wrong_folders(runs, tmp_path):
    with pytest.raises(InputFormatError, match="is no folder"):
        find_runs(tmp_path / "nowhere")
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "menon.pdf").write_text("x")
    with pytest.raises(InputFormatError, match="holds no run of MESA"):
        find_runs(tmp_path / "papers")
    with pytest.raises(OutputError, match=r"papers exists and is no grid"):
        import_runs(runs, tmp_path / "papers", jobs=1)
    write_run(tmp_path / "bad" / "run", binary="")
    with pytest.raises(InputFormatError, match=r"none of the 1 runs of .*bad can be read; the first, run: run/binary"):
        import_runs(tmp_path / "bad", tmp_path / "grid", jobs=1)


def test_a_grid_is_replaced_whole(runs, tmp_path, monkeypatch):
    import_runs(runs, tmp_path / "grid", jobs=1)
    before = {path.name: path.read_bytes() for path in (tmp_path / "grid").iterdir()}

    def full(*_args, **_kwargs):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("cbminer.theory.grid.pq.ParquetWriter", full)
    write_good_run(runs / "new")
    with pytest.raises(OutputError, match=r"cannot be written \(No space left on device\)"):
        import_runs(runs, tmp_path / "grid", jobs=1)
    assert {path.name: path.read_bytes() for path in (tmp_path / "grid").iterdir()} == before


def test_damaged_grids(runs, tmp_path):
    import_runs(runs, tmp_path / "grid", jobs=1)
    steps = tmp_path / "grid" / "steps.parquet"
    whole = steps.read_bytes()
    for data in (b"", whole[: len(whole) // 2], whole[:4] + b"\x00" * 400 + whole[404:]):
        steps.write_bytes(data)
        with pytest.raises(InputFormatError, match=r"steps\.parquet cannot be read as a grid"):
            read_grid(tmp_path / "grid")
    steps.unlink()
    with pytest.raises(InputFormatError, match=r"is no grid: it lacks"):
        read_grid(tmp_path / "grid")


def test_a_grid_of_another_version(runs, tmp_path, monkeypatch):
    monkeypatch.setattr("cbminer.theory.grid._FORMAT", 99)
    import_runs(runs, tmp_path / "grid", jobs=1)
    monkeypatch.undo()
    with pytest.raises(InputFormatError, match="another version of cbminer"):
        read_grid(tmp_path / "grid")


def test_grids_from_arrays(tmp_path):
    runs = {name: ["x", "y"] if column.kind == "text" else [1.0, 2.0] for name, column in RUN_COLUMNS.items()}
    runs |= {"n_steps": [2, 1]}
    steps = {name: [1.0, np.nan, 3.0] for name in STEP_COLUMNS}
    grid = EvolutionGrid.of(runs, steps, about={"made": "here"})
    assert len(grid) == 2
    assert grid.run_of_step().tolist() == [0, 0, 1]
    write_grid(grid, tmp_path / "new" / "grid")
    again = read_grid(tmp_path / "new" / "grid")
    same(again, grid)
    assert json.dumps(again.about) == '{"made": "here"}'
    assert again.steps["M1"].mask.tolist() == [False, True, False]
    with pytest.raises(InputFormatError, match="have 4 steps, its table of steps has 3"):
        EvolutionGrid.of(runs | {"n_steps": [2, 2]}, steps)
    del steps["M2"]
    with pytest.raises(InputFormatError, match="the table of steps lacks M2"):
        EvolutionGrid.of(runs, steps)


def test_the_real_runs(shared_data, tmp_path, capsys):
    report = import_runs(shared_data / "mesa", tmp_path / "grid", jobs=1)
    assert (report.n_runs, report.n_steps) == (6, 4183)
    assert [item.run for item in report.skipped] == ["mesa_reader_tests/tests/data"]
    assert "the history of a single star" in report.skipped[0].reason
    capsys.readouterr()
