"""Why a MESA run ended: as it says itself, or by the state of its last model."""

from collections.abc import Mapping, Sequence

import numpy as np

from cbminer.columns import FloatArray
from cbminer.theory.grid import EndReason
from cbminer.theory.roche_lobe import l2_radius_ratio

__all__ = ["STOPPED", "run_end"]

# History column of the published grids with the code of why a run ended, and those codes; 6 is of our own templates.
STOPPED = "stopping_condition"
_CODES = {
    1: EndReason.END_OF_MAIN_SEQUENCE,
    2: EndReason.L2_OVERFLOW_AT_ZAMS,
    3: EndReason.L2_OVERFLOW,
    4: EndReason.NO_INTERACTION,
    5: EndReason.MASS_TRANSFER_RATE,
    6: EndReason.UNSTABLE_ORBIT,
    -99: EndReason.FAILED,
}
# A run that stops when a star passes L2 ends at the last model before: within this part of the radius.
_L2_TOLERANCE = 0.005
# Central hydrogen below which the main sequence counts as over; published grids stop at 1e-4 to 1e-3.
_HYDROGEN_GONE = 2e-3
# MESA's implicit scheme holds a donor within its tolerance of the Roche radius, mostly just below it.
_FILLS_LOBE = 1e-3


def run_end(steps: Mapping[str, FloatArray], hydrogen: Sequence[FloatArray], *, code: int | None) -> EndReason:
    """Say why a run ended.

    Parameters
    ----------
    steps : mapping of str to `~numpy.ndarray`
        ``M1``, ``M2``, ``overflow_1`` and ``overflow_2`` of its models, shape (n,).
    hydrogen : sequence of `~numpy.ndarray`
        Mass fraction of hydrogen in the centre of each star, NaN where unknown; each of shape (n,).
    code : int or None
        Last value of `STOPPED`, if the run has that column.

    Returns
    -------
    EndReason
        The reason; a code that says one decides.
    """
    if code in _CODES:
        return _CODES[code]
    over_1, over_2, q = steps["overflow_1"], steps["overflow_2"], steps["M2"] / steps["M1"]
    lighter = np.where(q <= 1, over_2, over_1)
    beyond = (np.fmin(over_1, over_2) >= 0) & (lighter + 1 > l2_radius_ratio(q) * (1 - _L2_TOLERANCE))
    if beyond[0]:
        return EndReason.L2_OVERFLOW_AT_ZAMS
    if beyond[-1]:
        return EndReason.L2_OVERFLOW
    left = np.fmin(*hydrogen)
    if not left[-1] < _HYDROGEN_GONE:
        return EndReason.UNKNOWN
    # What overflows only later interacts after the main sequence.
    burning = ~(left < _HYDROGEN_GONE)
    interacted = np.any(np.fmax(over_1, over_2)[burning] >= -_FILLS_LOBE)
    return EndReason.END_OF_MAIN_SEQUENCE if interacted else EndReason.NO_INTERACTION
