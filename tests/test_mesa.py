"""MESA's histories: whatever the version, what restarts left, and broken files."""

import gzip

import astropy.constants as c
import astropy.units as u
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mesa_files import binary_columns, history_text, star_columns, write_good_run, write_run

from cbminer.errors import InputFormatError
from cbminer.theory.grid import STEP_COLUMNS, EndReason
from cbminer.theory.mesa import read_history
from cbminer.theory.mesa_inlist import inlist_files, read_inlists
from cbminer.theory.mesa_run import hash_run, history_files, read_run

CASES = {
    "fabry2022/models/overcontact/newBCsingle": (32.0, 32.0, 1.5, 0.0071, 815, EndReason.L2_OVERFLOW),
    "fabry2022/models/overcontact/newBCtidal": (32.0, 32.0, 1.5, 0.0071, 843, EndReason.L2_OVERFLOW),
    # 53 models of its 301 are marked as before the zero-age main sequence.
    "fabry2022/models/semidetached/newBCsingle": (5.0, 3.0, 3.0, 0.0142, 248, EndReason.UNKNOWN),
    "fabry2024/cases/24.0/1.15/0.7/ET": (24.0, 16.8, 1.15, 0.0142, 621, EndReason.L2_OVERFLOW),
    "fabry2024/cases/24.0/1.15/0.7/no_ET": (24.0, 16.8, 1.15, 0.0142, 467, EndReason.L2_OVERFLOW),
    "wolniewicz_mira": (2.0, 0.8506895, 181726.2, np.nan, 1189, EndReason.UNKNOWN),
}


@pytest.mark.parametrize("case", CASES)
def test_real_runs(shared_data, case):
    mass_1, mass_2, period, metallicity, n_steps, end = CASES[case]
    run = read_run(shared_data / "mesa" / case)
    found = (run.M1_initial, run.M2_initial, run.period_initial)
    np.testing.assert_allclose(found, (mass_1, mass_2, period), rtol=1e-5)
    np.testing.assert_allclose(run.Z, metallicity, rtol=3e-3)
    assert run.end is end
    assert list(run.steps) == list(STEP_COLUMNS)
    assert {len(column) for column in run.steps.values()} == {n_steps}
    assert np.all(np.diff(run.steps["age"]) >= 0)
    assert run.code.startswith("MESA ")


def test_real_histories_of_every_kind(shared_data):
    """Also those of a single star, of a version without quotes, and of a restart."""
    files = sorted((shared_data / "mesa").rglob("*history.data"))
    assert len(files) == 11
    assert all(len(read_history(path)) > 3 for path in files)
    restart = read_history(shared_data / "mesa" / "mesa_reader_tests" / "tests" / "data" / "restart_history.data")
    assert restart.column("model_number").tolist() == [*range(1, 10), 10, 15, 20, 25]
    assert restart.column("star_age").tolist() == [100.0 * number for number in [*range(1, 10), 10, 15, 20, 25]]


def test_luminosity_and_radius_of_a_real_run_agree(shared_data):
    """L = 4 pi R^2 sigma T^4, the radius over that of the lobe, and Eggleton's lobes: the columns are the right ones."""
    from cbminer.theory.roche_lobe import roche_radius, separation

    run = read_run(shared_data / "mesa" / "fabry2024" / "cases" / "24.0" / "1.15" / "0.7" / "no_ET")
    steps = run.steps
    axis = separation(steps["period"], steps["M1"] + steps["M2"])
    for one, other in (("1", "2"), ("2", "1")):
        luminosity = steps[f"R{one}"] ** 2 * (10.0 ** steps[f"log_Teff{one}"] / 5772) ** 4
        np.testing.assert_allclose(10.0 ** steps[f"log_L{one}"], luminosity, rtol=2e-3)
        lobe = axis * roche_radius(steps[f"M{one}"] / steps[f"M{other}"])
        np.testing.assert_allclose(steps[f"R{one}"] / lobe - 1, steps[f"overflow_{one}"], atol=0.012)


finite = st.floats(allow_nan=False, allow_infinity=False, width=64)


@given(
    rows=st.lists(st.tuples(finite, finite), min_size=1, max_size=8),
    quotes=st.sampled_from(["", "'", '"']),
    version=st.sampled_from(["7624", "15140", "r22.05.1", "24.08.1 of today"]),
)
def test_any_numbers_come_back(tmp_path_factory, rows, quotes, version):
    path = tmp_path_factory.mktemp("mesa") / "history.data"
    version = version if quotes else version.split()[0]
    columns = {"model_number": [str(number + 1) for number in range(len(rows))]}
    columns |= {"star_age": [row[0] for row in rows], "log_L": [row[1] for row in rows]}
    path.write_text(history_text(columns, header={"version_number": f"{quotes}{version}{quotes}", "initial_z": 0.02}))
    history = read_history(path)
    assert history.header == {"version_number": version, "initial_z": "0.02"}
    np.testing.assert_allclose(history.column("star_age"), columns["star_age"], rtol=1e-15)
    np.testing.assert_allclose(history.column("log_L"), columns["log_L"], rtol=1e-15)


def test_numbers_as_fortran_writes_them(tmp_path):
    path = tmp_path / "history.data"
    rows = {"model_number": ["1", "2", "3", "4"], "x_ctrl": ["1.5D+02", "-2.25-101", "1.0+100", "7"]}
    path.write_text(history_text(rows))
    assert read_history(path).column("x_ctrl").tolist() == [150.0, -2.25e-101, 1e100, 7.0]


def test_a_compressed_history(tmp_path):
    (tmp_path / "history.data.gz").write_bytes(gzip.compress(history_text(star_columns()).encode()))
    assert len(read_history(tmp_path / "history.data.gz")) == 8
    (tmp_path / "history.data.gz").write_bytes(gzip.compress(history_text(star_columns()).encode())[:-20])
    with pytest.raises(InputFormatError, match=r"history\.data\.gz cannot be read"):
        read_history(tmp_path / "history.data.gz")


GOOD = history_text(star_columns())


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", r"0 lines, not even a header"),
        ("\n".join(GOOD.splitlines()[:4]), r"3 lines, not even a header"),
        ("\n".join(GOOD.splitlines()[:6]) + "\n", r"a header without models"),
        (GOOD[:-40], r"history\.data, line 14: 6 values for 7 columns"),
        (GOOD + "    9   1.0\n", r"history\.data, line 15: 2 values for 7 columns"),
        # The last number lacks its exponent.
        (GOOD[:-5], r"history\.data, line 14 is cut off"),
        ("\x00\x01\xff", "not even a header"),
    ],
)
def test_a_broken_history_says_where(tmp_path, text, match):
    path = tmp_path / "history.data"
    path.write_text(text)
    with pytest.raises(InputFormatError, match=match):
        read_history(path)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "*********", "-Infinity"])
def test_a_value_that_is_no_number_names_the_model(tmp_path, value):
    columns = star_columns()
    columns["log_L"] = ["4.0", "4.1", value, *["4.2"] * 5]
    folder = write_run(tmp_path / "run", binary=binary_columns(), stars={1: columns, 2: star_columns()})
    with pytest.raises(InputFormatError, match=r"LOGS1.history\.data: log_L of model 3 is "):
        read_run(folder)


# Runs


def test_a_whole_run(tmp_path):
    run = read_run(write_good_run(tmp_path / "run"))
    assert (run.M1_initial, run.M2_initial, run.period_initial) == (12.0, 10.0, 1.0)
    assert run.note == ""
    assert np.isnan(run.Z)
    np.testing.assert_allclose(run.steps["R1"], 10.0 ** np.linspace(0.6, 0.68, 8))
    np.testing.assert_allclose(run.steps["log_L2"], np.linspace(3.8, 3.9, 8))
    assert np.all(run.steps["log_transfer_rate"] == -99)
    assert run.n_bytes == sum(path.stat().st_size for path in (tmp_path / "run").rglob("*.data"))


def test_inlists_over_one_another(tmp_path):
    folder = write_good_run(tmp_path / "run")
    (folder / "inlist").write_text(
        "&binary_controls\n read_extra_binary_controls_inlist1 = .true.\n"
        " extra_binary_controls_inlist1_name = 'inlist_project'\n"
        " read_extra_binary_controls_inlist2 = .false.\n extra_binary_controls_inlist2_name = 'inlist_off'\n/\n"
    )
    (folder / "inlist_project").write_text(
        "&binary_job\n inlist_names(1) = 'inlist1' ! star 1\n inlist_names(2) = 'inlist1'\n/\n"
        "&binary_controls\n m1 = 12.3d0 ! Msun\n m2 = 10.0\n initial_period_in_days = 1.05d0\n/\n"
    )
    (folder / "inlist_off").write_text("&binary_controls\n m1 = 99\n/\n")
    (folder / "inlist1").write_text("&kap\n Zbase = 0.0047\n/\n&controls\n initial_mass = 1\n/\n")
    values = read_inlists(folder)
    assert (values.M1, values.M2, values.period, values.Z) == (12.3, 10.0, 1.05, 0.0047)
    run = read_run(folder)
    assert (run.M1_initial, run.period_initial, run.Z) == (12.3, 1.05, 0.0047)
    assert (
        run.note == "M1 12.3 by its settings, 12 in the first model; period 1.05 by its settings, 1 in the first model"
    )


def test_newer_inlists_name_others_by_index(tmp_path):
    write_run(
        tmp_path,
        inlist="&binary_controls\n read_extra_binary_controls_inlist(1) = .true.\n"
        " extra_binary_controls_inlist_name(1) = 'inlist_extra'\n/\n",
    )
    (tmp_path / "inlist_extra").write_text("&binary_controls\n m1 = 20\n m2 = 15\n/\n")
    assert read_inlists(tmp_path).M1 == 20.0


def test_a_run_of_old_columns(tmp_path):
    """Of gaps instead of overflows, a separation instead of a period, and no radius."""
    binary = binary_columns()
    for number in (1, 2):
        binary[f"rl_relative_gap_{number}"] = binary.pop(f"rl_relative_overflow_{number}")
    binary |= {"period_days": None, "binary_separation": np.full(8, 11.7965)}
    stars = {number: star_columns(log_R=None, log_Teff=np.full(8, 4.4)) for number in (1, 2)}
    run = read_run(write_run(tmp_path / "run", binary=binary, stars=stars))
    day = 2 * np.pi * np.sqrt((11.7965 * u.R_sun) ** 3 / (22 * c.GM_sun))
    np.testing.assert_allclose(run.steps["period"], day.to_value("d"), rtol=1e-6)
    expected = 10.0 ** (np.linspace(4.0, 4.1, 8) / 2) * (5772 / 10**4.4) ** 2
    np.testing.assert_allclose(run.steps["R1"], expected, rtol=1e-6)


def test_stars_are_renumbered_by_mass(tmp_path):
    binary = binary_columns(star_1_mass=np.full(8, 10.0), star_2_mass=np.full(8, 12.0))
    run = read_run(write_run(tmp_path / "run", binary=binary, stars={1: star_columns(log_l=3.8), 2: star_columns()}))
    assert (run.M1_initial, run.M2_initial) == (12.0, 10.0)
    assert run.steps["M1"][0] == 12.0
    assert run.steps["log_L1"][0] == 4.0
    np.testing.assert_allclose(run.steps["overflow_1"], np.linspace(-0.35, 0.15, 8))
    assert "renumbered" in run.note


def test_sparser_history_of_a_star(tmp_path):
    star = {name: column[::2] for name, column in star_columns(9).items()}
    run = read_run(write_run(tmp_path / "run", binary=binary_columns(9), stars={1: star, 2: star_columns(9)}))
    np.testing.assert_allclose(run.steps["log_L1"], np.linspace(4.0, 4.1, 9))
    assert run.note == "4 of 9 models interpolated in LOGS1"
    short = {name: column[:5] for name, column in star_columns(9).items()}
    run = read_run(write_run(tmp_path / "short", binary=binary_columns(9), stars={1: short, 2: star_columns(9)}))
    assert run.note == "4 of 9 models not in LOGS1"
    assert np.isnan(run.steps["log_L1"]).tolist() == [False] * 5 + [True] * 4


def test_a_restart_in_one_of_the_histories(tmp_path):
    """Rows are matched by the number of the model."""
    star = star_columns()
    order = [0, 1, 2, 3, 4, 5, 3, 4, 5, 6, 7]
    again = {name: [column[row] for row in order] for name, column in star.items()}
    again["log_L"] = [9.0 if place in (3, 4, 5) else value for place, value in enumerate(again["log_L"])]
    run = read_run(write_run(tmp_path / "run", binary=binary_columns(), stars={1: again, 2: star_columns()}))
    np.testing.assert_allclose(run.steps["log_L1"], np.linspace(4.0, 4.1, 8))


def test_what_is_absent_is_unknown_and_said(tmp_path):
    run = read_run(write_run(tmp_path / "run", binary=binary_columns(), stars={1: star_columns()}))
    assert np.isnan(run.steps["log_L2"]).all()
    np.testing.assert_allclose(run.steps["R2"], 3.7 * (1 + np.linspace(-0.35, 0.15, 8)))
    assert run.note == "no history of star 2"
    point = binary_columns(point_mass_index=np.full(8, 2.0), rl_relative_overflow_2=np.full(8, -1.0))
    run = read_run(write_run(tmp_path / "point", binary=point, stars={1: star_columns()}))
    assert run.note == "star 2 is a point mass"
    assert np.isnan(run.steps["R2"]).all()


@pytest.mark.parametrize("gone", ["star_1_mass", "star_2_mass", "age", "period_days"])
def test_a_column_that_is_needed(tmp_path, gone):
    columns = binary_columns()
    del columns[gone]
    folder = write_run(tmp_path / "run", binary=columns)
    match = "single star" if gone == "star_1_mass" else rf"binary_history\.data has no column {gone}"
    with pytest.raises(InputFormatError, match=match):
        read_run(folder)


def test_overflow_is_needed_too(tmp_path):
    columns = binary_columns(rl_relative_overflow_2=None, rl_2=None)
    with pytest.raises(InputFormatError, match="neither rl_relative_overflow_2 nor rl_2"):
        read_run(write_run(tmp_path / "run", binary=columns, stars={1: star_columns()}))


def test_age_that_goes_back(tmp_path):
    columns = binary_columns(age=[0, 1e5, 2e5, 3e5, 2.5e5, 5e5, 6e5, 7e5])
    with pytest.raises(InputFormatError, match="the age of model 5 is below"):
        read_run(write_run(tmp_path / "run", binary=columns))


@pytest.mark.parametrize("mark", ["pre_zams_or_relax", "Pre_zams", "pre_zams", "ignore_rlof_flag", "ignore_rlof"])
def test_models_that_relax_are_left_out(tmp_path, mark):
    flags = [1.0, 1.0, 0, 0, 0, 0, 0, 0]
    run = read_run(write_run(tmp_path / "run", binary=binary_columns(**{mark: flags})))
    assert len(run.steps["age"]) == 6
    assert "2 models before" in run.note
    with pytest.raises(InputFormatError, match="none of its 8 models has come to the zero-age"):
        read_run(write_run(tmp_path / "none", binary=binary_columns(Pre_zams=np.ones(8))))


@pytest.mark.parametrize(
    ("changed", "hydrogen", "end"),
    [
        ({}, 0.3, EndReason.UNKNOWN),
        ({}, 1e-4, EndReason.END_OF_MAIN_SEQUENCE),
        # Star 2 alone fills its lobe.
        ({"rl_relative_overflow_1": np.linspace(-0.3, -0.1, 8)}, 1e-4, EndReason.END_OF_MAIN_SEQUENCE),
        (
            {"rl_relative_overflow_1": np.linspace(-0.3, -0.1, 8), "rl_relative_overflow_2": np.full(8, -0.3)},
            1e-4,
            EndReason.NO_INTERACTION,
        ),
        ({"rl_relative_overflow_2": np.linspace(0.1, 0.32, 8)}, 0.3, EndReason.L2_OVERFLOW),
        ({"rl_relative_overflow_1": np.full(8, 0.1), "rl_relative_overflow_2": np.full(8, 0.34)}, 0.3,
         EndReason.L2_OVERFLOW_AT_ZAMS),
        # A donor that is held at its lobe, from below.
        (
            {"rl_relative_overflow_1": np.full(8, -1e-5), "rl_relative_overflow_2": np.full(8, -0.3)},
            1e-4,
            EndReason.END_OF_MAIN_SEQUENCE,
        ),
        ({"stopping_condition": [*[-1.0] * 7, 5.0]}, 0.3, EndReason.MASS_TRANSFER_RATE),
        ({"stopping_condition": [*[-1.0] * 7, 6.0]}, 0.3, EndReason.UNSTABLE_ORBIT),
        ({"stopping_condition": [*[-1.0] * 7, -99.0]}, 1e-4, EndReason.FAILED),
    ],
)  # fmt: skip
def test_why_a_run_ended(tmp_path, changed, hydrogen, end):
    stars = {number: star_columns(center_h1=np.linspace(0.7, hydrogen, 8)) for number in (1, 2)}
    assert read_run(write_run(tmp_path / "run", binary=binary_columns(**changed), stars=stars)).end is end


def test_no_run_at_all(tmp_path):
    assert history_files(tmp_path) == {}
    with pytest.raises(InputFormatError, match="has this run been started"):
        read_run(tmp_path)


def test_the_hash_is_of_all_that_counts(tmp_path):
    folder = write_good_run(tmp_path / "run")
    before = hash_run(folder)
    (folder / "terminal.log").write_text("anything")
    assert hash_run(folder) == before
    (folder / "inlist").write_text("&kap\n Zbase = 0.002\n/\n")
    assert hash_run(folder) != before


def test_an_inlist_that_is_none(tmp_path):
    folder = write_good_run(tmp_path / "run")
    (folder / "inlist").write_text("&binary_controls\n m1 = = 3 (\n")
    with pytest.raises(InputFormatError, match="inlist cannot be read as a list of settings"):
        read_run(folder)


def test_overflow_after_the_main_sequence_is_no_interaction_on_it(tmp_path):
    hydrogen = [0.7, 0.5, 0.2, 0.1, 0.0, 0.0, 0.0, 0.0]
    over = {"rl_relative_overflow_1": [-0.6] * 5 + [-0.1, 0.1, 0.2], "rl_relative_overflow_2": np.full(8, -0.6)}
    stars = {1: star_columns(center_h1=hydrogen), 2: star_columns()}
    assert (
        read_run(write_run(tmp_path / "b", binary=binary_columns(**over), stars=stars)).end is EndReason.NO_INTERACTION
    )
    over["rl_relative_overflow_1"] = [-0.6] * 3 + [0.0] * 5
    run = read_run(write_run(tmp_path / "a", binary=binary_columns(**over), stars=stars))
    assert run.end is EndReason.END_OF_MAIN_SEQUENCE


def test_a_star_that_becomes_a_point_mass(tmp_path):
    """Its past stays, and the orbit that is no more goes."""
    binary = binary_columns(point_mass_index=[0.0] * 6 + [1.0] * 2, period_days=[1.0] * 6 + [1.157e94] * 2)
    run = read_run(write_run(tmp_path / "run", binary=binary, stars={1: star_columns(), 2: star_columns()}))
    assert run.note == "2 models after star 1 became a point mass left out"
    np.testing.assert_allclose(run.steps["log_L1"], np.linspace(4.0, 4.1, 8)[:6])
    assert run.steps["period"].tolist() == [1.0] * 6


@pytest.mark.parametrize(
    "places",
    [
        ("LOGS/binary_history.data", "LOGS_1/history.data", "LOGS_2/history.data"),
        ("LOGS_binary/binary_history.data", "LOGS_star1/history.data", "LOGS_star2/history.data"),
    ],
)
def test_histories_in_other_folders(tmp_path, places):
    for name, columns in zip(places, (binary_columns(), star_columns(), star_columns(log_l=3.8)), strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(history_text(columns))
    run = read_run(tmp_path)
    assert run.note == ""
    assert (run.steps["log_L1"][0], run.steps["log_L2"][0]) == (4.0, 3.8)


def test_period_and_separation_of_real_runs_agree(shared_data):
    """Kepler's third law to the digits of its constant, as MESA has it."""
    from cbminer.theory.roche_lobe import orbital_period

    history = read_history(
        shared_data / "mesa" / "fabry2022" / "models" / "overcontact" / "newBCtidal" / "binary_history.data"
    )
    mass = history.column("star_1_mass") + history.column("star_2_mass")
    period = orbital_period(history.column("binary_separation"), mass)
    np.testing.assert_allclose(period, history.column("period_days"), rtol=2e-4)


def test_inlists_are_read_depth_first(tmp_path):
    """MESA reads what an inlist names before the next one that names it over."""
    for name, others, mass in (("inlist", ("a", "b"), 1), ("a", ("c",), 2), ("c", (), 99), ("b", (), 12.2)):
        reads = "".join(
            f" read_extra_binary_controls_inlist{n} = .true.\n extra_binary_controls_inlist{n}_name = '{other}'\n"
            for n, other in enumerate(others, start=1)
        )
        (tmp_path / name).write_text(f"&binary_controls\n m1 = {mass}\n{reads}/\n")
    assert [path.name for path in inlist_files(tmp_path)] == ["inlist", "a", "c", "b"]
    assert read_inlists(tmp_path).M1 == 12.2


def test_settings_that_do_not_hold(tmp_path):
    """A period that a separation replaces, and a metallicity that is not relaxed to."""
    folder = write_good_run(tmp_path / "run")
    (folder / "inlist").write_bytes(
        "&binary_controls ! R\u00e9glages\n initial_period_in_days = -1d0\n initial_separation_in_Rsuns = 11.8\n/\n"
        "&star_job\n relax_initial_Z = .false.\n new_Z = 0.03\n/\n&kap\n Zbase = 0.0047\n/\n".encode("latin-1")
    )
    run = read_run(folder)
    assert (run.period_initial, run.Z) == (1.0, 0.0047)


def test_an_inlist_by_its_absolute_path(tmp_path):
    (tmp_path / "common").write_text("&kap\n Zbase = 0.0021\n/\n")
    folder = write_good_run(tmp_path / "runs" / "a")
    (folder / "inlist").write_text(
        "&kap\n read_extra_kap_inlist1 = .true.\n extra_kap_inlist1_name = '" + str(tmp_path / "common") + "'\n/\n"
    )
    assert read_run(folder).Z == 0.0021


def test_a_header_in_another_encoding(tmp_path):
    path = tmp_path / "history.data"
    path.write_bytes(history_text(star_columns(), header={"build": '"\u00fcbung"'}).encode("latin-1"))
    assert len(read_history(path)) == 8


@pytest.mark.parametrize("number", ["********", "99999999999999999999999999"])
def test_a_model_number_that_is_none(tmp_path, number):
    columns = star_columns()
    columns["model_number"][3] = number
    path = tmp_path / "history.data"
    path.write_text(history_text(columns))
    with pytest.raises(InputFormatError, match="is no history of MESA"):
        read_history(path)


def test_a_compressed_history_that_is_damaged_inside(tmp_path):
    data = bytearray(gzip.compress(history_text(star_columns(200)).encode()))
    data[200:260] = bytes(60)
    (tmp_path / "history.data.gz").write_bytes(data)
    with pytest.raises(InputFormatError, match="cannot be read"):
        read_history(tmp_path / "history.data.gz")
