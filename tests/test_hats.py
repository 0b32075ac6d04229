"""HATS catalogues: read by their properties, selected like the archive that they were made of, written and read again."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cbminer.catalogue.schema import COLUMNS
from cbminer.cli import main
from cbminer.columns import float_column, label_column, values
from cbminer.errors import ArchiveError, InputFormatError, OutputError, SettingsError
from cbminer.judged import read_judged
from cbminer.pipeline import run_selection
from cbminer.provenance import read_provenance, write_provenance
from cbminer.report.hats_export import export_hats
from cbminer.settings import load_settings
from cbminer.survey.archive import TableArchive, open_archive
from cbminer.survey.hats import is_hats, properties_text, read_hats, read_properties
from cbminer.survey.hats_writing import INDEX_COLUMN, divide_sky, fine_pixels, write_hats
from cbminer.survey.table_settings import TableSettings

NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\\=: #!"), min_size=1)
VALUES = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\\=: #!\t\n\r\f"))


@given(properties=st.dictionaries(NAMES, VALUES))
@example(properties={" a b": " c ", "#": "!", "=": "\\", "u": "\\u0041"})
def test_properties_are_read_as_they_were_written(properties, tmp_path_factory):
    path = tmp_path_factory.mktemp("properties") / "hats.properties"
    path.write_text(properties_text(properties), encoding="utf-8", newline="")
    assert read_properties(path) == properties


def test_properties_are_read_as_java_writes_them(tmp_path):
    path = tmp_path / "hats.properties"
    path.write_text("#HATS catalog\n! more\n\n  a = 1\nb:2\nc   3\nd\ne=https\\://x/\\\n    y\nf=\\u00e9\\\\\n")
    expected = {"a": "1", "b": "2", "c": "3", "d": "", "e": "https://x/y", "f": "\u00e9\\"}
    assert read_properties(path) == expected


@given(text=st.text())
def test_no_text_breaks_the_reader_of_properties(text, tmp_path_factory):
    path = tmp_path_factory.mktemp("properties") / "hats.properties"
    path.write_text(text, encoding="utf-8", errors="replace", newline="")
    assert all(isinstance(value, str) for value in read_properties(path).values())


@given(
    fine=st.lists(st.integers(0, 12 * 4**29 - 1) | st.integers(0, 40), max_size=60).map(sorted), most=st.integers(1, 9)
)
def test_pixels_divide_the_rows(fine, most):
    fine = np.array(fine, dtype=np.int64)
    pixels = divide_sky(fine, most=most)
    assert [row for pixel in pixels for row in range(pixel.rows.start, pixel.rows.stop)] == list(range(len(fine)))
    for pixel in pixels:
        assert set(fine[pixel.rows] // 4 ** (29 - pixel.order)) == {pixel.number}
        assert pixel.rows.stop - pixel.rows.start <= most or pixel.order == 17


def small_catalogue(folder, *, most=2, stars="S", lists=("lightcurve",), more=None):
    """Write a HATS catalogue of a few stars with three points each."""
    ra, dec = np.array([10.0, 80.1, 80.2, 250.0]), np.array([5.0, -69.0, -69.1, 60.0])
    fine = fine_pixels(ra, dec)
    order = np.argsort(fine)
    columns = {"ra": ra, "dec": dec, "I_mag": ra / 10, "V_mag": ra / 10, "type": ["C"] * 4, INDEX_COLUMN: fine}
    table = pa.table({"id": [f"{stars}{number}" for number in range(4)]} | columns | (more or {}))
    time = pa.array([[2457000.5 + place, 2457001.5, 2457002.5] for place in range(4)])
    names = ["time", "mag", "mag_err", "band"]
    inner = [time, pa.array([[15.0] * 3] * 4), pa.array([[0.01] * 3] * 4), pa.array([["I", "I", "V"]] * 4)]
    for name in lists:
        table = table.append_column(name, pa.StructArray.from_arrays(inner, names=names))
    table = table.take(order)
    folder.mkdir(parents=True)
    pixels = divide_sky(fine[order], most=most)
    parts = ((pixel, table.slice(pixel.rows.start, pixel.rows.stop - pixel.rows.start)) for pixel in pixels)
    assert write_hats(folder, parts, name="small", columns=("ra", "dec"), about={}) == 4
    return folder


def opened(folder, cache, **layout):
    archive = open_archive(str(folder), cache=cache, table=TableSettings(**layout))
    assert isinstance(archive, TableArchive)
    return archive


def test_a_catalogue_and_a_collection_need_no_settings(tmp_path):
    small_catalogue(tmp_path / "all" / "main")
    (tmp_path / "all" / "collection.properties").write_text("obs_collection=all\nhats_primary_table_url=main\n")
    for number, place in enumerate((tmp_path / "all", tmp_path / "all" / "main")):
        archive = opened(place, tmp_path / f"cache{number}")
        reading = archive.catalogue("LMC")
        assert label_column(reading.stars, "id").tolist() == ["S0", "S1", "S2", "S3"]
        assert values(reading.stars, "RAJ2000", "deg").tolist() == [10.0, 80.1, 80.2, 250.0]
        assert archive.survey == "small"
        store = archive.light_curves("LMC", ())
        assert store.read(["S2"]).curves.time.tolist() == [2457001.5, 2457002.5]
        assert store.read(["S2"], band="V").curves.time.tolist() == [2457002.5]
        assert len(store) == 8


def test_pixels_may_be_folders_and_need_no_list(tmp_path):
    folder = small_catalogue(tmp_path / "main")
    for path in sorted(folder.glob("dataset/*/*/*.parquet")):
        inside = path.with_suffix("")
        inside.mkdir()
        path.rename(inside / "part0.parquet")
    properties = folder / "hats.properties"
    properties.write_text(properties.read_text().replace("hats_npix_suffix=.parquet", "hats_npix_suffix=/"))
    assert len(read_hats(folder).files) == 3
    (folder / "partition_info.csv").unlink()
    files = read_hats(folder).files
    assert len(files) == 3
    assert opened(folder, tmp_path / "cache").catalogue("LMC").counts["stars"] == 4


def test_a_missing_pixel_is_named(tmp_path):
    folder = small_catalogue(tmp_path / "main")
    path = min(folder.glob("dataset/*/*/*.parquet"))
    path.unlink()
    with pytest.raises(ArchiveError, match=re.escape(f"{path} of the HATS catalogue {folder} is missing")):
        opened(folder, tmp_path / "cache").catalogue("LMC")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("hats.properties", "dataproduct_type=margin\n", "is of the kind margin"),
        ("hats.properties", "nothing\n", "is of the kind unknown"),
        ("collection.properties", "obs_collection=x\n", "names no primary table here"),
        ("collection.properties", "hats_primary_table_url=https://x/y\n", "give its own folder"),
    ],
)
def test_what_is_no_table_of_rows_on_the_sky_is_refused(name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    assert is_hats(tmp_path)
    with pytest.raises(InputFormatError, match=message):
        read_hats(tmp_path)


def test_a_collection_without_its_table_is_refused(tmp_path):
    (tmp_path / "collection.properties").write_text("hats_primary_table_url=main\n")
    with pytest.raises(ArchiveError, match="copy the collection as a whole"):
        read_hats(tmp_path)


def test_properties_of_the_old_name_are_found_beside_the_data(tmp_path):
    folder = small_catalogue(tmp_path / "main")
    (folder / "hats.properties").rename(folder / "properties")
    (tmp_path / "collection.properties").write_text("hats_primary_table_url=main\n")
    assert is_hats(folder)
    assert len(read_hats(folder).files) == len(read_hats(tmp_path).files) == 3
    assert opened(folder, tmp_path / "cache").survey == "small"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "properties").write_text("a=b\n")
    assert not is_hats(tmp_path / "other")


def test_a_damaged_list_of_pixels_is_refused(tmp_path):
    folder = small_catalogue(tmp_path / "main")
    (folder / "partition_info.csv").write_text("order,pixel\n1,2\n")
    with pytest.raises(InputFormatError, match="expected the columns Norder and Npix"):
        read_hats(folder)


def test_of_several_columns_of_light_curves_one_must_be_named(tmp_path):
    folder = small_catalogue(tmp_path / "main", lists=("first", "second"))
    with pytest.raises(SettingsError, match=r"first, second each has a time .*nested_column"):
        opened(folder, tmp_path / "cache").catalogue("LMC")
    assert len(opened(folder, tmp_path / "cache", nested_column="second").light_curves("LMC", ())) == 8


def test_a_time_that_has_another_name_must_be_named(tmp_path):
    folder = small_catalogue(tmp_path / "main")
    with pytest.raises(SettingsError, match=r"no nested column \(lightcurve\) has a time called mjd"):
        opened(folder, tmp_path / "cache", time_column="mjd").catalogue("LMC")


@pytest.fixture(scope="module")
def run_of_archive(mock_archive, tmp_path_factory):
    """Folder of a run on an archive in OGLE's layout, and the cache."""
    folder = tmp_path_factory.mktemp("selected")
    run, cache = folder / "run", folder / "cache"
    command = ["select", "--galaxy", "LMC", "--archive", str(mock_archive), "--out", str(run), "--cache", str(cache)]
    assert main(command) == 0
    return run, cache


def select(place, cache):
    """Judge the stars of a HATS catalogue without a setting for it."""
    return run_selection(opened(place, cache), ["LMC"], settings=load_settings()).stars


def assert_same_stars(ours, theirs, *, but=()):
    for spec in COLUMNS:
        if spec.name in but:
            continue
        if spec.kind == "text":
            np.testing.assert_array_equal(label_column(ours, spec.name), label_column(theirs, spec.name), spec.name)
        else:
            found = (values(table, spec.name, spec.unit) for table in (ours, theirs))
            np.testing.assert_array_equal(*found, err_msg=spec.name)


def write_with_lsdb(folder, archive):
    """Write the text files of an archive as a HATS collection, as an LSDB user would."""
    lsdb = pytest.importorskip("lsdb")
    pandas, nested_pandas = pytest.importorskip("pandas"), pytest.importorskip("nested_pandas")
    catalogue = archive.catalogue("LMC").stars
    names = {"id": "id", "type": "type", "other_id": "other_id", "remark": "remark"}
    names |= {"ogle4_id": "ogle4_id", "ogle3_id": "ogle3_id", "ogle2_id": "ogle2_id"}
    stars = {name: label_column(catalogue, column) for name, column in names.items()}
    for name, column, unit in (
        ("ra", "RAJ2000", "deg"), ("dec", "DEJ2000", "deg"), ("period", "period", "d"), ("T0", "T0", "d"),
        ("I_mag", "I_mag", "mag"), ("V_mag", "V_mag", "mag"), ("depth1_survey", "depth1_survey", "mag"),
        ("depth2_survey", "depth2_survey", "mag"),
    ):  # fmt: skip
        stars[name] = values(catalogue, column, unit)
    points = []
    for path in sorted((archive.catalogue_folder("LMC") / "phot").glob("?/*.dat")):
        time, mag, err = np.loadtxt(path, unpack=True, ndmin=2)
        columns = {"id": path.stem, "hjd": time, "mag": mag, "mag_err": err, "band": path.parent.name}
        points.append(pandas.DataFrame(columns))
    frame = nested_pandas.NestedFrame(pandas.DataFrame(stars)).set_index("id")
    frame = frame.join_nested(pandas.concat(points).set_index("id"), "curves").reset_index()
    catalogue = lsdb.from_dataframe(frame, ra_column="ra", dec_column="dec", catalog_name="mock", partition_rows=40)
    catalogue.write_catalog(folder, progress_bar=False)


@pytest.mark.filterwarnings("ignore")
def test_a_hats_catalogue_is_selected_like_its_archive(run_of_archive, mock_archive, tmp_path):
    run, cache = run_of_archive
    write_with_lsdb(tmp_path / "hats", open_archive(str(mock_archive), cache=cache))
    of_archive, of_hats = read_judged(run), select(tmp_path / "hats", cache)
    assert np.count_nonzero(of_archive["selected"]) > 5
    assert_same_stars(of_archive, of_hats, but=("flags",))
    assert set(label_column(of_hats, "survey")) == {"mock"}


@pytest.mark.filterwarnings("ignore")
def test_an_exported_catalogue_is_selected_again_with_the_same_candidates(run_of_archive, tmp_path, capsys):
    run, cache = run_of_archive
    written = tmp_path / "written"
    command = ["export", "--run", str(run), "--to", "hats", "--stars", "all", "--cache", str(cache)]
    assert main([*command, "--out", str(written)]) == 0
    of_archive = read_judged(run)
    assert f"{len(of_archive)} stars with " in capsys.readouterr().out
    # The catalogue does not tell a star without a row of parameters from one whose parameters are unknown.
    assert_same_stars(of_archive, select(written, cache), but=("flags",))
    assert_opened_by_lsdb(written, of_archive)


def assert_opened_by_lsdb(folder, judged):
    lsdb, validation = pytest.importorskip("lsdb"), pytest.importorskip("hats.io.validation")
    assert validation.is_valid_catalog(folder, strict=True)
    frame = lsdb.open_catalog(folder).compute()
    assert sorted(frame["id"]) == sorted(label_column(judged, "id").tolist())
    assert frame.index.name == INDEX_COLUMN
    assert frame["lightcurve.band"].isin(["I", "V"]).all()
    assert len(frame["lightcurve.time"]) > 100 * len(frame)
    title = read_properties(folder / "hats.properties")["obs_title"]
    assert title.startswith("SIMULATED STARS, NOT OBSERVATIONS")


def test_an_export_has_units_and_meanings_and_equal_bytes(run_of_archive, tmp_path, capsys):
    run, cache = run_of_archive
    command = ["export", "--run", str(run), "--cache", str(cache)]
    for name in ("one", "two"):
        assert main([*command, "--out", str(tmp_path / name)]) == 0
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    for file in files:
        if file.name != "provenance.json":
            assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    schema = pq.read_schema(next((tmp_path / "one").glob("dataset/*/*/*.parquet")))
    for spec in COLUMNS:
        about = schema.field(spec.name).metadata
        assert about[b"description"].decode() == spec.description
        assert about.get(b"unit", b"").decode() == spec.unit
        assert about[b"ucd"].decode() == spec.ucd
    assert schema.field("lightcurve").type.field("time").metadata[b"unit"] == b"d"
    assert main([*command, "--out", str(tmp_path / "one")]) == 1
    assert "--overwrite" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "one" / "dataset")
    assert main([*command, "--out", str(tmp_path / "one"), "--overwrite"]) == 0
    assert (tmp_path / "one" / "dataset").is_dir()


def test_a_run_of_a_server_is_exported_without_asking_it(run_of_archive, tmp_path, capsys):
    run, _ = run_of_archive
    shutil.copytree(run, tmp_path / "run")
    provenance = read_provenance(run)
    # Nobody listens there: a call that asked would fail.
    write_provenance(tmp_path / "run", replace(provenance, archive="http://127.0.0.1:9/ocvs/"))
    command = ["export", "--run", str(tmp_path / "run"), "--cache", str(tmp_path / "cache")]
    assert main([*command, "--out", str(tmp_path / "hats")]) == 0
    n_stars = np.count_nonzero(read_judged(run)["selected"])
    said = capsys.readouterr().out
    assert f"{n_stars} stars with 0 points" in said
    assert f"{n_stars} stars have no points: their light curves are not in the cache" in said
    schema = pq.read_schema(next((tmp_path / "hats").glob("dataset/*/*/*.parquet")))
    # Stars of a Cloud are where the Cloud is.
    assert "distance_modulus_given" not in schema.names


@pytest.mark.parametrize(
    ("stars", "remedy"), [("all", "name ra_column and dec_column"), ("candidates", "--stars all exports all")]
)
def test_stars_without_positions_are_not_exported(stars, remedy, run_of_archive, monkeypatch, tmp_path):
    run, cache = run_of_archive
    judged = read_judged(run)
    judged["RAJ2000"] = float_column(np.full(len(judged), np.nan), "deg")
    monkeypatch.setattr("cbminer.report.hats_export.judged_blocks", lambda _: [judged])
    with pytest.raises(OutputError, match=remedy):
        export_hats(run, tmp_path, cache=cache, stars=stars)


GALACTIC = """
[survey]
saturation_I = "5 mag"
[table]
survey = "mock"
id_column = "star"
nested_column = "lc"
time_column = "time"
time_zero = "0 d"
mag_column = "mag"
mag_err_column = "err"
band_column = "band"
bands = ["I"]
bands_second = ["V"]
ra_column = "ra"
dec_column = "dec"
period_column = "period"
epoch_column = "T0"
"""
BY_PARALLAX = """
type_column = "kind"
I_column = "imag"
V_column = "vmag"
parallax_column = "plx"
e_parallax_column = "e_plx"
E_VI_column = "evi"
e_E_VI_column = "e_evi"
"""
BY_MAGNITUDE = """
type = "C"
M_V_column = "mv"
e_M_V_column = "e_mv"
VI0_column = "vi0"
e_VI0_column = "e_vi0"
"""


def write_galactic(path, run_of_archive, mock_archive, columns):
    """Write stars of an archive as a table of the Milky Way, each at a distance of its own, a row a star."""
    run, cache = run_of_archive
    stars = read_judged(run)
    names, number = label_column(stars, "id").tolist(), lambda name, unit="mag": values(stars, name, unit)
    store = open_archive(str(mock_archive), cache=cache).light_curves("LMC", names, bands=("I", "V"))
    modulus = np.random.default_rng(4).uniform(9.0, 13.0, len(stars))
    shift, parallax = modulus - 18.477, 10.0 ** (2.0 - modulus / 5.0)
    known = {
        "kind": label_column(stars, "type"), "imag": number("I_mag") + shift, "vmag": number("V_mag") + shift,
        "plx": parallax, "e_plx": 0.03 * parallax, "evi": number("E_VI"), "e_evi": number("e_E_VI"),
        "mv": number("M_V"), "e_mv": number("e_M_V"), "vi0": number("VI0"), "e_vi0": number("e_VI0"),
    }  # fmt: skip
    table = {
        "star": np.char.replace(names, "LMC", "MW"),
        "ra": number("RAJ2000", "deg"),
        "dec": number("DEJ2000", "deg"),
    }
    table |= {"period": number("period_survey", "d"), "T0": number("T0", "d")}
    lists = [[], [], [], []]
    for name, moved in zip(names, shift.tolist(), strict=True):
        curves = [(band, store.read([name], band=band).curves) for band in ("I", "V")]
        lists[0].append(np.concatenate([curve.time for _, curve in curves]))
        lists[1].append(np.concatenate([curve.mag + moved for _, curve in curves]))
        lists[2].append(np.concatenate([curve.mag_err for _, curve in curves]))
        lists[3].append([band for band, curve in curves for _ in curve.time])
    nested = pa.StructArray.from_arrays([pa.array(data) for data in lists], names=["time", "mag", "err", "band"])
    chosen = {name: data for name, data in known.items() if f'"{name}"' in columns}
    pq.write_table(pa.table(table | chosen | {"lc": nested}), path)


@pytest.mark.parametrize("columns", [BY_PARALLAX, BY_MAGNITUDE], ids=["parallax", "magnitude"])
def test_stars_of_the_milky_way_are_selected_exported_and_selected_again(
    columns, run_of_archive, mock_archive, tmp_path
):
    write_galactic(tmp_path / "stars.parquet", run_of_archive, mock_archive, columns)
    (tmp_path / "own.toml").write_text(GALACTIC + columns)
    run, cache = tmp_path / "run", tmp_path / "cache"
    place = ["--archive", str(tmp_path / "stars.parquet"), "--settings", str(tmp_path / "own.toml"), "--out", str(run)]
    assert main(["select", "--galaxy", "MW", "--cache", str(cache), *place]) == 0
    written = ["--stars", "all", "--cache", str(cache), "--out", str(tmp_path / "hats")]
    assert main(["export", "--run", str(run), *written]) == 0
    settings = load_settings(tmp_path / "own.toml").model_copy(update={"table": TableSettings()})
    first = read_judged(run)
    again = run_selection(opened(tmp_path / "hats", cache), ["MW"], settings=settings).stars
    assert np.count_nonzero(first["selected"]) > 5
    np.testing.assert_array_equal(label_column(again, "id"), label_column(first, "id"))
    np.testing.assert_array_equal(again["selected"], first["selected"])
    for name in ("M_V", "e_M_V", "VI0", "e_VI0"):
        np.testing.assert_allclose(values(again, name, "mag"), values(first, name, "mag"), atol=3e-4, err_msg=name)
