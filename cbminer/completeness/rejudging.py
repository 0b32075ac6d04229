"""A finished run judged again: its stars from its products, its cuts under other settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.table import QTable

from cbminer.catalogue.schema import COLUMNS
from cbminer.columns import FloatArray, label_column, values
from cbminer.flags import Flag
from cbminer.judged import read_judged
from cbminer.provenance import Provenance, read_provenance
from cbminer.selection.cutflow import CATALOGUE_LEVEL, SelectionSettings
from cbminer.selection.cuts import plc_residuals, spectral_labels
from cbminer.selection.plc_table import resolve_relation
from cbminer.settings import Settings, settings_from_mapping

__all__ = [
    "JudgedRun",
    "Mask",
    "Rejudging",
    "bona_fide_of",
    "plain_stars",
    "put_plc_columns",
    "read_judged_run",
    "with_plc_columns",
]

Mask = npt.NDArray[np.bool_]
_DECIMALS = {spec.name: spec.decimals for spec in COLUMNS if spec.kind == "float"}


@dataclass(frozen=True)
class JudgedRun:
    """What a run left behind.

    Attributes
    ----------
    folder : `~pathlib.Path`
        Its output folder.
    stars : `~astropy.table.QTable`
        Every star, judged, as in judged.fits.
    settings : Settings
        Settings of the run.
    provenance : Provenance
        What ran.
    """

    folder: Path
    stars: QTable
    settings: Settings
    provenance: Provenance

    @property
    def survey(self) -> str:
        """Name of the survey; "mock" for simulated stars."""
        return self.provenance.survey


def read_judged_run(folder: Path) -> JudgedRun:
    """Read the stars and the settings of a run.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Output folder of the run.

    Returns
    -------
    JudgedRun
        Stars, settings and provenance.

    Raises
    ------
    UnknownStarError
        If the folder does not exist.
    OutputError
        If it is not the output of a run, or judged.fits cannot be read.
    SettingsError
        If another version of the package wrote settings that no longer fit.
    """
    provenance = read_provenance(folder)
    return JudgedRun(folder, read_judged(folder), settings_from_mapping(provenance.settings), provenance)


def plain_stars(stars: QTable) -> QTable:
    """Turn the numbers of a table into plain columns in the units of the schema, with NaN where unknown.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Judged stars.

    Returns
    -------
    `~astropy.table.QTable`
        A copy that cuts judge alike, and several times as fast.
    """
    plain = stars.copy()
    for spec in COLUMNS:
        if spec.kind == "float" and spec.name in stars.colnames:
            plain[spec.name] = values(stars, spec.name, spec.unit)
    return plain


def bona_fide_of(stars: QTable) -> Mask | None:
    """Stars of the bona fide set, if the run tells of it.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Judged stars.

    Returns
    -------
    `~numpy.ndarray` or None
        Mask of the stars; None for a run without the column ``bona_fide``.
    """
    if "bona_fide" not in stars.colnames:
        return None
    column = stars["bona_fide"]
    if np.ma.getmaskarray(column).all():
        return None
    filled: Any = column.filled(False) if hasattr(column, "filled") else column
    return np.asarray(filled, dtype=bool)


def with_plc_columns(stars: QTable, settings: SelectionSettings) -> QTable:
    """Put residuals about the period-luminosity-colour relation in force into a plain table.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Plain stars of one or more Clouds.
    settings : SelectionSettings
        The cuts; a relation that is to be fitted is fitted to the stars of each Cloud.

    Returns
    -------
    `~astropy.table.QTable`
        A copy with plc_residual, e_plc_residual and plc_significance, rounded as in the catalogue.

    Raises
    ------
    RelationError
        If the relation is to be fitted and cannot be.
    """
    result = stars.copy(copy_data=False)
    put_plc_columns(result, settings)
    return result


def put_plc_columns(stars: QTable, settings: SelectionSettings) -> None:
    """Put residuals about the relation in force into a plain table itself; see `with_plc_columns`.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Plain stars of one or more Clouds.
    settings : SelectionSettings
        The cuts.

    Raises
    ------
    RelationError
        If the relation is to be fitted and cannot be.
    """
    galaxies = label_column(stars, "galaxy")
    columns = {name: np.full(len(stars), np.nan) for name in ("plc_residual", "e_plc_residual", "plc_significance")}
    refit = settings.plc.mode == "refit"
    for galaxy in np.unique(galaxies) if refit else [""]:
        mine = galaxies == galaxy if refit else np.ones(len(stars), dtype=bool)
        of_cloud = stars[mine] if refit else stars
        found = plc_residuals(of_cloud, resolve_relation(of_cloud, settings))
        for name, data in zip(columns, (found.residual, found.error, found.significance), strict=True):
            columns[name][mine] = data
    for name, data in columns.items():
        stars[name] = _rounded(name, data)


def _rounded(name: str, data: FloatArray) -> FloatArray:
    # Adding 0.0 turns -0.0 into 0.0, as in the catalogue.
    rounded: FloatArray = np.round(data, _DECIMALS[name]) + 0.0
    return rounded


class Rejudging:
    """Verdicts on the stars of a run under any settings of the cuts.

    A cut is judged anew only where its settings, or the relation that it uses, differ from those of the run: each
    cut looks at a star for itself, so that a star is selected if every one keeps it.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Judged stars of a run.
    settings : SelectionSettings
        Cuts of the run.

    Attributes
    ----------
    stars : `~astropy.table.QTable`
        The stars as a plain table.
    settings : SelectionSettings
        Cuts of the run.
    kept : dict of str to `~numpy.ndarray`
        Stars that each cut of the run keeps, whatever the others say.
    """

    def __init__(self, stars: QTable, settings: SelectionSettings) -> None:
        self.stars = with_plc_columns(plain_stars(stars), settings)
        self.settings = settings
        self.kept: dict[str, Mask] = {cut.name: cut.keeps(cut.apply(self.stars)) for cut in settings.cuts}
        self._labels = spectral_labels(self.stars, settings.main_sequence)

    def keeps(self, settings: SelectionSettings) -> Mapping[str, Mask]:
        """Stars that each cut keeps under other settings.

        Parameters
        ----------
        settings : SelectionSettings
            The cuts.

        Returns
        -------
        mapping of str to `~numpy.ndarray`
            Mask of the stars by the name of the cut.

        Raises
        ------
        RelationError
            If the relation is to be fitted anew and cannot be.
        """
        stars = self.stars
        new_relation = self._relation_differs(settings)
        if new_relation:
            stars = with_plc_columns(stars, settings)
        kept = dict(self.kept)
        for cut, own in zip(settings.cuts, self.settings.cuts, strict=True):
            if cut != own or (new_relation and cut.name == settings.plc.name):
                kept[cut.name] = cut.keeps(cut.apply(stars))
        return kept

    def judged(self, settings: SelectionSettings) -> tuple[Mask, Mask]:
        """Stars that every cut keeps, and stars of which that cannot be told.

        Parameters
        ----------
        settings : SelectionSettings
            The cuts.

        Returns
        -------
        selected : `~numpy.ndarray`
            Mask of the stars that every cut keeps.
        unread : `~numpy.ndarray`
            Mask of those that pass the cuts of the catalogue, but whose light curves the run did not read: nothing is
            known of their shape, so wider limits do not bring them in.

        Raises
        ------
        RelationError
            If the relation is to be fitted anew and cannot be.
        """
        kept = self.keeps(settings)
        selected: Mask = np.all(list(kept.values()), axis=0)
        wanted: Mask = np.all([kept[cut.name] for cut in settings.cuts[:CATALOGUE_LEVEL]], axis=0)
        not_read: Mask = (np.asarray(self.stars["flags"], dtype=np.int64) & Flag.LIGHT_CURVE_NOT_READ) != 0
        return selected, wanted & not_read

    def selected(self, settings: SelectionSettings) -> Mask:
        """Stars that every cut keeps.

        Parameters
        ----------
        settings : SelectionSettings
            The cuts.

        Returns
        -------
        `~numpy.ndarray`
            Mask of the stars.
        """
        return self.judged(settings)[0]

    def labels(self, settings: SelectionSettings) -> npt.NDArray[np.str_]:
        """Label O or B of every star; empty outside of the main-sequence box.

        Parameters
        ----------
        settings : SelectionSettings
            The cuts.

        Returns
        -------
        `~numpy.ndarray`
            "O", "B" or "".
        """
        if settings.main_sequence == self.settings.main_sequence:
            return self._labels
        return spectral_labels(self.stars, settings.main_sequence)

    def _relation_differs(self, settings: SelectionSettings) -> bool:
        own = self.settings
        # The width of the band is no part of the relation.
        same = settings.plc.model_copy(update={"n_sigma": own.plc.n_sigma, "on_undecided": own.plc.on_undecided})
        fitted = settings.plc.mode == "refit"
        sample = (settings.main_sequence, settings.period) != (own.main_sequence, own.period)
        return same != own.plc or (fitted and sample)
