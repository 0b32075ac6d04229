"""The command ``cbminer follow-up``: when to observe the best stars of a run, and what velocities to expect."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from cbminer.cli_run import RunOption, only_run
from cbminer.errors import SettingsError
from cbminer.terminal import TerminalMonitor

__all__ = ["follow_up"]


def follow_up(
    *,
    run: RunOption = None,
    site: Annotated[
        str, typer.Option(help="paranal, las-campanas, salt, gemini-south, or LATITUDE,LONGITUDE,HEIGHT in deg and m.")
    ],
    first: Annotated[str, typer.Option("--from", metavar="DATE", help="Local date of the first evening: 2027-01-31.")],
    nights: Annotated[int, typer.Option(min=1, max=400, help="Number of nights.")] = 30,
    star: Annotated[list[str] | None, typer.Option(help="A star; may be repeated. Default: the best by rank.")] = None,
    stars: Annotated[
        int | None, typer.Option(min=1, help="How many of the best. Default: as the settings say.")
    ] = None,
    formats: Annotated[
        str | None, typer.Option(help="Target lists to write: some of eso,4most,salt,gemini,apt,ds9,moc.")
    ] = None,
    even_simulated: Annotated[
        bool, typer.Option("--even-simulated", help="Write target lists of simulated stars too; they say so.")
    ] = False,
    settings: Annotated[
        Path | None, typer.Option(help="Settings file in TOML over those of the run: [follow_up] and [targets].")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the draws. Default: that of the run.")] = None,
    out: Annotated[Path | None, typer.Option(help="Output folder. Default: follow-up-SITE-DATE in the run.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output of an earlier call.")] = False,
) -> None:
    """Plan spectra of the best stars of a run: ephemerides, velocities, windows at quadrature, target lists."""
    from cbminer.followup.planning import follow_up_settings, plan_run, refuse_simulated
    from cbminer.followup.request import check_place, first_evening, format_names
    from cbminer.followup.sites import find_site
    from cbminer.followup.targets import require_formats
    from cbminer.output import output_folder
    from cbminer.report.followup_products import describe_plan, write_follow_up

    if star and stars is not None:
        msg = "--stars counts the best, and --star names others: give one of the two"
        raise SettingsError(msg)
    run, where, evening = run or only_run(), find_site(site), first_evening(first)
    resolved, wanted = follow_up_settings(run, given=settings), format_names(formats)
    require_formats(wanted, settings=resolved.targets, sites=[where.name])
    if wanted and not even_simulated:
        refuse_simulated(run)
    if stars is not None:
        resolved = resolved.model_copy(update={"follow_up": resolved.follow_up.model_copy(update={"best": stars})})
    if seed is not None:
        resolved = resolved.model_copy(update={"seed": seed})
    folder = out or run / f"follow-up-{where.name}-{evening.isoformat()}"
    check_place(folder, overwrite=overwrite)
    monitor = TerminalMonitor()
    plan = plan_run(run, where, evening, nights, settings=resolved, stars=star or (), monitor=monitor)
    with monitor.step("writing tables and figures", None), output_folder(folder, overwrite=overwrite) as temporary:
        write_follow_up(
            temporary,
            plan,
            command=shlex.join(["cbminer", *sys.argv[1:]]),
            formats=wanted,
            even_simulated=even_simulated,
        )
    for line in describe_plan(plan):
        typer.echo(line)
    typer.echo(f"written to {folder}")
