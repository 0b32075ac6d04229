"""Injected binaries as the survey lists and observes them: at the place of a host, on its dates, with its noise."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from astropy.table import QTable

from cbminer.columns import FloatArray
from cbminer.completeness.survey_field import InjectionField, generator
from cbminer.completeness.systems import KINDS, draw_systems, joined
from cbminer.survey.mock_population import MOCK_PREFIX
from cbminer.survey.packed import PackedLightCurves, pack_light_curves
from cbminer.survey.photometry_file import LightCurve
from cbminer.survey.stars import Identity, Parameters, star_table
from cbminer.synthetic.cadence import dilute, draw_third_light, perturbed_ephemeris
from cbminer.synthetic.library import LibrarySettings
from cbminer.synthetic.limb_darkening import LimbDarkening
from cbminer.synthetic.passbands import standard_passband
from cbminer.synthetic.roche import RocheEngine
from cbminer.synthetic.systems import BinarySystems

__all__ = ["CHUNK", "InjectedChunk", "Truth", "make_chunk"]

# Stars of a chunk: what is in memory at a time and thread.
CHUNK = 500
_N_PHASES = 200
# A full Julian date before the first season; the phase of a star is random anyway.
_REFERENCE_HJD = 2455000.0
_WRONG_FACTORS = (0.5, 2.0)

Truth = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class InjectedChunk:
    """Injected stars before they are judged.

    Attributes
    ----------
    stars : `~astropy.table.QTable`
        What the catalogue lists, as a reading of an archive has it.
    curves : PackedLightCurves
        Their light curves in I; a star whose host has none has no points.
    truth : dict of str to `~numpy.ndarray`
        What is true of them, by the names of `cbminer.completeness.columns.TRUTH`.
    """

    stars: QTable
    curves: PackedLightCurves
    truth: Truth


@dataclass(frozen=True)
class _Binary:
    """A binary without a place: what is true of it, and its magnitudes below maximum light at even phases."""

    name: str
    kind: int
    period: float
    M_V: float
    VI0: float
    below_max: FloatArray


@dataclass(frozen=True)
class _SeenStar:
    """A binary at its place: what is true of it there, what the catalogue lists, and the randomness that is left."""

    host: int
    epoch: float
    third_light: float
    type_: str
    truth: dict[str, float]
    listed: Parameters
    rng: np.random.Generator


def make_chunk(field: InjectionField, number: int, *, seed: int, size: int = CHUNK) -> InjectedChunk:
    """Make the stars of a chunk as the survey would list and observe them.

    Parameters
    ----------
    field : InjectionField
        The Cloud.
    number : int
        Number of the chunk, from 0.
    seed : int
        Seed of all injections. The stars of a chunk follow from it and the number alone.
    size : int, optional
        Take the first of its 500 stars only.

    Returns
    -------
    InjectedChunk
        The stars.

    Raises
    ------
    SettingsError
        If the priors have no binary of the magnitudes of the selection.
    """
    kinds, systems, truth = _draw_chunk(field, number, seed, size)
    below_max = _curves(systems, field.settings.library)
    columns = zip(kinds, truth["true_period"], truth["true_M_V"], truth["true_VI0"], below_max, strict=True)
    first = number * CHUNK + 1
    binaries = [
        _Binary(
            f"{MOCK_PREFIX}INJ-{field.galaxy}-{first + row:07d}",
            int(kind),
            float(period),
            float(m_v),
            float(vi0),
            curve,
        )
        for row, (kind, period, m_v, vi0, curve) in enumerate(columns)
    ]
    seen = [
        _see(field, binary, generator(seed, field.galaxy, first + row, purpose=1))
        for row, binary in enumerate(binaries)
    ]
    names = {name: np.array([star.truth[name] for star in seen]) for name in seen[0].truth}
    texts = {
        "id": np.array([binary.name for binary in binaries]),
        "survey": np.full(size, "mock"),
        "galaxy": np.full(size, field.galaxy),
        "kind": np.array(KINDS)[kinds],
        "host": field.hosts.star[[star.host for star in seen]],
    }
    depths = {"true_depth1": below_max[:, 0], "true_depth2": below_max[:, _N_PHASES // 2]}
    return InjectedChunk(_catalogue(field, seen), _light_curves(field, binaries, seen), texts | truth | names | depths)


def _draw_chunk(
    field: InjectionField, number: int, seed: int, size: int
) -> tuple[npt.NDArray[np.int64], BinarySystems, dict[str, FloatArray]]:
    """Draw kinds and binaries; those of a whole chunk, so that a larger number of stars begins with the same ones."""
    rng = generator(seed, field.galaxy, number, purpose=0)
    kinds = (rng.random(CHUNK) < field.settings.completeness.near_contact).astype(np.int64)
    counts = np.bincount(kinds, minlength=len(KINDS))
    drawn = [
        draw_systems(kind, int(n), laws=field.laws, rng=rng, aim=field.aims.get(kind))
        for kind, n in zip(KINDS, counts, strict=True)
    ]
    kinds = kinds[:size]
    # Star r of a kind is the r-th that was drawn of it.
    place = np.where(kinds == 1, np.cumsum(kinds) - 1 + counts[0], np.cumsum(1 - kinds) - 1)
    both = joined(drawn)
    return kinds, both.systems[place], {name: data[place] for name, data in both.truth.items()}


def _curves(systems: BinarySystems, library: LibrarySettings) -> FloatArray:
    """Magnitudes in I below maximum light at even phases from 0 to 1, the deeper minimum at 0; shape (n, 201)."""
    passband = standard_passband("I").darkened_by(LimbDarkening("linear", (library.limb_darkening_I,)))
    engine = RocheEngine(passbands=[passband], n_bands=library.n_bands, threads=1)
    flux = engine.light_curves(systems, np.arange(_N_PHASES) / _N_PHASES)[:, 0]
    other = flux[:, _N_PHASES // 2] < flux[:, 0]
    flux[other] = np.roll(flux[other], _N_PHASES // 2, axis=1)
    closed = np.hstack([flux, flux[:, :1]])
    return np.asarray(-2.5 * np.log10(closed / flux.max(axis=1, keepdims=True)))


def _see(field: InjectionField, binary: _Binary, rng: np.random.Generator) -> _SeenStar:
    """Put a binary at the place of a host, and write its line of the catalogue."""
    settings, hosts = field.settings, field.hosts
    host = int(rng.integers(len(hosts)))
    modulus, reddening = field.sight_of(host, rng)
    third_light = draw_third_light(settings.sampling, rng)
    alone = binary.M_V + modulus + settings.extinction.A_V_per_E_VI * reddening
    v_mag = alone + 2.5 * np.log10(1.0 - third_light["V"])
    i_mag = alone - binary.VI0 - reddening + 2.5 * np.log10(1.0 - third_light["I"])
    epoch = _REFERENCE_HJD + binary.period * float(rng.random())
    listed = perturbed_ephemeris(binary.period, epoch, settings=settings.sampling, rng=rng)
    wrong, factor = rng.random() < field.settings.completeness.wrong_period, float(rng.choice(_WRONG_FACTORS))
    period = listed.period * factor if wrong else listed.period
    names, shares = hosts.types[KINDS[binary.kind]]
    type_ = str(rng.choice(names, p=shares))
    off_i, off_v = rng.normal(size=2)
    row = Parameters(
        binary.name,
        I_mag=float(i_mag) + settings.extinction.e_I_mag * float(off_i) if hosts.has_I[host] else np.nan,
        V_mag=float(v_mag) + settings.extinction.e_V_mag * float(off_v) if hosts.has_V[host] else np.nan,
        period=period,
        T0=listed.epoch if hosts.has_T0[host] else np.nan,
        depth1=np.nan,
        depth2=np.nan,
    )
    truth = {
        "listed_period": period,
        "true_distance_modulus": modulus,
        "true_E_VI": reddening,
        "third_light": third_light["I"],
        "true_I_mag": float(i_mag),
        "true_V_mag": float(v_mag),
    }
    return _SeenStar(host, epoch, third_light["I"], type_, truth, row, rng)


def _catalogue(field: InjectionField, seen: list[_SeenStar]) -> QTable:
    hosts = field.hosts
    identities = [
        Identity(star.listed.star, star.type_, float(hosts.ra[star.host]), float(hosts.dec[star.host])) for star in seen
    ]
    stars = star_table(identities, {star.listed.star: star.listed for star in seen}, {}, field.galaxy)
    stars["survey"] = np.full(len(stars), "mock")
    return stars


def _light_curves(field: InjectionField, binaries: list[_Binary], seen: list[_SeenStar]) -> PackedLightCurves:
    """Light curves on the dates of the hosts, with the noise of the survey."""
    lent = field.store.read([str(field.hosts.star[star.host]) for star in seen]).curves
    made = []
    for place, (binary, star) in enumerate(zip(binaries, seen, strict=True)):
        time = lent.time[lent.points_of(place)]
        cycles = np.mod((time - star.epoch) / binary.period, 1.0)
        below_max = np.interp(cycles * _N_PHASES, np.arange(_N_PHASES + 1), binary.below_max)
        brightest = star.truth["true_I_mag"]
        mag, error = field.noise.observe(brightest + dilute(below_max, star.third_light), brightest, star.rng)
        made.append(LightCurve(time, mag.astype(np.float32), error.astype(np.float32)))
    return pack_light_curves([binary.name for binary in binaries], made)
