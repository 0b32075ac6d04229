"""The judged stars of a finished run."""

import difflib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.table import QTable

from cbminer.columns import label_column, values
from cbminer.errors import OutputError, UnknownStarError

__all__ = ["JUDGED_FILE", "choose_stars", "read_judged"]

JUDGED_FILE = "judged.fits"


def read_judged(run: Path) -> QTable:
    """Read every star of a run.

    Parameters
    ----------
    run : `~pathlib.Path`
        Output folder of the run.

    Returns
    -------
    `~astropy.table.QTable`
        The table judged.fits.

    Raises
    ------
    OutputError
        If it cannot be read.
    """
    path = run / JUDGED_FILE
    try:
        return QTable.read(path, format="fits")
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read: run the selection again with --overwrite"
        raise OutputError(msg) from error


def choose_stars(judged: QTable, names: Sequence[str], *, run: Path, best: int) -> QTable:
    """Choose stars by name, or the best.

    Parameters
    ----------
    judged : `~astropy.table.QTable`
        Judged stars of a run.
    names : sequence of str
        Identifiers, in whatever case; none for the best candidates.
    run : `~pathlib.Path`
        Folder of the run, for messages.
    best : int
        How many candidates at most.

    Returns
    -------
    `~astropy.table.QTable`
        Their rows, in the order of the ranks or of the names.

    Raises
    ------
    UnknownStarError
        If a name is not in the run.
    OutputError
        If no star has a rank, and none is named.
    """
    if not names:
        rank = values(judged, "rank")
        ranked = np.flatnonzero(rank > 0)
        if not len(ranked):
            msg = f"no star of {run} has a rank: name the stars that you mean"
            raise OutputError(msg)
        return judged[ranked[np.argsort(rank[ranked], kind="stable")][:best]]
    known = {str(name): row for row, name in reversed(list(enumerate(np.char.upper(label_column(judged, "id")))))}
    rows = []
    for star in names:
        name = star.strip().upper()
        if name not in known:
            near = difflib.get_close_matches(name, list(known), n=3)
            hint = f"; the nearest names are {', '.join(near)}" if near else ""
            msg = f"{star} is not in the run {run}{hint}"
            raise UnknownStarError(msg)
        rows.append(known[name])
    return judged[list(dict.fromkeys(rows))]
