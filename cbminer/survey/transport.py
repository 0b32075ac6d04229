"""The one seam to the network: bytes over HTTP and FTP, with what the server says about them.

Everything that cbminer fetches goes through `http_client` or `open_transport`; tests put a loopback server or a
transport of their own in their place. This module speaks the protocols and sorts failures into those that are worth
another try and those that are not. It retries nothing and writes nothing: that is `cbminer.survey.download`.
"""

import ipaddress
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from importlib.metadata import version
from urllib.parse import urlsplit

import httpx

from cbminer.survey.ftp import FtpTransport
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
    Transport,
)

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

_REDIRECTS = 5
_WITH_A_FILE = {200, 203, 206}
_NO_SUCH_METHOD = {405, 501}
_WORTH_ANOTHER_TRY = {408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524}
# Eighteen digits are more than any file has, and few enough for every number below.
_NUMBER = re.compile(r"[0-9]{1,18}")
_CONTENT_RANGE = re.compile(r"bytes\s+([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)")
# How httpx says that the server hung up; it has no error of its own for it.
_CLOSED = re.compile(r"disconnected|closed connection")


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
        timeout=httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT)),
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
        self._sockets = OpenSockets()

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


def _body(response: httpx.Response, hold: Hold) -> Iterator[bytes]:
    with failures():
        # Raw bytes: a .gz file stays as it is whatever the headers say. As they come: bytes that httpx gathers into
        # chunks of a size would be lost if the connection breaks.
        yield from response.iter_raw()
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
