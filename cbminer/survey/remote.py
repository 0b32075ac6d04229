"""A server in the layout of OGLE's collection, with everything that came from it in the cache."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import httpx

from cbminer.errors import ArchiveError
from cbminer.monitor import Monitor
from cbminer.survey.cache import CLOUDS, ArchiveCache, Damage
from cbminer.survey.content import fault_of_light_curve, fault_of_table, fault_of_tarball
from cbminer.survey.download import WAYS_OUT, Fetcher, FetchSettings, Job
from cbminer.survey.intake import (
    BULK_FILE,
    Curve,
    bulk_name,
    light_curve_name,
    listed_stars,
    take_files,
    take_tarball,
)
from cbminer.survey.manifest import Entry, Manifest
from cbminer.survey.mock import is_mock_folder
from cbminer.survey.ogle import CATALOGUE_FILES, REQUIRED_FILES, CatalogueReading
from cbminer.survey.part import Part, sha256_of
from cbminer.survey.star_names import StarNames, Stars, name_list, names_without, star_names
from cbminer.survey.store import Band, LightCurveStore
from cbminer.survey.tarball import TarLimits, read_tarball

__all__ = ["BANDS", "PlannedFile", "RemoteArchive"]

BANDS: tuple[Band, ...] = ("I", "V")
_ROTTEN = "its bytes are not those that came: mend it with: cbminer cache repair"
_MEGABYTE = 1_000_000
# Files whose sizes are asked for one by one, by a client that is paced.
_ASKED_AT_MOST = 600


@dataclass(frozen=True)
class PlannedFile:
    """A file that fetching would bring.

    Attributes
    ----------
    name : str
        Path in the archive.
    state : {"wanted", "there", "absent"}
        To be fetched; in the cache; or not on the server.
    size : int or None
        Bytes of the whole file, None if unknown.
    have : int
        Bytes of it that came already.
    """

    name: str
    state: Literal["wanted", "there", "absent"]
    size: int | None = None
    have: int = 0


class RemoteArchive:
    """OGLE's server, or a mirror of it.

    Parameters
    ----------
    base_url : str
        Address of the folder that holds ``lmc/ecl`` and ``smc/ecl``.
    cache : ArchiveCache
        Where files are kept.
    settings : FetchSettings, optional
        How to fetch.
    offline : bool, optional
        Whether the server is never asked: what the cache lacks counts as absent.
    transport : `httpx.BaseTransport`, optional
        Transport to use instead of the network.
    """

    is_local = False

    def __init__(
        self,
        base_url: str,
        cache: ArchiveCache,
        *,
        settings: FetchSettings | None = None,
        offline: bool = False,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.base_url = base_url
        self.cache = cache
        self.settings = settings or FetchSettings()
        self.offline = offline
        self._transport = transport

    @property
    def location(self) -> str:
        """The address, without a password."""
        return self.cache.location

    def place(self, galaxy: str) -> str:
        """Address of the folder of a Cloud.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.

        Returns
        -------
        str
            The address, without a slash at its end.
        """
        return f"{self.location}{galaxy.lower()}/ecl"

    @contextmanager
    def _fetching(self) -> Iterator[tuple[Fetcher, Manifest]]:
        with self.cache.manifest() as manifest:
            fetcher = Fetcher(
                self.base_url,
                self.cache.incoming,
                manifest=manifest,
                settings=self.settings,
                transport=self._transport,
            )
            try:
                yield fetcher, manifest
            finally:
                fetcher.close()

    def catalogue_folder(self, galaxy: str, *, monitor: Monitor | None = None) -> Path:
        """Fetch the catalogue files of a Cloud that are not in the cache yet.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.
        monitor : Monitor, optional
            Told of the progress.

        Returns
        -------
        `~pathlib.Path`
            Folder of the cache that holds them, each with the bytes that came.

        Raises
        ------
        ArchiveError
            If the server cannot be reached or lacks a file that is needed, or a file in the cache is damaged.
        """
        if not self._catalogue_is_there(galaxy):
            with self.cache.locked(monitor):
                self._fetch_catalogue(galaxy, monitor or Monitor())
        return self.cache.folder(galaxy)

    def _catalogue_is_there(self, galaxy: str) -> bool:
        with self.cache.manifest() as manifest:
            there = not self._catalogue_wanted(galaxy, manifest)
            for entry in self._catalogue_entries(galaxy, manifest):
                self._refuse_rotten(entry)
        if self.offline and not there:
            required = [self.cache.folder(galaxy) / name for name in REQUIRED_FILES]
            lacking = next((path for path in required if not path.is_file()), None)
            if lacking is not None:
                msg = f"{lacking} is not in the cache, and the server is not to be asked: leave out --offline"
                raise ArchiveError(msg)
            return True
        return there

    def _catalogue_wanted(self, galaxy: str, manifest: Manifest) -> list[str]:
        """Catalogue files that neither came nor are known to be absent."""
        names = [f"{galaxy.lower()}/ecl/{name}" for name in CATALOGUE_FILES]
        return [name for name in names if not self._is_settled(manifest.get(name))]

    def _is_settled(self, entry: Entry | None) -> bool:
        if entry is None:
            return False
        if entry.state == "absent":
            # A file that is needed is asked for again: the server may have been mended.
            return not entry.name.endswith(REQUIRED_FILES)
        return (self.cache.root / entry.name).is_file()

    def _catalogue_entries(self, galaxy: str, manifest: Manifest) -> Iterator[Entry]:
        for name in CATALOGUE_FILES:
            entry = manifest.get(f"{galaxy.lower()}/ecl/{name}")
            if entry is not None and entry.state == "file":
                yield entry

    def _refuse_rotten(self, entry: Entry) -> None:
        path = self.cache.root / entry.name
        if path.is_file() and sha256_of(path) != entry.sha256:
            msg = f"{path} is damaged, {_ROTTEN}"
            raise ArchiveError(msg)

    def _fetch_catalogue(self, galaxy: str, monitor: Monitor) -> None:
        with self._fetching() as (fetcher, manifest):
            wanted = self._catalogue_wanted(galaxy, manifest)
            jobs = [(name, self.cache.root / name) for name in wanted]
            with monitor.transfer(f"fetching the {galaxy} catalogue", files=len(jobs), size=None) as telling:
                fetcher.fetch_many(jobs, check=fault_of_table, monitor=telling)
            for name in REQUIRED_FILES:
                path = f"{galaxy.lower()}/ecl/{name}"
                entry = manifest.get(path)
                if entry is not None and entry.state == "absent":
                    # The next call asks again: the address may have been put right, or the server mended.
                    manifest.forget(path)
                    msg = f"{self.location} has no {path}: check the address. {WAYS_OUT}"
                    raise ArchiveError(msg)

    def catalogue(self, galaxy: str, *, strict: bool = False, monitor: Monitor | None = None) -> CatalogueReading:
        """Read the catalogue of a Cloud, fetched first if need be.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.
        strict : bool, optional
            Whether a malformed line is an error.
        monitor : Monitor, optional
            Told of the progress.

        Returns
        -------
        CatalogueReading
            The stars and what was set aside.

        Raises
        ------
        ArchiveError, InputFormatError
            If a file cannot be had, or is malformed.
        """
        return self.cache.catalogue(self.catalogue_folder(galaxy, monitor=monitor), galaxy, strict=strict)

    def light_curves(
        self,
        galaxy: str,
        stars: Stars,
        *,
        bands: Sequence[Band] = ("I",),
        monitor: Monitor | None = None,
    ) -> LightCurveStore:
        """Fetch the light curves of stars that are not in the store yet, and open it.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.
        stars : iterable of str, or `~numpy.ndarray` of bytes
            Stars that are needed.
        bands : sequence of {"I", "V"}, optional
            Bands that are needed.
        monitor : Monitor, optional
            Told of the progress.

        Returns
        -------
        LightCurveStore
            The store.

        Raises
        ------
        ArchiveError
            If the server stops answering, or what it sends is damaged; what has come so far is kept.
        """
        wanted = star_names(stars)
        if self.offline:
            if self._has_come(galaxy):
                with self.cache.locked(monitor), self.cache.manifest() as manifest:
                    self._take_what_came(galaxy, manifest, monitor or Monitor())
        elif self._missing(galaxy, wanted, bands):
            with self.cache.locked(monitor), self._fetching() as (fetcher, manifest):
                self._take_what_came(galaxy, manifest, monitor or Monitor())
                missing = self._missing(galaxy, wanted, bands)
                if missing:
                    self._fetch_curves(galaxy, missing, fetcher, manifest, monitor or Monitor())
        return self.cache.store(galaxy)

    def _missing(self, galaxy: str, stars: StarNames, bands: Sequence[Band]) -> list[Curve]:
        """Light curves that are neither stored nor known to be absent."""
        store = self.cache.store(galaxy)
        lacking = {band: stars[~store.has(stars, band)] for band in bands}
        if not any(map(len, lacking.values())):
            return []
        with self.cache.manifest() as manifest:
            # Whatever the file of all light curves did not hold, the server does not have.
            entry = manifest.get(bulk_name(galaxy))
            if entry is not None and entry.state == "stored" and len(store):
                return []
            absent = {entry.name for entry in manifest.entries(state="absent", under=f"{galaxy.lower()}/")}
        return [
            (star, band)
            for band, names in lacking.items()
            for star in name_list(names)
            if light_curve_name(galaxy, star, band) not in absent
        ]

    def _has_come(self, galaxy: str) -> bool:
        """Whether light curves came that are not in the store yet."""
        folder = self.cache.folder(galaxy)
        return (folder / BULK_FILE).is_file() or any(len(listed_stars(folder, band)) for band in BANDS)

    def _take_what_came(self, galaxy: str, manifest: Manifest, monitor: Monitor) -> None:
        """Take in what an earlier process had fetched, but not stored."""
        take_files(self.cache, galaxy, manifest)
        entry = manifest.get(bulk_name(galaxy))
        if entry is not None and entry.state == "file" and (self.cache.root / entry.name).is_file():
            self._take_bulk(galaxy, entry, manifest, monitor)

    def _fetch_curves(
        self, galaxy: str, curves: Sequence[Curve], fetcher: Fetcher, manifest: Manifest, monitor: Monitor
    ) -> None:
        n_stars = len({star for star, _ in curves})
        if n_stars > self.settings.bulk_above and self._fetch_bulk(galaxy, fetcher, manifest, monitor):
            return
        self._fetch_singles(galaxy, curves, fetcher, manifest, monitor)
        # A server that has given no single file may have them all in one.
        folder = f"{galaxy.lower()}/ecl/phot/"
        if not any(entry.state != "absent" for entry in manifest.entries(under=folder)):
            names = [light_curve_name(galaxy, *curve) for curve in curves]
            manifest.forget(*names)
            if not self._fetch_bulk(galaxy, fetcher, manifest, monitor):
                manifest.put(*(Entry(name, fetcher.url(name), state="absent") for name in names))

    def _fetch_singles(
        self, galaxy: str, curves: Sequence[Curve], fetcher: Fetcher, manifest: Manifest, monitor: Monitor
    ) -> None:
        what = f"fetching {galaxy} light curves"
        largest = int(self.settings.largest_light_curve * _MEGABYTE)
        with monitor.transfer(what, files=len(curves), size=None) as telling:
            for first in range(0, len(curves), self.settings.batch):
                names = [light_curve_name(galaxy, *curve) for curve in curves[first : first + self.settings.batch]]
                jobs = [Job(name, self.cache.root / name, fault_of_light_curve, largest) for name in names]
                fetcher.fetch_many(jobs, monitor=telling)
                take_files(self.cache, galaxy, manifest)

    def _fetch_bulk(self, galaxy: str, fetcher: Fetcher, manifest: Manifest, monitor: Monitor) -> bool:
        """Fetch the file of all light curves and take it in; False if the server has none."""
        name = bulk_name(galaxy)
        remote = fetcher.ask(name)
        if remote is None:
            return False
        with monitor.transfer(f"fetching {galaxy} light curves", files=1, size=remote.size) as telling:
            entry = fetcher.fetch(name, self.cache.root / name, check=fault_of_tarball, monitor=telling)
        if entry is None:
            return False
        self._take_bulk(galaxy, entry, manifest, monitor)
        return True

    def _take_bulk(self, galaxy: str, entry: Entry, manifest: Manifest, monitor: Monitor) -> None:
        path = self.cache.root / entry.name
        limits = TarLimits(
            member_bytes=int(self.settings.largest_light_curve * _MEGABYTE),
            total_bytes=int(self.settings.largest_bulk * _MEGABYTE),
        )
        try:
            with monitor.step(f"storing {galaxy} light curves", entry.size) as advance:
                take_tarball(self.cache, path, galaxies=(galaxy,), limits=limits, advance=advance)
        except ArchiveError:
            # The disk may be full, and the file good. If it is not, another try needs its bytes anew.
            if not _is_sound(path, limits):
                manifest.forget(entry.name)
                path.unlink(missing_ok=True)
            raise
        # So that a later loss can be told from what the server never had.
        manifest.state_fact(f"curves {galaxy}", str(len(self.cache.store(galaxy))))
        manifest.put(replace(entry, state="stored"))
        path.unlink(missing_ok=True)

    def light_curve_stars(self, galaxy: str) -> list[str]:
        """Stars whose I light curves are in the store, sorted.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.

        Returns
        -------
        list of str
            Identifiers.
        """
        return self.cache.store(galaxy).stars("I")

    def spare_light_curves(self, galaxy: str, ids: Stars) -> list[str]:
        """Stars whose I light curves are in the store, but which are not among others.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.
        ids : iterable of str, or `~numpy.ndarray` of bytes
            The others: all stars of the catalogue.

        Returns
        -------
        list of str
            Identifiers, sorted.
        """
        return name_list(names_without(self.cache.store(galaxy).names("I"), star_names(ids)))

    def is_mock(self, galaxy: str) -> bool:
        """Tell by the names of its stars whether the server gives simulated ones.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.

        Returns
        -------
        bool
            True for a simulated survey; False as long as its catalogue is not in the cache.
        """
        return is_mock_folder(self.cache.folder(galaxy))

    def plan(self, galaxy: str, *, catalogue: bool = True, light_curves: bool = True) -> list[PlannedFile]:
        """Say what `catalogue` and `light_curves` of all stars would fetch, without fetching it.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.
        catalogue, light_curves : bool, optional
            Whether the catalogue and the light curves are wanted.

        Returns
        -------
        list of PlannedFile
            Files with their sizes as the server states them. As long as the catalogue is not in the cache, nothing is
            known of single light curves.

        Raises
        ------
        ArchiveError
            If the server cannot be asked.
        """
        folder = f"{galaxy.lower()}/ecl"
        with self._fetching() as (fetcher, manifest):
            names = [f"{folder}/{name}" for name in CATALOGUE_FILES] if catalogue else []
            planned = [self._planned(name, fetcher, manifest) for name in names]
            if light_curves:
                planned += self._planned_curves(galaxy, fetcher, manifest)
        return planned

    def _planned(self, name: str, fetcher: Fetcher, manifest: Manifest) -> PlannedFile:
        entry = manifest.get(name)
        if entry is not None and self._is_settled(entry):
            return PlannedFile(name, "absent" if entry.state == "absent" else "there", entry.size, entry.size)
        remote = fetcher.ask(name)
        if remote is None:
            return PlannedFile(name, "absent")
        part = Part(self.cache.incoming / f"{name}.part")
        have = part.size if part.remote is not None and part.remote.agrees(remote) else 0
        return PlannedFile(name, "wanted", remote.size, have)

    def _planned_curves(self, galaxy: str, fetcher: Fetcher, manifest: Manifest) -> list[PlannedFile]:
        bulk = bulk_name(galaxy)
        entry = manifest.get(bulk)
        if entry is not None and entry.state == "stored" and len(self.cache.store(galaxy)):
            return [PlannedFile(bulk, "there", entry.size, entry.size)]
        stars = self._stars_in_cache(galaxy)
        missing = self._missing(galaxy, stars, BANDS)
        if len(stars) and not missing:
            return []
        many = not len(stars) or len({star for star, _ in missing}) > self.settings.bulk_above
        whole = self._planned(bulk, fetcher, manifest) if many else None
        if whole is not None and (whole.state == "wanted" or not len(stars)):
            return [whole]
        names = [light_curve_name(galaxy, *curve) for curve in missing]
        if len(names) > _ASKED_AT_MOST:
            return [PlannedFile(name, "wanted") for name in names]
        return [self._planned(name, fetcher, manifest) for name in names]

    def _stars_in_cache(self, galaxy: str) -> StarNames:
        folder = self.cache.folder(galaxy)
        if not all((folder / name).is_file() for name in REQUIRED_FILES):
            return star_names(())
        return self.cache.catalogue(folder, galaxy).ids()

    def repair(self, *, monitor: Monitor | None = None) -> Iterator[str]:
        """Fetch again what is damaged in the cache, and nothing else. What needs no server is mended first.

        Parameters
        ----------
        monitor : Monitor, optional
            Told of the progress.

        Yields
        ------
        str
            What was done, a sentence each.

        Raises
        ------
        ArchiveError
            The first error, after everything was tried. What is whole stays as it is.
        """
        telling = monitor or Monitor()
        failed: list[ArchiveError] = []
        with self.cache.locked(monitor), self._fetching() as (fetcher, manifest):
            damages = list(self.cache.damages())
            for damage in damages:
                if damage.kind == "index":
                    yield self._repair_index(damage.galaxy, manifest)
            errands: list[Callable[[], str]] = [
                partial(self._repair_file, damage, fetcher, manifest, telling)
                for damage in damages
                if damage.kind == "file"
            ]
            errands += [partial(self._repair_parts, galaxy, fetcher, manifest, telling) for galaxy in CLOUDS]
            for errand in errands:
                try:
                    done = errand()
                except ArchiveError as error:
                    failed.append(error)
                else:
                    if done:
                        yield done
        if failed:
            raise failed[0]

    def _repair_file(self, damage: Damage, fetcher: Fetcher, manifest: Manifest, monitor: Monitor) -> str:
        target = self.cache.root / damage.name
        check = fault_of_tarball if damage.name == bulk_name(damage.galaxy) else fault_of_table
        with monitor.transfer(f"fetching {damage.name}", files=1, size=None) as telling:
            entry = fetcher.fetch(damage.name, target, check=check, monitor=telling, again=True)
        if entry is None:
            manifest.forget(damage.name)
            return f"{damage.name}: damaged, and the server does not have it any more"
        return f"{damage.name}: fetched again, {entry.size:,} bytes"

    def _repair_index(self, galaxy: str, manifest: Manifest) -> str:
        n_curves, n_lost = self.cache.rebuild_index(galaxy)
        if n_lost or n_curves < int(manifest.fact(f"curves {galaxy}") or 1):
            # The next run must not take for absent what is lost.
            manifest.forget(bulk_name(galaxy))
        lost = f"; {n_lost} damaged parts left out, whose light curves the next run fetches" if n_lost else ""
        return f"{galaxy}: index made anew of {n_curves:,} light curves{lost}"

    def _repair_parts(self, galaxy: str, fetcher: Fetcher, manifest: Manifest, monitor: Monitor) -> str:
        """Fetch the light curves of damaged parts again. The parts stay until their light curves have come."""
        lost = self.cache.salvage(galaxy)
        if not lost:
            return ""
        self._fetch_curves(galaxy, lost, fetcher, manifest, monitor)
        still = self.cache.drop_damaged(galaxy)
        came = f"{galaxy}: {len(lost) - len(still):,} light curves fetched again"
        gone = ", ".join(sorted(star for star, _ in still)[:3])
        return came + (f"; {len(still)} are not on the server any more ({gone} ...)" if still else "")

    def ask_again(self, galaxy: str) -> int:
        """Forget which files the server did not have, so that they are asked for again.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.

        Returns
        -------
        int
            Files that were forgotten.
        """
        with self.cache.locked(), self.cache.manifest() as manifest:
            names = [entry.name for entry in manifest.entries(state="absent", under=f"{galaxy.lower()}/")]
            manifest.forget(*names)
        return len(names)


def _is_sound(path: Path, limits: TarLimits) -> bool:
    try:
        return all(True for _ in read_tarball(path, limits=limits))
    except ArchiveError:
        return False
