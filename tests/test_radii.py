"""Eclipsing pairs drawn evenly in the sum of their relative radii."""

import numpy as np
import pytest
from pydantic import ValidationError

from cbminer.errors import SettingsError
from cbminer.synthetic import radii
from cbminer.synthetic.geometry import sum_of_radii
from cbminer.synthetic.passbands import standard_passband
from cbminer.synthetic.radii import RadiiSettings, draw_by_radii
from cbminer.synthetic.roche import RocheEngine

N_PAIRS = 360


def draw(n=N_PAIRS, *, seed=6, **settings):
    return draw_by_radii(n, settings=RadiiSettings(**settings), rng=np.random.default_rng(seed))


@pytest.fixture(scope="module")
def pairs():
    return draw()


def test_pairs_are_even_in_the_sum_of_their_radii(pairs):
    assert len(pairs.systems) == len(pairs.sum_of_radii) == N_PAIRS
    counts, _ = np.histogram(pairs.sum_of_radii, np.linspace(0.08, 1.0, 37))
    assert list(counts) == [N_PAIRS // 36] * 36
    systems = pairs.systems
    own = sum_of_radii(systems.potential_1, systems.potential_2, systems.mass_ratio)
    assert pairs.sum_of_radii == pytest.approx(own, rel=1e-12)
    # The order is random: neighbours in the list are not neighbours in size.
    assert abs(np.corrcoef(pairs.sum_of_radii[1:], pairs.sum_of_radii[:-1])[0, 1]) < 0.2


def test_contact_begins_where_it_must(pairs):
    contact = pairs.systems.is_contact
    assert pairs.sum_of_radii[contact].min() > 0.74
    assert np.mean(contact[pairs.sum_of_radii > 0.8]) > 0.95
    assert np.mean(contact) > 0.2


def test_inclinations_keep_within_the_largest_impact_and_are_isotropic(pairs):
    impact = np.cos(np.radians(pairs.systems.inclination)) / np.minimum(pairs.sum_of_radii, 1.0)
    assert impact.min() >= 0
    assert impact.max() <= 0.95 + 1e-9
    # Isotropic directions have an even cosine: mean and standard deviation to three sigma.
    assert impact.mean() == pytest.approx(0.475, abs=3 * 0.95 / np.sqrt(12 * N_PAIRS))
    assert impact.std() == pytest.approx(0.95 / np.sqrt(12), rel=0.08)


def test_all_pairs_eclipse(pairs):
    """Discs cover each other at conjunction, and the light curve shows it as a minimum."""
    assert np.all(np.cos(np.radians(pairs.systems.inclination)) < pairs.sum_of_radii)
    few = pairs.systems[np.arange(40)]
    engine = RocheEngine(passbands=(standard_passband("I"),), n_bands=24, threads=1)
    flux = engine.light_curves(few, [0.0, 0.25, 0.5])[:, 0]
    assert np.all(np.minimum(flux[:, 0], flux[:, 2]) < 0.999 * flux[:, 1])


def test_mass_ratios_and_fillings_keep_within_their_ranges(pairs):
    q = pairs.systems.mass_ratio
    assert q.min() >= 0.15
    assert q.max() <= 1.0
    assert np.mean(q < 0.5) > 0.15
    other = draw(36, least_mass_ratio=0.8, most_impact=0.2)
    assert other.systems.mass_ratio.min() >= 0.8
    assert np.max(np.cos(np.radians(other.systems.inclination)) / other.sum_of_radii) <= 0.2 + 1e-9


def test_the_range_of_sums_is_kept():
    wide = draw(72, least_sum=0.5, most_sum=0.9)
    assert len(wide.systems) == 72
    assert wide.sum_of_radii.min() >= 0.5
    assert wide.sum_of_radii.max() <= 0.9
    counts, _ = np.histogram(wide.sum_of_radii, np.linspace(0.5, 0.9, 37))
    assert list(counts) == [2] * 36


@pytest.mark.parametrize(("n", "settings"), [(5, {}), (50, {}), (72, {"least_sum": 0.95}), (36, {"most_sum": 0.1})])
def test_as_many_pairs_come_as_were_asked_for_or_the_range_is_refused(monkeypatch, n, settings):
    # Pairs are drawn again and again before a range is given up: not here.
    monkeypatch.setattr(radii, "_MOST_POOLS", 1)
    try:
        drawn = draw(n, **settings)
    except SettingsError:
        assert settings
        return
    assert len(drawn.systems) == n
    assert drawn.sum_of_radii.min() >= settings.get("least_sum", 0.08)
    assert drawn.sum_of_radii.max() <= settings.get("most_sum", 1.0)


def test_a_seed_makes_the_same_pairs():
    one, two, other = draw(40, seed=9), draw(40, seed=9), draw(40, seed=10)
    np.testing.assert_array_equal(one.systems.potential_1, two.systems.potential_1)
    np.testing.assert_array_equal(one.systems.inclination, two.systems.inclination)
    np.testing.assert_array_equal(one.sum_of_radii, two.sum_of_radii)
    assert not np.array_equal(one.sum_of_radii, other.sum_of_radii)


@pytest.mark.parametrize(
    "wrong",
    [
        {"least_sum": 0},
        {"least_sum": 1},
        {"most_sum": 1.2},
        {"most_sum": 0},
        {"least_mass_ratio": 0.01},
        {"least_mass_ratio": 1.5},
        {"most_impact": 0},
        {"most_impact": 1.1},
        {"least_radius": 0.1},
        {"most_impact": float("nan")},
    ],
)
def test_settings_out_of_range_are_refused_by_name(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        RadiiSettings(**wrong)


def test_a_range_that_holds_nothing_is_refused():
    with pytest.raises(ValidationError, match="least_sum"):
        RadiiSettings(least_sum=0.9, most_sum=0.5)
