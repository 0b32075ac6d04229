"""The documentation site: it builds without a warning, knows every public name, and leads nowhere that does not exist."""

import importlib
import importlib.util
import os
import pkgutil
import re
import subprocess
import sys
import zlib
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest
import typer
from pydantic import BaseModel

import cbminer
from cbminer.catalogue.schema import COLUMNS
from cbminer.cli import app
from cbminer.flags import FLAG_MEANINGS
from cbminer.settings import load_settings

ROOT = Path(__file__).parents[1]
PARTS = ("sphinx", "pydata_sphinx_theme", "myst_nb", "sphinx_design", "sphinx_copybutton")

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(part) is None for part in PARTS), reason='needs pip install ".[docs]"'
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build it once, warnings being errors, with no way to the network."""
    folder = tmp_path_factory.mktemp("site")
    environment = os.environ | {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    environment.pop("CBMINER_DOCS_ONLINE", None)
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", str(folder / "doctrees")]
    done = subprocess.run(
        [*command, str(ROOT / "docs"), str(folder / "html")],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return folder / "html"


def objects_of(site):
    """Names of the inventory by their kind."""
    data = (site / "objects.inv").read_bytes()
    start = data.index(b"zlib.\n") + len(b"zlib.\n")
    lines = zlib.decompress(data[start:]).decode().splitlines()
    found = {}
    for line in lines:
        name, kind = re.match(r"(.+?)\s+(\S+:\S+)\s+-?\d+\s", line).groups()
        found.setdefault(kind.split(":")[0], set()).add(name)
    return found


def test_every_public_name_is_described(site):
    known = objects_of(site)["py"]
    modules = ["cbminer", *(module.name for module in pkgutil.walk_packages(cbminer.__path__, "cbminer."))]
    wanted = set()
    for name in modules:
        if name.endswith("__main__"):
            continue
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            # Of an extra that is not installed: the page says so.
            assert not error.name.startswith("cbminer")  # noqa: PT017 - only modules of others may be missing
            continue
        wanted |= {name, *(f"{name}.{public}" for public in getattr(module, "__all__", []))}
    assert len(wanted) > 1000
    assert sorted(wanted - known) == []


def test_every_option_of_every_command_is_described(site):
    known = objects_of(site)["std"]

    def options(command, name):
        for parameter in command.params:
            if parameter.param_type_name == "option" and parameter.name != "help" and not parameter.hidden:
                yield f"{name}.{parameter.opts[0]}".replace(" ", "-", name.count(" ")), f"{name} {parameter.opts[0]}"
        for word, below in getattr(command, "commands", {}).items():
            yield from options(below, f"{name} {word}")

    wanted = dict(options(typer.main.get_command(app), "cbminer"))
    assert len(wanted) > 100
    spelt = {re.sub(r"[. ]", "-", name) for name in known}
    missing = [shown for name, shown in wanted.items() if re.sub(r"[. ]", "-", name) not in spelt]
    assert missing == []


def test_every_setting_is_described(site):
    missing = []

    def look(model, section, text):
        for name in type(model).model_fields:
            value = getattr(model, name)
            below = value if isinstance(value, dict) else {}
            if isinstance(value, BaseModel):
                below = {"": value}
            if not below and f">{name}<" not in text:
                missing.append(f"{section}.{name}")
            for key, child in below.items():
                if isinstance(child, BaseModel):
                    look(child, ".".join(part for part in (section, name, key) if part), text)

    settings = load_settings()
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if not isinstance(value, BaseModel | dict):
            continue
        text = (site / "reference" / "generated" / "settings" / f"{name}.html").read_text(encoding="utf-8")
        text = re.sub(r"</?span[^>]*>", "", text)
        text = text.replace('<code class="docutils literal notranslate">', "<code>")
        for key, child in (value if isinstance(value, dict) else {"": value}).items():
            look(child, ".".join(part for part in (name, key) if part), text)
    assert missing == []


def test_every_column_and_flag_is_described(site):
    columns = (site / "reference" / "generated" / "columns.html").read_text(encoding="utf-8")
    flags = (site / "reference" / "generated" / "flags.html").read_text(encoding="utf-8")
    assert [spec.name for spec in COLUMNS if f">{spec.name}</span>" not in columns] == []
    assert [flag.name for flag in FLAG_MEANINGS if f">{flag.name}</span>" not in flags] == []


def test_every_link_within_the_site_leads_somewhere(site):
    # The theme keeps a template among its files, which is no page.
    found_pages = [page for page in site.rglob("*.html") if "_static" not in page.relative_to(site).parts]
    pages = {page: page.read_text(encoding="utf-8") for page in found_pages}
    anchors = {page: {unescape(name) for name in re.findall(r'\bid="([^"]+)"', text)} for page, text in pages.items()}
    broken, checked = [], 0
    for page, text in pages.items():
        # Links in scripts are no links of the page.
        shown = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
        for found in set(re.findall(r'\b(?:href|src)="([^"]*)"', shown)):
            link = unescape(found)
            if re.match(r"[a-z]+:|//", link) or link in {"", "#"}:
                continue
            target, _, anchor = link.partition("#")
            file = (page.parent / unquote(target.partition("?")[0])).resolve() if target else page
            checked += 1
            if not file.exists():
                broken.append(f"{page.relative_to(site)}: {link}")
            elif anchor and file in anchors and unquote(anchor) not in anchors[file]:
                broken.append(f"{page.relative_to(site)}: {link} (no such place)")
    assert checked > 10_000
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(site):
    loading = re.compile(r'<(?:script|img|link)\b[^>]*\b(?:src|href)="((?:https?:)?//[^"]+)"')
    found = {address for page in site.rglob("*.html") for address in loading.findall(page.read_text(encoding="utf-8"))}
    assert found == set()
