"""Regions for SAOImage DS9: a circle about each star, its name beside it, its colour by rank.

The format is known from the section *Regions* of the DS9 reference manual. Positions are ICRS in degrees; every circle
has a tag by its rank, so that groups can be shown and hidden.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from astropy.table import QTable

from cbminer.errors import InputFormatError
from cbminer.followup.target_formats.schema import Cell, Row, checked_rows, load_schema
from cbminer.followup.target_formats.stars import LeftOut, TargetStar, star_table
from cbminer.followup.target_formats.text_table import number_cells, read_lines
from cbminer.followup.target_settings import Ds9Settings
from cbminer.whole_file import written_whole

__all__ = ["check_ds9", "read_ds9", "write_ds9"]

_SCHEMA = "ds9"
_HEADER = "# Region file format: DS9 version 4.1"
# Colours of Okabe & Ito, which colour-blind readers can tell apart.
_COLOURS = ("#D55E00", "#0072B2", "#009E73")
_CIRCLE = re.compile(r"circle\(([^,()]*),([^,()]*),([^,()\"]*)\"\) *(?:#(.*))?")
_PROPERTY = re.compile(r"(color|text|tag)=(?:\{([^{}]*)\}|(\S+))")


def write_ds9(path: Path, stars: Sequence[TargetStar], *, settings: Ds9Settings) -> tuple[LeftOut, ...]:
    """Write the regions.

    Parameters
    ----------
    path : `~pathlib.Path`
        File.
    stars : sequence of TargetStar
        The stars.
    settings : Ds9Settings
        Size and colours.

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
    lines = [_HEADER]
    lines += [f"# {star.id}: {star.comment}" for star in stars]
    lines += ["global width=2 fixed=0 select=1 edit=1 move=0 delete=1 include=1 source=1", "icrs"]
    rows = []
    for star in stars:
        group = _group(star.rank, settings)
        tag = (f"rank 1 to {settings.first}", f"rank to {settings.second}", "other ranks")[group]
        row = {
            "text": star.id,
            "RA": f"{round(star.RAJ2000, 7) % 360.0:.7f}",
            "DEC": f"{star.DEJ2000:.7f}",
            "radius": f"{settings.radius:.3f}",
            "color": _COLOURS[group],
            "tag": ("SIMULATED " if star.simulated else "") + tag,
        }
        rows.append(row)
        circle = f'circle({row["RA"]},{row["DEC"]},{row["radius"]}")'
        lines.append(f"{circle} # color={row['color']} text={{{star.id}}} tag={{{row['tag']}}}")
    for _ in checked_rows(load_schema(_SCHEMA), (Row(row["text"], row) for row in rows), path=path):
        pass
    with written_whole(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return ()


def _group(rank: int, settings: Ds9Settings) -> int:
    if 0 < rank <= settings.first:
        return 0
    return 1 if 0 < rank <= settings.second else 2


def _read(path: Path) -> list[dict[str, Cell]]:
    schema = load_schema(_SCHEMA)
    lines = read_lines(path)
    if not lines or not lines[0].startswith("# Region file format: DS9"):
        msg = f"{path}, line 1: it does not begin with {_HEADER!r}: name a region file of DS9"
        raise InputFormatError(msg)
    return list(checked_rows(schema, _rows(lines, path), path=path))


def _rows(lines: Sequence[str], path: Path) -> Iterator[Row]:
    frame = ""
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith(("#", "global ")):
            continue
        if text in ("icrs", "fk5"):
            frame = text
            continue
        found = _CIRCLE.fullmatch(text)
        if found is None or not frame:
            wrong = "no frame such as icrs stands above it" if found else f"{text[:60]!r} is no circle in degrees"
            msg = f'{path}, line {number}: {wrong}: write circle(RA,DEC,R") below a line icrs'
            raise InputFormatError(msg)
        properties = {name: braced or bare for name, braced, bare in _PROPERTY.findall(found[4] or "")}
        yield Row(f"line {number}", {"RA": found[1], "DEC": found[2], "radius": found[3], "text": ""} | properties)


def read_ds9(path: Path) -> QTable:
    """Read the regions.

    Parameters
    ----------
    path : `~pathlib.Path`
        File.

    Returns
    -------
    `~astropy.table.QTable`
        id, tag, RAJ2000 and DEJ2000. Positions are exact to 0.0003 arcsec.

    Raises
    ------
    InputFormatError
        If the file holds anything but circles in degrees with names.
    """
    rows = _read(path)
    return star_table(
        {"id": [str(row["text"]) for row in rows], "tag": [str(row.get("tag") or "") for row in rows]},
        {"RAJ2000": number_cells(rows, "RA"), "DEJ2000": number_cells(rows, "DEC")},
    )


def check_ds9(path: Path) -> None:
    """Check the regions against their schema.

    Parameters
    ----------
    path : `~pathlib.Path`
        File.

    Raises
    ------
    InputFormatError
        If it breaks the format; the message names the line and the remedy.
    """
    _read(path)
