"""Our light curves against the curves of PHOEBE that benchmarks/roche_vs_phoebe.py has saved."""

import dataclasses
import importlib.util
import sys

import numpy as np
import pytest
from conftest import ROOT

SCRIPT = ROOT / "benchmarks" / "roche_vs_phoebe.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        # Its dataclasses look their module up.
        patch.setitem(sys.modules, SCRIPT.stem, module)
        spec.loader.exec_module(module)
        yield module


@pytest.fixture(scope="module")
def saved(benchmark):
    return benchmark.read(benchmark.RESULTS / "roche_vs_phoebe.json")[0]


def stand_in(benchmark, kind="contact", n_systems=3):
    """A sample in which our own curves stand in for PHOEBE's."""
    sample = benchmark.Sample.draw(kind, n_systems, 600)
    for irradiation in (True, False):
        flux = sample.engine(irradiation=irradiation).light_curves(sample.systems, benchmark.PHASES)
        sample.curves[irradiation] = np.round(benchmark.over_highest(flux), 6)
        sample.seconds[irradiation] = np.ones(n_systems)
        sample.failures[irradiation] = {}
    return sample


def test_ours_agree_with_the_saved_curves_of_phoebe(benchmark, saved):
    assert [sample.kind for sample in saved] == ["contact", "near contact"]
    missed = [text for text, passed in benchmark.verdicts(saved) if not passed]
    assert not missed


def test_few_systems_are_missing_from_the_saved_curves(saved):
    for sample in saved:
        assert len(sample.systems) == 30
        assert sample.compared().n_compared >= 28


def test_without_irradiation_they_agree_as_well(benchmark, saved):
    for sample in saved:
        median, worst, _, depth = sample.compared(irradiation=False).numbers()
        assert median < benchmark.MEDIAN_RMS
        assert worst < benchmark.WORST_RMS
        assert depth <= benchmark.WORST_DEPTH


def test_the_saved_systems_fill_the_ranges(benchmark, saved):
    for sample in saved:
        assert sample.systems.is_contact.all() == (sample.kind == "contact")
        for name, (low, high, _) in benchmark.RANGES[sample.kind].items():
            given = sample.parameters["teff_2"] / sample.parameters["teff_1"] if name == "teff_ratio" else None
            column = sample.parameters[name] if given is None else given
            slack = 1e-4 * high
            assert low - slack <= column.min() < low + 0.1 * (high - low)
            assert high - 0.1 * (high - low) < column.max() <= high + slack


@pytest.mark.parametrize("change", [0.0, 0.02])
def test_the_comparison_sees_a_wrong_depth(benchmark, change):
    sample = stand_in(benchmark)
    sample.curves[True][1, 0, 0] *= 1.0 - change
    passed = [passed for _, passed in benchmark.verdicts([sample])]
    assert all(passed) == (change == 0.0)


def test_a_curve_that_phoebe_did_not_give_is_named_and_survives_saving(benchmark, tmp_path):
    sample = stand_in(benchmark)
    sample.curves[True][2], sample.seconds[True][2] = np.nan, np.nan
    sample.failures[True][2] = "TypeError: Projections are failing! (4 attempts)"
    path = tmp_path / "saved.json"
    path.write_text(benchmark.as_text([sample], benchmark.header()))
    (again,), _ = benchmark.read(path)
    assert again.compared().n_compared == 2
    assert again.compared(irradiation=False).n_compared == 3
    text = "\n".join(benchmark.agreement([again]))
    assert "PHOEBE gave 2 of 3 curves: contact\n" in text
    assert "failed, system 2: mass_ratio" in text
    assert "Projections are failing! (4 attempts)" in text
    for field in dataclasses.fields(sample.systems):
        np.testing.assert_array_equal(getattr(again.systems, field.name), getattr(sample.systems, field.name))
    for irradiation in (True, False):
        np.testing.assert_array_equal(again.curves[irradiation], sample.curves[irradiation])


def test_with_nothing_to_compare_the_targets_are_missed(benchmark):
    sample = stand_in(benchmark)
    sample.curves[True][:] = np.nan
    assert not any(passed for _, passed in benchmark.verdicts([sample]))
    assert "contact: nothing to compare" in list(benchmark.agreement([sample]))
