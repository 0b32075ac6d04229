"""What ``cbminer complete`` does: a finished run is opened again, and binaries are injected into its survey."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from astropy.table import QTable, vstack

from cbminer.columns import label_column
from cbminer.completeness.injection import GENERATOR_VERSION, inject
from cbminer.completeness.survey_field import Hosts, InjectionField, open_field
from cbminer.completeness.systems import SystemLaws
from cbminer.errors import ArchiveError, SettingsError
from cbminer.galaxies import Galaxy
from cbminer.monitor import Monitor
from cbminer.provenance import PROVENANCE_FILE
from cbminer.reopening import ReopenedRun, RunContext, judge_new_stars, run_contexts
from cbminer.resources import grid_path
from cbminer.settings import Settings, settings_over
from cbminer.theory.grid import read_grid
from cbminer.theory.population import Population, make_population

__all__ = ["InjectedRun", "inject_into_run"]

# Settings that a file may replace: those of what is injected and compared, not those of the selection that is tested.
_REPLACED = ("completeness", "population", "sampling", "library")


@dataclass(frozen=True)
class InjectedRun:
    """A run with the stars that were injected into it.

    Attributes
    ----------
    injected : `~astropy.table.QTable`
        Injected stars, judged.
    observed : `~astropy.table.QTable`
        Judged stars of the run.
    populations : dict of str to Population
        Populations by Cloud, those that the odds of the run rest on.
    laws : dict of str to SystemLaws
        What the binaries were drawn from, by Cloud.
    settings : Settings
        Settings of the run, with those of the injection.
    seed : int
        Seed of everything random.
    kept : `~pathlib.Path`
        Folder of the finished chunks; to be removed when the result is written.
    notes : list of str
        Clouds that were left out, and why.
    """

    injected: QTable
    observed: QTable
    populations: dict[str, Population]
    laws: dict[str, SystemLaws]
    settings: Settings
    seed: int
    kept: Path
    notes: list[str]

    def forget_chunks(self) -> None:
        """Remove the finished chunks, which the result holds."""
        shutil.rmtree(self.kept, ignore_errors=True)


def inject_into_run(
    run: Path,
    *,
    cache: Path,
    given: Path | None = None,
    n: int | None = None,
    seed: int | None = None,
    jobs: int = 1,
    monitor: Monitor | None = None,
) -> InjectedRun:
    """Inject binaries into the survey of a run and pass them through its selection.

    Parameters
    ----------
    run : `~pathlib.Path`
        Output folder of the run.
    cache : `~pathlib.Path`
        Folder of fetched files; finished chunks are kept there until the whole is written.
    given : `~pathlib.Path`, optional
        Settings file over the settings of the run, of which completeness, population, sampling and library count. The
        selection itself stays that of the run.
    n, seed : int, optional
        Number of binaries and seed, those of the settings by default.
    jobs : int, optional
        Threads. They change nothing.
    monitor : Monitor, optional
        Told of the progress.

    Returns
    -------
    InjectedRun
        The injected stars and what is needed to tell of them.

    Raises
    ------
    CbminerError
        If the run or its archive cannot be opened, its light curves are too few, or the priors have no binary of the
        magnitudes of the selection.
    """
    told = monitor or Monitor()
    opened = run_contexts(run, cache=cache, monitor=told)
    settings = opened.settings
    if given is not None:
        over = settings_over(settings, given)
        settings = settings.model_copy(update={name: getattr(over, name) for name in _REPLACED})
    if n is not None:
        settings = settings.model_copy(update={"completeness": settings.completeness.model_copy(update={"n": n})})
    chosen = settings.seed if seed is None else seed
    if "MW" in opened.clouds:
        msg = f"{run} is of the Milky Way: completeness is that of a Cloud, whose stars have a distance in common"
        raise SettingsError(msg)
    fields, notes = _open_clouds(opened, settings, chosen, told)
    kept = cache / "completeness" / _recipe(run, settings, chosen)
    with told.step("injecting binaries", settings.completeness.n) as advance:
        injected = inject(fields, settings.completeness.n, seed=chosen, kept=kept, jobs=jobs, advance=advance)
    observed = vstack([opened.clouds[field.galaxy].stars for field in fields], metadata_conflicts="silent")
    return InjectedRun(
        injected,
        observed,
        {field.galaxy: _population(field.galaxy, settings) for field in fields},
        {field.galaxy: field.laws for field in fields},
        settings,
        chosen,
        kept,
        notes,
    )


def _open_clouds(
    opened: ReopenedRun, settings: Settings, seed: int, monitor: Monitor
) -> tuple[list[InjectionField], list[str]]:
    """Open every Cloud that has light curves, and say why another is left out."""
    fields, notes = [], []
    refused: ArchiveError | None = None
    for context in opened.clouds.values():
        try:
            fields.append(_open_cloud(context, opened, settings, seed, monitor))
        except ArchiveError as error:
            refused = error
            notes.append(str(error))
    if refused is not None and not fields:
        raise refused
    return fields, notes


def _open_cloud(
    context: RunContext, opened: ReopenedRun, settings: Settings, seed: int, monitor: Monitor
) -> InjectionField:
    hosts = set(Hosts.of(context.stars).star.tolist())
    names = [star for star in label_column(context.stars, "id").tolist() if star in hosts]
    store = opened.archive.light_curves(context.galaxy, names, monitor=monitor)
    with monitor.step(f"noise of the {context.galaxy} light curves", None):
        return open_field(
            context.galaxy,
            context.stars,
            store,
            settings=settings,
            judge=partial(judge_new_stars, context=context),
            seed=seed,
            dust=context.dust,
            population=_population(context.galaxy, settings),
        )


def _population(galaxy: Galaxy, settings: Settings) -> Population:
    """Make the population of a Cloud from the models that the odds rest on."""
    given = settings.ranking.grid
    folder = Path(given).expanduser() if given else grid_path(f"roche-sse/{galaxy.lower()}/runs.parquet").parent
    return make_population(read_grid(folder), galaxy, settings=settings.population)


def _recipe(run: Path, settings: Settings, seed: int) -> str:
    """Name what decides about the stars of a chunk; the number of all stars is no part of it."""
    decides = settings.model_dump(mode="json")
    decides["completeness"].pop("n")
    text = json.dumps([GENERATOR_VERSION, seed, decides], sort_keys=True)
    return hashlib.sha256((run / PROVENANCE_FILE).read_bytes() + text.encode()).hexdigest()[:16]
