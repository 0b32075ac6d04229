"""What a run shows: products, figures, a summary, and the explanation of one star."""

__all__: list[str] = []
