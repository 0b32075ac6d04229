"""Set the models of cbminer.theory.binary_evolution beside published ones and beside known systems.

Usage: python grids/roche-sse/compare.py [--shared FOLDER]

1. The contact population of solar metallicity on the initial values of Fabry et al. (2025, A&A 695, A109), with their
   weights, beside the same quantities of their published tables.
2. What the contact populations of the Clouds are like, and the periods at which twins touch.
3. Known massive contact and near-contact binaries: M_V and (V-I)_0 of their published radii and temperatures beside
   those of the models that are nearest in total mass, period and mass ratio. "off" is how near: their distance in units
   of a tenth in log mass, log period and mass ratio.
4. With `--shared`, single runs of MESA (Fabry et al. 2022, 2025) in `mesa/` below that folder.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from astropy.io import ascii as ascii_tables
from astropy.table import Row

from cbminer.columns import FloatArray, label_column, values
from cbminer.resources import known_massive_contact_binaries
from cbminer.theory.binary_evolution import EvolutionSettings, GridAxes, evolve_grid, evolve_pairs
from cbminer.theory.colours import pair_photometry
from cbminer.theory.grid import EndReason, EvolutionGrid
from cbminer.theory.phases import Phase, PhaseSettings, step_phases
from cbminer.theory.roche_lobe import orbital_period, roche_radius
from cbminer.theory.tracks import shipped_tracks

SALPETER = 1.35
# Grids from files have initial values in single precision.
DIGITS = 5
AT_ZAMS = (EndReason.ROCHE_OVERFLOW_AT_ZAMS, EndReason.L2_OVERFLOW_AT_ZAMS)
NEAR = -0.1
# Integrals of the published tables of Fabry et al. (2025): <q>, parts with q above 0.95, 0.9 and 0.8, P at 5, 25, 50,
# 75 and 95 %, parts with P below 1, 2 and 3 d; with energy transfer.
FABRY = {
    "all": (0.928, 0.694, 0.812, 0.895, 0.688, 0.784, 0.862, 0.988, 1.613, 0.763, 0.973, 0.991),
    "M1 >= 20": (0.871, 0.454, 0.601, 0.753, 1.003, 1.174, 1.376, 1.698, 2.955, 0.049, 0.851, 0.953),
}
HEADER = ("<q>", "q>.95", "q>.9", "q>.8", "P5", "P25", "P50", "P75", "P95", "P<1", "P<2", "P<3")
METALLICITY = {"LMC": 0.0047, "SMC": 0.0021}
SOLAR = 0.0142
# Periods (d) at which twins of so many solar masses touch: the list that cbminer's limits were derived from.
TWIN_PERIODS = {5.0: 0.60, 8.0: 0.71, 10.0: 0.78, 12.3: 0.83, 15.0: 0.90, 20.0: 0.99, 30.0: 1.16}
MESA_RUNS = {
    "24 + 16.8, 1.15 d": ((24.0, 16.8, 1.15), "fabry2024/cases/24.0/1.15/0.7/ET/LOGS1/history.data"),
    "32 + 32, 1.5 d (Z = 0.0071)": ((32.0, 32.0, 1.5), "fabry2022/models/overcontact/newBCtidal/binary_history.data"),
}


def durations(grid: EvolutionGrid) -> FloatArray:
    """Time that each step stands for; none of runs that overflow at the start."""
    lasting = np.diff(grid.arrays()["age"], prepend=0.0)
    lasting[grid.offsets[:-1]] = 0.0
    overflowing = np.isin(label_column(grid.runs, "end"), AT_ZAMS)
    return np.where(overflowing[grid.run_of_step()], 0.0, lasting)


def smaller_ratio(steps: dict[str, FloatArray]) -> FloatArray:
    """Mass ratio, at most 1."""
    ratio = steps["M2"] / steps["M1"]
    return np.minimum(ratio, 1.0 / ratio)


def summary(period: FloatArray, ratio: FloatArray, weight: FloatArray) -> list[float]:
    """Give the numbers of `HEADER`."""
    order = np.argsort(period)
    reached = (np.cumsum(weight[order]) - 0.5 * weight[order]) / weight.sum()
    parts = [float(weight[ratio >= limit].sum() / weight.sum()) for limit in (0.95, 0.9, 0.8)]
    quantiles = np.interp((0.05, 0.25, 0.5, 0.75, 0.95), reached, period[order]).tolist()
    short = [float(weight[period < limit].sum() / weight.sum()) for limit in (1.0, 2.0, 3.0)]
    return [float(np.average(ratio, weights=weight)), *parts, *quantiles, *short]


def show(name: str, numbers: npt.ArrayLike) -> None:
    """Print a row of a table."""
    print(f"{name:38s}" + "".join(f"{number:7.3f}" for number in np.asarray(numbers)))


def fabry_population_of(settings: EvolutionSettings, *, n_masses: int = 18) -> dict[str, list[float]]:
    """Numbers of `HEADER` on the initial values of Fabry et al., for all pairs and for massive ones."""
    edges = np.geomspace(8.0, 70.0, n_masses + 1)
    mass = np.sqrt(edges[1:] * edges[:-1])
    ratio, period = np.arange(0.6, 0.98, 0.025), np.geomspace(0.5, 8.0, 31)
    m, q, p = (axis.ravel() for axis in np.meshgrid(mass, ratio, period, indexing="ij"))
    weight = np.repeat(edges[:-1] ** -SALPETER - edges[1:] ** -SALPETER, len(ratio) * len(period))
    grid = evolve_pairs(shipped_tracks(SOLAR), np.column_stack([m, m * q, p]), settings=settings)
    steps, run = grid.arrays(), grid.run_of_step()
    contact = np.minimum(steps["overflow_1"], steps["overflow_2"]) >= 0
    time = durations(grid) * weight[run]
    return {
        part: summary(steps["period"][chosen], smaller_ratio(steps)[chosen], time[chosen])
        for part, chosen in (("all", contact), ("M1 >= 20", contact & (m[run] >= 20)))
    }


def fabry_population() -> None:
    """Print the contact population on the initial values of Fabry et al."""
    print("\nContact population, Z = 0.0142, M1 = 8 to 70 solar masses, q = 0.6 to 0.975, P = 0.5 to 8 d")
    print(" " * 38 + "".join(f"{name:>7s}" for name in HEADER))
    for name, numbers in FABRY.items():
        show(f"Fabry et al. (2025), {name}", numbers)
    variants = {
        "these models": EvolutionSettings(),
        "radii -3 %, lifetimes -7 %": EvolutionSettings(radius_scale=0.97, lifetime_scale=0.93),
        "hardly any thermal response": EvolutionSettings(thermal_response=0.01),
        "twice the thermal response": EvolutionSettings(thermal_response=0.07),
    }
    for name, settings in variants.items():
        for part, numbers in fabry_population_of(settings).items():
            show(f"{name}, {part}", numbers)


def cell_weights(grid: EvolutionGrid) -> FloatArray:
    """Weight of each run: Salpeter in the heavier mass, flat in mass ratio and log period, by the trapezoidal rule."""
    heavy, light, period = (
        values(grid.runs, name, unit)
        for name, unit in (("M1_initial", "solMass"), ("M2_initial", "solMass"), ("period_initial", "d"))
    )
    cell = heavy**-SALPETER
    for axis in (np.log(heavy + light), light / heavy, np.log(period)):
        nodes, place = np.unique(np.round(axis, DIGITS), return_inverse=True)
        cell = cell * (0.5 * (np.diff(nodes, prepend=nodes[0]) + np.diff(nodes, append=nodes[-1])))[place]
    return cell


def cloud_numbers(grid: EvolutionGrid) -> dict[str, dict[str, list[float] | float]]:
    """Numbers of `HEADER` of bright pairs by phase and magnitude, and the parts that are O stars or have 0.6 to 1 d."""
    steps = grid.arrays()
    time = durations(grid) * cell_weights(grid)[grid.run_of_step()]
    m_v = pair_photometry(*surfaces(steps)).M_V
    smaller = np.minimum(steps["overflow_1"], steps["overflow_2"])
    found: dict[str, dict[str, list[float] | float]] = {}
    for phase, chosen in (("contact", smaller >= 0), ("near contact", (smaller < 0) & (smaller >= NEAR))):
        of_phase: dict[str, list[float] | float] = {}
        for limit in (-1.0, -2.5, -3.7):
            part = chosen & (m_v <= limit)
            of_phase[f"M_V <= {limit:g}"] = summary(steps["period"][part], smaller_ratio(steps)[part], time[part])
        bright = chosen & (m_v <= -1.0)
        middle = bright & (steps["period"] >= 0.6) & (steps["period"] <= 1.0)
        of_phase["O"] = float(time[bright & (m_v <= -3.7)].sum() / time[bright].sum())
        of_phase["0.6 to 1 d"] = float(time[middle].sum() / time[bright].sum())
        found[phase] = of_phase
    return found


def near_contact_shares(grid: EvolutionGrid) -> dict[str, tuple[float, float]]:
    """Time near contact over time in contact, and the part of the former in which a donor is at its lobe."""
    steps, phase = grid.arrays(), step_phases(grid)
    time = durations(grid) * cell_weights(grid)[grid.run_of_step()]
    m_v = pair_photometry(*surfaces(steps)).M_V
    at_lobe = np.maximum(steps["overflow_1"], steps["overflow_2"]) >= -PhaseSettings().fills_lobe
    found = {}
    for name, chosen in (("all", np.ones(len(m_v), dtype=bool)), ("M_V <= -1", m_v <= -1.0)):
        near = chosen & (phase == Phase.NEAR_CONTACT)
        contact = time[chosen & (phase == Phase.CONTACT)].sum()
        found[name] = float(time[near].sum() / contact), float(time[near & at_lobe].sum() / time[near].sum())
    return found


def twins() -> None:
    """Print the periods at which twins touch, beside the list."""
    print(f"\n{'twins':8s}{'list':>7s}{'LMC, zero age':>18s}{'LMC, a fifth':>18s}{'solar, zero age':>18s}")
    for mass, period in TWIN_PERIODS.items():
        row = f"{mass:8.1f}{period:7.2f}"
        for Z, fraction in ((METALLICITY["LMC"], 0.0), (METALLICITY["LMC"], 0.2), (SOLAR, 0.0)):
            touching = float(orbital_period(shipped_tracks(Z).radius(mass, fraction) / roche_radius(1.0), 2 * mass))
            row += f"{touching:10.3f} ({100 * (touching / period - 1):+.1f} %)".rjust(18)
        print(row)


def cloud_population(cloud: str) -> None:
    """Print what the contact and near-contact populations of a Cloud are like."""
    print(f"\n{cloud}\n" + " " * 38 + "".join(f"{name:>7s}" for name in HEADER))
    grid = evolve_grid(shipped_tracks(METALLICITY[cloud]))
    for name, (ratio, share) in near_contact_shares(grid).items():
        print(f"near contact over contact, {name}: {ratio:.2f}; a donor at its lobe for {share:.2f} of it")
    for phase, numbers in cloud_numbers(grid).items():
        for name, row in numbers.items():
            if isinstance(row, list):
                show(f"{phase}, {name}", row)
        print(
            f"{phase}, M_V <= -1: {numbers['O']:.3f} are O (M_V <= -3.7), {numbers['0.6 to 1 d']:.3f} have 0.6 to 1 d"
        )


def plain(star: Row, name: str) -> float:
    """Take a number from a row, NaN where it is unknown."""
    return float(np.ma.filled(np.ma.asarray(getattr(star[name], "value", star[name]), dtype=float), np.nan))


def nearest_models(steps: dict[str, FloatArray], star: Row) -> tuple[npt.NDArray[np.int64], float]:
    """Find nine steps in the phase of a system that are nearest in mass, period and mass ratio, and how far off."""
    m_1, m_2, period = plain(star, "M1"), plain(star, "M2"), plain(star, "period")
    smaller = np.minimum(steps["overflow_1"], steps["overflow_2"])
    chosen = smaller >= 0 if star["configuration"] == "contact" else (smaller >= NEAR) & (smaller < 0)
    off = [
        np.log((steps["M1"] + steps["M2"]) / (m_1 + m_2)),
        np.log(steps["period"] / period),
        smaller_ratio(steps) - min(m_1 / m_2, m_2 / m_1),
    ]
    distance = np.where(chosen, np.sqrt(sum((part / 0.1) ** 2 for part in off)), np.inf)
    nearest = np.argsort(distance, kind="stable")[:9]
    return nearest, float(np.median(distance[nearest]))


def known_differences(grids: dict[float, EvolutionGrid]) -> npt.NDArray[np.float64]:
    """Print known systems beside models by metallicity; give differences in M_V and (V-I)_0, and how far off."""
    print(f"\n{'':12s}{'P':>7s}{'M':>7s}{'q':>6s}{'M_V obs':>9s}{'model':>7s}{'VI0 obs':>9s}{'model':>7s}{'off':>6s}")
    arrays = {Z: grid.arrays() for Z, grid in grids.items()}
    differences = []
    for star in known_massive_contact_binaries():
        observed = [plain(star, name) for name in ("R1", "T1", "R2", "T2")]
        if not np.isfinite(observed).all():
            continue
        seen = pair_photometry(*observed)
        steps = arrays[METALLICITY.get(str(star["host"]), SOLAR)]
        nearest, off = nearest_models(steps, star)
        light = pair_photometry(*(column[nearest] for column in surfaces(steps)))
        m_v, colour = np.median(light.M_V), np.median(light.VI0)
        differences.append((float(seen.M_V - m_v), float(seen.VI0 - colour), off))
        m_1, m_2 = plain(star, "M1"), plain(star, "M2")
        print(
            f"{star['name']:12s}{plain(star, 'period'):7.3f}{m_1 + m_2:7.1f}{min(m_1 / m_2, m_2 / m_1):6.2f}"
            f"{seen.M_V:9.2f}{m_v:7.2f}{seen.VI0:9.3f}{colour:7.3f}{off:6.1f}"
        )
    return np.array(differences)


def surfaces(steps: dict[str, FloatArray]) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Radii and temperatures, as `pair_photometry` takes them."""
    return steps["R1"], 10.0 ** steps["log_Teff1"], steps["R2"], 10.0 ** steps["log_Teff2"]


def known_systems() -> None:
    """Print how known systems differ from models."""
    # Wider than the shipped axes: one known system has 86 solar masses.
    axes = GridAxes(total_mass_to=95.0)
    found = known_differences({Z: evolve_grid(shipped_tracks(Z), axes) for Z in (*METALLICITY.values(), SOLAR)})
    for name, part in (("all", found), ("off < 1.5", found[found[:, 2] < 1.5])):
        print(
            f"{name}: {len(part)} systems, observed less model M_V {part[:, 0].mean():+.2f} +- {part[:, 0].std():.2f},"
            f" (V-I)_0 {part[:, 1].mean():+.3f} +- {part[:, 1].std():.3f}"
        )


def mesa_runs(folder: Path) -> None:
    """Print single runs beside MESA's."""
    for name, (initial, path) in MESA_RUNS.items():
        table = ascii_tables.read(folder / "mesa" / path, format="mesa")
        mesa = {
            "age": np.asarray(table["age"] if "age" in table.colnames else table["star_age"], dtype=float),
            "period": np.asarray(table["period_days"], dtype=float),
            "M1": np.asarray(table["star_1_mass"], dtype=float),
            "M2": np.asarray(table["star_2_mass"], dtype=float),
            "overflow_1": np.asarray(table["rl_relative_overflow_1"], dtype=float),
            "overflow_2": np.asarray(table["rl_relative_overflow_2"], dtype=float),
        }
        runs = {"MESA": mesa}
        runs |= {
            f"here, Z = {Z}": evolve_pairs(shipped_tracks(Z), [initial]).arrays() for Z in (SOLAR, METALLICITY["LMC"])
        }
        print(f"\n{name}")
        for label, run in runs.items():
            contact = np.minimum(run["overflow_1"], run["overflow_2"]) >= 0
            # The first steps of some runs are still settling from a model of another star.
            contact &= run["age"] > 5e4
            age, ratio = run["age"][contact] / 1e6, smaller_ratio(run)[contact]
            part = (age - age[0]) / (age[-1] - age[0])
            at = [f"{np.interp(x, part, ratio):.3f}" for x in (0.0, 0.1, 0.5, 1.0)]
            lasting = np.gradient(age)
            print(
                f"  {label}: contact {age[0]:.2f} to {age[-1]:.2f} Myr; q at 0, 10, 50, 100 % {' '.join(at)},"
                f" mean {np.average(ratio, weights=lasting):.3f}; P {run['period'][contact][0]:.3f} to"
                f" {run['period'][-1]:.3f} d; R/R_L at the end {1 + run['overflow_1'][-1]:.3f}"
            )


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path)
    arguments = parser.parse_args()
    fabry_population()
    for cloud in METALLICITY:
        cloud_population(cloud)
    twins()
    known_systems()
    if arguments.shared:
        mesa_runs(arguments.shared)


if __name__ == "__main__":
    sys.exit(main())
