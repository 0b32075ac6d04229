"""Pages of the Python interface: one a module, with every name of its ``__all__``."""

import ast
import importlib
import importlib.util
import inspect
import pkgutil
import pprint
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel
from rest import heading, list_table, plain, toctree

import cbminer

__all__ = ["api_pages"]

# Longer values say less than the description of the name.
_LONGEST_VALUE = 88
_MOST_LINES = 40


def api_pages() -> Iterator[tuple[str, str]]:
    """Make the pages of all modules.

    Yields
    ------
    tuple of str
        Name of the file and its text.
    """
    names = [cbminer.__name__, *(module.name for module in pkgutil.walk_packages(cbminer.__path__, "cbminer."))]
    names = sorted(name for name in names if not name.endswith("__main__"))
    for name in names:
        try:
            lines = list(_page(importlib.import_module(name), names))
        except ModuleNotFoundError as error:
            if (error.name or "cbminer").startswith("cbminer"):
                raise
            lines = list(_page_without(name, error.name or ""))
        yield f"api/{name}.rst", "\n".join(lines)


def _page_without(name: str, missing: str) -> Iterator[str]:
    """Say what a module is for whose extra is not installed where the documentation is built."""
    yield from heading(name)
    yield from (plain(_first_line(name)), "")
    yield f"Its names are not shown here: they need ``{missing}``, which was not installed when this page was made."


def _page(module: ModuleType, names: list[str]) -> Iterator[str]:
    below = [other for other in names if other.rpartition(".")[0] == module.__name__]
    yield from heading(module.__name__)
    yield from (f".. automodule:: {module.__name__}", "   :no-members:", "")
    if below:
        yield from heading("Modules", 1)
        rows = [[f":doc:`{other}`", _first_line(other)] for other in below]
        yield from list_table(["module", "what it holds"], rows, widths="35 65")
        yield from toctree(below)
    public = sorted(getattr(module, "__all__", []), key=str.lower)
    if public:
        yield from heading("Names", 1)
    for name in public:
        yield from _name(module, name)


def _first_line(name: str) -> str:
    """Read the first sentence of a module's docstring from its file, which need not be imported for it."""
    origin = importlib.util.find_spec(name).origin
    tree = ast.parse(Path(origin).read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or "").split("\n\n", 1)[0].replace("\n", " ")


def _name(module: ModuleType, name: str) -> Iterator[str]:
    value = getattr(module, name)
    full = f"{module.__name__}.{name}"
    home = _home(module, name, value)
    if home:
        yield from (f".. public-alias:: {full} {home}.{name}", "")
    elif inspect.isclass(value):
        yield from (f".. autoclass:: {full}", *_class_options(value), "")
        if issubclass(value, BaseModel):
            yield from _fields(value)
    # Functions, and those that numba or a cache has wrapped.
    elif inspect.isfunction(inspect.unwrap(value) if callable(value) else value):
        yield from (f".. autofunction:: {full}", "")
    else:
        yield from _constant(module, name, value)


def _home(module: ModuleType, name: str, value: Any) -> str:
    """Name the module that the name comes from, if it is another one that has it among its public names."""
    home = getattr(value, "__module__", None)
    if not isinstance(home, str) or home == module.__name__ or not home.startswith("cbminer"):
        return ""
    found = importlib.import_module(home)
    return home if name in getattr(found, "__all__", []) and getattr(found, name) is value else ""


def _constant(module: ModuleType, name: str, value: Any) -> Iterator[str]:
    """Describe what is no class and no function: by its value if that is short, and by the comment above it."""
    yield from (f".. py:data:: {name}", f"   :module: {module.__name__}")
    if len(repr(value)) <= _LONGEST_VALUE and " at 0x" not in repr(value):
        yield f"   :value: {value!r}"
    yield from ("", f"   {plain(_comment_above(module, name))}", "")
    shown = pprint.pformat(value, width=100, sort_dicts=False).splitlines()
    if isinstance(value, dict | tuple) and 1 < len(shown) <= _MOST_LINES and "<" not in repr(value):
        yield from ("   .. code-block:: python", "", *(f"      {line}" for line in shown), "")


def _comment_above(module: ModuleType, name: str) -> str:
    """Read the comment in the lines before the assignment of a name, or say of what kind its value is."""
    lines = inspect.getsource(module).splitlines()
    starts = [place for place, line in enumerate(lines) if re.match(rf"{name}\b\s*[:=]", line)]
    comment: list[str] = []
    place = starts[0] - 1 if starts else -1
    while place >= 0 and lines[place].startswith("#"):
        comment.insert(0, lines[place].lstrip("# "))
        place -= 1
    value = getattr(module, name)
    kind = "Name of a type" if type(value).__module__ in {"typing", "types"} else f"Of type {type(value).__name__}"
    return " ".join(comment) or f"{kind}."


def _class_options(value: type) -> list[str]:
    if issubclass(value, BaseModel):
        # Its signature would be a page long; the fields follow as a table.
        return ["   :members:", "   :exclude-members: model_config, model_post_init, __init__, __new__"]
    plain_class = value.__bases__ == (object,)
    return ["   :members:", *([] if plain_class else ["   :show-inheritance:"])]


def _fields(model: type[BaseModel]) -> Iterator[str]:
    rows = [[f"``{name}``", plain(field.description or "")] for name, field in model.model_fields.items()]
    if rows:
        yield from (f"   {line}".rstrip() for line in list_table(["field", "meaning"], rows, widths="30 70"))
