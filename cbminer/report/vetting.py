"""Vetting sheets for print: a page a star, in one PDF or in PNG files."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from cbminer.columns import label_column
from cbminer.errors import OutputError
from cbminer.report.figures import STYLE
from cbminer.report.page.data import ReportData
from cbminer.report.vetting_panels import draw_curves, draw_numbers, draw_odds, draw_places, sheet_title
from cbminer.whole_file import written_whole

__all__ = ["SheetFormat", "check_sheets_place", "sheet_figure", "sheet_figures", "write_sheets"]

SheetFormat = Literal["pdf", "png"]
_A4 = (8.27, 11.69)
_DPI = 150
# What every sheet in PNG says of itself, so that other pictures are left alone, and where in the file.
_SOFTWARE = "cbminer report"
_PNG_MARK, _PNG_HEAD = b"tEXtSoftware\x00" + _SOFTWARE.encode(), 4096
_SMALL: dict[Any, Any] = {
    "font.size": 7.5,
    "axes.labelsize": 8.0,
    "legend.fontsize": 6.5,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
}


def sheet_figure(report: ReportData, index: int) -> Figure:
    """Draw the vetting sheet of a star.

    Parameters
    ----------
    report : ReportData
        Contents of a report.
    index : int
        Place of the star among `report.stars`.

    Returns
    -------
    `~matplotlib.figure.Figure`
        A page in A4: light curves in I and V with residuals, place in colour, magnitude and period, odds, and every
        number that decided.
    """
    with mpl.rc_context({**STYLE, **_SMALL}):
        figure = Figure(figsize=_A4, layout=ConstrainedLayoutEngine(rect=(0.05, 0.02, 0.9, 0.94)))
        figure.suptitle(sheet_title(report, index), fontsize=9.5, x=0.05, y=0.975, ha="left", va="top")
        parts: Any = figure.subfigures(4, 1, height_ratios=[3.1, 2.3, 1.7, 3.4])
        curves, places, odds, numbers = parts
        draw_curves(curves, report, index)
        draw_places(places, report, index)
        draw_odds(odds, report.stars[index : index + 1])
        draw_numbers(numbers, report, index)
    return figure


def sheet_figures(report: ReportData) -> Iterator[Figure]:
    """Draw the sheets of all listed stars.

    Parameters
    ----------
    report : ReportData
        Contents of a report.

    Yields
    ------
    `~matplotlib.figure.Figure`
        A sheet a star, in the order of the list.
    """
    for index in range(report.n_listed):
        yield sheet_figure(report, index)


def check_sheets_place(path: Path, kind: SheetFormat, *, overwrite: bool) -> None:
    """Refuse a place for vetting sheets before any work is done.

    Parameters
    ----------
    path : `~pathlib.Path`
        PDF file, or folder of PNG files.
    kind : {"pdf", "png"}
        Which of these.
    overwrite : bool
        Whether earlier sheets may be replaced.

    Raises
    ------
    OutputError
        If something is there that may not be replaced.
    """
    if kind == "pdf" and path.is_dir():
        msg = f"{path} is a folder: name a file with --out"
        raise OutputError(msg)
    if kind == "png" and path.exists() and not path.is_dir():
        msg = f"{path} is a file: name a folder with --out"
        raise OutputError(msg)
    is_taken = any(path.iterdir()) if path.is_dir() else path.exists()
    if is_taken and not overwrite:
        msg = f"{path} is there already: replace it with --overwrite, or choose another place with --out"
        raise OutputError(msg)


def write_sheets(path: Path, report: ReportData, kind: SheetFormat) -> list[Path]:
    """Write the sheets of all listed stars.

    Parameters
    ----------
    path : `~pathlib.Path`
        PDF file, or folder of PNG files, which is made.
    report : ReportData
        Contents of a report.
    kind : {"pdf", "png"}
        Which of these.

    Returns
    -------
    list of `~pathlib.Path`
        The files. All of them are there, or none; sheets of an earlier report in the folder give way to them, and
        other files stay.

    Raises
    ------
    OutputError
        If there is no star to show, or a file cannot be written.
    """
    if report.n_listed == 0:
        msg = "no star passes every cut, so there are no sheets to write: name stars with --star"
        raise OutputError(msg)
    if kind == "pdf":
        _write_pdf(path, report)
        return [path]
    names = [re.sub(r"[^A-Za-z0-9._-]+", "-", str(name)) for name in label_column(report.listed, "id")]
    try:
        return _write_pngs(path, [f"{name}.png" for name in names], report)
    except OSError as error:
        msg = f"{path} cannot be written ({error.strerror}): make room, or choose another place with --out"
        raise OutputError(msg) from error


def _write_pngs(path: Path, names: list[str], report: ReportData) -> list[Path]:
    """Write all sheets beside their folder, and move them into it when the last is done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    try:
        # mkdtemp keeps others out; a product is for its readers.
        temporary.chmod(0o755)
        for name, figure in zip(names, sheet_figures(report), strict=True):
            figure.savefig(temporary / name, format="png", dpi=_DPI, metadata={"Software": _SOFTWARE})
        if path.is_dir():
            stale = [file for file in path.glob("*.png") if file.name not in names and _is_sheet(file)]
            for name in names:
                (temporary / name).replace(path / name)
            for file in stale:
                file.unlink()
        else:
            temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return [path / name for name in names]


def _is_sheet(path: Path) -> bool:
    with path.open("rb") as stream:
        return _PNG_MARK in stream.read(_PNG_HEAD)


def _write_pdf(path: Path, report: ReportData) -> None:
    metadata = {"Title": report.title, "Creator": "cbminer", "CreationDate": None}
    # matplotlib 3.11 mixes up the glyphs of TrueType fonts in files of several pages.
    style = {**STYLE, "pdf.fonttype": 3}
    with mpl.rc_context(style), written_whole(path) as temporary, PdfPages(temporary, metadata=metadata) as pages:
        for figure in sheet_figures(report):
            pages.savefig(figure)
