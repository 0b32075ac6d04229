"""The command ``cbminer morph``: the shape of one light curve."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cbminer.cli_cache import CacheOption, cache_folder
from cbminer.cli_run import command_line
from cbminer.terminal import TerminalMonitor

__all__ = ["morph"]


class PhaseZeroChoice(StrEnum):
    """What phase 0 can be."""

    MINIMUM = "minimum"
    CATALOGUE = "catalogue"
    MAXIMUM = "maximum"


def morph(
    target: Annotated[str, typer.Argument(help="Light-curve file (time, magnitude, error), or star of an archive.")],
    *,
    period: Annotated[
        float | None, typer.Option(help="Period in days. Default: the catalogue's; searched for in a file.")
    ] = None,
    epoch: Annotated[float | None, typer.Option(help="Epoch of phase 0 for a file, HJD or HJD-2450000.")] = None,
    keep_period: Annotated[
        bool, typer.Option("--keep-period", help="Fold with the listed period, whatever the light curve says.")
    ] = False,
    phase_zero: Annotated[
        PhaseZeroChoice | None, typer.Option(help="What phase 0 of the figure is. Default: the deeper minimum.")
    ] = None,
    archive: Annotated[
        str | None, typer.Option(help="Folder in OGLE's layout, or base URL of a server. Default: OGLE's server.")
    ] = None,
    settings: Annotated[Path | None, typer.Option(help="Settings file in TOML.")] = None,
    out: Annotated[Path | None, typer.Option(help="Output folder. Default: cbminer-morph-NAME.")] = None,
    cache: CacheOption = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never ask a server.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="End at the first malformed line.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output of an earlier call.")] = False,
) -> None:
    """Measure one light curve: period, depths, widths, W and the morphology parameter c, each with its error."""
    from cbminer.inspection import describe_star, inspect_file, inspect_star, write_inspection
    from cbminer.output import check_output_folder, output_folder
    from cbminer.settings import load_settings
    from cbminer.survey.archive import open_archive

    resolved = load_settings(settings)
    survey = {"archive": archive, "offline": offline or None, "strict": strict or None}
    update: dict[str, Any] = {
        "survey": resolved.survey.model_copy(update={key: value for key, value in survey.items() if value})
    }
    if keep_period:
        update["period_choice"] = resolved.period_choice.model_copy(update={"use": "survey"})
    if phase_zero is not None:
        update["lightcurves"] = resolved.lightcurves.model_copy(update={"phase_zero": phase_zero.value})
    resolved = resolved.model_copy(update=update)
    path = Path(target).expanduser()
    folder = out or Path(f"cbminer-morph-{path.stem if path.is_file() else target}")
    check_output_folder(folder, overwrite=overwrite)
    with TerminalMonitor().step("measuring", None):
        if path.is_file() or path.suffix or "/" in target:
            inspected = inspect_file(path, period=period, epoch=epoch, settings=resolved, strict=resolved.survey.strict)
        else:
            if epoch is not None:
                msg = "--epoch is for a file: a star of an archive has its own"
                raise typer.BadParameter(msg)
            opened = open_archive(
                resolved.survey.archive,
                cache=cache_folder(cache),
                fetching=resolved.fetch,
                offline=resolved.survey.offline,
                table=resolved.table,
                max_mag_err=resolved.cleaning.max_mag_err,
            )
            inspected = inspect_star(opened, target, period=period, settings=resolved)
    with output_folder(folder, overwrite=overwrite) as temporary:
        write_inspection(temporary, inspected, settings=resolved, command=command_line())
    for line in describe_star(inspected):
        typer.echo(line)
    typer.echo(f"written to {folder}")
