"""Single-star tracks: published values, interpolation, and damaged files."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from cbminer.errors import InputFormatError
from cbminer.resources import grid_path
from cbminer.theory.roche_lobe import orbital_period, roche_radius
from cbminer.theory.tracks import SingleStarTracks, shipped_tracks

LMC, SMC, SUN = 0.0047, 0.0021, 0.0142

# SSE by way of COSMIC with zsun = 0.02, Z = 0.0047: mass, radius at the start and at its largest, lifetime in Myr.
# Computed with winds, which take part of the last growth of the most massive stars.
PUBLISHED = [
    (5, 2.19, 6.11, 98.2),
    (8, 2.89, 8.11, 38.60),
    (12, 3.67, 10.6, 19.5),
    (20, 5.00, 15.4, 9.87),
    (30, 6.39, 21.3, 6.58),
]


@pytest.mark.parametrize(("mass", "radius", "largest", "lifetime"), PUBLISHED)
def test_radius_and_lifetime_are_those_of_sse(mass, radius, largest, lifetime):
    tracks = shipped_tracks(LMC)
    assert tracks.radius(mass, 0.0) == pytest.approx(radius, rel=0.003)
    assert tracks.radius(mass, np.linspace(0, 1, 201)).max() == pytest.approx(largest, rel=0.015 if mass < 30 else 0.04)
    assert tracks.lifetime(mass) / 1e6 == pytest.approx(lifetime, rel=0.016)


def test_smc_star_is_that_of_sse():
    tracks = shipped_tracks(SMC)
    assert tracks.radius(8.0, 0.0) == pytest.approx(2.68, rel=0.003)
    assert tracks.luminosity(8.0, 0.0) == pytest.approx(2890, rel=0.005)
    assert tracks.radius(8.0, np.linspace(0, 1, 201)).max() == pytest.approx(7.41, rel=0.01)
    assert tracks.lifetime(8.0) / 1e6 == pytest.approx(38.16, rel=0.002)


def test_zero_age_luminosity_and_temperature():
    tracks = shipped_tracks(LMC)
    assert tracks.luminosity(8.0, 0.0) == pytest.approx(2820, rel=0.005)
    # SSE's own constant makes it 24,878 K; with the IAU's temperature of the Sun it is 0.4 % less.
    assert tracks.effective_temperature(8.0, 0.0) == pytest.approx(24878 * 5772 / 5798, rel=0.002)


def test_metallicity_was_not_rescaled():
    # COSMIC's default of zsun = 0.014 would give 3.00.
    assert abs(shipped_tracks(LMC).radius(8.0, 0.0) - 2.887) < 0.004


def test_evtwin_differs_by_what_the_models_state():
    # EVtwin, 8 solar masses, Z = 0.0047: 2.82, 7.33, 35.9 Myr.
    tracks = shipped_tracks(LMC)
    assert 1.02 < tracks.radius(8.0, 0.0) / 2.82 < 1.03
    assert 1.09 < tracks.radius(8.0, np.linspace(0, 1, 201)).max() / 7.33 < 1.12
    assert 1.06 < tracks.lifetime(8.0) / 35.9e6 < 1.08


# Periods at which twins fill their Roche lobes (SCIENCE 8.1, "LMC-like" radii that are good to 10 %).
LOCUS = [(5, 0.60), (8, 0.71), (10, 0.78), (12.3, 0.83), (15, 0.90), (20, 0.99), (30, 1.16)]


def twin_period(tracks, mass, fraction):
    axis = tracks.radius(mass, fraction) / roche_radius(1.0)
    return orbital_period(axis, 2.0 * mass)


@pytest.mark.parametrize(("mass", "period"), LOCUS)
def test_twin_locus(mass, period):
    """The tabulated radii are those of stars of the LMC a fifth into their main sequence, not at its start."""
    assert twin_period(shipped_tracks(LMC), mass, 0.2) == pytest.approx(period, rel=0.05)
    assert 0.84 < twin_period(shipped_tracks(LMC), mass, 0.0) / period < 0.91
    # What radii good to 10 % are good for, at the start and for any metallicity from the LMC's to the Sun's.
    assert twin_period(shipped_tracks(SUN), mass, 0.0) / period < 1.1**1.5


def test_radius_grows_with_mass_and_with_age_before_the_hook():
    tracks = shipped_tracks(LMC)
    mass = np.geomspace(1.5, 99, 50)
    assert np.all(np.diff(tracks.radius(mass, 0.3)) > 0)
    assert np.all(np.diff(tracks.radius(10.0, np.linspace(0, 0.9, 50))) > 0)


def test_nodes_are_given_back_and_between_them_it_is_a_power_law():
    tracks = shipped_tracks(LMC)
    mass = 10.0**tracks.log_mass
    assert tracks.radius(mass, 0.0) == pytest.approx(10.0 ** tracks.log_radius[:, 0], rel=1e-9)
    between = np.sqrt(mass[40] * mass[41])
    assert tracks.radius(between, 0.0) == pytest.approx(np.sqrt(np.prod(tracks.radius(mass[40:42], 0.0))), rel=1e-9)


@pytest.mark.parametrize(("mass", "fraction"), [(1.0, 0.5), (150.0, 0.5), (10.0, -0.1), (10.0, 1.1), (np.nan, 0.5)])
def test_outside_of_the_tracks_is_unknown(mass, fraction):
    tracks = shipped_tracks(LMC)
    assert np.isnan(tracks.radius(mass, fraction))
    assert np.isnan(tracks.luminosity(mass, fraction))


def test_lifetime_outside_of_the_tracks_is_unknown():
    assert np.isnan(shipped_tracks(LMC).lifetime([1.0, 200.0])).all()


def test_unknown_metallicity_names_those_there_are():
    with pytest.raises(InputFormatError, match=r"Z = 0\.02, but of 0\.0021, 0\.0047, 0\.0142"):
        shipped_tracks(0.02)


@pytest.fixture
def copied(tmp_path):
    source = grid_path("roche-sse/tracks.npz")
    for suffix in (".npz", ".json"):
        shutil.copy(source.with_suffix(suffix), tmp_path / f"tracks{suffix}")
    return tmp_path / "tracks.npz"


def test_a_copy_is_read(copied):
    assert SingleStarTracks.load(copied, LMC).Z == LMC


def test_other_tracks_than_the_description_are_refused(copied):
    about = json.loads(copied.with_suffix(".json").read_text())
    copied.with_suffix(".json").write_text(json.dumps(about | {"sha256": "0" * 64}))
    with pytest.raises(InputFormatError, match="differ from what their JSON file describes"):
        SingleStarTracks.load(copied, LMC)


def test_cut_file_is_refused(copied):
    copied.write_bytes(copied.read_bytes()[:1000])
    with pytest.raises(InputFormatError, match="differ from what their JSON file describes"):
        SingleStarTracks.load(copied, LMC)


def test_file_of_something_else_is_refused(copied):
    copied.write_bytes(b"no archive")
    about = {"sha256": hashlib.sha256(b"no archive").hexdigest()}
    copied.with_suffix(".json").write_text(json.dumps(about))
    with pytest.raises(InputFormatError, match="cannot be read"):
        SingleStarTracks.load(copied, LMC)


def test_missing_description_is_refused(copied):
    copied.with_suffix(".json").unlink()
    with pytest.raises(InputFormatError, match="cannot be read"):
        SingleStarTracks.load(copied, LMC)
