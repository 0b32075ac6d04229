"""What a classifier is made of and how it is trained; no more than numbers, and nothing that needs torch."""

from itertools import pairwise
from typing import Literal, Self

from pydantic import Field, model_validator

from cbminer.classifier.classes import Scalar
from cbminer.quantities import Magnitudes, SettingsModel

__all__ = ["FLOAT", "Method", "NetworkSettings", "ObservationSettings", "TrainingSettings"]

# Estimators of the gradients of binary convolutions, and the twin whose weights and activations are real.
Method = Literal["ste", "approx_sign", "reste", "biper", "irnet", "statistics", "ternary", "centred", "float"]
FLOAT: Literal["float"] = "float"


class NetworkSettings(SettingsModel):
    """Topology of a network."""

    variant: Literal["standard", "tiny"] = Field(
        default="standard", description="with shortcuts and real residual stream, or foldable into integer thresholds"
    )
    method: Method = Field(default="reste", description="estimator of the gradients of binary convolutions, or float")
    n_bins: Literal[128, 256] = Field(default=128, description="phase bins of a folded curve")
    stem_kernel: int = Field(default=9, ge=3, le=31, description="bins that the first convolution sees")
    stem_stride: Literal[2, 4] = Field(default=2, description="bins from one position to the next after the stem")
    channels: tuple[int, ...] = Field(
        default=(64, 64, 64, 128, 128), min_length=2, description="channels after the stem and after every block"
    )
    pools: tuple[bool, ...] = Field(
        default=(False, True, True, False), description="whether a block ends by halving its positions"
    )
    kernel: int = Field(default=5, ge=3, le=15, description="positions that a binary convolution sees")
    scalars: tuple[Scalar, ...] = Field(
        default=("log_amplitude",), description="numbers of the late branch; may be none"
    )
    scalar_hidden: int = Field(default=8, ge=1, le=64, description="hidden units of the late branch")
    side_rank: int = Field(default=0, ge=0, le=16, description="rank of a real path from the stem to the head; 0: none")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.pools) != len(self.channels) - 1:
            msg = f"{len(self.channels)} channels have {len(self.channels) - 1} blocks between: give as many pools"
            raise ValueError(msg)
        if any(count % 64 or count <= 0 for count in self.channels):
            msg = "channels fill words of 64 bits: give multiples of 64"
            raise ValueError(msg)
        if self.variant == "standard" and any(after % before for before, after in pairwise(self.channels)):
            msg = "a shortcut repeats its channels: each number of channels must be a multiple of the one before"
            raise ValueError(msg)
        if self.kernel % 2 == 0 or self.stem_kernel % 2 == 0:
            msg = "kernels are centred on their position: give odd ones"
            raise ValueError(msg)
        positions = self.n_bins // self.stem_stride
        if positions % 2 ** sum(self.pools) or positions // 2 ** sum(self.pools) < 1:
            msg = f"{positions} positions cannot be halved {sum(self.pools)} times: give fewer pools"
            raise ValueError(msg)
        self._check_kernels(positions)
        if len(set(self.scalars)) < len(self.scalars):
            msg = "scalars names a number twice: name each once"
            raise ValueError(msg)
        return self

    def _check_kernels(self, positions: int) -> None:
        """Refuse kernels that would reach around the cycle more than once."""
        for pool in self.pools:
            if self.kernel // 2 > positions:
                msg = f"a kernel of {self.kernel} reaches beyond a cycle of {positions} positions: pool less often"
                raise ValueError(msg)
            positions //= 2 if pool else 1

    def twin(self) -> "NetworkSettings":
        """Give the settings of the float network of the same topology.

        Returns
        -------
        NetworkSettings
            The same with real weights and activations.
        """
        return self.model_copy(update={"method": FLOAT})

    @classmethod
    def tiny(cls, *, method: Method = "reste", n_bins: Literal[128, 256] = 128) -> Self:
        """Give the settings of the variant that folds into thresholds.

        Parameters
        ----------
        method : str, optional
            Estimator of the gradients.
        n_bins : {128, 256}, optional
            Phase bins.

        Returns
        -------
        NetworkSettings
            A stem that goes on by four bins, and three binary convolutions of 64 channels.
        """
        return cls(
            variant="tiny",
            method=method,
            n_bins=n_bins,
            stem_stride=4,
            channels=(64, 64, 64, 64),
            pools=(True, False, False),
        )


class ObservationSettings(SettingsModel):
    """How the examples of a training are observed."""

    fewest_points: int = Field(default=60, ge=10, description="points of a light curve at least; logarithmic between")
    most_points: int = Field(default=1200, ge=10, description="the same at most")
    least_error: Magnitudes = Field(
        default=0.004, gt=0, allow_inf_nan=False, description="error of a point at least; logarithmic between"
    )
    most_error: Magnitudes = Field(default=0.08, gt=0, allow_inf_nan=False, description="the same at most")
    error_over_amplitude: float = Field(
        default=0.6,
        gt=0,
        allow_inf_nan=False,
        description="largest error in units of the range of the curve: a survey must have found it",
    )
    stated_scatter: float = Field(
        default=0.4, ge=0, lt=2, description="scatter of the stated errors about the true ones, in their logarithm"
    )
    outliers: float = Field(default=0.03, ge=0, le=0.5, description="share of points that are outliers at most")
    restless: float = Field(default=0.3, ge=0, le=1, description="share of pairs that change from cycle to cycle")
    most_restlessness: float = Field(
        default=0.15, ge=0, lt=1, description="root mean square of these changes over the range of the curve at most"
    )
    third_light: float = Field(default=0.4, ge=0, le=1, description="share of the stars with light of others in theirs")
    most_third_light: float = Field(default=0.5, ge=0, lt=1, description="share of that light in theirs at most")
    asymmetric: float = Field(default=0.3, ge=0, le=1, description="share of pairs with unequal maxima (O'Connell)")
    most_asymmetry: Magnitudes = Field(
        default=0.03, ge=0, allow_inf_nan=False, description="difference of the maxima at most"
    )
    gaps: float = Field(default=0.2, ge=0, le=1, description="share of the curves with a gap in phase")
    widest_gap: float = Field(default=0.25, ge=0, lt=1, description="widest gap in cycles")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for least, most in (("fewest_points", "most_points"), ("least_error", "most_error")):
            if getattr(self, least) > getattr(self, most):
                msg = f"{least} is above {most}: exchange them, or raise {most}"
                raise ValueError(msg)
        return self


class TrainingSettings(SettingsModel):
    """How a network is trained."""

    epochs: int = Field(default=40, ge=1, description="epochs; each has examples of its own")
    examples: int = Field(default=20000, ge=1, description="examples of an epoch, as many of each class")
    batch: int = Field(default=128, ge=2, description="examples of a step")
    learning_rate: float = Field(
        default=1e-2, gt=0, allow_inf_nan=False, description="largest rate of Adam; a cosine leads down to zero"
    )
    warm_up: float = Field(default=0.05, ge=0, lt=1, description="share of the steps in which the rate rises")
    weight_decay: float = Field(
        default=1e-4,
        ge=0,
        allow_inf_nan=False,
        description="decay of real weights; signs of binary weights have no size that could decay",
    )
    label_smoothing: float = Field(default=0.02, ge=0, lt=1, description="probability that is spread over all classes")
    distillation: float = Field(
        default=0.7, ge=0, le=1, description="weight of the teacher's probabilities against the labels"
    )
    scalar_loss: float = Field(
        default=0.3, ge=0, le=1, description="share of examples in which a number beside the curve is hidden"
    )
    fine_tune_epochs: int = Field(default=5, ge=1, description="epochs with labelled curves, if there are any")
    fine_tune_rate: float = Field(
        default=3e-4, gt=0, allow_inf_nan=False, description="largest learning rate of these epochs"
    )
    seed: int = Field(default=0, ge=0, description="seed of everything random")
    observation: ObservationSettings = ObservationSettings()
