"""Readers of reddening maps: which kind of map a file holds, and what the maps of the Clouds look like.

Skowron et al. (2021, ApJS 252, 23)
    E(V-I) of 180 square degrees of the LMC and 75 of the SMC in cells from 1.7' in the centres to 27' outside, with
    errors to both sides. The OGLE service http://ogle.astrouw.edu.pl/cgi-ogle/get_ms_ext.py returns and offers it
    for download; VizieR has it as J/ApJS/252/23, table1. Nothing is fetched here: save the text and give its path.
    What is known of the layout is that of the VizieR copy as public code reads it: a number of the row, the width of
    the cell in arcminutes, right ascension and declination of its centre in degrees, E(V-I), the lower and the upper
    error in mag, and four columns more. The names of the columns, and whether the service gives the width, were not
    seen. They are looked for under the names in use (E(V-I), -sigma1 and +sigma2 or e_E(V-I) and E_E(V-I), box);
    where they have others, ra_column and its like under [reddening] take the name or the number of a column. Should
    the service return a row for every star that it was asked for, and no width, then its rows are no cells: set
    max_separation to some arcseconds.
Gorski et al. (2020, ApJ 889, 179)
    E(B-V) on grids of 3' or 5', text without a header: right ascension and declination in degrees, E(B-V), its
    statistical error, the width of the red clump in (V-I) and its number of stars
    (https://users.camk.edu.pl/bzgirski/reddening.html). Set ra_column = 1, dec_column = 2, value_column = 3,
    error_column = 4, quantity = "E(B-V)" and E_VI_per_E_BV.
Chen et al. (2022, MNRAS 511, 1317)
    FITS table mcmap.fits with RA, DEC, EBV and EBV_ERROR; its cells are of 26" to 55' and have no column of width.
Oden et al. (2025)
    FITS image oden_ebv_3arcmin.fits of E(B-V) with galactic coordinates and without errors. Its header is not
    known to tell what it holds: set quantity = "E(B-V)".
Any HEALPix table
    With the keywords of the HEALPix primer: ORDERING, NSIDE, INDXSCHM, COORDSYS.
"""

from pathlib import Path
from typing import Any

from astropy.io import fits
from astropy.table import Table

from cbminer.errors import InputFormatError
from cbminer.photometry.reddening import ReddeningMap, ReddeningSettings
from cbminer.photometry.reddening_cells import cells_of_table
from cbminer.photometry.reddening_healpix import healpix_of_table, is_healpix
from cbminer.photometry.reddening_image import celestial_images, image_of, is_error_name
from cbminer.photometry.reddening_layers import WHAT, part_of
from cbminer.tables import is_fits, read_user_table

__all__ = ["read_map"]


def read_map(settings: ReddeningSettings) -> ReddeningMap:
    """Read the map that the settings name.

    Parameters
    ----------
    settings : ReddeningSettings
        Path of the map, and how to read it.

    Returns
    -------
    ReddeningMap
        The map, which answers in E(V-I).

    Raises
    ------
    InputFormatError
        If the file is no such map.
    SettingsError
        If the map holds E(B-V) and the settings do not say how to convert it, or if neither the file nor the settings
        tell what it holds.
    """
    path = Path(settings.map or "").expanduser()
    where = f"{WHAT} {path}"
    if not is_fits(path):
        return cells_of_table(read_user_table(path, what=WHAT), settings, where)
    if not path.is_file():
        msg = f"{where} is not there: check the path"
        raise InputFormatError(msg)
    try:
        with fits.open(path) as hdus:
            return _read_part(hdus, settings, where)
    except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
        msg = f"{where} cannot be read as FITS: {error}"
        raise InputFormatError(msg) from error


def _read_part(hdus: Any, settings: ReddeningSettings, where: str) -> ReddeningMap:
    index = _only_map(hdus, where) if settings.hdu is None else part_of(hdus, settings.hdu, "hdu", where)
    hdu = hdus[index]
    if hdu.is_image:
        return image_of(hdus, index, settings, where)
    if is_healpix(hdu):
        return healpix_of_table(hdu, settings, where)
    return cells_of_table(Table.read(hdu), settings, where)


def _only_map(hdus: Any, where: str) -> int:
    """Find the part that holds the map; images of errors and images without coordinates do not count."""
    images = [index for index in celestial_images(hdus) if not is_error_name(hdus[index].name)]
    tables = [index for index, hdu in enumerate(hdus) if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
    found = images or tables
    if not found:
        msg = f"{where} has neither an image with celestial coordinates nor a table"
        raise InputFormatError(msg)
    if len(found) > 1:
        listed = ", ".join(f"{index} {hdus[index].name}" for index in found)
        msg = f"{where} has several maps ({listed}): choose one with hdu, by name or number, under [reddening]"
        raise InputFormatError(msg)
    return found[0]
