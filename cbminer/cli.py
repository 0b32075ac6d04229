"""The command line: it parses and prints, and leaves the work to the other modules."""

import os
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import platformdirs
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from cbminer.errors import CbminerError, SettingsError
from cbminer.pipeline import Galaxy, Monitor
from cbminer.settings import Settings, load_settings, settings_to_toml

__all__ = ["app", "main"]

_INTERRUPTED = 130

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


class GalaxyChoice(StrEnum):
    """Clouds that can be asked for."""

    LMC = "LMC"
    SMC = "SMC"
    BOTH = "both"


_CLOUDS: dict[GalaxyChoice, list[Galaxy]] = {
    GalaxyChoice.LMC: ["LMC"],
    GalaxyChoice.SMC: ["SMC"],
    GalaxyChoice.BOTH: ["LMC", "SMC"],
}


class SurveyChoice(StrEnum):
    """Surveys that can be asked for."""

    OGLE = "ogle"
    MOCK = "mock"


class _TerminalMonitor(Monitor):
    """Progress bars on a terminal; nothing elsewhere."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)

    def step(self, description: str, total: int | None) -> AbstractContextManager[Callable[[int], None]]:
        return self._bar(description, total)

    @contextmanager
    def _bar(self, description: str, total: int | None) -> Iterator[Callable[[int], None]]:
        if not self.console.is_terminal:
            yield lambda _done: None
            return
        columns = [SpinnerColumn(), TextColumn("{task.description}")]
        if total is not None:
            columns += [BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(description, total=total)
            yield lambda done: progress.advance(task, done)


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
    galaxy: Annotated[GalaxyChoice, typer.Option(help="The Cloud to mine.", case_sensitive=False)],
    survey: Annotated[
        SurveyChoice, typer.Option(help="Observed stars of OGLE, or a simulated survey.", case_sensitive=False)
    ] = SurveyChoice.OGLE,
    archive: Annotated[
        str | None,
        typer.Option(help="Folder in OGLE's layout, or base URL of a server. Default: OGLE's server."),
    ] = None,
    morph: Annotated[Path | None, typer.Option(help="Table of published morphology parameters c by star.")] = None,
    reddening: Annotated[
        Path | None, typer.Option(help="Map of E(V-I): a table of cells or a FITS image. Default: the mean.")
    ] = None,
    settings: Annotated[Path | None, typer.Option(help="Settings file in TOML.")] = None,
    out: Annotated[Path | None, typer.Option(help="Output folder. Default: cbminer-GALAXY.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder for fetched files and mock surveys.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Threads. Default: one a core.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of everything random.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="End at the first malformed line.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output of an earlier run.")] = False,
) -> None:
    """Select candidate massive contact binaries and write them with figures and provenance."""
    from cbminer.output import check_output_folder, output_folder
    from cbminer.pipeline import open_survey, run_selection
    from cbminer.report.products import write_products
    from cbminer.report.summary import summary_lines

    if survey is SurveyChoice.MOCK and archive is not None:
        msg = "--survey mock makes its own archive: leave out --archive"
        raise typer.BadParameter(msg)
    given = {"archive": archive, "morph": morph, "reddening": reddening, "seed": seed, "strict": strict or None}
    resolved = _with_options(load_settings(settings), given)
    folder = out or Path(_default_folder(galaxy, survey))
    check_output_folder(folder, overwrite=overwrite)
    galaxies = _CLOUDS[galaxy]
    monitor = _TerminalMonitor()
    place = cache or _default_cache()
    opened = open_survey(survey.value, galaxies, settings=resolved, cache=place, monitor=monitor)
    with output_folder(folder, overwrite=overwrite) as temporary:
        selection = run_selection(
            opened,
            galaxies,
            settings=resolved,
            survey=survey.value,
            jobs=jobs or os.cpu_count() or 1,
            monitor=monitor,
        )
        with monitor.step("writing catalogues and figures", None):
            write_products(temporary, selection, command=_command())
    for line in summary_lines(selection):
        typer.echo(line)
    typer.echo(f"written to {folder}")


@app.command()
def explain(
    star: Annotated[str, typer.Argument(help="Identifier of the star.")],
    *,
    run: Annotated[Path | None, typer.Option(help="Output folder of the run. Default: the only one here.")] = None,
) -> None:
    """Say why a star is in or out, with every number that decided."""
    from cbminer.report.explanation import explain_star

    for line in explain_star(run or _only_run(), star):
        typer.echo(line)


@settings_app.command("show")
def show_settings(*, settings: Annotated[Path | None, typer.Option(help="Settings file in TOML.")] = None) -> None:
    """Print the settings that a run would use."""
    typer.echo(settings_to_toml(load_settings(settings)), nl=False)


@settings_app.command("write")
def write_settings(
    path: Annotated[Path, typer.Argument(help="File to write.")],
    *,
    settings: Annotated[Path | None, typer.Option(help="Settings file to start from.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Write all settings with their meaning to a file, to be edited."""
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


def _with_options(settings: Settings, given: dict[str, Any]) -> Settings:
    """Put what the command line says over the settings."""
    survey = {
        key: value for key, value in (("archive", given["archive"]), ("strict", given["strict"])) if value is not None
    }
    update: dict[str, Any] = {"survey": settings.survey.model_copy(update=survey)}
    if given["seed"] is not None:
        update["seed"] = given["seed"]
    if given["morph"] is not None:
        update["morphology_table"] = settings.morphology_table.model_copy(update={"table": str(given["morph"])})
    if given["reddening"] is not None:
        update["reddening"] = settings.reddening.model_copy(update={"map": str(given["reddening"])})
    return settings.model_copy(update=update)


def _default_folder(galaxy: GalaxyChoice, survey: SurveyChoice) -> str:
    suffix = "-mock" if survey is SurveyChoice.MOCK else ""
    return f"cbminer-{galaxy.value.lower()}{suffix}"


def _default_cache() -> Path:
    return platformdirs.user_cache_path("cbminer")


def _only_run() -> Path:
    from cbminer.provenance import PROVENANCE_FILE

    runs = sorted(path.parent for path in Path().glob(f"*/{PROVENANCE_FILE}"))
    if len(runs) == 1:
        return runs[0]
    found = f"found {', '.join(str(run) for run in runs)}" if runs else "found none here"
    msg = f"name the output folder of a run with --run ({found})"
    raise SettingsError(msg)


def _command() -> str:
    return shlex.join(["cbminer", *sys.argv[1:]])


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : list of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        Exit status: 0, 1 for a failed run, 2 for a wrong request, 130 after Ctrl-C.
    """
    given = sys.argv[1:] if arguments is None else arguments
    # The option belongs to the program, but people type it after the command.
    debug = "--debug" in given
    try:
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
    if status == _INTERRUPTED:
        typer.echo("cbminer: interrupted; nothing was left half-written", err=True)
    return status
