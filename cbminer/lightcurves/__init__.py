"""Light curves: gathered, cleaned and folded, and their periods judged."""

from pathlib import Path

from cbminer.kernels import discard_stale_kernels

__all__: list[str] = []

discard_stale_kernels(
    Path(__file__).parent,
    (
        "circle",
        "cleaning",
        "folding",
        "harmonics",
        "normal_equations",
        "period_fit",
        "period_kernels",
        "period_shape",
        "spectrum_kernels",
    ),
)
