"""Grids of binary-evolution models: a table of runs and a table of their time steps, in Parquet and in memory."""

import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import astropy.units as u
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.table import MaskedColumn, QTable

from cbminer.columns import FloatArray, float_column, label_column, text_column, values
from cbminer.errors import InputFormatError, OutputError

__all__ = [
    "RUN_COLUMNS",
    "STEP_COLUMNS",
    "EndReason",
    "EvolutionGrid",
    "GridColumn",
    "check_grid_place",
    "is_grid",
    "read_grid",
    "read_runs",
    "write_grid",
    "write_grid_parts",
]

_FORMAT = 1
_ABOUT = b"cbminer"
_RUNS = "runs.parquet"
_STEPS = "steps.parquet"


class EndReason(StrEnum):
    """Why a model ended."""

    END_OF_MAIN_SEQUENCE = "end of main sequence"
    L2_OVERFLOW = "L2 overflow"
    L2_OVERFLOW_AT_ZAMS = "L2 overflow at ZAMS"
    ROCHE_OVERFLOW_AT_ZAMS = "Roche-lobe overflow at ZAMS"
    NO_INTERACTION = "no interaction on the main sequence"
    UNSTABLE_ORBIT = "unstable orbit"
    MASS_TRANSFER_RATE = "limit of the mass-transfer rate"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class GridColumn:
    """A column of a grid.

    Attributes
    ----------
    unit : str
        Unit as astropy reads it; empty for a plain number or a text.
    description : str
        What it is.
    kind : str
        "float", "integer" or "text".
    """

    unit: str
    description: str
    kind: str = "float"


RUN_COLUMNS: Mapping[str, GridColumn] = {
    "run": GridColumn("", "name of the run: its folder below that of the grid, or its initial values", "text"),
    "M1_initial": GridColumn("solMass", "initial mass of the star that is more massive then"),
    "M2_initial": GridColumn("solMass", "initial mass of the other star"),
    "period_initial": GridColumn("d", "initial orbital period"),
    "Z": GridColumn("", "metallicity as mass fraction"),
    "end": GridColumn("", "why the run ended", "text"),
    "n_steps": GridColumn("", "time steps", "integer"),
    "age_end": GridColumn("yr", "age at the last step"),
    "code": GridColumn("", "code and version that computed the run", "text"),
    "note": GridColumn("", "what is odd about the run, if anything", "text"),
    "sha256": GridColumn("", "hash of the files that the run was read from", "text"),
}
# Columns that a maker of runs may leave out.
_OPTIONAL = ("note", "sha256")

STEP_COLUMNS: Mapping[str, GridColumn] = {
    "age": GridColumn("yr", "age of the binary"),
    "M1": GridColumn("solMass", "mass of star 1, the initially more massive one"),
    "M2": GridColumn("solMass", "mass of star 2"),
    "period": GridColumn("d", "orbital period"),
    "R1": GridColumn("solRad", "radius of star 1"),
    "R2": GridColumn("solRad", "radius of star 2"),
    "overflow_1": GridColumn("", "radius of star 1 over its Roche radius, less one"),
    "overflow_2": GridColumn("", "radius of star 2 over its Roche radius, less one"),
    "log_L1": GridColumn("", "log10 of the luminosity of star 1 in solar ones"),
    "log_L2": GridColumn("", "log10 of the luminosity of star 2 in solar ones"),
    "log_Teff1": GridColumn("", "log10 of the effective temperature of star 1 in K"),
    "log_Teff2": GridColumn("", "log10 of the effective temperature of star 2 in K"),
    "log_transfer_rate": GridColumn("", "log10 of the mass-transfer rate in solar masses a year; -99 for none"),
}


@dataclass(frozen=True)
class EvolutionGrid:
    """Binary-evolution models.

    Attributes
    ----------
    runs : `~astropy.table.QTable`
        A row a run, with the columns of `RUN_COLUMNS`; shape (n,).
    steps : `~astropy.table.QTable`
        A row a time step, with the columns of `STEP_COLUMNS`, run after run in the order of `runs` and by age within
        each; unknown values are masked.
    offsets : `~numpy.ndarray`
        int64, shape (n + 1,): steps `offsets[i]` to `offsets[i + 1]` belong to run i.
    about : dict
        Provenance: where the models come from, what made the grid, settings and counts.
    """

    runs: QTable
    steps: QTable
    offsets: npt.NDArray[np.int64]
    about: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        runs: Mapping[str, npt.ArrayLike],
        steps: Mapping[str, npt.ArrayLike],
        *,
        about: dict[str, Any] | None = None,
    ) -> Self:
        """Make a grid from plain arrays in the units of the columns.

        Parameters
        ----------
        runs : mapping of str to array_like
            Columns of `RUN_COLUMNS`, each of shape (n,); `n_steps` says how many steps each run has.
        steps : mapping of str to array_like
            Columns of `STEP_COLUMNS`; NaN is an unknown value.
        about : dict, optional
            Provenance.

        Returns
        -------
        EvolutionGrid
            The grid.

        Raises
        ------
        InputFormatError
            If a column is missing, or the numbers of steps do not add up.
        """
        run_table = _table(runs, RUN_COLUMNS, "runs")
        step_table = _table(steps, STEP_COLUMNS, "steps")
        offsets = np.concatenate([[0], np.cumsum(np.asarray(run_table["n_steps"], dtype=np.int64))]).astype(np.int64)
        if offsets[-1] != len(step_table):
            msg = f"the runs of the grid have {offsets[-1]} steps, its table of steps has {len(step_table)} rows"
            raise InputFormatError(msg)
        return cls(run_table, step_table, offsets, about or {})

    def __len__(self) -> int:
        return len(self.runs)

    def run_of_step(self) -> npt.NDArray[np.int64]:
        """Index of the run that each step belongs to.

        Returns
        -------
        `~numpy.ndarray`
            int64, shape (number of steps,).
        """
        return np.repeat(np.arange(len(self.runs), dtype=np.int64), np.diff(self.offsets))

    def of_run(self, index: int) -> QTable:
        """Give the steps of one run.

        Parameters
        ----------
        index : int
            Row of the run in `runs`.

        Returns
        -------
        `~astropy.table.QTable`
            Its steps.
        """
        return self.steps[self.offsets[index] : self.offsets[index + 1]]

    def arrays(self) -> dict[str, FloatArray]:
        """Columns of the steps as plain float64 arrays in their units, unknown values as NaN.

        Returns
        -------
        dict of str to `~numpy.ndarray`
            Arrays of shape (number of steps,).
        """
        return {name: values(self.steps, name, column.unit) for name, column in STEP_COLUMNS.items()}


def _table(columns: Mapping[str, npt.ArrayLike], schema: Mapping[str, GridColumn], what: str) -> QTable:
    missing = [name for name in schema if name not in columns and name not in _OPTIONAL]
    if missing:
        msg = f"the table of {what} lacks {', '.join(missing)}"
        raise InputFormatError(msg)
    n_rows = len(np.asarray(columns[next(iter(schema))]))
    table = QTable({name: _column(columns.get(name, [""] * n_rows), column) for name, column in schema.items()})
    for name, column in schema.items():
        table[name].info.description = column.description
    return table


def _column(data: npt.ArrayLike, column: GridColumn) -> MaskedColumn | u.Quantity | npt.NDArray[np.int64]:
    if column.kind == "text":
        return text_column(["" if item is None else str(item) for item in np.asarray(data, dtype=object)])
    if column.kind == "integer":
        return np.asarray(data, dtype=np.int64)
    return float_column(data, column.unit)


def is_grid(path: Path) -> bool:
    """Whether a folder is a grid that `write_grid` wrote.

    Parameters
    ----------
    path : `~pathlib.Path`
        Any path.

    Returns
    -------
    bool
        Whether its two files are there.
    """
    return (path / _RUNS).is_file() and (path / _STEPS).is_file()


def write_grid(grid: EvolutionGrid, path: Path) -> None:
    """Write a grid into a folder, whole or not at all.

    Parameters
    ----------
    grid : EvolutionGrid
        The grid.
    path : `~pathlib.Path`
        Folder: `runs.parquet` and `steps.parquet` are written into it. A grid that is there already is replaced.

    Raises
    ------
    OutputError
        If it cannot be written, or the folder holds something else.
    """
    write_grid_parts([grid], path, about=grid.about)


def write_grid_parts(parts: Iterable[EvolutionGrid], path: Path, *, about: dict[str, Any]) -> None:
    """Write a grid part by part, so that not all of it need be in memory; whole or not at all.

    Parameters
    ----------
    parts : iterable of EvolutionGrid
        Runs with their steps, in the order in which they are to stand.
    path : `~pathlib.Path`
        Folder of the grid, as for `write_grid`.
    about : dict
        Provenance of the whole grid.

    Raises
    ------
    OutputError
        If it cannot be written, or the folder holds something else.
    """
    check_grid_place(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", suffix=".partial", dir=path.parent) as work:
            made = Path(work) / "grid"
            made.mkdir()
            with (
                pq.ParquetWriter(made / _RUNS, _schema(RUN_COLUMNS, about), **_HOW) as runs,
                pq.ParquetWriter(made / _STEPS, _schema(STEP_COLUMNS, about), **_HOW) as steps,
            ):
                for part in parts:
                    runs.write_table(_arrow_table(part.runs, RUN_COLUMNS, about))
                    steps.write_table(_arrow_table(part.steps, STEP_COLUMNS, about))
            _exchange(path, made, Path(work) / "old")
    except OSError as error:
        msg = f"{path} cannot be written ({error.strerror}): make room, or choose another place with --out"
        raise OutputError(msg) from error


def check_grid_place(path: Path) -> None:
    """Refuse a place for a grid that holds something else.

    Parameters
    ----------
    path : `~pathlib.Path`
        Folder of the grid to be.

    Raises
    ------
    OutputError
        If it is a file, or a folder that is neither empty nor a grid.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not is_grid(path):
        msg = f"{path} exists and is no grid: choose another place with --out"
        raise OutputError(msg)
    others = sorted(item.name for item in path.iterdir() if item.name not in (_RUNS, _STEPS))
    if others:
        msg = f"{path} holds {others[0]} beside the grid, which is replaced as a whole: move it elsewhere"
        raise OutputError(msg)


def _exchange(path: Path, made: Path, aside: Path) -> None:
    """Put a folder into its place; the old one stands aside until the new one is there, and comes back if it fails."""
    if not path.exists():
        made.replace(path)
        return
    path.replace(aside)
    try:
        made.replace(path)
    except OSError:
        aside.replace(path)
        raise


# Single precision holds every digit that the codes print of these quantities, but not of an age in years.
_TYPES = {"float": pa.float32(), "integer": pa.int64(), "text": pa.string()}
_HOW = {"compression": "zstd", "write_page_checksum": True}


def _type(name: str, column: GridColumn) -> pa.DataType:
    return pa.float64() if name in ("age", "age_end") else _TYPES[column.kind]


def _schema(schema: Mapping[str, GridColumn], about: dict[str, Any]) -> pa.Schema:
    fields = [
        pa.field(name, _type(name, column), metadata={"unit": column.unit, "description": column.description})
        for name, column in schema.items()
    ]
    return pa.schema(fields, metadata={_ABOUT: json.dumps({"format": _FORMAT, "about": about}).encode()})


def _arrow_table(table: QTable, schema: Mapping[str, GridColumn], about: dict[str, Any]) -> pa.Table:
    arrays = [_arrow(table, name, column) for name, column in schema.items()]
    return pa.table(arrays, schema=_schema(schema, about))


def _arrow(table: QTable, name: str, column: GridColumn) -> pa.Array:
    if column.kind == "text":
        return pa.array(label_column(table, name).tolist(), pa.string())
    if column.kind == "integer":
        return pa.array(np.asarray(table[name], dtype=np.int64))
    data = values(table, name, column.unit)
    return pa.array(data, mask=np.isnan(data)).cast(_type(name, column))


def read_grid(path: Path) -> EvolutionGrid:
    """Read a grid.

    Parameters
    ----------
    path : `~pathlib.Path`
        Folder that `write_grid` wrote.

    Returns
    -------
    EvolutionGrid
        The grid.

    Raises
    ------
    InputFormatError
        If the folder is no grid, was written by another version, or is damaged.
    """
    runs, about = read_runs(path)
    steps, _ = _read_table(path / _STEPS, STEP_COLUMNS)
    return EvolutionGrid.of(runs, steps, about=about)


def read_runs(path: Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Read the table of runs of a grid alone.

    Parameters
    ----------
    path : `~pathlib.Path`
        Folder that `write_grid` wrote.

    Returns
    -------
    runs : dict of str to `~numpy.ndarray`
        Columns of `RUN_COLUMNS` in their units, unknown numbers as NaN; each of shape (n,).
    about : dict
        Provenance of the grid.

    Raises
    ------
    InputFormatError
        If the folder is no grid, was written by another version, or is damaged.
    """
    if not is_grid(path):
        msg = f"{path} is no grid: it lacks {_RUNS} or {_STEPS}; make one with `cbminer grid import`"
        raise InputFormatError(msg)
    return _read_table(path / _RUNS, RUN_COLUMNS)


def _read_table(path: Path, schema: Mapping[str, GridColumn]) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            about = json.loads(file.schema_arrow.metadata[_ABOUT])
            if about["format"] != _FORMAT:
                msg = f"{path} was written by another version of cbminer: import the grid again"
                raise InputFormatError(msg)
            table = file.read()
        missing = [name for name in schema if name not in table.column_names]
        if missing:
            msg = f"{path} lacks the column {missing[0]}: import the grid again"
            raise InputFormatError(msg)
        arrays = {name: _plain(table[name], column) for name, column in schema.items()}
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        msg = f"{path} cannot be read as a grid ({error}): import the grid again"
        raise InputFormatError(msg) from error
    return arrays, about["about"]


def _plain(data: pa.ChunkedArray, column: GridColumn) -> npt.NDArray[Any]:
    if column.kind == "float":
        return np.asarray(data.cast(pa.float64()).to_numpy(), dtype=float)
    return np.asarray(data.to_pylist(), dtype=object if column.kind == "text" else np.int64)
