"""Training of the embedding that gives the morphology parameter c, from light curves without noise."""

import numpy as np
from pydantic import Field
from scipy.interpolate import PchipInterpolator
from scipy.optimize import isotonic_regression, minimize
from scipy.stats import spearmanr

from cbminer.columns import FloatArray
from cbminer.errors import SettingsError
from cbminer.morphology.embedding import POINT_WEIGHTS, Embedding
from cbminer.quantities import SettingsModel

__all__ = ["TrainingSettings", "extended_radii", "normalised_half_curves", "train_embedding"]

# Sum of radii, extended to the pure cosine, and c, so that the classes stand where the scale has them. Semi-detached
# pairs have sums of 0.48 to 0.72: 0.5 to 0.7. Both stars fill 0.9 of their lobes, and are near contact, from 0.68 on:
# 0.7 stands an error of measurement below. Contact binaries, 0.757 to 1 whatever their mass ratio, are in the upper
# half of 0.7 to 0.8, ellipsoidal curves above it, and a pure cosine is at 0.98.
_SCALE = np.array([[0.0, 0.0], [0.48, 0.50], [0.67, 0.70], [0.757, 0.74], [1.0, 0.80], [1.45, 0.98], [1.6, 1.0]])
# Where a curve is as round as a cosine, its sum of radii leaves no trace: the label runs to this one.
COSINE_LABEL = 1.45
_ROUND_WITHIN = 0.06


class TrainingSettings(SettingsModel):
    """How the training curves are embedded."""

    components: int = Field(default=32, ge=8, le=64, description="principal components that stand for a curve")
    supervision: float = Field(
        default=3.0,
        gt=0,
        description="a difference of 1 in the sum of radii counts like this root mean square difference of curves; of "
        "0.7 to 8 this one orders new curves best",
    )
    neighbours: int = Field(default=15, ge=5, le=64, description="neighbours of the step from the curves to 3-D")
    neighbours_3d: int = Field(default=15, ge=5, le=64, description="of the step to 2-D; Bodi & Hajdu 2021")
    regularisation: float = Field(
        default=1e-2,
        gt=0,
        description="ridge of the weights of the first step; with less, curves unlike the training curves run off",
    )
    regularisation_3d: float = Field(default=0.01, gt=0, description="of the second; Bodi & Hajdu 2021")
    nodes: int = Field(default=60, ge=10, description="nodes of the scale from angles to c")


def normalised_half_curves(flux: FloatArray) -> FloatArray:
    """Bring half curves to the form in which they are embedded.

    Parameters
    ----------
    flux : `~numpy.ndarray`
        Fluxes of symmetric curves at phases 0 to 0.5, shape (n, 501).

    Returns
    -------
    `~numpy.ndarray`
        Magnitudes from 0 at the faintest to 1 at the brightest point, the deeper minimum first, shape (n, 501).
    """
    logarithm = np.log(flux)
    turned = logarithm[:, -1] < logarithm[:, 0]
    logarithm = np.where(turned[:, None], logarithm[:, ::-1], logarithm)
    lowest, highest = logarithm.min(axis=1, keepdims=True), logarithm.max(axis=1, keepdims=True)
    return np.asarray((logarithm - lowest) / (highest - lowest))


def extended_radii(half: FloatArray, sum_of_radii: FloatArray) -> FloatArray:
    """Raise sums of radii towards that of the pure cosine for curves that can hardly be told from one.

    Parameters
    ----------
    half : `~numpy.ndarray`
        Normalised half curves, shape (n, 501).
    sum_of_radii : `~numpy.ndarray`
        Sums of the relative radii, shape (n,).

    Returns
    -------
    `~numpy.ndarray`
        Shape (n,).
    """
    roundness = np.clip(1.0 - _distance_to_cosine(half) / _ROUND_WITHIN, 0.0, 1.0) ** 2
    return np.asarray(sum_of_radii + (COSINE_LABEL - sum_of_radii) * roundness)


def _cosine() -> FloatArray:
    return np.asarray(0.5 - 0.5 * np.cos(4.0 * np.pi * np.arange(501) / 1000.0))


def _distance_to_cosine(half: FloatArray) -> FloatArray:
    difference = (half - _cosine()) * POINT_WEIGHTS
    return np.asarray(np.sqrt(np.sum(difference**2, axis=1)))


def train_embedding(
    half: FloatArray, label: FloatArray, *, settings: TrainingSettings | None = None, seed: int = 0
) -> Embedding:
    """Embed training curves; a pure cosine is added to them.

    Parameters
    ----------
    half : `~numpy.ndarray`
        Normalised half curves, shape (n, 501).
    label : `~numpy.ndarray`
        Their sums of radii, extended by `extended_radii`, shape (n,).
    settings : TrainingSettings, optional
        Neighbours and the like.
    seed : int, optional
        Seed of the eigenvalue solver.

    Returns
    -------
    Embedding
        The model.

    Raises
    ------
    SettingsError
        If scikit-learn is not installed.
    """
    # Scikit-learn trains; placing a new curve does without it, and so does the command.
    try:
        from sklearn.manifold import LocallyLinearEmbedding
    except ModuleNotFoundError as error:
        msg = 'scikit-learn is not installed: pip install "cbminer[train]"'
        raise SettingsError(msg) from error

    chosen = settings or TrainingSettings()
    curves = np.vstack([half, _cosine()]) * POINT_WEIGHTS
    labels = np.append(label, COSINE_LABEL)
    mean = curves.mean(axis=0)
    basis = _principal_components(curves - mean, chosen.components)
    training = ((curves - mean) @ basis.T).astype(np.float32)
    supervised = np.column_stack([training, chosen.supervision * labels])
    first = LocallyLinearEmbedding(
        n_neighbors=chosen.neighbours, n_components=3, reg=chosen.regularisation, random_state=seed
    )
    spatial = _unsigned(first.fit_transform(supervised), labels)
    second = LocallyLinearEmbedding(
        n_neighbors=chosen.neighbours_3d, n_components=2, reg=chosen.regularisation_3d, random_state=seed
    )
    planar = _unsigned(second.fit_transform(spatial), labels)
    centre, direction = _angle_frame(planar, labels)
    frame = Embedding(
        mean=mean,
        basis=basis,
        training=training,
        label=labels,
        spatial=spatial,
        planar=planar,
        centre=centre,
        angle_nodes=np.array([0.0, 360.0]),
        c_nodes=np.array([0.0, 1.0]),
        direction=direction,
        neighbours=np.array([chosen.neighbours, chosen.neighbours_3d], dtype=np.int64),
        regularisation=np.array([chosen.regularisation, chosen.regularisation_3d]),
        reach=_reach(training, curves - mean, basis),
    )
    nodes, c_nodes = _scale(frame.angles(planar), labels, chosen.nodes)
    return Embedding(**{**vars(frame), "angle_nodes": nodes, "c_nodes": c_nodes})


def _principal_components(centred: FloatArray, n_components: int) -> FloatArray:
    """Components of largest variance, each with its largest element above 0."""
    _, _, rows = np.linalg.svd(centred, full_matrices=False)
    basis = rows[:n_components]
    largest = np.argmax(np.abs(basis), axis=1)
    return np.asarray(basis * np.sign(basis[np.arange(len(basis)), largest])[:, None])


def _unsigned(embedded: FloatArray, label: FloatArray) -> FloatArray:
    """Fix the signs of the axes, which the eigenvalue solver leaves open: each rises with the label."""
    sign = np.sign(np.array([np.corrcoef(axis, label)[0, 1] for axis in embedded.T]))
    return np.asarray(embedded * np.where(sign == 0, 1.0, sign))


def _angle_frame(planar: FloatArray, label: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Centre about which the angle follows the label best, and where and in which sense the angle is counted."""
    size = planar.std(axis=0)

    def angles(centre: FloatArray) -> FloatArray:
        offset = planar - centre
        return np.asarray(np.degrees(np.arctan2(offset[:, 1], offset[:, 0])))

    def disorder(scaled: FloatArray) -> float:
        ordered, _ = _unwrapped(angles(scaled * size))
        return -abs(float(spearmanr(ordered, label).statistic))

    starts = [np.array([x, y]) for x in (-1.0, 0.0, 1.0) for y in (-3.0, -1.0, 0.0, 1.0, 3.0)]
    best = min((minimize(disorder, start, method="Nelder-Mead") for start in starts), key=lambda result: result.fun)
    centre = best.x * size
    ordered, begin = _unwrapped(angles(centre))
    sense = np.sign(spearmanr(ordered, label).statistic)
    end = begin if sense > 0 else begin + float(ordered.max())
    # A margin before the first curve, so that places a little beyond it do not jump to the other end.
    margin = 0.5 * (360.0 - float(ordered.max()))
    return centre, np.array([end - sense * margin, sense])


def _unwrapped(angle: FloatArray) -> tuple[FloatArray, float]:
    """Angles counted from the end of the widest gap between them, and where that is."""
    rising = np.sort(angle % 360.0)
    gaps = np.diff(np.append(rising, rising[0] + 360.0))
    begin = float(rising[(int(np.argmax(gaps)) + 1) % len(rising)])
    return np.asarray((angle - begin) % 360.0), begin


def _scale(angle: FloatArray, label: FloatArray, n_nodes: int) -> tuple[FloatArray, FloatArray]:
    """Nodes of a rising function from the angle to c: the median c of the training curves about each angle."""
    c = PchipInterpolator(_SCALE[:, 0], _SCALE[:, 1])(label)
    order = np.argsort(angle, kind="stable")
    rising = np.asarray(isotonic_regression(c[order]).x)
    # Quantiles of the angle, so that each node has as many curves; the ends are the curves' own.
    where = np.linspace(0.0, 1.0, n_nodes)
    nodes = np.quantile(angle, where)
    values = np.interp(nodes, angle[order], _smoothed(rising))
    values[-1] = c.max()
    keep = np.append(True, np.diff(nodes) > 1e-9)
    nodes, values = nodes[keep], np.maximum.accumulate(values[keep])
    return np.concatenate([[0.0], nodes, [360.0]]), np.concatenate([[values[0] * 0.5], values, [1.0]])


def _smoothed(rising: FloatArray) -> FloatArray:
    """Average over 1 per cent of the curves, which takes the steps off an isotonic fit and keeps it rising."""
    width = max(3, len(rising) // 100)
    padded = np.concatenate([np.full(width, rising[0]), rising, np.full(width, rising[-1])])
    total = np.concatenate([[0.0], np.cumsum(padded)])
    first = np.arange(len(rising)) + width - width // 2
    return np.asarray((total[first + width] - total[first]) / width)


def _reach(training: FloatArray, centred: FloatArray, basis: FloatArray) -> FloatArray:
    """Distance to the nearest other training curve that all but one curve of a thousand keep, and a half more."""
    from sklearn.neighbors import NearestNeighbors

    outside = np.sum(centred**2, axis=1) - np.sum((centred @ basis.T) ** 2, axis=1)
    distance = NearestNeighbors(n_neighbors=2).fit(training).kneighbors(training)[0][:, 1]
    total = np.sqrt(distance**2 + np.maximum(outside, 0.0))
    return np.array([1.5 * np.quantile(total, 0.999)])
