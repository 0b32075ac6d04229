"""Light curves whose classes are known: to train a network further, and to judge it on."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from cbminer.classifier.binning import amplitude_logarithm, bin_curves, scalar_inputs
from cbminer.classifier.classes import CLASSES, Scalar
from cbminer.errors import InputFormatError
from cbminer.lightcurves.cleaning import CleaningSettings, clean
from cbminer.lightcurves.folding import fold
from cbminer.survey.packed import PackedLightCurves, pack_light_curves
from cbminer.survey.photometry_file import read_light_curve

__all__ = ["LabelledCurves", "read_labelled_curves"]

_COLUMNS = ("file", "period", "class")
# Phase 0 may be anywhere.
_ANY_EPOCH = 2450000.0
_FEWEST_POINTS = 10


@dataclass(frozen=True)
class LabelledCurves:
    """Binned light curves of n stars with their classes.

    Attributes
    ----------
    inputs : `~numpy.ndarray`
        int8, shape (n, 2, bins).
    scalars : `~numpy.ndarray`
        Numbers beside the curves, shape (n, 2 m).
    label : `~numpy.ndarray`
        Places in `~cbminer.classifier.classes.CLASSES`, shape (n,).
    """

    inputs: npt.NDArray[np.int8]
    scalars: npt.NDArray[np.float32]
    label: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Count the stars."""
        return len(self.label)

    def draw_balanced(self, n: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Draw stars so that the classes that are there are equally frequent.

        Parameters
        ----------
        n : int
            How many.
        rng : `~numpy.random.Generator`
            Source of randomness.

        Returns
        -------
        `~numpy.ndarray`
            Places, shape (n,).
        """
        present = np.unique(self.label)
        wanted = rng.choice(present, n)
        return np.array([rng.choice(np.flatnonzero(self.label == number)) for number in wanted], dtype=np.int64)

    def rolled(self, places: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.int8]:
        """Take curves at random phases.

        Parameters
        ----------
        places : `~numpy.ndarray`
            Which of them.
        rng : `~numpy.random.Generator`
            Source of randomness.

        Returns
        -------
        `~numpy.ndarray`
            Their bins, shape (n, 2, bins).
        """
        n_bins = self.inputs.shape[-1]
        begin = rng.integers(0, n_bins, len(places))
        bins = (np.arange(n_bins) + begin[:, None]) % n_bins
        return np.take_along_axis(self.inputs[places], bins[:, None, :], axis=-1)

    @classmethod
    def of(
        cls,
        curves: PackedLightCurves,
        period: npt.ArrayLike,
        label: npt.ArrayLike,
        *,
        scalars: tuple[Scalar, ...],
        n_bins: int = 128,
    ) -> Self:
        """Bin light curves at their periods.

        Parameters
        ----------
        curves : PackedLightCurves
            The light curves.
        period : array_like
            Periods in days, shape (n,).
        label : array_like of int
            Places in `~cbminer.classifier.classes.CLASSES`, shape (n,).
        scalars : tuple of str
            Numbers that the network takes beside the curve.
        n_bins : int, optional
            Bins of a cycle.

        Returns
        -------
        LabelledCurves
            The binned curves.
        """
        periods = np.asarray(period, dtype=float)
        epoch = np.full(len(curves), _ANY_EPOCH)
        phase = fold(curves.time, curves.offsets, periods, epoch)
        binned = bin_curves(phase, curves.mag, curves.mag_err, curves.offsets, n_bins=n_bins)
        beside = scalar_inputs(
            scalars,
            {"log_amplitude": amplitude_logarithm(binned.amplitude), "log_period": np.log10(periods)},
            len(curves),
        )
        return cls(binned.inputs, beside, np.asarray(label, dtype=np.int64))


def read_labelled_curves(
    path: Path, *, scalars: tuple[Scalar, ...], n_bins: int = 128, cleaning: CleaningSettings | None = None
) -> LabelledCurves:
    """Read a table of labelled light curves and the curves themselves.

    Parameters
    ----------
    path : `~pathlib.Path`
        CSV file with the columns file (light curve: HJD, magnitude, error; relative to the table's folder), period
        in days, and class.
    scalars : tuple of str
        Numbers that the network takes beside the curve.
    n_bins : int, optional
        Bins of a cycle.
    cleaning : CleaningSettings, optional
        How the curves are cleaned, as those that will be classified are; defaults if not given.

    Returns
    -------
    LabelledCurves
        The binned curves. The colour of the stars is unknown.

    Raises
    ------
    InputFormatError
        If the table or a light curve is missing or malformed, or a class has no star.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or [])]
            if missing:
                msg = f"{path}, line 1: no column {missing[0]}; name the columns {', '.join(_COLUMNS)}"
                raise InputFormatError(msg)
            rows = [_parse_row(path, reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        msg = f"{path} cannot be read ({error}): give a CSV file with the columns {', '.join(_COLUMNS)}"
        raise InputFormatError(msg) from error
    if not rows:
        msg = f"{path} has no rows: give labelled light curves, or train without"
        raise InputFormatError(msg)
    files = [path.parent / file for file, _, _ in rows]
    absent = next((file for file in files if not file.is_file()), None)
    if absent is not None:
        msg = f"{path} names {absent}, which is not there: files are sought from the folder of the table"
        raise InputFormatError(msg)
    curves = pack_light_curves([file.name for file in files], [read_light_curve(file) for file in files])
    period, label = np.array([row[1] for row in rows]), np.array([row[2] for row in rows])
    missing = [name for number, name in enumerate(CLASSES) if number not in label]
    if missing:
        # Half of every batch is real: a class that is never among them would be learned to be unreal.
        msg = f"{path} has no star of the class {missing[0]}: give some of every class, {', '.join(CLASSES)}"
        raise InputFormatError(msg)
    epoch = np.full(len(curves), _ANY_EPOCH)
    kept = clean(
        curves, fold(curves.time, curves.offsets, period, epoch), settings=cleaning or CleaningSettings()
    ).curves
    empty = np.flatnonzero(np.diff(kept.offsets) < _FEWEST_POINTS)
    if len(empty):
        msg = f"{files[int(empty[0])]} has fewer than {_FEWEST_POINTS} usable points: take it out of {path}"
        raise InputFormatError(msg)
    return LabelledCurves.of(kept, period, label, scalars=scalars, n_bins=n_bins)


def _parse_row(path: Path, line: int, row: dict[str, str | None]) -> tuple[str, float, int]:
    file, text, name = (str(row[column] or "").strip() for column in _COLUMNS)
    try:
        period = float(text)
    except ValueError:
        period = np.nan
    if not 0.0 < period < np.inf:
        msg = f"{path}, line {line}: period {text!r} is no number of days above 0"
        raise InputFormatError(msg)
    if name not in CLASSES:
        msg = f"{path}, line {line}: class {name!r} is not known; write one of {', '.join(CLASSES)}"
        raise InputFormatError(msg)
    return file, period, [str(item) for item in CLASSES].index(name)
