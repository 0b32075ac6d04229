"""The sample as a function of its limits: one at a time, jointly, in a plane; the command sensitivity."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import typer
from astropy.table import Table
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from judged_runs import judged, on_relation, random_table, table_of, write_run

from cbminer.cli_run import only_run
from cbminer.cli_sensitivity import sensitivity as command
from cbminer.columns import label_column, values
from cbminer.completeness import sensitivity as sensitivity_module
from cbminer.completeness.limits import changed, loosened, numeric_settings, response_of
from cbminer.completeness.rejudging import Rejudging, read_judged_run
from cbminer.completeness.sensitivity import JointScan, SampleCounts, Sensitivity, measure_sensitivity, scan_limit
from cbminer.completeness.sensitivity_settings import SensitivitySettings
from cbminer.completeness.sensitivity_tables import tabulate_scans, tabulate_summary, tabulate_turning_stars
from cbminer.errors import OutputError, SettingsError, UnknownStarError
from cbminer.flags import Flag
from cbminer.report import sensitivity_products
from cbminer.report.sensitivity_figures import influence_figure
from cbminer.report.sensitivity_products import SensitivityAnalysis, analyse_run, sensitivity_lines
from cbminer.selection.cutflow import SelectionSettings, judge
from cbminer.selection.cuts import PeriodCut, spectral_labels
from cbminer.selection.plc_table import resolve_relation

assert ROOT.is_dir()

CUTS = SelectionSettings()
RANDOM = random_table()
REJUDGING = Rejudging(RANDOM, CUTS)
LIMITS = {limit.path: limit for limit in numeric_settings(CUTS)}
RESPONSES = {path: response_of(REJUDGING, limit) for path, limit in LIMITS.items()}


def with_mode(mode, **more):
    return CUTS.model_copy(update={"plc": CUTS.plc.model_copy(update={"mode": mode, **more})})


def run_command(*arguments):
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command)
    return app(args=[str(argument) for argument in arguments], standalone_mode=False)


def test_every_number_of_the_cuts_is_found_with_its_unit_and_its_bounds():
    dumped = CUTS.model_dump()
    numbers = {f"{cut}.{name}" for cut in dumped for name, value in dumped[cut].items() if isinstance(value, float)}
    assert set(LIMITS) == numbers
    assert "plc.refit_min_stars" not in LIMITS
    assert "period.period_min" not in LIMITS
    assert LIMITS["period.period_max"].unit == "d"
    assert LIMITS["main_sequence.M_V_faint"].unit == "mag"
    assert LIMITS["morphology.c_min"].unit == ""
    assert LIMITS["equal_depths.relative_max"].least == 0.0
    # It may be near to 0, but not 0.
    assert 0 < LIMITS["plc.n_sigma"].least < 0.01
    assert LIMITS["smooth_shape.W_min"].least == -np.inf
    shortest = CUTS.model_copy(update={"period": PeriodCut(period_min="0.3 d")})
    assert {limit.path: limit.value for limit in numeric_settings(shortest)}["period.period_min"] == 0.3


def test_numbers_are_changed_and_nothing_else():
    new = changed(CUTS, {LIMITS["plc.n_sigma"]: 2.0, LIMITS["plc.intrinsic_scatter"]: 0.2})
    assert (new.plc.n_sigma, new.plc.intrinsic_scatter) == (2.0, 0.2)
    same = new.plc.model_copy(update={"n_sigma": 3.0, "intrinsic_scatter": 0.33})
    assert new.model_copy(update={"plc": same}) == CUTS


def test_a_run_is_judged_again_as_it_was():
    assert 10 < np.asarray(RANDOM["selected"]).sum() < 290
    np.testing.assert_array_equal(REJUDGING.selected(CUTS), np.asarray(RANDOM["selected"]))
    # By the same numbers, rounded as in the catalogue.
    for name, unit in (("plc_residual", "mag"), ("plc_significance", "")):
        np.testing.assert_array_equal(REJUDGING.stars[name], values(RANDOM, name, unit))


@settings(max_examples=20, deadline=None)
@given(path=st.sampled_from(sorted(LIMITS)), share=st.floats(-1.5, 1.5))
def test_a_changed_limit_is_judged_as_the_cuts_themselves_do(path, share):
    limit = LIMITS[path]
    new = changed(CUTS, {limit: limit.allowed(limit.value + share * (abs(limit.value) or 0.1))})
    expected = judge(on_relation(RANDOM, new), new)
    np.testing.assert_array_equal(REJUDGING.selected(new), np.asarray(expected["selected"]))
    np.testing.assert_array_equal(REJUDGING.labels(new), spectral_labels(RANDOM, new.main_sequence))


@settings(max_examples=60, deadline=None)
@given(
    path=st.sampled_from(sorted(LIMITS)),
    first=st.floats(-3, 3),
    second=st.floats(-3, 3),
)
def test_a_wider_limit_never_loses_a_star(path, first, second):
    limit, response = LIMITS[path], RESPONSES[path]
    tight, loose = sorted((first, second))
    if response.direction == 0:
        # Only the boundary of the labels takes no star out.
        assert path == "main_sequence.O_star_M_V"
    narrow, wide = (REJUDGING.selected(changed(CUTS, {limit: loosened(limit, response, x)})) for x in (tight, loose))
    assert not (narrow & ~wide).any()


def test_directions_are_those_in_which_limits_let_stars_in():
    higher = {path for path, response in RESPONSES.items() if response.direction == 1}
    lower = {path for path, response in RESPONSES.items() if response.direction == -1}
    assert lower == {
        "main_sequence.M_V_bright", "equal_depths.min_significance", "smooth_shape.W_min", "morphology.c_min",
    }  # fmt: skip
    assert higher == set(LIMITS) - lower - {"main_sequence.O_star_M_V"}


def test_the_derivative_is_that_of_a_count_by_hand():
    # Beside M_V = -1: two come up to -0.9, one more beyond; three go down to -1.1.
    stars = table_of(9, M_V=[-0.95, -0.92, -0.8, -1.02, -1.05, -1.08, -2.0, -3.0, -4.0])
    assert np.asarray(stars["selected"]).tolist() == [False] * 3 + [True] * 6
    scan = scan_limit(Rejudging(stars, CUTS), LIMITS["main_sequence.M_V_faint"], n_values=11)
    assert scan.moved == (2, 3)
    assert scan.per_10_percent[:3] == pytest.approx([2.5, 0.0, 2.5])
    assert scan.per_unit[0] == pytest.approx(25.0)
    assert np.isnan(scan.per_10_percent[3])
    low = scan_limit(Rejudging(stars, CUTS), LIMITS["main_sequence.M_V_bright"], n_values=11)
    assert low.per_unit[0] == pytest.approx(0.0)
    # -5.85 to -7.15 holds none, and the boundary between O and B moves one star in 20 %.
    labels = scan_limit(Rejudging(stars, CUTS), LIMITS["main_sequence.O_star_M_V"], n_values=11)
    assert labels.sample.counts[labels.of_run, :3].tolist() == [6, 1, 5]
    tight, loose = labels.beside
    assert labels.sample.counts[[tight, loose], 1].tolist() == [0, 1]


def test_a_higher_limit_that_takes_stars_out_has_a_negative_rate_for_its_unit():
    stars = table_of(6, c=[0.64, 0.68, 0.72, 0.75, 0.9, 0.9])
    scan = scan_limit(Rejudging(stars, CUTS), LIMITS["morphology.c_min"], n_values=11)
    assert scan.moved == (2, 2)
    assert scan.per_10_percent[0] == pytest.approx(2.0)
    assert scan.per_unit[0] == pytest.approx(-2.0 / 0.07)


def test_a_limit_of_zero_has_a_tenth_of_its_range_for_10_percent():
    M_V = np.array([-1.4, -1.3, -1.2, -1.1, -1.05, -2.0])
    stars = table_of(6, M_V=M_V, off=[0, 0, 0, -0.8, -0.8, 0], e_E_VI=0.1)
    scan = scan_limit(Rejudging(stars, CUTS), LIMITS["main_sequence.VI0_ceiling"], n_values=11)
    assert scan.response.scale == pytest.approx(0.5 * (scan.response.high - scan.response.low))
    tight, loose = scan.beside
    assert scan.values[loose] - scan.values[tight] == pytest.approx(0.2 * scan.response.scale)


def test_the_effect_of_a_typical_error_is_that_of_moving_the_limit_by_it():
    W = np.linspace(-0.02, 0.02, 401)
    stars = table_of(401, W=W, e_W=0.002)
    scan = scan_limit(Rejudging(stars, CUTS), LIMITS["smooth_shape.W_min"], n_values=41)
    assert scan.response.typical_error == pytest.approx(0.002)
    # One star in 1e-4.
    assert scan.per_error == pytest.approx(20.0, rel=0.1)


def test_ranges_reach_from_half_to_twice_of_the_sample():
    W = np.linspace(-0.02, 0.02, 401)
    scan = scan_limit(Rejudging(table_of(401, W=W), CUTS), LIMITS["smooth_shape.W_min"], n_values=41)
    n = scan.sample.counts[:, 0]
    own = n[scan.of_run]
    assert n.min() == pytest.approx(own / 2, abs=3)
    assert n.max() == pytest.approx(min(2 * own, 401), abs=3)


def test_a_limit_that_another_one_hides_is_followed_to_where_it_counts():
    # Errors of the colour widen the limit up to the ceiling: VI0_max itself does nothing near its value.
    stars = table_of(200, M_V=np.linspace(-3.6, -1.05, 200), e_E_VI=0.05)
    response = response_of(Rejudging(stars, CUTS), LIMITS["main_sequence.VI0_max"])
    assert response.direction == 1
    scan = scan_limit(Rejudging(stars, CUTS), LIMITS["main_sequence.VI0_max"])
    assert scan.moved == (0, 0)
    assert scan.sample.counts[0, 0] < scan.sample.counts[scan.of_run, 0]


@pytest.fixture(scope="module")
def measured():
    return measure_sensitivity(REJUDGING, settings=SensitivitySettings(n_values=11, map_values=5))


def test_limits_together_start_from_the_run_and_only_gain(measured):
    joint = measured.joint
    assert len(joint.limits) == len(LIMITS) - 1
    own = int(np.flatnonzero(joint.shares == 0)[0])
    np.testing.assert_array_equal(joint.sample.selected[own], np.asarray(RANDOM["selected"]))
    for narrow, wide in zip(joint.sample.selected[:-1], joint.sample.selected[1:], strict=True):
        assert not (narrow & ~wide).any()
    assert joint.sample.counts[0, 0] < joint.sample.counts[own, 0] < joint.sample.counts[-1, 0]
    every = {limit: loosened(limit, RESPONSES[limit.path], 0.3) for limit in joint.limits}
    assert joint.sample.counts[-1, 0] == REJUDGING.selected(changed(CUTS, every)).sum()


def test_the_plane_is_of_the_two_limits_that_move_most(measured):
    first, second = measured.scans[:2]
    plane = measured.plane
    assert (plane.x, plane.y) == (first.limit, second.limit)
    assert sum(first.moved) >= sum(second.moved) >= sum(measured.scans[2].moved)
    new = changed(CUTS, {plane.x: float(plane.x_values[1]), plane.y: float(plane.y_values[3])})
    assert plane.counts[3, 1] == REJUDGING.selected(new).sum()


def test_tables_count_and_name_the_stars_that_come_and_go(measured):
    scans, summary = tabulate_scans(measured), tabulate_summary(measured)
    turning = tabulate_turning_stars(REJUDGING, measured)
    own = scans[np.asarray(scans["of_run"])]
    n_run = int(np.asarray(RANDOM["selected"]).sum())
    assert len(own) == len(LIMITS) + 1
    assert (np.asarray(own["n"]) == n_run).all()
    assert (np.asarray(own["n_come"]) == 0).all()
    np.testing.assert_array_equal(np.asarray(scans["n"]), n_run + np.asarray(scans["n_come"] - scans["n_go"]))
    in_box = np.asarray(scans["n_O"]) + np.asarray(scans["n_B"])
    np.testing.assert_array_equal(in_box, np.asarray(scans["n"]))
    assert scans["n_bona_fide"].mask.all()
    assert set(label_column(summary, "setting")) == {f"selection.{path}" for path in LIMITS}
    assert (summary["n_loose"] - summary["n"] == summary["n_come"])[np.asarray(summary["loosens"]) != "neither"].all()
    # A star turns where the table says: not one value nearer to that of the run.
    selected = np.asarray(RANDOM["selected"])
    places = {name: row for row, name in enumerate(RANDOM["id"])}
    by_path = {f"selection.{scan.limit.path}": scan for scan in measured.scans}
    for row in turning[:: len(turning) // 40]:
        scan, star = by_path[row["setting"]], places[row["id"]]
        k = int(np.argmin(np.abs(scan.values - row["value"])))
        assert scan.sample.selected[k, star] != selected[star]
        nearer = k + (1 if scan.values[k] < scan.limit.value else -1)
        assert scan.sample.selected[nearer, star] == selected[star]
        assert row["change"] == ("goes" if selected[star] else "comes")


def test_the_bona_fide_set_is_counted_where_the_run_has_it():
    stars = RANDOM.copy()
    chosen = np.asarray(stars["selected"])
    stars["bona_fide"] = chosen & (np.arange(len(stars)) % 2 == 0)
    scan = scan_limit(Rejudging(stars, CUTS), LIMITS["morphology.c_min"], n_values=5)
    expected = (scan.sample.selected & np.asarray(stars["bona_fide"])).sum(axis=1)
    np.testing.assert_array_equal(scan.sample.counts[:, 3], expected)
    assert 0 < expected.min() < expected.max()


def test_the_relation_is_followed_where_its_own_settings_change():
    new = changed(CUTS, {LIMITS["plc.intrinsic_scatter"]: 0.05})
    assert REJUDGING.selected(new).sum() < REJUDGING.selected(CUTS).sum()
    given_ones = with_mode("coefficients", a=-3.0, b=9.0, c=-0.5)
    rejudging = Rejudging(judged(RANDOM, given_ones), given_ones)
    limits = {limit.path: limit for limit in numeric_settings(given_ones)}
    assert {"plc.a", "plc.b", "plc.c"} <= set(limits)
    shifted = changed(given_ones, {limits["plc.c"]: 0.5})
    assert (rejudging.selected(shifted) != rejudging.selected(given_ones)).any()
    # A zero point lets some stars in and others out.
    assert response_of(rejudging, limits["plc.c"]).direction == 0


def test_a_fitted_relation_is_fitted_anew_to_what_a_limit_leaves():
    refit = with_mode("refit")
    stars = judged(RANDOM, refit)
    rejudging = Rejudging(stars, refit)
    np.testing.assert_array_equal(rejudging.selected(refit), np.asarray(stars["selected"]))
    limit = LIMITS["main_sequence.M_V_faint"]
    new = changed(refit, {limit: -2.0})
    expected = judged(stars, new)
    np.testing.assert_array_equal(rejudging.selected(new), np.asarray(expected["selected"]))
    lmc = stars[label_column(stars, "galaxy") == "LMC"]
    assert resolve_relation(lmc, refit).b != resolve_relation(lmc, new).b


@pytest.fixture(scope="module")
def barely_fitted():
    """A relation fitted to the fewest stars that a fit takes: any tighter limit leaves too few."""
    # Every Cloud has stars between M_V = -1.0 and -1.1.
    stars = random_table(60, settings=CUTS, M_V=np.tile([-1.05, -1.5, -2.0, -2.5, -3.0, -3.5], 10))
    n_contact = [int((CUTS.main_sequence.apply(part).passed & CUTS.period.apply(part).passed).sum()) for part in
                 (stars[label_column(stars, "galaxy") == name] for name in ("LMC", "SMC"))]  # fmt: skip
    refit = with_mode("refit", refit_min_stars=min(n_contact))
    rejudging = Rejudging(judged(stars, refit), refit)
    paths = ("morphology.c_min", "main_sequence.M_V_faint")
    scans = [scan_limit(rejudging, LIMITS[path], n_values=5) for path in paths]
    sample = scans[1].sample
    rows = [scans[1].beside[0], scans[1].of_run]
    cut = SampleCounts(sample.counts[rows], sample.selected[rows], sample.unread[rows])
    return rejudging, Sensitivity(scans, JointScan(np.array([-0.1, 0.0]), [scans[1].limit], cut), None)


def test_limits_that_leave_too_few_stars_for_a_fit_are_unknown(barely_fitted):
    scan = barely_fitted[1].scans[1]
    known = ~np.isnan(scan.sample.counts[:, 0])
    assert known[scan.of_run]
    assert not known[scan.values < -1.1 - 1e-6].all()
    # The margins tell the direction all the same.
    assert scan.response.direction == 1
    assert scan.known == (True, False)
    assert np.isnan(scan.per_10_percent).all()


def test_what_is_unknown_is_shown_as_unknown_not_as_lost(barely_fitted, tmp_path):
    rejudging, found = barely_fitted
    scan = found.scans[1]
    assert scan.moved[1] == 0
    summary, table = tabulate_summary(found), tabulate_scans(found)
    assert summary["n_go"].mask.tolist() == [False, True]
    assert not summary["n_come"].mask.any()
    np.testing.assert_array_equal(table["n_go"].mask, table["n"].mask)
    np.testing.assert_array_equal(table["n_come"].mask, table["n"].mask)
    assert table["n"].mask.any()
    run = read_judged_run(write_run(tmp_path / "run", rejudging.stars, settings=rejudging.settings))
    lines = list(sensitivity_lines(SensitivityAnalysis(run, SensitivitySettings(), 1, rejudging, found)))
    row = next(line.split() for line in lines if line.startswith("main_sequence.M_V_faint"))
    assert row[3] == row[5] == "unknown"
    assert "too few stars are left to fit the relation within 10 % of main_sequence.M_V_faint" in lines
    assert any("-10 % looser unknown, +0 % looser" in line for line in lines)
    texts = [text.get_text() for text in influence_figure(found.scans, survey="ogle").axes[0].texts]
    assert texts.count("?") == 1


def test_limits_of_which_nothing_is_known_stand_last(monkeypatch):
    real = sensitivity_module.scan_limit

    def scan_without_fit(rejudging, limit, **options):
        scan = real(rejudging, limit, **options)
        if limit.path == "main_sequence.M_V_faint":
            scan.sample.counts[:] = np.nan
        return scan

    monkeypatch.setattr(sensitivity_module, "scan_limit", scan_without_fit)
    found = measure_sensitivity(REJUDGING, settings=SensitivitySettings(n_values=5, map_values=3))
    # Behind those that are known to move none.
    assert found.scans[-1].limit.path == "main_sequence.M_V_faint"
    assert sum(found.scans[-2].moved) == 0 < sum(found.scans[0].moved)


def test_stars_without_a_light_curve_that_was_read_are_told_of():
    stars = table_of(4, M_V=[-0.95, -0.95, -2.0, -2.0])
    stars["flags"] = np.array([int(Flag.LIGHT_CURVE_NOT_READ), 0, 0, 0])
    for name in ("W", "depth1"):
        stars[name].mask[0] = True
    scan = scan_limit(Rejudging(judged(stars, CUTS), CUTS), LIMITS["main_sequence.M_V_faint"], n_values=5)
    tight, loose = scan.beside
    assert scan.sample.unread[[tight, scan.of_run, loose]].tolist() == [0, 0, 1]
    assert scan.sample.counts[[scan.of_run, loose], 0].tolist() == [2, 3]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    own = SensitivitySettings(n_values=9, map_values=3, joint_share=0.2)
    return write_run(tmp_path_factory.mktemp("runs") / "cbminer-lmc", RANDOM, sensitivity=own)


def test_the_command_writes_tables_figures_and_a_summary(run, tmp_path, capsys, monkeypatch):
    file = tmp_path / "my.toml"
    file.write_text("seed = 3\n[sensitivity]\nn_values = 7\nmap_values = 5\n")
    arguments = ("--run", run, "--bootstrap", 12, "--out", tmp_path / "s", "--settings", file)
    run_command(*arguments)
    said = capsys.readouterr().out
    n_run = int(np.asarray(RANDOM["selected"]).sum())
    assert f"{n_run} stars in the sample" in said
    assert "12 draws of the funnel" in said
    assert "SIMULATED" not in said
    for stem in ("one_limit", "influence", "all_limits", "two_limits", "sample_size", "stability"):
        assert (tmp_path / "s" / "figures" / f"{stem}.png").read_bytes().startswith(b"\x89PNG")
    summary = Table.read(tmp_path / "s" / "sensitivity_summary.ecsv")
    first = summary[0]
    assert f"{first['setting'].removeprefix('selection.')}" in said
    stars = Table.read(tmp_path / "s" / "bootstrap.ecsv")
    assert set(stars["id"][np.asarray(stars["selected"])]) == set(RANDOM["id"][np.asarray(RANDOM["selected"])])
    assert (tmp_path / "s" / "summary.txt").read_text().strip() in said
    provenance = json.loads((tmp_path / "s" / "provenance.json").read_text())
    assert provenance["seed"] == found_seed(run)
    # The file stands over the settings of the run, which hold where it says nothing.
    told = provenance["settings"]["sensitivity"]
    assert (told["n_values"], told["map_values"], told["joint_share"], told["draws"]) == (7, 5, 0.2, 12)
    scans = Table.read(tmp_path / "s" / "sensitivity.ecsv")
    assert np.asarray(scans["value"][np.asarray(scans["setting"]) == "all limits"]).max() == pytest.approx(0.2)
    with pytest.raises(OutputError, match="--overwrite"):
        run_command(*arguments)
    # Without draws there is no bootstrap, and nothing of the earlier call is left.
    monkeypatch.setattr(sensitivity_products, "save_figure", lambda *_: [])
    run_command("--run", run, "--bootstrap", 0, "--out", tmp_path / "s", "--overwrite")
    assert "draws" not in capsys.readouterr().out
    assert not (tmp_path / "s" / "bootstrap.ecsv").exists()
    # Without a file those of the run hold.
    told = json.loads((tmp_path / "s" / "provenance.json").read_text())["settings"]["sensitivity"]
    assert (told["n_values"], told["map_values"]) == (9, 3)


def found_seed(run):
    return read_judged_run(run).settings.seed


def test_the_command_refuses_what_is_no_run_or_of_other_cuts(run, tmp_path, monkeypatch):
    with pytest.raises(UnknownStarError, match="there is no run"):
        run_command("--run", tmp_path / "none")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="--run"):
        run_command()
    stars = RANDOM.copy()
    stars["selected"] = ~np.asarray(stars["selected"])
    other = write_run(tmp_path / "other", stars)
    with pytest.raises(OutputError, match="300 stars are judged otherwise"):
        run_command("--run", other)
    (other / "judged.fits").write_bytes(b"no table")
    with pytest.raises(OutputError, match=r"judged\.fits cannot be read"):
        run_command("--run", other)


def test_the_folder_of_a_product_is_no_run(run, tmp_path, monkeypatch):
    monkeypatch.chdir(run)
    product = run / "completeness"
    product.mkdir()
    shutil.copy(run / "provenance.json", product)
    # Within a run it is that run, and beside it the only one.
    assert only_run() == Path()
    monkeypatch.chdir(run.parent)
    assert only_run() == Path(run.name)
    monkeypatch.chdir(product)
    with pytest.raises(SettingsError, match="found none here"):
        only_run()
    shutil.rmtree(product)
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        shutil.copytree(run, tmp_path / name)
    with pytest.raises(SettingsError, match="found a, b"):
        only_run()


def test_the_summary_says_that_stars_are_simulated(run, tmp_path):
    folder = write_run(tmp_path / "mock", RANDOM, survey="mock")
    found = read_judged_run(folder)
    analysis = analyse_run(found, settings=SensitivitySettings(n_values=5, map_values=3, draws=10), seed=1)
    text = "\n".join(sensitivity_lines(analysis))
    assert "SIMULATED STARS" in text
    assert values(found.stars, "M_V", "mag")[0] == pytest.approx(values(RANDOM, "M_V", "mag")[0])


def test_judging_keeps_the_columns_that_it_was_given():
    stars = judge(RANDOM, CUTS)
    Rejudging(stars, CUTS).selected(changed(CUTS, {LIMITS["plc.n_sigma"]: 1.0}))
    np.testing.assert_array_equal(values(stars, "plc_significance"), values(RANDOM, "plc_significance"))
