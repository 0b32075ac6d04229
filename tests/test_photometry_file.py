"""The reader of light-curve files."""

from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cbminer.errors import InputFormatError
from cbminer.survey import photometry_file
from cbminer.survey.photometry_file import parse_light_curve, read_light_curve

GOOD = "2455000.12345 16.123 0.010\n2455001.12345 16.223 0.011\n2455002.12345 16.150 0.010\n"


def write(folder, content):
    path = folder / "OGLE-LMC-ECL-00001.dat"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_points_are_read(tmp_path):
    curve = read_light_curve(write(tmp_path, GOOD))
    np.testing.assert_array_equal(curve.time, [2455000.12345, 2455001.12345, 2455002.12345])
    np.testing.assert_allclose(curve.mag, [16.123, 16.223, 16.150], atol=1e-6)
    assert curve.mag.dtype == np.float32


def test_offset_times_become_full_dates(tmp_path):
    curve = read_light_curve(write(tmp_path, GOOD.replace("2455", "5")))
    assert curve.time[0] == pytest.approx(2455000.12345, abs=1e-6)


@pytest.mark.parametrize(
    "bad",
    [
        "2455003.1 16.1\n",
        "2455003.1 16.1 0.01 3\n",
        "2455003.1 abc 0.01\n",
        "57003.5 16.1 0.01\n",
        "nan 16.1 0.01\n",
        "inf 16.1 0.01\n",
        "- 16.1 0.01\n",
        # Python reads these as numbers, but no survey writes them.
        "2455003.1 1_6.1 0.01\n",
        "2455003.1 \N{ARABIC-INDIC DIGIT ONE}6.1 0.01\n",
    ],
)
def test_malformed_line_is_set_aside(tmp_path, bad):
    curve = read_light_curve(write(tmp_path, GOOD + bad))
    assert len(curve) == 3
    assert curve.set_aside[0].line == 4
    with pytest.raises(InputFormatError, match="line 4: expected"):
        read_light_curve(write(tmp_path, GOOD + bad), strict=True)


def test_cut_off_number_is_set_aside(tmp_path):
    curve = read_light_curve(write(tmp_path, GOOD + "2455003.12345 16.2"))
    assert len(curve) == 3
    assert len(read_light_curve(write(tmp_path, GOOD + "2455003.12345 16.200 0.01"))) == 3
    assert len(read_light_curve(write(tmp_path, GOOD + "2455003.12345 16.200 0.010"))) == 4


def test_two_bad_lines_whose_words_add_up_are_noticed(tmp_path):
    curve = read_light_curve(write(tmp_path, GOOD + "2455003.1 16.1\n0.01 2455004.1 16.1 0.01\n"))
    assert len(curve) == 3
    assert len(curve.set_aside) == 2


def test_magic_magnitudes_are_counted_and_left_out(tmp_path):
    curve = read_light_curve(write(tmp_path, GOOD + "2455003.12345 99.999 9.999\n"))
    assert (len(curve), curve.n_missing) == (3, 1)


@pytest.mark.parametrize("error", ["1e300", "9" * 60, "1" + "0" * 400 + ".5", "inf", "1e999"])
def test_error_that_float32_cannot_hold_is_infinite(tmp_path, error):
    curve = read_light_curve(write(tmp_path, GOOD + f"2455003.12345 16.200 {error}\n"))
    assert len(curve) == 4
    assert curve.mag_err[3] == np.inf


@pytest.mark.parametrize("mag", ["nan", "-", "inf", "-inf", "-1.5", "0", "1e30", "99.99"])
def test_point_without_a_magnitude_is_counted(tmp_path, mag):
    curve = read_light_curve(write(tmp_path, GOOD + f"2455003.12345 {mag} 0.010\n"))
    assert (len(curve), curve.n_missing, curve.set_aside) == (3, 1, [])


@pytest.mark.parametrize("number", ["16.", "+16.0", "1.6e1", "16", "0016.000", "160E-1"])
def test_number_may_be_written_in_many_ways(tmp_path, number):
    assert read_light_curve(write(tmp_path, GOOD + f"2455003.12345\t{number}\t.5\n")).mag[3] == np.float32(16)


@pytest.mark.parametrize("end", ["\r\n", " \n", "\t\r\n", "\n\n", "\n \n"])
def test_line_ends_and_blank_lines_do_not_matter(tmp_path, end):
    assert len(read_light_curve(write(tmp_path, GOOD.replace("\n", end)))) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\x00" * 40, "binary file"),
        (b"name,value\na,1\nb,2\n", "do not have the layout of an OGLE light curve"),
        (b"\xff\xfe1\xfa\n", "plain text"),
        (b"55000.1 16.1 0.01\n55001.1 16.2 0.01\n", "expected a time as HJD"),
    ],
)
def test_file_that_is_no_light_curve_is_refused(tmp_path, content, message):
    with pytest.raises(InputFormatError, match=message):
        read_light_curve(write(tmp_path, content))


@given(st.lists(st.tuples(st.floats(0, 9999), st.floats(10, 22), st.floats(0.001, 0.4)), min_size=1, max_size=40))
def test_what_is_written_is_read_back(tmp_path_factory, points):
    lines = [f"{2450000 + t:13.5f} {m:6.3f} {e:5.3f}\n" for t, m, e in points]
    curve = read_light_curve(write(tmp_path_factory.mktemp("lc"), "".join(lines)))
    assert len(curve) == len(points)
    np.testing.assert_allclose(curve.mag, [m for _, m, _ in points], atol=6e-4)


def test_native_ogle_iv_format_is_read(shared_data):
    path = next((shared_data / "ogle4_lmc_cep" / "I").glob("*.dat"))
    curve = read_light_curve(path)
    assert len(curve) > 100
    assert curve.time.min() > 2450000


def plain(decimals):
    return st.tuples(st.sampled_from(["", "-", "+", "00"]), st.integers(0, 10**9), decimals).map(
        lambda parts: f"{parts[0]}{parts[1] / 10 ** parts[2]:.{parts[2]}f}"
    )


DATES = (
    st.floats(2440000, 2480000).map("{:.5f}".format)
    | st.floats(0, 9999).map("{:.5f}".format)
    # More digits than a double can hold.
    | st.tuples(st.integers(2440000, 2479999), st.integers(0, 10**12)).map(lambda parts: f"{parts[0]}.{parts[1]}")
)
ODD = st.sampled_from(
    ["nan", "-inf", "-", "1.", ".5", "1e5", "1_0", "99.999", "1e300", "1e-400", "0x10", "1.2.3", "--1", "1" * 16, "-0"]
)
NUMBERS = plain(st.integers(0, 6)) | ODD | st.text("0123456789.+-eE_", min_size=1, max_size=18)
LINES = st.builds(
    lambda lead, words, gap, end: lead + gap.join(words) + end,
    st.sampled_from(["", " ", "\t "]),
    st.tuples(DATES | NUMBERS, NUMBERS, NUMBERS) | st.lists(NUMBERS, max_size=5),
    st.sampled_from([" ", "  ", "\t", " \t"]),
    st.sampled_from(["\n", "\n", "\n", "\r\n", " \n", "\n\n", "\r", ""]),
)
GOOD_LINES = st.tuples(DATES, plain(st.just(3)), plain(st.just(3))).map(lambda words: " ".join(words) + "\n")
FILES = (
    st.lists(GOOD_LINES | LINES, max_size=8).map("".join).map(str.encode)
    | st.lists(GOOD_LINES, min_size=1).map("".join).map(str.encode)
    | st.binary(max_size=60)
    | st.text("0123456789.+- \t\r\n", max_size=80).map(str.encode)
)


def outcome(data):
    """Everything that a reader can tell apart, bit by bit."""
    try:
        curve = parse_light_curve(Path("star.dat"), data)
    except InputFormatError as error:
        return str(error)
    arrays = curve.time, curve.mag, curve.mag_err
    return [(array.dtype, array.tobytes()) for array in arrays], curve.n_missing, curve.set_aside


@given(FILES)
@example(GOOD.encode())
@example(b"2455000.5 16. +0.1\r\n\t5000.5 -0 1\r\n")
@example(b"2455000.5 16 1" + b"0" * 30 + b"\n")
@example(b"2457000.66137466647 16 1\n")
@example(b"5000.5 16.1+0.1\n5000.5+1 16.1\n5000.5 16.1 0.1\n5000.5 16.1 0.1\n5000.5 16.1 0.1\n")
@example(b"5000.5 16 0.1\n\n")
@example(b"5000.5 16 0.1")
@example(b"5000.5 16 0.1 \n5000.5 16 0.1 0.2\n5000.5 16 .1\n")
def test_clean_files_are_read_as_all_others_are(data):
    found = outcome(data)
    with mock.patch.object(photometry_file, "_parse_at_once", return_value=None):
        assert outcome(data) == found


@given(st.integers(0, 10**15 - 1), st.integers(0, 14), st.booleans())
def test_plain_numbers_are_the_nearest_doubles(digits, decimals, is_negative):
    text = f"{digits:0{decimals + 1}d}"
    number = f"{'-' * is_negative}{text[: len(text) - decimals]}.{text[len(text) - decimals :]}"
    points = photometry_file._parse_at_once(f"5000.5 {number} {number}\n".encode())
    assert points[0, 1].tobytes() == np.float64(float(number)).tobytes()
    assert points[0, 2].tobytes() == points[0, 1].tobytes()


@pytest.mark.parametrize("cut", range(1, 30))
def test_plain_file_that_is_cut_off_gets_a_closer_look(cut):
    assert photometry_file._parse_at_once(GOOD.encode()) is not None
    assert photometry_file._parse_at_once(GOOD.encode()[:-cut]) is None or GOOD.encode()[:-cut].endswith(b"\n")
