"""Fits kept star by star, each in a file that says of which data and settings it was made."""

import hashlib
import io
import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cbminer.ranking.fit_data import BinnedBand, StarCurves
from cbminer.ranking.fit_results import HypothesisFit, StarFit
from cbminer.ranking.fit_settings import FitSettings
from cbminer.ranking.fit_tables import TABLE_VERSION
from cbminer.whole_file import written_whole

__all__ = ["data_digest", "read_fit", "settings_digest", "write_fit"]

# To be raised whenever the same data and settings would give another fit.
FIT_VERSION = 2
_ARRAYS = ("samples", "best", "best_flux")
_BAND_ARRAYS = ("phase", "mag", "mag_err")


def settings_digest(settings: FitSettings, *, seed: int) -> str:
    """Name everything but the data that a fit depends on.

    Parameters
    ----------
    settings : FitSettings
        Settings; how many stars are fitted does not count.
    seed : int
        Seed of the run.

    Returns
    -------
    str
        A hash.
    """
    recipe = {
        "versions": (FIT_VERSION, TABLE_VERSION),
        "seed": seed,
        "settings": settings.model_dump(mode="json", exclude={"best"}),
    }
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def data_digest(curves: StarCurves, *, teff_1: tuple[float, float]) -> str:
    """Name the data of a fit.

    Parameters
    ----------
    curves : StarCurves
        The light curves as they are fitted.
    teff_1 : tuple of float
        Temperature that is assumed in K, and the error of its logarithm.

    Returns
    -------
    str
        A hash.
    """
    found = hashlib.sha256(f"{curves.star} {tuple(teff_1)!r} {curves.phase_shift!r}".encode())
    for band, data in curves.bands.items():
        found.update(band.encode())
        for name in _BAND_ARRAYS:
            found.update(np.ascontiguousarray(getattr(data, name)).tobytes())
    return found.hexdigest()


def write_fit(path: Path, fit: StarFit, *, settings: str, data: str) -> None:
    """Keep a fit.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    fit : StarFit
        The fit.
    settings, data : str
        Digests of what it was made of.
    """
    arrays: dict[str, Any] = {}
    bands = {}
    for band, item in fit.curves.bands.items():
        arrays |= {f"{band}_{name}": getattr(item, name) for name in _BAND_ARRAYS}
        bands[band] = {"error_scale": item.error_scale, "n_points": item.n_points, "n_clipped": item.n_clipped}
    models = {}
    for model in fit.fits:
        arrays |= {f"{model.name}_{name}": getattr(model, name) for name in _ARRAYS}
        models[model.name] = {key: item for key, item in asdict(model).items() if key not in _ARRAYS}
    record = {
        "star": fit.star,
        "settings": settings,
        "data": data,
        "phase_shift": fit.curves.phase_shift,
        "teff_1": fit.teff_1,
        "seconds": fit.seconds,
        "bands": bands,
        "models": models,
    }
    with written_whole(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, record=np.array(json.dumps(record)), **arrays)


def read_fit(path: Path, *, settings: str, data: str | None = None) -> StarFit | None:
    """Read a fit that was kept.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    settings : str
        Digest of the settings that it must have been made with.
    data : str, optional
        Digest of the data likewise; any by default.

    Returns
    -------
    StarFit or None
        The fit; None if there is none, it is damaged, or it was made of something else.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes())) as kept:
            record = json.loads(str(kept["record"]))
            if record["settings"] != settings or data not in {None, record["data"]}:
                return None
            bands = {
                band: BinnedBand(*(kept[f"{band}_{name}"] for name in _BAND_ARRAYS), **numbers)
                for band, numbers in record["bands"].items()
            }
            models = [
                HypothesisFit(**numbers, **{item: kept[f"{name}_{item}"] for item in _ARRAYS})
                for name, numbers in record["models"].items()
            ]
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None
    curves = StarCurves(record["star"], bands, record["phase_shift"])
    return StarFit(record["star"], curves, record["teff_1"], models[0], models[1], record["seconds"])
