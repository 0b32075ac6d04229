"""The report page in a browser, from a run of the command to the printed sheet."""

import re

import pytest
from browser import be_phone, complaints, contrast, open_browser, print_to_pdf, requests, visit
from judged_runs import table_of
from test_page import HOSTILE, make_run

from cbminer.cli import main
from cbminer.judged import read_judged
from cbminer.report.page.data import gather_report
from cbminer.report.page.page import write_page

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
    report = gather_report(make_run(folder / "run", stars), stores={}, populations={})
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
    assert rows(overview) == [name for name in everyone if not int(judged[name]["flags"])]


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
    assert plot.get_attribute("role") == "img"
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
    assert "No light curve is shown" in one(browser, "#sheet").text
    assert "Not known: no light curve" in one(browser, "#sheet").text
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


def test_keyboard_reaches_the_content_first(overview):
    overview.execute_script("document.activeElement.blur()")
    press(overview, key("TAB"))
    assert focused(overview) == "Skip to the content"
    press(overview, key("ENTER"))
    settle(overview)
    assert overview.execute_script("return document.activeElement.id") == "main"
    assert one(overview, "#overview").is_displayed()
