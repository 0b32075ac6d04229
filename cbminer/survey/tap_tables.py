"""Tables of TAP services with a memory: each answer is kept as it came, beside a note of where it came from.

The table of a question is FOLDER/NAME-KEY.vot, its note FOLDER/NAME-KEY.json. The key stands for the service, the
query and the positions that were sent along. A kept table is used without a request as long as its bytes have the
hash of the note; one that is damaged is asked for again.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from cbminer.errors import ArchiveError
from cbminer.monitor import Monitor
from cbminer.survey.part import write_whole
from cbminer.survey.tap import Answer, QueryRejectedError, TapService, TruncatedError, read_votable
from cbminer.survey.transport import Failure, Refusal

__all__ = ["Question", "TapTables"]

_KEY_DIGITS = 12


@dataclass(frozen=True)
class Question:
    """A query, and what a reader should know of it.

    Attributes
    ----------
    adql : str
        The query.
    what : str
        What is asked for, in words.
    remedy : str
        What the user can do without the answer.
    name : str
        Beginning of the name of the kept files.
    count : str
        Query for the number of rows. An answer with another number of rows is an error.
    maxrec : int
        Rows at most where they are not counted. An answer with as many rows is an error.
    width : int
        Columns that the answer must have; 0 if any number will do.
    keep_empty : bool
        Whether an answer without rows is kept, too.
    positions : `~astropy.table.Table` or None
        Table to send along; the query knows it as TAP_UPLOAD.stars.
    columns : mapping of str to str
        The column that was chosen for each role, for the note.
    citation : str
        What to cite, for the note.
    """

    adql: str
    what: str
    remedy: str
    name: str
    count: str = ""
    maxrec: int = 100_000
    width: int = 0
    keep_empty: bool = True
    positions: Table | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    citation: str = ""

    @property
    def positions_sha256(self) -> str:
        """Hash of the positions, empty without positions."""
        if self.positions is None:
            return ""
        columns = [np.ascontiguousarray(self.positions[name], dtype=float) for name in self.positions.colnames]
        return hashlib.sha256(b"".join(column.tobytes() for column in columns)).hexdigest()


class TapTables:
    """Tables of one service, kept in a folder.

    Parameters
    ----------
    service : TapService
        The service.
    folder : `~pathlib.Path`
        Where tables are kept; it is made when it is needed.
    refresh : bool, optional
        Whether to ask again for what an earlier run kept.
    monitor : Monitor, optional
        Told of what is asked for.

    Attributes
    ----------
    used : list of `~pathlib.Path`
        Files of the tables that were given so far, for the record of a run.
    """

    def __init__(
        self, service: TapService, folder: Path, *, refresh: bool = False, monitor: Monitor | None = None
    ) -> None:
        self.service = service
        self.used: list[Path] = []
        self._folder = folder
        self._refresh = refresh
        self._monitor = monitor or Monitor()
        self._fresh: set[Path] = set()

    def ask(self, question: Question) -> Table:
        """Give the table of a question: the kept one, or else the service's.

        Parameters
        ----------
        question : Question
            What to ask.

        Returns
        -------
        `~astropy.table.Table`
            Its rows, under the service's names of the columns.

        Raises
        ------
        ArchiveError
            If the service does not give all rows, or they cannot be kept.
        """
        with self.explained(question):
            return self.try_to_ask(question)

    def try_to_ask(self, question: Question) -> Table:
        """Do the same as `ask`, with the failures as they are.

        Parameters
        ----------
        question : Question
            What to ask.

        Returns
        -------
        `~astropy.table.Table`
            Its rows.

        Raises
        ------
        Failure, Refusal
            As `TapService.fetch`.
        """
        path = self._path(question)
        table = self._kept(question, path) if not self._refresh or path in self._fresh else None
        if table is None:
            self._monitor.tell(f"asking {self.service.url} for {question.what}")
            answer = self._fetch(question)
            if answer is None or not (len(answer.table) or question.keep_empty):
                return Table()
            self._keep(question, path, answer)
            table = answer.table
        if path not in self.used:
            self.used.append(path)
        return table

    @contextmanager
    def explained(self, question: Question) -> Iterator[None]:
        """Turn failures and refusals into the error that a user reads.

        Parameters
        ----------
        question : Question
            What is asked within.

        Yields
        ------
        None
            Nothing.

        Raises
        ------
        ArchiveError
            For every failure and refusal: the service, what was asked, what came of it, and the remedy.
        """
        url = self.service.url
        try:
            yield
        except QueryRejectedError as rejected:
            msg = f"{url} rejects the query for {question.what} ({rejected}): {question.remedy}"
            raise ArchiveError(msg) from rejected
        except Failure as failure:
            again = f"in {failure.retry_after:.0f} s" if failure.retry_after else "later"
            msg = f"{url} {failure} when asked for {question.what}. Try again {again}, or {question.remedy}"
            raise ArchiveError(msg) from failure
        except Refusal as refusal:
            msg = f"{url} {refusal} when asked for {question.what}: {question.remedy}"
            raise ArchiveError(msg) from refusal

    def _path(self, question: Question) -> Path:
        text = f"{self.service.url}\n{question.adql}\n{question.positions_sha256}"
        key = hashlib.sha256(text.encode()).hexdigest()[:_KEY_DIGITS]
        return self._folder / f"{question.name}-{key}.vot"

    def _fetch(self, question: Question) -> Answer | None:
        """Fetch every row; None if there are none to fetch."""
        rows = self._count(question) if question.count else None
        if rows == 0:
            return None
        # One more than there are: a service that fills MAXREC may call that an overflow.
        maxrec = question.maxrec if rows is None else rows + 1
        uploads = None if question.positions is None else {"stars": question.positions}
        answer = self.service.fetch(question.adql, maxrec=maxrec, uploads=uploads)
        found, columns = len(answer.table), len(answer.table.colnames)
        if question.width and columns != question.width:
            msg = f"gave {columns} columns instead of {question.width}"
            raise Refusal(msg)
        if rows is None and found >= maxrec:
            msg = f"cut the table off after {found} rows"
            raise TruncatedError(msg)
        if rows is not None and found != rows:
            msg = f"gave {found} of {rows} rows"
            raise TruncatedError(msg)
        return answer

    def _count(self, question: Question) -> int:
        table = self.service.fetch(question.count, maxrec=10).table
        try:
            (row,) = table
            return int(row[0])
        except (ValueError, TypeError, IndexError) as error:
            msg = "did not say how many rows there are"
            raise Refusal(msg) from error

    def _kept(self, question: Question, path: Path) -> Table | None:
        """Read a kept table; None if there is none or it is not what it was."""
        try:
            note = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            content = path.read_bytes()
            expected = self._identity(question) | {"sha256": hashlib.sha256(content).hexdigest()}
            if any(note[key] != value for key, value in expected.items()):
                return None
            table = read_votable(content)
        except (OSError, ValueError, KeyError, TypeError, Failure, Refusal):
            return None
        return table if len(table) == note["rows"] else None

    def _identity(self, question: Question) -> dict[str, str]:
        return {
            "service": self.service.url,
            "query": question.adql,
            "positions_sha256": question.positions_sha256,
        }

    def _keep(self, question: Question, path: Path, answer: Answer) -> None:
        note: dict[str, Any] = {
            **self._identity(question),
            "what": question.what,
            "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
            "rows": len(answer.table),
            "sha256": hashlib.sha256(answer.content).hexdigest(),
            "columns": dict(question.columns),
            "citation": question.citation,
            "cbminer": version("cbminer"),
        }
        write_whole(path, answer.content)
        # The note comes last: it vouches for the table.
        write_whole(path.with_suffix(".json"), (json.dumps(note, indent=2, ensure_ascii=False) + "\n").encode())
        self._fresh.add(path)
