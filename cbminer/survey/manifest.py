"""The manifest of a cache: every file that came, from where, when, and the hash that it must have."""

import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from cbminer.survey.transport import Remote

__all__ = ["Entry", "Manifest", "State"]

_BUSY_SECONDS = 30.0

State = Literal["file", "stored", "absent"]


@dataclass(frozen=True)
class Entry:
    """A file of the archive and what became of it.

    Attributes
    ----------
    name : str
        Path in the archive, for instance ``lmc/ecl/ident.dat``.
    url : str
        Where it came from: an address, or ``import:PATH`` if a user brought it.
    size : int
        Bytes; 0 if absent.
    sha256 : str
        Hash of its bytes; empty if absent.
    etag, modified : str
        What the server said about it, empty if nothing.
    fetched : str
        When it came, UTC, ISO 8601.
    state : {"file", "stored", "absent"}
        Kept as a file; taken into the store; or not on the server.
    """

    name: str
    url: str
    size: int = 0
    sha256: str = ""
    etag: str = ""
    modified: str = ""
    fetched: str = ""
    state: State = "file"

    @property
    def remote(self) -> Remote:
        """What the server said about the file when it came."""
        return Remote(self.size, self.etag, self.modified)


_COLUMNS = tuple(field.name for field in fields(Entry))
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM files"  # noqa: S608 - the names are our own
_INSERT = f"INSERT OR REPLACE INTO files ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608
_SCHEMA = (
    (
        "CREATE TABLE IF NOT EXISTS files (name TEXT PRIMARY KEY, url TEXT NOT NULL, size INTEGER NOT NULL, "
        "sha256 TEXT NOT NULL, etag TEXT NOT NULL, modified TEXT NOT NULL, fetched TEXT NOT NULL, state TEXT NOT NULL)"
    ),
    "CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
)


def now() -> str:
    """Tell the time as the manifest writes it.

    Returns
    -------
    str
        UTC in ISO 8601, to the second.
    """
    return datetime.now(UTC).isoformat(timespec="seconds")


class Manifest:
    """Manifest of one archive's cache, an SQLite file. Safe to share between threads.

    A change is on disk when its method returns. A manifest that cannot be read is put aside and begun anew: what it
    spoke of is then fetched again.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file; it is made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = self._open()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            path.replace(path.with_suffix(".damaged"))
            self._connection = self._open()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, check_same_thread=False)
        try:
            with connection:
                for statement in _SCHEMA:
                    connection.execute(statement)
            connection.execute("SELECT count(*) FROM files").fetchone()
        except sqlite3.DatabaseError:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        """Return the manifest itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def get(self, name: str) -> Entry | None:
        """Look a file up.

        Parameters
        ----------
        name : str
            Path in the archive.

        Returns
        -------
        Entry or None
            What is known of it.
        """
        with self._lock:
            row = self._connection.execute(f"{_SELECT} WHERE name = ?", (name,)).fetchone()
        return Entry(*row) if row else None

    def entries(self, *, state: State | None = None, under: str = "") -> Iterator[Entry]:
        """List what is known.

        Parameters
        ----------
        state : {"file", "stored", "absent"}, optional
            Only files in this state.
        under : str, optional
            Only names that begin so.

        Yields
        ------
        Entry
            In the order of the names.
        """
        with self._lock:
            rows = self._connection.execute(f"{_SELECT} ORDER BY name").fetchall()
        for row in rows:
            entry = Entry(*row)
            if state in {None, entry.state} and entry.name.startswith(under):
                yield entry

    def put(self, *entries: Entry) -> None:
        """Enter files, replacing what was known of them.

        Parameters
        ----------
        *entries : Entry
            The files; one without a time gets the present one.
        """
        dated = [entry if entry.fetched else replace(entry, fetched=now()) for entry in entries]
        with self._lock, self._connection:
            self._connection.executemany(_INSERT, [astuple(entry) for entry in dated])

    def forget(self, *names: str) -> None:
        """Strike files out.

        Parameters
        ----------
        *names : str
            Paths in the archive.
        """
        with self._lock, self._connection:
            self._connection.executemany("DELETE FROM files WHERE name = ?", [(name,) for name in names])

    def fact(self, key: str) -> str:
        """Look a fact about the whole archive up.

        Parameters
        ----------
        key : str
            Its name.

        Returns
        -------
        str
            Its value, empty if unknown.
        """
        with self._lock:
            row = self._connection.execute("SELECT value FROM facts WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else ""

    def state_fact(self, key: str, value: str) -> None:
        """Enter a fact about the whole archive.

        Parameters
        ----------
        key, value : str
            Its name and value; an empty value strikes it out.
        """
        with self._lock, self._connection:
            if value:
                self._connection.execute("INSERT OR REPLACE INTO facts (key, value) VALUES (?, ?)", (key, value))
            else:
                self._connection.execute("DELETE FROM facts WHERE key = ?", (key,))
