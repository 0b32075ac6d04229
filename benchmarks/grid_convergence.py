"""Do the steps of the embedded grid matter? Its contact population with every step halved in turn.

Usage: python benchmarks/grid_convergence.py [--Z 0.0047] [--write]

Computes the grid as it is shipped, then with half the step in total mass, in mass ratio, in period and in time, and all
at once, and compares quantiles of period and mass ratio of the contact and near-contact populations, and the time in
them. Weights: Salpeter
in the initial mass of the heavier star, flat in mass ratio and log period, constant star formation. `--write` keeps the
table in benchmarks/results.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from cbminer.columns import FloatArray, label_column, values
from cbminer.theory.binary_evolution import EvolutionSettings, GridAxes, evolve_grid
from cbminer.theory.grid import EndReason, EvolutionGrid
from cbminer.theory.phases import Phase, step_phases
from cbminer.theory.tracks import shipped_tracks

RESULTS = Path(__file__).parent / "results"
LEVELS = {"P 5 %": 0.05, "P 25 %": 0.25, "P 50 %": 0.5, "P 75 %": 0.75, "P 95 %": 0.95}
RATIO_LEVELS = {"q 5 %": 0.05, "q 25 %": 0.25, "q 50 %": 0.5, "q 75 %": 0.75}
SALPETER = 1.35
NEAR = -0.1


def quantile(x: FloatArray, weight: FloatArray, level: float) -> float:
    """Weighted quantile."""
    order = np.argsort(x)
    reached = np.cumsum(weight[order]) - 0.5 * weight[order]
    return float(np.interp(level, reached / weight.sum(), x[order]))


def step_weights(grid: EvolutionGrid) -> FloatArray:
    """Time of every step times the weight of its run; axes are integrated by the trapezoidal rule."""
    heavy, light, period = (values(grid.runs, name, unit) for name, unit in INITIAL)
    weight = heavy**-SALPETER
    for axis in (np.log(heavy + light), light / heavy, np.log(period)):
        nodes, place = np.unique(np.round(axis, 5), return_inverse=True)
        weight = weight * (0.5 * (np.diff(nodes, prepend=nodes[0]) + np.diff(nodes, append=nodes[-1])))[place]
    outcome = label_column(grid.runs, "end")
    weight[np.isin(outcome, [EndReason.ROCHE_OVERFLOW_AT_ZAMS, EndReason.L2_OVERFLOW_AT_ZAMS])] = 0.0
    lasting = np.diff(grid.arrays()["age"], prepend=0.0)
    lasting[grid.offsets[:-1]] = 0.0
    return lasting * weight[grid.run_of_step()]


PHASES = {"contact": Phase.CONTACT, "near": Phase.NEAR_CONTACT, "semi-d.": Phase.SEMI_DETACHED}
INITIAL = (("M1_initial", "solMass"), ("M2_initial", "solMass"), ("period_initial", "d"))


def quantiles(grid: EvolutionGrid) -> dict[str, dict[str, float]]:
    """Quantiles of the contact and of the near-contact population."""
    steps, weight = grid.arrays(), step_weights(grid)
    smaller = np.minimum(steps["overflow_1"], steps["overflow_2"])
    ratio = steps["M2"] / steps["M1"]
    ratio = np.minimum(ratio, 1.0 / ratio)
    found = {}
    for name, chosen in (("contact", smaller >= 0.0), ("near contact", (smaller >= NEAR) & (smaller < 0.0))):
        periods = {level: quantile(steps["period"][chosen], weight[chosen], at) for level, at in LEVELS.items()}
        ratios = {level: quantile(ratio[chosen], weight[chosen], at) for level, at in RATIO_LEVELS.items()}
        found[name] = periods | ratios
    phase = step_phases(grid)
    # Numbers of systems go with the whole time in a phase; unit: that of all pairs of the grid's range.
    found["time in phases"] = {
        name: float(weight[phase == number].sum() / weight.sum()) for name, number in PHASES.items()
    }
    return found


def cases() -> dict[str, tuple[GridAxes, EvolutionSettings]]:
    """The grid as shipped, and with steps halved."""
    axes, physics = GridAxes(), EvolutionSettings()
    finer = {
        "mass": {"n_masses": 2 * axes.n_masses - 1},
        "mass ratio": {"n_mass_ratios": 2 * axes.n_mass_ratios - 1},
        "period": {"n_periods": 2 * axes.n_periods - 1},
    }
    shorter = physics.model_copy(
        update={
            "time_step": physics.time_step / 2,
            "mass_step": physics.mass_step / 2,
            "overflow_step": physics.overflow_step / 2,
            "steps_of_a_run": 2 * physics.steps_of_a_run,
        }
    )
    halved = {f"half the step in {name}": (axes.model_copy(update=change), physics) for name, change in finer.items()}
    everything = {name: n for change in finer.values() for name, n in change.items()}
    return {
        "as shipped": (axes, physics),
        **halved,
        "half the step in time": (axes, shorter),
        "all halved": (axes.model_copy(update=everything), shorter),
    }


def table(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """Quantiles as shipped, and by how many per cent each halving changes them."""
    lines = []
    shipped = found["as shipped"]
    for population, levels in shipped.items():
        lines.append(f"{population:29s}" + "".join(f"{level:>9s}" for level in levels))
        lines.append(f"{'  as shipped':29s}" + "".join(f"{value:9.3f}" for value in levels.values()))
        for case, of_case in found.items():
            if case == "as shipped":
                continue
            changes = [100.0 * (of_case[population][level] / levels[level] - 1.0) for level in levels]
            lines.append(f"  {case:27s}" + "".join(f"{change:+8.1f}%" for change in changes))
    return "\n".join(lines)


def main() -> None:
    """Compute and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--Z", type=float, default=0.0047)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    tracks = shipped_tracks(arguments.Z)
    found: dict[str, Any] = {}
    for name, (axes, settings) in cases().items():
        start = time.perf_counter()
        grid = evolve_grid(tracks, axes, settings=settings)
        found[name] = quantiles(grid)
        print(f"{name}: {len(grid)} runs, {len(grid.steps)} steps, {time.perf_counter() - start:.0f} s", flush=True)
    text = f"Z = {arguments.Z:g}\n{table(found)}"
    print(text)
    if arguments.write:
        (RESULTS / "grid_convergence.txt").write_text(text + "\n", encoding="utf-8")
        (RESULTS / "grid_convergence.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
