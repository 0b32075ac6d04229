"""Libraries of labelled light curves: truth, labels, reproduction, observation, refusals."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from cbminer.errors import OutputError, SettingsError
from cbminer.settings import load_settings
from cbminer.survey.archive import open_archive
from cbminer.survey.mock import is_mock_folder
from cbminer.synthesis import library_sight
from cbminer.synthetic import library as module
from cbminer.synthetic.geometry import eggleton_lobe_radius
from cbminer.synthetic.library import KINDS, LibraryMixture, LibrarySettings, draw_chunk, write_library
from cbminer.synthetic.library_columns import TRUTH
from cbminer.synthetic.priors import BINARY_KINDS, BinaryPriors, draw_binaries

COARSE = LibrarySettings(phases=40, n_bands=9)


@pytest.fixture(scope="module", autouse=True)
def small_chunks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK", 150)
        yield


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    path = write_library(tmp_path_factory.mktemp("library") / "l.parquet", 450, settings=COARSE, seed=3)
    return pq.read_table(path)


def columns(table, *names, kind=None):
    if kind is not None:
        table = table.filter(np.array(table["kind"].to_pylist()) == kind)
    found = [np.array(table[name].to_numpy(zero_copy_only=False), dtype=float) for name in names]
    return found[0] if len(found) == 1 else found


def curves(table, band="I"):
    return np.stack(table[f"flux_{band}"].to_numpy(zero_copy_only=False)).astype(float)


def test_all_kinds_are_there_as_often_as_asked_for(rows):
    kinds = rows["kind"].to_pylist()
    weights = COARSE.mixture.model_dump()
    for kind in KINDS:
        expected = 450 * weights[kind] / sum(weights.values())
        assert abs(kinds.count(kind) - expected) < 5 * np.sqrt(expected)


def test_truth_of_binaries_is_complete_and_follows_its_definition(rows):
    binaries = rows.filter(np.isin(rows["kind"].to_pylist(), BINARY_KINDS))
    for name in set(TRUTH) - {"teff_2", "fillout_factor"}:
        assert binaries[name].null_count == 0, name
    for kind in BINARY_KINDS:
        q, f1, f2, fillout = columns(
            rows, "mass_ratio", "lobe_filling_1", "lobe_filling_2", "fillout_factor", kind=kind
        )
        assert ((q >= 0.3) & (q <= 1)).all()
        if kind == "contact":
            assert ((fillout >= 0) & (fillout <= 1)).all()
            assert (np.minimum(f1, f2) >= 1).all()
        else:
            assert np.isnan(fillout).all()
            assert (np.maximum(f1, f2) <= 1 + 1e-9).all()
        if kind == "near_contact":
            assert (np.minimum(f1, f2) >= 0.9).all()
        if kind == "semi_detached":
            assert f2 == pytest.approx(1.0, abs=1e-9)
            assert (f1 < 0.9).all()
        if kind == "detached":
            assert (np.minimum(f1, f2) < 0.9).all()


def test_orbits_obey_kepler_and_radii_the_lobes(rows):
    period, a, m1, m2, r1, f1, q = columns(
        rows,
        "period",
        "separation",
        "mass_1",
        "mass_2",
        "radius_1",
        "lobe_filling_1",
        "mass_ratio",
        kind="near_contact",
    )
    # 365.25 d at one solar mass and 215.032 solar radii.
    assert period == pytest.approx(365.25 * (a / 215.032) ** 1.5 / np.sqrt(m1 + m2), rel=2e-4)
    assert r1 / a == pytest.approx(f1 * eggleton_lobe_radius(q), rel=0.011)


def test_ellipsoidal_variables_are_not_eclipsed(rows):
    i, r1, r2, a = columns(rows, "inclination", "radius_1", "radius_2", "separation", kind="ellipsoidal")
    assert (np.cos(np.radians(i)) >= (r1 + r2) / a - 1e-9).all()


def test_curves_are_normalised_with_the_deeper_minimum_at_phase_0(rows):
    for band in ("I", "V"):
        assert curves(rows, band).max(axis=1) == pytest.approx(1.0)
    binaries = rows.filter(np.isin(rows["kind"].to_pylist(), BINARY_KINDS))
    flux = curves(binaries)
    assert (flux[:, 0] <= flux[:, 20] + 1e-6).all()
    depth, amplitude = columns(binaries, "depth1_I", "amplitude_I")
    assert depth == pytest.approx(-2.5 * np.log10(flux[:, 0]), abs=1e-6)
    assert (amplitude >= 0.03).all()


def test_w_tells_contact_from_detached(rows):
    contact, depth = columns(rows, "W", "depth1_I", kind="contact")
    detached, other_depth = columns(rows, "W", "depth1_I", kind="detached")
    assert np.median(contact[depth > 0.3]) > 0.015
    assert np.median(detached[other_depth > 0.3]) < -0.01


def test_look_alikes_have_no_orbit_and_pulsators_twice_their_period(rows):
    for kind in ("rr_lyrae", "delta_scuti"):
        period, true = columns(rows, "period", "true_period", kind=kind)
        assert period == pytest.approx(2 * true)
        flux = curves(rows.filter(np.array(rows["kind"].to_pylist()) == kind))
        assert flux[:, :20] == pytest.approx(flux[:, 20:], abs=1e-5)
    assert np.isnan(columns(rows, "inclination", kind="spotted")).all()
    assert (columns(rows, "scatter_I", kind="be_like") > 0.003).all()


def test_rows_say_that_they_are_simulated_and_of_what(rows):
    assert set(rows["survey"].to_pylist()) == {"mock"}
    recipe = json.loads(rows.schema.metadata[b"cbminer"])
    assert recipe["simulated"] is True
    assert recipe["seed"] == 3
    assert LibrarySettings(**recipe["settings"]) == COARSE
    for name, (unit, meaning) in TRUTH.items():
        assert rows.schema.field(name).metadata == {b"unit": unit.encode(), b"description": meaning.encode()}


def test_the_same_seed_gives_the_same_bytes_whatever_the_threads(tmp_path, rows):
    one = write_library(tmp_path / "one.parquet", 200, settings=COARSE, seed=3, threads=1)
    two = write_library(tmp_path / "two.parquet", 200, settings=COARSE, seed=3, threads=2)
    assert one.read_bytes() == two.read_bytes()
    # Fewer rows are the beginning of more.
    assert pq.read_table(one).equals(rows.slice(0, 200))
    other = write_library(tmp_path / "other.parquet", 200, settings=COARSE, seed=4)
    assert not pq.read_table(other).equals(rows.slice(0, 200))


def test_a_chunk_can_be_drawn_alone(rows):
    chunk = draw_chunk(150, settings=COARSE, seed=3)
    assert np.array_equal(chunk.truth["mass_1"], columns(rows, "mass_1")[150:300], equal_nan=True)
    assert chunk.flux[:, 0].astype(np.float32) == pytest.approx(curves(rows)[150:300])


def test_observed_rows_are_what_the_survey_would_see(tmp_path):
    settings = load_settings()
    path = write_library(
        tmp_path / "o.parquet", 60, settings=COARSE, seed=5, sight=library_sight("LMC", settings=settings)
    )
    table = pq.read_table(path)
    assert table.num_rows == 60
    for row in table.to_pylist():
        time, mag, error = (np.array(row[f"{name}_I"]) for name in ("time", "mag", "mag_err"))
        assert (np.diff(time) > 0).all()
        assert 200 < len(time) < 1300
        assert 20 < len(row["time_V"]) <= 150
        assert np.median(np.abs(mag - np.median(mag))) < 1.5
        assert (error > 0).all()
        faintest = row["I_mag"] + row["amplitude_I"] + 5 * row["scatter_I"]
        assert row["I_mag"] - 5 * error.max() < np.median(mag) < faintest + 5 * error.max()
        assert row["listed_period"] == pytest.approx(row["period"], rel=1e-3)
        assert 0 <= row["third_light_I"] < 1
    assert 3 <= np.sum(columns(table, "third_light_I") > 0) <= 25
    i_mag, m_v, vi0, modulus, reddening = columns(table, "I_mag", "M_V", "VI0", "distance_modulus", "E_VI")
    alone = m_v - vi0 + modulus + 1.5 * reddening
    blend = -2.5 * np.log10(1 - columns(table, "third_light_I"))
    assert i_mag == pytest.approx(alone - blend, abs=1e-9)
    assert ((i_mag >= 13.0) & (i_mag <= 20.5)).all()


def noiseless(sampling, **changes):
    return sampling.model_copy(
        update={"outliers": 0.0, "blended": 0.0, "period_error": 0.0, "epoch_error": 0.0} | changes
    )


@pytest.mark.parametrize("kind", ["contact", "near_contact", "rr_lyrae", "spotted"])
@pytest.mark.parametrize("blended", [0.0, 1.0])
def test_folded_points_follow_the_curve_of_their_row(tmp_path, kind, blended):
    settings = load_settings()
    quiet = noiseless(settings.sampling, blended=blended)
    mixture = LibraryMixture(**dict.fromkeys(KINDS, 0.0) | {kind: 1.0})
    recipe = COARSE.model_copy(update={"mixture": mixture, "phases": 200, "n_bands": 18})
    sight = library_sight("SMC", settings=settings.model_copy(update={"sampling": quiet}))
    path = write_library(tmp_path / "o.parquet", 6, settings=recipe, seed=6, sight=sight)
    for row in pq.read_table(path).to_pylist():
        phase = np.mod((np.array(row["time_I"]) - row["listed_epoch"]) / row["listed_period"], 1.0)
        flux = np.interp(phase, np.arange(201) / 200, [*row["flux_I"], row["flux_I"][0]])
        share = row["third_light_I"]
        assert (share > 0) == (blended > 0)
        model = row["I_mag"] - 2.5 * np.log10(flux * (1 - share) + share)
        error = np.hypot(np.hypot(quiet.error_scale * np.array(row["mag_err_I"]), quiet.error_floor), row["scatter_I"])
        pull = (np.array(row["mag_I"]) - model) / error
        assert np.abs(np.mean(pull)) < 0.25
        assert 0.7 < pull.std() < 1.3


def test_stars_of_the_galaxy_are_in_front_of_the_cloud(tmp_path):
    settings = load_settings()
    mixture = LibraryMixture(**dict.fromkeys(KINDS, 0.0) | {"delta_scuti": 1.0, "spotted": 1.0})
    path = write_library(
        tmp_path / "o.parquet",
        100,
        settings=COARSE.model_copy(update={"mixture": mixture}),
        seed=1,
        sight=library_sight("LMC", settings=settings),
    )
    foreground, modulus = columns(pq.read_table(path), "foreground", "distance_modulus")
    assert 0.3 < foreground.mean() < 0.9
    assert np.median(modulus[foreground == 1]) < 16 < np.median(modulus[foreground == 0])


def test_the_star_behind_is_the_one_whose_eclipse_is_deeper(rows):
    behind, teff_1, teff_2, depth, other = columns(
        rows, "star_behind", "teff_1", "teff_2", "depth1_I", "depth2_I", kind="near_contact"
    )
    clear = (depth - other > 0.02) & (np.abs(teff_2 / teff_1 - 1) > 0.05)
    assert clear.sum() > 20
    assert np.array_equal(behind[clear] == 1, (teff_1 > teff_2)[clear])


def test_real_epochs_are_lent_by_an_archive(tmp_path, mock_archive):
    assert is_mock_folder(mock_archive / "lmc" / "ecl")
    settings = load_settings()
    lender = open_archive(str(mock_archive), cache=tmp_path / "cache")
    sight = library_sight("LMC", settings=settings, lender=lender)
    path = write_library(tmp_path / "o.parquet", 10, settings=COARSE, seed=7, sight=sight)
    for row in pq.read_table(path).to_pylist():
        lent = np.loadtxt(mock_archive / "lmc" / "ecl" / "phot" / "I" / f"{row['template']}.dat")[:, 0]
        assert np.array(row["time_I"]) == pytest.approx(lent, abs=1e-6)


def test_an_interrupted_library_leaves_nothing(tmp_path):
    def interrupt(_rows):
        raise KeyboardInterrupt

    path = tmp_path / "l.parquet"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        write_library(path, 300, settings=COARSE, seed=1, overwrite=True, progress=interrupt)
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["l.parquet"]


def test_places_that_cannot_be_written_to_are_refused(tmp_path):
    path = tmp_path / "l.parquet"
    path.write_text("old")
    with pytest.raises(OutputError, match="--overwrite"):
        write_library(path, 10, settings=COARSE, seed=1)
    with pytest.raises(OutputError, match="is a folder"):
        write_library(tmp_path, 10, settings=COARSE, seed=1)
    with pytest.raises(OutputError, match="cannot be written"):
        write_library(path / "below" / "l.parquet", 10, settings=COARSE, seed=1)


def test_recipes_that_leave_nothing_are_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"n: 0"):
        write_library(tmp_path / "l.parquet", 0, settings=COARSE, seed=1)
    mixture = LibraryMixture(**dict.fromkeys(KINDS, 0.0) | {"ellipsoidal": 1.0})
    with pytest.raises(SettingsError, match="smallest_amplitude"):
        draw_chunk(0, settings=COARSE.model_copy(update={"mixture": mixture, "smallest_amplitude": 2.0}), seed=1)
    with pytest.raises(SettingsError, match="seed: -1"):
        write_library(tmp_path / "l.parquet", 1, settings=COARSE, seed=-1)
    for weight in (0.0, np.inf):
        with pytest.raises(ValueError, match="the weights add up to"):
            LibraryMixture(**dict.fromkeys(KINDS, weight))
    with pytest.raises(ValueError, match="least_mass"):
        BinaryPriors(least_mass=10.0, most_mass=5.0)


def test_inclinations_are_isotropic():
    rng = np.random.default_rng(1)
    draw = draw_binaries("contact", 4000, priors=BinaryPriors(), rng=rng)
    cosine = np.sort(np.cos(np.radians(draw.systems.inclination)))
    assert np.abs(cosine - (np.arange(4000) + 0.5) / 4000).max() < 1.63 / np.sqrt(4000)
