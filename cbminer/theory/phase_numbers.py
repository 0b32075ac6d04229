"""How many systems of each phase a sample holds: the Poisson likelihood of its stars by period, magnitude, colour."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from scipy.optimize import brentq

from cbminer.columns import FloatArray
from cbminer.errors import InputFormatError
from cbminer.theory.comparison import PlacedSample
from cbminer.theory.density import PopulationDensity

__all__ = ["NumberFit", "NumberInterval", "PlaceBox", "PlaceLikelihood"]

# Half a unit of the logarithm of the likelihood: one standard deviation of a normal curve.
_FALL = 0.5
_MOST_STEPS = 20_000
_CLOSE_ENOUGH = 1e-9


@dataclass(frozen=True)
class PlaceBox:
    """A box in which stars that are no members of a population are spread evenly.

    Attributes
    ----------
    log_P, M_V, VI0 : tuple of float
        Lowest and highest values; dex and mag.

    Raises
    ------
    InputFormatError
        If a lowest value is not below the highest, or one of them not finite.
    """

    log_P: tuple[float, float]
    M_V: tuple[float, float]
    VI0: tuple[float, float]

    def __post_init__(self) -> None:
        for name in ("log_P", "M_V", "VI0"):
            low, high = getattr(self, name)
            if not (np.isfinite([low, high]).all() and low < high):
                msg = f"{name} of the box goes from {low:g} to {high:g}: give the lower value first, both finite"
                raise InputFormatError(msg)

    def density(self, sample: PlacedSample) -> FloatArray:
        """Density at stars, errors left aside.

        Parameters
        ----------
        sample : PlacedSample
            The stars.

        Returns
        -------
        `~numpy.ndarray`
            One over the volume inside, 0 outside; shape (n,).
        """
        low, high = np.array([self.log_P, self.M_V, self.VI0], dtype=float).T
        inside = ((sample.places >= low) & (sample.places <= high)).all(axis=1)
        return np.where(inside, 1.0 / float(np.prod(high - low)), 0.0)


@dataclass(frozen=True)
class NumberInterval:
    """Numbers of a component at which the likelihood, all others fitted anew, is lower by half a unit of its logarithm.

    Attributes
    ----------
    low, high : float
        Its ends; `low` is 0 where the likelihood of no system at all is not lower by that much.
    """

    low: float
    high: float


@dataclass(frozen=True)
class NumberFit:
    """Numbers of highest likelihood.

    Attributes
    ----------
    number : dict of str to float
        Expected stars of each component in the sample.
    log_likelihood : float
        Logarithm of the likelihood there, the constant ln n! left out.
    """

    number: dict[str, float]
    log_likelihood: float


@dataclass(frozen=True)
class PlaceLikelihood:
    """Likelihood of a sample as a sum of components, each with a density of its own and a number to be found.

    Attributes
    ----------
    names : tuple of str
        Components.
    density : `~numpy.ndarray`
        Density of each at every star, its integral over the limits of the sample 1; shape (n, components).

    Notes
    -----
    The extended likelihood of a Poisson process (Barlow 1990, Nucl. Instr. Meth. A 297, 496),

        ln L = sum_j ln sum_k N_k f_k(x_j) - sum_k N_k,

    where N_k is the number expected *in the sample*. A selection that passes an equal share of a component everywhere
    is in N_k; one that depends on the place has to be in f_k.
    """

    names: tuple[str, ...]
    density: FloatArray = field(repr=False)

    @classmethod
    def of_populations(
        cls,
        sample: PlacedSample,
        populations: Mapping[str, PopulationDensity],
        *,
        elsewhere: PlaceBox | None = None,
    ) -> Self:
        """Ask populations for their densities at the stars of a sample.

        Parameters
        ----------
        sample : PlacedSample
            The stars.
        populations : mapping of str to PopulationDensity
            Densities within the limits of the sample, by component.
        elsewhere : PlaceBox, optional
            A further component "elsewhere", evenly spread, for what belongs to no population. Without it one star
            where no model is makes everything impossible.

        Returns
        -------
        PlaceLikelihood
            The likelihood.

        Raises
        ------
        InputFormatError
            If there are no stars, or one of them where no component has anything.
        """
        columns = {name: sample.density(population) for name, population in populations.items()}
        if elsewhere is not None:
            columns["elsewhere"] = elsewhere.density(sample)
        if not len(sample) or not columns:
            msg = "no likelihood without stars and at least one component"
            raise InputFormatError(msg)
        density = np.column_stack(list(columns.values()))
        alone = np.flatnonzero(~(density.max(axis=1) > 0))
        if len(alone):
            log_p, m_v, vi0 = sample.places[alone[0]]
            msg = (
                f"{len(alone)} stars lie where no component has anything, such as one at log P = {log_p:.2f}, "
                f"M_V = {m_v:.2f}, (V-I)_0 = {vi0:.2f}: give a larger box elsewhere"
            )
            raise InputFormatError(msg)
        return cls(tuple(columns), density)

    def log_likelihood(self, number: Mapping[str, float]) -> float:
        """Logarithm of the likelihood of numbers.

        Parameters
        ----------
        number : mapping of str to float
            Expected stars of each component; 0 for those that are not named.

        Returns
        -------
        float
            The logarithm; minus infinity if a star lies where nothing is expected.

        Raises
        ------
        InputFormatError
            If a component is not known, or a number negative or not finite.
        """
        return _log_likelihood(self.density, self._array(number))

    def best(self, *, fixed: Mapping[str, float] | None = None) -> NumberFit:
        """Find the numbers of highest likelihood.

        Parameters
        ----------
        fixed : mapping of str to float, optional
            Numbers that are given; none by default.

        Returns
        -------
        NumberFit
            The numbers. If none is given they add up to the number of stars.

        Raises
        ------
        InputFormatError
            If a component is not known, or a given number negative or not finite.

        Notes
        -----
        By expectation maximisation, which keeps numbers from becoming negative; the likelihood has one maximum only.
        Where numbers of 0 are given, a star may lie where nothing is expected. The logarithm of the likelihood is
        then minus infinity, and free numbers are those of the other stars.
        """
        given = dict(fixed or {})
        number = self._array(given)
        free = np.array([name not in given for name in self.names])
        # A free number that begins at 0 would stay there.
        number[free] = max(len(self.density), 1) / max(int(free.sum()), 1)
        explained = self.density[self.density @ number > 0]
        last = _log_likelihood(explained, number)
        for _ in range(_MOST_STEPS if free.any() else 0):
            total = explained @ number
            number[free] *= (explained[:, free] / total[:, np.newaxis]).sum(axis=0)
            now = _log_likelihood(explained, number)
            if now - last < _CLOSE_ENOUGH:
                break
            last = now
        found = dict(zip(self.names, number.tolist(), strict=True))
        return NumberFit(found, _log_likelihood(self.density, number))

    def interval(self, name: str) -> NumberInterval:
        """Interval of the number of one component by the profile of the likelihood.

        Parameters
        ----------
        name : str
            The component.

        Returns
        -------
        NumberInterval
            About 68 % where the number is neither small nor at 0.

        Raises
        ------
        InputFormatError
            If there is no such component.
        """
        top = self.best()
        peak = self._known(top.number, name)

        def fall(number: float) -> float:
            return top.log_likelihood - self.best(fixed={name: number}).log_likelihood - _FALL

        step = np.sqrt(peak + 1.0)
        high = peak + step
        while fall(high) < 0:
            high += step
        # Of no system at all, the likelihood may be none.
        least = 1e-6 * step
        low = 0.0 if peak <= least or fall(least) < 0 else brentq(fall, least, peak, xtol=1e-3)
        return NumberInterval(float(low), float(brentq(fall, peak, high, xtol=1e-3)))

    def _array(self, number: Mapping[str, float]) -> FloatArray:
        for name in number:
            self._known(number, name)
        return np.array([float(number.get(name, 0.0)) for name in self.names])

    def _known(self, number: Mapping[str, float], name: str) -> float:
        if name not in self.names:
            msg = f"no component is called {name}: there are {', '.join(self.names)}"
            raise InputFormatError(msg)
        if not 0 <= number[name] < np.inf:
            msg = f"the number of {name} is {number[name]:g}; it must be finite, and 0 or more"
            raise InputFormatError(msg)
        return float(number[name])


def _log_likelihood(density: FloatArray, number: FloatArray) -> float:
    with np.errstate(divide="ignore"):
        return float(np.log(density @ number).sum() - number.sum())
