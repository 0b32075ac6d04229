"""The manifest of a cache: every file that came, from where, when, and the hash that it must have."""

import errno
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from filelock import FileLock

from cbminer.errors import ArchiveError
from cbminer.survey.part import refuse_full_disk
from cbminer.survey.transport import Remote

__all__ = ["Entry", "Manifest", "State"]

# Changes take milliseconds; a process that holds the file for longer than this is stuck.
_BUSY_SECONDS = 30.0
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR}

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
    """Manifest of one archive's cache, an SQLite file. Safe to share between threads and between processes.

    A change is on disk when its method returns. A manifest that cannot be read is put aside and begun anew: what it
    spoke of is then fetched again.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file; it is made if it is not there.

    Raises
    ------
    ArchiveError
        If the file cannot be opened. Every method may raise it too: if the disk is full, for instance.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = self._open_or_renew()
        except sqlite3.Error as error:
            raise self._error(error) from error
        except OSError as error:
            raise refuse_full_disk(error, path) from error

    def _open_or_renew(self) -> sqlite3.Connection:
        try:
            return self._open()
        except sqlite3.Error as error:
            if not _is_damage(error):
                raise
        with FileLock(self.path.with_name(f"{self.path.name}.lock")):
            # Another process may have put it aside in the meantime.
            try:
                return self._open()
            except sqlite3.Error as error:
                if not _is_damage(error):
                    raise
            # SQLite drops a journal that the old file may have left: a new file is empty.
            self.path.replace(self.path.with_suffix(".damaged"))
            return self._open()

    def _open(self) -> sqlite3.Connection:
        # The journal stays SQLite's default, a file: a write-ahead log needs shared memory, which network file systems
        # do not have.
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, check_same_thread=False)
        try:
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.execute(f"{_SELECT} LIMIT 1").fetchone()
            state = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if state != "ok":
                raise _DamagedError(state)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        """Hold the connection for one thread and one transaction."""
        try:
            with self._lock, self._connection:
                yield self._connection
        except sqlite3.ProgrammingError:
            raise
        except sqlite3.Error as error:
            raise self._error(error) from error

    def _error(self, error: sqlite3.Error) -> ArchiveError:
        code = _code(error)
        if code == sqlite3.SQLITE_FULL:
            return refuse_full_disk(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), self.path)
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            return ArchiveError(f"{self.path} is in use by another process: wait until it has finished and call again")
        if _is_damage(error):
            return ArchiveError(f"{self.path} is damaged ({error}): call again, and it is begun anew")
        return ArchiveError(f"{self.path} cannot be used ({error}): choose another folder with --cache")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
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
        with self._using() as connection:
            row = connection.execute(f"{_SELECT} WHERE name = ?", (name,)).fetchone()
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
        wanted = "substr(name, 1, ?) = ? AND (state = ? OR ? IS NULL)"
        with self._using() as connection:
            values = (len(under), under, state, state)
            rows = connection.execute(f"{_SELECT} WHERE {wanted} ORDER BY name", values).fetchall()
        yield from (Entry(*row) for row in rows)

    def put(self, *entries: Entry) -> None:
        """Enter files, replacing what was known of them.

        Parameters
        ----------
        *entries : Entry
            The files; one without a time gets the present one.
        """
        dated = [entry if entry.fetched else replace(entry, fetched=now()) for entry in entries]
        with self._using() as connection:
            connection.executemany(_INSERT, [astuple(entry) for entry in dated])

    def forget(self, *names: str) -> None:
        """Strike files out.

        Parameters
        ----------
        *names : str
            Paths in the archive.
        """
        with self._using() as connection:
            connection.executemany("DELETE FROM files WHERE name = ?", [(name,) for name in names])

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
        with self._using() as connection:
            row = connection.execute("SELECT value FROM facts WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else ""

    def state_fact(self, key: str, value: str) -> None:
        """Enter a fact about the whole archive.

        Parameters
        ----------
        key, value : str
            Its name and value; an empty value strikes it out.
        """
        with self._using() as connection:
            if value:
                connection.execute("INSERT OR REPLACE INTO facts (key, value) VALUES (?, ?)", (key, value))
            else:
                connection.execute("DELETE FROM facts WHERE key = ?", (key,))


class _DamagedError(sqlite3.DatabaseError):
    """SQLite's own check of the file found something wrong."""


def _code(error: sqlite3.Error) -> int:
    """Say what kind of error it is; the more precise codes of SQLite keep it in their last byte."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _is_damage(error: sqlite3.Error) -> bool:
    """Tell whether the file is none of ours, or not any more."""
    return isinstance(error, _DamagedError) or _code(error) in _DAMAGED
