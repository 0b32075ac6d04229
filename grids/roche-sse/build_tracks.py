"""Compute single-star tracks of the main sequence with SSE, as COSMIC carries it.

Usage, in an environment of its own (cosmic-popsynth limits the versions of others):

    pip install cosmic-popsynth==4.3.3
    python grids/roche-sse/build_tracks.py [--output FOLDER]

Writes tracks.npz, tracks.json (its hash and where it comes from), and prints the check values of 8 solar masses.

COSMIC takes the metallicity relative to a solar one of 0.014 by default; SSE's formulae are fitted with 0.02, so that
is set. Winds are off: the mass of a track is its mass at all ages.
"""

import argparse
import ast
import hashlib
import importlib.metadata
import json
import sys
import warnings
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

METALLICITIES = (0.0021, 0.0047, 0.0142)
MASSES = np.logspace(np.log10(1.4), 2.0, 94)
FRACTIONS = np.linspace(0.0, 1.0, 201)
SOURCE_ROWS = 800
# A companion of this mass at this period in days touches nothing.
COMPANION = 0.1
WIDE = 1e10
# Longer than the main sequence of the lightest track, Myr.
LONGEST = 5000.0
MAIN_SEQUENCE = 1
SETTINGS = {"zsun": 0.02, "windflag": -1}
# Written as a fraction in COSMIC's own list of defaults.
FPRIMC = [2.0 / 21.0] * 16


def defaults() -> dict[str, Any]:
    """Every default of COSMIC's binary evolution, and what is set otherwise here."""
    catalogue = json.loads((files("cosmic") / "data" / "cosmic-settings.json").read_text())
    chosen = {}
    for category in catalogue:
        if category["category"] != "bse":
            continue
        for setting in category["settings"]:
            for option in setting["options"]:
                if option.get("default"):
                    chosen[setting["name"]] = plain(setting["name"], option["name"])
    return chosen | SETTINGS


def plain(name: str, value: Any) -> Any:
    """Value of a setting: the lists stand there as text."""
    if name == "fprimc_array":
        return FPRIMC
    return ast.literal_eval(value) if isinstance(value, str) and value.startswith("[") else value


def evolve(Z: float, end: np.ndarray, step: np.ndarray) -> tuple[Any, Any]:
    """Evolve stars of all masses to their ages `end`, with a row every `step` (Myr): tables of events and of rows."""
    from cosmic.evolve import Evolve
    from cosmic.sample.initialbinarytable import InitialBinaryTable

    n = len(MASSES)
    table = InitialBinaryTable.InitialBinaries(
        m1=MASSES,
        m2=np.full(n, COMPANION),
        porb=np.full(n, WIDE),
        ecc=np.zeros(n),
        tphysf=end,
        kstar1=np.full(n, MAIN_SEQUENCE),
        kstar2=np.zeros(n),
        metallicity=np.full(n, Z),
    )
    table["dtp"] = step
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        events, rows, *_ = Evolve.evolve(
            initialbinarytable=table, BSEDict=defaults(), SSEDict={"stellar_engine": "sse"}, nproc=1
        )
    return events, rows


def tracks(Z: float) -> dict[str, np.ndarray]:
    """Lifetime, and log radius and luminosity at equal fractions of it, of all masses."""
    long = np.full(len(MASSES), LONGEST)
    events, _ = evolve(Z, long, long)
    leaves = events[events.kstar_1 > MAIN_SEQUENCE].groupby("bin_num").first()
    lifetime = leaves.tphys.to_numpy()
    _, rows = evolve(Z, lifetime * (1.0 + 1e-6), lifetime / SOURCE_ROWS)
    log_radius, log_luminosity = [], []
    for number in range(len(MASSES)):
        star = rows[(rows.bin_num == number) & (rows.kstar_1 == MAIN_SEQUENCE)]
        if not np.allclose(star.mass_1, MASSES[number], rtol=1e-9):
            sys.exit(f"the star of {MASSES[number]:.2f} solar masses lost mass: winds are not off")
        last = leaves.loc[number]
        inside = (star.tphys < lifetime[number] * (1.0 - 1e-9)).to_numpy()
        fraction = np.append(star.tphys[inside] / lifetime[number], 1.0)
        log_radius.append(np.interp(FRACTIONS, fraction, np.log10(np.append(star.rad_1[inside], last.rad_1))))
        log_luminosity.append(np.interp(FRACTIONS, fraction, np.log10(np.append(star.lum_1[inside], last.lum_1))))
    return {
        "lifetime": lifetime * 1e6,
        "log_radius": np.array(log_radius, dtype=np.float32),
        "log_luminosity": np.array(log_luminosity, dtype=np.float32),
    }


def main() -> None:
    """Compute, write and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    output = parser.parse_args().output
    found = [tracks(Z) for Z in METALLICITIES]
    arrays = {
        "Z": np.array(METALLICITIES),
        "mass": MASSES,
        "fraction": FRACTIONS,
        **{name: np.array([of_z[name] for of_z in found]) for name in found[0]},
    }
    path = output / "tracks.npz"
    np.savez_compressed(path, **arrays)
    about = {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "code": f"SSE in cosmic-popsynth {importlib.metadata.version('cosmic-popsynth')}",
        "settings": SETTINGS,
        "cite": ["Hurley, Pols & Tout 2000, MNRAS 315, 543", "Breivik et al. 2020, ApJ 898, 71"],
        "arrays": {
            "Z": "metallicity as mass fraction",
            "mass": "solar masses",
            "fraction": "age over lifetime on the main sequence",
            "lifetime": "years on the main sequence, a row a metallicity, a column a mass",
            "log_radius": "log10 of solar radii, by metallicity, mass and fraction",
            "log_luminosity": "log10 of solar luminosities, by metallicity, mass and fraction",
        },
    }
    (output / "tracks.json").write_text(json.dumps(about, indent=2) + "\n")
    print(f"{path}: {path.stat().st_size} bytes")
    for Z, of_z in zip(METALLICITIES, found, strict=True):
        radius = [
            np.exp(np.interp(np.log(8.0), np.log(MASSES), np.log(10.0) * of_z["log_radius"][:, k])) for k in (0, -1)
        ]
        print(f"Z = {Z}: 8 solar masses, R = {radius[0]:.3f} to {radius[1]:.3f} solar radii")


if __name__ == "__main__":
    sys.exit(main())
