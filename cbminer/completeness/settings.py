"""Settings of the injection of synthetic binaries into a survey."""

from pydantic import Field

from cbminer.quantities import Magnitudes, SettingsModel
from cbminer.synthetic.priors import BinaryPriors

__all__ = ["InjectionSettings"]


class InjectionSettings(SettingsModel):
    """Which binaries are injected into a survey, and how the result is told."""

    n: int = Field(default=5000, ge=1, description="binaries in all, an equal number in each Cloud")
    near_contact: float = Field(
        default=0.4, ge=0, le=1, description="share of pairs near contact; the others are in contact"
    )
    like_population: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="share of the binaries drawn about as the population has them in log P, M_V and q, so that its "
        "completeness is well known; the others are drawn broad",
    )
    priors: BinaryPriors = Field(
        default=BinaryPriors(), description="ranges of the binaries; masses are flat in their logarithm here"
    )
    margin_M_V: Magnitudes = Field(
        default=0.75,
        ge=0,
        description="M_V on either side of the main-sequence box of the selection; from there errors "
        "bring stars into it",
    )
    lent_curves: int = Field(
        default=400, ge=10, description="light curves of the survey, at random, from which its errors are measured"
    )
    wrong_period: float = Field(
        default=0.0, ge=0, le=1, description="share of binaries that the catalogue lists at half or twice the period"
    )
    least_probability: float = Field(
        default=0.5, ge=0, le=1, description="posterior probability of contact from which a star counts as in contact"
    )
    draws: int = Field(default=4000, ge=100, description="draws behind the errors of corrected numbers")
