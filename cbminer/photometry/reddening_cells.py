"""Maps of reddening as tables: a row a cell, with the position of its centre and, in some, its width."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.table import Table
from scipy.spatial import cKDTree

from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError, SettingsError
from cbminer.photometry.reddening import MapSample, ReddeningSettings
from cbminer.photometry.reddening_layers import (
    Layers,
    chosen_column,
    conversion,
    is_known,
    missing_column,
    sample_of,
    value_columns,
)
from cbminer.tables import number_column

__all__ = ["CellMap", "cells_of_table"]

_RA_NAMES = (
    *("ra", "raj2000", "ra_j2000", "_raj2000", "radeg", "ra_deg", "ra_icrs", "_ra", "_ra.icrs", "ra(j2000)", "alpha"),
    *("rightascension", "right_ascension"),
)
_DEC_NAMES = (
    *("dec", "dej2000", "dec_j2000", "decj2000", "_dej2000", "dedeg", "de", "dec_deg", "de_icrs", "_de", "_de.icrs"),
    *("dec(j2000)", "decl", "delta", "declination"),
)
_SIZE_NAMES = ("box", "size", "boxsize", "box_size", "cell", "cell_size", "res", "resolution", "pixel_size", "width")
# Stars a pass: bounds the memory whatever the number of stars.
_CHUNK = 50_000
# The cell that holds a star is the nearest of its own width, and among the few nearest where widths differ by less
# than a factor of two, as they do within one of the groups below.
_NEIGHBOURS = 8
_ROUNDING = 1.0 + 1e-9
_SEXAGESIMAL = re.compile(r"([+-]?)(\d{1,3})[:hd°\s]\s*([0-5]?\d)[:m'\s]\s*([0-5]?\d(?:\.\d*)?)[s\"]?")


@dataclass(frozen=True)
class CellMap:
    """Cells of a map, each with a position.

    Attributes
    ----------
    ra, dec : `~numpy.ndarray`
        Centres of the cells in degrees, ICRS.
    layers : Layers
        Reddening and errors of the cells.
    size : `~numpy.ndarray` or None
        Widths of the square cells in degrees; None where the map does not give them.
    max_separation : float
        Reach of a cell of unknown width in degrees.

    Notes
    -----
    Without widths a star takes the nearest cell within `max_separation`. With widths it takes the cell that holds
    it; its sides are taken to run along right ascension and declination. A grid may be turned against them, as one
    laid out in a projection is away from its centre, so that small gaps and overlaps arise at the corners: in an
    overlap the star takes the cell to whose centre it is nearest in units of the width, and so it does in a gap if it
    lies within the circle about that cell.
    """

    ra: FloatArray
    dec: FloatArray
    layers: Layers
    size: FloatArray | None
    max_separation: float

    def at(self, ra: FloatArray, dec: FloatArray) -> MapSample:
        """Reddening at positions.

        Parameters
        ----------
        ra, dec : `~numpy.ndarray`
            Positions in degrees, ICRS, shape (n,).

        Returns
        -------
        MapSample
            The reddening, shape (n,).
        """
        index = np.full(len(ra), -1, dtype=np.int64)
        placed = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
        for start in range(0, len(placed), _CHUNK):
            part = placed[start : start + _CHUNK]
            stars = _unit_vectors(ra[part], dec[part])
            index[part] = self._nearest(stars) if self.size is None else self._holding(stars, self.size)
        inside = index >= 0
        return sample_of(self.layers.take((np.where(inside, index, 0),)), inside)

    @cached_property
    def _centres(self) -> FloatArray:
        return _unit_vectors(self.ra, self.dec)

    @cached_property
    def _tree(self) -> Any:
        return cKDTree(self._centres)

    @cached_property
    def _groups(self) -> list[tuple[npt.NDArray[np.int64], Any, float]]:
        """Cells whose widths differ by less than a factor of two: their indices, a tree, their greatest width."""
        return list(self._grouped())

    def _grouped(self) -> Iterator[tuple[npt.NDArray[np.int64], Any, float]]:
        width = np.asarray(self.size)
        # Counted from the smallest width, a little below it, so that rounded equal widths stay together.
        octave = np.floor(np.log2(width / width.min() * 1.1)).astype(int)
        for group in np.unique(octave):
            members = np.flatnonzero(octave == group)
            yield members, cKDTree(self._centres[members]), float(width[members].max())

    def _nearest(self, stars: FloatArray) -> npt.NDArray[np.int64]:
        """Nearest cell within reach, -1 if there is none."""
        _, index = self._tree.query(stars, distance_upper_bound=_chord(self.max_separation) * _ROUNDING)
        return np.where(index < len(self.ra), index, -1)

    def _holding(self, stars: FloatArray, size: FloatArray) -> npt.NDArray[np.int64]:
        """Cell that holds each star, -1 if there is none."""
        best, cell = np.full(len(stars), np.inf), np.full(len(stars), -1)
        for members, tree, widest in self._groups:
            reach = _chord(widest / np.sqrt(2.0)) * _ROUNDING
            k = min(_NEIGHBOURS, len(members))
            distance, near = tree.query(stars, k=k, distance_upper_bound=reach)
            distance, near = distance.reshape(len(stars), k), near.reshape(len(stars), k)
            candidates = members[np.where(near < len(members), near, 0)]
            rank = self._rank(stars, candidates, distance, size[candidates])
            column = np.argmin(rank, axis=1)
            rows = np.arange(len(stars))
            better = rank[rows, column] < best
            best = np.where(better, rank[rows, column], best)
            cell = np.where(better, candidates[rows, column], cell)
        return cell

    def _rank(
        self, stars: FloatArray, candidates: npt.NDArray[np.int64], distance: FloatArray, size: FloatArray
    ) -> FloatArray:
        """Distance from the centre in widths, raised by 1 outside of the square and infinite outside of its circle."""
        ra, dec = np.radians(self.ra[candidates]), np.radians(self.dec[candidates])
        x, y, z = (stars[:, axis, np.newaxis] for axis in range(3))
        east = y * np.cos(ra) - x * np.sin(ra)
        north = z * np.cos(dec) - np.sin(dec) * (x * np.cos(ra) + y * np.sin(ra))
        held = np.maximum(np.abs(east), np.abs(north)) <= np.sin(np.radians(size / 2.0)) * _ROUNDING
        near = distance <= _chord(size / np.sqrt(2.0)) * _ROUNDING
        return np.where(near, distance / np.radians(size) + np.where(held, 0.0, 1.0), np.inf)


def _unit_vectors(ra: FloatArray, dec: FloatArray) -> FloatArray:
    alpha, delta = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(delta) * np.cos(alpha), np.cos(delta) * np.sin(alpha), np.sin(delta)], axis=-1)


def _chord(angle: Any) -> Any:
    """Distance of two points of the unit sphere that are `angle` degrees apart."""
    return 2.0 * np.sin(np.radians(angle) / 2.0)


def cells_of_table(table: Table, settings: ReddeningSettings, where: str) -> CellMap:
    """Make a map from a table of cells.

    Parameters
    ----------
    table : `~astropy.table.Table`
        A row a cell.
    settings : ReddeningSettings
        Columns, and what the map holds.
    where : str
        Name of the map in messages.

    Returns
    -------
    CellMap
        The map in E(V-I). Rows without a position are left out; so are, of a map without widths, those without a
        value, since the nearest cell that has one tells more than the mean of a whole Cloud, and, of a map with
        widths, those without a width.

    Raises
    ------
    InputFormatError
        If a column is missing, holds no numbers, or no row is left.
    SettingsError
        If the settings do not say how to read the map.
    """
    if settings.interpolation != "nearest":
        msg = f'{where} has cells, which cannot be interpolated: set interpolation = "nearest" under [reddening]'
        raise SettingsError(msg)
    ra = _position(table, _RA_NAMES, settings.ra_column, "ra_column", where)
    dec = _position(table, _DEC_NAMES, settings.dec_column, "dec_column", where)
    names = value_columns(table, settings, where)
    factor = conversion(names.quantity, settings, where)
    value = number_column(table, names.value, unit="mag", where=where)
    size = _sizes(table, settings, where)
    good = np.isfinite(ra) & np.isfinite(dec) & (is_known(value) if size is None else size > 0)
    if not good.any():
        msg = f"{where} has no cell with a position and a {'value' if size is None else 'width'}"
        raise InputFormatError(msg)
    lower, upper = (_errors(table, name, good, where) for name in (names.lower, names.upper))
    layers = Layers(value[good], lower, upper, factor)
    return CellMap(ra[good], dec[good], layers, None if size is None else size[good], settings.max_separation)


def _errors(table: Table, name: str | None, good: npt.NDArray[np.bool_], where: str) -> Any:
    """Errors to one side; a column of them all with a minus sign, as a lower error may be written, is turned."""
    if name is None:
        return None
    errors = number_column(table, name, unit="mag", where=where)[good]
    return errors if np.any(errors > 0) else -errors


def _sizes(table: Table, settings: ReddeningSettings, where: str) -> Any:
    """Widths of the cells in degrees, None if the table does not give them."""
    name = chosen_column(table, _SIZE_NAMES, settings.size_column, "size_column", where)
    if name is None:
        return None
    factor = 1.0 if table[name].unit is not None else u.Unit(settings.size_unit).to("deg")
    return number_column(table, name, unit="deg", where=where) * factor


def _position(table: Table, names: tuple[str, ...], chosen: str | int | None, setting: str, where: str) -> Any:
    """Coordinate in degrees, of numbers or of sexagesimal text; right ascension as text is in hours."""
    name = chosen_column(table, names, chosen, setting, where)
    if name is None:
        raise missing_column(table, " or ".join(names[:3]), setting, where)
    is_ra = names is _RA_NAMES
    if table[name].dtype.kind in "USO":
        degrees = _sexagesimal(table[name], f"column {name} of {where}") * (15.0 if is_ra else 1.0)
    else:
        degrees = number_column(table, name, unit="deg", where=where)
    with np.errstate(invalid="ignore"):
        wrong = np.flatnonzero(np.abs(degrees) > (360.0 if is_ra else 90.0))
    if len(wrong):
        msg = (
            f"column {name} of {where} has {degrees[wrong[0]]:g} deg in row {wrong[0] + 1}, which is no "
            f"{'right ascension' if is_ra else 'declination'}: name the right one with {setting} under [reddening]"
        )
        raise InputFormatError(msg)
    return degrees


def _sexagesimal(column: Any, where: str) -> FloatArray:
    """Numbers of texts such as 05:23:34.5, 05 23 34.5 or 05h23m34.5s; NaN where the text is empty."""
    texts = [str(text).strip() for text in np.ma.filled(np.ma.asarray(column, dtype=str), "")]
    result = np.full(len(texts), np.nan)
    for row, text in enumerate(texts):
        if not text:
            continue
        found = _SEXAGESIMAL.fullmatch(text)
        if found is None:
            msg = f"{where} has {text!r} in row {row + 1}: expected degrees, or three numbers such as 05:23:34.5"
            raise InputFormatError(msg)
        sign, first, minutes, seconds = found.groups()
        size = int(first) + int(minutes) / 60.0 + float(seconds) / 3600.0
        result[row] = -size if sign == "-" else size
    return result
