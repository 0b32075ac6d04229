"""The selection: cuts as settings objects, the period-luminosity-colour relation, the cut-flow."""

__all__: list[str] = []
