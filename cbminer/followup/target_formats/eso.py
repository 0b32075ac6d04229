"""Observation blocks for ESO's Phase 2: what p2api's createOB, saveOB and saveAbsoluteTimeConstraints take, as JSON.

Names and types of the fields are known from the documentation of the package p2api (ESO, MIT) and from the public
package aeonlib, which talks to p2: target, constraints, obsDescription, userPriority, and time constraints that are in
UTC, do not overlap and end after they begin. Not verified: spellings of the sky transparency, which constraints an
instrument has, the range of user priorities (1 to 10 here), and lengths of names. Constraints that are unset are left
out, so that those of p2 stay. Time constraints bound the *start* of a block: each ends an exposure before its window.
"""

import json
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable
from pydantic import ValidationError

from cbminer.columns import label_column
from cbminer.errors import InputFormatError, SettingsError
from cbminer.followup.target_formats.eso_blocks import (
    PRIORITIES,
    EsoBlock,
    EsoConstraints,
    EsoDescription,
    EsoList,
    EsoTarget,
    EsoTimeConstraint,
)
from cbminer.followup.target_formats.sexagesimal import dec_degrees, dec_text, ra_degrees, ra_text
from cbminer.followup.target_formats.stars import SIMULATED, LeftOut, TargetStar, star_table
from cbminer.followup.target_settings import EsoSettings
from cbminer.whole_file import written_whole

__all__ = ["check_eso", "read_eso", "read_eso_windows", "require_eso_site", "write_eso"]

_MINUTE = timedelta(minutes=1)
_WINDOW_COLUMNS = ("id", "site", "start_utc", "end_utc")


def write_eso(
    path: Path, stars: Sequence[TargetStar], *, windows: QTable | None, settings: EsoSettings
) -> tuple[LeftOut, ...]:
    """Write the blocks.

    Parameters
    ----------
    path : `~pathlib.Path`
        File.
    stars : sequence of TargetStar
        The stars, in order of priority.
    windows : `~astropy.table.QTable` or None
        Observable windows: id, site, start_utc and end_utc, ISO dates on UTC. None for blocks that p2 may run at any
        time.
    settings : EsoSettings
        Constraints.

    Returns
    -------
    tuple of LeftOut
        Windows that are too short for the exposure, and stars that have no other ones: without a time constraint their
        blocks would be run at any phase.

    Raises
    ------
    SettingsError
        If none of the windows is of the site of the settings, or they are of several and the settings name none.
    InputFormatError
        If a star or a window does not fit the format.
    OutputError
        If the file cannot be written.
    """
    found = _windows(windows, settings.site)
    if windows is not None:
        require_eso_site(settings, label_column(windows, "site").tolist())
    blocks, left = [], []
    timed = [(star, *_time_constraints(star, found.get(star.id, []))) for star in stars]
    kept = [(star, times) for star, times, _ in timed if times or windows is None]
    for star, times, short in timed:
        reasons = short if times or windows is None else [_why_left_out(star, short)]
        left += [LeftOut(star.id, "eso", reason) for reason in reasons]
    for index, (star, times) in enumerate(kept):
        comment = f"cbminer: {star.comment}; {_on_times(star, times)}"
        priority = 1 + index * PRIORITIES // len(kept)
        try:
            blocks.append(_block(star, priority, times, comment, settings))
        except ValidationError as error:
            msg = f"{path}: {star.id} does not fit an observation block ({error.errors()[0]['msg']}): leave it out"
            raise InputFormatError(msg) from error
    simulated = any(star.simulated for star in stars)
    listing = EsoList(
        simulated=simulated,
        comment=SIMULATED if simulated else "magnitudes at maximum light; times on UTC",
        obs_blocks=tuple(blocks),
    )
    text = json.dumps(listing.model_dump(mode="json", by_alias=True, exclude_none=True), indent=1)
    with written_whole(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return tuple(left)


def _block(
    star: TargetStar, priority: int, times: tuple[EsoTimeConstraint, ...], comment: str, settings: EsoSettings
) -> EsoBlock:
    moon = settings.moon_distance
    return EsoBlock(
        name=star.id,
        user_priority=priority,
        target=EsoTarget(name=star.id, ra=ra_text(star.RAJ2000), dec=dec_text(star.DEJ2000, decimals=3)),
        constraints=EsoConstraints(
            name="cbminer",
            airmass=settings.airmass,
            sky_transparency=settings.sky_transparency,
            seeing=settings.seeing,
            # p2 keeps whole degrees; the next larger one keeps what was asked for.
            moon_distance=None if moon is None else math.ceil(moon),
            fli=settings.fli,
            twilight=settings.twilight,
            water_vapour=settings.water_vapour,
        ),
        obs_description=EsoDescription(name=star.id, user_comments=comment),
        absolute_time_constraints=times,
    )


def require_eso_site(settings: EsoSettings, sites: Iterable[str]) -> None:
    """Refuse windows of which it is not clear that they are those of the telescope.

    Parameters
    ----------
    settings : EsoSettings
        Settings; site is None for the one of the windows.
    sites : iterable of str
        Sites of the windows; none where there is no window.

    Raises
    ------
    SettingsError
        If none of them is the site of the settings, or they are several and the settings name none.
    """
    known = sorted({site.casefold() for site in sites})
    if settings.site is None and len(known) > 1:
        msg = f"the windows are of several sites ({', '.join(known)}): set targets.eso.site to one of them"
        raise SettingsError(msg)
    if settings.site is not None and known and settings.site.casefold() not in known:
        msg = (
            f"targets.eso.site is {settings.site!r}, and the windows are of {', '.join(known)}: leave it unset, or "
            "plan for that site"
        )
        raise SettingsError(msg)


def _windows(windows: QTable | None, site: str | None) -> dict[str, list[tuple[datetime, datetime]]]:
    if windows is None:
        return {}
    missing = [name for name in _WINDOW_COLUMNS if name not in windows.colnames]
    if missing:
        msg = f"the table of windows has no column {', '.join(missing)}: take the windows of cbminer follow-up"
        raise InputFormatError(msg)
    columns = (label_column(windows, name) for name in _WINDOW_COLUMNS)
    found: dict[str, list[tuple[datetime, datetime]]] = {}
    for star, place, start, end in zip(*columns, strict=True):
        if site is not None and place.casefold() != site.casefold():
            continue
        try:
            times = tuple(datetime.fromisoformat(text.replace(" ", "T")) for text in (start, end))
        except ValueError as error:
            msg = f"a window of {star} reads {start} to {end}: write ISO dates on UTC"
            raise InputFormatError(msg) from error
        begin, finish = (time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC) for time in times)
        found.setdefault(star, []).append((begin, finish))
    return found


def _time_constraints(
    star: TargetStar, windows: Sequence[tuple[datetime, datetime]]
) -> tuple[tuple[EsoTimeConstraint, ...], list[str]]:
    """Find times of start, whole minutes within the windows, joined where they touch; reasons of those left out."""
    exposure = timedelta(seconds=star.exposure) if np.isfinite(star.exposure) else timedelta()
    starts: list[list[datetime]] = []
    short = []
    for begin, end in sorted(windows):
        first, last = _minute_after(begin), _minute_before(end - exposure)
        if first >= last:
            short.append(f"the window from {begin:%Y-%m-%dT%H:%M} is too short for {exposure.total_seconds():.0f} s")
        elif starts and first <= starts[-1][1]:
            starts[-1][1] = max(starts[-1][1], last)
        else:
            starts.append([first, last])
    times = tuple(
        EsoTimeConstraint(start=f"{first:%Y-%m-%dT%H:%M}", end=f"{last:%Y-%m-%dT%H:%M}") for first, last in starts
    )
    return times, short


def _minute_before(time: datetime) -> datetime:
    return time.replace(second=0, microsecond=0)


def _minute_after(time: datetime) -> datetime:
    whole = _minute_before(time)
    return whole if whole == time else whole + _MINUTE


def _why_left_out(star: TargetStar, short: Sequence[str]) -> str:
    if star.no_windows:
        return star.no_windows
    if short:
        return f"none of its {len(short)} windows is long enough for {star.exposure:.0f} s, or for a minute"
    return "it has no window in these nights"


def _on_times(star: TargetStar, times: Sequence[EsoTimeConstraint]) -> str:
    if not times:
        return "no time constraints"
    if np.isfinite(star.exposure):
        return f"starts leave room for an exposure of {star.exposure:.0f} s and no overheads"
    return "starts are the whole windows since the exposure is unknown"


def _read(path: Path) -> EsoList:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        msg = f"{path} cannot be read ({error}): name a list of observation blocks"
        raise InputFormatError(msg) from error
    except ValueError as error:
        msg = f"{path} is no JSON ({error}): name a list of observation blocks"
        raise InputFormatError(msg) from error
    try:
        return EsoList.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = _place(content, first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        msg = f"{path}, {place}: {message}: correct it, or write the list again"
        raise InputFormatError(msg) from error


def _place(content: Any, location: Sequence[str | int]) -> str:
    """Path of a field, with the name of its block where it has one."""
    place = ".".join(str(part) for part in location) or "the file"
    try:
        name = content["obsBlocks"][location[1]]["name"]
    except (KeyError, IndexError, TypeError):
        return place
    return f"{place} (block {name})"


def read_eso(path: Path) -> QTable:
    """Read the targets of the blocks.

    Parameters
    ----------
    path : `~pathlib.Path`
        File.

    Returns
    -------
    `~astropy.table.QTable`
        id, note, RAJ2000, DEJ2000, user_priority and n_windows. Positions are exact to 0.008 arcsec.

    Raises
    ------
    InputFormatError
        If the file breaks the format.
    """
    blocks = _read(path).obs_blocks
    table = star_table(
        {"id": [block.target.name for block in blocks], "note": [b.obs_description.user_comments for b in blocks]},
        {
            "RAJ2000": [ra_degrees(block.target.ra) for block in blocks],
            "DEJ2000": [dec_degrees(block.target.dec) for block in blocks],
        },
    )
    table["user_priority"] = np.array([block.user_priority for block in blocks], dtype=int)
    table["n_windows"] = np.array([len(block.absolute_time_constraints) for block in blocks], dtype=int)
    return table


def read_eso_windows(path: Path) -> QTable:
    """Read the time constraints of the blocks.

    Parameters
    ----------
    path : `~pathlib.Path`
        File.

    Returns
    -------
    `~astropy.table.QTable`
        id, start_utc and end_utc: a row a constraint on the start of a block.

    Raises
    ------
    InputFormatError
        If the file breaks the format.
    """
    found = [(b.name, time.start, time.end) for b in _read(path).obs_blocks for time in b.absolute_time_constraints]
    columns = zip(*found, strict=True) if found else ((), (), ())
    texts = dict(zip(("id", "start_utc", "end_utc"), (list(column) for column in columns), strict=True))
    return star_table(texts, {})


def check_eso(path: Path) -> None:
    """Check the blocks against their schema, the models of `cbminer.followup.target_formats.eso_blocks`.

    Parameters
    ----------
    path : `~pathlib.Path`
        File.

    Raises
    ------
    InputFormatError
        If it breaks the format; the message names the field, the block and the remedy.
    """
    _read(path)
