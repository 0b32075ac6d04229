"""Synthetic light curves: the Roche engine, its judge PHOEBE, cadence and noise, and labelled libraries."""

from pathlib import Path

from cbminer.kernels import discard_stale_kernels

discard_stale_kernels(
    Path(__file__).parent, ("eclipse", "equipotential", "geometry", "lobe", "radiation", "reflection", "roche", "sight")
)
