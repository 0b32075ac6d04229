"""Written schemas of tabular target lists, and the check of rows against them.

A schema is a TOML file in the folder `schemas`: where the format is known from, what could not be verified, and a rule
a column.
"""

import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from cbminer.errors import InputFormatError
from cbminer.followup.target_formats.sexagesimal import dec_degrees, ra_degrees
from cbminer.quantities import SettingsModel

__all__ = ["Cell", "ColumnRule", "Row", "TableSchema", "check_names", "checked_rows", "load_schema"]

Cell = str | float | int | None
_FOLDER = Path(__file__).parent / "schemas"


class ColumnRule(SettingsModel):
    """What a column may hold."""

    name: str = Field(description="name of the column")
    kind: Literal["text", "float", "int", "ra", "dec"] = Field(description="ra and dec are sexagesimal")
    unit: str = Field(default="", description="unit of numbers")
    fits_type: str = Field(default="", description="type of the column of a FITS table")
    present: bool = Field(default=True, description="whether a file needs the column")
    filled: bool = Field(default=True, description="whether a row needs a value")
    low: float | None = Field(default=None, description="least value")
    high: float | None = Field(default=None, description="largest value")
    allowed: tuple[str, ...] = Field(default=(), description="texts that are allowed")
    pattern: str = Field(default="", description="regular expression of texts")
    longest: int | None = Field(default=None, description="most characters")
    unique: bool = Field(default=False, description="whether no two rows may be equal, upper and lower case alike")
    remedy: str = Field(default="write the list again", description="what to do about a fault")


class TableSchema(SettingsModel):
    """Rules of a format."""

    title: str = Field(description="the format")
    source: str = Field(description="public document that the format is known from")
    unverified: str = Field(description="what could not be verified")
    separator: str = Field(default=":", description="between the parts of sexagesimal coordinates")
    column: tuple[ColumnRule, ...] = Field(description="rules of the columns, in order")
    together: tuple[tuple[str, ...], ...] = Field(default=(), description="columns that are filled together or not")
    ascending: tuple[tuple[str, str], ...] = Field(default=(), description="columns whose values may not fall")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(rule.name for rule in self.column)


@dataclass(frozen=True)
class Row:
    """A row as a file has it.

    Attributes
    ----------
    place : str
        Where it stands, such as "line 3".
    cells : mapping of str to str, float, int or None
        Content by column; None and empty texts are unknown.
    """

    place: str
    cells: Mapping[str, Cell]


@cache
def load_schema(name: str) -> TableSchema:
    """Load a schema of the package.

    Parameters
    ----------
    name : str
        Name without its suffix, such as "salt".

    Returns
    -------
    TableSchema
        The rules.
    """
    return TableSchema.model_validate(tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8")))


def check_names(schema: TableSchema, names: Iterable[str], *, path: Path) -> None:
    """Refuse a file without the columns that it needs.

    Parameters
    ----------
    schema : TableSchema
        The rules.
    names : iterable of str
        Columns of the file.
    path : `~pathlib.Path`
        The file, for messages.

    Raises
    ------
    InputFormatError
        If a column is missing or stands there twice.
    """
    found = list(names)
    for rule in schema.column:
        if found.count(rule.name) > 1:
            msg = f"{path}: column {rule.name!r} stands there twice: remove one"
            raise InputFormatError(msg)
        if rule.present and rule.name not in found:
            msg = f"{path}: column {rule.name!r} of the format ({schema.title}) is missing: add it"
            raise InputFormatError(msg)


def checked_rows(schema: TableSchema, rows: Iterable[Row], *, path: Path) -> Iterator[dict[str, Cell]]:
    """Check rows and turn their cells into values.

    Parameters
    ----------
    schema : TableSchema
        The rules.
    rows : iterable of Row
        The rows.
    path : `~pathlib.Path`
        The file, for messages.

    Yields
    ------
    dict of str to str, float, int or None
        Values by column; sexagesimal coordinates in degrees, unknown ones None.

    Raises
    ------
    InputFormatError
        At the first row that breaks a rule; the message names file, place, column and remedy.
    """
    seen: dict[str, dict[str, str]] = {}
    for row in rows:
        found: dict[str, Cell] = {}
        for rule in schema.column:
            if rule.name not in row.cells:
                continue
            try:
                found[rule.name] = _value(rule, row.cells[rule.name], schema.separator)
                _refuse_twice(rule, found[rule.name], row.place, seen.setdefault(rule.name, {}))
            except ValueError as error:
                msg = f"{path}, {row.place}, {rule.name}: {error}: {rule.remedy}"
                raise InputFormatError(msg) from None
        _check_across(schema, found, path=path, place=row.place)
        yield found


def _value(rule: ColumnRule, cell: Cell, separator: str) -> Cell:
    """Value of a cell; ValueError says what is wrong with it."""
    empty = cell is None or (isinstance(cell, str) and not cell.strip()) or (isinstance(cell, float) and np.isnan(cell))
    if empty:
        if rule.filled:
            msg = "a value is needed"
            raise ValueError(msg)
        return None
    if rule.kind == "text":
        return _text(rule, str(cell))
    if rule.kind in ("ra", "dec"):
        return (ra_degrees if rule.kind == "ra" else dec_degrees)(str(cell), separator=separator)
    return _number(rule, cell)


def _text(rule: ColumnRule, text: str) -> str:
    if rule.longest is not None and len(text) > rule.longest:
        msg = f"{text!r} has {len(text)} characters and {rule.longest} are allowed"
        raise ValueError(msg)
    if rule.allowed and text not in rule.allowed:
        msg = f"{text!r} is none of {', '.join(rule.allowed)}"
        raise ValueError(msg)
    if rule.pattern and not re.fullmatch(rule.pattern, text, flags=re.ASCII):
        msg = f"{text!r} has characters or a form that are not allowed"
        raise ValueError(msg)
    return text


def _number(rule: ColumnRule, cell: Cell) -> float | int:
    try:
        # Texts such as 1_000 are numbers for Python alone.
        number = float(cell) if "_" not in str(cell) else math.nan  # type: ignore[arg-type]
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or (rule.kind == "int" and number != int(number)):
        msg = f"{cell!r} is no {'whole number' if rule.kind == 'int' else 'number'}"
        raise ValueError(msg)
    unit = f" {rule.unit}" if rule.unit else ""
    if (rule.low is not None and number < rule.low) or (rule.high is not None and number > rule.high):
        low, high = ("any" if limit is None else f"{limit:g}" for limit in (rule.low, rule.high))
        msg = f"{number:.10g} is not between {low} and {high}{unit}"
        raise ValueError(msg)
    return int(number) if rule.kind == "int" else number


def _refuse_twice(rule: ColumnRule, value: Cell, place: str, seen: dict[str, str]) -> None:
    if not rule.unique:
        return
    key = str(value).upper()
    if key in seen:
        msg = f"{value!r} stands in {seen[key]} already"
        raise ValueError(msg)
    seen[key] = place


def _check_across(schema: TableSchema, found: Mapping[str, Cell], *, path: Path, place: str) -> None:
    for names in schema.together:
        known = [found.get(name) is not None for name in names]
        if any(known) and not all(known):
            lacking = names[known.index(False)]
            msg = (
                f"{path}, {place}, {lacking}: it is empty while others of {', '.join(names)} are not: fill or empty all"
            )
            raise InputFormatError(msg)
    for low, high in schema.ascending:
        lower, upper = found.get(low), found.get(high)
        if isinstance(lower, float) and isinstance(upper, float) and lower > upper:
            msg = f"{path}, {place}, {high}: {upper:g} is less than the {low} of {lower:g}: exchange them"
            raise InputFormatError(msg)
