"""Verdicts on listed periods: injected curves of the Roche engine and of pulsators, coverage of errors, real stars."""

import csv
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cbminer.lightcurves.periods import PeriodSettings, PeriodVerdict, explain_verdict, judge_periods
from cbminer.survey.packed import PackedLightCurves, pack_light_curves
from cbminer.survey.photometry_file import LightCurve, read_light_curve
from cbminer.synthetic.cadence import sample_light_curve, seasonal_cadence
from cbminer.synthetic.sampling import SamplingSettings
from cbminer.synthetic.shapes import EclipsingShape, SawtoothShape, roche_shapes
from cbminer.synthetic.systems import BinarySystems

SETTINGS = PeriodSettings()
CONFIRMED, HALF, DOUBLE = PeriodVerdict.CONFIRMED, PeriodVerdict.HALF, PeriodVerdict.DOUBLE
PERIOD, EPOCH = 0.8, 2455500.123


def sample(shape, n_stars=1, n_points=500, noise=0.01, seed=1, span=1800.0):
    """Stars with a shape of phase at random times."""
    rng = np.random.default_rng(seed)
    curves = []
    for _ in range(n_stars):
        time = np.sort(2455000 + rng.uniform(0, span, n_points))
        mag = 16.0 + shape((time - EPOCH) / PERIOD) + rng.normal(0, noise, n_points)
        curves.append(LightCurve(time, mag.astype(np.float32), np.full(n_points, noise, dtype=np.float32)))
    return pack_light_curves([str(i) for i in range(n_stars)], curves)


def contact(cycles):
    return (
        0.3 + 0.25 * np.cos(4 * np.pi * cycles) + 0.05 * np.cos(8 * np.pi * cycles) + 0.02 * np.cos(2 * np.pi * cycles)
    )


def judge(curves, factor=1.0, settings=SETTINGS):
    return judge_periods(curves, np.full(len(curves), PERIOD * factor), settings=settings)


@pytest.fixture(scope="module")
def injected():
    """Shapes of one cycle by kind."""
    contacts = BinarySystems.contact(
        [1.0, 0.8, 0.6, 0.5], [80, 75, 50, 85], fillout_factor=[0.2, 0.3, 0.1, 0.5], teff_1=30000.0
    )
    near = BinarySystems.detached(
        [1.0, 0.8, 0.6, 0.9],
        [80, 65, 75, 85],
        lobe_filling_1=[0.95, 0.9, 1.0, 0.9],
        lobe_filling_2=[0.95, 0.95, 0.9, 0.92],
        teff_1=[30000.0, 30000, 25000, 20000],
        teff_2=[29000.0, 26000, 18000, 15000],
    )
    detached = BinarySystems.detached(
        [0.9, 0.7],
        [87, 86],
        lobe_filling_1=[0.5, 0.4],
        lobe_filling_2=[0.5, 0.4],
        teff_1=30000.0,
        teff_2=[27000.0, 2e4],
    )
    return {
        "contact": roche_shapes(contacts),
        "near": roche_shapes(near),
        "detached": roche_shapes(detached),
        "eccentric": [EclipsingShape(0.15, 0.14, 20000, 18000, 0.9, np.radians(88), 0.3, 0.6)],
        "lone": [EclipsingShape(0.12, 0.06, 20000, 3500, 0.3, np.radians(88))],
        "pulsator": [SawtoothShape(0.4, 0.25, 1.5), SawtoothShape(0.2, 0.3, 1.5)],
    }


def survey(shapes, *, n_stars=12, mag=17.0, seed=3, n_points=None):
    """Stars at the cadence and with the noise of OGLE-IV, and their true periods."""
    rng = np.random.default_rng(seed)
    sampling = SamplingSettings()
    period = rng.uniform(0.4, 4.0, n_stars)
    curves = []
    for index in range(n_stars):
        cadence = seasonal_cadence("LMC", sampling, rng=rng, n_points=n_points)
        seen = sample_light_curve(
            shapes[index % len(shapes)].relative_magnitude,
            cadence,
            brightest={"I": mag},
            period=period[index],
            epoch=EPOCH,
            settings=sampling,
            rng=rng,
        )["I"]
        curves.append(LightCurve(seen.time, seen.mag.astype(np.float32), seen.mag_err.astype(np.float32)))
    return pack_light_curves([str(i) for i in range(n_stars)], curves), period


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, CONFIRMED), (0.5, DOUBLE), (2.0, HALF)])
@pytest.mark.parametrize(
    ("kind", "mag"),
    [("contact", 16.0), ("contact", 19.0), ("near", 16.0), ("near", 19.0), ("detached", 17.0), ("eccentric", 17.0)],
)
def test_binaries_get_their_period_back(injected, kind, mag, factor, verdict):
    curves, period = survey(injected[kind], mag=mag)
    judged = judge_periods(curves, period * factor, settings=SETTINGS)
    assert np.mean(judged.verdict == verdict) >= (0.9 if mag < 18 else 0.8), np.bincount(judged.verdict)
    right = judged.verdict == verdict
    assert judged.eclipsing_period[right] == pytest.approx(period[right], rel=1e-4)


def test_one_eclipse_a_cycle_keeps_the_listed_period_and_is_ambiguous(injected):
    curves, period = survey(injected["lone"], mag=16.0)
    judged = judge_periods(curves, period, settings=SETTINGS)
    assert np.all(judged.verdict == CONFIRMED)
    assert judged.ambiguous.mean() > 0.5
    # At twice the period the light curve repeats after half of it, and has four minima where the shallow ones are seen.
    doubled = judge_periods(curves, 2 * period, settings=SETTINGS)
    assert np.isin(doubled.verdict, (CONFIRMED, HALF)).all()
    assert doubled.ambiguous[doubled.verdict == CONFIRMED].mean() > 0.5


def test_identical_minima_are_ambiguous(injected):
    judged = judge(sample(lambda x: 0.3 + 0.25 * np.cos(4 * np.pi * x) + 0.04 * np.cos(8 * np.pi * x)))
    assert judged.verdict[0] == CONFIRMED
    assert judged.ambiguous[0]
    assert judged.cycle[0] == 0.5
    assert not judge(sample(contact)).ambiguous[0]


# One pulsation is half a cycle of the sawtooth.
@pytest.mark.parametrize("factor", [0.5, 1.0])
def test_pulsators_are_not_eclipsing(injected, factor):
    curves, period = survey(injected["pulsator"])
    judged = judge_periods(curves, period * factor, settings=SETTINGS)
    assert np.mean(judged.verdict == PeriodVerdict.NOT_ECLIPSING) >= 0.9
    assert np.median(judged.asymmetry) > 0.1


def test_sharp_maxima_are_not_eclipsing():
    sharp = judge(sample(lambda x: -0.2 * np.cos(2 * np.pi * x) - 0.08 * np.cos(4 * np.pi * x)))
    assert sharp.verdict[0] == PeriodVerdict.NOT_ECLIPSING
    assert sharp.faint_share[0] > 0.55


@pytest.mark.parametrize("oconnell", [0.02, 0.05])
def test_unequal_maxima_stay_eclipsing(oconnell):
    judged = judge(sample(lambda x: contact(x) + oconnell * np.sin(2 * np.pi * x)))
    assert judged.verdict[0] == CONFIRMED
    assert judge(sample(lambda x: contact(x) + oconnell * np.sin(2 * np.pi * x)), 0.5).verdict[0] == DOUBLE


@pytest.mark.parametrize("n_points", [60, 100])
def test_few_points_suffice_for_contact_binaries(injected, n_points):
    curves, period = survey(injected["contact"], n_points=n_points)
    assert np.mean(judge_periods(curves, period, settings=SETTINGS).verdict == CONFIRMED) >= 0.9
    assert np.mean(judge_periods(curves, period / 2, settings=SETTINGS).verdict == DOUBLE) >= 0.9


def test_errors_of_the_period_have_the_coverage_that_they_state():
    for noise in (0.01, 0.1):
        judged = judge(sample(contact, n_stars=400, n_points=200, noise=noise))
        pull = (judged.period - PERIOD) / judged.e_period
        assert abs(np.mean(np.abs(pull) < 1.0) - 0.683) < 0.06
        assert abs(np.mean(pull)) < 0.15


def test_errors_of_the_epoch_have_the_coverage_that_they_state():
    judged = judge(sample(contact, n_stars=400, n_points=200))
    cycles = (judged.epoch - EPOCH) / PERIOD
    pull = (cycles - np.round(cycles)) * PERIOD / judged.e_epoch
    assert abs(np.mean(np.abs(pull) < 1.0) - 0.683) < 0.08
    assert judged.epoch == pytest.approx(2455900.0, abs=150.0)


def test_understated_errors_are_scaled_up():
    curves = sample(contact, n_stars=20, noise=0.03)
    optimistic = PackedLightCurves(curves.stars, curves.offsets, curves.time, curves.mag, curves.mag_err / 4)
    assert np.median(judge(optimistic).e_period / judge(curves).e_period) == pytest.approx(1.0, abs=0.1)


# A drift of the phase by 0.3 and 0.7 cycles over the light curve; 1e-4 of the period is 0.22.
@pytest.mark.parametrize("drift", [-0.7, -0.22, 0.3])
def test_a_period_a_little_off_is_refined(drift):
    n_cycles = 1800.0 / PERIOD
    judged = judge(sample(contact), 1.0 + drift / n_cycles)
    assert judged.verdict[0] == CONFIRMED
    assert judged.moved[0]
    assert abs(judged.period[0] - PERIOD) < 5 * judged.e_period[0]


@pytest.mark.parametrize("factor", [1.01, 0.877, 1.3])
def test_a_wrong_period_is_refuted_and_kept(factor):
    judged = judge(sample(contact, n_stars=10), factor)
    assert np.mean(judged.verdict == PeriodVerdict.REFUTED) >= 0.9
    refuted = judged.verdict == PeriodVerdict.REFUTED
    assert np.all(judged.period[refuted] == PERIOD * factor)
    assert np.isnan(judged.e_period[refuted]).all()
    assert not judged.moved[refuted].any()


@pytest.mark.parametrize("offset", [-1.002738, 1.0, 1.002738, 1 / 365.25])
def test_aliases_of_the_sampling_are_refuted_and_the_better_period_is_named(injected, offset):
    curves, period = survey(injected["contact"])
    listed = 2.0 / np.abs(2.0 / period + offset)
    judged = judge_periods(curves, listed, settings=SETTINGS)
    assert np.mean(judged.verdict == PeriodVerdict.REFUTED) >= 0.8
    named = np.isfinite(judged.alias_period)
    assert named.mean() >= 0.8
    # The alias is that of a cycle, which is half of the orbit or all of it.
    ratio = (judged.alias_period / period)[named]
    assert np.mean(np.abs(ratio * 2 - np.round(ratio * 2)) < 1e-3) >= 0.9
    assert "alias" in explain_verdict(judged, int(np.flatnonzero(named)[0]))


def test_a_drift_beyond_the_range_is_refuted():
    judged = judge(sample(contact), 1.0 + 1.1 / (1800.0 / PERIOD))
    assert judged.verdict[0] == PeriodVerdict.REFUTED


def test_constant_stars_are_refuted():
    judged = judge(sample(lambda x: 0.0 * x, n_stars=60, n_points=200))
    assert np.mean(judged.verdict == PeriodVerdict.REFUTED) >= 0.95


def test_missing_data_leave_a_star_undecided():
    curves = sample(contact, n_stars=4)
    sparse = sample(contact, n_points=20)
    empty = pack_light_curves(["x"], [LightCurve(np.empty(0), np.empty(0, np.float32), np.empty(0, np.float32))])
    for judged in (
        judge_periods(curves, np.array([np.nan, 0.0, -1.0, np.inf]), settings=SETTINGS),
        judge(sparse),
        judge(empty),
    ):
        assert np.all(judged.verdict == PeriodVerdict.UNDECIDED)
        assert judged.p_confirmed == pytest.approx(np.full(len(judged), 0.75))
        assert np.isnan(judged.eclipsing_period).all()
        assert "too few points" in explain_verdict(judged, 0)
    nothing = judge_periods(pack_light_curves([], []), np.empty(0), settings=SETTINGS)
    assert len(nothing) == 0
    # A constant without noise, and a light curve shorter than two cycles.
    flat = PackedLightCurves(curves.stars, curves.offsets, curves.time, np.full_like(curves.mag, 16.0), curves.mag_err)
    assert np.all(judge(flat).verdict == PeriodVerdict.UNDECIDED)
    assert np.all(judge_periods(curves, np.full(4, 1500.0), settings=SETTINGS).verdict == PeriodVerdict.UNDECIDED)


def test_points_that_are_not_finite_do_not_count():
    curves = sample(contact)
    mag, mag_err, time = curves.mag.copy(), curves.mag_err.copy(), curves.time.copy()
    mag[3], mag_err[7], mag_err[9], time[11] = np.nan, np.nan, 0.0, np.inf
    dirty = judge(PackedLightCurves(curves.stars, curves.offsets, time, mag, mag_err))
    assert dirty.n_points[0] == 496
    keep = np.ones(500, dtype=bool)
    keep[[3, 7, 9, 11]] = False
    clean = judge(curves.subset(keep))
    assert dirty.period[0] == clean.period[0]


def test_outliers_do_not_decide():
    curves = sample(contact)
    mag = curves.mag.copy()
    mag[::100] += 2.0
    spoilt = judge(PackedLightCurves(curves.stars, curves.offsets, curves.time, mag, curves.mag_err))
    assert spoilt.verdict[0] == CONFIRMED
    assert spoilt.n_points[0] == 495


def test_probabilities_sum_to_one_and_reasons_are_told():
    curves = sample(contact, n_stars=5)
    judged = judge(curves)
    total = judged.p_confirmed + judged.p_half + judged.p_double + judged.p_not_eclipsing + judged.p_refuted
    assert total == pytest.approx(np.ones(5))
    told = explain_verdict(judged, 0)
    assert told.startswith("the listed period is that of an eclipsing binary")
    assert "2 minima a P" in told


def same(first, second, *, besides=()):
    for field in fields(first):
        if field.name not in besides:
            np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name), err_msg=field.name)


def test_a_star_is_judged_the_same_in_any_batch_and_thread():
    parts = [sample(contact, seed=seed, n_points=100 + 40 * seed) for seed in range(5)]
    whole = pack_light_curves(
        [str(i) for i in range(5)], [LightCurve(part.time, part.mag, part.mag_err) for part in parts]
    )
    together = judge(whole)
    with ThreadPoolExecutor(4) as pool:
        alone = list(pool.map(judge, parts))
    for field in fields(together):
        np.testing.assert_array_equal(
            getattr(together, field.name), np.concatenate([getattr(judged, field.name) for judged in alone])
        )


@hypothesis_settings(deadline=None, max_examples=25)
@given(st.integers(-5000, 5000), st.integers(-4, 4), st.sampled_from([0.5, 1.0, 2.0]))
def test_offsets_of_time_and_magnitude_do_not_matter(days, magnitudes, factor):
    curves = sample(contact, n_points=150)
    # Steps that both single and double precision hold exactly.
    time = np.round(curves.time * 4096) / 4096
    mag = np.round(curves.mag * 4096) / 4096
    base = judge(PackedLightCurves(curves.stars, curves.offsets, time, mag.astype(np.float32), curves.mag_err), factor)
    moved = judge(
        PackedLightCurves(
            curves.stars, curves.offsets, time + days, (mag + magnitudes).astype(np.float32), curves.mag_err
        ),
        factor,
    )
    assert base.verdict[0] == moved.verdict[0]
    assert moved.period[0] == pytest.approx(base.period[0], rel=1e-9)
    assert moved.epoch[0] - days == pytest.approx(base.epoch[0], abs=1e-5)
    assert moved.p_confirmed[0] == pytest.approx(base.p_confirmed[0], abs=1e-4)


@hypothesis_settings(deadline=None, max_examples=25)
@given(st.integers(30, 120), st.floats(0.2, 30.0), st.integers(0, 1000))
def test_anything_gets_a_verdict(n_points, period, seed):
    rng = np.random.default_rng(seed)
    time = np.sort(rng.choice(rng.uniform(0, 2000, 5), n_points) + rng.uniform(0, 30, n_points))
    mag = rng.normal(16, rng.choice([0.01, 0.3]), n_points) + rng.choice([0.0, 1.0]) * time / 1000
    curve = LightCurve(time, mag.astype(np.float32), rng.uniform(0.005, 0.2, n_points).astype(np.float32))
    judged = judge_periods(pack_light_curves(["x"], [curve]), np.array([period]), settings=SETTINGS)
    total = judged.p_confirmed + judged.p_half + judged.p_double + judged.p_not_eclipsing + judged.p_refuted
    assert total[0] == pytest.approx(1.0)
    assert explain_verdict(judged, 0)


@pytest.fixture(scope="module")
def labelled(shared_data):
    """Real OGLE-II binaries whose period the light curve tells from half and twice of it."""
    with (shared_data / "ocvs_labels.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["period_rule"] == "P2_clear"]
    paths = [next((shared_data / "ocvs").glob(f"*/ecl/phot/I/{row['name']}.dat")) for row in rows]
    curves = pack_light_curves([row["name"] for row in rows], [read_light_curve(path) for path in paths])
    return curves, np.array([float(row["period_days"]) for row in rows])


@pytest.mark.parametrize(("factor", "verdict", "share"), [(1.0, CONFIRMED, 0.95), (0.5, DOUBLE, 0.9), (2.0, HALF, 0.9)])
def test_real_binaries_get_their_period_back(labelled, factor, verdict, share):
    curves, period = labelled
    judged = judge_periods(curves, period * factor, settings=SETTINGS)
    assert np.mean(judged.verdict == verdict) >= share, np.bincount(judged.verdict)


def test_real_cepheids_are_not_eclipsing(shared_data):
    folder = shared_data / "ogle4_lmc_cep"
    listed = {line.split()[0]: float(line[33:44]) for line in (folder / "cepFO4.dat").read_text().splitlines()}
    paths = [path for path in sorted((folder / "I").glob("*.dat")) if path.stem in listed]
    curves = pack_light_curves([path.stem for path in paths], [read_light_curve(path) for path in paths])
    period = np.array([listed[path.stem] for path in paths])
    for factor in (1.0, 2.0):
        judged = judge_periods(curves, period * factor, settings=SETTINGS)
        wrong = np.isin(judged.verdict, (PeriodVerdict.NOT_ECLIPSING, PeriodVerdict.REFUTED))
        assert np.mean(wrong) >= 0.9
