"""Fetching a survey, or saying what fetching it would bring, in sentences for the command line."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from rich.filesize import decimal

from cbminer.errors import SettingsError
from cbminer.monitor import Monitor
from cbminer.survey.archive import Archive, RemoteArchive
from cbminer.survey.intake import bulk_name
from cbminer.survey.remote import BANDS, PlannedFile

__all__ = ["What", "fetch_survey", "plan_survey", "refuse_folder"]

What = Literal["catalogue", "lightcurves", "all"]
_SHOWN = 12


def refuse_folder(archive: Archive) -> RemoteArchive:
    """Refuse an archive that needs no fetching.

    Parameters
    ----------
    archive : Archive
        The archive.

    Returns
    -------
    RemoteArchive
        The same archive, if it is a server.

    Raises
    ------
    SettingsError
        If it is a folder.
    """
    if isinstance(archive, RemoteArchive):
        return archive
    what = "a folder: there is nothing to fetch" if Path(archive.location).is_dir() else "no http, https or ftp address"
    msg = f"{archive.location} is {what}. Name a server with --archive URL"
    raise SettingsError(msg)


def fetch_survey(
    archive: RemoteArchive, galaxies: Sequence[str], *, what: What = "all", monitor: Monitor | None = None
) -> Iterator[str]:
    """Fetch what is not in the cache yet.

    Parameters
    ----------
    archive : RemoteArchive
        The server.
    galaxies : sequence of str
        Clouds to fetch.
    what : {"catalogue", "lightcurves", "all"}, optional
        Light curves are those of all stars in I and V; the catalogue comes with them, since it names the stars.
    monitor : Monitor, optional
        Told of the progress.

    Yields
    ------
    str
        What the cache holds now, a line a Cloud and kind.

    Raises
    ------
    CbminerError
        If something cannot be had; what has come so far is kept.
    """
    for galaxy in galaxies:
        reading = archive.catalogue(galaxy, monitor=monitor)
        n_stars = reading.n_stars
        release = "simulated" if archive.is_mock(galaxy) else reading.release
        yield f"{galaxy}  catalogue: {n_stars:,} stars ({release})"
        if reading.set_aside:
            yield f"{galaxy}  {len(reading.set_aside):,} lines set aside"
        if what == "catalogue":
            continue
        stars = reading.ids()
        store = archive.light_curves(galaxy, stars, bands=BANDS, monitor=monitor)
        counts = ", ".join(f"{len(store.names(band)):,} in {band}" for band in BANDS)
        without = int((~store.has(stars)).sum())
        yield f"{galaxy}  light curves: {counts}; {decimal(store.size)} in the store; {without:,} stars have none in I"


def plan_survey(archive: RemoteArchive, galaxies: Sequence[str], *, what: What = "all") -> Iterator[str]:
    """Say what `fetch_survey` would fetch, and how large it is.

    Parameters
    ----------
    archive : RemoteArchive
        The server.
    galaxies : sequence of str
        Clouds to fetch.
    what : {"catalogue", "lightcurves", "all"}, optional
        As for `fetch_survey`.

    Yields
    ------
    str
        Files and sizes, and their sum at the end.

    Raises
    ------
    ArchiveError
        If the server cannot be asked.
    """
    total = unknown = 0
    for galaxy in galaxies:
        planned = archive.plan(galaxy, light_curves=what != "catalogue")
        for file in planned[:_SHOWN]:
            yield f"{file.name:<44} {_state(file)}"
        if any(file.name == bulk_name(galaxy) and file.state == "absent" for file in planned):
            yield f"{galaxy} light curves come one by one; how many is known once the catalogue is in the cache"
        if len(planned) > _SHOWN:
            yield f"... and {len(planned) - _SHOWN:,} more files"
        wanted = [file for file in planned if file.state == "wanted"]
        total += sum(file.size - file.have for file in wanted if file.size is not None)
        unknown += sum(file.size is None for file in wanted)
    without = f", and {unknown:,} files whose size the server does not state" if unknown else ""
    yield f"to fetch from {archive.location}: {decimal(total)} ({total:,} bytes){without}"


def _state(file: PlannedFile) -> str:
    if file.state == "absent":
        return "not on the server"
    size = f"{decimal(file.size):>10}" if file.size is not None else "size unknown"
    if file.state == "there":
        return f"{size}  in the cache"
    return f"{size}  resumed after {decimal(file.have)}" if file.have else size
