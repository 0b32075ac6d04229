"""Tables, figures and words of a population, written into a folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable

from cbminer.columns import float_column
from cbminer.galaxies import Galaxy
from cbminer.photometry.cloud_settings import common_distance, mean_reddening
from cbminer.provenance import Provenance, hash_files, write_provenance
from cbminer.report.figures import save_figure
from cbminer.report.population_figures import density_figure, mass_ratio_figure, period_figure
from cbminer.resources import known_massive_contact_binaries
from cbminer.settings import Settings
from cbminer.theory.density import PopulationDensity
from cbminer.theory.expected_numbers import expected_numbers
from cbminer.theory.phases import Phase
from cbminer.theory.population import Population
from cbminer.theory.population_stars import known_stars
from cbminer.theory.quantiles import PeriodMassRatioMap

__all__ = ["PopulationReport", "describe_population", "report_population", "typical_errors", "write_population"]

_PHASES = (Phase.CONTACT, Phase.NEAR_CONTACT)
# Shares of systems without a place in the density are told from here on.
_TOLD_SHARE = 5e-4


@dataclass(frozen=True)
class PopulationReport:
    """All that is told of a population.

    Attributes
    ----------
    population : Population
        The population.
    numbers : `~astropy.table.QTable`
        Expected numbers.
    maps : dict of Phase to PeriodMassRatioMap
        All systems by period and mass ratio.
    densities : dict of Phase to PopulationDensity
        Density of those that are seen and within the limits, of phases that have any.
    """

    population: Population
    numbers: QTable
    maps: dict[Phase, PeriodMassRatioMap]
    densities: dict[Phase, PopulationDensity]


def report_population(population: Population, *, seed: int) -> PopulationReport:
    """Work out all that is told of a population.

    Parameters
    ----------
    population : Population
        The population.
    seed : int
        Seed of the draws.

    Returns
    -------
    PopulationReport
        Numbers, maps and densities of contact and near contact; a phase without systems that count has no density, and
        `numbers` says why.
    """
    return PopulationReport(
        population,
        expected_numbers(population, seed=seed),
        {phase: population.period_mass_ratio(phase) for phase in _PHASES},
        {phase: population.density(phase) for phase in _PHASES if population.why_no_density(phase) is None},
    )


def describe_population(report: PopulationReport) -> list[str]:
    """Put a population into words.

    Parameters
    ----------
    report : PopulationReport
        What is told of it.

    Returns
    -------
    list of str
        Lines for a terminal.
    """
    population, fraction = report.population, report.population.settings.star_formation.binary_fraction
    shares = population.shares_of_cells()
    lines = [
        f"{population.galaxy}: {len(population.grid):,} runs, {population.cells.description}",
        "pairs in the range of the grid: "
        + ", ".join(f"{100 * share:.1f} % {name}" for name, share in shares.items() if share > 0 or name == "counted"),
        f"stars: {population.star_formation_rate:g} solar masses a year, binary fraction {fraction:g}",
        f"companions a primary, with those of short periods: {report.numbers.meta['companions_a_primary']:.2f}",
        _metallicity(report.numbers.meta, population.galaxy),
        "",
        f"{'systems':<14}{'':<9}{'number':>9}{'16 %':>9}{'50 %':>9}{'84 %':>9}   {'count, 16 to 84 %':<20}extrapolated",
    ]
    for row in report.numbers:
        numbers = "".join(f"{row[name]:>9.3g}" for name in ("number", "number_16", "number_50", "number_84"))
        phase = str(row["phase"]).replace("_", " ")
        count = f"{row['count_16']:.0f} to {row['count_84']:.0f}"
        share = "" if np.ma.is_masked(row["extrapolated"]) else f"{100 * row['extrapolated']:>10.0f} %"
        lines.append(f"{phase:<14}{row['sample']:<9}{numbers}   {count:<20}{share}")
    lines += ["", *_limits(population), ""]
    summaries = {phase: table.summary() for phase, table in report.maps.items()}
    lines.append(f"{'all systems':<14}" + "".join(f"{_name(phase):>14}" for phase in summaries))
    for name in summaries[_PHASES[0]]:
        lines.append(
            f"{name + ' [d]' * name.endswith('%'):<14}" + "".join(f"{s[name]:>14.3f}" for s in summaries.values())
        )
    lines += _left_out(report.numbers.meta)
    if not report.numbers.meta["model_errors"]["stated"]:
        lines.append("the grid states no errors of its models: the ranges are those of the settings alone")
    return lines


def _metallicity(about: Mapping[str, Any], galaxy: Galaxy) -> str:
    line = f"metallicity of the models: Z = {about['Z']:g}"
    if about["metallicity_differs"]:
        line += f"; WARNING: that of the {galaxy} is {about['Z_of_the_Cloud']:g}, more than 0.1 dex off"
    return line


def _left_out(about: Mapping[str, Any]) -> list[str]:
    """Tell what is not in the densities, and why."""
    lines = [
        f"{phase.replace('_', ' ')}: {100 * share:.1f} % of those seen have {cause}: they are not in the density, nor "
        "counted"
        for phase, causes in about["unknown"].items()
        for cause, share in causes.items()
        if share > _TOLD_SHARE
    ]
    empty = about["no_density"].items()
    return lines + [f"{phase.replace('_', ' ')}: no density, nor a figure of it: {why}" for phase, why in empty]


def _name(phase: Phase) -> str:
    return phase.name.lower().replace("_", " ")


def _limits(population: Population) -> list[str]:
    limits, depth = population.settings.counts, population.settings.detection.least_depth
    shortest = 10.0**population.settings.periods.least
    return [
        "seen: " + ("every inclination" if depth is None else f"a minimum of {depth:g} mag in I at least"),
        f"counted: seen, M_V from {limits.M_V_bright:g} to {limits.M_V_faint:g}, P < {limits.period_max:g} d",
        f"number: with births down to log P = {population.settings.periods.extended_to:g}",
        "percentiles over the uncertain settings, that one too, and models; counts scatter by chance on top",
        f"extrapolated: share of the number born at P < {shortest:.2f} d, where no young pairs were counted",
    ]


def write_population(
    folder: Path, report: PopulationReport, *, settings: Settings, grid_path: Path, seed: int, command: str
) -> None:
    """Write tables, figures and provenance of a population.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder, which must exist.
    report : PopulationReport
        What is told of the population.
    settings : Settings
        Settings of the run.
    grid_path : `~pathlib.Path`
        Folder of the grid.
    seed : int
        Seed of the draws.
    command : str
        The command.
    """
    report.numbers.write(folder / "numbers.ecsv", format="ascii.ecsv")
    _summary_table(report.maps).write(folder / "summary.ecsv", format="ascii.ecsv")
    _map_table(report.maps).write(folder / "period_mass_ratio.ecsv", format="ascii.ecsv")
    _write_figures(folder, report, settings)
    galaxy = report.population.galaxy
    write_provenance(
        folder,
        Provenance(
            command=command,
            survey="none",
            archive="none",
            galaxies=[galaxy],
            releases={},
            settings=settings.model_dump(mode="json"),
            seed=seed,
            relations={},
            counts={galaxy: {"runs": len(report.population.grid), "steps": len(report.population.grid.steps)}},
            inputs=[hash_files("grid", sorted(grid_path.glob("*.parquet")))],
        ),
    )


def _write_figures(folder: Path, report: PopulationReport, settings: Settings) -> None:
    known, galaxy = known_massive_contact_binaries(), report.population.galaxy
    e_m_v, e_vi0 = typical_errors(settings, galaxy)
    stars = known_stars(known, colours=report.population.settings.colours)
    name, limits = f"models, {galaxy}", report.population.settings.counts
    sample = f"$M_V$ from {limits.M_V_bright:g} to {limits.M_V_faint:g}, P < {limits.period_max:g} d"
    figures = {}
    if report.densities:
        figures["densities"] = density_figure(
            report.densities, stars, title=f"{name}: systems that are seen, {sample}", e_M_V=e_m_v, e_VI0=e_vi0
        )
    maps = {phase: table for phase, table in report.maps.items() if table.content.any()}
    if maps:
        figures["periods"] = period_figure(maps, known, title=f"{name}: all systems", period_max=limits.period_max)
        figures["mass_ratios"] = mass_ratio_figure(maps, known, title=f"{name}: all systems, and known ones")
    for stem, figure in figures.items():
        save_figure(figure, folder / stem)


def typical_errors(settings: Settings, galaxy: Galaxy) -> tuple[float, float]:
    """Errors of M_V and (V-I)_0 of a star of mean reddening.

    Parameters
    ----------
    settings : Settings
        Errors of the survey, of the reddening and of the distance.
    galaxy : {"LMC", "SMC"}
        The Cloud.

    Returns
    -------
    tuple of float
        Errors of M_V and of (V-I)_0 in mag.
    """
    extinction, distance = settings.extinction, common_distance(settings.cloud, galaxy)
    e_reddening = mean_reddening(settings.cloud, galaxy).scatter
    a_v = extinction.A_V_per_E_VI * e_reddening
    e_m_v = np.sqrt(extinction.e_V_mag**2 + a_v**2 + distance.e_distance_modulus**2 + distance.depth**2)
    e_vi0 = np.sqrt(extinction.e_V_mag**2 + extinction.e_I_mag**2 + e_reddening**2)
    return float(e_m_v), float(e_vi0)


def _summary_table(maps: Mapping[Phase, PeriodMassRatioMap]) -> QTable:
    summaries = {phase: table.summary() for phase, table in maps.items()}
    found = QTable({"what": list(next(iter(summaries.values())))})
    found[
        "what"
    ].info.description = "mean mass ratio; fractions by mass ratio and period; quantiles of the period in days"
    for phase, summary in summaries.items():
        found[phase.name.lower()] = float_column(list(summary.values()))
        found[phase.name.lower()].info.description = "of all systems of this phase"
    return found


def _map_table(maps: Mapping[Phase, PeriodMassRatioMap]) -> QTable:
    parts = []
    for phase, table in maps.items():
        row, column = np.nonzero(table.content)
        edges, ratios = table.period_edges, table.mass_ratio_edges
        numbers = (edges[row], edges[row + 1], ratios[column], ratios[column + 1], table.content[row, column])
        parts.append((np.full(len(row), phase.name.lower()), *numbers))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    found = QTable({"phase": columns[0]})
    described = (
        ("period_low", "d", "lower edge of the bin of period"),
        ("period_high", "d", "upper edge"),
        ("mass_ratio_low", "", "lower edge of the bin of the observed mass ratio min(q, 1/q)"),
        ("mass_ratio_high", "", "upper edge"),
        ("number", "", "systems, seen or not; bins without any are left out"),
    )
    for column, (name, unit, description) in zip(columns[1:], described, strict=True):
        found[name] = float_column(column.astype(float), unit)
        found[name].info.description = description
        found[name].info.format = ".6g"
    return found
