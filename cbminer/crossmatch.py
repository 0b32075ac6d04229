"""What Gaia DR3 and SIMBAD know of the stars of a run, written beside its products."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from astropy.table import QTable

from cbminer.columns import label_column
from cbminer.errors import OutputError
from cbminer.survey.part import write_whole
from cbminer.survey.vizier import Vizier

__all__ = ["cross_match_run"]

_NAMES = {"gaia": "Gaia DR3 eclipsing binaries", "simbad": "SIMBAD"}


def cross_match_run(
    run: Path, vizier: Vizier, *, others: Sequence[str] = ("gaia", "simbad"), everyone: bool = False
) -> Iterator[str]:
    """Match the candidates of a run by position, and write a table a service.

    Parameters
    ----------
    run : `~pathlib.Path`
        Output folder of the run.
    vizier : Vizier
        Where to ask.
    others : sequence of {"gaia", "simbad"}, optional
        Services.
    everyone : bool, optional
        Whether all judged stars are matched, not only the candidates.

    Yields
    ------
    str
        What was found and where it is written, a line a service.

    Raises
    ------
    OutputError
        If the folder is not the output of a run.
    ArchiveError
        If a service does not answer.
    """
    stars = _stars(run, "judged" if everyone else "candidates")
    for other in others:
        matches = vizier.gaia_binaries(stars) if other == "gaia" else vizier.simbad_objects(stars)
        path = run / f"cross_match_{other}.ecsv"
        text = io.StringIO()
        matches.write(text, format="ascii.ecsv")
        write_whole(path, text.getvalue().encode())
        matched = len(set(label_column(matches, "id"))) if len(matches) else 0
        yield f"{_NAMES[other]}: {matched:,} of {len(stars):,} stars matched, written to {path}"


def _stars(run: Path, stem: str) -> QTable:
    path = run / f"{stem}.fits"
    try:
        return QTable.read(path, format="fits")
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read: name the output folder of a run with --run"
        raise OutputError(msg) from error
