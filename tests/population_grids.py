"""Small grids of made-up models whose populations are known in closed form."""

import itertools

import numpy as np

from cbminer.theory.grid import EvolutionGrid
from cbminer.theory.roche_lobe import roche_radius, separation


def places_of(masses, ratios, periods):
    """Initial values at the crossings of three axes: primary mass, mass ratio, period."""
    return np.array(list(itertools.product(masses, ratios, periods)))


def make_grid(
    places, *, contact=1e6, near=1e6, end=None, about=None, ratio_in_contact=(1.0, 1.0), first_over=-0.5, Z=0.0047
):
    """Models that are detached, then near contact and then in contact for given times.

    `contact` and `near` are years, or functions of primary mass, mass ratio and period. In contact the mass ratio runs
    evenly from the first to the second of `ratio_in_contact`, and the period does not change.
    """
    n_contact, runs, steps = 5, [], []
    for m1, q, period in places:
        t_near, t_contact = (time(m1, q, period) if callable(time) else time for time in (near, contact))
        rows = [(0.0, q, first_over), (5e5, q, -0.2)]
        rows += [(5e5 + t_near * share, q, -0.05 + 0.04 * share) for share in (0.5, 1.0)]
        shares = np.arange(n_contact + 1) / n_contact
        ratios = ratio_in_contact[0] + shares * (ratio_in_contact[1] - ratio_in_contact[0])
        # A first step in contact of no duration, so that the pieces of tracks fill the phase.
        rows += [(5e5 + t_near + t_contact * s, r, 0.02 + 0.2 * s) for s, r in zip(shares, ratios, strict=True)]
        total = m1 * (1 + q)
        for age, ratio, over in rows:
            masses = total / (1 + ratio), total * ratio / (1 + ratio)
            axis = separation(period, total)
            radii = [(1 + over) * roche_radius(a / b) * axis for a, b in (masses, masses[::-1])]
            teffs = [26300 * (mass / 10) ** 0.5 for mass in masses]
            steps.append((age, *masses, period, *radii, over, over, *np.log10(teffs)))
        runs.append((m1, q * m1, period, len(rows)))
    runs, steps = np.array(runs), np.array(steps)
    radii, teffs = steps[:, 4:6], 10 ** steps[:, 8:10]
    luminosity = np.log10(radii**2 * (teffs / 5772) ** 4)
    return EvolutionGrid.of(
        {
            "run": [f"run{i}" for i in range(len(runs))],
            "M1_initial": runs[:, 0],
            "M2_initial": runs[:, 1],
            "period_initial": runs[:, 2],
            "Z": np.broadcast_to(Z, len(runs)),
            "end": ["L2 overflow"] * len(runs) if end is None else end,
            "n_steps": runs[:, 3].astype(int),
            "age_end": np.full(len(runs), np.nan),
            "code": ["made up"] * len(runs),
            "note": [""] * len(runs),
        },
        {
            "age": steps[:, 0],
            "M1": steps[:, 1],
            "M2": steps[:, 2],
            "period": steps[:, 3],
            "R1": steps[:, 4],
            "R2": steps[:, 5],
            "overflow_1": steps[:, 6],
            "overflow_2": steps[:, 7],
            "log_L1": luminosity[:, 0],
            "log_L2": luminosity[:, 1],
            "log_Teff1": steps[:, 8],
            "log_Teff2": steps[:, 9],
            "log_transfer_rate": np.full(len(steps), np.nan),
        },
        about=about,
    )
