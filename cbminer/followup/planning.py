"""The plan of a follow-up: stars of a run, a site and nights, and all that follows of these."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path

import numpy as np
from astropy.table import QTable

from cbminer.columns import FloatArray, label_column, values
from cbminer.errors import OutputError, SettingsError
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
from cbminer.galaxies import CLOUDS, GALAXIES, Galaxy
from cbminer.judged import choose_stars, read_judged
from cbminer.monitor import Monitor
from cbminer.provenance import Provenance, read_provenance
from cbminer.ranking.fit_results import StarFit
from cbminer.ranking.fit_store import read_fit, settings_digest
from cbminer.resources import grid_path
from cbminer.settings import Settings, settings_from_mapping, settings_over
from cbminer.theory.grid import read_grid
from cbminer.theory.population import make_population
from cbminer.theory.population_settings import PopulationSettings

__all__ = ["FollowUpPlan", "follow_up_settings", "plan_run", "refuse_simulated"]

# Per year: that of mass exchange on a nuclear time scale of 10 Myr.
_EXAMPLE_CHANGE = 1e-7


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
        Settings; the seed, and what is under follow_up, ranking.grid, population and fit counts. Fits are taken that
        were made with the seed and [fit] of the run, or with these.
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
        If the run cannot be read or holds no candidate, and no star is named, or a star is of neither Cloud.
    SettingsError
        If the number of nights is out of its range.
    """
    monitor, chosen = monitor or Monitor(), settings.follow_up
    provenance = read_provenance(run)
    digests = _fit_digests(settings_from_mapping(provenance.settings), settings)
    rows = choose_stars(read_judged(run), stars, run=run, best=chosen.best)
    ephemerides = ephemerides_of(rows, settings=chosen.ephemeris)
    exposures = least_exposures(values(rows, "V_mag", "mag"), ephemerides.period, site=site, settings=chosen.exposure)
    with monitor.step("nights", None):
        nights = observe_nights(site, first, n_nights, settings=chosen.observing)
        ra, dec = values(rows, "RAJ2000", "deg"), values(rows, "DEJ2000", "deg")
        watched = watch_stars(ephemerides, nights, ra=ra, dec=dec)
        windows = find_windows(ephemerides, watched, settings=chosen, exposure=exposures.seconds)
    fits = [_kept_fit(run, str(name), digests) for name in ephemerides.id]
    velocities, curves = _velocities(rows, fits, settings, monitor)
    expected = _expectations(run, rows, velocities, curves, fits)
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
        notes=_notes(chosen, site, nights.midnight, ephemerides),
    )


def _fit_digests(of_run: Settings, given: Settings) -> list[str]:
    """Digests of fits that are taken: with the seed and [fit] of the run, or with those that are given now."""
    # A seed given here is that of the draws; fits were mostly made before with that of the run.
    recipes = ((of_run.fit, of_run.seed), (given.fit, of_run.seed), (given.fit, given.seed))
    return list(dict.fromkeys(settings_digest(fit, seed=seed) for fit, seed in recipes))


def _fit_place(run: Path, star: str) -> Path:
    return run / FITS_FOLDER / "kept" / f"{star}.npz"


def _kept_fit(run: Path, star: str, digests: Sequence[str]) -> StarFit | None:
    """Fit of a star that was made with one of some settings, if there is one."""
    found = (read_fit(_fit_place(run, star), settings=digest) for digest in digests)
    return next((fit for fit in found if fit is not None), None)


def _expectations(
    run: Path,
    rows: QTable,
    velocities: Sequence[StarVelocities],
    curves: Sequence[dict[Configuration, StarCurves]],
    fits: Sequence[StarFit | None],
) -> list[StarExpectations]:
    of_stars = zip(label_column(rows, "id"), _places(rows), velocities, curves, fits, strict=True)
    return [
        StarExpectations(
            expected,
            largest_difference(lines),
            placed=place.known,
            fit_refused=fit is None and _fit_place(run, str(name)).exists(),
        )
        for name, place, expected, lines, fit in of_stars
    ]


def _velocities(
    rows: QTable, fits: Sequence[StarFit | None], settings: Settings, monitor: Monitor
) -> tuple[list[StarVelocities], list[dict[Configuration, StarCurves]]]:
    galaxies, names = label_column(rows, "galaxy"), label_column(rows, "id")
    strange = sorted(set(galaxies.tolist()) - set(GALAXIES))
    if strange:
        msg = (
            f"only {', '.join(GALAXIES)} are known, and there are stars of {', '.join(strange)} in the run: "
            "name others with --star"
        )
        raise OutputError(msg)
    with monitor.step("models", None):
        recipe = settings.population.model_dump_json()
        pools = {str(name): _pools(name, settings.ranking.grid, recipe) for name in GALAXIES if name in galaxies}
    period = values(rows, "period", "d")
    velocities: list[StarVelocities] = []
    curves = []
    with monitor.step("velocities", len(rows)) as advance:
        for row, place in enumerate(_places(rows)):
            # The name is part of the seed: what is drawn of a star does not depend on the others.
            seed = np.random.SeedSequence([settings.seed, *str(names[row]).encode()])
            found = expect_velocities(
                place, pools[str(galaxies[row])], seed=seed, settings=settings.follow_up.velocities, fit=fits[row]
            )
            velocities.append(found)
            curves.append(velocity_curves(found, period=float(period[row])))
            advance(1)
    return velocities, curves


@lru_cache(maxsize=2)
def _pools(galaxy: Galaxy, given: str | None, recipe: str) -> dict[Configuration, ModelPool]:
    """Models of a galaxy; of the Milky Way there are none without a grid of the user."""
    if given is None and galaxy not in CLOUDS:
        return {}
    folder = Path(given).expanduser() if given else grid_path(f"roche-sse/{galaxy.lower()}/runs.parquet").parent
    settings = PopulationSettings.model_validate_json(recipe)
    population = make_population(read_grid(folder), galaxy, settings=settings)
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


def _notes(settings: FollowUpSettings, site: Site, midnight: FloatArray, ephemerides: Ephemerides) -> list[str]:
    scale = settings.ephemeris.time_scale.upper()
    exposure, epochs = settings.exposure, ephemerides.T0_BJD[ephemerides.known]
    days = float(midnight[-1] - np.median(epochs)) if len(epochs) else np.nan
    notes = [
        f"heliocentric dates of the survey are taken to be {scale}",
        f"fitted errors of epochs and periods are multiplied by {settings.ephemeris.error_factor:g}",
        _on_periods(settings.ephemeris.assumed_relative_period_change, days),
        "times of windows are UTC at the site; barycentric dates are of the centre of the Earth, within 21 ms",
        orientation_table().statement(float(midnight[0]), float(midnight[-1])),
        "airmass is the secant of the true zenith distance, without refraction",
        "masses are those of models near the star in period, magnitude and colour, not measured",
    ]
    notes.append(
        "without a fit the more massive star is taken to be behind at phase 0, which is not known of equal minima: K1 "
        "and K2 may belong to either side of a line; with a fit see p_less_massive_behind"
    )
    notes.append(
        f"exposures hold photon noise alone, with an efficiency of {exposure.efficiency:g} and a resolving power of "
        f"{exposure.resolving_power:g} that are assumed unless set: ask the calculator of your instrument"
    )
    if site.name == "salt":
        notes.append("SALT's altitudes of 47 to 59 deg are kept; limits of single tracks are not")
    if site.diameter is None and exposure.diameter is None:
        notes.append("no exposures: the mirror of this site is not known; set follow_up.exposure.diameter")
    return notes


def _on_periods(change: float, days: float) -> str:
    """Say what is assumed of changes of the period over the days since the epoch."""
    if not np.isfinite(days):
        return "periods are taken to be constant"
    years = days / 365.25
    shift = 0.5 * (change or _EXAMPLE_CHANGE) * years * days
    if change:
        return (
            f"a relative change of the period by {change:g} a year is assumed to go unnoticed: over the {years:.0f} "
            f"years since the epochs it adds {shift:.4f} d to the error of minima, in squares"
        )
    return (
        f"periods are taken to be constant: a relative change by {_EXAMPLE_CHANGE:g} a year would move minima by "
        f"{shift:.4f} d over the {years:.0f} years since the epochs; see "
        "follow_up.ephemeris.assumed_relative_period_change"
    )
