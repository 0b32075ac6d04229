"""Identifiers of stars in tables: read as text, and refused where two stars could become one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cbminer.columns import ascii_form
from cbminer.errors import InputFormatError
from cbminer.survey.table_columns import LARGEST_WHOLE, is_text, plain_column, text
from cbminer.survey.table_reading import Batch

__all__ = ["identifiers", "is_table_name", "star_of_file", "star_order"]

# Text of whole numbers that were floats: an exponent, or a decimal point behind more digits than a float has.
_ROUNDED = r"^\s*[-+]?(\d+\.\d*[eE][-+]?\d+|\.\d+[eE][-+]?\d+|\d+[eE]\+\d+|(9\d{15}|\d{17,})\.0*)\s*$"
# Whole numbers that floats of these bits still hold, all of them.
_WHOLE_UP_TO = {16: 2**11, 32: 2**24, 64: LARGEST_WHOLE}
_SUFFIXES = (
    ".csv", ".tsv", ".dat", ".txt", ".asc", ".ascii", ".lc", ".ecsv", ".fits", ".fit", ".fts", ".vot", ".votable",
    ".xml", ".tbl", ".ipac", ".parquet", ".parq", ".pq",
)  # fmt: skip
_PACKED = (".gz", ".fz")


def identifiers(batch: Batch, name: str, *, unknown: tuple[str, ...] = ()) -> Any:
    """Read the identifiers of a column.

    Parameters
    ----------
    batch : Batch
        Rows.
    name : str
        Column.
    unknown : tuple of str, optional
        Identifiers that mean none.

    Returns
    -------
    `~pyarrow.DictionaryArray`
        Texts; null where there is none.

    Raises
    ------
    InputFormatError
        If identifiers were rounded to floats, so that stars may have become one, or hold letters that have no place in
        FITS; the message names the row.
    """
    array = plain_column(batch, name)
    if pa.types.is_floating(array.type):
        data = pc.fill_null(array, np.nan).to_numpy(zero_copy_only=False)
        rounded = np.isfinite(data) & (np.abs(data) >= _WHOLE_UP_TO[array.type.bit_width])
    elif is_text(array):
        rounded = pc.fill_null(pc.match_substring_regex(array, _ROUNDED), False).to_numpy(zero_copy_only=False)
    else:
        rounded = np.zeros(len(array), dtype=bool)
    if rounded.any():
        place = int(np.flatnonzero(rounded)[0])
        msg = (
            f"{batch.file}, row {batch.rows[place]}: identifier {array[place].as_py()} in column {name} is a number "
            f"that has lost its last digits, so that stars may have become one: write identifiers as text or as 64-bit "
            f'integers (with pandas, read them with dtype={{"{name}": str}})'
        )
        raise InputFormatError(msg)
    labels = text(batch, name)
    if unknown:
        labels = pc.if_else(pc.is_in(labels, pa.array(unknown)), None, labels)
    coded = pc.dictionary_encode(labels)
    for code, star in enumerate(coded.dictionary.to_pylist()):
        if ascii_form(star).count("?") > star.count("?"):
            place = int(np.flatnonzero(pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False) == code)[0])
            msg = (
                f"{batch.file}, row {batch.rows[place]}: identifier {star!r} holds letters that have no place in FITS: "
                f"write it in ASCII"
            )
            raise InputFormatError(msg)
    return coded


def star_of_file(path: Path) -> str:
    """Tell the identifier of the star of a file that holds one star.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.

    Returns
    -------
    str
        Its name without the endings of tables and of compression, but with any other.

    Raises
    ------
    InputFormatError
        If nothing is left of the name, or FITS has no place for its letters.
    """
    name = path.name
    for endings in (_PACKED, _SUFFIXES):
        head, dot, last = name.rpartition(".")
        if dot and f".{last.lower()}" in endings:
            name = head
    if not name.strip() or ascii_form(name).count("?") > name.count("?"):
        msg = f"table of light curves {path}: the name of the file is that of the star: use ASCII letters and digits"
        raise InputFormatError(msg)
    return name.strip()


def is_table_name(path: Path) -> bool:
    """Tell by its name whether a file is a table that can be read.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.

    Returns
    -------
    bool
        True for the known endings, also where the file is compressed.
    """
    name = path.name.lower()
    for ending in _PACKED:
        name = name.removesuffix(ending)
    return not name.startswith((".", "_")) and name.endswith(_SUFFIXES)


def star_order(stars: Sequence[str]) -> npt.NDArray[np.int64]:
    """Order of identifiers: numbers by their size and before words, words by the alphabet.

    Parameters
    ----------
    stars : sequence of str
        Identifiers.

    Returns
    -------
    `~numpy.ndarray`
        Places of the first, the second and so on.
    """
    # Of numbers without leading zeros the longer one is larger: so they may have any length.
    plain = [star.lstrip("0") if star.isascii() and star.isdecimal() else None for star in stars]
    key = [
        (1, 0, "", star) if number is None else (0, len(number), number, star)
        for number, star in zip(plain, stars, strict=True)
    ]
    return np.array(sorted(range(len(key)), key=key.__getitem__), dtype=np.int64)
