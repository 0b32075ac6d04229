"""Archives of a survey: a local folder in OGLE's layout, or the web server that holds it.

Both answer the same questions: where is a catalogue file, where is a light curve. Only this module touches the
network, through one httpx transport that tests replace.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx

from cbminer.errors import ArchiveError
from cbminer.survey.mock import MOCK_MARKER
from cbminer.survey.ogle import CATALOGUE_FILES, REQUIRED_FILES

__all__ = ["OGLE_URL", "Archive", "LocalArchive", "RemoteArchive", "is_url", "open_archive"]

OGLE_URL = "https://www.astrouw.edu.pl/ogle/ogle4/OCVS/"
_WAYS_OUT = "Give a copy on disk with --archive PATH, or try the simulated survey with --survey mock"
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
# Two connections at most: the archive is a public service of an observatory.
_CONNECTIONS = 2
_NOT_FOUND = 404

Advance = Callable[[int], None]


class Archive(Protocol):
    """What the pipeline asks of an archive."""

    @property
    def location(self) -> str:
        """Folder or base URL, as given."""

    @property
    def is_local(self) -> bool:
        """Whether every light curve is at hand without a download."""

    def catalogue_folder(self, galaxy: str) -> Path:
        """Folder with the catalogue files of a Cloud, fetched if need be."""

    def prepare_light_curves(self, galaxy: str, stars: Iterable[str], *, advance: Advance | None = None) -> None:
        """Make the I light curves of the stars available."""

    def light_curve_path(self, galaxy: str, star: str) -> Path | None:
        """File of the I light curve of a star, or None if the archive has none."""

    def light_curve_stars(self, galaxy: str) -> list[str]:
        """Stars whose I light curves are on disk, sorted."""

    def is_mock(self, galaxy: str) -> bool:
        """Whether the stars are simulated."""


@dataclass(frozen=True)
class LocalArchive:
    """A folder in the layout of OGLE's collection.

    Parameters
    ----------
    root : `~pathlib.Path`
        Folder that holds ``lmc/ecl`` or ``smc/ecl``, the folder ``lmc`` or ``smc`` itself, or an ``ecl`` folder.
    """

    root: Path
    is_local: bool = True

    @property
    def location(self) -> str:
        """The folder, as given."""
        return str(self.root)

    def catalogue_folder(self, galaxy: str) -> Path:
        """Folder with the catalogue files of a Cloud.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.

        Returns
        -------
        `~pathlib.Path`
            The folder that holds ident.dat.

        Raises
        ------
        ArchiveError
            If no such folder is there.
        """
        name = galaxy.lower()
        candidates = [self.root / name / "ecl", self.root / "ecl", self.root]
        if not self.root.is_dir():
            msg = f"{self.root} is not a folder: --archive takes a folder in OGLE's layout ({name}/ecl/ident.dat ...)"
            raise ArchiveError(msg)
        for folder in candidates:
            if (folder / "ident.dat").exists():
                return folder
        msg = f"{self.root} holds no {name}/ecl/ident.dat: --archive takes a folder in OGLE's layout"
        raise ArchiveError(msg)

    def prepare_light_curves(self, galaxy: str, stars: Iterable[str], *, advance: Advance | None = None) -> None:
        """Do nothing: the light curves are where they are."""

    def light_curve_path(self, galaxy: str, star: str) -> Path | None:
        """File of the I light curve of a star.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.
        star : str
            Identifier of the star.

        Returns
        -------
        `~pathlib.Path` or None
            The file, or None if there is none.
        """
        path = _light_curve_file(self.catalogue_folder(galaxy), star)
        return path if path.exists() else None

    def light_curve_stars(self, galaxy: str) -> list[str]:
        """Stars whose I light curves are in the folder, sorted.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.

        Returns
        -------
        list of str
            Identifiers; empty where the folder phot/I is missing.
        """
        return sorted(path.stem for path in (self.catalogue_folder(galaxy) / "phot" / "I").glob("*.dat"))

    def is_mock(self, galaxy: str) -> bool:
        """Whether the folder carries the marker of a simulated survey.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.

        Returns
        -------
        bool
            True for a simulated survey.
        """
        folder = self.catalogue_folder(galaxy)
        return any((place / MOCK_MARKER).exists() for place in (folder, self.root))


def _light_curve_file(folder: Path, star: str) -> Path:
    return folder / "phot" / "I" / f"{star}.dat"


@dataclass
class RemoteArchive:
    """OGLE's web server, or a mirror of it, with a cache folder.

    Parameters
    ----------
    base_url : str
        Address of the folder that holds ``lmc/ecl`` and ``smc/ecl``.
    cache : `~pathlib.Path`
        Folder in which files are kept, one folder a server in it.
    transport : `httpx.BaseTransport`, optional
        Transport to use instead of the network.
    """

    base_url: str
    cache: Path
    transport: httpx.BaseTransport | None = None
    is_local: bool = field(default=False, init=False)
    _absent: set[str] = field(default_factory=set, init=False, repr=False)

    @property
    def location(self) -> str:
        """The address, as given."""
        return self.base_url

    @property
    def _local(self) -> LocalArchive:
        parts = urlsplit(self.base_url)
        place = f"{parts.netloc}{parts.path}".strip("/").replace("/", "_").replace(":", "_")
        return LocalArchive(self.cache / place)

    def catalogue_folder(self, galaxy: str) -> Path:
        """Fetch the catalogue files of a Cloud that are not in the cache yet.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.

        Returns
        -------
        `~pathlib.Path`
            Folder of the cache that holds them.

        Raises
        ------
        ArchiveError
            If the server cannot be reached or lacks a file that is needed.
        """
        folder = self._local.root / galaxy.lower() / "ecl"
        wanted = [name for name in CATALOGUE_FILES if not (folder / name).exists()]
        with self._client() as client:
            for name in wanted:
                found = self._fetch(client, f"{galaxy.lower()}/ecl/{name}", folder / name)
                if not found and name in REQUIRED_FILES:
                    msg = f"{self.base_url} has no {galaxy.lower()}/ecl/{name}: check the address. {_WAYS_OUT}"
                    raise ArchiveError(msg)
        return folder

    def prepare_light_curves(self, galaxy: str, stars: Iterable[str], *, advance: Advance | None = None) -> None:
        """Fetch the I light curves of the stars that are not in the cache yet.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.
        stars : iterable of str
            Identifiers of the stars.
        advance : callable, optional
            Called with the number of stars done since the last call.

        Raises
        ------
        ArchiveError
            If the server stops answering; what has come so far stays in the cache.
        """
        folder = self._local.root / galaxy.lower() / "ecl"
        wanted = [star for star in stars if not _light_curve_file(folder, star).exists()]
        with self._client() as client, ThreadPoolExecutor(_CONNECTIONS) as pool:
            jobs = [pool.submit(self._fetch_light_curve, client, galaxy, star) for star in wanted]
            try:
                for job in as_completed(jobs):
                    job.result()
                    if advance is not None:
                        advance(1)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _fetch_light_curve(self, client: httpx.Client, galaxy: str, star: str) -> None:
        name = f"{galaxy.lower()}/ecl/phot/I/{star}.dat"
        if not self._fetch(client, name, self._local.root / name):
            self._absent.add(star)

    def light_curve_path(self, galaxy: str, star: str) -> Path | None:
        """File of the I light curve of a star in the cache.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.
        star : str
            Identifier of the star.

        Returns
        -------
        `~pathlib.Path` or None
            The file, or None if it is not in the cache.
        """
        path = _light_curve_file(self._local.root / galaxy.lower() / "ecl", star)
        return path if path.exists() else None

    def light_curve_stars(self, galaxy: str) -> list[str]:
        """Stars whose I light curves are in the cache, sorted.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.

        Returns
        -------
        list of str
            Identifiers.
        """
        return self._local.light_curve_stars(galaxy)

    def is_mock(self, galaxy: str) -> bool:
        """Tell that a server holds observed stars, whatever the Cloud.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.

        Returns
        -------
        bool
            Always False: a simulated survey is never served.
        """
        return False

    def _client(self) -> httpx.Client:
        agent = f"cbminer/{version('cbminer')} (massive contact binaries; python-httpx/{httpx.__version__})"
        return httpx.Client(
            base_url=self.base_url,
            headers={"User-Agent": agent},
            timeout=_TIMEOUT,
            transport=self.transport,
            follow_redirects=True,
        )

    def _fetch(self, client: httpx.Client, name: str, path: Path) -> bool:
        """Fetch one file whole or not at all; False if the server does not have it."""
        try:
            with client.stream("GET", name) as response:
                if response.status_code == _NOT_FOUND:
                    return False
                response.raise_for_status()
                with _written_whole(path) as stream:
                    for chunk in response.iter_bytes():
                        stream.write(chunk)
        except httpx.HTTPStatusError as error:
            status = f"{error.response.status_code} {error.response.reason_phrase}".strip()
            msg = f"{self.base_url} answered {status} for {name}. Try again later. {_WAYS_OUT}"
            raise ArchiveError(msg) from error
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            msg = f"{self.base_url} cannot be reached ({reason}). {_WAYS_OUT}"
            raise ArchiveError(msg) from error
        return True


@contextmanager
def _written_whole(path: Path) -> Iterator[Any]:
    """Open a temporary file that takes the name of `path` only when it is complete."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        msg = f"cache folder {path.parent} cannot be written ({error.strerror}): choose another with --cache"
        raise ArchiveError(msg) from error
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def is_url(location: str) -> bool:
    """Tell whether a location is the address of a server.

    Parameters
    ----------
    location : str
        Folder or address.

    Returns
    -------
    bool
        True for http and https addresses.
    """
    return urlsplit(location).scheme in {"http", "https"}


def open_archive(location: str, *, cache: Path) -> LocalArchive | RemoteArchive:
    """Open an archive by its location.

    Parameters
    ----------
    location : str
        Folder in OGLE's layout, or base URL of a server.
    cache : `~pathlib.Path`
        Folder in which files of a server are kept.

    Returns
    -------
    LocalArchive or RemoteArchive
        The archive.
    """
    if is_url(location):
        return RemoteArchive(location.rstrip("/") + "/", cache)
    return LocalArchive(Path(location).expanduser())
