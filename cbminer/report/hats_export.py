"""Judged stars of a run with their light curves as a HATS catalogue, which LSDB opens and ``select`` reads again."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from astropy.table import QTable

from cbminer.catalogue.schema import COLUMNS, ColumnSpec, conform, spec_of
from cbminer.columns import label_column, values
from cbminer.errors import OutputError
from cbminer.flags import Flag
from cbminer.judged import JUDGED_FILE, judged_blocks
from cbminer.monitor import Monitor
from cbminer.provenance import Provenance, hash_files, read_provenance, write_provenance
from cbminer.settings import settings_from_mapping
from cbminer.star_blocks import StarBlocks
from cbminer.survey.archive import Archive, TableArchive, is_url, open_archive
from cbminer.survey.hats import SURVEY_PROPERTY
from cbminer.survey.hats_writing import INDEX_COLUMN, Pixel, divide_sky, fine_pixels, write_hats
from cbminer.survey.store import Band, LightCurveStore

__all__ = ["ExportedStars", "export_hats"]

Chosen = Literal["candidates", "all"]

NESTED_COLUMN = "lightcurve"
# With some thousand points a star, a partition is some tens of MB.
_STARS_A_PARTITION = 1_000
_MILKY_WAY = "MW"
# What stars at distances of their own are told by when they are selected again, and what it was in the run.
_GIVEN = {
    "distance_modulus_given": "distance_modulus", "e_distance_modulus_given": "e_distance_modulus",
    "E_VI_given": "E_VI", "e_E_VI_given": "e_E_VI", "M_V_given": "M_V", "e_M_V_given": "e_M_V", "VI0_given": "VI0",
    "e_VI0_given": "e_VI0",
}  # fmt: skip
_ONLY_IF_GIVEN = ("M_V_given", "e_M_V_given", "VI0_given", "e_VI0_given")
_BANDS: tuple[Band, ...] = ("I", "V")
_ARROW = {"text": pa.string(), "integer": pa.int64(), "boolean": pa.bool_(), "float": pa.float64()}
_POINTS = (
    ("time", pa.float64(), {"unit": "d", "ucd": "time.epoch", "description": "Full heliocentric Julian date, UTC"}),
    ("mag", pa.float32(), {"unit": "mag", "ucd": "phot.mag", "description": "Magnitude in the band"}),
    ("mag_err", pa.float32(), {"unit": "mag", "ucd": "stat.error;phot.mag", "description": "Error of mag"}),
    ("band", pa.string(), {"ucd": "meta.id;instr.filter", "description": "Photometric band of the point"}),
)


@dataclass(frozen=True)
class ExportedStars:
    """What was exported.

    Attributes
    ----------
    n_stars, n_points : int
        Stars, and points of their light curves.
    n_without_position : int
        Stars that are left out, since nothing is known of where they are.
    n_without_points : int
        Stars that are written without any point: their light curves are not at hand.
    """

    n_stars: int
    n_points: int
    n_without_position: int
    n_without_points: int


def export_hats(
    run: Path,
    folder: Path,
    *,
    cache: Path,
    stars: Chosen = "candidates",
    command: str = "",
    monitor: Monitor | None = None,
) -> ExportedStars:
    """Write stars of a run as a HATS catalogue.

    Parameters
    ----------
    run : `~pathlib.Path`
        Output folder of the run.
    folder : `~pathlib.Path`
        Folder of the catalogue, which must exist.
    cache : `~pathlib.Path`
        Folder in which light curves are kept.
    stars : {"candidates", "all"}, optional
        Whether only the candidates are written.
    command : str, optional
        The command, for provenance.
    monitor : Monitor, optional
        Told of the progress.

    Returns
    -------
    ExportedStars
        What was written: every column of the catalogue, and the light curves in I and V as a nested column. Distance
        and reddening of stars of the Milky Way and of tables, and M_V and (V-I)_0 that were given, are written once
        more as what the star is known to have, so that they hold again when it is selected again. Nothing is fetched
        from a server.

    Raises
    ------
    OutputError
        If it is not the output of a run, or no star is left.
    ArchiveError
        If the archive of the run is not there any more.
    """
    provenance = read_provenance(run)
    monitor = monitor or Monitor()
    with tempfile.TemporaryDirectory(prefix="cbminer-export-") as temporary:
        chosen = _chosen_stars(run, Path(temporary) / "chosen", stars)
        sorted_stars = _Sky(chosen)
        if not len(sorted_stars.fine):
            raise OutputError(_nothing_left(run, stars))
        archive = _archive_again(provenance, cache)
        stores = _stores(archive, chosen, monitor)
        own = frozenset(stores if isinstance(archive, TableArchive) else stores.keys() & {_MILKY_WAY})
        parts = _Parts(sorted_stars.by_pixel(Path(temporary)), stores, own)
        with monitor.step("writing the HATS catalogue", len(sorted_stars.pixels)) as advance:
            n_stars = write_hats(
                folder,
                parts.tables(advance),
                name=f"cbminer_{provenance.survey}_{'_'.join(provenance.galaxies)}",
                columns=("RAJ2000", "DEJ2000"),
                about=_about(provenance),
            )
    judged = hash_files(JUDGED_FILE, [run / JUDGED_FILE])
    write_provenance(folder, replace(provenance, command=command, inputs=[judged]))
    return ExportedStars(n_stars, parts.n_points, len(chosen) - n_stars, parts.n_without_points)


def _nothing_left(run: Path, stars: Chosen) -> str:
    if stars == "all":
        return f"no star of {run} has a position: name ra_column and dec_column under [table] and select again"
    return f"no star of {run} can be exported: it has no candidates with a position; --stars all exports all"


def _about(provenance: Provenance) -> Mapping[str, str]:
    title = f"Stars judged by cbminer, survey {provenance.survey}"
    if provenance.survey == "mock":
        title = f"SIMULATED STARS, NOT OBSERVATIONS. {title}"
    return {SURVEY_PROPERTY: provenance.survey, "obs_title": title}


def _chosen_stars(run: Path, folder: Path, stars: Chosen) -> StarBlocks:
    folder.mkdir()
    chosen = StarBlocks(folder)
    for judged in judged_blocks(run):
        block = conform(judged)
        block = block if stars == "all" else block[np.asarray(block["selected"].filled(False))]
        chosen.append(block)
    return chosen


class _Sky:
    """Places of stars on the sky, and the pixels that divide them."""

    def __init__(self, stars: StarBlocks) -> None:
        self._stars = stars
        ra, dec = stars.floats("RAJ2000", "deg"), stars.floats("DEJ2000", "deg")
        known = np.isfinite(ra) & np.isfinite(dec)
        self._fine = np.full(len(ra), -1, dtype=np.int64)
        self._fine[known] = fine_pixels(ra[known], dec[known])
        self.fine = np.sort(self._fine[known])
        self.pixels = divide_sky(self.fine, most=_STARS_A_PARTITION)

    def by_pixel(self, folder: Path) -> Iterator[tuple[Pixel, QTable, npt.NDArray[np.int64]]]:
        """Yield pixels, their stars in the order of fine pixels and names, and these pixels."""
        waiting = [self._waiting_stars(folder, number) for number in range(len(self.pixels))]
        first_fine = self.fine[[pixel.rows.start for pixel in self.pixels]]
        ends = np.concatenate(([0], np.cumsum(self._stars.lengths)))
        for block, (low, high) in zip(self._stars, pairwise(ends), strict=True):
            fine = self._fine[low:high]
            place = np.searchsorted(first_fine, fine, side="right") - 1
            for number in np.unique(place[fine >= 0]):
                waiting[number].append(block[(place == number) & (fine >= 0)])
        for pixel, stars in zip(self.pixels, waiting, strict=True):
            table = stars.read()
            fine = fine_pixels(values(table, "RAJ2000", "deg"), values(table, "DEJ2000", "deg"))
            order = np.lexsort((label_column(table, "id"), fine))
            yield pixel, table[order], fine[order]

    @staticmethod
    def _waiting_stars(folder: Path, number: int) -> StarBlocks:
        place = folder / str(number)
        place.mkdir()
        return StarBlocks(place)


def _archive_again(provenance: Provenance, cache: Path) -> Archive:
    """Archive of a run; of a server only what the cache has of it."""
    settings = settings_from_mapping(provenance.settings)
    return open_archive(
        provenance.archive,
        cache=cache,
        fetching=settings.fetch,
        offline=is_url(provenance.archive),
        table=settings.table,
        max_mag_err=settings.cleaning.max_mag_err,
    )


def _stores(archive: Archive, stars: StarBlocks, monitor: Monitor) -> dict[str, LightCurveStore]:
    """Light curves of the stars, by galaxy."""
    names, galaxies = stars.labels("id"), stars.labels("galaxy")
    return {
        galaxy: archive.light_curves(galaxy, names[galaxies == galaxy].tolist(), bands=_BANDS, monitor=monitor)
        for galaxy in np.unique(galaxies).tolist()
    }


class _Parts:
    """Partitions on their way to the disk, and the points that were in them."""

    def __init__(
        self,
        pixels: Iterator[tuple[Pixel, QTable, npt.NDArray[np.int64]]],
        stores: Mapping[str, LightCurveStore],
        own: frozenset[str],
    ) -> None:
        self.n_points = self.n_without_points = 0
        self._pixels = pixels
        self._stores = stores
        # Galaxies whose stars have distances of their own.
        self._own = own

    def tables(self, advance: Any) -> Iterator[tuple[Pixel, pa.Table]]:
        """Yield pixels and their rows."""
        added = [_given_field(name) for name in (_GIVEN if self._own else ())]
        fields = [pa.field(INDEX_COLUMN, pa.int64()), *map(_field, COLUMNS), *added, _nested_field()]
        for pixel, stars, fine in self._pixels:
            curves = _nested_curves(stars, self._stores)
            lengths = pc.list_value_length(curves.field("time"))
            self.n_points += pc.sum(lengths).as_py()
            self.n_without_points += pc.sum(pc.equal(lengths, 0)).as_py()
            given = [_given_array(stars, field.name, self._own) for field in added]
            arrays = [pa.array(fine), *(_array(stars, spec) for spec in COLUMNS), *given, curves]
            yield pixel, pa.table(arrays, schema=pa.schema(fields))
            advance(1)


def _field(spec: ColumnSpec) -> pa.Field:
    about = {"unit": spec.unit, "ucd": spec.ucd, "description": spec.description}
    return pa.field(spec.name, _ARROW[spec.kind], metadata={name: text for name, text in about.items() if text})


def _given_field(name: str) -> pa.Field:
    spec = spec_of(_GIVEN[name])
    about = {"unit": spec.unit, "ucd": spec.ucd, "description": f"{spec.description}, of the star itself"}
    return pa.field(name, pa.float64(), metadata=about)


def _given_array(stars: QTable, name: str, own: frozenset[str]) -> pa.Array:
    data = values(stars, _GIVEN[name], spec_of(_GIVEN[name]).unit)
    known = np.isfinite(data) & np.isin(label_column(stars, "galaxy"), sorted(own))
    if name in _ONLY_IF_GIVEN:
        known &= (np.asarray(stars["flags"], dtype=np.int64) & int(Flag.GIVEN_PHOTOMETRY)) != 0
    return pa.array(data, mask=~known)


def _nested_field() -> pa.Field:
    inner = [pa.field(name, pa.list_(kind), metadata=about) for name, kind, about in _POINTS]
    return pa.field(NESTED_COLUMN, pa.struct(inner), metadata={"description": "Light curves in I and V"})


def _array(stars: QTable, spec: ColumnSpec) -> pa.Array:
    if spec.kind == "text":
        return pa.array([word or None for word in label_column(stars, spec.name).tolist()], pa.string())
    if spec.kind == "float":
        data = values(stars, spec.name, spec.unit)
        return pa.array(data, mask=np.isnan(data))
    mask = np.ma.getmaskarray(stars[spec.name])
    return pa.array(np.ma.getdata(stars[spec.name]), type=_ARROW[spec.kind], mask=mask)


def _nested_curves(stars: QTable, stores: Mapping[str, LightCurveStore]) -> pa.StructArray:
    """Points of every star, those in I before those in V."""
    names, galaxies = label_column(stars, "id"), label_column(stars, "galaxy")
    pieces: list[list[tuple[Band, Any]]] = [[] for _ in names]
    for galaxy in np.unique(galaxies).tolist():
        places = np.flatnonzero(galaxies == galaxy)
        for band in _BANDS:
            curves = stores[galaxy].read(names[places].tolist(), band=band).curves
            for index, place in enumerate(places.tolist()):
                points = curves.points_of(index)
                pieces[place].append((band, (curves.time[points], curves.mag[points], curves.mag_err[points])))
    return _struct_of_lists(pieces)


def _struct_of_lists(pieces: Sequence[Sequence[tuple[Band, Any]]]) -> pa.StructArray:
    lengths = [sum(len(points[0]) for _, points in star) for star in pieces]
    offsets = pa.array(np.concatenate(([0], np.cumsum(lengths))).astype(np.int32))
    flat = [piece for star in pieces for piece in star]
    columns = [pa.array(np.concatenate([points[place] for _, points in flat])) for place in range(3)]
    bands = np.repeat([band for band, _ in flat], [len(points[0]) for _, points in flat])
    columns.append(pa.array(bands.tolist(), pa.string()))
    lists = [pa.ListArray.from_arrays(offsets, column) for column in columns]
    return pa.StructArray.from_arrays(lists, fields=list(_nested_field().type))
