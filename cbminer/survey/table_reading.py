"""Tables of light curves as batches of rows: Parquet by row groups, CSV as a stream, anything else by astropy."""

import gzip
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from astropy.io import ascii as text_tables
from astropy.table import Table

from cbminer.errors import InputFormatError
from cbminer.survey.textfile import other_kind
from cbminer.tables import read_user_table

__all__ = ["Batch", "Source", "open_source"]

_WHAT = "table of light curves"
_ROWS = 200_000
_BLOCK_BYTES = 16 << 20
_NULLS = ["", "NULL", "null", "Null", "None", "NA", "N/A", "--", "-", "\\N"]
# Above this share of lines with another number of fields a file is taken for another kind of file.
_WRONG_FILE = 0.5


@dataclass(frozen=True)
class Batch:
    """Some rows of a table.

    Attributes
    ----------
    file : str
        Name of the file.
    rows : `~numpy.ndarray`
        Numbers of the rows in the file from 1 on, int64, shape (n,); a row with lists has as many entries as points.
    columns : dict of str to `~pyarrow.Array`
        Values by name, each of length n and without lists.
    malformed : int
        Lines that were left out, as they do not have as many fields as the header.
    """

    file: str
    rows: npt.NDArray[np.int64]
    columns: dict[str, Any]
    malformed: int = 0


class Source(Protocol):
    """A table that is open."""

    path: Path

    @property
    def names(self) -> list[str]:
        """Names of the columns; those inside a nested column with its name and a dot before them."""

    def batches(self, names: Sequence[str]) -> Iterator[Batch]:
        """Yield some columns, batch by batch."""


def open_source(path: Path) -> Source:
    """Open a table.

    Parameters
    ----------
    path : `~pathlib.Path`
        Parquet, CSV (also compressed with gzip), or what astropy reads: ECSV, FITS, VOTable, IPAC, text.

    Returns
    -------
    Source
        The open table.

    Raises
    ------
    InputFormatError
        If the file is missing or no table.
    """
    if not path.is_file():
        msg = f"{_WHAT} {path} is not there: check the path"
        raise InputFormatError(msg)
    name = path.name.lower()
    if name.endswith((".parquet", ".parq", ".pq")):
        return _ParquetSource(path)
    if name.endswith((".csv", ".csv.gz")):
        return _CsvSource(path)
    return _TableSource(path)


class _ParquetSource:
    """A Parquet file, of which one batch of rows is in memory at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            msg = f"{_WHAT} {path} cannot be read as Parquet ({_first_line(error)}): write or fetch it again"
            raise InputFormatError(msg) from error
        self._names = [name for field in self._file.schema_arrow for name in _names_in(field)]

    @property
    def names(self) -> list[str]:
        return self._names

    def batches(self, names: Sequence[str]) -> Iterator[Batch]:
        outer = list(dict.fromkeys(name if name in self._outer else name.partition(".")[0] for name in names))
        first = 1
        try:
            for batch in self._file.iter_batches(batch_size=self._batch_rows, columns=outer):
                columns = {name: _member(batch, name) for name in names}
                yield _exploded(self.path, first, len(batch), columns)
                first += len(batch)
        except (pa.ArrowException, OSError) as error:
            msg = (
                f"{_WHAT} {self.path} is damaged after row {first - 1} ({_first_line(error)}): write or fetch it again"
            )
            raise InputFormatError(msg) from error

    @property
    def _outer(self) -> set[str]:
        return set(self._file.schema_arrow.names)

    @property
    def _batch_rows(self) -> int:
        """Rows a batch: fewer where a row is a whole light curve."""
        nested = any(not _is_flat(field.type) for field in self._file.schema_arrow)
        return _ROWS // 100 if nested else _ROWS


class _CsvSource:
    """A CSV file, read as a stream; every value is text until somebody asks for a number."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._comments, header = self._header()
        self._separator = max(",;\t|", key=header.count)
        self._names = [name.strip().strip("\"'") for name in header.split(self._separator)]
        if all(re.fullmatch(r"[-+.\deE]*", name) for name in self._names):
            msg = f"{_WHAT} {path}: the first line holds no names of columns: put a header above the numbers"
            raise InputFormatError(msg)

    @property
    def names(self) -> list[str]:
        return self._names

    def _header(self) -> tuple[int, str]:
        """Lines of comment before the header, and the header."""
        opener: Any = gzip.open if self.path.name.lower().endswith(".gz") else open
        try:
            with opener(self.path, "rb") as stream:
                start = stream.read(1 << 16)
        except (OSError, EOFError) as error:
            msg = f"{_WHAT} {self.path} cannot be read ({_first_line(error)}): fetch it again"
            raise InputFormatError(msg) from error
        what = other_kind(start[:4096])
        if what:
            msg = f"{_WHAT} {self.path} {what}"
            raise InputFormatError(msg)
        for number, line in enumerate(start.decode("utf-8-sig", "replace").splitlines()):
            if line.strip() and not line.startswith("#"):
                return number, line
        msg = f"{_WHAT} {self.path} is empty: expected a header and a point a line"
        raise InputFormatError(msg)

    def batches(self, names: Sequence[str]) -> Iterator[Batch]:
        malformed: list[int] = []

        def set_aside(row: Any) -> str:
            malformed.append(row.number or 0)
            return "skip"

        # Threads would make the numbers of rows in messages unknown.
        read = pa_csv.ReadOptions(
            block_size=_BLOCK_BYTES, skip_rows=self._comments + 1, column_names=self._names, use_threads=False
        )
        parse = pa_csv.ParseOptions(delimiter=self._separator, invalid_row_handler=set_aside)
        convert = pa_csv.ConvertOptions(
            include_columns=list(names),
            column_types=dict.fromkeys(names, pa.string()),
            null_values=_NULLS,
            strings_can_be_null=True,
        )
        first = good = 0
        try:
            for batch in pa_csv.open_csv(self.path, read, parse, convert):
                known = {name: batch.column(name) for name in names}
                yield Batch(self.path.name, first + 1 + np.arange(len(batch)), known, len(malformed))
                first, good = first + len(batch) + len(malformed), good + len(batch)
                self._refuse_wrong_file(good, first, malformed)
                malformed.clear()
        except (pa.ArrowException, OSError, EOFError) as error:
            msg = f"{_WHAT} {self.path} is damaged after row {first} ({_first_line(error)}): mend or fetch it again"
            raise InputFormatError(msg) from error

    def _refuse_wrong_file(self, good: int, first: int, malformed: list[int]) -> None:
        if malformed and first - good > _WRONG_FILE * first:
            msg = (
                f"{_WHAT} {self.path}: {first - good} of {first} rows do not have the {len(self._names)} fields of the "
                f"header: check that this is the right file, whole and unchanged"
            )
            raise InputFormatError(msg)


class _TableSource:
    """A table in a format that astropy reads, which is in memory as a whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._table = (
            _read_ipac(path) if path.suffix.lower() in {".tbl", ".ipac"} else read_user_table(path, what=_WHAT)
        )

    @property
    def names(self) -> list[str]:
        names: list[str] = self._table.colnames
        return names

    def batches(self, names: Sequence[str]) -> Iterator[Batch]:
        columns = {name: _arrow_column(self._table[name]) for name in names}
        yield _exploded(self.path, 1, len(self._table), columns)


def _read_ipac(path: Path) -> Table:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table: Table = text_tables.read(path, format="ipac")
    except (OSError, ValueError, TypeError, IndexError, KeyError) as error:
        msg = f"{_WHAT} {path} cannot be read as an IPAC table ({_first_line(error)}): fetch it again"
        raise InputFormatError(msg) from error
    return table


def _arrow_column(column: Any) -> Any:
    """Turn a column of astropy into one of Arrow; arrays become lists."""
    data, mask = np.ma.getdata(column), np.ma.getmaskarray(column)
    if getattr(data, "ndim", 1) > 1 or data.dtype.kind == "O":
        return pa.array([_plain_list(entry) for entry in column])
    if data.dtype.kind == "S":
        data = np.char.decode(data, "utf-8", "replace")
    if data.dtype.byteorder == ">" or (data.dtype.byteorder == "=" and not data.dtype.isnative):
        data = data.astype(data.dtype.newbyteorder("="))
    return pa.array(np.asarray(data), mask=np.asarray(mask))


def _plain_list(entry: Any) -> Any:
    if entry is np.ma.masked or isinstance(entry, str | bytes):
        return None if entry is np.ma.masked else str(entry)
    return np.ma.asarray(entry).tolist()


def _is_flat(kind: Any) -> bool:
    return not (_is_list(kind) or pa.types.is_struct(kind))


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _names_in(field: Any) -> Iterator[str]:
    """Name of a column, and of what is inside a struct of lists or a list of structs."""
    yield field.name
    inner = field.type.value_type if _is_list(field.type) else field.type
    if pa.types.is_struct(inner):
        yield from (f"{field.name}.{inner.field(place).name}" for place in range(inner.num_fields))


def _member(batch: Any, name: str) -> Any:
    if name in batch.schema.names:
        return batch.column(name)
    outer, _, inner = name.partition(".")
    array = batch.column(outer)
    if not _is_list(array.type):
        return pc.struct_field(array, inner)
    offsets = np.concatenate(([0], np.cumsum(pc.fill_null(pc.list_value_length(array), 0).to_numpy()))).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pc.struct_field(pc.list_flatten(array), inner))


def _exploded(path: Path, first: int, n_rows: int, columns: dict[str, Any]) -> Batch:
    """One entry a point: lists of a row laid out, and what is said once a row repeated for all of its points."""
    rows = np.arange(n_rows, dtype=np.int64)
    lists = {name: array for name, array in columns.items() if _is_list(array.type)}
    if not lists:
        return Batch(path.name, first + rows, columns)
    lengths = {name: pc.fill_null(pc.list_value_length(array), 0).to_numpy() for name, array in lists.items()}
    example = next(iter(lengths))
    for name, own in lengths.items():
        unequal = np.flatnonzero(own != lengths[example])
        if len(unequal):
            row = int(unequal[0])
            msg = (
                f"{_WHAT} {path}, row {first + row}: column {name} has {own[row]} entries and {example} has "
                f"{lengths[example][row]}: both must have one a point"
            )
            raise InputFormatError(msg)
    parents = np.repeat(rows, lengths[example])
    taken = pa.array(parents)
    laid_out = {name: pc.list_flatten(array) if name in lists else array.take(taken) for name, array in columns.items()}
    return Batch(path.name, first + parents, laid_out)


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
