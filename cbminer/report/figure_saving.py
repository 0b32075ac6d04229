"""Figures saved by processes of their own, while this one does something else."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from cbminer.report.figures import save_figure

__all__ = ["SaveFigure", "figures_saved"]

SaveFigure = Callable[..., object]


@contextmanager
def figures_saved(processes: int) -> Iterator[SaveFigure]:
    """Save figures, here or beside.

    Parameters
    ----------
    processes : int
        Processes that save; with none, figures are saved at once. A script that asks for some must do so below
        ``if __name__ == "__main__":``.

    Yields
    ------
    callable
        Takes what `~cbminer.report.figures.save_figure` takes. All figures are saved when the block ends; the files do
        not depend on who saves them.
    """
    if processes < 1:
        yield save_figure
        return
    pending: list[Future[Any]] = []

    def save(figure: Figure, path: Path, **formats: Any) -> None:
        pending.append(pool.submit(save_figure, figure, path, **formats))

    # Not forked: threads and their locks would come along.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn, initializer=_leave_interrupts_to_the_owner) as pool:
        try:
            yield save
            for future in pending:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _leave_interrupts_to_the_owner() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
