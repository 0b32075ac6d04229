"""Quantiles, fractions and contours of binned counts; the published populations of Fabry et al. (2025)."""

import itertools

import numpy as np
import pytest

from cbminer.theory.quantiles import (
    PeriodMassRatioMap,
    binned_fraction,
    binned_mean,
    binned_quantiles,
    contour_levels,
)

# Bins of the published tables: pop_synth.py of the repository of Fabry et al.
FABRY_MASS_RATIOS = np.linspace(0.2, 1, 34)
FABRY_PERIODS = np.geomspace(0.5, 8, 32)

# What they integrate to: mean q; q >= 0.976, 0.95, 0.9, 0.8; P at 5, 25, 50, 75, 95 %; P < 1, 2, 3 d.
FABRY_POPULATIONS = {
    "pq_et": (0.928, (0.559, 0.694, 0.812, 0.895), (0.688, 0.784, 0.862, 0.988, 1.613), (0.763, 0.973, 0.991)),
    "pq_no_et": (0.937, (0.545, 0.699, 0.840, 0.928), (0.688, 0.784, 0.861, 0.978, 1.556), (0.776, 0.973, 0.988)),
    "pq_et_high_m": (0.871, (None, 0.454, 0.601, 0.753), (1.003, 1.174, 1.376, 1.698, 2.955), (0.049, 0.851, 0.953)),
}


@pytest.mark.parametrize("name", FABRY_POPULATIONS)
def test_the_published_populations_integrate_to_their_table(shared_data, name):
    path = shared_data / "mesa" / "fabry2024" / "npzs" / f"{name}.npz"
    if not path.is_file():
        pytest.skip(f"the published population {path} is not there")
    with np.load(path) as file:
        found = PeriodMassRatioMap.of_density(
            file["arr_0"], period_edges=FABRY_PERIODS, mass_ratio_edges=FABRY_MASS_RATIOS
        ).summary(mass_ratios=(0.976, 0.95, 0.9, 0.8), whole_bins=True)
    mean, above, periods, shorter = FABRY_POPULATIONS[name]
    assert found["mean q"] == pytest.approx(mean, abs=6e-4)
    for least, share in zip((0.976, 0.95, 0.9, 0.8), above, strict=True):
        if share is not None:
            assert found[f"q >= {least}"] == pytest.approx(share, abs=6e-4)
    for percent, period in zip((5, 25, 50, 75, 95), periods, strict=True):
        assert found[f"P {percent} %"] == pytest.approx(period, abs=6e-4)
    for longest, share in zip((1, 2, 3), shorter, strict=True):
        assert found[f"P < {longest}"] == pytest.approx(share, abs=6e-4)


def test_periods_of_the_published_population_by_bins(shared_data):
    path = shared_data / "mesa" / "fabry2024" / "npzs" / "pq_et.npz"
    if not path.is_file():
        pytest.skip(f"the published population {path} is not there")
    with np.load(path) as file:
        table = PeriodMassRatioMap.of_density(
            file["arr_0"], period_edges=FABRY_PERIODS, mass_ratio_edges=FABRY_MASS_RATIOS
        )
    edges = (0.5, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0, 3.0, 8.0)
    shares = [binned_fraction(FABRY_PERIODS, table.of_period, a, b) for a, b in itertools.pairwise(edges)]
    assert shares == pytest.approx([0.062, 0.239, 0.299, 0.163, 0.116, 0.058, 0.035, 0.018, 0.009], abs=1.1e-3)


def test_quantiles_of_an_even_content_are_even_over_empty_bins_too():
    edges = [0.0, 1.0, 3.0, 4.0]
    assert binned_quantiles(edges, [1.0, 2.0, 1.0], [0.0, 0.25, 0.5, 1.0]) == pytest.approx([0, 1, 2, 4])
    assert binned_quantiles(edges, [1.0, 0.0, 1.0], [0.25, 0.75]) == pytest.approx([0.5, 3.5])
    assert np.isnan(binned_quantiles(edges, [0.0, 0.0, 0.0], [0.5])).all()


def test_fractions_of_whole_bins_and_of_parts():
    edges, content = [0.0, 1.0, 2.0], [1.0, 3.0]
    assert binned_fraction(edges, content, 0.5, 1.5) == pytest.approx(0.5)
    assert binned_fraction(edges, content, 0.6, whole_bins=True) == pytest.approx(0.75)
    assert binned_fraction(edges, content, high=1.4, whole_bins=True) == pytest.approx(0.25)
    assert binned_mean(edges, content) == pytest.approx(1.25)
    assert np.isnan(binned_fraction(edges, [0.0, 0.0]))
    assert np.isnan(binned_mean(edges, [0.0, 0.0]))


def test_contours_of_a_normal_distribution_lie_where_its_own_do():
    x = np.linspace(-6, 6, 601)
    density = np.exp(-(x[:, None] ** 2 + x**2) / 2)
    # Of a normal distribution in two dimensions the share above the level L of the peak is 1 - L.
    assert contour_levels(density, (0.68, 0.9, 0.95)) == pytest.approx([0.32, 0.1, 0.05], rel=0.01)
    assert np.isnan(contour_levels(np.zeros((3, 3)), (0.9,))).all()
