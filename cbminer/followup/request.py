"""What the command follow-up is asked for: read and refused before any work is done."""

import os
from datetime import date, datetime
from pathlib import Path

from cbminer.errors import OutputError, SettingsError
from cbminer.output import check_output_folder

__all__ = ["check_place", "first_evening", "format_names"]

# UT1 - UTC is known from 1973 on, and the analytic places of the Earth and the Moon hold for longer than until 2060.
_EARLIEST, _LATEST = date(1973, 1, 1), date(2060, 1, 1)


def first_evening(text: str) -> date:
    """Read the date of the first evening.

    Parameters
    ----------
    text : str
        Date, such as 2027-01-31.

    Returns
    -------
    `~datetime.date`
        The date.

    Raises
    ------
    SettingsError
        If it is no date, or lies outside 1973-01-01 to 2060-01-01.
    """
    try:
        day = datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a civil date has no time zone
    except ValueError as error:
        msg = f"--from {text!r} is not a date: write it as 2027-01-31"
        raise SettingsError(msg) from error
    if not _EARLIEST <= day <= _LATEST:
        msg = (
            f"--from {text}: the rotation of the Earth is known well enough from {_EARLIEST} to {_LATEST} alone; give "
            "a date between these"
        )
        raise SettingsError(msg)
    return day


def format_names(text: str | None) -> list[str]:
    """Read names of formats.

    Parameters
    ----------
    text : str or None
        Names with commas between them; None for no list.

    Returns
    -------
    list of str
        The names in lower case.

    Raises
    ------
    SettingsError
        If there is a text without a name in it.
    """
    if text is None:
        return []
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    if not names:
        msg = f"--formats {text!r} names no format: write them as eso,ds9, or leave the option out"
        raise SettingsError(msg)
    return names


def check_place(folder: Path, *, overwrite: bool) -> None:
    """Refuse a place for the output in which no folder can be made.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Place of the output folder.
    overwrite : bool
        Whether the output of an earlier call may be replaced.

    Raises
    ------
    OutputError
        If something is there that may not be replaced, or the folder above is no folder or cannot be written into.
    """
    check_output_folder(folder, overwrite=overwrite)
    above = next((parent for parent in folder.absolute().parents if parent.exists()), Path("/"))
    if not above.is_dir():
        msg = f"{folder} cannot be made: {above} is a file; choose another folder with --out"
        raise OutputError(msg)
    if not os.access(above, os.W_OK | os.X_OK):
        msg = f"{folder} cannot be made: {above} is not yours to write into; choose another folder with --out"
        raise OutputError(msg)
