"""The light-curve engine: analytic limits, symmetries, convergence, PHOEBE's curves, refusals."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from cbminer.errors import SettingsError
from cbminer.synthetic.geometry import lobe_filling, potential_in_frame_2, volume_radius
from cbminer.synthetic.limb_darkening import LimbDarkening, LimbDarkeningTable
from cbminer.synthetic.passbands import Passband, TransmissionCurve, standard_passband
from cbminer.synthetic.roche import RocheEngine, half_temperatures
from cbminer.synthetic.systems import BinarySystems

ROOT = Path(__file__).parents[1]
PHASES = np.linspace(0.0, 0.5, 26)
UNIFORM = Passband.blackbody("I", wavelength=0.8, limb_darkening=LimbDarkening("linear", (0.0,)))


def contact(**changes):
    given = {"mass_ratio": 0.7, "inclination": 75.0, "fillout_factor": 0.3, "teff_1": 25000.0, "teff_2": 24000.0}
    return BinarySystems.contact(**(given | changes))


def detached(**changes):
    given = {
        "mass_ratio": 0.7,
        "inclination": 80.0,
        "lobe_filling_1": 0.9,
        "lobe_filling_2": 0.95,
        "teff_1": 25000.0,
        "teff_2": 21000.0,
    }
    return BinarySystems.detached(**(given | changes))


def magnitudes(flux):
    return -2.5 * np.log10(flux / flux.max(axis=-1, keepdims=True))


def spheres(filling_1=0.06, filling_2=0.04, **changes):
    given = {"mass_ratio": 1.0, "inclination": 90.0, "lobe_filling_1": filling_1, "lobe_filling_2": filling_2}
    given |= {"teff_1": 20000.0, "teff_2": 20000.0, "gravity_darkening": 0.0}
    return BinarySystems.detached(**(given | changes))


@pytest.mark.parametrize("coefficient", [0.0, 0.5])
def test_two_small_spheres_give_the_closed_form_of_annular_and_total_eclipses(coefficient):
    band = UNIFORM.darkened_by(LimbDarkening("linear", (coefficient,)))
    systems = spheres()
    engine = RocheEngine(passbands=[band], reflection=False, n_bands=60)
    flux = engine.light_curves(systems, [0.0, 0.5, 0.25])[0, 0]
    r_1, r_2 = volume_radius(systems.potential_1, 1.0)[0], volume_radius(systems.potential_2, 1.0)[0]
    light_1, light_2 = r_1**2, r_2**2
    # The small disc in the middle of the large one; linear limb darkening.
    k = r_2 / r_1
    hidden = quad(lambda b: 2 * b * (1 - coefficient * (1 - np.sqrt(1 - b * b))), 0, k)[0] / (1 - coefficient / 3)
    assert flux[0] == pytest.approx(1 - light_1 * hidden / (light_1 + light_2), abs=1e-3)
    assert flux[1] == pytest.approx(light_1 / (light_1 + light_2), abs=5e-4)


def test_a_partial_eclipse_of_spheres_hides_the_overlap_of_two_circles():
    systems = spheres(0.08, 0.08)
    engine = RocheEngine(passbands=[UNIFORM], reflection=False, n_bands=60)
    phases = np.linspace(0.0, 0.02, 21)
    flux = engine.light_curves(systems, phases)[0, 0]
    r = volume_radius(systems.potential_1, 1.0)[0]
    d = np.sin(2 * np.pi * phases)
    overlap = np.where(d < 2 * r, 2 * np.arccos(np.minimum(d / (2 * r), 1)), 0)
    overlap = (overlap - np.sin(overlap)) / (2 * np.pi)
    assert flux == pytest.approx(1 - overlap, abs=1.5e-3)


@given(
    q=st.floats(0.2, 3.0),
    inclination=st.floats(5.0, 90.0),
    fillings=st.tuples(st.floats(0.3, 1.0), st.floats(0.3, 1.0)),
    ratio=st.floats(0.6, 1.4),
)
@settings(max_examples=25, deadline=None)
def test_swapping_the_stars_shifts_the_curve_by_half_a_period(q, inclination, fillings, ratio):
    engine = RocheEngine(n_bands=12)
    one = detached(
        mass_ratio=q,
        inclination=inclination,
        lobe_filling_1=fillings[0],
        lobe_filling_2=fillings[1],
        teff_2=25000.0 * ratio,
    )
    other = detached(
        mass_ratio=1 / q,
        inclination=inclination,
        lobe_filling_1=fillings[1],
        lobe_filling_2=fillings[0],
        teff_1=25000.0 * ratio,
        teff_2=25000.0,
    )
    assert engine.light_curves(one, PHASES) == pytest.approx(engine.light_curves(other, PHASES + 0.5), abs=1e-10)


@given(q=st.floats(0.2, 1.0), inclination=st.floats(5.0, 90.0), fillout=st.floats(0.02, 0.98))
@settings(max_examples=25, deadline=None)
def test_contact_curves_swap_too_and_are_faintest_at_conjunction(q, inclination, fillout):
    engine = RocheEngine(n_bands=12)
    one = contact(mass_ratio=q, inclination=inclination, fillout_factor=fillout, teff_2=np.nan)
    other = contact(mass_ratio=1 / q, inclination=inclination, fillout_factor=fillout, teff_2=np.nan)
    flux = engine.light_curves(one, PHASES)
    assert flux == pytest.approx(engine.light_curves(other, PHASES + 0.5), abs=1e-9)
    assert (flux > 0).all()
    # Nearly from above, a coarse mesh shows its cells.
    assert flux[0, 0, [0, -1]].max() < flux[0, 0].max() or inclination < 15.0


def test_curves_are_symmetric_and_periodic():
    engine = RocheEngine(n_bands=12)
    phases = np.array([0.03, 0.31, 0.47])
    flux = engine.light_curves(contact(), phases)
    for same in (-phases, phases + 7, 1 - phases):
        assert engine.light_curves(contact(), same) == pytest.approx(flux, rel=1e-12)


def test_systems_do_not_know_of_each_other_nor_of_threads():
    batch = contact(inclination=np.linspace(30, 90, 40), fillout_factor=np.linspace(0.05, 0.95, 40))
    alone = np.concatenate([RocheEngine(n_bands=12, threads=1).light_curves(batch[k], PHASES) for k in range(40)])
    assert np.array_equal(RocheEngine(n_bands=12, threads=3).light_curves(batch, PHASES), alone)


def test_the_flux_converges_with_the_square_of_the_mesh_and_hardly_moves():
    systems = contact(inclination=[50.0, 70.0, 90.0])
    flux = {n: RocheEngine(n_bands=n).light_curves(systems, PHASES, normalised=False) for n in (18, 36, 72, 144)}
    errors = [np.abs(flux[n] / flux[144] - 1).max() for n in (18, 36, 72)]
    assert errors[2] < errors[1] < errors[0] < 0.005
    assert errors[1] < 0.002
    shapes = {n: magnitudes(flux[n]) for n in (18, 36, 144)}
    coarse, usual = (np.abs(shapes[n] - shapes[144]).max() for n in (18, 36))
    assert usual < 0.5 * coarse
    assert usual < 0.002


def test_detached_stars_of_all_sizes_are_smooth_and_converged_at_the_usual_mesh():
    # A star is as large from the side as along the line of centres, where bands of cells follow its limb.
    systems = detached(
        mass_ratio=[0.3, 0.5, 0.8, 1.0, 0.3],
        inclination=[88.0, 82.0, 75.0, 60.0, 85.0],
        lobe_filling_1=[0.9, 0.4, 0.7, 0.3, 0.9],
        lobe_filling_2=[0.3, 0.9, 0.7, 0.25, 0.25],
    )
    phases = np.linspace(0, 0.5, 101)
    shapes = {n: magnitudes(RocheEngine(n_bands=n).light_curves(systems, phases)) for n in (24, 36, 120)}
    for n, limit in ((24, 0.0012), (36, 0.0006)):
        difference = shapes[n] - shapes[120]
        assert (difference - difference.mean(axis=-1, keepdims=True)).std(axis=-1).max() < limit


def test_a_companion_smaller_than_a_cell_hides_what_it_should():
    systems = BinarySystems.detached(
        0.3, 90.0, lobe_filling_1=0.9, lobe_filling_2=0.15, teff_1=20000.0, teff_2=1000.0, gravity_darkening=0.0
    )
    engine = RocheEngine(passbands=[UNIFORM], reflection=False)
    phases = np.linspace(0.0, 0.02, 21)
    # Behind the large star the dark one hides nothing.
    hidden = engine.light_curves(systems, phases + 0.5, normalised=False)[0, 0]
    hidden -= engine.light_curves(systems, phases, normalised=False)[0, 0]
    intensity = np.exp(np.interp(np.log(20000.0), UNIFORM.log_teff, UNIFORM.log_intensity[:, 0]))
    own = potential_in_frame_2(systems.potential_2, systems.mass_ratio)
    disc = np.pi * volume_radius(own, 1 / systems.mass_ratio)[0] ** 2 * intensity
    assert (hidden / disc).mean() == pytest.approx(1.0, abs=0.05)
    assert (hidden / disc).std() < 0.05


def test_contact_curves_do_not_jump_from_phase_to_phase():
    # A correction of the horizon without bounds once ran off where the horizon ends at the neck.
    systems = contact(
        mass_ratio=[0.4, 0.6, 0.8, 0.95, 1.0],
        inclination=[50.0, 58.0, 65.0, 80.0, 89.0],
        fillout_factor=[0.3, 0.1, 0.6, 0.3, 0.05],
    )
    phases = np.arange(0.0, 0.5, 5e-4)
    curves = magnitudes(RocheEngine(n_bands=24).light_curves(systems, phases))
    # What is left after a quadratic through the neighbours is no curve but a step.
    steps = np.abs(np.diff(curves, n=3, axis=-1))
    assert steps.max() < 0.0015


def test_touching_lobes_are_the_same_in_contact_and_detached():
    contact_curve = RocheEngine().light_curves(contact(fillout_factor=1e-5, teff_2=24000.0), PHASES)
    detached_curve = RocheEngine().light_curves(
        detached(inclination=75.0, lobe_filling_1=1.0, lobe_filling_2=1.0, teff_2=24000.0), PHASES
    )
    assert magnitudes(contact_curve) == pytest.approx(magnitudes(detached_curve), abs=1e-3)
    for fillout in (0.0, 1e-12):
        touching = contact(fillout_factor=fillout, teff_2=np.nan)
        assert not touching.is_contact[0]
        assert touching.teff_2[0] == touching.teff_1[0]


def test_one_law_is_that_of_two_halves_with_its_own_means():
    one_law = contact(mass_ratio=0.4, fillout_factor=0.6, teff_2=np.nan)
    first, second = half_temperatures(one_law)[0]
    assert first > 25000.0 > second
    halves = contact(mass_ratio=0.4, fillout_factor=0.6, teff_1=first, teff_2=second)
    curves = [RocheEngine(n_bands=60).light_curves(systems, PHASES) for systems in (one_law, halves)]
    assert curves[0] == pytest.approx(curves[1], abs=1e-9)


def test_a_batch_of_none_has_no_curves():
    none = contact(inclination=[70.0, 80.0])[:0]
    assert RocheEngine(n_bands=12).light_curves(none, PHASES).shape == (0, 2, len(PHASES))


def test_systems_are_looped_over_and_indexed():
    batch = contact(inclination=[70.0, 80.0, 90.0])
    assert [float(system.inclination[0]) for system in batch] == [70.0, 80.0, 90.0]
    assert float(batch[-1].inclination[0]) == 90.0
    assert len(batch[1:]) == 2
    assert len(batch[np.array([True, False, True])]) == 2
    assert float(batch[np.int64(1)].inclination[0]) == 80.0
    for beyond in (3, -4):
        with pytest.raises(IndexError):
            batch[beyond]


def test_light_seen_from_all_sides_is_the_light_that_is_sent_out():
    # The mean over all directions of what a convex star shows is a quarter of its surface.
    systems = spheres(0.5, 0.001, inclination=np.degrees(np.arccos(np.linspace(0.0025, 0.9975, 200))))
    engine = RocheEngine(passbands=[UNIFORM], reflection=False, n_bands=36)
    flux = engine.light_curves(systems, (np.arange(20) + 0.5) / 40, normalised=False).mean()
    intensity = np.exp(np.interp(np.log(20000.0), UNIFORM.log_teff, UNIFORM.log_intensity[:, 0]))
    r = volume_radius(systems.potential_1[:1], 1.0)[0]
    assert flux == pytest.approx(np.pi * r**2 * intensity, rel=2e-3)


def test_the_phoebe_grid_of_depths_and_w_is_reproduced(shared_data):
    entries = json.loads((shared_data / "phoebe_ew_grid_dev.json").read_text())["curves"]
    engine = RocheEngine(passbands=[standard_passband("V")])
    phases = np.arange(100) / 100
    for key, expected in entries.items():
        kind, q, x, inclination = re.match(r"([CD]) q=(\S+) x=(\S+) i=(\S+)", key).groups()
        q, x, inclination = float(q), float(x), float(inclination)
        if kind == "C":
            systems = contact(mass_ratio=q, inclination=inclination, fillout_factor=x, teff_2=25000.0)
        else:
            systems = detached(
                mass_ratio=q,
                inclination=inclination,
                lobe_filling_1=x,
                lobe_filling_2=x,
                teff_2=25000.0 * np.sqrt(q),
            )
        flux = engine.light_curves(systems, phases)[0, 0]
        flux = flux / flux.max()
        cosine = {k: 2 * (flux * np.cos(2 * np.pi * k * phases)).mean() for k in (2, 4)}
        depths = -2.5 * np.log10(flux[[0, 50]])
        assert depths == pytest.approx([expected["d1"], expected["d2"]], abs=0.01), key
        assert cosine[4] - cosine[2] * (0.125 - cosine[2]) == pytest.approx(expected["W"], abs=0.002), key


def test_stored_phoebe_curves_are_reproduced_to_millimagnitudes():
    stored = json.loads((Path(__file__).parent / "data" / "phoebe_curves.json").read_text())["curves"]
    engine = RocheEngine(passbands=[standard_passband("V")])
    for key, curve in stored.items():
        kind, q, x, inclination = key.split()
        systems = (
            contact(mass_ratio=float(q), inclination=float(inclination), fillout_factor=float(x), teff_2=25000.0)
            if kind == "C"
            else detached(
                mass_ratio=float(q),
                inclination=float(inclination),
                lobe_filling_1=float(x),
                lobe_filling_2=float(x),
                teff_2=25000.0 * np.sqrt(float(q)),
            )
        )
        ours = magnitudes(engine.light_curves(systems, np.arange(len(curve)) / len(curve))[0, 0])
        difference = ours - magnitudes(np.array(curve))
        assert (difference - difference.mean()).std() < 0.002, key
        assert np.abs(difference).max() < 0.006, key


def test_one_temperature_law_is_like_equal_temperatures_for_twins_and_not_for_others():
    engine = RocheEngine(n_bands=24)
    one_law = engine.light_curves(contact(mass_ratio=1.0, teff_2=np.nan), PHASES)
    assert one_law == pytest.approx(engine.light_curves(contact(mass_ratio=1.0, teff_2=25000.0), PHASES), abs=1e-12)
    # The smaller star of a contact binary has the lower mean gravity: with one law it is a little cooler.
    unequal = engine.light_curves(contact(mass_ratio=0.5, teff_2=np.nan), [0.0, 0.5])[0, 0]
    equal = engine.light_curves(contact(mass_ratio=0.5, teff_2=25000.0), [0.0, 0.5])[0, 0]
    assert unequal[0] - unequal[1] < equal[0] - equal[1] - 1e-3


def test_gravity_darkening_and_reflection_have_their_signs():
    engine = RocheEngine(n_bands=24, reflection=False)
    amplitude = {
        beta: np.ptp(engine.light_curves(detached(inclination=40.0, gravity_darkening=beta), PHASES)[0, 0])
        for beta in (0.0, 1.0)
    }
    assert amplitude[1.0] > 1.2 * amplitude[0.0]
    hot = {"teff_1": 30000.0, "teff_2": 10000.0, "inclination": 40.0, "lobe_filling_1": 0.6}
    lit = RocheEngine(n_bands=24).light_curves(detached(**hot), [0.0, 0.5])[0, 0]
    dark = RocheEngine(n_bands=24).light_curves(detached(**hot, albedo=0.0), [0.0, 0.5])[0, 0]
    off = engine.light_curves(detached(**hot), [0.0, 0.5])[0, 0]
    assert dark == pytest.approx(off, abs=1e-12)
    # The side of star 2 that faces star 1 is seen around phase 0.5, when it is behind.
    assert lit[1] - lit[0] > off[1] - off[0] + 0.02


def test_third_light_dilutes_band_by_band():
    engine = RocheEngine(n_bands=12)
    free = engine.light_curves(contact(), PHASES)
    blended = engine.light_curves(contact(), PHASES, third_light=[[0.5, 0.2]])
    assert blended[0, 0] == pytest.approx(0.5 * free[0, 0] + 0.5)
    assert blended[0, 1] == pytest.approx(0.8 * free[0, 1] + 0.2)


@pytest.mark.parametrize(
    ("law", "coefficients"), [("linear", (0.4,)), ("square-root", (0.1, 0.4)), ("logarithmic", (0.5, 0.2))]
)
def test_every_law_of_limb_darkening_gives_its_flux(law, coefficients):
    band = UNIFORM.darkened_by(LimbDarkening(law, coefficients))
    engine = RocheEngine(passbands=[band], reflection=False, n_bands=60)
    flux = engine.light_curves(spheres(), [0.25], normalised=False)[0, 0, 0]
    plain = RocheEngine(passbands=[UNIFORM], reflection=False, n_bands=60)
    whole = plain.light_curves(spheres(), [0.25], normalised=False)[0, 0, 0]
    x, y = (*coefficients, 0.0)[:2]
    second = {
        "linear": lambda mu: 0.0,
        "square-root": lambda mu: 1 - np.sqrt(mu),
        "logarithmic": lambda mu: mu * np.log(mu),
    }[law]
    mean = quad(lambda mu: 2 * mu * (1 - x * (1 - mu) - y * second(mu)), 1e-12, 1)[0]
    assert flux / whole == pytest.approx(mean, rel=2e-3)


def test_limb_darkening_by_table_is_that_of_each_star():
    table = LimbDarkeningTable("linear", (10000.0, 20000.0, 30000.0), (0.5, 0.35, 0.2))
    assert table.at(np.array([15000.0, 5000.0, 25000.0]))[:, 0] == pytest.approx([0.425, 0.5, 0.275])
    by_table = RocheEngine(passbands=[UNIFORM.darkened_by(table)], n_bands=12)
    given = RocheEngine(passbands=[UNIFORM.darkened_by(LimbDarkening("linear", (0.2,)))], n_bands=12)
    systems = detached(teff_1=30000.0, teff_2=30000.0)
    assert np.array_equal(by_table.light_curves(systems, PHASES), given.light_curves(systems, PHASES))


def test_a_table_of_intensities_reproduces_the_black_body_it_was_made_of():
    teff = np.geomspace(5000.0, 60000.0, 300)
    band = standard_passband("I")
    intensity = np.exp(np.interp(np.log(teff), band.log_teff, band.log_intensity[:, 0]))
    table = Passband.tabulated("I", teff=teff, log_g=[3.0, 4.5], intensity=np.stack([intensity] * 2, axis=1))
    engine = RocheEngine(passbands=[band, table], n_bands=12)
    flux = engine.light_curves(contact(), PHASES)[0]
    assert flux[0] == pytest.approx(flux[1], abs=2e-5)


def test_a_table_that_depends_on_gravity_takes_the_local_one():
    teff = np.array([5000.0, 60000.0])
    table = Passband.tabulated("I", teff=teff, log_g=[3.0, 5.0], intensity=[[1.0, 100.0], [1.0, 100.0]])
    flat = Passband.tabulated("flat", teff=teff, log_g=4.0, intensity=[[1.0], [1.0]])
    small = spheres(0.06, 0.0001)
    ratio = [
        np.divide(
            *RocheEngine(passbands=[table, flat], n_bands=12, log_g=g).light_curves(small, [0.25], normalised=False)[0]
        )
        for g in (3.0, 4.0, 5.0)
    ]
    assert np.ravel(ratio) == pytest.approx([1.0, 10.0, 100.0], rel=0.02)


def test_semi_detached_stars_fill_their_lobes():
    systems = detached(lobe_filling_2=1.0)
    own = potential_in_frame_2(systems.potential_2, systems.mass_ratio)
    assert lobe_filling(own, 1 / systems.mass_ratio) == pytest.approx(1.0, abs=1e-9)
    assert not systems.is_contact[0]
    assert np.isfinite(RocheEngine(n_bands=24).light_curves(systems, PHASES)).all()


def test_annular_eclipse_of_a_contact_binary_near_l2():
    # A line past the outer tip runs into rising potential: it was once taken for a hit, 0.1 mag too deep.
    systems = contact(mass_ratio=0.4, inclination=80.0, fillout_factor=0.9, teff_2=25000.0)
    coarse, fine = (RocheEngine(n_bands=n).light_curves(systems, [0.0, 0.02])[0, 0] for n in (24, 72))
    assert coarse == pytest.approx(fine, abs=0.004)


@pytest.mark.parametrize(
    ("make", "changes", "name"),
    [
        (contact, {"inclination": 90.5}, "inclination"),
        (contact, {"inclination": -1.0}, "inclination"),
        (contact, {"mass_ratio": 0.0}, "mass_ratio"),
        (contact, {"mass_ratio": -0.4}, "mass_ratio"),
        (contact, {"fillout_factor": 1.2}, "fillout_factor"),
        (contact, {"teff_1": np.nan}, "teff_1"),
        (contact, {"teff_2": 10.0}, "teff_2"),
        (contact, {"albedo": 1.5}, "albedo_1"),
        (contact, {"gravity_darkening": -0.1}, "gravity_darkening_1"),
        (detached, {"lobe_filling_1": 1.01}, "lobe_filling_1"),
        (detached, {"lobe_filling_2": 0.0}, "lobe_filling_2"),
        (detached, {"mass_ratio": np.nan}, "mass_ratio"),
        (detached, {"mass_ratio": 1e-300}, "mass_ratio"),
        (detached, {"teff_2": np.nan}, "teff_2"),
        (detached, {"inclination": np.inf}, "inclination"),
    ],
)
def test_unphysical_systems_are_refused_by_name_and_range(make, changes, name):
    with pytest.raises(SettingsError, match=rf"^{name}: .*(between|finite number)"):
        make(**changes)


def test_potentials_beyond_l2_or_of_one_star_beyond_its_lobe_are_refused():
    given = {"mass_ratio": 1.0, "inclination": 80.0, "teff_1": 2e4, "teff_2": 2e4}
    given |= {"gravity_darkening_1": 1, "gravity_darkening_2": 1, "albedo_1": 1, "albedo_2": 1}
    with pytest.raises(SettingsError, match=r"potential_1: 3 for system 0.*L2"):
        BinarySystems(**given, potential_1=3.0, potential_2=3.0)
    with pytest.raises(SettingsError, match=r"potential_2: 3\.7 for system 0.*L1"):
        BinarySystems(**given, potential_1=4.0, potential_2=3.7)
    assert BinarySystems(**given, potential_1=3.5, potential_2=3.5).is_contact.all()


def test_batches_of_different_lengths_are_refused():
    with pytest.raises(SettingsError, match="different lengths"):
        contact(inclination=[70.0, 80.0], teff_1=[2e4, 2e4, 2e4])
    with pytest.raises(SettingsError, match=r"different lengths: mass_ratio \(2,\), lobe_filling_1 \(3,\)"):
        detached(mass_ratio=[0.5, 0.6], lobe_filling_1=[0.9] * 3)
    with pytest.raises(SettingsError, match=r"one-dimensional"):
        contact(inclination=[[70.0]])


def test_stars_outside_of_a_table_of_intensities_are_refused():
    table = Passband.tabulated("I", teff=[1e4, 2e4], log_g=4.0, intensity=[[1.0], [2.0]])
    with pytest.raises(SettingsError, match=r"teff_1: 25000 K for system 0; the table of passband I"):
        RocheEngine(passbands=[table]).light_curves(contact(), PHASES)


def test_each_system_has_its_gravity():
    table = Passband.tabulated("I", teff=[5e3, 6e4], log_g=[3.0, 5.0], intensity=[[1.0, 100.0], [1.0, 100.0]])
    flux = RocheEngine(passbands=[table], n_bands=12, log_g=[3.5, 4.5]).light_curves(
        spheres(0.06, 0.001, inclination=[90.0, 90.0]), [0.25], normalised=False
    )
    assert flux[1, 0, 0] / flux[0, 0, 0] == pytest.approx(10.0, rel=0.02)
    with pytest.raises(SettingsError, match="log_g"):
        RocheEngine(n_bands=12, log_g=[4.0, 4.0]).light_curves(contact(), PHASES)


@pytest.mark.parametrize("phases", [[], [np.nan], [[0.0]]])
def test_phases_that_are_none_are_refused(phases):
    with pytest.raises(SettingsError, match="phases"):
        RocheEngine(n_bands=12).light_curves(contact(), phases)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"n_bands": 35}, "n_bands"),
        ({"n_bands": 3}, "n_bands"),
        ({"threads": 0}, "threads"),
        ({"passbands": []}, "passb"),
    ],
)
def test_engines_that_cannot_be_are_refused(changes, name):
    with pytest.raises(SettingsError, match=name):
        RocheEngine(**changes)


@pytest.mark.parametrize("share", [-0.1, 1.0, np.nan, [0.1, 0.2], [[0.1, 0.2, 0.3]], [[[0.1]]]])
def test_impossible_third_light_is_refused(share):
    with pytest.raises(SettingsError, match="third_light"):
        RocheEngine(n_bands=12).light_curves(contact(), PHASES, third_light=share)


@pytest.mark.parametrize(
    ("law", "coefficients"),
    [
        ("cubic", (0.1,)),
        ("linear", (0.1, 0.2)),
        ("linear", (1.5,)),
        ("linear", (-1.5,)),
        ("linear", (np.nan,)),
        ("square-root", ()),
    ],
)
def test_impossible_limb_darkening_is_refused(law, coefficients):
    with pytest.raises(SettingsError, match="limb darkening"):
        LimbDarkening(law, coefficients)


def test_impossible_tables_are_refused():
    for table in (
        {"teff": (2.0, 1.0), "x": (0.1, 0.2)},
        {"teff": (1.0,), "x": (0.1, 0.2)},
        {"teff": (1.0,), "x": (2.0,)},
    ):
        with pytest.raises(SettingsError, match="limb-darkening table"):
            LimbDarkeningTable("linear", **table)
    good = {"teff": [1e4, 2e4], "log_g": [3.0, 4.0], "intensity": [[1.0, 1.0], [2.0, 2.0]]}
    for change in ({"teff": [2e4, 1e4]}, {"intensity": [[1.0, 1.0]]}, {"intensity": [[1.0, 0.0], [2.0, 2.0]]}):
        with pytest.raises(SettingsError, match=r"intensit|increase"):
            Passband.tabulated("I", **(good | change))
    with pytest.raises(SettingsError, match="wavelength"):
        Passband.blackbody("I", wavelength=-1.0)
    with pytest.raises(SettingsError, match="micrometres"):
        TransmissionCurve((700.0, 800.0), (1.0, 1.0))
    for curve in (((0.8, 0.7), (1.0, 1.0)), ((0.7, 0.8), (0.0, 0.0)), ((0.7, 0.8), (1.0,))):
        with pytest.raises(SettingsError, match="transmission"):
            TransmissionCurve(*curve)
    with pytest.raises(SettingsError, match="'R'"):
        standard_passband("R")


def test_compiled_kernels_do_not_outlive_a_change_of_another_file(tmp_path):
    # numba alone would go on with the old arithmetic: the engine is changed in one file and run from another.
    shutil.copytree(ROOT / "cbminer", tmp_path / "cbminer", ignore=shutil.ignore_patterns("__pycache__"))
    script = (
        "import sys; sys.path.insert(0, '.')\nimport cbminer.synthetic.geometry as g\nprint(float(g.lobe_radius(1.0)))"
    )

    def radius():
        run = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True, text=True)
        return float(run.stdout)

    before = radius()
    source = tmp_path / "cbminer" / "synthetic" / "equipotential.py"
    text = source.read_text()
    assert "volume += area * r**3 / 3.0" in text
    source.write_text(text.replace("volume += area * r**3 / 3.0", "volume += 8.0 * area * r**3 / 3.0"))
    assert radius() == pytest.approx(2.0 * before)
