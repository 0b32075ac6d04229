"""Arrays of numbers on disk, block by block: what is known of many stars, of which one block is in memory at a time."""

from collections.abc import Iterator

import numpy as np

from cbminer.columns import FloatArray
from cbminer.errors import OutputError
from cbminer.scratch import Scratch, lost_scratch

__all__ = ["ArrayBlocks"]


class ArrayBlocks:
    """Blocks of float64 in a temporary folder, which goes when the object does."""

    def __init__(self) -> None:
        self._scratch = Scratch()
        self._folder = self._scratch.folder
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

        Raises
        ------
        OutputError
            If somebody has removed it meanwhile.
        """
        if not 0 <= number < self._n_blocks:
            msg = f"there is no block {number} of {self._n_blocks}"
            raise IndexError(msg)
        path = self._folder / f"{number}.npy"
        try:
            # Read and not mapped: pages of a mapped file count as memory of the process.
            data: FloatArray = np.load(path, allow_pickle=False)
        except OSError as error:
            raise lost_scratch(path, error) from error
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
