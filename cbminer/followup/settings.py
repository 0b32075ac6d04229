"""Settings of follow-up: ephemerides, expected velocities, nights, windows and exposures."""

from typing import Literal

from pydantic import Field

from cbminer.quantities import Days, Degrees, SettingsModel

__all__ = [
    "EphemerisSettings",
    "ExposureSettings",
    "FollowUpSettings",
    "ObservingSettings",
    "VelocitySettings",
    "WindowSettings",
]


class EphemerisSettings(SettingsModel):
    """How epochs and periods are read, and when they no longer say where in its orbit a star is."""

    time_scale: Literal["utc", "tdb"] = Field(
        default="utc",
        description="time scale of the survey's heliocentric Julian dates; UTC is assumed for OGLE, which names none. "
        "TDB is 69 s ahead",
    )
    error_factor: float = Field(
        default=1.3,
        gt=0,
        description="by which the fitted errors of epoch and period are multiplied: of 351 candidates of the mock "
        "survey, 68 % of the true epochs lie within 1.3 times the error that is stated a thousand cycles away",
    )
    assumed_e_T0: Days = Field(
        default=0.026,
        ge=0,
        description="error of the catalogue's epoch, which comes without one: 68 % of those of 189 stars of OGLE-II "
        "lie within this of the fitted ephemerides",
    )
    assumed_relative_e_period: float = Field(
        default=1e-5, ge=0, description="relative error of a period that comes without one; assumed, and noted"
    )
    assumed_relative_period_change: float = Field(
        default=0.0,
        ge=0,
        description="per year; change of the period over the period that may go unnoticed. Half of it times the square "
        "of the time since the epoch is added in squares to the error of a minimum. 0: periods are taken to be "
        "constant, as the survey's are. Mass exchange on a nuclear time scale of 10 Myr gives 1e-7; assumed, not "
        "measured",
    )
    lost_from: float = Field(
        default=0.1, gt=0, lt=0.5, description="error of the phase in cycles above which the ephemeris counts as lost"
    )


class VelocitySettings(SettingsModel):
    """How velocities are expected from models near a star and from the depth of its minima."""

    model_scatter_M_V: float = Field(
        default=0.29,
        gt=0,
        description="mag; scatter of known systems about the models (docs/embedded_grid.md), added to the star's error",
    )
    model_scatter_VI0: float = Field(default=0.032, gt=0, description="mag; the same in (V-I)_0")
    log_period_width: float = Field(
        default=0.03, gt=0, description="dex; models within about this of the period count; assumed"
    )
    mass_smoothing: float = Field(
        default=0.05,
        ge=0,
        description="relative scatter added to the masses of models, which come in steps of 18 % in the shipped grids",
    )
    depth_error: float = Field(
        default=0.03,
        gt=0,
        description="mag; error of the depth that a model predicts at an inclination: temperatures, limb and gravity "
        "darkening; assumed, added to the star's",
    )
    least_models: float = Field(
        default=20.0,
        ge=1,
        description="models of equal weight that masses rest on at least; the search is widened twice to reach them, "
        "and what rests on fewer is noted",
    )
    draws: int = Field(default=4000, ge=100, description="draws of mass, mass ratio and inclination a star and model")
    largest_distance: float = Field(
        default=5.0, gt=0, description="standard deviations beyond which the nearest model is too far to say anything"
    )


class ObservingSettings(SettingsModel):
    """When a telescope can look at a star."""

    sun_altitude: Degrees = Field(
        default=-18.0, ge=-18, le=-6, description="the Sun is below this; -18 deg is the astronomical night"
    )
    airmass_max: float = Field(
        default=2.0, ge=1, le=3, description="secant of the true zenith distance at most; without refraction"
    )
    moon_separation_min: Degrees = Field(
        default=30.0, ge=0, le=120, description="from the Moon at least while it is above the horizon; assumed"
    )


class WindowSettings(SettingsModel):
    """Which phases are worth a spectrum."""

    half_width: float = Field(
        default=0.05,
        gt=0,
        lt=0.25,
        description="phase about 0.25 and 0.75; velocities are there within 5 % of the largest",
    )
    phase_error: Literal["sure", "nominal", "possible"] = Field(
        default="sure",
        description="sure: windows are narrowed by the standard error of the phase on either side, so that a star has "
        "none where that reaches half_width; possible: widened; nominal: left alone",
    )
    shortest: float = Field(default=10.0, ge=0, description="minutes; shorter windows are left out")


class ExposureSettings(SettingsModel):
    """Photons that a spectrograph counts: the least exposure, without sky, slit losses and read-out noise."""

    signal_to_noise: float = Field(default=50.0, gt=0, description="wanted in a resolution element")
    resolving_power: float = Field(default=5000.0, gt=0, description="assumed; put in that of your spectrograph")
    efficiency: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="photons counted over photons that fall on the atmosphere above the mirror, extinction included; "
        "assumed, ask the exposure-time calculator of your instrument",
    )
    diameter: float | None = Field(
        default=None, gt=0, description="m; of the mirror; that of the site by default, needed for a site of your own"
    )
    most_of_period: float = Field(
        default=0.05,
        gt=0,
        lt=0.5,
        description="no exposure is longer than this part of the period, since it would smear the velocities",
    )


class FollowUpSettings(SettingsModel):
    """Settings of the command follow-up."""

    best: int = Field(default=20, ge=1, description="candidates that are followed up, the best by rank")
    curves: int = Field(default=8, ge=0, description="stars whose velocity curves are drawn")
    ephemeris: EphemerisSettings = EphemerisSettings()
    velocities: VelocitySettings = VelocitySettings()
    observing: ObservingSettings = ObservingSettings()
    windows: WindowSettings = WindowSettings()
    exposure: ExposureSettings = ExposureSettings()
