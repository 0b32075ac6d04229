"""Figures of a run, drawn with matplotlib's object interface in one style."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from astropy.table import QTable
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

from cbminer.blocks import Blocks, columns_of, floats_of, rows_of
from cbminer.columns import FloatArray, label_column, values
from cbminer.report.visible_points import VisiblePoints
from cbminer.selection.cutflow import SelectionSettings

__all__ = [
    "STYLE",
    "FoldedCurve",
    "MainSequenceRegion",
    "RelationBand",
    "atlas_pages",
    "colour_magnitude_diagram",
    "cutflow_diagram",
    "period_histogram",
    "period_luminosity_diagram",
    "save_figure",
]

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "axes.labelsize": 11.0,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "pdf.fonttype": 42,
}
# Colours of Okabe & Ito, which colour-blind readers can tell apart.
_GREY, _BLUE, _ORANGE, _VERMILION, _BLACK = "0.62", "#0072B2", "#E69F00", "#D55E00", "black"
_MAGNITUDES_SHOWN = (-9.0, 4.5)
_COLOURS_SHOWN = (-0.9, 1.6)
# Cells of the colour-magnitude diagram, a third of its smallest marker.
_CELLS = (700, 720)
_COLUMNS, _ROWS = 4, 6
_DPI = 150
_PERIOD_BINS = np.arange(-1.0, 3.01, 0.1)


@dataclass(frozen=True)
class MainSequenceRegion:
    """Limits of the main-sequence box, all in mag."""

    VI0_max: float
    VI0_ceiling: float
    M_V_bright: float
    M_V_faint: float
    O_star_M_V: float


@dataclass(frozen=True)
class RelationBand:
    """Period-luminosity-colour relation M_V = a log P + b (V-I)_0 + c and the band about it.

    Attributes
    ----------
    a, b, c : float
        Coefficients.
    half_width : float
        Half width of the band for a star of median error, mag.
    mode : str
        Source of the coefficients.
    """

    a: float
    b: float
    c: float
    half_width: float
    mode: str


@dataclass(frozen=True)
class FoldedCurve:
    """A folded light curve and its fit.

    Attributes
    ----------
    star : str
        Identifier.
    lines : tuple of str
        Lines of text to show.
    phase, mag, mag_err : `~numpy.ndarray`
        Points, phase 0 at the deeper minimum.
    model_phase, model_mag : `~numpy.ndarray`
        The fit.
    """

    star: str
    lines: tuple[str, ...]
    phase: FloatArray
    mag: npt.NDArray[Any]
    mag_err: npt.NDArray[Any]
    model_phase: FloatArray
    model_mag: FloatArray


def _figure(
    width: float, height: float, *, survey: str, layout: Literal["constrained"] | None = "constrained"
) -> Figure:
    figure = Figure(figsize=(width, height), layout=layout)
    if survey == "mock":
        figure.supxlabel(
            "mock survey: simulated stars, not observations", fontsize=8, color=_VERMILION, x=0.99, ha="right"
        )
    return figure


def _first(stars: QTable | Blocks, name: str) -> str:
    """Text of the first star."""
    for block in columns_of(stars, [name]):
        if len(block):
            return str(label_column(block, name)[0])
    return ""


def _selected(stars: QTable) -> npt.NDArray[np.bool_]:
    return np.asarray(stars["selected"], dtype=bool)


def colour_magnitude_diagram(judged: QTable | Blocks, region: MainSequenceRegion) -> Figure:
    """Colour-magnitude diagram with the main-sequence box and the candidates.

    Parameters
    ----------
    judged : `~astropy.table.QTable` or blocks
        Judged stars.
    region : MainSequenceRegion
        The box.

    Returns
    -------
    `~matplotlib.figure.Figure`
        The figure.
    """
    with mpl.rc_context(STYLE):
        figure = _figure(6.5, 6.5, survey=_first(judged, "survey"))
        axes = figure.add_subplot()
        others, contacts = _colour_magnitude_points(judged)
        _draw_points(axes, others, _GREY, "other types", 3.0)
        _draw_points(axes, contacts, _BLUE, "survey type C", 5.0)
        chosen = rows_of(judged, ("VI0", "M_V", "selected"), _selected)
        _candidates_with_errors(axes, chosen, "VI0", "M_V")
        _draw_region(axes, region)
        _error_cross(axes, judged)
        axes.set_xlabel(r"$(V-I)_0$ [mag]")
        axes.set_ylabel(r"$M_V$ at maximum light [mag]")
        axes.set_xlim(*_COLOURS_SHOWN)
        axes.set_ylim(_MAGNITUDES_SHOWN[1], _MAGNITUDES_SHOWN[0])
        axes.legend(loc="upper right", title=_outside(others.n_beyond + contacts.n_beyond))
        return figure


def _colour_magnitude_points(judged: QTable | Blocks) -> tuple[VisiblePoints, VisiblePoints]:
    others, contacts = (VisiblePoints(_COLOURS_SHOWN, _MAGNITUDES_SHOWN, _CELLS) for _ in range(2))
    for block in columns_of(judged, ("VI0", "M_V", "type")):
        colour, magnitude = values(block, "VI0", "mag"), values(block, "M_V", "mag")
        contact = label_column(block, "type") == "C"
        others.add(colour[~contact], magnitude[~contact])
        contacts.add(colour[contact], magnitude[contact])
    return others, contacts


def _draw_points(axes: Any, points: VisiblePoints, colour: str, label: str, size: float) -> None:
    axes.scatter(*points.drawn, s=size, c=colour, label=f"{label} ({points.n_known:,})", lw=0, rasterized=True)


def _outside(hidden: int) -> str | None:
    return f"{hidden:,} stars beyond the axes" if hidden else None


def _candidates_with_errors(axes: Any, chosen: QTable, x_name: str, y_name: str) -> None:
    if len(chosen) == 0:
        return
    columns = [values(chosen, name, "mag") for name in (x_name, y_name)]
    axes.scatter(
        *columns, s=28, marker="D", c=_VERMILION, edgecolor=_BLACK, lw=0.5, zorder=4,
        label=f"candidates ({len(chosen)})",
    )  # fmt: skip


def _draw_region(axes: Any, region: MainSequenceRegion) -> None:
    left = _COLOURS_SHOWN[0]
    height = region.M_V_faint - region.M_V_bright
    axes.add_patch(
        Rectangle((left, region.M_V_bright), region.VI0_max - left, height, fill=False, ec=_BLACK, lw=1.3, zorder=3)
    )
    axes.plot(
        [region.VI0_ceiling] * 2,
        [region.M_V_bright, region.M_V_faint],
        color=_BLACK,
        ls=":",
        lw=1.2,
        label="limit widened by errors, at most",
    )
    axes.plot([left, region.VI0_max], [region.O_star_M_V] * 2, color=_BLACK, ls="--", lw=0.8)
    axes.text(left + 0.03, region.O_star_M_V - 0.12, "O", va="bottom")
    axes.text(left + 0.03, region.O_star_M_V + 0.12, "B", va="top")


def _error_cross(axes: Any, judged: QTable | Blocks) -> None:
    """Draw the median errors of the stars that have both."""
    medians = []
    for name, other in (("e_VI0", "e_M_V"), ("e_M_V", "e_VI0")):
        errors = floats_of(judged, name, "mag", where=partial(_knows, name=other), needs=[other])
        if len(errors) == 0:
            return
        medians.append(float(np.median(errors)))
    x_error, y_error = medians
    axes.errorbar([1.35], [3.4], xerr=x_error, yerr=y_error, color=_BLACK, lw=1)
    axes.text(1.35, 3.9, "median error", ha="center", va="top", fontsize=8)


def _knows(stars: QTable, *, name: str) -> npt.NDArray[np.bool_]:
    return ~np.isnan(values(stars, name, "mag"))


def period_luminosity_diagram(judged: QTable | Blocks, band: RelationBand) -> Figure:
    """Absolute magnitude against period, and residuals about the period-luminosity-colour relation.

    Parameters
    ----------
    judged : `~astropy.table.QTable` or blocks
        Judged stars of one Cloud.
    band : RelationBand
        The relation.

    Returns
    -------
    `~matplotlib.figure.Figure`
        The figure.
    """
    with mpl.rc_context(STYLE):
        figure = _figure(6.5, 7.5, survey=_first(judged, "survey"))
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        shown = ("period", "M_V", "plc_residual")
        stars = rows_of(judged, (*shown, "spectral_label"), lambda block: label_column(block, "spectral_label") != "")
        chosen = rows_of(judged, (*shown, "VI0", "selected"), _selected)
        log_period = _log_period(stars)
        limits = _period_limits(log_period)
        for axes, name in ((top, "M_V"), (bottom, "plc_residual")):
            axes.scatter(
                log_period, values(stars, name, "mag"), s=5, c=_GREY, lw=0, rasterized=True, label="main-sequence box"
            )
            _coloured_candidates(figure, axes, chosen, name, bar=axes is top)
        _draw_relation(top, band, chosen, limits)
        _draw_band(bottom, band, limits)
        top.set_ylabel(r"$M_V$ at maximum light [mag]")
        top.invert_yaxis()
        bottom.set_ylabel("residual [mag]")
        bottom.set_xlabel(r"$\log_{10}(P\,/\,\mathrm{d})$")
        bottom.set_xlim(*limits)
        bottom.set_ylim(*_residual_limits(stars, band))
        top.set_title(
            f"{_first(judged, 'galaxy')}, {band.mode}: "
            rf"$M_V = {band.a:.2f}\,\log P {band.b:+.2f}\,(V-I)_0 {band.c:+.2f}$",
            fontsize=10,
        )
        top.legend(loc="lower right")
        bottom.legend(loc="upper right")
        return figure


def _log_period(stars: QTable) -> FloatArray:
    period = values(stars, "period", "d")
    logarithm: FloatArray = np.log10(np.where(period > 0, period, np.nan))
    return logarithm


def _period_limits(log_period: FloatArray) -> tuple[float, float]:
    known = log_period[~np.isnan(log_period)]
    if len(known) == 0:
        return (-0.6, 1.0)
    return (float(min(known.min(), -0.4)) - 0.05, float(min(known.max(), 1.5)) + 0.05)


def _residual_limits(stars: QTable, band: RelationBand) -> tuple[float, float]:
    """Limits that show the band and the bulk of the stars; fainter is down, as for magnitudes."""
    residual = np.abs(values(stars, "plc_residual", "mag"))
    known = residual[~np.isnan(residual)]
    reach = max(1.3 * band.half_width, float(np.percentile(known, 98)) if len(known) else 0.0)
    return (reach, -reach)


def _coloured_candidates(figure: Figure, axes: Any, chosen: QTable, name: str, *, bar: bool) -> None:
    if len(chosen) == 0:
        return
    mappable = axes.scatter(
        _log_period(chosen), values(chosen, name, "mag"), c=values(chosen, "VI0", "mag"), cmap="viridis",
        s=34, marker="D", edgecolor=_BLACK, lw=0.5, zorder=4, label=f"candidates ({len(chosen)})",
    )  # fmt: skip
    if bar:
        figure.colorbar(mappable, ax=axes, label=r"$(V-I)_0$ of candidates [mag]", pad=0.01)


def _draw_relation(axes: Any, band: RelationBand, chosen: QTable, limits: tuple[float, float]) -> None:
    colours = values(chosen, "VI0", "mag")
    levels = np.percentile(colours, [16, 50, 84]) if len(colours) else np.array([-0.2])
    line = np.array(limits)
    for colour in levels:
        axes.plot(line, band.a * line + band.b * colour + band.c, color=_BLUE, lw=1)
        axes.annotate(
            rf"$(V-I)_0 = {colour:.2f}$", (limits[0], band.a * limits[0] + band.b * colour + band.c),
            xytext=(4, 2), textcoords="offset points", fontsize=7, color=_BLUE, annotation_clip=True,
        )  # fmt: skip


def _draw_band(axes: Any, band: RelationBand, limits: tuple[float, float]) -> None:
    half = band.half_width
    corners = [(limits[0], -half), (limits[1], -half), (limits[1], half), (limits[0], half)]
    axes.add_patch(Polygon(corners, color=_BLUE, alpha=0.12, lw=0, label="band at median error"))
    axes.axhline(0.0, color=_BLUE, lw=1)


def cutflow_diagram(cutflow: QTable, *, survey: str) -> Figure:
    """Stars left after every cut.

    Parameters
    ----------
    cutflow : `~astropy.table.QTable`
        Columns cut, n_in, n_out, n_failed, n_undecided, a row a cut.
    survey : str
        Name of the survey.

    Returns
    -------
    `~matplotlib.figure.Figure`
        The figure.
    """
    with mpl.rc_context(STYLE):
        figure = _figure(7.0, 4.2, survey=survey)
        axes = figure.add_subplot()
        first = int(cutflow["n_in"][0]) if len(cutflow) else 0
        names = ["catalogue", *(str(name) for name in cutflow["cut"])]
        counts = np.array([first, *(int(count) for count in cutflow["n_out"])])
        places = np.arange(len(names))
        axes.barh(places, np.maximum(counts, 0.5), color=_BLUE, height=0.65)
        for place, count in zip(places, counts, strict=True):
            gone = f"  ({_gone(cutflow[place - 1])})" if place else ""
            axes.annotate(
                f"{count:,}{gone}", (max(count, 0.5), place), xytext=(4, 0),
                textcoords="offset points", va="center", fontsize=8,
            )  # fmt: skip
        axes.set_yticks(places, names)
        axes.invert_yaxis()
        axes.set_xscale("log")
        # Room for the counts at the right of the longest bar.
        axes.set_xlim(0.5, max(first, 1) * 30)
        axes.set_xlabel("stars left")
        return figure


def _gone(row: Any) -> str:
    failed, unknown = int(row["n_failed"]), int(row["n_undecided"])
    return f"{failed:,} fail" + (f", {unknown:,} unknown" if unknown else "")


def period_histogram(judged: QTable | Blocks, cuts: SelectionSettings) -> Figure:
    """Periods of all stars, of those in the main-sequence box, and of the candidates.

    Parameters
    ----------
    judged : `~astropy.table.QTable` or blocks
        Judged stars.
    cuts : SelectionSettings
        The cuts: the main-sequence box and the longest period.

    Returns
    -------
    `~matplotlib.figure.Figure`
        The figure.
    """
    with mpl.rc_context(STYLE):
        figure = _figure(6.5, 4.5, survey=_first(judged, "survey"))
        axes = figure.add_subplot()
        groups: tuple[tuple[str, dict[str, Any]], ...] = (
            ("all stars", {"color": "0.85"}),
            ("main-sequence box", {"color": _BLUE, "alpha": 0.6}),
            ("candidates", {"color": _VERMILION}),
        )
        for (label, style), counts in zip(groups, _period_counts(judged, cuts), strict=True):
            name = f"{label} ({int(counts.sum()):,})"
            axes.hist(_PERIOD_BINS[:-1], bins=list(_PERIOD_BINS), weights=counts, label=name, **style)
        period_max = cuts.period.period_max
        axes.axvline(np.log10(period_max), color=_BLACK, ls="--", lw=1, label=f"P = {period_max:g} d")
        axes.set_yscale("symlog", linthresh=1.0)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(r"$\log_{10}(P\,/\,\mathrm{d})$, longer and shorter periods in the outermost bins")
        axes.set_ylabel("stars a bin of 0.1 dex")
        axes.legend(loc="upper right")
        return figure


def _period_counts(judged: QTable | Blocks, cuts: SelectionSettings) -> npt.NDArray[np.int64]:
    """Count all stars, those in the main-sequence box and the candidates in bins of log P, shape (3, bins)."""
    found = np.zeros((3, len(_PERIOD_BINS) - 1), dtype=np.int64)
    for block in columns_of(judged, ("period", "VI0", "e_VI0", "M_V", "selected")):
        log_period = _log_period(block)
        known = ~np.isnan(log_period)
        for row, mask in enumerate((known, cuts.main_sequence.apply(block).passed, _selected(block))):
            inside = np.clip(log_period[mask & known], _PERIOD_BINS[0], _PERIOD_BINS[-1] - 1e-9)
            found[row] += np.histogram(inside, bins=_PERIOD_BINS)[0]
    return found


def atlas_pages(curves: Sequence[FoldedCurve], *, survey: str) -> Iterator[Figure]:
    """Pages of folded light curves.

    Parameters
    ----------
    curves : sequence of FoldedCurve
        The light curves.
    survey : str
        Name of the survey.

    Yields
    ------
    `~matplotlib.figure.Figure`
        Pages of 24 light curves; none without curves.
    """
    per_page = _COLUMNS * _ROWS
    for first in range(0, len(curves), per_page):
        with mpl.rc_context(STYLE):
            yield _atlas_page(curves[first : first + per_page], survey)


def _atlas_page(curves: Sequence[FoldedCurve], survey: str) -> Figure:
    n_rows = -(-len(curves) // _COLUMNS)
    # Panels are all alike: a layout that measures every label takes as long as the drawing.
    figure = _figure(10.0, 2.0 * n_rows + 0.5, survey=survey, layout=None)
    width, height = figure.get_size_inches()
    figure.subplots_adjust(**_atlas_margins(width, height, n_rows))
    for place, curve in enumerate(curves):
        axes = figure.add_subplot(n_rows, _COLUMNS, place + 1)
        _draw_curve(axes, curve)
        last_row = place + _COLUMNS >= len(curves)
        axes.tick_params(labelbottom=last_row, labelsize=7)
        if last_row:
            axes.set_xlabel("phase", fontsize=8)
        if place % _COLUMNS == 0:
            axes.set_ylabel("I [mag]", fontsize=8)
    return figure


def _atlas_margins(width: float, height: float, n_rows: int) -> dict[str, float]:
    """Margins of a page in inches, as matplotlib wants them: shares of the page, and of the panels between them."""
    left, right, top, bottom, across, down = 0.62, 0.08, 0.55, 0.62, 0.46, 0.62
    panel_width = (width - left - right - (_COLUMNS - 1) * across) / _COLUMNS
    panel_height = (height - top - bottom - (n_rows - 1) * down) / n_rows
    return {
        "left": left / width,
        "right": 1.0 - right / width,
        "top": 1.0 - top / height,
        "bottom": bottom / height,
        "wspace": across / panel_width,
        "hspace": down / panel_height,
    }


def _draw_curve(axes: Any, curve: FoldedCurve) -> None:
    # The cycle is drawn from -0.25 to 1.25, so that both minima stand whole.
    phase = np.concatenate([curve.phase - 1.0, curve.phase, curve.phase + 1.0])
    shown = (phase >= -0.25) & (phase <= 1.25)
    mag, error = np.tile(curve.mag, 3)[shown], np.tile(curve.mag_err, 3)[shown]
    # One line with gaps: a line a point, as error bars are drawn otherwise, takes ten times as long.
    ends = np.stack([mag - error, mag + error, np.full(len(mag), np.nan)], axis=1).ravel()
    axes.plot(np.repeat(phase[shown], 3), ends, color="0.8", lw=0.5, rasterized=True)
    axes.plot(phase[shown], mag, ".", ms=2, color="0.35", rasterized=True)
    axes.plot(curve.model_phase, curve.model_mag, color=_VERMILION, lw=1.2, zorder=3)
    axes.set_xlim(-0.25, 1.25)
    axes.set_xticks([0.0, 0.5, 1.0])
    top, bottom = np.min(curve.model_mag), np.max(curve.model_mag)
    # Outliers do not set the scale; a quarter of the amplitude above and below does.
    margin = max(0.3 * (bottom - top), 3.0 * float(np.median(curve.mag_err)) if len(curve.mag_err) else 0.0)
    axes.set_ylim(bottom + margin, top - margin)
    # Identifiers and bands are the user's: a dollar in them begins no formula.
    axes.set_title("\n".join((curve.star, *curve.lines)), fontsize=7, parse_math=False)


def save_figure(figure: Figure, path: Path, *, formats: Sequence[str] = ("png", "pdf")) -> list[Path]:
    """Save a figure without dates, so that equal figures are equal files.

    Parameters
    ----------
    figure : `~matplotlib.figure.Figure`
        The figure.
    path : `~pathlib.Path`
        File name without its suffix.
    formats : sequence of str, optional
        Formats out of png and pdf.

    Returns
    -------
    list of `~pathlib.Path`
        The files.
    """
    metadata: dict[str, dict[str, Any]] = {"png": {"Software": None}, "pdf": {"CreationDate": None}}
    paths = []
    with mpl.rc_context(STYLE):
        for suffix in formats:
            target = path.with_name(f"{path.name}.{suffix}")
            figure.savefig(target, dpi=_DPI, metadata=metadata[suffix])
            # The first format has laid the figure out.
            figure.set_layout_engine("none")
            paths.append(target)
    return paths
