"""Time of the sensitivity and of the bootstrap of a survey as large as OGLE's of 2016, made by repeating a run's stars.

python benchmarks/sensitivity.py RUN
"""

import resource
import sys
import time
from pathlib import Path

import numpy as np

from cbminer.completeness.bootstrap import ErrorModel, run_bootstrap
from cbminer.completeness.rejudging import Rejudging, read_judged_run
from cbminer.completeness.sensitivity import measure_sensitivity
from cbminer.completeness.sensitivity_settings import SensitivitySettings

N_STARS = 48605


def main():
    run = read_judged_run(Path(sys.argv[1]))
    cuts, settings = run.settings.selection, SensitivitySettings()
    stars = run.stars[np.resize(np.arange(len(run.stars)), N_STARS)]
    start = time.perf_counter()
    measure_sensitivity(Rejudging(stars, cuts), settings=settings)
    print(f"{N_STARS:,} stars, every limit at {settings.n_values} values: {time.perf_counter() - start:.1f} s")
    start = time.perf_counter()
    errors = ErrorModel.of(run.settings, settings)
    run_bootstrap(stars, cuts, errors=errors, n_draws=settings.draws, seed=1)
    print(f"{settings.draws} draws of the bootstrap: {time.perf_counter() - start:.1f} s")
    print(f"memory at most: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
