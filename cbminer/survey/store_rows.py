"""Light curves on their way into the store, whatever they came from: text files, or numbers of a table."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from cbminer.errors import InputFormatError
from cbminer.survey.photometry_file import LightCurve, parse_light_curve
from cbminer.survey.store import BAD_LINE, PART_SCHEMA, Band

__all__ = ["SourceFile", "StoreRow", "part_table", "row_of_file", "row_of_points"]


@dataclass(frozen=True)
class SourceFile:
    """The text file that a light curve came from.

    Attributes
    ----------
    star, band : str
        Whose it is.
    data : bytes
        Its content.
    changed : int
        Time of its last change in ns, where it stays in a folder of the user; 0 otherwise.
    unreadable : str
        Why the file cannot be read, if it cannot.
    """

    star: str
    band: Band
    data: bytes
    changed: int = 0
    unreadable: str = ""


@dataclass(frozen=True)
class StoreRow:
    """A light curve that is to be written, and what the store notes of where it came from.

    Attributes
    ----------
    star, band : str
        Whose it is.
    curve : LightCurve
        Its points.
    unreadable : str or None
        Why it has none, if its file could not be read.
    size, sha256 : int, str
        Bytes and hash of what it was made of.
    changed : int
        As of `SourceFile`, or the intake that it came with.
    """

    star: str
    band: Band
    curve: LightCurve
    unreadable: str | None
    size: int
    sha256: str
    changed: int


def row_of_file(source: SourceFile) -> StoreRow:
    """Parse the text file of a light curve.

    Parameters
    ----------
    source : SourceFile
        The file.

    Returns
    -------
    StoreRow
        Its light curve; without points, but with the reason, if it cannot be read.
    """
    name = Path("phot") / source.band / f"{source.star}.dat"
    digest = hashlib.sha256(source.data).hexdigest()
    unreadable: str | None = source.unreadable or None
    nothing = np.empty(0, dtype=np.float32)
    curve = LightCurve(np.empty(0), nothing, nothing)
    if unreadable is None:
        try:
            curve = parse_light_curve(name, source.data)
        except InputFormatError as error:
            unreadable = str(error)
    return StoreRow(source.star, source.band, curve, unreadable, len(source.data), digest, source.changed)


def row_of_points(star: str, band: Band, curve: LightCurve, *, changed: int) -> StoreRow:
    """Make a row of a light curve that came as numbers.

    Parameters
    ----------
    star : str
        Identifier of the star.
    band : {"I", "V"}
        The band.
    curve : LightCurve
        Its points.
    changed : int
        What tells the intake from others.

    Returns
    -------
    StoreRow
        The row. The bytes of the points stand for those of a file.
    """
    content = b"".join(
        np.ascontiguousarray(points, dtype=kind).tobytes()
        for points, kind in ((curve.time, "<f8"), (curve.mag, "<f4"), (curve.mag_err, "<f4"))
    )
    return StoreRow(star, band, curve, None, len(content), hashlib.sha256(content).hexdigest(), changed)


def part_table(rows: Sequence[StoreRow]) -> pa.Table:
    """Make the table of a part.

    Parameters
    ----------
    rows : sequence of StoreRow
        Light curves, in the order of the part.

    Returns
    -------
    `pyarrow.Table`
        A row a light curve, of the schema of parts.
    """
    curves = [row.curve for row in rows]
    offsets = pa.array(np.concatenate(([0], np.cumsum([len(curve) for curve in curves]))).astype(np.int32))
    columns = [pa.array([row.star for row in rows]), pa.array([row.band for row in rows])]
    for name in ("time", "mag", "mag_err"):
        values = pa.array(np.concatenate([getattr(curve, name) for curve in curves]))
        columns.append(pa.ListArray.from_arrays(offsets, values, type=PART_SCHEMA.field(name).type))
    bad = [
        [{"line": item.line, "reason": item.reason, "text": item.text} for item in curve.set_aside] or None
        for curve in curves
    ]
    columns.append(pa.array([row.size for row in rows], pa.int64()))
    columns.append(pa.array([row.sha256 for row in rows], pa.string()))
    columns.append(pa.array([row.changed for row in rows], pa.int64()))
    columns.append(pa.array([curve.n_missing for curve in curves], pa.int32()))
    columns.append(pa.array([row.unreadable for row in rows], pa.string()))
    columns.append(pa.array(bad, pa.list_(BAD_LINE)))
    return pa.table(columns, schema=PART_SCHEMA)
