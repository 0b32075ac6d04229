"""Shapes of light curves."""

__all__: list[str] = []
