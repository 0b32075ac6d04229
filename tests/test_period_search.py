"""Search for periods: injected stars at the cadence of the survey, aliases, noise, real stars."""

import csv

import numpy as np
import pytest

from cbminer.lightcurves.period_alias import name_alias
from cbminer.lightcurves.period_search import PeriodSearchSettings, search_periods, spectrum
from cbminer.lightcurves.periods import PeriodVerdict
from cbminer.survey.packed import pack_light_curves
from cbminer.survey.photometry_file import LightCurve, read_light_curve
from cbminer.synthetic.cadence import seasonal_cadence
from cbminer.synthetic.sampling import SamplingSettings

SETTINGS = PeriodSearchSettings()
# Fewer frequencies keep the tests quick.
QUICK = PeriodSearchSettings(period_min="0.3 d", period_max="20 d")


def contact(cycles):
    return (
        0.3 + 0.2 * np.cos(4 * np.pi * cycles) + 0.04 * np.cos(8 * np.pi * cycles) + 0.02 * np.cos(2 * np.pi * cycles)
    )


def eclipses(cycles):
    def dip(phase, width):
        return np.exp(-0.5 * (((cycles - phase + 0.5) % 1 - 0.5) / width) ** 2)

    return 0.5 * dip(0.0, 0.025) + 0.3 * dip(0.5, 0.025)


def sawtooth(cycles):
    phase = cycles % 1
    return 0.4 * np.where(phase < 0.75, phase / 0.75, (1 - phase) / 0.25)


def observe(shape, periods, *, noise=0.01, seed=2, n_points=250):
    rng = np.random.default_rng(seed)
    curves = []
    for period in periods:
        time = seasonal_cadence("LMC", SamplingSettings(), rng=rng, n_points=n_points).time_I
        mag = 16.0 + shape((time - 2455500.2) / period) + rng.normal(0, noise, len(time))
        curves.append(LightCurve(time, mag.astype(np.float32), np.full(len(time), noise, dtype=np.float32)))
    return pack_light_curves([str(i) for i in range(len(curves))], curves)


PERIODS = np.array([0.4137, 0.7312, 1.377, 3.911])


@pytest.mark.parametrize("shape", [contact, eclipses])
def test_binaries_are_found_with_their_period(shape):
    found = search_periods(observe(shape, PERIODS), settings=QUICK)
    assert found.period == pytest.approx(PERIODS, rel=1e-4)
    assert np.all(found.judgements.verdict == PeriodVerdict.CONFIRMED)
    assert np.all(np.abs(found.period - PERIODS) < 6 * found.e_period)
    assert np.all(found.false_alarm < 1e-6)
    assert np.all(found.detection > 5)


def test_pulsators_are_found_and_not_taken_for_binaries():
    found = search_periods(observe(sawtooth, PERIODS), settings=QUICK)
    assert found.period == pytest.approx(PERIODS, rel=1e-4)
    assert np.all(found.judgements.verdict == PeriodVerdict.NOT_ECLIPSING)


def test_noise_has_no_period():
    found = search_periods(observe(lambda x: 0 * x, np.ones(6)), settings=QUICK)
    assert np.isnan(found.period).all()
    assert np.all(found.judgements.verdict == PeriodVerdict.UNDECIDED)
    assert np.all(found.false_alarm > 1e-3)
    assert found.alias == ("",) * 6


def test_few_points_and_constant_stars_have_no_period():
    sparse = observe(contact, [0.7], n_points=30)
    assert np.isnan(search_periods(sparse, settings=QUICK).period[0])
    empty = pack_light_curves(["x"], [LightCurve(np.empty(0), np.empty(0, np.float32), np.empty(0, np.float32))])
    assert np.isnan(search_periods(empty, settings=QUICK).power[0])
    assert len(search_periods(pack_light_curves([], []), settings=QUICK)) == 0
    curves = observe(contact, [0.7])
    flat = type(curves)(curves.stars, curves.offsets, curves.time, np.full_like(curves.mag, 16.0), curves.mag_err)
    assert np.isnan(search_periods(flat, settings=QUICK).period[0])


def test_a_star_is_searched_the_same_in_any_batch():
    curves = observe(contact, PERIODS[:2])
    alone = observe(contact, PERIODS[:1])
    assert search_periods(curves, settings=QUICK).period[0] == search_periods(alone, settings=QUICK).period[0]


def test_order_of_points_and_bad_ones_do_not_matter():
    curves = observe(contact, PERIODS[1:2])
    shuffled = np.random.default_rng(0).permutation(len(curves.time))
    mag = curves.mag[shuffled]
    mag[5] = np.nan
    mixed = type(curves)(curves.stars, curves.offsets, curves.time[shuffled], mag, curves.mag_err[shuffled])
    assert search_periods(mixed, settings=QUICK).period[0] == pytest.approx(PERIODS[1], rel=1e-4)


def test_aliases_are_named():
    resolution = 1 / 2000
    assert name_alias(1.3672 + 1.0, np.array([1.3672]), resolution=resolution) == "1 c/d"
    assert name_alias(1.3672 + 1.002738, np.array([1.3672]), resolution=resolution) == "1 c/sidereal d"
    assert name_alias(2.005476 - 1.3672, np.array([1.3672]), resolution=resolution) == "2 c/sidereal d"
    assert name_alias(1.3672 + 1 / 365.25, np.array([1.3672]), resolution=resolution) == "1 c/yr"
    assert name_alias(1.3672 - 1 / 29.530589, np.array([0.9, 1.3672]), resolution=resolution) == "1 c/month"
    # The second harmonic of a binary has the alias.
    assert name_alias((2 * 1.3672 + 1.0) / 2, np.array([1.3672]), resolution=resolution) == "1 c/d"
    assert name_alias(1.3672, np.array([0.7777, 1.3672]), resolution=resolution) == ""
    assert name_alias(1.3672, np.empty(0), resolution=resolution) == ""


def test_a_period_of_the_sampling_is_named():
    # A trend in the airmass: brighter at one sidereal time than at another.
    found = search_periods(observe(lambda x: 0.1 * np.cos(2 * np.pi * x), [0.99727]), settings=QUICK)
    assert found.alias[0].startswith("window: ") or "c/" in found.alias[0]


def test_spectrum_peaks_at_the_period():
    curves = observe(sawtooth, [0.7312])
    seen = spectrum(curves.time, curves.mag.astype(float), curves.mag_err.astype(float), settings=QUICK)
    assert len(seen.frequency) == len(seen.power)
    assert 1 / seen.frequency[np.argmax(seen.power)] == pytest.approx(0.7312, rel=1e-3)
    assert seen.frequency[0] == pytest.approx(1 / 20)
    assert seen.frequency[-1] == pytest.approx(1 / 0.3)


def test_real_binaries_are_found(shared_data):
    with (shared_data / "ocvs_labels.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["period_rule"] == "P2_clear"][::7]
    paths = [next((shared_data / "ocvs").glob(f"*/ecl/phot/I/{row['name']}.dat")) for row in rows]
    curves = pack_light_curves([row["name"] for row in rows], [read_light_curve(path) for path in paths])
    found = search_periods(curves, settings=SETTINGS)
    listed = np.array([float(row["period_days"]) for row in rows])
    assert np.mean(np.abs(found.period / listed - 1) < 1e-3) >= 0.85
