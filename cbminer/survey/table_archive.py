"""Tables of light curves and stars of any survey, and HATS catalogues of them, as an archive."""

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from astropy.table import QTable

from cbminer.columns import label_column, values
from cbminer.errors import InputFormatError, SettingsError
from cbminer.monitor import Monitor
from cbminer.star_blocks import StarBlocks
from cbminer.survey.cache import ArchiveCache
from cbminer.survey.catalogue_store import CATALOGUE_FILE, load_catalogue, save_catalogue
from cbminer.survey.mock import MOCK_PREFIX, is_mock_folder
from cbminer.survey.ogle import CatalogueReading
from cbminer.survey.star_names import Stars, name_list, names_without, star_names
from cbminer.survey.store import Band, LightCurveStore
from cbminer.survey.table_files import TableFiles, find_table_files
from cbminer.survey.table_intake import noted_tables, take_tables
from cbminer.survey.table_settings import TableSettings
from cbminer.survey.table_stars import TableStars

__all__ = ["TableArchive"]

_SIMULATED = "mock"


class TableArchive:
    """A HATS catalogue, a table, or a folder of tables of one layout. Nothing in it is ever changed.

    Stars and light curves are taken into the cache once, and again when a table or the layout has changed.

    Parameters
    ----------
    root : `~pathlib.Path`
        Folder or file.
    cache : ArchiveCache
        Place of the catalogue and the store that are made of it.
    settings : TableSettings, optional
        Layout of the tables; what is unset is taken from the catalogue where it says so.
    max_mag_err : float, optional
        Largest error of a point that counts where a star has points in several bands, mag.
    """

    is_local = True

    def __init__(
        self,
        root: Path,
        cache: ArchiveCache,
        *,
        settings: TableSettings | None = None,
        max_mag_err: float = math.inf,
    ) -> None:
        self.root = root
        self.cache = cache
        self._settings = settings or TableSettings()
        self._max_mag_err = max_mag_err
        # Galaxies that stars were taken to be of because they were asked for.
        self._supposed: set[str] = set()

    @cached_property
    def tables(self) -> TableFiles:
        """Files and layout, as they are when they are first asked for."""
        return find_table_files(self.root, settings=self._settings, max_mag_err=self._max_mag_err)

    @cached_property
    def _state(self) -> str:
        return self.tables.state()

    @property
    def location(self) -> str:
        """Folder or file, as given."""
        return str(self.root)

    @property
    def survey(self) -> str:
        """Name of the survey in the products."""
        return self.tables.layout.survey

    def place(self, galaxy: str) -> str:
        """Folder or file of the stars of a galaxy.

        Parameters
        ----------
        galaxy : str
            The galaxy.

        Returns
        -------
        str
            That of all stars.
        """
        del galaxy
        return str(self.root)

    def catalogue_folder(self, galaxy: str, *, monitor: Monitor | None = None) -> Path:
        """Folder with the tables of stars.

        Parameters
        ----------
        galaxy : str
            The galaxy.
        monitor : Monitor, optional
            Not told of anything.

        Returns
        -------
        `~pathlib.Path`
            The folder.

        Raises
        ------
        ArchiveError, InputFormatError, SettingsError
            If there are no tables, or it is not clear how they are laid out.
        """
        del galaxy, monitor
        return self.catalogue_files()[0].parent

    def catalogue_files(self) -> list[Path]:
        """List the files that stars are read from.

        Returns
        -------
        list of `~pathlib.Path`
            The table of stars or, if there is none of its own, the tables of light curves.

        Raises
        ------
        ArchiveError, InputFormatError, SettingsError
            If there are no tables, or it is not clear how they are laid out.
        """
        return [self.tables.stars] if self.tables.stars else list(self.tables.curves)

    def catalogue(self, galaxy: str, *, strict: bool = False, monitor: Monitor | None = None) -> CatalogueReading:
        """Read the stars of a galaxy.

        Parameters
        ----------
        galaxy : str
            The galaxy. Stars of which neither a column nor the name tells another one are taken to be of it.
        strict : bool, optional
            Whether a malformed line is an error.
        monitor : Monitor, optional
            Told if another process has to be waited for.

        Returns
        -------
        CatalogueReading
            The stars in the order of their identifiers.

        Raises
        ------
        ArchiveError, InputFormatError, SettingsError
            If tables are missing or malformed, no star is of the galaxy, or stars are asked for as of two.
        """
        source = {"tables": self._state}
        path = self.cache.folder(galaxy) / CATALOGUE_FILE
        reading = load_catalogue(path, source=source)
        if reading is None:
            with self.cache.locked(monitor):
                reading = self._read_stars(galaxy)
                save_catalogue(path, reading, source=source)
                reading = load_catalogue(path, source=source) or reading
        self._refuse_two_galaxies(galaxy, reading)
        malformed = reading.counts.get("malformed lines", 0)
        if strict and malformed:
            msg = f"{self.root}: {malformed} lines have another number of fields than the header: mend them"
            raise InputFormatError(msg)
        return reading

    def _read_stars(self, galaxy: str) -> CatalogueReading:
        tables = self.tables
        stars = TableStars(tables.layout, one_row=tables.row_a_star or tables.stars is not None)
        for path in self.catalogue_files():
            stars.add_table(path)
        blocks = StarBlocks()
        for block in stars.blocks(galaxy):
            blocks.append(block)
        if not len(blocks):
            found = ", ".join(sorted({name for name in stars.galaxies() if name})) or "none"
            msg = f"{self.root} has no star of the galaxy {galaxy} (found: {found}): check --galaxy and galaxy_column"
            raise InputFormatError(msg)
        counts = dict(stars.counts) | {"stars without a stated galaxy": stars.galaxies().count("")}
        return CatalogueReading(blocks, [], counts, f"{tables.layout.survey}, {tables.name}")

    def _refuse_two_galaxies(self, galaxy: str, reading: CatalogueReading) -> None:
        if reading.counts["stars without a stated galaxy"]:
            self._supposed.add(galaxy)
        if len(self._supposed) > 1:
            msg = (
                f"{self.root} does not say which stars are of {' and which of '.join(sorted(self._supposed))}: name "
                f"the column as galaxy_column under [table], or ask for one galaxy"
            )
            raise SettingsError(msg)

    def light_curves(
        self, galaxy: str, stars: Stars, *, bands: Sequence[Band] = ("I",), monitor: Monitor | None = None
    ) -> LightCurveStore:
        """Bring the store up to date with the tables, and open it.

        Parameters
        ----------
        galaxy : str
            The galaxy.
        stars : iterable of str, or `~numpy.ndarray` of bytes
            Stars that are needed; all of the galaxy are taken in, as the tables are read as a whole.
        bands : sequence of {"I", "V"}, optional
            Bands that are needed; likewise.
        monitor : Monitor, optional
            Told of the progress.

        Returns
        -------
        LightCurveStore
            The store. I is the band that is measured, V the second one, whatever the tables call them.

        Raises
        ------
        ArchiveError, InputFormatError, OutputError, SettingsError
            If a table is not as the layout says, or the store cannot be written.
        """
        del stars, bands
        if not self._is_stored(galaxy):
            reading = self.catalogue(galaxy, monitor=monitor)
            with self.cache.locked(monitor):
                if not self._is_stored(galaxy):
                    take_tables(
                        self.cache,
                        galaxy,
                        self.tables,
                        state=self._state,
                        stars=np.sort(reading.ids()),
                        positions=self._positions(reading.blocks),
                        monitor=monitor,
                    )
        return self.cache.store(galaxy)

    def _is_stored(self, galaxy: str) -> bool:
        noted = noted_tables(self.cache, galaxy)
        return noted.complete and noted.state == self._state

    def _positions(self, blocks: Iterable[QTable]) -> dict[str, tuple[float, float]]:
        """Positions of stars, where the tables of light curves may lack them and need them."""
        if self.tables.stars is None or self.tables.layout.time_at != "earth":
            return {}
        columns = ((block, values(block, "RAJ2000", "deg"), values(block, "DEJ2000", "deg")) for block in blocks)
        return {
            star: (ra, dec)
            for block, ras, decs in columns
            for star, ra, dec in zip(label_column(block, "id").tolist(), ras.tolist(), decs.tolist(), strict=True)
        }

    def light_curve_stars(self, galaxy: str) -> list[str]:
        """Stars whose light curves are in the tables, sorted.

        Parameters
        ----------
        galaxy : str
            The galaxy.

        Returns
        -------
        list of str
            Identifiers.
        """
        return self.light_curves(galaxy, ()).stars("I")

    def spare_light_curves(self, galaxy: str, ids: Stars) -> list[str]:
        """Light curves whose star is not in the catalogue.

        Parameters
        ----------
        galaxy : str
            The galaxy.
        ids : iterable of str, or `~numpy.ndarray` of bytes
            Stars of the catalogue.

        Returns
        -------
        list of str
            Identifiers, sorted. Where the tables tell galaxies apart, the others' stars are not among them.
        """
        if self.catalogue(galaxy).counts["stars of other galaxies"]:
            return []
        spare = star_names(sorted(noted_tables(self.cache, galaxy).spare))
        return name_list(names_without(spare, star_names(ids)))

    def point_counts(self, galaxy: str) -> dict[str, int]:
        """Count the points of the tables by what became of them.

        Parameters
        ----------
        galaxy : str
            The galaxy.

        Returns
        -------
        dict of str to int
            Points that were kept, and others by the reason why they were not.
        """
        noted = noted_tables(self.cache, galaxy)
        return {f"points: {reason}": count for reason, count in sorted(noted.points.items())}

    def is_mock(self, galaxy: str) -> bool:
        """Whether the stars are simulated.

        Parameters
        ----------
        galaxy : str
            The galaxy.

        Returns
        -------
        bool
            True if the catalogue, its settings or the names of the stars say so.
        """
        folder = self.root if self.root.is_dir() else self.root.parent
        if self.survey == _SIMULATED or is_mock_folder(folder):
            return True
        names = label_column(next(iter(self.catalogue(galaxy).blocks)), "id")
        return bool(np.char.startswith(names, MOCK_PREFIX).all())

    def repair(self, *, monitor: Monitor | None = None) -> Iterator[str]:
        """Make damaged parts of the store anew from the tables.

        Parameters
        ----------
        monitor : Monitor, optional
            Told of the progress.

        Yields
        ------
        str
            What was done, a sentence a galaxy.

        Raises
        ------
        ArchiveError
            If the tables are gone. The store then stays as it is.
        """
        with self.cache.locked(monitor):
            damages = list(self.cache.damages())
        for galaxy in sorted({damage.galaxy for damage in damages}):
            self.catalogue(galaxy, monitor=monitor)
            with self.cache.locked(monitor), self.cache.manifest() as manifest:
                if any(damage.kind == "index" and damage.galaxy == galaxy for damage in damages):
                    self.cache.rebuild_index(galaxy)
                self.cache.drop_damaged(galaxy)
                manifest.state_fact(f"tables {galaxy}", "")
            store = self.light_curves(galaxy, (), monitor=monitor)
            yield f"{galaxy}: {len(store)} light curves stored again from {self.root}"
