"""Light curves as a vetting sheet shows them: folded points of I and V, and what is drawn through them."""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from astropy.table import QTable

from cbminer.columns import FloatArray, label_column, values
from cbminer.flags import Flag
from cbminer.lightcurves.cleaning import CleanedLightCurves, clean
from cbminer.lightcurves.folding import fold
from cbminer.morphology.shape import LightCurveShapes, measure_shapes, shape_model
from cbminer.ranking.fit_data import BANDS, FoldedPoints
from cbminer.ranking.fit_likelihood import CurveLikelihood
from cbminer.ranking.fit_results import StarFit
from cbminer.ranking.fit_store import read_fit
from cbminer.settings import Settings
from cbminer.survey.store import Band, LightCurveStore

__all__ = ["KEPT_FITS", "MODEL_PHASE", "CurveModel", "ShownCurves", "absent_curves", "shown_curves"]

MODEL_PHASE: FloatArray = np.linspace(0.0, 1.0, 301)
# Where `cbminer fit` keeps its fits in the folder of a run.
KEPT_FITS = Path("fits") / "kept"
# Epoch of phase 0 of stars without their own, as the measurement takes it.
_ANY_EPOCH = 2450000.0
_FIT_NAMES = {"contact": "contact model", "near_contact": "near-contact model"}


@dataclass(frozen=True)
class CurveModel:
    """A curve through the points of a star.

    Attributes
    ----------
    name : str
        What it is, in words.
    kind : {"contact", "near_contact", "shape"}
        Best model of a fit, or the smooth curve, which is no model of a binary.
    mag : dict of str to `~numpy.ndarray`
        By band: magnitudes at `MODEL_PHASE`.
    """

    name: str
    kind: str
    mag: dict[str, FloatArray]

    @property
    def is_physical(self) -> bool:
        """Whether it is a model of a binary."""
        return self.kind != "shape"

    def residuals(self, band: str, points: FoldedPoints) -> FloatArray:
        """Points minus the curve.

        Parameters
        ----------
        band : str
            A band of the curve.
        points : FoldedPoints
            Points in that band.

        Returns
        -------
        `~numpy.ndarray`
            Differences in mag, shape (n,).
        """
        return np.asarray(points.mag - np.interp(points.phase, MODEL_PHASE, self.mag[band]))


@dataclass(frozen=True)
class ShownCurves:
    """Folded light curves of a star.

    Attributes
    ----------
    star : str
        Identifier.
    points : dict of str to FoldedPoints
        Cleaned points by band, phases from 0 to 1.
    models : tuple of CurveModel
        Curves through them; models of binaries first.
    zero : str
        What phase 0 is.
    ln_bayes : tuple of float or None
        ln of the Bayes factor of contact over near contact and its error, if the star was fitted.
    """

    star: str
    points: dict[str, FoldedPoints]
    models: tuple[CurveModel, ...]
    zero: str
    ln_bayes: tuple[float, float] | None = None


def shown_curves(
    stars: QTable, stores: Mapping[str, LightCurveStore], *, settings: Settings, run: Path | None = None
) -> dict[str, ShownCurves]:
    """Read the light curves of stars, fold them, and find what to draw through them.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Rows of judged stars.
    stores : mapping of str to LightCurveStore
        Light curves by Cloud; stars of other Clouds have none.
    settings : Settings
        How the run cleaned and measured light curves.
    run : `~pathlib.Path`, optional
        Folder of the run, for the fits that are kept there.

    Returns
    -------
    dict of str to ShownCurves
        By star. Stars without a period or without a readable light curve in I are not in it.

    Notes
    -----
    Periods and epochs are those of the catalogue; no period is looked for again.
    """
    found: dict[str, ShownCurves] = {}
    for galaxy, store in stores.items():
        mine = stars[label_column(stars, "galaxy") == galaxy]
        if len(mine):
            found |= _of_cloud(mine, store, settings, run)
    return found


def absent_curves(listed: QTable, curves: Mapping[str, ShownCurves], *, n_drawn: int) -> dict[str, str]:
    """Say why stars of a report have no light curve in it.

    Parameters
    ----------
    listed : `~astropy.table.QTable`
        Listed stars, in their order.
    curves : mapping of str to ShownCurves
        Light curves that are shown.
    n_drawn : int
        How many stars, the first of the list, were to have one.

    Returns
    -------
    dict of str to str
        Sentences by star.
    """
    names, period = label_column(listed, "id"), values(listed, "period", "d")
    flags = np.asarray(listed["flags"], dtype=np.int64)
    found = {}
    for row, name in enumerate(str(item) for item in names):
        if name in curves:
            continue
        if row >= n_drawn:
            reason = f"Only the first {n_drawn} stars have theirs here; cbminer report --star {name} shows this one."
        elif np.isnan(period[row]):
            reason = "The star has no period to fold a light curve with."
        elif int(flags[row]) & Flag.NO_LIGHT_CURVE:
            reason = "The archive of the run has no light curve in I of this star."
        else:
            reason = "No readable light curve in I of this star is at hand."
        found[name] = reason
    return found


def _of_cloud(stars: QTable, store: LightCurveStore, settings: Settings, run: Path | None) -> dict[str, ShownCurves]:
    names = [str(name) for name in label_column(stars, "id")]
    period, minimum, listed = (values(stars, name, "d") for name in ("period", "T0_fit", "T0"))
    epoch = np.where(np.isfinite(minimum), minimum, np.where(np.isfinite(listed), listed, _ANY_EPOCH))
    cleaned, readable = {}, {}
    for band in BANDS:
        cleaned[band], readable[band] = _cleaned(names, store, band, (period, epoch), settings)
    shapes = measure_shapes(cleaned["I"].curves, cleaned["I"].phase, fourier=settings.fourier, shape=settings.shape)
    found = {}
    for index, name in enumerate(names):
        if not (readable["I"][index] and np.isfinite(period[index])):
            continue
        points: dict[str, FoldedPoints] = {
            band: _points(cleaned[band], index) for band in BANDS if readable[band][index]
        }
        fit = None if run is None else _kept_fit(run / KEPT_FITS / f"{name}.npz")
        models = (*_fit_models(fit, settings), *_shape_models(shapes, index, points))
        zero = "deeper minimum" if np.isfinite(minimum[index]) else "epoch of the catalogue"
        if not np.isfinite(minimum[index]) and not np.isfinite(listed[index]):
            zero = "HJD 2450000"
        bayes = None if fit is None else (fit.ln_bayes_contact, fit.e_ln_bayes_contact)
        found[name] = ShownCurves(name, points, models, zero, bayes)
    return found


def _cleaned(
    names: list[str], store: LightCurveStore, band: Band, ephemeris: tuple[FloatArray, FloatArray], settings: Settings
) -> tuple[CleanedLightCurves, npt.NDArray[np.bool_]]:
    """Points of all stars in a band, folded and cleaned as the pipeline does it, and which stars have any."""
    stored = store.read(names, band=band)
    phase = fold(stored.curves.time, stored.curves.offsets, *ephemeris)
    cleaned = clean(stored.curves, phase, settings=settings.cleaning)
    readable = stored.found & (np.diff(cleaned.curves.offsets) > 0)
    readable[list(stored.unreadable)] = False
    return cleaned, readable


def _points(cleaned: CleanedLightCurves, index: int) -> FoldedPoints:
    place = cleaned.curves.points_of(index)
    mag, error = (column[place].astype(np.float64) for column in (cleaned.curves.mag, cleaned.curves.mag_err))
    return FoldedPoints(cleaned.phase[place], mag, error)


def _shape_models(shapes: LightCurveShapes, index: int, points: Mapping[str, FoldedPoints]) -> tuple[CurveModel, ...]:
    """Smooth curve of I, and the same one moved to the points of V, since V has too few points for its own."""
    smooth = shape_model(shapes, index, MODEL_PHASE - shapes.phase_zero[index])
    if not np.isfinite(smooth).all():
        return ()
    mag = {"I": smooth}
    if "V" in points:
        shift = np.median(points["V"].mag - np.interp(points["V"].phase, MODEL_PHASE, smooth))
        mag["V"] = smooth + float(shift)
    name = "smooth curve of I, no model of a binary" + ("; in V the same, shifted" if "V" in points else "")
    return (CurveModel(name, "shape", mag),)


def _kept_fit(path: Path) -> StarFit | None:
    """Fit of a star, made with whatever settings."""
    try:
        with np.load(io.BytesIO(path.read_bytes())) as kept:
            digest = json.loads(str(kept["record"]))["settings"]
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None
    return read_fit(path, settings=digest)


def _fit_models(fit: StarFit | None, settings: Settings) -> tuple[CurveModel, ...]:
    if fit is None:
        return ()
    models = []
    for model in fit.fits:
        half = np.linspace(0.0, 0.5, model.best_flux.shape[1])
        data = CurveLikelihood(fit.curves, half, settings.fit.priors.phase_error)
        third_light = float(model.best[model.hypothesis.parameters.index("third_light")])
        best = data.model(model.best_flux, third_light, int(model.best_swapped))
        # The fit counts phases from the axis of symmetry.
        place = (MODEL_PHASE - fit.curves.phase_shift) % 1.0
        mag = {band: np.interp(place, phase, magnitude) for band, (phase, magnitude) in best.items()}
        models.append(CurveModel(_FIT_NAMES[model.name], model.name, mag))
    return tuple(models)
