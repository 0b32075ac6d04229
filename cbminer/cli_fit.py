"""The command ``cbminer fit``: contact and near-contact models fitted to the best stars of a run."""

import os
from pathlib import Path
from typing import Annotated

import typer

from cbminer.cli_cache import CacheOption, cache_folder
from cbminer.cli_run import RunOption, only_run
from cbminer.terminal import TerminalMonitor

__all__ = ["fit"]


def fit(
    stars: Annotated[list[str] | None, typer.Argument(help="Stars to fit. Default: the best of the run.")] = None,
    *,
    run: RunOption = None,
    best: Annotated[int | None, typer.Option(min=1, help="How many of the best. Default: as the settings say.")] = None,
    settings: Annotated[
        Path | None, typer.Option(help="Settings file in TOML, of which [fit] counts. Default: those of the run.")
    ] = None,
    phoebe: Annotated[bool, typer.Option("--phoebe", help="Compute the best models again with PHOEBE.")] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed. Default: that of the run.")] = None,
    cache: CacheOption = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes. Default: one a core.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Fit anew what is fitted already.")] = False,
) -> None:
    """Fit contact and near-contact models to light curves, and tell which of the two they prefer."""
    from cbminer.fits import fit_run
    from cbminer.provenance import read_provenance
    from cbminer.ranking.fit_phoebe import compare_with_phoebe
    from cbminer.ranking.fit_sampling import load_extra
    from cbminer.report.fit_products import describe_fits, write_fits
    from cbminer.settings import settings_from_mapping, settings_over
    from cbminer.synthetic.phoebe_passbands import load_phoebe

    run = run or only_run()
    recorded = settings_from_mapping(read_provenance(run).settings)
    chosen = (recorded if settings is None else settings_over(recorded, settings)).fit
    if best is not None:
        chosen = chosen.model_copy(update={"best": best})
    # Here, so that what is missing is said before hours of fits.
    load_extra("corner")
    if phoebe:
        load_phoebe()
    monitor = TerminalMonitor()
    processes = jobs or os.cpu_count() or 1
    found = fit_run(
        run,
        stars or (),
        settings=chosen,
        cache=cache_folder(cache),
        seed=seed,
        jobs=processes,
        overwrite=overwrite,
        monitor=monitor,
    )
    differences = []
    if phoebe:
        with monitor.step("PHOEBE", None):
            differences = compare_with_phoebe(found.fits, settings=chosen, jobs=processes)
    with monitor.step("writing tables and figures", None):
        write_fits(found, phoebe=differences)
    for line in describe_fits(found, phoebe=differences):
        typer.echo(line)
    typer.echo(f"written to {found.folder}")
