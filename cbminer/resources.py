"""Data files that the package ships, found in an installed wheel and in a checkout alike."""

from pathlib import Path

from astropy.table import QTable

from cbminer.errors import ResourceNotFoundError

__all__ = ["catalog_path", "grid_path", "known_massive_contact_binaries"]

_PACKAGE = Path(__file__).parent
# The wheel holds the files inside of the package, a checkout beside it.
_CATALOGS = (_PACKAGE / "_catalogs", _PACKAGE.parent / "catalogs")
_GRIDS = (_PACKAGE / "_grids", _PACKAGE.parent / "grids")


def catalog_path(name: str) -> Path:
    """Path of a reference table.

    Parameters
    ----------
    name : str
        File name.

    Returns
    -------
    `~pathlib.Path`
        The file.

    Raises
    ------
    ResourceNotFoundError
        If the package does not ship it.
    """
    return _find(name, _CATALOGS, "reference table")


def grid_path(name: str) -> Path:
    """Path of a file that was computed for the package, such as the embedding of the morphology parameter.

    Parameters
    ----------
    name : str
        Path below the folder of grids.

    Returns
    -------
    `~pathlib.Path`
        The file.

    Raises
    ------
    ResourceNotFoundError
        If the package does not ship it.
    """
    return _find(name, _GRIDS, "computed file")


def _find(name: str, places: tuple[Path, ...], what: str) -> Path:
    for place in places:
        if (place / name).is_file():
            return place / name
    msg = f"{what} {name} is not part of this installation: install cbminer again"
    raise ResourceNotFoundError(msg)


def known_massive_contact_binaries() -> QTable:
    """Known massive contact and near-contact binaries with their published parameters.

    Returns
    -------
    `~astropy.table.QTable`
        A row a system with units and a source; unknown values are masked.
    """
    return QTable.read(catalog_path("known_massive_contact_binaries.ecsv"), format="ascii.ecsv")
