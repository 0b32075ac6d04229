"""What lies behind the stars in the diagrams of a Cloud: all stars as an image, box, relation and population."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.image
import numpy as np
import numpy.typing as npt
from astropy.table import QTable
from matplotlib.figure import Figure

from cbminer.blocks import Blocks, columns_of, floats_of
from cbminer.columns import FloatArray, label_column, values
from cbminer.report.figures import MainSequenceRegion, RelationBand
from cbminer.selection.cutflow import SelectionSettings
from cbminer.selection.plc import PLCRelation
from cbminer.selection.plc_table import main_sequence_sample
from cbminer.theory.density import AxisName, PopulationDensity
from cbminer.theory.quantiles import contour_levels

__all__ = [
    "Background",
    "CloudDiagrams",
    "ContourLine",
    "PlaneRanges",
    "cloud_diagrams",
    "colour_free_magnitude",
    "log_period",
    "main_sequence_region",
    "relation_band",
]

# Ranges of (V-I)_0 and M_V, and of log P, that the images cover.
_COLOURS, _MAGNITUDES, _LOG_PERIODS = (-0.9, 0.9), (-9.0, 3.0), (-1.0, 1.0)
# Reach of the image on both sides of the relation, mag.
_REACH = 7.0
_BINS = 240
_INNER_SHARE = 0.5
# What the diagrams show at least, and the room left around a star at an edge, in (V-I)_0 or log P, and in mag.
_LEAST_COLOURS, _LEAST_LOG_PERIODS, _LEAST_MAGNITUDES = (-0.75, 0.35), (-0.65, 0.55), (-7.5, 0.5)
_LEAST_ABOUT_RELATION = (-4.5, 5.5)
_ROOM = (0.1, 0.5)


@dataclass(frozen=True)
class Background:
    """Numbers of stars in a plane, as an image.

    Attributes
    ----------
    png : bytes
        Grey of growing opacity, its first row at the lower limit of `y`: magnitudes grow downwards.
    x, y : tuple of float
        Ranges of both axes.
    n_stars : int
        Stars in it.
    n_all : int
        Stars of the Cloud, with those whose place is not known or outside of the image.
    """

    png: bytes
    x: tuple[float, float]
    y: tuple[float, float]
    n_stars: int
    n_all: int


@dataclass(frozen=True)
class PlaneRanges:
    """What a diagram shows of its axes.

    Attributes
    ----------
    x, y : tuple of float
        Lower and upper limits; magnitudes are drawn with the upper limit at the bottom.
    """

    x: tuple[float, float]
    y: tuple[float, float]


@dataclass(frozen=True)
class ContourLine:
    """Contours of a population in a plane of something and M_V.

    Attributes
    ----------
    kind : {"contact", "near_contact"}
        Population.
    share : float
        Part of it within the contour.
    lines : tuple of `~numpy.ndarray`
        Closed lines, each of shape (n, 2).
    """

    kind: str
    share: float
    lines: tuple[FloatArray, ...]


@dataclass(frozen=True)
class CloudDiagrams:
    """What does not change from star to star in the diagrams of a Cloud.

    Attributes
    ----------
    galaxy : str
        The Cloud.
    region : MainSequenceRegion
        Main-sequence box.
    band : RelationBand
        Relation between period, luminosity and colour.
    backgrounds : dict of str to Background
        ``colour``: all stars in (V-I)_0 and M_V; ``relation``: in log P and M_V less the colour term.
    contours : dict of str to tuple of ContourLine
        Population by the name of the axis beside M_V, ``VI0`` or ``log_P``; empty if it was not asked for.
    ranges : dict of str to PlaneRanges
        What is shown of the planes ``colour``, ``relation`` and ``population``: all stars that are points.
    """

    galaxy: str
    region: MainSequenceRegion
    band: RelationBand
    backgrounds: dict[str, Background]
    contours: dict[str, tuple[ContourLine, ...]]
    ranges: dict[str, PlaneRanges]


def cloud_diagrams(
    judged: QTable | Blocks,
    galaxy: str,
    *,
    cuts: SelectionSettings,
    relation: PLCRelation,
    populations: Mapping[str, PopulationDensity] | None,
    contour: float,
    shown: QTable,
) -> CloudDiagrams:
    """Prepare the diagrams of a Cloud.

    Parameters
    ----------
    judged : `~astropy.table.QTable` or blocks
        All judged stars of the run.
    galaxy : str
        The Cloud.
    cuts : SelectionSettings
        The cuts.
    relation : PLCRelation
        Relation in force.
    populations : mapping of str to PopulationDensity or None
        Densities of contact and near-contact binaries.
    contour : float
        Share of the population within the contour of the bona fide set.
    shown : `~astropy.table.QTable`
        Stars that are points, of any Cloud.

    Returns
    -------
    CloudDiagrams
        Images, lines and limits.
    """
    band = relation_band(judged, relation, cuts, galaxy=galaxy)
    middle = relation.a * float(np.mean(_LOG_PERIODS)) + relation.c
    middle = middle if np.isfinite(middle) else 0.0
    colour = _PlaneCounts(_COLOURS, _MAGNITUDES)
    about = _PlaneCounts(_LOG_PERIODS, (middle - _REACH, middle + _REACH))
    for block in columns_of(judged, ("galaxy", "VI0", "M_V", "period")):
        stars = block[label_column(block, "galaxy") == galaxy]
        colour.add(values(stars, "VI0", "mag"), values(stars, "M_V", "mag"))
        about.add(log_period(stars), colour_free_magnitude(stars, band))
    region = main_sequence_region(cuts)
    points = shown[label_column(shown, "galaxy") == galaxy]
    return CloudDiagrams(
        galaxy,
        region,
        band,
        {"colour": colour.image(), "relation": about.image()},
        _contours(judged, galaxy, populations or {}, contour),
        _ranges(points, region, band, middle),
    )


def main_sequence_region(cuts: SelectionSettings) -> MainSequenceRegion:
    """Limits of the main-sequence box.

    Parameters
    ----------
    cuts : SelectionSettings
        The cuts.

    Returns
    -------
    MainSequenceRegion
        The limits.
    """
    box = cuts.main_sequence
    return MainSequenceRegion(
        VI0_max=box.VI0_max,
        VI0_ceiling=box.VI0_ceiling,
        M_V_bright=box.M_V_bright,
        M_V_faint=box.M_V_faint,
        O_star_M_V=box.O_star_M_V,
    )


def relation_band(
    stars: QTable | Blocks, relation: PLCRelation, cuts: SelectionSettings, *, galaxy: str | None = None
) -> RelationBand:
    """Relation with the band that it leaves to a star of median error.

    Parameters
    ----------
    stars : `~astropy.table.QTable` or blocks
        Judged stars.
    relation : PLCRelation
        Relation in force.
    cuts : SelectionSettings
        The cuts.
    galaxy : str, optional
        The Cloud, if there are stars of another.

    Returns
    -------
    RelationBand
        The relation and half of the width of the band.
    """

    def counts(block: QTable) -> npt.NDArray[np.bool_]:
        mine = True if galaxy is None else label_column(block, "galaxy") == galaxy
        return main_sequence_sample(block, cuts) & mine

    needs = ("galaxy", "VI0", "e_VI0", "M_V", "period")
    errors = floats_of(stars, "e_plc_residual", "mag", where=counts, needs=needs)
    error = float(np.median(errors)) if len(errors) else 0.0
    half_width = cuts.plc.n_sigma * float(np.hypot(error, relation.intrinsic_scatter))
    return RelationBand(relation.a, relation.b, relation.c, half_width, relation.mode)


def colour_free_magnitude(stars: QTable, band: RelationBand) -> FloatArray:
    """Absolute magnitude less the colour term of the relation, which is a line over log P.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Columns M_V and VI0.
    band : RelationBand
        The relation.

    Returns
    -------
    `~numpy.ndarray`
        M_V - b (V-I)_0 in mag, shape (n,).
    """
    return np.asarray(values(stars, "M_V", "mag") - band.b * values(stars, "VI0", "mag"))


def log_period(stars: QTable) -> FloatArray:
    """Logarithm of the period.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Column period.

    Returns
    -------
    `~numpy.ndarray`
        log10 of the period in d, shape (n,); NaN where it is unknown or not positive.
    """
    period = values(stars, "period", "d")
    return np.asarray(np.log10(np.where(period > 0, period, np.nan)))


def _ranges(points: QTable, region: MainSequenceRegion, band: RelationBand, middle: float) -> dict[str, PlaneRanges]:
    """Ranges that hold box, relation and every point, so that page and sheets show the same."""
    colour, magnitude, period = values(points, "VI0", "mag"), values(points, "M_V", "mag"), log_period(points)
    box = (_LEAST_MAGNITUDES[0], region.M_V_bright, _LEAST_MAGNITUDES[1], region.M_V_faint)
    magnitudes = _widened(box, magnitude, _ROOM[1])
    colours = (*_LEAST_COLOURS, region.VI0_max, region.VI0_ceiling)
    about = [middle + reach for reach in _LEAST_ABOUT_RELATION]
    periods = _widened(_LEAST_LOG_PERIODS, period, _ROOM[0])
    return {
        "colour": PlaneRanges(_widened(colours, colour, _ROOM[0]), magnitudes),
        "relation": PlaneRanges(periods, _widened(about, colour_free_magnitude(points, band), _ROOM[1])),
        "population": PlaneRanges(periods, magnitudes),
    }


def _widened(least: Sequence[float], places: FloatArray, room: float) -> tuple[float, float]:
    known = places[np.isfinite(places)]
    low, high = min(least), max(least)
    if len(known):
        low, high = min(low, float(known.min()) - room), max(high, float(known.max()) + room)
    return low, high


class _PlaneCounts:
    """Numbers of stars in the cells of a plane."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.x, self.y = x, y
        self.counts = np.zeros((_BINS, _BINS))
        self.n_all = 0

    def add(self, x: FloatArray, y: FloatArray) -> None:
        known = np.isfinite(x) & np.isfinite(y)
        self.counts += np.histogram2d(x[known], y[known], bins=_BINS, range=[self.x, self.y])[0]
        self.n_all += len(x)

    def image(self) -> Background:
        # One star is to be seen as well as a hundred in one place.
        strength = np.log1p(self.counts) / max(float(np.log1p(self.counts.max())), 1.0)
        opacity = np.where(self.counts > 0, 0.18 + 0.62 * strength, 0.0)
        image = np.empty((_BINS, _BINS, 4))
        image[..., :3] = 0.5
        image[..., 3] = opacity.T
        stream = io.BytesIO()
        metadata: dict[str, Any] = {"Software": None}
        matplotlib.image.imsave(stream, image, format="png", metadata=metadata)
        return Background(stream.getvalue(), self.x, self.y, int(self.counts.sum()), self.n_all)


def _contours(
    judged: QTable | Blocks, galaxy: str, populations: Mapping[str, PopulationDensity], contour: float
) -> dict[str, tuple[ContourLine, ...]]:
    if not populations:
        return {}
    e_m_v, e_vi0 = (_typical_error(judged, galaxy, name) for name in ("e_M_V", "e_VI0"))
    across: tuple[AxisName, ...] = ("VI0", "log_P")
    found: dict[str, tuple[ContourLine, ...]] = {}
    for axis in across:
        lines = []
        for kind, density in populations.items():
            plane = density.plane(axis, "M_V", e_M_V=e_m_v, e_VI0=e_vi0)
            x, y = ((edges[1:] + edges[:-1]) / 2.0 for edges in (plane.x_edges, plane.y_edges))
            shares = (_INNER_SHARE, contour) if kind == "contact" else (contour,)
            for share, level in zip(shares, contour_levels(plane.density, shares), strict=True):
                if np.isfinite(level) and level > 0:
                    lines.append(ContourLine(kind, share, _level_lines(x, y, plane.density.T, float(level))))
        found[axis] = tuple(lines)
    return found


def _level_lines(x: FloatArray, y: FloatArray, density: FloatArray, level: float) -> tuple[FloatArray, ...]:
    (path,) = Figure().add_subplot().contour(x, y, density, levels=[level]).get_paths()
    return tuple(np.asarray(line, dtype=np.float64) for line in path.to_polygons(closed_only=False))


def _typical_error(judged: QTable | Blocks, galaxy: str, name: str) -> float:
    """Median error of the candidates of a Cloud, or of all of its stars if there are none."""
    of_all: list[FloatArray] = []
    of_candidates: list[FloatArray] = []
    n_candidates = 0
    for block in columns_of(judged, (name, "galaxy", "selected")):
        error = values(block, name, "mag")
        mine = label_column(block, "galaxy") == galaxy
        selected = mine & np.asarray(block["selected"], dtype=bool)
        n_candidates += int(np.count_nonzero(selected))
        of_all.append(error[mine & np.isfinite(error)])
        of_candidates.append(error[selected & np.isfinite(error)])
    known = np.concatenate(of_candidates if n_candidates else of_all)
    return float(np.median(known)) if len(known) else 0.0
