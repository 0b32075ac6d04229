"""Fixed targets for HST: the comma-separated list that the Astronomer's Proposal Tool ingests.

The format is known from STScI's APT help, *Target Ingest into Phase II program*, and the Phase II Proposal Instructions
on names and categories. Not verified: the longest name of the present cycle (30 characters are those of older
instructions), and the keywords of descriptions. The header is a line that begins with ``# Target Name``, as there; APT
matches columns by their names. What APT asks for and the survey does not know, such as the error of V, stays empty.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.table import QTable

from cbminer.followup.target_formats.schema import Cell, load_schema
from cbminer.followup.target_formats.sexagesimal import dec_text, ra_text
from cbminer.followup.target_formats.stars import LeftOut, TargetStar, star_table
from cbminer.followup.target_formats.text_table import comma_separated, number_cells, read_comma_separated
from cbminer.followup.target_settings import AptSettings
from cbminer.whole_file import written_whole

__all__ = ["check_apt", "read_apt", "write_apt"]

_SCHEMA = "apt"
_MARK = "# "


def write_apt(path: Path, stars: Sequence[TargetStar], *, settings: AptSettings) -> tuple[LeftOut, ...]:
    """Write the list.

    Parameters
    ----------
    path : `~pathlib.Path`
        File.
    stars : sequence of TargetStar
        The stars.
    settings : AptSettings
        What the list says beside them.

    Returns
    -------
    tuple of LeftOut
        None: a name and a position are enough.

    Raises
    ------
    InputFormatError
        If a star does not fit the format, such as by a name with an underscore.
    OutputError
        If the file cannot be written.
    """
    rows = [
        {
            "Target Name": star.id,
            "RA": ra_text(star.RAJ2000, separator=" ", decimals=4),
            "DEC": dec_text(star.DEJ2000, separator=" ", decimals=3),
            "V-Magnitude": f"{star.V_mag:.3f}" if np.isfinite(star.V_mag) else "",
            "Mag Uncertainty": "",
            "Other Fluxes": f"I = {star.I_mag:.3f}" if np.isfinite(star.I_mag) else "",
            "Reference Frame": "ICRS",
            "Category": settings.category,
            "Description": settings.description or "",
            "Comments": star.comment,
        }
        for star in stars
    ]
    text = comma_separated(load_schema(_SCHEMA), rows, path=path, header_mark=_MARK)
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return ()


def _read(path: Path) -> list[dict[str, Cell]]:
    return read_comma_separated(load_schema(_SCHEMA), path, comments=True, header_mark=_MARK)


def read_apt(path: Path) -> QTable:
    """Read the list.

    Parameters
    ----------
    path : `~pathlib.Path`
        File.

    Returns
    -------
    `~astropy.table.QTable`
        id, note, RAJ2000, DEJ2000, V_mag and I_mag. Positions are exact to 0.001 arcsec, magnitudes to 0.0005 mag.

    Raises
    ------
    InputFormatError
        If the file breaks the format.
    """
    rows = _read(path)
    fluxes = [str(row.get("Other Fluxes") or "I = nan") for row in rows]
    return star_table(
        {"id": [str(row["Target Name"]) for row in rows], "note": [str(row.get("Comments") or "") for row in rows]},
        {
            "RAJ2000": number_cells(rows, "RA"),
            "DEJ2000": number_cells(rows, "DEC"),
            "V_mag": number_cells(rows, "V-Magnitude"),
            "I_mag": [float(flux.removeprefix("I = ")) for flux in fluxes],
        },
    )


def check_apt(path: Path) -> None:
    """Check the list against its schema.

    Parameters
    ----------
    path : `~pathlib.Path`
        File.

    Raises
    ------
    InputFormatError
        If it breaks the format; the message names the line, the column and the remedy.
    """
    _read(path)
