"""From a synthetic library to a packed, calibrated network with its card."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from cbminer.classifier.calibration import Calibration, calibrated, calibration_error, fit_calibration
from cbminer.classifier.card import write_card
from cbminer.classifier.classes import CLASSES
from cbminer.classifier.examples import complete_templates, draw_balanced, observe_templates
from cbminer.classifier.export import pack_network
from cbminer.classifier.judging import judge_synthetic
from cbminer.classifier.labelled import LabelledCurves
from cbminer.classifier.network import LightCurveNetwork
from cbminer.classifier.packed import PackedNetwork
from cbminer.classifier.recipe import FLOAT, NetworkSettings, TrainingSettings
from cbminer.classifier.templates import Templates, library_templates
from cbminer.classifier.training import EpochReport, fine_tune, network_logits, train_network
from cbminer.columns import FloatArray
from cbminer.errors import SettingsError

__all__ = ["Built", "Division", "build_classifier", "divide_library", "train_teacher"]

# Shares of a library: what is trained on, calibrated on, and judged on.
_TRAINED, _CALIBRATED = 0.8, 0.1
_FEWEST_ROWS = 200
_EXAMPLES = 20000

Stage = Literal["teacher", "network", "fine-tuning"]
Tell = Callable[[Stage, EpochReport], None]


@dataclass(frozen=True)
class Division:
    """A library divided, each part with what a library lacks.

    Attributes
    ----------
    training, calibration, test : Templates
        Curves without noise; none is in two parts.
    """

    training: Templates
    calibration: Templates
    test: Templates


@dataclass(frozen=True)
class Built:
    """A finished classifier.

    Attributes
    ----------
    packed : PackedNetwork
        The network as the engine runs it, calibrated.
    card : dict
        What it was made of and how good it is, ready for JSON.
    path : `~pathlib.Path`
        Its file.
    """

    packed: PackedNetwork
    card: dict[str, Any]
    path: Path


def divide_library(path: Path, *, seed: int) -> Division:
    """Read a library and divide it into what is trained on, calibrated on and judged on.

    Parameters
    ----------
    path : `~pathlib.Path`
        Library of ``cbminer synth library``.
    seed : int
        Seed of the curves that are added.

    Returns
    -------
    Division
        The first eight tenths of the rows, the next tenth and the last one.

    Raises
    ------
    InputFormatError
        If the file is no library.
    SettingsError
        If it has too few rows, or lacks a class.
    """
    library = library_templates(path)
    if len(library) < _FEWEST_ROWS:
        msg = f"{path} has {len(library)} rows: {_FEWEST_ROWS} at least are needed, and 10,000 or more do good"
        raise SettingsError(msg)
    ends = [0, int(_TRAINED * len(library)), int((_TRAINED + _CALIBRATED) * len(library)), len(library)]
    parts = []
    for number, (first, last) in enumerate(pairwise(ends)):
        rows = library.at(np.arange(first, last))
        absent = [name for place, name in enumerate(CLASSES) if not (rows.label == place).any()]
        if absent:
            msg = f"{path} has too few stars of the class {absent[0]}: make a library of more rows, or of all kinds"
            raise SettingsError(msg)
        parts.append(complete_templates(rows, seed=seed * 10 + number))
    return Division(*parts)


def train_teacher(
    division: Division,
    network: NetworkSettings,
    *,
    training: TrainingSettings,
    checkpoint: Path | None = None,
    tell: Tell = lambda _stage, _report: None,
) -> LightCurveNetwork:
    """Train the float twin of the standard variant.

    Parameters
    ----------
    division : Division
        Curves.
    network : NetworkSettings
        Topology of the network that is to be taught.
    training : TrainingSettings
        How to train.
    checkpoint : `~pathlib.Path`, optional
        File that keeps the state.
    tell : callable, optional
        Called after every epoch.

    Returns
    -------
    LightCurveNetwork
        The twin; of the default topology if the network is a tiny one.
    """
    standard = NetworkSettings(n_bins=network.n_bins, scalars=network.scalars)
    topology = network if network.variant == "standard" else standard
    teacher, _ = train_network(
        division.training,
        topology.twin(),
        settings=training,
        checkpoint=checkpoint,
        tell=lambda report: tell("teacher", report),
    )
    return teacher


def build_classifier(
    library: Path,
    out: Path,
    *,
    name: str,
    network: NetworkSettings,
    training: TrainingSettings,
    distil: bool = True,
    labelled: LabelledCurves | None = None,
    division: Division | None = None,
    teacher: LightCurveNetwork | None = None,
    tell: Tell = lambda _stage, _report: None,
) -> Built:
    """Train, calibrate, pack and judge a network, and write it.

    Parameters
    ----------
    library : `~pathlib.Path`
        Library of ``cbminer synth library``.
    out : `~pathlib.Path`
        Folder of the files. State of an interrupted training that is kept there is taken up.
    name : str
        Name of the network and of its files.
    network : NetworkSettings
        Topology.
    training : TrainingSettings
        How to train.
    distil : bool, optional
        Whether a float twin is trained first and its probabilities are learned.
    labelled : LabelledCurves, optional
        Real curves to train on further.
    division : Division, optional
        The library, if it is read and divided already.
    teacher : LightCurveNetwork, optional
        Teacher that is trained already.
    tell : callable, optional
        Called with the stage and the report of every epoch.

    Returns
    -------
    Built
        The classifier; ``NAME.npz``, ``NAME.json`` and ``NAME.card.json`` are in the folder.

    Raises
    ------
    InputFormatError
        If the library or a kept state cannot be used.
    SettingsError
        If the network cannot be packed, or the library is too small.
    """
    if network.method in (FLOAT, "ternary"):
        msg = f"a network of method {network.method} has weights of more than one bit: the engine cannot pack it"
        raise SettingsError(msg)
    division = division or divide_library(library, seed=training.seed)
    if distil and teacher is None:
        teacher = train_teacher(division, network, training=training, checkpoint=out / f"{name}.teacher.pt", tell=tell)
    student, reports = train_network(
        division.training,
        network,
        settings=training,
        teacher=teacher if distil else None,
        checkpoint=out / f"{name}.pt",
        tell=lambda report: tell("network", report),
    )
    if labelled is not None:
        reports = reports + fine_tune(
            student, labelled, division.training, settings=training, tell=lambda report: tell("fine-tuning", report)
        )
    calibration, before = _calibrate(student, division.calibration, network, training)
    packed = _packed(student, name, calibration)
    card = _card(name, library, network, training, division, reports, packed, before)
    card["labelled_curves"] = 0 if labelled is None else len(labelled)
    if teacher is not None:
        card["twin"] = _judged(teacher, division, network, training)
    path = out / f"{name}.npz"
    packed.save(path)
    write_card(card, out / f"{name}.card.json")
    return Built(packed, card, path)


def _packed(student: LightCurveNetwork, name: str, calibration: Calibration) -> PackedNetwork:
    """Pack a network under a version that no other one has: its name and the beginning of a hash of its numbers."""
    plain = pack_network(student, temperature=calibration.temperature, calibration=calibration.bias)
    return replace(plain, version=f"{name} {plain.digest()[:8]}")


def _calibrate(
    student: LightCurveNetwork, templates: Templates, network: NetworkSettings, training: TrainingSettings
) -> tuple[Calibration, float]:
    """Fit temperature and bias on curves of their own; also the error without them, for the card."""
    rng = np.random.default_rng(np.random.SeedSequence(training.seed, spawn_key=(31,)))
    places = draw_balanced(templates, _EXAMPLES, rng)
    examples = observe_templates(
        templates,
        places,
        settings=training.observation,
        rng=rng,
        scalars=network.scalars,
        n_bins=network.n_bins,
    )
    logits = network_logits(student, examples.curves.inputs, examples.scalars)
    plain = calibrated(logits, Calibration(1.0, np.zeros(len(CLASSES))))
    return fit_calibration(logits, examples.label), calibration_error(plain, examples.label, draws=0).value


def _judged(
    teacher: LightCurveNetwork, division: Division, network: NetworkSettings, training: TrainingSettings
) -> dict[str, Any]:
    """Judge the float twin on the same examples as the network."""
    calibration, _ = _calibrate(teacher, division.calibration, network, training)

    def judge(inputs: npt.NDArray[np.int8], scalars: npt.NDArray[np.float32]) -> FloatArray:
        return calibrated(network_logits(teacher, inputs, scalars), calibration)

    judged = judge_synthetic(
        judge, division.test, network, observation=training.observation, n=_EXAMPLES, seed=training.seed
    )
    return {key: judged[key] for key in ("training_mix", "bright", "bright_above_60")}


def _card(
    name: str,
    library: Path,
    network: NetworkSettings,
    training: TrainingSettings,
    division: Division,
    reports: list[EpochReport],
    packed: PackedNetwork,
    before: float,
) -> dict[str, Any]:
    def judge(inputs: npt.NDArray[np.int8], scalars: npt.NDArray[np.float32]) -> FloatArray:
        return np.asarray(packed.probabilities(packed.logits(inputs, scalars if scalars.shape[1] else None)))

    return {
        "name": name,
        "version": packed.version,
        "sha256": packed.digest(),
        "made_by": f"cbminer {version('cbminer')}, torch {version('torch')}",
        "classes": list(CLASSES),
        "network": network.model_dump(mode="json"),
        "training": training.model_dump(mode="json"),
        "library": _library_recipe(library),
        "curves": {
            part: {item: int((getattr(division, part).label == place).sum()) for place, item in enumerate(CLASSES)}
            for part in ("training", "calibration", "test")
        },
        "last_epoch": vars(reports[-1]) if reports else {},
        "calibration": {
            "temperature": packed.temperature,
            "bias": packed.calibration.tolist(),
            "error_before": before,
        },
        "layers": [item._asdict() for item in packed.layer_summary()],
        "synthetic": judge_synthetic(
            judge, division.test, network, observation=training.observation, n=_EXAMPLES, seed=training.seed
        ),
    }


def _library_recipe(library: Path) -> dict[str, Any]:
    recipe: dict[str, Any] = json.loads((pq.read_schema(library).metadata or {}).get(b"cbminer", b"{}"))
    return {key: recipe.get(key) for key in ("made_by", "generator", "seed", "rows", "settings")}
