"""Progress on a terminal: bars with what is done, and for transfers bytes, rate and time left."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
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
        columns += [TextColumn("{task.fields[told]}"), TimeRemainingColumn()]
        with self._progress(columns) as progress:
            # The time left follows from bytes or, where nobody knows how many will come, from files.
            task = progress.add_task(description, total=files if size is None else size, told="")
            tally = _Tally(files, size)

            def received(amount: int) -> None:
                tally.received += amount
                progress.update(task, advance=0 if size is None else amount, told=tally.tell())

            def finished(number: int) -> None:
                tally.finished += number
                progress.update(task, advance=number if size is None else 0, told=tally.tell())

            yield TransferMonitor(received=received, finished=finished)

    def _progress(self, columns: list[ProgressColumn]) -> Progress:
        return Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal)


class _Tally:
    """What has come of a transfer, for people."""

    def __init__(self, files: int, size: int | None) -> None:
        self._files = files
        self._size = size
        self._begin = time.monotonic()
        self._first: int | None = None
        self.received = 0
        self.finished = 0

    def tell(self) -> str:
        """Say how many files and bytes have come, and how many bytes a second."""
        if self._first is None:
            # What had come before this transfer, and is only counted, says nothing of the rate.
            self._first = self.received
        files = f"{self.finished:,}/{self._files:,} files  " if self._files > 1 else ""
        whole = f"/{decimal(self._size)}" if self._size is not None else ""
        rate = (self.received - self._first) / max(0.1, time.monotonic() - self._begin)
        return f"{files}{decimal(max(0, self.received))}{whole}  {decimal(int(max(0.0, rate)))}/s"
