"""Archives of a survey: a folder in OGLE's layout, the server that holds it, or tables of any survey.

All answer the same questions: what does the catalogue say, and where are the light curves, which always come out of
a store.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from cbminer.errors import SettingsError
from cbminer.monitor import Monitor
from cbminer.survey.cache import ArchiveCache
from cbminer.survey.download import FetchSettings, without_password
from cbminer.survey.local import LocalArchive
from cbminer.survey.ogle import CatalogueReading
from cbminer.survey.remote import RemoteArchive
from cbminer.survey.star_names import Stars
from cbminer.survey.store import Band, LightCurveStore
from cbminer.survey.table_archive import TableArchive
from cbminer.survey.table_files import is_table_place
from cbminer.survey.table_settings import TableSettings

__all__ = ["OGLE_URL", "Archive", "LocalArchive", "RemoteArchive", "TableArchive", "is_url", "open_archive"]

OGLE_URL = "https://www.astrouw.edu.pl/ogle/ogle4/OCVS/"


class Archive(Protocol):
    """What the pipeline asks of an archive."""

    @property
    def location(self) -> str:
        """Folder or base URL, as given."""

    @property
    def is_local(self) -> bool:
        """Whether every light curve is at hand without a download."""

    def place(self, galaxy: str) -> str:
        """Folder or address of a Cloud, for people."""

    def catalogue_folder(self, galaxy: str, *, monitor: Monitor | None = None) -> Path:
        """Folder with the catalogue files of a Cloud, fetched if need be."""

    def catalogue(self, galaxy: str, *, strict: bool = False, monitor: Monitor | None = None) -> CatalogueReading:
        """Stars of a Cloud, and the lines that were set aside."""

    def light_curves(
        self, galaxy: str, stars: Stars, *, bands: Sequence[Band] = ("I",), monitor: Monitor | None = None
    ) -> LightCurveStore:
        """Store that holds the light curves of the stars, as far as the archive has them."""

    def light_curve_stars(self, galaxy: str) -> list[str]:
        """Stars whose I light curves are at hand, sorted."""

    def spare_light_curves(self, galaxy: str, ids: Stars) -> list[str]:
        """Stars whose light curves are at hand, and which are not among these, sorted."""

    def is_mock(self, galaxy: str) -> bool:
        """Whether the stars are simulated."""


def is_url(location: str) -> bool:
    """Tell whether a location is the address of a server.

    Parameters
    ----------
    location : str
        Folder or address.

    Returns
    -------
    bool
        True for http, https and ftp addresses.
    """
    scheme, separator, _ = location.partition("://")
    return bool(separator) and scheme.lower() in {"http", "https", "ftp"}


def open_archive(
    location: str,
    *,
    cache: Path,
    fetching: FetchSettings | None = None,
    offline: bool = False,
    table: TableSettings | None = None,
    max_mag_err: float = math.inf,
) -> LocalArchive | RemoteArchive | TableArchive:
    """Open an archive by its location, and by what is there.

    Parameters
    ----------
    location : str
        Base URL of a server, folder in OGLE's layout, HATS catalogue, table of light curves, or folder of such tables.
    cache : `~pathlib.Path`
        Folder in which files and stores are kept.
    fetching : FetchSettings, optional
        How files are fetched from a server.
    offline : bool, optional
        Whether a server is never asked: what the cache lacks counts as absent.
    table : TableSettings, optional
        How tables are laid out; of a HATS catalogue only what it does not say itself.
    max_mag_err : float, optional
        Largest error of a point that counts where a star of a table has points in several bands, mag.

    Returns
    -------
    LocalArchive or RemoteArchive or TableArchive
        The archive.

    Raises
    ------
    SettingsError
        If the location looks like an address, but is none that can be asked.
    """
    if "://" in location and not (is_url(location) and _host(location)):
        msg = f"{location} cannot be asked: give a folder, or an address such as {OGLE_URL} (http, https or ftp)"
        raise SettingsError(msg)
    if is_url(location):
        base_url = location.rstrip("/") + "/"
        # A password is for the server alone: it is neither shown nor kept.
        place = ArchiveCache.for_server(cache, without_password(base_url))
        return RemoteArchive(base_url, place, settings=fetching or FetchSettings(), offline=offline)
    try:
        root = Path(location).expanduser()
    except RuntimeError as error:
        msg = f"{location} cannot be found ({error}): --archive takes a folder or an address"
        raise SettingsError(msg) from error
    place = ArchiveCache.for_folder(cache, root)
    layout = table or TableSettings()
    if is_table_place(root, layout):
        return TableArchive(root, place, settings=layout, max_mag_err=max_mag_err)
    return LocalArchive(root, place)


def _host(address: str) -> str:
    """Host of an address; empty if it has none, or is malformed."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
