"""The embedding behind c: the shipped model, its scale on curves never trained on, the transform, and the training."""

import hashlib
import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from cbminer.errors import InputFormatError
from cbminer.morphology.embedding import N_BINS, POINT_WEIGHTS, Embedding, embed, embedding_model
from cbminer.morphology.training import (
    COSINE_LABEL,
    TrainingSettings,
    extended_radii,
    normalised_half_curves,
    train_embedding,
)
from cbminer.resources import grid_path
from cbminer.synthetic.geometry import sum_of_radii
from cbminer.synthetic.passbands import standard_passband
from cbminer.synthetic.priors import BinaryPriors, draw_binaries
from cbminer.synthetic.radii import RadiiSettings, draw_by_radii
from cbminer.synthetic.roche import RocheEngine

ROOT = Path(__file__).parents[1]
PHASES = np.arange(501) / 1000.0
COSINE = 0.5 - 0.5 * np.cos(4 * np.pi * PHASES)


def half_curves(systems):
    engine = RocheEngine(passbands=(standard_passband("I"),), n_bands=24, threads=1)
    return normalised_half_curves(engine.light_curves(systems, PHASES)[:, 0])


def place(half, *, model=None):
    half = np.atleast_2d(half)
    return embed(half[:, None].astype(np.float32), np.zeros(len(half)), model=model or embedding_model())


def seen_with_impact(systems, most_impact, rng):
    """Systems at inclinations with eclipses, and their sums of radii."""
    radii = sum_of_radii(systems.potential_1, systems.potential_2, systems.mass_ratio)
    cosine = rng.uniform(0, most_impact, len(systems)) * np.minimum(radii, 1.0)
    return systems.at_inclination(np.degrees(np.arccos(cosine))), radii


@pytest.fixture(scope="module")
def fresh():
    """Curves of pairs that were not trained on, their sums of radii, and cos i over these."""
    pairs = draw_by_radii(324, settings=RadiiSettings(), rng=np.random.default_rng(987654))
    impact = np.cos(np.radians(pairs.systems.inclination)) / pairs.sum_of_radii
    return half_curves(pairs.systems), pairs.sum_of_radii, impact


def test_the_shipped_model_is_the_one_that_its_json_names():
    path = grid_path("morphology/embedding.npz")
    described = json.loads(path.with_suffix(".json").read_text())
    model = embedding_model()
    assert model.digest() == described["sha256"]
    assert len(model.training) == described["training_curves"] > 1000
    assert model is embedding_model()
    with np.load(path, allow_pickle=False) as archive:
        assert all(archive[name].dtype.kind in "fi" for name in archive.files)


def vars_of(model):
    return {name: getattr(model, name) for name in Embedding.__dataclass_fields__}


@pytest.fixture
def copied(tmp_path):
    source = grid_path("morphology/embedding.npz")
    for path in (source, source.with_suffix(".json")):
        shutil.copy(path, tmp_path / path.name)
        (tmp_path / path.name).chmod(0o644)
    return tmp_path / source.name


def test_a_model_is_saved_and_read_back(tmp_path):
    model = embedding_model()
    model.save(tmp_path / "m.npz")
    again = Embedding.load(tmp_path / "m.npz")
    assert again.digest() == model.digest()
    np.testing.assert_array_equal(again.training, model.training)


def test_changed_numbers_a_changed_hash_and_missing_files_are_refused_by_name(copied):
    Embedding.load(copied)
    json_file = copied.with_suffix(".json")
    good = json_file.read_text()
    json_file.write_text(good.replace('"sha256": "', '"sha256": "0'))
    with pytest.raises(InputFormatError, match=r"embedding\.npz is not the one that its JSON file describes"):
        Embedding.load(copied)
    for broken in ("{", "{}", "[]"):
        json_file.write_text(broken)
        with pytest.raises(InputFormatError, match=r"embedding\.npz"):
            Embedding.load(copied)
    json_file.unlink()
    with pytest.raises(InputFormatError, match="cannot be read"):
        Embedding.load(copied)
    json_file.write_text(good)
    model = Embedding.load(copied)
    # One number differs by one unit in its last place.
    label = model.label.copy()
    label[7] = np.nextafter(label[7], 2.0)
    np.savez_compressed(copied, **{**vars_of(model), "label": label})
    with pytest.raises(InputFormatError, match=r"embedding\.npz"):
        Embedding.load(copied)


def test_a_changed_byte_and_a_pickle_are_refused_by_name(copied):
    data = bytearray(copied.read_bytes())
    data[len(data) // 2] ^= 0xFF
    copied.write_bytes(data)
    with pytest.raises(InputFormatError, match=r"embedding\.npz"):
        Embedding.load(copied)
    copied.write_bytes(b"")
    with pytest.raises(InputFormatError, match=r"embedding\.npz"):
        Embedding.load(copied)
    # An array of objects would be unpickled.
    np.savez(copied, **{**vars_of(embedding_model()), "mean": np.array([{}], dtype=object)})
    with pytest.raises(InputFormatError, match=r"embedding\.npz"):
        Embedding.load(copied)


def test_the_digest_names_every_array():
    model = embedding_model()
    changed = Embedding(**{**vars_of(model), "reach": model.reach * (1 + 1e-15) + 1e-16})
    assert changed.digest() != model.digest()
    # The dtype counts, as do the numbers.
    assert Embedding(**{**vars_of(model), "neighbours": model.neighbours.astype(np.int32)}).digest() != model.digest()
    assert len(model.digest()) == len(hashlib.sha256().hexdigest())


def test_a_pure_cosine_has_the_c_of_the_scale():
    placed = place(COSINE)
    assert placed.c[0] == pytest.approx(0.98, abs=0.01)
    assert placed.distance[0] < embedding_model().reach[0]
    assert np.isnan(placed.e_c[0])


def test_c_follows_the_sum_of_radii_on_new_curves(fresh):
    half, radii, _ = fresh
    c = place(half).c
    assert np.isfinite(c).all()
    assert spearmanr(c, radii).statistic > 0.97


def test_classes_have_their_c(fresh):
    half, radii, impact = fresh
    c = place(half).c
    contact = (radii >= 0.757) & (impact < 0.8)
    assert contact.sum() > 40
    assert 0.7 < np.median(c[contact]) < 0.8
    assert np.mean((c[contact] > 0.68) & (c[contact] < 0.83)) > 0.9
    detached = radii < 0.45
    assert detached.sum() > 80
    assert np.mean(c[detached] < 0.5) > 0.97
    # Median by median, c rises with the sum of radii.
    medians = [np.median(c[(radii >= low) & (radii < low + 0.1)]) for low in np.arange(0.1, 1.0, 0.1)]
    assert np.all(np.diff(medians) > 0)


def test_semi_detached_pairs_have_c_between_detached_and_contact():
    rng = np.random.default_rng(4321)
    drawn = draw_binaries("semi_detached", 120, priors=BinaryPriors(), rng=rng)
    systems, _ = seen_with_impact(drawn.systems, 0.8, rng)
    c = place(half_curves(systems)).c
    assert 0.5 < np.median(c) < 0.7
    assert np.mean((c > 0.5) & (c < 0.72)) > 0.8


def test_contact_pairs_of_the_library_have_their_c():
    rng = np.random.default_rng(55)
    drawn = draw_binaries("contact", 80, priors=BinaryPriors(), rng=rng)
    systems, _ = seen_with_impact(drawn.systems, 0.8, rng)
    c = place(half_curves(systems)).c
    assert 0.7 < np.median(c) < 0.8
    assert np.mean(c > 0.7) > 0.9


def test_new_curves_lie_within_reach_and_curves_unlike_all_do_not(fresh):
    half, _, _ = fresh
    reach = embedding_model().reach[0]
    assert np.mean(place(half).distance < reach) > 0.98
    unlike = np.array(
        [
            0.5 - 0.5 * np.cos(8 * np.pi * PHASES),
            1.0 - np.exp(-0.5 * ((PHASES - 0.25) / 0.02) ** 2),
        ]
    )
    assert np.all(place(unlike).distance > 2 * reach)
    # Sides that differ count as well.
    odd = embed(COSINE[None, None].astype(np.float32), np.array([3 * reach]), model=embedding_model())
    assert odd.distance[0] > reach


def test_the_transform_is_that_of_scikit_learn(fresh):
    """Barycentric weights of the same neighbours, through both steps."""
    locally_linear = pytest.importorskip("sklearn.manifold._locally_linear")
    model = embedding_model()
    half = fresh[0][:60]
    point = model.components(half.astype(np.float32)).astype(np.float32)

    def step(points, training, target, number):
        square = np.sum((points[:, None].astype(float) - training[None]) ** 2, axis=2)
        nearest = np.argsort(square, axis=1, kind="stable")[:, : model.neighbours[number]]
        weights = locally_linear.barycenter_weights(
            points.astype(float), training.astype(float), nearest, reg=model.regularisation[number]
        )
        return np.einsum("sk,skx->sx", weights, target[nearest])

    spatial = step(point, model.training, model.spatial, 0)
    planar = step(spatial, model.spatial, model.planar, 1)
    placed = place(half)
    assert placed.planar == pytest.approx(planar, abs=1e-6 * np.ptp(model.planar))
    assert placed.c == pytest.approx(model.c_of_plane(planar), abs=1e-6)


def test_c_does_not_depend_on_the_curves_beside_it(fresh):
    half = fresh[0][:12]
    rng = np.random.default_rng(1)
    stack = np.repeat(half[:, None], 6, axis=1).astype(np.float32)
    stack[:, 1:] += rng.normal(0, 0.02, (12, 5, 1)).astype(np.float32) * COSINE.astype(np.float32)
    together = embed(stack, np.zeros(12), model=embedding_model())
    backwards = embed(stack[::-1], np.zeros(12), model=embedding_model())
    assert np.all(together.e_c > 0)
    for star in range(12):
        alone = embed(stack[star : star + 1], np.zeros(1), model=embedding_model())
        for name, one, many, turned in zip(alone._fields, alone, together, backwards, strict=True):
            np.testing.assert_allclose(one[0], many[star], rtol=0, atol=1e-6, err_msg=name)
            np.testing.assert_allclose(turned[11 - star], many[star], rtol=0, atol=1e-6, err_msg=name)


def test_what_is_not_finite_has_no_c_and_leaves_the_rest_alone(fresh):
    half = np.repeat(fresh[0][:3, None], 4, axis=1).astype(np.float32)
    whole = embed(half, np.zeros(3), model=embedding_model())
    half[1, 0, 17] = np.nan
    placed = embed(half, np.array([0.0, 0.0, np.nan]), model=embedding_model())
    assert placed.c[0] == whole.c[0]
    for data in (placed.c, placed.e_c, placed.distance):
        assert list(np.isnan(data)) == [False, True, True]


def test_scatter_among_draws_is_the_error_and_noise_is_taken_off_the_distance(fresh):
    half = fresh[0][:20]
    rng = np.random.default_rng(2)
    wave = np.sin(2 * np.pi * np.arange(1, 6)[:, None] * PHASES).astype(np.float32)
    errors, distances = [], []
    for size in (0.0, 0.003, 0.03):
        draws = size * rng.normal(size=(20, 10, 5)).astype(np.float32) @ wave
        stack = half[:, None].astype(np.float32) + np.concatenate([0 * draws[:, :1], draws, -draws], axis=1)
        placed = embed(stack, np.zeros(20), model=embedding_model())
        errors.append(np.median(placed.e_c))
        distances.append(placed.distance)
    assert errors[0] < 1e-7
    assert 0 < errors[1] < errors[2] < 0.2
    assert np.all(distances[2] <= distances[0] + 1e-7)


def test_the_arrays_of_the_model_fit_together():
    model = embedding_model()
    n_curves, n_components = model.training.shape
    assert model.basis.shape == (n_components, 501)
    assert model.basis @ model.basis.T == pytest.approx(np.eye(n_components), abs=1e-9)
    assert model.label.shape == (n_curves,)
    assert (model.spatial.shape, model.planar.shape) == ((n_curves, 3), (n_curves, 2))
    assert np.sum(POINT_WEIGHTS**2) == pytest.approx(1.0)
    assert np.all(np.diff(model.angle_nodes) > 0)
    assert np.all(np.diff(model.c_nodes) >= 0)
    assert (model.c_nodes[0], model.c_nodes[-1]) >= (0.0, 1.0)
    # Training curves are normalised ones once the components are undone, and the last is the cosine.
    half = (model.training @ model.basis + model.mean) / POINT_WEIGHTS
    assert half.min() > -0.1
    assert half.max() < 1.1
    assert np.median(half.max(axis=1)) == pytest.approx(1.0, abs=0.01)
    assert half[-1] == pytest.approx(COSINE, abs=0.01)
    assert model.label[-1] == COSINE_LABEL
    chosen = np.random.default_rng(3).choice(n_curves, 80, replace=False)
    placed = place(half[chosen])
    assert np.all(placed.distance < 0.25 * model.reach[0])
    # Their own neighbours were those of like label too, so that places agree but nearly.
    away = np.hypot(*(placed.planar - model.planar[chosen]).T)
    assert np.quantile(away, 0.95) < 0.02 * np.ptp(model.planar)
    assert np.median(np.abs(placed.c - model.training_c[chosen])) < 0.005
    assert np.quantile(np.abs(placed.c - model.training_c[chosen]), 0.95) < 0.03
    assert spearmanr(model.training_c, model.label).statistic > 0.97
    assert model.binned.shape == (N_BINS, n_curves)
    assert model.binned[:, chosen[0]] == pytest.approx(half[chosen[0], :500].reshape(N_BINS, 5).mean(axis=1), abs=0.03)


def test_the_script_builds_a_model_from_a_seed():
    pytest.importorskip("sklearn")
    spec = importlib.util.spec_from_file_location("build_morphology", ROOT / "grids" / "morphology" / "build.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    model = script.build(100, 5)
    # Eclipsing pairs, round curves and curves beyond the end of eclipses, and the cosine.
    assert len(model.training) > 120
    assert np.mean(model.label < 0.757) > 0.3
    assert np.mean(model.label > 1.0) > 0.08
    assert spearmanr(model.training_c, model.label).statistic > 0.8
    # Its first curves are those of its first draws, as the seed makes them.
    rng = np.random.default_rng(np.random.SeedSequence(5))
    pairs = draw_by_radii(100, settings=RadiiSettings(), rng=rng)
    half = script.half_curves(pairs.systems[np.arange(6)])
    assert model.components(half) == pytest.approx(model.training[:6], abs=1e-5)
    assert extended_radii(half, pairs.sum_of_radii[:6]) == pytest.approx(model.label[:6], abs=1e-9)


def test_normalised_curves_begin_at_the_deeper_minimum():
    flux = 1.0 - 0.3 * np.cos(4 * np.pi * PHASES)[None] * np.array([[1.0], [1.0]])
    flux[0] -= 0.1 * np.cos(2 * np.pi * PHASES)
    flux[1] += 0.1 * np.cos(2 * np.pi * PHASES)
    half = normalised_half_curves(flux)
    assert half[0] == pytest.approx(half[1])
    assert half[:, 0] == pytest.approx(0.0)
    assert half.max(axis=1) == pytest.approx(1.0)
    # Not the level of the light, but magnitudes count.
    assert normalised_half_curves(7 * flux) == pytest.approx(half)


def test_only_round_curves_are_raised_beyond_their_radii(fresh):
    half, radii, _ = fresh
    raised = extended_radii(half, radii)
    assert np.all(raised >= radii - 1e-12)
    assert np.mean(raised[radii < 0.5] == radii[radii < 0.5]) > 0.99
    assert extended_radii(COSINE[None], np.array([0.3]))[0] == pytest.approx(COSINE_LABEL)


def test_training_orders_its_curves_and_is_the_same_for_the_same_seed(fresh):
    pytest.importorskip("sklearn")
    half, radii, _ = fresh
    label = extended_radii(half, radii)
    settings = TrainingSettings(components=16, nodes=20)
    model = train_embedding(half, label, settings=settings, seed=3)
    assert train_embedding(half, label, settings=settings, seed=3).digest() == model.digest()
    assert len(model.training) == len(half) + 1
    assert spearmanr(place(half, model=model).c, label).statistic > 0.9
    assert place(COSINE, model=model).c[0] == pytest.approx(0.98, abs=0.03)
    assert np.all(np.diff(model.c_nodes) >= 0)
    assert model.reach[0] > 0
