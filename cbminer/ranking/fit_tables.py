"""Tables of both models over temperature, computed once by the light-curve engine and kept in the cache."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cbminer.columns import FloatArray
from cbminer.ranking.fit_model import HYPOTHESES, Hypothesis, HypothesisName
from cbminer.ranking.fit_settings import FitSettings, FitTableSettings
from cbminer.ranking.fit_table import CurveTable
from cbminer.synthetic.limb_darkening import LimbDarkening
from cbminer.synthetic.passbands import standard_passband
from cbminer.synthetic.roche import RocheEngine
from cbminer.whole_file import written_whole

__all__ = ["FitTables", "count_curves", "fit_engine", "half_phases", "load_tables", "table_nodes"]

# Temperatures of star 1 in K, evenly spaced in their reciprocals; a quadratic through them serves those between.
TEFF_NODES = (12000.0, 120000.0 / 6.5, 40000.0)
# To be raised whenever the same settings would give other tables.
TABLE_VERSION = 1
_AT_A_TIME = 512


def half_phases(settings: FitTableSettings) -> FloatArray:
    """Phases of the curves of a table.

    Parameters
    ----------
    settings : FitTableSettings
        Number of phases.

    Returns
    -------
    `~numpy.ndarray`
        From 0 to a half; the other half mirrors them.
    """
    return np.linspace(0.0, 0.5, settings.phases)


def fit_engine(settings: FitTableSettings, *, threads: int = 1) -> RocheEngine:
    """Light-curve engine of the fits, in I and V.

    Parameters
    ----------
    settings : FitTableSettings
        Resolution and limb darkening.
    threads : int, optional
        Threads.

    Returns
    -------
    RocheEngine
        The engine, with black bodies.
    """
    passbands = [
        standard_passband("I").darkened_by(LimbDarkening("linear", (settings.limb_darkening_I,))),
        standard_passband("V").darkened_by(LimbDarkening("linear", (settings.limb_darkening_V,))),
    ]
    return RocheEngine(passbands=passbands, n_bands=settings.n_bands, threads=threads)


@dataclass(frozen=True)
class FitTables:
    """Light curves of both models on their grids.

    Attributes
    ----------
    settings : FitSettings
        What they were made with.
    flux : dict
        By name of the model: fluxes over those at phase 0.25, float32, shape (temperatures, nodes, bands times phases).
    """

    settings: FitSettings
    flux: dict[HypothesisName, npt.NDArray[np.float32]]

    def at_teff(self, hypothesis: Hypothesis, teff_1: float, *, e_ln_teff: float = 0.0) -> CurveTable:
        """Table of a model for one temperature of star 1.

        Parameters
        ----------
        hypothesis : Hypothesis
            The model.
        teff_1 : float
            Temperature in K; one beyond 12 to 40 kK counts as the nearest of these.
        e_ln_teff : float, optional
            Error of its logarithm. If it is not 0, every curve is followed by what one error changes in it.

        Returns
        -------
        CurveTable
            The table.
        """
        flux = self._flux_at(hypothesis, teff_1)
        if e_ln_teff > 0:
            hotter, cooler = (self._flux_at(hypothesis, teff_1 * np.exp(way * e_ln_teff)) for way in (1.0, -1.0))
            flux = np.concatenate([flux, np.float32(0.5) * (hotter - cooler)], axis=1)
        return CurveTable(hypothesis.axes(self.settings), np.ascontiguousarray(flux))

    def _flux_at(self, hypothesis: Hypothesis, teff_1: float) -> npt.NDArray[np.float32]:
        x = 1.0 / np.clip(teff_1, TEFF_NODES[0], TEFF_NODES[-1])
        nodes = 1.0 / np.array(TEFF_NODES)
        flux: npt.NDArray[np.float32] = np.zeros_like(self.flux[hypothesis.name][0])
        for k, table in enumerate(self.flux[hypothesis.name]):
            others = np.delete(nodes, k)
            flux += np.float32(np.prod((x - others) / (nodes[k] - others))) * table
        return flux


def table_nodes(hypothesis: Hypothesis, settings: FitSettings) -> FloatArray:
    """Places of all nodes of a table.

    Parameters
    ----------
    hypothesis : Hypothesis
        The model.
    settings : FitSettings
        Priors and numbers of nodes.

    Returns
    -------
    `~numpy.ndarray`
        Shape (nodes, axes), the last axis the fastest.
    """
    axes = [axis.nodes for axis in hypothesis.axes(settings)]
    return np.stack([grid.ravel() for grid in np.meshgrid(*axes, indexing="ij")], axis=1)


def load_tables(
    settings: FitSettings,
    *,
    cache: Path | None = None,
    threads: int = 1,
    advance: Callable[[int], None] = lambda _curves: None,
) -> FitTables:
    """Compute the tables, or read them from the cache.

    Parameters
    ----------
    settings : FitSettings
        Priors, whose ranges the tables span, and resolution.
    cache : `~pathlib.Path`, optional
        Folder of the cache; nothing is kept without one.
    threads : int, optional
        Threads; they change nothing.
    advance : callable, optional
        Called with the number of light curves that were computed since the last call.

    Returns
    -------
    FitTables
        The tables.
    """
    place = None if cache is None else cache / "fits" / f"tables-{_digest(settings)}.npz"
    if place is not None and (kept := _read(place, settings)) is not None:
        return kept
    engine = fit_engine(settings.tables, threads=threads)
    flux = {item.name: _computed(item, settings, engine, advance) for item in HYPOTHESES}
    if place is not None:
        with written_whole(place) as temporary, temporary.open("wb") as stream:
            arrays: dict[str, Any] = {str(name): table for name, table in flux.items()}
            np.savez(stream, **arrays)
    return FitTables(settings, flux)


def count_curves(settings: FitSettings) -> int:
    """Count the light curves of all tables.

    Parameters
    ----------
    settings : FitSettings
        Numbers of nodes.

    Returns
    -------
    int
        Light curves.
    """
    sizes = [np.prod([axis.n for axis in item.axes(settings)]) for item in HYPOTHESES]
    return len(TEFF_NODES) * int(sum(sizes))


def _computed(
    hypothesis: Hypothesis, settings: FitSettings, engine: RocheEngine, advance: Callable[[int], None]
) -> npt.NDArray[np.float32]:
    parameters = hypothesis.parameters_at(table_nodes(hypothesis, settings))
    phases = half_phases(settings.tables)
    flux = np.empty((len(TEFF_NODES), len(parameters), 2 * len(phases)), dtype=np.float32)
    for number, teff in enumerate(TEFF_NODES):
        for first in range(0, len(parameters), _AT_A_TIME):
            part = slice(first, first + _AT_A_TIME)
            systems = hypothesis.systems(parameters[part], teff_1=teff)
            flux[number, part] = engine.light_curves(systems, phases).reshape(len(systems), -1)
            advance(len(systems))
    return flux


def _digest(settings: FitSettings) -> str:
    """Name what a table depends on."""
    axes = {item.name: [(axis.first, axis.last, axis.n) for axis in item.axes(settings)] for item in HYPOTHESES}
    recipe = {"version": TABLE_VERSION, "teff": TEFF_NODES, "axes": axes, "tables": settings.tables.model_dump()}
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]


def _read(place: Path, settings: FitSettings) -> FitTables | None:
    """Tables out of the cache; a damaged file counts as none and is replaced."""
    try:
        with np.load(io.BytesIO(place.read_bytes())) as kept:
            flux = {item.name: np.asarray(kept[item.name]) for item in HYPOTHESES}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return None
    return FitTables(settings, flux)
