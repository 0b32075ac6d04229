"""From observed to intrinsic: distance, reddening, absolute magnitudes and colours."""

__all__: list[str] = []
