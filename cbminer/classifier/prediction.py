"""Classes of light curves by the packed network: probabilities, their errors, and where they decide nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from cbminer.classifier.binning import BinnedCurves, amplitude_logarithm, bin_curves, observed_again, scalar_inputs
from cbminer.classifier.calibration import with_prior
from cbminer.classifier.classes import CLASSES, Scalar
from cbminer.classifier.packed import PackedNetwork
from cbminer.columns import FloatArray
from cbminer.errors import ResourceNotFoundError, SettingsError
from cbminer.quantities import SettingsModel
from cbminer.resources import grid_path

__all__ = [
    "SHIPPED",
    "ClassPrior",
    "ClassProbabilities",
    "ClassifierSettings",
    "classifier_model",
    "classify",
    "classify_binned",
    "model_path",
]

# Networks that the package ships.
SHIPPED = ("standard", "tiny")
# Seed of the noise that is added again: the same for every star, so that a star's error depends on no other star.
_DRAW_SEED = 20210617


class ClassPrior(SettingsModel):
    """Relative frequencies of the classes among the stars that are classified; their sum does not matter."""

    contact: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="contact binaries")
    near_contact: float = Field(
        default=1.0, gt=0, allow_inf_nan=False, description="pairs near contact and semi-detached ones"
    )
    detached: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="detached pairs")
    ellipsoidal: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="close pairs without eclipses")
    not_eclipsing: float = Field(
        default=1.0, gt=0, allow_inf_nan=False, description="other variables, and pairs at a wrong period"
    )

    def weights(self) -> FloatArray:
        """Give the frequencies in the order of the classes.

        Returns
        -------
        `~numpy.ndarray`
            Shape (classes,).
        """
        return np.array([getattr(self, name) for name in CLASSES])


class ClassifierSettings(SettingsModel):
    """How light curves are classified."""

    model: str = Field(
        default="standard", description="network: standard or tiny, those of the package, or a file of cbminer train"
    )
    draws: int = Field(
        default=8, ge=0, le=1000, description="copies with noise added again whose spread is the error; 0: no errors"
    )
    least_probability: float = Field(
        default=0.5, ge=0, le=1, description="largest probability below which a star is called undecided"
    )
    prior: ClassPrior = ClassPrior()

    @field_validator("draws")
    @classmethod
    def _enough_for_a_spread(cls, draws: int) -> int:
        if draws == 1:
            msg = "one draw has no spread: give 0 for no errors, or 2 at least"
            raise ValueError(msg)
        return draws


@dataclass(frozen=True)
class ClassProbabilities:
    """Probabilities of the classes of n stars; NaN for stars without a curve that varies.

    Attributes
    ----------
    probability, e_probability : `~numpy.ndarray`
        Probabilities and their errors, shape (n, classes).
    """

    probability: FloatArray
    e_probability: FloatArray

    def __len__(self) -> int:
        """Count the stars."""
        return len(self.probability)

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Which stars have probabilities, shape (n,)."""
        return np.asarray(np.isfinite(self.probability).all(axis=1))

    def labels(self, least_probability: float) -> npt.NDArray[np.str_]:
        """Name the class of every star.

        Parameters
        ----------
        least_probability : float
            Largest probability below which a star is undecided.

        Returns
        -------
        `~numpy.ndarray` of str
            Classes; ``undecided``, and empty for stars without probabilities, shape (n,).
        """
        filled = np.nan_to_num(self.probability)
        names = np.array(CLASSES)[filled.argmax(axis=1)] if len(self) else np.empty(0, dtype="<U16")
        decided = np.where(filled.max(axis=1, initial=0.0) >= least_probability, names, "undecided")
        return np.where(self.known, decided, "")

    def columns(self) -> dict[str, FloatArray]:
        """Give the columns of a catalogue.

        Returns
        -------
        dict of str to `~numpy.ndarray`
            ``P_contact`` and the like, and their errors, shape (n,) each.
        """
        result: dict[str, FloatArray] = {}
        for place, name in enumerate(CLASSES):
            result[f"P_{name}"] = self.probability[:, place]
            result[f"e_P_{name}"] = self.e_probability[:, place]
        return result


def classify(
    phase: npt.ArrayLike,
    mag: npt.ArrayLike,
    mag_err: npt.ArrayLike,
    offsets: npt.ArrayLike,
    *,
    model: PackedNetwork,
    settings: ClassifierSettings | None = None,
    period: npt.ArrayLike | None = None,
    VI0: npt.ArrayLike | None = None,
) -> ClassProbabilities:
    """Classify folded light curves.

    Parameters
    ----------
    phase, mag, mag_err : array_like
        Phases, magnitudes and errors of all points. Any phase may be 0.
    offsets : array_like of int
        Star i has the points ``offsets[i]:offsets[i + 1]``, shape (n + 1,).
    model : PackedNetwork
        The network.
    settings : ClassifierSettings, optional
        Prior and errors; defaults if not given.
    period, VI0 : array_like, optional
        Periods in days and dereddened colours, shape (n,), for networks that take them; NaN where unknown.

    Returns
    -------
    ClassProbabilities
        The probabilities. A star has none if it has no points, or if they are all alike.
    """
    binned = bin_curves(phase, mag, mag_err, offsets, n_bins=model.n_bins)
    values: dict[Scalar, npt.ArrayLike] = {}
    if period is not None:
        with np.errstate(invalid="ignore", divide="ignore"):
            values["log_period"] = np.log10(np.asarray(period, dtype=float))
    if VI0 is not None:
        values["VI0"] = VI0
    return classify_binned(binned, values, model=model, settings=settings or ClassifierSettings())


def classify_binned(
    binned: BinnedCurves, values: dict[Scalar, npt.ArrayLike], *, model: PackedNetwork, settings: ClassifierSettings
) -> ClassProbabilities:
    """Classify light curves that are binned already.

    Parameters
    ----------
    binned : BinnedCurves
        The curves.
    values : dict
        Logarithms of periods and colours, for networks that take them.
    model : PackedNetwork
        The network.
    settings : ClassifierSettings
        Prior and errors.

    Returns
    -------
    ClassProbabilities
        The probabilities. Errors are the spread over copies of a curve at other phases and with noise of its own size
        added again: what another set of observations would change.
    """
    n = len(binned)
    numbers = {"log_amplitude": amplitude_logarithm(binned.amplitude), **values}
    scalars = scalar_inputs(_scalars_of(model), numbers, n)
    weights = settings.prior.weights()

    def ask(inputs: npt.NDArray[np.int8]) -> FloatArray:
        return with_prior(model.probabilities(model.logits(inputs, scalars if scalars.shape[1] else None)), weights)

    probability = ask(binned.inputs)
    drawn = [ask(inputs) for inputs in _copies(binned, settings.draws)]
    error = np.std(drawn, axis=0, ddof=1) if drawn else np.full_like(probability, np.nan)
    # One point, or points that are all alike, are no curve.
    unknown = ~np.isfinite(binned.error).any(axis=1)
    probability[unknown], error[unknown] = np.nan, np.nan
    return ClassProbabilities(probability, error)


def _scalars_of(model: PackedNetwork) -> tuple[Scalar, ...]:
    return model.scalars  # type: ignore[return-value]


def _copies(binned: BinnedCurves, draws: int) -> Iterator[npt.NDArray[np.int8]]:
    """Copy curves with noise added again and begun at other bins; the same numbers for every star."""
    n_bins = binned.inputs.shape[-1]
    rng = np.random.default_rng(np.random.SeedSequence(_DRAW_SEED))
    for _ in range(draws):
        noise = rng.standard_normal((n_bins,))
        begin = int(rng.integers(n_bins))
        yield np.ascontiguousarray(np.roll(observed_again(binned, noise), begin, axis=-1))


def model_path(name: str) -> Path:
    """Find the file of a network.

    Parameters
    ----------
    name : str
        One of `SHIPPED`, or the path of a file.

    Returns
    -------
    `~pathlib.Path`
        The file.

    Raises
    ------
    SettingsError
        If there is no such file.
    """
    if name in SHIPPED:
        try:
            return grid_path(f"classifier/{name}.npz")
        except ResourceNotFoundError as error:
            raise SettingsError(str(error)) from error
    path = Path(name).expanduser()
    if path.is_file():
        return path
    msg = f"no network {name}: choose {' or '.join(SHIPPED)}, or name the .npz file of a training"
    raise SettingsError(msg)


@cache
def classifier_model(name: str) -> PackedNetwork:
    """Read a network; once in a process.

    Parameters
    ----------
    name : str
        One of `SHIPPED`, or the path of a file.

    Returns
    -------
    PackedNetwork
        The network.

    Raises
    ------
    SettingsError
        If there is no such file, or its network tells other classes apart.
    InputFormatError
        If the file is damaged.
    """
    model = PackedNetwork.load(model_path(name))
    if model.classes != tuple(CLASSES):
        msg = f"network {name} tells {', '.join(model.classes)} apart, not {', '.join(CLASSES)}: train it again"
        raise SettingsError(msg)
    return model
