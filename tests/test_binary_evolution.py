"""Binary models: conservation, analytic cases, and single runs of MESA."""

import dataclasses

import numpy as np
import pytest
from astropy.io import ascii as ascii_tables
from pydantic import ValidationError

from cbminer.errors import SettingsError
from cbminer.synthetic.geometry import lobe_radius, potential_in_frame_2, potential_of_fillout, volume_radius
from cbminer.theory.binary_evolution import EvolutionSettings, GridAxes, evolve_grid, evolve_pairs
from cbminer.theory.grid import EndReason
from cbminer.theory.phases import Phase, step_durations, step_phases
from cbminer.theory.roche_lobe import l2_radius_ratio, orbital_period, roche_radius, separation
from cbminer.theory.tracks import SingleStarTracks, shipped_tracks

LMC, SUN = 0.0047, 0.0142
ORBIT_ONLY = EvolutionSettings(gyration=0.0)


@pytest.fixture(scope="module")
def tracks():
    return shipped_tracks(LMC)


@pytest.fixture(scope="module")
def solar():
    return shipped_tracks(SUN)


@pytest.fixture(scope="module")
def toy():
    """R = M^0.6 and L = M^3 at birth, radius growing by e over 10 Myr, whatever the mass."""
    log_mass = np.linspace(0.0, 2.0, 81)
    fraction = np.linspace(0.0, 1.0, 101)
    return SingleStarTracks(
        Z=0.02,
        log_mass=log_mass,
        log_radius=0.6 * log_mass[:, None] + fraction * np.log10(np.e),
        log_luminosity=np.repeat(3.0 * log_mass[:, None], 101, axis=1),
        log_lifetime=np.full(81, 7.0),
        about={"code": "a toy"},
    )


def ends(grid):
    return [EndReason(end) for end in grid.runs["end"]]


def contact(steps):
    return np.minimum(steps["overflow_1"], steps["overflow_2"]) >= 0


def ratio(steps):
    q = steps["M2"] / steps["M1"]
    return np.minimum(q, 1 / q)


def test_mass_and_orbital_angular_momentum_are_kept(tracks):
    grid = evolve_pairs(tracks, [[12, 8, 1.2]], settings=ORBIT_ONLY)
    steps = grid.arrays()
    assert np.ptp(ratio(steps)) > 0.2
    # Each is rounded to four digits.
    assert steps["M1"] + steps["M2"] == pytest.approx(20.0, abs=0.0101)
    # J ~ M1 M2 P^(1/3) at a fixed total mass.
    momentum = steps["M1"] * steps["M2"] * np.cbrt(steps["period"])
    assert momentum == pytest.approx(momentum[0], rel=1e-3)


def test_angular_momentum_with_spins_is_kept(tracks):
    gyration = EvolutionSettings().gyration
    steps = evolve_pairs(tracks, [[12, 8, 1.2]]).arrays()
    omega = 2 * np.pi / steps["period"]
    gravity = (2 * np.pi / float(orbital_period(1.0, 1.0))) ** 2
    orbit = steps["M1"] * steps["M2"] * np.cbrt(gravity**2 / 20.0 / omega)
    spins = sum(gyration * steps[f"M{k}"] * tracks.radius(steps[f"M{k}"], 0.0) * steps[f"R{k}"] * omega for k in (1, 2))
    assert orbit + spins == pytest.approx(orbit[0] + spins[0], rel=1e-3)
    assert spins.max() / orbit.min() > 0.04


def test_overflow_is_that_of_radius_mass_and_period(tracks):
    steps = evolve_pairs(tracks, [[12, 8, 1.2]]).arrays()
    axis = separation(steps["period"], steps["M1"] + steps["M2"])
    assert steps["overflow_1"] == pytest.approx(
        steps["R1"] / (axis * roche_radius(steps["M1"] / steps["M2"])) - 1, abs=1.5e-3
    )
    assert steps["overflow_2"] == pytest.approx(
        steps["R2"] / (axis * roche_radius(steps["M2"] / steps["M1"])) - 1, abs=1.5e-3
    )


def test_twins_touch_and_overflow_when_they_must(toy):
    # The orbit of twins does not change: R(t) = R(0) exp(t / 10 Myr) fills the lobe and passes L2 at known times.
    mass, wider = 10.0, 1.5
    born = mass**0.6
    period = float(orbital_period(wider * born / roche_radius(1.0), 2 * mass))
    settings = EvolutionSettings(gyration=0.0, time_step=0.0005, steps_of_a_run=200)
    grid = evolve_pairs(toy, [[mass, mass, period]], settings=settings)
    assert ends(grid) == [EndReason.L2_OVERFLOW]
    steps = grid.arrays()
    assert steps["age"][contact(steps)][0] == pytest.approx(1e7 * np.log(wider), rel=0.003)
    assert steps["age"][-1] == pytest.approx(1e7 * np.log(wider * l2_radius_ratio(1.0)), rel=0.003)
    assert np.all(steps["M1"] == mass)
    assert np.all(steps["M2"] == mass)
    assert steps["period"] == pytest.approx(period, rel=1e-3)
    assert np.all(steps["log_transfer_rate"] == -99)


def test_pair_whose_radii_hardly_depend_on_age_ends_equal(toy):
    # R ~ M^0.6 grows faster with mass than the Roche lobe (M^0.46): on one equipotential only q = 1 is left.
    slow = dataclasses.replace(toy, log_radius=0.95 * toy.log_radius[:, :1] + 0.05 * toy.log_radius)
    period = float(orbital_period(1.01 * 10**0.6 / roche_radius(10 / 7), 17))
    steps = evolve_pairs(slow, [[10, 7, period]], settings=ORBIT_ONLY).arrays()
    assert ratio(steps)[0] == pytest.approx(0.7)
    assert ratio(steps)[-1] > 0.97


def test_mass_passes_in_thermal_times(toy):
    # The time in which q rises is proportional to the response of radii.
    def time_to(limit, response):
        settings = EvolutionSettings(gyration=0.0, thermal_response=response, time_step=0.001)
        period = float(orbital_period(1.02 * 10**0.6 / roche_radius(10 / 7), 17))
        steps = evolve_pairs(toy, [[10, 7, period]], settings=settings).arrays()
        moving = steps["log_transfer_rate"] > -99
        rising = np.interp(limit, ratio(steps)[moving], steps["age"][moving])
        return rising - steps["age"][moving][ratio(steps)[moving] > 0.75][0]

    slow, fast = time_to(0.9, 0.08), time_to(0.9, 0.04)
    assert slow / fast == pytest.approx(2.0, rel=0.25)
    thermal = 3.14e7 * 10**2 / (10**0.6 * 10**3)
    assert 0.05 < slow / thermal < 5.0


def test_wide_pair_does_not_interact(tracks):
    grid = evolve_pairs(tracks, [[8, 5, 30.0]])
    assert ends(grid) == [EndReason.NO_INTERACTION]
    steps = grid.arrays()
    assert steps["age"][-1] == pytest.approx(tracks.lifetime(8.0), rel=1e-3)
    assert steps["R1"][-1] == pytest.approx(tracks.radius(8.0, 1.0), rel=2e-3)
    assert steps["R2"][-1] == pytest.approx(
        tracks.radius(5.0, float(tracks.lifetime(8.0) / tracks.lifetime(5.0))), rel=2e-3
    )
    # Their spins take angular momentum from the orbit as they expand.
    assert steps["period"][-1] < 30.0


def test_narrow_pairs_overflow_at_birth(tracks):
    grid = evolve_pairs(tracks, [[10, 10, 0.3], [10, 10, 0.6], [10, 6, 0.6]])
    assert ends(grid) == [
        EndReason.L2_OVERFLOW_AT_ZAMS,
        EndReason.ROCHE_OVERFLOW_AT_ZAMS,
        EndReason.ROCHE_OVERFLOW_AT_ZAMS,
    ]
    assert grid.runs["n_steps"].tolist() == [1, 1, 1]


def test_semi_detached_donor_stays_at_its_lobe(tracks):
    steps = evolve_pairs(tracks, [[10, 7, 1.5]]).arrays()
    passing = (steps["log_transfer_rate"] > -99) & (steps["overflow_2"] < 0)
    assert passing.sum() > 10
    assert np.all(steps["overflow_1"][passing] == 0)


def test_contact_is_on_one_equipotential_and_has_one_temperature(tracks):
    steps = evolve_pairs(tracks, [[12, 8, 0.75]]).arrays()
    both = contact(steps) & (steps["overflow_1"] > 0.05)
    expected = (steps["M2"][both] / steps["M1"][both]) ** -0.52
    assert steps["overflow_2"][both] / steps["overflow_1"][both] == pytest.approx(expected, rel=0.01)
    assert np.all(steps["log_Teff1"][both] == steps["log_Teff2"][both])
    total = 10.0 ** steps["log_L1"] + 10.0 ** steps["log_L2"]
    area = steps["R1"] ** 2 + steps["R2"] ** 2
    assert 5772 * (total[both] / area[both]) ** 0.25 == pytest.approx(10.0 ** steps["log_Teff1"][both], rel=2e-3)


def test_equipotential_rule_is_that_of_roche_volumes():
    # The rule on which contact rests, against volumes of the light-curve engine's equipotentials.
    q = np.repeat([0.5, 0.7, 0.9], 3)
    potential = potential_of_fillout(np.tile([0.2, 0.5, 0.8], 3), q)
    over_1 = volume_radius(potential, q) / lobe_radius(q) - 1
    over_2 = volume_radius(potential_in_frame_2(potential, q), 1 / q) / lobe_radius(1 / q) - 1
    assert over_2 / over_1 == pytest.approx(q**-0.52, rel=0.05)


def test_without_energy_transfer_each_star_keeps_its_light(tracks):
    shared = evolve_pairs(tracks, [[12, 8, 0.75]])
    apart = evolve_pairs(tracks, [[12, 8, 0.75]], settings=EvolutionSettings(energy_transfer=False))
    one, two = shared.arrays(), apart.arrays()
    assert np.all(one["M1"] == two["M1"])
    assert 10.0 ** one["log_L1"] + 10.0 ** one["log_L2"] == pytest.approx(
        10.0 ** two["log_L1"] + 10.0 ** two["log_L2"], rel=3e-3
    )
    assert np.any(np.abs(two["log_Teff1"] - two["log_Teff2"])[contact(two)] > 0.01)


def test_scales_of_radius_and_lifetime(tracks):
    settings = EvolutionSettings(radius_scale=0.97, lifetime_scale=0.93)
    plain, scaled = (evolve_pairs(tracks, [[8, 5, 30.0]], settings=chosen) for chosen in (None, settings))
    assert scaled.arrays()["R1"][0] == pytest.approx(0.97 * plain.arrays()["R1"][0], rel=1e-3)
    assert scaled.arrays()["age"][-1] == pytest.approx(0.93 * plain.arrays()["age"][-1], rel=1e-3)


def test_regained_mass_does_not_rejuvenate_for_ever(tracks):
    # Mass that swings back and forth must not keep a pair young: none outlives a star of its lighter initial mass.
    grid = evolve_pairs(tracks, [[m, q * m, p] for m in (6, 10) for q in (0.7, 0.9) for p in (0.8, 1.0, 1.3, 2.0)])
    assert np.all(np.asarray(grid.runs["note"].filled("")) == "")
    assert np.all(grid.runs["age_end"].value < tracks.lifetime(grid.runs["M2_initial"].value))


def test_smaller_steps_change_little(solar):
    fine = EvolutionSettings(time_step=0.00125, mass_step=0.0025, overflow_step=0.0025, steps_of_a_run=200)
    coarse, small = (evolve_pairs(solar, [[24, 16.8, 1.15], [10, 7, 1.2]], settings=s) for s in (None, fine))
    for k in range(2):
        one, two = coarse.of_run(k), small.of_run(k)
        assert one["age"][-1].value == pytest.approx(two["age"][-1].value, rel=0.01)
        assert one["period"][-1].value == pytest.approx(two["period"][-1].value, rel=0.01)
        assert one["M1"][-1].value == pytest.approx(two["M1"][-1].value, rel=0.02)


def test_masses_outside_of_the_tracks_are_refused(tracks):
    with pytest.raises(SettingsError, match="the tracks have masses of"):
        evolve_pairs(tracks, [[10, 1.2, 3.0]])


def test_star_that_leaves_the_tracks_fails_and_says_so(toy):
    # A donor of the least mass that the tracks have.
    narrow = dataclasses.replace(
        toy,
        log_mass=toy.log_mass[38:],
        log_radius=toy.log_radius[38:],
        log_luminosity=toy.log_luminosity[38:],
        log_lifetime=toy.log_lifetime[38:],
    )
    grid = evolve_pairs(narrow, [[12.0, 9.0, 2.0]], settings=ORBIT_ONLY)
    assert ends(grid) == [EndReason.FAILED]
    assert "left those of the single-star tracks" in grid.runs["note"][0]


def test_axes(tracks):
    axes = GridAxes(n_masses=2, n_mass_ratios=3, n_periods=2)
    grid = evolve_grid(tracks, axes)
    total = (grid.runs["M1_initial"] + grid.runs["M2_initial"]).value
    assert np.unique(np.round(total, 9)).tolist() == [6.0, 80.0]
    q = (grid.runs["M2_initial"] / grid.runs["M1_initial"]).value
    assert np.unique(np.round(q, 9)).tolist() == [0.5, 0.875, 1.0]
    assert np.unique(np.round(grid.runs["period_initial"].value, 9)).tolist() == [0.4, 8.0]
    assert len(grid) == 12
    assert grid.about["axes"]["n_masses"] == 2
    assert grid.about["uncertainty"]["lifetime"] == "7 %"


def mesa(shared_data, path):
    table = ascii_tables.read(shared_data / "mesa" / path, format="mesa")
    names = {
        "age": "age",
        "period": "period_days",
        "M1": "star_1_mass",
        "M2": "star_2_mass",
        "overflow_1": "rl_relative_overflow_1",
        "overflow_2": "rl_relative_overflow_2",
    }
    steps = {name: np.asarray(table[column], dtype=float) for name, column in names.items()}
    # Models settle for some thousand years from the star that they are made from.
    return {name: column[steps["age"] > 5e4] for name, column in steps.items()}


def at(steps, part):
    """Age, period, mass ratio and smaller overflow at a part of the contact phase."""
    both = contact(steps)
    age = steps["age"][both]
    when = age[0] + part * (age[-1] - age[0])
    return [
        float(np.interp(when, age, column[both]))
        for column in (
            steps["age"],
            steps["period"],
            ratio(steps),
            np.minimum(steps["overflow_1"], steps["overflow_2"]),
        )
    ]


@pytest.mark.parametrize("case", ["ET", "no_ET"])
def test_mesa_run_of_unequal_stars(shared_data, solar, case):
    # Fabry et al. (2025): 24 + 16.8 at 1.15 d, solar metallicity, rotation, winds, tidal deformation.
    theirs = mesa(shared_data, f"fabry2024/cases/24.0/1.15/0.7/{case}/LOGS1/history.data")
    grid = evolve_pairs(solar, [[24.0, 16.8, 1.15]])
    ours = grid.arrays()
    assert ends(grid) == [EndReason.L2_OVERFLOW]
    for steps in (theirs, ours):
        first = np.flatnonzero(contact(steps))[0]
        # Contact begins when little has passed: the gainer swells.
        assert ratio(steps)[first] < 0.76
        assert 1.08 < steps["period"][first] < 1.13
    (start, _, _, _), (end, last, _, full) = at(ours, 0.0), at(ours, 1.0)
    (their_start, _, _, _), (their_end, their_last, _, their_full) = at(theirs, 0.0), at(theirs, 1.0)
    # Theirs starts 0.1 Myr earlier, a thirtieth of the contact phase, and ends 0.5 Myr earlier.
    assert abs(start - their_start) < 0.12e6
    assert end - start == pytest.approx(their_end - their_start, rel=0.22)
    assert last == pytest.approx(their_last, rel=0.015)
    assert full == pytest.approx(their_full, abs=0.01)
    for part in (0.3, 0.5, 0.8):
        assert at(ours, part)[1] == pytest.approx(at(theirs, part)[1], rel=0.015)
        assert at(ours, part)[2] == pytest.approx(at(theirs, part)[2], abs=0.03)
        assert at(ours, part)[3] == pytest.approx(at(theirs, part)[3], abs=0.045)
    rates = np.nanmax(ours["log_transfer_rate"])
    assert rates == pytest.approx(np.log10(2.9e-4), abs=0.15)


def test_mesa_run_of_twins_lies_between_metallicities(shared_data, tracks, solar):
    # Fabry et al. (2022): 32 + 32 at 1.5 d, Z = 0.0071, tidal boundary conditions.
    theirs = mesa(shared_data, "fabry2022/models/overcontact/newBCtidal/binary_history.data")
    start, end = at(theirs, 0.0)[0], at(theirs, 1.0)[0]
    early, late = (evolve_pairs(given, [[32.0, 32.0, 1.5]]).arrays() for given in (solar, tracks))
    assert at(early, 0.0)[0] < start < at(late, 0.0)[0]
    assert at(early, 1.0)[0] < end < at(late, 1.0)[0]
    for ours in (early, late):
        assert ours["period"][-1] == pytest.approx(theirs["period"][-1], rel=0.04)
        assert 1 + ours["overflow_1"][-1] == pytest.approx(1.32, abs=0.01)


def test_thinning_changes_no_time_in_a_phase(tracks):
    """Of any pair of the shipped range, however few of its steps are kept."""
    initial = GridAxes().pairs()
    chosen = initial[np.random.default_rng(3).choice(len(initial), 60, replace=False)]
    thinned = evolve_pairs(tracks, chosen)
    whole = evolve_pairs(tracks, chosen, settings=EvolutionSettings(steps_of_a_run=100000))
    assert len(thinned.steps) < len(whole.steps) / 3
    times = []
    for grid in (thinned, whole):
        cell = grid.run_of_step() * len(Phase) + step_phases(grid)
        times.append(np.bincount(cell, step_durations(grid), len(grid) * len(Phase)))
    assert np.count_nonzero(times[1]) > 100
    # Ages are kept to seven digits, steps begin and end phases exactly.
    np.testing.assert_allclose(times[0], times[1], rtol=1e-3, atol=30)


def test_twins_in_contact_interact_though_no_mass_passes(tracks):
    grid = evolve_pairs(tracks, [[3.565, 3.565, 1.515]])
    assert ends(grid) == [EndReason.END_OF_MAIN_SEQUENCE]
    assert np.all(grid.arrays()["log_transfer_rate"] == -99)
    assert Phase.CONTACT in step_phases(grid)


@pytest.mark.parametrize(
    ("pair", "end"),
    [
        ((53.3, 26.7, 0.3), EndReason.L2_OVERFLOW_AT_ZAMS),
        ((40.0, 40.0, 0.2), EndReason.L2_OVERFLOW_AT_ZAMS),
        ((90.0, 27.0, 0.45), EndReason.L2_OVERFLOW_AT_ZAMS),
        # An orbit without enough angular momentum for its spins (Darwin 1879) once mass has passed.
        ((30.0, 2.0, 2.0), EndReason.UNSTABLE_ORBIT),
    ],
)
def test_pairs_that_cannot_last(tracks, pair, end):
    grid = evolve_pairs(tracks, [pair])
    assert ends(grid) == [end]
    steps = grid.arrays()
    assert np.isfinite(steps["period"]).all()
    assert steps["period"][0] == pytest.approx(pair[2])


@pytest.mark.parametrize(
    ("initial", "match"),
    [
        (np.empty((0, 3)), r"shape \(0, 3\)"),
        ([[10, 5]], r"shape \(1, 2\)"),
        ([10, 5, 1], r"shape \(3,\)"),
        ([[10, 5, 0]], "pair of 10 and 5 solar masses, 0 d: its period must be above 0"),
        ([[10, 5, 1], [10, 5, np.nan]], "nan d: its period"),
        ([[5, 10, 1]], "pair of 5 and 10 solar masses, 1 d: the heavier star comes first"),
        ([[10, 5, 1], [120, 5, 1]], "pair of 120 and 5 solar masses, 1 d: the tracks have masses of 1.4 to 100"),
        ([[10, np.nan, 1]], "the heavier star comes first"),
    ],
)
def test_impossible_pairs_are_named(tracks, initial, match):
    with pytest.raises(SettingsError, match=match):
        evolve_pairs(tracks, initial)


def test_masses_at_the_edges_of_the_tracks(tracks):
    assert EndReason.FAILED not in ends(evolve_pairs(tracks, [[1.4, 1.4, 3.0], [100.0, 100.0, 8.0]]))


@pytest.mark.parametrize("changed", [{"radius_scale": np.inf}, {"lifetime_scale": 3.0}, {"thermal_response": 0.0}])
def test_absurd_settings_are_refused(changed):
    with pytest.raises(ValidationError):
        EvolutionSettings(**changed)


def test_names_tell_runs_apart(tracks):
    grid = evolve_pairs(tracks, [[10.0, 9.0, 7.0], [10.0, 9.0, 7.00001]])
    assert list(grid.runs["run"]) == ["10+9, 7 d", "10+9, 7.00001 d"]
