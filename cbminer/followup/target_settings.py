"""Settings of the target lists: what an observatory asks for and a survey cannot know.

Where only the observer can say, there is no default: the list is refused with the name of the setting, or the cell
stays empty where the observatory allows that.
"""

from typing import Literal

from pydantic import Field

from cbminer.quantities import Arcseconds, Degrees, Seconds, SettingsModel

__all__ = [
    "AptSettings",
    "Ds9Settings",
    "EsoSettings",
    "FourmostSettings",
    "MocSettings",
    "SaltSettings",
    "TargetSettings",
]

_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$"


class EsoSettings(SettingsModel):
    """Constraints of ESO's observation blocks. What is unset is left to p2 and its defaults for the instrument."""

    site: str | None = Field(
        default=None,
        description="site whose windows become time constraints; unset: that of the plan; refused if none is of it",
    )
    airmass: float | None = Field(default=None, ge=1, le=5, description="largest airmass")
    sky_transparency: Literal["Photometric", "Clear", "Variable, thin cirrus", "Variable, thick cirrus"] | None = Field(
        default=None, description="sky transparency, spelt as p2 spells it; check it there"
    )
    seeing: float | None = Field(default=None, gt=0, le=10, description="arcsec, largest image size")
    moon_distance: Degrees | None = Field(default=None, ge=0, le=180, description="least distance from the Moon")
    fli: float | None = Field(default=None, ge=0, le=1, description="largest fraction of the Moon that is lit")
    twilight: int | None = Field(
        default=None, ge=-120, le=120, description="minutes after the end of evening twilight from which it may start"
    )
    water_vapour: float | None = Field(default=None, gt=0, le=50, description="mm, largest precipitable water vapour")


class FourmostSettings(SettingsModel):
    """What a 4MOST catalogue says of the programme; the first five belong to your sub-survey and have no default."""

    subsurvey: str | None = Field(
        default=None, min_length=1, max_length=256, pattern=_NAME, description="name of the sub-survey"
    )
    template: str | None = Field(
        default=None, min_length=1, max_length=256, pattern=_NAME, description="file of the spectral template"
    )
    ruleset: str | None = Field(
        default=None, max_length=256, pattern=r"^[A-Za-z][A-Za-z0-9_.+-]*$", description="name of the ruleset"
    )
    resolution: Literal[1, 2] | None = Field(default=None, description="1: low, 2: high")
    mag_type: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        pattern=_NAME,
        description="4MOST's name of the filter and system of MAG, such as those of its user manual",
    )
    mag_band: Literal["V", "I"] = Field(default="V", description="magnitude at maximum light that becomes MAG")
    classification: str | None = Field(
        default=None, min_length=1, max_length=256, description="CLASSIFICATION; unset: the column is left out"
    )
    cadence: int = Field(default=0, ge=0, lt=2**22, description="CADENCE; 0 asks for nothing")
    epoch: float = Field(
        default=2000.0,
        ge=1950,
        le=2050,
        description="years, epoch of the positions; OGLE states none, and the Clouds move by 0.002 arcsec a year",
    )
    E_VI_per_E_BV: float | None = Field(
        default=None, gt=0, lt=5, description="E(V-I) / E(B-V), for REDDENING; unset: REDDENING is unknown"
    )
    velocity_LMC: float = Field(
        default=262.0,
        ge=0,
        le=500,
        description="km/s, velocity that becomes the redshift; van der Marel et al. 2002, AJ 124, 2639, not checked at "
        "the source",
    )
    velocity_SMC: float = Field(
        default=146.0,
        ge=0,
        le=500,
        description="km/s, velocity that becomes the redshift; Harris & Zaritsky 2006, AJ 131, 2514, not checked at "
        "the source",
    )


class SaltSettings(SettingsModel):
    """What a list for SALT says beside the stars."""

    target_type: Literal["EB*", "EB*WUMa", "EB*betLyr", "EB*Algol", "Candidate_EB*", "**", "SB", "Star", "V*"] = Field(
        default="EB*", description="label of the type in SIMBAD's old scheme, which the PIPT takes"
    )
    overhead: Seconds | None = Field(
        default=None,
        ge=0,
        description="added to the exposure for the observing time, which Phase 1 asks for; unset: it stays empty",
    )
    maximum_lunar_phase: float = Field(
        default=100.0, ge=0, le=100, description="per cent; 100 sets no limit. Read in Phase 1 only"
    )
    first: int = Field(default=10, ge=0, description="stars, the first by rank, that are ranked High; then Medium")
    second: int = Field(default=30, ge=0, description="stars, the first by rank, that are not ranked Low")


class AptSettings(SettingsModel):
    """What a list for HST's Astronomer's Proposal Tool says beside the stars."""

    category: Literal["EXT-STAR", "STAR"] = Field(
        default="EXT-STAR", description="category of the targets; EXT-STAR is a star in another galaxy"
    )
    description: str | None = Field(
        default=None, min_length=1, max_length=100, description="keywords of APT, such as [B0-B2 V-IV]; unset: empty"
    )


class Ds9Settings(SettingsModel):
    """How stars are marked on an image."""

    radius: Arcseconds = Field(default=2.0, gt=0, description="radius of the circle about each star")
    first: int = Field(default=10, ge=0, description="stars, the first by rank, in the first colour")
    second: int = Field(default=30, ge=0, description="stars, the first by rank, in the first or second colour")


class MocSettings(SettingsModel):
    """Footprint of the stars."""

    radius: Arcseconds = Field(default=60.0, gt=0, le=36000, description="radius of the field about each star")
    max_order: int = Field(
        default=16, ge=4, le=29, description="order of the smallest cells; those of order 16 measure 3.2 arcsec"
    )


class TargetSettings(SettingsModel):
    """Settings of all target lists."""

    eso: EsoSettings = EsoSettings()
    fourmost: FourmostSettings = FourmostSettings()
    salt: SaltSettings = SaltSettings()
    apt: AptSettings = AptSettings()
    ds9: Ds9Settings = Ds9Settings()
    moc: MocSettings = MocSettings()
