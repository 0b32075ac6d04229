"""Products of a comparison with a published list: tables, figure, provenance, and a summary on one screen."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from astropy.table import QTable

from cbminer.columns import label_column
from cbminer.provenance import Provenance, hash_files, write_provenance
from cbminer.report.against import COMMON, ONLY_HERE, ONLY_THERE, Comparison
from cbminer.report.against_figure import comparison_figure
from cbminer.report.figures import save_figure

__all__ = ["comparison_lines", "write_comparison"]

_SHOWN = 12


def comparison_lines(comparison: Comparison) -> Iterator[str]:
    """Lines of the summary.

    Parameters
    ----------
    comparison : Comparison
        What came of it.

    Yields
    ------
    str
        Lines of text.
    """
    table, published = comparison.table, comparison.published
    simulated = "  SIMULATED STARS, NOT OBSERVATIONS" if comparison.run.survey == "mock" else ""
    yield f"{comparison.run.folder} against {published.name}, {len(published):,} entries{simulated}"
    yield f"columns: {', '.join(f'{what} from {column}' for what, column in published.columns.items())}"
    yield ""
    yield from _cutflow_lines(comparison.cutflow)
    yield ""
    yield from _score_lines(comparison.scores)
    if comparison.periods:
        yield f"periods: {', '.join(f'{count:,} {name}' for name, count in comparison.periods.items())}"
    groups = label_column(table, "group")
    yield ""
    yield ", ".join(f"{group} {(groups == group).sum():,}" for group in (COMMON, ONLY_THERE, ONLY_HERE))
    yield from _reason_lines(table[groups == ONLY_THERE])
    yield from _here_lines(table[groups == ONLY_HERE])
    yield from (f"note: {note}" for note in comparison.notes)


def _cutflow_lines(cutflow: QTable) -> Iterator[str]:
    yield f"{'step':<26}{'all stars':>11}{'listed':>9}{'listed it removes':>21}"
    for row in cutflow[label_column(cutflow, "galaxy") == "all"]:
        everyone = "" if np.ma.is_masked(row["n_all"]) else f"{int(row['n_all']):,}"
        before_cuts = str(row["step"]).startswith("in the")
        fails = "" if before_cuts else f"{int(row['n_listed_fail']):,}"
        yield f"{row['step']:<26}{everyone:>11}{int(row['n_listed']):>9,}{fails:>21}"


def _score_lines(scores: QTable) -> Iterator[str]:
    yield f"{'set':<28}{'here':>7}{'there':>7}{'common':>8}   precision            recall               F1"
    for row in scores[label_column(scores, "galaxy") == "all"]:
        numbers = "".join(f"   {_interval(row, name):<18}" for name in ("precision", "recall", "F1"))
        yield f"{row['set']:<28}{row['n_here']:>7,}{row['n_there']:>7,}{row['n_common']:>8,}{numbers}".rstrip()


def _interval(row: Mapping[str, float], name: str) -> str:
    if np.ma.is_masked(row[name]):
        return "not known"
    return f"{row[name]:.3f} ({row[f'{name}_low']:.3f}-{row[f'{name}_high']:.3f})"


def _reason_lines(lost: QTable) -> Iterator[str]:
    if len(lost) == 0:
        return
    yield ""
    yield "only there, by the first reason"
    reasons: Sequence[str] = label_column(lost, "reason").tolist()
    for reason, count in Counter(text.split(":")[0] for text in reasons).most_common():
        yield f"  {count:>5,}  {reason}"
    listed, found = label_column(lost, "listed_id"), label_column(lost, "id")
    for index in range(min(len(lost), _SHOWN)):
        yield f"  {found[index] or listed[index] or 'entry ' + str(lost['entry'][index])}: {reasons[index]}"
    if len(lost) > _SHOWN:
        yield f"  and {len(lost) - _SHOWN:,} more in against.ecsv"


def _here_lines(new: QTable) -> Iterator[str]:
    if len(new) == 0:
        return
    name = "post_contact" if "post_contact" in new.colnames else "P_contact"
    yield ""
    yield f"only here, by rank ({name})"
    for row in new[:_SHOWN]:
        probability = "not known" if np.ma.is_masked(row[name]) else f"{row[name]:.3f}"
        yield f"  {int(row['rank']):>5}  {row['id']}  {probability}"
    if len(new) > _SHOWN:
        yield f"  and {len(new) - _SHOWN:,} more in against.ecsv"


def write_comparison(folder: Path, comparison: Comparison, lines: Sequence[str], *, command: str) -> None:
    """Write tables, figure, summary and provenance.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder, which must exist.
    comparison : Comparison
        What came of it.
    lines : sequence of str
        The summary.
    command : str
        The command.
    """
    run = comparison.run.provenance
    tables = {"": comparison.table, "_cutflow": comparison.cutflow, "_scores": comparison.scores}
    for stem, table in tables.items():
        table.meta |= {"survey": run.survey, "list": comparison.published.name}
        table.write(folder / f"against{stem}.ecsv", format="ascii.ecsv")
    (folder / "summary.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    save_figure(comparison_figure(comparison), folder / "against")
    inputs = [comparison.run.folder / "judged.fits", comparison.published.path]
    write_provenance(
        folder,
        Provenance(
            command=command,
            survey=run.survey,
            archive=run.archive,
            galaxies=run.galaxies,
            releases=run.releases,
            settings=run.settings,
            seed=run.seed,
            relations=run.relations,
            counts={},
            inputs=[hash_files(path.name, [path]) for path in inputs],
        ),
    )
