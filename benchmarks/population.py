"""Time and accuracy of the density of a population, queried for 50,000 stars with errors of their own.

Usage: python benchmarks/population.py GRID GALAXY

GRID is a folder that `cbminer grid import` or `cbminer grid build` has written, GALAXY is LMC or SMC. Stars are drawn
from the population and observed with errors of 0.08 to 0.2 mag in M_V and 0.045 to 0.08 mag in (V-I)_0, correlated by
0.8; those observed within the limits of magnitude are asked. The accuracy is that against the sum of normal curves over
all tracks, for 200 of the stars, in units of the highest density among them.

Besides, it prints what the shortest period of births does to the numbers, and the contact binaries of O type by the
laws of Menon et al. (2021), who expect about 10 in both Clouds together.
"""

import sys
import time
from pathlib import Path

import numpy as np
from scipy.stats import norm

from cbminer.columns import FloatArray, values
from cbminer.theory.density import AXES
from cbminer.theory.expected_numbers import expected_numbers
from cbminer.theory.grid import read_grid
from cbminer.theory.phases import Phase
from cbminer.theory.population import Cloud, Population, make_population
from cbminer.theory.population_settings import CountSettings, PeriodLaw, PopulationSettings

N_STARS, N_CHECKED, POINTS_A_PIECE = 50_000, 200, 20
CORRELATION = 0.8
SHORTEST = (-0.4, -0.3, -0.25, -0.2, -0.1, 0.0, 0.15)


def observe(population: Population, phase: Phase) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Members of the population that are observed within the limits of magnitude."""
    rng, limits = np.random.default_rng(1), population.settings.counts
    stars = population.density(phase, counted=False).draw(30 * N_STARS, seed=1)
    stars = stars[stars[:, 0] < np.log10(limits.period_max)]
    n = len(stars)
    e_m_v, e_vi0 = rng.uniform(0.08, 0.2, n), rng.uniform(0.045, 0.08, n)
    first, second = rng.normal(size=(2, n))
    stars[:, 1] += e_m_v * first
    stars[:, 2] += e_vi0 * (CORRELATION * first + np.sqrt(1 - CORRELATION**2) * second)
    seen = np.flatnonzero((stars[:, 1] > limits.M_V_bright) & (stars[:, 1] < limits.M_V_faint))[:N_STARS]
    return stars[seen], e_m_v[seen], e_vi0[seen]


def sum_over_tracks(population: Population, phase: Phase, star: FloatArray, e_m_v: float, e_vi0: float) -> float:
    pieces, settings = population.steps.pieces(phase), population.settings
    known, limits = pieces.near(settings.counts, np.inf), settings.counts
    start, end = (np.column_stack([side[name] for name in AXES])[known] for side in (pieces.start, pieces.end))
    start = np.where(np.isfinite(start), start, end)
    weight = (population.births[pieces.run] * pieces.duration * pieces.seen)[known]
    smoothing = settings.density
    matrix = np.diag([smoothing.smoothing_log_P**2, smoothing.smoothing_M_V**2, smoothing.smoothing_VI0**2])
    cov = CORRELATION * e_m_v * e_vi0
    matrix[1:, 1:] += [[e_m_v**2, cov], [cov, e_vi0**2]]
    inverse, total, within, spread = np.linalg.inv(matrix), 0.0, 0.0, np.sqrt(matrix[1, 1])
    for share in (np.arange(POINTS_A_PIECE) + 0.5) / POINTS_A_PIECE:
        places = start + share * (end - start)
        away = places - star
        total += float(weight @ np.exp(-0.5 * np.einsum("ni,ij,nj->n", away, inverse, away)))
        faint, bright = (norm.cdf((limit - places[:, 1]) / spread) for limit in (limits.M_V_faint, limits.M_V_bright))
        within += float(weight @ (faint - bright))
    return total / within / float(np.sqrt((2 * np.pi) ** 3 * np.linalg.det(matrix)))


def tell_shortest_periods(population: Population) -> None:
    """Print what the shortest period of births changes, all else as it is."""
    for shortest in SHORTEST:
        law = PeriodLaw(extended_to=shortest, least_extended_to=shortest, most_extended_to=shortest)
        update = {"periods": law, "counts": CountSettings(draws=20)}
        settings = population.settings.model_copy(update=update)
        other = make_population(population.grid, population.galaxy, settings=settings)
        table = expected_numbers(other)
        parts = []
        for phase in (Phase.CONTACT, Phase.NEAR_CONTACT):
            name = phase.name.lower()
            row = table[(table["phase"] == name) & (table["sample"] == "counted")][0]
            summary = other.period_mass_ratio(phase).summary()
            parts.append(
                f"{name} {row['number']:.0f}, {row['extrapolated']:.3f} of it extrapolated, of all: median P "
                f"{summary['P 50 %']:.3f} d, q >= 0.9 {summary['q >= 0.9']:.3f}"
            )
        print(f"log P from {shortest:g}: " + "; ".join(parts))


def tell_o_stars(population: Population) -> None:
    """Print contact binaries of O type, seen or not, flat in q and log P with Salpeter's masses as Menon et al."""
    like = make_population(population.grid, population.galaxy, settings=PopulationSettings.like_fabry())
    pieces, steps = like.steps.pieces(Phase.CONTACT), like.grid.arrays()
    ends = np.flatnonzero((like.steps.phase == Phase.CONTACT) & (like.steps.duration > 0))
    systems = like.births[pieces.run] * pieces.duration
    hot = np.maximum(steps["log_Teff1"], steps["log_Teff2"])[ends] > np.log10(30000.0)
    units = {"M1_initial": "solMass", "M2_initial": "solMass", "period_initial": "d"}
    m1, m2, period = (values(like.grid.runs, name, unit) for name, unit in units.items())
    # Their models: total masses of 20 to 80, mass ratios from 0.6, initial periods of 0.6 to 2 d; rounded in the grid.
    box = (m1 + m2 > 19.99) & (m1 + m2 < 80.01) & (m2 / m1 > 0.599) & (period > 0.599) & (period < 2.001)
    heavy = (steps["M1"] + steps["M2"])[ends] > 40.0
    print(
        f"contact binaries with a star above 30 kK: {systems[hot].sum():.1f}; of models like Menon's "
        f"{systems[hot & box[pieces.run]].sum():.1f}; of a total mass above 40: {systems[heavy].sum():.1f}"
    )


def main() -> None:
    galaxy: Cloud = "SMC" if sys.argv[2] == "SMC" else "LMC"
    population = make_population(read_grid(Path(sys.argv[1])), galaxy)
    tell_shortest_periods(population)
    tell_o_stars(population)
    for phase in (Phase.CONTACT, Phase.NEAR_CONTACT):
        density = population.density(phase)
        stars, e_m_v, e_vi0 = observe(population, phase)
        errors = {"e_M_V": e_m_v, "e_VI0": e_vi0, "cov_M_V_VI0": CORRELATION * e_m_v * e_vi0}
        # What compiles the kernel and lays out the smoothed bins is asked once, before the clock runs.
        density.at(0.0, -3.0, -0.2)
        seconds = {}
        began = time.perf_counter()
        found = density.at(*stars.T, **errors)
        seconds["density"] = time.perf_counter() - began
        began = time.perf_counter()
        level = density.credible_level(*stars.T, **errors)
        seconds["credible level"] = time.perf_counter() - began
        began = time.perf_counter()
        distance = density.distance(*stars.T, **errors)
        seconds["distance"] = time.perf_counter() - began
        expected = np.array(
            [sum_over_tracks(population, phase, stars[k], e_m_v[k], e_vi0[k]) for k in range(N_CHECKED)]
        )
        off = np.abs(found[:N_CHECKED] - expected).max() / expected.max()
        print(f"{phase.name.lower()}: {np.count_nonzero(density.content):,} bins of {density.content.size:,}")
        print("  " + ", ".join(f"{what} of {len(stars):,} stars {spent:.2f} s" for what, spent in seconds.items()))
        print(f"  off the sum over tracks by {100 * off:.2f} % of the highest density at most")
        shares = ", ".join(f"{np.mean(level <= share):.3f} at {share}" for share in (0.5, 0.68, 0.9, 0.95))
        print(f"  share of its members within credible levels: {shares}")
        bare = np.mean(density.distance(*stars.T) == 0)
        print(f"  at a distance of 0: {np.mean(distance == 0):.3f} with their errors, {bare:.3f} without")


if __name__ == "__main__":
    main()
