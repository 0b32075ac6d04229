"""Verdicts on the periods of real stars, at the listed period, half and twice of it; and periods that a search finds.

Usage: python benchmarks/period_verdicts.py [folder of the data]. Prints tables, writes results/period_verdicts.json.
"""

import csv
import io
import json
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cbminer.columns import FloatArray
from cbminer.lightcurves.period_search import PeriodSearchSettings, search_periods
from cbminer.lightcurves.periods import PeriodSettings, PeriodVerdict, judge_periods
from cbminer.survey.packed import PackedLightCurves, pack_light_curves
from cbminer.survey.photometry_file import LightCurve, read_light_curve

ROOT = Path(__file__).parents[1]
FACTORS = {"P": 1.0, "P/2": 0.5, "2P": 2.0}
Sample = tuple[list[str], PackedLightCurves, FloatArray]


def ogle_binaries(folder: Path) -> Sample:
    rows = list(csv.DictReader((folder / "ocvs_labels.csv").open()))
    paths = [next((folder / "ocvs").glob(f"*/ecl/phot/I/{row['name']}.dat")) for row in rows]
    curves = pack_light_curves([row["name"] for row in rows], [read_light_curve(path) for path in paths])
    groups = [f"{row['ogle2_class']} {row['period_rule']}" for row in rows]
    return groups, curves, np.array([float(row["period_days"]) for row in rows])


def ogle_cepheids(folder: Path) -> Sample:
    folder = folder / "ogle4_lmc_cep"
    listed = {line.split()[0]: float(line[33:44]) for line in (folder / "cepFO4.dat").read_text().splitlines()}
    paths = [path for path in sorted((folder / "I").glob("*.dat")) if path.stem in listed]
    curves = pack_light_curves([path.stem for path in paths], [read_light_curve(path) for path in paths])
    return ["Cepheid F"] * len(paths), curves, np.array([listed[path.stem] for path in paths])


def asas(folder: Path) -> Sample:
    rows = list(csv.DictReader((folder / "asas" / "index.csv").open()))
    with tarfile.open(folder / "asas" / "lc.tar.gz") as archive:
        members = {Path(member.name).stem: member for member in archive.getmembers()}
        curves = [plain(archive.extractfile(members[row["id"]]).read()) for row in rows]  # type: ignore[union-attr]
    packed = pack_light_curves([row["id"] for row in rows], curves)
    return [row["class"] for row in rows], packed, np.array([float(row["acvs_period_d"] or "nan") for row in rows])


def debosscher(folder: Path) -> Sample:
    folder = folder / "debosscher"
    rows = list(csv.DictReader((folder / "index.csv").open()))
    curves = [plain((folder / "lc" / f"{row['id']}.dat").read_bytes()) for row in rows]
    frequency = np.array([float(row["freq1_pipeline_per_day"] or "nan") for row in rows])
    return [row["class_long"] for row in rows], pack_light_curves([row["id"] for row in rows], curves), 1.0 / frequency


def plain(data: bytes) -> LightCurve:
    table = np.loadtxt(io.BytesIO(data), ndmin=2)
    return LightCurve(table[:, 0], table[:, 1].astype(np.float32), table[:, 2].astype(np.float32))


def counts(groups: list[str], verdict: np.ndarray) -> dict[str, dict[str, int]]:
    names = np.array(groups)
    return {
        group: {v.name: int(np.sum((names == group) & (verdict == v))) for v in PeriodVerdict}
        for group in sorted(set(groups))
    }


def show(title: str, table: dict[str, dict[str, int]]) -> None:
    print(f"\n{title:42s}" + "".join(f"{v.name:>15s}" for v in PeriodVerdict))
    for group, row in table.items():
        print(f"{group:42s}" + "".join(f"{row[v.name]:15d}" for v in PeriodVerdict))


def judge_sample(name: str, sample: Sample) -> dict[str, object]:
    groups, curves, period = sample
    known = np.isfinite(period)
    result: dict[str, object] = {}
    for label, factor in FACTORS.items():
        start = time.thread_time()
        judged = judge_periods(curves, period * factor, settings=PeriodSettings())
        spent = time.thread_time() - start
        named = [group if has else f"{group} (no period)" for group, has in zip(groups, known, strict=True)]
        table = counts(named, judged.verdict)
        show(f"{name} at {label}, {1e3 * spent / max(known.sum(), 1):.2f} ms a star", table)
        ambiguous = int(judged.ambiguous.sum())
        result[label] = {"verdicts": table, "ambiguous": ambiguous, "ms_a_star": 1e3 * spent / max(int(known.sum()), 1)}
    return result


def search_sample(name: str, sample: Sample, keep: np.ndarray) -> dict[str, object]:
    """Search a part of a sample; how many get the listed period, and what they are taken for."""
    groups, curves, period = sample
    parts = [curves.points_of(int(index)) for index in keep]
    some = pack_light_curves(
        [curves.stars[index] for index in keep],
        [LightCurve(curves.time[part], curves.mag[part], curves.mag_err[part]) for part in parts],
    )
    start = time.thread_time()
    found = search_periods(some, settings=PeriodSearchSettings(period_min="0.05 d" if name != "OGLE" else "0.2 d"))
    spent = (time.thread_time() - start) / len(keep)
    table = counts([groups[index] for index in keep], found.judgements.verdict)
    show(f"search of {name}, {1e3 * spent:.0f} ms a star", table)
    ratio = found.period / period[keep]
    same = {f"{factor:g} P": int(np.sum(np.abs(ratio / factor - 1) < 1e-3)) for factor in (0.5, 1.0, 2.0)}
    labels, number = np.unique(np.array(found.alias), return_counts=True)
    aliases = {str(label) or "none": int(count) for label, count in zip(labels, number, strict=True)}
    print(f"of {int(np.isfinite(period[keep]).sum())} with a listed period P: {same}; aliases: {aliases}")
    return {"verdicts": table, "listed": same, "aliases": aliases, "ms_a_star": 1e3 * spent}


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared" / "data"
    samples: dict[str, Callable[[Path], Sample]] = {
        "OGLE": ogle_binaries,
        "OGLE Cepheids": ogle_cepheids,
        "ASAS": asas,
        "Debosscher": debosscher,
    }
    results: dict[str, object] = {}
    for name, read in samples.items():
        sample = read(folder)
        judge_periods(sample[1], np.full(len(sample[1]), np.nan), settings=PeriodSettings())
        results[name] = judge_sample(name, sample)
        groups, _, period = sample
        if name == "OGLE":
            results["search OGLE"] = search_sample(name, sample, np.arange(len(groups)))
        if name == "ASAS":
            pulsators = np.array(
                [(not np.isfinite(p) and "RR Lyrae" in g) or "Scuti" in g for g, p in zip(groups, period, strict=True)]
            )
            results["search ASAS"] = search_sample(name, sample, np.flatnonzero(pulsators))
    target = ROOT / "benchmarks" / "results" / "period_verdicts.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
