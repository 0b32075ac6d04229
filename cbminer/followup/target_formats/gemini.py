"""Targets for Gemini: the comma-separated list that Explore imports.

The format is known from Gemini's own help text, *Target Import*, in the public repository
gemini-hlsw/explore-help-docs. Not verified: whether the older Phase I Tool and Observing Tool take the same names of
columns. Unknown magnitudes are empty cells; lines that begin with ``#`` are comments there.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.table import QTable

from cbminer.followup.target_formats.schema import Cell, load_schema
from cbminer.followup.target_formats.sexagesimal import dec_text, ra_text
from cbminer.followup.target_formats.stars import LeftOut, TargetStar, star_table
from cbminer.followup.target_formats.text_table import comma_separated, number_cells, read_comma_separated
from cbminer.whole_file import written_whole

__all__ = ["check_gemini", "read_gemini", "write_gemini"]

_SCHEMA = "gemini"


def write_gemini(path: Path, stars: Sequence[TargetStar]) -> tuple[LeftOut, ...]:
    """Write the list.

    Parameters
    ----------
    path : `~pathlib.Path`
        File.
    stars : sequence of TargetStar
        The stars.

    Returns
    -------
    tuple of LeftOut
        None: a name and a position are enough.

    Raises
    ------
    InputFormatError
        If a star does not fit the format.
    OutputError
        If the file cannot be written.
    """
    rows = [
        {"Name": star.id, "RAJ2000": ra_text(star.RAJ2000), "DECJ2000": dec_text(star.DEJ2000)}
        | _magnitude("V", star.V_mag)
        | _magnitude("I", star.I_mag)
        for star in stars
    ]
    comments = ["Magnitudes are those at maximum light.", *(f"{star.id}: {star.comment}" for star in stars)]
    text = comma_separated(load_schema(_SCHEMA), rows, path=path, comments=comments)
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return ()


def _magnitude(band: str, magnitude: float) -> dict[str, str]:
    return {band: f"{magnitude:.3f}", f"{band}_unit": "Vega mag"} if np.isfinite(magnitude) else {}


def _read(path: Path) -> list[dict[str, Cell]]:
    return read_comma_separated(load_schema(_SCHEMA), path, comments=True)


def read_gemini(path: Path) -> QTable:
    """Read the list.

    Parameters
    ----------
    path : `~pathlib.Path`
        File.

    Returns
    -------
    `~astropy.table.QTable`
        id, RAJ2000, DEJ2000, V_mag and I_mag. Positions are exact to 0.009 arcsec, magnitudes to 0.0005 mag.

    Raises
    ------
    InputFormatError
        If the file breaks the format.
    """
    rows = _read(path)
    return star_table(
        {"id": [str(row["Name"]) for row in rows]},
        {
            "RAJ2000": number_cells(rows, "RAJ2000"),
            "DEJ2000": number_cells(rows, "DECJ2000"),
            "V_mag": number_cells(rows, "V"),
            "I_mag": number_cells(rows, "I"),
        },
    )


def check_gemini(path: Path) -> None:
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
