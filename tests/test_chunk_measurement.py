"""Groups of stars measured chunk by chunk: every group whole and in its place, however they are divided."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbminer.chunk_measurement import divide, measure_groups, measure_stars
from cbminer.errors import InputFormatError
from cbminer.measurement import MeasuredStars, StarTask
from cbminer.settings import load_settings
from cbminer.survey.store import LightCurveStore
from cbminer.survey.store_writer import SourceFile, StoreWriter


def measured_of(tasks):
    names = np.array([float(task.star) for task in tasks])
    return MeasuredStars({"period": names}, {}, np.zeros(len(tasks), dtype=np.int64), [], {"stars": len(tasks)})


@dataclass
class Ahead:
    """An engine that asks for some chunks before it gives the first result."""

    window: int

    def __call__(self, chunks):
        waiting = []
        for chunk in chunks:
            waiting.append(measured_of(chunk))
            if len(waiting) >= self.window:
                yield waiting.pop(0)
        yield from waiting


@settings(deadline=None)
@given(sizes=st.lists(st.integers(0, 7), max_size=8), chunk=st.integers(1, 4), window=st.integers(1, 5))
def test_every_group_comes_whole_and_in_order(sizes, chunk, window):
    edges = np.concatenate([[0], np.cumsum(sizes)]).astype(int)
    groups = [[StarTask(str(star), 1.0, 0.0) for star in range(*pair)] for pair in itertools.pairwise(edges)]
    told = []
    found = list(measure_groups(iter(groups), chunk=chunk, measure=Ahead(window), advance=told.append))
    assert len(found) == len(groups)
    for group, measured in zip(groups, found, strict=True):
        assert measured.shapes["period"].tolist() == [float(task.star) for task in group]
        assert len(measured.flags) == len(group)
    assert sum(told) == edges[-1]


def test_groups_are_asked_for_only_as_they_are_needed():
    asked = []

    def groups():
        for number in range(5):
            asked.append(number)
            yield [StarTask(str(number), 1.0, 0.0)] * 2

    found = measure_groups(groups(), chunk=1, measure=Ahead(2))
    next(found)
    assert asked == [0, 1]
    asked.clear()
    empty = (group[:0] for group in groups())
    found = measure_groups(empty, chunk=1, measure=Ahead(2))
    next(found)
    assert asked == [0, 1]


def test_division():
    assert divide([], 3) == []
    assert [len(part) for part in divide([StarTask("a", 1.0, 0.0)] * 7, 3)] == [3, 3, 1]


def test_a_malformed_light_curve_ends_a_strict_run(tmp_path):
    with StoreWriter(tmp_path / "store") as writer:
        writer.add(SourceFile("OGLE-LMC-ECL-00001", "I", b"2455000.1 15.0 0.01\n2455001.1 fifteen 0.01\n"))
    store, settings = LightCurveStore(tmp_path / "store"), load_settings().measurement
    tasks = [StarTask("OGLE-LMC-ECL-00001", 1.0, np.nan)]
    assert len(measure_stars(store, tasks, settings=settings, chunk=5).set_aside) == 1
    for jobs in (1, 2):
        with pytest.raises(InputFormatError, match=r"OGLE-LMC-ECL-00001.dat, line 2"):
            measure_stars(store, tasks * 3, settings=settings, chunk=1, jobs=jobs, strict=True)
