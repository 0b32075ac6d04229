"""Figures of fits: folded light curves with both best models, and the posterior of each model."""

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from cbminer.columns import FloatArray
from cbminer.ranking.fit_data import BANDS, BinnedBand
from cbminer.ranking.fit_likelihood import CurveLikelihood
from cbminer.ranking.fit_results import HypothesisFit, StarFit
from cbminer.ranking.fit_sampling import load_extra
from cbminer.ranking.fit_settings import FitSettings
from cbminer.ranking.fit_tables import half_phases
from cbminer.report.figures import STYLE

__all__ = ["corner_figure", "fit_figure"]

# Colours of Okabe & Ito, which colour-blind readers can tell apart; the dashes tell the models apart without them.
_LINES = {
    "contact": {"color": "#0072B2", "ls": "-", "label": "contact"},
    "near_contact": {"color": "#D55E00", "ls": "--", "label": "near contact"},
}
_LABELS = {
    "mass_ratio": "q",
    "inclination": "i [deg]",
    "fillout_factor": "fill-out",
    "lobe_filling_1": "$R_1/R_{L,1}$",
    "lobe_filling_2": "$R_2/R_{L,2}$",
    "teff_ratio": "$T_2/T_1$",
    "third_light": "$l_3$",
    "model_error": "model error [mmag]",
}
_SHOWN = (-0.25, 1.25)


def fit_figure(fit: StarFit, *, settings: FitSettings, period: float, survey: str) -> Figure:
    """Draw the light curves of a star with the best models of both hypotheses and the residuals.

    Parameters
    ----------
    fit : StarFit
        The fit.
    settings : FitSettings
        Its settings.
    period : float
        Period in days.
    survey : str
        Survey; "mock" marks the figure as simulated.

    Returns
    -------
    `~matplotlib.figure.Figure`
        A column a band; points are means in bins of phase.
    """
    bands = [band for band in BANDS if band in fit.curves.bands]
    data = CurveLikelihood(fit.curves, half_phases(settings.tables), settings.priors.phase_error)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(4.8 * len(bands) + 0.6, 7.0), 6.8), layout="constrained")
        axes = figure.subplots(3, len(bands), sharex=True, squeeze=False, height_ratios=[3.0, 1.0, 1.0])
        for column, band in enumerate(bands):
            _draw_band(axes[:, column], fit, data, band)
        for row, words in enumerate(("magnitude", "less contact\n[mmag]", "less near contact\n[mmag]")):
            axes[row, 0].set_ylabel(words, fontsize=11 if row == 0 else 8)
        figure.suptitle(_title(fit, period, survey), fontsize=6.8)
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        return figure


def corner_figure(fit: StarFit, model: HypothesisFit, *, survey: str) -> Figure:
    """Draw the posterior of a model.

    Parameters
    ----------
    fit : StarFit
        The fit of the star.
    model : HypothesisFit
        One of its models.
    survey : str
        Survey; "mock" marks the figure as simulated.

    Returns
    -------
    `~matplotlib.figure.Figure`
        Marginal distributions with 16, 50 and 84 per cent, and contours of 39 and 86 per cent.

    Raises
    ------
    SettingsError
        If corner is not installed.
    """
    corner = load_extra("corner")
    names = model.hypothesis.parameters
    samples = model.samples * np.where([name == "model_error" for name in names], 1e3, 1.0)
    with mpl.rc_context({**STYLE, "font.size": 8.0, "axes.labelsize": 9.0}):
        figure = Figure(figsize=(1.5 * len(names) + 0.8, 1.5 * len(names) + 0.8))
        corner.corner(
            samples,
            labels=[_LABELS[name] for name in names],
            range=[_range(column) for column in samples.T],
            quantiles=[0.16, 0.5, 0.84],
            levels=[0.393, 0.865],
            bins=24,
            smooth=0.8,
            color=_LINES[model.name]["color"],
            max_n_ticks=3,
            plot_datapoints=False,
            plot_density=True,
            fig=figure,
        )
        words = _LINES[model.name]["label"]
        simulated = " (simulated)" if survey == "mock" else ""
        figure.suptitle(f"{fit.star}{simulated}: {words} model, ln Z = {model.ln_Z:.1f}", fontsize=10)
        return figure


def _range(column: FloatArray) -> tuple[float, float]:
    """Limits of an axis, also where all samples are one."""
    low, high = (float(limit) for limit in np.quantile(column, [0.002, 0.998]))
    margin = max(0.05 * (high - low), 1e-6 * max(abs(low), 1.0))
    return low - margin, high + margin


def _title(fit: StarFit, period: float, survey: str) -> str:
    simulated = " (simulated)" if survey == "mock" else ""
    odds = f"{fit.ln_bayes_contact:+.1f} ± {fit.e_ln_bayes_contact:.1f}"
    chi2 = ", ".join(f"{model.chi2:.0f} / {model.dof} {_LINES[model.name]['label']}" for model in fit.fits)
    lines = [
        f"{fit.star}{simulated}, P = {period:.5f} d",
        f"ln Bayes factor, contact over near contact: {odds}; $\\chi^2$: {chi2}",
    ]
    for model in fit.fits:
        values = []
        for name in model.hypothesis.parameters[:-1]:
            low, median, high = model.interval(name)
            digits = 1 if name == "inclination" else 3 if name.startswith("lobe") else 2
            values.append(
                f"{_LABELS[name].removesuffix(' [deg]')} = {median:.{digits}f} ± {(high - low) / 2:.{digits}f}"
            )
        lines.append(f"{_LINES[model.name]['label']}: {', '.join(values)}")
    return "\n".join(lines)


def _draw_band(axes: Any, fit: StarFit, data: CurveLikelihood, band: str) -> None:
    points = fit.curves.bands[band]
    _error_bars(axes[0], points, points.mag, label="means in bins of phase")
    reach = 0.0
    for row, model in enumerate(fit.fits, start=1):
        way = int(model.best_swapped)
        third_light = float(model.best[model.hypothesis.parameters.index("third_light")])
        phase, magnitude = data.model(model.best_flux, third_light, way)[band]
        axes[0].plot(*_extended(phase, magnitude), lw=1.3, zorder=3, **_LINES[model.name])
        residual = 1e3 * (points.mag - np.interp(points.phase, phase, magnitude))
        _error_bars(axes[row], points, residual, scale=1e3, colour=_LINES[model.name]["color"])
        axes[row].axhline(0.0, color="0.4", lw=0.8)
        reach = max(reach, 1.15 * float(np.quantile(np.abs(residual), 0.97)))
    for panel in axes[1:]:
        panel.set_ylim(reach, -reach)
    axes[0].invert_yaxis()
    axes[0].set_title(f"{band}, {points.n_points} points", fontsize=9)
    axes[-1].set_xlabel("phase")
    axes[-1].set_xlim(*_SHOWN)


def _error_bars(
    axes: Any, points: BinnedBand, height: FloatArray, *, scale: float = 1.0, colour: Any = "0.35", label: str = ""
) -> None:
    phase, shown = _extended(points.phase, height)
    _, error = _extended(points.phase, scale * points.mag_err)
    axes.errorbar(phase, shown, yerr=error, fmt="o", ms=2.2, lw=0.6, color=colour, label=label or None, zorder=2)


def _extended(phase: FloatArray, value: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Repeat a curve to the left and to the right."""
    return np.concatenate([phase - 1.0, phase, phase + 1.0]), np.tile(value, 3)
