"""Tables, figures and words of a follow-up, written into a folder."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from astropy.table import QTable

from cbminer.columns import label_column, values
from cbminer.followup.planning import FollowUpPlan
from cbminer.followup.target_formats.stars import SIMULATED
from cbminer.followup.targets import write_target_lists
from cbminer.judged import JUDGED_FILE
from cbminer.provenance import Provenance, hash_files, write_provenance
from cbminer.report.figures import save_figure
from cbminer.report.followup_figures import observability_pages, velocity_figure

__all__ = ["describe_plan", "plan_lines", "write_follow_up"]

PLAN_FILE = "plan.txt"
_MOST_LINES = 20


def write_follow_up(
    folder: Path, plan: FollowUpPlan, *, command: str, formats: Sequence[str] = (), even_simulated: bool = False
) -> list[Path]:
    """Write a plan: tables, the plan night by night, figures, target lists, provenance.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder, which must exist.
    plan : FollowUpPlan
        The plan.
    command : str
        The command.
    formats : sequence of str, optional
        Formats of target lists; none by default.
    even_simulated : bool, optional
        Whether target lists are written of simulated stars.

    Returns
    -------
    list of `~pathlib.Path`
        The files.

    Raises
    ------
    SettingsError
        If a format is not known or lacks a setting, or stars are simulated.
    """
    paths = []
    for name, table in (("ephemerides", plan.stars), ("windows", plan.windows), ("nights", plan.nights)):
        path = folder / f"{name}.ecsv"
        written = table.copy()
        written.meta = _meta(plan)
        written.write(path, format="ascii.ecsv")
        paths.append(path)
    text = folder / PLAN_FILE
    text.write_text("\n".join(plan_lines(plan)) + "\n", encoding="utf-8")
    paths.append(text)
    for number, figure in enumerate(observability_pages(plan), start=1):
        # Fonts in PDF take longer than all the rest, and a season has dozens of pages.
        paths += save_figure(figure, folder / f"observability_{number:02d}", formats=("png",))
    curves = velocity_figure(plan)
    if curves is not None:
        paths += save_figure(curves, folder / "velocities")
    if formats:
        paths += write_target_lists(
            folder,
            plan.stars,
            windows=plan.windows,
            formats=formats,
            settings=plan.settings.targets,
            allow_simulated=even_simulated,
        )
    paths.append(write_provenance(folder, _provenance(plan, command)))
    return paths


def _meta(plan: FollowUpPlan) -> dict[str, object]:
    meta: dict[str, object] = {"survey": plan.provenance.survey, "site": plan.site.label, "notes": list(plan.notes)}
    if plan.simulated:
        meta["warning"] = SIMULATED
    return meta


def _provenance(plan: FollowUpPlan, command: str) -> Provenance:
    run, galaxies = plan.provenance, label_column(plan.stars, "galaxy")
    windows = label_column(plan.windows, "id") if len(plan.windows) else np.zeros(0, dtype=str)
    names = label_column(plan.stars, "id")
    counts = {}
    for galaxy in sorted(set(galaxies.tolist())):
        mine = names[galaxies == galaxy]
        counts[galaxy] = {"targets": len(mine), "windows": int(np.isin(windows, mine).sum())}
    return Provenance(
        command=command,
        survey=run.survey,
        archive=run.archive,
        galaxies=run.galaxies,
        releases=run.releases,
        settings=plan.settings.model_dump(mode="json"),
        seed=plan.settings.seed,
        relations=run.relations,
        counts=counts,
        inputs=[*run.inputs, hash_files(JUDGED_FILE, [plan.run / JUDGED_FILE])],
        c_calibration=run.c_calibration,
        classifier=run.classifier,
        ranking=run.ranking,
    )


def describe_plan(plan: FollowUpPlan) -> list[str]:
    """Say in words what was planned.

    Parameters
    ----------
    plan : FollowUpPlan
        The plan.

    Returns
    -------
    list of str
        Lines for the terminal.
    """
    dates = plan.watched.nights.dates
    with_window = len(set(plan.windows["id"])) if len(plan.windows) else 0
    lines = [SIMULATED] if plan.simulated else []
    lines.append(
        f"{plan.site.label}, {dates[0]} to {dates[-1]}: {len(plan.windows)} windows at quadrature of {with_window} of "
        f"{len(plan.stars)} stars"
    )
    if too_short := int(np.sum(plan.nights["too_short"])):
        lines.append(f"{too_short} of the windows are shorter than the exposure of their star")
    if plan.fitted:
        lines.append(f"mass ratios and inclinations of {plan.fitted} stars are those of their fits")
    lines += ["", _STAR_HEADER, *list(_star_lines(plan.stars))[:_MOST_LINES]]
    if len(plan.stars) > _MOST_LINES:
        lines.append(f"and {len(plan.stars) - _MOST_LINES} more in ephemerides.ecsv")
    return [*lines, "", *(f"note: {note}" for note in plan.notes)]


def plan_lines(plan: FollowUpPlan) -> Iterator[str]:
    """Write out the plan, night by night.

    Parameters
    ----------
    plan : FollowUpPlan
        The plan.

    Yields
    ------
    str
        Lines.
    """
    dates = plan.watched.nights.dates
    if plan.simulated:
        yield SIMULATED
        yield ""
    yield f"Follow-up at {plan.site.label}, nights of {dates[0]} to {dates[-1]}"
    yield ""
    for note in plan.notes:
        yield f"- {note}"
    yield ""
    yield _STAR_HEADER
    yield from _star_lines(plan.stars)
    names = label_column(plan.windows, "night") if len(plan.windows) else np.zeros(0, dtype=str)
    stars = {str(name): row for row, name in enumerate(label_column(plan.stars, "id"))}
    for night in plan.nights:
        yield ""
        yield _night_line(night)
        mine = np.flatnonzero(names == str(night["night"]))
        if not len(mine):
            yield "  no window"
            continue
        yield _WINDOW_HEADER
        for row in mine:
            yield _window_line(plan.windows, int(row), plan.stars, stars[str(plan.windows["id"][row])])


_STAR_HEADER = (
    f"{'star':<20}{'rank':>5}{'V':>7}{'P, d':>12}{'T0, BJD TDB':>16}{'e_phase':>9}{'K1 contact, km/s':>19}{'K2':>14}"
    f"{'K1 near':>14}{'K2':>14}{'exp, s':>8}  note"
)
_WINDOW_HEADER = "  " + "".join(
    f"{name:{layout}}"
    for name, layout in {
        "UTC": "<13", "star": "<20", "V": ">6", "phase": ">15", "e_phase": ">9", "airmass": ">13", "Moon, deg": ">11",
        "min": ">6", "exp, s": ">8",
    }.items()
)  # fmt: skip


def _star_lines(stars: QTable) -> Iterator[str]:
    columns = {
        name: values(stars, name, unit)
        for name, unit in (
            ("rank", ""), ("V_mag", "mag"), ("period", "d"), ("T0_BJD_TDB", "d"), ("e_phase", ""), ("exposure", "s"),
        )
    }  # fmt: skip
    notes = label_column(stars, "note")
    for row in range(len(stars)):
        number = {name: column[row] for name, column in columns.items()}
        rank = f"{number['rank']:.0f}" if number["rank"] > 0 else "-"
        speeds = [_interval(stars, f"{name}_{kind}", row) for kind in ("contact", "near") for name in ("K1", "K2")]
        yield (
            f"{stars['id'][row]:<20}{rank:>5}{_shown(number['V_mag'], '.2f'):>7}{_shown(number['period'], '.6f'):>12}"
            f"{_shown(number['T0_BJD_TDB'], '.4f'):>16}{_shown(number['e_phase'], '.4f'):>9}{speeds[0]:>19}"
            f"{speeds[1]:>14}{speeds[2]:>14}{speeds[3]:>14}{_shown(number['exposure'], '.0f'):>8}  {notes[row]}"
        )


def _interval(stars: QTable, name: str, row: int) -> str:
    low, middle, high = (values(stars, f"{name}{suffix}", "km/s")[row] for suffix in ("_p16", "", "_p84"))
    return f"{middle:.0f} ({low:.0f}-{high:.0f})" if np.isfinite(middle) else "-"


def _shown(number: float, layout: str) -> str:
    return f"{number:{layout}}" if np.isfinite(number) else "-"


def _night_line(night: QTable.Row) -> str:
    if not str(night["evening_utc"]):
        return f"Night of {night['night']}: never dark"
    evening, morning = (str(night[name])[11:16] for name in ("evening_utc", "morning_utc"))
    dark, moonless = (night[name].to_value("h") for name in ("dark", "dark_without_moon"))
    return (
        f"Night of {night['night']}: dark {evening} to {morning} UTC, Moon "
        f"{100 * float(night['moon_illumination']):.0f} % lit and down for {moonless:.1f} of {dark:.1f} h; "
        f"{night['windows']} windows" + (f", {night['too_short']} too short" if night["too_short"] else "")
    )


def _window_line(windows: QTable, row: int, stars: QTable, star: int) -> str:
    window = windows[row]
    times = f"{str(window['start_utc'])[11:16]}-{str(window['end_utc'])[11:16]}"
    magnitude, exposure = values(stars, "V_mag", "mag")[star], values(stars, "exposure", "s")[star]
    phase = f"{window['phase_start']:.3f}-{window['phase_end']:.3f}"
    airmass = f"{window['airmass_min']:.2f}-{window['airmass_max']:.2f}"
    return (
        f"  {times:<13}{window['id']:<20}{_shown(magnitude, '.2f'):>6}{phase:>15}{window['e_phase']:>9.4f}{airmass:>13}"
        f"{window['moon_separation'].to_value('deg'):>11.0f}{window['duration'].to_value('min'):>6.0f}"
        f"{_shown(exposure, '.0f'):>8}{_mark(windows['fits_exposure'][row])}"
    )


def _mark(fits: object) -> str:
    """Mark of a window by whether the exposure of its star fits into it; masked where that is unknown."""
    return "" if fits is np.ma.masked or fits else "  too short"
