"""Files of an FTP server."""

import ftplib
import re
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import unquote, urlsplit

from cbminer.survey.transfer import (
    CHUNK,
    CONNECT_TIMEOUT,
    Failure,
    Hold,
    Missing,
    OpenSockets,
    Refusal,
    Remote,
    Transfer,
)

__all__ = ["FtpTransport"]

_FTP_SIZE = re.compile(r"213\s+([0-9]{1,18})\s*")
_FTP_FORBIDDEN = re.compile(r"permission|denied|not allowed|forbidden", re.IGNORECASE)


class FtpTransport:
    """Files of an FTP server. One connection is opened for each request, and closed after it.

    Parameters
    ----------
    timeout : float, optional
        Seconds without a byte after which a request has failed.
    """

    def __init__(self, *, timeout: float = 30.0) -> None:
        self._timeout = timeout
        self._sockets = OpenSockets()

    def close(self) -> None:
        """Do nothing: no connection outlives its request."""

    def abort(self) -> None:
        """Wake the threads that wait for bytes: their transfers fail."""
        self._sockets.end_all()

    def goes_on(self, url: str, known: Remote) -> bool:
        """Tell whether a file has bytes beyond its size: over FTP, where the data end by themselves, it cannot.

        Parameters
        ----------
        url : str
            Address of the file.
        known : Remote
            What the server said about it.

        Returns
        -------
        bool
            Always false.
        """
        del url, known
        return False

    def ask(self, url: str) -> Remote:
        """Ask about a file with SIZE and MDTM.

        Parameters
        ----------
        url : str
            Address of the file.

        Returns
        -------
        Remote
            What the server says about it.

        Raises
        ------
        Failure, Refusal
            If the server cannot be reached, or does not have the file.
        """
        with self._connection(url) as (connection, path):
            return _ftp_remote(connection, path)

    @contextmanager
    def get(self, url: str, *, offset: int = 0, known: Remote | None = None) -> Iterator[Transfer]:
        """Open a file from a place on, if it is still the file that is known.

        Parameters
        ----------
        url : str
            Address of the file.
        offset : int, optional
            First byte that is wanted.
        known : Remote, optional
            What the server said when the bytes before `offset` came.

        Yields
        ------
        Transfer
            The bytes, from the start if the file has changed or the server knows no REST.

        Raises
        ------
        Failure, Refusal
            If the server cannot be reached, or does not have the file.
        """
        with self._connection(url) as (connection, path):
            remote = _ftp_remote(connection, path)
            # Without a size nobody would notice a server that takes no heed of REST.
            joins = remote.size is not None and (known is None or known.is_same_file(remote))
            data, start = _ftp_data(connection, path, offset if joins else 0)
            with data, self._sockets.holding(data) as hold:
                yield Transfer(remote, start, _ftp_body(connection, data, hold))

    @contextmanager
    def _connection(self, url: str) -> Iterator[tuple[ftplib.FTP, str]]:
        # Latin-1 takes every byte for a letter and back: no banner is an error, and a path stays as it is.
        connection = ftplib.FTP(encoding="latin-1")  # noqa: S321 - public data; its hashes are kept and checked
        with closing(connection):
            with _ftp_failures("cannot be reached"):
                parts = urlsplit(url)
                _ftp_connect(connection, parts.hostname, parts.port, self._timeout)
            with self._sockets.holding(connection.sock):
                with _ftp_failures():
                    connection.login(unquote(parts.username or "anonymous"), unquote(parts.password or "cbminer@"))
                    connection.voidcmd("TYPE I")
                yield connection, unquote(parts.path, encoding="latin-1")


@contextmanager
def _ftp_failures(trouble: str = "broke off the connection") -> Iterator[None]:
    """Turn what ftplib raises into a failure or a refusal."""
    try:
        yield
    except ftplib.error_perm as error:
        answer = _one_line(error)
        is_missing = answer.startswith("550") and not _FTP_FORBIDDEN.search(answer)
        kind = Missing if is_missing else Refusal
        msg = f"answered {answer}"
        raise kind(msg) from error
    except ftplib.Error as error:
        msg = f"answered {_one_line(error)}"
        raise Failure(msg) from error
    except TimeoutError as error:
        msg = "did not answer in time"
        raise Failure(msg) from error
    except (EOFError, OSError) as error:
        msg = f"{trouble} ({_one_line(error) or type(error).__name__})"
        raise Failure(msg) from error
    except ValueError as error:
        # A port that is no number, or a line end in a path.
        msg = f"cannot be asked ({error})"
        raise Refusal(msg) from error


def _ftp_connect(connection: ftplib.FTP, host: str | None, port: int | None, timeout: float) -> None:
    if host is None:
        msg = "the address names no server"
        raise ValueError(msg)
    connection.connect(host, port or 0, min(timeout, CONNECT_TIMEOUT))
    connection.timeout = timeout
    if connection.sock is not None:
        connection.sock.settimeout(timeout)


def _one_line(error: Exception) -> str:
    """Make what a server says fit for a terminal: one line, of letters only."""
    words = " ".join(str(error).split())
    return "".join(letter for letter in words if letter.isprintable())[:200].rstrip(".")


def _ftp_remote(connection: ftplib.FTP, path: str) -> Remote:
    """SIZE and MDTM of a file; a server may know neither command."""
    answers = {}
    for command in ("SIZE", "MDTM"):
        with _ftp_failures():
            try:
                answers[command] = connection.sendcmd(f"{command} {path}")
            except ftplib.error_perm as error:
                if str(error).startswith("550"):
                    raise
    size = _FTP_SIZE.fullmatch(answers.get("SIZE", ""))
    return Remote(int(size[1]) if size else None, "", _ftp_date(answers.get("MDTM", "")))


def _ftp_date(answer: str) -> str:
    try:
        when = datetime.strptime(answer.partition(" ")[2].strip()[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return ""
    return format_datetime(when, usegmt=True)


def _ftp_data(connection: ftplib.FTP, path: str, offset: int) -> tuple[socket.socket, int]:
    """Open the data connection at an offset, or at 0 where the server knows no REST."""
    with _ftp_failures():
        if offset:
            try:
                return connection.transfercmd(f"RETR {path}", offset), offset
            except ftplib.error_perm as error:
                if str(error).startswith("550"):
                    raise
        return connection.transfercmd(f"RETR {path}"), 0


def _ftp_body(connection: ftplib.FTP, data: socket.socket, hold: Hold) -> Iterator[bytes]:
    with _ftp_failures():
        while chunk := data.recv(CHUNK):
            yield chunk
        data.close()
        # The server says here whether it sent all of it.
        connection.voidresp()
    hold.refuse_end()
