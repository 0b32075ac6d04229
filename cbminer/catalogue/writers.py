"""The catalogue in the four formats that astronomers read: ECSV, FITS, VOTable 1.4 and machine-readable table.

All four are written from the schema and hold the same numbers. None holds a date or anything else that would make
two equal runs differ. The stars are written block by block, so that memory does not grow with their number.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from astropy.table import QTable

from cbminer.catalogue.cells import block_cells
from cbminer.catalogue.ecsv import ecsv_file
from cbminer.catalogue.fits_table import fits_file
from cbminer.catalogue.layout import lay_out
from cbminer.catalogue.mrt import mrt_file
from cbminer.catalogue.plain import plain_table
from cbminer.catalogue.title import CatalogueTitle
from cbminer.catalogue.votable import votable_file
from cbminer.star_blocks import STARS_A_BLOCK

__all__ = ["FORMATS", "CatalogueTitle", "plain_table", "write_catalogue"]

_FILES = {"ecsv": ecsv_file, "fits": fits_file, "vot": votable_file, "mrt": mrt_file}
FORMATS = tuple(_FILES)


def write_catalogue(stars: QTable | Iterable[QTable], folder: Path, stem: str, *, title: CatalogueTitle) -> list[Path]:
    """Write a catalogue in every format.

    Parameters
    ----------
    stars : `~astropy.table.QTable` or iterable of `~astropy.table.QTable`
        Stars in the schema, as `cbminer.catalogue.schema.conform` makes it: a table, or its blocks, which are read
        twice. The files are the same however the stars are divided.
    folder : `~pathlib.Path`
        Folder, which must exist.
    stem : str
        File name without its suffix.
    title : CatalogueTitle
        What the catalogue says of itself.

    Returns
    -------
    list of `~pathlib.Path`
        The files.
    """
    blocks = _blocks_of(stars) if isinstance(stars, QTable) else stars
    layout = lay_out(blocks)
    paths = [folder / f"{stem}.{suffix}" for suffix in FORMATS]
    with ExitStack() as files:
        writers = [
            files.enter_context(open_file(path, layout, title))
            for path, open_file in zip(paths, _FILES.values(), strict=True)
        ]
        for block in blocks:
            cells = block_cells(block)
            for write in writers:
                write(cells)
    return paths


def _blocks_of(table: QTable) -> list[QTable]:
    # Slices share the numbers of the table.
    return [table[first : first + STARS_A_BLOCK] for first in range(0, len(table), STARS_A_BLOCK)]
