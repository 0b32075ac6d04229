"""Cadences and noise: seasons, real dates, stated and true errors, blends, ephemerides, and all of it together."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cbminer.errors import ArchiveError, SettingsError
from cbminer.survey.packed import PackedLightCurves, pack_light_curves
from cbminer.survey.photometry_file import LightCurve, read_light_curve
from cbminer.synthetic.cadence import (
    Band,
    Cadence,
    TemplateFault,
    dilute,
    draw_third_light,
    observe,
    observing_times,
    perturbed_ephemeris,
    photometric_error,
    rescaled_error,
    sample_light_curve,
    seasonal_cadence,
    template_cadences,
)
from cbminer.synthetic.sampling import SamplingSettings
from cbminer.synthetic.shapes import SawtoothShape

SETTINGS = SamplingSettings()
QUIET = SamplingSettings(outliers=0.0)
MANY = 40000


def constant(cycles: np.ndarray, band: Band) -> np.ndarray:
    return np.zeros_like(cycles)


def wave(cycles: np.ndarray, band: Band) -> np.ndarray:
    return 0.2 * (1.0 - np.cos(2 * np.pi * cycles)) * (1.5 if band == "V" else 1.0)


def packed(**times: list[float] | np.ndarray) -> PackedLightCurves:
    curves = []
    for time in times.values():
        faint = np.full(len(time), 17.0, dtype=np.float32)
        curves.append(LightCurve(np.asarray(time, dtype=float), faint, faint))
    return pack_light_curves(list(times), curves)


def flux(mag: np.ndarray) -> np.ndarray:
    return 10.0 ** (-0.4 * mag)


# Settings


def test_settings_take_units_and_refuse_what_they_do_not_know() -> None:
    assert SamplingSettings(error_floor="5 mmag").error_floor == pytest.approx(0.005)
    with pytest.raises(ValidationError, match="has no unit"):
        SamplingSettings(error_floor=0.005)
    with pytest.raises(ValidationError, match="Extra inputs"):
        SamplingSettings(gamma=1.3)


@pytest.mark.parametrize(
    ("least", "most"), [({"fewest_V": 80}, {"most_V": 60}), ({"third_light_least": 0.6}, {"third_light_most": 0.5})]
)
def test_ranges_the_wrong_way_round_are_refused(least: dict[str, float], most: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="is larger than"):
        SamplingSettings(**least, **most)


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in SamplingSettings.model_fields.values())


# Seasons


@pytest.mark.parametrize("cloud", ["LMC", "SMC"])
@pytest.mark.parametrize("seed", range(5))
def test_five_seasons_have_as_many_points_as_ogle_and_gaps_between(cloud: str, seed: int) -> None:
    cadence = seasonal_cadence(cloud, SETTINGS, rng=np.random.default_rng(seed))
    steps = np.diff(cadence.time_I)
    assert 300 <= len(cadence.time_I) <= 1100
    assert steps.min() > 0.5
    assert (steps > 90).sum() == 4
    assert cadence.star == ""


@given(seed=st.integers(0, 2**32 - 1), seasons=st.integers(1, 12))
def test_points_in_v_are_fewer_and_on_nights_of_points_in_i(seed: int, seasons: int) -> None:
    settings = SamplingSettings(seasons=seasons)
    cadence = seasonal_cadence("LMC", settings, rng=np.random.default_rng(seed))
    assert 30 <= len(cadence.time_V) <= min(150, len(cadence.time_I))
    assert (np.diff(cadence.time_V) > 0).all()
    nearest = np.abs(cadence.time_V[:, np.newaxis] - cadence.time_I).min(axis=1)
    assert nearest.max() < 0.011


def test_the_number_of_points_in_v_can_be_set() -> None:
    settings = SamplingSettings(fewest_V=7, most_V=7)
    assert len(seasonal_cadence("SMC", settings, rng=np.random.default_rng(1)).time_V) == 7
    none = SamplingSettings(fewest_V=0, most_V=0)
    assert len(seasonal_cadence("SMC", none, rng=np.random.default_rng(1), n_points=30).time_V) == 0


@given(seed=st.integers(0, 2**32 - 1), n_points=st.integers(1, 200))
def test_short_light_curves_keep_some_dates_of_the_field(seed: int, n_points: int) -> None:
    whole = observing_times("LMC", 5, np.random.default_rng(seed))
    short = seasonal_cadence("LMC", SETTINGS, rng=np.random.default_rng(seed), n_points=n_points)
    assert len(short.time_I) == n_points
    assert np.isin(short.time_I, whole).all()
    assert (np.diff(short.time_I) > 0).all()
    assert len(short.time_V) <= max(5, 0.3 * n_points)


# Dates of real stars


def test_templates_hand_out_the_dates_of_packed_curves_exactly() -> None:
    rng = np.random.default_rng(3)
    dates = {f"S{k}": np.sort(2455000.0 + 1500.0 * rng.random(120 + k)) for k in range(4)}
    in_v = {star: time[::8] for star, time in reversed(dates.items())}
    found = template_cadences(packed(**dates), packed(**in_v), settings=SETTINGS)
    assert len(found) == 4
    assert found.set_aside == {}
    for cadence in found.cadences:
        assert np.array_equal(cadence.time_I, dates[cadence.star])
        assert np.array_equal(cadence.time_V, in_v[cadence.star])
    drawn = {found.draw(rng).star for _ in range(100)}
    assert drawn == set(dates)


def test_unusable_stars_are_counted_by_their_first_fault() -> None:
    good = np.arange(150.0)
    in_i = packed(
        good=good,
        hole=[*good, np.nan],
        back=[*good, 10.0],
        twice=[*good, good[-1]],
        short=good[:99],
        empty=[],
        blue=good,
        gone=good,
    )
    in_v = packed(good=good[:10], hole=good[:10], back=good[:10], twice=good[:10], blue=good[:9], other=good[:10])
    found = template_cadences(in_i, in_v, settings=SETTINGS)
    assert [cadence.star for cadence in found.cadences] == ["good"]
    assert found.set_aside == {
        TemplateFault.NOT_FINITE: 1,
        TemplateFault.UNSORTED: 2,
        TemplateFault.FEW_I: 2,
        TemplateFault.FEW_V: 2,
    }
    assert len(found) + sum(found.set_aside.values()) == len(in_i)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 5.0])
def test_bad_dates_in_v_make_a_star_unusable(bad: float) -> None:
    good = np.arange(150.0)
    both = template_cadences(
        packed(good=good, bad=good), packed(good=good[:20], bad=[*good[:20], bad]), settings=SETTINGS
    )
    assert [cadence.star for cadence in both.cadences] == ["good"]


def test_stars_without_v_are_taken_if_the_settings_say_so() -> None:
    settings = SamplingSettings(template_fewest_V=0)
    (cadence,) = template_cadences(packed(only=np.arange(150.0)), packed(), settings=settings).cadences
    assert len(cadence.time_V) == 0
    observed = sample_light_curve(
        wave,
        cadence,
        brightest={"I": 16.0, "V": 16.0},
        period=1.0,
        epoch=0.0,
        settings=settings,
        rng=np.random.default_rng(0),
    )
    assert len(observed["I"].time) == 150
    assert len(observed["V"].time) == 0


def test_no_usable_star_at_all_is_an_error_that_says_what_to_lower() -> None:
    few = packed(a=np.arange(5.0), b=np.arange(7.0))
    with pytest.raises(
        ArchiveError, match=r"too few points in I: 2\): give others, or lower template_fewest_I \(100\)"
    ):
        template_cadences(few, few, settings=SETTINGS)
    with pytest.raises(ArchiveError, match=r"\(there is none\)"):
        template_cadences(packed(), packed(), settings=SETTINGS)


@pytest.fixture(scope="module")
def cepheids(shared_data: Path) -> dict[Band, PackedLightCurves]:
    """Real OGLE-IV dates in both bands."""
    folder = shared_data / "ogle4_lmc_cep"
    if not folder.is_dir():
        pytest.skip(f"no OGLE-IV light curves at {folder}")
    curves: dict[Band, PackedLightCurves] = {}
    for band in ("I", "V"):
        paths = sorted((folder / band).glob("*.dat"))
        curves[band] = pack_light_curves([path.stem for path in paths], [read_light_curve(path) for path in paths])
    return curves


def test_real_light_curves_lend_their_dates(cepheids: dict[Band, PackedLightCurves]) -> None:
    found = template_cadences(cepheids["I"], cepheids["V"], settings=SETTINGS)
    assert len(found) > 0.8 * len(cepheids["I"])
    assert len(found) + sum(found.set_aside.values()) == len(cepheids["I"])
    assert set(found.set_aside) <= {TemplateFault.FEW_I, TemplateFault.FEW_V}
    for cadence in found.cadences:
        for band in ("I", "V"):
            place = cepheids[band].stars.index(cadence.star)
            assert np.array_equal(cadence.times(band), cepheids[band].time[cepheids[band].points_of(place)])


def test_generated_seasons_resemble_real_ones(cepheids: dict[Band, PackedLightCurves]) -> None:
    real = template_cadences(cepheids["I"], cepheids["V"], settings=SETTINGS).cadences
    made = [seasonal_cadence("LMC", SETTINGS, rng=np.random.default_rng(seed)) for seed in range(40)]
    for of in (lambda c: len(c.time_I), lambda c: len(c.time_V)):
        ours, theirs = (np.median([of(cadence) for cadence in some]) for some in (made, real))
        assert 0.5 < ours / theirs < 1.5
    # Winter nights in Chile last up to 13 hours about midnight.
    assert all((np.abs(np.mod(c.time_I, 1.0) - 0.7) < 0.28).all() for c in (*made, *real))


def test_a_star_is_observed_at_real_dates(cepheids: dict[Band, PackedLightCurves]) -> None:
    cadence = template_cadences(cepheids["I"], cepheids["V"], settings=SETTINGS).draw(np.random.default_rng(4))
    observed = sample_light_curve(
        wave,
        cadence,
        brightest={"I": 17.0, "V": 17.0},
        period=0.8,
        epoch=2455500.0,
        settings=QUIET,
        rng=np.random.default_rng(4),
    )
    for band, points in observed.items():
        assert np.array_equal(points.time, cadence.times(band))
        expected = 17.0 + wave((points.time - 2455500.0) / 0.8, band)
        true_error = rescaled_error(points.mag_err, scale=QUIET.error_scale, floor=QUIET.error_floor)
        assert np.std((points.mag - expected) / true_error) == pytest.approx(1.0, abs=0.25)


# Errors


@given(st.lists(st.floats(10.0, 23.0), min_size=2, max_size=20))
def test_errors_never_shrink_towards_faint_stars(mags: list[float]) -> None:
    errors = photometric_error(np.sort(mags))
    assert (np.diff(errors) >= 0).all()
    assert errors.min() >= 0.005


@pytest.mark.parametrize(("mag", "error"), [(13.0, 0.005), (16.0, 0.005), (17.5, 0.01), (18.5, 0.02), (20.5, 0.1)])
def test_errors_have_the_values_of_the_survey(mag: float, error: float) -> None:
    assert float(photometric_error(np.array(mag))) == pytest.approx(error)


@given(stated=st.floats(0.001, 1.0), scale=st.floats(0.5, 3.0), floor=st.floats(0.0, 0.1))
def test_rescaled_errors_follow_the_formula(stated: float, scale: float, floor: float) -> None:
    true = float(rescaled_error(np.array(stated), scale=scale, floor=floor))
    assert true == pytest.approx(np.sqrt((scale * stated) ** 2 + floor**2))
    assert true >= max(scale * stated, floor) * (1.0 - 1e-12)


@given(st.floats(0.001, 1.0))
def test_errors_are_as_stated_without_rescaling(stated: float) -> None:
    assert float(rescaled_error(np.array(stated), scale=1.0, floor=0.0)) == stated


@pytest.mark.parametrize("mag", [14.0, 17.5, 19.5])
@pytest.mark.parametrize(("scale", "floor"), [(1.0, 0.0), (1.2, 0.003), (1.7, 0.005)])
def test_a_constant_star_has_the_chi_square_of_its_rescaled_errors(mag: float, scale: float, floor: float) -> None:
    flat = np.full(MANY, mag)
    points = observe(flat, flat, outliers=0.0, rng=np.random.default_rng(8), error_scale=scale, error_floor=floor)
    chi_square = (((points.mag - mag) / rescaled_error(points.mag_err, scale=scale, floor=floor)) ** 2).sum()
    assert chi_square / MANY == pytest.approx(1.0, abs=4 * np.sqrt(2 / MANY))
    by_stated = (((points.mag - mag) / points.mag_err) ** 2).mean()
    assert by_stated == pytest.approx(np.mean(scale**2 + (floor / points.mag_err) ** 2), rel=0.03)


def test_fainter_parts_of_a_light_curve_are_noisier() -> None:
    mag = np.repeat([17.0, 20.0], MANY // 2)
    points = observe(mag, mag, outliers=0.0, rng=np.random.default_rng(1))
    bright, faint = np.std((points.mag - mag).reshape(2, -1), axis=1)
    assert faint / bright == pytest.approx(float(np.divide(*photometric_error(np.array([20.0, 17.0])))), rel=0.05)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.2])
def test_outliers_are_as_many_as_asked_for_and_on_both_sides(share: float) -> None:
    flat = np.full(MANY, 15.0)
    points = observe(flat, flat, outliers=share, rng=np.random.default_rng(6))
    off = (points.mag - 15.0) / points.mag_err
    # Of points that are 0.25 mag off on average, one in ten is not seen to be.
    assert np.mean(np.abs(off) > 6) == pytest.approx(0.9 * share, abs=0.1 * share + 1e-9)
    assert np.mean(off > 6) == pytest.approx(np.mean(off < -6), abs=0.2 * share + 1e-9)


# Third light


@given(
    depths=st.lists(st.floats(0.0, 5.0), min_size=1, max_size=20).map(np.array),
    third_light=st.floats(0.0, 0.99),
)
def test_third_light_conserves_flux(depths: np.ndarray, third_light: float) -> None:
    blended = dilute(depths, third_light)
    assert np.allclose(1.0 - flux(blended), (1.0 - third_light) * (1.0 - flux(depths)), rtol=1e-9, atol=1e-12)
    assert np.allclose(flux(blended), (1.0 - third_light) * flux(depths) + third_light)


@given(st.floats(0.0, 5.0))
def test_no_third_light_changes_nothing(depth: float) -> None:
    assert float(dilute(np.array(depth), 0.0)) == pytest.approx(depth, rel=1e-12, abs=1e-15)


@given(st.floats(0.0, 5.0), st.floats(0.0, 0.9), st.floats(0.0, 0.9))
def test_blends_of_blends_multiply(depth: float, one: float, other: float) -> None:
    both = 1.0 - (1.0 - one) * (1.0 - other)
    assert np.allclose(dilute(dilute(np.array(depth), one), other), dilute(np.array(depth), both))


@pytest.mark.parametrize("third_light", [-0.01, 1.0, 2.0, np.nan])
def test_third_light_out_of_its_range_is_refused(third_light: float) -> None:
    with pytest.raises(SettingsError, match="it must be the share of all light at maximum"):
        dilute(np.array([0.1]), third_light)


def test_third_light_is_drawn_in_its_range_for_a_share_of_stars() -> None:
    rng = np.random.default_rng(2)
    settings = SamplingSettings(blended=0.3, third_light_least=0.1, third_light_most=0.4)
    drawn = [draw_third_light(settings, rng) for _ in range(4000)]
    in_i, in_v = (np.array([light[band] for light in drawn]) for band in ("I", "V"))
    assert np.mean(in_i > 0) == pytest.approx(0.3, abs=0.03)
    assert np.array_equal(in_i > 0, in_v > 0)
    some = in_i > 0
    assert in_i[some].min() >= 0.1
    assert in_i[some].max() <= 0.4
    assert in_v.max() < 1.0
    colour = -2.5 * np.log10(in_v[some] / (1 - in_v[some])) + 2.5 * np.log10(in_i[some] / (1 - in_i[some]))
    assert np.mean(colour) == pytest.approx(0.0, abs=0.04)
    assert np.std(colour) == pytest.approx(0.3, abs=0.03)


def test_the_share_of_blends_changes_no_other_star() -> None:
    few, many = (
        [draw_third_light(SamplingSettings(blended=share), np.random.default_rng(seed)) for seed in range(200)]
        for share in (0.1, 0.9)
    )
    assert sum(light["I"] > 0 for light in few) < sum(light["I"] > 0 for light in many)
    assert all(a == b for a, b in zip(few, many, strict=True) if a["I"] > 0)


# Ephemerides


@given(period=st.floats(0.1, 500.0), seed=st.integers(0, 2**32 - 1))
def test_ephemerides_without_errors_are_true(period: float, seed: int) -> None:
    exact = SamplingSettings(period_error=0.0, epoch_error=0.0)
    found = perturbed_ephemeris(period, 2455500.25, settings=exact, rng=np.random.default_rng(seed))
    assert found == (period, 2455500.25)


@pytest.mark.parametrize("period", [0.7, 30.0])
def test_ephemerides_scatter_as_the_settings_say(period: float) -> None:
    rng = np.random.default_rng(9)
    found = np.array([perturbed_ephemeris(period, 100.0, settings=SETTINGS, rng=rng) for _ in range(4000)])
    assert np.std(found[:, 0] / period - 1.0) == pytest.approx(1e-6 * period, rel=0.05)
    assert np.std((found[:, 1] - 100.0) / period) == pytest.approx(1e-3, rel=0.05)
    # The phase at the end of five years is as uncertain for every period.
    drift = (found[:, 0] - period) / period * 1826.0 / period
    assert np.std(drift) == pytest.approx(0.0018, rel=0.05)


@pytest.mark.parametrize("period", [0.0, -1.0, np.nan, np.inf])
def test_periods_that_are_none_are_refused(period: float) -> None:
    with pytest.raises(SettingsError, match="a finite number of days above 0"):
        perturbed_ephemeris(period, 0.0, settings=SETTINGS, rng=np.random.default_rng(0))
    with pytest.raises(SettingsError, match="a finite number of days above 0"):
        sample(period=period)


# All together


def sample(seed: int = 5, **changes: object) -> dict:
    arguments = {
        "brightest": {"I": 16.0, "V": 16.2},
        "period": 0.9,
        "epoch": 2455500.0,
        "settings": QUIET,
        "rng": np.random.default_rng(seed),
    } | changes
    cadence = seasonal_cadence("LMC", SETTINGS, rng=np.random.default_rng(7))
    return sample_light_curve(wave, cadence, **arguments)  # type: ignore[arg-type]


def test_bands_without_magnitude_are_not_observed() -> None:
    assert list(sample()) == ["I", "V"]
    assert list(sample(brightest={"V": 16.0})) == ["V"]
    assert sample(brightest={}) == {}
    with pytest.raises(SettingsError, match="nan in V; it must be finite: leave out a band"):
        sample(brightest={"I": 16.0, "V": np.nan})


def test_points_follow_the_shape_in_either_band() -> None:
    for band, points in sample().items():
        brightest = {"I": 16.0, "V": 16.2}[band]
        residual = points.mag - brightest - wave((points.time - 2455500.0) / 0.9, band)
        assert np.abs(residual).max() < 6 * points.mag_err.max()
        assert np.ptp(points.mag) > 0.35


def test_third_light_shrinks_the_depth_in_flux() -> None:
    blends = {"I": 0.5, "V": 0.25}
    for band, points in sample(third_light=blends).items():
        brightest = {"I": 16.0, "V": 16.2}[band]
        expected = 1.0 - flux(wave((points.time - 2455500.0) / 0.9, band))
        measured = 1.0 - flux(points.mag - brightest)
        slope = (measured * expected).sum() / (expected**2).sum()
        assert slope == pytest.approx(1.0 - blends[band], abs=0.01)


def test_third_light_may_be_given_for_one_band() -> None:
    plain, blended = sample(), sample(third_light={"V": 0.5})
    assert np.allclose(plain["I"].mag, blended["I"].mag, rtol=0, atol=1e-12)
    assert np.ptp(blended["V"].mag) < 0.7 * np.ptp(plain["V"].mag)


def test_any_light_curve_shape_fits() -> None:
    shape = SawtoothShape(0.4, 0.2, 1.5)
    cadence = Cadence(np.arange(500.0) * 0.37, np.arange(50.0) * 3.1)
    observed = sample_light_curve(
        shape.relative_magnitude,
        cadence,
        brightest={"I": 15.0, "V": 15.0},
        period=2.0,
        epoch=0.0,
        settings=QUIET,
        rng=np.random.default_rng(1),
    )
    assert np.ptp(observed["V"].mag) > 1.3 * np.ptp(observed["I"].mag)


def test_the_same_seed_gives_the_same_bytes() -> None:
    settings = SamplingSettings(outliers=0.1)
    one, two, other = (sample(seed, settings=settings, third_light={"I": 0.1, "V": 0.2}) for seed in (5, 5, 6))
    for band in ("I", "V"):
        for name in ("time", "mag", "mag_err"):
            assert getattr(one[band], name).tobytes() == getattr(two[band], name).tobytes()
        assert one[band].mag.tobytes() != other[band].mag.tobytes()
    assert draw_third_light(settings, np.random.default_rng(3)) == draw_third_light(settings, np.random.default_rng(3))
    cadences = [seasonal_cadence("SMC", SETTINGS, rng=np.random.default_rng(2)) for _ in range(2)]
    assert cadences[0].time_V.tobytes() == cadences[1].time_V.tobytes()


def test_synthetic_light_curves_know_nothing_of_the_survey() -> None:
    folder = Path(__file__).parents[1] / "cbminer" / "synthetic"
    for name in ("cadence", "shapes", "population"):
        assert "cbminer.survey" not in (folder / f"{name}.py").read_text(encoding="utf-8")
