"""Figures of completeness: maps over two quantities, curves over one, and the cuts that lose the injected stars."""

from collections.abc import Mapping
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from astropy.table import QTable
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from cbminer.columns import label_column
from cbminer.completeness.rates import AXES, MAPS, RateMap, axis_values, jeffreys_interval, rate_map
from cbminer.report.figures import STYLE

__all__ = ["completeness_curves", "completeness_map", "cut_losses"]

Mask = npt.NDArray[np.bool_]

_NAMES: Mapping[str, str] = {"contact": "contact", "near_contact": "near contact"}
_COLOURS: Mapping[str, str] = {"contact": "#0072B2", "near_contact": "#D55E00"}
_MARKERS = ("o", "s", "^")
_CURVES = ("period", "M_V", "I_mag", "mass_ratio", "inclination", "shape")
_TICKS: Mapping[str, tuple[float, ...]] = {
    "period": (0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0),
    "mass_1": (3.0, 5.0, 10.0, 20.0, 40.0),
}
# Bins of fewer stars are not drawn in curves: their errors fill the panel.
_FEWEST = 5
_MOST_REASONS = 12
_SIMULATED = "injected stars are simulated"


def completeness_map(injected: QTable, sample: Mask, deep: Mask, *, title: str, period_max: float) -> Figure:
    """Draw the share of injected stars that end in a sample, a row a kind.

    Parameters
    ----------
    injected : `~astropy.table.QTable`
        Injected stars of one Cloud.
    sample : `~numpy.ndarray`
        Which of them are in the sample, shape (n,).
    deep : `~numpy.ndarray`
        Which of them have minima deep enough to be seen: the map of period and M_V is of these.
    title : str
        What is shown.
    period_max : float
        Limit of the selection in days, marked.

    Returns
    -------
    `~matplotlib.figure.Figure`
        The figure; bins without stars are white, and each other bin tells how many were injected.
    """
    kinds = label_column(injected, "kind")
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(13.6, 8.6), layout="constrained")
        axes = figure.subplots(2, 3)
        for row, (kind, pairs) in enumerate(MAPS.items()):
            for panel, (x, y) in zip(axes[row], pairs, strict=True):
                chosen = (kinds == kind) & (deep if x == "period" else True)
                mesh = _draw_map(panel, rate_map(injected[chosen], sample[chosen], x, y))
                if x == "period":
                    panel.axvline(period_max, color="black", ls="--", lw=1.0)
                subset = "minima deep enough to be seen" if x == "period" else "every depth"
                panel.set_title(f"{_NAMES[kind]}, {subset}", fontsize=10)
        figure.colorbar(mesh, ax=axes, label="share in the sample", shrink=0.7)
        figure.suptitle(f"{title}; numbers: stars injected; {_SIMULATED}", fontsize=10)
        return figure


def _draw_map(axes: Axes, counted: RateMap) -> QuadMesh:
    x_edges, y_edges = (np.array(AXES[name].edges) for name in (counted.x, counted.y))
    share = np.ma.masked_invalid(counted.share)
    mesh = axes.pcolormesh(x_edges, y_edges, share.T, cmap="viridis", vmin=0.0, vmax=1.0, rasterized=True)
    _scale(axes, counted.x)
    for i, j in np.argwhere(counted.n > 0):
        x = np.sqrt(x_edges[i] * x_edges[i + 1]) if AXES[counted.x].logarithmic else x_edges[i : i + 2].mean()
        ink = "black" if share[i, j] > 0.6 else "white"
        axes.text(x, y_edges[j : j + 2].mean(), str(counted.n[i, j]), ha="center", va="center", fontsize=6.5, color=ink)
    _frame(axes, x_edges, counted.n.sum(axis=1), horizontal=True)
    _frame(axes, y_edges, counted.n.sum(axis=0), horizontal=False)
    if counted.y == "M_V":
        axes.invert_yaxis()
    axes.set_ylabel(AXES[counted.y].label)
    return mesh


def _frame(axes: Axes, edges: npt.NDArray[np.float64], counts: npt.NDArray[np.int64], *, horizontal: bool) -> None:
    """Show the bins that hold stars alone."""
    held = np.flatnonzero(counts)
    if len(held):
        limits = float(edges[held[0]]), float(edges[held[-1] + 1])
        if horizontal:
            axes.set_xlim(*limits)
        else:
            axes.set_ylim(*limits)


def _scale(axes: Axes, name: str) -> None:
    axes.set_xlabel(AXES[name].label)
    if AXES[name].logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(list(_TICKS[name])))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:g}"))
        axes.xaxis.set_minor_locator(NullLocator())


def completeness_curves(injected: QTable, samples: Mapping[str, Mask], deep: Mask, *, title: str) -> Figure:
    """Draw the share of injected stars that end in each sample over one quantity at a time.

    Parameters
    ----------
    injected : `~astropy.table.QTable`
        Injected stars of one Cloud.
    samples : mapping of str to `~numpy.ndarray`
        Which of them are in which sample.
    deep : `~numpy.ndarray`
        Which of them have minima deep enough to be seen: all panels but that of the inclination are of these.
    title : str
        What is shown.

    Returns
    -------
    `~matplotlib.figure.Figure`
        The figure, with intervals of 68 %.
    """
    kinds = label_column(injected, "kind")
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12.0, 7.4), layout="constrained")
        axes = figure.subplots(2, 3, sharey=True)
        for panel, what in zip(axes.flat, _CURVES, strict=True):
            for kind in MAPS:
                axis = MAPS[kind][1][1] if what == "shape" else what
                chosen = (kinds == kind) & (deep if what != "inclination" else True)
                for marker, (name, sample) in zip(_MARKERS, samples.items(), strict=False):
                    label = f"{_NAMES[kind]}: {name}"
                    _draw_curve(panel, injected[chosen], sample[chosen], axis, (kind, marker, label))
            if what == "shape":
                panel.set_xlabel(r"10 (mean R / R$_\mathrm{L}$ - 1) below 0, fill-out above")
                panel.axvline(0.0, color="0.6", lw=0.8)
            else:
                _scale(panel, what)
            if what == "M_V":
                panel.invert_xaxis()
            panel.set_ylim(-0.03, 1.03)
            panel.set_title("every depth" if what == "inclination" else "deep enough to be seen", fontsize=9)
        for row in axes:
            row[0].set_ylabel("share in the sample")
        handles, labels = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8.5)
        figure.suptitle(f"{title}; {_SIMULATED}", fontsize=10)
        return figure


def _draw_curve(axes: Axes, stars: QTable, sample: Mask, axis: str, look: tuple[str, str, str]) -> None:
    kind, marker, label = look
    edges, place = np.array(AXES[axis].edges), axis_values(stars, axis)
    n, found = (np.histogram(place[chosen], bins=edges)[0] for chosen in (slice(None), sample))
    shown = n >= _FEWEST
    middle = np.array([np.sqrt(a * b) if AXES[axis].logarithmic else (a + b) / 2.0 for a, b in pairwise(edges)])
    if axis == "lobe_filling":
        # Both shapes share a panel: what is short of contact to the left of 0.
        middle = 10.0 * (middle - 1.0)
    share = found[shown] / n[shown]
    low, high = jeffreys_interval(found[shown], n[shown])
    axes.errorbar(
        middle[shown],
        share,
        yerr=np.clip([share - low, high - share], 0.0, None),
        color=_COLOURS[kind],
        marker=marker,
        mfc="white" if marker != _MARKERS[0] else _COLOURS[kind],
        ms=4.5,
        lw=1.1,
        elinewidth=0.8,
        label=label,
    )


def cut_losses(cuts: QTable, *, title: str) -> Figure:
    """Draw which cut loses the injected stars.

    Parameters
    ----------
    cuts : `~astropy.table.QTable`
        Rows of one Cloud of `cbminer.completeness.rates.tabulate_cuts`.
    title : str
        What is shown.

    Returns
    -------
    `~matplotlib.figure.Figure`
        The figure: the twelve reasons that remove most, and those that pass.
    """
    kinds, reasons, shares = label_column(cuts, "kind"), label_column(cuts, "rejected_by"), np.asarray(cuts["share"])
    names = np.unique(reasons)
    total = {name: float(shares[reasons == name].sum()) for name in names}
    ordered = sorted(names, key=lambda name: (name != "none", -total[name]))[: _MOST_REASONS + 1]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 0.42 * len(ordered) + 1.4), layout="constrained")
        axes = figure.add_subplot()
        for offset, kind in ((-0.2, "contact"), (0.2, "near_contact")):
            of_kind = {name: float(shares[(reasons == name) & (kinds == kind)].sum()) for name in ordered}
            places = np.arange(len(ordered)) + offset
            axes.barh(places, 100.0 * np.array(list(of_kind.values())), 0.38, color=_COLOURS[kind], label=_NAMES[kind])
        axes.set_yticks(range(len(ordered)), ["passes every cut" if name == "none" else name for name in ordered])
        axes.invert_yaxis()
        axes.set_xlabel("share of the injected stars of the kind [%]")
        axes.legend(loc="lower right")
        axes.set_title(f"{title}; {_SIMULATED}", fontsize=10)
        return figure
