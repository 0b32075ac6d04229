"""Nights, altitudes and windows, against astroplan, spherical trigonometry and arithmetic by hand."""

import socket
from datetime import date
from itertools import pairwise

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import QTable
from astropy.time import Time
from astropy.utils import iers
from hypothesis import given, settings
from hypothesis import strategies as st

from cbminer.columns import float_column, values
from cbminer.errors import SettingsError
from cbminer.followup.clock import Directions, bjd_of_utc, utc_of_bjd
from cbminer.followup.ephemeris import Ephemerides, ephemerides_of
from cbminer.followup.exposure import least_exposures, photon_rate
from cbminer.followup.orientation import orientation_table, shipped_orientation
from cbminer.followup.settings import (
    EphemerisSettings,
    ExposureSettings,
    FollowUpSettings,
    ObservingSettings,
    WindowSettings,
)
from cbminer.followup.sites import SITES, find_site
from cbminer.followup.visibility import intersect, observe_nights, star_altitudes, times_above, unite
from cbminer.followup.windows import find_windows, reasons_against, tabulate_nights, watch_stars

MINUTE = 1.0 / 1440.0
# Errors as they are put in.
PLAIN = EphemerisSettings(error_factor=1.0)
RA, DEC = np.array([80.0, 13.0, 76.0]), np.array([-69.0, -72.8, -66.5])
# Begin and end of the astronomical night by astroplan 0.10.1 with the places of SITES and the IERS table of
# astropy-iers-data 0.2026.11.2, to its own second; and the altitude of a star at RA 80, Dec -69 deg at local mean
# midnight, and of the Moon.
ALMANAC = [
    ("paranal", date(2027, 1, 1), "2027-01-02T01:02:26", "2027-01-02T08:28:26", 43.8018, -12.8854),
    ("paranal", date(2027, 6, 21), "2027-06-21T23:23:03", "2027-06-22T10:04:02", 3.8941, 54.3580),
    ("las-campanas", date(2027, 1, 1), "2027-01-02T01:19:19", "2027-01-02T08:13:57", 48.0975, -10.8056),
    ("las-campanas", date(2027, 6, 21), "2027-06-21T23:17:58", "2027-06-22T10:11:29", 8.2611, 54.0562),
    ("salt", date(2027, 1, 1), "2027-01-01T19:27:25", "2027-01-02T01:53:31", 51.4433, -7.7260),
    ("salt", date(2027, 6, 21), "2027-06-21T17:07:02", "2027-06-22T04:10:12", 11.6132, 56.3057),
]


@pytest.fixture(autouse=True)
def _without_network(monkeypatch):
    """Refuse every connection."""

    def refuse(*_, **__):
        pytest.fail("something asked for a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def stars_at(n=3, **columns):
    """Stars of the Clouds with ephemerides."""
    stars = QTable({"id": [f"OGLE-LMC-ECL-{number:05d}" for number in range(1, n + 1)]})
    stars["RAJ2000"], stars["DEJ2000"] = RA[:n] * u.deg, DEC[:n] * u.deg
    numbers = {"period": 0.9, "e_period": 1e-6, "T0_fit": 2461000.3, "e_T0_fit": 1e-3, "T0": np.nan} | columns
    for name, value in numbers.items():
        stars[name] = float_column(np.broadcast_to(np.asarray(value, float), n), "d")
    return stars


def plan(site="paranal", first=date(2027, 1, 1), n_nights=4, *, limits=None, exposure=None, **columns):
    limits = limits or FollowUpSettings(ephemeris=PLAIN)
    ephemerides = ephemerides_of(stars_at(**columns), settings=limits.ephemeris)
    nights = observe_nights(find_site(site), first, n_nights, settings=limits.observing)
    watched = watch_stars(ephemerides, nights, ra=RA, dec=DEC)
    return ephemerides, watched, find_windows(ephemerides, watched, settings=limits, exposure=exposure)


@pytest.mark.parametrize(("site", "day", "evening", "morning", "altitude", "moon"), ALMANAC)
def test_nights_are_those_of_the_almanac(site, day, evening, morning, altitude, moon):
    nights = observe_nights(find_site(site), day, 1, settings=ObservingSettings())
    ((begin, end),) = nights.dark(0)
    expected = [Time(text, scale="utc").jd - nights.midnight[0] for text in (evening, morning)]
    assert (begin, end) == pytest.approx(expected, abs=MINUTE / 30.0)
    middle = len(nights.offset) // 2
    # Where on the sky a star is changes by 0.004 deg a second; the table of UT1 is not always the same.
    assert star_altitudes(nights, RA[:1], DEC[:1])[0, 0, middle] == pytest.approx(altitude, abs=0.01)
    assert nights.moon_altitude[0, middle] == pytest.approx(moon, abs=0.01)


@pytest.mark.parametrize("site", ["paranal", "las-campanas", "salt"])
def test_nights_agree_with_astroplan(site):
    astroplan = pytest.importorskip("astroplan")
    where, first = find_site(site), date(2027, 3, 20)
    nights = observe_nights(where, first, 1, settings=ObservingSettings())
    with shipped_orientation():
        observer = astroplan.Observer(location=where.location)
        midnight = Time(nights.midnight[0], format="jd", scale="utc")
        evening = observer.twilight_evening_astronomical(midnight, which="previous", n_grid_points=300).jd
        morning = observer.twilight_morning_astronomical(midnight, which="next", n_grid_points=300).jd
        lit = observer.moon_illumination(midnight)
        moon = observer.moon_altaz(midnight)
        star = SkyCoord(RA[0] * u.deg, DEC[0] * u.deg)
        separation = moon.separation(star.transform_to(moon.frame)).deg
    ((begin, end),) = nights.dark(0)
    assert nights.midnight[0] + begin == pytest.approx(evening, abs=MINUTE / 30.0)
    assert nights.midnight[0] + end == pytest.approx(morning, abs=MINUTE / 30.0)
    assert nights.moon_illumination[0] == pytest.approx(lit, abs=0.01)
    middle = len(nights.offset) // 2
    found = nights.moon_separation(Directions(RA[:1], DEC[:1]))[0, 0, middle]
    assert found == pytest.approx(separation, abs=0.02)


def test_altitudes_follow_from_spherical_trigonometry():
    """The highest altitude is 90 deg less the difference of latitude and declination, here of the epoch of date."""
    for site in SITES:
        nights = observe_nights(site, date(2027, 12, 1), 1, settings=ObservingSettings())
        altitude = star_altitudes(nights, RA[:1], DEC[:1])[0, 0]
        # Precession of 28 years moves the declination by 28 * 20.04" * cos(80 deg).
        declination = DEC[0] + 28.0 * 20.04 / 3600.0 * np.cos(np.radians(RA[0]))
        assert altitude.max() == pytest.approx(90.0 - abs(declination - site.latitude), abs=0.15)
        assert altitude.min() > -10.0


@pytest.mark.parametrize("site", [site.name for site in SITES])
def test_windows_keep_every_limit(site):
    ephemerides, watched, windows = plan(site, n_nights=3)
    assert len(windows) > 1
    where, limits = watched.nights.site, watched.nights.settings
    for window in windows:
        row = int(np.flatnonzero(ephemerides.id == window["id"])[0])
        utc = np.linspace(*(Time(str(window[name]), scale="utc").jd for name in ("start_utc", "end_utc")), 9)
        phase = np.mod(
            (bjd_of_utc(utc, ephemerides.directions[[row] * 9]) - ephemerides.T0_BJD[row]) / ephemerides.period[row],
            1.0,
        )
        assert np.abs(phase - window["quadrature"]).max() < 0.05
        with shipped_orientation():
            from astropy.coordinates import AltAz, get_body

            time = Time(utc, format="jd", scale="utc")
            frame = AltAz(obstime=time, location=where.location)
            star = SkyCoord(RA[row] * u.deg, DEC[row] * u.deg).transform_to(frame)
            sun, moon = (get_body(name, time, where.location).transform_to(frame) for name in ("sun", "moon"))
        # A second moves a star by 15 arcsec.
        assert sun.alt.deg.max() < limits.sun_altitude + 0.01
        assert star.secz.value.max() < limits.airmass_max + 0.01
        assert where.altitude_min - 0.01 < star.alt.deg.min() < star.alt.deg.max() < where.altitude_max + 0.01
        separation = star.separation(moon).deg
        assert ((separation > limits.moon_separation_min) | (moon.alt.deg < 0.01)).all()
        assert window["moon_separation"].to_value(u.deg) == pytest.approx(separation.min(), abs=0.1)
        assert window["airmass_max"] == pytest.approx(star.secz.value.max(), abs=0.005)
        assert window["airmass_min"] == pytest.approx(star.secz.value.min(), abs=0.005)


def test_windows_begin_and_end_at_a_limit():
    """They are as long as the limits allow: each edge is that of a phase, of the night, or of the altitude."""
    ephemerides, watched, windows = plan("salt", n_nights=10)
    limits = FollowUpSettings()
    edges = 0
    for window in windows:
        row = int(np.flatnonzero(ephemerides.id == window["id"])[0])
        night = watched.nights.dates.index(str(window["night"]))
        half = limits.windows.half_width - window["e_phase"]
        for name, phase in (("start_utc", window["phase_start"]), ("end_utc", window["phase_end"])):
            offset = Time(str(window[name]), scale="utc").jd - watched.nights.midnight[night]
            of_night = [edge for part in watched.usable[row][night] for edge in part]
            at_limit = min(abs(edge - offset) for edge in of_night) < MINUTE / 30.0
            at_phase = abs(abs(phase - window["quadrature"]) - half) < 1e-4
            assert at_limit or at_phase
            edges += at_phase
    assert edges > 2


@pytest.mark.parametrize("quadrature", [0.25, 0.75])
def test_quadratures_are_where_the_ephemeris_puts_them(quadrature):
    ephemerides, _, windows = plan(n_nights=10)
    mine = windows[windows["quadrature"] == quadrature]
    # Those that nothing but the phase bounds are centred on the quadrature.
    whole = mine[np.abs((mine["phase_end"] - mine["phase_start"]) - 2.0 * (0.05 - mine["e_phase"])) < 1e-4]
    assert len(whole) > 2
    for window in whole:
        row = int(np.flatnonzero(ephemerides.id == window["id"])[0])
        middle = window["mid_BJD_TDB"].to_value(u.d)
        expected = ephemerides.time_of(quadrature, near=middle)[row]
        assert middle == pytest.approx(expected, abs=5.0 / 86400.0)
        cycles = (middle - ephemerides.T0_BJD[row]) / 0.9
        assert window["e_phase"] == pytest.approx(np.hypot(1e-3, cycles * 1e-6) / 0.9, rel=1e-3)


def test_errors_of_the_phase_narrow_windows_or_widen_them():
    lengths = {}
    for mode in ("sure", "nominal", "possible"):
        limits = FollowUpSettings(ephemeris=PLAIN, windows=WindowSettings(phase_error=mode, shortest=0.0))
        _, _, windows = plan(n_nights=4, limits=limits, e_T0_fit=0.01)
        lengths[mode] = float(np.max(windows["phase_end"] - windows["phase_start"]))
    assert lengths["nominal"] == pytest.approx(0.1, abs=1e-4)
    assert lengths["sure"] == pytest.approx(0.1 - 2.0 * 0.01 / 0.9, abs=1e-3)
    assert lengths["possible"] == pytest.approx(0.1 + 2.0 * 0.01 / 0.9, abs=1e-3)


def test_a_lost_ephemeris_has_no_window():
    limits = FollowUpSettings(
        ephemeris=EphemerisSettings(lost_from=0.1), windows=WindowSettings(phase_error="possible")
    )
    _, watched, windows = plan(limits=limits, e_T0_fit=[0.2, 1e-3, np.nan], T0_fit=[2461000.3, 2461000.3, np.nan])
    assert set(windows["id"]) == {"OGLE-LMC-ECL-00002"}
    nights = tabulate_nights(watched, windows)
    assert (nights["observable"] == 3).all()
    assert (nights["windows"].sum(), set(nights["targets"])) <= (len(windows), {0, 1})


def test_without_any_window_tables_are_empty_and_whole():
    limits = FollowUpSettings(observing=ObservingSettings(moon_separation_min=120.0 * u.deg, airmass_max=1.0))
    _, watched, windows = plan(limits=limits)
    assert len(windows) == 0
    assert windows.colnames[:3] == ["id", "night", "site"]
    assert list(tabulate_nights(watched, windows)["windows"]) == [0, 0, 0, 0]


def test_the_midnight_sun_leaves_no_night():
    nights = observe_nights(find_site("75,20,10"), date(2027, 6, 20), 2, settings=ObservingSettings())
    assert nights.dark(0) == []
    dark = observe_nights(find_site("85,20,10"), date(2027, 12, 20), 2, settings=ObservingSettings())
    assert dark.dark(0) == [(-0.5, 0.5)]


def test_twilights_are_in_order():
    lengths = []
    for altitude in (-6.0, -12.0, -18.0):
        settings = ObservingSettings(sun_altitude=altitude * u.deg)
        ((begin, end),) = observe_nights(find_site("paranal"), date(2027, 3, 20), 1, settings=settings).dark(0)
        lengths.append(end - begin)
    assert lengths == sorted(lengths, reverse=True)
    # At the equinox the Sun sinks by 15 deg an hour times cos(latitude): 6 deg take 26 min.
    assert (lengths[0] - lengths[1]) / 2.0 / MINUTE == pytest.approx(26.5, abs=1.0)


@pytest.mark.parametrize("year", [2028, 2035, 2050])
def test_years_beyond_the_table_of_ut1_give_no_warning(year):
    nights = observe_nights(find_site("paranal"), date(year, 1, 1), 1, settings=ObservingSettings())
    ((begin, end),) = nights.dark(0)
    # The same night as in other years, by the calendar.
    assert (end - begin) * 24.0 == pytest.approx(7.43, abs=0.05)
    directions = Directions(RA, DEC)
    bjd = bjd_of_utc(np.full(3, nights.midnight[0]), directions)
    assert np.abs(utc_of_bjd(bjd, directions) - nights.midnight[0]).max() < 1e-8
    table = orientation_table()
    years = (nights.midnight[0] - table.last) / 365.25
    assert f"for {years:.1f} years: altitudes may be off by {15 * max(years, 0.1):.0f} arcsec" in table.statement(
        table.last - 10.0, nights.midnight[0]
    )


def test_the_orientation_of_others_is_left_alone():
    before = iers.conf.auto_download, iers.conf.iers_degraded_accuracy, iers.earth_orientation_table.get()
    with shipped_orientation():
        assert not iers.conf.auto_download
    assert (iers.conf.auto_download, iers.conf.iers_degraded_accuracy) == before[:2]
    assert iers.earth_orientation_table.get() is before[2]
    end = orientation_table()
    assert "measured or predicted" in end.statement(end.first, end.last)
    assert "is not known" in end.statement(end.first - 1.0, end.last)
    assert "held at its last value" in end.statement(end.first, end.last + 1.0)
    assert abs(end.last_ut1_utc) < 0.9


def test_sites_are_found_by_name_or_made_of_coordinates():
    assert find_site("Las Campanas") is find_site("las-campanas")
    made = find_site("-29.26,-70.73,2400")
    assert (made.latitude, made.longitude, made.height) == (-29.26, -70.73, 2400.0)
    assert find_site("-29.26, 289.27, 2400").longitude == pytest.approx(-70.73)
    assert made.location.lat.deg == pytest.approx(-29.26)
    for wrong in ("mount doom", "1,2", "91,0,0", "0,0,99999", "1,2,3,4", "nan,0,0"):
        with pytest.raises(SettingsError, match="site"):
            find_site(wrong)


def test_a_number_of_nights_that_makes_no_sense_is_refused():
    for n_nights in (0, 401):
        with pytest.raises(SettingsError, match="--nights"):
            observe_nights(SITES[0], date(2027, 1, 1), n_nights, settings=ObservingSettings())


def test_times_above_are_those_of_a_sine():
    offset = np.linspace(0.0, 2.0, 73)
    found = times_above(offset, np.sin(2.0 * np.pi * offset) - 0.5)
    expected = [(1.0 / 12.0, 5.0 / 12.0), (13.0 / 12.0, 17.0 / 12.0)]
    assert np.array(found) == pytest.approx(np.array(expected), abs=1e-5)
    assert times_above(offset, offset + 1.0) == [(0.0, 2.0)]
    assert times_above(offset, -offset - 1.0) == []
    ((begin, end),) = times_above(offset, 1.0 - offset)
    assert (begin, end) == (0.0, pytest.approx(1.0))


def _intervals():
    edges = st.lists(st.integers(0, 60), max_size=8, unique=True)
    return edges.map(sorted).map(lambda e: list(zip(map(float, e[0::2]), map(float, e[1::2]), strict=False)))


@given(first=_intervals(), second=_intervals())
def test_intersections_hold_what_is_in_both(first, second):
    def inside(intervals, x):
        return any(low < x < high for low, high in intervals)

    both = intersect(first, second)
    for x in np.arange(0.5, 60.0):
        assert inside(both, x) == (inside(first, x) and inside(second, x))
    assert all(low < high for low, high in both)


def test_exposures_follow_from_photons():
    settings = ExposureSettings(signal_to_noise=40.0, resolving_power=5500.0, efficiency=0.2, diameter=2.0)
    # Vega, V = 0.03: 962 photons / (s cm2 A), 31,416 cm2, 1 A, a fifth of them counted.
    assert photon_rate(0.03, diameter=2.0, settings=settings) == pytest.approx(962.2 * 31415.9 * 0.2, rel=1e-3)
    V = np.array([12.0, 14.5, 22.0, np.nan])
    found = least_exposures(V, np.array([1.0, 1.0, 0.5, 1.0]), site=SITES[0], settings=settings)
    assert found.seconds[1] / found.seconds[0] == pytest.approx(10.0)
    assert found.signal_to_noise[:2] == pytest.approx(40.0)
    assert list(found.too_faint) == [False, False, True, False]
    assert found.seconds[2] == pytest.approx(0.05 * 0.5 * 86400.0)
    assert found.signal_to_noise[2] < 40.0
    assert np.isnan(found.seconds[3])
    larger = least_exposures(V, np.ones(4), site=SITES[0], settings=settings.model_copy(update={"diameter": 4.0}))
    assert found.seconds[0] / larger.seconds[0] == pytest.approx(4.0)


def test_a_site_without_a_mirror_has_no_exposure():
    found = least_exposures(np.array([15.0]), np.array([1.0]), site=find_site("0,0,0"), settings=ExposureSettings())
    assert np.isnan(found.seconds).all()
    assert not found.too_faint.any()


def test_nights_are_tabulated_with_their_windows():
    _, watched, windows = plan(n_nights=5)
    table = tabulate_nights(watched, windows)
    assert list(table["night"]) == [f"2027-01-0{day}" for day in range(1, 6)]
    assert table["windows"].sum() == len(windows)
    assert str(table["evening_utc"][0]) == "2027-01-02T01:02:26"
    hours = values(table, "dark", "h")
    assert ((values(table, "dark_without_moon", "h") <= hours) & (hours > 7.3)).all()
    assert ((table["moon_illumination"] >= 0) & (table["moon_illumination"] <= 1)).all()


@pytest.fixture(scope="module")
def seasons():
    """Two sites on either side of Greenwich, 16 nights each, with the barycentric dates of every other minute."""
    found = {}
    for site in ("paranal", "salt"):
        nights = observe_nights(find_site(site), date(2027, 1, 1), 16, settings=ObservingSettings())
        watched = watch_stars(ephemerides_of(stars_at(1), settings=PLAIN), nights, ra=RA[:1], dec=DEC[:1])
        utc = nights.midnight[0] - 0.5 + np.arange(16 * 720) * 2.0 * MINUTE
        bjd = bjd_of_utc(utc, Directions(np.full(len(utc), RA[0]), np.full(len(utc), DEC[0])))
        up = np.zeros(len(utc), dtype=bool)
        for night, parts in enumerate(watched.usable[0]):
            for low, high in parts:
                up |= (utc > nights.midnight[night] + low) & (utc < nights.midnight[night] + high)
        found[site] = watched, utc, bjd, up
    return found


def one_star(period, epoch, *, e_T0=1e-4):
    return Ephemerides(
        id=np.array(["a star"]),
        directions=Directions(RA[:1], DEC[:1]),
        T0_HJD=np.array([epoch]),
        e_T0=np.array([e_T0]),
        T0_BJD=np.array([epoch]),
        period=np.array([period]),
        e_period=np.array([0.0]),
        fitted=np.array([True]),
        e_T0_assumed=np.array([False]),
        e_period_assumed=np.array([False]),
    )


@settings(max_examples=40, deadline=None)
@given(
    site=st.sampled_from(["paranal", "salt"]),
    log_period=st.floats(np.log10(0.3), 2.0),
    start=st.floats(0.0, 1.0),
    half=st.sampled_from([0.03, 0.05, 0.15]),
)
def test_windows_are_those_of_every_minute(seasons, site, log_period, start, half):
    """Of stars of any period a minute is in a window just if the star is up, it is dark, and it is at quadrature."""
    watched, utc, bjd, up = seasons[site]
    period = 10.0**log_period
    star = one_star(period, 2461000.0 + start * period)
    limits = FollowUpSettings(windows=WindowSettings(half_width=half, phase_error="nominal", shortest=0.0))
    found = find_windows(star, watched, settings=limits)
    phase = star.phase(bjd)
    wanted = up & (np.minimum(np.abs(phase - 0.25), np.abs(phase - 0.75)) < half)
    within = np.zeros(len(utc), dtype=bool)
    for window in found:
        begin, end = (Time(str(window[name]), scale="utc").jd for name in ("start_utc", "end_utc"))
        within |= (utc >= begin) & (utc <= end)
    edges = np.flatnonzero(np.diff(wanted.astype(int)))
    # Windows are given to a second: two minutes on either side of an edge may go either way.
    compared = np.ones(len(utc), dtype=bool)
    for step in (-1, 0, 1, 2):
        compared[np.clip(edges + step, 0, len(utc) - 1)] = False
    assert (within == wanted)[compared].all()


def test_a_quadrature_of_many_days_has_a_window_every_night(seasons):
    watched = seasons["paranal"][0]
    # 0.1 of 100 d about the midnight of the ninth night: from midnight to midnight.
    found = find_windows(one_star(100.0, watched.nights.midnight[8] - 25.0), watched, settings=FollowUpSettings())
    assert list(found["night"]) == [f"2027-01-{day:02d}" for day in range(4, 15)]


def test_the_moon_counts_only_while_it_is_up():
    limits = FollowUpSettings(observing=ObservingSettings(moon_separation_min=90.0 * u.deg))
    ephemerides, watched, _ = plan(n_nights=28, limits=limits)
    nights = watched.nights
    dark = nights.sun_altitude < -18.0
    high = watched.altitude > 30.0
    near = watched.moon_separation <= 90.0
    expected = dark & high & ~(near & (nights.moon_altitude > 0.0))
    found = np.zeros(expected.shape, dtype=bool)
    for star in range(len(ephemerides)):
        for night in range(len(nights)):
            for low, upper in watched.usable[star][night]:
                found[star, night] |= (nights.offset > low) & (nights.offset < upper)
    assert (found == expected).all()
    # It matters either way: a near Moon that is down, and one that is up.
    assert (found & near).any()
    assert (dark & high & near & ~found).any()


def test_the_moon_is_full_and_new_on_the_days_of_the_almanac():
    # Full moon on 2027-01-22 at 12:17 UTC, new moon on 2027-01-07 at 20:24 UTC.
    for day, share in ((22, 1.0), (7, 0.0)):
        nights = observe_nights(find_site("paranal"), date(2027, 1, day), 1, settings=ObservingSettings())
        assert nights.moon_illumination[0] == pytest.approx(share, abs=0.02)


def test_stars_without_windows_have_a_reason_with_its_numbers():
    errors = np.array([0.06, 0.12, 1e-3]) * 0.9
    limits = FollowUpSettings(ephemeris=PLAIN)
    ephemerides, watched, windows = plan(n_nights=10, limits=limits, e_T0_fit=errors, e_period=1e-12)
    reasons = reasons_against(ephemerides, watched.nights.midnight[0], settings=limits)
    assert set(windows["id"]) == {ephemerides.id[2]}
    assert "error of the phase 0.060 is not below follow_up.windows.half_width = 0.05" in reasons[0]
    assert "follow_up.windows.phase_error" in reasons[0]
    assert "ephemeris lost, no windows: error of the phase 0.120 is above" in reasons[1]
    assert "follow_up.ephemeris.lost_from = 0.1" in reasons[1]
    assert reasons[2] == ""
    for mode in ("nominal", "possible"):
        loose = limits.model_copy(update={"windows": WindowSettings(phase_error=mode)})
        assert reasons_against(ephemerides, watched.nights.midnight[0], settings=loose)[0] == ""
        assert set(find_windows(ephemerides, watched, settings=loose)["id"]) == set(ephemerides.id[[0, 2]])


def test_windows_narrowed_below_the_shortest_have_a_reason():
    # 2 x (0.05 - 0.048) of 0.9 d are 5.2 minutes.
    limits = FollowUpSettings(ephemeris=PLAIN)
    ephemerides, watched, windows = plan(limits=limits, e_T0_fit=0.048 * 0.9, e_period=1e-12)
    assert len(windows) == 0
    for reason in reasons_against(ephemerides, watched.nights.midnight[0], settings=limits):
        assert "with an error of the phase of 0.048 they last 5.2 min" in reason
        assert "follow_up.windows.shortest = 10" in reason


def test_windows_say_whether_the_exposure_fits():
    _, watched, windows = plan(n_nights=6, exposure=np.array([3600.0, np.nan, 86400.0]))
    minutes = values(windows, "duration", "min")
    names = np.asarray(windows["id"])
    fits = windows["fits_exposure"]
    first, second, third = (names == f"OGLE-LMC-ECL-0000{number}" for number in (1, 2, 3))
    assert first.any()
    assert second.any()
    assert third.any()
    assert (np.asarray(fits[first]) == (minutes[first] >= 60.0)).all()
    assert fits.mask[second].all()
    assert not fits.mask[~second].any()
    assert not np.asarray(fits[third]).any()
    nights = tabulate_nights(watched, windows)
    assert nights["too_short"].sum() == third.sum() + (minutes[first] < 60.0).sum()
    _, watched, bare = plan(n_nights=2)
    assert bare["fits_exposure"].mask.all()
    assert not tabulate_nights(watched, bare)["too_short"].any()


def test_sites_a_few_hundred_metres_apart_have_names_of_their_own():
    assert find_site("-29.2612,-70.7314,2400").name != find_site("-29.2638,-70.7314,2400").name


@given(first=_intervals(), second=_intervals())
def test_unions_hold_what_is_in_either(first, second):
    def inside(intervals, x):
        return any(low < x < high for low, high in intervals)

    either = unite(first, second)
    for x in np.arange(0.5, 60.0):
        assert inside(either, x) == (inside(first, x) or inside(second, x))
    assert all(end < begin for (_, end), (begin, _) in pairwise(either))
