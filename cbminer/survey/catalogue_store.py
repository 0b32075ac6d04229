"""The catalogue of a Cloud in Parquet, as it was read from the survey's text files, opened in milliseconds.

The file beside the light curves saves the parsing, nothing more: it names the hashes of the text files that it was
made of, and whatever does not fit them, or is damaged, is left alone and made anew from the text.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.table import MaskedColumn, QTable
from astropy.utils.masked import Masked

from cbminer.columns import float_column, label_column, text_column, values
from cbminer.survey.ogle import CatalogueReading
from cbminer.survey.part import write_whole
from cbminer.survey.textfile import SetAside

__all__ = ["CATALOGUE_FILE", "load_catalogue", "save_catalogue"]

CATALOGUE_FILE = "catalogue.parquet"
# To be raised whenever the same text would be read to another table.
_FORMAT = 1
_ABOUT = b"cbminer"


def save_catalogue(path: Path, reading: CatalogueReading, *, source: Mapping[str, str]) -> None:
    """Write a catalogue, whole or not at all.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    reading : CatalogueReading
        The catalogue.
    source : mapping of str to str
        Names of the text files and their SHA-256.

    Raises
    ------
    ArchiveError
        If the file cannot be written.
    """
    stars = reading.stars
    columns = {name: _kind(stars[name]) for name in stars.colnames}
    about = {
        "format": _FORMAT,
        "source": dict(source),
        "columns": columns,
        "meta": dict(stars.meta),
        "set_aside": [asdict(item) for item in reading.set_aside],
        "counts": reading.counts,
        "release": reading.release,
    }
    arrays = {name: _arrow(stars, name, kind) for name, kind in columns.items()}
    table = pa.table(arrays).replace_schema_metadata({_ABOUT: json.dumps(about).encode()})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    write_whole(path, sink.getvalue().to_pybytes())


def load_catalogue(path: Path, *, source: Mapping[str, str]) -> CatalogueReading | None:
    """Read a catalogue that was written of the same text files.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    source : mapping of str to str
        Names of the text files and their SHA-256.

    Returns
    -------
    CatalogueReading or None
        None if the file is not there, was written of other files or by another version, or is damaged.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            about = json.loads(file.schema_arrow.metadata[_ABOUT])
            if about["format"] != _FORMAT or about["source"] != dict(source):
                return None
            table = file.read()
        stars = QTable({name: _column(table[name], kind) for name, kind in about["columns"].items()})
        stars.meta.update(about["meta"])
        set_aside = [SetAside(**item) for item in about["set_aside"]]
        return CatalogueReading(stars, set_aside, about["counts"], about["release"])
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError):
        return None


def _kind(column: Any) -> dict[str, Any]:
    """Say what a column is, so that it is read back as it was."""
    if isinstance(column, u.Quantity):
        return {"kind": "float", "unit": str(column.unit), "masked": isinstance(column, Masked)}
    return {"kind": "text" if column.dtype.kind == "U" else "integer"}


def _arrow(stars: QTable, name: str, kind: dict[str, Any]) -> pa.Array:
    if kind["kind"] == "text":
        return pa.array(label_column(stars, name).tolist(), pa.string())
    if kind["kind"] == "integer":
        return pa.array(np.asarray(stars[name], dtype=np.int64))
    return pa.array(values(stars, name, kind["unit"]))


def _column(column: pa.ChunkedArray, kind: dict[str, Any]) -> MaskedColumn | u.Quantity | np.ndarray:
    if kind["kind"] == "text":
        return text_column(column.to_pylist())
    data = column.to_numpy()
    if kind["kind"] == "integer":
        return np.array(data)
    return float_column(data, kind["unit"]) if kind["masked"] else u.Quantity(data, kind["unit"])
