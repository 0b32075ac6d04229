"""Stars of the mock survey: who they are, what they look like, and how a catalogue would list them.

Every star has a generator of its own, so that a star does not change when the survey grows. Systems are
drawn until one is bright enough and varies enough to be in a catalogue; inclinations are isotropic before
that.
"""

from dataclasses import dataclass
from typing import Literal, Self
from zlib import crc32

import numpy as np
from pydantic import Field, model_validator

from cbminer.errors import SettingsError
from cbminer.quantities import Magnitudes, SettingsModel
from cbminer.synthetic.cadence import photometric_error
from cbminer.synthetic.population import DrawnSystem, draw_system
from cbminer.synthetic.shapes import LightCurveShape, ShapeFigures, measure_shape

__all__ = [
    "MOCK_PREFIX",
    "CatalogueRow",
    "MockCloud",
    "MockMixture",
    "MockSettings",
    "MockStar",
    "Sight",
    "draw_star",
    "star_generator",
]

# Every simulated star is named so.
MOCK_PREFIX = "MOCK-"

_CENTRE = {"LMC": (80.05, -69.30), "SMC": (13.19, -72.83)}
_SCALE_LENGTH_DEG = {"LMC": 1.4, "SMC": 1.0}
_LARGEST_RADIUS_DEG = 5.0
_A_I_PER_E = 1.5
_A_V_PER_E = 2.5
_REFERENCE_HJD = 2455500.0
_MANY_TRIALS = 20000
# A star is found if it varies by more than this many errors of a point.
_DETECTION = 1.5

# How a human would label each kind: probabilities of C, NC, ELL and CV.
_LABELS = ("C", "NC", "ELL", "CV")
_LABEL_ODDS = {
    "contact": (0.92, 0.06, 0.02, 0.0),
    "near_contact": (0.55, 0.43, 0.02, 0.0),
    "semi_detached": (0.10, 0.89, 0.01, 0.0),
    "detached": (0.01, 0.99, 0.0, 0.0),
    "ellipsoidal": (0.12, 0.03, 0.85, 0.0),
    "pulsator_double_period": (0.75, 0.0, 0.25, 0.0),
    "spotted": (0.50, 0.08, 0.40, 0.02),
    "be_like": (0.40, 0.18, 0.37, 0.05),
}
_CLOSE_KINDS = {"contact", "near_contact"}
# Below this depth contact and near-contact pairs look like ellipsoidal variables to many.
_LOW_AMPLITUDE = 0.12
_LOW_AMPLITUDE_ODDS = (0.60, 0.10, 0.30, 0.0)


class MockMixture(SettingsModel):
    """Relative numbers of the kinds of stars in the mock survey; their sum does not matter."""

    contact: float = Field(
        default=0.18, ge=0, description="contact binaries, a tenth of them late-type foreground stars"
    )
    near_contact: float = Field(default=0.13, ge=0, description="both stars at 0.85 to 1 of their Roche lobes")
    semi_detached: float = Field(default=0.15, ge=0, description="evolved secondary that fills its lobe")
    detached: float = Field(default=0.30, ge=0, description="main-sequence pairs up to 100 d, eccentric when wide")
    ellipsoidal: float = Field(default=0.10, ge=0, description="no eclipses; half of them red giants")
    pulsator_double_period: float = Field(default=0.06, ge=0, description="pulsators listed at twice their period")
    spotted: float = Field(default=0.04, ge=0, description="changing asymmetric waves of spots, hot and cool")
    be_like: float = Field(default=0.04, ge=0, description="irregular hot stars with a spurious period")

    @model_validator(mode="after")
    def _some_kind(self) -> Self:
        if sum(self.model_dump().values()) <= 0:
            msg = "all weights are zero: give at least one kind of star a positive weight"
            raise ValueError(msg)
        return self


class MockSettings(SettingsModel):
    """Recipe of the mock survey."""

    n_lmc: int = Field(default=2000, ge=1, le=99999, description="stars in the LMC")
    n_smc: int = Field(default=600, ge=1, le=99999, description="stars in the SMC")
    seasons: int = Field(default=5, ge=1, le=12, description="observing seasons of eight months, from 2010 on")
    brightest_I: Magnitudes = Field(default=13.0, description="brighter stars are left out: saturated in OGLE-IV")
    faintest_I: Magnitudes = Field(default=20.5, description="fainter stars are left out: too noisy to be found")
    smallest_amplitude: Magnitudes = Field(default=0.03, description="stars that vary less in I are left out")
    without_V: float = Field(default=0.05, ge=0, le=1, description="share of stars without V magnitude")
    without_T0: float = Field(default=0.01, ge=0, le=1, description="share of stars without epoch of minimum")
    without_light_curve: float = Field(default=0.01, ge=0, le=1, description="share of stars without light-curve file")
    short_light_curve: float = Field(default=0.05, ge=0, le=1, description="share of stars with 20 to 60 points in I")
    wrong_period: float = Field(
        default=0.04,
        ge=0,
        le=1,
        description="share of contact and near-contact stars listed at half or twice the period",
    )
    outliers: float = Field(default=0.003, ge=0, le=1, description="share of points that are far off")
    mixture: MockMixture = MockMixture()


@dataclass(frozen=True)
class MockCloud:
    """One simulated Cloud.

    Attributes
    ----------
    name : {"LMC", "SMC"}
        The Cloud.
    n_stars : int
        Number of stars.
    distance_modulus, depth_scatter : float
        Distance modulus and its scatter along the line of sight in magnitudes.
    mean_E_VI, scatter_E_VI : float
        Mean and scatter of the reddening E(V-I) in magnitudes.
    """

    name: Literal["LMC", "SMC"]
    n_stars: int
    distance_modulus: float
    depth_scatter: float
    mean_E_VI: float
    scatter_E_VI: float


@dataclass(frozen=True)
class Sight:
    """A system as it is seen through its distance and dust, without noise.

    Attributes
    ----------
    kind : str
        One of the fields of `MockMixture`.
    system : DrawnSystem
        The system.
    shape : LightCurveShape
        Its light curve.
    figures : ShapeFigures
        Amplitude and depths.
    distance_modulus, E_VI : float
        Distance modulus and reddening of this star in magnitudes.
    I_mag, V_mag : float
        Apparent magnitudes at maximum light.
    """

    kind: str
    system: DrawnSystem
    shape: LightCurveShape
    figures: ShapeFigures
    distance_modulus: float
    E_VI: float
    I_mag: float
    V_mag: float


@dataclass(frozen=True)
class CatalogueRow:
    """What the catalogue says of a star; NaN and empty text where it says nothing.

    Attributes
    ----------
    label : {"C", "NC", "ELL", "CV"}
        Type, as a human would give it.
    I_mag, V_mag : float
        Magnitudes at maximum light.
    period : float
        Period in days.
    T0 : float
        Epoch of the primary minimum, full HJD.
    depth1, depth2 : float
        Depths in I in magnitudes.
    ogle4_id, ogle3_id, ogle2_id, other_id : str
        Cross identifications, each marked as mock.
    remark : str
        Remark.
    """

    label: str
    I_mag: float
    V_mag: float
    period: float
    T0: float
    depth1: float
    depth2: float
    ogle4_id: str
    ogle3_id: str
    ogle2_id: str
    other_id: str
    remark: str


@dataclass(frozen=True)
class MockStar:
    """A star of the mock survey: what is true of it and what its catalogue row says.

    Attributes
    ----------
    star : str
        Identifier, such as ``MOCK-LMC-ECL-00001``.
    galaxy : str
        The Cloud in whose catalogue it is.
    ra, dec : float
        Position in degrees.
    sight : Sight
        The truth.
    epoch : float
        Full HJD of cycle 0 of the shape.
    row : CatalogueRow
        The catalogue row.
    n_short : int
        Number of points in I of a short light curve; 0 for a whole one.
    has_light_curve : bool
        Whether there is a light-curve file.
    """

    star: str
    galaxy: str
    ra: float
    dec: float
    sight: Sight
    epoch: float
    row: CatalogueRow
    n_short: int
    has_light_curve: bool


def star_generator(seed: int, galaxy: str, number: int, *, purpose: int) -> np.random.Generator:
    """Make the generator of one star for one purpose.

    Parameters
    ----------
    seed : int
        Seed of the survey.
    galaxy : str
        The Cloud.
    number : int
        Number of the star, from 1.
    purpose : int
        What is drawn from it.

    Returns
    -------
    `~numpy.random.Generator`
        Independent of all other stars, Clouds and purposes.
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(crc32(galaxy.encode()), number, purpose))
    return np.random.default_rng(sequence)


def draw_star(cloud: MockCloud, number: int, *, settings: MockSettings, seed: int) -> MockStar:
    """Draw one star of a Cloud.

    Parameters
    ----------
    cloud : MockCloud
        The Cloud.
    number : int
        Number of the star, from 1.
    settings : MockSettings
        The recipe.
    seed : int
        Seed of the survey.

    Returns
    -------
    MockStar
        The star.

    Raises
    ------
    SettingsError
        If the magnitudes and amplitudes allowed leave no star to draw.
    """
    rng = star_generator(seed, cloud.name, number, purpose=0)
    sight = _draw_sight(cloud, settings, rng)
    period = sight.system.period
    epoch = _REFERENCE_HJD + float(rng.uniform(0.0, period))
    ra, dec = _position(cloud.name, rng)
    row = _catalogue_row(sight, epoch, settings, rng)
    short, n_short = rng.random() < settings.short_light_curve, int(rng.integers(20, 61))
    return MockStar(
        star=f"{MOCK_PREFIX}{cloud.name}-ECL-{number:05d}",
        galaxy=cloud.name,
        ra=ra,
        dec=dec,
        sight=sight,
        epoch=epoch,
        row=row,
        n_short=n_short if short else 0,
        has_light_curve=bool(rng.random() >= settings.without_light_curve),
    )


def _draw_sight(cloud: MockCloud, settings: MockSettings, rng: np.random.Generator) -> Sight:
    """Draw systems of one kind until one is in the range of the survey."""
    weights = settings.mixture.model_dump()
    share = np.array(list(weights.values())) / sum(weights.values())
    kind = list(weights)[int(rng.choice(len(share), p=share))]
    for _ in range(_MANY_TRIALS):
        system = draw_system(kind, rng)
        modulus, reddening = _line_of_sight(cloud, rng, foreground=system.foreground)
        i_mag = system.M_I + modulus + _A_I_PER_E * reddening
        # Magnitudes first: they cost next to nothing, a light curve a few milliseconds.
        if not settings.brightest_I < i_mag < settings.faintest_I:
            continue
        shape = system.shape
        figures = measure_shape(shape)
        if figures.amplitude > _smallest_amplitude(i_mag, settings):
            v_mag = system.M_I + system.VI0 + modulus + _A_V_PER_E * reddening
            return Sight(kind, system, shape, figures, modulus, reddening, i_mag, v_mag)
    msg = (
        f"[mock] no star of the kind {kind} has the magnitudes and amplitudes that are asked for: "
        f"widen brightest_I, faintest_I or smallest_amplitude"
    )
    raise SettingsError(msg)


def _line_of_sight(cloud: MockCloud, rng: np.random.Generator, *, foreground: bool) -> tuple[float, float]:
    """Draw distance modulus and reddening."""
    modulus = cloud.distance_modulus + float(rng.normal()) * cloud.depth_scatter
    reddening = _reddening(cloud, rng)
    if foreground:
        # A star of the Galaxy stands in front of the dust of the Cloud, behind about half of the mean.
        return float(rng.uniform(9.0, 13.5)), 0.5 * reddening
    return modulus, reddening


def _smallest_amplitude(i_mag: float, settings: MockSettings) -> float:
    """Range in I from which a star is found."""
    return max(float(settings.smallest_amplitude), _DETECTION * float(photometric_error(np.array(i_mag))))


def _reddening(cloud: MockCloud, rng: np.random.Generator) -> float:
    """Draw from a normal distribution cut off at zero."""
    reddening = -1.0
    while reddening < 0.0:
        reddening = float(rng.normal(max(cloud.mean_E_VI, 0.0), cloud.scatter_E_VI))
    return reddening


def _catalogue_row(sight: Sight, epoch: float, settings: MockSettings, rng: np.random.Generator) -> CatalogueRow:
    """Write down a star as a catalogue does: with errors, gaps and a label."""
    figures, period = sight.figures, sight.system.period
    label = _label(sight, rng)
    factor = _period_factor(sight.kind, settings, rng)
    error = photometric_error(np.array([sight.I_mag, sight.V_mag]))
    # Calibration, and the error of the brightest part of the curve: there are fewer points in V.
    shift = np.hypot([0.008, 0.012], error / np.array([6.0, 3.0])) * rng.normal(size=2)
    # Five years fix a period to a phase of about 0.001 over all of them, and an epoch to the same.
    listed_period = factor * period * (1.0 + 1e-6 * period * float(rng.normal()))
    minimum = epoch + period * (figures.primary_cycle + 1e-3 * float(rng.normal()))
    depth1, depth2 = _listed_depths(label, factor, figures, rng)
    has_v, has_epoch = rng.random(2) >= np.array([settings.without_V, settings.without_T0])
    ogle4_id, ogle3_id, ogle2_id, other_id = _cross_identifications(rng)
    return CatalogueRow(
        label=label,
        I_mag=float(sight.I_mag + shift[0]),
        V_mag=float(sight.V_mag + shift[1]) if has_v else np.nan,
        period=listed_period,
        T0=minimum if has_epoch else np.nan,
        depth1=depth1,
        depth2=depth2,
        ogle4_id=ogle4_id,
        ogle3_id=ogle3_id,
        ogle2_id=ogle2_id,
        other_id=other_id,
        remark=_remark(sight, factor, rng),
    )


def _label(sight: Sight, rng: np.random.Generator) -> str:
    odds = _LABEL_ODDS[sight.kind]
    if sight.kind in _CLOSE_KINDS and sight.figures.depth1 < _LOW_AMPLITUDE:
        odds = _LOW_AMPLITUDE_ODDS
    return _LABELS[int(rng.choice(len(_LABELS), p=odds))]


def _period_factor(kind: str, settings: MockSettings, rng: np.random.Generator) -> float:
    """Draw the listed period over the period of the shape."""
    wrong, factor = rng.random() < settings.wrong_period, float(rng.choice([0.5, 2.0]))
    return factor if wrong and kind in _CLOSE_KINDS else 1.0


def _listed_depths(label: str, factor: float, figures: ShapeFigures, rng: np.random.Generator) -> tuple[float, float]:
    """Depths with the error of a template fit; ellipsoidal variables have none, half a period only one."""
    depths = np.array([figures.depth1, figures.depth2]) * (1.0 + 0.03 * rng.normal(size=2))
    if label == "ELL":
        return np.nan, np.nan
    if factor < 1.0:
        return float(depths.max()), np.nan
    return float(depths.max()), float(max(depths.min(), 0.0))


def _remark(sight: Sight, factor: float, rng: np.random.Generator) -> str:
    """Remark on a part of the stars that deserve one."""
    chance = rng.random()
    possible = [
        (factor != 1.0, "uncertain period", 0.3),
        (sight.system.eccentricity > 0.1, "eccentric orbit", 0.5),
        (sight.kind in {"spotted", "be_like"}, "variable amplitude", 0.3),
        (True, "possible blend", 0.01),
    ]
    return next((text for applies, text, share in possible if applies and chance < share), "")


def _cross_identifications(rng: np.random.Generator) -> list[str]:
    """Names in other lists, each marked as mock; older surveys covered less of the sky."""
    covered = rng.random(4) < np.array([0.95, 0.60, 0.20, 0.02])
    numbers = rng.integers(1, 99999, size=3)
    names = [
        f"MOCK{rng.integers(500, 600)}.{rng.integers(1, 33):02d}.{numbers[0]}",
        f"MOCK{rng.integers(100, 220)}.{rng.integers(1, 9)}.{numbers[1]}",
        f"MOCK_SC{rng.integers(1, 22)}.{numbers[2]}",
        f"MOCK V{numbers[2]}",
    ]
    return [name if known else "" for name, known in zip(names, covered, strict=True)]


def _position(galaxy: str, rng: np.random.Generator) -> tuple[float, float]:
    """Draw a position in degrees in a face-on exponential disc about the centre of the Cloud."""
    radius = np.inf
    while radius > _LARGEST_RADIUS_DEG:
        radius = rng.gamma(2.0, _SCALE_LENGTH_DEG[galaxy])
    distance, angle = np.radians(radius), rng.uniform(0.0, 2 * np.pi)
    centre_ra, centre_dec = np.radians(_CENTRE[galaxy])
    sin_dec = np.sin(centre_dec) * np.cos(distance) + np.cos(centre_dec) * np.sin(distance) * np.cos(angle)
    east = np.sin(angle) * np.sin(distance) * np.cos(centre_dec)
    ra = centre_ra + np.arctan2(east, np.cos(distance) - np.sin(centre_dec) * sin_dec)
    return float(np.degrees(ra) % 360.0), float(np.degrees(np.arcsin(sin_dec)))
