"""PHOEBE's bundles: the settings of a computation, and the curve of one system after another."""

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cbminer.columns import FloatArray
from cbminer.synthetic.phoebe_passbands import ATMOSPHERES, Atmosphere, install_passband, load_phoebe, quietly

__all__ = ["STARS", "Bench", "Darkening", "Outcome", "Recipe", "Task"]

STARS = ("primary", "secondary")

_LAWS = {"linear": "linear", "square-root": "square_root", "logarithmic": "logarithmic"}
# Each further attempt has a mesh finer by this share: other triangles at the neck, and the same accuracy.
_FINER = 0.03
# Of a system that PHOEBE's checks refuse, no other mesh helps.
_REFUSED = "failed to pass checks"


@dataclass(frozen=True)
class Recipe:
    """What is the same for all systems of a computation.

    Attributes
    ----------
    phases : tuple of float
        Phases, increasing: PHOEBE sorts them and would return the fluxes in that order.
    bands : tuple of str
        Names of bands.
    laws : tuple of str
        Laws of limb darkening of these bands.
    bolometric_law : str
        Law of the light by which the stars heat each other.
    atmosphere : {"blackbody", "kurucz"}
        What the stars shine like.
    abundance : float
        [M/H].
    irradiation : bool
        Whether the stars heat each other.
    n_triangles : int
        Triangles of an envelope or a star.
    attempts : int
        How often a system is tried.
    """

    phases: tuple[float, ...]
    bands: tuple[str, ...]
    laws: tuple[str, ...]
    bolometric_law: str
    atmosphere: Atmosphere
    abundance: float
    irradiation: bool
    n_triangles: int
    attempts: int


@dataclass(frozen=True)
class Darkening:
    """Coefficients of limb darkening of a star.

    Attributes
    ----------
    star : str
        PHOEBE's name of the star.
    band : str or None
        The band; None for all light.
    coefficients : tuple of float
        As many as the law has.
    """

    star: str
    band: str | None
    coefficients: tuple[float, ...]


@dataclass(frozen=True)
class Task:
    """One system, in PHOEBE's words.

    Attributes
    ----------
    contact : bool
        Whether the stars share one surface.
    values : tuple
        Qualifier, component and value of every parameter that differs between systems.
    darkening : tuple of Darkening
        Limb darkening of both stars.
    """

    contact: bool
    values: tuple[tuple[str, str, float], ...]
    darkening: tuple[Darkening, ...]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a system.

    Attributes
    ----------
    flux : `~numpy.ndarray` or None
        Fluxes, shape (bands, phases); None where all attempts failed.
    seconds : float
        CPU time of the attempts in s.
    attempts : int
        Their number.
    reason : str
        What PHOEBE said the last time that it failed.
    """

    flux: FloatArray | None
    seconds: float
    attempts: int
    reason: str = ""


@dataclass
class Bench:
    """Bundles that are built once, which takes as long as a curve, and used for all systems of their kind.

    Attributes
    ----------
    recipe : Recipe
        What is the same for all systems.
    """

    recipe: Recipe
    _bundles: dict[bool, Any] = field(default_factory=dict)

    def curve(self, task: Task) -> Outcome:
        """Compute the light curve of a system.

        Parameters
        ----------
        task : Task
            The system.

        Returns
        -------
        Outcome
            Its fluxes, or the reason why there are none.
        """
        seconds, reason, attempt = 0.0, "", 0
        for attempt in range(1, self.recipe.attempts + 1):
            bundle = self._bundles.get(task.contact) or self._build(contact=task.contact)
            n_triangles = round(self.recipe.n_triangles * (1.0 + _FINER * (attempt - 1)))
            spent, reason = _attempt(bundle, task, n_triangles)
            seconds += spent
            if not reason:
                return Outcome(self._fluxes(bundle), seconds, attempt)
            if _REFUSED in reason:
                break
        # Whatever the failure has left behind must not reach the next system.
        del self._bundles[task.contact]
        return Outcome(None, seconds, attempt, reason)

    def _build(self, *, contact: bool) -> Any:
        recipe, phoebe = self.recipe, load_phoebe()
        passbands = [install_passband(band, atmosphere=recipe.atmosphere) for band in recipe.bands]
        with quietly():
            bundle = phoebe.default_binary(contact_binary=contact)
            for band, passband, law in zip(recipe.bands, passbands, recipe.laws, strict=True):
                bundle.add_dataset(
                    "lc",
                    dataset=band,
                    passband=passband,
                    compute_phases=list(recipe.phases),
                    # Kurucz atmospheres have no other weighting, and colours no meaning with luminosities scaled.
                    intens_weighting="energy",
                    pblum_mode="absolute",
                )
                bundle.set_value_all(qualifier="ld_mode", dataset=band, value="manual")
                bundle.set_value_all(qualifier="ld_func", dataset=band, value=_LAWS[law])
            bundle.set_value_all(qualifier="ld_mode_bol", value="manual")
            bundle.set_value_all(qualifier="ld_func_bol", value=_LAWS[recipe.bolometric_law])
            bundle.set_value_all(qualifier="atm", value=ATMOSPHERES[recipe.atmosphere])
            # PHOEBE computes with the abundances of the stars and shows, in contact, that of the envelope alone.
            bundle.set_value_all(qualifier="abun", value=recipe.abundance, check_visible=False)
            bundle.set_value_all(qualifier="irrad_method", value="horvat" if recipe.irradiation else "none")
            if contact:
                bundle.flip_constraint("pot", solve_for="requiv@primary")
        self._bundles[contact] = bundle
        return bundle

    def _fluxes(self, bundle: Any) -> FloatArray:
        return np.array(
            [bundle.get_value(qualifier="fluxes", dataset=band, context="model") for band in self.recipe.bands]
        )


def _attempt(bundle: Any, task: Task, n_triangles: int) -> tuple[float, str]:
    """Compute a system; return the CPU time and, if it failed, the reason."""
    start = time.process_time()
    reason = ""
    with quietly():
        try:
            _set_system(bundle, task, n_triangles)
            start = time.process_time()
            _compute(bundle)
        except Exception as error:  # noqa: BLE001 - PHOEBE's failed meshes are errors of many types
            reason = _reason(error)
    return time.process_time() - start, reason


def _set_system(bundle: Any, task: Task, n_triangles: int) -> None:
    for qualifier, component, value in task.values:
        parameter = bundle.get_parameter(qualifier=qualifier, component=component, context="component")
        # The constraints run once, at the end: half of an old and half of a new system may be impossible.
        parameter.set_value(value, run_constraints=False)
    bundle.run_delayed_constraints()
    for dark in task.darkening:
        if dark.band is None:
            where = {"qualifier": "ld_coeffs_bol", "context": "component"}
        else:
            where = {"qualifier": "ld_coeffs", "context": "dataset", "dataset": dark.band}
        bundle.set_value(component=dark.star, value=list(dark.coefficients), **where)
    bundle.set_value_all(qualifier="ntriangles", value=n_triangles)


def _compute(bundle: Any) -> None:
    bundle.run_compute(progressbar=False)


def _reason(error: BaseException) -> str:
    """Say in one line what failed; errors from PHOEBE's C++ come as the cause of an empty one."""
    deepest = error.__cause__ or error
    text = " ".join(str(deepest).split())[:300]
    return f"{type(deepest).__name__}: {text}"
