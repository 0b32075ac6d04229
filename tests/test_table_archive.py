"""Tables of stars and light curves as an archive: what is read, joined, refused, and when it is read again."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table
from conftest import ecl_line, ident_line
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cbminer.columns import label_column, values
from cbminer.errors import ArchiveError, InputFormatError, SettingsError
from cbminer.flags import Flag
from cbminer.survey import table_intake
from cbminer.survey.archive import LocalArchive, TableArchive, open_archive
from cbminer.survey.table import TablePoints
from cbminer.survey.table_settings import TableSettings
from cbminer.survey.table_times import heliocentric_correction

LAYOUT = {
    "id_column": "star", "time_column": "hjd", "time_zero": "0 d", "mag_column": "mag", "mag_err_column": "err",
    "band_column": "band", "bands": ["I"], "bands_second": ["V"], "ra_column": "ra", "dec_column": "dec",
    "period_column": "period", "epoch_column": "epoch", "I_column": "imag", "V_column": "vmag", "type_column": "kind",
}  # fmt: skip
N_STARS, N_POINTS = 7, 12


def star_rows(n=N_STARS):
    """Some stars, among them one without V and one of an unknown type."""
    place = np.arange(n)
    vmag = 15.9 + 0.1 * place
    vmag[1] = 99.999
    return {
        "star": np.array([f"S{9 - number}" for number in place]),
        "ra": 80.0 + 0.1 * place,
        "dec": -69.0 - 0.1 * place,
        "period": 1.0 + 0.01 * place,
        "epoch": 2457000.0 + place,
        "imag": 16.0 + 0.1 * place,
        "vmag": vmag,
        "kind": np.array(["C", "nc", "EW", "ELL", "C", "C", "C"][:n]),
    }


def point_rows(n=N_STARS):
    """Points of these stars, more of them in I than in V."""
    rng = np.random.default_rng(3)
    star = np.repeat(star_rows(n)["star"], N_POINTS)
    hjd = np.tile(2457000.25 + 1.37 * np.arange(N_POINTS), n) + rng.uniform(0, 0.3, len(star))
    return {
        "star": star,
        "hjd": hjd,
        "mag": rng.normal(16.0, 0.2, len(star)).astype(np.float32),
        "err": np.full(len(star), 0.01, dtype=np.float32),
        "band": np.tile(np.where(np.arange(N_POINTS) % 4 == 3, "V", "I"), n),
    }


def with_star_columns(points, stars):
    place = {star: row for row, star in enumerate(stars["star"].tolist())}
    rows = np.array([place[star] for star in points["star"].tolist()])
    return points | {name: data[rows] for name, data in stars.items() if name != "star"}


def nested_table(points, stars):
    """A row a star, its points in a struct of lists."""
    rows = [np.flatnonzero(points["star"] == star) for star in stars["star"]]
    lists = {name: pa.array([points[name][row].tolist() for row in rows]) for name in points if name != "star"}
    return pa.table(stars | {"lc": pa.StructArray.from_arrays(list(lists.values()), names=list(lists))})


def write(path, table, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), path, **options)
    return path


def opened(place, cache, **changed):
    archive = open_archive(str(place), cache=cache, table=TableSettings(**(LAYOUT | changed)))
    assert isinstance(archive, TableArchive)
    return archive


def assert_stored(store, points):
    """The store holds these points and no others."""
    assert sorted(store.curves()) == sorted(set(zip(points["star"].tolist(), points["band"].tolist(), strict=True)))
    for star, band in store.curves():
        rows = np.flatnonzero((points["star"] == star) & (points["band"] == band))
        rows = rows[np.argsort(points["hjd"][rows])]
        curve = store.read([star], band=band).curves
        for name, ours in (("hjd", curve.time), ("mag", curve.mag), ("err", curve.mag_err)):
            np.testing.assert_array_equal(ours, points[name][rows])


def assert_stars(stars, expected):
    order = np.argsort(expected["star"])
    assert label_column(stars, "id").tolist() == expected["star"][order].tolist()
    for name, column, unit in (("ra", "RAJ2000", "deg"), ("period", "period", "d"), ("imag", "I_mag", "mag")):
        np.testing.assert_array_equal(values(stars, column, unit), expected[name][order])


@pytest.fixture
def flat(tmp_path):
    """A table whose rows are points, with what is known of their star."""
    return write(tmp_path / "tables" / "all.parquet", with_star_columns(point_rows(), star_rows()))


def test_stars_and_light_curves_of_one_table(flat, tmp_path):
    archive = opened(flat, tmp_path / "cache")
    reading = archive.catalogue("LMC")
    assert_stars(reading.stars, star_rows())
    assert reading.counts["stars"] == N_STARS
    assert set(label_column(reading.stars, "galaxy")) == {"LMC"}
    assert_stored(archive.light_curves("LMC", ["S9"]), point_rows())
    assert archive.light_curve_stars("LMC") == sorted(star_rows()["star"])
    assert archive.point_counts("LMC") == {"points: kept": N_STARS * N_POINTS}
    assert archive.spare_light_curves("LMC", star_rows()["star"].tolist()) == []


def test_what_is_unknown_is_masked_and_flagged(flat, tmp_path):
    stars = opened(flat, tmp_path / "cache").catalogue("LMC").stars
    by_star = dict(zip(label_column(stars, "id"), range(N_STARS), strict=True))
    assert np.isnan(values(stars, "V_mag", "mag")[by_star["S8"]])
    assert stars["flags"][by_star["S8"]] == Flag.NO_V
    assert stars["flags"][by_star["S9"]] == 0
    assert label_column(stars, "type")[[by_star[star] for star in ("S9", "S8", "S7")]].tolist() == ["C", "NC", ""]


def test_a_table_of_stars_is_joined_by_identifier(tmp_path):
    stars, points = star_rows(), point_rows()
    keep = points["star"] != stars["star"][0]
    listed = {name: data[:-1] for name, data in stars.items()}
    folder = tmp_path / "tables"
    write(folder / "curves.parquet", {name: data[keep] for name, data in points.items()})
    folder.joinpath("stars.csv").write_text(
        "\n".join([",".join(listed), *(",".join(map(str, row)) for row in zip(*listed.values(), strict=True))])
    )
    archive = opened(folder, tmp_path / "cache", catalogue="stars.csv")
    assert_stars(archive.catalogue("LMC").stars, listed)
    store = archive.light_curves("LMC", ())
    ours = keep & (points["star"] != stars["star"][-1])
    assert_stored(store, {name: data[ours] for name, data in points.items()})
    assert archive.spare_light_curves("LMC", listed["star"].tolist()) == [stars["star"][-1]]
    assert archive.catalogue_files() == [folder / "stars.csv"]


def test_a_table_of_stars_that_is_missing_is_named(flat, tmp_path):
    with pytest.raises(ArchiveError, match=r"elsewhere.csv is not there"):
        opened(flat, tmp_path / "cache", catalogue="elsewhere.csv").catalogue("LMC")


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_division_of_the_rows_changes_stars_or_store(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("divided")
    stars, points = star_rows(), point_rows()
    is_nested = data.draw(st.booleans())
    table = nested_table(points, stars) if is_nested else pa.table(with_star_columns(points, stars))
    table = table.take(data.draw(st.permutations(range(len(table)))))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(table) - 1), max_size=4)))
    edges = [0, *cuts, len(table)]
    for number, (low, high) in enumerate(pairwise(edges)):
        size = data.draw(st.integers(1, len(table)))
        write(folder / "tables" / f"{number}.parquet", table.slice(low, high - low), row_group_size=size)
    archive = opened(folder / "tables", folder / "cache", nested_column="lc" if is_nested else None)
    assert archive.tables.row_a_star == is_nested
    assert_stars(archive.catalogue("LMC").stars, stars)
    assert_stored(archive.light_curves("LMC", ()), points)


def test_tables_that_have_not_changed_are_not_read_again(flat, tmp_path, monkeypatch):
    before = opened(flat, tmp_path / "cache").light_curves("LMC", ()).digest()

    def fail(*_):
        pytest.fail("a table was read again")

    monkeypatch.setattr(TablePoints, "add_table", fail)
    monkeypatch.setattr("cbminer.survey.table_archive.TableStars.add_table", fail)
    again = opened(flat, tmp_path / "cache")
    assert again.light_curves("LMC", ()).digest() == before
    assert again.catalogue("LMC").counts["stars"] == N_STARS


def test_a_table_that_has_changed_is_taken_in_anew(flat, tmp_path):
    opened(flat, tmp_path / "cache").light_curves("LMC", ())
    fewer = N_STARS - 2
    write(flat, with_star_columns(point_rows(fewer), star_rows(fewer)))
    archive = opened(flat, tmp_path / "cache")
    assert archive.catalogue("LMC").counts["stars"] == fewer
    assert_stored(archive.light_curves("LMC", ()), point_rows(fewer))


def test_another_layout_is_another_store(flat, tmp_path):
    opened(flat, tmp_path / "cache").light_curves("LMC", ())
    points = point_rows()
    points["band"] = np.where(points["band"] == "I", "V", "I")
    swapped = opened(flat, tmp_path / "cache", bands=("V",), bands_second=("I",))
    assert_stored(swapped.light_curves("LMC", ()), points)


def test_an_interrupted_intake_goes_on_where_it_ended(tmp_path, monkeypatch):
    table = nested_table(point_rows(), star_rows())
    for row in range(N_STARS):
        write(tmp_path / "tables" / f"{row}.parquet", table.slice(row, 1))
    monkeypatch.setattr(table_intake, "_STEP", 2)
    read, add_table = [], TablePoints.add_table

    def interrupted(self, path):
        read.append(path.name)
        if len(read) == 4:
            raise KeyboardInterrupt
        add_table(self, path)

    monkeypatch.setattr(TablePoints, "add_table", interrupted)
    with pytest.raises(KeyboardInterrupt):
        opened(tmp_path / "tables", tmp_path / "cache", nested_column="lc").light_curves("LMC", ())
    first, read[:] = list(read), [""] * 4
    store = opened(tmp_path / "tables", tmp_path / "cache", nested_column="lc").light_curves("LMC", ())
    assert first == ["0.parquet", "1.parquet", "2.parquet", "3.parquet"]
    assert read[4] == "2.parquet"
    assert_stored(store, point_rows())


def test_stars_are_divided_by_their_galaxy(tmp_path):
    stars = star_rows() | {"where": np.array(["LMC", "smc", "LMC", "LMC", "LMC", "SMC", "LMC"])}
    place = write(tmp_path / "t.parquet", nested_table(point_rows(), stars))
    archive = opened(place, tmp_path / "cache", nested_column="lc", galaxy_column="where")
    assert label_column(archive.catalogue("SMC").stars, "id").tolist() == ["S4", "S8"]
    assert archive.light_curve_stars("SMC") == ["S4", "S8"]
    assert len(archive.light_curve_stars("LMC")) == N_STARS - 2
    assert archive.spare_light_curves("SMC", ["S4", "S8"]) == []
    assert table_intake.noted_tables(archive.cache, "SMC").spare == []


def test_stars_of_no_stated_galaxy_are_of_one_only(flat, tmp_path):
    archive = opened(flat, tmp_path / "cache")
    archive.catalogue("LMC")
    with pytest.raises(SettingsError, match="galaxy_column"):
        archive.catalogue("SMC")


def test_a_galaxy_without_stars_is_an_error(tmp_path):
    stars = star_rows() | {"where": np.full(N_STARS, "LMC")}
    place = write(tmp_path / "t.parquet", nested_table(point_rows(), stars))
    with pytest.raises(InputFormatError, match=r"no star of the galaxy SMC \(found: LMC\)"):
        opened(place, tmp_path / "cache", nested_column="lc", galaxy_column="where").catalogue("SMC")


def test_distances_and_colours_of_the_user_come_with_the_stars(tmp_path):
    stars = star_rows() | {"plx": np.linspace(0.1, 0.7, N_STARS), "mv": np.linspace(-5, -1, N_STARS)}
    stars["e_plx"] = np.where(np.arange(N_STARS) == 0, -1.0, 0.02)
    place = write(tmp_path / "t.parquet", nested_table(point_rows(), stars))
    archive = opened(
        place, tmp_path / "cache", nested_column="lc", parallax_column="plx", e_parallax_column="e_plx",
        M_V_column="mv",
    )  # fmt: skip
    found = archive.catalogue("MW").stars
    order = np.argsort(stars["star"])
    np.testing.assert_array_equal(values(found, "parallax", "mas"), stars["plx"][order])
    np.testing.assert_array_equal(values(found, "M_V_given", "mag"), stars["mv"][order])
    assert np.isnan(values(found, "e_parallax", "mas")).sum() == 1
    assert "VI0_given" not in found.colnames


def test_units_that_a_file_states_are_heeded(tmp_path):
    stars = star_rows()
    table = Table(with_star_columns(point_rows(), stars))
    table["period"] = table["period"] * 24
    table["period"].unit = "h"
    table.write(tmp_path / "t.ecsv")
    found = opened(tmp_path / "t.ecsv", tmp_path / "cache").catalogue("LMC").stars
    np.testing.assert_allclose(values(found, "period", "d"), np.sort(stars["period"])[::-1], rtol=1e-12)
    table["period"].unit = "mag"
    table.write(tmp_path / "t.ecsv", overwrite=True)
    with pytest.raises(InputFormatError, match="column period has the unit mag: give it in d"):
        opened(tmp_path / "t.ecsv", tmp_path / "cache").catalogue("LMC")


def test_stars_of_which_no_brightness_is_known_are_refused_but_for_bands_that_say_it(flat, tmp_path):
    unset = {"I_column": None, "V_column": None}
    with pytest.raises(InputFormatError, match="I_column"):
        opened(flat, tmp_path / "cache", **unset, bands=("V",), bands_second=()).catalogue("LMC")
    stars = opened(flat, tmp_path / "cache", **unset).catalogue("LMC").stars
    assert np.all(np.asarray(stars["flags"]) & int(Flag.NO_I | Flag.NO_V) == int(Flag.NO_I | Flag.NO_V))


def test_stars_without_a_stated_type_take_that_of_the_settings(flat, tmp_path):
    found = opened(flat, tmp_path / "cache", type_column=None, type="NC").catalogue("LMC").stars
    assert set(label_column(found, "type")) == {"NC"}
    stars = star_rows()
    stars["kind"] = np.array(["C", "", "EW", "ELL", "", "C", "C"])
    place = write(tmp_path / "t.parquet", nested_table(point_rows(), stars))
    reading = opened(place, tmp_path / "cache", nested_column="lc", type="NC").catalogue("LMC")
    # A word that is none of the types says that the star is something else.
    assert label_column(reading.stars, "type").tolist() == ["C", "C", "NC", "ELL", "", "NC", "C"]
    assert reading.counts["stars of another type than C, NC, ELL, CV"] == 1
    with pytest.raises(InputFormatError, match=r'name type_column, or set type = "C" for all, under \[table\]'):
        opened(flat, tmp_path / "cache", type_column=None).catalogue("LMC")


def test_a_table_of_a_preset_needs_no_column_of_types_beside_the_setting(tmp_path):
    stars = star_rows()
    table = nested_table(point_rows(), stars | {"id": stars["star"]}).rename_columns({"lc": "lightcurve"})
    place = write(tmp_path / "t.parquet", table)
    settings = TableSettings(
        preset="hats", nested_column="lightcurve", time_column="hjd", mag_err_column="err", type="C", I_column="imag",
        V_column="vmag",
    )  # fmt: skip
    found = open_archive(str(place), cache=tmp_path / "cache", table=settings).catalogue("LMC").stars
    assert set(label_column(found, "type")) == {"C"}


@pytest.mark.parametrize(
    ("role", "column", "unit", "magic", "most"),
    [
        ("ra", "RAJ2000", "deg", 999.0, 360.0),
        ("dec", "DEJ2000", "deg", -999.0, -90.0),
        ("I", "I_mag", "mag", 99.999, 29.9),
        ("E_VI", "E_VI_given", "mag", -99.0, -2.0),
        ("M_V", "M_V_given", "mag", 99.99, 30.0),
        ("VI0", "VI0_given", "mag", -9.99, -5.0),
        ("distance_modulus", "distance_modulus_given", "mag", 99.0, 50.0),
    ],
)
def test_magic_numbers_are_unknown_and_counted(role, column, unit, magic, most, tmp_path):
    stars = star_rows() | {"number": np.array([magic, most, *[1.0] * (N_STARS - 2)])}
    place = write(tmp_path / "t.parquet", nested_table(point_rows(), stars))
    reading = opened(place, tmp_path / "cache", nested_column="lc", **{f"{role}_column": "number"}).catalogue("MW")
    found = values(reading.stars, column, unit)
    np.testing.assert_array_equal(found, [*[1.0] * (N_STARS - 2), most, np.nan])
    (count,) = (count for name, count in reading.counts.items() if name.startswith("rows with number outside of"))
    assert count == 1


@pytest.mark.parametrize(
    ("role", "value", "message"),
    [
        ("period", 1.5, "rows of star S9 differ in their period"),
        ("kind", "ELL", "rows of star S9 differ in their type"),
        ("imag", 3.0, "rows of star S9 differ in their I"),
    ],
)
def test_rows_that_contradict_each_other_are_refused(role, value, message, tmp_path):
    rows = with_star_columns(point_rows(), star_rows())
    rows[role] = rows[role].copy()
    rows[role][3] = value
    place = write(tmp_path / "t.parquet", rows)
    with pytest.raises(InputFormatError, match=message):
        opened(place, tmp_path / "cache").catalogue("LMC")


def test_a_second_row_of_a_star_is_refused_with_its_row(tmp_path):
    table = nested_table(point_rows(), star_rows())
    place = tmp_path / "tables"
    write(place / "a.parquet", table)
    write(place / "b.parquet", table.slice(2, 1))
    with pytest.raises(InputFormatError, match=r"b.parquet, row 1: star S7 has another row"):
        opened(place, tmp_path / "cache", nested_column="lc").catalogue("LMC")


def test_a_column_of_stars_that_is_missing_is_named(flat, tmp_path):
    with pytest.raises(InputFormatError, match=r"no column for I \(i_mag\); called alike: imag"):
        opened(flat, tmp_path / "cache", I_column="i_mag").catalogue("LMC")


def test_positions_of_the_table_of_stars_bring_times_to_the_sun(tmp_path):
    stars, points = star_rows(), point_rows()
    write(tmp_path / "tables" / "curves.parquet", points)
    write(tmp_path / "tables" / "stars.parquet", stars)
    archive = opened(tmp_path / "tables", tmp_path / "cache", catalogue="stars.parquet", time_at="earth")
    curve = archive.light_curves("LMC", ()).read(["S9"]).curves
    at_earth = points["hjd"][(points["star"] == "S9") & (points["band"] == "I")]
    there = np.full(len(at_earth), stars["ra"][0]), np.full(len(at_earth), stars["dec"][0])
    expected = at_earth + heliocentric_correction(at_earth, *there)
    np.testing.assert_allclose(curve.time, np.sort(expected), rtol=0, atol=1e-9)
    assert np.all(np.abs(expected - at_earth) > 1e-4)


def test_points_without_a_good_error_are_stored_but_choose_no_band(tmp_path):
    points = point_rows(2)
    points["band"] = np.tile(np.where(np.arange(N_POINTS) < 4, "G", "I"), 2)
    points["err"] = np.where(points["band"] == "I", np.float32(-1), np.float32(0.01))
    place = write(tmp_path / "t.parquet", with_star_columns(points, star_rows(2)))
    store = opened(place, tmp_path / "cache", bands=("I", "G"), bands_second=()).light_curves("LMC", ())
    assert store.read(["S9"]).curves.time.tolist() == points["hjd"][:4].tolist()
    only = opened(place, tmp_path / "cache", bands=("I",), bands_second=()).light_curves("LMC", ())
    assert len(only.read(["S9"]).curves.time) == N_POINTS - 4


def test_simulated_stars_are_known_by_their_names_or_by_the_settings(tmp_path):
    stars, points = star_rows(), point_rows()
    place = write(tmp_path / "t.parquet", nested_table(points, stars))
    assert not opened(place, tmp_path / "cache", nested_column="lc", survey="X").is_mock("LMC")
    assert opened(place, tmp_path / "cache", nested_column="lc", survey="mock").is_mock("LMC")
    stars["star"], points["star"] = (np.char.add("MOCK-", names["star"]) for names in (stars, points))
    place = write(tmp_path / "t.parquet", nested_table(points, stars))
    assert opened(place, tmp_path / "cache", nested_column="lc", survey="X").is_mock("LMC")


def test_a_damaged_store_is_made_anew(flat, tmp_path):
    archive = opened(flat, tmp_path / "cache")
    store = archive.light_curves("LMC", ())
    for part in store.folder.glob("part-*"):
        part.write_bytes(part.read_bytes()[:-7] + b"garbage")
    assert list(archive.repair()) == [f"LMC: {len(store)} light curves stored again from {flat}"]
    assert_stored(archive.light_curves("LMC", ()), point_rows())


def test_archives_are_told_apart_by_what_is_there(flat, write_archive, tmp_path):
    cache = tmp_path / "cache"
    assert isinstance(open_archive(str(flat.parent), cache=cache), TableArchive)
    in_ogles_layout = write_archive([ident_line()], [ecl_line()])
    (in_ogles_layout / "list.csv").write_text("a,b\n")
    for place in (in_ogles_layout, in_ogles_layout.parents[1]):
        assert isinstance(open_archive(str(place), cache=cache), LocalArchive)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "remarks.txt").write_text("no table\n")
    assert isinstance(open_archive(str(tmp_path / "notes"), cache=cache), LocalArchive)
    assert isinstance(open_archive(str(tmp_path / "nothing"), cache=cache), LocalArchive)


def test_files_of_one_star_each_are_an_archive(tmp_path):
    points, stars = point_rows(), star_rows()
    for star in stars["star"]:
        rows = points["star"] == star
        lines = zip(*(points[name][rows] for name in ("hjd", "mag", "err")), strict=True)
        (tmp_path / "tables").mkdir(exist_ok=True)
        text = "\n".join(["hjd mag err", *(" ".join(map(str, line)) for line in lines)])
        (tmp_path / "tables" / f"{star}.dat").write_text(text)
    write(tmp_path / "stars.parquet", stars)
    one_band = {"id_column": [], "band_column": None, "bands": None, "bands_second": None}
    archive = opened(tmp_path / "tables", tmp_path / "cache", **one_band, catalogue="../stars.parquet")
    assert_stars(archive.catalogue("LMC").stars, stars)
    assert_stored(archive.light_curves("LMC", ()), points | {"band": np.full(len(points["star"]), "I")})
