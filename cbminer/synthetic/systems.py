"""Binary systems as the light-curve engines take them: a batch of parameters, checked once."""

from dataclasses import dataclass, fields, replace
from typing import Any, Self, SupportsIndex

import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray
from cbminer.errors import SettingsError
from cbminer.synthetic.geometry import (
    lagrange_points,
    potential_in_frame_1,
    potential_of_fillout,
    potential_of_lobe_filling,
)

__all__ = ["BinarySystems"]

# Potentials this close to a critical one, relatively, count as equal to it.
_SLACK = 1e-9
# Companions less massive than this make no Roche lobe to speak of, and smaller stars cannot be seen.
_MASS_RATIOS = (1e-3, 1e3)
_SMALLEST_FILLING = 1e-4


@dataclass(frozen=True, kw_only=True)
class BinarySystems:
    """A batch of binaries on circular orbits with synchronous rotation.

    Star 1 is eclipsed at phase 0. Potentials are modified Kopal potentials in the frame of star 1 (Wilson
    1979, ApJ 234, 1054) for both stars, so that the two are equal in a contact binary.

    Attributes
    ----------
    mass_ratio : `~numpy.ndarray`
        Mass of star 2 over that of star 1, shape (n,), 0.001 to 1000.
    inclination : `~numpy.ndarray`
        Inclination in degrees, 0 to 90.
    potential_1, potential_2 : `~numpy.ndarray`
        Potentials of the surfaces.
    teff_1, teff_2 : `~numpy.ndarray`
        Mean effective temperatures in K, weighted by area. NaN for `teff_2` of a contact binary puts one law
        of gravity darkening over the whole envelope.
    gravity_darkening_1, gravity_darkening_2 : `~numpy.ndarray`
        Exponent beta of the bolometric flux, which goes with the local gravity to the beta: 1 for radiative
        envelopes (von Zeipel 1924, MNRAS 84, 665), 0.32 for convective ones (Lucy 1967, ZA 65, 89).
    albedo_1, albedo_2 : `~numpy.ndarray`
        Share of the light of its companion that a star sends back, 0 to 1.
    """

    mass_ratio: FloatArray
    inclination: FloatArray
    potential_1: FloatArray
    potential_2: FloatArray
    teff_1: FloatArray
    teff_2: FloatArray
    gravity_darkening_1: FloatArray
    gravity_darkening_2: FloatArray
    albedo_1: FloatArray
    albedo_2: FloatArray

    def __post_init__(self) -> None:
        """Bring all parameters to one length and refuse those without physical sense."""
        names = [field.name for field in fields(self)]
        arrays = _same_length(**{name: getattr(self, name) for name in names})
        for name, array in zip(names, arrays, strict=True):
            object.__setattr__(self, name, np.ascontiguousarray(np.atleast_1d(array)))
        self._check()

    @classmethod
    def contact(
        cls,
        mass_ratio: npt.ArrayLike,
        inclination: npt.ArrayLike,
        *,
        fillout_factor: npt.ArrayLike,
        teff_1: npt.ArrayLike,
        teff_2: npt.ArrayLike = np.nan,
        gravity_darkening: npt.ArrayLike = 1.0,
        albedo: npt.ArrayLike = 1.0,
    ) -> Self:
        """Make contact binaries.

        Parameters
        ----------
        mass_ratio : array_like
            Mass of star 2 over that of star 1, 0.001 to 1000.
        inclination : array_like
            Inclination in degrees, 0 to 90.
        fillout_factor : array_like
            0 at the surface through L1, 1 at the one through L2.
        teff_1 : array_like
            Mean effective temperature of star 1 in K; without `teff_2`, of the whole envelope.
        teff_2 : array_like, optional
            Mean effective temperature of star 2 in K.
        gravity_darkening, albedo : array_like, optional
            Of both stars; 1, for radiative envelopes, by default.

        Returns
        -------
        BinarySystems
            The systems.

        Raises
        ------
        SettingsError
            If a parameter is out of its range.
        """
        q, fillout, first, second = _same_length(
            mass_ratio=mass_ratio, fillout_factor=fillout_factor, teff_1=teff_1, teff_2=teff_2
        )
        _check("mass_ratio", q, lowest=_MASS_RATIOS[0], highest=_MASS_RATIOS[1])
        potential = potential_of_fillout(fillout, q)
        # Two lobes that only touch are two surfaces: each has its own mean temperature.
        touching = np.isnan(second) & ~(potential < lagrange_points(q).potential_1 * (1.0 - _SLACK))
        return cls(
            mass_ratio=q,
            inclination=np.asarray(inclination, dtype=float),
            potential_1=potential,
            potential_2=potential,
            teff_1=first,
            teff_2=np.where(touching, first, second),
            gravity_darkening_1=np.asarray(gravity_darkening, dtype=float),
            gravity_darkening_2=np.asarray(gravity_darkening, dtype=float),
            albedo_1=np.asarray(albedo, dtype=float),
            albedo_2=np.asarray(albedo, dtype=float),
        )

    @classmethod
    def detached(
        cls,
        mass_ratio: npt.ArrayLike,
        inclination: npt.ArrayLike,
        *,
        lobe_filling_1: npt.ArrayLike,
        lobe_filling_2: npt.ArrayLike,
        teff_1: npt.ArrayLike,
        teff_2: npt.ArrayLike,
        gravity_darkening: npt.ArrayLike = 1.0,
        albedo: npt.ArrayLike = 1.0,
    ) -> Self:
        """Make detached and semi-detached binaries.

        Parameters
        ----------
        mass_ratio : array_like
            Mass of star 2 over that of star 1, 0.001 to 1000.
        inclination : array_like
            Inclination in degrees, 0 to 90.
        lobe_filling_1, lobe_filling_2 : array_like
            Radius of each star over that of its Roche lobe, both of equal volume, 0.0001 to 1; a star with 1
            fills its lobe.
        teff_1, teff_2 : array_like
            Mean effective temperatures in K.
        gravity_darkening, albedo : array_like, optional
            Of both stars; 1, for radiative envelopes, by default.

        Returns
        -------
        BinarySystems
            The systems.

        Raises
        ------
        SettingsError
            If a parameter is out of its range.
        """
        q, filling_1, filling_2 = _same_length(
            mass_ratio=mass_ratio, lobe_filling_1=lobe_filling_1, lobe_filling_2=lobe_filling_2
        )
        _check("mass_ratio", q, lowest=_MASS_RATIOS[0], highest=_MASS_RATIOS[1])
        for name, filling in (("lobe_filling_1", filling_1), ("lobe_filling_2", filling_2)):
            _check(name, filling, lowest=_SMALLEST_FILLING, highest=1.0)
        own_2 = potential_of_lobe_filling(filling_2, 1.0 / q)
        return cls(
            mass_ratio=q,
            inclination=np.asarray(inclination, dtype=float),
            potential_1=potential_of_lobe_filling(filling_1, q),
            potential_2=potential_in_frame_1(own_2, q),
            teff_1=np.asarray(teff_1, dtype=float),
            teff_2=np.asarray(teff_2, dtype=float),
            gravity_darkening_1=np.asarray(gravity_darkening, dtype=float),
            gravity_darkening_2=np.asarray(gravity_darkening, dtype=float),
            albedo_1=np.asarray(albedo, dtype=float),
            albedo_2=np.asarray(albedo, dtype=float),
        )

    def __len__(self) -> int:
        return len(self.mass_ratio)

    def __getitem__(self, chosen: SupportsIndex | slice | npt.NDArray[Any]) -> Self:
        """Systems at some places; one place makes a batch of one."""
        place: Any = chosen
        if isinstance(chosen, SupportsIndex) and not isinstance(chosen, np.ndarray):
            # An index beyond the end must end a loop over the systems.
            place = [range(len(self))[chosen]]
        return type(self)(**{field.name: getattr(self, field.name)[place] for field in fields(self)})

    def at_inclination(self, inclination: npt.ArrayLike) -> Self:
        """See the same systems from elsewhere.

        Parameters
        ----------
        inclination : array_like
            Inclination in degrees, 0 to 90.

        Returns
        -------
        BinarySystems
            The systems.

        Raises
        ------
        SettingsError
            If an inclination is out of its range.
        """
        return replace(self, inclination=np.asarray(inclination, dtype=float))

    @property
    def is_contact(self) -> npt.NDArray[np.bool_]:
        """Whether both stars share one surface, shape (n,)."""
        inner = lagrange_points(self.mass_ratio).potential_1
        equal = np.abs(self.potential_1 - self.potential_2) <= _SLACK * inner
        return np.asarray(equal & (self.potential_1 < inner * (1.0 - _SLACK)))

    def as_columns(self) -> FloatArray:
        """All parameters in the order of the attributes, then whether the system is in contact.

        Returns
        -------
        `~numpy.ndarray`
            Shape (n, 11).
        """
        return np.stack([*(getattr(self, field.name) for field in fields(self)), self.is_contact], axis=1)

    def _check(self) -> None:
        _check("mass_ratio", self.mass_ratio, lowest=_MASS_RATIOS[0], highest=_MASS_RATIOS[1])
        _check("inclination", self.inclination, lowest=0.0, highest=90.0)
        known = np.where(np.isnan(self.teff_2) & self.is_contact, self.teff_1, self.teff_2)
        for name, teff in (("teff_1", self.teff_1), ("teff_2", known)):
            _check(name, teff, lowest=1000.0, highest=200000.0)
        for name in ("gravity_darkening_1", "gravity_darkening_2", "albedo_1", "albedo_2"):
            _check(name, getattr(self, name), lowest=0.0, highest=1.0)
        points = lagrange_points(self.mass_ratio)
        detached = ~self.is_contact
        for name in ("potential_1", "potential_2"):
            potential = getattr(self, name)
            lowest = np.where(detached, points.potential_1, points.potential_2) * (1.0 - _SLACK)
            # Beyond this a star is a point.
            outside = ~((potential >= lowest) & (potential <= 1e6 * (1.0 + self.mass_ratio)))
            if outside.any():
                k = int(np.argmax(outside))
                what = (
                    "of L1, within whose surface a star ends unless both have one potential"
                    if detached[k]
                    else "of L2, within whose surface a contact binary ends"
                )
                msg = (
                    f"{name}: {potential[k]:g} for system {k}; it must lie between {lowest[k]:.6g} {what}, "
                    f"and {1e6 * (1.0 + self.mass_ratio[k]):.6g}"
                )
                raise SettingsError(msg)


def _same_length(**given: npt.ArrayLike) -> list[FloatArray]:
    """Bring parameters to one length, numbers to that of the arrays."""
    arrays = {name: np.asarray(value, dtype=float) for name, value in given.items()}
    shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items() if array.ndim)
    if any(array.ndim > 1 for array in arrays.values()):
        msg = f"the parameters of the systems must be numbers or one-dimensional arrays: {shapes}"
        raise SettingsError(msg)
    try:
        return [np.asarray(array) for array in np.broadcast_arrays(*arrays.values())]
    except ValueError:
        msg = f"the parameters of the systems have different lengths: {shapes}"
        raise SettingsError(msg) from None


def _check(name: str, given: npt.ArrayLike, *, lowest: float, highest: float) -> None:
    """Refuse numbers out of a range, NaN among them."""
    number = np.asarray(given, dtype=float)
    inside = (number >= lowest) & (number <= highest)
    if not inside.all():
        msg = f"{name}: {number[~inside].flat[0]:g}; it must be a finite number from {lowest:g} to {highest:g}"
        raise SettingsError(msg)
