"""A labelled library of light curves: binaries of all kinds from the Roche engine, and what is mistaken for them.

`write_library` draws it in chunks, each with a generator of its own, so that the same seed gives the same rows
whatever the number of threads, and nothing larger than a chunk is ever in memory. `draw_chunk` draws one of them.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, model_validator

from cbminer.columns import FloatArray
from cbminer.errors import OutputError, SettingsError
from cbminer.quantities import Magnitudes, SettingsModel
from cbminer.synthetic.cadence import Band
from cbminer.synthetic.library_columns import BANDS, TRUTH, curve_figures, library_fields
from cbminer.synthetic.library_observed import OBSERVED, SightLine, observe_chunk
from cbminer.synthetic.limb_darkening import LimbDarkening
from cbminer.synthetic.look_alikes import LOOK_ALIKE_KINDS, LookAlike, draw_look_alike
from cbminer.synthetic.passbands import standard_passband
from cbminer.synthetic.priors import BINARY_KINDS, BinaryDraw, BinaryPriors, draw_binaries
from cbminer.synthetic.roche import RocheEngine
from cbminer.synthetic.shapes import LightCurveShape
from cbminer.theory.colours import pair_photometry
from cbminer.whole_file import written_whole

__all__ = [
    "KINDS",
    "LibraryChunk",
    "LibraryMixture",
    "LibrarySettings",
    "draw_chunk",
    "refuse_existing",
    "write_library",
]

KINDS: tuple[str, ...] = (*BINARY_KINDS, *LOOK_ALIKE_KINDS)

# To be raised whenever the same seed would give other rows.
GENERATOR_VERSION = 1

# Rows of a chunk and of a row group.
_CHUNK = 1000
# Draws that may be in vain, in units of what is needed, before the settings are blamed.
_MANY_DRAWS = 30
# A curve that changes from cycle to cycle is averaged over this many.
_MANY_CYCLES = 200


class LibraryMixture(SettingsModel):
    """Relative numbers of the kinds of stars in a library; their sum does not matter."""

    contact: float = Field(default=0.24, ge=0, description="contact binaries, fill-out 0 to 1")
    near_contact: float = Field(default=0.20, ge=0, description="both stars at 0.9 to 1 of their Roche lobes")
    semi_detached: float = Field(default=0.12, ge=0, description="a cooler secondary that fills its lobe")
    detached: float = Field(default=0.18, ge=0, description="one star at less than 0.9 of its lobe")
    ellipsoidal: float = Field(default=0.10, ge=0, description="close pairs without eclipses")
    rr_lyrae: float = Field(default=0.04, ge=0, description="first-overtone RR Lyrae stars at twice their period")
    delta_scuti: float = Field(default=0.04, ge=0, description="delta Scuti stars at twice their period")
    spotted: float = Field(default=0.04, ge=0, description="rotators with spots that change")
    be_like: float = Field(default=0.04, ge=0, description="irregular hot stars with a spurious period")

    @model_validator(mode="after")
    def _some_kind(self) -> Self:
        total = sum(self.model_dump().values())
        if not 0 < total < np.inf:
            msg = f"the weights add up to {total:g}: give one kind of star at least a positive weight, and none inf"
            raise ValueError(msg)
        return self


class LibrarySettings(SettingsModel):
    """Recipe of a library."""

    phases: int = Field(default=200, ge=16, le=4096, multiple_of=2, description="points of a curve, evenly spaced")
    smallest_amplitude: Magnitudes = Field(default=0.03, description="curves that vary less in I are drawn again")
    n_bands: int = Field(
        default=24,
        ge=6,
        le=240,
        multiple_of=3,
        description="bands of cells of a star: 24 give curves to about 0.4 mmag rms, 36 to 0.2 mmag",
    )
    limb_darkening_I: float = Field(
        default=0.23, ge=0, le=1, description="linear coefficient of both stars in I (Rucinski's tables for 32 kK)"
    )
    limb_darkening_V: float = Field(
        default=0.30, ge=0, le=1, description="the same in V; that of the published comparison curves"
    )
    priors: BinaryPriors = BinaryPriors()
    mixture: LibraryMixture = LibraryMixture()

    def engine(self, threads: int) -> RocheEngine:
        """Make the engine of the library.

        Parameters
        ----------
        threads : int
            Threads to use.

        Returns
        -------
        RocheEngine
            The engine, with the bands I and V.
        """
        passbands = [
            standard_passband("I").darkened_by(LimbDarkening("linear", (self.limb_darkening_I,))),
            standard_passband("V").darkened_by(LimbDarkening("linear", (self.limb_darkening_V,))),
        ]
        return RocheEngine(passbands=passbands, n_bands=self.n_bands, threads=threads)


@dataclass(frozen=True)
class LibraryChunk:
    """Some rows of a library.

    Attributes
    ----------
    start : int
        Number of the first row.
    kinds : `~numpy.ndarray`
        Labels as places in `KINDS`, shape (n,).
    truth : dict
        Columns of truth, each of shape (n,), NaN where meaningless.
    flux : `~numpy.ndarray`
        Flux in I and V over its maximum, shape (n, 2, phases).
    shapes : list of LightCurveShape or None
        Light curves that change from cycle to cycle or have a formula; None where the flux says it all.
    """

    start: int
    kinds: npt.NDArray[np.int8]
    truth: dict[str, FloatArray]
    flux: FloatArray
    shapes: list[LightCurveShape | None]

    def __len__(self) -> int:
        return len(self.kinds)

    def first(self, n: int) -> "LibraryChunk":
        """Take the first rows.

        Parameters
        ----------
        n : int
            How many.

        Returns
        -------
        LibraryChunk
            They alone.
        """
        truth = {name: column[:n] for name, column in self.truth.items()}
        return LibraryChunk(self.start, self.kinds[:n], truth, self.flux[:n], self.shapes[:n])

    def as_arrays(self) -> list[pa.Array]:
        """Give the columns of `library_fields`.

        Returns
        -------
        list of `~pyarrow.Array`
            The columns, unknown truth as null.
        """
        n, n_phases = len(self), self.flux.shape[-1]
        flux = self.flux.astype(np.float32)
        return [
            pa.array(np.arange(self.start, self.start + n)),
            pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, dtype=np.int8)), pa.array(["mock"])),
            pa.DictionaryArray.from_arrays(pa.array(self.kinds), pa.array(KINDS)),
            *(pa.array(self.truth[name], from_pandas=True) for name in TRUTH),
            *(pa.FixedSizeListArray.from_arrays(flux[:, band].ravel(), n_phases) for band in range(len(BANDS))),
        ]


def draw_chunk(start: int, *, settings: LibrarySettings, seed: int, threads: int = 1) -> LibraryChunk:
    """Draw a chunk of 1,000 rows.

    Parameters
    ----------
    start : int
        Number of the first row. The randomness of a chunk follows from it, so that a chunk can be drawn alone.
    settings : LibrarySettings
        The recipe.
    seed : int
        Seed of the library.
    threads : int, optional
        Threads for the light curves; they change nothing.

    Returns
    -------
    LibraryChunk
        The rows, kinds in random order.

    Raises
    ------
    SettingsError
        If hardly any curve varies as much as is asked for.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(start, 0)))
    weights = np.array([getattr(settings.mixture, kind) for kind in KINDS])
    kinds = rng.choice(len(KINDS), size=_CHUNK, p=weights / weights.sum())
    engine = settings.engine(threads)
    truth = {name: np.full(_CHUNK, np.nan) for name in TRUTH}
    flux = np.empty((_CHUNK, len(BANDS), settings.phases))
    shapes: list[LightCurveShape | None] = [None] * _CHUNK
    for number, kind in enumerate(KINDS):
        places = np.flatnonzero(kinds == number)
        if not len(places):
            continue
        drawn = _draw_kind(kind, len(places), settings, engine, rng)
        flux[places] = drawn.flux
        for name, column in drawn.truth.items():
            truth[name][places] = column
        for place, shape in zip(places, drawn.shapes, strict=True):
            shapes[place] = shape
    return LibraryChunk(start, kinds.astype(np.int8), truth, flux, shapes)


def write_library(
    path: Path,
    n: int,
    *,
    settings: LibrarySettings,
    seed: int,
    sight: SightLine | None = None,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Callable[[int], None] = lambda _rows: None,
) -> Path:
    """Write a library as Parquet. It appears whole or not at all.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    n : int
        Number of rows.
    settings : LibrarySettings
        The recipe.
    seed : int
        Seed of everything random. The same seed gives the same rows, and a larger number of rows more of them.
    sight : SightLine, optional
        Where and how the stars are observed. If it is given, each row also has light curves with noise.
    threads : int, optional
        Threads; one a processor by default. They change nothing.
    overwrite : bool, optional
        Whether an existing file may be replaced.
    progress : callable, optional
        Called with the number of rows that were finished since the last call.

    Returns
    -------
    `~pathlib.Path`
        The file.

    Raises
    ------
    OutputError
        If the file is there and may not be replaced, or cannot be written.
    SettingsError
        If the number of rows is not positive, or the recipe leaves nothing to draw.
    """
    for name, number, lowest in (("n", n, 1), ("seed", seed, 0)):
        if number < lowest:
            msg = f"{name}: {number}; it must be {lowest} or more"
            raise SettingsError(msg)
    refuse_existing(path, overwrite=overwrite)
    schema = _schema(settings, seed, n, sight)
    with written_whole(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for start in range(0, n, _CHUNK):
            chunk = draw_chunk(start, settings=settings, seed=seed, threads=threads or os.cpu_count() or 1)
            # A last chunk that is short is the beginning of a whole one: more rows keep those that there are.
            chunk = chunk.first(n - start)
            arrays = chunk.as_arrays()
            if sight is not None:
                arrays += observe_chunk(chunk.start, chunk.truth, chunk.flux, chunk.shapes, sight=sight, seed=seed)
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=_CHUNK)
            progress(len(chunk))
    return path


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Refuse a place for a library before any work is done.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    OutputError
        If something is there that may not be replaced.
    """
    if path.is_dir():
        msg = f"{path} is a folder: name a file with --out"
        raise OutputError(msg)
    if path.exists() and not overwrite:
        msg = f"{path} exists: replace it with --overwrite, or name another file with --out"
        raise OutputError(msg)


def _schema(settings: LibrarySettings, seed: int, n: int, sight: SightLine | None) -> pa.Schema:
    """Columns with units and meanings, and in the metadata what the library was made of."""
    recipe = {
        "made_by": f"cbminer {version('cbminer')}",
        "generator": GENERATOR_VERSION,
        "simulated": True,
        "seed": seed,
        "rows": n,
        "settings": settings.model_dump(mode="json"),
        "observed": sight.recipe() if sight is not None else None,
    }
    fields = library_fields(KINDS, settings.phases) + (OBSERVED if sight is not None else [])
    return pa.schema(fields, metadata={"cbminer": json.dumps(recipe, sort_keys=True)})


@dataclass(frozen=True)
class _Drawn:
    """Rows of one kind; see `LibraryChunk`."""

    truth: dict[str, FloatArray]
    flux: FloatArray
    shapes: list[LightCurveShape | None]

    def at(self, places: npt.NDArray[np.intp]) -> "_Drawn":
        truth = {name: column[places] for name, column in self.truth.items()}
        return _Drawn(truth, self.flux[places], [self.shapes[place] for place in places])


def _draw_kind(kind: str, n: int, settings: LibrarySettings, engine: RocheEngine, rng: np.random.Generator) -> _Drawn:
    """Draw rows of one kind until enough of them vary as much as is asked for."""
    kept: list[_Drawn] = []
    missing, drawn = n, 0
    while missing > 0:
        if drawn > _MANY_DRAWS * (n + 10):
            msg = (
                f"[library] hardly any curve of the kind {kind} varies by smallest_amplitude, "
                f"{settings.smallest_amplitude:g} mag: lower it"
            )
            raise SettingsError(msg)
        batch = missing + missing // 4 + 2
        drawn += batch
        rows = _draw_batch(kind, batch, settings, engine, rng)
        varied = np.flatnonzero(rows.truth["amplitude_I"] >= settings.smallest_amplitude)[:missing]
        kept.append(rows.at(varied))
        missing -= len(varied)
    truth = {name: np.concatenate([rows.truth[name] for rows in kept]) for name in kept[0].truth}
    shapes = [shape for rows in kept for shape in rows.shapes]
    return _Drawn(truth, np.concatenate([rows.flux for rows in kept]), shapes)


def _draw_batch(kind: str, n: int, settings: LibrarySettings, engine: RocheEngine, rng: np.random.Generator) -> _Drawn:
    for binary in BINARY_KINDS:
        if kind == binary:
            return _binaries(draw_binaries(binary, n, priors=settings.priors, rng=rng), settings, engine)
    look_alike = next(name for name in LOOK_ALIKE_KINDS if name == kind)
    return _look_alikes([draw_look_alike(look_alike, rng) for _ in range(n)], settings)


def _binaries(draw: BinaryDraw, settings: LibrarySettings, engine: RocheEngine) -> _Drawn:
    n_phases = settings.phases
    flux = engine.light_curves(draw.systems, np.arange(n_phases) / n_phases)
    # Catalogues put the deeper minimum at phase 0, whichever star it is that is behind.
    other = flux[:, 0, n_phases // 2] < flux[:, 0, 0]
    flux[other] = np.roll(flux[other], n_phases // 2, axis=-1)
    flux /= flux.max(axis=-1, keepdims=True)
    systems = draw.systems
    second = np.where(np.isnan(systems.teff_2), systems.teff_1, systems.teff_2)
    light = pair_photometry(draw.radius_1, systems.teff_1, draw.radius_2, second)
    truth = {
        "period": draw.period,
        "true_period": draw.period,
        "inclination": systems.inclination,
        "mass_ratio": systems.mass_ratio,
        "fillout_factor": draw.fillout_factor,
        "lobe_filling_1": draw.lobe_filling_1,
        "lobe_filling_2": draw.lobe_filling_2,
        "teff_1": systems.teff_1,
        "teff_2": systems.teff_2,
        "mass_1": draw.mass_1,
        "mass_2": draw.mass_2,
        "radius_1": draw.radius_1,
        "radius_2": draw.radius_2,
        "separation": draw.separation,
        "star_behind": np.where(other, 2.0, 1.0),
        "foreground": np.zeros(len(systems)),
        "M_V": light.M_V,
        "VI0": light.VI0,
        "scatter_I": np.zeros(len(systems)),
    }
    return _Drawn(truth | curve_figures(flux), flux, [None] * len(systems))


def _look_alikes(stars: list[LookAlike], settings: LibrarySettings) -> _Drawn:
    curves = [_mean_curve(star.shape, settings.phases) for star in stars]
    flux = np.stack([curve.flux for curve in curves])
    scatter = np.array([curve.scatter for curve in curves])
    truth = {
        "period": np.array([star.period for star in stars]),
        "true_period": np.array([star.true_period for star in stars]),
        "M_V": np.array([star.M_V for star in stars]),
        "VI0": np.array([star.VI0 for star in stars]),
        "foreground": np.array([float(star.foreground) for star in stars]),
        "scatter_I": scatter,
    }
    figures = curve_figures(flux)
    # What the survey sees vary is the curve and its changes.
    figures["amplitude_I"] = np.maximum(figures["amplitude_I"], 2.0 * np.sqrt(2.0) * scatter)
    shapes = [
        _ShiftedShape(star.shape, curve.faintest, curve.brightest) for star, curve in zip(stars, curves, strict=True)
    ]
    return _Drawn(truth | figures, flux, list(shapes))


class _MeanCurve(NamedTuple):
    """A curve averaged over many cycles.

    Its flux over its maximum from the faintest phase on, in I and V; that phase; magnitudes of the maximum by band,
    as the shape gives them; and the rms of what changes, in I.
    """

    flux: FloatArray
    faintest: float
    brightest: dict[Band, float]
    scatter: float


@dataclass(frozen=True)
class _ShiftedShape:
    """A shape with cycle 0 where its mean curve is faintest, in magnitudes below the maximum of this."""

    shape: LightCurveShape
    faintest: float
    brightest: dict[Band, float]

    def relative_magnitude(self, cycles: FloatArray, band: Band) -> FloatArray:
        """Magnitudes below maximum light; see `LightCurveShape`."""
        return np.asarray(self.shape.relative_magnitude(cycles + self.faintest, band) - self.brightest[band])


def _mean_curve(shape: LightCurveShape, n_phases: int) -> _MeanCurve:
    cycles = np.arange(_MANY_CYCLES)[:, np.newaxis] + np.arange(n_phases) / n_phases
    in_i, in_v = shape.relative_magnitude(cycles, "I"), shape.relative_magnitude(cycles, "V")
    flux = np.stack([(10.0 ** (-0.4 * band)).mean(axis=0) for band in (in_i, in_v)])
    first = int(flux[0].argmin())
    highest = flux.max(axis=-1)
    return _MeanCurve(
        flux=np.roll(flux, -first, axis=-1) / highest[:, np.newaxis],
        faintest=first / n_phases,
        brightest={"I": float(-2.5 * np.log10(highest[0])), "V": float(-2.5 * np.log10(highest[1]))},
        scatter=float((in_i - in_i.mean(axis=0)).std()),
    )
