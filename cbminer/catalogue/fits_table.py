"""A catalogue as FITS binary table, written block by block."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from cbminer.catalogue.cells import ColumnCells
from cbminer.catalogue.checksum import add_sum, checksum_text
from cbminer.catalogue.layout import CatalogueLayout
from cbminer.catalogue.schema import COLUMNS
from cbminer.catalogue.title import CatalogueTitle

__all__ = ["fits_file"]

_RECORD = 2880
_FIXED_DATE = "with the data"
_TYPES = {"float": ">f8", "integer": ">i8", "boolean": "S1"}
# What stands for an unknown integer: TNULL of the header.
_UNKNOWN = np.ma.default_fill_value(np.dtype(np.int64))


@contextmanager
def fits_file(
    path: Path, layout: CatalogueLayout, title: CatalogueTitle
) -> Iterator[Callable[[list[ColumnCells]], None]]:
    """Open a catalogue in FITS.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    layout : CatalogueLayout
        Of all blocks that will be written.
    title : CatalogueTitle
        What the catalogue says of itself.

    Yields
    ------
    callable
        Writes a block of stars.
    """
    header = _table_header(layout)
    row = np.dtype([(spec.name, _TYPES.get(spec.kind) or f"S{layout.letters[spec.name]}") for spec in COLUMNS])
    with path.open("w+b") as file:
        file.write(_primary(title))
        begin = file.tell()
        file.write(_encoded(header))

        def write(block: list[ColumnCells]) -> None:
            rows = np.empty(len(block[0].data), dtype=row)
            for column in block:
                rows[column.spec.name] = _stored(column)
            file.write(rows.data)

        yield write
        file.write(bytes(-file.tell() % _RECORD))
        _seal(file, header, begin)


def _stored(column: ColumnCells) -> npt.NDArray[Any]:
    """Give values as FITS holds them."""
    if column.spec.kind == "integer":
        return np.where(column.known, column.data, _UNKNOWN)
    if column.spec.kind == "boolean":
        # As astropy does, which knows no unknown truth values in FITS.
        return np.where(column.known & ~column.data, b"F", b"T")
    return column.data


def _primary(title: CatalogueTitle) -> bytes:
    primary = fits.PrimaryHDU()
    primary.header["LONGSTRN"] = "OGIP 1.0"
    for name, text in title.lines:
        primary.header[name.upper()[:8]] = text
    primary.add_checksum(when=_FIXED_DATE)
    return _encoded(primary.header)


def _encoded(header: fits.Header) -> bytes:
    cards: str = header.tostring()
    return cards.encode("ascii")


def _table_header(layout: CatalogueLayout) -> fits.Header:
    """Write the header of the table, with room for its sums."""
    bare, table = Table(), layout.head()
    for spec in COLUMNS:
        column = table[spec.name]
        data = column.filled("") if spec.kind == "text" else column
        bare[spec.name] = MaskedColumn(data, unit=column.unit)
    hdu = fits.table_to_hdu(bare)
    hdu.name = "CATALOGUE"
    header = hdu.header
    header["NAXIS2"] = layout.n_stars
    # Descriptions are longer than a card: this names the convention by which they go on.
    header["LONGSTRN"] = "OGIP 1.0"
    for index, spec in enumerate(COLUMNS, start=1):
        header[f"TCOMM{index}"] = spec.description
        header[f"TUCD{index}"] = spec.ucd
    header["CHECKSUM"] = ("0" * 16, _FIXED_DATE)
    header["DATASUM"] = ("0", _FIXED_DATE)
    return header


def _seal(file: BinaryIO, header: fits.Header, begin: int) -> None:
    """Write the sums of a table into its header, when all its stars are in the file."""
    file.seek(begin + len(_encoded(header)))
    total = 0
    while records := file.read(_RECORD * 1000):
        total = add_sum(total, records)
    header["DATASUM"] = str(total)
    header["CHECKSUM"] = checksum_text(add_sum(total, _encoded(header)))
    file.seek(begin)
    file.write(_encoded(header))
