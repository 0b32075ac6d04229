"""Tables of an archive: which files there are, how they are laid out, and whether they are what they were."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cbminer.errors import ArchiveError, InputFormatError, SettingsError
from cbminer.survey.hats import HatsCatalogue, is_hats, nested_columns, read_hats
from cbminer.survey.intake import file_state
from cbminer.survey.table_identifiers import is_table_name
from cbminer.survey.table_periods import IDENTIFIERS
from cbminer.survey.table_reading import open_source
from cbminer.survey.table_settings import TableLayout, TableSettings, table_layout

__all__ = ["TableFiles", "find_table_files", "is_table_place"]

# To be raised whenever the same tables would be read to other stars or light curves.
_FORMAT = 1
_HATS_PRESET = "hats"
# Text files that may be anything are tables only where somebody says how they are laid out.
_ANY_TEXT = (".dat", ".txt", ".asc", ".ascii", ".lc", ".xml")


@dataclass(frozen=True)
class TableFiles:
    """Tables of an archive.

    Attributes
    ----------
    root : `~pathlib.Path`
        Folder or file, as given.
    curves : tuple of `~pathlib.Path`
        Tables of light curves, in a fixed order.
    stars : `~pathlib.Path` or None
        Table of stars, where they have one of their own.
    layout : TableLayout
        How stars are laid out.
    point_layout : TableLayout
        How points are laid out, without what they do not need to say of their stars.
    row_a_star : bool
        Whether each row of the tables is a star with all of its points.
    name : str
        What the catalogue is called.
    """

    root: Path
    curves: tuple[Path, ...]
    stars: Path | None
    layout: TableLayout
    point_layout: TableLayout
    row_a_star: bool
    name: str

    def state(self) -> str:
        """Tell the state of files and layout: while it stays the same, nothing has to be read again.

        Returns
        -------
        str
            Hash of names, sizes, times of the last change, and of what the layout says.
        """
        files = [*self.curves, *([self.stars] if self.stars else [])]
        states = {str(path): file_state(path) for path in files}
        layout = asdict(self.layout) | {"optional": sorted(self.layout.optional), "points_in_memory": 0}
        if len(self.layout.bands) == len(self.layout.bands_second) == 1:
            # Without a choice of bands no error decides about one.
            layout["max_mag_err"] = 0
        content = json.dumps([_FORMAT, states, layout, self.row_a_star], sort_keys=True, default=str)
        return hashlib.sha256(content.encode()).hexdigest()


def is_table_place(root: Path, settings: TableSettings) -> bool:
    """Tell whether a folder or a file holds tables of light curves and not an archive in OGLE's layout.

    Parameters
    ----------
    root : `~pathlib.Path`
        Folder or file.
    settings : TableSettings
        Their layout.

    Returns
    -------
    bool
        True for a HATS catalogue, a table, and a folder of tables.
    """
    if root.is_dir():
        return is_hats(root) or (not _is_ogle(root) and bool(_tables_in(root, settings)))
    return root.is_file() and is_table_name(root)


def _is_ogle(root: Path) -> bool:
    places = (root, root / "ecl", *(root / cloud / "ecl" for cloud in ("lmc", "smc")))
    return any((place / content).exists() for place in places for content in ("ident.dat", "phot", "phot.tar.gz"))


def _tables_in(folder: Path, settings: TableSettings) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if is_table_name(path) and path.is_file())
    if settings.preset or settings.time_column:
        return found
    return [path for path in found if not path.name.lower().removesuffix(".gz").endswith(_ANY_TEXT)]


def find_table_files(root: Path, *, settings: TableSettings, max_mag_err: float = math.inf) -> TableFiles:
    """Find the tables of an archive, and how they are laid out.

    Parameters
    ----------
    root : `~pathlib.Path`
        HATS catalogue, table, or folder of tables of one layout.
    settings : TableSettings
        Their layout, as far as it does not follow from the catalogue itself.
    max_mag_err : float, optional
        Largest error of a point that counts where a star has points in several bands, mag.

    Returns
    -------
    TableFiles
        The tables.

    Raises
    ------
    ArchiveError
        If a file that must be there is not.
    InputFormatError
        If a file is not what it should be.
    SettingsError
        If the layout is incomplete, or several columns may hold the light curves.
    """
    stars = _stars_table(root, settings)
    if root.is_dir() and is_hats(root):
        hats = read_hats(root)
        curves, name = hats.files, f"HATS catalogue {hats.name}"
        settings = _hats_settings(hats, settings)
    else:
        curves = tuple(path for path in _tables_in(root, settings) if path != stars) if root.is_dir() else (root,)
        name = f"table {root.name}"
    if not curves:
        msg = f"{root} holds no table of light curves: --archive takes a table, or a folder of them"
        raise ArchiveError(msg)
    layout = table_layout(settings, max_mag_err=max_mag_err)
    # A star whose points are in several tables cannot be stored before all of them are read.
    row_a_star = stars is None and "id" in layout.names and _is_row_a_star(curves[0], layout)
    point_layout = _point_layout(layout, stars)
    if stars:
        # Where a file is a star, the table of stars has a column of names all the same.
        layout = replace(layout, names={"id": IDENTIFIERS} | layout.names)
    return TableFiles(root, curves, stars, layout, point_layout, row_a_star, name)


def _point_layout(layout: TableLayout, stars: Path | None) -> TableLayout:
    """Layout of points, which need a position only to bring times to the Sun, and may have it from another table."""
    spare = {"period", "epoch"} if layout.time_at == "earth" else {"period", "epoch", "ra", "dec"}
    return replace(
        layout,
        names={role: names for role, names in layout.names.items() if role not in spare},
        star_names={},
        optional=layout.optional | ({"ra", "dec"} if stars else set()),
        any_error=True,
    )


def _stars_table(root: Path, settings: TableSettings) -> Path | None:
    if not settings.catalogue:
        return None
    folder = root if root.is_dir() else root.parent
    path = folder / Path(settings.catalogue).expanduser()
    if not path.is_file():
        msg = f"table of stars {path} is not there: give its path, or one relative to {folder}, as catalogue in [table]"
        raise ArchiveError(msg)
    return path


def _hats_settings(hats: HatsCatalogue, settings: TableSettings) -> TableSettings:
    """Take from the catalogue what the settings leave open."""
    found: dict[str, object] = {"preset": settings.preset or _HATS_PRESET}
    for name, column in (("ra_column", hats.ra_column), ("dec_column", hats.dec_column)):
        if getattr(settings, name) is None and column:
            found[name] = (column,)
    if settings.survey is None and not settings.preset:
        found["survey"] = hats.survey or hats.name
    chosen = settings.model_copy(update=found)
    if settings.nested_column is None and not settings.preset:
        found["nested_column"] = _nested_column(hats, chosen)
    return settings.model_copy(update=found)


def _nested_column(hats: HatsCatalogue, settings: TableSettings) -> str | None:
    """Find the column of light curves: the only one that holds tables with a time."""
    times = table_layout(settings).names["time"]
    available = open_source(hats.files[0]).names
    if set(times) & set(available):
        return None
    found = [name for name in nested_columns(hats.files[0]) if any(f"{name}.{time}" in available for time in times)]
    if len(found) == 1:
        return found[0]
    nested = nested_columns(hats.files[0])
    what = f"columns {', '.join(found)} each" if found else f"no nested column ({', '.join(nested) or 'there is none'})"
    msg = (
        f"HATS catalogue {hats.folder}: {what} has a time called {' or '.join(times)}: name the column of light curves "
        f"as nested_column, and the columns in it, under [table]"
    )
    raise SettingsError(msg)


def _is_row_a_star(path: Path, layout: TableLayout) -> bool:
    source = open_source(path)
    time = next((name for name in layout.names["time"] if name in source.names), None)
    if time is None:
        msg = f"table of light curves {path} has no column for time ({' or '.join(layout.names['time'])}): name it"
        raise InputFormatError(msg)
    return source.is_list(time)
