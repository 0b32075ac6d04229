"""The one seam to the network: bytes over HTTP and FTP, with what the server says about them.

Everything that cbminer fetches goes through `http_client` or `open_transport`; tests put a loopback server or a
transport of their own in their place. This module speaks the protocols and sorts failures into those that are worth
another try and those that are not. It retries nothing and writes nothing: that is `cbminer.survey.download`.
"""

import ftplib
import ipaddress
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import cache
from importlib.metadata import version
from typing import Protocol
from urllib.parse import unquote, urlsplit

import httpx

__all__ = [
    "Failure",
    "FtpTransport",
    "HttpTransport",
    "Missing",
    "Refusal",
    "Remote",
    "Transfer",
    "Transport",
    "failures",
    "http_client",
    "is_loopback",
    "open_transport",
    "raise_for_status",
]

CHUNK = 1 << 16
_CONNECT_TIMEOUT = 10.0
_REDIRECTS = 5
_WITH_A_FILE = {200, 203, 206}
_NO_SUCH_METHOD = {405, 501}
_WORTH_ANOTHER_TRY = {408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524}
# Eighteen digits are more than any file has, and few enough for every number below.
_NUMBER = re.compile(r"[0-9]{1,18}")
_CONTENT_RANGE = re.compile(r"bytes\s+([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)")
# How httpx says that the server hung up; it has no error of its own for it.
_CLOSED = re.compile(r"disconnected|closed connection")
_FTP_SIZE = re.compile(r"213\s+([0-9]{1,18})\s*")
_FTP_FORBIDDEN = re.compile(r"permission|denied|not allowed|forbidden", re.IGNORECASE)


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


class _Hold:
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


class _Sockets:
    """Sockets of the transfers under way, so that another thread can end them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holds: set[_Hold] = set()

    @contextmanager
    def holding(self, sock: socket.socket | None) -> Iterator[_Hold]:
        hold = _Hold(sock)
        with self._lock:
            self._holds.add(hold)
        try:
            yield hold
        finally:
            with self._lock:
                self._holds.discard(hold)

    def end_all(self) -> None:
        with self._lock:
            for hold in self._holds:
                hold.end()


def user_agent() -> str:
    """Name the package and its version, as servers see it.

    Returns
    -------
    str
        Value of the User-Agent header.
    """
    return f"cbminer/{version('cbminer')} (massive contact binaries; python-httpx/{httpx.__version__})"


def http_client(
    *, timeout: float = 30.0, connections: int = 2, transport: httpx.BaseTransport | None = None
) -> httpx.Client:
    """Make the HTTP client that every request of the package goes through.

    Parameters
    ----------
    timeout : float, optional
        Seconds without a byte after which a request has failed.
    connections : int, optional
        Connections at a time.
    transport : `httpx.BaseTransport`, optional
        Transport to use instead of the network.

    Returns
    -------
    `httpx.Client`
        It names the package, asks for bytes as they are, and follows no redirects by itself.
    """
    return httpx.Client(
        headers={"User-Agent": user_agent(), "Accept-Encoding": "identity"},
        verify=_certificates(),
        timeout=httpx.Timeout(timeout, connect=min(timeout, _CONNECT_TIMEOUT)),
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        transport=transport,
        follow_redirects=False,
    )


@cache
def _certificates() -> ssl.SSLContext:
    """Load the certificates that servers are trusted by; it takes longer than many a request."""
    return httpx.create_ssl_context()


def raise_for_status(response: httpx.Response) -> None:
    """Turn a status that is no success into a failure or a refusal.

    Parameters
    ----------
    response : `httpx.Response`
        Answer of the server; its body is not needed.

    Raises
    ------
    Failure
        If another try may help: time-outs, 429 and troubles of the server.
    Missing
        If the file is not there.
    Refusal
        For every other answer.
    """
    status = response.status_code
    if response.is_success:
        return
    answer = f"answered {status} {response.reason_phrase}".strip()
    if status in _WORTH_ANOTHER_TRY:
        raise Failure(answer, retry_after=_retry_after(response.headers.get("Retry-After", "")))
    if status in {404, 410}:
        raise Missing(answer)
    raise Refusal(answer)


def _retry_after(text: str) -> float | None:
    """Seconds to wait, from a number of seconds or a date; None if the header is absent or says neither."""
    if _NUMBER.fullmatch(text.strip()):
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


class HttpTransport:
    """Files of a web server.

    Parameters
    ----------
    timeout : float, optional
        Seconds without a byte after which a request has failed.
    connections : int, optional
        Connections at a time.
    transport : `httpx.BaseTransport`, optional
        Transport to use instead of the network.
    """

    def __init__(
        self, *, timeout: float = 30.0, connections: int = 2, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._client = http_client(timeout=timeout, connections=connections, transport=transport)
        self._sockets = _Sockets()

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def abort(self) -> None:
        """Wake the threads that wait for bytes: their transfers fail."""
        self._sockets.end_all()

    def ask(self, url: str) -> Remote:
        """Ask about a file with a HEAD request, or with a GET request where the server knows no HEAD.

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
            As `raise_for_status`.
        """
        with self._answer("HEAD", url, {}) as response:
            if response.status_code not in _NO_SUCH_METHOD:
                raise_for_status(response)
                return _remote(response)
        with self.get(url) as transfer:
            return transfer.remote

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
            The bytes, from the start if the file has changed or the server cannot send a part.

        Raises
        ------
        Failure, Refusal
            As `raise_for_status`; a `Failure` also if the connection breaks.
        """
        headers = {}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if known is not None and known.precondition:
                headers["If-Range"] = known.precondition
        with self._answer("GET", url, headers) as response:
            if not offset or _continues(response, offset, known):
                yield from self._transfer(response, offset)
                return
        # The file has changed, or the server sent another part than was asked for: all of it, then.
        with self._answer("GET", url, {}) as response:
            yield from self._transfer(response, 0)

    def _transfer(self, response: httpx.Response, offset: int) -> Iterator[Transfer]:
        """Yield the one transfer of a response."""
        raise_for_status(response)
        if response.status_code not in _WITH_A_FILE:
            msg = f"answered {response.status_code} {response.reason_phrase} and sent no file"
            raise Refusal(msg)
        if not _is_plain(response):
            msg = f"sent the file packed with {response.headers['Content-Encoding']} although it was asked not to"
            raise Refusal(msg)
        is_part = response.status_code == httpx.codes.PARTIAL_CONTENT
        if is_part and _first_byte(response) != offset:
            msg = "sent another part of the file than it was asked for"
            raise Failure(msg)
        stream = response.extensions.get("network_stream")
        with self._sockets.holding(stream.get_extra_info("socket") if stream is not None else None) as hold:
            yield Transfer(_remote(response), offset if is_part else 0, _body(response, hold))

    def goes_on(self, url: str, known: Remote) -> bool:
        """Ask whether a file has bytes beyond the size that was announced.

        Parameters
        ----------
        url : str
            Address of the file.
        known : Remote
            What the server said about it.

        Returns
        -------
        bool
            True if the server has more of the same file.

        Raises
        ------
        Failure, Refusal
            If the server gives no answer.
        """
        if known.size is None or not known.ranges:
            return False
        with self._answer("GET", url, {"Range": f"bytes={known.size}-{known.size}"}) as response:
            if response.status_code != httpx.codes.PARTIAL_CONTENT:
                return False
            # The size is what is in doubt.
            return _first_byte(response) == known.size and replace(known, size=None).agrees(_remote(response))

    @contextmanager
    def _answer(self, method: str, url: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """Open a response, following redirects that stay on the host."""
        with failures():
            address = httpx.URL(url)
        for _ in range(_REDIRECTS + 1):
            with failures():
                response = self._client.send(self._client.build_request(method, address, headers=headers), stream=True)
            if not response.has_redirect_location:
                try:
                    _drain(response)
                    yield response
                finally:
                    response.close()
                return
            response.close()
            with failures():
                target = address.join(response.headers["Location"])
            _refuse_leaving(address, target)
            address = target
        msg = f"redirects in a circle ({_REDIRECTS} redirects, the last to {_public(address)})"
        raise Refusal(msg)


@contextmanager
def failures() -> Iterator[None]:
    """Turn what httpx raises in a block into a failure or a refusal.

    Yields
    ------
    None
        For the length of the block.

    Raises
    ------
    Failure, Refusal
        In place of the errors of httpx.
    """
    try:
        yield
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        msg = f"cannot be asked ({error})"
        raise Refusal(msg) from error
    except httpx.TimeoutException as error:
        msg = "did not answer in time"
        raise Failure(msg) from error
    except (httpx.ConnectError, httpx.ProxyError) as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            msg = f"shows a certificate that cannot be trusted ({error})"
            raise Refusal(msg) from error
        msg = f"cannot be reached ({error})"
        raise Failure(msg) from error
    except httpx.HTTPError as error:
        reason = str(error).rstrip(".") or type(error).__name__
        is_garbled = isinstance(error, httpx.ProtocolError) and not _CLOSED.search(reason)
        msg = f"{'sent no proper answer' if is_garbled else 'broke off the connection'} ({reason})"
        raise Failure(msg) from error


def _drain(response: httpx.Response) -> None:
    """Read a short error page, or an answer without a body, to its end: that keeps the connection in use."""
    length = response.headers.get("Content-Length", "")
    is_short = _NUMBER.fullmatch(length) is not None and int(length) <= CHUNK
    if response.request.method == "HEAD" or (response.is_error and is_short):
        with suppress(httpx.HTTPError):
            response.read()


def _public(address: httpx.URL) -> httpx.URL:
    """Strip the name and password of a user from an address."""
    return address.copy_with(userinfo=b"")


def _refuse_leaving(address: httpx.URL, target: httpx.URL) -> None:
    """Refuse a redirect to another host, or from an encrypted to a plain connection."""
    if target.host != address.host or target.scheme not in {"http", "https"}:
        msg = f"redirects to another host ({_public(target)}); if you trust it, name it with --archive"
        raise Refusal(msg)
    if address.scheme == "https" and target.scheme != "https":
        msg = f"redirects to an unencrypted address ({_public(target)}); if you trust it, name it with --archive"
        raise Refusal(msg)


def _is_plain(response: httpx.Response) -> bool:
    """Tell whether the bytes are those of the file: others have another length and other parts.

    A .gz file is packed for good, and servers that say so in a header mean the file itself.
    """
    encoding = response.headers.get("Content-Encoding", "").lower()
    packed_file = response.request.url.path.endswith((".gz", ".tgz")) and encoding in {"gzip", "x-gzip"}
    return encoding in {"", "identity"} or packed_file


def _continues(response: httpx.Response, offset: int, known: Remote | None) -> bool:
    """Tell whether the answer to a Range request will do, or the whole file has to be asked for."""
    if response.status_code == httpx.codes.PARTIAL_CONTENT:
        return _first_byte(response) == offset and (known is None or known.is_same_file(_remote(response)))
    # A whole file starts over, and an error is raised for its status. But a server that has no such part may well
    # have a file.
    return response.status_code != httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE


def _first_byte(response: httpx.Response) -> int | None:
    """Place in the file of the first byte of a part; None if it is not said."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    return int(match[1]) if match is not None else None


def _remote(response: httpx.Response) -> Remote:
    headers = response.headers
    is_part = response.status_code == httpx.codes.PARTIAL_CONTENT
    length = headers.get("Content-Length", "")
    if is_part:
        match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
        length = match[2] if match is not None else ""
    size = int(length) if _NUMBER.fullmatch(length) and _is_plain(response) else None
    ranges = is_part or headers.get("Accept-Ranges", "").lower() == "bytes"
    return Remote(size, headers.get("ETag", ""), headers.get("Last-Modified", ""), ranges)


def _body(response: httpx.Response, hold: _Hold) -> Iterator[bytes]:
    with failures():
        # Raw bytes: a .gz file stays as it is whatever the headers say. As they come: bytes that httpx gathers into
        # chunks of a size would be lost if the connection breaks.
        yield from response.iter_raw()
    hold.refuse_end()


class FtpTransport:
    """Files of an FTP server. One connection is opened for each request, and closed after it.

    Parameters
    ----------
    timeout : float, optional
        Seconds without a byte after which a request has failed.
    """

    def __init__(self, *, timeout: float = 30.0) -> None:
        self._timeout = timeout
        self._sockets = _Sockets()

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
    connection.connect(host, port or 0, min(timeout, _CONNECT_TIMEOUT))
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


def _ftp_body(connection: ftplib.FTP, data: socket.socket, hold: _Hold) -> Iterator[bytes]:
    with _ftp_failures():
        while chunk := data.recv(CHUNK):
            yield chunk
        data.close()
        # The server says here whether it sent all of it.
        connection.voidresp()
    hold.refuse_end()


def open_transport(
    url: str, *, timeout: float = 30.0, connections: int = 2, transport: httpx.BaseTransport | None = None
) -> HttpTransport | FtpTransport:
    """Open the transport of an address.

    Parameters
    ----------
    url : str
        Address with the scheme http, https or ftp.
    timeout : float, optional
        Seconds without a byte after which a request has failed.
    connections : int, optional
        Connections at a time.
    transport : `httpx.BaseTransport`, optional
        Transport to use instead of the network, for http and https.

    Returns
    -------
    HttpTransport or FtpTransport
        The transport.
    """
    if url.lower().startswith("ftp:"):
        return FtpTransport(timeout=timeout)
    return HttpTransport(timeout=timeout, connections=connections, transport=transport)


def is_loopback(url: str) -> bool:
    """Tell whether an address is on this machine.

    Parameters
    ----------
    url : str
        Address of a server.

    Returns
    -------
    bool
        True for localhost and the loopback addresses.
    """
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
