"""The plan of a follow-up: stars of a run, a site and nights, and all that follows of these."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path

import numpy as np
from astropy.table import QTable

from cbminer.columns import label_column, values
from cbminer.errors import SettingsError
from cbminer.fits import FITS_FOLDER
from cbminer.followup.clock import bjd_of_utc
from cbminer.followup.curves import StarCurves, largest_difference, velocity_curves
from cbminer.followup.draws import Configuration, ModelPool, StarPlace, model_pool
from cbminer.followup.ephemeris import Ephemerides, ephemerides_of
from cbminer.followup.exposure import least_exposures
from cbminer.followup.orientation import orientation_table
from cbminer.followup.settings import FollowUpSettings
from cbminer.followup.sites import Site
from cbminer.followup.tabulation import StarExpectations, tabulate_stars
from cbminer.followup.velocities import CONFIGURATIONS, StarVelocities, expect_velocities
from cbminer.followup.visibility import observe_nights
from cbminer.followup.windows import StarNights, find_windows, tabulate_nights, watch_stars
from cbminer.judged import choose_stars, read_judged
from cbminer.monitor import Monitor
from cbminer.provenance import Provenance, read_provenance
from cbminer.ranking.fit_results import StarFit
from cbminer.ranking.fit_store import read_fit, settings_digest
from cbminer.resources import grid_path
from cbminer.settings import Settings, settings_from_mapping, settings_over
from cbminer.theory.grid import read_grid
from cbminer.theory.population import Cloud, make_population
from cbminer.theory.population_settings import PopulationSettings

__all__ = ["FollowUpPlan", "follow_up_settings", "plan_run", "refuse_simulated"]

_CLOUDS: tuple[Cloud, Cloud] = ("LMC", "SMC")


@dataclass(frozen=True)
class FollowUpPlan:
    """A plan.

    Attributes
    ----------
    run : `~pathlib.Path`
        Folder of the run.
    provenance : Provenance
        What the run says of itself.
    site : Site
        Where.
    settings : Settings
        All settings; those of follow-up under `follow_up`.
    ephemerides : Ephemerides
        Ephemerides of the stars.
    stars, windows, nights : `~astropy.table.QTable`
        Tables of stars, windows and nights.
    watched : StarNights
        Stars over the nights.
    velocities : list of mapping of {"contact", "near_contact"} to ExpectedVelocities
        What is expected of each star.
    curves : list of dict of {"contact", "near_contact"} to StarCurves
        Velocity curves of each star.
    fitted : int
        Stars whose fits were used.
    notes : list of str
        Assumptions that the reader must know.
    """

    run: Path
    provenance: Provenance
    site: Site
    settings: Settings
    ephemerides: Ephemerides
    stars: QTable
    windows: QTable
    nights: QTable
    watched: StarNights
    velocities: list[StarVelocities]
    curves: list[dict[Configuration, StarCurves]]
    fitted: int
    notes: list[str]

    @property
    def simulated(self) -> bool:
        """Whether the stars are simulated."""
        return self.provenance.survey == "mock"


def follow_up_settings(run: Path, *, given: Path | None = None) -> Settings:
    """Take the settings of the run, and a file over them.

    Parameters
    ----------
    run : `~pathlib.Path`
        Folder of the run.
    given : `~pathlib.Path`, optional
        Settings file.

    Returns
    -------
    Settings
        The settings.

    Raises
    ------
    SettingsError
        If the file is wrong.
    """
    recorded = settings_from_mapping(read_provenance(run).settings)
    return recorded if given is None else settings_over(recorded, given)


def refuse_simulated(run: Path) -> None:
    """Refuse target lists of simulated stars, which no telescope should look for.

    Parameters
    ----------
    run : `~pathlib.Path`
        Folder of the run.

    Raises
    ------
    SettingsError
        If its stars are simulated.
    """
    if read_provenance(run).survey == "mock":
        msg = f"the stars of {run} are simulated: leave out --formats, or insist with --even-simulated"
        raise SettingsError(msg)


def plan_run(
    run: Path,
    site: Site,
    first: date,
    n_nights: int,
    *,
    settings: Settings,
    stars: Sequence[str] = (),
    monitor: Monitor | None = None,
) -> FollowUpPlan:
    """Plan the follow-up of stars of a run.

    Parameters
    ----------
    run : `~pathlib.Path`
        Folder of the run.
    site : Site
        Where.
    first : `~datetime.date`
        Local date of the first evening.
    n_nights : int
        Number of nights.
    settings : Settings
        Settings; the seed, and what is under follow_up, ranking.grid, population and fit counts.
    stars : sequence of str, optional
        Stars; the best candidates by default.
    monitor : Monitor, optional
        Told of the progress.

    Returns
    -------
    FollowUpPlan
        The plan.

    Raises
    ------
    UnknownStarError
        If there is no such run or star.
    OutputError
        If the run cannot be read or holds no candidate, and no star is named.
    SettingsError
        If the number of nights is out of its range.
    """
    monitor, chosen = monitor or Monitor(), settings.follow_up
    provenance = read_provenance(run)
    rows = choose_stars(read_judged(run), stars, run=run, best=chosen.best)
    ephemerides = ephemerides_of(rows, settings=chosen.ephemeris)
    with monitor.step("nights", None):
        nights = observe_nights(site, first, n_nights, settings=chosen.observing)
        ra, dec = values(rows, "RAJ2000", "deg"), values(rows, "DEJ2000", "deg")
        watched = watch_stars(ephemerides, nights, ra=ra, dec=dec)
        windows = find_windows(ephemerides, watched, settings=chosen)
    fits = [_kept_fit(run, str(name), settings) for name in ephemerides.id]
    velocities, curves = _velocities(rows, fits, settings, monitor)
    expected = [
        StarExpectations(of_star, largest_difference(lines)) for of_star, lines in zip(velocities, curves, strict=True)
    ]
    exposures = least_exposures(values(rows, "V_mag", "mag"), ephemerides.period, site=site, settings=chosen.exposure)
    middle = float(np.mean(nights.midnight))
    bjd = float(np.median(bjd_of_utc(np.full(len(rows), middle), ephemerides.directions)))
    table = tabulate_stars(rows, ephemerides, expected=expected, exposures=exposures, middle=bjd, settings=chosen)
    return FollowUpPlan(
        run=run,
        provenance=provenance,
        site=site,
        settings=settings,
        ephemerides=ephemerides,
        stars=table,
        windows=windows,
        nights=tabulate_nights(watched, windows),
        watched=watched,
        velocities=velocities,
        curves=curves,
        fitted=sum(fit is not None for fit in fits),
        notes=_notes(chosen, site, float(nights.midnight[-1])),
    )


def _kept_fit(run: Path, star: str, settings: Settings) -> StarFit | None:
    """Fit of a star that was made with these settings, if there is one."""
    digest = settings_digest(settings.fit, seed=settings.seed)
    return read_fit(run / FITS_FOLDER / "kept" / f"{star}.npz", settings=digest)


def _velocities(
    rows: QTable, fits: Sequence[StarFit | None], settings: Settings, monitor: Monitor
) -> tuple[list[StarVelocities], list[dict[Configuration, StarCurves]]]:
    galaxies, names = label_column(rows, "galaxy"), label_column(rows, "id")
    with monitor.step("models", None):
        recipe = settings.population.model_dump_json()
        pools = {cloud: _pools(cloud, settings.ranking.grid, recipe) for cloud in _CLOUDS if cloud in galaxies}
    period = values(rows, "period", "d")
    velocities: list[StarVelocities] = []
    curves = []
    with monitor.step("velocities", len(rows)) as advance:
        for row, place in enumerate(_places(rows)):
            # The name is part of the seed: what is drawn of a star does not depend on the others.
            seed = np.random.SeedSequence([settings.seed, *str(names[row]).encode()])
            found = expect_velocities(
                place, pools[_cloud(galaxies[row])], seed=seed, settings=settings.follow_up.velocities, fit=fits[row]
            )
            velocities.append(found)
            curves.append(velocity_curves(found, period=float(period[row])))
            advance(1)
    return velocities, curves


def _cloud(galaxy: str) -> Cloud:
    return "SMC" if galaxy == "SMC" else "LMC"


@lru_cache(maxsize=2)
def _pools(cloud: Cloud, given: str | None, recipe: str) -> dict[Configuration, ModelPool]:
    folder = Path(given).expanduser() if given else grid_path(f"roche-sse/{cloud.lower()}/runs.parquet").parent
    settings = PopulationSettings.model_validate_json(recipe)
    population = make_population(read_grid(folder), cloud, settings=settings)
    return {configuration: model_pool(population, configuration) for configuration in CONFIGURATIONS}


def _places(rows: QTable) -> list[StarPlace]:
    period = values(rows, "period", "d")
    with np.errstate(invalid="ignore", divide="ignore"):
        log_period = np.where(period > 0, np.log10(period), np.nan)
    columns = [values(rows, name, "mag") for name in ("M_V", "VI0", "e_M_V", "e_VI0")]
    covariance = np.nan_to_num(values(rows, "cov_M_V_VI0", "mag2"))
    depths = [values(rows, name, "mag") for name in ("depth1", "e_depth1")]
    numbers = np.column_stack([log_period, *columns, covariance, *depths])
    return [StarPlace(*(float(number) for number in row)) for row in numbers]


def _notes(settings: FollowUpSettings, site: Site, end: float) -> list[str]:
    scale = settings.ephemeris.time_scale.upper()
    exposure = settings.exposure
    notes = [
        f"heliocentric dates of the survey are taken to be {scale}",
        f"fitted errors of epochs and periods are multiplied by {settings.ephemeris.error_factor:g}",
        "times of windows are UTC at the site; barycentric dates are of the centre of the Earth, within 21 ms",
        orientation_table().statement(end),
        "airmass is the secant of the true zenith distance, without refraction",
        "masses are those of models near the star in period, magnitude and colour, not measured",
        "which star is behind at phase 0 is not known of equal minima: K1 and K2 may belong to either side of a line",
    ]
    notes.append(
        f"exposures hold photon noise alone, with an efficiency of {exposure.efficiency:g} and a resolving power of "
        f"{exposure.resolving_power:g} that are assumed unless set: ask the calculator of your instrument"
    )
    if site.name == "salt":
        notes.append("SALT's altitudes of 47 to 59 deg are kept; limits of single tracks are not")
    if site.diameter is None and exposure.diameter is None:
        notes.append("no exposures: the mirror of this site is not known; set follow_up.exposure.diameter")
    return notes
