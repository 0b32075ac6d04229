"""The summary of a run on one screen."""

import textwrap
from collections.abc import Iterator
from importlib.metadata import version

import numpy as np
from astropy.table import QTable

from cbminer.blocks import Blocks, columns_of
from cbminer.classifier.classes import CLASSES
from cbminer.columns import label_column, values
from cbminer.flags import FLAG_MEANINGS, Flag
from cbminer.pipeline import CloudSelection, Selection
from cbminer.report.classes import classifier_title
from cbminer.report.counting import count_flags, count_labels
from cbminer.report.products import cutflow_of_run
from cbminer.report.ranking import CANDIDATES_SHOWN, candidate_lines, compare_choices, mixture_lines

__all__ = ["summary_lines"]

_WIDTH = 80
# Flags that say that a substitute was used or a number was missing, for the summary.
_SUMMARISED = (
    Flag.MEAN_REDDENING,
    Flag.OUTSIDE_REDDENING_MAP,
    Flag.BLANK_REDDENING,
    Flag.NO_REDDENING,
    Flag.NO_DISTANCE,
    Flag.POOR_PARALLAX,
    Flag.GIVEN_PHOTOMETRY,
    Flag.NO_V,
    Flag.NO_LIGHT_CURVE,
    Flag.LIGHT_CURVE_UNREADABLE,
    Flag.LIGHT_CURVE_DAMAGED,
    Flag.TOO_FEW_POINTS,
    Flag.PHASE_GAP,
    Flag.C_UNKNOWN,
)


def summary_lines(selection: Selection) -> Iterator[str]:
    """Lines of the summary.

    Parameters
    ----------
    selection : Selection
        A run.

    Yields
    ------
    str
        Lines of at most 80 characters, but for names and paths.
    """
    simulated = "  SIMULATED STARS, NOT OBSERVATIONS" if selection.survey == "mock" else ""
    yield f"cbminer {version('cbminer')}   survey {selection.survey}{simulated}"
    for cloud in selection.clouds:
        yield from _cloud_lines(cloud)
    yield ""
    yield from _cutflow_lines(selection)
    yield ""
    for cloud in selection.clouds:
        yield _relation_line(cloud)
    yield from _class_lines(selection)
    yield _substitutes_line(selection.blocks)
    for cloud in selection.clouds:
        yield from (f"note: {note}" for note in cloud.notes)
    yield from (f"note: {note}" for note in selection.notes)
    yield ""
    for cloud in selection.clouds:
        yield from mixture_lines(cloud.galaxy, cloud.ranker.record())
    yield ""
    yield from candidate_lines(selection.ranked.first(CANDIDATES_SHOWN), number=len(selection.ranked))
    yield from _choice_lines(selection.blocks)


def _cloud_lines(cloud: CloudSelection) -> Iterator[str]:
    counts = cloud.counts
    read, wanted = counts.get("light curves read", 0), counts.get("light curves wanted", 0)
    yield (
        f"{cloud.galaxy}  {counts['stars']:,} stars ({cloud.release}), "
        f"{read:,} light curves read, {wanted - read:,} absent or unreadable"
    )
    if cloud.set_aside:
        yield f"{cloud.galaxy}  {len(cloud.set_aside):,} lines or files set aside, listed in set_aside.ecsv"


def _cutflow_lines(selection: Selection) -> Iterator[str]:
    yield f"{'cut':<26}{'in':>9}{'out':>9}{'failed':>9}{'unknown':>9}"
    cutflow = cutflow_of_run(selection)
    names = list(dict.fromkeys(str(cut) for cut in cutflow["cut"]))
    for name in names:
        rows = cutflow[np.asarray(cutflow["cut"]) == name]
        numbers = [int(np.sum(rows[column])) for column in ("n_in", "n_out", "n_failed", "n_undecided")]
        yield f"{name:<26}" + "".join(f"{number:>9,}" for number in numbers)


def _relation_line(cloud: CloudSelection) -> str:
    relation = cloud.relation
    residuals = cloud.residuals
    chosen = residuals[(residuals["mode"] == relation.mode) & (residuals["type"] == "C")]
    text = (
        f"{cloud.galaxy}  PLC {relation.mode}: M_V = {relation.a:.2f} log P {relation.b:+.2f} (V-I)_0 {relation.c:+.2f}"
    )
    if len(chosen) == 0 or int(chosen["n_stars"][0]) == 0:
        return text
    median = values(chosen, "median_residual", "mag")[0]
    scatter = values(chosen, "robust_scatter", "mag")[0]
    return f"{text}; {int(chosen['n_stars'][0])} C stars {median:+.2f}, scatter {scatter:.2f} mag"


def _class_lines(selection: Selection) -> Iterator[str]:
    counts = count_labels(selection.blocks, "light_curve_class")
    found = [f"{counts[name]:,} {name}" for name in (*CLASSES, "undecided") if counts[name]]
    if not found:
        return
    title = classifier_title(selection.settings.classifier.model, _classifier_version(selection.blocks))
    text = f"light curves by class ({title})  {'; '.join(found).replace('_', ' ')}"
    yield from textwrap.wrap(text, _WIDTH, subsequent_indent="    ")


def _classifier_version(stars: QTable | Blocks) -> str:
    """Version that the first star with a class names."""
    for block in columns_of(stars, ["light_curve_class", "classifier_version"]):
        versions = label_column(block, "classifier_version")[label_column(block, "light_curve_class") != ""]
        if len(versions):
            return str(versions[0])
    return ""


def _substitutes_line(stars: QTable | Blocks) -> str:
    counts = count_flags(stars)
    found = [
        f"{counts[flag]:,} {FLAG_MEANINGS[flag].split(',')[0].split(':')[0]}" for flag in _SUMMARISED if counts[flag]
    ]
    return "stars with  " + "; ".join(found) if found else "no star needed a substitute"


def _choice_lines(stars: QTable | Blocks) -> Iterator[str]:
    """Set the bona fide set beside the ranking."""
    _, bona_fide, ranking = compare_choices(stars)
    yield (
        f"bona fide: {bona_fide['stars']} of them lie in the contour of the population, "
        f"{bona_fide['expected_contact']:.1f} contact by their odds"
    )
    if bona_fide["stars"]:
        yield (
            f"the first {ranking['stars']} of the ranking hold {ranking['expected_contact']:.1f}; "
            f"{ranking['also_bona_fide']} are in both"
        )
