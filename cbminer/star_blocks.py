"""Tables of stars on disk, block by block, so that memory does not grow with the survey."""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from astropy.table import MaskedColumn, QTable, vstack
from astropy.utils.masked import Masked

from cbminer.columns import FloatArray, float_column, label_column, text_column, values
from cbminer.errors import OutputError
from cbminer.scratch import Scratch, lost_scratch

__all__ = [
    "STARS_A_BLOCK",
    "ChainedBlocks",
    "MappedBlocks",
    "StarBlocks",
    "stack_blocks",
    "table_from_arrow",
    "table_to_arrow",
]

# Enough that the overhead of a table is small, few enough that a block of 130 columns takes some 10 MB.
STARS_A_BLOCK = 5_000
_ABOUT = b"cbminer"


class StarBlocks:
    """Stars in the order in which they were appended.

    Parameters
    ----------
    folder : `~pathlib.Path`, optional
        Where the blocks are kept; a temporary folder by default, which goes when the object does.
    """

    def __init__(self, folder: Path | None = None) -> None:
        if folder is None:
            self._scratch = Scratch()
            folder = self._scratch.folder
        self.folder = folder
        self._lengths: list[int] = []

    def __len__(self) -> int:
        """Count the stars."""
        return sum(self._lengths)

    @property
    def lengths(self) -> list[int]:
        """Stars of each block."""
        return list(self._lengths)

    def append(self, stars: QTable) -> None:
        """Write a block.

        Parameters
        ----------
        stars : `~astropy.table.QTable`
            A row a star. All blocks have the same columns.

        Raises
        ------
        OutputError
            If there is no room for it.
        """
        table = table_to_arrow(stars)
        try:
            with (
                pa.OSFile(str(self._path(len(self._lengths))), "wb") as sink,
                pa.ipc.new_file(sink, table.schema) as to,
            ):
                to.write_table(table)
        except OSError as error:
            msg = (
                f"stars cannot wait in {self.folder} ({error}): free space there, or set the environment variable "
                f"TMPDIR to another folder"
            )
            raise OutputError(msg) from error
        self._lengths.append(len(stars))

    def __iter__(self) -> Iterator[QTable]:
        """Read the stars, block by block."""
        for number in range(len(self._lengths)):
            yield table_from_arrow(self._read(number))

    def read(self, where: Iterable[npt.NDArray[np.bool_]] | None = None) -> QTable:
        """Read all stars, or some, into one table.

        Parameters
        ----------
        where : iterable of `~numpy.ndarray`, optional
            Which stars of each block, bool.

        Returns
        -------
        `~astropy.table.QTable`
            The stars, in their order.
        """
        blocks = iter(self) if where is None else (b[m] for b, m in zip(self, where, strict=True))
        return stack_blocks(blocks)

    def floats(self, name: str, unit: str = "") -> FloatArray:
        """Read one column of all stars.

        Parameters
        ----------
        name : str
            The column.
        unit : str, optional
            Unit of the result.

        Returns
        -------
        `~numpy.ndarray`
            Its values, NaN where unknown.
        """
        return np.concatenate([values(block, name, unit) for block in self._columns([name])] or [np.empty(0)])

    def labels(self, name: str) -> npt.NDArray[np.str_]:
        """Read one column of text of all stars.

        Parameters
        ----------
        name : str
            The column.

        Returns
        -------
        `~numpy.ndarray`
            Its texts, empty where unknown.
        """
        return np.concatenate(
            [label_column(block, name) for block in self._columns([name])] or [np.empty(0, dtype=str)]
        )

    def columns(self, names: Sequence[str]) -> Iterator[QTable]:
        """Read some columns of the stars, block by block.

        Parameters
        ----------
        names : sequence of str
            The columns.

        Yields
        ------
        `~astropy.table.QTable`
            These columns of a block, in the order of the table.
        """
        yield from self._columns(names)

    def _columns(self, names: Sequence[str]) -> Iterator[QTable]:
        for number in range(len(self._lengths)):
            yield table_from_arrow(self._read(number, names))

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.arrow"

    def _read(self, number: int, names: Sequence[str] | None = None) -> pa.Table:
        path = self._path(number)
        try:
            # Not mapped: pages of a mapped file count as memory of the process.
            with pa.OSFile(str(path), "rb") as source:
                schema = pa.ipc.open_file(source).schema
                places = None if names is None else [_place_of(schema, name) for name in names]
                source.seek(0)
                options = pa.ipc.IpcReadOptions(included_fields=places)
                return pa.ipc.open_file(source, options=options).read_all()
        except OSError as error:
            raise lost_scratch(path, error) from error


class ChainedBlocks:
    """Blocks of several sources, one source after another.

    Parameters
    ----------
    sources : sequence of iterables of `~astropy.table.QTable`
        The sources, which can be gone through more than once.
    """

    def __init__(self, sources: Sequence[Iterable[QTable]]) -> None:
        self._sources = list(sources)

    def __iter__(self) -> Iterator[QTable]:
        """Give the blocks in the order of the sources."""
        return itertools.chain.from_iterable(self._sources)


class MappedBlocks:
    """Blocks that are made of others whenever they are asked for.

    Parameters
    ----------
    blocks : iterable of `~astropy.table.QTable`
        The others, which can be gone through more than once.
    function : callable
        Makes a block of one of the others.
    """

    def __init__(self, blocks: Iterable[QTable], function: Callable[[QTable], QTable]) -> None:
        self._blocks, self._function = blocks, function

    def __iter__(self) -> Iterator[QTable]:
        """Make the blocks."""
        return map(self._function, self._blocks)


def stack_blocks(blocks: Iterable[QTable]) -> QTable:
    """Stack blocks into one table.

    Parameters
    ----------
    blocks : iterable of `~astropy.table.QTable`
        The blocks, one at least, of the same columns.

    Returns
    -------
    `~astropy.table.QTable`
        All of their stars.
    """
    # Of blocks without stars one is enough, which gives the columns.
    kept = [block for number, block in enumerate(blocks) if number == 0 or len(block)]
    return vstack(kept, metadata_conflicts="silent") if len(kept) > 1 else kept[0]


def _place_of(schema: pa.Schema, name: str) -> int:
    place = int(schema.get_field_index(name))
    if place < 0:
        raise KeyError(name)
    return place


def table_to_arrow(stars: QTable) -> pa.Table:
    """Turn a table of stars into Arrow, with all that is needed to turn it back.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Columns of floats, with or without unit, of integers, of truth values and of text.

    Returns
    -------
    `pyarrow.Table`
        The same; unknown floats as NaN, unknown texts empty, other unknown values null.
    """
    kinds = {name: _kind(stars[name]) for name in stars.colnames}
    about = {"columns": kinds, "meta": dict(stars.meta)}
    arrays = {name: _arrow(stars, name, kind) for name, kind in kinds.items()}
    return pa.table(arrays).replace_schema_metadata({_ABOUT: json.dumps(about).encode()})


def table_from_arrow(table: pa.Table) -> QTable:
    """Turn a table of stars that came from Arrow back.

    Parameters
    ----------
    table : `pyarrow.Table`
        Of `table_to_arrow`; some of its columns will do.

    Returns
    -------
    `~astropy.table.QTable`
        The stars.
    """
    about = json.loads(table.schema.metadata[_ABOUT])
    kinds = about["columns"]
    stars = QTable({name: _column(table[name], kinds[name]) for name in table.column_names}, copy=False)
    stars.meta.update(about["meta"])
    return stars


def _kind(column: Any) -> dict[str, Any]:
    """Say what a column is, so that it is read back as it was."""
    if isinstance(column, u.Quantity):
        return {"kind": "float", "unit": str(column.unit), "masked": isinstance(column, Masked)}
    masked = isinstance(column, MaskedColumn)
    kind = {"U": "text", "i": "integer", "u": "integer", "b": "boolean", "f": "number"}[column.dtype.kind]
    return {"kind": kind, "masked": masked}


def _arrow(stars: QTable, name: str, kind: dict[str, Any]) -> pa.Array:
    if kind["kind"] == "text":
        return pa.array(label_column(stars, name).tolist(), pa.string())
    if kind["kind"] in {"integer", "boolean"}:
        data = np.ma.getdata(stars[name]).astype(np.int64 if kind["kind"] == "integer" else bool)
        mask = np.ma.getmaskarray(stars[name]) if kind["masked"] else None
        return pa.array(np.asarray(data), mask=mask)
    return pa.array(values(stars, name, kind.get("unit", "")))


def _column(column: pa.ChunkedArray, kind: dict[str, Any]) -> Any:
    if kind["kind"] == "text":
        return text_column(column.to_pylist())
    if kind["kind"] in {"integer", "boolean"}:
        mask = column.is_null().to_numpy()
        data = column.fill_null(0 if kind["kind"] == "integer" else False).to_numpy()
        return MaskedColumn(data, mask=mask) if kind["masked"] else np.array(data)
    data = column.to_numpy()
    if kind["kind"] == "number":
        return float_column(data) if kind["masked"] else np.array(data)
    return float_column(data, kind["unit"]) if kind["masked"] else u.Quantity(data, kind["unit"])
