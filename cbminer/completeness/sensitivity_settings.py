"""Settings of the sensitivity of the sample."""

from pydantic import Field

from cbminer.quantities import Magnitudes, SettingsModel

__all__ = ["SensitivitySettings"]


class SensitivitySettings(SettingsModel):
    """How the sensitivity of the sample is measured."""

    n_values: int = Field(default=41, ge=5, description="values of each limit, even over its range")
    map_values: int = Field(default=21, ge=3, description="values of each of the two limits of the map")
    joint_share: float = Field(
        default=0.3, gt=0, lt=1, description="by which share of its value every limit is tightened and loosened at most"
    )
    draws: int = Field(default=200, ge=10, description="draws of the bootstrap")
    e_E_VI_zero: Magnitudes = Field(
        default=0.02,
        ge=0,
        description="error of the zero point of E(V-I), the same for all stars; assumed: the intrinsic colour of the "
        "red clump, on which maps rest",
    )
