"""PHOEBE, loaded without network and without noise, and the passbands in which it computes light curves."""

import importlib
import importlib.util
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import platformdirs

from cbminer.columns import FloatArray
from cbminer.errors import SettingsError
from cbminer.synthetic.passbands import BESSELL

__all__ = [
    "ABUNDANCE_RANGE",
    "ATMOSPHERES",
    "BANDS",
    "TEFF_RANGE",
    "Atmosphere",
    "check_choice",
    "check_range",
    "cousins_i_file",
    "install_passband",
    "load_phoebe",
    "phoebe_intensities",
    "phoebe_is_installed",
    "quietly",
]

Atmosphere = Literal["blackbody", "kurucz"]

BANDS = ("I", "V")
# PHOEBE's names; its extern_atmx are the Kurucz atmospheres of the Wilson-Devinney code.
ATMOSPHERES = {"blackbody": "blackbody", "kurucz": "extern_atmx"}

_V, _COUSINS_I = "Johnson:V", "Cousins:I"
# A set of our own: an installed Cousins:I that lacks an atmosphere stays what it is.
_OWN_SET, _OWN_NAME = "cbminer-Cousins", "I"
_REFERENCE = "Bessell (1990, PASP 102, 1181)"
# Number of I in the list of bands of PHOEBE's table tables/wd/atmcof.dat.
_WD_INDEX = 16

_ANGSTROM = 1e4  # in a micrometre
TEFF_RANGE = {"blackbody": (317.0, 500_000.0), "kurucz": (3500.0, 50_000.0)}
_LOG_G_RANGE = (0.0, 5.0)
ABUNDANCE_RANGE = (-5.0, 1.0)

# What PHOEBE is to do where the user says nothing: no server, no windows, no processes of its own.
_ENVIRONMENT = {
    "PHOEBE_ENABLE_ONLINE_PASSBANDS": "FALSE",
    "PHOEBE_ENABLE_PLOTTING": "FALSE",
    "PHOEBE_ENABLE_SYMPY": "FALSE",
    "PHOEBE_ENABLE_MPI": "FALSE",
    "PHOEBE_MULTIPROC_NPROCS": "0",
}
_LOGGERS = (
    *("BACKENDS", "BUILTIN", "BUNDLE", "CONSTRAINT", "DATASET", "DATASET_FEATURES", "DYNAMICS", "DYNAMICS.KEPLERIAN"),
    *("ECLIPSE", "FEATURE", "FEATURES", "HORIZON_ANALYTIC", "IO", "MESH", "MESH_WD", "PARAMETERS", "PASSBANDS"),
    *("PHOEBE", "ROCHE", "SOLVER", "UNIVERSE", "UTILS", "phoebe", "phoebe.pool"),
)


def phoebe_is_installed() -> bool:
    """Tell whether PHOEBE can be imported, without importing it.

    Returns
    -------
    bool
        True if it is there.
    """
    return importlib.util.find_spec("phoebe") is not None


def load_phoebe() -> Any:
    """Import PHOEBE, the first time with settings that keep it off the network.

    Returns
    -------
    module
        The package ``phoebe``.

    Raises
    ------
    SettingsError
        If it is not installed, is older than 2.5, or cannot be imported.

    Notes
    -----
    PHOEBE makes the folder ``~/.phoebe`` when it is imported. Whoever wants its plots in the same process
    imports it before, or sets PHOEBE_ENABLE_PLOTTING=TRUE.
    """
    try:
        with quietly():
            phoebe = importlib.import_module("phoebe")
    except (ImportError, OSError, RuntimeError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "phoebe":
            msg = 'PHOEBE is not installed: pip install "cbminer[phoebe]"'
        else:
            msg = f"PHOEBE is installed but cannot be imported ({error}): mend it until python -c 'import phoebe' works"
        raise SettingsError(msg) from error
    version = str(getattr(phoebe, "__version__", "unknown"))
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < (2, 5):
        msg = f'PHOEBE {version} is too old, 2.5 is needed: pip install --upgrade "cbminer[phoebe]"'
        raise SettingsError(msg)
    return phoebe


@contextmanager
def quietly() -> Iterator[None]:
    """Keep PHOEBE off the network, and its words, warnings and random numbers from everyone else.

    The environment, the loggers, the warning filters, standard error and numpy's global random state are as
    before afterwards. Variables that the user has set stay.
    """
    missing = [name for name in _ENVIRONMENT if name not in os.environ]
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    propagate = [logger.propagate for logger in loggers]
    random_state = np.random.get_state()  # noqa: NPY002 - the one that PHOEBE uses
    try:
        # PHOEBE reads the variables when it is imported, and the first one again at every look for a passband.
        os.environ.update({name: _ENVIRONMENT[name] for name in missing})
        for logger in loggers:
            logger.propagate = False
        # A mesh that does not converge starts again from a random angle: every computation has the same ones.
        np.random.seed(0)  # noqa: NPY002 - the one that PHOEBE uses
        with warnings.catch_warnings(), _without_stderr():
            warnings.simplefilter("ignore")
            yield
    finally:
        np.random.set_state(random_state)  # noqa: NPY002 - the one that PHOEBE uses
        for logger, kept in zip(loggers, propagate, strict=True):
            logger.propagate = kept
        for name in missing:
            os.environ.pop(name, None)


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Drop what is written to standard error: PHOEBE's C++ tells there of meshes that fail, past sys.stderr."""
    try:
        kept = os.dup(2)
    except OSError:
        # Without a standard error, as in a service, there is nothing to drop.
        yield
        return
    try:
        _flush_stderr()
        with Path(os.devnull).open("wb") as sink:
            os.dup2(sink.fileno(), 2)
        yield
    finally:
        _flush_stderr()
        os.dup2(kept, 2)
        os.close(kept)


def _flush_stderr() -> None:
    if sys.stderr is not None:
        sys.stderr.flush()


def install_passband(band: str, *, atmosphere: Atmosphere = "blackbody") -> str:
    """Make sure that PHOEBE knows a band with an atmosphere.

    Parameters
    ----------
    band : {"I", "V"}
        Cousins I or Johnson V.
    atmosphere : {"blackbody", "kurucz"}, optional
        What the stars shine like.

    Returns
    -------
    str
        PHOEBE's name for it. V comes with PHOEBE. For I it is the Cousins:I that the user has installed if
        that one has the atmosphere, and otherwise one made from the curve of Bessell (1990), which is kept
        in the folder ``phoebe`` of the cache.

    Raises
    ------
    SettingsError
        If PHOEBE is missing, the band or the atmosphere unknown, or the cache cannot be written.
    """
    check_choice("band", band, BANDS)
    check_choice("atmosphere", atmosphere, tuple(ATMOSPHERES))
    phoebe = load_phoebe()
    installed = phoebe.list_installed_passbands(full_dict=True)
    table = ATMOSPHERES[atmosphere]
    own = f"{_OWN_SET}:{_OWN_NAME}"
    for name in (_V,) if band == "V" else (_COUSINS_I, own):
        if table in installed.get(name, {}).get("atms", ()):
            return name
    if band == "V":
        place = installed.get(_V, {}).get("fname", "no file at all")
        msg = f"PHOEBE takes {_V} from {place}, which has no {table}: remove that file, or reinstall PHOEBE"
        raise SettingsError(msg)
    path = cousins_i_file(_passband_folder() / phoebe.__version__)
    with quietly():
        # The public way, install_passband, would copy the file into the user's ~/.phoebe.
        importlib.import_module("phoebe.atmospheres.passbands")._init_passband(str(path))  # noqa: SLF001
        phoebe.get_passband(own)
    return own


def _passband_folder() -> Path:
    given = os.environ.get("CBMINER_CACHE")
    return (Path(given) if given else platformdirs.user_cache_path("cbminer")) / "phoebe"


def cousins_i_file(folder: Path) -> Path:
    """Find the file of the passband Cousins I, or make it.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Where it is kept.

    Returns
    -------
    `~pathlib.Path`
        The file, with black bodies and Kurucz atmospheres; one that cannot be read is made again.

    Raises
    ------
    SettingsError
        If PHOEBE is missing or the folder cannot be written.
    """
    phoebe = load_phoebe()
    try:
        path = folder.expanduser() / "cousins_i.fits"
        with quietly():
            if not _is_sound(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                # Moved into place when it is whole: other processes may be looking for it.
                with tempfile.TemporaryDirectory(prefix=".making-", dir=path.parent) as holder:
                    made = Path(holder) / path.name
                    _cousins_i(phoebe).save(str(made))
                    made.replace(path)
    except (OSError, RuntimeError) as error:
        msg = (
            f"PHOEBE's passband cannot be kept in {folder} ({error}): set CBMINER_CACHE to a folder that can be written"
        )
        raise SettingsError(msg) from error
    return path


def _is_sound(path: Path) -> bool:
    passbands = importlib.import_module("phoebe.atmospheres.passbands")
    try:
        band = passbands.Passband.load(str(path))
    except Exception:  # noqa: BLE001 - damaged files fail in many ways, and each means that a new one is due
        return False
    wanted = {f"{table}:Inorm" for table in ATMOSPHERES.values()}
    return bool(band.reference == _REFERENCE and wanted <= set(band.content))


def _cousins_i(phoebe: Any) -> Any:
    """Make the passband: energies through the curve of Bessell (1990), and the Kurucz atmospheres of I."""
    passbands = importlib.import_module("phoebe.atmospheres.passbands")
    models = importlib.import_module("phoebe.atmospheres.models")
    curve = np.array([BESSELL["I"].wavelength, BESSELL["I"].transmission]).T * (_ANGSTROM, 1.0)
    band = passbands.Passband(ptf=curve, pbset=_OWN_SET, pbname=_OWN_NAME, calibrated=True, reference=_REFERENCE)
    # Black bodies have no dependence on the angle and no limb darkening to tabulate.
    black_bodies = models.BlackbodyModelAtmosphere()
    band.compute_intensities(black_bodies, include_mus=False, include_ld=False, verbose=False)
    tables = Path(phoebe.__file__).parent / "atmospheres" / "tables" / "wd"
    band.import_wd_atmcof(str(tables / "atmcofplanck.dat"), str(tables / "atmcof.dat"), _WD_INDEX)
    return band


def phoebe_intensities(
    band: str,
    teff: npt.ArrayLike,
    log_g: npt.ArrayLike,
    *,
    atmosphere: Atmosphere = "blackbody",
    abundance: npt.ArrayLike = 0.0,
) -> FloatArray:
    """Compute the normal intensities that PHOEBE gives to the elements of a surface.

    Parameters
    ----------
    band : {"I", "V"}
        Cousins I or Johnson V.
    teff : array_like
        Effective temperatures in K: 317 to 500,000 for black bodies, 3,500 to 50,000 for Kurucz atmospheres.
    log_g : array_like
        Logarithms of gravity in cm/s2, 0 to 5; black bodies do not depend on it.
    atmosphere : {"blackbody", "kurucz"}, optional
        What the stars shine like.
    abundance : array_like, optional
        [M/H], -5 to 1, of Kurucz atmospheres.

    Returns
    -------
    `~numpy.ndarray`
        Intensities in W/m3 per steradian, weighted by energy, of the shape to which the arguments broadcast.

    Raises
    ------
    SettingsError
        If PHOEBE is missing or an argument is out of its range.

    Notes
    -----
    In its light curves PHOEBE divides the intensity of a black body by the integral of its limb darkening,
    so that the flux is that of the temperature; Kurucz atmospheres it takes as they are. Their tables go over
    to black bodies where there are no models: below a log g of 2 at 20,000 K and of 2.5 at 40,000 K, with a
    transition above it. Their I lies 1.7 per cent bluer than that of Bessell (1990), as black bodies show
    that are integrated over both.
    """
    check_choice("band", band, BANDS)
    check_choice("atmosphere", atmosphere, tuple(ATMOSPHERES))
    points = np.stack(np.broadcast_arrays(*(np.asarray(given, dtype=float) for given in (teff, log_g, abundance))), -1)
    check_range(f"teff for {atmosphere}", points[..., 0], TEFF_RANGE[atmosphere])
    check_range("log_g", points[..., 1], _LOG_G_RANGE)
    check_range("abundance", points[..., 2], ABUNDANCE_RANGE)
    name = install_passband(band, atmosphere=atmosphere)
    phoebe = load_phoebe()
    passbands = importlib.import_module("phoebe.atmospheres.passbands")
    models = importlib.import_module("phoebe.atmospheres.models").get_supported_atms(return_dict=True)
    flat = np.ascontiguousarray(points.reshape(-1, 3))
    with quietly():
        query = passbands.InterpQuery(["teffs", "loggs", "abuns"], flat)
        found = phoebe.get_passband(name).interpolate_inorms(
            query, atm=models[ATMOSPHERES[atmosphere]], ldint=np.ones((len(flat), 1)), intens_weighting="energy"
        )
        intensity = np.asarray(found.get_interpolated_values(), dtype=float)
    return intensity.reshape(points.shape[:-1])


def check_choice(name: str, given: object, choices: tuple[str, ...]) -> None:
    """Refuse what is not one of some names.

    Parameters
    ----------
    name : str
        What is chosen.
    given : object
        The choice.
    choices : tuple of str
        What can be chosen.

    Raises
    ------
    SettingsError
        If the choice is none of them.
    """
    if given not in choices:
        msg = f"{name}: {given!r}; it must be {' or '.join(choices)}"
        raise SettingsError(msg)


def check_range(name: str, given: npt.ArrayLike, limits: tuple[float, float]) -> FloatArray:
    """Refuse numbers outside of a range.

    Parameters
    ----------
    name : str
        What they are.
    given : array_like
        The numbers.
    limits : tuple of float
        Lowest and highest that are allowed.

    Returns
    -------
    `~numpy.ndarray`
        The numbers.

    Raises
    ------
    SettingsError
        If one lies outside, or is NaN.
    """
    number = np.asarray(given, dtype=float)
    inside = (number >= limits[0]) & (number <= limits[1])
    if not inside.all():
        msg = f"{name}: {number[~inside].flat[0]:g}; it must lie between {limits[0]:g} and {limits[1]:g}"
        raise SettingsError(msg)
    return number
