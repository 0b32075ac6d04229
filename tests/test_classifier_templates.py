"""Light curves without noise that are trained on, and how examples of them are observed."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbminer.classifier.classes import CLASSES, classes_of_kinds
from cbminer.classifier.examples import complete_templates, draw_balanced, observe_templates
from cbminer.classifier.recipe import ObservationSettings
from cbminer.classifier.templates import (
    N_PHASES,
    Templates,
    cool_contacts,
    detached_spheres,
    library_templates,
    single_stars,
    wrong_periods,
)
from cbminer.errors import InputFormatError
from cbminer.synthetic import library as library_module
from cbminer.synthetic.library import KINDS, LibrarySettings, write_library

ROWS = 240
CONTACT, NEAR_CONTACT, DETACHED, ELLIPSOIDAL, NOT_ECLIPSING = range(5)
GRID = np.arange(N_PHASES) / N_PHASES
# Nothing but points with errors.
QUIET = ObservationSettings(
    stated_scatter=0, outliers=0, restless=0, third_light=0, asymmetric=0, gaps=0, error_over_amplitude=100
)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library_module, "_CHUNK", ROWS)
        path = tmp_path_factory.mktemp("library") / "l.parquet"
        return write_library(path, ROWS, settings=LibrarySettings(phases=64, n_bands=6), seed=3, threads=1)


@pytest.fixture(scope="module")
def rows(library):
    return pq.read_table(library)


@pytest.fixture(scope="module")
def templates(library):
    return library_templates(library)


@pytest.fixture(scope="module")
def spheres():
    return detached_spheres(40, np.random.default_rng(1))


def make_templates(curves, labels, *, scatter=0.0, period=1.0, VI0=0.0):
    """Curves in I, the same in V."""
    mag = np.repeat(np.asarray(curves, dtype=np.float32)[:, None], 2, axis=1)
    n = len(mag)
    unknown = np.full(n, np.nan)
    kind = np.array([CLASSES[label] for label in labels])
    return Templates(
        mag, np.array(labels), kind, np.full(n, scatter), np.full(n, period), np.full(n, VI0), unknown.copy()
    )


def wave(amplitude=0.4, cycles=1):
    """A sine; the amplitude is from peak to peak."""
    return 0.5 * amplitude * (1 - np.cos(2 * np.pi * cycles * GRID))


def observe(templates, places, *, seed=0, recipe=QUIET, **options):
    return observe_templates(templates, np.asarray(places), settings=recipe, rng=np.random.default_rng(seed), **options)


def assert_are_curves(templates, n):
    assert len(templates) == n
    assert templates.mag.shape == (n, 2, N_PHASES)
    assert templates.mag.dtype == np.float32
    assert np.isfinite(templates.mag).all()
    # Below maximum light.
    np.testing.assert_allclose(templates.mag.min(axis=-1), 0, atol=1e-6)
    for item in dataclasses.fields(templates):
        assert len(getattr(templates, item.name)) == n, item.name
    assert (templates.scatter >= 0).all()


# The library.


def test_curves_of_a_library_are_those_of_its_fluxes(templates, rows):
    assert_are_curves(templates, ROWS)
    for place, band in enumerate("IV"):
        flux = np.stack(rows[f"flux_{band}"].to_numpy(zero_copy_only=False)).astype(float)
        mag = -2.5 * np.log10(flux / flux.max(axis=1, keepdims=True))
        # Every fourth phase is one of the 64 of the library, and the others lie between.
        np.testing.assert_allclose(templates.mag[:, place, ::4], mag, atol=2e-6)
        middle = -2.5 * np.log10(0.5 * (flux + np.roll(flux, -1, axis=1)) / flux.max(axis=1, keepdims=True))
        np.testing.assert_allclose(templates.mag[:, place, 2::4], middle, atol=2e-6)
    for name in ("period", "VI0", "inclination"):
        np.testing.assert_allclose(getattr(templates, name), rows[name].to_numpy().astype(float), rtol=1e-6)
    np.testing.assert_allclose(templates.scatter, np.nan_to_num(rows["scatter_I"].to_numpy().astype(float)), rtol=1e-6)


def test_pairs_out_of_contact_that_do_not_eclipse_are_ellipsoidal(templates, rows):
    kinds = np.array(rows["kind"].to_pylist())
    column = {name: rows[name].to_numpy().astype(float) for name in ("inclination", "radius_1", "radius_2")}
    radii = (column["radius_1"] + column["radius_2"]) / rows["separation"].to_numpy().astype(float)
    grazing = np.degrees(np.arccos(np.minimum(radii, 1.0)))
    apart = np.isin(kinds, ["near_contact", "semi_detached", "detached"])
    hidden = apart & (column["inclination"] <= grazing)
    assert hidden.sum() > 5
    assert (templates.label[hidden] == ELLIPSOIDAL).all()
    shown = apart & ~hidden
    assert (templates.label[shown] == classes_of_kinds(kinds[shown])).all()
    rest = ~apart
    assert (templates.label[rest] == classes_of_kinds(kinds[rest])).all()
    # Contact binaries stay what they are from wherever they are seen.
    assert (column["inclination"][kinds == "contact"] < 45).any()
    assert (templates.label[kinds == "contact"] == CONTACT).all()
    assert list(templates.kind) == list(kinds)


def test_every_kind_of_a_library_has_a_class():
    expected = [0, 1, 1, 2, 3, 4, 4, 4, 4]
    order = ["contact", "near_contact", "semi_detached", "detached", "ellipsoidal"]
    order += ["rr_lyrae", "delta_scuti", "spotted", "be_like"]
    assert classes_of_kinds(order).tolist() == expected
    assert set(order) == set(KINDS)
    with pytest.raises(KeyError):
        classes_of_kinds(["nova"])


def changed(rows, path, name, values):
    place = rows.column_names.index(name)
    pq.write_table(rows.set_column(place, rows.schema.field(name), values), path)
    return path


def test_what_is_no_library_is_refused_with_a_remedy(rows, library, tmp_path):
    absent, text, other = tmp_path / "absent.parquet", tmp_path / "text.parquet", tmp_path / "other.parquet"
    text.write_text("kind,period\ncontact,1.0\n")
    pq.write_table(pa.table({"a": [1, 2]}), other)
    bare, lacking, empty = tmp_path / "bare.parquet", tmp_path / "lacking.parquet", tmp_path / "empty.parquet"
    pq.write_table(rows.replace_schema_metadata(None), bare)
    pq.write_table(rows.drop_columns(["flux_V"]), lacking)
    pq.write_table(rows.slice(0, 0), empty)
    half = tmp_path / "half.parquet"
    half.write_bytes(library.read_bytes()[:20000])
    for path in (absent, text, other, bare, lacking, empty, half):
        with pytest.raises(InputFormatError, match="make one with cbminer synth library") as caught:
            library_templates(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputFormatError, match="flux_V"):
        library_templates(lacking)


def test_contents_that_cannot_be_used_are_named(rows, tmp_path):
    path = tmp_path / "l.parquet"
    kinds = rows["kind"].to_pylist()
    kinds[7] = "nova"
    changed(rows, path, "kind", pa.array(kinds, rows.schema.field("kind").type))
    with pytest.raises(InputFormatError, match=r"l\.parquet, column kind: nova is not a kind"):
        library_templates(path)
    flux = rows["flux_I"].to_pylist()
    for value in (0.0, -0.1, np.nan):
        flux[3][5] = value
        changed(rows, path, "flux_I", pa.array(flux, rows.schema.field("flux_I").type))
        with pytest.raises(InputFormatError, match=r"l\.parquet holds fluxes that are no positive numbers"):
            library_templates(path)


def test_sets_of_curves_are_taken_and_joined(templates):
    some = templates.at(np.array([5, 2, 2]))
    assert some.kind.tolist() == [templates.kind[k] for k in (5, 2, 2)]
    np.testing.assert_array_equal(some.mag[1], templates.mag[2])
    both = Templates.join([templates, some])
    assert len(both) == ROWS + 3
    np.testing.assert_array_equal(both.period[-3:], some.period)
    np.testing.assert_array_equal(both.mag[:ROWS], templates.mag)


# What a library lacks.


def test_spheres_are_detached_pairs_with_eclipses(spheres):
    assert_are_curves(spheres, 40)
    assert (spheres.label == DETACHED).all()
    assert (spheres.mag[:, 0].max(axis=-1) > 0.05).all()
    # For most of the cycle little happens.
    depth = spheres.mag[:, 0].max(axis=-1)
    assert (np.median(spheres.mag[:, 0], axis=-1) < 0.4 * depth).mean() > 0.9
    # Half are eccentric: their eclipses need not be half a cycle apart.
    primary = spheres.mag[:, 0].argmax(axis=-1)
    turned = np.take_along_axis(spheres.mag[:, 0], (np.arange(N_PHASES) + primary[:, None]) % N_PHASES, axis=-1)
    apart = (25 + turned[:, 25:-24].argmax(axis=-1)) / N_PHASES
    assert 0.3 < (np.abs(apart - 0.5) < 0.01).mean() < 0.9
    assert (np.abs(apart - 0.5) > 0.05).sum() > 4
    assert len(detached_spheres(0, np.random.default_rng(1))) == 0


def test_cool_contacts_are_contact_binaries_with_two_like_minima():
    cool = cool_contacts(12, np.random.default_rng(2))
    assert_are_curves(cool, 12)
    assert (cool.label == CONTACT).all()
    assert (cool.kind == "cool contact").all()
    assert np.degrees(np.arccos(0.75)) - 1e-9 <= cool.inclination.min()
    assert cool.inclination.max() <= 90
    depth = cool.mag[:, 0].max(axis=-1)
    assert ((depth > 0.02) & (depth < 1.5)).all()
    transformed = np.abs(np.fft.rfft(cool.mag[:, 0].astype(float)))
    # The wave of two a cycle is the largest.
    assert (transformed[:, 1:].argmax(axis=-1) == 1).all()


def test_single_stars_are_of_all_sorts_and_none_eclipses():
    single = single_stars(300, np.random.default_rng(3))
    assert_are_curves(single, 300)
    assert (single.label == NOT_ECLIPSING).all()
    kinds, counts = np.unique(single.kind, return_counts=True)
    share = dict(zip(kinds.tolist(), counts / 300, strict=True))
    expected = {"pulsator": 0.4, "pulsator at twice its period": 0.15, "wave": 0.2, "irregular": 0.2, "constant": 0.05}
    assert set(share) == set(expected)
    for name, value in expected.items():
        assert share[name] == pytest.approx(value, abs=4 * np.sqrt(value * (1 - value) / 300)), name
    doubled = single.mag[single.kind == "pulsator at twice its period"]
    np.testing.assert_allclose(doubled[..., :128], doubled[..., 128:], atol=1e-5)
    assert not single.mag[single.kind == "constant"].any()
    assert (single.scatter[single.kind == "irregular"] >= 0.01).all()
    # A pulsator rises faster than it fades.
    plain = single.mag[single.kind == "pulsator"][:, 0]
    rises = (np.diff(plain, axis=-1, append=plain[:, :1]) < 0).mean(axis=-1)
    assert np.median(rises) < 0.5


def test_the_same_seed_draws_the_same_curves():
    for draw in (detached_spheres, cool_contacts, single_stars):
        one, same, other = (draw(3, np.random.default_rng(seed)) for seed in (5, 5, 6))
        assert one.mag.tobytes() == same.mag.tobytes()
        assert one.mag.tobytes() != other.mag.tobytes()


@pytest.fixture(scope="module")
def misfolded():
    """Pairs whose place is written into the height of their curves, and these at wrong periods."""
    curves = [(1 + 0.1 * k) * (wave(0.3, 2) + wave(0.1, 1) + 0.02 * np.sin(6 * np.pi * GRID)) for k in range(30)]
    pairs = make_templates(curves, [k % 4 for k in range(30)], scatter=0.01, period=2.0, VI0=0.3)
    pairs.period[:] = 1 + np.arange(30)
    return pairs, wrong_periods(pairs, 400, np.random.default_rng(4))


def test_pairs_at_wrong_periods_do_not_eclipse(misfolded):
    _, wrong = misfolded
    assert wrong.mag.shape == (400, 2, N_PHASES)
    assert (wrong.label == NOT_ECLIPSING).all()
    assert np.isnan(wrong.inclination).all()
    np.testing.assert_allclose(wrong.VI0, 0.3)
    half, twice, unrelated = (
        (wrong.kind == f"pair at {name} period") for name in ("half its", "twice its", "an unrelated")
    )
    assert (half | twice | unrelated).all()
    # Detached ones, a quarter, are not halved but doubled.
    assert half.mean() == pytest.approx(0.3, abs=0.1)
    assert twice.mean() == pytest.approx(0.5, abs=0.1)
    assert unrelated.mean() == pytest.approx(0.2, abs=0.08)


def test_half_of_the_period_leaves_the_mean_of_both_halves_and_their_difference_as_scatter(misfolded):
    pairs, wrong = misfolded
    half = np.flatnonzero(wrong.kind == "pair at half its period")
    places = np.rint(2 * wrong.period[half] - 1).astype(int)
    assert (pairs.label[places] != DETACHED).all()
    assert len(set(pairs.label[places])) == 3
    first, second = pairs.mag[places, :, :128].astype(float), pairs.mag[places, :, 128:].astype(float)
    # A cycle of half the period goes over half of the phases.
    np.testing.assert_allclose(wrong.mag[half][..., ::2], 0.5 * (first + second), atol=1e-6)
    np.testing.assert_allclose(wrong.mag[half][..., 1::2], 0.5 * (first + second), atol=1e-6)
    left = 0.5 * np.abs(first - second)[:, 0]
    squares = wrong.scatter[half] ** 2 - 0.01**2
    assert (squares >= (left**2).mean(axis=-1) * (1 - 1e-5)).all()
    assert (squares <= (left**2).max(axis=-1) * (1 + 1e-5)).all()


def test_twice_the_period_shows_two_cycles(misfolded):
    pairs, wrong = misfolded
    twice = np.flatnonzero(wrong.kind == "pair at twice its period")
    places = np.rint(wrong.period[twice] / 2 - 1).astype(int)
    assert (pairs.label[places] == DETACHED).any()
    np.testing.assert_array_equal(wrong.mag[twice][..., :128], pairs.mag[places][..., ::2])
    np.testing.assert_array_equal(wrong.mag[twice][..., 128:], pairs.mag[places][..., ::2])
    np.testing.assert_allclose(wrong.scatter[twice], 0.01)


def test_an_unrelated_period_leaves_scatter_and_little_else(misfolded):
    _, wrong = misfolded
    unrelated = wrong.kind == "pair at an unrelated period"
    assert np.isnan(wrong.period[unrelated]).all()
    # All of the curve is scatter, and what is left is smaller.
    height = np.ptp(wrong.mag[unrelated][:, 0], axis=-1)
    assert (wrong.scatter[unrelated] > 0.08).all()
    assert (height <= 0.8 * np.sqrt(wrong.scatter[unrelated] ** 2 - 0.01**2) + 1e-6).all()


def test_a_library_is_completed_in_proportion(templates):
    counts = np.bincount(templates.label, minlength=5)
    full = complete_templates(templates, seed=9)
    added = np.bincount(full.label, minlength=5) - counts
    contact, detached = counts[CONTACT], counts[DETACHED]
    assert added.tolist() == [contact // 3, 0, detached, 0, contact + contact // 2]
    np.testing.assert_array_equal(full.mag[:ROWS], templates.mag)
    assert full.mag.tobytes() == complete_templates(templates, seed=9).mag.tobytes()
    assert full.mag[ROWS:].tobytes() != complete_templates(templates, seed=10).mag[ROWS:].tobytes()
    # Wrong periods are of pairs alone.
    assert (np.char.find(full.kind[ROWS:], "pair at") >= 0).sum() == contact // 2
    # Without pairs there are none to fold.
    single = templates.at(np.flatnonzero(templates.label == NOT_ECLIPSING))
    assert len(complete_templates(single, seed=9)) == len(single)


# Examples.


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    counts=st.lists(st.integers(0, 9), min_size=5, max_size=5).filter(any),
    n=st.integers(0, 60),
)
def test_classes_are_drawn_equally_often(seed, counts, n):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(5), counts))
    templates = make_templates(np.zeros((len(labels), N_PHASES)), labels.tolist())
    drawn = draw_balanced(templates, n, np.random.default_rng(seed))
    assert drawn.shape == (n,)
    per_class = np.bincount(labels[drawn], minlength=5)
    assert (per_class[np.array(counts) == 0] == 0).all()
    assert np.ptp(per_class[np.array(counts) > 0]) <= 1


def test_members_of_a_class_are_drawn_equally_often():
    templates = make_templates(np.zeros((6, N_PHASES)), [0, 1, 0, 0, 1, 0])
    counts = np.bincount(draw_balanced(templates, 4000, np.random.default_rng(1)), minlength=6)
    assert np.abs(counts[[0, 2, 3, 5]] - 500).max() < 110
    assert np.abs(counts[[1, 4]] - 1000).max() < 150


def test_the_same_seed_observes_the_same_bytes(templates):
    places = np.arange(0, ROWS, 3)
    options = {"recipe": ObservationSettings(), "scalars": ("log_amplitude", "log_period", "VI0"), "scalar_loss": 0.3}
    one, same, other = (observe(templates, places, seed=seed, **options) for seed in (1, 1, 2))
    for name in ("inputs", "error", "amplitude", "filled"):
        assert getattr(one.curves, name).tobytes() == getattr(same.curves, name).tobytes()
    for name in ("label", "template", "scalars", "error", "n_points"):
        assert getattr(one, name).tobytes() == getattr(same, name).tobytes()
    assert one.curves.inputs.tobytes() != other.curves.inputs.tobytes()
    np.testing.assert_array_equal(one.label, templates.label[places])
    np.testing.assert_array_equal(one.template, places)
    assert len(one) == len(places)


def test_many_points_show_the_curve_itself(spheres):
    pairs = Templates.join([spheres.at(np.arange(4)), make_templates([wave(0.3, 2) + wave(0.2)], [CONTACT])])
    n = len(pairs)
    seen = observe(pairs, np.arange(n), error=np.full(n, 0.002), n_points=np.full(n, 60000))
    fine = np.arange(128 * 32) / (128 * 32)
    for place in range(n):
        distance = []
        for band in range(2):
            curve = np.interp(fine, GRID, pairs.mag[place, band], period=1.0)
            for turn in range(0, 128 * 32, 4):
                binned = np.roll(curve, turn).reshape(128, 32).mean(axis=1)
                shape = 16 * (binned - binned.mean()) / binned.std()
                distance.append(np.abs(np.clip(shape, -127, 127) - seen.curves.inputs[place, 0]).mean())
        assert min(distance) < 1.0, place
        # And at no phase but one.
        assert np.median(distance) > 4
    assert (seen.curves.inputs[:, 1] > 120).all()
    assert (seen.curves.filled == 1).all()


def test_every_example_begins_at_a_phase_of_its_own():
    seen = observe(make_templates([wave()], [CONTACT]), np.zeros(400, dtype=int), n_points=np.full(400, 100))
    wave_of_bins = np.exp(-2j * np.pi * np.arange(128) / 128)
    first = (seen.curves.inputs[:, 0].astype(float) * wave_of_bins).sum(axis=-1)
    direction = first / np.abs(first)
    for order in (1, 2, 3):
        # Of 400 directions by chance the mean is 0.05 long.
        assert np.abs((direction**order).mean()) < 0.17
    assert np.abs(first).min() > 300


def test_both_bands_are_seen():
    curves = make_templates([wave(0.4)], [CONTACT])
    curves.mag[0, 1] *= 2
    seen = observe(curves, np.zeros(200, dtype=int), error=np.full(200, 0.004), n_points=np.full(200, 300))
    deep = seen.curves.amplitude > 0.6
    assert 60 < deep.sum() < 140
    np.testing.assert_allclose(seen.curves.amplitude[deep], 0.8, rtol=0.05)
    np.testing.assert_allclose(seen.curves.amplitude[~deep], 0.4, rtol=0.05)


def test_third_light_makes_curves_shallower():
    recipe = QUIET.model_copy(update={"third_light": 0.5, "most_third_light": 0.6})
    curves = make_templates([wave(0.5)], [CONTACT])
    seen = observe(
        curves, np.zeros(600, dtype=int), recipe=recipe, error=np.full(600, 0.003), n_points=np.full(600, 300)
    )
    amplitude = seen.curves.amplitude
    least = 2.5 * np.log10(1 / (0.4 * 10 ** (-0.4 * 0.5) + 0.6))
    # Diluted curves are no sines: a little less than their range.
    assert amplitude.min() > 0.93 * least
    assert amplitude.min() < 1.15 * least
    assert amplitude.max() < 0.52
    whole = amplitude > 0.485
    assert 0.4 < whole.mean() < 0.6
    # Half of the light of others leaves half of the depth in flux: shares are even from 0 to 0.6.
    share = 1 - (1 - 10 ** (-0.4 * amplitude[~whole])) / (1 - 10 ** (-0.4 * 0.5))
    assert np.median(share) == pytest.approx(0.3, abs=0.06)


@pytest.mark.parametrize("scatter", [0.02, 0.1])
def test_scatter_of_a_star_adds_to_its_errors(scatter):
    curves = make_templates([wave(0.5, 2)], [ELLIPSOIDAL], scatter=scatter)
    seen = observe(curves, np.zeros(40, dtype=int), error=np.full(40, 0.01), n_points=np.full(40, 1280))
    # Ten points a bin; the scatter of the curve is its range over the root of 8, and noise adds to it.
    noise = np.hypot(0.01, scatter) / np.sqrt(10)
    expected = 16 * noise / np.hypot(0.5 / np.sqrt(8), noise)
    assert np.median(seen.curves.error) == pytest.approx(expected, rel=0.1)


def test_restlessness_is_of_pairs_alone():
    recipe = QUIET.model_copy(update={"restless": 1.0, "most_restlessness": 0.4})
    curves = make_templates([wave(0.5, 2)] * 2, [CONTACT, NOT_ECLIPSING])
    places = np.arange(200) % 2
    seen = observe(curves, places, recipe=recipe, error=np.full(200, 0.005), n_points=np.full(200, 640))
    error = np.median(seen.curves.error, axis=1)
    assert np.median(error[places == 1]) < 0.4 * np.median(error[places == 0])


def test_unequal_maxima_are_of_pairs_alone_and_small():
    recipe = QUIET.model_copy(update={"asymmetric": 1.0, "most_asymmetry": 0.1})
    curves = make_templates([wave(0.4, 2)] * 2, [CONTACT, NOT_ECLIPSING])
    places = np.arange(200) % 2
    seen = observe(curves, places, recipe=recipe, error=np.full(200, 0.003), n_points=np.full(200, 2000))
    spectrum = np.abs(np.fft.rfft(seen.curves.inputs[:, 0].astype(float)))
    # The difference of the maxima is twice a sine's amplitude: at most 0.2 of the range here.
    ratio = 2 * spectrum[:, 1] / (2 * spectrum[:, 2])
    assert (ratio[places == 1] < 0.02).all()
    assert ratio[places == 0].max() < 0.21
    assert np.median(ratio[places == 0]) == pytest.approx(0.1, abs=0.03)


def test_given_errors_and_counts_are_used():
    curves = make_templates([wave(0.4, 2)], [CONTACT])
    counts = np.array([10, 20, 0, 4000])
    error = np.array([0.01, 0.02, 0.03, 0.2])
    seen = observe(curves, np.zeros(4, dtype=int), error=error, n_points=counts)
    np.testing.assert_array_equal(seen.n_points, counts)
    np.testing.assert_array_equal(seen.error, error)
    assert (seen.curves.filled * 128 <= counts).all()
    assert seen.curves.filled[2] == 0
    assert seen.curves.filled[3] == 1
    noise = 0.2 / np.sqrt(4000 / 128)
    expected = 16 * noise / np.hypot(0.4 / np.sqrt(8), noise)
    assert np.median(seen.curves.error[3]) == pytest.approx(expected, rel=0.25)


def test_drawn_errors_and_counts_are_within_their_ranges():
    recipe = ObservationSettings()
    curves = make_templates([wave(0.05), wave(0.4, 2), np.zeros(N_PHASES)], [CONTACT, CONTACT, NOT_ECLIPSING])
    seen = observe(curves, np.arange(900) % 3, recipe=recipe)
    assert seen.n_points.min() >= recipe.fewest_points
    assert seen.n_points.max() <= recipe.most_points
    # Even in logarithm.
    assert np.median(seen.n_points) == pytest.approx(np.sqrt(60 * 1200), rel=0.15)
    assert seen.error.min() >= recipe.least_error
    assert seen.error.max() <= recipe.most_error
    # A survey would not have found a curve below its noise, but for what it took by chance.
    assert seen.error[0::3].max() <= 0.6 * np.hypot(0.05 * 1.2, 3 * 0.15 * 0.05 * 1.2)
    assert seen.error[2::3].max() > 0.07


def test_gaps_leave_bins_empty():
    gappy = QUIET.model_copy(update={"gaps": 1.0, "widest_gap": 0.5})
    curves = make_templates([wave(0.4, 2)], [CONTACT])
    places, counts = np.zeros(200, dtype=int), np.full(200, 4000)
    full, holed = (observe(curves, places, recipe=recipe, n_points=counts) for recipe in (QUIET, gappy))
    assert (full.curves.filled == 1).all()
    assert holed.curves.filled.min() >= 0.5
    assert np.median(holed.curves.filled) == pytest.approx(0.75, abs=0.05)
    # In one piece.
    empty = np.isinf(holed.curves.error)
    edges = (empty != np.roll(empty, 1, axis=1)).sum(axis=1)
    assert set(edges[empty.any(axis=1)]) == {2}


def test_outliers_widen_the_errors_that_are_found():
    wild = QUIET.model_copy(update={"outliers": 0.5})
    curves = make_templates([wave(0.4, 2)], [CONTACT])
    options = {"error": np.full(100, 0.02), "n_points": np.full(100, 640)}
    places = np.zeros(100, dtype=int)
    plain, spoilt = (observe(curves, places, recipe=recipe, **options) for recipe in (QUIET, wild))
    assert np.median(spoilt.curves.error) > 1.5 * np.median(plain.curves.error)


def test_numbers_beside_the_curve_are_of_the_template_and_can_be_hidden():
    curves = make_templates([wave(0.5)] * 2, [CONTACT, NOT_ECLIPSING], period=10.0, VI0=0.2)
    curves.period[1] = np.nan
    places = np.arange(600) % 2
    options = {"scalars": ("log_period", "VI0", "log_amplitude"), "n_points": np.full(600, 100)}
    seen = observe(curves, places, **options)
    assert seen.scalars.shape == (600, 6)
    np.testing.assert_allclose(seen.scalars[::2, :2], [[1.4, 1.0]] * 300, rtol=1e-6)
    np.testing.assert_allclose(seen.scalars[1::2, [0, 1]], [[0.0, 1.0]] * 300, rtol=1e-6)
    amplitude = 10 ** (seen.scalars[:, 2] * 0.4 - 0.8)
    np.testing.assert_allclose(amplitude, seen.curves.amplitude, rtol=1e-4)
    np.testing.assert_array_equal(seen.scalars[:, 3], places == 0)
    assert (seen.scalars[:, 4:] == 1).all()
    assert not observe(curves, places, scalar_loss=1.0, **options).scalars.any()
    partly = observe(curves, places, scalar_loss=0.3, **options).scalars
    assert np.abs(partly[:, 4:].mean(axis=0) - 0.7).max() < 0.08
    assert (partly[:, :3][partly[:, 3:] == 0] == 0).all()
    # Each is hidden on its own.
    assert np.corrcoef(partly[:, 4], partly[:, 5])[0, 1] < 0.2


@pytest.mark.parametrize("n_bins", [128, 256])
def test_bins_are_as_many_as_asked_for(n_bins):
    curves = make_templates([wave()], [CONTACT])
    assert observe(curves, [0, 0], n_bins=n_bins).curves.inputs.shape == (2, 2, n_bins)
