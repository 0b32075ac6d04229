"""The whole funnel under the errors of its inputs: how often each star is in, and how many there are.

Every draw moves the magnitudes, the distances, the reddening and the measured shapes by their errors and judges all
stars anew. The numbers that are moved hold one realisation of their errors already. A second one on top widens every
distribution: what comes out is how firmly the verdict on a star stands, not the probability that its true values lie
within the limits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from astropy.table import QTable

from cbminer.catalogue.schema import spec_of
from cbminer.columns import FloatArray, label_column, values
from cbminer.completeness.rejudging import Mask, plain_stars, put_plc_columns, with_plc_columns
from cbminer.completeness.sensitivity_settings import SensitivitySettings
from cbminer.flags import Flag
from cbminer.monitor import Monitor
from cbminer.photometry.distance import DistanceSettings
from cbminer.photometry.magnitudes import ExtinctionSettings, add_intrinsic_photometry
from cbminer.selection.conditions import Condition
from cbminer.selection.cutflow import SelectionSettings
from cbminer.selection.cuts import spectral_labels
from cbminer.settings import Settings

__all__ = [
    "LABELS",
    "Bootstrap",
    "ErrorModel",
    "draw_stars",
    "first_cuts",
    "fixed_fate",
    "run_bootstrap",
]

# Measured numbers that move by their own errors, each for itself, and whether they are sizes without a sign.
_SHAPE: Mapping[str, bool] = {"W": False, "c": False, "asymmetry": True, "phase_secondary": False, "period": False}
LABELS = ("O", "B")
_PHOTOMETRY = ("M_V", "e_M_V", "M_I", "e_M_I", "VI0", "e_VI0", "cov_M_V_VI0")
# Streams of random numbers, one a quantity; new ones go to the end, so that the same seed gives the same draws.
_STREAMS = (
    *("I_mag", "V_mag", "E_VI", "zero point", "depth of the Cloud", "distance LMC", "distance SMC"),
    *("depth1", "depth_difference", "W", "c", "asymmetry", "phase_secondary", "period"),
    *("given M_V", "given VI0"),
)
# Spawn keys of the random numbers: those of errors and those of counts.
_ERRORS, _COUNTS = 0, 1


@dataclass(frozen=True)
class ErrorModel:
    """Errors that all stars share, and the settings by which magnitudes follow from what is observed.

    Attributes
    ----------
    distance : mapping of str to DistanceSettings
        Distance of each Cloud: its error is common to the stars of it, its depth is that of each star.
    extinction : ExtinctionSettings
        Extinction a unit of E(V-I), and errors of I and V.
    e_E_VI_zero : float
        Error of the zero point of E(V-I), common to all stars, mag.
    """

    distance: Mapping[str, DistanceSettings]
    extinction: ExtinctionSettings
    e_E_VI_zero: float

    @classmethod
    def of(cls, settings: Settings, sensitivity: SensitivitySettings) -> "ErrorModel":
        """Take the errors out of settings.

        Parameters
        ----------
        settings : Settings
            Settings of a run.
        sensitivity : SensitivitySettings
            Error of the zero point of the reddening.

        Returns
        -------
        ErrorModel
            The errors.
        """
        distances = {
            str(galaxy): cloud.distance for galaxy, cloud in settings.cloud.items() if cloud.distance is not None
        }
        return cls(distances, settings.extinction, sensitivity.e_E_VI_zero)


@dataclass(frozen=True)
class Bootstrap:
    """What the draws made of a sample.

    Attributes
    ----------
    n_draws : int
        Number of draws.
    cuts : list of str
        Names of the cuts in their order.
    lost_by : `~numpy.ndarray`
        Draws in which each cut is the first that removes a star, shape (n_cuts, n).
    galaxies : list of str
        Clouds, and "all" for them together.
    remaining : dict of str to `~numpy.ndarray`
        Stars after every cut, by draw and Cloud, shape (n_draws, n_galaxies, n_cuts), by what varies: "errors",
        "counting" (which stars the survey happens to hold), "both".
    labelled : dict of str to `~numpy.ndarray`
        Stars of the sample with the label O and B, shape (n_draws, n_galaxies, 2), likewise.
    unmoved : dict of str to int
        Stars of the sample without an error of a quantity, which therefore does not move.
    """

    n_draws: int
    cuts: list[str]
    lost_by: npt.NDArray[np.int32]
    galaxies: list[str]
    remaining: dict[str, npt.NDArray[np.int64]]
    labelled: dict[str, npt.NDArray[np.int64]]
    unmoved: dict[str, int] = field(default_factory=dict)

    @property
    def times_in(self) -> npt.NDArray[np.int64]:
        """Draws in which each star is in, shape (n,)."""
        times: npt.NDArray[np.int64] = self.n_draws - self.lost_by.sum(axis=0, dtype=np.int64)
        return times


def fixed_fate(stars: QTable, settings: SelectionSettings) -> Mask:
    """Stars that are removed before any number that has an error is looked at.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Judged stars.
    settings : SelectionSettings
        The cuts.

    Returns
    -------
    `~numpy.ndarray`
        Mask of the stars that the first cuts remove by a label or for want of a number. Their fate is the same in every
        draw. Nothing is assumed of how far a number can move.
    """
    fixed = np.zeros(len(stars), dtype=bool)
    for cut in settings.cuts:
        if any(isinstance(condition, Condition) for condition in cut.conditions(stars)):
            break
        fixed |= ~cut.keeps(cut.apply(stars))
    return fixed


def run_bootstrap(
    stars: QTable,
    settings: SelectionSettings,
    *,
    errors: ErrorModel,
    n_draws: int = 200,
    seed: int = 0,
    prefilter: bool = True,
    monitor: Monitor | None = None,
) -> Bootstrap:
    """Judge all stars many times, moved by their errors.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Judged stars of a run.
    settings : SelectionSettings
        The cuts.
    errors : ErrorModel
        Errors that stars share.
    n_draws : int, optional
        Number of draws.
    seed : int, optional
        Seed; the same one gives the same result.
    prefilter : bool, optional
        Whether stars whose fate no error changes are judged once only. The result is the same, but sooner.
    monitor : Monitor, optional
        Told of the progress.

    Returns
    -------
    Bootstrap
        Verdicts and counts.

    Raises
    ------
    RelationError
        If the relation is to be fitted to the stars of a draw and cannot be.

    Notes
    -----
    A relation that is fitted to the sample is fitted anew in each draw; the derived one and given coefficients stay.
    One draw is in memory at a time.
    """
    every = with_plc_columns(plain_stars(stars), settings)
    # A fit to the sample looks at every star.
    skipped = prefilter and settings.plc.mode != "refit"
    judged = np.flatnonzero(~fixed_fate(every, settings)) if skipped else np.arange(len(every))
    first, of_run = first_cuts(every, settings)
    tally = _Tally([cut.name for cut in settings.cuts], label_column(every, "galaxy"), n_draws, seed)
    tally.start(first, of_run)
    subset = every[judged]
    with (monitor or Monitor()).step("judging the stars under their errors", n_draws) as advance:
        for draw in range(n_draws):
            moved = draw_stars(subset, errors, draw=draw, seed=seed, rows=judged, n_stars=len(every))
            found = first.copy()
            labels = np.full(len(every), "", dtype="<U1")
            put_plc_columns(moved, settings)
            found[judged], labels[judged] = first_cuts(moved, settings)
            tally.add(draw, found, labels)
            advance(1)
    selected = first == len(settings.cuts)
    unmoved = {name: int(np.isnan(every[f"e_{name}"][selected]).sum()) for name in _SHAPE}
    return tally.result({name: number for name, number in unmoved.items() if number})


def first_cuts(stars: QTable, settings: SelectionSettings) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.str_]]:
    """First cut that removes each star, and its label.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Stars with every column that the cuts use.
    settings : SelectionSettings
        The cuts.

    Returns
    -------
    first : `~numpy.ndarray`
        Index of the cut, the number of cuts for a star that stays, shape (n,).
    labels : `~numpy.ndarray`
        "O", "B" or "", shape (n,).
    """
    first = np.full(len(stars), len(settings.cuts), dtype=np.int64)
    for index, cut in reversed(list(enumerate(settings.cuts))):
        first[~cut.keeps(cut.apply(stars))] = index
    return first, spectral_labels(stars, settings.main_sequence)


class _Tally:
    """Counts of all draws."""

    def __init__(self, cuts: list[str], galaxies: npt.NDArray[np.str_], n_draws: int, seed: int) -> None:
        self.cuts, self.n_draws, self.seed = cuts, n_draws, seed
        clouds = [str(galaxy) for galaxy in np.unique(galaxies)]
        self.members = [galaxies == cloud for cloud in clouds]
        self.galaxies = [*clouds, "all"]
        self.lost_by = np.zeros((len(cuts), len(galaxies)), dtype=np.int32)
        kinds = ("errors", "counting", "both")
        shape = (n_draws, len(self.galaxies))
        self.remaining = {kind: np.zeros((*shape, len(cuts)), dtype=np.int64) for kind in kinds}
        self.labelled = {kind: np.zeros((*shape, len(LABELS)), dtype=np.int64) for kind in kinds}
        self._fates: list[npt.NDArray[np.int64]] = []

    def start(self, first: npt.NDArray[np.int64], labels: npt.NDArray[np.str_]) -> None:
        """Take in the run itself, whose stars are counted again and again."""
        self._fates = [self._fate(first[mine], labels[mine]) for mine in self.members]

    def add(self, draw: int, first: npt.NDArray[np.int64], labels: npt.NDArray[np.str_]) -> None:
        lost = np.flatnonzero(first < len(self.cuts))
        self.lost_by[first[lost], lost] += 1
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(_COUNTS, draw)))
        for place, mine in enumerate(self.members):
            fate = self._fate(first[mine], labels[mine])
            self._put("errors", draw, place, fate)
            self._put("counting", draw, place, _resampled(self._fates[place], rng))
            self._put("both", draw, place, _resampled(fate, rng))

    def _fate(self, first: npt.NDArray[np.int64], labels: npt.NDArray[np.str_]) -> npt.NDArray[np.int64]:
        """Stars that each cut removes, then those that stay: O, B, and without a label."""
        n_cuts = len(self.cuts)
        removed = np.bincount(first, minlength=n_cuts + 1)
        stay = first == n_cuts
        labelled = [int((stay & (labels == label)).sum()) for label in LABELS]
        return np.array([*removed[:n_cuts], *labelled, removed[n_cuts] - sum(labelled)], dtype=np.int64)

    def _put(self, kind: str, draw: int, place: int, fate: npt.NDArray[np.int64]) -> None:
        n_cuts = len(self.cuts)
        after = fate.sum() - np.cumsum(fate[:n_cuts])
        for target in (place, -1):
            self.remaining[kind][draw, target] += after
            self.labelled[kind][draw, target] += fate[n_cuts : n_cuts + len(LABELS)]

    def result(self, unmoved: dict[str, int]) -> Bootstrap:
        return Bootstrap(self.n_draws, self.cuts, self.lost_by, self.galaxies, self.remaining, self.labelled, unmoved)


def _resampled(fate: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw as many stars as there are with replacement; only what became of them matters."""
    total = int(fate.sum())
    return rng.multinomial(total, fate / total) if total else fate


def draw_stars(
    stars: QTable,
    errors: ErrorModel,
    *,
    draw: int,
    seed: int,
    rows: npt.NDArray[np.int64] | None = None,
    n_stars: int | None = None,
) -> QTable:
    """Move stars by their errors.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Plain stars, as `cbminer.completeness.rejudging.plain_stars` makes them.
    errors : ErrorModel
        Errors that stars share.
    draw : int
        Number of the draw.
    seed : int
        Seed.
    rows : `~numpy.ndarray`, optional
        Rows of these stars in the whole table, so that a star moves alike whatever the others; all by default.
    n_stars : int, optional
        Stars of the whole table.

    Returns
    -------
    `~astropy.table.QTable`
        A copy with I, V, E(V-I), distance modulus, M_V, (V-I)_0, period, depths, W, c, asymmetry and phase of the
        secondary minimum moved. Errors, excess scatter and labels are those of the stars.

    Notes
    -----
    The distance of a Cloud moves all its stars together, and one zero point all reddenings; the depth along the line of
    sight, both magnitudes, the reddening and the shape move each star for itself. Of unequal errors of the reddening
    each side is half of a normal distribution. depth1 and depth_difference move together as their errors and that of
    depth2 imply, cov(d1, d1 - d2) = (e1^2 - e2^2 + e_diff^2) / 2; if the other minimum becomes the deeper one the two
    change places. Other shape parameters move independently, which is not so in truth.
    """
    normal = _Normals(seed, draw, np.arange(len(stars)) if rows is None else rows, n_stars or len(stars))
    result = stars.copy(copy_data=False)
    _move_distance(result, errors, normal)
    for name, size in (("I_mag", stars["e_I_mag"]), ("V_mag", stars["e_V_mag"])):
        result[name] = stars[name] + np.nan_to_num(size) * normal.of_stars(name)
    common = errors.e_E_VI_zero * normal.common("zero point")
    result["E_VI"] = stars["E_VI"] + common + _two_sided(stars, normal.of_stars("E_VI"))
    _follow_photometry(result, errors.extinction)
    _move_given(result, stars, normal)
    for name, is_size in _SHAPE.items():
        moved = stars[name] + np.nan_to_num(stars[f"e_{name}"]) * normal.of_stars(name)
        result[name] = np.abs(moved) if is_size else moved
    _move_depths(result, stars, normal)
    return result


class _Normals:
    """Normal numbers of one draw, the same for a star whichever others are asked for."""

    def __init__(self, seed: int, draw: int, rows: npt.NDArray[np.int64], n_stars: int) -> None:
        self.seed, self.draw, self.rows, self.n_stars = seed, draw, rows, n_stars

    def of_stars(self, name: str) -> FloatArray:
        drawn: FloatArray = self._generator(name).standard_normal(self.n_stars)[self.rows]
        return drawn

    def common(self, name: str) -> float:
        return float(self._generator(name).standard_normal())

    def _generator(self, name: str) -> np.random.Generator:
        key = (_ERRORS, self.draw, _STREAMS.index(name))
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))


def _move_distance(stars: QTable, errors: ErrorModel, normal: _Normals) -> None:
    galaxies = label_column(stars, "galaxy")
    shift = np.zeros(len(stars))
    depth = normal.of_stars("depth of the Cloud")
    for galaxy, distance in errors.distance.items():
        mine = galaxies == galaxy
        shift[mine] = distance.e_distance_modulus * normal.common(f"distance {galaxy}") + distance.depth * depth[mine]
    # Stars without a distance in common have each an error of their own.
    alone = ~np.isin(galaxies, list(errors.distance))
    shift[alone] = np.nan_to_num(stars["e_distance_modulus"][alone]) * depth[alone]
    stars["distance_modulus"] = stars["distance_modulus"] + shift


def _follow_photometry(stars: QTable, extinction: ExtinctionSettings) -> None:
    """Put M_V, (V-I)_0 and their errors in place, rounded as in the catalogue."""
    needed = ("I_mag", "V_mag", "E_VI", "e_E_VI", "distance_modulus", "e_distance_modulus")
    found = add_intrinsic_photometry(stars[list(needed)], extinction)
    for name in _PHOTOMETRY:
        spec = spec_of(name)
        # Adding 0.0 turns -0.0 into 0.0, as in the catalogue.
        stars[name] = np.round(values(found, name, spec.unit), spec.decimals) + 0.0


def _move_given(result: QTable, stars: QTable, normal: _Normals) -> None:
    """Move M_V and (V-I)_0 by their own errors where the table of stars gave one of both."""
    given = (np.asarray(stars["flags"]) & Flag.GIVEN_PHOTOMETRY) != 0
    if not given.any():
        return
    for name in ("M_V", "VI0"):
        moved = stars[name] + np.nan_to_num(stars[f"e_{name}"]) * normal.of_stars(f"given {name}")
        result[name] = np.where(given, moved, result[name])
        result[f"e_{name}"] = np.where(given, stars[f"e_{name}"], result[f"e_{name}"])
    result["cov_M_V_VI0"] = np.where(given, stars["cov_M_V_VI0"], result["cov_M_V_VI0"])


def _two_sided(stars: QTable, drawn: FloatArray) -> FloatArray:
    equal = stars["e_E_VI"]
    sides = [np.where(np.isnan(stars[name]), equal, stars[name]) for name in ("E_VI_err_minus", "E_VI_err_plus")]
    moved: FloatArray = np.nan_to_num(np.where(drawn < 0, sides[0], sides[1])) * drawn
    return moved


def _move_depths(result: QTable, stars: QTable, normal: _Normals) -> None:
    names = ("e_depth1", "e_depth2", "e_depth_difference")
    first, second, difference = (np.nan_to_num(np.asarray(stars[name])) for name in names)
    covariance = 0.5 * (first**2 - second**2 + difference**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.nan_to_num(np.clip(covariance / (first * difference), -1.0, 1.0))
    one, other = normal.of_stars("depth1"), normal.of_stars("depth_difference")
    depth1 = stars["depth1"] + first * one
    mixed = correlation * one + np.sqrt(1.0 - correlation**2) * other
    gap = stars["depth_difference"] + difference * mixed
    swapped = gap < 0
    result["depth1"] = np.where(swapped, depth1 - gap, depth1)
    result["depth2"] = np.where(swapped, depth1, depth1 - gap)
    result["depth_difference"] = np.abs(gap)
