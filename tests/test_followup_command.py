"""The command follow-up, from a finished run to its folder."""

import json
import os
import shutil
import socket
from datetime import date
from pathlib import Path

import astropy.units as u
import matplotlib as mpl
import numpy as np
import pytest
from astropy.table import QTable, Table
from astropy.time import Time
from judged_runs import table_of, write_run

from cbminer.cli import main
from cbminer.columns import float_column, label_column, values
from cbminer.fits import FITS_FOLDER
from cbminer.followup import planning
from cbminer.followup.planning import follow_up_settings, plan_run
from cbminer.followup.sites import find_site
from cbminer.followup.target_formats.eso import read_eso_windows
from cbminer.followup.targets import read_target_list
from cbminer.ranking.fit_data import BinnedBand, StarCurves
from cbminer.ranking.fit_model import CONTACT, NEAR_CONTACT
from cbminer.ranking.fit_results import HypothesisFit, StarFit
from cbminer.ranking.fit_store import settings_digest, write_fit
from cbminer.report import followup_products
from cbminer.report.followup_figures import observability_pages, velocity_figure
from cbminer.settings import load_settings

N = 6
# Columns of the table of stars that the target lists rest on.
CONTRACT = {
    "id": None, "galaxy": None, "survey": None, "rank": None, "RAJ2000": u.deg, "DEJ2000": u.deg, "V_mag": u.mag,
    "I_mag": u.mag, "period": u.d, "e_period": u.d, "T0_HJD_UTC": u.d, "e_T0": u.d, "T0_BJD_TDB": u.d, "E_VI": u.mag,
    "exposure": u.s, "K1_contact": u.km / u.s, "K2_contact": u.km / u.s, "post_contact": None, "depth1": u.mag,
    "note": None,
}  # fmt: skip
WINDOWS = [
    "id", "night", "site", "quadrature", "start_utc", "end_utc", "mid_BJD_TDB", "phase_start", "phase_end", "e_phase",
    "airmass_min", "airmass_max", "moon_separation", "moon_illumination", "duration", "fits_exposure",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _without_network(monkeypatch):
    """Refuse every connection."""

    def refuse(*_, **__):
        pytest.fail("something asked for a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def stars_of(survey):
    stars = table_of(N, period=[0.7, 0.9, 1.1, 1.3, 0.8, 1.0], M_V=[-3.0, -3.2, -3.6, -4.0, -3.1, -3.3])
    epochs = 2456000.0 + np.array([0.1, 0.3, 0.5, 0.7, 0.2, np.nan])
    stars["T0_fit"], stars["e_T0_fit"] = (
        float_column(epochs, "d"),
        float_column(np.where(epochs > 0, 5e-4, np.nan), "d"),
    )
    stars["T0"] = float_column([2452000.1] * 5 + [np.nan], "d")
    stars["post_contact"] = float_column(np.linspace(0.95, 0.4, N))
    stars["survey"] = np.full(N, survey)
    if survey == "mock":
        stars["id"] = [name.replace("OGLE", "MOCK") for name in label_column(stars, "id")]
    return stars


@pytest.fixture
def plain(monkeypatch):
    """Leave out the figures, which take most of the time."""
    monkeypatch.setattr(followup_products, "observability_pages", lambda _: [])
    monkeypatch.setattr(followup_products, "velocity_figure", lambda _: None)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs of observed and of simulated stars, all of them candidates; one star has no epoch."""
    folder = tmp_path_factory.mktemp("runs")
    for survey in ("ogle", "mock"):
        write_run(folder / survey, stars_of(survey), survey=survey, galaxies=("LMC",))
    return folder


@pytest.fixture
def run(runs, tmp_path):
    return Path(shutil.copytree(runs / "ogle", tmp_path / "run"))


@pytest.fixture
def simulated(runs, tmp_path):
    return Path(shutil.copytree(runs / "mock", tmp_path / "simulated"))


def follow(run, *more):
    return main(["follow-up", "--run", str(run), "--site", "paranal", "--from", "2027-01-01", "--nights", "3", *more])


def read(folder, name):
    return QTable.read(folder / f"{name}.ecsv", format="ascii.ecsv")


def test_a_run_is_planned(run, capsys):
    assert follow(run) == 0
    folder = run / "follow-up-paranal-2027-01-01"
    stars, windows, nights = (read(folder, name) for name in ("ephemerides", "windows", "nights"))
    assert list(label_column(stars, "id")) == [f"OGLE-LMC-ECL-{number:05d}" for number in range(1, N + 1)]
    for name, unit in CONTRACT.items():
        assert stars[name].unit == unit
        assert stars[name].info.description
    assert windows.colnames == WINDOWS
    assert len(windows) > 4
    assert list(nights["night"]) == ["2027-01-01", "2027-01-02", "2027-01-03"]
    # 37 leap seconds now, 34 then, and a few seconds between Sun and barycentre.
    off = (values(stars, "T0_BJD_TDB", "d") - values(stars, "T0_HJD_UTC", "d"))[:5] * 86400.0
    assert np.abs(off - 66.184).max() < 5.5
    assert np.isnan(values(stars, "T0_BJD_TDB", "d")[5])
    assert "no epoch or period: no windows" in stars["note"][5]
    assert stars["id"][5] not in set(windows["id"])
    for kind in ("contact", "near"):
        for name in ("K1", "K2"):
            low, middle, high = (values(stars, f"{name}_{kind}{end}", "km/s") for end in ("_p16", "", "_p84"))
            assert ((low < middle) & (middle < high)).all()
            assert ((middle > 80) & (middle < 600)).all()
    plan = (folder / "plan.txt").read_text(encoding="utf-8")
    assert "Night of 2027-01-02: dark 01:02 to 08:29 UTC" in plan
    assert plan.count("OGLE-LMC-ECL-00001") == 1 + int((windows["id"] == "OGLE-LMC-ECL-00001").sum())
    assert "SIMULATED" not in plan
    for name in ("observability_01.png", "velocities.png", "velocities.pdf", "provenance.json"):
        assert (folder / name).stat().st_size > 1000
    record = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    assert record["counts"]["LMC"] == {"targets": N, "windows": len(windows)}
    assert record["inputs"][-1]["name"] == "judged.fits"
    assert f"{len(windows)} windows at quadrature" in capsys.readouterr().out


def test_stars_can_be_named_and_counted(run, tmp_path, plain):
    assert follow(run, "--stars", "2", "--out", str(tmp_path / "two")) == 0
    assert len(read(tmp_path / "two", "ephemerides")) == 2
    assert follow(run, "--star", "ogle-lmc-ecl-00004", "--out", str(tmp_path / "one")) == 0
    assert list(read(tmp_path / "one", "ephemerides")["id"]) == ["OGLE-LMC-ECL-00004"]


def test_what_is_drawn_of_a_star_does_not_depend_on_the_others(run, tmp_path, plain):
    assert follow(run, "--out", str(tmp_path / "all")) == 0
    assert follow(run, "--star", "OGLE-LMC-ECL-00004", "--out", str(tmp_path / "one")) == 0
    both = [Table.read(tmp_path / name / "ephemerides.ecsv", format="ascii.ecsv") for name in ("all", "one")]
    for name in ("K1_contact", "K2_near_p84", "inclination_near"):
        assert both[0][name][3] == both[1][name][0]


def test_the_same_call_gives_the_same_files(run, tmp_path):
    for name in ("first", "again"):
        assert follow(run, "--seed", "3", "--stars", "1", "--out", str(tmp_path / name)) == 0
    for path in sorted((tmp_path / "first").iterdir()):
        if path.name != "provenance.json":
            assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_target_lists_hold_the_stars(run, plain):
    assert follow(run, "--formats", "salt,ds9,eso", "--stars", "4") == 0
    folder = run / "follow-up-paranal-2027-01-01"
    stars = read(folder, "ephemerides")
    found = read_target_list(folder / "targets-salt.csv", "salt")
    assert len(found) == 4
    assert (folder / "targets-eso.json").exists()
    assert (folder / "targets-ds9.reg").exists()
    assert len(stars) == 4


def test_no_telescope_is_sent_to_simulated_stars(simulated, capsys, plain):
    assert follow(simulated, "--formats", "ds9") == 2
    assert "--even-simulated" in capsys.readouterr().err
    assert not (simulated / "follow-up-paranal-2027-01-01").exists()
    assert follow(simulated, "--formats", "ds9", "--even-simulated") == 0
    folder = simulated / "follow-up-paranal-2027-01-01"
    assert "MOCK-LMC-ECL-00001" in (folder / "targets-ds9.reg").read_text(encoding="utf-8")
    assert (folder / "plan.txt").read_text(encoding="utf-8").startswith("SIMULATED stars, not observations\n")
    for name in ("ephemerides", "windows", "nights"):
        assert read(folder, name).meta["warning"] == "SIMULATED stars, not observations"
    assert all("SIMULATED" in note for note in read(folder, "ephemerides")["note"])


def test_an_earlier_plan_is_replaced_only_if_asked(run, capsys, plain):
    assert follow(run) == 0
    assert follow(run) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert follow(run, "--overwrite") == 0


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--star", "OGLE-LMC-ECL-00007"), "is not in the run"),
        (("--site", "mars"), "not known"),
        (("--from", "2027-13-01"), "not a date"),
        (("--from", "9999-12-20"), "from 1973-01-01 to 2060-01-01"),
        (("--from", "0001-01-01"), "from 1973-01-01 to 2060-01-01"),
        (("--from", "1972-12-31"), "from 1973-01-01 to 2060-01-01"),
        (("--from", "2060-01-02"), "from 1973-01-01 to 2060-01-01"),
        (("--formats", "fax"), "fax"),
        (("--formats", ","), "names no format"),
        (("--formats", "4most"), "targets.fourmost"),
        (("--stars", "5", "--star", "OGLE-LMC-ECL-00001"), "one of the two"),
        (("--out", "judged.fits/plan"), "is a file"),
        (("--out", "/proc/plan"), "not yours"),
    ],
)
def test_wrong_requests_are_refused_before_any_work_and_leave_nothing(run, capsys, monkeypatch, more, words):
    if more[0] == "--out":
        monkeypatch.chdir(run)
    if more[0] != "--star":
        monkeypatch.setattr(planning, "plan_run", lambda *_, **__: pytest.fail("the plan was begun"))
    if words == "not yours":
        # Root may write everywhere.
        monkeypatch.setattr("cbminer.followup.request.os.access", lambda _, mode: not mode & os.W_OK)
    before = sorted(run.iterdir())
    assert follow(run, *more) != 0
    assert words in capsys.readouterr().err
    assert sorted(run.iterdir()) == before


def test_a_site_of_coordinates_and_the_settings_count(run, tmp_path, plain):
    settings = tmp_path / "my.toml"
    settings.write_text(
        '[follow_up.exposure]\ndiameter = 2.2\n[follow_up.observing]\nsun_altitude = "-12 deg"\n', encoding="utf-8"
    )
    folder = tmp_path / "lasilla"
    arguments = ["--site", "-29.26,-70.73,2400", "--settings", str(settings), "--out", str(folder)]
    assert follow(run, *arguments) == 0
    stars = read(folder, "ephemerides")
    # V = 15.5 of star 1: 50^2 photons of 989 10^(-0.4 V) x 38,013 cm2 x 1.1 A x 0.1 a second.
    V = values(stars, "V_mag", "mag")[0]
    assert values(stars, "exposure", "s")[0] == pytest.approx(
        2500.0 / (989.2 * 10 ** (-0.4 * V) * 38013.0 * 0.11), rel=1e-3
    )
    assert read(folder, "nights")["dark"][0].to_value(u.h) > 7.5
    assert follow(run, "--site", "-29.26,-70.73,2400", "--out", str(tmp_path / "bare")) == 0
    bare = read(tmp_path / "bare", "ephemerides")
    assert np.isnan(values(bare, "exposure", "s")).all()
    assert any("mirror" in note for note in bare.meta["notes"])


def keep_fit(run, number, *, settings, seed, swapped=(0.5, 0.5)):
    """Keep a fit of a star: q = 0.55 and i = 70 deg."""
    rng, ones = np.random.default_rng(1), np.ones(300)
    q, i = rng.normal(0.55, 0.005, 300), rng.normal(70.0, 0.2, 300)
    near = np.column_stack([q, i, 0.95 * ones, 0.95 * ones, 0.8 * ones, 0 * ones, 0.001 * ones])
    contact = np.column_stack([q, i, 0.2 * ones, ones, 0 * ones, 0.001 * ones])
    fits = [
        HypothesisFit(model.name, samples, 0.0, 0.1, samples[0], 1.0, 1, 1.0, p, False, np.zeros((2, 3)), 0.0, 1)
        for model, samples, p in ((CONTACT, contact, swapped[0]), (NEAR_CONTACT, near, swapped[1]))
    ]
    band = BinnedBand(np.zeros(3), np.zeros(3), np.ones(3), 1.0, 3, 0)
    name = f"OGLE-LMC-ECL-{number:05d}"
    star = StarFit(name, StarCurves(name, {"I": band}, 0.0), 25000.0, *fits, 1.0)
    path = run / FITS_FOLDER / "kept" / f"{name}.npz"
    write_fit(path, star, settings=settings_digest(settings, seed=seed), data="some")


def test_fits_of_the_run_are_used(run, tmp_path, plain):
    settings = load_settings()
    keep_fit(run, 2, settings=settings.fit, seed=settings.seed)
    assert follow(run, "--out", str(tmp_path / "fitted")) == 0
    stars = read(tmp_path / "fitted", "ephemerides")
    assert "fit" in stars["mass_source"][1]
    assert "fit" not in stars["mass_source"][0]
    assert stars["mass_ratio_contact"][1] == pytest.approx(0.55, abs=0.002)
    assert values(stars, "inclination_near", "deg")[1] == pytest.approx(70.0, abs=0.1)
    behind = values(stars, "p_less_massive_behind_contact")
    assert behind[1] == 0.5
    assert np.isnan(np.delete(behind, 1)).all()


def test_fits_are_those_of_the_run_whatever_the_draws(run, tmp_path, plain):
    settings = load_settings()
    other = settings.fit.model_copy(
        update={"priors": settings.fit.priors.model_copy(update={"least_mass_ratio": 0.31})}
    )
    keep_fit(run, 1, settings=settings.fit, seed=settings.seed)
    keep_fit(run, 2, settings=other, seed=settings.seed)
    keep_fit(run, 3, settings=settings.fit, seed=987)
    keep_fit(run, 4, settings=settings.fit, seed=12)
    (run / FITS_FOLDER / "kept" / "OGLE-LMC-ECL-00005.npz").write_bytes(b"damaged")
    mine = tmp_path / "my.toml"
    mine.write_text("[fit.priors]\nleast_mass_ratio = 0.31\n", encoding="utf-8")
    taken = {}
    for name, more in {"plain": (), "seed": ("--seed", "987"), "settings": ("--settings", str(mine))}.items():
        assert follow(run, *more, "--out", str(tmp_path / name)) == 0
        stars = read(tmp_path / name, "ephemerides")
        taken[name] = [row + 1 for row in range(N) if "fit" in stars["mass_source"][row]]
        for row in range(N):
            refused = "kept fit is not used" in stars["note"][row]
            assert refused == (row + 1 not in [*taken[name], 6])
    # That of the run's seed and [fit] is taken in any case, and that of those given now.
    assert taken == {"plain": [1], "seed": [1, 3], "settings": [1, 2]}


def test_lost_and_wide_ephemerides_are_told_with_their_numbers(run, tmp_path, plain):
    settings = tmp_path / "my.toml"
    settings.write_text("[follow_up.ephemeris]\nerror_factor = 6.0\n", encoding="utf-8")
    folder = tmp_path / "wide"
    assert follow(run, "--settings", str(settings), "--out", str(folder), "--formats", "eso") == 0
    stars, windows = read(folder, "ephemerides"), read(folder, "windows")
    e_phase = values(stars, "e_phase")
    wide = np.flatnonzero((e_phase >= 0.05) & (e_phase < 0.1))
    assert len(wide)
    plan = (folder / "plan.txt").read_text(encoding="utf-8")
    for row in wide:
        said = f"no windows: error of the phase {e_phase[row]:.3f} is not below follow_up.windows.half_width = 0.05"
        assert stars["note"][row].startswith(said)
        assert said in plan
        assert stars["id"][row] not in set(windows["id"])
    left = Table.read(folder / "targets-left-out.ecsv", format="ascii.ecsv")
    reasons = dict(zip(left["id"], left["reason"], strict=True))
    assert reasons[stars["id"][wide[0]]] == stars["no_windows"][wide[0]]
    assert reasons[stars["id"][5]] == "no epoch or period: no windows"
    assert not set(reasons) >= set(windows["id"])


def test_blocks_for_another_site_keep_to_its_windows(run, tmp_path, capsys, plain):
    folder = tmp_path / "lco"
    site = ("--site", "las-campanas", "--formats", "eso")
    assert follow(run, *site, "--out", str(folder)) == 0
    times, windows = read_eso_windows(folder / "targets-eso.json"), read(folder, "windows")
    assert len(times)
    listed = read_target_list(folder / "targets-eso.json", "eso")
    assert (np.asarray(listed["n_windows"]) > 0).all()
    for row in times:
        mine = windows[windows["id"] == row["id"]]
        assert any(a <= row["start_utc"] and row["end_utc"] <= b for a, b in mine.iterrows("start_utc", "end_utc"))
    settings = tmp_path / "my.toml"
    settings.write_text('[targets.eso]\nsite = "paranal"\n', encoding="utf-8")
    assert follow(run, *site, "--settings", str(settings), "--out", str(tmp_path / "no")) == 2
    assert "the windows are of las-campanas" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_windows_shorter_than_the_exposure_are_marked(run, tmp_path, capsys, plain):
    settings = tmp_path / "my.toml"
    settings.write_text("[follow_up.exposure]\nsignal_to_noise = 1000.0\nmost_of_period = 0.2\n", encoding="utf-8")
    assert follow(run, "--settings", str(settings), "--out", str(tmp_path / "long")) == 0
    said = capsys.readouterr().out
    windows, stars = read(tmp_path / "long", "windows"), read(tmp_path / "long", "ephemerides")
    exposure = dict(zip(stars["id"], values(stars, "exposure", "s"), strict=True))
    short = np.array([60.0 * window["duration"].to_value(u.min) < exposure[window["id"]] for window in windows])
    assert short.any()
    assert (np.asarray(windows["fits_exposure"]) == ~short).all()
    assert f"{short.sum()} of the windows are shorter than the exposure" in said
    plan = (tmp_path / "long" / "plan.txt").read_text(encoding="utf-8").splitlines()
    assert sum(line.endswith("  too short") for line in plan) == short.sum()
    assert read(tmp_path / "long", "nights")["too_short"].sum() == short.sum()


def test_the_period_is_said_to_be_constant_or_its_change_counts(run, tmp_path, plain):
    settings = tmp_path / "my.toml"
    settings.write_text("[follow_up.ephemeris]\nassumed_relative_period_change = 1e-6\n", encoding="utf-8")
    for name, more in (("constant", ()), ("changing", ("--settings", str(settings)))):
        assert follow(run, *more, "--out", str(tmp_path / name)) == 0
    constant, changing = (read(tmp_path / name, "ephemerides") for name in ("constant", "changing"))
    assert any("periods are taken to be constant" in note for note in constant.meta["notes"])
    assert not any("constant" in note for note in changing.meta["notes"])
    days = values(constant, "next_minimum", "d")[0] - values(constant, "T0_BJD_TDB", "d")[0]
    more = np.sqrt(values(changing, "e_next_minimum", "d")[0] ** 2 - values(constant, "e_next_minimum", "d")[0] ** 2)
    # The error is that of the middle of the nights, the minimum the nearest to it.
    assert more == pytest.approx(0.5 * 1e-6 / 365.25 * days**2, rel=1e-3)


def test_a_star_of_unknown_colour_has_the_reason_why_it_has_no_velocities(runs, tmp_path, plain):
    stars = stars_of("ogle")
    for name in ("M_V", "VI0"):
        column = values(stars, name, "mag")
        column[2] = np.nan
        stars[name] = float_column(column, "mag")
    stars["galaxy"] = stars["galaxy"].astype(str)
    run = write_run(tmp_path / "unknown", stars, galaxies=("LMC",))
    assert follow(run, "--out", str(tmp_path / "out")) == 0
    notes = read(tmp_path / "out", "ephemerides")["note"]
    assert "period, magnitude or colour unknown: no velocities" in notes[2]
    assert not any("no model near" in note for note in notes)


def test_errors_of_magnitude_and_colour_go_together(run):
    """Their covariance moves the models that are near, and with them the masses."""
    judged = QTable.read(run / "judged.fits", format="fits")
    both = []
    for share in (0.0, 0.95):
        errors = values(judged, "e_M_V", "mag") * values(judged, "e_VI0", "mag")
        judged["cov_M_V_VI0"] = float_column(share * errors, "mag2")
        judged.write(run / "judged.fits", format="fits", overwrite=True)
        settings = follow_up_settings(run)
        plan = plan_run(run, find_site("paranal"), date(2027, 1, 1), 1, settings=settings)
        both.append(values(plan.stars, "total_mass_contact", "solMass"))
    assert (both[0] != both[1]).any()


@pytest.fixture(scope="module")
def salt_plan(runs, tmp_path_factory):
    """A plan of 20 nights; of star 2 a fit with the less massive star behind in contact."""
    run = Path(shutil.copytree(runs / "ogle", tmp_path_factory.mktemp("figures") / "run"))
    settings = follow_up_settings(run)
    keep_fit(run, 2, settings=settings.fit, seed=settings.seed, swapped=(0.8, 0.3))
    return plan_run(run, find_site("salt"), date(2027, 1, 1), 20, settings=settings)


def test_bars_stand_at_the_times_of_the_windows(salt_plan):
    pages, nights = list(observability_pages(salt_plan)), salt_plan.watched.nights
    assert len(pages) == 2
    assert "local date" in pages[0].axes[0].get_xlabel()
    names = list(salt_plan.stars["id"])
    for page, shown in zip(pages, (range(15), range(15, 20)), strict=True):
        bars = [patch for patch in page.axes[0].patches if isinstance(patch, mpl.patches.Rectangle)]
        coloured = [bar for bar in bars if len(set(bar.get_facecolor()[:3])) > 1]
        edges = [edge for night in shown for part in nights.dark(night) for edge in part]
        low, high = min(edges), max(edges)
        expected = []
        for window in salt_plan.windows:
            night = nights.dates.index(str(window["night"]))
            if night not in shown:
                continue
            times = (
                Time(str(window[name]), scale="utc").jd - nights.midnight[night] for name in ("start_utc", "end_utc")
            )
            # Darkness of the longest of the nights takes 0.9 of a column.
            x = [night - shown.start + 0.05 + 0.9 * (time - low) / (high - low) for time in times]
            expected.append((names.index(window["id"]), *x, float(window["quadrature"])))
        colours = {0.25: "#0072b2", 0.75: "#d55e00"}
        found = sorted(
            (round(bar.get_y() + bar.get_height() / 2), bar.get_x(), bar.get_x() + bar.get_width(),
             next(q for q, colour in colours.items() if colour == mpl.colors.to_hex(bar.get_facecolor())))
            for bar in coloured
        )  # fmt: skip
        assert len(found) > 3
        assert np.array(found) == pytest.approx(np.array(sorted(expected)), abs=1e-4)


def test_curves_and_their_intervals_have_the_sign_of_the_orbit(salt_plan):
    figure = velocity_figure(salt_plan)
    panels = [axes for axes in figure.axes if axes.lines]
    assert panels[0].get_ylabel() == "velocity [km/s]"
    assert len(panels) == N
    for row in (0, 1):
        axes, expected = panels[row], salt_plan.velocities[row]
        points = [container.lines[0] for container in axes.containers]
        assert len(points) == 8
        for number, name in enumerate(("contact", "near_contact")):
            turned = row == 1 and name == "contact"
            for star in (0, 1):
                K = expected[name].interval(f"K{star + 1}")[1]
                # After phase 0 the star behind approaches; half an orbit later it recedes.
                behind = (star == 0) != turned
                of_star = points[4 * number + 2 * star : 4 * number + 2 * star + 2]
                for line, sign in zip(of_star, (-1.0, 1.0) if behind else (1.0, -1.0), strict=True):
                    assert line.get_ydata()[0] == pytest.approx(sign * K)
        # Every curve of point masses passes near the marks: lines are weighted and point curves by turns.
        curves = [line for line in axes.lines if len(line.get_xdata()) == 201]
        for line in curves:
            at = np.interp(0.25, line.get_xdata(), line.get_ydata())
            marks = [point.get_ydata()[0] for point in points if abs(point.get_xdata()[0] - 0.25) < 0.02]
            assert min(abs(at - mark) for mark in marks) < 0.2 * max(abs(mark) for mark in marks)
    assert panels[1].get_title().endswith("\nless massive star behind at 0: contact")
    assert "behind" not in panels[0].get_title()
    assert "puts the less massive star behind at phase 0 (contact, probability 0.80)" in salt_plan.stars["note"][1]
    assert "(near contact" not in salt_plan.stars["note"][1]
