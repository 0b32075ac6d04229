"""Pages of the repository outside of the documentation: README files of the data, rules for developers, notebooks."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

__all__ = ["repository_pages", "site_links"]

_MIRRORED = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "catalogs/README.md": "catalogs.md",
    "grids/README.md": "grids.md",
    "grids/mesa/README.md": "grids-mesa.md",
    "grids/roche-sse/README.md": "grids-roche-sse.md",
}
_PLACE = "/reference/generated"
_PLACES = {"README.md": "/index.md", "notebooks/README.md": f"{_PLACE}/notebooks/index.md"}
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]*)(#[^)\s]*)?\)")


def repository_pages(root: Path) -> Iterator[tuple[str, str]]:
    """Copy the files, with links that the site can follow.

    Parameters
    ----------
    root : `~pathlib.Path`
        The repository.

    Yields
    ------
    tuple of str
        Name of the file and its text.
    """
    for source, name in _MIRRORED.items():
        path = root / source
        yield (
            f"repository/{name}",
            site_links(path.read_text(encoding="utf-8"), folder=path.parent, root=root, moved=True),
        )
    notebooks = sorted((root / "notebooks").glob("*.ipynb"))
    yield "notebooks/index.md", _list_of_notebooks(notebooks, root)
    for path in notebooks:
        yield f"notebooks/{path.name}", _notebook(path, root)


def site_links(text: str, *, folder: Path, root: Path, moved: bool) -> str:
    """Turn links to files of the repository into links to pages of the site or downloads.

    Parameters
    ----------
    text : str
        Markdown.
    folder : `~pathlib.Path`
        Folder of its file, from which its links start.
    root : `~pathlib.Path`
        The repository.
    moved : bool
        Whether the page lies in another folder than its file, so that links between pages change too.

    Returns
    -------
    str
        Markdown. A link to nothing stays as it is: Sphinx reports it.
    """

    def mend(match: re.Match[str]) -> str:
        image, label, target, anchor = match[1], match[2], match[3], match[4] or ""
        path = (folder / target).resolve()
        inside = path.is_relative_to(root.resolve())
        if not target or "://" in target or target.startswith(("mailto:", "/")) or not inside or not path.exists():
            return match[0]
        name = path.relative_to(root.resolve()).as_posix()
        if name.startswith("docs/"):
            return f"{image}[{label}](/{name.removeprefix('docs/')}{anchor})" if moved else match[0]
        return f"{image}{_outside(label, name, anchor, path)}"

    return _LINK.sub(mend, text)


def _outside(label: str, name: str, anchor: str, path: Path) -> str:
    if name in _MIRRORED:
        return f"[{label}]({_PLACE}/repository/{_MIRRORED[name]}{anchor})"
    if name in _PLACES:
        return f"[{label}]({_PLACES[name]}{anchor})"
    if name.startswith("notebooks/") and name.endswith(".ipynb"):
        return f"[{label}]({_PLACE}/{name})"
    if path.is_dir():
        return f"`{name}`"
    return "{download}`" + f"{label.strip('`')} </../{name}>`"


def _notebook(path: Path, root: Path) -> str:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = "".join(cell["source"])
            cell["source"] = site_links(text, folder=path.parent, root=root, moved=True).splitlines(keepends=True)
    return json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def _list_of_notebooks(notebooks: list[Path], root: Path) -> str:
    """Show what their folder says of them, and where they are."""
    told = root / "notebooks" / "README.md"
    text = told.read_text(encoding="utf-8") if told.exists() else "# Notebooks\n"
    more = ["/notebooks"] if (root / "docs" / "notebooks.md").exists() else []
    pages = "\n".join([*more, *(path.name for path in notebooks)])
    return f"{site_links(text, folder=told.parent, root=root, moved=True)}\n```{{toctree}}\n:hidden:\n\n{pages}\n```\n"
