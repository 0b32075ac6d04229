"""The shipped networks on real, labelled light curves that no training has seen: OGLE-II, ASAS, Debosscher, Cepheids.

Usage: python benchmarks/classifier_real.py [--data FOLDER] [--models NAME ...]

DATA holds ocvs/, ocvs_labels.csv, asas/, debosscher/ and ogle4_lmc_cep/ (default ../shared/data). Stars are cleaned and
folded at the listed period, and those without one at the period that the search finds; a second table has the adopted
periods of all. Prints and saves the tables.
"""

import argparse
import io
import json
import sys
from pathlib import Path

import numpy as np
from morphology_real import ogle
from period_verdicts import asas, debosscher, ogle_cepheids

from cbminer.classifier.calibration import calibration_error
from cbminer.classifier.classes import CLASSES
from cbminer.classifier.evaluation import area_under_curve, share_interval
from cbminer.classifier.prediction import ClassifierSettings, classifier_model, classify
from cbminer.lightcurves.adoption import variability
from cbminer.lightcurves.cleaning import CleaningSettings, clean
from cbminer.lightcurves.folding import fold
from cbminer.measurement import MeasurementSettings, StarTask, fit_curves, single_threaded_algebra

RESULTS = Path(__file__).parent / "results" / "classifier_real.json"
EPOCH = 2450000.0
CONTACT, NEAR_CONTACT, DETACHED = (CLASSES.index(name) for name in ("contact", "near_contact", "detached"))
NOT_ECLIPSING = CLASSES.index("not_eclipsing")
# Classes of stars that must not be called eclipsing, by the words of their surveys.
CONTAMINANTS = ("Cepheid", "RR Lyr", "Delta Scuti", "Be Star", "AE/BE", "Beta Cephei")


def samples(data):
    """Light curves, listed periods, adopted ones and classes, by survey."""
    curves, tasks, classes = ogle(data)
    yield "OGLE-II eclipsing (LMC)", curves, np.array([task.period for task in tasks]), classes
    for title, read in (("ASAS", asas), ("Debosscher+2007", debosscher), ("OGLE-IV Cepheids (LMC)", ogle_cepheids)):
        classes, curves, period = read(data)
        yield title, curves, period, classes


def classify_all(data, models):
    """Probabilities of every star by survey, model, and kind of period; and what the period verdict says of it."""
    for title, curves, period, classes in samples(data):
        tasks = [StarTask(name, value, np.nan) for name, value in zip(curves.stars, period, strict=True)]
        fitted = fit_curves(curves, tasks, settings=MeasurementSettings())
        adopted = fitted.periods.period
        listed = np.where(np.isfinite(period), period, adopted)
        found = {}
        for kind, chosen in (("listed", listed), ("adopted", adopted)):
            epoch = np.full(len(curves), EPOCH)
            cleaned = clean(curves, fold(curves.time, curves.offsets, chosen, epoch), settings=CleaningSettings())
            kept = cleaned.curves
            for name in models:
                found[name, kind] = classify(
                    cleaned.phase,
                    kept.mag,
                    kept.mag_err,
                    kept.offsets,
                    model=classifier_model(name),
                    settings=ClassifierSettings(draws=0),
                    period=chosen,
                )
        yield title, np.array(classes), found, variability(fitted.periods)


def tabulate(classes, found, variable):
    """Stars of each class by what they are called."""
    table = {}
    for name in sorted(set(classes)):
        inside = (classes == name) & found.known
        if not inside.any():
            continue
        chosen = found.probability[inside].argmax(axis=1)
        other = variable[inside] == "other"
        table[name] = {
            "stars": int(inside.sum()),
            "chosen": np.bincount(chosen, minlength=len(CLASSES)).tolist(),
            "mean_probability": [round(float(p), 4) for p in found.probability[inside].mean(axis=0)],
            "called_a_pair_and_not_refused_by_the_period": int(((chosen != NOT_ECLIPSING) & ~other).sum()),
        }
    return table


def text_of(interval):
    """A share with its interval."""
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def areas(title, classes, found, one, other):
    """Area under the curve, by the ratio of the probabilities of contact, or of contact-like, to detached."""
    probability, known = np.maximum(found.probability, 1e-12), found.known
    like = probability[:, CONTACT] + probability[:, NEAR_CONTACT]
    for words, positive in (("P(contact)", probability[:, CONTACT]), ("P(contact) + P(near contact)", like)):
        ratio = np.log(positive) - np.log(probability[:, DETACHED])
        area = area_under_curve(ratio[known & (classes == one)], ratio[known & (classes == other)])
        yield f"{title} {one} against {other}, area under the curve of {words} {area:.4f} (above 0.98)", area > 0.98


def ogle_shares(classes, found):
    """EW called contact-like, and EA falsely; by the largest probability, and by the sum of both."""
    like = found.probability.argmax(axis=1) <= NEAR_CONTACT
    total = found.probability[:, : NEAR_CONTACT + 1].sum(axis=1)
    eclipsing = {name: found.known & (classes == name) for name in ("EW", "EA")}
    recall, false = (share_interval(like[inside]) for inside in eclipsing.values())
    yield f"OGLE-II EW called contact or near contact {text_of(recall)} (at least 0.90)", recall.value >= 0.90
    yield f"OGLE-II EA called contact or near contact {text_of(false)} (at most 0.05)", false.value <= 0.05
    contact = share_interval(found.probability.argmax(axis=1)[eclipsing["EA"]] == CONTACT)
    yield f"OGLE-II EA called contact {text_of(contact)}", None
    for limit in (0.6, 0.7, 0.8, 0.9):
        recall, false = (float((total[inside] >= limit).mean()) for inside in eclipsing.values())
        both = recall >= 0.90 and false <= 0.05
        yield f"  P(contact) + P(near contact) of {limit} and more: EW {recall:.3f}, EA {false:.3f}", both


def contaminants(tables):
    """Counts of contaminants: all, called a pair, called eclipsing, called a pair and not refused by their period."""
    for title, table in tables.items():
        for name, row in table.items():
            if any(word in name for word in CONTAMINANTS):
                pairs = row["stars"] - row["chosen"][NOT_ECLIPSING]
                refused = row["called_a_pair_and_not_refused_by_the_period"]
                yield f"{title}: {name}", row["stars"], pairs, sum(row["chosen"][:3]), refused


def contaminant_shares(tables):
    """Shares of contaminants that are called what they are not."""
    rows = list(contaminants(tables))
    total, pairs, eclipsing, left = (sum(row[k] for row in rows) for k in (1, 2, 3, 4))
    yield f"contaminants called a pair {pairs} of {total}: {pairs / total:.3f} (at most 0.10)", pairs / total <= 0.10
    share = eclipsing / total
    yield f"  called eclipsing: contact, near contact or detached {share:.3f} (at most 0.10)", share <= 0.10
    yield f"  called a pair, and not called another variable by the period verdict {left / total:.3f}", None
    for name, stars, wrong, _, left in rows:
        share = share_interval(np.arange(stars) < wrong)
        yield f"  {name}: {wrong} of {stars}: {text_of(share)}; {left} after the period verdict", share.value <= 0.10


def calibration_of_real(classes, found):
    """Calibration error over the stars of ASAS whose classes have counterparts; labels are noisy themselves."""
    named = {"Contact Systems": 0, "Semidetached": 1, "Detached": 2, "RR Lyrae, First Overtone": 4}
    named |= {"RR Lyrae, Fundamental Mode": 4, "Delta Scuti": 4, "Mira": 4, "Beta Cephei": 4}
    label = np.array([named.get(name, -1) for name in classes])
    inside = found.known & (label >= 0)
    error = calibration_error(found.probability[inside], label[inside])
    right = share_interval(found.probability[inside].argmax(axis=1) == label[inside])
    yield f"calibration error on {inside.sum()} stars of ASAS {text_of(error)}; accuracy {text_of(right)}", None
    for limit in (0.5, 0.7, 0.9):
        decided = inside & (found.probability.max(axis=1) >= limit)
        right = found.probability.argmax(axis=1)[decided] == label[decided]
        yield f"  of largest probability {limit} or more: {decided.sum()}, of which {right.mean():.3f} right", None


def figures(tables, by_title):
    """Figures of the tables, each with its target if it has one."""
    ogle_classes, ogle_found = by_title["OGLE-II eclipsing (LMC)"]
    asas_classes, asas_found = by_title["ASAS"]
    yield from areas("ASAS", asas_classes, asas_found, "Contact Systems", "Detached")
    yield from areas("OGLE-II", ogle_classes, ogle_found, "EW", "EA")
    yield from ogle_shares(ogle_classes, ogle_found)
    yield from contaminant_shares(tables)
    yield from calibration_of_real(asas_classes, asas_found)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--models", nargs="+", default=["standard", "tiny"])
    given = parser.parse_args()
    with single_threaded_algebra():
        everything = list(classify_all(given.data, given.models))
    result, text = {}, io.StringIO()
    for name in given.models:
        result[name] = {"sha256": classifier_model(name).digest()}
        for kind in ("listed", "adopted"):
            tables = {title: tabulate(classes, found[name, kind], other) for title, classes, found, other in everything}
            by_title = {title: (classes, found[name, kind]) for title, classes, found, _ in everything}
            told = [
                f"{line}{'' if passed is None else ': pass' if passed else ': FALLS SHORT'}"
                for line, passed in figures(tables, by_title)
            ]
            if kind == "listed":
                result[name] |= {"surveys": tables, "figures": told}
            else:
                result[name]["adopted"] = {"surveys": tables, "figures": told}
            show(name, kind, tables, told, text)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    RESULTS.with_suffix(".txt").write_text(text.getvalue())


def show(name, kind, tables, told, text):
    """Print and keep the lines of one network."""
    heads = "".join(f"{item:>15}" for item in CLASSES)
    lines = [f"network {name}, {kind} periods"]
    for title, table in tables.items():
        lines.append(f"  {title:<36}{'stars':>6}{heads}")
        lines += [
            f"    {group:<34}{row['stars']:>6}" + "".join(f"{count:>15}" for count in row["chosen"])
            for group, row in table.items()
        ]
    lines += [f"  {line}" for line in told]
    for line in lines:
        print(line)
        print(line, file=text)


if __name__ == "__main__":
    sys.exit(main())
