"""Classes of light curves in words: probabilities in one line, and the network that gave them."""

from pathlib import Path

import numpy as np

from cbminer.classifier.classes import CLASSES
from cbminer.classifier.prediction import SHIPPED, ClassifierSettings, classifier_model
from cbminer.columns import FloatArray

__all__ = ["class_line", "classifier_record", "classifier_title", "probabilities_text"]

# Probabilities below this are not said.
_LEAST_SHOWN = 0.01


def probabilities_text(
    probability: FloatArray, error: FloatArray, *, sign: str = "+-", most: int = len(CLASSES)
) -> str:
    """Probabilities of the classes of a star, the largest first and with its error.

    Parameters
    ----------
    probability, error : `~numpy.ndarray`
        Probabilities and their errors, shape (classes,); NaN where unknown.
    sign : str, optional
        What stands before the error.
    most : int, optional
        Classes to say.

    Returns
    -------
    str
        Such as ``contact 0.81 +- 0.06, near contact 0.17``; empty for a star without probabilities.
    """
    if np.isnan(probability).any():
        return ""
    order = np.argsort(-probability, kind="stable")
    parts = [f"{CLASSES[k].replace('_', ' ')} {probability[k]:.2f}" for k in order if probability[k] >= _LEAST_SHOWN]
    if not np.isnan(error[order[0]]):
        parts[0] += f" {sign} {error[order[0]]:.2f}"
    return ", ".join(parts[:most])


def class_line(label: str, probability: FloatArray, error: FloatArray, *, title: str) -> str:
    """Class of a star in one line.

    Parameters
    ----------
    label : str
        Class, ``undecided``, or empty.
    probability, error : `~numpy.ndarray`
        Probabilities and their errors, shape (classes,); NaN where unknown.
    title : str
        Name and version of the network.

    Returns
    -------
    str
        Such as ``class: contact 0.81 +- 0.06, near contact 0.17 (standard 1)``.
    """
    text = probabilities_text(probability, error)
    if not text:
        return "class: not known, as no shape could be fitted"
    undecided = "undecided, " if label == "undecided" else ""
    return f"class: {undecided}{text} ({title})"


def classifier_title(model: str, version: str) -> str:
    """Name and version of a network.

    Parameters
    ----------
    model : str
        Model as the settings name it.
    version : str
        Its version; may be empty.

    Returns
    -------
    str
        Such as ``standard 1``; of a file its name alone.
    """
    name = model if model in SHIPPED else Path(model).stem
    return version if version.startswith(name) else f"{name} {version}".strip()


def classifier_record(settings: ClassifierSettings) -> dict[str, str]:
    """Describe the network for a provenance file.

    Parameters
    ----------
    settings : ClassifierSettings
        How light curves were classified.

    Returns
    -------
    dict of str to str
        Model as the settings name it, variant, version, and SHA-256 of all that it holds.
    """
    network = classifier_model(settings.model)
    return {
        "model": settings.model,
        "variant": network.variant,
        "version": network.version,
        "sha256": network.digest(),
    }
