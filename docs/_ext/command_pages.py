"""Pages of the commands: every command and every option, as the command line itself knows them."""

import typing
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import typer
from rest import heading, list_table, plain, toctree

from cbminer.cli import app

__all__ = ["command_pages"]

_WORDS = {Path: "PATH", int: "INTEGER", float: "NUMBER"}
_STATUS = [
    "The exit status is 0 for success, 1 for a run that failed, 2 for a wrong request and 130 after Ctrl-C.",
    "",
]


def command_pages() -> Iterator[tuple[str, str]]:
    """Make the pages of all commands and the list of them.

    Yields
    ------
    tuple of str
        Name of the file and its text.
    """
    root = typer.main.get_command(app)
    commands = {name: command for name, command in sorted(root.commands.items()) if not command.hidden}
    lines = heading("Commands", label="commands")
    lines += ["Made from the program. ``cbminer COMMAND --help`` prints the same.", ""]
    rows = [[f":doc:`cbminer {name} <{name}>`", plain(_summary(command))] for name, command in commands.items()]
    lines += list_table(["command", "what it does"], rows, widths="30 70")
    lines += heading("Of the program itself", 1)
    lines += _parameters(root, "cbminer")
    lines += _STATUS
    lines += toctree(commands)
    yield "commands/index.rst", "\n".join(lines)
    for name, command in commands.items():
        yield f"commands/{name}.rst", "\n".join(_page(command, f"cbminer {name}"))


def _page(command: Any, name: str) -> Iterator[str]:
    yield from heading(name, label=f"command-{name.replace(' ', '-')}")
    yield from _body(command, name)
    for word, below in sorted(getattr(command, "commands", {}).items()):
        if not below.hidden:
            yield from heading(f"{name} {word}", 1, label=f"command-{name.replace(' ', '-')}-{word}")
            yield from _body(below, f"{name} {word}")


def _body(command: Any, name: str) -> Iterator[str]:
    for paragraph in (command.help or "").split("\n\n"):
        yield from (plain(paragraph), "")
    yield from (".. code-block:: text", "", f"   {_usage(command, name)}", "")
    yield from _parameters(command, name)


def _usage(command: Any, name: str) -> str:
    words = [name]
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            metavar = _argument(parameter)
            words.append(metavar if parameter.required else f"[{metavar}]")
        elif parameter.required:
            words.append(f"{parameter.opts[0]} {_metavar(parameter)}")
    words += ["COMMAND"] if getattr(command, "commands", None) else []
    return " ".join([*words, "[OPTIONS]"])


def _parameters(command: Any, name: str) -> list[str]:
    lines = [f".. program:: {name}", ""]
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name != "argument"]
    for parameter in [*arguments, *options]:
        if getattr(parameter, "hidden", False) or parameter.name == "help":
            continue
        lines += [f".. option:: {_signature(parameter)}", "", f"   {_meaning(parameter)}", ""]
    return lines


def _signature(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return _argument(parameter)
    value = "" if parameter.is_flag else f" <{_metavar(parameter)}>"
    spellings = [*parameter.opts, *parameter.secondary_opts]
    return ", ".join(f"{spelling}{value}" for spelling in spellings)


def _argument(parameter: Any) -> str:
    return (parameter.metavar or parameter.name.upper()) + ("..." if parameter.nargs == -1 else "")


def _metavar(parameter: Any) -> str:
    if parameter.metavar:
        return str(parameter.metavar)
    annotation = _annotation(parameter)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return "|".join(str(choice.value) for choice in annotation)
    return _WORDS.get(annotation, "TEXT")


def _annotation(parameter: Any) -> Any:
    """Type of one value: that of the function behind the command, without None and list."""
    annotation = parameter.type_descriptor.annotation
    while arguments := [part for part in typing.get_args(annotation) if part is not type(None)]:
        annotation = arguments[0]
    return annotation


def _meaning(parameter: Any) -> str:
    notes = []
    default = parameter.default
    if parameter.required:
        notes.append("Required.")
    elif not getattr(parameter, "is_flag", False) and default not in (None, ()) and not callable(default):
        notes.append(f"Default: ``{default.value if isinstance(default, Enum) else default}``.")
    if getattr(parameter, "multiple", False):
        notes.append("May be given more than once.")
    bounds = (("from", parameter.min), ("to", parameter.max))
    limits = [f"{word} {bound}" for word, bound in bounds if bound is not None]
    notes += [f"Values {' '.join(limits)}."] if limits else []
    if getattr(parameter, "envvar", None):
        notes.append(f"Environment variable: ``{parameter.envvar}``.")
    return " ".join([plain(getattr(parameter, "help", None) or ""), *notes]).strip() or "No further description."


def _summary(command: Any) -> str:
    return " ".join((command.help or "").split("\n\n")[0].split())
