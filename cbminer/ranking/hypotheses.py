"""What a star may be: the hypotheses that the ranking weighs against each other."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from cbminer.classifier.classes import CLASSES, ClassName

__all__ = ["HYPOTHESES", "HYPOTHESIS_LABELS", "HYPOTHESIS_NAMES", "NETWORK_CLASS", "Hypothesis", "hypotheses_of"]

Hypothesis = Literal["contact", "near_contact", "semi_detached", "detached", "ellipsoidal", "other"]
HYPOTHESES: tuple[Hypothesis, ...] = (
    "contact", "near_contact", "semi_detached", "detached", "ellipsoidal", "other",
)  # fmt: skip

# For lists, where a word or two are enough.
HYPOTHESIS_NAMES: dict[Hypothesis, str] = {
    "contact": "contact",
    "near_contact": "near contact",
    "semi_detached": "semi-detached",
    "detached": "detached",
    "ellipsoidal": "ellipsoidal",
    "other": "other",
}
HYPOTHESIS_LABELS: dict[Hypothesis, str] = {
    "contact": "contact",
    "near_contact": "near contact, with eclipses",
    "semi_detached": "semi-detached",
    "detached": "detached",
    "ellipsoidal": "close pair without eclipses",
    "other": "no binary, or a binary folded at a wrong period",
}

# Class of the network under which each hypothesis falls: it does not tell semi-detached pairs from those near contact.
NETWORK_CLASS: dict[Hypothesis, ClassName] = {
    "contact": "contact",
    "near_contact": "near_contact",
    "semi_detached": "near_contact",
    "detached": "detached",
    "ellipsoidal": "ellipsoidal",
    "other": "not_eclipsing",
}
_OF_CLASS: dict[ClassName, Hypothesis] = {
    "contact": "contact",
    "near_contact": "near_contact",
    "detached": "detached",
    "ellipsoidal": "ellipsoidal",
    "not_eclipsing": "other",
}


def hypotheses_of(label: npt.ArrayLike, kind: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Hypotheses under which simulated light curves fall.

    Parameters
    ----------
    label : array_like of int
        Places in `~cbminer.classifier.classes.CLASSES`, shape (n,).
    kind : array_like of str
        Kinds of a library, which tell semi-detached pairs apart, shape (n,).

    Returns
    -------
    `~numpy.ndarray`
        Places in `HYPOTHESES`, shape (n,).
    """
    places = np.array([HYPOTHESES.index(_OF_CLASS[name]) for name in CLASSES])[np.asarray(label, dtype=np.int64)]
    near = places == HYPOTHESES.index("near_contact")
    semi_detached = near & (np.asarray(kind) == "semi_detached")
    return np.where(semi_detached, HYPOTHESES.index("semi_detached"), places).astype(np.int64)
