"""Files of a server, fetched whole or not at all: resumed, retried, checked, and entered into the manifest."""

import math
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Self, TypeVar
from urllib.parse import quote

import httpx
import tenacity
from pydantic import Field

from cbminer.errors import ArchiveError
from cbminer.monitor import TransferMonitor
from cbminer.quantities import Megabytes, Seconds, SettingsModel
from cbminer.survey.manifest import Entry, Manifest, now
from cbminer.survey.part import Part, refuse_full_disk, sha256_of
from cbminer.survey.transport import Failure, Missing, Refusal, Remote, is_loopback, open_transport

__all__ = ["WAYS_OUT", "Check", "FetchSettings", "Fetcher", "Interrupted", "Job", "without_password"]

WAYS_OUT = "Give a copy on disk with --archive PATH, or try the simulated survey with --survey mock"
# How long Ctrl-C waits for threads to write down what has come.
_JOIN_SECONDS = 1.0
# A request more is nothing beside a file of this size.
_LARGE = 1 << 20

Check = Callable[[Path], str]
_T = TypeVar("_T")


class FetchSettings(SettingsModel):
    """How files are fetched from a server."""

    connections: int = Field(default=2, ge=1, le=4, description="connections at a time; it is a public service")
    requests_per_second: float = Field(
        default=5.0, gt=0, description="requests a second at most; a server on this machine is not paced"
    )
    timeout: Seconds = Field(default=30.0, gt=0, description="time without a byte after which a request has failed")
    attempts: int = Field(default=5, ge=1, description="tries in a row without a new byte before giving up")
    backoff: Seconds = Field(default=0.5, gt=0, description="wait before the second try; it doubles with every try")
    longest_wait: Seconds = Field(
        default=120.0, gt=0, description="longest wait between tries; a server that asks for more is left alone"
    )
    bulk_above: int = Field(
        default=300, ge=0, description="light curves of a Cloud above which all come in one file, phot.tar.gz"
    )
    batch: int = Field(default=500, ge=1, description="single light curves that are taken into the store at a time")
    largest_light_curve: Megabytes = Field(default=16.0, gt=0, description="a light curve above this is refused")
    largest_bulk: Megabytes = Field(
        default=20000.0, gt=0, description="unpacked size above which phot.tar.gz is refused"
    )


class Interrupted(Exception):  # noqa: N818 - it answers a wish of the user
    """The fetching was asked to stop."""


class Job(NamedTuple):
    """A file to fetch.

    Attributes
    ----------
    name : str
        Path in the archive.
    target : `~pathlib.Path`
        Where the whole file goes.
    check : callable or None
        Says what is wrong with the content of a file that came whole; empty if nothing.
    largest : int or None
        Bytes above which the file is refused.
    again : bool
        Whether to fetch it even if it is there already. The old file stays until the new one has come whole.
    """

    name: str
    target: Path
    check: Check | None = None
    largest: int | None = None
    again: bool = False


class Fetcher:
    """Fetches files of one server into one cache. Safe to share between threads that fetch different files.

    The caller keeps other processes from fetching into the same cache. A Fetcher is a context manager: it is closed
    at the end of the block.

    Parameters
    ----------
    base_url : str
        Address that names are relative to.
    incoming : `~pathlib.Path`
        Folder for files on their way, on the disk that they are for.
    manifest : Manifest
        Manifest of the cache.
    settings : FetchSettings
        How to fetch.
    transport : `httpx.BaseTransport`, optional
        Transport to use instead of the network.
    """

    def __init__(
        self,
        base_url: str,
        incoming: Path,
        *,
        manifest: Manifest,
        settings: FetchSettings,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._address = base_url.rstrip("/") + "/"
        self._server = without_password(self._address)
        self._incoming = incoming
        self._manifest = manifest
        self._settings = settings
        self._transport = open_transport(
            base_url, timeout=settings.timeout, connections=settings.connections, transport=transport
        )
        self._pace = _Pace(0.0 if is_loopback(base_url) else 1.0 / settings.requests_per_second)
        self._stops: set[threading.Event] = set()
        # Whether the server was found to announce the true size of a file.
        self._is_honest = False

    def close(self) -> None:
        """End what is under way, keeping what has come, and give the connections back."""
        for stop in list(self._stops):
            stop.set()
        self._transport.abort()
        self._transport.close()

    def __enter__(self) -> Self:
        """Return the fetcher itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    @contextmanager
    def _stoppable(self) -> Iterator[threading.Event]:
        """Make the event that ends one call, and no other."""
        stop = threading.Event()
        self._stops.add(stop)
        try:
            yield stop
        finally:
            self._stops.discard(stop)

    def url(self, name: str) -> str:
        """Address of a file, as people may see it.

        Parameters
        ----------
        name : str
            Path in the archive.

        Returns
        -------
        str
            Its address, without a password.
        """
        return self._server + quote(name)

    def ask(self, name: str) -> Remote | None:
        """Ask the server about a file.

        Parameters
        ----------
        name : str
            Path in the archive.

        Returns
        -------
        Remote or None
            What the server says; None if it does not have the file.

        Raises
        ------
        ArchiveError
            If the server cannot be asked.
        """
        with self._stoppable() as stop, self._errors(name):
            tries = _Tries(stop)
            try:
                return self._retrying(tries, partial(self._ask_once, _plain(name), tries))
            except Missing:
                return None

    def _ask_once(self, name: str, tries: "_Tries") -> Remote:
        tries.begin()
        self._pace.wait(tries.stop)
        tries.heed_stop()
        return self._transport.ask(self._request_url(name))

    def fetch(
        self,
        name: str,
        target: Path,
        *,
        check: Check | None = None,
        monitor: TransferMonitor | None = None,
        largest: int | None = None,
        again: bool = False,
    ) -> Entry | None:
        """Fetch a file that is not there yet.

        Parameters
        ----------
        name : str
            Path in the archive.
        target : `~pathlib.Path`
            Where the whole file goes.
        check : callable, optional
            Says what is wrong with the content of a file that came whole; empty if nothing.
        monitor : TransferMonitor, optional
            Told of the bytes.
        largest : int, optional
            Bytes above which the file is refused.
        again : bool, optional
            Whether to fetch it even if it is there already. The old file stays until the new one has come whole.

        Returns
        -------
        Entry or None
            What the manifest holds of it now; None if the server does not have it.

        Raises
        ------
        ArchiveError
            If the server does not give it, or it cannot be written.
        Interrupted
            If the fetcher was closed; what has come is kept.
        """
        with self._stoppable() as stop:
            return self._fetch(Job(name, target, check, largest, again), monitor or TransferMonitor(), stop)

    def _fetch(self, job: Job, monitor: TransferMonitor, stop: threading.Event) -> Entry | None:
        with self._errors(job.name):
            path = self._incoming / f"{_plain(job.name)}.part"
            known = self._manifest.get(job.name)
            if known is not None and known.state == "file" and not job.again and _is_there(known, path, job.target):
                return known
            with closing(Part(path)) as part:
                part.verify()
                errand = _Errand(job, part, monitor, _Tries(stop, part.size))
                monitor.received(part.size)
                try:
                    self._retrying(errand.tries, partial(self._receive, errand))
                except Missing:
                    errand.discard()
                    if known is None or known.state != "file" or not job.target.exists():
                        self._manifest.put(Entry(job.name, self.url(job.name), state="absent"))
                    return None
            return self._keep(job, part)

    def _keep(self, job: Job, part: Part) -> Entry:
        """Enter a whole file into the manifest, then give it its name: the name vouches for the bytes."""
        remote = part.remote or Remote()
        entry = Entry(job.name, self.url(job.name), part.size, part.sha256, remote.etag, remote.modified, now())
        self._manifest.put(entry)
        part.move_to(job.target)
        return entry

    def _receive(self, errand: "_Errand") -> None:
        """Fetch what is missing of a file, in one request."""
        part, tries, before = errand.part, errand.tries, errand.part.size
        tries.begin()
        self._pace.wait(tries.stop)
        tries.heed_stop()
        offset = _resume_at(part)
        with (
            closing(part),
            self._transport.get(self._request_url(errand.job.name), offset=offset, known=part.remote) as transfer,
        ):
            tries.heed_stop()
            errand.monitor.received(transfer.offset - before)
            part.begin(_joined(part.remote, transfer.remote, transfer.offset), offset=transfer.offset)
            errand.refuse_excess()
            for chunk in transfer.chunks:
                tries.heed_stop()
                part.write(chunk)
                errand.monitor.received(len(chunk))
                tries.progress(part.size)
                errand.refuse_excess()
            part.settle()
        self._check(errand)

    def _request_url(self, name: str) -> str:
        return self._address + quote(name)

    def _check(self, errand: "_Errand") -> None:
        """Refuse a file that is shorter than it should be, or not what it should be."""
        part, size = errand.part, errand.announced
        if size is not None and part.size < size:
            msg = f"ended after {part.size} of {size} bytes"
            raise Failure(msg)
        if errand.job.check is not None and (reason := errand.job.check(part.path)):
            raise errand.damaged(reason)
        if self._goes_on(errand):
            reason = f"announced {size} bytes of a longer file"
            raise errand.damaged(reason)

    def _goes_on(self, errand: "_Errand") -> bool:
        """Ask for bytes beyond the announced end: a server that announces too few gives itself away.

        The request is spared once the server was honest about one file, except for large ones.
        """
        part = errand.part
        can_tell = part.remote is not None and part.remote.ranges and part.remote.size is not None
        if part.remote is None or not can_tell or (self._is_honest and part.size < _LARGE):
            return False
        # The bytes that were not announced may be taken for an answer: the second connection is a clean one.
        for _ in range(2):
            self._pace.wait(errand.tries.stop)
            try:
                goes_on = self._transport.goes_on(self._request_url(errand.job.name), part.remote)
            except Failure:
                continue
            except Refusal:
                return False
            self._is_honest = self._is_honest or not goes_on
            return goes_on
        return False

    def _retrying(self, tries: "_Tries", call: Callable[[], _T]) -> _T:
        """Call until it works, another try would not help, or the tries are used up."""
        settings = self._settings

        def wait(state: tenacity.RetryCallState) -> float:
            # Jitter keeps clients that failed together from coming back together.
            jitter = random.uniform(0.75, 1.25)  # noqa: S311
            doubled = math.ldexp(settings.backoff, min(max(0, tries.fruitless - 1), 60))
            return max(_asked_wait(state), float(min(settings.longest_wait, doubled * jitter)))

        def is_enough(state: tenacity.RetryCallState) -> bool:
            failure = state.outcome.exception() if state.outcome is not None else None
            is_hopeless = isinstance(failure, _Damaged) and failure.is_hopeless
            tried = max(tries.fruitless, tries.damages)
            return is_hopeless or tried >= settings.attempts or _asked_wait(state) > settings.longest_wait

        def sleep(seconds: float) -> None:
            self._sleep(seconds, tries.stop)

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Failure), wait=wait, stop=is_enough, sleep=sleep, reraise=True
        )
        return retrying(call)

    def _sleep(self, seconds: float, stop: threading.Event) -> None:
        stop.wait(seconds)
        if stop.is_set():
            raise Interrupted

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        """Turn failures and refusals into the error that a user reads."""
        try:
            yield
        except Failure as failure:
            again = f" in {math.ceil(failure.retry_after)} s" if failure.retry_after else " later"
            kept = "" if isinstance(failure, _Damaged) else "; what has come is kept"
            msg = f"{name} cannot be fetched: {self._server} {failure}. Try again{again}{kept}. {WAYS_OUT}"
            raise ArchiveError(msg) from failure
        except Refusal as refusal:
            msg = f"{name} cannot be fetched: {self._server} {refusal}. {WAYS_OUT}"
            raise ArchiveError(msg) from refusal
        except OSError as error:
            raise refuse_full_disk(error, self._incoming / name) from error

    def fetch_many(
        self,
        jobs: Iterable[Job | tuple[str, Path]],
        *,
        check: Check | None = None,
        monitor: TransferMonitor | None = None,
    ) -> None:
        """Fetch files over as many connections as the settings allow.

        Parameters
        ----------
        jobs : iterable of Job or (str, `~pathlib.Path`)
            Files, or their paths in the archive and where they go.
        check : callable, optional
            As in `fetch`, for files whose job has no check of its own.
        monitor : TransferMonitor, optional
            Told of bytes and files, from several threads.

        Raises
        ------
        ArchiveError
            The first error of any file. The others stop; what has come so far is kept.
        KeyboardInterrupt
            At once, even if a server stalls.
        """
        telling = monitor or TransferMonitor()
        # Two threads on one file would spoil it.
        wanted = list({job[0]: Job(*job) for job in jobs}.values())
        queue = iter(wanted)
        lock = threading.Lock()
        failed: list[BaseException] = []

        def work() -> None:
            while not stop.is_set():
                with lock:
                    job = next(queue, None)
                if job is None:
                    return
                try:
                    self._fetch(job._replace(check=job.check or check), telling, stop)
                    telling.finished(1)
                except BaseException as error:  # noqa: BLE001 - it is raised again below, in the thread that waits
                    failed.append(error)
                    stop.set()

        with self._stoppable() as stop:
            self._run_threads(work, min(self._settings.connections, len(wanted)), stop)
            if failed:
                raise failed[0]
            if stop.is_set():
                raise Interrupted

    def _run_threads(self, work: Callable[[], None], number: int, stop: threading.Event) -> None:
        """Run threads to their end; Ctrl-C asks them to stop, wakes those that wait for bytes, and waits a little."""
        ends = [threading.Event() for _ in range(number)]

        def run(end: threading.Event) -> None:
            try:
                work()
            finally:
                end.set()

        try:
            for end in ends:
                # Daemon threads: one that waits for a server to answer at all must not hold up Ctrl-C.
                threading.Thread(target=run, args=(end,), daemon=True).start()
            # Not Thread.join: after Ctrl-C it takes a thread that still runs for one that has ended.
            for end in ends:
                while not end.wait(0.1):
                    pass
        except BaseException:
            stop.set()
            self._transport.abort()
            deadline = time.monotonic() + _JOIN_SECONDS
            for end in ends:
                end.wait(max(0.0, deadline - time.monotonic()))
            raise


class _Damaged(Failure):
    """All bytes came, but they are not what they should be."""

    def __init__(self, reason: str, *, is_hopeless: bool) -> None:
        super().__init__(reason)
        self.is_hopeless = is_hopeless


class _Tries:
    """Counts tries in a row that brought no new byte, and whole files that were no good."""

    def __init__(self, stop: threading.Event, size: int = 0) -> None:
        self.stop = stop
        self.fruitless = 0
        self.damages = 0
        self._furthest = size

    def begin(self) -> None:
        self.fruitless += 1

    def progress(self, size: int) -> None:
        if size > self._furthest:
            self._furthest = size
            self.fruitless = 0

    def start_over(self) -> None:
        self.damages += 1
        self._furthest = 0

    def heed_stop(self) -> None:
        if self.stop.is_set():
            raise Interrupted


@dataclass
class _Errand:
    """A file on its way, and how it went so far."""

    job: Job
    part: Part
    monitor: TransferMonitor
    tries: _Tries
    damaged_sha256: str = ""

    @property
    def announced(self) -> int | None:
        return self.part.remote.size if self.part.remote is not None else None

    def discard(self) -> None:
        self.monitor.received(-self.part.size)
        self.part.discard()

    def damaged(self, reason: str) -> _Damaged:
        """Drop a file that is not what it should be. If the same bytes come twice, the transit is not to blame."""
        sha256 = self.part.sha256
        failure = _Damaged(reason, is_hopeless=sha256 == self.damaged_sha256)
        self.damaged_sha256 = sha256
        self.discard()
        self.tries.start_over()
        return failure

    def refuse_excess(self) -> None:
        """Refuse a file that has more bytes than were announced, or than it may have."""
        size, announced, largest = self.part.size, self.announced, self.job.largest
        if largest is not None and max(size, announced or 0) > largest:
            self.discard()
            msg = f"sends {max(size, announced or 0)} bytes, more than the {largest} that such a file may have"
            raise Refusal(msg)
        if announced is not None and size > announced:
            reason = f"sent more than the {announced} bytes that it had announced"
            raise self.damaged(reason)


class _Pace:
    """Keeps requests apart in time, over all threads."""

    def __init__(self, interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = interval
        self._clock = clock
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self, stop: threading.Event) -> None:
        if self._interval <= 0:
            return
        with self._lock:
            begin = max(self._clock(), self._next)
            self._next = begin + self._interval
        stop.wait(max(0.0, begin - self._clock()))


def _asked_wait(state: tenacity.RetryCallState) -> float:
    """Seconds that the server asked to wait."""
    failure = state.outcome.exception() if state.outcome is not None else None
    return failure.retry_after or 0.0 if isinstance(failure, Failure) else 0.0


def without_password(address: str) -> str:
    """Strip the name and password of a user from an address, so that it may be shown and kept.

    Parameters
    ----------
    address : str
        Address of a server.

    Returns
    -------
    str
        The address without them.
    """
    scheme, separator, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"


def _plain(name: str) -> str:
    """Refuse a name that would lead out of the folders that it is joined to."""
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or set(name) & set("\\:") or not name.isprintable():
        msg = f"{name!r} is no path in an archive: the catalogue may be damaged"
        raise ArchiveError(msg)
    return name


def _is_there(known: Entry, path: Path, target: Path) -> bool:
    """Tell whether a file came already. One that was received whole, but not renamed, is given its name."""
    if path.is_file() and path.stat().st_size == known.size and sha256_of(path) == known.sha256:
        Part(path).move_to(target)
        return True
    return target.is_file() and target.stat().st_size == known.size


def _resume_at(part: Part) -> int:
    """Place to go on from: 0 unless a changed file could be told from the one whose bytes are there."""
    if part.remote is None or not part.remote.precondition:
        return 0
    # Of a part that is whole the last byte comes once more, and with it word whether the file is still the same.
    return max(0, part.size - 1) if part.size == part.remote.size else part.size


def _joined(before: Remote | None, after: Remote, offset: int) -> Remote:
    """Facts about the whole file when a part of it goes on: a part may not repeat them all."""
    if not offset or before is None:
        return after
    return replace(
        after,
        size=after.size if after.size is not None else before.size,
        etag=after.etag or before.etag,
        modified=after.modified or before.modified,
        ranges=after.ranges or before.ranges,
    )
