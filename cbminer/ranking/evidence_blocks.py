"""Evidence of many stars, block by block: kept on disk, since it is gone through once a step of the fit."""

from collections.abc import Iterator

import numpy as np

from cbminer.array_blocks import ArrayBlocks
from cbminer.columns import FloatArray
from cbminer.ranking.hypotheses import HYPOTHESES
from cbminer.ranking.light_curves import CurveEvidence
from cbminer.ranking.mixture import PREDICTED, PopulationPlaces, StarEvidence

__all__ = ["EvidenceBlocks"]

_NAMES = tuple(HYPOTHESES[k] for k in PREDICTED)


class EvidenceBlocks:
    """Evidence of the stars of a survey.

    Parameters
    ----------
    evidence : iterator of StarEvidence
        What is known of the stars, block by block; the kinds of stars and the numbers of the population are those of
        the first block.

    Raises
    ------
    OutputError
        If there is no room for it.
    """

    def __init__(self, evidence: Iterator[StarEvidence]) -> None:
        self._arrays = ArrayBlocks()
        self._first: StarEvidence | None = None
        for block in evidence:
            self._first = self._first or _without_stars(block)
            self._arrays.append(_columns(block))

    def __len__(self) -> int:
        """Count the blocks."""
        return len(self._arrays)

    def __iter__(self) -> Iterator[StarEvidence]:
        """Read the evidence, block by block."""
        for data in self._arrays:
            yield self._evidence(data)

    def _evidence(self, data: FloatArray) -> StarEvidence:
        first = self._first
        assert first is not None  # noqa: S101 - there is a block
        n_kinds, n_names = len(first.curve.within), len(_NAMES)
        place, log_kind, density, in_period = np.split(data, np.cumsum([3, n_kinds, n_names]), axis=1)
        population = PopulationPlaces(
            {name: density[:, k] for k, name in enumerate(_NAMES)},
            {name: in_period[:, k] for k, name in enumerate(_NAMES)},
            first.population.number,
        )
        curve = CurveEvidence(np.ascontiguousarray(log_kind), first.curve.hypothesis, first.curve.within)
        return StarEvidence(place, curve, population)


def _columns(block: StarEvidence) -> FloatArray:
    population = block.population
    theory = [places[name] for places in (population.density, population.in_period) for name in _NAMES]
    return np.column_stack([block.place, block.curve.log_kind, *theory])


def _without_stars(block: StarEvidence) -> StarEvidence:
    """Keep what is the same for all stars."""
    nothing = np.empty(0)
    curve = CurveEvidence(np.empty((0, len(block.curve.within))), block.curve.hypothesis, block.curve.within)
    nowhere = dict.fromkeys(_NAMES, nothing)
    return StarEvidence(np.empty((0, 3)), curve, PopulationPlaces(nowhere, nowhere, block.population.number))
