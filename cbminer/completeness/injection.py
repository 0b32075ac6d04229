"""Synthetic binaries injected into a survey and passed through its selection, chunk by chunk."""

import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.table import MaskedColumn, QTable

from cbminer.columns import float_column, label_column, text_column, values
from cbminer.completeness.columns import INJECTED, VERDICT, InjectedColumn
from cbminer.completeness.observing import CHUNK, InjectedChunk, make_chunk
from cbminer.completeness.survey_field import InjectionField
from cbminer.measurement import single_threaded_algebra
from cbminer.whole_file import written_whole

__all__ = ["GENERATOR_VERSION", "inject", "inject_chunk", "injection_plan"]

# To be raised whenever the same seed would give other stars.
GENERATOR_VERSION = 2

Columns = dict[str, npt.NDArray[Any]]


def injection_plan(galaxies: Sequence[str], n: int) -> list[tuple[str, int, int]]:
    """Share binaries between Clouds and chunks.

    Parameters
    ----------
    galaxies : sequence of str
        The Clouds.
    n : int
        Binaries in all.

    Returns
    -------
    list of (str, int, int)
        Cloud, number of the chunk, and stars of it. Clouds have equal numbers, to one star.
    """
    plan = []
    for place, galaxy in enumerate(galaxies):
        mine = n // len(galaxies) + (place < n % len(galaxies))
        plan += [(galaxy, start // CHUNK, min(CHUNK, mine - start)) for start in range(0, mine, CHUNK)]
    return plan


def inject(
    fields: Sequence[InjectionField],
    n: int,
    *,
    seed: int,
    kept: Path,
    jobs: int = 1,
    advance: Callable[[int], None] | None = None,
) -> QTable:
    """Inject binaries into Clouds and judge them.

    Parameters
    ----------
    fields : sequence of InjectionField
        The Clouds.
    n : int
        Binaries in all.
    seed : int
        Seed of everything random: the same seed makes the same stars, and a larger number more of them.
    kept : `~pathlib.Path`
        Folder in which finished chunks are kept, so that an interrupted call goes on. It must be of this survey, these
        settings and this seed alone.
    jobs : int, optional
        Threads. They change nothing.
    advance : callable, optional
        Called with the number of stars done since the last call.

    Returns
    -------
    `~astropy.table.QTable`
        A row an injected star, with the columns of `cbminer.completeness.columns.INJECTED`; those that the judge does
        not give are left out.

    Raises
    ------
    CbminerError
        If a binary cannot be drawn, or a light curve of the survey not read.
    """
    by_name: dict[str, InjectionField] = {field.galaxy: field for field in fields}

    def work(task: tuple[str, int, int]) -> Columns:
        galaxy, number, size = task
        place = kept / f"{galaxy}-{number:05d}.npz"
        columns = _kept_chunk(place, size)
        if columns is None:
            columns = inject_chunk(by_name[galaxy], number, seed=seed, size=size)
            with written_whole(place) as temporary, temporary.open("wb") as stream:
                np.savez(stream, allow_pickle=False, **columns)
        if advance is not None:
            advance(size)
        return columns

    plan = injection_plan([str(name) for name in by_name], n)
    with single_threaded_algebra(), ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(work, task) for task in plan]
        try:
            parts = [future.result() for future in futures]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return _table({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def inject_chunk(field: InjectionField, number: int, *, seed: int, size: int = CHUNK) -> Columns:
    """Make the stars of a chunk and judge them.

    Parameters
    ----------
    field : InjectionField
        The Cloud.
    number : int
        Number of the chunk, from 0.
    seed : int
        Seed of all injections.
    size : int, optional
        Take the first of its 500 stars only.

    Returns
    -------
    dict of str to `~numpy.ndarray`
        Columns; NaN, empty text and -1 where something is unknown.
    """
    chunk: InjectedChunk = make_chunk(field, number, seed=seed, size=size)
    judged = field.judge(chunk.stars, chunk.curves)
    names = [name for name, column in VERDICT.items() if not column.optional or _is_there(judged, name)]
    return chunk.truth | {name: _plain(judged, name, VERDICT[name]) for name in names}


def _is_there(judged: QTable, name: str) -> bool:
    return name in judged.colnames and not np.all(getattr(judged[name], "mask", False))


def _plain(judged: QTable, name: str, column: InjectedColumn) -> npt.NDArray[Any]:
    if column.kind == "text":
        return label_column(judged, name)
    if column.kind == "float":
        return values(judged, name, column.unit)
    whole = np.nan_to_num(values(judged, name), nan=0 if column.kind == "boolean" else -1)
    return whole.astype(bool if column.kind == "boolean" else np.int64)


def _kept_chunk(place: Path, size: int) -> Columns | None:
    """Read a chunk that an earlier call has finished; one of another size or damaged is made again."""
    try:
        with place.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            columns = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None
    return columns if "id" in columns and len(columns["id"]) == size else None


def _table(columns: Columns) -> QTable:
    table = QTable()
    for name, column in INJECTED.items():
        if name not in columns:
            continue
        table[name] = _described(columns[name], column)
        table[name].info.description = column.description
    return table


def _described(data: npt.NDArray[Any], column: InjectedColumn) -> Any:
    if column.kind == "float":
        return float_column(data, column.unit)
    if column.kind == "text":
        return text_column(data.tolist())
    return MaskedColumn(data, mask=data == -1) if column.kind == "integer" else data
