"""The morphology parameter c of measured light curves, from their smooth curves and from their points."""

from typing import NamedTuple

import numpy as np

from cbminer.columns import FloatArray
from cbminer.morphology.eclipses import CurveFigures
from cbminer.morphology.embedding import Embedding, embed
from cbminer.morphology.matching import BinnedCurves, match_training_curves, rescale_halves

__all__ = ["MorphologyParameters", "measure_c"]

# Spread of the likelihoods over c at which both ways to c count alike, and the error of c of a curve without noise.
_GOOD_C = 0.009
_LEAST_E_C = 0.003


class MorphologyParameters(NamedTuple):
    """c of n stars; NaN where a star has no fit.

    Attributes
    ----------
    c, e_c : `~numpy.ndarray`
        Morphology parameter and its standard error.
    distance : `~numpy.ndarray`
        Root mean square distance of the normalised curve from the nearest training curve, less what noise makes.
    """

    c: FloatArray
    e_c: FloatArray
    distance: FloatArray


def measure_c(
    figures: CurveFigures, binned: BinnedCurves, amplitude: FloatArray, *, model: Embedding
) -> MorphologyParameters:
    """Place light curves on the scale of c.

    Parameters
    ----------
    figures : CurveFigures
        Normalised smooth curves of n stars and draws of their posterior.
    binned : BinnedCurves
        Their points.
    amplitude : `~numpy.ndarray`
        Their amplitudes in mag, shape (n,).
    model : Embedding
        The training curves.

    Returns
    -------
    MorphologyParameters
        c of every star.

    Notes
    -----
    Good photometry is embedded: its smooth curve, scaled to the training curves that match, is placed by barycentric
    weights. Where noise makes the smooth curve too stiff, the mean over the training curves by their likelihoods takes
    over, by the fourth power of its spread.
    """
    matched = match_training_curves(binned, np.nan_to_num(amplitude), model=model)
    half = np.where(np.isnan(figures.phase_zero)[:, None, None], np.float32(np.nan), figures.half)
    placed = embed(rescale_halves(half, matched.half), figures.oddness, model=model)
    share = matched.e_c**4 / (matched.e_c**4 + _GOOD_C**4)
    variance = (1.0 - share) * placed.e_c**2 + share * matched.e_c**2
    return MorphologyParameters(
        (1.0 - share) * placed.c + share * matched.c, np.sqrt(variance + _LEAST_E_C**2), placed.distance
    )
