"""Main-sequence stars and orbits: twins that touch, Kepler's law, Salpeter's law."""

import numpy as np
import pytest

from cbminer.synthetic.geometry import eggleton_lobe_radius
from cbminer.synthetic.main_sequence import (
    COOLING,
    LARGEST_GROWTH,
    evolved,
    orbital_period,
    orbital_separation,
    salpeter_masses,
    zams_radius,
    zams_teff,
)


@pytest.mark.parametrize(("mass", "period", "teff"), [(5.0, 0.60, 18200), (12.3, 0.83, 28800), (30.0, 1.16, 40700)])
def test_twins_of_no_age_touch_at_the_period_of_the_table(mass, period, teff):
    # The table was made with Eggleton's lobe.
    separation = zams_radius(mass) / eggleton_lobe_radius(1.0)
    assert orbital_period(separation, 2 * mass) == pytest.approx(period, rel=1e-3)
    assert zams_teff(mass) == pytest.approx(teff)


def test_the_main_sequence_rises_through_its_table_and_goes_on_with_its_end_slopes():
    masses = np.geomspace(1.5, 100.0, 200)
    for function in (zams_radius, zams_teff):
        slopes = np.diff(np.log(function(masses))) / np.diff(np.log(masses))
        assert (slopes > 0).all()
        assert slopes[0] == pytest.approx(slopes[50])
        assert slopes[-1] == pytest.approx(slopes[-40])


def test_arrays_of_any_shape_and_numbers_are_taken():
    masses = np.array([[4.0, 6.0, 9.0], [20.0, 40.0, 10.0]])
    assert zams_radius(masses).shape == (2, 3)
    assert zams_radius(masses)[1, 0] == zams_radius(20.0)
    assert orbital_period(masses, 10.0)[0, 1] == orbital_period(6.0, 10.0)
    assert zams_teff(4.0).ndim == 0


def test_stars_grow_and_cool_to_about_twice_their_light():
    radius, teff = evolved([2.0, 4.0], 30000.0, growth=LARGEST_GROWTH)
    assert radius == pytest.approx([3.6, 7.2])
    assert teff == pytest.approx(30000.0 * LARGEST_GROWTH**COOLING)
    assert (radius[0] / 2) ** 2 * (teff / 30000.0) ** 4 == pytest.approx(1.8)
    assert evolved(2.0, 30000.0, growth=1.0) == pytest.approx((2.0, 30000.0))


def test_the_orbit_of_the_earth_takes_a_year_and_periods_and_separations_are_inverse():
    assert orbital_period(215.0322, 1.0) == pytest.approx(365.2569, rel=1e-5)
    assert orbital_separation(orbital_period([3.0, 50.0], 20.0), 20.0) == pytest.approx([3.0, 50.0])


def test_masses_follow_salpeters_law():
    masses = salpeter_masses(3.0, 60.0, size=200_000, rng=np.random.default_rng(1))
    assert masses.min() >= 3.0
    assert masses.max() <= 60.0
    above = [np.mean(masses > mass) for mass in (3.0, 6.0, 12.0)]
    expected = (np.array([3.0, 6.0, 12.0]) ** -1.35 - 60.0**-1.35) / (3.0**-1.35 - 60.0**-1.35)
    assert above == pytest.approx(expected, abs=0.004)
    assert salpeter_masses(3.0, 60.0, rng=np.random.default_rng(1)) == masses[0]
