"""Figure of a comparison with a published list: both planes with the stars that both, or only one of them, have."""

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from cbminer.columns import FloatArray, label_column, values
from cbminer.report.against import COMMON, NOT_COUNTED, ONLY_HERE, ONLY_THERE, Comparison
from cbminer.report.figures import STYLE

__all__ = ["comparison_figure"]

_GREY, _BLACK = "0.75", "black"
# Marker, colour and label of each group; colours of Okabe & Ito.
_GROUPS = {
    ONLY_THERE: ("^", "#E69F00", "only in the list"),
    ONLY_HERE: ("s", "#56B4E9", "only in the sample"),
    COMMON: ("o", "#0072B2", "in both"),
}
# Stars of the catalogue beyond these percentiles of each axis do not stretch it.
_SHOWN = (0.5, 99.5)


def comparison_figure(comparison: Comparison) -> Figure:
    """Draw the colour-magnitude diagram and magnitude against period with the three groups.

    Parameters
    ----------
    comparison : Comparison
        What came of the comparison.

    Returns
    -------
    `~matplotlib.figure.Figure`
        The figure. Listed stars that the catalogue lacks, or without a colour, are counted in the legend alone.
    """
    stars, table = comparison.run.stars, comparison.table
    groups = label_column(table, "group")
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 5.4), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        panels = ((left, _colour, "$(V-I)_0$ [mag]"), (right, _log_period, r"$\log_{10}(P\,/\,\mathrm{d})$"))
        for axes, across, label in panels:
            axes.scatter(
                across(stars), values(stars, "M_V", "mag"), s=3, c=_GREY, lw=0, rasterized=True, label="catalogue"
            )
            for group, (marker, colour, name) in _GROUPS.items():
                mine = table[groups == group]
                x, y = across(mine), values(mine, "M_V", "mag")
                shown = int(np.isfinite(x + y).sum())
                axes.scatter(
                    x, y, s=16, marker=marker, c=colour, ec=_BLACK, lw=0.3, zorder=3,
                    label=f"{name} ({len(mine):,}" + (f", {shown:,} shown)" if shown < len(mine) else ")"),
                )  # fmt: skip
            axes.set_xlabel(label)
            drawn = table[groups != NOT_COUNTED]
            axes.set_xlim(*_extent(across(stars), across(drawn)))
        left.set_ylabel(r"$M_V$ at maximum light [mag]")
        low, high = _extent(values(stars, "M_V", "mag"), values(table, "M_V", "mag"))
        left.set_ylim(high, low)
        box = comparison.run.settings.selection.main_sequence
        for limit in (box.M_V_bright, box.M_V_faint):
            left.axhline(limit, color=_BLACK, ls=":", lw=0.9)
            right.axhline(limit, color=_BLACK, ls=":", lw=0.9)
        left.axvline(box.VI0_ceiling, color=_BLACK, ls=":", lw=0.9, label="limits of the cuts")
        right.axvline(np.log10(comparison.run.settings.selection.period.period_max), color=_BLACK, ls=":", lw=0.9)
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8.5)
        figure.suptitle(_title(comparison), fontsize=10)
        return figure


def _title(comparison: Comparison) -> str:
    simulated = " (simulated stars, not observations)" if comparison.run.survey == "mock" else ""
    return f"{comparison.run.folder.name}{simulated} against {comparison.published.name}"


def _colour(table: Any) -> FloatArray:
    return values(table, "VI0", "mag")


def _log_period(table: Any) -> FloatArray:
    period = values(table, "period", "d")
    logarithm: FloatArray = np.log10(np.where(period > 0, period, np.nan))
    return logarithm


def _extent(background: FloatArray, drawn: FloatArray) -> tuple[float, float]:
    """Limits that hold the bulk of the catalogue and every star that is drawn."""
    known = background[np.isfinite(background)]
    ends = list(np.percentile(known, _SHOWN)) if len(known) else [0.0, 1.0]
    ends += list(drawn[np.isfinite(drawn)])
    low, high = min(ends), max(ends)
    pad = 0.03 * (high - low) or 0.1
    return low - pad, high + pad
