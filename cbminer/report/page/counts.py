"""The cut-flow that a run keeps, read for its report."""

import warnings
from pathlib import Path

import numpy as np
from astropy.table import QTable

from cbminer.columns import label_column, values
from cbminer.errors import OutputError

__all__ = ["CUTFLOW_COUNTS", "CUTFLOW_FILE", "read_cutflow"]

CUTFLOW_FILE = "cutflow.ecsv"
CUTFLOW_COUNTS = ("n_in", "n_out", "n_failed", "n_undecided")
_NAMES = ("galaxy", "cut")


def read_cutflow(run: Path) -> QTable:
    """Read the cut-flow of a run.

    Parameters
    ----------
    run : `~pathlib.Path`
        Its folder.

    Returns
    -------
    `~astropy.table.QTable`
        Columns galaxy and cut, and how many stars each cut meets, leaves, fails and cannot judge; no rows if the run
        keeps none.

    Raises
    ------
    OutputError
        If the file is damaged or lacks a column.
    """
    path = run / CUTFLOW_FILE
    if not path.exists():
        return QTable(names=(*_NAMES, *CUTFLOW_COUNTS), dtype=(*[str] * len(_NAMES), *[int] * len(CUTFLOW_COUNTS)))
    try:
        with warnings.catch_warnings():
            # What a header may hold is checked below.
            warnings.simplefilter("ignore")
            table = QTable.read(path, format="ascii.ecsv")
        counts = {name: values(table, name) for name in CUTFLOW_COUNTS}
        texts = {name: label_column(table, name) for name in _NAMES}
    # A cut or changed header makes the reader fail in as many ways as YAML and columns can be wrong.
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        msg = f"{path} cannot be read ({reason}): run the selection again with --overwrite"
        raise OutputError(msg) from error
    for name, count in counts.items():
        wrong = np.flatnonzero(~(np.isfinite(count) & (count >= 0)))
        if len(wrong):
            msg = f"{path}, row {wrong[0] + 1}: {name} is no number of stars: run the selection again with --overwrite"
            raise OutputError(msg)
    return QTable({**texts, **{name: count.astype(np.int64) for name, count in counts.items()}})
