"""Taking light curves into the store: files that came from a server, or those in a folder of the user.

Every function here may be stopped at any moment. What was taken in stays, and the next call goes on: a file is
removed only after the store holds its light curve, and the store changes in one step.
"""

import hashlib
import itertools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cbminer.errors import ArchiveError
from cbminer.survey.cache import ArchiveCache
from cbminer.survey.manifest import Entry, Manifest
from cbminer.survey.star_names import StarNames, Stars, find_names, name_list, star_names
from cbminer.survey.store import Band, LightCurveStore
from cbminer.survey.store_writer import SourceFile, StoreWriter
from cbminer.survey.tarball import CurveMember, TarLimits, read_tarball

__all__ = [
    "BULK_FILE",
    "Curve",
    "FolderChanges",
    "bulk_name",
    "file_state",
    "folder_changes",
    "galaxy_of_star",
    "light_curve_name",
    "listed_stars",
    "take_files",
    "take_folder",
    "take_tarball",
]

# All light curves of a Cloud in one file, in both bands.
BULK_FILE = "phot.tar.gz"

Curve = tuple[str, Band]
Advance = Callable[[int], None]

_BANDS: tuple[Band, ...] = ("I", "V")
# Light curves that enter a store of a folder in one step: what Ctrl-C may cost.
_STEP = 4096
# Time of a file that could not be read: no file has it, so that the next call tries again.
_NO_TIME = -1
_GALAXY = re.compile(r"[A-Za-z0-9]+-(LMC|SMC)-")
_FILE = re.compile(r"([A-Za-z0-9]+(?:-[A-Za-z0-9]+)*-\d+)\.dat")


def light_curve_name(galaxy: str, star: str, band: str) -> str:
    """Path of a light curve in an archive.

    Parameters
    ----------
    galaxy : {"LMC", "SMC"}
        The Cloud.
    star, band : str
        Star and band.

    Returns
    -------
    str
        For instance ``lmc/ecl/phot/I/OGLE-LMC-ECL-00001.dat``.
    """
    return f"{galaxy.lower()}/ecl/phot/{band}/{star}.dat"


def galaxy_of_star(star: str) -> str:
    """Tell the Cloud of a star by its name.

    Parameters
    ----------
    star : str
        Identifier, for instance ``OGLE-LMC-ECL-00001``.

    Returns
    -------
    str
        The Cloud, or an empty string.
    """
    match = _GALAXY.match(star)
    return match[1] if match else ""


def bulk_name(galaxy: str) -> str:
    """Path of the file of all light curves in an archive.

    Parameters
    ----------
    galaxy : {"LMC", "SMC"}
        The Cloud.

    Returns
    -------
    str
        For instance ``lmc/ecl/phot.tar.gz``.
    """
    return f"{galaxy.lower()}/ecl/{BULK_FILE}"


def file_state(path: Path) -> str:
    """Tell the state of a file of the user: while it stays the same, the file is taken to be unchanged.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.

    Returns
    -------
    str
        Bytes, and time of the last change.
    """
    state = path.stat()
    return f"{state.st_size} {state.st_mtime_ns}"


def take_files(cache: ArchiveCache, galaxy: str, manifest: Manifest) -> int:
    """Take in the light curves that came as single files, and remove the files.

    A file that the manifest does not vouch for is removed unread. The caller holds the lock.

    Parameters
    ----------
    cache : ArchiveCache
        What is kept of the archive.
    galaxy : {"LMC", "SMC"}
        The Cloud.
    manifest : Manifest
        Its manifest.

    Returns
    -------
    int
        Light curves that were taken in.
    """
    taken: list[tuple[Path, Entry]] = []
    store = cache.store(galaxy)
    came = list(_came(cache.folder(galaxy) / "phot"))
    known_files = _stored_hashes(store, came)
    with StoreWriter(cache.store_folder(galaxy)) as writer:
        for path, star, band in came:
            entry = manifest.get(light_curve_name(galaxy, star, band))
            data = path.read_bytes()
            if entry is None or not _vouches(entry, data):
                path.unlink()
                continue
            if known_files.get((star, band)) != entry.sha256 or entry.state != "stored":
                writer.add(SourceFile(star, band, data))
            taken.append((path, entry))
    manifest.put(*(replace(entry, state="stored") for _, entry in taken))
    for path, _ in taken:
        path.unlink()
    return len(taken)


def _vouches(entry: Entry, data: bytes) -> bool:
    return entry.state != "absent" and entry.size == len(data) and entry.sha256 == hashlib.sha256(data).hexdigest()


def _stored_hashes(store: LightCurveStore, came: Sequence[tuple[Path, str, Band]]) -> dict[tuple[str, Band], str]:
    """Hashes of the text files of light curves that the store has already."""
    found: dict[tuple[str, Band], str] = {}
    for band in _BANDS:
        stars = [star for _, star, of_band in came if of_band == band]
        sources = store.sources(stars, band)
        found |= {(star, band): file.sha256 for star, file in zip(stars, sources, strict=True) if file is not None}
    return found


def _came(folder: Path) -> Iterator[tuple[Path, str, Band]]:
    for band in _BANDS:
        for star in name_list(_listing(folder / band)):
            yield folder / band / f"{star}.dat", star, band


def _listing(folder: Path) -> StarNames:
    """List the stars with a light-curve file in a folder, sorted; none if there is no such folder."""
    try:
        with os.scandir(folder) as items:
            return np.sort(star_names(match[1] for item in items if (match := _FILE.fullmatch(item.name))))
    except (FileNotFoundError, NotADirectoryError):
        return star_names(())
    except OSError as error:
        msg = f"{folder} cannot be read: {error.strerror}"
        raise ArchiveError(msg) from error


def listed_stars(folder: Path, band: Band) -> StarNames:
    """List the stars that have a light-curve file in a folder.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder that holds phot.
    band : {"I", "V"}
        The band.

    Returns
    -------
    `~numpy.ndarray`
        Identifiers as bytes (dtype S), sorted.
    """
    return _listing(folder / "phot" / band)


@dataclass(frozen=True)
class FolderChanges:
    """How a folder of the user differs from the store that was made of it.

    Attributes
    ----------
    folder : `~pathlib.Path`
        Folder with phot/I and phot/V.
    add : dict of str to `~numpy.ndarray`
        By band: stars whose light curves are new or changed.
    drop : dict of str to `~numpy.ndarray`
        By band: stars whose light curves are gone.
    """

    folder: Path
    add: dict[Band, StarNames]
    drop: dict[Band, StarNames]

    @property
    def n_add(self) -> int:
        """Number of light curves that are new or changed."""
        return sum(map(len, self.add.values()))

    @property
    def n_drop(self) -> int:
        """Number of light curves that are gone."""
        return sum(map(len, self.drop.values()))


def folder_changes(
    folder: Path, store: LightCurveStore, stars: Stars, *, bands: Sequence[Band] = ("I",)
) -> FolderChanges:
    """Compare the light curves of a folder with a store, by size and time of the last change.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder with phot/I and phot/V.
    store : LightCurveStore
        Store that was made of it.
    stars : iterable of str, or `~numpy.ndarray` of bytes
        Stars that are of interest.
    bands : sequence of {"I", "V"}, optional
        Bands that are of interest.

    Returns
    -------
    FolderChanges
        What has to be done.
    """
    changes = FolderChanges(folder, {}, {})
    wanted = star_names(stars)
    for band in bands:
        place = folder / "phot" / band
        is_listed = find_names(_listing(place), wanted) >= 0
        known = store.states(wanted, band)
        found = np.full_like(known, -2)
        files = (f"{place}{os.sep}{star}.dat" for star in name_list(wanted[is_listed]))
        found[is_listed] = np.fromiter(map(_size_and_time, files), dtype=(np.int64, 2))
        changes.add[band] = wanted[is_listed & (found != known).any(axis=1)]
        # Light curves that did not come from a file of their own stay.
        changes.drop[band] = wanted[~is_listed & (known[:, 1] != 0)]
    return changes


def take_folder(store_folder: Path, changes: FolderChanges, *, advance: Advance | None = None) -> None:
    """Bring a store up to date with a folder. The caller holds the lock.

    Parameters
    ----------
    store_folder : `~pathlib.Path`
        Folder of the store.
    changes : FolderChanges
        What has to be done.
    advance : callable, optional
        Called with the light curves that were taken in since the last call.
    """
    if changes.n_drop:
        with StoreWriter(store_folder) as writer:
            writer.drop((star, band) for band, stars in changes.drop.items() for star in name_list(stars))
    curves = ((star.decode(), band) for band, stars in changes.add.items() for star in stars)
    while step := list(itertools.islice(curves, _STEP)):
        with StoreWriter(store_folder) as writer:
            for star, band in step:
                writer.add(_source_file(star, band, changes.folder / "phot" / band / f"{star}.dat"))
                if advance is not None:
                    advance(1)


def _source_file(star: str, band: Band, path: Path) -> SourceFile:
    name = f"phot/{band}/{path.name}"
    try:
        # The time is taken before the bytes: a file that changes in between is taken in again by the next call.
        _, changed = _size_and_time(path)
        if path.exists() and not (path.is_file() or path.is_dir()):
            return SourceFile(star, band, b"", _NO_TIME, f"{name} is no plain file")
        return SourceFile(star, band, path.read_bytes(), changed)
    except OSError as error:
        return SourceFile(star, band, b"", _NO_TIME, f"{name} cannot be read: {error.strerror}")


def _size_and_time(path: str | Path) -> tuple[int, int]:
    """Size of a file and time of its last change in ns, which is never 0."""
    try:
        # For all files of a survey a path object of each would take longer than the call.
        state = os.stat(path)  # noqa: PTH116
    except OSError:
        return 0, 0
    return state.st_size, state.st_mtime_ns or 1


def take_tarball(
    cache: ArchiveCache,
    path: Path,
    *,
    galaxies: Sequence[str],
    limits: TarLimits | None = None,
    advance: Advance | None = None,
) -> None:
    """Take in the light curves of a tarball: all of them, or none if it is damaged. The caller holds the lock.

    Parameters
    ----------
    cache : ArchiveCache
        What is kept of the archive.
    path : `~pathlib.Path`
        The tarball, packed with gzip or not.
    galaxies : sequence of str
        Clouds whose light curves are taken in.
    limits : TarLimits, optional
        How much it may hold.
    advance : callable, optional
        Called with the bytes of the file read since the last call.

    Raises
    ------
    ArchiveError
        If it is damaged, cut off or unsafe.
    """
    with ExitStack() as stack:
        writers: dict[str, StoreWriter] = {}
        for member in read_tarball(path, limits=limits, advance=advance):
            galaxy = galaxy_of_star(member.star) if isinstance(member, CurveMember) else ""
            if not isinstance(member, CurveMember) or galaxy not in galaxies:
                continue
            if galaxy not in writers:
                writers[galaxy] = stack.enter_context(StoreWriter(cache.store_folder(galaxy)))
            writers[galaxy].add(SourceFile(member.star, member.band, member.data))
