"""Histories that MESA writes: of a binary, and of each of its stars."""

import gzip
import re
import shlex
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import ascii as astropy_ascii
from astropy.io.ascii import InconsistentTableError
from astropy.table import Table
from astropy.utils.exceptions import AstropyWarning

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
    text = _text(path)
    lines = text.splitlines()
    if len(lines) < _N_HEAD or not lines[_N_HEAD - 1].split():
        msg = f"{path}: {len(lines)} lines, not even a header: the run broke off before its first model"
        raise InputFormatError(msg)
    names = lines[_N_HEAD - 1].split()
    rows = lines[_N_HEAD:]
    if not any(row.strip() for row in rows):
        msg = f"{path}: a header without models: the run broke off before its first one"
        raise InputFormatError(msg)
    fields = _fields(path, rows, len(names), has_end=text.endswith("\n"))
    if only is not None:
        # A history has a hundred columns and more: what is not asked for need not be taken apart.
        wanted = [place for place, name in enumerate(names) if name in {*only, "model_number"}]
        lines = lines[:_N_HEAD] + [" ".join([row[place] for place in wanted]) for row in fields]
        lines[_N_HEAD - 2 : _N_HEAD] = [" ".join(map(str, wanted)), " ".join([names[place] for place in wanted])]
    try:
        with warnings.catch_warnings():
            # Of a model number too large for one, which is refused below.
            warnings.simplefilter("ignore", AstropyWarning)
            table = astropy_ascii.read(lines, format="mesa", guess=False)
    except (InconsistentTableError, ValueError, IndexError, TypeError) as error:
        msg = f"{path} is no history of MESA ({error})"
        raise InputFormatError(msg) from error
    return MesaHistory(path, _header(lines), table)


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        msg = f"{path} cannot be read ({error})"
        raise InputFormatError(msg) from error
    # A header can hold names in any encoding; numbers are plain.
    return data.decode("utf-8", errors="replace")


def _fields(path: Path, rows: Sequence[str], n_columns: int, *, has_end: bool) -> list[list[str]]:
    """Split the rows, and refuse one that is cut off."""
    fields = []
    for number, row in enumerate(rows, start=_N_HEAD + 1):
        values = row.split()
        if values and len(values) != n_columns:
            msg = (
                f"{path}, line {number}: {len(values)} values for {n_columns} columns: the run broke off while it "
                "wrote, or the file is damaged; without this line the run can be read"
            )
            raise InputFormatError(msg)
        if values:
            fields.append(values)
    # Lines are equally long: one that is not, and has no end, lacks digits of its last number.
    if not has_end and len(rows[-1].rstrip()) < len(rows[0].rstrip()):
        msg = f"{path}, line {_N_HEAD + len(rows)} is cut off: the run broke off while it wrote; remove the line"
        raise InputFormatError(msg)
    return fields


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
