"""Chunks of stars measured by workers of Dask: processes on this machine, or a cluster that runs already.

A worker of other versions is refused, before the run or when it joins. A worker that is lost costs its chunks, which
others measure again. Where a chunk cannot be measured, the error names it.
"""

import gc
import json
import logging
import pickle
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic
from weakref import WeakSet

import dask
from distributed import Client, Future, KilledWorker, LocalCluster
from distributed.diagnostics.plugin import WorkerPlugin

from cbminer.engine import CALLS_A_THREAD, EngineError, Pending, Result
from cbminer.engine_worker import differences, make_call, versions_here
from cbminer.errors import SettingsError
from cbminer.scratch import Scratch

__all__ = ["DaskEngine", "open_dask"]

# Seconds: for the answer of a scheduler, for a worker where there is none, and between looks at the workers.
CONNECT_WAIT = 30.0
WORKER_WAIT = 120.0
LOOK_EVERY = 5.0
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05
# Workers of this machine that end while they have a chunk at hand, until it is taken to be the reason.
_WORKERS_A_CHUNK = 3
# Points of a chunk come with its call, and Dask warns of more than 10 MB.
_CALL_MAX = "1 GiB"


class _OwnWorker(WorkerPlugin):  # type: ignore[misc]
    """Leaves to the owner of a worker of this machine what is the owner's, who ends it and tells of errors."""

    name = "cbminer-own-worker"

    def setup(self, worker: Any) -> None:
        """Ignore Ctrl-C, which a terminal sends to every process, and log no error that its caller gets."""
        del worker
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        logging.getLogger("distributed.worker").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    told = record.getMessage()
    return not (told.startswith("Compute Failed") or "marked as failed because" in told)


@dataclass
class DaskEngine:
    """Makes calls on workers of Dask.

    Attributes
    ----------
    client : `distributed.Client`
        Connection to the scheduler.
    place : str
        The cluster, for errors.
    """

    client: Client
    place: str
    asked: Mapping[str, str] = field(default_factory=versions_here)
    _empty_since: float | None = None
    _sent: WeakSet[Future] = field(default_factory=WeakSet)

    @property
    def window(self) -> int:
        """Calls that may wait, run or be unread at a time; it follows workers that come and go."""
        return CALLS_A_THREAD * max(1, self._n_threads())

    def submit(self, function: Callable[..., Result], *arguments: Any, about: str = "") -> Pending[Result]:
        """Send a call to the scheduler.

        Parameters
        ----------
        function : callable
            Function of a module that workers can import.
        *arguments
            Its arguments.
        about : str, optional
            What the call is about, for an error.

        Returns
        -------
        Pending
            The call.
        """
        # Bytes, so that the scheduler passes on what it need not understand.
        content = pickle.dumps((function, arguments), protocol=5)
        future = self.client.submit(make_call, content, dict(self.asked), pure=False)
        self._sent.add(future)
        return _Sent(self, future, about)

    def cancel_all(self) -> None:
        """Take back what was not read."""
        with suppress(OSError, RuntimeError):
            self.client.cancel(list(self._sent))

    def refuse_without_workers(self) -> None:
        """Raise an error where there has been no worker for too long.

        Raises
        ------
        EngineError
            If so, or if the scheduler is gone.
        """
        if self._n_threads():
            self._empty_since = None
            return
        self._empty_since = self._empty_since or time.monotonic()
        if time.monotonic() - self._empty_since >= WORKER_WAIT:
            raise _no_workers(self.place)

    def _n_threads(self) -> int:
        try:
            return sum(self.client.nthreads().values())
        except (OSError, RuntimeError) as error:
            raise _lost(self.place, error) from error


@dataclass(frozen=True)
class _Sent(Generic[Result]):
    """A call that was sent to a scheduler."""

    engine: DaskEngine
    future: Future
    about: str

    def result(self) -> Result:
        """Wait for the result for as long as there are workers."""
        while True:
            self._wait()
            try:
                # Even now its worker may go, and the call be made again.
                found: Result = self.future.result(timeout=WORKER_WAIT)
            except TimeoutError:
                if self.future.status == "error":
                    raise
            except KilledWorker as error:
                raise _killed(self.about, error) from error
            except CancelledError as error:
                raise _lost(self.engine.place, error) from error
            else:
                return found

    def _wait(self) -> None:
        # A wait of Dask that ends too early leaves an error in its log.
        pause, last = _SHORTEST_PAUSE, time.monotonic()
        while not self.future.done():
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            if time.monotonic() - last > LOOK_EVERY:
                self.engine.refuse_without_workers()
                last = time.monotonic()

    def cancel(self) -> None:
        """Take the call back."""
        self.future.cancel()


@contextmanager
def open_dask(*, jobs: int, scheduler: str | None = None) -> Iterator[DaskEngine]:
    """Open an engine of Dask.

    Parameters
    ----------
    jobs : int
        Worker processes on this machine, where no scheduler is given.
    scheduler : str, optional
        Address or file of the scheduler of a cluster that runs.

    Yields
    ------
    DaskEngine
        The engine. Calls that wait when it is left are cancelled, and workers of its own end.

    Raises
    ------
    SettingsError
        If the scheduler cannot be reached, or it or a worker has other versions.
    EngineError
        If there is no worker.
    """
    with ExitStack() as stack:
        stack.enter_context(dask.config.set({"distributed.admin.large-graph-warning-threshold": _CALL_MAX}))
        address = _address(scheduler) if scheduler else stack.enter_context(_own_cluster(jobs))
        client = stack.enter_context(_connected(address))
        if not scheduler:
            client.register_plugin(_OwnWorker())
        place = f"the cluster of scheduler {scheduler}" if scheduler else "the cluster on this machine"
        engine = _checked(client, place)
        try:
            yield engine
        except BaseException:
            engine.cancel_all()
            raise


@contextmanager
def _own_cluster(jobs: int) -> Iterator[str]:
    """Start workers on this machine, which nobody elsewhere can reach."""
    log, watching = logging.getLogger("distributed.scheduler"), list(gc.callbacks)
    with (
        ExitStack() as stack,
        _scratch_folder() as folder,
        dask.config.set({"temporary-directory": folder}),
        LocalCluster(
            n_workers=jobs,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            protocol="tcp://",
            memory_limit=None,
            silence_logs=logging.ERROR,
            local_directory=folder,
            # Without a port of its own the scheduler wants that of the dashboard, which another one may have.
            scheduler_kwargs={
                "dashboard": False,
                "dashboard_address": "127.0.0.1:0",
                "allowed_failures": _WORKERS_A_CHUNK - 1,
            },
        ) as cluster,
    ):
        log.addFilter(_is_news)
        stack.callback(log.removeFilter, _is_news)
        with _without_callbacks(watching):
            yield cluster.scheduler_address


@contextmanager
def _without_callbacks(wanted: list[Any]) -> Iterator[None]:
    """Take back what the scheduler has the garbage collector call: Ctrl-C would be lost in it, as errors are there."""
    added = [callback for callback in gc.callbacks if callback not in wanted]
    gc.callbacks[:] = wanted
    try:
        yield
    finally:
        gc.callbacks.extend(added)


@contextmanager
def _scratch_folder() -> Iterator[str]:
    """Give workers a place that goes with them, or with the next process if this one is killed."""
    scratch = Scratch()
    yield str(scratch.folder)


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    try:
        client = Client(address, timeout=CONNECT_WAIT, set_as_default=False)
    except (OSError, ValueError) as error:
        msg = (
            f"no scheduler of Dask answers at {address} ({error}): start one with dask scheduler, or leave --scheduler "
            f"out to use this machine"
        )
        raise SettingsError(msg) from error
    with client:
        yield client


def _address(scheduler: str) -> str:
    """Take an address as it is, or out of a scheduler file."""
    path = Path(scheduler)
    if not path.is_file():
        if ":" in scheduler:
            return scheduler
        msg = f"scheduler {scheduler} is neither a scheduler file nor an address such as tcp://host:8786"
        raise SettingsError(msg)
    try:
        return str(json.loads(path.read_bytes())["address"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        msg = f"{path} is no scheduler file of Dask: give the one that dask scheduler --scheduler-file wrote"
        raise SettingsError(msg) from error


def _checked(client: Client, place: str) -> DaskEngine:
    """Refuse a cluster without workers, and workers that would measure otherwise than this process."""
    try:
        client.wait_for_workers(1, timeout=WORKER_WAIT)
    except TimeoutError as error:
        raise _no_workers(place) from error
    try:
        found: dict[str, Any] = {"scheduler": client.run_on_scheduler(versions_here)}
    except Exception as error:  # noqa: BLE001 - whatever comes out of it comes from another process
        found = {"scheduler": error}
    found |= {f"worker {name}": told for name, told in client.run(versions_here, on_error="return").items()}
    for name, told in found.items():
        lacking = isinstance(told, BaseException)
        other = f"no cbminer of this version ({told})" if lacking else differences(versions_here(), told)
        if other:
            msg = f"{place}: {name} has {other}: give the cluster the environment of this process"
            raise SettingsError(msg)
    return DaskEngine(client, place)


def _no_workers(place: str) -> EngineError:
    return EngineError(f"{place} has had no workers for {WORKER_WAIT:g} s: start some, or use threads; then run again")


def _lost(place: str, error: BaseException) -> EngineError:
    return EngineError(f"{place} was lost ({error}): see its log for the reason, and run again")


def _killed(about: str, error: KilledWorker) -> EngineError:
    return EngineError(
        f"chunk of {about or 'stars'} ended {error.allowed_failures + 1} workers, the last one "
        f"{error.last_worker.address}: most likely it needs more memory than they have; make chunks smaller (chunk "
        f"under [lightcurves]) or give workers more memory; their logs may tell more"
    )
