"""Compare the sources of colours on the known massive contact binaries and on single stars.

Usage: python grids/colours/compare.py [--sequence EEM_dwarf_UBVIJHK_colors_Teff.txt] [--archive FOLDER]

Prints tables in Markdown: bolometric corrections and colours of dwarfs, and beside them those of the table of Pecaut &
Mamajek where it is given; M_V and (V-I)_0 of the known systems by each source, and how far their M_V lie from the
period-luminosity-colour relation that was derived from the dwarf sequence. With an archive in OGLE's layout also how
blue the bluest of its binaries are beside pairs of equal stars of zero age, which no source may make redder.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from cbminer.columns import FloatArray, label_column, values
from cbminer.resources import known_massive_contact_binaries
from cbminer.selection.plc import DERIVED
from cbminer.synthetic.main_sequence import zams_radius, zams_teff
from cbminer.theory.atmospheres import Z_SUN
from cbminer.theory.distortion import distortion_correction
from cbminer.theory.pair_colours import (
    ColourSettings,
    ColourSource,
    PairColours,
    Photosphere,
    pair_colours,
    star_colours,
)

SOURCES: tuple[ColourSource, ...] = ("kurucz", "pecaut-mamajek", "blackbody")
# Of the models of Menon et al. (2021, MNRAS 507, 5013); the other hosts count as solar.
Z_OF_HOST = {"LMC": 0.0047, "SMC": 0.0021}
TEFF_SUN = 5772.0
# 60 degrees is the median of inclinations that are isotropic.
TYPICAL_INCLINATION = 60.0


def of_known_systems(source: ColourSource) -> tuple[FloatArray, PairColours]:
    """Colours of the known systems with radii and temperatures: their rows, and what the source makes of each."""
    table = known_massive_contact_binaries()
    columns = {name: values(table, name, unit) for name, unit in UNITS.items()}
    rows = np.flatnonzero(np.isfinite(columns["R1"] + columns["T1"]))
    hosts = label_column(table, "host")
    found = []
    for row in rows:
        stars = []
        for star in ("1", "2"):
            radius, teff = columns[f"R{star}"][row], columns[f"T{star}"][row]
            log_L = 2.0 * np.log10(radius) + 4.0 * np.log10(teff / TEFF_SUN)
            stars.append(Photosphere.of_size(log_L, np.log10(teff), mass=columns[f"M{star}"][row], radius=radius))
        Z = Z_OF_HOST.get(str(hosts[row]), Z_SUN)
        found.append(pair_colours(stars[0], stars[1], Z=Z, settings=ColourSettings(source=source)))
    names = ("M_V", "M_I", "VI0", "e_M_V", "e_M_I", "e_VI0", "outside")
    return rows, PairColours(**{name: np.array([getattr(pair, name) for pair in found]) for name in names})


UNITS = {
    "period": "d",
    "mass_ratio": "",
    "M1": "solMass",
    "M2": "solMass",
    "R1": "solRad",
    "R2": "solRad",
    "T1": "K",
    "T2": "K",
    "R_over_RL_1": "",
    "R_over_RL_2": "",
}


def residuals(rows: FloatArray, pairs: PairColours) -> FloatArray:
    """M_V of the known systems less that of the derived relation."""
    period = values(known_massive_contact_binaries(), "period", "d")[rows]
    return pairs.M_V - (DERIVED.a * np.log10(period) + DERIVED.b * pairs.VI0 + DERIVED.c)


def _print_systems() -> None:
    table = known_massive_contact_binaries()
    pairs = {source: of_known_systems(source) for source in SOURCES}
    rows = pairs["kurucz"][0]
    print("\n| system | host | P [d] | " + " | ".join(f"{source}: M_V, (V-I)_0" for source in SOURCES) + " | outside |")
    print("|---" * (len(SOURCES) + 4) + "|")
    for k, row in enumerate(rows):
        cells = [f"{pairs[source][1].M_V[k]:.2f}, {pairs[source][1].VI0[k]:.3f}" for source in SOURCES]
        outside = ", ".join(source for source in SOURCES if pairs[source][1].outside[k])
        print(f"| {table['name'][row]} | {table['host'][row]} | {table['period'][row].value:.3f} | ", end="")
        print(" | ".join(cells) + f" | {outside} |")
    contact = label_column(table, "configuration")[rows] == "contact"
    print("\n| M_V less that of the derived relation | contact: mean, rms | near contact: mean, rms |\n|---|---|---|")
    for source in SOURCES:
        difference = residuals(*pairs[source])
        parts = [f"{difference[kind].mean():+.2f}, {difference[kind].std():.2f}" for kind in (contact, ~contact)]
        print(f"| {source} | {' | '.join(parts)} |")
    _print_distortion(rows)


def _print_distortion(rows: FloatArray) -> None:
    table = known_massive_contact_binaries()
    first, second = (values(table, f"R_over_RL_{k}")[rows] for k in (1, 2))
    q = values(table, "M2", "solMass")[rows] / values(table, "M1", "solMass")[rows]
    touching = (first > 1.0) & (second > 1.0)
    filling = np.where(touching, np.where(q <= 1.0, second, first), np.minimum(0.5 * (first + second), 1.0))
    change = distortion_correction(TYPICAL_INCLINATION, filling, mass_ratio=q)
    print(
        f"\nShapes at {TYPICAL_INCLINATION:g} deg: {change.M_V.mean():+.3f} mag in V, {change.VI0.mean():+.4f} in V-I"
    )


def _print_stars(sequence: Path | None) -> None:
    print(
        "\n| Teff | kurucz, Z 0.0142 | 0.0047 | 0.0021 | pecaut-mamajek | blackbody | published table |\n"
        + "|---" * 7
        + "|"
    )
    published = read_sequence(sequence) if sequence else None
    for teff in (10000, 12500, 15000, 17500, 20000, 25000, 30000, 32500, 35000, 40000, 45000, 50000):
        log_teff = np.log10(teff)
        stars = [star_colours(log_teff, 4.0, Z=Z) for Z in (Z_SUN, 0.0047, 0.0021)]
        stars += [star_colours(log_teff, 4.0, Z=Z_SUN, settings=ColourSettings(source=name)) for name in SOURCES[1:]]
        cells = [f"{star.BC_V:.2f}, {star.VI0:.3f}{'*' if star.outside else ''}" for star in stars]
        if published is not None:
            at = [np.interp(log_teff, published[0], column, left=np.nan, right=np.nan) for column in published[1:]]
            cells.append(f"{at[0]:.2f}, {at[1]:.3f}")
        print(f"| {teff} | {' | '.join(cells)} |")


def read_sequence(path: Path) -> FloatArray:
    """Read log Teff, BC_V and (V-I) of dwarfs hotter than 8 kK of the table of Pecaut & Mamajek, NaN where unknown."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        cells = line.split()
        # The file repeats the type in a later column; notes and other tables follow.
        if len(cells) > 18 and cells[0] == cells[18] and cells[0][0] in "OBA":
            rows.append([float(cell) if cell.strip(".") else np.nan for cell in (cells[1], cells[3], cells[10])])
    hot = np.array(sorted(row for row in rows if row[0] > 8000.0))
    return np.stack([np.log10(hot[:, 0]), hot[:, 1], hot[:, 2]])


# Distance moduli of Pietrzynski et al. (2019, Nature 567, 200) and Graczyk et al. (2020, ApJ 904, 13), mean E(V-I) of
# Skowron et al. (2021, ApJS 252, 23), of whose A_I = 1.5 E(V-I).
OF_CLOUD = {"lmc": (18.477, 0.100, 0.0047), "smc": (18.977, 0.047, 0.0021)}
BINS = ((13.0, 15.0), (15.0, 16.0), (16.0, 17.0))
ZERO_AGE_MASSES = np.geomspace(3.0, 40.0, 81)


def _print_blue_edge(archive: Path) -> None:
    print("\n| Cloud | I | stars | bluest 5, 10, 25 %: (V-I)_0 | equal stars of zero age: kurucz | pecaut-mamajek |")
    print("|---" * 6 + "|")
    for cloud, (modulus, reddening, Z) in OF_CLOUD.items():
        files = [archive / cloud / "ecl" / name for name in ("ecl.dat", "ell.dat")]
        rows = [line.split()[1:3] for file in files if file.is_file() for line in file.read_text().splitlines()]
        known = np.array([[float(i), float(v)] for i, v in rows if "-" not in {i, v}])
        M_I = known[:, 0] - 1.5 * reddening - modulus
        colour = known[:, 1] - known[:, 0] - reddening
        for low, high in BINS:
            inside = (known[:, 0] >= low) & (known[:, 0] < high)
            edge = ", ".join(f"{value:.3f}" for value in np.quantile(colour[inside], (0.05, 0.10, 0.25)))
            models = [_zero_age_colour(np.median(M_I[inside]), source, Z) for source in SOURCES[:2]]
            cells = [cloud.upper(), f"{low:g} to {high:g}", f"{inside.sum()}", edge, *(f"{at:.3f}" for at in models)]
            print(f"| {' | '.join(cells)} |")


def _zero_age_colour(M_I: float, source: ColourSource, Z: float) -> float:
    """Look up the colour of a pair of equal stars of zero age and a magnitude."""
    radius, teff = zams_radius(ZERO_AGE_MASSES), zams_teff(ZERO_AGE_MASSES)
    log_L = 2.0 * np.log10(radius) + 4.0 * np.log10(teff / TEFF_SUN)
    star = Photosphere.of_size(log_L, np.log10(teff), mass=ZERO_AGE_MASSES, radius=radius)
    pairs = pair_colours(star, star, Z=Z, settings=ColourSettings(source=source))
    return float(np.interp(-M_I, -pairs.M_I, pairs.VI0))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequence", type=Path)
    parser.add_argument("--archive", type=Path)
    arguments = parser.parse_args()
    _print_stars(arguments.sequence)
    _print_systems()
    if arguments.archive:
        _print_blue_edge(arguments.archive)


if __name__ == "__main__":
    sys.exit(main())
