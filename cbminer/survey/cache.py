"""The cache: what was fetched or taken in of every archive, with a manifest that vouches for it.

::

    CACHE/
      servers/HOST_PATH/        one server: about.json, manifest.sqlite, lock, incoming/
        lmc/ecl/ident.dat ...   catalogue files as they came, and catalogue.parquet made of them
        lmc/ecl/store/          light curves in Parquet
      folders/HASH/             the same for a folder of the user, which keeps its own files
      mock/HASH/                simulated archives
      vizier/                   tables of VizieR and SIMBAD
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from cbminer.errors import ArchiveError
from cbminer.monitor import Monitor
from cbminer.survey.catalogue_store import CATALOGUE_FILE, load_catalogue, save_catalogue
from cbminer.survey.manifest import Manifest
from cbminer.survey.ogle import CATALOGUE_FILES, CatalogueReading, read_catalogue
from cbminer.survey.part import refuse_full_disk, sha256_of, write_whole
from cbminer.survey.store import INDEX_FILE, Band, LightCurveStore
from cbminer.survey.store_writer import StoreWriter, rebuild_index

__all__ = [
    "CLOUDS",
    "OTHER_SECTIONS",
    "ArchiveCache",
    "CacheUse",
    "Damage",
    "clear_cache",
    "find_caches",
    "safe_place",
]

CLOUDS = ("LMC", "SMC")
# What cbminer makes in a cache folder beside archives, and may therefore remove again.
OTHER_SECTIONS = ("mock", "vizier", "phoebe", "fits", "completeness", "unfinished")
_ABOUT = "about.json"


@dataclass(frozen=True)
class Damage:
    """A file of a cache that is not what it should be.

    Attributes
    ----------
    name : str
        Path in the cache of the archive.
    reason : str
        What is wrong with it.
    galaxy : str
        Cloud that it belongs to.
    kind : {"file", "part", "index"}
        A file of the archive, a part of a store, or the index of a store.
    """

    name: str
    reason: str
    galaxy: str
    kind: Literal["file", "part", "index"]


@dataclass(frozen=True)
class CacheUse:
    """What a cache holds of one Cloud."""

    galaxy: str
    n_files: int
    n_curves: dict[str, int]
    size: int
    latest: str


def safe_place(location: str) -> str:
    """Turn an address into the name of a folder.

    Parameters
    ----------
    location : str
        Address of a server.

    Returns
    -------
    str
        Host and path for people, and a hash that tells addresses apart which look alike.
    """
    parts = urlsplit(location)
    words = f"{parts.netloc.rpartition('@')[2]}{parts.path}".strip("/")
    plain = "".join(letter if letter.isalnum() or letter in ".-" else "_" for letter in words)
    return f"{plain[:80]}_{hashlib.sha256(location.encode()).hexdigest()[:8]}"


class ArchiveCache:
    """What is kept of one archive.

    Parameters
    ----------
    root : `~pathlib.Path`
        Folder of the archive in the cache; it is made when something is kept.
    location : str
        Address or folder of the archive.
    """

    def __init__(self, root: Path, location: str) -> None:
        self.root = root
        self.location = location

    @classmethod
    def for_server(cls, cache: Path, base_url: str) -> "ArchiveCache":
        """Find the place of a server.

        Parameters
        ----------
        cache : `~pathlib.Path`
            Folder of the cache.
        base_url : str
            Address.

        Returns
        -------
        ArchiveCache
            What is kept of it.
        """
        return cls(cache / "servers" / safe_place(base_url), base_url)

    @classmethod
    def for_folder(cls, cache: Path, folder: Path) -> "ArchiveCache":
        """Find the place of a folder of the user.

        Parameters
        ----------
        cache : `~pathlib.Path`
            Folder of the cache.
        folder : `~pathlib.Path`
            The folder.

        Returns
        -------
        ArchiveCache
            What is kept of it.
        """
        place = str(folder.resolve())
        return cls(cache / "folders" / hashlib.sha256(place.encode()).hexdigest()[:16], place)

    @property
    def is_server(self) -> bool:
        """Whether the archive is a server, whose files are kept here."""
        return self.root.parent.name == "servers"

    @property
    def incoming(self) -> Path:
        """Folder for files on their way."""
        return self.root / "incoming"

    def folder(self, galaxy: str) -> Path:
        """Folder of a Cloud.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.

        Returns
        -------
        `~pathlib.Path`
            The folder.
        """
        return self.root / galaxy.lower() / "ecl"

    def store_folder(self, galaxy: str) -> Path:
        """Folder of the light curves of a Cloud.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.

        Returns
        -------
        `~pathlib.Path`
            The folder of the store.
        """
        return self.folder(galaxy) / "store"

    def store(self, galaxy: str) -> LightCurveStore:
        """Open the light curves of a Cloud.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.

        Returns
        -------
        LightCurveStore
            The store as it is now; empty if nothing was kept yet.
        """
        return LightCurveStore(self.store_folder(galaxy))

    @contextmanager
    def manifest(self) -> Iterator[Manifest]:
        """Open the manifest for the length of a block.

        Yields
        ------
        Manifest
            The manifest.
        """
        self._make()
        with Manifest(self.root / "manifest.sqlite") as manifest:
            yield manifest

    def _make(self) -> None:
        """Make the folder, and say in it what it is for."""
        about = self.root / _ABOUT
        if about.exists():
            return
        content = json.dumps({"written_by": "cbminer", "location": self.location}, indent=2)
        write_whole(about, f"{content}\n".encode())

    @contextmanager
    def locked(self, monitor: Monitor | None = None) -> Iterator[None]:
        """Keep other processes from changing what is kept of this archive.

        Parameters
        ----------
        monitor : Monitor, optional
            Told if another process has to be waited for.

        Yields
        ------
        None
            While the lock is held. The system frees it when a process ends, however it ends.
        """
        self._make()
        lock = FileLock(self.root / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            (monitor or Monitor()).tell(f"another cbminer is at work in {self.root}; waiting for it to finish")
            lock.acquire()
        except OSError as error:
            raise refuse_full_disk(error, self.root / "lock") from error
        try:
            yield
        finally:
            lock.release()

    def refuse_if_busy(self) -> None:
        """Refuse to go on while another process changes what is kept of this archive.

        Raises
        ------
        ArchiveError
            If one does.
        """
        try:
            with FileLock(self.root / "lock").acquire(timeout=0):
                return
        except Timeout as error:
            msg = f"another cbminer is at work in {self.root}: wait until it has finished"
            raise ArchiveError(msg) from error

    def catalogue(self, folder: Path, galaxy: str, *, strict: bool = False) -> CatalogueReading:
        """Read the catalogue of a Cloud, from Parquet if it was read before.

        Parameters
        ----------
        folder : `~pathlib.Path`
            Folder with the text files.
        galaxy : {"LMC", "SMC"}
            The Cloud.
        strict : bool, optional
            Whether a malformed line is an error.

        Returns
        -------
        CatalogueReading
            The stars and what was set aside.

        Raises
        ------
        InputFormatError
            As `cbminer.survey.ogle.read_catalogue`.
        """
        source = {name: sha256_of(folder / name) for name in CATALOGUE_FILES if (folder / name).is_file()}
        path = self.folder(galaxy) / CATALOGUE_FILE
        reading = load_catalogue(path, source=source)
        if reading is None or (strict and reading.set_aside):
            reading = read_catalogue(folder, galaxy, strict=strict)
            self._make()
            save_catalogue(path, reading, source=source)
            reading = load_catalogue(path, source=source) or reading
        return reading

    def damages(self) -> Iterator[Damage]:
        """Hash everything that is kept and name what is not what it should be.

        Yields
        ------
        Damage
            Files that are missing or changed, Cloud by Cloud.
        """
        with self.manifest() as manifest:
            entries = list(manifest.entries())
        for galaxy in CLOUDS:
            mine = [entry for entry in entries if entry.name.startswith(f"{galaxy.lower()}/")]
            for entry in mine:
                if entry.state == "file":
                    reason = _damage_of(self.root / entry.name, entry.size, entry.sha256)
                    if reason:
                        yield Damage(entry.name, reason, galaxy, "file")
            yield from self._store_damages(galaxy, any(entry.state == "stored" for entry in mine))

    def _store_damages(self, galaxy: str, is_known: bool) -> Iterator[Damage]:  # noqa: FBT001
        folder = self.store_folder(galaxy)
        place = folder.relative_to(self.root)
        if not (folder / INDEX_FILE).exists():
            if is_known or any(folder.glob("part-*")):
                yield Damage(f"{place}/{INDEX_FILE}", "missing", galaxy, "index")
            return
        try:
            store = self.store(galaxy)
        except ArchiveError as error:
            if "newer version" in str(error):
                raise
            yield Damage(f"{place}/{INDEX_FILE}", str(error), galaxy, "index")
            return
        for name in store.damaged_parts():
            lost = len(store.curves_of([name]))
            yield Damage(f"{place}/{name}", f"missing or changed; it holds {lost} light curves", galaxy, "part")

    def salvage(self, galaxy: str) -> list[tuple[str, Band]]:
        """Save what is whole of the damaged parts of a store. The caller holds the lock.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.

        Returns
        -------
        list of (str, str)
            Stars and bands of the light curves that are lost.
        """
        damaged = self.store(galaxy).damaged_parts()
        if not damaged:
            return []
        with StoreWriter(self.store_folder(galaxy)) as writer:
            return [curve for part in damaged for curve in writer.keep_sound(part)]

    def drop_damaged(self, galaxy: str) -> list[tuple[str, Band]]:
        """Take the light curves of damaged parts out of a store. The caller holds the lock.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.

        Returns
        -------
        list of (str, str)
            Stars and bands of the light curves that were taken out.
        """
        store = self.store(galaxy)
        lost = store.curves_of(store.damaged_parts())
        if lost:
            with StoreWriter(self.store_folder(galaxy)) as writer:
                writer.drop(lost)
        return lost

    def rebuild_index(self, galaxy: str) -> tuple[int, int]:
        """Make the index of a store anew from its parts. The caller holds the lock.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.

        Returns
        -------
        n_curves, n_lost : int
            Light curves that are in the index now, and damaged parts that are left out of it.
        """
        self.store_folder(galaxy).mkdir(parents=True, exist_ok=True)
        return rebuild_index(self.store_folder(galaxy))

    def use(self) -> Iterator[CacheUse]:
        """Count what is kept.

        Yields
        ------
        CacheUse
            Files, light curves and bytes, Cloud by Cloud.
        """
        with self.manifest() as manifest:
            entries = list(manifest.entries())
        for galaxy in CLOUDS:
            mine = [entry for entry in entries if entry.name.startswith(f"{galaxy.lower()}/")]
            store = self.store(galaxy)
            files = [entry for entry in mine if entry.state == "file"]
            if not files and not len(store):
                continue
            curves = {"I": len(store.names("I")), "V": len(store.names("V"))}
            size = sum(entry.size for entry in files) + store.size
            yield CacheUse(galaxy, len(files), curves, size, max((entry.fetched for entry in mine), default=""))


def _damage_of(path: Path, size: int, sha256: str) -> str:
    if not path.is_file():
        return "missing"
    if path.stat().st_size != size:
        return f"has {path.stat().st_size} bytes, should have {size}"
    return "" if sha256_of(path) == sha256 else "its bytes have changed since it came"


def find_caches(cache: Path) -> list[ArchiveCache]:
    """Find what is kept of every archive.

    Parameters
    ----------
    cache : `~pathlib.Path`
        Folder of the cache.

    Returns
    -------
    list of ArchiveCache
        Servers first, then folders of the user.
    """
    abouts = [about for section in ("servers", "folders") for about in sorted((cache / section).glob(f"*/{_ABOUT}"))]
    return [ArchiveCache(about.parent, _location(about)) for about in abouts]


def _location(about: Path) -> str:
    try:
        content: Any = json.loads(about.read_text(encoding="utf-8"))
        return str(content["location"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{about} is damaged: remove the folder {about.parent}, or clear the cache with: cbminer cache clear"
        raise ArchiveError(msg) from error


def clear_cache(cache: Path, *, only: ArchiveCache | None = None) -> int:
    """Remove what cbminer has made in a cache, and nothing else.

    Parameters
    ----------
    cache : `~pathlib.Path`
        Folder of the cache.
    only : ArchiveCache, optional
        Remove only what is kept of this archive.

    Returns
    -------
    int
        Bytes that were removed.

    Raises
    ------
    ArchiveError
        If another process is at work there, or something cannot be removed.
    """
    places = (
        [only.root] if only is not None else [cache / section for section in ("servers", "folders", *OTHER_SECTIONS)]
    )
    freed = 0
    abouts = [about for section in ("servers", "folders") for about in (cache / section).glob(f"*/{_ABOUT}")]
    for archive in [only] if only is not None else [ArchiveCache(about.parent, "") for about in abouts]:
        archive.refuse_if_busy()
    for place in places:
        if not place.is_dir():
            continue
        freed += sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
        try:
            shutil.rmtree(place)
        except OSError as error:
            msg = f"{place} cannot be removed ({error.strerror})"
            raise ArchiveError(msg) from error
    return freed
