"""Shapes of light curves."""

from pathlib import Path

from cbminer.kernels import discard_stale_kernels

__all__: list[str] = []

# The splines have the sines of the light curves compiled into them.
discard_stale_kernels(
    Path(__file__).parent, ("eclipses", "embedding", "matching", "minima", "spline", "../lightcurves/circle")
)
