"""Names of many stars in little memory: arrays of bytes, a fifth of what as many Python strings take."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = [
    "StarNames",
    "Stars",
    "find_names",
    "first_rows",
    "name_list",
    "names_of_column",
    "names_without",
    "star_names",
]

# UTF-8 in an array of the dtype S: such names sort as the texts do.
StarNames = npt.NDArray[np.bytes_]
Stars = Iterable[str] | StarNames


def star_names(stars: Stars) -> StarNames:
    """Bring names of stars into an array of bytes.

    Parameters
    ----------
    stars : iterable of str, or `~numpy.ndarray`
        Identifiers, as texts or as bytes.

    Returns
    -------
    `~numpy.ndarray`
        The same in UTF-8, dtype S, shape (n,).
    """
    if isinstance(stars, np.ndarray) and stars.dtype.kind == "S":
        return stars
    return np.array([star.encode() for star in stars], dtype=np.bytes_)


def names_of_column(column: pa.Array | pa.ChunkedArray) -> StarNames:
    """Bring a column of names into an array of bytes.

    Parameters
    ----------
    column : `pyarrow.Array` or `pyarrow.ChunkedArray`
        Texts, none of them null.

    Returns
    -------
    `~numpy.ndarray`
        The same in UTF-8, dtype S, shape (n,).
    """
    return np.array(pc.cast(column, pa.binary()).to_pylist(), dtype=np.bytes_)


def name_list(names: StarNames) -> list[str]:
    """Turn names back into texts.

    Parameters
    ----------
    names : `~numpy.ndarray`
        Names as bytes.

    Returns
    -------
    list of str
        The names.
    """
    return [name.decode() for name in names.tolist()]


def find_names(ascending: StarNames, wanted: StarNames) -> npt.NDArray[np.int64]:
    """Find names among others.

    Parameters
    ----------
    ascending : `~numpy.ndarray`
        Names in ascending order, each once, shape (n,).
    wanted : `~numpy.ndarray`
        Names to find, shape (m,).

    Returns
    -------
    `~numpy.ndarray`
        Place of each in `ascending`, -1 if it is not there, shape (m,).
    """
    if not len(ascending):
        return np.full(len(wanted), -1, dtype=np.int64)
    # In the width of the others, which numpy would otherwise bring to that of the wanted ones, all of them each time.
    places = np.searchsorted(ascending, wanted.astype(ascending.dtype, copy=False))
    places = np.minimum(places, len(ascending) - 1)
    return np.where(ascending[places] == wanted, places, -1)


def names_without(names: StarNames, others: StarNames) -> StarNames:
    """Leave out names that stand among others.

    Parameters
    ----------
    names, others : `~numpy.ndarray`
        Names in any order, shapes (n,) and (m,).

    Returns
    -------
    `~numpy.ndarray`
        Names that are not among the others, in their order.
    """
    ascending = others if (others[1:] >= others[:-1]).all() else np.sort(others)
    return names[find_names(ascending, names) < 0]


def first_rows(names: StarNames) -> npt.NDArray[np.int64] | None:
    """Tell for each row where its name stands first.

    Parameters
    ----------
    names : `~numpy.ndarray`
        Names in any order, shape (n,).

    Returns
    -------
    `~numpy.ndarray` or None
        Row of the first of the same name, shape (n,); None if no name stands twice.
    """
    order = np.argsort(names, kind="stable")
    ascending = names[order]
    is_first = np.ones(len(names), dtype=bool)
    is_first[1:] = ascending[1:] != ascending[:-1]
    if is_first.all():
        return None
    first = np.empty(len(names), dtype=np.int64)
    first[order] = order[is_first][np.cumsum(is_first) - 1]
    return first
