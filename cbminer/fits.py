"""Fits of the stars of a run: its archive is opened again, and each star is fitted once, whenever a call was ended."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from astropy.table import QTable
from threadpoolctl import threadpool_limits

from cbminer.columns import label_column, values
from cbminer.errors import InputFormatError
from cbminer.galaxies import GALAXIES
from cbminer.judged import choose_stars, read_judged
from cbminer.lightcurves.cleaning import CleaningSettings, clean
from cbminer.lightcurves.folding import fold
from cbminer.monitor import Monitor
from cbminer.pipeline import open_survey
from cbminer.provenance import Provenance, read_provenance
from cbminer.ranking.fit_data import BANDS, FoldedPoints, StarCurves, prepare_curves
from cbminer.ranking.fit_results import StarFit
from cbminer.ranking.fit_sampling import load_extra
from cbminer.ranking.fit_settings import FitSettings
from cbminer.ranking.fit_store import data_digest, read_fit, settings_digest, write_fit
from cbminer.ranking.fit_tables import FitTables, count_curves, load_tables
from cbminer.ranking.fitting import TeffEstimate, estimate_teff, fit_star
from cbminer.settings import Settings, settings_from_mapping
from cbminer.survey.archive import is_url
from cbminer.survey.store import LightCurveStore

__all__ = ["FITS_FOLDER", "RunFits", "fit_run"]

FITS_FOLDER = "fits"
_KEPT_FOLDER = "kept"


@dataclass(frozen=True)
class RunFits:
    """Fits of stars of a run.

    Attributes
    ----------
    run : `~pathlib.Path`
        Output folder of the run.
    survey : str
        Its survey; "mock" for simulated stars.
    settings : FitSettings
        Settings of the fits.
    stars : `~astropy.table.QTable`
        Rows of the catalogue of all stars whose fits are kept with these settings, the best first.
    fits : list of StarFit
        Their fits, in the same order.
    fitted, reused : int
        Stars that were fitted now, and stars of this call whose fit was there already.
    left_out : dict of str to str
        Stars that were not fitted, and why.
    """

    run: Path
    survey: str
    settings: FitSettings
    stars: QTable
    fits: list[StarFit]
    fitted: int
    reused: int
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Folder of the products."""
        return self.run / FITS_FOLDER


@dataclass(frozen=True)
class _Task:
    curves: StarCurves
    teff_1: TeffEstimate
    data: str


def fit_run(
    run: Path,
    stars: Sequence[str] = (),
    *,
    settings: FitSettings,
    cache: Path,
    seed: int | None = None,
    jobs: int = 1,
    overwrite: bool = False,
    monitor: Monitor | None = None,
) -> RunFits:
    """Fit both models to stars of a run.

    Parameters
    ----------
    run : `~pathlib.Path`
        Output folder of the run.
    stars : sequence of str, optional
        Stars to fit; the best of the run by default, as many as the settings say.
    settings : FitSettings
        Settings of the fits.
    cache : `~pathlib.Path`
        Folder of the cache: archives, and the tables of light curves of the models.
    seed : int, optional
        Seed; that of the run by default.
    jobs : int, optional
        Processes; they change nothing in the fits.
    overwrite : bool, optional
        Whether stars are fitted anew whose fits are kept.
    monitor : Monitor, optional
        Told of the progress.

    Returns
    -------
    RunFits
        The fits. Each is kept in the folder of the run as soon as it is there.

    Raises
    ------
    UnknownStarError
        If there is no such run, or a star is not in it.
    OutputError
        If the run holds no ranked star, and none is named.
    SettingsError
        If the sampler is not installed.
    """
    monitor = monitor or Monitor()
    load_extra("nautilus")
    provenance = read_provenance(run)
    recorded = settings_from_mapping(provenance.settings)
    judged = read_judged(run)
    rows = choose_stars(judged, stars, run=run, best=settings.best)
    drawn = recorded.seed if seed is None else seed
    tasks, left_out = _prepare(rows, provenance, recorded, settings, cache, monitor)
    digest = settings_digest(settings, seed=drawn)
    open_tasks = [task for task in tasks if overwrite or _kept(run, task, digest) is None]
    if open_tasks:
        _load_tables(settings, cache, jobs, monitor)
        _fit(open_tasks, settings, cache, (drawn, digest), run, jobs, monitor)
    table, fits = _collect(run, judged, digest)
    return RunFits(
        run, provenance.survey, settings, table, fits, len(open_tasks), len(tasks) - len(open_tasks), left_out
    )


def _prepare(
    rows: QTable, provenance: Provenance, recorded: Settings, settings: FitSettings, cache: Path, monitor: Monitor
) -> tuple[list[_Task], dict[str, str]]:
    """Read, clean, fold and bin the light curves of stars, in their order."""
    stores = _stores(rows, provenance, recorded, cache, monitor)
    tasks, left_out = [], {}
    for row in range(len(rows)):
        one = rows[row : row + 1]
        star = str(one["id"][0])
        try:
            points = _points(stores[str(one["galaxy"][0])], one, recorded.cleaning)
            curves = prepare_curves(star, points, settings=settings.data)
        except InputFormatError as error:
            left_out[star] = str(error)
            continue
        colour, e_colour = (float(values(one, name, "mag")[0]) for name in ("VI0", "e_VI0"))
        teff = estimate_teff(colour, e_colour, priors=settings.priors)
        tasks.append(_Task(curves, teff, data_digest(curves, teff_1=teff)))
    return tasks, left_out


def _stores(
    rows: QTable, provenance: Provenance, recorded: Settings, cache: Path, monitor: Monitor
) -> dict[str, LightCurveStore]:
    """Light curves of both bands, out of the archive that the run was made of."""
    wanted = label_column(rows, "galaxy")
    # A mock survey of a run's own is made again where its cache is gone; one that the user gives is a folder.
    own_mock = provenance.survey == "mock" and is_url(recorded.survey.archive)
    archive = open_survey(
        "mock" if own_mock else "ogle",
        [galaxy for galaxy in GALAXIES if galaxy in provenance.galaxies],
        settings=recorded,
        cache=cache,
        monitor=monitor,
    )
    return {
        galaxy: archive.light_curves(
            galaxy, label_column(rows, "id")[wanted == galaxy].tolist(), bands=BANDS, monitor=monitor
        )
        for galaxy in GALAXIES
        if galaxy in wanted
    }


def _points(store: LightCurveStore, row: QTable, cleaning: CleaningSettings) -> dict[str, FoldedPoints]:
    """Points of a star as the pipeline cleans them, folded on the adopted period with the minimum at phase 0."""
    star = str(row["id"][0])
    period, epoch = values(row, "period", "d"), values(row, "T0_fit", "d")
    if not (np.isfinite(period[0]) and np.isfinite(epoch[0])):
        msg = f"{star}: no minimum is known (T0_fit), since its light curve has no shape"
        raise InputFormatError(msg)
    points = {}
    for band in BANDS:
        stored = store.read([star], band=band)
        if not stored.found[0] or 0 in stored.unreadable:
            continue
        phase = fold(stored.curves.time, stored.curves.offsets, period, epoch)
        cleaned = clean(stored.curves, phase, settings=cleaning)
        kept = cleaned.curves
        points[str(band)] = FoldedPoints(cleaned.phase, kept.mag.astype(float), kept.mag_err.astype(float))
    if "I" not in points:
        msg = f"{star}: no light curve in I"
        raise InputFormatError(msg)
    return points


def _place(run: Path, star: str) -> Path:
    return run / FITS_FOLDER / _KEPT_FOLDER / f"{star}.npz"


def _kept(run: Path, task: _Task, digest: str) -> StarFit | None:
    return read_fit(_place(run, task.curves.star), settings=digest, data=task.data)


def _load_tables(settings: FitSettings, cache: Path, jobs: int, monitor: Monitor) -> None:
    """Have the tables in the cache before processes read them there."""
    with monitor.step("light curves of the models, once", count_curves(settings)) as advance:
        load_tables(settings, cache=cache, threads=jobs, advance=advance)


@lru_cache(maxsize=1)
def _tables(settings: str, cache: Path) -> FitTables:
    return load_tables(FitSettings.model_validate_json(settings), cache=cache)


def _fit_task(task: _Task, settings: str, cache: Path, seed: int) -> StarFit:
    """Fit a star, in whatever process."""
    with threadpool_limits(limits=1):
        return fit_star(
            task.curves,
            tables=_tables(settings, cache),
            teff_1=task.teff_1,
            seed=seed,
            settings=FitSettings.model_validate_json(settings),
        )


def _fit(
    tasks: Sequence[_Task],
    settings: FitSettings,
    cache: Path,
    recipe: tuple[int, str],
    run: Path,
    jobs: int,
    monitor: Monitor,
) -> None:
    """Fit stars and keep every fit as soon as it is there."""
    seed, digest = recipe
    text = settings.model_dump_json()

    def keep(task: _Task, fit: StarFit) -> None:
        write_fit(_place(run, fit.star), fit, settings=digest, data=task.data)
        advance(1)

    advance: Callable[[int], None]
    with monitor.step("fitting", len(tasks)) as advance:
        if jobs <= 1 or len(tasks) == 1:
            for task in tasks:
                keep(task, _fit_task(task, text, cache, seed))
            return
        for task, fit in _in_processes(tasks, text, cache, seed, min(jobs, len(tasks))):
            keep(task, fit)


def _in_processes(
    tasks: Sequence[_Task], settings: str, cache: Path, seed: int, jobs: int
) -> Iterator[tuple[_Task, StarFit]]:
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(_fit_task, task, settings, cache, seed): task for task in tasks}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _collect(run: Path, judged: QTable, digest: str) -> tuple[QTable, list[StarFit]]:
    """All fits that are kept with these settings, ranked stars first and in the order of their ranks."""
    names = label_column(judged, "id")
    rank = values(judged, "rank")
    order = np.lexsort((names, np.where(rank > 0, rank, np.inf)))
    places, fits = [], []
    for row in order:
        fit = read_fit(_place(run, str(names[row])), settings=digest)
        if fit is not None:
            places.append(int(row))
            fits.append(fit)
    return judged[places], fits
