"""Tables that a user gives: layouts of text, columns by name and number, and messages."""

import numpy as np
import pytest
from astropy.table import Table
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cbminer.errors import InputFormatError
from cbminer.tables import find_column, is_fits, number_column, read_user_table

LAYOUTS = {
    "blanks": ("a b c\n1 2 x\n3 4 y\n", ["a", "b", "c"]),
    "comment": ("# prose of three words here\n#a b c\n1 2 x\n3 4 y\n", ["a", "b", "c"]),
    "comment of as many words": ("# made by me\n# a b c\n1 2 x\n3 4 y\n", ["a", "b", "c"]),
    "units in a comment": ("# a b c\n# [deg] [mag] [km/s]\n1 2 x\n3 4 y\n", ["a", "b", "c"]),
    "no header": ("1 2 x\n3 4 y\n", ["col1", "col2", "col3"]),
    "no header, prose": ("# a map of the clouds\n1 2 x\n3 4 y\n", ["col1", "col2", "col3"]),
    "tabs": ("a\tb\tc\n1\t2\tx\n3\t4\ty\n", ["a", "b", "c"]),
    "semicolons": ("# VizieR\n\na;b;c\n ;mag; \n---;---;---\n1;2;x\n3;4;y\n", ["a", "b", "c"]),
    "commas": ("a,b,c\n1,2,x\n3,4,y\n", ["a", "b", "c"]),
    "bars": ("a|b|c\n1|2|x\n3|4|y\n", ["a", "b", "c"]),
    "one name twice": ("a a c\n1 2 x\n3 4 y\n", ["a", "a_2", "c"]),
    "end of VizieR": ("a\tb\tc\n--\t--\t--\n1\t2\tx\n3\t4\ty\n\n#END#\n", ["a", "b", "c"]),
    "many lines of comment": ("# x\n" * 100 + "a b c\n1 2 x\n3 4 y\n", ["a", "b", "c"]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_text(tmp_path, layout):
    text, names = LAYOUTS[layout]
    (tmp_path / "t.txt").write_text(text, encoding="utf-8")
    table = read_user_table(tmp_path / "t.txt", what="table")
    assert table.colnames == names
    assert [list(row) for row in table] == [[1, 2, "x"], [3, 4, "y"]]


def test_units_and_empty_fields(tmp_path):
    text = "a\tb\tc\ndeg\tarcmin\t\n---\t---\t---\n  \t 2.5\tx\n 3\t  -\t  \n"
    (tmp_path / "t.tsv").write_text(text, encoding="utf-8")
    table = read_user_table(tmp_path / "t.tsv", what="table")
    assert [str(table[name].unit) for name in "abc"] == ["deg", "arcmin", "None"]
    np.testing.assert_array_equal(number_column(table, "a", unit="deg"), [np.nan, 3.0])
    np.testing.assert_allclose(number_column(table, "b", unit="deg"), [2.5 / 60, np.nan])
    assert list(np.ma.getmaskarray(table["c"])) == [False, True]


@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6, allow_subnormal=False), st.integers(-99, 99)), min_size=1, max_size=20),
    st.sampled_from([" ", "\t", ";", "|", ","]),
    st.sampled_from(["first line", "comment", "none"]),
)
@hypothesis_settings(max_examples=60, deadline=None)
def test_numbers_come_back_whatever_the_layout(tmp_path_factory, rows, mark, where):
    path = tmp_path_factory.mktemp("t") / "t.dat"
    head = {"first line": f"alpha{mark}beta\n", "comment": f"# alpha{mark}beta\n", "none": ""}[where]
    path.write_text(head + "".join(f"{a!r}{mark}{b}\n" for a, b in rows), encoding="utf-8")
    table = read_user_table(path, what="table")
    assert table.colnames == (["col1", "col2"] if where == "none" else ["alpha", "beta"])
    np.testing.assert_array_equal(number_column(table, table.colnames[0]), [a for a, _ in rows])
    np.testing.assert_array_equal(number_column(table, table.colnames[1]), [b for _, b in rows])


def test_columns_by_name_case_and_number():
    table = Table({"E_E(V-I)": [1.0], "e_E(V-I)": [2.0], "RA[deg]": [3.0]})
    assert find_column(table, ("e_E(V-I)",)) == "e_E(V-I)"
    assert find_column(table, ("E_E(V-I)",)) == "E_E(V-I)"
    assert find_column(table, ("e_e(v-i)",)) == "E_E(V-I)"
    assert find_column(table, ("dec", "ra")) == "RA[deg]"
    assert find_column(table, ("ra",), chosen="ra") is None
    assert [find_column(table, (), chosen=number) for number in (0, 1, 3, 4)] == [None, "E_E(V-I)", "RA[deg]", None]


def test_what_is_no_number_is_named(tmp_path):
    (tmp_path / "t.txt").write_text("a b\n1 2\n3 4x\n", encoding="utf-8")
    table = read_user_table(tmp_path / "t.txt", what="table")
    with pytest.raises(InputFormatError, match=r"column b of table t.txt does not hold numbers .*row 2 has '4x'"):
        number_column(table, "b", where="table t.txt")
    with pytest.raises(InputFormatError, match="column v of the table holds 2 numbers a row"):
        number_column(Table({"v": [[1.0, 2.0]]}), "v")
    lengths = Table({"d": [1.0]}, units={"d": "km"})
    with pytest.raises(InputFormatError, match="column d of the table does not hold numbers in deg"):
        number_column(lengths, "d", unit="deg")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as a table|has no rows"),
        ("a b c\n1 2\n3 4 5\n", "cannot be read"),
        ("a b\n", "no rows|cannot"),
    ],
)
def test_what_is_no_table_is_named(tmp_path, text, message):
    (tmp_path / "t.txt").write_text(text, encoding="utf-8")
    with pytest.raises(InputFormatError, match=message):
        read_user_table(tmp_path / "t.txt", what="table")


def test_names_of_fits_files(tmp_path):
    names = ["a.fits", "a.FIT", "a.fts", "a.fits.gz", "a.fits.fz", "a.txt", "fits.csv"]
    assert [is_fits(tmp_path / name) for name in names] == [True, True, True, True, True, False, False]
