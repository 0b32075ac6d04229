"""The command ``cbminer cite``: what a run used, as references."""

from enum import StrEnum
from typing import Annotated

import typer

from cbminer.cli_run import RunOption, only_run
from cbminer.errors import SettingsError

__all__ = ["CitationFormat", "cite"]


class CitationFormat(StrEnum):
    """Ways to write references."""

    BIBTEX = "bibtex"
    TEXT = "text"


def cite(
    *,
    run: RunOption = None,
    form: Annotated[
        CitationFormat, typer.Option("--format", help="BibTeX entries, or a line a reference.", case_sensitive=False)
    ] = CitationFormat.BIBTEX,
) -> None:
    """Print the references of the data, codes and relations that a run used; without a run, all of them."""
    from cbminer.citation_rules import citation_lines
    from cbminer.citation_usage import Usage, usage_of_run

    try:
        folder = run or only_run()
    except SettingsError:
        usage = Usage(everything=True, remarks=("no run was named; with --run, only what it used is listed",))
    else:
        usage = usage_of_run(folder)
    for line in citation_lines(usage, bibtex=form is CitationFormat.BIBTEX):
        typer.echo(line)
