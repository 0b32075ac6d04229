"""Engines that measure chunks of stars: threads of this process, or workers of Dask here or on many machines.

Whoever has chunks hands them to an engine as calls and reads the results in the order of the calls. What comes out is
the same whatever the engine: a call takes all it needs as its arguments, and is made in one thread.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

from cbminer.errors import CbminerError, SettingsError

__all__ = ["Call", "Engine", "EngineError", "EngineName", "Pending", "in_order", "open_engine"]

EngineName = Literal["threads", "dask"]
Result = TypeVar("Result")
_Known_co = TypeVar("_Known_co", covariant=True)

# Calls at hand for every thread: one that runs, and one that waits, so that no thread has to.
CALLS_A_THREAD = 2


class EngineError(CbminerError):
    """Workers of an engine cannot be had, or were lost."""


class Pending(Protocol[_Known_co]):
    """A call that was handed to an engine."""

    def result(self) -> _Known_co:
        """Wait for the result, and return it or raise what the call raised."""

    def cancel(self) -> object:
        """Leave the call undone if it has not begun."""


class Engine(Protocol):
    """Makes calls, as many at a time as it has threads."""

    @property
    def window(self) -> int:
        """Calls that may wait, run or be unread at a time: it bounds the memory of who makes them."""

    def submit(self, function: Callable[..., Result], *arguments: Any, about: str = "") -> Pending[Result]:
        """Hand a call to the engine.

        Parameters
        ----------
        function : callable
            Function of a module, which another process can import.
        *arguments
            Its arguments, which can be pickled.
        about : str, optional
            What the call is about, for an error, such as ``stars A .. B``.

        Returns
        -------
        Pending
            The call.
        """


@dataclass(frozen=True)
class Call(Generic[Result]):
    """A call to be made.

    Attributes
    ----------
    function : callable
        Function of a module.
    arguments : tuple
        Its arguments.
    about : str
        What the call is about, for an error, such as ``stars A .. B``.
    """

    function: Callable[..., Result]
    arguments: tuple[Any, ...]
    about: str = ""


def in_order(engine: Engine, calls: Iterable[Call[Result]]) -> Iterator[Result]:
    """Make calls and give their results in the order of the calls.

    Calls are asked for as they can be made, so that neither they nor their results are ever all in memory. What has
    not begun is left undone where a call raises, and where nobody asks for further results.

    Parameters
    ----------
    engine : Engine
        Who makes them.
    calls : iterable of Call
        The calls.

    Yields
    ------
    object
        Results.
    """
    waiting: deque[Pending[Result]] = deque()
    try:
        for call in calls:
            waiting.append(engine.submit(call.function, *call.arguments, about=call.about))
            while len(waiting) >= engine.window:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for pending in waiting:
            pending.cancel()


@contextmanager
def open_engine(name: EngineName, *, jobs: int, scheduler: str | None = None) -> Iterator[Engine]:
    """Open an engine.

    Left by an exception, Ctrl-C included, it cancels what waits. A script that opens ``dask`` without a scheduler must
    do so below ``if __name__ == "__main__":``, as its workers are processes that import the script.

    Parameters
    ----------
    name : {"threads", "dask"}
        Threads of this process, or workers of Dask.
    jobs : int
        Threads, or worker processes on this machine. One thread is the one that asks. A scheduler has workers of its
        own.
    scheduler : str, optional
        Address of the scheduler of a cluster that runs, such as ``tcp://host:8786``, or its scheduler file.

    Yields
    ------
    Engine
        The engine.

    Raises
    ------
    SettingsError
        If Dask is not installed, the scheduler cannot be reached, a worker has other versions, or a scheduler is
        given to threads.
    EngineError
        If there are no workers.
    """
    if name == "dask":
        with _dask(jobs, scheduler) as workers:
            yield workers
        return
    if scheduler is not None:
        msg = f"scheduler {scheduler} is of no use to threads: ask for the engine dask, or leave the scheduler out"
        raise SettingsError(msg)
    if jobs <= 1:
        yield _CallingThread()
        return
    with ThreadPoolExecutor(jobs) as pool:
        try:
            yield _Threads(pool, CALLS_A_THREAD * jobs)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _dask(jobs: int, scheduler: str | None) -> Any:
    try:
        from cbminer.engine_dask import open_dask
    except ModuleNotFoundError as error:
        msg = f'the engine dask needs {error.name}: pip install "cbminer[scale]", or use threads'
        raise SettingsError(msg) from error
    return open_dask(jobs=jobs, scheduler=scheduler)


@dataclass(frozen=True)
class _Made(Generic[Result]):
    """A call that has been made."""

    value: Result

    def result(self) -> Result:
        return self.value

    def cancel(self) -> None:
        """Do nothing: it is too late."""


class _CallingThread:
    """Makes every call at once, in the thread that asks: errors and Ctrl-C come from where they arise."""

    window = 1

    def submit(self, function: Callable[..., Result], *arguments: Any, about: str = "") -> Pending[Result]:
        del about
        return _Made(function(*arguments))


@dataclass(frozen=True)
class _Threads:
    """Makes calls in threads of this process."""

    pool: ThreadPoolExecutor
    window: int

    def submit(self, function: Callable[..., Result], *arguments: Any, about: str = "") -> Pending[Result]:
        del about
        return self.pool.submit(function, *arguments)
