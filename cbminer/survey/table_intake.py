"""Taking light curves of tables into the store, block by block.

What was taken in is noted after every step. A call that is interrupted leaves what is stored; the next one goes on
behind the last table that was stored as a whole or, where a star may be in several tables, begins again.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cbminer.monitor import Monitor
from cbminer.survey.cache import ArchiveCache
from cbminer.survey.packed import PackedLightCurves
from cbminer.survey.photometry_file import LightCurve
from cbminer.survey.star_names import StarNames, find_names, name_list, star_names
from cbminer.survey.store import Band
from cbminer.survey.store_writer import StoreWriter
from cbminer.survey.table import TableBlock, TablePoints
from cbminer.survey.table_files import TableFiles

__all__ = ["TakenTables", "noted_tables", "take_tables"]

# Light curves that enter the store in one step: what Ctrl-C may cost.
_STEP = 4096


@dataclass
class TakenTables:
    """What of tables is in the store.

    Attributes
    ----------
    state : str
        State of the tables; light curves of another state are not theirs.
    n_files : int
        Tables that are in the store as a whole.
    complete : bool
        Whether all are.
    points : dict of str to int
        Rows of points by what became of them.
    spare : list of str
        Stars with light curves that the catalogue does not have.
    """

    state: str = ""
    n_files: int = 0
    complete: bool = False
    points: dict[str, int] = field(default_factory=dict)
    spare: list[str] = field(default_factory=list)

    @property
    def mark(self) -> int:
        """What tells light curves of these tables from others in the store."""
        return int(self.state[:15], 16) + 1


class _Curve(NamedTuple):
    """A light curve on its way, and the number of its table."""

    file: int
    star: str
    band: Band
    curve: LightCurve


def noted_tables(cache: ArchiveCache, galaxy: str) -> TakenTables:
    """Read what is noted of an intake.

    Parameters
    ----------
    cache : ArchiveCache
        What is kept of the archive.
    galaxy : str
        Galaxy of the stars.

    Returns
    -------
    TakenTables
        What is in the store; empty if nothing is noted.
    """
    with cache.manifest() as manifest:
        noted = manifest.fact(_key(galaxy))
    return TakenTables(**json.loads(noted)) if noted else TakenTables()


def _note(cache: ArchiveCache, galaxy: str, taken: TakenTables) -> None:
    with cache.manifest() as manifest:
        manifest.state_fact(_key(galaxy), json.dumps(vars(taken)))


def _key(galaxy: str) -> str:
    return f"tables {galaxy}"


def take_tables(
    cache: ArchiveCache,
    galaxy: str,
    tables: TableFiles,
    *,
    state: str,
    stars: StarNames,
    positions: dict[str, tuple[float, float]],
    monitor: Monitor | None = None,
) -> None:
    """Bring the store up to date with tables. The caller holds the lock.

    Parameters
    ----------
    cache : ArchiveCache
        What is kept of the archive.
    galaxy : str
        Galaxy of the stars.
    tables : TableFiles
        The tables.
    state : str
        Their state.
    stars : `~numpy.ndarray`
        Stars of the catalogue in that galaxy, in ascending order; light curves of others are not taken in.
    positions : dict of str to (float, float)
        Right ascensions and declinations of stars in degrees, if the tables of light curves need to be told.
    monitor : Monitor, optional
        Told of the progress.

    Raises
    ------
    InputFormatError
        If a table is not as the layout says.
    ArchiveError, OutputError
        If the store cannot be written, or there is no room for points that wait outside of memory.
    """
    taken = noted_tables(cache, galaxy)
    if taken.state != state:
        taken = TakenTables(state)
        _note(cache, galaxy, taken)
    intake = _Intake(tables, taken, stars, positions)
    folder = cache.store_folder(galaxy)
    with (monitor or Monitor()).step(f"storing {galaxy} light curves of tables", len(tables.curves)) as advance:
        advance(taken.n_files)
        curves = intake.curves(advance)
        for first in curves:
            # A writer opens the whole index: a step is as long as what may be lost.
            with StoreWriter(folder) as writer:
                for item in chain([first], islice(curves, _STEP - 1)):
                    writer.add_points(item.star, item.band, item.curve, changed=taken.mark)
                    last = item.file
            if tables.row_a_star:
                taken.n_files = last
                _note(cache, galaxy, taken)
    with StoreWriter(folder) as writer:
        writer.drop_others(taken.mark)
    taken.complete, taken.n_files = True, len(tables.curves)
    _note(cache, galaxy, taken)


@dataclass
class _Intake:
    """Light curves of tables that are wanted, and those that are not."""

    tables: TableFiles
    taken: TakenTables
    stars: StarNames
    positions: dict[str, tuple[float, float]]

    def curves(self, advance: Any) -> Iterator[_Curve]:
        """Read the tables: one by one where a row is a star, else all before the first light curve."""
        files = self.tables.curves
        if not self.tables.row_a_star:
            yield from self._of_files(files, 0, advance)
            return
        for number in range(self.taken.n_files, len(files)):
            yield from self._of_files(files[number : number + 1], number, advance)

    def _of_files(self, files: Sequence[Path], number: int, advance: Any) -> Iterator[_Curve]:
        with tempfile.TemporaryDirectory(prefix="cbminer-table-") as folder:
            points = TablePoints(self.tables.point_layout, Path(folder))
            for path in files:
                points.add_table(path)
                advance(1)
            if self.positions:
                points.place_stars(self.positions)
            for block in points.blocks():
                yield from self._of_block(block, number)
        self.taken.points = dict(Counter(self.taken.points) + points.reasons)

    def _of_block(self, block: TableBlock, number: int) -> Iterator[_Curve]:
        names = star_names(block.curves.stars)
        known = find_names(self.stars, names) >= 0
        if not self.tables.row_a_star:
            # Where rows are stars they are the catalogue: what that lacks is of another galaxy.
            self.taken.spare += name_list(names[~known])
        for index in np.flatnonzero(known).tolist():
            yield _Curve(number, block.curves.stars[index], "I", _light_curve(block.curves, index))
            if block.second is not None and len(second := _light_curve(block.second, index)):
                yield _Curve(number, block.curves.stars[index], "V", second)


def _light_curve(curves: PackedLightCurves, index: int) -> LightCurve:
    points = curves.points_of(index)
    return LightCurve(curves.time[points], curves.mag[points], curves.mag_err[points])
