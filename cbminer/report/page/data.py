"""All that a report shows: gathered from the folder of a run and, as far as they are at hand, from its light curves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from astropy.table import QTable

from cbminer.catalogue.schema import conform
from cbminer.columns import label_column
from cbminer.errors import CbminerError
from cbminer.galaxies import GALAXIES
from cbminer.judged import JudgedBlocks, judged_blocks
from cbminer.monitor import Monitor
from cbminer.pipeline import open_survey
from cbminer.provenance import Provenance, read_provenance
from cbminer.ranking.evidence import PopulationDensities, population_densities
from cbminer.ranking.fit_data import BANDS
from cbminer.report.page.choice import choose_stars_shown
from cbminer.report.page.counts import read_cutflow
from cbminer.report.page.curves import ShownCurves, absent_curves, shown_curves
from cbminer.report.page.diagrams import CloudDiagrams, cloud_diagrams
from cbminer.report.page.overview import Fact, FlagCount, flag_counts, run_facts, summary_of_run
from cbminer.selection.conditions import Verdict
from cbminer.selection.plc import PLCRelation
from cbminer.settings import Settings, settings_from_mapping
from cbminer.survey.archive import Archive, is_url, open_archive
from cbminer.survey.store import LightCurveStore
from cbminer.theory.density import PopulationDensity

__all__ = [
    "CutVerdict",
    "Populations",
    "ReportData",
    "gather_report",
    "run_populations",
    "run_stores",
    "shown_densities",
]

Populations = Mapping[str, Mapping[str, PopulationDensity]]
_KINDS: tuple[Literal["contact", "near_contact"], ...] = ("contact", "near_contact")


@dataclass(frozen=True)
class CutVerdict:
    """What a cut says of the stars of a report."""

    name: str
    on_undecided: str
    verdict: Verdict


@dataclass(frozen=True)
class ReportData:
    """Contents of a report.

    Attributes
    ----------
    survey : str
        Survey; "mock" for simulated stars.
    galaxies : tuple of str
        Clouds.
    title, what : str
        Title of the report, and what the listed stars are.
    facts : tuple of Fact
        What ran.
    summary, notes : tuple of str
        What came of it, and what a reader should know of the report itself.
    flag_counts : tuple of FlagCount
        Flags of all judged stars.
    cutflow : `~astropy.table.QTable`
        Counts of every cut by Cloud; without rows if the run keeps none.
    stars : `~astropy.table.QTable`
        Judged stars that are shown: first those listed, in their order, then the others of the diagrams.
    n_listed : int
        Stars of the list.
    verdicts : tuple of CutVerdict
        Every cut applied to `stars`.
    curves : dict of str to ShownCurves
        Light curves of listed stars.
    absent : dict of str to str
        Why a listed star has no light curve here, in words.
    diagrams : dict of str to CloudDiagrams
        By Cloud.
    settings : Settings
        Settings of the run.
    versions : dict of str to str
        Versions of the packages that ran.
    """

    survey: str
    galaxies: tuple[str, ...]
    title: str
    what: str
    facts: tuple[Fact, ...]
    summary: tuple[str, ...]
    flag_counts: tuple[FlagCount, ...]
    cutflow: QTable
    stars: QTable
    n_listed: int
    verdicts: tuple[CutVerdict, ...]
    curves: dict[str, ShownCurves]
    absent: dict[str, str]
    diagrams: dict[str, CloudDiagrams]
    settings: Settings
    versions: dict[str, str]
    notes: tuple[str, ...] = field(default=())

    @property
    def is_simulated(self) -> bool:
        """Whether the stars are simulated."""
        return self.survey == "mock"

    @property
    def listed(self) -> QTable:
        """Stars of the list."""
        return self.stars[: self.n_listed]

    @property
    def shared_flags(self) -> int:
        """Bits of the flags that every star of the list has, if it has more than one."""
        flags = np.asarray(self.listed["flags"], dtype=np.int64)
        return int(np.bitwise_and.reduce(flags)) if len(flags) > 1 else 0


def gather_report(
    run: Path,
    *,
    stars: Sequence[str] = (),
    most: int | None = None,
    stores: Mapping[str, LightCurveStore] | None = None,
    populations: Populations | None = None,
    cache: Path | None = None,
    monitor: Monitor | None = None,
) -> ReportData:
    """Gather a report from the folder of a run.

    Parameters
    ----------
    run : `~pathlib.Path`
        Folder of the run.
    stars : sequence of str, optional
        Stars to list, in this order; the candidates by default.
    most : int, optional
        Candidates to list, the first by rank; `table_max` of the settings by default.
    stores : mapping of str to LightCurveStore, optional
        Light curves by Cloud; found by the provenance of the run by default, without asking a server.
    populations : mapping, optional
        Densities of contact and near-contact pairs by Cloud; made again from the settings by default.
    cache : `~pathlib.Path`, optional
        Folder of the cache, for `stores`.
    monitor : Monitor, optional
        Told of the progress.

    Returns
    -------
    ReportData
        The contents.

    Raises
    ------
    UnknownStarError
        If there is no such run, or a star is not in it.
    OutputError
        If the folder is not the output of a run of this version.
    """
    monitor = monitor or Monitor()
    provenance = read_provenance(run)
    settings = settings_from_mapping(provenance.settings)
    judged = judged_blocks(run)
    shown = choose_stars_shown(judged, stars, most, run=run, settings=settings)
    chosen, n_listed = conform(judged.rows(shown.rows)), shown.n_listed
    listed = chosen[:n_listed]
    notes: list[str] = []
    if stores is None:
        stores, notes = run_stores(provenance, settings, listed, cache=cache, monitor=monitor)
    if populations is None:
        with monitor.step("population of contact binaries", None):
            populations = run_populations(provenance, settings)
    n_drawn = n_listed if stars or most is not None else min(n_listed, settings.report.sheets_max)
    with monitor.step("folding light curves", None):
        curves = shown_curves(listed[:n_drawn], stores, settings=settings, run=run)
    notes += _notes(n_drawn, curves, provenance, listed=n_listed, has_stores=bool(stores))
    if not stars and most is None and shown.n_candidates > n_listed:
        notes.append(
            f"The {n_listed:,} first of {shown.n_candidates:,} candidates by rank are listed (table_max under "
            f"[report]); the other {shown.n_candidates - n_listed:,} are in candidates.ecsv, .fits, .vot and .mrt, and "
            "cbminer report --stars lists more."
        )
    return ReportData(
        survey=provenance.survey,
        galaxies=tuple(provenance.galaxies),
        title=_title(provenance),
        what="Chosen stars" if stars else "Candidates",
        facts=tuple(run_facts(provenance)),
        summary=tuple(summary_of_run(judged, provenance)),
        flag_counts=tuple(flag_counts(judged)),
        cutflow=read_cutflow(run),
        stars=chosen,
        n_listed=n_listed,
        verdicts=tuple(CutVerdict(cut.name, cut.on_undecided, cut.apply(chosen)) for cut in settings.selection.cuts),
        curves=curves,
        absent=absent_curves(listed, curves, n_drawn=n_drawn),
        diagrams=_diagrams(judged, chosen, provenance, settings, populations),
        settings=settings,
        versions=provenance.versions,
        notes=tuple(notes),
    )


def _title(provenance: Provenance) -> str:
    clouds = " and ".join(provenance.galaxies)
    source = "a simulated survey" if provenance.survey == "mock" else provenance.survey.upper()
    return f"Massive contact binaries of the {clouds}, {source}"


def _notes(
    n_drawn: int,
    curves: Mapping[str, ShownCurves],
    provenance: Provenance,
    *,
    listed: int,
    has_stores: bool,
) -> list[str]:
    notes = []
    if listed > n_drawn:
        notes.append(
            f"Light curves are shown of the first {n_drawn} of {listed} stars (sheets_max under [report]); "
            "cbminer report --stars shows more."
        )
    n_without = n_drawn - len(curves)
    if has_stores and n_without:
        notes.append(f"{n_without} of {n_drawn} stars have no light curve in I at hand, or no period to fold it with.")
    if curves and not any("V" in item.points for item in curves.values()):
        fetched = "; cbminer fetch gets them from the server, and cbminer report then shows them"
        notes.append(f"No light curve in V is at hand{fetched if is_url(provenance.archive) else ''}.")
    return notes


def run_stores(
    provenance: Provenance, settings: Settings, stars: QTable, *, cache: Path | None, monitor: Monitor
) -> tuple[dict[str, LightCurveStore], list[str]]:
    """Open the light curves of a finished run again, without asking a server.

    Parameters
    ----------
    provenance : Provenance
        What ran.
    settings : Settings
        Its settings.
    stars : `~astropy.table.QTable`
        Stars whose light curves are wanted.
    cache : `~pathlib.Path` or None
        Folder of the cache.
    monitor : Monitor
        Told of the progress.

    Returns
    -------
    stores : dict of str to LightCurveStore
        By Cloud; empty if the light curves are no longer at hand.
    notes : list of str
        Why there are none.
    """
    gone = ["Light curves of the run are no longer at hand, so none are shown."]
    if len(stars) == 0:
        return {}, []
    wanted = label_column(stars, "galaxy")
    try:
        archive = None if cache is None else _archive_again(provenance, settings, cache, monitor)
        if archive is None:
            return {}, gone
        stores = {
            galaxy: archive.light_curves(
                galaxy, label_column(stars, "id")[wanted == galaxy].tolist(), bands=BANDS, monitor=monitor
            )
            for galaxy in sorted(set(wanted.tolist()))
        }
    except (CbminerError, OSError):
        return {}, gone
    return (stores, []) if any(len(store) for store in stores.values()) else ({}, gone)


def _archive_again(provenance: Provenance, settings: Settings, cache: Path, monitor: Monitor) -> Archive | None:
    location = provenance.archive
    if is_url(location) or Path(location).expanduser().exists():
        return open_archive(
            location,
            cache=cache,
            fetching=settings.fetch,
            offline=is_url(location),
            table=settings.table,
            max_mag_err=settings.cleaning.max_mag_err,
        )
    if provenance.survey == "mock" and is_url(settings.survey.archive):
        # A mock survey of a run's own is made again where its cache is gone.
        named = [galaxy for galaxy in GALAXIES if galaxy in provenance.galaxies]
        return open_survey("mock", named, settings=settings, cache=cache, monitor=monitor)
    return None


def run_populations(provenance: Provenance, settings: Settings) -> dict[str, dict[str, PopulationDensity]]:
    """Make the populations behind the odds of a run again.

    Parameters
    ----------
    provenance : Provenance
        What ran.
    settings : Settings
        Its settings.

    Returns
    -------
    dict of str to dict of str to PopulationDensity
        Densities of contact and near-contact pairs by Cloud; empty if a grid of the user's own is gone.
    """
    try:
        found = {
            str(galaxy): population_densities(galaxy, settings=settings.population, grid=settings.ranking.grid)
            for galaxy in GALAXIES
            if galaxy in provenance.galaxies
        }
    except (CbminerError, OSError):
        return {}
    return {galaxy: shown_densities(densities) for galaxy, densities in found.items()}


def shown_densities(densities: PopulationDensities) -> dict[str, PopulationDensity]:
    """Densities whose contours are drawn.

    Parameters
    ----------
    densities : PopulationDensities
        Of a Cloud.

    Returns
    -------
    dict of str to PopulationDensity
        Of the contact and near-contact binaries that count; empty without a population.
    """
    return {kind: densities.counted[kind] for kind in _KINDS if densities.known}


def _diagrams(
    judged: JudgedBlocks, shown: QTable, provenance: Provenance, settings: Settings, populations: Populations
) -> dict[str, CloudDiagrams]:
    return {
        galaxy: cloud_diagrams(
            judged,
            galaxy,
            cuts=settings.selection,
            relation=PLCRelation(**provenance.relations[galaxy]),
            populations=populations.get(galaxy),
            contour=settings.ranking.contour,
            shown=shown,
        )
        for galaxy in provenance.galaxies
        if galaxy in provenance.relations
    }
