"""The galaxies whose stars can be judged."""

from typing import Literal

__all__ = ["CLOUDS", "GALAXIES", "Cloud", "Galaxy"]

Cloud = Literal["LMC", "SMC"]
"""A Magellanic Cloud, whose stars have distance, reddening and metallicity in common."""

Galaxy = Literal["LMC", "SMC", "MW"]
"""A Cloud, or the Milky Way (MW), whose stars have none of these in common."""

CLOUDS: tuple[Cloud, ...] = ("LMC", "SMC")
GALAXIES: tuple[Galaxy, ...] = (*CLOUDS, "MW")
