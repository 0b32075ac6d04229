"""Judging a network on synthetic stars: over magnitude, number of points and inclination, and by look-alike."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from cbminer.classifier.classes import CLASSES
from cbminer.classifier.evaluation import SURVEY_MIX, Evaluation, Interval, area_under_curve, evaluate, share_interval
from cbminer.classifier.examples import ObservedCurves, draw_balanced, observe_templates
from cbminer.classifier.recipe import NetworkSettings, ObservationSettings
from cbminer.classifier.templates import Templates
from cbminer.columns import FloatArray
from cbminer.synthetic.cadence import photometric_error, rescaled_error

__all__ = ["Judge", "as_mapping", "judge_synthetic"]

# Binned curves and numbers beside them to probabilities.
Judge = Callable[[npt.NDArray[np.int8], npt.NDArray[np.float32]], FloatArray]

_MAGNITUDES = (14.5, 15.5, 16.5, 17.5, 18.5, 19.5)
_POINTS = (60, 120, 250, 500, 1000)
_INCLINATIONS = (0.0, 40.0, 55.0, 60.0, 70.0, 80.0, 90.01)
# Points of a star of the survey.
_USUAL_POINTS = (400, 700)
_BRIGHT = (16.0, 17.0)
_ECLIPSING = 3
_CONTACT, _NEAR_CONTACT, _DETACHED, _ELLIPSOIDAL, _NOT_ECLIPSING = range(5)
_LEAST_PROBABILITIES = (0.0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class _Trial:
    """Examples and what a network makes of them."""

    examples: ObservedCurves
    probability: FloatArray

    def judged(self, chosen: npt.NDArray[np.bool_] | slice = slice(None)) -> Evaluation:
        """Judge some of them."""
        examples = self.examples
        return evaluate(self.probability[chosen], examples.label[chosen], groups=examples.template[chosen])

    def share(self, hit: npt.NDArray[np.bool_], chosen: npt.NDArray[np.bool_]) -> list[float] | None:
        """Share of the chosen examples for which something holds, with its interval; None if there are none."""
        if not chosen.any():
            return None
        return list(share_interval(hit[chosen], groups=self.examples.template[chosen]))

    def at(self, chosen: npt.NDArray[np.bool_]) -> tuple[FloatArray, npt.NDArray[np.int64]]:
        return self.probability[chosen], self.examples.label[chosen]


def judge_synthetic(
    judge: Judge,
    templates: Templates,
    network: NetworkSettings,
    *,
    observation: ObservationSettings,
    n: int = 20000,
    seed: int = 0,
) -> dict[str, Any]:
    """Judge a network on synthetic stars that it has not seen.

    Parameters
    ----------
    judge : callable
        Gives probabilities of the classes.
    templates : Templates
        Curves without noise that were not trained on.
    network : NetworkSettings
        Bins, and numbers beside the curve, that it takes.
    observation : ObservationSettings
        How the stars are observed, but for the noise and the number of points where these are varied.
    n : int, optional
        Examples of the main sets; the others are a quarter of it.
    seed : int, optional
        Seed of the examples.

    Returns
    -------
    dict
        Figures ready for JSON: ``training_mix``, ``bright`` (I = 16 to 17), ``bright_above_60`` (the same, eclipsing
        classes at inclinations above 60 degrees alone), ``by_inclination``, ``by_magnitude``, ``by_points``,
        ``look_alikes`` and ``abstention``. Intervals are of 95 %, by bootstrap over the curves without noise, of which
        several examples may be observations.
    """
    mixed = _try(judge, templates, network, observation, n, (seed, 0))
    bright = _try(judge, templates, network, observation, n, (seed, 1), magnitudes=_BRIGHT)
    inclination = templates.inclination[bright.examples.template]
    seen_from_aside = ~((bright.examples.label < _ECLIPSING) & (inclination <= 60.0))
    result = {
        "training_mix": as_mapping(mixed.judged()),
        "bright": as_mapping(bright.judged()),
        "bright_above_60": as_mapping(bright.judged(seen_from_aside)),
        "contact_against_detached": _pairwise(bright, np.ones(len(inclination), dtype=bool)),
        "contact_against_detached_above_60": _pairwise(bright, seen_from_aside),
        "by_inclination": _by_inclination(bright, inclination),
        "look_alikes": _look_alikes(mixed, templates),
        "abstention": _abstention(mixed),
    }
    result["by_magnitude"] = {
        f"{magnitude:g}": _short(
            _try(
                judge,
                templates,
                network,
                observation,
                n // 4,
                (seed, 2, k),
                magnitudes=(magnitude - 0.5, magnitude + 0.5),
            )
        )
        for k, magnitude in enumerate(_MAGNITUDES)
    }
    result["by_points"] = {
        f"{points}": _short(
            _try(
                judge,
                templates,
                network,
                observation,
                n // 4,
                (seed, 3, k),
                magnitudes=(16.5, 17.5),
                points=(points, points),
            )
        )
        for k, points in enumerate(_POINTS)
    }
    return result


def _try(
    judge: Judge,
    templates: Templates,
    network: NetworkSettings,
    observation: ObservationSettings,
    n: int,
    key: tuple[int, ...],
    *,
    magnitudes: tuple[float, float] | None = None,
    points: tuple[int, int] = _USUAL_POINTS,
) -> _Trial:
    """Observe and classify; with the noise of stars of some magnitudes, or with that of the training."""
    rng = np.random.default_rng(np.random.SeedSequence(key[0], spawn_key=(21, *key[1:])))
    places = draw_balanced(templates, n, rng)
    error, counts = None, None
    if magnitudes is not None:
        error = rescaled_error(photometric_error(rng.uniform(*magnitudes, n)), scale=1.2, floor=0.003)
        counts = rng.integers(points[0], points[1] + 1, n)
    examples = observe_templates(
        templates,
        places,
        settings=observation,
        rng=rng,
        scalars=network.scalars,
        n_bins=network.n_bins,
        error=error,
        n_points=counts,
    )
    return _Trial(examples, judge(examples.curves.inputs, examples.scalars))


def _pairwise(trial: _Trial, chosen: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Contact against detached alone, by the larger of the two probabilities."""
    probability, label = trial.at(chosen & np.isin(trial.examples.label, (_CONTACT, _DETACHED)))
    ratio = np.log(np.maximum(probability[:, _CONTACT], 1e-12)) - np.log(np.maximum(probability[:, _DETACHED], 1e-12))
    contact = label == _CONTACT
    return {
        "n": len(label),
        "accuracy": float(((ratio > 0) == contact).mean()),
        "area_under_curve": area_under_curve(ratio[contact], ratio[~contact]),
    }


def _by_inclination(trial: _Trial, inclination: FloatArray) -> list[dict[str, Any]]:
    """Where close pairs cannot be told apart, and whether the probabilities say so.

    A pair near contact that is seen without eclipses counts as ellipsoidal, so that contact is set against both.
    """
    label = trial.examples.label
    right = trial.probability.argmax(axis=1) == label
    contact = trial.probability[:, _CONTACT]
    other = trial.probability[:, _NEAR_CONTACT] + trial.probability[:, _ELLIPSOIDAL]
    told = (contact > other) == (label == _CONTACT)
    sure = np.maximum(contact, other) / np.maximum(contact + other, 1e-12)
    rows = []
    for low, high in pairwise(_INCLINATIONS):
        seen = (inclination >= low) & (inclination < high)
        inside = seen & (label < _ECLIPSING)
        close = seen & np.isin(label, (_CONTACT, _NEAR_CONTACT, _ELLIPSOIDAL))
        if not inside.any():
            continue
        table = np.zeros((len(CLASSES), len(CLASSES)), dtype=int)
        np.add.at(table, (label[seen], trial.probability[seen].argmax(axis=1)), 1)
        rows.append(
            {
                "from": low,
                "to": min(high, 90.0),
                "confusion": table.tolist(),
                "accuracy": trial.share(right, inside),
                "mean_largest_probability": float(trial.probability[inside].max(axis=1).mean()),
                "contact_told": trial.share(told, close),
                "contact_confidence": float(sure[close].mean()) if close.any() else None,
            }
        )
    return rows


def _look_alikes(trial: _Trial, templates: Templates) -> dict[str, dict[str, Any]]:
    """Share of each contaminant that is called anything else than not eclipsing, and contact."""
    ellipsoidal = trial.examples.label == _ELLIPSOIDAL
    kind = np.where(ellipsoidal, "ellipsoidal variables", templates.kind[trial.examples.template])
    chosen = trial.probability.argmax(axis=1)
    result = {}
    for name in np.unique(kind[trial.examples.label >= _ECLIPSING]):
        inside = (kind == name) & (trial.examples.label >= _ECLIPSING)
        result[str(name)] = {
            "n": int(inside.sum()),
            "called_a_pair": trial.share(chosen != _NOT_ECLIPSING, inside),
            "called_eclipsing": trial.share(chosen < _ECLIPSING, inside),
            "called_contact": trial.share(chosen == _CONTACT, inside),
        }
    return result


def _abstention(trial: _Trial) -> list[dict[str, float | None]]:
    """Accuracy of the stars whose largest probability reaches a limit."""
    largest, right = trial.probability.max(axis=1), trial.probability.argmax(axis=1) == trial.examples.label
    return [
        {
            "least_probability": limit,
            "decided": float((largest >= limit).mean()),
            "accuracy": float(right[largest >= limit].mean()) if (largest >= limit).any() else None,
        }
        for limit in _LEAST_PROBABILITIES
    ]


def _short(trial: _Trial) -> dict[str, Any]:
    judged = trial.judged()
    return {
        "n": judged.n,
        "macro_f1": list(judged.macro_f1),
        "accuracy": list(judged.accuracy),
        "recall": {name: list(item) for name, item in zip(CLASSES, judged.recall, strict=True)},
        "calibration_error": list(judged.calibration[:3]),
    }


def as_mapping(judged: Evaluation) -> dict[str, Any]:
    """Turn an evaluation into what JSON can hold.

    Parameters
    ----------
    judged : Evaluation
        The figures.

    Returns
    -------
    dict
        The same; intervals as value, low and high, and None where there is nothing to count.
    """

    def by_class(items: list[Interval]) -> dict[str, list[float | None]]:
        return {
            name: [float(x) if np.isfinite(x) else None for x in item]
            for name, item in zip(CLASSES, items, strict=True)
        }

    return {
        "n": judged.n,
        "mix": dict(zip(CLASSES, SURVEY_MIX, strict=True)),
        "confusion": judged.confusion.tolist(),
        "accuracy": list(judged.accuracy),
        "macro_f1": list(judged.macro_f1),
        "recall": by_class(judged.recall),
        "precision": by_class(judged.precision),
        "f1": by_class(judged.f1),
        "mix_precision": by_class(judged.mix_precision),
        "separation": [[float(x) if np.isfinite(x) else None for x in row] for row in judged.separation],
        "calibration_error": list(judged.calibration[:3]),
    }
