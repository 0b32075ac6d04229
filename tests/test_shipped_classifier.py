"""The networks that the package ships: they are those of their cards, and as good as the cards say."""

import json
import re

import numpy as np
import pytest

from cbminer.classifier.calibration import calibration_error
from cbminer.classifier.card import card_path, read_card, render_card
from cbminer.classifier.classes import CLASSES
from cbminer.classifier.evaluation import area_under_curve, evaluate
from cbminer.classifier.examples import complete_templates, draw_balanced, observe_templates
from cbminer.classifier.prediction import SHIPPED, classifier_model, model_path
from cbminer.classifier.recipe import NetworkSettings, TrainingSettings
from cbminer.classifier.templates import curve_templates
from cbminer.synthetic.cadence import photometric_error, rescaled_error
from cbminer.synthetic.library import KINDS, LibrarySettings, draw_chunk

CONTACT, NEAR_CONTACT, DETACHED = 0, 1, 2
N = 3000


@pytest.fixture(scope="module")
def cards():
    return {name: read_card(model_path(name), sha256=classifier_model(name).digest()) for name in SHIPPED}


@pytest.fixture(scope="module")
def held_out(cards):
    """Rows of the library that the networks were judged on; a chunk can be drawn alone."""
    library = cards["standard"]["library"]
    settings = LibrarySettings.model_validate(library["settings"])
    start = library["rows"] - 1000
    assert start >= 0.9 * library["rows"]
    chunk = draw_chunk(start, settings=settings, seed=library["seed"], threads=2)
    templates = curve_templates(np.array(KINDS)[chunk.kinds], chunk.flux, chunk.truth)
    return complete_templates(templates, seed=4242)


def probabilities(name, card, templates, rng, *, bright):
    network = NetworkSettings.model_validate(card["network"])
    training = TrainingSettings.model_validate(card["training"])
    places = draw_balanced(templates, N, rng)
    error = rescaled_error(photometric_error(rng.uniform(16, 17, N)), scale=1.2, floor=0.003) if bright else None
    seen = observe_templates(
        templates,
        places,
        settings=training.observation,
        rng=rng,
        scalars=network.scalars,
        n_bins=network.n_bins,
        error=error,
        n_points=rng.integers(400, 700, N) if bright else None,
    )
    model = classifier_model(name)
    return model.probabilities(model.logits(seen.curves.inputs, seen.scalars)), seen


@pytest.mark.parametrize("name", SHIPPED)
def test_card_is_of_the_network(cards, name):
    card, model = cards[name], classifier_model(name)
    assert (card["name"], card["version"], tuple(card["classes"])) == (name, model.version, CLASSES)
    assert card["calibration"]["temperature"] == model.temperature
    np.testing.assert_allclose(card["calibration"]["bias"], model.calibration)
    rendered = render_card(card)
    assert model.digest() in rendered
    # As a word: "contaminants" holds the letters.
    assert re.search(r"\bnan\b", rendered) is None
    assert json.loads(card_path(model_path(name)).read_text()) == card


@pytest.mark.parametrize("name", SHIPPED)
def test_network_is_as_good_as_its_card(cards, held_out, name):
    found, seen = probabilities(name, cards[name], held_out, np.random.default_rng(1), bright=False)
    judged = evaluate(found, seen.label)
    said = cards[name]["synthetic"]["training_mix"]["macro_f1"][0]
    # Half of the stars that the card was made of, and a sixth of its examples.
    assert judged.macro_f1.value == pytest.approx(said, abs=0.03)
    assert judged.calibration.value < 0.04


def test_targets_of_bright_stars(cards, held_out):
    found, seen = probabilities("standard", cards["standard"], held_out, np.random.default_rng(2), bright=True)
    inclination = held_out.inclination[seen.template]
    aside = ~((seen.label <= DETACHED) & (inclination <= 60.0))
    assert evaluate(found[aside], seen.label[aside]).macro_f1.value > 0.90
    pair = aside & np.isin(seen.label, (CONTACT, DETACHED))
    contact = seen.label[pair] == CONTACT
    ratio = np.log(np.maximum(found[pair, CONTACT], 1e-12)) - np.log(np.maximum(found[pair, DETACHED], 1e-12))
    assert area_under_curve(ratio[contact], ratio[~contact]) > 0.995


def test_degenerate_inclinations_are_not_sure(cards, held_out):
    found, seen = probabilities("standard", cards["standard"], held_out, np.random.default_rng(3), bright=True)
    inclination = held_out.inclination[seen.template]
    close = seen.label <= NEAR_CONTACT
    shares = found[:, : NEAR_CONTACT + 1] / found[:, : NEAR_CONTACT + 1].sum(axis=1, keepdims=True)
    from_above, aside = close & (inclination < 50.0), close & (inclination > 70.0)
    assert shares[from_above].max(axis=1).mean() < shares[aside].max(axis=1).mean()
    # Sure of it no more often than right, within the noise of the sample.
    assert calibration_error(shares[from_above], seen.label[from_above], draws=0).value < 0.15
