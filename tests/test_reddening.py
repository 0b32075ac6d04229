"""Reddening of the stars: the mean, maps as tables of cells, errors to both sides, flags, and the way to the catalogue."""

import numpy as np
import pytest
from astropy.coordinates import angular_separation
from astropy.table import QTable, Table
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cbminer.catalogue.schema import conform
from cbminer.catalogue.writers import plain_table
from cbminer.columns import float_column, values
from cbminer.errors import InputFormatError, SettingsError
from cbminer.flags import Flag, decode_flags
from cbminer.photometry.magnitudes import ExtinctionSettings, add_intrinsic_photometry
from cbminer.photometry.reddening import (
    MapSample,
    MeanReddening,
    ReddeningSettings,
    read_reddening_map,
    reddening_of,
)
from cbminer.photometry.reddening_cells import CellMap
from cbminer.photometry.reddening_layers import Layers
from cbminer.settings import load_settings, settings_to_toml
from cbminer.steps import add_photometry

MEAN = MeanReddening(E_VI="0.1 mag", scatter="0.043 mag")
RA, DEC = np.array([80.0, 81.0, 20.0]), np.array([-69.0, -69.0, -73.0])
SUBSTITUTE = Flag.MEAN_REDDENING | Flag.OUTSIDE_REDDENING_MAP

VIZIER = """\
#
#   VizieR Astronomical Server
#Table\tJ_ApJS_252_23_table1:
#Column\tBox\t(F4.1)\tWidth of the cell
recno\tBox\tRAJ2000\tDEJ2000\tE(V-I)\te_E(V-I)\tE_E(V-I)
\tarcmin\tdeg\tdeg\tmag\tmag\tmag
-----\t----\t----------\t----------\t------\t------\t------
1\t 1.7\t 80.0000\t-69.0000\t 0.120\t 0.020\t 0.050
2\t27.2\t 81.0000\t-69.0000\t-0.003\t 0.010\t 0.030
3\t27.2\t 20.0000\t-73.0000\t      \t      \t
#END#
"""
OGLE = """\
# Magellanic reddening, a line of prose about it
# RA Dec E(V-I) -sigma1 +sigma2 box
# [hh:mm:ss] [dd:mm:ss] [mag] [mag] [mag] [arcmin]
05:20:00.0 -69:00:00.0 0.120 -0.020 0.050 1.7
05:24:00.0 -69:00:00.0 -0.003 -0.010 0.030 27.2
01:20:00.0 -73:00:00.0 9.999 -9.999 9.999 27.2
"""


def cells(ra, dec, value=None, *, size=None, lower=None, upper=None, reach=0.35):
    value = np.arange(len(ra), dtype=float) / 100 if value is None else np.asarray(value, dtype=float)
    sides = (None if side is None else np.asarray(side, dtype=float) for side in (lower, upper))
    ra, dec = np.asarray(ra, dtype=float), np.asarray(dec, dtype=float)
    return CellMap(ra, dec, Layers(value, *sides, 1.0), None if size is None else np.asarray(size, dtype=float), reach)


def at(dust, ra, dec, **given):
    return reddening_of(
        np.atleast_1d(np.asarray(ra, float)), np.atleast_1d(np.asarray(dec, float)), mean=MEAN, dust=dust, **given
    )


def read(path, text=None, **given):
    if text is not None:
        path.write_text(text, encoding="utf-8")
    return read_reddening_map(ReddeningSettings(map=str(path), **given))


def test_mean_is_flagged_and_its_scatter_is_the_error():
    found = at(None, RA, DEC, star_scatter=0.5)
    np.testing.assert_array_equal(found.E_VI, 0.1)
    np.testing.assert_array_equal(found.error, 0.043)
    assert np.all(found.flags == Flag.MEAN_REDDENING)


@pytest.mark.parametrize("suffix", ["csv", "ecsv", "fits", "txt", "vot", "dat.gz"])
def test_nearest_cell_of_a_table_and_the_mean_outside(tmp_path, suffix):
    name = "E_VI" if suffix == "vot" else "E(V-I)"
    table = Table({"RA": [80.1, 81.0], "Dec": [-69.0, -69.1], name: [0.2, 0.3], "err": [0.02, np.nan]})
    path = tmp_path / f"map.{suffix}"
    writers = {"csv": "ascii.csv", "ecsv": "ascii.ecsv", "fits": "fits", "vot": "votable"}
    if suffix == "dat.gz":
        import gzip

        with gzip.open(path, "wt") as file:
            table.write(file, format="ascii.commented_header")
    else:
        table.write(path, format=writers.get(suffix, "ascii.commented_header"))
    found = at(read(path), RA, DEC)
    np.testing.assert_allclose(found.E_VI, [0.2, 0.3, 0.1])
    np.testing.assert_allclose(found.error, [0.02, 0.043, 0.043])
    assert list(found.flags) == [0, 0, SUBSTITUTE]


def test_nearest_cell_is_one_with_a_value(tmp_path):
    text = "RA Dec EVI\n80.0 -69.0 99.999\n80.1 -69.0 null\n80.2 -69.0 0.3\n"
    found = at(read(tmp_path / "map.txt", text), [80.0, 80.1], [-69.0, -69.0])
    np.testing.assert_array_equal(found.E_VI, 0.3)
    assert not found.flags.any()


@pytest.mark.parametrize(("name", "text"), [("vizier.tsv", VIZIER), ("ogle.txt", OGLE)])
def test_map_of_the_clouds_with_widths_and_errors_to_both_sides(tmp_path, name, text):
    dust = read(tmp_path / name, text)
    np.testing.assert_allclose(dust.size * 60, [1.7, 27.2, 27.2])
    # The first star lies a cell's width beside the small cell, the second 0.1 deg inside of the large one.
    found = at(dust, [80.0, 80.1, 81.2, 20.0], [-69.0, -69.0, -69.1, -73.0])
    np.testing.assert_allclose(found.E_VI, [0.12, 0.1, -0.003, 0.1])
    np.testing.assert_allclose(found.lower, [0.02, 0.043, 0.01, 0.043])
    np.testing.assert_allclose(found.upper, [0.05, 0.043, 0.03, 0.043])
    assert list(found.flags) == [0, SUBSTITUTE, Flag.NEGATIVE_REDDENING, Flag.MEAN_REDDENING | Flag.BLANK_REDDENING]
    assert decode_flags(int(found.flags[3])) == ["MEAN_REDDENING", "BLANK_REDDENING"]


def test_text_without_header_takes_the_numbers_of_its_columns(tmp_path):
    text = "80.0000 -69.0000 0.100 0.010 0.08 250\n81.0000 -69.0000 0.200 0.020 0.09 180\n"
    given = {"ra_column": 1, "dec_column": 2, "value_column": 3, "error_column": 4, "max_separation": "0.05 deg"}
    found = at(read(tmp_path / "lmc_res3.txt", text, **given, quantity="E(B-V)", E_VI_per_E_BV=1.3), RA, DEC)
    np.testing.assert_allclose(found.E_VI, [0.13, 0.26, 0.1])
    np.testing.assert_allclose(found.error, [0.013, 0.026, 0.043])
    with pytest.raises(SettingsError, match="does not tell what its column col3 holds: set quantity"):
        read(tmp_path / "lmc_res3.txt", **given)
    with pytest.raises(
        InputFormatError, match=r"no column ra or .*columns are col1, .*number from 1 on, with ra_column"
    ):
        read(tmp_path / "lmc_res3.txt", quantity="E(B-V)", E_VI_per_E_BV=1.3)
    with pytest.raises(InputFormatError, match="has no column 7"):
        read(tmp_path / "lmc_res3.txt", **{**given, "error_column": 7}, quantity="E(V-I)")


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ({"e_E(V-I)": 0.01}, (0.01, 0.01)),
        ({"E_E(V-I)": 0.02, "e_E(V-I)": 0.01}, (0.01, 0.02)),
        ({"sigma1": 0.5, "err": 0.03}, (0.03, 0.03)),
        ({"+sigma2": 0.04, "-sigma1": -0.03, "err": 0.5}, (0.03, 0.04)),
    ],
)
def test_one_column_of_errors_is_symmetric_and_a_pair_is_not(tmp_path, errors, expected):
    columns = {"RA": 80.0, "Dec": -69.0, "E(V-I)": 0.1} | errors
    Table({name: [number] for name, number in columns.items()}).write(tmp_path / "map.csv", format="ascii.csv")
    found = at(read(tmp_path / "map.csv"), 80.0, -69.0)
    assert (found.lower[0], found.upper[0]) == pytest.approx(expected)


def test_wrap_at_zero_and_near_the_pole():
    dust = cells([359.95, 0.2, 20.0, 200.0], [-73.0, -73.0, -89.9, -89.9], reach=0.11)
    found = at(dust, [0.01, 0.15, -0.04, 19.0, 110.0, 200.0], [-73.0, -73.0, -73.0, -89.9, -89.95, -89.95])
    inside = [True, True, True, True, False, True]
    np.testing.assert_allclose(found.E_VI, np.where(inside, [0.0, 0.01, 0.0, 0.02, 0.0, 0.03], 0.1))
    sized = cells([359.9, 0.4], [-73.0, -73.0], [0.2, 0.3], size=[0.1, 0.1])
    # Half a width is 0.05 deg of arc, or 0.171 deg of right ascension.
    found = at(sized, [0.06, 0.08, 0.23, 0.4], [-73.0, -73.0, -73.0, -73.049])
    np.testing.assert_allclose(found.E_VI, [0.2, 0.2, 0.3, 0.3], atol=1e-12)
    assert at(sized, 0.2, -73.06).flags[0] == SUBSTITUTE
    polar = cells([0.0, 90.0], [-90.0, -89.9], [0.2, 0.3], size=[0.1, 0.1])
    found = at(polar, [123.0, 90.0, 315.0], [-89.99, -89.94, -89.94])
    np.testing.assert_allclose(found.E_VI, [0.2, 0.3, 0.2])


@given(
    st.lists(st.tuples(st.floats(0, 360), st.floats(-90, 90)), min_size=1, max_size=30),
    st.lists(st.tuples(st.floats(-10, 370), st.floats(-90, 90)), min_size=1, max_size=10),
    st.floats(0.1, 180),
)
@hypothesis_settings(max_examples=150, deadline=None)
def test_nearest_cell_is_that_of_brute_force(centres, stars, reach):
    (ra, dec), (star_ra, star_dec) = np.array(centres).T, np.array(stars).T
    sample = cells(ra, dec, reach=reach).at(star_ra, star_dec)
    sights = (np.radians(angle) for angle in (star_ra[:, None], star_dec[:, None], ra, dec))
    separations = np.degrees(angular_separation(*sights))
    nearest = separations.min(axis=1)
    # Within the rounding of a separation either answer is right.
    clear = np.abs(nearest - reach) > 1e-5
    np.testing.assert_array_equal(sample.inside[clear], (nearest <= reach)[clear])
    chosen = np.rint(sample.E_VI[sample.inside] * 100).astype(int)
    found = separations[np.flatnonzero(sample.inside), chosen]
    np.testing.assert_allclose(found, nearest[sample.inside], atol=3e-6)


def quadtree(x, y, width, depth, rng):
    """Cells of a square that is split at random, as (x, y, width)."""
    if depth == 0 or (depth < 4 and rng.random() < 0.4):
        return [(x, y, width)]
    quarter = width / 4
    return [
        cell
        for dx in (-quarter, quarter)
        for dy in (-quarter, quarter)
        for cell in quadtree(x + dx, y + dy, width / 2, depth - 1, rng)
    ]


def test_star_takes_the_cell_that_holds_it_though_a_smaller_one_is_nearer():
    rng = np.random.default_rng(3)
    tree = np.array(quadtree(0.0, 0.0, 0.4, 5, rng))
    widths = np.unique(tree[:, 2])
    assert len(widths) >= 4
    ra, dec = rng.uniform(-0.25, 0.25, (2, 4000))
    held = np.maximum(abs(ra[:, None] - tree[:, 0]), abs(dec[:, None] - tree[:, 1])) <= tree[:, 2] / 2
    border = np.abs(np.abs(ra[:, None] - tree[:, 0]) - tree[:, 2] / 2) < 1e-6
    clear = ~np.any(border, axis=1)
    # On the equator the grid is square to the precision of the test.
    sample = cells(tree[:, 0] % 360, tree[:, 1], np.arange(len(tree)) * 1e-4, size=tree[:, 2]).at(ra % 360, dec)
    within = held.any(axis=1) & clear
    chosen = np.rint(sample.E_VI[within] * 1e4).astype(int)
    np.testing.assert_array_equal(chosen, np.argmax(held[within], axis=1))
    distance = np.hypot(ra[:, None] - tree[:, 0], dec[:, None] - tree[:, 1])
    assert np.mean(np.argmin(distance[within], axis=1) != chosen) > 0.05
    far = np.maximum(abs(ra), abs(dec)) > 0.2 + 0.4 * (np.sqrt(0.5) - 0.5)
    assert not sample.inside[far].any()
    assert sample.inside[held.any(axis=1)].all()


def test_overlaps_and_widths_within_a_factor_of_two():
    # Both hold the star: the one in whose middle it lies counts, in units of the width.
    found = at(cells([0.0, 0.22], [0.0, 0.0], [0.2, 0.3], size=[0.4, 0.1]), [0.171, 0.18], [0.0, 0.0])
    np.testing.assert_array_equal(found.E_VI, [0.2, 0.3])
    # The centre of the smaller cell is nearer, but the star lies in the larger one.
    found = at(cells([0.0, 0.14], [0.0, 0.0], [0.2, 0.3], size=[0.18, 0.1]), [0.08, 0.1], [0.0, 0.0])
    np.testing.assert_array_equal(found.E_VI, [0.2, 0.3])


def test_grid_that_is_turned_leaves_no_gaps():
    step, angle = 0.05, np.radians(20.0)
    u, v = (axis.ravel() * step for axis in np.meshgrid(np.arange(-9, 10), np.arange(-9, 10)))
    ra, dec = u * np.cos(angle) - v * np.sin(angle), u * np.sin(angle) + v * np.cos(angle)
    stars = np.random.default_rng(4).uniform(-0.25, 0.25, (2, 2000))
    sample = cells(ra % 360, dec, np.arange(len(ra)) * 1e-4, size=np.full(len(ra), step)).at(stars[0] % 360, stars[1])
    assert sample.inside.all()
    nearest = np.argmin(np.hypot(stars[0][:, None] - ra, stars[1][:, None] - dec), axis=1)
    # A square against the turned one of the true cell: wrong only near the corners.
    assert np.mean(np.rint(sample.E_VI * 1e4).astype(int) == nearest) > 0.93


def test_stars_without_a_position_are_outside():
    for size in (None, [1.0]):
        sample = cells([80.0], [-69.0], size=size).at(np.array([np.nan, 80.0]), np.array([-69.0, -69.0]))
        assert list(sample.inside) == [False, True]


class Given:
    """A map that says the same for every star."""

    def __init__(self, value, lower, upper):
        self.row = value, lower, upper

    def at(self, ra, dec):
        return MapSample(*(np.full(len(ra), number) for number in self.row), np.ones(len(ra), dtype=bool))


@pytest.mark.parametrize(
    ("lower", "upper", "scatter", "expected"),
    [
        (0.03, 0.04, None, (0.03, 0.04)),
        (0.03, 0.04, 0.04, (0.05, np.hypot(0.04, 0.04))),
        (np.nan, 0.04, None, (0.04, 0.04)),
        (0.03, np.nan, None, (0.03, 0.03)),
        (np.nan, np.nan, None, (0.043, 0.043)),
        (np.nan, np.nan, 0.06, (0.06, 0.06)),
    ],
)
def test_errors_of_the_map_and_the_scatter_of_the_stars(lower, upper, scatter, expected):
    found = at(Given(0.2, lower, upper), 80.0, -69.0, star_scatter=scatter)
    assert (found.lower[0], found.upper[0]) == pytest.approx(expected)
    assert found.error[0] == pytest.approx(np.sqrt((expected[0] ** 2 + expected[1] ** 2) / 2))
    assert found.flags[0] == 0


def test_error_is_the_scatter_of_draws_about_the_value():
    found = at(Given(0.1, 0.02, 0.07), 80.0, -69.0)
    rng = np.random.default_rng(1)
    draws = np.abs(rng.standard_normal(400_000)) * np.where(rng.random(400_000) < 0.5, -0.02, 0.07)
    assert found.error[0] == pytest.approx(np.sqrt(np.mean(draws**2)), rel=0.01)


@pytest.fixture
def three_stars():
    return QTable(
        {
            "id": ["OGLE-LMC-ECL-00001", "OGLE-LMC-ECL-00002", "OGLE-LMC-ECL-00003"],
            "RAJ2000": float_column([80.0, 81.2, 20.0], "deg"),
            "DEJ2000": float_column([-69.0, -69.1, -73.0], "deg"),
            "I_mag": float_column([16.0, 16.0, 16.0], "mag"),
            "V_mag": float_column([15.9, 15.9, 15.9], "mag"),
            "flags": np.array([0, int(Flag.NO_EPOCH), 0]),
        }
    )


def test_errors_to_both_sides_reach_the_catalogue(tmp_path, three_stars):
    (tmp_path / "map.tsv").write_text(VIZIER, encoding="utf-8")
    (tmp_path / "settings.toml").write_text(
        f'[reddening]\nmap = "{tmp_path}/map.tsv"\nstar_scatter = "0.01 mag"\nsize_column = 2\n', encoding="utf-8"
    )
    settings = load_settings(tmp_path / "settings.toml")
    dust = read_reddening_map(settings.reddening)
    stars = conform(add_photometry(three_stars, "ogle", settings, settings.cloud["LMC"], dust))
    np.testing.assert_allclose(values(stars, "E_VI", "mag"), [0.12, -0.003, 0.1])
    np.testing.assert_allclose(values(stars, "E_VI_err_minus", "mag"), [0.0224, 0.0141, 0.043])
    np.testing.assert_allclose(values(stars, "E_VI_err_plus", "mag"), [0.051, 0.0316, 0.043])
    np.testing.assert_allclose(values(stars, "e_E_VI", "mag"), [0.0394, 0.0245, 0.043])
    assert list(stars["flags"]) == [
        0,
        Flag.NO_EPOCH | Flag.NEGATIVE_REDDENING,
        Flag.MEAN_REDDENING | Flag.BLANK_REDDENING,
    ]
    plain = plain_table(stars)
    names = plain.colnames
    assert names[names.index("e_E_VI") :][:3] == ["e_E_VI", "E_VI_err_minus", "E_VI_err_plus"]
    assert str(plain["E_VI_err_plus"].unit) == "mag"
    # M_V and its error hold the one error of both sides, A_V being 2.5 times the reddening.
    expected = np.sqrt(0.035**2 + (2.5 * 0.03937) ** 2 + 0.024**2)
    assert values(stars, "e_M_V", "mag")[0] == pytest.approx(expected, abs=1e-4)
    (tmp_path / "again.toml").write_text(settings_to_toml(settings), encoding="utf-8")
    assert load_settings(tmp_path / "again.toml") == settings


def test_more_reddening_is_brighter_and_bluer(three_stars):
    stars = three_stars.copy()
    for name, number in (("E_VI", 0.1), ("e_E_VI", 0.03), ("distance_modulus", 18.5), ("e_distance_modulus", 0.02)):
        stars[name] = float_column([number] * 3, "mag")
    dusty = stars.copy()
    dusty["E_VI"] = float_column([0.15] * 3, "mag")
    before, after = (add_intrinsic_photometry(table, ExtinctionSettings()) for table in (stars, dusty))
    np.testing.assert_allclose((after["M_V"] - before["M_V"]).value, -2.5 * 0.05)
    np.testing.assert_allclose((after["VI0"] - before["VI0"]).value, -0.05)


def test_map_of_ebv_asks_for_its_factor(tmp_path):
    path = tmp_path / "map.csv"
    Table({"RA": [80.0], "Dec": [-69.0], "E(B-V)": [0.1]}).write(path, format="ascii.csv")
    with pytest.raises(SettingsError, match=r"map.csv holds E\(B-V\): set E_VI_per_E_BV"):
        read(path)
    assert at(read(path, E_VI_per_E_BV=1.3), 80.0, -69.0).E_VI[0] == pytest.approx(0.13)
    with pytest.raises(SettingsError, match='cannot be interpolated: set interpolation = "nearest"'):
        read(path, E_VI_per_E_BV=1.3, interpolation="bilinear")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": [80.0], "y": [-69.0]}, r"has no column ra or raj2000 .*its columns are x, y.* ra_column under"),
        ({"RA": [80.0], "Dec": [-69.0], "dust": [0.1]}, r"no column E\(V-I\) or E\(B-V\).* value_column under"),
        ({"RA": [80.0], "Dec": [-169.0], "EVI": [0.1]}, r"column Dec of .*map.csv has -169 deg in row 1"),
        ({"RA": ["80.0", "5:20"], "Dec": [-69.0] * 2, "EVI": [0.1] * 2}, r"column RA of .*map.csv has '80.0' in row 1"),
        ({"RA": [80.0] * 2, "Dec": [-69.0] * 2, "EVI": ["0.1", "0.1x"]}, r"column EVI of .*map.csv .*row 2 has '0.1x'"),
        ({"RA": [80.0], "Dec": [-69.0], "EVI": [np.nan]}, "has no cell with a position and a value"),
        ({"RA": [80.0], "Dec": [-69.0], "EVI": [0.1], "box": [0.0]}, "has no cell with a position and a width"),
    ],
)
def test_bad_tables_are_named(tmp_path, columns, message):
    Table(columns).write(tmp_path / "map.csv", format="ascii.csv")
    with pytest.raises(InputFormatError, match=message):
        read(tmp_path / "map.csv")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", None, "a.csv is not there"),
        ("a.fits", None, "a.fits is not there"),
        ("a.fits", b"junk", "FITS"),
        ("a.csv", b"RA,Dec\n", "no rows"),
        ("a.txt", b"<!DOCTYPE html>\n<html><body>Reddening</body></html>\n", "is a web page, not a table"),
    ],
)
def test_bad_map_files_are_named(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputFormatError, match=message):
        read(path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lower_error_column": 4}, "go together"),
        ({"lower_error_column": 4, "upper_error_column": 5, "error_column": "err"}, "not all three"),
        ({"star_scatter": "-0.1 mag"}, "greater than or equal to 0"),
    ],
)
def test_settings_that_do_not_agree(given, message):
    with pytest.raises(ValueError, match=message):
        ReddeningSettings(**given)
