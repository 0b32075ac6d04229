"""The ranking of a mock survey whose truth is known, and of stars at given inclinations."""

import subprocess
import sys

import numpy as np
import pytest
from astropy.table import QTable, Table

from cbminer.classifier.calibration import with_prior
from cbminer.classifier.classes import CLASSES
from cbminer.classifier.evaluation import area_under_curve
from cbminer.classifier.prediction import ClassPrior
from cbminer.cli import main
from cbminer.columns import label_column, values
from cbminer.errors import InputFormatError, SettingsError
from cbminer.flags import Flag
from cbminer.measurement import StarTask, fit_curves, summarise
from cbminer.pipeline import open_survey, run_selection
from cbminer.ranking.evidence import curve_evidence, population_densities
from cbminer.ranking.hypotheses import HYPOTHESES
from cbminer.ranking.odds import contact_ranks, is_degenerate
from cbminer.ranking.reliability import reliability
from cbminer.ranking.shape_library import shape_library
from cbminer.reopening import judge_new_stars, rank_stars, run_contexts
from cbminer.report.products import write_products
from cbminer.report.ranking import compare_choices, mixture_lines, reason_of
from cbminer.report.summary import summary_lines
from cbminer.reranking import rank_run
from cbminer.settings import load_settings
from cbminer.survey.mock import TRUTH_FILE
from cbminer.survey.packed import pack_light_curves
from cbminer.survey.photometry_file import LightCurve
from cbminer.synthetic.cadence import sample_light_curve, seasonal_cadence
from cbminer.synthetic.shapes import roche_shape
from cbminer.synthetic.systems import BinarySystems

N_STARS = 700


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on a mock survey that nothing was trained on: settings, selection, truth, folder."""
    folder = tmp_path_factory.mktemp("ranking")
    settings = load_settings()
    settings = settings.model_copy(update={"seed": 987, "mock": settings.mock.model_copy(update={"n_lmc": N_STARS})})
    archive = open_survey("mock", ["LMC"], settings=settings, cache=folder / "cache")
    selection = run_selection(archive, ["LMC"], settings=settings, survey="mock", jobs=2)
    (folder / "run").mkdir()
    write_products(folder / "run", selection, command="cbminer select")
    truth = Table.read(next((folder / "cache").glob(f"mock/*/{TRUTH_FILE}")), format="ascii.ecsv")
    truth.add_index("id")
    truth = truth.loc[label_column(selection.stars, "id").tolist()]
    return settings, selection, truth, folder


def test_probabilities_hold_and_sort(run):
    _, selection, truth, _ = run
    stars = selection.stars
    known = np.isfinite(values(stars, "P_contact"))
    contact, probability = np.asarray(truth["kind"] == "contact")[known], values(stars, "post_contact")[known]
    assert reliability(probability, contact).expected_error < 0.05
    assert area_under_curve(probability[contact], probability[~contact]) > 0.97
    # Better than the light curve alone.
    alone = values(stars, "P_contact")[known]
    assert area_under_curve(probability[contact], probability[~contact]) > area_under_curve(
        alone[contact], alone[~contact]
    )
    # The survey itself says how many there are, and that none has a fill-out above 0.7.
    ranker = selection.clouds[0].ranker
    within = dict(zip(shape_library().kinds, ranker.mixture.within, strict=True))
    assert within["fill-out above 2/3"] < 0.15
    assert ranker.record()["within"].keys() == within.keys()
    assert selection.clouds[0].ranker.mixture.share[0] == pytest.approx(contact.mean(), abs=0.035)


def test_posteriors_and_odds_add_up(run):
    stars = run[1].stars
    posterior = np.column_stack([values(stars, f"post_{name}") for name in HYPOTHESES])
    known = np.isfinite(posterior).all(axis=1)
    np.testing.assert_allclose(posterior[known].sum(axis=1), 1.0, atol=6e-5)
    parts = sum(values(stars, f"ln_odds_{name}") for name in ("prior", "place", "curve"))
    np.testing.assert_allclose(parts, values(stars, "ln_odds"), atol=2e-3)
    some = known & (posterior[:, 0] > 0.01) & (posterior[:, 1] > 0.01)
    np.testing.assert_allclose(
        np.log(posterior[some, 0] / posterior[some, 1]), values(stars, "ln_odds")[some], atol=2e-3
    )


def test_missing_numbers_are_flagged_and_ranked_all_the_same(run):
    stars = run[1].stars
    flags = np.asarray(stars["flags"])
    no_colour, no_curve = np.isnan(values(stars, "VI0", "mag")), np.isnan(values(stars, "P_contact"))
    assert no_colour.any()
    assert no_curve.any()
    np.testing.assert_array_equal(
        (flags & Flag.NO_PLACE_EVIDENCE) != 0, no_colour | np.isnan(values(stars, "period", "d"))
    )
    np.testing.assert_array_equal(
        (flags & Flag.NO_CURVE_EVIDENCE) != 0, no_curve & np.isnan(values(stars, "depth1", "mag"))
    )
    assert np.isfinite(values(stars, "post_contact")[no_colour | no_curve]).all()
    assert np.isnan(values(stars, "contact_level")[no_colour]).all()
    assert not np.asarray(stars["bona_fide"])[no_colour].any()
    outside = (flags & Flag.OUTSIDE_POPULATION) != 0
    assert (values(stars, "hull_distance")[outside] > 0).all()


def test_the_bona_fide_set_is_the_part_of_the_candidates_in_the_contour(run):
    settings, selection, _, _ = run
    stars = selection.stars
    selected, level = np.asarray(stars["selected"], dtype=bool), values(stars, "contact_level")
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(np.asarray(stars["bona_fide"]), selected & (level <= settings.ranking.contour))
    choices = compare_choices(stars)
    assert choices["stars"].tolist()[0] == selected.sum()
    assert choices["stars"][1] == choices["stars"][2] == np.sum(stars["bona_fide"])
    # By its own odds the ranking holds as many contact binaries at least.
    assert choices["expected_contact"][2] >= choices["expected_contact"][1]


def test_ranks_follow_the_probability(run):
    stars = run[1].stars
    probability = values(stars, "post_contact")
    for name, chosen in (("rank", np.asarray(stars["selected"], dtype=bool)), ("contact_rank", None)):
        rank = np.asarray(stars[name])
        if chosen is not None:
            np.testing.assert_array_equal(rank > 0, chosen)
        order = np.argsort(rank[rank > 0])
        assert sorted(rank[rank > 0]) == list(range(1, (rank > 0).sum() + 1))
        assert (np.diff(probability[rank > 0][order]) <= 0).all()
    assert (np.asarray(stars["contact_rank"]) > 0).sum() > (np.asarray(stars["rank"]) > 0).sum()


def test_errors_of_colour_and_magnitude_are_correlated(run):
    _, selection, _, _ = run
    population, stars = selection.clouds[0].ranker.population, selection.stars[:60].copy()
    places = population.places(stars)
    known = np.isfinite(values(stars, "M_V", "mag"))
    assert known.sum() > 30
    density = population.everywhere["contact"]
    arguments = [np.log10(values(stars, "period", "d")), values(stars, "M_V", "mag"), values(stars, "VI0", "mag")]
    errors = {name: values(stars, name, "mag") for name in ("e_M_V", "e_VI0")}
    covariance = values(stars, "cov_M_V_VI0", "mag2")
    assert (covariance[known] != 0).all()
    np.testing.assert_allclose(
        places.density["contact"][known], density.at(*arguments, **errors, cov_M_V_VI0=covariance)[known]
    )
    independent = density.at(*arguments, **errors)[known]
    some = independent > 1e-3
    assert (np.abs(places.density["contact"][known][some] / independent[some] - 1) > 0.02).any()


def test_the_network_s_own_prior_is_taken_out(run):
    stars = run[1].stars[:40].copy()
    even = curve_evidence(stars, curve="both", prior=ClassPrior()).log_kind
    uneven = ClassPrior(contact=5.0)
    probability = np.column_stack([values(stars, f"P_{name}") for name in CLASSES])
    for name, column in zip(CLASSES, with_prior(probability, uneven.weights()).T, strict=True):
        stars[f"P_{name}"] = column
    np.testing.assert_allclose(curve_evidence(stars, curve="both", prior=uneven).log_kind, even, atol=0.02)
    assert not np.allclose(curve_evidence(stars, curve="both", prior=ClassPrior()).log_kind, even, atol=0.02)


def test_few_light_curves_say_nothing_of_stars_without_one(run):
    settings, selection, _, _ = run
    has_curve = np.isfinite(values(selection.stars, "P_contact"))
    few = np.concatenate([np.flatnonzero(has_curve)[:5], np.flatnonzero(~has_curve)])
    ranked, rankers = rank_stars(selection.stars[few], settings)
    posterior = values(ranked, "post_contact")
    assert np.isfinite(posterior[:5]).all()
    without = np.isnan(values(ranked, "P_contact")) & np.isnan(values(ranked, "depth1", "mag"))
    assert np.isnan(posterior[without]).all()
    assert (np.asarray(ranked["contact_rank"])[without] == 0).all()
    lines = list(mixture_lines("LMC", rankers["LMC"].record()))
    assert any("5 light curves" in line and "hardly known" in line for line in lines)
    assert "no light curve" in reason_of(ranked[np.flatnonzero(without)[:1]])
    nobody, none = rank_stars(selection.stars[:0], settings)
    assert (len(nobody), none) == (0, {})


def test_settings_over_those_of_the_run_keep_the_rest(run, tmp_path):
    folder = run[3] / "run"
    narrow = tmp_path / "narrow.toml"
    narrow.write_text('[ranking]\ncontour = 0.5\n\n[population.detection]\nleast_depth = "0.3 mag"\n')
    changed = rank_run(folder, given=narrow)
    assert (
        changed.record["LMC"]["predicted_numbers"]["contact"]
        < rank_run(folder).record["LMC"]["predicted_numbers"]["contact"]
    )
    other = tmp_path / "other.toml"
    other.write_text('[selection.period]\nperiod_max = "2 d"\n')
    with pytest.raises(SettingsError, match=r"only \[ranking\] and \[population\]"):
        rank_run(folder, given=other)


def test_ties_are_told_apart_by_odds_and_then_by_name():
    stars = QTable({"id": ["b", "a", "c", "d"], "post_contact": [0.5, 0.5, 0.5, 0.9], "ln_odds": [1.0, 1.0, 2.0, 0.0]})
    assert contact_ranks(stars, np.array([True, True, True, True])).tolist() == [4, 3, 2, 1]
    assert contact_ranks(stars, np.array([True, False, False, False])).tolist() == [1, 0, 0, 0]


def test_new_stars_are_judged_as_those_of_the_run(run):
    """Stars of the survey themselves, given again as new ones, get the same verdict on every cut."""
    _, selection, _, folder = run
    reopened = run_contexts(folder / "run", cache=folder / "cache")
    context = reopened.clouds["LMC"]
    reading = reopened.archive.catalogue("LMC").stars[:40]
    names = label_column(reading, "id").tolist()
    curves = reopened.archive.light_curves("LMC", names).read(names).curves
    reading["survey"] = np.full(len(reading), "mock")
    judged = judge_new_stars(reading, curves, context=context)
    before = selection.stars[:40]
    for name in ("failed", "undecided", "selected", "n_points"):
        np.testing.assert_array_equal(np.ma.filled(judged[name], -1), np.ma.filled(before[name], -1))
    for name, unit in (
        ("M_V", "mag"),
        ("W", ""),
        ("c", ""),
        ("P_contact", ""),
        ("plc_residual", "mag"),
        ("period", "d"),
    ):
        np.testing.assert_array_equal(values(judged, name, unit), values(before, name, unit))
    # Of the survey's own stars each is left out when its place is weighed.
    np.testing.assert_allclose(values(judged, "ln_odds_curve"), values(before, "ln_odds_curve"), atol=2e-3)
    assert np.abs(values(judged, "post_contact") - values(before, "post_contact")).max() < 0.2
    assert (np.asarray(judged["flags"]) & Flag.NO_LIGHT_CURVE).astype(bool).sum() == (
        np.diff(curves.offsets) == 0
    ).sum()


def test_a_run_is_ranked_again_as_it_was(run):
    settings, selection, _, _ = run
    again, _ = rank_stars(selection.stars, settings)
    for name in ("rank", "contact_rank"):
        np.testing.assert_array_equal(again[name], selection.stars[name])


def test_the_command_ranks_with_other_settings(run, capsys, tmp_path):
    folder = run[3] / "run"
    assert main(["rank", "--run", str(folder), "--top", "3", "--out", str(tmp_path / "ranked.ecsv")]) == 0
    shown = capsys.readouterr().out
    assert "SIMULATED STARS" in shown
    assert "ln odds" in shown
    written = Table.read(tmp_path / "ranked.ecsv", format="ascii.ecsv")
    assert written["rank"].tolist() == list(range(1, len(written) + 1))
    assert written.meta["survey"] == "mock"
    narrow = tmp_path / "narrow.toml"
    narrow.write_text("[ranking]\ncontour = 0.2\n")
    assert main(["rank", "--run", str(folder), "--settings", str(narrow), "--all"]) == 0
    few = capsys.readouterr().out
    bona_fide = [
        int(line.split()[2]) for text in (shown, few) for line in text.splitlines() if line.startswith("bona fide")
    ]
    assert bona_fide[1] < bona_fide[0]
    assert main(["rank", "--run", str(folder), "--out", str(tmp_path / "ranked.ecsv")]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main(["rank", "--run", str(folder), "--out", str(tmp_path / "ranked.txt")]) == 1
    assert main(["rank", "--run", str(tmp_path / "nowhere")]) != 0


def test_the_summary_and_the_explanation_say_why(run, capsys):
    _, selection, _, folder = run
    lines = list(summary_lines(selection))
    assert any(line.strip().startswith("ln odds") for line in lines)
    assert any(line.startswith("bona fide:") for line in lines)
    assert (folder / "run" / "figures" / "odds_LMC.png").stat().st_size > 10_000
    assert Table.read(folder / "run" / "choices.ecsv", format="ascii.ecsv")["stars"][0] == len(selection.candidates)
    star = str(selection.candidates["id"][0])
    assert main(["explain", star, "--run", str(folder / "run")]) == 0
    told = capsys.readouterr().out
    assert "ln odds of contact against near contact" in told
    assert "theory alone" in told


def test_a_grid_without_contact_ends_the_run_before_light_curves_are_read(tmp_path):
    with pytest.raises((InputFormatError, OSError)):
        population_densities("LMC", settings=load_settings().population, grid=str(tmp_path))


def observed(systems, *, I_mag, seed, third_light=0.0):
    """Likelihoods and depths of systems that OGLE-IV observes at that magnitude."""
    settings = load_settings()
    packed, tasks = [], []
    for number in range(len(systems)):
        rng = np.random.default_rng([seed, number])
        shape = roche_shape(systems[number])
        period, epoch = 0.8, 2455500.0
        points = sample_light_curve(
            shape.relative_magnitude,
            seasonal_cadence("LMC", settings.sampling, rng=rng),
            brightest={"I": I_mag},
            period=period,
            epoch=epoch,
            settings=settings.sampling,
            rng=rng,
            third_light={"I": third_light},
        )["I"]
        packed.append(LightCurve(points.time, points.mag.astype(np.float32), points.mag_err.astype(np.float32)))
        tasks.append(StarTask(str(number), period, epoch))
    curves = pack_light_curves([task.star for task in tasks], packed)
    fitted = fit_curves(curves, tasks, settings=settings.measurement)
    shapes = summarise(fitted, tasks, classifier=settings.classifier).shapes
    table = QTable(
        {
            ("c_measured" if name == "c" else "e_c_measured" if name == "e_c" else name): data
            for name, data in shapes.items()
        }
    )
    log_curve = curve_evidence(table, curve="both", prior=settings.classifier.prior).by_hypothesis()
    ranking = settings.ranking
    return is_degenerate(
        log_curve, values(table, "depth1"), factor=ranking.degenerate_factor, depth=ranking.degenerate_depth
    ), log_curve


def test_below_50_degrees_equal_minima_are_degenerate():
    inclination = np.repeat([35.0, 42.0, 48.0], 4)
    fillout, mass_ratio = np.tile([0.05, 0.15, 0.3, 0.3], 3), np.tile([1.0, 0.9, 1.0, 0.7], 3)
    contact = BinarySystems.contact(mass_ratio, inclination, fillout_factor=fillout, teff_1=25000.0)
    assert observed(contact, I_mag=17.0, seed=6)[0].all()
    near = BinarySystems.detached(
        1.0, [40.0, 48.0], lobe_filling_1=0.98, lobe_filling_2=0.98, teff_1=25000.0, teff_2=25000.0
    )
    assert observed(near, I_mag=17.0, seed=7)[0].all()


def test_at_80_degrees_deep_contact_is_not_degenerate():
    contact = BinarySystems.contact([1.0, 0.9, 0.7], 80.0, fillout_factor=0.3, teff_1=25000.0)
    degenerate, log_curve = observed(contact, I_mag=17.0, seed=8)
    assert not degenerate.any()
    assert (log_curve.argmax(axis=1) == 0).all()
    near = BinarySystems.detached(
        1.0, [75.0, 80.0], lobe_filling_1=0.95, lobe_filling_2=0.95, teff_1=25000.0, teff_2=25000.0
    )
    degenerate, log_curve = observed(near, I_mag=17.0, seed=9)
    assert not degenerate.any()
    assert (log_curve.argmax(axis=1) == 1).all()


def test_the_ranking_needs_no_torch(run):
    code = (
        "import sys; import cbminer.ranking.odds; "
        "assert not {'torch', 'phoebe'} & set(sys.modules), sorted({'torch', 'phoebe'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
