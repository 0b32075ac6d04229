"""What theory says of massive stars: colours, and later evolution and populations."""

__all__: list[str] = []
