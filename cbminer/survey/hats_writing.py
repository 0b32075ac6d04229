"""Writing HATS catalogues: rows on the sky divided into HEALPix pixels, a Parquet file each.

The files are those that the readers of `hats` and `lsdb` ask for; nothing but pyarrow is needed to write them. No time
is written into them, so that equal stars make equal bytes.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import astropy.units as u
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from astropy_healpix import lonlat_to_healpix

from cbminer.columns import FloatArray
from cbminer.survey.hats import PROPERTIES_FILE, partition_path, properties_text

__all__ = ["INDEX_COLUMN", "Pixel", "divide_sky", "fine_pixels", "write_hats"]

INDEX_COLUMN = "_healpix_29"
_FINEST = 29
_BASE_PIXELS = 12
# Pixels of 1.6 arcseconds: stars that are closer than that stay together, however many.
_DEEPEST = 17
_ROWS_A_GROUP = 256


@dataclass(frozen=True)
class Pixel:
    """A part of the sky, and the rows that are in it.

    Attributes
    ----------
    order, number : int
        HEALPix order and number, nested.
    rows : slice
        Its rows among all, which are in the order of fine pixels.
    """

    order: int
    number: int
    rows: slice


def fine_pixels(ra: FloatArray, dec: FloatArray) -> npt.NDArray[np.int64]:
    """Find the finest pixels of positions, which order the rows of a catalogue.

    Parameters
    ----------
    ra, dec : `~numpy.ndarray`
        ICRS positions in degrees, shape (n,).

    Returns
    -------
    `~numpy.ndarray`
        Nested HEALPix numbers of order 29, int64, shape (n,).
    """
    found = lonlat_to_healpix(ra * u.deg, dec * u.deg, 2**_FINEST, order="nested")
    return np.asarray(found, dtype=np.int64)


def divide_sky(fine: npt.NDArray[np.int64], *, most: int) -> list[Pixel]:
    """Divide the sky into pixels that hold no more than some rows.

    Parameters
    ----------
    fine : `~numpy.ndarray`
        Fine pixels of the rows, ascending, shape (n,).
    most : int
        Rows of a pixel at most.

    Returns
    -------
    list of Pixel
        Pixels that hold rows, in the order of these.
    """
    waiting = [Pixel(0, number, _rows_of(fine, 0, number)) for number in reversed(range(_BASE_PIXELS))]
    pixels = []
    while waiting:
        pixel = waiting.pop()
        n_rows = pixel.rows.stop - pixel.rows.start
        if n_rows > most and pixel.order < _DEEPEST:
            order = pixel.order + 1
            children = (4 * pixel.number + place for place in (3, 2, 1, 0))
            waiting += [Pixel(order, child, _rows_of(fine, order, child)) for child in children]
        elif n_rows:
            pixels.append(pixel)
    return pixels


def _rows_of(fine: npt.NDArray[np.int64], order: int, number: int) -> slice:
    size = 4 ** (_FINEST - order)
    low, high = np.searchsorted(fine, [number * size, (number + 1) * size])
    return slice(int(low), int(high))


def write_hats(
    folder: Path,
    parts: Iterable[tuple[Pixel, pa.Table]],
    *,
    name: str,
    columns: tuple[str, str],
    about: Mapping[str, str],
) -> int:
    """Write a catalogue, pixel by pixel.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder of the catalogue, which must exist.
    parts : iterable of (Pixel, `pyarrow.Table`)
        Pixels and their rows, all of one schema, with the fine pixels in the column `INDEX_COLUMN`.
    name : str
        What the catalogue calls itself.
    columns : (str, str)
        Columns of right ascension and declination in degrees.
    about : mapping of str to str
        Further properties.

    Returns
    -------
    int
        Rows that were written.
    """
    pixels: list[Pixel] = []
    footers: list[pq.FileMetaData] = []
    size, schema = 0, None
    for pixel, table in parts:
        path = partition_path(folder, pixel.order, pixel.number)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, compression="zstd", row_group_size=_ROWS_A_GROUP, metadata_collector=footers)
        footers[-1].set_file_path(str(path.relative_to(folder / "dataset")))
        pixels.append(pixel)
        size, schema = size + path.stat().st_size, table.schema
    if schema is None:
        return 0
    pq.write_metadata(schema, folder / "dataset" / "_common_metadata")
    pq.write_metadata(schema, folder / "dataset" / "_metadata", metadata_collector=footers)
    lines = ["Norder,Npix", *(f"{pixel.order},{pixel.number}" for pixel in pixels), ""]
    (folder / "partition_info.csv").write_text("\n".join(lines), encoding="utf-8")
    properties = dict(_properties(pixels, size, name, columns)) | dict(about)
    (folder / PROPERTIES_FILE).write_text(properties_text(properties), encoding="utf-8")
    return sum(pixel.rows.stop - pixel.rows.start for pixel in pixels)


def _properties(pixels: list[Pixel], size: int, name: str, columns: tuple[str, str]) -> Iterator[tuple[str, str]]:
    lengths = [pixel.rows.stop - pixel.rows.start for pixel in pixels]
    sky = sum(1 / (_BASE_PIXELS * 4**pixel.order) for pixel in pixels)
    yield "obs_collection", name
    yield "dataproduct_type", "object"
    yield "hats_nrows", str(sum(lengths))
    yield from zip(("hats_col_ra", "hats_col_dec"), columns, strict=True)
    yield "hats_col_healpix", INDEX_COLUMN
    yield "hats_col_healpix_order", str(_FINEST)
    yield "hats_npix_suffix", ".parquet"
    yield "hats_max_rows", str(max(lengths))
    yield "hats_order", str(max(pixel.order for pixel in pixels))
    yield "hats_estsize", str(-(-size // 1024))
    yield "moc_sky_fraction", f"{sky:.6g}"
    yield "hats_builder", f"cbminer v{version('cbminer')}"
    yield "hats_version", "v1.0"
