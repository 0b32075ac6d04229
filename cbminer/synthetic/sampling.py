"""Settings of how stars are observed: seasons, errors, outliers, blends, and how well an ephemeris is known."""

from typing import Self

from pydantic import Field, model_validator

from cbminer.quantities import Magnitudes, SettingsModel

__all__ = ["SamplingSettings"]


class SamplingSettings(SettingsModel):
    """How stars are observed: seasons, errors, outliers, blends, and how well an ephemeris is known."""

    seasons: int = Field(
        default=5,
        ge=1,
        le=12,
        description="observing seasons of eight months, from 2010 on; five are those up to 2015",
    )
    fewest_V: int = Field(default=30, ge=0, description="points in V at least; OGLE-IV has typically 30 to 150")
    most_V: int = Field(default=150, ge=0, description="points in V at most")
    brightest_I: Magnitudes = Field(
        default=13.0, description="stars brighter in I than this saturate; those of a library are moved farther away"
    )
    faintest_I: Magnitudes = Field(
        default=20.5, description="fainter stars are not found; those of a library are moved closer"
    )
    error_scale: float = Field(
        default=1.2,
        gt=0,
        description="gamma in sqrt((gamma sigma)^2 + eps^2), the true error of a point of stated error sigma (form: "
        "Skowron J. et al. 2016, AcA 66, 1); about 1 to 1.7 from field to field",
    )
    error_floor: Magnitudes = Field(
        default=0.003, ge=0, description="eps in the same; about 0.003 to 0.005 mag from field to field"
    )
    outliers: float = Field(default=0.003, ge=0, le=1, description="share of points that are far off; assumed")
    blended: float = Field(default=0.2, ge=0, le=1, description="share of stars with third light; assumed")
    third_light_least: float = Field(
        default=0.02, ge=0, lt=1, description="third light of a blended star in I, over all light at maximum; assumed"
    )
    third_light_most: float = Field(default=0.5, ge=0, lt=1, description="the same at most; assumed")
    blend_colour_scatter: Magnitudes = Field(
        default=0.3, ge=0, description="scatter of V-I of third light about that of the star; assumed"
    )
    period_error: float = Field(
        default=1e-6,
        ge=0,
        description="relative error of a period of 1 d, in proportion to the period for others: five years fix the "
        "phase at their ends to a few thousandths",
    )
    epoch_error: float = Field(default=1e-3, ge=0, lt=0.5, description="error of an epoch of minimum, cycles")
    template_fewest_I: int = Field(
        default=100, ge=1, description="points in I that a real light curve needs to lend its dates"
    )
    template_fewest_V: int = Field(default=10, ge=0, description="the same in V; 0 takes stars without V")

    most_templates: int = Field(default=500, ge=1, description="real light curves whose dates are used at most")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        pairs = (("fewest_V", "most_V"), ("third_light_least", "third_light_most"), ("brightest_I", "faintest_I"))
        for least, most in pairs:
            if getattr(self, least) > getattr(self, most):
                msg = f"{least} is larger than {most}: exchange them, or raise {most}"
                raise ValueError(msg)
        return self
