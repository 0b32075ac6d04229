"""The command ``cbminer population``: what a grid of models says of the contact binaries of a Cloud."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cbminer.cli_run import command_line
from cbminer.terminal import TerminalMonitor

__all__ = ["population"]


class CloudChoice(StrEnum):
    """Clouds whose population can be asked for."""

    LMC = "LMC"
    SMC = "SMC"


def population(
    *,
    galaxy: Annotated[CloudChoice, typer.Option(help="The Cloud.", case_sensitive=False)],
    grid: Annotated[
        Path | None, typer.Option(help="Grid of models, as `cbminer grid import` makes one. Default: the package's.")
    ] = None,
    settings: Annotated[Path | None, typer.Option(help="Settings file in TOML: [population].")] = None,
    out: Annotated[Path | None, typer.Option(help="Output folder. Default: cbminer-population-GALAXY.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of everything random.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output of an earlier call.")] = False,
) -> None:
    """Tell how many contact and near-contact binaries there should be, and where they lie."""
    from cbminer.output import check_output_folder, output_folder
    from cbminer.report.population_products import describe_population, report_population, write_population
    from cbminer.resources import grid_path
    from cbminer.settings import load_settings
    from cbminer.theory.grid import read_grid
    from cbminer.theory.population import make_population

    resolved = load_settings(settings)
    folder = out or Path(f"cbminer-population-{galaxy.value.lower()}")
    check_output_folder(folder, overwrite=overwrite)
    place = grid_path(f"roche-sse/{galaxy.value.lower()}/runs.parquet").parent if grid is None else grid
    drawn = resolved.seed if seed is None else seed
    with TerminalMonitor().step("population", None):
        models = read_grid(place)
        report = report_population(make_population(models, galaxy.value, settings=resolved.population), seed=drawn)
    with output_folder(folder, overwrite=overwrite) as temporary:
        write_population(
            temporary,
            report,
            settings=resolved,
            grid_path=place,
            seed=drawn,
            command=command_line(),
        )
    for line in describe_population(report):
        typer.echo(line)
    typer.echo(f"written to {folder}")
