"""The catalogue: one schema, written in every format that astronomers read."""

__all__: list[str] = []
