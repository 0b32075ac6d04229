"""Build what the ranking knows of light curves: the library of shapes, and how it goes together with the network.

Usage: python grids/ranking/build.py [--work FOLDER] [--threads N] [--keep-shapes]

Writes shapes.npz (depths, W and c of light curves without noise by hypothesis) and light_curves.json (the weights of
the network's probabilities and of the likelihood of shapes, fitted on stars that are observed, cleaned and measured as
those of a survey, and judged on others). About ten minutes on 2 cores; no row was trained on by the network.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from cbminer.classifier.classes import CLASSES, classes_of_kinds
from cbminer.classifier.evaluation import area_under_curve
from cbminer.classifier.examples import complete_templates
from cbminer.classifier.prediction import classifier_model
from cbminer.classifier.templates import N_PHASES, Templates, library_templates
from cbminer.measurement import MeasurementSettings, StarTask, fit_curves, summarise
from cbminer.morphology.fourier import FourierSettings
from cbminer.morphology.shape import measure_shapes
from cbminer.ranking.hypotheses import HYPOTHESES, hypotheses_of
from cbminer.ranking.light_curves import LightCurveEvidence, LightCurveWeights
from cbminer.ranking.reliability import reliability
from cbminer.ranking.shape_library import SHAPE_COLUMNS, ShapeLibrary
from cbminer.settings import load_settings
from cbminer.survey.packed import PackedLightCurves, pack_light_curves
from cbminer.survey.photometry_file import LightCurve
from cbminer.synthesis import library_sight
from cbminer.synthetic.cadence import dilute, draw_third_light
from cbminer.synthetic.library import LibraryMixture, LibrarySettings, write_library
from cbminer.synthetic.priors import BinaryPriors
from cbminer.synthetic.sampling import SamplingSettings

HERE = Path(__file__).parent
SHAPE_ROWS, SHAPE_SEED = 20000, 20261130
FIT_ROWS, FIT_SEED = 14000, 20261131
JUDGE_ROWS, JUDGE_SEED = 8000, 20261132
# Wider than those of the classifier in what theory does not bound: small primaries beside evolved stars that fill
# their lobes make shallow round curves as well.
PRIORS = BinaryPriors(least_mass_ratio=0.15, semi_detached_from=0.2)
SHAPES = LibrarySettings(
    phases=256,
    priors=PRIORS,
    mixture=LibraryMixture(
        contact=0.28, near_contact=0.28, semi_detached=0.14, detached=0.16, ellipsoidal=0.06,
        rr_lyrae=0.02, delta_scuti=0.02, spotted=0.02, be_like=0.02,
    ),
)  # fmt: skip
OBSERVED = LibrarySettings(priors=PRIORS)
FILLOUTS = ("fill-out below 1/3", "fill-out 1/3 to 2/3", "fill-out above 2/3")
# Share of stars that are listed at half or twice their period.
WRONG = 0.04
# Noise so small that the smooth curve follows every bend.
ERROR = 0.001
AT_A_TIME = 2000


def measure_templates(templates: Templates) -> np.ndarray:
    """Measure curves without noise, a part of them diluted by third light."""
    sampling = SamplingSettings()
    parts = []
    for start in range(0, len(templates), AT_A_TIME):
        mag = templates.mag[start : start + AT_A_TIME, 0]
        blended = np.empty_like(mag)
        for row, curve in enumerate(mag):
            rng = np.random.default_rng(np.random.SeedSequence(SHAPE_SEED, spawn_key=(start + row, 3)))
            blended[row] = dilute(curve, draw_third_light(sampling, rng)["I"])
        n = len(blended)
        phase = np.tile(np.arange(N_PHASES) / N_PHASES, n)
        curves = PackedLightCurves(
            tuple(str(k) for k in range(n)),
            np.arange(n + 1, dtype=np.int64) * N_PHASES,
            phase,
            (16.0 + blended).astype(np.float32).ravel(),
            np.full(n * N_PHASES, ERROR, dtype=np.float32),
        )
        shapes = measure_shapes(curves, phase, fourier=FourierSettings())
        parts.append(np.column_stack([getattr(shapes, name) for name in SHAPE_COLUMNS]))
    return np.concatenate(parts)


def kinds_of(path: Path, kind: np.ndarray, hypothesis: np.ndarray) -> np.ndarray:
    """Divide the hypotheses: contact binaries by their fill-out, what does not eclipse by what it is."""
    fillout = pq.read_table(path, columns=["fillout_factor"])["fillout_factor"].to_numpy()
    words = np.array([str(word).replace("_", " ") for word in kind], dtype="<U40")
    hot = np.flatnonzero((hypothesis[: len(fillout)] == 0) & np.isfinite(fillout))
    thirds = np.minimum((fillout[hot] * len(FILLOUTS)).astype(int), len(FILLOUTS) - 1)
    words[hot] = np.array(FILLOUTS)[thirds]
    unseen = hypothesis == HYPOTHESES.index("ellipsoidal")
    words[unseen] = [f"{word} without eclipses" for word in words[unseen]]
    return words


def build_shapes(work: Path, threads: int) -> ShapeLibrary:
    """Draw the library and measure it."""
    path = work / "shapes.parquet"
    if not path.exists():
        write_library(path, SHAPE_ROWS, settings=SHAPES, seed=SHAPE_SEED, threads=threads)
    templates = complete_templates(library_templates(path), seed=SHAPE_SEED)
    hypothesis = hypotheses_of(templates.label, templates.kind)
    kinds = kinds_of(path, templates.kind, hypothesis)
    library = ShapeLibrary.of(measure_templates(templates), hypothesis, kinds)
    library.save(HERE / "shapes.npz")
    for kind, parent, count in zip(library.kinds, library.hypothesis, np.diff(library.offsets), strict=True):
        print(f"{count:7,} curves {HYPOTHESES[parent]}: {kind}")
    return library


def observed(work: Path, name: str, rows: int, seed: int, threads: int) -> Path:
    """Draw a library and observe it, once."""
    path = work / f"{name}.parquet"
    if not path.exists():
        sight = library_sight("LMC", settings=load_settings())
        write_library(path, rows, settings=OBSERVED, seed=seed, sight=sight, threads=threads)
    return path


@dataclass(frozen=True)
class Examples:
    """Stars of known nature with what their light curves say; arrays of n stars."""

    probability: np.ndarray
    log_kind: np.ndarray
    hypothesis: np.ndarray
    inclination: np.ndarray


def examples(path: Path, *, library: ShapeLibrary, seed: int) -> Examples:
    """Measure the stars of an observed library as a survey's."""
    measured, truth = [], []
    for batch in pq.ParquetFile(path).iter_batches(batch_size=500):
        rows = batch.to_pydict()
        curves = pack_light_curves(
            [str(number) for number in rows["row"]],
            [
                LightCurve(np.array(time), np.array(mag, dtype=np.float32), np.array(error, dtype=np.float32))
                for time, mag, error in zip(rows["time_I"], rows["mag_I"], rows["mag_err_I"], strict=True)
            ],
        )
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(rows["row"][0], 4)))
        wrong = rng.choice([1.0, 0.5, 2.0], len(curves), p=[1.0 - WRONG, WRONG / 2, WRONG / 2])
        tasks = [
            StarTask(star, period * factor, epoch)
            for star, period, epoch, factor in zip(
                curves.stars, rows["listed_period"], rows["listed_epoch"], wrong, strict=True
            )
        ]
        settings = MeasurementSettings()
        found = summarise(fit_curves(curves, tasks, settings=settings), tasks, classifier=settings.classifier).shapes
        probability = np.column_stack([found[f"P_{name}"] for name in CLASSES])
        values, errors = (
            np.column_stack([found[f"{prefix}{name}"] for name in SHAPE_COLUMNS]) for prefix in ("", "e_")
        )
        measured.append((probability, library.log_likelihood(values, errors)))
        truth.append((true_hypotheses(rows), np.array(rows["inclination"], dtype=float)))
    return Examples(*(np.concatenate(parts) for parts in (*zip(*measured, strict=True), *zip(*truth, strict=True))))


def true_hypotheses(rows: dict) -> np.ndarray:
    """Hypotheses of rows of a library: pairs out of contact that do not eclipse are ellipsoidal variables."""
    kinds = np.array(rows["kind"])
    radii, separation = (np.array(rows[name], dtype=float) for name in ("radius_1", "separation"))
    radii = radii + np.array(rows["radius_2"], dtype=float)
    label = classes_of_kinds(kinds)
    with np.errstate(invalid="ignore"):
        uneclipsed = np.cos(np.radians(np.array(rows["inclination"], dtype=float))) >= radii / separation
    apart = np.isin(label, [CLASSES.index(name) for name in ("near_contact", "detached")])
    label = np.where(apart & uneclipsed, CLASSES.index("ellipsoidal"), label)
    return hypotheses_of(label, kinds)


def judge(evidence: LightCurveEvidence, stars: Examples, library: ShapeLibrary) -> dict:
    """Say how good the probabilities of stars are that were not fitted, all hypotheses equally frequent."""
    known = np.isfinite(stars.probability).all(axis=1) & np.isfinite(stars.log_kind).all(axis=1)
    truth = stars.hypothesis[known]
    weight = (1.0 / np.bincount(truth, minlength=len(HYPOTHESES)))[truth]
    chosen = np.random.default_rng(0).choice(len(truth), len(truth), p=weight / weight.sum())
    network, shape = stars.probability[known], stars.log_kind[known]
    ones = LightCurveWeights(1.0, 1.0, np.zeros(len(HYPOTHESES)))
    independent = LightCurveEvidence(ones, ones, ones)
    record = {"stars": len(truth)}
    for name, weights, parts in (
        ("both", evidence, (network, shape)),
        ("network_only", evidence, (network, np.full_like(shape, np.nan))),
        ("shape_only", evidence, (np.full_like(network, np.nan), shape)),
        ("as if independent", independent, (network, shape)),
    ):
        weighed = weights.weigh(*parts, hypothesis=library.hypothesis, within=library.within)
        probability = np.exp(weighed.by_hypothesis())
        probability = probability[chosen]
        right = truth[chosen]
        scored = -np.log(np.take_along_axis(probability, right[:, None], axis=1)).mean()
        contact, is_contact = probability[:, 0], right == 0
        record[name] = {
            "mean log loss": round(float(scored), 4),
            "accuracy": round(float((probability.argmax(axis=1) == right).mean()), 4),
            "expected calibration error of P(contact)": round(reliability(contact, is_contact).expected_error, 4),
            "area under the curve, contact against all": round(
                area_under_curve(contact[is_contact], contact[~is_contact]), 4
            ),
        }
    return record


def main() -> int:
    """Build both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("ranking-build"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--keep-shapes", action="store_true", help="fit the weights to the library that is there")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    kept = HERE / "shapes.npz"
    library = ShapeLibrary.load(kept) if given.keep_shapes else build_shapes(given.work, given.threads)
    fitted_to, judged_on = (
        examples(observed(given.work, name, rows, seed, given.threads), library=library, seed=seed)
        for name, rows, seed in (("fit", FIT_ROWS, FIT_SEED), ("judge", JUDGE_ROWS, JUDGE_SEED))
    )
    evidence = LightCurveEvidence.fit(
        fitted_to.probability,
        fitted_to.log_kind,
        fitted_to.hypothesis,
        hypothesis=library.hypothesis,
        within=library.within,
    )
    record = {
        "weights": evidence.as_dict(),
        "made_of": {
            "shapes": SHAPE_SEED,
            "fit": FIT_SEED,
            "fit_rows": FIT_ROWS,
            "network": classifier_model("standard").version,
        },
        "judged": judge(evidence, judged_on, library),
    }
    (HERE / "light_curves.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
