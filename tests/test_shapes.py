"""Shapes of light curves: those of the engine, eccentric spheres, sawteeth, and what is measured of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbminer.synthetic.limb_darkening import LimbDarkening
from cbminer.synthetic.passbands import standard_passband
from cbminer.synthetic.roche import RocheEngine
from cbminer.synthetic.shapes import (
    EclipsingShape,
    LightCurveShape,
    SawtoothShape,
    WavesShape,
    measure_shape,
    roche_shape,
    roche_shapes,
)
from cbminer.synthetic.systems import BinarySystems

CYCLE = np.linspace(0.0, 1.0, 401)


def contact(n: int = 1, **changes: object) -> BinarySystems:
    rng = np.random.default_rng(3)
    given = {"mass_ratio": rng.uniform(0.35, 1, n), "inclination": rng.uniform(30, 90, n), "teff_1": 25000.0}
    return BinarySystems.contact(fillout_factor=rng.uniform(0.01, 0.7, n), **(given | changes))  # type: ignore[arg-type]


def near_contact(n: int) -> BinarySystems:
    rng = np.random.default_rng(4)
    q, filling = rng.uniform(0.5, 1, n), rng.uniform(0.85, 1, n)
    return BinarySystems.detached(
        q,
        rng.uniform(30, 90, n),
        lobe_filling_1=filling,
        lobe_filling_2=filling,
        teff_1=25000.0,
        teff_2=25000.0 * np.sqrt(q),
    )


def separated(n: int) -> BinarySystems:
    """Make pairs with short eclipses, total ones among them."""
    rng = np.random.default_rng(5)
    return BinarySystems.detached(
        rng.uniform(0.2, 1, n),
        rng.uniform(60, 90, n),
        lobe_filling_1=rng.uniform(0.25, 0.8, n),
        lobe_filling_2=rng.uniform(0.25, 1.0, n),
        teff_1=25000.0,
        teff_2=rng.uniform(12000.0, 25000.0, n),
    )


# Shapes of the engine


@pytest.mark.parametrize(("make", "largest"), [(contact, 0.001), (near_contact, 0.001), (separated, 0.003)])
def test_between_its_phases_a_shape_is_the_curve_of_the_engine_to_a_millimagnitude(make, largest: float) -> None:
    systems, phases = make(40), np.random.default_rng(6).random(200)
    # Both bands darken alike for hot stars.
    engine = RocheEngine(n_bands=24, passbands=[standard_passband("I"), standard_passband("V")])
    computed = engine.light_curves(systems, phases)
    errors = [
        2.5 * np.log10(shape.flux(phases, band) / flux[k])
        for shape, flux in zip(roche_shapes(systems), computed, strict=True)
        for k, band in enumerate(("I", "V"))
    ]
    assert np.abs(errors).max() < largest
    assert np.quantile(np.abs(errors), 0.99) < 0.001


def test_shapes_of_the_engine_are_symmetric_periodic_and_flat_at_conjunctions() -> None:
    (shape,) = roche_shapes(contact())
    cycles = np.random.default_rng(7).uniform(0, 50, 100)
    mag = shape.relative_magnitude(cycles, "I")
    for same in (-cycles, cycles + 300, 17 - cycles):
        assert shape.relative_magnitude(same, "I") == pytest.approx(mag, abs=1e-9)
    around = shape.relative_magnitude(np.array([-1e-4, 0.0, 1e-4, 0.4999, 0.5, 0.5001]), "I")
    assert np.ptp(around[:3]) < 1e-5
    assert np.ptp(around[3:]) < 1e-5


def test_shapes_do_not_ring_where_eclipses_begin() -> None:
    phases = np.linspace(0.0, 0.5, 2001)
    for shape in roche_shapes(separated(40)):
        low, high = (extreme.reduce([shape.flux_I[:-1], shape.flux_I[1:]]) for extreme in (np.minimum, np.maximum))
        place = np.clip(np.searchsorted(shape.phases, phases, side="right") - 1, 0, len(low) - 1)
        flux = shape.flux(phases, "I")
        assert (flux - high[place]).max() < 2e-4
        assert (low[place] - flux).max() < 2e-4


def test_magnitudes_begin_at_maximum_light() -> None:
    for shape in roche_shapes(contact(20)):
        for band in ("I", "V"):
            assert abs(shape.relative_magnitude(CYCLE, band).min()) < 2e-4


def test_a_batch_is_as_its_systems_one_by_one() -> None:
    systems = near_contact(5)
    for k, shape in enumerate(roche_shapes(systems)):
        alone = roche_shape(systems[k])
        assert np.array_equal(shape.flux_I, alone.flux_I)
        assert np.array_equal(shape.flux_V, alone.flux_V)
    with pytest.raises(ValueError, match="too many values"):
        roche_shape(systems)


def test_cool_stars_are_darker_at_the_limb() -> None:
    systems = contact(teff_1=5000.0, inclination=85.0, gravity_darkening=0.32, albedo=0.5)
    bands = [
        standard_passband(name).darkened_by(LimbDarkening("linear", (x,))) for name, x in (("I", 0.5), ("V", 0.65))
    ]
    shape = roche_shape(systems)
    flux = RocheEngine(passbands=bands, n_bands=24).light_curves(systems, shape.phases)[0]
    assert shape.flux_I == pytest.approx(flux[0])
    assert shape.flux_V == pytest.approx(flux[1])


def test_the_deepest_minimum_of_the_engine_is_a_conjunction_even_in_a_total_eclipse() -> None:
    systems = BinarySystems.detached(
        np.linspace(0.2, 1.0, 20),
        90.0,
        lobe_filling_1=np.linspace(0.3, 0.8, 20),
        lobe_filling_2=0.3,
        teff_1=25000.0,
        teff_2=25000.0,
    )
    figures = [measure_shape(shape) for shape in roche_shapes(systems)]
    assert {figure.primary_cycle for figure in figures} <= {0.0, 0.5}
    assert all(figure.depth1 >= figure.depth2 for figure in figures)
    assert all(figure.amplitude == pytest.approx(figure.depth1, abs=0.01) for figure in figures)


# Other shapes


def test_twins_in_a_central_eclipse_lose_half_their_light() -> None:
    twins = EclipsingShape(0.05, 0.05, 2e4, 2e4, 1.0, np.pi / 2)
    figures = measure_shape(twins)
    assert figures.depth1 == pytest.approx(2.5 * np.log10(2), abs=2e-3)
    assert figures.depth2 == pytest.approx(figures.depth1, abs=1e-9)
    assert figures.primary_cycle == 0.0


def test_the_eclipse_of_the_hotter_star_is_deeper_and_more_so_in_v() -> None:
    pair = EclipsingShape(0.15, 0.15, 2e4, 1e4, 0.5, np.pi / 2)
    depth = {band: pair.relative_magnitude(np.array([0.0, 0.5]), band) for band in ("I", "V")}
    assert depth["I"][0] > depth["I"][1]
    assert depth["V"][0] > depth["I"][0]


def test_an_annular_eclipse_is_deeper_where_the_disc_is_brighter() -> None:
    small, large = 0.02, 0.2
    flat = EclipsingShape(large, small, 2e4, 3e3, 0.1, np.pi / 2, limb_darkening=0.0)
    dark = EclipsingShape(large, small, 2e4, 3e3, 0.1, np.pi / 2, limb_darkening=0.6)
    assert measure_shape(dark).depth1 > measure_shape(flat).depth1 > 2.5 * np.log10(1 / (1 - 0.01)) * 0.9


def test_an_eccentric_orbit_moves_the_second_eclipse() -> None:
    pair = EclipsingShape(0.05, 0.05, 2e4, 2e4, 1.0, np.pi / 2, eccentricity=0.3, periastron=0.0)
    mag = pair.relative_magnitude(CYCLE, "I")
    second = CYCLE[100:301][np.argmax(mag[100:301])]
    # To first order the second eclipse comes 2 e cos(omega) / pi of a cycle late or early.
    assert abs(abs(second - 0.5) - 2 * 0.3 / np.pi) < 0.01


@given(
    radii=st.tuples(st.floats(0.01, 0.4), st.floats(0.01, 0.4)),
    inclination=st.floats(0.0, np.pi / 2),
    q=st.floats(0.2, 1.0),
)
def test_eclipses_never_make_light_negative_or_brighter_than_maximum(
    radii: tuple[float, float], inclination: float, q: float
) -> None:
    mag = EclipsingShape(*radii, 2e4, 1.5e4, q, inclination).relative_magnitude(CYCLE, "I")
    assert np.all(np.isfinite(mag))
    assert mag.min() >= -1e-9


def test_a_sawtooth_rises_faster_than_it_declines() -> None:
    mag = SawtoothShape(0.4, 0.2, 1.5).relative_magnitude(CYCLE, "I")
    assert np.argmin(mag[:200]) == pytest.approx(0.2 * 200, abs=1)
    assert np.ptp(SawtoothShape(0.4, 0.2, 1.5).relative_magnitude(CYCLE, "V")) == pytest.approx(0.6, abs=0.01)


def test_a_shape_of_another_engine_fits_the_seam() -> None:
    class Engine:
        def relative_magnitude(self, cycles: np.ndarray, band: str) -> np.ndarray:
            return 0.1 * (1 + np.cos(2 * np.pi * cycles)) * (2 if band == "V" else 1)

    shape: LightCurveShape = Engine()
    assert measure_shape(shape).amplitude == pytest.approx(0.2, abs=1e-3)


def test_waves_without_amplitude_do_not_vary() -> None:
    assert measure_shape(WavesShape((1.0,), (0.0,), (0.3,))).amplitude == 0.0
