"""The density of a population: its integral, its sum over tracks, levels, distances and planes."""

from functools import cache

import astropy.units as u
import numpy as np
import pytest
from astropy.table import MaskedColumn
from astropy.utils.masked import Masked
from population_grids import make_grid, places_of
from scipy.stats import norm

from cbminer.errors import InputFormatError, SettingsError
from cbminer.theory.expected_numbers import expected_numbers
from cbminer.theory.phases import Phase
from cbminer.theory.population import make_population
from cbminer.theory.population_settings import CountSettings, DensitySettings, PopulationSettings

NAMES = ("log_P", "M_V", "VI0")
SMOOTHING = np.array([0.02, 0.1, 0.01])


@cache
def population():
    places = places_of(np.geomspace(5, 32, 9), np.linspace(0.6, 1, 5), np.geomspace(0.6, 3, 10))
    return make_population(make_grid(places, contact=lambda m, q, p: 2e7 / m, ratio_in_contact=(0.8, 1.15)))


@cache
def density():
    return population().density(Phase.CONTACT, counted=False)


@cache
def points():
    """Points along all tracks in contact, and their weights, for a sum without bins."""
    return points_of(population())


def points_of(models):
    pieces = models.steps.pieces(Phase.CONTACT)
    start, end = (np.column_stack([side[name] for name in NAMES]) for side in (pieces.start, pieces.end))
    shares = (np.arange(30) + 0.5) / 30
    places = start[:, None] + shares[None, :, None] * (end - start)[:, None]
    weight = models.births[pieces.run] * pieces.duration * pieces.seen
    return places.reshape(-1, 3), np.repeat(weight / weight.sum() / 30, 30)


def sum_over_tracks(star, e_m_v, e_vi0, cov):
    places, weight = points()
    matrix = np.diag(SMOOTHING**2) + np.array([[0, 0, 0], [0, e_m_v**2, cov], [0, cov, e_vi0**2]])
    away = places - star
    exponent = np.einsum("ni,ij,nj->n", away, np.linalg.inv(matrix), away)
    return (weight * np.exp(-exponent / 2)).sum() / np.sqrt((2 * np.pi) ** 3 * np.linalg.det(matrix))


@pytest.mark.parametrize("correlation", [0.0, 0.85, -0.5])
def test_the_density_is_the_sum_over_the_tracks_with_each_stars_errors(correlation):
    rng = np.random.default_rng(1)
    stars = density().draw(60, seed=1) + rng.normal(size=(60, 3)) * [0.02, 0.15, 0.05]
    e_m_v, e_vi0 = rng.uniform(0.0, 0.25, 60), rng.uniform(0.0, 0.1, 60)
    cov = correlation * e_m_v * e_vi0
    found = density().at(*stars.T, e_M_V=e_m_v, e_VI0=e_vi0, cov_M_V_VI0=cov)
    expected = np.array([sum_over_tracks(*item) for item in zip(stars, e_m_v, e_vi0, cov, strict=True)])
    assert np.abs(found - expected).max() < 0.01 * expected.max()
    high = expected > 0.1 * expected.max()
    assert found[high] == pytest.approx(expected[high], rel=0.04)


def test_the_density_integrates_to_one():
    axes = [np.linspace(low, high, n) for low, high, n in ((-0.35, 0.6, 60), (-8.5, 1.5, 90), (-0.6, 0.25, 60))]
    mesh = np.meshgrid(*axes, indexing="ij")
    values = density().at(*mesh, e_M_V=0.15, e_VI0=0.05, cov_M_V_VI0=0.006)
    assert values.shape == (60, 90, 60)
    assert values.sum() * np.prod([axis[1] - axis[0] for axis in axes]) == pytest.approx(1, abs=2e-3)
    assert density().content.sum() == pytest.approx(1)
    assert density().number == pytest.approx(population().number(Phase.CONTACT, detected=True))
    limited = population().density(Phase.CONTACT)
    m_v = (limited.edges[1][1:] + limited.edges[1][:-1]) / 2
    assert limited.content[:, (m_v < -6.7) | (m_v > -0.8)].sum() == 0
    assert 0.5 * density().number < limited.number < density().number
    assert density().unknown_share == pytest.approx(0, abs=1e-12)


def test_far_from_all_models_there_is_nothing_and_of_the_unknown_nothing_is_known():
    found = density().at([3.0, -0.1, -0.1, np.nan], [-3, 20, -3, -3], [-0.2, -0.2, 2.0, -0.2])
    assert found[:3] == pytest.approx([0, 0, 0])
    assert np.isnan(found[3])
    assert np.isnan(density().at(0, -3, -0.2, e_VI0=np.nan))
    assert density().at(0.0, -3.0, -0.25).shape == ()
    assert density().at([[0.0, 0.1]], -3.0, [[-0.25], [-0.3]]).shape == (2, 2)


def test_a_covariance_larger_than_its_errors_counts_as_full_correlation():
    full = density().at(0.0, -3.0, -0.25, e_M_V=0.1, e_VI0=0.05, cov_M_V_VI0=0.005)
    assert density().at(0.0, -3.0, -0.25, e_M_V=0.1, e_VI0=0.05, cov_M_V_VI0=0.02) == pytest.approx(full)


def test_members_of_the_population_have_even_credible_levels_whatever_their_errors():
    rng = np.random.default_rng(2)
    stars, n = density().draw(4000, seed=3), 4000
    e_m_v, e_vi0 = rng.uniform(0.08, 0.2, n), rng.uniform(0.045, 0.08, n)
    first, second = rng.normal(size=(2, n))
    stars[:, 1] += e_m_v * first
    stars[:, 2] += e_vi0 * (0.8 * first + 0.6 * second)
    level = density().credible_level(*stars.T, e_M_V=e_m_v, e_VI0=e_vi0, cov_M_V_VI0=0.8 * e_m_v * e_vi0)
    shares = [np.mean(level <= limit) for limit in (0.1, 0.5, 0.68, 0.9, 0.95)]
    # Of 4000 stars the shares scatter by up to 0.008.
    assert shares == pytest.approx([0.1, 0.5, 0.68, 0.9, 0.95], abs=0.025)
    found = density().credible_level([3.0, np.nan], -3, -0.2, e_M_V=0.1, e_VI0=0.05)
    assert found[0] == 1
    assert np.isnan(found[1])


def test_the_credible_level_of_an_error_does_not_jump_at_the_nodes_of_its_mesh():
    errors = np.geomspace(0.05, 0.3, 60)
    level = density().credible_level(0.05, -3.5, -0.2, e_M_V=errors, e_VI0=errors / 2, cov_M_V_VI0=0.1 * errors**2)
    assert np.abs(np.diff(level)).max() < 0.03


def test_distance_is_none_near_models_and_in_reaches_beyond():
    places, _ = points()
    assert (density().distance(*places.T) == 0).all()
    lowest = places[places[:, 0].argmin()]
    reach = density().settings.reach_log_P
    # A bin is a quarter of the smoothing wide, and half of it may be between a model and its middle.
    assert density().distance(lowest[0] - 3 * reach, lowest[1], lowest[2]) == pytest.approx(2, abs=0.3)
    assert np.isnan(density().distance(np.nan, -3, -0.2))
    assert density().distance([[0.0, 9.0]], -3, -0.25).shape == (1, 2)


def test_a_plane_is_the_density_summed_over_the_third_axis():
    plane = density().plane("log_P", "M_V", e_M_V=0.1)
    widths = np.diff(plane.x_edges)[0] * np.diff(plane.y_edges)[0]
    assert plane.density.sum() * widths == pytest.approx(1)
    x, y = ((edges[1:] + edges[:-1]) / 2 for edges in (plane.x_edges, plane.y_edges))
    peak = np.unravel_index(plane.density.argmax(), plane.density.shape)
    colours = np.linspace(-0.6, 0.2, 1500)
    along = density().at(x[peak[0]], y[peak[1]], colours, e_M_V=0.1)
    assert along.sum() * (colours[1] - colours[0]) == pytest.approx(plane.density.max(), rel=0.02)
    swapped = density().plane("M_V", "log_P", e_M_V=0.1)
    assert swapped.density == pytest.approx(plane.density.T)
    assert (swapped.x, swapped.y) == ("M_V", "log_P")


def test_a_phase_that_no_model_has_and_bins_without_end_are_refused():
    with pytest.raises(InputFormatError, match="no model of the grid is in this phase"):
        population().density(Phase.SEMI_DETACHED, detected=False)
    fine = PopulationSettings(density=DensitySettings(smoothing_log_P=1e-4, smoothing_VI0="0.0001 mag"))
    with pytest.raises(SettingsError, match="raise the smoothing under"):
        make_population(population().grid, settings=fine).density(Phase.CONTACT)


def test_models_too_hot_for_colours_are_left_out_and_told():
    # On its way to equal masses the heavier star of one pair cools to below 50 kK.
    places = places_of([10, 20, 40], [0.6, 1], [0.8, 1.6])
    hot = make_population(make_grid(places, ratio_in_contact=(0.6, 1.0)))
    found = hot.density(Phase.CONTACT, counted=False)
    pieces = hot.steps.pieces(Phase.CONTACT)
    weight = hot.births[pieces.run] * pieces.duration * pieces.seen
    too_hot = np.isnan(pieces.end["M_V"])
    assert 0 < too_hot.sum() < len(too_hot)
    begins_too_hot = np.isnan(pieces.start["M_V"]) & ~too_hot
    assert begins_too_hot.any()
    assert found.unknown_share == pytest.approx(weight[too_hot].sum() / weight.sum())
    assert found.content.sum() == pytest.approx(1)


def test_draws_follow_their_seed():
    assert (density().draw(5, seed=1) == density().draw(5, seed=1)).all()
    assert (density().draw(5, seed=1) != density().draw(5, seed=2)).any()


@cache
def beyond_the_limits():
    """Models on both sides of the limits of magnitude, and of that of the period, which lies between two of theirs."""
    places = places_of(np.geomspace(2.5, 40, 14), np.linspace(0.6, 1, 3), np.geomspace(0.6, 3, 10))
    settings = PopulationSettings(counts=CountSettings(period_max="2.74 d", M_V_bright="-5 mag"))
    return make_population(make_grid(places, contact=lambda m, q, p: 2e7 / m), settings=settings)


@cache
def limited():
    return beyond_the_limits().density(Phase.CONTACT)


@pytest.mark.parametrize("m_v", [-1.02, -1.15, -3.0, -4.97])
def test_at_the_limits_of_magnitude_the_sample_is_what_is_observed_within_them(m_v):
    e_m_v, e_vi0, cov = 0.15, 0.06, 0.0072
    places, weight = points_of(beyond_the_limits())
    short = (places[:, 0] < np.log10(2.74)) & np.isfinite(places).all(axis=1)
    # Brute force: all models of short periods, over the share of them that is observed within the limits.
    spread = np.hypot(e_m_v, SMOOTHING[1])
    within = norm.cdf((-1.0 - places[:, 1]) / spread) - norm.cdf((-5.0 - places[:, 1]) / spread)
    nearest = np.argmin(np.where(short, np.abs(places[:, 1] - m_v), np.inf))
    place = np.array([places[nearest, 0], m_v, places[nearest, 2]])
    matrix = np.diag(SMOOTHING**2) + np.array([[0, 0, 0], [0, e_m_v**2, cov], [0, cov, e_vi0**2]])
    away = places[short] - place
    exponent = np.einsum("ni,ij,nj->n", away, np.linalg.inv(matrix), away)
    expected = (weight[short] * np.exp(-exponent / 2)).sum() / np.sqrt((2 * np.pi) ** 3 * np.linalg.det(matrix))
    expected /= (weight * within)[short].sum()
    found = limited().at(*place, e_M_V=e_m_v, e_VI0=e_vi0, cov_M_V_VI0=cov)
    assert found == pytest.approx(expected, rel=0.012)
    # Models beyond the limits are a part of it.
    counted = short & (places[:, 1] <= -1.0) & (places[:, 1] >= -5.0)
    part = (weight[counted] * np.exp(-exponent[counted[short]] / 2)).sum()
    assert (part < 0.85 * (weight[short] * np.exp(-exponent / 2)).sum()) == (m_v != -3.0)


def observed_members(density, n, e_m_v, e_vi0, correlation):
    """Members of a population, observed with errors."""
    stars, (first, second) = density.draw(n, seed=5), np.random.default_rng(8).normal(size=(2, n))
    stars[:, 1] += e_m_v * first
    stars[:, 2] += e_vi0 * (correlation * first + np.sqrt(1 - correlation**2) * second)
    return stars


def test_of_what_is_observed_within_the_limits_levels_are_even_and_the_hull_holds_nearly_all():
    errors = {"e_M_V": 0.116, "e_VI0": 0.059, "cov_M_V_VI0": 0.857 * 0.116 * 0.059}
    stars = observed_members(beyond_the_limits().density(Phase.CONTACT, counted=False), 40000, 0.116, 0.059, 0.857)
    stars = stars[(stars[:, 0] < np.log10(2.74)) & (stars[:, 1] > -5.0) & (stars[:, 1] < -1.0)][:5000]
    assert len(stars) == 5000
    level = limited().credible_level(*stars.T, **errors)
    assert [np.mean(level <= share) for share in (0.1, 0.5, 0.9)] == pytest.approx([0.1, 0.5, 0.9], abs=0.025)
    inside = np.mean(limited().distance(*stars.T, **errors) == 0)
    assert inside > 0.95
    # Without the errors many of these are far away, and far from all models the errors do not hide it.
    assert np.mean(limited().distance(*stars.T) == 0) < inside - 0.1
    assert limited().distance(0.0, -3.0, 0.6, **errors) > 2


def test_distances_are_in_units_of_reach_and_twice_the_error_whatever_their_covariance():
    alone = make_population(make_grid(places_of([10, 11], [0.9, 1.0], [1.0, 1.01]))).density(Phase.CONTACT)
    models = alone._models
    rng = np.random.default_rng(4)
    stars = models.mean(axis=0) + rng.normal(size=(40, 3)) * [0.2, 1.0, 0.2]
    e_m_v, e_vi0 = rng.uniform(0, 0.3, 40), rng.uniform(0, 0.1, 40)
    cov = 0.8 * e_m_v * e_vi0
    found = alone.distance(*stars.T, e_M_V=e_m_v, e_VI0=e_vi0, cov_M_V_VI0=cov)
    for star, e_m, e_c, c, distance in zip(stars, e_m_v, e_vi0, cov, found, strict=True):
        matrix = np.diag([0.05**2, 0.2**2, 0.03**2]) + 4 * np.array([[0, 0, 0], [0, e_m**2, c], [0, c, e_c**2]])
        squares = np.einsum("ni,ij,nj->n", models - star, np.linalg.inv(matrix), models - star)
        assert distance == pytest.approx(max(np.sqrt(squares.min()) - 1, 0), abs=1e-6)
    assert (found > 0).sum() > 20


def test_what_is_masked_is_unknown_and_a_negative_error_is_refused():
    magnitude = MaskedColumn([-3.0, -3.0], mask=[False, True])
    for asked in (density().at, density().credible_level, density().distance):
        found = asked(0.0, magnitude, -0.25, e_M_V=0.1, e_VI0=0.05)
        assert np.isfinite(found).tolist() == [True, False]
        assert np.isnan(asked(0.0, -3.0, -0.25, e_M_V=Masked(0.1, mask=True)))
        with pytest.raises(InputFormatError, match=r"e_VI0 goes down to -0\.05"):
            asked(0.0, -3.0, -0.25, e_VI0=[0.1, -0.05])


def test_at_the_bare_smoothing_the_shares_between_bins_are_taken_off_the_kernel():
    stars = density().draw(400, seed=2)
    expected = np.array([sum_over_tracks(star, 0.0, 0.0, 0.0) for star in stars])
    found = density().at(*stars.T)
    # Without that the density is too broad by 2 to 4 % of the highest one where it is narrow.
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.01 * expected.max()
    assert found.mean() == pytest.approx(expected.mean(), rel=0.004)


def test_one_rule_says_what_counts_and_what_is_unknown_is_told_by_cause():
    grid = make_grid(places_of(np.geomspace(5, 40, 5), [0.6, 1.0], [0.8, 1.2, 1.6]), ratio_in_contact=(0.6, 1.0))
    grid.steps["period"][grid.run_of_step() == 7] = np.nan * u.d
    grid.steps["log_L2"][grid.run_of_step() == 8] = np.nan
    found = make_population(grid)
    table = expected_numbers(found)
    chosen = (table["phase"] == "contact") & (table["sample"] == "counted")
    assert found.density(Phase.CONTACT).number == pytest.approx(table["number"][chosen][0])
    shares = table.meta["unknown"]["contact"]
    assert set(shares) == set(found.unknown_shares(Phase.CONTACT))
    assert all(share > 0 for share in shares.values())
    unlimited = found.density(Phase.CONTACT, counted=False)
    assert sum(shares.values()) == pytest.approx(unlimited.unknown_share, abs=1e-5)
    seen = found.number(Phase.CONTACT, detected=True)
    assert unlimited.number == pytest.approx(seen * (1 - unlimited.unknown_share))
