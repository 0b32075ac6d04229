"""What theory says of massive stars: colours, evolution and populations."""

from pathlib import Path

from cbminer.kernels import discard_stale_kernels

__all__: list[str] = []

# The kernel has a constant of the other file compiled into it.
discard_stale_kernels(Path(__file__).parent, ("pair_kernel", "roche_lobe"))
