"""Target catalogue for 4MOST: a FITS table with the columns of its Facility Simulator's web interface.

The columns, types, units and ranges are known from the list of columns that 4MOST accepts (FMTVERS up to 2.5) in the
public upload form of its TiDES survey, which follows the user manual VIS-MAN-4MOST-47110-1720-0001; which of them are
compulsory, from that survey's guide to submission. The manual itself is not public. Not verified: the allowed values of
MAG_TYPE, CLASSIFICATION and CADENCE, and whether hyphens may stand in names. Sub-survey, template, ruleset, resolution
and magnitude type belong to a programme and have to be set.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import QTable, Table
from astropy.utils.exceptions import AstropyWarning

from cbminer.errors import InputFormatError, SettingsError
from cbminer.followup.target_formats.schema import Cell, Row, check_names, checked_rows, load_schema
from cbminer.followup.target_formats.stars import SIMULATED, LeftOut, TargetStar, star_table
from cbminer.followup.target_formats.text_table import number_cells
from cbminer.followup.target_settings import FourmostSettings
from cbminer.whole_file import written_whole

__all__ = ["check_fourmost", "read_fourmost", "require_fourmost", "write_fourmost"]

_SCHEMA = "fourmost"
_REQUIRED = ("subsurvey", "template", "ruleset", "resolution", "mag_type")
_LIGHT = 299792.458  # km/s
_DTYPES = {"D": "f8", "E": "f4", "I": "i2", "K": "i8"}
_FIXED_DATE = "with the data"


def require_fourmost(settings: FourmostSettings) -> None:
    """Refuse settings that lack what only the programme can know.

    Parameters
    ----------
    settings : FourmostSettings
        Settings of the catalogue.

    Raises
    ------
    SettingsError
        If one is unset.
    """
    unset = [f"targets.fourmost.{name}" for name in _REQUIRED if getattr(settings, name) is None]
    if unset:
        msg = (
            f"a 4MOST catalogue needs {', '.join(unset)}: set them in the settings file, they belong to your sub-survey"
        )
        raise SettingsError(msg)


def write_fourmost(path: Path, stars: Sequence[TargetStar], *, settings: FourmostSettings) -> tuple[LeftOut, ...]:
    """Write the catalogue.

    Parameters
    ----------
    path : `~pathlib.Path`
        File.
    stars : sequence of TargetStar
        The stars.
    settings : FourmostSettings
        What the catalogue says beside them.

    Returns
    -------
    tuple of LeftOut
        Stars whose magnitude in the chosen band is not known.

    Raises
    ------
    SettingsError
        If a setting without a default is unset.
    InputFormatError
        If a star does not fit the format.
    OutputError
        If the file cannot be written.
    """
    require_fourmost(settings)
    rows: list[dict[str, Cell]] = []
    left = []
    for star in stars:
        magnitude = star.V_mag if settings.mag_band == "V" else star.I_mag
        if np.isfinite(magnitude):
            rows.append(_row(star, magnitude, settings))
        else:
            left.append(LeftOut(star.id, "4most", f"{settings.mag_band} is unknown, and MAG needs it"))
    checked = list(checked_rows(load_schema(_SCHEMA), (Row(f"row {i + 1}", r) for i, r in enumerate(rows)), path=path))
    primary, table = fits.PrimaryHDU(), _table(checked)
    primary.header["ORIGIN"] = "cbminer"
    if any(star.simulated for star in stars):
        for part in (primary, table):
            part.header["WARNING"] = SIMULATED
    for part in (primary, table):
        part.add_checksum(when=_FIXED_DATE)
    with written_whole(path) as temporary:
        fits.HDUList([primary, table]).writeto(temporary, overwrite=True)
    return tuple(left)


def _row(star: TargetStar, magnitude: float, settings: FourmostSettings) -> dict[str, Cell]:
    velocity = {"LMC": settings.velocity_LMC, "SMC": settings.velocity_SMC}.get(star.galaxy)
    redshift = None if velocity is None else velocity / _LIGHT
    ratio = settings.E_VI_per_E_BV
    known = ratio is not None and np.isfinite(star.E_VI)
    row: dict[str, Cell] = {
        "NAME": star.id,
        "RA": round(star.RAJ2000 % 360.0, 8) % 360.0,
        "DEC": star.DEJ2000,
        "PMRA": 0.0,
        "PMDEC": 0.0,
        "PARALLAX": 0.0,
        "EPOCH": settings.epoch,
        "RESOLUTION": settings.resolution,
        "SUBSURVEY": settings.subsurvey,
        "CADENCE": settings.cadence,
        "TEMPLATE": settings.template,
        "RULESET": settings.ruleset,
        "REDSHIFT_ESTIMATE": redshift,
        "EXTENT_FLAG": 0,
        "EXTENT_PARAMETER": 0.0,
        "EXTENT_INDEX": 0.0,
        "MAG": round(magnitude, 4),
        "MAG_TYPE": settings.mag_type,
        "REDDENING": max(star.E_VI, 0.0) / ratio if known and ratio is not None else None,
        "TEMPLATE_REDSHIFT": redshift or 0.0,
    }
    if settings.classification is not None:
        row["CLASSIFICATION"] = settings.classification
    return row


def _table(rows: Sequence[dict[str, Cell]]) -> fits.BinTableHDU:
    table = Table()
    for rule in load_schema(_SCHEMA).column:
        if not rule.present and not any(rule.name in row for row in rows):
            continue
        cells = [row.get(rule.name) for row in rows]
        if rule.fits_type == "A":
            data = np.array([str(cell) for cell in cells], dtype=str)
        else:
            data = np.array([np.nan if cell is None else cell for cell in cells], dtype=_DTYPES[rule.fits_type])
        table[rule.name] = data
    hdu = fits.table_to_hdu(table)
    hdu.name = "TARGETS"
    for rule in load_schema(_SCHEMA).column:
        # Spelt as the list of columns spells them: astropy would write mas yr-1.
        if rule.unit:
            hdu.columns[rule.name].unit = rule.unit
    return hdu


def _read(path: Path) -> list[dict[str, Cell]]:
    schema = load_schema(_SCHEMA)
    try:
        with warnings.catch_warnings():
            # A file that is cut or whose checksum is wrong is a warning to astropy alone.
            warnings.simplefilter("error", AstropyWarning)
            # Opened here, so that it is closed whatever astropy raises.
            with path.open("rb") as stream, fits.open(stream, checksum=True) as parts:
                tables = [part for part in parts if isinstance(part, fits.BinTableHDU)]
                if not tables:
                    msg = f"{path} holds no table: name a 4MOST catalogue"
                    raise InputFormatError(msg)
                data, columns = np.array(tables[0].data), tables[0].columns
    except (OSError, ValueError, TypeError, IndexError, KeyError, AstropyWarning) as error:
        msg = f"{path} is no readable FITS file ({error}): name a 4MOST catalogue"
        raise InputFormatError(msg) from error
    check_names(schema, columns.names, path=path)
    _check_types(columns, path)
    rows = (Row(f"row {i + 1}", {name: _plain(row[name]) for name in columns.names}) for i, row in enumerate(data))
    return list(checked_rows(schema, rows, path=path))


def _check_types(columns: Any, path: Path) -> None:
    for rule in load_schema(_SCHEMA).column:
        if rule.name not in columns.names:
            continue
        form, unit = columns[rule.name].format.lstrip("0123456789"), str(columns[rule.name].unit or "")
        if form != rule.fits_type:
            msg = f"{path}, column {rule.name}: its type is {form}: make it {rule.fits_type}"
            raise InputFormatError(msg)
        if u.Unit(unit, parse_strict="silent") != u.Unit(rule.unit):
            wanted = f"write TUNIT = {rule.unit!r}" if rule.unit else "remove TUNIT"
            msg = f"{path}, column {rule.name}: its unit is {unit or 'missing'}: {wanted}"
            raise InputFormatError(msg)


def _plain(value: Any) -> Cell:
    if isinstance(value, bytes | np.bytes_):
        return value.decode("ascii", errors="replace").strip()
    if isinstance(value, str):
        return str(value).strip()
    return int(value) if isinstance(value, np.integer) else float(value)


def read_fourmost(path: Path) -> QTable:
    """Read the catalogue.

    Parameters
    ----------
    path : `~pathlib.Path`
        File.

    Returns
    -------
    `~astropy.table.QTable`
        id, mag_type, subsurvey, RAJ2000, DEJ2000, MAG and EPOCH. Positions are exact to 0.00004 arcsec, magnitudes to
        0.0001 mag.

    Raises
    ------
    InputFormatError
        If the file breaks the format.
    """
    rows = _read(path)
    texts = {"id": "NAME", "mag_type": "MAG_TYPE", "subsurvey": "SUBSURVEY"}
    numbers = {"RAJ2000": "RA", "DEJ2000": "DEC", "MAG": "MAG", "EPOCH": "EPOCH"}
    return star_table(
        {name: [str(row[theirs]) for row in rows] for name, theirs in texts.items()},
        {name: number_cells(rows, theirs) for name, theirs in numbers.items()},
    )


def check_fourmost(path: Path) -> None:
    """Check the catalogue against its schema.

    Parameters
    ----------
    path : `~pathlib.Path`
        File.

    Raises
    ------
    InputFormatError
        If it breaks the format; the message names the row, the column and the remedy.
    """
    _read(path)
