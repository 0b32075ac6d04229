"""Noise of a survey, rates with their errors, weights of a population, and corrected counts: known answers."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.table import QTable
from hypothesis import given
from hypothesis import strategies as st
from population_grids import make_grid, places_of
from scipy.stats import beta

from cbminer.columns import float_column, label_column, text_column, values
from cbminer.completeness.noise import Donors, SurveyNoise, measure_errors, outlier_deviations
from cbminer.completeness.numbers import (
    Passing,
    PredictedNumbers,
    _drawn_shares,
    corrected_number,
    passing,
    predicted_numbers,
    tabulate_numbers,
    weigh,
)
from cbminer.completeness.rates import AXES, jeffreys_interval, rate_map, samples_of, tabulate_rates
from cbminer.completeness.settings import InjectionSettings
from cbminer.completeness.systems import SystemLaws, draw_systems
from cbminer.completeness.weights import PopulationCells, _with_limits, population_weights
from cbminer.errors import ArchiveError
from cbminer.lightcurves.cleaning import CleaningSettings
from cbminer.measurement import MeasurementSettings, StarTask
from cbminer.selection.cuts import MainSequenceCut
from cbminer.survey.packed import pack_light_curves
from cbminer.survey.photometry_file import LightCurve
from cbminer.theory.phases import Phase
from cbminer.theory.population import make_population
from cbminer.theory.population_settings import CountSettings, DetectionSettings, PopulationSettings


def survey_curves(*, between, within, n_stars=80, n_points=200):
    """Errors that grow with magnitude, log-normal, with a part that is the star's own."""
    rng = np.random.default_rng(1)
    curves = []
    for _ in range(n_stars):
        mag = rng.uniform(14.0, 19.0) + rng.normal(0.0, 0.1, n_points)
        log_error = np.log(0.01) + 0.5 * (mag - 16.5) + between * rng.normal() + within * rng.normal(size=n_points)
        time = 2455000.0 + np.sort(rng.uniform(0.0, 1500.0, n_points))
        curves.append(LightCurve(time, mag.astype(np.float32), np.exp(log_error).astype(np.float32)))
    return pack_light_curves([f"star{i}" for i in range(n_stars)], curves)


def test_errors_are_drawn_as_the_survey_states_them():
    relation = measure_errors(survey_curves(between=0.0, within=0.25))
    rng = np.random.default_rng(2)
    for mag in (15.0, 16.5, 18.0):
        drawn = np.concatenate([relation.draw(np.full(100, mag), rng) for _ in range(100)])
        assert np.median(np.log(drawn)) == pytest.approx(np.log(0.01) + 0.5 * (mag - 16.5), abs=0.06)
        assert np.log(drawn).std() == pytest.approx(0.25, rel=0.12)
    assert relation.star_share == pytest.approx(0.0, abs=0.02)
    # Beyond the survey's magnitudes they are those of its ends.
    assert np.median(relation.draw(np.full(4000, 25.0), rng)) < 0.06


def test_stars_keep_the_part_of_the_scatter_that_is_their_own():
    relation = measure_errors(survey_curves(between=0.2, within=0.1, n_stars=200))
    assert relation.star_share == pytest.approx(0.8, abs=0.12)
    rng = np.random.default_rng(2)
    means = [np.log(relation.draw(np.full(50, 16.5), rng)).mean() for _ in range(300)]
    assert np.std(means) == pytest.approx(0.2, rel=0.25)


def test_too_few_points_are_refused():
    with pytest.raises(ArchiveError, match="399 points"):
        measure_errors(survey_curves(between=0.0, within=0.1, n_stars=1, n_points=399))


def donor_table(scale, outliers=0.01, verdict="confirmed", label="contact", n=60):
    stars = QTable()
    stars["I_mag"] = float_column(np.linspace(14.0, 19.0, n), "mag")
    stars["noise"] = float_column(np.full(n, 0.01), "mag")
    stars["scatter"] = float_column(np.broadcast_to(0.01 * scale, n), "mag")
    stars["n_points"] = np.full(n, 990)
    stars["n_rejected"] = np.full(n, round(1000 * outliers))
    stars["light_curve_class"] = text_column([label] * n)
    stars["period_verdict"] = text_column([verdict] * n)
    return stars


def test_scatter_and_outliers_are_those_of_stars_of_like_magnitude():
    scale = np.where(np.linspace(14.0, 19.0, 60) < 16.5, 1.0, 2.0)
    donors = Donors.of(donor_table(scale))
    rng = np.random.default_rng(1)
    assert {donors.draw(14.5, rng)[0] for _ in range(50)} == {1.0}
    assert {round(donors.draw(18.5, rng)[0], 9) for _ in range(50)} == {2.0}
    relation = measure_errors(survey_curves(between=0.0, within=0.1))
    noise = SurveyNoise(relation, Donors.of(donor_table(2.0, outliers=0.0)), np.empty(0), CleaningSettings())
    mag, error = noise.observe(np.full(20000, 16.5), 16.5, np.random.default_rng(3))
    assert np.std((mag - 16.5) / error) == pytest.approx(2.0, rel=0.04)
    # Where the cleaning rescales errors, scatter is in units of the rescaled ones.
    rescaled = replace(noise, cleaning=CleaningSettings(error_scale=1.5))
    mag, error = rescaled.observe(np.full(20000, 16.5), 16.5, np.random.default_rng(3))
    assert np.std((mag - 16.5) / error) == pytest.approx(3.0, rel=0.04)
    far = SurveyNoise(relation, Donors.of(donor_table(1.0, outliers=0.1)), np.array([0.5]), CleaningSettings())
    mag, _ = far.observe(np.full(20000, 16.5), 16.5, np.random.default_rng(3))
    assert np.mean(mag > 16.9) == pytest.approx(0.1, abs=0.01)


def test_stars_that_vary_otherwise_lend_no_scatter_unless_there_are_no_others():
    assert len(Donors.of(donor_table(1.0)).scale) == 60
    spotted = donor_table(5.0, verdict="refuted")
    calm = donor_table(1.0)
    both = QTable({name: np.concatenate([np.asarray(calm[name]), np.asarray(spotted[name])]) for name in calm.colnames})
    assert (Donors.of(both).scale == 1.0).all()
    assert (Donors.of(spotted).scale == 5.0).all()
    calm["scatter"] = float_column(np.full(60, np.nan), "mag")
    with pytest.raises(ArchiveError, match="no star of the run has a fitted light curve"):
        Donors.of(calm)


def test_deviations_of_outliers_are_found_where_they_were_put():
    rng = np.random.default_rng(5)
    time = 2455000.0 + np.sort(rng.uniform(0.0, 1500.0, 400))
    phase = np.mod((time - 2455000.0) / 0.9, 1.0)
    mag = 16.0 + 0.2 * np.cos(4.0 * np.pi * phase) + 0.01 * rng.normal(size=400)
    off = rng.choice(400, 6, replace=False)
    mag[off] -= 0.4
    curve = LightCurve(time, mag.astype(np.float32), np.full(400, 0.01, dtype=np.float32))
    tasks = [StarTask("a", 0.9, 2455000.0)]
    found = outlier_deviations(pack_light_curves(["a"], [curve]), tasks, settings=MeasurementSettings())
    assert len(found) == pytest.approx(6, abs=2)
    assert np.median(found) == pytest.approx(-0.4, abs=0.05)


@given(n=st.integers(1, 500), data=st.data())
def test_intervals_hold_the_share_and_narrow_with_number(n, data):
    k = data.draw(st.integers(0, n))
    low, high = jeffreys_interval(k, n)
    assert 0 <= low <= k / n <= high <= 1
    wide, narrow = high - low, np.subtract(*jeffreys_interval(4 * k, 4 * n)[::-1])
    assert narrow < wide


def test_intervals_are_those_of_jeffreys():
    low, high = jeffreys_interval([3, 0, 5, 0], [10, 5, 5, 0])
    assert low[0] == pytest.approx(beta.ppf(0.15865, 3.5, 7.5))
    assert high[0] == pytest.approx(beta.ppf(0.84135, 3.5, 7.5))
    assert low[1] == 0
    assert high[2] == 1
    assert np.isnan([low[3], high[3]]).all()


def injected_stars(n=6000, seed=1, kind="contact"):
    """Binaries with a known law of period, magnitude and mass ratio: flat in all three."""
    rng = np.random.default_rng(seed)
    stars = QTable()
    stars["galaxy"] = np.full(n, "LMC")
    stars["kind"] = np.full(n, kind)
    stars["true_period"] = float_column(10.0 ** rng.uniform(-0.4, 0.5, n), "d")
    stars["true_M_V"] = float_column(rng.uniform(-7.25, -0.25, n), "mag")
    stars["true_I_mag"] = float_column(rng.uniform(13, 18, n), "mag")
    stars["mass_1"] = float_column(rng.uniform(3, 30, n), "solMass")
    stars["mass_ratio"] = float_column(rng.uniform(0.3, 1.0, n))
    stars["inclination"] = float_column(np.degrees(np.arccos(rng.random(n))), "deg")
    stars["fillout_factor"] = float_column(rng.random(n))
    for name in ("lobe_filling_1", "lobe_filling_2"):
        stars[name] = float_column(rng.uniform(0.9, 1.0, n))
    stars["true_depth1"] = float_column(np.full(n, 0.3), "mag")
    return stars


def test_rates_count_every_star_once_in_every_view():
    stars = injected_stars(1000)
    sample = np.asarray(stars["inclination"].value) > 60.0
    rates = tabulate_rates(stars, {"selected": sample}, least_depth=0.1)
    by_name = {name: label_column(rates, name) for name in ("subset", "x", "y")}
    over = (by_name["subset"] == "all") & (by_name["x"] == "inclination")
    whole = rates[over & (by_name["y"] == "")]
    assert np.asarray(whole["n_injected"]).sum() == 1000
    share = dict(zip(np.asarray(whole["x_low"]).tolist(), np.asarray(whole["share"]).tolist(), strict=True))
    assert share[50.0] == 0
    assert share[60.0] == 1
    counted = rate_map(stars, sample, "inclination", "fillout_factor")
    assert counted.n.sum() == 1000
    assert counted.n.shape == (len(AXES["inclination"].edges) - 1, len(AXES["fillout_factor"].edges) - 1)
    assert counted.found.sum() == sample.sum()
    in_map = rates[over & (by_name["y"] == "fillout_factor")]
    assert np.asarray(in_map["n_found"]).sum() == sample.sum()


def test_samples_are_those_that_can_be_told():
    stars = QTable({"selected": np.array([True, False, True])})
    assert list(samples_of(stars, least_probability=0.5, limits=CountSettings())) == ["selected"]
    stars["bona_fide"] = np.array([True, False, False])
    stars["post_contact"] = float_column([0.9, 0.6, np.nan])
    stars["M_V"] = float_column([-2.0, -2.0, -2.0], "mag")
    stars["period"] = float_column([0.8, 0.8, 0.8], "d")
    found = samples_of(stars, least_probability=0.7, limits=CountSettings())
    assert found["bona fide"].tolist() == [True, False, False]
    assert found["probable"].tolist() == [True, False, False]
    stars["post_contact"] = float_column([0.9, 0.9, 0.9])
    stars["M_V"] = float_column([-2.0, -0.9, -2.0], "mag")
    stars["period"] = float_column([0.8, 0.8, 3.1], "d")
    found = samples_of(stars, least_probability=0.7, limits=CountSettings())
    assert found["probable"].tolist() == [True, False, False]


PLACES = places_of(np.geomspace(5, 24, 5), np.linspace(0.6, 1, 3), np.geomspace(0.7, 2, 5))


@pytest.fixture(scope="module")
def population():
    settings = PopulationSettings(
        counts=CountSettings(draws=20), detection=DetectionSettings(least_depth=None), maximum_light=False
    )
    return make_population(make_grid(PLACES, ratio_in_contact=(0.5, 1.0)), "LMC", settings=settings)


def laws_of(population):
    return SystemLaws.of("LMC", injection=InjectionSettings(), box=MainSequenceCut(), population=population.settings)


def test_weights_make_the_drawn_binaries_the_population(population):
    stars, laws = injected_stars(40000), laws_of(population)
    truth = {name: np.asarray(stars[name].value) for name in ("true_period", "true_M_V")}
    truth["mass_ratio"] = np.asarray(stars["mass_ratio"])
    found = population_weights(truth, "contact", population=population, laws=laws)
    assert found.weight.mean() == pytest.approx(1.0 - found.uncovered)
    assert found.uncovered < 0.05
    drawn = population.density(Phase.CONTACT, detected=False, counted=False).draw(20000, seed=3)
    in_range = (drawn[:, 1] > -7.25) & (drawn[:, 1] < -0.25)
    # Completeness that is 1 for bright stars and 0 else is the share of bright ones, and so for periods.
    for axis, column, limit in ((1, truth["true_M_V"], -3.75), (0, np.log10(truth["true_period"]), 0.0)):
        share = passing(found.weight, counted=np.ones(40000, bool), sample=column < limit)
        assert share.share == pytest.approx((drawn[in_range, axis] < limit).mean(), abs=0.03)
        assert 0 < share.error < 0.03
    summary = population.period_mass_ratio(Phase.CONTACT)
    expected = float(
        (summary.content.sum(axis=0) * (summary.mass_ratio_edges[1:] - 0.005)).sum() / summary.content.sum()
    )
    assert np.average(truth["mass_ratio"], weights=found.weight) == pytest.approx(expected, abs=0.03)


def test_a_share_of_equal_weights_is_binomial():
    sample = np.arange(400) < 100
    found = passing(np.full(400, 0.3), counted=np.ones(400, bool), sample=sample)
    assert found.share == pytest.approx(0.25)
    assert found.error == pytest.approx(np.sqrt(0.25 * 0.75 / 400))
    assert found.n_effective == pytest.approx(400)
    nothing = passing(np.zeros(5), counted=np.ones(5, bool), sample=np.ones(5, bool))
    assert np.isnan(nothing.share)


def predicted(ratio=0.0, e_log_ratio=0.0):
    return PredictedNumbers(100.0, 100.0 * ratio, (50.0, 100.0, 200.0), e_log_ratio)


def corrected(n, contact, near, **about):
    rng = np.random.default_rng(1)
    return corrected_number(n, contact, near, predicted=predicted(**about), rng=rng, draws=20000)


def test_a_count_is_divided_by_its_completeness():
    sharp, none = Passing(0.5, 0.0, 1e9), Passing(0.0, 0.0, 1e9)
    found = corrected(100, sharp, none)
    assert found.number[1] == pytest.approx(200, rel=0.01)
    assert (found.number[2] - found.number[0]) / 2 == pytest.approx(20, rel=0.05)
    assert found.contamination == (0, 0, 0)
    # As many pairs near contact that pass as often are half of the sample.
    found = corrected(100, sharp, sharp, ratio=1.0)
    assert found.contamination[1] == 0.5
    assert found.number[1] == pytest.approx(100, rel=0.01)
    wide = corrected(100, sharp, sharp, ratio=1.0, e_log_ratio=0.3)
    assert wide.contamination[2] == pytest.approx(10**0.3 / (1 + 10**0.3), abs=0.01)


def test_a_completeness_of_nothing_leaves_the_number_open():
    none = Passing(0.0, 0.0, 100.0)
    found = corrected(3, none, none)
    assert np.isinf(found.number).all()
    assert np.isnan(found.contamination).all()


def test_the_table_of_numbers_compares_a_run_with_its_population(population):
    contact, near = injected_stars(3000, kind="contact"), injected_stars(3000, seed=2, kind="near_contact")
    stars = QTable({name: np.concatenate([contact[name], near[name]]) for name in contact.colnames})
    laws = {"LMC": laws_of(population)}
    weighed = weigh(stars, populations={"LMC": population}, laws=laws)
    # Every second contact binary and nothing else is found.
    weighed["selected"] = (np.arange(6000) % 2 == 0) & (np.arange(6000) < 3000)
    observed = QTable({"galaxy": np.full(50, "LMC"), "selected": np.arange(50) < 30})
    injection = InjectionSettings(draws=2000)
    table = tabulate_numbers(weighed, observed, populations={"LMC": population}, injection=injection, seed=1)
    row = table[0]
    assert row["n_observed"] == 30
    assert row["completeness"] == pytest.approx(0.5, abs=0.1)
    assert row["near_contact"] == 0
    passes = row["completeness"] + row["scattered_in"]
    assert row["completeness"] <= 1
    assert row["scattered_in"] >= 0
    assert row["corrected_50"] == pytest.approx(30 / passes, rel=0.1)
    known = predicted_numbers(population, seed=1)
    assert row["predicted"] == pytest.approx(known.contact)
    assert row["predicted_in_sample"] == pytest.approx(known.contact * passes)
    # The star-formation rate is common to both phases: the ratio is better known than either.
    assert 0 < known.e_log_ratio < 0.5
    assert all(table[name].info.description for name in table.colnames)


def test_shares_of_all_and_of_none_have_errors_too():
    """Ten binaries of which all pass, and of which none does, with most of the weight on two of them."""
    weight = np.array([10.0, 10.0, *np.ones(8)])
    counted = np.ones(10, dtype=bool)
    n_effective = weight.sum() ** 2 / (weight**2).sum()
    for sample in (counted, ~counted):
        found = passing(weight, counted=counted, sample=sample)
        assert found.n_effective == pytest.approx(n_effective)
        # Jeffreys: the standard deviation of a beta distribution of one half and n + one half.
        assert found.error == pytest.approx(beta(0.5, n_effective + 0.5).std())
    half = passing(weight, counted=counted, sample=np.arange(10) % 2 == 0)
    assert half.error >= 0.25


def test_a_share_of_none_is_drawn_about_its_error():
    drawn = _drawn_shares(Passing(0.0, 0.05, 10.0), np.random.default_rng(1), 100_000)
    assert drawn.mean() == pytest.approx(0.05, rel=0.02)
    drawn = _drawn_shares(Passing(0.8, 0.1, 10.0), np.random.default_rng(1), 100_000)
    assert (drawn.mean(), drawn.std()) == (pytest.approx(0.8, rel=0.01), pytest.approx(0.1, rel=0.02))


def test_limits_of_the_count_are_edges_of_cells():
    edges = _with_limits(np.arange(-7.25, 0.3, 0.5), [-6.5, -1.0])
    assert {-6.5, -1.0} <= set(edges.tolist())
    assert edges[0] == -7.25
    assert (np.diff(edges) > 0.09).all()
    assert _with_limits(np.arange(0.0, 1.0, 0.1), [3.0]).tolist() == np.arange(0.0, 1.0, 0.1).tolist()
    # An edge that is all but a limit gives way to it.
    assert _with_limits(np.array([0.0, 0.49, 1.0]), [0.5]).tolist() == [0.0, 0.5, 1.0]


def in_the_population(population):
    """Places of systems of the population, within the magnitudes that are drawn."""
    drawn = population.density(Phase.CONTACT, detected=False, counted=False).draw(200_000, seed=3)
    return drawn[(drawn[:, 1] > -7.25) & (drawn[:, 1] < -0.25)]


def test_as_many_are_counted_by_weight_as_the_population_counts(population):
    counts = CountSettings(M_V_bright="-6.05 mag", M_V_faint="-1.45 mag", period_max="1.41 d", draws=20)
    settings = population.settings.model_copy(update={"counts": counts})
    narrow = make_population(make_grid(PLACES, ratio_in_contact=(0.5, 1.0)), "LMC", settings=settings)
    stars = injected_stars(40_000)
    truth = {name: values(stars, name, unit) for name, unit in (("true_period", "d"), ("true_M_V", "mag"))}
    truth["mass_ratio"] = values(stars, "mass_ratio")
    weight = population_weights(truth, "contact", population=narrow, laws=laws_of(narrow)).weight

    def counted(log_p, m_v):
        return (m_v >= counts.M_V_bright) & (m_v <= counts.M_V_faint) & (log_p < np.log10(counts.period_max))

    mine = counted(np.log10(truth["true_period"]), truth["true_M_V"])
    theirs = in_the_population(narrow)
    expected = counted(theirs[:, 0], theirs[:, 1]).mean()
    assert 0.2 < expected < 0.98
    assert weight[mine].sum() / weight.sum() == pytest.approx(expected, abs=0.005)


def test_binaries_drawn_like_the_population_tell_more_and_the_same(population):
    laws = laws_of(population)
    cells = PopulationCells.of("contact", population=population, laws=laws)
    aimed, broad = (
        draw_systems("contact", 900, laws=laws, rng=np.random.default_rng(2), aim=aim).truth
        for aim in (lambda truth: cells.weigh(truth).weight, None)
    )
    weight, plain = cells.weigh(aimed).weight, cells.weigh(broad).weight
    every = np.ones(900, bool)
    n_effective = [passing(item, counted=every, sample=every).n_effective for item in (weight, plain)]
    assert n_effective[0] > 2.0 * n_effective[1]
    # No binary comes twice, and those that are drawn broad still reach where the population is not.
    assert len(np.unique(aimed["true_period"])) == 900
    assert np.mean(weight < 0.1 * np.median(weight[weight > 0])) > 0.1
    # Weighed, they are the population all the same.
    drawn = in_the_population(population)
    for axis, place in ((0, np.log10(aimed["true_period"])), (1, aimed["true_M_V"])):
        assert np.average(place, weights=weight) == pytest.approx(drawn[:, axis].mean(), abs=0.1)


def test_the_share_that_is_drawn_like_the_population_is_a_setting(population):
    laws = laws_of(population)
    none = replace(laws, injection=laws.injection.model_copy(update={"like_population": 0.0}))
    first, second = (
        draw_systems("contact", 60, laws=none, rng=np.random.default_rng(2), aim=aim).truth["true_period"]
        for aim in (lambda truth: truth["true_period"], None)
    )
    np.testing.assert_array_equal(first, second)
    # What is worth nothing anywhere is no reason to draw fewer.
    drawn = draw_systems(
        "contact", 60, laws=laws, rng=np.random.default_rng(2), aim=lambda truth: 0.0 * truth["true_M_V"]
    )
    assert len(drawn) == 60
