"""What a catalogue says of itself, in every format."""

from dataclasses import dataclass

__all__ = ["CatalogueTitle"]


@dataclass(frozen=True)
class CatalogueTitle:
    """What a catalogue says of itself.

    Attributes
    ----------
    title : str
        Title, one line.
    survey : str
        Survey the stars come from; "mock" for simulated stars.
    source : str
        Release of the survey's catalogue.
    version : str
        Version of cbminer.
    """

    title: str
    survey: str
    source: str
    version: str

    @property
    def lines(self) -> list[tuple[str, str]]:
        """Names and values, in order."""
        found = [
            ("title", self.title),
            ("survey", self.survey),
            ("source", self.source),
            ("creator", f"cbminer {self.version}"),
        ]
        if self.survey == "mock":
            found.append(("warning", "simulated stars, not observations"))
        return found
