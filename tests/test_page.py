"""What the report page holds, and what it must not hold."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from fit_tables import SMALL, observed, true_flux
from hypothesis import given
from hypothesis import strategies as st
from judged_runs import random_table, table_of, write_run

from cbminer.cli import main
from cbminer.errors import OutputError, ResourceNotFoundError, UnknownStarError
from cbminer.ranking.fit_data import FoldedPoints
from cbminer.ranking.fit_model import CONTACT, NEAR_CONTACT
from cbminer.ranking.fit_results import HypothesisFit, StarFit
from cbminer.ranking.fit_store import write_fit
from cbminer.report.explanation import explain_star
from cbminer.report.page import page as page_module
from cbminer.report.page.curves import KEPT_FITS, MODEL_PHASE, CurveModel, ShownCurves, shown_curves
from cbminer.report.page.data import gather_report
from cbminer.report.page.links import star_links
from cbminer.report.page.overview import shown_command
from cbminer.report.page.page import check_page_place, plotting_library, render_page, write_page
from cbminer.report.page.payload import embedded_json, page_payload
from cbminer.settings import load_settings
from cbminer.survey.archive import open_archive

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


def test_no_number_is_embedded_as_nan():
    with pytest.raises(ValueError, match="not JSON compliant"):
        embedded_json({"x": float("nan")})


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("cbminer select --galaxy LMC --archive /home/alice/ocvs", "cbminer select --galaxy LMC --archive PATH"),
        ("cbminer select --reddening='/home/alice b/map.fits'", "cbminer select --reddening=PATH"),
        ("cbminer select --archive https://ogle.example/ocvs/ --seed 5", "cbminer select --archive https://ogle.example/ocvs/ --seed 5"),
        (r"cbminer select --cache 'C:\Users\alice\cache'", "cbminer select --cache PATH"),
        ("cbminer select --cache ~/cache --settings my.toml", "cbminer select --cache PATH --settings my.toml"),
        ("cbminer select --out 'unclosed /home/alice", "cbminer"),
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
    path.write_text("my notes")
    with pytest.raises(OutputError, match="no report of cbminer"):
        check_page_place(path, overwrite=False)
    check_page_place(path, overwrite=True)
    write_page(path, report)
    check_page_place(path, overwrite=False)
    with pytest.raises(OutputError, match="is a folder"):
        check_page_place(tmp_path, overwrite=True)
    assert [item.name for item in tmp_path.iterdir()] == ["report.html"]


def test_the_command_refuses_what_does_not_go_together(run, capsys):
    for words in (
        ["--star", "x", "--stars", "3"],
        ["--name", "x"],
        ["--against", "list.csv", "--sheets", "pdf"],
    ):
        assert main(["report", "--run", str(run), *words]) == 2
    assert "leave out" in capsys.readouterr().err
