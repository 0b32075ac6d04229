"""Tables of light curves of other surveys: layouts, formats, times, magnitudes, and what is refused."""

import gzip
import tarfile

import astropy.units as u
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.table import MaskedColumn, Table
from astropy.time import Time
from astropy.utils import iers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cbminer.columns import values
from cbminer.errors import CbminerError, InputFormatError, OutputError, SettingsError
from cbminer.settings import load_settings, settings_to_toml
from cbminer.survey.table import collect_points, read_light_curve_table, star_order
from cbminer.survey.table_reading import open_source
from cbminer.survey.table_settings import QualityRule, TableSettings, preset_names, table_layout

# Identifiers that a float cannot hold.
STARS = (4660000000000000001, 4660000000000000003, 17)
PLAIN = TableSettings(
    id_column="star",
    time_column="hjd",
    time_zero="0 d",
    mag_column="mag",
    mag_err_column="err",
    band_column="band",
    bands=["r"],
)


def true_points(n=60, seed=1):
    """Points of three stars as heliocentric dates in UTC, shuffled."""
    rng = np.random.default_rng(seed)
    star = np.repeat(STARS, n)
    hjd = 2457500 + rng.uniform(0, 800, len(star))
    mag = 15.0 + np.repeat([0.0, 1.0, 2.0], n) + rng.normal(0, 0.2, len(star))
    err = rng.uniform(0.005, 0.02, len(star))
    order = rng.permutation(len(star))
    return {"star": star[order], "hjd": hjd[order], "mag": mag[order], "err": err[order]}


def flux_of(mag, zero_point):
    return 10.0 ** (-0.4 * (mag - zero_point))


def with_band(points, band="r"):
    return points | {"band": np.full(len(points["star"]), band)}


def write_parquet(path, columns, **options):
    pq.write_table(pa.table(columns), path, **options)
    return path


def write_csv(path, columns):
    pa_csv.write_csv(pa.table(columns), path)
    return path


def write_table(path, table):
    table.write(path)
    return path


def read(path, layout=PLAIN, **changed):
    return read_light_curve_table([path], settings=layout.model_copy(update=changed))


def assert_curves(block, points, *, days=1e-8, mag=2e-6):
    """Compare with points sorted by star and time."""
    assert block.curves.stars == tuple(str(star) for star in sorted(set(points["star"])))
    for place, star in enumerate(sorted(set(points["star"]))):
        own = points["star"] == star
        order = np.argsort(points["hjd"][own])
        got = block.curves.points_of(place)
        np.testing.assert_allclose(block.curves.time[got], points["hjd"][own][order], rtol=0, atol=days)
        np.testing.assert_allclose(block.curves.mag[got], points["mag"][own][order], rtol=0, atol=mag)
        np.testing.assert_allclose(block.curves.mag_err[got], points["err"][own][order], rtol=1e-5)


def at_the_earth(hjd, *, ra, dec, scale="utc"):
    """Julian dates at the Earth by astropy, in a scale."""
    centre = EarthLocation.from_geocentric(0, 0, 0, unit=u.m)
    with iers.conf.set_temp("auto_download", False):
        at_sun = Time(hjd, format="jd", scale="utc", location=centre)
        star = SkyCoord(ra, dec, unit="deg")
        # The light reaches the Earth earlier or later by what it needs at that moment: twice is enough.
        moment = at_sun - at_sun.light_travel_time(star, "heliocentric", ephemeris="builtin")
        moment = at_sun - moment.light_travel_time(star, "heliocentric", ephemeris="builtin")
        return getattr(moment, scale)


# Presets


def gaia_columns(points):
    time = Time(np.floor(points["hjd"]), points["hjd"] % 1.0, format="jd", scale="utc").tcb
    flux = flux_of(points["mag"], 25.6874)
    return {
        "source_id": points["star"],
        "transit_id": np.arange(len(flux)),
        "band": np.full(len(flux), "G"),
        "time": (time.jd1 - 2455197.5) + time.jd2,
        "mag": points["mag"],
        "flux": flux,
        "flux_error": flux * points["err"] / (2.5 / np.log(10)),
        "rejected_by_photometry": np.zeros(len(flux), bool),
        "rejected_by_variability": np.zeros(len(flux), bool),
    }


def nested(columns, key):
    """One row a star, the rest as lists."""
    stars = np.unique(columns[key])
    lists = {
        name: [list(data[columns[key] == star]) for star in stars] for name, data in columns.items() if name != key
    }
    return {key: stars} | lists


def gaia_raw_columns(points):
    flat = gaia_columns(points)
    names = {"time": "g_transit_time", "mag": "g_transit_mag", "flux": "g_transit_flux"}
    names |= {"flux_error": "g_transit_flux_error", "rejected_by_variability": "variability_flag_g_reject"}
    return nested({"source_id": flat["source_id"]} | {new: flat[old] for old, new in names.items()}, "source_id")


def asas_sn_columns(points):
    n = len(points["star"])
    earth = at_the_earth(points["hjd"], ra=80.0, dec=-69.0)
    return {
        "asas_sn_id": points["star"], "jd": earth.jd1 + earth.jd2, "flux": flux_of(points["mag"], 16.4),
        "flux_err": np.full(n, 0.1), "mag": points["mag"], "mag_err": points["err"], "limit": np.full(n, 17.5),
        "fwhm": np.full(n, 1.6), "image_id": np.full(n, "coadd_be1"), "camera": np.full(n, "be"),
        "quality": np.full(n, "G"), "phot_filter": np.full(n, "g"), "ra_deg": np.full(n, 80.0),
        "dec_deg": np.full(n, -69.0),
    }  # fmt: skip


def ztf_columns(points):
    n = len(points["star"])
    return {
        "oid": points["star"], "expid": np.arange(n), "hjd": points["hjd"], "mjd": points["hjd"] - 2400000.5,
        "mag": points["mag"], "magerr": points["err"], "catflags": np.zeros(n, int), "filtercode": np.full(n, "zr"),
        "ra": np.full(n, 150.0), "dec": np.full(n, 20.0),
    }  # fmt: skip


def alerce_columns(points):
    n = len(points["star"])
    earth = at_the_earth(points["hjd"], ra=150.0, dec=20.0)
    return {
        "oid": points["star"], "candid": np.arange(n), "mjd": (earth.jd1 - 2400000.5) + earth.jd2,
        "fid": np.full(n, 2), "magpsf_corr": points["mag"], "sigmapsf_corr_ext": points["err"],
        "corrected": np.ones(n, bool), "dubious": np.zeros(n, bool), "ra": np.full(n, 150.0), "dec": np.full(n, 20.0),
    }  # fmt: skip


def rubin_columns(points, time="expMidptMJD"):
    n = len(points["star"])
    earth = at_the_earth(points["hjd"], ra=53.1, dec=-28.1, scale="tai")
    flux = flux_of(points["mag"], 31.4)
    return {
        "objectId": points["star"], "band": np.full(n, "r"), time: (earth.jd1 - 2400000.5) + earth.jd2,
        "psfFlux": flux, "psfFluxErr": flux * points["err"] / (2.5 / np.log(10)), "psfFlux_flag": np.zeros(n, bool),
        "coord_ra": np.full(n, 53.1), "coord_dec": np.full(n, -28.1),
    }  # fmt: skip


def rubin_nested_table(points):
    """One row a star, a struct of lists in one column."""
    flat = rubin_columns(points, time="midpointMjdTai")
    lists = nested({name: flat[name] for name in flat if not name.startswith("coord")}, "objectId")
    inner = {name: pa.array(lists[name]) for name in lists if name != "objectId"}
    n = len(lists["objectId"])
    return {
        "objectId": lists["objectId"],
        "coord_ra": np.full(n, 53.1),
        "coord_dec": np.full(n, -28.1),
        "objectForcedSource": pa.StructArray.from_arrays(list(inner.values()), names=list(inner)),
    }


def hats_columns(points):
    n = len(points["star"])
    return {
        "id": points["star"], "time": points["hjd"], "mag": points["mag"], "mag_err": points["err"],
        "band": np.full(n, "I"), "RAJ2000": np.full(n, 80.0), "DEJ2000": np.full(n, -69.0),
    }  # fmt: skip


PRESETS = {
    "hats": hats_columns, "gaia": gaia_columns, "gaia-raw": gaia_raw_columns, "asas-sn": asas_sn_columns, "ztf": ztf_columns,
    "ztf-alerce": alerce_columns, "rubin": rubin_columns, "rubin-nested": rubin_nested_table,
}  # fmt: skip


def test_every_preset_has_a_table_in_these_tests():
    assert sorted(PRESETS) == preset_names()


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_brings_times_and_magnitudes_home(preset, tmp_path):
    points = true_points()
    path = write_parquet(tmp_path / "table.parquet", PRESETS[preset](points))
    block = read(path, TableSettings(preset=preset))
    # A date of 2.4 million is held to 4e-10 d; 21 ms of light across the Earth do not matter here.
    assert_curves(block, points, days=3e-9)


@pytest.mark.parametrize("preset", ["gaia", "asas-sn", "ztf", "rubin"])
def test_a_preset_reads_the_same_from_text(preset, tmp_path):
    columns = PRESETS[preset](true_points())
    one = read(write_parquet(tmp_path / "t.parquet", columns), TableSettings(preset=preset))
    csv = write_csv(tmp_path / "t.csv", columns)
    packed = tmp_path / "p.csv.gz"
    packed.write_bytes(gzip.compress(csv.read_bytes()))
    for path in (csv, packed):
        other = read(path, TableSettings(preset=preset))
        assert other.curves.stars == one.curves.stars
        np.testing.assert_array_equal(other.curves.time, one.curves.time)
        np.testing.assert_array_equal(other.curves.mag, one.curves.mag)
        np.testing.assert_allclose(other.curves.mag_err, one.curves.mag_err, rtol=1e-6)


def test_flagged_points_of_every_preset_are_left_out_and_counted(tmp_path):
    points = true_points()
    for preset, column, bad in (
        ("gaia", "rejected_by_variability", True), ("asas-sn", "quality", "B"), ("ztf", "catflags", 32769),
        ("ztf-alerce", "dubious", True), ("rubin", "psfFlux_flag", True),
    ):  # fmt: skip
        columns = PRESETS[preset](points)
        data = columns[column].copy()
        data[::10] = bad
        path = write_csv(tmp_path / "t.csv", columns | {column: data})
        with collect_points([path], settings=TableSettings(preset=preset)) as found:
            assert found.reasons == {"kept": 162, f"rejected by {column}": 18}


def test_ztf_keeps_points_with_harmless_bits(tmp_path):
    columns = ztf_columns(true_points())
    path = write_csv(tmp_path / "t.csv", columns | {"catflags": np.full(180, 1)})
    assert len(read(path, TableSettings(preset="ztf")).curves.time) == 180


def test_a_dia_source_table_is_read_by_its_direct_flux(tmp_path):
    points = true_points()
    columns = rubin_columns(points)
    columns |= {"scienceFlux": columns["psfFlux"], "scienceFluxErr": columns["psfFluxErr"]}
    columns["psfFlux"] = columns["psfFlux"] - columns["psfFlux"].mean()
    assert_curves(
        read(write_parquet(tmp_path / "t.parquet", columns), TableSettings(preset="rubin")), points, days=3e-9
    )


# Formats


@pytest.mark.parametrize("suffix", ["ecsv", "fits", "vot", "tbl", "dat"])
def test_formats_of_astropy_read_like_parquet(suffix, tmp_path):
    points = with_band(true_points())
    table = Table(points)
    if suffix in {"tbl", "dat"}:
        # Text without a number of decimals of its own keeps all that a float has.
        table["hjd"].format = ".10f"
    formats = {"ecsv": "ascii.ecsv", "vot": "votable", "tbl": "ascii.ipac", "dat": "ascii.commented_header"}
    path = tmp_path / f"t.{suffix}"
    table.write(path, format=formats.get(suffix))
    assert_curves(read(path), points)


def test_fits_with_masked_integers_and_arrays(tmp_path):
    points = true_points(n=40)
    lists = nested(points, "star")
    table = Table({name: np.array(data) for name, data in lists.items()})
    table["period"] = MaskedColumn([0.5, 1.5, 0.0], mask=[False, False, True])
    table.write(tmp_path / "t.fits")
    layout = PLAIN.model_copy(update={"band_column": None, "bands": None, "period_column": ("period",)})
    block = read(tmp_path / "t.fits", layout)
    assert_curves(block, points)
    np.testing.assert_array_equal(values(block.stars, "period", "d"), [0.5, 1.5, np.nan])
    np.testing.assert_array_equal(block.curves.stars, sorted((str(star) for star in STARS), key=int))


def test_lists_of_structs_read_like_structs_of_lists(tmp_path):
    points = true_points(n=20)
    names = ("hjd", "mag", "err")
    rows = [
        {
            "star": star,
            "lc": [{name: points[name][k] for name in names} for k in np.flatnonzero(points["star"] == star)],
        }
        for star in STARS
    ]
    layout = PLAIN.model_copy(
        update={
            "time_column": ("lc.hjd",),
            "mag_column": ("lc.mag",),
            "mag_err_column": ("lc.err",),
            "band_column": None,
        }
    ).model_copy(update={"bands": None})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    assert_curves(read(tmp_path / "t.parquet", layout), points)


def test_lists_of_unequal_length_are_refused_with_their_row(tmp_path):
    lists = {
        "star": [1, 2],
        "hjd": [[2457500.0, 2457501.0]] * 2,
        "mag": [[15.0, 15.1], [15.0]],
        "err": [[0.1, 0.1]] * 2,
    }
    layout = PLAIN.model_copy(update={"band_column": None, "bands": None})
    with pytest.raises(InputFormatError, match=r"row 2: column mag has 1 entries and hjd has 2"):
        read(write_parquet(tmp_path / "t.parquet", lists), layout)


def test_a_file_can_be_a_star(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.dat").write_text("2451000.5 12.5 0.05\n2451001.5 12.6 0.05\n")
    layout = TableSettings(id_column=[], time_column="col1", time_zero="0 d", mag_column="col2", mag_err_column="col3")
    block = read_light_curve_table([tmp_path / "b.dat", tmp_path / "a.dat"], settings=layout)
    assert block.curves.stars == ("a", "b")
    assert list(np.diff(block.curves.offsets)) == [2, 2]


def test_a_csv_may_have_comments_semicolons_and_a_byte_order_mark(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("﻿# from a colleague\nstar;hjd;mag;err;band\nx; 2457500.5 ;15.0;0.01;r\n", encoding="utf-8")
    block = read(path)
    assert block.curves.stars == ("x",)
    assert block.curves.time[0] == 2457500.5


def test_a_header_may_hold_quoted_commas_and_a_name_capitals(tmp_path):
    text = 'star,"time, heliocentric",mag,err,band\nx,2457500.5,15.0,0.01,r\n'
    layout = PLAIN.model_copy(update={"time_column": ("time, heliocentric",)})
    (tmp_path / "X.CSV").write_text(text)
    (tmp_path / "X.CSV.GZ").write_bytes(gzip.compress(text.encode()))
    for name in ("X.CSV", "X.CSV.GZ"):
        assert read(tmp_path / name, layout).curves.stars == ("x",)


def test_big_endian_columns_of_fits_are_numbers(tmp_path):
    points = with_band(true_points(n=20))
    swapped = {name: data.astype(data.dtype.newbyteorder(">")) for name, data in points.items() if name != "band"}
    assert not swapped["hjd"].dtype.isnative
    source = open_source(write_table(tmp_path / "t.fits", Table(swapped | {"band": points["band"]})))
    assert_curves(read(tmp_path / "t.fits"), points)
    (batch,) = source.batches(["star", "hjd"])
    np.testing.assert_array_equal(batch.columns["hjd"], points["hjd"])


def test_a_batch_of_nested_light_curves_has_no_more_points_than_one_of_rows(tmp_path, monkeypatch):
    monkeypatch.setattr("cbminer.survey.table_reading._ROWS", 1000)
    points = true_points(n=400)
    lists = nested(points, "star")
    layout = PLAIN.model_copy(update={"band_column": None, "bands": None})
    paths = [write_parquet(tmp_path / "t.parquet", lists)]
    paths.append(write_table(tmp_path / "t.fits", Table({name: np.array(data) for name, data in lists.items()})))
    for path in paths:
        sizes = [len(batch.rows) for batch in open_source(path).batches(["star", "hjd"])]
        assert sizes == [800, 400]
        assert_curves(read(path, layout), points)


def test_columns_of_times_are_refused_with_the_way_out(tmp_path):
    points = with_band(true_points(n=5))
    table = Table(points | {"hjd": Time(points["hjd"], format="jd")})
    table.write(tmp_path / "t.ecsv", format="ascii.ecsv")
    with pytest.raises(InputFormatError, match=r'column hjd holds Time, no numbers.*table\["hjd"\]\.jd'):
        read(tmp_path / "t.ecsv")


def test_points_without_room_are_told_with_the_way_out(tmp_path, monkeypatch):
    path = write_parquet(tmp_path / "t.parquet", with_band(true_points(n=700)))
    layout = PLAIN.model_copy(update={"points_in_memory": 1000})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cbminer.survey.table.Path.open", full)
    with pytest.raises(OutputError, match=r"No space left on device.*TMPDIR.*points_in_memory"):
        read(path, layout)


# Points


def test_words_for_no_number_do_not_make_a_column_of_words(tmp_path):
    path = tmp_path / "t.csv"
    fill = [f"s,{2457500 + k},{word},0.01,r" for k, word in enumerate(["nan", "NaN", "inf", "-Inf", ">15.2"] * 3)]
    path.write_text("\n".join(["star,hjd,mag,err,band", *fill, "s,2457600,15.0,0.01,r"]) + "\n")
    with collect_points([path], settings=PLAIN) as found:
        assert found.reasons == {"kept": 1, "no magnitude": 15}


def test_every_point_left_out_has_one_counted_reason(tmp_path):
    path = tmp_path / "t.csv"
    good = [f"s,{2457500 + k},15,0.01,r" for k in range(20)]
    bad = [
        ",2457500,15,0.01,r", "s,2457500,15,0.01,g", "s,2457500,15,0.01,", "s,,15,0.01,r", "s,12,15,0.01,r",
        "s,2457500,>15,0.01,r", "s,2457500,99.9,0.01,r", "s,2457500,,0.01,r", "s,2457500,15,-1,r", "s,2457500,15,nan,r",
        "s,2457500,15", "s,2457500,15,0.01,r,7",
    ]  # fmt: skip
    path.write_text("\n".join(["star,hjd,mag,err,band", *good, *bad]) + "\n")
    with collect_points([path], settings=PLAIN) as found:
        assert found.reasons == {
            "kept": 20, "no identifier": 1, "another band": 2, "no time": 2, "no magnitude": 3, "no error": 2,
            "malformed line": 2,
        }  # fmt: skip
        assert (found.n_stars, found.n_without) == (1, 0)


def test_fluxes_become_magnitudes_with_their_errors(tmp_path):
    columns = {
        "star": ["s"] * 4,
        "hjd": 2457500.0 + np.arange(4),
        "f": [1000.0, 10.0, 0.0, -5.0],
        "e": [10.0, 1.0, 1.0, 1.0],
    }
    layout = TableSettings(
        id_column="star",
        time_column="hjd",
        time_zero="0 d",
        flux_column="f",
        flux_err_column="e",
        zero_point="31.4 mag",
    )
    path = write_parquet(tmp_path / "t.parquet", columns)
    block = read(path, layout)
    np.testing.assert_allclose(block.curves.mag, [31.4 - 7.5, 31.4 - 2.5], rtol=1e-6)
    np.testing.assert_allclose(block.curves.mag_err, 1.0857362 * np.array([0.01, 0.1]), rtol=1e-6)
    with collect_points([path], settings=layout) as found:
        assert found.reasons["flux not above 0"] == 2
    # 1 nJy on the AB scale, by another route.
    assert (1 * u.nJy).to_value(u.ABmag) == pytest.approx(31.4, abs=1e-3)


def test_a_star_is_measured_in_its_band_of_most_points(tmp_path):
    points = true_points(n=30)
    band = np.where(np.arange(90) % 3 == 0, "g", "r")
    band[points["star"] == 17] = "g"
    layout = PLAIN.model_copy(update={"bands": ("r", "g"), "bands_second": ("g",)})
    block = read(write_parquet(tmp_path / "t.parquet", points | {"band": band}), layout)
    for place, star in enumerate(sorted(STARS)):
        own, chosen = points["star"] == star, str(block.stars["band"][place])
        assert chosen == ("g" if star == 17 else "r")
        assert len(block.curves.mag[block.curves.points_of(place)]) == (own & (band == chosen)).sum()
        median = np.median(points["mag"][own & (band == chosen)])
        assert values(block.stars, "mag_median", "mag")[place] == pytest.approx(median, abs=1e-5)


def test_the_second_band_gives_its_median(tmp_path):
    points = true_points(n=30)
    band = np.where(np.arange(90) % 3 == 0, "g", "r")
    layout = PLAIN.model_copy(update={"bands_second": ("g",)})
    block = read(write_parquet(tmp_path / "t.parquet", points | {"band": band}), layout)
    for place, star in enumerate(sorted(STARS)):
        own = (points["star"] == star) & (band == "g")
        expected = np.median(points["mag"][own])
        assert values(block.stars, "mag_median_second", "mag")[place] == pytest.approx(expected, abs=1e-5)


def test_neither_the_order_of_rows_nor_files_nor_memory_matters(tmp_path):
    points = with_band(true_points(n=700))
    one = read(write_parquet(tmp_path / "a.parquet", points, row_group_size=97))
    order = np.random.default_rng(3).permutation(len(points["star"]))
    mixed = {name: data[order] for name, data in points.items()}
    parts = [
        write_parquet(tmp_path / "b.parquet", {name: data[:900] for name, data in mixed.items()}),
        write_parquet(tmp_path / "c.parquet", {name: data[900:] for name, data in mixed.items()}),
    ]
    spilled = PLAIN.model_copy(update={"points_in_memory": 1000})
    with collect_points(parts, settings=spilled) as found:
        assert len(list(found.blocks())) == 3
    for paths, layout in ((parts, PLAIN), (parts, spilled), (parts[::-1], spilled)):
        other = read_light_curve_table(paths, settings=layout)
        assert other.curves.stars == one.curves.stars
        for name in ("offsets", "time", "mag", "mag_err"):
            np.testing.assert_array_equal(getattr(other.curves, name), getattr(one.curves, name))
        np.testing.assert_array_equal(other.stars["mag_median"], one.stars["mag_median"])


def test_points_wait_outside_memory_and_leave_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "waiting"))
    (tmp_path / "waiting").mkdir()
    path = write_parquet(tmp_path / "t.parquet", with_band(true_points(n=2000)), row_group_size=500)
    with collect_points([path], settings=PLAIN.model_copy(update={"points_in_memory": 1000})) as found:
        assert sum(len(part) for part in found._parts) <= 1000
        assert list((tmp_path / "waiting").rglob("*.points"))
        assert sum(len(block.curves.time) for block in found.blocks()) == 6000
    assert not list((tmp_path / "waiting").iterdir())


def test_times_at_the_earth_without_coordinates_are_left_alone(tmp_path):
    columns = asas_sn_columns(true_points())
    bare = {name: data for name, data in columns.items() if name not in {"ra_deg", "dec_deg"}}
    block = read(write_parquet(tmp_path / "t.parquet", bare), TableSettings(preset="asas-sn"))
    np.testing.assert_array_equal(np.sort(block.curves.time), np.sort(columns["jd"]))
    assert np.isnan(values(block.stars, "RAJ2000", "deg")).all()


def test_half_of_a_position_is_none(tmp_path):
    columns = asas_sn_columns(true_points())
    columns.pop("dec_deg")
    block = read(write_parquet(tmp_path / "t.parquet", columns), TableSettings(preset="asas-sn"))
    assert np.isnan(values(block.stars, "RAJ2000", "deg")).all()
    np.testing.assert_array_equal(np.sort(block.curves.time), np.sort(columns["jd"]))


def test_star_order_goes_by_number_and_then_by_alphabet():
    names = ["b", "10", "9", "a", "B"]
    assert [names[place] for place in star_order(names)] == ["9", "10", "B", "a", "b"]


# What identifiers are


def test_no_two_stars_become_one_by_floats(tmp_path):
    """Identifiers of 19 digits that were floats on their way are refused, whatever holds them; others are read."""
    big, small = 4660000000000000001, 4503599627370497
    rows = {"hjd": [2457500.5, 2457501.5], "mag": [15.0, 16.0], "err": [0.01, 0.01], "band": ["r", "r"]}
    path = tmp_path / "t.parquet"
    for ids in (
        pa.array([1.0, float(big)]), pa.array([1.0, 3e7], pa.float32()), ["1", "4.66e+18"], ["1", "4.29580672E18"],
        ["1", "4E+18"], ["1", "4660000000000000000.0"],
    ):  # fmt: skip
        write_parquet(path, {"star": ids} | rows)
        with pytest.raises(
            InputFormatError,
            match=r"row 2: identifier \S+ in column star is a number that has lost its last digits.*dtype=",
        ):
            read(path)
    for ids in ([float(small), float(small + 1)], [f"{small}.0", f"{small + 1}.0"], [small, small + 1]):
        assert read(write_parquet(path, {"star": ids} | rows)).curves.stars == (str(small), str(small + 1))
    assert read(write_parquet(path, {"star": ["12e5", "E+18"]} | rows)).curves.stars == ("12e5", "E+18")


def test_identifiers_with_fractions_are_refused(tmp_path):
    rows = {"hjd": [2457500.5, 2457501.5], "mag": [15.0, 16.0], "err": [0.01, 0.01], "band": ["r", "r"]}
    with pytest.raises(InputFormatError, match="cannot tell stars or bands apart"):
        read(write_parquet(tmp_path / "t.parquet", {"star": [1.25, 1.75]} | rows))


def test_identifiers_bands_and_flags_written_as_floats_are_whole_numbers(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("oid,mjd,fid,magpsf_corr,sigmapsf_corr_ext,corrected,dubious\n"
                    "12.0,58000.5,2.0,15.0,0.01,1.0,0.0\n007,58000.5,2,15.0,0.01,1,0\n")  # fmt: skip
    assert read(path, TableSettings(preset="ztf-alerce")).curves.stars == ("007", "12")


def test_identifiers_have_a_place_in_fits(tmp_path):
    path = tmp_path / "t.csv"
    lines = ["star,hjd,mag,err,band", "Bélla,2457500.5,15,0.01,r"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert read(path).curves.stars == ("Bélla",)
    path.write_text("\n".join([*lines, "Bella,2457500.5,15,0.01,r"]) + "\n", encoding="utf-8")
    with pytest.raises(InputFormatError, match="row 2: the stars Bella and Bélla would have one name in FITS"):
        read(path)
    path.write_text("\n".join([*lines, "δ Cep,2457500.5,15,0.01,r"]) + "\n", encoding="utf-8")
    with pytest.raises(InputFormatError, match="row 2: identifier 'δ Cep' holds letters that have no place in FITS"):
        read(path)


def test_an_identifier_may_have_thousands_of_digits(tmp_path):
    path, long = tmp_path / "t.csv", "9" * 5000
    path.write_text(f"star,hjd,mag,err,band\n{long},2457500.5,15,0.01,r\n12,2457500.5,15,0.01,r\n")
    assert read(path).curves.stars == ("12", long)


def test_the_name_of_a_file_loses_known_endings_only(tmp_path):
    layout = TableSettings(id_column=[], time_column="col1", time_zero="0 d", mag_column="col2", mag_err_column="col3")
    names = ("s.1", "s.2", "lmc100.1.dat", "x.DAT")
    for name in names:
        (tmp_path / name).write_text("2451000.5 12.5 0.05\n")
    block = read_light_curve_table([tmp_path / name for name in names], settings=layout)
    assert block.curves.stars == ("lmc100.1", "s.1", "s.2", "x")
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / ".dat").write_text("2451000.5 12.5 0.05\n")
    with pytest.raises(InputFormatError, match="the name of the file is that of the star"):
        read_light_curve_table([tmp_path / "dir" / ".dat"], settings=layout)


# Bands, errors and flags


def test_upper_limits_neither_choose_the_band_nor_count_in_the_median(tmp_path):
    points = asas_sn_columns(true_points(n=60))
    first = points["asas_sn_id"] == STARS[0]
    limits = {name: np.repeat(data[first], 2, axis=0) for name, data in points.items()}
    limits |= {"phot_filter": np.full(120, "V"), "mag_err": np.full(120, 99.99), "mag": np.full(120, 13.0)}
    both = {name: np.concatenate([data, limits[name]]) for name, data in points.items()}
    path = write_parquet(tmp_path / "t.parquet", both)
    with collect_points([path], settings=TableSettings(preset="asas-sn"), max_mag_err=0.5) as found:
        assert found.reasons == {"kept": 180, "error above 0.5 mag": 120}
        (block,) = found.blocks()
    assert set(block.stars["band"]) == {"g"}
    place = block.curves.stars.index(str(STARS[0]))
    assert values(block.stars, "mag_median", "mag")[place] == pytest.approx(np.median(points["mag"][first]), abs=1e-5)


def test_stars_of_the_second_band_only_are_counted_and_not_measured(tmp_path):
    points = true_points(n=20)
    band = np.where(points["star"] == 17, "g", "r")
    layout = PLAIN.model_copy(update={"bands_second": ("g",)})
    path = write_parquet(tmp_path / "t.parquet", points | {"band": band})
    for memory in (4_000_000, 1000):
        with collect_points([path], settings=layout.model_copy(update={"points_in_memory": memory})) as found:
            assert (found.n_stars, found.n_second_only, found.n_without) == (2, 1, 0)
            (block,) = found.blocks()
        assert len(block.curves) == len(block.stars) == 2
        assert (np.diff(block.curves.offsets) == 20).all()
    with pytest.raises(InputFormatError, match=r"in bands z, but 20 in g: choose --band"):
        read(path, layout.model_copy(update={"bands": ("z",)}))


def test_of_equally_many_points_the_band_named_first_is_measured(tmp_path):
    points = true_points(n=20)
    band = np.empty(60, dtype="U1")
    for star in STARS:
        band[np.flatnonzero(points["star"] == star)] = ["g", "r"] * 10
    path = write_parquet(tmp_path / "t.parquet", points | {"band": band})
    for bands in (("r", "g"), ("g", "r")):
        block = read(path, PLAIN.model_copy(update={"bands": bands}))
        assert set(block.stars["band"]) == {bands[0]}


def test_points_of_one_time_have_one_order(tmp_path):
    """Rows that differ in nothing but the magnitude or its error come out the same, however they are shuffled."""
    columns = {"star": np.full(6, 1), "hjd": np.full(6, 2457500.5), "mag": [3.0, 1, 2, 2, 1, 3],
               "err": [0.1, 0.2, 0.3, 0.1, 0.1, 0.2], "band": np.full(6, "r")}  # fmt: skip
    rng = np.random.default_rng(2)
    for _ in range(4):
        order = rng.permutation(6)
        block = read(write_parquet(tmp_path / "t.parquet", {k: np.asarray(v)[order] for k, v in columns.items()}))
        np.testing.assert_array_equal(block.curves.mag, [1, 1, 2, 2, 3, 3])
        np.testing.assert_allclose(block.curves.mag_err, [0.1, 0.2, 0.1, 0.3, 0.1, 0.2], rtol=1e-6)


@pytest.mark.parametrize(
    ("flags", "mask", "good"),
    [
        (pa.array([2**62, 2**62 + 1, None, -1, 0], pa.int64()), 1, [1, 0, 0, 0, 1]),
        (pa.array([2**63, 2**63 + 1, None, 3, 0], pa.uint64()), 1, [1, 0, 0, 0, 1]),
        (pa.array([str(2**62), str(2**62 + 1), None, "3.0", "0.0"]), 1, [1, 0, 0, 0, 1]),
        (pa.array([2.0, 1.0, None, 3.0, 0.0]), 1, [1, 0, 0, 0, 1]),
        (pa.array([2**62, 0, None, -1, 1], pa.int64()), 2**62, [0, 1, 0, 0, 1]),
    ],
)
def test_flags_are_exact_to_their_last_bit_and_unknown_ones_are_not_good(flags, mask, good, tmp_path):
    columns = {"star": ["s"] * 5, "hjd": 2457500.5 + np.arange(5), "mag": [15.0] * 5, "err": [0.01] * 5, "f": flags}
    layout = PLAIN.model_copy(
        update={"band_column": None, "bands": None, "quality": {"f": QualityRule(forbidden_bits=mask)}}
    )
    block = read(write_parquet(tmp_path / "t.parquet", columns), layout)
    np.testing.assert_array_equal(block.curves.time, 2457500.5 + np.flatnonzero(good))


def test_flags_that_are_no_bits_are_refused(tmp_path):
    columns = {"star": ["s"], "hjd": [2457500.5], "mag": [15.0], "err": [0.01]}
    layout = PLAIN.model_copy(
        update={"band_column": None, "bands": None, "quality": {"f": QualityRule(forbidden_bits=1)}}
    )
    for flag, match in ((0.5, "holds fractions, no bits"), (2.0**60, "have lost bits")):
        with pytest.raises(InputFormatError, match=match):
            read(write_parquet(tmp_path / "t.parquet", columns | {"f": [flag]}), layout)
    path = tmp_path / "s.toml"
    path.write_text(f"[table.quality.f]\nforbidden_bits = {2**63}\n")
    with pytest.raises(SettingsError, match="forbidden_bits"):
        load_settings(path)


def test_a_blank_flag_is_no_good_flag(tmp_path):
    columns = gaia_columns(true_points())
    columns["rejected_by_variability"] = pa.array([None if k % 3 == 0 else False for k in range(180)], pa.bool_())
    with collect_points(
        [write_parquet(tmp_path / "t.parquet", columns)], settings=TableSettings(preset="gaia")
    ) as found:
        assert found.reasons == {"kept": 120, "rejected by rejected_by_variability": 60}


def test_flux_and_error_are_of_one_kind(tmp_path):
    columns = rubin_columns(true_points(n=20))
    alone = columns | {"scienceFlux": columns["psfFlux"] * 2}
    # A lone scienceFlux has no error, so that both are those of psfFlux.
    other = columns | {"scienceFluxErr": columns["psfFluxErr"] * 9}
    first = read(write_parquet(tmp_path / "a.parquet", columns), TableSettings(preset="rubin")).curves
    for changed in (alone, other):
        block = read(write_parquet(tmp_path / "b.parquet", changed), TableSettings(preset="rubin"))
        np.testing.assert_array_equal(block.curves.mag, first.mag)
        np.testing.assert_array_equal(block.curves.mag_err, first.mag_err)
    chosen = TableSettings(preset="rubin", flux_column="psfFlux")
    pair = columns | {"scienceFlux": columns["psfFlux"] * 2, "scienceFluxErr": columns["psfFluxErr"] * 9}
    np.testing.assert_array_equal(
        read(write_parquet(tmp_path / "c.parquet", pair), chosen).curves.mag_err, first.mag_err
    )


def test_difference_fluxes_are_not_taken_for_the_star(tmp_path):
    columns = rubin_columns(true_points(n=20), time="midpointMjdTai")
    columns["diaObjectId"] = columns.pop("objectId")
    path = write_parquet(tmp_path / "t.parquet", columns)
    with pytest.raises(InputFormatError, match=r'may be the flux of difference images.*flux_column = "psfFlux"'):
        read(path, TableSettings(preset="rubin"))
    assert len(read(path, TableSettings(preset="rubin", flux_column="psfFlux")).curves) == 3
    forced = columns | {"forcedSourceOnDiaObjectId": np.arange(60)}
    assert len(read(write_parquet(tmp_path / "f.parquet", forced), TableSettings(preset="rubin")).curves) == 3
    forced["diaObjectId"] = np.where(forced["diaObjectId"] == 17, 0, forced["diaObjectId"])
    path = write_parquet(tmp_path / "z.parquet", forced)
    with collect_points([path], settings=TableSettings(preset="rubin")) as found:
        assert found.reasons == {"kept": 40, "no identifier": 20}


def test_alerts_have_the_error_of_star_and_difference_together(tmp_path):
    columns = alerce_columns(true_points()) | {"sigmapsf": np.full(180, 0.4), "sigmapsf_corr": np.full(180, 0.3)}
    block = read(write_parquet(tmp_path / "t.parquet", columns), TableSettings(preset="ztf-alerce"))
    assert block.curves.mag_err.max() < 0.03


# Periods and epochs beside points


def test_epochs_and_periods_that_cannot_be_are_refused_with_row_and_remedy(tmp_path):
    points = with_band(true_points(n=20))
    layout = PLAIN.model_copy(update={"period_column": ("P",), "epoch_column": ("E",)})
    good = {"P": np.full(60, 1.5), "E": np.full(60, 2457000.25)}
    block = read(write_parquet(tmp_path / "t.parquet", points | good), layout)
    np.testing.assert_array_equal(values(block.stars, "T0", "d"), 2457000.25)
    for name, wrong, match in (
        ("E", 57000.25, r"row 1: epoch 57000\.25 \(E\) is no full heliocentric Julian date.*add 2400000\.5 to MJD"),
        ("P", 1e6, r"row 1: period 1e\+06 d is no period \(P\): expected 0\.001 to 50000 days"),
    ):
        with pytest.raises(InputFormatError, match=match):
            read(write_parquet(tmp_path / "t.parquet", points | good | {name: np.full(60, wrong)}), layout)
    for unknown in (0.0, -99.0, np.nan):
        path = write_parquet(tmp_path / "t.parquet", points | good | {"P": np.full(60, unknown)})
        assert np.isnan(values(read(path, layout).stars, "period", "d")).all()


# What is refused


def test_a_missing_column_is_named_with_those_called_alike(tmp_path):
    columns = ztf_columns(true_points())
    columns["mag_err"] = columns.pop("magerr")
    path = write_csv(tmp_path / "ztf.csv", columns)
    with pytest.raises(InputFormatError, match=r"ztf\.csv has no column for mag_err \(magerr\); called alike: mag_err"):
        read(path, TableSettings(preset="ztf"))
    columns = ztf_columns(true_points())
    columns["flags"] = columns.pop("catflags")
    with pytest.raises(InputFormatError, match="no column for the quality rule catflags"):
        read(write_csv(tmp_path / "ztf.csv", columns), TableSettings(preset="ztf"))


def test_a_wrong_zero_of_time_is_refused_with_row_and_remedy(tmp_path):
    path = write_csv(tmp_path / "t.csv", with_band(true_points()))
    with pytest.raises(InputFormatError, match=r"row 1: column hjd holds 2457.*Julian date 4\d{6}.*set time_zero"):
        read(path, time_zero=2400000.5)


def test_a_column_of_words_is_refused_with_row_and_value(tmp_path):
    path = write_csv(tmp_path / "t.csv", with_band(true_points()) | {"mag": np.full(180, "bright")})
    with pytest.raises(InputFormatError, match=r"t\.csv, row 1: column mag holds 'bright', where a number"):
        read(path)


def test_rows_that_contradict_each_other_about_a_star_are_refused(tmp_path):
    points = with_band(true_points()) | {"P": np.linspace(0.5, 0.6, 180)}
    path = write_parquet(tmp_path / "t.parquet", points)
    with pytest.raises(InputFormatError, match=r"rows of star \d+ differ in their period"):
        read(path, period_column=("P",))


def test_coordinates_may_lie_about_right_ascension_zero(tmp_path):
    points = with_band(true_points()) | {"ra": np.where(np.arange(180) % 2, 359.9999, 0.0001), "dec": np.full(180, 1.0)}
    block = read(write_parquet(tmp_path / "t.parquet", points), ra_column=("ra",), dec_column=("dec",))
    assert len(block.curves) == 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "is empty"),
        ("t.csv", b"<html><body>Login</body></html>", "web page"),
        ("t.csv", b"1.0,2.0,3.0\n2.0,3.0,4.0\n", "no names of columns"),
        ("t.csv.gz", b"not gzip at all", "cannot be read"),
        ("t.parquet", b"PAR1 broken", "cannot be read as Parquet"),
        ("t.tbl", b"no table", "cannot be read as an IPAC table"),
        ("t.csv", b"star,hjd,mag,err,band\n", "no point of .* is left"),
        ("t.csv", b"star,hjd,mag,err,band\ns,2457500,15,0.01,g\n", r"no point of .* is left \(1 another band\)"),
        ("t.csv", b"star,hjd,mag,err,band\n" + b"1,2\n" * 9, "9 of 9 rows do not have the 5 fields"),
        ("t.csv", b"star,hjd,mag,err,band\n" + b"1,2\n" * 9 + b"s,2457500,15,0.01,r\n", "do not have the 5 fields"),
    ],
)
def test_what_is_no_table_is_refused_with_a_reason(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputFormatError, match=message):
        read(tmp_path / name)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputFormatError, match="is not there"):
        read(tmp_path / "none.parquet")


def test_a_cut_off_gzip_file_is_refused(tmp_path):
    whole = gzip.compress(write_csv(tmp_path / "t.csv", with_band(true_points(n=3000))).read_bytes())
    (tmp_path / "t.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputFormatError, match=r"t\.csv\.gz"):
        read(tmp_path / "t.csv.gz")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"time_column": None}, "time_column"),
        ({"time_zero": None}, "time_zero"),
        ({"mag_column": None}, "mag_column or flux_column"),
        ({"mag_column": None, "flux_column": ("f",)}, "zero_point"),
        ({"mag_err_column": None}, "mag_err_column, flux_column with flux_err_column, or mag_err"),
        ({"bands": None}, "bands, such as"),
        ({"band_column": None}, "band_column, as bands are asked for"),
        ({"ra_column": ("ra",)}, "both of ra_column and dec_column"),
        ({"preset": "kepler"}, "no preset 'kepler' .* choose one of asas-sn, gaia"),
    ],
)
def test_an_incomplete_layout_is_refused_before_anything_is_read(changed, message):
    with pytest.raises(SettingsError, match=message):
        table_layout(PLAIN.model_copy(update=changed))


def test_own_settings_go_over_the_preset():
    layout = table_layout(TableSettings(preset="ztf", bands=["zg"], quality={}, survey="mine"))
    assert (layout.bands, layout.quality, layout.survey) == (("zg",), {}, "mine")
    assert layout.names["id"] == ("oid",)
    fluxes = table_layout(
        TableSettings(preset="asas-sn", flux_column="flux", flux_err_column="flux_err", zero_point="16.4 mag")
    )
    assert "mag" not in fluxes.names


def test_a_layout_survives_the_settings_file(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(
        '[table]\nid_column = "star"\ntime_column = ["t", "hjd"]\ntime_zero = "2450000 d"\nmag_column = "m"\n'
        'mag_err = "0.02 mag"\n[table.quality.grade]\nallowed = ["A", "B", 1, true]\n[table.quality.bits]\nforbidden_bits = 3\n'
    )
    first = load_settings(path)
    assert first.table.quality["grade"].allowed == ("A", "B", 1, True)
    assert first.table.quality["grade"].allowed[3] is True
    (tmp_path / "again.toml").write_text(settings_to_toml(first))
    assert load_settings(tmp_path / "again.toml") == first
    path.write_text('[table.quality.grade]\nallowed = ["A"]\nforbidden_bits = 1\n')
    with pytest.raises(SettingsError, match="either allowed"):
        load_settings(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet="star,hjdmagerb\n\r\"';|\t#0123456789.-+eNn \x00é", max_size=200), head=st.booleans())
def test_no_text_makes_more_than_an_error_that_is_told(text, head, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(("star,hjd,mag,err,band\n" if head else "") + text, encoding="utf-8")
    try:
        block = read(path)
    except CbminerError:
        return
    assert np.isfinite(block.curves.time).all()
    assert (block.curves.mag_err > 0).all()


# Real light curves


def test_real_asas_curves_of_one_file_a_star(shared_data, tmp_path):
    with tarfile.open(shared_data / "asas" / "lc.tar.gz") as archive:
        members = [member for member in archive.getmembers() if member.name.endswith(".dat")][:30]
        archive.extractall(tmp_path, members=members, filter="data")
    layout = TableSettings(
        survey="ASAS", id_column=[], time_column="col1", time_zero="0 d", mag_column="col2", mag_err_column="col3"
    )
    paths = sorted((tmp_path / "lc").glob("*.dat"))
    block = read_light_curve_table(paths, settings=layout)
    assert len(block.curves) == 30
    for path in paths[:5]:
        plain = np.loadtxt(path)
        place = block.curves.stars.index(path.stem)
        assert len(block.curves.time[block.curves.points_of(place)]) == len(plain)
        np.testing.assert_array_equal(block.curves.time[block.curves.points_of(place)], np.sort(plain[:, 0]))
