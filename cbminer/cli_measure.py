"""The command ``cbminer measure``: the light curves of a table of any survey."""

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cbminer.cli_engine import EngineChoice, EngineOption, SchedulerOption
from cbminer.terminal import TerminalMonitor

__all__ = ["measure"]


def measure(
    tables: Annotated[
        list[Path],
        typer.Argument(
            help="Tables of light curves, all of one layout: Parquet, CSV, FITS, VOTable, ECSV, IPAC, text."
        ),
    ],
    *,
    preset: Annotated[
        str | None,
        typer.Option(help="Layout: gaia, gaia-raw, asas-sn, ztf, ztf-alerce, rubin, rubin-nested. Default: [table]."),
    ] = None,
    periods: Annotated[
        Path | None, typer.Option(help="Table of periods in days by star. Stars without one are searched.")
    ] = None,
    band: Annotated[
        list[str] | None, typer.Option(help="Band to measure, as the table names it; may be repeated.")
    ] = None,
    settings: Annotated[Path | None, typer.Option(help="Settings file in TOML; [table] names the columns.")] = None,
    out: Annotated[Path | None, typer.Option(help="Output folder. Default: cbminer-measure-NAME.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Threads or worker processes. Default: one a core.")] = None,
    engine: EngineOption = EngineChoice.THREADS,
    scheduler: SchedulerOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output of an earlier call.")] = False,
) -> None:
    """Measure every star of a table of light curves: period, shape, c and class. Nothing is selected."""
    from cbminer.engine import open_engine
    from cbminer.output import check_output_folder, output_folder
    from cbminer.report.table_products import describe_measured, write_measured
    from cbminer.settings import load_settings
    from cbminer.table_measurement import measure_table

    resolved = load_settings(settings)
    given: dict[str, Any] = {"preset": preset, "bands": tuple(band) if band else None}
    layout = resolved.table.model_copy(update={name: value for name, value in given.items() if value is not None})
    resolved = resolved.model_copy(update={"table": layout})
    folder = out or Path(f"cbminer-measure-{tables[0].name.partition('.')[0]}")
    check_output_folder(folder, overwrite=overwrite)
    monitor = TerminalMonitor()
    with open_engine(engine.value, jobs=jobs or os.cpu_count() or 1, scheduler=scheduler) as opened:
        measured = measure_table(tables, settings=resolved, periods=periods, engine=opened, monitor=monitor)
    with output_folder(folder, overwrite=overwrite) as temporary, monitor.step("writing tables and figures", None):
        write_measured(temporary, measured, settings=resolved, command=shlex.join(["cbminer", *sys.argv[1:]]))
    for line in describe_measured(measured):
        typer.echo(line)
    typer.echo(f"written to {folder}")
