"""The command ``cbminer report``: the page and the vetting sheets of a finished run, or the run beside other work."""

import re
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cbminer.cli_cache import CacheOption, cache_folder
from cbminer.cli_run import RunOption, only_run

__all__ = ["report"]


class SheetsChoice(StrEnum):
    """Formats of vetting sheets."""

    PDF = "pdf"
    PNG = "png"


def report(
    *,
    run: RunOption = None,
    star: Annotated[
        list[str] | None, typer.Option("--star", help="A star to show, candidate or not; once for every star.")
    ] = None,
    stars: Annotated[int | None, typer.Option(min=1, help="Candidates to show, the first by rank.")] = None,
    sheets: Annotated[
        SheetsChoice | None,
        typer.Option(help="Write vetting sheets for print: one PDF, or a PNG a star.", case_sensitive=False),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            help="Compare the run with a published list: ECSV, CSV, FITS, VOTable, machine-readable or plain text."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call the list. Default: its file name.")] = None,
    id_column: Annotated[
        str | None, typer.Option(help="Column of the identifiers. Default: found by its name.")
    ] = None,
    settings: Annotated[Path | None, typer.Option(help="Settings file in TOML: [against].")] = None,
    out: Annotated[
        Path | None, typer.Option(help="File of the page or PDF, or output folder. Default: in that of the run.")
    ] = None,
    cache: CacheOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Write report.html of a finished run, or vetting sheets; with --against, compare it with a published list."""
    folder = run or only_run()
    if against is not None:
        if star or stars or sheets:
            msg = "--against compares the whole run: leave out --star, --stars and --sheets"
            raise typer.BadParameter(msg)
        _compare(folder, against, name, id_column, settings, out, overwrite=overwrite)
        return
    if name or id_column or settings:
        msg = "--name, --id-column and --settings belong to --against: name a published list with it"
        raise typer.BadParameter(msg)
    if star and stars:
        msg = "name stars with --star, or ask for the first ones with --stars, not both"
        raise typer.BadParameter(msg)
    place = _write(folder, star or [], stars, sheets, out, cache_folder(cache), overwrite=overwrite)
    typer.echo(f"written to {place}")


def _write(
    folder: Path,
    star: list[str],
    stars: int | None,
    sheets: SheetsChoice | None,
    out: Path | None,
    cache: Path,
    *,
    overwrite: bool,
) -> Path:
    """Write the page or the sheets, and say where."""
    from cbminer.report.page.data import gather_report
    from cbminer.report.page.page import PAGE_FILE, check_page_place, write_page
    from cbminer.report.vetting import check_sheets_place, write_sheets
    from cbminer.terminal import TerminalMonitor

    # A choice of stars does not take the place of the page of all candidates.
    stem = "vetting" if star or stars or sheets else Path(PAGE_FILE).stem
    monitor = TerminalMonitor()
    if sheets is None:
        place = out or folder / f"{stem}.html"
        check_page_place(place, overwrite=overwrite)
    else:
        place = out or (folder / (f"{stem}.pdf" if sheets is SheetsChoice.PDF else stem))
        check_sheets_place(place, sheets.value, overwrite=overwrite)
    gathered = gather_report(folder, stars=star, most=stars, cache=cache, monitor=monitor)
    for note in gathered.notes:
        typer.echo(f"note: {note}")
    with monitor.step("writing the report", None):
        if sheets is None:
            write_page(place, gathered)
        else:
            write_sheets(place, gathered, sheets.value)
    return place


def _compare(
    folder: Path,
    against: Path,
    name: str | None,
    id_column: str | None,
    settings: Path | None,
    out: Path | None,
    *,
    overwrite: bool,
) -> None:
    """Compare the run with a published list, and print what came of it."""
    from cbminer.completeness.rejudging import read_judged_run
    from cbminer.output import check_output_folder, output_folder
    from cbminer.report.against import compare_with_list
    from cbminer.report.against_products import comparison_lines, write_comparison
    from cbminer.report.published_list import read_published
    from cbminer.settings import settings_over

    judged = read_judged_run(folder)
    resolved = judged.settings if settings is None else settings_over(judged.settings, settings)
    published = read_published(against, name=name, id_column=id_column)
    place = out or folder / f"against-{re.sub(r'[^A-Za-z0-9._-]+', '-', published.name)}"
    check_output_folder(place, overwrite=overwrite)
    comparison = compare_with_list(judged, published, settings=resolved.against)
    lines = list(comparison_lines(comparison))
    with output_folder(place, overwrite=overwrite) as temporary:
        write_comparison(temporary, comparison, lines, command=shlex.join(["cbminer", *sys.argv[1:]]))
    for line in lines:
        typer.echo(line)
    typer.echo(f"written to {place}")
