"""Building blocks of reStructuredText."""

import re
from collections.abc import Iterable, Sequence

__all__ = ["heading", "list_table", "plain", "toctree"]

_UNDERLINES = "=-~^"


def plain(text: str) -> str:
    """Escape what reStructuredText would take for markup, and put it on one line.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str
        The same text for a reader.
    """
    return re.sub(r"([*`|_\\])", r"\\\1", " ".join(text.split()))


def heading(text: str, level: int = 0, *, label: str | None = None) -> list[str]:
    """Lines of a heading.

    Parameters
    ----------
    text : str
        The heading, as markup.
    level : int
        0 for the title of a page.
    label : str, optional
        Name by which other pages link to it.

    Returns
    -------
    list of str
        Lines.
    """
    target = [f".. _{label}:", ""] if label else []
    return [*target, text, _UNDERLINES[level] * len(text), ""]


def list_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, widths: str) -> list[str]:
    """Lines of a table.

    Parameters
    ----------
    header : sequence of str
        Names of the columns.
    rows : iterable of sequence of str
        Cells, as markup.
    widths : str
        Relative widths of the columns.

    Returns
    -------
    list of str
        Lines.
    """
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", "   :class: reference-table", ""]
    for row in [header, *rows]:
        for place, cell in enumerate(row):
            lines.append(f"   {'* -' if place == 0 else '  -'} {cell}".rstrip())
    return [*lines, ""]


def toctree(entries: Iterable[str]) -> list[str]:
    """Lines of a table of contents that the page itself does not show.

    Parameters
    ----------
    entries : iterable of str
        Pages, relative to the page that has the table.

    Returns
    -------
    list of str
        Lines.
    """
    return [".. toctree::", "   :hidden:", "", *(f"   {entry}" for entry in entries), ""]
