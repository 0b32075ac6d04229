"""Files of a server, fetched whole or not at all: resumed, retried, checked, and entered into the manifest."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import httpx
import tenacity
from pydantic import Field

from cbminer.errors import ArchiveError
from cbminer.monitor import TransferMonitor
from cbminer.quantities import Megabytes, Seconds, SettingsModel
from cbminer.survey.manifest import Entry, Manifest
from cbminer.survey.part import Part, refuse_full_disk, sha256_of
from cbminer.survey.transport import Failure, Missing, Refusal, Remote, is_loopback, open_transport

__all__ = ["WAYS_OUT", "FetchSettings", "Fetcher", "Interrupted"]

WAYS_OUT = "Give a copy on disk with --archive PATH, or try the simulated survey with --survey mock"
_JOIN_SECONDS = 2.0

Check = Callable[[Path], str]


class FetchSettings(SettingsModel):
    """How files are fetched from a server."""

    connections: int = Field(default=2, ge=1, le=4, description="connections at a time; it is a public service")
    requests_per_second: float = Field(
        default=10.0, gt=0, description="requests a second at most; a server on this machine is not paced"
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


class _Damaged(Failure):
    """All bytes came, but they are not what they should be."""


class Fetcher:
    """Fetches files of one server into one cache. Safe to share between threads.

    Parameters
    ----------
    base_url : str
        Address that names are relative to; ends in a slash.
    incoming : `~pathlib.Path`
        Folder for files on their way.
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
        self._base_url = base_url
        self._incoming = incoming
        self._manifest = manifest
        self._settings = settings
        self._transport = open_transport(
            base_url, timeout=settings.timeout, connections=settings.connections, transport=transport
        )
        self._stop = threading.Event()
        self._pace = _Pace(0.0 if is_loopback(base_url) else 1.0 / settings.requests_per_second)

    def close(self) -> None:
        """Give the connections back."""
        self._transport.close()

    def url(self, name: str) -> str:
        """Address of a file.

        Parameters
        ----------
        name : str
            Path in the archive.

        Returns
        -------
        str
            Its address.
        """
        return self._base_url + quote(name)

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
        tries = _Tries()
        with self._errors(name):
            try:
                return self._retrying(tries)(self._ask_once, name, tries)
            except Missing:
                return None

    def _ask_once(self, name: str, tries: "_Tries") -> Remote:
        tries.begin()
        self._pace.wait(self._stop)
        return self._transport.ask(self.url(name))

    def fetch(
        self, name: str, target: Path, *, check: Check | None = None, monitor: TransferMonitor | None = None
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

        Returns
        -------
        Entry or None
            What the manifest holds of it now; None if the server does not have it.

        Raises
        ------
        ArchiveError
            If the server does not give it, or it cannot be written.
        Interrupted
            If the fetching was asked to stop; what has come is kept.
        """
        part = Part(self._incoming / f"{name}.part")
        known = self._manifest.get(name)
        if known is not None and known.state == "file" and self._finish_move(part, known, target):
            return known
        tries = _Tries(part.size)
        telling = monitor or TransferMonitor()
        telling.received(part.size)
        try:
            with self._errors(name):
                self._retrying(tries)(self._receive, name, part, check, telling, tries)
        except Missing:
            part.discard()
            self._manifest.put(Entry(name, self.url(name), state="absent"))
            return None
        finally:
            part.close()
        return self._keep(name, part, target)

    def _finish_move(self, part: Part, known: Entry, target: Path) -> bool:
        """Give a file its name that an earlier process had received whole, but not renamed."""
        if target.exists() or not part.path.exists():
            return target.exists()
        if part.path.stat().st_size != known.size or sha256_of(part.path) != known.sha256:
            return False
        part.move_to(target)
        return True

    def _keep(self, name: str, part: Part, target: Path) -> Entry:
        """Enter a whole file into the manifest, then give it its name: the name vouches for the bytes."""
        remote = part.remote or Remote()
        entry = Entry(name, self.url(name), part.size, sha256_of(part.path), remote.etag, remote.modified)
        self._manifest.put(entry)
        part.move_to(target)
        return entry

    def _receive(self, name: str, part: Part, check: Check | None, monitor: TransferMonitor, tries: "_Tries") -> None:
        tries.begin()
        self._pace.wait(self._stop)
        url, before = self.url(name), part.size
        offset = before if part.remote is not None and _resumable(part.remote) else 0
        try:
            with self._transport.get(url, offset=offset, known=part.remote) as transfer:
                monitor.received(transfer.offset - before)
                part.begin(_joined(part.remote, transfer.remote, transfer.offset), offset=transfer.offset)
                for chunk in transfer.chunks:
                    part.write(chunk)
                    monitor.received(len(chunk))
                    tries.progress(part.size)
                    self._heed_stop()
                part.settle()
        finally:
            part.close()
        self._check(url, part, check, monitor)

    def _check(self, url: str, part: Part, check: Check | None, monitor: TransferMonitor) -> None:
        """Refuse a file that is shorter or longer than it should be, or not what it should be."""
        size = part.remote.size if part.remote is not None else None
        if size is not None and part.size < size:
            msg = f"ended after {part.size} of {size} bytes"
            raise Failure(msg)
        reason = f"sent {part.size} bytes and announced {size}" if size is not None and part.size > size else ""
        reason = reason or (check(part.path) if check is not None else "")
        if not reason and check is not None and self._goes_on(url, part):
            reason = f"announced {size} bytes of a longer file"
        if reason:
            monitor.received(-part.size)
            part.discard()
            raise _Damaged(reason)

    def _goes_on(self, url: str, part: Part) -> bool:
        """Ask for bytes beyond the announced end: a server that announces too few gives itself away."""
        if part.remote is None or not part.remote.ranges:
            return False
        try:
            with self._transport.get(url, offset=part.size, known=part.remote) as transfer:
                return transfer.offset == part.size and any(transfer.chunks)
        except (Failure, Refusal):
            return False

    def _retrying(self, tries: "_Tries") -> tenacity.Retrying:
        settings = self._settings

        def wait(state: tenacity.RetryCallState) -> float:
            failure = state.outcome.exception() if state.outcome is not None else None
            asked = failure.retry_after if isinstance(failure, Failure) else None
            doubling = settings.backoff * 2.0 ** max(0, tries.fruitless - 1)
            # Jitter keeps clients that failed together from coming back together.
            return max(asked or 0.0, float(min(settings.longest_wait, doubling) * random.uniform(0.75, 1.25)))  # noqa: S311

        def is_enough(state: tenacity.RetryCallState) -> bool:
            failure = state.outcome.exception() if state.outcome is not None else None
            asked = failure.retry_after if isinstance(failure, Failure) else None
            return tries.fruitless >= settings.attempts or (asked or 0.0) > settings.longest_wait

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Failure),
            wait=wait,
            stop=is_enough,
            sleep=self._sleep,
            reraise=True,
        )

    def _sleep(self, seconds: float) -> None:
        self._stop.wait(seconds)
        self._heed_stop()

    def _heed_stop(self) -> None:
        if self._stop.is_set():
            raise Interrupted

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        """Turn failures and refusals into the error that a user reads."""
        try:
            yield
        except Missing:
            raise
        except Failure as failure:
            again = f" in {failure.retry_after:.0f} s" if failure.retry_after else " later"
            msg = f"{self._base_url} {failure} for {name}. Try again{again}; what has come is kept. {WAYS_OUT}"
            raise ArchiveError(msg) from failure
        except Refusal as refusal:
            msg = f"{self._base_url} {refusal} for {name}. {WAYS_OUT}"
            raise ArchiveError(msg) from refusal
        except OSError as error:
            raise refuse_full_disk(error, self._incoming / name) from error

    def fetch_many(
        self, jobs: Sequence[tuple[str, Path]], *, check: Check | None = None, monitor: TransferMonitor | None = None
    ) -> None:
        """Fetch files over as many connections as the settings allow.

        Parameters
        ----------
        jobs : sequence of (str, `~pathlib.Path`)
            Paths in the archive, and where the files go.
        check : callable, optional
            As in `fetch`.
        monitor : TransferMonitor, optional
            Told of bytes and files.

        Raises
        ------
        ArchiveError
            The first error of any file; what has come so far is kept.
        KeyboardInterrupt
            At once, even if a server stalls.
        """
        telling = monitor or TransferMonitor()
        queue = iter(jobs)
        lock = threading.Lock()
        failed: list[BaseException] = []

        def work() -> None:
            while not self._stop.is_set() and not failed:
                with lock:
                    job = next(queue, None)
                if job is None:
                    return
                try:
                    self.fetch(*job, check=check, monitor=telling)
                    telling.finished(1)
                except BaseException as error:  # noqa: BLE001 - it is raised again below, in the thread that waits
                    failed.append(error)

        self._run_threads(work, min(self._settings.connections, len(jobs)))
        if failed:
            raise failed[0]

    def _run_threads(self, work: Callable[[], None], number: int) -> None:
        """Run threads to their end; Ctrl-C asks them to stop and waits a little."""
        # Daemon threads: one that waits for a server that stalls must not hold up Ctrl-C.
        workers = [threading.Thread(target=work, daemon=True) for _ in range(number)]
        for worker in workers:
            worker.start()
        try:
            for worker in workers:
                while worker.is_alive():
                    worker.join(0.1)
        except BaseException:
            self._stop.set()
            for worker in workers:
                worker.join(_JOIN_SECONDS)
            raise


class _Tries:
    """Counts tries in a row that brought no new byte."""

    def __init__(self, size: int = 0) -> None:
        self.fruitless = 0
        self._furthest = size

    def begin(self) -> None:
        self.fruitless += 1

    def progress(self, size: int) -> None:
        if size > self._furthest:
            self._furthest = size
            self.fruitless = 1


class _Pace:
    """Keeps requests apart in time, over all threads."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self, stop: threading.Event) -> None:
        if self._interval <= 0:
            return
        with self._lock:
            begin = max(time.monotonic(), self._next)
            self._next = begin + self._interval
        stop.wait(max(0.0, begin - time.monotonic()))


def _resumable(remote: Remote) -> bool:
    """Tell whether a later request can be told from one for another version of the file."""
    return remote.identifies or remote.size is not None


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
