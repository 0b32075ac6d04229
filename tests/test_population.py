"""Populations of made-up grids against their closed forms."""

import astropy.units as u
import numpy as np
import pytest
from population_grids import make_grid, places_of
from pydantic import ValidationError

from cbminer.errors import InputFormatError
from cbminer.theory import expected_numbers as expected_numbers_module
from cbminer.theory.binning import time_in_bins
from cbminer.theory.birth import BirthLaws
from cbminer.theory.detection import contact_share_seen, fillout_of_radius
from cbminer.theory.expected_numbers import ModelErrors, expected_numbers
from cbminer.theory.phases import Phase
from cbminer.theory.population import births_a_mass, companions_a_primary, make_population
from cbminer.theory.population_settings import (
    CountSettings,
    InitialMassLaw,
    MassRatioLaw,
    PeriodLaw,
    PopulationSettings,
    StarFormationSettings,
)
from cbminer.theory.roche_lobe import orbital_period

MASSES, RATIOS, PERIODS = np.geomspace(5, 40, 6), np.linspace(0.5, 1, 5), np.geomspace(0.8, 3, 5)
PLACES = places_of(MASSES, RATIOS, PERIODS)


def settings(**more):
    """A population whose pairs are born at 0.01 a year and dex of each axis, every one seen."""
    given = {
        "star_formation": StarFormationSettings(rate_LMC=0.5, binary_fraction=0.6),
        "counts": CountSettings(draws=400),
    }
    return PopulationSettings(**{**given, **more})


def births_of(population):
    """Pairs born a year in the box of the grid, from its edges and the laws written out."""
    masses, ratios, periods = population.cells.all_edges
    salpeter_like = (masses[0] ** -1.3 - masses[-1] ** -1.3) / 1.3
    # Kroupa's law between 0.1 and 100: continuous at 0.5, where both parts are 1.
    low = 0.5**1.3 * (0.5**0.7 - 0.1**0.7) / 0.7
    high = 0.5**2.3 * (0.5**-0.3 - 100**-0.3) / 0.3
    primaries = 0.5**2.3 * salpeter_like / (low + high)
    return 0.5 * 0.6 * primaries * (ratios[-1] - ratios[0]) / 0.9 * (periods[-1] - periods[0]) / 3.35


def test_a_constant_time_in_contact_gives_the_product_of_births_and_time():
    population = make_population(make_grid(PLACES, contact=3e6, near=2e6), settings=settings())
    born = births_of(population)
    assert population.births.sum() == pytest.approx(born)
    assert population.number(Phase.CONTACT) == pytest.approx(born * 3e6)
    # The first half of the way into near contact is a step that starts detached.
    assert population.number(Phase.NEAR_CONTACT) == pytest.approx(born * 2e6)
    assert population.number(Phase.DETACHED) == pytest.approx(born * 5e5)
    smc = make_population(make_grid(PLACES), "SMC", settings=settings())
    assert smc.births.sum() == pytest.approx(born * 0.05 / 0.5)


def test_times_are_weighted_with_what_is_born():
    population = make_population(make_grid(PLACES, contact=lambda m, q, p: 1e6 * (m > 12)), settings=settings())
    edges = population.cells.all_edges[0]
    heavy = (edges[3] ** -1.3 - edges[-1] ** -1.3) / (edges[0] ** -1.3 - edges[-1] ** -1.3)
    assert population.number(Phase.CONTACT) == pytest.approx(births_of(population) * 1e6 * heavy)


def test_companions_that_have_mass_leave_less_for_primaries():
    light = make_population(make_grid(PLACES), settings=settings())
    formed = settings().star_formation.model_copy(update={"companions_have_mass": True})
    heavy = make_population(make_grid(PLACES), settings=settings(star_formation=formed))
    assert light.births.sum() / heavy.births.sum() == pytest.approx(1 + 0.6 * 0.55)


def test_only_stars_that_have_formed_are_there():
    # Contact lasts from 2.5 to 5.5 Myr.
    formed = settings().star_formation.model_copy(update={"duration": 4e6})
    grid = make_grid(PLACES, contact=3e6, near=2e6)
    young = make_population(grid, settings=settings(star_formation=formed))
    assert young.number(Phase.CONTACT) == pytest.approx(births_of(young) * 1.5e6)


def test_models_that_overflow_at_once_are_left_out_unless_asked_for():
    end = np.where(PLACES[:, 2] < 1, "Roche-lobe overflow at ZAMS", "L2 overflow")
    grid = make_grid(PLACES, end=end)
    population = make_population(grid, settings=settings())
    shares = population.shares_of_cells()
    assert shares["overflow at ZAMS"] == pytest.approx(1 / 5)
    assert shares["counted"] == pytest.approx(4 / 5)
    assert population.births.sum() == pytest.approx(0.8 * births_of(population))
    kept = make_population(grid, settings=settings(overflow_at_zams="keep"))
    assert kept.births.sum() == pytest.approx(births_of(kept))
    # A first step that overflows says the same as the reason of the end.
    at_once = make_population(make_grid(PLACES, first_over=0.01), settings=settings())
    assert at_once.number(Phase.CONTACT) == 0


def test_failed_runs_and_holes_are_told():
    holes = np.arange(len(PLACES)) % 10 == 7
    end = np.where(PLACES[~holes, 0] < 6, "failed", "L2 overflow")
    shares = make_population(make_grid(PLACES[~holes], end=end), settings=settings()).shares_of_cells()
    assert shares["no run"] > 0.03
    assert shares["counted"] + shares["no run"] == pytest.approx(1)
    assert 0.3 < shares["failed"] < 0.6


def test_the_mass_ratio_is_folded_at_one_without_a_bias():
    grid = make_grid(PLACES, ratio_in_contact=(0.8, 1.25))
    table = make_population(grid, settings=settings()).period_mass_ratio(Phase.CONTACT)
    assert table.content.sum() == pytest.approx(make_population(grid, settings=settings()).number(Phase.CONTACT))
    # Five pieces of equal time; beyond 1 they are even in the inverse of the mass ratio.
    steps = np.linspace(0.8, 1.25, 6)
    scale = np.where(steps <= 1, steps, 2 - 1 / steps)
    times = np.interp([0.95, 1.05], scale, np.linspace(0, 1, 6))
    found = table.summary(mass_ratios=(0.95,))["q >= 0.95"]
    assert found == pytest.approx(times[1] - times[0], abs=1e-9)


def test_twins_count_once():
    population = make_population(make_grid(places_of(MASSES, [0.9, 1.0], PERIODS)), settings=settings())
    table = population.period_mass_ratio(Phase.CONTACT)
    assert table.content.sum() == pytest.approx(population.number(Phase.CONTACT))
    part = population.period_mass_ratio(Phase.CONTACT, mass_ratio_edges=[0.2, 0.95])
    assert part.content.sum() == 0


def test_periods_are_those_of_what_is_born():
    laws = {"masses": InitialMassLaw.salpeter(), "mass_ratios": MassRatioLaw(slope=1.0), "periods": PeriodLaw()}
    population = make_population(make_grid(PLACES), settings=settings(**laws))
    edges = 10 ** population.cells.all_edges[2]
    table = population.period_mass_ratio(Phase.CONTACT, period_edges=edges)
    assert table.of_period / table.of_period.sum() == pytest.approx(np.full(5, 0.2))
    assert population.period_mass_ratio(Phase.CONTACT).content.sum() == pytest.approx(table.content.sum())


def test_what_is_seen_depends_on_the_depth_and_is_unknown_of_other_phases():
    population = make_population(make_grid(PLACES), settings=settings())
    share = population.number(Phase.CONTACT, detected=True) / population.number(Phase.CONTACT)
    # Of contact binaries at 0.1 mag: between fill-outs of 0 and 1.
    assert 0.75 < share < 0.87
    near = population.number(Phase.NEAR_CONTACT, detected=True) / population.number(Phase.NEAR_CONTACT)
    assert 0.6 < near < 0.75
    everything = make_population(make_grid(PLACES), settings=PopulationSettings.like_fabry())
    assert everything.number(Phase.CONTACT, detected=True) == everything.number(Phase.CONTACT)
    with pytest.raises(InputFormatError, match="contact and near contact only"):
        population.number(Phase.DETACHED, detected=True)


def fixed_settings(**more):
    """Nothing uncertain but what is given."""
    formed = {"e_log_rate": 0.0, "binary_fraction": 0.6, "least_binary_fraction": 0.6, "most_binary_fraction": 0.6}
    return settings(
        masses=InitialMassLaw(e_slope=0),
        mass_ratios=MassRatioLaw(e_slope=0),
        periods=PeriodLaw(e_slope=0, most_extended_to=-0.3),
        star_formation=StarFormationSettings(**{**formed, **more}),
    )


def row(table, phase, sample):
    return table[(table["phase"] == phase) & (table["sample"] == sample)][0]


def test_counts_scatter_by_poissons_law_and_numbers_not_at_all_if_nothing_is_uncertain():
    table = expected_numbers(make_population(make_grid(PLACES, contact=3e5), settings=fixed_settings()))
    assert list(table["sample"]) == ["all", "seen", "counted"] * 3
    contact = row(table, "contact", "all")
    assert [contact[f"number_{p}"] for p in (16, 50, 84)] == pytest.approx([contact["number"]] * 3)
    half = (contact["count_84"] - contact["count_16"]) / 2
    assert half == pytest.approx(contact["number"] ** 0.5, rel=0.15)
    together = row(table, "together", "all")
    assert together["number"] == pytest.approx(contact["number"] + row(table, "near_contact", "all")["number"])
    assert (together["count_84"] - together["count_16"]) / 2 == pytest.approx(together["number"] ** 0.5, rel=0.15)


def test_the_rate_and_the_models_errors_widen_the_numbers_by_what_they_say():
    grid = make_grid(PLACES)
    rate = expected_numbers(make_population(grid, settings=fixed_settings(e_log_rate=0.1)))
    contact = row(rate, "contact", "all")
    assert np.log10(contact["number_84"] / contact["number_16"]) / 2 == pytest.approx(0.1, rel=0.15)
    # Times 20 % uncertain, at a law flat in log P radii move nothing but what lies beyond its ends.
    stated = make_grid(PLACES, about={"model_errors": {"lifetime": 0.2, "radius": 0.05}})
    table = expected_numbers(make_population(stated, settings=fixed_settings()))
    contact = row(table, "contact", "all")
    assert np.log(contact["number_84"] / contact["number_16"]) / 2 == pytest.approx(0.2, rel=0.15)
    assert table.meta["model_errors"] == {"radius": 0.05, "lifetime": 0.2, "stated": True}
    # A law that rises with log P turns a radius error into one of the numbers.
    steep = fixed_settings().model_copy(
        update={
            "periods": PeriodLaw(
                least=0.01, slope=1.0, e_slope=0, extended_to=-0.2, least_extended_to=-0.2, most_extended_to=-0.2
            )
        }
    )
    radius = make_grid(PLACES, about={"model_errors": {"lifetime": 0.0, "radius": 0.05}})
    contact = row(expected_numbers(make_population(radius, settings=steep)), "contact", "all")
    assert contact["number_84"] / contact["number_16"] > 1.05


def test_limits_of_magnitude_and_period_count():
    population = make_population(make_grid(PLACES), settings=fixed_settings())
    table = expected_numbers(population)
    assert row(table, "contact", "counted")["number"] < row(table, "contact", "seen")["number"]
    wide = fixed_settings().model_copy(
        update={"counts": CountSettings(M_V_bright="-20 mag", M_V_faint="20 mag", period_max="2.5 d", draws=20)}
    )
    table = expected_numbers(make_population(make_grid(PLACES), settings=wide))
    seen, counted = (row(table, "contact", sample)["number"] for sample in ("seen", "counted"))
    assert counted / seen == pytest.approx(0.8, abs=0.02)


def test_the_same_seed_draws_the_same_table():
    population = make_population(make_grid(PLACES), settings=settings(counts=CountSettings(draws=30)))
    first, again, other = (expected_numbers(population, seed=seed) for seed in (4, 4, 5))
    assert (first["number_50"] == again["number_50"]).all()
    assert (first["number_50"] != other["number_50"]).all()


def test_errors_of_a_grid_that_cannot_be_read_are_told():
    assert ModelErrors.of({}) == ModelErrors(0.0, 0.0, stated=False)
    for about in ({"model_errors": {"radius": 0.1}}, {"model_errors": {"radius": "3 %", "lifetime": 1}}):
        with pytest.raises(InputFormatError, match='"radius" and "lifetime"'):
            ModelErrors.of(about)
    for radius, lifetime, name in ((np.nan, 0.1, "radius"), (0.1, 30, "lifetime"), (-0.1, 0, "radius")):
        with pytest.raises(InputFormatError, match=f'"{name}" in the entry .* a relative error from 0 to below 1'):
            ModelErrors.of({"model_errors": {"radius": radius, "lifetime": lifetime}})


def test_a_grid_without_a_metallicity_has_no_colours():
    with pytest.raises(InputFormatError, match="does not say its metallicity"):
        make_population(make_grid(PLACES, Z=np.nan))


def test_magnitudes_are_at_maximum_light_or_of_spheres():
    grid = make_grid(PLACES)
    bright, plain = (make_population(grid, settings=settings(maximum_light=at)).steps for at in (True, False))
    contact = plain.phase == Phase.CONTACT
    change = (bright.M_V - plain.M_V)[contact & np.isfinite(plain.M_V)]
    # The engine's change between inclinations of 60 and 70 degrees.
    assert (change > -0.085).all()
    assert (change < -0.055).all()


def test_pieces_are_split_exactly_where_they_cross_edges():
    edges = [np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 2.0])]
    one = time_in_bins(np.array([[0.5, 0.5]]), np.array([[1.5, 0.9]]), np.array([4.0]), edges=edges)
    assert one == pytest.approx(np.array([[2, 0], [2, 0]]))
    # Along the diagonal, backwards, through the corner and out of the bins.
    back = time_in_bins(np.array([[4.0, 4.0]]), np.array([[0.0, 0.0]]), np.array([4.0]), edges=edges)
    assert back == pytest.approx(np.array([[1, 0], [0, 1]]))
    still = time_in_bins(np.array([[2.0, 0.0]]), np.array([[2.0, 0.0]]), np.array([3.0]), edges=edges)
    assert still == pytest.approx(np.array([[0, 0], [3, 0]]))
    unknown = time_in_bins(np.array([[np.nan, 0.0], [0, 0]]), np.zeros((2, 2)), np.array([1.0, 0.0]), edges=edges)
    assert unknown.sum() == 0
    rng = np.random.default_rng(3)
    start, end, time = rng.random((500, 2)) * 3 - 0.5, rng.random((500, 2)) * 3 - 0.5, rng.random(500)
    shares = (np.arange(4000) + 0.5) / 4000
    fine = start[:, None] + shares[None, :, None] * (end - start)[:, None]
    expected, _, _ = np.histogram2d(
        fine[..., 0].ravel(), fine[..., 1].ravel(), bins=edges, weights=np.repeat(time, 4000)
    )
    assert time_in_bins(start, end, time, edges=edges) == pytest.approx(expected / 4000, abs=0.01)


def test_the_shortest_period_of_births_is_uncertain_and_what_rests_on_it_is_told():
    free = fixed_settings().model_copy(update={"periods": PeriodLaw(e_slope=0)})
    population = make_population(make_grid(PLACES), settings=free)
    table = expected_numbers(population)
    contact = row(table, "contact", "all")
    low, high = population.cells.all_edges[2][[0, -1]]
    # Of births even in log P over the grid, those below log P = 0.15.
    assert contact["extrapolated"] == pytest.approx((0.15 - low) / (high - low))
    assert "born at periods below 1.41 d" in table["extrapolated"].info.description
    # The shortest period is even between -0.3 and 0, so that the edge of the grid is the shortest in a part of draws.
    shortest = [-0.3 + 0.3 * share for share in (0.16, 0.5, 0.84)]
    expected = [contact["number"] * (high - max(low, edge)) / (high - low) for edge in shortest]
    found = [contact[f"number_{share}"] for share in (84, 50, 16)]
    assert found == pytest.approx(expected, rel=0.02)


def test_there_is_at_most_one_companion_a_primary():
    sana = settings(
        periods=PeriodLaw(slope=-0.77),
        star_formation=StarFormationSettings(binary_fraction=0.7, most_binary_fraction=0.7, rate_LMC=0.5),
    )
    laws = BirthLaws(sana.masses, sana.mass_ratios, sana.periods)
    assert 0.7 * laws.all_periods == pytest.approx(1.154, abs=2e-3)
    assert companions_a_primary(sana, laws) == 1
    assert births_a_mass(sana, laws) * laws.all_periods == pytest.approx(1)
    plain = settings()
    laws = BirthLaws(plain.masses, plain.mass_ratios, plain.periods)
    assert companions_a_primary(plain, laws) == pytest.approx(0.6 * (3.35 + 0.45) / 3.35)
    assert births_a_mass(plain, laws) == pytest.approx(0.6)


def test_a_radius_error_moves_periods_as_keplers_law_says():
    shift = expected_numbers_module._period_shift(0.01)
    assert 10**shift == pytest.approx(orbital_period(1.01, 1.0) / orbital_period(1.0, 1.0), rel=1e-4)
    population = make_population(make_grid(PLACES), settings=settings())
    later = make_grid(PLACES * [1, 1, 10**shift])
    laws = BirthLaws(InitialMassLaw(), MassRatioLaw(), PeriodLaw(least=0.01, slope=1.0, extended_to=-0.2))
    moved = population.cells.weights(laws, period_shift=shift)
    assert moved == pytest.approx(make_population(later).cells.weights(laws))
    assert moved.sum() > 1.005 * population.cells.weights(laws).sum()


def test_a_radius_error_widens_numbers_by_what_the_law_of_periods_makes_of_it():
    edge = {"extended_to": -0.2, "least_extended_to": -0.2, "most_extended_to": -0.2}
    steep = fixed_settings().model_copy(update={"periods": PeriodLaw(least=0.01, slope=1.0, e_slope=0, **edge)})
    steep = steep.model_copy(update={"counts": CountSettings(draws=2000)})
    about = {"model_errors": {"lifetime": 0.0, "radius": 0.05}}
    population = make_population(make_grid(PLACES, about=about), settings=steep)
    contact = row(expected_numbers(population), "contact", "all")
    sides = [population.cells.weights(population.laws, period_shift=sign * 1.5 * 0.05 / np.log(10)) for sign in (-1, 1)]
    expected = np.log(sides[1].sum() / sides[0].sum())
    assert np.log(contact["number_84"] / contact["number_16"]) == pytest.approx(expected, rel=0.08)


@pytest.mark.parametrize("ratio", [0.7, 1 / 0.7])
def test_how_far_contact_goes_is_told_by_the_less_massive_star(ratio):
    grid = make_grid(PLACES, ratio_in_contact=(ratio, ratio))
    # In contact star 1 is far larger than its lobe, star 2 barely.
    contact = np.asarray(grid.steps["overflow_1"]) > 0
    grid.steps["overflow_1"][contact], grid.steps["overflow_2"][contact] = 0.25, 0.01
    steps = make_population(grid, settings=settings()).steps
    lighter = 0.01 if ratio < 1 else 0.25
    expected = contact_share_seen(fillout_of_radius(1 + lighter, 0.7), 0.7, least_depth=0.1)
    chosen = steps.phase == Phase.CONTACT
    assert chosen.sum() > 100
    assert steps.seen[chosen] == pytest.approx(np.full(chosen.sum(), expected), abs=1e-6)


@pytest.mark.parametrize("star", ["overflow_1", "overflow_2"])
def test_either_star_that_overflows_at_once_leaves_a_run_out(star):
    grid = make_grid(PLACES)
    grid.steps[star][grid.offsets[:-1]] = 0.01
    assert make_population(grid, settings=settings()).number(Phase.CONTACT) == 0
    before = make_grid(PLACES)
    assert make_population(before, settings=settings()).number(Phase.CONTACT) > 0


def test_unknown_masses_and_endless_periods_are_no_phase_and_no_place():
    grid = make_grid(PLACES)
    half = grid.run_of_step() % 2 == 0
    grid.steps["M2"][half] = np.nan * u.solMass
    with_nan = make_population(grid, settings=settings())
    whole = make_population(make_grid(PLACES), settings=settings())
    assert 0 < with_nan.number(Phase.CONTACT, detected=True) < 0.7 * whole.number(Phase.CONTACT, detected=True)
    assert (with_nan.steps.phase[half] == -1).all()
    endless = make_grid(PLACES)
    endless.steps["period"][endless.run_of_step() % 2 == 0] = np.inf * u.d
    found = make_population(endless, settings=settings())
    table = found.period_mass_ratio(Phase.CONTACT)
    assert 0 < table.content.sum() < found.number(Phase.CONTACT)
    assert found.unknown_shares(Phase.CONTACT)["no known period"] > 0.3


def test_an_irregular_grid_tells_what_lies_outside_of_its_hull():
    places = PLACES[0] + np.random.default_rng(3).random((200, 3)) * (PLACES[-1] - PLACES[0])
    shares = make_population(make_grid(places), settings=settings()).shares_of_cells()
    assert 0.05 < shares["outside of the hull"] < 0.6
    assert shares["counted"] + shares["outside of the hull"] == pytest.approx(1)
    assert "no run" not in shares


def test_limits_must_rise_and_the_shortest_period_must_be_in_its_range():
    with pytest.raises(ValidationError, match="M_V_bright must be a smaller number"):
        CountSettings(M_V_bright="-1 mag", M_V_faint="-6 mag")
    for wrong in ({"extended_to": -0.4}, {"most_extended_to": 0.2}, {"least_extended_to": -0.2}):
        with pytest.raises(ValidationError, match="extended_to must lie between"):
            PeriodLaw(**wrong)
