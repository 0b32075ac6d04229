"""A headless browser for the tests of pages, and what it has seen."""

import base64
import json
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1280,900",
)  # fmt: skip


@contextmanager
def open_browser(folder):
    """Start Chromium with a profile of its own; the test is skipped where it, its driver or selenium is absent."""
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    program = next((found for name in _CHROMIUM if (found := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("chromium and chromedriver are not installed")
    options = Options()
    options.binary_location = program
    for flag in (*_FLAGS, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(service=Service(driver), options=options)
    try:
        yield browser
    finally:
        browser.quit()


def visit(browser, page, star=None):
    """Open a page afresh; what was logged before is forgotten."""
    browser.get("about:blank")
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(Path(page).as_uri() + (f"#star={star}" if star else ""))


def complaints(browser):
    """Messages of the console."""
    return [entry["message"] for entry in browser.get_log("browser")]


def requests(browser):
    """Addresses that were asked for, but for what is in the page itself."""
    messages = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    asked = (item["params"]["request"]["url"] for item in messages if item["method"] == "Network.requestWillBeSent")
    return [address for address in asked if not address.startswith(("data:", "blob:", "about:"))]


def print_to_pdf(browser):
    """Print the page, and give the PDF."""
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True, "preferCSSPageSize": True})
    return base64.b64decode(printed["data"])


def be_phone(browser, *, on=True):
    """Show pages as on a phone of 390 by 844, or no longer."""
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    if on:
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    else:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def contrast(first, second):
    """Ratio of contrast of two colours of the style sheet, such as rgb(27, 29, 31); WCAG 2.2."""

    def luminance(colour):
        parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    bright, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)
