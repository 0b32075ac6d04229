"""Sphinx extension: pages made of the code itself, before any page is read.

They lie in ``docs/reference/generated``, which git ignores: the modules, the commands, the settings, the columns and
flags of the catalogue, the README files of the data folders, and the notebooks with their kept outputs.
"""

from collections.abc import Iterator
from pathlib import Path

from api_pages import api_pages
from column_pages import column_pages
from command_pages import command_pages
from repository_pages import repository_pages, site_links
from settings_pages import settings_pages
from sphinx.application import Sphinx

__all__ = ["GENERATED", "setup"]

GENERATED = "reference/generated"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx.

    Parameters
    ----------
    app : `~sphinx.application.Sphinx`
        The application.

    Returns
    -------
    dict
        What Sphinx wants to know of an extension.
    """
    app.connect("builder-inited", _generate)
    app.connect("source-read", _mend_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _generate(app: Sphinx) -> None:
    folder = Path(app.srcdir) / GENERATED
    written = set()
    for name, text in _all_pages(Path(app.srcdir).parent):
        page = folder / name
        written.add(page)
        page.parent.mkdir(parents=True, exist_ok=True)
        # A page that stays as it is keeps its time, and is not built again.
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")
    for page in folder.rglob("*"):
        if page.is_file() and page not in written:
            page.unlink()


def _all_pages(root: Path) -> Iterator[tuple[str, str]]:
    yield from api_pages()
    yield from command_pages()
    yield from settings_pages()
    yield from column_pages()
    yield from repository_pages(root)


def _mend_links(app: Sphinx, docname: str, source: list[str]) -> None:
    """Turn links that leave the folder of the documentation into links that the site can follow."""
    page = Path(app.srcdir) / f"{docname}.md"
    if page.exists() and not docname.startswith(GENERATED):
        source[0] = site_links(source[0], folder=page.parent, root=Path(app.srcdir).parent, moved=False)
