"""Which stars a report lists, and which others its diagrams hold as points."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cbminer.columns import values
from cbminer.judged import JudgedBlocks, star_rows
from cbminer.selection.cutflow import CATALOGUE_LEVEL_COLUMNS, judge_catalogue
from cbminer.settings import Settings

__all__ = ["StarsShown", "choose_stars_shown"]


@dataclass(frozen=True)
class StarsShown:
    """Stars of a report.

    Attributes
    ----------
    rows : `~numpy.ndarray`
        Their places among the judged stars: first the listed ones, in their order, then the others of the diagrams.
    n_listed : int
        Stars of the list.
    n_candidates : int
        Candidates of the run.
    """

    rows: npt.NDArray[np.int64]
    n_listed: int
    n_candidates: int


def choose_stars_shown(
    judged: JudgedBlocks, stars: Sequence[str], most: int | None, *, run: Path, settings: Settings
) -> StarsShown:
    """Choose the stars of a report.

    Parameters
    ----------
    judged : JudgedBlocks
        Judged stars of the run.
    stars : sequence of str
        Stars to list, in this order; none for the candidates.
    most : int or None
        Candidates to list, the first by rank.
    run : `~pathlib.Path`
        Folder of the run, for messages.
    settings : Settings
        The cuts, and how many stars are shown.

    Returns
    -------
    StarsShown
        The stars.

    Raises
    ------
    UnknownStarError
        If a star is not in the run.
    """
    candidates = _candidate_rows(judged)
    most = settings.report.table_max if most is None else most
    listed = star_rows(judged, stars, run=run) if stars else candidates[:most]
    others, probability = _diagram_rows(judged, settings)
    free = ~np.isin(others, listed)
    others, probability = others[free], probability[free]
    # Those that are most probably in contact stay where there is not room for all.
    room = max(settings.report.points_max - len(listed), 0)
    others = np.sort(others[np.argsort(-probability, kind="stable")][:room])
    return StarsShown(np.concatenate([listed, others]), len(listed), len(candidates))


def _candidate_rows(judged: JudgedBlocks) -> npt.NDArray[np.int64]:
    """Places of the candidates, in the order of their rank."""
    selected, rank = (
        np.concatenate([values(block, name) for block in judged.columns([name])]) for name in ("selected", "rank")
    )
    found = np.flatnonzero(selected > 0)
    return found[np.argsort(rank[found], kind="stable")]


def _diagram_rows(judged: JudgedBlocks, settings: Settings) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Places of the stars of the right colour, magnitude and period, and their probability of contact."""
    masks, probabilities = [], []
    for block in judged.columns([*CATALOGUE_LEVEL_COLUMNS, "post_contact"]):
        mask = judge_catalogue(block, settings.selection)
        masks.append(mask)
        probabilities.append(np.nan_to_num(values(block, "post_contact")[mask]))
    return np.flatnonzero(np.concatenate(masks)), np.concatenate(probabilities)
