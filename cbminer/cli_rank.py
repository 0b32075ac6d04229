"""The command ``cbminer rank``: the stars of a run by their probability, with other settings if asked for."""

from pathlib import Path
from typing import Annotated

import typer

from cbminer.cli_run import RunOption, only_run

__all__ = ["rank"]


def rank(
    *,
    run: RunOption = None,
    top: Annotated[int, typer.Option(min=1, help="Stars to list.")] = 20,
    everyone: Annotated[
        bool,
        typer.Option("--all", help="All stars of the right colour, magnitude and period, not only the candidates."),
    ] = False,
    settings: Annotated[
        Path | None, typer.Option(help="Settings file in TOML over those of the run: [ranking] and [population].")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the ranked stars to this file, ECSV or FITS.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """List the stars of a run by their probability of being in contact, and say what each rests on."""
    from cbminer.reranking import rank_run, ranking_lines, write_ranking

    ranked = rank_run(run or only_run(), given=settings)
    for line in ranking_lines(ranked, top=top, everyone=everyone):
        typer.echo(line)
    if out is not None:
        write_ranking(out, ranked, everyone=everyone, overwrite=overwrite)
        typer.echo(f"written to {out}")
