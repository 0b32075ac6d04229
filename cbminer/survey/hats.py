"""HATS catalogues: folders of Parquet files by HEALPix pixel, read by what their properties say of them.

A HATS catalogue (IVOA note HATS 1.0) is plain Parquet: a file a pixel, and text files that tell which there are. So no
further package is needed to read one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cbminer.errors import ArchiveError, InputFormatError

__all__ = [
    "PROPERTIES_FILE",
    "SURVEY_PROPERTY",
    "HatsCatalogue",
    "is_hats",
    "nested_columns",
    "partition_path",
    "properties_text",
    "read_hats",
    "read_properties",
]

PROPERTIES_FILE = "hats.properties"
COLLECTION_FILE = "collection.properties"
# What the file was called at first; hats and LSDB still read it.
_OLD_PROPERTIES_FILE = "properties"
PARTITION_FILE = "partition_info.csv"
# What cbminer adds to the properties: the survey of the stars; mock for simulated ones.
SURVEY_PROPERTY = "cbminer_survey"
_KINDS = ("object", "source")
_PAIR = re.compile(r"(?s)((?:\\.|[^\\=: \t\f])+)[ \t\f]*[=: \t\f][ \t\f]*(.*)")
_ESCAPED = re.compile(r"\\(u[0-9a-fA-F]{4}|.)")
_LETTERS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
# A pixel number has at most ten thousand neighbours in its folder.
_PIXELS_A_FOLDER = 10_000


@dataclass(frozen=True)
class HatsCatalogue:
    """A HATS catalogue.

    Attributes
    ----------
    folder : `~pathlib.Path`
        Its folder; of a collection that of the primary table.
    name : str
        What it calls itself.
    files : tuple of `~pathlib.Path`
        Parquet files of all pixels, in the order of pixels.
    ra_column, dec_column : str
        Columns of the positions, empty if it does not say.
    survey : str
        Survey of the stars, if cbminer wrote it; empty otherwise.
    """

    folder: Path
    name: str
    files: tuple[Path, ...]
    ra_column: str
    dec_column: str
    survey: str


def is_hats(folder: Path) -> bool:
    """Tell whether a folder is a HATS catalogue or a collection of them.

    Parameters
    ----------
    folder : `~pathlib.Path`
        The folder.

    Returns
    -------
    bool
        True if its properties are there.
    """
    return (folder / COLLECTION_FILE).is_file() or _properties_of(folder) is not None


def _properties_of(folder: Path) -> Path | None:
    """File of properties of a catalogue; of the old name only beside its data, as anything may be called so."""
    if (folder / PROPERTIES_FILE).is_file():
        return folder / PROPERTIES_FILE
    old = folder / _OLD_PROPERTIES_FILE
    return old if old.is_file() and (folder / "dataset").is_dir() else None


def read_hats(folder: Path) -> HatsCatalogue:
    """Read what a HATS catalogue says of itself.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder of a catalogue or of a collection.

    Returns
    -------
    HatsCatalogue
        The catalogue.

    Raises
    ------
    ArchiveError
        If a file that it names is not there.
    InputFormatError
        If it is no catalogue of rows on the sky, or its properties are damaged.
    """
    path = _properties_of(folder)
    if path is None:
        folder = _primary(folder)
        path = _properties_of(folder) or folder / PROPERTIES_FILE
    properties = read_properties(path)
    kind = properties.get("dataproduct_type", "")
    if kind not in _KINDS:
        msg = (
            f"HATS catalogue {folder} is of the kind {kind or 'unknown'}: --archive takes one of objects or sources "
            f"({path}, dataproduct_type)"
        )
        raise InputFormatError(msg)
    return HatsCatalogue(
        folder=folder,
        name=properties.get("obs_collection", folder.name),
        files=_partition_files(folder, properties.get("hats_npix_suffix", ".parquet")),
        ra_column=properties.get("hats_col_ra", ""),
        dec_column=properties.get("hats_col_dec", ""),
        survey=properties.get(SURVEY_PROPERTY, ""),
    )


def _primary(folder: Path) -> Path:
    """Folder of the table that a collection is about."""
    path = folder / COLLECTION_FILE
    name = read_properties(path).get("hats_primary_table_url", "")
    if not name or "://" in name:
        msg = f"{path} names no primary table here ({name or 'hats_primary_table_url is missing'}): give its own folder"
        raise InputFormatError(msg)
    primary = folder / name
    if _properties_of(primary) is None:
        msg = f"{primary} of the HATS collection {folder} has no {PROPERTIES_FILE}: copy the collection as a whole"
        raise ArchiveError(msg)
    return primary


def _partition_files(folder: Path, suffix: str) -> tuple[Path, ...]:
    """Files of the pixels that the catalogue lists or, where it has no list, of those that are there."""
    listed = folder / PARTITION_FILE
    if listed.is_file():
        places = [partition_path(folder, *pixel, suffix=suffix) for pixel in _listed_pixels(listed)]
    else:
        places = sorted((folder / "dataset").glob("Norder=*/Dir=*/Npix=*"), key=_pixel_of)
    files: list[Path] = []
    for place in places:
        found = sorted(place.rglob("*.parquet")) if place.is_dir() else [place]
        if not found or not found[0].is_file():
            msg = f"{place} of the HATS catalogue {folder} is missing: copy the catalogue as a whole"
            raise ArchiveError(msg)
        files += found
    if not files:
        msg = f"HATS catalogue {folder} has no partitions: {listed} lists none"
        raise ArchiveError(msg)
    return tuple(files)


def _pixel_of(path: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"=(\d+)", "/".join(path.parts[-3:])))


def _listed_pixels(path: Path) -> list[tuple[int, int]]:
    lines = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    try:
        order, pixel = (lines[0].index(name) for name in ("Norder", "Npix"))
        return [(int(words[order]), int(words[pixel])) for words in lines[1:]]
    except (ValueError, IndexError) as error:
        msg = f"{path} is no list of pixels: expected the columns Norder and Npix; copy the catalogue again"
        raise InputFormatError(msg) from error


def partition_path(folder: Path, order: int, pixel: int, *, suffix: str = ".parquet") -> Path:
    """Place of a pixel.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder of the catalogue.
    order, pixel : int
        HEALPix order and number, nested.
    suffix : str, optional
        Ending of the name; ``/`` for a folder.

    Returns
    -------
    `~pathlib.Path`
        File or folder.
    """
    directory = pixel // _PIXELS_A_FOLDER * _PIXELS_A_FOLDER
    return folder / "dataset" / f"Norder={order}" / f"Dir={directory}" / f"Npix={pixel}{suffix.strip('/')}"


def nested_columns(path: Path) -> list[str]:
    """List the columns of a Parquet file that hold tables of their own, as light curves.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.

    Returns
    -------
    list of str
        Lists of structs, and structs of lists, in the order of the file.

    Raises
    ------
    InputFormatError
        If it is no Parquet file.
    """
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        msg = f"{path} cannot be read as Parquet ({str(error).strip().splitlines()[0]}): copy or write it again"
        raise InputFormatError(msg) from error
    return [field.name for field in schema if _is_nested(field.type)]


def _is_nested(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return kind.num_fields > 0 and all(_is_list(kind.field(place).type) for place in range(kind.num_fields))
    return _is_list(kind) and pa.types.is_struct(kind.value_type)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def read_properties(path: Path) -> dict[str, str]:
    """Read a file of properties as Java and HATS write them.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.

    Returns
    -------
    dict of str to str
        Values by name.

    Raises
    ------
    InputFormatError
        If it cannot be read as text.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read as a file of properties: copy the catalogue again"
        raise InputFormatError(msg) from error
    found = {}
    for line in _logical_lines(text):
        pair = _PAIR.fullmatch(line)
        name, value = pair.groups() if pair else (line, "")
        found[_plain(name)] = _plain(value)
    return found


def _logical_lines(text: str) -> list[str]:
    """Lines without comments; one that ends in an odd number of backslashes goes on in the next."""
    lines: list[str] = []
    goes_on = False
    for line in re.split(r"\r\n|\n|\r", text):
        plain = line.lstrip(" \t\f")
        if not goes_on and (not plain or plain[0] in "#!"):
            continue
        slashes = len(plain) - len(plain.rstrip("\\"))
        own = plain[:-1] if slashes % 2 else plain
        if goes_on:
            lines[-1] += own
        else:
            lines.append(own)
        goes_on = bool(slashes % 2)
    return lines


def _plain(text: str) -> str:
    def letter(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if len(code) == 5 else _LETTERS.get(code, code)

    return _ESCAPED.sub(letter, text)


def properties_text(properties: Mapping[str, str]) -> str:
    """Write properties.

    Parameters
    ----------
    properties : mapping of str to str
        Values by name.

    Returns
    -------
    str
        What `read_properties` reads.
    """
    lines = (f"{_escaped(name, ' =:#!')}={_escaped(value, '')}" for name, value in properties.items())
    return "\n".join(["#HATS catalog", *lines, ""])


def _escaped(text: str, special: str) -> str:
    text = text.replace("\\", "\\\\")
    for code, letter in _LETTERS.items():
        text = text.replace(letter, f"\\{code}")
    if not special and text.startswith(" "):
        text = f"\\{text}"
    return "".join(f"\\{letter}" if letter in special else letter for letter in text)
