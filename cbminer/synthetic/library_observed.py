"""Rows of a library as a survey would see them: apparent magnitudes, epochs, noise, blends and a listed ephemeris."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from cbminer.columns import FloatArray
from cbminer.photometry.magnitudes import ExtinctionSettings
from cbminer.synthetic.cadence import (
    Band,
    Cadence,
    Observations,
    TemplateCadences,
    draw_third_light,
    perturbed_ephemeris,
    sample_light_curve,
    seasonal_cadence,
)
from cbminer.synthetic.library_columns import described_field
from cbminer.synthetic.sampling import SamplingSettings
from cbminer.synthetic.shapes import LightCurveShape

__all__ = ["OBSERVED", "SightLine", "observe_chunk"]

_BANDS: tuple[Band, ...] = ("I", "V")
# A full Julian date before the first season.
_REFERENCE_HJD = 2455000.0
_FOREGROUND_MODULI = (9.0, 13.5)

_TIMES = pa.list_(pa.float64())
_POINTS = pa.list_(pa.float32())
OBSERVED: list[pa.Field] = [
    described_field("I_mag", pa.float64(), "mag", "apparent I at maximum light, third light included"),
    described_field("V_mag", pa.float64(), "mag", "apparent V at maximum light, third light included"),
    described_field("distance_modulus", pa.float64(), "mag", "true distance modulus"),
    described_field("E_VI", pa.float64(), "mag", "reddening"),
    described_field("third_light_I", pa.float64(), "", "share of other stars in the light at maximum in I"),
    described_field("third_light_V", pa.float64(), "", "the same in V"),
    described_field("listed_period", pa.float64(), "d", "period with the error of a catalogue"),
    described_field("listed_epoch", pa.float64(), "d", "epoch of phase 0 with the error of a catalogue, HJD"),
    described_field("template", pa.string(), "", "star whose epochs were taken; empty for generated ones"),
    *(
        described_field(f"{name}_{band}", kind, unit, f"{meaning} in {band}")
        for band in _BANDS
        for name, kind, unit, meaning in (
            ("time", _TIMES, "d", "HJD of the points"),
            ("mag", _POINTS, "mag", "magnitudes"),
            ("mag_err", _POINTS, "mag", "stated errors"),
        )
    ),
]


@dataclass(frozen=True)
class SightLine:
    """Where the stars of a library are and how they are observed.

    Attributes
    ----------
    galaxy : {"LMC", "SMC"}
        The Cloud.
    distance_modulus, depth_scatter : float
        Distance modulus and its scatter in magnitudes.
    mean_E_VI, scatter_E_VI : float
        Mean and scatter of the reddening E(V-I) in magnitudes; below zero counts as zero.
    extinction : ExtinctionSettings
        Extinction in I and V for that reddening.
    sampling : SamplingSettings
        Epochs and errors.
    templates : TemplateCadences, optional
        Epochs of real stars; generated ones by default.
    """

    galaxy: Literal["LMC", "SMC"]
    distance_modulus: float
    depth_scatter: float
    mean_E_VI: float
    scatter_E_VI: float
    extinction: ExtinctionSettings
    sampling: SamplingSettings
    templates: TemplateCadences | None = None

    def recipe(self) -> dict[str, Any]:
        """Say in numbers what the observations are made of.

        Returns
        -------
        dict
            Ready for JSON.
        """
        return {
            "galaxy": self.galaxy,
            "distance_modulus": self.distance_modulus,
            "depth_scatter": self.depth_scatter,
            "mean_E_VI": self.mean_E_VI,
            "scatter_E_VI": self.scatter_E_VI,
            "extinction": self.extinction.model_dump(mode="json"),
            "sampling": self.sampling.model_dump(mode="json"),
            "templates": None if self.templates is None else len(self.templates),
        }


class _PhasedCurve(NamedTuple):
    """A periodic curve by its flux at evenly spaced phases in I and V."""

    flux: FloatArray

    def relative_magnitude(self, cycles: FloatArray, band: Band) -> FloatArray:
        """Magnitudes below maximum light; see `LightCurveShape`."""
        flux = self.flux[_BANDS.index(band)]
        n = len(flux)
        return np.asarray(
            -2.5 * np.log10(np.interp(np.mod(cycles, 1.0) * n, np.arange(n + 1), np.append(flux, flux[0])))
        )


@dataclass(frozen=True)
class _Seen:
    """One row as it is seen."""

    numbers: tuple[float, ...]
    template: str
    curves: dict[Band, Observations]


def observe_chunk(
    start: int,
    truth: dict[str, FloatArray],
    flux: FloatArray,
    shapes: Sequence[LightCurveShape | None],
    *,
    sight: SightLine,
    seed: int,
) -> list[pa.Array]:
    """Observe the rows of a chunk.

    Parameters
    ----------
    start : int
        Number of the first row; each row has randomness of its own by its number.
    truth : dict
        Columns of truth; period, M_V, VI0 and foreground are used.
    flux : `~numpy.ndarray`
        Flux in I and V over its maximum, shape (n, 2, phases).
    shapes : sequence of LightCurveShape or None
        Light curves that the flux does not say all of.
    sight : SightLine
        Where and how the stars are observed.
    seed : int
        Seed of the library.

    Returns
    -------
    list of `~pyarrow.Array`
        The columns of `OBSERVED`.
    """
    seen = []
    for row, shape in enumerate(shapes):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(start + row, 1)))
        curve = shape if shape is not None else _PhasedCurve(flux[row])
        seen.append(
            _observe_row(curve, {name: truth[name][row] for name in ("period", "M_V", "VI0", "foreground")}, sight, rng)
        )
    numbers = [pa.array([row.numbers[k] for row in seen]) for k in range(len(seen[0].numbers))]
    lists = [
        pa.array([getattr(row.curves[band], name) for row in seen], type=kind)
        for band in _BANDS
        for name, kind in (("time", _TIMES), ("mag", _POINTS), ("mag_err", _POINTS))
    ]
    return [*numbers, pa.array([row.template for row in seen]), *lists]


def _observe_row(
    shape: LightCurveShape | _PhasedCurve, truth: dict[str, float], sight: SightLine, rng: np.random.Generator
) -> _Seen:
    reddening = max(0.0, float(rng.normal(sight.mean_E_VI, sight.scatter_E_VI)))
    modulus = float(rng.normal(sight.distance_modulus, sight.depth_scatter))
    if truth["foreground"]:
        # As in the mock survey: a star of the Galaxy has half of the dust in front.
        modulus, reddening = float(rng.uniform(*_FOREGROUND_MODULI)), 0.5 * reddening
    third_light = draw_third_light(sight.sampling, rng)
    v_alone = truth["M_V"] + modulus + sight.extinction.A_V_per_E_VI * reddening
    alone: dict[Band, float] = {"V": v_alone, "I": v_alone - truth["VI0"] - reddening}
    brightest: dict[Band, float] = {
        band: alone[band] + 2.5 * float(np.log10(1.0 - third_light[band])) for band in _BANDS
    }
    nearer = _into_range(brightest["I"], sight.sampling, rng)
    modulus += nearer
    brightest = {band: magnitude + nearer for band, magnitude in brightest.items()}
    period = float(truth["period"])
    epoch = _REFERENCE_HJD + float(rng.uniform(0.0, period))
    cadence = _cadence(sight, rng)
    curves = sample_light_curve(
        shape.relative_magnitude,
        cadence,
        brightest=brightest,
        period=period,
        epoch=epoch,
        settings=sight.sampling,
        rng=rng,
        third_light=third_light,
    )
    listed = perturbed_ephemeris(period, epoch, settings=sight.sampling, rng=rng)
    numbers = (brightest["I"], brightest["V"], modulus, reddening, third_light["I"], third_light["V"], *listed)
    return _Seen(numbers, cadence.star, curves)


def _into_range(i_mag: float, sampling: SamplingSettings, rng: np.random.Generator) -> float:
    """Change of the distance modulus of a star that the survey cannot see, to within a magnitude of its limit."""
    within = float(rng.random())
    if i_mag < sampling.brightest_I:
        return float(sampling.brightest_I + within - i_mag)
    if i_mag > sampling.faintest_I:
        return float(sampling.faintest_I - within - i_mag)
    return 0.0


def _cadence(sight: SightLine, rng: np.random.Generator) -> Cadence:
    if sight.templates is not None:
        return sight.templates.draw(rng)
    return seasonal_cadence(sight.galaxy, sight.sampling, rng=rng)
