"""How many stars of a run have a label or a flag."""

from collections import Counter

import numpy as np
from astropy.table import QTable

from cbminer.blocks import Blocks, columns_of
from cbminer.columns import label_column
from cbminer.flags import Flag

__all__ = ["count_flags", "count_labels"]


def count_labels(stars: QTable | Blocks, name: str) -> Counter[str]:
    """Count the stars by a column of text.

    Parameters
    ----------
    stars : `~astropy.table.QTable` or blocks
        Judged stars.
    name : str
        The column.

    Returns
    -------
    `~collections.Counter`
        Stars by their label; those without one under the empty text.
    """
    found: Counter[str] = Counter()
    for block in columns_of(stars, [name]):
        labels, counts = np.unique(label_column(block, name), return_counts=True)
        found.update(dict(zip(labels.tolist(), counts.tolist(), strict=True)))
    return found


def count_flags(stars: QTable | Blocks) -> dict[Flag, int]:
    """Count the stars by what was missing or substituted.

    Parameters
    ----------
    stars : `~astropy.table.QTable` or blocks
        Judged stars.

    Returns
    -------
    dict of Flag to int
        Stars that have the flag, for every flag.
    """
    found = dict.fromkeys(Flag, 0)
    for block in columns_of(stars, ["flags"]):
        flags = np.asarray(block["flags"], dtype=np.int64)
        for flag in Flag:
            found[flag] += int(np.count_nonzero(flags & flag))
    return found
