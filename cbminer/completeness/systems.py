"""The binaries that are injected: drawn broad, with the magnitudes and colours that a population would give them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Literal

import numpy as np

from cbminer.columns import FloatArray
from cbminer.completeness.settings import InjectionSettings
from cbminer.errors import SettingsError
from cbminer.selection.cuts import MainSequenceCut
from cbminer.synthetic.priors import BinaryDraw, BinaryPriors, draw_binaries
from cbminer.synthetic.systems import BinarySystems
from cbminer.theory.distortion import distortion_correction
from cbminer.theory.pair_colours import Photosphere, pair_colours
from cbminer.theory.population_settings import PopulationSettings
from cbminer.theory.population_stars import CLOUD_METALLICITIES

__all__ = [
    "KINDS",
    "Aim",
    "InjectedSystems",
    "InjectionKind",
    "SystemLaws",
    "draw_systems",
    "joined",
    "photometry_at_maximum",
]

InjectionKind = Literal["contact", "near_contact"]
KINDS: tuple[InjectionKind, InjectionKind] = ("contact", "near_contact")
# What binaries of these properties (true_period, true_M_V, mass_ratio) are worth to a population.
Aim = Callable[[Mapping[str, FloatArray]], FloatArray]

# Ranges of mass, of equal width in its logarithm, within each of which as many binaries are drawn.
_MASS_RANGES = 24
_TEFF_SUN = 5772.0
# Rounds of draws that may be in vain before the settings are blamed.
_MANY_ROUNDS = 20
# Binaries drawn broad for each that is chosen by its worth, and what even one of no worth keeps beside all the others
# together, so that there are always enough to choose from.
_CHOICE, _LEAST_WORTH = 8, 1e-9


@dataclass(frozen=True)
class SystemLaws:
    """What the binaries of one Cloud are drawn from.

    Attributes
    ----------
    injection : InjectionSettings
        Priors, and how far beyond the box of the selection.
    box : MainSequenceCut
        The box.
    population : PopulationSettings
        Where colours come from.
    metallicity : float
        Mass fraction of metals.
    """

    injection: InjectionSettings
    box: MainSequenceCut
    population: PopulationSettings
    metallicity: float

    @classmethod
    def of(
        cls, galaxy: str, *, injection: InjectionSettings, box: MainSequenceCut, population: PopulationSettings
    ) -> "SystemLaws":
        """Take the metallicity of a Cloud.

        Parameters
        ----------
        galaxy : {"LMC", "SMC"}
            The Cloud.
        injection, box, population
            As the attributes.

        Returns
        -------
        SystemLaws
            The laws.
        """
        return cls(injection, box, population, CLOUD_METALLICITIES[galaxy])


@dataclass(frozen=True)
class InjectedSystems:
    """Binaries of one kind.

    Attributes
    ----------
    systems : BinarySystems
        What the light-curve engine takes.
    truth : dict of str to `~numpy.ndarray`
        Numbers by the names of `cbminer.completeness.injection`, shape (n,).
    """

    systems: BinarySystems
    truth: Mapping[str, FloatArray]

    def __len__(self) -> int:
        return len(self.systems)


def draw_systems(
    kind: InjectionKind, n: int, *, laws: SystemLaws, rng: np.random.Generator, aim: Aim | None = None
) -> InjectedSystems:
    """Draw binaries of one kind.

    Parameters
    ----------
    kind : {"contact", "near_contact"}
        The kind.
    n : int
        Number of binaries.
    laws : SystemLaws
        What they are drawn from.
    rng : `~numpy.random.Generator`
        Source of randomness.
    aim : callable, optional
        Worth of each binary to a population, the same for all in a cell of (log P, M_V, q). With it, the share
        ``laws.injection.like_population`` of the binaries is chosen by worth among eight times as many; in each cell
        they remain what they are without it.

    Returns
    -------
    InjectedSystems
        Binaries of an M_V within the box and its margin, in random order: masses flat in their logarithm, the rest as
        `~cbminer.synthetic.priors.draw_binaries` has it. The period follows from masses and radii.

    Raises
    ------
    SettingsError
        If hardly any binary of these priors has such a magnitude.
    """
    n_aimed = 0 if aim is None else round(n * laws.injection.like_population)
    parts = [_draw_broad(kind, n - n_aimed, laws, rng)]
    if aim is not None and n_aimed > 0:
        many = _draw_broad(kind, _CHOICE * n_aimed, laws, rng)
        parts.append(_at(many, _chosen(aim(many.truth), n_aimed, rng)))
    return _at(joined(parts), rng.permutation(n))


def _chosen(worth: FloatArray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Choose places by their worth, none of them twice."""
    share = worth / max(float(worth.sum()), np.finfo(float).tiny) + _LEAST_WORTH
    return rng.choice(len(worth), size=n, replace=False, p=share / share.sum())


def _draw_broad(kind: InjectionKind, n: int, laws: SystemLaws, rng: np.random.Generator) -> InjectedSystems:
    margin = laws.injection.margin_M_V
    low, high = laws.box.M_V_bright - margin, laws.box.M_V_faint + margin
    parts: list[InjectedSystems] = []
    for _ in range(_MANY_ROUNDS):
        drawn = _draw_once(kind, n // _MASS_RANGES + 2, laws, rng)
        m_v = drawn.truth["true_M_V"]
        parts.append(_at(drawn, np.flatnonzero((m_v >= low) & (m_v <= high))))
        if sum(map(len, parts)) >= n:
            together = joined(parts)
            return _at(together, rng.permutation(len(together))[:n])
    msg = (
        f"[completeness] hardly any {kind.replace('_', '-')} binary of {laws.injection.priors.least_mass:g} to "
        f"{laws.injection.priors.most_mass:g} solar masses has M_V from {low:g} to {high:g} mag: change "
        "[completeness.priors] or margin_M_V"
    )
    raise SettingsError(msg)


def photometry_at_maximum(draw: BinaryDraw, *, laws: SystemLaws) -> tuple[FloatArray, FloatArray]:
    """Absolute magnitude and colour of binaries, as the population has them.

    Parameters
    ----------
    draw : BinaryDraw
        The binaries.
    laws : SystemLaws
        Where colours come from, and whether they are those at maximum light.

    Returns
    -------
    M_V, VI0 : `~numpy.ndarray`
        In mag, shape (n,); NaN where a star is too hot or too cool for the colours.
    """
    systems = draw.systems
    second = np.where(np.isnan(systems.teff_2), systems.teff_1, systems.teff_2)
    stars = [
        Photosphere.of_size(
            2.0 * np.log10(radius) + 4.0 * np.log10(teff / _TEFF_SUN), np.log10(teff), mass=mass, radius=radius
        )
        for mass, radius, teff in (
            (draw.mass_1, draw.radius_1, systems.teff_1),
            (draw.mass_2, draw.radius_2, second),
        )
    ]
    pair = pair_colours(stars[0], stars[1], Z=laws.metallicity, settings=laws.population.colours)
    if not laws.population.maximum_light:
        return pair.M_V, pair.VI0
    mean = (draw.lobe_filling_1 + draw.lobe_filling_2) / 2.0
    # Star 2 is the less massive one here.
    filling = np.where(systems.is_contact, draw.lobe_filling_2, mean)
    shape = distortion_correction(systems.inclination, filling, mass_ratio=systems.mass_ratio)
    return pair.M_V + shape.M_V, pair.VI0 + shape.VI0


def _draw_once(kind: InjectionKind, n_a_range: int, laws: SystemLaws, rng: np.random.Generator) -> InjectedSystems:
    """Draw as many binaries in each range of masses."""
    priors = laws.injection.priors
    edges = np.geomspace(priors.least_mass, priors.most_mass, _MASS_RANGES + 1)
    parts = []
    for low, high in pairwise(edges.tolist()):
        narrow: BinaryPriors = priors.model_copy(update={"least_mass": low, "most_mass": high})
        draw = draw_binaries(kind, n_a_range, priors=narrow, rng=rng)
        parts.append(InjectedSystems(draw.systems, _truth(draw, laws)))
    return joined(parts)


def _truth(draw: BinaryDraw, laws: SystemLaws) -> dict[str, FloatArray]:
    m_v, vi0 = photometry_at_maximum(draw, laws=laws)
    systems = draw.systems
    return {
        "true_period": draw.period,
        "mass_1": draw.mass_1,
        "mass_ratio": systems.mass_ratio,
        "inclination": systems.inclination,
        "fillout_factor": draw.fillout_factor,
        "lobe_filling_1": draw.lobe_filling_1,
        "lobe_filling_2": draw.lobe_filling_2,
        "radius_1": draw.radius_1,
        "radius_2": draw.radius_2,
        "teff_1": systems.teff_1,
        "teff_2": np.where(np.isnan(systems.teff_2), systems.teff_1, systems.teff_2),
        "true_M_V": m_v,
        "true_VI0": vi0,
    }


def joined(parts: Sequence[InjectedSystems]) -> InjectedSystems:
    """Put binaries one after the other.

    Parameters
    ----------
    parts : sequence of InjectedSystems
        Binaries, of one kind or several.

    Returns
    -------
    InjectedSystems
        All of them.
    """
    truth = {name: np.concatenate([part.truth[name] for part in parts]) for name in parts[0].truth}
    columns = {
        field.name: np.concatenate([getattr(part.systems, field.name) for part in parts])
        for field in fields(BinarySystems)
    }
    return InjectedSystems(BinarySystems(**columns), truth)


def _at(drawn: InjectedSystems, places: np.ndarray) -> InjectedSystems:
    return InjectedSystems(drawn.systems[places], {name: data[places] for name, data in drawn.truth.items()})
