"""Which period a light curve is folded with: the refined one, half or twice of it, one that is found, or the listed."""

from dataclasses import fields

import numpy as np
import pytest
from pydantic import ValidationError

from cbminer.lightcurves.adoption import SOURCES, AdoptionSettings, adopt_periods, judgement_columns, variability
from cbminer.lightcurves.period_search import PeriodSearchSettings
from cbminer.lightcurves.periods import PeriodJudgements, PeriodSettings, PeriodVerdict
from cbminer.survey.packed import pack_light_curves
from cbminer.survey.photometry_file import LightCurve

PERIOD, EPOCH = 0.8, 2455500.123
# Fewer frequencies keep the tests quick.
QUICK = PeriodSearchSettings(period_min="0.3 d", period_max="10 d")


def contact(cycles):
    return (
        0.3 + 0.25 * np.cos(4 * np.pi * cycles) + 0.05 * np.cos(8 * np.pi * cycles) + 0.02 * np.cos(2 * np.pi * cycles)
    )


def observe(shape=contact, n_stars=1, *, n_points=400, noise=0.01, seed=1, span=1800.0):
    rng = np.random.default_rng(seed)
    curves = []
    for _ in range(n_stars):
        time = np.sort(2455000 + rng.uniform(0, span, n_points))
        mag = 16.0 + shape((time - EPOCH) / PERIOD) + rng.normal(0, noise, n_points)
        curves.append(LightCurve(time, mag.astype(np.float32), np.full(n_points, noise, dtype=np.float32)))
    return pack_light_curves([str(i) for i in range(n_stars)], curves)


def adopt(curves, period, **settings):
    return adopt_periods(
        curves,
        np.asarray(period, dtype=float),
        settings=AdoptionSettings(**settings),
        periods=PeriodSettings(),
        search=QUICK,
    )


def source(adopted):
    return [SOURCES[k] for k in adopted.source]


def test_a_listed_period_is_refined_and_its_error_covers_the_truth():
    curves = observe(n_stars=150)
    adopted = adopt(curves, np.full(150, PERIOD * (1 + 2e-5)))
    assert source(adopted) == ["refined"] * 150
    pull = (adopted.period - PERIOD) / adopted.e_period
    assert np.all(np.abs(pull) < 5)
    assert 0.60 < np.mean(np.abs(pull) < 1) < 0.76
    assert np.max(adopted.e_period) < 2e-5
    cycles = (adopted.epoch - EPOCH) / PERIOD
    assert np.max(np.abs(cycles - np.round(cycles))) < 0.02
    assert np.all((adopted.e_epoch > 0) & (adopted.e_epoch < 0.05))


@pytest.mark.parametrize(("factor", "name"), [(0.5, "double"), (2.0, "half")])
def test_half_and_twice_the_listed_period_are_adopted_where_they_are_sure(factor, name):
    adopted = adopt(observe(n_stars=6), np.full(6, PERIOD * factor))
    assert source(adopted) == [name] * 6
    assert adopted.period == pytest.approx(PERIOD, rel=1e-5)
    assert np.all(np.abs(adopted.period - PERIOD) < 5 * adopted.e_period)
    # Errors go with the period.
    ratio = {"double": 2.0, "half": 0.5}[name]
    assert adopted.e_period == pytest.approx(ratio * adopted.listed.e_period)


def test_half_is_not_adopted_below_the_probability_that_is_asked_for():
    # Minima that differ by 0.6 sigma of a point, over a few points: the verdict leans to half, and is not sure.
    curves = observe(
        lambda x: 0.2 * np.cos(2 * np.pi * x) ** 2 + 0.006 * np.cos(np.pi * x), 40, n_points=90, noise=0.02
    )
    listed = np.full(40, 2 * PERIOD)
    bold, wary = (adopt(curves, listed, least_probability=limit, search=False) for limit in (0.5, 0.999))
    half = bold.listed.verdict == PeriodVerdict.HALF
    unsure = half & (bold.listed.p_half >= 0.5) & (bold.listed.p_half < 0.999)
    assert unsure.sum() > 5
    for adopted, limit in ((bold, 0.5), (wary, 0.999)):
        halved = adopted.source == SOURCES.index("half")
        np.testing.assert_array_equal(halved, half & (adopted.listed.p_half >= limit))
    # Who is not sure keeps the refined period.
    assert np.all(wary.source[unsure] == SOURCES.index("refined"))
    assert wary.period[unsure] == pytest.approx(2 * PERIOD, rel=1e-3)
    assert bold.period[unsure] == pytest.approx(PERIOD, rel=1e-3)


def test_survey_leaves_every_listed_period_and_searches_for_none():
    listed = np.array([PERIOD * (1 + 2e-5), PERIOD / 2, 0.617, np.nan])
    adopted = adopt(observe(n_stars=4), listed, use="survey")
    np.testing.assert_array_equal(adopted.period, listed)
    assert source(adopted) == ["survey", "survey", "survey", ""]
    assert np.isnan(adopted.e_period).all()
    # The verdicts are there all the same.
    assert adopted.listed.verdict[1] == PeriodVerdict.DOUBLE


@pytest.mark.parametrize("listed", [np.nan, 0.6171])
def test_a_missing_or_refuted_period_is_searched_for(listed):
    curves = observe(n_stars=2, n_points=250)
    adopted = adopt(curves, [listed, PERIOD])
    assert source(adopted) == ["search", "refined"]
    assert adopted.period == pytest.approx(PERIOD, rel=1e-4)
    assert 0 < adopted.e_period[0] < 1e-3
    assert abs(adopted.period[0] - PERIOD) < 6 * adopted.e_period[0]
    assert np.isfinite(adopted.epoch).all()
    cycles = (adopted.epoch[0] - EPOCH) / PERIOD
    assert abs(cycles - np.round(cycles)) < 0.02
    assert isinstance(adopted.found[0].alias, str)
    without = adopt(curves, [listed, PERIOD], search=False)
    assert source(without) == ["" if np.isnan(listed) else "survey", "refined"]
    assert without.found == {}
    assert np.array_equal(without.period[:1], [listed], equal_nan=True)


@pytest.mark.parametrize("listed", [0.0, -1.0, np.inf])
def test_numbers_that_are_no_periods_count_as_missing(listed):
    adopted = adopt(observe(n_points=250), [listed])
    assert source(adopted) == ["search"]
    assert adopted.period[0] == pytest.approx(PERIOD, rel=1e-4)


def test_noise_and_few_points_have_no_period():
    noise = adopt(observe(lambda x: 0 * x, n_points=200), [np.nan])
    assert source(noise) == [""]
    assert np.isnan(noise.period[0])
    few = adopt(observe(n_points=25), [np.nan])
    assert source(few) == [""]
    assert np.isnan(few.period[0])
    empty = pack_light_curves(["x"], [LightCurve(np.empty(0), np.empty(0, np.float32), np.empty(0, np.float32))])
    assert source(adopt(empty, [0.7])) == ["survey"]
    assert source(adopt(empty, [np.nan])) == [""]


def sawtooth(cycles):
    phase = (2 * cycles) % 1
    return 0.4 * np.where(phase < 0.75, phase / 0.75, (1 - phase) / 0.25)


def test_stars_are_told_apart_by_what_they_vary_as():
    binary = adopt(observe(n_stars=3, n_points=250), [PERIOD, PERIOD / 2, np.nan])
    assert list(variability(binary)) == ["eclipsing"] * 3
    assert list(variability(adopt(observe(sawtooth, 2, n_points=250), [PERIOD, np.nan]))) == ["other"] * 2
    assert variability(adopt(observe(lambda x: 0 * x, n_points=200), [PERIOD]))[0] in ("none", "undecided")
    assert variability(adopt(observe(n_points=20), [np.nan]))[0] == "undecided"


def test_no_stars_are_no_error():
    adopted = adopt(pack_light_curves([], []), [])
    assert len(adopted.period) == len(adopted.source) == len(adopted.found) == 0


def test_probabilities_are_named_and_unknown_where_nothing_was_judged():
    curves = observe(n_stars=3)
    adopted = adopt(curves, [PERIOD, PERIOD / 2, np.nan])
    columns = judgement_columns(adopted)
    assert set(columns) == {"p_confirmed", "p_half", "p_double", "p_not_eclipsing", "p_refuted"}
    total = np.sum(list(columns.values()), axis=0)
    assert total[:2] == pytest.approx(1.0)
    assert np.isnan(total[2])
    assert columns["p_confirmed"][0] > 0.9
    assert columns["p_double"][1] > 0.9
    assert all(name in {item.name for item in fields(PeriodJudgements)} for name in columns)


def test_a_star_does_not_depend_on_those_beside_it():
    curves = observe(n_stars=4, n_points=250, seed=3)
    listed = np.array([PERIOD, PERIOD / 2, np.nan, 2 * PERIOD])
    together = adopt(curves, listed)
    assert source(together) == ["refined", "double", "search", "half"]
    for star in range(4):
        alone = adopt(curves.stars_at(np.array([star])), listed[star : star + 1])
        for name in ("period", "e_period", "source", "epoch", "e_epoch", "verdict", "ambiguous"):
            np.testing.assert_array_equal(getattr(alone, name)[0], getattr(together, name)[star], err_msg=name)
        assert alone.found.get(0) == together.found.get(star)


@pytest.mark.parametrize(
    "wrong", [{"use": "mine"}, {"least_probability": 0.4}, {"least_probability": 1.1}, {"find": True}]
)
def test_wrong_settings_are_refused_by_name(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        AdoptionSettings(**wrong)
