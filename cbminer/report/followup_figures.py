"""Figures of a follow-up: when which star is at quadrature and up, and the velocities that are expected."""

from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cbminer.columns import FloatArray, label_column, values
from cbminer.followup.planning import FollowUpPlan
from cbminer.followup.target_formats.stars import SIMULATED
from cbminer.followup.velocities import CONFIGURATIONS
from cbminer.report.figures import STYLE

__all__ = ["observability_pages", "velocity_figure"]

# Colours of Okabe & Ito, which colour-blind readers can tell apart.
_BLUE, _VERMILION = "#0072B2", "#D55E00"
_QUADRATURE_COLOURS = {0.25: _BLUE, 0.75: _VERMILION}
_STYLES = {"contact": (_VERMILION, "-", "contact"), "near_contact": (_BLUE, "--", "near contact")}
_NIGHTS_A_PAGE, _STARS_A_PAGE = 15, 25
# The part of a column of one day that the longest night takes.
_FILL = 0.9
_HOURS = 24.0


def _figure(width: float, height: float, plan: FollowUpPlan) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    if plan.simulated:
        figure.supxlabel(f"mock survey: {SIMULATED}", fontsize=8, color=_VERMILION, x=0.99, ha="right")
    return figure


def observability_pages(plan: FollowUpPlan) -> Iterator[Figure]:
    """Draw charts of stars over nights, 15 nights and 25 stars a page.

    Parameters
    ----------
    plan : FollowUpPlan
        The plan.

    Yields
    ------
    `~matplotlib.figure.Figure`
        Pages: a column a night, a row a star; grey where a star can be observed, colour at quadrature.
    """
    for first_star in range(0, len(plan.stars), _STARS_A_PAGE):
        stars = range(first_star, min(first_star + _STARS_A_PAGE, len(plan.stars)))
        for first in range(0, len(plan.nights), _NIGHTS_A_PAGE):
            nights = range(first, min(first + _NIGHTS_A_PAGE, len(plan.nights)))
            with mpl.rc_context(STYLE):
                yield _chart(plan, stars, nights)


def _chart(plan: FollowUpPlan, stars: range, nights: range) -> Figure:
    figure = _figure(10.5, 1.9 + 0.24 * len(stars), plan)
    axes = figure.add_subplot()
    low, high = _span(plan, nights)
    scale = _FILL / max(high - low, 1e-6)

    def across(night: int, offset: float) -> float:
        """Place on the x axis of a time of a night."""
        return night - nights.start + (1.0 - _FILL) / 2.0 + scale * (offset - low)

    for night in nights:
        for row, star in enumerate(stars):
            for start, end in plan.watched.usable[star][night]:
                x = across(night, start)
                axes.barh(row, across(night, end) - x, left=x, height=0.72, color="0.87", lw=0)
    _draw_windows(axes, plan, stars, nights, across)
    names = label_column(plan.stars, "id")
    ranks = values(plan.stars, "rank")
    labels = [f"{names[star]}  {ranks[star]:.0f}" if ranks[star] > 0 else str(names[star]) for star in stars]
    axes.set_yticks(range(len(stars)), labels, fontsize=7.5)
    axes.set_ylim(len(stars) - 0.4, -0.6)
    axes.set_xlim(0, len(nights))
    axes.set_xticks(
        np.arange(len(nights)) + 0.5,
        [
            f"{plan.watched.nights.dates[night][5:]}\n{plan.watched.nights.moon_illumination[night]:.2f}"
            for night in nights
        ],
        fontsize=7.5,
    )
    for edge in range(1, len(nights)):
        axes.axvline(edge, color="0.75", lw=0.5)
    axes.tick_params(length=0)
    year = plan.watched.nights.dates[nights.start][:4]
    hours = f"each column {_HOURS * (high - low):.1f} h of darkness"
    axes.set_xlabel(f"local date of the evening, {year}, and lit share of the Moon; {hours}")
    axes.set_title(f"{plan.site.label}: star and rank; grey: can be observed", fontsize=10)
    figure.legend(
        handles=[Patch(color=colour, label=f"phase {phase}") for phase, colour in _QUADRATURE_COLOURS.items()],
        loc="outside upper right",
        ncols=2,
    )
    return figure


def _span(plan: FollowUpPlan, nights: range) -> tuple[float, float]:
    """Days from midnight between which it is dark in some of the nights."""
    edges = [edge for night in nights for part in plan.watched.nights.dark(night) for edge in part]
    return (min(edges), max(edges)) if edges else (-0.25, 0.25)


def _draw_windows(axes: Any, plan: FollowUpPlan, stars: range, nights: range, across: Any) -> None:
    names = {str(name): row for row, name in enumerate(label_column(plan.stars, "id")[stars.start : stars.stop])}
    dates = {plan.watched.nights.dates[night]: night for night in nights}
    windows = plan.windows
    columns = [label_column(windows, name) for name in ("id", "night", "start_utc", "end_utc")]
    for star, night_name, begin, end, quadrature in zip(*columns, windows["quadrature"], strict=True):
        row, night = names.get(str(star)), dates.get(str(night_name))
        if row is None or night is None:
            continue
        x, end_x = (across(night, _offset(str(text), plan, night)) for text in (begin, end))
        axes.barh(row, end_x - x, left=x, height=0.72, color=_QUADRATURE_COLOURS[float(quadrature)], lw=0)


def _offset(text: str, plan: FollowUpPlan, night: int) -> float:
    """Days from midnight of a calendar date."""
    day = np.datetime64(text) - np.datetime64("2000-01-01T12:00:00")
    return float(day / np.timedelta64(1, "D")) + 2451545.0 - float(plan.watched.nights.midnight[night])


def velocity_figure(plan: FollowUpPlan) -> Figure | None:
    """Draw the expected velocity curves of the first stars.

    Parameters
    ----------
    plan : FollowUpPlan
        The plan.

    Returns
    -------
    `~matplotlib.figure.Figure` or None
        A panel a star; None without a star of which velocities are expected.
    """
    rows = [row for row, curves in enumerate(plan.curves) if curves][: plan.settings.follow_up.curves]
    if not rows:
        return None
    n_columns = min(2, len(rows))
    n_rows = -(-len(rows) // n_columns)
    with mpl.rc_context(STYLE):
        figure = _figure(4.9 * n_columns + 0.3, 2.5 * n_rows + 0.9, plan)
        panels = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True)
        for place, axes in enumerate(panels.ravel()):
            if place >= len(rows):
                axes.set_axis_off()
                continue
            _draw_velocities(axes, plan, rows[place])
            if place + n_columns >= len(rows):
                axes.set_xlabel("phase, deeper minimum at 0")
                axes.tick_params(labelbottom=True)
            if place % n_columns == 0:
                axes.set_ylabel("velocity [km/s]")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=4)
        return figure


def _draw_velocities(axes: Any, plan: FollowUpPlan, row: int) -> None:
    width = plan.settings.follow_up.windows.half_width
    for quadrature in _QUADRATURE_COLOURS:
        axes.axvspan(quadrature - width, quadrature + width, color="0.93", lw=0)
    axes.axhline(0.0, color="0.7", lw=0.6)
    for number, configuration in enumerate(CONFIGURATIONS):
        if configuration not in plan.curves[row]:
            continue
        colour, style, label = _STYLES[configuration]
        curves = plan.curves[row][configuration]
        for star in (0, 1):
            phase, weighted = _whole(curves.phase, curves.weighted[star])
            first = star == 0
            axes.plot(phase, weighted, color=colour, ls=style, lw=1.4, label=label if first else None)
            point = _whole(curves.phase, curves.point[star])
            axes.plot(*point, color=colour, ls=":", lw=0.7, label=f"{label}, point masses" if first else None)
            low, middle, high = plan.velocities[row][configuration].interval(f"K{star + 1}")
            # The star behind at phase 0 approaches after it.
            sign = -1.0 if first != curves.turned else 1.0
            for quadrature, turn in ((0.25, sign), (0.75, -sign)):
                place = quadrature + (0.012 if number else -0.012)
                error = [[middle - low], [high - middle]] if turn > 0 else [[high - middle], [middle - low]]
                axes.errorbar([place], [turn * middle], yerr=error, color=colour, fmt=".", ms=3, lw=0.9, capsize=2)
    turned = [_STYLES[name][2] for name, curves in plan.curves[row].items() if curves.turned]
    words = f"\nless massive star behind at 0: {', '.join(turned)}" if turned else ""
    axes.set_xlim(0.0, 1.0)
    stars = plan.stars
    magnitude, period = values(stars, "V_mag", "mag")[row], values(stars, "period", "d")[row]
    axes.set_title(f"{stars['id'][row]}   P = {period:.5f} d   V = {magnitude:.2f}{words}", fontsize=8)


def _whole(phase: FloatArray, velocity: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mirror half of an orbit."""
    return np.concatenate([phase, 1.0 - phase[-2::-1]]), np.concatenate([velocity, -velocity[-2::-1]])
