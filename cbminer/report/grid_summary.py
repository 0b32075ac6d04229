"""What is in a grid of binary-evolution models, and in one of its runs, as lines of text."""

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable

from cbminer.columns import FloatArray, label_column, values
from cbminer.errors import SettingsError
from cbminer.theory.grid import EvolutionGrid
from cbminer.theory.phases import PhaseSettings, phase_table, step_phases

__all__ = ["find_run", "grid_lines", "run_lines"]

_NEAREST = 3
_SHOWN_CODES = 5


def grid_lines(grid: EvolutionGrid, *, settings: PhaseSettings | None = None) -> Iterator[str]:
    """Tell what a grid holds.

    Parameters
    ----------
    grid : EvolutionGrid
        Models.
    settings : PhaseSettings, optional
        Limits of the phases.

    Yields
    ------
    str
        Provenance, ranges of the initial values, why the runs ended, and their time in phases.
    """
    yield f"{len(grid):,} runs, {len(grid.steps):,} time steps"
    yield from _about_lines(grid.about)
    codes = Counter(label_column(grid.runs, "code").tolist())
    for code, count in codes.most_common(_SHOWN_CODES):
        yield f"  {count:,} by {code or 'an unknown code'}"
    if len(codes) > _SHOWN_CODES:
        yield f"  and by {len(codes) - _SHOWN_CODES} others"
    primary, secondary = (values(grid.runs, f"M{star}_initial", "solMass") for star in (1, 2))
    yield "initial values"
    yield _range_line("M1", primary, "solMass")
    yield _range_line("M1 + M2", primary + secondary, "solMass")
    yield _range_line("q", secondary / primary, "")
    yield _range_line("period", values(grid.runs, "period_initial", "d"), "d")
    yield _range_line("Z", values(grid.runs, "Z"), "")
    yield "ended by"
    for reason, count in Counter(label_column(grid.runs, "end").tolist()).most_common():
        yield f"  {reason:<38s} {count:>8,}"
    noted = int(np.count_nonzero(label_column(grid.runs, "note") != ""))
    if noted:
        yield f"with a note, which cbminer grid show tells: {noted:,}"
    yield from _time_lines(grid, settings or PhaseSettings())


def _about_lines(about: Mapping[str, Any]) -> Iterator[str]:
    """Plain entries as they are; of what has parts, how many."""
    for name, value in about.items():
        label = name.replace("_", " ")
        if isinstance(value, str | int | float):
            yield f"  {label}: {value}"
        elif isinstance(value, list | tuple) and value:
            yield f"  {label}: {len(value):,}"


def _range_line(name: str, data: FloatArray, unit: str) -> str:
    # Grids keep single precision, in which equal ratios of masses differ in their last digit.
    known = np.unique([float(f"{value:.5g}") for value in data[np.isfinite(data)]])
    unknown = int(np.count_nonzero(~np.isfinite(data)))
    more = f", unknown of {unknown:,} runs" if unknown else ""
    if known.size == 0:
        return f"  {name:<8s} unknown"
    text = f"{known[0]:.5g}" if known.size == 1 else f"{known[0]:.5g} to {known[-1]:.5g}"
    count = "" if known.size == 1 else f" ({known.size:,} values)"
    return f"  {name:<8s} {text} {unit}".rstrip() + count + more


def _time_lines(grid: EvolutionGrid, settings: PhaseSettings) -> Iterator[str]:
    table = phase_table(grid, settings=settings)
    durations, phases = values(table, "duration", "Myr"), label_column(table, "phase")
    total = durations.sum()
    yield "time in phases, of all runs together"
    for name in settings.names:
        chosen = phases == name
        if chosen.any():
            part = f"{100 * durations[chosen].sum() / total:5.1f} %" if total > 0 else ""
            count = int(np.count_nonzero(chosen))
            runs = "1 run" if count == 1 else f"{count:,} runs"
            yield f"  {_shown(name):<14s} {durations[chosen].sum():>10.3f} Myr {part}  in {runs}"
    unknown = int(np.count_nonzero(step_phases(grid, settings=settings) < 0))
    if unknown:
        yield f"  {unknown:,} time steps of unknown phase"


def _shown(phase: str) -> str:
    return phase.replace("l2", "L2")


def find_run(grid: EvolutionGrid, name: str) -> int:
    """Find a run by its name, or by a part that only one name has.

    Parameters
    ----------
    grid : EvolutionGrid
        Models.
    name : str
        Name or part of one.

    Returns
    -------
    int
        Row of the run.

    Raises
    ------
    SettingsError
        If no run or more than one is meant; the message names some that are near.
    """
    names = label_column(grid.runs, "run").tolist()
    if name in names:
        return int(names.index(name))
    meant = [row for row, known in enumerate(names) if name in known]
    if len(meant) == 1:
        return meant[0]
    if meant:
        some = ", ".join(names[row] for row in meant[:_NEAREST])
        msg = f"{len(meant):,} runs have {name} in their names, among them {some}: give more of it"
        raise SettingsError(msg)
    near = difflib.get_close_matches(name, names, n=_NEAREST, cutoff=0.0)
    msg = f"the grid has no run {name}; it has {', '.join(near)}" + (" and others" if len(names) > len(near) else "")
    raise SettingsError(msg)


def run_lines(grid: EvolutionGrid, index: int, *, settings: PhaseSettings | None = None) -> Iterator[str]:
    """Tell what one run is and how long its phases last.

    Parameters
    ----------
    grid : EvolutionGrid
        Models.
    index : int
        Row of the run in `grid.runs`.
    settings : PhaseSettings, optional
        Limits of the phases.

    Yields
    ------
    str
        Initial values, the end, and a table of phases.
    """
    one = _alone(grid, index)
    run = one.runs[0]
    primary, secondary, period = (
        values(one.runs, name, unit)[0]
        for name, unit in (("M1_initial", "solMass"), ("M2_initial", "solMass"), ("period_initial", "d"))
    )
    metallicity = values(one.runs, "Z")[0]
    yield str(run["run"])
    z = "unknown" if np.isnan(metallicity) else f"{metallicity:.5g}"
    yield f"  {primary:.5g} + {secondary:.5g} solMass, q {secondary / primary:.4g}, period {period:.5g} d, Z {z}"
    age = values(one.runs, "age_end", "Myr")[0]
    yield f"  ended at {age:.5g} Myr by {run['end']}; {len(one.steps):,} time steps of {_or_unknown(one, 'code')}"
    note = label_column(one.runs, "note")[0]
    if note:
        yield f"  {note}"
    yield from _phase_lines(phase_table(one, settings=settings))
    unknown = int(np.count_nonzero(step_phases(one, settings=settings) < 0))
    if unknown:
        yield f"{unknown:,} time steps of unknown phase"


def _alone(grid: EvolutionGrid, index: int) -> EvolutionGrid:
    steps = grid.of_run(index)
    return EvolutionGrid(grid.runs[index : index + 1], steps, np.array([0, len(steps)], dtype=np.int64), grid.about)


def _or_unknown(grid: EvolutionGrid, name: str) -> str:
    return str(label_column(grid.runs, name)[0]) or "an unknown code"


# Heading, column of the table of phases, unit, and how it is written.
_COLUMNS = (
    ("from/Myr", "begin", "Myr", ".4f"),
    ("to/Myr", "end", "Myr", ".4f"),
    ("time/Myr", "duration", "Myr", ".4f"),
    ("thermal", "thermal", "", ".3f"),
    ("q", "mass_ratio", "", ".3f"),
    ("T ratio", "teff_ratio", "", ".3f"),
    ("R1/RL1", "radius_ratio_1", "", ".3f"),
    ("R2/RL2", "radius_ratio_2", "", ".3f"),
    ("P/d", "period", "d", ".4f"),
)


def _phase_lines(table: QTable) -> Iterator[str]:
    phases = label_column(table, "phase")
    columns = [values(table, name, unit) for _, name, unit, _ in _COLUMNS]
    yield f"{'phase':<14s}" + "".join(f"{heading:>10s}" for heading, *_ in _COLUMNS)
    for row, phase in enumerate(phases):
        cells = [
            f"{'-':>10s}" if np.isnan(column[row]) else f"{column[row]:>10{style}}"
            for column, (*_, style) in zip(columns, _COLUMNS, strict=True)
        ]
        yield f"{_shown(str(phase)):<14s}" + "".join(cells)
    total = table["duration"].sum().to_value(u.Myr) if len(table) else 0.0
    yield f"{'all':<14s}{'':>20s}{total:>10.4f}"
