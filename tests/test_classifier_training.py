"""Training of networks, real curves with labels, the way to a packed network with its card, and both commands."""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cbminer.classifier.calibration import fit_calibration
from cbminer.classifier.card import card_path, read_card, render_card, write_card
from cbminer.classifier.classes import CLASSES
from cbminer.classifier.examples import complete_templates, draw_balanced, observe_templates
from cbminer.classifier.judging import judge_synthetic
from cbminer.classifier.labelled import LabelledCurves, read_labelled_curves
from cbminer.classifier.packed import PackedNetwork
from cbminer.classifier.recipe import NetworkSettings, ObservationSettings, TrainingSettings
from cbminer.classifier.templates import library_templates
from cbminer.cli import app, main
from cbminer.errors import InputFormatError, OutputError, SettingsError
from cbminer.survey.packed import pack_light_curves
from cbminer.survey.photometry_file import LightCurve
from cbminer.synthetic import library as library_module
from cbminer.synthetic.library import LibrarySettings, write_library

torch = pytest.importorskip("torch")

from cbminer.classifier import building, training  # noqa: E402 - torch is an extra
from cbminer.classifier.building import build_classifier, divide_library, train_teacher  # noqa: E402
from cbminer.classifier.export import pack_network  # noqa: E402
from cbminer.classifier.network import LightCurveNetwork  # noqa: E402
from cbminer.classifier.training import fine_tune, network_logits, train_network  # noqa: E402

ROWS = 300
TINY = NetworkSettings.tiny()
# A standard network of one block.
SHORT = NetworkSettings(channels=(64, 64), pools=(True,), stem_stride=4)
BRIEF = TrainingSettings(epochs=2, examples=128, batch=32, seed=4)
SEEN = ObservationSettings()
CONTACT, NEAR_CONTACT, DETACHED, ELLIPSOIDAL, NOT_ECLIPSING = range(5)


@pytest.fixture(scope="module", autouse=True)
def one_thread_and_small_sets():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library_module, "_CHUNK", ROWS)
        patch.setattr(training, "_RECALIBRATION_BATCHES", 8)
        patch.setattr(building, "_EXAMPLES", 600)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def library(tmp_path_factory, one_thread_and_small_sets):
    path = tmp_path_factory.mktemp("library") / "l.parquet"
    return write_library(path, ROWS, settings=LibrarySettings(phases=64, n_bands=6), seed=3, threads=1)


@pytest.fixture(scope="module")
def templates(library):
    return complete_templates(library_templates(library), seed=1)


@pytest.fixture(scope="module")
def examples(templates):
    """Curves that no training has seen."""
    rng = np.random.default_rng(77)
    places = draw_balanced(templates, 1000, rng)
    return observe_templates(
        templates, places, settings=ObservationSettings(), rng=rng, scalars=TINY.scalars, n_bins=TINY.n_bins
    )


def train(templates, network=TINY, settings=BRIEF, **options):
    return train_network(templates, network, settings=settings, **options)


def digest(network):
    return pack_network(network).digest()


def probabilities(network, examples):
    logits = network_logits(network, examples.curves.inputs, examples.scalars)
    return torch.softmax(torch.from_numpy(logits), dim=1).numpy()


# Training.


@pytest.fixture(scope="module")
def trained(templates):
    return train(templates, settings=TrainingSettings(epochs=4, examples=1280, batch=32, learning_rate=5e-3))


def test_training_lowers_the_loss_and_beats_chance(trained, examples):
    network, reports = trained
    assert [item.epoch for item in reports] == [1, 2, 3, 4]
    loss = [item.loss for item in reports]
    assert loss[-1] < 0.85 * loss[0]
    assert reports[-1].accuracy > reports[0].accuracy
    # Chance is a fifth.
    found = probabilities(network, examples).argmax(axis=1)
    assert (found == examples.label).mean() > 0.45
    assert (np.bincount(found, minlength=5) > 0).sum() >= 4
    assert not network.training
    # Rates rise, then fall to nothing.
    assert reports[0].learning_rate > reports[-1].learning_rate
    assert reports[-1].learning_rate < 1e-4


def test_the_packed_network_is_the_one_that_was_trained(trained, examples):
    network, _ = trained
    packed = pack_network(network)
    ours = packed.logits(examples.curves.inputs, examples.scalars)
    theirs = network_logits(network, examples.curves.inputs, examples.scalars)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_logits_do_not_depend_on_how_many_are_asked_for(trained, examples):
    network, _ = trained
    inputs, scalars = examples.curves.inputs[:700], examples.scalars[:700]
    whole = network_logits(network, inputs, scalars)
    np.testing.assert_allclose(network_logits(network, inputs[600:], scalars[600:]), whole[600:], atol=1e-4)
    assert network_logits(network, inputs[:0], scalars[:0]).shape == (0, 5)
    assert not np.allclose(network_logits(network, inputs, None), whole)


def test_a_seed_gives_one_network_whatever_was_drawn_before(templates):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, reports = train(templates)
    # The generator of torch is the caller's.
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    np.random.default_rng().random()
    again, reports_again = train(templates)
    other, _ = train(templates, settings=BRIEF.model_copy(update={"seed": 5}))
    assert digest(first) == digest(again)
    assert reports == reports_again
    assert digest(other) != digest(first)


class _StopError(Exception):
    """Ends a training in its midst."""


def stop_after(epochs):
    def tell(report):
        if report.epoch == epochs:
            raise _StopError

    return tell


@pytest.mark.parametrize("method", ["reste", "biper", "irnet"])
@pytest.mark.parametrize("epochs", [1, 3, 4])
def test_an_interrupted_training_goes_on_as_if_it_had_not_been(templates, tmp_path, method, epochs):
    network = SHORT.model_copy(update={"method": method})
    settings = BRIEF.model_copy(update={"epochs": 4, "examples": 64})
    whole, reports = train(templates, network, settings)
    checkpoint = tmp_path / "folder" / "state.pt"
    with pytest.raises(_StopError):
        train(templates, network, settings, checkpoint=checkpoint, tell=stop_after(epochs))
    told = []
    resumed, reports_resumed = train(templates, network, settings, checkpoint=checkpoint, tell=told.append)
    assert [item.epoch for item in told] == list(range(epochs + 1, 5))
    assert reports_resumed == reports
    assert digest(resumed) == digest(whole)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert [item.name for item in checkpoint.parent.iterdir()] == ["state.pt"]


def test_a_checkpoint_of_another_training_is_refused(templates, tmp_path):
    checkpoint = tmp_path / "state.pt"
    train(templates, checkpoint=checkpoint)
    before = checkpoint.read_bytes()
    others = [
        {"settings": BRIEF.model_copy(update={"seed": 9})},
        {"settings": BRIEF.model_copy(update={"epochs": 3})},
        {"network": TINY.model_copy(update={"method": "ste"})},
        {"teacher": LightCurveNetwork(SHORT.twin())},
    ]
    for other in others:
        with pytest.raises(
            InputFormatError, match=r"state\.pt is of a training with other settings, curves or teacher"
        ):
            train(templates, checkpoint=checkpoint, **other)
    with pytest.raises(InputFormatError, match="other settings"):
        train(templates.at(np.arange(100)), checkpoint=checkpoint)
    assert checkpoint.read_bytes() == before


def test_a_checkpoint_of_other_curves_is_refused(templates, tmp_path):
    # As many curves, but others: a library that was made anew with other stars.
    checkpoint = tmp_path / "state.pt"
    train(templates, checkpoint=checkpoint)
    others = templates.at(np.arange(len(templates))[::-1])
    with pytest.raises(InputFormatError, match=r"state\.pt"):
        train(others, checkpoint=checkpoint)


@pytest.mark.parametrize("content", [b"", b"no state", None], ids=["empty", "text", "cut"])
def test_a_damaged_checkpoint_is_refused(templates, tmp_path, content):
    checkpoint = tmp_path / "state.pt"
    if content is None:
        train(templates, checkpoint=checkpoint)
        content = checkpoint.read_bytes()[:5000]
    checkpoint.write_bytes(content)
    with pytest.raises(InputFormatError, match=r"state\.pt is no checkpoint that can be read .*: remove it"):
        train(templates, checkpoint=checkpoint)


def test_a_checkpoint_that_would_run_code_is_refused(templates, tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "touched",))

    torch.save({"recipe": Evil()}, tmp_path / "state.pt")
    with pytest.raises(InputFormatError, match="no checkpoint"):
        train(templates, checkpoint=tmp_path / "state.pt")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    "network",
    [
        TINY,
        SHORT,
        SHORT.model_copy(update={"side_rank": 2}),
        # The scales of BiPer belong to its weights.
        SHORT.model_copy(update={"method": "biper"}),
    ],
)
def test_binary_weights_do_not_decay_and_real_ones_do(network):
    net = LightCurveNetwork(network)
    decaying, lasting = training._parameter_groups(net)
    names = {id(item): name for name, item in net.named_parameters()}
    assert len(decaying) + len(lasting) == len(names)
    decays = {names[id(item)] for item in decaying}
    expected = {"stem.weight", "head.weight", "scalar_hidden.weight", "scalar_out.weight"}
    if network.side_rank:
        expected |= {"side.down.weight", "side.up.weight"}
    assert decays == expected
    # In the twin the weights are real.
    decaying, _ = training._parameter_groups(LightCurveNetwork(network.twin()))
    assert len(decaying) == len(expected) + len(network.pools)
    course = training._course(net, BRIEF, None, 1, 1e-3)
    assert [group["weight_decay"] for group in course.optimiser.param_groups] == [BRIEF.weight_decay, 0.0]


def test_decay_shrinks_real_weights_and_leaves_binary_ones(templates):
    lazy = BRIEF.model_copy(update={"epochs": 1, "learning_rate": 1e-7})
    start, _ = train(templates, SHORT, lazy.model_copy(update={"weight_decay": 0.0}))
    end, _ = train(templates, SHORT, lazy.model_copy(update={"weight_decay": 1e7}))
    before, after = dict(start.named_parameters()), dict(end.named_parameters())
    for name, shrinks in (("head.weight", True), ("stem.weight", True), ("blocks.0.convolution.weight", False)):
        ratio = float(after[name].detach().norm() / before[name].detach().norm())
        assert (ratio < 0.95) == shrinks, name


def test_distillation_draws_the_student_to_the_teacher(templates, examples):
    teacher = LightCurveNetwork(SHORT.twin())
    with torch.no_grad():
        # It thinks that everything is probably detached, which the labels do not.
        teacher.head.weight.zero_()
        teacher.scalar_out.weight.zero_()
        teacher.head.bias[DETACHED] += 3.0
    teacher.eval()
    settings = BRIEF.model_copy(update={"examples": 640, "learning_rate": 5e-3})
    taught, _ = train(templates, TINY, settings.model_copy(update={"distillation": 1.0}), teacher=teacher)
    blended, _ = train(templates, TINY, settings.model_copy(update={"distillation": 0.5}), teacher=teacher)
    alone, _ = train(templates, TINY, settings)
    wanted = probabilities(teacher, examples)

    def distance(network):
        logs = np.log(np.maximum(probabilities(network, examples), 1e-9))
        return float((wanted * (np.log(np.maximum(wanted, 1e-9)) - logs)).sum(axis=1).mean())

    assert distance(taught) < 0.4 * distance(alone)
    assert distance(taught) < distance(blended) < distance(alone)
    assert probabilities(taught, examples)[:, DETACHED].mean() > 0.5
    assert not teacher.training


def test_the_teacher_is_not_changed_and_may_be_silent(templates):
    teacher = LightCurveNetwork(SHORT.twin())
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    train(templates, teacher=teacher)
    untaught, _ = train(templates, settings=BRIEF.model_copy(update={"distillation": 0.0}), teacher=teacher)
    assert digest(untaught) == digest(train(templates)[0])
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_fine_tuning_teaches_the_labels_of_real_curves(trained, templates, examples):
    network = LightCurveNetwork(TINY)
    network.load_state_dict(trained[0].state_dict())
    saw = np.arange(128) / 128
    curve = np.rint(np.clip(60 * (2 * saw - 1), -127, 127)).astype(np.int8)
    inputs = np.stack([np.stack([np.roll(curve, 7 * k), np.full(128, 120, dtype=np.int8)]) for k in range(20)])
    strange = LabelledCurves(inputs, np.tile(np.float32([0.5, 1.0]), (20, 1)), np.full(20, ELLIPSOIDAL))
    before = network_logits(network, inputs, strange.scalars).argmax(axis=1)
    assert (before != ELLIPSOIDAL).mean() > 0.5
    settings = BRIEF.model_copy(update={"examples": 640, "fine_tune_epochs": 3, "fine_tune_rate": 3e-3})
    told = []
    reports = fine_tune(network, strange, templates, settings=settings, tell=told.append)
    assert told == reports
    assert [item.epoch for item in reports] == [1, 2, 3]
    assert (network_logits(network, inputs, strange.scalars).argmax(axis=1) == ELLIPSOIDAL).mean() > 0.9
    # What it could, it still can.
    right = (probabilities(network, examples).argmax(axis=1) == examples.label).mean()
    assert right > 0.4
    assert digest(network) != digest(trained[0])


def test_biper_is_in_its_second_stage_at_the_end_and_packs(templates):
    network, reports = train(templates, SHORT.model_copy(update={"method": "biper"}))
    assert all(item.binary_weights.in_second_stage for item in network.binary_convolutions())
    assert pack_network(network).variant == "standard"
    # However short the training is; without one it is not.
    settings = BRIEF.model_copy(update={"epochs": 1, "examples": 32})
    early, _ = train(templates, SHORT.model_copy(update={"method": "biper"}), settings)
    assert pack_network(early).variant == "standard"
    with pytest.raises(SettingsError, match="second stage"):
        pack_network(LightCurveNetwork(SHORT.model_copy(update={"method": "biper"})))
    assert reports[-1].diagnostics["quantisation_error"] > 0


@pytest.mark.parametrize(
    ("method", "name"), [("reste", "estimating_error"), ("biper", "quantisation_error"), ("ste", "relative_error")]
)
def test_epochs_report_what_their_estimator_measures(templates, method, name):
    _, reports = train(templates, TINY.model_copy(update={"method": method}), BRIEF.model_copy(update={"examples": 32}))
    for report in reports:
        assert report.diagnostics[name] > 0
        assert report.diagnostics["gradient_instability"] > 0
        assert all(np.isfinite(value) for value in report.diagnostics.values())
    _, plain = train(templates, TINY.twin(), BRIEF.model_copy(update={"examples": 32}))
    assert plain[-1].diagnostics == {}


def test_estimators_are_told_how_far_the_training_is(templates, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(LightCurveNetwork, "advance", lambda _network, progress: told.append(progress))
    settings = BRIEF.model_copy(update={"epochs": 3})
    train(templates, SHORT, settings)
    # Over all twelve steps, not over those of an epoch, and that it is over.
    np.testing.assert_allclose(told, [*np.arange(12) / 11, 1.0])
    with pytest.raises(_StopError):
        train(templates, SHORT, settings, checkpoint=tmp_path / "state.pt", tell=stop_after(2))
    told.clear()
    train(templates, SHORT, settings, checkpoint=tmp_path / "state.pt")
    np.testing.assert_allclose(told, [*np.arange(8, 12) / 11, 1.0])


@pytest.mark.parametrize("scalars", [(), ("log_period", "VI0")])
def test_networks_without_numbers_and_with_others_train(templates, scalars):
    network, _ = train(templates, TINY.model_copy(update={"scalars": scalars}), BRIEF.model_copy(update={"epochs": 1}))
    assert pack_network(network).scalars == scalars


# Real curves with labels.


def star_lines(period, n_points=200, seed=1, amplitude=0.4):
    rng = np.random.default_rng(seed)
    time = np.sort(rng.uniform(2455000, 2456000, n_points))
    mag = 16 + 0.5 * amplitude * np.cos(4 * np.pi * time / period) + rng.normal(0, 0.005, n_points)
    return [f"{t:.5f} {m:.3f} 0.005" for t, m in zip(time, mag, strict=True)]


@pytest.fixture
def table(tmp_path):
    """A table of a star of each class, curves in a folder beside it."""
    (tmp_path / "curves").mkdir()
    lines = ["file,period,class"]
    for number, name in enumerate(CLASSES):
        (tmp_path / "curves" / f"{number}.dat").write_text("\n".join(star_lines(0.5 + number, seed=number)) + "\n")
        lines.append(f"curves/{number}.dat,{0.5 + number},{name}")
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_labelled_curves_are_folded_and_binned(table):
    curves = read_labelled_curves(table, scalars=("log_period", "log_amplitude", "VI0"))
    assert len(curves) == 5
    assert curves.label.tolist() == [0, 1, 2, 3, 4]
    assert curves.inputs.shape == (5, 2, 128)
    # Two waves a cycle.
    spectrum = np.abs(np.fft.rfft(curves.inputs[:, 0].astype(float)))
    assert (spectrum[:, 1:].argmax(axis=1) == 1).all()
    np.testing.assert_allclose(curves.scalars[:, 0], (np.log10(0.5 + np.arange(5)) - 0.3) / 0.5, rtol=1e-5)
    np.testing.assert_allclose(10 ** (0.4 * curves.scalars[:, 1] - 0.8), 0.4, rtol=0.05)
    np.testing.assert_array_equal(curves.scalars[:, 3:], [[1, 1, 0]] * 5)
    assert read_labelled_curves(table, scalars=(), n_bins=256).inputs.shape == (5, 2, 256)


def test_columns_may_stand_in_any_order_and_blanks_around_them(table):
    lines = [line.split(",") for line in table.read_text().splitlines()]
    table.write_text("\n".join(f"{c}, {f},x, {p} " if k else f"{c},{f},note,{p}" for k, (f, p, c) in enumerate(lines)))
    assert read_labelled_curves(table, scalars=()).label.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("period,class", "period,kind", "labels.csv, line 1: no column class; name the columns file, period, class"),
        ("file,", "", "labels.csv, line 1: no column file"),
        ("1.5,", "soon,", "labels.csv, line 3: period 'soon' is no number of days above 0"),
        ("1.5,", "-1.5,", "labels.csv, line 3: period '-1.5' is no number of days above 0"),
        ("1.5,", "nan,", "labels.csv, line 3: period 'nan'"),
        ("1.5,", "inf,", "labels.csv, line 3: period 'inf'"),
        (",1.5,near_contact", "", "labels.csv, line 3: period ''"),
        ("not_eclipsing", "nova", "labels.csv, line 6: class 'nova' is not known; write one of contact, near_contact"),
        ("ellipsoidal", "detached", "labels.csv has no star of the class ellipsoidal: give some of every class"),
        ("curves/1.dat", "curves/9.dat", "curves/9.dat, which is not there: files are sought from the folder"),
        ("curves/1.dat", "", "which is not there"),
    ],
)
def test_a_table_that_cannot_be_used_names_file_and_line(table, old, new, message):
    table.write_text(table.read_text().replace(old, new))
    with pytest.raises(InputFormatError) as caught:
        read_labelled_curves(table, scalars=())
    assert message in str(caught.value)
    assert str(table) in str(caught.value)


def test_tables_that_are_none_are_refused(table, tmp_path):
    for path, content in ((table, b"file,period,class\n"), (table, b"\xff\xfe\x00")):
        path.write_bytes(content)
        with pytest.raises(InputFormatError, match=r"labels\.csv"):
            read_labelled_curves(path, scalars=())
    with pytest.raises(InputFormatError, match=r"absent\.csv cannot be read"):
        read_labelled_curves(tmp_path / "absent.csv", scalars=())


def test_a_malformed_light_curve_is_named(table):
    (table.parent / "curves" / "1.dat").write_text("no light curve\n")
    with pytest.raises(InputFormatError, match=r"1\.dat"):
        read_labelled_curves(table, scalars=())


def test_a_table_of_a_spreadsheet_may_begin_with_its_mark(table):
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes())
    assert len(read_labelled_curves(table, scalars=())) == 5


def test_labelled_curves_are_cleaned_as_those_that_are_classified(table):
    before = read_labelled_curves(table, scalars=())
    star = table.parent / "curves" / "1.dat"
    # Far off at a phase where the curve would be deep.
    star.write_text(star.read_text() + "2455500.10000 11.000 0.005\n")
    np.testing.assert_array_equal(read_labelled_curves(table, scalars=()).inputs, before.inputs)
    star.write_text("\n".join(star_lines(1.5, n_points=9)) + "\n")
    with pytest.raises(InputFormatError, match=r"1\.dat has fewer than 10 usable points: take it out of .*labels\.csv"):
        read_labelled_curves(table, scalars=())


def test_labelled_curves_are_drawn_by_class_and_turned_as_a_whole():
    rng = np.random.default_rng(5)
    inputs = rng.integers(-127, 128, (9, 2, 128)).astype(np.int8)
    curves = LabelledCurves(inputs, np.zeros((9, 2), dtype=np.float32), np.array([0] * 7 + [2] * 2))
    places = curves.draw_balanced(2000, rng)
    assert np.abs(np.bincount(curves.label[places])[[0, 2]] - 1000).max() < 150
    assert np.bincount(places, minlength=9).min() > 80
    turned = curves.rolled(places[:50], rng)
    begins = []
    for curve, place in zip(turned, places[:50], strict=True):
        found = [k for k in range(128) if np.array_equal(np.roll(inputs[place], -k, axis=-1), curve)]
        assert len(found) == 1
        begins += found
    assert len(set(begins)) > 20


def test_a_star_with_points_that_cannot_be_used_is_not_lost():
    time = np.arange(5.0) + 2455000
    good = LightCurve(time, np.float32([16, 16.1, 16.2, 16.1, 16]), np.full(5, 0.01, dtype=np.float32))
    bad = LightCurve(time, np.full(5, 16, dtype=np.float32), np.zeros(5, dtype=np.float32))
    curves = LabelledCurves.of(
        pack_light_curves(["a", "b"], [good, bad]), [0.7, 0.7], [0, 1], scalars=("log_amplitude",)
    )
    assert curves.inputs[0].any()
    assert not curves.inputs[1].any()
    np.testing.assert_array_equal(curves.scalars[1], [0, 0])


# Judging.


def constant_judge(row):
    def judge(inputs, scalars):
        return np.tile(np.asarray(row, dtype=float), (len(inputs), 1))

    return judge


def test_a_network_that_says_contact_always_is_judged_as_such(templates):
    found = judge_synthetic(
        constant_judge([0.65, 0.15, 0.1, 0.05, 0.05]), templates, TINY, observation=SEEN, n=1000, seed=2
    )
    for key in ("training_mix", "bright"):
        judged = found[key]
        assert judged["n"] == 1000
        assert np.array(judged["confusion"]).sum(axis=0).tolist() == [1000, 0, 0, 0, 0]
        assert judged["accuracy"][0] == pytest.approx(0.2)
        assert judged["recall"]["contact"][0] == 1
        assert judged["precision"]["detached"] == [None, None, None]
        assert judged["mix_precision"]["contact"][0] == pytest.approx(0.1)
        assert judged["calibration_error"][0] == pytest.approx(0.45)
        assert judged["separation"][0][1] == 0.5
    assert found["contact_against_detached"] == {"n": 400, "accuracy": 0.5, "area_under_curve": 0.5}
    assert found["bright_above_60"]["n"] < 1000
    assert set(found["by_magnitude"]) == {"14.5", "15.5", "16.5", "17.5", "18.5", "19.5"}
    assert set(found["by_points"]) == {"60", "120", "250", "500", "1000"}
    assert all(row["n"] == 250 for row in [*found["by_magnitude"].values(), *found["by_points"].values()])
    for row in found["look_alikes"].values():
        assert row["called_a_pair"] == row["called_eclipsing"] == row["called_contact"] == [1, 1, 1]
    assert sum(row["n"] for row in found["look_alikes"].values()) == 400
    for row in found["by_inclination"]:
        # Contact against near contact and ellipsoidal.
        assert row["contact_confidence"] == pytest.approx(0.65 / 0.85)
        counts = np.array(row["confusion"])
        share, low, high = row["contact_told"]
        assert share == pytest.approx(counts[0, 0] / counts[[0, 1, 3]].sum())
        assert low <= share <= high
        assert row["accuracy"][0] == pytest.approx(counts[0, 0] / counts[:3].sum())
    decided = {row["least_probability"]: row["decided"] for row in found["abstention"]}
    assert decided == {0.0: 1, 0.4: 1, 0.5: 1, 0.6: 1, 0.7: 0, 0.8: 0, 0.9: 0}


def test_figures_of_a_network_are_what_json_can_hold(templates):
    # Also where no star is decided, or an inclination has neither contact nor near contact pairs.
    found = judge_synthetic(constant_judge([0.3, 0.2, 0.2, 0.2, 0.1]), templates, TINY, observation=SEEN, n=400)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_an_inclination_without_close_pairs_is_judged_all_the_same(templates):
    # Detached pairs alone are seen from 70 to 80 degrees.
    steep = (templates.inclination >= 70) & (templates.inclination < 80)
    some = templates.at(np.flatnonzero(~(steep & (templates.label <= NEAR_CONTACT))))
    assert (steep & (templates.label == DETACHED)).any()
    found = judge_synthetic(constant_judge([0.3, 0.2, 0.2, 0.2, 0.1]), some, TINY, observation=SEEN, n=400)
    json.dumps(found["by_inclination"], allow_nan=False)


def test_judging_repeats_itself_and_sees_noise(trained, templates):
    network, _ = trained

    def judge(inputs, scalars):
        return torch.softmax(torch.from_numpy(network_logits(network, inputs, scalars)), dim=1).double().numpy()

    one, same, other = (
        judge_synthetic(judge, templates, TINY, observation=SEEN, n=400, seed=seed) for seed in (1, 1, 2)
    )
    assert json.dumps(one) == json.dumps(same)
    assert json.dumps(one) != json.dumps(other)
    assert one["training_mix"]["accuracy"][0] > 0.4
    # Few points and faint stars are harder.
    assert one["by_points"]["60"]["accuracy"][0] < one["by_points"]["1000"]["accuracy"][0] + 0.05
    assert one["by_magnitude"]["19.5"]["accuracy"][0] < one["by_magnitude"]["14.5"]["accuracy"][0]


def test_stars_are_as_faint_and_as_often_observed_as_the_figures_say(templates):
    trust, filled = [], []

    def judge(inputs, scalars):
        trust.append(inputs[:, 1].mean())
        filled.append((inputs[:, 1] > 0).mean())
        return np.full((len(inputs), 5), 0.2)

    found = judge_synthetic(judge, templates, TINY, observation=SEEN, n=800)
    assert len(trust) == 2 + len(found["by_magnitude"]) + len(found["by_points"])
    by_magnitude, by_points = trust[2:8], filled[8:]
    # The brightest are all at the floor of the errors.
    assert (np.diff(by_magnitude)[2:] < -2).all()
    assert (np.diff(by_magnitude)[:2] < 2).all()
    assert (np.diff(by_points) > 0).all()
    # A bin stays empty by chance.
    np.testing.assert_allclose(by_points, 1 - (127 / 128) ** np.array([60, 120, 250, 500, 1000]), atol=0.08)
    assert by_magnitude[1] + 2 > trust[1] > by_magnitude[3]


# From a library to a network.


def test_a_library_is_divided_without_overlap(library):
    whole = library_templates(library)
    division = divide_library(library, seed=4)
    ends = [0, 240, 270, 300]
    for part, first, last in zip(
        (division.training, division.calibration, division.test), ends[:-1], ends[1:], strict=True
    ):
        np.testing.assert_array_equal(part.mag[: last - first], whole.mag[first:last])
        assert (np.bincount(part.label, minlength=5) > 0).all()
        assert len(part) > last - first
    # What is added differs from part to part.
    added = [division.training.mag[240:], division.test.mag[30:]]
    assert not {curve.tobytes() for curve in added[0] if curve.any()} & {c.tobytes() for c in added[1] if c.any()}


def test_libraries_too_small_or_of_one_kind_are_refused(tmp_path, library):
    recipe = LibrarySettings(phases=16, n_bands=6, mixture={"contact": 0.0, "be_like": 1.0, "detached": 0.0})
    few = write_library(tmp_path / "few.parquet", 20, settings=recipe, seed=1, threads=1)
    with pytest.raises(SettingsError, match=r"few\.parquet has 20 rows: 200 at least"):
        divide_library(few, seed=0)
    recipe = LibrarySettings(phases=16, mixture=dict.fromkeys(recipe.mixture.model_dump(), 0.0) | {"be_like": 1.0})
    alike = write_library(tmp_path / "alike.parquet", 200, settings=recipe, seed=1, threads=1)
    with pytest.raises(SettingsError, match=r"alike\.parquet has too few stars of the class contact"):
        divide_library(alike, seed=0)


@pytest.mark.parametrize("method", ["float", "ternary"])
def test_methods_that_cannot_be_packed_are_refused_before_anything_is_done(tmp_path, method):
    with pytest.raises(SettingsError, match=f"method {method} has weights of more than one bit"):
        build_classifier(
            tmp_path / "absent.parquet",
            tmp_path,
            name="n",
            network=TINY.model_copy(update={"method": method}),
            training=BRIEF,
        )
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def division(library):
    return divide_library(library, seed=BRIEF.seed)


def test_building_tells_of_every_stage_and_writes_a_calibrated_network(library, division, tmp_path, monkeypatch):
    told, fits = [], []
    monkeypatch.setattr(
        building, "fit_calibration", lambda logits, label: fits.append(fit_calibration(logits, label)) or fits[-1]
    )
    curves = LabelledCurves(
        np.zeros((4, 2, 128), dtype=np.int8), np.zeros((4, 2), dtype=np.float32), np.array([0, 1, 2, 4])
    )
    built = build_classifier(
        library,
        tmp_path,
        name="short",
        network=SHORT,
        training=BRIEF.model_copy(update={"fine_tune_epochs": 1}),
        labelled=curves,
        division=division,
        tell=lambda stage, report: told.append((stage, report.epoch)),
    )
    assert told == [("teacher", 1), ("teacher", 2), ("network", 1), ("network", 2), ("fine-tuning", 1)]
    card = json.loads((tmp_path / "short.card.json").read_text())
    assert card["labelled_curves"] == 4
    assert card["twin"]["bright"]["n"] == 600
    assert card["version"] == built.packed.version
    assert re.fullmatch("short [0-9a-f]{8}", card["version"])
    assert card["classes"] == list(CLASSES)
    # The student's; the twin has one of its own.
    assert len(fits) == 2
    assert card["calibration"]["temperature"] == built.packed.temperature == fits[0].temperature
    np.testing.assert_allclose(built.packed.calibration, fits[0].bias, rtol=1e-6)
    assert sum(card["curves"]["training"].values()) == len(division.training)
    assert card["library"]["rows"] == ROWS
    assert card["library"]["seed"] == 3
    loaded = PackedNetwork.load(tmp_path / "short.npz")
    assert loaded.digest() == card["sha256"] == built.packed.digest()
    # Calibrated: on other curves of the same kind, few as they are, its probabilities are not far off.
    assert card["synthetic"]["training_mix"]["calibration_error"][0] < 0.2
    assert "float twin: macro-F1" in render_card(card)
    assert "4 labelled real ones" in render_card(card)


def test_the_twin_of_a_tiny_network_is_a_standard_one(division):
    settings = BRIEF.model_copy(update={"epochs": 1, "examples": 32})
    network = TINY.model_copy(update={"scalars": ("log_period",)})
    teacher = train_teacher(division, network, training=settings)
    assert teacher.settings == NetworkSettings(method="float", scalars=("log_period",))
    assert train_teacher(division, SHORT, training=settings).settings == SHORT.twin()


def test_any_name_will_do(library, division, tmp_path):
    # Also one that state of the training has.
    built = build_classifier(
        library,
        tmp_path,
        name="teacher",
        network=SHORT,
        training=BRIEF.model_copy(update={"epochs": 1, "examples": 32}),
        division=division,
    )
    assert built.path.name == "teacher.npz"


# Both commands.


def command(*arguments):
    return CliRunner().invoke(app, [str(item) for item in arguments])


@pytest.fixture(scope="module")
def made(library, tmp_path_factory):
    """A network by the command, and what the command said."""
    out = tmp_path_factory.mktemp("made") / "out"
    result = command(
        *("train", library, "--out", out, "--name", "little", "--variant", "tiny", "--no-distil"),
        *("--epochs", 2, "--examples", 256, "--seed", 6, "--threads", 1),
    )
    assert result.exit_code == 0, result.output
    return out, result


def again(library, out, *more):
    return [
        *("train", str(library), "--out", str(out), "--name", "little", "--variant", "tiny", "--no-distil"),
        *("--epochs", "2", "--examples", "256", "--seed", "6", "--threads", "1", *more),
    ]


def test_train_writes_a_network_with_its_card(made):
    out, result = made
    assert {path.name for path in out.iterdir()} >= {"little.npz", "little.json", "little.card.json"}
    packed = PackedNetwork.load(out / "little.npz")
    assert packed.variant == "tiny"
    card = json.loads((out / "little.card.json").read_text())
    assert card["sha256"] == packed.digest()
    assert card["network"]["method"] == "reste"
    assert (card["training"]["epochs"], card["training"]["examples"], card["training"]["seed"]) == (2, 256, 6)
    assert card["last_epoch"]["epoch"] == 2
    assert "twin" not in card
    assert str(card["library"]["rows"]) in result.stdout
    for epoch in (1, 2):
        assert f"network, epoch {epoch}: loss " in result.stderr
    assert f'written to {out / "little.npz"}; classify with it by model = "{out / "little.npz"}"' in result.stdout
    assert render_card(card) in result.stdout


def test_train_does_not_replace_a_network_unless_asked(made, library, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(made[0], out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert main(again(library, out)) != 0
    said = capsys.readouterr().err
    assert "little.npz exists: train anew with --overwrite, or choose another --name or --out" in said
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert main(again(library, out, "--overwrite")) == 0
    assert "network, epoch 1" in capsys.readouterr().err
    # The same seed, the same network.
    assert json.loads((out / "little.json").read_text()) == json.loads(before["little.json"])


def test_train_goes_on_where_it_stopped(made, library, tmp_path, capsys, monkeypatch):
    def interrupt(*_arguments, **_options):
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(building, "_calibrate", interrupt)
        assert main(again(library, out)) == 130
    assert "epoch 2" in capsys.readouterr().err
    assert not (out / "little.npz").exists()
    assert main(again(library, out)) == 0
    assert "epoch" not in capsys.readouterr().err
    assert PackedNetwork.load(out / "little.npz").digest() == PackedNetwork.load(made[0] / "little.npz").digest()
    # Another training in the same place would mix two.
    (out / "little.npz").unlink()
    assert main([*again(library, out), "--seed", "7"]) != 0
    assert "is of a training with other settings" in capsys.readouterr().err


def test_train_takes_real_curves(made, library, table, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    settings = tmp_path / "s.toml"
    settings.write_text('[training]\nfine_tune_epochs = 1\n[network]\nscalars = ["log_period", "log_amplitude"]\n')
    assert main(again(library, out, "--labelled", str(table), "--settings", str(settings))) == 0
    said = capsys.readouterr()
    assert "fine-tuning, epoch 1" in said.err
    assert "5 labelled real ones" in said.out
    packed = PackedNetwork.load(out / "little.npz")
    assert packed.scalars == ("log_period", "log_amplitude")
    table.write_text(table.read_text().replace("1.5,", "soon,"))
    assert main(again(library, tmp_path / "other", "--labelled", str(table))) != 0
    assert "labels.csv, line 3: period 'soon'" in capsys.readouterr().err


def test_train_refuses_what_cannot_be(library, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    cases = [
        ([tmp_path / "absent.parquet", "--out", tmp_path / "o"], "absent.parquet is no synthetic library"),
        ([library, "--out", tmp_path / "file"], "is a file: name another folder with --out"),
        ([library, "--out", tmp_path / "file" / "o"], "name another folder with --out"),
        ([library, "--out", tmp_path / "o", "--name", "a/b"], "'a/b' is no name of a file"),
        ([library, "--out", tmp_path / "o", "--name", ""], "'' is no name of a file"),
    ]
    for arguments, message in cases:
        assert main(["train", *(str(item) for item in arguments), "--no-distil"]) != 0
        assert message in capsys.readouterr().err
    assert command("train", library, "--method", "ternary").exit_code == 2
    assert command("train", library, "--epochs", 0).exit_code == 2


def test_train_without_torch_names_the_extra(library, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["train", str(library), "--out", str(tmp_path / "out")]) != 0
    assert 'pip install "cbminer[train]"' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_card_is_printed(made, capsys):
    out, _ = made
    assert main(["model", "card", str(out / "little.npz")]) == 0
    said = capsys.readouterr().out
    for words in ("Network little", "tiny variant, 128 phase bins, estimator reste", "limits", "confidence in it"):
        assert words in said
    card = json.loads((out / "little.card.json").read_text())
    assert card["sha256"] in said
    for name in card["synthetic"]["look_alikes"]:
        assert name in said
    assert main(["model", "card", str(out / "little.npz"), "--json"]) == 0

    def refuse(word):
        raise AssertionError(word)

    # NaN is none of JSON's numbers.
    assert json.loads(capsys.readouterr().out, parse_constant=refuse) == card


def test_cards_of_other_networks_and_damaged_ones_are_refused(made, tmp_path, capsys):
    for name in ("little.npz", "little.json", "little.card.json"):
        shutil.copy(made[0] / name, tmp_path / name)
    model, card = tmp_path / "little.npz", tmp_path / "little.card.json"
    content = json.loads(card.read_text())
    card.write_text(json.dumps(content | {"sha256": "0" * 64}))
    assert main(["model", "card", str(model)]) != 0
    assert "describes another network than little.npz" in capsys.readouterr().err
    for text in ("no card", "{}", "[]", "3"):
        card.write_text(text)
        with pytest.raises(InputFormatError, match=r"little\.card\.json cannot be read"):
            read_card(model, sha256="0" * 64)
    card.unlink()
    with pytest.raises(InputFormatError, match=r"little\.card\.json cannot be read"):
        read_card(model, sha256="0" * 64)
    assert main(["model", "card", "nowhere.npz"]) != 0
    assert "no network nowhere.npz: choose standard or tiny" in capsys.readouterr().err


def test_a_card_is_written_whole_or_not_at_all(tmp_path):
    assert card_path(Path("a/net.v2.npz")) == Path("a/net.v2.card.json")
    path = tmp_path / "n.card.json"
    write_card({"sha256": "0"}, path)
    with pytest.raises(TypeError):
        write_card({"sha256": object()}, path)
    assert json.loads(path.read_text()) == {"sha256": "0"}
    assert [item.name for item in tmp_path.iterdir()] == ["n.card.json"]
    # A folder that is not there is made; what is there and is no folder stays.
    write_card({"sha256": "1"}, tmp_path / "new" / "deeper" / "n.card.json")
    assert json.loads((tmp_path / "new" / "deeper" / "n.card.json").read_text()) == {"sha256": "1"}
    with pytest.raises(OutputError, match="cannot be written"):
        write_card({}, path / "n.card.json")
    assert json.loads(path.read_text()) == {"sha256": "0"}
