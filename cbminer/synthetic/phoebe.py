"""Light curves by PHOEBE, the published code that judges our own engine. It needs ``cbminer[phoebe]``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray
from cbminer.errors import SettingsError
from cbminer.synthetic.geometry import lagrange_points, lobe_radius, potential_in_frame_2, volume_radius
from cbminer.synthetic.limb_darkening import LimbDarkening, LimbDarkeningTable
from cbminer.synthetic.passbands import Passband
from cbminer.synthetic.phoebe_bundle import STARS, Bench, Darkening, Outcome, Recipe, Task
from cbminer.synthetic.phoebe_passbands import (
    ABUNDANCE_RANGE,
    ATMOSPHERES,
    BANDS,
    TEFF_RANGE,
    Atmosphere,
    check_choice,
    check_range,
    install_passband,
    phoebe_intensities,
)
from cbminer.synthetic.phoebe_workers import run_apart
from cbminer.synthetic.roche import half_temperatures
from cbminer.synthetic.systems import BinarySystems

__all__ = ["PhoebeCurves", "PhoebeFailure", "phoebe_intensities", "phoebe_light_curves", "phoebe_passband"]

_Law = LimbDarkening | LimbDarkeningTable

_DEFAULT_LAW = LimbDarkening()

# PHOEBE refuses a star that fills its lobe to the last digit, and a contact surface that touches L2.
_LARGEST_FILLING = 1.0 - 1e-6
_LARGEST_FILLOUT = 1.0 - 1e-6
# Temperatures of a table of intensities: steps of one per cent.
_TABLE_SIZE = 270
_DIED = "the process that computed it died, and died again on this system alone"


@dataclass(frozen=True)
class PhoebeFailure:
    """A system whose light curve PHOEBE did not give.

    Attributes
    ----------
    index : int
        Its place among the systems.
    reason : str
        What PHOEBE said the last time.
    attempts : int
        How often it was tried.
    """

    index: int
    reason: str
    attempts: int


@dataclass(frozen=True, eq=False)
class PhoebeCurves:
    """Light curves by PHOEBE.

    Attributes
    ----------
    flux : `~numpy.ndarray`
        Fluxes in W/m2 at a distance of 1 m, not normalised, shape (systems, bands, phases); NaN where PHOEBE
        failed.
    seconds : `~numpy.ndarray`
        CPU time of the computation in s, of all attempts and without the setting up, shape (systems,); NaN
        where the process died.
    failures : tuple of PhoebeFailure
        The systems that failed, in their order.
    """

    flux: FloatArray
    seconds: FloatArray
    failures: tuple[PhoebeFailure, ...]


def phoebe_light_curves(
    systems: BinarySystems,
    phases: npt.ArrayLike,
    *,
    bands: Sequence[str] = ("I", "V"),
    atmosphere: Atmosphere = "blackbody",
    abundance: float = 0.0,
    limb_darkening: Mapping[str, _Law] | None = None,
    bolometric_limb_darkening: _Law = _DEFAULT_LAW,
    irradiation: bool = True,
    semi_major_axis_rsun: npt.ArrayLike = 8.0,
    period_days: npt.ArrayLike = 0.7,
    n_triangles: int = 3000,
    attempts: int = 4,
    jobs: int = 1,
) -> PhoebeCurves:
    """Compute light curves with PHOEBE.

    Parameters
    ----------
    systems : BinarySystems
        The n binaries. Of one law of temperature over a common envelope PHOEBE is given the means over both
        halves, which is the same.
    phases : array_like
        Phases, 0 where star 1 is eclipsed; any real numbers in any order, shape (k,).
    bands : sequence of {"I", "V"}, optional
        Cousins I and Johnson V.
    atmosphere : {"blackbody", "kurucz"}, optional
        What the stars shine like; with Kurucz atmospheres at 3,500 to 50,000 K. See `phoebe_intensities`.
    abundance : float, optional
        [M/H] of Kurucz atmospheres.
    limb_darkening : mapping of str to LimbDarkening or LimbDarkeningTable, optional
        Limb darkening of each band; linear with 0.3 by default.
    bolometric_limb_darkening : LimbDarkening or LimbDarkeningTable, optional
        That of the light by which the stars heat each other.
    irradiation : bool, optional
        Whether they do, by the scheme of Horvat et al. (2019, ApJS 240, 36).
    semi_major_axis_rsun, period_days : array_like, optional
        Separation in solar radii and period in days, one number or shape (n,). They give the masses and with
        them the gravity of Kurucz atmospheres; curves of black bodies do not depend on them but for a factor.
    n_triangles : int, optional
        Triangles of a contact envelope, or of each detached star; at least 100.
    attempts : int, optional
        How often a system is tried, each time with 3 per cent more triangles. Necks of a fill-out factor
        below about 0.05 often fail whatever the mesh.
    jobs : int, optional
        Number of processes. With more than one, a script calls this from below
        ``if __name__ == "__main__"``.

    Returns
    -------
    PhoebeCurves
        The curves, the same whatever the number of processes.

    Raises
    ------
    SettingsError
        If PHOEBE is not installed or an argument is out of its range.

    Notes
    -----
    Reflection, gravity darkening and limb darkening are set from the arguments: PHOEBE's own values are those
    of cool stars. Intensities are weighted by energy. Mean temperatures of PHOEBE are those whose fourth
    power is the mean over the area.
    """
    at = _checked_phases(phases) % 1.0
    laws = _checked_laws(bands, limb_darkening)
    check_choice("atmosphere", atmosphere, tuple(ATMOSPHERES))
    recipe = Recipe(
        # PHOEBE makes its mesh at the first phase, and the last digit of the separation there decides on the
        # triangles: with phase 0 first, a flux does not depend on what other phases are asked for.
        phases=tuple(np.unique(np.append(at, 0.0)).tolist()),
        bands=tuple(laws),
        laws=tuple(law.law for law in laws.values()),
        bolometric_law=bolometric_limb_darkening.law,
        atmosphere=atmosphere,
        abundance=float(check_range("abundance", abundance, ABUNDANCE_RANGE)),
        irradiation=irradiation,
        n_triangles=_checked_count("n_triangles", n_triangles, lowest=100),
        attempts=_checked_count("attempts", attempts, lowest=1),
    )
    jobs = _checked_count("jobs", jobs, lowest=1)
    teff = _teff_of_stars(systems, atmosphere)
    axis = _scale("semi_major_axis_rsun", semi_major_axis_rsun, len(systems))
    period = _scale("period_days", period_days, len(systems))
    values = _values(systems, teff, axis=axis, period=period)
    darkening = _darkening(laws, bolometric_limb_darkening, teff)
    tasks = [
        Task(bool(contact), tuple((*name, float(column[k])) for name, column in values[bool(contact)].items()), dark)
        for k, (contact, dark) in enumerate(zip(systems.is_contact, darkening, strict=True))
    ]
    # Here, and not only in the processes, so that what is missing is said once and a file made once.
    for band in recipe.bands:
        install_passband(band, atmosphere=atmosphere)
    if jobs == 1:
        bench = Bench(recipe)
        outcomes: list[Outcome | None] = [bench.curve(task) for task in tasks]
    else:
        outcomes = run_apart(partial(_curve_apart, recipe), tasks, jobs=jobs)
    return _curves(recipe, outcomes, place=np.searchsorted(recipe.phases, at))


def phoebe_passband(
    band: str,
    *,
    atmosphere: Atmosphere = "kurucz",
    abundance: float = 0.0,
    limb_darkening: _Law | None = None,
) -> Passband:
    """Make a passband of our own engine of the normal intensities that PHOEBE knows.

    Parameters
    ----------
    band : {"I", "V"}
        Cousins I or Johnson V.
    atmosphere : {"blackbody", "kurucz"}, optional
        What the stars shine like.
    abundance : float, optional
        [M/H] of Kurucz atmospheres.
    limb_darkening : LimbDarkening or LimbDarkeningTable, optional
        Limb darkening, linear with 0.3 by default.

    Returns
    -------
    Passband
        Intensities at 3,500 to 50,000 K and log g of 2 to 5.

    Raises
    ------
    SettingsError
        If PHOEBE is missing or an argument is out of its range.
    """
    teff = np.geomspace(*TEFF_RANGE["kurucz"], _TABLE_SIZE)
    log_g = np.arange(2.0, 5.01, 0.25)
    intensity = phoebe_intensities(band, teff[:, np.newaxis], log_g, atmosphere=atmosphere, abundance=abundance)
    return Passband.tabulated(band, teff=teff, log_g=log_g, intensity=intensity, limb_darkening=limb_darkening)


@lru_cache(maxsize=1)
def _bench(recipe: Recipe) -> Bench:
    return Bench(recipe)


def _curve_apart(recipe: Recipe, task: Task) -> Outcome:
    """Compute a curve in a process that keeps its bundles from one system to the next."""
    return _bench(recipe).curve(task)


def _curves(recipe: Recipe, outcomes: list[Outcome | None], *, place: npt.NDArray[np.intp]) -> PhoebeCurves:
    flux = np.full((len(outcomes), len(recipe.bands), len(recipe.phases)), np.nan)
    seconds = np.full(len(outcomes), np.nan)
    failures = []
    for k, outcome in enumerate(outcomes):
        if outcome is None:
            failures.append(PhoebeFailure(k, _DIED, 2))
            continue
        seconds[k] = outcome.seconds
        if outcome.flux is None:
            failures.append(PhoebeFailure(k, outcome.reason, outcome.attempts))
        else:
            flux[k] = outcome.flux
    return PhoebeCurves(flux[:, :, place], seconds, tuple(failures))


def _teff_of_stars(systems: BinarySystems, atmosphere: Atmosphere) -> FloatArray:
    """Mean temperatures of both stars, shape (2, n)."""
    one_law = np.isnan(systems.teff_2)
    unequal = one_law & (systems.gravity_darkening_1 != systems.gravity_darkening_2)
    if unequal.any():
        k = int(np.argmax(unequal))
        msg = f"teff_2: none for system {k}, whose stars differ in gravity darkening; PHOEBE wants one then: give it"
        raise SettingsError(msg)
    # PHOEBE scales each half of an envelope to its own mean: with those of the one law, both follow it.
    teff = half_temperatures(systems).T
    lowest, highest = TEFF_RANGE[atmosphere]
    outside = (teff < lowest) | (teff > highest)
    if outside.any():
        star, k = np.argwhere(outside)[0]
        msg = (
            f"teff_{star + 1}: {teff[star, k]:g} K for system {k}; with atmosphere {atmosphere} it must lie between "
            f"{lowest:g} and {highest:g} K"
        )
        raise SettingsError(msg)
    return teff


def _values(
    systems: BinarySystems, teff: FloatArray, *, axis: FloatArray, period: FloatArray
) -> dict[bool, dict[tuple[str, str], FloatArray]]:
    """Parameters by PHOEBE's qualifier and component, of systems in contact and of others."""
    q = systems.mass_ratio
    points = lagrange_points(q)
    widest = points.potential_1 - _LARGEST_FILLOUT * (points.potential_1 - points.potential_2)
    own_potentials = (systems.potential_1, potential_in_frame_2(systems.potential_2, q))
    radii = [
        np.minimum(volume_radius(own, ratio), lobe_radius(ratio) * _LARGEST_FILLING) * axis
        for own, ratio in zip(own_potentials, (q, 1.0 / q), strict=True)
    ]
    beta = (systems.gravity_darkening_1, systems.gravity_darkening_2)
    albedo = (systems.albedo_1, systems.albedo_2)
    common = {
        ("sma", "binary"): axis,
        ("period", "binary"): period,
        ("q", "binary"): q,
        ("incl", "binary"): systems.inclination,
        **{("teff", star): teff[k] for k, star in enumerate(STARS)},
        **{("gravb_bol", star): beta[k] for k, star in enumerate(STARS)},
        **{("irrad_frac_refl_bol", star): albedo[k] for k, star in enumerate(STARS)},
    }
    return {
        True: common | {("pot", "contact_envelope"): np.maximum(systems.potential_1, widest)},
        False: common | {("requiv", star): radii[k] for k, star in enumerate(STARS)},
    }


def _darkening(laws: Mapping[str, _Law], bolometric: _Law, teff: FloatArray) -> list[tuple[Darkening, ...]]:
    """Limb darkening of both stars of each system, in all bands and for all light."""
    of_all: list[tuple[str | None, _Law]] = [*laws.items(), (None, bolometric)]
    return [
        tuple(
            # PHOEBE's linear law takes one coefficient and no second one.
            Darkening(star, band, tuple(law.at(at[k]).tolist())[: 1 if law.law == "linear" else 2])
            for band, law in of_all
            for star, at in zip(STARS, teff, strict=True)
        )
        for k in range(teff.shape[1])
    ]


def _checked_laws(bands: Sequence[str], given: Mapping[str, _Law] | None) -> dict[str, _Law]:
    """Limb darkening of each band."""
    names = tuple(bands)
    for band in names:
        check_choice("bands", band, BANDS)
    if not names or len(set(names)) < len(names):
        msg = f"bands: {names}; give one band or more, each once, of {' and '.join(BANDS)}"
        raise SettingsError(msg)
    if given is None:
        return dict.fromkeys(names, _DEFAULT_LAW)
    missing = [band for band in names if band not in given]
    if missing:
        msg = f"limb_darkening: nothing for band {missing[0]}; give a law for each of {', '.join(names)}"
        raise SettingsError(msg)
    return {band: given[band] for band in names}


def _checked_phases(phases: npt.ArrayLike) -> FloatArray:
    at = np.asarray(phases, dtype=float)
    if at.ndim != 1 or not len(at) or not np.isfinite(at).all():
        msg = f"phases: shape {at.shape}; they must be a list of one or more finite numbers"
        raise SettingsError(msg)
    return at


def _checked_count(name: str, given: int, *, lowest: int) -> int:
    if not (given >= lowest and float(given).is_integer()):
        msg = f"{name}: {given}; it must be a whole number of {lowest} or more"
        raise SettingsError(msg)
    return int(given)


def _scale(name: str, given: npt.ArrayLike, n: int) -> FloatArray:
    scale = np.asarray(given, dtype=float)
    if scale.shape not in {(), (n,)} or not ((scale > 0.0) & np.isfinite(scale)).all():
        msg = f"{name}: it must be one finite number above 0, or one for each of the {n} systems"
        raise SettingsError(msg)
    return np.broadcast_to(scale, (n,))
