"""Progress on a terminal: bars with what is done, and for transfers bytes, rate and time left."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from cbminer.monitor import Monitor, TransferMonitor

__all__ = ["TerminalMonitor"]


class TerminalMonitor(Monitor):
    """Progress bars on a terminal, and nothing but sentences elsewhere. It writes to the standard error."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)

    def tell(self, message: str) -> None:
        """Print one sentence.

        Parameters
        ----------
        message : str
            The sentence.
        """
        self._console.print(message, markup=False, highlight=False, soft_wrap=True)

    def step(self, description: str, total: int | None) -> AbstractContextManager[Callable[[int], None]]:
        """Show a step as a bar.

        Parameters
        ----------
        description : str
            What is being done.
        total : int or None
            Length of the step, None if unknown.

        Returns
        -------
        context manager
            Of a function to call with the progress since the last call.
        """
        return self._bar(description, total)

    @contextmanager
    def _bar(self, description: str, total: int | None) -> Iterator[Callable[[int], None]]:
        columns: list[ProgressColumn] = [SpinnerColumn(), TextColumn("{task.description}")]
        if total is not None:
            columns += [BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
        with self._progress(columns) as progress:
            task = progress.add_task(description, total=total)
            yield lambda done: progress.advance(task, done)

    @contextmanager
    def transfer(self, description: str, *, files: int, size: int | None) -> Iterator[TransferMonitor]:
        """Show a transfer with its files, bytes, rate and, where the size is known, the time left.

        Parameters
        ----------
        description : str
            What is being fetched.
        files : int
            Number of files.
        size : int or None
            Bytes of all of them, None if unknown.

        Yields
        ------
        TransferMonitor
            Where the transfer tells what has come.
        """
        columns: list[ProgressColumn] = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn()]
        columns += [TextColumn("{task.fields[files]}"), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()]
        with self._progress(columns) as progress:
            task = progress.add_task(description, total=size, files="")
            done = 0

            def finished(number: int) -> None:
                nonlocal done
                done += number
                progress.update(task, files=f"{done:,}/{files:,} files" if files > 1 else "")

            yield TransferMonitor(received=lambda amount: progress.advance(task, amount), finished=finished)

    def _progress(self, columns: list[ProgressColumn]) -> Progress:
        return Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal)
