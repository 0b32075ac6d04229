"""Upkeep of compiled kernels: those older than a source that they were made from go."""

import os

import pytest

from cbminer.kernels import discard_stale_kernels


@pytest.fixture
def folder(tmp_path):
    """Two modules and the kernels of three, the first module the newest source."""

    def make(sources, indices):
        for name, time in sources.items():
            (tmp_path / f"{name}.py").write_text("")
            os.utime(tmp_path / f"{name}.py", (time, time))
        cache = tmp_path / "__pycache__"
        cache.mkdir(exist_ok=True)
        for name, time in indices.items():
            (cache / name).write_text("")
            os.utime(cache / name, (time, time))
        return tmp_path

    return make


def left(folder):
    return {path.name for path in (folder / "__pycache__").iterdir()}


def test_kernels_older_than_the_newest_source_go_and_newer_ones_stay(folder):
    place = folder(
        {"lobe": 2000, "roche": 1000, "other": 9000},
        {
            # Newer than its own source, but older than that of the module that it calls.
            "roche.curve-10.py311.nbi": 1500,
            "roche.mesh-40.py311.nbi": 2500,
            "lobe.surface-10.py311.nbi": 1999,
            "lobe.volume-10.py311.nbi": 2000,
            "other.f-1.py311.nbi": 500,
            "roche.cpython-311.pyc": 100,
            "roche.curve-10.py311.1.nbc": 100,
        },
    )
    discard_stale_kernels(place, ("lobe", "roche"))
    assert left(place) == {
        "roche.mesh-40.py311.nbi",
        "lobe.volume-10.py311.nbi",
        "other.f-1.py311.nbi",
        "roche.cpython-311.pyc",
        "roche.curve-10.py311.1.nbc",
    }


def test_a_module_whose_name_begins_like_another_is_left_alone(folder):
    place = folder({"lobe": 2000}, {"lobe_filling.f-1.py311.nbi": 10, "lobe.f-1.py311.nbi": 10})
    discard_stale_kernels(place, ("lobe",))
    assert left(place) == {"lobe_filling.f-1.py311.nbi"}


def test_names_may_come_from_a_generator(folder):
    place = folder({"a": 1000, "b": 2000}, {"a.f-1.py311.nbi": 1500})
    discard_stale_kernels(place, (name for name in ("a", "b")))
    assert left(place) == set()


def test_missing_folders_and_sources_are_no_error(folder, tmp_path):
    discard_stale_kernels(tmp_path / "absent", ("roche",))
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "roche.py").write_text("")
    discard_stale_kernels(tmp_path / "bare", ("roche",))
    # Installed without sources, kernels stay.
    place = folder({}, {"roche.f-1.py311.nbi": 10})
    discard_stale_kernels(place, ("roche",))
    assert left(place) == {"roche.f-1.py311.nbi"}


def test_a_folder_that_may_not_be_written_is_no_error(folder, monkeypatch):
    place = folder({"roche": 2000}, {"roche.f-1.py311.nbi": 10})

    def refuse(*_args, **_kwargs):
        raise PermissionError

    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    discard_stale_kernels(place, ("roche",))
    assert left(place) == {"roche.f-1.py311.nbi"}


def test_packages_whose_kernels_call_each_other_name_modules_that_exist():
    """A module that is renamed must not leave the upkeep without effect: it then finds no source and does nothing."""
    import ast
    from pathlib import Path

    import cbminer

    root = Path(cbminer.__file__).parent
    named = 0
    for init in root.glob("*/__init__.py"):
        for node in ast.walk(ast.parse(init.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "discard_stale_kernels":
                modules = ast.literal_eval(node.args[1])
                named += 1
                assert [name for name in modules if not (init.parent / f"{name}.py").is_file()] == []
    assert named >= 2
