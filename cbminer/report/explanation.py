"""Why one star is in or out: every number that decided and its distance from the limit."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from astropy.table import QTable, Table

from cbminer.classifier.classes import CLASSES
from cbminer.columns import label_column, values
from cbminer.errors import UnknownStarError
from cbminer.flags import FLAG_MEANINGS, Flag
from cbminer.judged import judged_blocks, star_rows
from cbminer.provenance import Provenance, read_provenance
from cbminer.report.classes import class_line, classifier_title
from cbminer.report.products import SET_ASIDE_FILE
from cbminer.report.ranking import odds_lines
from cbminer.selection.cutflow import SelectionSettings
from cbminer.settings import settings_from_mapping

__all__ = ["explain_star"]

# Probabilities below this are not printed.
_LEAST_SHOWN = 0.01
# Verdicts on the survey's period by the column of their probability; the last one is what earlier runs call p_other.
_VERDICTS = {
    "p_confirmed": "confirmed",
    "p_half": "half",
    "p_double": "double",
    "p_other": "not eclipsing",
    "p_refuted": "refuted",
    "p_not_eclipsing": "not eclipsing",
}


def explain_star(run: Path, star: str) -> list[str]:
    """Explain the verdict on a star from the products of a run.

    Parameters
    ----------
    run : `~pathlib.Path`
        Output folder of the run.
    star : str
        Identifier of the star, upper or lower case.

    Returns
    -------
    list of str
        Lines of text.

    Raises
    ------
    UnknownStarError
        If the star is not in the run, with the nearest names.
    OutputError
        If the folder is not the output of a run.
    """
    provenance = read_provenance(run)
    stars = judged_blocks(run)
    try:
        row = stars.rows(star_rows(stars, [star], run=run))
    except UnknownStarError:
        if lines := _set_aside_lines(run, star):
            return lines
        raise
    settings = settings_from_mapping(provenance.settings)
    odds = odds_lines(row, contour=settings.ranking.contour) if "post_contact" in row.colnames else ()
    numbers = [*_heading(row), *_numbers(row, provenance), *odds]
    return [*numbers, "", *_cut_lines(row, settings.selection), *_flag_lines(row)]


def _set_aside_lines(run: Path, star: str) -> list[str]:
    path = run / SET_ASIDE_FILE
    table = Table.read(path, format="ascii.ecsv") if path.exists() else Table(names=("star",))
    lines = [
        f"  {row['file']}, line {row['line']}: {row['reason']}" if row["line"] else f"  {row['file']}: {row['reason']}"
        for row in table
        if str(row["star"]).upper() == star.strip().upper()
    ]
    return [f"{star} was set aside when the archive was read:", *lines] if lines else []


def _heading(row: QTable) -> Iterator[str]:
    simulated = " (simulated star)" if str(row["survey"][0]) == "mock" else ""
    place = f"{row['galaxy'][0]}, type {row['type'][0]}"
    yield f"{row['id'][0]}   {place}, survey {row['survey'][0]}{simulated}"
    if bool(row["selected"][0]):
        yield f"candidate, rank {row['rank'][0]}"
    else:
        yield f"out by {row['rejected_by'][0]}"


def _numbers(row: QTable, provenance: Provenance) -> Iterator[str]:
    def pair(name: str, unit: str, decimals: int) -> str:
        value, error = values(row, name, unit)[0], values(row, f"e_{name}", unit)[0]
        text = f"{value:.{decimals}f} +- {error:.{decimals}f}" if not np.isnan(value) else "not known"
        return f"{name} = {text}"

    period = values(row, "period", "d")[0]
    yield f"period = {period:.7f} d{_period_origin(row)}" if not np.isnan(period) else "period is not known"
    yield ", ".join(pair(name, "mag", 3) for name in ("I_mag", "V_mag", "E_VI"))
    yield ", ".join(pair(name, "mag", 3) for name in ("M_V", "VI0", "distance_modulus"))
    yield f"{pair('depth1', 'mag', 4)}, {pair('depth2', 'mag', 4)}, {pair('W', '', 4)}, {pair('c', '', 3)}"
    if int(row["flags"][0]) & Flag.C_PUBLISHED:
        yield f"c is the published one; {pair('c_measured', '', 3)}"
    elif provenance.c_calibration is not None:
        n_published = provenance.c_calibration["n_stars"]
        yield f"c is {pair('c_measured', '', 3)}, brought to the scale of {n_published} published values"
    yield from _class(row, provenance)
    relation = provenance.relations[str(row["galaxy"][0])]
    yield (
        f"{pair('plc_residual', 'mag', 3)} about M_V = {relation['a']:.2f} log P {relation['b']:+.2f} (V-I)_0 "
        f"{relation['c']:+.2f} ({relation['mode']}, intrinsic scatter {relation['intrinsic_scatter']:.2f} mag)"
    )


def _class(row: QTable, provenance: Provenance) -> Iterator[str]:
    if provenance.classifier is None:
        # A run of a version that did not classify.
        return
    label, version = (label_column(row, name)[0] for name in ("light_curve_class", "classifier_version"))
    probability, error = (
        np.array([values(row, f"{prefix}{name}")[0] for name in CLASSES]) for prefix in ("P_", "e_P_")
    )
    yield class_line(label, probability, error, title=classifier_title(provenance.classifier["model"], version))


def _period_origin(row: QTable) -> str:
    """Say where the period comes from, and what the light curve says of the survey's."""
    source, verdict = (label_column(row, name)[0] for name in ("period_source", "period_verdict"))
    if not verdict:
        return ""
    listed = values(row, "period_survey", "d")[0]
    numbers = [
        f"{words} {values(row, name)[0]:.2f}"
        for name, words in _VERDICTS.items()
        if name in row.colnames and values(row, name)[0] >= _LEAST_SHOWN
    ]
    of_survey = f"the survey lists {listed:.7f} d" if not np.isnan(listed) else "the survey lists none"
    return f" ({source}; {of_survey}: {verdict.replace('_', ' ')}, probabilities {', '.join(numbers) or 'unknown'})"


def _cut_lines(row: QTable, settings: SelectionSettings) -> Iterator[str]:
    """Yield every cut with its verdict and, below it, the numbers of its conditions."""
    for cut in settings.cuts:
        verdict = cut.apply(row)
        word = "passes" if verdict.passed[0] else "fails" if verdict.failed[0] else "cannot be told"
        if verdict.undecided[0]:
            word += ", kept" if cut.on_undecided == "keep" else ", dropped"
        yield f"{cut.name}: {word}"
        yield from (f"    {condition.describe(0)}" for condition in verdict.conditions)


def _flag_lines(row: QTable) -> Iterator[str]:
    flags = int(row["flags"][0])
    found = [flag for flag in Flag if flags & flag]
    if found:
        yield ""
        yield "flags"
        yield from (f"    {flag.name}: {FLAG_MEANINGS[flag]}" for flag in found)
