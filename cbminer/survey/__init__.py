"""Where stars come from: OGLE's archive, a local copy of it, or a simulated survey."""

__all__: list[str] = []
