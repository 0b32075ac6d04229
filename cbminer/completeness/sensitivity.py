"""The sample as a function of the limits of the cuts: one at a time, all together, and two in a plane."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray
from cbminer.completeness.limits import Limit, Response, changed, loosened, numeric_settings, response_of
from cbminer.completeness.rejudging import Mask, Rejudging, bona_fide_of
from cbminer.completeness.sensitivity_settings import SensitivitySettings
from cbminer.errors import RelationError
from cbminer.monitor import Monitor
from cbminer.selection.cutflow import SelectionSettings

__all__ = [
    "GROUPS",
    "JointScan",
    "PlaneScan",
    "SampleCounts",
    "Scan",
    "Sensitivity",
    "SensitivitySettings",
    "measure_sensitivity",
    "scan_limit",
]

GROUPS = ("all", "O", "B", "bona_fide")
# The derivative is taken over this share of a value to each side.
_SHARE = 0.1


@dataclass(frozen=True)
class SampleCounts:
    """Numbers of the sample at values of settings.

    Attributes
    ----------
    counts : `~numpy.ndarray`
        Stars of all, O, B and the bona fide set, shape (n_values, 4); NaN where the relation could not be fitted, and
        in the last column for a run without that set.
    selected : `~numpy.ndarray`
        Whether each star is in, shape (n_values, n).
    unread : `~numpy.ndarray`
        Stars that pass the cuts of the catalogue but whose light curves the run did not read, shape (n_values,).
    """

    counts: FloatArray
    selected: Mask
    unread: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Scan:
    """The sample as a function of one limit.

    Attributes
    ----------
    limit : Limit
        The limit.
    response : Response
        Direction in which it lets stars in, range, typical error.
    values : `~numpy.ndarray`
        Its values, rising, that of the run and those 10 % beside it among them, shape (n_values,).
    sample : SampleCounts
        Numbers at these values.
    """

    limit: Limit
    response: Response
    values: FloatArray
    sample: SampleCounts

    @property
    def of_run(self) -> int:
        """Index of the run's value."""
        return int(np.argmin(np.abs(self.values - self.limit.value)))

    @property
    def beside(self) -> tuple[int, int]:
        """Indices of the values 10 % tighter and looser, or lower and higher where neither lets stars in."""
        wanted = (loosened(self.limit, self.response, share) for share in (-_SHARE, _SHARE))
        tight, loose = (int(np.argmin(np.abs(self.values - value))) for value in wanted)
        return tight, loose

    @property
    def per_10_percent(self) -> FloatArray:
        """Stars for 10 % of the value by the central difference, in the order of `GROUPS`."""
        tight, loose = self.beside
        span = abs(self.values[loose] - self.values[tight])
        if span == 0:
            return np.full(len(GROUPS), np.nan)
        share = span / (_SHARE * self.response.scale)
        rate: FloatArray = (self.sample.counts[loose] - self.sample.counts[tight]) / share
        return rate

    @property
    def per_unit(self) -> FloatArray:
        """Stars for a unit of the value by the same difference, positive where a higher value lets stars in."""
        tight, loose = self.beside
        span = self.values[loose] - self.values[tight]
        if span == 0:
            return np.full(len(GROUPS), np.nan)
        rate: FloatArray = (self.sample.counts[loose] - self.sample.counts[tight]) / span + 0.0
        return rate

    @property
    def moved(self) -> tuple[int, int]:
        """Stars that come where the limit is 10 % looser, and that go where it is 10 % tighter; 0 where unknown."""
        tight, loose = self.beside
        chosen, now = self.sample.selected, self.sample.selected[self.of_run]
        come, go = (
            int((chosen[index] != now).sum()) if known else 0
            for index, known in zip((loose, tight), self.known, strict=True)
        )
        return come, go

    @property
    def known(self) -> tuple[bool, bool]:
        """Whether the sample is known where the limit is 10 % looser, and where it is 10 % tighter."""
        tight, loose = self.beside
        return bool(np.isfinite(self.sample.counts[loose, 0])), bool(np.isfinite(self.sample.counts[tight, 0]))

    @property
    def per_error(self) -> float:
        """Stars by which the sample changes if the limit moves by one typical error of what it limits."""
        size = self.response.typical_error
        if not size > 0:
            return np.nan
        ends = np.clip([self.limit.value - size, self.limit.value + size], self.values[0], self.values[-1])
        numbers = np.interp(ends, self.values, self.sample.counts[:, 0])
        return float(abs(numbers[1] - numbers[0]) / (ends[1] - ends[0]) * size)


@dataclass(frozen=True)
class JointScan:
    """The sample with every limit loosened by the same share of its value.

    Attributes
    ----------
    shares : `~numpy.ndarray`
        Shares, below 0 tighter, shape (n_values,).
    limits : list of Limit
        Limits that move: those with a direction.
    sample : SampleCounts
        Numbers at these shares.
    """

    shares: FloatArray
    limits: list[Limit]
    sample: SampleCounts


@dataclass(frozen=True)
class PlaneScan:
    """The sample over two limits.

    Attributes
    ----------
    x, y : Limit
        The limits.
    x_values, y_values : `~numpy.ndarray`
        Their values, shapes (n_x,) and (n_y,).
    counts : `~numpy.ndarray`
        Stars of the sample, shape (n_y, n_x); NaN where the relation could not be fitted.
    """

    x: Limit
    y: Limit
    x_values: FloatArray
    y_values: FloatArray
    counts: FloatArray


@dataclass(frozen=True)
class Sensitivity:
    """How the sample answers to the limits of its cuts.

    Attributes
    ----------
    scans : list of Scan
        One limit at a time, that which moves most stars first.
    joint : JointScan
        All of them together.
    plane : PlaneScan or None
        The two limits that move most stars; None if there are no two.
    """

    scans: list[Scan]
    joint: JointScan
    plane: PlaneScan | None


def measure_sensitivity(
    rejudging: Rejudging, *, settings: SensitivitySettings, monitor: Monitor | None = None
) -> Sensitivity:
    """Judge the stars of a run again at many values of every limit.

    Parameters
    ----------
    rejudging : Rejudging
        The run.
    settings : SensitivitySettings
        How many values.
    monitor : Monitor, optional
        Told of the progress.

    Returns
    -------
    Sensitivity
        The sample one limit at a time, jointly, and in the plane of the two that move most stars.
    """
    limits = numeric_settings(rejudging.settings)
    scans = []
    with (monitor or Monitor()).step("moving the limits", len(limits) + 2) as advance:
        for limit in limits:
            scans.append(scan_limit(rejudging, limit, n_values=settings.n_values))
            advance(1)
        # Those of which nothing is known come last; the order of the settings decides between equal ones.
        scans.sort(key=lambda scan: (not any(scan.known), -sum(scan.moved)))
        joint = _scan_jointly(rejudging, scans, settings)
        advance(1)
        plane = _scan_plane(rejudging, scans, settings.map_values)
        advance(1)
    return Sensitivity(scans, joint, plane)


def scan_limit(rejudging: Rejudging, limit: Limit, *, n_values: int = 41) -> Scan:
    """Judge the stars of a run again at values of one limit.

    Parameters
    ----------
    rejudging : Rejudging
        The run.
    limit : Limit
        The limit.
    n_values : int, optional
        Values, even over the range; that of the run and those 10 % beside it come in addition.

    Returns
    -------
    Scan
        The sample at each value.
    """
    response = response_of(rejudging, limit)
    even = np.linspace(response.low, response.high, n_values)
    beside = [loosened(limit, response, share) for share in (-_SHARE, 0.0, _SHARE)]
    grid = np.unique(np.concatenate([even, beside]))
    return Scan(limit, response, grid, _count(rejudging, [{limit: float(value)} for value in grid]))


def _count(rejudging: Rejudging, changes: Sequence[Mapping[Limit, float]]) -> SampleCounts:
    counts = np.full((len(changes), len(GROUPS)), np.nan)
    selected = np.zeros((len(changes), len(rejudging.stars)), dtype=bool)
    unread = np.zeros(len(changes), dtype=np.int64)
    for index, change in enumerate(changes):
        settings = changed(rejudging.settings, change)
        try:
            selected[index], not_read = rejudging.judged(settings)
        except RelationError:
            # The counts stay unknown: no relation can be fitted to what these limits leave.
            continue
        counts[index] = _counts(rejudging, selected[index], settings)
        unread[index] = not_read.sum()
    return SampleCounts(counts, selected, unread)


def _counts(rejudging: Rejudging, selected: Mask, settings: SelectionSettings) -> list[float]:
    labels = rejudging.labels(settings)[selected]
    trusted = bona_fide_of(rejudging.stars)
    n_trusted = np.nan if trusted is None else float((selected & trusted).sum())
    return [float(selected.sum()), float((labels == "O").sum()), float((labels == "B").sum()), n_trusted]


def _scan_jointly(rejudging: Rejudging, scans: Sequence[Scan], settings: SensitivitySettings) -> JointScan:
    moving = [scan for scan in scans if scan.response.direction]
    shares = np.linspace(-settings.joint_share, settings.joint_share, settings.n_values)
    # An even number of values leaves the run out.
    shares = np.unique(np.append(shares[np.abs(shares) > 1e-12], 0.0))
    changes = [{scan.limit: loosened(scan.limit, scan.response, float(share)) for scan in moving} for share in shares]
    return JointScan(shares, [scan.limit for scan in moving], _count(rejudging, changes))


def _scan_plane(rejudging: Rejudging, scans: Sequence[Scan], n_values: int) -> PlaneScan | None:
    first = [scan for scan in scans if scan.response.direction and sum(scan.moved)][:2]
    if len(first) < 2:
        return None
    x, y = first
    x_values, y_values = (np.linspace(scan.values[0], scan.values[-1], n_values) for scan in first)
    changes = [{x.limit: float(a), y.limit: float(b)} for b in y_values for a in x_values]
    counts = np.full(len(changes), np.nan)
    for index, change in enumerate(changes):
        try:
            counts[index] = rejudging.selected(changed(rejudging.settings, change)).sum()
        except RelationError:
            # Unknown, as in a scan.
            continue
    return PlaneScan(x.limit, y.limit, x_values, y_values, counts.reshape(n_values, n_values))
