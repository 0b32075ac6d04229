"""Footprint of the targets: a multi-order coverage map of a field about each star.

The format is that of the IVOA recommendation *MOC* 2.0 (2022), which Aladin and TOPCAT understand. It is written and
read by mocpy of CDS, a small package without dependencies of its own beyond astropy (extra ``[observe]``).
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import Latitude, Longitude
from astropy.io import fits
from astropy.table import QTable
from astropy.utils.exceptions import AstropyWarning

from cbminer.errors import InputFormatError, SettingsError
from cbminer.followup.target_formats.stars import SIMULATED, LeftOut, TargetStar
from cbminer.followup.target_settings import MocSettings
from cbminer.whole_file import written_whole

__all__ = ["check_moc", "read_moc", "require_mocpy", "write_moc"]


def require_mocpy() -> Any:
    """Load mocpy.

    Returns
    -------
    type
        ``mocpy.MOC``.

    Raises
    ------
    SettingsError
        If it is not installed.
    """
    try:
        from mocpy import MOC
    except ImportError as error:
        msg = 'mocpy is not installed: pip install "cbminer[observe]", or leave moc out of the formats'
        raise SettingsError(msg) from error
    return MOC


def write_moc(path: Path, stars: Sequence[TargetStar], *, settings: MocSettings) -> tuple[LeftOut, ...]:
    """Write the coverage.

    Parameters
    ----------
    path : `~pathlib.Path`
        File.
    stars : sequence of TargetStar
        The stars.
    settings : MocSettings
        Size of the fields and of the cells.

    Returns
    -------
    tuple of LeftOut
        None: a position is enough.

    Raises
    ------
    SettingsError
        If mocpy is not installed.
    OutputError
        If the file cannot be written.
    """
    moc = require_mocpy()
    if stars:
        coverage = moc.from_cones(
            lon=Longitude([star.RAJ2000 for star in stars] * u.deg),
            lat=Latitude([star.DEJ2000 for star in stars] * u.deg),
            radius=settings.radius * u.arcsec,
            max_depth=settings.max_order,
            union_strategy="large_cones",
        )
    else:
        coverage = moc.new_empty(settings.max_order)
    words = {"MOCID": "cbminer-targets"}
    if any(star.simulated for star in stars):
        words["WARNING"] = SIMULATED
    with written_whole(path) as temporary:
        coverage.save(temporary, format="fits", overwrite=True, fits_keywords=words)
    return ()


def _read(path: Path) -> Any:
    moc = require_mocpy()
    try:
        with warnings.catch_warnings():
            # mocpy reads what is left of a file that was cut; astropy warns of it.
            warnings.simplefilter("error", AstropyWarning)
            with path.open("rb") as stream, fits.open(stream) as parts:
                parts.verify("exception")
                n_cells = len(parts[1].data)
        found = moc.from_fits(path)
    # mocpy passes on what its Rust part raises.
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, AstropyWarning) as error:
        msg = f"{path} is no coverage map ({error}): name a MOC in FITS"
        raise InputFormatError(msg) from error
    if n_cells and found.empty():
        msg = f"{path} is no coverage map that can be read: name a MOC in FITS"
        raise InputFormatError(msg)
    return found


def read_moc(path: Path) -> QTable:
    """Read the coverage.

    Parameters
    ----------
    path : `~pathlib.Path`
        File.

    Returns
    -------
    `~astropy.table.QTable`
        order and cell: a row a HEALPix cell, nested, in ICRS.

    Raises
    ------
    InputFormatError
        If it is none.
    SettingsError
        If mocpy is not installed.
    """
    cells = _read(path).serialize(format="json")
    found = sorted((int(order), int(cell)) for order, numbers in cells.items() for cell in numbers)
    table = QTable()
    table["order"] = np.array([order for order, _ in found], dtype=np.int64)
    table["cell"] = np.array([cell for _, cell in found], dtype=np.int64)
    return table


def check_moc(path: Path) -> None:
    """Check that a file is a coverage map of something.

    Parameters
    ----------
    path : `~pathlib.Path`
        File.

    Raises
    ------
    InputFormatError
        If it is none, or covers nothing.
    SettingsError
        If mocpy is not installed.
    """
    if _read(path).empty():
        msg = f"{path} covers nothing: write the list again"
        raise InputFormatError(msg)
