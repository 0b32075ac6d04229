"""Products of the sensitivity of a run: tables, figures, provenance, and a summary on one screen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.table import QTable

from cbminer.columns import label_column
from cbminer.completeness.bootstrap import Bootstrap, ErrorModel, run_bootstrap
from cbminer.completeness.rejudging import JudgedRun, Rejudging
from cbminer.completeness.sensitivity import Sensitivity, measure_sensitivity
from cbminer.completeness.sensitivity_settings import SensitivitySettings
from cbminer.completeness.sensitivity_tables import (
    tabulate_bootstrap,
    tabulate_counts,
    tabulate_scans,
    tabulate_summary,
    tabulate_turning_stars,
)
from cbminer.errors import OutputError
from cbminer.monitor import Monitor
from cbminer.provenance import Provenance, hash_files, write_provenance
from cbminer.report.figures import save_figure
from cbminer.report.sensitivity_figures import (
    bootstrap_figure,
    influence_figure,
    joint_figure,
    plane_figure,
    scans_figure,
    stability_figure,
)

__all__ = ["SensitivityAnalysis", "analyse_run", "sensitivity_lines", "write_sensitivity"]

_SHOWN = 8
# Shares from which a star is called firm, and below which shaky.
_FIRM, _SHAKY = 0.9, 0.5


@dataclass(frozen=True)
class SensitivityAnalysis:
    """Everything that is told of the sensitivity of a run.

    Attributes
    ----------
    run : JudgedRun
        The run.
    settings : SensitivitySettings
        How it was measured.
    seed : int
        Seed of the draws.
    rejudging : Rejudging
        The stars and the cuts.
    sensitivity : Sensitivity
        The sample over the limits.
    bootstrap : Bootstrap or None
        The draws; None where none were asked for.
    stars, counts : `~astropy.table.QTable` or None
        How often each star is in, and the numbers of stars, over the draws.
    """

    run: JudgedRun
    settings: SensitivitySettings
    seed: int
    rejudging: Rejudging
    sensitivity: Sensitivity
    bootstrap: Bootstrap | None = None
    stars: QTable | None = None
    counts: QTable | None = None


def analyse_run(
    run: JudgedRun, *, settings: SensitivitySettings, seed: int, monitor: Monitor | None = None
) -> SensitivityAnalysis:
    """Measure how the sample of a run answers to its limits and to errors.

    Parameters
    ----------
    run : JudgedRun
        The run.
    settings : SensitivitySettings
        How it is measured; 0 draws leave the bootstrap out.
    seed : int
        Seed of the draws.
    monitor : Monitor, optional
        Told of the progress.

    Returns
    -------
    SensitivityAnalysis
        What was measured.

    Raises
    ------
    OutputError
        If the cuts of this version of the package select other stars than the run did.
    """
    cuts = run.settings.selection
    rejudging = Rejudging(run.stars, cuts)
    different = int((rejudging.selected(cuts) != np.asarray(run.stars["selected"], dtype=bool)).sum())
    if different:
        msg = (
            f"{run.folder}: with its own settings {different} stars are judged otherwise than in the run, by another "
            "version of cbminer: run the selection again with --overwrite"
        )
        raise OutputError(msg)
    measured = measure_sensitivity(rejudging, settings=settings, monitor=monitor)
    analysis = SensitivityAnalysis(run, settings, seed, rejudging, measured)
    if settings.draws == 0:
        return analysis
    errors = ErrorModel.of(run.settings, settings)
    bootstrap = run_bootstrap(run.stars, cuts, errors=errors, n_draws=settings.draws, seed=seed, monitor=monitor)
    return replace(
        analysis,
        bootstrap=bootstrap,
        stars=tabulate_bootstrap(run.stars, bootstrap),
        counts=tabulate_counts(run.stars, cuts, bootstrap),
    )


def sensitivity_lines(analysis: SensitivityAnalysis) -> Iterator[str]:
    """Lines of the summary.

    Parameters
    ----------
    analysis : SensitivityAnalysis
        What was measured.

    Yields
    ------
    str
        Lines of text.
    """
    simulated = "  SIMULATED STARS, NOT OBSERVATIONS" if analysis.run.survey == "mock" else ""
    scans = analysis.sensitivity.scans
    n_sample = int(np.asarray(analysis.run.stars["selected"], dtype=bool).sum())
    yield f"{analysis.run.folder}: {n_sample:,} stars in the sample{simulated}"
    yield ""
    yield f"{'limit':<36}{'value':>10}{'10 % tighter':>14}{'looser':>9}{'per 10 %':>10}{'per error':>11}"
    for scan in [scan for scan in scans if sum(scan.moved) or not all(scan.known)][:_SHOWN]:
        tight, loose = (_told(scan.sample.counts[k, 0]) for k in scan.beside)
        value = f"{scan.limit.value:g} {scan.limit.unit}".rstrip()
        error = _told(scan.per_error, ".1f") if scan.response.typical_error > 0 else "none"
        per = _told(scan.per_10_percent[0], ".1f")
        yield f"{scan.limit.path:<36}{value:>10}{tight:>14}{loose:>9}{per:>10}{error:>11}"
    unknown = [scan.limit.path for scan in scans if not all(scan.known)]
    if unknown:
        yield f"too few stars are left to fit the relation within 10 % of {', '.join(unknown)}"
    still = [scan.limit.path for scan in scans if not sum(scan.moved) and all(scan.known)]
    if still:
        yield f"no star comes or goes within 10 % of {', '.join(still)}"
    joint = analysis.sensitivity.joint
    ends = (0, -1)
    yield (
        f"all {len(joint.limits)} limits together: "
        + ", ".join(f"{100.0 * joint.shares[k]:+.0f} % looser {_told(joint.sample.counts[k, 0])}" for k in ends)
        + " stars"
    )
    unread = max(int(scan.sample.unread.max()) for scan in scans)
    if unread:
        yield (
            f"note: wider limits let in up to {unread:,} stars whose light curves the run did not read: they count as "
            'out. Run the selection with measure = "all" under [lightcurves]'
        )
    yield from _bootstrap_lines(analysis)


def _told(number: float, form: str = ",.0f") -> str:
    """Write a number, or that it is unknown because the relation could not be fitted."""
    return format(number, form) if np.isfinite(number) else "unknown"


def _bootstrap_lines(analysis: SensitivityAnalysis) -> Iterator[str]:
    if analysis.bootstrap is None or analysis.stars is None or analysis.counts is None:
        return
    stars, counts = analysis.stars, analysis.counts
    yield ""
    yield f"{analysis.bootstrap.n_draws} draws of the funnel under errors; varied by{'':<11}median    68 %         95 %"
    told = ("sample", "sample O", "sample B")
    for row in counts:
        repeated = row["galaxy"] == "all" and len(analysis.bootstrap.galaxies) == 2
        if row["what"] in told and row["varies"] != "both" and not repeated:
            wide = f"{row['p2_5']:.0f}-{row['p97_5']:.0f}"
            name = f"{row['galaxy']} {row['what']}"
            yield (
                f"  {name:<16}{row['n_run']:>7,} in the run   {row['varies']:<10}{row['median']:>16.0f}    "
                f"{row['p16']:.0f}-{row['p84']:.0f}".ljust(68)
                + f"   {wide}"
            )
    share, chosen = np.asarray(stars["share_in"], dtype=float), np.asarray(stars["selected"], dtype=bool)
    firm, shaky = int((chosen & (share >= _FIRM)).sum()), int((chosen & (share < _SHAKY)).sum())
    near = int((~chosen & (share >= _SHAKY)).sum())
    yield (
        f"of {chosen.sum():,} stars of the sample {firm:,} are in in {100 * _FIRM:.0f} % of the draws or more, "
        f"{shaky:,} in less than {100 * _SHAKY:.0f} %; {near:,} other stars are in in half of them"
    )
    lost_by = label_column(stars[chosen], "lost_by")
    names, numbers = np.unique(lost_by[lost_by != ""], return_counts=True)
    if len(names):
        order = np.argsort(-numbers, kind="stable")
        yield f"lost most often by {', '.join(f'{names[k]} ({numbers[k]:,} stars)' for k in order)}"
    yield "note: the values hold one realisation of their errors already, a second one is put on top: shares tell of"
    yield "    stability, and what a median differs from the run's number is no correction of it"
    yield f"note: the zero point of E(V-I) is taken to be uncertain by {analysis.settings.e_E_VI_zero:g} mag"
    for name, number in analysis.bootstrap.unmoved.items():
        yield f"note: {number:,} stars of the sample have no error of {name}, which stays as it is"


def write_sensitivity(folder: Path, analysis: SensitivityAnalysis, lines: Sequence[str], *, command: str) -> None:
    """Write tables, figures, summary and provenance.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder, which must exist.
    analysis : SensitivityAnalysis
        What was measured.
    lines : sequence of str
        The summary.
    command : str
        The command.
    """
    tables = {
        "sensitivity": tabulate_scans(analysis.sensitivity),
        "sensitivity_summary": tabulate_summary(analysis.sensitivity),
        "sensitivity_stars": tabulate_turning_stars(analysis.rejudging, analysis.sensitivity),
    }
    if analysis.stars is not None and analysis.counts is not None:
        tables |= {"bootstrap": analysis.stars, "bootstrap_counts": analysis.counts}
    for stem, table in tables.items():
        table.meta["survey"] = analysis.run.survey
        table.write(folder / f"{stem}.ecsv", format="ascii.ecsv")
    (folder / "summary.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _write_figures(folder / "figures", analysis)
    run = analysis.run.provenance
    record = {"run": run.settings, "sensitivity": analysis.settings.model_dump(mode="json")}
    write_provenance(
        folder,
        Provenance(
            command=command,
            survey=run.survey,
            archive=run.archive,
            galaxies=run.galaxies,
            releases=run.releases,
            settings=record,
            seed=analysis.seed,
            relations=run.relations,
            counts={},
            inputs=[hash_files("judged.fits of the run", [analysis.run.folder / "judged.fits"])],
        ),
    )


def _write_figures(folder: Path, analysis: SensitivityAnalysis) -> None:
    folder.mkdir()
    survey, measured = analysis.run.survey, analysis.sensitivity
    figures = {
        "one_limit": scans_figure(measured.scans, survey=survey),
        "influence": influence_figure(measured.scans, survey=survey),
        "all_limits": joint_figure(measured.joint, survey=survey),
    }
    if measured.plane is not None:
        figures["two_limits"] = plane_figure(measured.plane, survey=survey)
    if analysis.bootstrap is not None and analysis.stars is not None:
        galaxies = label_column(analysis.run.stars, "galaxy")
        selected = np.asarray(analysis.run.stars["selected"], dtype=bool)
        in_run = [
            int((selected & ((galaxies == galaxy) | (galaxy == "all"))).sum()) for galaxy in analysis.bootstrap.galaxies
        ]
        figures["sample_size"] = bootstrap_figure(analysis.bootstrap, in_run=in_run, survey=survey)
        figures["stability"] = stability_figure(analysis.run.stars, analysis.stars, survey=survey)
    for stem, figure in figures.items():
        save_figure(figure, folder / stem)
