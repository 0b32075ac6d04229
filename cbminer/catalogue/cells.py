"""The columns of a block of stars as texts, one a cell, which the text formats share."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
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
    """

    spec: ColumnSpec
    data: npt.NDArray[Any]
    known: npt.NDArray[np.bool_]

    @cached_property
    def texts(self) -> list[str]:
        """The values as text: a float with the decimals of the schema, a truth value as 1 or 0; empty where unknown."""
        if self.spec.kind == "text":
            labels: list[str] = self.data.tolist()
            return labels
        texts = np.full(len(self.data), "", dtype=object)
        texts[self.known] = [self._form(value) for value in self.data[self.known].tolist()]
        return texts.tolist()

    def longest_texts(self) -> set[str]:
        """Give texts among which the longest one is, without writing a number for every star.

        Returns
        -------
        set of str
            Every different one of a column of texts; else those of the lowest and of the highest number, and of
            infinite ones. An unknown value has none.
        """
        if self.spec.kind == "text":
            return set(self.texts)
        numbers = self.data[self.known]
        finite = numbers[np.isfinite(numbers)]
        chosen = {*numbers[~np.isfinite(numbers)].tolist()}
        # With the same decimals, numbers of one sign are the longer, the farther they are from zero.
        if len(finite):
            chosen |= {finite.min().item(), finite.max().item()}
        return set(map(self._form, chosen))

    @property
    def _form(self) -> Callable[[Any], str]:
        return f"{{:{self.spec.format}}}".format if self.spec.kind == "float" else _integer_text


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
        return ColumnCells(spec, labels, labels != "")
    if spec.kind == "float":
        numbers = values(block, spec.name, spec.unit)
        return ColumnCells(spec, numbers, ~np.isnan(numbers))
    data = np.ma.getdata(block[spec.name]).astype(np.int64 if spec.kind == "integer" else bool)
    return ColumnCells(spec, data, ~np.ma.getmaskarray(block[spec.name]))


def _integer_text(value: int) -> str:
    return str(int(value))
