"""The report page in a browser, from a run of the command to the printed sheet."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from browser import be_phone, complaints, contrast, open_browser, print_to_pdf, requests, visit
from judged_runs import table_of
from test_page import HOSTILE, make_run, synthetic_curves

from cbminer.cli import main
from cbminer.columns import float_column
from cbminer.flags import Flag
from cbminer.judged import read_judged
from cbminer.provenance import read_provenance
from cbminer.report.page.curves import ShownCurves
from cbminer.report.page.data import gather_report
from cbminer.report.page.page import write_page
from cbminer.selection.conditions import Condition
from cbminer.settings import settings_from_mapping

SIZES = pytest.mark.parametrize("phone", [False, True], ids=["desk", "phone"])


@pytest.fixture(scope="module")
def run(mock_archive, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    place = folder / "run"
    words = ["--galaxy", "both", "--archive", str(mock_archive), "--out", str(place), "--cache", str(folder / "cache")]
    assert main(["select", *words]) == 0
    return place


@pytest.fixture(scope="module")
def page(run):
    return run / "report.html"


@pytest.fixture(scope="module")
def observed_page(tmp_path_factory):
    """Stars that pass for observed ones, without light curves, one of them with a hostile remark."""
    folder = tmp_path_factory.mktemp("observed")
    stars = table_of(4)
    stars["remark"] = [HOSTILE, "", "", ""]
    # Rounded as the table rounds, the second star has a probability of 0.9.
    stars["post_contact"], stars["ln_odds"] = (
        float_column([0.95, 0.89996, 0.89994, 0.2]),
        float_column([np.nan, 1, 2, 3]),
    )
    stars["ln_odds_curve"], stars["ln_odds_place"] = (
        float_column([0.0, 0.0, 0.0, 2.5]),
        float_column([0.0, 0.0, -0.5, 0.0]),
    )
    stars["contact_level"] = float_column(np.full(4, 0.5))
    lacks = [0, Flag.NO_CURVE_EVIDENCE | Flag.NO_PLACE_EVIDENCE, Flag.NO_PLACE_EVIDENCE, 0]
    stars["flags"] = np.array(lacks, dtype=int)
    report = gather_report(make_run(folder / "run", stars), stores={}, populations={})
    name, curve = list(synthetic_curves(report.listed, n=(50, 5)).items())[1]
    in_i = ShownCurves(name, {"I": curve.points["I"]}, curve.models, curve.zero)
    report = replace(
        report, curves={name: in_i}, absent={star: text for star, text in report.absent.items() if star != name}
    )
    write_page(folder / "report.html", report)
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with open_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def overview(browser, page):
    visit(browser, page)
    return browser


def rows(browser):
    """Identifiers in the table, from above."""
    return browser.execute_script(
        "return [...document.querySelectorAll('#stars tbody tr')].filter((r) => !r.hidden)"
        ".map((r) => r.querySelector('a').textContent)"
    )


def settle(browser):
    """Wait until the page shows what its address says: the event of a new address comes after the call that changed it."""
    browser.execute_async_script(
        """
        const done = arguments[0], sheet = document.getElementById("sheet");
        const look = () => {
          const star = location.hash.match(/^#star=(.+)$/);
          const shown = !sheet.hidden && decodeURIComponent(star?.[1] ?? "") === sheet.querySelector("h2").textContent;
          if (star ? shown : sheet.hidden) done();
          else setTimeout(look, 20);
        };
        look();
        """
    )


def heading(browser):
    settle(browser)
    return browser.execute_script("return document.querySelector('#sheet h2')?.textContent ?? null")


def one(browser, selector):
    return browser.find_element("css selector", selector)


def press(browser, *keys):
    from selenium.webdriver import ActionChains

    ActionChains(browser).send_keys(*keys).perform()


def key(name):
    from selenium.webdriver import Keys

    return getattr(Keys, name)


def focused(browser):
    settle(browser)
    return browser.execute_script("return document.activeElement.textContent")


@SIZES
def test_nothing_is_asked_for_and_nothing_complained_about(browser, page, phone):
    be_phone(browser, on=phone)
    visit(browser, page)
    star = rows(browser)[0]
    for part in (None, star):
        visit(browser, page, part)
        assert browser.execute_script("return document.querySelectorAll('.main-svg').length") > 0
        assert complaints(browser) == []
        assert browser.execute_script("return document.documentElement.scrollWidth") <= browser.execute_script(
            "return window.innerWidth"
        )
    be_phone(browser, on=False)


def test_only_the_file_itself_is_read(browser, page):
    visit(browser, page)
    asked = requests(browser)
    assert asked
    assert {address.split("#")[0] for address in asked} == {page.as_uri()}


def test_report_makes_the_same_page_again(run, page, tmp_path):
    again = tmp_path / "again.html"
    cache = run.parent / "cache"
    assert main(["report", "--run", str(run), "--out", str(again), "--cache", str(cache)]) == 0
    assert again.read_text(encoding="utf-8") == page.read_text(encoding="utf-8")


def test_every_candidate_is_listed_by_its_rank(overview, run):
    judged = read_judged(run)
    chosen = judged[judged["selected"]]
    chosen.sort("rank")
    assert rows(overview) == [str(name) for name in chosen["id"]]
    assert len(chosen) > 3
    assert "Simulated stars" in one(overview, ".simulated").text


def test_columns_are_sorted_by_mouse_and_keyboard(overview, run):
    judged = read_judged(run)
    period = {str(row["id"]): float(row["period"].to_value("d")) for row in judged}
    by_rank = rows(overview)
    button = one(overview, "th[data-sort=period] button")
    button.click()
    assert rows(overview) == sorted(by_rank, key=period.get)
    assert one(overview, "th[data-sort=period]").get_attribute("aria-sort") == "ascending"
    assert one(overview, "th[data-sort=rank]").get_attribute("aria-sort") is None
    button.send_keys(key("ENTER"))
    assert rows(overview) == sorted(by_rank, key=period.get, reverse=True)
    assert one(overview, "th[data-sort=period]").get_attribute("aria-sort") == "descending"
    one(overview, "th[data-sort=rank] button").send_keys(key("SPACE"))
    assert rows(overview) == by_rank
    odds = {str(row["id"]): float(row["ln_odds"]) for row in judged}
    best = one(overview, "th[data-sort=ln_odds] button")
    assert best.text.split() == ["ln", "odds", "contact", ":", "near", "contact"]
    best.click()
    assert rows(overview) == sorted(by_rank, key=odds.get, reverse=True)
    best.click()
    assert rows(overview) == sorted(by_rank, key=odds.get)


def test_filters_leave_what_they_say(overview, run):
    judged = {str(row["id"]): row for row in read_judged(run)}
    everyone = rows(overview)
    one(overview, "#by-contact").send_keys("0.9")
    sure = [name for name in everyone if judged[name]["post_contact"] >= 0.9]
    assert 0 < len(sure) < len(everyone)
    assert rows(overview) == sure
    assert one(overview, "#count").text == f"{len(sure)} of {len(everyone)} candidates"
    assert one(overview, "#count").get_attribute("role") == "status"
    one(overview, "#filters button[type=reset]").click()
    overview.execute_async_script("setTimeout(arguments[0], 50)")
    assert rows(overview) == everyone
    one(overview, "#by-bona-fide").click()
    assert rows(overview) == [name for name in everyone if judged[name]["bona_fide"]]
    one(overview, "#by-bona-fide").click()
    one(overview, "#by-text").send_keys(f" {everyone[1].lower()} ")
    assert rows(overview) == [everyone[1]]
    one(overview, "#by-text").clear()
    one(overview, "#by-text").send_keys("no such star")
    assert rows(overview) == []


def test_labels_and_flags_are_filtered(overview, run):
    judged = {str(row["id"]): row for row in read_judged(run)}
    everyone = rows(overview)
    one(overview, "#by-label option:nth-child(3)").click()
    assert rows(overview) == [name for name in everyone if judged[name]["spectral_label"] == "B"]
    one(overview, "#by-label option:nth-child(1)").click()
    one(overview, "#by-flag option[value=PERIOD_AMBIGUOUS]").click()
    assert rows(overview) == [name for name in everyone if int(judged[name]["flags"]) & 2097152]
    one(overview, "#by-flag option[value=none]").click()
    # All share the mean reddening, which is no flag of any one.
    plain = [name for name in everyone if int(judged[name]["flags"]) == int(Flag.MEAN_REDDENING)]
    assert plain
    assert rows(overview) == plain
    assert not overview.find_elements("css selector", "#by-flag option[value=MEAN_REDDENING]")


@SIZES
def test_a_star_opens_from_the_table_and_back_closes_it(browser, page, phone):
    be_phone(browser, on=phone)
    visit(browser, page)
    name = rows(browser)[1]
    link = browser.find_elements("css selector", "#stars tbody a")[1]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", link)
    link.click()
    assert heading(browser) == focused(browser) == name
    assert not one(browser, "#overview").is_displayed()
    assert len(browser.find_elements("css selector", "#sheet [data-band] .main-svg")) > 0
    assert len(browser.find_elements("css selector", "#sheet [data-plane] .main-svg")) > 0
    browser.back()
    assert heading(browser) is None
    assert one(browser, "#overview").is_displayed()
    assert focused(browser) == name
    browser.forward()
    assert heading(browser) == name
    assert complaints(browser) == []
    be_phone(browser, on=False)


def test_a_star_opens_by_a_click_on_its_point(overview):
    found = overview.execute_script(
        """
        const plot = document.getElementById("plot-relation"), {xaxis, yaxis} = plot._fullLayout;
        const trace = plot.data.filter((t) => t.customdata).at(-1), last = trace.x.length - 1;
        plot.scrollIntoView({block: "center"});
        const box = plot.getBoundingClientRect();
        const points = plot.data.filter((t) => t.customdata).flatMap((t) => t.x.map((x, k) =>
          [t.customdata[k], xaxis._offset + xaxis.l2p(x), yaxis._offset + yaxis.l2p(t.y[k])]));
        const far = points.find(([i, x, y]) => points.every(([j, u, v]) => i === j || Math.hypot(x - u, y - v) > 12)
          && x > xaxis._offset && x < xaxis._offset + xaxis._length && y > yaxis._offset && y < yaxis._offset + yaxis._length);
        const data = JSON.parse(document.getElementById("data").textContent);
        return {x: box.x + far[1], y: box.y + far[2], name: data.stars.id[far[0]]};
        """
    )
    from selenium.webdriver.common.action_chains import ActionChains

    mouse = ActionChains(overview)
    mouse.w3c_actions.pointer_action.move_to_location(round(found["x"]), round(found["y"]))
    mouse.pause(0.2).click().perform()
    assert heading(overview) == found["name"]
    assert complaints(overview) == []


def test_a_star_opens_from_the_diagram_by_keys(overview):
    plot = one(overview, "#plot-colour")
    # Keys reach what has a role of its own for them.
    assert plot.get_attribute("role") == "application"
    assert "Arrow keys" in plot.get_attribute("aria-label")
    overview.execute_script("arguments[0].focus()", plot)
    press(overview, key("HOME"))
    first = one(overview, "#at-point").get_attribute("textContent")
    press(overview, key("ARROW_RIGHT"))
    second = one(overview, "#at-point").get_attribute("textContent")
    colours = [float(re.search(r"\(V-I\)_0 = (\S+?)(,|$)", text)[1].replace("\u2212", "-")) for text in (first, second)]
    assert first != second
    assert colours[0] <= colours[1]
    press(overview, key("ENTER"))
    assert heading(overview) == second.split(":")[0]
    press(overview, key("ESCAPE"))
    assert heading(overview) is None


def test_arrows_go_from_star_to_star_as_the_table_is_sorted(overview):
    one(overview, "th[data-sort=M_V] button").click()
    names = rows(overview)
    overview.find_elements("css selector", "#stars tbody a")[0].click()
    assert heading(overview) == names[0]
    press(overview, key("ARROW_LEFT"))
    assert heading(overview) == names[0]
    press(overview, key("ARROW_RIGHT"))
    assert heading(overview) == focused(overview) == names[1]
    one(overview, ".sheet-nav button:nth-of-type(3)").click()
    assert heading(overview) == names[2]
    press(overview, key("ESCAPE"))
    assert focused(overview) == names[2]


def test_the_sheet_tells_the_numbers_that_decided(browser, page, run):
    visit(browser, page)
    name = rows(browser)[0]
    visit(browser, page, name)
    row = next(row for row in read_judged(run) if str(row["id"]) == name)
    text = one(browser, "#sheet").text.replace("\u2212", "-")
    assert f"{row['ln_odds_curve']:+.2f}" in text
    assert f"{row['post_contact']:.5f}" in text
    assert f"{row['W']:.5f}" in text
    assert "no model of a binary" in text
    assert "simulated" in text
    assert browser.find_elements("css selector", "#sheet a[href^=http]") == []
    levels = browser.execute_script(
        "return [...document.querySelectorAll('h1, #sheet h2, #sheet h3')].map((h) => h.tagName)"
    )
    assert levels[:3] == ["H1", "H2", "H3"]


def test_residuals_are_points_minus_the_curve(browser, page):
    visit(browser, page)
    visit(browser, page, rows(browser)[0])
    rms = browser.execute_script(
        "const t = document.querySelector('[data-band=I]').data.find((d) => d.yaxis === 'y2' && d.mode === 'markers');"
        "return Math.sqrt(t.y.reduce((s, v) => s + v * v, 0) / t.y.length)"
    )
    scatter = float(re.search(r"scatter\s+(\S+) mag", one(browser, "#sheet").text)[1])
    assert rms == pytest.approx(scatter, rel=0.1, abs=2e-4)


def test_the_other_cloud_is_shown_when_chosen(overview):
    count = "return document.getElementById('plot-colour').getAttribute('aria-label')"
    assert overview.execute_script(count).startswith("LMC")
    one(overview, "#cloud option:nth-child(2)").click()
    assert overview.execute_script(count).startswith("SMC")


def test_an_unknown_star_is_said_to_be_unknown(browser, page):
    visit(browser, page, "OGLE-LMC-ECL-99999%3Cb%3E%")
    assert "No such star" in one(browser, "#sheet").text
    press(browser, key("ESCAPE"))
    assert heading(browser) is None
    assert one(browser, "#overview").is_displayed()
    assert complaints(browser) == []


def test_observed_stars_have_links_that_tell_nothing(browser, observed_page):
    visit(browser, observed_page, "OGLE-LMC-ECL-00001")
    links = browser.find_elements("css selector", "#sheet .links a")
    assert [link.text.splitlines()[0] for link in links] == ["SIMBAD", "VizieR", "Aladin Lite", "ESASky", "OGLE"]
    assert {(link.get_attribute("target"), link.get_attribute("rel")) for link in links} == {
        ("_blank", "noreferrer noopener")
    }
    assert (
        "No light curve is shown. No readable light curve in I of this star is at hand." in one(browser, "#sheet").text
    )
    assert "Not known. The run has not ranked the star." in one(browser, "#sheet").text
    assert {address.split("#")[0] for address in requests(browser)} == {observed_page.as_uri()}


def test_a_hostile_remark_stays_text(browser, observed_page):
    visit(browser, observed_page, "OGLE-LMC-ECL-00001")
    assert HOSTILE in one(browser, "#sheet").text
    assert browser.title != "1"
    assert browser.find_elements("css selector", "main img") == []
    assert complaints(browser) == []


def test_dark_and_light_have_contrast_enough(overview):
    button = one(overview, "#theme")
    seen = {}
    for _ in range(2):
        state = button.get_attribute("aria-pressed")
        colours = overview.execute_script(
            "const of = (s) => getComputedStyle(document.querySelector(s));"
            "return [of('body').backgroundColor, of('body').color, of('.hint').color, of('#stars a').color]"
        )
        seen[state] = colours[0]
        assert all(contrast(colours[0], colour) >= 4.5 for colour in colours[1:])
        button.click()
    assert set(seen) == {"true", "false"}
    assert seen["true"] != seen["false"]
    assert overview.execute_script("return [localStorage.length, document.cookie]") == [0, ""]


def test_the_system_says_whether_it_begins_dark(browser, page):
    for value in ("dark", "light"):
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": value}]}
        )
        visit(browser, page)
        assert browser.execute_script("return document.documentElement.dataset.theme") == value
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_a_sheet_is_printed_on_one_page(browser, page):
    visit(browser, page)
    names = rows(browser)
    assert print_to_pdf(browser).count(b"/Type /Page\n") >= 1
    visit(browser, page, names[0])
    printed = print_to_pdf(browser)
    assert printed.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b(?!s)", printed)) == 1
    # The page on the screen is as it was before.
    assert browser.execute_script("return document.documentElement.dataset.printing ?? 'no'") == "no"


def test_the_skip_link_does_not_leave_a_sheet(browser, page):
    visit(browser, page)
    name = rows(browser)[0]
    visit(browser, page, name)
    assert heading(browser) == name
    browser.execute_script("document.querySelector('.skip').focus()")
    press(browser, key("ENTER"))
    browser.execute_async_script("setTimeout(arguments[0], 100)")
    assert browser.execute_script("return document.activeElement.id") == "main"
    assert heading(browser) == name


def test_magnitudes_grow_downwards_everywhere(browser, page):
    upright = (
        "return [...document.querySelectorAll(arguments[0])].flatMap((plot) => ['yaxis', 'yaxis2']"
        ".filter((name) => plot._fullLayout[name]).map((name) => [plot._fullLayout[name].title.text, ...plot._fullLayout[name].range]))"
    )
    visit(browser, page)
    name = rows(browser)[0]
    seen = browser.execute_script(upright, "#overview .js-plotly-plot")
    visit(browser, page, name)
    seen += browser.execute_script(upright, "#sheet .js-plotly-plot")
    assert len(seen) == 2 + 2 * 2 + 3
    assert all(low > high for _, low, high in seen), seen
    titles = [title for title, *_ in seen]
    assert sum(title.startswith("M<sub>V") for title in titles) == 5
    assert {"I [mag]", "V [mag]", "residual [mag]"} <= set(titles)


def percent_of(style, name):
    return float(re.search(rf"{name}: ([\d.e-]+)%", style)[1])


def test_bars_are_the_odds(browser, page, run):
    judged = {str(row["id"]): row for row in read_judged(run)}
    visit(browser, page)
    names = rows(browser)
    against = next(name for name in names if judged[name]["ln_odds_place"] < -0.05)
    for name in (names[0], against):
        visit(browser, page, name)
        assert heading(browser) == name
        found = browser.execute_script(
            "return [...document.querySelectorAll('#sheet [data-part]')].map((row) => { const bar = row.querySelector('.bar i');"
            "return [row.dataset.part, bar.getAttribute('style'), bar.className, row.querySelector('td.n').textContent,"
            " getComputedStyle(bar).backgroundColor] })"
        )
        assert len(found) == 5
        reach = max(1.0, *(abs(float(judged[name][part])) for part, *_ in found))
        colours = {}
        for part, style, against_contact, text, colour in found:
            value = float(judged[name][part])
            assert text.replace("\u2212", "-") == f"{value:+.2f}"
            length = 50 * abs(value) / reach
            assert percent_of(style, "left") == pytest.approx(50 if value > 0 else 50 - length, abs=0.05)
            assert percent_of(style, "width") == pytest.approx(length, abs=0.05)
            assert against_contact == ("against" if value < 0 else "")
            colours.setdefault(value < 0, set()).add(colour)
        assert colours[False] == {"rgb(0, 96, 154)"}
        assert colours.get(True, {"rgb(192, 74, 0)"}) == {"rgb(192, 74, 0)"}


def test_margins_are_those_of_the_conditions(browser, page, run):
    settings = settings_from_mapping(read_provenance(run).settings)
    judged = read_judged(run)
    visit(browser, page)
    name = rows(browser)[0]
    visit(browser, page, name)
    star = judged[np.array([str(item) == name for item in judged["id"]])]
    conditions = [item for cut in settings.selection.cuts for item in cut.apply(star).conditions]
    cells = browser.execute_script(
        "return [...document.querySelectorAll('#sheet [aria-label=Cuts] tbody tr')].map((row) => [...row.querySelectorAll('td')].map((c) => c.textContent))"
    )
    assert len(cells) == len(conditions)
    compared = 0
    for condition, (quantity, _, _, margin, _) in zip(conditions, cells, strict=True):
        assert quantity == condition.quantity
        if isinstance(condition, Condition) and np.isfinite(condition.margin[0]):
            assert float(margin.split()[0].replace("\u2212", "-")) == pytest.approx(
                condition.margin[0], rel=0.02, abs=1e-3
            )
            compared += 1
    assert compared > 5


def test_relation_and_corrected_magnitudes_are_those_of_the_run(overview, run):
    relation = read_provenance(run).relations["LMC"]
    judged = {str(row["id"]): row for row in read_judged(run)}
    line, points, ids = overview.execute_script(
        "const plot = document.getElementById('plot-relation'), ids = JSON.parse(document.getElementById('data').textContent).stars.id;"
        "const line = plot.data.find((t) => t.name === 'relation');"
        "const points = plot.data.filter((t) => t.customdata).flatMap((t) => t.x.map((x, k) => [t.customdata[k], x, t.y[k]]));"
        "return [[line.x, line.y], points, ids]"
    )
    assert np.interp(0.0, *line) == pytest.approx(relation["c"], abs=1e-9)
    assert np.interp(0.5, *line) == pytest.approx(0.5 * relation["a"] + relation["c"], abs=1e-9)
    assert len(points) > 5
    for index, x, y in points:
        star = judged[ids[index]]
        assert x == pytest.approx(np.log10(star["period"].to_value("d")), abs=1e-6)
        free = star["M_V"].to_value("mag") - relation["b"] * star["VI0"].to_value("mag")
        assert y == pytest.approx(free, abs=2e-3)


def test_contours_have_the_colours_of_their_population(overview):
    traces, contours, colours = overview.execute_script(
        "const style = getComputedStyle(document.documentElement), data = JSON.parse(document.getElementById('data').textContent);"
        "return [document.getElementById('plot-colour').data.filter((t) => t.name?.endsWith('population')).map((t) => [t.name, t.line.color, t.line.dash, t.x[0]]),"
        " data.clouds.LMC.contours.VI0.map((c) => [c.kind, c.share, c.x[0]]),"
        " {contact: style.getPropertyValue('--contact').trim(), near_contact: style.getPropertyValue('--near-contact').trim()}]"
    )
    assert colours == {"contact": "#00609a", "near_contact": "#c04a00"}
    assert [kind for kind, *_ in contours] == ["contact", "contact", "near_contact"]
    for (name, colour, dash, x), (kind, share, first) in zip(traces, contours, strict=True):
        assert x == first
        assert colour == colours[kind]
        assert dash == ("solid" if kind == "contact" else "dash")
        assert name == f"{100 * share:g} % of the {kind.replace('_', ' ')} population"


def test_shares_are_written_without_tails(observed_page, browser, tmp_path):
    page = tmp_path / "page.html"
    text = observed_page.read_text(encoding="utf-8")
    # The page is the same but for its data, which the policy leaves free.
    page.write_text(re.sub(r'"contour":[\d.]+', '"contour":0.57', text), encoding="utf-8")
    visit(browser, page, "OGLE-LMC-ECL-00004")
    found = browser.execute_script("return document.getElementById('sheet').textContent")
    assert "contour of the bona fide set: 57 %" in found


def test_what_the_odds_lack_is_said(browser, observed_page):
    def parts(star):
        visit(browser, observed_page, star)
        assert heading(browser) == star
        return browser.execute_script(
            "return Object.fromEntries([...document.querySelectorAll('#sheet [data-part]')].map((row) =>"
            " [row.dataset.part, row.querySelector('td.n').textContent.replace('\u2212', '-') + (row.querySelector('.bar i') ? ' bar' : '')]))"
        )

    second, third, last = (parts(f"OGLE-LMC-ECL-0000{number}") for number in (2, 3, 4))
    assert (second["ln_odds_curve"], second["ln_odds_place"]) == ("no light curve", "no place")
    assert (third["ln_odds_curve"], third["ln_odds_place"]) == ("0.00 bar", "-0.50 (period alone) bar")
    assert (last["ln_odds_curve"], last["ln_odds_place"]) == ("+2.50 bar", "0.00 bar")


def test_a_star_without_v_says_that_it_is_not_at_hand(browser, observed_page):
    visit(browser, observed_page, "OGLE-LMC-ECL-00002")
    assert "No light curve in V is at hand." in one(browser, "#sheet").text
    assert complaints(browser) == []


def test_probabilities_are_filtered_as_they_are_shown(browser, observed_page):
    visit(browser, observed_page)
    shown = {
        row.find_element("css selector", "a").text: row.text
        for row in browser.find_elements("css selector", "#stars tbody tr")
    }
    one(browser, "#by-contact").send_keys("0.9")
    assert rows(browser) == ["OGLE-LMC-ECL-00001", "OGLE-LMC-ECL-00002"]
    assert " 0.9000 " in shown["OGLE-LMC-ECL-00002"]
    assert " 0.8999 " in shown["OGLE-LMC-ECL-00003"]


def test_diagrams_hold_every_star_and_say_what_the_grey_is(overview):
    data = json.loads(overview.execute_script("return document.getElementById('data').textContent"))
    for name in ("colour", "relation"):
        x, y = overview.execute_script(
            f"const plot = document.getElementById('plot-{name}')._fullLayout; return [plot.xaxis.range, plot.yaxis.range]"
        )
        ranges, grey = data["clouds"]["LMC"]["ranges"][name], data["clouds"]["LMC"]["backgrounds"][name]
        assert x == pytest.approx(ranges["x"])
        assert y == pytest.approx(ranges["y"][::-1])
        assert f"Grey: {grey['n']:,} of {grey['of']:,} stars of the LMC." in one(overview, f"#grey-{name}").text


def test_diagrams_follow_the_filter_after_a_pause(overview):
    one(overview, "#by-text").send_keys("no such star")
    overview.execute_async_script("setTimeout(arguments[0], 400)")
    label = one(overview, "#plot-colour").get_attribute("aria-label")
    assert "0 of them candidates" in label


def test_keyboard_reaches_the_content_first(overview):
    overview.execute_script("document.activeElement.blur()")
    press(overview, key("TAB"))
    assert focused(overview) == "Skip to the content"
    press(overview, key("ENTER"))
    settle(overview)
    assert overview.execute_script("return document.activeElement.id") == "main"
    assert one(overview, "#overview").is_displayed()
