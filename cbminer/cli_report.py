"""The command ``cbminer report``: what a finished run says beside other work."""

import re
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from cbminer.cli_run import RunOption, only_run
from cbminer.settings import settings_over

__all__ = ["report"]

_WITHOUT = (
    "say what to report:\n"
    "  --against TABLE   compare the run with a published list: counts at every cut, stars in common, only there (and\n"
    "                    why), only here, precision and recall"
)


def report(
    *,
    run: RunOption = None,
    against: Annotated[
        Path | None, typer.Option(help="Published list: ECSV, CSV, FITS, VOTable, machine-readable or plain text.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call the list. Default: its file name.")] = None,
    id_column: Annotated[
        str | None, typer.Option(help="Column of the identifiers. Default: found by its name.")
    ] = None,
    settings: Annotated[Path | None, typer.Option(help="Settings file in TOML: [against].")] = None,
    out: Annotated[Path | None, typer.Option(help="Output folder. Default: against-NAME in that of the run.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output of an earlier call.")] = False,
) -> None:
    """Report on a finished run; with --against, compare it with a published list."""
    if against is None:
        typer.echo(_WITHOUT)
        return
    from cbminer.completeness.rejudging import read_judged_run
    from cbminer.output import check_output_folder, output_folder
    from cbminer.report.against import compare_with_list
    from cbminer.report.against_products import comparison_lines, write_comparison
    from cbminer.report.published_list import read_published

    folder = run or only_run()
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
