"""Work in other processes, any of which may die without taking the results of the others along."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from cbminer.errors import SettingsError

__all__ = ["run_apart"]

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


def run_apart(work: Callable[[_Task], _Result], tasks: Sequence[_Task], *, jobs: int) -> list[_Result | None]:
    """Do work in processes that start afresh.

    Parameters
    ----------
    work : callable
        A function that another process can import, and call with a task.
    tasks : sequence
        What it is called with.
    jobs : int
        Number of processes.

    Returns
    -------
    list
        Results in the order of the tasks; None where the process died, twice, the second time with nothing
        else to do.

    Raises
    ------
    SettingsError
        If no process can be started.
    """
    results: list[_Result | None] = [None] * len(tasks)
    waiting = deque(range(len(tasks)))
    while waiting:
        # When a process dies, all others of its pool go: those at work are suspects, and go on one by one.
        for suspect in _work_off(work, tasks, waiting, results, jobs=jobs):
            _work_off(work, tasks, deque([suspect]), results, jobs=1)
    return results


def _work_off(
    work: Callable[[_Task], _Result],
    tasks: Sequence[_Task],
    waiting: deque[int],
    results: list[_Result | None],
    *,
    jobs: int,
) -> list[int]:
    """Work off what waits; return what was at work when a process died."""
    running: dict[Future[_Result], int] = {}
    pool = ProcessPoolExecutor(min(jobs, len(waiting)), mp_context=multiprocessing.get_context("spawn"))
    try:
        _check_start(pool)
        while waiting or running:
            # Not more at once than there are processes, so that few are suspects.
            while waiting and len(running) < jobs:
                running[pool.submit(work, tasks[waiting[0]])] = waiting[0]
                waiting.popleft()
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                results[running[future]] = future.result()
                del running[future]
    except BrokenProcessPool:
        return sorted(running.values())
    finally:
        # After an interruption nobody waits for what is half done.
        pool.shutdown(wait=not running, cancel_futures=True)
    return []


def _check_start(pool: ProcessPoolExecutor) -> None:
    try:
        pool.submit(_nothing).result()
    except BrokenProcessPool as error:
        msg = (
            "no further process can be started: use jobs=1, or in a script of your own call from below "
            "if __name__ == '__main__'"
        )
        raise SettingsError(msg) from error


def _nothing() -> None:
    """Do nothing, which shows that a process has started."""
