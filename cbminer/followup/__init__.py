"""Follow-up of candidates: ephemerides, expected velocities, visibility, exposures, and lists for telescopes."""

from pathlib import Path

from cbminer.kernels import discard_stale_kernels

__all__: list[str] = []

# The kernel of velocities has those of the light curves compiled into it.
discard_stale_kernels(
    Path(__file__).parent,
    (
        "proximity",
        "../synthetic/eclipse",
        "../synthetic/equipotential",
        "../synthetic/lobe",
        "../synthetic/radiation",
        "../synthetic/reflection",
        "../synthetic/sight",
    ),
)
