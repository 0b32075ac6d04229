"""Residuals about the period-luminosity-colour relation by Cloud, type and source of the coefficients."""

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import numpy.typing as npt
from astropy.table import QTable

from cbminer.blocks import Blocks, blocks_of
from cbminer.columns import float_column, label_column
from cbminer.errors import RelationError
from cbminer.selection.cutflow import SelectionSettings
from cbminer.selection.cuts import PLCCut, plc_stars
from cbminer.selection.plc import DERIVED, PLCRelation, PLCStars, Residuals, fit_relation, relation_residuals

__all__ = [
    "RelationSample",
    "all_relations",
    "main_sequence_sample",
    "resolve_relation",
    "tabulate_residuals",
]

# Scales the median absolute deviation to the standard deviation of a normal distribution.
_MAD_TO_SIGMA = 1.4826
# Types of the survey whose residuals are told.
_KINDS = ("C", "NC", "ELL")
_NUMBERS = tuple(item.name for item in fields(PLCStars))


class RelationSample:
    """What the relation needs to know of the O and B stars with short periods of one Cloud, block by block.

    Parameters
    ----------
    settings : SelectionSettings
        The cuts that make the sample.
    """

    def __init__(self, settings: SelectionSettings) -> None:
        self._settings = settings
        self._parts: dict[str, list[PLCStars]] = {kind: [] for kind in _KINDS}

    def add(self, stars: QTable) -> None:
        """Take the stars of the sample out of a block.

        Parameters
        ----------
        stars : `~astropy.table.QTable`
            Stars of the Cloud with photometry.
        """
        sample = main_sequence_sample(stars, self._settings)
        numbers, kinds = plc_stars(stars), label_column(stars, "type")
        for kind, parts in self._parts.items():
            parts.append(numbers.where(sample & (kinds == kind)))

    def of_type(self, kind: str) -> PLCStars:
        """Numbers of the stars of a type.

        Parameters
        ----------
        kind : {"C", "NC", "ELL"}
            Type of the survey.

        Returns
        -------
        PLCStars
            In the order of the stars.
        """
        parts = self._parts[kind]
        return PLCStars(*(np.concatenate([np.empty(0), *(getattr(part, n) for part in parts)]) for n in _NUMBERS))


def main_sequence_sample(stars: QTable, settings: SelectionSettings) -> npt.NDArray[np.bool_]:
    """O and B stars with short periods, which the relation is about.

    Parameters
    ----------
    stars : `~astropy.table.QTable`
        Stars with photometry.
    settings : SelectionSettings
        The cuts.

    Returns
    -------
    `~numpy.ndarray`
        Mask of the stars.
    """
    mask: npt.NDArray[np.bool_] = settings.main_sequence.apply(stars).passed & settings.period.apply(stars).passed
    return mask


def resolve_relation(stars: QTable | Blocks | RelationSample, settings: SelectionSettings) -> PLCRelation:
    """Relation in force by the mode of the settings.

    Parameters
    ----------
    stars : `~astropy.table.QTable`, blocks or RelationSample
        Stars of one Cloud with photometry; looked at only for a refit.
    settings : SelectionSettings
        The cuts.

    Returns
    -------
    PLCRelation
        The relation.

    Raises
    ------
    RelationError
        If it is to be fitted and cannot be.
    """
    cut = settings.plc
    if cut.mode == "refit":
        return _refit(stars, settings)
    return _given(cut) if cut.mode == "coefficients" else _derived(cut)


def all_relations(stars: QTable | Blocks | RelationSample, settings: SelectionSettings) -> list[PLCRelation]:
    """Relations of every mode that these stars and settings allow.

    Parameters
    ----------
    stars : `~astropy.table.QTable`, blocks or RelationSample
        Stars of one Cloud with photometry.
    settings : SelectionSettings
        The cuts.

    Returns
    -------
    list of PLCRelation
        The derived one, that of the user's coefficients where they are set, and a refit where it is possible.
    """
    cut = settings.plc
    relations = [_derived(cut)]
    if None not in {cut.a, cut.b, cut.c}:
        relations.append(_given(cut))
    try:
        relations.append(_refit(stars, settings))
    except RelationError:
        # Too few stars: the table then has no rows of this mode.
        return relations
    return relations


def _derived(cut: PLCCut) -> PLCRelation:
    return PLCRelation(DERIVED.a, DERIVED.b, DERIVED.c, cut.intrinsic_scatter, "derived")


def _given(cut: PLCCut) -> PLCRelation:
    a, b, c = (float(coefficient or 0.0) for coefficient in (cut.a, cut.b, cut.c))
    return PLCRelation(a, b, c, cut.intrinsic_scatter, "coefficients")


def _refit(stars: QTable | Blocks | RelationSample, settings: SelectionSettings) -> PLCRelation:
    return fit_relation(_sample_of(stars, settings).of_type("C"), min_stars=settings.plc.refit_min_stars)


def _sample_of(stars: QTable | Blocks | RelationSample, settings: SelectionSettings) -> RelationSample:
    if isinstance(stars, RelationSample):
        return stars
    sample = RelationSample(settings)
    for block in blocks_of(stars):
        sample.add(block)
    return sample


def tabulate_residuals(
    stars: QTable | Blocks | RelationSample, relations: Sequence[PLCRelation], settings: SelectionSettings
) -> QTable:
    """Residuals of the stars of one Cloud about relations, by type.

    Parameters
    ----------
    stars : `~astropy.table.QTable`, blocks or RelationSample
        Stars of one Cloud with photometry.
    relations : sequence of PLCRelation
        The relations.
    settings : SelectionSettings
        The cuts, for the sample.

    Returns
    -------
    `~astropy.table.QTable`
        A row a relation and type: coefficients, number of stars, median residual, robust scatter, median error.
    """
    sample = _sample_of(stars, settings)
    rows = [
        _row(relation_residuals(sample.of_type(kind), relation), relation, kind)
        for relation in relations
        for kind in _KINDS
    ]
    table = QTable(rows=rows)
    for name in ("median_residual", "robust_scatter", "median_error", "c", "intrinsic_scatter"):
        table[name] = float_column(np.round(np.asarray(table[name], dtype=float), 4), "mag")
    return table


def _row(residuals: Residuals, relation: PLCRelation, kind: str) -> dict[str, str | int | float]:
    known = ~np.isnan(residuals.residual)
    residual, error = residuals.residual[known], residuals.error[known]
    median = float(np.median(residual)) if len(residual) else np.nan
    deviation = float(np.median(np.abs(residual - median))) if len(residual) else np.nan
    return {
        "mode": relation.mode,
        "a": round(relation.a, 4),
        "b": round(relation.b, 4),
        "c": relation.c,
        "e_a": round(relation.e_a, 4),
        "e_b": round(relation.e_b, 4),
        "e_c": round(relation.e_c, 4),
        "n_clipped": relation.n_clipped,
        "intrinsic_scatter": relation.intrinsic_scatter,
        "type": kind,
        "n_stars": len(residual),
        "median_residual": median,
        "robust_scatter": _MAD_TO_SIGMA * deviation,
        "median_error": float(np.median(error)) if len(error) else np.nan,
    }
