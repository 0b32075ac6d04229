"""Populations: how many binaries of each phase there are in a galaxy, and where they lie."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray, label_column
from cbminer.errors import InputFormatError
from cbminer.galaxies import Cloud, Galaxy
from cbminer.theory.binning import time_in_bins
from cbminer.theory.birth import BirthLaws
from cbminer.theory.density import PopulationDensity
from cbminer.theory.grid import EndReason, EvolutionGrid
from cbminer.theory.phases import Phase
from cbminer.theory.population_settings import PopulationSettings
from cbminer.theory.population_stars import CLOUD_METALLICITIES
from cbminer.theory.population_steps import (
    PhasePieces,
    PopulationSteps,
    metallicity_of,
    population_steps,
    why_no_density,
)
from cbminer.theory.quantiles import PeriodMassRatioMap
from cbminer.theory.weights import InitialCells, RegularCells, initial_cells

__all__ = ["Cloud", "Population", "births_a_mass", "companions_a_primary", "make_population"]

_AT_ZAMS = (EndReason.ROCHE_OVERFLOW_AT_ZAMS.value, EndReason.L2_OVERFLOW_AT_ZAMS.value)
_MASS_RATIO_EDGES = np.linspace(0.0, 1.0, 101)
_LOG_PERIOD_BIN = 0.02
_METALLICITY_LIMIT = 0.1


@dataclass(frozen=True)
class Population:
    """A population of binaries of constant star formation.

    Attributes
    ----------
    grid : EvolutionGrid
        The models.
    galaxy : {"LMC", "SMC", "MW"}
        Galaxy whose star-formation rate holds.
    settings : PopulationSettings
        What is born and how it is seen.
    cells : RegularCells or IrregularCells
        Part of the initial values that each run stands for.
    counted : `~numpy.ndarray`
        Whether each run counts: those that overflow at once may be left out; bool, shape (number of runs,).
    steps : PopulationSteps
        What an observer sees of every time step.
    """

    grid: EvolutionGrid
    galaxy: Galaxy
    settings: PopulationSettings
    cells: InitialCells
    counted: npt.NDArray[np.bool_]
    steps: PopulationSteps

    @property
    def laws(self) -> BirthLaws:
        """Laws of what is born."""
        return BirthLaws(self.settings.masses, self.settings.mass_ratios, self.settings.periods)

    @property
    def metallicity(self) -> float:
        """Mass fraction of metals of the models."""
        return metallicity_of(self.grid)

    @property
    def metallicity_differs(self) -> bool:
        """Whether it is off that of the Cloud by more than 0.1 dex; stars of the Milky Way have none in common."""
        of_stars = CLOUD_METALLICITIES.get(self.galaxy)
        return of_stars is not None and bool(abs(np.log10(self.metallicity / of_stars)) > _METALLICITY_LIMIT)

    @cached_property
    def run_weights(self) -> FloatArray:
        """Pairs per solar mass formed that each run stands for, had every primary a companion."""
        return np.where(self.counted, self.cells.weights(self.laws), 0.0)

    @property
    def star_formation_rate(self) -> float:
        """Solar masses a year."""
        return self.settings.star_formation.rate(self.galaxy)

    @property
    def births(self) -> FloatArray:
        """Pairs born a year that each run stands for.

        Notes
        -----
        The star-formation rate times the binary fraction times the weight of the run: with a time in a phase this is
        the number of systems in it (SCIENCE 4.4: N = SFR f INT phi dM INT p(q) dq INT p(log P) dlog P t / <m>).
        """
        return self.run_weights * births_a_mass(self.settings, self.laws) * self.star_formation_rate

    def shares_of_cells(self) -> dict[str, float]:
        """Say what became of the pairs that the cells of the grid stand for.

        Returns
        -------
        dict of str to float
            Shares of all pairs in the grid's range: "counted", "overflow at ZAMS" if left out, "failed" (a part of
            those counted), and what has no run: "no run" at empty crossings of a regular grid, "outside of the hull" in
            the corners of the box of an irregular one.
        """
        weights, whole = self.cells.weights(self.laws), self.cells.whole(self.laws)
        failed = label_column(self.grid.runs, "end") == EndReason.FAILED.value
        return {
            "counted": float(weights[self.counted].sum() / whole),
            "overflow at ZAMS": float(weights[~self.counted].sum() / whole),
            "failed": float(weights[self.counted & failed].sum() / whole),
            "no run" if isinstance(self.cells, RegularCells) else "outside of the hull": max(
                1.0 - float(weights.sum() / whole), 0.0
            ),
        }

    def number(self, phase: Phase, *, detected: bool = False) -> float:
        """Systems in a phase.

        Parameters
        ----------
        phase : Phase
            The phase.
        detected : bool, optional
            Whether to count only those whose inclination makes them visible; known for contact and near contact.

        Returns
        -------
        float
            Expected number in the galaxy.
        """
        return float(self._weights(self.steps.pieces(phase), detected=detected).sum())

    def density(self, phase: Phase, *, detected: bool = True, counted: bool = True) -> PopulationDensity:
        """Density of a phase in period, magnitude and colour.

        Parameters
        ----------
        phase : Phase
            The phase.
        detected : bool, optional
            Whether of those only whose inclination makes them visible; known for contact and near contact.
        counted : bool, optional
            Whether of those only within the limits of magnitude and period (`CountSettings`), to which a sample is
            compared; else of all down to the least massive models.

        Returns
        -------
        PopulationDensity
            The density.

        Raises
        ------
        InputFormatError
            If no model is in that phase, or none that counts.
        """
        pieces = self.steps.pieces(phase)
        return PopulationDensity.of_pieces(
            pieces,
            self._weights(pieces, detected=detected),
            settings=self.settings.density,
            limits=self.settings.counts if counted else None,
        )

    def why_no_density(self, phase: Phase) -> str | None:
        """Say why there is no density of the systems of a phase that are seen and counted, if there is none.

        Parameters
        ----------
        phase : Phase
            Contact or near contact.

        Returns
        -------
        str or None
            The reason.
        """
        pieces = self.steps.pieces(phase)
        return why_no_density(pieces, self._weights(pieces, detected=True), self.settings.counts)

    def unknown_shares(self, phase: Phase) -> dict[str, float]:
        """Say why systems of a phase that are seen have no place in its density.

        Parameters
        ----------
        phase : Phase
            Contact or near contact.

        Returns
        -------
        dict of str to float
            Share of all that are seen, by cause.
        """
        pieces = self.steps.pieces(phase)
        weights = self._weights(pieces, detected=True)
        total = max(float(weights.sum()), np.finfo(float).tiny)
        return {cause: float(weights[mask].sum() / total) for cause, mask in pieces.unknown.items()}

    def period_mass_ratio(
        self,
        phase: Phase,
        *,
        detected: bool = False,
        period_edges: npt.ArrayLike | None = None,
        mass_ratio_edges: npt.ArrayLike = _MASS_RATIO_EDGES,
    ) -> PeriodMassRatioMap:
        """Systems of a phase by period and observed mass ratio min(q, 1/q).

        Parameters
        ----------
        phase : Phase
            The phase.
        detected : bool, optional
            Whether of those only whose inclination makes them visible.
        period_edges : array_like, optional
            Rising edges in days; by default of 0.02 dex over all that is there.
        mass_ratio_edges : array_like, optional
            Rising edges.

        Returns
        -------
        PeriodMassRatioMap
            Numbers in the bins.
        """
        pieces = self.steps.pieces(phase)
        weights = self._weights(pieces, detected=detected)
        ratios = np.asarray(mass_ratio_edges, dtype=float)
        periods = _period_edges(pieces) if period_edges is None else np.asarray(period_edges, dtype=float)
        start, end = (np.column_stack([side["log_P"], side["folded_q"]]) for side in (pieces.start, pieces.end))
        # On the folded scale the pairs beyond 1 lie in the mirror image of the bins; edges at 1 are one and the same.
        both = np.unique(np.concatenate([ratios, 2.0 - ratios]))
        content = time_in_bins(start, end, weights, edges=(np.log10(periods), both))
        n_ratios = len(ratios) - 1
        return PeriodMassRatioMap(periods, ratios, content[:, :n_ratios] + content[:, ::-1][:, :n_ratios])

    def _weights(self, pieces: PhasePieces, *, detected: bool) -> FloatArray:
        weights: FloatArray = self.births[pieces.run] * pieces.duration
        if not detected:
            return weights
        if np.isnan(pieces.seen).any():
            msg = "how often a pair is seen is known of contact and near contact only: ask with detected=False"
            raise InputFormatError(msg)
        return weights * pieces.seen


def births_a_mass(settings: PopulationSettings, laws: BirthLaws) -> float:
    """Share of primaries with a companion within the laws, over the mass formed with each solar mass of primaries.

    Parameters
    ----------
    settings : PopulationSettings
        Binary fraction, and whether the mass formed holds the companions.
    laws : BirthLaws
        Laws of what is born.

    Returns
    -------
    float
        The factor.

    Notes
    -----
    The share is the binary fraction, less where the extension to short periods would make more than one companion a
    primary of it (`companions_a_primary`).
    """
    fraction = companions_a_primary(settings, laws) / laws.all_periods
    if not settings.star_formation.companions_have_mass:
        return fraction
    return fraction / (1.0 + fraction * laws.mean_mass_ratio)


def companions_a_primary(settings: PopulationSettings, laws: BirthLaws) -> float:
    """Companions a primary within the laws and the extension to short periods, which is on top of the binary fraction.

    Parameters
    ----------
    settings : PopulationSettings
        Binary fraction.
    laws : BirthLaws
        Laws of what is born.

    Returns
    -------
    float
        Companions; where there would be more than 1, those of all periods are scaled down alike to make it 1.
    """
    return min(settings.star_formation.binary_fraction * laws.all_periods, 1.0)


def _period_edges(pieces: PhasePieces) -> FloatArray:
    both = np.concatenate([pieces.start["log_P"], pieces.end["log_P"]])
    low = np.floor(np.nanmin(both, initial=0.0) / _LOG_PERIOD_BIN)
    high = np.ceil(np.nanmax(both, initial=0.0) / _LOG_PERIOD_BIN) + 1
    edges: FloatArray = 10.0 ** (_LOG_PERIOD_BIN * np.arange(low, high + 1))
    return edges


def make_population(
    grid: EvolutionGrid, galaxy: Galaxy = "LMC", *, settings: PopulationSettings | None = None
) -> Population:
    """Make the population of a galaxy from a grid of models.

    Parameters
    ----------
    grid : EvolutionGrid
        Models of one metallicity.
    galaxy : {"LMC", "SMC", "MW"}, optional
        Galaxy whose star-formation rate holds.
    settings : PopulationSettings, optional
        What is born and how it is seen.

    Returns
    -------
    Population
        The population.

    Raises
    ------
    InputFormatError
        If the grid cannot stand for a population: several metallicities, runs of unknown or equal initial values, or
        no extent in mass, mass ratio or period.
    SettingsError
        If the star-formation rate of the galaxy is not set.

    Examples
    --------
    >>> population = make_population(grid, "LMC")                          # doctest: +SKIP
    >>> population.number(Phase.CONTACT)                                   # doctest: +SKIP
    >>> density = population.density(Phase.CONTACT)                        # doctest: +SKIP
    >>> density.at(-0.1, -3.0, -0.25, e_M_V=0.12, e_VI0=0.06)              # doctest: +SKIP
    """
    chosen = settings or PopulationSettings()
    chosen.star_formation.rate(galaxy)
    counted = np.ones(len(grid), dtype=bool)
    if chosen.overflow_at_zams == "leave out":
        counted = ~_overflows_at_once(grid)
    return Population(grid, galaxy, chosen, initial_cells(grid), counted, population_steps(grid, settings=chosen))


def _overflows_at_once(grid: EvolutionGrid) -> npt.NDArray[np.bool_]:
    found = np.isin(label_column(grid.runs, "end"), _AT_ZAMS)
    arrays = grid.arrays()
    with_steps = np.flatnonzero(np.diff(grid.offsets) > 0)
    first = grid.offsets[:-1][with_steps]
    found[with_steps] |= (arrays["overflow_1"][first] >= 0) | (arrays["overflow_2"][first] >= 0)
    return found
