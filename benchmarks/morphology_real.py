"""c of real, labelled light curves: classes of OGLE-II, contact against detached of ASAS, and the stars that fit worst.

Usage: python benchmarks/morphology_real.py [--data FOLDER] [--figures FOLDER]

DATA holds ocvs/, ocvs_labels.csv and asas/ (default ../shared/data). Prints and saves the tables; with --figures also
draws the ten worst of each class: EW and contact stars of lowest c, EA and detached ones of highest.
"""

import argparse
import csv
import io
import json
import sys
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from cbminer.lightcurves.periods import PeriodVerdict
from cbminer.measurement import MeasurementSettings, StarTask, fit_curves, single_threaded_algebra
from cbminer.morphology.embedding import embedding_model
from cbminer.morphology.shape import shape_model
from cbminer.report.figures import FoldedCurve, atlas_pages, save_figure
from cbminer.survey.packed import pack_light_curves
from cbminer.survey.photometry_file import parse_light_curve, read_light_curve

RESULTS = Path(__file__).parent / "results" / "morphology_real.json"
MODEL_PHASE = np.linspace(-0.25, 1.25, 451)
CONTACT, DETACHED = "Contact Systems", "Detached"


def ogle(data):
    """Stars of OGLE-II with their classes and listed periods."""
    with (data / "ocvs_labels.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    curves = [read_light_curve(data / "ocvs" / "lmc" / "ecl" / "phot" / "I" / f"{row['name']}.dat") for row in rows]
    tasks = [StarTask(row["name"], float(row["period_days"]), np.nan) for row in rows]
    return pack_light_curves([task.star for task in tasks], curves), tasks, [row["ogle2_class"] for row in rows]


def asas(data):
    """Eclipsing stars of ASAS with their classes and listed periods."""
    with (data / "asas" / "index.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["acvs_period_d"] not in {"", "-"}]
    with tarfile.open(data / "asas" / "lc.tar.gz") as archive:
        members = {Path(item.name).stem: archive.extractfile(item).read() for item in archive if item.isfile()}
    rows = [row for row in rows if row["id"] in members]
    curves = [parse_light_curve(Path(row["id"]), members[row["id"]]) for row in rows]
    tasks = [StarTask(row["id"], float(row["acvs_period_d"]), np.nan) for row in rows]
    return pack_light_curves([task.star for task in tasks], curves), tasks, [row["class"] for row in rows]


def area_under_curve(positive, negative):
    """Probability that c of a positive star is above that of a negative one."""
    ranks = rankdata(np.concatenate([positive, negative]))[: len(positive)]
    return (ranks.sum() - len(positive) * (len(positive) + 1) / 2) / (len(positive) * len(negative))


def tabulate(classes, fitted):
    """Numbers of each class."""
    c, verdict = fitted.shapes.c, fitted.periods.listed.verdict
    unlike = fitted.shapes.c_distance > embedding_model().reach[0]
    table = {}
    for name in sorted(set(classes)):
        inside = np.array(classes) == name
        known = inside & np.isfinite(c)
        table[name] = {
            "stars": int(inside.sum()),
            "with_c": int(known.sum()),
            "c_quantiles": [round(float(q), 3) for q in np.quantile(c[known], [0.05, 0.25, 0.5, 0.75, 0.95])],
            "share_above_0.7": round(float(np.mean(c[known] >= 0.7)), 3),
            "median_e_c": round(float(np.median(fitted.shapes.e_c[known])), 4),
            "unlike_training_curves": int(unlike[inside].sum()),
            "verdicts": {
                PeriodVerdict(k).name.lower(): n for k, n in sorted(Counter(verdict[inside].tolist()).items())
            },
        }
    return table


def report(result):
    """Lines of the result."""
    for survey in ("OGLE-II", "ASAS"):
        yield f"{survey:<34}{'stars':>6}{'c 5 %':>8}{'25 %':>7}{'50 %':>7}{'75 %':>7}{'95 %':>7}{'>= 0.7':>8}  verdicts"
        for name, row in result[survey].items():
            quantiles = "".join(f"{q:>7.3f}" for q in row["c_quantiles"])
            verdicts = ", ".join(f"{key.replace('_', ' ')} {n}" for key, n in row["verdicts"].items())
            yield f"  {name:<32}{row['stars']:>6} {quantiles}{row['share_above_0.7']:>8.3f}  {verdicts}"
    yield f"area under the curve, ASAS contact against detached: {result['area_under_curve']:.4f}"
    medians = [result["OGLE-II"][kind]["c_quantiles"][2] for kind in ("EW", "EB", "EA")]
    shares = [result["OGLE-II"][kind]["share_above_0.7"] for kind in ("EW", "EA")]
    for text, passed in (
        ("median c of EW > EB > EA", medians[0] > medians[1] > medians[2]),
        ("at least 75 % of EW have c >= 0.7", shares[0] >= 0.75),
        ("at most 10 % of EA have c >= 0.7", shares[1] <= 0.10),
        ("area under the curve above 0.97", result["area_under_curve"] > 0.97),
    ):
        yield f"target: {text}: {'pass' if passed else 'FAIL'}"


def draw(folder, name, fitted, tasks, places):
    """Draw some stars."""
    shapes, cleaned = fitted.shapes, fitted.cleaned
    folded = []
    for k in places:
        points = cleaned.curves.points_of(int(k))
        lines = (f"P = {fitted.periods.period[k]:.4f} d, c = {shapes.c[k]:.3f} ± {shapes.e_c[k]:.3f}",)
        phase = (cleaned.phase[points] - shapes.phase_zero[k]) % 1.0
        folded.append(
            FoldedCurve(
                tasks[k].star,
                lines,
                phase,
                cleaned.curves.mag[points],
                cleaned.curves.mag_err[points],
                MODEL_PHASE,
                shape_model(shapes, int(k), MODEL_PHASE),
            )
        )
    for page in atlas_pages(folded, survey=""):
        save_figure(page, folder / f"worst_{name}", formats=("png",))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--figures", type=Path)
    given = parser.parse_args()
    result = {}
    with single_threaded_algebra():
        for survey, read, worst in (
            ("OGLE-II", ogle, (("EW", 1), ("EB", -1), ("EA", -1))),
            ("ASAS", asas, ((CONTACT, 1), (DETACHED, -1))),
        ):
            curves, tasks, classes = read(given.data)
            fitted = fit_curves(curves, tasks, settings=MeasurementSettings())
            result[survey] = tabulate(classes, fitted)
            kind, c = np.array(classes), fitted.shapes.c
            if survey == "ASAS":
                known = np.isfinite(c)
                result["area_under_curve"] = float(
                    area_under_curve(c[known & (kind == CONTACT)], c[known & (kind == DETACHED)])
                )
            if given.figures:
                given.figures.mkdir(parents=True, exist_ok=True)
                for name, sign in worst:
                    places = np.flatnonzero((kind == name) & np.isfinite(c))
                    draw(given.figures, name.split()[0], fitted, tasks, places[np.argsort(sign * c[places])][:10])
    text = io.StringIO()
    for line in report(result):
        print(line)
        print(line, file=text)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    RESULTS.with_suffix(".txt").write_text(text.getvalue())


if __name__ == "__main__":
    sys.exit(main())
