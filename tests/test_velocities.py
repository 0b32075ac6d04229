"""Expected velocities, against Kepler's laws, measured binaries, known masses and PHOEBE."""

import numpy as np
import pytest
from astropy import constants
from astropy import units as u
from scipy.integrate import solve_ivp

from cbminer.columns import label_column, values
from cbminer.followup.curves import StarCurves, largest_difference, velocity_curves
from cbminer.followup.draws import StarPlace, _depth_at, model_pool
from cbminer.followup.proximity import light_weighted_velocities
from cbminer.followup.settings import VelocitySettings
from cbminer.followup.velocities import CONFIGURATIONS, expect_velocities, relative_velocity, semi_amplitudes
from cbminer.ranking.fit_model import CONTACT, NEAR_CONTACT
from cbminer.ranking.fit_results import HypothesisFit, StarFit
from cbminer.resources import grid_path, known_massive_contact_binaries
from cbminer.synthetic.geometry import lobe_radius, potential_of_fillout
from cbminer.synthetic.roche import RocheEngine
from cbminer.synthetic.systems import BinarySystems
from cbminer.theory.grid import read_grid
from cbminer.theory.population import make_population
from cbminer.theory.population_settings import PopulationSettings
from cbminer.theory.population_stars import known_stars

PLACE = StarPlace(0.0, -3.3, -0.24, 0.12, 0.06, 0.0058, 0.4, 0.004)
SEED = np.random.SeedSequence(7)


@pytest.fixture(scope="module")
def pools():
    """Models of the LMC by configuration."""
    grid = read_grid(grid_path("roche-sse/lmc/runs.parquet").parent)
    population = make_population(grid, "LMC")
    return {name: model_pool(population, name) for name in CONFIGURATIONS}


def test_amplitudes_are_those_of_an_orbit_that_is_integrated():
    m_1, m_2, period = 20.0, 12.0, 0.9
    gm = constants.GM_sun.to_value(u.km**3 / u.s**2)
    seconds = period * 86400.0
    separation = np.cbrt(gm * (m_1 + m_2) * seconds**2 / (4.0 * np.pi**2))
    speed = np.sqrt(gm * (m_1 + m_2) / separation)

    def pull(_, state):
        place, velocity = state[:2], state[2:]
        return np.concatenate([velocity, -gm * (m_1 + m_2) * place / np.linalg.norm(place) ** 3])

    orbit = solve_ivp(pull, (0.0, seconds), [separation, 0.0, 0.0, speed], rtol=1e-10, dense_output=True)
    # After one period it is back: the period is that of the masses.
    assert orbit.y[0, -1] == pytest.approx(separation, rel=1e-6)
    along = orbit.sol(np.linspace(0.0, seconds, 721))[3] * np.sin(np.radians(70.0))
    found = semi_amplitudes(m_1 + m_2, period, mass_ratio=m_2 / m_1, inclination=70.0)
    assert found[0] == pytest.approx(m_2 / (m_1 + m_2) * np.ptp(along) / 2.0, rel=1e-5)
    assert found[1] == pytest.approx(m_1 / (m_1 + m_2) * np.ptp(along) / 2.0, rel=1e-5)


def test_the_mass_function_comes_out():
    # f(M) = (M2 sin i)^3 / (M1 + M2)^2 = 1.0361e-7 K1^3 P in solar masses, km/s and days.
    K = semi_amplitudes(45.0, 1.3, mass_ratio=0.5, inclination=60.0)
    assert 1.0361e-7 * K[0] ** 3 * 1.3 == pytest.approx((15.0 * np.sin(np.radians(60.0))) ** 3 / 45.0**2, rel=1e-3)


def test_measured_amplitudes_of_vfts_352_are_met():
    # Almeida et al. 2015, ApJ 812, 102: P = 1.1241452 d, M = 28.63 and 28.85, i = 55.6 deg, K = 324.9 and 315.6 km/s.
    K = semi_amplitudes(28.63 + 28.85, 1.1241452, mass_ratio=28.85 / 28.63, inclination=55.6)
    assert K.sum() == pytest.approx(324.9 + 315.6, rel=0.025)


def test_equal_masses_move_alike_and_pole_on_not_at_all():
    same = semi_amplitudes(30.0, 1.0, mass_ratio=1.0, inclination=80.0)
    assert same[0] == same[1]
    assert semi_amplitudes(30.0, 1.0, mass_ratio=0.4, inclination=0.0) == pytest.approx(0.0)
    assert relative_velocity(80.0, 1.0) / relative_velocity(10.0, 1.0) == pytest.approx(2.0)


def test_orbital_velocities_of_known_pairs_are_expected(pools):
    """Masses of models near known systems give their relative velocities, which go with the root of third order."""
    known = known_massive_contact_binaries()
    period = values(known, "period", "d")
    total = values(known, "M1", "solMass") + values(known, "M2", "solMass")
    places = known_stars(known, colours=PopulationSettings().colours)
    ratio, inside = [], []
    for row in np.flatnonzero((period < 3.0) & np.isfinite(places.M_V)):
        name = label_column(known, "configuration")[row]
        configuration = "contact" if name == "contact" else "near_contact"
        place = StarPlace(places.log_P[row], places.M_V[row], places.VI0[row], 0.1, 0.05, 0.0, np.nan, np.nan)
        found = expect_velocities(place, pools, seed=SEED, settings=VelocitySettings())[configuration]
        low, middle, high = relative_velocity(found.interval("total_mass"), period[row])
        true = relative_velocity(total[row], period[row])
        ratio.append(middle / true)
        inside.append(low <= true <= high)
    assert len(ratio) > 18
    assert abs(np.median(ratio) - 1.0) < 0.06
    assert np.sqrt(np.mean((np.array(ratio) - 1.0) ** 2)) < 0.09
    assert np.mean(inside) > 0.4


def test_deep_minima_are_seen_edge_on_and_shallow_ones_are_not(pools):
    for name in CONFIGURATIONS:
        found = []
        for depth in (0.08, 0.25, 0.6):
            place = StarPlace(0.0, -3.3, -0.24, 0.12, 0.06, 0.0058, depth, 0.004)
            found.append(expect_velocities(place, pools, seed=SEED, settings=VelocitySettings())[name])
        inclinations = [one.interval("inclination")[1] for one in found]
        assert inclinations[0] + 10 < inclinations[1] < inclinations[2] - 10
        assert found[0].interval("K2")[1] < found[2].interval("K2")[1]


def test_inclinations_of_depths_are_those_of_the_engine(pools):
    place = StarPlace(0.0, -3.3, -0.24, 0.12, 0.06, 0.0058, 0.3, 0.004)
    draws = pools["contact"].draw(place, rng=np.random.default_rng(1), settings=VelocitySettings(draws=400))
    some = slice(0, 60)
    systems = BinarySystems.contact(
        draws.mass_ratio[some],
        draws.inclination[some],
        fillout_factor=np.clip(draws.filling[some], 0.05, 0.95),
        teff_1=25000.0,
        teff_2=25000.0,
    )
    flux = RocheEngine(threads=1).light_curves(systems, [0.0, 0.25, 0.5])[:, 0]
    depth = -2.5 * np.log10(np.minimum(flux[:, 0], flux[:, 2]) / flux[:, 1])
    assert np.median(depth) == pytest.approx(0.3, abs=0.03)
    assert depth.std() < 0.06


def test_depths_fall_from_the_edge_to_the_pole():
    table = np.array([[0.88, 0.754, 0.648, 0.568, 0.447, 0.35, 0.27], [0.763, 0.591, 0.512, 0.45, 0.346, 0.255, 0.0]])
    for row in table:
        cosine = np.linspace(0.0, 1.0, 41)
        depth = _depth_at(np.tile(row, (41, 1)), cosine)
        assert (np.diff(depth) <= 0).all()
        assert depth[-1] == pytest.approx(0.0, abs=1e-12)
        assert _depth_at(row[None], np.array([row[1]]))[0] == pytest.approx(0.1)
    # A model that is nowhere as deep as 0.5 mag ends there.
    assert _depth_at(table[1:], np.array([0.0]))[0] == pytest.approx(0.5)


def test_isotropic_orbits_without_a_depth(pools):
    place = StarPlace(0.0, -3.3, -0.24, 0.12, 0.06, 0.0058, np.nan, np.nan)
    found = expect_velocities(place, pools, seed=SEED, settings=VelocitySettings())["contact"]
    assert np.cos(np.radians(found.draws.inclination)).mean() == pytest.approx(0.5, abs=0.01)


def test_a_star_far_from_all_models_has_no_velocities(pools):
    for place in (
        StarPlace(1.5, 2.0, 0.9, 0.1, 0.05, 0.0, 0.3, 0.01),
        StarPlace(0.0, np.nan, np.nan, np.nan, np.nan, 0.0, 0.3, 0.01),
    ):
        assert expect_velocities(place, pools, seed=SEED, settings=VelocitySettings()) == {}


def test_the_same_seed_gives_the_same_draws(pools):
    first, again = (
        expect_velocities(PLACE, pools, seed=np.random.SeedSequence(3), settings=VelocitySettings()) for _ in range(2)
    )
    other = expect_velocities(PLACE, pools, seed=np.random.SeedSequence(4), settings=VelocitySettings())
    assert (first["contact"].K == again["contact"].K).all()
    assert (first["contact"].K != other["contact"].K).any()


def fit_of(hypothesis, samples, swapped=0.5):
    unused = {"e_ln_Z": 0.1, "chi2": 1.0, "dof": 1, "bic": 1.0, "swapped": swapped, "best_swapped": False}
    return HypothesisFit(
        hypothesis.name,
        samples,
        -1.0,
        best=samples[0],
        best_flux=np.zeros((2, 3)),
        table_error=0.0,
        n_calls=1,
        **unused,
    )


def test_fits_go_before_models(pools):
    rng = np.random.default_rng(2)
    q, i = rng.normal(0.6, 0.01, 500), rng.normal(75.0, 0.5, 500)
    ones = np.ones(500)
    contact = fit_of(CONTACT, np.column_stack([q, i, 0.3 * ones, ones, 0 * ones, ones]))
    near = fit_of(NEAR_CONTACT, np.column_stack([q, i, 0.9 * ones, 0.96 * ones, 0.8 * ones, 0 * ones, ones]))
    star = StarFit("a star", None, 25000.0, contact, near, 1.0)
    found = expect_velocities(PLACE, pools, seed=SEED, settings=VelocitySettings(), fit=star)
    for name in CONFIGURATIONS:
        draws = found[name].draws
        assert draws.mass_ratio.mean() == pytest.approx(0.6, abs=0.005)
        assert draws.inclination.mean() == pytest.approx(75.0, abs=0.1)
        assert found[name].K[0] / found[name].K[1] == pytest.approx(draws.mass_ratio)
        assert "fit" in found[name].mass_source
    assert found["near_contact"].draws.filling[0] == pytest.approx(0.93)


def test_small_stars_move_as_point_masses():
    phases = np.linspace(0.06, 0.94, 45)
    systems = BinarySystems.detached(
        [0.6], [85.0], lobe_filling_1=0.08, lobe_filling_2=0.08, teff_1=25000.0, teff_2=20000.0
    )
    found = light_weighted_velocities(systems, phases)
    assert np.abs(found.weighted - found.point).max() < 2e-4
    # Star 2 is in front at phase 0, and recedes after that; star 1 approaches.
    assert found.point[0, 1, 0] > 0 > found.point[0, 0, 0]
    assert np.ptp(found.point[0, 0]) / np.ptp(found.point[0, 1]) == pytest.approx(0.6, rel=1e-6)


def test_a_star_that_is_being_eclipsed_seems_to_turn_away():
    """The effect of Rossiter: the side that moves away is left to be seen when a prograde eclipse begins."""
    systems = BinarySystems.contact([0.8], [80.0], fillout_factor=0.2, teff_1=25000.0, teff_2=25000.0)
    found = light_weighted_velocities(systems, [-0.06, 0.06])
    off = (found.weighted - found.point)[0, 0]
    assert off[0] > 0.05
    assert off[1] == pytest.approx(-off[0])


@pytest.mark.parametrize("contact", [False, True])
def test_light_weighted_velocities_agree_with_phoebe(contact):
    pytest.importorskip("phoebe")
    phases = np.linspace(0.04, 0.46, 4)
    size = 0.3 if contact else 0.95
    theirs = _phoebe_velocities(phases, contact=contact, size=size)
    if contact:
        systems = BinarySystems.contact([0.7], [80.0], fillout_factor=size, teff_1=25000.0, teff_2=25000.0)
    else:
        systems = BinarySystems.detached(
            [0.7], [80.0], lobe_filling_1=size, lobe_filling_2=size, teff_1=25000.0, teff_2=22000.0
        )
    ours = light_weighted_velocities(systems, phases)
    assert np.abs(ours.weighted[0] - theirs).max() < 0.003
    assert np.abs(ours.point[0] - theirs).max() > 0.05


def _phoebe_velocities(phases, *, contact, size, axis=8.0, period=0.7, q=0.7):
    from cbminer.synthetic.phoebe_passbands import ATMOSPHERES, install_passband, load_phoebe, quietly

    phoebe, band = load_phoebe(), install_passband("V", atmosphere="blackbody")
    with quietly():
        b = phoebe.default_binary(contact_binary=contact)
        b.add_dataset("rv", dataset="rv01", passband=band, compute_phases=list(phases), intens_weighting="energy")
        for name, value in (("rv_method", "flux-weighted"), ("ld_mode", "manual"), ("ld_func", "linear")):
            b.set_value_all(qualifier=name, dataset="rv01", value=value)
        b.set_value_all(qualifier="ld_coeffs", dataset="rv01", value=[0.3])
        for name, value in (("ld_mode_bol", "manual"), ("ld_func_bol", "linear"), ("ld_coeffs_bol", [0.3])):
            b.set_value_all(qualifier=name, value=value)
        b.set_value_all(qualifier="atm", value=ATMOSPHERES["blackbody"])
        b.set_value_all(qualifier="irrad_method", value="horvat")
        known = [("sma", "binary", axis), ("period", "binary", period), ("q", "binary", q), ("incl", "binary", 80.0)]
        for star, teff in (("primary", 25000.0), ("secondary", 25000.0 if contact else 22000.0)):
            known += [("teff", star, teff), ("gravb_bol", star, 1.0), ("irrad_frac_refl_bol", star, 1.0)]
        if contact:
            b.flip_constraint("pot", solve_for="requiv@primary")
            known.append(("pot", "contact_envelope", float(potential_of_fillout(size, q))))
        else:
            known += [
                ("requiv", star, float(size * lobe_radius(ratio) * axis))
                for star, ratio in (("primary", q), ("secondary", 1.0 / q))
            ]
        for name, component, value in known:
            parameter = b.get_parameter(qualifier=name, component=component, context="component")
            parameter.set_value(value, run_constraints=False)
        b.run_delayed_constraints()
        b.set_value_all(qualifier="ntriangles", value=1200)
        b.run_compute(progressbar=False)
        rows = [
            b.get_value(qualifier="rvs", dataset="rv01", component=star, context="model", unit="km/s")
            for star in ("primary", "secondary")
        ]
    return np.array(rows) / (2.0 * np.pi * axis * constants.R_sun.to_value(u.km) / (period * 86400.0))


def test_point_masses_differ_most_at_quadrature_and_curves_where_it_is_said(pools):
    found = expect_velocities(PLACE, pools, seed=SEED, settings=VelocitySettings())
    curves = velocity_curves(found, period=1.0)
    off = np.abs(curves["contact"].point - curves["near_contact"].point).max(axis=0)
    assert curves["contact"].phase[off.argmax()] == pytest.approx(0.25)
    difference = largest_difference(curves)
    assert 0.0 < difference.phase < 0.5
    place = int(np.argmin(np.abs(curves["contact"].phase - difference.phase)))
    weighted = np.abs(curves["contact"].weighted - curves["near_contact"].weighted)[:, place].max()
    assert difference.velocity == pytest.approx(weighted)
    assert largest_difference({"contact": curves["contact"]}) is None


def expected_by_fits(pools, contact, near):
    """What is expected with fits that put the less massive star behind with these probabilities."""
    ones = np.ones(50)
    fits = [
        fit_of(CONTACT, np.column_stack([0.6 * ones, 75.0 * ones, 0.3 * ones, ones, 0 * ones, ones]), contact),
        fit_of(
            NEAR_CONTACT,
            np.column_stack([0.6 * ones, 75.0 * ones, 0.95 * ones, 0.95 * ones, 0.8 * ones, 0 * ones, ones]),
            near,
        ),
    ]
    star = StarFit("a star", None, 25000.0, *fits, 1.0)
    return expect_velocities(PLACE, pools, seed=np.random.SeedSequence(7), settings=VelocitySettings(), fit=star)


def test_curves_are_turned_where_the_fit_puts_the_less_massive_star_behind(pools):
    found = expected_by_fits(pools, 0.9, 0.2)
    assert (found["contact"].p_less_massive_behind, found["near_contact"].p_less_massive_behind) == (0.9, 0.2)
    straight = velocity_curves(expected_by_fits(pools, 0.1, 0.2), period=1.0)
    curves = velocity_curves(found, period=1.0)
    assert curves["contact"].turned
    assert not curves["near_contact"].turned
    # After phase 0 the star that was behind approaches: the less massive one where the fit says so.
    quarter = len(curves["contact"].phase) // 2
    assert curves["contact"].point[1, quarter] < 0 < curves["contact"].point[0, quarter]
    assert curves["near_contact"].point[0, quarter] < 0 < curves["near_contact"].point[1, quarter]
    # Turned by half an orbit: the velocity at a phase is that of the phase half an orbit later, minus that of its mirror.
    assert curves["contact"].weighted == pytest.approx(-straight["contact"].weighted[:, ::-1])
    assert curves["contact"].light == pytest.approx(straight["contact"].light[:, ::-1])
    # What differs between configurations is sought with the same star behind.
    assert largest_difference(curves).velocity == pytest.approx(largest_difference(straight).velocity)
    assert largest_difference(curves).phase == pytest.approx(0.5 - largest_difference(straight).phase)


def test_turned_curves_are_those_of_half_an_orbit_later(pools):
    phases = np.linspace(0.0, 0.5, 11)
    systems = BinarySystems.contact([0.6], [75.0], fillout_factor=0.3, teff_1=25000.0, teff_2=22000.0)
    now, later = (light_weighted_velocities(systems, phases + turn) for turn in (0.0, 0.5))
    turned = StarCurves(phases, now.point[0], now.weighted[0], now.light[0]).turn()
    assert turned.point == pytest.approx(later.point[0], abs=1e-12)
    # Patches of the surface lie symmetrically about the orbit's plane and the axis, up to rounding.
    assert turned.weighted == pytest.approx(later.weighted[0], abs=2e-3)


def test_without_a_fit_the_more_massive_star_is_behind(pools):
    found = expect_velocities(PLACE, pools, seed=SEED, settings=VelocitySettings())
    assert all(np.isnan(found[name].p_less_massive_behind) and not found[name].turned for name in CONFIGURATIONS)
