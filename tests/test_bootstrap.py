"""The funnel under errors: how often stars are in, how many there are."""

import numpy as np
import pytest
from conftest import ROOT
from judged_runs import judged, random_table, table_of

from cbminer.columns import float_column, label_column, values
from cbminer.completeness.bootstrap import ErrorModel, draw_stars, fixed_fate, run_bootstrap
from cbminer.completeness.rejudging import plain_stars, with_plc_columns
from cbminer.completeness.sensitivity_settings import SensitivitySettings
from cbminer.completeness.sensitivity_tables import tabulate_bootstrap, tabulate_counts
from cbminer.photometry.distance import DistanceSettings
from cbminer.photometry.magnitudes import ExtinctionSettings
from cbminer.selection.cutflow import SelectionSettings, tabulate_cutflow
from cbminer.settings import load_settings

assert ROOT.is_dir()

CUTS = SelectionSettings()
RANDOM = random_table()
MOVED = ("e_period", "e_depth1", "e_depth2", "e_depth_difference", "e_W", "e_c", "e_asymmetry", "e_phase_secondary")


def errors_of(*, e_distance=0.0, depth=0.0, zero=0.0):
    distance = {
        name: DistanceSettings(
            distance_modulus=f"{modulus} mag", e_distance_modulus=f"{e_distance} mag", depth=f"{depth} mag"
        )
        for name, modulus in (("LMC", 18.477), ("SMC", 18.977))
    }
    return ErrorModel(distance, ExtinctionSettings(), zero)


NONE = errors_of()


def still(stars, *, but=()):
    """Take every error of a star away, but for some; that of depth1 stays a number that can be divided by."""
    stars = stars.copy()
    for name in {*MOVED, "e_I_mag", "e_V_mag", "E_VI_err_minus", "E_VI_err_plus"} - set(but):
        size = 1e-4 if name == "e_depth1" else 0.0
        stars[name] = float_column(np.full(len(stars), size), str(stars[name].unit or ""))
    return stars


def test_stars_one_sigma_from_a_limit_are_in_at_the_rate_of_a_normal_distribution():
    inside, outside = CUTS.smooth_shape.W_min + 0.001, CUTS.smooth_shape.W_min - 0.001
    n = 2500
    stars = still(table_of(2 * n, W=np.repeat([inside, outside], n), e_W=0.001), but=("e_W",))
    assert np.asarray(stars["selected"]).tolist() == [True] * n + [False] * n
    found = run_bootstrap(stars, CUTS, errors=NONE, n_draws=10, seed=1)
    share = found.times_in / 10
    assert share[:n].mean() == pytest.approx(0.8413, abs=0.006)
    assert share[n:].mean() == pytest.approx(0.1587, abs=0.006)
    table = tabulate_bootstrap(stars, found)
    assert set(label_column(table, "lost_by")[values(table, "share_in") < 1]) == {"smooth shape"}


def test_a_common_error_moves_all_stars_of_a_cloud_together():
    # The distance alone moves: the limit of M_V = -1.0 is one sigma away.
    stars = still(table_of(6, M_V=-1.1, galaxy=["LMC"] * 3 + ["SMC"] * 3))
    found = run_bootstrap(stars, CUTS, errors=errors_of(e_distance=0.1), n_draws=100, seed=2)
    counts = found.remaining["errors"][:, :, -1]
    assert found.galaxies == ["LMC", "SMC", "all"]
    assert set(np.unique(counts[:, :2])) == {0, 3}
    assert (counts[:, 0] == 3).mean() == pytest.approx(0.8413, abs=0.11)
    # One Cloud's distance tells nothing of the other's.
    assert (counts[:, 0] != counts[:, 1]).any()
    np.testing.assert_array_equal(counts[:, 2], counts[:, 0] + counts[:, 1])


def test_magnitudes_distances_and_reddening_move_as_their_errors_say():
    n = 40000
    stars = plain_stars(table_of(20, galaxy=["LMC", "SMC"] * 10, e_E_VI=0.05))[np.resize(np.arange(20), n)]
    stars["E_VI_err_minus"], stars["E_VI_err_plus"] = np.full(n, 0.02), np.full(n, 0.08)
    moved = draw_stars(stars, errors_of(depth=0.1), draw=0, seed=3)
    change = {name: moved[name] - stars[name] for name in ("I_mag", "V_mag", "E_VI", "distance_modulus", "M_V", "VI0")}
    assert change["I_mag"].std() == pytest.approx(0.02, rel=0.02)
    assert change["V_mag"].std() == pytest.approx(0.035, rel=0.02)
    assert change["distance_modulus"].std() == pytest.approx(0.1, rel=0.02)
    below = change["E_VI"] < 0
    assert below.mean() == pytest.approx(0.5, abs=0.01)
    assert np.sqrt((change["E_VI"][below] ** 2).mean()) == pytest.approx(0.02, rel=0.03)
    assert np.sqrt((change["E_VI"][~below] ** 2).mean()) == pytest.approx(0.08, rel=0.03)
    magnitude = change["V_mag"] - 2.5 * change["E_VI"] - change["distance_modulus"]
    np.testing.assert_allclose(change["M_V"], magnitude, atol=1.1e-4)
    np.testing.assert_allclose(change["VI0"], change["V_mag"] - change["I_mag"] - change["E_VI"], atol=1.1e-4)


def test_the_zero_point_moves_all_stars_and_a_distance_those_of_its_cloud():
    stars = plain_stars(still(table_of(6, galaxy=["LMC", "SMC"] * 3)))
    draws = [draw_stars(stars, errors_of(e_distance=0.05, zero=0.02), draw=draw, seed=3) for draw in range(80)]
    shifts = {
        name: np.array([np.asarray(moved[name] - stars[name]) for moved in draws])
        for name in ("E_VI", "distance_modulus")
    }
    assert np.ptp(shifts["E_VI"], axis=1).max() < 1e-10
    assert shifts["E_VI"][:, 0].std() == pytest.approx(0.02, rel=0.25)
    distance = shifts["distance_modulus"]
    for cloud in (0, 1):
        assert np.ptp(distance[:, cloud::2], axis=1).max() < 1e-10
        assert distance[:, cloud].std() == pytest.approx(0.05, rel=0.25)
    assert abs(np.corrcoef(distance[:, 0], distance[:, 1])[0, 1]) < 0.35


def test_depths_and_their_difference_move_together():
    n = 40000
    first, second, difference = 0.010, 0.006, 0.013
    stars = plain_stars(
        table_of(10, depth1=0.6, depth2=0.4, depth_difference=0.2, e_depth1=first, e_depth2=second,
                 e_depth_difference=difference)
    )[np.resize(np.arange(10), n)]  # fmt: skip
    moved = draw_stars(stars, NONE, draw=0, seed=1)
    assert moved["depth1"].std() == pytest.approx(first, rel=0.02)
    assert moved["depth2"].std() == pytest.approx(second, rel=0.02)
    assert moved["depth_difference"].std() == pytest.approx(difference, rel=0.02)
    np.testing.assert_allclose(moved["depth1"] - moved["depth2"], moved["depth_difference"])
    # Of nearly equal minima the other one may become the deeper.
    stars["depth_difference"], stars["depth2"] = np.full(n, 0.005), np.full(n, 0.595)
    moved = draw_stars(stars, NONE, draw=0, seed=1)
    assert (moved["depth_difference"] >= 0).all()
    assert (moved["depth1"] >= moved["depth2"]).all()
    np.testing.assert_allclose(moved["depth1"] - moved["depth2"], moved["depth_difference"], atol=1e-12)
    assert 0.5 * (moved["depth1"] + moved["depth2"]).mean() == pytest.approx(0.5975, abs=2e-4)


def test_sizes_stay_positive_and_numbers_without_an_error_stay():
    stars = plain_stars(table_of(1000, asymmetry=0.001, e_asymmetry=0.01, e_c=np.nan))
    moved = draw_stars(stars, NONE, draw=0, seed=1)
    assert (moved["asymmetry"] >= 0).all()
    np.testing.assert_array_equal(moved["c"], stars["c"])
    np.testing.assert_array_equal(moved["excess_scatter"], stars["excess_scatter"])
    found = run_bootstrap(table_of(5, e_c=np.nan), CUTS, errors=NONE, n_draws=10, seed=1)
    assert found.unmoved == {"c": 5}


def test_without_errors_every_draw_is_the_run():
    # Limits that widen with an error are narrower here.
    stars = judged(still(RANDOM), CUTS)
    found = run_bootstrap(stars, CUTS, errors=NONE, n_draws=10, seed=1)
    selected = np.asarray(stars["selected"])
    np.testing.assert_array_equal(found.times_in, np.where(selected, 10, 0))
    counts = tabulate_counts(stars, CUTS, found)
    of_errors = counts[(counts["varies"] == "errors") & (counts["galaxy"] == "all")]
    np.testing.assert_array_equal(of_errors["n_run"], of_errors["median"])
    cutflow = tabulate_cutflow(stars, CUTS)
    after = [of_errors["n_run"][of_errors["what"] == f"after {cut}"][0] for cut in cutflow["cut"]]
    np.testing.assert_array_equal(after, cutflow["n_out"])
    labels = label_column(stars, "spectral_label")[selected]
    for label in ("O", "B"):
        assert of_errors["n_run"][of_errors["what"] == f"sample {label}"][0] == (labels == label).sum()


@pytest.fixture(scope="module")
def drawn():
    return run_bootstrap(RANDOM, CUTS, errors=errors_of(e_distance=0.03, zero=0.02), n_draws=40, seed=7)


def test_the_same_seed_gives_the_same_and_fewer_draws_the_first_ones(drawn):
    errors = errors_of(e_distance=0.03, zero=0.02)
    again = run_bootstrap(RANDOM, CUTS, errors=errors, n_draws=15, seed=7)
    other = run_bootstrap(RANDOM, CUTS, errors=errors, n_draws=15, seed=8)
    for kind in ("errors", "counting", "both"):
        np.testing.assert_array_equal(again.remaining[kind], drawn.remaining[kind][:15])
        np.testing.assert_array_equal(again.labelled[kind], drawn.labelled[kind][:15])
        assert (other.remaining[kind] != again.remaining[kind]).any()


def test_leaving_out_stars_of_a_fixed_fate_changes_nothing():
    stars = RANDOM.copy()
    stars["type"] = np.where(np.arange(len(stars)) % 5, "C", "CV")
    stars["V_mag"].mask[::7] = True
    for name in ("M_V", "VI0", "e_M_V", "e_VI0", "cov_M_V_VI0"):
        stars[name].mask[::7] = True
    stars = judged(stars, CUTS)
    fixed = fixed_fate(with_plc_columns(plain_stars(stars), CUTS), CUTS)
    rows = np.arange(len(stars))
    np.testing.assert_array_equal(fixed, (rows % 5 == 0) | (rows % 7 == 0))
    quick, full = (
        run_bootstrap(stars, CUTS, errors=NONE, n_draws=12, seed=1, prefilter=prefilter) for prefilter in (True, False)
    )
    np.testing.assert_array_equal(quick.lost_by, full.lost_by)
    for kind in full.remaining:
        np.testing.assert_array_equal(quick.remaining[kind], full.remaining[kind])
        np.testing.assert_array_equal(quick.labelled[kind], full.labelled[kind])


def test_counting_is_drawing_stars_with_replacement(drawn):
    stars = RANDOM
    found = run_bootstrap(stars, CUTS, errors=NONE, n_draws=120, seed=3)
    sizes = found.remaining["counting"][:, -1, -1]
    n_run, n_all = int(np.asarray(stars["selected"]).sum()), len(stars)
    # The Clouds are drawn from each for itself, which takes next to nothing from the binomial scatter.
    assert sizes.mean() == pytest.approx(n_run, rel=0.02)
    assert sizes.std() == pytest.approx(np.sqrt(n_run * (1 - n_run / n_all)), rel=0.16)
    assert (found.labelled["counting"][:, -1].sum(axis=1) == sizes).all()
    wide, narrow = (drawn.remaining[kind][:, -1, -1].std() for kind in ("both", "errors"))
    assert wide > narrow


def test_tables_tell_shares_with_their_errors_and_what_takes_stars_out(drawn):
    table = tabulate_bootstrap(RANDOM, drawn)
    times = drawn.times_in
    ever = (times > 0) | np.asarray(RANDOM["selected"])
    assert len(table) == ever.sum()
    places = {name: row for row, name in enumerate(RANDOM["id"])}
    rows = np.array([places[name] for name in table["id"]])
    share = values(table, "share_in")
    np.testing.assert_allclose(share, times[rows] / 40)
    assert (np.diff(share) <= 0).all()
    always = share == 1
    assert (label_column(table, "lost_by")[always] == "").all()
    np.testing.assert_allclose(
        values(table, "e_share_in")[~always & (share > 0)],
        np.sqrt(share * (1 - share) / 40)[~always & (share > 0)], rtol=0.35,
    )  # fmt: skip
    assert (values(table, "e_share_in") > 0).all()
    for row in table[~always][:20]:
        lost = drawn.lost_by[:, places[row["id"]]]
        assert lost[drawn.cuts.index(row["lost_by"])] == lost.max()
        assert row["share_lost_by"] == pytest.approx(lost.max() / 40)
    assert "bona_fide" not in table.colnames
    assert "not the probability" in table.meta["comment"]
    assert "not the contour of the bona fide set nor the odds" in table.meta["comment"]
    counts = tabulate_counts(RANDOM, CUTS, drawn)
    assert set(counts["galaxy"]) == {"LMC", "SMC", "all"}
    assert set(counts["varies"]) == {"errors", "counting", "both"}
    row = counts[(counts["galaxy"] == "all") & (counts["what"] == "sample") & (counts["varies"] == "errors")][0]
    sizes = drawn.remaining["errors"][:, -1, -1]
    assert row["median"] == np.median(sizes)
    assert (row["p2_5"], row["p97_5"]) == tuple(np.percentile(sizes, (2.5, 97.5)))
    assert row["p2_5"] <= row["p16"] <= row["median"] <= row["p84"] <= row["p97_5"]


def test_a_fitted_relation_is_fitted_to_the_stars_of_each_draw():
    refit = CUTS.model_copy(update={"plc": CUTS.plc.model_copy(update={"mode": "refit"})})
    stars = judged(RANDOM, refit)
    found = run_bootstrap(stars, refit, errors=errors_of(e_distance=0.5), n_draws=3, seed=1)
    fixed = run_bootstrap(RANDOM, CUTS, errors=errors_of(e_distance=0.5), n_draws=3, seed=1)
    # The zero point of the fit follows the distance; the relation that is given does not.
    place = found.cuts.index("period-luminosity-colour")
    kept = [result.remaining["errors"][:, -1, place] / result.remaining["errors"][:, -1, place - 1] for result in
            (found, fixed)]  # fmt: skip
    assert kept[0].min() > kept[1].min()


def test_errors_come_from_the_settings_of_the_run():
    errors = ErrorModel.of(load_settings(), SensitivitySettings(e_E_VI_zero="0.03 mag"))
    assert errors.distance["SMC"].e_distance_modulus == 0.043
    assert errors.distance["SMC"].depth == 0.12
    assert errors.e_E_VI_zero == 0.03
