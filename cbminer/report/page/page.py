"""The page: template, style and scripts put together into one file that needs nothing beside it."""

import base64
import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cbminer.columns import label_column, values
from cbminer.errors import OutputError, ResourceNotFoundError
from cbminer.flags import FLAG_MEANINGS, Flag
from cbminer.report.page.counts import CUTFLOW_COUNTS
from cbminer.report.page.data import ReportData
from cbminer.report.page.payload import embedded_json, page_payload
from cbminer.whole_file import written_whole

__all__ = ["GENERATOR", "PAGE_FILE", "check_page_place", "plotting_library", "render_page", "write_page"]

PAGE_FILE = "report.html"
GENERATOR = "cbminer report"
_HERE = Path(__file__).parent
# The most promising stars come first when these are sorted.
_BEST_FIRST = ("post_contact", "ln_odds")
_SCRIPTS = ("core.js", "plots.js", "overview.js", "sheet.js", "main.js")
# How every page begins to say what wrote it: words of a user's own do not look like that.
_MARK = f'<meta name="generator" content="{GENERATOR} '.encode()
# Columns of the table: name, heading, unit or what else stands small beside it, decimals.
_NUMBERS: tuple[tuple[str, str, str, int], ...] = (
    ("period", "P", "d", 4),
    ("I_mag", "I", "mag", 2),
    ("M_V", Markup("M<sub>V</sub>"), "mag", 2),
    ("VI0", Markup("(V&minus;I)<sub>0</sub>"), "mag", 2),
    ("depth1", "depth 1", "mag", 3),
    ("W", "W", "", 3),
    ("c", "c", "", 2),
    ("post_contact", "P(contact)", "", 4),
    ("ln_odds", "ln odds", "contact : near contact", 1),
)


@dataclass(frozen=True)
class PlottingLibrary:
    """The library that draws the figures of the page, shipped with the package.

    Attributes
    ----------
    name, version, sha256 : str
        What it is, and the hash of its file.
    script, licence : str
        Its text, and the text of its licence.
    """

    name: str
    version: str
    sha256: str
    script: str
    licence: str


def plotting_library() -> PlottingLibrary:
    """Read the library of the figures.

    Returns
    -------
    PlottingLibrary
        plotly.js, basic bundle.

    Raises
    ------
    ResourceNotFoundError
        If it is not there, or not as it was shipped.
    """
    folder = _HERE / "vendored"
    try:
        record = json.loads((folder / "plotly.json").read_text(encoding="utf-8"))
        content = (folder / record["file"]).read_bytes()
        licence = (folder / "plotly-LICENSE.txt").read_text(encoding="utf-8")
    except (OSError, ValueError, KeyError) as error:
        msg = f"{folder} lacks the library of the figures: install cbminer again"
        raise ResourceNotFoundError(msg) from error
    if hashlib.sha256(content).hexdigest() != record["sha256"]:
        msg = f"{folder / record['file']} is not as it was shipped: install cbminer again"
        raise ResourceNotFoundError(msg)
    return PlottingLibrary(record["name"], record["version"], record["sha256"], content.decode("utf-8"), licence)


def render_page(report: ReportData) -> str:
    """Make the page.

    Parameters
    ----------
    report : ReportData
        Its contents.

    Returns
    -------
    str
        HTML that loads nothing.
    """
    library = plotting_library()
    own = "".join((_HERE / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    script = f'(() => {{\n"use strict";\n{own}}})();\n'
    environment = Environment(
        autoescape=True, loader=FileSystemLoader(_HERE), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("template.html").render(
        report=report,
        generator=f"{GENERATOR} {version('cbminer')}",
        policy=_policy(library.script, script),
        style=_own_text((_HERE / "page.css").read_text(encoding="utf-8")),
        library=library,
        library_script=_own_text(library.script),
        script=_own_text(script),
        data=embedded_json(page_payload(report)),
        numbers=_NUMBERS,
        best_first=_BEST_FIRST,
        by_rank=_is_by_rank(report),
        rows=_rows(report),
        flags=_flags_of(report),
        shared_flags=_shared_flags(report),
        cutflow=_cutflow_rows(report),
        several=len(report.galaxies) > 1,
    )


def _own_text(text: str) -> Markup:
    """Text of the package itself, which stands in the page as it is."""
    if "</script" in text.lower() or "</style" in text.lower():
        msg = "a script or style of the report page would end its element: install cbminer again"
        raise ResourceNotFoundError(msg)
    return Markup(text)  # noqa: S704


def _policy(*scripts: str) -> str:
    """Content security policy: nothing is loaded, and no script runs but these."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    # The library of the figures writes styles of its own.
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _rows(report: ReportData) -> list[dict[str, Any]]:
    """Cells of the table as texts."""
    stars = report.listed
    texts = {
        name: label_column(stars, name) for name in ("id", "galaxy", "spectral_label", "light_curve_class", "type")
    }
    numbers = {name: _number_texts(values(stars, name, unit), decimals) for name, _, unit, decimals in _NUMBERS}
    ranks = values(stars, "rank")
    # A flag that all stars have is said once.
    flags = np.asarray(stars["flags"], dtype=np.int64) & ~report.shared_flags
    bona_fide, selected = (np.nan_to_num(values(stars, name)) > 0 for name in ("bona_fide", "selected"))
    return [
        {
            **{name: str(column[row]) for name, column in texts.items()},
            "numbers": [numbers[name][row] for name, *_ in _NUMBERS],
            "rank": int(ranks[row]) if ranks[row] > 0 else None,
            "bona_fide": bool(bona_fide[row]),
            "selected": bool(selected[row]),
            "curve": str(texts["id"][row]) in report.curves,
            "flags": [flag.name for flag in Flag if int(flags[row]) & flag],
        }
        for row in range(len(stars))
    ]


def _number_texts(numbers: Any, decimals: int) -> list[str]:
    return [f"{item:.{decimals}f}".replace("-", "\u2212") if np.isfinite(item) else "" for item in numbers]


def _flags_of(report: ReportData) -> list[tuple[str, str]]:
    """List the flags by which stars of the list differ, for the filter."""
    found = int(np.bitwise_or.reduce(np.asarray(report.listed["flags"], dtype=np.int64), initial=0))
    found &= ~report.shared_flags
    return [(flag.name or "", FLAG_MEANINGS[flag]) for flag in Flag if found & flag]


def _shared_flags(report: ReportData) -> list[tuple[str, str]]:
    return [(flag.name or "", FLAG_MEANINGS[flag]) for flag in Flag if report.shared_flags & flag]


def _is_by_rank(report: ReportData) -> bool:
    ranks = np.nan_to_num(values(report.listed, "rank"))
    return bool((ranks > 0).all() and (np.diff(ranks) >= 0).all())


def _cutflow_rows(report: ReportData) -> list[dict[str, Any]]:
    return [
        {
            "galaxy": str(row["galaxy"]),
            "cut": str(row["cut"]),
            **{name: f"{int(row[name]):,}" for name in CUTFLOW_COUNTS},
        }
        for row in report.cutflow
    ]


def check_page_place(path: Path, *, overwrite: bool) -> None:
    """Refuse a place for a page before any work is done.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    overwrite : bool
        Whether any file may be replaced; an earlier report always may.

    Raises
    ------
    OutputError
        If a folder is there, or a file that is no report.
    """
    if path.is_dir():
        msg = f"{path} is a folder: name a file with --out"
        raise OutputError(msg)
    if overwrite or not path.exists():
        return
    try:
        with path.open("rb") as stream:
            is_report = _MARK in stream.read(2048)
    except OSError as error:
        msg = f"{path} cannot be read ({error.strerror}): use --out"
        raise OutputError(msg) from error
    if not is_report:
        msg = f"{path} is no report of cbminer, so it is left alone: replace it with --overwrite, or use --out"
        raise OutputError(msg)


def write_page(path: Path, report: ReportData) -> None:
    """Write the page.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    report : ReportData
        Its contents.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    page = render_page(report)
    with written_whole(path) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")
