"""Tables, figures and words of the completeness of a run, written into a folder."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import MaskedColumn, QTable, Table

from cbminer.columns import label_column, values
from cbminer.completeness.completing import InjectedRun
from cbminer.completeness.numbers import tabulate_numbers, weigh
from cbminer.completeness.rates import SAMPLES, Mask, samples_of, tabulate_cuts, tabulate_rates
from cbminer.completeness.systems import KINDS
from cbminer.provenance import Provenance, write_provenance
from cbminer.report.completeness_figures import completeness_curves, completeness_map, cut_losses
from cbminer.report.figures import save_figure
from cbminer.settings import Settings

__all__ = ["CompletenessReport", "describe_completeness", "report_completeness", "write_completeness"]

_FIXED_DATE = "with the data"
# Injected stars of equal weight below which a number is weak, and below which it is none.
_FEW, _TOO_FEW = 100.0, 20.0
_TOLD_SHARE = 0.01
_NAMES = {"contact": "contact", "near_contact": "near contact"}
# What the reader of any number here must know.
CAVEATS = (
    "which stars the survey lists at all is not simulated: completeness is that of the selection among listed stars",
    "contamination is that of pairs near contact alone; semi-detached, detached and other stars are not injected",
    "injected stars lie where stars of the survey do, and share their epochs, gaps, errors, scatter and outliers",
    "fill-outs, radii and inclinations are drawn flat or isotropic; period, M_V and mass ratio are weighed for numbers",
    "a share of the injected stars lies where the population is in P, M_V and q, and so is in shares over wide ranges",
)


@dataclass(frozen=True)
class CompletenessReport:
    """All that is told of the completeness of a run.

    Attributes
    ----------
    injected : `~astropy.table.QTable`
        A row an injected star, with truth, verdict and weight.
    rates, cuts, numbers : `~astropy.table.QTable`
        Shares that end in each sample, what loses the others, and corrected counts.
    settings : Settings
        Settings with which it was made.
    seed : int
        Seed of the injections.
    notes : list of str
        Clouds that were left out, and why.
    """

    injected: QTable
    rates: QTable
    cuts: QTable
    numbers: QTable
    settings: Settings
    seed: int
    notes: list[str]


def report_completeness(found: InjectedRun) -> CompletenessReport:
    """Work out all that is told of the stars that were injected into a run.

    Parameters
    ----------
    found : InjectedRun
        The stars, and what they are compared with.

    Returns
    -------
    CompletenessReport
        The report.
    """
    settings, populations, seed = found.settings, found.populations, found.seed
    weighed = weigh(found.injected, populations=populations, laws=found.laws)
    samples = _samples(weighed, settings)
    return CompletenessReport(
        weighed,
        tabulate_rates(weighed, samples, least_depth=settings.population.detection.least_depth),
        tabulate_cuts(weighed),
        tabulate_numbers(weighed, found.observed, populations=populations, injection=settings.completeness, seed=seed),
        settings,
        seed,
        found.notes,
    )


def _samples(injected: QTable, settings: Settings) -> dict[str, Mask]:
    least, limits = settings.completeness.least_probability, settings.population.counts
    return samples_of(injected, least_probability=least, limits=limits)


def describe_completeness(report: CompletenessReport) -> list[str]:
    """Put the completeness of a run into words.

    Parameters
    ----------
    report : CompletenessReport
        What is told of it.

    Returns
    -------
    list of str
        Lines for a terminal.
    """
    lines = [f"{len(report.injected):,} simulated binaries injected", ""]
    lines.append(
        f"{'Cloud':<6}{'kind':<14}{'sample':<12}{'injected':>9}{'found':>7}{'share':>8}   {'68 %':<16}deep enough"
    )
    rates = report.rates
    texts = {name: label_column(rates, name) for name in ("galaxy", "kind", "subset", "sample", "x")}
    for place in np.flatnonzero((texts["x"] == "") & (texts["subset"] == "all")):
        row = rates[place]
        deep = (texts["x"] == "") & (texts["subset"] == "deep")
        for name in ("galaxy", "kind", "sample"):
            deep &= texts[name] == texts[name][place]
        share = f"{rates['share'][deep][0]:>10.3f}" if deep.any() else ""
        lines.append(
            f"{row['galaxy']:<6}{_NAMES[str(row['kind'])]:<14}{row['sample']:<12}{row['n_injected']:>9,}{row['n_found']:>7,}"
            f"{row['share']:>8.3f}   {row['share_low']:.3f} to {row['share_high']:<8.3f}{share}"
        )
    lines += ["", *_worst_cuts(report.cuts), "", *_number_lines(report)]
    return [*lines, "", *(f"note: {text}" for text in (*report.notes, *_few(report), *CAVEATS))]


def _few(report: CompletenessReport) -> list[str]:
    """Say where the population rests on few injected stars."""
    notes = []
    for row in report.numbers:
        n_effective = min(float(np.ma.filled(row[name], np.nan)) for name in ("n_effective", "n_effective_near"))
        if n_effective < _FEW:
            weak = "too few injections to rest on" if n_effective < _TOO_FEW else "few"
            notes.append(
                f"{row['galaxy']} {row['sample']}: the population rests on {n_effective:.0f} injected stars of equal "
                f"weight, {weak}; raise --n"
            )
    return notes


def _worst_cuts(cuts: QTable) -> list[str]:
    lines = []
    galaxies, kinds, reasons = (label_column(cuts, name) for name in ("galaxy", "kind", "rejected_by"))
    for galaxy, kind in product(np.unique(galaxies), KINDS):
        rows = np.flatnonzero((galaxies == galaxy) & (kinds == kind) & (reasons != "none"))[:3]
        lost = ", ".join(f"{reasons[row]} {100 * cuts['share'][row]:.1f} %" for row in rows)
        if lost:
            lines.append(f"{galaxy}, {_NAMES[kind]}: most are lost by {lost}")
    return lines


def _number_lines(report: CompletenessReport) -> list[str]:
    lines = []
    for row in report.numbers:
        number = {name: float(np.ma.filled(row[name], np.nan)) for name in report.numbers.colnames[2:]}
        place = f"{row['galaxy']} {row['sample']}"
        if not np.isfinite(number["completeness"]):
            lines.append(f"{place}: the population has no system like the injected ones")
            continue
        lines.append(
            f"{place}: {number['n_observed']:.0f} stars; completeness for the population "
            f"{number['completeness']:.2f} +- {number['e_completeness']:.2f}, and "
            f"{number['scattered_in']:.2f} that errors bring within its limits; near contact among them "
            f"{100 * number['contamination_50']:.0f} % ({100 * number['contamination_16']:.0f} to "
            f"{100 * number['contamination_84']:.0f}); corrected number {number['corrected_50']:.0f} "
            f"({number['corrected_16']:.0f} to {number['corrected_84']:.0f}), predicted {number['predicted']:.0f} "
            f"({number['predicted_16']:.0f} to {number['predicted_84']:.0f})"
        )
    uncovered = report.injected.meta.get("uncovered", {})
    lines += [
        f"{name.replace('_', ' ')}: {100 * share:.0f} % of the population lie where no binary was drawn"
        for name, share in uncovered.items()
        if share > _TOLD_SHARE
    ]
    return lines


def write_completeness(folder: Path, report: CompletenessReport, *, run: Provenance, command: str) -> None:
    """Write tables, figures and provenance of the completeness of a run.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder, which must exist.
    report : CompletenessReport
        What is told of it.
    run : Provenance
        Provenance of the run that was tested.
    command : str
        The command.
    """
    _write_injections(report.injected, folder / "injections.fits", report.seed)
    notes = {
        "survey": run.survey,
        "comment": "injected stars are simulated, not observed",
        "notes": [*report.notes, *CAVEATS],
    }
    for name, table in (("completeness", report.rates), ("cuts", report.cuts), ("numbers", report.numbers)):
        written = table.copy()
        written.meta = notes | {"uncovered": report.injected.meta.get("uncovered", {}), "samples": dict(SAMPLES)}
        written.write(folder / f"{name}.ecsv", format="ascii.ecsv")
    _write_figures(folder, report)
    galaxies = label_column(report.injected, "galaxy")
    write_provenance(
        folder,
        Provenance(
            command=command,
            survey="mock",
            archive=run.archive,
            galaxies=run.galaxies,
            releases=run.releases,
            settings=report.settings.model_dump(mode="json"),
            seed=report.seed,
            relations=run.relations,
            counts={galaxy: {"injected": int((galaxies == galaxy).sum())} for galaxy in run.galaxies},
            inputs=run.inputs,
            c_calibration=run.c_calibration,
            classifier=run.classifier,
        ),
    )


def _write_injections(injected: QTable, path: Path, seed: int) -> None:
    """Write the injected stars as FITS without anything that would make two equal calls differ."""
    bare = Table()
    for name in injected.colnames:
        column = injected[name]
        if column.dtype.kind == "U":
            bare[name] = label_column(injected, name)
        elif column.dtype.kind == "f":
            data = values(injected, name, str(column.unit or ""))
            bare[name] = MaskedColumn(data, mask=np.isnan(data), unit=column.unit)
        else:
            bare[name] = column
    hdu = fits.table_to_hdu(bare)
    hdu.name = "INJECTED"
    hdu.header["LONGSTRN"] = "OGIP 1.0"
    for place, name in enumerate(injected.colnames, start=1):
        hdu.header[f"TCOMM{place}"] = injected[name].info.description
    primary = fits.PrimaryHDU()
    primary.header["SURVEY"] = "mock"
    primary.header["WARNING"] = "simulated stars, not observations"
    primary.header["SEED"] = seed
    for part in (primary, hdu):
        part.add_checksum(when=_FIXED_DATE)
    fits.HDUList([primary, hdu]).writeto(path)


def _write_figures(folder: Path, report: CompletenessReport) -> None:
    settings, injected = report.settings, report.injected
    samples = _samples(injected, settings)
    depth = settings.population.detection.least_depth or 0.0
    galaxies, deep = label_column(injected, "galaxy"), values(injected, "true_depth1", "mag") >= depth
    for galaxy in np.unique(galaxies):
        mine = galaxies == galaxy
        own = {name: sample[mine] for name, sample in samples.items()}
        period_max = settings.selection.period.period_max
        for name, sample in own.items():
            title = f"{galaxy}: {name}"
            figure = completeness_map(injected[mine], sample, deep[mine], title=title, period_max=period_max)
            save_figure(figure, folder / f"map_{name.replace(' ', '_')}_{galaxy}")
        curves = completeness_curves(injected[mine], own, deep[mine], title=str(galaxy))
        save_figure(curves, folder / f"curves_{galaxy}")
        cuts = report.cuts[label_column(report.cuts, "galaxy") == galaxy]
        save_figure(cut_losses(cuts, title=str(galaxy)), folder / f"cuts_{galaxy}")
