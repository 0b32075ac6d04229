"""The one seam to the network: bytes over HTTP and FTP, with what the server says about them.

Everything that cbminer fetches goes through `http_client` or `open_transport`; tests put a loopback server or a
transport of their own in their place. This module speaks the protocols and sorts failures into those that are worth
another try and those that are not. It retries nothing and writes nothing: that is `cbminer.survey.download`.
"""

import ftplib
import ipaddress
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
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
    "http_client",
    "is_loopback",
    "open_transport",
    "raise_for_status",
]

CHUNK = 1 << 16
_CONNECT_TIMEOUT = 10.0
_REDIRECTS = 5
_WORTH_ANOTHER_TRY = {408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524}
_CONTENT_RANGE = re.compile(r"bytes\s+(?:(\d+)-(\d+)|\*)/(\d+|\*)")


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
        pairs = ((self.size, other.size), (self.etag, other.etag), (self.modified, other.modified))
        return all(mine == theirs for mine, theirs in pairs if mine not in {None, ""} and theirs not in {None, ""})

    @property
    def identifies(self) -> bool:
        """Whether anything here but the size would tell that the file has changed."""
        return bool(self.etag or self.modified)

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

    def close(self) -> None:
        """Give the connections back."""


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
        timeout=httpx.Timeout(timeout, connect=min(timeout, _CONNECT_TIMEOUT)),
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        transport=transport,
        follow_redirects=False,
    )


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
    if text.strip().isdigit():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except (TypeError, ValueError):
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

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def ask(self, url: str) -> Remote:
        """Ask about a file with a HEAD request.

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
            raise_for_status(response)
            return _remote(response)

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
            if offset and not _continues(response, offset, known):
                response.close()
                with self.get(url) as whole:
                    yield whole
                return
            if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                # Every byte was there already.
                yield Transfer(_remote(response), offset, iter(()))
                return
            raise_for_status(response)
            _refuse_encoding(response)
            start = offset if response.status_code == httpx.codes.PARTIAL_CONTENT else 0
            yield Transfer(_remote(response), start, _body(response))

    @contextmanager
    def _answer(self, method: str, url: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """Open a response, following redirects that stay on the host."""
        address = httpx.URL(url)
        for _ in range(_REDIRECTS + 1):
            with _failures():
                response = self._client.send(self._client.build_request(method, address, headers=headers), stream=True)
            if not response.has_redirect_location:
                try:
                    yield response
                finally:
                    response.close()
                return
            target = address.join(response.headers["Location"])
            response.close()
            _refuse_leaving(address, target)
            address = target
        msg = f"redirects in a circle ({_REDIRECTS} redirects, the last to {address})"
        raise Refusal(msg)


@contextmanager
def _failures() -> Iterator[None]:
    """Turn what httpx raises into a failure or a refusal."""
    try:
        yield
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        msg = f"cannot be asked ({error})"
        raise Refusal(msg) from error
    except httpx.TimeoutException as error:
        msg = f"did not answer in time ({type(error).__name__})"
        raise Failure(msg) from error
    except httpx.HTTPError as error:
        msg = f"cannot be reached ({str(error) or type(error).__name__})"
        raise Failure(msg) from error


def _refuse_leaving(address: httpx.URL, target: httpx.URL) -> None:
    """Refuse a redirect to another host, or from an encrypted to a plain connection."""
    if target.host != address.host or target.scheme not in {"http", "https"}:
        msg = f"redirects to another host ({target}); if you trust it, name it with --archive"
        raise Refusal(msg)
    if address.scheme == "https" and target.scheme != "https":
        msg = f"redirects to an unencrypted address ({target}); if you trust it, name it with --archive"
        raise Refusal(msg)


def _refuse_encoding(response: httpx.Response) -> None:
    """Refuse bytes that were packed on the way: their length and ranges are not those of the file.

    A .gz file is packed for good, and servers that say so in a header mean the file itself.
    """
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    packed_file = response.request.url.path.endswith((".gz", ".tgz")) and encoding in {"gzip", "x-gzip"}
    if encoding not in {"", "identity"} and not packed_file:
        msg = f"sent the file packed with {encoding} although it was asked not to"
        raise Refusal(msg)


def _continues(response: httpx.Response, offset: int, known: Remote | None) -> bool:
    """Tell whether an answer to a Range request goes on with the same file at the right place."""
    if response.status_code not in {
        httpx.codes.PARTIAL_CONTENT,
        httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE,
    }:
        # A whole file, which starts over, or an error, which is raised for its status.
        return True
    match = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    if match is None or (known is not None and not known.agrees(_remote(response))):
        return False
    if match[1] is None:
        return match[3] == str(offset)
    return int(match[1]) == offset


def _remote(response: httpx.Response) -> Remote:
    size: int | None = None
    match = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    if match is not None:
        size = int(match[3]) if match[3].isdigit() else None
    elif response.headers.get("Content-Length", "").isdigit():
        size = int(response.headers["Content-Length"])
    headers = response.headers
    ranges = response.status_code == httpx.codes.PARTIAL_CONTENT or headers.get("Accept-Ranges", "").lower() == "bytes"
    return Remote(size, headers.get("ETag", ""), headers.get("Last-Modified", ""), ranges)


def _body(response: httpx.Response) -> Iterator[bytes]:
    with _failures():
        # Raw bytes: a .gz file stays as it is whatever the headers say.
        yield from response.iter_raw(CHUNK)


class FtpTransport:
    """Files of an FTP server. One connection is opened for each request, and closed after it.

    Parameters
    ----------
    timeout : float, optional
        Seconds without a byte after which a request has failed.
    """

    def __init__(self, *, timeout: float = 30.0) -> None:
        self._timeout = timeout

    def close(self) -> None:
        """Do nothing: no connection outlives its request."""

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
            start = offset if known is None or known.agrees(remote) else 0
            data, start = _ftp_data(connection, path, start)
            try:
                yield Transfer(remote, start, _ftp_body(connection, data))
            finally:
                data.close()

    @contextmanager
    def _connection(self, url: str) -> Iterator[tuple[ftplib.FTP, str]]:
        parts = urlsplit(url)
        connection = ftplib.FTP(timeout=self._timeout)  # noqa: S321 - public data; its hashes are kept and checked
        try:
            with _ftp_failures():
                connection.connect(parts.hostname or "", parts.port or 0)
                connection.login(unquote(parts.username or ""), unquote(parts.password or ""))
                connection.voidcmd("TYPE I")
            yield connection, unquote(parts.path)
        finally:
            connection.close()


@contextmanager
def _ftp_failures() -> Iterator[None]:
    try:
        yield
    except ftplib.error_perm as error:
        answer = f"answered {error}"
        raise (Missing(answer) if str(error).startswith("550") else Refusal(answer)) from error
    except (ftplib.Error, EOFError, OSError) as error:
        msg = f"cannot be reached ({str(error) or type(error).__name__})"
        raise Failure(msg) from error


def _ftp_remote(connection: ftplib.FTP, path: str) -> Remote:
    """SIZE and MDTM of a file; a server may know neither command."""
    answers = {}
    for command in ("SIZE", "MDTM"):
        with _ftp_failures():
            try:
                answers[command] = connection.sendcmd(f"{command} {path}").split()[-1]
            except ftplib.error_perm as error:
                if str(error).startswith("550"):
                    raise
    size = answers.get("SIZE", "")
    return Remote(int(size) if size.isdigit() else None, "", _ftp_date(answers.get("MDTM", "")))


def _ftp_date(text: str) -> str:
    try:
        when = datetime.strptime(text[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
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


def _ftp_body(connection: ftplib.FTP, data: socket.socket) -> Iterator[bytes]:
    with _ftp_failures():
        while chunk := data.recv(CHUNK):
            yield chunk
        data.close()
        # The server says here whether it sent all of it.
        connection.voidresp()


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
    if urlsplit(url).scheme == "ftp":
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
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
