"""Stars of the Milky Way: each at a distance and behind a reddening of its own, and no population to compare with."""

import numpy as np
import pytest
from astropy.table import QTable
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from population_grids import make_grid, places_of

from cbminer.catalogue.schema import conform
from cbminer.classifier.evaluation import area_under_curve
from cbminer.columns import float_column, label_column, values
from cbminer.errors import InputFormatError, SettingsError
from cbminer.flags import FLAG_MEANINGS, Flag, decode_flags
from cbminer.photometry.cloud_settings import common_distance, mean_reddening
from cbminer.photometry.parallax import ParallaxSettings, parallax_moduli
from cbminer.photometry.reddening import MapSample, MeanReddening, star_reddening
from cbminer.pipeline import open_survey, run_selection
from cbminer.ranking.evidence import population_densities
from cbminer.ranking.hypotheses import HYPOTHESES
from cbminer.ranking.odds import Ranker
from cbminer.selection.cutflow import judge
from cbminer.selection.plc_table import resolve_relation
from cbminer.settings import Settings, load_settings, settings_to_toml
from cbminer.steps import add_photometry, add_relation, cloud_population, fit_ranker, galaxy_notes, rank_candidates
from cbminer.theory.grid import write_grid
from cbminer.theory.phases import Phase
from cbminer.theory.population import make_population
from cbminer.theory.population_settings import PopulationSettings

UNITS = {"parallax": "mas", "e_parallax": "mas", "RAJ2000": "deg", "DEJ2000": "deg"}
A_V, E_V, E_I = 2.5, 0.035, 0.02
UNKNOWN = np.nan


def catalogue(n=1, **columns):
    """A catalogue with V = 12 and I = 11.5, and what else is given."""
    table = QTable({"id": [f"MOCK-MW-ECL-{i:05d}" for i in range(n)], "flags": np.zeros(n, dtype=int)})
    given_numbers = {"RAJ2000": 270.0, "DEJ2000": -20.0, "V_mag": 12.0, "I_mag": 11.5} | columns
    for name, data in given_numbers.items():
        table[name] = float_column(np.broadcast_to(np.asarray(data, dtype=float), n), UNITS.get(name, "mag"))
    return table


def photometry(stars, *, galaxy="MW", dust=None, settings=None):
    chosen = settings or load_settings()
    # OGLE's limit is not that of a survey of bright stars.
    chosen = chosen.model_copy(update={"survey": chosen.survey.model_copy(update={"saturation_I": 10.0})})
    found = add_photometry(stars, "mock", chosen, chosen.cloud[galaxy], dust)
    numbers = {
        name: values(found, name, "mag")
        for name in ("M_V", "e_M_V", "M_I", "VI0", "e_VI0", "E_VI", "e_E_VI", "distance_modulus", "e_distance_modulus")
    }
    numbers["cov"] = values(found, "cov_M_V_VI0", "mag2")
    return numbers, np.asarray(found["flags"])


class OneCell:
    """A map that knows the east half of the sky."""

    def __init__(self, E_VI=0.5, error=0.06):
        self.E_VI, self.error = E_VI, error

    def at(self, ra, dec):
        assert np.isfinite(ra + dec).all()
        inside = ra < 180.0
        value, error = np.where(inside, self.E_VI, np.nan), np.where(inside, self.error, np.nan)
        return MapSample(value, error, error, inside)


def test_a_star_by_hand():
    stars = catalogue(parallax=0.5, e_parallax=0.05, E_VI_given=0.2, e_E_VI_given=0.04)
    found, flags = photometry(stars)
    # 2 kpc: 5 lg 200 = 11.5051; A_V = 0.5, so M_V = 12 - 0.5 - 11.5051.
    e_mu = 5.0 / np.log(10.0) * 0.1
    assert found["distance_modulus"][0] == pytest.approx(11.5051, abs=1e-4)
    assert found["e_distance_modulus"][0] == pytest.approx(e_mu, abs=1e-4)
    assert found["M_V"][0] == pytest.approx(-0.0051, abs=1e-4)
    assert found["M_I"][0] == pytest.approx(11.5 - 1.5 * 0.2 - 11.5051, abs=1e-4)
    assert found["VI0"][0] == pytest.approx(0.3)
    assert found["e_M_V"][0] == pytest.approx(np.sqrt(E_V**2 + (A_V * 0.04) ** 2 + e_mu**2), abs=1e-4)
    assert found["e_VI0"][0] == pytest.approx(np.sqrt(E_V**2 + E_I**2 + 0.04**2), abs=1e-4)
    assert found["cov"][0] == pytest.approx(E_V**2 + A_V * 0.04**2, abs=1e-6)
    assert flags[0] == 0


def test_errors_are_those_of_a_monte_carlo():
    rng, n = np.random.default_rng(8), 200_000
    parallax, sigma, zero, e_zero, reddening, e_reddening = 0.8, 0.03, 0.02, 0.015, 0.3, 0.05
    chosen = load_settings()
    settings = ParallaxSettings(zero_point=f"{zero} mas", e_zero_point=f"{e_zero} mas")
    found, _ = photometry(
        catalogue(parallax=parallax, e_parallax=sigma, E_VI_given=reddening, e_E_VI_given=e_reddening),
        settings=chosen.model_copy(update={"parallax": settings}),
    )
    truth = parallax + zero + rng.normal(0, sigma, n) + rng.normal(0, e_zero, n)
    e_vi, v, i = rng.normal(reddening, e_reddening, n), rng.normal(12.0, E_V, n), rng.normal(11.5, E_I, n)
    m_v, colour = v - A_V * e_vi - (10.0 - 5.0 * np.log10(truth)), v - i - e_vi
    # The inverse of a parallax is biased by 1.09 f^2: 0.002 mag at f = 0.04.
    assert found["M_V"][0] == pytest.approx(m_v.mean(), abs=0.004)
    assert found["e_M_V"][0] == pytest.approx(m_v.std(), rel=0.01)
    assert found["e_VI0"][0] == pytest.approx(colour.std(), rel=0.01)
    assert found["cov"][0] == pytest.approx(np.cov(m_v, colour)[0, 1], rel=0.03)


def test_only_good_parallaxes_give_a_distance():
    parallax = np.array([1.0, 1.0, 1.0, -0.3, 0.0, UNKNOWN, 0.9])
    error = np.array([0.2, 0.2001, 0.0, 0.01, 0.01, 0.1, UNKNOWN])
    found = parallax_moduli(parallax, error, settings=ParallaxSettings())
    np.testing.assert_array_equal(np.isfinite(found.modulus), [True, False, True, False, False, False, False])
    np.testing.assert_array_equal(np.isfinite(found.error), np.isfinite(found.modulus))
    np.testing.assert_array_equal(found.poor, [False, True, False, True, True, False, True])
    # What is added counts for what is good, and so does its error.
    shifted = parallax_moduli(parallax, error, settings=ParallaxSettings(zero_point="0.001 mas"))
    assert np.isfinite(shifted.modulus[1])
    unsure = parallax_moduli(parallax, error, settings=ParallaxSettings(e_zero_point="10 uas"))
    assert np.isnan(unsure.modulus[0])


def test_the_first_source_that_is_known_holds():
    # A star a row: all four, three, two, one source of its distance; likewise of its reddening.
    stars = catalogue(
        4,
        M_V_given=[-3.0, UNKNOWN, UNKNOWN, UNKNOWN],
        e_M_V_given=0.2,
        distance_modulus_given=[11.0, 11.0, UNKNOWN, UNKNOWN],
        e_distance_modulus_given=0.1,
        parallax=[1.0, 1.0, 1.0, UNKNOWN],
        e_parallax=0.1,
        E_VI_given=[0.3, 0.3, UNKNOWN, UNKNOWN],
        e_E_VI_given=0.02,
        RAJ2000=[10.0, 10.0, 10.0, 200.0],
    )
    found, flags = photometry(stars, dust=OneCell(), galaxy="LMC")
    np.testing.assert_allclose(found["distance_modulus"], [11.0, 11.0, 10.0, 18.477])
    np.testing.assert_allclose(found["e_distance_modulus"], [0.1, 0.1, 0.2171, 0.024])
    np.testing.assert_allclose(found["E_VI"], [0.3, 0.3, 0.5, 0.1])
    np.testing.assert_allclose(found["e_E_VI"], [0.02, 0.02, 0.06, 0.043])
    np.testing.assert_allclose(found["M_V"], [-3.0, 12 - 0.75 - 11, 12 - 1.25 - 10, 12 - 0.25 - 18.477], atol=1e-9)
    assert found["e_M_V"][0] == 0.2
    substitute = Flag.MEAN_REDDENING | Flag.OUTSIDE_REDDENING_MAP
    assert flags.tolist() == [Flag.GIVEN_PHOTOMETRY, 0, 0, substitute]


def test_a_given_magnitude_needs_neither_distance_nor_reddening():
    stars = catalogue(3, M_V_given=[-4.0, -4.0, UNKNOWN], VI0_given=[-0.3, UNKNOWN, -0.3])
    stars["e_M_V_given"], stars["e_VI0_given"] = float_column([0.3] * 3, "mag"), float_column([0.05] * 3, "mag")
    found, flags = photometry(stars)
    np.testing.assert_array_equal(found["M_V"], [-4.0, -4.0, UNKNOWN])
    np.testing.assert_array_equal(found["VI0"], [-0.3, UNKNOWN, -0.3])
    np.testing.assert_array_equal(found["e_M_V"], [0.3, 0.3, UNKNOWN])
    np.testing.assert_array_equal(found["cov"], [0.0, UNKNOWN, UNKNOWN])
    assert np.isnan(found["M_I"]).all()
    expected = Flag.GIVEN_PHOTOMETRY | Flag.NO_DISTANCE | Flag.NO_REDDENING
    assert flags.tolist() == [expected] * 3


def test_what_is_not_known_is_flagged_and_never_0():
    stars = catalogue(
        5,
        parallax=[1.0, 0.1, -1.0, UNKNOWN, 1.0],
        e_parallax=0.1,
        E_VI_given=[UNKNOWN, 0.2, 0.2, 0.2, -0.01],
        e_E_VI_given=[0.1, 0.1, 0.1, 0.1, 0.02],
    )
    found, flags = photometry(stars)
    np.testing.assert_array_equal(np.isfinite(found["M_V"]), [False, False, False, False, True])
    np.testing.assert_array_equal(np.isfinite(found["e_M_V"]), np.isfinite(found["M_V"]))
    np.testing.assert_array_equal(np.isfinite(found["cov"]), np.isfinite(found["M_V"]))
    np.testing.assert_array_equal(np.isfinite(found["VI0"]), [False, True, True, True, True])
    assert np.isnan(found["E_VI"][0])
    poor = ["NO_DISTANCE", "POOR_PARALLAX"]
    assert [decode_flags(flag) for flag in flags] == [
        ["NO_REDDENING"], poor, poor, ["NO_DISTANCE"], ["NEGATIVE_REDDENING"],
    ]  # fmt: skip
    assert set(Flag) == set(FLAG_MEANINGS)


def test_a_catalogue_that_says_nothing_leaves_all_unknown():
    found, flags = photometry(catalogue(2))
    for name in ("M_V", "VI0", "distance_modulus", "E_VI", "e_E_VI"):
        assert np.isnan(found[name]).all()
    assert flags.tolist() == [Flag.NO_DISTANCE | Flag.NO_REDDENING] * 2


def test_a_star_in_front_of_a_cloud_is_where_its_parallax_has_it():
    stars = catalogue(2, parallax=[0.5, 0.02], e_parallax=0.02)
    found, flags = photometry(stars, galaxy="LMC")
    np.testing.assert_allclose(found["distance_modulus"], [11.5051, 18.477])
    assert not np.any(flags & Flag.POOR_PARALLAX)


def test_outside_of_a_map_nothing_is_assumed():
    stars = catalogue(3, RAJ2000=[10.0, 200.0, UNKNOWN], distance_modulus_given=10.0, e_distance_modulus_given=0.1)
    found, flags = photometry(stars, dust=OneCell())
    np.testing.assert_array_equal(found["E_VI"], [0.5, UNKNOWN, UNKNOWN])
    outside = Flag.NO_REDDENING | Flag.OUTSIDE_REDDENING_MAP
    assert flags.tolist() == [0, outside, outside]


def test_a_map_without_errors_needs_a_scatter():
    stars, bare = catalogue(2, RAJ2000=[10.0, 200.0]), OneCell(error=UNKNOWN)
    with pytest.raises(SettingsError, match="star_scatter under"):
        star_reddening(stars, mean=None, dust=bare)
    np.testing.assert_array_equal(star_reddening(stars, mean=None, dust=bare, star_scatter=0.1).error, [0.1, UNKNOWN])


def test_values_without_a_column_of_errors_are_refused():
    for name in ("parallax", "distance_modulus_given", "E_VI_given", "M_V_given", "VI0_given"):
        with pytest.raises(InputFormatError, match=rf"column {name}, but not e_{name}: .* under \[table\]"):
            photometry(catalogue(**{name: 1.0}))


def test_a_reddening_without_an_error_takes_the_scatter():
    stars = catalogue(3, E_VI_given=[0.2, 0.2, 0.2], e_E_VI_given=[0.01, UNKNOWN, -1.0])
    mean = MeanReddening(E_VI="0.1 mag", scatter="0.04 mag")
    np.testing.assert_allclose(star_reddening(stars, mean=mean).error, [0.01, 0.04, 0.04])
    np.testing.assert_allclose(star_reddening(stars, mean=mean, star_scatter=0.07).error, [0.01, 0.07, 0.07])
    np.testing.assert_array_equal(star_reddening(stars, mean=None).E_VI, [0.2, UNKNOWN, UNKNOWN])


def test_errors_of_magnitudes_are_the_catalogues_where_it_has_them():
    numbers = {"distance_modulus_given": 10.0, "e_distance_modulus_given": 0.0, "E_VI_given": 0.0, "e_E_VI_given": 0.0}
    found, _ = photometry(catalogue(2, e_V_mag=[0.1, UNKNOWN], e_I_mag=[0.05, UNKNOWN], **numbers))
    np.testing.assert_allclose(found["e_M_V"], [0.1, E_V])
    np.testing.assert_allclose(found["e_VI0"], [np.hypot(0.1, 0.05), np.hypot(E_V, E_I)], atol=1e-4)


maybe = st.none() | st.floats(0.1, 3.0)
parallaxes = st.none() | st.tuples(st.floats(-1.0, 5.0), st.floats(0.001, 1.0))


@hypothesis_settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(maybe, maybe, parallaxes, maybe), min_size=1, max_size=6), st.sampled_from(["MW", "SMC"]))
def test_every_star_is_treated_as_if_it_were_alone(rows, galaxy):
    def column(place):
        return [UNKNOWN if row[place] is None else row[place] for row in rows]

    measured = [(UNKNOWN, UNKNOWN) if row[2] is None else row[2] for row in rows]
    stars = catalogue(
        len(rows),
        M_V_given=column(0),
        e_M_V_given=0.1,
        distance_modulus_given=column(1),
        e_distance_modulus_given=0.1,
        parallax=[pair[0] for pair in measured],
        e_parallax=[pair[1] for pair in measured],
        E_VI_given=column(3),
        e_E_VI_given=0.1,
    )
    found, _ = photometry(stars, galaxy=galaxy)
    for place, (magnitude, modulus, parallax, reddening) in enumerate(rows):
        if modulus is None and parallax is not None and parallax[0] > 0 and parallax[1] <= 0.2 * parallax[0]:
            modulus = 5.0 * np.log10(100.0 / parallax[0])
        if galaxy == "SMC":
            modulus, reddening = modulus or 18.977, reddening or 0.047
        known = modulus is not None and reddening is not None
        expected = magnitude or (12.0 - A_V * reddening - modulus if known else UNKNOWN)
        np.testing.assert_allclose(found["M_V"][place], expected, atol=1.01e-4)
        assert np.isnan(found["e_M_V"][place]) == np.isnan(expected)


def test_the_presets_say_what_stars_have_in_common(tmp_path):
    settings = load_settings()
    assert settings.cloud["MW"].distance is settings.cloud["MW"].reddening is None
    assert common_distance(settings.cloud, "LMC").distance_modulus == 18.477
    assert mean_reddening(settings.cloud, "SMC").E_VI == 0.047
    for find, what in ((common_distance, "distance"), (mean_reddening, "reddening")):
        with pytest.raises(SettingsError, match=rf"MW have no {what} in common.*\[cloud.MW.{what}\]"):
            find(settings.cloud, "MW")
    path = tmp_path / "written.toml"
    path.write_text(settings_to_toml(settings), encoding="utf-8")
    assert load_settings(path) == settings
    recorded = settings.model_dump(mode="json")
    del recorded["cloud"]["SMC"]["distance"]
    with pytest.raises(ValueError, match=r"cloud.SMC.distance is not set: only the Milky Way"):
        Settings.model_validate(recorded)
    # Runs of earlier versions do not know the Milky Way.
    assert "MW" not in Settings.model_validate({"cloud": {"LMC": recorded["cloud"]["LMC"]}}).cloud


def test_stars_of_a_cluster_may_have_a_distance_in_common(tmp_path):
    path = tmp_path / "cluster.toml"
    path.write_text(
        '[cloud.MW.distance]\ndistance_modulus = "13 mag"\ne_distance_modulus = "0.1 mag"\ndepth = "0 mag"\n'
        '[cloud.MW.reddening]\nE_VI = "1.5 mag"\nscatter = "0.2 mag"\n',
        encoding="utf-8",
    )
    found, flags = photometry(catalogue(2, parallax=[1.0, UNKNOWN], e_parallax=0.1), settings=load_settings(path))
    np.testing.assert_allclose(found["distance_modulus"], [10.0, 13.0])
    np.testing.assert_allclose(found["E_VI"], 1.5)
    assert flags.tolist() == [Flag.MEAN_REDDENING] * 2
    path.write_text("[cloud.MW]\ndistnace = 3\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"line 2.*known here: distance, reddening"):
        load_settings(path)


def test_there_is_no_population_of_the_milky_way_unless_one_is_made(tmp_path):
    settings = load_settings()
    nothing = cloud_population("MW", settings)
    assert not nothing.known
    stars = conform(catalogue(3))
    assert np.isnan(nothing.contact_level(stars)).all()
    assert np.isnan(nothing.hull_distance(stars)).all()
    places = nothing.places(stars)
    assert all(np.isnan(places.density[name]).all() for name in ("contact", "near_contact"))
    assert set(places.number.values()) == {0.0}
    for name in ("learn_shares", "learn_places"):
        mixture = settings.ranking.mixture.model_copy(update={name: False})
        ranking = settings.ranking.model_copy(update={"mixture": mixture})
        with pytest.raises(SettingsError, match=r"no population of the MW.*name a grid under \[ranking\]"):
            cloud_population("MW", settings.model_copy(update={"ranking": ranking}))


def test_a_population_of_the_milky_way_is_made_of_the_users_grid(tmp_path):
    grid = make_grid(places_of([8.0, 10.0, 12.0], [0.7, 0.8, 0.9], [1.0, 1.2, 1.4]), Z=0.0142)
    write_grid(grid, tmp_path / "grid")
    folder = str(tmp_path / "grid")
    with pytest.raises(SettingsError, match=r"set rate_MW under \[population.star_formation\]"):
        population_densities("MW", settings=PopulationSettings(), grid=folder)
    formed = PopulationSettings().star_formation.model_copy(update={"rate_MW": 2.0})
    settings = PopulationSettings(star_formation=formed)
    found = make_population(grid, "MW", settings=settings)
    of_lmc = make_population(grid, "LMC", settings=settings)
    assert found.number(Phase.CONTACT) == pytest.approx(10.0 * of_lmc.number(Phase.CONTACT))
    assert of_lmc.metallicity_differs
    assert not found.metallicity_differs
    densities = population_densities("MW", settings=settings, grid=folder)
    assert densities.known
    assert densities.everywhere["contact"].number > 0


def test_notes_say_what_is_missing():
    settings = load_settings()
    assert galaxy_notes("LMC", ["parallax"], settings) == []
    assert "no population of the Milky Way" in galaxy_notes("MW", [], settings)[0]
    assert any("zero_point" in note for note in galaxy_notes("MW", ["parallax"], settings))
    reddening = settings.reddening.model_copy(update={"map": "dust.fits"})
    ranking = settings.ranking.model_copy(update={"grid": "models"})
    chosen = settings.model_copy(update={"reddening": reddening, "ranking": ranking})
    notes = galaxy_notes("MW", [], chosen)
    assert len(notes) == 2
    assert "no limit of magnitude" in notes[0]
    assert "all dust on a line of sight" in notes[1]


@pytest.fixture(scope="module")
def milky_way(tmp_path_factory):
    """A mock survey whose stars are put at distances of their own, judged by the real cuts and ranked."""
    folder = tmp_path_factory.mktemp("galactic")
    settings = load_settings()
    settings = settings.model_copy(update={"seed": 71, "mock": settings.mock.model_copy(update={"n_lmc": 110})})
    archive = open_survey("mock", ["LMC"], settings=settings, cache=folder / "cache")
    of_lmc = run_selection(archive, ["LMC"], settings=settings, survey="mock").stars
    stars = of_lmc.copy()
    rng = np.random.default_rng(5)
    modulus = rng.uniform(9.0, 14.0, len(stars))
    stars["id"] = [name.replace("LMC", "MW") for name in label_column(stars, "id")]
    stars["galaxy"] = np.full(len(stars), "MW")
    for name in ("V_mag", "I_mag"):
        stars[name] = float_column(values(stars, name, "mag") - 18.477 + modulus, "mag")
    stars["parallax"] = float_column(10.0 ** (2.0 - modulus / 5.0), "mas")
    stars["e_parallax"] = float_column(0.04 * 10.0 ** (2.0 - modulus / 5.0), "mas")
    stars["E_VI_given"] = stars["E_VI"]
    stars["e_E_VI_given"] = stars["e_E_VI"]
    stars["flags"] = np.asarray(stars["flags"]) & ~int(Flag.MEAN_REDDENING)
    stars = add_photometry(stars, "mock", settings, settings.cloud["MW"], None)
    relation = resolve_relation(stars, settings.selection)
    stars = conform(judge(add_relation(stars, relation), settings.selection))
    ranker, ranked = fit_ranker(stars, cloud_population("MW", settings), settings)
    return of_lmc, rank_candidates(conform(ranked), settings), ranker


def test_stars_at_their_own_distances_are_where_those_of_a_cloud_are(milky_way):
    of_lmc, stars, _ = milky_way
    known = np.isfinite(values(of_lmc, "M_V", "mag"))
    np.testing.assert_allclose(values(stars, "M_V", "mag")[known], values(of_lmc, "M_V", "mag")[known], atol=3e-4)
    np.testing.assert_array_equal(np.isfinite(values(stars, "M_V", "mag")), known)
    assert (values(stars, "e_M_V", "mag")[known] > values(of_lmc, "e_M_V", "mag")[known]).all()
    # The band about the relation is as wide as the errors ask for: nobody is lost by a distance of less weight.
    selected = np.asarray(stars["selected"], dtype=bool)
    assert selected[np.asarray(of_lmc["selected"], dtype=bool)].mean() > 0.95


def test_odds_without_a_population_rest_on_the_survey(milky_way):
    of_lmc, stars, ranker = milky_way
    posterior = np.column_stack([values(stars, f"post_{name}") for name in HYPOTHESES])
    known = np.isfinite(posterior).all(axis=1)
    np.testing.assert_allclose(posterior[known].sum(axis=1), 1.0, atol=6e-5)
    np.testing.assert_array_equal(known, np.isfinite(values(of_lmc, "post_contact")))
    for name in ("contact_level", "hull_distance", "ln_odds_population"):
        assert np.isnan(values(stars, name)).all()
    assert not np.asarray(stars["bona_fide"], dtype=bool).any()
    assert not np.any(np.asarray(stars["flags"]) & Flag.OUTSIDE_POPULATION)
    # The same light curves in the same places: what stands out in the Cloud does here.
    likely = values(of_lmc, "post_contact")[known] > 0.5
    assert area_under_curve(posterior[known, 0][likely], posterior[known, 0][~likely]) > 0.97
    ranks = np.asarray(stars["rank"])
    assert sorted(ranks[ranks > 0]) == list(range(1, int(np.sum(stars["selected"])) + 1))
    assert ranker.record()["predicted_numbers"] == {}


def test_new_stars_of_the_milky_way_are_ranked_as_its_own(milky_way):
    _, stars, ranker = milky_way
    assert isinstance(ranker, Ranker)
    again = ranker.apply(stars[:20])
    both = np.isfinite(values(again, "post_contact"))
    np.testing.assert_array_equal(both, np.isfinite(values(stars[:20], "post_contact")))
    assert np.isnan(values(again, "contact_level")).all()
