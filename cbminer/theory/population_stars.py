"""Known massive contact binaries as a survey would see them: magnitudes and colours of their published parameters."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from astropy.table import QTable

from cbminer.columns import FloatArray, label_column, values
from cbminer.theory.pair_colours import ColourSettings, Photosphere, pair_colours

__all__ = ["CLOUD_METALLICITIES", "KnownStars", "known_stars"]

_TEFF_SUN = 5772.0
# Mass fractions of metals as in the models of Menon et al. (2021, MNRAS 507, 5013); elsewhere the Sun's.
CLOUD_METALLICITIES = {"LMC": 0.0047, "SMC": 0.0021}
_SOLAR = 0.0142


@dataclass(frozen=True)
class KnownStars:
    """Known systems.

    Attributes
    ----------
    name, configuration : `~numpy.ndarray`
        Names, and "contact", "near-contact" or "undetermined"; shape (n,).
    in_clouds : `~numpy.ndarray`
        Whether each is in one of the Clouds.
    log_P, M_V, VI0 : `~numpy.ndarray`
        Logarithm of the period in days; magnitude and colour in mag of two spheres of the published masses, radii and
        temperatures, NaN where one of these is unknown.
    """

    name: npt.NDArray[np.str_]
    configuration: npt.NDArray[np.str_]
    in_clouds: npt.NDArray[np.bool_]
    log_P: FloatArray
    M_V: FloatArray
    VI0: FloatArray


def known_stars(known: QTable, *, colours: ColourSettings) -> KnownStars:
    """Work out where known systems lie.

    Parameters
    ----------
    known : `~astropy.table.QTable`
        Table of `cbminer.resources.known_massive_contact_binaries`.
    colours : ColourSettings
        Where the colours come from: the same as those of the population.

    Returns
    -------
    KnownStars
        The systems.
    """
    host = label_column(known, "host")
    magnitude, colour = np.full((2, len(known)), np.nan)
    for name in np.unique(host):
        rows = host == name
        stars = [_photosphere(known[rows], number) for number in (1, 2)]
        pair = pair_colours(stars[0], stars[1], Z=CLOUD_METALLICITIES.get(str(name), _SOLAR), settings=colours)
        magnitude[rows], colour[rows] = pair.M_V, pair.VI0
    return KnownStars(
        label_column(known, "name"),
        label_column(known, "configuration"),
        np.isin(host, list(CLOUD_METALLICITIES)),
        np.log10(values(known, "period", "d")),
        magnitude,
        colour,
    )


def _photosphere(known: QTable, number: int) -> Photosphere:
    mass, radius = values(known, f"M{number}", "solMass"), values(known, f"R{number}", "solRad")
    teff = values(known, f"T{number}", "K")
    luminosity = radius**2 * (teff / _TEFF_SUN) ** 4
    return Photosphere.of_size(np.log10(luminosity), np.log10(teff), mass=mass, radius=radius)
