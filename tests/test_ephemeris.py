"""Clocks and ephemerides, against astropy's own light travel times and against arithmetic by hand."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.table import QTable
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st

from cbminer.columns import float_column
from cbminer.followup.clock import (
    Directions,
    bjd_of_hjd,
    bjd_of_utc,
    calendar,
    hjd_of_utc,
    light_time,
    utc_of_bjd,
)
from cbminer.followup.ephemeris import Ephemerides, ephemerides_of
from cbminer.followup.orientation import shipped_orientation
from cbminer.followup.settings import EphemerisSettings

SECOND = 1.0 / 86400.0
# The LMC, the SMC, a star in the ecliptic and the pole of the equator.
RA, DEC = np.array([80.9, 13.2, 270.0, 0.0]), np.array([-69.8, -72.8, -23.4, 90.0])
DAYS = 2458849.5 + np.arange(0.0, 4000.0, 61.0)


def star(**columns):
    """One star at the LMC with an ephemeris."""
    stars = QTable({"id": ["OGLE-LMC-ECL-00001"], "RAJ2000": RA[:1] * u.deg, "DEJ2000": DEC[:1] * u.deg})
    numbers = {"period": 0.75, "e_period": 2e-6, "T0_fit": 2455500.25, "e_T0_fit": 1e-3, "T0": 2452000.5} | columns
    for name, value in numbers.items():
        stars[name] = float_column([value], "d")
    return stars


def ephemeris(settings=None, **columns):
    return ephemerides_of(star(**columns), settings=settings or EphemerisSettings(error_factor=1.0))


@pytest.mark.parametrize(("to", "kind"), [("sun", "heliocentric"), ("barycentre", "barycentric")])
def test_light_time_agrees_with_astropy(to, kind):
    with shipped_orientation():
        centre = EarthLocation.from_geocentric(0.0, 0.0, 0.0, unit=u.m)
        time = Time(DAYS[:, None], format="jd", scale="utc", location=centre)
        theirs = time.light_travel_time(SkyCoord(RA * u.deg, DEC * u.deg), kind).to_value(u.s)
    ours = light_time(Time(DAYS[:, None], format="jd", scale="utc"), Directions(RA, DEC), to=to) / SECOND
    assert np.abs(ours - theirs).max() < 0.001
    # A star in the ecliptic is 8.3 min nearer and farther in a year, one at the ecliptic's pole hardly at all.
    assert 490 < np.abs(ours[:, 2]).max() < 515
    assert np.abs(ours[:, 0]).max() < 150


def test_light_time_follows_from_the_place_of_the_earth():
    # On the equinox of September the Earth is at (1, 0, 0) au from the Sun, nearer to a star at RA = 0 by 499 s.
    # Later dates of the same light: it passes the Earth first and the Sun after.
    equinox = Time("2026-09-23T00:05:00", scale="utc")
    later = light_time(equinox, Directions(0.0, 0.0), to="sun") / SECOND
    assert later == pytest.approx(499.0047 * 1.0033, abs=1.0)


def test_heliocentric_and_barycentric_dates_differ_by_the_time_scale_and_the_sun():
    directions = Directions(np.full(len(DAYS), RA[2]), np.full(len(DAYS), DEC[2]))
    hjd = hjd_of_utc(DAYS, directions)
    difference = (bjd_of_utc(DAYS, directions) - hjd) / SECOND
    # 37 leap seconds and 32.184 s between UTC and TT; the Sun is at most 2.2 solar radii (5 s) from the barycentre.
    assert np.abs(difference - 69.184).max() < 5.5
    assert np.ptp(difference) > 1.0
    tdb = hjd_of_utc(DAYS, directions, scale="tdb")
    assert (tdb - hjd) / SECOND == pytest.approx(69.184, abs=0.005)


@pytest.mark.parametrize("scale", ["utc", "tdb"])
def test_clocks_go_back_to_where_they_came_from(scale):
    for ra, dec in zip(RA, DEC, strict=True):
        directions = Directions(np.full(len(DAYS), ra), np.full(len(DAYS), dec))
        bjd = bjd_of_utc(DAYS, directions)
        assert np.abs(utc_of_bjd(bjd, directions) - DAYS).max() < 1e-3 * SECOND
        hjd = hjd_of_utc(DAYS, directions, scale=scale)
        assert np.abs(bjd_of_hjd(hjd, directions, scale=scale) - bjd).max() < 1e-3 * SECOND


def test_an_unknown_date_stays_unknown():
    assert np.isnan(bjd_of_hjd([np.nan], Directions(RA[:1], DEC[:1]))).all()
    assert calendar([np.nan, 2461406.5]) == ["", "2027-01-01T00:00:00"]


def test_calendar_rounds_to_the_second_and_over_midnight():
    assert calendar(2461406.5 + np.array([0.4, 0.6, 86399.7]) * SECOND) == [
        "2027-01-01T00:00:00",
        "2027-01-01T00:00:01",
        "2027-01-02T00:00:00",
    ]
    assert calendar([2461406.5 + 29.0 * SECOND], to="minute") == ["2027-01-01T00:00"]
    assert calendar([2461407.499], to="date") == ["2027-01-01"]


def test_errors_grow_as_the_sum_of_squares():
    one = ephemeris(e_T0_fit=3e-3, e_period=4e-6)
    at = one.T0_BJD + 0.75 * np.array([0.0, 750.0, 1000.0, -1000.0])
    assert one.error(at) == pytest.approx([3e-3, np.sqrt(9.0 + 9.0) * 1e-3, 5e-3, 5e-3])
    assert one.phase_error(at) == pytest.approx(one.error(at) / 0.75)


def test_errors_are_those_of_many_ephemerides():
    rng = np.random.default_rng(4)
    n = 20_000
    epochs, periods = 1e-3 * rng.standard_normal(n), 0.75 + 2e-6 * rng.standard_normal(n)
    predicted = epochs + 5000.0 * periods
    one = ephemeris(e_T0_fit=1e-3, e_period=2e-6)
    assert one.error(one.T0_BJD + 5000.0 * 0.75)[0] == pytest.approx(predicted.std(), rel=0.02)


@given(
    phase=st.floats(0.0, 0.999999),
    period=st.floats(0.2, 30.0),
    near=st.floats(2450000.0, 2470000.0),
)
def test_the_time_of_a_phase_has_that_phase(phase, period, near):
    one = Ephemerides(
        id=np.array(["a star"]),
        directions=Directions(RA[:1], DEC[:1]),
        T0_HJD=np.array([2455500.25]),
        e_T0=np.array([1e-3]),
        T0_BJD=np.array([2455500.251]),
        period=np.array([period]),
        e_period=np.array([2e-6]),
        fitted=np.array([True]),
        e_T0_assumed=np.array([False]),
        e_period_assumed=np.array([False]),
    )
    at = one.time_of(phase, near=near)
    off = one.phase(at) - phase
    assert np.abs(off - np.round(off)).max() < 1e-7
    assert np.abs(at - near).max() <= 0.5 * period * (1.0 + 1e-6)
    assert (one.phase(at) >= 0).all()
    assert (one.phase(at) < 1).all()


def test_fitted_errors_are_multiplied_and_assumed_ones_are_not():
    plain, wide = (ephemeris(EphemerisSettings(error_factor=factor)) for factor in (1.0, 1.5))
    assert wide.e_T0 / plain.e_T0 == pytest.approx(1.5)
    assert wide.e_period / plain.e_period == pytest.approx(1.5)
    listed = ephemeris(EphemerisSettings(error_factor=1.5), T0_fit=np.nan, e_T0_fit=np.nan, e_period=np.nan)
    assert (listed.e_T0[0], listed.e_period[0]) == (0.026, pytest.approx(0.75e-5))


def test_phase_zero_is_the_epoch_seen_from_the_sun():
    one = ephemeris()
    utc = utc_of_bjd(one.T0_BJD, one.directions)
    assert hjd_of_utc(utc, one.directions)[0] == pytest.approx(2455500.25, abs=1e-3 * SECOND)
    assert one.phase(one.T0_BJD)[0] == pytest.approx(0.0, abs=1e-9)


def test_the_time_scale_of_the_survey_moves_the_epoch_by_the_leap_seconds_of_then():
    utc, tdb = (ephemeris(EphemerisSettings(time_scale=scale)) for scale in ("utc", "tdb"))
    # In October 2010 there were 34 leap seconds.
    assert (utc.T0_BJD - tdb.T0_BJD)[0] / SECOND == pytest.approx(66.184, abs=0.01)


def test_a_missing_epoch_or_error_is_replaced_and_told():
    fitted = ephemeris()
    assert fitted.fitted[0]
    assert not fitted.e_T0_assumed[0]
    listed = ephemeris(T0_fit=np.nan, e_T0_fit=np.nan, e_period=np.nan)
    assert listed.T0_HJD[0] == 2452000.5
    assert listed.e_T0_assumed[0]
    assert listed.e_period_assumed[0]
    assert listed.e_T0[0] == 0.026
    assert listed.e_period[0] == pytest.approx(0.75e-5)
    nothing = ephemeris(T0_fit=np.nan, e_T0_fit=np.nan, T0=np.nan)
    assert not nothing.known[0]
    assert not nothing.e_T0_assumed[0]


def test_a_change_of_the_period_adds_what_a_quadratic_ephemeris_is_off():
    rate = 2e-6 / 365.25
    settings = EphemerisSettings(error_factor=1.0, assumed_relative_period_change=2e-6)
    one = ephemeris(settings, e_T0_fit=3e-3, e_period=1e-12)
    # Minima one after another, each period longer by that rate times the time since the epoch.
    time, n = 0.0, 8000
    for _ in range(n):
        time += 0.75 * (1.0 + rate * time)
    off = time - 0.75 * n
    assert off > 0.01
    assert one.error(one.T0_BJD + 0.75 * n)[0] == pytest.approx(np.hypot(3e-3, off), rel=1e-3)
    assert ephemeris(e_T0_fit=3e-3, e_period=1e-12).error(one.T0_BJD + 0.75 * n)[0] == pytest.approx(3e-3)


def test_ephemerides_of_some_stars_are_theirs():
    numbers = np.arange(4.0)
    several = Ephemerides(
        id=np.array(list("abcd")),
        directions=Directions(RA, DEC),
        T0_HJD=2455500.0 + numbers,
        e_T0=1e-3 * (1.0 + numbers),
        T0_BJD=2455500.0 + numbers,
        period=1.0 + 0.1 * numbers,
        e_period=1e-6 * (1.0 + numbers),
        fitted=numbers > 1,
        e_T0_assumed=numbers > 2,
        e_period_assumed=numbers < 1,
        relative_period_change=1e-9,
    )
    some, at = several[[2, 0, 2]], 2461000.0
    for name in ("phase", "phase_error"):
        assert list(getattr(some, name)(at)) == list(getattr(several, name)(at)[[2, 0, 2]])
    assert list(some.id) == ["c", "a", "c"]
    assert list(some.fitted) == [True, False, True]
    assert (some.directions.vectors == several.directions.vectors[[2, 0, 2]]).all()
