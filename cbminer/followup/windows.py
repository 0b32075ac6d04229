"""Windows: when the orbit shows its largest velocities, it is dark, and the star is up."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.table import MaskedColumn, QTable
from scipy.interpolate import CubicSpline

from cbminer.columns import FloatArray
from cbminer.followup.clock import bjd_of_utc, calendar, utc_of_bjd
from cbminer.followup.ephemeris import Ephemerides
from cbminer.followup.settings import FollowUpSettings, WindowSettings
from cbminer.followup.visibility import Interval, Nights, intersect, star_altitudes, times_above, unite

__all__ = ["QUADRATURES", "StarNights", "find_windows", "reasons_against", "tabulate_nights", "watch_stars"]

QUADRATURES = (0.25, 0.75)
_MINUTES = 1440.0
# Places within a window at which airmass is looked at.
_PLACES = 17


@dataclass(frozen=True)
class StarNights:
    """Stars over nights: altitudes, and when each can be observed.

    Attributes
    ----------
    nights : Nights
        The nights.
    altitude, moon_separation : `~numpy.ndarray`
        Degrees, shape (stars, nights, steps).
    usable : list of list of list of (float, float)
        By star and night: intervals in days from midnight in which all limits hold.
    """

    nights: Nights
    altitude: FloatArray
    moon_separation: FloatArray
    usable: list[list[list[Interval]]]


def watch_stars(ephemerides: Ephemerides, nights: Nights, *, ra: FloatArray, dec: FloatArray) -> StarNights:
    """Work out when stars can be observed, whatever their phase.

    Parameters
    ----------
    ephemerides : Ephemerides
        Ephemerides of m stars.
    nights : Nights
        The nights.
    ra, dec : `~numpy.ndarray`
        ICRS coordinates in degrees, shape (m,).

    Returns
    -------
    StarNights
        The stars over the nights.
    """
    altitude = star_altitudes(nights, ra, dec)
    separation = nights.moon_separation(ephemerides.directions)
    site, limits, offset = nights.site, nights.settings, nights.offset
    lowest = max(float(np.degrees(np.arcsin(1.0 / limits.airmass_max))), site.altitude_min)
    dark = [nights.dark(night) for night in range(len(nights))]
    moonless = [nights.moon_down(night) for night in range(len(nights))]
    usable = []
    for star in range(len(ephemerides)):
        of_star = []
        for night in range(len(nights)):
            found = intersect(dark[night], times_above(offset, altitude[star, night] - lowest))
            if site.altitude_max < 90.0:
                found = intersect(found, times_above(offset, site.altitude_max - altitude[star, night]))
            away = times_above(offset, separation[star, night] - limits.moon_separation_min)
            of_star.append(intersect(found, unite(away, moonless[night])))
        usable.append(of_star)
    return StarNights(nights, altitude, separation, usable)


def find_windows(
    ephemerides: Ephemerides, watched: StarNights, *, settings: FollowUpSettings, exposure: FloatArray | None = None
) -> QTable:
    """Find the windows of stars at their quadratures.

    Parameters
    ----------
    ephemerides : Ephemerides
        Ephemerides of the stars.
    watched : StarNights
        The same stars over the nights.
    settings : FollowUpSettings
        Width of the windows, and the error of the phase above which an ephemeris is lost.
    exposure : `~numpy.ndarray`, optional
        Exposures of the stars in s, NaN where unknown.

    Returns
    -------
    `~astropy.table.QTable`
        A row a window and night, by night and time: id, night, site, quadrature, start_utc, end_utc, mid_BJD_TDB,
        phase_start, phase_end, e_phase, airmass_min, airmass_max, moon_separation (least of it), moon_illumination,
        duration, and fits_exposure: whether the star's exposure fits into it, masked where that is unknown. Stars of
        unknown or lost ephemeris have none (`reasons_against`). A quadrature that lasts for days has a window a night.
    """
    found = _quadratures(ephemerides, watched.nights, settings)
    star, night, quadrature, start, end = [], [], [], [], []
    midnight = watched.nights.midnight
    for k in range(len(found.star)):
        row = int(found.star[k])
        # Nights go from noon to noon; the quadrature of a star of 10 d lasts for a day, that of 100 d for ten.
        first, last = (int(np.floor(edge[k] - midnight[0] + 0.5)) for edge in (found.start, found.end))
        for place in range(max(first, 0), min(last, len(midnight) - 1) + 1):
            wanted = [(float(found.start[k] - midnight[place]), float(found.end[k] - midnight[place]))]
            for low, high in intersect(wanted, watched.usable[row][place]):
                if (high - low) * _MINUTES >= settings.windows.shortest:
                    star.append(row)
                    night.append(place)
                    quadrature.append(float(found.quadrature[k]))
                    start.append(midnight[place] + low)
                    end.append(midnight[place] + high)
    rows = np.array(star, dtype=np.int64)
    table = _tabulate(
        ephemerides,
        watched,
        rows,
        np.array(night, dtype=np.int64),
        np.array(quadrature, dtype=float),
        (np.array(start, dtype=float), np.array(end, dtype=float)),
        np.full(len(rows), np.nan) if exposure is None else exposure[rows],
    )
    _describe(table, _WINDOW_COLUMNS)
    return table


def reasons_against(ephemerides: Ephemerides, bjd: float, *, settings: FollowUpSettings) -> list[str]:
    """Say of which stars there is no window, wherever and whenever they are up.

    Parameters
    ----------
    ephemerides : Ephemerides
        Ephemerides of n stars.
    bjd : float
        BJD in the middle of the nights, at which the errors of the phases count.
    settings : FollowUpSettings
        Limits.

    Returns
    -------
    list of str
        A reason a star, which names the numbers and the settings; empty where windows are possible.
    """
    reasons, limits = [], settings.windows
    half, lost_from = limits.half_width, settings.ephemeris.lost_from
    e_phase = ephemerides.phase_error(bjd)
    longest = 2.0 * _half_width(e_phase, limits) * ephemerides.period * _MINUTES
    for row in range(len(ephemerides)):
        error, reason = e_phase[row], ""
        if not ephemerides.known[row]:
            reason = "no epoch or period: no windows"
        elif error > lost_from:
            reason = (
                f"ephemeris lost, no windows: error of the phase {error:.3f} is above follow_up.ephemeris.lost_from "
                f"= {lost_from:g}"
            )
        elif limits.phase_error == "sure" and error >= half:
            reason = (
                f"no windows: error of the phase {error:.3f} is not below follow_up.windows.half_width = {half:g}, by "
                'which "sure" windows are narrowed; set follow_up.windows.phase_error'
            )
        elif longest[row] < limits.shortest:
            reason = (
                f"no windows: with an error of the phase of {error:.3f} they last {longest[row]:.1f} min, less than "
                f"follow_up.windows.shortest = {limits.shortest:g}"
            )
        reasons.append(reason)
    return reasons


@dataclass(frozen=True)
class _Quadratures:
    """Quadratures within some nights: star, phase, and begin and end in UTC; shape (n,)."""

    star: npt.NDArray[np.int64]
    quadrature: FloatArray
    start: FloatArray
    end: FloatArray


def _quadratures(ephemerides: Ephemerides, nights: Nights, settings: FollowUpSettings) -> _Quadratures:
    begin, end = nights.midnight[0] - 0.5, nights.midnight[-1] + 0.5
    star, quadrature, centre = [], [], []
    # A day more on both sides holds the light time.
    for row in np.flatnonzero(ephemerides.known):
        epoch, period = ephemerides.T0_BJD[row], ephemerides.period[row]
        for phase in QUADRATURES:
            first = np.floor((begin - 1.0 - epoch) / period - phase)
            last = np.ceil((end + 1.0 - epoch) / period - phase)
            times = epoch + period * (np.arange(first, last + 1.0) + phase)
            star.append(np.full(len(times), row))
            quadrature.append(np.full(len(times), phase))
            centre.append(times)
    if not star:
        nothing = np.zeros(0)
        return _Quadratures(np.zeros(0, dtype=np.int64), nothing, nothing, nothing)
    rows, middle = np.concatenate(star), np.concatenate(centre)
    e_phase = ephemerides[rows].phase_error(middle)
    half = _half_width(e_phase, settings.windows)
    there = (half > 0.0) & (e_phase <= settings.ephemeris.lost_from)
    rows, middle, half = rows[there], middle[there], (half * ephemerides.period[rows])[there]
    directions = ephemerides.directions[rows]
    return _Quadratures(
        rows,
        np.concatenate(quadrature)[there],
        utc_of_bjd(middle - half, directions),
        utc_of_bjd(middle + half, directions),
    )


def _half_width(e_phase: FloatArray, settings: WindowSettings) -> FloatArray:
    sign = {"sure": -1.0, "nominal": 0.0, "possible": 1.0}[settings.phase_error]
    return np.minimum(settings.half_width + sign * e_phase, 0.25)


def _tabulate(
    ephemerides: Ephemerides,
    watched: StarNights,
    star: npt.NDArray[np.int64],
    night: npt.NDArray[np.int64],
    quadrature: FloatArray,
    utc: tuple[FloatArray, FloatArray],
    exposure: FloatArray,
) -> QTable:
    order = np.lexsort((utc[0], night))
    star, night, quadrature = star[order], night[order], quadrature[order]
    start, end = utc[0][order], utc[1][order]
    nights, of_windows = watched.nights, ephemerides[star]
    bjd = [bjd_of_utc(time, of_windows.directions) for time in (start, end)]
    middle = 0.5 * (bjd[0] + bjd[1])
    airmass, separation = _conditions(watched, star, night, start, end)
    table = QTable()
    table["id"] = of_windows.id.astype(str)
    table["night"] = np.array(nights.dates, dtype=str)[night]
    table["site"] = np.full(len(star), nights.site.name)
    table["quadrature"] = quadrature
    table["start_utc"] = np.array(calendar(start), dtype="U19")
    table["end_utc"] = np.array(calendar(end), dtype="U19")
    table["mid_BJD_TDB"] = middle * u.d
    table["phase_start"], table["phase_end"] = (of_windows.phase(time) for time in bjd)
    table["e_phase"] = of_windows.phase_error(middle)
    table["airmass_min"], table["airmass_max"] = airmass
    table["moon_separation"] = separation * u.deg
    table["moon_illumination"] = nights.moon_illumination[night]
    minutes = (end - start) * _MINUTES
    table["duration"] = minutes * u.min
    wanted = exposure[order] / 60.0
    unknown = ~np.isfinite(wanted)
    table["fits_exposure"] = MaskedColumn(minutes >= np.where(unknown, 0.0, wanted), mask=unknown)
    return table


def _conditions(
    watched: StarNights, star: npt.NDArray[np.int64], night: npt.NDArray[np.int64], start: FloatArray, end: FloatArray
) -> tuple[tuple[FloatArray, FloatArray], FloatArray]:
    """Least and largest airmass, and least separation from the Moon, within windows."""
    least, most, separation = np.empty((3, len(star)))
    nights = watched.nights
    for k in range(len(star)):
        places = np.linspace(start[k], end[k], _PLACES) - nights.midnight[night[k]]
        altitude = CubicSpline(nights.offset, watched.altitude[star[k], night[k]])(places)
        airmass = 1.0 / np.sin(np.radians(altitude))
        least[k], most[k] = airmass.min(), airmass.max()
        separation[k] = np.interp(places, nights.offset, watched.moon_separation[star[k], night[k]]).min()
    return (least, most), separation


def tabulate_nights(watched: StarNights, windows: QTable) -> QTable:
    """Tabulate the nights.

    Parameters
    ----------
    watched : StarNights
        Stars over nights.
    windows : `~astropy.table.QTable`
        Their windows.

    Returns
    -------
    `~astropy.table.QTable`
        A row a night: evening and morning of the darkness in UTC, its length, the Moon, the number of stars that can be
        observed, of windows, of those that are known to be shorter than the exposure, and of stars with a window.
    """
    nights = watched.nights
    dark = [nights.dark(night) for night in range(len(nights))]
    edges = np.array([(part[0][0], part[-1][1]) if part else (np.nan, np.nan) for part in dark])
    hours = np.array([24.0 * sum(high - low for low, high in part) for part in dark])
    moonless = [intersect(part, nights.moon_down(night)) for night, part in enumerate(dark)]
    without = np.array([24.0 * sum(high - low for low, high in part) for part in moonless])
    names = np.asarray(windows["night"], dtype=str)
    too_short = ~np.ma.filled(np.ma.asarray(windows["fits_exposure"]), fill_value=True).astype(bool)
    table = QTable()
    table["night"] = np.array(nights.dates, dtype=str)
    table["site"] = np.full(len(nights), nights.site.name)
    for column, name in enumerate(("evening_utc", "morning_utc")):
        table[name] = np.array(calendar(nights.midnight + edges[:, column]), dtype="U19")
    table["dark"], table["dark_without_moon"] = hours * u.h, without * u.h
    table["moon_illumination"] = nights.moon_illumination
    table["observable"] = [sum(bool(star[night]) for star in watched.usable) for night in range(len(nights))]
    table["windows"] = [int((names == night).sum()) for night in nights.dates]
    table["too_short"] = [int(((names == night) & too_short).sum()) for night in nights.dates]
    table["targets"] = [len(set(windows["id"][names == night])) for night in nights.dates]
    _describe(table, _NIGHT_COLUMNS)
    return table


def _describe(table: QTable, columns: dict[str, tuple[str, str]]) -> None:
    for name, (layout, meaning) in columns.items():
        table[name].info.description = meaning
        if layout:
            table[name].info.format = layout


_WINDOW_COLUMNS = {
    "id": ("", "star"),
    "night": ("", "local date of the evening"),
    "site": ("", "site"),
    "quadrature": ("", "phase of the largest velocities; at 0.25 the star in front at phase 0 recedes"),
    "start_utc": ("", "begin, UTC at the site"),
    "end_utc": ("", "end, UTC at the site"),
    "mid_BJD_TDB": (".5f", "middle, barycentric Julian date, TDB"),
    "phase_start": (".4f", "phase at the begin, 0 at the deeper minimum"),
    "phase_end": (".4f", "phase at the end"),
    "e_phase": (".4f", "standard error of the phase"),
    "airmass_min": (".3f", "least airmass: secant of the true zenith distance"),
    "airmass_max": (".3f", "largest airmass"),
    "moon_separation": (".1f", "least angle from the Moon, up or not"),
    "moon_illumination": (".2f", "lit share of the Moon's disc at midnight"),
    "duration": (".1f", "length"),
    "fits_exposure": ("", "whether the star's exposure fits into it; empty where the exposure is unknown"),
}
_NIGHT_COLUMNS = {
    "night": ("", "local date of the evening"),
    "site": ("", "site"),
    "evening_utc": ("", "begin of the darkness, UTC"),
    "morning_utc": ("", "end of the darkness, UTC"),
    "dark": (".2f", "length of the darkness"),
    "dark_without_moon": (".2f", "part of it with the Moon below the horizon"),
    "moon_illumination": (".2f", "lit share of the Moon's disc at midnight"),
    "observable": ("", "stars that can be observed, whatever their phase"),
    "windows": ("", "windows at quadrature"),
    "too_short": ("", "of these, windows that are shorter than the star's exposure"),
    "targets": ("", "stars with such a window"),
}
