"""The cut-flow: every cut in turn, every star counted, every reason kept."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from astropy.table import QTable

from cbminer.blocks import Blocks, blocks_of
from cbminer.columns import values
from cbminer.flags import Flag
from cbminer.quantities import SettingsModel
from cbminer.selection.conditions import Verdict
from cbminer.selection.cuts import (
    Cut,
    EqualDepthsCut,
    MainSequenceCut,
    MorphologyCut,
    PeriodCut,
    PLCCut,
    RequiredDataCut,
    SmoothShapeCut,
    TypeCut,
)

__all__ = [
    "CATALOGUE_LEVEL",
    "CATALOGUE_LEVEL_COLUMNS",
    "CutflowCounts",
    "SelectionSettings",
    "judge",
    "judge_catalogue",
    "tabulate_cutflow",
]


class SelectionSettings(SettingsModel):
    """All cuts, in the order in which they are applied."""

    type: TypeCut = TypeCut()
    data: RequiredDataCut = RequiredDataCut()
    main_sequence: MainSequenceCut = MainSequenceCut()
    period: PeriodCut = PeriodCut()
    plc: PLCCut = PLCCut()
    equal_depths: EqualDepthsCut = EqualDepthsCut()
    smooth_shape: SmoothShapeCut = SmoothShapeCut()
    morphology: MorphologyCut = MorphologyCut()

    @property
    def cuts(self) -> list[Cut]:
        """The cuts in the order in which they are applied."""
        return [
            self.type,
            self.data,
            self.main_sequence,
            self.period,
            self.plc,
            self.equal_depths,
            self.smooth_shape,
            self.morphology,
        ]


# The first cuts need no light curve: they decide which light curves have to be fetched.
CATALOGUE_LEVEL = 5
CATALOGUE_LEVEL_COLUMNS = (
    "type", "V_mag", "I_mag", "period", "T0", "VI0", "e_VI0", "M_V", "plc_significance", "flags",
)  # fmt: skip


@dataclass(frozen=True)
class _Stage:
    """One cut with its verdict and the stars before and after it."""

    cut: Cut
    verdict: Verdict
    before: npt.NDArray[np.bool_]
    after: npt.NDArray[np.bool_]


def _stages(stars: QTable, cuts: Sequence[Cut]) -> Iterator[_Stage]:
    before = np.ones(len(stars), dtype=bool)
    for cut in cuts:
        verdict = cut.apply(stars)
        after = before & cut.keeps(verdict)
        yield _Stage(cut, verdict, before, after)
        before = after


def judge_catalogue(stars: QTable, settings: SelectionSettings) -> npt.NDArray[np.bool_]:
    """Stars that pass the cuts for which no light curve is needed.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        A row a star, with photometry and residuals.
    settings : SelectionSettings
        The cuts.

    Returns
    -------
    `~numpy.ndarray`
        Mask of the stars whose light curves are needed.
    """
    remaining = np.ones(len(stars), dtype=bool)
    for stage in _stages(stars, settings.cuts[:CATALOGUE_LEVEL]):
        remaining = stage.after
    return remaining


def judge(stars: QTable, settings: SelectionSettings) -> QTable:
    """Apply every cut and write the outcome into the table.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        A row a star, with every column that the cuts use.
    settings : SelectionSettings
        The cuts.

    Returns
    -------
    `~astropy.table.QTable`
        A copy with the columns selected, rejected_by, failed, undecided, and with flags completed. Bit i of failed and
        undecided stands for cut i, counted from 0.
    """
    result = stars.copy()
    n_stars = len(stars)
    failed, undecided = np.zeros(n_stars, dtype=np.int64), np.zeros(n_stars, dtype=np.int64)
    rejected_by = np.full(n_stars, "", dtype=object)
    selected = np.ones(n_stars, dtype=bool)
    for index, stage in enumerate(_stages(stars, settings.cuts)):
        failed |= np.where(stage.verdict.failed, 1 << index, 0)
        undecided |= np.where(stage.verdict.undecided, 1 << index, 0)
        out = stage.before & ~stage.after
        rejected_by[out] = [f"{stage.cut.name}: {reason}" for reason in stage.verdict.reason[out]]
        selected = stage.after
    result["selected"] = selected
    result["rejected_by"] = rejected_by.astype(str)
    result["failed"], result["undecided"] = failed, undecided
    result["flags"] = _completed_flags(stars)
    return result


def _completed_flags(stars: QTable) -> npt.NDArray[np.int64]:
    flags = np.asarray(stars["flags"], dtype=np.int64)
    return flags | np.where(np.isnan(values(stars, "c")), int(Flag.C_UNKNOWN), 0)


@dataclass
class _CutCount:
    """Stars that one cut has met."""

    n_in: int = 0
    n_out: int = 0
    n_failed: int = 0
    n_undecided: int = 0
    n_kept_undecided: int = 0
    n_failed_alone: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, stage: _Stage) -> None:
        out = stage.before & ~stage.after
        self.n_in += int(stage.before.sum())
        self.n_out += int(stage.after.sum())
        self.n_failed += int((out & stage.verdict.failed).sum())
        self.n_undecided += int((out & stage.verdict.undecided).sum())
        self.n_kept_undecided += int((stage.after & stage.verdict.undecided).sum())
        self.n_failed_alone += int(stage.verdict.failed.sum())
        self.reasons.update(str(reason) for reason in stage.verdict.reason[out])


class CutflowCounts:
    """The cut-flow of stars that come block by block.

    Parameters
    ----------
    settings : SelectionSettings
        The cuts.
    """

    def __init__(self, settings: SelectionSettings) -> None:
        self._cuts = settings.cuts
        self._counts = [_CutCount() for _ in self._cuts]

    def add(self, stars: QTable) -> None:
        """Count the stars of a block.

        Parameters
        ----------
        stars : `~astropy.table.QTable`
            Part of the table that `judge` was given, or of the one that it made.
        """
        for count, stage in zip(self._counts, _stages(stars, self._cuts), strict=True):
            count.add(stage)

    def table(self) -> QTable:
        """Tabulate what was counted; see `tabulate_cutflow`.

        Returns
        -------
        `~astropy.table.QTable`
            A row a cut.
        """
        table = QTable(rows=[_cutflow_row(cut, count) for cut, count in zip(self._cuts, self._counts, strict=True)])
        for name, description in _DESCRIPTIONS.items():
            table[name].info.description = description
        return table


_DESCRIPTIONS = {
    "cut": "Cut, in the order of application",
    "n_in": "Stars before the cut",
    "n_out": "Stars after the cut",
    "n_failed": "Stars removed because a number is outside of its limit",
    "n_undecided": "Stars removed because a number is not known",
    "n_kept_undecided": "Stars kept although a number is not known",
    "n_failed_alone": "Stars of the whole table that this cut fails, whatever the others say",
    "reasons": "Stars removed by each reason, the first that applies",
}


def _cutflow_row(cut: Cut, count: _CutCount) -> dict[str, int | str]:
    text = "; ".join(f"{reason}: {number}" for reason, number in sorted(count.reasons.items()))
    numbers = {name: getattr(count, name) for name in _DESCRIPTIONS if name.startswith("n_")}
    return {"cut": cut.name, **numbers, "reasons": text}


def tabulate_cutflow(stars: QTable | Blocks, settings: SelectionSettings) -> QTable:
    """Count the stars in and out of every cut, and why they went.

    Parameters
    ----------
    stars : `~astropy.table.QTable` or blocks
        The table that `judge` was given, or the one that it made.
    settings : SelectionSettings
        The cuts.

    Returns
    -------
    `~astropy.table.QTable`
        A row a cut: cut, n_in, n_out, n_failed, n_undecided (stars dropped for want of a number), n_kept_undecided,
        n_failed_alone (stars of the whole table that this cut fails, whatever the others say) and reasons. Always
        n_in = n_out + n_failed + n_undecided.
    """
    counts = CutflowCounts(settings)
    for block in blocks_of(stars):
        counts.add(block)
    return counts.table()
