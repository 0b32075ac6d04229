"""Rows of a table turned into points of light curves, each one that is left out for one counted reason."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError
from cbminer.survey.stars import HJD_RANGE
from cbminer.survey.table_columns import FoundColumns, numbers, passes, text
from cbminer.survey.table_identifiers import identifiers
from cbminer.survey.table_periods import checked_epochs, checked_periods
from cbminer.survey.table_reading import Batch
from cbminer.survey.table_settings import TableLayout

__all__ = ["KEPT", "POINT", "STAR_COLUMNS", "BatchPoints", "points_of_batch"]

KEPT = "kept"
STAR_COLUMNS = ("ra", "dec", "period", "epoch")
# A point on disk and in memory: place of the star and of the band, time, magnitude and error.
POINT = np.dtype([("star", "<i4"), ("band", "<i4"), ("time", "<f8"), ("mag", "<f4"), ("mag_err", "<f4")])
_MAG_OF_FLUX = 2.5 / np.log(10.0)
# Above this share of times out of range the zero of the times is taken to be wrong.
_WRONG_TIMES = 0.5


@dataclass(frozen=True)
class BatchPoints:
    """Points of one batch.

    Attributes
    ----------
    stars : list of str
        Identifiers of the stars in the batch.
    star : `~numpy.ndarray`
        Place in `stars` of every row, int32, shape (rows,); -1 for none.
    rows : `~numpy.ndarray`
        Numbers of the rows in the file, int64, shape (rows,).
    points : `~numpy.ndarray`
        Those, of type `POINT`, with places in `stars`.
    about : dict of str to `~numpy.ndarray`
        What the rows say of their star, by `STAR_COLUMNS`; only what the table has.
    reasons : `~collections.Counter`
        Rows by what became of them.
    """

    stars: list[str]
    star: npt.NDArray[np.int32]
    rows: npt.NDArray[np.int64]
    points: npt.NDArray[Any]
    about: dict[str, FloatArray]
    reasons: Counter[str]


def points_of_batch(batch: Batch, columns: FoundColumns, layout: TableLayout, *, file_star: str) -> BatchPoints:
    """Turn rows into points.

    Parameters
    ----------
    batch : Batch
        Rows.
    columns : FoundColumns
        Where what is.
    layout : TableLayout
        How it is to be understood.
    file_star : str
        Star of a table without a column of identifiers.

    Returns
    -------
    BatchPoints
        The points, in the order of the rows.

    Raises
    ------
    InputFormatError
        If a column does not hold what it should, most times cannot be times, or an epoch or a period cannot be one.
    """
    n = len(batch.rows)
    stars, star = _stars(batch, columns, layout, file_star)
    names, reason = [KEPT], np.zeros(n, dtype=np.int16)

    def leave_out(mask: npt.NDArray[np.bool_], why: str) -> None:
        reason[mask & (reason == 0)] = len(names)
        names.append(why)

    leave_out(star < 0, "no identifier")
    band = _bands(batch, columns, layout, n)
    leave_out(band < 0, "another band")
    for name, rule in columns.quality.items():
        leave_out(~passes(batch, name, rule), f"rejected by {name}")
    time = numbers(batch, columns.names["time"]) + layout.time_zero
    in_range = (time >= HJD_RANGE[0]) & (time <= HJD_RANGE[1])
    _refuse_wrong_times(batch, columns.names["time"], time - layout.time_zero, in_range, layout)
    leave_out(~in_range, "no time")
    mag, mag_err, dark = _magnitudes(batch, columns, layout, n)
    leave_out(dark, "flux not above 0")
    leave_out(~((mag >= layout.brightest) & (mag <= layout.faintest)), "no magnitude")
    if not layout.any_error:
        leave_out(~((mag_err > 0) & (mag_err < np.finfo(np.float32).max)), "no error")
        leave_out(mag_err > layout.max_mag_err, f"error above {layout.max_mag_err:g} mag")
    kept = reason == 0
    points = np.empty(int(kept.sum()), dtype=POINT)
    for name, data in (("star", star), ("band", band), ("time", time), ("mag", mag), ("mag_err", mag_err)):
        with np.errstate(over="ignore"):
            points[name] = data[kept]
    about = {role: _about(batch, columns.names[role], role) for role in STAR_COLUMNS if role in columns.names}
    reasons = Counter(dict(zip(names, np.bincount(reason, minlength=len(names)).tolist(), strict=True)))
    reasons["malformed line"] += batch.malformed
    return BatchPoints(stars, star, batch.rows, points, about, +reasons)


def _about(batch: Batch, name: str, role: str) -> FloatArray:
    found = numbers(batch, name)
    if role == "epoch":
        return checked_epochs(found, batch.rows, where=batch.file, column=name)
    if role == "period":
        # Catalogues write 0 or a negative number for a period that is not known.
        return checked_periods(np.where(found > 0, found, np.nan), batch.rows, where=batch.file, column=name)
    return found


def _stars(
    batch: Batch, columns: FoundColumns, layout: TableLayout, file_star: str
) -> tuple[list[str], npt.NDArray[np.int32]]:
    if "id" not in columns.names:
        return [file_star], np.zeros(len(batch.rows), dtype=np.int32)
    coded = identifiers(batch, columns.names["id"], unknown=layout.unknown_ids)
    places = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int32)
    return coded.dictionary.to_pylist(), places


def _bands(batch: Batch, columns: FoundColumns, layout: TableLayout, n: int) -> npt.NDArray[np.int32]:
    """Place of every band among those to measure and, after these, those for a colour; -1 for others."""
    if "band" not in columns.names:
        return np.zeros(n, dtype=np.int32)
    order = {name: place for place, name in reversed(list(enumerate((*layout.bands, *layout.bands_second))))}
    coded = pc.dictionary_encode(text(batch, columns.names["band"]))
    of_entry = np.array([*(order.get(name, -1) for name in coded.dictionary.to_pylist()), -1], dtype=np.int32)
    bands: npt.NDArray[np.int32] = of_entry[pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False)]
    return bands


def _magnitudes(
    batch: Batch, columns: FoundColumns, layout: TableLayout, n: int
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """Magnitudes, their errors, and where a flux has no magnitude."""
    names = columns.names
    flux = numbers(batch, names["flux"]) if "flux" in names else np.full(n, np.nan)
    positive = np.where(flux > 0, flux, np.nan)
    dark = np.zeros(n, dtype=bool)
    if "mag" in names:
        mag = numbers(batch, names["mag"])
    else:
        mag = (layout.zero_point or 0.0) - 2.5 * np.log10(positive)
        dark = flux <= 0
    if "mag_err" in names:
        mag_err = numbers(batch, names["mag_err"])
    elif layout.mag_err is not None:
        mag_err = np.full(n, layout.mag_err)
    else:
        mag_err = _MAG_OF_FLUX * numbers(batch, names["flux_err"]) / positive
    return mag, mag_err, dark


def _refuse_wrong_times(
    batch: Batch, name: str, given: FloatArray, in_range: npt.NDArray[np.bool_], layout: TableLayout
) -> None:
    known = np.isfinite(given)
    wrong = known & ~in_range
    if np.count_nonzero(wrong) > _WRONG_TIMES * np.count_nonzero(known):
        place = int(np.flatnonzero(wrong)[0])
        msg = (
            f"{batch.file}, row {batch.rows[place]}: column {name} holds {given[place]:.10g}, which with time_zero = "
            f'"{layout.time_zero:.10g} d" is Julian date {given[place] + layout.time_zero:.10g}, no date of a survey, '
            f"and so are most: set time_zero under [table] (0 d for JD, 2400000.5 d for MJD)"
        )
        raise InputFormatError(msg)
