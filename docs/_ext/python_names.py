"""Sphinx extension: names of Python mean what they mean in the module whose docstring has them.

Sphinx looks for a type such as ``Comparison`` in the whole package, and is at a loss where two modules have one. Here
it is looked up as Python would do it. Names that a module passes on from another one are described there, and known
here too.
"""

import importlib
import inspect
import re
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

__all__ = ["PublicAlias", "setup"]


class PublicAlias(SphinxDirective):
    """``.. public-alias:: NAME HOME``: put NAME into the inventory, and link to HOME."""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        """Make the line of the page.

        Returns
        -------
        list of node
            A paragraph with the target.
        """
        name, home = self.arguments
        module, _, member = home.rpartition(".")
        kind = "class" if inspect.isclass(getattr(importlib.import_module(module), member)) else "function"
        target = nodes.paragraph(ids=[name])
        self.state.document.note_explicit_target(target)
        self.env.domains["py"].note_object(name, kind, name, aliased=True, location=target)
        content, _ = self.state.inline_text(f"``{name}`` is :py:obj:`{home}`.", self.lineno)
        target += content
        return [target]


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
    app.add_directive("public-alias", PublicAlias)
    app.connect("autodoc-process-docstring", _escape_underscores)
    app.connect("doctree-read", _resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _escape_underscores(_app: Sphinx, _kind: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Keep names such as mag_ from being taken for links: docstrings have none of that form."""
    lines[:] = [re.sub(r"(?<![`\w])(\w+)_(?=[\s,.;:)]|$)", r"\1\\_", line) for line in lines]


def _resolve(_app: Sphinx, document: nodes.document) -> None:
    for reference in list(document.findall(pending_xref)):
        module = reference.get("py:module")
        # Only those that Sphinx would seek everywhere.
        if reference.get("refdomain") == "py" and reference.get("refspecific") and module:
            full = _full_name(module, reference["reftarget"])
            if full:
                reference["reftarget"] = full
                reference["refspecific"] = False
            else:
                reference.replace_self(reference.children)


def _full_name(module: str, name: str) -> str:
    """Name an object by the module that defines it; empty if the module knows no such name, or it is not ours."""
    value = importlib.import_module(module)
    for part in name.removeprefix(f"{module}.").split("."):
        value = getattr(value, part, None)
    home = getattr(value, "__module__", "") or ""
    return f"{home}.{value.__qualname__}" if home.startswith("cbminer") and hasattr(value, "__qualname__") else ""
