"""Places of the stars of all Clouds in one list, which no single block of stars can tell."""

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from astropy.table import QTable

from cbminer.blocks import columns_of
from cbminer.catalogue.schema import conform
from cbminer.columns import float_column, label_column, values
from cbminer.ranking.odds import contact_ranks
from cbminer.selection.cutflow import CATALOGUE_LEVEL_COLUMNS, judge_catalogue
from cbminer.settings import Settings
from cbminer.star_blocks import StarBlocks, stack_blocks

__all__ = ["rank_blocks"]

_KEYS = ("post_contact", "ln_odds")
_Mask = npt.NDArray[np.bool_]


def rank_blocks(clouds: Sequence[Iterable[QTable]], settings: Settings) -> list[StarBlocks]:
    """Rank the stars of all Clouds in one list.

    Parameters
    ----------
    clouds : sequence of iterables of `~astropy.table.QTable`
        Judged stars with their odds, in blocks, by Cloud; gone through twice.
    settings : Settings
        The cuts on the catalogue, which ``contact_rank`` asks for.

    Returns
    -------
    list of StarBlocks
        The same blocks with their ranks, in the schema, by Cloud.
    """
    rank, contact_rank = _Places(), _Places()
    needed = [*CATALOGUE_LEVEL_COLUMNS, *_KEYS, "id", "selected"]
    for block in itertools.chain.from_iterable(columns_of(cloud, needed) for cloud in clouds):
        rank.add(block, np.asarray(block["selected"], dtype=bool))
        known = np.isfinite(values(block, "post_contact"))
        contact_rank.add(block, judge_catalogue(block, settings.selection) & known)
    ranked, columns = [], zip(rank.columns(), contact_rank.columns(), strict=True)
    for cloud in clouds:
        result = StarBlocks()
        for block in cloud:
            block["rank"], block["contact_rank"] = next(columns)
            result.append(conform(block))
        ranked.append(result)
    return ranked


class _Places:
    """Stars that get a place in a list, with what the place goes by; of the others only that they get none."""

    def __init__(self) -> None:
        self._masks: list[_Mask] = []
        self._keys: list[QTable] = []

    def add(self, block: QTable, chosen: _Mask) -> None:
        keys = QTable({"id": label_column(block, "id")[chosen]})
        for name in _KEYS:
            keys[name] = float_column(values(block, name)[chosen])
        self._masks.append(chosen)
        self._keys.append(keys)

    def columns(self) -> Iterator[npt.NDArray[np.int64]]:
        """Give the places of the stars of every block, 0 for those without one."""
        everyone = stack_blocks(self._keys)
        places = contact_ranks(everyone, np.ones(len(everyone), dtype=bool))
        for chosen in self._masks:
            column = np.zeros(len(chosen), dtype=np.int64)
            column[chosen], places = places[: chosen.sum()], places[chosen.sum() :]
            yield column
