"""Fits of known binaries: the truth is found again, the evidence prefers it, and a seed gives one answer."""

import numpy as np
import pytest
from fit_tables import SMALL, observed

from cbminer.errors import SettingsError
from cbminer.ranking import fit_sampling, fit_tables
from cbminer.ranking.fit_likelihood import CurveLikelihood, StarLikelihood
from cbminer.ranking.fit_model import CONTACT, HYPOTHESES, NEAR_CONTACT
from cbminer.ranking.fit_results import fit_columns, fit_record
from cbminer.ranking.fit_sampling import sample_posterior, star_seed
from cbminer.ranking.fit_store import data_digest, read_fit, settings_digest, write_fit
from cbminer.ranking.fit_tables import fit_engine, half_phases, load_tables
from cbminer.ranking.fitting import fit_star

pytest.importorskip("nautilus")

CONTACT_TRUTH = (0.85, 78.0, 0.5, 1.0, 0.0, 0.001)
NEAR_TRUTH = (0.85, 78.0, 0.96, 0.94, 0.92, 0.0, 0.001)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return load_tables(SMALL, cache=tmp_path_factory.mktemp("tables"), threads=2)


def data_of(fit):
    return CurveLikelihood(fit.curves, half_phases(SMALL.tables), SMALL.priors.phase_error)


@pytest.fixture(scope="module")
def contact_fit(tables):
    return fit_star(observed(CONTACT, CONTACT_TRUTH, error=0.03, n=(200, 40)), tables=tables, seed=4, settings=SMALL)


def test_evidence_and_spread_of_a_gaussian():
    """ln Z = ln of the Gaussian's norm, where the unit cube holds all of it."""

    def log_likelihood(cube):
        return -0.5 * (((cube - 0.4) / 0.05) ** 2).sum(axis=1)

    found = sample_posterior(log_likelihood, 3, live_points=200, samples=1000, seed=1)
    assert pytest.approx(3 * np.log(0.05 * np.sqrt(2 * np.pi)), abs=0.2) == found.ln_Z
    assert np.allclose(found.cube.mean(axis=0), 0.4, atol=0.01)
    assert np.allclose(found.cube.std(axis=0), 0.05, rtol=0.12)


@pytest.mark.parametrize("model", HYPOTHESES)
def test_tables_give_the_curves_of_the_engine(tables, model):
    rng = np.random.default_rng(2)
    parameters = model.from_unit_cube(rng.random((40, len(model.parameters))), SMALL.priors)
    engine = fit_engine(SMALL.tables)
    for teff in (15000.0, 30000.0):
        exact = engine.light_curves(model.systems(parameters, teff_1=teff), half_phases(SMALL.tables))
        tabled = tables.at_teff(model, teff).at(model.places(parameters)).reshape(exact.shape)
        difference = 2.5 * np.log10(tabled / exact)
        assert np.sqrt((difference**2).mean()) < 0.004
        assert np.median(np.abs(difference)) < 0.001


def test_tables_are_kept_and_mended(tables, tmp_path, monkeypatch):
    few = SMALL.model_copy(
        update={"tables": SMALL.tables.model_copy(update={"n_bands": 6, "phases": 11, "inclinations": 3})}
    )
    made = load_tables(few, cache=tmp_path)
    (path,) = (tmp_path / "fits").iterdir()
    kept = path.read_bytes()
    path.write_bytes(kept[: len(kept) // 2])
    mended = load_tables(few, cache=tmp_path)
    monkeypatch.setattr(fit_tables, "fit_engine", None)
    again = load_tables(few, cache=tmp_path)
    for name, flux in made.flux.items():
        assert np.array_equal(flux, mended.flux[name])
        assert np.array_equal(flux, again.flux[name])
    with pytest.raises(TypeError):
        load_tables(SMALL, cache=tmp_path)


def test_contact_is_found_again(contact_fit):
    fit = contact_fit.contact
    for name, truth in zip(CONTACT.parameters[:4], CONTACT_TRUTH, strict=False):
        column = fit.samples[:, CONTACT.parameters.index(name)]
        assert abs(column.mean() - truth) < 3.0 * column.std() + 1e-3
    assert fit.interval("inclination")[2] - fit.interval("inclination")[0] < 4.0
    assert fit.chi2 / fit.dof == pytest.approx(1.0, abs=0.4)
    assert fit.swapped < 0.9
    assert contact_fit.ln_bayes_contact > 5.0
    assert contact_fit.near_contact.chi2 > fit.chi2
    assert fit.bic < contact_fit.near_contact.bic
    assert fit.table_error < 0.004


def test_near_contact_is_found_again_and_no_contact_model_is_as_good(tables):
    curves = observed(NEAR_CONTACT, NEAR_TRUTH, error=0.02, n=(250, 40))
    data = CurveLikelihood(curves, half_phases(SMALL.tables), SMALL.priors.phase_error)
    near, contact = (
        StarLikelihood(model, tables.at_teff(model, 25000.0), data, SMALL.priors) for model in (NEAR_CONTACT, CONTACT)
    )
    found = sample_posterior(near, 7, live_points=150, samples=200, seed=4)
    samples = near.parameters(found.cube)
    for column, truth in zip(samples.T, NEAR_TRUTH[:5], strict=False):
        assert abs(column.mean() - truth) < 3.5 * column.std() + 1e-3
    # The hotter star is behind at the deeper minimum.
    by_way = near.both_ways(samples)
    assert (by_way[:, 0] > by_way[:, 1] + 3.0).mean() > 0.95
    # An evidence is no larger than the best likelihood.
    best_contact = contact(np.random.default_rng(1).random((50_000, 6))).max()
    assert found.ln_Z > best_contact + 5.0


def test_a_seed_gives_one_answer_and_stars_have_their_own():
    first, again, other = (
        sample_posterior(
            lambda cube: -20.0 * ((cube - 0.3) ** 2).sum(axis=1), 2, live_points=100, samples=100, seed=seed
        )
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first.cube, again.cube)
    assert first.ln_Z == again.ln_Z
    assert not np.array_equal(first.cube, other.cube)
    seeds = {star_seed(seed, star, purpose=k) for seed in (1, 2) for star in ("a", "b") for k in (0, 1)}
    assert len(seeds) == 8


def test_third_light_that_is_free_widens_the_inclination(tables, contact_fit):
    """Both on a grid: with third light free, inclinations are allowed that are not without it."""
    likelihood = StarLikelihood(CONTACT, tables.at_teff(CONTACT, 25000.0), data_of(contact_fit), SMALL.priors)
    inclination, blend = (item.ravel() for item in np.meshgrid(np.linspace(72, 88, 81), np.linspace(0, 0.2, 41)))
    parameters = np.tile(contact_fit.contact.best, (len(inclination), 1))
    parameters[:, 1], parameters[:, -2], parameters[:, -1] = inclination, blend, 0.001
    logs = np.logaddexp.reduce(likelihood.both_ways(parameters), axis=1)

    def spread(chosen):
        weight = np.exp(logs[chosen] - logs.max())
        mean = np.average(inclination[chosen], weights=weight)
        return np.sqrt(np.average((inclination[chosen] - mean) ** 2, weights=weight))

    assert spread(blend >= 0.0) > 1.5 * spread(blend == 0.0)


def test_kept_fits(contact_fit, tmp_path):
    path = tmp_path / "star.npz"
    settings, data = settings_digest(SMALL, seed=4), data_digest(contact_fit.curves, teff_1=(25000.0, 0.1))
    write_fit(path, contact_fit, settings=settings, data=data)
    kept = read_fit(path, settings=settings, data=data)
    assert fit_record(kept) == fit_record(contact_fit)
    assert list(fit_record(kept)) == list(fit_columns())
    assert read_fit(path, settings=settings_digest(SMALL, seed=5)) is None
    assert read_fit(path, settings=settings, data=data_digest(contact_fit.curves, teff_1=(25000.0, 0.2))) is None
    assert settings_digest(SMALL.model_copy(update={"best": 3}), seed=4) == settings
    path.write_bytes(path.read_bytes()[:500])
    assert read_fit(path, settings=settings) is None


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "nautilus", None)
    with pytest.raises(SettingsError, match=r'pip install "cbminer\[fit\]"'):
        fit_sampling.load_extra("nautilus")
