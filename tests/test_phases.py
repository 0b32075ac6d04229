"""Phases of binary evolution: the published contact run, and runs that are made up."""

import numpy as np
import pytest

from cbminer.columns import values
from cbminer.theory.grid import RUN_COLUMNS, STEP_COLUMNS, EvolutionGrid, read_grid
from cbminer.theory.grid_import import import_runs
from cbminer.theory.phases import Phase, PhaseSettings, phase_table, step_durations, step_is_thermal, step_phases
from cbminer.theory.roche_lobe import l2_radius_ratio, orbital_period, roche_radius, separation


def grid_of(*runs):
    """Make a grid; every run is a dict of columns, those left out are plain."""
    plain = {"age": 0.0, "M1": 12.0, "M2": 10.0, "period": 1.0, "R1": 4.0, "R2": 3.5, "overflow_1": -0.5}
    plain |= {"overflow_2": -0.5, "log_L1": 4.0, "log_L2": 3.8, "log_Teff1": 4.4, "log_Teff2": 4.38}
    plain |= {"log_transfer_rate": np.nan}
    lengths = [max(np.size(column) for column in run.values()) for run in runs]
    steps = {
        name: np.concatenate(
            [np.broadcast_to(run.get(name, plain[name]), n) for run, n in zip(runs, lengths, strict=True)]
        )
        for name in STEP_COLUMNS
    }
    rows = {name: ["x" if column.kind == "text" else 1.0] * len(runs) for name, column in RUN_COLUMNS.items()}
    return EvolutionGrid.of(rows | {"n_steps": lengths}, steps)


@pytest.fixture(scope="module")
def published(shared_data, tmp_path_factory):
    """The runs of 24 + 16.8 solar masses with and without transfer of energy."""
    out = tmp_path_factory.mktemp("grid") / "grid"
    import_runs(shared_data / "mesa" / "fabry2024" / "cases", out, jobs=1)
    return read_grid(out)


def test_contact_of_the_published_run(published):
    """From 0.18 to 2.90 Myr, mean q 0.969, T2/T1 at least 0.99 for 97 %, then L2: each within 2 %."""
    assert list(published.runs["run"]) == ["24.0/1.15/0.7/ET", "24.0/1.15/0.7/no_ET"]
    table = phase_table(published)
    (contact,) = table[(table["run"] == 0) & (table["phase"] == "contact")]
    assert contact["begin"].to_value("Myr") == pytest.approx(0.18, rel=0.02)
    assert contact["end"].to_value("Myr") == pytest.approx(2.90, rel=0.02)
    assert contact["duration"].to_value("Myr") == pytest.approx(2.72, rel=0.02)
    assert contact["mass_ratio"] == pytest.approx(0.969, rel=0.02)
    assert contact["equal_teff"] == pytest.approx(0.97, rel=0.02)
    assert published.runs["end"][0] == "L2 overflow"
    # Contact lasts a nuclear timescale; its first part, when masses become equal, a thermal one.
    assert 0 < contact["thermal"] < 0.05


def test_begin_and_end_of_the_published_contact(published):
    steps = published.of_run(0)
    phase = step_phases(published)[: len(steps)]
    first, last = np.flatnonzero(phase == Phase.CONTACT)[[0, -1]]
    assert float(steps["period"][first].value) == pytest.approx(1.123, rel=0.02)
    assert float(steps["period"][last].value) == pytest.approx(1.001, rel=0.02)
    assert 1 + float(steps["overflow_1"][last]) == pytest.approx(1.318, rel=0.02)
    assert step_is_thermal(published)[first] == 1
    assert step_is_thermal(published)[last] == 0


def test_every_phase():
    over_1 = [-0.5, -0.05, 0.0, 0.02, 0.02, 0.1, 0.4, np.nan]
    over_2 = [-0.05, -0.1, -0.05, -0.2, 0.0, 0.1, 0.32, 0.1]
    grid = grid_of({"overflow_1": over_1, "overflow_2": over_2})
    expected = [
        Phase.DETACHED,
        Phase.NEAR_CONTACT,
        Phase.NEAR_CONTACT,
        Phase.SEMI_DETACHED,
        Phase.CONTACT,
        Phase.CONTACT,
        Phase.L2_OVERFLOW,
        -1,
    ]
    assert step_phases(grid).tolist() == expected
    # The limit of near contact is a setting.
    assert step_phases(grid, settings=PhaseSettings(near_contact=0.96)).tolist()[1:3] == [
        Phase.DETACHED,
        Phase.SEMI_DETACHED,
    ]


def test_a_donor_is_held_at_its_lobe_from_below(published):
    """Of the real run no step that transfers mass before contact has an overflow above 0."""
    steps = published.of_run(0)
    columns = {name: values(steps, name) for name in ("overflow_1", "overflow_2", "log_transfer_rate")}
    over, rate = np.fmax(columns["overflow_1"], columns["overflow_2"]), columns["log_transfer_rate"]
    transferring = (rate > -10) & (step_phases(published)[: len(steps)] != Phase.CONTACT)
    assert transferring.sum() > 30
    assert np.all((over[transferring] < 0) & (over[transferring] > -1e-3))
    assert step_phases(grid_of({"overflow_1": [-1e-5, -0.002], "overflow_2": -0.3})).tolist() == [
        Phase.SEMI_DETACHED,
        Phase.DETACHED,
    ]


def test_unknown_masses_have_no_phase():
    assert step_phases(grid_of({"overflow_1": [0.1], "overflow_2": 0.1, "M2": np.nan})).tolist() == [-1]


def test_one_unknown_step_leaves_the_mean_of_the_others():
    grid = grid_of({"age": [0.0, 1e6, 2e6], "log_Teff2": [4.3, 4.3, np.nan]})
    (row,) = phase_table(grid)
    assert row["teff_ratio"] == pytest.approx(10**-0.1)
    (row,) = phase_table(grid_of({"age": [0.0, 1e6], "log_Teff2": np.nan}))
    assert row["teff_ratio"] is np.ma.masked


def test_the_less_massive_star_decides_on_l2():
    """Whatever its number."""
    limit = l2_radius_ratio(0.8) - 1
    over = {"overflow_1": [limit + 0.01, 0.1], "overflow_2": [0.1, limit + 0.01]}
    assert step_phases(grid_of({"M1": 10.0, "M2": 8.0, **over})).tolist() == [Phase.CONTACT, Phase.L2_OVERFLOW]
    assert step_phases(grid_of({"M1": 8.0, "M2": 10.0, **over})).tolist() == [Phase.L2_OVERFLOW, Phase.CONTACT]


def test_durations_do_not_cross_runs():
    grid = grid_of({"age": [10.0, 30.0, 60.0]}, {"age": [5.0]}, {"age": [0.0, 7.0]})
    assert step_durations(grid).tolist() == [0, 20, 30, 0, 0, 7]


def test_a_phase_in_pieces():
    """Weights are times, and ratios the smaller over the larger."""
    over = [-0.3, 0.1, -0.3, 0.1, 0.1]
    run = {
        "age": [0.0, 1e6, 3e6, 6e6, 1e7],
        "overflow_1": over,
        "overflow_2": over,
        "M1": [10.0, 10.0, 10.0, 10.0, 8.0],
        "M2": [10.0, 8.0, 9.0, 9.0, 10.0],
    }
    table = phase_table(grid_of(run, {"age": [0.0]}))
    assert table["run"].tolist() == [0, 0, 1]
    assert list(table["phase"]) == ["detached", "contact", "detached"]
    np.testing.assert_allclose(table["duration"].to_value("Myr"), [2, 8, 0])
    np.testing.assert_allclose(table["begin"].to_value("Myr"), [0, 1, 0])
    np.testing.assert_allclose(table["end"].to_value("Myr"), [3, 10, 0])
    np.testing.assert_allclose(table["mass_ratio"], [0.9, (0.8 + 3 * 0.9 + 4 * 0.8) / 8, 10 / 12])
    np.testing.assert_allclose(table["teff_ratio"], 10**-0.02, rtol=1e-6)


def test_thermal_and_nuclear_transfer():
    """Of a star with a thermal time of 30,000 and a nuclear one of 10 million years."""
    rates = np.log10([12 / 3e4, 12 / 1e7, 12 / 1e9, np.nan])
    grid = grid_of({"overflow_1": 0.01, "log_transfer_rate": rates})
    np.testing.assert_array_equal(step_is_thermal(grid), [1, 0, 0, np.nan])
    assert step_is_thermal(grid_of({"age": [0.0]})).tolist() == [0]
    # No transfer is not an unknown one.
    assert step_is_thermal(grid_of({"overflow_1": 0.01, "log_L1": np.nan, "log_transfer_rate": [-99.0]})).tolist() == [
        0
    ]
    np.testing.assert_array_equal(
        step_is_thermal(grid_of({"log_L1": np.nan, "log_transfer_rate": rates[:1]})), [np.nan]
    )


@pytest.mark.parametrize(
    ("q", "ratio"),
    [
        (0.3, 1.254),
        (0.5, 1.283),
        (0.6, 1.293),
        (0.7, 1.302),
        (0.8, 1.309),
        (0.9, 1.315),
        (1.0, 1.320),
        (1 / 0.7, 1.302),
    ],
)
def test_l2_as_published(q, ratio):
    assert l2_radius_ratio(q) == pytest.approx(ratio, abs=6e-4)


def test_roche_geometry():
    # Eggleton's own value for equal masses.
    assert roche_radius(1.0) == pytest.approx(0.37892, abs=1e-5)
    assert separation(orbital_period(11.3, 27.0), 27.0) == pytest.approx(11.3)
    # The Earth and the Sun.
    assert orbital_period(215.032, 1.0) == pytest.approx(365.25, rel=2e-3)
