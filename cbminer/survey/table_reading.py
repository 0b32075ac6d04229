"""Tables of light curves as batches of rows: Parquet by row groups, CSV as a stream, anything else by astropy."""

import csv
import gzip
import math
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

    def unit(self, name: str) -> str:
        """Tell the unit that the file states of a column; empty if none."""

    def is_list(self, name: str) -> bool:
        """Tell whether a row holds a list in a column, as where it is a star with all of its points."""

    def batches(self, names: Sequence[str]) -> Iterator[Batch]:
        """Yield some columns, batch by batch."""


def open_source(path: Path, *, what: str = "table of light curves") -> Source:
    """Open a table.

    Parameters
    ----------
    path : `~pathlib.Path`
        Parquet, CSV (also compressed with gzip), or what astropy reads: ECSV, FITS, VOTable, IPAC, text.
    what : str, optional
        What the table is for, named in messages.

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
        msg = f"{what} {path} is not there: check the path"
        raise InputFormatError(msg)
    name = path.name.lower()
    if name.endswith((".parquet", ".parq", ".pq")):
        return _ParquetSource(path, what)
    if name.endswith((".csv", ".csv.gz")):
        return _CsvSource(path, what)
    return _TableSource(path, what)


class _ParquetSource:
    """A Parquet file, of which one batch of rows is in memory at a time."""

    def __init__(self, path: Path, what: str) -> None:
        self.path, self._what = path, what
        try:
            self._file = pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            msg = f"{what} {path} cannot be read as Parquet ({_first_line(error)}): write or fetch it again"
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
                yield _exploded(self.path, first, len(batch), {name: _member(batch, name) for name in names})
                first += len(batch)
        except (pa.ArrowException, OSError) as error:
            why = _first_line(error)
            msg = f"{self._what} {self.path} is damaged after row {first - 1} ({why}): write or fetch it again"
            raise InputFormatError(msg) from error

    def unit(self, name: str) -> str:
        # Parquet itself has no units: this is where Arrow tables carry them.
        outer = self._file.schema_arrow.field(name.partition(".")[0])
        return "" if name not in self._outer else (outer.metadata or {}).get(b"unit", b"").decode()

    def is_list(self, name: str) -> bool:
        outer, _, inner = name.partition(".")
        kind = self._file.schema_arrow.field(name if name in self._outer else outer).type
        if name in self._outer or _is_list(kind):
            return _is_list(kind)
        return _is_list(kind.field(inner).type)

    @property
    def _outer(self) -> set[str]:
        return set(self._file.schema_arrow.names)

    @property
    def _batch_rows(self) -> int:
        """Rows a batch: so many fewer as a row has points, where it is a whole light curve."""
        meta = self._file.metadata
        most = 1
        for group in (meta.row_group(place) for place in range(meta.num_row_groups)):
            entries = max((group.column(place).num_values for place in range(group.num_columns)), default=0)
            most = max(most, -(-entries // max(group.num_rows, 1)))
        return max(1, _ROWS // most)


class _CsvSource:
    """A CSV file, read as a stream; every value is text until somebody asks for a number."""

    def __init__(self, path: Path, what: str) -> None:
        self.path, self._what = path, what
        self._comments, header = self._header()
        self._separator = max(",;\t|", key=re.sub(r'"[^"]*"', "", header).count)
        (fields,) = csv.reader([header], delimiter=self._separator)
        self._names = [name.strip().strip("\"'") for name in fields]
        if all(re.fullmatch(r"[-+.\deE]*", name) for name in self._names):
            msg = f"{what} {path}: the first line holds no names of columns: put a header above the numbers"
            raise InputFormatError(msg)

    @property
    def names(self) -> list[str]:
        return self._names

    def unit(self, name: str) -> str:  # noqa: ARG002 - CSV states none
        return ""

    def is_list(self, name: str) -> bool:  # noqa: ARG002 - CSV has none
        return False

    def _header(self) -> tuple[int, str]:
        """Lines of comment before the header, and the header."""
        opener: Any = gzip.open if self.path.name.lower().endswith(".gz") else open
        try:
            with opener(self.path, "rb") as stream:
                start = stream.read(1 << 16)
        except (OSError, EOFError) as error:
            msg = f"{self._what} {self.path} cannot be read ({_first_line(error)}): fetch it again"
            raise InputFormatError(msg) from error
        what = other_kind(start[:4096])
        if what:
            msg = f"{self._what} {self.path} {what}"
            raise InputFormatError(msg)
        for number, line in enumerate(start.decode("utf-8-sig", "replace").splitlines()):
            if line.strip() and not line.startswith("#"):
                return number, line
        msg = f"{self._what} {self.path} is empty: expected a header and a point a line"
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
        packed = "gzip" if self.path.name.lower().endswith(".gz") else None
        try:
            with pa.input_stream(self.path, compression=packed) as stream:
                for batch in pa_csv.open_csv(stream, read, parse, convert):
                    known = {name: batch.column(name) for name in names}
                    yield Batch(self.path.name, first + 1 + np.arange(len(batch)), known, len(malformed))
                    first, good = first + len(batch) + len(malformed), good + len(batch)
                    self._refuse_wrong_file(good, first, malformed)
                    malformed.clear()
            if malformed:
                # Such lines at the end, or nothing else.
                self._refuse_wrong_file(good, first + len(malformed), malformed)
                none = {name: pa.array([], pa.string()) for name in names}
                yield Batch(self.path.name, np.empty(0, dtype=np.int64), none, len(malformed))
        except (pa.ArrowException, OSError, EOFError) as error:
            msg = (
                f"{self._what} {self.path} is damaged after row {first} ({_first_line(error)}): mend or fetch it again"
            )
            raise InputFormatError(msg) from error

    def _refuse_wrong_file(self, good: int, first: int, malformed: list[int]) -> None:
        if malformed and first - good > _WRONG_FILE * first:
            msg = (
                f"{self._what} {self.path}: {first - good} of {first} rows do not have the {len(self._names)} fields "
                f"of the header: check that this is the right file, whole and unchanged"
            )
            raise InputFormatError(msg)


class _TableSource:
    """A table in a format that astropy reads, which is in memory as a whole."""

    def __init__(self, path: Path, what: str) -> None:
        self.path, self._what = path, what
        self._table = (
            _read_ipac(path, what) if path.suffix.lower() in {".tbl", ".ipac"} else read_user_table(path, what=what)
        )

    @property
    def names(self) -> list[str]:
        names: list[str] = self._table.colnames
        return names

    def unit(self, name: str) -> str:
        return str(getattr(self._table[name], "unit", None) or "")

    def is_list(self, name: str) -> bool:
        column = self._table[name]
        return column.ndim > 1 or (column.dtype.kind == "O" and len(column) > 0 and not isinstance(column[0], str))

    def batches(self, names: Sequence[str]) -> Iterator[Batch]:
        for name in names:
            if not hasattr(self._table[name], "dtype"):
                msg = (
                    f"{self._what} {self.path}: column {name} holds {type(self._table[name]).__name__}, no numbers: "
                    f'write plain numbers, such as the Julian dates table["{name}"].jd of a Time, and name their scale'
                )
                raise InputFormatError(msg)
        wide = [math.prod(self._table[name].shape[1:]) for name in names]
        step = max(1, _ROWS // max(1, *wide))
        for first in range(0, len(self._table), step):
            part = self._table[first : first + step]
            yield _exploded(self.path, first + 1, len(part), {name: _arrow_column(part[name]) for name in names})


def _read_ipac(path: Path, what: str) -> Table:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table: Table = text_tables.read(path, format="ipac")
    except (OSError, ValueError, TypeError, IndexError, KeyError) as error:
        msg = f"{what} {path} cannot be read as an IPAC table ({_first_line(error)}): fetch it again"
        raise InputFormatError(msg) from error
    return table


def _arrow_column(column: Any) -> Any:
    """Turn a column of astropy into one of Arrow; arrays become lists."""
    data, mask = np.ma.getdata(column), np.ma.getmaskarray(column)
    if getattr(data, "ndim", 1) > 1 or data.dtype.kind == "O":
        return pa.array([_plain_list(entry) for entry in column])
    if data.dtype.kind == "S":
        data = np.char.decode(data, "utf-8", "replace")
    if not data.dtype.isnative:
        data = data.astype(data.dtype.newbyteorder("="))
    return pa.array(np.asarray(data), mask=np.asarray(mask))


def _plain_list(entry: Any) -> Any:
    if entry is np.ma.masked or isinstance(entry, str | bytes):
        return None if entry is np.ma.masked else str(entry)
    return np.ma.asarray(entry).tolist()


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
                f"{path}, row {first + row}: column {name} has {own[row]} entries and {example} has "
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
