"""Injected binaries: what is true of them, how they are observed and judged, and what the command complete tells."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from astropy.table import QTable

from cbminer.catalogue.schema import conform
from cbminer.cli import main
from cbminer.columns import float_column, label_column, values
from cbminer.completeness import injection, observing
from cbminer.completeness.columns import INJECTED, TRUTH
from cbminer.completeness.completing import _open_clouds
from cbminer.completeness.injection import inject, injection_plan
from cbminer.completeness.observing import make_chunk
from cbminer.completeness.rates import tabulate_cuts, tabulate_rates
from cbminer.completeness.survey_field import Hosts, open_field
from cbminer.completeness.systems import KINDS, draw_systems
from cbminer.errors import ArchiveError, SettingsError
from cbminer.flags import Flag
from cbminer.monitor import Monitor
from cbminer.reopening import judge_new_stars, run_contexts
from cbminer.report import completeness_products
from cbminer.report.completeness_figures import completeness_curves, completeness_map, cut_losses
from cbminer.synthetic.cadence import dilute
from cbminer.theory.roche_lobe import roche_radius, separation


@pytest.fixture(scope="module")
def run(mock_archive, tmp_path_factory):
    out = tmp_path_factory.mktemp("complete") / "run"
    assert main(["select", "--galaxy", "LMC", "--archive", str(mock_archive), "--out", str(out), "--jobs", "2"]) == 0
    return out


@pytest.fixture(scope="module")
def opened(run, tmp_path_factory):
    return run_contexts(run, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def fields(opened):
    return [field_of(opened, "LMC")]


def field_of(opened, galaxy, *, judging=None, **changed):
    context = opened.clouds[galaxy]
    completeness = opened.settings.completeness.model_copy(update={"lent_curves": 60} | changed)
    settings = opened.settings.model_copy(update={"completeness": completeness})
    store = opened.archive.light_curves(galaxy, label_column(context.stars, "id").tolist())
    judge = partial(judge_new_stars, context=judging or context)
    return open_field(galaxy, context.stars, store, settings=settings, judge=judge, seed=1)


class Quiet:
    """A survey without noise."""

    def observe(self, mag, I_mag, rng):
        return mag, np.full(len(mag), 0.005)


@pytest.fixture(scope="module")
def quiet(fields):
    field = replace(fields[0], noise=Quiet())
    return field, make_chunk(field, 0, seed=7, size=24)


def test_magnitudes_are_those_of_the_pair_at_its_distance_behind_its_dust(quiet):
    field, chunk = quiet
    truth, extinction = chunk.truth, field.settings.extinction
    blend = 2.5 * np.log10(1.0 - truth["third_light"])
    through = truth["true_distance_modulus"] + extinction.A_I_per_E_VI * truth["true_E_VI"]
    np.testing.assert_allclose(truth["true_I_mag"], truth["true_M_V"] - truth["true_VI0"] + through + blend, atol=1e-9)
    alone = truth["third_light"] == 0
    assert 0 < alone.sum() < len(alone)
    through_v = truth["true_distance_modulus"] + extinction.A_V_per_E_VI * truth["true_E_VI"]
    np.testing.assert_allclose(truth["true_V_mag"][alone], (truth["true_M_V"] + through_v)[alone], atol=1e-9)
    # What is listed is off by the errors of the survey's magnitudes.
    off = values(chunk.stars, "I_mag", "mag") - truth["true_I_mag"]
    assert 0.5 < np.nanstd(off) / extinction.e_I_mag < 1.6


def test_periods_follow_from_masses_and_radii(quiet):
    truth = quiet[1].truth
    q = truth["mass_ratio"]
    axis = separation(truth["true_period"], truth["mass_1"] * (1.0 + q))
    # Eggleton's radius of the lobe is good to one per cent.
    np.testing.assert_allclose(truth["radius_1"], truth["lobe_filling_1"] * roche_radius(1.0 / q) * axis, rtol=0.02)
    np.testing.assert_allclose(truth["listed_period"], truth["true_period"], rtol=1e-4)
    contact = truth["kind"] == "contact"
    assert np.isfinite(truth["fillout_factor"][contact]).all()
    assert np.isnan(truth["fillout_factor"][~contact]).all()
    assert (truth["lobe_filling_1"][~contact] < 1.0).all()


def test_light_curves_have_the_epochs_of_the_host_and_the_depth_of_the_binary(quiet):
    field, chunk = quiet
    for place in range(len(chunk.curves)):
        points = chunk.curves.points_of(place)
        host = field.store.read([str(chunk.truth["host"][place])]).curves
        np.testing.assert_array_equal(chunk.curves.time[points], host.time)
        if len(host.time) < 200:
            continue
        mag, truth = chunk.curves.mag[points], {name: data[place] for name, data in chunk.truth.items()}
        assert mag.min() == pytest.approx(truth["true_I_mag"], abs=0.01)
        depth = float(dilute(np.array([truth["true_depth1"]]), truth["third_light"])[0])
        assert mag.max() - mag.min() == pytest.approx(depth, abs=0.03 + 0.1 * depth)
        assert truth["true_depth1"] >= truth["true_depth2"] - 1e-9
        # Faint points lie at the minima of the listed ephemeris.
        epoch, period = values(chunk.stars, "T0", "d")[place], truth["listed_period"]
        if np.isfinite(epoch):
            phase = np.mod((host.time[np.argmax(mag)] - epoch) / period + 0.25, 0.5) - 0.25
            assert abs(phase) < 0.05


def test_names_and_survey_say_that_nothing_was_observed(quiet):
    chunk = quiet[1]
    assert all(name.startswith("MOCK-INJ-LMC-") for name in chunk.truth["id"])
    assert set(label_column(chunk.stars, "survey")) == {"mock"}
    assert set(TRUTH) == set(chunk.truth)


@pytest.mark.parametrize("kind", KINDS)
def test_binaries_are_within_the_box_and_its_margin_and_isotropic(fields, kind):
    laws = fields[0].laws
    drawn = draw_systems(kind, 1200, laws=laws, rng=np.random.default_rng(1)).truth
    margin = laws.injection.margin_M_V
    assert drawn["true_M_V"].min() >= laws.box.M_V_bright - margin
    assert drawn["true_M_V"].max() <= laws.box.M_V_faint + margin
    assert np.cos(np.radians(drawn["inclination"])).mean() == pytest.approx(0.5, abs=0.03)
    # Flat in the logarithm of the mass, well away from the ends that the magnitudes cut.
    n, _ = np.histogram(np.log10(drawn["mass_1"]), bins=np.linspace(0.9, 1.4, 6))
    assert n.min() > 0.6 * n.max()


def test_priors_without_a_binary_of_the_magnitudes_are_refused(fields):
    laws = fields[0].laws
    heavy = laws.injection.priors.model_copy(update={"least_mass": 90.0, "most_mass": 100.0})
    nowhere = replace(laws, injection=laws.injection.model_copy(update={"priors": heavy, "margin_M_V": 0.0}))
    with pytest.raises(SettingsError, match=r"hardly any contact binary of 90 to 100 solar masses has M_V"):
        draw_systems("contact", 10, laws=nowhere, rng=np.random.default_rng(1))


def small_chunks(monkeypatch, size):
    for module in (injection, observing):
        monkeypatch.setattr(module, "CHUNK", size)


def as_bytes(table, path):
    table.write(path, format="fits", overwrite=True)
    return path.read_bytes()


def test_the_seed_decides_and_not_the_threads_nor_the_number(fields, tmp_path, monkeypatch):
    small_chunks(monkeypatch, 4)
    one = inject(fields, 12, seed=3, kept=tmp_path / "one", jobs=1)
    two = inject(fields, 12, seed=3, kept=tmp_path / "two", jobs=3)
    assert as_bytes(one, tmp_path / "one.fits") == as_bytes(two, tmp_path / "two.fits")
    assert set(label_column(one, "galaxy")) == {"LMC"}
    fewer = inject(fields, 5, seed=3, kept=tmp_path / "fewer")
    np.testing.assert_array_equal(label_column(fewer, "id"), label_column(one, "id")[:5])
    np.testing.assert_array_equal(values(fewer, "depth1", "mag"), values(one, "depth1", "mag")[:5])
    other = inject(fields, 3, seed=4, kept=tmp_path / "other")
    assert not np.isin(values(other, "true_period", "d"), values(one, "true_period", "d")).any()


def unmeasured(stars, _curves):
    """Judge by what is listed alone, where the measurement is of no matter."""
    judged = conform(stars)
    judged["selected"] = values(stars, "I_mag", "mag") < 16.0
    return judged


def test_an_interrupted_call_goes_on_where_it_ended(fields, tmp_path, monkeypatch):
    small_chunks(monkeypatch, 4)
    calls = []

    def judge(stars, curves, *, fail_at):
        calls.append(len(stars))
        if len(calls) == fail_at:
            raise KeyboardInterrupt
        return unmeasured(stars, curves)

    field = replace(fields[0], judge=unmeasured)
    whole = inject([field], 12, seed=3, kept=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        inject([replace(field, judge=partial(judge, fail_at=3))], 12, seed=3, kept=tmp_path / "kept")
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["LMC-00000.npz", "LMC-00001.npz"]
    # A chunk that is damaged is made again.
    (tmp_path / "kept" / "LMC-00001.npz").write_bytes(b"PK\x03\x04 no chunk")
    calls.clear()
    again = inject([replace(field, judge=partial(judge, fail_at=0))], 12, seed=3, kept=tmp_path / "kept")
    assert calls == [4, 4]
    assert as_bytes(again, tmp_path / "again.fits") == as_bytes(whole, tmp_path / "whole.fits")


def test_the_plan_shares_stars_evenly():
    plan = injection_plan(["LMC", "SMC"], 1201)
    assert plan == [("LMC", 0, 500), ("LMC", 1, 101), ("SMC", 0, 500), ("SMC", 1, 100)]


def test_a_cut_that_nothing_passes_leaves_no_completeness(opened, fields, tmp_path):
    ordinary = inject(fields[:1], 24, seed=3, kept=tmp_path / "ordinary")
    assert np.mean(ordinary["selected"][label_column(ordinary, "kind") == "contact"]) > 0.3
    context = opened.clouds["LMC"]
    cuts = context.settings.selection
    tight = cuts.model_copy(update={"period": cuts.period.model_copy(update={"period_max": 0.01})})
    settings = context.settings.model_copy(update={"selection": tight})
    none = field_of(opened, "LMC", judging=replace(context, settings=settings))
    injected = inject([none], 24, seed=3, kept=tmp_path / "none")
    assert not injected["selected"].any()
    samples = {"selected": np.asarray(injected["selected"])}
    rates = tabulate_rates(injected, samples, least_depth=None)
    assert (np.asarray(rates["share"]) == 0).all()
    cuts = tabulate_cuts(injected)
    assert "period: period too long" in set(cuts["rejected_by"])
    assert np.asarray(cuts["n"]).sum() == 24
    # The stars themselves are the same ones.
    np.testing.assert_array_equal(values(injected, "I_mag", "mag"), values(ordinary, "I_mag", "mag"))


def test_missing_magnitudes_are_those_of_the_whole_catalogue(opened):
    """Of a server only stars with V are asked for their light curves: V is missing from others all the same."""
    stars = opened.clouds["LMC"].stars.copy()
    lacks = np.isnan(values(stars, "V_mag", "mag"))
    lacks[: len(stars) // 4] = True
    stars["V_mag"] = float_column(np.where(lacks, np.nan, values(stars, "V_mag", "mag")), "mag")
    stars["flags"] = np.asarray(stars["flags"]) | np.where(lacks, int(Flag.LIGHT_CURVE_NOT_READ), 0)
    hosts = Hosts.of(stars)
    assert len(hosts) == (~lacks).sum()
    assert 1 - hosts.has_V.mean() == pytest.approx(lacks.mean(), abs=0.05)


def test_a_cloud_without_light_curves_is_left_out_and_named(opened):
    dark = opened.clouds["LMC"].stars.copy()
    dark["galaxy"] = np.full(len(dark), "SMC")
    dark["flags"] = np.asarray(dark["flags"]) | int(Flag.NO_LIGHT_CURVE)
    clouds = opened.clouds | {"SMC": replace(opened.clouds["LMC"], galaxy="SMC", stars=dark)}
    fields, notes = _open_clouds(replace(opened, clouds=clouds), opened.settings, 1, Monitor())
    assert [field.galaxy for field in fields] == ["LMC"]
    assert len(notes) == 1
    assert "no light curve of the SMC" in notes[0]
    with pytest.raises(ArchiveError, match="of the SMC"):
        _open_clouds(replace(opened, clouds={"SMC": clouds["SMC"]}), opened.settings, 1, Monitor())


def test_what_a_host_lacks_the_injected_star_lacks(fields):
    hosts = fields[0].hosts
    bare = replace(hosts, has_V=np.zeros(len(hosts), dtype=bool), has_T0=np.zeros(len(hosts), dtype=bool))
    chunk = make_chunk(replace(fields[0], hosts=bare), 0, seed=1, size=5)
    flags = np.asarray(chunk.stars["flags"])
    assert ((flags & Flag.NO_V) != 0).all()
    assert ((flags & Flag.NO_EPOCH) != 0).all()
    judged = fields[0].judge(chunk.stars, chunk.curves)
    assert set(label_column(judged, "rejected_by")) == {"data: no V_mag"}


def test_a_share_is_listed_at_half_or_twice_the_period(opened):
    field = field_of(opened, "LMC", wrong_period=1.0)
    truth = make_chunk(replace(field, noise=Quiet()), 0, seed=1, size=30).truth
    ratio = np.round(truth["listed_period"] / truth["true_period"], 3)
    assert set(ratio) == {0.5, 2.0}


def test_a_run_without_light_curves_cannot_lend_any(opened):
    stars = opened.clouds["LMC"].stars.copy()
    stars["flags"] = np.asarray(stars["flags"]) | int(Flag.LIGHT_CURVE_NOT_READ)
    with pytest.raises(ArchiveError, match="select again with light curves"):
        Hosts.of(stars)


def test_reddening_scatters_about_the_adopted_one_by_its_errors(fields):
    field, rng = fields[0], np.random.default_rng(1)
    drawn = np.array([field.sight_of(0, rng) for _ in range(4000)])
    mean = field.settings.cloud["LMC"].reddening
    assert drawn[:, 1].mean() == pytest.approx(mean.E_VI, abs=0.003)
    assert drawn[:, 1].std() == pytest.approx(mean.scatter, rel=0.05)
    assert drawn[:, 1].min() >= 0
    assert drawn[:, 0].std() == pytest.approx(field.settings.cloud["LMC"].distance.depth, abs=0.003)


def test_every_column_has_a_meaning(fields, tmp_path):
    table = inject(fields[:1], 3, seed=3, kept=tmp_path)
    assert isinstance(table, QTable)
    assert set(table.colnames) <= set(INJECTED)
    assert all(table[name].info.description for name in table.colnames)


@pytest.fixture(scope="module")
def settings_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("settings") / "my.toml"
    path.write_text("[completeness]\nn = 30\nlent_curves = 60\ndraws = 200\n[population.counts]\ndraws = 20\n")
    return path


@pytest.fixture(scope="module")
def completed(run, settings_file, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    command = ["complete", "--run", str(run), "--settings", str(settings_file), "--seed", "5", "--cache", str(cache)]
    assert main([*command, "--jobs", "1"]) == 0
    return run / "completeness", command, cache


def test_a_run_is_completed_with_tables_figures_and_a_provenance(completed):
    folder, _, cache = completed
    injected = QTable.read(folder / "injections.fits")
    assert len(injected) == 30
    assert set(label_column(injected, "survey")) == {"mock"}
    assert injected["true_period"].unit == "d"
    assert np.isfinite(values(injected, "weight")).all()
    rates = QTable.read(folder / "completeness.ecsv")
    whole = (label_column(rates, "x") == "") & (label_column(rates, "subset") == "all")
    chosen = whole & (label_column(rates, "sample") == "selected")
    assert np.asarray(rates["n_injected"])[chosen].sum() == 30
    assert np.asarray(rates["n_found"])[chosen].sum() == np.sum(injected["selected"])
    numbers = QTable.read(folder / "numbers.ecsv")
    assert "simulated, not observed" in numbers.meta["comment"]
    judged = QTable.read(folder.parent / "judged.fits")
    assert numbers["n_observed"][0] == np.sum(judged["selected"])
    assert np.asarray(QTable.read(folder / "cuts.ecsv")["n"]).sum() == 30
    for stem in ("map_selected_LMC", "curves_LMC", "cuts_LMC"):
        assert (folder / f"{stem}.png").read_bytes().startswith(b"\x89PNG")
    provenance = json.loads((folder / "provenance.json").read_text(), parse_constant=pytest.fail)
    assert provenance["seed"] == 5
    assert provenance["settings"]["completeness"]["n"] == 30
    # Finished chunks are of no use any more.
    assert not any((cache / "completeness").iterdir())


def test_the_same_seed_makes_the_same_bytes_whatever_the_threads(completed, capsys, monkeypatch):
    folder, command, _ = completed
    first = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in {".fits", ".ecsv"}}
    monkeypatch.setattr(completeness_products, "save_figure", lambda *_: [])
    assert main([*command, "--jobs", "2"]) == 1
    assert "replace it with --overwrite" in capsys.readouterr().err
    assert main([*command, "--jobs", "2", "--overwrite"]) == 0
    said = capsys.readouterr().out
    assert {name: (folder / name).read_bytes() for name in first} == first
    assert "30 simulated binaries injected" in said
    assert "near contact" in said
    assert "note: which stars the survey lists at all is not simulated" in said


def test_what_is_no_run_is_refused(tmp_path, capsys):
    assert main(["complete", "--run", str(tmp_path / "nowhere")]) == 1
    assert "there is no run in" in capsys.readouterr().err
    assert main(["complete", "--run", str(tmp_path)]) == 1
    assert "is not the output of a run" in capsys.readouterr().err


def test_figures_show_both_kinds_and_their_units(completed):
    folder = completed[0]
    injected = QTable.read(folder / "injections.fits")
    sample, deep = np.asarray(injected["selected"]), values(injected, "true_depth1", "mag") >= 0.1
    figure = completeness_map(injected, sample, deep, title="LMC", period_max=3.0)
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [panel.get_xlabel() for panel in panels[:3]] == ["P [d]", "i [deg]", "i [deg]"]
    low, high = panels[0].get_ylim()
    assert low > high, "bright stars are above"
    told = sum(int(text.get_text()) for text in panels[1].texts)
    assert told == (label_column(injected, "kind") == "contact").sum()
    curves = completeness_curves(injected, {"selected": sample}, deep, title="LMC")
    assert all(axes.get_xlabel() for axes in curves.axes)
    bars = cut_losses(QTable.read(folder / "cuts.ecsv"), title="LMC").axes[0]
    assert bars.get_yticklabels()[0].get_text() == "passes every cut"
