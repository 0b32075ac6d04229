"""Panels of a vetting sheet for print."""

from textwrap import fill, wrap
from typing import Any

import numpy as np
from astropy.table import QTable
from matplotlib.figure import SubFigure
from matplotlib.patches import Rectangle

from cbminer.columns import FloatArray, label_column, values
from cbminer.flags import FLAG_MEANINGS, Flag
from cbminer.ranking.fit_data import BANDS, FoldedPoints
from cbminer.ranking.hypotheses import HYPOTHESES, HYPOTHESIS_LABELS
from cbminer.report.page.curves import MODEL_PHASE, CurveModel, ShownCurves
from cbminer.report.page.data import CutVerdict, ReportData
from cbminer.report.page.diagrams import CloudDiagrams, PlaneRanges, colour_free_magnitude, log_period
from cbminer.report.page.odds import ODDS_PARTS, absent_odds

__all__ = ["draw_curves", "draw_numbers", "draw_odds", "draw_places", "sheet_title"]

# Colours of Okabe & Ito, which colour-blind readers can tell apart.
_BLUE, _VERMILION = "#0072B2", "#D55E00"
_MODELS: dict[str, dict[str, Any]] = {
    "contact": {"color": _BLUE, "ls": "-", "lw": 1.2},
    "near_contact": {"color": _VERMILION, "ls": "--", "lw": 1.2},
    "shape": {"color": "black", "ls": "-", "lw": 0.8},
}
# From each name of the table to how it is written and its unit.
_NUMBERS: tuple[tuple[str, str, str], ...] = (
    ("period", "P", "d"), ("I_mag", "I", "mag"), ("V_mag", "V", "mag"), ("E_VI", "E(V-I)", "mag"),
    ("M_V", r"$M_V$", "mag"), ("VI0", r"$(V-I)_0$", "mag"), ("depth1", "depth 1", "mag"), ("depth2", "depth 2", "mag"),
    ("oconnell", "O'Connell", "mag"), ("W", "W", ""), ("asymmetry", "asymmetry", ""), ("c", "c", ""),
    ("temperature_ratio", r"$T_2/T_1$", ""),
)  # fmt: skip
_DECIMALS = {"period": 7, "W": 4, "depth1": 4, "depth2": 4, "oconnell": 4}
_LINE_WIDTH = 56
_LABEL_WIDTH = 30
_TEXT_SIZE, _LINES_MAX = 6.6, 27


def sheet_title(report: ReportData, index: int) -> str:
    """Title of a sheet.

    Parameters
    ----------
    report : ReportData
        Contents of a report.
    index : int
        Place of the star.

    Returns
    -------
    str
        Star, verdict, and whether it is simulated.
    """
    star = report.stars[index : index + 1]
    if bool(star["selected"][0]):
        verdict = f"candidate, rank {int(star['rank'][0])}{', bona fide' if bool(star['bona_fide'][0]) else ''}"
    else:
        verdict = f"out by {_plain(label_column(star, 'rejected_by')[0])}"
    simulated = "   SIMULATED, not observed" if report.is_simulated else ""
    name, galaxy, kind = (_plain(label_column(star, column)[0]) for column in ("id", "galaxy", "type"))
    return f"{name}   {galaxy}, type {kind}   {verdict}{simulated}"


def _plain(text: str) -> str:
    """Text that matplotlib does not take for mathematics."""
    return str(text).replace("$", r"\$")


def draw_curves(figure: SubFigure, report: ReportData, index: int) -> None:
    """Draw the folded light curves with residuals.

    Parameters
    ----------
    figure : `~matplotlib.figure.SubFigure`
        Where to draw.
    report : ReportData
        Contents of a report.
    index : int
        Place of the star.
    """
    axes = figure.subplots(2, 2, sharex=True, height_ratios=[2.6, 1.0])
    curves = report.curves.get(str(label_column(report.stars, "id")[index]))
    for column, band in enumerate(BANDS):
        top, bottom = axes[:, column]
        if curves is None or band not in curves.points:
            for panel in (top, bottom):
                panel.set_axis_off()
            if curves is not None:
                top.text(0.5, 0.5, f"no light curve in {band} at hand", ha="center", transform=top.transAxes)
            continue
        _draw_band(top, bottom, curves, band)
    if curves is None:
        figure.text(0.5, 0.5, _absence(report, index), ha="center", va="center")
    elif curves.models:
        axes[0, 0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)


def _absence(report: ReportData, index: int) -> str:
    """Say why no light curve of a star is drawn."""
    name = str(label_column(report.stars, "id")[index])
    return _plain(report.absent.get(name, "Light curves are drawn of listed stars only."))


def _draw_band(top: Any, bottom: Any, curves: ShownCurves, band: str) -> None:
    points = curves.points[band]
    models = [model for model in curves.models if band in model.mag]
    _error_bars(top, points, points.mag)
    phase = np.concatenate([MODEL_PHASE - 1.0, MODEL_PHASE, MODEL_PHASE + 1.0])
    for model in models:
        top.plot(phase, np.tile(model.mag[band], 3), label=_legend(model), zorder=3, **_MODELS[model.kind])
    # Outliers do not set the scale, but a narrow minimum does.
    low, high = (float(limit) for limit in np.quantile(points.mag, [0.02, 0.98]))
    for model in models:
        low, high = min(low, float(model.mag[band].min())), max(high, float(model.mag[band].max()))
    margin = 0.15 * (high - low) + 0.01
    top.set_ylim(high + margin, low - margin)
    top.set(xlim=(-0.25, 1.25), xticks=np.arange(-0.25, 1.26, 0.25))
    top.set_ylabel(f"{band} [mag]")
    top.text(0.99, 0.03, f"{len(points)} points", ha="right", transform=top.transAxes, fontsize=6.5)
    lowest = bottom if models else top
    lowest.set_xlabel(f"phase (0: {curves.zero})")
    if models:
        residual = models[0].residuals(band, points)
        _error_bars(bottom, points, residual)
        bottom.axhline(0.0, color="black", lw=0.7)
        reach = 1.3 * float(np.quantile(np.abs(residual), 0.97)) + 1e-3
        bottom.set_ylim(reach, -reach)
        bottom.set_ylabel("residual [mag]" if models[0].kind == "shape" else "less contact\nmodel [mag]")
    else:
        bottom.set_axis_off()
        # Both panels share their phases, which only the lower one would write.
        top.tick_params(labelbottom=True)


def _legend(model: CurveModel) -> str:
    return model.name if model.is_physical else "smooth curve of I, no model of a binary"


def _error_bars(axes: Any, points: FoldedPoints, height: FloatArray) -> None:
    phase = np.concatenate([points.phase - 1.0, points.phase, points.phase + 1.0])
    shown = (phase >= -0.25) & (phase <= 1.25)
    axes.errorbar(
        phase[shown], np.tile(height, 3)[shown], yerr=np.tile(points.mag_err, 3)[shown], fmt=".", ms=2, color="0.35",
        ecolor="0.8", elinewidth=0.5, rasterized=True,
    )  # fmt: skip


def draw_places(figure: SubFigure, report: ReportData, index: int) -> None:
    """Draw the star among the candidates in colour, magnitude and period.

    Parameters
    ----------
    figure : `~matplotlib.figure.SubFigure`
        Where to draw.
    report : ReportData
        Contents of a report.
    index : int
        Place of the star.
    """
    panels = figure.subplots(1, 3)
    star = report.stars[index : index + 1]
    galaxy = str(label_column(star, "galaxy")[0])
    if galaxy not in report.diagrams:
        for panel in panels:
            panel.set_axis_off()
        return
    diagrams = report.diagrams[galaxy]
    others = report.stars[
        (label_column(report.stars, "galaxy") == galaxy) & np.asarray(report.stars["selected"], dtype=bool)
    ]
    _draw_colour(panels[0], diagrams, others, star)
    _draw_relation(panels[1], diagrams, others, star)
    _draw_population(panels[2], diagrams, others, star)


def _draw_stars(
    panel: Any,
    others: tuple[FloatArray, FloatArray],
    star: tuple[FloatArray, FloatArray],
    error: tuple[FloatArray | None, FloatArray],
) -> None:
    """Draw candidates as points and the star in a ring, with its errors."""
    panel.plot(*others, ".", ms=2.5, color="0.6", zorder=2, rasterized=True)
    if np.isfinite(star[0][0] + star[1][0]):
        panel.errorbar(*star, xerr=error[0], yerr=error[1], color="black", lw=0.9, zorder=4)
        panel.plot(*star, "o", ms=8, mfc="none", mec=_VERMILION, mew=1.6, zorder=5)
    else:
        panel.text(0.5, 0.5, "place of the star not known", ha="center", transform=panel.transAxes)


def _draw_contours(panel: Any, diagrams: CloudDiagrams, axis: str) -> None:
    for contour in diagrams.contours.get(axis, ()):
        style = _MODELS[contour.kind]
        for line in contour.lines:
            panel.plot(line[:, 0], line[:, 1], color=style["color"], ls=style["ls"], lw=0.9, zorder=3)


def _draw_colour(panel: Any, diagrams: CloudDiagrams, others: QTable, star: QTable) -> None:
    box = diagrams.region
    _draw_contours(panel, diagrams, "VI0")
    # The box has no blue side.
    left, height = diagrams.ranges["colour"].x[0] - 1.0, box.M_V_faint - box.M_V_bright
    panel.add_patch(Rectangle((left, box.M_V_bright), box.VI0_max - left, height, fill=False, lw=1.0))
    panel.plot([box.VI0_ceiling] * 2, [box.M_V_bright, box.M_V_faint], color="black", ls=":", lw=0.9)
    places = [(values(stars, "VI0", "mag"), values(stars, "M_V", "mag")) for stars in (others, star)]
    _draw_stars(panel, places[0], places[1], (values(star, "e_VI0", "mag"), values(star, "e_M_V", "mag")))
    panel.set(xlabel=r"$(V-I)_0$ [mag]", ylabel=r"$M_V$ [mag]")
    _limits(panel, diagrams.ranges["colour"])


def _draw_relation(panel: Any, diagrams: CloudDiagrams, others: QTable, star: QTable) -> None:
    band = diagrams.band
    line = np.array([-2.0, 2.0])
    middle = band.a * line + band.c
    panel.fill_between(line, middle - band.half_width, middle + band.half_width, color=_BLUE, alpha=0.12, lw=0)
    panel.plot(line, middle, color=_BLUE, lw=1.0)
    places = [(log_period(stars), colour_free_magnitude(stars, band)) for stars in (others, star)]
    _draw_stars(panel, places[0], places[1], (None, values(star, "e_plc_residual", "mag")))
    panel.set(xlabel=r"$\log_{10}(P\,/\,\mathrm{d})$", ylabel=rf"$M_V {-band.b:+.2f}\,(V-I)_0$ [mag]")
    _limits(panel, diagrams.ranges["relation"])


def _draw_population(panel: Any, diagrams: CloudDiagrams, others: QTable, star: QTable) -> None:
    _draw_contours(panel, diagrams, "log_P")
    for kind, label in (("contact", "contact population"), ("near_contact", "near-contact population")):
        if diagrams.contours:
            panel.plot([], [], color=_MODELS[kind]["color"], ls=_MODELS[kind]["ls"], lw=0.9, label=label)
    places = [(log_period(stars), values(stars, "M_V", "mag")) for stars in (others, star)]
    _draw_stars(panel, places[0], places[1], (None, values(star, "e_M_V", "mag")))
    panel.set(xlabel=r"$\log_{10}(P\,/\,\mathrm{d})$", ylabel=r"$M_V$ [mag]")
    _limits(panel, diagrams.ranges["population"])
    if diagrams.contours:
        panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=6)


def _limits(panel: Any, ranges: PlaneRanges) -> None:
    """Set the ranges of the axes; magnitudes grow downwards."""
    panel.set_xlim(*ranges.x)
    panel.set_ylim(ranges.y[1], ranges.y[0])


def draw_odds(figure: SubFigure, star: QTable) -> None:
    """Draw the parts of the odds and the probabilities of the hypotheses.

    Parameters
    ----------
    figure : `~matplotlib.figure.SubFigure`
        Where to draw.
    star : `~astropy.table.QTable`
        One judged star.
    """
    left, right = figure.subplots(1, 2)
    (reason,) = absent_odds(star)
    if reason is not None:
        for panel in (left, right):
            panel.set_axis_off()
        left.text(0.0, 0.5, f"odds are not known: {reason[0].lower()}{reason[1:]}", transform=left.transAxes)
        return
    _draw_parts(left, star)
    _draw_posterior(right, star)


def _draw_parts(panel: Any, star: QTable) -> None:
    odds = np.array([values(star, part.name)[0] for part in ODDS_PARTS])
    known = np.nan_to_num(odds, posinf=0.0, neginf=0.0)
    place = np.arange(len(odds))
    panel.barh(place, known, color=np.where(known < 0, _VERMILION, _BLUE), height=0.6)
    panel.axvline(0.0, color="black", lw=0.8)
    reach = 1.6 * max(float(np.abs(known).max()), 1.0)
    flags = int(star["flags"][0])
    for row, (part, shown, value) in enumerate(zip(ODDS_PARTS, known, odds, strict=True)):
        side = 1 if shown >= 0 else -1
        panel.annotate(part.text(float(value), flags), (shown, row), xytext=(3 * side, 0), textcoords="offset points",
                       va="center", ha="left" if side > 0 else "right", fontsize=6.5)  # fmt: skip
    panel.set_yticks(place, [fill(part.label, _LABEL_WIDTH) for part in ODDS_PARTS])
    panel.set(xlim=(-reach, reach), xlabel="ln odds of contact against near contact")
    panel.invert_yaxis()


def _draw_posterior(panel: Any, star: QTable) -> None:
    posterior = np.array([values(star, f"post_{name}")[0] for name in HYPOTHESES])
    panel.barh(np.arange(len(posterior)), posterior, color=_BLUE, height=0.6)
    for row, value in enumerate(posterior):
        panel.annotate(
            f"{value:.4f}", (value, row), xytext=(3, 0), textcoords="offset points", va="center", fontsize=6.5
        )
    labels = [fill(HYPOTHESIS_LABELS[name], _LABEL_WIDTH) for name in HYPOTHESES]
    panel.set_yticks(np.arange(len(posterior)), labels)
    panel.set(xlim=(0.0, 1.3), xlabel="probability by light curve, place and survey")
    panel.invert_yaxis()


def draw_numbers(figure: SubFigure, report: ReportData, index: int) -> None:
    """Write the numbers of a star, every cut with its limit, and the flags.

    Parameters
    ----------
    figure : `~matplotlib.figure.SubFigure`
        Where to write.
    report : ReportData
        Contents of a report.
    index : int
        Place of the star.
    """
    panel = figure.subplots()
    panel.set_axis_off()
    star = report.stars[index : index + 1]
    cuts = [_plain(line) for cut in report.verdicts for line in _cut_lines(cut, index)]
    _write_lines(panel, 0.0, [*_number_lines(star), "", *_flag_lines(star)])
    _write_lines(panel, 0.40, cuts)


def _write_lines(panel: Any, x: float, lines: list[str]) -> None:
    """Write a column of text, smaller where there are more lines than the panel has room for."""
    size = _TEXT_SIZE * min(1.0, _LINES_MAX / len(lines))
    panel.text(x, 1.0, "\n".join(lines), va="top", fontsize=size, linespacing=1.35, transform=panel.transAxes)


def _number_lines(star: QTable) -> list[str]:
    lines = []
    for name, label, unit in _NUMBERS:
        value, error = values(star, name, unit)[0], values(star, f"e_{name}", unit)[0]
        decimals = _DECIMALS.get(name, 3)
        text = f"{value:.{decimals}f}" if np.isfinite(value) else "not known"
        text += f" ± {error:.{decimals}f}" if np.isfinite(value) and np.isfinite(error) else ""
        lines.append(f"{label} = {text} {unit if np.isfinite(value) else ''}".rstrip())
    verdict = label_column(star, "period_verdict")[0].replace("_", " ")
    lines.append(f"listed period: {verdict or 'not judged'}")
    lines.append(f"class of the light curve: {label_column(star, 'light_curve_class')[0].replace('_', ' ') or 'none'}")
    return lines


def _cut_lines(cut: CutVerdict, index: int) -> list[str]:
    verdict = cut.verdict
    word = "passes" if verdict.passed[index] else "fails" if verdict.failed[index] else "cannot be told"
    if verdict.undecided[index]:
        word += ", kept" if cut.on_undecided == "keep" else ", dropped"
    return [f"{cut.name}: {word}", *(f"      {item.describe(index)}" for item in verdict.conditions)]


def _flag_lines(star: QTable) -> list[str]:
    flags = int(star["flags"][0])
    found = [FLAG_MEANINGS[flag] for flag in Flag if flags & flag]
    return wrap(f"flags: {'; '.join(found)}", _LINE_WIDTH, subsequent_indent="   ") if found else ["no flags"]
