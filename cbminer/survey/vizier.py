"""Tables of VizieR and SIMBAD: published c, OGLE's catalogue, and what others say of a star.

Nothing is asked for before a method is called. Tables come whole or not at all; each is kept in a folder with a note
of where it came from, and is then used without the network.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import httpx
import numpy as np
from astropy.table import QTable, Table

from cbminer.columns import FloatArray, float_column, text_column
from cbminer.errors import ArchiveError
from cbminer.monitor import Monitor
from cbminer.survey.ogle import CatalogueReading, recognise_release
from cbminer.survey.tap import TapService
from cbminer.survey.tap_tables import Question, TapTables
from cbminer.survey.vizier_catalogue import (
    CATALOGUE_ROLES,
    NEEDED_ROLES,
    STAR_ROLE,
    FetchedTable,
    read_tables,
    star_name,
)
from cbminer.survey.vizier_columns import (
    Column,
    Role,
    TableColumns,
    discover,
    file_name,
    find_roles,
    number_values,
    refuse_columns,
    select,
    text_values,
)
from cbminer.survey.vizier_match import Matcher
from cbminer.survey.vizier_settings import PAWLAK_2016, VizierSettings

__all__ = ["Vizier", "VizierSettings"]

_ACKNOWLEDGE = (
    "This research has made use of the VizieR catalogue access tool, CDS, Strasbourg, France "
    "(DOI 10.26093/cds/vizier; Ochsenbein et al. 2000, A&AS 143, 23)"
)
_RELEASE = "OGLE-IV, Pawlak et al. 2016"
_C_ROLE = Role(
    "c",
    ("c", "morph", "morphology", "morph_c", "c_morph", "cmorph", "cpar", "morphpar"),
    ("src.morph.param", "src.morph"),
    r"morpholog|detached?ness",
    is_text=False,
)
_PERIOD_ROLE = next(role for role in CATALOGUE_ROLES if role.name == "period")


@dataclass(frozen=True)
class _Purpose:
    """What a catalogue is asked for."""

    catalogue: str
    section: str
    chosen: dict[str, str | None]
    remedy: str
    citation: str


class Vizier:
    """Tables of VizieR and SIMBAD, kept in a folder.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Where tables are kept, for instance ``CACHE/vizier``; it is made when it is needed.
    settings : VizierSettings, optional
        Services, tables, columns and radii.
    refresh : bool, optional
        Whether to ask again for what an earlier run kept.
    monitor : Monitor, optional
        Told of what is asked for.
    transport : `httpx.BaseTransport`, optional
        Transport to use instead of the network.

    Examples
    --------
    >>> from pathlib import Path
    >>> with Vizier(Path("cache/vizier")) as vizier:  # doctest: +SKIP
    ...     table = vizier.morphology_table(["LMC"])
    """

    def __init__(
        self,
        folder: Path,
        *,
        settings: VizierSettings | None = None,
        refresh: bool = False,
        monitor: Monitor | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.settings = settings or VizierSettings()
        self._vizier, self._simbad = (
            TapTables(
                TapService(url, settings=self.settings, transport=transport), folder, refresh=refresh, monitor=monitor
            )
            for url in (self.settings.tap_url, self.settings.simbad_url)
        )
        self._matcher = Matcher(self._vizier, self._simbad, self.settings, monitor=monitor)

    def close(self) -> None:
        """Give the connections back."""
        self._vizier.service.close()
        self._simbad.service.close()

    def __enter__(self) -> Self:
        """Return the object itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give the connections back."""
        self.close()

    @property
    def used(self) -> list[Path]:
        """Files of the tables that were given so far, for the record of a run."""
        return [*self._vizier.used, *self._simbad.used]

    def morphology_table(self, galaxies: Sequence[str] = ("LMC", "SMC")) -> Table:
        """Fetch the published c of the stars of the Clouds.

        Parameters
        ----------
        galaxies : sequence of {"LMC", "SMC"}, optional
            Clouds whose stars are wanted.

        Returns
        -------
        `~astropy.table.Table`
            Columns ``id``, ``c`` and, if VizieR has it, ``period``; a row a star.

        Raises
        ------
        ArchiveError
            If VizieR does not give the table, has no fitting columns, or has no star of a Cloud.
        """
        purpose = _Purpose(
            self.settings.morphology,
            "vizier.morphology_columns",
            self.settings.morphology_columns.model_dump(),
            "give a table of c by hand with --morph TABLE and, if need be, its id_column and c_column",
            f"Bodi & Hajdu 2021, ApJS 255, 1, VizieR {self.settings.morphology}. {_ACKNOWLEDGE}",
        )
        found = discover(self._vizier, purpose.catalogue, remedy=purpose.remedy)
        known = [(table, find_roles(table, (STAR_ROLE, _C_ROLE, _PERIOD_ROLE), purpose.chosen)) for table in found]
        fitting = [(table, roles) for table, roles in known if {"star", "c"} <= roles.keys()]
        if not fitting:
            missing = {"c": "the morphology parameter c beside one for the star's name"}
            raise _refuse(purpose, found, missing)
        parts = [part for galaxy in galaxies for part in self._cloud(fitting, galaxy, purpose)]
        merged = _merge_morphology(parts)
        merged.meta |= {
            "service": self.settings.tap_url,
            "columns": {f"{part.name}, {role}": column.name for part in parts for role, column in part.columns.items()},
            "citation": purpose.citation,
        }
        return merged

    def catalogue(self, galaxy: str, *, strict: bool = False) -> CatalogueReading:
        """Fetch OGLE's catalogue of a Cloud, in the form that `cbminer.survey.ogle.read_catalogue` gives it.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.
        strict : bool, optional
            Whether the first malformed row is an error instead of being set aside.

        Returns
        -------
        CatalogueReading
            The stars and what was set aside.

        Raises
        ------
        ArchiveError
            If VizieR does not give the catalogue, lacks a column that is needed, or has no star of the Cloud.
        InputFormatError
            If most rows are malformed or, with `strict`, any.
        """
        purpose = _Purpose(
            self.settings.ogle,
            "vizier.ogle_columns",
            self.settings.ogle_columns.model_dump(),
            "give OGLE's own files with --archive PATH",
            f"Pawlak et al. 2016, AcA 66, 421, VizieR {self.settings.ogle}. {_ACKNOWLEDGE}",
        )
        found = discover(self._vizier, purpose.catalogue, remedy=purpose.remedy)
        known = [(table, find_roles(table, CATALOGUE_ROLES, purpose.chosen)) for table in found]
        named = [(table, roles) for table, roles in known if "star" in roles and len(roles) > 1]
        missing = {
            role: meaning
            for role, meaning in NEEDED_ROLES.items()
            if not any(role in roles for _, roles in named) and not (role != "star" and purpose.chosen.get(role) == "")
        }
        if missing:
            raise _refuse(purpose, found, missing)
        # What the table with most columns says of a star goes before what the others say.
        named.sort(key=lambda entry: -len(entry[1]))
        parts = self._cloud(named, galaxy, purpose)
        reading = read_tables(parts, galaxy, catalogue=purpose.catalogue, release="", strict=strict)
        return replace(reading, release=_release(galaxy, reading.n_stars, purpose.catalogue))

    def gaia_binaries(self, stars: Table) -> QTable:
        """Fetch the eclipsing binaries of Gaia DR3 at the positions of stars.

        Parameters
        ----------
        stars : `~astropy.table.Table`
            Stars with ``id``, ``RAJ2000`` and ``DEJ2000`` in degrees; one without a position has no match.

        Returns
        -------
        `~astropy.table.QTable`
            A row a match, by star in the order given and nearest first: ``id``, ``rank`` from 1, ``separation``,
            ``source_id``, position, ``frequency``, ``period``, ``global_ranking`` and ``model_type``.

        Raises
        ------
        ArchiveError
            If VizieR does not give the answer whole, or lacks a column that is needed.
        InputFormatError
            If a column of the stars is missing.
        """
        return self._matcher.gaia(stars)

    def simbad_objects(self, stars: Table) -> QTable:
        """Fetch the objects of SIMBAD at the positions of stars.

        Parameters
        ----------
        stars : `~astropy.table.Table`
            Stars with ``id``, ``RAJ2000`` and ``DEJ2000`` in degrees; one without a position has no match.

        Returns
        -------
        `~astropy.table.QTable`
            A row a match, by star in the order given and nearest first: ``id``, ``rank`` from 1, ``separation``,
            ``main_id``, ``otype``, ``sp_type``, ``n_references`` and position.

        Raises
        ------
        ArchiveError
            If SIMBAD does not give the answer whole.
        InputFormatError
            If a column of the stars is missing.
        """
        return self._matcher.simbad(stars)

    def _cloud(
        self, tables: Sequence[tuple[TableColumns, dict[str, Column]]], galaxy: str, purpose: _Purpose
    ) -> list[FetchedTable]:
        """Rows of the stars of a Cloud, from every table that has any."""
        parts = [
            FetchedTable(table.name, roles, self._vizier.ask(_cloud_question(table, roles, galaxy, purpose)))
            for table, roles in tables
        ]
        filled = [part for part in parts if len(part.rows)]
        if not filled:
            raise self._no_star(*tables[0], galaxy, purpose)
        return filled

    def _no_star(self, table: TableColumns, roles: dict[str, Column], galaxy: str, purpose: _Purpose) -> ArchiveError:
        """Make the error of a table without a star of a Cloud, with a sample of its names."""
        star = roles["star"]
        sample = Question(
            adql=select([f"TOP 3 {star.adql}"], table.adql),
            what=f"some names of {table.name}",
            remedy=purpose.remedy,
            name=f"sample-{file_name(table.name)}",
            maxrec=10,
            width=1,
            keep_empty=False,
        )
        rows = self._vizier.ask(sample)
        names = ", ".join(text_values(rows.columns[0])) if len(rows) else ""
        found = f"its column {star.name} begins with {names}" if names else "it has no rows"
        return ArchiveError(
            f"VizieR {table.name} has no star of the {galaxy} such as OGLE-{galaxy}-ECL-00001; {found}. "
            f"Name the column of the stars with star under [{purpose.section}], or {purpose.remedy}"
        )


def _refuse(purpose: _Purpose, found: Sequence[TableColumns], missing: dict[str, str]) -> ArchiveError:
    return refuse_columns(
        purpose.catalogue,
        found,
        missing,
        section=purpose.section,
        chosen=purpose.chosen,
        remedy=purpose.remedy,
    )


def _cloud_question(table: TableColumns, roles: dict[str, Column], galaxy: str, purpose: _Purpose) -> Question:
    star = roles["star"].adql
    where = " OR ".join(f"{star} LIKE '%{galaxy}-{kind}-%'" for kind in ("ECL", "ELL"))
    return Question(
        adql=select((column.adql for column in roles.values()), table.adql, where),
        count=select(["COUNT(*) AS n_rows"], table.adql, where),
        what=f"the stars of the {galaxy} in {table.name}",
        remedy=purpose.remedy,
        name=f"{file_name(table.name)}-{galaxy}",
        width=len(roles),
        columns={role: column.name for role, column in roles.items()},
        citation=purpose.citation,
    )


def _merge_morphology(parts: Sequence[FetchedTable]) -> Table:
    """Join tables of c; the first row of a star counts, and names of no star of the Clouds are left out."""
    names = np.array([star_name(text) for part in parts for text in _texts(part, "star")], dtype=str)
    c = np.concatenate([_numbers(part, "c") for part in parts])
    period = np.concatenate([_numbers(part, "period") for part in parts])
    _, first = np.unique(names, return_index=True)
    kept = np.sort(first[names[first] != ""])
    merged = Table({"id": text_column(names[kept]), "c": float_column(c[kept])})
    if any("period" in part.columns for part in parts):
        merged["period"] = float_column(period[kept])
        merged["period"].unit = "d"
    return merged


def _texts(part: FetchedTable, role: str) -> list[str]:
    return text_values(part.rows.columns[list(part.columns).index(role)])


def _numbers(part: FetchedTable, role: str) -> FloatArray:
    if role not in part.columns:
        return np.full(len(part.rows), np.nan)
    return number_values(part.rows.columns[list(part.columns).index(role)])


def _release(galaxy: str, stars: int, catalogue: str) -> str:
    """Name the release, with the number of stars and whether that is the number of the release."""
    recognised = recognise_release(galaxy, stars)
    release = _RELEASE if catalogue.startswith(PAWLAK_2016) else recognised
    doubt = "" if release == recognised else ", not the number of that release"
    return f"{release} (VizieR {catalogue}, {stars} stars{doubt})"
