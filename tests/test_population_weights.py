"""What is born, and which part of it each run of a grid stands for."""

import numpy as np
import pytest
from population_grids import make_grid, places_of
from scipy.integrate import dblquad, quad
from scipy.stats import qmc

from cbminer.errors import InputFormatError
from cbminer.theory import weights
from cbminer.theory.birth import BirthLaws
from cbminer.theory.population_settings import InitialMassLaw, MassRatioLaw, PeriodLaw, PopulationSettings
from cbminer.theory.weights import IrregularCells, RegularCells, initial_cells

LAWS = BirthLaws(InitialMassLaw(), MassRatioLaw(slope=0.4), PeriodLaw(slope=-0.55))
MASSES, RATIOS, PERIODS = np.geomspace(5, 40, 7), np.linspace(0.5, 1, 6), np.geomspace(0.6, 6, 8)


def born(laws, masses, ratios, log_periods):
    """Pairs per solar mass formed within a box, by quadrature."""
    parts = [
        quad(function, *ends, points=points)[0]
        for function, ends, points in (
            (laws.primary_density, masses, None),
            (laws.mass_ratio_density, ratios, None),
            (laws.period_density, log_periods, [laws.periods.least]),
        )
    ]
    return np.prod(parts)


def test_the_laws_are_normalised_and_integrate_to_their_densities():
    assert quad(lambda m: m * LAWS.primary_density(m), 0.1, 100, points=[0.5, 2], limit=200)[0] == pytest.approx(1)
    assert LAWS.primaries(3, 200) == pytest.approx(quad(LAWS.primary_density, 3, 100)[0])
    assert LAWS.primaries(0.01, 0.7) == pytest.approx(quad(LAWS.primary_density, 0.1, 0.7, points=[0.5])[0])
    assert LAWS.mass_ratio_share(0, 1) == pytest.approx(1)
    assert LAWS.mass_ratio_share(0.6, 2) == pytest.approx(quad(LAWS.mass_ratio_density, 0.6, 1)[0])
    assert LAWS.mean_mass_ratio == pytest.approx(quad(lambda q: q * LAWS.mass_ratio_density(q), 0.1, 1)[0])
    assert LAWS.period_share(0.15, 3.5) == pytest.approx(1)
    below = LAWS.period_share(-2, 0.15)
    assert below == pytest.approx(0.45 * LAWS.period_density(0.15)) == pytest.approx(0.45 * LAWS.period_density(-0.2))
    assert LAWS.period_density([-0.31, 3.51]) == pytest.approx([0, 0])


def test_salpeters_law_makes_a_supernova_in_135_solar_masses():
    laws = BirthLaws(InitialMassLaw.salpeter(), MassRatioLaw(), PeriodLaw())
    assert 1 / laws.primaries(8, 100) == pytest.approx(135, rel=0.01)


def test_a_slope_of_minus_one_is_a_logarithm():
    laws = BirthLaws(InitialMassLaw(), MassRatioLaw(slope=-1.0), PeriodLaw())
    assert laws.mass_ratio_share(0.1, 10**-0.5) == pytest.approx(0.5)


@pytest.mark.parametrize("axis", ["primary", "total"])
def test_regular_cells_tile_their_box(axis):
    places = places_of(MASSES, RATIOS, PERIODS)
    if axis == "total":
        places[:, 0] /= 1 + places[:, 1]
    cells = initial_cells(make_grid(places))
    assert isinstance(cells, RegularCells)
    assert (cells.mass_axis, cells.n_missing) == (axis, 0)
    weight = cells.weights(LAWS)
    edges = [(edge[0], edge[-1]) for edge in cells.all_edges]
    assert edges[0] == pytest.approx([5 * 8 ** (-1 / 12), 40 * 8 ** (1 / 12)])
    assert edges[1] == pytest.approx([0.45, 1.0])
    if axis == "primary":
        expected = born(LAWS, *edges)
    else:
        masses = dblquad(
            lambda m, q: LAWS.primary_density(m / (1 + q)) / (1 + q) * LAWS.mass_ratio_density(q), *edges[1], *edges[0]
        )[0]
        expected = masses * quad(LAWS.period_density, *edges[2], points=[0.15])[0]
    assert weight.sum() == pytest.approx(expected, rel=1e-6)
    assert weight.sum() == pytest.approx(cells.whole(LAWS))
    moved = cells.weights(LAWS, period_shift=0.02).sum()
    assert moved != pytest.approx(weight.sum(), rel=1e-3)


def test_weights_like_fabrys_are_salpeters_in_mass_and_equal_in_mass_ratio_and_period():
    settings = PopulationSettings.like_fabry()
    laws = BirthLaws(settings.masses, settings.mass_ratios, settings.periods)
    ratios = np.arange(0.6, 0.976, 0.025)
    cells = initial_cells(make_grid(places_of(MASSES, ratios, np.geomspace(0.5, 8, 31))))
    weight = cells.weights(laws).reshape(len(MASSES), len(ratios), 31)
    assert np.ptp(weight, axis=(1, 2)) == pytest.approx(np.zeros(len(MASSES)), abs=1e-12)
    edges = cells.all_edges[0]
    assert weight[:, 0, 0] / weight[0, 0, 0] == pytest.approx(
        (edges[:-1] ** -1.35 - edges[1:] ** -1.35) / (edges[0] ** -1.35 - edges[1] ** -1.35)
    )


def test_a_hole_is_no_one_elses():
    places = places_of(MASSES, RATIOS, PERIODS)
    whole = initial_cells(make_grid(places))
    missing = np.arange(len(places)) % 5 == 3
    cells = initial_cells(make_grid(places[~missing]))
    assert cells.n_missing == missing.sum()
    assert cells.weights(LAWS) == pytest.approx(whole.weights(LAWS)[~missing])
    assert cells.whole(LAWS) == pytest.approx(whole.weights(LAWS).sum())


def test_rounded_initial_values_are_still_a_regular_grid():
    places = places_of(MASSES, RATIOS, PERIODS) * (1 + 1e-6 * np.random.default_rng(1).normal(size=(336, 3)))
    assert isinstance(initial_cells(make_grid(places)), RegularCells)


def test_irregular_runs_share_the_box_that_they_span():
    rng = np.random.default_rng(2)
    low, high = np.array([np.log10(5), 0.5, -0.2]), np.array([np.log10(40), 1.0, 0.8])
    corners = np.array(np.meshgrid(*[(0, 1)] * 3)).reshape(3, -1).T
    places = low + np.vstack([corners, rng.random((300, 3))]) * (high - low)
    places = np.column_stack([10 ** places[:, 0], places[:, 1], 10 ** places[:, 2]])
    cells = initial_cells(make_grid(places))
    assert isinstance(cells, IrregularCells)
    assert "irregular" in cells.description
    weight = cells.weights(LAWS)
    expected = born(LAWS, (5, 40), (0.5, 1), (-0.2, 0.8))
    assert weight.sum() == pytest.approx(expected, rel=0.005)
    assert cells.whole(LAWS) == pytest.approx(expected)
    # The runs of the more massive half hold what is born there, but for the cells that straddle the limit.
    heavy = weight[places[:, 0] > 10].sum()
    assert heavy == pytest.approx(born(LAWS, (10, 40), (0.5, 1), (-0.2, 0.8)), rel=0.1)


def test_nearest_cells_of_a_regular_grid_are_its_own_within_the_hull():
    places = places_of(MASSES, RATIOS, PERIODS)
    regular = initial_cells(make_grid(places)).weights(LAWS)
    nearest = weights._irregular(np.log10(places[:, 0]), places[:, 1], np.log10(places[:, 2])).weights(LAWS)
    inner = ((places > places.min(axis=0)) & (places < places.max(axis=0))).all(axis=1)
    assert nearest[inner] == pytest.approx(regular[inner], rel=0.1)
    assert nearest[inner].sum() == pytest.approx(regular[inner].sum(), rel=0.01)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (places_of([10], RATIOS, PERIODS), "only one initial mass: a population"),
        (places_of(MASSES, [0.7], PERIODS), "only one initial mass ratio"),
        (places_of(MASSES, RATIOS, [1.0]), "only one initial period"),
        (
            np.vstack([places_of([5, 8, 13], [0.5, 0.8], [1, 2]), [[8.001, 0.8, 2]]]),
            "runs run7 and run12 have the same",
        ),
        (np.vstack([places_of(MASSES, RATIOS, PERIODS), [[5, 0.5, 0.6]]]), "runs run0 and run336 have the same"),
        ([[10, 0.5, 1], [10, 0.6, np.inf], [20, 0.5, 1]], "run1 has no initial masses or period"),
        ([[10, 0.5, 1], [10, np.nan, 2], [20, 0.5, 1]], "run1 has no initial masses or period"),
        ([[10, 0.5, 1], [20, 0.6, 2], [30, 0.7, 3.1], [40, 0.8, 4.3], [44, 0.84, 4.6]], None),
        ([[10, 0.5, 1], [100, 0.6, 10], [1000, 0.7, 100]], "lie in a plane"),
    ],
)
def test_a_grid_that_stands_for_no_population_is_refused(places, message):
    grid = make_grid(places)
    if message is None:
        assert isinstance(initial_cells(grid), IrregularCells)
        return
    with pytest.raises(InputFormatError, match=message):
        initial_cells(grid)


def test_a_population_has_one_metallicity():
    places = places_of(MASSES, RATIOS, PERIODS)
    with pytest.raises(InputFormatError, match=r"metallicities from 0\.0021 to 0\.0047"):
        initial_cells(make_grid(places, Z=np.where(np.arange(336) < 3, 0.0021, 0.0047)))


def scattered(unit):
    """Runs at places in the box of 5 to 40 solar masses, q from 0.5 and 0.63 to 6.3 d, for numbers from 0 to 1."""
    return np.column_stack([5 * 8 ** unit[:, 0], 0.5 + 0.5 * unit[:, 1], 10 ** (-0.2 + unit[:, 2])])


@pytest.mark.parametrize("points", ["sobol", "random"])
def test_thousands_of_runs_at_any_places_are_irregular_and_none_is_another(points):
    if points == "sobol":
        unit = qmc.Sobol(3, seed=1).random_base2(13)[:5000]
    else:
        unit = np.random.default_rng(6).random((3000, 3))
    places = scattered(unit)
    cells = initial_cells(make_grid(places))
    assert isinstance(cells, IrregularCells)
    assert f"each of {len(places):,} runs" in cells.description
    share = cells.weights(LAWS).sum() / born(LAWS, (5, 40), (0.5, 1), (-0.2, 0.8))
    assert 0.9 < share < 1
    # What the hull leaves out of the box is no one's, and told.
    assert cells.weights(LAWS).sum() < 0.995 * cells.whole(LAWS)
    twice = np.vstack([places, places[17]])
    with pytest.raises(InputFormatError, match=f"runs run17 and run{len(places)} have the same"):
        initial_cells(make_grid(twice))


@pytest.mark.parametrize("share", [0.6, 0.45, 0.05])
def test_runs_at_few_values_are_a_grid_with_holes_however_many_are_missing(share):
    whole = places_of(np.geomspace(5, 40, 6), np.linspace(0.5, 1, 6), np.geomspace(0.6, 6, 6))
    there = np.random.default_rng(2).permutation(216)[: int(216 * share)]
    cells = initial_cells(make_grid(whole[there]))
    assert isinstance(cells, RegularCells)
    assert cells.weights(LAWS).sum() / cells.whole(LAWS) == pytest.approx(share, abs=0.1)


def test_a_cell_across_the_least_mass_ratio_of_the_law_is_cut_there():
    laws = BirthLaws(InitialMassLaw(), MassRatioLaw(least=0.4), PeriodLaw())
    places = places_of(MASSES, [0.35, 0.5, 0.65, 0.8, 0.95], PERIODS)
    places[:, 0] /= 1 + places[:, 1]
    cells = initial_cells(make_grid(places))
    assert cells.mass_axis == "total"
    assert cells.all_edges[1][0] < 0.4 < cells.all_edges[1][1]
    masses, ratios, periods = ((edges[0], edges[-1]) for edges in cells.all_edges)
    expected = dblquad(
        lambda m, q: laws.primary_density(m / (1 + q)) / (1 + q) * laws.mass_ratio_density(q), 0.4, ratios[1], *masses
    )[0] * laws.period_share(*periods)
    assert cells.weights(laws).sum() == pytest.approx(expected, rel=1e-5)
