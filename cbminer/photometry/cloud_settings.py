"""What the stars of a galaxy have in common: distance and mean reddening, where there are any."""

from collections.abc import Mapping

from pydantic import Field

from cbminer.errors import SettingsError
from cbminer.galaxies import Galaxy
from cbminer.photometry.distance import DistanceSettings
from cbminer.photometry.reddening import MeanReddening
from cbminer.quantities import SettingsModel

__all__ = ["CloudSettings", "common_distance", "mean_reddening"]


class CloudSettings(SettingsModel):
    """What the stars of a galaxy have in common."""

    distance: DistanceSettings | None = Field(
        default=None, description="their distance, a table; the Milky Way has none, but a cluster in it may"
    )
    reddening: MeanReddening | None = Field(default=None, description="their mean reddening, a table; likewise")


def common_distance(clouds: Mapping[Galaxy, CloudSettings], galaxy: Galaxy) -> DistanceSettings:
    """Distance that the stars of a galaxy have in common, for what cannot do without one.

    Parameters
    ----------
    clouds : mapping
        Settings of the galaxies.
    galaxy : {"LMC", "SMC", "MW"}
        The galaxy.

    Returns
    -------
    DistanceSettings
        The distance.

    Raises
    ------
    SettingsError
        If they have none.
    """
    common = clouds.get(galaxy)
    if common is None or common.distance is None:
        raise SettingsError(_nothing_in_common(galaxy, "distance"))
    return common.distance


def mean_reddening(clouds: Mapping[Galaxy, CloudSettings], galaxy: Galaxy) -> MeanReddening:
    """Mean reddening of the stars of a galaxy, for what cannot do without one.

    Parameters
    ----------
    clouds : mapping
        Settings of the galaxies.
    galaxy : {"LMC", "SMC", "MW"}
        The galaxy.

    Returns
    -------
    MeanReddening
        The mean and the scatter.

    Raises
    ------
    SettingsError
        If there is none.
    """
    common = clouds.get(galaxy)
    if common is None or common.reddening is None:
        raise SettingsError(_nothing_in_common(galaxy, "reddening"))
    return common.reddening


def _nothing_in_common(galaxy: Galaxy, what: str) -> str:
    return (
        f"the stars of the {galaxy} have no {what} in common, which this needs: it is for the Magellanic Clouds, or "
        f"for a cluster with [cloud.{galaxy}.{what}] in the settings"
    )
