"""The command ``cbminer complete``: what the selection of a run misses, by synthetic binaries that go through it."""

import os
from pathlib import Path
from typing import Annotated

import typer

from cbminer.cli_cache import CacheOption, cache_folder
from cbminer.cli_run import RunOption, command_line, only_run
from cbminer.terminal import TerminalMonitor

__all__ = ["complete"]


def complete(
    *,
    run: RunOption = None,
    n: Annotated[int | None, typer.Option("--n", min=1, help="Binaries to inject. Default: 5,000.")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of everything random. Default: that of the run.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Threads. Default: one a core.")] = None,
    settings: Annotated[
        Path | None,
        typer.Option(help="Settings file in TOML over those of the run."),
    ] = None,
    cache: CacheOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output of an earlier call.")] = False,
) -> None:
    """Inject synthetic binaries into the survey of a run, and tell which of them its selection finds."""
    from cbminer.completeness.completing import inject_into_run
    from cbminer.output import check_output_folder, output_folder
    from cbminer.provenance import read_provenance
    from cbminer.report.completeness_products import describe_completeness, report_completeness, write_completeness

    run = run or only_run()
    monitor, folder = TerminalMonitor(), run / "completeness"
    provenance = read_provenance(run)
    check_output_folder(folder, overwrite=overwrite)
    found = inject_into_run(
        run,
        cache=cache_folder(cache),
        given=settings,
        n=n,
        seed=seed,
        jobs=jobs or os.cpu_count() or 1,
        monitor=monitor,
    )
    with monitor.step("completeness", None), output_folder(folder, overwrite=overwrite) as temporary:
        report = report_completeness(found)
        write_completeness(temporary, report, run=provenance, command=command_line())
    found.forget_chunks()
    for line in describe_completeness(report):
        typer.echo(line)
    typer.echo(f"written to {folder}")
