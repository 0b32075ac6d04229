"""Settings of the ranking."""

from typing import Literal

from pydantic import Field

from cbminer.quantities import Magnitudes, SettingsModel
from cbminer.ranking.mixture import MixtureSettings

__all__ = ["RankingSettings"]


class RankingSettings(SettingsModel):
    """How probabilities, odds and the bona fide set are found."""

    grid: str | None = Field(
        default=None,
        description="grid of models behind the population, a folder of `cbminer grid import`; unset: the package's one "
        "of each Cloud",
    )
    curve: Literal["both", "network", "shape"] = Field(
        default="both",
        description="what of a light curve counts: the network's probabilities and the likelihood of the shape, "
        "weighed so that what they share counts once, or one of them",
    )
    mixture: MixtureSettings = MixtureSettings()
    contour: float = Field(
        default=0.95,
        gt=0,
        lt=1,
        description="part of the contact population within the contour that makes a candidate bona fide; the study's "
        "is not known",
    )
    degenerate_depth: Magnitudes = Field(
        default=0.20,
        ge=0,
        description="round light curves with shallower minima count as degenerate whatever their likelihoods: what "
        "tells them apart is a few thousandths of the flux, less than the models are sure of",
    )
    degenerate_factor: float = Field(
        default=10.0,
        ge=1,
        description="likelihood ratio of contact and its rivals of round light curves, near contact and ellipsoidal, "
        "below which a light curve counts as unable to tell them apart; 10 is called strong by Jeffreys (1961)",
    )
