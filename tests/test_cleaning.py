"""Cleaning of light curves: counted reasons, outliers without loss of eclipses, rescaled errors."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cbminer.lightcurves.cleaning import CleaningSettings, Reason, clean
from cbminer.lightcurves.folding import fold
from cbminer.survey.packed import PackedLightCurves, pack_light_curves
from cbminer.survey.photometry_file import LightCurve, read_light_curve
from cbminer.synthetic.cadence import observe, observing_times
from cbminer.synthetic.roche import RocheEngine
from cbminer.synthetic.systems import BinarySystems

EPOCH = 2455000.3
SPECIAL = [0.0, -0.01, np.nan, np.inf, -np.inf, 99.999]


def detached(filling_1, filling_2, inclination, teff_2=14000.0, mass_ratio=1.0):
    return BinarySystems.detached(
        mass_ratio,
        inclination,
        lobe_filling_1=filling_1,
        lobe_filling_2=filling_2,
        teff_1=20000.0,
        teff_2=teff_2,
    )


# Name: system, period in days. The eclipses of the narrow one take 0.016 of its period.
SYSTEMS = {
    "narrow eclipses": (detached(0.07, 0.06, 89.5), 10.0),
    "detached": (detached(0.15, 0.12, 88.0), 5.0),
    "close": (detached(0.3, 0.25, 86.0), 2.5),
    "deep and shallow": (detached(0.6, 1.0, 88.0, teff_2=7000.0, mass_ratio=0.3), 2.3),
    "near contact": (detached(0.9, 0.95, 80.0, mass_ratio=0.7), 0.9),
    "contact": (BinarySystems.contact(0.9, 85.0, fillout_factor=0.3, teff_1=25000.0), 0.7),
}


@pytest.fixture(scope="module")
def shapes():
    """Magnitudes below maximum as functions of cycles."""
    nodes = np.concatenate([np.linspace(0, 0.02, 41), np.linspace(0.022, 0.478, 230), np.linspace(0.48, 0.5, 41)])
    engine = RocheEngine(n_bands=24)

    def interpolated(system):
        flux = engine.light_curves(system, nodes)[0, 0]
        mag = -2.5 * np.log10(flux / flux.max())
        return lambda cycles: np.interp(np.abs(cycles - np.round(cycles)), nodes, mag)

    return {name: interpolated(system) for name, (system, _) in SYSTEMS.items()}


def pack(curves):
    return pack_light_curves(
        [str(i) for i in range(len(curves))],
        [LightCurve(t, np.float32(mag), np.float32(error)) for t, mag, error in curves],
    )


def folded(curves, period):
    period = np.broadcast_to(np.float64(period), len(curves)).copy()
    return fold(curves.time, curves.offsets, period, np.full(len(curves), EPOCH))


def kept_of(curves, cleaned):
    """Mask of the points that were kept; epochs of a star must differ."""
    masks = [
        np.isin(curves.time[curves.points_of(i)], cleaned.curves.time[cleaned.curves.points_of(i)])
        for i in range(len(curves))
    ]
    return np.concatenate(masks)


class Survey:
    """Stars of one shape on the cadence of OGLE, some of their points far off."""

    def __init__(self, shape, period, *, n_points, brightness, outliers=0.01, n_stars=40, seed=0):
        curves, off, below = [], [], []
        self.periods = period * np.linspace(1.0, 1.1, n_stars)
        for star in range(n_stars):
            rng = np.random.default_rng([seed, star])
            times = observing_times("LMC", 8, rng)
            time = np.sort(rng.choice(times, min(n_points, len(times)), replace=False))
            below.append(shape((time - EPOCH) / self.periods[star]))
            points = observe(time, brightness + below[-1], outliers=0.0, rng=rng)
            shift = rng.choice([-1, 1], len(time)) * rng.uniform(0.2, 1.5, len(time))
            off.append(np.where(rng.random(len(time)) < outliers, shift, 0.0))
            curves.append((time, points.mag + off[-1], points.mag_err))
        self.curves = pack(curves)
        self.phase = folded(self.curves, self.periods)
        self.off, self.below = np.concatenate(off), np.concatenate(below)

    def lost(self, settings=None):
        cleaned = clean(self.curves, self.phase, settings=settings or CleaningSettings())
        assert cleaned.reasons.sum() == len(self.curves.time)
        return ~kept_of(self.curves, cleaned)


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize(
    ("brightness", "bright_share", "faint_share"), [(15.0, 0.93, 0.85), (17.0, 0.93, 0.85), (19.0, 0.88, 0.65)]
)
def test_injected_outliers_are_found_and_eclipses_stay(shapes, name, brightness, bright_share, faint_share):
    stars = Survey(shapes[name], SYSTEMS[name][1], n_points=600, brightness=brightness)
    lost = stars.lost()
    assert lost[stars.off < 0].mean() > bright_share
    assert lost[stars.off > 0].mean() > faint_share
    assert lost[stars.off == 0].mean() < 1e-4
    in_eclipse = (stars.off == 0) & (stars.below > 0.3 * shapes[name](np.array([0.0]))[0])
    assert np.count_nonzero(lost & in_eclipse) == 0


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("n_points", [40, 100, 250])
def test_eclipses_of_a_few_points_stay(shapes, name, n_points):
    """Where an eclipse has one to four points, it stays, though fewer of the faint outliers are found."""
    stars = Survey(shapes[name], SYSTEMS[name][1], n_points=n_points, brightness=16.0, outliers=0.005)
    lost = stars.lost()
    assert np.count_nonzero(lost & (stars.off == 0)) <= 1
    for star in range(len(stars.curves)):
        points = stars.curves.points_of(star)
        eclipsed = (stars.off[points] == 0) & (stars.below[points] > 0.2)
        deepest = np.max(stars.below[points], where=eclipsed, initial=0.0)
        left = np.max(stars.below[points], where=eclipsed & ~lost[points], initial=0.0)
        assert left > deepest - 0.15


@pytest.mark.parametrize("factor", [0.5, 2.0, 0.7345])
@pytest.mark.parametrize("name", ["detached", "deep and shallow", "contact"])
def test_eclipses_stay_under_a_wrong_period(shapes, name, factor):
    stars = Survey(shapes[name], SYSTEMS[name][1], n_points=600, brightness=16.0, outliers=0.0)
    stars.phase = folded(stars.curves, factor * stars.periods)
    # Of the 20 points and more that are in eclipse.
    assert np.count_nonzero(stars.lost()) < 3 * len(stars.curves)


def test_variable_scatter_is_no_outlier():
    """A star that is brighter by half a magnitude in one season of eight, over a trend: nothing is off."""
    rng = np.random.default_rng(3)
    time = observing_times("LMC", 8, rng)
    outburst = (time > time[0] + 2 * 365) & (time < time[0] + 3 * 365)
    mag = (
        16
        - 0.5 * outburst
        + 0.1 * np.sin(time / 300)
        + 0.05 * np.cos(4 * np.pi * time)
        + rng.normal(0, 0.01, len(time))
    )
    curves = pack([(time, mag, np.full(len(time), 0.005))])
    cleaned = clean(curves, folded(curves, 0.87654), settings=CleaningSettings())
    assert cleaned.reasons[0, Reason.KEPT] == len(time)


def flat(n_points=500, noise=0.005, seed=1):
    rng = np.random.default_rng(seed)
    phase = (np.arange(n_points) + 0.5) / n_points
    time = EPOCH + 2.0 * (rng.permutation(n_points) + phase)
    return time, 16.0 + rng.normal(0, noise, n_points), np.full(n_points, noise)


@pytest.mark.parametrize(("shift", "reason"), [(-0.3, Reason.BRIGHT_OUTLIER), (0.3, Reason.FAINT_OUTLIER)])
@pytest.mark.parametrize("group", [1, 2])
def test_one_outlier_or_two_side_by_side_go_and_three_stay(shift, reason, group):
    time, mag, error = flat(1000)
    mag[400 : 400 + group] += shift
    mag[700:703] += shift
    curves = pack([(time, mag, error)])
    cleaned = clean(curves, folded(curves, 2.0), settings=CleaningSettings())
    assert cleaned.reasons[0, reason] == group
    assert cleaned.reasons[0, Reason.KEPT] == 1000 - group


def test_outliers_are_found_across_phase_zero():
    time, mag, error = flat()
    mag[[0, 250, 499]] += [-1.0, 1.0, -1.0]
    curves = pack([(time, mag, error)])
    cleaned = clean(curves, folded(curves, 2.0), settings=CleaningSettings())
    assert cleaned.reasons[0].tolist() == [497, 0, 0, 0, 0, 2, 1, 0]


def test_narrowest_eclipse_decides_what_contradicts_a_faint_point():
    time, mag, error = flat(100)
    mag[50] += 1.0
    curves = pack([(time, mag, error)])
    for narrowest, dropped in ((0.0, 0), (0.01, 0), (0.03, 1)):
        cleaned = clean(curves, folded(curves, 2.0), settings=CleaningSettings(narrowest_eclipse=narrowest))
        assert cleaned.reasons[0, Reason.FAINT_OUTLIER] == dropped


def test_many_faint_outliers_are_eclipses():
    time, mag, error = flat(600)
    mag[5::20] += 0.5
    mag[10] -= 0.5
    curves = pack([(time, mag, error)])
    for share, dropped in ((0.03, 0), (0.1, 30)):
        cleaned = clean(curves, folded(curves, 2.0), settings=CleaningSettings(max_faint_share=share))
        assert cleaned.reasons[0, Reason.FAINT_OUTLIER] == dropped
        assert cleaned.reasons[0, Reason.BRIGHT_OUTLIER] == 1


def narrow_eclipse(x):
    return np.where(np.abs((x + 0.5) % 1 - 0.5) < 0.03, 0.7, 0.0)


def test_every_reason_is_counted():
    rng = np.random.default_rng(1)
    time = np.sort(2455000 + rng.uniform(0, 2000, 500))
    eclipse = narrow_eclipse((time - EPOCH) / 0.8)
    mag, error = 16.0 + eclipse + rng.normal(0, 0.005, 500), np.full(500, 0.005)
    mag[10] -= 1.0
    mag[20] += 2.0
    error[30], error[40], mag[50], error[70] = 0.0, 2.0, np.nan, 0.2
    time[61] = time[60]
    curves = pack([(time, mag, error)])
    cleaned = clean(curves, folded(curves, 0.8), settings=CleaningSettings(max_error_ratio=10.0))
    assert cleaned.reasons[0].tolist() == [493, 1, 1, 1, 1, 1, 1, 1]
    assert cleaned.reasons[0, Reason.KEPT] == len(cleaned.curves.time) == len(cleaned.phase)
    dropped = [10, 20, 30, 40, 50, 61, 70]
    assert np.array_equal(cleaned.curves.time, np.delete(time, dropped))
    assert np.count_nonzero(cleaned.curves.mag > 16.5) == np.count_nonzero(np.delete(eclipse, dropped))


def test_of_an_epoch_the_best_point_stays():
    time, mag, error = flat(100)
    time[1], time[2], time[4] = time[0], time[0], time[3]
    error[0], error[1], error[2] = 0.005, 0.002, 0.003
    mag[4] += 1.0
    curves = pack([(time, mag, error)])
    cleaned = clean(curves, folded(curves, 2.0), settings=CleaningSettings())
    assert cleaned.reasons[0, Reason.DUPLICATE_EPOCH] == 3
    assert np.array_equal(cleaned.curves.mag, curves.mag[[1, 3, *range(5, 100)]])


def test_an_epoch_whose_best_point_is_bad_keeps_another():
    time, mag, error = flat(100)
    time[1] = time[0]
    error[0] = 0.0
    curves = pack([(time, mag, error)])
    cleaned = clean(curves, folded(curves, 2.0), settings=CleaningSettings())
    assert cleaned.reasons[0].tolist() == [99, 0, 1, 0, 0, 0, 0, 0]
    assert cleaned.curves.mag[0] == curves.mag[1]


def test_errors_are_as_stated_by_default():
    curves = pack([flat()])
    cleaned = clean(curves, folded(curves, 2.0), settings=CleaningSettings())
    assert np.array_equal(cleaned.curves.mag_err, curves.mag_err)


def test_errors_are_rescaled():
    time, mag, error = flat()
    error[:250] = 0.02
    curves = pack([(time, mag, error)])
    settings = CleaningSettings(error_scale=1.5, error_floor="4 mmag")
    cleaned = clean(curves, folded(curves, 2.0), settings=settings)
    assert cleaned.curves.mag_err.dtype == np.float32
    np.testing.assert_allclose(cleaned.curves.mag_err, np.sqrt((1.5 * curves.mag_err) ** 2 + 0.004**2), rtol=1e-6)


def test_error_limits_act_on_stated_errors_and_outliers_on_rescaled_ones():
    time, mag, error = flat()
    error[3] = 0.4
    mag[200] -= 0.1
    curves = pack([(time, mag, error)])
    phase = folded(curves, 2.0)
    stated = clean(curves, phase, settings=CleaningSettings())
    rescaled = clean(curves, phase, settings=CleaningSettings(error_scale=2.0, error_floor="50 mmag"))
    assert stated.reasons[0].tolist() == [499, 0, 0, 0, 0, 1, 0, 0]
    assert rescaled.reasons[0].tolist() == [500, 0, 0, 0, 0, 0, 0, 0]


def test_limit_by_the_star_spares_eclipses():
    """Points in an eclipse of three magnitudes have five times the error, and stay under a limit of three."""
    time, mag, _ = flat()
    mag = mag + np.where(np.arange(500) < 40, 3.0, 0.0)
    error = 0.005 * 10 ** (0.24 * (mag - 16.0))
    error[100] = 0.02
    curves = pack([(time, mag, error)])
    cleaned = clean(curves, folded(curves, 2.0), settings=CleaningSettings(max_error_ratio=3.0))
    assert cleaned.reasons[0].tolist() == [499, 0, 0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"error_scale": 0.0},
        {"error_scale": np.inf},
        {"error_floor": "-1 mmag"},
        {"error_floor": 0.003},
        {"max_error_ratio": 1.0},
        {"narrowest_eclipse": 1.0},
        {"max_faint_share": 1.5},
    ],
)
def test_settings_without_sense_are_refused(wrong):
    with pytest.raises(ValidationError):
        CleaningSettings(**wrong)


def test_stars_that_cannot_be_folded_keep_their_outliers():
    time, mag, error = flat()
    mag[10] -= 5.0
    error[20] = np.nan
    curves = pack([(time, mag, error)])
    cleaned = clean(curves, np.full(500, np.nan), settings=CleaningSettings())
    assert cleaned.reasons[0].tolist() == [499, 1, 0, 0, 0, 0, 0, 0]


def test_no_stars_and_empty_stars():
    none = clean(pack([]), np.empty(0), settings=CleaningSettings(max_error_ratio=5.0))
    assert none.reasons.shape == (0, len(Reason))
    empty = np.empty(0)
    curves = pack([(empty, empty, empty), flat(), (empty, empty, empty)])
    cleaned = clean(curves, folded(curves, 2.0), settings=CleaningSettings(max_error_ratio=5.0))
    assert cleaned.reasons.sum(axis=1).tolist() == [0, 500, 0]
    assert cleaned.curves.offsets.tolist() == [0, 0, 500, 500]


def test_identical_times_are_one_epoch():
    _, mag, error = flat()
    curves = pack([(np.full(500, EPOCH), mag, error)])
    cleaned = clean(curves, folded(curves, 2.0), settings=CleaningSettings())
    assert cleaned.reasons[0].tolist() == [1, 0, 0, 0, 499, 0, 0, 0]


MAGNITUDES = st.one_of(st.floats(15.0, 15.25, width=32), st.floats(10.0, 20.0, width=32), st.sampled_from(SPECIAL))
ERRORS = st.one_of(st.floats(2**-8, 2**-6, width=32), st.floats(0.0, 1.0, width=32), st.sampled_from(SPECIAL))
TIMES = st.one_of(
    st.floats(2455000.0, 2457000.0), st.sampled_from([2455000.0, 2455001.0]), st.sampled_from([np.nan, np.inf])
)
STARS = st.lists(st.lists(st.tuples(TIMES, MAGNITUDES, ERRORS), max_size=60), min_size=1, max_size=4)
SETTINGS = st.builds(
    CleaningSettings,
    max_error_ratio=st.sampled_from([None, 2.0]),
    error_scale=st.sampled_from([1.0, 1.4]),
    error_floor=st.sampled_from(["0 mag", "4 mmag"]),
    bright_sigma=st.sampled_from([2.0, 5.0]),
    faint_sigma=st.sampled_from([2.0, 10.0]),
    narrowest_eclipse=st.sampled_from([0.01, 0.5]),
)


def packed(stars):
    return pack([tuple(np.array(star, dtype=float).reshape(-1, 3).T) for star in stars])


def cleaned_alone(star, period, settings):
    curves = packed([star])
    return clean(curves, folded(curves, period), settings=settings)


def same_points(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("time", "mag", "mag_err"))


@hypothesis_settings(deadline=None, max_examples=150)
@given(STARS, st.one_of(st.floats(0.3, 30.0), st.just(np.nan)), SETTINGS)
def test_points_are_kept_or_counted_and_stars_do_not_meet(stars, period, settings):
    curves = packed(stars)
    with np.errstate(invalid="ignore"):
        cleaned = clean(curves, folded(curves, period), settings=settings)
        alone = [cleaned_alone(star, period, settings) for star in stars]
    assert cleaned.reasons.dtype == np.int64
    assert cleaned.reasons.sum(axis=1).tolist() == [len(star) for star in stars]
    assert cleaned.reasons[:, Reason.KEPT].tolist() == np.diff(cleaned.curves.offsets).tolist()
    assert len(cleaned.phase) == len(cleaned.curves.time)
    assert np.isfinite(cleaned.curves.time).all()
    assert np.isfinite(cleaned.curves.mag).all()
    assert (cleaned.curves.mag_err > 0).all()
    for index, one in enumerate(alone):
        points = cleaned.curves.points_of(index)
        part = PackedLightCurves(
            ("0",),
            one.curves.offsets,
            cleaned.curves.time[points],
            cleaned.curves.mag[points],
            cleaned.curves.mag_err[points],
        )
        assert same_points(part, one.curves)
        assert np.array_equal(cleaned.reasons[index], one.reasons[0])


@hypothesis_settings(deadline=None, max_examples=150)
@given(STARS, st.floats(0.3, 30.0), st.sampled_from([(5.0, 10.0), (2.0, 2.0)]))
def test_what_is_clean_stays_as_it_is(stars, period, sigmas):
    curves = packed(stars)
    # A star that keeps its faint outliers for their number may have another share of them when it has lost others.
    settings = CleaningSettings(bright_sigma=sigmas[0], faint_sigma=sigmas[1], narrowest_eclipse=0.2, max_faint_share=1)
    with np.errstate(invalid="ignore"):
        once = clean(curves, folded(curves, period), settings=settings)
    again = clean(once.curves, once.phase, settings=settings)
    assert same_points(again.curves, once.curves)
    assert again.reasons[:, 1:].sum() == 0


def test_order_of_points_and_threads_do_not_matter(shapes):
    stars = Survey(shapes["contact"], 0.7, n_points=300, brightness=17.0, n_stars=8)
    curves, phase = stars.curves, stars.phase
    wanted = clean(curves, phase, settings=CleaningSettings())
    rng = np.random.default_rng(2)
    order = np.concatenate([rng.permutation(np.arange(300 * i, 300 * (i + 1))) for i in range(8)])
    mixed = PackedLightCurves(
        curves.stars, curves.offsets, curves.time[order], curves.mag[order], curves.mag_err[order]
    )
    shuffled = clean(mixed, phase[order], settings=CleaningSettings())
    assert np.array_equal(np.sort(shuffled.curves.time), np.sort(wanted.curves.time))
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: clean(curves, phase, settings=CleaningSettings()), range(8)))
    for result in results:
        assert same_points(result.curves, wanted.curves)
        assert np.array_equal(result.reasons, wanted.reasons)


@pytest.fixture(scope="module")
def real_stars(shared_data):
    """Real eclipsing binaries with their phases, and their magnitudes below maximum."""
    folder = shared_data / "ocvs" / "lmc" / "ecl"
    rows = [line.split() for line in (folder / "ecl.dat").read_text().splitlines()]
    rows = [row for row in rows if (folder / "phot" / "I" / f"{row[0]}.dat").is_file()]
    curves = pack_light_curves(
        [row[0] for row in rows], [read_light_curve(folder / "phot" / "I" / f"{row[0]}.dat") for row in rows]
    )
    assert len(curves) > 100
    phase = folded(curves, [float(row[3]) for row in rows])
    brightest = [np.percentile(curves.mag[curves.points_of(i)], 10) for i in range(len(curves))]
    return curves, phase, curves.mag - np.repeat(brightest, np.diff(curves.offsets))


def test_real_eclipses_stay(real_stars):
    curves, phase, below = real_stars
    kept = kept_of(curves, clean(curves, phase, settings=CleaningSettings()))
    assert np.count_nonzero(~kept) < 1e-3 * len(kept)
    lost_in_eclipse = 0
    for star in range(len(curves)):
        points = curves.points_of(star)
        depth = np.sort(below[points])[-3]
        assert np.max(below[points][kept[points]]) > 0.9 * depth
        lost_in_eclipse += np.count_nonzero(~kept[points] & (below[points] > 0.4 * depth))
    assert lost_in_eclipse <= 2


def test_outliers_among_real_points_are_found(real_stars):
    curves, phase, _ = real_stars
    rng = np.random.default_rng(3)
    off = np.where(rng.random(len(phase)) < 0.005, rng.choice([-0.6, 0.6], len(phase)), 0.0).astype(np.float32)
    moved = PackedLightCurves(curves.stars, curves.offsets, curves.time, curves.mag + off, curves.mag_err)
    kept = kept_of(moved, clean(moved, phase, settings=CleaningSettings()))
    assert np.mean(~kept[off < 0]) > 0.95
    assert np.mean(~kept[off > 0]) > 0.7
    assert np.mean(~kept[off == 0]) < 1e-4
