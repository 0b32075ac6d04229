"""The command line: it parses and prints, and leaves the work to the other modules."""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cbminer.cli_cache import CacheOption, cache_app, cache_folder
from cbminer.cli_cite import cite
from cbminer.cli_classifier import model_app, train
from cbminer.cli_complete import complete
from cbminer.cli_engine import EngineChoice, EngineOption, SchedulerOption
from cbminer.cli_export import export
from cbminer.cli_fit import fit
from cbminer.cli_followup import follow_up
from cbminer.cli_grid import grid_app
from cbminer.cli_measure import measure
from cbminer.cli_morph import morph
from cbminer.cli_population import population
from cbminer.cli_rank import rank
from cbminer.cli_report import report
from cbminer.cli_run import RunOption, command_line, only_run
from cbminer.cli_sensitivity import sensitivity
from cbminer.cli_synth import synth_app
from cbminer.errors import CbminerError, SettingsError
from cbminer.terminal import TerminalMonitor

if TYPE_CHECKING:
    from cbminer.engine import Engine
    from cbminer.galaxies import Galaxy
    from cbminer.kept_measurements import KeptMeasurements
    from cbminer.pipeline import Selection
    from cbminer.settings import Settings

__all__ = ["app", "main"]

_INTERRUPTED, _TERMINATED = 130, 143

app = typer.Typer(
    name="cbminer",
    help="Mine a photometric survey for massive contact binaries.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
settings_app = typer.Typer(help="Show the settings, or write them to a file.", no_args_is_help=True)
app.add_typer(settings_app, name="settings")
app.add_typer(cache_app, name="cache")
app.add_typer(synth_app, name="synth")
app.add_typer(model_app, name="model")
app.add_typer(grid_app, name="grid")
app.command("morph")(morph)
app.command("cite")(cite)
app.command("measure")(measure)
app.command("train")(train)
app.command("population")(population)
app.command("rank")(rank)
app.command("fit")(fit)
app.command("complete")(complete)
app.command("sensitivity")(sensitivity)
app.command("report")(report)
app.command("follow-up")(follow_up)
app.command("export")(export)


class GalaxyChoice(StrEnum):
    """Galaxies that can be asked for; both are the Clouds."""

    LMC = "LMC"
    SMC = "SMC"
    BOTH = "both"
    MW = "MW"


_GALAXIES: dict[GalaxyChoice, list["Galaxy"]] = {
    GalaxyChoice.LMC: ["LMC"],
    GalaxyChoice.SMC: ["SMC"],
    GalaxyChoice.BOTH: ["LMC", "SMC"],
    GalaxyChoice.MW: ["MW"],
}


class CatalogueChoice(StrEnum):
    """Places that the catalogue can come from."""

    ARCHIVE = "archive"
    VIZIER = "vizier"


class OtherChoice(StrEnum):
    """Places that can be asked what they know of a star."""

    GAIA = "gaia"
    SIMBAD = "simbad"


class WhatChoice(StrEnum):
    """Parts of an archive that can be fetched."""

    CATALOGUE = "catalogue"
    LIGHTCURVES = "lightcurves"
    ALL = "all"


class SurveyChoice(StrEnum):
    """Surveys that can be asked for."""

    OGLE = "ogle"
    MOCK = "mock"


def _version(*, value: bool) -> None:
    if value:
        typer.echo(f"cbminer {version('cbminer')}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    show_version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """Mine a photometric survey for massive contact binaries."""
    del debug, show_version


@app.command()
def select(
    *,
    galaxy: Annotated[
        GalaxyChoice, typer.Option(help="The Cloud to mine, both, or MW: the Milky Way.", case_sensitive=False)
    ],
    survey: Annotated[
        SurveyChoice, typer.Option(help="Observed stars of OGLE, or a simulated survey.", case_sensitive=False)
    ] = SurveyChoice.OGLE,
    archive: Annotated[
        str | None,
        typer.Option(
            help="Folder in OGLE's layout, HATS catalogue, tables laid out by [table], or base URL of a server. "
            "Default: OGLE's server."
        ),
    ] = None,
    catalogue: Annotated[
        CatalogueChoice | None,
        typer.Option(help="Where the catalogue comes from. Default: the archive.", case_sensitive=False),
    ] = None,
    morph: Annotated[
        str | None,
        typer.Option(help="Table of published morphology parameters c by star, or vizier: fetched from there."),
    ] = None,
    reddening: Annotated[
        Path | None, typer.Option(help="Map of reddening: cells, FITS image or HEALPix. Default: the mean.")
    ] = None,
    settings: Annotated[Path | None, typer.Option(help="Settings file in TOML.")] = None,
    out: Annotated[Path | None, typer.Option(help="Output folder. Default: cbminer-GALAXY.")] = None,
    cache: CacheOption = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Never ask a server: what the cache lacks counts as absent.")
    ] = False,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Threads, or worker processes of Dask. Default: one a core.")
    ] = None,
    engine: EngineOption = EngineChoice.THREADS,
    scheduler: SchedulerOption = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of everything random.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="End at the first malformed line.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output of an earlier run.")] = False,
) -> None:
    """Select candidate massive contact binaries and write them with figures and provenance."""
    from cbminer.engine import open_engine
    from cbminer.kept_measurements import KeptMeasurements
    from cbminer.output import check_output_folder, output_folder
    from cbminer.report.products import write_products
    from cbminer.report.summary import summary_lines
    from cbminer.settings import load_settings
    from cbminer.survey.archive import is_url

    if survey is SurveyChoice.MOCK and archive is not None:
        msg = "--survey mock makes its own archive: leave out --archive"
        raise typer.BadParameter(msg)
    given = {"archive": archive, "morph": morph, "reddening": reddening, "seed": seed, "catalogue": catalogue}
    given |= {"strict": strict or None, "offline": offline or None}
    resolved = _with_options(load_settings(settings), given)
    if galaxy is GalaxyChoice.MW and (survey is SurveyChoice.MOCK or is_url(resolved.survey.archive)):
        msg = "stars of the Milky Way come from a table or a HATS catalogue: name it with --archive"
        raise typer.BadParameter(msg)
    folder = out or Path(_default_folder(galaxy, survey))
    check_output_folder(folder, overwrite=overwrite)
    monitor, kept = TerminalMonitor(), KeptMeasurements(cache_folder(cache) / "unfinished")
    workers = jobs or os.cpu_count() or 1
    with output_folder(folder, overwrite=overwrite) as temporary:
        with open_engine(engine.value, jobs=workers, scheduler=scheduler) as opened:
            selection = _selection(galaxy, survey, resolved, cache_folder(cache), kept, opened, workers, monitor)
        with monitor.step("writing catalogues and figures", None):
            write_products(temporary, selection, command=command_line(), page=False, jobs=workers)
    kept.clear()
    # The run is in its place by now: a page that cannot be made takes nothing with it.
    with monitor.step("writing the page", None):
        problem = _write_page(folder, selection)
    for line in summary_lines(selection):
        typer.echo(line)
    typer.echo(f"written to {folder}")
    if problem:
        typer.echo(problem, err=True)


@app.command()
def fetch(
    *,
    galaxy: Annotated[GalaxyChoice, typer.Option(help="The Cloud to fetch.", case_sensitive=False)],
    what: Annotated[WhatChoice, typer.Option(help="The part to fetch.", case_sensitive=False)] = WhatChoice.ALL,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would come, and how large it is.")] = False,
    ask_again: Annotated[
        bool, typer.Option("--ask-again", help="Ask again for files that the server did not have.")
    ] = False,
    archive: Annotated[str | None, typer.Option(help="Base URL of a server. Default: OGLE's.")] = None,
    settings: Annotated[Path | None, typer.Option(help="Settings file in TOML.")] = None,
    cache: CacheOption = None,
) -> None:
    """Fetch the catalogue and the light curves of a Cloud into the cache, going on where an earlier call ended."""
    if galaxy is GalaxyChoice.MW:
        msg = "no server has the Milky Way in OGLE's layout: fetch LMC, SMC or both"
        raise typer.BadParameter(msg)
    from cbminer.fetching import fetch_survey, plan_survey, refuse_folder
    from cbminer.settings import load_settings
    from cbminer.survey.archive import open_archive

    resolved = _with_options(load_settings(settings), {"archive": archive})
    opened = open_archive(
        resolved.survey.archive, cache=cache_folder(cache), fetching=resolved.fetch, table=resolved.table
    )
    server, clouds = refuse_folder(opened), _GALAXIES[galaxy]
    for cloud in clouds if ask_again else []:
        server.ask_again(cloud)
    if dry_run:
        lines = plan_survey(server, clouds, what=what.value)
    else:
        lines = fetch_survey(server, clouds, what=what.value, monitor=TerminalMonitor())
    for line in lines:
        typer.echo(line)


@app.command()
def explain(
    star: Annotated[str, typer.Argument(help="Identifier of the star.")],
    *,
    run: RunOption = None,
) -> None:
    """Say why a star is in or out, with every number that decided."""
    from cbminer.report.explanation import explain_star

    for line in explain_star(run or only_run(), star):
        typer.echo(line)


@app.command("cross-match")
def cross_match(
    *,
    run: RunOption = None,
    with_: Annotated[
        list[OtherChoice] | None, typer.Option("--with", help="Gaia DR3 eclipsing binaries, SIMBAD. Default: both.")
    ] = None,
    everyone: Annotated[bool, typer.Option("--all", help="All judged stars, not only the candidates.")] = False,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask again for what an earlier call fetched.")] = False,
    settings: Annotated[Path | None, typer.Option(help="Settings file in TOML.")] = None,
    cache: CacheOption = None,
) -> None:
    """Ask Gaia DR3 and SIMBAD by position what they know of the candidates of a run."""
    from cbminer.crossmatch import cross_match_run
    from cbminer.pipeline import open_vizier
    from cbminer.settings import load_settings

    resolved = load_settings(settings)
    with open_vizier(resolved, cache=cache_folder(cache), refresh=refresh, monitor=TerminalMonitor()) as vizier:
        others = [other.value for other in with_ or list(OtherChoice)]
        for line in cross_match_run(run or only_run(), vizier, others=others, everyone=everyone):
            typer.echo(line)


@settings_app.command("show")
def show_settings(*, settings: Annotated[Path | None, typer.Option(help="Settings file in TOML.")] = None) -> None:
    """Print the settings that a run would use."""
    from cbminer.settings import load_settings, settings_to_toml

    typer.echo(settings_to_toml(load_settings(settings)), nl=False)


@settings_app.command("write")
def write_settings(
    path: Annotated[Path, typer.Argument(help="File to write.")],
    *,
    settings: Annotated[Path | None, typer.Option(help="Settings file to start from.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Write all settings with their meaning to a file, to be edited."""
    from cbminer.settings import load_settings, settings_to_toml

    text = settings_to_toml(load_settings(settings))
    if path.exists() and not overwrite:
        msg = f"{path} exists: replace it with --overwrite"
        raise SettingsError(msg)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror}"
        raise SettingsError(msg) from error
    typer.echo(f"written to {path}")


def _with_options(settings: "Settings", given: dict[str, Any]) -> "Settings":
    """Put what the command line says over the settings."""
    survey = {key: given[key] for key in ("archive", "catalogue", "strict", "offline") if given.get(key) is not None}
    update: dict[str, Any] = {"survey": settings.survey.model_copy(update=survey)}
    if given.get("seed") is not None:
        update["seed"] = given["seed"]
    if given.get("morph") is not None:
        update["morphology_table"] = settings.morphology_table.model_copy(update={"table": str(given["morph"])})
    if given.get("reddening") is not None:
        update["reddening"] = settings.reddening.model_copy(update={"map": str(given["reddening"])})
    return settings.model_copy(update=update)


def _selection(
    galaxy: GalaxyChoice,
    survey: SurveyChoice,
    settings: "Settings",
    cache: Path,
    kept: "KeptMeasurements",
    engine: "Engine",
    jobs: int,
    monitor: TerminalMonitor,
) -> "Selection":
    """Open what a run reads, and judge its stars."""
    from cbminer.pipeline import open_survey, open_vizier, run_selection

    clouds = _GALAXIES[galaxy]
    archive = open_survey(survey.value, clouds, settings=settings, cache=cache, monitor=monitor)
    with closing(open_vizier(settings, cache=cache, monitor=monitor)) as vizier:
        return run_selection(
            archive,
            clouds,
            settings=settings,
            survey=survey.value,
            vizier=vizier,
            kept=kept,
            engine=engine,
            jobs=jobs,
            monitor=monitor,
        )


def _write_page(folder: Path, selection: "Selection") -> str:
    """Write the page of a run; if that fails, say so in one line."""
    from cbminer.report.products import write_run_page

    try:
        write_run_page(folder, selection)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the page, the run is good
        return f"cbminer: report.html could not be written ({error}); cbminer report --run {folder} writes it"
    return ""


def _default_folder(galaxy: GalaxyChoice, survey: SurveyChoice) -> str:
    suffix = "-mock" if survey is SurveyChoice.MOCK else ""
    return f"cbminer-{galaxy.value.lower()}{suffix}"


@contextmanager
def _sigterm_as_exit() -> Iterator[None]:
    """Leave by an exception where a batch system ends the program, so that what waits on disk goes with it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : list of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        Exit status: 0, 1 for a failed run, 2 for a wrong request, 130 after Ctrl-C, 143 after SIGTERM.
    """
    given = sys.argv[1:] if arguments is None else arguments
    # The option belongs to the program, but people type it after the command.
    debug = "--debug" in given
    try:
        with _sigterm_as_exit():
            app(args=[word for word in given if word != "--debug"], prog_name="cbminer")
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt:
        status = _INTERRUPTED
    except (CbminerError, OSError) as error:
        if debug:
            traceback.print_exc()
        typer.echo(f"cbminer: error: {error}", err=True)
        return getattr(error, "exit_status", 1)
    else:
        return 0
    if status in {_INTERRUPTED, _TERMINATED}:
        typer.echo("cbminer: interrupted; nothing was left half-written; files that were fetched are kept", err=True)
    return status
