"""Parts of the ranking: shapes, light curves, places, the mixture, and whether probabilities hold."""

import json

import numpy as np
import pytest
from scipy.stats import norm

from cbminer.classifier.classes import CLASSES
from cbminer.classifier.prediction import classifier_model
from cbminer.errors import InputFormatError
from cbminer.ranking.evidence_blocks import EvidenceBlocks
from cbminer.ranking.hypotheses import HYPOTHESES, NETWORK_CLASS, hypotheses_of
from cbminer.ranking.light_curves import (
    CurveEvidence,
    LightCurveEvidence,
    LightCurveWeights,
    light_curve_evidence,
    log_network,
)
from cbminer.ranking.mixture import MixtureSettings, PopulationPlaces, StarEvidence
from cbminer.ranking.mixture_fit import fit_mixture
from cbminer.ranking.odds import is_degenerate
from cbminer.ranking.place import PlaceGrid, SurveyDensity
from cbminer.ranking.reliability import clopper_pearson_interval, reliability
from cbminer.ranking.shape_library import ShapeLibrary, shape_library
from cbminer.resources import grid_path

CONTACT, NEAR, SEMI, DETACHED, ELLIPSOIDAL, OTHER = range(6)
ONE_KIND_EACH = {"hypothesis": np.arange(6), "within": np.ones(6)}


def test_every_class_of_the_network_is_a_hypothesis():
    assert set(NETWORK_CLASS.values()) == set(CLASSES)
    label = np.arange(len(CLASSES))
    assert hypotheses_of(label, [""] * 5).tolist() == [CONTACT, NEAR, DETACHED, ELLIPSOIDAL, OTHER]
    assert hypotheses_of([CLASSES.index("near_contact")], ["semi_detached"]).tolist() == [SEMI]
    # A semi-detached pair seen without eclipses is an ellipsoidal variable, whatever its kind.
    assert hypotheses_of([CLASSES.index("ellipsoidal")], ["semi_detached"]).tolist() == [ELLIPSOIDAL]


class TestShapes:
    def library(self):
        shapes = [[0.4, 0.01, 0.02, 0.75], [0.4, 0.01, -0.01, 0.7], [0.9, 0.0, 0.03, 0.76]]
        return ShapeLibrary.of(shapes, [CONTACT, NEAR, CONTACT], ["one", "near", "one"])

    def test_the_density_is_that_of_normal_curves(self):
        error = np.array([[0.01, 0.01, 0.002, 0.02]])
        star = np.array([[0.41, 0.012, 0.018, 0.74]])
        smoothing = np.array([0.004 + 0.05 * 0.41, 0.003 + 0.02 * 0.41, 0.0012, 0.010])
        spread = np.hypot(error[0], smoothing)
        one = np.prod(norm.pdf(star[0], [0.4, 0.01, 0.02, 0.75], spread))
        found = np.exp(self.library().log_likelihood(star, error))[0]
        # Two contact curves, of which the other is far away; and one star in a hundred may be anything.
        assert found[0] == pytest.approx(0.5 * one + 0.01 / 0.06, rel=1e-3)
        assert found[1] == pytest.approx(0.01 / 0.06)

    def test_a_star_like_nothing_has_no_preference(self):
        found = self.library().log_likelihood([[0.3, 0.25, -0.05, 0.3]], [[0.01] * 4])
        assert np.ptp(found) == 0

    def test_what_is_unknown_stays_so(self):
        found = self.library().log_likelihood(
            [[0.4, np.nan, 0.02, 0.75], [0.4, 0.01, 0.02, 0.75]], np.full((2, 4), 0.01)
        )
        assert np.isnan(found[0]).all()
        assert np.isfinite(found[1]).all()

    def test_rows_without_a_shape_are_left_out(self):
        assert len(ShapeLibrary.of([[np.nan] * 4, [0.1, 0.0, 0.0, 0.9]], [0, 5], ["a", "b"])) == 1

    def test_hypotheses_are_divided_into_kinds(self):
        shapes = np.column_stack([np.linspace(0.1, 0.8, 8), np.zeros((8, 3))])
        library = ShapeLibrary.of(shapes, [0, 0, 0, 0, 5, 5, 1, 1], ["a", "b", "b", "b", "a", "c", "x", "x"])
        assert library.kinds == ("a", "b", "x", "a", "c")
        assert library.hypothesis.tolist() == [0, 0, 1, 5, 5]
        assert library.within == pytest.approx([0.25, 0.75, 1.0, 0.5, 0.5])
        assert np.diff(library.offsets).tolist() == [1, 3, 2, 1, 1]

    def test_it_is_read_back(self, tmp_path):
        self.library().save(tmp_path / "shapes.npz")
        again = ShapeLibrary.load(tmp_path / "shapes.npz")
        np.testing.assert_allclose(again.shapes, self.library().shapes, rtol=1e-6)
        assert again.offsets.tolist() == [0, 2, 3]
        assert again.kinds == ("one", "near")
        assert again.hypothesis.tolist() == [CONTACT, NEAR]

    def test_a_damaged_file_is_named(self, tmp_path):
        (tmp_path / "shapes.npz").write_bytes(b"no numbers")
        with pytest.raises(InputFormatError, match=r"shapes\.npz is no library of shapes"):
            ShapeLibrary.load(tmp_path / "shapes.npz")

    def test_the_shipped_one_knows_deep_round_minima_as_contact(self):
        # PHOEBE's q = 1: fill-out 0.5 at 80 degrees, R / R_L = 0.95 at 80 degrees (SCIENCE 8.4).
        stars = [[0.722, 0.0, 0.036, 0.77], [0.589, 0.0, -0.013, 0.70]]
        library = shape_library()
        assert set(library.hypothesis) == set(range(len(HYPOTHESES)))
        found = library.log_likelihood(stars, np.full((2, 4), [0.005, 0.003, 0.001, 0.01]))
        found = CurveEvidence(found, library.hypothesis, library.within).by_hypothesis()
        assert found[0].argmax() == CONTACT
        assert found[0, CONTACT] - found[0, NEAR] > 3
        assert found[1, NEAR] - found[1, CONTACT] > 3


class TestLightCurves:
    def drawn(self, *, same):
        """Two pieces of evidence for three kinds of stars, independent of each other or the same one twice."""
        rng = np.random.default_rng(1)
        truth = rng.integers(0, 3, 6000)
        middles = np.array([0.0, 1.5, 3.0])

        def log_likelihood(x):
            found = np.full((len(x), 6), -30.0)
            found[:, :3] = norm.logpdf(x[:, None], middles)
            return found

        first = log_likelihood(middles[truth] + rng.normal(size=len(truth)))
        second = first if same else log_likelihood(middles[truth] + rng.normal(size=len(truth)))
        return first, second, truth

    def test_independent_parts_have_full_weight(self):
        weights = LightCurveWeights.fit(*self.drawn(same=False), **ONE_KIND_EACH)
        assert weights.network == pytest.approx(1.0, abs=0.06)
        assert weights.shape == pytest.approx(1.0, abs=0.06)

    def test_one_part_twice_counts_once(self):
        weights = LightCurveWeights.fit(*self.drawn(same=True), **ONE_KIND_EACH)
        assert weights.network + weights.shape == pytest.approx(1.0, abs=0.05)

    def test_they_are_fitted_to_kinds_as_they_are_applied(self):
        """Two kinds of contact, told apart by the shape alone: the fit is that of the sum over them."""
        first, second, truth = self.drawn(same=False)
        kinds = np.column_stack([second[:, 0] - 1.0, second[:, 0] + 1.0, second[:, 1:]])
        hypothesis, within = np.array([0, 0, 1, 2, 3, 4, 5]), np.array([0.3, 0.7, 1, 1, 1, 1, 1])
        weights = LightCurveWeights.fit(first, kinds, truth, hypothesis=hypothesis, within=within)
        evidence = LightCurveEvidence(weights, weights, weights)
        probability = np.full((len(truth), len(CLASSES)), 0.2)
        applied = evidence.weigh(probability, kinds, hypothesis=hypothesis, within=within).by_hypothesis()
        ours = applied + weights.network * first
        rivals = [
            LightCurveWeights(weights.network, weights.shape + step, weights.constant) for step in (-0.15, 0.0, 0.15)
        ]
        losses = []
        for rival in rivals:
            evidence = LightCurveEvidence(rival, rival, rival)
            log = evidence.weigh(probability, kinds, hypothesis=hypothesis, within=within).by_hypothesis()
            log = log + rival.network * first
            log -= np.logaddexp.reduce(log, axis=1, keepdims=True)
            counts = np.bincount(truth, minlength=6)[truth]
            losses.append(-(log[np.arange(len(truth)), truth] / counts).sum())
        assert np.isfinite(ours).all()
        assert losses[1] < min(losses[0], losses[2])

    def test_the_shipped_ones_are_those_of_the_shipped_network(self):
        made_of = json.loads(grid_path("ranking/light_curves.json").read_text())["made_of"]
        assert made_of["network"] == classifier_model("standard").version, "run grids/ranking/build.py"

    def test_they_are_kept_as_they_are(self):
        evidence = light_curve_evidence()
        again = LightCurveEvidence.from_dict(evidence.as_dict())
        assert again.as_dict() == evidence.as_dict()
        # The shipped ones: neither part is worth nothing, and both together less than two.
        assert 0.2 < evidence.both.network < 1
        assert 0.2 < evidence.both.shape < 1
        assert 0.7 < evidence.both.network + evidence.both.shape < 1.3

    def test_likelihoods_by_what_is_known(self):
        probability = np.array(
            [[0.9, 0.05, 0.02, 0.02, 0.01], [np.nan] * 5, [0.9, 0.05, 0.02, 0.02, 0.01], [np.nan] * 5]
        )
        log_shape = np.array([[0.0] * 6, [3.0, 0, 0, 0, 0, 0], [np.nan] * 6, [np.nan] * 6])
        evidence = light_curve_evidence().weigh(probability, log_shape, hypothesis=np.arange(6), within=np.ones(6))
        assert evidence.known.tolist() == [True, True, True, False]
        found = evidence.by_hypothesis()
        np.testing.assert_allclose(np.exp(found[:3]).sum(axis=1), 1.0)
        assert (found[:3].argmax(axis=1) == CONTACT).all()
        assert np.isnan(found[3]).all()
        # The network does not tell semi-detached pairs from those near contact: its word is the same on both.
        assert log_network(probability[:1])[0, NEAR] == log_network(probability[:1])[0, SEMI]


class TestKinds:
    def evidence(self):
        # Two kinds of contact and one of everything else; the second star is of the second kind.
        log_kind = np.log([[0.2, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1], [0.01, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1]])
        return CurveEvidence(log_kind, np.array([0, 0, 1, 2, 3, 4, 5]), np.array([0.5, 0.5, 1, 1, 1, 1, 1]))

    def test_a_hypothesis_is_the_mean_of_its_kinds(self):
        found = np.exp(self.evidence().by_hypothesis())
        assert found[0, CONTACT] / found[0, NEAR] == pytest.approx(2.0)
        assert found[1, CONTACT] / found[1, NEAR] == pytest.approx(0.455 / 0.1)
        only_second = np.array([1e-9, 1.0, 1, 1, 1, 1, 1])
        again = np.exp(self.evidence().by_hypothesis(only_second))
        assert again[1, CONTACT] / again[1, NEAR] == pytest.approx(9.0)

    def test_what_falls_to_a_hypothesis_is_divided(self):
        evidence = self.evidence()
        parts = evidence.of_kinds(np.tile([0.6, 0.4, 0, 0, 0, 0], (2, 1)), evidence.within)
        np.testing.assert_allclose(parts.sum(axis=1), 1.0)
        assert parts[0, :2] == pytest.approx([0.3, 0.3])
        assert parts[1, 1] / parts[1, 0] == pytest.approx(90.0)

    def test_a_survey_says_how_much_of_each_kind_it_holds(self):
        """A hundred stars that look like the second kind of contact, and none like the first."""
        row = np.log([1e-4, 1.0, 1e-4, 1e-4, 1e-4, 1e-4, 1e-4])
        curve = CurveEvidence(np.tile(row, (100, 1)), self.evidence().hypothesis, self.evidence().within)
        nothing = np.zeros(100)
        places = dict.fromkeys(("contact", "near_contact"), nothing)
        stars = StarEvidence(np.full((100, 3), np.nan), curve, PopulationPlaces(places, places, {}))
        mixture, _ = fit_mixture([stars], settings=MixtureSettings(), errors=np.zeros(3))
        assert mixture.within[0] == pytest.approx(2.5 / 105, rel=0.05)
        assert mixture.within[:2].sum() == pytest.approx(1.0)
        assert mixture.share[CONTACT] == pytest.approx(101 / 106, abs=0.01)


def rows_of(evidence, first, last):
    """Some of the stars."""
    curve = CurveEvidence(evidence.curve.log_kind[first:last], evidence.curve.hypothesis, evidence.curve.within)
    density, in_period = (
        {name: data[first:last] for name, data in places.items()}
        for places in (evidence.population.density, evidence.population.in_period)
    )
    places = PopulationPlaces(density, in_period, evidence.population.number)
    return StarEvidence(evidence.place[first:last], curve, places)


class TestPlaces:
    def stars(self, n=400):
        rng = np.random.default_rng(2)
        return rng.normal([0.0, -2.0, -0.2], [0.2, 1.0, 0.05], (n, 3)), rng.uniform(0.2, 1.0, n)

    def direct(self, grid, places, weight, at):
        """Sum of normal curves, without bins."""
        sigma = 2.0 * grid.step
        scaled = (at[:, None, :] - places[None]) / sigma
        kernels = np.exp(-0.5 * (scaled**2).sum(axis=2)) / np.prod(np.sqrt(2 * np.pi) * sigma)
        return kernels @ weight / weight.sum()

    def test_the_density_is_that_of_normal_curves(self):
        places, weight = self.stars()
        grid = PlaceGrid.over(places, np.zeros(3))
        density = SurveyDensity.of(grid, grid.bins(places), weight)
        found = density.at(grid.bins(places))
        direct = self.direct(grid, places, weight, places)
        assert np.abs(found / direct - 1.0).mean() < 0.06
        # Its integral is 1.
        assert density.in_all.sum() * np.prod(grid.step) / density.total == pytest.approx(1.0, abs=1e-3)
        assert density.in_period.sum() * grid.step[0] / density.total == pytest.approx(1.0, abs=1e-3)

    def test_a_star_does_not_count_for_itself(self):
        places, weight = self.stars()
        grid = PlaceGrid.over(places, np.zeros(3))
        density = SurveyDensity.of(grid, grid.bins(places), weight)
        found = density.at(grid.bins(places), less=weight)
        alone = SurveyDensity.of(grid, grid.bins(places[:1]), np.ones(1))
        assert alone.in_all.max() > 0
        assert alone.at(grid.bins(places[:1]), less=1.0) * 1e-9 < 1e-9 * alone.in_all.max()
        assert alone.at_period(grid.bins(places[:1])[:, 0], less=1.0) * 1e-9 < 1e-9 * alone.in_period.max()
        direct = np.array(
            [
                self.direct(grid, np.delete(places, k, axis=0), np.delete(weight, k), places[k : k + 1])[0]
                for k in range(len(places))
            ]
        )
        # What the star itself would add is a third of the density here.
        assert np.abs(found - direct).mean() / direct.mean() < 0.05

    def test_far_outliers_do_not_fill_the_memory(self):
        places, _ = self.stars()
        places[0] = [30.0, 1e4, -500.0]
        assert np.prod(PlaceGrid.over(places, np.zeros(3)).shape) < 5e6

    def test_errors_bound_the_resolution(self):
        places, _ = self.stars(50_000)
        assert (2.0 * PlaceGrid.over(places, np.array([0.0, 0.5, 0.1])).step)[1:] == pytest.approx([0.5, 0.1])


def evidence_of(places, log_curve, density, number, in_period=None):
    names = ("contact", "near_contact")
    nothing = [np.zeros(len(places))] * 2
    return StarEvidence(
        places,
        CurveEvidence(log_curve, np.arange(6), np.ones(6)),
        PopulationPlaces(
            dict(zip(names, density, strict=True)),
            dict(zip(names, nothing if in_period is None else in_period, strict=True)),
            dict(zip(names, number, strict=True)),
        ),
    )


class TestMixture:
    """A survey of contact, near-contact and detached stars whose light curves say little."""

    SHARES = np.array([0.3, 0.1, 0.0, 0.6, 0.0, 0.0])

    def survey(self, n=4000, *, informative=1.5, seed=3):
        rng = np.random.default_rng(seed)
        truth = rng.choice(6, n, p=self.SHARES)
        middle = np.array([[0.0, -3, -0.2], [0.3, -3, -0.2], [0, 0, 0], [0.8, -1, 0.0], [0, 0, 0], [0, 0, 0]])
        places = middle[truth] + rng.normal(size=(n, 3)) * [0.1, 0.5, 0.03]
        centres = informative * np.arange(6)
        log_curve = norm.logpdf(centres[truth][:, None] + rng.normal(size=(n, 1)), centres)
        density = [np.prod(norm.pdf(places, middle[k], [0.1, 0.5, 0.03]), axis=1) for k in (CONTACT, NEAR)]
        return truth, evidence_of(places, log_curve, density, (100.0, 100.0))

    def fit(self, evidence, **settings):
        mixture, weights = fit_mixture([evidence], settings=MixtureSettings(**settings), errors=np.zeros(3))
        return mixture, mixture.log_place(evidence, weight=weights[0])

    def test_it_finds_how_many_stars_of_each_kind_there_are(self):
        _, evidence = self.survey()
        mixture, _ = self.fit(evidence)
        np.testing.assert_allclose(mixture.share, self.SHARES, atol=0.03)
        assert mixture.as_predicted[CONTACT] > 0.5

    def test_its_probabilities_hold(self):
        truth, evidence = self.survey()
        mixture, log_place = self.fit(evidence)
        joint = mixture.log_joint(evidence, log_place)
        posterior = np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))
        assert reliability(posterior[:, CONTACT], truth == CONTACT).expected_error < 0.02

    def test_a_population_elsewhere_is_not_believed(self):
        truth, evidence = self.survey()
        wrong = norm.pdf(evidence.place[:, 1], 5.0, 0.3)
        evidence = evidence_of(evidence.place, evidence.curve.log_kind, (wrong, wrong), (100.0, 100.0))
        mixture, log_place = self.fit(evidence)
        assert mixture.as_predicted[CONTACT] < 0.05
        found = mixture.log_joint(evidence, log_place).argmax(axis=1)
        assert (found == truth).mean() > 0.9
        # Unless it is told to: then nothing lies where contact binaries are to be.
        believing, log_place = self.fit(evidence, learn_places=False)
        assert believing.as_predicted[CONTACT] == 1
        assert (believing.log_joint(evidence, log_place).argmax(axis=1)[truth == CONTACT] == CONTACT).mean() < 0.1

    def test_the_predicted_ratio_counts_for_its_stars(self):
        # Light curves and places that tell contact from near contact not at all.
        n = 300
        places = np.random.default_rng(4).normal(size=(n, 3))
        evidence = evidence_of(places, np.zeros((n, 6)), (np.ones(n), np.ones(n)), (300.0, 100.0))
        for settings in ({"learn_shares": False}, {"population_stars": 1e9}):
            share = self.fit(evidence, **settings)[0].share
            assert share[CONTACT] / share[NEAR] == pytest.approx(3.0, rel=1e-3)
        share = self.fit(evidence, population_stars=0.0)[0].share
        assert share[CONTACT] == pytest.approx(share[NEAR])

    def test_stars_of_which_less_is_known(self):
        _, evidence = self.survey(600)
        places, curve = evidence.place.copy(), evidence.curve.log_kind.copy()
        places[0, 1:] = np.nan
        places[1] = np.nan
        curve[2] = np.nan
        evidence = evidence_of(
            places, curve, [evidence.population.density[name] for name in HYPOTHESES[:2]], (1.0, 1.0)
        )
        mixture, log_place = self.fit(evidence)
        assert mixture.stars == 599
        assert np.ptp(log_place[1]) == 0
        assert np.ptp(log_place[0]) > 0
        assert np.isfinite(mixture.log_joint(evidence, log_place)).all()

    def test_a_survey_without_places_has_shares_all_the_same(self):
        _, evidence = self.survey(2000, informative=5.0)
        nowhere = np.full_like(evidence.place, np.nan)
        evidence = evidence_of(nowhere, evidence.curve.log_kind, (nowhere[:, 0], nowhere[:, 0]), (1.0, 1.0))
        mixture, log_place = self.fit(evidence)
        np.testing.assert_allclose(mixture.share, self.SHARES, atol=0.04)
        assert not log_place.any()

    def test_one_star_is_no_reason_to_fail(self):
        evidence = evidence_of(np.zeros((1, 3)), np.zeros((1, 6)), (np.ones(1), np.ones(1)), (1.0, 1.0))
        assert np.isfinite(self.fit(evidence)[0].share).all()
        nothing = evidence_of(np.zeros((0, 3)), np.zeros((0, 6)), (np.ones(0), np.ones(0)), (1.0, 1.0))
        assert self.fit(nothing)[0].share == pytest.approx(1 / 6)

    def test_a_star_is_no_evidence_for_itself(self):
        """One star far from all others lies nowhere in particular, whatever its own light curve says."""
        _, evidence = self.survey(300)
        places, curve = evidence.place.copy(), evidence.curve.log_kind.copy()
        places[0] = [-1.5, 2.0, 0.4]
        curve[0] = np.log([0.98, 0.004, 0.004, 0.004, 0.004, 0.004])
        density = [np.where(np.arange(300) == 0, 0.0, evidence.population.density[name]) for name in HYPOTHESES[:2]]
        mixture, log_place = self.fit(evidence_of(places, curve, density, (1.0, 1.0)))
        assert np.ptp(log_place[0]) < 0.05
        # To a new star in that place it is one: there is a contact binary there.
        new = mixture.log_place(evidence_of(places[:1], curve[:1], (np.zeros(1), np.zeros(1)), (1.0, 1.0)))
        assert new[0, CONTACT] - new[0, DETACHED] > 0.5

    @pytest.mark.parametrize("follows", [0.5, 0.9])
    def test_how_much_of_contact_lies_as_predicted(self, follows):
        rng = np.random.default_rng(8)
        n = 2000
        truth = rng.choice([CONTACT, DETACHED], n)
        elsewhere = (truth == CONTACT) & (rng.random(n) > follows)
        middle = np.where((truth == CONTACT)[:, None], [0.0, -3.0, -0.2], [0.8, -1.0, 0.0])
        middle[elsewhere] = [0.6, -5.0, -0.3]
        width = np.array([0.1, 0.5, 0.03])
        places = middle + rng.normal(size=(n, 3)) * width
        centres = 3.0 * np.arange(6)
        log_curve = norm.logpdf(centres[truth][:, None] + rng.normal(size=(n, 1)), centres)
        theory = np.prod(norm.pdf(places, [0.0, -3.0, -0.2], width), axis=1)
        mixture, _ = self.fit(evidence_of(places, log_curve, (theory, np.zeros(n)), (1.0, 1.0)))
        assert mixture.as_predicted[CONTACT] == pytest.approx(follows, abs=0.1)
        assert mixture.share[CONTACT] == pytest.approx(0.5, abs=0.03)
        # What follows theory is not in the density of the rest as well.
        assert mixture.densities[CONTACT].total == pytest.approx((1 - follows) * (truth == CONTACT).sum(), rel=0.25)

    def test_a_star_of_known_period_alone_is_weighed_by_it(self):
        _, evidence = self.survey(600)
        places = evidence.place.copy()
        places[:2, 1:] = np.nan
        places[:2, 0] = 0.0
        density = [evidence.population.density[name].copy() for name in HYPOTHESES[:2]]
        for one in density:
            one[:2] = np.nan
        in_period = [np.zeros(600), np.zeros(600)]
        in_period[0][1] = 4.0
        stars = evidence_of(places, evidence.curve.log_kind, density, (1.0, 1.0), in_period)
        mixture, log_place = self.fit(stars)
        gained = mixture.as_predicted[CONTACT] * 4.0
        assert gained > 0.5
        difference = np.exp(log_place[1, CONTACT]) - np.exp(log_place[0, CONTACT])
        assert difference == pytest.approx(gained, rel=0.1)
        assert log_place[1, NEAR] == pytest.approx(log_place[0, NEAR], abs=0.1)

    def test_blocks_of_stars_give_what_all_of_them_give(self):
        _, evidence = self.survey(1500)
        whole, log_place = self.fit(evidence)
        parts = EvidenceBlocks(rows_of(evidence, first, first + 400) for first in range(0, 1500, 400))
        assert len(parts) == 4
        mixture, weights = fit_mixture(parts, settings=MixtureSettings(), errors=np.zeros(3))
        assert mixture.steps == whole.steps
        np.testing.assert_allclose(mixture.share, whole.share, rtol=1e-9)
        np.testing.assert_allclose(mixture.as_predicted, whole.as_predicted, rtol=1e-9)
        found = [mixture.log_place(part, weight=weight) for part, weight in zip(parts, weights, strict=True)]
        np.testing.assert_allclose(np.concatenate(found), log_place, rtol=1e-9, atol=1e-9)

    def test_few_stars_leave_the_priors(self):
        """One light curve, and it is one of contact: that does not make a survey of contact binaries."""
        places = np.zeros((1, 3))
        curve = np.log([[0.95, 0.01, 0.01, 0.01, 0.01, 0.01]])
        mixture, _ = self.fit(evidence_of(places, curve, (np.zeros(1), np.zeros(1)), (1.0, 1.0)))
        assert mixture.share.max() < 0.3
        assert mixture.as_predicted[NEAR] == pytest.approx(0.5, abs=0.05)

    def test_it_says_whether_it_came_to_rest(self, monkeypatch):
        _, evidence = self.survey(500)
        assert self.fit(evidence)[0].converged
        monkeypatch.setattr("cbminer.ranking.mixture_fit._MOST_STEPS", 1)
        stopped = self.fit(evidence)[0]
        assert (stopped.steps, stopped.converged) == (1, False)


class TestReliability:
    def test_honest_probabilities_are_within_their_intervals(self):
        rng = np.random.default_rng(5)
        probability = rng.random(20_000)
        found = reliability(probability, rng.random(20_000) < probability, level=0.997)
        assert ((found.low <= found.stated) & (found.stated <= found.high)).all()
        assert found.expected_error < 0.02
        assert found.stars.sum() == 20_000

    def test_dishonest_ones_are_not(self):
        probability = np.full(1000, 0.9)
        found = reliability(probability, np.arange(1000) < 500)
        assert found.expected_error == pytest.approx(0.4)
        assert found.observed[9] == 0.5

    def test_intervals_against_the_textbook(self):
        # Clopper & Pearson: 4 of 10 at 95 %.
        low, high = clopper_pearson_interval([4, 0, 10], [10, 10, 10], level=0.95)
        assert low == pytest.approx([0.1216, 0.0, 0.6915], abs=1e-4)
        assert high == pytest.approx([0.7376, 0.3085, 1.0], abs=1e-4)

    def test_unknown_probabilities_are_left_out(self):
        assert reliability([np.nan, 0.5], [True, False]).stars.sum() == 1


class TestDegenerate:
    def ask(self, log_curve, depth):
        return bool(is_degenerate(np.array([log_curve]), np.array([depth]), factor=10.0, depth=0.2)[0])

    def test_by_likelihoods(self):
        assert self.ask([-0.5, -2.0, -9, -9, -9, -9], 0.5)
        assert not self.ask([-0.1, -3.0, -9, -9, -9, -9], 0.5)
        assert self.ask([-0.5, -9, -9, -9, -2.0, -9], 0.5)

    def test_by_depth(self):
        assert self.ask([-0.1, -9, -9, -9, -9, -9], 0.19)

    def test_what_is_something_else_is_not_degenerate(self):
        assert not self.ask([-5, -5, -0.1, -9, -9, -9], 0.1)
        assert not self.ask([np.nan] * 6, 0.1)
