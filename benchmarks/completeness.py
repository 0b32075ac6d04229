"""How long `cbminer complete` takes on a mock survey, and whether its corrected counts are the true ones.

    python benchmarks/completeness.py [--n 5000] [--jobs 2] [--out benchmarks/results/completeness.json]

A mock survey is made and selected first, which is not timed. Of the mock survey all is known: injected stars stand for
its true contact binaries if they are weighed by its periods and magnitudes, and their completeness must then be the
share of these that the selection has found.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from astropy.table import QTable

from cbminer.cli import main as cbminer
from cbminer.columns import label_column, values
from cbminer.completeness.completing import InjectedRun, inject_into_run
from cbminer.completeness.rates import jeffreys_interval
from cbminer.provenance import read_provenance
from cbminer.survey.mock import TRUTH_FILE

_LOG_P_EDGES = np.arange(-0.6, 1.01, 0.15)
_M_V_EDGES = np.arange(-7.0, 0.01, 1.0)
_COMPARED = {"period": "d", "M_V": "mag", "depth1": "mag"}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=5000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--run", type=Path, help="finished run of a mock survey of both Clouds; made if left out")
    parser.add_argument("--cache", type=Path, help="cache of that run")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run, cache = given.run or Path(folder) / "run", given.cache or Path(folder) / "cache"
        if given.run is None:
            cbminer(["select", "--galaxy", "both", "--survey", "mock", "--out", str(run), "--cache", str(cache)])
        start = time.perf_counter()
        found = inject_into_run(run, cache=cache, n=given.n, jobs=given.jobs)
        seconds = time.perf_counter() - start
        found.forget_chunks()
        result = {"n": given.n, "jobs": given.jobs, "seconds": round(seconds, 1)}
        result |= {"stars_a_second": round(given.n / seconds, 1)} | _against_truth(run, found)
    print(json.dumps(result, indent=2))
    if given.out is not None:
        given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _against_truth(run: Path, found: InjectedRun) -> dict[str, dict[str, float]]:
    """Compare the completeness that injections predict for the mock's own binaries with the true one."""
    truth = QTable.read(Path(read_provenance(run).archive) / TRUTH_FILE, format="ascii.ecsv")
    selected = dict(zip(label_column(found.observed, "id"), np.asarray(found.observed["selected"]), strict=True))
    result = {}
    for kind in ("contact", "near_contact"):
        mine = truth[(np.asarray(truth["kind"]) == kind) & ~np.asarray(truth["foreground"])]
        m_v = values(mine, "M_V", "mag")
        mine = mine[(m_v > _M_V_EDGES[0]) & (m_v < -0.25)]
        true = np.array([bool(selected[name]) for name in mine["id"]])
        injected = found.injected[label_column(found.injected, "kind") == kind]
        low, high = jeffreys_interval(true.sum(), len(true))
        predicted, error = _predicted(mine, injected)
        result[kind] = {
            "mock_stars": len(true),
            "true_share": round(float(true.mean()), 4),
            "true_share_low": round(float(low), 4),
            "true_share_high": round(float(high), 4),
            "share_by_injections": round(predicted, 4),
            "e_share_by_injections": round(error, 4),
        }
    return result


def _predicted(mine: QTable, injected: QTable) -> tuple[float, float]:
    """Share found of injected stars, those as deep as the mock's weighed by its periods, magnitudes and depths."""
    edges = (_LOG_P_EDGES, _M_V_EDGES, np.array([0.02, 0.1, 0.2, 0.4, 2.0]))
    period, m_v, depth = (values(mine, name, unit) for name, unit in _COMPARED.items())
    theirs = np.column_stack([np.log10(period), m_v, depth])
    ours = np.column_stack([
        np.log10(values(injected, "true_period", "d")),
        values(injected, "true_M_V", "mag"),
        values(injected, "true_depth1", "mag") * (1.0 - values(injected, "third_light")),
    ])  # fmt: skip
    wanted, drawn = (np.histogramdd(places, bins=edges)[0] for places in (theirs, ours))
    ratio = np.divide(wanted, drawn, out=np.zeros_like(wanted), where=drawn > 0)
    cells = [np.digitize(ours[:, axis], edge) - 1 for axis, edge in enumerate(edges)]
    inside = np.all([(cell >= 0) & (cell < n) for cell, n in zip(cells, ratio.shape, strict=True)], axis=0)
    weight = np.zeros(len(ours))
    weight[inside] = ratio[tuple(cell[inside] for cell in cells)]
    selected = np.asarray(injected["selected"])
    share = float((weight * selected).sum() / weight.sum())
    return share, float(np.sqrt(((weight * (selected - share)) ** 2).sum()) / weight.sum())


if __name__ == "__main__":
    main()
