"""Target lists of a follow-up: every format that was asked for, and who is not in it."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.table import QTable, Table

from cbminer.columns import label_column
from cbminer.errors import SettingsError
from cbminer.followup.target_formats.apt import check_apt, read_apt, write_apt
from cbminer.followup.target_formats.ds9 import check_ds9, read_ds9, write_ds9
from cbminer.followup.target_formats.eso import check_eso, read_eso, require_eso_site, write_eso
from cbminer.followup.target_formats.fourmost import check_fourmost, read_fourmost, require_fourmost, write_fourmost
from cbminer.followup.target_formats.gemini import check_gemini, read_gemini, write_gemini
from cbminer.followup.target_formats.moc import check_moc, read_moc, require_mocpy, write_moc
from cbminer.followup.target_formats.salt import check_salt, read_salt, write_salt
from cbminer.followup.target_formats.stars import SIMULATED, LeftOut, TargetStar, target_stars
from cbminer.followup.target_settings import TargetSettings
from cbminer.whole_file import written_whole

__all__ = [
    "FORMATS",
    "LEFT_OUT_FILE",
    "check_target_list",
    "read_target_list",
    "require_formats",
    "write_target_lists",
]

LEFT_OUT_FILE = "targets-left-out.ecsv"


@dataclass(frozen=True)
class _Format:
    file: str
    write: Callable[[Path, list[TargetStar], QTable | None, TargetSettings], tuple[LeftOut, ...]]
    read: Callable[[Path], QTable]
    check: Callable[[Path], None]


_FORMATS = {
    "eso": _Format(
        "targets-eso.json",
        lambda path, stars, windows, settings: write_eso(path, stars, windows=windows, settings=settings.eso),
        read_eso,
        check_eso,
    ),
    "4most": _Format(
        "targets-4most.fits",
        lambda path, stars, _, settings: write_fourmost(path, stars, settings=settings.fourmost),
        read_fourmost,
        check_fourmost,
    ),
    "salt": _Format(
        "targets-salt.csv",
        lambda path, stars, _, settings: write_salt(path, stars, settings=settings.salt),
        read_salt,
        check_salt,
    ),
    "gemini": _Format(
        "targets-gemini.csv", lambda path, stars, *_: write_gemini(path, stars), read_gemini, check_gemini
    ),
    "apt": _Format(
        "targets-apt.csv",
        lambda path, stars, _, settings: write_apt(path, stars, settings=settings.apt),
        read_apt,
        check_apt,
    ),
    "ds9": _Format(
        "targets-ds9.reg",
        lambda path, stars, _, settings: write_ds9(path, stars, settings=settings.ds9),
        read_ds9,
        check_ds9,
    ),
    "moc": _Format(
        "targets-moc.fits",
        lambda path, stars, _, settings: write_moc(path, stars, settings=settings.moc),
        read_moc,
        check_moc,
    ),
}
FORMATS = tuple(_FORMATS)


def write_target_lists(
    folder: Path,
    targets: QTable,
    *,
    windows: QTable | None,
    formats: Sequence[str],
    settings: TargetSettings,
    allow_simulated: bool = False,
) -> list[Path]:
    """Write target lists.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder of the lists.
    targets : `~astropy.table.QTable`
        The stars, in order of priority: id, galaxy, survey, rank, RAJ2000, DEJ2000 [deg], V_mag, I_mag, depth1, E_VI
        [mag], period [d], T0_HJD_UTC [d], exposure [s]. Magnitudes, times and exposures may be masked.
    windows : `~astropy.table.QTable` or None
        Observable windows: id, site, start_utc and end_utc; ESO's blocks take their time constraints from them.
    formats : sequence of str
        Some of `FORMATS`.
    settings : TargetSettings
        What the observatories ask for beside the stars.
    allow_simulated : bool, optional
        Whether simulated stars may be listed; the files say then that they are.

    Returns
    -------
    list of `~pathlib.Path`
        The files, one a format and, if a list lacks a star or a window, `LEFT_OUT_FILE` with the reasons.

    Raises
    ------
    SettingsError
        If a format is unknown, a setting without a default is unset, the windows are of another site than ESO's, or the
        stars are simulated.
    InputFormatError
        If a star does not fit a format.
    OutputError
        If a file cannot be written.
    """
    stars = target_stars(targets)
    _refuse_simulated(stars, allowed=allow_simulated)
    # All that can be missing is asked for before anything is written.
    sites = label_column(windows, "site").tolist() if windows is not None and "site" in windows.colnames else []
    require_formats(formats, settings=settings, sites=sites)
    chosen = [_format(name) for name in dict.fromkeys(formats)]
    paths: list[Path] = []
    left: list[LeftOut] = []
    for one in chosen:
        path = folder / one.file
        left += one.write(path, stars, windows, settings)
        paths.append(path)
    if left:
        paths.append(_write_left_out(folder / LEFT_OUT_FILE, left, simulated=any(star.simulated for star in stars)))
    else:
        (folder / LEFT_OUT_FILE).unlink(missing_ok=True)
    return paths


def require_formats(formats: Sequence[str], *, settings: TargetSettings, sites: Sequence[str] = ()) -> None:
    """Ask for all that lists need beside the stars.

    Parameters
    ----------
    formats : sequence of str
        Names of formats.
    settings : TargetSettings
        What the observatories ask for.
    sites : sequence of str, optional
        Sites of the windows, where they are known.

    Raises
    ------
    SettingsError
        If a format is unknown, a setting without a default is unset, ESO's site is another one, or mocpy is missing.
    """
    for name in formats:
        _format(name)
    if "eso" in formats:
        require_eso_site(settings.eso, sites)
    if "4most" in formats:
        require_fourmost(settings.fourmost)
    if "moc" in formats:
        require_mocpy()


def _format(name: str) -> _Format:
    if name not in _FORMATS:
        msg = f"there is no format {name!r} of target lists: choose from {', '.join(FORMATS)}"
        raise SettingsError(msg)
    return _FORMATS[name]


def _refuse_simulated(stars: Sequence[TargetStar], *, allowed: bool) -> None:
    simulated = [star.id for star in stars if star.simulated]
    if simulated and not allowed:
        msg = (
            f"{len(simulated)} of the targets, such as {simulated[0]}, are simulated, and no telescope should look for "
            "them: take a run of observed stars, or insist with --even-simulated"
        )
        raise SettingsError(msg)


def _write_left_out(path: Path, left: Sequence[LeftOut], *, simulated: bool) -> Path:
    table = Table(
        {name: np.array([getattr(item, name) for item in left], dtype=str) for name in ("id", "format", "reason")}
    )
    if simulated:
        table.meta["warning"] = SIMULATED
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    with written_whole(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    return path


def read_target_list(path: Path | str, name: str) -> QTable:
    """Read a target list back.

    Parameters
    ----------
    path : `~pathlib.Path` or str
        File.
    name : str
        One of `FORMATS`.

    Returns
    -------
    `~astropy.table.QTable`
        The stars, with what the format holds of them; of a MOC its cells.

    Raises
    ------
    InputFormatError
        If the file breaks the format.
    SettingsError
        If there is no such format.
    """
    return _format(name).read(Path(path))


def check_target_list(path: Path | str, name: str) -> None:
    """Check a target list against the schema of its format.

    Parameters
    ----------
    path : `~pathlib.Path` or str
        File.
    name : str
        One of `FORMATS`.

    Raises
    ------
    InputFormatError
        If the file breaks the format; the message names file, place, field and remedy.
    SettingsError
        If there is no such format.
    """
    _format(name).check(Path(path))
