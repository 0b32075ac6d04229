"""Pages of the settings: every one with its type, unit, default, and its meaning with the source."""

import json
import tomllib
import typing
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from rest import heading, list_table, plain, toctree

import cbminer.settings
from cbminer.settings import Settings, load_settings

__all__ = ["settings_pages"]

_LIMITS = (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))
_INTRODUCTION = """\
Made from the program: ``cbminer settings write my.toml`` writes the same, to be edited. A file needs to hold only what
differs. A number with a unit is a string, ``"3 d"``; an unknown key, a missing unit or a value out of its limits is an
error that names the line. The source of a number stands in its meaning; where none is named, and where it says
*assumed*, the number is a choice of this package.

"""


def settings_pages() -> Iterator[tuple[str, str]]:
    """Make the pages of all sections of the settings and the list of them.

    Yields
    ------
    tuple of str
        Name of the file and its text.
    """
    settings = load_settings()
    dumped = settings.model_dump(mode="json")
    fields = Settings.model_fields
    sections = [name for name in fields if isinstance(dumped[name], dict)]
    lines = [*heading("Settings", label="settings"), _INTRODUCTION]
    lines += _table(Settings, dumped)
    rows = [[f":doc:`[{name}] <{name}>`", plain(_meaning_of_section(getattr(settings, name)))] for name in sections]
    lines += [*heading("Sections", 1), *list_table(["section", "what it decides"], rows, widths="30 70")]
    lines += toctree(sections)
    yield "settings/index.rst", "\n".join(lines)
    for name in sections:
        yield f"settings/{name}.rst", "\n".join(_section(name, fields[name].annotation, dumped[name], level=0))
    yield "settings/cloud.rst", "\n".join(_clouds(settings, dumped["cloud"]))


def _meaning_of_section(value: Any) -> str:
    if isinstance(value, dict):
        value = next(iter(value.values()))
    return (type(value).__doc__ or "").split("\n\n", 1)[0]


def _clouds(settings: Settings, dumped: dict[str, Any]) -> Iterator[str]:
    yield from heading("[cloud]", label="settings-cloud")
    yield from ("What the stars of a galaxy have in common. The presets name the sources:", "")
    presets = Path(cbminer.settings.__file__).parent / "presets"
    for preset in sorted(presets.glob("*.toml")):
        if set(tomllib.loads(preset.read_text(encoding="utf-8"))) == {"cloud"}:
            text = preset.read_text(encoding="utf-8").splitlines()
            yield from (".. code-block:: toml", "", *(f"   {line}".rstrip() for line in text), "")
    for cloud, model in settings.cloud.items():
        yield from _section(f"cloud.{cloud}", type(model), dumped[cloud], level=1)


def _section(path: str, annotation: Any, dumped: dict[str, Any], *, level: int) -> Iterator[str]:
    model = _model_of(annotation)
    if model is None:
        return
    yield from heading(f"[{path}]", min(level, 3), label=f"settings-{path.replace('.', '-')}")
    yield from (plain((model.__doc__ or "").split("\n\n", 1)[0]), "")
    yield from _table(model, dumped)
    for name, field in model.model_fields.items():
        if _model_of(field.annotation) is not None:
            yield from _section(f"{path}.{name}", field.annotation, dumped.get(name) or {}, level=level + 1)


def _table(model: type[BaseModel], dumped: dict[str, Any]) -> list[str]:
    rows = [
        [f"``{name}``", _kind(field), _default(field, dumped.get(name, PydanticUndefined)), _meaning(field)]
        for name, field in model.model_fields.items()
        if (_model_of(field.annotation) is None and not isinstance(dumped.get(name), dict))
        or dumped.get(name, PydanticUndefined) is None
    ]
    header = ["setting", "type and limits", "default", "meaning and source"]
    return list_table(header, rows, widths="22 20 18 40") if rows else []


def _meaning(field: FieldInfo) -> str:
    return plain(field.description or "")


def _default(field: FieldInfo, value: Any) -> str:
    if value is PydanticUndefined:
        value = field.default
    if value is PydanticUndefined:
        return "none: give it"
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return f"``{str(value).lower()}``"
    return f"``{json.dumps(value, ensure_ascii=False)}``"


def _kind(field: FieldInfo) -> str:
    limits = [
        f"{sign} {getattr(limit, name):g}"
        for limit in field.metadata
        for name, sign in _LIMITS
        if hasattr(limit, name) and getattr(limit, name) is not None
    ]
    unit = _unit(field.metadata) or _unit_within(field.annotation)
    return ", ".join([f"number in {unit}" if unit else _type_name(field.annotation), *limits])


def _unit(metadata: Any) -> str:
    """Find the unit of a field: its validator is a method of what converts into that unit."""
    for entry in metadata:
        text = getattr(getattr(getattr(entry, "func", None), "__self__", None), "text", "")
        if text:
            return str(text)
    return ""


def _unit_within(annotation: Any) -> str:
    units = [_unit(getattr(part, "__metadata__", ())) for part in (annotation, *typing.get_args(annotation))]
    return next((unit for unit in units if unit), "")


def _type_name(annotation: Any) -> str:
    arguments = [part for part in typing.get_args(annotation) if part is not type(None)]
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return ", ".join(f"``{choice}``" for choice in arguments)
    if origin in (typing.Union, UnionType):
        return " or ".join(_type_name(part) for part in arguments)
    if origin is typing.Annotated:
        return _type_name(arguments[0])
    if origin in (tuple, list, frozenset, set):
        return f"list of {_type_name(arguments[0])}"
    names = {float: "number", int: "whole number", str: "text", bool: "true or false"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _model_of(annotation: Any) -> type[BaseModel] | None:
    for part in (annotation, *typing.get_args(annotation)):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
    return None
