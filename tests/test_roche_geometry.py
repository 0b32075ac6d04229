"""Roche geometry: published values, closed forms, and the ways back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbminer.errors import SettingsError
from cbminer.synthetic.geometry import (
    eggleton_lobe_radius,
    fillout_factor,
    lagrange_points,
    lobe_filling,
    lobe_radius,
    potential_in_frame_1,
    potential_in_frame_2,
    potential_of_fillout,
    potential_of_lobe_filling,
    potential_of_volume_radius,
    sum_of_radii,
    volume_radius,
)

MASS_RATIOS = st.floats(0.05, 20.0)


def test_equal_masses_have_the_critical_points_and_radii_of_the_literature():
    points = lagrange_points(1.0)
    assert points.x_1 == pytest.approx(0.5, abs=1e-14)
    assert points.potential_1 == pytest.approx(3.75, abs=1e-13)
    assert points.x_2 - 0.5 == pytest.approx(1.19841, abs=1e-5)
    assert points.potential_2 == pytest.approx(points.potential_3, abs=1e-13)
    # PHOEBE 2.5.4, volume-equivalent.
    assert lobe_radius(1.0) == pytest.approx(0.37986, abs=2e-5)
    assert volume_radius(points.potential_2, 1.0) == pytest.approx(0.49924, abs=2e-5)


@pytest.mark.parametrize("q", [0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
def test_the_less_massive_star_at_l2_has_the_size_that_menon_gives(q):
    published = 1.0 + 0.29858997 * np.arctan(1.83530121 * q**0.39661426)
    outer = lagrange_points(1.0 / q).potential_2
    assert lobe_filling(outer, 1.0 / q) == pytest.approx(published, rel=0.005)


def test_three_values_of_the_tables_of_plavec_and_kratochvil():
    # x of L1 from the star of mass 1 with a companion of mass q; potential there.
    for q, x, potential in ((0.5, 0.57075, 2.87584), (0.2, 0.65856, 2.23273), (0.1, 0.71751, 1.95910)):
        points = lagrange_points(q)
        assert points.x_1 == pytest.approx(x, abs=2e-5)
        assert points.potential_1 == pytest.approx(potential, abs=2e-5)


@settings(deadline=None)
@given(MASS_RATIOS)
def test_l2_lies_behind_the_less_massive_star(q):
    points = lagrange_points(q)
    assert points.potential_1 > points.potential_2 >= points.potential_3 - 1e-12
    assert (points.x_2 > 1.0) if q < 1.0 - 1e-9 else True
    assert 0.0 < points.x_1 < 1.0


@settings(deadline=None)
@given(MASS_RATIOS)
def test_the_exact_lobe_is_eggletons_to_a_per_cent(q):
    assert lobe_radius(q) == pytest.approx(eggleton_lobe_radius(q), rel=0.011)


@settings(deadline=None)
@given(MASS_RATIOS, st.floats(0.0, 1.0))
def test_fillout_comes_back(q, fillout):
    assert fillout_factor(potential_of_fillout(fillout, q), q) == pytest.approx(fillout, abs=1e-9)


@settings(deadline=None)
@given(MASS_RATIOS, st.floats(0.05, 1.0))
def test_lobe_filling_comes_back(q, filling):
    assert lobe_filling(potential_of_lobe_filling(filling, q), q) == pytest.approx(filling, rel=1e-9)


@settings(deadline=None)
@given(MASS_RATIOS, st.floats(0.01, 0.99))
def test_lobe_filling_comes_back_in_contact(q, fillout):
    potential = potential_of_fillout(fillout, q)
    assert potential_of_volume_radius(volume_radius(potential, q), q) == pytest.approx(float(potential), rel=1e-8)


@settings(deadline=None)
@given(MASS_RATIOS, st.floats(1.0, 50.0))
def test_frames_are_inverse_of_each_other(q, potential):
    assert potential_in_frame_1(potential_in_frame_2(potential, q), q) == pytest.approx(potential, rel=1e-12)


@settings(deadline=None)
@given(MASS_RATIOS, st.floats(0.02, 0.98))
def test_one_contact_surface_has_one_fillout_in_both_frames(q, fillout):
    other = potential_in_frame_2(potential_of_fillout(fillout, q), q)
    assert fillout_factor(other, 1.0 / q) == pytest.approx(fillout, abs=1e-8)


def test_small_stars_are_spheres():
    # 1 / r + q is the potential of a small star to second order.
    radius = volume_radius(100.0 + 0.7, 0.7)
    assert radius == pytest.approx(0.01, rel=1e-5)


def test_the_radii_of_both_stars_are_added():
    potential = potential_of_fillout(0.0, 0.5)
    assert sum_of_radii(potential, potential, 0.5) == pytest.approx(lobe_radius(0.5) + lobe_radius(2.0), rel=1e-9)


def test_radii_grow_through_contact():
    fillout = np.linspace(0.0, 1.0, 101)
    radii = volume_radius(potential_of_fillout(fillout, 0.6), 0.6)
    assert (np.diff(radii) > 0).all()


@pytest.mark.parametrize("q", [0.0, -0.5, np.nan, np.inf])
def test_impossible_mass_ratios_are_refused_by_name(q):
    for function in (lagrange_points, lobe_radius, eggleton_lobe_radius):
        with pytest.raises(SettingsError, match="mass_ratio"):
            function(q)


@pytest.mark.parametrize("fillout", [-0.1, 1.1, np.nan])
def test_impossible_fillouts_are_refused_by_name(fillout):
    with pytest.raises(SettingsError, match="fillout_factor"):
        potential_of_fillout(fillout, 1.0)


def test_surfaces_beyond_l2_are_refused():
    with pytest.raises(SettingsError, match="beyond L2"):
        volume_radius(3.0, 1.0)
    for radius in (0.6, 0.0, np.nan):
        with pytest.raises(SettingsError, match="radius"):
            potential_of_volume_radius(radius, 1.0)
