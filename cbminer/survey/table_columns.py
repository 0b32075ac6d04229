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

__all__ = [
    "LARGEST_WHOLE",
    "FoundColumns",
    "find_columns",
    "find_star_columns",
    "is_text",
    "numbers",
    "passes",
    "plain_column",
    "text",
]

# From here on a float skips whole numbers, and so would merge identifiers and lose bits of flags.
LARGEST_WHOLE = 2**53
_SHOWN = 12
_NUMBER = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eEdD][-+]?\d+)?\s*$"
_NO_NUMBER = r"(?i)^[-+]?(nan|inf|infinity)$"
# Whole numbers that passed through floats on the way into a text, as pandas writes columns with gaps.
_WHOLE = r"^([-+]?\d+)\.0*$"
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
    found |= _flux_and_error(available, layout)
    _refuse_difference(found, available, layout, path)
    # Fluxes beside magnitudes serve for errors only, and one of two ways to an error is enough.
    spare = {"flux", "flux_err"} if found.get("mag") and (found.get("mag_err") or layout.mag_err) else set()
    if not (found.get("ra") and found.get("dec")):
        # Half of a position brings no time to the Sun, and would look like a whole one.
        found |= dict.fromkeys(layout.optional & {"ra", "dec"} & set(found))
    for role, name in found.items():
        if name is None and role not in layout.optional | spare:
            _refuse(f"{role} ({' or '.join(layout.names[role])})", layout.names[role][0], available, path)
    for name, rule in layout.quality.items():
        if rule.required and name not in available:
            _refuse(f"the quality rule {name}", name, available, path)
    known = {name: rule for name, rule in layout.quality.items() if name in available}
    absent = tuple(name for name in layout.quality if name not in available)
    return FoundColumns({role: name for role, name in found.items() if name is not None}, known, absent)


def find_star_columns(available: Sequence[str], layout: TableLayout, *, path: Path) -> dict[str, str]:
    """Find the columns of a layout that say something of stars.

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
    dict of str to str
        Names of the columns by what they hold.

    Raises
    ------
    InputFormatError
        If one that is needed is not there; the message names those that are called alike.
    """
    roles = ("id", "ra", "dec", "period", "epoch")
    wanted = {role: names for role, names in layout.names.items() if role in roles} | layout.star_names
    found = {role: next((name for name in names if name in available), None) for role, names in wanted.items()}
    for role, name in found.items():
        if name is None and role not in layout.optional:
            _refuse(f"{role} ({' or '.join(wanted[role])})", wanted[role][0], available, path, table="stars")
    return {role: name for role, name in found.items() if name is not None}


def _flux_and_error(available: Sequence[str], layout: TableLayout) -> dict[str, str | None]:
    """Take flux and error from the same place of their lists, so that no error is that of another flux."""
    fluxes, errors = (layout.names.get(role, ()) for role in ("flux", "flux_err"))
    if not fluxes or len(fluxes) != len(errors):
        return {}
    pairs = zip(fluxes, errors, strict=True)
    pair = next(((flux, error) for flux, error in pairs if flux in available and error in available), None)
    # Where no pair is whole, a lone flux keeps its message about the error that is missing.
    return {"flux_err": None} if pair is None else {"flux": pair[0], "flux_err": pair[1]}


def _refuse_difference(found: dict[str, str | None], available: Sequence[str], layout: TableLayout, path: Path) -> None:
    """Refuse a flux that may be that of a difference image: taken as that of the star, it would be nonsense."""
    flux = found.get("flux")
    safe = not layout.total_flux_marks or bool(set(layout.total_flux_marks) & set(available))
    if flux is None or safe or flux == layout.names["flux"][0]:
        return
    msg = (
        f"table of light curves {path}: {flux} may be the flux of difference images, which is no brightness of a star: "
        f"the table has neither {layout.names['flux'][0]} nor a column of forced photometry "
        f"({', '.join(layout.total_flux_marks)}). Add one of them, or, if {flux} is the whole flux of the star, set "
        f'flux_column = "{flux}" under [table]'
    )
    raise InputFormatError(msg)


def _refuse(what: str, name: str, available: Sequence[str], path: Path, *, table: str = "light curves") -> None:
    lower = {column.lower(): column for column in reversed(available)}
    close = [lower[key] for key in difflib.get_close_matches(name.lower(), list(lower), n=3, cutoff=0.5)]
    like = f"; called alike: {', '.join(close)}" if close else ""
    some = ", ".join(available[:_SHOWN]) + (", ..." if len(available) > _SHOWN else "")
    msg = (
        f"table of {table} {path} has no column for {what}{like}. It has {some}. "
        f"Choose the preset of its survey, or name the column under [table]"
    )
    raise InputFormatError(msg)


def plain_column(batch: Batch, name: str) -> Any:
    """Column of a batch without a dictionary.

    Parameters
    ----------
    batch : Batch
        Rows.
    name : str
        Column.

    Returns
    -------
    `~pyarrow.Array`
        Its values.
    """
    array = batch.columns[name]
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def is_text(array: Any) -> bool:
    """Tell whether a column holds text.

    Parameters
    ----------
    array : `~pyarrow.Array`
        Its values.

    Returns
    -------
    bool
        True for strings of either size.
    """
    return bool(pa.types.is_string(array.type) or pa.types.is_large_string(array.type))


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
    array = plain_column(batch, name)
    if is_text(array):
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
        is_known = pc.and_(pc.is_valid(array), pc.invert(pc.match_substring_regex(array, _NO_NUMBER)))
        is_other = pc.fill_null(pc.and_(is_known, pc.invert(is_number)), False).to_numpy(zero_copy_only=False)
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
        Strings without blanks about them, null where there is nothing; whole numbers without a decimal point,
        whether they are numbers or text such as ``12.0``.

    Raises
    ------
    InputFormatError
        If the column holds numbers with a fraction, or something that is no value.
    """
    array = plain_column(batch, name)
    try:
        if pa.types.is_floating(array.type):
            # Integers with gaps come as floats.
            array = pc.cast(pc.if_else(pc.is_finite(array), array, None), pa.int64())
        plain = pc.cast(array, pa.string())
    except pa.ArrowException as error:
        msg = f"column {name} of {batch.file} holds {array.type} that cannot tell stars or bands apart: name another"
        raise InputFormatError(msg) from error
    plain = pc.utf8_trim_whitespace(plain)
    if is_text(array):
        plain = pc.replace_substring_regex(plain, _WHOLE, r"\1")
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
        bits = _bits(batch, name)
        forbidden = pa.scalar(rule.forbidden_bits, pa.uint64())
        clean: npt.NDArray[np.bool_] = pc.fill_null(pc.equal(pc.bit_wise_and(bits, forbidden), 0), False).to_numpy(
            zero_copy_only=False
        )
        return clean
    labels = text(batch, name)
    allowed = {_canonical(value, boolean=isinstance(value, bool)) for value in rule.allowed or ()}
    boolean = any(isinstance(value, bool) for value in rule.allowed or ())
    unique = pc.unique(labels)
    good = [item for item in unique.to_pylist() if item is not None and _canonical(item, boolean=boolean) in allowed]
    found: npt.NDArray[np.bool_] = pc.is_in(labels, pa.array(good, pa.string())).to_numpy(zero_copy_only=False)
    return found


def _bits(batch: Batch, name: str) -> Any:
    """Read flags as whole numbers, exact to their last bit; null where there is none or it is negative."""
    array = plain_column(batch, name)
    if not pa.types.is_integer(array.type):
        flags = numbers(batch, name)
        known = flags[np.isfinite(flags)]
        if np.any(known != np.round(known)):
            msg = f"column {name} of {batch.file} holds fractions, no bits: give its rule allowed values"
            raise InputFormatError(msg)
        if not is_text(array) and np.any(np.abs(known) >= LARGEST_WHOLE):
            msg = f"column {name} of {batch.file} holds numbers that have lost bits: write flags as integers"
            raise InputFormatError(msg)
        labels = text(batch, name)
        array = pc.if_else(pc.match_substring_regex(labels, r"^\+?\d{1,19}$"), labels, None)
        array = pc.utf8_ltrim(array, characters="+")
    elif pa.types.is_signed_integer(array.type):
        array = pc.if_else(pc.less(array, 0), None, array)
    return pc.cast(array, pa.uint64())


def _canonical(value: bool | int | str, *, boolean: bool) -> str:  # noqa: FBT001 - a value of the settings
    plain = str(value).strip()
    return _WORDS.get(plain.lower(), plain) if boolean else plain
