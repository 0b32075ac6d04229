"""What the time steps of a grid look like to an observer: phase, duration, magnitudes, and the chance to be seen."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray, values
from cbminer.errors import InputFormatError
from cbminer.theory.detection import contact_share_seen, fillout_of_radius, near_contact_share_seen
from cbminer.theory.distortion import distortion_correction
from cbminer.theory.grid import EvolutionGrid
from cbminer.theory.pair_colours import PairColours, Photosphere, pair_colours
from cbminer.theory.phases import Phase, step_durations, step_phases
from cbminer.theory.population_settings import CountSettings, PopulationSettings

__all__ = ["PhasePieces", "PopulationSteps", "fold_mass_ratio", "metallicity_of", "population_steps", "why_no_density"]


def fold_mass_ratio(mass_ratio: FloatArray) -> FloatArray:
    """Put mass ratios on a scale without a fold at 1: q itself up to 1, and 2 - 1/q beyond.

    Parameters
    ----------
    mass_ratio : `~numpy.ndarray`
        Mass of star 2 over that of star 1.

    Returns
    -------
    `~numpy.ndarray`
        Scale on which 2 minus it is the same pair with its stars exchanged.
    """
    scale: FloatArray = np.where(mass_ratio <= 1.0, mass_ratio, 2.0 - 1.0 / mass_ratio)
    return scale


@dataclass(frozen=True)
class PhasePieces:
    """The pieces of all tracks in one phase.

    Attributes
    ----------
    run : `~numpy.ndarray`
        Run of each piece; int64, shape (n,).
    start, end : dict of str to `~numpy.ndarray`
        log_P, M_V, VI0 and the folded mass ratio at both ends of each piece.
    duration, seen : `~numpy.ndarray`
        Years, and the share of inclinations that is seen; NaN where it is unknown.
    no_colour : `~numpy.ndarray`
        Whether a star at the end of each piece is too hot or too cool for the colours; bool, shape (n,).
    """

    run: npt.NDArray[np.int64]
    start: dict[str, FloatArray]
    end: dict[str, FloatArray]
    duration: FloatArray
    seen: FloatArray
    no_colour: npt.NDArray[np.bool_]

    @property
    def unknown(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Pieces whose end has no place in period, magnitude and colour, by cause; masks of shape (n,)."""
        no_period = ~np.isfinite(self.end["log_P"])
        dark = ~self.known & ~no_period
        return {
            "no known period": no_period,
            "a star too hot or too cool for the colours": dark & self.no_colour,
            "no known luminosity, temperature, mass or radius of a star": dark & ~self.no_colour,
        }

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Whether the end of each piece has a period, a magnitude and a colour."""
        return np.isfinite(self.end["log_P"] + self.end["M_V"] + self.end["VI0"])

    def within(self, limits: CountSettings) -> npt.NDArray[np.bool_]:
        """Whether the end of each piece lies within limits of magnitude and period.

        Parameters
        ----------
        limits : CountSettings
            The limits.

        Returns
        -------
        `~numpy.ndarray`
            Mask, shape (n,); what has no period, magnitude or colour is not within.
        """
        m_v = self.end["M_V"]
        mask: npt.NDArray[np.bool_] = (
            self.known & (m_v >= limits.M_V_bright) & (m_v <= limits.M_V_faint) & self._short(limits)
        )
        return mask

    def near(self, limits: CountSettings, margin: float) -> npt.NDArray[np.bool_]:
        """Whether errors of magnitude may move the end of each piece to within limits of magnitude and period.

        Parameters
        ----------
        limits : CountSettings
            The limits.
        margin : float
            Magnitudes beyond the limits.

        Returns
        -------
        `~numpy.ndarray`
            Mask, shape (n,).
        """
        m_v = self.end["M_V"]
        mask: npt.NDArray[np.bool_] = (
            self.known & (m_v >= limits.M_V_bright - margin) & (m_v <= limits.M_V_faint + margin) & self._short(limits)
        )
        return mask

    def _short(self, limits: CountSettings) -> npt.NDArray[np.bool_]:
        return np.asarray(self.end["log_P"] < np.log10(limits.period_max))


@dataclass(frozen=True)
class PopulationSteps:
    """All time steps of a grid as an observer sees them; arrays of shape (number of steps,).

    Attributes
    ----------
    run : `~numpy.ndarray`
        Run of each step.
    phase : `~numpy.ndarray`
        Values of `Phase`, -1 where it is unknown.
    duration : `~numpy.ndarray`
        Years that count: those within the time for which stars have formed.
    log_P, M_V, VI0, folded_q : `~numpy.ndarray`
        Logarithm of the period in days, magnitude and colour in mag, and the mass ratio on the scale of
        `fold_mass_ratio`.
    seen : `~numpy.ndarray`
        Share of inclinations that is seen; NaN in phases other than contact and near contact.
    no_colour : `~numpy.ndarray`
        Whether a star is too hot or too cool for the colours.
    """

    run: npt.NDArray[np.int64]
    phase: npt.NDArray[np.int8]
    duration: FloatArray
    log_P: FloatArray
    M_V: FloatArray
    VI0: FloatArray
    folded_q: FloatArray
    seen: FloatArray
    no_colour: npt.NDArray[np.bool_]

    def pieces(self, phase: Phase) -> PhasePieces:
        """Pieces of the tracks in one phase.

        Parameters
        ----------
        phase : Phase
            The phase.

        Returns
        -------
        PhasePieces
            Pieces that take time. One whose step before is in the same phase begins there; the first of a phase stands
            for its time at its own end, since where in it the phase began is not known.
        """
        chosen = np.flatnonzero((self.phase == phase) & (self.duration > 0))
        before = np.maximum(chosen - 1, 0)
        along = (self.run[before] == self.run[chosen]) & (self.phase[before] == phase)
        from_step = np.where(along, before, chosen)
        columns = {"log_P": self.log_P, "M_V": self.M_V, "VI0": self.VI0, "folded_q": self.folded_q}
        return PhasePieces(
            self.run[chosen],
            {name: column[from_step] for name, column in columns.items()},
            {name: column[chosen] for name, column in columns.items()},
            self.duration[chosen],
            self.seen[chosen],
            self.no_colour[chosen],
        )


def why_no_density(pieces: PhasePieces, weight: FloatArray, limits: CountSettings | None = None) -> str | None:
    """Say why pieces of tracks have no density, if they have none.

    Parameters
    ----------
    pieces : PhasePieces
        Pieces of one phase.
    weight : `~numpy.ndarray`
        Systems that each piece stands for, shape (n,).
    limits : CountSettings, optional
        Limits of magnitude and period.

    Returns
    -------
    str or None
        The reason.
    """
    there = weight > 0
    if len(weight) == 0:
        return "no model of the grid is in this phase"
    if not there.any():
        return (
            "no model of the grid that is in this phase counts: all overflow at zero age, are never seen, or stand for "
            "what is not born"
        )
    if not (there & pieces.known).any():
        causes = [cause for cause, mask in pieces.unknown.items() if (there & mask).any()]
        return f"no model of the grid in this phase has a place in period, magnitude and colour: {'; '.join(causes)}"
    if limits is not None and not (there & pieces.within(limits)).any():
        return "no model of the grid in this phase is within the limits of [population.counts]"
    return None


def population_steps(grid: EvolutionGrid, *, settings: PopulationSettings) -> PopulationSteps:
    """Work out what an observer sees of every time step.

    Parameters
    ----------
    grid : EvolutionGrid
        Models.
    settings : PopulationSettings
        Phases, detection, and the time for which stars have formed.

    Returns
    -------
    PopulationSteps
        The steps.

    Raises
    ------
    InputFormatError
        If the grid does not say its metallicity.
    SettingsError
        If there are no colours for it.
    """
    steps, phase = grid.arrays(), step_phases(grid, settings=settings.phases)
    mass_ratio, filling = steps["M2"] / steps["M1"], _filling(steps, phase)
    seen = _share_seen(mass_ratio, filling, phase, settings.detection.least_depth)
    photometry = _spheres(grid, steps, settings)
    M_V, VI0 = photometry.M_V, photometry.VI0
    if settings.maximum_light:
        # Of orbits at random the cosines are even: the middle of those that are seen, or of all where it is not known.
        cosine = np.where(np.isnan(seen), 1.0, seen) / 2.0
        shape = distortion_correction(np.degrees(np.arccos(cosine)), filling, mass_ratio=mass_ratio)
        M_V, VI0 = M_V + shape.M_V, VI0 + shape.VI0
    return PopulationSteps(
        run=grid.run_of_step(),
        phase=phase,
        duration=_durations(grid, steps["age"], settings.star_formation.duration),
        log_P=_log_period(steps["period"]),
        M_V=M_V,
        VI0=VI0,
        folded_q=fold_mass_ratio(mass_ratio),
        seen=seen,
        no_colour=photometry.outside & np.isnan(photometry.M_V),
    )


def _log_period(period: FloatArray) -> FloatArray:
    """Logarithm of periods; one that is no finite number above 0 is unknown."""
    log_period: FloatArray = np.log10(np.where(np.isfinite(period) & (period > 0), period, np.nan))
    return log_period


def _spheres(grid: EvolutionGrid, steps: dict[str, FloatArray], settings: PopulationSettings) -> PairColours:
    """Work out magnitude and colour of two spheres: the one place that says from which models they come."""
    stars = [
        Photosphere.of_size(
            steps[f"log_L{star}"], steps[f"log_Teff{star}"], mass=steps[f"M{star}"], radius=steps[f"R{star}"]
        )
        for star in (1, 2)
    ]
    return pair_colours(stars[0], stars[1], Z=metallicity_of(grid), settings=settings.colours)


def metallicity_of(grid: EvolutionGrid) -> float:
    """Metallicity of a grid.

    Parameters
    ----------
    grid : EvolutionGrid
        Models of one metallicity.

    Returns
    -------
    float
        Mass fraction of metals: the median of its runs.

    Raises
    ------
    InputFormatError
        If the grid does not say it.
    """
    metallicity = values(grid.runs, "Z")
    known = metallicity[np.isfinite(metallicity)]
    if len(known) == 0:
        msg = "the grid does not say its metallicity, on which colours depend: import it with --Z"
        raise InputFormatError(msg)
    return float(np.median(known))


def _durations(grid: EvolutionGrid, age: FloatArray, formed_for: float | None) -> FloatArray:
    durations = step_durations(grid)
    if formed_for is None:
        return durations
    # Of stars that formed at a constant rate since then, none is older.
    younger: FloatArray = np.clip(formed_for - (age - durations), 0.0, durations)
    return younger


def _filling(steps: dict[str, FloatArray], phase: npt.NDArray[np.int8]) -> FloatArray:
    """R / R_L of a pair: in contact that of the less massive star, which comes to L2 first, else the mean of both."""
    over_1, over_2 = steps["overflow_1"], steps["overflow_2"]
    lighter = np.where(steps["M2"] <= steps["M1"], over_2, over_1)
    filling: FloatArray = 1.0 + np.where(phase == Phase.CONTACT, lighter, (over_1 + over_2) / 2.0)
    return filling


def _share_seen(
    mass_ratio: FloatArray, filling: FloatArray, phase: npt.NDArray[np.int8], least_depth: float | None
) -> FloatArray:
    seen = np.full(len(phase), np.nan)
    contact, near = phase == Phase.CONTACT, phase == Phase.NEAR_CONTACT
    if least_depth is None:
        seen[contact | near] = 1.0
        return seen
    fillout = fillout_of_radius(filling[contact], mass_ratio[contact])
    seen[contact] = contact_share_seen(fillout, mass_ratio[contact], least_depth=least_depth)
    seen[near] = near_contact_share_seen(filling[near], mass_ratio[near], least_depth=least_depth)
    return seen
