"""Build the embedding behind the morphology parameter c from light curves of the Roche engine.

Usage: python grids/morphology/build.py [--curves N] [--seed SEED] [--output FOLDER]

Writes embedding.npz and embedding.json (its hash), and prints how well c orders curves that were not trained on.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from cbminer.columns import FloatArray
from cbminer.morphology.embedding import Embedding, embed
from cbminer.morphology.training import (
    COSINE_LABEL,
    extended_radii,
    normalised_half_curves,
    train_embedding,
)
from cbminer.synthetic.geometry import sum_of_radii
from cbminer.synthetic.passbands import standard_passband
from cbminer.synthetic.priors import BinaryPriors, draw_binaries
from cbminer.synthetic.radii import RadiiSettings, draw_by_radii
from cbminer.synthetic.roche import RocheEngine
from cbminer.synthetic.systems import BinarySystems

SEED = 20210617
N_CURVES = 4500
# Curves between contact and the pure cosine for one eclipsing pair, even in as many bins of their label.
ROUND = 0.2
ROUND_BINS = 20
# Curves of grazing eclipses and none for one eclipsing pair, up to this cos i over the sum of radii.
BEYOND = 0.2
MOST_IMPACT = 1.5
PHASES = np.arange(501) / 1000.0


def half_curves(systems: BinarySystems, *, n_bands: int = 36) -> FloatArray:
    """Normalised half curves of systems in I."""
    engine = RocheEngine(passbands=(standard_passband("I"),), n_bands=n_bands)
    return normalised_half_curves(engine.light_curves(systems, PHASES)[:, 0])


def eclipsing(n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Curves of eclipsing pairs and their sums of radii."""
    pairs = draw_by_radii(n, settings=RadiiSettings(), rng=rng)
    return half_curves(pairs.systems), pairs.sum_of_radii


def round_curves(n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Curves without eclipses near a cosine of two waves a cycle, evenly from contact to the cosine, and their labels.

    Ellipsoidal variables and contact binaries seen from so far above that nothing is eclipsed.
    """
    apart = draw_binaries("ellipsoidal", 2 * n, priors=BinaryPriors(), rng=rng).systems
    contact = draw_binaries("contact", 2 * n, priors=BinaryPriors(), rng=rng).systems
    contact = contact.at_inclination(np.degrees(np.arccos(rng.uniform(0.75, 0.995, len(contact)))))
    half = np.concatenate([half_curves(systems, n_bands=24) for systems in (apart, contact)])
    labels = extended_radii(half, np.ones(len(half)))
    bins = np.digitize(labels, np.linspace(1.0, COSINE_LABEL, ROUND_BINS + 1)) - 1
    chosen: list[int] = []
    for number in range(ROUND_BINS):
        members = np.flatnonzero((bins == number) & (labels > 1.0))
        chosen += rng.permutation(members)[: n // ROUND_BINS].tolist()
    return half[chosen], labels[chosen]


def uneclipsed_curves(n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Curves of pairs about and beyond the end of eclipses, with unequal minima too, and their labels.

    The sum of radii leaves less and less trace there: the label runs from it at grazing eclipses to 1, as round curves
    have, a little beyond.
    """
    half, labels = [], []
    for kind in ("near_contact", "semi_detached", "ellipsoidal"):
        systems = draw_binaries(kind, n // 3, priors=BinaryPriors(), rng=rng).systems
        radii = sum_of_radii(systems.potential_1, systems.potential_2, systems.mass_ratio)
        impact = rng.uniform(0.95, MOST_IMPACT, len(systems))
        cosine = np.minimum(impact * radii, 0.99)
        curves = half_curves(systems.at_inclination(np.degrees(np.arccos(cosine))), n_bands=24)
        gone = np.clip((cosine / radii - 1.0) / 0.15, 0.0, 1.0)
        half.append(curves)
        labels.append(extended_radii(curves, radii + (1.0 - radii) * gone))
    return np.concatenate(half), np.concatenate(labels)


def build(n: int, seed: int) -> Embedding:
    """Draw the training curves and embed them."""
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    half, radii = eclipsing(n, rng)
    rounded, labels = round_curves(int(n * ROUND), rng)
    beyond, beyond_labels = uneclipsed_curves(int(n * BEYOND), rng)
    curves = np.concatenate([half, rounded, beyond])
    label = np.concatenate([extended_radii(half, radii), labels, beyond_labels])
    return train_embedding(curves, label, seed=seed)


def report(model: Embedding, seed: int) -> None:
    """Print what c makes of curves never seen."""
    half, radii = eclipsing(1500, np.random.default_rng(np.random.SeedSequence((seed, 1))))
    placed = embed(half[:, None].astype(np.float32), np.zeros(len(half)), model=model)
    counted = f"{len(model.training)} training curves, {model.label.min():.2f} to {COSINE_LABEL}"
    print(f"{counted}, sha256 {model.digest()[:16]}")
    print(
        f"Spearman correlation of c with the sum of radii, {len(half)} new curves: {spearmanr(placed.c, radii)[0]:.4f}"
    )
    for low in np.arange(0.1, 1.0, 0.1):
        inside = (radii >= low) & (radii < low + 0.1)
        quantiles = " ".join(f"{q:.3f}" for q in np.percentile(placed.c[inside], [5, 50, 95]))
        print(f"  sum of radii {low:.1f} to {low + 0.1:.1f}: c 5/50/95 % {quantiles}")
    cosine = (0.5 - 0.5 * np.cos(4.0 * np.pi * PHASES))[None, None].astype(np.float32)
    beyond = np.mean(placed.distance > model.reach[0])
    print(f"pure cosine: c = {embed(cosine, np.zeros(1), model=model).c[0]:.4f}")
    print(f"reach {model.reach[0]:.4f}; new curves beyond it {beyond:.4f}")


def main() -> None:
    """Build, write and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=int, default=N_CURVES)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    model = build(arguments.curves, arguments.seed)
    arguments.output.mkdir(parents=True, exist_ok=True)
    model.save(arguments.output / "embedding.npz")
    report(model, arguments.seed)


if __name__ == "__main__":
    sys.exit(main())
