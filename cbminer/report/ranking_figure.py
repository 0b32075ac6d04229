"""The figure of the odds: candidates by their probability over the density of the contact population."""

import matplotlib as mpl
import numpy as np
from astropy.table import QTable
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cbminer.blocks import Blocks, columns_of, floats_of, rows_of
from cbminer.columns import FloatArray, label_column, values
from cbminer.report.figures import STYLE
from cbminer.theory.density import AxisName, PopulationDensity
from cbminer.theory.quantiles import contour_levels

__all__ = ["ranking_figure"]

_ACROSS: tuple[AxisName, AxisName] = ("log_P", "VI0")
_LABELS = {"log_P": r"$\log_{10} (P / \mathrm{d})$", "VI0": r"$(V-I)_0$ [mag]"}
_DRAWN = ("period", "VI0", "M_V", "post_contact", "bona_fide", "selected")
_SHOWN = {"log_P": (-0.55, 0.52), "VI0": (-0.48, 0.08), "M_V": (-7.0, 0.5)}


def ranking_figure(stars: QTable | Blocks, density: PopulationDensity | None, *, galaxy: str, contour: float) -> Figure:
    """Draw the candidates of a Cloud and the contour that makes the bona fide set.

    Parameters
    ----------
    stars : `~astropy.table.QTable` or blocks
        Judged stars of the Cloud.
    density : PopulationDensity or None
        Density of the contact binaries that count; None without a population, of which nothing is drawn then.
    galaxy : str
        Name of the Cloud.
    contour : float
        Part of the population within the contour.

    Returns
    -------
    `~matplotlib.figure.Figure`
        Period and colour against magnitude, a panel each. The contour is that of the plane for typical errors; whether
        a star is bona fide follows from all three axes and its own errors.
    """
    chosen = rows_of(stars, _DRAWN, lambda block: np.asarray(block["selected"], dtype=bool))
    e_m_v, e_vi0 = (_typical(floats_of(stars, name, "mag")) for name in ("e_M_V", "e_VI0"))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.4, 5.2), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, x in zip(panels, _ACROSS, strict=True):
            if density is not None:
                _draw_density(axes, density, x, (e_m_v, e_vi0), contour)
            points = _draw_stars(axes, chosen, x)
            axes.set(xlabel=_LABELS[x], xlim=_SHOWN[x])
        panels[0].set(ylabel=r"$M_V$ [mag]", ylim=_SHOWN["M_V"][::-1])
        panels[0].legend(handles=_legend(None if density is None else contour), loc="lower right")
        figure.colorbar(points, ax=panels, label="probability of contact", pad=0.01)
        simulated = any("mock" in label_column(block, "survey") for block in columns_of(stars, ["survey"]))
        note = ", simulated stars, not observations" if simulated else ""
        over = "" if density is None else " over the contact population"
        figure.suptitle(f"{galaxy}: {len(chosen)} candidates{over}{note}", fontsize=10)
        return figure


def _typical(errors: FloatArray) -> float:
    known = errors[np.isfinite(errors)]
    return float(np.median(known)) if len(known) else 0.0


def _draw_density(
    axes: Axes, density: PopulationDensity, x: AxisName, errors: tuple[float, float], contour: float
) -> None:
    plane = density.plane(x, "M_V", e_M_V=errors[0], e_VI0=errors[1])
    peak = float(plane.density.max())
    axes.imshow(
        plane.density.T,
        extent=(plane.x_edges[0], plane.x_edges[-1], plane.y_edges[0], plane.y_edges[-1]),
        origin="lower",
        aspect="auto",
        cmap=mpl.colormaps["Greys"].with_extremes(under="white"),
        norm=LogNorm(1e-3 * peak, 30.0 * peak),
    )
    middles = ((edges[1:] + edges[:-1]) / 2.0 for edges in (plane.x_edges, plane.y_edges))
    axes.contour(*middles, plane.density.T, levels=contour_levels(plane.density, (contour,)), colors="black")


def _draw_stars(axes: Axes, stars: QTable, x: AxisName) -> PathCollection:
    period = values(stars, "period", "d")
    place = np.log10(period) if x == "log_P" else values(stars, x, "mag")
    magnitude, probability = values(stars, "M_V", "mag"), np.nan_to_num(values(stars, "post_contact"))
    bona_fide = np.asarray(stars["bona_fide"], dtype=bool)
    # The most probable ones on top.
    order = np.argsort(probability, kind="stable")
    for marker, mask in (("o", bona_fide), ("X", ~bona_fide)):
        drawn = order[mask[order]]
        points = axes.scatter(
            place[drawn],
            magnitude[drawn],
            c=probability[drawn],
            marker=marker,
            s=26,
            cmap="viridis",
            vmin=0.0,
            vmax=1.0,
            edgecolors="black",
            lw=0.5,
            zorder=3,
        )
    return points


def _legend(contour: float | None) -> list[Line2D]:
    kinds = (("o", "bona fide"), ("X", "other candidate")) if contour is not None else (("X", "candidate"),)
    points = [
        Line2D([], [], ls="", marker=marker, mec="black", mfc="white", ms=6, label=label) for marker, label in kinds
    ]
    if contour is None:
        return points
    return [Line2D([], [], color="black", label=f"{100 * contour:g} % of the population"), *points]
