"""The one schema of the catalogue: names, types, units, UCDs, precision and meaning of every column.

Every product is written from it, so a column means the same in ECSV, FITS, VOTable and the machine-readable
table. Floating-point values are rounded to the decimals given here *before* the cuts are applied, so that the
published numbers are the numbers that decided.
"""

from dataclasses import dataclass
from typing import Any, Literal

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.table import MaskedColumn, QTable
from astropy.utils.masked import Masked

from cbminer.classifier.classes import CLASS_LABELS, CLASSES, ClassName
from cbminer.columns import ascii_form, label_column, values
from cbminer.ranking.hypotheses import HYPOTHESES, HYPOTHESIS_LABELS, Hypothesis

__all__ = ["COLUMNS", "ColumnSpec", "conform", "round_columns", "spec_of"]

_AT_MAXIMUM = "at maximum light, as OGLE lists it, not the mean magnitude"


@dataclass(frozen=True)
class ColumnSpec:
    """One column of the catalogue.

    Attributes
    ----------
    name : str
        Column name.
    kind : {"text", "integer", "boolean", "float"}
        Type of the values.
    description : str
        Meaning, in one line.
    ucd : str
        Unified content descriptor.
    unit : str
        Unit, empty for a pure number.
    decimals : int
        Decimals kept of a float.
    """

    name: str
    kind: Literal["text", "integer", "boolean", "float"]
    description: str
    ucd: str
    unit: str = ""
    decimals: int = 0

    @property
    def format(self) -> str:
        """Format of a float column, such as ``.4f``; empty for every other kind."""
        return f".{self.decimals}f" if self.kind == "float" else ""


def _text(name: str, description: str, ucd: str) -> ColumnSpec:
    return ColumnSpec(name, "text", description, ucd)


def _integer(name: str, description: str, ucd: str) -> ColumnSpec:
    return ColumnSpec(name, "integer", description, ucd)


def _float(name: str, decimals: int, unit: str, ucd: str, description: str) -> ColumnSpec:
    return ColumnSpec(name, "float", description, ucd, unit, decimals)


def _measured(name: str, decimals: int, unit: str, ucd: str, description: str) -> tuple[ColumnSpec, ColumnSpec]:
    """Return a quantity and its standard error, named with the prefix ``e_``."""
    return (
        _float(name, decimals, unit, ucd, description),
        _float(f"e_{name}", decimals, unit, f"stat.error;{ucd}", f"Standard error of {name}"),
    )


def _class_probability(name: ClassName) -> tuple[ColumnSpec, ColumnSpec]:
    """Return the probability of a class and its standard error."""
    description = f"Probability of the class by the light curve: {CLASS_LABELS[name]}"
    return _measured(f"P_{name}", 4, "", "stat.probability", description)


def _posterior(name: Hypothesis) -> ColumnSpec:
    """Return the posterior probability of a hypothesis."""
    description = f"Probability by light curve, place and survey together: {HYPOTHESIS_LABELS[name]}"
    return _float(f"post_{name}", 5, "", "stat.probability", description)


# Names differ by more than upper and lower case, which FITS and databases do not tell apart.
COLUMNS: tuple[ColumnSpec, ...] = (
    _text("id", "Identifier of the star in the survey", "meta.id;meta.main"),
    _text("survey", "Survey the star comes from; mock means simulated, not observed", "meta.id;meta.dataset"),
    _text("galaxy", "Galaxy of the star: LMC, SMC, or MW for the Milky Way", "meta.id.parent"),
    _text("type", "Survey's type: C contact, NC non-contact, ELL ellipsoidal, CV cataclysmic", "src.class"),
    _float("RAJ2000", 6, "deg", "pos.eq.ra;meta.main", "Right ascension, ICRS, J2000.0"),
    _float("DEJ2000", 6, "deg", "pos.eq.dec;meta.main", "Declination, ICRS, J2000.0"),
    _text("ogle4_id", "Identifier in the OGLE-IV photometric maps", "meta.id.cross"),
    _text("ogle3_id", "Identifier in the OGLE-III photometric maps", "meta.id.cross"),
    _text("ogle2_id", "Identifier in the OGLE-II photometric maps", "meta.id.cross"),
    _text("other_id", "Other designation", "meta.id.cross"),
    *_measured(
        "period", 8, "d", "time.period", "Orbital period: the survey's, refined or replaced as period_source says"
    ),
    _float("period_survey", 7, "d", "time.period", "Period of the survey's catalogue"),
    _text("period_source", "survey, refined, half, double (of the survey's) or search", "meta.note"),
    _text("period_verdict", "What the light curve says of the survey's period", "meta.code.class"),
    _float("p_confirmed", 4, "", "stat.probability", "Probability that the survey's period is the orbital one"),
    _float("p_half", 4, "", "stat.probability", "Probability that half of the survey's period is"),
    _float("p_double", 4, "", "stat.probability", "Probability that twice the survey's period is"),
    _float("p_other", 4, "", "stat.probability", "Probability that the star varies, but eclipses nothing"),
    _float("p_refuted", 4, "", "stat.probability", "Probability that the light curve does not repeat with the period"),
    _text(
        "variability", "eclipsing, other, none or undecided: the light curve with the adopted period", "meta.code.class"
    ),
    _text("period_alias", "Frequency of the sampling by which a period that was searched may be an alias", "meta.note"),
    _float("T0", 5, "d", "time.epoch", "Epoch of the primary minimum, full heliocentric Julian date"),
    *_measured(
        "T0_fit", 5, "d", "time.epoch", "Epoch of the deeper minimum, full HJD, in the middle of the light curve"
    ),
    *_measured("I_mag", 4, "mag", "phot.mag;em.opt.I", f"I magnitude {_AT_MAXIMUM}"),
    *_measured("V_mag", 4, "mag", "phot.mag;em.opt.V", f"V magnitude {_AT_MAXIMUM}"),
    _float(
        "depth1_survey",
        3,
        "mag",
        "src.var.amplitude;em.opt.I",
        "Depth of the primary eclipse in the survey's catalogue",
    ),
    _float(
        "depth2_survey",
        3,
        "mag",
        "src.var.amplitude;em.opt.I",
        "Depth of the secondary eclipse in the survey's catalogue",
    ),
    *_measured("E_VI", 4, "mag", "phot.color.excess", "Reddening E(V-I) adopted for the star"),
    _float(
        "E_VI_err_minus",
        4,
        "mag",
        "stat.error;phot.color.excess;stat.min",
        "Error of E_VI to lower values; e_E_VI is the root mean square of both sides",
    ),
    _float(
        "E_VI_err_plus",
        4,
        "mag",
        "stat.error;phot.color.excess;stat.max",
        "Error of E_VI to higher values; e_E_VI is the root mean square of both sides",
    ),
    *_measured("distance_modulus", 4, "mag", "phot.mag.distMod", "True distance modulus adopted for the star"),
    *_measured("M_V", 4, "mag", "phys.magAbs;em.opt.V", f"Absolute V magnitude {_AT_MAXIMUM}"),
    *_measured("M_I", 4, "mag", "phys.magAbs;em.opt.I", f"Absolute I magnitude {_AT_MAXIMUM}"),
    *_measured("VI0", 4, "mag", "phot.color;em.opt.V;em.opt.I", "Intrinsic colour (V-I)_0 at maximum light"),
    _float("cov_M_V_VI0", 6, "mag2", "stat.covariance", "Covariance of M_V and VI0 through V and the reddening"),
    _text("spectral_label", "O or B by the absolute magnitude of the pair; not a spectral type", "src.spType"),
    _integer("n_points", "Points of the I light curve that were fitted", "meta.number;obs"),
    _integer("n_rejected", "Points of the I light curve that the cleaning rejected", "meta.number;obs"),
    _integer("n_harmonics", "Order of the harmonic fit", "meta.number"),
    _float("phase_gap", 4, "", "src.var", "Widest gap in phase without a point, cycles"),
    _float("scatter", 5, "mag", "stat.stdev;phot.mag;em.opt.I", "Root mean square of the points about the fit"),
    _float(
        "noise",
        5,
        "mag",
        "stat.error;phot.mag;em.opt.I",
        "Root mean square of the errors of the points that were fitted",
    ),
    *_measured(
        "depth1", 4, "mag", "src.var.amplitude;em.opt.I", "Depth of the deeper minimum of the fit below maximum light"
    ),
    *_measured(
        "depth2", 4, "mag", "src.var.amplitude;em.opt.I", "Depth of the other minimum of the fit below maximum light"
    ),
    *_measured("depth_difference", 4, "mag", "src.var.amplitude;arith.diff", "depth1 - depth2, errors correlated"),
    *_measured("phase_secondary", 5, "", "src.var", "Phase of the other minimum, the deeper one being at phase 0"),
    *_measured(
        "oconnell", 4, "mag", "phot.mag;arith.diff;em.opt.I", "Maximum at phase 0.25 minus maximum at phase 0.75"
    ),
    *_measured(
        "eclipse_width1", 5, "", "src.var", "Full width of the deeper minimum at half its depth in flux, cycles"
    ),
    *_measured("eclipse_width2", 5, "", "src.var", "Full width of the other minimum at half its depth in flux, cycles"),
    *_measured("contact_angle1", 3, "deg", "src.var", "Phase angle of first contact of the deeper minimum"),
    *_measured("contact_angle2", 3, "deg", "src.var", "Phase angle of first contact of the other minimum"),
    *_measured(
        "temperature_ratio", 4, "", "phys.temperature;arith.ratio", "T2/T1 implied by the depths of both minima"
    ),
    *_measured("a1", 5, "", "stat.Fourier;phot.flux", "Cosine coefficient, order 1, of the flux over its maximum"),
    *_measured("a2", 5, "", "stat.Fourier;phot.flux", "Cosine coefficient, order 2, of the flux over its maximum"),
    *_measured("a4", 5, "", "stat.Fourier;phot.flux", "Cosine coefficient, order 4, of the flux over its maximum"),
    *_measured("W", 5, "", "src.morph.param", "Contact criterion a4 - a2 (0.125 - a2); above 0 for contact"),
    *_measured("asymmetry", 5, "", "src.morph.param", "Sine terms of the flux, root of the sum of squares, over |a2|"),
    _float("excess_scatter", 5, "", "src.morph.param", "Scatter beyond the stated noise over depth1"),
    *_measured(
        "c", 4, "", "src.morph.param", "Morphology parameter c that the cut uses: published if given, else measured"
    ),
    _float("c_published", 4, "", "src.morph.param", "Morphology parameter of a published table given by the user"),
    *_measured("c_measured", 4, "", "src.morph.param", "Morphology parameter of the light curve by this package"),
    _float("c_distance", 4, "", "stat.value", "Distance of the curve from the nearest training curve of c, rms"),
    _text("light_curve_class", "Most probable class of the light curve; undecided if none is probable", "src.class"),
    *(column for name in CLASSES for column in _class_probability(name)),
    _text("classifier_version", "Version of the network that gave the probabilities of the classes", "meta.version"),
    *_measured("plc_residual", 4, "mag", "phys.magAbs;arith.diff", "M_V minus the period-luminosity-colour relation"),
    _float("plc_significance", 3, "", "stat.value", "plc_residual over its error and the intrinsic scatter together"),
    *(_posterior(name) for name in HYPOTHESES),
    _float(
        "ln_odds", 3, "", "stat.likelihood", "ln of the odds of contact against near contact: the sum of the next three"
    ),
    _float("ln_odds_prior", 3, "", "stat.likelihood", "What the shares of both in the survey add to ln_odds"),
    _float("ln_odds_place", 3, "", "stat.likelihood", "What period, magnitude and colour add to ln_odds"),
    _float("ln_odds_curve", 3, "", "stat.likelihood", "What the light curve adds to ln_odds"),
    _float(
        "ln_odds_population",
        3,
        "",
        "stat.likelihood",
        "ln of the odds of contact against near contact by the theoretical population alone, numbers and places",
    ),
    _float(
        "contact_level",
        4,
        "",
        "stat.probability",
        "Part of the theoretical contact population that lies at a higher density than the star; 0 at its peak",
    ),
    _float("hull_distance", 3, "", "stat.value", "Distance from the nearest contact model, 0 within reach of one"),
    ColumnSpec("bona_fide", "boolean", "Whether a candidate lies in the contour of the contact models", "meta.code"),
    _integer(
        "contact_rank",
        "Place by post_contact among stars of the right colour, magnitude and period, 1 first; 0 for others",
        "meta.number",
    ),
    ColumnSpec("selected", "boolean", "Whether the star passes every cut", "meta.code"),
    _integer("rank", "Place in the candidate list, 1 first; 0 for a star that is not selected", "meta.number"),
    _text("rejected_by", "First cut that removed the star; empty for a candidate", "meta.note"),
    _integer("failed", "Bit mask of all cuts that the star fails, whatever the order", "meta.code"),
    _integer("undecided", "Bit mask of all cuts for which the star lacks a number", "meta.code"),
    _integer("flags", "Bit mask of missing values and substitutes", "meta.code.qual"),
    _text("remark", "Remark of the survey", "meta.note"),
)

_BY_NAME = {spec.name: spec for spec in COLUMNS}


def spec_of(name: str) -> ColumnSpec:
    """Specification of a column.

    Parameters
    ----------
    name : str
        Column name.

    Returns
    -------
    ColumnSpec
        Its specification.

    Raises
    ------
    KeyError
        If the schema has no such column.
    """
    return _BY_NAME[name]


def round_columns(table: QTable) -> QTable:
    """Round every float column that the schema knows to its decimals.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        A row a star; columns unknown to the schema are left alone.

    Returns
    -------
    `~astropy.table.QTable`
        A copy.
    """
    rounded = table.copy()
    for name in table.colnames:
        spec = _BY_NAME.get(name)
        if spec is not None and spec.kind == "float":
            rounded[name] = _float_column(table, spec)
    return rounded


def conform(table: QTable) -> QTable:
    """Bring a table of stars into the schema: its columns, order, types, units and descriptions.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        A row a star. Columns of the schema that it lacks become wholly masked; columns that the schema does not
        know are dropped.

    Returns
    -------
    `~astropy.table.QTable`
        A new table with every column of the schema.
    """
    makers = {
        "text": _text_column,
        "integer": _integer_column,
        "boolean": _boolean_column,
        "float": _float_column,
    }
    result = QTable(meta=dict(table.meta))
    for spec in COLUMNS:
        result[spec.name] = makers[spec.kind](table, spec)
        info = result[spec.name].info
        info.description = spec.description
        info.meta = {"ucd": spec.ucd}
        if spec.format:
            info.format = spec.format
    return result


def _float_column(table: QTable, spec: ColumnSpec) -> Any:
    known = spec.name in table.colnames
    data = values(table, spec.name, spec.unit) if known else np.full(len(table), np.nan)
    # Adding 0.0 turns -0.0 into 0.0, which some formats would write differently.
    data = np.round(data, spec.decimals) + 0.0
    mask = np.isnan(data)
    if spec.unit:
        return Masked(u.Quantity(data, spec.unit), mask=mask)
    return MaskedColumn(data, mask=mask)


def _text_column(table: QTable, spec: ColumnSpec) -> MaskedColumn:
    known = spec.name in table.colnames
    data = _ascii(label_column(table, spec.name)) if known else np.full(len(table), "", dtype=str)
    return MaskedColumn(data, mask=data == "")


def _ascii(text: npt.NDArray[np.str_]) -> npt.NDArray[np.str_]:
    """Write texts, such as remarks with names, as FITS can hold them: accents go, other letters become ``?``."""
    codes = np.ascontiguousarray(text).view(np.uint32)
    if codes.max(initial=0) < 128:
        return text
    return np.array([ascii_form(str(word)) for word in text], dtype=str)


def _integer_column(table: QTable, spec: ColumnSpec) -> MaskedColumn:
    if spec.name not in table.colnames:
        return MaskedColumn(np.zeros(len(table), dtype=np.int64), mask=True)
    column = MaskedColumn(table[spec.name])
    return MaskedColumn(column.filled(0).astype(np.int64), mask=np.ma.getmaskarray(column))


def _boolean_column(table: QTable, spec: ColumnSpec) -> MaskedColumn:
    if spec.name not in table.colnames:
        return MaskedColumn(np.zeros(len(table), dtype=bool), mask=True)
    return MaskedColumn(np.asarray(table[spec.name], dtype=bool))
