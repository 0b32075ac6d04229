"""Settings of populations: what is born, how often it is seen, and how its density is smoothed."""

from typing import Literal, Self

from pydantic import Field, model_validator

from cbminer.errors import SettingsError
from cbminer.galaxies import Galaxy
from cbminer.quantities import Days, Magnitudes, SettingsModel
from cbminer.theory.pair_colours import ColourSettings
from cbminer.theory.phases import PhaseSettings

__all__ = [
    "CountSettings",
    "DensitySettings",
    "DetectionSettings",
    "InitialMassLaw",
    "MassRatioLaw",
    "PeriodLaw",
    "PopulationSettings",
    "StarFormationSettings",
]


class InitialMassLaw(SettingsModel):
    """Initial masses of the primaries: a power law dN/dM ~ M^-slope with one break."""

    least: float = Field(default=0.1, gt=0, description="solar masses; the mass formed is counted from here")
    most: float = Field(default=100.0, gt=0, description="solar masses; to here")
    break_mass: float = Field(default=0.5, gt=0, description="solar masses; Kroupa 2001, MNRAS 322, 231")
    slope_below: float = Field(default=1.3, description="exponent below the break; Kroupa 2001. Salpeter: 2.35")
    slope: float = Field(default=2.3, description="exponent above the break; Kroupa 2001. Salpeter 1955: 2.35")
    e_slope: float = Field(
        default=0.27,
        ge=0,
        description="its error; Kroupa's 0.7 above one solar mass, taken as a range of 99 %: not checked at the source",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.least < self.break_mass < self.most:
            msg = "least, break_mass and most must rise in this order"
            raise ValueError(msg)
        return self

    @classmethod
    def salpeter(cls) -> Self:
        """Salpeter's law (1955, ApJ 121, 161) from 0.1 to 100 solar masses.

        Returns
        -------
        InitialMassLaw
            The law.
        """
        return cls(slope_below=2.35, slope=2.35)


class MassRatioLaw(SettingsModel):
    """Initial mass ratios: a power law dN/dq ~ q^slope up to 1."""

    least: float = Field(
        default=0.1, gt=0, lt=1, description="least mass ratio that counts as a binary; Sana et al. 2012"
    )
    slope: float = Field(default=0.0, description="exponent; flat. Sana et al. 2012, Science 337, 444: -0.1")
    e_slope: float = Field(default=0.58, ge=0, description="its error; Sana et al. 2012: not checked at the source")


class PeriodLaw(SettingsModel):
    """Initial periods: a power law dN/dlogP ~ (log P)^slope, P in days, extended at a constant level to short ones."""

    least: float = Field(default=0.15, gt=0, description="log P from which the law holds; Sana et al. 2012")
    most: float = Field(
        default=3.5, gt=0, description="log P to which it holds; the binary fraction counts these pairs"
    )
    slope: float = Field(
        default=0.0,
        gt=-1,
        description="exponent; flat. Sana et al. 2012, Science 337, 444: -0.55, which makes 3.2 times as many pairs a "
        "dex at the least period and below",
    )
    e_slope: float = Field(default=0.22, ge=0, description="its error; Sana et al. 2012: not checked at the source")
    extended_to: float = Field(
        default=-0.3,
        description="log P down to which pairs are born, as many a dex as at the least of the law, and on top of the "
        "binary fraction; an extrapolation: no such young pairs were counted. At most one companion a primary comes "
        "of both: where there would be more, all are scaled down",
    )
    least_extended_to: float = Field(default=-0.3, description="its range for the uncertainty, drawn flat; assumed")
    most_extended_to: float = Field(default=0.0, description="the same; assumed")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.extended_to <= self.least < self.most:
            msg = "extended_to, least and most must rise in this order"
            raise ValueError(msg)
        if not self.least_extended_to <= self.extended_to <= self.most_extended_to <= self.least:
            msg = "extended_to must lie between least_extended_to and most_extended_to, and these not above least"
            raise ValueError(msg)
        return self


class StarFormationSettings(SettingsModel):
    """Stars formed at a constant rate up to now."""

    rate_LMC: float = Field(
        default=0.2, gt=0, description="solar masses a year in the LMC; assumed, of the order of published rates"
    )
    rate_SMC: float = Field(default=0.05, gt=0, description="the same in the SMC; assumed")
    rate_MW: float | None = Field(
        default=None,
        gt=0,
        description="the same in the part of the Milky Way that the survey covers; a population of it needs one, "
        "though odds depend on the ratio of its numbers alone",
    )
    e_log_rate: float = Field(
        default=0.3, ge=0, description="error of the logarithm of the rate in dex: a factor of two; assumed"
    )
    duration: float | None = Field(
        default=None, gt=0, description="years for which stars have formed; unset: longer than any model lives"
    )
    binary_fraction: float = Field(
        default=0.6, gt=0, le=1, description="share of primaries with a companion within the two laws; assumed"
    )
    least_binary_fraction: float = Field(default=0.5, gt=0, le=1, description="its range for the uncertainty; assumed")
    most_binary_fraction: float = Field(default=0.7, gt=0, le=1, description="the same; assumed")
    companions_have_mass: bool = Field(
        default=False,
        description="whether the mass formed holds the companions too: numbers fall by 1 + binary fraction x mean q",
    )

    def rate(self, galaxy: Galaxy) -> float:
        """Star-formation rate of a galaxy.

        Parameters
        ----------
        galaxy : {"LMC", "SMC", "MW"}
            The galaxy.

        Returns
        -------
        float
            Solar masses a year.

        Raises
        ------
        SettingsError
            If it is not set.
        """
        found = {"LMC": self.rate_LMC, "SMC": self.rate_SMC, "MW": self.rate_MW}[galaxy]
        if found is None:
            msg = (
                f"a population of the {galaxy} needs its star-formation rate: set rate_{galaxy} under "
                "[population.star_formation]"
            )
            raise SettingsError(msg)
        return found

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.least_binary_fraction <= self.binary_fraction <= self.most_binary_fraction:
            msg = "binary_fraction must lie between least_binary_fraction and most_binary_fraction"
            raise ValueError(msg)
        return self


class DetectionSettings(SettingsModel):
    """Which inclinations are seen as an eclipsing or ellipsoidal variable."""

    least_depth: Magnitudes | None = Field(
        default=0.1, ge=0.05, le=0.5, description="depth of the deeper minimum in I that is found; unset: every depth"
    )


class CountSettings(SettingsModel):
    """Which systems an expected number counts."""

    M_V_bright: Magnitudes = Field(default=-6.5, description="not brighter; as in selection.main_sequence")
    M_V_faint: Magnitudes = Field(default=-1.0, description="not fainter; as in selection.main_sequence")
    period_max: Days = Field(default=3.0, gt=0, description="shorter periods; as in selection.period")
    draws: int = Field(default=200, ge=20, description="draws of the uncertain settings")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.M_V_bright < self.M_V_faint:
            msg = "M_V_bright must be a smaller number than M_V_faint"
            raise ValueError(msg)
        return self


class DensitySettings(SettingsModel):
    """How finely the density is laid out, and how far models reach beyond themselves."""

    smoothing_log_P: float = Field(
        default=0.02, gt=0, description="standard deviation in dex by which models are smeared; about half a grid step"
    )
    smoothing_M_V: Magnitudes = Field(default=0.1, gt=0, description="the same in M_V, added to the errors of a star")
    smoothing_VI0: Magnitudes = Field(default=0.01, gt=0, description="the same in (V-I)_0")
    reach_log_P: float = Field(
        default=0.05,
        gt=0,
        description="dex around each model that still counts as inside of the grid; one unit of distance",
    )
    reach_M_V: Magnitudes = Field(default=0.2, gt=0, description="the same in M_V")
    reach_VI0: Magnitudes = Field(default=0.03, gt=0, description="the same in (V-I)_0")
    draws: int = Field(default=2048, ge=128, description="draws from the density behind a credible level")


class PopulationSettings(SettingsModel):
    """A population of binaries."""

    masses: InitialMassLaw = InitialMassLaw()
    mass_ratios: MassRatioLaw = MassRatioLaw()
    periods: PeriodLaw = PeriodLaw()
    star_formation: StarFormationSettings = StarFormationSettings()
    overflow_at_zams: Literal["leave out", "keep"] = Field(
        default="leave out",
        description="models that overflow a Roche lobe or L2 at zero age; Fabry et al. 2025 leave them out",
    )
    phases: PhaseSettings = PhaseSettings()
    colours: ColourSettings = ColourSettings()
    maximum_light: bool = Field(
        default=True,
        description="whether magnitudes are those of distorted pairs at maximum light, as OGLE lists them, seen at the "
        "middle of the inclinations that are found; else those of two spheres",
    )
    detection: DetectionSettings = DetectionSettings()
    density: DensitySettings = DensitySettings()
    counts: CountSettings = CountSettings()

    @classmethod
    def like_fabry(cls) -> Self:
        """Weights of Fabry et al. (2025, A&A 695, A109): Salpeter's law, flat in q and in log P, every inclination.

        Returns
        -------
        PopulationSettings
            The settings.
        """
        return cls(
            masses=InitialMassLaw.salpeter(),
            mass_ratios=MassRatioLaw(slope=0.0),
            periods=PeriodLaw(slope=0.0, extended_to=-0.5, least_extended_to=-0.5),
            detection=DetectionSettings(least_depth=None),
        )
