"""The catalogue of a Cloud in Parquet, as it was read from the survey's text files, opened in milliseconds.

The file beside the light curves saves the parsing, nothing more: it names the hashes of the text files that it was
made of, and whatever does not fit them, or is damaged, is left alone and made anew from the text. Its stars are read
block by block, each time that they are needed.
"""

import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from astropy.table import QTable

from cbminer.errors import ArchiveError
from cbminer.star_blocks import table_from_arrow, table_to_arrow
from cbminer.survey.ogle import CatalogueReading
from cbminer.survey.part import fsync_folder, refuse_full_disk
from cbminer.survey.textfile import SetAside

__all__ = ["CATALOGUE_FILE", "CatalogueBlocks", "load_catalogue", "save_catalogue"]

CATALOGUE_FILE = "catalogue.parquet"
# To be raised whenever the same text would be read to another table.
_FORMAT = 2
_ABOUT = b"cbminer"
_READING = b"cbminer reading"


class CatalogueBlocks:
    """Stars of a catalogue file, read anew each time that they are gone through.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    schema : `pyarrow.Schema`
        Its schema, with all that was said of it when it was opened.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path = path
        self._schema = schema

    def __iter__(self) -> Iterator[QTable]:
        """Read the stars, block by block."""
        yield from self.columns(None)

    def columns(self, names: Sequence[str] | None) -> Iterator[QTable]:
        """Read some columns of the stars, block by block.

        Parameters
        ----------
        names : sequence of str or None
            The columns; all for None.

        Yields
        ------
        `~astropy.table.QTable`
            These columns of a block.

        Raises
        ------
        ArchiveError
            If the file is not any more what it was when it was opened.
        """
        about = self._schema.metadata[_ABOUT]
        try:
            with pq.ParquetFile(self.path, page_checksum_verification=True) as file:
                if not file.schema_arrow.equals(self._schema, check_metadata=True):
                    raise _changed(self.path)
                for number in range(file.num_row_groups):
                    table = file.read_row_group(number, columns=None if names is None else list(names))
                    yield table_from_arrow(table.replace_schema_metadata({_ABOUT: about}))
        except (OSError, pa.ArrowException) as error:
            raise _changed(self.path) from error


def _changed(path: Path) -> ArchiveError:
    return ArchiveError(f"{path} was changed or removed while it was in use: run the command again")


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
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            _write(stream, reading, source)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise refuse_full_disk(error, path) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    fsync_folder(path.parent)


def _write(stream: Any, reading: CatalogueReading, source: Mapping[str, str]) -> None:
    content: dict[str, Any] = {
        "format": _FORMAT,
        "source": dict(source),
        "set_aside": [asdict(item) for item in reading.set_aside],
        "counts": reading.counts,
        "release": reading.release,
    }
    tables = map(table_to_arrow, reading.blocks)
    first = next(tables)
    metadata = {_ABOUT: first.schema.metadata[_ABOUT], _READING: json.dumps(content).encode()}
    schema = first.schema.with_metadata(metadata)
    with pq.ParquetWriter(stream, schema, compression="zstd", write_page_checksum=True) as writer:
        writer.write_table(first.cast(schema))
        for table in tables:
            writer.write_table(table.cast(schema))


def load_catalogue(path: Path, *, source: Mapping[str, str]) -> CatalogueReading | None:
    """Open a catalogue that was written of the same text files.

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
            schema = file.schema_arrow
            content = json.loads(schema.metadata[_READING])
            if content["format"] != _FORMAT or content["source"] != dict(source):
                return None
            # Every block once, so that damage is found here, where the file can still be made anew.
            for number in range(file.num_row_groups):
                file.read_row_group(number)
        set_aside = [SetAside(**item) for item in content["set_aside"]]
        blocks = CatalogueBlocks(path, schema)
        return CatalogueReading(blocks, set_aside, content["counts"], content["release"])
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError):
        return None
