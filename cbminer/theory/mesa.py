"""Histories that MESA writes: of a binary, and of each of its stars."""

import gzip
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import ascii as astropy_ascii
from astropy.io.ascii import InconsistentTableError
from astropy.table import Table

from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError

__all__ = ["MesaHistory", "read_history"]

# Names, values and blank line of the header, numbers and names of the columns.
_N_HEAD = 6
# What Fortran prints when three digits of exponent leave no room for its letter, or for a double.
_FORTRAN_FLOAT = re.compile(r"^([+-]?\d*\.?\d+|[+-]?\d+\.?\d*)(?:[dD]([+-]?\d+)|([+-]\d{3}))$")


@dataclass(frozen=True)
class MesaHistory:
    """A history file.

    Attributes
    ----------
    path : `~pathlib.Path`
        Where it was read from.
    header : dict of str to str
        Names and values of its header, as they are written.
    table : `~astropy.table.Table`
        A row a model, in the order of model numbers; what a restart computed again stands once.
    """

    path: Path
    header: dict[str, str]
    table: Table

    def __len__(self) -> int:
        return len(self.table)

    def __contains__(self, name: str) -> bool:
        return name in self.table.colnames

    def column(self, name: str) -> FloatArray:
        """Give a column as numbers.

        Parameters
        ----------
        name : str
            Name as in the file.

        Returns
        -------
        `~numpy.ndarray`
            float64, shape (n,).

        Raises
        ------
        InputFormatError
            If a value is no number or not finite; the message names the model.
        """
        data = self.table[name]
        numbers = _from_text(self, name) if data.dtype.kind not in "fi" else np.asarray(data, dtype=float)
        bad = np.flatnonzero(~np.isfinite(numbers))
        if bad.size:
            self._refuse(name, int(bad[0]))
        return numbers

    def _refuse(self, name: str, row: int) -> None:
        model = f" of model {self.table['model_number'][row]}" if "model_number" in self else f" in row {row + 1}"
        msg = f"{self.path}: {name}{model} is {self.table[name][row]}: the run broke off, or the file is damaged"
        raise InputFormatError(msg)


def read_history(path: Path, *, only: Sequence[str] | None = None) -> MesaHistory:
    """Read a history of any version of MESA.

    Parameters
    ----------
    path : `~pathlib.Path`
        `history.data` or `binary_history.data`, plain or compressed (`.gz`).
    only : sequence of str, optional
        Columns to read, where the file has them; all by default.

    Returns
    -------
    MesaHistory
        Its header and table.

    Raises
    ------
    InputFormatError
        If it cannot be read, has no rows, or a row that is cut short. The message names the file and the line.

    Notes
    -----
    The table is read by astropy, which keeps the last of all rows with the same model number: after a restart, those
    of the part that was computed again.
    """
    lines = _lines(path)
    if len(lines) < _N_HEAD or not lines[_N_HEAD - 1].split():
        msg = f"{path}: {len(lines)} lines, not even a header: the run broke off before its first model"
        raise InputFormatError(msg)
    names = lines[_N_HEAD - 1].split()
    rows = lines[_N_HEAD:]
    if not any(row.strip() for row in rows):
        msg = f"{path}: a header without models: the run broke off before its first one"
        raise InputFormatError(msg)
    _check_rows(path, rows, len(names))
    wanted = {} if only is None else {"include_names": [name for name in names if name in {*only, "model_number"}]}
    try:
        table = astropy_ascii.read(lines, format="mesa", guess=False, **wanted)
    except (InconsistentTableError, ValueError, IndexError) as error:
        msg = f"{path} is no history of MESA ({error})"
        raise InputFormatError(msg) from error
    return MesaHistory(path, _header(lines), table)


def _lines(path: Path) -> list[str]:
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        return data.decode("utf-8").splitlines()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read ({error})"
        raise InputFormatError(msg) from error


def _check_rows(path: Path, rows: Sequence[str], n_columns: int) -> None:
    for number, row in enumerate(rows, start=_N_HEAD + 1):
        n_values = len(row.split())
        if n_values not in (0, n_columns):
            msg = (
                f"{path}, line {number}: {n_values} values for {n_columns} columns: the run broke off while it wrote, "
                "or the file is damaged; remove the line if it is the last one"
            )
            raise InputFormatError(msg)


def _header(lines: Sequence[str]) -> dict[str, str]:
    """Names and values; values may be in either quotes, with blanks inside, or in none."""
    try:
        given = shlex.split(lines[2])
    except ValueError:
        given = lines[2].split()
    return dict(zip(lines[1].split(), given, strict=False))


def _from_text(history: MesaHistory, name: str) -> FloatArray:
    """Convert what astropy takes for text because a number is written in Fortran's own way."""
    texts = [str(text) for text in history.table[name]]
    numbers = np.full(len(texts), np.nan)
    for row, text in enumerate(texts):
        match = _FORTRAN_FLOAT.match(text)
        try:
            numbers[row] = float(f"{match[1]}e{match[2] or match[3]}" if match else text)
        except ValueError:
            history._refuse(name, row)  # noqa: SLF001 - a part of the class that is long
    return numbers
