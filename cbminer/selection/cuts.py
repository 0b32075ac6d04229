"""The cuts, each a frozen settings object that judges a table of stars.

A cut knows nothing of the others. Its ``conditions`` hold, for every star, the number that decides, the limit and
the distance between them; what a star fails, what cannot be told and why follow from these.
"""

from abc import abstractmethod
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from astropy.table import QTable
from pydantic import Field

from cbminer.columns import FloatArray, label_column, values
from cbminer.flags import Flag
from cbminer.quantities import Days, Magnitudes, SettingsModel
from cbminer.selection.conditions import AnyCondition, Condition, Membership, Presence, Verdict
from cbminer.selection.plc import PLCRelation, PLCSettings, PLCStars, Residuals, relation_residuals

__all__ = [
    "Cut",
    "EqualDepthsCut",
    "MainSequenceCut",
    "MorphologyCut",
    "PLCCut",
    "PeriodCut",
    "RequiredDataCut",
    "SmoothShapeCut",
    "TypeCut",
    "plc_residuals",
    "plc_stars",
    "spectral_labels",
]

StarType = Literal["C", "NC", "ELL", "CV"]


class Cut(SettingsModel):
    """A cut on a table of stars.

    Attributes
    ----------
    name : str
        Name of the cut in the cut-flow.
    on_undecided : {"drop", "keep"}
        What becomes of a star for which the cut lacks a number.
    """

    name: ClassVar[str]
    on_undecided: Literal["drop", "keep"] = Field(
        default="drop", description="what becomes of a star for which a number is missing"
    )

    @abstractmethod
    def conditions(self, stars: QTable) -> list[AnyCondition]:
        """Conditions of the cut, evaluated for every star.

        Parameters
        ----------
        stars : `~astropy.table.QTable`
            Columns of the schema that the cut uses.

        Returns
        -------
        list of Condition, Membership or Presence
            All must hold.
        """

    def apply(self, stars: QTable) -> Verdict:
        """Judge every star.

        Parameters
        ----------
        stars : `~astropy.table.QTable`
            Columns of the schema that the cut uses.

        Returns
        -------
        Verdict
            Who passes, who fails, who cannot be told, and by which numbers.
        """
        return Verdict(self.conditions(stars))

    def keeps(self, verdict: Verdict) -> npt.NDArray[np.bool_]:
        """Stars that go on after the cut.

        Parameters
        ----------
        verdict : Verdict
            What the cut said.

        Returns
        -------
        `~numpy.ndarray`
            Mask of the stars.
        """
        return verdict.passed | (verdict.undecided if self.on_undecided == "keep" else False)


class TypeCut(Cut):
    """Keep the survey's types that a contact binary can be listed under."""

    name: ClassVar[str] = "type"
    keep: tuple[StarType, ...] = Field(default=("C", "NC", "ELL"), description="types of the survey that are kept")

    def conditions(self, stars: QTable) -> list[AnyCondition]:
        """Evaluate the type of every star; see `Cut.conditions`."""
        labels = label_column(stars, "type")
        return [Membership("type", labels, self.keep, "another type of variable star")]


class RequiredDataCut(Cut):
    """Keep stars with the numbers without which nothing can be said.

    A star whose M_V and (V-I)_0 were given in place of V and I needs none of these.
    """

    name: ClassVar[str] = "data"
    require: tuple[Literal["V_mag", "I_mag", "period", "T0"], ...] = Field(
        default=("V_mag", "I_mag", "period"), description="numbers of the survey's catalogue that a star must have"
    )

    def conditions(self, stars: QTable) -> list[AnyCondition]:
        """Evaluate which numbers every star has; see `Cut.conditions`."""
        unit = {"V_mag": "mag", "I_mag": "mag", "period": "d", "T0": "d"}
        known = {name: ~np.isnan(values(stars, name, unit[name])) for name in self.require}
        given = (np.asarray(stars["flags"], dtype=np.int64) & int(Flag.GIVEN_PHOTOMETRY)) != 0
        placed = given & np.isfinite(values(stars, "M_V", "mag") + values(stars, "VI0", "mag"))
        for name in known.keys() & {"V_mag", "I_mag"}:
            known[name] |= placed
        return [Presence(name, known[name], f"no {name}") for name in self.require]


class MainSequenceCut(Cut):
    """Keep O and B stars of the main sequence by colour and absolute magnitude."""

    name: ClassVar[str] = "main sequence"
    VI0_max: Magnitudes = Field(
        default=-0.05, description="reddest (V-I)_0, that of B9V; widened by the colour's error"
    )
    n_sigma_VI0: float = Field(default=2.0, ge=0, description="by how many of its errors the colour limit is widened")
    VI0_ceiling: Magnitudes = Field(
        default=0.0, description="(V-I)_0 that no widening passes; keeps out giants and most Be stars"
    )
    M_V_bright: Magnitudes = Field(default=-6.5, description="brightest M_V")
    M_V_faint: Magnitudes = Field(default=-1.0, description="faintest M_V; about 4 to 5 solar masses each")
    O_star_M_V: Magnitudes = Field(default=-3.7, description="a pair brighter than this M_V is labelled O, else B")

    def conditions(self, stars: QTable) -> list[AnyCondition]:
        """Evaluate colour and absolute magnitude; see `Cut.conditions`."""
        colour, error = values(stars, "VI0", "mag"), values(stars, "e_VI0", "mag")
        magnitude = values(stars, "M_V", "mag")
        red_limit = np.minimum(self.VI0_max + self.n_sigma_VI0 * error, self.VI0_ceiling)
        n_stars = len(stars)
        return [
            Condition("VI0", colour, "<=", red_limit, "too red", "mag"),
            Condition("M_V", magnitude, "<=", np.full(n_stars, self.M_V_faint), "too faint", "mag"),
            Condition("M_V", magnitude, ">=", np.full(n_stars, self.M_V_bright), "too bright", "mag"),
        ]


class PeriodCut(Cut):
    """Keep short orbital periods."""

    name: ClassVar[str] = "period"
    period_max: Days = Field(default=3.0, gt=0, description="longest period; Menon et al. 2026")
    period_min: Days | None = Field(default=None, description="shortest period; unset: none")

    def conditions(self, stars: QTable) -> list[AnyCondition]:
        """Evaluate the period; see `Cut.conditions`."""
        period = values(stars, "period", "d")
        longest = np.full(len(stars), self.period_max)
        found: list[AnyCondition] = [Condition("period", period, "<", longest, "period too long", "d")]
        if self.period_min is not None:
            shortest = np.full(len(stars), self.period_min)
            found.append(Condition("period", period, ">=", shortest, "period too short", "d"))
        return found


class PLCCut(Cut, PLCSettings):
    """Keep stars near the period-luminosity-colour relation of massive contact binaries.

    The band is as wide as the error of each star asks for: it uses the columns plc_residual and plc_significance,
    which the relation in force has given.
    """

    name: ClassVar[str] = "period-luminosity-colour"

    def conditions(self, stars: QTable) -> list[AnyCondition]:
        """Evaluate the distance from the relation; see `Cut.conditions`."""
        distance = np.abs(values(stars, "plc_significance"))
        limit = np.full(len(stars), self.n_sigma)
        return [Condition("|plc_significance|", distance, "<=", limit, "off the relation", "sigma")]


class EqualDepthsCut(Cut):
    """Keep stars whose two minima are equally deep."""

    name: ClassVar[str] = "equal depths"
    relative_max: float = Field(
        default=0.10, ge=0, description="largest depth difference over depth1; T2/T1 above about 0.94 for hot stars"
    )
    absolute_max: Magnitudes = Field(default=0.03, ge=0, description="depth difference that is always allowed")
    n_sigma: float = Field(default=3.0, ge=0, description="the limit is at least this many errors of the difference")
    min_significance: float = Field(
        default=5.0, ge=0, description="depth1 over its error that a star must have to vary at all"
    )
    depth1_max: Magnitudes = Field(
        default=1.2, gt=0, description="deepest minimum that a contact binary can have; PHOEBE gives 1.15 at most"
    )

    def conditions(self, stars: QTable) -> list[AnyCondition]:
        """Evaluate the depths; see `Cut.conditions`."""
        depth, e_depth = values(stars, "depth1", "mag"), values(stars, "e_depth1", "mag")
        difference = np.abs(values(stars, "depth_difference", "mag"))
        error = values(stars, "e_depth_difference", "mag")
        limit = np.maximum(np.maximum(self.relative_max * depth, self.absolute_max), self.n_sigma * error)
        n_stars = len(stars)
        significance = depth / np.where(e_depth > 0, e_depth, np.nan)
        return [
            Condition("depth1/e_depth1", significance, ">=", np.full(n_stars, self.min_significance), "no variation"),
            Condition("depth1", depth, "<=", np.full(n_stars, self.depth1_max), "minimum too deep", "mag"),
            Condition("|depth_difference|", difference, "<=", limit, "unequal minima", "mag"),
        ]


class SmoothShapeCut(Cut):
    """Keep smooth light curves without the flat maxima of detached pairs, symmetric and stable."""

    name: ClassVar[str] = "smooth shape"
    W_min: float = Field(
        default=-0.005, description="lowest W; contact has W > 0, detached pairs of the same depth lie below"
    )
    asymmetry_max: float = Field(default=0.10, ge=0, description="largest sine terms over |a2|")
    phase_tolerance: float = Field(
        default=0.01, ge=0, description="largest distance of the other minimum from phase 0.5; a circular orbit has 0"
    )
    excess_scatter_max: float = Field(
        default=0.15, gt=0, description="largest scatter beyond the noise over depth1; spotted and Be stars have more"
    )
    n_sigma: float = Field(default=3.0, ge=0, description="limits of asymmetry and phase are at least this many errors")
    variability: tuple[Literal["eclipsing", "other", "none", "undecided"], ...] = Field(
        default=("eclipsing", "undecided"),
        description="what the light curve may vary as with the adopted period; other: pulsators and the like",
    )

    def conditions(self, stars: QTable) -> list[AnyCondition]:
        """Evaluate the shape; see `Cut.conditions`."""
        if "variability" not in stars.colnames:
            return self._shape_conditions(stars)
        found = label_column(stars, "variability")
        words = np.where(found == "", "undecided", found)
        eclipses = Membership("variability", words, self.variability, "not the light curve of an eclipsing binary")
        return [*self._shape_conditions(stars), eclipses]

    def _shape_conditions(self, stars: QTable) -> list[AnyCondition]:
        n_stars = len(stars)
        offset = np.abs(values(stars, "phase_secondary") - 0.5)
        asymmetry_limit = self._at_least(self.asymmetry_max, values(stars, "e_asymmetry"))
        phase_limit = self._at_least(self.phase_tolerance, values(stars, "e_phase_secondary"))
        excess_limit = np.full(n_stars, self.excess_scatter_max)
        return [
            Condition("W", values(stars, "W"), ">=", np.full(n_stars, self.W_min), "W too low: not rounded enough"),
            Condition("asymmetry", values(stars, "asymmetry"), "<=", asymmetry_limit, "asymmetric light curve"),
            Condition("|phase_secondary - 0.5|", offset, "<=", phase_limit, "minima not half a period apart"),
            Condition("excess_scatter", values(stars, "excess_scatter"), "<=", excess_limit, "scatter about the fit"),
        ]

    def _at_least(self, limit: float, error: FloatArray) -> FloatArray:
        return np.maximum(limit, self.n_sigma * error)


class MorphologyCut(Cut):
    """Keep stars with a high morphology parameter c, published or measured.

    A star without c goes on by default, judged on its Fourier shape by the other cuts and flagged.
    """

    name: ClassVar[str] = "morphology c"
    on_undecided: Literal["drop", "keep"] = Field(
        default="keep", description="what becomes of a star without c; keep: judged on its Fourier shape"
    )
    c_min: float = Field(default=0.7, description="lowest c; Menon et al. 2026")

    def conditions(self, stars: QTable) -> list[AnyCondition]:
        """Evaluate c; see `Cut.conditions`."""
        limit = np.full(len(stars), self.c_min)
        return [Condition("c", values(stars, "c"), ">=", limit, "c too low")]


def plc_stars(stars: QTable) -> PLCStars:
    """Gather what the period-luminosity-colour relation needs from a table.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Columns period, M_V, VI0, their errors and cov_M_V_VI0.

    Returns
    -------
    PLCStars
        The same as plain arrays.
    """
    period = values(stars, "period", "d")
    return PLCStars(
        np.log10(np.where(period > 0, period, np.nan)),
        values(stars, "M_V", "mag"),
        values(stars, "e_M_V", "mag"),
        values(stars, "VI0", "mag"),
        values(stars, "e_VI0", "mag"),
        values(stars, "cov_M_V_VI0", "mag2"),
    )


def plc_residuals(stars: QTable, relation: PLCRelation) -> Residuals:
    """Distances of the stars of a table from a relation; see `~cbminer.selection.plc.relation_residuals`.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Columns period, M_V, VI0, their errors and cov_M_V_VI0.
    relation : PLCRelation
        The relation.

    Returns
    -------
    Residuals
        Residuals, their errors and their significance.
    """
    return relation_residuals(plc_stars(stars), relation)


def spectral_labels(stars: QTable, cut: MainSequenceCut) -> npt.NDArray[np.str_]:
    """Label pairs O or B by their absolute magnitude.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Column M_V.
    cut : MainSequenceCut
        The boundary between both.

    Returns
    -------
    `~numpy.ndarray`
        "O", "B", or "" for a star without M_V or outside of the main-sequence box.
    """
    labels = np.where(values(stars, "M_V", "mag") < cut.O_star_M_V, "O", "B")
    return np.where(cut.apply(stars).passed, labels, "")
