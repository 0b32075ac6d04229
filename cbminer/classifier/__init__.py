"""Classes of light curves by a network of one-bit weights and activations, and how far to trust them."""

from pathlib import Path

from cbminer.kernels import discard_stale_kernels

__all__: list[str] = []

discard_stale_kernels(Path(__file__).parent, ("binning", "packed_kernels"))
