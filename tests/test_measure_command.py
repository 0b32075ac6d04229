"""The command measure: tables of other surveys from light curve to catalogue, what it writes, says and refuses."""

import json
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from cbminer.cli import main
from cbminer.columns import values
from cbminer.report.table_products import _atlas, shape_period_diagram
from cbminer.settings import load_settings
from cbminer.survey.table_periods import read_periods
from cbminer.survey.table_settings import TableSettings
from cbminer.synthetic.roche import RocheEngine
from cbminer.synthetic.systems import BinarySystems
from cbminer.table_measurement import measure_table

PHASE = np.linspace(0.0, 1.0, 201)
PERIODS = {"1": 0.71, "2": 1.37, "3": 1.04, "4": 2.13, "5": 1.71, "6": 0.93}
CONTACT = ("1", "2", "3")


@pytest.fixture(scope="module")
def fluxes():
    """Three contact and three detached binaries of known shape, in I."""
    contact = BinarySystems.contact([0.9, 0.8, 0.6], [75, 80, 72], fillout_factor=0.3, teff_1=25000)
    detached = BinarySystems.detached(
        0.9, [86, 88, 85], lobe_filling_1=0.6, lobe_filling_2=0.55, teff_1=25000, teff_2=[24000, 20000, 18000]
    )
    engine = RocheEngine(n_bands=24)
    curves = np.concatenate([engine.light_curves(pairs, PHASE)[:, 0] for pairs in (contact, detached)])
    return dict(zip(PERIODS, curves, strict=True))


def ztf_rows(fluxes, *, n=250, seed=4):
    """Points of the six stars in the shape of ZTF, shuffled; a tenth is flagged and wrong."""
    rng = np.random.default_rng(seed)
    columns = {name: [] for name in ("oid", "hjd", "mag", "magerr", "catflags", "filtercode", "ra", "dec")}
    for star, flux in fluxes.items():
        time = 2458200 + rng.uniform(0, 900, n)
        mag = 15.0 - 2.5 * np.log10(np.interp(time / PERIODS[star] % 1.0, PHASE, flux)) + rng.normal(0, 0.01, n)
        flagged = rng.random(n) < 0.1
        band = np.where(rng.random(n) < 0.15, "zg", "zr")
        for name, data in (
            ("oid", np.full(n, int(star))), ("hjd", time), ("mag", np.where(flagged, mag + 1.0, mag)),
            ("magerr", np.full(n, 0.01)), ("catflags", np.where(flagged, 32768, 0)), ("filtercode", band),
            ("ra", np.full(n, 100.0 + int(star))), ("dec", np.full(n, 10.0)),
        ):  # fmt: skip
            columns[name].append(data)
    order = rng.permutation(n * len(fluxes))
    return {name: np.concatenate(parts)[order] for name, parts in columns.items()}


@pytest.fixture(scope="module")
def ztf(fluxes, tmp_path_factory):
    path = tmp_path_factory.mktemp("ztf") / "ztf.csv"
    pa_csv.write_csv(pa.table(ztf_rows(fluxes)), path)
    return path


@pytest.fixture(scope="module")
def periods(tmp_path_factory):
    """Periods of all but star 5, whose minima differ: of equal ones a search could only find half the period."""
    path = tmp_path_factory.mktemp("periods") / "periods.csv"
    lines = [f"{star},{period}" for star, period in PERIODS.items() if star != "5"]
    path.write_text("\n".join(["oid,period", *lines]) + "\n")
    return path


@pytest.fixture(scope="module")
def measured(ztf, periods, tmp_path_factory):
    """Output folder of the command."""
    out = tmp_path_factory.mktemp("out") / "measured"
    assert measure(ztf, "--preset", "ztf", "--periods", periods, "--out", out) == 0
    return out


def measure(*arguments):
    return main(["measure", *(str(item) for item in arguments)])


def test_periods_classes_and_c_are_those_that_were_put_in(measured):
    table = Table.read(measured / "measured.ecsv")
    assert list(table["id"]) == list(PERIODS)
    for row in table:
        star = row["id"]
        assert row["period"] == pytest.approx(PERIODS[star], rel=1e-4)
        assert row["period_source"] == ("search" if star == "5" else "refined")
        assert row["light_curve_class"] == ("contact" if star in CONTACT else "detached")
        assert (row["c"] > 0.7) == (star in CONTACT)
        assert (row["W"] > 0) == (star in CONTACT)
        assert row["survey"] == "ZTF"
        assert row["band"] == "zr"
        assert row["RAJ2000"] == 100.0 + int(star)
        assert 15.0 < row["mag_median"] < 15.4
        assert row["n_points"] < 220
    assert table["period_survey"].mask.tolist() == [False, False, False, False, True, False]


def test_every_column_is_one_of_the_catalogue_with_its_meaning(measured):
    table = Table.read(measured / "measured.ecsv")
    for name in table.colnames:
        assert table[name].description, name
    units = {"period": "d", "depth1": "mag", "RAJ2000": "deg", "mag_median": "mag", "scatter": "mag", "c": "None"}
    assert {name: str(table[name].unit) for name in units} == units
    # Nothing that only a selection, a distance or a reddening could tell.
    assert not {"M_V", "VI0", "selected", "rank", "galaxy", "E_VI", "I_mag"} & set(table.colnames)
    fits = Table.read(measured / "measured.fits")
    assert fits.colnames == table.colnames
    np.testing.assert_array_equal(fits["c"], table["c"])


def test_the_folder_tells_what_ran_on_what(measured, ztf, periods):
    names = {path.name for path in measured.iterdir()}
    assert names == {
        "measured.ecsv", "measured.fits", "atlas_01.png", "shapes.png", "shapes.pdf", "summary.txt", "settings.toml",
        "provenance.json",
    }  # fmt: skip
    content = json.loads((measured / "provenance.json").read_text())
    assert content["survey"] == "ZTF"
    assert [item["name"] for item in content["inputs"]] == [ztf.name, periods.name]
    counts = content["counts"]["table"]
    rows = sum(count for name, count in counts.items() if name.startswith("rows: "))
    assert rows == 1500
    assert 100 < counts["rows: rejected by catflags"] < 200
    assert counts["classes: contact"] == 3
    assert content["settings"]["table"]["preset"] == "ztf"
    assert load_settings(measured / "settings.toml").table.preset == "ztf"


def test_the_summary_counts_points_stars_and_classes(measured, ztf, periods, tmp_path, capsys):
    assert measure(ztf, "--preset", "ztf", "--periods", periods, "--out", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "survey ZTF" in said
    assert "rejected by catflags" in said
    assert "stars: 6; measured in zr (6)" in said
    assert "periods: 5 refined, 1 search" in said
    assert "in place of the listed one" not in said
    assert "classes: 3 contact, 3 detached" in said
    assert (measured / "summary.txt").read_text() in said


def test_neither_rows_nor_threads_nor_chunks_change_a_star(fluxes, tmp_path):
    rows = ztf_rows(fluxes, n=120)
    order = np.random.default_rng(9).permutation(len(rows["oid"]))
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    pq.write_table(pa.table(rows), paths[0])
    pq.write_table(pa.table({name: data[order] for name, data in rows.items()}), paths[1], row_group_size=50)
    base = load_settings().model_copy(update={"table": TableSettings(preset="ztf")})
    listed = tmp_path / "p.csv"
    listed.write_text("id,P\n" + "".join(f"{star},{period}\n" for star, period in PERIODS.items()))
    small = base.model_copy(
        update={
            "table": TableSettings(preset="ztf", points_in_memory=1000),
            "lightcurves": base.lightcurves.model_copy(update={"chunk": 1}),
        }
    )
    one = measure_table([paths[0]], settings=base, periods=listed)
    other = measure_table([paths[1]], settings=small, periods=listed, jobs=2)
    assert one.counts == other.counts
    assert [item.curve.star for item in one.shown] == [item.curve.star for item in other.shown]
    for name in one.stars.colnames:
        np.testing.assert_array_equal(one.stars[name], other.stars[name], err_msg=name)


def test_figures_name_the_band_and_simulated_stars(fluxes, tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table(ztf_rows(fluxes, n=120)), path)
    listed = tmp_path / "p.csv"
    listed.write_text("id,P\n" + "".join(f"{star},{period}\n" for star, period in PERIODS.items()))
    base = load_settings().model_copy(update={"table": TableSettings(preset="ztf", survey="mock")})
    found = measure_table([path], settings=base, periods=listed)
    assert set(found.stars["survey"]) == {"mock"}
    (page,) = _atlas(found)
    assert {axes.get_ylabel() for axes in page.axes} == {"", "zr [mag]"}
    assert all(axes.get_ylim()[0] > axes.get_ylim()[1] for axes in page.axes)
    assert any("simulated" in text.get_text() for text in page.texts)
    (axes,) = shape_period_diagram(found.stars, survey="mock").axes
    assert "simulated" in axes.get_title()
    shown = sum(len(container[0].get_xdata()) for container in axes.containers)
    assert shown == np.isfinite(values(found.stars, "c")).sum()


def test_another_band_can_be_asked_for(ztf, periods, tmp_path):
    out = tmp_path / "out"
    assert measure(ztf, "--preset", "ztf", "--band", "zg", "--periods", periods, "--out", out) == 0
    table = Table.read(out / "measured.ecsv")
    assert set(table["band"]) == {"zg"}
    assert (table["n_points"] < 60).all()


def test_stars_of_few_points_are_kept_and_flagged(tmp_path, capsys):
    path = tmp_path / "t.csv"
    path.write_text(
        "oid,hjd,mag,magerr,catflags,filtercode\n" + "".join(f"1,{2458200 + k},15,0.01,0,zr\n" for k in range(5))
    )
    assert measure(path, "--preset", "ztf", "--out", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "flagged: 1 too few points for a shape" in said
    assert "classes: none" in said
    table = Table.read(tmp_path / "out" / "measured.ecsv")
    assert table["n_points"][0] == 5
    assert np.ma.is_masked(table["c"][0])
    assert not (tmp_path / "out" / "atlas_01.png").exists()


def test_what_is_missing_is_said(ztf, tmp_path, capsys):
    rows = (
        pa_csv.read_csv(ztf)
        .drop_columns(["ra", "dec"])
        .rename_columns(
            {"oid": "asas_sn_id", "hjd": "jd", "magerr": "mag_err", "filtercode": "phot_filter", "catflags": "quality"}
        )
    )
    rows = rows.set_column(rows.column_names.index("quality"), "quality", pa.array(["G"] * len(rows)))
    path = tmp_path / "asassn.csv"
    pa_csv.write_csv(rows, path)
    listed = tmp_path / "p.csv"
    listed.write_text("star,period\n1,0.71\n2,1.37\n3,1.04\n4,2.13\n5,1.71\n6,0.93\n77,1.0\n")
    assert measure(path, "--preset", "asas-sn", "--band", "zr", "--periods", listed, "--out", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "note: 6 stars have no coordinates" in said
    assert "time_at is not set" not in said
    assert "note: 1 stars of the table of periods have no light curve, such as 77" in said


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("oid,period\n1,0.7\n1,0.8\n", "more than one row of star 1"),
        ("oid,period\n1,-0.7\n", "row 1: period -0.7 d of star 1 is no period"),
        ("oid,period\n1,0.7\n2,1e9\n", "row 2: period 1e+09 d of star 2 is no period"),
        ("oid,period\n1,0.7\n2,short\n", "row 2: column period holds 'short'"),
        ("oid,period\n1,0.7\n ,0.8\n", "row 2 has no identifier in column oid"),
        ("oid,period\n1,0.7\n4.29580672e+18,0.8\n", "row 2: identifier 4.29580672e+18 in column oid"),
        ("oid,period,T0\n1,0.7,57000.5\n", "row 1: epoch 57000.5 (T0) is no full heliocentric Julian date"),
        ("oid,period\n1,0.7,3\n2,0.8\n", "1 lines have another number of fields"),
        ("oid,period\n", "has no rows"),
        ("oid,length\n1,0.7\n", "no column of periods"),
        ("who,period\n1,0.7\n", "no column of stars"),
    ],
)
def test_a_table_of_periods_that_makes_no_sense_is_refused(content, message, ztf, tmp_path, capsys):
    path = tmp_path / "p.csv"
    path.write_text(content)
    assert measure(ztf, "--preset", "ztf", "--periods", path, "--out", tmp_path / "out") == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("unit", ["", "h"])
def test_a_table_of_periods_keeps_names_as_they_are_written(unit, tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("id;P;T0\n007;0.5;2457000.25\n7;;\n12.0;nan;2457001.5\n")
    listed = read_periods(path)
    assert list(listed.periods) == ["007", "7", "12"]
    np.testing.assert_array_equal(list(listed.periods.values()), [0.5, np.nan, np.nan])
    np.testing.assert_array_equal(list(listed.epochs.values()), [2457000.25, np.nan, 2457001.5])
    table = Table({"id": ["007"], "P": [12.0]})
    table["P"].unit = unit or None
    table.write(tmp_path / "p.vot", format="votable")
    assert read_periods(tmp_path / "p.vot").periods == {"007": 0.5 if unit else 12.0}


def test_names_of_any_kind_reach_every_product(fluxes, tmp_path):
    """A dollar begins no formula, and FITS holds what it can of letters that it has not."""
    rows = ztf_rows({"1": fluxes["1"], "4": fluxes["4"]}, n=120)
    names = np.where(rows["oid"] == 1, "a$b_{$", "Bélla")
    pq.write_table(pa.table(rows | {"oid": names, "filtercode": np.full(len(names), "$z")}), tmp_path / "t.parquet")
    (tmp_path / "p.csv").write_text(f"id,P\na$b_{{$,{PERIODS['1']}\nBélla,{PERIODS['4']}\n", encoding="utf-8")
    (tmp_path / "s.toml").write_text(
        '[table]\npreset = "ztf"\nsurvey = "Ω $_{ survey"\nbands = ["$z"]\n', encoding="utf-8"
    )
    out = tmp_path / "out"
    given = ("--settings", tmp_path / "s.toml", "--periods", tmp_path / "p.csv", "--out", out)
    assert measure(tmp_path / "t.parquet", *given) == 0
    table, fits = Table.read(out / "measured.ecsv"), Table.read(out / "measured.fits")
    assert list(table["id"]) == ["Bélla", "a$b_{$"]
    assert list(table["survey"]) == ["Ω $_{ survey"] * 2
    assert list(fits["id"]) == ["Bella", "a$b_{$"]
    assert list(fits["survey"]) == ["? $_{ survey"] * 2
    assert (out / "atlas_01.png").is_file()


def test_stars_of_another_band_are_not_lost_without_a_word(ztf, periods, tmp_path, capsys):
    rows = pa_csv.read_csv(ztf).to_pydict()
    rows["filtercode"] = [
        "other" if star == 6 else band for star, band in zip(rows["oid"], rows["filtercode"], strict=True)
    ]
    pa_csv.write_csv(pa.table(rows), tmp_path / "t.csv")
    (tmp_path / "s.toml").write_text('[table]\npreset = "ztf"\nbands_second = ["other"]\n')
    given = ("--settings", tmp_path / "s.toml", "--periods", periods, "--out", tmp_path / "out")
    assert measure(tmp_path / "t.csv", *given) == 0
    assert (
        "note: 1 stars have points in other only and are not measured: choose them by --band" in capsys.readouterr().out
    )
    counts = json.loads((tmp_path / "out" / "provenance.json").read_text())["counts"]["table"]
    assert counts["stars of the second band only"] == 1
    assert list(Table.read(tmp_path / "out" / "measured.ecsv")["id"]) == list(PERIODS)[:5]
    assert measure(tmp_path / "t.csv", *given[:4], "--band", "none", "--out", tmp_path / "out2") == 1
    assert "in bands none, but" in capsys.readouterr().err


def test_requests_that_cannot_be_met_are_refused(ztf, measured, tmp_path, capsys):
    assert measure(ztf, "--preset", "kepler", "--out", tmp_path / "out") == 2
    assert "no preset 'kepler'" in capsys.readouterr().err
    assert measure(ztf, "--out", tmp_path / "out") == 2
    assert "lacks id_column" in capsys.readouterr().err
    assert measure(ztf, "--preset", "gaia", "--out", tmp_path / "out") == 1
    assert "no column for id (source_id)" in capsys.readouterr().err
    assert measure(ztf, "--preset", "ztf", "--out", measured) == 1
    assert "holds the output of a run" in capsys.readouterr().err
    assert measure(ztf, "--preset", "gaia-raw", "--band", "G", "--out", tmp_path / "out") == 2
    assert "band_column, as bands are asked for" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_real_asas_stars_are_told_apart_as_their_catalogue_does(shared_data, tmp_path, capsys):
    index = Table.read(shared_data / "asas" / "index.csv", format="ascii.csv")
    period = np.array(index["acvs_period_d"], dtype=float)
    kind = np.array(index["acvs_class"], dtype=str)
    chosen = {name: np.flatnonzero((kind == name) & (period > 0.2) & (period < 5))[:15] for name in ("EC", "ED")}
    wanted = {str(index["id"][k]): k for places in chosen.values() for k in places}
    with tarfile.open(shared_data / "asas" / "lc.tar.gz") as archive:
        members = [item for item in archive.getmembers() if item.name.rpartition("/")[2].removesuffix(".dat") in wanted]
        archive.extractall(tmp_path, members=members, filter="data")
    listed = tmp_path / "p.csv"
    listed.write_text("id,period\n" + "".join(f"{star},{period[k]}\n" for star, k in wanted.items()))
    settings = tmp_path / "s.toml"
    settings.write_text(
        '[table]\nsurvey = "ASAS"\nid_column = []\ntime_column = "col1"\ntime_zero = "0 d"\nmag_column = "col2"\n'
        'mag_err_column = "col3"\n'
    )
    paths = sorted((tmp_path / "lc").glob("*.dat"))
    assert len(paths) == len(wanted) == 30
    assert measure(*paths, "--settings", settings, "--periods", listed, "--out", tmp_path / "out") == 0
    assert "note: times are taken as heliocentric, as time_at is not set" in capsys.readouterr().out
    table = Table.read(tmp_path / "out" / "measured.ecsv")
    c = {str(row["id"]): float(np.ma.filled(row["c"], np.nan)) for row in table}
    contact, detached = (np.array([c[str(index["id"][k])] for k in chosen[name]]) for name in ("EC", "ED"))
    assert np.mean(contact >= 0.6) > 0.75
    assert np.mean(detached < 0.6) > 0.75
