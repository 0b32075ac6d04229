"""Single-star tracks of the main sequence: radius, luminosity and lifetime of a mass at any age."""

import hashlib
import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError
from cbminer.resources import grid_path

__all__ = ["SingleStarTracks", "shipped_tracks"]

_FILE = "roche-sse/tracks.npz"
# IAU 2015 resolution B3.
_TEFF_SUN = 5772.0


@dataclass(frozen=True)
class SingleStarTracks:
    """Main-sequence tracks of one metallicity, without winds.

    Attributes
    ----------
    Z : float
        Metallicity as mass fraction.
    log_mass : `~numpy.ndarray`
        log10 of the masses in solar ones, ascending in equal steps, shape (n,).
    log_radius, log_luminosity : `~numpy.ndarray`
        log10 in solar units, at k equal steps of the age from 0 to the end of the main sequence, shape (n, k).
    log_lifetime : `~numpy.ndarray`
        log10 of the years on the main sequence, shape (n,).
    about : dict
        Where the tracks come from.
    """

    Z: float
    log_mass: FloatArray
    log_radius: FloatArray
    log_luminosity: FloatArray
    log_lifetime: FloatArray
    about: dict[str, Any]

    @classmethod
    def load(cls, path: Path, Z: float) -> Self:
        """Read the tracks of one metallicity.

        Parameters
        ----------
        path : `~pathlib.Path`
            File that `grids/roche-sse/build_tracks.py` wrote, with its JSON file beside it.
        Z : float
            Metallicity as mass fraction: one of those in the file.

        Returns
        -------
        SingleStarTracks
            The tracks.

        Raises
        ------
        InputFormatError
            If a file cannot be read, they do not fit each other, or there are no tracks of that metallicity.
        """
        try:
            about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != about["sha256"]:
                msg = f"the single-star tracks {path} differ from what their JSON file describes: build them again"
                raise InputFormatError(msg)
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                arrays = {name: archive[name].astype(np.float64) for name in archive.files}
            known = arrays["Z"].tolist()
            row = {name: arrays[name] for name in ("mass", "lifetime", "log_radius", "log_luminosity")}
        except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
            msg = f"the single-star tracks {path} cannot be read ({error}): reinstall cbminer, or build them again"
            raise InputFormatError(msg) from error
        if Z not in known:
            listed = ", ".join(f"{value:g}" for value in known)
            msg = f"{path} has no tracks of Z = {Z:g}, but of {listed}: choose one of these, or build others"
            raise InputFormatError(msg)
        index = known.index(Z)
        return cls(
            Z=Z,
            log_mass=np.log10(row["mass"]),
            log_radius=row["log_radius"][index],
            log_luminosity=row["log_luminosity"][index],
            log_lifetime=np.log10(row["lifetime"][index]),
            about=about,
        )

    def radius(self, mass: npt.ArrayLike, fraction: npt.ArrayLike) -> FloatArray:
        """Radius of stars.

        Parameters
        ----------
        mass : array_like
            Solar masses.
        fraction : array_like
            Age over lifetime on the main sequence, 0 to 1.

        Returns
        -------
        `~numpy.ndarray`
            Solar radii; NaN outside of the tracks.
        """
        return self._at(self.log_radius, mass, fraction)

    def luminosity(self, mass: npt.ArrayLike, fraction: npt.ArrayLike) -> FloatArray:
        """Luminosity of stars.

        Parameters
        ----------
        mass : array_like
            Solar masses.
        fraction : array_like
            Age over lifetime on the main sequence, 0 to 1.

        Returns
        -------
        `~numpy.ndarray`
            Solar luminosities; NaN outside of the tracks.
        """
        return self._at(self.log_luminosity, mass, fraction)

    def effective_temperature(self, mass: npt.ArrayLike, fraction: npt.ArrayLike) -> FloatArray:
        """Effective temperature of stars, from their radius and luminosity.

        Parameters
        ----------
        mass : array_like
            Solar masses.
        fraction : array_like
            Age over lifetime on the main sequence, 0 to 1.

        Returns
        -------
        `~numpy.ndarray`
            K; NaN outside of the tracks.
        """
        radius, luminosity = self.radius(mass, fraction), self.luminosity(mass, fraction)
        temperature: FloatArray = _TEFF_SUN * (luminosity / radius**2) ** 0.25
        return temperature

    def lifetime(self, mass: npt.ArrayLike) -> FloatArray:
        """Time that stars spend on the main sequence.

        Parameters
        ----------
        mass : array_like
            Solar masses.

        Returns
        -------
        `~numpy.ndarray`
            Years; NaN outside of the tracks.
        """
        logarithm = np.interp(np.log10(mass), self.log_mass, self.log_lifetime, left=np.nan, right=np.nan)
        years: FloatArray = 10.0**logarithm
        return years

    def _at(self, table: FloatArray, mass: npt.ArrayLike, fraction: npt.ArrayLike) -> FloatArray:
        # Linear in log mass and in age, as the kernel of the binary evolution does it.
        n, k = table.shape
        step = (self.log_mass[-1] - self.log_mass[0]) / (n - 1)
        x = (np.log10(np.asarray(mass, dtype=float)) - self.log_mass[0]) / step
        y = np.asarray(fraction, dtype=float) * (k - 1)
        x, y = np.broadcast_arrays(x, y)
        # A mass at the edge may come out of the logarithm a rounding beyond it.
        inside = (x >= -1e-9) & (x <= n - 1 + 1e-9) & (y >= 0) & (y <= k - 1)
        i = np.clip(np.where(inside, x, 0.0), 0, n - 2).astype(int)
        j = np.clip(np.where(inside, y, 0.0), 0, k - 2).astype(int)
        u, v = x - i, y - j
        low = (1 - v) * table[i, j] + v * table[i, j + 1]
        high = (1 - v) * table[i + 1, j] + v * table[i + 1, j + 1]
        result: FloatArray = np.where(inside, 10.0 ** ((1 - u) * low + u * high), np.nan)
        return result


def shipped_tracks(Z: float) -> SingleStarTracks:
    """Tracks that the package ships: SSE by way of COSMIC.

    Parameters
    ----------
    Z : float
        0.0021 (SMC), 0.0047 (LMC) or 0.0142 (Sun).

    Returns
    -------
    SingleStarTracks
        The tracks.

    Raises
    ------
    ResourceNotFoundError
        If the installation lacks them.
    InputFormatError
        If they are damaged, or there are none of that metallicity.

    Notes
    -----
    Hurley, Pols & Tout (2000, MNRAS 315, 543) as compiled into COSMIC (Breivik et al. 2020, ApJ 898, 71), with the
    solar metallicity of 0.02 that its formulae are fitted with.
    """
    return SingleStarTracks.load(grid_path(_FILE), Z)
