"""Classes of light curves that the classifier tells apart."""

from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["CLASSES", "CLASS_LABELS", "CLASS_OF_KIND", "ClassName", "Scalar", "classes_of_kinds"]

ClassName = Literal["contact", "near_contact", "detached", "ellipsoidal", "not_eclipsing"]
CLASSES: tuple[ClassName, ...] = ("contact", "near_contact", "detached", "ellipsoidal", "not_eclipsing")

CLASS_LABELS: dict[ClassName, str] = {
    "contact": "contact",
    "near_contact": "near contact or semi-detached",
    "detached": "detached",
    "ellipsoidal": "ellipsoidal",
    "not_eclipsing": "not eclipsing, or folded at a wrong period",
}

# Kinds of stars of a synthetic library by the class that their light curves belong to.
CLASS_OF_KIND: dict[str, ClassName] = {
    "contact": "contact",
    "near_contact": "near_contact",
    "semi_detached": "near_contact",
    "detached": "detached",
    "ellipsoidal": "ellipsoidal",
    "rr_lyrae": "not_eclipsing",
    "delta_scuti": "not_eclipsing",
    "spotted": "not_eclipsing",
    "be_like": "not_eclipsing",
}

# Numbers beside the curve that a network may be given: logarithm of the amplitude in magnitudes, logarithm of the
# period in days, dereddened colour in magnitudes.
Scalar = Literal["log_amplitude", "log_period", "VI0"]


def classes_of_kinds(kinds: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Classes of stars of a library.

    Parameters
    ----------
    kinds : array_like of str
        Kinds, shape (n,).

    Returns
    -------
    `~numpy.ndarray`
        Places in `CLASSES`, shape (n,).

    Raises
    ------
    KeyError
        If a kind is not one of a library.
    """
    return np.array([CLASSES.index(CLASS_OF_KIND[str(kind)]) for kind in np.asarray(kinds)], dtype=np.int64)
