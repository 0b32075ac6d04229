"""The survey that binaries are injected into: its stars lend positions, epochs and gaps, its light curves the noise."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from zlib import crc32

import numpy as np
import numpy.typing as npt
from astropy.table import QTable

from cbminer.columns import FloatArray, label_column, values
from cbminer.completeness.noise import SurveyNoise, measure_noise
from cbminer.completeness.systems import KINDS, Aim, InjectionKind, SystemLaws
from cbminer.completeness.weights import PHASES, PopulationCells
from cbminer.errors import ArchiveError
from cbminer.flags import Flag
from cbminer.galaxies import Galaxy
from cbminer.measurement import StarTask
from cbminer.photometry.cloud_settings import common_distance, mean_reddening
from cbminer.photometry.distance import distance_moduli
from cbminer.photometry.reddening import Reddening, ReddeningMap, reddening_of
from cbminer.settings import Settings
from cbminer.survey.packed import PackedLightCurves
from cbminer.survey.store import LightCurveStore
from cbminer.theory.population import Population

__all__ = ["Hosts", "InjectionField", "Judge", "generator", "open_field"]

# What a run does to stars: `cbminer.reopening.judge_new_stars` with the context of the run.
Judge = Callable[[QTable, PackedLightCurves], QTable]

_FEWEST_OF_A_TYPE = 20
_NO_CURVE = Flag.NO_LIGHT_CURVE | Flag.LIGHT_CURVE_UNREADABLE


@dataclass(frozen=True)
class Hosts:
    """Stars of a run that lend what they are seen through; arrays of shape (n,).

    Attributes
    ----------
    star : `~numpy.ndarray`
        Names.
    ra, dec : `~numpy.ndarray`
        Positions in degrees.
    has_V, has_I, has_T0 : `~numpy.ndarray`
        Whether the catalogue lists these: of the Cloud's stars at large, not of the host, for only stars that have them
        may have been asked for their light curves.
    types : dict of str to tuple
        By kind: types of the survey and their shares.
    """

    star: npt.NDArray[np.str_]
    ra: FloatArray
    dec: FloatArray
    has_V: npt.NDArray[np.bool_]
    has_I: npt.NDArray[np.bool_]
    has_T0: npt.NDArray[np.bool_]
    types: dict[InjectionKind, tuple[npt.NDArray[np.str_], FloatArray]]

    @classmethod
    def of(cls, stars: QTable) -> "Hosts":
        """Take them from the judged stars of a Cloud.

        Parameters
        ----------
        stars : `~astropy.table.QTable`
            Judged stars.

        Returns
        -------
        Hosts
            All stars whose light curve was asked for: one that has none lends none.

        Raises
        ------
        ArchiveError
            If no light curve was read.
        """
        flags = np.asarray(stars["flags"])
        asked = (flags & Flag.LIGHT_CURVE_NOT_READ) == 0
        if not (asked & ((flags & _NO_CURVE) == 0)).any():
            galaxy = str(label_column(stars, "galaxy")[0]) if len(stars) else "Cloud"
            msg = (
                f"the run has read no light curve of the {galaxy}, so that none can lend its epochs: select again with "
                "light curves"
            )
            raise ArchiveError(msg)
        chosen = stars[asked]
        # Some order that has nothing to do with the stars, and from it evenly as many as there are hosts.
        shuffled = np.argsort([crc32(name.encode()) for name in label_column(stars, "id").tolist()], kind="stable")
        others = stars[shuffled[np.arange(len(chosen)) * len(stars) // len(chosen)]]
        return cls(
            label_column(chosen, "id"),
            values(chosen, "RAJ2000", "deg"),
            values(chosen, "DEJ2000", "deg"),
            np.isfinite(values(others, "V_mag", "mag")),
            np.isfinite(values(others, "I_mag", "mag")),
            np.isfinite(values(others, "T0", "d")),
            {kind: _types(chosen, kind) for kind in KINDS},
        )

    def __len__(self) -> int:
        return len(self.star)


def _types(stars: QTable, kind: InjectionKind) -> tuple[npt.NDArray[np.str_], FloatArray]:
    """Types of the survey of the stars whose light curves look like a kind; C if these are few."""
    types = label_column(stars, "type")[label_column(stars, "light_curve_class") == kind]
    found, counts = np.unique(types[types != ""], return_counts=True)
    if counts.sum() < _FEWEST_OF_A_TYPE:
        return np.array(["C"]), np.ones(1)
    return found, counts / counts.sum()


@dataclass(frozen=True)
class InjectionField:
    """One Cloud of a run, ready to take binaries in.

    Attributes
    ----------
    galaxy : {"LMC", "SMC"}
        The Cloud.
    settings : Settings
        Settings of the run, with those of the injection.
    hosts : Hosts
        Stars that lend positions and epochs.
    reddening : Reddening
        Adopted reddening of the hosts with its errors.
    modulus : `~numpy.ndarray`
        Distance moduli at the hosts in mag, without the depth of the Cloud.
    noise : SurveyNoise
        Noise of the survey.
    store : LightCurveStore
        Light curves of the hosts.
    judge : callable
        What the run does to stars and their light curves.
    aims : dict of str to callable
        By kind: worth of binaries to the population; a kind of which it has no system is left out.
    """

    galaxy: Galaxy
    settings: Settings
    hosts: Hosts
    reddening: Reddening
    modulus: FloatArray
    noise: SurveyNoise
    store: LightCurveStore
    judge: Judge
    aims: Mapping[InjectionKind, Aim] = field(default_factory=dict)

    @property
    def laws(self) -> SystemLaws:
        """What binaries are drawn from."""
        return SystemLaws.of(
            self.galaxy,
            injection=self.settings.completeness,
            box=self.settings.selection.main_sequence,
            population=self.settings.population,
        )

    def sight_of(self, place: int, rng: np.random.Generator) -> tuple[float, float]:
        """Draw distance modulus and reddening of a star at the place of a host.

        Parameters
        ----------
        place : int
            Place of the host.
        rng : `~numpy.random.Generator`
            Source of randomness.

        Returns
        -------
        distance_modulus, E_VI : float
            In mag. The modulus scatters by the depth of the Cloud, the reddening about the adopted one by its errors
            to both sides; a reddening below zero counts as zero, unless the map says so. The error of the Cloud's
            distance is the same for all stars and is not drawn.
        """
        deep, dusty = rng.normal(size=2)
        modulus = float(self.modulus[place]) + common_distance(self.settings.cloud, self.galaxy).depth * float(deep)
        adopted, side = float(self.reddening.E_VI[place]), self.reddening.upper if dusty > 0 else self.reddening.lower
        return modulus, max(adopted + float(side[place]) * float(dusty), min(adopted, 0.0))


def open_field(
    galaxy: Galaxy,
    stars: QTable,
    store: LightCurveStore,
    *,
    settings: Settings,
    judge: Judge,
    seed: int,
    dust: ReddeningMap | None = None,
    population: Population | None = None,
) -> InjectionField:
    """Get a Cloud of a run ready: measure the noise of its survey.

    Parameters
    ----------
    galaxy : {"LMC", "SMC"}
        The Cloud.
    stars : `~astropy.table.QTable`
        Its judged stars.
    store : LightCurveStore
        Its light curves.
    settings : Settings
        Settings of the run, with those of the injection.
    judge : callable
        What the run does to stars and their light curves.
    seed : int
        Seed: the light curves that the noise is measured from are drawn.
    dust : ReddeningMap, optional
        Reddening map of the run.
    population : Population, optional
        Population that a share of the binaries is drawn like; without it all are drawn broad.

    Returns
    -------
    InjectionField
        The Cloud.

    Raises
    ------
    ArchiveError
        If the run has too few light curves.
    """
    hosts = Hosts.of(stars)
    distance = common_distance(settings.cloud, galaxy)
    reddening = reddening_of(
        hosts.ra,
        hosts.dec,
        mean=mean_reddening(settings.cloud, galaxy),
        dust=dust,
        star_scatter=settings.reddening.star_scatter,
    )
    tasks = _lenders(stars, hosts, settings.completeness.lent_curves, generator(seed, galaxy, 0, purpose=2))
    curves = store.read([task.star for task in tasks]).curves
    noise = measure_noise(stars, curves, tasks, settings=settings.measurement)
    modulus = distance_moduli(hosts.ra, hosts.dec, settings=distance).modulus
    opened = InjectionField(galaxy, settings, hosts, reddening, modulus, noise, store, judge)
    return opened if population is None else replace(opened, aims=_aims(opened.laws, population))


def _aims(laws: SystemLaws, population: Population) -> dict[InjectionKind, Aim]:
    known = [kind for kind in KINDS if population.why_no_density(PHASES[kind]) is None]
    return {kind: partial(_worth, PopulationCells.of(kind, population=population, laws=laws)) for kind in known}


def _worth(cells: PopulationCells, truth: Mapping[str, FloatArray]) -> FloatArray:
    return cells.weigh(truth).weight


def _lenders(stars: QTable, hosts: Hosts, n: int, rng: np.random.Generator) -> Sequence[StarTask]:
    """Stars from whose light curves the noise is measured."""
    names = label_column(stars, "id")
    places = np.flatnonzero(np.isin(names, hosts.star))
    chosen = np.sort(rng.permutation(places)[:n])
    period, epoch, colour = (
        values(stars[chosen], name, unit) for name, unit in (("period_survey", "d"), ("T0", "d"), ("VI0", "mag"))
    )
    return [
        StarTask(str(name), *map(float, row)) for name, *row in zip(names[chosen], period, epoch, colour, strict=True)
    ]


def generator(seed: int, galaxy: str, number: int, *, purpose: int) -> np.random.Generator:
    """Make the generator of a star or a chunk for one purpose.

    Parameters
    ----------
    seed : int
        Seed of all injections.
    galaxy : str
        The Cloud.
    number : int
        Number of the star or chunk.
    purpose : int
        0: binaries of a chunk; 1: a star; 2: noise of the survey; 3: corrected numbers.

    Returns
    -------
    `~numpy.random.Generator`
        Independent of all others.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(crc32(galaxy.encode()), number, purpose)))
