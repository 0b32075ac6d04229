"""Columns of the table of injected stars: what is true of them, and what the selection made of them."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["INJECTED", "TRUTH", "VERDICT", "InjectedColumn"]


@dataclass(frozen=True)
class InjectedColumn:
    """A column of the injected stars.

    Attributes
    ----------
    kind : {"text", "integer", "boolean", "float"}
        Type of the values.
    unit : str
        Unit, empty for a pure number.
    description : str
        Meaning.
    optional : bool
        Whether a run may lack it.
    """

    kind: Literal["text", "integer", "boolean", "float"]
    unit: str
    description: str
    optional: bool = False


TRUTH = {
    "id": InjectedColumn("text", "", "Name of the injected star"),
    "survey": InjectedColumn("text", "", "mock: simulated, not observed"),
    "galaxy": InjectedColumn("text", "", "Cloud that it is injected into"),
    "kind": InjectedColumn("text", "", "contact or near_contact: what it is"),
    "host": InjectedColumn("text", "", "Star of the survey that lends position, epochs and gaps"),
    "true_period": InjectedColumn("float", "d", "Orbital period"),
    "listed_period": InjectedColumn("float", "d", "Period that the catalogue is made to list"),
    "mass_1": InjectedColumn("float", "solMass", "Mass of star 1, the more massive one"),
    "mass_ratio": InjectedColumn("float", "", "Mass of star 2 over that of star 1"),
    "inclination": InjectedColumn("float", "deg", "Inclination"),
    "fillout_factor": InjectedColumn("float", "", "Fill-out of a contact binary, 0 at L1 and 1 at L2"),
    "lobe_filling_1": InjectedColumn("float", "", "R / R_L of star 1"),
    "lobe_filling_2": InjectedColumn("float", "", "R / R_L of star 2"),
    "radius_1": InjectedColumn("float", "solRad", "Radius of star 1, that of a sphere of its volume"),
    "radius_2": InjectedColumn("float", "solRad", "Radius of star 2, that of a sphere of its volume"),
    "teff_1": InjectedColumn("float", "K", "Mean effective temperature of star 1"),
    "teff_2": InjectedColumn("float", "K", "Mean effective temperature of star 2"),
    "true_M_V": InjectedColumn("float", "mag", "Absolute V magnitude at maximum light, both stars"),
    "true_VI0": InjectedColumn("float", "mag", "Intrinsic colour (V-I)_0 at maximum light, both stars"),
    "true_distance_modulus": InjectedColumn("float", "mag", "True distance modulus"),
    "true_E_VI": InjectedColumn("float", "mag", "True reddening E(V-I)"),
    "third_light": InjectedColumn("float", "", "Share of other stars in the light at maximum in I"),
    "true_I_mag": InjectedColumn("float", "mag", "Apparent I at maximum light, third light included"),
    "true_V_mag": InjectedColumn("float", "mag", "Apparent V at maximum light, third light included"),
    "true_depth1": InjectedColumn("float", "mag", "Depth of the deeper minimum in I without third light"),
    "true_depth2": InjectedColumn("float", "mag", "Depth of the other minimum in I without third light"),
}
VERDICT = {
    "type": InjectedColumn("text", "", "Type that the catalogue is made to list"),
    "I_mag": InjectedColumn("float", "mag", "Listed I magnitude"),
    "V_mag": InjectedColumn("float", "mag", "Listed V magnitude"),
    "period": InjectedColumn("float", "d", "Adopted period"),
    "E_VI": InjectedColumn("float", "mag", "Adopted reddening"),
    "M_V": InjectedColumn("float", "mag", "Absolute V magnitude with the adopted distance and reddening"),
    "VI0": InjectedColumn("float", "mag", "Intrinsic colour with the adopted reddening"),
    "n_points": InjectedColumn("integer", "", "Points that were fitted"),
    "n_rejected": InjectedColumn("integer", "", "Points that the cleaning rejected"),
    "depth1": InjectedColumn("float", "mag", "Measured depth of the deeper minimum"),
    "depth2": InjectedColumn("float", "mag", "Measured depth of the other minimum"),
    "W": InjectedColumn("float", "", "Contact criterion of the light curve"),
    "c": InjectedColumn("float", "", "Morphology parameter that the cut uses"),
    "light_curve_class": InjectedColumn("text", "", "Class of the light curve"),
    "P_contact": InjectedColumn("float", "", "Probability of contact by the light curve"),
    "post_contact": InjectedColumn("float", "", "Posterior probability of contact", optional=True),
    "ln_odds": InjectedColumn("float", "", "Log odds of contact against near contact", optional=True),
    "selected": InjectedColumn("boolean", "", "Whether the star passes every cut"),
    "bona_fide": InjectedColumn("boolean", "", "Whether it is in the bona fide set", optional=True),
    "rejected_by": InjectedColumn("text", "", "First cut that removed it"),
    "failed": InjectedColumn("integer", "", "Bit mask of the cuts that it fails"),
    "undecided": InjectedColumn("integer", "", "Bit mask of the cuts for which it lacks a number"),
    "flags": InjectedColumn("integer", "", "Bit mask of missing values and substitutes"),
}
INJECTED: dict[str, InjectedColumn] = TRUTH | VERDICT
