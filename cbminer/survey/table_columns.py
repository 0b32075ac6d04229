"""Which column of a table holds what, and its values as numbers or text."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError
from cbminer.survey.table_reading import Batch
from cbminer.survey.table_settings import QualityRule, TableLayout

__all__ = ["FoundColumns", "find_columns", "numbers", "passes", "text"]

_SHOWN = 12
_NUMBER = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eEdD][-+]?\d+)?\s*$"
# Above this share of values that are no numbers a column is taken for another one.
_WRONG_COLUMN = 0.5
# What files write for yes and no.
_WORDS = {"true": "true", "t": "true", "1": "true", "false": "false", "f": "false", "0": "false"}


@dataclass(frozen=True)
class FoundColumns:
    """Columns of one table.

    Attributes
    ----------
    names : dict of str to str
        Name of the column by what it holds, as in `TableLayout.names`.
    quality : dict of str to QualityRule
        Rules for columns that the table has.
    absent : tuple of str
        Columns of rules that it lacks, and may.
    """

    names: dict[str, str]
    quality: dict[str, QualityRule]
    absent: tuple[str, ...]

    @property
    def wanted(self) -> list[str]:
        """All columns that are to be read."""
        return list(dict.fromkeys([*self.names.values(), *self.quality]))


def find_columns(available: Sequence[str], layout: TableLayout, *, path: Path) -> FoundColumns:
    """Find the columns of a layout in a table.

    Parameters
    ----------
    available : sequence of str
        Columns of the table.
    layout : TableLayout
        What they should be called.
    path : `~pathlib.Path`
        The table, for messages.

    Returns
    -------
    FoundColumns
        What is there.

    Raises
    ------
    InputFormatError
        If one that is needed is not; the message names those that are called alike.
    """
    found = {role: next((name for name in names if name in available), None) for role, names in layout.names.items()}
    # Fluxes beside magnitudes serve for errors only, and one of two ways to an error is enough.
    spare = {"flux", "flux_err"} if found.get("mag") and (found.get("mag_err") or layout.mag_err) else set()
    for role, name in found.items():
        if name is None and role not in layout.optional | spare:
            _refuse(f"{role} ({' or '.join(layout.names[role])})", layout.names[role][0], available, path)
    for name, rule in layout.quality.items():
        if rule.required and name not in available:
            _refuse(f"the quality rule {name}", name, available, path)
    known = {name: rule for name, rule in layout.quality.items() if name in available}
    absent = tuple(name for name in layout.quality if name not in available)
    return FoundColumns({role: name for role, name in found.items() if name is not None}, known, absent)


def _refuse(what: str, name: str, available: Sequence[str], path: Path) -> None:
    lower = {column.lower(): column for column in reversed(available)}
    close = [lower[key] for key in difflib.get_close_matches(name.lower(), list(lower), n=3, cutoff=0.5)]
    like = f"; called alike: {', '.join(close)}" if close else ""
    some = ", ".join(available[:_SHOWN]) + (", ..." if len(available) > _SHOWN else "")
    msg = (
        f"table of light curves {path} has no column for {what}{like}. It has {some}. "
        f"Choose the preset of its survey, or name the column under [table]"
    )
    raise InputFormatError(msg)


def numbers(batch: Batch, name: str) -> FloatArray:
    """Values of a column as floats.

    Parameters
    ----------
    batch : Batch
        Rows.
    name : str
        Column.

    Returns
    -------
    `~numpy.ndarray`
        Shape (n,); NaN for what is blank or no number, such as ``>15.2``.

    Raises
    ------
    InputFormatError
        If most of them are no numbers.
    """
    array = batch.columns[name]
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        array = _parsed(batch, name, array)
    try:
        cast = pc.cast(array, pa.float64(), safe=False)
    except pa.ArrowException as error:
        msg = f"column {name} of {batch.file} holds {array.type}, not numbers: name another column under [table]"
        raise InputFormatError(msg) from error
    return np.asarray(pc.fill_null(cast, np.nan).to_numpy(zero_copy_only=False), dtype=np.float64)


def _parsed(batch: Batch, name: str, array: Any) -> Any:
    """Text without what is no number."""
    array = pc.utf8_trim_whitespace(array)
    try:
        return pc.cast(array, pa.float64())
    except pa.ArrowException:
        is_number = pc.fill_null(pc.match_substring_regex(array, _NUMBER), False)
        is_other = pc.and_(pc.is_valid(array), pc.invert(is_number)).to_numpy(zero_copy_only=False)
        if np.count_nonzero(is_other) > _WRONG_COLUMN * (len(array) - array.null_count):
            place = int(np.flatnonzero(is_other)[0])
            msg = (
                f"{batch.file}, row {batch.rows[place]}: column {name} holds {array[place].as_py()!r}, where a number "
                f"is expected, and {np.count_nonzero(is_other)} like it: name another column under [table]"
            )
            raise InputFormatError(msg) from None
        # Fortran writes exponents with a D.
        exponents = pc.replace_substring_regex(array, "[dD]", "e")
        return pc.if_else(is_number, exponents, pa.scalar(None, exponents.type))


def text(batch: Batch, name: str) -> Any:
    """Values of a column as text, as identifiers and bands are compared.

    Parameters
    ----------
    batch : Batch
        Rows.
    name : str
        Column.

    Returns
    -------
    `~pyarrow.Array`
        Strings without blanks about them, null where there is nothing; whole numbers without a decimal point.

    Raises
    ------
    InputFormatError
        If the column holds numbers with a fraction, or something that is no value.
    """
    array = batch.columns[name]
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    try:
        if pa.types.is_floating(array.type):
            # Integers with gaps come as floats; above 2**53 they would no longer be the identifiers.
            array = pc.cast(pc.if_else(pc.is_finite(array), array, None), pa.int64())
        plain = pc.cast(array, pa.string())
    except pa.ArrowException as error:
        msg = f"column {name} of {batch.file} holds {array.type} that cannot tell stars or bands apart: name another"
        raise InputFormatError(msg) from error
    plain = pc.utf8_trim_whitespace(plain)
    return pc.if_else(pc.equal(plain, ""), None, plain)


def passes(batch: Batch, name: str, rule: QualityRule) -> npt.NDArray[np.bool_]:
    """Points that a rule of quality lets pass.

    Parameters
    ----------
    batch : Batch
        Rows.
    name : str
        Column of the rule.
    rule : QualityRule
        The rule.

    Returns
    -------
    `~numpy.ndarray`
        Shape (n,); False where the column is blank.

    Raises
    ------
    InputFormatError
        If bits are asked of a column that holds no whole numbers.
    """
    if rule.forbidden_bits is not None:
        flags = numbers(batch, name)
        known = np.isfinite(flags)
        if np.any(flags[known] != np.round(flags[known])):
            msg = f"column {name} of {batch.file} holds fractions, no bits: give its rule allowed values"
            raise InputFormatError(msg)
        bits = np.where(known, flags, -1).astype(np.int64)
        clean: npt.NDArray[np.bool_] = known & (bits & rule.forbidden_bits == 0)
        return clean
    labels = text(batch, name)
    allowed = {_canonical(value, boolean=isinstance(value, bool)) for value in rule.allowed or ()}
    boolean = any(isinstance(value, bool) for value in rule.allowed or ())
    unique = pc.unique(labels)
    good = [item for item in unique.to_pylist() if item is not None and _canonical(item, boolean=boolean) in allowed]
    found: npt.NDArray[np.bool_] = pc.is_in(labels, pa.array(good, pa.string())).to_numpy(zero_copy_only=False)
    return found


def _canonical(value: bool | int | str, *, boolean: bool) -> str:  # noqa: FBT001 - a value of the settings
    plain = str(value).strip()
    return _WORDS.get(plain.lower(), plain) if boolean else plain
