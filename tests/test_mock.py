"""The mock survey: its layout, its determinism, its safety and the plausibility of its stars."""

import json
import os
import re
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table

from cbminer.columns import values
from cbminer.errors import ArchiveError, SettingsError
from cbminer.survey import mock
from cbminer.survey.mock import (
    MOCK_MARKER,
    TRUTH_FILE,
    MockCloud,
    MockMixture,
    MockSettings,
    build_mock_archive,
)
from cbminer.survey.mock_population import draw_star
from cbminer.survey.ogle import read_catalogue
from cbminer.survey.photometry_file import read_light_curve
from cbminer.synthetic.cadence import observe, observing_times, photometric_error
from cbminer.synthetic.geometry import lobe_radius
from cbminer.synthetic.main_sequence import orbital_period
from cbminer.synthetic.population import KINDS, draw_system
from cbminer.synthetic.shapes import EclipsingShape, measure_shape, roche_shape
from cbminer.synthetic.systems import BinarySystems

LMC = MockCloud("LMC", 60, 18.477, 0.0, 0.100, 0.043)
SMC = MockCloud("SMC", 25, 18.977, 0.12, 0.047, 0.025)
SEED = 11
SETTINGS = MockSettings(seasons=2)


def only(kind: str) -> MockMixture:
    return MockMixture(**{name: float(name == kind) for name in MockMixture.model_fields})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="ascii").splitlines()


def truth(folder: Path) -> Table:
    return Table.read(folder / TRUTH_FILE, format="ascii.ecsv")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("mock") / "archive"
    return build_mock_archive(place, [LMC, SMC], settings=SETTINGS, seed=SEED)


def build(place: Path, *, seed: int = SEED, n_stars: int = 12, **changes: object) -> Path:
    cloud = MockCloud("LMC", n_stars, 18.477, 0.0, 0.100, 0.043)
    settings = SETTINGS.model_copy(update=changes)
    return build_mock_archive(place, [cloud], settings=settings, seed=seed)


# Layout


def test_ident_has_every_column_at_its_bytes(archive: Path) -> None:
    for line in lines(archive / "lmc/ecl/ident.dat"):
        assert len(line) == 150
        assert re.fullmatch(r"MOCK-LMC-ECL-\d{5}", line[0:18])
        assert line[20:23].strip() in {"C", "NC", "ELL", "CV"}
        assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d\d", line[24:35])
        assert re.fullmatch(r"-\d\d:\d\d:\d\d\.\d", line[36:47])
        gaps = [line[18:20], line[23], line[35], line[47:49], line[65], line[81], line[97]]
        assert not "".join(gaps).strip()


@pytest.mark.parametrize("name", ["ecl.dat", "ell.dat"])
def test_parameters_have_every_column_at_its_bytes(archive: Path, name: str) -> None:
    fields = [(20, 26, 3), (27, 33, 3), (34, 46, 7), (48, 60, 4), (61, 67, 3), (68, 73, 3)]
    for line in lines(archive / "lmc/ecl" / name):
        assert len(line) == 73
        for first, last, decimals in fields:
            word = line[first:last].strip()
            assert word == "-" or re.fullmatch(rf"\d+\.\d{{{decimals}}}", word)
        assert not (line[18:20] + line[26] + line[33] + line[46:48] + line[60] + line[67]).strip()


def test_ellipsoidal_stars_and_no_others_are_in_ell_dat(archive: Path) -> None:
    labels = {line[:18]: line[20:23].strip() for line in lines(archive / "lmc/ecl/ident.dat")}
    in_ell = {line[:18] for line in lines(archive / "lmc/ecl/ell.dat")}
    assert in_ell == {star for star, label in labels.items() if label == "ELL"}
    assert in_ell


def test_light_curves_have_the_native_format_and_full_dates_in_order(archive: Path) -> None:
    for band in ("I", "V"):
        for path in (archive / "lmc/ecl/phot" / band).iterdir():
            text = lines(path)
            assert all(re.fullmatch(r"245\d{4}\.\d{5} [ \d]\d\.\d{3} \d\.\d{3}", line) for line in text)
            times = [float(line[:13]) for line in text]
            assert times == sorted(times)


def test_remarks_name_stars_of_the_catalogue(archive: Path) -> None:
    stars = {line[:18] for line in lines(archive / "lmc/ecl/ident.dat")}
    remarks = lines(archive / "lmc/ecl/remarks.txt")
    assert remarks
    assert all(line[:18] in stars and line[18:].strip() for line in remarks)


@pytest.mark.parametrize(("cloud", "count"), [("LMC", 60), ("SMC", 25)])
def test_the_ogle_reader_takes_every_line_strictly(archive: Path, cloud: str, count: int) -> None:
    folder = archive / cloud.lower() / "ecl"
    reading = read_catalogue(folder, cloud, strict=True)
    assert len(reading.stars) == count
    assert reading.set_aside == []
    curves = sorted((folder / "phot/I").iterdir())
    assert all(len(read_light_curve(path, strict=True)) >= 20 for path in curves)


def test_the_reader_gets_back_the_true_positions_and_magnitudes(archive: Path) -> None:
    stars = read_catalogue(archive / "lmc/ecl", "LMC", strict=True).stars
    known = truth(archive)[:60]
    assert list(stars["id"]) == list(known["id"])
    assert np.allclose(values(stars, "RAJ2000", "deg"), known["RAJ2000"], atol=5e-5)
    assert np.allclose(values(stars, "DEJ2000", "deg"), known["DEJ2000"], atol=5e-5)
    assert np.allclose(values(stars, "I_mag", "mag"), known["I_mag"], atol=0.05)


# Marks


def test_every_folder_says_in_a_sentence_that_it_is_simulated(archive: Path) -> None:
    for folder in (archive, archive / "lmc/ecl", archive / "smc/ecl"):
        text = (folder / MOCK_MARKER).read_text(encoding="utf-8")
        assert text.startswith("Simulated stars")
        assert f"seed {SEED}" in text
    assert "SIMULATED" in (archive / "lmc/ecl/README").read_text(encoding="utf-8")


def test_the_marker_holds_a_recipe_for_machines(archive: Path) -> None:
    line = lines(archive / MOCK_MARKER)[-1]
    recipe = json.loads(line.removeprefix("recipe: "))
    assert recipe["seed"] == SEED
    assert recipe["generator"] == mock.GENERATOR_VERSION
    assert [cloud["name"] for cloud in recipe["clouds"]] == ["LMC", "SMC"]
    assert recipe["settings"]["seasons"] == 2


def test_no_star_is_named_as_if_ogle_had_seen_it(archive: Path) -> None:
    texts = [path.read_text(encoding="ascii") for path in archive.rglob("*.dat")]
    assert not any("OGLE" in text for text in texts)


# Determinism


def test_the_same_seed_gives_the_same_bytes_in_any_order_of_clouds(archive: Path, tmp_path: Path) -> None:
    again = build_mock_archive(tmp_path / "again", [SMC, LMC], settings=SETTINGS, seed=SEED)
    assert contents(again) == contents(archive)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_do_not_change_a_byte(archive: Path, tmp_path: Path, monkeypatch, threads: int) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: threads)
    again = build_mock_archive(tmp_path / "again", [LMC, SMC], settings=SETTINGS, seed=SEED)
    assert contents(again) == contents(archive)


def test_another_seed_gives_other_stars(tmp_path: Path) -> None:
    one = contents(build(tmp_path / "one", seed=1))
    two = contents(build(tmp_path / "two", seed=2))
    assert one["lmc/ecl/ecl.dat"] != two["lmc/ecl/ecl.dat"]


def test_one_cloud_alone_is_the_same_as_with_the_other(archive: Path, tmp_path: Path) -> None:
    alone = build_mock_archive(tmp_path / "alone", [LMC], settings=SETTINGS, seed=SEED)
    assert contents(alone / "lmc") == contents(archive / "lmc")


def test_stars_do_not_change_when_the_survey_grows(archive: Path, tmp_path: Path) -> None:
    small = build(tmp_path / "small", n_stars=12)
    assert lines(small / "lmc/ecl/ident.dat") == lines(archive / "lmc/ecl/ident.dat")[:12]
    whole = contents(archive / "lmc/ecl/phot")
    assert all(whole[name] == data for name, data in contents(small / "lmc/ecl/phot").items())


# Writing, reusing, replacing


def test_an_archive_of_the_same_recipe_is_reused(tmp_path: Path) -> None:
    place = build(tmp_path / "archive")
    (place / "left here").touch()
    assert build(place) == place
    assert (place / "left here").exists()


@pytest.mark.parametrize("changes", [{"seed": SEED + 1}, {"n_stars": 13}, {"without_V": 0.5}])
def test_an_archive_of_another_recipe_is_replaced(tmp_path: Path, changes: dict[str, float]) -> None:
    place = build(tmp_path / "archive")
    (place / "left here").touch()
    build(place, **changes)  # type: ignore[arg-type]
    assert not (place / "left here").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["archive"]


def test_a_folder_that_is_no_mock_archive_is_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "mine"
    place.mkdir()
    (place / "thesis.tex").write_text("years of work")
    with pytest.raises(ArchiveError, match=r"mine holds no mock survey \(no MOCK.txt\) .* --cache"):
        build(place)
    assert contents(place) == {"thesis.tex": b"years of work"}


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert (build(tmp_path / "empty") / MOCK_MARKER).exists()


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArchiveError, match=r"cannot be written to .*archive \(.*\): choose a place with --cache"):
        build(tmp_path / "file" / "archive")


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> type[BaseException]:
    def draw_a_few(cloud: MockCloud, number: int, *, settings: MockSettings, seed: int) -> object:
        if number == 5:
            raise KeyboardInterrupt
        return draw_star(cloud, number, settings=settings, seed=seed)

    monkeypatch.setattr(mock, "draw_star", draw_a_few)
    return KeyboardInterrupt


def test_an_interrupted_build_leaves_nothing_behind(tmp_path: Path, interrupted: type[BaseException]) -> None:
    with pytest.raises(interrupted):
        build(tmp_path / "archive")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_replacement_leaves_the_old_archive_whole(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    before = contents(build(tmp_path / "archive"))
    interruption = request.getfixturevalue("interrupted")
    with pytest.raises(interruption):
        build(tmp_path / "archive", seed=SEED + 1)
    assert contents(tmp_path / "archive") == before
    assert [path.name for path in tmp_path.iterdir()] == ["archive"]


def test_a_full_disk_is_one_error_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device", str(path), None, text[:1])

    monkeypatch.setattr(mock, "_write", fail)
    with pytest.raises(ArchiveError, match="No space left on device"):
        build(tmp_path / "archive")
    assert list(tmp_path.iterdir()) == []


# Settings


def test_a_mixture_of_nothing_is_refused() -> None:
    nothing = dict.fromkeys(MockMixture.model_fields, 0.0)
    with pytest.raises(ValueError, match="all weights are zero"):
        MockMixture(**nothing)


def test_kinds_and_weights_have_the_same_names() -> None:
    assert tuple(MockMixture.model_fields) == KINDS


@pytest.mark.parametrize("changes", [{"smallest_amplitude": 5.0}, {"faintest_I": 13.0}])
def test_a_range_without_stars_is_an_error_that_says_what_to_widen(tmp_path: Path, changes: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="widen brightest_I, faintest_I or smallest_amplitude"):
        build(tmp_path / "archive", n_stars=1, mixture=only("spotted"), **changes)


@pytest.mark.parametrize(
    ("setting", "expected"), [("without_V", "-"), ("without_T0", "-"), ("without_light_curve", "")]
)
def test_shares_of_missing_things_can_be_set_to_all(tmp_path: Path, setting: str, expected: str) -> None:
    changes = {setting: 1.0, "mixture": only("detached")}
    folder = build(tmp_path / "archive", **changes) / "lmc/ecl"  # type: ignore[arg-type]
    columns = {"without_V": slice(27, 33), "without_T0": slice(48, 60)}
    found = {line[columns[setting]].strip() for line in lines(folder / "ecl.dat")} if expected else set()
    assert found == ({expected} if expected else set())
    assert bool(list((folder / "phot/V").iterdir())) == (setting == "without_T0")
    assert bool(list((folder / "phot/I").iterdir())) == (setting != "without_light_curve")


def test_short_light_curves_have_20_to_60_points(tmp_path: Path) -> None:
    place = build(tmp_path / "archive", short_light_curve=1.0, without_light_curve=0.0)
    n_points = truth(place)["n_I"]
    assert n_points.min() >= 20
    assert n_points.max() <= 60


# The stars


def test_the_truth_has_a_row_a_star_with_units_and_descriptions(archive: Path) -> None:
    table = truth(archive)
    assert len(table) == 85
    assert table.meta["survey"] == "mock"
    assert set(table["survey"]) == {"mock"}
    expected = {"RAJ2000": "deg", "period": "d", "M_V": "mag", "mass_1": "solMass", "radius_1": "solRad"}
    assert all(table[name].unit == u.Unit(unit) for name, unit in expected.items())
    assert table["teff_1"].unit == u.K
    assert all(table[name].description for name in table.colnames)


def test_the_truth_counts_the_points_that_were_written(archive: Path) -> None:
    for row in truth(archive):
        for band in ("I", "V"):
            path = archive / row["galaxy"].lower() / "ecl/phot" / band / f"{row['id']}.dat"
            assert (len(lines(path)) if path.exists() else 0) == row[f"n_{band}"]


def test_magnitudes_and_colours_are_those_of_the_clouds(archive: Path) -> None:
    table = truth(archive)
    assert table["I_mag"].min() > 13.0
    assert table["I_mag"].max() < 20.5
    assert (table["E_VI"] >= 0).all()
    hot = table[(table["kind"] == "detached") | (table["kind"] == "near_contact")]
    assert hot["VI0"].min() > -0.45
    assert hot["VI0"].max() < 0.1
    assert np.allclose(hot["V_mag"] - hot["I_mag"], hot["VI0"] + hot["E_VI"], atol=2e-4)
    assert np.allclose(hot["V_mag"], hot["M_V"] + hot["distance_modulus"] + 2.5 * hot["E_VI"], atol=3e-4)


def test_contact_binaries_overfill_and_near_contact_ones_nearly_fill_their_lobes(archive: Path) -> None:
    table = truth(archive)
    for kind, lowest, highest in (("contact", 1.0, 1.2), ("near_contact", 0.85, 1.0)):
        chosen = table[(table["kind"] == kind) & ~table["foreground"]]
        for star in ("1", "2"):
            filling = np.asarray(chosen[f"lobe_filling_{star}"])
            assert filling.min() > lowest - 1e-3
            assert filling.max() < highest + 1e-3


def test_periods_obey_kepler(archive: Path) -> None:
    table = truth(archive)
    pairs = table[table["kind"] == "near_contact"]
    # R2 / R_L2 = R1 / R_L1 gives the separation by another way than the generator takes.
    lobe = lobe_radius(1 / np.asarray(pairs["mass_ratio"]))
    separation = np.asarray(pairs["radius_2"]) / (np.asarray(pairs["lobe_filling_2"]) * lobe)
    total = np.asarray(pairs["mass_1"]) + np.asarray(pairs["mass_2"])
    assert np.allclose(separation, pairs["separation"], rtol=1e-3)
    assert np.allclose(orbital_period(separation, total), pairs["period"], rtol=2e-3)


def test_the_engine_makes_every_circular_binary_and_nothing_else(archive: Path) -> None:
    table = truth(archive)
    circular = table["eccentricity"].filled(1.0) == 0.0
    assert list(table["light_curve"] == "Roche engine") == list(circular)
    assert np.array_equal(table["light_curve"] == "two spheres", table["eccentricity"].filled(0.0) > 0.0)
    assert table["periastron"].mask.tolist() == (table["light_curve"] != "two spheres").tolist()


def of_truth(row: Table.Row) -> BinarySystems:
    """Make a binary of what the truth says, as somebody would who fits its light curve."""
    envelopes = {
        "gravity_darkening": 1.0 if row["teff_1"] > 7200 else 0.32,
        "albedo": 1.0 if row["teff_1"] > 7200 else 0.5,
    }
    if row["fillout"] is not np.ma.masked:
        return BinarySystems.contact(
            row["mass_ratio"], row["inclination"], fillout_factor=row["fillout"], teff_1=row["teff_1"], **envelopes
        )
    return BinarySystems.detached(
        row["mass_ratio"],
        row["inclination"],
        lobe_filling_1=row["lobe_filling_1"],
        lobe_filling_2=row["lobe_filling_2"],
        teff_1=row["teff_1"],
        teff_2=row["teff_2"],
        **envelopes,
    )


def test_the_truth_gives_the_light_curves_of_the_engine_back(archive: Path) -> None:
    table = truth(archive)
    warm = (table["teff_1"].filled(0) > 7200) == (table["teff_2"].filled(0) > 7200)
    rows = table[(table["light_curve"] == "Roche engine") & warm]
    assert {"contact", "near_contact", "semi_detached", "detached", "ellipsoidal"} == set(rows["kind"])
    for row in rows:
        figures = measure_shape(roche_shape(of_truth(row)))
        listed = [row["amplitude"], row["depth1"], row["depth2"]]
        assert [figures.amplitude, figures.depth1, figures.depth2] == pytest.approx(listed, abs=1e-3), row["id"]


def test_contact_light_curves_fold_to_equal_minima(tmp_path: Path) -> None:
    place = build(tmp_path / "archive", mixture=only("contact"), n_stars=20, without_light_curve=0.0)
    table = truth(place)
    twins = table[(table["mass_ratio"] > 0.75) & (table["n_I"] > 150) & (table["depth1"] > 0.1)]
    assert len(twins) >= 3
    for row in twins:
        points = np.loadtxt(place / "lmc/ecl/phot/I" / f"{row['id']}.dat")
        phase = np.mod((points[:, 0] - row["T0"]) / row["period"] + 0.25, 1.0) - 0.25
        first = np.median(points[np.abs(phase) < 0.05, 1])
        second = np.median(points[np.abs(phase - 0.5) < 0.05, 1])
        noise = float(photometric_error(np.array(row["I_mag"] + row["depth1"])))
        assert abs(first - second) < 0.1 * row["depth1"] + 1.5 * noise
        assert first - np.median(points[np.abs(phase - 0.25) < 0.05, 1]) > 0.7 * row["depth1"]


def test_pulsators_are_listed_at_twice_their_period(tmp_path: Path) -> None:
    place = build(tmp_path / "archive", mixture=only("pulsator_double_period"))
    assert np.allclose(truth(place)["period_ratio"], 2.0, rtol=1e-3)


def test_wrong_periods_are_half_or_double_and_the_truth_says_so(tmp_path: Path) -> None:
    place = build(tmp_path / "archive", mixture=only("near_contact"), wrong_period=1.0, n_stars=20)
    assert set(np.round(truth(place)["period_ratio"], 2)) == {0.5, 2.0}


def test_ellipsoidal_stars_do_not_eclipse() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        system = draw_system("ellipsoidal", rng)
        size = (system.radius_1 + system.radius_2) / system.separation
        assert np.cos(system.inclination) >= size - 1e-9


def test_cool_stars_have_convective_and_hot_ones_radiative_envelopes() -> None:
    rng = np.random.default_rng(3)
    systems = [draw_system(kind, rng) for kind in ("contact", "semi_detached", "ellipsoidal") for _ in range(40)]
    assert min(system.teff_2 for system in systems) < 7200 < min(system.teff_1 for system in systems[40:80])
    for system in systems:
        binary = system.binary
        for teff, gravity, albedo in (
            (system.teff_1, binary.gravity_darkening_1, binary.albedo_1),
            (system.teff_2, binary.gravity_darkening_2, binary.albedo_2),
        ):
            assert (gravity[0], albedo[0]) == ((0.32, 0.5) if teff < 7200 else (1.0, 1.0))


def test_contact_binaries_have_one_temperature_law_and_the_sizes_of_their_fillout() -> None:
    rng = np.random.default_rng(4)
    for _ in range(40):
        system = draw_system("contact", rng)
        assert np.isnan(system.binary.teff_2)
        assert system.binary.is_contact
        # Volumes divided at the neck: the less massive star overfills its lobe by more.
        assert 1.0 < system.lobe_filling_1 <= system.lobe_filling_2 < 1.2
        if not system.foreground:
            lobes = lobe_radius([system.mass_ratio, 1 / system.mass_ratio]) * system.separation
            assert system.radius_1 == pytest.approx(system.lobe_filling_1 * lobes[0])
            assert system.radius_2 == pytest.approx(system.lobe_filling_2 * lobes[1])


def test_only_eccentric_binaries_are_spheres() -> None:
    rng = np.random.default_rng(6)
    systems = [draw_system("detached", rng) for _ in range(60)]
    assert {system.eccentricity > 0 for system in systems} == {True, False}
    assert all(isinstance(system.given_shape, EclipsingShape) == (system.eccentricity > 0) for system in systems)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_finite_light_that_varies(kind: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(10):
        system = draw_system(kind, rng)
        mag = system.shape.relative_magnitude(np.linspace(0, 30, 501), "V")
        assert np.all(np.isfinite(mag))
        assert mag.min() > -0.02
        assert np.ptp(mag) > 0
        assert np.isfinite([system.period, system.M_I, system.VI0]).all()


# Cadence and noise


def test_the_noise_model_is_that_of_the_survey() -> None:
    mags = np.array([14.0, 16.0, 17.5, 18.5, 19.7, 20.5])
    expected = [0.005, 0.005, 0.010, 0.020, 0.050, 0.100]
    assert np.allclose(photometric_error(mags), expected)
    assert photometric_error(np.array(21.3)) > 0.15


@pytest.mark.parametrize("mag", [15.0, 17.5, 19.7])
def test_points_scatter_as_the_noise_model_and_their_errors_say(mag: float) -> None:
    flat = np.full(20000, mag)
    points = observe(flat, flat, outliers=0.0, rng=np.random.default_rng(5))
    expected = float(photometric_error(np.array(mag)))
    robust = 1.4826 * np.median(np.abs(points.mag - mag))
    assert robust == pytest.approx(expected, rel=0.05)
    assert np.std((points.mag - mag) / points.mag_err) == pytest.approx(1.0, abs=0.06)


def test_outliers_are_as_many_as_asked_for() -> None:
    flat = np.full(20000, 15.0)
    points = observe(flat, flat, outliers=0.01, rng=np.random.default_rng(5))
    far = np.abs(points.mag - 15.0) > 6 * points.mag_err
    assert 0.006 < far.mean() < 0.011


@pytest.mark.parametrize(("cloud", "month"), [("LMC", 12), ("SMC", 10)])
def test_visits_come_in_seasons_around_midnight_culmination(cloud: str, month: int) -> None:
    times = observing_times(cloud, 5, np.random.default_rng(2))
    assert 300 <= len(times) <= 700
    steps = np.diff(times)
    assert (steps > 90).sum() == 4
    assert 0.9 < np.median(steps) < 3.2
    middle = np.median(times[times < times[0] + 270])
    # 2455197.5 is the beginning of 2010.
    assert abs((middle - 2455197.5) / 30.44 + 0.5 - month) < 1.5


def test_visits_are_made_at_night_in_chile() -> None:
    times = observing_times("LMC", 5, np.random.default_rng(2))
    assert np.all(np.abs(np.mod(times, 1.0) - 0.7) < 0.21)
