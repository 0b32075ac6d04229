"""What is mistaken for an eclipsing binary: pulsators listed at twice their period, spots, irregular hot stars."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cbminer.synthetic.population import DrawnSystem, draw_system
from cbminer.synthetic.shapes import LightCurveShape, SawtoothShape

__all__ = ["LOOK_ALIKE_KINDS", "LookAlike", "LookAlikeKind", "draw_look_alike"]

LookAlikeKind = Literal["rr_lyrae", "delta_scuti", "spotted", "be_like"]
LOOK_ALIKE_KINDS: tuple[LookAlikeKind, ...] = ("rr_lyrae", "delta_scuti", "spotted", "be_like")

_FOREGROUND_DELTA_SCUTI = 0.7


@dataclass(frozen=True)
class LookAlike:
    """A star that is no eclipsing binary.

    Attributes
    ----------
    shape : LightCurveShape
        Its light curve over the listed period.
    period : float
        Listed period in days.
    true_period : float
        Pulsation or rotation period in days; NaN for irregular stars.
    M_V, VI0 : float
        Absolute magnitude and colour at maximum light.
    foreground : bool
        Whether it is a star of the Galaxy in front of the Cloud.
    """

    shape: LightCurveShape
    period: float
    true_period: float
    M_V: float
    VI0: float
    foreground: bool = False


def draw_look_alike(kind: LookAlikeKind, rng: np.random.Generator) -> LookAlike:
    """Draw a star that is mistaken for an eclipsing binary.

    Parameters
    ----------
    kind : {"rr_lyrae", "delta_scuti", "spotted", "be_like"}
        RR Lyrae stars of the first overtone, whose curves are nearly sinusoidal, and delta Scuti stars, both
        listed at twice their period; rotators with changing spots; hot stars that wander irregularly.
    rng : `~numpy.random.Generator`
        Source of randomness.

    Returns
    -------
    LookAlike
        The star. Ranges of periods, amplitudes and magnitudes are round numbers of these classes.
    """
    return _DRAWERS[kind](rng)


def _rr_lyrae(rng: np.random.Generator) -> LookAlike:
    pulsation = float(rng.uniform(0.2, 0.45))
    shape = SawtoothShape(float(rng.uniform(0.08, 0.3)), float(rng.uniform(0.35, 0.48)), 1.5)
    return LookAlike(shape, 2 * pulsation, pulsation, float(rng.normal(0.6, 0.15)), float(rng.normal(0.38, 0.06)))


def _delta_scuti(rng: np.random.Generator) -> LookAlike:
    pulsation = float(0.05 * 5.0 ** rng.random())
    shape = SawtoothShape(float(0.03 * 12.0 ** rng.random()), float(rng.uniform(0.3, 0.48)), 1.6)
    # Period and luminosity go together; a magnitude of spread hides the slope of no interest here. In the Clouds they
    # are at the limit of a survey: those that are seen are mostly stars of the Galaxy.
    return LookAlike(
        shape,
        2 * pulsation,
        pulsation,
        float(rng.uniform(0.0, 2.5)),
        float(rng.uniform(0.15, 0.45)),
        foreground=bool(rng.random() < _FOREGROUND_DELTA_SCUTI),
    )


def _of_population(kind: str) -> Callable[[np.random.Generator], LookAlike]:
    def draw(rng: np.random.Generator) -> LookAlike:
        system: DrawnSystem = draw_system(kind, rng)
        return LookAlike(
            system.shape, system.period, system.true_period, system.M_I + system.VI0, system.VI0, system.foreground
        )

    return draw


_DRAWERS: dict[LookAlikeKind, Callable[[np.random.Generator], LookAlike]] = {
    "rr_lyrae": _rr_lyrae,
    "delta_scuti": _delta_scuti,
    "spotted": _of_population("spotted"),
    "be_like": _of_population("be_like"),
}
