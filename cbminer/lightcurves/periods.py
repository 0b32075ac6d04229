"""Whether the listed period of an eclipsing binary is the orbital one, half or twice of it, or none.

Catalogues list contact binaries at half their period and pulsators at twice theirs. `judge_periods` refines each
period, finds the shortest cycle of the light curve among P/4, P/2, P and 2P by the BIC of nested harmonic models, and
asks what that cycle looks like: how many minima it has, how narrow and how symmetric they are. Two minima a cycle make
the cycle the orbit of a binary. One broad, symmetric minimum is that of half an orbit, whose two halves are equal. One
narrow minimum is either. An asymmetric wave is a pulsation.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.special import expit, ndtr

from cbminer.columns import FloatArray
from cbminer.lightcurves.period_alias import better_aliases
from cbminer.lightcurves.period_kernels import FIGURES, LEVEL_FIGURES, LEVELS, measure_stars
from cbminer.quantities import Magnitudes, SettingsModel
from cbminer.survey.packed import PackedLightCurves

__all__ = ["PeriodJudgements", "PeriodSettings", "PeriodVerdict", "explain_verdict", "judge_periods"]


class PeriodVerdict(IntEnum):
    """What the light curve says of the listed period P."""

    UNDECIDED = 0
    CONFIRMED = 1
    HALF = 2
    DOUBLE = 3
    NOT_ECLIPSING = 4
    REFUTED = 5


_SENTENCES = {
    PeriodVerdict.UNDECIDED: "too few points or cycles to judge the period",
    PeriodVerdict.CONFIRMED: "the listed period is that of an eclipsing binary",
    PeriodVerdict.HALF: "the period of the binary is half of the listed one",
    PeriodVerdict.DOUBLE: "the period of the binary is twice the listed one",
    PeriodVerdict.NOT_ECLIPSING: "the star varies with this period, but not as an eclipsing binary",
    PeriodVerdict.REFUTED: "the light curve does not repeat with the listed period",
}


class PeriodSettings(SettingsModel):
    """Limits and priors of the period check."""

    min_points: int = Field(default=30, ge=15, description="with fewer points a period stays undecided")
    max_drift: float = Field(
        default=1.0,
        gt=0,
        le=5,
        description="how far the refined period may lie from the listed one, in cycles of drift over the whole "
        "light curve; a season's alias lies further away",
    )
    error_floor: Magnitudes = Field(
        default=0.003,
        ge=0,
        description="added in quadrature to the stated errors, as in Skowron J. et al. (2016, AcA 66, 1)",
    )
    least_error_scale: float = Field(
        default=0.7, gt=0, le=1, description="the true errors are at least this many times the stated ones"
    )
    error_scale: float = Field(
        default=1.5, ge=1, description="scatter of this many stated errors counts as noise, not as variability"
    )
    max_incoherent: float = Field(
        default=0.7,
        gt=0,
        lt=1,
        description="share of the variance beyond noise that need not repeat; with more the period is refuted. The "
        "yearly sidelobes of a signal leave more",
    )
    alias_incoherent: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="share of the variance that does not repeat, from which aliases by a day, half a day and a year "
        "are tried; nightly sampling leaves an alias by a day three tenths or more",
    )
    alias_gain: float = Field(
        default=30.0, gt=0, description="an alias whose BIC is lower by this much refutes a period"
    )
    oconnell_tolerance: float = Field(
        default=0.10,
        gt=0,
        description="standard deviation of the difference of the two maxima of binaries (O'Connell 1951), as first "
        "sine term over the size of all terms",
    )
    binary_asymmetry: float = Field(
        default=0.03,
        gt=0,
        description="standard deviation of the second sine term about the minimum of binaries, over the size of all "
        "terms; falls with the square of the order. Cycles that are the mean of two halves of an orbit have 0.7 of it",
    )
    pulsator_asymmetry: float = Field(
        default=0.25,
        gt=0,
        description="the same of pulsators, whose R21 are 0 to 0.5 (e.g. Soszynski et al. 2015, AcA 65, 297)",
    )
    eccentric_share: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        description="share of binaries with narrow eclipses whose orbits are eccentric; assumed",
    )
    second_minimum: float = Field(
        default=0.05, gt=0, lt=1, description="rise between two broad minima that makes them two, over the range"
    )
    narrow_share: float = Field(
        default=0.20,
        gt=0,
        lt=0.5,
        description="share of the cycle below half depth, under which minima are narrow; a star without a visible "
        "companion is eclipsed no longer, since R1 + R2 < 0.6 of the orbit",
    )
    dip_sigma: float = Field(default=4.5, gt=0, description="significance that makes a second narrow minimum real")
    lone_eclipse: float = Field(
        default=0.3, gt=0, lt=1, description="share of narrow single minima whose companion eclipse is invisible"
    )
    prior_confirmed: float = Field(default=0.75, gt=0, description="prior weight of the listed period; assumed")
    prior_half: float = Field(default=0.05, gt=0, description="prior weight of half of it; assumed")
    prior_double: float = Field(default=0.10, gt=0, description="prior weight of twice it; assumed")
    prior_not_eclipsing: float = Field(default=0.05, gt=0, description="prior weight of other variables; assumed")
    prior_refuted: float = Field(default=0.05, gt=0, description="prior weight of a wrong period; assumed")


@dataclass(frozen=True)
class PeriodJudgements:
    """Verdicts on the periods of n stars; all arrays have shape (n,), and NaN where nothing was measured.

    Attributes
    ----------
    verdict : `~numpy.ndarray`
        A `PeriodVerdict` each, int64.
    period, e_period : `~numpy.ndarray`
        Refined listed period and its standard error in days; the listed one and NaN where it is refuted or undecided.
        Errors are scaled by the reduced chi-square where that is above 1.
    moved : `~numpy.ndarray`
        Whether the refinement stayed within its range and found a signal, so that `period` is the refined one.
    epoch, e_epoch : `~numpy.ndarray`
        Time of the deeper minimum nearest to the mean of the times, in days.
    p_confirmed, p_half, p_double, p_not_eclipsing, p_refuted : `~numpy.ndarray`
        Posterior probabilities; they sum to 1, and are the priors of an undecided star.
    ambiguous : `~numpy.ndarray`
        Whether the shortest cycle of the light curve has one minimum only: the curve alone then does not tell a binary
        with two equal minima from one with a single one, or from another variable with half the period.
    cycle : `~numpy.ndarray`
        Shortest period with which the curve repeats, over the listed one: 0.25, 0.5, 1 or 2.
    n_minima : `~numpy.ndarray`
        Minima in a listed period.
    depth_ratio : `~numpy.ndarray`
        Second minimum of the cycle over its first.
    odd_sigma : `~numpy.ndarray`
        Significance of the difference between successive listed periods (the odd harmonics of 2P), in sigma.
    faint_share : `~numpy.ndarray`
        Share of the cycle below half depth: 0.5 of a sine, less where minima are sharper than maxima.
    asymmetry, asymmetry_sigma : `~numpy.ndarray`
        Size of the sine terms about the minimum from the second on over that of all terms, and their significance.
    amplitude : `~numpy.ndarray`
        Range of the model in magnitudes.
    incoherent : `~numpy.ndarray`
        Share of the variance beyond noise that the model leaves.
    alias_period : `~numpy.ndarray`
        Period in days, of a cycle or a multiple of it, of an alias by the sampling that fits better and refutes the
        listed one; NaN if there is none.
    delta_bic : `~numpy.ndarray`
        BIC of a constant star minus that of the best model.
    n_points, n_harmonics : `~numpy.ndarray`
        Points used and harmonics of the best model; int64.
    reduced_chi2 : `~numpy.ndarray`
        Reduced chi-square of the best model.
    """

    verdict: npt.NDArray[np.int64]
    period: FloatArray
    e_period: FloatArray
    moved: npt.NDArray[np.bool_]
    epoch: FloatArray
    e_epoch: FloatArray
    p_confirmed: FloatArray
    p_half: FloatArray
    p_double: FloatArray
    p_not_eclipsing: FloatArray
    p_refuted: FloatArray
    ambiguous: npt.NDArray[np.bool_]
    cycle: FloatArray
    n_minima: FloatArray
    depth_ratio: FloatArray
    odd_sigma: FloatArray
    faint_share: FloatArray
    asymmetry: FloatArray
    asymmetry_sigma: FloatArray
    amplitude: FloatArray
    incoherent: FloatArray
    alias_period: FloatArray
    delta_bic: FloatArray
    n_points: npt.NDArray[np.int64]
    n_harmonics: npt.NDArray[np.int64]
    reduced_chi2: FloatArray

    def __len__(self) -> int:
        """Count the stars."""
        return len(self.verdict)

    @property
    def eclipsing_period(self) -> FloatArray:
        """Period of the binary by the verdict in days; NaN where the star is none or the period is refuted."""
        factor = np.array([np.nan, 1.0, 0.5, 2.0, np.nan, np.nan])
        return np.asarray(self.period * factor[self.verdict])


def judge_periods(curves: PackedLightCurves, period: FloatArray, *, settings: PeriodSettings) -> PeriodJudgements:
    """Refine listed periods, and judge whether they are those of eclipsing binaries.

    Parameters
    ----------
    curves : PackedLightCurves
        Light curves of n stars, best without outliers. Points that are not finite are left out.
    period : `~numpy.ndarray`
        Listed periods in days, shape (n,); NaN leaves a star undecided.
    settings : PeriodSettings
        Limits and priors.

    Returns
    -------
    PeriodJudgements
        A verdict a star. It does not depend on the other stars.

    Notes
    -----
    The models are harmonic series with periods of P/4, P/2, P and 2P and up to 80 harmonics of 2P. Their weights are
    ``exp(-BIC / 2)``. Given the period of the cycle, its shape decides between a binary with that period, a binary
    with twice that period and another variable, by the likelihoods in `_class_shares`; the priors are settings.
    """
    period = np.asarray(period, dtype=np.float64)
    limits = _limits(settings)
    figures, by_level = measure_stars(curves.time, curves.mag, curves.mag_err, curves.offsets, period, limits)
    star = dict(zip(FIGURES, figures.T, strict=True))
    level = dict(zip(LEVEL_FIGURES, np.moveaxis(by_level, 2, 0), strict=True))
    measured = np.isfinite(star["frequency"])
    posterior = _posterior(star, level, settings)
    posterior[~measured] = _priors(settings)
    best = np.where(measured, star["level"], 0).astype(np.int64)
    of_best = {name: data[np.arange(len(data)), best] for name, data in level.items()}
    cycle = np.where(measured, np.array(LEVELS)[best], np.nan)
    delta_bic = star["bic_constant"] - of_best["bic"]
    suspect = measured & (star["incoherent"] > settings.alias_incoherent)
    of_cycle = np.where(suspect, star["frequency"] / cycle, np.nan)
    alias_period, gain = better_aliases(curves, of_cycle, delta_bic, limits=limits)
    aliased = gain > settings.alias_gain
    posterior[aliased] = [0.0, 0.0, 0.0, 0.0, 1.0]
    refined = measured & (star["at_edge"] == 0)
    verdict = np.where(measured, 1 + np.argmax(posterior, axis=1), PeriodVerdict.UNDECIDED)
    moved = refined & (verdict != PeriodVerdict.REFUTED)
    binary = np.isin(verdict, (PeriodVerdict.CONFIRMED, PeriodVerdict.HALF, PeriodVerdict.DOUBLE))
    minima = np.where(of_best["two_minima"] > 0, 2, 1)
    epoch, e_epoch = _epochs(star, cycle)
    return PeriodJudgements(
        verdict=verdict.astype(np.int64),
        period=np.where(moved, 1.0 / star["frequency"], period),
        e_period=np.where(moved, star["e_frequency"] / star["frequency"] ** 2, np.nan),
        moved=moved,
        epoch=epoch,
        e_epoch=e_epoch,
        **{f"p_{PeriodVerdict(1 + k).name.lower()}": posterior[:, k] for k in range(posterior.shape[1])},
        ambiguous=binary & (of_best["two_minima"] <= 0),
        cycle=cycle,
        n_minima=np.where(measured, minima / cycle, np.nan),
        depth_ratio=np.where(minima > 1, of_best["depth_ratio"], np.where(measured, 0.0, np.nan)),
        odd_sigma=star["odd_sigma"],
        faint_share=of_best["faint_share"],
        asymmetry=of_best["asymmetry"],
        asymmetry_sigma=of_best["asymmetry_sigma"],
        amplitude=star["amplitude"],
        incoherent=star["incoherent"],
        alias_period=np.where(aliased, alias_period, np.nan),
        delta_bic=delta_bic,
        n_points=np.nan_to_num(star["n_used"]).astype(np.int64),
        n_harmonics=np.nan_to_num(star["n_harmonics"]).astype(np.int64),
        reduced_chi2=star["reduced_chi2"],
    )


def explain_verdict(judgements: PeriodJudgements, index: int) -> str:
    """Say why a period was judged as it was.

    Parameters
    ----------
    judgements : PeriodJudgements
        Verdicts.
    index : int
        Place of the star.

    Returns
    -------
    str
        One sentence, with the numbers that decided.
    """
    j = judgements
    sentence = _SENTENCES[PeriodVerdict(int(j.verdict[index]))]
    if not np.isfinite(j.cycle[index]):
        return f"{sentence} ({j.n_points[index]} points)"
    if np.isfinite(j.alias_period[index]):
        return f"{sentence}: an alias by the sampling, {j.alias_period[index]:.6g} d, fits better"
    doubt = "; the light curve alone cannot tell it from half or twice this" if j.ambiguous[index] else ""
    return (
        f"{sentence}{doubt}: the curve repeats after {j.cycle[index]:g} P with {j.n_minima[index]:g} minima a P, "
        f"successive cycles differ by {j.odd_sigma[index]:.1f} sigma, {j.faint_share[index]:.2f} of the cycle is below "
        f"half depth, the minimum is asymmetric by {j.asymmetry[index]:.3f} ({j.asymmetry_sigma[index]:.1f} sigma), "
        f"and {j.incoherent[index]:.2f} of the variance does not repeat"
    )


def _limits(settings: PeriodSettings) -> FloatArray:
    """Bring settings into the order of the kernels."""
    return np.array(
        [
            settings.oconnell_tolerance,
            settings.binary_asymmetry,
            settings.second_minimum,
            settings.narrow_share,
            settings.dip_sigma,
            settings.pulsator_asymmetry,
            settings.max_drift,
            settings.error_floor,
            settings.least_error_scale,
            settings.error_scale,
            settings.min_points,
        ],
        dtype=np.float64,
    )


def _priors(settings: PeriodSettings) -> FloatArray:
    priors = np.array(
        [
            settings.prior_confirmed,
            settings.prior_half,
            settings.prior_double,
            settings.prior_not_eclipsing,
            settings.prior_refuted,
        ]
    )
    return np.asarray(priors / priors.sum())


def _class_shares(level: dict[str, FloatArray], settings: PeriodSettings) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Shares of the three explanations of a cycle at equal prior odds, shape (n, 4) each.

    A binary with this period has two minima a cycle, or one narrow one; a binary with twice this period has one. Both
    are symmetric about the minimum but for the tolerances, unless eclipses are narrow and the orbit is eccentric, and
    spend at most half of the cycle below half depth. Other variables are asymmetric, and their share below half depth
    is 0.56 +- 0.08: sines have 0.50, and RR Lyrae stars with their sharp maxima 0.65.
    """
    two = expit(level["two_minima"])
    faint, e_faint = level["faint_share"], np.hypot(level["e_faint_share"], 0.015)
    narrow = expit((settings.narrow_share - faint) / 0.02)
    faint_binary = 2.0 * ndtr((0.5 - faint) / e_faint)
    spread = np.hypot(e_faint, 0.08)
    faint_other = np.exp(-0.5 * ((faint - 0.56) / spread) ** 2) / (spread * np.sqrt(2.0 * np.pi))
    # Relative to the asymmetric class, which keeps the exponential in range.
    symmetric = np.exp(np.clip(level["symmetric"] - level["asymmetric"], -300.0, 300.0))
    eccentric = settings.eccentric_share * narrow
    form = (symmetric * (1.0 - eccentric) + eccentric) * faint_binary
    same = form * (two + (1.0 - two) * narrow * settings.lone_eclipse)
    twice = form * (1.0 - two) * (1.0 - narrow * settings.lone_eclipse)
    other = faint_other * (1.0 - 0.7 * two)
    total = same + twice + other + 1e-300
    return same / total, twice / total, other / total


def _posterior(star: dict[str, FloatArray], level: dict[str, FloatArray], settings: PeriodSettings) -> FloatArray:
    """Probabilities of the five verdicts, shape (n, 5); sums over the periods that the cycle may have."""
    bic = np.column_stack([level["bic"], star["bic_constant"]])
    relative = np.nan_to_num(bic - np.nanmin(np.where(np.isnan(bic), np.inf, bic), axis=1, keepdims=True), nan=np.inf)
    weight = np.exp(-0.5 * relative)
    weight[:, :4] *= np.isfinite(level["symmetric"])
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
    same, twice, other = (np.nan_to_num(share) * weight[:, :4] for share in _class_shares(level, settings))
    quarter, half, whole, double = range(4)
    # A cycle of P/4 with two minima, or one of 2P with one broad one, are those of a binary with P/4 or 4P.
    likelihood = np.column_stack(
        [
            same[:, whole] + twice[:, half],
            same[:, half] + twice[:, quarter],
            same[:, double] + twice[:, whole],
            other.sum(axis=1),
            weight[:, 4] + same[:, quarter] + twice[:, double],
        ]
    )
    posterior = likelihood * _priors(settings)
    posterior /= np.maximum(posterior.sum(axis=1, keepdims=True), 1e-300)
    coherent = expit((settings.max_incoherent - np.nan_to_num(star["incoherent"])) / 0.05)
    coherent = np.where(star["at_edge"] == 1, 0.0, coherent)
    posterior *= coherent[:, None]
    posterior[:, -1] += 1.0 - coherent
    return posterior


def _epochs(star: dict[str, FloatArray], cycle: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Find the times of the deeper minimum nearest to the mean of the times, and their errors."""
    phase = star["phase_minimum"]
    length = cycle / star["frequency"]
    return star["mean_time"] + (phase - np.round(phase)) * length, star["e_phase_minimum"] * length
