"""The command ``cbminer sensitivity``: how much the sample of a run hangs on its limits and on errors."""

from pathlib import Path
from typing import Annotated

import typer

from cbminer.cli_run import RunOption, command_line, only_run
from cbminer.terminal import TerminalMonitor

__all__ = ["sensitivity"]


def sensitivity(
    *,
    run: RunOption = None,
    bootstrap: Annotated[
        int | None, typer.Option(min=0, help="Draws of the bootstrap; 0 for none. Default: that of the settings, 200.")
    ] = None,
    settings: Annotated[Path | None, typer.Option(help="Settings file in TOML: [sensitivity].")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the draws. Default: that of the run.")] = None,
    out: Annotated[Path | None, typer.Option(help="Output folder. Default: sensitivity in that of the run.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output of an earlier call.")] = False,
) -> None:
    """Tell how the sample of a run changes with every limit of its cuts, and under the errors of its inputs."""
    from cbminer.completeness.rejudging import read_judged_run
    from cbminer.output import check_output_folder, output_folder
    from cbminer.report.sensitivity_products import analyse_run, sensitivity_lines, write_sensitivity
    from cbminer.settings import settings_over

    folder = run or only_run()
    place = out or folder / "sensitivity"
    check_output_folder(place, overwrite=overwrite)
    judged = read_judged_run(folder)
    chosen = (judged.settings if settings is None else settings_over(judged.settings, settings)).sensitivity
    if bootstrap is not None:
        chosen = chosen.model_copy(update={"draws": bootstrap})
    drawn = judged.settings.seed if seed is None else seed
    analysis = analyse_run(judged, settings=chosen, seed=drawn, monitor=TerminalMonitor())
    lines = list(sensitivity_lines(analysis))
    with output_folder(place, overwrite=overwrite) as temporary:
        write_sensitivity(temporary, analysis, lines, command=command_line())
    for line in lines:
        typer.echo(line)
    typer.echo(f"written to {place}")
