"""Weights of the runs of a grid: the part of what is born that each of them stands for."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull, QhullError, cKDTree
from scipy.stats import qmc

from cbminer.columns import FloatArray, label_column, values
from cbminer.errors import InputFormatError
from cbminer.theory.birth import BirthLaws
from cbminer.theory.grid import EvolutionGrid

__all__ = ["InitialCells", "IrregularCells", "RegularCells", "initial_cells"]

# Values of an axis that differ by less than this part of its range are one value.
_SAME = 1e-3
# A grid of which half of the crossings of its axes are there is a regular one with holes; so is one whose axes have
# few values for its runs, which points at any places never have.
_LEAST_FILLING, _FEW_VALUES = 0.5, 2.0 / 3.0
# Runs nearer to each other than this part of the range of each axis are the same; so are log M, q or log P of all runs
# if they differ by less.
_SAME_RUN = 1e-4
_GAUSS_NODES, _GAUSS_WEIGHTS = np.polynomial.legendre.leggauss(3)
# Points of the Monte Carlo a run, and of it all.
_POINTS_A_RUN, _LEAST_POINTS, _MOST_POINTS = 64, 2**16, 2**19


@dataclass(frozen=True)
class RegularCells:
    """Cells of a grid whose runs stand at the crossings of three axes.

    Attributes
    ----------
    mass_axis : {"primary", "total"}
        What the axis of masses is: the initial mass of the primary or of both stars.
    mass, mass_ratio, log_period : `~numpy.ndarray`
        Lower and upper edge of the cell of each run in solar masses, in q, and in log P in days; shape (n, 2).
    all_edges : tuple of `~numpy.ndarray`
        Edges of the cells along the three axes.
    n_missing : int
        Crossings without a run.
    """

    mass_axis: Literal["primary", "total"]
    mass: FloatArray
    mass_ratio: FloatArray
    log_period: FloatArray
    all_edges: tuple[FloatArray, FloatArray, FloatArray]
    n_missing: int

    @property
    def description(self) -> str:
        """The cells in words."""
        shape = " x ".join(str(len(edges) - 1) for edges in self.all_edges)
        holes = f", {self.n_missing} of its crossings without a run" if self.n_missing else ""
        return f"regular in {self.mass_axis} mass, q and log P, {shape}{holes}; edges halfway between the runs"

    def weights(self, laws: BirthLaws, *, period_shift: float = 0.0) -> FloatArray:
        """Pairs that each run stands for.

        Parameters
        ----------
        laws : BirthLaws
            What is born.
        period_shift : float, optional
            Dex by which the runs stand for longer periods than they were computed with.

        Returns
        -------
        `~numpy.ndarray`
            Pairs per solar mass formed, had every primary a companion; shape (n,).
        """
        shares = laws.period_share(self.log_period[:, 0] + period_shift, self.log_period[:, 1] + period_shift)
        weights: FloatArray = self._masses(laws, self.mass, self.mass_ratio) * shares
        return weights

    def whole(self, laws: BirthLaws) -> float:
        """Pairs in all cells, with and without a run.

        Parameters
        ----------
        laws : BirthLaws
            What is born.

        Returns
        -------
        float
            Pairs per solar mass formed.
        """
        masses, ratios, periods = (np.column_stack([edges[:-1], edges[1:]]) for edges in self.all_edges)
        rows, columns = np.divmod(np.arange(len(masses) * len(ratios)), len(ratios))
        born = self._masses(laws, masses[rows], ratios[columns]).sum()
        return float(born * laws.period_share(periods[0, 0], periods[-1, 1]))

    def _masses(self, laws: BirthLaws, mass: FloatArray, mass_ratio: FloatArray) -> FloatArray:
        if self.mass_axis == "primary":
            plain: FloatArray = laws.primaries(mass[:, 0], mass[:, 1]) * laws.mass_ratio_share(
                mass_ratio[:, 0], mass_ratio[:, 1]
            )
            return plain
        # At a fixed total mass the primary depends on the mass ratio, so this integral is done by Gauss's rule, which
        # the jump at the least mass ratio of the law would spoil.
        total = np.zeros(len(mass))
        mass_ratio = np.clip(mass_ratio, laws.mass_ratios.least, 1.0)
        middle, half = mass_ratio.mean(axis=1), np.diff(mass_ratio, axis=1)[:, 0] / 2.0
        for node, weight in zip(_GAUSS_NODES, _GAUSS_WEIGHTS, strict=True):
            q = middle + half * node
            born = laws.primaries(mass[:, 0] / (1.0 + q), mass[:, 1] / (1.0 + q))
            total += weight * half * laws.mass_ratio_density(q) * born
        return total


@dataclass(frozen=True)
class IrregularCells:
    """Cells of runs at any places: each stands for what is nearest to it, within the hull of all.

    Attributes
    ----------
    n_runs : int
        Number of runs.
    nearest : `~numpy.ndarray`
        Run nearest to each point of the Monte Carlo; int64, shape (m,).
    mass, mass_ratio, log_period : `~numpy.ndarray`
        The points: primary mass in solar masses, q, log P in days; shape (m,).
    volume : float
        What a point stands for, in dex of mass times q times dex of period.
    box : tuple of tuple of float
        Least and most initial primary mass in solar masses, q, and log P of the runs.
    """

    n_runs: int
    nearest: npt.NDArray[np.int64]
    mass: FloatArray
    mass_ratio: FloatArray
    log_period: FloatArray
    volume: float
    box: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]

    @property
    def description(self) -> str:
        """The cells in words."""
        return (
            f"irregular: each of {self.n_runs:,} runs stands for what is nearest to it in log M1, q and log P, each "
            f"over its range, within the hull of all runs; {len(self.nearest):,} points"
        )

    def weights(self, laws: BirthLaws, *, period_shift: float = 0.0) -> FloatArray:
        """Pairs that each run stands for.

        Parameters
        ----------
        laws : BirthLaws
            What is born.
        period_shift : float, optional
            Dex by which the runs stand for longer periods than they were computed with.

        Returns
        -------
        `~numpy.ndarray`
            Pairs per solar mass formed, had every primary a companion; shape (n_runs,).
        """
        density = (
            laws.primary_density(self.mass)
            * self.mass
            * np.log(10.0)
            * laws.mass_ratio_density(self.mass_ratio)
            * laws.period_density(self.log_period + period_shift)
        )
        weights = np.bincount(self.nearest, weights=density * self.volume, minlength=self.n_runs)
        return weights.astype(np.float64)

    def whole(self, laws: BirthLaws) -> float:
        """Pairs in the box of all runs, of which the hull of the cells leaves the corners out.

        Parameters
        ----------
        laws : BirthLaws
            What is born.

        Returns
        -------
        float
            Pairs per solar mass formed.
        """
        mass, ratio, period = self.box
        return float(laws.primaries(*mass) * laws.mass_ratio_share(*ratio) * laws.period_share(*period))


InitialCells = RegularCells | IrregularCells


def initial_cells(grid: EvolutionGrid) -> InitialCells:
    """Cells of the runs of a grid in initial mass, mass ratio and period.

    Parameters
    ----------
    grid : EvolutionGrid
        Models of one metallicity.

    Returns
    -------
    RegularCells or IrregularCells
        Regular cells if at least half of the crossings of three axes are there, in the mass of the primary or in that
        of both stars, or if each axis has at most two thirds as many values as there are runs; else irregular ones.

    Raises
    ------
    InputFormatError
        If the grid has several metallicities, a run without initial values, two runs of the same, or no extent in one
        of the three.

    Notes
    -----
    Regular edges lie halfway between neighbours, in log M, q and log P; the outer ones as far outside as the next one
    is inside, and q not above 1.
    """
    names = label_column(grid.runs, "run")
    m1, m2 = values(grid.runs, "M1_initial", "solMass"), values(grid.runs, "M2_initial", "solMass")
    log_period = np.log10(values(grid.runs, "period_initial", "d"))
    _check_one_metallicity(values(grid.runs, "Z"))
    unknown = np.flatnonzero(~np.isfinite(m1 + m2 + log_period))
    if len(unknown):
        msg = f"run {names[unknown[0]]} has no initial masses or period: leave it out, or import it with them"
        raise InputFormatError(msg)
    places = np.column_stack([np.log10(m1), m2 / m1, log_period])
    _check_extent(places)
    _check_different(places, names)
    axes: dict[Literal["primary", "total"], FloatArray] = {"primary": m1, "total": m1 + m2}
    candidates = {kind: _Lattice.of(np.log10(mass), m2 / m1, log_period) for kind, mass in axes.items()}
    best = max(candidates, key=lambda kind: candidates[kind].filling)
    if candidates[best].is_regular:
        candidates[best].check(names)
        return _regular(best, candidates[best])
    return _irregular(*places.T)


def _check_extent(places: FloatArray) -> None:
    for extent, what in zip(np.ptp(places, axis=0), ("mass", "mass ratio", "period"), strict=True):
        if extent < _SAME_RUN:
            msg = f"the grid has only one initial {what}: a population needs two at least of each"
            raise InputFormatError(msg)


def _check_different(places: FloatArray, names: npt.NDArray[np.str_]) -> None:
    scaled = (places - places.min(axis=0)) / np.ptp(places, axis=0)
    same = cKDTree(scaled).query_pairs(_SAME_RUN)
    if same:
        _refuse_same(*names[list(min(same))])


def _refuse_same(first: str, second: str) -> None:
    msg = f"runs {first} and {second} have the same initial values: leave one of them out"
    raise InputFormatError(msg)


def _check_one_metallicity(metallicity: FloatArray) -> None:
    known = metallicity[np.isfinite(metallicity)]
    if len(known) and np.ptp(known) > 1e-2 * known.max():
        msg = (
            f"the grid has metallicities from {known.min():g} to {known.max():g}: a population has one; "
            "import the runs of each into a grid of its own"
        )
        raise InputFormatError(msg)


@dataclass(frozen=True)
class _Lattice:
    """Axes on which runs stand: values of the three, and the place of each run on them.

    `sharp` is whether all that is taken for one value lies together: values at any places form chains instead.
    """

    axes: tuple[FloatArray, FloatArray, FloatArray]
    places: npt.NDArray[np.int64]
    sharp: bool

    @classmethod
    def of(cls, *coordinates: FloatArray) -> "_Lattice":
        found = [_distinct(coordinate) for coordinate in coordinates]
        places = np.column_stack([place for _, place, _ in found])
        return cls((found[0][0], found[1][0], found[2][0]), places, all(sharp for _, _, sharp in found))

    @property
    def filling(self) -> float:
        if not self.sharp:
            return 0.0
        crossings = np.prod([len(axis) for axis in self.axes], dtype=float)
        return float(len(np.unique(self.places, axis=0)) / crossings)

    @property
    def is_regular(self) -> bool:
        lengths = [len(axis) for axis in self.axes]
        few = self.sharp and max(lengths) <= _FEW_VALUES * len(self.places)
        return min(lengths) > 1 and (few or self.filling >= _LEAST_FILLING)

    def check(self, names: npt.NDArray[np.str_]) -> None:
        _, first, counts = np.unique(self.places, axis=0, return_index=True, return_counts=True)
        if (counts > 1).any():
            twice = self.places[first[np.flatnonzero(counts > 1)[0]]]
            _refuse_same(*names[(self.places == twice).all(axis=1)][:2])


def _distinct(coordinate: FloatArray) -> tuple[FloatArray, npt.NDArray[np.int64], bool]:
    """Distinct values, which rounding may have blurred, which of them each run has, and whether they are sharp."""
    order = np.argsort(coordinate, kind="stable")
    ordered = coordinate[order]
    limit = _SAME * float(np.ptp(coordinate))
    group = np.concatenate([[0], np.cumsum(np.diff(ordered) > limit)]).astype(np.int64)
    place = np.empty(len(coordinate), dtype=np.int64)
    place[order] = group
    first = np.flatnonzero(np.diff(group, prepend=-1))
    spans = ordered[np.append(first[1:], len(group)) - 1] - ordered[first]
    return np.bincount(group, weights=ordered) / np.bincount(group), place, bool((spans <= limit).all())


def _regular(mass_axis: Literal["primary", "total"], lattice: _Lattice) -> RegularCells:
    edges = tuple(_edges(axis) for axis in lattice.axes)
    all_edges = (10.0 ** edges[0], np.minimum(edges[1], 1.0), edges[2])
    cells = [
        np.column_stack([axis_edges[place], axis_edges[place + 1]])
        for axis_edges, place in zip(all_edges, lattice.places.T, strict=True)
    ]
    n_crossings = int(np.prod([len(axis) for axis in lattice.axes]))
    return RegularCells(mass_axis, cells[0], cells[1], cells[2], all_edges, n_crossings - len(lattice.places))


def _edges(axis: FloatArray) -> FloatArray:
    middle = (axis[1:] + axis[:-1]) / 2.0
    edges: FloatArray = np.concatenate([[2 * axis[0] - middle[0]], middle, [2 * axis[-1] - middle[-1]]])
    return edges


def _irregular(log_mass: FloatArray, mass_ratio: FloatArray, log_period: FloatArray) -> IrregularCells:
    places = np.column_stack([log_mass, mass_ratio, log_period])
    low, extent = places.min(axis=0), np.ptp(places, axis=0)
    scaled = (places - low) / extent
    try:
        # Facets in one plane, as those of a box, need be asked but once.
        facets = np.unique(np.round(ConvexHull(scaled).equations, 9), axis=0)
    except QhullError as error:
        msg = "the runs of the grid lie in a plane of mass, mass ratio and period: a population needs all three"
        raise InputFormatError(msg) from error
    n_points = int(np.clip(_POINTS_A_RUN * len(places), _LEAST_POINTS, _MOST_POINTS))
    # Sobol's sequence fills the box evenly: its volumes are good to far better than those of random points.
    points = qmc.Sobol(3, seed=0).random_base2(int(np.ceil(np.log2(n_points))))
    # In parts, since thousands of runs have a hull of hundreds of facets.
    parts = np.array_split(points, max(len(points) // 2**13, 1))
    inside = np.vstack([part[(part @ facets[:, :3].T + facets[:, 3] <= 0).all(axis=1)] for part in parts])
    _, nearest = cKDTree(scaled).query(inside)
    drawn = low + inside * extent
    return IrregularCells(
        len(places),
        np.asarray(nearest, dtype=np.int64),
        10.0 ** drawn[:, 0],
        drawn[:, 1],
        drawn[:, 2],
        float(np.prod(extent) / len(points)),
        (
            (10.0 ** low[0], 10.0 ** (low[0] + extent[0])),
            (low[1], low[1] + extent[1]),
            (low[2], low[2] + extent[2]),
        ),
    )
