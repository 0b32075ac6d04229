"""Time and accuracy of the density of a population, queried for 50,000 stars with errors of their own.

Usage: python benchmarks/population.py GRID

GRID is a folder that `cbminer grid import` or `cbminer grid build` has written. Stars are drawn from the population and
observed with errors of 0.08 to 0.2 mag in M_V and 0.045 to 0.08 mag in (V-I)_0, correlated by 0.8. The accuracy is that
against the sum of normal curves over all tracks, for 200 of the stars, in units of the highest density among them.
"""

import sys
import time
from pathlib import Path

import numpy as np

from cbminer.columns import FloatArray
from cbminer.theory.density import AXES, PopulationDensity
from cbminer.theory.grid import read_grid
from cbminer.theory.phases import Phase
from cbminer.theory.population import Population, make_population

N_STARS, N_CHECKED, POINTS_A_PIECE = 50_000, 200, 20
CORRELATION = 0.8


def observe(density: PopulationDensity) -> tuple[FloatArray, FloatArray, FloatArray]:
    rng = np.random.default_rng(1)
    stars = density.draw(N_STARS, seed=1)
    e_m_v, e_vi0 = rng.uniform(0.08, 0.2, N_STARS), rng.uniform(0.045, 0.08, N_STARS)
    first, second = rng.normal(size=(2, N_STARS))
    stars[:, 1] += e_m_v * first
    stars[:, 2] += e_vi0 * (CORRELATION * first + np.sqrt(1 - CORRELATION**2) * second)
    return stars, e_m_v, e_vi0


def sum_over_tracks(population: Population, phase: Phase, star: FloatArray, e_m_v: float, e_vi0: float) -> float:
    pieces, settings = population.steps.pieces(phase), population.settings
    known = pieces.within(settings.counts) & pieces.known
    start, end = (np.column_stack([side[name] for name in AXES])[known] for side in (pieces.start, pieces.end))
    start = np.where(np.isfinite(start), start, end)
    weight = (population.births[pieces.run] * pieces.duration * pieces.seen)[known]
    smoothing = settings.density
    matrix = np.diag([smoothing.smoothing_log_P**2, smoothing.smoothing_M_V**2, smoothing.smoothing_VI0**2])
    cov = CORRELATION * e_m_v * e_vi0
    matrix[1:, 1:] += [[e_m_v**2, cov], [cov, e_vi0**2]]
    inverse, total = np.linalg.inv(matrix), 0.0
    for share in (np.arange(POINTS_A_PIECE) + 0.5) / POINTS_A_PIECE:
        away = start + share * (end - start) - star
        total += float(weight @ np.exp(-0.5 * np.einsum("ni,ij,nj->n", away, inverse, away))) / POINTS_A_PIECE
    return total / weight.sum() / np.sqrt((2 * np.pi) ** 3 * np.linalg.det(matrix))


def main() -> None:
    population = make_population(read_grid(Path(sys.argv[1])))
    for phase in (Phase.CONTACT, Phase.NEAR_CONTACT):
        density = population.density(phase)
        stars, e_m_v, e_vi0 = observe(density)
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
        density.distance(*stars.T)
        seconds["distance"] = time.perf_counter() - began
        expected = np.array(
            [sum_over_tracks(population, phase, stars[k], e_m_v[k], e_vi0[k]) for k in range(N_CHECKED)]
        )
        off = np.abs(found[:N_CHECKED] - expected).max() / expected.max()
        print(f"{phase.name.lower()}: {np.count_nonzero(density.content):,} bins of {density.content.size:,}")
        print("  " + ", ".join(f"{what} of {N_STARS:,} stars {spent:.2f} s" for what, spent in seconds.items()))
        print(f"  off the sum over tracks by {100 * off:.2f} % of the highest density at most")
        shares = ", ".join(f"{np.mean(level <= share):.3f} at {share}" for share in (0.5, 0.68, 0.9, 0.95))
        print(f"  share of its members within credible levels: {shares}")


if __name__ == "__main__":
    main()
