"""The columns of a block of stars as texts, one a cell, which the text formats share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.table import QTable

from cbminer.catalogue.schema import COLUMNS, ColumnSpec
from cbminer.columns import label_column, values

__all__ = ["ColumnCells", "block_cells", "each_distinct", "one_line"]


@dataclass(frozen=True)
class ColumnCells:
    """A column of a block of stars.

    Attributes
    ----------
    spec : ColumnSpec
        The column.
    data : `~numpy.ndarray`
        Its values: float64 with NaN where unknown, int64, bool, or str with an empty one where unknown.
    known : `~numpy.ndarray`
        Whether a value is known, bool.
    texts : list of str
        The values as text: a float with the decimals of the schema, a truth value as 1 or 0; empty where unknown.
    """

    spec: ColumnSpec
    data: npt.NDArray[Any]
    known: npt.NDArray[np.bool_]
    texts: list[str]


def block_cells(block: QTable) -> list[ColumnCells]:
    """Write the cells of a block of stars.

    Parameters
    ----------
    block : `~astropy.table.QTable`
        Table in the schema.

    Returns
    -------
    list of ColumnCells
        One a column, in the order of the schema.
    """
    return [_column_cells(block, spec) for spec in COLUMNS]


def each_distinct(texts: list[str], form: Callable[[str], str]) -> list[str]:
    """Change every text of a column; texts that come again are changed but once.

    Parameters
    ----------
    texts : list of str
        The texts.
    form : callable
        What is done to each.

    Returns
    -------
    list of str
        The changed texts, in the same order.
    """
    forms = {text: form(text) for text in set(texts)}
    return [forms[text] for text in texts]


def one_line(text: str) -> str:
    """Write a text as a table of bytes can hold it.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str
        One line of ASCII, a single blank between words, another letter as ``?``.
    """
    # The format knows bytes, not characters: anything else than ASCII would shift the columns after it.
    return " ".join(text.split()).encode("ascii", "replace").decode("ascii")


def _column_cells(block: QTable, spec: ColumnSpec) -> ColumnCells:
    if spec.kind == "text":
        labels = label_column(block, spec.name)
        return ColumnCells(spec, labels, labels != "", labels.tolist())
    if spec.kind == "float":
        numbers = values(block, spec.name, spec.unit)
        known = ~np.isnan(numbers)
        form = f"{{:{spec.format}}}".format
        return ColumnCells(spec, numbers, known, _texts(numbers, known, form))
    data = np.ma.getdata(block[spec.name]).astype(np.int64 if spec.kind == "integer" else bool)
    known = ~np.ma.getmaskarray(block[spec.name])
    return ColumnCells(spec, data, known, _texts(data.astype(np.int64), known, str))


def _texts(data: npt.NDArray[Any], known: npt.NDArray[np.bool_], form: Callable[[Any], str]) -> list[str]:
    """Texts of the known values, empty ones for the others."""
    texts = np.full(len(data), "", dtype=object)
    texts[known] = [form(value) for value in data[known].tolist()]
    return texts.tolist()
