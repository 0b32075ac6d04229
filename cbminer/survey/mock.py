"""The mock survey: a miniature of OGLE's archive, filled with simulated stars whose truth is known.

The files have the layout of OGLE's collection of eclipsing binaries and are read by the same reader. Every
folder carries the file MOCK.txt, and every star a name that begins with MOCK, so that nobody takes them for
observations.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import MaskedColumn, Table

from cbminer.errors import ArchiveError
from cbminer.survey.mock_population import (
    MOCK_PREFIX,
    MockCloud,
    MockMixture,
    MockSettings,
    MockStar,
    draw_star,
    star_generator,
)
from cbminer.synthetic.cadence import Band, Observations, sample_light_curve, seasonal_cadence
from cbminer.synthetic.sampling import SamplingSettings
from cbminer.synthetic.shapes import EclipsingShape, LightCurveShape, RocheShape, SawtoothShape, WavesShape

__all__ = [
    "GENERATOR_VERSION",
    "MOCK_MARKER",
    "MOCK_PREFIX",
    "TRUTH_FILE",
    "MockCloud",
    "MockMixture",
    "MockSettings",
    "build_mock_archive",
    "is_mock_folder",
]

MOCK_MARKER = "MOCK.txt"
TRUTH_FILE = "truth.ecsv"
# To be raised whenever the same seed would give other bytes.
GENERATOR_VERSION = 2

_RECIPE = "recipe: "
_AT_A_TIME = 64
_BANDS: tuple[Band, ...] = ("I", "V")
# Given here and not left to the defaults, so that the bytes do not follow these.
_FEWEST_V, _MOST_V = 30, 150

_README = """\
SIMULATED STARS, NOT OBSERVATIONS: a mock of OGLE's collection of eclipsing binaries in the {name}, made by
cbminer. Bytes are counted from 1.

ident.dat
   1- 18  star                   21- 23  type: C, NC, ELL or CV
  25- 35  right ascension        37- 47  declination (J2000)
  50- 65  OGLE-IV name           67- 81  OGLE-III name       83- 97  OGLE-II name       99-150  other name
ecl.dat, ell.dat
   1- 18  star                   21- 26  I at maximum [mag]  28- 33  V at maximum [mag]
  35- 46  period [d]             49- 60  epoch of the primary minimum [HJD]
  62- 67  primary depth in I [mag]                           69- 73  secondary depth in I [mag]
remarks.txt
   star and remark
phot/I/*.dat, phot/V/*.dat
   HJD [d], magnitude, error of the magnitude

A dash stands for an unknown number.
"""


@dataclass(frozen=True)
class _BuiltStar:
    star: MockStar
    n_points: dict[Band, int]


def is_mock_folder(folder: Path) -> bool:
    """Tell by its marker, or by the name of its first star, whether a folder holds simulated stars.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder with ident.dat.

    Returns
    -------
    bool
        True for a simulated survey.
    """
    if (folder / MOCK_MARKER).exists():
        return True
    try:
        with (folder / "ident.dat").open("rb") as stream:
            return stream.read(len(MOCK_PREFIX)) == MOCK_PREFIX.encode()
    except OSError:
        return False


def build_mock_archive(folder: Path, clouds: Sequence[MockCloud], *, settings: MockSettings, seed: int) -> Path:
    """Write a mock survey, or find it written already.

    The archive appears whole or not at all: it is built next to its place and moved there at the end.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Where it is to be. A mock archive of another recipe in this place is replaced.
    clouds : sequence of MockCloud
        Clouds to simulate. Neither their order nor the other Clouds change the stars of one.
    settings : MockSettings
        The recipe; the numbers of stars are those of `clouds`.
    seed : int
        Seed of everything random. The same seed gives the same bytes.

    Returns
    -------
    `~pathlib.Path`
        The folder, with lmc/ecl or smc/ecl in it, the hidden truth in truth.ecsv, and MOCK.txt.

    Raises
    ------
    ArchiveError
        If the place holds something that is no mock archive, or cannot be written to.
    SettingsError
        If the settings leave no star to draw.
    """
    ordered = sorted(clouds, key=lambda cloud: cloud.name)
    marker = _marker_text(ordered, settings, seed)
    if _is_built(folder, marker):
        return folder
    try:
        with _built_beside(folder) as workplace:
            built = [star for cloud in ordered for star in _write_cloud(workplace, cloud, settings, seed)]
            _write_truth(workplace / TRUTH_FILE, built, seed)
            _write(workplace / MOCK_MARKER, marker)
    except OSError as error:
        msg = f"the mock survey cannot be written to {folder} ({error.strerror}): choose a place with --cache"
        raise ArchiveError(msg) from error
    return folder


def _marker_text(clouds: Sequence[MockCloud], settings: MockSettings, seed: int) -> str:
    """Say in words and for a machine what the archive is made of."""
    names = " and the ".join(cloud.name for cloud in clouds)
    # What is special to the other Cloud must not change the file of one.
    recipe = {
        "generator": GENERATOR_VERSION,
        "seed": seed,
        "clouds": [asdict(cloud) for cloud in clouds],
        "settings": settings.model_dump(mode="json", exclude={"n_lmc", "n_smc"}),
    }
    return (
        f"Simulated stars of the {names}, not observations: made by version {GENERATOR_VERSION} of the "
        f"generator of cbminer's mock survey with the seed {seed}.\n"
        f"{_RECIPE}{json.dumps(recipe, sort_keys=True)}\n"
    )


def _is_built(folder: Path, marker: str) -> bool:
    """Tell whether the archive is there; refuse a place that holds something else."""
    if not folder.exists():
        return False
    path = folder / MOCK_MARKER
    if path.is_file():
        return path.read_text(encoding="utf-8", errors="replace") == marker
    if not folder.is_dir() or any(folder.iterdir()):
        msg = f"{folder} holds no mock survey (no {MOCK_MARKER}) and is left alone: choose a place with --cache"
        raise ArchiveError(msg)
    return False


@contextmanager
def _built_beside(folder: Path) -> Iterator[Path]:
    """Give a sibling folder to build in; put it in place if all went well, or leave nothing behind."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    holder = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        workplace = holder / "new"
        workplace.mkdir()
        yield workplace
        if folder.exists():
            folder.rename(holder / "old")
        try:
            workplace.rename(folder)
        except BaseException:
            if (holder / "old").exists():
                (holder / "old").rename(folder)
            raise
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def _write_cloud(root: Path, cloud: MockCloud, settings: MockSettings, seed: int) -> list[_BuiltStar]:
    """Write the catalogue and the light curves of one Cloud."""
    folder = root / cloud.name.lower() / "ecl"
    for band in _BANDS:
        (folder / "phot" / band).mkdir(parents=True)
    sampling = _sampling(settings)
    built = []
    for number, star in enumerate(_draw_stars(cloud, settings, seed), start=1):
        rng = star_generator(seed, cloud.name, number, purpose=1)
        n_points = _write_light_curves(folder / "phot", star, sampling, rng)
        built.append(_BuiltStar(star, n_points))
    stars = [entry.star for entry in built]
    ellipsoidal = [star for star in stars if star.row.label == "ELL"]
    others = [star for star in stars if star.row.label != "ELL"]
    _write(folder / "ident.dat", "".join(map(_ident_line, stars)))
    _write(folder / "ecl.dat", "".join(map(_parameter_line, others)))
    _write(folder / "ell.dat", "".join(map(_parameter_line, ellipsoidal)))
    _write(folder / "remarks.txt", "".join(map(_remark_line, stars)))
    _write(folder / "README", _README.format(name=cloud.name))
    _write(folder / MOCK_MARKER, _marker_text([cloud], settings, seed))
    return built


def _draw_stars(cloud: MockCloud, settings: MockSettings, seed: int) -> Iterator[MockStar]:
    """Draw the stars in their order; threads share them, since the light-curve engine leaves Python's lock free."""

    def draw(number: int) -> MockStar:
        return draw_star(cloud, number, settings=settings, seed=seed)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # A few at a time, so that an interruption need not wait for all.
        for first in range(1, cloud.n_stars + 1, _AT_A_TIME):
            yield from pool.map(draw, range(first, min(first + _AT_A_TIME, cloud.n_stars + 1)))


def _sampling(settings: MockSettings) -> SamplingSettings:
    """Say how the stars are observed: errors are what the files state."""
    return SamplingSettings(
        seasons=settings.seasons,
        fewest_V=_FEWEST_V,
        most_V=_MOST_V,
        error_scale=1.0,
        error_floor="0 mag",
        outliers=settings.outliers,
    )


def _write_light_curves(
    folder: Path, star: MockStar, sampling: SamplingSettings, rng: np.random.Generator
) -> dict[Band, int]:
    """Write the files of one star and count their points."""
    curves = _observe_star(star, sampling, rng) if star.has_light_curve else {}
    for band, points in curves.items():
        _write(folder / band / f"{star.star}.dat", _light_curve_text(points))
    return {band: len(curves[band].time) if band in curves else 0 for band in _BANDS}


def _observe_star(star: MockStar, sampling: SamplingSettings, rng: np.random.Generator) -> dict[Band, Observations]:
    """Observe a star in I, and in V if the catalogue lists its V."""
    sight = star.sight
    brightest: dict[Band, float] = {"I": sight.I_mag}
    if np.isfinite(star.row.V_mag):
        brightest["V"] = sight.V_mag
    return sample_light_curve(
        sight.shape.relative_magnitude,
        seasonal_cadence(star.galaxy, sampling, rng=rng, n_points=star.n_short or None),
        brightest=brightest,
        period=sight.system.period,
        epoch=star.epoch,
        settings=sampling,
        rng=rng,
    )


def _light_curve_text(points: Observations) -> str:
    # One format of all points at once: a hundred thousand lines a second more than line by line.
    numbers = np.column_stack([points.time, points.mag, points.mag_err]).ravel().tolist()
    return ("%13.5f %6.3f %5.3f\n" * len(points.time)) % tuple(numbers)


def _ident_line(star: MockStar) -> str:
    row = star.row
    return (
        f"{star.star:<18}  {row.label:<3} {_sexagesimal(star.ra / 15.0, 2)} "
        f"{'-' if star.dec < 0 else '+'}{_sexagesimal(abs(star.dec), 1)}  "
        f"{row.ogle4_id:<16} {row.ogle3_id:<15} {row.ogle2_id:<15} {row.other_id:<52}\n"
    )


def _sexagesimal(value: float, decimals: int) -> str:
    """Hours or degrees as HH:MM:SS.s, rounded before it is split, so that no 60 appears."""
    unit = 10**decimals
    seconds, fraction = divmod(round(value * 3600 * unit), unit)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}.{fraction:0{decimals}d}"


def _parameter_line(star: MockStar) -> str:
    row = star.row
    return (
        f"{star.star:<18}  {_number(row.I_mag, 6, 3)} {_number(row.V_mag, 6, 3)} "
        f"{_number(row.period, 12, 7)}  {_number(row.T0, 12, 4)} "
        f"{_number(row.depth1, 6, 3)} {_number(row.depth2, 5, 3)}\n"
    )


def _number(value: float, width: int, decimals: int) -> str:
    return f"{value:{width}.{decimals}f}" if np.isfinite(value) else "-".rjust(width)


def _remark_line(star: MockStar) -> str:
    return f"{star.star}  {star.row.remark}\n" if star.row.remark else ""


_MODELS: dict[type[LightCurveShape], str] = {
    RocheShape: "Roche engine",
    EclipsingShape: "two spheres",
    SawtoothShape: "sawtooth",
    WavesShape: "waves",
}

# Column of the truth table: how it is had from a star, unit, decimals, meaning.
_Truth = tuple[Callable[[MockStar], float], str, int, str]
_TRUTH: dict[str, _Truth] = {
    "RAJ2000": (lambda star: star.ra, "deg", 6, "Right ascension (J2000)"),
    "DEJ2000": (lambda star: star.dec, "deg", 6, "Declination (J2000)"),
    "period": (lambda star: star.sight.system.true_period, "d", 8, "Orbital, pulsation or rotation period"),
    "period_ratio": (
        lambda star: star.row.period / star.sight.system.true_period,
        "",
        4,
        "Listed period over true period",
    ),
    "T0": (
        lambda star: star.epoch + star.sight.system.period * star.sight.figures.primary_cycle,
        "d",
        5,
        "Epoch of the deepest minimum, HJD",
    ),
    "depth1": (lambda star: star.sight.figures.depth1, "mag", 4, "Depth of the deepest minimum in I"),
    "depth2": (
        lambda star: star.sight.figures.depth2,
        "mag",
        4,
        "Depth of the minimum half a cycle from it in I",
    ),
    "amplitude": (
        lambda star: star.sight.figures.amplitude,
        "mag",
        4,
        "Peak-to-peak range in I over many cycles",
    ),
    "I_mag": (lambda star: star.sight.I_mag, "mag", 4, "Apparent I at maximum light"),
    "V_mag": (lambda star: star.sight.V_mag, "mag", 4, "Apparent V at maximum light"),
    "distance_modulus": (
        lambda star: star.sight.distance_modulus,
        "mag",
        4,
        "True distance modulus of this star",
    ),
    "E_VI": (lambda star: star.sight.E_VI, "mag", 4, "Reddening E(V-I) of this star"),
    "M_V": (
        lambda star: star.sight.system.M_I + star.sight.system.VI0,
        "mag",
        4,
        "Absolute V at maximum light, both stars",
    ),
    "M_I": (lambda star: star.sight.system.M_I, "mag", 4, "Absolute I at maximum light, both stars"),
    "VI0": (
        lambda star: star.sight.system.VI0,
        "mag",
        4,
        "Intrinsic colour (V-I)_0 at maximum light, both stars",
    ),
    "mass_1": (
        lambda star: star.sight.system.mass_1,
        "solMass",
        3,
        "Mass of star 1, the more massive one but for red giants",
    ),
    "mass_2": (lambda star: star.sight.system.mass_2, "solMass", 3, "Mass of star 2"),
    "mass_ratio": (lambda star: star.sight.system.mass_ratio, "", 4, "mass_2 over mass_1"),
    "radius_1": (
        lambda star: star.sight.system.radius_1,
        "solRad",
        3,
        "Radius of star 1, that of a sphere of its volume",
    ),
    "radius_2": (
        lambda star: star.sight.system.radius_2,
        "solRad",
        3,
        "Radius of star 2, that of a sphere of its volume",
    ),
    "separation": (lambda star: star.sight.system.separation, "solRad", 3, "Semi-major axis"),
    "lobe_filling_1": (
        lambda star: star.sight.system.lobe_filling_1,
        "",
        4,
        "Radius of star 1 over its Roche lobe",
    ),
    "lobe_filling_2": (
        lambda star: star.sight.system.lobe_filling_2,
        "",
        4,
        "Radius of star 2 over its Roche lobe",
    ),
    "fillout": (
        lambda star: star.sight.system.fillout,
        "",
        4,
        "Fill-out factor of a contact binary, 0 at the surface through L1 and 1 at that through L2",
    ),
    "teff_1": (
        lambda star: star.sight.system.teff_1,
        "K",
        0,
        "Mean effective temperature of star 1, in contact of both stars together",
    ),
    "teff_2": (
        lambda star: star.sight.system.teff_2,
        "K",
        0,
        "Mean effective temperature of star 2, in contact of both stars together",
    ),
    "inclination": (lambda star: float(np.degrees(star.sight.system.inclination)), "deg", 2, "Inclination"),
    "eccentricity": (lambda star: star.sight.system.eccentricity, "", 4, "Eccentricity"),
    "periastron": (
        lambda star: float(np.degrees(star.sight.system.periastron)),
        "deg",
        2,
        "Argument of periastron of an eccentric orbit",
    ),
}


def _write_truth(path: Path, built: Sequence[_BuiltStar], seed: int) -> None:
    """Write what is true of every star, whatever the catalogue says."""
    stars = [entry.star for entry in built]
    table = Table(meta=_truth_meta(seed))
    table["id"] = [star.star for star in stars]
    table["galaxy"] = [star.galaxy for star in stars]
    table["survey"] = ["mock"] * len(stars)
    table["kind"] = [star.sight.kind for star in stars]
    table["foreground"] = [star.sight.system.foreground for star in stars]
    table["light_curve"] = [_MODELS[type(star.sight.shape)] for star in stars]
    for name, (value, unit, decimals, _) in _TRUTH.items():
        numbers = np.round([value(star) for star in stars], decimals)
        table[name] = MaskedColumn(numbers, mask=np.isnan(numbers), unit=unit or None)
    for band in _BANDS:
        table[f"n_{band}"] = [entry.n_points[band] for entry in built]
    for name, description in _text_descriptions().items():
        table[name].description = description
    table.write(path, format="ascii.ecsv", delimiter=",")


def _truth_meta(seed: int) -> dict[str, Any]:
    return {
        "survey": "mock",
        "comment": "simulated stars, not observations",
        "seed": seed,
        "generator": GENERATOR_VERSION,
    }


def _text_descriptions() -> dict[str, str]:
    return {
        "id": "Identifier in the mock archive",
        "galaxy": "Cloud in whose catalogue the star is",
        "survey": "mock means simulated, not observed",
        "kind": "True class",
        "foreground": "Whether it is a star of the Galaxy",
        "light_curve": "What its light curve is: Roche engine, two spheres, sawtooth or waves",
        "n_I": "Points of the I light curve",
        "n_V": "Points of the V light curve",
    } | {name: description for name, (_, _, _, description) in _TRUTH.items()}


def _write(path: Path, text: str) -> None:
    # Bytes, so that line ends are the same on every system.
    path.write_bytes(text.encode("ascii"))
