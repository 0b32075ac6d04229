"""Periods and epochs of stars, from a table of their own or from columns beside the points."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.table import Table

from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError
from cbminer.survey.stars import HJD_RANGE
from cbminer.survey.table_columns import is_text, numbers, plain_column, text
from cbminer.survey.table_identifiers import identifiers
from cbminer.survey.table_reading import Batch, Source, open_source
from cbminer.tables import find_column

__all__ = ["IDENTIFIERS", "PERIOD_RANGE", "ListedPeriods", "checked_epochs", "checked_periods", "read_periods"]

# Binaries of white dwarfs take minutes, the longest eclipsing ones some 70 years: anything else is no period in days.
PERIOD_RANGE = (0.001, 50_000.0)
_WHAT = "table of periods"
# What columns of identifiers are called where nobody says it.
IDENTIFIERS = ("id", "star", "name", "source_id", "object_id", "objectId", "oid", "asas_sn_id", "ID", "Star", "Name")
_PERIODS = ("period", "P", "per", "Period", "Per")
_EPOCHS = ("T0", "epoch", "HJD0", "t0_fit", "BJD0")
_MISSING = frozenset({"nan", "-nan", "+nan"})


@dataclass(frozen=True)
class ListedPeriods:
    """Periods and epochs that a table of the user gives, in days by star; NaN where it has a star but no value."""

    periods: dict[str, float]
    epochs: dict[str, float]


def checked_periods(
    found: FloatArray, rows: npt.NDArray[np.int64], *, where: str, column: str, stars: Sequence[str] = ()
) -> FloatArray:
    """Refuse what is no period.

    Parameters
    ----------
    found : `~numpy.ndarray`
        Periods in days, NaN where not known, shape (n,).
    rows : `~numpy.ndarray`
        Rows in the file, shape (n,).
    where, column : str
        File and column, for messages.
    stars : sequence of str, optional
        Stars of the rows, for messages.

    Returns
    -------
    `~numpy.ndarray`
        The periods.

    Raises
    ------
    InputFormatError
        If one is outside of `PERIOD_RANGE`.
    """
    low, high = PERIOD_RANGE
    wrong = np.flatnonzero(~np.isnan(found) & ~((found >= low) & (found <= high)))
    if len(wrong):
        place = int(wrong[0])
        of_star = f" of star {stars[place]}" if len(stars) else ""
        msg = (
            f"{where}, row {rows[place]}: period {found[place]:g} d{of_star} is no period ({column}): expected "
            f"{low:g} to {high:g} days; leave it blank where it is not known"
        )
        raise InputFormatError(msg)
    return found


def checked_epochs(found: FloatArray, rows: npt.NDArray[np.int64], *, where: str, column: str) -> FloatArray:
    """Refuse what is no full Julian date of a survey.

    Parameters
    ----------
    found : `~numpy.ndarray`
        Epochs in days, NaN where not known, shape (n,).
    rows : `~numpy.ndarray`
        Rows in the file, shape (n,).
    where, column : str
        File and column, for messages.

    Returns
    -------
    `~numpy.ndarray`
        The epochs.

    Raises
    ------
    InputFormatError
        If one is outside of `~cbminer.survey.stars.HJD_RANGE`.
    """
    low, high = HJD_RANGE
    wrong = np.flatnonzero(~np.isnan(found) & ~((found >= low) & (found <= high)))
    if len(wrong):
        place = int(wrong[0])
        msg = (
            f"{where}, row {rows[place]}: epoch {found[place]:.10g} ({column}) is no full heliocentric Julian date: "
            f"expected {low:.0f} to {high:.0f}; add 2400000.5 to MJD or what was taken off, and leave it blank where "
            f"it is not known"
        )
        raise InputFormatError(msg)
    return found


def read_periods(path: Path) -> ListedPeriods:
    """Read a table of periods.

    Parameters
    ----------
    path : `~pathlib.Path`
        Table in any format of light curves, a row a star: identifier, period in days or in the unit that the file
        states, and perhaps the epoch as full HJD.

    Returns
    -------
    ListedPeriods
        Periods and epochs.

    Raises
    ------
    InputFormatError
        If a column is missing, a star has no identifier or two rows, or a number is no period or no epoch.
    """
    source = open_source(path, what=_WHAT)
    header = Table(names=list(dict.fromkeys(source.names)))
    star, period, epoch = (find_column(header, names) for names in (IDENTIFIERS, _PERIODS, _EPOCHS))
    if star is None or period is None:
        lacking = "stars (such as id)" if star is None else "periods (such as period)"
        msg = f"{_WHAT} {path} has no column of {lacking}: it has {', '.join(source.names)}"
        raise InputFormatError(msg)
    found = ListedPeriods({}, {})
    for batch in source.batches([name for name in (star, period, epoch) if name is not None]):
        if batch.malformed:
            msg = f"{_WHAT} {path}: {batch.malformed} lines have another number of fields than the header: mend them"
            raise InputFormatError(msg)
        names = _names(batch, star, found, path)
        days = _days(batch, period, source, path)
        checked_periods(days, batch.rows, where=f"{_WHAT} {path}", column=period, stars=names)
        found.periods.update(zip(names, days.tolist(), strict=True))
        if epoch is not None:
            dates = _days(batch, epoch, source, path)
            checked_epochs(dates, batch.rows, where=f"{_WHAT} {path}", column=epoch)
            found.epochs.update(zip(names, dates.tolist(), strict=True))
    if not found.periods:
        msg = f"{_WHAT} {path} has no rows"
        raise InputFormatError(msg)
    return found


def _names(batch: Batch, column: str, found: ListedPeriods, path: Path) -> list[str]:
    names: list[Any] = identifiers(batch, column).dictionary_decode().to_pylist()
    if None in names:
        msg = f"{_WHAT} {path}, row {batch.rows[names.index(None)]} has no identifier in column {column}: name its star"
        raise InputFormatError(msg)
    seen = set(found.periods)
    for name in names:
        if name in seen:
            msg = f"{_WHAT} {path} has more than one row of star {name}: leave one"
            raise InputFormatError(msg)
        seen.add(name)
    return names


def _days(batch: Batch, column: str, source: Source, path: Path) -> FloatArray:
    """Read numbers in days; a word among them is an error, while among points it is a point without a number."""
    array = plain_column(batch, column)
    if is_text(array):
        words = text(batch, column).to_pylist()
        for row, word in zip(batch.rows, words, strict=True):
            if word is not None and word.lower() not in _MISSING and not _is_number(word):
                msg = f"{_WHAT} {path}, row {row}: column {column} holds {word!r}, where a number of days is expected"
                raise InputFormatError(msg)
    unit = source.unit(column)
    try:
        scale = u.Unit(unit or "d").to("d")
    except (ValueError, u.UnitConversionError) as error:
        msg = f"{_WHAT} {path}: column {column} has the unit {unit}: give it in days"
        raise InputFormatError(msg) from error
    return numbers(batch, column) * float(scale)


def _is_number(word: str) -> bool:
    try:
        float(word.lower().replace("d", "e"))
    except ValueError:
        return False
    return True
