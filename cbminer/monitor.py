"""What a run tells of its progress. The monitor here tells nothing; a front end overrides its methods."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

__all__ = ["Monitor", "TransferMonitor"]


def _nothing(_amount: int) -> None:
    """Take an amount and do nothing."""


@dataclass(frozen=True)
class TransferMonitor:
    """Where a transfer tells what has come.

    Attributes
    ----------
    received : callable
        Called with the bytes that came since the last call; a negative number takes back what is of no use.
    finished : callable
        Called with the files that were finished since the last call.
    """

    received: Callable[[int], None] = _nothing
    finished: Callable[[int], None] = _nothing


class Monitor:
    """What a run tells of its progress; this one tells nothing."""

    def step(self, description: str, total: int | None) -> AbstractContextManager[Callable[[int], None]]:
        """Open a step.

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
        del description, total
        return nullcontext(_nothing)

    @contextmanager
    def transfer(self, description: str, *, files: int, size: int | None) -> Iterator[TransferMonitor]:
        """Open a transfer.

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
        del description, files, size
        yield TransferMonitor()

    def tell(self, message: str) -> None:
        """Say one sentence.

        Parameters
        ----------
        message : str
            The sentence.
        """
