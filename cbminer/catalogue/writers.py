"""The catalogue in the four formats that astronomers read: ECSV, FITS, VOTable 1.4 and machine-readable table.

All four are written from the schema and hold the same numbers. None holds a date or anything else that would make
two equal runs differ.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.io.votable import tree as votable_tree
from astropy.table import MaskedColumn, QTable, Table

from cbminer.catalogue.mrt import machine_readable_table
from cbminer.catalogue.schema import COLUMNS
from cbminer.columns import label_column, values

__all__ = ["FORMATS", "CatalogueTitle", "plain_table", "write_catalogue"]

FORMATS = ("ecsv", "fits", "vot", "mrt")
_FIXED_DATE = "with the data"


@dataclass(frozen=True)
class CatalogueTitle:
    """What a catalogue says of itself.

    Attributes
    ----------
    title : str
        Title, one line.
    survey : str
        Survey the stars come from; "mock" for simulated stars.
    source : str
        Release of the survey's catalogue.
    version : str
        Version of cbminer.
    """

    title: str
    survey: str
    source: str
    version: str

    @property
    def lines(self) -> list[tuple[str, str]]:
        """Names and values, in order."""
        found = [
            ("title", self.title),
            ("survey", self.survey),
            ("source", self.source),
            ("creator", f"cbminer {self.version}"),
        ]
        if self.survey == "mock":
            found.append(("warning", "simulated stars, not observations"))
        return found


def write_catalogue(table: QTable, folder: Path, stem: str, *, title: CatalogueTitle) -> list[Path]:
    """Write a catalogue in every format.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        Table in the schema, as `cbminer.catalogue.schema.conform` makes it.
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
    plain = plain_table(table)
    writers = {"ecsv": _write_ecsv, "fits": _write_fits, "vot": _write_votable, "mrt": _write_mrt}
    paths = []
    for suffix in FORMATS:
        path = folder / f"{stem}.{suffix}"
        writers[suffix](plain, path, title)
        paths.append(path)
    return paths


def plain_table(table: QTable) -> Table:
    """Turn quantities into plain masked columns with units, which every format can hold.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        Table in the schema.

    Returns
    -------
    `~astropy.table.Table`
        The same values, units, descriptions, formats and UCDs.
    """
    plain = Table()
    for spec in COLUMNS:
        if spec.kind == "float":
            data = values(table, spec.name, spec.unit)
            column = MaskedColumn(data, mask=np.isnan(data), unit=spec.unit or None, format=spec.format)
        elif spec.kind == "text":
            labels = label_column(table, spec.name)
            column = MaskedColumn(labels, mask=labels == "")
        else:
            column = MaskedColumn(table[spec.name])
        column.description = spec.description
        column.info.meta = {"ucd": spec.ucd}
        plain[spec.name] = column
    return plain


def _write_ecsv(table: Table, path: Path, title: CatalogueTitle) -> None:
    written = table.copy()
    written.meta = dict(title.lines)
    # Fixed decimals keep the file small and readable; the values are rounded to them already.
    written.write(path, format="ascii.ecsv", overwrite=True)


def _write_fits(table: Table, path: Path, title: CatalogueTitle) -> None:
    bare = Table()
    for spec in COLUMNS:
        column = table[spec.name]
        data = column.filled("") if spec.kind == "text" else column
        bare[spec.name] = MaskedColumn(data, unit=column.unit)
    hdu = fits.table_to_hdu(bare)
    hdu.name = "CATALOGUE"
    # Descriptions are longer than a card: this names the convention by which they go on.
    hdu.header["LONGSTRN"] = "OGIP 1.0"
    for index, spec in enumerate(COLUMNS, start=1):
        hdu.header[f"TCOMM{index}"] = spec.description
        hdu.header[f"TUCD{index}"] = spec.ucd
    primary = fits.PrimaryHDU()
    primary.header["LONGSTRN"] = "OGIP 1.0"
    for name, text in title.lines:
        primary.header[name.upper()[:8]] = text
    for part in (primary, hdu):
        part.add_checksum(when=_FIXED_DATE)
    fits.HDUList([primary, hdu]).writeto(path, overwrite=True)


def _write_votable(table: Table, path: Path, title: CatalogueTitle) -> None:
    document = from_table(table, table_id="catalogue")
    document.version = "1.4"
    document.description = title.title
    resource = document.resources[0]
    standard = {"version_1_4_or_later": True, "version": "1.4"}
    resource.coordinate_systems.append(votable_tree.CooSys(ID="icrs", system="ICRS", epoch="J2000.0"))
    resource.time_systems.append(
        votable_tree.TimeSys(ID="hjd", timeorigin=0.0, timescale="UTC", refposition="HELIOCENTER", config=standard)
    )
    for name, text in title.lines:
        resource.infos.append(votable_tree.Info(name=name, value=text))
    references = {"RAJ2000": "icrs", "DEJ2000": "icrs", "T0": "hjd"}
    for field, spec in zip(resource.tables[0].fields, COLUMNS, strict=True):
        field.ucd = spec.ucd
        field.description = spec.description
        if spec.name in references:
            field.ref = references[spec.name]
        if spec.kind == "float":
            field.precision = str(spec.decimals)
    document.to_xml(str(path), tabledata_format="tabledata")


def _write_mrt(table: Table, path: Path, title: CatalogueTitle) -> None:
    text = machine_readable_table(
        table,
        title=title.title,
        authors=f"cbminer {title.version}",
        subject=f"{title.title}; survey {title.survey}, {title.source}",
    )
    path.write_text(text, encoding="utf-8")
