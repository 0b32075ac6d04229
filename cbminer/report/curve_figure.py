"""The figure of one synthetic light curve, with PHOEBE's and the residuals below where there are any."""

import astropy.units as u
import matplotlib as mpl
import numpy as np
from astropy.table import QTable
from matplotlib.figure import Figure

from cbminer.columns import FloatArray
from cbminer.report.figures import STYLE

__all__ = ["curve_figure"]

_COLOURS = {"I": "#D55E00", "V": "#0072B2"}


def curve_figure(table: QTable, title: str, *, phoebe: FloatArray | None = None) -> Figure:
    """Draw a light curve over a phase and a half.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        Columns phase, and mag_ and flux_ for each band.
    title : str
        What it is of.
    phoebe : `~numpy.ndarray`, optional
        PHOEBE's flux, shape (bands, phases).

    Returns
    -------
    `~matplotlib.figure.Figure`
        The figure.
    """
    bands = [name.removeprefix("mag_") for name in table.colnames if name.startswith("mag_")]
    phase = np.asarray(table["phase"])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 4.4 if phoebe is None else 5.6), layout="constrained")
        heights = [1.0] if phoebe is None else [3.0, 1.0]
        axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        for number, band in enumerate(bands):
            magnitude = table[f"mag_{band}"].to_value(u.mag)
            axes[0].plot(*_extended(phase, magnitude), color=_COLOURS.get(band, "black"), label=band)
            if phoebe is not None:
                theirs = -2.5 * np.log10(phoebe[number] / phoebe[number].max())
                axes[0].plot(
                    *_extended(phase, theirs), ".", ms=3, color="black", label="PHOEBE" if number == 0 else None
                )
                axes[1].plot(*_extended(phase, 1e3 * (magnitude - theirs)), color=_COLOURS.get(band, "black"))
        axes[0].invert_yaxis()
        axes[0].set_ylabel("magnitudes below maximum light")
        axes[0].set_title(title, fontsize=9)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        if phoebe is not None:
            axes[1].axhline(0.0, color="0.6", lw=0.8)
            axes[1].set_ylabel("ours - PHOEBE\n[mmag]")
            reach = max(1.0, 1.2 * float(np.abs(axes[1].get_ylim()).max()))
            axes[1].set_ylim(reach, -reach)
        axes[-1].set_xlabel("phase")
        axes[-1].set_xlim(-0.25, 1.25)
    return figure


def _extended(phase: FloatArray, value: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Repeat a curve to the left and to the right."""
    return np.concatenate([phase - 1, phase, phase + 1]), np.tile(value, 3)
