"""The mock survey: its layout, its determinism, its safety and the plausibility of its stars."""

import json
import os
import re
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

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
from cbminer.synthetic.population import KINDS, draw_system
from cbminer.synthetic.shapes import (
    EclipsingShape,
    FourierShape,
    LightCurveShape,
    SawtoothShape,
    contact_shape,
    measure_shape,
    near_contact_shape,
)

LMC = MockCloud("LMC", 60, 18.477, 0.0, 0.100, 0.043)
SMC = MockCloud("SMC", 25, 18.977, 0.12, 0.047, 0.025)
SEED = 11
SETTINGS = MockSettings(seasons=2)
SHARED = Path(os.environ.get("CBMINER_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
PHOEBE = SHARED / "phoebe_ew_grid_dev.json"
CYCLE = np.linspace(0.0, 1.0, 401)


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


def test_a_range_without_stars_is_an_error_that_says_what_to_widen(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="widen brightest_I, faintest_I or smallest_amplitude"):
        build(tmp_path / "archive", n_stars=1, smallest_amplitude=5.0)


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
    q = np.asarray(pairs["mass_ratio"])
    lobe = 0.49 * q ** (2 / 3) / (0.6 * q ** (2 / 3) + np.log(1 + q ** (1 / 3)))
    separation = np.asarray(pairs["radius_2"]) / (np.asarray(pairs["lobe_filling_2"]) * lobe)
    total = np.asarray(pairs["mass_1"]) + np.asarray(pairs["mass_2"])
    period = 365.25 * np.sqrt((separation / 215.03) ** 3 / total)
    assert np.allclose(period, pairs["period"], rtol=2e-3)


def test_contact_light_curves_fold_to_equal_minima(tmp_path: Path) -> None:
    place = build(tmp_path / "archive", mixture=only("contact"), n_stars=20, without_light_curve=0.0)
    table = truth(place)
    twins = table[(table["mass_ratio"].filled(0) > 0.75) & (table["n_I"] > 150) & (table["depth1"] > 0.1)]
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


# Light-curve shapes


def _w(mag: np.ndarray) -> float:
    flux = 10.0 ** (-0.4 * mag[:-1])
    a2, a4 = (2 * np.mean(flux * np.cos(2 * np.pi * k * CYCLE[:-1])) for k in (2, 4))
    return float(a4 - a2 * (0.125 - a2))


@pytest.mark.skipif(not PHOEBE.exists(), reason=f"no PHOEBE figures at {PHOEBE}")
@pytest.mark.parametrize(("letter", "make"), [("C", contact_shape), ("D", near_contact_shape)])
def test_shapes_have_the_depths_and_w_of_phoebe_curves(letter: str, make: object) -> None:
    curves = json.loads(PHOEBE.read_text(encoding="utf-8"))["curves"]
    errors = []
    for name, figures in curves.items():
        if not name.startswith(letter):
            continue
        q, x, i = (float(text) for text in re.findall(r"=([\d.]+)", name))
        mag = make(q, x, np.radians(i)).relative_magnitude(CYCLE, "I")  # type: ignore[operator]
        errors.append([mag[0] - figures["d1"], mag[200] - figures["d2"], _w(mag) - figures["W"]])
    d1, d2, w = np.sqrt(np.mean(np.square(errors), axis=0))
    assert max(d1, d2) < 0.02
    assert w < 0.003


def test_twins_in_a_central_eclipse_lose_half_their_light() -> None:
    twins = EclipsingShape(0.05, 0.05, 2e4, 2e4, 1.0, np.pi / 2)
    figures = measure_shape(twins)
    assert figures.depth1 == pytest.approx(2.5 * np.log10(2), abs=2e-3)
    assert figures.depth2 == pytest.approx(figures.depth1, abs=1e-9)
    assert figures.primary_cycle == 0.0


def test_the_eclipse_of_the_hotter_star_is_deeper_and_more_so_in_v() -> None:
    pair = EclipsingShape(0.15, 0.15, 2e4, 1e4, 0.5, np.pi / 2)
    depth = {band: pair.relative_magnitude(np.array([0.0, 0.5]), band) for band in ("I", "V")}
    assert depth["I"][0] > depth["I"][1]
    assert depth["V"][0] > depth["I"][0]


def test_an_annular_eclipse_is_deeper_where_the_disc_is_brighter() -> None:
    small, large = 0.02, 0.2
    flat = EclipsingShape(large, small, 2e4, 3e3, 0.1, np.pi / 2, limb_darkening=0.0)
    dark = EclipsingShape(large, small, 2e4, 3e3, 0.1, np.pi / 2, limb_darkening=0.6)
    assert measure_shape(dark).depth1 > measure_shape(flat).depth1 > 2.5 * np.log10(1 / (1 - 0.01)) * 0.9


def test_an_eccentric_orbit_moves_the_second_eclipse() -> None:
    pair = EclipsingShape(0.05, 0.05, 2e4, 2e4, 1.0, np.pi / 2, eccentricity=0.3, periastron=0.0)
    mag = pair.relative_magnitude(CYCLE, "I")
    second = CYCLE[100:301][np.argmax(mag[100:301])]
    # To first order the second eclipse comes 2 e cos(omega) / pi of a cycle late or early.
    assert abs(abs(second - 0.5) - 2 * 0.3 / np.pi) < 0.01


@given(
    radii=st.tuples(st.floats(0.01, 0.4), st.floats(0.01, 0.4)),
    inclination=st.floats(0.0, np.pi / 2),
    q=st.floats(0.2, 1.0),
)
def test_eclipses_never_make_light_negative_or_brighter_than_maximum(
    radii: tuple[float, float], inclination: float, q: float
) -> None:
    mag = EclipsingShape(*radii, 2e4, 1.5e4, q, inclination).relative_magnitude(CYCLE, "I")
    assert np.all(np.isfinite(mag))
    assert mag.min() >= -1e-9


@given(q=st.floats(0.4, 1.0), fillout=st.floats(0.0, 1.0), inclination=st.floats(0.0, np.pi / 2))
def test_contact_shapes_are_smooth_and_below_1_3_mag(q: float, fillout: float, inclination: float) -> None:
    figures = measure_shape(contact_shape(q, fillout, inclination))
    assert 0.0 <= figures.depth1 < 1.3
    assert abs(figures.depth1 - figures.depth2) < 0.08


def test_a_sawtooth_rises_faster_than_it_declines() -> None:
    mag = SawtoothShape(0.4, 0.2, 1.5).relative_magnitude(CYCLE, "I")
    assert np.argmin(mag[:200]) == pytest.approx(0.2 * 200, abs=1)
    assert np.ptp(SawtoothShape(0.4, 0.2, 1.5).relative_magnitude(CYCLE, "V")) == pytest.approx(0.6, abs=0.01)


def test_a_shape_of_another_engine_fits_the_seam() -> None:
    class Engine:
        def relative_magnitude(self, cycles: np.ndarray, band: str) -> np.ndarray:
            return 0.1 * (1 + np.cos(2 * np.pi * cycles)) * (2 if band == "V" else 1)

    shape: LightCurveShape = Engine()
    assert measure_shape(shape).amplitude == pytest.approx(0.2, abs=1e-3)


def test_a_constant_series_does_not_vary() -> None:
    assert measure_shape(FourierShape((1.0,))).amplitude == 0.0


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
