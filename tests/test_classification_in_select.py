"""Classes of light curves on their way through select, explain and morph."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from astropy.table import QTable, Table

from cbminer.catalogue.schema import COLUMNS, spec_of
from cbminer.chunk_measurement import measure_stars
from cbminer.classifier.classes import CLASSES
from cbminer.classifier.packed import PackedNetwork
from cbminer.classifier.packed_layers import PackedBlock, PackedHead, PackedStem, pack_signs
from cbminer.classifier.prediction import classifier_model
from cbminer.cli import main
from cbminer.columns import label_column, values
from cbminer.measurement import MeasurementSettings, StarTask, fit_curves, summarise
from cbminer.report.classes import class_line, classifier_title, probabilities_text
from cbminer.settings import load_settings
from cbminer.survey.archive import open_archive
from cbminer.survey.packed import pack_light_curves
from cbminer.survey.photometry_file import LightCurve

SCALARS = ("log_amplitude", "log_period", "VI0")


def random_network(seed=24):
    """A network that learned nothing: it gives every class to some stars, and takes all numbers beside the curve."""
    rng = np.random.default_rng(seed)

    def numbers(*shape, size=1.0):
        return (rng.normal(size=shape) * size).astype(np.float32)

    stem = PackedStem(rng.integers(-9, 10, (64, 2, 9)).astype(np.int8), numbers(64, size=0.01), numbers(64), 4)
    signs = rng.choice([-1, 1], size=(64, 64, 5))
    block = PackedBlock(pack_signs(signs), numbers(64, size=0.05), numbers(64), pool=True)
    head = PackedHead(
        numbers(5, 64, size=0.3),
        np.zeros(5, dtype=np.float32),
        hidden_weights=numbers(8, 6),
        hidden_bias=numbers(8),
        out_weights=numbers(5, 8),
    )
    calibration = np.zeros(5, dtype=np.float32)
    return PackedNetwork("tiny", stem, (block,), head, CLASSES, 128, SCALARS, "of the dice", 2.0, calibration)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """File of a network, and a settings file that names it."""
    folder = tmp_path_factory.mktemp("network")
    random_network().save(folder / "dice.npz")
    (folder / "s.toml").write_text(f'[classifier]\nmodel = "{folder / "dice.npz"}"\n[lightcurves]\nchunk = 40\n')
    return folder / "dice.npz"


@pytest.fixture(scope="module")
def classifier(network):
    return load_settings(network.with_name("s.toml")).classifier


@pytest.fixture(scope="module")
def run(mock_archive, network, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    options = ["--archive", str(mock_archive), "--settings", str(network.with_name("s.toml")), "--out", str(out)]
    assert main(["select", "--galaxy", "SMC", *options]) == 0
    return out


@pytest.fixture(scope="module")
def judged(run):
    return QTable.read(run / "judged.ecsv", format="ascii.ecsv")


def probabilities(table, prefix="P_"):
    return np.column_stack([values(table, f"{prefix}{name}") for name in CLASSES])


def contact_curve(n_points, seed=1):
    rng = np.random.default_rng(seed)
    time = np.sort(2455000 + rng.uniform(0, 1500, n_points))
    mag = 16 + 0.25 * np.cos(4 * np.pi * time / 0.8) + 0.05 * np.cos(8 * np.pi * time / 0.8)
    mag += rng.normal(0, 0.01, n_points)
    return LightCurve(time, mag.astype(np.float32), np.full(n_points, 0.01, dtype=np.float32))


def test_every_star_with_a_shape_has_probabilities_and_no_other(judged):
    probability, error = probabilities(judged), probabilities(judged, "e_P_")
    fitted = np.isfinite(values(judged, "n_harmonics"))
    np.testing.assert_array_equal(np.isfinite(probability), np.tile(fitted[:, np.newaxis], 5))
    np.testing.assert_array_equal(np.isfinite(error), np.isfinite(probability))
    assert 50 <= fitted.sum() <= len(judged)
    np.testing.assert_allclose(probability[fitted].sum(axis=1), 1.0, rtol=0, atol=5 * 0.5e-4)
    assert (probability[fitted] >= 0).all()
    assert (error[fitted] >= 0).all()
    assert (label_column(judged, "classifier_version") == np.where(fitted, "of the dice", "")).all()


def test_the_class_is_what_the_published_probabilities_say(judged):
    probability, labels = probabilities(judged), label_column(judged, "light_curve_class")
    fitted = np.isfinite(probability).all(axis=1)
    largest = np.nan_to_num(probability)
    expected = np.where(largest.max(axis=1) >= 0.5, np.array(CLASSES)[largest.argmax(axis=1)], "undecided")
    assert (labels == np.where(fitted, expected, "")).all()
    # Or this file would test nothing.
    assert len(set(labels[fitted])) >= 4


def test_columns_are_described_and_differ_by_more_than_upper_and_lower_case():
    for name in CLASSES:
        assert spec_of(f"P_{name}").ucd == "stat.probability"
        assert spec_of(f"e_P_{name}").ucd == "stat.error;stat.probability"
        assert spec_of(f"P_{name}").decimals == spec_of(f"e_P_{name}").decimals == 4
    names = [spec.name.casefold() for spec in COLUMNS]
    assert len(set(names)) == len(names)


def test_provenance_names_the_network_by_its_hash_and_counts_the_classes(run, judged, network):
    content = json.loads((run / "provenance.json").read_text())
    record = {"model": str(network), "variant": "tiny", "version": "of the dice", "sha256": random_network().digest()}
    assert content["classifier"] == record
    assert content["settings"]["classifier"]["model"] == str(network)
    labels = label_column(judged, "light_curve_class")
    counts = {name: number for name, number in content["counts"]["SMC"].items() if name.startswith("classes: ")}
    names = (*CLASSES, "undecided")
    assert counts == {f"classes: {name.replace('_', ' ')}": np.count_nonzero(labels == name) for name in names}


def test_explain_says_the_class_in_one_line(run, judged, capsys):
    probability, labels = probabilities(judged), label_column(judged, "light_curve_class")
    for place in {int(np.flatnonzero(labels == name)[0]) for name in set(labels) - {""}}:
        assert main(["explain", str(judged["id"][place]), "--run", str(run)]) == 0
        (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("class: ")]
        best = CLASSES[int(probability[place].argmax())].replace("_", " ")
        undecided = "undecided, " if labels[place] == "undecided" else ""
        assert line.startswith(f"class: {undecided}{best} {probability[place].max():.2f} +- ")
        assert line.endswith(" (dice of the dice)")
        assert all(f"{name.replace('_', ' ')} " in line for name in np.array(CLASSES)[probability[place] >= 0.01])


def test_explain_reads_runs_that_did_not_classify(run, judged, tmp_path, capsys):
    old = shutil.copytree(run, tmp_path / "old", ignore=shutil.ignore_patterns("figures"))
    content = json.loads((old / "provenance.json").read_text())
    del content["classifier"], content["settings"]["classifier"]
    (old / "provenance.json").write_text(json.dumps(content))
    table = Table.read(old / "judged.fits")
    table.remove_columns([name for name in table.colnames if name[:2] == "P_" or "class" in name])
    table.rename_column("p_other", "p_not_eclipsing")
    table.write(old / "judged.fits", overwrite=True)
    assert main(["explain", str(judged["id"][0]), "--run", str(old)]) == 0
    said = capsys.readouterr().out
    assert "class: " not in said
    assert "probabilities confirmed " in said


def test_neither_chunks_nor_jobs_nor_other_stars_change_a_probability(mock_archive, classifier, tmp_path):
    settings = dataclasses.replace(load_settings().measurement, classifier=classifier)
    archive = open_archive(str(mock_archive), cache=tmp_path)
    stars = archive.catalogue("SMC").stars[:24]
    ids, periods = label_column(stars, "id"), values(stars, "period", "d")
    store = archive.light_curves("SMC", ids.tolist())
    tasks = [StarTask(str(star), float(period), np.nan) for star, period in zip(ids, periods, strict=True)]
    whole = measure_stars(store, tasks, settings=settings, chunk=100)
    parts = measure_stars(store, tasks, settings=settings, chunk=5, jobs=2)
    for name in (f"{prefix}{name}" for name in CLASSES for prefix in ("P_", "e_P_")):
        np.testing.assert_array_equal(whole.shapes[name], parts.shapes[name])
    assert (whole.labels["light_curve_class"] == parts.labels["light_curve_class"]).all()
    assert whole.counts == parts.counts
    some = measure_stars(store, tasks[3:5], settings=settings, chunk=100)
    np.testing.assert_array_equal(some.shapes["P_contact"], whole.shapes["P_contact"][3:5])


def test_stars_without_enough_points_have_no_class_and_the_colour_reaches_the_network(classifier):
    settings = MeasurementSettings(classifier=classifier)
    curves = [contact_curve(n) for n in (0, 20, 300, 300)]
    tasks = [StarTask(name, 0.8, np.nan, colour) for name, colour in zip("abcd", (0.0, 0.0, -0.2, np.nan), strict=True)]
    fitted = fit_curves(pack_light_curves(list("abcd"), curves), tasks, settings=settings)
    assert fitted.classes.known.tolist() == [False, False, True, True]
    assert np.abs(fitted.classes.probability[2] - fitted.classes.probability[3]).max() > 0.01
    measured = summarise(fitted, tasks, classifier=classifier)
    assert (measured.labels["light_curve_class"] != "").tolist() == [False, False, True, True]
    assert sum(number for name, number in measured.counts.items() if name.startswith("classes: ")) == 2
    strict = classifier.model_copy(update={"least_probability": 1.0})
    assert summarise(fitted, tasks, classifier=strict).counts["classes: undecided"] == 2


def test_half_the_period_is_classified_as_the_adopted_one_is(classifier):
    """What is folded is the adopted period, whatever the catalogue lists."""
    settings = MeasurementSettings(classifier=classifier)
    curves = pack_light_curves(["a"], [contact_curve(400)])
    listed, half = (fit_curves(curves, [StarTask("a", p, np.nan)], settings=settings) for p in (0.8, 0.4))
    assert half.periods.period[0] == pytest.approx(0.8, rel=1e-4)
    np.testing.assert_allclose(half.classes.probability, listed.classes.probability, atol=0.1)


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (None, 2, "choose standard or tiny, or name the .npz file of a training"),
        (b"no network", 1, "cannot be read"),
        ("other classes", 2, "train it again"),
    ],
    ids=["absent", "damaged", "other classes"],
)
def test_a_network_that_cannot_be_had_ends_the_run_before_any_work(
    mock_archive, tmp_path, monkeypatch, capsys, content, status, said
):
    def work(*_args, **_kwargs):
        pytest.fail("light curves were read")

    path = tmp_path / "my.npz"
    if content == "other classes":
        dataclasses.replace(random_network(), classes=("a", "b", "c", "d", "e")).save(path)
    elif content is not None:
        path.write_bytes(content)
    (settings := tmp_path / "s.toml").write_text(f'[classifier]\nmodel = "{path}"\n')
    monkeypatch.setattr("cbminer.pipeline._measure_cloud", work)
    monkeypatch.setattr("cbminer.inspection.read_and_fit", work)
    out = tmp_path / "out"
    options = ["--archive", str(mock_archive), "--settings", str(settings), "--out", str(out)]
    for command in (["select", "--galaxy", "SMC"], ["morph", "MOCK-SMC-ECL-00001"]):
        assert main([*command, *options]) == status
        error = capsys.readouterr().err
        assert str(path) in error
        assert said in error
        assert error.count("\n") == 1
        assert not out.exists()


def test_morph_prints_and_writes_the_class_and_its_network(network, tmp_path, capsys):
    curve = contact_curve(300)
    path = tmp_path / "star.dat"
    np.savetxt(path, np.column_stack([curve.time, curve.mag, curve.mag_err]), fmt="%.5f")
    options = ["--period", "0.8", "--settings", str(network.with_name("s.toml")), "--out", str(tmp_path / "out")]
    assert main(["morph", str(path), *options]) == 0
    said = capsys.readouterr().out
    table = QTable.read(tmp_path / "out" / "shape.ecsv")
    probability, error = probabilities(table)[0], probabilities(table, "e_P_")[0]
    assert probability.sum() == pytest.approx(1.0, abs=3e-4)
    title = "dice of the dice"
    assert class_line(str(table["light_curve_class"][0]), probability, error, title=title) in said.splitlines()
    assert str(table["classifier_version"][0]) == "of the dice"
    content = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert content["classifier"]["sha256"] == classifier_model(str(network)).digest()


def test_a_class_in_words():
    probability, error = np.array([0.812, 0.171, 0.0, 0.004, 0.013]), np.full(5, 0.06)
    line = class_line("contact", probability, error, title="standard 1")
    assert line == "class: contact 0.81 +- 0.06, near contact 0.17, not eclipsing 0.01 (standard 1)"
    assert class_line("undecided", probability, error, title="x").startswith("class: undecided, contact 0.81")
    assert probabilities_text(probability, np.full(5, np.nan), most=2) == "contact 0.81, near contact 0.17"
    assert class_line("", np.full(5, np.nan), error, title="x").startswith("class: not known")
    assert classifier_title("standard", "1") == "standard 1"
    assert classifier_title("standard", "standard 1") == "standard 1"
    assert classifier_title("/home/me/my.npz", "") == "my"
