"""Target lists: every one read back is the catalogue, and a broken one is refused with place, field and remedy."""

import csv
import json
import subprocess
import sys
from importlib.util import find_spec

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import Angle, SkyCoord
from astropy.io import fits
from astropy.table import QTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from judged_runs import table_of

from cbminer.columns import float_column, label_column, text_column, values
from cbminer.errors import CbminerError, InputFormatError, SettingsError
from cbminer.followup.target_formats.eso import read_eso_windows
from cbminer.followup.target_formats.fourmost import write_fourmost
from cbminer.followup.target_formats.schema import load_schema
from cbminer.followup.target_formats.sexagesimal import dec_degrees, dec_text, ra_degrees, ra_text
from cbminer.followup.target_formats.stars import target_stars
from cbminer.followup.target_settings import EsoSettings, FourmostSettings, TargetSettings
from cbminer.followup.targets import (
    FORMATS,
    LEFT_OUT_FILE,
    check_target_list,
    read_target_list,
    require_formats,
    write_target_lists,
)
from cbminer.pipeline import open_survey, run_selection
from cbminer.settings import load_settings, settings_to_toml

needs_mocpy = pytest.mark.skipif(find_spec("mocpy") is None, reason="mocpy is not installed")
FOURMOST = FourmostSettings(subsurvey="OB_pairs", template="B2V.fits", ruleset="R50", resolution=1, mag_type="V_x")
SETTINGS = TargetSettings(fourmost=FOURMOST)
POSITIONS = tuple(name for name in FORMATS if name != "moc")
# Worst error of a position that the formats state, in seconds of arc.
EXACT = {"eso": 0.008, "4most": 0.0001, "salt": 0.0003, "gemini": 0.0092, "apt": 0.001, "ds9": 0.0003}
NAMES = {
    "eso": "targets-eso.json", "4most": "targets-4most.fits", "salt": "targets-salt.csv",
    "gemini": "targets-gemini.csv", "apt": "targets-apt.csv", "ds9": "targets-ds9.reg", "moc": "targets-moc.fits",
}  # fmt: skip


def targets_of(n, *, survey="ogle", galaxy="LMC", **columns):
    """Ephemerides of n stars as the follow-up makes them."""
    table = QTable({"id": [f"OGLE-{galaxy}-ECL-{i:05d}" for i in range(1, n + 1)]})
    table["galaxy"], table["survey"] = np.full(n, galaxy), np.full(n, survey)
    table["rank"] = np.arange(1, n + 1)
    table["note"] = np.full(n, "a note")
    numbers = {
        "RAJ2000": (80.0 + 0.1 * np.arange(n), "deg"), "DEJ2000": (-69.0 + 0.05 * np.arange(n), "deg"),
        "V_mag": (15.0 + 0.01 * np.arange(n), "mag"), "I_mag": (15.2 + 0.01 * np.arange(n), "mag"),
        "depth1": (0.4, "mag"), "E_VI": (0.1, "mag"), "period": (0.9123456789, "d"), "e_period": (1e-7, "d"),
        "T0_HJD_UTC": (2456000.123456, "d"), "e_T0": (0.001, "d"), "exposure": (600.0, "s"),
    }  # fmt: skip
    for name, (data, unit) in numbers.items():
        table[name] = float_column(np.broadcast_to(np.asarray(columns.get(name, data), float), n), unit)
    return table


def windows_of(*rows):
    return QTable(rows=rows, names=("id", "site", "start_utc", "end_utc"))


def write(folder, targets, *formats, windows=None, settings=SETTINGS, **more):
    return write_target_lists(folder, targets, windows=windows, formats=formats, settings=settings, **more)


def separation(targets, found):
    places = [SkyCoord(t["RAJ2000"], t["DEJ2000"], frame="icrs") for t in (plain(targets), plain(found))]
    return places[0].separation(places[1]).to_value("arcsec")


def plain(table):
    return {name: values(table, name, "deg") * u.deg for name in ("RAJ2000", "DEJ2000")}


@pytest.fixture(scope="module")
def candidates(tmp_path_factory):
    """Candidates of a small mock run, with the columns of a follow-up."""
    resolved = load_settings()
    resolved = resolved.model_copy(update={"mock": resolved.mock.model_copy(update={"n_lmc": 120})})
    archive = open_survey("mock", ["LMC"], settings=resolved, cache=tmp_path_factory.mktemp("targets"))
    stars = run_selection(archive, ["LMC"], settings=resolved, survey="mock", jobs=1).stars
    chosen = stars[np.asarray(stars["selected"])]
    chosen["T0_HJD_UTC"] = chosen["T0_fit"]
    chosen["exposure"] = float_column(np.full(len(chosen), 900.0), "s")
    return chosen


# Sexagesimal notation


@given(degrees=st.floats(0, 360), decimals=st.integers(0, 5))
def test_right_ascension_goes_through_text(degrees, decimals):
    text = ra_text(degrees, decimals=decimals)
    hours, minutes, seconds = text.split(":")
    assert int(hours) < 24
    assert int(minutes) < 60
    assert float(seconds) < 60
    half_a_tick = 15 / 3600 / 10**decimals / 2
    wrapped = (ra_degrees(text) - degrees + 180) % 360 - 180
    assert abs(wrapped) <= half_a_tick * 1.001


@given(degrees=st.floats(-90, 90), decimals=st.integers(0, 5), separator=st.sampled_from([":", " "]))
def test_declination_goes_through_text(degrees, decimals, separator):
    text = dec_text(degrees, decimals=decimals, separator=separator)
    assert text[0] == ("-" if degrees < 0 else "+")
    assert all(float(part) < 60 for part in text[1:].split(separator)[1:])
    assert abs(dec_degrees(text, separator=separator) - degrees) <= 0.501 / 3600 / 10**decimals


@given(ra=st.floats(0, 359.999), dec=st.floats(-89.99, 89.99))
def test_sexagesimal_is_read_by_astropy_as_by_us(ra, dec):
    # Astropy writes a minus before a zero that has one.
    dec += 0.0
    text = f"{ra_text(ra, decimals=4)} {dec_text(dec, decimals=3)}"
    theirs = SkyCoord(text, unit=(u.hourangle, u.deg))
    ours = SkyCoord(ra_degrees(text.split(maxsplit=1)[0]), dec_degrees(text.split()[1]), unit="deg")
    assert theirs.separation(ours).to_value("arcsec") < 1e-6
    assert Angle(dec, "deg").to_string(sep=":", precision=3, pad=True, alwayssign=True) == text.split()[1]


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [
        (359.9999999999, "00:00:00.000"), (360.0, "00:00:00.000"), (14.9999999, "01:00:00.000"),
        (15 * (5 + 59 / 60 + 59.9996 / 3600), "06:00:00.000"), (0.0, "00:00:00.000"),
    ],
)  # fmt: skip
def test_no_seconds_of_sixty_and_no_hour_of_24(degrees, expected):
    assert ra_text(degrees) == expected


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [
        (-0.2666805556, "-00:16:00.05"), (-1e-9, "-00:00:00.00"), (-69.9999999, "-70:00:00.00"),
        (0.0, "+00:00:00.00"), (90.0, "+90:00:00.00"), (-90.0, "-90:00:00.00"),
    ],
)  # fmt: skip
def test_declinations_keep_their_sign(degrees, expected):
    assert dec_text(degrees) == expected


@pytest.mark.parametrize(
    "text", ["05:60:00.0", "05:00:60.0", "24:00:00", "5h", "", "05:00:1e1", "\u06605:00:00", "-1:0:0"]
)
def test_no_right_ascension(text):
    with pytest.raises(ValueError, match="is no right ascension such as"):
        ra_degrees(text)


@pytest.mark.parametrize("text", ["69:00:00", "-69:60:00", "+90:00:00.1", "-69:00:60", "-69", "--1:00:00"])
def test_no_declination(text):
    with pytest.raises(ValueError, match="is no declination"):
        dec_degrees(text)


# Round trips


@pytest.mark.parametrize("name", POSITIONS)
def test_a_list_read_back_is_the_catalogue(tmp_path, name):
    targets = targets_of(25)
    (path,) = write(tmp_path, targets, name)
    check_target_list(path, name)
    found = read_target_list(path, name)
    assert path.name == NAMES[name]
    assert list(found["id"]) == list(targets["id"])
    assert separation(targets, found).max() < EXACT[name]
    for column, tolerance in (("V_mag", 6e-4), ("I_mag", 6e-4), ("depth1", 1.1e-3), ("period", 1e-9)):
        if column in found.colnames and not np.all(found[column].mask):
            assert values(found, column, str(found[column].unit)) == pytest.approx(
                values(targets, column, str(found[column].unit)), abs=tolerance
            )


@pytest.mark.parametrize("name", POSITIONS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    places=st.lists(
        st.tuples(
            st.one_of(st.floats(0, 360), st.sampled_from([0.0, 359.9999999999, 14.99999999, 1e-12])),
            st.one_of(st.floats(-75.9, 10.9), st.sampled_from([-0.0, -1e-10, -0.0041665, -69.99999999, 0.99999999])),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_positions_anywhere_come_back(tmp_path, name, places):
    ra, dec = (np.array(column) for column in zip(*places, strict=True))
    targets = targets_of(len(places), RAJ2000=ra, DEJ2000=dec)
    (path,) = write(tmp_path, targets, name)
    found = read_target_list(path, name)
    assert separation(targets, found).max() < EXACT[name]
    assert ((values(found, "RAJ2000", "deg") >= 0) & (values(found, "RAJ2000", "deg") < 360)).all()


def test_salt_gives_the_ephemeris(tmp_path):
    targets = targets_of(2, T0_HJD_UTC=[2456000.123456, np.nan], depth1=[0.4, np.nan])
    (path,) = write(tmp_path, targets, "salt")
    first, second = csv.DictReader(path.read_text().splitlines())
    assert (first["ephemeris time base"], first["ephemeris T0"]) == ("HJD", "2456000.123456")
    assert float(first["ephemeris period"]) == pytest.approx(0.9123456789, abs=1e-9)
    assert (first["minimum magnitude"], first["maximum magnitude"]) == ("15.000", "15.400")
    assert [second[f"ephemeris {name}"] for name in ("time base", "T0", "period")] == ["", "", ""]
    assert "time of minimum unknown" in second["note"]
    assert "depth unknown" in second["note"]
    found = read_target_list(path, "salt")
    assert values(found, "T0_HJD_UTC", "d")[0] == pytest.approx(2456000.123456, abs=1e-6)
    assert found["T0_HJD_UTC"].mask.tolist() == [False, True]


def test_salt_asks_for_the_time_where_it_is_known(tmp_path):
    salt = SETTINGS.salt.model_copy(update={"overhead": 600.0, "first": 1, "second": 2})
    (path,) = write(tmp_path, targets_of(3), "salt", settings=SETTINGS.model_copy(update={"salt": salt}))
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [row["observing time"] for row in rows] == ["1200.0"] * 3
    assert [row["ranking"] for row in rows] == ["High", "Medium", "Low"]
    (path,) = write(tmp_path, targets_of(3), "salt")
    assert {row["observing time"] for row in csv.DictReader(path.read_text().splitlines())} == {""}


def test_every_format_says_what_is_unknown(tmp_path):
    targets = targets_of(3, V_mag=[np.nan, 15.0, np.nan], I_mag=[15.2, np.nan, np.nan], exposure=np.nan)
    paths = write(tmp_path, targets, *POSITIONS)
    left = QTable.read(paths[-1], format="ascii.ecsv")
    assert paths[-1].name == LEFT_OUT_FILE
    assert [tuple(row) for row in left] == [
        ("OGLE-LMC-ECL-00001", "4most", "V is unknown, and MAG needs it"),
        ("OGLE-LMC-ECL-00003", "4most", "V is unknown, and MAG needs it"),
        ("OGLE-LMC-ECL-00003", "salt", "no magnitude is known, and the PIPT needs one"),
    ]
    assert list(read_target_list(tmp_path / NAMES["4most"], "4most")["id"]) == ["OGLE-LMC-ECL-00002"]
    bands = [row["bandpass"] for row in csv.DictReader((tmp_path / NAMES["salt"]).read_text().splitlines())]
    assert bands == ["I", "V"]
    for name in ("gemini", "apt"):
        found = read_target_list(tmp_path / NAMES[name], name)
        assert found["V_mag"].mask.tolist() == [True, False, True]
        assert found["I_mag"].mask.tolist() == [False, True, True]
    notes = read_target_list(tmp_path / NAMES["eso"], "eso")["note"]
    assert "V unknown" in notes[0]
    assert "V unknown; I unknown" in notes[2]
    assert "OGLE-LMC-ECL-00003: rank 3; V unknown" in (tmp_path / NAMES["ds9"]).read_text()


def test_salt_leaves_out_what_it_does_not_reach(tmp_path):
    paths = write(tmp_path, targets_of(2, DEJ2000=[-76.5, -72.0]), "salt")
    assert list(read_target_list(paths[0], "salt")["id"]) == ["OGLE-LMC-ECL-00002"]
    assert "out of SALT's reach" in str(QTable.read(paths[1], format="ascii.ecsv")["reason"][0])
    # A later call without such a star leaves no stale file.
    assert [path.name for path in write(tmp_path, targets_of(2), "salt")] == [NAMES["salt"]]
    assert not (tmp_path / LEFT_OUT_FILE).exists()


def test_regions_have_colours_and_tags_by_rank(tmp_path):
    ds9 = SETTINGS.ds9.model_copy(update={"first": 1, "second": 2})
    targets = targets_of(4)
    targets["rank"] = [1, 2, 3, 0]
    (path,) = write(tmp_path, targets, "ds9", settings=SETTINGS.model_copy(update={"ds9": ds9}))
    tags = list(read_target_list(path, "ds9")["tag"])
    assert tags == ["rank 1 to 1", "rank to 2", "other ranks", "other ranks"]
    assert len({line.split("color=")[1].split()[0] for line in path.read_text().splitlines() if "color=" in line}) == 3


@needs_mocpy
def test_the_footprint_covers_every_star_and_little_more(tmp_path):
    from mocpy import MOC

    targets = targets_of(30)
    (path,) = write(tmp_path, targets, "moc")
    found = MOC.from_fits(path)
    assert found.contains_lonlat(targets["RAJ2000"].unmasked, targets["DEJ2000"].unmasked).all()
    circles = 30 * np.pi * (60 / 3600) ** 2 / (4 * 180**2 / np.pi)
    assert circles < found.sky_fraction < 1.25 * circles
    cells = read_target_list(path, "moc")
    assert (0.25 ** cells["order"] / 12).sum() == pytest.approx(found.sky_fraction, rel=1e-9)
    (again,) = write(tmp_path / "again", targets, "moc")
    assert again.read_bytes() == path.read_bytes()
    assert b"SIMULATED" not in path.read_bytes()
    targets["survey"] = "mock"
    assert b"SIMULATED" in write(tmp_path, targets, "moc", allow_simulated=True)[0].read_bytes()
    # Beside the fields.
    assert not found.contains_lonlat([70.0] * u.deg, [-60.0] * u.deg).any()


def test_lists_do_not_change_from_call_to_call(tmp_path):
    first, second = (write(tmp_path / name, targets_of(5), *POSITIONS) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_a_real_table_of_a_mock_run(tmp_path, candidates):
    paths = write(tmp_path, candidates, *POSITIONS, allow_simulated=True)
    assert len(candidates) > 5
    for name, path in zip(POSITIONS, paths, strict=False):
        check_target_list(path, name)
        assert b"SIMULATED" in path.read_bytes()
        found = read_target_list(path, name)
        assert all(star.startswith("MOCK-") for star in found["id"])
        assert separation(candidates, found).max() < EXACT[name]


# Time constraints


def test_starts_leave_room_for_the_exposure(tmp_path):
    star, other = (f"OGLE-LMC-ECL-0000{i}" for i in (1, 2))
    windows = windows_of(
        (star, "paranal", "2027-01-01T01:02:03", "2027-01-01T02:30:59"),
        (star, "Paranal", "2027-01-02T03:00:00", "2027-01-02T03:09:00"),
        (star, "salt", "2027-01-03T01:00:00", "2027-01-03T02:00:00"),
        (star, "paranal", "2027-01-04T01:00:00", "2027-01-04T02:00:00"),
        (star, "paranal", "2027-01-04T01:30:00", "2027-01-04T03:00:00"),
    )
    # Of windows of several sites those count that the settings name.
    paranal = SETTINGS.model_copy(update={"eso": EsoSettings(site="paranal")})
    paths = write(tmp_path, targets_of(2), "eso", windows=windows, settings=paranal)
    times = read_eso_windows(paths[0])
    assert [tuple(row) for row in times] == [
        (star, "2027-01-01T01:03", "2027-01-01T02:20"),
        (star, "2027-01-04T01:00", "2027-01-04T02:50"),
    ]
    found = read_target_list(paths[0], "eso")
    # Without a time constraint p2 would run the block at any phase.
    assert list(found["id"]) == [star]
    assert found["n_windows"].tolist() == [2]
    assert "room for an exposure of 600 s" in found["note"][0]
    left = QTable.read(paths[1], format="ascii.ecsv")
    assert [tuple(row) for row in left] == [
        (star, "eso", "the window from 2027-01-02T03:00 is too short for 600 s"),
        (other, "eso", "it has no window in these nights"),
    ]


def test_windows_of_any_one_site_become_time_constraints(tmp_path):
    names = [f"OGLE-LMC-ECL-0000{i}" for i in range(1, 5)]
    targets = targets_of(4)
    targets["no_windows"] = text_column(["", "", "ephemeris lost, no windows: error of the phase 0.2", ""])
    windows = windows_of(
        (names[0], "salt", "2027-01-01T01:00:00", "2027-01-01T02:00:00"),
        (names[1], "salt", "2027-01-01T01:00:00", "2027-01-01T01:09:00"),
        (names[1], "salt", "2027-01-02T01:00:00", "2027-01-02T01:09:30"),
    )
    paths = write(tmp_path, targets, "eso", windows=windows)
    assert [tuple(row) for row in read_eso_windows(paths[0])] == [(names[0], "2027-01-01T01:00", "2027-01-01T01:50")]
    assert list(read_target_list(paths[0], "eso")["id"]) == names[:1]
    left = QTable.read(paths[1], format="ascii.ecsv")
    assert list(left["id"]) == names[1:]
    assert left["reason"][0] == "none of its 2 windows is long enough for 600 s, or for a minute"
    assert left["reason"][1] == "ephemeris lost, no windows: error of the phase 0.2"
    assert left["reason"][2] == "it has no window in these nights"


def test_without_a_window_no_block_is_left(tmp_path):
    windows = windows_of(("x", "paranal", "2027-01-01T01:00:00", "2027-01-01T02:00:00"))[:0]
    paths = write(tmp_path, targets_of(2), "eso", windows=windows)
    assert len(read_target_list(paths[0], "eso")) == 0
    assert len(QTable.read(paths[1], format="ascii.ecsv")) == 2


@pytest.mark.parametrize("formats", [("eso",), ("salt", "eso")])
def test_windows_of_another_site_are_refused(tmp_path, formats):
    window = ("OGLE-LMC-ECL-00001", "salt", "2027-01-01T01:00:00", "2027-01-01T02:00:00")
    paranal = SETTINGS.model_copy(update={"eso": EsoSettings(site="Paranal")})
    with pytest.raises(SettingsError, match=r"targets\.eso\.site is 'Paranal', and the windows are of salt"):
        write(tmp_path, targets_of(1), *formats, windows=windows_of(window), settings=paranal)
    with pytest.raises(SettingsError, match=r"targets\.eso\.site"):
        require_formats(formats, settings=paranal, sites=["salt"])
    require_formats(formats, settings=paranal, sites=["paranal"])
    both = windows_of(window, (window[0], "paranal", *window[2:]))
    with pytest.raises(SettingsError, match=r"several sites \(paranal, salt\): set targets\.eso\.site"):
        write(tmp_path, targets_of(1), *formats, windows=both)
    assert list(tmp_path.iterdir()) == []


def test_what_formats_need_is_asked_for_without_a_star():
    with pytest.raises(SettingsError, match="there is no format 'fax'"):
        require_formats(["eso", "fax"], settings=SETTINGS)
    with pytest.raises(SettingsError, match=r"targets\.fourmost"):
        require_formats(["4most"], settings=TargetSettings())


def test_lists_are_read_by_the_name_of_the_file(tmp_path):
    (path,) = write(tmp_path, targets_of(2), "salt")
    check_target_list(str(path), "salt")
    assert list(read_target_list(str(path), "salt")["id"]) == ["OGLE-LMC-ECL-00001", "OGLE-LMC-ECL-00002"]


def test_whole_windows_where_the_exposure_is_unknown(tmp_path):
    windows = windows_of(("OGLE-LMC-ECL-00001", "paranal", "2027-01-01 01:00:00.000", "2027-01-01 02:00:00.000"))
    (path,) = write(tmp_path, targets_of(1, exposure=np.nan), "eso", windows=windows)
    assert [tuple(row)[1:] for row in read_eso_windows(path)] == [("2027-01-01T01:00", "2027-01-01T02:00")]
    assert "exposure is unknown" in read_target_list(path, "eso")["note"][0]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spans=st.lists(st.tuples(st.integers(0, 86400), st.integers(1, 9000)), max_size=8), exposure=st.floats(0, 4000))
def test_time_constraints_never_overlap_and_lie_within_windows(tmp_path, spans, exposure):
    night = np.datetime64("2027-03-01T00:00:00")
    edges = [(night + np.timedelta64(a, "s"), night + np.timedelta64(a + b, "s")) for a, b in spans]
    rows = [("OGLE-LMC-ECL-00001", "paranal", str(a), str(b)) for a, b in edges]
    windows = windows_of(*rows) if rows else None
    path = write(tmp_path, targets_of(1, exposure=exposure), "eso", windows=windows)[0]
    check_target_list(path, "eso")
    for row in read_eso_windows(path):
        first, last = np.datetime64(row["start_utc"]), np.datetime64(row["end_utc"])
        for start in np.arange(first, last + np.timedelta64(1, "m"), np.timedelta64(1, "m")):
            end = start + np.timedelta64(round(exposure * 1000), "ms")
            assert any(a <= start and end <= b + np.timedelta64(1, "ms") for a, b in edges)


def test_constraints_are_those_of_the_settings_and_no_others(tmp_path):
    (path,) = write(tmp_path, targets_of(1), "eso")
    assert json.loads(path.read_text())["obsBlocks"][0]["constraints"] == {"name": "cbminer"}
    eso = EsoSettings(airmass=1.6, sky_transparency="Clear", moon_distance="30.2 deg", fli=0.7, twilight=0, seeing=1.2)
    (path,) = write(tmp_path, targets_of(1), "eso", settings=SETTINGS.model_copy(update={"eso": eso}))
    assert json.loads(path.read_text())["obsBlocks"][0]["constraints"] == {
        "name": "cbminer", "airmass": 1.6, "skyTransparency": "Clear", "seeing": 1.2, "moonDistance": 31, "fli": 0.7,
        "twilight": 0,
    }  # fmt: skip
    priorities = [
        block["userPriority"]
        for block in json.loads(write(tmp_path, targets_of(20), "eso")[0].read_text())["obsBlocks"]
    ]
    assert priorities == [1 + i // 2 for i in range(20)]


# Refusals


def test_simulated_stars_are_refused(tmp_path):
    targets = targets_of(3)
    targets["survey"] = ["ogle", "mock", "ogle"]
    with pytest.raises(SettingsError, match=r"1 of the targets, such as OGLE-LMC-ECL-00002, are simulated"):
        write(tmp_path, targets, "ds9")
    assert list(tmp_path.iterdir()) == []
    (path,) = write(tmp_path, targets, "eso", allow_simulated=True)
    assert json.loads(path.read_text())["simulated"] is True
    targets["V_mag"] = float_column([15.0, 15.0, np.nan], "mag")
    left = write(tmp_path, targets, "4most", allow_simulated=True)[1]
    assert QTable.read(left, format="ascii.ecsv").meta["warning"] == "SIMULATED stars, not observations"


def test_4most_asks_for_what_only_the_programme_knows(tmp_path):
    with pytest.raises(SettingsError, match=r"targets\.fourmost\.subsurvey, .*mag_type.*set them"):
        write(tmp_path, targets_of(3), "ds9", "4most", settings=TargetSettings())
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SettingsError, match=r"needs targets\.fourmost\.template: set"):
        write_fourmost(
            tmp_path / "a.fits", target_stars(targets_of(1)), settings=FOURMOST.model_copy(update={"template": None})
        )


def test_4most_has_the_columns_types_and_units_of_its_schema(tmp_path):
    fourmost = FOURMOST.model_copy(update={"E_VI_per_E_BV": 1.25, "classification": "STR", "mag_band": "I"})
    targets = targets_of(2, E_VI=[0.1, np.nan])
    (path,) = write(tmp_path, targets, "4most", settings=SETTINGS.model_copy(update={"fourmost": fourmost}))
    with fits.open(path, checksum=True) as parts:
        table = parts["TARGETS"]
        rules = load_schema("fourmost").column
        assert table.columns.names == [rule.name for rule in rules]
        assert [c.format.lstrip("0123456789") for c in table.columns] == [rule.fits_type for rule in rules]
        assert [c.unit or "" for c in table.columns] == [rule.unit for rule in rules]
        assert table.data["REDDENING"] == pytest.approx([0.08, np.nan], nan_ok=True)
        assert table.data["REDSHIFT_ESTIMATE"] == pytest.approx(262.0 / 299792.458)
        assert table.data["MAG"] == pytest.approx([15.2, 15.21])
        assert set(table.data["EPOCH"]) == {2000.0}
    (path,) = write(tmp_path, targets, "4most")
    with fits.open(path) as parts:
        assert "CLASSIFICATION" not in parts["TARGETS"].columns.names
        assert np.isnan(parts["TARGETS"].data["REDDENING"]).all()


def test_an_unknown_format(tmp_path):
    with pytest.raises(SettingsError, match=r"no format 'keck' of target lists: choose from eso, 4most, salt"):
        write(tmp_path, targets_of(1), "keck")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"id": ["A", "a"]}, "two targets are called a"),
        ({"id": ["A", "B,C"]}, "'B,C' cannot stand in a target list"),
        ({"id": ["A", ""]}, "'' cannot stand in a target list"),
        ({"RAJ2000": float_column([1.0, np.nan], "deg")}, "a position|no position"),
        ({"DEJ2000": float_column([1.0, -91.0], "deg")}, "no position"),
    ],
)
def test_targets_that_no_list_can_hold(tmp_path, change, match):
    targets = targets_of(2)
    if "id" in change:
        targets["id"] = np.array(["X" * 10] * 2)
    for name, column in change.items():
        targets[name] = column
    with pytest.raises(InputFormatError, match=match):
        write(tmp_path, targets, "ds9")


def test_a_table_without_a_column(tmp_path):
    targets = targets_of(2)
    targets.remove_column("rank")
    with pytest.raises(InputFormatError, match="no column rank"):
        write(tmp_path, targets, "ds9")
    with pytest.raises(InputFormatError, match="windows has no column site"):
        write(tmp_path, targets_of(1), "eso", windows=QTable({"id": ["a"], "start_utc": ["b"], "end_utc": ["c"]}))
    with pytest.raises(InputFormatError, match="write ISO dates"):
        write(tmp_path, targets_of(1), "eso", windows=windows_of(("a", "paranal", "tonight", "later")))


def test_names_are_never_cut(tmp_path):
    targets = targets_of(2)
    targets["id"] = [f"OGLE-LMC-ECL-0000000000000000000{i}" for i in (1, 2)]
    with pytest.raises(InputFormatError, match=r"row 1, Target Name: 'OGLE.*' has 33 characters and 30 are allowed"):
        write(tmp_path, targets, "apt")
    targets["id"] = ["A_1", "A_2"]
    with pytest.raises(InputFormatError, match=r"characters or a form that are not allowed: rename the star"):
        write(tmp_path, targets, "apt")
    assert list(tmp_path.iterdir()) == []
    targets["id"] = ["A" * 69, "B"]
    for name in ("salt", "gemini", "ds9"):
        with pytest.raises(InputFormatError, match="69 characters and 68 are allowed"):
            write(tmp_path, targets, name)
    with pytest.raises(InputFormatError, match="does not fit an observation block"):
        write(tmp_path, targets, "eso")


def faulty_csv(name, column, value):
    """Write a list of two stars, and put a value into the second."""

    def spoil(path):
        lines = path.read_text().splitlines()
        start = next(
            i for i, line in enumerate(lines) if line.lstrip("# ").startswith(("target name", "Name", "Target Name"))
        )
        header = lines[start].removeprefix("# ").split(",")
        cells = next(csv.reader([lines[start + 2]]))
        cells[header.index(column)] = value
        lines[start + 2] = ",".join(f'"{cell}"' for cell in cells)
        path.write_text("\n".join(lines) + "\n")
        return start + 3

    return name, column, spoil


CSV_FAULTS = [
    (*faulty_csv("salt", "target name", "OGLE-LMC-ECL-00001"), "stands in line 2 already: rename the star"),
    (*faulty_csv("salt", "target name", ""), "a value is needed: rename"),
    (*faulty_csv("salt", "target type", "Contact binary"), "is none of EB*"),
    (*faulty_csv("salt", "right ascension", "05:20:00"), "is no number: give it in degrees"),
    (*faulty_csv("salt", "right ascension", "361"), "361 is not between 0 and 360 deg"),
    (*faulty_csv("salt", "declination", "-80"), "-80 is not between -76 and 11 deg"),
    (*faulty_csv("salt", "equinox", "1950"), "1950 is not between 2000 and 2000"),
    (*faulty_csv("salt", "bandpass", "G"), "is none of U, B, V, R, I"),
    (*faulty_csv("salt", "minimum magnitude", "nan"), "is no number"),
    (*faulty_csv("salt", "maximum magnitude", "14"), "14 is less than the minimum magnitude of 15.01: exchange"),
    (*faulty_csv("salt", "maximum lunar phase", "101"), "101 is not between 0 and 100 per cent"),
    (*faulty_csv("salt", "ranking", "Top"), "is none of High, Medium, Low"),
    (*faulty_csv("salt", "ephemeris time base", "TDB"), "is none of BJD, HJD, JD"),
    (*faulty_csv("salt", "ephemeris T0", "56000.5"), "is not between 2.4e+06 and 2.5e+06 d: give the full Julian date"),
    (*faulty_csv("salt", "ephemeris period", ""), "it is empty while others of"),
    (*faulty_csv("gemini", "RAJ2000", "05:20:60.0"), "is no right ascension such as 05:28:31.560"),
    (*faulty_csv("gemini", "DECJ2000", "69:00:00"), "is no declination such as -69:30:00.00"),
    (*faulty_csv("gemini", "V", "bright"), "'bright' is no number: leave it empty"),
    (*faulty_csv("gemini", "V_unit", "AB"), "'AB' is none of Vega mag"),
    (*faulty_csv("gemini", "Name", "ogle-lmc-ecl-00001"), "already"),
    (*faulty_csv("apt", "Target Name", "HD 140283"), "not allowed: rename the star; APT knows"),
    (*faulty_csv("apt", "RA", "05:20:00"), "is no right ascension such as 05 28 31.560"),
    (*faulty_csv("apt", "DEC", "-69 00 61"), "is no declination"),
    (*faulty_csv("apt", "V-Magnitude", "99.999"), "99.999 is not between -5 and 35 mag"),
    (*faulty_csv("apt", "Other Fluxes", "F=3"), "write it such as I = 15.234"),
    (*faulty_csv("apt", "Reference Frame", "FK5"), "is none of ICRS: write ICRS"),
    (*faulty_csv("apt", "Category", "GALAXY"), "is none of STAR, EXT-STAR"),
]


@pytest.mark.parametrize(("name", "column", "spoil", "message"), CSV_FAULTS)
def test_a_broken_line_is_named(tmp_path, name, column, spoil, message):
    (path,) = write(tmp_path, targets_of(2), name)
    line = spoil(path)
    with pytest.raises(InputFormatError) as refused:
        check_target_list(path, name)
    assert f"{path}, line {line}, {column}: " in str(refused.value)
    assert message in str(refused.value)


@pytest.mark.parametrize("name", ["salt", "gemini", "apt"])
def test_lists_of_another_shape(tmp_path, name):
    (path,) = write(tmp_path, targets_of(2), name)
    whole = path.read_text()
    path.write_text(whole + "one,two\n")
    with pytest.raises(InputFormatError, match=r"line \d+: 2 cells stand under \d+ columns: add or remove commas"):
        check_target_list(path, name)
    path.write_text(whole + 'a,"b\n')
    with pytest.raises(InputFormatError, match="close its quotes"):
        check_target_list(path, name)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputFormatError, match=r"column '.*' of the format \(.*\) is missing: add it"):
        check_target_list(path, name)
    path.write_text("")
    with pytest.raises(InputFormatError, match="is missing"):
        check_target_list(path, name)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputFormatError, match="no UTF-8 text"):
        check_target_list(path, name)
    with pytest.raises(InputFormatError, match="cannot be read"):
        check_target_list(tmp_path / "absent", name)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("circle(80.1000000", "circle(80.1000000x", "line 7, RA: '80.1000000x' is no number: give degrees"),
        ("circle(80.1000000", "circle(380.1", "380.1 is not between 0 and 360 deg"),
        ('2.000")', '0")', "radius: 0 is not between 0.001 and 36000 arcsec: set targets.ds9.radius"),
        ("text={OGLE-LMC-ECL-00002}", "text={OGLE-LMC-ECL-00001}", "stands in line 6 already"),
        (" text={OGLE-LMC-ECL-00002}", "", "line 7, text: a value is needed"),
        ("color=#D55E00", "color=#D5", "name a colour"),
        ("circle(80.1", "box(80.1", "is no circle in degrees: write circle("),
        ("icrs\n", "image\n", "line 5: 'image' is no circle"),
        ("icrs\n", "", "no frame such as icrs stands above it"),
        ("# Region file format: DS9", "# Regions", "line 1: it does not begin with"),
    ],
)
def test_broken_regions(tmp_path, old, new, message):
    (path,) = write(tmp_path, targets_of(2), "ds9")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(InputFormatError) as refused:
        check_target_list(path, "ds9")
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (
            ("obsBlocks", 1, "target", "ra"),
            "25:00:00.000",
            "target.ra (block OGLE-LMC-ECL-00002): '25:00:00.000' is no",
        ),
        (
            ("obsBlocks", 1, "target", "dec"),
            -69.0,
            "target.dec (block OGLE-LMC-ECL-00002): Input should be a valid str",
        ),
        (("obsBlocks", 1, "target", "equinox"), "B1950", "Input should be 'J2000'"),
        (("obsBlocks", 1, "name"), "OGLE-LMC-ECL-00001", "two blocks are called OGLE-LMC-ECL-00001"),
        (("obsBlocks", 1, "name"), "x" * 69, "at most 68 characters"),
        (("obsBlocks", 1, "userPriority"), 0, "greater than or equal to 1"),
        (("obsBlocks", 1, "constraints", "airmass"), 0.5, "constraints.airmass (block OGLE-LMC-ECL-00002)"),
        (("obsBlocks", 1, "constraints", "skyTransparency"), "cloudy", "'Photometric', 'Clear'"),
        (("obsBlocks", 1, "surprise"), 1, "surprise (block OGLE-LMC-ECL-00002): Extra inputs are not permitted"),
        (("obsBlocks", 1, "absoluteTimeConstraints", 0, "from"), "2027-01-09T00:00", "is not earlier than to"),
        (("obsBlocks", 1, "absoluteTimeConstraints", 0, "from"), "tomorrow", "should match pattern"),
        (("obsBlocks", 1, "absoluteTimeConstraints", 0, "to"), "2027-13-01T00:00", "time data '2027-13-01T00:00'"),
        (("obsBlocks", 1, "absoluteTimeConstraints", 0, "to"), "2027-01-02T02:00", "overlap or touch"),
        (("format",), "something", "format: Input should be 'ESO Phase 2 observation blocks'"),
    ],
)
def test_broken_blocks(tmp_path, keys, value, message):
    star = "OGLE-LMC-ECL-00002"
    names = ("OGLE-LMC-ECL-00001", star, star)
    windows = windows_of(
        *(
            (name, "paranal", f"2027-01-0{d}T01:00", f"2027-01-0{d}T03:00")
            for name, d in zip(names, (1, 1, 2), strict=True)
        )
    )
    path = write(tmp_path, targets_of(2), "eso", windows=windows)[0]
    content = json.loads(path.read_text())
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path.write_text(json.dumps(content))
    with pytest.raises(InputFormatError) as refused:
        check_target_list(path, "eso")
    assert str(refused.value).startswith(str(path))
    assert message in str(refused.value)
    assert "correct it, or write the list again" in str(refused.value)


def test_a_file_that_is_no_json(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"format": ')
    with pytest.raises(InputFormatError, match=r"is no JSON .*line 1 column 12"):
        check_target_list(path, "eso")
    path.write_text("[" * 100_000)
    with pytest.raises(InputFormatError, match="cannot be read"):
        check_target_list(path, "eso")
    with pytest.raises(InputFormatError, match="cannot be read"):
        check_target_list(tmp_path / "absent.json", "eso")


def spoil_fits(path, change):
    with fits.open(path) as parts:
        table = QTable.read(parts["TARGETS"])
    # The checksum is that of the file before.
    table.meta.clear()
    table["NAME"] = table["NAME"].astype(str)
    table = change(table) or table
    table.write(path, format="fits", overwrite=True)


@pytest.mark.parametrize(
    ("column", "data", "message"),
    [
        ("RA", [80.0, 360.0] * u.deg, "row 2, RA: 360 is not between 0 and 360 deg: give degrees from 0 to below 360"),
        ("DEC", [-69.0, 41.0] * u.deg, "row 2, DEC: 41 is not between -90 and 40 deg: leave the star out, 4MOST"),
        ("NAME", ["A", "a"], "row 2, NAME: 'a' stands in row 1 already"),
        ("NAME", ["A", "b c"], "not allowed: rename the star"),
        ("RESOLUTION", np.array([1, 3], dtype="i2"), "RESOLUTION: 3 is not between 1 and 2"),
        ("RULESET", ["R", "1R"], "RULESET: '1R' has characters or a form that are not allowed"),
        ("MAG", np.array([15, np.nan], dtype="f4") * u.mag, "row 2, MAG: a value is needed: leave the star out"),
        ("EXTENT_FLAG", np.array([0, 2], dtype="i2"), "write 0: stars are points"),
        ("RA", np.array([80, 81], dtype="f4") * u.deg, "column RA: its type is E: make it D"),
        ("EPOCH", np.array([2000, 2000], dtype="f4"), "column EPOCH: its unit is missing: write TUNIT = 'yr'"),
        ("RA", np.array([80.0, 81.0]) * u.arcmin, "column RA: its unit is arcmin: write TUNIT = 'deg'"),
        ("PMRA", None, "column 'PMRA' of the format (4MOST target catalogue, FITS) is missing: add it"),
    ],
)
def test_broken_catalogues(tmp_path, column, data, message):
    (path,) = write(tmp_path, targets_of(2), "4most")

    def change(table):
        if data is None:
            table.remove_column(column)
        else:
            table[column] = data

    spoil_fits(path, change)
    with pytest.raises(InputFormatError) as refused:
        check_target_list(path, "4most")
    assert f"{path}" in str(refused.value)
    assert message in str(refused.value)


@pytest.mark.parametrize("name", ["4most", pytest.param("moc", marks=needs_mocpy)])
def test_fits_files_that_are_cut_or_none(tmp_path, name):
    (path,) = write(tmp_path, targets_of(40), name)
    whole = path.read_bytes()
    for part in (b"", b"no FITS", whole[:2880], whole[:4000], whole[: len(whole) - 2880]):
        path.write_bytes(part)
        with pytest.raises(InputFormatError, match=str(path)):
            check_target_list(path, name)
    with pytest.raises(InputFormatError):
        check_target_list(tmp_path / "absent.fits", name)


def test_a_changed_byte_of_a_catalogue(tmp_path):
    (path,) = write(tmp_path, targets_of(40), "4most")
    whole = bytearray(path.read_bytes())
    # The first right ascension: after two headers and a name.
    whole[-2880 * 2 + 20] ^= 1
    path.write_bytes(bytes(whole))
    with pytest.raises(InputFormatError, match=r"[Cc]hecksum"):
        check_target_list(path, "4most")


@needs_mocpy
def test_an_empty_footprint(tmp_path):
    from mocpy import MOC

    path = tmp_path / "empty.fits"
    MOC.new_empty(10).save(path, format="fits")
    with pytest.raises(InputFormatError, match="covers nothing"):
        check_target_list(path, "moc")
    assert len(read_target_list(path, "moc")) == 0


@pytest.mark.parametrize("name", ["eso", "salt", "gemini", "apt", "ds9"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_read_or_refused(tmp_path, name, data):
    """Whatever happens to a file, it is read or refused with an error of ours, never with another one."""
    path = tmp_path / NAMES[name]
    whole = write(tmp_path, targets_of(3), name)[0].read_text()
    start = data.draw(st.integers(0, len(whole)))
    end = min(start + data.draw(st.integers(0, 40)), len(whole))
    path.write_text(whole[:start] + data.draw(st.text(max_size=12)) + whole[end:], encoding="utf-8", errors="replace")
    try:
        check_target_list(path, name)
    except CbminerError as error:
        message = str(error)
    else:
        message = f"{path}: {len(read_target_list(path, name))} stars"
    assert str(path) in message


def test_without_mocpy_the_other_lists_are_written(tmp_path):
    code = (
        "import sys; sys.modules['mocpy'] = None\n"
        "from cbminer.followup.target_formats.moc import require_mocpy\n"
        "from cbminer.followup.targets import FORMATS\n"
        "try: require_mocpy()\n"
        "except Exception as error: print(type(error).__name__, error, FORMATS)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith('SettingsError mocpy is not installed: pip install "cbminer[observe]"')


def test_settings_of_targets_are_written_and_read(tmp_path):
    path = tmp_path / "my.toml"
    path.write_text(settings_to_toml(load_settings()))
    assert load_settings(path).targets == TargetSettings()
    path.write_text("[targets.fourmost]\nresolution = 3\n")
    with pytest.raises(SettingsError, match=r"line 2: targets\.fourmost\.resolution"):
        load_settings(path)
    path.write_text('[targets.fourmost]\nsubsurvey = "two words"\n')
    with pytest.raises(SettingsError, match=r"line 2: targets\.fourmost\.subsurvey"):
        load_settings(path)


def test_stars_of_a_run_are_targets():
    stars = target_stars(table_of(3))
    assert [star.rank for star in stars] == [1, 2, 3]
    assert all(np.isnan(star.exposure) for star in stars)
    assert label_column(table_of(3), "id").tolist() == [star.id for star in stars]


def test_schemas_name_their_documents():
    for name in ("salt", "gemini", "apt", "ds9", "fourmost"):
        schema = load_schema(name)
        assert len(schema.source) > 30
        assert len(schema.unverified) > 30
        assert len(set(schema.names)) == len(schema.names)
