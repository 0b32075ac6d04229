"""The judged stars of a finished run."""

from pathlib import Path

from astropy.table import QTable

from cbminer.errors import OutputError

__all__ = ["JUDGED_FILE", "read_judged"]

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
