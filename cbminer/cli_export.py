"""The command ``cbminer export``: stars of a run with their light curves, for other programs."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cbminer.cli_cache import CacheOption, cache_folder
from cbminer.cli_run import RunOption, command_line, only_run
from cbminer.terminal import TerminalMonitor

__all__ = ["export"]


class FormatChoice(StrEnum):
    """What stars can be exported to."""

    HATS = "hats"


class StarsChoice(StrEnum):
    """Which stars can be exported."""

    CANDIDATES = "candidates"
    ALL = "all"


def export(
    *,
    run: RunOption = None,
    to: Annotated[
        FormatChoice, typer.Option(help="Format. hats: Parquet by HEALPix pixel, which LSDB opens.")
    ] = FormatChoice.HATS,
    stars: Annotated[
        StarsChoice, typer.Option(help="The candidates, or all judged stars.", case_sensitive=False)
    ] = StarsChoice.CANDIDATES,
    out: Annotated[Path | None, typer.Option(help="Output folder. Default: RUN-hats.")] = None,
    cache: CacheOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output of an earlier call.")] = False,
) -> None:
    """Write stars of a run with their light curves as a HATS catalogue, which select --archive reads again."""
    from cbminer.output import check_output_folder, output_folder
    from cbminer.report.hats_export import export_hats

    run = run or only_run()
    folder = out or run.resolve().with_name(f"{run.resolve().name}-{to.value}")
    check_output_folder(folder, overwrite=overwrite)
    with output_folder(folder, overwrite=overwrite) as temporary:
        written = export_hats(
            run,
            temporary,
            cache=cache_folder(cache),
            stars=stars.value,
            command=command_line(),
            monitor=TerminalMonitor(),
        )
    typer.echo(f"{written.n_stars:,} stars with {written.n_points:,} points")
    if written.n_without_position:
        typer.echo(f"{written.n_without_position:,} stars without a position are left out")
    if written.n_without_points:
        typer.echo(f"{written.n_without_points:,} stars have no points: their light curves are not in the cache")
    typer.echo(f"written to {folder}")
