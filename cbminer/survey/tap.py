"""A TAP service, asked through pyvo: a whole table, or one failure that says what is wrong.

pyvo knows the protocol: its parameters, uploads and states of an answer. The bytes go through
`cbminer.survey.transport.http_client`, so that time-outs, the user agent and the sorting of failures are those of
the whole package, and tests put a transport of their own in its place. pyvo is imported late: it is slow to load.
"""

import io
import random
import re
import struct
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Self

import httpx
import tenacity
from astropy.table import Table
from pydantic import Field

from cbminer.quantities import Megabytes, Seconds, SettingsModel
from cbminer.survey.transport import Failure, Refusal, failures, http_client, is_loopback, raise_for_status

__all__ = ["Answer", "QueryRejectedError", "TapService", "TapSettings", "TruncatedError", "read_votable"]

_MEGABYTE = 1e6
_REDIRECTS = 5
_HEAD = 1 << 16
_SHOWN = 200
_USER = re.compile(r"//[^/@]*@")
_VOTABLE_TYPE = "application/x-votable+xml"
# What the parser of VOTables raises on bytes that are none.
_UNREADABLE = (ValueError, SyntaxError, TypeError, LookupError, EOFError, struct.error)


class TapSettings(SettingsModel):
    """How a TAP service is asked."""

    timeout: Seconds = Field(
        default=120.0, gt=0, description="time without a byte after which a request has failed; joins take a while"
    )
    attempts: int = Field(default=4, ge=1, description="tries before giving up")
    backoff: Seconds = Field(default=1.0, gt=0, description="wait before the second try; it doubles with every try")
    longest_wait: Seconds = Field(
        default=60.0, gt=0, description="longest wait between tries; a service that asks for more is left alone"
    )
    requests_per_second: float = Field(
        default=1.0, gt=0, description="requests a second at most; a service on this machine is not paced"
    )
    largest_answer: Megabytes = Field(default=1000.0, gt=0, description="an answer above this is refused")


class QueryRejectedError(Failure):
    """The service says that the query is wrong."""


class TruncatedError(Refusal):
    """The service left rows out."""


@dataclass(frozen=True)
class Answer:
    """A table as the service sent it.

    Attributes
    ----------
    content : bytes
        The VOTable, byte by byte.
    table : `~astropy.table.Table`
        Its rows.
    """

    content: bytes
    table: Table


def read_votable(content: bytes) -> Table:
    """Read the VOTable of an answer and its state.

    Parameters
    ----------
    content : bytes
        The whole answer.

    Returns
    -------
    `~astropy.table.Table`
        Its rows.

    Raises
    ------
    QueryRejectedError
        If the service says that the query is wrong.
    Failure
        If the bytes are no whole VOTable.
    TruncatedError
        If the service says that it left rows out.
    """
    from astropy.io.votable import parse
    from pyvo.dal import DALFormatError, DALQueryError, TAPResults
    from pyvo.dal.exceptions import DALOverflowWarning

    try:
        with warnings.catch_warnings():
            # The state is looked at below, where it is an error.
            warnings.simplefilter("ignore", DALOverflowWarning)
            # What is amiss with the standard, such as units of old, is the service's affair.
            results = TAPResults(parse(io.BytesIO(content), verify="ignore"))
        table: Table = results.to_table()
    except DALQueryError as error:
        raise QueryRejectedError(_one_line(error.reason) or "it does not say why") from error
    except (DALFormatError, *_UNREADABLE) as error:
        msg = f"sent a table that is cut off or cannot be read ({_one_line(error) or type(error).__name__})"
        raise Failure(msg) from error
    if str(results.query_status).upper() == "OVERFLOW":
        msg = f"cut the table off after {len(table)} rows"
        raise TruncatedError(msg)
    return table


def _one_line(text: object) -> str:
    words = " ".join(str(text).split())
    return words if len(words) <= _SHOWN else f"{words[:_SHOWN]}..."


class TapService:
    """A TAP service and the way to it.

    Parameters
    ----------
    url : str
        Base address of the service.
    settings : TapSettings
        How to ask.
    transport : `httpx.BaseTransport`, optional
        Transport to use instead of the network.

    Attributes
    ----------
    url : str
        The address without the name and password of a user, for messages and notes.
    """

    def __init__(self, url: str, *, settings: TapSettings, transport: httpx.BaseTransport | None = None) -> None:
        self._url = url.rstrip("/")
        self.url = _USER.sub("//", self._url)
        self._settings = settings
        self._client = http_client(timeout=settings.timeout, connections=1, transport=transport)
        self._session = _Session(self._client, settings.largest_answer)
        self._interval = 0.0 if is_loopback(url) else 1.0 / settings.requests_per_second
        self._next = 0.0

    def close(self) -> None:
        """Give the connection back."""
        self._client.close()

    def __enter__(self) -> Self:
        """Return the service itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give the connection back."""
        self.close()

    def fetch(self, adql: str, *, maxrec: int, uploads: Mapping[str, Table] | None = None) -> Answer:
        """Run a query, with more tries if one fails.

        Parameters
        ----------
        adql : str
            The query.
        maxrec : int
            Rows to ask for at most. It is always said, for a service may set a small number of its own.
        uploads : mapping of str to `~astropy.table.Table`, optional
            Tables to send along; the query knows them as TAP_UPLOAD.NAME.

        Returns
        -------
        Answer
            All rows.

        Raises
        ------
        Failure, Refusal
            If the tries are used up, or another one would not help.
        """
        answer: Answer = self._retrying()(self._fetch_once, adql, maxrec, dict(uploads or {}))
        return answer

    def _fetch_once(self, adql: str, maxrec: int, uploads: dict[str, Table]) -> Answer:
        from pyvo.dal import TAPService

        self._pace()
        service = TAPService(self._url, session=self._session)
        response = service.create_query(adql, maxrec=maxrec, uploads=uploads).submit()
        return Answer(response.content, read_votable(response.content))

    def _pace(self) -> None:
        begin = max(time.monotonic(), self._next)
        self._next = begin + self._interval
        time.sleep(max(0.0, begin - time.monotonic()))

    def _retrying(self) -> tenacity.Retrying:
        settings = self._settings

        def wait(state: tenacity.RetryCallState) -> float:
            doubling = settings.backoff * 2.0 ** (state.attempt_number - 1)
            # Jitter keeps clients that failed together from coming back together.
            return max(_asked(state), float(min(settings.longest_wait, doubling) * random.uniform(0.75, 1.25)))  # noqa: S311

        def is_enough(state: tenacity.RetryCallState) -> bool:
            # Several machines answer at one address, and one that is out of step may not know a good column. One
            # more try, over a new connection, tells that from a query that is wrong.
            rejected = state.outcome is not None and isinstance(state.outcome.exception(), QueryRejectedError)
            attempts = min(2, settings.attempts) if rejected else settings.attempts
            return state.attempt_number >= attempts or _asked(state) > settings.longest_wait

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Failure), wait=wait, stop=is_enough, reraise=True
        )


def _asked(state: tenacity.RetryCallState) -> float:
    """Seconds that the service asks to wait."""
    failure = state.outcome.exception() if state.outcome is not None else None
    return (failure.retry_after or 0.0) if isinstance(failure, Failure) else 0.0


class _Session:
    """What pyvo asks of a session, spoken by the package's HTTP client. Answers are whole and are VOTables."""

    def __init__(self, client: httpx.Client, largest: float) -> None:
        self._client = client
        self._largest = largest

    def post(self, url: str, *, data: Mapping[str, Any], files: Mapping[str, Any], **_: object) -> SimpleNamespace:
        """Send a form, with files if there are any."""
        parts = {name: (f"{name}.vot", stream.read(), _VOTABLE_TYPE) for name, stream in files.items()}
        # A new connection for every try: a good one may end at another of the machines behind the address.
        headers = {"Connection": "close", "Accept": f"{_VOTABLE_TYPE}, text/xml, */*;q=0.1"}
        request = self._client.build_request("POST", url, data=dict(data), files=parts or None, headers=headers)
        content = self._content(request)
        # pyvo puts its own reader over the raw bytes, which an io object does not let it do.
        return SimpleNamespace(content=content, raw=SimpleNamespace(read=io.BytesIO(content).read))

    def _content(self, request: httpx.Request) -> bytes:
        for _ in range(_REDIRECTS + 1):
            response, content = self._send(request)
            if response.next_request is None:
                _refuse_other_kinds(response, content)
                return content
            _refuse_leaving(request.url, response.next_request.url)
            request = response.next_request
        msg = f"redirects in a circle ({_REDIRECTS} redirects, the last to {request.url})"
        raise Refusal(msg)

    def _send(self, request: httpx.Request) -> tuple[httpx.Response, bytes]:
        with failures():
            response = self._client.send(request, stream=True)
            try:
                return response, self._read(response)
            finally:
                response.close()

    def _read(self, response: httpx.Response) -> bytes:
        content = bytearray()
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) > self._largest * _MEGABYTE:
                msg = f"sent more than {self._largest:g} MB"
                raise Refusal(msg)
        return bytes(content)


def _refuse_other_kinds(response: httpx.Response, content: bytes) -> None:
    """Refuse an answer that is no VOTable; one that is may still say that the query is wrong."""
    head = content[:_HEAD].lower()
    is_votable = b"<votable" in head or b":votable" in head
    if not response.is_success and not (is_votable and b"query_status" in head):
        raise_for_status(response)
    if is_votable:
        return
    if not content.strip():
        msg = "sent an empty answer"
        raise Failure(msg)
    if b"<html" in head:
        # Pages about maintenance come with a status that says all is well.
        msg = "sent a web page instead of a table"
        raise Failure(msg)
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip()
    msg = f"sent {kind or 'something of no stated kind'} instead of a VOTable"
    raise Refusal(msg)


def _refuse_leaving(address: httpx.URL, target: httpx.URL) -> None:
    """Refuse a redirect to another host, or from an encrypted to a plain connection."""
    if target.host != address.host or target.scheme not in {address.scheme, "https"}:
        msg = f"redirects to {target}; if you trust it, name it in the settings"
        raise Refusal(msg)
