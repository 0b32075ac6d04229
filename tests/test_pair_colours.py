"""Magnitudes and colours of unresolved pairs, and what their shape does to them."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from scipy.integrate import quad

from cbminer.columns import values
from cbminer.errors import SettingsError
from cbminer.resources import known_massive_contact_binaries
from cbminer.selection.plc import DERIVED
from cbminer.synthetic.geometry import lobe_filling, potential_in_frame_2, potential_of_fillout, volume_radius
from cbminer.synthetic.limb_darkening import LimbDarkening
from cbminer.synthetic.passbands import BESSELL, Passband, standard_passband
from cbminer.synthetic.roche import RocheEngine
from cbminer.synthetic.systems import BinarySystems
from cbminer.theory.atmospheres import Z_SUN, AtmosphereTable, read_atmospheres
from cbminer.theory.colours import pair_photometry
from cbminer.theory.distortion import distortion_correction
from cbminer.theory.pair_colours import ColourSettings, Photosphere, log_gravity, pair_colours, star_colours
from cbminer.theory.roche_lobe import l2_radius_ratio

SEQUENCE, BLACKBODY = ColourSettings(source="pecaut-mamajek"), ColourSettings(source="blackbody")
B_STAR = Photosphere(3.6, np.log10(24000.0), 4.0)
FAINT = Photosphere(-20.0, np.log10(24000.0), 4.0)


def test_gravity_is_that_of_the_sun():
    assert log_gravity(1.0, 1.0) == pytest.approx(4.438)
    assert log_gravity(10.0, 5.0) == pytest.approx(4.438 + 1.0 - np.log10(25.0))


def test_one_star_alone():
    pair, star = pair_colours(B_STAR, FAINT, Z=0.0047), star_colours(B_STAR.log_Teff, B_STAR.log_g, Z=0.0047)
    assert pytest.approx(4.74 - 2.5 * 3.6 - star.BC_V) == pair.M_V
    assert pytest.approx(star.VI0) == pair.VI0
    assert pytest.approx(pair.M_V - pair.VI0) == pair.M_I
    assert pair.e_M_V == pytest.approx(star.e_BC_V)
    assert pair.e_VI0 == pytest.approx(star.e_VI0)


@pytest.mark.parametrize("source", ["kurucz", "pecaut-mamajek", "blackbody"])
def test_twins_are_twice_as_bright_and_of_one_colour(source):
    settings = ColourSettings(source=source)
    one, two = (pair_colours(B_STAR, star, Z=0.0047, settings=settings) for star in (FAINT, B_STAR))
    assert pytest.approx(2.5 * np.log10(2.0)) == one.M_V - two.M_V
    assert pytest.approx(one.VI0) == two.VI0
    assert two.e_M_V == pytest.approx(one.e_M_V)


def test_colour_of_unlike_stars_lies_between_them_by_their_light():
    cool = Photosphere(3.6, np.log10(12000.0), 3.5)
    pair = pair_colours(B_STAR, cool, Z=0.0021)
    colours = [star_colours(star.log_Teff, star.log_g, Z=0.0021) for star in (B_STAR, cool)]
    v = [10 ** (0.4 * star.BC_V) for star in colours]
    i = [10 ** (0.4 * (star.BC_V + star.VI0)) for star in colours]
    assert pytest.approx(-2.5 * np.log10(sum(v) / sum(i))) == pair.VI0
    # The cooler star of equal luminosity is the brighter one in V.
    assert abs(pair.VI0 - colours[1].VI0) < abs(pair.VI0 - colours[0].VI0)


def test_order_of_the_stars_does_not_matter():
    other = Photosphere(4.2, np.log10(30000.0), 3.8)
    first, second = pair_colours(B_STAR, other, Z=0.0047), pair_colours(other, B_STAR, Z=0.0047)
    for name in ("M_V", "M_I", "VI0", "e_M_V", "e_M_I", "e_VI0"):
        assert getattr(first, name) == pytest.approx(getattr(second, name), abs=1e-12)


def test_dwarf_sequence_is_the_photometry_of_the_mock_survey():
    radius, teff = np.array([3.0, 4.0, 6.0]), np.array([16000.0, 22000.0, 31000.0])
    log_L = 2 * np.log10(radius) + 4 * np.log10(teff / 5772.0)
    star = Photosphere(log_L, np.log10(teff), 4.0)
    pair = pair_colours(star, star, Z=Z_SUN, settings=SEQUENCE)
    expected = pair_photometry(radius, teff, radius, teff)
    np.testing.assert_allclose(pair.M_V, expected.M_V, atol=1e-9)
    np.testing.assert_allclose(pair.VI0, expected.VI0, atol=1e-9)
    assert not pair.outside.any()


def test_dwarf_sequence_is_flagged_where_it_ends():
    found = star_colours(np.log10([7000.0, 12000.0, 15500.0, 32000.0, 40000.0]), 4.0, Z=Z_SUN, settings=SEQUENCE)
    assert found.outside.tolist() == [True, True, False, False, True]
    assert np.isnan(found.VI0).tolist() == [True, False, False, False, False]


def test_black_body_is_planck_through_the_bands():
    def flux(band, teff):
        curve = BESSELL[band]

        def integrand(wavelength):
            planck = wavelength**-5 / np.expm1(14387.769 / (wavelength * teff))
            return planck * np.interp(wavelength, curve.wavelength, curve.transmission)

        return quad(integrand, curve.wavelength[0], curve.wavelength[-1], points=curve.wavelength[1:-1], limit=200)[0]

    teff = np.array([12000.0, 40000.0])
    found = star_colours(np.log10(teff), 4.0, Z=Z_SUN, settings=BLACKBODY)
    change = [-2.5 * np.log10(flux(band, teff[1]) / flux(band, teff[0])) for band in ("V", "I")]
    assert np.diff(found.VI0)[0] == pytest.approx(change[0] - change[1], abs=5e-4)
    assert np.diff(found.BC_V)[0] == pytest.approx(-10 * np.log10(teff[1] / teff[0]) - change[0], abs=1e-3)
    # Anchored to Vega black bodies are too red up to 30 kK, and their errors say so.
    models = star_colours(np.log10(teff), 4.0, Z=Z_SUN)
    assert found.VI0[0] - models.VI0[0] > 0.1
    assert found.e_VI0[0] > found.VI0[0] - models.VI0[0]


def test_black_bodies_are_in_the_units_of_the_atmospheres():
    pytest.importorskip("phoebe")
    from cbminer.synthetic.phoebe_passbands import phoebe_intensities

    intensity = {band: float(phoebe_intensities(band, 25000.0, 4.0)) for band in ("V", "I")}
    found = star_colours(np.log10(25000.0), 4.0, Z=Z_SUN, settings=BLACKBODY)
    zero_v, zero_vi = read_atmospheres().zero_points
    assert pytest.approx(zero_vi - 2.5 * np.log10(intensity["V"] / intensity["I"]), abs=0.006) == found.VI0
    bolometric = 5.670374419e-8 * 25000.0**4
    assert pytest.approx(zero_v + 2.5 * np.log10(np.pi * intensity["V"] / bolometric), abs=0.006) == found.BC_V


def test_a_pair_with_a_star_beyond_the_models_says_so():
    hot, light = Photosphere(5.5, np.log10(60000.0), 4.5), Photosphere(5.0, np.log10(40000.0), 3.8)
    assert pair_colours(B_STAR, hot, Z=0.0047).outside
    assert np.isnan(pair_colours(B_STAR, hot, Z=0.0047).M_V)
    beyond = pair_colours(light, B_STAR, Z=0.0047)
    assert beyond.outside
    assert np.isfinite(beyond.M_V)
    assert not pair_colours(B_STAR, B_STAR, Z=0.0047).outside
    masked = np.ma.array([3.6, 3.6], mask=[False, True])
    assert np.isfinite(pair_colours(B_STAR, Photosphere(masked, 4.3, 4.0), Z=0.0047).M_V).tolist() == [True, False]
    unknown = pair_colours(B_STAR, Photosphere(np.nan, np.nan, np.nan), Z=0.0047)
    assert np.isnan(unknown.M_V)
    assert not unknown.outside
    with pytest.raises(SettingsError, match="table of atmospheres"):
        pair_colours(B_STAR, B_STAR, Z=0.3)


def test_a_companion_cooler_than_all_atmospheres_does_not_take_the_pair_away():
    hot, cool = Photosphere(3.4, np.log10(15000.0), 4.1), Photosphere(1.6, np.log10(7800.0), 4.2)
    pair, warm = (pair_colours(hot, star, Z=0.0047) for star in (cool, Photosphere(1.6, np.log10(8000.0), 4.2)))
    assert pair.outside
    assert not warm.outside
    assert pytest.approx(warm.M_V, abs=0.01) == pair.M_V
    assert pytest.approx(warm.VI0, abs=0.01) == pair.VI0
    assert warm.e_VI0 < pair.e_VI0 < warm.e_VI0 + 0.01
    # Down to 5 kK, with errors that grow.
    teff = np.array([8001.0, 7999.0, 7000.0, 6000.0, 5000.0, 4990.0])
    stars = star_colours(np.log10(teff), 4.3, Z=Z_SUN)
    assert stars.outside.tolist() == [False, True, True, True, True, True]
    assert np.isnan(stars.BC_V).tolist() == [False] * 5 + [True]
    assert stars.VI0[1] == pytest.approx(stars.VI0[0], abs=1e-3)
    assert (np.diff(stars.VI0[:5]) > 0).all()
    assert (np.diff(stars.e_VI0[1:5]) > 0).all()
    assert (np.diff(stars.e_BC_V[1:5]) > 0).all()


def test_cool_stars_are_as_observed_within_their_errors(shared_data):
    rows = []
    for line in (shared_data / "colors" / "EEM_colors_Teff_2017.txt").read_text().splitlines():
        cells = line.split()
        if len(cells) > 18 and cells[0] == cells[18] and cells[0][0] in "AFG":
            rows.append([float(cells[place]) for place in (1, 3, 10)])
    teff, BC_V, VI0 = np.array(rows).T
    cool = (teff < 8000) & (teff > 5000)
    assert cool.sum() > 20
    found = star_colours(np.log10(teff[cool]), 4.3, Z=Z_SUN)
    # Their Sun has BC_V = -0.11, ours -0.07.
    assert (np.abs(found.BC_V - BC_V[cool] - 0.04) < found.e_BC_V).all()
    assert (np.abs(found.VI0 - VI0[cool]) < found.e_VI0).all()


def test_errors_of_a_pair_are_weighted_by_the_light_of_their_own_band():
    rows = [(m, t, g) for m in (-1.0, 0.2) for t in (10000.0, 40000.0) for g in (3.0, 5.0)]
    m, t, g = np.array(rows).T
    hot = t > 20000
    columns = {"M_H": m, "Teff": t, "log_g": g, "BC_V": np.where(hot, -3.0, -0.5), "VI0": np.where(hot, -0.5, 0.8)}
    errors = {"e_BC_V": np.where(hot, 0.3, 0.02), "e_VI0": np.where(hot, 0.01, 0.2)}
    made = AtmosphereTable.of(Table(columns | errors, meta={"zero_point_V": 0.0, "zero_point_VI": 0.0}), name="made up")
    stars = Photosphere(4.5, np.log10(40000.0), 4.0), Photosphere(3.5, 4.0, 4.0)
    pair = pair_colours(*stars, Z=Z_SUN, table=made)
    v = 10 ** (0.4 * np.array([2.5 * 4.5 - 3.0, 2.5 * 3.5 - 0.5]))
    i = v * 10 ** (0.4 * np.array([-0.5, 0.8]))
    assert pair.e_M_V == pytest.approx((v * [0.3, 0.02]).sum() / v.sum())
    assert pair.e_M_I == pytest.approx((i * np.hypot([0.3, 0.02], [0.01, 0.2])).sum() / i.sum())
    assert pair.e_VI0 == pytest.approx((i * [0.01, 0.2]).sum() / i.sum())


def known_pairs(settings):
    table = known_massive_contact_binaries()
    table = table[np.isfinite(values(table, "R1", "solRad") + values(table, "T1", "K"))]
    stars = []
    for k in "12":
        units = {"R": "solRad", "T": "K", "M": "solMass"}
        radius, teff, mass = (values(table, f"{name}{k}", unit) for name, unit in units.items())
        log_L = 2 * np.log10(radius) + 4 * np.log10(teff / 5772.0)
        stars.append(Photosphere.of_size(log_L, np.log10(teff), mass=mass, radius=radius))
    return table, pair_colours(*stars, Z=Z_SUN, settings=settings)


def test_known_systems_lie_on_the_derived_relation_by_the_sequence_it_came_from():
    table, pairs = known_pairs(SEQUENCE)
    period = values(table, "period", "d")
    residual = pairs.M_V - (DERIVED.a * np.log10(period) + DERIVED.b * pairs.VI0 + DERIVED.c)
    contact = np.asarray(table["configuration"]) == "contact"
    assert contact.sum() == 18
    # Published with the relation: -0.02 and 0.33; near contact +0.22 and 0.27, with colours that go on beyond O9.
    assert residual[contact].mean() == pytest.approx(-0.02, abs=0.1)
    assert residual[contact].std() == pytest.approx(0.33, abs=0.05)
    assert residual[~contact].mean() == pytest.approx(0.22, abs=0.1)
    # The atmospheres, which are redder, move the same systems off it: relation and colours must be of one source.
    _, other = known_pairs(ColourSettings())
    shift = (other.M_V - pairs.M_V) - DERIVED.b * (other.VI0 - pairs.VI0)
    assert -1.1 < shift[contact].mean() < -0.5
    assert np.abs(other.M_V - pairs.M_V).max() < 0.15


def test_shapes_brighten_pairs_at_maximum():
    change = distortion_correction([90.0, 60.0, 30.0], 1.05, mass_ratio=0.9)
    assert (change.M_V < -0.03).all()
    assert (np.diff(change.M_V) < 0).all()
    assert (np.abs(change.VI0) < 0.01).all()
    assert not change.outside.any()


def test_shapes_of_small_stars_do_not_matter():
    change = distortion_correction(np.array([0.0, 45.0, 90.0]), 0.2, mass_ratio=0.7)
    assert (np.abs(change.M_V) < 0.004).all()
    assert distortion_correction(60.0, 0.0, mass_ratio=0.7).M_V == 0.0


def test_shape_counts_the_mass_ratio_either_way_and_flags_what_it_lacks():
    once, again = (distortion_correction(70.0, 1.1, mass_ratio=q).M_V for q in (0.5, 2.0))
    assert once == pytest.approx(again)
    assert distortion_correction(70.0, [1.3, 1.33, np.nan], mass_ratio=1.0).outside.tolist() == [False, True, False]
    assert distortion_correction(70.0, 1.0, mass_ratio=0.05).outside
    assert np.isnan(distortion_correction(70.0, np.nan, mass_ratio=1.0).M_V)


def test_shape_is_that_of_the_engine():
    """A contact binary of the light-curve engine, computed anew without the help of the builder of the table."""
    q, fillout, teff, tilt = 0.8, 0.5, 25000.0, np.array([90.0, 65.0])
    potential = float(potential_of_fillout(fillout, q))
    engine = RocheEngine(passbands=(standard_passband("V"),), n_bands=36)
    flux = engine.light_curves(
        BinarySystems.contact(q, tilt, fillout_factor=fillout, teff_1=teff), [0.25], normalised=False
    )[:, 0, 0]
    own = potential_in_frame_2(potential, q)
    radii = np.array([volume_radius(potential, q), volume_radius(own, 1.0 / q)])
    band = standard_passband("V")
    normal = np.exp(np.interp(np.log(teff), band.log_teff, band.log_intensity[:, 0]))
    spheres = np.pi * (radii**2).sum() * normal * (1.0 - 0.3 / 3.0)
    change = -2.5 * np.log10(flux / spheres)
    filling = float(lobe_filling(own, 1.0 / q))
    found = distortion_correction(tilt, filling, mass_ratio=q)
    # The engine's envelope has the temperature of the spheres here, not their luminosity: its surface is smaller by
    # 2.5 per cent, its light with it, and magnitudes of hot stars go with the temperature to the power 1.2.
    np.testing.assert_allclose(found.M_V, change - 2.5 * np.log10(1.025) * 1.2 / 4.0, atol=0.006)


@pytest.fixture(scope="module")
def builder():
    path = Path(__file__).parents[1] / "grids" / "colours" / "build.py"
    spec = importlib.util.spec_from_file_location("build_colours", path)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        # Its dataclasses look their module up.
        patch.setitem(sys.modules, "build_colours", module)
        spec.loader.exec_module(module)
        yield module


@pytest.mark.parametrize("depth", [0.1, 0.75])
def test_luminosity_of_the_spheres_is_conserved(builder, depth):
    """All light together, over all directions: what is seen from above is missing in the plane of the orbit."""
    cosines, weights = np.polynomial.legendre.leggauss(12)
    tilts = np.degrees(np.arccos(0.5 * (cosines + 1.0)))
    teff = np.geomspace(5000.0, 100000.0, 400)
    darkening = LimbDarkening("linear", (builder.BOLOMETRIC_DARKENING,))
    all_light = Passband.tabulated("all", teff=teff, log_g=4.0, intensity=teff[:, None] ** 4, limb_darkening=darkening)
    pair = builder._in_contact(0.8, depth)
    light = builder.relative_light(0.8, pair, tilts, passbands=(all_light, all_light))[:, 1]
    over_phase = 0.5 * (light[:, :-1] + light[:, 1:]).mean(axis=1)
    assert 0.5 * (weights * over_phase).sum() == pytest.approx(1.0, abs=0.01)
    # From the pole and from the side it differs by much more than that.
    assert over_phase[np.argmin(tilts)] > 1.1
    assert over_phase[np.argmax(tilts)] < 0.9


def test_shipped_table_is_what_its_builder_makes(builder):
    pair, tilts = builder._in_contact(0.6, 0.5), np.array([90.0, 45.0])
    rows = np.array(builder._rows(0.6, 1.5, pair, tilts))
    filling = 1.0 + 0.5 * (l2_radius_ratio(0.6) - 1.0)
    found = distortion_correction(tilts, filling, mass_ratio=0.6)
    np.testing.assert_allclose(found.M_V, rows[:, 3], atol=1e-4)
    np.testing.assert_allclose(found.VI0, rows[:, 4], atol=1e-4)
