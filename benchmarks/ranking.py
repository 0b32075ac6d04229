"""Whether the probabilities of the ranking mean what they say, on mock surveys whose truth is known.

Usage: python benchmarks/ranking.py [--seeds 3] [--jobs 2] [--save] [--figure]
       python benchmarks/ranking.py --check

Each seed makes a mock survey of both Clouds at its default size (2,600 stars), which neither the network nor the
weights of the light-curve evidence were trained on, and ranks it as `cbminer select` does. Printed are the reliability
of P(contact) in ten bins with binomial errors, the expected calibration error, areas under the curve of contact against
everything and, by inclination, against near contact, how often light curves are degenerate, and precision and recall of
the bona fide set beside those of as many stars from the top of the ranking.

`--save` writes results/ranking.json and the numbers of every star to results/ranking.npz; `--check` works all figures
out again from these; `--figure` draws docs/images/ranking.png.
"""

import argparse
import json
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
from astropy.table import Table, vstack
from matplotlib.figure import Figure
from scipy.stats import binom

from cbminer.classifier.evaluation import area_under_curve
from cbminer.columns import label_column, values
from cbminer.flags import Flag
from cbminer.pipeline import open_survey, run_selection
from cbminer.ranking.reliability import reliability
from cbminer.settings import load_settings
from cbminer.survey.mock import TRUTH_FILE

FIRST_SEED = 20261201
RESULTS = Path(__file__).parent / "results"
FIGURE = Path(__file__).parents[1] / "docs" / "images" / "ranking.png"
INCLINATIONS = (0.0, 40.0, 50.0, 60.0, 70.0, 90.0)
MOST_ERROR, LEAST_AREA = 0.05, 0.97
BLUE, VERMILION, ORANGE = "#0072B2", "#D55E00", "#E69F00"
KINDS = (
    "contact",
    "near_contact",
    "semi_detached",
    "detached",
    "ellipsoidal",
    "pulsator_double_period",
    "spotted",
    "be_like",
)


def rank_mock(seed: int, jobs: int) -> Table:
    """Rank one mock survey, and set the truth beside it."""
    settings = load_settings().model_copy(update={"seed": seed})
    with tempfile.TemporaryDirectory() as cache:
        archive = open_survey("mock", ["LMC", "SMC"], settings=settings, cache=Path(cache))
        stars = run_selection(archive, ["LMC", "SMC"], settings=settings, survey="mock", jobs=jobs).stars
        truth = Table.read(next(Path(cache).glob(f"mock/*/{TRUTH_FILE}")), format="ascii.ecsv")
    truth.add_index("id")
    truth = truth.loc[label_column(stars, "id").tolist()]
    flags = np.asarray(stars["flags"])
    table = Table()
    table["seed"] = np.full(len(stars), seed)
    table["kind"] = np.array([KINDS.index(kind) for kind in truth["kind"]], dtype=np.int8)
    table["inclination"] = np.asarray(truth["inclination"].filled(np.nan), dtype=np.float32)
    for name in ("post_contact", "post_near_contact", "P_contact", "ln_odds"):
        table[name] = values(stars, name).astype(np.float32)
    table["degenerate"] = (flags & Flag.DEGENERATE) != 0
    for name in ("selected", "bona_fide"):
        table[name] = np.asarray(stars[name], dtype=bool)
    table["contact_rank"] = np.asarray(stars["contact_rank"], dtype=np.int32)
    return table


def judge(stars: Table) -> dict:
    """Work out all figures."""
    known = np.isfinite(stars["P_contact"])
    stars = stars[known]
    contact, near = stars["kind"] == 0, stars["kind"] == 1
    posterior = np.asarray(stars["post_contact"], dtype=float)
    found = reliability(posterior, contact)
    n_true = np.round(found.observed * found.stars)
    # Probability of a share as far from the stated one as this or farther, either way.
    low, high = binom.cdf(n_true, found.stars, found.stated), binom.sf(n_true - 1, found.stars, found.stated)
    chance = np.minimum(1.0, 2.0 * np.minimum(low, high))
    record = {
        "stars": len(stars),
        "expected calibration error": round(found.expected_error, 4),
        "bins": [
            {
                "stars": int(found.stars[k]),
                "stated": round(float(found.stated[k]), 4),
                "observed": round(float(found.observed[k]), 4),
                "low": round(float(found.low[k]), 4),
                "high": round(float(found.high[k]), 4),
                "chance": round(float(chance[k]), 4),
            }
            for k in range(10)
        ],
        "area, contact against all": round(area_under_curve(posterior[contact], posterior[~contact]), 4),
        "area of the network alone": round(
            area_under_curve(stars["P_contact"][contact], stars["P_contact"][~contact]), 4
        ),
        "by inclination": [],
    }
    odds = np.asarray(stars["ln_odds"], dtype=float)
    for lower, upper in pairwise(INCLINATIONS):
        inside = (stars["inclination"] >= lower) & (stars["inclination"] < upper)
        record["by inclination"].append(
            {
                "from": lower,
                "to": upper,
                "contact": int((contact & inside).sum()),
                "near contact": int((near & inside).sum()),
                "area by probability": round(
                    area_under_curve(posterior[contact & inside], posterior[near & inside]), 4
                ),
                "area by odds": round(area_under_curve(odds[contact & inside], odds[near & inside]), 4),
                "degenerate contact": round(float(stars["degenerate"][contact & inside].mean()), 3),
                "degenerate near contact": round(float(stars["degenerate"][near & inside].mean()), 3),
            }
        )
    return record | {"choices": choices(stars, contact)}


def choices(stars: Table, contact: np.ndarray) -> list[dict]:
    """Compare the bona fide set with as many stars of the ranking, survey by survey."""
    rows = {name: np.zeros(len(stars), dtype=bool) for name in ("candidates", "bona fide", "ranking, as many")}
    rows["candidates"] |= stars["selected"]
    rows["bona fide"] |= stars["bona_fide"]
    for seed in np.unique(stars["seed"]):
        mine = stars["seed"] == seed
        n = int((stars["bona_fide"] & mine).sum())
        rows["ranking, as many"] |= mine & (stars["contact_rank"] > 0) & (stars["contact_rank"] <= n)
    # What can be found at all: contact binaries of the right colour, magnitude and period.
    reachable = contact & (stars["contact_rank"] > 0)
    return [
        {
            "choice": name,
            "stars": int(chosen.sum()),
            "precision": round(float(contact[chosen].mean()), 4),
            "recall": round(float(chosen[reachable].mean()), 4),
        }
        for name, chosen in rows.items()
    ]


def show(record: dict) -> bool:
    """Print the figures, and tell whether the targets are met."""
    print(f"{record['stars']:,} stars with light curves")
    print("P(contact)   stars  stated  observed  68 % interval    chance")
    for number, one in enumerate(record["bins"]):
        print(
            f"{number / 10:.1f} to {number / 10 + 0.1:.1f}  {one['stars']:6d}  {one['stated']:.3f}     "
            f"{one['observed']:.3f}  {one['low']:.3f} to {one['high']:.3f}   {one['chance']:.3f}"
        )
    within = sum(one["chance"] >= 0.05 for one in record["bins"])
    error, area = record["expected calibration error"], record["area, contact against all"]
    print(f"within the binomial 95 %: {within} of 10 bins")
    print(f"expected calibration error {error:.4f}  {'pass' if error < MOST_ERROR else 'FAIL'} (below {MOST_ERROR})")
    print(
        f"area under the curve, contact against everything {area:.4f}  {'pass' if area > LEAST_AREA else 'FAIL'} "
        f"(above {LEAST_AREA}); network alone {record['area of the network alone']:.4f}"
    )
    print("inclination  contact  near  area (P)  area (odds)  degenerate contact, near")
    for one in record["by inclination"]:
        print(
            f"{one['from']:4.0f} to {one['to']:.0f}  {one['contact']:7d} {one['near contact']:6d}     "
            f"{one['area by probability']:.3f}        {one['area by odds']:.3f}  {one['degenerate contact']:10.2f} "
            f"{one['degenerate near contact']:10.2f}"
        )
    print("choice            stars  precision  recall")
    for one in record["choices"]:
        print(f"{one['choice']:<17} {one['stars']:5d}      {one['precision']:.3f}   {one['recall']:.3f}")
    return error < MOST_ERROR and area > LEAST_AREA


def draw(record: dict, path: Path) -> None:
    """Draw reliability, and how well contact is told from near contact."""
    figure = Figure(figsize=(9.0, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    bins = [one for one in record["bins"] if one["stars"]]
    names = ("stated", "observed", "low", "high")
    stated, observed, low, high = (np.array([one[name] for one in bins]) for name in names)
    left.plot([0, 1], [0, 1], color="0.6", lw=1)
    left.errorbar(stated, observed, yerr=[observed - low, high - observed], fmt="o", color=BLUE, capsize=2)
    for one in bins:
        place = (one["stated"], one["high"])
        left.annotate(f"{one['stars']:,}", place, (0, 4), textcoords="offset points", ha="center", fontsize=7)
    left.set(xlabel="stated probability of contact", ylabel="share that is in contact")
    left.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.1))
    left.set_title("reliability, with the number of stars", fontsize=10)
    groups = record["by inclination"]
    middle = np.arange(len(groups))
    for name, style, colour, label in (
        ("area by odds", "o-", BLUE, "area under the curve"),
        ("degenerate contact", "s--", VERMILION, "contact flagged degenerate"),
        ("degenerate near contact", "^:", ORANGE, "near contact flagged degenerate"),
    ):
        right.plot(middle, [one[name] for one in groups], style, color=colour, label=label)
    right.set_xticks(middle, [f"{one['from']:.0f} - {one['to']:.0f}" for one in groups])
    right.set(xlabel="inclination (degrees)", ylabel="contact against near contact", ylim=(-0.03, 1.05))
    right.legend(loc="lower left", fontsize=8, frameon=False)
    right.set_title("mock surveys: simulated stars", fontsize=10)
    figure.savefig(path, dpi=150)


def main() -> int:
    """Rank, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--figure", action="store_true")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    if given.check:
        with np.load(RESULTS / "ranking.npz") as stored:
            stars = Table({name: stored[name] for name in stored.files})
    else:
        stars = vstack([rank_mock(FIRST_SEED + k, given.jobs) for k in range(given.seeds)])
    record = judge(stars)
    passed = show(record)
    if given.figure or given.save:
        draw(record, FIGURE)
    if given.check:
        same = json.loads((RESULTS / "ranking.json").read_text()) == json.loads(json.dumps(record))
        print("as committed" if same else "NOT as committed")
        return 0 if same and passed else 1
    if given.save:
        np.savez_compressed(RESULTS / "ranking.npz", **{name: np.asarray(stars[name]) for name in stars.colnames})
        (RESULTS / "ranking.json").write_text(json.dumps(record, indent=1) + "\n")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
