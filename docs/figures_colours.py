"""Draw the figure of colours, bolometric corrections and the light of close pairs.

Usage: python docs/figures_colours.py [FOLDER]

Writes colours.png, by default to docs/images.
"""

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from figures import BLUE, MINUS, ORANGE, ROOT, STYLE, VERMILION, save
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cbminer.theory.atmospheres import Z_SUN, read_atmospheres
from cbminer.theory.colours import DWARF_COLOURS, bolometric_correction_v
from cbminer.theory.distortion import distortion_correction
from cbminer.theory.pair_colours import ColourSettings, ColourSource, star_colours

LOG_G, GRAVITIES = 4.0, (3.5, 4.5)
LOG_TEFF = np.linspace(np.log10(8000.0), np.log10(50000.0), 301)
KILO = 1000.0
CLOUDS = {"LMC, $Z$ = 0.0047": (0.0047, BLUE), "SMC, $Z$ = 0.0021": (0.0021, VERMILION)}
TICKS = (8, 10, 15, 20, 30, 40, 50)
# Limits of the relations of bolometric corrections, K: Lanz & Hubeny, Martins et al.
RELATIONS = (15000.0, 30000.0, 50000.0)
INCLINATIONS = {90.0: "-", 75.0: "--", 60.0: "-.", 30.0: ":"}
SUN_LIKE = {"lw": 1.2, "color": "0.45"}


def colours() -> Figure:
    """Compare sources of colours and bolometric corrections, and show what shape does to brightness."""
    figure = Figure(figsize=(9.0, 7.4), layout="constrained")
    upper, lower = figure.subplots(2, 2)
    _draw_colours(upper[0])
    _draw_difference(upper[1])
    _draw_corrections(lower[0])
    _draw_shapes(lower[1])
    return figure


def _of(source: ColourSource, Z: float, log_g: float = LOG_G) -> tuple[np.ndarray, ...]:
    """BC_V, colour, their errors and what is beyond the models, over LOG_TEFF."""
    found = star_colours(LOG_TEFF, log_g, Z=Z, settings=ColourSettings(source=source))
    return found.BC_V, found.VI0, found.e_BC_V, found.e_VI0, found.outside


def _temperature_axis(axes: Axes) -> None:
    axes.set(xscale="log", xlim=(8.0, 50.0), xlabel=r"$T_{\rm eff}$ [kK]")
    axes.set_xticks(TICKS, [str(tick) for tick in TICKS])
    axes.minorticks_off()


def _draw_colours(axes: Axes) -> None:
    teff = 10.0**LOG_TEFF / KILO
    for name, (Z, colour) in CLOUDS.items():
        _, values, _, errors, outside = _of("kurucz", Z)
        if colour == BLUE:
            axes.fill_between(teff, values - errors, values + errors, color=BLUE, alpha=0.15, lw=0, label="its error")
        axes.plot(teff, np.where(outside, np.nan, values), color=colour, label=f"atmospheres, {name}")
        axes.plot(teff, np.where(outside, values, np.nan), color=colour, ls=":", lw=1.4)
    axes.plot(teff, _of("blackbody", Z_SUN)[1], color="black", ls="--", lw=1.2, label="black body")
    axes.plot(DWARF_COLOURS.teff / KILO, DWARF_COLOURS.VI0, "o-", color=ORANGE, ms=5, label="observed dwarfs")
    _temperature_axis(axes)
    axes.set(ylabel="$(V-I)_0$ [mag]", ylim=(-0.45, 0.22), title=f"(a) colour, log $g$ = {LOG_G:g}")
    axes.legend(loc="upper right")


def _draw_difference(axes: Axes) -> None:
    """Colours less those of the atmospheres of the LMC."""
    teff = 10.0**LOG_TEFF / KILO
    reference = _of("kurucz", 0.0047)[1]
    for log_g, style in zip(GRAVITIES, ("--", ":"), strict=True):
        _, values, *_, outside = _of("kurucz", 0.0047, log_g)
        axes.plot(
            teff, np.where(outside, np.nan, values - reference), color=BLUE, ls=style, label=f"log $g$ = {log_g:g}"
        )
    for name, (Z, colour) in CLOUDS.items():
        if colour != BLUE:
            axes.plot(teff, _of("kurucz", Z)[1] - reference, color=colour, label=name)
    axes.plot(teff, _of("kurucz", Z_SUN)[1] - reference, **SUN_LIKE, label=f"solar, $Z$ = {Z_SUN:g}")
    at_dwarfs = np.interp(np.log10(DWARF_COLOURS.teff), LOG_TEFF, reference)
    axes.plot(
        DWARF_COLOURS.teff / KILO, DWARF_COLOURS.VI0 - at_dwarfs, "o-", color=ORANGE, ms=5, label="observed dwarfs"
    )
    axes.plot(teff, _of("blackbody", Z_SUN)[1] - reference, color="black", ls="--", lw=1.2, label="black body")
    axes.axhline(0.0, color=BLUE, lw=0.8)
    _temperature_axis(axes)
    title = "(b) colour, less that of LMC atmospheres"
    axes.set(ylabel="difference of $(V-I)_0$ [mag]", ylim=(-0.19, 0.12), title=title)
    axes.legend(loc="lower left", ncols=2)


def _draw_corrections(axes: Axes) -> None:
    """Bolometric corrections less the relations."""
    teff = 10.0**LOG_TEFF
    reference = _of("kurucz", 0.0047)[0]
    for name, (Z, colour) in CLOUDS.items():
        values, _, errors, _, outside = _of("kurucz", Z)
        if colour == BLUE:
            axes.fill_between(teff / KILO, -errors, errors, color=BLUE, alpha=0.15, lw=0)
            axes.axhline(0.0, color=BLUE, lw=1.5, label=name)
        else:
            axes.plot(teff / KILO, np.where(outside, np.nan, values - reference), color=colour, label=name)
    axes.plot(teff / KILO, _of("kurucz", Z_SUN)[0] - reference, **SUN_LIKE, label=f"solar, $Z$ = {Z_SUN:g}")
    for low, high, style, name in (
        (*RELATIONS[:2], "-", "Lanz & Hubeny 2007"),
        (*RELATIONS[1:], "--", "Martins et al. 2005"),
    ):
        inside = (teff > low) & (teff <= high)
        axes.plot(
            teff[inside] / KILO,
            bolometric_correction_v(teff[inside]) - reference[inside],
            color=ORANGE,
            ls=style,
            lw=1.8,
            label=name,
        )
    axes.plot(teff / KILO, _of("blackbody", Z_SUN)[0] - reference, color="black", ls="--", lw=1.2, label="black body")
    lowest = 10.0 ** read_atmospheres().log_teff[0] / KILO
    _temperature_axis(axes)
    axes.set(xlim=(lowest, 50.0), ylim=(-0.22, 0.56), ylabel="difference of $BC_V$ [mag]")
    axes.set_title("(c) $BC_V$, less that of LMC atmospheres")
    axes.legend(loc="upper left", ncols=2, fontsize=8.5)


def _draw_shapes(axes: Axes) -> None:
    """Change of V at maximum light by the shape, from detached pairs to L2."""
    for q, colour in ((1.0, BLUE), (0.4, VERMILION)):
        filling = _fillings(q)
        for tilt, style in INCLINATIONS.items():
            change = distortion_correction(tilt, filling, mass_ratio=q).M_V
            name = f"$q$ = {q:g}, $i$ = {tilt:g}°"
            axes.plot(filling, change, color=colour, ls=style, lw=1.6, label=name)
    axes.axvline(1.0, color="0.6", lw=0.8)
    axes.text(1.01, 0.004, "contact", va="top", color="0.4")
    axes.text(0.99, 0.004, "detached", va="top", ha="right", color="0.4")
    axes.set(xlim=(0.6, 1.33), ylim=(-0.2, 0.01), xlabel="$R/R_L$ of the less massive star")
    axes.set(ylabel=f"$V$ at maximum {MINUS} $V$ of spheres [mag]", title="(d) shape, 25 kK")
    axes.legend(loc="lower left", fontsize=8.5)


def _fillings(q: float) -> np.ndarray:
    """Give fillings up to where star 2 reaches L2."""
    filling = np.linspace(0.6, 1.35, 301)
    return filling[~distortion_correction(90.0, filling, mass_ratio=q).outside]


def main() -> None:
    """Draw the figure."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        save(colours(), folder / "colours.png", shaded=False)


if __name__ == "__main__":
    main()
