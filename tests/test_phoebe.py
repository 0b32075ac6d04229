import functools
import importlib.util
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from cbminer.errors import SettingsError
from cbminer.synthetic import phoebe_bundle, phoebe_passbands
from cbminer.synthetic.geometry import volume_radius
from cbminer.synthetic.limb_darkening import LimbDarkening, LimbDarkeningTable
from cbminer.synthetic.passbands import BESSELL, Passband
from cbminer.synthetic.phoebe import phoebe_intensities, phoebe_light_curves, phoebe_passband
from cbminer.synthetic.phoebe_passbands import cousins_i_file, install_passband, load_phoebe
from cbminer.synthetic.phoebe_workers import run_apart
from cbminer.synthetic.roche import RocheEngine
from cbminer.synthetic.systems import BinarySystems

needs_phoebe = pytest.mark.skipif(
    importlib.util.find_spec("phoebe") is None, reason='PHOEBE is not installed: pip install "cbminer[phoebe]"'
)

PHASES = np.linspace(0.0, 0.5, 11)
# A neck as narrow as this one is beyond PHOEBE's mesh whatever the number of triangles.
TOO_NARROW = 0.02


def contact(**changes):
    given = {"mass_ratio": 1.0, "inclination": 70.0, "fillout_factor": 0.5, "teff_1": 25000.0, "teff_2": 25000.0}
    return BinarySystems.contact(**(given | changes))


def detached(**changes):
    given = {"mass_ratio": 1.0, "inclination": 70.0, "lobe_filling_1": 0.95, "lobe_filling_2": 0.95}
    return BinarySystems.detached(**(given | {"teff_1": 25000.0, "teff_2": 25000.0} | changes))


def magnitudes(flux):
    return -2.5 * np.log10(flux / flux.max(axis=-1, keepdims=True))


# Without PHOEBE


def test_without_phoebe_the_module_imports_and_a_call_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "phoebe", None)
    with pytest.raises(SettingsError, match=r'pip install "cbminer\[phoebe\]"'):
        phoebe_light_curves(contact(), PHASES)
    with pytest.raises(SettingsError, match=r'pip install "cbminer\[phoebe\]"'):
        phoebe_intensities("V", 20000.0, 4.0)


def test_importing_the_module_does_not_import_phoebe():
    script = "import sys, cbminer.synthetic.phoebe; sys.exit('phoebe' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_phoebe_that_cannot_be_imported_or_is_old_is_said(monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, "phoebe", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    broken = tmp_path / "phoebe.py"
    broken.write_text("raise RuntimeError('failed to load passband at x')\n")
    with pytest.raises(SettingsError, match=r"cannot be imported.*passband at x"):
        load_phoebe()
    broken.write_text("__version__ = '2.4.17'\n")
    importlib.invalidate_caches()
    with pytest.raises(SettingsError, match=r"2\.4\.17 is too old"):
        load_phoebe()
    sys.modules.pop("phoebe", None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bands": ("B",)}, "bands: 'B'; it must be I or V"),
        ({"bands": ()}, "one band or more"),
        ({"bands": ("V", "V")}, "each once"),
        ({"atmosphere": "ck2004"}, "blackbody or kurucz"),
        ({"n_triangles": 99}, "n_triangles: 99; it must be a whole number of 100 or more"),
        ({"attempts": 0}, "attempts: 0"),
        ({"jobs": 1.5}, "jobs: 1.5"),
        ({"abundance": 2.0}, "abundance: 2; it must lie between -5 and 1"),
        ({"semi_major_axis_rsun": 0.0}, "semi_major_axis_rsun: .*above 0"),
        ({"period_days": [1.0, 2.0]}, "one for each of the 1 systems"),
        ({"limb_darkening": {"V": LimbDarkening()}}, "nothing for band I"),
        ({"phases": []}, "phases: .*one or more finite"),
        ({"phases": [0.0, np.nan]}, "phases: .*one or more finite"),
        ({"systems": contact(teff_1=60000.0), "atmosphere": "kurucz"}, "teff_1: 60000 K .*between 3500 and 50000"),
        ({"systems": replace(contact(teff_2=np.nan), gravity_darkening_2=[0.3])}, "teff_2: none .* give it"),
    ],
)
def test_wrong_arguments_are_refused(changes, message):
    given = {"systems": contact(), "phases": PHASES} | changes
    with pytest.raises(SettingsError, match=message):
        phoebe_light_curves(given.pop("systems"), given.pop("phases"), **given)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("R", 20000.0, 4.0), "band: 'R'"),
        (("V", 60000.0, 4.0), "teff for kurucz: 60000"),
        (("V", [20000.0, np.nan], 4.0), "teff for kurucz: nan"),
        (("V", 20000.0, 5.5), "log_g: 5.5; it must lie between 0 and 5"),
    ],
)
def test_intensities_outside_of_the_tables_are_refused(arguments, message):
    with pytest.raises(SettingsError, match=message):
        phoebe_intensities(*arguments, atmosphere="kurucz")


def test_a_process_that_dies_takes_nothing_else_along():
    dies = "__import__('os')._exit(1)"
    assert run_apart(eval, ["1", "2", dies, "4", "5"], jobs=2) == [1, 2, None, 4, 5]


def test_an_interruption_passes_from_a_process():
    with pytest.raises(KeyboardInterrupt):
        run_apart(exec, ["raise KeyboardInterrupt"] * 3, jobs=2)


def test_a_script_that_starts_processes_while_it_is_imported_is_told(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("from cbminer.synthetic.phoebe_workers import run_apart\nrun_apart(eval, ['1', '2'], jobs=2)\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "SettingsError: no further process can be started: use jobs=1" in done.stderr


class _PhoebeWith:
    """What `install_passband` asks PHOEBE, without PHOEBE."""

    __version__ = "2.5"

    def __init__(self, **passbands):
        self._passbands = passbands

    def list_installed_passbands(self, *, full_dict):
        return {name.replace("_", ":"): {"atms": atms, "fname": "x.fits"} for name, atms in self._passbands.items()}


def test_a_passband_of_the_user_serves_only_with_the_atmosphere(monkeypatch):
    theirs = _PhoebeWith(Cousins_I=["blackbody", "ck2004"], Johnson_V=["ck2004"])
    monkeypatch.setattr(phoebe_passbands, "load_phoebe", lambda: theirs)
    assert install_passband("I") == "Cousins:I"
    with pytest.raises(SettingsError, match=r"takes Johnson:V from x\.fits, which has no extern_atmx"):
        install_passband("V", atmosphere="kurucz")
    monkeypatch.setattr(phoebe_passbands, "cousins_i_file", lambda folder: pytest.fail("made"))
    with pytest.raises(pytest.fail.Exception, match="made"):
        install_passband("I", atmosphere="kurucz")


# With PHOEBE


@pytest.fixture(scope="module")
def curves():
    """One contact and one detached pair of equal stars, at phases in no order."""
    pairs = [contact(), detached()]
    phases = np.concatenate([PHASES[::-1], [1.0, -0.25]])
    return [phoebe_light_curves(pair, phases, n_triangles=1000) for pair in pairs]


@needs_phoebe
def test_depths_are_those_of_the_published_grid(curves):
    # SCIENCE.md 8.4, PHOEBE 2.5.4 with more triangles, band V.
    for result, depth in zip(curves, (0.493, 0.354), strict=True):
        assert result.failures == ()
        assert result.flux.shape == (1, 2, 13)
        fainter = magnitudes(result.flux)[0]
        assert fainter[1, 10] == pytest.approx(depth, abs=0.02)
        assert fainter[0, 10] == pytest.approx(depth, abs=0.02)


@needs_phoebe
def test_equal_stars_have_equal_minima_and_phases_keep_their_order(curves):
    for result in curves:
        fainter = magnitudes(result.flux)[0]
        np.testing.assert_allclose(fainter[:, 0], fainter[:, 10], atol=0.003)
        np.testing.assert_allclose(fainter[:, 11], fainter[:, 10], atol=0.003)
        np.testing.assert_allclose(fainter[:, 12], fainter[:, 5], atol=0.003)
        assert (np.diff(fainter[:, 5:11]) > 0).all()
        assert np.isfinite(result.seconds).all()


@needs_phoebe
def test_one_law_over_two_equal_halves_is_the_same_as_equal_temperatures(curves):
    one_law = phoebe_light_curves(contact(teff_2=np.nan), PHASES, n_triangles=1000)
    np.testing.assert_allclose(one_law.flux, curves[0].flux[:, :, 10::-1], rtol=1e-12)


@needs_phoebe
def test_the_same_pair_seen_with_the_stars_exchanged():
    """Masses, radii, temperatures and limb darkening each belong to the right star."""
    table = LimbDarkeningTable("square-root", (15000.0, 30000.0), (0.1, 0.3), (0.4, 0.2))
    darkening = {"V": table, "I": LimbDarkening("logarithmic", (0.4, 0.2))}
    one = detached(mass_ratio=0.5, lobe_filling_1=0.9, lobe_filling_2=0.7, teff_2=18000.0)
    two = detached(mass_ratio=2.0, lobe_filling_1=0.7, lobe_filling_2=0.9, teff_1=18000.0)
    first = phoebe_light_curves(one, PHASES, n_triangles=500, limb_darkening=darkening)
    second = phoebe_light_curves(two, PHASES + 0.5, n_triangles=500, limb_darkening=darkening)
    np.testing.assert_allclose(magnitudes(first.flux), magnitudes(second.flux), atol=0.006)
    assert magnitudes(first.flux)[0, :, 0].min() > magnitudes(first.flux)[0, :, -1].max() + 0.05


@needs_phoebe
def test_processes_change_nothing_and_failures_are_told():
    systems = contact(fillout_factor=[0.5, 0.001, 0.3], inclination=[70.0, 70.0, 60.0])
    choices = {"bands": ("I",), "n_triangles": 500, "atmosphere": "kurucz", "irradiation": False}
    alone, together = (phoebe_light_curves(systems, PHASES[::2], jobs=jobs, **choices) for jobs in (1, 2))
    np.testing.assert_array_equal(alone.flux, together.flux)
    assert alone.failures == together.failures
    (failure,) = alone.failures
    # Of a system that PHOEBE's checks refuse, no other mesh is tried.
    assert (failure.index, failure.attempts) == (1, 1)
    assert "too close to requiv_min" in failure.reason
    assert np.isfinite(alone.flux[[0, 2]]).all()
    assert np.isnan(alone.flux[1]).all()
    # What a failure leaves behind does not reach the next system.
    last = phoebe_light_curves(systems[2], PHASES[::2], **choices)
    np.testing.assert_array_equal(last.flux[0], alone.flux[2])


@needs_phoebe
def test_nothing_is_written_when_meshes_fail(capfd, caplog):
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - the one that PHOEBE uses
    environment = dict(os.environ)
    result = phoebe_light_curves(contact(fillout_factor=TOO_NARROW), PHASES[:2], n_triangles=500, attempts=2)
    (failure,) = result.failures
    assert failure.attempts == 2
    assert failure.reason.startswith("TypeError: ")
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
    assert dict(os.environ) == environment
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@needs_phoebe
def test_a_failed_mesh_is_tried_again_with_other_triangles(monkeypatch):
    real, seen = phoebe_bundle._compute, []

    def failing_twice(bundle):
        seen.append(bundle.get_value(qualifier="ntriangles", component="contact_envelope"))
        if len(seen) < 3:
            msg = "Projections are failing!"
            raise TypeError(msg)
        real(bundle)

    monkeypatch.setattr(phoebe_bundle, "_compute", failing_twice)
    result = phoebe_light_curves(contact(), PHASES[:2], bands=("V",), n_triangles=300)
    assert seen == [300, 309, 318]
    assert result.failures == ()
    assert np.isfinite(result.flux).all()

    def failing(bundle):
        msg = "returned a result with an exception set"
        raise SystemError(msg) from RuntimeError("slow\nconvergence")

    monkeypatch.setattr(phoebe_bundle, "_compute", failing)
    result = phoebe_light_curves(contact(), PHASES[:2], bands=("V",), attempts=3)
    (failure,) = result.failures
    assert (failure.index, failure.attempts, failure.reason) == (0, 3, "RuntimeError: slow convergence")
    assert np.isnan(result.flux).all()

    def interrupt(bundle):
        raise KeyboardInterrupt

    monkeypatch.setattr(phoebe_bundle, "_compute", interrupt)
    with pytest.raises(KeyboardInterrupt):
        phoebe_light_curves(contact(), PHASES[:2], bands=("V",))


_OFFLINE = """
import os, socket, sys
import numpy as np
from cbminer.synthetic.phoebe import phoebe_light_curves
from cbminer.synthetic.systems import BinarySystems

class Offline(socket.socket):
    # Sockets as such may be made: urllib3 makes one to see whether there is IPv6.
    def connect(self, *args):
        os.write(1, b"a connection was tried")
        os._exit(3)

    connect_ex = sendto = connect

socket.socket = Offline
socket.create_connection = socket.getaddrinfo = Offline.connect
before = dict(os.environ)
pair = BinarySystems.detached(
    0.6, 75.0, lobe_filling_1=1.0, lobe_filling_2=0.8, teff_1=3e4, teff_2=2e4, gravity_darkening=0.5
)
result = phoebe_light_curves(pair, np.linspace(0.0, 0.5, 3), n_triangles=300)
assert result.failures == () and np.isfinite(result.flux).all(), result.failures
assert dict(os.environ) == before
"""


@needs_phoebe
def test_a_fresh_phoebe_connects_to_nothing_and_says_nothing(tmp_path):
    environment = os.environ | {"HOME": str(tmp_path), "CBMINER_CACHE": str(tmp_path / "cache")}
    environment = {name: text for name, text in environment.items() if not name.startswith("PHOEBE_")}
    run = functools.partial(subprocess.run, capture_output=True, text=True, check=False)
    done = run([sys.executable, "-W", "error", "-c", _OFFLINE], env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [path.name for path in (tmp_path / "cache").rglob("*.fits")] == ["cousins_i.fits"]
    assert not list((tmp_path / ".phoebe").rglob("*.fits"))


@needs_phoebe
def test_the_passband_is_made_once_and_mended(tmp_path, capfd):
    path = cousins_i_file(tmp_path / "new" / "folder")
    made = path.stat()
    assert cousins_i_file(path.parent).stat().st_mtime_ns == made.st_mtime_ns
    for damage in (b"", b"no FITS file", path.read_bytes()[:20000]):
        path.write_bytes(damage)
        assert cousins_i_file(path.parent).stat().st_size == made.st_size
    assert [kept.name for kept in path.parent.iterdir()] == ["cousins_i.fits"]
    assert capfd.readouterr() == ("", "")


@needs_phoebe
def test_a_cache_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="set CBMINER_CACHE"):
        cousins_i_file(tmp_path / "file" / "phoebe")


@needs_phoebe
def test_intensities_of_black_bodies_are_those_of_our_own_passband():
    teff = np.array([6000.0, 10000.0, 20000.0, 50000.0])
    own = Passband.blackbody_through("I", BESSELL["I"])
    expected = np.exp(np.interp(np.log(teff), own.log_teff, own.log_intensity[:, 0]))
    ratio = phoebe_intensities("I", teff, 4.0) / expected
    np.testing.assert_allclose(ratio / ratio[0], 1.0, atol=1e-3)


@needs_phoebe
def test_hotter_kurucz_atmospheres_are_bluer():
    teff, log_g = np.array([6000.0, 8000.0, 12000.0, 20000.0, 30000.0]), np.array([[3.5], [4.0], [4.5]])
    intensity = {band: phoebe_intensities(band, teff, log_g, atmosphere="kurucz") for band in ("V", "I")}
    colour = -2.5 * np.log10(intensity["V"] / intensity["I"])
    assert colour.shape == (3, 5)
    assert (np.diff(colour, axis=1) < 0).all()
    # Between the Sun and a B0 star (V-I)_0 goes from 0.64 to -0.35 (SCIENCE.md 8.2).
    np.testing.assert_allclose(colour[1, 0] - colour[1, -1], 0.95, atol=0.1)
    hot = phoebe_intensities("V", [6000.0, 50000.0], [[0.0], [5.0]], atmosphere="kurucz")
    assert (np.isfinite(hot) & (hot > 0)).all()
    poor = phoebe_intensities("V", 6000.0, 4.0, atmosphere="kurucz", abundance=-2.0)
    assert 0.7 < poor / intensity["V"][1, 0] < 0.95


# PHOEBE as the judge of our own engine; at full length in benchmarks/roche_vs_phoebe.py


@needs_phoebe
@pytest.mark.parametrize(
    ("systems", "atmosphere"),
    [
        (contact(mass_ratio=0.6, fillout_factor=0.4, teff_2=23000.0, inclination=78.0), "kurucz"),
        (detached(mass_ratio=0.8, lobe_filling_1=0.9, teff_2=21000.0, inclination=80.0), "kurucz"),
        (detached(mass_ratio=0.5, lobe_filling_2=1.0, teff_2=14000.0, inclination=82.0), "blackbody"),
    ],
)
def test_our_engine_makes_the_same_curves_of_the_same_intensities(systems, atmosphere):
    laws = {"I": LimbDarkening("square-root", (0.05, 0.35)), "V": LimbDarkening("logarithmic", (0.45, 0.2))}
    passbands = [phoebe_passband(band, atmosphere=atmosphere, limb_darkening=law) for band, law in laws.items()]
    # The mean gravity of star 1, from Kepler's law and the potential.
    mass = 0.0134182 * 8.0**3 / 0.7**2 / (1.0 + systems.mass_ratio[0])
    radius = volume_radius(systems.potential_1[0], systems.mass_ratio[0]) * 8.0
    log_g = 4.438 + np.log10(mass / radius**2)
    ours = RocheEngine(passbands=passbands, log_g=log_g).light_curves(systems, PHASES)
    theirs = phoebe_light_curves(systems, PHASES, atmosphere=atmosphere, limb_darkening=laws, n_triangles=2000)
    assert not theirs.failures
    difference = magnitudes(ours) - magnitudes(theirs.flux)
    assert np.abs(difference).max() < 0.005
    assert (difference - difference.mean(axis=-1, keepdims=True)).std() < 0.002
