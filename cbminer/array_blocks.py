"""Arrays of numbers on disk, block by block: what is known of many stars, of which one block is in memory at a time."""

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cbminer.columns import FloatArray
from cbminer.errors import OutputError

__all__ = ["ArrayBlocks"]


class ArrayBlocks:
    """Blocks of float64 in a temporary folder, which goes when the object does."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="cbminer-arrays-"))
        self._end = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._n_blocks = 0

    def __len__(self) -> int:
        """Count the blocks."""
        return self._n_blocks

    def __iter__(self) -> Iterator[FloatArray]:
        """Read the blocks in their order."""
        for number in range(self._n_blocks):
            yield self[number]

    def __getitem__(self, number: int) -> FloatArray:
        """Read a block.

        Parameters
        ----------
        number : int
            Its number.

        Returns
        -------
        `~numpy.ndarray`
            The block, as it was written.
        """
        if not 0 <= number < self._n_blocks:
            msg = f"there is no block {number} of {self._n_blocks}"
            raise IndexError(msg)
        # Read and not mapped: pages of a mapped file count as memory of the process.
        data: FloatArray = np.load(self._folder / f"{number}.npy", allow_pickle=False)
        return data

    def __setitem__(self, number: int, data: FloatArray) -> None:
        """Write a block over one that is there.

        Parameters
        ----------
        number : int
            Its number; that of all blocks for a new one.
        data : `~numpy.ndarray`
            The block.

        Raises
        ------
        OutputError
            If there is no room for it.
        """
        try:
            np.save(self._folder / f"{number}.npy", data, allow_pickle=False)
        except OSError as error:
            msg = (
                f"numbers of stars cannot wait in {self._folder} ({error}): free space there, or set the environment "
                "variable TMPDIR to another folder"
            )
            raise OutputError(msg) from error
        self._n_blocks = max(self._n_blocks, number + 1)

    def append(self, data: FloatArray) -> None:
        """Write one more block.

        Parameters
        ----------
        data : `~numpy.ndarray`
            The block.

        Raises
        ------
        OutputError
            If there is no room for it.
        """
        self[self._n_blocks] = data
