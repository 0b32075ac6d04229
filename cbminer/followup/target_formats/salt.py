"""Targets for SALT: the comma-separated list that the PIPT imports, the only one with ephemerides built in.

The format is known from SALT's page *Importing targets into the PIPT* (version 4.5 and later); the labels of target
types from the public package aeonlib. Not verified: that right ascension and declination are in degrees (the page says
"a float"), that the observing time is in seconds, and the list of types. Ephemerides are given as HJD, since the PIPT
takes their times to be on UTC, which is the scale that OGLE's are taken to be on.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.table import QTable

from cbminer.followup.target_formats.schema import Cell, load_schema
from cbminer.followup.target_formats.stars import LeftOut, TargetStar, star_table
from cbminer.followup.target_formats.text_table import comma_separated, number_cells, read_comma_separated
from cbminer.followup.target_settings import SaltSettings
from cbminer.whole_file import written_whole

__all__ = ["check_salt", "read_salt", "write_salt"]

_SCHEMA = "salt"


def write_salt(path: Path, stars: Sequence[TargetStar], *, settings: SaltSettings) -> tuple[LeftOut, ...]:
    """Write the list.

    Parameters
    ----------
    path : `~pathlib.Path`
        File.
    stars : sequence of TargetStar
        The stars.
    settings : SaltSettings
        What the list says beside them.

    Returns
    -------
    tuple of LeftOut
        Stars that SALT does not reach, or of no known magnitude.

    Raises
    ------
    InputFormatError
        If a star does not fit the format.
    OutputError
        If the file cannot be written.
    """
    reach = next(rule for rule in load_schema(_SCHEMA).column if rule.name == "declination")
    rows, left = [], []
    for star in stars:
        low, high = reach.low or -90.0, reach.high or 90.0
        if not low <= star.DEJ2000 <= high:
            left.append(LeftOut(star.id, "salt", f"declination {star.DEJ2000:.2f} deg is out of SALT's reach"))
        elif not (np.isfinite(star.V_mag) or np.isfinite(star.I_mag)):
            left.append(LeftOut(star.id, "salt", "no magnitude is known, and the PIPT needs one"))
        else:
            rows.append(_row(star, settings))
    text = comma_separated(load_schema(_SCHEMA), rows, path=path)
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return tuple(left)


def _row(star: TargetStar, settings: SaltSettings) -> dict[str, str]:
    band, bright = ("V", star.V_mag) if np.isfinite(star.V_mag) else ("I", star.I_mag)
    # Hot stars vary by nearly as much in V as in I, where the depth was measured.
    faint = bright + (max(star.depth1, 0.0) if np.isfinite(star.depth1) else 0.0)
    total = np.nan if settings.overhead is None else star.exposure + settings.overhead
    row = {
        "target name": star.id,
        "target type": settings.target_type,
        "right ascension": f"{round(star.RAJ2000, 7) % 360.0:.7f}",
        "declination": f"{star.DEJ2000:.7f}",
        "equinox": "2000.0",
        "bandpass": band,
        "minimum magnitude": f"{bright:.3f}",
        "maximum magnitude": f"{faint:.3f}",
        "observing time": f"{total:.1f}" if np.isfinite(total) else "",
        "maximum lunar phase": f"{settings.maximum_lunar_phase:g}",
        "ranking": _ranking(star.rank, settings),
        "note": star.comment + ("" if np.isfinite(star.depth1) else "; depth unknown"),
    }
    if np.isfinite(star.T0_HJD_UTC) and np.isfinite(star.period):
        row |= {
            "ephemeris time base": "HJD",
            "ephemeris T0": f"{star.T0_HJD_UTC:.6f}",
            "ephemeris period": f"{star.period:.9f}",
        }
    return row


def _ranking(rank: int, settings: SaltSettings) -> str:
    if 0 < rank <= settings.first:
        return "High"
    return "Medium" if 0 < rank <= settings.second else "Low"


def _read(path: Path) -> list[dict[str, Cell]]:
    return read_comma_separated(load_schema(_SCHEMA), path, comments=False)


def read_salt(path: Path) -> QTable:
    """Read the list.

    Parameters
    ----------
    path : `~pathlib.Path`
        File.

    Returns
    -------
    `~astropy.table.QTable`
        id, note, RAJ2000, DEJ2000, V_mag, I_mag, depth1, period and T0_HJD_UTC. Positions are exact to 0.0003 arcsec,
        magnitudes to 0.0005 mag, T0 to 0.05 s and periods to 0.00005 s.

    Raises
    ------
    InputFormatError
        If the file breaks the format.
    """
    rows = _read(path)
    number = {rule.name: number_cells(rows, rule.name) for rule in load_schema(_SCHEMA).column if rule.kind == "float"}
    bands = np.array([row["bandpass"] for row in rows], dtype=str)
    on_utc = np.array([row.get("ephemeris time base") == "HJD" for row in rows], dtype=bool)
    bright = number["minimum magnitude"]
    return star_table(
        {"id": [str(row["target name"]) for row in rows], "note": [str(row.get("note") or "") for row in rows]},
        {
            "RAJ2000": number["right ascension"],
            "DEJ2000": number["declination"],
            "V_mag": np.where(bands == "V", bright, np.nan),
            "I_mag": np.where(bands == "I", bright, np.nan),
            "depth1": number["maximum magnitude"] - bright,
            "period": number["ephemeris period"],
            "T0_HJD_UTC": np.where(on_utc, number["ephemeris T0"], np.nan),
        },
    )


def check_salt(path: Path) -> None:
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
