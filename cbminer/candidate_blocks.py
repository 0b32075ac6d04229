"""Candidates in the order of their rank, in tables that fit into memory however many they are."""

from collections.abc import Iterable, Iterator

import numpy as np
from astropy.table import QTable

from cbminer.catalogue.schema import conform
from cbminer.star_blocks import STARS_A_BLOCK, StarBlocks, stack_blocks

__all__ = ["CandidateBlocks"]


class CandidateBlocks:
    """Candidates of a run, kept on disk.

    Parameters
    ----------
    judged : iterable of `~astropy.table.QTable`
        Judged and ranked stars in blocks, one at least; gone through once.

    Raises
    ------
    OutputError
        If there is no room for them.
    """

    def __init__(self, judged: Iterable[QTable]) -> None:
        self._parts: dict[int, StarBlocks] = {}
        nothing: QTable | None = None
        for block in judged:
            chosen = block[np.asarray(block["selected"], dtype=bool)]
            nothing = chosen[:0] if nothing is None else nothing
            # Stars of neighbouring ranks come from all over the survey: each goes to those it is listed with.
            part = (np.asarray(chosen["rank"]) - 1) // STARS_A_BLOCK
            for number in np.unique(part).tolist():
                self._parts.setdefault(number, StarBlocks()).append(chosen[part == number])
        self._nothing = conform(nothing)

    def __len__(self) -> int:
        """Count the candidates."""
        return sum(map(len, self._parts.values()))

    def __iter__(self) -> Iterator[QTable]:
        """Read the candidates, those of the first ranks first; a table without rows if there are none."""
        for number in sorted(self._parts):
            stars = self._parts[number].read()
            yield conform(stars[np.argsort(np.asarray(stars["rank"]), kind="stable")])
        if not self._parts:
            yield self._nothing

    def first(self, number: int) -> QTable:
        """Read the candidates of the first ranks.

        Parameters
        ----------
        number : int
            How many, if there are so many.

        Returns
        -------
        `~astropy.table.QTable`
            The candidates.
        """
        found: list[QTable] = []
        for block in self:
            found.append(block[: number - sum(map(len, found))])
            if sum(map(len, found)) >= number:
                break
        return conform(stack_blocks(found))
