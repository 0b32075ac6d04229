"""Build the embedded grids of both Clouds from the single-star tracks beside this script.

Usage: python grids/roche-sse/build.py [--output FOLDER] [--solar]

Writes the folders lmc and smc, each with runs.parquet and steps.parquet, and prints how the runs ended. `--solar`
builds one of solar metallicity besides, which is not shipped: it is for comparison with published models.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from cbminer.columns import label_column
from cbminer.theory.binary_evolution import evolve_grid
from cbminer.theory.grid import write_grid
from cbminer.theory.tracks import SingleStarTracks

HERE = Path(__file__).parent
CLOUDS = {"lmc": 0.0047, "smc": 0.0021}
SOLAR = {"solar": 0.0142}


def main() -> None:
    """Build, write and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=HERE)
    parser.add_argument("--solar", action="store_true")
    arguments = parser.parse_args()
    for name, Z in (CLOUDS | (SOLAR if arguments.solar else {})).items():
        start = time.perf_counter()
        grid = evolve_grid(SingleStarTracks.load(HERE / "tracks.npz", Z))
        write_grid(grid, arguments.output / name)
        size = sum(file.stat().st_size for file in (arguments.output / name).iterdir())
        print(f"{name}: {len(grid)} runs, {len(grid.steps)} steps, {time.perf_counter() - start:.0f} s, {size} bytes")
        ends, counts = np.unique(label_column(grid.runs, "end"), return_counts=True)
        for end, count in zip(ends, counts, strict=True):
            print(f"  {end}: {count}")


if __name__ == "__main__":
    sys.exit(main())
