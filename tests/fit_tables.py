"""Small tables of light curves, and observed curves of known binaries, for the tests of the fits."""

import numpy as np

from cbminer.ranking.fit_data import FoldedPoints, prepare_curves
from cbminer.ranking.fit_settings import FitDataSettings, FitPriors, FitSettings, FitTableSettings
from cbminer.ranking.fit_tables import fit_engine

# Ranges so narrow that few nodes are enough.
SMALL = FitSettings(
    live_points=150,
    samples=200,
    checked=20,
    data=FitDataSettings(phase_bins=50),
    priors=FitPriors(
        least_mass_ratio=0.6,
        least_inclination=55.0,
        largest_fillout=0.8,
        blended=0.05,
        third_light_least=0.01,
        third_light_most=0.2,
    ),
    tables=FitTableSettings(n_bands=12, phases=21, mass_ratios=3, inclinations=7, fillouts=4, lobe_fillings=3),
)


def true_flux(hypothesis, parameters, *, teff_1=25000.0, phases=400):
    """Flux of the engine in I and V over the whole cycle, third light included."""
    row = np.asarray(parameters, dtype=float)[np.newaxis]
    engine = fit_engine(SMALL.tables)
    flux = engine.light_curves(hypothesis.systems(row, teff_1=teff_1), np.arange(phases) / phases)[0]
    return row[0, -2] + (1.0 - row[0, -2]) * flux


def observed(
    hypothesis,
    parameters,
    *,
    error=0.01,
    noise=1.0,
    n=(400, 60),
    shift=0.0,
    seed=1,
    settings=SMALL,
    star="star",
    teff_1=25000.0,
):
    """Points of a binary at random phases, ready for a fit; `shift` moves the minimum."""
    rng = np.random.default_rng(seed)
    flux = true_flux(hypothesis, parameters, teff_1=teff_1)
    points = {}
    for k, band in enumerate("IV"):
        phase = rng.random(n[k])
        grid = np.arange(401) / 400
        mag = 16.0 - 2.5 * np.log10(np.interp((phase - shift) % 1.0, grid, np.append(flux[k], flux[k, 0])))
        points[band] = FoldedPoints(phase, mag + noise * error * rng.normal(size=n[k]), np.full(n[k], error))
    return prepare_curves(star, points, settings=settings.data)
