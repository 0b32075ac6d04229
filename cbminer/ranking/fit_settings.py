"""Settings of the fits of light curves: data, priors, resolution of the models and effort of the sampler."""

from typing import Self

from pydantic import Field, model_validator

from cbminer.quantities import Magnitudes, SettingsModel

__all__ = ["FitDataSettings", "FitPriors", "FitSettings", "FitTableSettings"]


class FitDataSettings(SettingsModel):
    """Which points are fitted, and what their errors are taken to be."""

    least_points_I: int = Field(default=60, ge=20, description="points in I that a star needs")
    least_points_V: int = Field(default=15, ge=3, description="points in V below which these are left out")
    phase_bins: int = Field(
        default=100, ge=20, le=1000, description="bins of phase of a band, each one point at the mean of its points"
    )
    harmonics: int = Field(
        default=10, ge=2, le=30, description="order of the Fourier series about which the scatter of points is measured"
    )
    clip_sigma: float = Field(
        default=5.0, gt=2, description="points farther from that series, in units of their scatter, are left out"
    )


class FitPriors(SettingsModel):
    """What is held of a binary before its light curve is looked at; inclinations are isotropic."""

    least_mass_ratio: float = Field(
        default=0.2, ge=0.05, lt=1, description="less over more massive star at least; flat from there to 1"
    )
    least_inclination: float = Field(
        default=20.0, ge=0, lt=80, description="degrees; pairs seen from farther above vary by less than 0.03 mag"
    )
    largest_fillout: float = Field(
        default=0.99, gt=0.1, le=0.999, description="fill-out is flat from 0 to this; the surface through L2 has a cusp"
    )
    near_contact_from: float = Field(
        default=0.9, ge=0.7, lt=1, description="R / R_L of both stars near contact is flat from this to 1"
    )
    contact_teff_scatter: float = Field(
        default=0.04,
        gt=0,
        lt=0.2,
        description="scatter of T2 / T1 about 1 in contact: about that of the known massive ones",
    )
    near_contact_teff_scatter: float = Field(
        default=0.04,
        gt=0,
        lt=0.2,
        description="relative scatter of T2 / T1 about the root of the mass ratio near contact; assumed",
    )
    blended: float = Field(default=0.2, gt=0, lt=1, description="share of stars with third light; assumed")
    third_light_least: float = Field(
        default=0.02,
        gt=0,
        lt=0.5,
        description="the other stars have a third light that is flat from 0 to this, over all light at phase 0.25",
    )
    third_light_most: float = Field(
        default=0.5,
        gt=0,
        lt=0.95,
        description="stars with third light have one that is flat from there to this; assumed",
    )
    teff: float = Field(
        default=25000.0,
        ge=12000,
        le=40000,
        description="K, temperature of star 1 where the colour does not tell; curves hardly depend on it",
    )
    teff_scatter: float = Field(
        default=0.3, gt=0, lt=2, description="scatter of its natural logarithm, set against the colour; assumed"
    )
    phase_error: float = Field(
        default=0.003, gt=0, lt=0.05, description="cycles, error of the phase of the minimum; assumed"
    )
    model_error_least: Magnitudes = Field(
        default=0.0002,
        gt=0,
        description="error of a model in a bin of phase, for what no model has (spots, streams, red noise), at least; "
        "its logarithm is flat",
    )
    model_error_most: Magnitudes = Field(default=0.02, gt=0, description="the same at most; assumed")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for least, most in (("third_light_least", "third_light_most"), ("model_error_least", "model_error_most")):
            if getattr(self, least) >= getattr(self, most):
                msg = f"{least} is not below {most}: exchange them, or raise {most}"
                raise ValueError(msg)
        return self


class FitTableSettings(SettingsModel):
    """Resolution of the tables of light curves between which the sampler interpolates."""

    n_bands: int = Field(
        default=36,
        ge=6,
        le=240,
        multiple_of=3,
        description="bands of cells of a star: 36 err by about 0.2 mmag rms and 1 mmag in the minima, 24 by twice that "
        "and more, which biases fill-outs",
    )
    phases: int = Field(default=41, ge=11, le=401, description="phases from 0 to a half")
    mass_ratios: int = Field(default=8, ge=3, le=40, description="nodes in the mass ratio, even in its logarithm")
    inclinations: int = Field(default=24, ge=3, le=100, description="nodes in the cosine of the inclination")
    fillouts: int = Field(default=10, ge=3, le=40, description="nodes in the fill-out")
    lobe_fillings: int = Field(default=5, ge=3, le=40, description="nodes in R / R_L of each star near contact")
    limb_darkening_I: float = Field(
        default=0.23, ge=0, le=1, description="linear coefficient of both stars in I (Rucinski's tables for 32 kK)"
    )
    limb_darkening_V: float = Field(default=0.30, ge=0, le=1, description="the same in V")


class FitSettings(SettingsModel):
    """Fits of contact and near-contact models to light curves."""

    best: int = Field(default=100, ge=1, description="stars, the best of a run, that are fitted unless some are named")
    live_points: int = Field(default=500, ge=50, description="live points of the nested sampler")
    samples: int = Field(default=2000, ge=100, description="effective samples of a posterior at least")
    checked: int = Field(
        default=100,
        ge=10,
        description="samples whose curves are computed anew by the light-curve engine, to undo the error of the tables",
    )
    data: FitDataSettings = FitDataSettings()
    priors: FitPriors = FitPriors()
    tables: FitTableSettings = FitTableSettings()
