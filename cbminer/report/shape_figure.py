"""The figure of one light curve: points and smooth curve, residuals, and its place among the training curves of c."""

from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from cbminer.columns import FloatArray
from cbminer.measurement import FittedChunk
from cbminer.morphology.embedding import embedding_model
from cbminer.morphology.shape import LightCurveShapes, shape_model
from cbminer.report.classes import probabilities_text
from cbminer.report.figures import STYLE

__all__ = ["PhaseZero", "phase_offset", "shape_figure"]

PhaseZero = Literal["minimum", "catalogue", "maximum"]

_VERMILION, _BLUE = "#D55E00", "#0072B2"
_FINE = np.linspace(-0.25, 1.25, 901)


def phase_offset(fitted: FittedChunk, index: int, *, phase_zero: PhaseZero, has_epoch: bool) -> float:
    """Phase of the fold that is phase 0 of what is drawn.

    Parameters
    ----------
    fitted : FittedChunk
        Fits.
    index : int
        Place of the star.
    phase_zero : {"minimum", "catalogue", "maximum"}
        Convention.
    has_epoch : bool
        Whether the catalogue lists an epoch; without, the minimum counts.

    Returns
    -------
    float
        Phase, 0 for the catalogue's epoch.
    """
    minimum = float(fitted.shapes.phase_zero[index])
    if np.isnan(minimum) or (phase_zero == "catalogue" and has_epoch):
        return 0.0
    if phase_zero == "maximum":
        model = shape_model(fitted.shapes, index, np.linspace(0.0, 1.0, 1000, endpoint=False))
        return float((minimum + np.argmin(model) / 1000.0) % 1.0)
    return minimum


def shape_figure(
    fitted: FittedChunk,
    index: int,
    *,
    title: str,
    survey: str = "",
    phase_zero: PhaseZero = "minimum",
    epoch: float = np.nan,
) -> Figure:
    """Draw one measured light curve.

    Parameters
    ----------
    fitted : FittedChunk
        Fits.
    index : int
        Place of the star.
    title : str
        Its name.
    survey : str, optional
        Survey; mock stars are marked.
    phase_zero : {"minimum", "catalogue", "maximum"}, optional
        What phase 0 is.
    epoch : float, optional
        Epoch of the catalogue in days.

    Returns
    -------
    `~matplotlib.figure.Figure`
        The figure.
    """
    shapes = fitted.shapes
    zero = phase_offset(fitted, index, phase_zero=phase_zero, has_epoch=bool(np.isfinite(epoch)))
    points = fitted.cleaned.curves.points_of(index)
    mag, error = (
        data[points].astype(np.float64) for data in (fitted.cleaned.curves.mag, fitted.cleaned.curves.mag_err)
    )
    raw = fitted.cleaned.phase[points]
    known = bool(np.isfinite(shapes.depth1[index]))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 5.2), layout="constrained")
        grid = figure.add_gridspec(2, 2, width_ratios=[2.1, 1.0], height_ratios=[3.0, 1.0])
        curve = figure.add_subplot(grid[0, 0])
        rest = figure.add_subplot(grid[1, 0], sharex=curve)
        place = figure.add_subplot(grid[:, 1])
        _points(curve, raw - zero, mag, error)
        if known:
            shift = zero - shapes.phase_zero[index]
            curve.plot(_FINE, shape_model(shapes, index, _FINE + shift), color=_VERMILION, lw=1.4, zorder=3)
            _points(rest, raw - zero, mag - shape_model(shapes, index, raw - shapes.phase_zero[index]), error)
        _limits(curve, mag, error)
        rest.axhline(0.0, color=_VERMILION, lw=1.0)
        _symmetric(rest, mag, shapes, index, raw)
        curve.tick_params(labelbottom=False)
        curve.set_ylabel("I [mag]")
        classes = fitted.classes
        text = probabilities_text(classes.probability[index], classes.e_probability[index], sign="±")
        curve.set_title(text, fontsize=8)
        rest.set_ylabel("residual [mag]")
        rest.set_xlabel(f"phase (0: {_name_zero(phase_zero, known=known, has_epoch=bool(np.isfinite(epoch)))})")
        _training_plane(place, shapes, index)
        mark = "   SIMULATED, not observed" if survey == "mock" else ""
        period = fitted.periods.period[index]
        figure.suptitle(f"{title}   P = {period:.6f} d{mark}" if np.isfinite(period) else f"{title}   no period{mark}")
    return figure


def _name_zero(phase_zero: PhaseZero, *, known: bool, has_epoch: bool) -> str:
    """Say what phase 0 of the figure is: without a fit or an epoch it cannot always be what was asked for."""
    if phase_zero == "catalogue" and has_epoch:
        return "epoch of the catalogue"
    if not known:
        return "epoch of the catalogue" if has_epoch else "HJD 2450000"
    return "maximum" if phase_zero == "maximum" else "deeper minimum"


def _points(axes: Any, phase: FloatArray, value: FloatArray, error: FloatArray) -> None:
    """Points from -0.25 to 1.25, so that both minima stand whole."""
    wrapped = np.concatenate([phase % 1.0 - 1.0, phase % 1.0, phase % 1.0 + 1.0])
    shown = (wrapped >= -0.25) & (wrapped <= 1.25)
    axes.errorbar(
        wrapped[shown],
        np.tile(value, 3)[shown],
        yerr=np.tile(error, 3)[shown],
        fmt=".",
        ms=3,
        color="0.3",
        ecolor="0.75",
        elinewidth=0.6,
        rasterized=True,
    )
    axes.set_xlim(-0.25, 1.25)


def _limits(axes: Any, mag: FloatArray, error: FloatArray) -> None:
    if len(mag) == 0:
        return
    low, high = float(np.min(mag - error)), float(np.max(mag + error))
    margin = 0.05 * max(high - low, 0.01)
    axes.set_ylim(high + margin, low - margin)


def _symmetric(axes: Any, mag: FloatArray, shapes: LightCurveShapes, index: int, raw: FloatArray) -> None:
    residual = mag - shape_model(shapes, index, raw - shapes.phase_zero[index])
    finite = np.abs(residual[np.isfinite(residual)])
    reach = max(1.3 * float(np.quantile(finite, 0.99)), 1e-3) if len(finite) else 0.05
    axes.set_ylim(reach, -reach)


def _training_plane(axes: Any, shapes: LightCurveShapes, index: int) -> None:
    """Draw c of the training curves against their sums of radii, and the star's c as a band."""
    model = embedding_model()
    c = model.c_of_plane(model.planar)
    axes.plot(model.label, c, ".", ms=1.5, color="0.7", rasterized=True)
    axes.plot([], [], ".", color="0.7", label="training curves")
    value, error = shapes.c[index], shapes.e_c[index]
    if np.isfinite(value):
        axes.axhspan(value - error, value + error, color=_VERMILION, alpha=0.35, lw=0)
        axes.axhline(value, color=_VERMILION, lw=1.2, label=f"c = {value:.3f} ± {error:.3f}")
    axes.axhline(0.7, color=_BLUE, ls="--", lw=1.0, label="c = 0.7, limit of the cut")
    axes.set_xlabel(r"$(R_1 + R_2)/a$ of training curves" + "\n(pure cosine: 1.45)")
    axes.set_ylabel("morphology parameter c")
    axes.set_xlim(0.0, 1.5)
    axes.set_ylim(0.0, 1.0)
    axes.legend(loc="lower right", fontsize=7.5)
