"""Evidence of each star: the likelihood of its light curve and of its place under every hypothesis."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from astropy.table import QTable
from scipy.ndimage import gaussian_filter1d

from cbminer.classifier.calibration import with_prior
from cbminer.classifier.classes import CLASSES
from cbminer.classifier.prediction import ClassPrior
from cbminer.columns import FloatArray, values
from cbminer.galaxies import CLOUDS, Galaxy
from cbminer.ranking.hypotheses import Hypothesis
from cbminer.ranking.light_curves import CurveEvidence, light_curve_evidence
from cbminer.ranking.mixture import PopulationPlaces, StarEvidence
from cbminer.ranking.shape_library import SHAPE_COLUMNS, shape_library
from cbminer.resources import grid_path
from cbminer.theory.density import PopulationDensity
from cbminer.theory.grid import read_grid
from cbminer.theory.phases import Phase
from cbminer.theory.population import make_population
from cbminer.theory.population_settings import PopulationSettings

__all__ = ["PopulationDensities", "curve_evidence", "gather_evidence", "place_errors", "population_densities"]

_UNITS = {"depth1": "mag", "depth_difference": "mag", "W": "", "c_measured": ""}
_PHASES: dict[Hypothesis, Phase] = {"contact": Phase.CONTACT, "near_contact": Phase.NEAR_CONTACT}


@dataclass(frozen=True)
class PopulationDensities:
    """Where theory has contact and near-contact pairs.

    Attributes
    ----------
    everywhere : dict of str to PopulationDensity
        Of all pairs that are seen, by hypothesis; empty where there is no population.
    counted : dict of str to PopulationDensity
        Of those within the limits of magnitude and period of the sample: its contours make the bona fide set.
    """

    everywhere: dict[Hypothesis, PopulationDensity]
    counted: dict[Hypothesis, PopulationDensity]

    @property
    def known(self) -> bool:
        """Whether there is a population."""
        return bool(self.everywhere)

    def places(self, stars: QTable) -> PopulationPlaces:
        """Give the densities at stars.

        Parameters
        ----------
        stars : `~astropy.table.QTable`
            Columns period, M_V, VI0, their errors and cov_M_V_VI0.

        Returns
        -------
        PopulationPlaces
            The densities, convolved with the errors of each star; NaN, and numbers of 0, without a population.
        """
        if not self.known:
            unknown = np.full(len(stars), np.nan)
            nothing = dict.fromkeys(_PHASES, unknown)
            return PopulationPlaces(density=nothing, in_period=nothing, number=dict.fromkeys(_PHASES, 0.0))
        place, errors = _place(stars), _place_errors(stars)
        return PopulationPlaces(
            density={name: density.at(*place.T, **errors) for name, density in self.everywhere.items()},
            in_period={name: _in_period(density, place[:, 0]) for name, density in self.everywhere.items()},
            number={name: density.number for name, density in self.everywhere.items()},
        )

    def contact_level(self, stars: QTable) -> FloatArray:
        """Share of the contact population at a higher density than each star.

        Parameters
        ----------
        stars : `~astropy.table.QTable`
            As in `places`.

        Returns
        -------
        `~numpy.ndarray`
            Credible levels, shape (n,); NaN where something is unknown.
        """
        if not self.known:
            return np.full(len(stars), np.nan)
        return self.counted["contact"].credible_level(*_place(stars).T, **_place_errors(stars))

    def hull_distance(self, stars: QTable) -> FloatArray:
        """Distance of each star from the nearest contact model.

        Parameters
        ----------
        stars : `~astropy.table.QTable`
            As in `places`.

        Returns
        -------
        `~numpy.ndarray`
            0 within reach of a model; NaN where something is unknown; shape (n,).
        """
        if not self.known:
            return np.full(len(stars), np.nan)
        return self.everywhere["contact"].distance(*_place(stars).T, **_place_errors(stars))


def population_densities(
    galaxy: Galaxy, *, settings: PopulationSettings, grid: str | None = None
) -> PopulationDensities:
    """Make the population of a galaxy, and the densities of its contact and near-contact pairs.

    Parameters
    ----------
    galaxy : {"LMC", "SMC", "MW"}
        The galaxy.
    settings : PopulationSettings
        What is born, how it is seen, and which of it counts.
    grid : str, optional
        Folder of a grid of models; the package's by default, which has none of the Milky Way.

    Returns
    -------
    PopulationDensities
        The densities; none of the Milky Way without a grid.

    Raises
    ------
    InputFormatError
        If the grid is damaged, or holds no pair in contact or near contact.
    SettingsError
        If there is a grid for the Milky Way, but no star-formation rate.
    """
    if grid is None and galaxy not in CLOUDS:
        return PopulationDensities({}, {})
    folder = Path(grid).expanduser() if grid else grid_path(f"roche-sse/{galaxy.lower()}/runs.parquet").parent
    population = make_population(read_grid(folder), galaxy, settings=settings)
    return PopulationDensities(
        {name: population.density(phase, counted=False) for name, phase in _PHASES.items()},
        {name: population.density(phase) for name, phase in _PHASES.items()},
    )


def gather_evidence(
    stars: QTable, population: PopulationDensities, *, curve: Literal["both", "network", "shape"], prior: ClassPrior
) -> StarEvidence:
    """Work out what is known of every star.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Judged stars in the schema.
    population : PopulationDensities
        Where theory has contact and near-contact pairs.
    curve : {"both", "network", "shape"}
        What of a light curve counts.
    prior : ClassPrior
        Frequencies that the network's probabilities hold already, and that are taken out again.

    Returns
    -------
    StarEvidence
        The evidence, in the order of the stars.
    """
    return StarEvidence(_place(stars), curve_evidence(stars, curve=curve, prior=prior), population.places(stars))


def curve_evidence(stars: QTable, *, curve: Literal["both", "network", "shape"], prior: ClassPrior) -> CurveEvidence:
    """Weigh what the light curves say.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Columns depth1, depth_difference, W and c_measured with their errors, and P_contact and the like.
    curve : {"both", "network", "shape"}
        What of a light curve counts.
    prior : ClassPrior
        Frequencies that the network's probabilities hold already.

    Returns
    -------
    CurveEvidence
        Likelihoods for every kind of star.
    """
    probability = np.column_stack([values(stars, f"P_{name}") for name in CLASSES])
    even = with_prior(probability, 1.0 / prior.weights())
    log_shape = _log_shape(stars)
    if curve == "network":
        log_shape = np.full_like(log_shape, np.nan)
    if curve == "shape":
        even = np.full_like(even, np.nan)
    library = shape_library()
    return light_curve_evidence().weigh(even, log_shape, hypothesis=library.hypothesis, within=library.within)


def place_errors(stars: QTable) -> FloatArray:
    """Typical errors of log P, M_V and (V-I)_0 of stars.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Columns e_M_V and e_VI0.

    Returns
    -------
    `~numpy.ndarray`
        Medians, shape (3,); that of log P counts as 0.
    """
    medians = []
    for name in ("e_M_V", "e_VI0"):
        known = values(stars, name, "mag")
        known = known[np.isfinite(known)]
        medians.append(float(np.median(known)) if len(known) else 0.0)
    return np.array([0.0, *medians])


def _log_shape(stars: QTable) -> FloatArray:
    names = ["c_measured" if name == "c" else name for name in SHAPE_COLUMNS]
    shapes, errors = (
        np.column_stack([values(stars, f"{prefix}{name}", _UNITS[name]) for name in names]) for prefix in ("", "e_")
    )
    return shape_library().log_likelihood(shapes, errors)


def _place(stars: QTable) -> FloatArray:
    period = values(stars, "period", "d")
    with np.errstate(invalid="ignore", divide="ignore"):
        log_period = np.where(period > 0, np.log10(period), np.nan)
    return np.column_stack([log_period, values(stars, "M_V", "mag"), values(stars, "VI0", "mag")])


def _place_errors(stars: QTable) -> dict[str, FloatArray]:
    return {
        "e_M_V": values(stars, "e_M_V", "mag"),
        "e_VI0": values(stars, "e_VI0", "mag"),
        "cov_M_V_VI0": values(stars, "cov_M_V_VI0", "mag2"),
    }


def _in_period(density: PopulationDensity, log_period: FloatArray) -> FloatArray:
    """Density of a population in log P alone, smoothed as in all axes."""
    edges = density.edges[0]
    width = float(edges[1] - edges[0])
    along = gaussian_filter1d(density.content.sum(axis=(1, 2)), density.settings.smoothing_log_P / width) / width
    found = np.interp(log_period, (edges[1:] + edges[:-1]) / 2.0, along, left=0.0, right=0.0)
    return np.where(np.isfinite(log_period), found, np.nan)
