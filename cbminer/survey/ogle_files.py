"""A file of OGLE's catalogue: its rows, each star once, and what was wrong with the others.

Rows are handed on some thousand at a time. What stays of them are the names of their stars.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cbminer.errors import InputFormatError
from cbminer.survey.ogle_rows import ParsedRows
from cbminer.survey.star_names import StarNames, find_names, first_rows, names_of_column
from cbminer.survey.textfile import (
    CUT_OFF,
    BadLineError,
    LineBlock,
    SetAside,
    bad_line,
    read_line_blocks,
    refuse_bad_lines,
)

__all__ = ["REQUIRED_FILES", "Ledger", "StarRows", "read_rows"]

REQUIRED_FILES = ("ident.dat", "ecl.dat")


@dataclass
class Ledger:
    """Counts and lines set aside, gathered while files are read."""

    counts: dict[str, int] = field(default_factory=dict)
    set_aside: list[SetAside] = field(default_factory=list)

    def add(self, items: Iterable[SetAside], count: str) -> None:
        """Enter what was set aside, and how much that is.

        Parameters
        ----------
        items : iterable of SetAside
            What was set aside.
        count : str
            Name of its count.
        """
        kept = list(items)
        self.counts[count] = self.counts.get(count, 0) + len(kept)
        self.set_aside.extend(kept)


@dataclass(frozen=True)
class StarRows:
    """Stars of a file, each once.

    Attributes
    ----------
    names : `~numpy.ndarray`
        Their names in ascending order, shape (n,).
    rows : `~numpy.ndarray`
        The row of the file that counts for each, shape (n,).
    n_rows : int
        Rows of the file, those of a star that came before among them.
    """

    names: StarNames
    rows: npt.NDArray[np.int32]
    n_rows: int

    def find(self, wanted: StarNames) -> npt.NDArray[np.int32]:
        """Find the rows of stars.

        Parameters
        ----------
        wanted : `~numpy.ndarray`
            Names of stars, shape (m,).

        Returns
        -------
        `~numpy.ndarray`
            Their rows, -1 where there is none, shape (m,).
        """
        places = find_names(self.names, wanted)
        if not len(self.rows):
            return places.astype(np.int32)
        return np.where(places >= 0, self.rows[places], np.int32(-1))

    def in_file_order(self, where: npt.NDArray[np.bool_]) -> StarNames:
        """List stars in the order of their rows.

        Parameters
        ----------
        where : `~numpy.ndarray`
            Which of the stars, shape (n,).

        Returns
        -------
        `~numpy.ndarray`
            Their names.
        """
        return self.names[where][np.argsort(self.rows[where])]


def read_rows(
    path: Path,
    parse: Callable[[Sequence[str]], ParsedRows],
    keep: Callable[[pa.Table], None],
    ledger: Ledger,
    *,
    strict: bool,
) -> StarRows:
    """Read a file, hand its rows on block by block, and enter the file into the ledger.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    parse : callable
        Turns lines into rows.
    keep : callable
        Takes the rows of a block, which have a column ``star``.
    ledger : Ledger
        Gets the counts, and the lines that are set aside.
    strict : bool
        Whether the first malformed line is an error.

    Returns
    -------
    StarRows
        The stars of the file.

    Raises
    ------
    InputFormatError
        If the file is missing, empty, of another layout, or, with `strict`, has a malformed line.
    """
    if not path.exists():
        msg = f"{path} is missing: the folder must hold OGLE's {' and '.join(REQUIRED_FILES)}"
        raise InputFormatError(msg)
    bad: list[SetAside] = []
    names: list[StarNames] = []
    numbers: list[npt.NDArray[np.int32]] = []
    texts: list[npt.NDArray[np.int64]] = []
    n_lines = 0
    for block in read_line_blocks(path):
        parsed = _parse_block(path.name, block, parse, bad)
        n_lines += len(block.texts) + len(block.undecoded)
        keep(parsed.table)
        names.append(names_of_column(parsed.table["star"]))
        numbers.append(np.array(block.numbers, dtype=np.int32)[parsed.places])
        # Instead of the lines themselves, which are needed only to tell whether two are the same.
        texts.append(np.array([hash(block.texts[place]) for place in parsed.places.tolist()], dtype=np.int64))
    if not n_lines and path.name in REQUIRED_FILES:
        msg = f"{path} is empty: expected a row a star; fetch it again"
        raise InputFormatError(msg)
    stars = np.concatenate(names)
    refuse_bad_lines(path, bad, len(stars), layout=f"OGLE's {path.name}", strict=strict)
    first = first_rows(stars)
    ledger.counts[f"{path.name}: lines"] = n_lines
    ledger.add(bad, f"{path.name}: malformed lines")
    duplicates = (
        () if first is None else _duplicates(path, first, stars, np.concatenate(numbers), np.concatenate(texts))
    )
    ledger.add(duplicates, f"{path.name}: duplicate rows")
    rows = np.arange(len(stars), dtype=np.int32)
    rows = rows if first is None else rows[first == rows]
    ledger.counts[f"{path.name}: rows"] = len(rows)
    order = np.argsort(stars[rows], kind="stable")
    return StarRows(stars[rows[order]], rows[order], len(stars))


def _parse_block(
    name: str, block: LineBlock, parse: Callable[[Sequence[str]], ParsedRows], bad: list[SetAside]
) -> ParsedRows:
    """Parse the lines of a block, and set bad ones aside."""
    whole = block.texts[:-1] if block.is_cut else block.texts
    rows = parse(whole)
    faults = dict(rows.faults)
    if block.is_cut:
        faults[len(whole)] = BadLineError(CUT_OFF)
    mine = [bad_line(name, block.numbers[place], block.texts[place], error) for place, error in faults.items()]
    bad += sorted([*block.undecoded, *mine], key=lambda item: item.line)
    return rows


def _duplicates(
    path: Path,
    first: npt.NDArray[np.int64],
    stars: StarNames,
    numbers: npt.NDArray[np.int32],
    texts: npt.NDArray[np.int64],
) -> Iterator[SetAside]:
    """Set rows of a star aside that come after another."""
    later = np.flatnonzero(first != np.arange(len(first)))
    lines = dict(_lines_at(path, numbers[later]))
    for row in later.tolist():
        number, before = int(numbers[row]), int(first[row])
        same = "the same" if texts[row] == texts[before] else "another"
        reason = f"expected one row a star, found {same} row on line {numbers[before]} already"
        yield SetAside(path.name, number, stars[row].decode(), reason, lines.get(number, ""))


def _lines_at(path: Path, numbers: npt.NDArray[np.int32]) -> Iterator[tuple[int, str]]:
    for block in read_line_blocks(path):
        for place in np.flatnonzero(np.isin(block.numbers, numbers)).tolist():
            yield block.numbers[place], block.texts[place]
