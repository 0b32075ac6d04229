"""What the report page holds, and what it must not hold."""

import base64
import hashlib
import io
import json
import os
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import matplotlib.image
import numpy as np
import pytest
from fit_tables import SMALL, observed, true_flux
from hypothesis import given
from hypothesis import strategies as st
from judged_runs import random_table, table_of, write_run

from cbminer.cli import main
from cbminer.columns import float_column
from cbminer.errors import OutputError, ResourceNotFoundError, UnknownStarError
from cbminer.flags import Flag
from cbminer.ranking.fit_data import FoldedPoints
from cbminer.ranking.fit_model import CONTACT, NEAR_CONTACT
from cbminer.ranking.fit_results import HypothesisFit, StarFit
from cbminer.ranking.fit_store import write_fit
from cbminer.report.explanation import explain_star
from cbminer.report.page import page as page_module
from cbminer.report.page.counts import read_cutflow
from cbminer.report.page.curves import KEPT_FITS, MODEL_PHASE, CurveModel, ShownCurves, shown_curves
from cbminer.report.page.data import gather_report
from cbminer.report.page.diagrams import cloud_diagrams, colour_free_magnitude
from cbminer.report.page.links import star_links
from cbminer.report.page.odds import ODDS_PARTS, absent_odds
from cbminer.report.page.overview import shown_command
from cbminer.report.page.page import check_page_place, plotting_library, render_page, write_page
from cbminer.report.page.payload import embedded_json, page_payload
from cbminer.selection.plc import PLCRelation
from cbminer.settings import load_settings
from cbminer.survey.archive import open_archive
from cbminer.theory.density import DensityPlane

HOSTILE = '</script><img src=x onerror="document.title=1"><!-- &amp; {{ 7 * 7 }}'
RELATION = {"a": -3.61, "b": 11.65, "c": -0.05, "intrinsic_scatter": 0.33, "mode": "derived"}


class Elements(HTMLParser):
    """Elements of a page with their attributes, and the text of its scripts."""

    def __init__(self, text):
        super().__init__()
        self.found, self.scripts, self._inside = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag == "script":
            self._inside = dict(attrs).get("type", "")
            self.scripts.append((self._inside, ""))

    def handle_endtag(self, tag):
        if tag == "script":
            self._inside = None

    def handle_data(self, data):
        if self._inside is not None:
            kind, text = self.scripts[-1]
            self.scripts[-1] = (kind, text + data)

    def of(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def make_run(folder, stars, **more):
    """A run with a relation of every Cloud in its provenance."""
    run = write_run(folder, stars, **more)
    path = run / "provenance.json"
    record = json.loads(path.read_text())
    record["relations"] = dict.fromkeys(record["galaxies"], RELATION)
    path.write_text(json.dumps(record))
    return run


def gathered(run, **more):
    return gather_report(run, stores={}, populations={}, **more)


def embedded(text):
    (data,) = [script for kind, script in Elements(text).scripts if kind == "application/json"]
    return json.loads(data)


def column(payload, name):
    found = payload["stars"][name]
    return [found["all"]] * payload["n"] if isinstance(found, dict) else found


def synthetic_curves(stars, n=(1000, 150)):
    """Curves of as many points as OGLE has, for every star."""
    rng = np.random.default_rng(3)
    smooth = 16.0 + 0.2 * np.cos(4 * np.pi * MODEL_PHASE)
    found = {}
    for name in stars["id"]:
        points = {
            band: FoldedPoints(rng.random(k), rng.normal(16, 0.2, k), rng.uniform(0.003, 0.03, k))
            for band, k in zip("IV", n, strict=True)
        }
        models = tuple(
            CurveModel(kind, kind, {"I": smooth, "V": smooth}) for kind in ("contact", "near_contact", "shape")
        )
        found[str(name)] = ShownCurves(str(name), points, models, "deeper minimum", (1.0, 0.1))
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    stars = random_table(400, seed=2)
    stars["remark"] = np.where(np.arange(400) % 2, HOSTILE, "")
    return make_run(tmp_path_factory.mktemp("run") / "run", stars)


@pytest.fixture(scope="module")
def report(run):
    return gathered(run)


@pytest.fixture(scope="module")
def text(report):
    return render_page(report)


def test_the_library_is_the_one_that_was_taken():
    library = plotting_library()
    assert (library.name, library.version) == ("plotly.js-basic-dist-min", "4.1.1")
    assert f"v{library.version}" in library.script[:200]
    assert "Permission is hereby granted" in library.licence


def test_another_library_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "vendored"
    folder.mkdir()
    for path in (page_module._HERE / "vendored").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(page_module, "_HERE", tmp_path)
    plotting_library()
    script = folder / "plotly-basic.min.js"
    script.write_bytes(script.read_bytes() + b"\n")
    with pytest.raises(ResourceNotFoundError, match="not as it was shipped"):
        plotting_library()
    script.unlink()
    with pytest.raises(ResourceNotFoundError, match="install cbminer again"):
        plotting_library()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_embedded_json_is_json_and_ends_no_element(value):
    found = str(embedded_json(value))
    assert json.loads(found) == value
    assert found.isascii()
    assert not set("<>&") & set(found)


def test_numbers_that_are_none_are_embedded_as_unknown():
    found = embedded_json({"x": [float("nan"), 1.5], "y": (float("inf"), -float("inf"), np.float64("nan"), True, 2)})
    assert json.loads(str(found)) == {"x": [None, 1.5], "y": [None, None, None, True, 2]}


def test_a_relation_that_is_not_known_does_not_stop_the_page(tmp_path):
    run = make_run(tmp_path / "run", table_of(3))
    record = json.loads((run / "provenance.json").read_text())
    record["relations"]["LMC"] = RELATION | {"intrinsic_scatter": float("nan")}
    record["relations"]["SMC"] = dict.fromkeys("abc", float("nan")) | {"intrinsic_scatter": 0.3, "mode": "derived"}
    (run / "provenance.json").write_text(json.dumps(record))
    report = gathered(run)
    clouds = embedded(render_page(report))["clouds"]
    assert clouds["LMC"]["relation"]["half_width"] is None
    assert clouds["SMC"]["relation"]["b"] is None
    assert np.isfinite(
        [*clouds["SMC"]["ranges"]["relation"]["y"], *clouds["SMC"]["backgrounds"]["relation"]["y"]]
    ).all()
    assert any("intrinsic scatter not known" in line for line in report.summary)


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("cbminer select --galaxy LMC --archive /home/alice/ocvs", "cbminer select --galaxy LMC --archive PATH"),
        ("cbminer select --reddening='/home/alice b/map.fits'", "cbminer select --reddening=PATH"),
        ("cbminer select --archive https://ogle.example/ocvs/ --seed 5", "cbminer select --archive https://ogle.example/ocvs/ --seed 5"),
        (r"cbminer select --cache 'C:\Users\alice\cache'", "cbminer select --cache PATH"),
        ("cbminer select --cache ~/cache --settings my.toml", "cbminer select --cache PATH --settings my.toml"),
        ("cbminer select --out 'unclosed /home/alice", "cbminer"),
        ("cbminer select --archive https://alice:s3cret@ogle.example/ocvs/", "cbminer select --archive https://ogle.example/ocvs/"),
        ("cbminer select --archive=https://ogle.example/ocvs?token=s3cret#s3cret", "cbminer select --archive=https://ogle.example/ocvs"),
        ("cbminer select --archive 'HTTPS://ogle.example?s3cret'", "cbminer select --archive HTTPS://ogle.example"),
        ("cbminer select --archive 'ftp://alice:s3/cret@ogle.example/x'", "cbminer select --archive ADDRESS"),
        ("cbminer select --archive 'https://alice:s3#cret@ogle.example'", "cbminer select --archive ADDRESS"),
    ],
)  # fmt: skip
def test_commands_are_shown_without_places(command, shown):
    assert shown_command(command) == shown


def test_links_of_an_observed_star():
    links = {link.name: link.address for link in star_links("OGLE-LMC-ECL-00001", ra=80.5, dec=-69.25, simulated=False)}
    assert list(links) == ["SIMBAD", "VizieR", "Aladin Lite", "ESASky", "OGLE"]
    assert all(address.startswith("https://") and " " not in address for address in links.values())
    assert all("80.500000%20-69.250000" in links[name] for name in list(links)[:4])
    assert links["OGLE"].endswith("OGLE-LMC-ECL-00001")
    north = star_links("x", ra=1.0, dec=2.0, simulated=False)
    assert "%2B2.000000" in north[0].address
    assert [link.name for link in star_links("OGLE-LMC-ECL-00001", ra=np.nan, dec=np.nan, simulated=False)] == ["OGLE"]


def test_a_simulated_star_has_no_links(tmp_path):
    assert star_links("MOCK-LMC-ECL-00001", ra=80.5, dec=-69.25, simulated=True) == ()
    stars = table_of(3)
    stars["survey"] = "mock"
    page = render_page(gathered(make_run(tmp_path / "run", stars, survey="mock")))
    assert "Simulated stars, not observations" in page
    assert not any(embedded(page)["links"])
    assert not re.search(r'https?://(?!www\.w3\.org)[^"\s]*simbad', page)


def test_columns_are_those_of_the_catalogue(report, text):
    payload = embedded(text)
    listed = report.listed
    assert payload["listed"] == len(listed) > 5
    assert column(payload, "id")[: len(listed)] == [str(name) for name in listed["id"]]
    assert column(payload, "rank")[: len(listed)] == list(range(1, len(listed) + 1))
    np.testing.assert_allclose(
        np.array(column(payload, "M_V"), dtype=float), report.stars["M_V"].unmasked.to_value("mag"), atol=1e-9
    )
    unknown = [value is None for value in column(payload, "c")]
    assert unknown == list(np.asarray(report.stars["c"].mask))
    assert any(unknown)


def test_cuts_say_what_explain_says(run, report, text):
    payload = embedded(text)
    index = report.n_listed
    lines = explain_star(run, str(report.stars["id"][index]))
    word = {"p": "passes", "f": "fails", "u": "cannot be told"}
    for cut in payload["cuts"]:
        (line,) = [line for line in lines if line.startswith(f"{cut['name']}:")]
        assert line.split(": ")[1].startswith(word[cut["state"][index]])
    for cut in report.verdicts:
        states = next(item["state"] for item in payload["cuts"] if item["name"] == cut.name)
        assert [state == "p" for state in states] == list(cut.verdict.passed)


def test_a_hostile_remark_is_text(report, text):
    elements = Elements(text)
    assert column(embedded(text), "remark").count(HOSTILE) > 10
    assert [kind for kind, _ in elements.scripts] == ["application/json", "", ""]
    assert not elements.of("img")
    assert not any(name.startswith("on") for _, attributes in elements.found for name in attributes)


def test_a_hostile_name_is_text(tmp_path):
    stars = table_of(2)
    stars["id"] = ['"><script>alert(1)</script>', "OGLE-LMC-ECL-00002"]
    text = render_page(gathered(make_run(tmp_path / "run", stars)))
    assert len(Elements(text).scripts) == 3
    assert "<script>alert" not in text


def test_the_policy_lets_nothing_in_but_the_scripts_of_the_page(text):
    elements = Elements(text)
    (policy,) = [item["content"] for item in elements.of("meta") if item.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    scripts = [script for kind, script in elements.scripts if not kind]
    assert allowed == {base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts}
    assert not [attributes for attributes in elements.of("script") if "src" in attributes]
    assert not elements.of("link")
    assert not [attributes for attributes in elements.of("img") if "src" in attributes]


def test_no_place_on_a_disk_is_in_the_page(tmp_path, text, run):
    assert str(run) not in text
    assert str(run.parent) not in text
    stars = table_of(2)
    other = make_run(tmp_path / "beeblebrox-folder" / "run", stars)
    record = json.loads((other / "provenance.json").read_text())
    record["archive"] = "/home/zaphod/beeblebrox"
    record["command"] = "cbminer select --archive /home/zaphod/beeblebrox"
    record["settings"]["survey"]["archive"] = "/home/zaphod/beeblebrox"
    (other / "provenance.json").write_text(json.dumps(record))
    page = render_page(gather_report(other, populations={}, cache=tmp_path / "cache"))
    assert "zaphod" not in page
    assert "beeblebrox" not in page
    assert "no longer at hand" in page


def test_a_run_without_candidates(tmp_path):
    report = gathered(make_run(tmp_path / "run", table_of(20, off=30.0)))
    assert report.n_listed == 0
    text = render_page(report)
    assert "No star passes every cut" in text
    assert 'id="stars"' not in text
    assert embedded(text)["listed"] == 0


def test_a_run_without_any_star_in_the_diagrams(tmp_path):
    report = gathered(make_run(tmp_path / "run", table_of(1, V_mag=np.nan, M_V=np.nan)))
    assert len(report.stars) == 0
    assert "No star passes every cut" in render_page(report)


def test_points_are_capped_and_candidates_stay(tmp_path):
    settings = load_settings()
    stars = random_table(400, seed=2)
    capped = settings.report.model_copy(update={"points_max": 60})
    report = gathered(make_run(tmp_path / "run", stars, report=capped))
    assert len(report.stars) == max(60, report.n_listed)
    assert set(report.listed["id"]) == set(stars["id"][np.asarray(stars["selected"])])
    # The image behind the points shows all of them.
    known = np.isfinite(stars["VI0"].unmasked.to_value("mag"))
    lmc = sum(item.backgrounds["colour"].n_stars for item in report.diagrams.values())
    assert lmc > len(report.stars)
    assert lmc <= known.sum()


def test_chosen_stars_are_listed_in_their_order(run):
    names = ["ogle-lmc-ecl-00007", "OGLE-SMC-ECL-00003"]
    everyone = [str(name) for name in gathered(run).stars["id"]]
    names = [everyone[-1].lower(), everyone[0], everyone[-1]]
    report = gathered(run, stars=names)
    assert [str(name) for name in report.listed["id"]] == [everyone[-1], everyone[0]]
    assert "Chosen stars" in render_page(report)
    with pytest.raises(UnknownStarError, match="the nearest names are"):
        gathered(run, stars=["OGLE-LMC-ECL-0000"])
    assert gathered(run, most=2).n_listed == 2


def test_curves_are_embedded_to_a_ten_thousandth(report):
    curves = synthetic_curves(report.listed, n=(300, 40))
    payload = page_payload(replace(report, curves=curves))
    name = str(report.listed["id"][0])
    for band in "IV":
        points, found = curves[name].points[band], payload["curves"][name]["bands"][band]
        order = np.argsort(points.phase, kind="stable")
        np.testing.assert_allclose(np.array(found["phase"]) * 1e-4, points.phase[order], atol=0.51e-4)
        np.testing.assert_allclose(found["from"] + np.array(found["mag"]) * 1e-4, points.mag[order], atol=0.51e-4)
        np.testing.assert_allclose(np.array(found["error"]) * 1e-4, points.mag_err[order], atol=0.51e-4)
        model = payload["curves"][name]["models"][0]["mag"][band]
        np.testing.assert_allclose(
            model["from"] + np.array(model["mag"]) * 1e-4, curves[name].models[0].mag[band], atol=1.02e-4
        )


def test_two_hundred_candidates_fit_in_ten_megabytes(tmp_path):
    report = gathered(make_run(tmp_path / "run", table_of(200)))
    assert report.n_listed == 200
    path = tmp_path / "report.html"
    write_page(path, replace(report, curves=synthetic_curves(report.listed)))
    assert path.stat().st_size < 10e6
    assert len(embedded(path.read_text(encoding="utf-8"))["curves"]) == 200


@pytest.fixture(scope="module")
def mock_stars(mock_archive, tmp_path_factory):
    """Bright simulated stars, as a catalogue has them, and their light curves."""
    archive = open_archive(str(mock_archive), cache=tmp_path_factory.mktemp("cache"))
    stars = archive.catalogue("LMC").stars
    stars = stars[np.isfinite(stars["period"].unmasked.to_value("d")) & (stars["I_mag"].unmasked.to_value("mag") < 17)]
    stars["T0_fit"] = stars["T0"]
    return stars, archive.light_curves("LMC", [str(name) for name in stars["id"]], bands=("I", "V"))


def test_curves_have_the_smooth_shape_in_both_bands(mock_stars):
    stars, store = mock_stars
    curves = shown_curves(stars, {"LMC": store}, settings=load_settings())
    in_both = [item for item in curves.values() if "V" in item.points and item.models]
    assert len(in_both) > 10
    for item in in_both:
        (model,) = item.models
        assert not model.is_physical
        assert "no model of a binary" in model.name
        assert abs(np.median(model.residuals("V", item.points["V"]))) < 1e-6
        assert model.mag["I"][0] == pytest.approx(model.mag["I"][-1], abs=1e-9)
        assert abs(np.median(model.residuals("I", item.points["I"]))) < 0.02


def test_stars_without_light_curve_or_period_are_left_out(mock_stars):
    stars, store = mock_stars
    some = stars[:3].copy()
    some["id"][0] = "MOCK-LMC-ECL-99999"
    some["period"].mask[1] = True
    assert list(shown_curves(some, {"LMC": store}, settings=load_settings())) == [str(some["id"][2])]
    assert shown_curves(some, {}, settings=load_settings()) == {}


def test_fits_that_are_kept_are_drawn(mock_stars, tmp_path):
    stars, store = mock_stars
    one = stars[:1]
    name = str(one["id"][0])
    values = {"contact": (CONTACT, [0.8, 75.0, 0.3, 0.95, 0.03, 0.001]), "near": (NEAR_CONTACT, [0.8, 75.0, 0.95, 0.95, 0.95, 0.03, 0.001])}  # fmt: skip
    half = np.linspace(0.0, 0.5, SMALL.tables.phases)
    fits = []
    for hypothesis, best in values.values():
        assert len(best) == len(hypothesis.parameters)
        flux = hypothesis_flux(hypothesis, best, half)
        fits.append(
            HypothesisFit(
                hypothesis.name, np.tile(best, (5, 1)), 0.0, 0.1, np.array(best), 1.0, 10, 1.0, 0.0, False, flux, 0.0, 5
            )
        )  # fmt: skip
    curves = observed(CONTACT, values["contact"][1], star=name, shift=0.01, error=0.003)
    fit = StarFit(name, curves, 25000.0, *fits, 1.0)
    write_fit(tmp_path / KEPT_FITS / f"{name}.npz", fit, settings="of some other settings", data="x")
    shown = shown_curves(one, {"LMC": store}, settings=load_settings(), run=tmp_path)[name]
    assert [model.kind for model in shown.models][:2] == ["contact", "near_contact"]
    assert shown.ln_bayes == (fit.ln_bayes_contact, fit.e_ln_bayes_contact)
    contact = shown.models[0]
    for band in "IV":
        # The points that the fit was made of lie on its model, minimum and all.
        data = curves.bands[band]
        phase = (data.phase + curves.phase_shift) % 1.0
        residual = contact.residuals(band, FoldedPoints(phase, data.mag, data.mag_err))
        assert np.sqrt(np.mean(residual**2)) < 3 * np.median(data.mag_err) + 0.003
    damaged = tmp_path / KEPT_FITS / f"{name}.npz"
    damaged.write_bytes(damaged.read_bytes()[:100])
    again = shown_curves(one, {"LMC": store}, settings=load_settings(), run=tmp_path)[name]
    assert all(not model.is_physical for model in again.models)


def hypothesis_flux(hypothesis, best, half):
    """Flux without third light at the phases of a table."""
    dark = [*best[:-2], 0.0, best[-1]]
    phases = 2 * (len(half) - 1)
    return true_flux(hypothesis, dark, phases=phases)[:, : len(half)]


def test_a_file_that_is_no_report_is_left_alone(tmp_path, report):
    path = tmp_path / "report.html"
    notes = (
        "my notes",
        "<!DOCTYPE html><title>cbminer report, my notes</title>",
        '<meta name="author" content="cbminer report 0.1">',
    )
    for text in notes:
        path.write_text(text)
        with pytest.raises(OutputError, match="no report of cbminer"):
            check_page_place(path, overwrite=False)
    check_page_place(path, overwrite=True)
    write_page(path, report)
    check_page_place(path, overwrite=False)
    with pytest.raises(OutputError, match="is a folder"):
        check_page_place(tmp_path, overwrite=True)
    assert [item.name for item in tmp_path.iterdir()] == ["report.html"]


def test_equal_runs_give_equal_pages(tmp_path, run, text):
    again = tmp_path / "copy"
    shutil.copytree(run, again)
    for path in again.iterdir():
        os.utime(path, (1e9, 1e9))
    assert render_page(gathered(again)) == text


def diagrams_of(stars, **more):
    settings = load_settings()
    relation = PLCRelation(**RELATION)
    return cloud_diagrams(
        stars,
        "LMC",
        cuts=settings.selection,
        relation=relation,
        contour=0.95,
        **({"populations": None, "shown": stars[:0]} | more),
    )


def test_the_image_has_a_star_where_it_is():
    stars = table_of(2, M_V=[-6.0, np.nan], V_mag=[12.477, np.nan], off=0.3)
    diagrams = diagrams_of(stars)
    for name, x, y in (
        ("colour", float(stars["VI0"][0].value), -6.0),
        ("relation", 0.0, colour_free_magnitude(stars, diagrams.band)[0]),
    ):
        image = diagrams.backgrounds[name]
        assert (image.n_stars, image.n_all) == (1, 2)
        alpha = matplotlib.image.imread(io.BytesIO(image.png))[..., 3]
        ((row, column),) = np.argwhere(alpha > 0)
        height, width = alpha.shape
        # The first row is drawn at the top, where the bright stars are.
        assert image.y[0] + (row + 0.5) * (image.y[1] - image.y[0]) / height == pytest.approx(y, abs=0.06)
        assert image.x[0] + (column + 0.5) * (image.x[1] - image.x[0]) / width == pytest.approx(x, abs=0.01)


class Blob:
    """A population in one point, as wide as the errors of the stars."""

    def plane(self, x, y, *, e_M_V, e_VI0):
        edges = {"VI0": np.linspace(-1, 1, 402), "M_V": np.linspace(-6, 0, 402), "log_P": np.linspace(-1, 1, 402)}
        middles = {"VI0": (-0.2, e_VI0), "M_V": (-3.0, e_M_V), "log_P": (0.0, 0.1)}
        parts = []
        for name in (x, y):
            place, sigma = middles[name]
            centre = (edges[name][1:] + edges[name][:-1]) / 2
            parts.append(np.exp(-0.5 * ((centre - place) / sigma) ** 2))
        density = np.outer(*parts)
        return DensityPlane(x, y, edges[x], edges[y], density / density.sum())


def test_contours_are_smoothed_by_the_errors_of_the_stars():
    stars = table_of(5)
    stars["e_M_V"], stars["e_VI0"] = float_column(np.full(5, 0.5), "mag"), float_column(np.full(5, 0.05), "mag")
    contours = diagrams_of(stars, populations={"contact": Blob()}).contours
    outer = contours["VI0"][-1]
    assert outer.share == 0.95
    # 95 % of a normal distribution in two dimensions lie within 2.45 sigma.
    assert np.ptp(outer.lines[0][:, 0]) == pytest.approx(2 * 2.448 * 0.05, rel=0.05)
    assert np.ptp(outer.lines[0][:, 1]) == pytest.approx(2 * 2.448 * 0.5, rel=0.05)
    assert np.ptp(contours["log_P"][-1].lines[0][:, 1]) == pytest.approx(2 * 2.448 * 0.5, rel=0.05)


def test_ranges_hold_every_star_of_the_list(tmp_path):
    stars = table_of(4, M_V=[-3.0, -8.5, 2.5, -2.0], period=[1.0, 0.1, 30.0, 1.0], off=[0, 9.0, -6.0, 0])
    report = gathered(make_run(tmp_path / "run", stars), stars=[str(name) for name in stars["id"]])
    ranges = report.diagrams["LMC"].ranges
    assert ranges["colour"].y == ranges["population"].y == (pytest.approx(-9.0), pytest.approx(3.0))
    assert ranges["relation"].x == ranges["population"].x == (pytest.approx(-1.1), pytest.approx(1.577, abs=1e-3))
    band = report.diagrams["LMC"].band
    for name, places in (("colour", stars["VI0"].unmasked.value), ("relation", colour_free_magnitude(stars, band))):
        low, high = ranges[name].x if name == "colour" else ranges[name].y
        assert low < min(places)
        assert max(places) < high
    usual = gathered(make_run(tmp_path / "usual", table_of(4))).diagrams["LMC"].ranges
    assert usual["colour"].x == (-0.75, 0.35)


def test_a_damaged_cutflow_is_named(tmp_path, capsys):
    run = make_run(tmp_path / "run", table_of(2))
    lines = ["# %ECSV 1.0", "# ---", "# datatype:"]
    names = ("galaxy", "cut", "n_in", "n_out", "n_failed", "n_undecided")
    lines += [f"# - {{name: {name}, datatype: {'string' if name in names[:2] else 'int64'}}}" for name in names]
    good = [*lines, " ".join(names), "LMC type 5 4 1 0"]
    path = run / "cutflow.ecsv"
    path.write_text("\n".join(good))
    assert list(read_cutflow(run)["n_out"]) == [4]
    for damaged in (
        good[:5], good[:-2], [*good[:-1], "LMC type 5 4 1"], [*good[:-1], 'LMC type 5 4 1 ""'], [*good[:-1], "LMC type 5 -4 1 0"],
        ["\x00\xff"], [line.replace("n_failed", "n_fallen") for line in good],
        [line.replace("int64", "int6") for line in good], ["{", *good[1:]],
    ):  # fmt: skip
        path.write_bytes("\n".join(damaged).encode("latin-1"))
        with pytest.raises(OutputError, match=r"cutflow\.ecsv.*--overwrite"):
            read_cutflow(run)
    assert main(["report", "--run", str(run)]) == 1
    assert "cutflow.ecsv" in capsys.readouterr().err


@given(st.integers(0, 420), st.integers(0, 255))
def test_a_cutflow_is_read_or_refused(tmp_path_factory, place, byte):
    run = tmp_path_factory.mktemp("cutflow")
    names = ("galaxy", "cut", "n_in", "n_out", "n_failed", "n_undecided")
    header = ["# %ECSV 1.0", "# ---", "# datatype:"]
    header += [f"# - {{name: {name}, datatype: {'string' if name in names[:2] else 'int64'}}}" for name in names]
    content = bytearray("\n".join([*header, " ".join(names), "LMC type 5 4 1 0", "SMC data 7 7 0 0"]).encode())
    content[min(place, len(content) - 1)] = byte
    (run / "cutflow.ecsv").write_bytes(content)
    try:
        table = read_cutflow(run)
    except OutputError:
        return
    assert all(int(row["n_in"]) >= 0 for row in table)


def test_flags_of_all_stars_are_told_from_those_of_some(tmp_path):
    stars = table_of(3)
    shared = int(Flag.MEAN_REDDENING)
    stars["flags"] = [shared, shared | int(Flag.PHASE_GAP), shared]
    report = gathered(make_run(tmp_path / "run", stars))
    assert report.shared_flags == shared
    text = render_page(report)
    assert embedded(text)["shared_flags"] == shared
    options = [attributes["value"] for attributes in Elements(text).of("option") if "value" in attributes]
    assert "PHASE_GAP" in options
    assert "MEAN_REDDENING" not in options
    assert "MEAN_REDDENING (mean reddening of the Cloud, not a map)" in text
    alone = gathered(make_run(tmp_path / "alone", stars[:1]))
    assert alone.shared_flags == 0


def test_why_no_curve_is_shown_is_said_of_each_star(mock_stars, tmp_path):
    stars, store = mock_stars
    stars = judged_mock(stars[:6])
    run = make_run(tmp_path / "run", stars, survey="mock")
    names = [str(name) for name in stars["id"]]
    report = gather_report(run, stars=names, stores={"LMC": store}, populations={})
    assert list(report.absent) == [names[1], names[2], names[3]]
    assert "no period" in report.absent[names[1]]
    assert "archive of the run has no light curve" in report.absent[names[2]]
    assert "at hand" in report.absent[names[3]]
    assert page_payload(report)["absent"] == report.absent
    assert "No light curve in V is at hand" not in " ".join(report.notes)
    # Beyond the first few the page holds no curves.
    few = load_settings().report.model_copy(update={"sheets_max": 2})
    many = make_run(tmp_path / "many", table_of(4), report=few)
    beyond = gather_report(many, stores={}, populations={}).absent
    assert [text.startswith("Only the first 2 stars") for text in beyond.values()] == [False, False, True, True]
    assert "cbminer report --star OGLE-LMC-ECL-00003" in beyond["OGLE-LMC-ECL-00003"]


def judged_mock(stars, *, spoil=True):
    """Judged stars with the names and ephemerides of a catalogue; some of them lose period or light curve."""
    result = table_of(len(stars))
    result["survey"] = "mock"
    for name in ("id", "period", "T0", "T0_fit"):
        result[name] = stars[name].copy()
    if spoil:
        result["period"].mask[1] = True
        result["flags"][2] = int(Flag.NO_LIGHT_CURVE)
        result["id"][2:4] = ["MOCK-LMC-ECL-99998", "MOCK-LMC-ECL-99999"]
    return result


@pytest.mark.parametrize("server", [False, True])
def test_v_that_is_not_at_hand_is_said(mock_stars, mock_archive, tmp_path, server):
    stars = mock_stars[0][:4].copy()
    names = [str(name) for name in stars["id"]]
    run = make_run(tmp_path / "run", judged_mock(stars, spoil=False), survey="mock")
    record = json.loads((run / "provenance.json").read_text())
    record["archive"] = "https://ogle.example/" if server else "nowhere"
    (run / "provenance.json").write_text(json.dumps(record))
    archive = open_archive(str(mock_archive), cache=tmp_path / "cache")
    for bands in (("I",), ("I", "V")):
        store = archive.light_curves("LMC", names, bands=bands)
        report = gather_report(run, stars=names, stores={"LMC": store}, populations={})
        assert len(report.curves) == 4
        told = [note for note in report.notes if note.startswith("No light curve in V is at hand")]
        assert len(told) == (bands == ("I",))
        assert ["cbminer fetch" in note for note in told] == [server] * len(told)
        assert all(note in render_page(report) for note in told)


def test_unknown_counts_are_not_minus_one(tmp_path):
    stars = table_of(2)
    stars["n_points"], stars["n_harmonics"] = [-1, 500], [-1, 6]
    payload = page_payload(gathered(make_run(tmp_path / "run", stars)))
    assert column(payload, "n_points") == [None, 500]
    assert column(payload, "n_harmonics") == [None, 6]
    shown = {name for _, names in payload["groups"] for name in names}
    assert {"T0", "M_I", "a1", "contact_angle1", "contact_angle2", "n_harmonics", "E_VI_err_minus", "E_VI_err_plus", "depth1_survey"} <= shown  # fmt: skip
    # Everything of the catalogue is somewhere on a sheet, but bookkeeping and what stands in a section of its own.
    apart = {"id", "galaxy", "survey", "rank", "contact_rank", "selected", "rejected_by", "failed", "undecided", "flags", "bona_fide", "contact_level", "hull_distance", "light_curve_class", "classifier_version"}  # fmt: skip
    left = {name for name in payload["stars"] if not name.startswith(("e_", "P_", "post_", "ln_odds"))} - shown - apart
    assert left == set()


def test_why_odds_are_not_known_is_said(tmp_path):
    stars = table_of(4)
    stars["flags"] = np.array([Flag.NO_CURVE_EVIDENCE, Flag.NO_CURVE_EVIDENCE, 0, 0], dtype=int)
    stars["period"].mask[1] = True
    stars["ln_odds"] = float_column([np.nan, np.nan, np.nan, 1.0])
    first, second, third, last = absent_odds(stars)
    assert "too few" in first
    assert "nor a period" in second
    assert "has not ranked" in third
    assert last is None
    place, curve = ODDS_PARTS[1], ODDS_PARTS[2]
    assert curve.text(0.0, int(Flag.NO_CURVE_EVIDENCE)) == "no light curve"
    assert curve.text(0.0, 0) == "+0.00"
    assert place.text(0.0, int(Flag.NO_PLACE_EVIDENCE)) == "no place"
    assert place.text(-0.5, int(Flag.NO_PLACE_EVIDENCE)) == "-0.50 (period alone)"
    assert place.text(np.nan, 0) == "not known"


def test_only_a_list_in_the_order_of_ranks_says_so(run):
    def sorted_by(report):
        heads = Elements(render_page(report)).of("th")
        return [head["data-sort"] for head in heads if "aria-sort" in head]

    report = gathered(run)
    assert sorted_by(report) == ["rank"]
    assert sorted_by(gathered(run, stars=[str(name) for name in report.listed["id"][[2, 0]]])) == []


def test_the_command_refuses_what_does_not_go_together(run, capsys):
    for words in (
        ["--star", "x", "--stars", "3"],
        ["--name", "x"],
        ["--against", "list.csv", "--sheets", "pdf"],
    ):
        assert main(["report", "--run", str(run), *words]) == 2
    assert "leave out" in capsys.readouterr().err
