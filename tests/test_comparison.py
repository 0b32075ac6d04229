"""Comparison of samples with populations: even ranks of true members, tests that find what is off, and numbers."""

from functools import cache

import numpy as np
import pytest
from astropy.table import QTable
from population_grids import make_grid, places_of
from scipy import stats

from cbminer.columns import float_column
from cbminer.errors import InputFormatError
from cbminer.theory.comparison import (
    PlacedSample,
    anderson_darling,
    draw_observed,
    place_ranks,
    tabulate_ranks,
)
from cbminer.theory.phase_numbers import PlaceBox, PlaceLikelihood
from cbminer.theory.phases import Phase
from cbminer.theory.population import make_population
from cbminer.theory.population_settings import CountSettings

LIMITS = CountSettings(M_V_bright="-6.0 mag", M_V_faint="-2.5 mag", period_max="2 d")
AXES = ("log_P", "M_V", "VI0", "density")
BOX = PlaceBox((-0.5, 0.5), (-7.0, 0.0), (-0.8, 0.8))


@cache
def population():
    places = places_of(np.geomspace(5, 32, 9), np.linspace(0.6, 1, 5), np.geomspace(0.6, 3, 10))
    return make_population(make_grid(places, contact=lambda m, q, p: 2e7 / m, ratio_in_contact=(0.8, 1.15)))


@cache
def density():
    return population().density(Phase.CONTACT, counted=False)


@cache
def counted(limits):
    settings = population().settings.model_copy(update={"counts": limits})
    return make_population(population().grid, settings=settings).density(Phase.CONTACT)


def errors(n=40, seed=1):
    rng = np.random.default_rng(seed)
    e_m_v, e_vi0 = rng.uniform(0.08, 0.3, n), rng.uniform(0.04, 0.1, n)
    return PlacedSample(np.zeros(n), np.full(n, -3.0), np.full(n, -0.2), e_m_v, e_vi0, 0.8 * e_m_v * e_vi0)


def moved(sample, *, log_P=0.0, M_V=0.0, VI0=0.0):
    return PlacedSample(
        sample.log_P + log_P, sample.M_V + M_V, sample.VI0 + VI0, sample.e_M_V, sample.e_VI0, sample.cov_M_V_VI0
    )


def test_ranks_of_true_members_are_even_in_every_axis_though_errors_differ_and_limits_cut():
    sample = draw_observed(density(), errors(), limits=LIMITS, n=1500, seed=3)
    assert sample.M_V.min() >= -6
    assert sample.M_V.max() <= -2.5
    assert sample.log_P.max() < np.log10(2)
    # The limits cut: without them more than a tenth of the systems would be beyond.
    assert np.mean(density().draw(4000, seed=1)[:, 1] > -2.5) > 0.1
    ranks = place_ranks(density(), sample, limits=LIMITS, draws=400, seed=4)
    for name in AXES:
        assert stats.kstest(getattr(ranks, name), "uniform").pvalue > 0.01, name
    table = tabulate_ranks(ranks)
    assert list(table["axis"]) == list(AXES)
    assert min(table["p_ad"]) > 0.01
    # Neither with errors that are taken to be twice as large.
    doubtful = PlacedSample(
        sample.log_P, sample.M_V, sample.VI0, 2 * sample.e_M_V, 2 * sample.e_VI0, 4 * sample.cov_M_V_VI0
    )
    assert tabulate_ranks(place_ranks(density(), doubtful, limits=LIMITS, draws=400, seed=4))["p_ad"][2] < 1e-3


def test_the_p_value_of_true_members_is_itself_even():
    p_values = []
    for seed in range(100):
        sample = draw_observed(density(), errors(), limits=LIMITS, n=25, seed=1000 + seed)
        ranks = place_ranks(density(), sample, limits=LIMITS, draws=120, seed=seed)
        p_values.append(stats.kstest(ranks.VI0, "uniform").pvalue)
    assert stats.kstest(p_values, "uniform").pvalue > 0.01


@pytest.mark.parametrize(("axis", "step"), [("log_P", 0.1), ("M_V", -0.5), ("VI0", 0.06)])
def test_a_sample_that_is_moved_along_one_axis_is_found_out_there(axis, step):
    sample = draw_observed(density(), errors(), limits=LIMITS, n=400, seed=5)
    # What is moved beyond the limits is no longer in a sample.
    other = moved(sample, **{axis: step})
    inside = (np.abs(other.M_V + 4.25) <= 1.75) & (other.log_P < np.log10(2))
    other = PlacedSample(*(getattr(other, name)[inside] for name in PlacedSample.__dataclass_fields__))
    table = tabulate_ranks(place_ranks(density(), other, limits=LIMITS, draws=300, seed=6))
    p_value = dict(zip(table["axis"], table["p_ks"], strict=True))
    assert p_value[axis] < 1e-3
    # All axes together are the blunter test: models are spread over all periods, and the density hardly changes along them.
    assert (p_value["density"] < 1e-2) == (axis != "log_P")


def test_ranks_in_density_are_the_credible_levels_of_the_population():
    # No limit of the period: it is applied to models in one, and to what is observed in the other.
    limits = CountSettings(M_V_bright="-6.0 mag", M_V_faint="-2.5 mag", period_max="50 d")
    sample = draw_observed(density(), errors(5), limits=limits, n=60, seed=8)
    ranks = place_ranks(density(), sample, limits=limits, draws=4000, seed=9)
    level = counted(limits).credible_level(
        *sample.places.T, e_M_V=sample.e_M_V, e_VI0=sample.e_VI0, cov_M_V_VI0=sample.cov_M_V_VI0
    )
    assert 1.0 - ranks.density == pytest.approx(level, abs=0.05)


def test_the_anderson_darling_statistic_is_that_of_scipy_and_its_p_value_as_tabulated():
    rng = np.random.default_rng(2)
    numbers = rng.random(50)
    theirs = stats.goodness_of_fit(
        stats.uniform, numbers, known_params={"loc": 0, "scale": 1}, statistic="ad", n_mc_samples=10
    )
    assert anderson_darling(numbers).statistic == pytest.approx(theirs.statistic)
    # 5 and 1 % points of a distribution that is known beforehand: 2.492 and 3.857 (Stephens 1974, J. Am. Stat. Ass. 69).
    found = {}
    for power in np.linspace(1.0, 2.5, 40):
        test = anderson_darling(numbers**power)
        found[test.statistic] = test.p_value
    statistic = np.array(sorted(found))
    p_value = np.array([found[key] for key in statistic])
    assert np.interp(2.492, statistic, p_value) == pytest.approx(0.05, abs=0.012)
    assert np.interp(3.857, statistic, p_value) == pytest.approx(0.01, abs=0.006)
    # Numbers at the very ends do not break it.
    assert anderson_darling([0.0, 1.0, 0.5]).p_value <= 0.01


def test_stars_are_taken_from_a_table_if_all_of_them_is_known_and_within_the_limits():
    data = {
        "period": ([0.8, 0.8, np.nan, 2.5, 0.8, 0.8], "d"), "M_V": ([-3, np.nan, -3, -3, -2, -3], "mag"),
        "VI0": (np.full(6, -0.2), "mag"), "e_M_V": ([0.1, 0.1, 0.1, 0.1, 0.1, np.nan], "mag"),
        "e_VI0": (np.full(6, 0.05), "mag"), "cov_M_V_VI0": (np.full(6, 0.004), "mag2"),
    }  # fmt: skip
    stars = QTable({name: float_column(column, unit) for name, (column, unit) in data.items()})
    sample = PlacedSample.of_stars(stars, limits=LIMITS)
    assert len(sample) == 1
    assert sample.places == pytest.approx(np.array([[np.log10(0.8), -3, -0.2]]))
    assert sample.cov_M_V_VI0 == pytest.approx([0.004])
    nobody = PlacedSample.of_stars(stars[1:2], limits=LIMITS)
    assert len(nobody) == 0
    with pytest.raises(InputFormatError, match="no star"):
        tabulate_ranks(place_ranks(density(), nobody, limits=LIMITS))


def test_limits_that_leave_no_system_are_refused():
    nowhere = CountSettings(M_V_bright="-16 mag", M_V_faint="-15 mag")
    with pytest.raises(InputFormatError, match=r"population\.counts"):
        draw_observed(density(), errors(), limits=nowhere, n=10, seed=1)
    with pytest.raises(InputFormatError, match=r"population\.counts"):
        place_ranks(density(), errors(), limits=nowhere, draws=100)


def mixed(n_contact, n_elsewhere, seed):
    """Members of the population, and stars evenly spread over the box within the limits."""
    members = draw_observed(density(), errors(), limits=LIMITS, n=n_contact, seed=seed)
    rng = np.random.default_rng(seed)
    others = rng.uniform([-0.5, -6.0, -0.8], [np.log10(2), -2.5, 0.8], size=(n_elsewhere, 3))
    full = np.full(n_elsewhere, 1.0)
    strangers = PlacedSample(*others.T, 0.1 * full, 0.05 * full, 0.0 * full)
    return PlacedSample(
        *(
            np.concatenate([getattr(members, name), getattr(strangers, name)])
            for name in PlacedSample.__dataclass_fields__
        )
    )


def likelihood_of(sample):
    box = PlaceBox((-0.5, np.log10(2)), (-6.0, -2.5), (-0.8, 0.8))
    return PlaceLikelihood.of_populations(sample, {"contact": counted(LIMITS)}, elsewhere=box)


def test_numbers_of_a_mixture_are_found_within_their_intervals():
    pulls, inside = [], 0
    for seed in range(24):
        rng = np.random.default_rng(seed)
        n_contact, n_elsewhere = int(rng.poisson(120)), int(rng.poisson(60))
        found = likelihood_of(mixed(n_contact, n_elsewhere, 50 + seed))
        best = found.best()
        assert sum(best.number.values()) == pytest.approx(n_contact + n_elsewhere)
        interval = found.interval("contact")
        assert interval.low < best.number["contact"] < interval.high
        inside += interval.low <= 120 <= interval.high
        pulls.append((best.number["contact"] - 120) / (0.5 * (interval.high - interval.low)))
    # 68 % of 24 are 16, and the binomial scatter is 2.3.
    assert 10 <= inside <= 23
    # The mean of 24 normal numbers scatters by 0.2.
    assert np.mean(pulls) == pytest.approx(0, abs=0.6)


def test_the_interval_of_one_component_alone_is_that_of_poisson():
    sample = draw_observed(density(), errors(), limits=LIMITS, n=50, seed=2)
    found = PlaceLikelihood.of_populations(sample, {"contact": counted(LIMITS)})
    assert found.best().number == pytest.approx({"contact": 50})
    interval = found.interval("contact")
    for end in (interval.low, interval.high):
        # ln L = n ln N - N up to a constant: lower by 1/2 at both ends.
        assert 50 * np.log(50) - 50 - (50 * np.log(end) - end) == pytest.approx(0.5, abs=1e-3)
    assert interval.low < 50 < interval.high
    assert found.log_likelihood({"contact": 50}) == pytest.approx(found.best().log_likelihood)
    # Twice the difference to a number that is given: Wilks' chi2 of one degree of freedom.
    ratio = 2 * (found.best().log_likelihood - found.log_likelihood({"contact": 64}))
    assert ratio == pytest.approx(2 * (50 * np.log(50 / 64) - 50 + 64))


def test_a_component_that_is_not_there_has_an_interval_from_none():
    sample = draw_observed(density(), errors(), limits=LIMITS, n=80, seed=4)
    interval = likelihood_of(sample).interval("elsewhere")
    assert interval.low == 0
    assert 0 < interval.high < 5
    given = likelihood_of(sample).best(fixed={"elsewhere": 3.0})
    assert given.number["elsewhere"] == 3
    assert given.number["contact"] == pytest.approx(77.5, abs=2.6)


def test_stars_where_nothing_is_and_wrong_components_are_refused():
    sample = draw_observed(density(), errors(), limits=LIMITS, n=5, seed=4)
    far = moved(sample, VI0=2.0)
    with pytest.raises(InputFormatError, match="5 stars lie where no component"):
        PlaceLikelihood.of_populations(far, {"contact": counted(LIMITS)}, elsewhere=BOX)
    with pytest.raises(InputFormatError, match="without stars"):
        PlaceLikelihood.of_populations(sample, {})
    found = likelihood_of(sample)
    with pytest.raises(InputFormatError, match="there are contact, elsewhere"):
        found.log_likelihood({"contakt": 5})
    with pytest.raises(InputFormatError, match="0 or more"):
        found.log_likelihood({"contact": -1})
    # Nothing expected, and yet there are stars.
    assert found.log_likelihood({}) == -np.inf


def of_one(sample, place=0, **changed):
    """One star of a sample, some of it changed."""
    columns = {name: getattr(sample, name)[place : place + 1] for name in PlacedSample.__dataclass_fields__}
    return PlacedSample(**columns | {name: np.array([value]) for name, value in changed.items()})


@pytest.mark.parametrize(
    "changed", [{"M_V": np.nan}, {"log_P": np.inf}, {"e_VI0": np.nan}, {"e_M_V": -0.1}, {"cov_M_V_VI0": np.inf}]
)
def test_stars_of_which_something_is_not_known_are_refused_and_not_ranked(changed):
    star = of_one(draw_observed(density(), errors(), limits=LIMITS, n=3, seed=1), **changed)
    with pytest.raises(InputFormatError, match="1 stars of the sample, such as number 1"):
        place_ranks(density(), star, limits=LIMITS)
    with pytest.raises(InputFormatError, match="not finite, or a negative error"):
        draw_observed(density(), star, limits=LIMITS, n=3, seed=1)


@pytest.mark.parametrize("changed", [{"M_V": -6.01}, {"M_V": -2.49}, {"log_P": np.log10(2.01)}])
def test_stars_beyond_the_limits_have_no_rank(changed):
    sample = draw_observed(density(), errors(), limits=LIMITS, n=3, seed=1)
    with pytest.raises(InputFormatError, match=r"beyond the limits of \[population\.counts\]"):
        place_ranks(density(), of_one(sample, **changed), limits=LIMITS)
    assert len(place_ranks(density(), of_one(sample), limits=LIMITS).log_P) == 1


def test_nothing_is_drawn_without_errors_or_in_numbers_that_are_none():
    sample = draw_observed(density(), errors(), limits=LIMITS, n=3, seed=1)
    empty = PlacedSample(*(np.empty(0),) * 6)
    with pytest.raises(InputFormatError, match="errors of 0"):
        draw_observed(density(), empty, limits=LIMITS, n=3, seed=1)
    with pytest.raises(InputFormatError, match="cannot draw -1 stars"):
        draw_observed(density(), sample, limits=LIMITS, n=-1, seed=1)
    assert len(draw_observed(density(), sample, limits=LIMITS, n=0, seed=1)) == 0
    for draws in (0, -5):
        with pytest.raises(InputFormatError, match="at least 20"):
            place_ranks(density(), sample, limits=LIMITS, draws=draws)


@pytest.mark.parametrize("numbers", [[], [0.1, np.nan], [0.5, 1.1], [-0.1], [np.inf]])
def test_numbers_that_cannot_be_spread_between_0_and_1_are_refused(numbers):
    with pytest.raises(InputFormatError, match="between 0 and 1"):
        anderson_darling(numbers)


def test_every_star_that_is_drawn_is_another_one_of_whatever_seed():
    # One system in dozens is within these limits, so that several trials are needed. Errors leave log P as it is.
    narrow = CountSettings(M_V_bright="-5.0 mag", M_V_faint="-4.6 mag", period_max="0.9 d")
    sample = draw_observed(density(), errors(), limits=narrow, n=60, seed=3)
    assert len(np.unique(sample.log_P)) == 60
    # 200 was the distance of seeds whose trials once were the same.
    periods = [draw_observed(density(), errors(), limits=narrow, n=60, seed=seed).log_P for seed in (0, 1, 200, 201)]
    assert len(np.unique(np.concatenate(periods))) == 240


def test_equal_ranks_are_told_apart_at_random():
    sample = draw_observed(density(), errors(), limits=LIMITS, n=300, seed=6)
    ranks = place_ranks(density(), sample, limits=LIMITS, draws=100, seed=1)
    # Of some 50 draws each, there are some 50 ranks at most that a star could have, were they not told apart.
    assert all(len(np.unique(getattr(ranks, name))) == 300 for name in AXES)
    # Where there is no model, no draw lies lower, and rarely is one as low: the first of 50 places, evenly filled.
    nowhere = moved(sample, VI0=3.0)
    lowest = place_ranks(density(), nowhere, limits=LIMITS, draws=100, seed=1).density
    assert 0 < lowest.min() < 0.002
    assert 0.01 < lowest.max() < 0.1


def test_a_box_is_even_inside_of_all_its_edges():
    inside = [(-0.4, -5.0, 0.0), (-0.5, -7.0, -0.8), (0.5, 0.0, 0.8)]
    outside = [(-0.51, -5, 0), (0.51, -5, 0), (0, -7.1, 0), (0, 0.1, 0), (0, -5, -0.81), (0, -5, 0.81)]
    places = np.array(inside + outside).T
    sample = PlacedSample(*places, *np.full((3, places.shape[1]), 0.01))
    assert BOX.density(sample) == pytest.approx([1 / (1.0 * 7.0 * 1.6)] * 3 + [0] * 6)


@pytest.mark.parametrize("log_P", [(0.5, -0.5), (0.5, 0.5), (np.nan, 0.5), (-np.inf, 0.5)])
def test_a_box_without_a_volume_is_refused(log_P):
    with pytest.raises(InputFormatError, match="lower value first"):
        PlaceBox(log_P, (-7.0, 0.0), (-0.8, 0.8))


def test_a_star_where_nothing_is_expected_makes_numbers_impossible_and_not_unknown():
    # Nine stars where both components are, one where the second alone is.
    found = PlaceLikelihood(("here", "there"), np.array([[2.0, 0.5]] * 9 + [[0.0, 0.5]]))
    best = found.best(fixed={"there": 0.0})
    assert best.log_likelihood == -np.inf == found.log_likelihood({"here": 9.0})
    assert best.number == pytest.approx({"here": 9.0, "there": 0.0})
    # With the least of the second it is possible again: one star is its, and of the first are the other nine.
    least = found.best(fixed={"there": 1e-6})
    assert least.number["here"] == pytest.approx(9, abs=1e-4)
    assert least.log_likelihood == pytest.approx(9 * np.log(18) + np.log(0.5e-6) - 9, abs=1e-4)
    # Nothing of the first is no contradiction: all ten are of the second.
    assert found.best(fixed={"here": 0.0}).number == pytest.approx({"here": 0.0, "there": 10.0})


@pytest.mark.parametrize("number", [np.nan, np.inf, -1.0])
def test_given_numbers_are_finite_and_not_negative(number):
    found = PlaceLikelihood(("here", "there"), np.array([[2.0, 0.5], [0.5, 2.0]]))
    with pytest.raises(InputFormatError, match="finite, and 0 or more"):
        found.best(fixed={"there": number})
    with pytest.raises(InputFormatError, match="finite, and 0 or more"):
        found.log_likelihood({"there": number})


def test_a_number_that_is_not_0_may_have_an_interval_that_begins_there():
    # One star of 21 is twice as likely of the second component: it takes some of it, but none at all is not excluded.
    found = PlaceLikelihood(("here", "there"), np.array([[1.0, 0.9]] * 20 + [[1.0, 4.0]]))
    best = found.best()
    assert best.number["there"] > 0.3
    none = found.best(fixed={"there": 0.0})
    assert 0 < best.log_likelihood - none.log_likelihood < 0.5
    interval = found.interval("there")
    assert interval.low == 0
    assert interval.high > best.number["there"]
    end = found.best(fixed={"there": interval.high}).log_likelihood
    assert best.log_likelihood - end == pytest.approx(0.5, abs=1e-3)
