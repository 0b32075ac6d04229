"""Settings of the comparison with a published list."""

from pydantic import Field

from cbminer.quantities import Arcseconds, SettingsModel

__all__ = ["AgainstSettings"]


class AgainstSettings(SettingsModel):
    """How the stars of a published list are found in a run."""

    match_radius: Arcseconds = Field(
        default=1.0, gt=0, description="largest distance of a star that is found by its position"
    )
    period_tolerance: float = Field(default=1e-3, gt=0, description="largest relative difference of periods that agree")
