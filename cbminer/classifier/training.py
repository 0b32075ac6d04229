"""Training of the network on examples that are observed anew in every batch.

Every batch has randomness of its own, by the seed and its number: a training that was cut off goes on as if it had not
been, and the same seed gives the same network on the same machine and number of threads.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cbminer.classifier.binarization_error import gradient_instability
from cbminer.classifier.classes import CLASSES
from cbminer.classifier.examples import ObservedCurves, draw_balanced, observe_templates
from cbminer.classifier.labelled import LabelledCurves
from cbminer.classifier.network import LightCurveNetwork
from cbminer.classifier.recipe import NetworkSettings, TrainingSettings
from cbminer.classifier.templates import Templates
from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError
from cbminer.whole_file import written_whole

__all__ = ["EpochReport", "fine_tune", "network_logits", "train_network"]

# Batches after the last step that set the statistics of the normalisations anew.
_RECALIBRATION_BATCHES = 40
_EVALUATION_BATCH = 512
# To be raised whenever the same settings would train in another way.
_STATE_FORMAT = 1


@dataclass(frozen=True)
class EpochReport:
    """What an epoch came to.

    Attributes
    ----------
    epoch : int
        Its number from 1 on.
    loss : float
        Mean loss of its examples.
    accuracy : float
        Share of its examples, each new to the network, that it put in their class.
    learning_rate : float
        Rate at its end.
    diagnostics : dict
        Of the estimators: by name, summed over the binary convolutions.
    """

    epoch: int
    loss: float
    accuracy: float
    learning_rate: float
    diagnostics: dict[str, float] = field(default_factory=dict)


Tell = Callable[[EpochReport], None]


@dataclass
class _Course:
    """A training under way."""

    network: LightCurveNetwork
    optimiser: torch.optim.Optimizer
    settings: TrainingSettings
    teacher: LightCurveNetwork | None
    device: torch.device
    epochs: int
    rate: float
    reports: list[EpochReport] = field(default_factory=list)

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return max(1, self.settings.examples // self.settings.batch)


Draw = Callable[[np.random.Generator], tuple[Tensor, Tensor, Tensor]]


def train_network(
    templates: Templates,
    network_settings: NetworkSettings,
    *,
    settings: TrainingSettings,
    teacher: LightCurveNetwork | None = None,
    checkpoint: Path | None = None,
    tell: Tell = lambda _report: None,
) -> tuple[LightCurveNetwork, list[EpochReport]]:
    """Train a network.

    Parameters
    ----------
    templates : Templates
        Curves without noise.
    network_settings : NetworkSettings
        Topology.
    settings : TrainingSettings
        How to train.
    teacher : LightCurveNetwork, optional
        Trained network whose probabilities the new one learns beside the labels (Hinton et al. 2015,
        arXiv:1503.02531).
    checkpoint : `~pathlib.Path`, optional
        File that keeps the state after every epoch. If it is there, the training goes on from it.
    tell : callable, optional
        Called after every epoch.

    Returns
    -------
    network : LightCurveNetwork
        The trained network, ready to be asked.
    reports : list of EpochReport
        What each epoch came to.

    Raises
    ------
    InputFormatError
        If the checkpoint is damaged, or of another training.
    """
    # The state of torch's own generator belongs to the caller; it only makes the first weights.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = LightCurveNetwork(network_settings)
    course = _course(network, settings, teacher, settings.epochs, settings.learning_rate)
    recipe = _recipe(network_settings, settings, teacher, templates)

    def draw(rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        places = draw_balanced(templates, settings.batch, rng)
        return _tensors(_observe(templates, places, network_settings, settings, rng))

    _run(course, draw, checkpoint, recipe, tell)
    return network, course.reports


def fine_tune(
    network: LightCurveNetwork,
    labelled: LabelledCurves,
    templates: Templates,
    *,
    settings: TrainingSettings,
    tell: Tell = lambda _report: None,
) -> list[EpochReport]:
    """Train a trained network on, half of every batch real curves with labels and half synthetic ones.

    Parameters
    ----------
    network : LightCurveNetwork
        The network, changed in place.
    labelled : LabelledCurves
        Real curves, binned; they are seen at random phases.
    templates : Templates
        Curves without noise.
    settings : TrainingSettings
        How to train.
    tell : callable, optional
        Called after every epoch.

    Returns
    -------
    list of EpochReport
        What each epoch came to.
    """
    course = _course(network, settings, None, settings.fine_tune_epochs, settings.fine_tune_rate)
    half = settings.batch // 2

    def draw(rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        places = draw_balanced(templates, settings.batch - half, rng)
        synthetic = _tensors(_observe(templates, places, network.settings, settings, rng))
        chosen = labelled.draw_balanced(half, rng)
        real = _tensors_of(labelled.rolled(chosen, rng), labelled.scalars[chosen], labelled.label[chosen])
        return tuple(torch.cat(pair) for pair in zip(synthetic, real, strict=True))  # type: ignore[return-value]

    _run(course, draw, None, "", tell, stream=1)
    return course.reports


def network_logits(
    network: LightCurveNetwork, inputs: np.ndarray[Any, Any], scalars: np.ndarray[Any, Any] | None
) -> FloatArray:
    """Ask a network.

    Parameters
    ----------
    network : LightCurveNetwork
        The network.
    inputs : `~numpy.ndarray`
        Binned curves, shape (n, 2, bins).
    scalars : `~numpy.ndarray` or None
        Numbers beside the curves, shape (n, 2 m).

    Returns
    -------
    `~numpy.ndarray`
        Logits, shape (n, classes).
    """
    device = next(network.parameters()).device
    network.eval()
    parts = []
    with torch.no_grad():
        for first in range(0, len(inputs), _EVALUATION_BATCH):
            some = slice(first, first + _EVALUATION_BATCH)
            beside = None if scalars is None else torch.from_numpy(scalars[some]).to(device)
            parts.append(network(torch.from_numpy(inputs[some]).float().to(device), beside).cpu().numpy())
    return np.concatenate(parts) if parts else np.empty((0, len(CLASSES)))


def _recipe(
    network: NetworkSettings, settings: TrainingSettings, teacher: LightCurveNetwork | None, templates: Templates
) -> str:
    """Describe a training by all that decides its outcome, so that no other one is taken up for it."""
    unused = {"fine_tune_epochs", "fine_tune_rate"} | (set() if teacher else {"distillation"})
    total = hashlib.sha256(f"{_STATE_FORMAT} {network.model_dump_json()} ".encode())
    total.update(settings.model_dump_json(exclude=unused).encode())
    for array in (templates.mag, templates.label, templates.scatter, templates.period, templates.VI0):
        total.update(np.ascontiguousarray(array).tobytes())
    for name, tensor in teacher.state_dict().items() if teacher else ():
        total.update(name.encode() + tensor.cpu().numpy().tobytes())
    return total.hexdigest()


def _course(
    network: LightCurveNetwork,
    settings: TrainingSettings,
    teacher: LightCurveNetwork | None,
    epochs: int,
    rate: float,
) -> _Course:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device)
    if teacher is not None:
        teacher.to(device).eval()
    decaying, lasting = _parameter_groups(network)
    groups = [
        {"params": decaying, "weight_decay": settings.weight_decay},
        {"params": lasting, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=rate)
    return _Course(network, optimiser, settings, teacher, device, epochs, rate)


def _parameter_groups(network: LightCurveNetwork) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Real weights, which may decay, and all other parameters: binary weights, thresholds, scales and shifts."""
    binary = {id(item) for convolution in network.binary_convolutions() for item in convolution.parameters()}
    decaying = [item for item in network.parameters() if item.dim() > 1 and id(item) not in binary]
    chosen = {id(item) for item in decaying}
    return decaying, [item for item in network.parameters() if id(item) not in chosen]


def _observe(
    templates: Templates,
    places: np.ndarray[Any, np.dtype[np.int64]],
    network: NetworkSettings,
    settings: TrainingSettings,
    rng: np.random.Generator,
) -> ObservedCurves:
    return observe_templates(
        templates,
        places,
        settings=settings.observation,
        rng=rng,
        scalars=network.scalars,
        n_bins=network.n_bins,
        scalar_loss=settings.scalar_loss,
    )


def _tensors(examples: ObservedCurves) -> tuple[Tensor, Tensor, Tensor]:
    return _tensors_of(examples.curves.inputs, examples.scalars, examples.label)


def _tensors_of(
    inputs: np.ndarray[Any, Any], scalars: np.ndarray[Any, Any], label: np.ndarray[Any, Any]
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.from_numpy(inputs).float(), torch.from_numpy(scalars), torch.from_numpy(label)


def _run(course: _Course, draw: Draw, checkpoint: Path | None, recipe: str, tell: Tell, *, stream: int = 0) -> None:
    """Train epoch by epoch, from the checkpoint on if there is one."""
    if checkpoint is not None and checkpoint.exists():
        _restore(course, checkpoint, recipe)
    for epoch in range(len(course.reports), course.epochs):
        report = _epoch(course, epoch, draw, stream)
        course.reports.append(report)
        if checkpoint is not None:
            _keep(course, checkpoint, recipe)
        tell(report)
    if not stream:
        course.network.advance(1.0)
    _recalibrate(course, draw, stream)
    course.network.eval()


def _epoch(course: _Course, epoch: int, draw: Draw, stream: int) -> EpochReport:
    network, settings, steps = course.network, course.settings, course.steps
    network.train()
    loss_sum = right = 0.0
    rate = 0.0
    for step in range(steps):
        number = epoch * steps + step
        rate = course.rate * _share_of_rate(number / (course.epochs * steps), settings.warm_up)
        for group in course.optimiser.param_groups:
            group["lr"] = rate
        if not stream:
            network.advance(number / max(course.epochs * steps - 1, 1))
        inputs, scalars, label = (item.to(course.device) for item in draw(_generator(settings, stream, number)))
        course.optimiser.zero_grad()
        logits = network(inputs, scalars if scalars.shape[1] else None)
        loss = _loss(course, logits, inputs, scalars, label)
        loss.backward()  # type: ignore[no-untyped-call]
        course.optimiser.step()
        loss_sum += float(loss.detach())
        right += float((logits.detach().argmax(dim=1) == label).float().mean())
    return EpochReport(epoch + 1, loss_sum / steps, right / steps, rate, _diagnostics(network))


def _generator(settings: TrainingSettings, stream: int, number: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(11, stream, number)))


def _share_of_rate(progress: float, warm_up: float) -> float:
    """Rise linearly, then fall with a half cosine to zero."""
    if progress < warm_up:
        return (progress + 1e-3) / (warm_up + 1e-3)
    return float(0.5 + 0.5 * np.cos(np.pi * (progress - warm_up) / (1.0 - warm_up)))


def _loss(course: _Course, logits: Tensor, inputs: Tensor, scalars: Tensor, label: Tensor) -> Tensor:
    settings = course.settings
    loss = functional.cross_entropy(logits, label, label_smoothing=settings.label_smoothing)
    if course.teacher is not None and settings.distillation > 0:
        with torch.no_grad():
            target = course.teacher(inputs, scalars if scalars.shape[1] else None)
        taught = functional.kl_div(
            functional.log_softmax(logits, dim=1),
            functional.log_softmax(target, dim=1),
            reduction="batchmean",
            log_target=True,
        )
        loss = (1.0 - settings.distillation) * loss + settings.distillation * taught
    return loss + course.network.regulariser().to(loss.device)


def _diagnostics(network: LightCurveNetwork) -> dict[str, float]:
    """Errors of the estimators summed over the convolutions, and how unevenly the last gradients are spread."""
    convolutions = network.binary_convolutions()
    total: dict[str, float] = {}
    for item in convolutions:
        for name, value in item.binary_weights.diagnostics(item.weight).items():
            total[name] = total.get(name, 0.0) + value
    grads = [item.weight.grad for item in convolutions if item.weight.grad is not None]
    if grads:
        total["gradient_instability"] = gradient_instability(grads)
    return total


def _recalibrate(course: _Course, draw: Draw, stream: int) -> None:
    """Average the statistics of the normalisations over fresh batches: at the end, running ones lag behind."""
    norms = [item for item in course.network.modules() if isinstance(item, nn.BatchNorm1d)]
    momenta = [item.momentum for item in norms]
    for item in norms:
        item.reset_running_stats()
        item.momentum = None
    course.network.train()
    last = course.epochs * course.steps
    with torch.no_grad():
        for step in range(_RECALIBRATION_BATCHES):
            inputs, scalars, _ = draw(_generator(course.settings, stream, last + step))
            course.network(inputs.to(course.device), scalars.to(course.device) if scalars.shape[1] else None)
    for item, momentum in zip(norms, momenta, strict=True):
        item.momentum = momentum


def _keep(course: _Course, checkpoint: Path, recipe: str) -> None:
    """Keep the state of a training; the file appears whole or not at all."""
    state = {
        "recipe": recipe,
        "network": course.network.state_dict(),
        "optimiser": course.optimiser.state_dict(),
        "reports": [vars(item) for item in course.reports],
    }
    with written_whole(checkpoint) as temporary:
        torch.save(state, temporary)


def _restore(course: _Course, checkpoint: Path, recipe: str) -> None:
    try:
        state = torch.load(checkpoint, map_location=course.device, weights_only=True)
        kept = state["recipe"]
        reports = [EpochReport(**item) for item in state["reports"]]
    except Exception as error:  # torch raises what its zip file, its unpickler and its own checks raise
        msg = f"{checkpoint} is no checkpoint that can be read ({type(error).__name__}): remove it to start anew"
        raise InputFormatError(msg) from error
    if kept != recipe:
        msg = (
            f"{checkpoint} is of a training with other settings, curves or teacher: start anew with --overwrite, "
            "or name another folder with --out"
        )
        raise InputFormatError(msg)
    course.network.load_state_dict(state["network"])
    course.optimiser.load_state_dict(state["optimiser"])
    course.reports[:] = reports
