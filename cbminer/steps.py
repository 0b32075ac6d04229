"""What happens to a table of stars on its way: each step adds columns to a copy."""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
from astropy.table import MaskedColumn, QTable

from cbminer.catalogue.schema import conform, round_columns, spec_of
from cbminer.columns import float_column, label_column, values
from cbminer.errors import SettingsError
from cbminer.flags import Flag
from cbminer.galaxies import CLOUDS, Galaxy
from cbminer.measurement import MeasuredStars, StarTask
from cbminer.morphology.calibration import CCalibration
from cbminer.morphology.published import MorphologyTable
from cbminer.morphology.shape import ShapeSettings
from cbminer.photometry.distance import star_distances
from cbminer.photometry.magnitudes import add_intrinsic_photometry, put_given_photometry
from cbminer.photometry.reddening import ReddeningMap, star_reddening
from cbminer.ranking.evidence import PopulationDensities, population_densities
from cbminer.ranking.odds import Ranker, contact_ranks
from cbminer.selection.cutflow import judge_catalogue
from cbminer.selection.cuts import plc_residuals, spectral_labels
from cbminer.selection.plc import PLCRelation
from cbminer.settings import CloudSettings, Settings

__all__ = [
    "add_photometry",
    "add_published_c",
    "add_relation",
    "add_shapes",
    "choose_c",
    "cloud_population",
    "fit_ranker",
    "galaxy_notes",
    "rank_candidates",
    "star_tasks",
]


def add_photometry(
    stars: QTable, survey: str, settings: Settings, cloud: CloudSettings, dust: ReddeningMap | None
) -> QTable:
    """Add distance, reddening, absolute magnitude, colour and label of every star.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Stars of a catalogue; what it gives of distance, reddening, magnitude and colour is in the columns parallax,
        distance_modulus_given, E_VI_given, M_V_given and VI0_given, with their errors, which it need not have.
    survey : str
        Name of the survey; "mock" for simulated stars.
    settings : Settings
        Extinction, reddening, parallaxes, saturation and the boundary between O and B.
    cloud : CloudSettings
        Distance and mean reddening of the galaxy, if it has them.
    dust : ReddeningMap or None
        Map of the reddening; the mean without one.

    Returns
    -------
    `~astropy.table.QTable`
        A copy with these columns.

    Raises
    ------
    InputFormatError
        If the catalogue gives values without a column of their errors.
    SettingsError
        If the map has no errors, and there is nothing to take in their place.

    Notes
    -----
    Star by star the first of these holds that is known: M_V and (V-I)_0 as given; the distance modulus as given, of the
    parallax, of the galaxy; the reddening as given, of the map, of the galaxy. Where none is, the star has no magnitude
    or colour, and a flag says which was missing.
    """
    result = stars.copy()
    result["survey"] = np.full(len(stars), survey)
    distance = star_distances(stars, common=cloud.distance, parallax=settings.parallax)
    reddening = star_reddening(stars, mean=cloud.reddening, dust=dust, star_scatter=settings.reddening.star_scatter)
    result["distance_modulus"] = float_column(distance.modulus, "mag")
    result["e_distance_modulus"] = float_column(distance.error, "mag")
    result["E_VI"] = float_column(reddening.E_VI, "mag")
    result["e_E_VI"] = float_column(reddening.error, "mag")
    result["E_VI_err_minus"] = float_column(reddening.lower, "mag")
    result["E_VI_err_plus"] = float_column(reddening.upper, "mag")
    result = add_intrinsic_photometry(result, settings.extinction)
    given = put_given_photometry(result)
    result = round_columns(result)
    with np.errstate(invalid="ignore"):
        bright = values(result, "I_mag", "mag") < settings.survey.saturation_I
    saturation = np.where(bright, int(Flag.SATURATION_RISK), 0)
    result["flags"] = np.asarray(stars["flags"]) | distance.flags | reddening.flags | given | saturation
    labels = spectral_labels(result, settings.selection.main_sequence)
    result["spectral_label"] = MaskedColumn(labels, mask=labels == "")
    return result


def add_relation(stars: QTable, relation: PLCRelation) -> QTable:
    """Add the distances of stars from a period-luminosity-colour relation.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Stars with photometry.
    relation : PLCRelation
        The relation.

    Returns
    -------
    `~astropy.table.QTable`
        A copy with plc_residual, its error and its significance.
    """
    result = stars.copy()
    residuals = plc_residuals(stars, relation)
    result["plc_residual"] = float_column(residuals.residual, "mag")
    result["e_plc_residual"] = float_column(residuals.error, "mag")
    result["plc_significance"] = float_column(residuals.significance)
    return round_columns(result)


def star_tasks(stars: QTable) -> list[StarTask]:
    """Say what is to be measured of stars.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Stars with photometry.

    Returns
    -------
    list of StarTask
        One a star, with the survey's period.
    """
    # Of judged stars too the survey's period is where the judgement begins, so that it ends in the same.
    listed = "period_survey" if "period_survey" in stars.colnames else "period"
    columns = (values(stars, name, unit) for name, unit in ((listed, "d"), ("T0", "d"), ("VI0", "mag")))
    return [
        StarTask(str(name), float(period), float(epoch), float(colour))
        for name, period, epoch, colour in zip(stars["id"], *columns, strict=True)
    ]


# Measured quantities whose columns have another name: the catalogue's c may be a published one, and formats without
# upper and lower case would not tell p_not_eclipsing from P_not_eclipsing, the probability of a class.
_COLUMN_OF = {"c": "c_measured", "e_c": "e_c_measured", "p_not_eclipsing": "p_other"}


def add_shapes(stars: QTable, wanted: npt.NDArray[np.bool_], measured: MeasuredStars) -> QTable:
    """Add what was measured of light curves.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Stars with photometry.
    wanted : `~numpy.ndarray`
        Stars whose light curves were measured, bool, shape (n,).
    measured : MeasuredStars
        What was measured of them.

    Returns
    -------
    `~astropy.table.QTable`
        A copy with these columns; the survey's period is kept as period_survey.
    """
    result = stars.copy()
    result["period_survey"] = result["period"]
    for name, data in measured.shapes.items():
        full = values(stars, "period", "d").copy() if name == "period" else np.full(len(stars), np.nan)
        full[wanted] = np.where(np.isnan(data), full[wanted], data)
        if name.startswith("n_"):
            known = full >= 0
            result[name] = MaskedColumn(np.where(known, full, 0).astype(np.int64), mask=~known)
        else:
            column = _COLUMN_OF.get(name, name)
            result[column] = float_column(full, spec_of(column).unit)
    for name, words in measured.labels.items():
        every = np.full(len(stars), "", dtype=object)
        every[wanted] = words
        result[name] = MaskedColumn(every.astype(str), mask=every == "")
    flags = np.where(wanted, 0, int(Flag.LIGHT_CURVE_NOT_READ))
    flags[wanted] = measured.flags
    result["flags"] = np.asarray(stars["flags"]) | flags
    return result


def add_published_c(stars: QTable, table: MorphologyTable | None) -> QTable:
    """Add published morphology parameters.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Stars with shapes.
    table : MorphologyTable or None
        Published values, if there are any.

    Returns
    -------
    `~astropy.table.QTable`
        A copy with c_published, and with c_measured if it was not there.
    """
    result = stars.copy()
    unknown = np.full(len(stars), np.nan)
    published = unknown if table is None else table.look_up(label_column(stars, "id"))
    result["c_published"] = float_column(published)
    for name in ("c_measured", "e_c_measured"):
        if name not in result.colnames:
            result[name] = float_column(unknown)
    return result


def choose_c(stars: QTable, calibration: CCalibration | None, shape: ShapeSettings) -> QTable:
    """Choose the c of every star: the published one, or the measured one on the published scale.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Stars with c_published and c_measured.
    calibration : CCalibration or None
        What brings measured c to the published scale, if it is known.
    shape : ShapeSettings
        Which of the two goes first.

    Returns
    -------
    `~astropy.table.QTable`
        A copy with c, its error and the flag of published values.
    """
    result = stars.copy()
    published, c, e_c = (values(stars, name) for name in ("c_published", "c_measured", "e_c_measured"))
    if calibration is not None:
        c, e_c = calibration.apply(c, e_c)
    replaced = ~np.isnan(published) & (shape.c == "published")
    result["c"] = float_column(np.where(replaced, published, c))
    result["e_c"] = float_column(np.where(replaced, np.nan, e_c))
    result["flags"] = np.asarray(stars["flags"]) | np.where(replaced, int(Flag.C_PUBLISHED), 0)
    return result


def cloud_population(galaxy: Galaxy, settings: Settings) -> PopulationDensities:
    """Densities of the theoretical population of a galaxy.

    Parameters
    ----------
    galaxy : {"LMC", "SMC", "MW"}
        The galaxy.
    settings : Settings
        Population, and the grid that the ranking is told to use.

    Returns
    -------
    PopulationDensities
        The densities; of the Milky Way none, unless there is a grid.

    Raises
    ------
    SettingsError
        If the odds are to rest on a population, and there is none, or its star-formation rate is not set.
    InputFormatError
        If the grid is damaged, or holds no pair in contact or near contact.
    """
    found = population_densities(galaxy, settings=settings.population, grid=settings.ranking.grid)
    mixture = settings.ranking.mixture
    if not found.known and not (mixture.learn_shares and mixture.learn_places):
        msg = (
            f"there is no population of the {galaxy} to take shares or places from: name a grid under [ranking], or "
            "leave learn_shares and learn_places under [ranking.mixture] true"
        )
        raise SettingsError(msg)
    return found


def galaxy_notes(galaxy: Galaxy, columns: Collection[str], settings: Settings) -> list[str]:
    """Say what a reader of a run should know of stars that have no distance in common.

    Parameters
    ----------
    galaxy : {"LMC", "SMC", "MW"}
        The galaxy.
    columns : collection of str
        Columns of the catalogue.
    settings : Settings
        Grid, map and parallaxes.

    Returns
    -------
    list of str
        Sentences; none of a Cloud.
    """
    if galaxy in CLOUDS:
        return []
    notes = []
    if settings.ranking.grid is None:
        notes.append(
            "no population of the Milky Way comes with the package: odds rest on light curves and on the places of the "
            "survey's stars; contact_level, hull_distance and ln_odds_population are unknown, no star is bona fide"
        )
    else:
        notes.append("the population knows no limit of magnitude; a survey that has one holds more of the bright stars")
    if "parallax" in columns and settings.parallax.zero_point == 0:
        notes.append("nothing was added to parallaxes: zero_point under [parallax] is 0")
    if settings.reddening.map is not None:
        notes.append("a map of reddening holds all dust on a line of sight: stars in front of part of it get too much")
    return notes


def fit_ranker(stars: QTable, population: PopulationDensities, settings: Settings) -> tuple[Ranker, QTable]:
    """Learn from the stars of a galaxy how frequent each kind is and where it lies, and find their odds.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Judged stars of the galaxy in the schema.
    population : PopulationDensities
        Its theoretical population.
    settings : Settings
        Ranking, and the prior of the classes of light curves.

    Returns
    -------
    ranker : Ranker
        What gives odds.
    stars : `~astropy.table.QTable`
        A copy with the odds.
    """
    return Ranker.fit(stars, population, settings=settings.ranking, prior=settings.classifier.prior)


def rank_candidates(stars: QTable, settings: Settings) -> QTable:
    """Rank the stars of all galaxies in one list.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Judged stars with their odds; the columns of the ranks are set in place.
    settings : Settings
        The cuts on the catalogue, which ``contact_rank`` asks for.

    Returns
    -------
    `~astropy.table.QTable`
        The stars in the schema.
    """
    stars["rank"] = contact_ranks(stars, np.asarray(stars["selected"], dtype=bool))
    known = np.isfinite(values(stars, "post_contact"))
    stars["contact_rank"] = contact_ranks(stars, judge_catalogue(stars, settings.selection) & known)
    return conform(stars)
