"""Bytes on their way from a server, whatever the protocol, and the two ways in which a request can fail."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

__all__ = [
    "CHUNK",
    "CONNECT_TIMEOUT",
    "Failure",
    "Hold",
    "Missing",
    "OpenSockets",
    "Refusal",
    "Remote",
    "Transfer",
    "Transport",
]

CHUNK = 1 << 16
# A server that does not even take a connection in this time is not there.
CONNECT_TIMEOUT = 10.0


class Failure(Exception):  # noqa: N818 - it is no error until the tries are used up
    """A request failed in a way that another try may mend.

    Attributes
    ----------
    retry_after : float or None
        Seconds that the server asks to wait, if it does.
    """

    def __init__(self, reason: str, *, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Refusal(Exception):  # noqa: N818 - the caller turns it into an error of the package
    """A request failed in a way that another try will not mend."""


class Missing(Refusal):
    """The server does not have the file."""


@dataclass(frozen=True)
class Remote:
    """What a server says about a file.

    Attributes
    ----------
    size : int or None
        Bytes of the whole file.
    etag : str
        Entity tag, empty if there is none.
    modified : str
        Time of the last change as an HTTP date, empty if unknown.
    ranges : bool
        Whether the server offers parts of the file.
    """

    size: int | None = None
    etag: str = ""
    modified: str = ""
    ranges: bool = False

    def agrees(self, other: "Remote") -> bool:
        """Tell whether nothing that both sides know has changed.

        Parameters
        ----------
        other : Remote
            What was said at another time.

        Returns
        -------
        bool
            False as soon as a size, tag or time known to both differs.
        """
        tags = (self.etag.removeprefix("W/"), other.etag.removeprefix("W/"))
        pairs = ((self.size, other.size), tags, (self.modified, other.modified))
        return all(mine == theirs for mine, theirs in pairs if mine not in {None, ""} and theirs not in {None, ""})

    def is_same_file(self, other: "Remote") -> bool:
        """Tell whether bytes that came at one time may be joined with bytes of the other.

        Parameters
        ----------
        other : Remote
            What was said at another time.

        Returns
        -------
        bool
            Whether both know a tag or a time of change, and nothing that both know has changed.
        """
        return self.agrees(other) and bool((self.etag and other.etag) or (self.modified and other.modified))

    @property
    def precondition(self) -> str:
        """What a Range request may be made conditional on: a strong tag, or else the time; empty if neither."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


@dataclass(frozen=True)
class Transfer:
    """Bytes on their way.

    Attributes
    ----------
    remote : Remote
        What the server says about the whole file.
    offset : int
        Place in the file of the first byte that comes; 0 where the server starts over.
    chunks : iterator of bytes
        The bytes. It raises `Failure` if they end too early.
    """

    remote: Remote
    offset: int
    chunks: Iterator[bytes]


class Transport(Protocol):
    """What a protocol can do."""

    def ask(self, url: str) -> Remote:
        """Ask what the server says about a file, without its bytes."""

    @contextmanager
    def get(self, url: str, *, offset: int = 0, known: Remote | None = None) -> Iterator[Transfer]:
        """Bytes of a file from a place on, if it is still the file that is known."""

    def goes_on(self, url: str, known: Remote) -> bool:
        """Ask whether a file has bytes beyond the size that was announced."""

    def abort(self) -> None:
        """Wake the threads that wait for bytes: their transfers fail."""

    def close(self) -> None:
        """Give the connections back."""


class Hold:
    """A socket of a transfer under way."""

    def __init__(self, sock: socket.socket | None) -> None:
        self._sock = sock
        self._is_ended = False

    def end(self) -> None:
        """Wake the thread that waits for the socket."""
        self._is_ended = True
        if self._sock is not None:
            with suppress(OSError):
                # The method of the plain class: that of a TLS socket would pull the rug from under its reader.
                socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def refuse_end(self) -> None:
        """Fail if the socket was ended from here, which may look as if the server had sent all of the file."""
        if self._is_ended:
            msg = "was asked for no more"
            raise Failure(msg)


class OpenSockets:
    """Sockets of the transfers under way, so that another thread can end them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holds: set[Hold] = set()

    @contextmanager
    def holding(self, sock: socket.socket | None) -> Iterator[Hold]:
        """Hold a socket for the length of a transfer.

        Parameters
        ----------
        sock : `socket.socket` or None
            The socket; None if it is not known.

        Yields
        ------
        Hold
            By which it can be ended.
        """
        hold = Hold(sock)
        with self._lock:
            self._holds.add(hold)
        try:
            yield hold
        finally:
            with self._lock:
                self._holds.discard(hold)

    def end_all(self) -> None:
        """Wake all threads that wait for a socket."""
        with self._lock:
            for hold in self._holds:
                hold.end()
