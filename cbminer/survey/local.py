"""A folder of the user in the layout of OGLE's collection. Nothing in it is ever changed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cbminer.errors import ArchiveError
from cbminer.monitor import Monitor
from cbminer.survey.cache import ArchiveCache
from cbminer.survey.intake import (
    BULK_FILE,
    file_state,
    folder_changes,
    listed_stars,
    take_folder,
    take_tarball,
)
from cbminer.survey.mock import is_mock_folder
from cbminer.survey.ogle import CatalogueReading
from cbminer.survey.star_names import StarNames, Stars, name_list, names_without, star_names
from cbminer.survey.store import Band, LightCurveStore
from cbminer.survey.store_writer import StoreWriter

__all__ = ["LocalArchive"]


@dataclass(frozen=True)
class LocalArchive:
    """A folder in the layout of OGLE's collection.

    Parameters
    ----------
    root : `~pathlib.Path`
        Folder that holds ``lmc/ecl`` or ``smc/ecl``, the folder ``lmc`` or ``smc`` itself, or an ``ecl`` folder.
    cache : ArchiveCache
        Place of the store that is made of it.
    is_local : bool
        Always True.
    """

    root: Path
    cache: ArchiveCache
    is_local: bool = True

    @property
    def location(self) -> str:
        """The folder, as given."""
        return str(self.root)

    def place(self, galaxy: str) -> str:
        """Folder of a Cloud.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.

        Returns
        -------
        str
            The folder.
        """
        return str(self._folder(galaxy, ("ident.dat", "phot", BULK_FILE)))

    def catalogue_folder(self, galaxy: str, *, monitor: Monitor | None = None) -> Path:
        """Folder with the catalogue files of a Cloud.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.
        monitor : Monitor, optional
            Not told of anything.

        Returns
        -------
        `~pathlib.Path`
            The folder that holds ident.dat.

        Raises
        ------
        ArchiveError
            If no such folder is there.
        """
        del monitor
        return self._folder(galaxy, ("ident.dat",))

    def _folder(self, galaxy: str, contents: Sequence[str]) -> Path:
        """Find the folder of a Cloud, which holds one of these."""
        name = galaxy.lower()
        if not self.root.is_dir():
            msg = f"{self.root} is not a folder: --archive takes a folder in OGLE's layout ({name}/ecl/ident.dat ...)"
            raise ArchiveError(msg)
        for folder in (self.root / name / "ecl", self.root / "ecl", self.root):
            if any((folder / content).exists() for content in contents):
                return folder
        msg = f"{self.root} holds no {name}/ecl/{contents[0]}: --archive takes a folder in OGLE's layout"
        raise ArchiveError(msg)

    def catalogue(self, galaxy: str, *, strict: bool = False, monitor: Monitor | None = None) -> CatalogueReading:
        """Read the catalogue of a Cloud.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.
        strict : bool, optional
            Whether a malformed line is an error.
        monitor : Monitor, optional
            Not told of anything.

        Returns
        -------
        CatalogueReading
            The stars and what was set aside.

        Raises
        ------
        ArchiveError, InputFormatError
            If a file is missing or malformed.
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
        """Bring the store up to date with the folder, and open it.

        Light curves are read from phot/I and phot/V and, where the folder holds it, from phot.tar.gz.

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
            If the store cannot be written, or phot.tar.gz is damaged.
        """
        folder, wanted = Path(self.place(galaxy)), star_names(stars)
        store = self.cache.store(galaxy)
        changes = folder_changes(folder, store, wanted, bands=bands)
        if not (changes.n_add or changes.n_drop or self._bulk_is_new(folder, galaxy)):
            return store
        with self.cache.locked(monitor):
            # Another process may have changed the store before it could be locked.
            changes = folder_changes(folder, self.cache.store(galaxy), wanted, bands=bands)
            if changes.n_drop:
                # The tarball may hold what is no longer there as a file.
                with self.cache.manifest() as manifest:
                    manifest.state_fact(f"bulk {galaxy}", "")
            if self._bulk_is_new(folder, galaxy):
                self._take_bulk(folder, galaxy, monitor)
                changes = folder_changes(folder, self.cache.store(galaxy), wanted, bands=bands)
            with (monitor or Monitor()).step(f"storing {galaxy} light curves", changes.n_add) as advance:
                take_folder(self.cache.store_folder(galaxy), changes, advance=advance)
        return self.cache.store(galaxy)

    def _bulk_is_new(self, folder: Path, galaxy: str) -> bool:
        with self.cache.manifest() as manifest:
            return manifest.fact(f"bulk {galaxy}") != _bulk_state(folder)

    def _take_bulk(self, folder: Path, galaxy: str, monitor: Monitor | None) -> None:
        tarball, state = folder / BULK_FILE, _bulk_state(folder)
        store = self.cache.store(galaxy)
        with StoreWriter(self.cache.store_folder(galaxy)) as writer:
            # What came out of an earlier tarball is not in the folder any more.
            writer.drop(store.curves_without_file())
        if state:
            with (monitor or Monitor()).step(f"storing {tarball}", tarball.stat().st_size) as advance:
                take_tarball(self.cache, tarball, galaxies=(galaxy,), advance=advance)
        with self.cache.manifest() as manifest:
            manifest.state_fact(f"bulk {galaxy}", state)

    def light_curve_stars(self, galaxy: str) -> list[str]:
        """Stars whose I light curves are in the folder, sorted.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.

        Returns
        -------
        list of str
            Identifiers; empty where the folder has no light curves.
        """
        return name_list(self._at_hand(galaxy))

    def spare_light_curves(self, galaxy: str, ids: Stars) -> list[str]:
        """Stars whose I light curves are in the folder, but which are not among others.

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
        return name_list(names_without(self._at_hand(galaxy), star_names(ids)))

    def _at_hand(self, galaxy: str) -> StarNames:
        folder = Path(self.place(galaxy))
        listed = listed_stars(folder, "I")
        if not (folder / BULK_FILE).is_file():
            return listed
        return np.union1d(listed, self.cache.store(galaxy).names("I"))

    def is_mock(self, galaxy: str) -> bool:
        """Whether the folder holds a simulated survey.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.

        Returns
        -------
        bool
            True for a simulated survey.
        """
        return any(is_mock_folder(place) for place in (Path(self.place(galaxy)), self.root))

    def repair(self, *, monitor: Monitor | None = None) -> Iterator[str]:
        """Make damaged parts of the store anew from the folder.

        Parameters
        ----------
        monitor : Monitor, optional
            Told of the progress.

        Yields
        ------
        str
            What was done, a sentence a Cloud.

        Raises
        ------
        ArchiveError
            If the folder is gone. The store then stays as it is.
        """
        with self.cache.locked(monitor):
            damages = list(self.cache.damages())
        for galaxy in sorted({damage.galaxy for damage in damages}):
            self.place(galaxy)
            with self.cache.locked(monitor), self.cache.manifest() as manifest:
                if any(damage.kind == "index" and damage.galaxy == galaxy for damage in damages):
                    self.cache.rebuild_index(galaxy)
                self.cache.salvage(galaxy)
                manifest.state_fact(f"bulk {galaxy}", "")
                curves = self.cache.drop_damaged(galaxy)
            stars = sorted({star for star, _ in curves})
            self.light_curves(galaxy, stars, bands=sorted({band for _, band in curves}), monitor=monitor)
            yield f"{galaxy}: {len(curves)} light curves stored again from {self.root}"


def _bulk_state(folder: Path) -> str:
    """State of the file of all light curves; empty if there is none."""
    tarball = folder / BULK_FILE
    return file_state(tarball) if tarball.is_file() else ""
