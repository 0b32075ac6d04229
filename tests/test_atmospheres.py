"""Bolometric corrections and colours of single stars, against published values."""

import shutil

import numpy as np
import pytest
from astropy.table import Table

from cbminer.errors import InputFormatError, SettingsError
from cbminer.resources import grid_path
from cbminer.theory.atmospheres import (
    Z_SUN,
    AtmosphereTable,
    abundance,
    check_shipped,
    read_atmospheres,
    read_table,
)

# Lejeune, Cuisinier & Buser (1998, A&AS 130, 65), the corrected models of [M/H] = -0.1: Teff, log g, BC_V, BC_I.
LEJEUNE = [
    (12000, 4.0, -0.694, -0.789),
    (15000, 4.0, -1.244, -1.386),
    (20000, 3.0, -1.937, -2.139),
    (20000, 4.0, -1.984, -2.191),
    (20000, 4.5, -1.996, -2.203),
    (25000, 3.5, -2.489, -2.738),
    (25000, 4.0, -2.522, -2.775),
    (30000, 3.5, -2.877, -3.155),
    (30000, 4.0, -2.927, -3.218),
    (35000, 4.0, -3.282, -3.577),
    (35000, 4.5, -3.300, -3.609),
    (40000, 4.5, -3.677, -3.984),
    (40000, 5.0, -3.676, -3.989),
    (50000, 5.0, -4.381, -4.703),
]


@pytest.fixture(scope="module")
def shipped():
    return read_atmospheres()


def of_sequence(folder):
    """Teff, BC_V and V-Ic of the O, B and A dwarfs of Pecaut & Mamajek, NaN where unknown."""
    rows = []
    for line in (folder / "colors" / "EEM_colors_Teff_2017.txt").read_text().splitlines():
        cells = line.split()
        if len(cells) > 18 and cells[0] == cells[18] and cells[0][0] in "OBA":
            rows.append([float(cell) if cell.strip(".") else np.nan for cell in (cells[1], cells[3], cells[10])])
    return np.array(sorted(rows)).T


def test_published_models_agree(shipped):
    teff, log_g, BC_V, BC_I = np.array(LEJEUNE).T
    found = shipped.at(np.log10(teff), log_g, Z=Z_SUN * 10**-0.1)
    assert not found.outside.any()
    assert np.abs(found.VI0 - (BC_I - BC_V)).max() < 0.02
    # Their Sun has another bolometric correction: the difference is a constant.
    difference = found.BC_V - BC_V
    assert 0.0 < difference.mean() < 0.06
    assert difference.std() < 0.02


def test_observed_dwarfs_agree_within_the_errors(shipped, shared_data):
    teff, BC_V, VI0 = of_sequence(shared_data)
    hot = (teff >= 10000) & (teff <= 46000)
    assert hot.sum() > 20
    found = shipped.at(np.log10(teff[hot]), 4.0, Z=Z_SUN)
    # Their Sun has BC_V = -0.11, ours -0.07: the rest is the difference.
    difference = found.BC_V - BC_V[hot] - 0.04
    assert np.abs(difference).max() < 0.05
    assert difference.mean() == pytest.approx(0.0, abs=0.01)
    difference = found.VI0 - VI0[hot]
    known = np.isfinite(difference)
    assert known.sum() > 12
    assert (np.abs(difference[known]) <= 1.5 * found.e_VI0[known]).all()
    # The known shift between models and the sequence, which docs/colours.md states.
    assert difference[known].mean() == pytest.approx(0.04, abs=0.01)


def test_zero_point_of_the_colour_is_vega(shipped):
    vega = shipped.at(np.log10(9550), 3.95, Z=Z_SUN * 10**-0.5)
    assert abs(vega.VI0) < 0.005
    assert pytest.approx(-0.23, abs=0.03) == vega.BC_V


def test_colour_and_correction_fall_with_temperature(shipped):
    log_teff = np.log10(np.linspace(8000, 32000, 200))
    found = shipped.at(log_teff, 4.5, Z=0.0047)
    assert (np.diff(found.VI0) < 0).all()
    assert (np.diff(found.BC_V) < 0).all()


def test_places_of_the_table_come_back(shipped):
    table = read_table(grid_path("colours/atmospheres.ecsv"))
    half = np.asarray(table["M_H"]) == -0.5
    found = shipped.at(np.log10(table["Teff"][half]), np.asarray(table["log_g"][half]), Z=Z_SUN * 10**-0.5)
    for name in ("BC_V", "VI0", "e_BC_V", "e_VI0"):
        np.testing.assert_allclose(getattr(found, name), table[name][half], atol=1e-9)
    assert not found.outside.any()


def test_hole_has_the_nearest_atmosphere_and_says_so(shipped):
    found = shipped.at(np.log10(40000.0), np.array([3.5, 4.2, 4.5, 5.0, 5.3]), Z=Z_SUN)
    assert found.outside.tolist() == [True, True, False, False, True]
    assert found.BC_V[0] == found.BC_V[1] == found.BC_V[2]
    assert found.BC_V[4] == found.BC_V[3]
    assert found.e_BC_V[0] > found.e_BC_V[1] > found.e_BC_V[2]
    assert found.e_BC_V[0] == pytest.approx(np.hypot(found.e_BC_V[2], 0.10), abs=1e-9)


def test_a_corner_in_a_hole_counts_as_outside(shipped):
    # 36 kK has no atmosphere of log g 4, 35 kK has.
    found = shipped.at(np.log10([35000.0, 35001.0, 35900.0]), 4.0, Z=Z_SUN)
    assert found.outside.tolist() == [False, True, True]


def test_temperatures_beyond_the_table_have_no_value(shipped):
    found = shipped.at(np.log10([5772.0, 7900.0, 8000.0, 50000.0, 51000.0]), 4.4, Z=Z_SUN)
    assert np.isnan(found.BC_V).tolist() == [True, True, False, False, True]
    assert found.outside[[0, 1, 4]].all()
    assert not found.outside[2]


def test_unknown_stars_stay_unknown(shipped):
    found = shipped.at([np.nan, 4.3], [4.0, np.nan], Z=0.0047)
    assert np.isnan(found.VI0).all()
    assert np.isnan(found.e_BC_V).all()
    assert not found.outside.any()


def test_abundance_is_that_of_the_clouds(shipped):
    assert abundance(Z_SUN) == 0.0
    assert abundance(0.0047) == pytest.approx(-0.480, abs=0.001)
    assert abundance(0.0021) == pytest.approx(-0.830, abs=0.001)
    poor, rich = (shipped.at(np.log10(25000.0), 4.0, Z=Z) for Z in (0.0021, Z_SUN))
    # Fewer lines block less of the ultraviolet: more of the light is there.
    assert poor.BC_V < rich.BC_V - 0.04
    for Z in (1e-4, 0.05):
        with pytest.raises(SettingsError, match=r"0\.00142 to 0\.02251"):
            shipped.at(4.4, 4.0, Z=Z)
    with pytest.raises(SettingsError, match="mass fraction"):
        abundance(-1.0)


def linear_table(**changes):
    rows = [(m, t, g) for m in (-1.0, 0.0) for t in (10000.0, 20000.0, 40000.0) for g in (3.0, 4.0, 5.0)]
    m, t, g = np.array(rows).T
    columns = {
        "M_H": m,
        "Teff": t,
        "log_g": g,
        "BC_V": 2.0 * m - 3.0 * np.log10(t) + g,
        "VI0": -m + np.log10(t) * g,
        "e_BC_V": np.full(len(m), 0.02),
        "e_VI0": np.full(len(m), 0.03),
    }
    return Table(columns | changes, meta={"zero_point_V": 0.0, "zero_point_VI": 0.0})


def test_between_its_places_the_table_is_linear():
    table = AtmosphereTable.of(linear_table(), name="made up")
    rng = np.random.default_rng(7)
    log_teff, log_g = rng.uniform(4.0, np.log10(40000), 50), rng.uniform(3, 5, 50)
    found = table.at(log_teff, log_g, Z=Z_SUN * 10**-0.3)
    np.testing.assert_allclose(found.BC_V, -0.6 - 3.0 * log_teff + log_g, atol=1e-9)
    np.testing.assert_allclose(found.VI0, 0.3 + log_teff * log_g, atol=1e-9)


def test_tables_that_cannot_be_used_are_refused(tmp_path):
    table = linear_table()
    table.remove_column("VI0")
    with pytest.raises(InputFormatError, match="made up is no table of atmospheres"):
        AtmosphereTable.of(table, name="made up")
    with pytest.raises(InputFormatError, match="not finite"):
        AtmosphereTable.of(linear_table(VI0=np.full(18, np.nan)), name="made up")
    table = linear_table()
    table.remove_row(2)
    with pytest.raises(InputFormatError, match="lacks gravities above"):
        AtmosphereTable.of(table, name="made up")
    table = linear_table()
    table.meta.clear()
    with pytest.raises(InputFormatError, match="zero_point_V"):
        AtmosphereTable.of(table, name="made up")
    path = tmp_path / "table.ecsv"
    path.write_text("nothing of the kind")
    with pytest.raises(InputFormatError, match=r"table\.ecsv cannot be read"):
        read_atmospheres(path)


def test_a_changed_table_is_noticed(tmp_path):
    path = tmp_path / "atmospheres.ecsv"
    shutil.copy(grid_path("colours/atmospheres.ecsv"), path)
    check_shipped(path, "atmospheres")
    path.write_text(path.read_text().replace("-1.0 8000.0 2.0 0.0", "-1.0 8000.0 2.0 0.1", 1))
    with pytest.raises(InputFormatError, match="damaged or was changed"):
        check_shipped(path, "atmospheres")
    # As a table of the user's own it can be read.
    assert read_atmospheres(path).values.shape == read_atmospheres().values.shape


def test_table_follows_from_the_intensities_of_phoebe(shipped):
    pytest.importorskip("phoebe")
    from cbminer.synthetic.phoebe_passbands import phoebe_intensities

    teff, log_g = np.array([12000.0, 20000.0, 28000.0]), 4.0
    v, i = (phoebe_intensities(band, teff, log_g, atmosphere="kurucz", abundance=-0.5) for band in ("V", "I"))
    found = shipped.at(np.log10(teff), log_g, Z=Z_SUN * 10**-0.5)
    zero_v, zero_vi = shipped.zero_points
    # The limb is darker in V than in I: fluxes are redder than normal intensities by what two linear laws say.
    mean_v = 1.0 - np.array([0.35, 0.26, 0.24]) / 3.0
    mean_i = 1.0 - np.array([0.235, 0.18, 0.17]) / 3.0
    np.testing.assert_allclose(found.VI0, zero_vi - 2.5 * np.log10(v / i * mean_v / mean_i), atol=0.006)
    bolometric = 5.670374419e-8 * teff**4
    np.testing.assert_allclose(found.BC_V, zero_v + 2.5 * np.log10(np.pi * v * mean_v / bolometric), atol=0.02)
