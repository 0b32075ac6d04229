"""Figures of populations: where contact and near-contact binaries lie, and the known ones among them."""

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from astropy.table import QTable
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from scipy.ndimage import gaussian_filter

from cbminer.columns import FloatArray, label_column, values
from cbminer.report.figures import STYLE
from cbminer.theory.density import AxisName, DensityPlane, PopulationDensity
from cbminer.theory.phases import Phase
from cbminer.theory.population_stars import KnownStars
from cbminer.theory.quantiles import PeriodMassRatioMap, contour_levels

__all__ = ["density_figure", "mass_ratio_figure", "period_figure"]

_PHASES: Mapping[Phase, tuple[str, str, str]] = {
    Phase.CONTACT: ("contact", "Blues", "#0072B2"),
    Phase.NEAR_CONTACT: ("near contact", "Oranges", "#D55E00"),
}
_LABELS: Mapping[AxisName, str] = {
    "log_P": r"$\log_{10}(P\,/\,\mathrm{d})$",
    "M_V": r"$M_V$ [mag]",
    "VI0": r"$(V-I)_0$ [mag]",
}
_ACROSS: tuple[AxisName, AxisName] = ("log_P", "VI0")
_SHARES = (0.95, 0.90, 0.68)
_STYLES = (":", "--", "-")
# What smears the steps of a grid out in figures by period and mass ratio: dex, and units of q.
_SMEAR_LOG_P, _SMEAR_Q = 0.02, 0.02
_PERIOD_TICKS = (0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0)
_MARKERS: Mapping[str, tuple[str, str]] = {
    "contact": ("o", "known, in contact"),
    "near-contact": ("^", "known, near contact"),
    "undetermined": ("s", "known, configuration not determined"),
}


def density_figure(
    densities: Mapping[Phase, PopulationDensity],
    known: KnownStars,
    *,
    title: str,
    e_M_V: float = 0.0,
    e_VI0: float = 0.0,
) -> Figure:
    """Draw densities in (log P, M_V) and in the colour-magnitude diagram, a column a phase.

    Parameters
    ----------
    densities : mapping of Phase to PopulationDensity
        Densities of contact and near contact.
    known : KnownStars
        Known systems, drawn over the density of their own phase.
    title : str
        What is shown.
    e_M_V, e_VI0 : float, optional
        Errors in mag with which the densities are convolved, drawn as a cross.

    Returns
    -------
    `~matplotlib.figure.Figure`
        The figure.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.2, 8.4), layout="constrained")
        axes = figure.subplots(2, len(densities), squeeze=False, sharey=True, sharex="row")
        for column, (phase, density) in enumerate(densities.items()):
            for row, x in enumerate(_ACROSS):
                panel = axes[row, column]
                plane = density.plane(x, "M_V", e_M_V=e_M_V, e_VI0=e_VI0)
                _draw_plane(panel, plane, phase)
                _draw_known(panel, known, x, "M_V", _configurations(phase))
                panel.set_xlabel(_LABELS[x])
                if column == 0:
                    panel.set_ylabel(_LABELS["M_V"])
            axes[0, column].set_title(f"{_PHASES[phase][0]}: {_rounded(density.number)} systems", fontsize=10)
        planes = [density.plane("log_P", "M_V", e_M_V=e_M_V) for density in densities.values()]
        colours = [density.plane("VI0", "M_V", e_M_V=e_M_V, e_VI0=e_VI0) for density in densities.values()]
        axes[0, 0].set_xlim(*_extent([(plane.x_edges, plane.density.sum(axis=1)) for plane in planes], known.log_P))
        axes[1, 0].set_xlim(*_extent([(plane.x_edges, plane.density.sum(axis=1)) for plane in colours], known.VI0))
        low, high = _extent([(plane.y_edges, plane.density.sum(axis=0)) for plane in planes], known.M_V)
        axes[0, 0].set_ylim(high, low)
        if e_VI0 > 0:
            _error_cross(axes[1, -1], e_VI0, e_M_V)
        figure.suptitle(title, fontsize=10)
        figure.legend(handles=_legend(known), loc="outside lower center", ncols=3, fontsize=8.5)
        return figure


def _extent(sides: list[tuple[FloatArray, FloatArray]], stars: FloatArray) -> tuple[float, float]:
    """Limits that hold nearly all of the population and all known systems."""
    lows, highs = [], []
    for edges, content in sides:
        cumulative = np.cumsum(content) / content.sum()
        lows.append(edges[np.searchsorted(cumulative, 3e-4)])
        highs.append(edges[np.searchsorted(cumulative, 1.0 - 3e-4) + 1])
    shown = stars[np.isfinite(stars)]
    low, high = min([*lows, *shown]), max([*highs, *shown])
    return low - 0.03 * (high - low), high + 0.03 * (high - low)


def _draw_plane(axes: Axes, plane: DensityPlane, phase: Phase) -> None:
    colours = _PHASES[phase][1]
    peak = float(plane.density.max())
    axes.imshow(
        plane.density.T,
        extent=(plane.x_edges[0], plane.x_edges[-1], plane.y_edges[0], plane.y_edges[-1]),
        origin="lower",
        aspect="auto",
        cmap=mpl.colormaps[colours].with_extremes(under="white"),
        norm=LogNorm(1e-3 * peak, 30.0 * peak),
    )
    x, y = ((edges[1:] + edges[:-1]) / 2.0 for edges in (plane.x_edges, plane.y_edges))
    levels = contour_levels(plane.density, _SHARES)
    axes.contour(x, y, plane.density.T, levels=levels, colors="black", linestyles=list(_STYLES), linewidths=1.0)


def _configurations(phase: Phase) -> tuple[str, ...]:
    """Known systems that belong to a phase; those of unknown configuration are shown with both."""
    own = "contact" if phase is Phase.CONTACT else "near-contact"
    return (own, "undetermined")


def _draw_known(axes: Axes, known: KnownStars, x: AxisName, y: AxisName, configurations: tuple[str, ...]) -> None:
    columns = {"log_P": known.log_P, "M_V": known.M_V, "VI0": known.VI0}
    for configuration in configurations:
        marker, _ = _MARKERS[configuration]
        for in_clouds, face in ((True, "black"), (False, "white")):
            chosen = (known.configuration == configuration) & (known.in_clouds == in_clouds)
            axes.scatter(
                columns[x][chosen],
                columns[y][chosen],
                s=30,
                marker=marker,
                c=face,
                edgecolors="black",
                lw=0.9,
                zorder=4,
            )


def _legend(known: KnownStars) -> list[Line2D]:
    lines = [
        Line2D([], [], color="black", ls=style, lw=1.0, label=f"{100 * share:.0f} % of the systems")
        for share, style in zip(reversed(_SHARES), reversed(_STYLES), strict=True)
    ]
    shown = np.isfinite(known.log_P + known.M_V + known.VI0)
    for configuration, (marker, label) in _MARKERS.items():
        for in_clouds, face, where in ((True, "black", "in the Clouds"), (False, "white", "elsewhere")):
            if (shown & (known.configuration == configuration) & (known.in_clouds == in_clouds)).any():
                lines.append(
                    Line2D([], [], color="black", mfc=face, marker=marker, ls="", ms=5, label=f"{label}, {where}")
                )
    return lines


def _error_cross(axes: Axes, e_x: float, e_y: float) -> None:
    """Draw the errors in the upper right corner; the limits must stand."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    x, y = left + 0.87 * (right - left), bottom + 0.87 * (top - bottom)
    axes.errorbar([x], [y], xerr=e_x, yerr=e_y, color="black", lw=1)
    axes.text(x, y - 0.06 * (top - bottom), "typical errors,\nin the densities", ha="center", va="top", fontsize=8)


def period_figure(maps: Mapping[Phase, PeriodMassRatioMap], known: QTable, *, title: str, period_max: float) -> Figure:
    """Draw how many systems there are by period.

    Parameters
    ----------
    maps : mapping of Phase to PeriodMassRatioMap
        Numbers by period and mass ratio in even bins, smeared by 0.02 dex.
    known : `~astropy.table.QTable`
        Known systems, whose periods are marked.
    title : str
        What is shown.
    period_max : float
        Limit of the selection in days, marked.

    Returns
    -------
    `~matplotlib.figure.Figure`
        The figure.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.8, 4.6), layout="constrained")
        axes = figure.add_subplot()
        top = 0.0
        for phase, table in maps.items():
            name, _, colour = _PHASES[phase]
            density = _smeared(table).sum(axis=1) / np.diff(np.log10(table.period_edges))
            top = max(top, float(density.max()))
            label = f"{name}, {_rounded(float(density @ np.diff(np.log10(table.period_edges))))} systems"
            axes.stairs(density, table.period_edges, color=colour, lw=1.5, label=label)
        for configuration, place in (("contact", 1.05), ("near-contact", 1.10)):
            chosen = label_column(known, "configuration") == configuration
            marker, label = _MARKERS[configuration]
            periods = values(known, "period", "d")[chosen]
            axes.plot(
                periods, np.full(len(periods), place * top), marker, c="black", mfc="white", ms=4.5, ls="", label=label
            )
        axes.axvline(period_max, color="0.4", ls="--", lw=1.0, label=f"limit of the selection, {period_max:g} d")
        axes.set_ylim(0.0, 1.17 * top)
        _period_axis(axes)
        axes.set_ylabel("systems a dex of period")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,.0f}"))
        axes.set_title(title, fontsize=10)
        axes.legend(loc="center right", frameon=True, framealpha=1.0, edgecolor="none")
        return figure


def _period_axis(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(list(_PERIOD_TICKS)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda period, _: f"{period:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("P [d]")


def mass_ratio_figure(maps: Mapping[Phase, PeriodMassRatioMap], known: QTable, *, title: str) -> Figure:
    """Draw the systems by period and observed mass ratio, a panel a phase.

    Parameters
    ----------
    maps : mapping of Phase to PeriodMassRatioMap
        Numbers by period and mass ratio in even bins, smeared by 0.02 dex and 0.02 in q.
    known : `~astropy.table.QTable`
        Known systems with their published mass ratios.
    title : str
        What is shown.

    Returns
    -------
    `~matplotlib.figure.Figure`
        The figure.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.2, 4.6), layout="constrained")
        panels = figure.subplots(1, len(maps), sharex=True, sharey=True, squeeze=False)[0]
        for panel, (phase, table) in zip(panels, maps.items(), strict=True):
            name, colours, _ = _PHASES[phase]
            widths = np.diff(np.log10(table.period_edges))[:, None] * np.diff(table.mass_ratio_edges)
            density = _smeared(table) / widths
            mesh = panel.pcolormesh(
                table.period_edges,
                table.mass_ratio_edges,
                density.T,
                cmap=mpl.colormaps[colours].with_extremes(under="white"),
                norm=LogNorm(1e-4 * float(density.max()), float(density.max())),
                rasterized=True,
            )
            figure.colorbar(mesh, ax=panel, label="systems a dex of period and unit of mass ratio")
            _draw_known_ratios(panel, known, _configurations(phase))
            panel.set_title(f"{name}: {_rounded(float(table.content.sum()))} systems", fontsize=10)
            panel.set_ylim(0.2, 1.01)
            _period_axis(panel)
        panels[0].set_ylabel("q, less over more massive star")
        handles = [
            Line2D([], [], color="black", mfc="white", marker=marker, ls="", ms=4.5, label=label)
            for configuration, (marker, label) in _MARKERS.items()
            if (label_column(known, "configuration") == configuration).any()
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8.5)
        figure.suptitle(title, fontsize=10)
        return figure


def _smeared(table: PeriodMassRatioMap) -> FloatArray:
    """Content without the steps of the grid; what is smeared beyond q = 1 comes back."""
    widths = np.diff(np.log10(table.period_edges))[0], np.diff(table.mass_ratio_edges)[0]
    smeared = gaussian_filter(table.content, (_SMEAR_LOG_P / widths[0], _SMEAR_Q / widths[1]), mode="reflect")
    return np.asarray(smeared, dtype=np.float64)


def _draw_known_ratios(axes: Axes, known: QTable, configurations: tuple[str, ...]) -> None:
    for configuration in configurations:
        chosen = label_column(known, "configuration") == configuration
        q = values(known, "mass_ratio")[chosen]
        axes.errorbar(
            values(known, "period", "d")[chosen],
            np.minimum(q, 1.0 / q),
            # Where no error is published none is drawn.
            yerr=np.nan_to_num(values(known, "e_mass_ratio")[chosen]),
            fmt=_MARKERS[configuration][0],
            color="black",
            mfc="white",
            ms=4.5,
            lw=0.8,
        )


def _rounded(number: float) -> str:
    """Give a number with two figures, which is more than is known of it."""
    digits = max(1 - int(np.floor(np.log10(number))), 0) if number > 0 else 0
    rounded: Any = float(f"{number:.2g}")
    return f"{rounded:,.{digits}f}"
