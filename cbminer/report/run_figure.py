"""The figure of one binary-evolution model: period, masses and radii over age, and the Hertzsprung-Russell diagram."""

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cbminer.columns import FloatArray
from cbminer.report.figures import STYLE
from cbminer.theory.grid import EvolutionGrid
from cbminer.theory.phases import Phase, PhaseSettings, step_phases
from cbminer.theory.roche_lobe import l2_radius_ratio

__all__ = ["run_figure"]

_STARS = {1: "#0072B2", 2: "#D55E00"}
# Twins lie on each other: the second star is dashed, above a wider line of the first.
_LINES: dict[int, dict[str, Any]] = {1: {"lw": 2.2, "ls": "-"}, 2: {"lw": 1.3, "ls": "--"}}
# Behind the lines: pale, and told apart without colours by their order.
_PHASES = {
    Phase.NEAR_CONTACT: "#FDF1D5",
    Phase.SEMI_DETACHED: "#E3E3E3",
    Phase.CONTACT: "#D7EBF7",
    Phase.L2_OVERFLOW: "#F6D5E5",
}
_IN_CONTACT: dict[str, Any] = {"lw": 2.6, "alpha": 0.5}
_TO_MYR = 1e-6


def run_figure(grid: EvolutionGrid, index: int, *, settings: PhaseSettings | None = None) -> Figure:
    """Draw the evolution of one binary.

    Parameters
    ----------
    grid : EvolutionGrid
        Models.
    index : int
        Row of the run in `grid.runs`.
    settings : PhaseSettings, optional
        Limits of the phases that are shaded.

    Returns
    -------
    `~matplotlib.figure.Figure`
        The figure.
    """
    part = slice(int(grid.offsets[index]), int(grid.offsets[index + 1]))
    steps = {name: column[part] for name, column in grid.arrays().items()}
    phase = step_phases(grid, settings=settings)[part]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 6.2), layout="constrained")
        axes = figure.subplot_mosaic([["period", "hrd"], ["mass", "hrd"], ["radius", "hrd"]], width_ratios=[1.25, 1])
        age = steps["age"] * _TO_MYR
        over_age = [axes[name] for name in ("period", "mass", "radius")]
        _draw_period(axes["period"], age, steps)
        _draw_masses(axes["mass"], age, steps)
        _draw_radii(axes["radius"], age, steps)
        for panel in over_age:
            _shade_phases(panel, age, phase)
            panel.set_xlim(age[0], age[-1] if age[-1] > age[0] else None)
            panel.label_outer()
        axes["radius"].set_xlabel("age / Myr")
        n_tracks = _draw_hrd(axes["hrd"], steps, phase)
        figure.suptitle(_title(grid, index), fontsize=10)
        figure.legend(handles=_handles(phase, has_track=n_tracks > 0), loc="outside lower center", ncols=4)
    return figure


def _draw_period(panel: Axes, age: FloatArray, steps: Mapping[str, FloatArray]) -> None:
    panel.plot(age, steps["period"], color="black", lw=1.2)
    panel.set_ylabel("period / d")


def _draw_masses(panel: Axes, age: FloatArray, steps: Mapping[str, FloatArray]) -> None:
    for star, colour in _STARS.items():
        panel.plot(age, steps[f"M{star}"], color=colour, **_LINES[star])
    panel.set_ylabel(r"mass / $\mathrm{M}_\odot$")


def _draw_radii(panel: Axes, age: FloatArray, steps: Mapping[str, FloatArray]) -> None:
    for star, colour in _STARS.items():
        panel.plot(age, 1 + steps[f"overflow_{star}"], color=colour, **_LINES[star])
    panel.axhline(1.0, color="0.4", lw=0.8, ls=":")
    panel.plot(age, l2_radius_ratio(steps["M2"] / steps["M1"]), color="0.4", lw=0.8, ls="-.")
    panel.set_ylabel(r"$R\,/\,R_\mathrm{L}$")


def _draw_hrd(panel: Axes, steps: Mapping[str, FloatArray], phase: npt.NDArray[np.int8]) -> int:
    """Draw the tracks of the stars whose temperature and luminosity are known, and tell how many these are."""
    contact = phase >= Phase.CONTACT
    unknown = []
    for star, colour in _STARS.items():
        log_teff, log_l = steps[f"log_Teff{star}"], steps[f"log_L{star}"]
        known = np.isfinite(log_teff + log_l)
        if not known.any():
            unknown.append(star)
            continue
        panel.plot(log_teff, log_l, color=colour, lw=0.9, ls=_LINES[star]["ls"])
        panel.plot(np.where(contact, log_teff, np.nan), log_l, color=colour, **_IN_CONTACT)
        first = int(np.argmax(known))
        panel.plot(log_teff[first], log_l[first], "o", ms=6, mfc="white", mec=colour)
    if unknown:
        names = " and ".join(str(star) for star in unknown)
        panel.text(0.5, 0.02, f"no temperature or luminosity of star {names}", ha="center", transform=panel.transAxes)
    if len(unknown) == len(_STARS):
        panel.set(xticks=[], yticks=[])
    panel.invert_xaxis()
    panel.set_xlabel(r"$\log\,(T_\mathrm{eff}\,/\,\mathrm{K})$")
    panel.set_ylabel(r"$\log\,(L\,/\,\mathrm{L}_\odot)$")
    panel.yaxis.set_label_position("right")
    panel.yaxis.tick_right()
    panel.tick_params(axis="y", left=True, right=True)
    return len(_STARS) - len(unknown)


def _shade_phases(panel: Axes, age: FloatArray, phase: npt.NDArray[np.int8]) -> None:
    """Shade the time of each step, which is that since the step before."""
    edges = np.flatnonzero(np.diff(phase)) + 1
    for first, after in zip(np.append(0, edges), np.append(edges, len(phase)), strict=True):
        colour = _PHASES.get(Phase(phase[first])) if phase[first] >= 0 else None
        if colour is not None:
            panel.axvspan(age[max(first - 1, 0)], age[after - 1], color=colour, lw=0, zorder=0)


def _handles(phase: npt.NDArray[np.int8], *, has_track: bool) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=colour, label=f"star {star}", **_LINES[star]) for star, colour in _STARS.items()
    ]
    handles.append(Line2D([], [], color="0.4", lw=0.8, ls="-.", label="overflow at L2"))
    if has_track:
        handles.append(Line2D([], [], marker="o", ls="", mfc="white", mec="black", label="first model"))
        handles.append(Line2D([], [], color="black", label="in contact, on the right", **_IN_CONTACT))
    names = [name.replace("l2", "L2") for name in PhaseSettings().names]
    handles += [Patch(color=colour, label=names[kind]) for kind, colour in _PHASES.items() if (phase == kind).any()]
    return handles


def _title(grid: EvolutionGrid, index: int) -> str:
    run = grid.runs[index]
    initial = (run["M1_initial"].to_value("solMass"), run["M2_initial"].to_value("solMass"))
    values = rf"{initial[0]:.4g} + {initial[1]:.4g} $\mathrm{{M}}_\odot$, {run['period_initial'].to_value('d'):.4g} d"
    # A name is what a folder was called, and may hold what matplotlib takes for mathematics.
    name = str(run["run"]).replace("$", r"\$")
    return f"{name}: {values}; ended by {run['end']}"
