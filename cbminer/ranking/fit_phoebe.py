"""The best models of a fit computed again by PHOEBE. It needs ``cbminer[phoebe]``."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cbminer.columns import FloatArray
from cbminer.ranking.fit_model import HYPOTHESES, HypothesisName
from cbminer.ranking.fit_results import StarFit
from cbminer.ranking.fit_settings import FitSettings
from cbminer.ranking.fit_tables import half_phases
from cbminer.synthetic.limb_darkening import LimbDarkening
from cbminer.synthetic.phoebe import phoebe_light_curves

__all__ = ["PhoebeDifference", "compare_with_phoebe"]

_TRIANGLES = 1500
_EVERY = 2


@dataclass(frozen=True)
class PhoebeDifference:
    """How far the best model of the engine is from PHOEBE's curve of the same binary, in I, without third light.

    Attributes
    ----------
    star : str
        Identifier.
    name : {"contact", "near_contact"}
        The model.
    rms : float
        Root mean square over phase in mag, magnitudes counted from phase 0.25.
    depth1, depth2 : float
        Engine less PHOEBE at phases 0 and 0.5 in mag. All are NaN where PHOEBE failed.
    reason : str
        Why it failed; empty if it did not.
    """

    star: str
    name: HypothesisName
    rms: float
    depth1: float
    depth2: float
    reason: str = ""


def compare_with_phoebe(fits: Sequence[StarFit], *, settings: FitSettings, jobs: int = 1) -> list[PhoebeDifference]:
    """Compute the best models of stars with PHOEBE.

    Parameters
    ----------
    fits : sequence of StarFit
        The fits.
    settings : FitSettings
        Limb darkening and phases.
    jobs : int, optional
        Processes.

    Returns
    -------
    list of PhoebeDifference
        Two a star, contact first.

    Raises
    ------
    SettingsError
        If PHOEBE is not installed.
    """
    phases = half_phases(settings.tables)
    # Phase 0, every other one, and the last.
    chosen = np.unique(np.append(np.arange(0, len(phases), _EVERY), len(phases) - 1))
    laws = {"I": LimbDarkening("linear", (settings.tables.limb_darkening_I,))}
    found = []
    for fit in fits:
        for hypothesis, model in zip(HYPOTHESES, fit.fits, strict=True):
            theirs = phoebe_light_curves(
                hypothesis.systems(model.best[np.newaxis], teff_1=fit.teff_1),
                np.append(phases[chosen], 0.25),
                bands=("I",),
                limb_darkening=laws,
                n_triangles=_TRIANGLES,
                jobs=jobs,
            )
            reason = theirs.failures[0].reason if theirs.failures else ""
            found.append(_difference(fit.star, model.name, model.best_flux[0, chosen], theirs.flux[0, 0], reason))
    return found


def _difference(star: str, name: HypothesisName, ours: FloatArray, theirs: FloatArray, reason: str) -> PhoebeDifference:
    with np.errstate(invalid="ignore"):
        difference = -2.5 * np.log10(ours / (theirs[:-1] / theirs[-1]))
    rms = float(np.sqrt(np.mean(difference**2)))
    return PhoebeDifference(star, name, rms, float(difference[0]), float(difference[-1]), reason)
