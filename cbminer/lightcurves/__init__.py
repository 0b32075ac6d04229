"""Light curves: gathered, cleaned and folded."""

__all__: list[str] = []
