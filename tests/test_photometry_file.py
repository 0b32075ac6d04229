"""The reader of light-curve files."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbminer.errors import InputFormatError
from cbminer.survey.photometry_file import read_light_curve

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
    "bad", ["2455003.1 16.1\n", "2455003.1 16.1 0.01 3\n", "2455003.1 abc 0.01\n", "57003.5 16.1 0.01\n"]
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
