"""The table of followed-up stars: ephemerides, magnitudes, exposures and expected velocities, with what is odd."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy.table import QTable

from cbminer.columns import FloatArray, float_column, label_column, text_column, values
from cbminer.flags import Flag
from cbminer.followup.clock import hjd_of_utc, utc_of_bjd
from cbminer.followup.curves import Difference
from cbminer.followup.ephemeris import Ephemerides
from cbminer.followup.exposure import Exposures
from cbminer.followup.settings import FollowUpSettings
from cbminer.followup.velocities import CONFIGURATIONS, StarVelocities
from cbminer.followup.windows import reasons_against

__all__ = ["StarExpectations", "tabulate_stars"]

_SHORT = {"contact": "contact", "near_contact": "near"}
_QUANTITIES = {
    "K1": ("km/s", ".1f", "semi-amplitude of the more massive star"),
    "K2": ("km/s", ".1f", "semi-amplitude of the less massive star"),
    "total_mass": ("solMass", ".1f", "mass of both stars"),
    "mass_ratio": ("", ".3f", "less over more massive star"),
    "inclination": ("deg", ".1f", "inclination"),
}
_DOUBTS = {
    Flag.PERIOD_DOUBTED: "listed period not confirmed",
    Flag.PERIOD_AMBIGUOUS: "light curve alone cannot tell the period from half or twice of it",
    Flag.DEGENERATE: "light curve cannot tell contact from near contact",
}


@dataclass(frozen=True)
class StarExpectations:
    """What is expected of one star beside its ephemeris.

    Attributes
    ----------
    velocities : mapping of {"contact", "near_contact"} to ExpectedVelocities
        Velocities by configuration.
    difference : Difference or None
        Where both configurations differ most.
    placed : bool
        Whether its period, magnitude and colour are known, so that models can be sought near it.
    fit_refused : bool
        Whether a fit of it is kept that was not taken.
    """

    velocities: StarVelocities
    difference: Difference | None
    placed: bool = True
    fit_refused: bool = False


def tabulate_stars(
    stars: QTable,
    ephemerides: Ephemerides,
    *,
    expected: Sequence[StarExpectations],
    exposures: Exposures,
    middle: float,
    settings: FollowUpSettings,
) -> QTable:
    """Tabulate stars.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Their rows of judged.fits.
    ephemerides : Ephemerides
        Their ephemerides.
    expected : sequence of StarExpectations
        Their velocities.
    exposures : Exposures
        Their exposures.
    middle : float
        BJD in the middle of the nights, for which errors of the phase are given.
    settings : FollowUpSettings
        Limits.

    Returns
    -------
    `~astropy.table.QTable`
        A row a star, with units and descriptions; unknown values are masked.
    """
    table = QTable()
    for name in ("id", "galaxy", "survey"):
        table[name] = text_column(label_column(stars, name))
    table["rank"] = np.nan_to_num(values(stars, "rank")).astype(np.int64)
    for name, unit in (("RAJ2000", "deg"), ("DEJ2000", "deg"), ("V_mag", "mag"), ("I_mag", "mag"), ("E_VI", "mag")):
        table[name] = float_column(values(stars, name, unit), unit)
    table["period"] = float_column(ephemerides.period, "d")
    table["e_period"] = float_column(ephemerides.e_period, "d")
    table["T0_HJD_UTC"] = float_column(_epoch_utc(ephemerides, settings), "d")
    table["e_T0"] = float_column(ephemerides.e_T0, "d")
    table["T0_BJD_TDB"] = float_column(ephemerides.T0_BJD, "d")
    known = ephemerides.known
    table["T0_source"] = text_column(
        np.where(known, np.where(ephemerides.fitted, "light curve", "catalogue"), "").tolist()
    )
    e_phase = ephemerides.phase_error(middle)
    table["e_phase"] = float_column(e_phase)
    table["next_minimum"] = float_column(ephemerides.time_of(0.0, near=middle), "d")
    table["e_next_minimum"] = float_column(ephemerides.error(middle), "d")
    table["depth1"] = float_column(values(stars, "depth1", "mag"), "mag")
    table["post_contact"] = float_column(values(stars, "post_contact"))
    table["exposure"] = float_column(exposures.seconds, "s")
    table["signal_to_noise"] = float_column(exposures.signal_to_noise)
    _add_velocities(table, expected)
    against = reasons_against(ephemerides, middle, settings=settings)
    notes = [_note(row, stars, ephemerides, expected[row], exposures, settings) for row in range(len(stars))]
    table["no_windows"] = text_column(against)
    table["note"] = text_column(
        "; ".join([*([reason] if reason else []), *own]) for reason, own in zip(against, notes, strict=True)
    )
    _describe(table)
    return table


def _epoch_utc(ephemerides: Ephemerides, settings: FollowUpSettings) -> FloatArray:
    if settings.ephemeris.time_scale == "utc":
        return ephemerides.T0_HJD
    known = np.isfinite(ephemerides.T0_BJD)
    result = np.full(len(ephemerides), np.nan)
    directions = ephemerides.directions[known]
    result[known] = hjd_of_utc(utc_of_bjd(ephemerides.T0_BJD[known], directions), directions)
    return result


def _add_velocities(table: QTable, expected: Sequence[StarExpectations]) -> None:
    for configuration in CONFIGURATIONS:
        there = [star.velocities.get(configuration) for star in expected]
        for name, (unit, layout, meaning) in _QUANTITIES.items():
            quantiles = np.array([[np.nan] * 3 if one is None else one.interval(name) for one in there])
            quantiles = quantiles.reshape(len(expected), 3)
            for place, suffix in ((1, ""), (0, "_p16"), (2, "_p84")):
                column = f"{name}_{_SHORT[configuration]}{suffix}"
                table[column] = float_column(quantiles[:, place], unit)
                words = "median of it" if not suffix else f"{suffix[2:]} per cent quantile of it"
                table[column].info.description = f"{meaning}, {words}, {configuration.replace('_', ' ')}"
                table[column].info.format = layout
        behind = [np.nan if one is None else one.p_less_massive_behind for one in there]
        column = f"p_less_massive_behind_{_SHORT[configuration]}"
        table[column] = float_column(behind)
        words = "probability by the fit that the less massive star is behind at phase 0"
        table[column].info.description = f"{words}, {configuration.replace('_', ' ')}"
        table[column].info.format = ".3f"
    sources = [next(iter(star.velocities.values())).mass_source if star.velocities else "" for star in expected]
    table["mass_source"] = text_column(sources)
    differences = [star.difference for star in expected]
    table["difference_phase"] = float_column([np.nan if one is None else one.phase for one in differences])
    table["difference"] = float_column([np.nan if one is None else one.velocity for one in differences], "km/s")


def _note(
    row: int,
    stars: QTable,
    ephemerides: Ephemerides,
    expected: StarExpectations,
    exposures: Exposures,
    settings: FollowUpSettings,
) -> list[str]:
    notes = []
    if label_column(stars, "survey")[row] == "mock":
        notes.append("SIMULATED")
    if ephemerides.e_T0_assumed[row]:
        notes.append("error of T0 assumed")
    if ephemerides.e_period_assumed[row]:
        notes.append("error of the period assumed")
    flags = int(np.asarray(stars["flags"])[row])
    notes += [words for flag, words in _DOUBTS.items() if flags & flag]
    if not np.isfinite(values(stars, "V_mag", "mag")[row]):
        notes.append("no V: no exposure")
    if exposures.too_faint[row]:
        notes.append(
            f"too faint for this telescope: exposure cut to {settings.exposure.most_of_period:g} of the period"
        )
    return [*notes, *_notes_on_velocities(expected, settings)]


def _notes_on_velocities(expected: StarExpectations, settings: FollowUpSettings) -> list[str]:
    notes = []
    if not expected.placed:
        notes.append("period, magnitude or colour unknown: no velocities")
    elif not expected.velocities:
        notes.append("no model near in period, magnitude and colour: no velocities")
    if expected.fit_refused:
        notes.append(
            "its kept fit is not used: damaged, or made with another seed or [fit] settings than those of the run or "
            "those given; run cbminer fit again"
        )
    for one in expected.velocities.values():
        if one.turned:
            notes.append(
                f"the fit puts the less massive star behind at phase 0 ({one.configuration.replace('_', ' ')}, "
                f"probability {one.p_less_massive_behind:.2f}): curves are turned"
            )
        if one.draws.n_effective < settings.velocities.least_models:
            words = one.configuration.replace("_", " ")
            notes.append(f"masses {words} rest on {one.draws.n_effective:.0f} models")
    return notes


def _describe(table: QTable) -> None:
    for name, (layout, meaning) in _COLUMNS.items():
        table[name].info.description = meaning
        if layout:
            table[name].info.format = layout


_COLUMNS = {
    "id": ("", "star"),
    "galaxy": ("", "Cloud"),
    "survey": ("", "survey; mock for simulated stars"),
    "rank": ("", "place in the candidate list, 0 for a star that is not a candidate"),
    "RAJ2000": (".6f", "right ascension, ICRS"),
    "DEJ2000": (".6f", "declination, ICRS"),
    "V_mag": (".3f", "V at maximum light"),
    "I_mag": (".3f", "I at maximum light"),
    "E_VI": (".3f", "reddening E(V-I)"),
    "period": (".8f", "adopted orbital period"),
    "e_period": (".8f", "its standard error: that of the run times error_factor, or assumed"),
    "T0_HJD_UTC": (".5f", "epoch of the deeper minimum, heliocentric Julian date, UTC"),
    "e_T0": (".5f", "its standard error: that of the run times error_factor, or assumed"),
    "T0_BJD_TDB": (".5f", "the same epoch, barycentric Julian date, TDB"),
    "T0_source": ("", "where the epoch comes from"),
    "e_phase": (".4f", "standard error of the phase in the middle of the nights, cycles"),
    "next_minimum": (".5f", "deeper minimum nearest to the middle of the nights, BJD, TDB"),
    "e_next_minimum": (".5f", "its standard error"),
    "depth1": (".3f", "depth of the deeper minimum in I"),
    "post_contact": (".5f", "probability of contact"),
    "exposure": (".0f", "least exposure by photon noise alone, cut to a part of the period"),
    "signal_to_noise": (".0f", "signal to noise that it reaches in a resolution element"),
    "mass_source": ("", "where masses; mass ratio and inclination come from"),
    "difference_phase": (".3f", "phase at which light-weighted velocities in contact and near contact differ most"),
    "difference": (".1f", "their difference there, medians of both"),
    "no_windows": ("", "why there can be no windows; empty where there can be"),
    "note": ("", "what to know before trusting the row"),
}
