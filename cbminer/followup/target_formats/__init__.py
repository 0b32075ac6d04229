"""Target lists in the formats of observatories: one module a format, each with a writer, a reader and a check."""
