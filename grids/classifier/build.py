"""Build the networks that the package ships, from a library of the Roche engine.

Usage: python grids/classifier/build.py [--work FOLDER] [--output FOLDER] [--threads N] [--stage STAGE]

Draws the library (if the folder of the work does not hold it), trains the float twin, then the standard and the tiny
network, and writes NAME.npz, NAME.json and NAME.card.json. About an hour on 2 cores; stages may run beside each other
(teacher first), and an interrupted one goes on. Needs the extra [train]. If benchmarks/classifier_real.py has left its
results, --cards puts them into the cards.
"""

import argparse
import json
import sys
from pathlib import Path

import torch

from cbminer.classifier.building import Division, build_classifier, divide_library, train_teacher
from cbminer.classifier.card import render_card, write_card
from cbminer.classifier.recipe import NetworkSettings, TrainingSettings
from cbminer.classifier.training import EpochReport
from cbminer.synthetic.library import LibrarySettings, write_library
from cbminer.synthetic.priors import BinaryPriors

LIBRARY_SEED = 20261124
LIBRARY_ROWS = 20000
LIBRARY = LibrarySettings(phases=256, priors=BinaryPriors(least_mass_ratio=0.15))
# At three thousandths, as the float twin, from whose probabilities both networks learn. The default rate of 0.01 for
# binary weights gains 0.3 points of macro-F1 on synthetic stars without the twin (benchmarks/classifier_estimators.py),
# and nothing on real ones.
TRAINING = TrainingSettings(seed=1, epochs=24, examples=25600, learning_rate=3e-3)
STANDARD = NetworkSettings()


NETWORKS = {"standard": STANDARD, "tiny": NetworkSettings.tiny()}
REAL = Path(__file__).parents[2] / "benchmarks" / "results" / "classifier_real.json"


def library(work: Path, threads: int) -> Path:
    """Draw the library, once."""
    path = work / "library.parquet"
    if not path.exists():
        write_library(path, LIBRARY_ROWS, settings=LIBRARY, seed=LIBRARY_SEED, threads=threads)
    return path


def build(name: str, work: Path, path: Path, division: Division) -> None:
    """Train one network on the kept teacher."""
    teacher = train_teacher(division, STANDARD, training=TRAINING, checkpoint=work / "teacher.pt", tell=tell)
    built = build_classifier(
        path,
        work,
        name=name,
        network=NETWORKS[name],
        training=TRAINING,
        division=division,
        teacher=teacher,
        tell=tell,
    )
    print(render_card(built.card))


def tell(stage: str, report: EpochReport) -> None:
    """Print an epoch."""
    print(
        f"{stage} {report.epoch}: loss {report.loss:.4f}, accuracy {report.accuracy:.4f} {report.diagnostics}",
        flush=True,
    )


def fill_cards(output: Path) -> None:
    """Put the results on real stars into the cards."""
    if not REAL.exists():
        return
    results = json.loads(REAL.read_text())
    for name in NETWORKS:
        path = output / f"{name}.card.json"
        card = json.loads(path.read_text())
        if results.get(name, {}).get("sha256") == card["sha256"]:
            card["real"] = results[name]
            write_card(card, path)


def main() -> None:
    """Build, copy, fill the cards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("classifier-build"))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--stage", choices=["teacher", *NETWORKS], nargs="*", default=["teacher", *NETWORKS])
    parser.add_argument("--cards", action="store_true", help="only put the results on real stars into the cards")
    given = parser.parse_args()
    if given.cards:
        fill_cards(given.output)
        return
    torch.set_num_threads(given.threads)
    given.work.mkdir(parents=True, exist_ok=True)
    path = library(given.work, given.threads)
    division = divide_library(path, seed=TRAINING.seed)
    for stage in given.stage:
        if stage == "teacher":
            train_teacher(division, STANDARD, training=TRAINING, checkpoint=given.work / "teacher.pt", tell=tell)
        else:
            build(stage, given.work, path, division)
            for ending in (".npz", ".json", ".card.json"):
                (given.output / f"{stage}{ending}").write_bytes((given.work / f"{stage}{ending}").read_bytes())
    fill_cards(given.output)


if __name__ == "__main__":
    sys.exit(main())
