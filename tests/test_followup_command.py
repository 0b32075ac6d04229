"""The command follow-up, from a finished run to its folder."""

import json
import shutil
import socket
from pathlib import Path

import astropy.units as u
import matplotlib as mpl
import numpy as np
import pytest
from astropy.table import QTable, Table
from judged_runs import table_of, write_run

from cbminer.cli import main
from cbminer.columns import float_column, label_column, values
from cbminer.fits import FITS_FOLDER
from cbminer.followup.targets import read_target_list
from cbminer.ranking.fit_data import BinnedBand, StarCurves
from cbminer.ranking.fit_model import CONTACT, NEAR_CONTACT
from cbminer.ranking.fit_results import HypothesisFit, StarFit
from cbminer.ranking.fit_store import settings_digest, write_fit
from cbminer.report import followup_products
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
    "airmass_min", "airmass_max", "moon_separation", "moon_illumination", "duration",
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
    assert (folder / "plan.txt").read_text(encoding="utf-8").startswith("SIMULATED STARS, NOT OBSERVATIONS")
    for name in ("ephemerides", "windows", "nights"):
        assert read(folder, name).meta["warning"] == "simulated stars, not observations"
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
        (("--formats", "fax"), "fax"),
    ],
)
def test_wrong_requests_are_refused_and_leave_nothing(run, capsys, more, words, plain):
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
    # V = 15.5 of star 1: 50^2 photons of 962 10^(-0.4 V) x 38,013 cm2 x 1.1 A x 0.1 a second.
    V = values(stars, "V_mag", "mag")[0]
    assert values(stars, "exposure", "s")[0] == pytest.approx(
        2500.0 / (962.2 * 10 ** (-0.4 * V) * 38013.0 * 0.11), rel=1e-3
    )
    assert read(folder, "nights")["dark"][0].to_value(u.h) > 7.5
    assert follow(run, "--site", "-29.26,-70.73,2400", "--out", str(tmp_path / "bare")) == 0
    bare = read(tmp_path / "bare", "ephemerides")
    assert np.isnan(values(bare, "exposure", "s")).all()
    assert any("mirror" in note for note in bare.meta["notes"])


def test_fits_of_the_run_are_used(run, tmp_path, plain):
    settings = load_settings()
    rng, ones = np.random.default_rng(1), np.ones(300)
    q, i = rng.normal(0.55, 0.005, 300), rng.normal(70.0, 0.2, 300)
    near = np.column_stack([q, i, 0.95 * ones, 0.95 * ones, 0.8 * ones, 0 * ones, 0.001 * ones])
    contact = np.column_stack([q, i, 0.2 * ones, ones, 0 * ones, 0.001 * ones])
    fits = [
        HypothesisFit(model.name, samples, 0.0, 0.1, samples[0], 1.0, 1, 1.0, 0.5, False, np.zeros((2, 3)), 0.0, 1)
        for model, samples in ((CONTACT, contact), (NEAR_CONTACT, near))
    ]
    band = BinnedBand(np.zeros(3), np.zeros(3), np.ones(3), 1.0, 3, 0)
    star = StarFit("OGLE-LMC-ECL-00002", StarCurves("OGLE-LMC-ECL-00002", {"I": band}, 0.0), 25000.0, *fits, 1.0)
    path = run / FITS_FOLDER / "kept" / "OGLE-LMC-ECL-00002.npz"
    write_fit(path, star, settings=settings_digest(settings.fit, seed=settings.seed), data="some")
    assert follow(run, "--out", str(tmp_path / "fitted")) == 0
    stars = read(tmp_path / "fitted", "ephemerides")
    assert "fit" in stars["mass_source"][1]
    assert "fit" not in stars["mass_source"][0]
    assert stars["mass_ratio_contact"][1] == pytest.approx(0.55, abs=0.002)
    assert values(stars, "inclination_near", "deg")[1] == pytest.approx(70.0, abs=0.1)


def test_figures_have_axes_with_units(run):
    from datetime import date

    from cbminer.followup.planning import follow_up_settings, plan_run
    from cbminer.followup.sites import find_site
    from cbminer.report.followup_figures import observability_pages, velocity_figure

    plan = plan_run(run, find_site("salt"), date(2027, 1, 1), 20, settings=follow_up_settings(run))
    pages = list(observability_pages(plan))
    assert len(pages) == 2
    bars = [patch for patch in pages[0].axes[0].patches if isinstance(patch, mpl.patches.Rectangle)]
    assert len(bars) >= len(plan.windows[np.isin(plan.windows["night"], plan.watched.nights.dates[:15])])
    assert "local date" in pages[0].axes[0].get_xlabel()
    figure = velocity_figure(plan)
    assert figure.axes[0].get_ylabel() == "velocity [km/s]"
    assert len([axes for axes in figure.axes if axes.lines]) == N
