"""Weights that make injected binaries stand for a population."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cbminer.columns import FloatArray
from cbminer.completeness.systems import InjectionKind, SystemLaws
from cbminer.theory.phases import Phase
from cbminer.theory.population import Population

__all__ = ["PHASES", "PopulationCells", "PopulationWeights", "population_weights"]

PHASES: Mapping[InjectionKind, Phase] = {"contact": Phase.CONTACT, "near_contact": Phase.NEAR_CONTACT}
# Cells of log P, M_V and q in which the population is compared with what was drawn: some dozens of binaries each.
_LOG_P_EDGES = np.arange(-0.6, 1.2001, 0.1)
_M_V_WIDTH, _Q_WIDTH = 0.5, 0.175


@dataclass(frozen=True)
class PopulationWeights:
    """Weights that make injected binaries stand for a population.

    Attributes
    ----------
    weight : `~numpy.ndarray`
        Share of the population over the share drawn at each binary, shape (n,).
    uncovered : float
        Share of the population, in the magnitudes that were drawn, where no binary was drawn.
    """

    weight: FloatArray
    uncovered: float


@dataclass(frozen=True)
class PopulationCells:
    """A population in cells of (log P, M_V, q), in the magnitudes that are drawn.

    Attributes
    ----------
    edges : tuple of `~numpy.ndarray`
        Edges of the cells in log P, M_V and q.
    share : `~numpy.ndarray`
        Share of the population in each cell; all of them and of what q leaves out add up to 1.
    """

    edges: tuple[FloatArray, FloatArray, FloatArray]
    share: FloatArray

    @classmethod
    def of(cls, kind: InjectionKind, *, population: Population, laws: SystemLaws) -> "PopulationCells":
        """Put a population into cells.

        Parameters
        ----------
        kind : {"contact", "near_contact"}
            The kind.
        population : Population
            The population.
        laws : SystemLaws
            What binaries are drawn from: its range of magnitudes and mass ratios.

        Returns
        -------
        PopulationCells
            The cells.
        """
        priors, margin = laws.injection.priors, laws.injection.margin_M_V
        low, high = laws.box.M_V_bright - margin, laws.box.M_V_faint + margin
        counts = population.settings.counts
        # No cell lies on both sides of a limit that decides what is counted.
        edges = (
            _with_limits(_LOG_P_EDGES, [float(np.log10(counts.period_max))]),
            _with_limits(_even_edges(low, high, _M_V_WIDTH), [counts.M_V_bright, counts.M_V_faint]),
            _even_edges(priors.least_mass_ratio, 1.0, _Q_WIDTH),
        )
        return cls(edges, _shares(population, PHASES[kind], edges))

    def weigh(self, truth: Mapping[str, FloatArray]) -> PopulationWeights:
        """Weigh binaries so that they stand for the population.

        Parameters
        ----------
        truth : mapping of str to `~numpy.ndarray`
            true_period, true_M_V and mass_ratio of the binaries, shape (n,).

        Returns
        -------
        PopulationWeights
            The weights; their mean is the share of the population where binaries were drawn.
        """
        places = _places(truth)
        drawn = np.histogramdd(places, bins=self.edges)[0] / len(places)
        ratio = np.divide(self.share, drawn, out=np.zeros_like(self.share), where=drawn > 0)
        return PopulationWeights(_looked_up(ratio, places, self.edges), 1.0 - float(self.share[drawn > 0].sum()))


def population_weights(
    truth: Mapping[str, FloatArray], kind: InjectionKind, *, population: Population, laws: SystemLaws
) -> PopulationWeights:
    """Weigh injected binaries of one kind by a population.

    Parameters
    ----------
    truth : mapping of str to `~numpy.ndarray`
        true_period, true_M_V and mass_ratio of the binaries, shape (n,).
    kind : {"contact", "near_contact"}
        Their kind.
    population : Population
        The population.
    laws : SystemLaws
        What the binaries were drawn from: its range of magnitudes and mass ratios.

    Returns
    -------
    PopulationWeights
        The weights; their mean is the share of the population where binaries were drawn.

    Notes
    -----
    Post-stratification: in each cell of (log P, M_V, q) the weights add up to the share of the population there. That
    is the density in (log P, M_V) times the distribution of q at the period: q and M_V at a period are taken to be
    independent, and the colour to be that of the drawn binary, the same function of both its stars. Fill-outs and
    radii stay as drawn, flat. To draw more in some cells than in others changes nothing but the errors.
    """
    return PopulationCells.of(kind, population=population, laws=laws).weigh(truth)


def _even_edges(low: float, high: float, width: float) -> FloatArray:
    """Edges of bins of about a width; a hair beyond the end, so that it is within."""
    return np.linspace(low, high + 1e-9, max(round((high - low) / width), 1) + 1)


def _with_limits(edges: FloatArray, limits: Sequence[float]) -> FloatArray:
    """Edges with some limits among them, in place of edges that are nearer to one than a fifth of a bin."""
    inside = [limit for limit in limits if edges[0] < limit < edges[-1]]
    nearest = 0.2 * float(np.diff(edges).min())
    ends = (edges == edges[0]) | (edges == edges[-1])
    far = np.array([all(abs(edge - limit) > nearest for limit in inside) for edge in edges])
    return np.union1d(edges[far | ends], inside)


def _places(truth: Mapping[str, FloatArray]) -> FloatArray:
    return np.column_stack([np.log10(truth["true_period"]), truth["true_M_V"], truth["mass_ratio"]])


def _shares(population: Population, phase: Phase, edges: Sequence[FloatArray]) -> FloatArray:
    """Share of the population in each cell; all of them and of what q leaves out add up to 1."""
    plane = population.density(phase, detected=False, counted=False).plane("log_P", "M_V")
    # Bins of the plane are of equal size.
    content = _rebinned(_rebinned(plane.density, plane.x_edges, edges[0]).T, plane.y_edges, edges[1]).T
    table = population.period_mass_ratio(phase)
    below = np.concatenate([[0.0], edges[2]])
    by_p = _rebinned(table.content, np.log10(table.period_edges), edges[0])
    by_q = _rebinned(by_p.T, table.mass_ratio_edges, below).T
    total = by_q.sum(axis=1, keepdims=True)
    # The density is smeared along log P, also to where no model is: there it has the mass ratios of all.
    every = np.broadcast_to(by_q.sum(axis=0) / max(by_q.sum(), np.finfo(float).tiny), by_q.shape)
    of_period = np.divide(by_q, total, out=every.copy(), where=total > 0)[:, 1:]
    shares: FloatArray = content[:, :, None] * of_period[:, None, :] / max(content.sum(), np.finfo(float).tiny)
    return shares


def _rebinned(content: FloatArray, old: FloatArray, new: FloatArray) -> FloatArray:
    """Share the content of bins along the first axis among other bins, as if it were even within each."""
    below = np.vstack([np.zeros(content.shape[1]), np.cumsum(content, axis=0)])
    return np.diff(np.column_stack([np.interp(new, old, column) for column in below.T]), axis=0)


def _looked_up(table: FloatArray, places: FloatArray, edges: Sequence[FloatArray]) -> FloatArray:
    """Entries of the cells that hold some places, 0 beyond all cells."""
    cells = [np.searchsorted(edge, places[:, axis], side="right") - 1 for axis, edge in enumerate(edges)]
    inside = np.all([(cell >= 0) & (cell < n) for cell, n in zip(cells, table.shape, strict=True)], axis=0)
    held = tuple(np.clip(cell, 0, n - 1) for cell, n in zip(cells, table.shape, strict=True))
    return np.asarray(np.where(inside, table[held], 0.0))
