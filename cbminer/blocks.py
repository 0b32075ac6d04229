"""Tables of stars in blocks: all that is asked of stars that need not fit into memory together."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from astropy.table import QTable, vstack

from cbminer.columns import FloatArray, values

__all__ = ["Blocks", "blocks_of", "columns_of", "floats_of", "rows_of"]

# To be gone through more than once; blocks without a star may be among them.
Blocks = Iterable[QTable]


@runtime_checkable
class _StoredBlocks(Protocol):
    """Blocks that can be read without all of their columns."""

    def columns(self, names: Sequence[str]) -> Iterator[QTable]: ...


def blocks_of(stars: QTable | Blocks) -> Blocks:
    """Take one table for a single block.

    Parameters
    ----------
    stars : `~astropy.table.QTable` or blocks
        Stars.

    Returns
    -------
    blocks
        The same stars.
    """
    return [stars] if isinstance(stars, QTable) else stars


def columns_of(stars: QTable | Blocks, names: Sequence[str]) -> Iterator[QTable]:
    """Go through stars of which only some columns are needed.

    Parameters
    ----------
    stars : `~astropy.table.QTable` or blocks
        Stars.
    names : sequence of str
        The columns.

    Returns
    -------
    iterator of `~astropy.table.QTable`
        Blocks with these columns at least. From a disk no others are read.
    """
    if not isinstance(stars, QTable) and isinstance(stars, _StoredBlocks):
        return stars.columns(names)
    return iter(blocks_of(stars))


def floats_of(
    stars: QTable | Blocks,
    name: str,
    unit: str = "",
    *,
    where: Callable[[QTable], npt.NDArray[np.bool_]] | None = None,
    needs: Sequence[str] = (),
) -> FloatArray:
    """Read the known values of one column.

    Parameters
    ----------
    stars : `~astropy.table.QTable` or blocks
        Stars.
    name : str
        The column.
    unit : str, optional
        Unit of the result.
    where : callable, optional
        Mask of the stars of a block that count; all of them by default.
    needs : sequence of str, optional
        Columns that `where` needs.

    Returns
    -------
    `~numpy.ndarray`
        Values that are known, in the order of the stars.
    """
    parts = [np.empty(0)]
    for block in columns_of(stars, list(dict.fromkeys([name, *needs]))):
        found = values(block, name, unit)
        counts = ~np.isnan(found) if where is None else ~np.isnan(found) & where(block)
        parts.append(found[counts])
    return np.concatenate(parts)


def rows_of(stars: QTable | Blocks, names: Sequence[str], where: Callable[[QTable], npt.NDArray[np.bool_]]) -> QTable:
    """Read some columns of some stars into one table.

    Parameters
    ----------
    stars : `~astropy.table.QTable` or blocks
        Stars, in one block at least.
    names : sequence of str
        The columns.
    where : callable
        Mask of the stars of a block that are wanted; it sees these columns.

    Returns
    -------
    `~astropy.table.QTable`
        The stars, in their order.
    """
    found = [block[list(names)][where(block)] for block in columns_of(stars, names)]
    # An empty block says of which kind the columns are; more of them say nothing.
    kept = [part for part in found if len(part)] or found[:1]
    return kept[0] if len(kept) == 1 else vstack(kept, metadata_conflicts="silent")
