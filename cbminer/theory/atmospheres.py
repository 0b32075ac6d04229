"""Bolometric corrections and colours of hot stars from model atmospheres, by temperature, gravity and abundance."""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from astropy.table import Table

from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError, SettingsError
from cbminer.resources import grid_path

__all__ = ["Z_SUN", "AtmosphereTable", "StarColours", "abundance", "plain_numbers", "read_atmospheres"]

# Asplund et al. (2009, ARA&A 47, 481), protosolar: the Z = 0.0142 of the evolution models.
Z_SUN = 0.0142

_TABLE = "colours/atmospheres.ecsv"
_ABOUT = "colours/colours.json"
_AXES = ("M_H", "Teff", "log_g")
_QUANTITIES = ("BC_V", "VI0")
_ERRORS = ("e_BC_V", "e_VI0")
# How fast the quantities change with log g at the least gravities that have an atmosphere, mag a dex: the error of a
# star below it grows with this. In the table it is 0.10 and 0.02 in the median, 0.22 and 0.05 at worst.
_SLOPES = (0.10, 0.04)
_ROUNDING = 1e-9


@dataclass(frozen=True)
class StarColours:
    """Bolometric correction and colour of single stars.

    Attributes
    ----------
    BC_V : `~numpy.ndarray`
        Bolometric correction M_bol - M_V in mag, NaN beyond the temperatures of the table.
    VI0 : `~numpy.ndarray`
        Intrinsic colour (V-I)_0 in mag, NaN there too.
    e_BC_V, e_VI0 : `~numpy.ndarray`
        Their errors in mag, systematic for the most part.
    outside : `~numpy.ndarray`
        Bool: there is no model for such a star, so that the values are those of the nearest, or NaN.
    """

    BC_V: FloatArray
    VI0: FloatArray
    e_BC_V: FloatArray
    e_VI0: FloatArray
    outside: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class AtmosphereTable:
    """Bolometric corrections and colours on a grid of atmospheres with holes.

    Attributes
    ----------
    m_h, log_teff, log_g : `~numpy.ndarray`
        Axes: [M/H], log10 of Teff in K, log10 of the gravity in cm/s2; increasing, shapes (n,), (m,), (k,).
    values : `~numpy.ndarray`
        BC_V and (V-I)_0 in mag, shape (2, n, m, k); NaN where there is no atmosphere.
    errors : `~numpy.ndarray`
        Their errors in mag by temperature, shape (2, m).
    zero_points : tuple of float
        What a mean flux in W/m3 in V over the bolometric one, and the ratio of those in V and I, are added to as
        magnitudes: BC_V = zero + 2.5 log10 of the former, (V-I)_0 = zero - 2.5 log10 of the latter.
    """

    m_h: FloatArray
    log_teff: FloatArray
    log_g: FloatArray
    values: FloatArray
    errors: FloatArray
    zero_points: tuple[float, float]

    @classmethod
    def of(cls, table: Table, *, name: str) -> Self:
        """Make a grid of the rows of a table.

        Parameters
        ----------
        table : `~astropy.table.Table`
            Columns M_H, Teff, log_g, BC_V, VI0, e_BC_V and e_VI0, and zero_point_V and zero_point_VI in its meta
            data; a place without a row is a hole.
        name : str
            What messages call it.

        Returns
        -------
        AtmosphereTable
            The grid.

        Raises
        ------
        InputFormatError
            If a column or a zero point is missing, a number is not finite, or the holes do not lie at low gravities.
        """
        try:
            columns = {column: np.asarray(table[column], float) for column in (*_AXES, *_QUANTITIES, *_ERRORS)}
            zero_points = (float(table.meta["zero_point_V"]), float(table.meta["zero_point_VI"]))
        except (KeyError, TypeError, ValueError) as error:
            msg = f"{name} is no table of atmospheres ({error}): make one with grids/colours/build.py"
            raise InputFormatError(msg) from error
        if not len(table) or not all(np.isfinite(column).all() for column in columns.values()):
            msg = f"{name} is empty or holds numbers that are not finite: make it again with grids/colours/build.py"
            raise InputFormatError(msg)
        axes, places = zip(*(np.unique(columns[axis], return_inverse=True) for axis in _AXES), strict=True)
        values = np.full((2, *map(len, axes)), np.nan)
        errors = np.full((2, len(axes[1])), np.nan)
        for k in (0, 1):
            values[k][places] = columns[_QUANTITIES[k]]
            errors[k][places[1]] = columns[_ERRORS[k]]
        known = np.isfinite(values[0])
        if min(map(len, axes)) < 2 or not known[..., -1].all() or (np.diff(known.astype(int), axis=-1) < 0).any():
            msg = f"{name}: an abundance or temperature lacks gravities above others that it has; complete it"
            raise InputFormatError(msg)
        return cls(axes[0], np.log10(axes[1]), axes[2], values, errors, zero_points)

    @property
    def teff_range(self) -> tuple[float, float]:
        """Lowest and highest temperature in K."""
        return float(10.0 ** self.log_teff[0]), float(10.0 ** self.log_teff[-1])

    def covers(self, log_teff: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether temperatures lie within those of the table.

        Parameters
        ----------
        log_teff : array_like
            log10 of effective temperatures in K.

        Returns
        -------
        `~numpy.ndarray`
            Bool; False for NaN.
        """
        given = np.asarray(log_teff, dtype=float)
        return np.asarray((given >= self.log_teff[0] - _ROUNDING) & (given <= self.log_teff[-1] + _ROUNDING))

    def at(self, log_teff: npt.ArrayLike, log_g: npt.ArrayLike, *, Z: float) -> StarColours:
        """Look stars up, linear in log Teff, log g and [M/H].

        Parameters
        ----------
        log_teff : array_like
            log10 of effective temperatures in K.
        log_g : array_like
            log10 of gravities in cm/s2.
        Z : float
            Metallicity as mass fraction.

        Returns
        -------
        StarColours
            Of the shape to which the arguments broadcast. A star of lower gravity than the atmospheres of its
            temperature has the values of the lowest one, with larger errors, and is flagged; one of a temperature
            beyond the table has none. A temperature or gravity that is NaN gives NaN without a flag.

        Raises
        ------
        SettingsError
            If the abundance is beyond the table.
        """
        teff, gravity = np.broadcast_arrays(np.asarray(log_teff, float), np.asarray(log_g, float))
        filled, lowest = self._filled(abundance(Z))
        warm = self.covers(teff)
        known = warm & np.isfinite(gravity)
        row, up = _place(self.log_teff, np.where(known, teff, self.log_teff[0]))
        lower = np.where(up > 0, np.maximum(lowest[row], lowest[row + 1]), lowest[row])
        safe = np.where(known, gravity, self.log_g[-1])
        beyond = np.maximum(lower - safe, 0.0) + np.maximum(safe - self.log_g[-1], 0.0)
        column, right = _place(self.log_g, np.clip(safe, self.log_g[0], self.log_g[-1]))
        found = []
        for k in (0, 1):
            table = filled[k]
            below = table[row, column] + right * (table[row, column + 1] - table[row, column])
            above = table[row + 1, column] + right * (table[row + 1, column + 1] - table[row + 1, column])
            error = self.errors[k][row] + up * (self.errors[k][row + 1] - self.errors[k][row])
            found.append(np.where(known, below + up * (above - below), np.nan))
            found.append(np.where(known, np.hypot(error, _SLOPES[k] * beyond), np.nan))
        outside = np.where(known, beyond > _ROUNDING, np.isfinite(teff) & ~warm)
        return StarColours(found[0], found[2], found[1], found[3], outside)

    def _filled(self, m_h: float) -> tuple[FloatArray, FloatArray]:
        """Fill holes from above in gravity, at one abundance; and give the least gravity of each temperature."""
        if not self.m_h[0] - _ROUNDING <= m_h <= self.m_h[-1] + _ROUNDING:
            least, most = (Z_SUN * 10.0**limit for limit in (self.m_h[0], self.m_h[-1]))
            msg = f"Z: that of [M/H] = {m_h:.2f}; the table of atmospheres goes from Z = {least:.5f} to {most:.5f}"
            raise SettingsError(msg)
        first = np.isfinite(self.values[0]).argmax(axis=-1)
        columns = np.maximum(np.arange(len(self.log_g)), first[..., np.newaxis])
        filled = np.take_along_axis(self.values, np.broadcast_to(columns, self.values.shape), axis=-1)
        place, share = _place(self.m_h, np.clip(m_h, self.m_h[0], self.m_h[-1]))
        at_abundance = filled[:, place] + share * (filled[:, place + 1] - filled[:, place])
        return at_abundance, self.log_g[np.maximum(first[place], first[place + 1])]


def _place(axis: FloatArray, wanted: npt.ArrayLike) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """Entry of an axis below each number, and how far it lies towards the next."""
    given = np.asarray(wanted, dtype=float)
    left = np.clip(np.searchsorted(axis, given, side="right") - 1, 0, len(axis) - 2)
    share = np.clip((given - axis[left]) / (axis[left + 1] - axis[left]), 0.0, 1.0)
    return left, share


def plain_numbers(given: npt.ArrayLike) -> FloatArray:
    """Numbers as a plain array in which what is unknown is NaN.

    Parameters
    ----------
    given : array_like
        Numbers without a unit; a masked array or column loses its mask, and what was masked is NaN.

    Returns
    -------
    `~numpy.ndarray`
        float64, of the same shape.
    """
    bare: Any = getattr(given, "unmasked", given)
    data = np.asarray(np.ma.getdata(bare), dtype=float)
    mask = getattr(given, "mask", False)
    return np.where(mask, np.nan, data)


def abundance(Z: float) -> float:
    """Abundance [M/H] of a metallicity, in units of the solar Z = 0.0142.

    Parameters
    ----------
    Z : float
        Metallicity as mass fraction.

    Returns
    -------
    float
        log10(Z / 0.0142): -0.48 for 0.0047, -0.83 for 0.0021.

    Raises
    ------
    SettingsError
        If it is not positive.
    """
    if not 0.0 < Z < 1.0:
        msg = f"Z: {Z:g}; it must be a mass fraction above 0"
        raise SettingsError(msg)
    return float(np.log10(Z / Z_SUN))


@lru_cache(maxsize=4)
def read_atmospheres(path: Path | None = None) -> AtmosphereTable:
    """Read a table of atmospheres; the one that the package ships is read once.

    Parameters
    ----------
    path : `~pathlib.Path`, optional
        ECSV file with the columns of the shipped one, which is the default.

    Returns
    -------
    AtmosphereTable
        The table. The shipped one: 8 to 50 kK, [M/H] -1 to 0.2, log g 2 to 5 where there are atmospheres: from 3.0 at
        20 kK, 3.5 at 30 kK, 4.0 at 35 kK, 4.5 at 40 kK and 5.0 at 50 kK on.

    Raises
    ------
    InputFormatError
        If it cannot be read, or the shipped one is not as it was shipped.

    Notes
    -----
    V is the flux of the atmospheres of Castelli & Kurucz (2004) over the disc, with BC_V = -0.07 for the Sun. (V-I) is
    that of the Kurucz atmospheres of the Wilson-Devinney code (van Hamme & Wilson 2003, ASP Conf. 298, 323) with the
    limb darkening of Claret & Bloemen (2011, A&A 529, A75), with 0 for Vega. The error of BC_V is its distance from
    the relations of `cbminer.theory.colours.bolometric_correction_v`, that of (V-I)_0 the one from the observed dwarf
    sequence of Pecaut & Mamajek (2013), at log g 4 and solar abundance, both with a floor for the zero point.
    """
    file = path or grid_path(_TABLE)
    if path is None:
        check_shipped(file, "atmospheres")
    return AtmosphereTable.of(read_table(file), name=str(file))


def read_table(path: Path) -> Table:
    """Read a table in ECSV.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.

    Returns
    -------
    `~astropy.table.Table`
        The table.

    Raises
    ------
    InputFormatError
        If it cannot be read.
    """
    try:
        return Table.read(path, format="ascii.ecsv")
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read as a table in ECSV ({error}): give another file, or make it again"
        raise InputFormatError(msg) from error


def check_shipped(path: Path, part: str) -> None:
    """Refuse a table of colours that is not as it was shipped.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    part : str
        Its entry in the file of hashes.

    Raises
    ------
    InputFormatError
        If its hash is another one.
    """
    about = json.loads(grid_path(_ABOUT).read_text(encoding="utf-8"))
    if hashlib.sha256(path.read_bytes()).hexdigest() != about[part]["sha256"]:
        msg = f"{path} is damaged or was changed: install cbminer again, or make it with grids/colours/build.py"
        raise InputFormatError(msg)
